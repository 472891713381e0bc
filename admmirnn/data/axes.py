"""Arrays whose axes have been swapped: channels before steps, where steps come before features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from admmirnn import validation

if TYPE_CHECKING:
    from admmirnn.data.sequences import Sequences

_MOST_LOOKED_AT = 200_000  # numbers
_ROUGH, _SMOOTH = 0.5, 0.25  # changes from one place to the next, of those between places drawn at random
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
    is_list = isinstance(y, (list, tuple)) and len(y) == n
    return is_list and all(hasattr(one, "__len__") and not isinstance(one, str) and len(one) == size for one in y)


def _looks_swapped(sequences: Sequences, n_steps: int) -> bool:
    """Whether values are smooth along the features, and not along the steps."""
    n = min(len(sequences), max(_MOST_LOOKED_AT // (n_steps * sequences.n_features), 1))
    rows = sequences.first_rows[:n, None] + np.arange(n_steps)
    values = np.asarray(sequences.observations[rows], np.float64)
    if not np.isfinite(values).all():
        return False
    variance = 2 * values.var()
    if not variance > 0:
        return False
    of_steps, of_features = (np.mean(np.diff(values, axis=axis) ** 2) / variance for axis in (1, 2))
    return bool(of_steps > _ROUGH and of_features < _SMOOTH * min(of_steps, 1.0))
