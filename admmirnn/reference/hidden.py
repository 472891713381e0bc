"""The twin of ``_kernels/hidden.pyx``: the a-step of Algorithm 1."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from admmirnn.activations import LEAK

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from admmirnn._typing import FloatArray


_MOST_NEWTON_STEPS = 500


def a_step(alpha: FloatArray, target: FloatArray, r: float, penalty: float, activation: str, a_out: FloatArray) -> None:
    """a = argmin_a r/2 (a - alpha)^2 + penalty/2 (target - f(a))^2, the global minimiser of every entry."""
    step = _A_STEPS[activation]
    a_out[:] = step(alpha.astype(np.float64), target.astype(np.float64), r, penalty)


def _relu_step(alpha: FloatArray, target: FloatArray, r: float, penalty: float, leak: float = 0.0) -> FloatArray:
    """The better of the minimisers on both sides of zero."""
    scale = np.maximum(np.abs(alpha), np.abs(target))
    scale[scale == 0] = 1
    alpha, target = alpha / scale, target / scale  # the problem is homogeneous
    above = np.maximum((r * alpha + penalty * target) / (r + penalty), 0)
    below = np.minimum((r * alpha + leak * penalty * target) / (r + leak**2 * penalty), 0)
    value_above = r * (above - alpha) ** 2 + penalty * (target - above) ** 2
    value_below = r * (below - alpha) ** 2 + penalty * (target - leak * below) ** 2
    return np.where(value_above <= value_below, above, below) * scale


def _tanh_step(alpha: FloatArray, target: FloatArray, r: float, penalty: float) -> FloatArray:
    """The first or the last root of the derivative, whichever is the lower minimum (see ``_kernels/hidden.pyx``)."""
    sign = np.where(target >= np.tanh(alpha), 1.0, -1.0)
    alpha, target, ratio = sign * alpha, sign * target, penalty / r

    def h(a: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The derivative of the objective over r, and its own derivative."""
        T, e = np.tanh(a), np.exp(-2 * np.abs(a))
        slope = 4 * e / (1 + e) ** 2
        return a - alpha - ratio * (target - T) * slope, 1 - ratio * slope * (3 * T * T - 2 * target * T - 1)

    def newton(a: FloatArray, low: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Newton's method on h, as long as h increases and a >= low; the last points, and whether they are roots."""
        a, found, moving = a.copy(), np.zeros(a.shape, bool), np.ones(a.shape, bool)
        for _ in range(_MOST_NEWTON_STEPS):
            value, derivative = h(a)
            moving &= derivative > 0
            step = np.where(moving, value / np.where(moving, derivative, 1), 0)
            a -= step
            below = moving & ~(a >= low)
            a = np.where(below, low, a)
            found |= moving & ~below & (np.abs(step) <= 1e-15 * (1 + np.abs(a)))
            moving &= ~below & ~found
            if not moving.any():
                break
        return a, found | moving

    T_alpha = np.tanh(alpha)
    far = alpha + ratio * (target - T_alpha)
    with np.errstate(divide="ignore", invalid="ignore"):
        meets = np.maximum(alpha, np.arctanh(np.clip(target, -1, 1)))
        far = np.where(target < 1, np.minimum(far, meets), far)
        T = _bend(target, np.full(target.shape, -1.0))
        first_bend = np.where(T > -1, np.arctanh(np.maximum(T, -1)), -np.inf)
        T = np.where(target > 0, _bend(target, np.minimum(target / 6, 1)), 1)
        second_bend = np.where(T < 1, np.minimum(far, np.arctanh(np.clip(T, -1, 1))), far)
        start = np.maximum(alpha, second_bend)
        upwards = (alpha >= second_bend) | (h(start)[0] < 0)
        last, last_found = newton(start, np.where(upwards, -np.inf, np.maximum(alpha, first_bend)))
        first, first_found = newton(alpha, np.full(alpha.shape, -np.inf))
        first_found &= (alpha < first_bend) & (first <= first_bend)
        T_first, T_last = np.tanh(first), np.tanh(last)
        gain = (first - last) * (first + last - 2 * alpha) + ratio * (T_last - T_first) * (
            2 * target - T_first - T_last
        )
    take_first = first_found & ((far <= first_bend) | ~last_found | (gain < 0))
    return sign * np.where(target == T_alpha, alpha, np.where(take_first, first, last))


def _bend(target: FloatArray, T: FloatArray) -> FloatArray:
    """The root of 6 T^3 - 3 target T^2 - 4 T + target that Newton's method runs to from T."""
    for _ in range(100):
        step = (((6 * T - 3 * target) * T - 4) * T + target) / ((18 * T - 6 * target) * T - 4)
        T = T - step
        if np.abs(step).max(initial=0) <= 1e-14:
            break
    return T


_A_STEPS: dict[str, Callable[[FloatArray, FloatArray, float, float], FloatArray]] = {
    "tanh": _tanh_step,
    # sigmoid(a) = 1/2 + 1/2 tanh(a/2)
    "sigmoid": lambda alpha, target, r, penalty: 2 * _tanh_step(alpha / 2, 2 * target - 1, r, penalty / 16),
    "relu": _relu_step,
    "leaky_relu": partial(_relu_step, leak=LEAK),
    "identity": lambda alpha, target, r, penalty: (r * alpha + penalty * target) / (r + penalty),
}
