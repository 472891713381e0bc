"""The twin of ``_kernels/backward.pyx``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from admmirnn.data.gram_blocks import ends_of_blocks
from admmirnn.reference.layout import holes, mask_of_outputs
from admmirnn.reference.maps import of_pre_activations, parts_of, through_U, through_W
from admmirnn.reference.statistics import sums_by_name
from admmirnn.reference.work import COUNTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from admmirnn._typing import AnyCell, FloatArray, IntArray
    from admmirnn.reference.batch import _Batch
    from admmirnn.reference.maps import Parts
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
    roots: FloatArray | None = None,
    R_positions: IntArray | None = None,
) -> int:
    """lambda1_t = f'(a_t) * (V^T lambda3_t + W^T lambda1_{t+1}), bounded; the sums L and G of both layers, and R.

    Where another layer reads the states, it injects lambda_s; lambda_x = lambda1 U goes to a layer below.
    """
    N, B, n, d, cell, dtype = batch.N, batch.B, work.n, work.d, work.cell, work.S.dtype
    offsets, S, C = batch.offsets, work.S[: batch.n_rows + batch.B], work.C
    assert work.lambda1 is not None and work.sums is not None and work.counts is not None
    sums, counts = sums_by_name(work.sums, cell, d, n, work.K, work.codes is not None, work.gram_block), work.counts
    parts, X = parts_of(cell, work.maps, d, n), _observations(work, batch)
    if roots is None:
        roots = np.ones(B, dtype)
    if weights is None:
        weights = np.ones(B if lambda3 is None else len(lambda3), dtype)
    output_rows, lambda_h = 0, S[:0]
    if lambda3 is not None:
        if with_outputs:
            output_rows = _add_outputs(work, batch, sums, lambda3, weights, gram_first, gram_every)
        lambda_h = _multipliers_of_states_read(work, batch, lambda3)
    keep = len(work.lambda1) >= batch.n_rows and cell.n_kept == 0
    n_capped, largest, following, direct = 0, np.zeros(B), work.lambda1[:0], S[:0]
    grams, gram_rows = _grams(work), 0
    R, n_taken = [np.zeros((len(matrix), len(matrix))) for matrix in work.maps], 0
    for name in ("L_x", "L_s", "L_b"):
        sums[name][:] = 0
    if work.lambda_c is not None:
        work.lambda_c[:B] = 0
    for t in reversed(range(N)):
        rows = slice(offsets[t], offsets[t + 1])
        size = offsets[t + 1] - offsets[t]
        states = slice(offsets[t + 1], offsets[t + 1] + size)
        first = offsets[t] if keep else t % 2 * B
        lambda1 = work.lambda1[first : first + size]
        _inject(work, batch, t, lambda_h, lambda1)
        injected = cell.pull_back(S[states], lambda1) if cell.n_kept == 0 else lambda1
        largest[:size] = np.maximum(largest[:size], _squares(injected))
        if t < N - 1:
            lambda1 += through_W(parts, following[:size], n)
            lambda1[: len(direct)] += direct[:size]
        is_bounded = t < N - 1 and np.isfinite(cap)
        if cell.n_kept == 0:
            lambda1[:] = cell.pull_back(S[states], lambda1)
            n_capped += _bound(lambda1, cap * cap * largest[:size]) if is_bounded else 0
            equations = lambda1
        else:
            assert work.A is not None
            n_capped += _bound(lambda1, cap * cap * largest[:size]) if is_bounded else 0
            of_c: tuple[FloatArray | None, ...] = (None, None, None)
            if C is not None:
                assert work.lambda_c is not None
                of_c = C[rows], C[states], work.lambda_c[:size]
            equations, direct, lambda_c = cell.pull_back(work.A[rows], S[rows], lambda1, *of_c)
            work.A[rows] = equations
            if work.lambda_c is not None:
                work.lambda_c[:size], direct = lambda_c, direct[:0]
        following = multipliers = of_pre_activations(parts, equations, n)
        _hand_down(work, batch, t, parts, multipliers, direct)
        _add_products(sums, cell, n, multipliers, equations, X[rows], S[rows])
        if t >= gram_first and (t - gram_first) % gram_every == 0:
            z = roots[:size, None] * np.concatenate([X[rows, :-1], S[rows], X[rows, -1:]], axis=1)
            for columns, gram in grams:
                gram += z[:, columns].T @ z[:, columns]
            gram_rows += size
        positions = np.arange(size) + gram_first if R_positions is None else R_positions[:size]
        taken = (equations.astype(np.float64) / roots[:size, None])[(positions + t) % R_every == 0]
        for of_map, part in zip(R, parts, strict=True):
            for columns in part.equations(n):
                of_map += taken[:, columns].T @ taken[:, columns]
        n_taken += len(taken)
    _write_gram(sums, [gram for _, gram in grams], d)
    counts[:COUNTS] = np.count_nonzero(weights), gram_rows, output_rows, n_taken
    if work.has_R:
        counts[COUNTS:] = np.concatenate([of_map.ravel() for of_map in R])
    return n_capped


def _observations(work: _Work, batch: _Batch) -> FloatArray:
    """[x, 1], a row for each step."""
    if work.codes is not None:
        X = np.eye(work.d + 1, dtype=work.S.dtype)[work.codes[: batch.n_rows]]
        X[:, -1] = 1
        return X
    assert work.X is not None
    return work.X[: batch.n_rows]


def _multipliers_of_states_read(work: _Work, batch: _Batch, lambda3: FloatArray) -> FloatArray:
    """V^T lambda3, masked, which takes the place of pooled states; by the number of steps where they are a mean."""
    lambda_h = lambda3 @ work.Psi[:, :-1]
    if work.mask is not None:
        lambda_h *= mask_of_outputs(work, batch)
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


def _hand_down(
    work: _Work, batch: _Batch, t: int, parts: list[Parts], multipliers: FloatArray, direct: FloatArray
) -> None:
    """The multipliers of the observations, for a layer below, and of s_0, of sequences that start at step t."""
    offsets, size = batch.offsets, len(multipliers)
    if work.lambda_x is not None:
        work.lambda_x[offsets[t] : offsets[t + 1]] = through_U(parts, multipliers, work.d)
    if work.initial_multipliers is not None:
        starting = slice(offsets[t] - offsets[t - 1] if t else 0, size)
        found = through_W(parts, multipliers, work.n)
        found[: len(direct)] += direct
        work.initial_multipliers[starting] = found[starting]


def _add_products(
    sums: dict[str, FloatArray],
    cell: AnyCell,
    n: int,
    multipliers: FloatArray,
    equations: FloatArray,
    X: FloatArray,
    s: FloatArray,
) -> None:
    """Add what a step says to L, by what the multipliers are multiplied with: [x 1], s, or a bias of its own."""
    end, of_s, of_biases = cell.n_columns * n, len(sums["L_s"]), len(sums["L_b"])
    sums["L_x"] += X.T @ multipliers[:, : cell.columns_of_x * n]
    sums["L_s"] += multipliers[:, end - of_s : end].T @ s
    if of_biases:
        sums["L_b"] += equations[:, -of_biases:].sum(axis=0)[:, None]


def _grams(work: _Work) -> list[tuple[slice, FloatArray]]:
    """The columns of [x, s, 1] that G has the products of, in blocks, and zeros for these."""
    m, gram_blocks = work.d + work.n + 1, (work.d, work.gram_block) if work.gram_block else (0, 1)
    ends = ends_of_blocks(m, gram_blocks)
    return [
        (slice(first, end), np.zeros((end - first, end - first), work.S.dtype))
        for first, end in zip([0, *ends], ends, strict=False)
    ]


def _write_gram(sums: dict[str, FloatArray], grams: list[FloatArray], d: int) -> None:
    """G of z = [x, s, 1] in the blocks in which the kernel has them."""
    *of_blocks, gram = grams
    if of_blocks:
        sums["G_x"][0] = np.concatenate([block.ravel() for block in of_blocks])
        sums["G_s"][:], sums["G_1s"][0] = gram[:-1, :-1], gram[-1]
        return
    of_x = [*range(d), -1]
    sums["G_s"][:] = gram[d:-1, d:-1]
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
    H = S[offsets[1 if work.read_out == "each" else N] :] if work.H is None else work.H[: len(lambda3)]
    in_gram = np.ones(len(H), bool)
    if work.read_out == "each":
        step_of = np.repeat(np.arange(N), np.diff(offsets)[1:])
        in_gram = (step_of >= gram_first) & ((step_of - gram_first) % gram_every == 0) & ~holes(offsets)
    h = np.concatenate([H, np.ones((len(H), 1), H.dtype)], axis=1)
    sums["output_L"][:] = lambda3.T @ h
    in_gram &= weights != 0
    h = np.sqrt(weights[in_gram, None]) * h[in_gram]
    sums["output_G"][:] = h.T @ h
    return len(h)


def _squares(x: FloatArray) -> NDArray[np.float64]:
    """The sum of squares of each row."""
    squares: NDArray[np.float64] = np.einsum("ij,ij->i", x, x, dtype=np.float64)
    return squares
