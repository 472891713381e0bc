"""A fitted network as other programs read it: in the units of X and y."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from admmirnn.networks.cells import Elman

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import DTypeLike

    from admmirnn import networks
    from admmirnn._typing import FloatArray, Frame
    from admmirnn.networks.blocks import Block


@dataclass(frozen=True)
class Network:
    """A fitted network in the units of X and y: it reads observations as they are, and its outputs are values of y.

    ``scale`` is a factor of U, and what a regressor multiplies by and adds are parts of V and c.

    Attributes
    ----------
    U, W, b : ndarray of shape (n_directions, n, d), (n_directions, n, n), (n_directions, n)
        With two directions, those of the network that reads from the start come first.
    V, c : ndarray of shape (K, n_directions * n), (K,)
        The output layer.
    s_0 : ndarray of shape (n,) or None
        The state before the first step; None is zero.
    activation : str
        f.
    read_out : {"last", "mean", "max", "each"}
        "each" is an output for each step.
    frame : tuple of int
        (length, stride).
    """

    U: np.ndarray
    W: np.ndarray
    b: np.ndarray
    V: np.ndarray
    c: np.ndarray
    s_0: np.ndarray | None
    activation: str
    read_out: str
    frame: Frame

    @classmethod
    def of_fitted(
        cls,
        network: networks.Network,
        *,
        scale: float,
        frame: Frame,
        every_step: bool,
        target_scale: float | FloatArray = 1.0,
        target_mean: float | FloatArray = 0.0,
        dtype: DTypeLike | None = None,
    ) -> Network:
        """That of the network of a fitted estimator, in ``dtype`` or its own."""
        check_can_be_exported(network)
        of_part: dict[str, list[FloatArray]] = defaultdict(list)
        for block in network.blocks.values():
            of_directions = range(len(block.of_directions))
            for own in [block.of_direction(i) for i in of_directions] or [block]:
                of_part[block.part].append(_of_most_units(own, network))
        factor = np.broadcast_to(target_scale, network.n_outputs)
        blocks = {
            "U": scale * np.stack(of_part["U"]),
            "W": np.stack(of_part["W"]),
            "b": np.stack(of_part["b"]),
            "V": factor[:, None] * np.hstack(of_part["V"]),
            "c": factor * np.hstack(of_part["c"]) + target_mean,
        }
        return cls(
            **check_exported(blocks, np.dtype(dtype or network.dtype)),
            s_0=network.s_0,
            activation=network.activation,
            read_out="each" if every_step else network.read_out,
            frame=frame,
        )

    @property
    def n_channels(self) -> int:
        """Features of an observation."""
        found: int = self.U.shape[2] // self.frame[0]
        return found


def _of_most_units(block: Block, network: networks.Network) -> FloatArray:
    """A block in float64, with zeros where a pruned network has a direction of fewer units than the other one."""
    weights, n = block.of(network.arrays).astype(np.float64), network.n_hidden
    add = [(0, n - size if axis in ("n", "m") else 0) for axis, size in zip(block.axes, weights.shape, strict=True)]
    return np.pad(weights, add)


def check_can_be_exported(network: networks.Network) -> None:
    """Raise unless other programs can be given the network."""
    if network.cell.name != Elman.name or len(network.layers) > 1:
        raise ValueError(
            f"the network has {len(network.layers)} layer(s) of the cell {network.cell.name!r}, and exports are of one "
            "layer of the cell 'elman'"
        )


def check_exported(blocks: Mapping[str, FloatArray], dtype: np.dtype[Any]) -> dict[str, FloatArray]:
    """Return the weights of an export in its dtype, or raise where that has no such numbers."""
    with np.errstate(over="ignore"):
        found = {name: block.astype(dtype) for name, block in blocks.items()}
    for name, block in found.items():
        if not np.isfinite(block).all():
            raise ValueError(
                f"{name}, with which the network gives values in the units of y or reads X, has entries too large for "
                f"{dtype}; fit to data in other units"
            )
    return found
