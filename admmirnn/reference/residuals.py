"""The twin of ``_kernels/residuals.pyx``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admmirnn.activations import FUNCTIONS

if TYPE_CHECKING:
    from admmirnn._typing import FloatArray, IntArray, Variables


def roll_out(d: int, n: int, Theta: FloatArray, offsets: IntArray, activation: str, Z_out: FloatArray) -> None:
    """Write the states of all steps into Z: s_t = f(U x_t + W s_{t-1} + b), Theta = [U W b]."""
    f, _ = FUNCTIONS[activation]
    for t in range(len(offsets) - 2):
        block = Z_out[offsets[t] : offsets[t + 1]]
        following = Z_out[offsets[t + 1] : offsets[t + 2]]
        following[: len(block), d : d + n] = f(block @ Theta.T)


def residuals(
    variables: Variables,
    activation: str,
    a_residual_out: FloatArray,
    s_residual_out: FloatArray,
    o_residual_out: FloatArray,
) -> None:
    """a_t - U x_t - W s_{t-1} - b,  s_t - f(a_t),  o_t - V s_t - c, a row for every step of every sequence."""
    v = variables
    a_residual_out[:] = v.A - v.Z[: len(v.A)] @ v.Theta.T
    s_residual_out[:] = v.H[:, :-1] - FUNCTIONS[activation][0](v.A)
    o_residual_out[:] = v.O - v.H @ v.Psi.T
