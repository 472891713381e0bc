"""The twin of ``_kernels/forward.pyx``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from admmirnn.reference.layout import holes, mask_of_outputs, n_outputs
from admmirnn.reference.maps import biases_of, parts_of, pre_activations
from admmirnn.reference.output import o_step

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from admmirnn._typing import FloatArray, IntArray
    from admmirnn.reference.batch import _Batch
    from admmirnn.reference.work import _Work


class Targets(Protocol):
    """What the outputs should be, for the o-step."""

    labels: IntArray | None
    values: FloatArray | None
    weights: FloatArray
    rho: float
    loss: str | None
    parameter: float


def forward(
    work: _Work,
    batch: _Batch,
    initial: FloatArray | None = None,
    plus: FloatArray | None = None,
    targets: Targets | None = None,
    initial_c: FloatArray | None = None,
) -> tuple[float, int | None] | None:
    """Roll a minibatch out; with targets, take the o-step and return the loss and the number of right answers."""
    N, B, d, n, running, dtype = batch.N, batch.B, work.d, work.n, 0, work.S.dtype
    lengths, offsets = batch.lengths, batch.offsets
    parts = parts_of(work.cell, work.maps, d, n)
    biases = biases_of(parts)
    S, Q = work.S[: batch.n_rows + B], work.Q[: n_outputs(work, batch)]
    if work.codes is not None:
        X = np.empty((batch.n_rows, d + 1), dtype)
        _write_codes(batch, d, work.codes)
        unit_rows = np.eye(d, dtype=dtype)
    else:
        assert work.X is not None
        X = work.X[: batch.n_rows]
    X[:, -1] = 1
    for t in range(N):
        x, s = X[offsets[t] : offsets[t + 1]], S[offsets[t] : offsets[t + 1]]
        step = lengths[: len(x)] - N + t
        if work.codes is not None:
            x[:, :-1] = unit_rows[work.codes[offsets[t] : offsets[t + 1]]]
        else:
            of_states = np.arange(offsets[t + 1], offsets[t + 1] + len(x))
            rows = of_states if batch.first_rows is None else batch.first_rows[: len(x)] + batch.stride * step
            x[:, :-1] = batch.as_read(batch.frames(rows), dtype)
        s[running:] = 0 if initial is None else initial[running : len(x)]
        c = None if work.C is None else work.C[offsets[t] : offsets[t + 1]]
        if c is not None:
            c[running:] = 0 if initial_c is None else initial_c[running : len(x)]
        running = len(x)
        A, following = pre_activations(parts, work.cell.n_columns * n, x[:, :-1], s), offsets[t + 1]
        if work.cell.n_kept == 0:
            S[following : following + running] = work.cell.step(A)
            continue
        kept, S[following : following + running], c_following = work.cell.step(A, s, biases, c)
        if c_following is not None:
            assert work.C is not None
            work.C[following : following + running] = c_following
        assert work.A is not None
        if len(work.A) >= batch.n_rows:
            work.A[offsets[t] : following] = kept
    if work.read_out == "none":
        return None
    np.matmul(_states_read_out(work, batch), work.Psi[:, :-1].T, out=Q)
    Q += work.Psi[:, -1]
    if plus is not None:
        Q += plus
    is_hole = holes(offsets) if work.read_out == "each" else np.zeros(B, bool)
    Q[is_hole] = 0
    if targets is None:
        return None
    assert work.O_plus is not None and work.lambda3 is not None and targets.loss is not None
    O_plus, lambda3 = work.O_plus[: len(Q)], work.lambda3[: len(Q)]
    return o_step(
        Q, targets.labels, targets.values, targets.weights, targets.rho, O_plus, lambda3, targets.loss,
        targets.parameter,
    )  # fmt: skip


def _write_codes(batch: _Batch, d: int, codes_out: NDArray[np.int32]) -> None:
    """The codes of symbols in the order of the rows of X; raises if one is not below d."""
    assert isinstance(batch.observations, np.ndarray)
    codes, offsets = batch.observations[:, 0], batch.offsets
    assert batch.first_rows is not None
    for t in range(batch.N):
        running = offsets[t + 1] - offsets[t]
        rows = batch.first_rows[:running] + batch.stride * (batch.lengths[:running] - batch.N + t)
        codes_out[offsets[t] : offsets[t + 1]] = codes[rows]
    if codes_out[: batch.n_rows].max() >= d:
        raise ValueError(f"forward: a symbol has a code that is not below {d}, the columns of U")


def _states_read_out(work: _Work, batch: _Batch) -> FloatArray:
    """What each output sees: h, times its mask if there is one, and then written to H."""
    found = _states_before_mask(work, batch)
    if work.mask is None:
        return found
    assert work.H is not None
    return np.multiply(found, mask_of_outputs(work, batch), out=work.H[: len(found)])


def _states_before_mask(work: _Work, batch: _Batch) -> FloatArray:
    """h, a row for each output; pooled ones are written to H, and where they come from to ``steps``."""
    N, offsets, S = batch.N, batch.offsets, work.S[: batch.n_rows + batch.B]
    if work.read_out == "last":
        return S[offsets[N] :]
    if work.read_out == "each":
        return S[offsets[1] :]
    assert work.H is not None
    H = work.H[: batch.B]
    H[:] = 0 if work.read_out == "mean" else -np.inf
    for t in range(N):
        s = S[offsets[t + 1] : offsets[t + 1] + offsets[t + 1] - offsets[t]]
        if work.read_out == "mean":
            H[: len(s)] += s
        else:
            assert work.steps is not None
            larger = ~(s <= H[: len(s)])
            H[: len(s)][larger] = s[larger]
            work.steps[: len(s)][larger] = t
    if work.read_out == "mean":
        H *= (1 / batch.lengths[:, None]).astype(H.dtype)
    return H
