from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .sweep import Variables

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.intp]

def roll_out(d: int, n: int, Theta: FloatArray, offsets: IntArray, activation: str, Z_out: FloatArray) -> None: ...
def residuals(
    variables: Variables,
    activation: str,
    a_residual_out: FloatArray,
    s_residual_out: FloatArray,
    o_residual_out: FloatArray,
) -> None: ...
