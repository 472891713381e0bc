"""The twin of ``_kernels/work.pyx``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from admmirnn._typing import Cell, FloatArray


# what sums are of, in ``counts``: all targets' weights, states in G, those in the output layer's G, multipliers in R
WEIGHT, GRAM_ROWS, OUTPUT_ROWS, R_ROWS, COUNTS = range(5)


class Room(Protocol):
    """What `work` looks at."""

    d: int
    n: int
    K: int
    Theta: FloatArray
    Psi: FloatArray
    cell: Cell
    read_out: str
    n_threads: int
    weights_T: FloatArray
    X: FloatArray | None
    codes: NDArray[np.int32] | None
    S: FloatArray
    Q: FloatArray
    H: FloatArray | None
    steps: NDArray[np.int32] | None
    O_plus: FloatArray | None
    lambda3: FloatArray | None
    lambda1: FloatArray | None
    initial_multipliers: FloatArray | None
    lambda_s: FloatArray | None
    lambda_x: FloatArray | None
    sums: FloatArray | None
    counts: NDArray[np.float64] | None


class _Work:
    """The weights and the arrays of a network, see `work`."""

    def __init__(self, room: Room) -> None:
        self.d, self.n, self.K, self.n_threads = room.d, room.n, room.K, room.n_threads
        self.Theta, self.Psi, self.cell, self.read_out = room.Theta, room.Psi, room.cell, room.read_out
        self.X, self.codes, self.S, self.Q, self.H, self.steps = room.X, room.codes, room.S, room.Q, room.H, room.steps
        self.O_plus, self.lambda3, self.lambda1 = room.O_plus, room.lambda3, room.lambda1
        self.initial_multipliers, self.sums, self.counts = room.initial_multipliers, room.sums, room.counts
        self.lambda_s, self.lambda_x = room.lambda_s, room.lambda_x

    @property
    def has_R(self) -> bool:
        """Whether R is wanted."""
        return self.counts is not None and len(self.counts) > COUNTS


def work(room: Room) -> _Work:
    """What `forward` and `backward` work on: a network of one layer, and arrays of the largest minibatch there is."""
    return _Work(room)
