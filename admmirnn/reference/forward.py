"""The twin of ``_kernels/forward.pyx``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from admmirnn.reference.activations import ACTIVATIONS
from admmirnn.reference.layout import holes
from admmirnn.reference.output import o_step

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from admmirnn._typing import Array, FloatArray, IntArray


def forward(
    observations: Array,
    scale: float,
    first_rows: IntArray,
    lengths: IntArray,
    offsets: IntArray,
    Theta: FloatArray,
    Psi: FloatArray,
    activation: str,
    weights_out: FloatArray,
    X_out: FloatArray | None,
    S_out: FloatArray,
    Q_out: FloatArray,
    labels: IntArray | None = None,
    values: FloatArray | None = None,
    weights: FloatArray | None = None,
    rho: float = 1.0,
    O_plus_out: FloatArray | None = None,
    lambda3_out: FloatArray | None = None,
    loss: str | None = None,
    parameter: float = 0.0,
    n_threads: int = 1,
    read_out: str = "last",
    stride: int = 1,
    initial: FloatArray | None = None,
    H_out: FloatArray | None = None,
    steps_out: NDArray[np.int32] | None = None,
    codes_out: NDArray[np.int32] | None = None,
    plus: FloatArray | None = None,
) -> tuple[float, int | None] | None:
    """Roll a minibatch out; with a loss, take the o-step and return the loss and the number of right answers."""
    f, _ = ACTIVATIONS[activation]
    N, B, d, running = len(offsets) - 2, len(lengths), Theta.shape[1] - len(Theta) - 1, 0
    U, W, b = Theta[:, :d], Theta[:, d:-1], Theta[:, -1]
    width = observations.shape[1]
    if codes_out is not None:
        X_out = np.empty((offsets[N], d + 1), Theta.dtype)
        _write_codes(observations[:, 0], first_rows, lengths, stride, offsets, d, codes_out)
        unit_rows = np.eye(d, dtype=Theta.dtype)
    else:
        frames = np.lib.stride_tricks.sliding_window_view(observations.reshape(-1), d)[::width]
    assert X_out is not None
    X_out[:, -1] = 1
    for t in range(N):
        x, s = X_out[offsets[t] : offsets[t + 1]], S_out[offsets[t] : offsets[t + 1]]
        step = lengths[: len(x)] - N + t
        if codes_out is not None:
            x[:, :-1] = unit_rows[codes_out[offsets[t] : offsets[t + 1]]]
        else:
            rows = frames[first_rows[: len(x)] + stride * step]
            # numpy 1 would multiply in the type of the rows
            common = np.result_type(rows.dtype, Theta.dtype)
            np.multiply(rows, Theta.dtype.type(scale), out=x[:, :-1], casting="unsafe", dtype=common)
        s[running:] = 0 if initial is None else initial[running : len(x)]
        running = len(x)
        S_out[offsets[t + 1] : offsets[t + 1] + running] = f(x[:, :-1] @ U.T + s @ W.T + b)
    np.matmul(_states_read_out(read_out, S_out, offsets, lengths, H_out, steps_out), Psi[:, :-1].T, out=Q_out)
    Q_out += Psi[:, -1]
    if plus is not None:
        Q_out += plus
    is_hole = holes(offsets) if read_out == "each" else np.zeros(B, bool)
    Q_out[is_hole] = 0
    if loss is None:
        return None
    assert weights is not None and O_plus_out is not None and lambda3_out is not None
    return o_step(Q_out, labels, values, weights, rho, O_plus_out, lambda3_out, loss, parameter)


def _write_codes(
    codes: Array,
    first_rows: IntArray,
    lengths: IntArray,
    stride: int,
    offsets: IntArray,
    d: int,
    codes_out: NDArray[np.int32],
) -> None:
    """The codes of symbols in the order of the rows of X; raises if one is not below d."""
    N = len(offsets) - 2
    for t in range(N):
        running = offsets[t + 1] - offsets[t]
        codes_out[offsets[t] : offsets[t + 1]] = codes[first_rows[:running] + stride * (lengths[:running] - N + t)]
    if codes_out.max() >= d:
        raise ValueError(f"forward: a symbol has a code that is not below {d}, the columns of U")


def _states_read_out(
    read_out: str,
    S: FloatArray,
    offsets: IntArray,
    lengths: IntArray,
    H_out: FloatArray | None,
    steps_out: NDArray[np.int32] | None,
) -> FloatArray:
    """h, a row for each output; pooled ones are written to ``H_out``, and where they come from to ``steps_out``."""
    N = len(offsets) - 2
    if read_out == "last":
        return S[offsets[N] :]
    if read_out == "each":
        return S[offsets[1] :]
    assert H_out is not None
    H_out[:] = 0 if read_out == "mean" else -np.inf
    for t in range(N):
        s = S[offsets[t + 1] : offsets[t + 1] + offsets[t + 1] - offsets[t]]
        if read_out == "mean":
            H_out[: len(s)] += s
        else:
            assert steps_out is not None
            larger = ~(s <= H_out[: len(s)])
            H_out[: len(s)][larger] = s[larger]
            steps_out[: len(s)][larger] = t
    if read_out == "mean":
        H_out *= (1 / lengths[:, None]).astype(H_out.dtype)
    return H_out
