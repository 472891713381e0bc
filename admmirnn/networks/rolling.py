"""Rolling networks out over any number of sequences, some at a time, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from admmirnn import backend
from admmirnn.networks.room import Room, Space
from admmirnn.networks.side_by_side import set_side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from admmirnn._typing import FloatArray, IntArray
    from admmirnn.data.sequences import Minibatch, Sequences
    from admmirnn.networks import Network
    from admmirnn.reference.kernels import Kernels

_ROWS_AT_A_TIME = 1 << 13


def outputs_of(network: Network, sequences: Sequences, *, every_step: bool, n_threads: int) -> FloatArray:
    """The outputs of `pieces_of_outputs` in one array."""
    outputs = np.empty((sequences.lengths.sum() if every_step else len(sequences), network.n_outputs), network.dtype)
    for rows, some in pieces_of_outputs(network, sequences, every_step=every_step, n_threads=n_threads):
        outputs[rows] = some
    return outputs


def pieces_of_outputs(
    network: Network, sequences: Sequences, *, every_step: bool, n_threads: int
) -> Iterator[tuple[IntArray, FloatArray]]:
    """Yield numbers of outputs, of sequences or of steps, and what they are.

    Long sequences are read in chunks, with states carried from one to the next, unless they are read from their ends as
    well or pooled.
    """
    kernels = backend.kernels()
    read_out = "each" if every_step else network.read_out
    longest = int(sequences.lengths.max())
    from_start = all(len(directions) == 1 for directions in network.layers)
    in_chunks = from_start and read_out in ("last", "each")
    streams = sequences.in_chunks(min(longest, _ROWS_AT_A_TIME) if in_chunks else longest)
    chunks = streams.chunks
    first_chunks = chunks.lengths[streams.first_chunks]  # no other is longer
    parts = _parts(first_chunks, n_threads)
    n_rows = max(first_chunks[first:last].sum() for first, last in parts)
    most_sequences = max(last - first for first, last in parts)
    spaces = Spaces(kernels, network, read_out, n_rows, most_sequences, sequences, n_threads)
    first_steps = chunks.first_steps
    with backend.one_blas_thread():
        for first, last in parts:
            part = np.arange(first, last)
            states = network.initial_states(len(part))
            for indices in streams.minibatches(part):
                batch = chunks.minibatch(indices)
                of = streams.stream_of[batch.indices] - first
                spaces.roll_out(batch, None if states is None else states[of])
                if every_step:
                    sequence_of, step_of = batch.rows()
                    yield first_steps[sequence_of] + step_of, spaces.outputs_of_steps()
                else:
                    yield first + of, spaces.outputs()
                if (streams.n_chunks[part] > 1).any():
                    states = np.zeros((len(part), network.n_carried), network.dtype) if states is None else states
                    states[of] = spaces.last_states()


class Spaces:
    """What a network is rolled out in: a `Space` for each direction of each layer.

    Parameters
    ----------
    kernels : Kernels
        The back end.
    network : network
        With layers of one direction or two.
    read_out : str
        That of the network, or "each".
    n_rows, n_sequences : int
        Of the largest minibatch.
    sequences : Sequences
        What the first layer reads.
    n_threads : int
        How many may share the sequences of a minibatch.
    """

    def __init__(
        self,
        kernels: Kernels,
        network: Network,
        read_out: str,
        n_rows: int,
        n_sequences: int,
        sequences: Sequences,
        n_threads: int,
    ) -> None:
        self._kernels = kernels
        self._of_layers: list[list[Space]] = []
        self._read: list[list[FloatArray | None]] = []  # states side by side that the directions of a layer read
        for i, directions in enumerate(network.layers):
            of_layer: list[Space] = []
            read: list[FloatArray | None] = []
            for direction in directions:
                symbols = not i and sequences.n_symbols > 0
                states_below, joined = None, None
                if i and len(directions) == len(self._of_layers[-1]) == 1:
                    states_below = self._of_layers[-1][0].room.S
                elif i:
                    states_below = joined = np.zeros((n_rows + n_sequences, direction.n_features), direction.dtype)
                of_outputs = read_out if i == len(network.layers) - 1 else "none"
                room = Room(
                    direction,
                    of_outputs,
                    n_rows,
                    n_sequences,
                    symbols=symbols,
                    n_threads=n_threads,
                    rows_of_A=kernels.scratch_rows(direction.cell, direction.n_hidden, n_threads),
                )
                of_layer.append(Space(kernels, room, sequences.scale, states_below))
                read.append(joined)
            self._of_layers.append(of_layer)
            self._read.append(read)
        self._carried = [directions[0].n_carried for directions in network.layers]

    def roll_out(self, batch: Minibatch, states: FloatArray | None) -> None:
        """Roll out over the sequences of a minibatch, from states of all layers, side by side, or from zero."""
        below: list[Space] = []
        for of_layer, read, initial in zip(self._of_layers, self._read, self._of_each(states), strict=True):
            for i, (space, joined) in enumerate(zip(of_layer, read, strict=True)):
                space.fit(batch.reversed() if i else batch)
                if joined is not None:
                    set_side_by_side([one.S for one in below], batch, joined, reverse=i > 0)
                self._kernels.forward(space.work, space.kernel_batch, **_start(space, initial))
            below = of_layer

    def _of_each(self, states: FloatArray | None) -> Sequence[FloatArray | None]:
        if states is None or len(self._carried) == 1:
            return [states] * len(self._carried)
        return [np.ascontiguousarray(some) for some in np.split(states, np.cumsum(self._carried)[:-1], axis=1)]

    def last_states(self) -> FloatArray:
        """What is carried on of each sequence, of all layers side by side."""
        found = []
        for (space,) in self._of_layers:
            last = slice(space.batch.n_rows, space.batch.n_rows + len(space.batch))
            found += [space.S[last], *([] if space.C is None else [space.C[last]])]
        return found[0] if len(found) == 1 else np.hstack(found)

    def outputs(self) -> FloatArray:
        """One a sequence."""
        first, *others = self._of_layers[-1]
        return sum((other.Q for other in others), first.Q)

    def outputs_of_steps(self) -> FloatArray:
        """One for each row of X."""
        first, *others = self._of_layers[-1]
        rows = first.batch.rows_of_outputs()
        found = first.Q[rows]
        for other in others:
            found += other.Q[rows[first.batch.mirrored_rows()]]
        return found


def _start(space: Space, states: FloatArray | None) -> dict[str, Any]:
    """What a roll-out is told of the states to start from: s_0 and, beside it, c_0."""
    if states is None:
        return {}
    if space.C is None:
        return {"initial": states}
    s_0, c_0 = (np.ascontiguousarray(some) for some in np.hsplit(states, 2))
    return {"initial": s_0, "initial_c": c_0}


def _parts(lengths: IntArray, n_threads: int) -> list[tuple[int, int]]:
    """Cut the sequences into runs of at most about ``_ROWS_AT_A_TIME`` steps a thread."""
    chunk = (np.cumsum(lengths) - lengths) // (_ROWS_AT_A_TIME * n_threads)
    bounds = np.flatnonzero(np.diff(chunk)) + 1
    return list(zip([0, *bounds.tolist()], [*bounds.tolist(), len(lengths)], strict=True))
