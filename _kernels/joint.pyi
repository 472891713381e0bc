from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.intp]

def mirror(A: FloatArray, lengths: IntArray, offsets: IntArray, A_out: FloatArray) -> None: ...
def joint_room(h: int, K: int) -> int: ...
def joint_statistics(
    H: FloatArray,
    H_reverse: FloatArray,
    lambda3: FloatArray,
    weights: FloatArray,
    offsets: IntArray,
    momentum: float,
    decay: float,
    gram_first: int,
    gram_every: int,
    M_out: FloatArray,
    G_out: FloatArray,
    scratch_out: FloatArray,
    read_out: str = "last",
) -> None: ...
