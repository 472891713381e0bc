"""The numpy twin of every kernel: the same signatures, written to be read.

It is the oracle of the kernels' tests and a back end of its own (``ADMMIRNN_BACKEND=numpy``).  The layout of
``Z`` and ``offsets`` is described in ``_kernels/__init__.py``.
"""

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

_ACTIVATIONS = {
    "tanh": (np.tanh, lambda s: 1 - s * s),
    "relu": (lambda a: np.maximum(a, 0), lambda s: (s > 0).astype(s.dtype)),
}
_MOST_NEWTON_STEPS = 200


def pack(observations, first_rows, lengths, offsets, Z_out):
    """Copy the observations of a minibatch into Z, with zero initial states and the column of ones."""
    N, d = len(offsets) - 2, observations.shape[1]
    Z_out[:, -1] = 1
    Z_out[offsets[N] :, :d] = 0
    for t in range(N):
        block = Z_out[offsets[t] : offsets[t + 1]]
        step = lengths[: len(block)] - N + t
        block[:, :d] = observations[first_rows[: len(block)] + step]
        block[step == 0, d:-1] = 0


def roll_out(Theta, offsets, activation, Z_out):
    """Write the states of all steps into Z: s_t = f(U x_t + W s_{t-1} + b), Theta = [U W b]."""
    f, _ = _ACTIVATIONS[activation]
    n, m = Theta.shape
    for t in range(len(offsets) - 2):
        block = Z_out[offsets[t] : offsets[t + 1]]
        following = Z_out[offsets[t + 1] : offsets[t + 2]]
        following[: len(block), m - n - 1 : -1] = f(block @ Theta.T)


def read_last(Z, offsets, H_out):
    """Copy h = [s_N, 1] of every sequence out of the last block."""
    H_out[:] = Z[offsets[-2] :, Z.shape[1] - H_out.shape[1] :]


def read_out(H, Psi, Q_out):
    """Q = V s + c for every row h = [s, 1] of H, Psi = [V c]."""
    np.matmul(H, Psi.T, out=Q_out)


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
    return float(np.mean(weights * loss)), int((q.argmax(axis=1) == labels).sum())


def squared_error_step(Q, targets, weights, rho, O_plus_out, lambda3_out):
    """Squared error, R(o) = 1/2 |o - y|^2: o+ = (y + rho q) / (1 + rho).  Returns the loss."""
    residual = targets.astype(np.float64) - Q
    O_plus_out[:] = targets - rho / (1 + rho) * residual
    lambda3_out[:] = rho / (1 + rho) * residual * weights[:, None]
    return float(np.mean(weights * 0.5 * (residual**2).sum(axis=1)))


def backward(Theta, Psi, Z, offsets, lambda3, activation, cap, lambda1_out, momentum=0.0, M_out=None):
    """lambda1_N = f'(a_N) * V^T lambda3,  lambda1_t = f'(a_t) * W^T lambda1_{t+1}, bounded; then ``accumulate``."""
    _, slope = _ACTIVATIONS[activation]
    n, m = Theta.shape
    W = Theta[:, m - n - 1 : -1]
    n_capped = 0
    for t in reversed(range(len(offsets) - 2)):
        lambda1 = lambda1_out[offsets[t] : offsets[t + 1]]
        states = Z[offsets[t + 1] : offsets[t + 2], m - n - 1 : -1][: len(lambda1)]
        if t == len(offsets) - 3:
            np.matmul(lambda3, Psi[:, :-1], out=lambda1)
        else:
            np.matmul(lambda1_out[offsets[t + 1] : offsets[t + 2]][: len(lambda1)], W, out=lambda1)
        lambda1 *= slope(states)
        square = float(np.vdot(lambda1, lambda1))
        if t == len(offsets) - 3:
            most = cap * cap * square
        elif square > most:
            lambda1 *= lambda1.dtype.type(np.sqrt(most / square))
            n_capped += 1
    if M_out is not None:
        accumulate(lambda1_out, Z, len(lambda3), momentum, M_out)
    return n_capped


def accumulate(multipliers, inputs, n_outputs, momentum, M_out):
    """M <- momentum M + (1 - momentum) L,  L = sum multipliers^T inputs / n_outputs; ``M_out`` is M transposed."""
    M_out *= momentum
    M_out += (1 - momentum) / n_outputs * (inputs[: len(multipliers)].T @ multipliers)


def accumulate_gram(inputs, offsets, first, every, decay, G_out):
    """G <- decay G + (1 - decay) sum z z^T / #rows, over the rows of the steps first, first + every, ..."""
    N = len(offsets) - 2
    if every == 1:
        rows = inputs[offsets[first] : offsets[N]]
    else:
        rows = np.concatenate([inputs[offsets[t] : offsets[t + 1]] for t in range(first, N, every)])
    G_out *= decay
    G_out += (1 - decay) / len(rows) * (rows.T @ rows)


def direction(M, G, damping, factor_out, D_out, GD_out):
    """D = M (G + damping tr(G)/m I)^-1; returns |D| = sqrt(tr(D G D^T) / p) and the damping in force.

    ``M``, ``D_out`` and ``GD_out`` are transposed.
    """
    m, p = M.shape
    G = np.tril(G) + np.tril(G, -1).T
    least = 1e-6 if M.dtype == np.float32 else 1e-14
    trace = float(np.trace(G, dtype=np.float64))
    if not (np.isfinite(trace) and np.isfinite(M).all() and np.isfinite(G).all()):
        return np.nan, damping
    while True:
        shift = damping * trace / m
        if not abs(shift) <= np.finfo(M.dtype).max:
            return np.nan, damping
        factor_out[:] = G
        factor_out[np.diag_indices(m)] += M.dtype.type(shift)
        try:
            factor = cho_factor(factor_out, lower=True, check_finite=False)
            break
        except LinAlgError:
            damping = max(10 * damping, least)
    D_out[:] = cho_solve(factor, M, check_finite=False)
    GD_out[:] = G @ D_out
    return float(np.sqrt(max(np.vdot(D_out, GD_out), 0) / p)), damping


def move(D, step, weights_out):
    """Add step * D, given transposed, to the weights."""
    weights_out += weights_out.dtype.type(step) * D.T
