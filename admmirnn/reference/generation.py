"""The twin of ``_kernels/generation.pyx``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from admmirnn.reference.stepping import Layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from admmirnn._typing import FloatArray
    from admmirnn.reference.stepping import Layer


def generate(
    d: int,
    layers: Sequence[Layer],
    Psi: FloatArray,
    codes: NDArray[np.int32],
    temperature: float,
    uniforms: NDArray[np.float64],
    state_out: FloatArray,
    codes_out: NDArray[np.int32],
) -> bool:
    """Read symbols, and draw as many more as there are ``uniforms``; returns whether all outputs were finite."""
    V, c, x = Psi[:, :-1], Psi[:, -1], np.zeros((1, d), Psi.dtype)
    found = Layers("generate", layers, d, Psi.dtype)
    if found.n_hidden != V.shape[1] or len(state_out) != found.n_carried:
        raise ValueError(
            f"generate: Psi has {V.shape[1]} columns for states and state_out has {len(state_out)} numbers; the layers "
            f"need {found.n_hidden} and {found.n_carried}"
        )

    def read(code: int) -> FloatArray:
        x[:] = 0
        x[0, code] = 1
        states, state_out[None] = found.step(x, state_out[None])
        return states

    for code in codes[:-1]:
        read(code)
    code = codes[-1]
    for i, uniform in enumerate(uniforms):
        q = (V @ read(code)[0] + c).astype(np.float64)
        if not np.isfinite(q).all():
            return False
        if temperature == 0:
            code = q.argmax()
        else:
            p = np.exp((q - q.max()) / temperature)
            code = min(np.searchsorted(p.cumsum(), uniform * p.sum(), side="right"), d - 1)
        codes_out[i] = code
    return True
