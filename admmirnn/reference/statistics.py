"""The twin of ``_kernels/statistics.pyx``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from admmirnn.reference.work import COUNTS, GRAM_ROWS, OUTPUT_ROWS, R_ROWS, WEIGHT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from admmirnn._typing import FloatArray
    from admmirnn.reference.weights import _Map
    from admmirnn.reference.work import _Work


def sums_by_name(sums: FloatArray, d: int, n: int, K: int, symbols: bool) -> dict[str, FloatArray]:
    """The sums by name, as views: those of G in its lower triangle, those of the outputs with the column of ones."""
    of_G = {"G_xs": (d, n + 1)} if symbols else {"G_x": (d + 1, d + 1), "G_sx": (n, d + 1)}
    shapes = {"L_x": (d + 1, n), "L_s": (n, n), **of_G, "G_s": (n, n)}
    shapes |= {"output_L": (K, n + 1), "output_G": (n + 1, n + 1)}
    found, first = {}, 0
    for name, shape in shapes.items():
        end = first + shape[0] * shape[1]
        found[name], first = sums[first:end].reshape(shape), end
    return found


def sums_room(d: int, n: int, K: int, symbols: bool = False) -> tuple[int, int]:
    """How many numbers are sums, and how many of these are of the hidden layer."""
    of_G = d * (n + 1) if symbols else (d + 1) * (d + 1) + n * (d + 1)
    of_hidden = (d + 1) * n + n * n + of_G + n * n
    return of_hidden + (K + n + 1) * (n + 1), of_hidden


def counts_room(n: int, with_R: bool) -> int:
    """How many numbers a work's ``counts`` have, of which the last n^2 are R, if it is wanted."""
    return COUNTS + (n * n if with_R else 0)


def backward_room(d: int, n: int, K: int, n_threads: int, symbols: bool = False) -> int:
    """How many numbers a work's ``sums`` have: the sums, and no scratch."""
    return sums_room(d, n, K, symbols)[0]


def fold(work: _Work, map: _Map, momentum: float, decay: float, R_decay: float = 0.0) -> None:
    """M, G and R of a hidden layer, running means, from the sums over a minibatch that `backward` has left."""
    assert work.sums is not None and work.counts is not None
    n, d, symbols, counts = work.n, work.d, work.codes is not None, work.counts
    sums = sums_by_name(work.sums, d, n, work.K, symbols)
    _fold_in(map.M, momentum, np.hstack([sums["L_x"][:-1].T, sums["L_s"], sums["L_x"][-1:].T]), counts[WEIGHT])
    if symbols:
        G_xs = sums["G_xs"]
        of_ones = np.append(G_xs[:, :-1].sum(axis=0), counts[GRAM_ROWS])
        gram = np.vstack([G_xs, np.hstack([sums["G_s"], np.zeros((n, 1))]), of_ones]).astype(map.G.dtype)
    else:
        x, s = slice(d), slice(d, d + n)
        gram = np.zeros((d + n + 1, d + n + 1), map.G.dtype)
        gram[x, x], gram[s, x], gram[s, s] = sums["G_x"][:-1, :-1], sums["G_sx"][:, :-1], sums["G_s"]
        gram[-1, x], gram[-1, s], gram[-1, -1] = sums["G_x"][-1, :-1], sums["G_sx"][:, -1], counts[GRAM_ROWS]
    _fold_in(map.G, decay, gram, counts[GRAM_ROWS])
    if map.R is not None:
        _fold_in(map.R, R_decay, counts[COUNTS:].reshape(n, n), counts[R_ROWS])


def fold_outputs(map: _Map, sums: FloatArray, counts: NDArray[np.float64], momentum: float, decay: float) -> None:
    """M and G of an output layer from [L, G_batch]."""
    of_M = map.p * map.m
    _fold_in(map.M, momentum, sums[:of_M].reshape(map.p, map.m), counts[WEIGHT])
    _fold_in(map.G, decay, sums[of_M : of_M + map.m * map.m].reshape(map.m, map.m), counts[OUTPUT_ROWS])


def _fold_in(statistic: FloatArray, keep_share: float, batch: FloatArray, count: float) -> None:
    """The running mean of a statistic, given the sum over a minibatch and over how many."""
    if count:
        statistic *= keep_share
        statistic += (1 - keep_share) / count * batch
