"""The twin of ``_kernels/weights.pyx``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from admmirnn.data.gram_blocks import blocks_of_gram

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from admmirnn._typing import FloatArray, LayerOutcome


def _whole(G: FloatArray, d: int, n_ones: int) -> FloatArray:
    """G in its lower triangle, from the columns of [s 1] of it if its ``d`` other columns are symbols.

    Of these the diagonal is ``n_ones`` times the last column: each is counted in so many equations, of which the last
    is one.
    """
    if not d:
        return G
    m = len(G)
    whole = np.zeros((m, m), G.dtype)
    whole[range(d), range(d)] = n_ones * G[:d, -1]
    whole[d:, :d], whole[d:, d:] = G[:d].T, G[d:]
    return whole


def _blocks(map: _Map, G: FloatArray) -> list[tuple[slice, FloatArray]]:
    """The columns of the blocks of G, or of its factor, and these."""
    if map.n_symbols:
        return [(slice(0, map.m), _whole(G, map.n_symbols, map.n_ones))]
    return blocks_of_gram(G, map.m, map.gram_blocks)


def _cholesky(G: FloatArray, shift: float) -> FloatArray:
    damped = np.tril(G) + np.tril(G, -1).T + G.dtype.type(shift) * np.eye(len(G), dtype=G.dtype)
    found: FloatArray = cho_factor(damped, lower=True, check_finite=False)[0]
    return found


def _factorise(blocks: list[FloatArray], damping: float) -> tuple[list[FloatArray] | None, float, float]:
    """The Cholesky factors of the blocks of G + shift I, the damping in force and the shift; None, NaN without any."""
    m, dtype = sum(len(G) for G in blocks), blocks[0].dtype
    least = 1e-6 if dtype == np.float32 else 1e-14
    trace = float(sum(np.trace(G, dtype=np.float64) for G in blocks))
    if not (np.isfinite(trace) and all(np.isfinite(np.tril(G)).all() for G in blocks)):
        return None, damping, np.nan
    while True:
        shift = damping * trace / m
        if not abs(shift) <= np.finfo(dtype).max:
            return None, damping, np.nan
        try:
            return [_cholesky(G, shift) for G in blocks], damping, shift
        except LinAlgError:
            damping = max(10 * damping, least)


def _factorise_penalty(R: NDArray[np.float64], damping: float, dtype: np.dtype[Any]) -> tuple[FloatArray | None, float]:
    """The Cholesky factor of P = R / (tr(R)/n) + damping I, and the damping in force; None when R is not finite."""
    mean = float(np.trace(R)) / len(R)
    if not np.isfinite(mean):
        return None, damping
    scaled = np.tril(R / mean if mean > 0 else np.zeros_like(R)).astype(dtype)
    while np.isfinite(dtype.type(damping)):
        try:
            return _cholesky(scaled, damping), damping
        except LinAlgError:
            damping = max(10 * damping, 1e-6 if dtype == np.float32 else 1e-14)
    return None, damping


class Layer(Protocol):
    """What `linear_map` looks at."""

    p: int
    m: int
    n_symbols: int
    n_ones: int
    ridge_columns: tuple[int, int]
    gram_blocks: tuple[int, int]
    weights: FloatArray
    M: FloatArray
    pull: FloatArray
    G: FloatArray
    factor: FloatArray
    D: FloatArray
    R: NDArray[np.float64] | None
    P_factor: FloatArray | None


class _Map:
    """A matrix of weights with its statistics, see `linear_map`."""

    p: int
    m: int
    n_symbols: int
    ridge_columns: tuple[int, int]
    gram_blocks: tuple[int, int]
    weights: FloatArray
    factor: FloatArray
    P_factor: FloatArray | None
    pull: FloatArray

    def __init__(self, layer: Layer) -> None:
        self.p, self.m, self.n_symbols, self.ridge_columns = layer.p, layer.m, layer.n_symbols, layer.ridge_columns
        self.n_ones: int = layer.n_ones
        self.gram_blocks = layer.gram_blocks
        self.weights, self.D, self.factor, self.P_factor = layer.weights, layer.D, layer.factor, layer.P_factor
        self.M, self.pull, self.G, self.R = layer.M, layer.pull, layer.G, layer.R


def linear_map(layer: Layer, scratch: FloatArray, n_threads: int = 1) -> _Map:
    """What `weight_step`, `move_weights` and `fold` take; there is no need for ``scratch``, nor for threads."""
    return _Map(layer)


def weight_step(
    map: _Map,
    damping: float,
    r: float,
    radius: float,
    schedule: float,
    factored: LayerOutcome | None = None,
) -> LayerOutcome:
    """D = P^-1 M (G + damping tr(G)/m I)^-1, P = R / (tr(R)/p) + damping I, or I; and the length of the step.

    Returns (|D|, length = schedule min(1/r, radius / |D|), damping, shift); D and the factors are written.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return _weight_step(map, damping, r, radius, schedule, factored)


def _weight_step(
    map: _Map, damping: float, r: float, radius: float, schedule: float, factored: LayerOutcome | None
) -> LayerOutcome:
    M, blocks, R, D, symbols = map.pull, _blocks(map, map.G), map.R, map.D, map.n_symbols > 0
    if factored is None:
        factors, least_damping, shift = _factorise([G for _, G in blocks], damping)
        if factors is not None:
            of_blocks = map.G if symbols else np.concatenate([factor.ravel() for factor in factors])
            map.factor[:] = of_blocks.reshape(map.factor.shape)
    else:
        _, _, least_damping, shift = factored
    if R is not None:
        assert map.P_factor is not None
        factor, damping = _factorise_penalty(R, damping, map.G.dtype)
        if factor is None:
            shift = np.nan
        else:
            map.P_factor[:] = factor
        damping = max(damping, least_damping)
    else:
        damping = least_damping
    if not (np.isfinite(shift) and np.isfinite(M).all()):
        return np.nan, np.nan, damping, shift
    for columns, factor in _blocks(map, map.factor):
        factor = _cholesky(factor, shift) if symbols else factor
        D[columns] = cho_solve((factor, True), M.T[columns], check_finite=False)
    PD = D
    if R is not None:
        assert map.P_factor is not None
        D[:] = cho_solve((map.P_factor, True), D.T, check_finite=False).T
        L = np.tril(map.P_factor)
        PD = D @ L @ L.T
    whole = float(np.vdot(D, M.T))
    square = whole - shift * float(np.vdot(PD, D))
    if square < 0.01 * whole:  # rounding would show
        GD = np.concatenate([(np.tril(G) + np.tril(G, -1).T) @ D[columns] for columns, G in blocks])
        square = max(float(np.vdot(PD, GD)), 0)
    if R is not None and np.trace(R) == 0:
        square = 0.0
    norm = float(np.sqrt(square / (map.p * map.n_ones)))
    limit = 1 / r if r > 0 else np.inf
    return norm, schedule * min(limit, radius / norm) if norm else 0.0, damping, shift


def move_weights(map: _Map, length: float, keep: float = 1.0) -> bool:
    """Weights times ``keep`` in the columns of the ridge, plus ``length`` D; whether they are finite."""
    dtype, (first, end) = map.weights.dtype, map.ridge_columns
    with np.errstate(over="ignore", invalid="ignore"):
        map.weights[:, first:end] *= dtype.type(keep)
        map.weights += dtype.type(length) * map.D.T
    return bool(np.isfinite(map.weights).all())
