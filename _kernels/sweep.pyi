from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.intp]

class Variables(Protocol):
    d: int
    n: int
    K: int
    offsets: IntArray
    labels: IntArray
    values: FloatArray | None
    row_weights: FloatArray
    Theta: FloatArray
    Psi: FloatArray
    Z: FloatArray
    H: FloatArray
    A: FloatArray
    O: FloatArray
    lambda1: FloatArray
    lambda2: FloatArray
    lambda3: FloatArray
    @property
    def scratch(self) -> FloatArray: ...

class SweepSettings(Protocol):
    @property
    def rho1(self) -> float: ...
    @property
    def rho2(self) -> float: ...
    @property
    def rho3(self) -> float: ...
    @property
    def nu(self) -> float: ...
    @property
    def r(self) -> float: ...
    @property
    def derived(self) -> bool: ...
    @property
    def linearised(self) -> bool: ...
    @property
    def linear(self) -> bool: ...
    @property
    def coupled(self) -> bool: ...
    @property
    def activation(self) -> str: ...
    @property
    def penalty(self) -> str: ...
    @property
    def penalty_weight(self) -> float: ...

def sweep_room(rows: int, B: int, d: int, n: int, K: int, penalised: bool) -> int: ...
def sweep(variables: Variables, settings: SweepSettings, blocks: bytes, first: int, last: int) -> None: ...
