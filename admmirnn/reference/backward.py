"""The twin of ``_kernels/backward.pyx``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from admmirnn.reference.activations import ACTIVATIONS
from admmirnn.reference.layout import holes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from admmirnn._typing import FloatArray, IntArray


def backward_room(d: int, n: int, K: int, n_threads: int, symbols: bool = False) -> int:
    """How many numbers of scratch ``backward`` needs: none."""
    return 0


def backward(
    Theta: FloatArray,
    Psi: FloatArray,
    X: FloatArray | None,
    S: FloatArray,
    offsets: IntArray,
    lambda3: FloatArray,
    activation: str,
    cap: float,
    momentum: float,
    decay: float,
    gram_first: int,
    gram_every: int,
    lambda1_out: FloatArray,
    M_out: FloatArray,
    G_out: FloatArray,
    output_M_out: FloatArray | None,
    output_G_out: FloatArray | None,
    scratch_out: FloatArray,
    n_threads: int = 1,
    read_out: str = "last",
    weights: FloatArray | None = None,
    lengths: IntArray | None = None,
    H_out: FloatArray | None = None,
    steps: NDArray[np.int32] | None = None,
    from_zero: bool = True,
    initial_multipliers_out: FloatArray | None = None,
    codes: NDArray[np.int32] | None = None,
    R_out: NDArray[np.float64] | None = None,
    R_every: int = 1,
    R_decay: float = 0.0,
) -> int:
    """lambda1_t = f'(a_t) * (V^T lambda3_t + W^T lambda1_{t+1}), bounded; M and G of both layers, R of one."""
    _, slope = ACTIVATIONS[activation]
    N, (n, m) = len(offsets) - 2, Theta.shape
    B = offsets[-1] - offsets[-2]
    if codes is not None:
        X = np.eye(m - n, dtype=S.dtype)[codes]
        X[:, -1] = 1
    assert X is not None
    W, V = Theta[:, m - n - 1 : -1], Psi[:, :-1]
    weights = np.ones(len(lambda3), S.dtype) if weights is None else weights
    H = {"last": S[offsets[N] :], "each": S[offsets[1] :]}.get(read_out, H_out)
    assert H is not None
    in_gram = np.ones(len(H), bool)
    if read_out == "each":
        step_of = np.repeat(np.arange(N), np.diff(offsets)[1:])
        in_gram = (step_of >= gram_first) & ((step_of - gram_first) % gram_every == 0) & ~holes(offsets)
    h = np.concatenate([H, np.ones((len(H), 1), S.dtype)], axis=1)
    output_L = lambda3.T @ h
    h = h[in_gram & (weights != 0)]
    lambda_h = lambda3 @ V
    if read_out == "mean":
        assert lengths is not None
        lambda_h *= (1 / lengths[:, None]).astype(S.dtype)
    if H_out is not None:
        H_out[:] = lambda_h
    keep = len(lambda1_out) == offsets[N]
    n_capped, largest, following = 0, np.zeros(B), lambda1_out[:0]
    L, gram, gram_rows = np.zeros_like(M_out), np.zeros((m, m), S.dtype), 0
    gram_of_multipliers, n_taken = np.zeros((n, n)), 0
    for t in reversed(range(N)):
        rows = slice(offsets[t], offsets[t + 1])
        size = offsets[t + 1] - offsets[t]
        states = slice(offsets[t + 1], offsets[t + 1] + size)
        derivative = slope(S[states])
        first = offsets[t] if keep else t % 2 * B
        lambda1 = lambda1_out[first : first + size]
        if read_out == "each":
            lambda1[:] = lambda_h[offsets[t + 1] - offsets[1] :][:size]
        elif read_out == "max":
            assert steps is not None
            lambda1[:] = np.where(steps[:size] == t, lambda_h[:size], 0)
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
        if initial_multipliers_out is not None:
            starting = slice(offsets[t] - offsets[t - 1] if t else 0, size)
            initial_multipliers_out[starting] = lambda1[starting] @ W
        z = np.concatenate([X[rows, :-1], S[rows], X[rows, -1:]], axis=1)
        L += lambda1.T @ z
        if t >= gram_first and (t - gram_first) % gram_every == 0:
            gram += z.T @ z
            gram_rows += size
        taken = lambda1[-(t + gram_first) % R_every :: R_every].astype(np.float64)
        gram_of_multipliers += taken.T @ taken
        n_taken += len(taken)
    total = float(weights.sum(dtype=np.float64))
    fold_in(M_out, momentum, L, total)
    fold_in(G_out, decay, gram[:, m - G_out.shape[1] :], gram_rows)
    if R_out is not None:
        fold_in(R_out, R_decay, gram_of_multipliers, n_taken)
    if output_M_out is not None:
        assert output_G_out is not None
        fold_in(output_M_out, momentum, output_L, total)
        fold_in(output_G_out, decay, h.T @ h, len(h))
    return n_capped


def _squares(x: FloatArray) -> NDArray[np.float64]:
    """The sum of squares of each row."""
    squares: NDArray[np.float64] = np.einsum("ij,ij->i", x, x, dtype=np.float64)
    return squares


def fold_in(statistic: FloatArray, keep_share: float, batch: FloatArray, count: float) -> None:
    """The running mean of a statistic, given the sum over a minibatch and over how many."""
    if count:
        statistic *= keep_share
        statistic += (1 - keep_share) / count * batch
