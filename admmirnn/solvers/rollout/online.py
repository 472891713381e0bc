"""How far a step goes where the end is not known: less and less, and as far as at first when the data have changed."""

from __future__ import annotations

import math

from admmirnn.solvers.rollout.memory import OnlineMemory

_HALF = 50  # iterations after which steps have 1/sqrt(2) of their length
_LEAST = 0.02  # where the cosine of a fit ends as well
_HIGH_IN_A_ROW = 4  # losses that tell of a change
_DEVIATIONS = 2.0  # of a loss that each of them has to exceed the mean by,
_LEAST_GAIN = 0.25  # and which part of what has been gained over the best constant output
_FEWEST = 10  # losses that tell what is high
_TAIL = 3.0  # mean and variance are those of the last third of the losses since a change
_LONGEST = 200  # but not of more losses than that
_MOST_LOSS = 1e100  # whose square is a number
_SEQUENCES = 1600  # that the mean of the best constant's loss is of
_TARGETS = 1600  # that the mean weight is of
_MOST_RISE = 4.0  # of that mean in one call, or one bad call would hide all that follows


class OnlineSchedule:
    """The factor on the step length from minibatch to minibatch, and a test of whether the law of the data has changed.

    The factor is 1/sqrt(1 + k/50), at least 0.02, in the k-th iteration since the law has last changed.  It has
    changed when four losses in a row, each taken before its update, are above the running mean by more than two
    standard deviations and by more than a quarter of what has been gained over the best constant output.  Losses that
    are so high count for the mean only when the next ones are not.  How much losses vary is told by the differences of
    successive ones, which the fall of the mean has little part in.

    The numbers were chosen on streams of digits, Japanese Vowels, text and autoregressive series; the section
    ``online`` of `bench.accept` has some of them.

    Attributes
    ----------
    constant_loss : float
        Loss of the best constant output: a mean over the sequences of calls, of which the last 1,600 count.
    mean_weight : float
        Mean weight of the targets of all calls, of which the last 1,600 count; weights are divided by it.
    """

    constant_loss: float
    mean_weight: float

    def __init__(self) -> None:
        self.constant_loss = 0.0
        self.mean_weight, self._n_weighed = 1.0, 0
        self._weight = 0  # sequences that the mean of constant_loss has seen
        self._iterations = 0  # since the start, or since the law has changed
        self._n_losses = self._n_high = 0
        self._mean = self._variance = self._previous = 0.0

    def state(self, n_iterations: int = 0) -> OnlineMemory:
        """What the schedule of the next call goes on from; after a fit, that it had so many iterations."""
        return OnlineMemory(
            iterations=self._iterations + n_iterations,
            n_losses=self._n_losses,
            n_high=self._n_high,
            mean=self._mean,
            variance=self._variance,
            previous=self._previous,
            constant_loss=self.constant_loss,
            weight=self._weight,
            mean_weight=self.mean_weight,
            n_weighed=self._n_weighed,
        )

    def go_on_from(self, state: OnlineMemory) -> None:
        """Take over the state of an earlier call."""
        self._iterations, self._n_losses, self._n_high = state.iterations, state.n_losses, state.n_high
        self._mean, self._variance, self._previous = state.mean, state.variance, state.previous
        self.constant_loss, self._weight = state.constant_loss, state.weight
        self.mean_weight, self._n_weighed = state.mean_weight, state.n_weighed

    def begin_call(self, constant_loss: float, n_sequences: int) -> None:
        """Average the loss of the best constant output over calls: few targets say little of it."""
        if self.constant_loss > 0:  # it is zero where all targets of the calls so far have been the same
            constant_loss = min(constant_loss, _MOST_RISE * self.constant_loss)
        self._weight = min(self._weight + n_sequences, _SEQUENCES)
        self.constant_loss += n_sequences / max(self._weight, n_sequences) * (constant_loss - self.constant_loss)

    def weigh(self, mean_weight: float, n_targets: int) -> None:
        """Take the mean weight of the targets of a call; of the first one, it is that of all so far."""
        self._n_weighed = min(self._n_weighed + n_targets, _TARGETS)
        share = n_targets / max(self._n_weighed, n_targets)
        self.mean_weight = (1 - share) * self.mean_weight + share * mean_weight

    @property
    def factor(self) -> float:
        """What a step length is multiplied by."""
        return max(_LEAST, 1 / math.sqrt(1 + max(self._iterations - 1, 0) / _HALF))

    @property
    def is_in_doubt(self) -> bool:
        """Whether a loss that is high may be that of another law: others were too, or too few have been seen."""
        return self._n_losses < _FEWEST or self._n_high > 0

    def observe(self, loss: float) -> bool:
        """Take the loss of a minibatch, measured before its update; say whether the law has changed."""
        self._iterations += 1
        if not abs(loss) < _MOST_LOSS:
            return False
        if self._is_high(loss):
            self._n_high += 1
            if self._n_high < _HIGH_IN_A_ROW:
                return False
            self._iterations, self._n_losses = 1, 0
        is_new = self._n_high == _HIGH_IN_A_ROW
        self._n_high = 0
        self._n_losses += 1
        share = max(_TAIL / (self._n_losses + _TAIL - 1), 1 / _LONGEST)
        self._mean += share * (loss - self._mean)
        if self._n_losses == 1:
            self._variance = 0.0
        else:
            self._variance += share * (0.5 * (loss - self._previous) ** 2 - self._variance)
        self._previous = loss
        return is_new

    def _is_high(self, loss: float) -> bool:
        if self._n_losses < _FEWEST:
            return False
        least = max(_DEVIATIONS * math.sqrt(self._variance), _LEAST_GAIN * (self.constant_loss - self._mean))
        return loss - self._mean > least
