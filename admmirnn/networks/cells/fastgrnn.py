"""The cell FastGRNN, with the twin of ``_kernels/_fastgrnn.pyx``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import expit

from admmirnn.networks.cells.maps import Map
from admmirnn.networks.cells.start import start_gates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from admmirnn._typing import BoolArray, FloatArray


@dataclass(frozen=True)
class FastGRNN:
    """a = U x_t + W s_{t-1}, z = sigmoid(a + b_z), c = tanh(a + b_c), s_t = (1 - z) c + z s_{t-1}.

    The gate and the candidate share their matrices.  It is the FastGRNN of A. Kusupati et al., NeurIPS 2018, with
    zeta = 1 and nu = 0.
    """

    name: ClassVar[str] = "fastgrnn"
    maps: ClassVar[tuple[Map, ...]] = (Map("Theta", (("x", "U"), ("s", "W"), ("1", "b_z"), ("1", "b_c"))),)
    n_columns: ClassVar[int] = 1
    columns_of_x: ClassVar[int] = 1
    columns_of_s: ClassVar[int] = 1
    n_kept: ClassVar[int] = 2
    n_biases: ClassVar[int] = 2
    has_cell_state: ClassVar[bool] = False
    is_bounded: ClassVar[bool] = True  # whatever pre-activations may be
    bias_of_past: ClassVar[str] = "b_z"
    bias_of_new: ClassVar[str | None] = None

    def start(self, weights: Mapping[str, FloatArray], n_not_zero: int, random_state: np.random.RandomState) -> None:
        """W orthogonal, U normal with variance 1 / n_not_zero, biases zero, but b_z one."""
        start_gates(self.maps, self.bias_of_past, weights, n_not_zero, random_state)

    def is_driven(self, weights: Mapping[str, FloatArray]) -> BoolArray:
        """Of each unit, whether its state can be other than zero where all states before are zero."""
        driven: BoolArray = np.any(weights["U"], axis=1) | (weights["b_c"] != 0)
        return driven

    def step(
        self,
        A: FloatArray,
        s_before: FloatArray,
        biases: FloatArray | None = None,
        c_before: FloatArray | None = None,
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """What is kept, [z c], and s_t; ``A`` is a, ``biases`` is [b_z b_c]."""
        assert biases is not None
        b_z, b_c = np.split(biases, 2)
        z, c = expit(A + b_z), np.tanh(A + b_c)
        return np.hstack([z, c]), (1 - z) * c + z * s_before, None

    def pull_back(
        self,
        kept: FloatArray,
        s_before: FloatArray,
        multipliers: FloatArray,
        c_before: FloatArray | None = None,
        c: FloatArray | None = None,
        lambda_c: FloatArray | None = None,
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """[lambda_z, lambda_c], of which the sum is that of a, and the part of lambda_{t-1} that skips the maps."""
        z, candidate = np.split(kept, 2, axis=1)
        lambda_z = multipliers * (s_before - candidate) * (z * (1 - z))
        lambda_candidate = multipliers * (1 - z) * (1 - candidate * candidate)
        return np.hstack([lambda_z, lambda_candidate]), z * multipliers, None
