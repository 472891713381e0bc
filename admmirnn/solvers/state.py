"""What an iteration works on: allocated once per fit, and handed from step to step."""

import math

import numpy as np


class Workspace:
    """Scratch arrays for the largest minibatch, and views of them for the current one.

    Attributes
    ----------
    Z : ndarray of shape (n_rows + B, d + n + 1)
        [x_t, s_{t-1}, 1], laid out as ``_kernels`` describes.
    H : ndarray of shape (B, n + 1)
        [s_N, 1].
    Q, O_plus, lambda3 : ndarray of shape (B, K)
        Outputs of the roll-out, their proximal points, the multipliers of the output equation.
    lambda1 : ndarray of shape (n_rows, n)
        Multipliers of the equations for a_t.
    offsets, last_step : ndarray of intp
        Where the steps stand in Z, and, likewise, the one step of H (which has no block for what follows it).
    targets, weights : ndarray
        Of the current minibatch's sequences; the weights have mean one.
    """

    def __init__(self, network, most_sequences, most_rows):
        n, K, dtype = network.n_hidden, network.n_outputs, network.dtype
        self._Z = np.empty((most_rows + most_sequences, network.Theta.shape[1]), dtype)
        self._lambda1 = np.empty((most_rows, n), dtype)
        self._H = np.empty((most_sequences, n + 1), dtype)
        self._outputs = np.empty((3, most_sequences, K), dtype)

    def load(self, kernels, sequences, targets, weights, batch):
        """Pack the observations of ``batch`` and point the views at it."""
        B, n_rows = len(batch), batch.n_rows
        self.offsets = batch.offsets
        self.last_step = np.array([0, B, 2 * B], np.intp)
        self.Z = self._Z[: n_rows + B]
        self.lambda1 = self._lambda1[:n_rows]
        self.H = self._H[:B]
        self.Q, self.O_plus, self.lambda3 = self._outputs[:, :B]
        self.targets = targets[batch.indices]
        self.weights = weights[batch.indices]
        self.weights *= B / self.weights.sum()
        kernels.pack(sequences.observations, batch.first_rows, batch.lengths, batch.offsets, self.Z)


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
    M : ndarray of shape (m, p)
        Running mean of L = sum of multiplier times input, transposed.
    G : ndarray of shape (m, m)
        Running Gram matrix of the inputs, in its lower triangle.
    iteration : int
        k: how many minibatches G has seen.
    D : ndarray of shape (m, p)
        The direction of the last iteration, transposed.
    D_norm, step, damping : float
        |D|, the root-mean-square change of the layer's outputs that D would make; the step length; the damping in
        force.
    """

    def __init__(self, weights, radius, large_radius=1.0):
        self.weights = weights
        self.radius = math.inf if radius is None else radius
        self.large_radius = large_radius
        transposed = weights.shape[::-1]
        self.M = np.zeros(transposed, weights.dtype)
        self.G = np.zeros((weights.shape[1], weights.shape[1]), weights.dtype)
        self.factor = np.empty_like(self.G)
        self.D = np.empty(transposed, weights.dtype)
        self.GD = np.empty(transposed, weights.dtype)
        self.iteration = 0
        self.D_norm = self.step = self.damping = 0.0

    @property
    def moved(self):
        """Root-mean-square change of the layer's outputs in the last iteration."""
        return self.step * self.D_norm

    def forget(self):
        """Drop the running statistics."""
        self.iteration = 0
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
