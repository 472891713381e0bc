"""The numpy twin of ``_kernels/sweep.pyx`` and ``_kernels/hidden.pyx``: Algorithm 1 as it is written.

Every update of a weight sums over all steps anew, so an iteration costs O(N^2).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from admmirnn.reference import _ACTIVATIONS, LEAK, _prox_cross_entropy

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from admmirnn._typing import FloatArray, IntArray, SweepSettings, Variables

_MOST_NEWTON_STEPS = 500


# The a-step


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


# The residuals, and the sweep


def roll_out(Theta: FloatArray, offsets: IntArray, activation: str, Z_out: FloatArray) -> None:
    """Write the states of all steps into Z: s_t = f(U x_t + W s_{t-1} + b), Theta = [U W b]."""
    f, _ = _ACTIVATIONS[activation]
    n, m = Theta.shape
    for t in range(len(offsets) - 2):
        block = Z_out[offsets[t] : offsets[t + 1]]
        following = Z_out[offsets[t + 1] : offsets[t + 2]]
        following[: len(block), m - n - 1 : -1] = f(block @ Theta.T)


def residuals(
    Theta: FloatArray,
    Psi: FloatArray,
    Z: FloatArray,
    H: FloatArray,
    A: FloatArray,
    O: FloatArray,
    activation: str,
    a_residual_out: FloatArray,
    s_residual_out: FloatArray,
    o_residual_out: FloatArray,
) -> None:
    """a_t - U x_t - W s_{t-1} - b,  s_t - f(a_t),  o_t - V s_t - c, a row for every step of every sequence."""
    a_residual_out[:] = A - Z[: len(A)] @ Theta.T
    s_residual_out[:] = H[:, :-1] - _ACTIVATIONS[activation][0](A)
    o_residual_out[:] = O - H @ Psi.T


def sweep_room(rows: int, B: int, d: int, n: int, K: int, penalised: bool) -> int:
    """How many numbers of scratch the sweep needs: none."""
    return 0


def sweep(variables: Variables, settings: SweepSettings, blocks: bytes, first: int, last: int) -> None:
    """Update blocks of the variables and the weights, in place, as the kernel does."""
    updates = _Updates(variables, settings)
    for t in range(first, last):
        for block in blocks.decode():
            getattr(updates, block)(t)


class _Updates:
    """One method a block, with the equation it solves."""

    def __init__(self, variables: Variables, settings: SweepSettings) -> None:
        self.v, self.at = variables, settings
        self.rows, self.B = len(variables.A), len(variables.lambda1)
        self.d, self.N = variables.Theta.shape[1] - variables.Theta.shape[0] - 1, len(variables.offsets) - 2
        self.sign = 1 if settings.derived else -1
        self.step = self.sign / (self.rows * settings.r)

    def block(self, t: int) -> slice:
        return slice(self.v.offsets[t], self.v.offsets[t + 1])

    def omega(self, rho: float) -> FloatArray:
        """nu for t < N, rho at the last step, as a column."""
        omega = np.full((self.rows, 1), self.at.nu, self.v.Theta.dtype)
        omega[self.rows - self.B :] = rho
        return omega

    def p(self, t: int | None = None) -> FloatArray:
        """omega1 (a_t - U x_t - W s_{t-1} - b) +- lambda1, at one step or at all."""
        rows = slice(0, self.rows) if t is None else self.block(t)
        p: FloatArray = self.omega(self.at.rho1)[rows] * (self.v.A[rows] - self.v.Z[rows] @ self.v.Theta.T)
        if rows.stop == self.rows:
            p[-self.B :] += self.sign * self.v.lambda1
        return p

    def e(self, t: int | None = None) -> FloatArray:
        """omega3 (o_t - V s_t - c) +- lambda3, at one step or at all."""
        rows = slice(0, self.rows) if t is None else self.block(t)
        e: FloatArray = self.omega(self.at.rho3)[rows] * (self.v.O[rows] - self.v.H[rows] @ self.v.Psi.T)
        if rows.stop == self.rows:
            e[-self.B :] += self.sign * self.v.lambda3
        return e

    def o(self, t: int) -> None:
        """prox of R / omega3 at q_t -+ lambda3 / omega3, or the same with R linearised there."""
        rows, v = self.block(t), self.v
        omega = float(self.omega(self.at.rho3)[rows.start, 0])
        q = v.H[rows].astype(np.float64) @ v.Psi.T.astype(np.float64)
        if t == self.N - 1:
            q -= self.sign * v.lambda3 / omega
        ratio = v.row_weights[rows, None].astype(np.float64) / omega
        if v.values is not None:
            v.O[rows] = q + ratio / (1 if self.at.linearised else 1 + ratio) * (v.values[rows] - q)
            return
        v.O[rows] = q
        labelled = np.flatnonzero(v.row_weights[rows])
        q, labels, ratio = q[labelled], v.labels[rows][labelled], ratio[labelled]
        if self.at.linearised:
            y = np.eye(v.O.shape[1])[labels]
            v.O[rows.start + labelled] = q - ratio * (_softmax(q) - y)
        else:
            u, _ = _prox_cross_entropy(q, labels, 1 / ratio, 1e-8 if v.O.dtype == np.float32 else 1e-13)
            v.O[rows.start + labelled] = q + u

    def c(self, t: int) -> None:
        """c = sum (omega3 (o_t - V s_t)) +- lambda3, over sum omega3."""
        self.v.Psi[:, -1] += self.e().sum(axis=0) / self.omega(self.at.rho3).sum()

    def V(self, t: int) -> None:
        """V + sum (omega3 e_t +- lambda3) s_t^T / (N r)."""
        self.v.Psi[:, :-1] += self.step * (self.e().T @ self.v.H[:, :-1])

    def s(self, t: int) -> None:
        """[r s_t + omega2 f(a_t) - lambda2 + V^T (omega3 e_t + lambda3)] / (r + omega2)."""
        v, at, rows, final = self.v, self.at, self.block(t), t == self.N - 1
        count = rows.stop - rows.start
        following = slice(rows.stop, rows.stop + count)
        omega2 = at.rho2 if final else at.nu
        s = v.H[rows, :-1]
        pull = self.sign * (self.e(t) @ v.Psi[:, :-1])
        if at.coupled and not final:
            pull += self.sign * (self.p(t + 1)[:count] @ v.Theta[:, self.d : -1])
        if final and not at.derived:
            s += pull / at.r  # Eq. (14) as printed has no term in s_N - f(a_N)
        else:
            if final:
                pull -= v.lambda2
            s[:] = (at.r * s + omega2 * _ACTIVATIONS[at.activation][0](v.A[rows]) + pull) / (at.r + omega2)
        v.Z[following, self.d : -1] = s

    def a(self, t: int) -> None:
        """argmin_a r/2 (a - alpha)^2 + omega2/2 (s_t +- lambda2/omega2 - f(a))^2, alpha = a_t - (p +- lambda1)/r."""
        v, at, rows, final = self.v, self.at, self.block(t), t == self.N - 1
        omega2 = at.rho2 if final else at.nu
        alpha = v.A[rows] - self.p(t) / at.r
        target = v.H[rows, :-1] + (self.sign / at.rho2 * v.lambda2 if final else 0)
        if at.linear:
            v.A[rows] = (at.r * alpha + omega2 * target) / (at.r + omega2)
        else:
            a_step(alpha, target, at.r, omega2, at.activation, v.A[rows])

    def b(self, t: int) -> None:
        """b = sum (omega1 (a_t - U x_t - W s_{t-1})) +- lambda1, over sum omega1."""
        self.v.Theta[:, -1] += self.p().sum(axis=0) / self.omega(self.at.rho1).sum()

    def W(self, t: int) -> None:
        """prox of Omega / (N r) at W + sum (omega1 p_t +- lambda1) s_{t-1}^T / (N r)."""
        W = self.v.Theta[:, self.d : -1]
        W += self.step * (self.p().T @ self.v.Z[: self.rows, self.d : -1])
        shrinkage = self.at.penalty_weight / (self.rows * self.at.r)
        if self.at.penalty == "ridge":
            W /= 1 + shrinkage
        elif self.at.penalty == "lasso":
            W[:] = np.sign(W) * np.maximum(np.abs(W) - shrinkage, 0)

    def U(self, t: int) -> None:
        """U + sum (omega1 p_t +- lambda1) x_t^T / (N r)."""
        self.v.Theta[:, : self.d] += self.step * (self.p().T @ self.v.Z[: self.rows, : self.d])


def _softmax(o: FloatArray) -> FloatArray:
    e = np.exp(o - o.max(axis=1, keepdims=True))
    found: FloatArray = e / e.sum(axis=1, keepdims=True)
    return found
