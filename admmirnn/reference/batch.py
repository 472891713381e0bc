"""The twin of ``_kernels/batch.pyx``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from admmirnn.data.sequences import as_read

if TYPE_CHECKING:
    from admmirnn._typing import Array, DType, FloatArray, IntArray
    from admmirnn.data.sparse import SparseRows


class _Batch:
    """A minibatch, see `batch`."""

    observations: Array | SparseRows
    scale: float
    frame: int
    stride: int
    first_rows: IntArray | None
    lengths: IntArray
    offsets: IntArray
    n_rows: int

    def __init__(
        self,
        observations: Array | SparseRows,
        scale: float,
        first_rows: IntArray | None,
        lengths: IntArray,
        offsets: IntArray,
        frame: int,
        stride: int,
        standard: Array | None,
    ) -> None:
        self.observations, self.scale, self.frame, self.stride = observations, scale, frame, stride
        self.standard = standard
        self.first_rows, self.lengths, self.offsets = first_rows, lengths, offsets
        self.B, self.N, self.n_rows = len(lengths), len(offsets) - 2, int(offsets[-2])

    def frames(self, rows: IntArray) -> Array:
        """What is read of the observations in the frames that begin in these rows, each in a row."""
        found: Array = self.observations[rows[:, None] + np.arange(self.frame)].reshape(len(rows), -1)
        return found

    def as_read(self, rows: Array, dtype: DType) -> FloatArray:
        """Observations, several in a row where there are frames, as the network reads them."""
        return as_read(rows, dtype, self.scale, self.standard)


def batch(
    observations: Array | SparseRows,
    scale: float,
    first_rows: IntArray | None,
    lengths: IntArray,
    offsets: IntArray,
    frame: int = 1,
    stride: int = 1,
    standard: Array | None = None,
) -> _Batch:
    """Which sequences, longest first, and where their steps stand (see ``_kernels``).

    Step ``t`` of sequence ``i`` reads ``scale`` times ``frame`` rows of ``observations`` from row ``first_rows[i] +
    stride t`` on.  With ``standard`` (2, width), means and factors, and a scale of 1 it reads
    ``(observations - mean) * factor``, column by column and in their precision.  With ``first_rows`` None the
    observations are the S of another layer, and a step reads the state that that layer's same step has reached.

    Observations that are no array are sparse: an object with the attributes ``shape``; ``values``, the numbers that are
    not zero, row by row; ``columns`` (int32), where each stands, at most once in a row; and ``starts``, where the
    values of each row begin, and, last, how many there are.
    """
    return _Batch(observations, scale, first_rows, lengths, offsets, frame, stride, standard)
