"""Blocks of weights: which array, rows and columns a name such as U, W_z_2 or b_reverse stands for.

A network's arrays are the maps of its cell for each direction of each layer, such as Theta = [U W b], then that of the
outputs, Psi = [V c], then the states before the first step, if it has any.  A name is what a block is to its direction
("W", or with gates "W_z"), then "_2", "_3" and so on above the first layer, then "_reverse" for the direction that
reads from the end: "W_z_2_reverse".  Whoever takes, keeps or shows weights by name reads the table of their blocks that
`blocks_of` makes: initial weights, penalties, fitted attributes and files of them, exports, pictures.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from admmirnn.networks.cells import Elman, cell_named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from admmirnn._typing import FloatArray, Map

_SUFFIXES = "", "_reverse"  # of what a direction has: the network that reads from the start, and from the end
_UNITS = "n", "m"  # the letters of axes that have an entry for each hidden unit of a direction
INITIAL = "s_0", "c_0"  # what a layer may start from
_OF_NETWORK = "V", "c"  # what is no layer's
_NAME = re.compile(r"(.+?)(?:_([2-9]|[1-9]\d+))?(_reverse)?")


@dataclass(frozen=True)
class Block:
    """Some of a network's weights: what they are called, and where they are.

    Attributes
    ----------
    name : str
        Name of the block: a key of ``init`` and, with "_" behind it, a fitted attribute, such as "W_z_2_reverse".
    part : str
        Name of the block within its direction, such as "W_z".
    axes : tuple of str
        Axes of its shape in letters: d features, n hidden units, or m of the second direction, with the number of the
        layer above the first one ("n2"), and K outputs; "n+m" are the units of both directions.  A vector has one axis.
    layer, direction : int or None
        Numbers of the layer and of the direction that it belongs to, from 0; None if it belongs to all directions, as
        the output layer does.
    array : int
        Number of the network's array that it is in.
    rows : slice
        Rows of that array.
    columns : slice
        Columns of that array; a vector is one column, or an array of its own.
    of_directions : tuple of slice
        Columns of the array V that are for the states of each direction.
    letter : str
        Name of the part without the gate, such as "W".
    """

    name: str
    part: str
    axes: tuple[str, ...]
    layer: int | None
    direction: int | None
    array: int
    rows: slice
    columns: slice
    of_directions: tuple[slice, ...] = ()
    letter: str = ""

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
        axes = *self.axes[:-1], self.axes[-1].split("+")[direction]
        columns = self.of_directions[direction]
        return replace(self, axes=axes, direction=direction, columns=columns, of_directions=())


@lru_cache
def blocks_of(
    n_features: int,
    n_hidden: tuple[tuple[int, ...], ...],
    n_outputs: int,
    *,
    maps: tuple[Map, ...] = Elman.maps,
    initial: tuple[str, ...] = (),
) -> Mapping[str, Block]:
    """The blocks of a network by name, in the order in which its weights are listed everywhere.

    Parameters
    ----------
    n_features : int
        Number of features d.
    n_hidden : tuple of tuple of int
        Number of hidden units of each direction of each layer.
    n_outputs : int
        Number of outputs K.
    maps : tuple of Map
        Maps of the cell.
    initial : tuple of str, default=()
        Names among "s_0" and "c_0" of the states that the layers have, given or learnt; without them, layers start from
        zero.
    """
    blocks: list[Block] = []
    array, d, reads = 0, n_features, "d"
    read: tuple[slice, ...] = ()
    for layer, sizes in enumerate(n_hidden):
        for i, n in enumerate(sizes):
            units = _units(layer, i)
            axes_of, columns_of = {"x": (reads,), "s": (units,), "1": ()}, {"x": d, "s": n, "1": 1}
            for one in maps:
                end = 0
                for part, letter in one.columns:
                    columns = slice(end, end := end + columns_of[part])
                    for k, own in enumerate(one.names(letter)):
                        name, rows, axes = name_of(own, layer, i), slice(k * n, (k + 1) * n), (units, *axes_of[part])
                        blocks.append(Block(name, own, axes, layer, i, array, rows, columns, letter=_letter(own)))
                array += 1
        ends = np.cumsum(sizes).tolist()
        read = tuple(slice(end - n, end) for n, end in zip(sizes, ends, strict=True))
        d, reads = ends[-1], "+".join(_units(layer, i) for i in range(len(sizes)))
    rows = slice(0, n_outputs)
    blocks += [
        Block("V", "V", ("K", reads), None, None, array, rows, slice(0, d), read, "V"),
        Block("c", "c", ("K",), None, None, array, rows, slice(d, d + 1), letter="c"),
    ]
    for layer, sizes in enumerate(n_hidden):
        for i, n in enumerate(sizes):
            for part in initial:
                array += 1
                name, axes = name_of(part, layer, i), (_units(layer, i),)
                blocks.append(Block(name, part, axes, layer, i, array, slice(0, n), slice(0, 1), letter=part))
    return MappingProxyType({block.name: block for block in blocks})


def name_of(part: str, layer: int, direction: int = 0) -> str:
    """What a block that is this to its direction is called."""
    return f"{part}_{layer + 1}{_SUFFIXES[direction]}" if layer else f"{part}{_SUFFIXES[direction]}"


def _units(layer: int, direction: int) -> str:
    return f"{_UNITS[direction]}{layer + 1}" if layer else _UNITS[direction]


def _letter(part: str) -> str:
    return part.partition("_")[0]


def place_of(name: str) -> tuple[str, int, int]:
    """What a block of this name is to its direction, and which layer's and direction's it is, from 0."""
    found = _NAME.fullmatch(name)
    assert found is not None  # as a name has a letter
    part, layer, reverse = found.groups()
    return part, int(layer or 1) - 1, int(reverse is not None)


def n_directions(names: Iterable[str]) -> tuple[int, ...]:
    """In how many directions each layer of a network reads whose blocks have these names."""
    found: dict[int, int] = {}
    for part, layer, direction in map(place_of, names):
        if part not in _OF_NETWORK:
            found[layer] = max(found.get(layer, 1), direction + 1)
    return tuple(found.get(layer, 1) for layer in range(max(len(found), 1)))  # none is left out


def blocks_named(names: Iterable[str], maps: tuple[Map, ...]) -> Mapping[str, Block]:
    """The blocks, of sizes 1, of the network with as many layers and directions as these names say."""
    names = list(names)
    n_hidden = tuple((1,) * n for n in n_directions(names))
    return blocks_of(1, n_hidden, 1, maps=maps, initial=tuple(part for part in INITIAL if part in names))


def parts_of(maps: Iterable[Map]) -> list[str]:
    """What blocks of these maps are to their direction: W_z."""
    return [name for one in maps for _, letter in one.columns for name in one.names(letter)]


def is_weight(name: str, maps: tuple[Map, ...]) -> bool:
    """Whether a network of these maps, with enough layers, has a block of this name."""
    found = _NAME.fullmatch(name)
    return found is not None and found[1] in {*parts_of(maps), *_OF_NETWORK, *INITIAL}


def weights_of(fitted: object) -> dict[str, FloatArray]:
    """The weights by name that an object has as fitted attributes."""
    maps, attributes = cell_named(getattr(fitted, "_cell", Elman.name)).maps, vars(fitted)
    names = [name[:-1] for name, value in attributes.items() if value is not None and name.endswith("_")]
    found = {name for name in names if is_weight(name, maps)}
    blocks = blocks_named(found, maps).values() if found else ()
    return {block.name: attributes[block.attribute] for block in blocks if block.name in found}


def stacked(weights: Mapping[str, FloatArray]) -> dict[str, tuple[str, ...]]:
    """The names U, W and b for each direction of each layer that has blocks of gates instead, and these blocks' names.

    The gates are in the order in which the network's weights are listed; "b" of GRU ends with b_s.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name in weights:
        part, layer, direction = place_of(name)
        if part not in (*_OF_NETWORK, *INITIAL):
            of_letter = name_of(_letter(part), layer, direction)
            found[of_letter] = (*found.get(of_letter, ()), name)
    return {name: parts for name, parts in found.items() if name not in weights}


def arrays_of(weights: Mapping[str, FloatArray], maps: tuple[Map, ...] = Elman.maps) -> tuple[FloatArray, ...]:
    """New arrays of a network with these weights by name, or raise unless they fit together."""
    named = blocks_named(weights, maps)
    if named.keys() != weights.keys():
        differ = ", ".join(sorted(named.keys() ^ weights.keys()))
        raise ValueError(f"these weights are missing or unknown: {differ}; the network has {', '.join(named)}")
    sizes: dict[str, int] = {}
    for name, array in weights.items():
        sizes |= zip(named[name].axes, array.shape, strict=True)
    n_hidden = tuple(tuple(sizes[_units(layer, i)] for i in range(n)) for layer, n in enumerate(n_directions(weights)))
    initial = tuple(part for part in INITIAL if part in weights)
    blocks = blocks_of(sizes["d"], n_hidden, sizes["K"], maps=maps, initial=initial).values()
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


@lru_cache
def penalised_parts(maps: tuple[Map, ...] = Elman.maps, n_layers: int = 1) -> Mapping[str, tuple[str, ...]]:
    """The parts of blocks that a penalty may act on, by the keys of ``penalties`` that make sense for a network.

    "W" is that of each gate on its own, "W_z" that of one gate.  "UW" and "UWb" are matrices of blocks that lie side by
    side in one map, and "WV" of those that lie below one another: all that reads the states, of one layer.
    """
    parts = parts_of(maps)
    of_letter = {letter: tuple(part for part in parts if _letter(part) == letter) for letter in "UW"}
    found = {letter: of_letter[letter] for letter in "UW"} | {"V": ("V",)}
    found |= {part: (part,) for letter in "UW" for part in of_letter[letter] if part != letter}
    letters = {tuple(letter for _, letter in one.columns) for one in maps}
    if len(letters) == 1:
        (of_columns,) = letters
        if of_columns[:2] == ("U", "W"):
            found["UW"] = of_letter["U"] + of_letter["W"]
        if of_columns == ("U", "W", "b"):
            found["UWb"] = tuple(parts)
    if n_layers == 1:
        found["WV"] = (*of_letter["W"], "V")
    return MappingProxyType(found)


def penalised_blocks(blocks: Mapping[str, Block], name: str) -> list[list[Block]]:
    """What a key of ``penalties`` stands for: matrices, as the pieces that each is stacked of.

    There is one for each gate of each direction of each layer; of "V" there is one, and of "WV" one for each direction.
    """
    of_layers = [block for block in blocks.values() if block.direction is not None and block.part not in INITIAL]
    V = blocks["V"]
    if name == "V":
        return [[V]]
    if name == "WV":
        with_W = [block for block in of_layers if block.letter == "W"]
        return [
            [*several, V.of_direction(direction)] for direction, several in groupby(with_W, attrgetter("direction"))
        ]
    if name in ("UW", "UWb"):
        return [list(_side_by_side(of_layers, U, name)) for U in of_layers if U.letter == "U"]
    return [[block] for block in of_layers if name in (block.letter, block.part)]


def _side_by_side(blocks: Iterable[Block], U: Block, letters: str) -> Iterator[Block]:
    """The columns of U, and of the blocks beside it in the same rows, as one block."""
    beside = [one for one in blocks if (one.array, one.rows) == (U.array, U.rows) and one.letter in letters]
    yield replace(U, columns=slice(U.columns.start, beside[-1].columns.stop))
