from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
IntArray: TypeAlias = NDArray[np.intp]

class _Batch: ...

def batch(
    observations: Array,
    scale: float,
    first_rows: IntArray | None,
    lengths: IntArray,
    offsets: IntArray,
    frame: int = 1,
    stride: int = 1,
    standard: Array | None = None,
) -> _Batch: ...
