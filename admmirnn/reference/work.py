"""The twin of ``_kernels/work.pyx``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from admmirnn._typing import AnyCell, FloatArray


# what sums are of, in ``counts``: how many targets, states in G, rows in the output layer's G, multipliers in R
TARGETS, GRAM_ROWS, OUTPUT_ROWS, R_ROWS, COUNTS = range(5)


class Room(Protocol):
    """What `work` looks at."""

    d: int
    n: int
    K: int
    maps: Sequence[FloatArray]
    Psi: FloatArray
    cell: Any  # AnyCell, of which a twin knows what its step takes
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
    mask: FloatArray | None
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


class _Work:
    """The weights and the arrays of a network, see `work`."""

    d: int
    n: int
    n_threads: int
    maps: Sequence[FloatArray]
    Psi: FloatArray
    cell: Any
    read_out: str
    lambda_c: FloatArray | None
    codes: NDArray[np.int32] | None
    steps: NDArray[np.int32] | None
    O_plus: FloatArray | None
    lambda3: FloatArray | None
    lambda1: FloatArray | None
    initial_multipliers: FloatArray | None
    sums: FloatArray | None
    counts: NDArray[np.float64] | None
    lambda_s: FloatArray | None
    lambda_x: FloatArray | None

    def __init__(self, room: Room) -> None:
        self.d, self.n, self.K, self.n_threads = room.d, room.n, room.K, room.n_threads
        self.gram_block: int = room.gram_block
        self.maps, self.Psi, self.cell, self.read_out = room.maps, room.Psi, room.cell, room.read_out
        self.A, self.C, self.lambda_c = room.A, room.C, room.lambda_c
        self.mask: FloatArray | None = room.mask if room.read_out != "none" else None
        self.H = room.H if room.read_out in ("mean", "max") or self.mask is not None else None
        self.X, self.codes, self.S, self.Q, self.steps = room.X, room.codes, room.S, room.Q, room.steps
        self.O_plus, self.lambda3, self.lambda1 = room.O_plus, room.lambda3, room.lambda1
        self.initial_multipliers, self.sums, self.counts = room.initial_multipliers, room.sums, room.counts
        self.lambda_s, self.lambda_x = room.lambda_s, room.lambda_x

    @property
    def has_R(self) -> bool:
        """Whether R is wanted."""
        return self.counts is not None and len(self.counts) > COUNTS


def scratch_rows(cell: AnyCell, n: int, n_threads: int) -> int:
    """How many rows of A, at most, a forward sweep needs that no backward sweep follows: one that nobody reads."""
    return 1 if cell.n_kept else 0


def work(room: Room) -> _Work:
    """What `forward` and `backward` work on: a network of one layer, and arrays of the largest minibatch there is."""
    return _Work(room)
