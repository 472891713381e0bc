"""The network itself: an Elman RNN with its weights in the blocks that the solvers work on."""

import numpy as np

from admmirnn import backend

_ROWS_AT_A_TIME = 1 << 13


class ElmanRNN:
    """a_t = U x_t + W s_{t-1} + b,  s_t = f(a_t),  o = V s_N + c, with s_0 = 0.

    Parameters
    ----------
    Theta : ndarray of shape (n_hidden, n_features + n_hidden + 1)
        [U W b].
    Psi : ndarray of shape (n_outputs, n_hidden + 1)
        [V c].
    activation : {"tanh", "sigmoid", "relu", "leaky_relu", "identity"}
        f; leaky relu is 0.01 a below zero.
    """

    def __init__(self, Theta, Psi, activation="tanh"):
        self.Theta = Theta
        self.Psi = Psi
        self.activation = activation

    @classmethod
    def random(cls, n_features, n_hidden, n_outputs, *, activation="tanh", dtype=np.float32, random_state):
        """W orthogonal, U normal with variance 1 / n_features, V, b and c zero.

        That of sigmoid(a) = 1/2 + 1/2 tanh(a/2) is the network whose 2 s - 1 are the states of such a one with tanh:
        W four times as large, U twice, b minus half the row sums of W.

        Parameters
        ----------
        n_features, n_hidden, n_outputs : int
            d, n and K.
        activation : {"tanh", "sigmoid", "relu", "leaky_relu", "identity"}
            f.
        dtype : dtype
            float32 or float64.
        random_state : numpy.random.RandomState
            Where the weights are drawn from.
        """
        Theta = np.zeros((n_hidden, n_features + n_hidden + 1), dtype=dtype)
        Theta[:, :n_features] = random_state.standard_normal((n_hidden, n_features)) / np.sqrt(n_features)
        Q, R = np.linalg.qr(random_state.standard_normal((n_hidden, n_hidden)))
        Theta[:, n_features:-1] = Q * np.sign(np.diag(R))  # uniform over the orthogonal group
        if activation == "sigmoid":
            Theta[:, :n_features] *= 2
            Theta[:, n_features:-1] *= 4
            Theta[:, -1] = -0.5 * Theta[:, n_features:-1].sum(axis=1)
        return cls(Theta, np.zeros((n_outputs, n_hidden + 1), dtype=dtype), activation)

    @classmethod
    def of_weights(cls, U, W, b, V, c, *, activation="tanh"):
        """The network with the given weights, which are copied."""
        return cls(np.hstack([U, W, b[:, None]]), np.hstack([V, c[:, None]]), activation)

    @property
    def n_hidden(self):
        """Number of hidden units, n."""
        return self.Theta.shape[0]

    @property
    def n_features(self):
        """Number of features of an observation, d."""
        return self.Theta.shape[1] - self.Theta.shape[0] - 1

    @property
    def n_outputs(self):
        """Number of outputs, K."""
        return self.Psi.shape[0]

    @property
    def dtype(self):
        """float32 or float64."""
        return self.Theta.dtype

    @property
    def weights(self):
        """U, W, b, V and c by name, as views."""
        d = self.n_features
        return {
            "U": self.Theta[:, :d],
            "W": self.Theta[:, d:-1],
            "b": self.Theta[:, -1],
            "V": self.Psi[:, :-1],
            "c": self.Psi[:, -1],
        }

    def outputs(self, sequences, *, every_step=False, n_threads=1):
        """Roll the network out over sequences.

        Parameters
        ----------
        sequences : Sequences
            With the network's number of features.
        every_step : bool, default=False
            Whether to return o_t of every step instead of the last one's.
        n_threads : int, default=1
            Threads that share the sequences.

        Returns
        -------
        ndarray of shape (n_sequences, n_outputs) or (n_steps, n_outputs)
            o of every sequence after its last step, or after each of its steps, one sequence after the other.
        """
        kernels = backend.kernels()
        n, m = self.Theta.shape
        chunks = _chunks(sequences.lengths, n_threads)
        n_rows = max(sequences.lengths[first:last].sum() for first, last in chunks)
        most_sequences = max(last - first for first, last in chunks)
        weights_T = np.empty((m, n), self.dtype)
        X = np.empty((n_rows, m - n), self.dtype)
        S = np.empty((n_rows + most_sequences, n), self.dtype)
        Q = np.empty((most_sequences, self.n_outputs), self.dtype)
        outputs = np.empty((sequences.lengths.sum() if every_step else len(sequences), self.n_outputs), self.dtype)
        first_steps = sequences.first_steps
        with backend.one_blas_thread():
            for first, last in chunks:
                batch = sequences.minibatch(np.arange(first, last))
                of_batch, o = S[: batch.n_rows + len(batch)], Q[: len(batch)]
                kernels.forward(
                    batch.observations,
                    sequences.scale,
                    batch.first_rows,
                    batch.lengths,
                    batch.offsets,
                    self.Theta,
                    self.Psi,
                    self.activation,
                    weights_T,
                    X[: batch.n_rows],
                    of_batch,
                    o,
                    n_threads=n_threads,
                )
                where = batch.indices
                if every_step:
                    sequence_of, step_of = batch.rows()
                    where = first_steps[sequence_of] + step_of
                    o = np.empty((batch.n_rows, self.n_outputs), self.dtype)
                    kernels.read_out(of_batch[batch.rows_of_states()], self.Psi, o)
                outputs[where] = o
        return outputs


def _chunks(lengths, n_threads):
    """Cut the sequences into runs of at most about ``_ROWS_AT_A_TIME`` steps a thread."""
    chunk = (np.cumsum(lengths) - lengths) // (_ROWS_AT_A_TIME * n_threads)
    bounds = np.flatnonzero(np.diff(chunk)) + 1
    return list(zip([0, *bounds.tolist()], [*bounds.tolist(), len(lengths)], strict=True))
