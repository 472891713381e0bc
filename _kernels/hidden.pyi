from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]

def a_step(
    alpha: FloatArray, target: FloatArray, r: float, penalty: float, activation: str, a_out: FloatArray
) -> None: ...
