from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .work import AnyCell as Cell

FloatArray: TypeAlias = NDArray[np.floating[Any]]
Frame: TypeAlias = tuple[int, int]

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
    n: int,
    frame: Frame,
    Theta: FloatArray,
    Psi: FloatArray,
    cell: Cell,
    read_out: str,
    scale: float,
    state: State,
    answer: Answer,
) -> _Stepper: ...
