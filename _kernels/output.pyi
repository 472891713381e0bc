from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.intp]

def o_step(
    Q: FloatArray,
    labels: IntArray | None,
    values: FloatArray | None,
    weights: FloatArray,
    rho: float,
    O_plus_out: FloatArray,
    lambda3_out: FloatArray,
    loss: str,
    parameter: float = 0.0,
) -> tuple[float, int | None]: ...
def loss_value(
    O: FloatArray,
    labels: IntArray | None,
    values: FloatArray | None,
    weights: FloatArray,
    loss: str,
    parameter: float = 0.0,
) -> tuple[float, int | None]: ...
