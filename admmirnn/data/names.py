"""Names of features: in a container that has names, these and not positions say which feature is which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from admmirnn import validation

if TYPE_CHECKING:
    from admmirnn._typing import Array


def names_of(values: Any) -> list[Any] | None:
    """Return the labels of the features of one sequence, or None if it has none.

    These are the columns of a frame of pandas, polars or pyarrow, the keys of a dict of arrays, the fields of a
    structured array.
    """
    if isinstance(values, np.ndarray):
        return list(values.dtype.names) if values.dtype.names and values.ndim == 1 else None
    if isinstance(values, (list, tuple)):
        return None
    if isinstance(values, Mapping):
        return list(values)
    if hasattr(values, "column_names"):
        return list(values.column_names)
    if getattr(values, "ndim", 2) == 2 and hasattr(values, "columns") and not callable(values.columns):
        return list(values.columns)
    return None


def by_columns(values: Any, name: str) -> Any:
    """Rows that have names, as a dict of their features, and so a namedtuple; anything else as it is.

    Rows are namedtuples, dicts of numbers, rows of a frame of pandas, or records.
    """
    if _is_namedtuple(values):
        return dict(zip(values._fields, values, strict=True))
    labels = _names_of_row(values[0]) if isinstance(values, (list, tuple)) and len(values) else None
    if labels is None:
        return values
    for i, row in enumerate(values):
        of_row = _names_of_row(row)
        if of_row is None or set(of_row) != set(labels):
            found = "none" if of_row is None else f"{of_row!r:.80}"
            raise ValueError(
                f"{name}[0] has the names {labels!r:.80} and {name}[{i}] has {found}; give all rows the same names"
            )
    rows = [by_columns(row, name) if _is_namedtuple(row) else row for row in values]
    return {label: np.asarray([row[label] for row in rows]) for label in labels}


def _is_namedtuple(values: Any) -> bool:
    return isinstance(values, tuple) and hasattr(values, "_fields")


def _names_of_row(row: Any) -> list[Any] | None:
    """The names of the features of one observation of a list of them, or None."""
    if _is_namedtuple(row):
        return list(row._fields)
    if isinstance(row, Mapping):
        return list(row) if all(np.ndim(value) == 0 for value in row.values()) else None
    is_of_pandas = hasattr(row, "iloc") and getattr(row, "ndim", 2) == 1
    return names_of_observation(row) if isinstance(row, np.void) or is_of_pandas else None


def check_names(names: Sequence[Any], name: str) -> None:
    """Raise unless labels can be names of features: strings, or numbers from the least to the largest."""
    if len(set(names)) < len(names):
        twice = next(label for i, label in enumerate(names) if label in names[:i])
        raise ValueError(f"{name} has two columns {twice!r}; give every feature a name of its own")
    are_strings = [isinstance(label, str) for label in names]
    if any(are_strings) and not all(are_strings):
        raise TypeError(
            f"{name} has columns with names that are strings and others that are not: {list(names)[:6]}; make all of "
            "them strings, such as with columns.astype(str)"
        )
    if not any(are_strings) and any(a > b for a, b in zip(names, names[1:], strict=False)):
        raise ValueError(
            f"{name} has its columns in the order {list(names)[:6]}: numbers say nothing but positions; sort them, or "
            "give the features names"
        )


def in_one_order(items: Sequence[Any], names: Array | None = None) -> tuple[Sequence[Any], list[Any] | None]:
    """Return sequences whose features are all in one order, and their names in it, or None where there are none.

    Parameters
    ----------
    items : list
        Sequences, of which all, some or none have names of features.
    names : ndarray of str, optional
        Order of the features; by default, that of the first sequence.

    Raises
    ------
    ValueError, TypeError
        If some sequences have other names, or none.
    """
    items = [by_columns(item, f"X[{i}]") for i, item in enumerate(items)]
    labels = [names_of(item) for item in items]
    first = labels[0]
    if not any(labels):
        return items, None
    for i, of_one in enumerate(labels):
        if (of_one is None) != (first is None):
            this, other = (f"X[{i}]", "X[0]") if of_one is None else ("X[0]", f"X[{i}]")
            raise ValueError(
                f"{this} has no names of features and {other} has {(of_one or first)!r:.80}; pass frames, or arrays, "
                "for all sequences"
            )
        if i == 0 or of_one != first:
            check_names(of_one or [], f"X[{i}]")
    assert first is not None  # as there are names
    order = list(names) if names is not None and first and isinstance(first[0], str) else first
    return [
        selected(item, order, of_one or [], f"X[{i}]")
        for i, (item, of_one) in enumerate(zip(items, labels, strict=True))
    ], order


def selected(
    item: Any, names: Sequence[Any] | None, labels: Sequence[Any], name: str, n_axes: Sequence[int] = (1,)
) -> Any:
    """One sequence with its features in the order of ``names``; as a frame if it is one, otherwise as an array.

    ``n_axes`` are the numbers of axes that a feature may have in a dict of arrays: one, of the steps.
    """
    names = list(labels) if names is None else list(names)
    if set(names) != set(labels):
        missing = [label for label in names if label not in labels]
        more = [label for label in labels if label not in names]
        said = [f"lacks {missing!r:.80}"] if missing else []
        said += [f"has {more!r:.80}, which is not among them"] if more else []
        raise ValueError(f"{name} {' and '.join(said)}; the features are {names!r:.120}: give every sequence the same")
    if isinstance(item, (Mapping, np.ndarray, np.void)):
        return _stacked({label: item[label] for label in names}, name, n_axes)
    if list(labels) == names:
        return item
    if hasattr(item, "select") and not hasattr(item, "iloc"):
        return item.select(names)
    try:
        return item[names]
    except ValueError:  # pandas takes no columns of the other byte order
        return np.asarray(item)[:, [list(labels).index(label) for label in names]]


def _stacked(columns: Mapping[Any, Any], name: str, n_axes: Sequence[int]) -> Array:
    arrays = {label: np.asarray(column) for label, column in columns.items()}
    first = next(iter(arrays))
    for label, array in arrays.items():
        if array.ndim not in n_axes:
            wanted = "one value per step, (n_steps,)" if tuple(n_axes) == (1,) else "one number, or one per stream"
            raise ValueError(f"{name}[{label!r}] has {array.ndim} dimension(s); pass {wanted}")
        if array.shape != arrays[first].shape:
            raise ValueError(
                f"{name}[{label!r}] has the shape {array.shape} and {name}[{first!r}] has {arrays[first].shape}; give "
                "all features as many values"
            )
    return np.stack(list(arrays.values()), axis=-1)


def as_fitted(names: list[Any] | None, known: Array | None, estimator: str) -> None:
    """Warn as scikit-learn does where only one of X and the fitted estimator has names of features."""
    has_names = names is not None and isinstance(names[0], str)
    if known is not None and not has_names:
        validation.warn(f"X does not have valid feature names, but {estimator} was fitted with feature names")
    if known is None and has_names:
        validation.warn(f"X has feature names, but {estimator} was fitted without feature names")


def feature_names(names: list[Any] | None) -> dict[str, Any]:
    """The attribute of a fitted estimator that has the names of its features, if these are strings."""
    if not names or not isinstance(names[0], str):
        return {}
    return {"feature_names_in_": np.array(names, dtype=object)}


def names_of_observation(x: Any) -> list[Any] | None:
    """Return the labels of the features of one observation, or of one per stream, or None if it has none."""
    if isinstance(x, np.void):
        return None if x.dtype.names is None else list(x.dtype.names)
    if hasattr(x, "iloc") and getattr(x, "ndim", 2) == 1:  # a row of a frame of pandas
        labels = list(x.index)
        return labels if labels and all(isinstance(label, str) for label in labels) else None
    return names_of(x)


def in_known_order(x: Any, names: Sequence[str] | None, name: str, n_axes: Sequence[int] = (1,)) -> Any:
    """Return observations with their features in the order of ``names``, if they have names.

    Parameters
    ----------
    x : dict, namedtuple, pandas Series or frame, list of these, or array-like
        One observation, one per stream, or a sequence; arrays have no names, and are returned as they are.
    names : sequence of str or None
        Names that the model was fitted with; None if it was fitted without any.
    name : str
        Name of the argument, for messages.
    n_axes : sequence of int
        Numbers of axes that a feature may have in a dict.

    Raises
    ------
    ValueError, TypeError
        If the names are other ones, or a dict is passed to a model without names.
    """
    x = x if names is None else by_columns(x, name)
    labels = names_of_observation(x)
    if labels is None or not labels:
        return x
    if names is not None and isinstance(labels[0], str):
        return selected(x, names, labels, name, n_axes)
    if names is None and isinstance(x, Mapping):
        raise TypeError(
            f"{name} is a dict, and the model was fitted without names of features; pass an array, or fit with frames"
        )
    check_names(labels, name)
    if names is None and isinstance(labels[0], str):
        as_fitted(labels, None, "the model")
    return x
