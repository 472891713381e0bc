"""Long short-term memory, with the twin of ``_kernels/_lstm.pyx``."""

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
class LSTM:
    """c_t = sigmoid(a_f) c_{t-1} + sigmoid(a_i) tanh(a_g), s_t = sigmoid(a_o) tanh(c_t).

    All gates are of one map of [x_t, s_{t-1}, 1].  It is the LSTM of S. Hochreiter and J. Schmidhuber, Neural
    Computation 9, 1997, with the forget gate of F. Gers, J. Schmidhuber and F. Cummins, Neural Computation 12, 2000.
    """

    name: ClassVar[str] = "lstm"
    maps: ClassVar[tuple[Map, ...]] = (Map("Theta", (("x", "U"), ("s", "W"), ("1", "b")), rows=("i", "f", "g", "o")),)
    n_columns: ClassVar[int] = 4
    columns_of_x: ClassVar[int] = 4
    columns_of_s: ClassVar[int] = 4
    n_kept: ClassVar[int] = 4
    n_biases: ClassVar[int] = 0
    has_cell_state: ClassVar[bool] = True
    is_bounded: ClassVar[bool] = True  # whatever pre-activations may be
    bias_of_past: ClassVar[str] = "b_f"
    bias_of_new: ClassVar[str | None] = "b_i"

    def start(self, weights: Mapping[str, FloatArray], n_not_zero: int, random_state: np.random.RandomState) -> None:
        """W orthogonal, U normal with variance 1 / n_not_zero, biases zero, but b_f one."""
        start_gates(self.maps, self.bias_of_past, weights, n_not_zero, random_state)

    def is_driven(self, weights: Mapping[str, FloatArray]) -> BoolArray:
        """Of each unit, whether its state can be other than zero where all states before are zero."""
        driven: BoolArray = np.any(weights["U_g"], axis=1) | (weights["b_g"] != 0)
        return driven

    def step(
        self,
        A: FloatArray,
        s_before: FloatArray,
        biases: FloatArray | None = None,
        c_before: FloatArray | None = None,
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """What is kept, the gates [i f g o], with s_t and c_t; ``A`` is [a_i a_f a_g a_o]."""
        assert c_before is not None
        a_i, a_f, a_g, a_o = np.split(A, 4, axis=1)
        i, f, g, o = expit(a_i), expit(a_f), np.tanh(a_g), expit(a_o)
        c = f * c_before + i * g
        return np.hstack([i, f, g, o]), o * np.tanh(c), c

    def pull_back(
        self,
        kept: FloatArray,
        s_before: FloatArray,
        multipliers: FloatArray,
        c_before: FloatArray | None = None,
        c: FloatArray | None = None,
        lambda_c: FloatArray | None = None,
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """The multipliers of [a_i a_f a_g a_o], zeros, as s_{t-1} has no way past the map, and those of c_{t-1}."""
        assert c_before is not None and c is not None and lambda_c is not None
        i, f, g, o = np.split(kept, 4, axis=1)
        T = np.tanh(c)
        of_c = lambda_c + multipliers * o * (1 - T * T)
        lambda_i, lambda_f = of_c * g * (i * (1 - i)), of_c * c_before * (f * (1 - f))
        lambda_g, lambda_o = of_c * i * (1 - g * g), multipliers * T * (o * (1 - o))
        return np.hstack([lambda_i, lambda_f, lambda_g, lambda_o]), np.zeros_like(multipliers), f * of_c
