from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.floating[Any]]
LayerOutcome: TypeAlias = tuple[float, float, float, float]

def update_weights(
    M: FloatArray,
    G: FloatArray,
    factor_out: FloatArray,
    D_out: FloatArray,
    Theta_out: FloatArray,
    output_M: FloatArray | None,
    output_G: FloatArray | None,
    output_factor_out: FloatArray | None,
    output_D_out: FloatArray | None,
    Psi_out: FloatArray | None,
    scratch_out: FloatArray,
    damping: float,
    r: float,
    radius: float,
    output_radius: float,
    schedule: float,
    shrinkage: float,
    factored: tuple[LayerOutcome, LayerOutcome] | None = None,
    R: NDArray[np.float64] | None = None,
    P_factor_out: FloatArray | None = None,
) -> tuple[LayerOutcome, LayerOutcome]: ...
