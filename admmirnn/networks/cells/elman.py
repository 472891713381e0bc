"""The cell of J. L. Elman's networks, with the twin of ``_kernels/_elman.pyx``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from admmirnn.activations import BOUNDED, FUNCTIONS
from admmirnn.networks.cells.maps import Map
from admmirnn.networks.cells.start import orthogonal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from admmirnn._typing import BoolArray, FloatArray


@dataclass(frozen=True)
class Elman:
    """s_t = f(a_t), a_t = U x_t + W s_{t-1} + b.

    Attributes
    ----------
    activation : {"tanh", "sigmoid", "relu", "leaky_relu", "identity"}
        Name of the activation f; the slope of the leaky relu below zero is 0.01.
    """

    name: ClassVar[str] = "elman"
    maps: ClassVar[tuple[Map, ...]] = (Map("Theta", (("x", "U"), ("s", "W"), ("1", "b"))),)
    n_columns: ClassVar[int] = 1
    columns_of_x: ClassVar[int] = 1
    columns_of_s: ClassVar[int] = 1
    n_kept: ClassVar[int] = 0  # beside the state
    n_biases: ClassVar[int] = 0
    has_cell_state: ClassVar[bool] = False

    activation: str = "tanh"

    @property
    def is_bounded(self) -> bool:
        """Whether states are, however large pre-activations may be."""
        return self.activation in BOUNDED

    def start(self, weights: Mapping[str, FloatArray], n_not_zero: int, random_state: np.random.RandomState) -> None:
        """W orthogonal, U normal with variance 1 / n_not_zero, b zero.

        That of sigmoid(a) = 1/2 + 1/2 tanh(a/2) is the network whose 2 s - 1 are the states of such a one with tanh:
        W four times as large, U twice, b minus half the row sums of W.
        """
        U, W, b = (weights[name] for name in ("U", "W", "b"))
        U[:] = random_state.standard_normal(U.shape) / np.sqrt(n_not_zero)
        W[:] = orthogonal(len(W), random_state)
        b[:] = 0
        if self.activation == "sigmoid":
            U *= 2
            W *= 4
            b[:] = -0.5 * W.sum(axis=1)

    def is_driven(self, weights: Mapping[str, FloatArray]) -> BoolArray:
        """Of each unit, whether its state can be other than zero where all states before are zero."""
        b = weights["b"]
        if self.activation == "sigmoid":  # whose f(0) is not 0
            return np.ones(len(b), bool)
        driven: BoolArray = np.any(weights["U"], axis=1) | (b > 0 if self.activation == "relu" else b != 0)
        return driven

    def step(self, a: FloatArray) -> FloatArray:
        """s_t; the cell keeps nothing else, as f' follows from it."""
        f, _ = FUNCTIONS[self.activation]
        return f(a)

    def pull_back(self, kept: FloatArray, multipliers: FloatArray) -> FloatArray:
        """lambda1_t = f'(a_t) * lambda2_t, with lambda2_t, of the states, in ``multipliers``; ``kept`` is s_t."""
        _, slope = FUNCTIONS[self.activation]
        return slope(kept) * multipliers
