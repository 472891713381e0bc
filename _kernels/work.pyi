from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]

class AnyCell(Protocol):
    @property
    def name(self) -> str: ...

class Room(Protocol):
    d: int
    n: int
    K: int
    maps: Sequence[FloatArray]
    Psi: FloatArray
    cell: AnyCell
    read_out: str
    n_threads: int
    gram_block: int
    weights_T: FloatArray
    X: FloatArray | None
    codes: NDArray[np.int32] | None
    S: FloatArray
    A: FloatArray | None
    C: FloatArray | None
    Q: FloatArray
    H: FloatArray | None
    steps: NDArray[np.int32] | None
    O_plus: FloatArray | None
    lambda3: FloatArray | None
    lambda1: FloatArray | None
    lambda_c: FloatArray | None
    initial_multipliers: FloatArray | None
    lambda_s: FloatArray | None
    lambda_x: FloatArray | None
    sums: FloatArray | None
    counts: NDArray[np.float64] | None

class _Work: ...

def scratch_rows(cell: AnyCell, n: int, n_threads: int) -> int: ...
def work(room: Room) -> _Work: ...
