"""What goes on around a fit: progress, validation, early stopping, Ctrl-C, limits of time; nothing of the method."""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
from collections.abc import Callable
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
from admmirnn.solvers.workers import gather

__all__ = ["Callback", "EpochListener", "EpochState", "History", "Limits"]

logger = logging.getLogger("admmirnn")
logger.addHandler(logging.NullHandler())  # a library is silent unless it is asked


class History(list[dict[str, Any]]):
    """The records of a fit, a dict an epoch."""

    def to_frame(self) -> Any:
        """Return a table with a row an epoch.

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        ImportError
            Without pandas.
        """
        return import_optional("pandas", "pandas", "history_.to_frame()").DataFrame(list(self))


@dataclass(frozen=True)
class EpochState:
    """What a callback is given at the end of an epoch.

    Attributes
    ----------
    record : dict
        The epoch's entry of ``history_``.
    estimator : estimator
        With the weights of this moment: it can predict.
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

    Attributes
    ----------
    asked_for : bool
        Whether there was one.
    """

    _AT_ONCE = 1.0  # seconds
    _last_time = -math.inf  # that any of them was asked for

    def __init__(self) -> None:
        self.asked_for = False
        self._outer: Interruption | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            outer = getattr(handler, "__self__", None)
            if isinstance(outer, Interruption):
                self._outer = outer
            if self._outer is not None or handler is signal.default_int_handler:
                signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *exception: object) -> None:
        # not that of a callback, which has come in its place, or the default, after Ctrl-C
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) == self._ask:
            signal.signal(signal.SIGINT, signal.default_int_handler if self._outer is None else self._outer._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        last_time, Interruption._last_time = Interruption._last_time, time.monotonic()
        if Interruption._last_time - last_time < self._AT_ONCE:
            raise KeyboardInterrupt
        interruption: Interruption | None = self
        while interruption is not None:
            interruption.asked_for = True
            interruption = interruption._outer
        logger.warning("interrupted: ending the fit after this iteration; once more aborts it")


class Limits:
    """When a solver should end early: it asks after every iteration.

    Parameters
    ----------
    interruption : Interruption
        Of the fit.
    max_time : float or None
        Seconds from now on.
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
        return (time.monotonic() - self._started) / self._max_time


class Validation:
    """Data apart from the training set.

    Parameters
    ----------
    sequences : Sequences
        What the network reads.
    values : ndarray
        Targets, one a sequence or one a step.
    weights : ndarray or None
        Theirs; None for all 1.
    every_step : bool
        Which of these.
    loss : Loss
        R.
    n_threads : int
        That share the sequences.
    reducer : Reducer
        Of the workers, each of which has a part of the data, or none: no sequences.
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
        self._sequences, self._every_step, self._reducer = sequences, every_step, reducer
        self._values, self._loss, self._n_threads = values, loss, n_threads
        weights = np.ones(len(values)) if weights is None else weights
        self._weights = weights / (max(gather(reducer, float(weights.max(initial=0.0)))) or 1.0)

    def measure(self, network: Network, record: Record) -> None:
        """Add the loss of the network's roll-out to the record, and of class numbers its accuracy."""
        parts = gather(self._reducer, self._measure_own(network) if len(self._sequences) else (0.0, 0.0, 0, 0))
        weight = sum(part[1] for part in parts)
        found = parts[0][0] if len(parts) == 1 else sum(loss * share for loss, share, *_ in parts) / weight
        record["validation_loss"] = found if math.isfinite(found) else math.inf
        correct = [part[2] for part in parts]
        if None not in correct:
            record["validation_accuracy"] = sum(n or 0 for n in correct) / sum(part[3] for part in parts)

    def _measure_own(self, network: Network) -> tuple[float, float, int | None, int]:
        """The mean loss, the weight of the targets, how many of these the outputs are right about, and their number."""
        outputs = network.outputs(self._sequences, every_step=self._every_step, n_threads=self._n_threads)
        values = np.ascontiguousarray(self._values, self._loss.target_dtype or network.dtype)
        weights = np.ascontiguousarray(self._weights, network.dtype)
        found, n_correct = self._loss.value(backend.kernels(), outputs, values, weights)
        return found, float(weights.sum(dtype=np.float64)), n_correct, int(np.count_nonzero(weights))


class EarlyStopping:
    """Keep the weights of the lowest validation loss, and say when it has not fallen for long enough.

    Parameters
    ----------
    network : RNN
        That is being trained.
    patience : int
        Epochs in a row over which the loss has not fallen by more than ``tol``.
    tol : float
        See ``patience``.

    Attributes
    ----------
    best_loss : float
        The lowest.
    best_epoch : int or None
        Which it was of.
    """

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
            If it is none of such a network.
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


class Progress:
    """A progress bar (verbose=1) or a line an epoch (verbose >= 2).

    The bar is as far on as the epochs are, or the time, if that is further.  It has the loss and one figure more, so
    that both and the time left have room in 80 columns.
    """

    def __init__(self, verbose: int, n_epochs: int, limits: Limits, n_done: int = 0) -> None:
        self._lines = verbose >= 2
        self._bar: Any = None
        self._columns: list[str] | None = None
        self._n_epochs, self._limits, self._n_done = n_epochs, limits, n_done
        if verbose == 1:
            from tqdm.auto import tqdm  # looks for notebooks and asyncio, which no other fit needs

            form = "{desc} |{bar}| {elapsed}<{remaining}{postfix}"
            # shown whatever TQDM_DISABLE says
            self._bar = tqdm(total=1.0, initial=n_done / n_epochs, desc=self._place(), bar_format=form, disable=False)

    def _place(self) -> str:
        return f"epoch {self._n_done}/{self._n_epochs}"

    def show(self, record: Record) -> None:
        """Show the record of an epoch."""
        logger.debug("epoch %(epoch)d: roll-out loss %(rollout_loss).6g", record)
        if record.get("rollbacks"):
            logger.info("epoch %(epoch)d: %(rollbacks)d rollback(s), radius now %(radius)s", record)
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
            self._n_done += 1
            loss, *others = cells.items()
            self._bar.set_description_str(self._place(), refresh=False)
            self._bar.set_postfix(dict([loss, *others[-1:]]), refresh=False)
            self._go_to(max(self._n_done / self._n_epochs, self._limits.progress()))

    def _go_to(self, share: float) -> None:
        self._bar.update(min(share, 1.0) - self._bar.n)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if self._bar is not None:
            if kind is None:
                self._go_to(1.0)  # nothing is left, whatever has ended the fit; a notebook shows others in red
            self._bar.close()


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
