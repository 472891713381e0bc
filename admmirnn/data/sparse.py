"""Observations most of which are zero: only the others are kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array, issparse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admmirnn._typing import Array, BoolArray, DType, IntArray

MOST_COLUMNS = np.iinfo(np.int32).max


@dataclass(frozen=True, eq=False)
class SparseRows:
    """Rows of which the numbers that are not zero are kept; what is indexed is returned as a dense array.

    Kernels write a row to where they read it from, and never have a dense copy of more than a minibatch.

    Attributes
    ----------
    values : ndarray of shape (n_values,)
        Numbers that are not zero, and perhaps some that are, one row after the other.
    columns : ndarray of shape (n_values,), int32
        Column of each of them: increasing, within a row.
    starts : ndarray of shape (n_rows + 1,), intp
        Where the values of each row begin; the last one is the number of values.
    n_columns : int
        Number of columns.
    """

    values: np.ndarray
    columns: np.ndarray
    starts: np.ndarray
    n_columns: int

    @classmethod
    def of(cls, matrices: Sequence[Any], values: Sequence[Array]) -> SparseRows | None:
        """The rows of CSR matrices of as many columns, with these values, or None if their indices are no such ones.

        That is so where a column is there twice in a row, columns are in no order, or a matrix is damaged.
        """
        for matrix in matrices:
            counts, n = matrix.indptr, len(matrix.indices)
            if np.ndim(matrix.data) != 1 or matrix.indices.dtype.kind != "i" or counts.dtype.kind != "i":
                return None
            if len(counts) != matrix.shape[0] + 1 or counts[0] != 0 or not counts[-1] <= n == len(matrix.data):
                return None
        n_columns = matrices[0].shape[1]
        starts = np.zeros(sum(matrix.shape[0] for matrix in matrices) + 1, np.intp)
        np.cumsum(np.concatenate([np.diff(matrix.indptr) for matrix in matrices]), out=starts[1:])
        columns = np.concatenate([matrix.indices[: matrix.indptr[-1]] for matrix in matrices])
        if not _are_indices(columns, starts, n_columns):
            return None
        ends = [int(matrix.indptr[-1]) for matrix in matrices]
        all_values = np.concatenate([some[:end] for some, end in zip(values, ends, strict=True)])
        return cls(all_values, columns.astype(np.int32, copy=False), starts, n_columns)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and of columns."""
        return len(self), self.n_columns

    @property
    def dtype(self) -> DType:
        """That of the values."""
        return self.values.dtype

    def __getitem__(self, rows: int | slice | IntArray | BoolArray | tuple[IntArray, int]) -> Array:
        """Some of the rows, as a dense array: of the shape of the index, with one axis more; or one column of them."""
        if isinstance(rows, tuple):
            return self._column(rows[1])[rows[0]]
        index = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else np.asarray(rows)
        index = np.flatnonzero(index) if index.dtype == bool else index
        at, counts = self._places(index.ravel())
        found = np.zeros((index.size, self.n_columns), self.dtype)
        found[np.repeat(np.arange(index.size), counts), self.columns[at]] = self.values[at]
        return found.reshape(*index.shape, self.n_columns)

    def _column(self, column: int) -> Array:
        found = np.zeros(len(self), self.dtype)
        at = np.flatnonzero(self.columns == column)
        found[np.searchsorted(self.starts, at, side="right") - 1] = self.values[at]
        return found

    def matrix(self, rows: IntArray, dtype: DType) -> csr_array:
        """Some of the rows, as a matrix of scipy."""
        at, counts = self._places(rows)
        ends = np.append(0, np.cumsum(counts))
        return csr_array((self.values[at].astype(dtype), self.columns[at], ends), shape=(len(rows), self.n_columns))

    def _places(self, rows: IntArray) -> tuple[IntArray, IntArray]:
        """Where the values of rows are, and how many there are of each."""
        counts = self.starts[rows + 1] - self.starts[rows]
        before = np.cumsum(counts) - counts
        return np.repeat(self.starts[rows] - before, counts) + np.arange(counts.sum()), counts


def _are_indices(columns: IntArray, starts: IntArray, n_columns: int) -> bool:
    """Whether columns are there, and increase from one value of a row to the next."""
    if (starts[1:] < starts[:-1]).any() or (len(columns) and not 0 <= columns.min() <= columns.max() < n_columns):
        return False
    increases = columns[1:] > columns[:-1]
    begins = starts[(starts > 0) & (starts < len(columns))]
    increases[begins - 1] = True
    return bool(increases.all())


def as_csr(matrix: Any, name: str) -> csr_array:
    """A copy of a sparse matrix, of whatever indices, whose columns increase; what is in one place is added up."""
    try:
        found = csr_array(matrix, copy=True)
        found.check_format(full_check=True)
    except ValueError as error:
        raise ValueError(f"{name} is a sparse matrix with wrong indices ({error}); build it anew") from error
    found.has_canonical_format = found.has_sorted_indices = False  # whatever was noted before indices were changed
    found.sum_duplicates()
    return found


def in_rows(matrix: Any, name: str) -> Any:
    """A sparse matrix in the format CSR; its indices are looked at before scipy, which does not, turns it into that."""
    if matrix.format == "csr":
        return matrix
    try:
        if matrix.format in ("csc", "bsr"):
            matrix = matrix.copy()
            matrix.check_format(full_check=True)
            return matrix.tocsr()
        matrix = matrix.tocoo()
        for places, size in zip((matrix.row, matrix.col), matrix.shape, strict=True):
            if np.shape(places) != np.shape(matrix.data) or not ((places >= 0) & (places < size)).all():
                raise ValueError("rows or columns that are not there")
        return matrix.tocsr()
    except (ValueError, IndexError) as error:
        raise ValueError(f"{name} is a sparse matrix with wrong indices ({error}); build it anew") from error


def as_dense(x: Any, name: str) -> Any:
    """A sparse matrix as an array, once its indices have been looked at, which scipy does not do; or x itself."""
    if not issparse(x):
        return x
    return (as_csr(in_rows(x, name), name) if x.ndim == 2 else x).toarray()
