"""Watching the roll-out loss, so that no setting ends in NaN or in a network that has been thrown away."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from admmirnn import validation
from admmirnn.solvers.memory import as_dict
from admmirnn.solvers.rollout.memory import GuardMemory

if TYPE_CHECKING:
    from admmirnn._typing import FloatArray
    from admmirnn.networks import Network

WINDOW = 500
_SMALL_WINDOW = 100
_DEVIATIONS = 6.0  # the best of many windows is some below their mean already
_LOST_GAIN = 0.25
_LOST_LEVEL = 0.1
_MOST_LEVEL = 0.25  # however much losses vary: they vary most in a network that is being ruined
_RUIN = 100.0


class Guard:
    """Keep the last good weights and say when to go back to them.

    The losses of minibatches are averaged over windows of ``min(500, n_sequences)`` sequences (of 500 in calls of
    partial_fit, from which the guard is handed on to the next ones); the loss of the
    first minibatch, which is that of the initial weights, or of the best constant output, if that is larger, is the
    first to compare with: few sequences may be easy ones.  A window is good when its
    mean, and the loss of its last minibatch, are not far above the best mean so far; then the weights are
    remembered.  The network counts as lost when a loss is not finite, or when the mean of a window is above the best
    by more than a quarter of what the best gains over the best constant output, and by more than a tenth of the
    larger of the two, and more in windows of less than 100, and by more than six standard errors of such a mean, which
    the differences between the minibatches of good windows tell, or a quarter of the larger one.  The worst of three
    or more minibatches does not count there: a single update that goes wrong in a cell with gates is often mended by
    the next ones, while a rollback would halve the radius for the rest of the fit.  One minibatch at a hundred times
    that level is enough.

    Parameters
    ----------
    network : RNN
        The network that is being trained.
    n_sequences : int
        Number of sequences in the training set, or 500 where that comes in parts.
    constant_loss : float
        Loss of the best constant output.

    Attributes
    ----------
    window : int
        Number of sequences in a window.
    constant_loss : float
        Loss of the best constant output, as given, or better known since.
    rollbacks_in_a_row : int
        Number of times that it has stepped in since it last found a window good.
    """

    rollbacks_in_a_row: int

    def __init__(self, network: Network, n_sequences: int, constant_loss: float) -> None:
        self._trained = network.trained
        self.window: int = min(WINDOW, n_sequences)
        self._leeway = math.sqrt(max(1.0, _SMALL_WINDOW / self.window))  # means of fewer losses vary more
        self.constant_loss = constant_loss
        self._best = math.inf
        self._begin_window()
        self._previous: tuple[float, int] | None = None  # loss, and number of sequences
        self._square_sum, self._n_differences = 0.0, 0
        self._variance: float | None = None  # of the losses of single sequences
        self._safest = tuple(weights.copy() for weights in self._trained)
        self._good = tuple(weights.copy() for weights in self._trained)
        self._returned_to = self._good
        self._loss_after_return: float | None = -math.inf
        self._any_finite = False
        self.rollbacks_in_a_row = 0

    def state(self) -> GuardMemory:
        """What another guard needs to go on from here."""
        return GuardMemory(
            best=self._best,
            loss_sum=self._loss_sum,
            n_seen=self._n_seen,
            weight_seen=self._weight_seen,
            worst=self._worst,
            previous=self._previous,
            square_sum=self._square_sum,
            n_differences=self._n_differences,
            variance=self._variance,
            loss_after_return=self._loss_after_return,
            any_finite=self._any_finite,
            rollbacks_in_a_row=self.rollbacks_in_a_row,
            safest=list(self._safest),
            good=list(self._good),
            returned_to_good=self._returned_to is self._good,
        )

    def form(self) -> dict[str, Any]:
        """What the state of another guard has to be in a checkpoint, see `validation.check_state`."""
        copies = [validation.finite(weights) for weights in self._trained]
        return as_dict(self.state()) | {
            "_best": validation.number(),
            "_loss_sum": validation.number(),
            "_weight_seen": validation.number(0),
            "_worst": (validation.number(), validation.number(0)),
            "_previous": validation.one_of(None, (validation.number(), validation.count(1))),
            "_square_sum": validation.number(0),
            "_variance": validation.one_of(None, validation.number(0)),
            "_loss_after_return": validation.one_of(None, 0.0),
            "safest": copies,
            "good": copies,
        }

    def go_on_from(self, state: GuardMemory) -> None:
        """Take over the state of another guard."""
        self._best, self._loss_sum, self._n_seen = state.best, state.loss_sum, state.n_seen
        self._weight_seen, self._worst = state.weight_seen, state.worst
        self._previous, self._square_sum, self._n_differences = state.previous, state.square_sum, state.n_differences
        self._variance, self._loss_after_return = state.variance, state.loss_after_return
        self._any_finite, self.rollbacks_in_a_row = state.any_finite, state.rollbacks_in_a_row
        for copies, earlier in ((self._safest, state.safest), (self._good, state.good)):
            for copy, weights in zip(copies, earlier, strict=True):
                np.copyto(copy, weights)
        self._returned_to = self._good if state.returned_to_good else self._safest

    @property
    def most(self) -> float:
        """The largest mean loss of a window that is not a loss of the network."""
        level = max(self.constant_loss, self._best)
        margin = self._leeway * max(_LOST_GAIN * (self.constant_loss - self._best), _LOST_LEVEL * level)
        if self._variance is not None:
            deviation = math.sqrt(self._variance / self.window)
            margin = max(margin, min(_DEVIATIONS * deviation, _MOST_LEVEL * level))
        return self._best + margin

    def lost(self, loss: float, n_sequences: int, mean_weight: float = 1.0) -> bool:
        """Take the loss of one minibatch, measured before its update; say whether the network is lost.

        The loss is a mean over targets with that mean weight, where all of the training set have 1.
        """
        if self._loss_after_return is None:
            self._loss_after_return = loss
        if not math.isfinite(loss):
            return True
        self._any_finite = True
        self._compare(loss, n_sequences)
        weight = n_sequences * mean_weight
        self._loss_sum += loss * weight
        self._weight_seen += weight
        self._n_seen += n_sequences
        self._worst = max(self._worst, (loss, weight))
        if self._best == math.inf:
            self._best = max(loss, self.constant_loss)
        if loss > _RUIN * max(self.constant_loss, self._best):
            return True
        if self._n_seen < self.window:
            return False
        mean, of_others = self._loss_sum / self._weight_seen, self._mean_of_all_but_the_worst()
        self._begin_window()
        most = self.most
        if not of_others <= most:  # nor is a sum that has overflowed
            return self._is_lost_at(mean)
        if mean > most:
            self._square_sum = self._n_differences = 0
            return False
        self._learn_variance()
        if mean < self._best:
            self._remember(self._safest)
        worth_keeping = mean < self.constant_loss or mean <= self._best
        if worth_keeping and max(mean, loss) <= (self._best + self.most) / 2:
            self._remember(self._good)
            self.rollbacks_in_a_row = 0
        self._best = min(self._best, mean)
        return False

    def _begin_window(self) -> None:
        self._loss_sum, self._n_seen, self._weight_seen = 0.0, 0, 0.0
        self._worst = -math.inf, 0.0  # loss of a minibatch, and its weight

    def _mean_of_all_but_the_worst(self) -> float:
        """Mean loss of the minibatches of a window, without the worst one if there are three or more."""
        loss, weight = self._worst
        weight_of_others = self._weight_seen - weight
        if weight_of_others < 0.6 * self._weight_seen:
            return self._loss_sum / self._weight_seen
        return (self._loss_sum - loss * weight) / weight_of_others

    def _compare(self, loss: float, n_sequences: int) -> None:
        """Add the square of this loss's difference to the one before, in units of the variance of one sequence's."""
        if self._previous is not None:
            other, n_others = self._previous
            difference = loss - other
            self._square_sum += difference * difference / (1 / n_sequences + 1 / n_others)  # inf where ** would raise
            self._n_differences += 1
        self._previous = loss, n_sequences

    def _learn_variance(self) -> None:
        if self._n_differences:
            variance = self._square_sum / self._n_differences
            self._variance = variance if self._variance is None else 0.8 * self._variance + 0.2 * variance
        self._square_sum = self._n_differences = 0

    def _remember(self, copies: tuple[FloatArray, ...]) -> None:
        for copy, weights in zip(copies, self._trained, strict=True):
            copy[...] = weights

    def _is_lost_at(self, mean: float) -> bool:
        """Whether the last updates, and not earlier ones, have made the mean loss of a window too high."""
        if not self._returned_in_vain:
            return True
        if self._returned_to is self._good and mean >= self.constant_loss:
            return True  # there are better ones
        self._best = mean  # nothing better is known, so go on from here
        self.rollbacks_in_a_row = 0
        return False

    @property
    def _returned_in_vain(self) -> bool:
        """Whether the weights that the last rollback returned to were lost themselves."""
        after = self._loss_after_return
        return self.rollbacks_in_a_row > 0 and after is not None and after > self.most

    def is_ruined_by(self, loss: float) -> bool:
        """Whether that loss of one minibatch is a ruined network's, whatever came before."""
        level = max(self.constant_loss, self._best) if self._best < math.inf else math.inf
        return not loss <= _RUIN * level

    def lost_at_the_end(self, loss: float, *, for_good: bool = True) -> bool:
        """Say whether the network is lost, given its loss over a window after the last update.

        Where the end is not ``for_good``, as that of a call of partial_fit, a loss has to tell of ruin: it is that of
        few sequences, and later calls will judge the rest.
        """
        self._loss_after_return = loss if self._loss_after_return is None else self._loss_after_return
        if not for_good:
            return self.is_ruined_by(loss)
        return not math.isfinite(loss) or loss > self.most

    def begin_again(self) -> None:
        """Forget how low losses were: the law of the data has changed."""
        self._best = math.inf
        self._begin_window()
        self._previous = self._variance = None
        self._square_sum, self._n_differences = 0.0, 0
        self._loss_after_return = -math.inf
        self.rollbacks_in_a_row = 0

    def roll_back(self) -> None:
        """Return to the last good weights, or, when that has just been in vain, to those of the best window."""
        if self._returned_in_vain or not self._any_finite:
            self._returned_to = self._safest
        else:
            self._returned_to = self._good
        self.rollbacks_in_a_row += 1
        self._loss_after_return = None
        self._previous = None
        self._square_sum = self._n_differences = 0
        self._begin_window()
        if not self._any_finite:  # not even the first weights are good: bring them nearer to zero
            for weights in (*self._good, *self._safest):
                weights *= weights.dtype.type(0.5)
        for weights, copy in zip(self._trained, self._returned_to, strict=True):
            np.copyto(weights, copy)
