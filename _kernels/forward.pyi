from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.intp]

def forward(
    observations: Array,
    scale: float,
    first_rows: IntArray,
    lengths: IntArray,
    offsets: IntArray,
    Theta: FloatArray,
    Psi: FloatArray,
    activation: str,
    weights_out: FloatArray,
    X_out: FloatArray | None,
    S_out: FloatArray,
    Q_out: FloatArray,
    labels: IntArray | None = None,
    values: FloatArray | None = None,
    weights: FloatArray | None = None,
    rho: float = 1.0,
    O_plus_out: FloatArray | None = None,
    lambda3_out: FloatArray | None = None,
    loss: str | None = None,
    parameter: float = 0.0,
    n_threads: int = 1,
    read_out: str = "last",
    stride: int = 1,
    initial: FloatArray | None = None,
    H_out: FloatArray | None = None,
    steps_out: NDArray[np.int32] | None = None,
    codes_out: NDArray[np.int32] | None = None,
    plus: FloatArray | None = None,
) -> tuple[float, int | None] | None: ...
