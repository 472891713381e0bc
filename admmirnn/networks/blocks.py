"""Blocks of weights: which array, rows and columns a name such as U, W_reverse or c stands for.

A network's arrays are the maps of its cell for each direction in which it reads, Theta = [U W b], then that of the
outputs, Psi = [V c], then s_0 if it has one.  Whoever takes, keeps or shows weights by name reads the table of their
blocks that `blocks_of` makes: initial weights, penalties, fitted attributes and files of them, exports, pictures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from admmirnn.networks.cells import Elman

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from admmirnn._typing import FloatArray
    from admmirnn.networks.cells import Map

_SUFFIXES = "", "_reverse"  # of what a direction has: the network that reads from the start, and from the end
UNITS = "n", "m"  # the letters of axes that have an entry for each hidden unit of a direction

# the parts of the blocks that a penalty may act on, by the keys of ``penalties``: those of one array lie side by side,
# and the columns of V that read a direction's states are below that direction's W
PENALISED = {"U": ("U",), "W": ("W",), "V": ("V",), "UW": ("U", "W"), "UWb": ("U", "W", "b"), "WV": ("W", "V")}


@dataclass(frozen=True)
class Block:
    """Some of a network's weights: what they are called, and where they are.

    Attributes
    ----------
    name : str
        A key of ``init`` and, with "_" behind it, a fitted attribute: "W_reverse".
    part : str
        What it is to its direction: "W".
    axes : tuple of str
        The axes of its shape in letters: d features, n hidden units, or m of the second direction, and K outputs.  A
        vector has one.
    direction : int or None
        Whose it is; None is all directions', as the output layer is.
    array : int
        Which of the network's arrays it is in.
    rows : slice
        Of that array.
    columns : slice
        Of that array; a vector is one column, or an array of its own.
    of_directions : tuple of slice
        Where it has columns for the states of each direction: which ones of the array these are.
    """

    name: str
    part: str
    axes: tuple[str, ...]
    direction: int | None
    array: int
    rows: slice
    columns: slice
    of_directions: tuple[slice, ...] = ()

    @property
    def attribute(self) -> str:
        """What a fitted estimator has it as."""
        return f"{self.name}_"

    @property
    def is_of_outputs(self) -> bool:
        """Whether it has a row for each output."""
        return self.axes[0] == "K"

    def of(self, arrays: Sequence[FloatArray]) -> FloatArray:
        """The block as a view of a network's arrays, or of others of their shapes."""
        array = arrays[self.array]
        if array.ndim == 1:
            return array[self.rows]
        return array[self.rows, self.columns.start if len(self.axes) == 1 else self.columns]

    def of_direction(self, direction: int) -> Block:
        """The columns that the states of one direction are multiplied by."""
        axes = *self.axes[:-1], UNITS[direction]
        columns = self.of_directions[direction]
        return replace(self, axes=axes, direction=direction, columns=columns, of_directions=())


@lru_cache
def blocks_of(
    n_features: int,
    n_hidden: tuple[int, ...],
    n_outputs: int,
    *,
    has_s_0: bool = False,
    maps: tuple[Map, ...] = Elman.maps,
) -> Mapping[str, Block]:
    """The blocks of a network by name, in the order in which its weights are listed everywhere.

    Parameters
    ----------
    n_features : int
        d.
    n_hidden : tuple of int
        How many hidden units each direction has.
    n_outputs : int
        K.
    has_s_0 : bool, default=False
        Whether the network has a state before the first step that is not zero, given or learnt.
    maps : tuple of Map
        Those of its cell.
    """
    blocks: list[Block] = []
    read: list[slice] = []
    d = n_features
    for i, (n, units, suffix) in enumerate(zip(n_hidden, UNITS, _SUFFIXES, strict=False)):
        axes_of, columns_of = {"x": ("d",), "s": (units,), "1": ()}, {"x": d, "s": n, "1": 1}
        for array, one in enumerate(maps, i * len(maps)):
            end = 0
            for part, letter in one.columns:
                columns = slice(end, end := end + columns_of[part])
                for k, name in enumerate(one.names(letter)):
                    axes, rows = (units, *axes_of[part]), slice(k * n, (k + 1) * n)
                    blocks.append(Block(f"{name}{suffix}", name, axes, i, array, rows, columns))
        first = read[-1].stop if read else 0
        read.append(slice(first, first + n))
    output, rows, h = len(n_hidden) * len(maps), slice(0, n_outputs), sum(n_hidden)
    blocks += [
        Block("V", "V", ("K", "+".join(UNITS[: len(n_hidden)])), None, output, rows, slice(0, h), tuple(read)),
        Block("c", "c", ("K",), None, output, rows, slice(h, h + 1)),
    ]
    if has_s_0:
        blocks.append(Block("s_0", "s_0", ("n",), 0, output + 1, slice(0, n_hidden[0]), slice(0, 1)))
    return MappingProxyType({block.name: block for block in blocks})


# all that there may be, for their names and axes
BLOCKS = blocks_of(1, (1, 1), 1, has_s_0=True)


def n_directions(names: Iterable[str]) -> int:
    """In how many directions a network reads whose blocks have these names."""
    return 1 + max(BLOCKS[name].direction or 0 for name in names)


def weights_of(fitted: object) -> dict[str, FloatArray]:
    """The weights by name that an object has as fitted attributes."""
    found = {name: getattr(fitted, block.attribute, None) for name, block in BLOCKS.items()}
    return {name: weights for name, weights in found.items() if weights is not None}


def arrays_of(weights: Mapping[str, FloatArray]) -> tuple[FloatArray, ...]:
    """New arrays of a network with these weights by name, or raise unless they fit together."""
    sizes: dict[str, int] = {}
    for name, array in weights.items():
        sizes |= zip(BLOCKS[name].axes, array.shape, strict=True)
    n_hidden = tuple(sizes[units] for units in UNITS if units in sizes)
    blocks = blocks_of(sizes["d"], n_hidden, sizes["K"], has_s_0="s_0" in weights).values()
    arrays = []
    for _, several in groupby(blocks, attrgetter("array")):
        of_array = list(several)
        shape = max(block.rows.stop for block in of_array), max(block.columns.stop for block in of_array)
        ndim = max(len(block.axes) for block in of_array)
        dtype = np.result_type(*(weights[block.name] for block in of_array))
        arrays.append(np.empty(shape[:ndim], dtype))
    for block in blocks:
        view, given = block.of(arrays), weights[block.name]
        if given.shape != view.shape:  # rather than broadcast it
            raise ValueError(f"{block.name} has the shape {given.shape}, and other weights ask for {view.shape}")
        view[...] = given
    return tuple(arrays)


def penalised_blocks(blocks: Mapping[str, Block], name: str) -> list[list[Block]]:
    """What a key of ``penalties`` stands for: one matrix for each direction, as the pieces that it is stacked of."""
    parts = PENALISED[name]
    found = [block for block in blocks.values() if block.part in parts]
    of_all = [block for block in found if block.direction is None]
    of_one = [block for block in found if block.direction is not None]
    if not of_one:
        return [of_all]
    matrices = []
    for direction, several in groupby(of_one, attrgetter("direction")):
        side_by_side = list(several)
        columns = slice(side_by_side[0].columns.start, side_by_side[-1].columns.stop)
        below = [block.of_direction(direction) for block in of_all]
        matrices.append([replace(side_by_side[0], columns=columns), *below])
    return matrices
