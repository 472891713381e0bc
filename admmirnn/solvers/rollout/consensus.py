"""Consensus of workers that each have weights of their own: multipliers, and a pull to the means of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from admmirnn._typing import FloatArray
    from admmirnn.solvers.rollout.state import Layer


class Metric:
    """Q, in which weights are compared: Q D = P D (G + shift I), of the statistics that all workers start from.

    Parameters
    ----------
    blocks : list of (slice, ndarray)
        Columns of the blocks of G, and the blocks, in their lower triangles.
    R : ndarray or None
        Running Gram matrix of the multipliers, in its lower triangle; None where P is I.
    damping : float
        Number that is added to the diagonals of G and of P in units of their means.
    """

    def __init__(
        self, blocks: Sequence[tuple[slice, FloatArray]], R: NDArray[np.float64] | None, damping: float
    ) -> None:
        shift = damping * sum(float(np.trace(G)) for _, G in blocks) / sum(len(G) for _, G in blocks)
        self._blocks = [(columns, _damped(G, shift)) for columns, G in blocks]
        self._P = None
        if R is not None:
            mean = float(np.trace(R)) / len(R)
            whole = np.tril(R) + np.tril(R, -1).T
            self._P = (whole / (mean or 1.0) + damping * np.eye(len(R))).astype(blocks[0][1].dtype)

    def of(self, D: FloatArray) -> FloatArray:
        """Q D."""
        with np.errstate(over="ignore", invalid="ignore"):
            found: FloatArray = np.concatenate([D[:, columns] @ G for columns, G in self._blocks], axis=1)
            return found if self._P is None else self._P @ found


def _damped(G: FloatArray, shift: float) -> FloatArray:
    found: FloatArray = np.tril(G) + np.tril(G, -1).T + G.dtype.type(shift) * np.eye(len(G), dtype=G.dtype)
    return found


class Consensus:
    """The equation Theta_i = Z of the weights of one worker, with its multiplier Y_i, for the iterations of a round.

    S. Boyd, N. Parikh, E. Chu, B. Peleato, J. Eckstein, "Distributed optimization and statistical learning via the
    alternating direction method of multipliers", 2011, section 7.1, in the metric Q of the weight step: what pulls
    Theta_i is M_i - Y_i - rho Q (Theta_i - Z), Z is the mean of all Theta_i, and after the round
    Y_i <- Y_i + rho Q (Theta_i - Z), which the driver does.

    Parameters
    ----------
    layers : list of Layer
        Layers with the weights Z.  From now on an array of its own pulls each of them.

    Attributes
    ----------
    steps : ndarray of shape (n_layers,)
        Sums of the step lengths since the round has begun.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        self._Z = [layer.weights.copy() for layer in layers]
        self._Y = [np.zeros_like(layer.M) for layer in layers]
        self._metrics: list[Metric] = []
        self._rho = np.zeros(len(layers))
        self.steps = np.zeros(len(layers))
        for layer in layers:
            layer.pull = np.zeros_like(layer.M)

    def begin(self, Y: Sequence[FloatArray], rho: Sequence[float], metrics: Sequence[Metric]) -> None:
        """Take the multipliers and penalties of a round that is not the first."""
        self._Y, self._rho, self._metrics = list(Y), np.array(rho), list(metrics)

    def pull(self) -> None:
        """Let all layers be pulled by M_i - Y_i - rho Q (Theta_i - Z)."""
        with np.errstate(over="ignore", invalid="ignore"):  # the weight step finds out
            for layer, Y in zip(self._layers, self._Y, strict=True):
                np.subtract(layer.M, Y, out=layer.pull)
            for layer, Z, metric, rho in zip(self._layers, self._Z, self._metrics, self._rho, strict=False):
                layer.pull -= layer.pull.dtype.type(rho) * metric.of(layer.weights - Z)

    def count(self) -> None:
        """Add the lengths of the steps that have been made."""
        self.steps += [layer.step for layer in self._layers]
