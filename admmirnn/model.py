"""The network itself: an Elman RNN with its weights in the blocks that the solvers work on."""

import numpy as np

from admmirnn import backend

_ROWS_AT_A_TIME = 1 << 14


class ElmanRNN:
    """a_t = U x_t + W s_{t-1} + b,  s_t = f(a_t),  o = V s_N + c, with s_0 = 0.

    Parameters
    ----------
    Theta : ndarray of shape (n_hidden, n_features + n_hidden + 1)
        [U W b].
    Psi : ndarray of shape (n_outputs, n_hidden + 1)
        [V c].
    activation : {"tanh", "relu"}
        f.
    """

    def __init__(self, Theta, Psi, activation="tanh"):
        self.Theta = Theta
        self.Psi = Psi
        self.activation = activation

    @classmethod
    def random(cls, n_features, n_hidden, n_outputs, *, activation="tanh", dtype=np.float32, random_state):
        """W orthogonal, U normal with variance 1 / n_features, V, b and c zero.

        Parameters
        ----------
        n_features, n_hidden, n_outputs : int
            d, n and K.
        activation : {"tanh", "relu"}
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

    def outputs(self, sequences, *, every_step=False):
        """Roll the network out over sequences.

        Parameters
        ----------
        sequences : Sequences
            Their observations have the network's dtype and number of features.
        every_step : bool, default=False
            Whether to return o_t of every step instead of the last one's.

        Returns
        -------
        ndarray of shape (n_sequences, n_outputs) or (n_steps, n_outputs)
            o of every sequence after its last step, or after each of its steps, one sequence after the other.
        """
        kernels = backend.kernels()
        n_rows = sequences.lengths.sum() if every_step else len(sequences)
        outputs = np.empty((n_rows, self.n_outputs), self.dtype)
        first_steps = sequences.first_steps
        with backend.one_blas_thread():
            for first, last in _chunks(sequences.lengths):
                batch = sequences.minibatch(np.arange(first, last))
                Z = np.empty((batch.offsets[-1], self.Theta.shape[1]), dtype=self.dtype)
                kernels.pack(sequences.observations, batch.first_rows, batch.lengths, batch.offsets, Z)
                kernels.roll_out(self.Theta, batch.offsets, self.activation, Z)
                if every_step:
                    sequence_of, step_of = batch.rows()
                    where = first_steps[sequence_of] + step_of
                    H = Z[batch.rows_of_states(), self.n_features :]
                else:
                    where = batch.indices
                    H = np.empty((len(batch), self.n_hidden + 1), dtype=self.dtype)
                    kernels.read_last(Z, batch.offsets, H)
                Q = np.empty((len(H), self.n_outputs), dtype=self.dtype)
                kernels.read_out(H, self.Psi, Q)
                outputs[where] = Q
        return outputs


def _chunks(lengths):
    """Cut the sequences into runs of at most about ``_ROWS_AT_A_TIME`` steps."""
    chunk = (np.cumsum(lengths) - lengths) // _ROWS_AT_A_TIME
    bounds = np.flatnonzero(np.diff(chunk)) + 1
    return zip([0, *bounds.tolist()], [*bounds.tolist(), len(lengths)], strict=True)
