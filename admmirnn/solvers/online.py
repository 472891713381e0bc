"""How far a step goes where the end is not known: less and less, and as far as at first when the data have changed."""

from __future__ import annotations

import math
from typing import Any

_HALF = 50  # iterations after which steps have 1/sqrt(2) of their length
_LEAST = 0.02  # where the cosine of a fit ends as well
_RECENT = 8  # losses whose mean tells of a change
_DEVIATIONS = 6.0  # of such a mean that a change has to exceed
_LEAST_GAIN = 0.25  # and which part of what has been gained over the best constant output
_TAIL = 3.0  # the mean and variance before a change are those of the last third of the losses
_LONGEST = 200  # but not of more losses than that


class OnlineSchedule:
    """The factor on the step length from minibatch to minibatch, and a test of whether the law of the data has changed.

    The factor is 1/sqrt(1 + k/50), at least 0.02, in the k-th iteration since the law has last changed.  It has
    changed when the mean of the last eight losses, each taken before its update, is above their running mean by more
    than six standard errors and by more than a quarter of what has been gained over the best constant output.

    The numbers were chosen on streams of digits, Japanese Vowels, text and autoregressive series; the section
    ``online`` of `bench.accept` has some of them.

    Attributes
    ----------
    constant_loss : float
        Loss of the best constant output, a mean over the calls.
    """

    def __init__(self) -> None:
        self.constant_loss = 0.0
        self._weight = 0  # sequences that the mean of constant_loss has seen
        self._iterations = 0  # since the start, or since the law has changed
        self._n_losses = 0
        self._mean = self._variance = self._recent = 0.0

    def state(self, n_iterations: int = 0) -> dict[str, Any]:
        """What the schedule of the next call goes on from; after a fit, that it had so many iterations."""
        return {
            "iterations": self._iterations + n_iterations,
            "n_losses": self._n_losses,
            "mean": self._mean,
            "variance": self._variance,
            "recent": self._recent,
            "constant_loss": self.constant_loss,
            "weight": self._weight,
        }

    def go_on_from(self, state: dict[str, Any]) -> None:
        """Take over the state of an earlier call."""
        self._iterations, self._n_losses = state["iterations"], state["n_losses"]
        self._mean, self._variance, self._recent = state["mean"], state["variance"], state["recent"]
        self.constant_loss, self._weight = state["constant_loss"], state["weight"]

    def begin_call(self, constant_loss: float, n_sequences: int) -> None:
        """Average the loss of the best constant output over calls: few targets say little of it."""
        self._weight = min(self._weight + n_sequences, _LONGEST * _RECENT)
        self.constant_loss += n_sequences / max(self._weight, n_sequences) * (constant_loss - self.constant_loss)

    @property
    def factor(self) -> float:
        """What a step length is multiplied by."""
        return max(_LEAST, 1 / math.sqrt(1 + max(self._iterations - 1, 0) / _HALF))

    def observe(self, loss: float) -> bool:
        """Take the loss of a minibatch, measured before its update; say whether the law has changed."""
        self._iterations += 1
        if not math.isfinite(loss):
            return False
        self._n_losses += 1
        self._recent += max(1 / _RECENT, 1 / self._n_losses) * (loss - self._recent)
        if self._has_changed():
            self._iterations = self._n_losses = 1
            self._recent = self._mean = loss
            self._variance = 0.0
            return True
        share = max(_TAIL / (self._n_losses + _TAIL - 1), 1 / _LONGEST)
        difference = loss - self._mean
        self._mean += share * difference
        self._variance = (1 - share) * (self._variance + share * difference * difference)
        return False

    def _has_changed(self) -> bool:
        if self._n_losses <= 2 * _RECENT:
            return False
        error = math.sqrt(self._variance / (2 * _RECENT - 1))  # of an exponential mean with the weight 1/8
        least = max(_DEVIATIONS * error, _LEAST_GAIN * (self.constant_loss - self._mean))
        return self._recent - self._mean > least
