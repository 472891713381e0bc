from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]

class GatedCell(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def n_kept(self) -> int: ...
    @property
    def n_biases(self) -> int: ...
    @property
    def has_cell_state(self) -> bool: ...

def step_rows(
    cell: GatedCell,
    A: FloatArray,
    s_before: FloatArray,
    biases: FloatArray | None,
    c_before: FloatArray | None,
    states_out: FloatArray,
    c_out: FloatArray | None,
) -> None: ...
def pull_back_rows(
    cell: GatedCell,
    A: FloatArray,
    s_before: FloatArray,
    c_before: FloatArray | None,
    c: FloatArray | None,
    multipliers: FloatArray,
    lambda_c: FloatArray | None,
    sums_out: FloatArray | None = None,
) -> None: ...
