"""The same network in PyTorch, trained by Adam: what the iterations of `Rollout` are compared with."""

from importlib.util import find_spec

import numpy as np

INSTALLED = find_spec("torch") is not None  # it is imported when it is needed, for it takes seconds
MISSING = "PyTorch is missing (pip install torch==2.13.0)"


class GradientTraining:
    """nn.RNN with a linear read-out of its last state, cross-entropy and Adam, on one thread.

    Parameters
    ----------
    size : Size
        Of a minibatch.
    sequences, y : Sequences, ndarray
        Equally long sequences and their classes, some minibatches of them.
    max_norm : float or None
        Of the gradients, which are clipped to it; None leaves them as they are.
    layer : {"RNN", "GRU", "LSTM"}
        Of torch.nn, in the place of nn.RNN.
    """

    def __init__(self, size, sequences, y, max_norm=None, layer="RNN"):
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(0)
        X = np.array(sequences.observations).reshape(len(sequences), size.N, size.d)
        dtype = torch.from_numpy(X).dtype
        self._X, self._y = torch.from_numpy(X), torch.from_numpy(np.array(y, np.int64))
        self._rnn = getattr(torch.nn, layer)(size.d, size.n, batch_first=True, dtype=dtype)
        torch.nn.init.orthogonal_(self._rnn.weight_hh_l0)
        self._read_out = torch.nn.Linear(size.n, size.K, dtype=dtype)
        self._parameters = [*self._rnn.parameters(), *self._read_out.parameters()]
        self._optimiser = torch.optim.Adam(self._parameters, lr=1e-3)
        self._batch_size, self._max_norm, self._torch = size.B, max_norm, torch

    def epoch(self):
        """Take all minibatches, in a new order of the sequences."""
        torch = self._torch
        for indices in torch.randperm(len(self._X)).split(self._batch_size):
            self._optimiser.zero_grad()
            states, _ = self._rnn(self._X[indices])
            torch.nn.functional.cross_entropy(self._read_out(states[:, -1]), self._y[indices]).backward()
            if self._max_norm is not None:
                torch.nn.utils.clip_grad_norm_(self._parameters, self._max_norm)
            self._optimiser.step()
