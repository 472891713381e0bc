"""Whether the values of y belong to sequences or to steps; a guess is always accompanied by a warning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from admmirnn import validation
from admmirnn.data.sparse import SparseRows

if TYPE_CHECKING:
    from admmirnn._typing import Array, BoolArray, FloatArray, IntArray
    from admmirnn.data.sequences import Sequences

TARGETS = ("auto", "sequence", "step")


def values_and_form(y: Any, lengths: IntArray, targets: str, sequences: Sequences | None) -> tuple[FloatArray, str]:
    """Return the values of y, a row for each sequence or step, and the form in which y held them.

    Parameters
    ----------
    y : list or ndarray
        Targets as `validation.in_lists` returns them, with an entry for each sequence.
    lengths : ndarray of shape (n_sequences,)
        Numbers of steps of the sequences.
    targets : {"auto", "sequence", "step"}
        Meaning of y, as the user says it.  With "auto" arrays of two dimensions have the values of sequences, unless
        they evidently are the observations of later steps, and lists of arrays have those of steps.
    sequences : Sequences or None
        The observations, which may make evident what y is.

    Returns
    -------
    values : ndarray of shape (n_rows,) or (n_rows, k)
        Values of the type that y has, if that is one of numbers, and float64 otherwise.
    form : {"sequence", "array", "list"}
        How y held them: one row per sequence, or one per step in an array or in a list.

    Raises
    ------
    ValueError
        If y holds something else; the message says where, and what to write instead.

    Warns
    -----
    UserWarning
        If y may mean values of sequences or of steps, or is hardly what it seems to be.
    """
    items = _items(y)
    if items is not None and (items[0].ndim == 2 or any(len(item) != 1 for item in items)):
        return _of_list(items, lengths, targets, sequences)
    values = _numbers(y)
    if values.ndim == 3:
        return _of_three_axes(values, lengths, targets), "array"
    if values.ndim == 2:
        of_steps = _are_of_steps(values, lengths, targets, sequences)
        return (values.reshape(-1), "array") if of_steps else (values, "sequence")
    if values.ndim != 1:
        raise ValueError(f"y has {values.ndim} dimensions; pass one value per sequence or per step, or k of them")
    if targets == "step" and (lengths != 1).any():
        raise ValueError(
            f"y has one value per sequence, and targets is 'step': X[0] has {lengths[0]} steps; pass a list with one "
            "array of targets per sequence, or targets='sequence'"
        )
    return values, "array" if targets == "step" else "sequence"


def _items(y: Any) -> list[FloatArray] | None:
    """The arrays of a list of them, or None if y is none; they have as many axes, and rows of one length."""
    if validation.are_alike(y) and y[0].dtype.kind in "buif" and y[0].ndim < 3:
        return list(y)
    if not is_list(y) or not all(hasattr(item, "__len__") and not isinstance(item, (str, bytes)) for item in y):
        return None
    items = [validation.as_numbers(item, f"y[{i}]", np.float64) for i, item in enumerate(y)]
    for i, item in enumerate(items):
        if item.ndim not in (1, 2):
            raise ValueError(
                f"y[{i}] has {item.ndim} dimension(s); pass one array (n_steps_i,) or (n_steps_i, k) per sequence"
            )
        if item.shape[1:] != items[0].shape[1:]:
            raise ValueError(
                f"y[{i}] has the shape {item.shape} and y[0] has {items[0].shape}; give all of them the same number "
                "of axes, and every step the same number of targets"
            )
    return items


def _numbers(y: Any) -> Array:
    """An array of numbers of whatever type, not copied without need."""
    if type(y) is np.ndarray and y.dtype.kind in "buif" and y.dtype.itemsize <= 8 and y.dtype.isnative:
        return np.ascontiguousarray(y) if y.ndim else y
    found: Array = validation.as_numbers(y, "y", np.float64)
    return found


def is_list(y: Any) -> bool:
    """Whether y is a list of what may be arrays, or an array of such objects."""
    return isinstance(y, (list, tuple)) or getattr(getattr(y, "dtype", None), "kind", "") == "O"


def _of_list(
    items: list[FloatArray], lengths: IntArray, targets: str, sequences: Sequences | None
) -> tuple[FloatArray, str]:
    """Values of a list of arrays: of steps, unless something else is said, or they are far from as many."""
    counts = validation.counts_of(items)
    if targets == "sequence":
        if items[0].ndim == 2:
            raise ValueError(
                f"y[0] has the shape {items[0].shape}, and targets is 'sequence': pass k values per sequence in one "
                "axis, such as y[0].ravel(), or targets='step'"
            )
        i = int((counts != counts[0]).argmax())
        if i:
            raise ValueError(
                f"y[{i}] has {counts[i]} values and y[0] has {counts[0]}, and targets is 'sequence': give every "
                "sequence the same number of values, or pass targets='step'"
            )
        return _numbers(np.stack(items)), "sequence"
    if (counts == lengths).all():
        if targets == "auto" and items[0].ndim == 1 and _is_one_number(lengths) and lengths[0] > 1:
            values = _numbers(np.stack(items))
            if _steps_ahead(values, sequences) is None:
                _warn_of_both(values, "one value per step, as y is a list of arrays", "step", "sequence")
        return _numbers(items[0] if len(items) == 1 else np.concatenate(items)), "list"
    one_count = items[0].ndim == 1 and _is_one_number(counts)
    if targets == "auto" and one_count and not _is_near(int(counts[0]), lengths):
        return _numbers(np.stack(items)), "sequence"
    i = int((counts != lengths).argmax())
    raise ValueError(
        f"y[{i}] has {counts[i]} value(s) and X[{i}] has {lengths[i]} steps; pass one value per step, NaN where there "
        "is none" + (f", or targets='sequence' if every sequence has {counts[0]} values" if one_count else "")
    )


def _of_three_axes(values: FloatArray, lengths: IntArray, targets: str) -> FloatArray:
    n_steps, k = values.shape[1:]
    if targets == "sequence":
        raise ValueError(
            f"y has the shape {values.shape}, and targets is 'sequence': pass the values of a sequence in one axis, "
            "y.reshape(len(y), -1), or targets='step'"
        )
    if (lengths != n_steps).any():
        i = int((lengths != n_steps).argmax())
        of_sequences = {n_steps: "y[:, :, 0]", k: "y[:, 0]"}.get(values[0].size, "y.reshape(len(y), -1)")
        raise ValueError(
            f"y[{i}] has {n_steps} rows of {k} value(s) and X[{i}] has {lengths[i]} steps; pass one row per step, or, "
            f"if they belong to the whole sequence, {of_sequences} with targets='sequence'"
        )
    return values.reshape(-1, k)


def _are_of_steps(values: FloatArray, lengths: IntArray, targets: str, sequences: Sequences | None) -> bool:
    """Whether an array (n_sequences, k) has the values of steps."""
    k = values.shape[1]
    if targets == "sequence":
        return False
    if targets == "step":
        if (lengths != k).any():
            i = int((lengths != k).argmax())
            raise ValueError(
                f"y[{i}] has {k} value(s) and X[{i}] has {lengths[i]} steps, and targets is 'step'; pass one value per "
                "step, NaN where there is none, or targets='sequence'"
            )
        return True
    if k < 2 or not _is_one_number(lengths) or not _is_near(k, lengths):
        return False
    n_steps, ahead = int(lengths[0]), _steps_ahead(values, sequences)
    if k != n_steps and ahead is None and sequences is not None and k == sequences.observations.shape[1]:
        return False  # rather those of the next observation
    if k == n_steps:
        if ahead is None:
            _warn_of_both(values, f"{k} values per sequence, predicted after its last step", "sequence", "step")
        return ahead is not None
    if ahead is not None:
        raise ValueError(
            f"y[0] has {k} values and X[0] has {n_steps} steps, and its values are the observations of X from step "
            f"{ahead} on: pass one value per step, NaN where there is none, or targets='sequence' if every sequence "
            f"has {k} values"
        )
    validation.warn(
        f"y has {k} values and X has {n_steps} steps per sequence, and y is read as {k} values per sequence, "
        "predicted after its last step: pass targets='sequence' if that is meant; values of steps are as many as "
        "steps, NaN where there is none",
    )
    return False


def _warn_of_both(values: FloatArray, what: str, this: str, other: str) -> None:
    n, k = values.shape
    validation.warn(
        f"y has {k} values for each of {n} sequence(s) of {k} steps, and is read as {what}: pass targets={this!r} if "
        f"that is meant, and targets={other!r} if y has "
        + ("one value per step" if other == "step" else f"{k} values per sequence"),
    )


def _is_one_number(counts: Array) -> bool:
    return bool((counts == counts[0]).all())


_MOST_LOOKED_AT = 10**7  # numbers of one sequence


def _is_near(k: int, lengths: IntArray) -> bool:
    """Whether a number of targets is so near to that of steps that one of them may be a slip."""
    least, most = int(lengths.min()), int(lengths.max())
    return least - _slip(least) <= k <= most + _slip(most)


def _slip(n_steps: int) -> int:
    return 1 if n_steps < 10 else max(2, n_steps // 10)


def _steps_ahead(values: FloatArray, sequences: Sequences | None) -> int | None:
    """By how many steps values are the observations of one feature further on, or None if they are not."""
    if sequences is None or (sequences.frame, sequences.stride, sequences.n_symbols) != (1, 1, 0):
        return None
    if sequences.lengths[0] * sequences.n_features > _MOST_LOOKED_AT and isinstance(sequences.observations, SparseRows):
        return None  # which are not written out for this
    n_steps, k = int(sequences.lengths[0]), values.shape[1]
    i = int(np.count_nonzero(values, axis=1).argmax())  # of which fewest features have the values by chance
    first = sequences.observations[sequences.first_rows[i] : sequences.first_rows[i] + n_steps]
    for ahead in range(n_steps):
        n = min(k, n_steps - ahead)
        if n < min(2, n_steps - 1):
            break
        # where most features differ from the values already
        looked_at = [0, n - 1, int(np.abs(values[i, :n]).argmax())]
        candidates = _equal(first[[ahead + j for j in looked_at]], values[i, looked_at, None]).all(axis=0)
        for feature in map(int, np.flatnonzero(candidates)):
            if not _equal(first[ahead : ahead + n, feature], values[i, :n]).all():
                continue
            rows = sequences.first_rows[:, None] + np.arange(ahead, ahead + n)
            if _equal(sequences.observations[rows, feature], values[:, :n]).all():
                return ahead
    return None


def _equal(observations: Array, values: FloatArray) -> BoolArray:
    if observations.dtype.kind == "f":
        with np.errstate(over="ignore"):
            values = values.astype(observations.dtype)
        found: BoolArray = (observations == values) | (np.isnan(observations) & np.isnan(values))
        return found
    return np.asarray(observations == values)
