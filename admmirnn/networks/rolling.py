"""Rolling networks out over any number of sequences, some at a time, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from admmirnn import backend
from admmirnn.networks.room import Room, Space
from admmirnn.networks.side_by_side import set_apart, set_side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from admmirnn._typing import Direction, FloatArray, IntArray, LayeredNetwork
    from admmirnn.data.sequences import Minibatch, Sequences
    from admmirnn.reference.kernels import Kernels

_ROWS_AT_A_TIME = 1 << 13
_FEWEST_ROWS, _MOST_OUTPUTS = 1 << 8, 1 << 20  # where each row has many outputs, as with a large alphabet
_MOST_INPUTS = 1 << 23  # where each row has many features, as counts of words have


def outputs_of(network: LayeredNetwork, sequences: Sequences, *, every_step: bool, n_threads: int) -> FloatArray:
    """The outputs of `pieces_of_outputs` in one array."""
    outputs = np.empty((sequences.lengths.sum() if every_step else len(sequences), network.n_outputs), network.dtype)
    for rows, some in pieces_of_outputs(network, sequences, every_step=every_step, n_threads=n_threads):
        outputs[rows] = some
    return outputs


def pieces_of_outputs(
    network: LayeredNetwork, sequences: Sequences, *, every_step: bool, n_threads: int
) -> Iterator[tuple[IntArray, FloatArray]]:
    """Yield numbers of outputs, of sequences or of steps, and what they are, each once.

    Long sequences are read in chunks, with states carried from one to the next, unless they are read from their ends as
    well.
    """
    kernels = backend.kernels()
    read_out = "each" if every_step else network.read_out
    longest = int(sequences.lengths.max())
    from_start = all(len(directions) == 1 for directions in network.layers)
    n_features = 1 if sequences.n_symbols else sequences.n_features
    most_rows = rows_at_a_time(network.n_outputs if read_out == "each" else 1, n_features)
    streams = sequences.in_chunks(min(longest, most_rows) if from_start else longest)
    chunks = streams.chunks
    first_chunks = chunks.lengths[streams.first_chunks]  # no other is longer
    parts = _parts(first_chunks, most_rows * n_threads)
    n_rows = max(first_chunks[first:last].sum() for first, last in parts)
    most_sequences = max(last - first for first, last in parts)
    spaces = Spaces.of_network(kernels, network, read_out, n_rows, most_sequences, sequences, n_threads)
    first_steps = chunks.first_steps
    with backend.one_blas_thread():
        for first, last in parts:
            part = np.arange(first, last)
            states, n_chunks = network.initial_states(len(part)), streams.n_chunks[part]
            several = bool((n_chunks > 1).any())
            is_pooled = several and read_out in ("mean", "max")
            pooled = _Pooled(network.layers[-1][0], read_out, len(part)) if is_pooled else None
            for k, indices in enumerate(streams.minibatches(part)):
                batch = chunks.minibatch(indices)
                of = streams.stream_of[batch.indices] - first
                end = n_chunks[of] == k + 1
                spaces.load(batch)
                spaces.roll_out(None if states is None else states[of])
                if every_step:
                    sequence_of, step_of = batch.rows()
                    yield first_steps[sequence_of] + step_of, spaces.outputs_of_steps()
                elif pooled is not None:
                    pooled.add(of, spaces.pooled_states(), batch.lengths)
                    yield first + of[end], pooled.outputs(of[end], sequences.lengths[first + of[end]])
                elif end.all():
                    yield first + of, spaces.outputs()
                elif end.any():
                    yield first + of[end], spaces.outputs()[end]
                if several:
                    states = np.zeros((len(part), network.n_carried), network.dtype) if states is None else states
                    states[of] = spaces.last_states()


class Spaces:
    """What a network is rolled out in, layer by layer: a `Space` for each direction of each layer.

    Parameters
    ----------
    kernels : Kernels
        Back end.
    of_layers : list of list of Space
        Spaces by layers and directions.
    """

    def __init__(self, kernels: Kernels, of_layers: Sequence[Sequence[Space]]) -> None:
        self._kernels, self._of_layers = kernels, of_layers
        self._from_zero: list[list[dict[str, Any]]] = [[{} for _ in of_layer] for of_layer in of_layers]
        self._carried = [
            [sum(state.shape[1] for state in _states(space)) for space in of_layer] for of_layer in of_layers
        ]

    @classmethod
    def of_network(
        cls,
        kernels: Kernels,
        network: LayeredNetwork,
        read_out: str,
        n_rows: int,
        n_sequences: int,
        sequences: Sequences,
        n_threads: int,
    ) -> Spaces:
        """Those for minibatches of so many rows and sequences at most, that nothing is passed back through."""
        of_layers: list[list[Space]] = []
        for i, directions in enumerate(network.layers):
            below = of_layers[-1] if i else []
            of_layers.append([])
            for direction in directions:
                room = Room(
                    direction,
                    read_out if i == len(network.layers) - 1 else "none",
                    n_rows,
                    n_sequences,
                    symbols=not i and sequences.n_symbols > 0,
                    n_threads=n_threads,
                    rows_of_A=kernels.scratch_rows(direction.cell, direction.n_hidden, n_threads),
                )
                standard = sequences.standard_in(network.dtype)
                space = Space(kernels, room, sequences.scale, below, len(directions), standard=standard)
                of_layers[-1].append(space)
        return cls(kernels, of_layers)

    def load(self, batch: Minibatch) -> None:
        """Make ``batch`` the current minibatch of all."""
        for of_layer in self._of_layers:
            for i, space in enumerate(of_layer):
                space.fit(batch.reversed() if i else batch)

    def roll_out_below(self, states: FloatArray | None) -> list[dict[str, Any]]:
        """Roll all layers but the last one out, from states of all directions, side by side, or from zero.

        Returns what the kernel is told of the states that the directions of the last layer start from.
        """
        starts = self._starts(states)
        for i, of_layer in enumerate(self._of_layers[:-1]):
            for space, start in zip(of_layer, starts[i], strict=True):
                self._kernels.forward(space.work, space.kernel_batch, **start)
            self._hand_up(i)
        return starts[-1]

    def roll_out(self, states: FloatArray | None) -> None:
        """Roll all layers out, from states of all directions, side by side, or from zero."""
        for space, start in zip(self._of_layers[-1], self.roll_out_below(states), strict=True):
            self._kernels.forward(space.work, space.kernel_batch, **start)

    def _starts(self, states: FloatArray | None) -> list[list[dict[str, Any]]]:
        """Of each direction, what the kernel is told of the states to start from: s_0 and, beside it, c_0."""
        if states is None:
            return self._from_zero
        found: list[list[dict[str, Any]]] = []
        end = 0
        for of_layer, sizes in zip(self._of_layers, self._carried, strict=True):
            found.append([])
            for space, size in zip(of_layer, sizes, strict=True):
                begin, end = end, end + size
                found[-1].append(_start(space, states[:, begin:end]))
        return found

    def _hand_up(self, i: int) -> None:
        """Write the states of layer i to where the directions of the one above read them, unless they are there."""
        below, batch = self._of_layers[i], self._of_layers[i][0].batch
        for reverse, space in enumerate(self._of_layers[i + 1]):
            if space.joined is not None:
                states, masks = [one.S for one in below], [one.room.mask for one in below]
                set_side_by_side(states, batch, space.joined, reverse=reverse > 0, masks=masks)

    def hand_down(self, i: int) -> None:
        """Write what layer i has passed back to where the directions of the one below take it, as `_hand_up`."""
        above, below = self._of_layers[i], self._of_layers[i - 1]
        if above[0].joined is None:
            return
        n_rows = above[0].batch.n_rows
        multipliers = [_rows(space.room.lambda_x, n_rows) for space in above]
        lambda_s = [_rows(space.room.lambda_s, n_rows) for space in below]
        set_apart(multipliers, below[0].batch, lambda_s, [space.room.mask for space in below])

    def last_states(self) -> FloatArray:
        """What is carried on of each sequence, of all layers side by side."""
        found = []
        for (space,) in self._of_layers:
            last = slice(space.batch.n_rows, space.batch.n_rows + len(space.batch))
            found += [states[last] for states in _states(space)]
        return found[0] if len(found) == 1 else np.hstack(found)

    def outputs(self) -> FloatArray:
        """One per sequence."""
        first, *others = self._of_layers[-1]
        return sum((other.Q for other in others), first.Q)

    def pooled_states(self) -> FloatArray:
        """Of networks that read from the start: what their outputs are read from, a row per sequence."""
        ((space,),) = self._of_layers[-1:]
        return space.states_read

    def outputs_of_steps(self) -> FloatArray:
        """One for each row of X."""
        first, *others = self._of_layers[-1]
        rows = first.batch.rows_of_outputs()
        found = first.Q[rows]
        for other in others:
            found += other.Q[rows[first.batch.mirrored_rows()]]
        return found


class _Pooled:
    """Means or maxima of the states of sequences that are read chunk by chunk, of the last layer of a network."""

    def __init__(self, layer: Direction, read_out: str, n_sequences: int) -> None:
        self._layer, self._is_mean = layer, read_out == "mean"
        self._H = np.full((n_sequences, layer.n_hidden), 0.0 if self._is_mean else -np.inf)

    def add(self, of: IntArray, H: FloatArray, lengths: IntArray) -> None:
        """Take in the pooled states of chunks, which are of these sequences and have so many steps."""
        if self._is_mean:
            self._H[of] += lengths[:, None] * H.astype(np.float64)
        else:
            self._H[of] = np.maximum(self._H[of], H)

    def outputs(self, of: IntArray, lengths: IntArray) -> FloatArray:
        """The outputs of sequences that have been read to their ends, of so many steps each."""
        Psi = self._layer.Psi
        H = (self._H[of] / lengths[:, None] if self._is_mean else self._H[of]).astype(Psi.dtype)
        found: FloatArray = H @ Psi[:, :-1].T + Psi[:, -1]
        return found


def _rows(array: FloatArray | None, n_rows: int) -> FloatArray:
    assert array is not None
    return array[:n_rows]


def _states(space: Space) -> list[FloatArray]:
    """What is carried from step to step."""
    return [space.room.S, *([] if space.room.C is None else [space.room.C])]


def _start(space: Space, states: FloatArray) -> dict[str, Any]:
    """What a roll-out is told of the states to start from: s_0 and, beside it, c_0."""
    if space.room.C is None:
        return {"initial": np.ascontiguousarray(states)}
    s_0, c_0 = (np.ascontiguousarray(some) for some in np.hsplit(states, 2))
    return {"initial": s_0, "initial_c": c_0}


def rows_at_a_time(n_outputs: int, n_features: int = 1) -> int:
    """How many steps are rolled out together for each thread, where every step has so many outputs and features."""
    return min(_ROWS_AT_A_TIME, max(_FEWEST_ROWS, min(_MOST_OUTPUTS // n_outputs, _MOST_INPUTS // n_features)))


def _parts(lengths: IntArray, most_rows: int) -> list[tuple[int, int]]:
    """Cut the sequences into runs of at most about so many steps."""
    chunk = (np.cumsum(lengths) - lengths) // most_rows
    bounds = np.flatnonzero(np.diff(chunk)) + 1
    return list(zip([0, *bounds.tolist()], [*bounds.tolist(), len(lengths)], strict=True))
