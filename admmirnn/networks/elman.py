"""The network itself: an Elman RNN with its weights in the blocks that the solvers work on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from admmirnn import backend
from admmirnn.networks.blocks import arrays_of, blocks_of
from admmirnn.networks.cells import Elman
from admmirnn.networks.room import Room, Space

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from admmirnn._typing import BoolArray, Cell, DType, FloatArray, IntArray
    from admmirnn.data.sequences import Sequences
    from admmirnn.networks.blocks import Block

_ROWS_AT_A_TIME = 1 << 13


class ElmanRNN:
    """a_t = U x_t + W s_{t-1} + b,  s_t = f(a_t),  o = V h + c, where h is read from the states.

    Parameters
    ----------
    Theta : ndarray of shape (n_hidden, n_features + n_hidden + 1)
        [U W b].
    Psi : ndarray of shape (n_outputs, n_hidden + 1)
        [V c].
    activation : {"tanh", "sigmoid", "relu", "leaky_relu", "identity"}
        f; leaky relu is 0.01 a below zero.
    read_out : {"last", "mean", "max", "none"}
        h: s_N, or the mean or the largest of s_1 to s_N, unit by unit.  With "none" another layer reads the states, and
        there are no outputs.
    s_0 : ndarray of shape (n_hidden,), optional
        The state before the first step; zero unless given.
    learns_s_0 : bool, default=False
        Whether training changes ``s_0``.
    """

    def __init__(
        self,
        Theta: FloatArray,
        Psi: FloatArray,
        activation: str = "tanh",
        read_out: str = "last",
        s_0: FloatArray | None = None,
        *,
        learns_s_0: bool = False,
    ) -> None:
        self.Theta = Theta
        self.Psi = Psi
        self.activation = activation
        self.read_out = read_out
        self.s_0 = s_0
        self.learns_s_0 = learns_s_0

    @classmethod
    def random(
        cls,
        n_features: int,
        n_hidden: int,
        n_outputs: int,
        *,
        activation: str = "tanh",
        dtype: DType | type[np.floating[Any]] = np.float32,
        random_state: np.random.RandomState,
        read_out: str = "last",
        symbols: bool = False,
    ) -> ElmanRNN:
        """U, W and b as the cell starts (`Elman.start`), V and c zero.

        Parameters
        ----------
        n_features, n_hidden, n_outputs : int
            d, n and K.
        activation : {"tanh", "sigmoid", "relu", "leaky_relu", "identity"}
            f.
        dtype : dtype
            float32 or float64.
        random_state : numpy.random.RandomState
            Where the weights are drawn from.
        read_out : {"last", "mean", "max"}
            As in the class.
        symbols : bool, default=False
            Whether features are symbols: as one of them is 1 and the others are 0, the variance of U is 1.
        """
        Theta = np.zeros((n_hidden, n_features + n_hidden + 1), dtype)
        network = cls(Theta, np.zeros((n_outputs, n_hidden + 1), dtype), activation, read_out)
        network.cell.start(network.weights, 1 if symbols else n_features, random_state)
        return network

    @classmethod
    def of_weights(
        cls, weights: Mapping[str, FloatArray], *, activation: str = "tanh", read_out: str = "last"
    ) -> ElmanRNN:
        """The network with the given weights by name, which are copied; without an s_0 that is zero."""
        Theta, Psi, *s_0 = arrays_of(weights)
        return cls(Theta, Psi, activation, read_out, *s_0)

    @property
    def cell(self) -> Cell:
        """What makes states of pre-activations."""
        return Elman(self.activation)

    @property
    def n_hidden(self) -> int:
        """Number of hidden units, n."""
        found: int = self.Theta.shape[0]
        return found

    @property
    def n_features(self) -> int:
        """Number of features of an observation, d."""
        found: int = self.Theta.shape[1] - self.Theta.shape[0] - 1
        return found

    @property
    def n_outputs(self) -> int:
        """Number of outputs, K."""
        found: int = self.Psi.shape[0]
        return found

    @property
    def dtype(self) -> DType:
        """float32 or float64."""
        return self.Theta.dtype

    @property
    def blocks(self) -> Mapping[str, Block]:
        """Where in its arrays the weights of which name are."""
        return blocks_of(self.n_features, (self.n_hidden,), self.n_outputs, has_s_0=self.s_0 is not None)

    @property
    def arrays(self) -> tuple[FloatArray, ...]:
        """What its blocks are in."""
        return (self.Theta, self.Psi) if self.s_0 is None else (self.Theta, self.Psi, self.s_0)

    @property
    def weights(self) -> dict[str, FloatArray]:
        """Its blocks by name, as views."""
        arrays = self.arrays
        return {name: block.of(arrays) for name, block in self.blocks.items()}

    @property
    def maps(self) -> tuple[FloatArray, ...]:
        """Those of its cell."""
        return (self.Theta,)

    @property
    def layers(self) -> tuple[tuple[ElmanRNN, ...], ...]:
        """One layer, of one direction: this network reads a sequence from its start."""
        return ((self,),)

    def share_out(self) -> None:
        """Do nothing: its Psi is that of its only direction."""

    @property
    def trained(self) -> tuple[FloatArray, ...]:
        """The arrays that training changes."""
        return self.arrays if self.learns_s_0 else (self.Theta, self.Psi)

    def initial_states(self, n_sequences: int) -> FloatArray | None:
        """s_0 of so many sequences, a row each, or None where it is zero."""
        return None if self.s_0 is None else np.tile(self.s_0, (n_sequences, 1))

    def pruned(self) -> ElmanRNN:
        """The network without the units that its outputs never depend on.

        These are the units whose state nobody reads, other than such units themselves, and those whose state is zero
        at every step of every sequence, because all they are given is zero and f(0) = 0.

        Returns
        -------
        ElmanRNN
            Its arrays are its own.  At least one unit is left.  Its outputs are equal but for the order of sums.
        """
        weights = self.weights
        W, driven = weights["W"], self.cell.is_driven(weights)
        if self.s_0 is not None:
            driven |= self.s_0 != 0
        driven = _reached(driven, W.T != 0)
        read = _reached(np.any(weights["V"], axis=0), W != 0)
        kept = np.flatnonzero(driven & read)
        if not len(kept):
            kept = np.arange(1)
        for name, block in self.blocks.items():
            for axis, letter in enumerate(block.axes):
                if letter == "n":
                    weights[name] = weights[name].take(kept, axis=axis)
        return ElmanRNN.of_weights(weights, activation=self.activation, read_out=self.read_out)

    def outputs(self, sequences: Sequences, *, every_step: bool = False, n_threads: int = 1) -> FloatArray:
        """Roll the network out over sequences.

        Parameters
        ----------
        sequences : Sequences
            With the network's number of features.
        every_step : bool, default=False
            Whether to return V s_t + c of every step instead of a sequence's one output.
        n_threads : int, default=1
            Threads that share the sequences.

        Returns
        -------
        ndarray of shape (n_sequences, n_outputs) or (n_steps, n_outputs)
            o of every sequence, or after each of its steps, one sequence after the other.
        """
        outputs = np.empty((sequences.lengths.sum() if every_step else len(sequences), self.n_outputs), self.dtype)
        for rows, some in self.pieces_of_outputs(sequences, every_step=every_step, n_threads=n_threads):
            outputs[rows] = some
        return outputs

    def pieces_of_outputs(
        self, sequences: Sequences, *, every_step: bool = False, n_threads: int = 1
    ) -> Iterator[tuple[IntArray, FloatArray]]:
        """Yield the rows of `outputs` and what stands there, some at a time, for which there always is memory."""
        kernels = backend.kernels()
        read_out = "each" if every_step else self.read_out
        longest = int(sequences.lengths.max())
        streams = sequences.in_chunks(min(longest, _ROWS_AT_A_TIME) if read_out in ("last", "each") else longest)
        chunks = streams.chunks
        first_chunks = chunks.lengths[streams.first_chunks]  # no other is longer
        parts = _parts(first_chunks, n_threads)
        n_rows = max(first_chunks[first:last].sum() for first, last in parts)
        most_sequences = max(last - first for first, last in parts)
        symbols = sequences.n_symbols > 0
        room = Room(self, read_out, n_rows, most_sequences, symbols=symbols, n_threads=n_threads)
        space = Space(kernels, room, sequences.scale)
        first_steps = chunks.first_steps
        with backend.one_blas_thread():
            for first, last in parts:
                part = np.arange(first, last)
                states = self.initial_states(len(part))
                for indices in streams.minibatches(part):
                    batch = chunks.minibatch(indices)
                    of = streams.stream_of[batch.indices] - first
                    space.fit(batch)
                    kernels.forward(space.work, space.kernel_batch, None if states is None else states[of])
                    if every_step:
                        sequence_of, step_of = batch.rows()
                        yield first_steps[sequence_of] + step_of, space.Q[batch.rows_of_outputs()]
                    else:
                        yield first + of, space.Q
                    if (streams.n_chunks[part] > 1).any():
                        states = np.zeros((len(part), self.n_hidden), self.dtype) if states is None else states
                        states[of] = space.S[batch.n_rows :]

    def states(self, sequences: Sequences) -> FloatArray:
        """s_1 to s_N of every sequence, one sequence after the other, of shape (n_steps, n): the outputs of V = I."""
        reader = np.eye(self.n_hidden, self.n_hidden + 1, dtype=self.dtype)
        return ElmanRNN(self.Theta, reader, self.activation, s_0=self.s_0).outputs(sequences, every_step=True)

    def outputs_by_step(self, S: FloatArray, *, every_step: bool = False) -> FloatArray:
        """What V reads from the states ``S`` of one sequence up to each of its steps, of shape (n_steps, K).

        ``every_step``, whether targets have one, is the same to a network that reads from the start.
        """
        H = S
        if self.read_out == "mean":
            H = S.cumsum(axis=0) / np.arange(1, len(S) + 1, dtype=S.dtype)[:, None]
        elif self.read_out == "max":
            H = np.maximum.accumulate(S, axis=0)
        weights = self.weights
        found: FloatArray = H @ weights["V"].T + weights["c"]
        return found


def _reached(units: BoolArray, leads_to: BoolArray) -> BoolArray:
    """The units in the mask ``units``, and all that one comes to from there by ``leads_to`` (n, n), row to column."""
    while True:
        more = units | leads_to[units].any(axis=0)
        if (more == units).all():
            return units
        units = more


def _parts(lengths: IntArray, n_threads: int) -> list[tuple[int, int]]:
    """Cut the sequences into runs of at most about ``_ROWS_AT_A_TIME`` steps a thread."""
    chunk = (np.cumsum(lengths) - lengths) // (_ROWS_AT_A_TIME * n_threads)
    bounds = np.flatnonzero(np.diff(chunk)) + 1
    return list(zip([0, *bounds.tolist()], [*bounds.tolist(), len(lengths)], strict=True))
