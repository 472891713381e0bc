"""Which part of a minibatch a worker has, where several of them have a part of the data each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from admmirnn.data.sequences import Streams
from admmirnn.solvers.workers import gather

if TYPE_CHECKING:
    from admmirnn._typing import IntArray, Reducer
    from admmirnn.data.sequences import Sequences


@dataclass(frozen=True)
class Part:
    """A worker's part of a minibatch, and what it has to know of the whole.

    Attributes
    ----------
    indices : ndarray
        Indices of its sequences, among this worker's own.
    positions : ndarray
        Positions of these in the whole minibatch, the longest sequence first.
    n_rows, n_steps : int
        Number of steps of all sequences of the whole minibatch, and of the longest of them.
    """

    indices: IntArray
    positions: IntArray
    n_rows: int
    n_steps: int


class Parts:
    """The sequences of all workers, numbered one worker's after the other's.

    Parameters
    ----------
    reducer : Reducer
        Object that joins the workers, which all make such an object at the same time.
    sequences : Sequences
        Sequences of this worker.

    Attributes
    ----------
    shards : tuple of int
        Number of sequences of each worker.
    """

    def __init__(self, reducer: Reducer, sequences: Sequences) -> None:
        lengths = sequences.lengths
        are_equal = bool((lengths == lengths[:1]).all())
        found = gather(reducer, (len(lengths), lengths[:1] if are_equal else lengths.astype(np.int32)))
        self.shards: tuple[int, ...] = tuple(n for n, _ in found)
        self._first = sum(self.shards[: reducer.rank])
        self._last = self._first + len(lengths)
        known = {int(length) for _, of_worker in found for length in of_worker[:2]}
        self._length = known.pop() if len(known) == 1 and all(len(some) < 2 for _, some in found) else None
        self._lengths: IntArray | None = None
        if self._length is None:
            of_workers = [np.repeat(some, n) if len(some) == 1 else some for n, some in found]
            self._lengths = np.concatenate(of_workers).astype(np.int32)

    def of(self, indices: IntArray) -> Part:
        """The part of a minibatch of the sequences with these numbers."""
        is_own = (indices >= self._first) & (indices < self._last)
        own = indices[is_own] - self._first
        if self._lengths is None:
            assert self._length is not None
            return Part(own, np.flatnonzero(is_own), self._length * len(indices), self._length)
        lengths = self._lengths[indices]
        by_length = np.argsort(-lengths, kind="stable")
        return Part(own, np.flatnonzero(is_own[by_length]), int(lengths.sum()), int(lengths.max()))


def all_streams(reducer: Reducer, streams: Streams) -> Streams:
    """Where the chunks of the streams of all workers are, numbered one worker's after the other's."""
    found = gather(reducer, (len(streams.chunks), streams.first_chunks, streams.n_chunks))
    before = np.cumsum([0, *(n for n, _, _ in found)])
    first_chunks = np.concatenate([first + of for (_, of, _), first in zip(found, before, strict=False)])
    n_chunks = np.concatenate([n for _, _, n in found])
    return Streams(streams.chunks, first_chunks, n_chunks, np.full(len(n_chunks), -1))
