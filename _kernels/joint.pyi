from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .batch import _Batch
from .work import _Work

FloatArray: TypeAlias = NDArray[np.floating[Any]]

def mirror(A: FloatArray, batch: _Batch, A_out: FloatArray) -> None: ...
def joint_room(h: int, K: int) -> int: ...
def joint_sums(
    work: _Work,
    batch: _Batch,
    H_reverse: FloatArray,
    n_reverse: int,
    lambda3: FloatArray,
    weights: FloatArray,
    gram_first: int,
    gram_every: int,
    sums_out: FloatArray,
    counts_out: NDArray[np.float64],
) -> None: ...
