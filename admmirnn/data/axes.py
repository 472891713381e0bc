"""Arrays whose axes mean something else: channels before steps, and one series where every row is a sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse

from admmirnn import validation
from admmirnn.data.sparse import SparseRows

if TYPE_CHECKING:
    from admmirnn._typing import Array
    from admmirnn.data.sequences import Sequences
    from admmirnn.data.targets import Targets

_MOST_LOOKED_AT = 200_000  # numbers
_ROUGH, _SMOOTH = 0.5, 0.6  # changes from one place to the next, of those between places drawn at random
_SURE = 4.0  # standard deviations by which such changes have to be below those of noise
_REMEDY = "admmirnn.sequences_from_channels_first(X)"


def check_steps_come_first(sequences: Sequences, y: Any, *, targets_of_steps: bool) -> None:
    """Raise if targets tell that the steps of X are in its last axis, and warn if its values do.

    Only sequences of equal lengths are looked at, as others have one axis that can be that of the features.

    Parameters
    ----------
    sequences : Sequences
        X as it has been read.
    y : array-like
        Targets as the user passes them.
    targets_of_steps : bool
        Whether entries of y can only be targets of steps.
    """
    n_steps, d = int(sequences.lengths[0]), sequences.n_features
    if n_steps < 2 or d < 2 or sequences.n_symbols or (sequences.lengths != n_steps).any():
        return
    if targets_of_steps and n_steps != d and _entries_have(y, d, len(sequences)):
        raise ValueError(
            f"y has {d} entries for each sequence, and each sequence of X has {n_steps} steps of {d} features. If they "
            f"are targets of its steps, X has channels before steps: pass {_REMEDY}. If each sequence has one target, "
            "y should be a 1d array"
        )
    if d > n_steps and _looks_swapped(sequences, n_steps):
        validation.warn(
            f"X is read as {len(sequences)} sequences of {n_steps} steps and {d} features, but its values hardly "
            "change from one feature to the next, and much from one step to the next, as where channels come before "
            f"steps. If they do, pass {_REMEDY}"
        )


def _entries_have(y: Any, size: int, n: int) -> bool:
    """Whether y has an entry for each of n sequences, and all of them have this length."""
    if hasattr(y, "shape"):
        return len(y.shape) == 2 and tuple(y.shape) == (n, size)
    is_list = isinstance(y, (list, tuple)) and len(y) == n and not issparse(y[0])
    return is_list and all(hasattr(one, "__len__") and not isinstance(one, str) and len(one) == size for one in y)


def _looks_swapped(sequences: Sequences, n_steps: int) -> bool:
    """Whether values are smooth along the features, and not along the steps.

    In arrays with channels before steps each "step" is a channel with units of its own, so that values are compared
    with the others of this channel.
    """
    if isinstance(sequences.observations, SparseRows):  # whose features are many, and have no order
        return False
    n = min(len(sequences), max(_MOST_LOOKED_AT // (n_steps * sequences.n_features), 1))
    rows = sequences.first_rows[:n, None] + np.arange(n_steps)
    values = np.asarray(sequences.observations[rows], np.float64)
    if not np.isfinite(values).all():
        return False
    values -= values.mean(axis=(0, 2), keepdims=True)
    deviations = values.std(axis=(0, 2), keepdims=True)
    values = values[:, deviations[0, :, 0] > 0] / deviations[:, deviations[0, :, 0] > 0]
    if values.shape[1] < 2:
        return False
    of_steps, of_features = (np.mean(np.diff(values, axis=axis) ** 2) / 2 for axis in (1, 2))
    most = min(_SMOOTH * min(of_steps, 1.0), 1 - _SURE / np.sqrt(values.size))
    return bool(of_steps > _ROUGH and of_features < most)


def warn_of_one_series(sequences: Sequences, targets: Targets, *, are_labels: bool) -> None:
    """Warn if the rows of a table follow one another as the steps of one series do, and its columns do not.

    Rows with the same label follow one another in sorted tables, too, so that rows are compared within such runs.

    Parameters
    ----------
    sequences : Sequences
        The rows of a table, as they have been read: each is a sequence of one feature.
    targets : Targets
        One per row.
    are_labels : bool
        Whether these are class numbers.
    """
    n, k = len(sequences), int(sequences.lengths[0])
    if n <= k or k < 2 or targets.every_step or sequences.n_features != 1:
        return
    n_looked_at = min(n, max(_MOST_LOOKED_AT // k, 2))
    table = np.asarray(sequences.observations[: n_looked_at * k], np.float64).reshape(n_looked_at, k)
    if not np.isfinite(table).all() or not table.var() > 0:
        return
    of_columns = np.mean(np.diff(table, axis=1) ** 2) / (2 * table.var())
    if of_columns > _ROUGH and _rows_are_steps(table, _labels_of(targets.values[:n_looked_at], are_labels)):
        validation.warn(
            f"X of shape ({n}, {k}) is read as {n} sequences of {k} steps and one feature, but its values change "
            f"little from one row to the next, as in one series of {n} steps and {k} features. If it is one, pass [X], "
            "and [y] if y has one target per step; if every row is a sequence, pass targets='sequence' to the estimator"
        )


def _labels_of(targets: Array, are_labels: bool) -> Array | None:
    """What runs of rows share: labels, or numbers that stand for some, such as grades; None if there are several."""
    if are_labels:
        return targets
    return targets.ravel() if targets.size == len(targets) else None


def _rows_are_steps(table: Array, labels: Array | None) -> bool:
    """Whether neighbouring rows are more alike than rows in any order would be, within runs of a label."""
    is_new = np.zeros(len(table), bool)
    if labels is not None and np.mean(found := np.diff(labels, prepend=labels[:1]) != 0) < 0.5:
        is_new = found  # otherwise rows are not in the order of labels
    run = np.cumsum(is_new)
    n_within = len(table) - 1 - int(run[-1])
    sums = np.zeros((run[-1] + 1, table.shape[1]))
    np.add.at(sums, run, table)
    values = table - (sums / np.bincount(run)[:, None])[run]
    variance = (values**2).sum(axis=0) / n_within
    within = ~is_new[1:]
    of_rows = (np.diff(table, axis=0)[within] ** 2).mean(axis=0)[variance > 0] / (2 * variance[variance > 0])
    return len(of_rows) > 0 and bool(of_rows.mean() < min(_SMOOTH, 1 - _SURE / np.sqrt(n_within * len(of_rows))))
