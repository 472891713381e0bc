from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.intp]

def backward_room(d: int, n: int, K: int, n_threads: int, symbols: bool = False) -> int: ...
def backward(
    Theta: FloatArray,
    Psi: FloatArray,
    X: FloatArray | None,
    S: FloatArray,
    offsets: IntArray,
    lambda3: FloatArray,
    activation: str,
    cap: float,
    momentum: float,
    decay: float,
    gram_first: int,
    gram_every: int,
    lambda1_out: FloatArray,
    M_out: FloatArray,
    G_out: FloatArray,
    output_M_out: FloatArray | None,
    output_G_out: FloatArray | None,
    scratch_out: FloatArray,
    n_threads: int = 1,
    read_out: str = "last",
    weights: FloatArray | None = None,
    lengths: IntArray | None = None,
    H_out: FloatArray | None = None,
    steps: NDArray[np.int32] | None = None,
    from_zero: bool = True,
    initial_multipliers_out: FloatArray | None = None,
    codes: NDArray[np.int32] | None = None,
    R_out: NDArray[np.float64] | None = None,
    R_every: int = 1,
    R_decay: float = 0.0,
) -> int: ...
