"""Frames of pandas whose index says which series, or what time, a row belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from admmirnn import validation
from admmirnn._typing import Array, IntArray

if TYPE_CHECKING:
    from collections.abc import Sequence


def is_indexed(X: Any) -> bool:
    """Whether X is a DataFrame with an index of two levels or more, the last of which is time."""
    return getattr(getattr(X, "index", None), "nlevels", 1) > 1 and getattr(X, "ndim", 1) == 2


def by_series(X: Any, *others: Any) -> tuple[Any, ...]:
    """Return X, and what belongs to its rows or its series, as lists with an entry for each series.

    Parameters
    ----------
    X : DataFrame with a MultiIndex (series, time), or anything else
        Table to cut into series.  If it is anything else, it is returned as it is, and so are the other arguments.
    *others : Series, DataFrame, array-like or None
        Targets and weights, with one entry per row of X, or one per series, in the order of their first rows.  Those of
        pandas are found by their index: that of X, or the series.

    Returns
    -------
    list of DataFrame
        One frame per series, sorted by time, in the order in which the series first come.
    *others
        Lists of arrays for arguments with one entry per row, arrays for those with one entry per series.
    """
    if not is_indexed(X):
        for other in others:
            _warn_of_another_order(X, other)
        return (X, *others)
    rows = _rows_by_series(X.index)
    return [X.iloc[some] for some in rows], *[_by_series(other, X.index, rows) for other in others]


def _rows_by_series(index: Any) -> list[IntArray]:
    """The rows of each series, in the order of time."""
    series, times = index.droplevel(-1), index.get_level_values(-1)
    if times.isna().any() or any(index.get_level_values(level).isna().any() for level in range(index.nlevels - 1)):
        raise ValueError("the index of X has missing entries; give every row its series and its time")
    codes = series.factorize()[0]
    try:
        order = np.lexsort((times.factorize(sort=True)[0], codes))
    except TypeError as error:
        raise TypeError(f"the times in the last level of the index of X cannot be sorted ({error})") from error
    rows = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    if index.has_duplicates:
        label = index[index.duplicated()][0]
        raise ValueError(
            f"the index of X has {label!r} twice; its levels are the series and, last, the time: give every row a time "
            "of its own, or pass a list of frames"
        )
    return rows


def _by_series(values: Any, index: Any, rows: list[IntArray]) -> Any:
    """What belongs to the rows, or to the series, of an indexed frame."""
    if values is None:
        return None
    own = getattr(values, "index", None)
    if hasattr(values, "iloc") and own is not None:
        values = _in_order(values, own, index, rows)
    try:
        n = len(values)
    except TypeError:
        return values
    if n != len(index) or len(index) == len(rows):
        return values
    array = np.asarray(values)
    found = [array[some] for some in rows]
    if array.ndim == 1 and all((one[1:] == one[:-1]).all() for one in found):
        validation.warn(
            "y has one entry per row of X, equal at all steps of every series, and is read as one target per step; if "
            "a series has one target, pass y.groupby(level=0).first(), or one entry per series",
        )
    return found


def _in_order(values: Any, own: Any, index: Any, rows: list[IntArray]) -> Array:
    """Values of pandas in the order of the rows of a frame with this index, or of its series, found by their own."""
    if own.equals(index):
        return np.asarray(values)
    first = index[np.array([some[0] for some in rows], dtype=np.intp)].droplevel(-1)
    wanted = index if own.nlevels == index.nlevels else first if own.nlevels == first.nlevels else None
    if wanted is not None and own.is_unique and len(own) == len(wanted) and wanted.isin(own).all():
        return np.asarray(values.loc[wanted])
    if own.equals(type(own)(np.arange(len(own)))) and not own.nlevels > 1:
        return np.asarray(values)  # without labels of its own
    raise ValueError(
        f"y has an index like {list(own[:2])}, which is neither that of X, like {list(index[:2])}, nor that of its "
        f"series, like {list(first[:2])}; give it one of these, or pass an array"
    )


def _warn_of_another_order(X: Any, other: Any) -> None:
    """Warn if y or weights of pandas have the index of X in another order: they are read by position."""
    indices: list[Any] = [getattr(one, "index", None) for one in (X, other)]
    if not all(hasattr(index, "is_unique") for index in indices):
        return
    of_X, of_other = indices
    if len(of_X) == len(of_other) and not of_X.equals(of_other) and of_X.is_unique and of_other.isin(of_X).all():
        validation.warn(
            "y, or sample_weight, has the index of X in another order, and is read by position, as in scikit-learn: "
            "pass y.loc[X.index] if the index says what belongs together"
        )


def warn_of_order_of_times(items: Sequence[Any]) -> None:
    """Warn if the index of a frame, or of a Series, holds times that do not increase: rows are read as they stand."""
    for i, item in enumerate(items):
        index: Any = getattr(item, "index", None)
        if not holds_times(index) or index.is_monotonic_increasing:
            continue
        validation.warn(
            f"X[{i}] is a frame whose index of times does not increase from row to row, and its rows are read as they "
            "stand: if steps are in the order of time, pass [x.sort_index() for x in X]"
        )
        return


def holds_times(index: Any) -> bool:
    """Whether the index of a frame is one of times, of pandas."""
    return getattr(getattr(index, "dtype", None), "kind", "") in ("M", "m") and hasattr(
        index, "is_monotonic_increasing"
    )
