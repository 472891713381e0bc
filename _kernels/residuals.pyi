from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.intp]

def roll_out(Theta: FloatArray, offsets: IntArray, activation: str, Z_out: FloatArray) -> None: ...
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
) -> None: ...
