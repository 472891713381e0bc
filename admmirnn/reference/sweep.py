"""The twin of ``_kernels/sweep.pyx``: Algorithm 1 as it is written.

Every update of a weight sums over all steps anew, so an iteration costs O(N^2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from admmirnn.activations import FUNCTIONS
from admmirnn.reference.hidden import a_step
from admmirnn.reference.output import prox_cross_entropy

if TYPE_CHECKING:
    from admmirnn._typing import FloatArray, SweepSettings, Variables


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
        self.d, self.N = variables.d, len(variables.offsets) - 2
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
            u, _ = prox_cross_entropy(q, labels, 1 / ratio, 1e-8 if v.O.dtype == np.float32 else 1e-13)
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
            s[:] = (at.r * s + omega2 * FUNCTIONS[at.activation][0](v.A[rows]) + pull) / (at.r + omega2)
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
