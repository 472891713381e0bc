"""The twin of ``_kernels/generation.pyx``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from admmirnn._typing import Cell, FloatArray


def generate(
    d: int,
    n: int,
    Theta: FloatArray,
    Psi: FloatArray,
    cell: Cell,
    codes: NDArray[np.int32],
    temperature: float,
    uniforms: NDArray[np.float64],
    state_out: FloatArray,
    codes_out: NDArray[np.int32],
) -> bool:
    """Read symbols, and draw as many more as there are ``uniforms``; returns whether all outputs were finite."""
    U, W, b, V, c = Theta[:, :d], Theta[:, d:-1], Theta[:, -1], Psi[:, :-1], Psi[:, -1]
    for code in codes[:-1]:
        state_out[:] = cell.step(U[:, code] + W @ state_out + b)
    code = codes[-1]
    for i, uniform in enumerate(uniforms):
        state_out[:] = cell.step(U[:, code] + W @ state_out + b)
        q = (V @ state_out + c).astype(np.float64)
        if not np.isfinite(q).all():
            return False
        if temperature == 0:
            code = q.argmax()
        else:
            p = np.exp((q - q.max()) / temperature)
            code = min(np.searchsorted(p.cumsum(), uniform * p.sum(), side="right"), d - 1)
        codes_out[i] = code
    return True
