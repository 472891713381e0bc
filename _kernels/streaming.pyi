from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]
Frame: TypeAlias = tuple[int, int]

class Layer(Protocol):
    @property
    def n_hidden(self) -> int: ...
    @property
    def cell(self) -> Any: ...
    @property
    def maps(self) -> Sequence[FloatArray]: ...

class State(Protocol):
    states: FloatArray
    pooled: NDArray[np.float64] | None
    recent: FloatArray
    n_read: NDArray[np.int64]

class Answer(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def mean(self) -> NDArray[np.float64] | None: ...
    @property
    def deviation(self) -> NDArray[np.float64] | None: ...

class _Stepper:
    def read(self, observations: object, outputs: FloatArray) -> int: ...

def stepper(
    d: int,
    frame: Frame,
    layers: Sequence[Layer],
    Psi: FloatArray,
    read_out: str,
    scale: float,
    state: State,
    answer: Answer,
    standard: NDArray[np.float64] | None = None,
) -> _Stepper: ...
