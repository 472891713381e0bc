"""Labels of every type that can be sorted, as arrays that keep the type; what is missing or mixed is refused."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from admmirnn import validation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from admmirnn._typing import Array, BoolArray, IntArray


_MANY = 1 << 20  # labels of which numbers of eight bytes would take much
PLAIN_KINDS = "biufSUmM"  # kinds of dtypes that hold labels as they are


def as_labels(values: Any, name: str = "y", ignore_label: Any = None) -> Array:
    """Return labels of one axis as an array that makes nothing else of them, as numpy makes strings of numbers.

    Parameters
    ----------
    values : array-like of shape (n,) or (n, 1)
        Labels of any type: a list, an array of numpy, or a column of pandas, polars or pyarrow.
    name : str
        Name of the argument, for messages.
    ignore_label : label or None
        Value that may stand among labels of another type.

    Returns
    -------
    ndarray of shape (n,)
        Labels; an array of objects if some are missing, which are left as they are.

    Raises
    ------
    ValueError, TypeError
        If the labels have more axes, or are of several types.
    """
    if type(values) is np.ndarray and values.ndim == 1 and values.dtype.kind in PLAIN_KINDS:
        return values
    validation.refuse_masked(name, values)
    if getattr(values, "ndim", 1) == 2 and hasattr(values, "iloc") and values.shape[1] == 1:
        column_or_1d(np.zeros(values.shape), warn=True)  # which says that one axis is due
        values = values.iloc[:, 0]
    if hasattr(values, "isna") and not isinstance(getattr(values, "dtype", None), np.dtype):
        return _of_pandas(values)
    if isinstance(values, np.ndarray) and values.dtype.kind == "T":  # StringDType, which sorts in no older numpy
        values = values.astype(object)
    if not isinstance(values, (list, tuple)):
        array: Array = column_or_1d(values, warn=True)
        if array.dtype.kind == "V":
            raise TypeError(f"{name} holds records with the fields {array.dtype.names}; pass one of them")
        if array.dtype != object:
            return array
        values = array
    return _of_objects(values, name, ignore_label)


def _of_pandas(values: Any) -> Array:
    missing = np.asarray(values.isna())
    plain = getattr(values.dtype, "numpy_dtype", None)
    found: Array
    if missing.any():
        found = np.array(list(values), dtype=object)
        found[missing] = None
    elif isinstance(plain, np.dtype) and plain.kind in "biuf":
        found = np.asarray(values.to_numpy(dtype=plain))
    else:
        found = np.asarray(values)
    return found


def _of_objects(values: Any, name: str, ignore_label: Any) -> Array:
    """Labels that are objects of Python, all of one type but those that are missing or ignored."""
    kinds: dict[type, str | None] = {}
    first = None
    for i, label in enumerate(values):
        kind = kinds.get(type(label), "")
        if kind == "":
            kind = kinds[type(label)] = _kind(label)
        if kind is None or (kind == "number" and is_missing(label)) or _is_ignored(label, ignore_label):
            continue
        if first is None:
            first = i, kind
        elif kind != first[1]:
            raise TypeError(
                f"{name}[{i}] is {label!r:.40} of type {type(label).__name__}, and {name}[{first[0]}] is "
                f"{values[first[0]]!r:.40} of type {type(values[first[0]]).__name__}: labels that cannot be sorted; "
                "make them all one type"
            )
    are_missing = any(kind is None for kind in kinds.values()) or any(map(is_missing, values))
    of_one_type = first is None or all(_kind(label) == first[1] for label in (ignore_label,) if label is not None)
    array = None if are_missing or not of_one_type or isinstance(values, np.ndarray) else np.asarray(values)
    if array is not None and array.dtype.kind == "f" and all(issubclass(kind, numbers.Integral) for kind in kinds):
        array = None  # integers that numpy has rounded, as one of them is 2**63 or more
    if array is not None and array.ndim == 1:
        return array
    found = np.empty(len(values), object)
    found[:] = list(values)
    return found


def _kind(label: Any) -> str | None:
    """What labels can be compared with; None of those that are missing."""
    if label is None or (not isinstance(label, numbers.Number) and is_missing(label)):
        return None
    if isinstance(label, (bool, np.bool_)):
        return "bool"
    if isinstance(label, numbers.Number):
        return "number"
    return next(base.__name__ for base in (str, bytes, type(label)) if isinstance(label, base))


def _is_ignored(label: Any, ignore_label: Any) -> bool:
    return ignore_label is not None and not is_missing(label) and bool(label == ignore_label)


def is_missing(label: Any) -> bool:
    """Whether this is None, NaN or NaT, which are not equal to themselves, or pandas.NA, which does not say."""
    if label is None:
        return True
    is_itself = label == label
    return not (isinstance(is_itself, (bool, np.bool_)) and is_itself)


def check_one_label(ignore_label: Any) -> None:
    """Raise unless this is a single label, or None."""
    if np.ndim(ignore_label):
        raise TypeError(f"ignore_label is {ignore_label!r}; pass one label, or None")


def differs(labels: Iterable[Any], ignore_label: Any) -> BoolArray:
    """Which labels are not ``ignore_label``, which may be NaN."""
    check_one_label(ignore_label)
    if is_missing(ignore_label):
        return np.array([not is_missing(label) for label in labels], dtype=bool)
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "biu" and isinstance(ignore_label, (int, np.integer)):
        return np.asarray(labels != ignore_label)
    return np.array([is_missing(label) or not (label == ignore_label) for label in labels], dtype=bool)


def check_label_column(y: Array, where: Callable[[int], str], remedy: str = "leave it out") -> tuple[Array, IntArray]:
    """Return the sorted labels, and the place of each among them; ``where`` says of an index what it is of."""
    if y.dtype.kind == "f":
        finite = np.isfinite(y)
    elif y.dtype.kind in "mM":
        finite = ~np.isnat(y)
    elif y.dtype.kind == "O":
        finite = np.array([not is_missing(label) for label in y], dtype=bool)
    else:
        finite = np.ones(len(y), bool)
    if not finite.all():
        i = int(np.flatnonzero(~finite)[0])
        found = "NaN or infinity" if y.dtype.kind == "f" else f"NaN or a missing label, {y[i]!r}"
        raise ValueError(f"Input y contains {found}, first at {where(i)}; {remedy}")
    if y.dtype.kind in "fc":
        check_classification_targets(y)
    by_table = _small_integers(y) if y.dtype.kind in "biu" and len(y) else None
    if by_table is not None:
        return by_table
    try:
        known, places = np.unique(y, return_inverse=True)
        if known.dtype == object and not all(one < other for one, other in zip(known[:-1], known[1:], strict=True)):
            raise TypeError("of some of them neither is less than the other")  # as of sets
    except TypeError as error:
        raise TypeError(
            f"y holds labels that cannot be sorted ({error}), such as {y[0]!r:.40}; pass numbers or strings"
        ) from error
    return known, places


def _small_integers(y: Array) -> tuple[Array, IntArray] | None:
    """As np.unique, by a table instead of sorting: None if there are too many different ones for that."""
    least, most = int(y.min()), int(y.max())
    if most - least > max(len(y), 1 << 10):
        return None
    is_there = np.zeros(most - least + 1, bool)
    for rows in validation.blocks(len(y)):
        is_there[_above(y[rows], least)] = True
    values = np.flatnonzero(is_there)
    place_of = np.cumsum(is_there) - 1
    places = np.empty(len(y), np.intp if len(y) < _MANY else np.min_scalar_type(len(values)))
    for rows in validation.blocks(len(y)):
        places[rows] = place_of[_above(y[rows], least)]
    return (values.astype(y.dtype) + y.min() if y.dtype.kind == "u" else (values + least).astype(y.dtype)), places


def _above(y: Array, least: int) -> IntArray:
    """Integers minus the least of all; unsigned ones may be beyond the others."""
    return (y - y.dtype.type(least)).astype(np.intp) if y.dtype.kind == "u" else y.astype(np.intp) - least


def check_comparable(labels: Array, classes: Array, *, strict: bool = False) -> None:
    """Raise unless labels may be among the classes: numbers among numbers, strings among strings.

    Booleans may be among numbers, unless ``strict``.
    """
    if not len(labels) or not len(classes) or labels.dtype == classes.dtype != object:
        return
    found, known = (_kind(array[0]) for array in (labels, classes))
    if not strict and {found, known} == {"bool", "number"}:
        return
    if found is not None and found != known and "O" not in (labels.dtype.kind, classes.dtype.kind):
        raise TypeError(
            f"y has labels like {labels[0]!r:.40}, and others are like {classes[0]!r:.40}; pass labels of one type, "
            "that of fit"
        )
