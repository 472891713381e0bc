"""The numpy twin of every kernel: the same signatures, written to be read.

It is the oracle of the kernels' tests and a back end of its own (``ADMMIRNN_BACKEND=numpy``).  The layout of
a minibatch is described in ``_kernels/__init__.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.special import expit, softmax

from admmirnn.data.sequences import OBSERVATION_DTYPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from admmirnn._typing import Array, FloatArray, IntArray, LayerOutcome

LEAK = 0.01
# f, and f' as a function of s = f(a)
_ACTIVATIONS: dict[str, tuple[Callable[[FloatArray], FloatArray], Callable[[FloatArray], FloatArray]]] = {
    "tanh": (np.tanh, lambda s: 1 - s * s),
    "sigmoid": (expit, lambda s: s * (1 - s)),
    "relu": (lambda a: np.maximum(a, 0), lambda s: (s > 0).astype(s.dtype)),
    "leaky_relu": (lambda a: np.where(a < 0, LEAK * a, a), lambda s: np.where(s > 0, 1, LEAK).astype(s.dtype)),
    "identity": (lambda a: a, np.ones_like),
}
_MOST_NEWTON_STEPS = 200
_READ, _UNKNOWN_FORM, _OBSERVATION_NOT_FINITE, _OUTPUT_NOT_FINITE = range(4)  # what reading streams returns


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
    f, _ = _ACTIVATIONS[activation]
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
    is_hole = _holes(offsets) if read_out == "each" else np.zeros(B, bool)
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


def _holes(offsets: IntArray) -> NDArray[np.bool_]:
    """Which rows of S from ``offsets[1]`` on are initial states."""
    counts = np.diff(offsets)
    position = np.arange(offsets[-1] - offsets[1]) - np.repeat(offsets[1:-1] - offsets[1], counts[1:])
    holes: NDArray[np.bool_] = position >= np.repeat(counts[:-1], counts[1:])
    return holes


def _relative_softmax(o: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
    """softmax(o) and -log softmax(o)[label] of every row, the latter accurate when it is tiny."""
    rows = np.arange(len(o))
    largest = o.max(axis=1)
    e = np.exp(o - largest[:, None])
    total = e.sum(axis=1)
    others = e.copy()
    others[rows, labels] = 0
    right = o[rows, labels] == largest
    loss = np.where(right, np.log1p(others.sum(axis=1)), np.log(total) + (largest - o[rows, labels]))
    return e / total[:, None], np.where(np.isposinf(largest), np.nan, loss)


def _prox_cross_entropy(
    q: FloatArray, labels: IntArray, rho: FloatArray | float, tolerance: float
) -> tuple[FloatArray, FloatArray]:
    """o+ - q and softmax(o+) by Newton's method with a line search, on all rows at once; ``rho`` may be a column."""
    rho_of = np.broadcast_to(rho, (len(q), 1))
    y = np.zeros_like(q)
    y[np.arange(len(q)), labels] = 1
    u = np.zeros_like(q)
    p, value = _relative_softmax(q, labels)
    for _ in range(_MOST_NEWTON_STEPS):
        g = p - y + rho_of * u
        rows = np.flatnonzero(np.abs(g).max(axis=1, initial=0) > tolerance)
        if not len(rows):
            break
        g, p_, u_, q_, previous, rho = g[rows], p[rows], u[rows], q[rows], value[rows], rho_of[rows]
        h = 1 / (rho + p_)
        # (H^-1) g by the Sherman-Morrison formula, H = rho I + diag(p) - p p^T
        inner = (p_ * h * g).sum(axis=1) / (rho[:, 0] * (p_ * h).sum(axis=1))
        step = -(h * g + h * p_ * inner[:, None])
        slope = (g * step).sum(axis=1)
        # what rounding does to the merit function at large outputs
        slack = 1e-15 * (np.abs(previous) + np.abs(q_ + u_).max(axis=1))
        length = np.ones(len(rows))
        while True:
            trial = u_ + length[:, None] * step
            p_trial, loss = _relative_softmax(q_ + trial, labels[rows])
            merit = loss + 0.5 * rho[:, 0] * (trial**2).sum(axis=1)
            short = ~(merit <= previous + 1e-4 * length * slope + slack) & (length >= 1e-12)
            if not short.any():
                break
            length[short] *= 0.5
        u[rows], p[rows], value[rows] = trial, p_trial, merit
    return u, p


def _value_of_cross_entropy(o: FloatArray, labels: IntArray, parameter: float) -> FloatArray:
    return _relative_softmax(o, labels)[1]


def _step_of_cross_entropy(
    q: FloatArray, labels: IntArray, rho: float, parameter: float, tolerance: float
) -> tuple[FloatArray, FloatArray]:
    u, p = _prox_cross_entropy(q, labels, rho, tolerance)
    p[np.arange(len(q)), labels] -= 1
    return q + u, -p


def _value_of_squared_error(o: FloatArray, y: Array, parameter: float) -> FloatArray:
    found: FloatArray = 0.5 * ((y - o) ** 2).sum(axis=1)
    return found


def _step_of_squared_error(
    q: FloatArray, y: Array, rho: float, parameter: float, tolerance: float
) -> tuple[FloatArray, FloatArray]:
    shrunk = rho / (1 + rho) * (y - q)
    return y - shrunk, shrunk


def _value_of_huber(o: FloatArray, y: Array, delta: float) -> FloatArray:
    size = np.abs(o - y)
    found: FloatArray = np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta)).sum(axis=1)
    return found


def _step_of_huber(
    q: FloatArray, y: Array, rho: float, delta: float, tolerance: float
) -> tuple[FloatArray, FloatArray]:
    shrunk = rho / (1 + rho) * (y - q)
    pull = np.clip(shrunk, -delta, delta)
    return np.where(np.abs(pull) == delta, q + pull / rho, y - shrunk), pull


def _pinball(o: FloatArray, y: Array, below: FloatArray | float, above: FloatArray | float) -> FloatArray:
    """The slopes are -below where o < y, and above."""
    found: FloatArray = np.where(o >= y, above * (o - y), below * (y - o)).sum(axis=1)
    return found


def _prox_pinball(
    q: FloatArray, y: Array, rho: float, below: FloatArray | float, above: FloatArray | float
) -> tuple[FloatArray, FloatArray]:
    pull = np.clip(rho * (y - q), -above, below)
    return np.where(pull == rho * (y - q), y, q + pull / rho), pull


def _signs(q: FloatArray, labels: IntArray) -> FloatArray:
    """1 at the label, -1 elsewhere."""
    t = np.full_like(q, -1)
    t[np.arange(len(q)), labels] = 1
    return t


def _value_of_hinge(o: FloatArray, labels: IntArray, parameter: float) -> FloatArray:
    found: FloatArray = np.maximum(0, 1 - _signs(o, labels) * o).sum(axis=1)
    return found


def _step_of_hinge(
    q: FloatArray, labels: IntArray, rho: float, parameter: float, tolerance: float
) -> tuple[FloatArray, FloatArray]:
    t = _signs(q, labels)
    return _prox_pinball(q, t, rho, np.maximum(t, 0), np.maximum(-t, 0))


def _value_of_sigmoid(o: FloatArray, y: Array, parameter: float) -> FloatArray:
    found: FloatArray = (np.log1p(np.exp(-np.abs(o))) + np.where(o > 0, (1 - y) * o, -y * o)).sum(axis=1)
    return found


def _pull_of_sigmoid(o: FloatArray, y: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
    """y - sigma(o), with z = 1 - y, and sigma'(o)."""
    e = np.exp(-np.abs(o))
    large = 1 / (1 + e)
    small = e * large
    return np.where(o > 0, y * small - z * large, y * large - z * small), large * small


def _step_of_sigmoid(
    q: FloatArray, y: Array, rho: float, parameter: float, tolerance: float
) -> tuple[FloatArray, FloatArray]:
    """u = o+ - q is the root of y - sigma(q + u) - rho u: Newton's method, or halving the bracket, on all at once."""
    pull, slope = _pull_of_sigmoid(q, y, 1 - y)
    side = np.where(pull < 0, -1.0, 1.0)  # o -> -o, so that the root is positive
    y, z, pull, p = np.where(pull < 0, 1 - y, y), np.where(pull < 0, y, 1 - y), np.abs(pull), side * q
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        # sigma(-o) >= rho u; and below log(y) - 37 sigma is nothing to y
        high = np.minimum(pull / rho, np.maximum(1, -np.log(rho) - p))
        low = np.clip(np.minimum(np.log(y) - 37 - p, y / rho * (1 - 1e-15)), 0, high)
    u = np.clip(pull / (rho + slope), low, high)
    before = high - low
    for _ in range(_MOST_NEWTON_STEPS):
        pull, slope = _pull_of_sigmoid(p + u, y, z)
        pull = pull - rho * u
        low, high = np.where(pull > 0, u, low), np.where(pull > 0, high, u)
        step = pull / (rho + slope)
        fast = (low <= u + step) & (u + step <= high) & (2 * np.abs(step) <= before)
        newton = fast | (np.abs(step) <= tolerance * u)
        following = np.where(newton, u + step, low + 0.5 * (high - low))
        before, u = np.abs(following - u), following
        if not (before > tolerance * u).any():
            break
    return q + side * u, rho * (side * u)


# of every loss, R of each row, from (o, y, parameter), and o+ and rho (o+ - q), from (q, y, rho, parameter, tolerance)
_LOSSES = {
    "cross_entropy": (_value_of_cross_entropy, _step_of_cross_entropy),
    "hinge": (_value_of_hinge, _step_of_hinge),
    "squared_error": (_value_of_squared_error, _step_of_squared_error),
    "sigmoid_cross_entropy": (_value_of_sigmoid, _step_of_sigmoid),
    "huber": (_value_of_huber, _step_of_huber),
    "quantile": (
        lambda o, y, quantile: _pinball(o, y, quantile, 1 - quantile),
        lambda q, y, rho, quantile, tolerance: _prox_pinball(q, y, rho, quantile, 1 - quantile),
    ),
    "absolute_error": (
        lambda o, y, parameter: np.abs(o - y).sum(axis=1),
        lambda q, y, rho, parameter, tolerance: _prox_pinball(q, y, rho, 1, 1),
    ),
}


def _weighty(
    O: FloatArray, labels: IntArray | None, values: FloatArray | None, weights: FloatArray
) -> tuple[NDArray[np.intp], FloatArray, Array, FloatArray]:
    """Which rows have a weight, and their outputs, targets and weights."""
    rows = np.flatnonzero(weights)
    y = np.asarray(labels)[rows] if values is None else values[rows].astype(np.float64)
    return rows, O[rows].astype(np.float64), y, weights[rows].astype(np.float64)


def o_step(
    Q: FloatArray,
    labels: IntArray | None,
    values: FloatArray | None,
    weights: FloatArray,
    rho: float,
    O_plus_out: FloatArray,
    lambda3_out: FloatArray,
    loss: str,
    parameter: float = 0.0,
) -> tuple[float, int | None]:
    """o+ = argmin_o R(o) + rho/2 |o - q|^2 and lambda3 = weight * rho (o+ - q) of the rows that have a weight.

    Returns the loss at Q, NaN without any weight, and the number of right answers, None for values.
    """
    rows, q, y, w = _weighty(Q, labels, values, weights)
    O_plus_out[:], lambda3_out[:] = Q, 0
    if len(rows):
        tolerance = 1e-8 if Q.dtype == np.float32 else 1e-13 if loss == "cross_entropy" else 1e-15
        o_plus, pull = _LOSSES[loss][1](q, y, rho, parameter, tolerance)
        O_plus_out[rows], lambda3_out[rows] = o_plus, w[:, None] * pull
    return loss_value(Q, labels, values, weights, loss, parameter)


def loss_value(
    O: FloatArray,
    labels: IntArray | None,
    values: FloatArray | None,
    weights: FloatArray,
    loss: str,
    parameter: float = 0.0,
) -> tuple[float, int | None]:
    """What `o_step` returns, and nothing else."""
    rows, o, y, w = _weighty(O, labels, values, weights)
    mean = float((w * _LOSSES[loss][0](o, y, parameter)).sum() / w.sum()) if len(rows) else np.nan
    return mean, None if labels is None else int((o.argmax(axis=1) == y).sum())


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
    _, slope = _ACTIVATIONS[activation]
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
        in_gram = (step_of >= gram_first) & ((step_of - gram_first) % gram_every == 0) & ~_holes(offsets)
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
    n_capped, most, following = 0, 0.0, lambda1_out[:0]
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
        most = max(most, cap * cap * float(np.vdot(injected, injected)))
        if t < N - 1:
            lambda1 += following[:size] @ W
        lambda1 *= derivative
        square = float(np.vdot(lambda1, lambda1))
        if t < N - 1 and square > most:
            lambda1 *= lambda1.dtype.type(np.sqrt(most / square))
            n_capped += 1
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
    _fold_in(M_out, momentum, L, total)
    _fold_in(G_out, decay, gram[:, m - G_out.shape[1] :], gram_rows)
    if R_out is not None:
        _fold_in(R_out, R_decay, gram_of_multipliers, n_taken)
    if output_M_out is not None:
        assert output_G_out is not None
        _fold_in(output_M_out, momentum, output_L, total)
        _fold_in(output_G_out, decay, h.T @ h, len(h))
    return n_capped


def _fold_in(statistic: FloatArray, keep_share: float, batch: FloatArray, count: float) -> None:
    """The running mean of a statistic, given the sum over a minibatch and over how many."""
    if count:
        statistic *= keep_share
        statistic += (1 - keep_share) / count * batch


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
    _fold_in(M_out, momentum, lambda3.T @ h, float(weights.sum(dtype=np.float64)))
    _fold_in(G_out, decay, h[in_gram].T @ h[in_gram], int(in_gram.sum()))


def _whole(G: FloatArray) -> FloatArray:
    """G in its lower triangle, from the columns of [s 1] of it if its other columns are symbols."""
    m, columns = G.shape
    d = m - columns
    if not d:
        return G
    whole = np.zeros((m, m), G.dtype)
    whole[range(d), range(d)] = G[:d, -1]
    whole[d:, :d], whole[d:, d:] = G[:d].T, G[d:]
    return whole


def _cholesky(G: FloatArray, shift: float) -> FloatArray:
    damped = np.tril(G) + np.tril(G, -1).T + G.dtype.type(shift) * np.eye(len(G), dtype=G.dtype)
    found: FloatArray = cho_factor(damped, lower=True, check_finite=False)[0]
    return found


def _factorise(G: FloatArray, damping: float) -> tuple[FloatArray | None, float, float]:
    """The Cholesky factor of G + shift I, the damping in force and the shift; None and NaN when there is none."""
    m = len(G)
    least = 1e-6 if G.dtype == np.float32 else 1e-14
    trace = float(np.trace(G, dtype=np.float64))
    if not (np.isfinite(trace) and np.isfinite(np.tril(G)).all()):
        return None, damping, np.nan
    while True:
        shift = damping * trace / m
        if not abs(shift) <= np.finfo(G.dtype).max:
            return None, damping, np.nan
        try:
            return _cholesky(G, shift), damping, shift
        except LinAlgError:
            damping = max(10 * damping, least)


def _factorise_penalty(R: NDArray[np.float64], damping: float, dtype: np.dtype[Any]) -> tuple[FloatArray | None, float]:
    """The Cholesky factor of P = R / (tr(R)/n) + damping I, and the damping in force; None when R is not finite."""
    mean = float(np.trace(R)) / len(R)
    if not np.isfinite(mean):
        return None, damping
    scaled = np.tril(R / mean if mean > 0 else np.zeros_like(R)).astype(dtype)
    while np.isfinite(dtype.type(damping)):
        try:
            return _cholesky(scaled, damping), damping
        except LinAlgError:
            damping = max(10 * damping, 1e-6 if dtype == np.float32 else 1e-14)
    return None, damping


def _step(
    M: FloatArray,
    G: FloatArray,
    damping: float,
    r: float,
    radius: float,
    schedule: float,
    factor_out: FloatArray,
    D_out: FloatArray,
    factored: LayerOutcome | None,
    R: NDArray[np.float64] | None = None,
    P_factor_out: FloatArray | None = None,
) -> LayerOutcome:
    """(|D|, length, damping, shift) of one layer; D and the factors are written."""
    columns, G = G, _whole(G)
    symbols = columns is not G
    if factored is None:
        factor, least_damping, shift = _factorise(G, damping)
        if factor is not None:
            factor_out[:] = columns if symbols else factor
    else:
        _, _, least_damping, shift = factored
    if R is not None:
        assert P_factor_out is not None
        factor, damping = _factorise_penalty(R, damping, G.dtype)
        if factor is None:
            shift = np.nan
        else:
            P_factor_out[:] = factor
        damping = max(damping, least_damping)
    else:
        damping = least_damping
    if not (np.isfinite(shift) and np.isfinite(M).all()):
        return np.nan, np.nan, damping, shift
    factor = _cholesky(_whole(factor_out), shift) if symbols else factor_out
    D_out[:] = cho_solve((factor, True), M.T, check_finite=False)
    PD = D_out
    if R is not None:
        assert P_factor_out is not None
        D_out[:] = cho_solve((P_factor_out, True), D_out.T, check_finite=False).T
        L = np.tril(P_factor_out)
        PD = D_out @ L @ L.T
    whole = float(np.vdot(D_out, M.T))
    square = whole - shift * float(np.vdot(PD, D_out))
    if square < 0.01 * whole:  # rounding would show
        square = max(float(np.vdot(PD, (np.tril(G) + np.tril(G, -1).T) @ D_out)), 0)
    if R is not None and np.trace(R) == 0:
        square = 0.0
    norm = float(np.sqrt(square / len(M)))
    limit = 1 / r if r > 0 else np.inf
    return norm, schedule * min(limit, radius / norm) if norm else 0.0, damping, shift


def update_weights(
    M: FloatArray,
    G: FloatArray,
    factor_out: FloatArray,
    D_out: FloatArray,
    Theta_out: FloatArray,
    output_M: FloatArray | None,
    output_G: FloatArray | None,
    output_factor_out: FloatArray | None,
    output_D_out: FloatArray | None,
    Psi_out: FloatArray | None,
    scratch_out: FloatArray,
    damping: float,
    r: float,
    radius: float,
    output_radius: float,
    schedule: float,
    shrinkage: float,
    factored: tuple[LayerOutcome, LayerOutcome] | None = None,
    R: NDArray[np.float64] | None = None,
    P_factor_out: FloatArray | None = None,
) -> tuple[LayerOutcome, LayerOutcome]:
    """Theta += length D, D = P^-1 M (G + damping tr(G)/m I)^-1, length = schedule min(1/r, radius / |D|).

    P = R / (tr(R)/n) + damping I, or I; Psi likewise, always with I.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        hidden = _step(
            M, G, damping, r, radius, schedule, factor_out, D_out, factored and factored[0], R, P_factor_out
        )  # fmt: skip
        output = (0.0, 0.0, 0.0, 0.0)
        if output_M is not None:
            assert output_G is not None and output_factor_out is not None and output_D_out is not None
            output = _step(
                output_M, output_G, damping, r, output_radius, schedule, output_factor_out, output_D_out,
                factored and factored[1],
            )  # fmt: skip
    moved = hidden[0] * hidden[1]
    if np.isfinite(moved) and np.isfinite(output[0] * output[1]):
        if shrinkage:
            distance = schedule * radius if R is None and np.isfinite(radius) else moved
            n, m = Theta_out.shape
            first = m - G.shape[1] if R is not None else m - n - 1  # of U, unless its columns are those of symbols
            Theta_out[:, first:-1] *= Theta_out.dtype.type(max(0.0, 1 - shrinkage * distance))
        hidden = _moved(Theta_out, D_out, hidden)
        if output_M is not None:
            assert Psi_out is not None and output_D_out is not None
            output = _moved(Psi_out, output_D_out, output)
    return hidden, output


def _moved(weights_out: FloatArray, D: FloatArray, outcome: LayerOutcome) -> LayerOutcome:
    """Move the weights, and return the outcome, with an infinite length if they overflow."""
    norm, length, damping, shift = outcome
    with np.errstate(over="ignore", invalid="ignore"):
        weights_out += weights_out.dtype.type(length) * D.T
    return norm, length if np.isfinite(weights_out).all() else np.inf, damping, shift


class _Stepper:
    """Streams that a network reads; see `stepper`."""

    def __init__(
        self,
        Theta: FloatArray,
        Psi: FloatArray,
        activation: str,
        read_out: str,
        scale: float,
        stride: int,
        S: FloatArray,
        pooled: NDArray[np.float64] | None,
        recent: FloatArray,
        n_read: NDArray[np.int64],
        answer: str,
        mean: NDArray[np.float64] | None,
        deviation: NDArray[np.float64] | None,
    ) -> None:
        self.f, _ = _ACTIVATIONS[activation]
        self.Theta, self.Psi, self.read_out, self.scale, self.stride = Theta, Psi, read_out, scale, stride
        self.S, self.pooled, self.recent, self.n_read = S, pooled, recent, n_read
        self.answer, self.mean, self.deviation = answer, mean, deviation

    def read(self, observations: object, outputs: FloatArray) -> int:
        """Read more of every stream; returns 0, or a number that says what is wrong, see the kernel."""
        B, d = len(self.S), self.recent.shape[2]
        x = np.asanyarray(observations)
        shape = {1: (1, 1, d), 2: (B, 1, d), 3: (B, *x.shape[1:2], d)}.get(x.ndim)
        expected = shape and {1: (d,), 2: (B, d), 3: shape}[x.ndim]
        if not shape or x.shape != expected or (x.ndim == 1 and B != 1) or not x.size or not x.flags.c_contiguous:
            return _UNKNOWN_FORM
        if x.dtype not in OBSERVATION_DTYPES:
            return _UNKNOWN_FORM
        x, outputs = x.reshape(shape), outputs.reshape(B, -1, len(self.Psi))
        N, M = x.shape[1], outputs.shape[1]
        if M not in (1, N) or outputs.dtype != (self.Theta.dtype if self.mean is None else np.float64):
            raise ValueError("read: outputs do not belong to the observations")
        with np.errstate(over="ignore", invalid="ignore"):
            for t in range(N):
                outcome = self._take(x[:, t], outputs[:, t - (N - M)] if t >= N - M else None)
                if outcome != _READ:
                    return outcome
        return _READ

    def _take(self, x: Array, outputs: FloatArray | None) -> int:
        """One observation of every stream; nothing has changed unless it is read."""
        streams = np.arange(len(x))
        x = (self.Theta.dtype.type(self.scale) * x.astype(self.Theta.dtype))[:, None]
        if not np.isfinite(x).all():
            return _OBSERVATION_NOT_FINITE
        frames = np.concatenate([self.recent, x], axis=1)
        after = self.n_read + 1 - frames.shape[1]
        started, turn = after >= 0, np.maximum(after, 0) % self.stride
        z = np.hstack([frames.reshape(len(x), -1), self.S[streams, turn], np.ones_like(x[:, :, 0])])
        h = s = self.f(z @ self.Theta.T)
        if self.pooled is not None:
            pooled = self.pooled[streams, turn]
            pooled = pooled + s if self.read_out == "mean" else np.where(s <= pooled, pooled, s)
            n_steps = np.maximum(after, 0) // self.stride + 1
            h = (pooled / n_steps[:, None] if self.read_out == "mean" else pooled).astype(s.dtype)
        if outputs is not None:
            q = h @ self.Psi[:, :-1].T + self.Psi[:, -1]
            if not np.isfinite(q[started]).all():
                return _OUTPUT_NOT_FINITE
            if self.answer == "values":
                outputs[:] = q if self.mean is None or self.deviation is None else self.mean + self.deviation * q
            else:
                outputs[:] = softmax(q, axis=1) if self.answer == "softmax" else expit(q)
            outputs[~started] = np.nan
        self.n_read += 1
        self.recent[:] = frames[:, 1:]
        self.S[streams[started], turn[started]] = s[started]
        if self.pooled is not None:
            self.pooled[streams[started], turn[started]] = pooled[started]
        return _READ


def stepper(
    Theta: FloatArray,
    Psi: FloatArray,
    activation: str,
    read_out: str,
    scale: float,
    stride: int,
    S: FloatArray,
    pooled: NDArray[np.float64] | None,
    recent: FloatArray,
    n_read: NDArray[np.int64],
    answer: str,
    mean: NDArray[np.float64] | None = None,
    deviation: NDArray[np.float64] | None = None,
) -> _Stepper:
    """B streams that go on one observation at a time: an object with ``read(observations, outputs)``."""
    B, n = len(S), len(Theta)
    length, d = recent.shape[1] + 1, recent.shape[2]
    if (
        not (B and n and d and len(Psi))
        or Theta.shape[1] != length * d + n + 1
        or Psi.shape[1] != n + 1
        or S.shape != (B, stride, n)
        or len(recent) != B
        or n_read.shape != (B,)
        or read_out not in ("last", "mean", "max")
        or (pooled is None) != (read_out == "last")
        or (pooled is not None and pooled.shape != S.shape)
        or answer not in ("softmax", "logistic", "values")
        or (mean is None) != (deviation is None)
        or (mean is not None and answer != "values")
        or (mean is not None and deviation is not None and not len(mean) == len(deviation) == len(Psi))
    ):
        raise ValueError("stepper: the shapes do not belong together")
    if (n_read < 0).any():
        raise ValueError("stepper: n_read is negative")
    return _Stepper(Theta, Psi, activation, read_out, scale, stride, S, pooled, recent, n_read, answer, mean, deviation)


def generate(
    Theta: FloatArray,
    Psi: FloatArray,
    activation: str,
    codes: NDArray[np.int32],
    temperature: float,
    uniforms: NDArray[np.float64],
    state_out: FloatArray,
    codes_out: NDArray[np.int32],
) -> bool:
    """Read symbols, and draw as many more as there are ``uniforms``; returns whether all outputs were finite."""
    f, _ = _ACTIVATIONS[activation]
    d = len(Psi)
    U, W, b, V, c = Theta[:, :d], Theta[:, d:-1], Theta[:, -1], Psi[:, :-1], Psi[:, -1]
    for code in codes[:-1]:
        state_out[:] = f(U[:, code] + W @ state_out + b)
    code = codes[-1]
    for i, uniform in enumerate(uniforms):
        state_out[:] = f(U[:, code] + W @ state_out + b)
        q = (V @ state_out + c).astype(np.float64)
        if not np.isfinite(q).all():
            return False
        if temperature == 0:
            code = q.argmax()
        else:
            p = np.exp((q - q.max()) / temperature)
            code = min(np.searchsorted(p.cumsum(), uniform * p.sum(), side="right"), d - 1)
        codes_out[i] = code
    return True
