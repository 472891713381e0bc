"""Sequences from tables and arrays as people have them: long tables, nested frames, channels before steps.

`sequences_from_table` needs narwhals, ``pip install 'admmirnn[tables]'``; the others need nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from datetime import date, datetime
from typing import Any

import numpy as np

from admmirnn import validation
from admmirnn._typing import Array, IntArray
from admmirnn.data.indexed import holds_times
from admmirnn.data.labels import is_missing
from admmirnn.optional import import_optional

__all__ = ["sequences_from_channels_first", "sequences_from_nested", "sequences_from_table"]

_LABELS_OF = ("auto", "series", "step")
_NEARLY_ALL = 0.9  # of the series


def sequences_from_table(
    table: Any,
    *,
    series: Hashable | Sequence[Hashable] | None = None,
    time: Hashable | None = None,
    features: Sequence[Hashable] | None = None,
    label: Hashable | Sequence[Hashable] | None = None,
    label_of: str = "auto",
    return_series: bool = False,
) -> Any:
    """Make sequences of a long table, which has one row per observation.

    Parameters
    ----------
    table : DataFrame or Table of pandas, polars, pyarrow, or another kind that narwhals knows
        Table with one observation per row; it is not changed.
    series : name or list of names, optional
        Names of the columns that say which series a row belongs to; the rows of a series need not be together.  None
        makes the whole table one series.
    time : name, optional
        Name of the column by which the rows of each series are sorted: numbers, times of any kind, with or without
        zones, or strings in the form of ISO 8601, with a warning.  None keeps the order of the rows.
    features : list of names, or one name, optional
        Names of the columns that an observation consists of, in this order.  By default these are all other columns,
        which then have to be numbers or booleans.
    label : name or list of names, optional
        Name of the column of the targets, or names of several columns of numbers.
    label_of : {"auto", "series", "step"}, default="auto"
        Whether a series has one label or each of its steps has one.  With "series" it is the label that is not missing,
        and a series may not have two different ones.  "auto" is "series" if all series have one label, and "step"
        otherwise.
    return_series : bool, default=False
        Whether to return as well which series each sequence is.

    Returns
    -------
    X : list of frames
        Frames, one for each series, in the order in which they first come: of the table's kind, with the features as
        columns, so that models know the features by their names.
    y : ndarray of shape (n_series,) or (n_series, n_labels), or list of ndarray
        Labels, only with ``label``: one per series, or a list of arrays with one label per step.
    of_series : list
        Names of the series, only with ``return_series``: what the column of each series holds, a tuple for several
        columns.

    Warns
    -----
    UserWarning
        If times are strings; if two rows of a series have the same time, and keep their order; if ``time`` is None,
        and the index of the table holds times that do not increase; or if labels are read as those of steps, and nearly
        all series have but one.

    Raises
    ------
    ValueError, TypeError
        If a column is not there, a feature is not a number, a series, a time or a label is missing, or the labels of a
        series differ.
    ImportError
        If narwhals is not installed: ``pip install 'admmirnn[tables]'``.

    Examples
    --------
    >>> import pandas as pd
    >>> from admmirnn import sequences_from_table
    >>> table = pd.DataFrame({
    ...     "pump": ["a", "b", "a", "b", "b"], "hour": [1, 0, 0, 2, 1], "pressure": [1.0, 2.0, 3.0, 4.0, 5.0],
    ...     "state": ["good", "bad", "good", "bad", "bad"],
    ... })
    >>> X, y = sequences_from_table(table, series="pump", time="hour", label="state")
    >>> [x["pressure"].tolist() for x in X]
    [[3.0, 1.0], [2.0, 5.0, 4.0]]
    >>> y.tolist()
    ['good', 'bad']
    """
    nw = import_optional("narwhals.stable.v2", "tables", "sequences_from_table")
    validation.check_choice("label_of", label_of, _LABELS_OF)
    validation.check_boolean("return_series", return_series)
    if time is not None:
        check_names("time", [time])
    if features is not None:
        validation.check_length("features", features, "a list of names")
        features = list(features)
    frame, of_index = _as_frame(nw, table)
    of_series, of_labels = _listed(series), _listed(label)
    used = [*of_series, *_listed(time), *of_labels]
    features = [features] if isinstance(features, str) else features
    check_columns(frame, {"series": of_series, "time": _listed(time), "label": of_labels, "features": features})
    if features is None:
        features = [name for name in frame.columns if name not in [*used, *of_index]]
        check_numeric(frame, features)
    else:
        check_no_times(frame, features)
    if not len(features):
        raise ValueError(f"no column of {list(frame.columns)[:8]} is left for features; pass their names")
    if not len(frame):
        raise ValueError("table has no rows; pass at least one observation")
    codes, names = _series_of_rows(frame, of_series)
    order = _order(codes, None if time is None else _times(frame, time), time, names)
    index: Any = getattr(table, "index", None)
    if time is None and holds_times(index):
        _warn_of_order(np.asarray(index.asi8)[order], codes[order], index.name)
    ends = np.cumsum(np.bincount(codes))
    observations = frame.select(list(features))[order]
    X = [observations[int(a) : int(b)].to_native() for a, b in zip(ends - np.bincount(codes), ends, strict=True)]
    found: list[Any] = [X]
    if of_labels:
        found.append(_labels(frame, of_labels, order, ends, label_of, names))
    if return_series:
        found.append(names)
    return found[0] if len(found) == 1 else tuple(found)


def _listed(names: Any) -> list[Any]:
    if names is None:
        return []
    return list(names) if isinstance(names, list) else [names]


def _as_frame(nw: Any, table: Any) -> tuple[Any, list[Any]]:
    """The table as one of narwhals, and those of its columns that were levels of an index."""
    levels = [level for level in getattr(getattr(table, "index", None), "names", []) if level is not None]
    if levels and hasattr(table, "reset_index"):
        table = table.reset_index()
    try:
        frame = nw.from_native(table, eager_only=True)
    except TypeError as error:
        raise TypeError(
            f"table is of type {type(table).__name__}; pass a data frame of pandas, polars or pyarrow ({error})"
        ) from error
    return frame, levels


def check_names(argument: str, names: Any) -> None:
    """Raise unless all of these can be names of columns."""
    for name in names:
        if not isinstance(name, Hashable):
            raise TypeError(f"{argument} is {name!r:.60} of type {type(name).__name__}; pass the name of a column")


def check_columns(frame: Any, asked: dict[str, Any]) -> None:
    """Raise unless all columns that are asked for are there, and none for two things."""
    seen: dict[Any, str] = {}
    for argument, names in asked.items():
        check_names(argument, names if names is not None else ())
        for name in names if names is not None else ():
            if name not in frame.columns:
                raise ValueError(
                    f"{argument} is {name!r}, and the columns are {list(frame.columns)[:12]}; pass one of these"
                )
            if name in seen:
                raise ValueError(f"{argument} and {seen[name]} both have the column {name!r}; give each its own")
            seen[name] = argument


def check_numeric(frame: Any, features: Sequence[Any]) -> None:
    """Raise unless all columns that are left for features are numbers or booleans."""
    for name in features:
        dtype = frame[name].dtype
        if not (dtype.is_numeric() or str(dtype) == "Boolean"):
            raise TypeError(
                f"the column {name!r} holds {dtype}, and not numbers; pass features without it, or name it as series, "
                f"time or label, or {validation.OTHER_THAN_NUMBERS}"
            )


def check_no_times(frame: Any, features: Sequence[Any]) -> None:
    """Raise if a column that is to be a feature holds times, or categories."""
    for name in features:
        dtype = frame[name].dtype
        if dtype.is_temporal():
            raise TypeError(
                f"features has the column {name!r}, which holds {dtype}, and not numbers; pass it as time, or make "
                "numbers of it, such as the seconds since the first row, or the hour of the day"
            )
        if str(dtype) in ("Categorical", "Enum"):
            raise TypeError(
                f"features has the column {name!r}, which holds {dtype}, and not numbers; "
                + validation.OTHER_THAN_NUMBERS
            )


def _objects(frame: Any, name: Any) -> list[Any]:
    found: list[Any] = frame[name].to_list()
    return found


def _series_of_rows(frame: Any, of_series: list[Any]) -> tuple[IntArray, list[Any]]:
    """The number of the series of each row, in the order in which they come, and what they are called."""
    if not of_series:
        return np.zeros(len(frame), np.intp), [None]
    columns = [_objects(frame, name) for name in of_series]
    for name, column in zip(of_series, columns, strict=True):
        for i, value in enumerate(column):
            if is_missing(value):
                raise ValueError(f"row {i} has no {name!r}; say which series it belongs to, or leave it out")
    labels = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
    numbers: dict[Any, int] = {}
    codes = np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.intp)
    return codes, list(numbers)


def _order(codes: IntArray, times: Array | None, time: Any, names: list[Any]) -> IntArray:
    """The rows, one series after the other, each in the order of its times."""
    if times is None:
        return np.argsort(codes, kind="stable")
    order = np.lexsort((times, codes))
    same = (codes[order][1:] == codes[order][:-1]) & (times[order][1:] == times[order][:-1])
    if same.any():
        first = int(same.argmax())
        validation.warn(
            f"{int(same.sum())} row(s) have the {time!r} of another row of their series, as rows {order[first]} and "
            f"{order[first + 1]} of {names[codes[order[first]]]!r}; they stay in the order of the table"
        )
    return order


def _warn_of_order(times: Array, codes: IntArray, name: Any) -> None:
    """Warn if times that nobody asked for are not in order within the series."""
    if ((np.diff(times) < 0) & (np.diff(codes) == 0)).any():
        remedy = "table.sort_index()" if name is None else f"time={name!r}"
        validation.warn(
            "time is None, so that rows stay in the order of the table, and the times in its index do not increase "
            f"within each series: pass {remedy} if steps are in the order of time"
        )


def _times(frame: Any, time: Any) -> Array:
    """Numbers that increase with time: ranks of what the column holds."""
    column = frame[time]
    missing = np.asarray(column.is_null().to_numpy(), bool)
    values = None
    if column.dtype.is_numeric():
        values = np.asarray(column.cast(type(column.dtype)).to_numpy())
        missing = missing | (np.isnan(values) if values.dtype.kind == "f" else False)
    if missing.any():
        raise ValueError(f"row {int(missing.argmax())} has no {time!r}; fill it in, or leave the row out")
    objects = _objects(frame, time) if values is None else None
    if objects is not None and all(isinstance(value, str) for value in objects):
        validation.warn(
            f"the column {time!r} holds strings, which are read as times in the form of ISO 8601; convert it, such as "
            "with pandas.to_datetime(..., utc=True)"
        )
        objects = [_time_of(value, i, time) for i, value in enumerate(objects)]
    if objects is not None:
        check_one_kind_of_times(objects, time)
        try:
            distinct = sorted(set(objects))
        except TypeError as error:
            raise TypeError(f"the column {time!r} cannot be sorted ({error}); make it times or numbers") from error
        ranks = {value: i for i, value in enumerate(distinct)}
        values = np.array([ranks[value] for value in objects])
    return np.asarray(values)


def _time_of(text: str, i: int, time: Any) -> Any:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text.strip().removesuffix("Z") + ("+00:00" if text.strip().endswith("Z") else ""))
    except ValueError as error:
        raise ValueError(
            f"row {i} has {text!r} for {time!r}, which is not a time in the form of ISO 8601 ({error}); convert the "
            "column, such as with pandas.to_datetime(..., format=...)"
        ) from error


def check_one_kind_of_times(values: list[Any], time: Any) -> None:
    """Raise if some times have a zone and others none, or are numbers."""

    def kind(value: Any) -> str:
        if isinstance(value, datetime):
            return "times without a zone" if value.tzinfo is None else "times with a zone"
        return "dates" if isinstance(value, date) else "others"

    first = kind(values[0])
    for i, value in enumerate(values):
        if kind(value) != first:
            raise ValueError(
                f"the column {time!r} has {value!r} in row {i} and {values[0]!r} in row 0, {kind(value)} and {first}; "
                "make all of them one kind"
            )


def _labels(frame: Any, names: list[Any], order: IntArray, ends: IntArray, label_of: str, of_series: list[Any]) -> Any:
    """One label per series, in an array, or per step, in a list of arrays."""
    cuts = ends[:-1]
    columns = [_column(frame, name) for name in names]
    pieces = [np.split(column[order], cuts) for column in columns]
    have_one = [_one(piece) for some in pieces for piece in some]
    if label_of == "step" or (label_of == "auto" and not all(have_one)):
        if label_of == "auto" and len(names) == 1:
            _warn_of_slips(names[0], pieces[0], have_one, of_series)
        return pieces[0] if len(names) == 1 else [np.stack(some, axis=1) for some in zip(*pieces, strict=True)]
    found = []
    for name, some in zip(names, pieces, strict=True):
        of_one = []
        for piece, which in zip(some, of_series, strict=True):
            there = [value for value in piece.tolist() if not is_missing(value)]
            different = list(dict.fromkeys(there))
            if len(different) != 1:
                what = "no label" if not different else f"the labels {different[:4]!r}"
                raise ValueError(f"the series {which!r} has {what} in {name!r}; give it one, or pass label_of='step'")
            of_one.append(piece[[not is_missing(value) for value in piece.tolist()]][:1])
        found.append(np.concatenate(of_one))
    return found[0] if len(found) == 1 else np.stack(found, axis=1)


def _warn_of_slips(name: Any, pieces: list[Array], have_one: list[bool], of_series: list[Any]) -> None:
    """Warn if nearly all series have one label, and not all of these the same, as where a few rows are wrong."""
    alone = {
        next(value for value in piece.tolist() if not is_missing(value))
        for piece, is_one in zip(pieces, have_one, strict=True)
        if is_one and not _is_empty(piece)
    }
    if len(alone) < 2 or sum(have_one) < _NEARLY_ALL * len(have_one):
        return
    i = have_one.index(False)
    found = list(dict.fromkeys(value for value in pieces[i].tolist() if not is_missing(value)))
    validation.warn(
        f"{sum(have_one)} of {len(have_one)} series have one label in {name!r}, and {of_series[i]!r} has "
        f"{found[:4]!r}: labels are read as those of steps. Mend its rows and pass label_of='series', or "
        "pass label_of='step' if that is meant"
    )


def _is_empty(piece: Array) -> bool:
    return all(is_missing(value) for value in piece.tolist())


def _column(frame: Any, name: Any) -> Array:
    """A column as an array; an array of objects if values are missing in a column that does not hold numbers."""
    column = frame[name]
    if column.is_null().any() and not column.dtype.is_float():
        values = np.empty(len(column), object)
        values[:] = column.to_list()
        if column.dtype.is_numeric():
            return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        return values
    return np.asarray(column.to_numpy())


def _one(piece: Array) -> bool:
    """Whether all labels that are not missing are the same one."""
    return len({value for value in piece.tolist() if not is_missing(value)}) <= 1


def sequences_from_nested(table: Any) -> list[dict[Any, Array]]:
    """Make sequences of a nested frame, whose cells hold series: a row per sequence, and a column per feature.

    Parameters
    ----------
    table : DataFrame of pandas or polars, or Table of pyarrow
        Table whose cells are Series, arrays or lists of numbers, of one length within a row; the nested frames of
        sktime are such.

    Returns
    -------
    list of dict
        Dicts, one for each row, with arrays of shape (n_steps_i,) by the name of each feature, as `fit` takes them.

    Raises
    ------
    ValueError, TypeError
        If a cell is not a series of numbers, or those of a row differ in length.

    Examples
    --------
    >>> import pandas as pd
    >>> from admmirnn import sequences_from_nested
    >>> table = pd.DataFrame({"a": [[1.0, 2.0], [3.0]], "b": [[4.0, 5.0], [6.0]]})
    >>> [x["b"].tolist() for x in sequences_from_nested(table)]
    [[4.0, 5.0], [6.0]]
    """
    names = getattr(table, "column_names", None) or getattr(table, "columns", None)
    if names is None or callable(names):
        raise TypeError(f"table is of type {type(table).__name__}; pass a data frame whose cells hold series")
    columns: dict[Any, list[Any]] = {}
    for name in names:
        column = table[name]
        columns[name] = column.to_pylist() if hasattr(column, "to_pylist") else list(column)
    n_rows = len(next(iter(columns.values()), []))
    if not n_rows:
        raise ValueError("table has no rows; pass at least one sequence")
    return [_row_of_series(i, {name: column[i] for name, column in columns.items()}) for i in range(n_rows)]


def _row_of_series(i: int, cells: dict[Any, Any]) -> dict[Any, Array]:
    found: dict[Any, Array] = {}
    for name, cell in cells.items():
        values = validation.as_numbers(cell, f"row {i} of the column {name!r}", np.float64)
        if values.ndim != 1:
            raise ValueError(
                f"row {i} of the column {name!r} holds no series of numbers; a table of one observation per row is for "
                "sequences_from_table"
            )
        first = next(iter(found), name)
        if found and len(values) != len(found[first]):
            raise ValueError(
                f"row {i} has {len(values)} steps in the column {name!r} and {len(found[first])} in {first!r}; give "
                "all features of a sequence the same number"
            )
        found[name] = values
    return found


def sequences_from_channels_first(X: Any) -> Any:
    """Make sequences of arrays whose first axis are the channels, as aeon, tsai and InceptionTime hold them.

    Parameters
    ----------
    X : array of shape (n_sequences, n_channels, n_steps), or list of arrays of shape (n_channels, n_steps_i)
        Sequences whose channels come before their steps; channels are features.

    Returns
    -------
    ndarray of shape (n_sequences, n_steps, n_channels), or list of ndarray of shape (n_steps_i, n_channels)
        Views of the same numbers.

    Raises
    ------
    ValueError
        If arrays have other numbers of axes, or those of a list have different numbers of channels.

    Examples
    --------
    >>> import numpy as np
    >>> from admmirnn import sequences_from_channels_first
    >>> sequences_from_channels_first(np.zeros((50, 6, 100))).shape
    (50, 100, 6)
    """
    if isinstance(X, np.ndarray) and X.dtype != object:
        if X.ndim != 3:
            raise ValueError(f"X has the shape {X.shape}; pass (n_sequences, n_channels, n_steps), or a list of arrays")
        return X.transpose(0, 2, 1)
    validation.check_length("X", X, "an array, or a list of arrays of shape (n_channels, n_steps_i)")
    arrays = [np.asarray(x) for x in X]
    for i, x in enumerate(arrays):
        if x.ndim != 2:
            raise ValueError(f"X[{i}] has {x.ndim} dimension(s); pass arrays of shape (n_channels, n_steps_i)")
        if len(x) != len(arrays[0]):
            raise ValueError(f"X[{i}] has {len(x)} channels and X[0] has {len(arrays[0])}; give all as many")
    return [x.T for x in arrays]
