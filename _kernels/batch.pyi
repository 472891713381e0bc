from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
IntArray: TypeAlias = NDArray[np.intp]

class SparseRows(Protocol):
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def values(self) -> Array: ...
    @property
    def columns(self) -> Array: ...
    @property
    def starts(self) -> IntArray: ...

class _Batch: ...

def batch(
    observations: Array | SparseRows,
    scale: float,
    first_rows: IntArray | None,
    lengths: IntArray,
    offsets: IntArray,
    frame: int = 1,
    stride: int = 1,
    standard: Array | None = None,
) -> _Batch: ...
