from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .batch import _Batch
from .work import _Work

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.intp]

class Targets(Protocol):
    labels: IntArray | None
    values: FloatArray | None
    weights: FloatArray
    rho: float
    loss: str | None
    parameter: float

def forward(
    work: _Work,
    batch: _Batch,
    initial: FloatArray | None = None,
    plus: FloatArray | None = None,
    targets: Targets | None = None,
    initial_c: FloatArray | None = None,
) -> tuple[float, int | None] | None: ...
