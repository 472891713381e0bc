"""Whether a fit goes on, goes back to good weights, or ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from admmirnn.solvers.status import Status
from admmirnn.solvers.workers import gather

if TYPE_CHECKING:
    from admmirnn._typing import Record, Reducer
    from admmirnn.solvers.interface import EndOfEpoch, Limits
    from admmirnn.solvers.rollout.guard import Guard
    from admmirnn.solvers.rollout.online import OnlineSchedule
    from admmirnn.solvers.rollout.sums import Figures, Sums


@dataclass(frozen=True)
class Decision:
    """What comes after a roll-out.

    Attributes
    ----------
    rolls_back : bool
        Whether to return to the last good weights, instead of moving the weights.
    restores_radius : bool
        Whether to take back what rollbacks have taken off the radius: the law of the data has changed.
    moves : bool
        Whether to fold the sums in and to move the weights.
    """

    rolls_back: bool = False
    restores_radius: bool = False
    moves: bool = True


_GO_ON = Decision()


class Judge:
    """Decides how a fit goes on: it is asked at three moments of the solver's loop, and nothing else ends a fit.

    All that it is told are numbers of a minibatch, a sample or an epoch which all workers have added up before: all of
    them decide alike.

    Parameters
    ----------
    guard : Guard
        Guard that keeps good weights, and knows which losses are too high.
    online : OnlineSchedule or None
        Schedule that knows whether the law of the data has changed, where the end is not known.
    limits : Limits or None
        Limits of time.
    on_epoch_end : callable or None
        Function of the user and of the estimator: validation, early stopping, callbacks.
    reducer : Reducer
        Object that joins the workers, any of which may have a reason to end the fit; the time is that of the first one.
    """

    def __init__(
        self,
        guard: Guard,
        online: OnlineSchedule | None,
        limits: Limits | None,
        on_epoch_end: EndOfEpoch | None,
        reducer: Reducer,
    ) -> None:
        self._guard, self._online = guard, online
        self._limits, self._on_epoch_end, self._reducer = limits, on_epoch_end, reducer
        self._progress = 0.0

    def ask(self, sums: Sums) -> None:
        """Write into a worker's own sums whether it has a reason to end the fit: time, or Ctrl-C."""
        if self._limits is not None:
            progress = 0.0 if self._reducer.rank else self._limits.progress()
            sums.ask_for_end(self._limits.reached(), progress)

    def after_sweeps(self, figures: Figures) -> Decision:
        """Decide what comes after the sweeps over a minibatch, from its figures over all workers."""
        self._progress = figures.progress
        if not figures.n_targets:  # streams may say nothing here
            return Decision(moves=False)
        rolls_back, restores_radius = self._after_roll_out(figures.loss, figures.n_sequences, figures.mean_weight)
        if not (rolls_back or restores_radius):
            return _GO_ON
        return Decision(rolls_back, restores_radius, not rolls_back)

    def _after_roll_out(self, loss: float, n_sequences: int, mean_weight: float) -> tuple[bool, bool]:
        """Whether the loss says that the last updates have ruined the network, and whether the law has changed."""
        if self._online is None or self._guard.is_ruined_by(loss):
            return self._guard.lost(loss, n_sequences, mean_weight), False
        law_has_changed = self._online.observe(loss)
        if law_has_changed:
            self._guard.begin_again()
        is_lost = self._guard.lost(loss, n_sequences, mean_weight)
        if is_lost and self._online.is_in_doubt:
            self._guard.begin_again()  # another law may be what has raised the loss, before that can be told
            is_lost = False
        return is_lost, law_has_changed

    def after_last_update(self, loss: float, n_sequences: int) -> bool:
        """Decide whether to roll back, given the loss over so many sequences after an update that may be the last."""
        # later calls will judge the rest
        is_few = self._online is not None and n_sequences < self._guard.window
        return self._guard.lost_at_the_end(loss, for_good=not is_few)

    def after_epoch(self, record: Record, ending: Status | None) -> Status | None:
        """Return the status to end the fit with, of whoever watches it, or None; ``ending`` is one that is certain."""
        asked = None if self._on_epoch_end is None else Status.asked_for(self._on_epoch_end(record))
        asked = ending or asked or (None if self._limits is None else self._limits.reached())
        return next((status for status in gather(self._reducer, asked) if status), None)

    def progress(self) -> float:
        """The share of the time that was over in the last iteration."""
        return self._progress
