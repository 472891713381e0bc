from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]
LayerOutcome: TypeAlias = tuple[float, float, float, float]

class Layer(Protocol):
    p: int
    m: int
    n_symbols: int
    n_ones: int
    ridge_columns: tuple[int, int]
    gram_blocks: tuple[int, int]
    weights: FloatArray
    M: FloatArray
    pull: FloatArray
    G: FloatArray
    factor: FloatArray
    D: FloatArray
    R: NDArray[np.float64] | None
    P_factor: FloatArray | None

class _Map: ...

def linear_map(layer: Layer, scratch: FloatArray, n_threads: int = 1) -> _Map: ...
def weight_step(
    map: _Map,
    damping: float,
    r: float,
    radius: float,
    schedule: float,
    factored: LayerOutcome | None = None,
) -> LayerOutcome: ...
def move_weights(map: _Map, length: float, keep: float = 1.0) -> bool: ...
