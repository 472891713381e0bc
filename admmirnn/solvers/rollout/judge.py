"""Whether a fit goes on, goes back to good weights, or ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from admmirnn.solvers.status import Status

if TYPE_CHECKING:
    from admmirnn._typing import Record
    from admmirnn.solvers.interface import EndOfEpoch, Limits
    from admmirnn.solvers.rollout.guard import Guard
    from admmirnn.solvers.rollout.online import OnlineSchedule


@dataclass(frozen=True)
class Decision:
    """What comes after a roll-out.

    Attributes
    ----------
    rolls_back : bool
        Whether to return to the last good weights, instead of moving the weights.
    restores_radius : bool
        Whether to take back what rollbacks have taken off the radius: the law of the data has changed.
    """

    rolls_back: bool = False
    restores_radius: bool = False


_GO_ON, _ROLL_BACK = Decision(), Decision(rolls_back=True)


class Judge:
    """Decides how a fit goes on: it is asked at four moments of the solver's loop, and nothing else ends a fit.

    All that it is told are numbers of a minibatch, a sample or an epoch: sums and means that several workers could have
    added up before, and then all of them would decide alike.

    Parameters
    ----------
    guard : Guard
        Who keeps good weights, and knows which losses are too high.
    online : OnlineSchedule or None
        Who knows whether the law of the data has changed, where the end is not known.
    limits : Limits or None
        Of time.
    on_epoch_end : callable or None
        The user's, and the estimator's: validation, early stopping, callbacks.
    """

    def __init__(
        self, guard: Guard, online: OnlineSchedule | None, limits: Limits | None, on_epoch_end: EndOfEpoch | None
    ) -> None:
        self._guard, self._online = guard, online
        self._limits, self._on_epoch_end = limits, on_epoch_end

    def after_roll_out(self, loss: float, n_sequences: int) -> Decision:
        """Decide whether the loss of a minibatch with targets says that the last updates have ruined the network."""
        if self._online is None or self._guard.is_ruined_by(loss):
            return _ROLL_BACK if self._guard.lost(loss, n_sequences) else _GO_ON
        law_has_changed = self._online.observe(loss)
        if law_has_changed:
            self._guard.begin_again()
        is_lost = self._guard.lost(loss, n_sequences)
        if is_lost and self._online.is_in_doubt:
            self._guard.begin_again()  # another law may be what has raised the loss, before that can be told
            is_lost = False
        return Decision(is_lost, law_has_changed)

    def after_iteration(self) -> Status | None:
        """Return the status to end the fit with, of time or Ctrl-C, or None."""
        return None if self._limits is None else self._limits.reached()

    def after_last_update(self, loss: float, n_sequences: int) -> bool:
        """Decide whether to roll back, given the loss over so many sequences after an update that may be the last."""
        # later calls will judge the rest
        is_few = self._online is not None and n_sequences < self._guard.window
        return self._guard.lost_at_the_end(loss, for_good=not is_few)

    def after_epoch(self, record: Record, ending: Status | None) -> Status | None:
        """Return the status to end the fit with, of whoever watches it, or None; ``ending`` is one that is certain."""
        asked = None if self._on_epoch_end is None else Status.asked_for(self._on_epoch_end(record))
        return ending or asked or self.after_iteration()

    def progress(self) -> float:
        """The share of the time that is over."""
        return 0.0 if self._limits is None else self._limits.progress()
