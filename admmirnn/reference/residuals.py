"""The twin of ``_kernels/residuals.pyx``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admmirnn.reference.activations import ACTIVATIONS

if TYPE_CHECKING:
    from admmirnn._typing import FloatArray, IntArray


def roll_out(Theta: FloatArray, offsets: IntArray, activation: str, Z_out: FloatArray) -> None:
    """Write the states of all steps into Z: s_t = f(U x_t + W s_{t-1} + b), Theta = [U W b]."""
    f, _ = ACTIVATIONS[activation]
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
    s_residual_out[:] = H[:, :-1] - ACTIVATIONS[activation][0](A)
    o_residual_out[:] = O - H @ Psi.T
