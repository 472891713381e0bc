"""How a matrix of weights is kept in C: in full, without its zeros, or as a product of two narrow ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import DTypeLike


@dataclass(frozen=True)
class Dense:
    """All entries, row by row."""

    matrix: np.ndarray

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The constants by what is behind their common name."""
        return {"": self.matrix}


@dataclass(frozen=True)
class Sparse:
    """The entries that are not zero, row by row, the column of each, and how many each row has."""

    values: np.ndarray
    columns: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, matrix: np.ndarray, index: DTypeLike) -> Sparse:
        """Of a matrix whose columns are counted by numbers of the dtype ``index``."""
        rows, columns = np.nonzero(matrix)
        counts = np.bincount(rows, minlength=len(matrix)).astype(np.uint16)
        return cls(matrix[rows, columns], columns.astype(index), counts)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """As those of `Dense`."""
        return {"": self.values, "_columns": self.columns, "_counts": self.counts}


@dataclass(frozen=True)
class Factors:
    """``left @ right``, of a low rank."""

    left: np.ndarray
    right: np.ndarray

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """As those of `Dense`."""
        return {"_left": self.left, "_right": self.right}


Storage: TypeAlias = Dense | Sparse | Factors


def index_dtype(matrices: Iterable[np.ndarray]) -> DTypeLike:
    """The dtype that numbers of columns of all these matrices fit in."""
    return np.uint8 if max(matrix.shape[1] for matrix in matrices) <= 256 else np.uint16


def smallest(matrix: np.ndarray, index: DTypeLike, *, with_factors: bool) -> Storage:
    """The form of a matrix that takes the fewest bytes, and of those that take as many the simplest one.

    ``index`` is the dtype of the numbers of columns; ``with_factors`` says whether it may be `Factors`.
    """
    found: list[Storage] = [Dense(matrix)]
    if matrix.any() and matrix.shape[1] <= np.iinfo(np.uint16).max:
        found.append(Sparse.of(matrix, index))
    if with_factors and min(matrix.shape) > 1:
        found += _factors(matrix)
    return min(found, key=n_bytes)


def n_bytes(storage: Storage) -> int:
    """Bytes of its constants."""
    return sum(array.nbytes for array in storage.arrays.values())


def _factors(matrix: np.ndarray) -> list[Storage]:
    P, singular, Q = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    rank = int((singular > singular[0] * max(matrix.shape) * np.finfo(matrix.dtype).eps).sum())
    if not 0 < rank * sum(matrix.shape) < matrix.size:
        return []
    root = np.sqrt(singular[:rank])  # of both factors about as large entries
    return [Factors((P[:, :rank] * root).astype(matrix.dtype), (root[:, None] * Q[:rank]).astype(matrix.dtype))]
