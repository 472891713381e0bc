"""A fitted network as other programs read it: in the units of X and y."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike

    from admmirnn import networks
    from admmirnn._typing import FloatArray, Frame
    from admmirnn.networks.blocks import Block

_LARGEST_MEAN = 32.0  # in deviations: then five of the 24 bits of float32 are lost

Direction: TypeAlias = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Network:
    """A fitted network in the units of X and y: it reads observations as they are, and its outputs are values of y.

    ``scale`` is a factor of U, and so is that of standardised features, whose means are parts of biases, unless they
    are so far from zero that this would not be exact.  What a regressor multiplies by and adds are parts of V and c.

    Attributes
    ----------
    cell : str
        Name of the cell.
    layers : tuple of tuple of dict
        Blocks by their parts, such as "W_z", for each direction of each layer, with s_0 and c_0 if these are not zero.
        Both directions of a layer have as many units; the one that reads from the start comes first.
    V, c : ndarray of shape (K, n_directions * n), (K,)
        Weights and biases of the output layer.
    activation : str
        Name of the activation f.
    read_out : {"last", "mean", "max", "each"}
        States that outputs are computed from; "each" is an output for each step.
    frame : tuple of int
        Pair (length, stride).
    standard : ndarray of shape (2, n_channels), float64, or None
        Means and factors: the first layer reads ``(x - mean) * factor``.
    """

    cell: str
    layers: tuple[tuple[Direction, ...], ...]
    V: np.ndarray
    c: np.ndarray
    activation: str
    read_out: str
    frame: Frame
    standard: np.ndarray | None = None

    @classmethod
    def of_fitted(
        cls,
        network: networks.Network,
        *,
        scale: float,
        standard: FloatArray | None = None,
        frame: Frame,
        every_step: bool,
        target_scale: float | FloatArray = 1.0,
        target_mean: float | FloatArray = 0.0,
        dtype: DTypeLike | None = None,
        folds: bool = True,
    ) -> Network:
        """That of the network of a fitted estimator, in ``dtype`` or its own.

        ``folds`` lets weights take up the standardisation of features, where that is exact.
        """
        blocks = network.blocks
        weights = _of_most_units(blocks, network.weights)
        factor = np.broadcast_to(target_scale, network.n_outputs)
        weights["V"] = factor[:, None] * weights["V"]
        weights["c"] = factor * weights["c"] + target_mean
        if folds and standard is not None and (np.abs(standard[0] * standard[1]) <= _LARGEST_MEAN).all():
            _fold_in(weights, blocks, *np.tile(standard, frame[0]))
            standard = None
        for name, block in blocks.items():
            if block.letter == "U" and not block.layer:
                weights[name] = scale * weights[name]
        weights = check_exported(weights, np.dtype(dtype or network.dtype))
        layers: list[list[dict[str, FloatArray]]] = [[{} for _ in directions] for directions in network.layers]
        for name, block in blocks.items():
            if block.layer is not None and block.direction is not None:
                layers[block.layer][block.direction][block.part] = weights[name]
        return cls(
            cell=network.cell.name,
            layers=tuple(tuple(directions) for directions in layers),
            V=weights["V"],
            c=weights["c"],
            activation=network.activation,
            read_out="each" if every_step else network.read_out,
            frame=frame,
            standard=standard,
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units of each direction of each layer."""
        return tuple(next(len(block) for part, block in layer[0].items() if part[0] == "b") for layer in self.layers)

    @property
    def n_directions(self) -> int:
        """In how many directions each layer reads."""
        return len(self.layers[0])

    @property
    def n_features(self) -> int:
        """Number of values that the first layer reads per step: the features of a frame."""
        found: int = next(block.shape[1] for part, block in self.layers[0][0].items() if part[0] == "U")
        return found

    @property
    def n_channels(self) -> int:
        """Features of an observation."""
        return self.n_features // self.frame[0]


def stacked(blocks: Direction, parts: Sequence[str | None]) -> FloatArray:
    """Blocks of a direction below one another; None is zeros in the place of a bias that it does not have."""
    none = 0 * next(block for part, block in blocks.items() if part[0] == "b")
    return np.concatenate([none if part is None else blocks[part] for part in parts])


def _fold_in(weights: dict[str, FloatArray], blocks: Mapping[str, Block], mean: FloatArray, factor: FloatArray) -> None:
    """Let the first layer read x in the place of (x - mean) * factor: U (x - mean) * factor + b = U' x + b'."""
    first = {name: block for name, block in blocks.items() if block.layer == 0}
    for name, block in first.items():
        if block.letter != "U":
            continue
        weights[name] = weights[name] * factor
        biases = {other: one for other, one in first.items() if one.direction == block.direction and one.part[0] == "b"}
        own = {other for other, one in biases.items() if one.part[1:] == block.part[1:]}
        for other in own or biases:  # those of both gates, where they have the same U
            weights[other] = weights[other] - weights[name] @ mean


def _of_most_units(blocks: Mapping[str, Block], weights: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """The weights in float64, with zeros where a pruned network has a direction of fewer units than the other one.

    A unit that is made of zeros has no effect on the others.
    """
    own: dict[str, int] = {}  # units, by the letters of axes
    most: dict[int, int] = {}  # and those of the larger direction, by layers
    layer_of: dict[str, int] = {}
    for name, block in blocks.items():
        if block.layer is not None:
            units, n = block.axes[0], len(weights[name])
            own[units], layer_of[units] = n, block.layer
            most[block.layer] = max(most.get(block.layer, 0), n)
    found: dict[str, FloatArray] = {}
    for name, block in blocks.items():
        array = weights[name].astype(np.float64)
        for axis, letters in enumerate(block.axes):
            several = [units for units in letters.split("+") if units in own]
            if several:
                pieces: list[FloatArray] = np.split(array, np.cumsum([own[units] for units in several])[:-1], axis)
                array = np.concatenate(
                    [
                        _filled_up(piece, axis, most[layer_of[units]])
                        for piece, units in zip(pieces, several, strict=True)
                    ],
                    axis,
                )
        found[name] = array
    return found


def _filled_up(array: FloatArray, axis: int, size: int) -> FloatArray:
    """An array with zeros behind it along an axis."""
    add = [(0, size - n if i == axis else 0) for i, n in enumerate(array.shape)]
    return np.pad(array, add)


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
