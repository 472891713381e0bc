"""Arrays of numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Set
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

BLOCK = 1 << 16  # rows


def are_alike(items: Any) -> bool:
    """Whether this is a list of plain arrays of one kind, of as many axes, with rows of one shape.

    Long lists of short sequences are looked at once, and not array by array in all the ways that others are.
    """
    if not isinstance(items, (list, tuple)) or set(map(type, items)) != {np.ndarray}:
        return False
    first = items[0]
    kind, n_axes, shape = first.dtype.char, first.ndim, first.shape[1:]
    if not n_axes or kind in "OV":
        return False
    if n_axes == 1:
        return all(item.ndim == 1 and item.dtype.char == kind for item in items)
    return all(item.ndim == n_axes and item.dtype.char == kind and item.shape[1:] == shape for item in items)


def counts_of(items: Any) -> NDArray[np.intp]:
    """How many rows each has."""
    return np.fromiter(map(len, items), np.intp, len(items))


def check_length(name: str, values: Any, what: str) -> int:
    """Return how many items there are, or raise unless ``values`` has a length; ``what`` is what it ought to be."""
    try:
        return len(values)
    except TypeError as error:
        raise TypeError(f"{name} is of type {type(values).__name__}; pass {what}") from error


def blocks(n_rows: int) -> Iterator[slice]:
    """Slices of so many rows, of a size that temporary arrays of may have, whatever there is of them altogether."""
    for first in range(0, n_rows, BLOCK):
        yield slice(first, min(first + BLOCK, n_rows))


def in_lists(values: Any) -> Any:
    """Return a sequence of arrays, in whatever holds it, as a list of them; arrays of numbers and tables as they are.

    A deque, a column of a data set, and nested lists of pyarrow, polars or awkward are such; so are arrays of objects
    that are arrays, which is what a column of nested lists becomes in pandas.
    """
    if isinstance(values, memoryview):
        return np.asarray(values)
    if isinstance(values, np.ndarray):
        return [in_lists(item) for item in values] if _is_nested(values) else values
    if isinstance(values, (list, tuple)):
        if are_alike(values):
            return values
        return [in_lists(item) for item in values] if any(map(_may_be_nested, values)) else values
    if values is None or isinstance(values, (str, bytes, Mapping, Set)) or issparse(values) or _is_table(values):
        return values
    if hasattr(values, "__array__"):
        return _in_lists_by_its_own_method(values)
    is_sequence = isinstance(values, Collection) or (hasattr(values, "__len__") and hasattr(values, "__getitem__"))
    return in_lists(list(values)) if is_sequence else values


def _is_table(values: object) -> bool:
    return getattr(values, "ndim", 2) == 2 and any(hasattr(values, name) for name in ("columns", "column_names"))


def _is_nested(values: object) -> bool:
    """Whether this is an array of objects that are all arrays or lists."""
    if not (isinstance(values, np.ndarray) and values.dtype == object and values.ndim == 1 and len(values)):
        return False
    return all(hasattr(item, "__len__") and not isinstance(item, (str, bytes, Mapping, Set)) for item in values)


def _may_be_nested(item: object) -> bool:
    """Whether an item of a list may have to be read as lists itself."""
    if isinstance(item, np.ndarray):
        return _is_nested(item)
    return not isinstance(item, (list, tuple)) and (hasattr(item, "to_pylist") or hasattr(item, "to_list"))


def _in_lists_by_its_own_method(values: Any) -> Any:
    """The lists in what calls itself an array, and is none of numbers."""
    method = getattr(values, "to_pylist", None) or getattr(values, "to_list", None)
    if method is None:
        return values
    try:
        array = np.asarray(values)
    except ValueError:  # of awkward: its rows are of unequal lengths
        return method()
    if hasattr(values, "iloc"):  # of pandas, whose missing values and labels are looked at later
        return in_lists(array) if _is_nested(array) else values
    return method() if _is_nested(array) else array


def n_dimensions(name: str, values: Any) -> int:
    """Return how many dimensions an array-like has, or raise if its rows differ in length, it is sparse, or masked."""
    refuse_sparse(name, values)
    refuse_masked(name, values)
    try:
        return np.ndim(values)
    except ValueError as error:
        raise ValueError(
            f"{name} has rows of different lengths; give every step the same number of features"
        ) from error


def refuse_sparse(name: str, values: Any) -> None:
    """Raise an error for a sparse matrix, which is not converted: its user knows whether there is memory for that."""
    if issparse(values):
        raise TypeError(f"{name} is a sparse matrix; convert it with its toarray()")


def refuse_masked(name: str, values: Any) -> None:
    """Raise an error if some values are masked: a conversion to a plain array would take the values under the mask."""
    if np.ma.isMaskedArray(values) and np.ma.is_masked(values):
        raise ValueError(f"{name} is an array with masked values; fill them in, or leave them out")


OTHER_THAN_NUMBERS = (
    "make numbers of it, such as by pandas.get_dummies of categories, pandas.to_numeric(..., errors='coerce') of a "
    "column in which something else stands for missing values, decimal=',' in pandas.read_csv, or seconds since the "
    "first row of times"
)


def as_they_are(name: str, values: Any) -> Any:
    """Return real numbers of any kind in the array that they are in, or in a new one of float64, or raise."""
    if type(values) is np.ndarray and values.dtype.kind in "buif":
        return values
    return as_numbers(values, name, np.float64)


def as_numbers(values: Any, name: str, dtype: DTypeLike) -> Any:
    """Return an array of ``dtype``, or raise when the values are no real numbers."""
    refuse_sparse(name, values)
    refuse_masked(name, values)
    try:
        array = values if isinstance(values, np.ndarray) else np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} is not a rectangular array ({error}); give all its rows one length") from error
    if array.dtype.kind == "c":
        raise ValueError(
            f"Complex data not supported: {name} is {array.dtype}; pass its real and imaginary parts as features"
        )
    if array.dtype.kind not in "buifO":
        raise TypeError(f"{name} holds {array.dtype} values; pass numbers")
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.ascontiguousarray(array, dtype=dtype) if array.ndim else array.astype(dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"{name} holds values that are not numbers ({error}); pass numbers") from error
