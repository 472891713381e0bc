"""Sequences of unequal lengths as rows of one array, frames of such rows, and their minibatches."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike

    from admmirnn._typing import Array, DType, FloatArray, IntArray
    from admmirnn.data.sparse import SparseRows

# what the kernels read as it is: floating-point numbers and short integers, in the machine's own order
OBSERVATION_DTYPES = tuple(np.dtype(name) for name in ("f4", "f8", "u1", "i1", "u2", "i2"))
_MOST_MAPPED = 1 << 26  # bytes of a memory-mapped file that are kept in memory
_MAPPED_AROUND = 1 << 21  # bytes that the system may map with the first one that is read anywhere

T = TypeVar("T")


class _Lazy(Generic[T]):
    """An attribute that is computed when it is first asked for; by two threads at once perhaps twice, to be kept once.

    That of functools has a lock before Python 3.12, one for all objects: in a process that has been forked while
    another thread held it, nobody would ever give it back.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute, self.__doc__ = compute, compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type | None = None) -> T:
        found: T = instance.__dict__.setdefault(self._name, self._compute(instance))
        return found


@dataclass(frozen=True)
class Sequences:
    """The observations of all sequences, one row per observation, one sequence after the other.

    A step reads one observation, or, with frames, ``frame`` consecutive ones as one vector, and the next step those
    ``stride`` rows further on: nothing is copied for it.

    Attributes
    ----------
    observations : ndarray or SparseRows of shape (total number of observations, n_channels)
        Observations of all sequences, one row each: floating-point numbers, or integers of 8 or 16 bits, which stay
        integers until their minibatch is made.  Of sparse ones, what is indexed is a dense array.
    first_rows : ndarray of shape (n_sequences,), intp
        Rows where the sequences begin.  Step ``t`` of sequence ``i`` reads ``scale * observations[k : k + frame]``, ``k
        = first_rows[i] + stride * t``.  Where sequences are read from their ends, these are the rows that the last
        steps read, and the stride is negative.
    lengths : ndarray of shape (n_sequences,), intp
        Numbers of steps of the sequences.
    scale : float
        Factor by which observations are multiplied.
    standard : ndarray of shape (2, n_channels) or None
        Means and factors, with a scale of 1: the network reads ``(observation - mean) * factor``, made minibatch by
        minibatch.
    frame, stride : int
        Number of observations that a step reads, and number of observations from the start of one step to that of the
        next.
    n_symbols : int
        Number of symbols, or 0 for numbers.  If it is not 0, an observation is the code of a symbol, from 0 to
        ``n_symbols - 1``, in one column of uint8 or uint16, and stands for a row of the unit matrix, which is never
        made.  A step reads one symbol.
    """

    observations: np.ndarray | SparseRows
    first_rows: np.ndarray
    lengths: np.ndarray
    scale: float = 1.0
    frame: int = 1
    stride: int = 1
    standard: np.ndarray | None = None
    n_symbols: int = 0

    @classmethod
    def of_lengths(
        cls, observations: Array | SparseRows, lengths: ArrayLike, scale: float = 1.0, standard: Array | None = None
    ) -> Sequences:
        """Sequences of so many observations that follow one another without gaps."""
        lengths = np.asarray(lengths, dtype=np.intp)
        return cls(observations, np.cumsum(lengths) - lengths, lengths, scale, standard=standard)

    def framed(self, frame: int, stride: int) -> Sequences:
        """The same sequences, of one observation a step, in frames of which the last one ends with the sequence.

        Parameters
        ----------
        frame, stride : int
            Length of a frame and distance between frames, as in the attributes; no sequence has fewer than ``frame``
            observations.  The first observations, fewer than ``stride``, may belong to no frame.
        """
        n_steps = (self.lengths - frame) // stride + 1
        left_over = self.lengths - frame - (n_steps - 1) * stride
        return replace(self, first_rows=self.first_rows + left_over, lengths=n_steps, frame=frame, stride=stride)

    def reversed(self) -> Sequences:
        """The same sequences, read from their ends; observations within a frame keep their order."""
        return replace(self, first_rows=self.first_rows + self.stride * (self.lengths - 1), stride=-self.stride)

    def in_chunks(
        self, chunk_size: int, n_streams: int | None = None, extent: tuple[int, int] | None = None
    ) -> Streams:
        """Cut the sequences into chunks of at most so many steps.

        Parameters
        ----------
        chunk_size : int
            Number of steps of a chunk; the last chunk of a stream may have fewer.
        n_streams : int or None, default=None
            Approximate number of streams to read side by side: sequences are cut into streams of no more than their
            share of all steps.  None leaves every sequence one stream.
        extent : tuple of int, optional
            Numbers of steps of the longest sequence, and of all together, if other workers have more sequences than
            these; sequences are then cut as if all were here.

        Returns
        -------
        Streams
            Streams, whose steps follow one another as those of the sequences do.
        """
        longest, total = (int(self.lengths.max()), int(self.lengths.sum())) if extent is None else extent
        chunk_size = min(chunk_size, longest)
        if n_streams is not None:
            share = -(-total // n_streams)
            longest = -(-share // chunk_size) * chunk_size
        of_streams, steps_before = _cut(self.lengths, longest)
        sequence_of = np.repeat(np.arange(len(self)), -(-self.lengths // longest))
        of_chunks, steps_before_chunk = _cut(of_streams, chunk_size)
        n_chunks = -(-of_streams // chunk_size)
        stream_of = np.repeat(np.arange(len(of_streams)), n_chunks)
        first_rows = (self.first_rows[sequence_of] + self.stride * steps_before)[stream_of]
        chunks = replace(self, first_rows=first_rows + self.stride * steps_before_chunk, lengths=of_chunks)
        follows = np.where(steps_before > 0, np.arange(len(of_streams)) - 1, -1)
        return Streams(chunks, np.cumsum(n_chunks) - n_chunks, n_chunks, follows)

    def __getstate__(self) -> dict[str, Any]:
        """The attributes alone: what is computed when it is asked for may be bound to this process, as a mapping is."""
        return {of.name: getattr(self, of.name) for of in fields(self)}

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def n_features(self) -> int:
        """Numbers that a step reads; of symbols, how many of them there are."""
        return self.n_symbols or self.frame * self.observations.shape[1]

    @property
    def first_steps(self) -> IntArray:
        """Where the steps of each sequence start among those of all sequences, one sequence after the other."""
        found: IntArray = np.cumsum(self.lengths) - self.lengths
        return found

    def as_read(self, rows: Array, dtype: DType) -> FloatArray:
        """Some of the observations as the network reads them."""
        with np.errstate(over="ignore", invalid="ignore"):
            return as_read(rows, dtype, self.scale, self.standard_in(dtype))

    def standard_in(self, dtype: DType) -> Array | None:
        """Return means and factors of the features, in the precision in which networks of this dtype standardise."""
        if self.standard is None or self.observations.dtype == np.float64:
            return self.standard
        return self.standard.astype(dtype)

    @property
    def n_numbers(self) -> int:
        """How many numbers of observations are kept: of sparse ones, those that are not zero."""
        kept = self.observations if isinstance(self.observations, np.ndarray) else self.observations.values
        return kept.size

    def pieces(self, n_numbers: int) -> Iterator[tuple[int, Array]]:
        """Yield the observations, some rows of at most about ``n_numbers`` at a time, with the first one's number."""
        n_rows = max(1, n_numbers // self.observations.shape[1])
        for first in range(0, len(self.observations), n_rows):
            if self._mapped_file is not None:
                self._mapped_file.will_read(n_rows * self.observations[:1].nbytes)
            yield first, self.observations[first : first + n_rows]

    def every(self, stride: int, n_numbers: int) -> Iterator[Array]:
        """Yield the observations 0, stride, 2 stride, ..., some at a time, as `pieces`."""
        if isinstance(self.observations, np.ndarray):
            for first, piece in self.pieces(n_numbers):
                yield piece[-first % stride :: stride]
            return
        rows, n_rows = np.arange(0, len(self.observations), stride), max(1, n_numbers // self.observations.shape[1])
        for first in range(0, len(rows), n_rows):
            yield self.observations[rows[first : first + n_rows]]

    def rows_in_use(self, n_numbers: int) -> Iterator[Array]:
        """Yield the observations that some step reads, as `pieces`."""
        starts, ends = self.spans()
        for first, piece in self.pieces(n_numbers):
            last = first + len(piece)
            inside = slice(np.searchsorted(ends, first, "right"), np.searchsorted(starts, last, "left"))
            change = np.zeros(len(piece) + 1, np.intp)
            change[np.maximum(starts[inside] - first, 0)] += 1
            change[np.minimum(ends[inside] - first, len(piece))] -= 1
            is_in_use = np.cumsum(change[:-1]) > 0
            yield piece if is_in_use.all() else piece[is_in_use]

    def spans(self) -> tuple[IntArray, IntArray]:
        """First rows, and those after the last ones, of the runs of observations that steps read."""
        reach = self.stride * (self.lengths - 1)
        starts = self.first_rows + np.minimum(reach, 0)
        by_start = np.argsort(starts, kind="stable")
        starts = starts[by_start]
        ends = np.maximum.accumulate((self.first_rows + np.maximum(reach, 0) + self.frame)[by_start])
        begins = np.append(True, starts[1:] > ends[:-1])
        return starts[begins], ends[np.append(begins[1:], True)]

    @_Lazy
    def _mapped_file(self) -> _MappedFile | None:
        """The memory-mapped file in which the observations are, or None."""
        array: object = self.observations
        while isinstance(array, np.ndarray):
            private = getattr(array, "mode", "c") == "c"  # its changes would be lost with the pages
            if isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap):
                return None if private or not hasattr(mmap, "MADV_DONTNEED") else _MappedFile(array.base)
            array = array.base
        return None

    @_Lazy
    def _one_length(self) -> bool:
        """Whether all sequences have the same number of steps."""
        return bool((self.lengths == self.lengths[:1]).all())

    def _of_one_length(self, n_sequences: int) -> tuple[IntArray, IntArray]:
        """Lengths and offsets of a minibatch, where all sequences have the same number of steps."""
        known = self._minibatches_of_one_length
        if n_sequences not in known:
            lengths = self.lengths[:1].repeat(n_sequences)
            known[n_sequences] = lengths, np.arange(int(lengths[0]) + 2) * n_sequences
        return known[n_sequences]

    @_Lazy
    def _minibatches_of_one_length(self) -> dict[int, tuple[IntArray, IntArray]]:
        return {}

    def most_rows(self, n_sequences: int) -> int:
        """The largest number of steps that ``n_sequences`` of the sequences have together."""
        return int(np.sort(self.lengths)[-n_sequences:].sum())

    def minibatch(self, indices: IntArray, left_out: tuple[IntArray, IntArray] | None = None) -> Minibatch:
        """Return the `Minibatch` of the sequences with these indices.

        ``left_out`` says how many steps of each are not read, of those at its beginning and of those at its end.
        """
        first_rows = self.first_rows[indices]
        if left_out is None and self._one_length:
            return self._minibatch(indices, first_rows, *self._of_one_length(len(indices)))
        lengths = self.lengths[indices]
        if left_out is not None:
            first_rows, lengths = first_rows + self.stride * left_out[0], lengths - left_out[0] - left_out[1]
        shortest, longest = int(lengths.min()), int(lengths.max())
        if shortest < longest:
            by_length = np.argsort(-lengths, kind="stable")
            indices, first_rows, lengths = indices[by_length], first_rows[by_length], lengths[by_length]
        # sequences end together: at step t of N those run that have at least N - t steps left
        running = len(lengths) - np.searchsorted(lengths[::-1], np.arange(longest, 0, -1))
        offsets = np.zeros(longest + 2, dtype=np.intp)
        np.cumsum(running, out=offsets[1:-1])
        offsets[-1] = offsets[-2] + len(lengths)
        return self._minibatch(indices, first_rows, lengths, offsets)

    def _minibatch(self, indices: IntArray, first_rows: IntArray, lengths: IntArray, offsets: IntArray) -> Minibatch:
        if self._mapped_file is None:
            return Minibatch(indices, self.observations, first_rows, lengths, offsets, self.frame, self.stride)
        assert isinstance(self.observations, np.ndarray)  # as it is mapped
        n_rows = (lengths - 1) * abs(self.stride) + self.frame
        before = (lengths - 1) * max(0, -self.stride)  # the first step of those read from their ends is further on
        observations = self._mapped_file.read(self.observations, first_rows - before, n_rows)
        first_rows = np.cumsum(n_rows) - n_rows + before
        return Minibatch(indices, observations, first_rows, lengths, offsets, self.frame, self.stride)


def as_read(rows: Array, dtype: DType, scale: float, standard: Array | None) -> FloatArray:
    """Observations, several in a row where there are frames, as the network reads them: scaled, or standardised."""
    if standard is None:
        found: FloatArray = dtype.type(scale) * rows.astype(dtype, copy=False)
        return found
    mean, factor = np.tile(standard, rows.shape[-1] // standard.shape[1])
    return np.asarray((rows - mean) * factor, dtype)


def _cut(lengths: IntArray, longest: int) -> tuple[IntArray, IntArray]:
    """Cut into pieces of at most ``longest``: their lengths, and what is before each within its own whole."""
    n_pieces = -(-lengths // longest)
    before = longest * (np.arange(n_pieces.sum()) - np.repeat(np.cumsum(n_pieces) - n_pieces, n_pieces))
    return np.minimum(np.repeat(lengths, n_pieces) - before, longest), before


@dataclass(frozen=True)
class Streams:
    """Long sequences that are read chunk by chunk, each from the state that the chunk before has left.

    Attributes
    ----------
    chunks : Sequences
        Chunks of all streams, one after the other, and one stream after the other.
    first_chunks, n_chunks : ndarray of shape (n_streams,), intp
        Index of the first chunk of each stream, and number of its chunks.
    follows : ndarray of shape (n_streams,), intp
        The stream that ends where this one starts, in the same sequence; -1 at the start of a sequence.
    """

    chunks: Sequences
    first_chunks: np.ndarray
    n_chunks: np.ndarray
    follows: np.ndarray

    def __len__(self) -> int:
        return len(self.n_chunks)

    @_Lazy
    def stream_of(self) -> IntArray:
        """Of each chunk."""
        return np.repeat(np.arange(len(self)), self.n_chunks)

    def groups(self, batch_size: int) -> list[IntArray]:
        """Streams that are read side by side, of similar lengths."""
        return split(np.argsort(-self.n_chunks, kind="stable"), batch_size)

    def n_batches(self, batch_size: int) -> int:
        """How many minibatches read all streams to their ends."""
        return sum(int(self.n_chunks[group].max()) for group in self.groups(batch_size))

    def minibatches(self, group: IntArray) -> Iterator[IntArray]:
        """Yield the next chunk of each stream in the group, until all streams have ended."""
        for k in range(int(self.n_chunks[group].max())):
            yield self.first_chunks[group[self.n_chunks[group] > k]] + k


class _MappedFile:
    """A memory-mapped file, of which no more than some pages stay in memory."""

    def __init__(self, mapping: mmap.mmap) -> None:
        self._mapping = mapping
        self._n_bytes = 0

    def will_read(self, n_bytes: int) -> None:
        """Count what is about to be read; before it becomes too much, let go of what was."""
        n_bytes += _MAPPED_AROUND
        if self._n_bytes + n_bytes > _MOST_MAPPED:
            self._mapping.madvise(mmap.MADV_DONTNEED)
            self._n_bytes = 0
        self._n_bytes += n_bytes

    def read(self, observations: Array, first_rows: IntArray, n_rows: IntArray) -> Array:
        """Return a copy of so many observations from each of these first ones on."""
        rows = np.empty((int(n_rows.sum()), observations.shape[1]), observations.dtype)
        end = 0
        for first, n in zip(first_rows.tolist(), n_rows.tolist(), strict=True):
            self.will_read(n * rows.strides[0])
            start, end = end, end + n
            rows[start:end] = observations[first : first + n]
        return rows


@dataclass(slots=True)  # not frozen, which takes its time: there is a new one in every iteration
class Minibatch:
    """Which sequences, longest first, and where their steps stand in X and S (see ``_kernels``).

    Step ``t`` of its sequence ``i`` reads ``frame`` observations from row ``first_rows[i] + stride * t`` on.
    """

    indices: np.ndarray
    observations: np.ndarray | SparseRows
    first_rows: np.ndarray
    lengths: np.ndarray
    offsets: np.ndarray
    frame: int = 1
    stride: int = 1

    def __len__(self) -> int:
        return len(self.indices)

    def reversed(self) -> Minibatch:
        """The same sequences in the same order, read from their ends."""
        return replace(self, first_rows=self.first_rows + self.stride * (self.lengths - 1), stride=-self.stride)

    def with_own_observations(self) -> tuple[Minibatch, IntArray]:
        """The same with a floating-point copy of what it reads, and how many of these belong to each sequence."""
        counts = (self.lengths - 1) * abs(self.stride) + self.frame
        before = (self.lengths - 1) * max(0, -self.stride)
        first = np.cumsum(counts) - counts
        rows = np.repeat(self.first_rows - before - first, counts) + np.arange(int(counts.sum()))
        dtype = np.result_type(self.observations.dtype, np.float32)
        return replace(self, observations=self.observations[rows].astype(dtype), first_rows=first + before), counts

    @property
    def n_steps(self) -> int:
        """N of its longest sequence."""
        return len(self.offsets) - 2

    @property
    def n_rows(self) -> int:
        """Steps of all its sequences together."""
        return int(self.offsets[-2])

    def rows(self) -> tuple[IntArray, IntArray]:
        """For every row of X: whose it is, and which of that sequence's steps, from 0.

        Returns
        -------
        sequence_of, step_of : ndarray of shape (n_rows,), intp
            Number of the sequence and of the step that each row belongs to.
        """
        position, step = self._positions()
        return self.indices[position], step

    def sequences_of_rows(self) -> IntArray:
        """For every row of X: which of the minibatch's sequences it is of, from 0."""
        return self._positions()[0]

    def inputs(self) -> Array:
        """What every step reads, unscaled, in the order of the rows of X: a copy of shape (n_rows, n_features)."""
        position, step = self._positions()
        first = self.first_rows[position] + self.stride * step
        found: Array = self.observations[first[:, None] + np.arange(self.frame)].reshape(len(first), -1)
        return found

    def _positions(self) -> tuple[IntArray, IntArray]:
        counts = np.diff(self.offsets[:-1])
        position = np.arange(self.n_rows) - np.repeat(self.offsets[:-2], counts)
        return position, self.lengths[position] - self.n_steps + np.repeat(np.arange(self.n_steps), counts)

    def mirrored_rows(self) -> IntArray:
        """For every row of X: the row in which its sequence, read from its other end, reads the same observation."""
        position, step = self._positions()
        found: IntArray = self.offsets[self.n_steps - 1 - step] + position
        return found

    def rows_of_outputs(self) -> IntArray:
        """For every row of X: the row of the outputs after each step that its step reaches."""
        found: IntArray = self.rows_of_states() - self.offsets[1]
        return found

    def rows_of_states(self) -> IntArray:
        """For every row of X: the row that holds the state which its step reaches."""
        counts = np.diff(self.offsets[:-1])
        found: IntArray = np.arange(self.n_rows) + np.repeat(counts, counts)
        return found


def split(indices: IntArray, batch_size: int) -> list[IntArray]:
    """Cut ``indices`` into the fewest minibatches of at most ``batch_size``, of sizes as equal as can be."""
    n_batches = -(-len(indices) // batch_size)
    return [indices] if n_batches == 1 else np.array_split(indices, n_batches)
