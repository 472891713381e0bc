from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .work import AnyCell as Cell

FloatArray: TypeAlias = NDArray[np.floating[Any]]

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
) -> bool: ...
