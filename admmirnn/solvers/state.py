"""What an iteration works on: allocated once per fit, and handed from step to step."""

import math

import numpy as np


class Workspace:
    """Scratch arrays for the largest minibatch, and views of them for the current one.

    Attributes
    ----------
    X : ndarray of shape (n_rows, d + 1)
        [x_t, 1], laid out as ``_kernels`` describes.
    S : ndarray of shape (n_rows + B, n)
        s_{t-1}, and s_N at the end.
    Q, O_plus, lambda3 : ndarray of shape (B, K)
        Outputs of the roll-out, their proximal points, the multipliers of the output equation.
    lambda1 : ndarray of shape (2 B, n)
        Multipliers of the equations for a_t, of two steps.
    weights_T, sums : ndarray
        Scratch of the forward and of the backward sweep.
    batch : Minibatch
        The current one.
    labels : ndarray of shape (B,), or None
        Its class numbers.
    values : ndarray of shape (B, K), or None
        Its targets, where they are not labels.
    weights : ndarray of shape (B,)
        Of its sequences, with mean one.
    """

    def __init__(self, kernels, network, sequences, batch_size, n_threads=1):
        n, d, K, dtype = network.n_hidden, network.n_features, network.n_outputs, network.dtype
        n_rows = sequences.most_rows(batch_size)

        def room(*shape):
            return np.full(shape, 0, dtype)  # written to, so that the first iteration finds its memory there

        self._X = room(n_rows, d + 1)
        self._S = room(n_rows + batch_size, n)
        self._lambda1 = room(min(2 * batch_size, n_rows), n)
        self._outputs = room(3, batch_size, K)
        self._ones = np.ones(batch_size, dtype)
        self.weights_T = room(d + 1 + n, n)
        self.sums = room(kernels.backward_room(d, n, K, min(n_threads, batch_size)))

    def load(self, batch, targets, weights, *, labelled):
        """Point the views at the sequences of ``batch``, whose weights may be None for all equal."""
        B, n_rows = len(batch), batch.n_rows
        self.batch = batch
        self.X = self._X[:n_rows]
        self.S = self._S[: n_rows + B]
        self.lambda1 = self._lambda1[: min(2 * B, n_rows)]
        self.Q, self.O_plus, self.lambda3 = self._outputs[:, :B]
        targets = targets[batch.indices]
        self.labels, self.values = (targets, None) if labelled else (None, targets)
        if weights is None:
            self.weights = self._ones[:B]
        else:
            self.weights = weights[batch.indices]
            self.weights *= B / self.weights.sum()


class Layer:
    """One weight matrix, Theta or Psi, with its running statistics and the scratch of its solve.

    Attributes
    ----------
    weights : ndarray of shape (p, m)
        The network's own array, changed in place.
    radius : float
        How far an iteration may move the layer's outputs, before the schedule; infinite when there is no radius.
    large_radius : float
        A radius that is large already, whatever the settings say.
    M : ndarray of shape (p, m)
        Running mean of L = sum of multiplier times input.
    G : ndarray of shape (m, m)
        Running Gram matrix of the inputs, in its lower triangle.
    factor : ndarray of shape (m, m)
        Cholesky factor of the damped G.
    D : ndarray of shape (m, p)
        The direction of the last iteration, transposed.
    D_norm, step, damping, shift : float
        |D|, the root-mean-square change of the layer's outputs that D would make; the step length; the damping in
        force, and what it adds to the diagonal of G.
    """

    def __init__(self, weights, radius, large_radius=1.0):
        self.weights = weights
        self.radius = math.inf if radius is None else radius
        self.large_radius = large_radius
        p, m = weights.shape
        self.M = np.zeros((p, m), weights.dtype)
        self.G = np.zeros((m, m), weights.dtype)
        self.factor = np.zeros((m, m), weights.dtype)
        self.D = np.zeros((m, p), weights.dtype)
        self.outcome = (0.0, 0.0, 0.0, 0.0)

    @property
    def outcome(self):
        """|D|, step length, damping and shift of the last weight step."""
        return self.D_norm, self.step, self.damping, self.shift

    @outcome.setter
    def outcome(self, values):
        self.D_norm, self.step, self.damping, self.shift = values

    @property
    def moved(self):
        """Root-mean-square change of the layer's outputs in the last iteration."""
        return self.step * self.D_norm

    def forget(self):
        """Drop the running statistics."""
        self.M[:] = 0
        self.G[:] = 0

    def shrink_radius(self, times):
        """Halve the radius ``times`` times, from a quarter of the last move where there was no radius.

        Nothing above half of ``large_radius`` is worth trying again.
        """
        if not math.isfinite(self.radius):
            moved = self.moved if math.isfinite(self.moved) and self.moved > 0 else math.inf
            self.radius = 0.5 * moved
        self.radius = min(self.radius, self.large_radius) * 0.5**times
