"""The twin of ``_kernels/joint.pyx``: what two directions share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from admmirnn.reference.backward import fold_in

if TYPE_CHECKING:
    from admmirnn._typing import FloatArray, IntArray


def mirror(A: FloatArray, lengths: IntArray, offsets: IntArray, A_out: FloatArray) -> None:
    """Outputs after each step of sequences that are read from one end, in the order of the other; zeros in holes."""
    N = len(offsets) - 2
    A_out[:] = 0
    for i, length in enumerate(lengths):
        rows = offsets[N - length + 1 : N + 1] - offsets[1] + i
        A_out[rows] = A[rows[::-1]]


def joint_room(h: int, K: int) -> int:
    """How many numbers of scratch ``joint_statistics`` needs: none."""
    return 0


def joint_statistics(
    H: FloatArray,
    H_reverse: FloatArray,
    lambda3: FloatArray,
    weights: FloatArray,
    offsets: IntArray,
    momentum: float,
    decay: float,
    gram_first: int,
    gram_every: int,
    M_out: FloatArray,
    G_out: FloatArray,
    scratch_out: FloatArray,
    read_out: str = "last",
) -> None:
    """M and G of an output layer that reads [h, h_reverse, 1]."""
    h = np.concatenate([H, H_reverse, np.ones((len(H), 1), H.dtype)], axis=1)
    in_gram = weights != 0
    if read_out == "each":
        step_of = np.repeat(np.arange(len(offsets) - 2), np.diff(offsets)[1:])
        in_gram &= (step_of >= gram_first) & ((step_of - gram_first) % gram_every == 0)
    fold_in(M_out, momentum, lambda3.T @ h, float(weights.sum(dtype=np.float64)))
    fold_in(G_out, decay, h[in_gram].T @ h[in_gram], int(in_gram.sum()))
