"""What the user should know of how a fit went."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from admmirnn._typing import FloatArray, IntArray, Record
    from admmirnn.solvers.rollout.iteration import Fit

_LOST_SHARE, _LOST_LEVEL = 0.5, 0.2  # of the gain over the best constant output, and of the larger loss
_AT_REST = 0.9  # of the units
_FEWEST_STEPS = 64  # that tell whether a unit depends on what it reads
_REST = 1e-5  # of its states, by which they may differ if it does not
_PIECE = 1 << 14  # numbers that are copied at once


def warning_of_history(history: list[Record], constant_loss: float) -> str | None:
    """What the user should know of how a fit went, as far as its history tells, or None."""
    return ". ".join(filter(None, [_warning_of_rollbacks(history), _warning_of_losses(history, constant_loss)])) or None


def warning_of(fit: Fit, history: list[Record]) -> str | None:
    """What the user should know of how a fit went, or None."""
    found = [_warning_of_rollbacks(history)]
    if not fit.problem.is_online:
        found += [_warning_of_losses(history, fit.guard.constant_loss), _warning_of_units(*n_units_at_rest(fit))]
    return ". ".join(filter(None, found)) or None


def _warning_of_losses(history: list[Record], constant_loss: float) -> str | None:
    """Say if half of what had been gained over the best constant output has been lost again."""
    losses = [float(record["rollout_loss"]) for record in history]
    best, last = min(losses), losses[-1]
    level = max(best, constant_loss)
    if not last - best > max(_LOST_SHARE * (constant_loss - best), _LOST_LEVEL * level):  # NaN of losses all infinite
        return None
    return (
        f"the loss of the last epoch is {last:.4g}, and was {best:.4g} in epoch {losses.index(best) + 1}: training has "
        "lost what it had learnt. A smaller radius, early_stopping=True or activation='tanh' avoids this"
    )


def _warning_of_units(n_at_rest: int, n_units: int) -> str | None:
    """Say if hardly any unit depends on what it reads."""
    if n_at_rest < _AT_REST * n_units or not n_units:
        return None
    return (
        f"{n_at_rest} of {n_units} units have the same state whatever they read: they are saturated or dead. Rescale "
        "X, or pass a smaller radius or activation='tanh'"
    )


def _warning_of_rollbacks(history: list[Record]) -> str | None:
    rollbacks = sum(record.get("rollbacks", 0) for record in history)  # those of a checkpoint may be anyone's
    if not rollbacks:
        return None
    return (
        f"the training loss became too large or not finite {rollbacks} time(s); the solver went back to its last "
        "good weights and shrank its radius each time (see 'rollbacks' in history_). A smaller radius, a larger r "
        "or a larger batch_size avoids this"
    )


def n_units_at_rest(fit: Fit) -> tuple[int, int]:
    """How many units do not depend on what they read, and of how many, of the minibatch that was read last.

    They are saturated or dead: their states are the same after every step of every sequence.  Of a minibatch whose
    observations do not differ, and of few steps, nothing is known.
    """
    n_at_rest = n_units = 0
    if fit.is_idle:
        return 0, 0
    first = fit.works[0][0]
    batch = getattr(first, "batch", None)  # none where a fit goes on that had come to its end
    inputs = first.room.codes if first.room.X is None else first.room.X
    n_rows = 0 if batch is None else batch.n_rows
    if n_rows < _FEWEST_STEPS or inputs is None or not np.ptp(inputs[:n_rows], axis=0).any():
        return 0, 0
    for work in chain.from_iterable(fit.works):
        least, most = _range(work.S, work.batch.rows_of_states())
        n_at_rest += int((most - least <= _REST * np.maximum(most, -least)).sum())
        n_units += len(most)
    return n_at_rest, n_units


def _range(S: FloatArray, rows: IntArray) -> tuple[FloatArray, FloatArray]:
    """The smallest and the largest number in these rows of each column: piece by piece, as there may be many."""
    n_rows = max(1, _PIECE // S.shape[1])
    least = most = S[rows[0]]
    for i in range(0, len(rows), n_rows):
        piece = S[rows[i : i + n_rows]]
        least, most = np.minimum(least, piece.min(axis=0)), np.maximum(most, piece.max(axis=0))
    return least, most
