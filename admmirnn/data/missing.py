"""Missing observations: how they are recognised, and what stands in their place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from admmirnn import validation

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from admmirnn._typing import Array, FloatArray
    from admmirnn.data.sequences import Sequences

_FEWEST_PADDED = 0.05  # of the sequences, that may well end in gaps by chance
WAYS = ("refuse", "forward", "indicator")


@dataclass(frozen=True)
class Gaps:
    """Treatment of missing values.

    Attributes
    ----------
    way : {"refuse", "forward", "indicator"}
        Treatment of missing values: refuse them; carry the last value on; or do that, and add one feature for each
        feature that says where it was missing.
    values : ndarray of shape (n_features,) or None
        Values that stand before the first value of each feature; None takes the means of those that are there.
    of_workers : callable or None
        Function that returns what all workers pass to it, where each of several workers has a part of the sequences;
        the means are those of all parts.
    """

    way: str = "refuse"
    values: NDArray[np.float64] | None = None
    of_workers: Callable[[Any], list[Any]] | None = None

    @property
    def n_columns(self) -> int:
        """Number of columns that the network reads for each feature."""
        return 2 if self.way == "indicator" else 1


def is_missing(value: Any) -> bool:
    """Whether this is None, NaN or NaT, which are not equal to themselves, or pandas.NA, which does not say."""
    is_itself = value == value
    return value is None or not (isinstance(is_itself, (bool, np.bool_)) and is_itself)


def nan_for_missing(values: Any) -> Any:
    """Values with NaN in the place of None, pandas.NA and NaT; as they are if there are no such."""
    if np.ma.isMaskedArray(values):  # which others refuse, or fill in, first
        return values
    array = values if isinstance(values, np.ndarray) else np.asarray(values)
    if array.dtype != object:
        return values
    mask = np.fromiter((np.ndim(value) == 0 and is_missing(value) for value in array.flat), bool, array.size)
    if not mask.any():
        return values
    found = array.copy()
    found[mask.reshape(array.shape)] = np.nan
    return found


def without_masks(X: Any) -> Any:
    """Arrays, or a list of them, with NaN in the place of masked values."""
    if isinstance(X, (list, tuple)) and any(np.ma.isMaskedArray(item) for item in X):
        return [without_masks(item) if np.ma.isMaskedArray(item) else item for item in X]
    if not np.ma.isMaskedArray(X):
        return X
    masked: Any = X
    dtype = np.result_type(masked.dtype, np.float32)
    return masked.astype(dtype).filled(np.nan) if np.ma.is_masked(masked) else masked.data


def filled(sequences: Sequences, gaps: Gaps) -> tuple[Sequences, Gaps]:
    """Sequences whose missing values are filled in as `Gaps` says, and the values that were used for it.

    Parameters
    ----------
    sequences : Sequences
        Sequences without frames, one after the other.  Their observations are not changed; the result has the same
        array if nothing is missing and no features are added.
    gaps : Gaps
        Treatment of missing values, other than "refuse".
    """
    X = sequences.observations
    assert isinstance(X, np.ndarray)  # sparse ones have been refused
    there = ~np.isnan(X)
    _warn_of_padding(sequences, there)
    values = means_of(X, there, gaps.of_workers) if gaps.values is None else gaps.values
    if there.all() and gaps.way == "forward":
        return sequences, replace(gaps, values=values)
    dtype = X.dtype if X.dtype.kind == "f" else np.dtype(np.float64)
    found = np.empty((len(X), gaps.n_columns * X.shape[1]), dtype)
    first_rows = np.repeat(sequences.first_rows, sequences.lengths)
    found[:, : X.shape[1]] = _last_ones(X, there, first_rows, values)
    if gaps.n_columns > 1:
        found[:, X.shape[1] :] = ~there
    return replace(sequences, observations=found), replace(gaps, values=values)


def _warn_of_padding(sequences: Sequences, there: Array) -> None:
    """Warn if some sequences end in several steps of which nothing is there, as padded ones do."""
    any_there, n = there.any(axis=1), sequences.lengths
    last = np.maximum.reduceat(np.where(any_there, np.arange(len(there)), -1), sequences.first_rows)
    n_after = np.minimum(sequences.first_rows + n - 1 - last, n)
    n_padded, elsewhere = int((n_after > 1).sum()), len(there) - any_there.sum() - n_after.sum()
    if n_padded > max(1, _FEWEST_PADDED * len(sequences)) and elsewhere < n_after.sum():
        validation.warn(
            f"X: {n_padded} of {len(sequences)} sequences end in steps of which nothing is there, into which the last "
            "values are carried on: if these are padding, pass admmirnn.preprocessing.cut_padding(X), a list of arrays "
            "without them"
        )


def means_of(X: Array, there: Array, of_workers: Callable[[Any], list[Any]] | None = None) -> NDArray[np.float64]:
    """Means of the values of each column that are not missing, over all workers together."""
    n, total = there.sum(axis=0), np.where(there, X, 0).sum(axis=0, dtype=np.float64)
    if of_workers is not None:
        found = [one for one in of_workers((n, total)) if one is not None]
        if len({len(n) for n, _ in found}) > 1:
            raise ValueError(
                f"X has {len(n)} features on one rank and another number on others; pass the same features on all ranks"
            )
        n, total = np.sum([n for n, _ in found], axis=0), np.sum([total for _, total in found], axis=0)
    if not n.all():
        j = int(np.flatnonzero(n == 0)[0])
        raise ValueError(f"X has no value of feature {j}, which is missing everywhere; leave that feature out")
    means: NDArray[np.float64] = total / n
    return means


def _last_ones(X: Array, there: Array, first_rows: Array, values: Array) -> Array:
    """Of each column the last value that is there, from the first row of its sequence on, or else ``values``."""
    rows = np.where(there, np.arange(len(X))[:, None], -1)
    np.maximum.accumulate(rows, axis=0, out=rows)
    found: Array = np.where(rows >= first_rows[:, None], np.take_along_axis(X, np.maximum(rows, 0), axis=0), values)
    return found


def carried_on(X: Array, last: FloatArray, n_columns: int) -> tuple[Array, NDArray[np.float64]]:
    """Observations of streams, (n_streams, n_steps, n_features), without gaps, and the last values of all.

    ``last`` (n_streams, n_features) are those before.
    """
    X = np.concatenate([last[:, None], X], axis=1)
    there = ~np.isnan(X)
    rows = np.where(there, np.arange(X.shape[1])[:, None], 0)
    np.maximum.accumulate(rows, axis=1, out=rows)
    found = np.take_along_axis(X, rows, axis=1)
    parts = [found[:, 1:], (~there)[:, 1:].astype(found.dtype)]
    return np.ascontiguousarray(np.concatenate(parts[:n_columns], axis=2)), found[:, -1]
