"""Weights of a fitted estimator as attributes: all gates of a cell together, and a clear error for a missing weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from admmirnn.networks.blocks import is_weight, n_directions, stacked, weights_of
from admmirnn.networks.cells import CELLS, cell_named

if TYPE_CHECKING:
    from collections.abc import Iterable


_MAPS = tuple(cell_named(name).maps for name in CELLS)


class HasWeights:
    """Mixin of estimators whose fitted attributes are the blocks of a network's weights, such as ``W_z_`` and ``W_r_``.

    ``U_``, ``W_`` and ``b_`` can be read whatever the cell is: where it has one block for each gate, they are these
    blocks stacked, as a new array that is read-only.  A weight that the network does not have raises an AttributeError
    that lists those which it has.
    """

    def __getattr__(self, name: str) -> Any:
        """Return stacked blocks, or raise; called for attributes that are not found in the usual way."""
        if not _may_be_weight(name):
            return object.__getattribute__(self, name)  # which raises once more what had been raised
        weights = weights_of(self)
        parts = stacked(weights).get(name[:-1])
        if parts is None:
            raise AttributeError(_why_missing(self, name), name=name, obj=self)
        joint = np.concatenate([weights[part] for part in parts])
        joint.flags.writeable = False  # writing into it would change no weight
        return joint

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in vars(self) and _may_be_weight(name):
            parts = stacked(weights_of(self)).get(name[:-1])
            if parts is not None:
                message = f"{name} stands for {_listed(parts)} together; set these instead"
                raise AttributeError(message, name=name, obj=self)
        super().__setattr__(name, value)

    def __dir__(self) -> Iterable[str]:
        return sorted({*super().__dir__(), *(f"{name}_" for name in stacked(weights_of(self)))})


def _may_be_weight(name: str) -> bool:
    """Whether it is an attribute for weights of some cell, such as W_z_2_, or of a letter alone."""
    if len(name) < 2 or name[-1] != "_" or name[-2] == "_":
        return False
    return any(is_weight(name[:-1], maps) for maps in _MAPS)


def _why_missing(estimator: Any, name: str) -> str:
    kind = type(estimator).__name__
    if "estimators_" in vars(estimator):
        return (
            f"this {kind} has no {name} of its own, as it has {len(estimator.estimators_)} networks; read "
            f"estimators_[0].{name}"
        )
    weights = weights_of(estimator)
    if not weights:
        return f"this {kind} has no {name}, as it is not fitted; call fit first"
    n_layers = len(n_directions(weights))
    return (
        f"this {kind} has no {name}: its cell is {estimator._cell!r}, it has {n_layers} layer{'s' * (n_layers > 1)}, "
        f"and its weights are {_listed(weights)}"
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"{name}_" for name in names)
