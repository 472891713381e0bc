"""Names of features: in whatever container has them they say which feature is which, and positions do not."""

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
        Sequences, some or none of which have names of features.
    names : ndarray of str, optional
        The order; by default, that of the first sequence.

    Raises
    ------
    ValueError, TypeError
        If some have other names, or none.
    """
    order = None if names is None else list(names)
    found, seen = [], None
    for i, item in enumerate(items):
        labels = names_of(item)
        if labels is None or labels != seen:
            _check_as_first(labels, seen, i)
            if labels is not None and i == 0:
                check_names(labels, "X[0]")
                if order is None or not isinstance(labels[0], str):
                    order = labels
        if labels is None:
            return items, None
        seen = seen or labels
        found.append(selected(item, order, labels, f"X[{i}]"))
    return found, order


def _check_as_first(labels: list[Any] | None, first: list[Any] | None, i: int) -> None:
    """Raise if only one of a sequence and the first one has names, or they are numbers in another order."""
    if i == 0:
        return
    if (labels is None) != (first is None):
        this, other = (f"X[{i}]", "X[0]") if labels is None else ("X[0]", f"X[{i}]")
        raise ValueError(
            f"{this} has no names of features and {other} has {(labels or first)!r:.80}; pass frames, or arrays, for "
            "all sequences"
        )
    if labels is not None:
        check_names(labels, f"X[{i}]")


def selected(item: Any, names: Sequence[Any] | None, labels: Sequence[Any], name: str) -> Any:
    """One sequence with its features in the order of ``names``; as a frame if it is one, otherwise as an array."""
    names = list(labels) if names is None else list(names)
    if set(names) != set(labels):
        missing = [label for label in names if label not in labels]
        more = [label for label in labels if label not in names]
        said = [f"lacks {missing!r:.80}"] if missing else []
        said += [f"has {more!r:.80}, which is not among them"] if more else []
        raise ValueError(f"{name} {' and '.join(said)}; the features are {names!r:.120}: give every sequence the same")
    if isinstance(item, Mapping) or isinstance(item, np.ndarray):
        return _stacked({label: item[label] for label in names}, name)
    if list(labels) == names:
        return item
    return item.select(names) if hasattr(item, "select") else item[names]


def _stacked(columns: Mapping[Any, Any], name: str) -> Array:
    arrays = {label: np.asarray(column) for label, column in columns.items()}
    first = next(iter(arrays))
    for label, array in arrays.items():
        if array.ndim != 1:
            raise ValueError(f"{name}[{label!r}] has {array.ndim} dimension(s); pass one value per step, (n_steps,)")
        if len(array) != len(arrays[first]):
            raise ValueError(
                f"{name}[{label!r}] has {len(array)} steps and {name}[{first!r}] has {len(arrays[first])}; give all "
                "features as many"
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
