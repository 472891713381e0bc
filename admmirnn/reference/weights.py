"""The twin of ``_kernels/weights.pyx``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from admmirnn._typing import FloatArray, LayerOutcome


def _whole(G: FloatArray) -> FloatArray:
    """G in its lower triangle, from the columns of [s 1] of it if its other columns are symbols."""
    m, columns = G.shape
    d = m - columns
    if not d:
        return G
    whole = np.zeros((m, m), G.dtype)
    whole[range(d), range(d)] = G[:d, -1]
    whole[d:, :d], whole[d:, d:] = G[:d].T, G[d:]
    return whole


def _cholesky(G: FloatArray, shift: float) -> FloatArray:
    damped = np.tril(G) + np.tril(G, -1).T + G.dtype.type(shift) * np.eye(len(G), dtype=G.dtype)
    found: FloatArray = cho_factor(damped, lower=True, check_finite=False)[0]
    return found


def _factorise(G: FloatArray, damping: float) -> tuple[FloatArray | None, float, float]:
    """The Cholesky factor of G + shift I, the damping in force and the shift; None and NaN when there is none."""
    m = len(G)
    least = 1e-6 if G.dtype == np.float32 else 1e-14
    trace = float(np.trace(G, dtype=np.float64))
    if not (np.isfinite(trace) and np.isfinite(np.tril(G)).all()):
        return None, damping, np.nan
    while True:
        shift = damping * trace / m
        if not abs(shift) <= np.finfo(G.dtype).max:
            return None, damping, np.nan
        try:
            return _cholesky(G, shift), damping, shift
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


def _step(
    M: FloatArray,
    G: FloatArray,
    damping: float,
    r: float,
    radius: float,
    schedule: float,
    factor_out: FloatArray,
    D_out: FloatArray,
    factored: LayerOutcome | None,
    R: NDArray[np.float64] | None = None,
    P_factor_out: FloatArray | None = None,
) -> LayerOutcome:
    """(|D|, length, damping, shift) of one layer; D and the factors are written."""
    columns, G = G, _whole(G)
    symbols = columns is not G
    if factored is None:
        factor, least_damping, shift = _factorise(G, damping)
        if factor is not None:
            factor_out[:] = columns if symbols else factor
    else:
        _, _, least_damping, shift = factored
    if R is not None:
        assert P_factor_out is not None
        factor, damping = _factorise_penalty(R, damping, G.dtype)
        if factor is None:
            shift = np.nan
        else:
            P_factor_out[:] = factor
        damping = max(damping, least_damping)
    else:
        damping = least_damping
    if not (np.isfinite(shift) and np.isfinite(M).all()):
        return np.nan, np.nan, damping, shift
    factor = _cholesky(_whole(factor_out), shift) if symbols else factor_out
    D_out[:] = cho_solve((factor, True), M.T, check_finite=False)
    PD = D_out
    if R is not None:
        assert P_factor_out is not None
        D_out[:] = cho_solve((P_factor_out, True), D_out.T, check_finite=False).T
        L = np.tril(P_factor_out)
        PD = D_out @ L @ L.T
    whole = float(np.vdot(D_out, M.T))
    square = whole - shift * float(np.vdot(PD, D_out))
    if square < 0.01 * whole:  # rounding would show
        square = max(float(np.vdot(PD, (np.tril(G) + np.tril(G, -1).T) @ D_out)), 0)
    if R is not None and np.trace(R) == 0:
        square = 0.0
    norm = float(np.sqrt(square / len(M)))
    limit = 1 / r if r > 0 else np.inf
    return norm, schedule * min(limit, radius / norm) if norm else 0.0, damping, shift


def update_weights(
    M: FloatArray,
    G: FloatArray,
    factor_out: FloatArray,
    D_out: FloatArray,
    Theta_out: FloatArray,
    output_M: FloatArray | None,
    output_G: FloatArray | None,
    output_factor_out: FloatArray | None,
    output_D_out: FloatArray | None,
    Psi_out: FloatArray | None,
    scratch_out: FloatArray,
    damping: float,
    r: float,
    radius: float,
    output_radius: float,
    schedule: float,
    shrinkage: float,
    factored: tuple[LayerOutcome, LayerOutcome] | None = None,
    R: NDArray[np.float64] | None = None,
    P_factor_out: FloatArray | None = None,
) -> tuple[LayerOutcome, LayerOutcome]:
    """Theta += length D, D = P^-1 M (G + damping tr(G)/m I)^-1, length = schedule min(1/r, radius / |D|).

    P = R / (tr(R)/n) + damping I, or I; Psi likewise, always with I.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        hidden = _step(
            M, G, damping, r, radius, schedule, factor_out, D_out, factored and factored[0], R, P_factor_out
        )  # fmt: skip
        output = (0.0, 0.0, 0.0, 0.0)
        if output_M is not None:
            assert output_G is not None and output_factor_out is not None and output_D_out is not None
            output = _step(
                output_M, output_G, damping, r, output_radius, schedule, output_factor_out, output_D_out,
                factored and factored[1],
            )  # fmt: skip
    moved = hidden[0] * hidden[1]
    if np.isfinite(moved) and np.isfinite(output[0] * output[1]):
        if shrinkage:
            distance = schedule * radius if R is None and np.isfinite(radius) else moved
            n, m = Theta_out.shape
            first = m - G.shape[1] if R is not None else m - n - 1  # of U, unless its columns are those of symbols
            Theta_out[:, first:-1] *= Theta_out.dtype.type(max(0.0, 1 - shrinkage * distance))
        hidden = _moved(Theta_out, D_out, hidden)
        if output_M is not None:
            assert Psi_out is not None and output_D_out is not None
            output = _moved(Psi_out, output_D_out, output)
    return hidden, output


def _moved(weights_out: FloatArray, D: FloatArray, outcome: LayerOutcome) -> LayerOutcome:
    """Move the weights, and return the outcome, with an infinite length if they overflow."""
    norm, length, damping, shift = outcome
    with np.errstate(over="ignore", invalid="ignore"):
        weights_out += weights_out.dtype.type(length) * D.T
    return norm, length if np.isfinite(weights_out).all() else np.inf, damping, shift
