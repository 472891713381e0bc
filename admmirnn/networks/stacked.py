"""Layers of recurrent networks, one on top of the other, each of which may read sequences from both ends."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from admmirnn.networks.blocks import INITIAL, arrays_of, blocks_of, n_directions
from admmirnn.networks.pruning import pruned_weights
from admmirnn.networks.rnn import layer_of
from admmirnn.networks.rolling import outputs_of, pieces_of_outputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from admmirnn._typing import AnyCell, DType, FloatArray, IntArray
    from admmirnn.data.sequences import Sequences
    from admmirnn.networks.blocks import Block
    from admmirnn.networks.rnn import RNN


class StackedRNN:
    """Layers, each of which reads the states of the one below it, from the start or from both ends: o = V h + c.

    h is read from the states of the last layer.  Where that has two directions, o = V h + V_reverse h_reverse + c, with
    their read-outs "last", "mean" or "max", or each state: then o_t reads the one that has read x_1 to x_t, and the one
    that has read x_N down to x_t.  So does a layer above one of two directions: its x_t are both states, side by side.

    Parameters
    ----------
    layers : sequence of sequence of RNN
        Networks of one direction, by layers and directions, the first of which reads from the start, the other one, if
        there is one, from the end.  All have the same cell.  Those below the last layer have the read-out "none" and no
        outputs.  With two directions the Psi of the last ones are scratch, [V c] and [V_reverse 0], see `share_out`.
    Psi : ndarray of shape (n_outputs, h + 1)
        Weights and biases of the outputs, [V c], or [V V_reverse c].
    """

    def __init__(self, layers: Sequence[Sequence[RNN]], Psi: FloatArray) -> None:
        self.layers: tuple[tuple[RNN, ...], ...] = tuple(tuple(directions) for directions in layers)
        self.Psi = Psi
        self.share_out()

    @classmethod
    def of_weights(cls, weights: Mapping[str, FloatArray], *, cell: AnyCell, read_out: str = "last") -> StackedRNN:
        """The network with the given weights by name, which are copied; V is that of all directions."""
        directions = n_directions(weights)
        arrays = list(arrays_of(weights, cell.maps))
        n_maps, names = len(cell.maps), [name for name in INITIAL if name in weights]
        n_of_maps = n_maps * sum(directions)
        matrices, Psi, states = iter(arrays[:n_of_maps]), arrays[n_of_maps], iter(arrays[n_of_maps + 1 :])
        layers: list[list[RNN]] = []
        d = next(block.shape[1] for name, block in weights.items() if name[0] == "U")
        for layer, n_of in enumerate(directions):
            is_last = layer == len(directions) - 1
            of_layer: list[RNN] = []
            for _ in range(n_of):
                maps = [next(matrices) for _ in range(n_maps)]
                n = len(maps[0]) // cell.maps[0].rows_per_unit
                own = Psi if is_last and n_of == 1 else np.zeros((len(Psi) if is_last else 0, n + 1), Psi.dtype)
                s_0, c_0 = (next(states) if name in names else None for name in INITIAL)
                of_layer.append(layer_of(maps, own, cell, read_out if is_last else "none", s_0, c_0, n_features=d))
            layers.append(of_layer)
            d = sum(direction.n_hidden for direction in of_layer)
        return cls(layers, Psi)

    def share_out(self) -> None:
        """Copy the blocks of Psi to where two directions have theirs; a single one has Psi itself."""
        directions = self.layers[-1]
        if len(directions) > 1:
            for i, (network, columns) in enumerate(zip(directions, self.blocks["V"].of_directions, strict=True)):
                network.Psi[:, :-1], network.Psi[:, -1] = self.Psi[:, columns], 0 if i else self.Psi[:, -1]

    @property
    def directions(self) -> list[RNN]:
        """Those of all layers."""
        return list(chain.from_iterable(self.layers))

    @property
    def n_hidden(self) -> int:
        """Number of hidden units of the largest layer of one direction."""
        return max(direction.n_hidden for direction in self.directions)

    @property
    def hidden_size(self) -> int | tuple[int, ...]:
        """What an estimator has for it: units of the larger direction, of each layer if there are several."""
        sizes = tuple(max(direction.n_hidden for direction in directions) for directions in self.layers)
        return sizes if len(sizes) > 1 else sizes[0]

    @property
    def n_carried(self) -> int:
        """How many numbers are carried from step to step, of all layers together."""
        return sum(direction.n_carried for direction in self.directions)

    @property
    def n_features(self) -> int:
        """Number of features of an observation, d."""
        return self.layers[0][0].n_features

    @property
    def n_outputs(self) -> int:
        """Number of outputs, K."""
        found: int = self.Psi.shape[0]
        return found

    @property
    def dtype(self) -> DType:
        """float32 or float64."""
        return self.Psi.dtype

    @property
    def cell(self) -> AnyCell:
        """That of all."""
        return self.layers[0][0].cell

    @property
    def activation(self) -> str:
        """That of all, by which states are made."""
        return self.layers[0][0].activation

    @property
    def read_out(self) -> str:
        """That of the last layer."""
        return self.layers[-1][0].read_out

    @property
    def s_0(self) -> FloatArray | None:
        """The states before the first step, of all layers side by side; None if they are zero."""
        found = [direction.s_0 for direction in self.directions if direction.s_0 is not None]
        return np.concatenate(found) if found else None

    @property
    def learns_s_0(self) -> bool:
        """Whether training changes them."""
        return self.layers[0][0].learns_s_0

    @learns_s_0.setter
    def learns_s_0(self, learns: bool) -> None:
        for direction in self.directions:
            direction.learns_s_0 = learns

    @property
    def blocks(self) -> Mapping[str, Block]:
        """Where in its arrays the weights of which name are."""
        n_hidden = tuple(tuple(direction.n_hidden for direction in directions) for directions in self.layers)
        first = self.layers[0][0]
        return blocks_of(self.n_features, n_hidden, self.n_outputs, maps=first.cell.maps, initial=tuple(first.initial))

    @property
    def arrays(self) -> tuple[FloatArray, ...]:
        """What its blocks are in."""
        return (*self._matrices, *chain.from_iterable(direction.initial.values() for direction in self.directions))

    @property
    def _matrices(self) -> tuple[FloatArray, ...]:
        return (*chain.from_iterable(direction.maps for direction in self.directions), self.Psi)

    @property
    def weights(self) -> dict[str, FloatArray]:
        """Its blocks by name, as views."""
        arrays = self.arrays
        return {name: block.of(arrays) for name, block in self.blocks.items()}

    @property
    def trained(self) -> tuple[FloatArray, ...]:
        """The arrays that training changes."""
        return self.arrays if self.learns_s_0 else self._matrices

    def initial_states(self, n_sequences: int) -> FloatArray | None:
        """As `RNN.initial_states`, those of all layers side by side."""
        if not self.layers[0][0].initial:
            return None
        states = [direction.initial_states(n_sequences) for direction in self.directions]
        return np.hstack([state for state in states if state is not None])

    def pruned(self) -> StackedRNN:
        """The network without the units that its outputs never depend on, as `RNN.pruned`."""
        return StackedRNN.of_weights(pruned_weights(self), cell=self.cell, read_out=self.read_out)

    def outputs(self, sequences: Sequences, *, every_step: bool = False, n_threads: int = 1) -> FloatArray:
        """Roll the network out over sequences, as `RNN.outputs`."""
        self.share_out()
        if len(self.layers) > 1:
            return outputs_of(self, sequences, every_step=every_step, n_threads=n_threads)
        forward, *others = self.layers[0]
        outputs = forward.outputs(sequences, every_step=every_step, n_threads=n_threads)
        for reverse in others:  # one after the other, so that each can read long sequences in chunks
            found = reverse.outputs(sequences.reversed(), every_step=every_step, n_threads=n_threads)
            outputs += _turned(found, sequences) if every_step else found
        return outputs

    def pieces_of_outputs(
        self, sequences: Sequences, *, every_step: bool = False, n_threads: int = 1
    ) -> Iterator[tuple[IntArray, FloatArray]]:
        """As `RNN.pieces_of_outputs`."""
        self.share_out()
        return pieces_of_outputs(self, sequences, every_step=every_step, n_threads=n_threads)

    def states(self, sequences: Sequences, n_layers: int | None = None) -> FloatArray:
        """Those of the last layer at each step, as `RNN.states`, of two directions side by side.

        With ``n_layers``, of the last one of so many.
        """
        *below, last = self.layers[:n_layers]
        sizes = [direction.n_hidden for direction in last]
        reader = np.eye(sum(sizes), sum(sizes) + 1, dtype=self.dtype)
        scratch = [np.zeros((sum(sizes), n + 1), self.dtype) for n in sizes] if len(sizes) > 1 else [reader]
        readers = [direction.reading(Psi) for direction, Psi in zip(last, scratch, strict=True)]
        return StackedRNN([*below, readers], reader).outputs(sequences, every_step=True)

    def outputs_by_step(self, S: FloatArray, *, every_step: bool = False) -> FloatArray:
        """As `RNN.outputs_by_step`; with one per sequence, when both have read so many steps from their ends."""
        self.share_out()
        forward, *others = self.layers[-1]
        of_forward, *of_others = np.split(S, [forward.n_hidden], axis=1)
        outputs = forward.outputs_by_step(of_forward)
        for reverse, of_reverse in zip(others, of_others, strict=False):
            outputs = outputs + reverse.outputs_by_step(of_reverse[:: 1 if every_step else -1])
        return outputs


def _turned(rows: FloatArray, sequences: Sequences) -> FloatArray:
    """The rows of steps, which stand in the order in which they were read from the end, from each first step on."""
    first_and_last = 2 * sequences.first_steps + sequences.lengths - 1
    return rows[np.repeat(first_and_last, sequences.lengths) - np.arange(len(rows))]
