"""The twin of ``_kernels/joint.pyx``: what two directions share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from admmirnn.reference.work import OUTPUT_ROWS, TARGETS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from admmirnn._typing import FloatArray
    from admmirnn.reference.batch import _Batch
    from admmirnn.reference.work import _Work


def mirror(A: FloatArray, batch: _Batch, A_out: FloatArray) -> None:
    """Outputs after each step of sequences that are read from one end, in the order of the other; zeros in holes."""
    N, offsets = batch.N, batch.offsets
    A_out[:] = 0
    for i, length in enumerate(batch.lengths):
        rows = offsets[N - length + 1 : N + 1] - offsets[1] + i
        A_out[rows] = A[rows[::-1]]


def joint_room(h: int, K: int) -> int:
    """How many numbers the sums of `joint_sums` have: [L, G], and no scratch."""
    return (K + h) * h


def joint_sums(
    work: _Work,
    batch: _Batch,
    H_reverse: FloatArray,
    n_reverse: int,
    lambda3: FloatArray,
    weights: FloatArray,
    gram_first: int,
    gram_every: int,
    sums_out: FloatArray,
    counts_out: NDArray[np.float64],
) -> None:
    """L and G of an output layer that reads [h, h_reverse, 1]."""
    first = batch.offsets[1 if work.read_out == "each" else -2]
    H = work.S[first : batch.n_rows + batch.B] if work.H is None else work.H[: len(lambda3)]
    h = np.concatenate([H, H_reverse, np.ones((len(H), 1), H.dtype)], axis=1)
    in_gram = weights != 0
    if work.read_out == "each":
        step_of = np.repeat(np.arange(batch.N), np.diff(batch.offsets)[1:])
        in_gram &= (step_of >= gram_first) & ((step_of - gram_first) % gram_every == 0)
    taken = np.sqrt(weights[in_gram, None]) * h[in_gram]
    L, G = lambda3.T @ h, taken.T @ taken
    sums_out[: L.size + G.size] = np.concatenate([L.ravel(), G.ravel()])
    counts_out[:] = 0
    counts_out[TARGETS], counts_out[OUTPUT_ROWS] = np.count_nonzero(weights), in_gram.sum()
