from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]

class Layer(Protocol):
    @property
    def n_hidden(self) -> int: ...
    @property
    def cell(self) -> Any: ...
    @property
    def maps(self) -> Sequence[FloatArray]: ...

def generate(
    d: int,
    layers: Sequence[Layer],
    Psi: FloatArray,
    codes: NDArray[np.int32],
    temperature: float,
    uniforms: NDArray[np.float64],
    state_out: FloatArray,
    codes_out: NDArray[np.int32],
) -> bool: ...
