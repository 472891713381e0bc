"""The twin of ``_kernels/backward.pyx``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

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
    lambda3: FloatArray | None,
    weights: FloatArray | None,
    cap: float,
    gram_first: int,
    gram_every: int,
    R_every: int = 1,
    from_zero: bool = True,
    with_outputs: bool = True,
) -> int:
    """lambda1_t = f'(a_t) * (V^T lambda3_t + W^T lambda1_{t+1}), bounded; the sums L and G of both layers, and R.

    Where another layer reads the states, it injects lambda_s; lambda_x = lambda1 U goes to a layer below.
    """
    N, B, n, d, dtype = batch.N, batch.B, work.n, work.d, work.Theta.dtype
    offsets, S = batch.offsets, work.S[: batch.n_rows + batch.B]
    assert work.lambda1 is not None and work.sums is not None and work.counts is not None
    sums, counts = sums_by_name(work.sums, d, n, work.K, work.codes is not None), work.counts
    X = _observations(work, batch)
    W = work.Theta[:, d:-1]
    if weights is None:
        weights = np.ones(B if lambda3 is None else len(lambda3), dtype)
    output_rows, lambda_h = 0, S[:0]
    if lambda3 is not None:
        if with_outputs:
            output_rows = _add_outputs(work, batch, sums, lambda3, weights, gram_first, gram_every)
        lambda_h = _multipliers_of_states_read(work, batch, lambda3)
    keep = len(work.lambda1) >= batch.n_rows
    n_capped, largest, following = 0, np.zeros(B), work.lambda1[:0]
    L, gram, gram_rows = np.zeros_like(work.Theta), np.zeros((d + n + 1, d + n + 1), dtype), 0
    R, n_taken = np.zeros((n, n)), 0
    for t in reversed(range(N)):
        rows = slice(offsets[t], offsets[t + 1])
        size = offsets[t + 1] - offsets[t]
        states = slice(offsets[t + 1], offsets[t + 1] + size)
        kept = S[states]
        first = offsets[t] if keep else t % 2 * B
        lambda1 = work.lambda1[first : first + size]
        _inject(work, batch, t, lambda_h, lambda1)
        largest[:size] = np.maximum(largest[:size], _squares(work.cell.pull_back(kept, lambda1)))
        if t < N - 1:
            lambda1 += following[:size] @ W
        lambda1[:] = work.cell.pull_back(kept, lambda1)
        if t < N - 1 and np.isfinite(cap):
            n_capped += _bound(lambda1, cap * cap * largest[:size])
        following = lambda1
        _hand_down(work, batch, t, lambda1)
        z = np.concatenate([X[rows, :-1], S[rows], X[rows, -1:]], axis=1)
        L += lambda1.T @ z
        if t >= gram_first and (t - gram_first) % gram_every == 0:
            gram += z.T @ z
            gram_rows += size
        taken = lambda1[-(t + gram_first) % R_every :: R_every].astype(np.float64)
        R += taken.T @ taken
        n_taken += len(taken)
    _write(sums, L, gram, d)
    counts[:COUNTS] = weights.sum(dtype=np.float64), gram_rows, output_rows, n_taken
    if work.has_R:
        counts[COUNTS:] = R.ravel()
    return n_capped


def _observations(work: _Work, batch: _Batch) -> FloatArray:
    """[x, 1], a row for each step."""
    if work.codes is not None:
        X = np.eye(work.d + 1, dtype=work.Theta.dtype)[work.codes[: batch.n_rows]]
        X[:, -1] = 1
        return X
    assert work.X is not None
    return work.X[: batch.n_rows]


def _multipliers_of_states_read(work: _Work, batch: _Batch, lambda3: FloatArray) -> FloatArray:
    """V^T lambda3, which takes the place of pooled states; divided by the number of steps where they are a mean."""
    lambda_h = lambda3 @ work.Psi[:, :-1]
    if work.read_out == "mean":
        lambda_h *= (1 / batch.lengths[:, None]).astype(lambda_h.dtype)
    if work.read_out in ("mean", "max"):
        assert work.H is not None
        work.H[: batch.B] = lambda_h
    return lambda_h


def _inject(work: _Work, batch: _Batch, t: int, lambda_h: FloatArray, lambda1: FloatArray) -> None:
    """lambda1 = what the outputs, and a layer above, inject into the states after step t."""
    size, offsets = len(lambda1), batch.offsets
    if work.read_out == "each":
        lambda1[:] = lambda_h[offsets[t + 1] - offsets[1] :][:size]
    elif work.read_out == "max":
        assert work.steps is not None
        lambda1[:] = np.where(work.steps[:size] == t, lambda_h[:size], 0)
    else:
        is_read = work.read_out == "mean" or (work.read_out == "last" and t == batch.N - 1)
        lambda1[:] = lambda_h[:size] if is_read else 0
    if work.lambda_s is not None:
        lambda1 += work.lambda_s[offsets[t] : offsets[t + 1]]


def _bound(lambda1: FloatArray, most: FloatArray) -> int:
    """Scale rows whose sum of squares is more than ``most`` down to it; return how many they are."""
    square = _squares(lambda1)
    beyond = square > most
    lambda1[beyond] *= np.sqrt(most[beyond] / square[beyond])[:, None].astype(lambda1.dtype)
    return int(beyond.sum())


def _hand_down(work: _Work, batch: _Batch, t: int, lambda1: FloatArray) -> None:
    """The multipliers of the observations, for a layer below, and of s_0, of sequences that start at step t."""
    d, offsets = work.d, batch.offsets
    if work.lambda_x is not None:
        np.matmul(lambda1, work.Theta[:, :d], out=work.lambda_x[offsets[t] : offsets[t + 1]])
    if work.initial_multipliers is not None:
        starting = slice(offsets[t] - offsets[t - 1] if t else 0, len(lambda1))
        work.initial_multipliers[starting] = lambda1[starting] @ work.Theta[:, d:-1]


def _write(sums: dict[str, FloatArray], L: FloatArray, gram: FloatArray, d: int) -> None:
    """L and G of z = [x, s, 1] in the blocks in which the kernel has them."""
    of_x = [*range(d), -1]
    sums["L_x"][:], sums["L_s"][:], sums["G_s"][:] = L[:, of_x].T, L[:, d:-1], gram[d:-1, d:-1]
    if "G_xs" in sums:
        sums["G_xs"][:] = gram[:d, d:]
    else:
        sums["G_x"][:], sums["G_sx"][:] = gram[np.ix_(of_x, of_x)], gram[d:-1, of_x]


def _add_outputs(
    work: _Work,
    batch: _Batch,
    sums: dict[str, FloatArray],
    lambda3: FloatArray,
    weights: FloatArray,
    gram_first: int,
    gram_every: int,
) -> int:
    """L and G of the output layer; of how many rows G is."""
    N, offsets, S = batch.N, batch.offsets, work.S[: batch.n_rows + batch.B]
    pooled = None if work.H is None or work.read_out in ("last", "each") else work.H[: batch.B]
    H = {"last": S[offsets[N] :], "each": S[offsets[1] :]}.get(work.read_out, pooled)
    assert H is not None
    in_gram = np.ones(len(H), bool)
    if work.read_out == "each":
        step_of = np.repeat(np.arange(N), np.diff(offsets)[1:])
        in_gram = (step_of >= gram_first) & ((step_of - gram_first) % gram_every == 0) & ~holes(offsets)
    h = np.concatenate([H, np.ones((len(H), 1), H.dtype)], axis=1)
    sums["output_L"][:] = lambda3.T @ h
    h = h[in_gram & (weights != 0)]
    sums["output_G"][:] = h.T @ h
    return len(h)


def _squares(x: FloatArray) -> NDArray[np.float64]:
    """The sum of squares of each row."""
    squares: NDArray[np.float64] = np.einsum("ij,ij->i", x, x, dtype=np.float64)
    return squares
