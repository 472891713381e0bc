from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]

class _Stepper:
    def read(self, observations: object, outputs: FloatArray) -> int: ...

def stepper(
    Theta: FloatArray,
    Psi: FloatArray,
    activation: str,
    read_out: str,
    scale: float,
    stride: int,
    S: FloatArray,
    pooled: NDArray[np.float64] | None,
    recent: FloatArray,
    n_read: NDArray[np.int64],
    answer: str,
    mean: NDArray[np.float64] | None = None,
    deviation: NDArray[np.float64] | None = None,
) -> _Stepper: ...
