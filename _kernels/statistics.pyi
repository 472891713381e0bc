from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .weights import _Map
from .work import AnyCell, _Work

FloatArray: TypeAlias = NDArray[np.floating[Any]]

def sums_room(cell: AnyCell, d: int, n: int, K: int, symbols: bool = False, block: int = 0) -> tuple[int, int]: ...
def counts_room(cell: AnyCell, n: int, with_R: bool) -> int: ...
def backward_room(
    cell: AnyCell, d: int, n: int, K: int, n_threads: int, symbols: bool = False, block: int = 0
) -> int: ...
def fold(work: _Work, map: _Map, momentum: float, decay: float, R_decay: float = 0.0, which: int = 0) -> None: ...
def fold_outputs(map: _Map, sums: FloatArray, counts: NDArray[np.float64], momentum: float, decay: float) -> None: ...
