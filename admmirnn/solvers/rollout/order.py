"""In which order minibatches come, and from which states their sequences start."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from admmirnn import validation
from admmirnn.data.sequences import split
from admmirnn.solvers.memory import as_dict
from admmirnn.solvers.rollout.guard import WINDOW
from admmirnn.solvers.rollout.memory import CarriedState, ShuffledState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from admmirnn._typing import Array, BoolArray, FloatArray, IntArray
    from admmirnn.data.sequences import Minibatch, Sequences, Streams
    from admmirnn.networks import Network

_ALL = slice(None)


class Shuffled:
    """Whole sequences, each from s_0, in an order that every epoch may draw anew.

    Parameters
    ----------
    network : RNN
        Network whose s_0 sequences start from.
    sequences : Sequences
        All sequences of the training set.
    batch_size : int
        Largest number of sequences in a minibatch.
    shuffle : bool
        Whether epochs draw their order.
    random_state : RandomState
        Generator that the order is drawn from.
    shards : tuple of int, optional
        Numbers of sequences of several workers, numbered one worker's after the other's: minibatches are dealt from
        them in turn, so that each has about the same share of every shard, and the largest part of a worker is one more
        than its smallest.

    Attributes
    ----------
    sequences : Sequences
        Sequences as given; of several workers, this one's.
    batch_size : int
        Largest number of sequences in a minibatch.
    most_sequences : int
        Largest number of sequences of a minibatch that this worker has.
    n_batches : int
        Number of minibatches per epoch.
    random_state : RandomState
        Generator that the order is drawn from.
    """

    batch_size: int
    random_state: np.random.RandomState

    def __init__(
        self,
        network: Network,
        sequences: Sequences,
        batch_size: int,
        shuffle: bool,
        random_state: np.random.RandomState,
        shards: tuple[int, ...] | None = None,
    ) -> None:
        self.sequences = sequences
        n_sequences = len(sequences) if shards is None else sum(shards)
        self.n_batches: int = -(-n_sequences // batch_size)
        self.most_sequences: int = min(batch_size, len(sequences))
        if shards is not None:
            self.most_sequences = -(-len(sequences) // self.n_batches)
        self._network, self.batch_size = network, batch_size
        self._shuffle, self.random_state, self._shards = shuffle, random_state, shards
        self._order = np.arange(n_sequences)

    def epoch(self) -> Iterator[IntArray]:
        """Yield the indices of the sequences of one minibatch after the other."""
        if self._shuffle and self._shards is None:
            self._order = self.random_state.permutation(len(self._order))
        elif self._shuffle and self._shards is not None:
            first = np.cumsum((0, *self._shards))
            of_shards = zip(self._shards, first, strict=False)
            self._order = np.concatenate([before + self.random_state.permutation(n) for n, before in of_shards])
        yield from self._minibatches()

    def _minibatches(self) -> list[IntArray]:
        if self._shards is None:
            return split(self._order, self.batch_size)
        return [self._order[k :: self.n_batches] for k in range(self.n_batches)]

    def start(self, batch: Minibatch, has_targets: bool = True) -> tuple[FloatArray | None, slice | BoolArray]:
        """Return the states that the sequences start from, one row each, None for zeros, and which rows are s_0.

        ``has_targets`` says whether the minibatch can be judged by its loss.
        """
        return self._network.initial_states(len(batch)), _ALL

    def keep(self, batch: Minibatch, last_states: Callable[[], FloatArray]) -> None:
        """Take note of the last states of the sequences, which the function returns, those of all layers."""

    def pass_by(self) -> None:
        """Take note of a minibatch that this worker has no part of."""

    def forget(self, *, are_bounded: bool) -> None:
        """Drop the states that weights have left which were thrown away; those that are bounded may do."""

    def state(self) -> ShuffledState:
        """What another one needs to go on from here, after an epoch."""
        return ShuffledState(self._order, self.random_state)

    def form(self) -> dict[str, Any]:
        """What the state of another one has to be in a checkpoint, see `validation.check_state`."""
        n = len(self._order)
        return as_dict(self.state()) | {"order": validation.different(n, n, n)}

    def go_on_from(self, state: ShuffledState) -> None:
        """Take over the state of another one."""
        self._order = state.order.astype(np.intp)
        self.random_state.set_state(state.random_state.get_state())

    def sample(self, n_sequences: int | None) -> list[tuple[IntArray, FloatArray | None]]:
        """Return minibatches of about so many sequences of the last epoch, None for all: (indices, initial states).

        Initial states are None for those of `start`, where several workers have a part of each minibatch.
        """
        if self._shards is not None:
            found = self._minibatches()
            n_seen = np.cumsum([len(some) for some in found])
            n_batches = len(found) if n_sequences is None else int(np.searchsorted(n_seen, n_sequences)) + 1
            return [(some, None) for some in found[:n_batches]]
        indices = self._order if n_sequences is None else self._order[:n_sequences]
        return [(some, self._network.initial_states(len(some))) for some in split(indices, self.batch_size)]


class Carried:
    """Chunks of long streams, each from the state in which the chunk before has ended.

    Streams that start where another one ends, in the middle of a sequence, start from the state of that one's end in
    the epoch before; in the first epoch from s_0.

    Parameters
    ----------
    network, batch_size, shuffle, random_state
        As in `Shuffled`; streams of a minibatch stay together, and epochs draw the order of these groups.
    streams : Streams
        All streams of the training set.
    states : ndarray of shape (n_streams, n_carried), optional
        States that the streams start from, instead of s_0, in the first epoch.
    everyones : Streams, optional
        Streams of all workers, where several have streams, see `admmirnn.solvers.rollout.parts.all_streams`.
    """

    random_state: np.random.RandomState
    states: Array

    def __init__(
        self,
        network: Network,
        streams: Streams,
        batch_size: int,
        shuffle: bool,
        random_state: np.random.RandomState,
        states: FloatArray | None = None,
        everyones: Streams | None = None,
    ) -> None:
        self.sequences: Sequences = streams.chunks
        self._network, self._streams = network, streams
        self._shuffle, self.random_state = shuffle, random_state
        self._all = streams if everyones is None else everyones
        self._groups = self._all.groups(batch_size)
        self.n_batches: int = self._all.n_batches(batch_size)
        self.batch_size = batch_size
        self.most_sequences = min(batch_size, len(streams.chunks))
        self.states = self._start() if states is None else np.array(states, network.dtype)
        self._given = states is not None
        self._is_new = True
        self._recent: deque[tuple[IntArray, FloatArray]] = deque(maxlen=-(-WINDOW // batch_size))

    def _start(self) -> FloatArray:
        network, n_streams = self._network, len(self._streams)
        initial = network.initial_states(n_streams)
        return np.zeros((n_streams, network.n_carried), network.dtype) if initial is None else initial

    def epoch(self) -> Iterator[IntArray]:
        """Yield the indices of the chunks of one minibatch after the other."""
        if not self._is_new:
            follows, ends = self._streams.follows, self.states
            self.states = np.where(follows[:, None] >= 0, ends[follows], self._start())
            self._given = False
        self._is_new = False
        order = np.arange(len(self._groups))
        if self._shuffle and len(order) > 1:
            order = self.random_state.permutation(len(order))
        for i in order:
            yield from self._all.minibatches(self._groups[i])

    def start(self, batch: Minibatch, has_targets: bool = True) -> tuple[FloatArray, BoolArray]:
        """Return the states from which a minibatch starts, as `Shuffled.start` does; they are a copy."""
        stream = self._streams.stream_of[batch.indices]
        initial = self.states[stream]
        starts = batch.indices == self._streams.first_chunks[stream]
        starts &= (self._streams.follows[stream] < 0) & (not self._given)
        of_start = self._network.initial_states(1)
        if of_start is not None:
            initial[starts] = of_start
        if has_targets:
            self._recent.append((batch.indices, initial))
        return initial, starts

    def keep(self, batch: Minibatch, last_states: Callable[[], FloatArray]) -> None:
        """As in `Shuffled`."""
        self.states[self._streams.stream_of[batch.indices]] = last_states()

    def pass_by(self) -> None:
        """As in `Shuffled`."""
        self._recent.append((np.arange(0), self.states[:0]))

    def forget(self, *, are_bounded: bool) -> None:
        """As in `Shuffled`: streams go on from s_0, those whose states are finite and bounded from these.

        What a network that was thrown away has left in bounded states, the good weights soon forget.
        """
        if are_bounded:
            is_lost = ~np.isfinite(self.states).all(axis=1)
            self.states[is_lost] = self._start()[is_lost]
        else:
            self.states = self._start()

    def state(self) -> CarriedState:
        """As in `Shuffled`."""
        recent = [list(batch) for batch in self._recent]
        return CarriedState(self.states, self._given, self._is_new, recent, self.random_state)

    def form(self) -> dict[str, Any]:
        """As in `Shuffled`."""
        recent = minibatches(len(self.sequences), self.batch_size, self._recent.maxlen, self.states[:1])
        return as_dict(self.state()) | {"recent": recent}

    def go_on_from(self, state: CarriedState) -> None:
        """As in `Shuffled`."""
        self.states, self._given, self._is_new = state.states, state.given, state.is_new
        self._recent.extend((indices.astype(np.intp), initial) for indices, initial in state.recent)
        self.random_state.set_state(state.random_state.get_state())

    def sample(self, n_sequences: int | None) -> list[tuple[IntArray, FloatArray]]:
        """As in `Shuffled`: the latest ones, from the states that they have started from, a guard's window at most."""
        n_batches = len(self._recent) if n_sequences is None else -(-n_sequences // self.batch_size)
        return list(self._recent)[-n_batches:]


def minibatches(n: int, batch_size: int, most: int | None, state: FloatArray) -> validation.Form:
    """The form of at most so many minibatches of n chunks, [their numbers, initial states such as ``state``]."""

    def check(name: str, found: Any) -> None:
        validation.expect(isinstance(found, list) and (most is None or len(found) <= most), name, found)
        for i, of_batch in enumerate(found):
            validation.expect(isinstance(of_batch, list) and len(of_batch) == 2, f"{name}[{i}]", of_batch)
            validation.different(n, 1, batch_size)(f"{name}[{i}]", of_batch[0])
            validation.check_state(f"{name}[{i}]", of_batch[1], np.repeat(state, len(of_batch[0]), axis=0))

    return check
