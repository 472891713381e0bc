"""The twin of ``_kernels/backward.pyx``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from admmirnn.reference.activations import ACTIVATIONS
from admmirnn.reference.layout import holes
from admmirnn.reference.statistics import sums_by_name
from admmirnn.reference.work import COUNTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from admmirnn._typing import FloatArray
    from admmirnn.reference.batch import _Batch
    from admmirnn.reference.work import _Work


def backward(
    work: _Work,
    batch: _Batch,
    lambda3: FloatArray,
    weights: FloatArray | None,
    cap: float,
    gram_first: int,
    gram_every: int,
    R_every: int = 1,
    from_zero: bool = True,
    with_outputs: bool = True,
) -> int:
    """lambda1_t = f'(a_t) * (V^T lambda3_t + W^T lambda1_{t+1}), bounded; the sums L and G of both layers, and R."""
    _, slope = ACTIVATIONS[work.activation]
    N, B, n, d, dtype = batch.N, batch.B, work.n, work.d, work.Theta.dtype
    offsets, lengths, read_out, S = batch.offsets, batch.lengths, work.read_out, work.S[: batch.n_rows + batch.B]
    assert work.lambda1 is not None and work.sums is not None and work.counts is not None
    sums, counts = sums_by_name(work.sums, d, n, work.K, work.codes is not None), work.counts
    if work.codes is not None:
        X = np.eye(d + 1, dtype=dtype)[work.codes[: batch.n_rows]]
        X[:, -1] = 1
    else:
        assert work.X is not None
        X = work.X[: batch.n_rows]
    W, V = work.Theta[:, d:-1], work.Psi[:, :-1]
    weights = np.ones(len(lambda3), dtype) if weights is None else weights
    pooled = None if work.H is None or read_out in ("last", "each") else work.H[:B]
    H = {"last": S[offsets[N] :], "each": S[offsets[1] :]}.get(read_out, pooled)
    assert H is not None
    in_gram = np.ones(len(H), bool)
    if read_out == "each":
        step_of = np.repeat(np.arange(N), np.diff(offsets)[1:])
        in_gram = (step_of >= gram_first) & ((step_of - gram_first) % gram_every == 0) & ~holes(offsets)
    h = np.concatenate([H, np.ones((len(H), 1), dtype)], axis=1)
    if with_outputs:
        sums["output_L"][:] = lambda3.T @ h
        h = h[in_gram & (weights != 0)]
        sums["output_G"][:] = h.T @ h
    lambda_h = lambda3 @ V
    if read_out == "mean":
        lambda_h *= (1 / lengths[:, None]).astype(dtype)
    if pooled is not None:
        pooled[:] = lambda_h
    keep = len(work.lambda1) >= batch.n_rows
    n_capped, largest, following = 0, np.zeros(B), work.lambda1[:0]
    L, gram, gram_rows = np.zeros_like(work.Theta), np.zeros((d + n + 1, d + n + 1), dtype), 0
    R, n_taken = np.zeros((n, n)), 0
    for t in reversed(range(N)):
        rows = slice(offsets[t], offsets[t + 1])
        size = offsets[t + 1] - offsets[t]
        states = slice(offsets[t + 1], offsets[t + 1] + size)
        derivative = slope(S[states])
        first = offsets[t] if keep else t % 2 * B
        lambda1 = work.lambda1[first : first + size]
        if read_out == "each":
            lambda1[:] = lambda_h[offsets[t + 1] - offsets[1] :][:size]
        elif read_out == "max":
            assert work.steps is not None
            lambda1[:] = np.where(work.steps[:size] == t, lambda_h[:size], 0)
        else:
            lambda1[:] = lambda_h[:size] if read_out == "mean" or t == N - 1 else 0
        injected = derivative * lambda1
        largest[:size] = np.maximum(largest[:size], _squares(injected))
        if t < N - 1:
            lambda1 += following[:size] @ W
        lambda1 *= derivative
        if t < N - 1 and np.isfinite(cap):
            square, most = _squares(lambda1), cap * cap * largest[:size]
            beyond = square > most
            lambda1[beyond] *= np.sqrt(most[beyond] / square[beyond])[:, None].astype(lambda1.dtype)
            n_capped += int(beyond.sum())
        following = lambda1
        if work.initial_multipliers is not None:
            starting = slice(offsets[t] - offsets[t - 1] if t else 0, size)
            work.initial_multipliers[starting] = lambda1[starting] @ W
        z = np.concatenate([X[rows, :-1], S[rows], X[rows, -1:]], axis=1)
        L += lambda1.T @ z
        if t >= gram_first and (t - gram_first) % gram_every == 0:
            gram += z.T @ z
            gram_rows += size
        taken = lambda1[-(t + gram_first) % R_every :: R_every].astype(np.float64)
        R += taken.T @ taken
        n_taken += len(taken)
    of_x = [*range(d), -1]
    sums["L_x"][:], sums["L_s"][:], sums["G_s"][:] = L[:, of_x].T, L[:, d:-1], gram[d:-1, d:-1]
    if work.codes is not None:
        sums["G_xs"][:] = gram[:d, d:]
    else:
        sums["G_x"][:], sums["G_sx"][:] = gram[np.ix_(of_x, of_x)], gram[d:-1, of_x]
    counts[:COUNTS] = weights.sum(dtype=np.float64), gram_rows, len(h) if with_outputs else 0, n_taken
    if work.has_R:
        counts[COUNTS:] = R.ravel()
    return n_capped


def _squares(x: FloatArray) -> NDArray[np.float64]:
    """The sum of squares of each row."""
    squares: NDArray[np.float64] = np.einsum("ij,ij->i", x, x, dtype=np.float64)
    return squares
