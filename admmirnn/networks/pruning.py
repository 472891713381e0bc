"""Which units of a network its outputs depend on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from admmirnn._typing import BoolArray, FloatArray, IntArray, LayeredNetwork


def pruned_weights(network: LayeredNetwork) -> dict[str, FloatArray]:
    """The weights by name of a network without the units that its outputs never depend on.

    These are the units whose state nobody reads, other than such units themselves, and those whose state is zero at
    every step of every sequence, because all that drives them is zero; the cell says what that is.  At least one unit
    of each direction is left.
    """
    network.share_out()
    weights, blocks = network.weights, network.blocks
    kept: dict[str, IntArray] = {}  # numbers of units, by the letters of axes
    units_read = [np.any(weights["V"][:, columns], axis=0) for columns in blocks["V"].of_directions]
    for layer, directions in reversed(list(enumerate(network.layers))):
        of_below: list[BoolArray] = []
        for i, direction in enumerate(directions):
            own = direction.weights
            W_of = [W != 0 for name, W in own.items() if name[0] == "W"]
            leads = np.any(W_of, axis=0)  # from column to row
            driven = direction.cell.is_driven(own)
            for state in direction.initial.values():
                driven |= state != 0
            used = _reached(driven, leads.T) & _reached(units_read[i], leads)
            units = next(b.axes[0] for b in blocks.values() if (b.layer, b.direction) == (layer, i))
            kept[units] = np.flatnonzero(used) if used.any() else np.arange(1)
            of_below += [np.any(U[kept[units]], axis=0) for name, U in own.items() if name[0] == "U"]
        if layer > 0:
            sizes = [direction.n_hidden for direction in network.layers[layer - 1]]
            units_read = np.split(np.any(of_below, axis=0), np.cumsum(sizes)[:-1])
    sizes_of = {b.axes[0]: len(weights[name]) for name, b in blocks.items() if b.axes[0] != "K"}
    for name, block in blocks.items():
        for axis, letters in enumerate(block.axes):
            if letters in ("d", "K"):
                continue
            several = letters.split("+")
            firsts = np.cumsum([0, *(sizes_of[units] for units in several)])
            taken = [first + kept[units] for first, units in zip(firsts, several, strict=False)]
            weights[name] = weights[name].take(np.concatenate(taken), axis=axis)
    return weights


def _reached(units: BoolArray, leads_to: BoolArray) -> BoolArray:
    """The units in the mask ``units``, and all that one comes to from there by ``leads_to`` (n, n), row to column."""
    while True:
        more = units | leads_to[units].any(axis=0)
        if (more == units).all():
            return units
        units = more
