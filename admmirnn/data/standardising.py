"""Means and deviations of features, over the observations that a network is trained with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from admmirnn.data.sparse import SparseRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from admmirnn._typing import Array, BoolArray, DType, IntArray
    from admmirnn.data.sequences import Sequences

_NUMBERS_AT_A_TIME = 1 << 16  # which stay in the cache from one pass over them to the next
_WIDTH = 256  # numbers: numpy goes along shorter rows slowly
_VALUES_AT_A_TIME = 1 << 21  # of sparse rows, which are copied


@dataclass(frozen=True)
class Moments:
    """What features are like: arrays of shape (n_channels,).

    Attributes
    ----------
    mean, deviation : ndarray
        Means and standard deviations of the features; a deviation is zero where a feature is constant.
    least, largest : ndarray
        Least and largest value of each feature.
    n : int
        Number of observations that they have been computed from.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    least: NDArray[np.float64]
    largest: NDArray[np.float64]
    n: int = 0

    @property
    def factor(self) -> NDArray[np.float64]:
        """What differences from the mean are multiplied by, for the deviation 1; it is 1 of constant features."""
        return 1 / np.where(self.deviation > 0, self.deviation, 1.0)

    @property
    def is_usual(self) -> BoolArray:
        """Where features are standardised already, but for a factor of 2, or brought into [0, 1], or constant."""
        is_standard = (np.abs(self.mean) <= 1) & (self.deviation >= 0.5) & (self.deviation <= 2)
        is_share = (self.least >= 0) & (self.largest <= 1) & (self.largest - self.least >= 0.5)
        is_constant = (self.deviation == 0) & (np.abs(self.mean) <= 2)
        found: BoolArray = is_standard | is_share | is_constant
        return found


def moments(pieces: Iterable[Array]) -> Moments:
    """Those of all rows of some arrays of as many columns, read one after the other."""
    with np.errstate(over="ignore", invalid="ignore"):  # of values that `check_spread` refuses
        return _moments(pieces)


def _moments(pieces: Iterable[Array]) -> Moments:
    n = 0
    for piece in pieces:
        if not len(piece):
            continue
        rows = piece.astype(np.float64)
        least, largest = over_rows(np.minimum, rows), over_rows(np.maximum, rows)
        mean = np.full(len(rows), 1 / len(rows)) @ rows
        rows -= mean
        rows *= rows
        squares = over_rows(np.add, rows)
        if not n:
            n, of_all, total, bounds = len(rows), mean, squares, (least, largest)
            continue
        n += len(rows)  # T. F. Chan, G. H. Golub, R. J. LeVeque, 1979
        further, share = mean - of_all, len(rows) / n
        of_all = of_all + share * further
        total = total + squares + further * further * (n - len(rows)) * share
        bounds = np.minimum(bounds[0], least), np.maximum(bounds[1], largest)
    least, largest = bounds
    is_constant = least == largest
    deviation = np.where(is_constant, 0.0, np.sqrt(total / n))
    return Moments(np.where(is_constant, least, of_all), deviation, least, largest, n)


def moments_of_sparse(rows: SparseRows, firsts: IntArray, ends: IntArray) -> Moments:
    """Those of the rows from each of ``firsts`` to the end beside it, which are not made dense."""
    from sklearn.utils.sparsefuncs import mean_variance_axis, min_max_axis  # here: they are slow to import

    lengths = ends - firsts
    in_use = np.repeat(firsts - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
    n_at_a_time = max(1, len(rows) * _VALUES_AT_A_TIME // max(len(rows.values), 1))
    of_all: list[Moments] = []
    with np.errstate(over="ignore", invalid="ignore"):  # as in `moments`
        for first in range(0, len(in_use), n_at_a_time):
            matrix = rows.matrix(in_use[first : first + n_at_a_time], np.dtype(np.float64))
            mean, variance = mean_variance_axis(matrix, axis=0)
            least, largest = min_max_axis(matrix, axis=0)
            is_constant = least == largest
            deviation = np.where(is_constant, 0.0, np.sqrt(variance))
            part = Moments(np.where(is_constant, least, mean), deviation, least, largest, matrix.shape[0])
            of_all = [joined([*of_all, part])]
    return of_all[0]


def over_rows(reduce: np.ufunc, rows: Array) -> Array:
    """The ufunc's reduction over the rows of a C-contiguous array, taken of several rows side by side first."""
    n, n_columns = rows.shape
    n_beside = max(1, min(n, _WIDTH // max(n_columns, 1)))
    n_whole = n - n % n_beside
    wide = reduce.reduce(rows[:n_whole].reshape(-1, n_beside * n_columns), axis=0)
    parts = wide.reshape(n_beside, n_columns), rows[n_whole:]
    found: Array = reduce.reduce(np.concatenate(parts), axis=0)
    return found


def joined(parts: Sequence[Moments]) -> Moments:
    """Those of the rows of all parts."""
    if len(parts) == 1:
        return parts[0]
    n, means = np.array([part.n for part in parts]), np.array([part.mean for part in parts])
    least = np.min([part.least for part in parts], axis=0)
    largest = np.max([part.largest for part in parts], axis=0)
    is_constant, mean = least == largest, n @ means / n.sum()
    variance = n @ (np.array([part.deviation for part in parts]) ** 2 + (means - mean) ** 2) / n.sum()
    deviation = np.where(is_constant, 0.0, np.sqrt(variance))
    return Moments(np.where(is_constant, least, mean), deviation, least, largest, int(n.sum()))


def moments_of(sequences: Sequences, of_workers: Callable[[Any], list[Any]] | None = None) -> Moments:
    """Those of all observations that some step reads; the arguments are as in `standard_of`."""
    own = None
    if len(sequences) and isinstance(sequences.observations, SparseRows):
        own = moments_of_sparse(sequences.observations, *sequences.spans())
    elif len(sequences):
        own = moments(sequences.rows_in_use(_NUMBERS_AT_A_TIME))
    with np.errstate(over="ignore", invalid="ignore"):
        return joined([part for part in ([own] if of_workers is None else of_workers(own)) if part is not None])


def standard_of(
    sequences: Sequences, of_workers: Callable[[Any], list[Any]] | None = None, *, only_where_needed: bool
) -> NDArray[np.float64] | None:
    """Means and factors, (2, n_channels), that give features the mean 0 and the deviation 1, or None.

    Parameters
    ----------
    sequences : Sequences
        Training set, or one worker's part of it.
    of_workers : callable, optional
        Function that returns what all workers pass to it.
    only_where_needed : bool
        Whether features of a usual size stay as they are, with a mean of 0 and a factor of 1; None is returned if all
        do.

    Raises
    ------
    ValueError
        If the values of a feature are too far apart.
    """
    found = moments_of(sequences, of_workers)
    check_spread(found, sequences.observations.dtype)
    standard = np.stack([found.mean, found.factor])
    if only_where_needed:
        standard[:, found.is_usual] = [[0.0], [1.0]]
    return None if only_where_needed and found.is_usual.all() else standard


def check_spread(found: Moments, dtype: DType) -> None:
    """Raise if values of a feature are so far apart that they cannot be standardised; the dtype is theirs."""
    most = np.finfo(dtype if dtype.kind == "f" else np.float64).max
    with np.errstate(over="ignore", invalid="ignore"):
        are_near = np.maximum(found.largest - found.mean, found.mean - found.least) < most
        are_near &= np.isfinite(found.deviation)
    if not are_near.all():
        j = int(np.flatnonzero(~are_near)[0])
        raise ValueError(
            f"X has values from {found.least[j]:g} to {found.largest[j]:g} of feature {j}, too far apart to be "
            f"standardised in {dtype}; rescale it"
        )
