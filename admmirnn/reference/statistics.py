"""The twin of ``_kernels/statistics.pyx``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from admmirnn.data.gram_blocks import blocks_of_gram
from admmirnn.reference.maps import n_separate_biases, parts_of
from admmirnn.reference.work import COUNTS, GRAM_ROWS, OUTPUT_ROWS, R_ROWS, TARGETS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from admmirnn._typing import AnyCell, FloatArray
    from admmirnn.reference.weights import _Map
    from admmirnn.reference.work import _Work


def _shapes_of_G(d: int, n: int, symbols: bool, block: int) -> dict[str, tuple[int, int]]:
    if symbols:
        return {"G_xs": (d, n + 1)}
    if block:
        return {"G_x": (1, numbers_of_blocks(d, block)), "G_1s": (1, n + 1)}
    return {"G_x": (d + 1, d + 1), "G_sx": (n, d + 1)}


def numbers_of_blocks(d: int, block: int) -> int:
    """How many numbers are in G of d columns of x, in blocks."""
    return int((np.diff([*range(0, d, block), d]) ** 2).sum())


def sums_by_name(
    sums: FloatArray, cell: AnyCell, d: int, n: int, K: int, symbols: bool, block: int = 0
) -> dict[str, FloatArray]:
    """The sums by name, as views: those of G in its lower triangle, those of the outputs with the column of ones."""
    of_G = _shapes_of_G(d, n, symbols, block)
    n_b = n_separate_biases(cell) * n
    of_L = {"L_x": (d + 1, cell.columns_of_x * n), "L_s": (cell.columns_of_s * n, n), "L_b": (n_b, 1)}
    shapes = of_L | of_G | {"G_s": (n, n), "output_L": (K, n + 1), "output_G": (n + 1, n + 1)}
    found, first = {}, 0
    for name, shape in shapes.items():
        end = first + shape[0] * shape[1]
        found[name], first = sums[first:end].reshape(shape), end
    return found


def sums_room(cell: AnyCell, d: int, n: int, K: int, symbols: bool = False, block: int = 0) -> tuple[int, int]:
    """How many numbers are sums, and how many of these are of the hidden layer."""
    of_G = sum(rows * columns for rows, columns in _shapes_of_G(d, n, symbols, block).values())
    of_L = (d + 1) * cell.columns_of_x * n + cell.columns_of_s * n * n + n_separate_biases(cell) * n
    of_hidden = of_L + of_G + n * n
    return of_hidden + (K + n + 1) * (n + 1), of_hidden


def counts_room(cell: AnyCell, n: int, with_R: bool) -> int:
    """How many numbers a work's ``counts`` have, of which the last are R of each map, if it is wanted."""
    return COUNTS + (sum((of.rows_per_unit * n) ** 2 for of in cell.maps) if with_R else 0)


def backward_room(cell: AnyCell, d: int, n: int, K: int, n_threads: int, symbols: bool = False, block: int = 0) -> int:
    """How many numbers a work's ``sums`` have: the sums, and no scratch."""
    return sums_room(cell, d, n, K, symbols, block)[0]


def fold(work: _Work, map: _Map, momentum: float, decay: float, R_decay: float = 0.0, which: int = 0) -> None:
    """M, G and R of a map of a hidden layer, running means, from the sums that `backward` has left."""
    assert work.sums is not None and work.counts is not None
    n, d, cell, symbols, counts = work.n, work.d, work.cell, work.codes is not None, work.counts
    sums = sums_by_name(work.sums, cell, d, n, work.K, symbols, work.gram_block)
    part = parts_of(cell, work.maps, d, n)[which]
    has_x, has_s, ones = part.U is not None, part.W is not None, range(part.n_ones)
    x, s = slice(d if has_x else 0), slice(n if has_s else 0)
    columns, of_s = part.columns, slice(part.columns.start - (cell.n_columns - cell.columns_of_s) * n, None)
    L_x, L_s = sums["L_x"][:, columns], sums["L_s"][of_s][: map.p]
    L_b = L_x[-1:] if part.has_own_biases else sums["L_b"].reshape(part.n_ones, map.p)
    L = np.hstack([L_x[:-1].T[:, x] if has_x else L_b.T[:, :0], L_s[:, s] if has_s else L_b.T[:, :0], L_b.T])
    _fold_in(map.M, momentum, L, counts[TARGETS])
    if work.gram_block:
        gram = _gram_of_blocks(sums, map, s, part.n_ones)
    elif symbols:
        of_1 = np.append(sums["G_xs"][:, :-1].sum(axis=0)[s], sums["G_xs"][:, -1].sum())
        G_x1, G_s = sums["G_xs"], sums["G_s"][s, s]
        of_x = [np.hstack([part.n_ones * G_x1[:, s], np.tile(G_x1[:, -1:], part.n_ones)])] if has_x else []
        of_states = np.hstack([part.n_ones * G_s, np.zeros((len(G_s), part.n_ones))])
        of_ones = [np.append(of_1[:-1], of_1[-1] * (np.arange(part.n_ones) == one)) for one in ones]
        gram = np.vstack([*of_x, of_states, *of_ones]).astype(map.G.dtype)
    else:
        gram = np.zeros((map.m, map.m), map.G.dtype)
        at_s = slice(x.stop, x.stop + s.stop)
        gram[x, x], gram[at_s, x] = part.n_ones * sums["G_x"][x, x], part.n_ones * sums["G_sx"][s, x]
        gram[at_s, at_s] = part.n_ones * sums["G_s"][s, s]
        for one in range(at_s.stop, map.m):
            gram[one, x], gram[one, at_s] = sums["G_x"][-1, x], sums["G_sx"][s, -1]
            gram[one, one] = sums["G_x"][-1, -1]
    _fold_in(map.G, decay, gram, counts[GRAM_ROWS])
    if map.R is not None:
        first = counts_room(cell, n, True) - sum(len(matrix) ** 2 for matrix in work.maps[which:])
        _fold_in(map.R, R_decay, counts[first : first + map.p**2].reshape(map.p, map.p), counts[R_ROWS])


def _gram_of_blocks(sums: dict[str, FloatArray], map: _Map, s: slice, n_ones: int) -> FloatArray:
    """The sums of G in blocks, of a map that reads the states ``s``, in which each of so many equations has part."""
    gram, first = np.zeros_like(map.G), 0
    *blocks_of_x, (_, of_s1) = blocks_of_gram(gram, map.m, map.gram_blocks)
    for _, block in blocks_of_x:
        block[:] = n_ones * sums["G_x"][0, first : first + block.size].reshape(block.shape)
        first += block.size
    of_s1[s, s] = n_ones * sums["G_s"][s, s]
    for one in range(s.stop, len(of_s1)):
        of_s1[one, s], of_s1[one, one] = sums["G_1s"][0, s], sums["G_1s"][0, -1]
    return gram


def fold_outputs(map: _Map, sums: FloatArray, counts: NDArray[np.float64], momentum: float, decay: float) -> None:
    """M and G of an output layer from [L, G_batch]."""
    of_M = map.p * map.m
    _fold_in(map.M, momentum, sums[:of_M].reshape(map.p, map.m), counts[TARGETS])
    _fold_in(map.G, decay, sums[of_M : of_M + map.m * map.m].reshape(map.m, map.m), counts[OUTPUT_ROWS])


def _fold_in(statistic: FloatArray, keep_share: float, batch: FloatArray, count: float) -> None:
    """The running mean of a statistic, given the sum over a minibatch and over how many."""
    if count:
        statistic *= keep_share
        statistic += (1 - keep_share) / count * batch
