from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .batch import _Batch
from .work import _Work

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.intp]

def backward(
    work: _Work,
    batch: _Batch,
    lambda3: FloatArray | None,
    weights: FloatArray | None,
    cap: float,
    gram_first: int,
    gram_every: int,
    R_every: int = 1,
    from_zero: bool = True,
    with_outputs: bool = True,
    roots: FloatArray | None = None,
    R_positions: IntArray | None = None,
) -> int: ...
