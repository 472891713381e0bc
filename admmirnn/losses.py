"""Losses R(o, y): what the solvers need to know of each.

A loss has ``step``, the proximal step of its kernel, ``value``, its weighted mean, and ``constant_loss``, what the best
constant output would cost; a solver compares with the latter to see whether a network has been thrown away.
``takes_labels`` says whether targets are class numbers.
"""

import numpy as np
from scipy.special import xlogy


class SoftmaxCrossEntropy:
    """R(o, y) = log sum_k exp(o_k) - o_y, with y a class number.

    The proximal operator is exact: Newton's method on a strictly convex function whose Hessian is diagonal
    plus rank one.
    """

    target_dtype = np.intp
    takes_labels = True

    def step(self, kernels, Q, targets, weights, rho, O_plus, lambda3):
        """Write o+ and lambda3; return the loss at Q and how many rows have their largest output at y."""
        return kernels.cross_entropy_step(Q, targets, weights, rho, O_plus, lambda3)

    def value(self, kernels, O, targets, weights):
        """Return the weighted mean at O, and how many rows of positive weight have their largest output at y."""
        return kernels.cross_entropy(O, targets, weights)

    def constant_loss(self, targets, weights):
        """The entropy of the class frequencies, in nats."""
        frequencies = np.bincount(targets, weights) / weights.sum()
        return float(-xlogy(frequencies, frequencies).sum())


class SquaredError:
    """R(o, y) = 1/2 |o - y|^2, with y of shape (n_outputs,)."""

    target_dtype = None  # that of the network
    takes_labels = False

    def step(self, kernels, Q, targets, weights, rho, O_plus, lambda3):
        """Write o+ and lambda3; return the loss at Q, and None for the number of right answers."""
        return kernels.squared_error_step(Q, targets, weights, rho, O_plus, lambda3), None

    def value(self, kernels, O, targets, weights):
        """Return the weighted mean at O, and None for the number of right answers."""
        return kernels.squared_error(O, targets, weights), None

    def constant_loss(self, targets, weights):
        """Half the variance of the targets."""
        mean = np.average(targets, axis=0, weights=weights)
        return float(0.5 * np.average(((targets - mean) ** 2).sum(axis=1), weights=weights))
