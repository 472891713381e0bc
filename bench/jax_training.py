"""The same networks in JAX, trained by Adam: scan over the steps, jit over the iteration; the fastest of peers."""

import os
from importlib.util import find_spec

import numpy as np

INSTALLED = find_spec("jax") is not None
MISSING = "JAX is missing (pip install jax)"
# of one thread, as all that it is compared with; read when jax starts
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


class JaxTraining:
    """A layer with a linear read-out of its last state, cross-entropy and Adam, on one thread.

    The products with all observations are one before the scan, which is the fastest way in JAX; all of an iteration,
    Adam included, is one compiled function, whose arrays are given up to it.

    Parameters
    ----------
    size : Size
        Of a minibatch.
    sequences, y : Sequences, ndarray
        Equally long sequences and their classes, some minibatches of them.
    cell : {"elman", "gru", "lstm"}
        Of the layer.
    """

    def __init__(self, size, sequences, y, cell="elman"):
        os.environ.setdefault("XLA_FLAGS", ONE_THREAD)
        import jax

        n_gates = {"elman": 1, "gru": 3, "lstm": 4}[cell]
        rng, n = np.random.default_rng(0), size.n

        def normal(*shape):
            return (rng.normal(size=shape) / np.sqrt(shape[-1])).astype(np.float32)

        W = np.concatenate([np.linalg.qr(normal(n, n))[0] for _ in range(n_gates)])
        weights = {"U": normal(n_gates * n, size.d), "W": W, "b": np.zeros(n_gates * n, np.float32)}
        weights |= {"V": np.zeros((size.K, n), np.float32), "c": np.zeros(size.K, np.float32)}
        if cell == "gru":
            weights["b_s"] = np.zeros(n, np.float32)
        zeros = {name: np.zeros_like(array) for name, array in weights.items()}
        self._state = jax.device_put((weights, zeros, {name: array.copy() for name, array in zeros.items()}, 0.0))
        X = np.array(sequences.observations, np.float32).reshape(-1, size.B, size.N, size.d).transpose(0, 2, 1, 3)
        self._batches = [jax.device_put((x, labels)) for x, labels in zip(X, np.reshape(y, (-1, size.B)), strict=True)]
        self._iterate = jax.jit(_iteration(cell, n), donate_argnums=0)

    def epoch(self):
        """Take all minibatches, in the same order."""
        for X, y in self._batches:
            self._state, loss = self._iterate(self._state, X, y)
        loss.block_until_ready()
        return float(loss)


def _iteration(cell, n):
    """(state, X of (N, B, d), y) -> the state after an iteration of Adam, and the loss before it."""
    import jax
    from jax import numpy as jnp

    step = {"elman": _elman, "gru": _gru, "lstm": _lstm}[cell]

    def loss_of(weights, X, y):
        driven = X @ weights["U"].T + weights["b"]
        zero = jnp.zeros((X.shape[1], n), X.dtype)
        (s, _), _ = jax.lax.scan(lambda before, a: (step(jnp, jax, weights, a, *before), None), (zero, zero), driven)
        outputs = s @ weights["V"].T + weights["c"]
        return -jnp.take_along_axis(jax.nn.log_softmax(outputs), y[:, None], axis=1).mean()

    def iterate(state, X, y):
        weights, first, second, k = state
        loss, gradients = jax.value_and_grad(loss_of)(weights, X, y)
        k = k + 1
        first = {name: 0.9 * first[name] + 0.1 * g for name, g in gradients.items()}
        second = {name: 0.999 * second[name] + 0.001 * g**2 for name, g in gradients.items()}
        rate = 1e-3 * jnp.sqrt(1 - 0.999**k) / (1 - 0.9**k)
        moved = {name: w - rate * first[name] / (jnp.sqrt(second[name]) + 1e-8) for name, w in weights.items()}
        return (moved, first, second, k), loss

    return iterate


def _elman(jnp, jax, weights, a, s, c):
    return jnp.tanh(a + s @ weights["W"].T), c


def _gru(jnp, jax, weights, a, s, c):
    of_s = s @ weights["W"].T
    a_z, a_r, a_x = jnp.split(a, 3, axis=1)
    s_z, s_r, s_s = jnp.split(of_s, 3, axis=1)
    z, r = jax.nn.sigmoid(a_z + s_z), jax.nn.sigmoid(a_r + s_r)
    return (1 - z) * jnp.tanh(a_x + r * (s_s + weights["b_s"])) + z * s, c


def _lstm(jnp, jax, weights, a, s, c):
    i, f, g, o = jnp.split(a + s @ weights["W"].T, 4, axis=1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c
