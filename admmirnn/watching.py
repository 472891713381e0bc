"""What goes on around a fit: progress, validation, early stopping, Ctrl-C, limits of time; nothing of the method."""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol, TypeAlias

import numpy as np

from admmirnn import backend, validation
from admmirnn._typing import Array, FloatArray, Record, Reducer, Self
from admmirnn.data.sequences import Sequences
from admmirnn.losses import AnyLoss
from admmirnn.networks import Network
from admmirnn.optional import import_optional
from admmirnn.solvers.status import Status
from admmirnn.solvers.workers import OneProcess, gather

__all__ = ["Callback", "EpochListener", "EpochState", "History", "Limits"]

logger: logging.Logger = logging.getLogger("admmirnn")
logger.addHandler(logging.NullHandler())  # a library is silent unless it is asked


# what a fit has to show to be called unfinished: epochs, and shares of the loss of the first one
_FEWEST_EPOCHS = {"validation_loss": 5, "rollout_loss": 10}  # a short fit without validation data is as it was meant
_STILL_FALLS, _IS_SMALL = 0.2, 0.2
_FIRST_EPOCHS, _HAS_RISEN = 2, 0.25


class History(list[dict[str, Any]]):
    """The records of a fit, a dict an epoch.

    Attributes
    ----------
    most : int or None, default=10000
        Largest number of records that calls of `partial_fit` leave here, the latest ones; None keeps all.
    """

    most: int | None = 10_000

    def copy(self) -> History:
        """Return another one with the same records."""
        found = History(self)
        found.__dict__.update(self.__dict__)
        return found

    def forget(self) -> None:
        """Leave the latest records only."""
        if self.most is not None and len(self) > self.most:
            del self[: len(self) - self.most]

    def to_frame(self) -> Any:
        """Return the history as a table with one row per epoch.

        Returns
        -------
        pandas.DataFrame
            Table with one row per record.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        return import_optional("pandas", "pandas", "history_.to_frame()").DataFrame(list(self))


@dataclass(frozen=True)
class EpochState:
    """What a callback is given at the end of an epoch.

    Attributes
    ----------
    record : dict
        Entry of ``history_`` for the epoch.
    estimator : estimator
        Estimator with the weights of this moment: it can predict.
    """

    record: Record
    estimator: Any


class EpochListener(Protocol):
    """A callback that is an object."""

    def on_epoch_end(self, state: EpochState, /) -> object:
        """Return True to end training."""


Callback: TypeAlias = Callable[[EpochState], object] | EpochListener


class Interruption:
    """Within it, Ctrl-C asks for an end and nothing else; the second one raises KeyboardInterrupt.

    So does one within a second of that which has ended another fit: a search of many short fits ends that way.
    Two within one call of a kernel are one, as Python learns of them when it returns.

    Python delivers signals to the main thread; elsewhere, and where a handler of the user's own is in place, nothing
    is changed.  A fit in a callback of another one ends, and so does the other one after its iteration.

    Parameters
    ----------
    and_termination : bool, default=False
        Whether SIGTERM asks for an end as well, where nobody handles it: the fit ends as it does after Ctrl-C, and then
        the process does.
    may_raise : bool, default=True
        Whether the second Ctrl-C raises KeyboardInterrupt.  It must not where several workers meet within, as it may
        come when one has met the others and does not know it yet.

    Attributes
    ----------
    asked_for : bool
        Whether there was a Ctrl-C.
    """

    _AT_ONCE = 1.0  # seconds
    _last_time = -math.inf  # that any of them was asked for
    _handlers: Mapping[int, _Handler] = {}  # of one that has not even been made

    def __init__(self, and_termination: bool = False, may_raise: bool = True) -> None:
        self.asked_for = self._terminates = False
        self._and_termination, self._may_raise = and_termination, may_raise
        self._outer: Interruption | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._take_over(signal.SIGINT, signal.default_int_handler)
            if self._and_termination:
                self._take_over(signal.SIGTERM, signal.SIG_DFL)
        return self

    def __exit__(self, *exception: object) -> None:
        self._give_back()
        if self._terminates:
            os.kill(os.getpid(), signal.SIGTERM)

    def __del__(self) -> None:
        self._give_back()  # where an exception has come before the context was entered, or as it was left

    def _take_over(self, number: int, default: Any) -> None:
        """Handle a signal that nobody else does, or another one of these; what is to be put back is known before."""
        present = signal.getsignal(number)
        outer = present.interruption() if isinstance(present, _Handler) else None
        if outer is not None and number == signal.SIGINT:
            self._outer = outer
        if isinstance(present, _Handler) or present is default:
            previous = present if outer is not None else default
            self._handlers = {**self._handlers, number: _Handler(self, previous)}
            signal.signal(number, self._handlers[number])

    def _give_back(self) -> None:
        """Put back who handled signals before, unless somebody else has come in the meantime."""
        if self._handlers and threading.current_thread() is threading.main_thread():
            for number, handler in self._handlers.items():
                previous = handler.previous
                if signal.getsignal(number) is handler:
                    signal.signal(number, previous)
            self._handlers = {}

    def ask(self, number: int) -> None:
        """Take note of a signal; raise KeyboardInterrupt if it is the second one."""
        if number == signal.SIGTERM:
            self._terminates = True
        elif self._may_raise:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            last_time, Interruption._last_time = Interruption._last_time, time.monotonic()
            if Interruption._last_time - last_time < self._AT_ONCE:
                raise KeyboardInterrupt
        interruption: Interruption | None = self
        while interruption is not None:
            interruption.asked_for = True
            interruption = interruption._outer
        once_more = "; once more aborts it" if number == signal.SIGINT and self._may_raise else ""
        logger.warning("interrupted: ending the fit after this iteration%s", once_more)


class _Handler:
    """Of a signal within an `Interruption`; once that is gone, however it was left, the one before takes its place."""

    def __init__(self, interruption: Interruption, previous: Any) -> None:
        self.interruption, self.previous = weakref.ref(interruption), previous

    def __call__(self, number: int, frame: FrameType | None) -> None:
        interruption = self.interruption()
        if interruption is not None:
            interruption.ask(number)
            return
        signal.signal(number, self.previous)
        os.kill(os.getpid(), number)


class Limits:
    """When a solver should end early: it asks after every iteration.

    Parameters
    ----------
    interruption : Interruption
        Object that notes a Ctrl-C during the fit.
    max_time : float or None
        Number of seconds from now on.
    """

    def __init__(self, interruption: Interruption, max_time: float | None = None) -> None:
        self._interruption = interruption
        self._max_time = math.inf if max_time is None else max_time
        self._started = time.monotonic()

    def reached(self) -> Status | None:
        """Return the Status of an end that is due, or None."""
        if self._interruption.asked_for:
            return Status.INTERRUPTED
        return Status.TIME_LIMIT if self.progress() >= 1 else None

    def progress(self) -> float:
        """The share of the time that is over."""
        return 0.0 if self._max_time == math.inf else (time.monotonic() - self._started) / self._max_time


class Validation:
    """Data apart from the training set.

    Parameters
    ----------
    sequences : Sequences
        Sequences that the network reads.
    values : ndarray
        Targets, one per sequence or one per step.
    weights : ndarray or None
        Weights of the targets; None for all 1.
    every_step : bool
        Whether each step has a target.
    loss : Loss
        Loss R.
    n_threads : int
        Number of threads that share the sequences.
    reducer : Reducer
        Object that joins the workers, each of which has a part of the data, or no sequences at all.
    """

    def __init__(
        self,
        sequences: Sequences,
        values: Array,
        weights: FloatArray | None,
        every_step: bool,
        loss: AnyLoss,
        n_threads: int,
        reducer: Reducer,
    ) -> None:
        self._sequences, self._every_step = sequences, every_step
        self._reducer: Reducer = reducer
        self._values, self._loss, self._n_threads = values, loss, n_threads
        self._weights = np.broadcast_to(1.0, len(values)) if weights is None else weights
        self._most = max(gather(reducer, float(self._weights.max(initial=0.0)))) or 1.0

    def leave(self) -> None:
        """Measure this worker's part alone from now on; whoever asks for that adds it to what others have."""
        self._reducer = OneProcess()

    def measure(self, network: Network, record: Record) -> None:
        """Add the loss of the network's roll-out to the record, and of class numbers its accuracy."""
        self.add_to(record, gather(self._reducer, self.measure_part(network)))

    @staticmethod
    def add_to(record: Record, parts: list[Any]) -> None:
        """Add what `measure_part` has found of all parts to the record."""
        weight = sum(part[1] for part in parts)
        found = parts[0][0] if len(parts) == 1 else sum(loss * share for loss, share, *_ in parts) / weight
        record["validation_loss"] = found if math.isfinite(found) else math.inf
        correct = [part[2] for part in parts]
        if None not in correct:
            record["validation_accuracy"] = sum(n or 0 for n in correct) / sum(part[3] for part in parts)

    def measure_part(self, network: Network) -> tuple[float, float, int | None, int]:
        """The mean loss, the weight of the targets, how many of these the outputs are right about, and their number."""
        if not len(self._sequences):
            return 0.0, 0.0, 0, 0
        total, weight, n_correct, n_targets = 0.0, 0.0, 0, 0
        knows_correct, kernels = True, backend.kernels()
        for rows, outputs in network.pieces_of_outputs(
            self._sequences, every_step=self._every_step, n_threads=self._n_threads
        ):
            weights = np.ascontiguousarray(self._weights[rows] / self._most, network.dtype)
            if not weights.any():
                continue
            values = np.ascontiguousarray(self._values[rows], self._loss.target_dtype or network.dtype)
            found, correct = self._loss.value(kernels, np.ascontiguousarray(outputs), values, weights)
            of_piece = float(weights.sum(dtype=np.float64))
            total, weight = total + found * of_piece, weight + of_piece
            knows_correct &= correct is not None
            n_correct, n_targets = n_correct + (correct or 0), n_targets + int(np.count_nonzero(weights))
        return total / weight if weight else math.nan, weight, n_correct if knows_correct else None, n_targets


class EarlyStopping:
    """Keep the weights of the lowest validation loss, and say when it has not fallen for long enough.

    Parameters
    ----------
    network : RNN
        Network that is being trained.
    patience : int
        Number of epochs in a row over which the loss has not fallen by more than ``tol``.
    tol : float
        Amount, see ``patience``.

    Attributes
    ----------
    best_loss : float
        Lowest loss.
    best_epoch : int or None
        Epoch of the weights with the lowest loss.
    """

    best_loss: Any
    best_epoch: Any

    def __init__(self, network: Network, patience: int, tol: float) -> None:
        self._trained, self._patience, self._tol = network.trained, patience, tol
        self._best: list[FloatArray] | None = None
        self.best_loss, self.best_epoch = math.inf, None
        self._goal, self._n_waited = math.inf, 0

    def is_over(self, record: Record) -> bool:
        """Take an epoch's record; return whether patience is at its end."""
        loss = record["validation_loss"]
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, record["epoch"]
            self._best = [weights.copy() for weights in self._trained]
        if loss < self._goal:
            self._goal, self._n_waited = loss - self._tol, 0
            return False
        self._n_waited += 1
        return self._n_waited >= self._patience

    def restore(self) -> None:
        """Put the best weights back."""
        if self._best is not None:
            for weights, best in zip(self._trained, self._best, strict=True):
                np.copyto(weights, best)

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {
            "best": self._best,
            "best_loss": self.best_loss,
            "best_epoch": self.best_epoch,
            "goal": self._goal,
            "n_waited": self._n_waited,
        }

    def go_on_from(self, state: dict[str, Any]) -> None:
        """Take over the state of a checkpoint.

        Raises
        ------
        ValueError
            If it is not the state of such a network.
        """
        best = [validation.finite(weights) for weights in self._trained]
        form = {
            "best": validation.one_of(None, best),
            "best_loss": validation.number(),
            "best_epoch": validation.one_of(None, validation.count(1)),
            "goal": validation.number(),
            "n_waited": 0,
        }
        validation.check_state("early_stopping", state, form)
        self._best = state["best"]
        self.best_loss, self.best_epoch = state["best_loss"], state["best_epoch"]
        self._goal, self._n_waited = state["goal"], state["n_waited"]


def warning_of_unfinished(history: Sequence[Record]) -> str | None:
    """Say if a fit that had no more epochs was still learning: its loss fell far in the second half and is not small.

    The loss is that of validation data, where there are some.  What is far, and small, is measured by the loss of the
    first epoch.
    """
    n = len(history)
    name = "validation_loss" if history and "validation_loss" in history[0] else "rollout_loss"
    if n < _FEWEST_EPOCHS[name]:
        return None
    first, middle, last = (float(history[i].get(name, math.nan)) for i in (0, n // 2 - 1, -1))
    if not (middle - last > _STILL_FALLS * abs(first) and last > _IS_SMALL * abs(first)):
        return None
    return (
        f"the {'validation' if name == 'validation_loss' else 'roll-out'} loss was still falling when the fit came to "
        f"its last epoch: it is {last:.3g}, and was {middle:.3g} in epoch {n // 2} of {n}. Pass a larger max_epochs, "
        f"such as {4 * n}; early_stopping=True ends the fit once validation data no longer gain"
    )


def warning_of_first_epochs(history: Sequence[Record]) -> str | None:
    """Say if early stopping has kept weights that have hardly been trained, and the validation loss rose from there."""
    losses = [float(record["validation_loss"]) for record in history]
    best = min(losses)
    if losses.index(best) >= _FIRST_EPOCHS or not losses[-1] - best > _HAS_RISEN * abs(best):
        return None
    return (
        f"early stopping has kept the weights of epoch {losses.index(best) + 1} of {len(losses)}: the validation loss "
        f"was {best:.3g} then, and is {losses[-1]:.3g} at the end. If more is to be learnt from these data, pass a "
        "larger penalty, fewer hidden units or dropout, shorter steps by solver=Rollout(radius=0.003), or more "
        "validation data"
    )


class Progress:
    """A progress bar (verbose=1) or a line per epoch (verbose >= 2).

    The bar is as far on as the epochs are, or the time, if that is further.  It has the loss and one figure more, so
    that both and the time left have room in 80 columns.
    """

    def __init__(self, verbose: int, n_epochs: int, limits: Limits, n_done: int = 0) -> None:
        self._lines = verbose >= 2
        self._bar: Any = None
        self._columns: list[str] | None = None
        self._n_epochs, self._limits, self._n_done = n_epochs, limits, n_done
        if verbose == 1 and sys.stderr is not None:
            try:
                self._bar = self._new_bar()
            except (OSError, ValueError) as error:
                self.give_up(error)

    def _new_bar(self) -> Any:
        from tqdm.auto import tqdm  # looks for notebooks and asyncio, which no other fit needs

        form = "{desc} |{bar}| {elapsed}<{remaining}{postfix}"
        share = self._n_done / self._n_epochs
        # shown whatever TQDM_DISABLE says
        return tqdm(total=1.0, initial=share, desc=self._place(), bar_format=form, disable=False)

    def _place(self) -> str:
        return f"epoch {self._n_done}/{self._n_epochs}"

    def show(self, record: Record) -> None:
        """Show the record of an epoch."""
        logger.debug("epoch %(epoch)d: roll-out loss %(rollout_loss).6g", record)
        if record.get("rollbacks"):
            logger.info("epoch %(epoch)d: %(rollbacks)d rollback(s), radius now %(radius)s", record)
        self._n_done += 1
        if not self._lines and self._bar is None:
            return
        try:
            self._display(record)
        except (OSError, ValueError) as error:  # a full disk, a terminal that has gone, a file that is closed
            self.give_up(error)

    def give_up(self, error: Exception) -> None:
        """Go on without a display, and say so once."""
        self._lines, self._bar = False, None
        text = f"progress can no longer be shown ({error}); training goes on without"
        logger.warning(text)
        warnings.warn(text, RuntimeWarning, stacklevel=2)

    def _display(self, record: Record) -> None:
        cells = {heading: value for heading, (name, value) in _cells(record).items() if name in record}
        if self._lines:
            if self._columns is None:
                self._columns = list(cells)
                print(
                    f"{'epoch':>5}  " + "  ".join(f"{heading:>13}" for heading in self._columns) + f"  {'seconds':>7}"
                )
            values = "  ".join(f"{cells.get(heading, '-'):>13}" for heading in self._columns)
            print(f"{record['epoch']:5}  {values}  {record['seconds']:7.2f}", flush=True)
        if self._bar is not None:
            loss, *others = cells.items()
            self._bar.set_description_str(self._place(), refresh=False)
            self._bar.set_postfix(dict([loss, *others[-1:]]), refresh=False)
            self._go_to(max(self._n_done / self._n_epochs, self._limits.progress()))

    def _go_to(self, share: float) -> None:
        self._bar.update(min(share, 1.0) - self._bar.n)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if self._bar is None:
            return
        try:
            if kind is None:
                self._go_to(1.0)  # nothing is left, whatever has ended the fit; a notebook shows others in red
            self._bar.close()
        except (OSError, ValueError) as error:
            self.give_up(error)


def _cells(record: Record) -> dict[str, tuple[str, str]]:
    """By heading, the name of an entry of the record and its text; losses may be of any size."""
    of_columns = {
        "roll-out loss": ("rollout_loss", "#.4g"),
        "accuracy": ("training_accuracy", ".4f"),
        "val. loss": ("validation_loss", "#.4g"),
        "val. accuracy": ("validation_accuracy", ".4f"),
    }
    return {
        heading: (name, format(record[name], how) if name in record else "-")
        for heading, (name, how) in of_columns.items()
    }
