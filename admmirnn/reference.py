"""The numpy twin of every kernel: the same signatures, written to be read.

It is the oracle of the kernels' tests and a back end of its own (``ADMMIRNN_BACKEND=numpy``).  The layout of
a minibatch is described in ``_kernels/__init__.py``.
"""

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.special import expit

LEAK = 0.01
# f, and f' as a function of s = f(a)
_ACTIVATIONS = {
    "tanh": (np.tanh, lambda s: 1 - s * s),
    "sigmoid": (expit, lambda s: s * (1 - s)),
    "relu": (lambda a: np.maximum(a, 0), lambda s: (s > 0).astype(s.dtype)),
    "leaky_relu": (lambda a: np.where(a < 0, LEAK * a, a), lambda s: np.where(s > 0, 1, LEAK).astype(s.dtype)),
    "identity": (lambda a: a, np.ones_like),
}
_MOST_NEWTON_STEPS = 200


def forward(
    observations,
    scale,
    first_rows,
    lengths,
    offsets,
    Theta,
    Psi,
    activation,
    weights_out,
    X_out,
    S_out,
    Q_out,
    labels=None,
    values=None,
    weights=None,
    rho=1.0,
    O_plus_out=None,
    lambda3_out=None,
    n_threads=1,
    read_out="last",
    stride=1,
    initial=None,
    H_out=None,
    steps_out=None,
):
    """Roll a minibatch out; with targets, take the o-step and return the loss and the number of right answers."""
    f, _ = _ACTIVATIONS[activation]
    N, B, d, running = len(offsets) - 2, len(lengths), Theta.shape[1] - len(Theta) - 1, 0
    U, W, b = Theta[:, :d], Theta[:, d:-1], Theta[:, -1]
    width = observations.shape[1]
    frames = np.lib.stride_tricks.sliding_window_view(observations.reshape(-1), d)[::width]
    X_out[:, -1] = 1
    for t in range(N):
        x, s = X_out[offsets[t] : offsets[t + 1]], S_out[offsets[t] : offsets[t + 1]]
        step = lengths[: len(x)] - N + t
        np.multiply(
            frames[first_rows[: len(x)] + stride * step], Theta.dtype.type(scale), out=x[:, :-1], casting="unsafe"
        )
        s[running:] = 0 if initial is None else initial[running : len(x)]
        running = len(x)
        S_out[offsets[t + 1] : offsets[t + 1] + running] = f(x[:, :-1] @ U.T + s @ W.T + b)
    np.matmul(_states_read_out(read_out, S_out, offsets, lengths, H_out, steps_out), Psi[:, :-1].T, out=Q_out)
    Q_out += Psi[:, -1]
    is_hole = _holes(offsets) if read_out == "each" else np.zeros(B, bool)
    Q_out[is_hole] = 0
    if labels is None and values is None:
        return None
    if labels is not None:
        loss, n_correct = cross_entropy_step(Q_out, labels, weights, rho, O_plus_out, lambda3_out)
    else:
        loss, n_correct = squared_error_step(Q_out, values, weights, rho, O_plus_out, lambda3_out), None
    O_plus_out[is_hole] = lambda3_out[is_hole] = 0
    return loss, n_correct


def _states_read_out(read_out, S, offsets, lengths, H_out, steps_out):
    """h, a row for each output; pooled ones are written to ``H_out``, and where they come from to ``steps_out``."""
    N = len(offsets) - 2
    if read_out == "last":
        return S[offsets[N] :]
    if read_out == "each":
        return S[offsets[1] :]
    H_out[:] = 0 if read_out == "mean" else -np.inf
    for t in range(N):
        s = S[offsets[t + 1] : offsets[t + 1] + offsets[t + 1] - offsets[t]]
        if read_out == "mean":
            H_out[: len(s)] += s
        else:
            larger = ~(s <= H_out[: len(s)])
            H_out[: len(s)][larger] = s[larger]
            steps_out[: len(s)][larger] = t
    if read_out == "mean":
        H_out *= (1 / lengths[:, None]).astype(H_out.dtype)
    return H_out


def _holes(offsets):
    """Which rows of S from ``offsets[1]`` on are initial states."""
    counts = np.diff(offsets)
    position = np.arange(offsets[-1] - offsets[1]) - np.repeat(offsets[1:-1] - offsets[1], counts[1:])
    return position >= np.repeat(counts[:-1], counts[1:])


def read_out(S, Psi, Q_out):
    """Q = V s + c for every row s of S, Psi = [V c]."""
    np.matmul(S, Psi[:, :-1].T, out=Q_out)
    Q_out += Psi[:, -1]


def _relative_softmax(o, labels):
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


def _prox_cross_entropy(q, labels, rho, tolerance):
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


def cross_entropy(O, labels, weights):
    """Softmax cross-entropy: weighted mean, and the number of right answers, of the rows of positive weight."""
    rows = np.flatnonzero(weights)
    o, labels, weights = O[rows].astype(np.float64), np.asarray(labels)[rows], weights[rows].astype(np.float64)
    _, loss = _relative_softmax(o, labels)
    return float(np.average(loss, weights=weights)), int((o.argmax(axis=1) == labels).sum())


def squared_error(O, targets, weights):
    """1/2 |o - y|^2: weighted mean of the rows."""
    return float(np.average(0.5 * ((targets.astype(np.float64) - O) ** 2).sum(axis=1), weights=weights))


def cross_entropy_step(Q, labels, weights, rho, O_plus_out, lambda3_out):
    """Softmax cross-entropy, R(o) = log sum exp(o) - o[label].  Returns the loss and the number of right answers."""
    q = Q.astype(np.float64)
    labels = np.asarray(labels)
    _, loss = _relative_softmax(q, labels)
    u, p = _prox_cross_entropy(q, labels, rho, 1e-8 if Q.dtype == np.float32 else 1e-13)
    O_plus_out[:] = q + u
    p[np.arange(len(q)), labels] -= 1
    lambda3_out[:] = -p * weights[:, None]
    return float(np.average(loss, weights=weights)), int((q.argmax(axis=1) == labels)[weights != 0].sum())


def squared_error_step(Q, targets, weights, rho, O_plus_out, lambda3_out):
    """Squared error, R(o) = 1/2 |o - y|^2: o+ = (y + rho q) / (1 + rho).  Returns the loss."""
    residual = targets.astype(np.float64) - Q
    O_plus_out[:] = targets - rho / (1 + rho) * residual
    lambda3_out[:] = rho / (1 + rho) * residual * weights[:, None]
    return float(np.average(0.5 * (residual**2).sum(axis=1), weights=weights))


def backward_room(d, n, K, n_threads):
    """How many numbers of scratch ``backward`` needs: none."""
    return 0


def backward(
    Theta,
    Psi,
    X,
    S,
    offsets,
    lambda3,
    activation,
    cap,
    momentum,
    decay,
    gram_first,
    gram_every,
    lambda1_out,
    M_out,
    G_out,
    output_M_out,
    output_G_out,
    scratch_out,
    n_threads=1,
    read_out="last",
    weights=None,
    lengths=None,
    H_out=None,
    steps=None,
    from_zero=True,
    initial_multipliers_out=None,
):
    """lambda1_t = f'(a_t) * (V^T lambda3_t + W^T lambda1_{t+1}), bounded; M and G of both layers."""
    _, slope = _ACTIVATIONS[activation]
    N, (n, m) = len(offsets) - 2, Theta.shape
    B = offsets[-1] - offsets[-2]
    W, V = Theta[:, m - n - 1 : -1], Psi[:, :-1]
    weights = np.ones(len(lambda3), S.dtype) if weights is None else weights
    H = {"last": S[offsets[N] :], "each": S[offsets[1] :]}.get(read_out, H_out)
    in_gram = np.ones(len(H), bool)
    if read_out == "each":
        step_of = np.repeat(np.arange(N), np.diff(offsets)[1:])
        in_gram = (step_of >= gram_first) & ((step_of - gram_first) % gram_every == 0) & ~_holes(offsets)
    h = np.concatenate([H, np.ones((len(H), 1), S.dtype)], axis=1)
    output_L = lambda3.T @ h
    h = h[in_gram & (weights != 0)]
    lambda_h = lambda3 @ V
    if read_out == "mean":
        lambda_h *= (1 / lengths[:, None]).astype(S.dtype)
    if H_out is not None:
        H_out[:] = lambda_h
    keep = len(lambda1_out) == offsets[N]
    n_capped, following, most = 0, None, 0.0
    L, gram, gram_rows = np.zeros_like(M_out), np.zeros_like(G_out), 0
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
    total = float(weights.sum(dtype=np.float64))
    for statistic, keep_share, batch, count in (
        (M_out, momentum, L, total),
        (G_out, decay, gram, gram_rows),
        (output_M_out, momentum, output_L, total),
        (output_G_out, decay, h.T @ h, len(h)),
    ):
        if count:
            statistic *= keep_share
            statistic += (1 - keep_share) / count * batch
    return n_capped


def _factorise(G, damping):
    """The Cholesky factor of G + shift I, the damping in force and the shift; None and NaN when there is none."""
    m = len(G)
    G = np.tril(G) + np.tril(G, -1).T
    least = 1e-6 if G.dtype == np.float32 else 1e-14
    trace = float(np.trace(G, dtype=np.float64))
    if not (np.isfinite(trace) and np.isfinite(G).all()):
        return None, damping, np.nan
    while True:
        shift = damping * trace / m
        if not abs(shift) <= np.finfo(G.dtype).max:
            return None, damping, np.nan
        try:
            damped = G + G.dtype.type(shift) * np.eye(m, dtype=G.dtype)
            return cho_factor(damped, lower=True, check_finite=False)[0], damping, shift
        except LinAlgError:
            damping = max(10 * damping, least)


def _step(M, G, damping, r, radius, schedule, factor_out, D_out, factored):
    """(|D|, length, damping, shift) of one layer; D and the factor are written."""
    if factored is None:
        factor, damping, shift = _factorise(G, damping)
        if factor is not None:
            factor_out[:] = factor
    else:
        _, _, damping, shift = factored
    if not (np.isfinite(shift) and np.isfinite(M).all()):
        return np.nan, np.nan, damping, shift
    D_out[:] = cho_solve((factor_out, True), M.T, check_finite=False)
    whole = float(np.vdot(D_out, M.T))
    square = whole - shift * float(np.vdot(D_out, D_out))
    if square < 0.01 * whole:  # rounding would show
        square = max(float(np.vdot(D_out, (np.tril(G) + np.tril(G, -1).T) @ D_out)), 0)
    norm = float(np.sqrt(square / len(M)))
    limit = 1 / r if r > 0 else np.inf
    return norm, schedule * min(limit, radius / norm) if norm else 0.0, damping, shift


def update_weights(
    M,
    G,
    factor_out,
    D_out,
    Theta_out,
    output_M,
    output_G,
    output_factor_out,
    output_D_out,
    Psi_out,
    scratch_out,
    damping,
    r,
    radius,
    output_radius,
    schedule,
    shrinkage,
    factored=None,
):
    """Theta += length D, D = M (G + damping tr(G)/m I)^-1, length = schedule min(1/r, radius / |D|); Psi likewise."""
    with np.errstate(over="ignore", invalid="ignore"):
        hidden = _step(M, G, damping, r, radius, schedule, factor_out, D_out, factored and factored[0])
        output = _step(
            output_M, output_G, damping, r, output_radius, schedule, output_factor_out, output_D_out,
            factored and factored[1],
        )  # fmt: skip
    moved = hidden[0] * hidden[1]
    if np.isfinite(moved) and np.isfinite(output[0] * output[1]):
        if shrinkage:
            distance = schedule * radius if np.isfinite(radius) else moved
            n, m = Theta_out.shape
            Theta_out[:, m - n - 1 : -1] *= Theta_out.dtype.type(max(0.0, 1 - shrinkage * distance))
        Theta_out += Theta_out.dtype.type(hidden[1]) * D_out.T
        Psi_out += Psi_out.dtype.type(output[1]) * output_D_out.T
    return hidden, output
