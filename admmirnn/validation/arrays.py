"""Arrays of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse

if TYPE_CHECKING:
    from numpy.typing import DTypeLike


def n_dimensions(name: str, values: Any) -> int:
    """Return how many dimensions an array-like has, or raise if its rows differ in length, it is sparse, or masked."""
    if issparse(values):
        raise TypeError(f"{name} is a sparse matrix; convert it with its toarray()")
    refuse_masked(name, values)
    try:
        return np.ndim(values)
    except ValueError as error:
        raise ValueError(
            f"{name} has rows of different lengths; give every step the same number of features"
        ) from error


def refuse_masked(name: str, values: Any) -> None:
    """Raise if some values are masked: conversions to plain arrays would take what is below the mask."""
    if np.ma.isMaskedArray(values) and np.ma.is_masked(values):
        raise ValueError(f"{name} is an array with masked values; fill them in, or leave them out")


def as_numbers(values: Any, name: str, dtype: DTypeLike) -> Any:
    """Return an array of ``dtype``, or raise when the values are no real numbers."""
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
