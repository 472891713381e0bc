"""Gated recurrent units, with the twin of ``_kernels/_gru.pyx``."""

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
class GRU:
    """z, r = sigmoid(a_z), sigmoid(a_r), c = tanh(a_x + r a_s), s_t = (1 - z) c + z s_{t-1}.

    a_z and a_r are of [x_t, s_{t-1}, 1], a_x is of [x_t, 1] and a_s of [s_{t-1}, 1].  It is the GRU of K. Cho et al.,
    EMNLP 2014, with the reset gate behind the matrix, as PyTorch and cuDNN have it.
    """

    name: ClassVar[str] = "gru"
    maps: ClassVar[tuple[Map, ...]] = (
        Map("Theta_zr", (("x", "U"), ("s", "W"), ("1", "b")), rows=("z", "r"), first=1),
        Map("Theta_x", (("x", "U_c"), ("1", "b_c"))),
        Map("Theta_s", (("s", "W_c"), ("1", "b_s")), first=3),
    )
    n_columns: ClassVar[int] = 4
    columns_of_x: ClassVar[int] = 3
    columns_of_s: ClassVar[int] = 3
    n_kept: ClassVar[int] = 4
    n_biases: ClassVar[int] = 0
    has_cell_state: ClassVar[bool] = False
    is_bounded: ClassVar[bool] = True  # whatever pre-activations may be
    bias_of_past: ClassVar[str] = "b_z"
    bias_of_new: ClassVar[str | None] = None

    def start(self, weights: Mapping[str, FloatArray], n_not_zero: int, random_state: np.random.RandomState) -> None:
        """W orthogonal, U normal with variance 1 / n_not_zero, biases zero, but b_z one."""
        start_gates(self.maps, self.bias_of_past, weights, n_not_zero, random_state)

    def is_driven(self, weights: Mapping[str, FloatArray]) -> BoolArray:
        """Of each unit, whether its state can be other than zero where all states before are zero."""
        driven: BoolArray = np.any(weights["U_c"], axis=1) | (weights["b_c"] != 0) | (weights["b_s"] != 0)
        return driven

    def step(
        self,
        A: FloatArray,
        s_before: FloatArray,
        biases: FloatArray | None = None,
        c_before: FloatArray | None = None,
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """What is kept, [c z r a_s], and s_t; ``A`` is [a_x a_z a_r a_s]."""
        a_x, a_z, a_r, a_s = np.split(A, 4, axis=1)
        z, r = expit(a_z), expit(a_r)
        c = np.tanh(a_x + r * a_s)
        return np.hstack([c, z, r, a_s]), (1 - z) * c + z * s_before, None

    def pull_back(
        self,
        kept: FloatArray,
        s_before: FloatArray,
        multipliers: FloatArray,
        c_before: FloatArray | None = None,
        c: FloatArray | None = None,
        lambda_c: FloatArray | None = None,
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """The multipliers of [a_x a_z a_r a_s], and the part of lambda_{t-1} that skips the maps."""
        candidate, z, r, a_s = np.split(kept, 4, axis=1)
        lambda_z = multipliers * (s_before - candidate) * (z * (1 - z))
        lambda_x = multipliers * (1 - z) * (1 - candidate * candidate)
        lambda_r = lambda_x * (r * (1 - r)) * a_s
        return np.hstack([lambda_x, lambda_z, lambda_r, r * lambda_x]), z * multipliers, None
