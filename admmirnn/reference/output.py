"""The twin of ``_kernels/output.pyx``: losses, and their proximal steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from admmirnn._typing import Array, FloatArray, IntArray


_MOST_NEWTON_STEPS = 200


def _relative_softmax(o: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
    """softmax(o) and -log softmax(o)[label] of every row, the latter accurate when it is tiny."""
    rows = np.arange(len(o))
    largest = o.max(axis=1)
    e = np.exp(o - largest[:, None])
    total = e.sum(axis=1)
    others = e.copy()
    others[rows, labels] = 0
    right = o[rows, labels] == largest
    loss = np.where(right, np.log1p(others.sum(axis=1)), np.log(total) + (largest - o[rows, labels]))
    return e / total[:, None], np.where(np.isposinf(largest), np.nan, loss)


def prox_cross_entropy(
    q: FloatArray, labels: IntArray, rho: FloatArray | float, tolerance: float
) -> tuple[FloatArray, FloatArray]:
    """o+ - q and softmax(o+) by Newton's method with a line search, on all rows at once; ``rho`` may be a column."""
    rho_of = np.broadcast_to(rho, (len(q), 1))
    y = np.zeros_like(q)
    y[np.arange(len(q)), labels] = 1
    u = np.zeros_like(q)
    p, value = _relative_softmax(q, labels)
    for _ in range(_MOST_NEWTON_STEPS):
        g = p - y + rho_of * u
        rows = np.flatnonzero(np.abs(g).max(axis=1, initial=0) > tolerance)
        if not len(rows):
            break
        g, p_, u_, q_, previous, rho = g[rows], p[rows], u[rows], q[rows], value[rows], rho_of[rows]
        h = 1 / (rho + p_)
        # (H^-1) g by the Sherman-Morrison formula, H = rho I + diag(p) - p p^T
        inner = (p_ * h * g).sum(axis=1) / (rho[:, 0] * (p_ * h).sum(axis=1))
        step = -(h * g + h * p_ * inner[:, None])
        slope = (g * step).sum(axis=1)
        # what rounding does to the merit function at large outputs
        slack = 1e-15 * (np.abs(previous) + np.abs(q_ + u_).max(axis=1))
        length = np.ones(len(rows))
        while True:
            trial = u_ + length[:, None] * step
            p_trial, loss = _relative_softmax(q_ + trial, labels[rows])
            merit = loss + 0.5 * rho[:, 0] * (trial**2).sum(axis=1)
            short = ~(merit <= previous + 1e-4 * length * slope + slack) & (length >= 1e-12)
            if not short.any():
                break
            length[short] *= 0.5
        u[rows], p[rows], value[rows] = trial, p_trial, merit
    return u, p


def _value_of_cross_entropy(o: FloatArray, labels: IntArray, parameter: float) -> FloatArray:
    return _relative_softmax(o, labels)[1]


def _prox_of_cross_entropy(
    q: FloatArray, labels: IntArray, rho: float, parameter: float, tolerance: float
) -> tuple[FloatArray, FloatArray]:
    u, p = prox_cross_entropy(q, labels, rho, tolerance)
    p[np.arange(len(q)), labels] -= 1
    return q + u, -p


def _value_of_squared_error(o: FloatArray, y: Array, parameter: float) -> FloatArray:
    found: FloatArray = 0.5 * ((y - o) ** 2).sum(axis=1)
    return found


def _prox_of_squared_error(
    q: FloatArray, y: Array, rho: float, parameter: float, tolerance: float
) -> tuple[FloatArray, FloatArray]:
    shrunk = rho / (1 + rho) * (y - q)
    return y - shrunk, shrunk


def _value_of_huber(o: FloatArray, y: Array, delta: float) -> FloatArray:
    size = np.abs(o - y)
    found: FloatArray = np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta)).sum(axis=1)
    return found


def _prox_of_huber(
    q: FloatArray, y: Array, rho: float, delta: float, tolerance: float
) -> tuple[FloatArray, FloatArray]:
    shrunk = rho / (1 + rho) * (y - q)
    pull = np.clip(shrunk, -delta, delta)
    return np.where(np.abs(pull) == delta, q + pull / rho, y - shrunk), pull


def _pinball(o: FloatArray, y: Array, below: FloatArray | float, above: FloatArray | float) -> FloatArray:
    """The slopes are -below where o < y, and above."""
    found: FloatArray = np.where(o >= y, above * (o - y), below * (y - o)).sum(axis=1)
    return found


def _prox_pinball(
    q: FloatArray, y: Array, rho: float, below: FloatArray | float, above: FloatArray | float
) -> tuple[FloatArray, FloatArray]:
    pull = np.clip(rho * (y - q), -above, below)
    return np.where(pull == rho * (y - q), y, q + pull / rho), pull


def _signs(q: FloatArray, labels: IntArray) -> FloatArray:
    """1 at the label, -1 elsewhere."""
    t = np.full_like(q, -1)
    t[np.arange(len(q)), labels] = 1
    return t


def _value_of_hinge(o: FloatArray, labels: IntArray, parameter: float) -> FloatArray:
    found: FloatArray = np.maximum(0, 1 - _signs(o, labels) * o).sum(axis=1)
    return found


def _prox_of_hinge(
    q: FloatArray, labels: IntArray, rho: float, parameter: float, tolerance: float
) -> tuple[FloatArray, FloatArray]:
    t = _signs(q, labels)
    return _prox_pinball(q, t, rho, np.maximum(t, 0), np.maximum(-t, 0))


def _value_of_sigmoid(o: FloatArray, y: Array, parameter: float) -> FloatArray:
    found: FloatArray = (np.log1p(np.exp(-np.abs(o))) + np.where(o > 0, (1 - y) * o, -y * o)).sum(axis=1)
    return found


def _pull_of_sigmoid(o: FloatArray, y: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
    """y - sigma(o), with z = 1 - y, and sigma'(o)."""
    e = np.exp(-np.abs(o))
    large = 1 / (1 + e)
    small = e * large
    return np.where(o > 0, y * small - z * large, y * large - z * small), large * small


def _prox_of_sigmoid(
    q: FloatArray, y: Array, rho: float, parameter: float, tolerance: float
) -> tuple[FloatArray, FloatArray]:
    """u = o+ - q is the root of y - sigma(q + u) - rho u: Newton's method, or halving the bracket, on all at once."""
    pull, slope = _pull_of_sigmoid(q, y, 1 - y)
    side = np.where(pull < 0, -1.0, 1.0)  # o -> -o, so that the root is positive
    y, z, pull, p = np.where(pull < 0, 1 - y, y), np.where(pull < 0, y, 1 - y), np.abs(pull), side * q
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        # sigma(-o) >= rho u; and below log(y) - 37 sigma is nothing to y
        high = np.minimum(pull / rho, np.maximum(1, -np.log(rho) - p))
        low = np.clip(np.minimum(np.log(y) - 37 - p, y / rho * (1 - 1e-15)), 0, high)
    u = np.clip(pull / (rho + slope), low, high)
    before = high - low
    for _ in range(_MOST_NEWTON_STEPS):
        pull, slope = _pull_of_sigmoid(p + u, y, z)
        pull = pull - rho * u
        low, high = np.where(pull > 0, u, low), np.where(pull > 0, high, u)
        step = pull / (rho + slope)
        fast = (low <= u + step) & (u + step <= high) & (2 * np.abs(step) <= before)
        newton = fast | (np.abs(step) <= tolerance * u)
        following = np.where(newton, u + step, low + 0.5 * (high - low))
        before, u = np.abs(following - u), following
        if not (before > tolerance * u).any():
            break
    return q + side * u, rho * (side * u)


class LossOfRows(NamedTuple):
    """What the twin knows of a loss, in float64."""

    value: Callable[[FloatArray, Array, float], FloatArray]
    """R of each row, from (o, y, parameter)."""
    prox: Callable[[FloatArray, Array, float, float, float], tuple[FloatArray, FloatArray]]
    """o+ and rho (o+ - q), from (q, y, rho, parameter, tolerance)."""
    tolerance: float = 1e-15
    """Of the proximal step of a network in float64."""


LOSSES = {
    "cross_entropy": LossOfRows(_value_of_cross_entropy, _prox_of_cross_entropy, tolerance=1e-13),
    "hinge": LossOfRows(_value_of_hinge, _prox_of_hinge),
    "squared_error": LossOfRows(_value_of_squared_error, _prox_of_squared_error),
    "sigmoid_cross_entropy": LossOfRows(_value_of_sigmoid, _prox_of_sigmoid),
    "huber": LossOfRows(_value_of_huber, _prox_of_huber),
    "quantile": LossOfRows(
        lambda o, y, quantile: _pinball(o, y, quantile, 1 - quantile),
        lambda q, y, rho, quantile, tolerance: _prox_pinball(q, y, rho, quantile, 1 - quantile),
    ),
    "absolute_error": LossOfRows(
        lambda o, y, parameter: np.abs(o - y).sum(axis=1),
        lambda q, y, rho, parameter, tolerance: _prox_pinball(q, y, rho, 1, 1),
    ),
}


def _rows_with_weight(
    O: FloatArray, labels: IntArray | None, values: FloatArray | None, weights: FloatArray
) -> tuple[NDArray[np.intp], FloatArray, Array, FloatArray]:
    """Which rows have a weight, and their outputs, targets and weights."""
    rows = np.flatnonzero(weights)
    y = np.asarray(labels)[rows] if values is None else values[rows].astype(np.float64)
    return rows, O[rows].astype(np.float64), y, weights[rows].astype(np.float64)


def o_step(
    Q: FloatArray,
    labels: IntArray | None,
    values: FloatArray | None,
    weights: FloatArray,
    rho: float,
    O_plus_out: FloatArray,
    lambda3_out: FloatArray,
    loss: str,
    parameter: float = 0.0,
) -> tuple[float, int | None]:
    """o+ = argmin_o R(o) + rho/2 |o - q|^2 and lambda3 = weight * rho (o+ - q) of the rows that have a weight.

    Returns the loss at Q, NaN without any weight, and the number of right answers, None for values.
    """
    rows, q, y, w = _rows_with_weight(Q, labels, values, weights)
    O_plus_out[:], lambda3_out[:] = Q, 0
    if len(rows):
        tolerance = 1e-8 if Q.dtype == np.float32 else LOSSES[loss].tolerance
        o_plus, pull = LOSSES[loss].prox(q, y, rho, parameter, tolerance)
        O_plus_out[rows], lambda3_out[rows] = o_plus, w[:, None] * pull
    return loss_value(Q, labels, values, weights, loss, parameter)


def loss_value(
    O: FloatArray,
    labels: IntArray | None,
    values: FloatArray | None,
    weights: FloatArray,
    loss: str,
    parameter: float = 0.0,
) -> tuple[float, int | None]:
    """What `o_step` returns, and nothing else."""
    rows, o, y, w = _rows_with_weight(O, labels, values, weights)
    mean = float((w * LOSSES[loss].value(o, y, parameter)).sum() / w.sum()) if len(rows) else np.nan
    return mean, None if labels is None else int((o.argmax(axis=1) == y).sum())
