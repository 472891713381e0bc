"""A layer that reads sequences in one direction, with its weights in the blocks that the solvers work on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from admmirnn.networks.blocks import INITIAL, arrays_of, blocks_of
from admmirnn.networks.cells import Elman
from admmirnn.networks.pruning import pruned_weights
from admmirnn.networks.rolling import outputs_of, pieces_of_outputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from admmirnn._typing import AnyCell, DType, FloatArray, IntArray
    from admmirnn.data.sequences import Sequences
    from admmirnn.networks.blocks import Block


class RNN:
    """Pre-activations of x_t, s_{t-1} and 1, of which a cell makes s_t;  o = V h + c, where h is read from the states.

    Parameters
    ----------
    maps : tuple of ndarray
        Matrices of the cell's maps: of `Elman` Theta = [U W b], of shape (n_hidden, n_features + n_hidden + 1).
    Psi : ndarray of shape (n_outputs, n_hidden + 1)
        Weights and biases of the outputs, [V c].
    cell : cell
        Cell, one of `admmirnn.networks.cells`.
    read_out : {"last", "mean", "max", "none"}, default="last"
        State h that outputs are computed from: s_N, or the mean or the largest of s_1 to s_N, unit by unit.  With
        "none" another layer reads the states, and there are no outputs.
    s_0, c_0 : ndarray of shape (n_hidden,), optional
        State before the first step, and cell state of a cell that has one; zero unless given.
    learns_s_0 : bool, default=False
        Whether training changes these states.
    n_features : int
        Number of features d.
    """

    def __init__(
        self,
        maps: Sequence[FloatArray],
        Psi: FloatArray,
        cell: AnyCell,
        read_out: str = "last",
        s_0: FloatArray | None = None,
        c_0: FloatArray | None = None,
        *,
        learns_s_0: bool = False,
        n_features: int,
    ) -> None:
        self.maps: tuple[FloatArray, ...] = tuple(maps)
        self.Psi = Psi
        self.cell = cell
        self.read_out = read_out
        self.s_0 = s_0
        self.c_0 = c_0
        self.learns_s_0 = learns_s_0
        self.n_features = n_features

    @property
    def Theta(self) -> FloatArray:
        """The matrix of a cell that has a single map."""
        (Theta,) = self.maps
        return Theta

    @property
    def n_hidden(self) -> int:
        """Number of hidden units, n."""
        return len(self.maps[0]) // self.cell.maps[0].rows_per_unit

    @property
    def hidden_size(self) -> int:
        """What an estimator has for it."""
        return self.n_hidden

    @property
    def n_carried(self) -> int:
        """How many numbers are carried from step to step: the state, and beside it the cell state, if there is one."""
        return self.n_hidden * (2 if self.cell.has_cell_state else 1)

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
    def activation(self) -> str:
        """f, by which states are made."""
        return self.cell.activation if isinstance(self.cell, Elman) else "tanh"

    @property
    def initial(self) -> dict[str, FloatArray]:
        """The states before the first step that are not zero, by name."""
        found = {"s_0": self.s_0, "c_0": self.c_0}
        return {name: state for name, state in found.items() if state is not None}

    @property
    def recurrent_weights(self) -> list[FloatArray]:
        """The matrices W of the maps that read the state, as views."""
        found, d, n = [], self.n_features, self.n_hidden
        for of, matrix in zip(self.cell.maps, self.maps, strict=True):
            parts = [part for part, _ in of.columns]
            if "s" in parts:
                first = d if "x" in parts else 0
                found.append(matrix[:, first : first + n])
        return found

    @property
    def blocks(self) -> Mapping[str, Block]:
        """Where in its arrays the weights of which name are."""
        return blocks_of(
            self.n_features, ((self.n_hidden,),), self.n_outputs, maps=self.cell.maps, initial=tuple(self.initial)
        )

    @property
    def arrays(self) -> tuple[FloatArray, ...]:
        """What its blocks are in."""
        return (*self.maps, self.Psi, *self.initial.values())

    @property
    def weights(self) -> dict[str, FloatArray]:
        """Its blocks by name, as views."""
        arrays = self.arrays
        return {name: block.of(arrays) for name, block in self.blocks.items()}

    @property
    def layers(self) -> tuple[tuple[RNN, ...], ...]:
        """One layer, of one direction: this network reads a sequence from its start."""
        return ((self,),)

    def share_out(self) -> None:
        """Do nothing: its Psi is that of its only direction."""

    @property
    def trained(self) -> tuple[FloatArray, ...]:
        """The arrays that training changes."""
        return self.arrays if self.learns_s_0 else (*self.maps, self.Psi)

    def initial_states(self, n_sequences: int) -> FloatArray | None:
        """s_0 of so many sequences, a row each, with c_0 beside it where there is a cell state; None if all is zero."""
        if self.s_0 is None and self.c_0 is None:
            return None
        start = np.zeros((2 if self.cell.has_cell_state else 1, self.n_hidden), self.dtype)
        for i, given in enumerate((self.s_0, self.c_0)):
            if given is not None:
                start[i] = given
        return np.tile(start.ravel(), (n_sequences, 1))

    def pruned(self) -> RNN:
        """The network without the units that its outputs never depend on, see `pruned_weights`.

        Returns
        -------
        RNN
            Network with arrays of its own and at least one unit.  Its outputs are equal but for the order of sums.
        """
        return rnn_of(pruned_weights(self), cell=self.cell, read_out=self.read_out)

    def outputs(self, sequences: Sequences, *, every_step: bool = False, n_threads: int = 1) -> FloatArray:
        """Roll the network out over sequences.

        Parameters
        ----------
        sequences : Sequences
            Sequences with the network's number of features.
        every_step : bool, default=False
            Whether to return V s_t + c of every step instead of a sequence's one output.
        n_threads : int, default=1
            Number of threads that share the sequences.

        Returns
        -------
        ndarray of shape (n_sequences, n_outputs) or (n_steps, n_outputs)
            Outputs o of every sequence, or after each of its steps, one sequence after the other.
        """
        return outputs_of(self, sequences, every_step=every_step, n_threads=n_threads)

    def pieces_of_outputs(
        self, sequences: Sequences, *, every_step: bool = False, n_threads: int = 1
    ) -> Iterator[tuple[IntArray, FloatArray]]:
        """Yield the rows of `outputs` and what stands there, some at a time, for which there always is memory."""
        return pieces_of_outputs(self, sequences, every_step=every_step, n_threads=n_threads)

    def reading(self, Psi: FloatArray, read_out: str = "last") -> RNN:
        """The same layer, whose states are read in another way."""
        return layer_of(self.maps, Psi, self.cell, read_out, self.s_0, self.c_0, n_features=self.n_features)

    def states(self, sequences: Sequences) -> FloatArray:
        """s_1 to s_N of every sequence, one sequence after the other, of shape (n_steps, n): the outputs of V = I."""
        reader = np.eye(self.n_hidden, self.n_hidden + 1, dtype=self.dtype)
        return self.reading(reader).outputs(sequences, every_step=True)

    def outputs_by_step(self, S: FloatArray, *, every_step: bool = False) -> FloatArray:
        """What V reads from the states ``S`` of one sequence up to each of its steps, of shape (n_steps, K).

        ``every_step``, whether targets have one, is the same to a network that reads from the start.
        """
        H = S
        if self.read_out == "mean":
            H = S.cumsum(axis=0) / np.arange(1, len(S) + 1, dtype=S.dtype)[:, None]
        elif self.read_out == "max":
            H = np.maximum.accumulate(S, axis=0)
        found: FloatArray = H @ self.Psi[:, :-1].T + self.Psi[:, -1]
        return found


class ElmanRNN(RNN):
    """a_t = U x_t + W s_{t-1} + b,  s_t = f(a_t),  o = V h + c, where h is read from the states.

    Parameters
    ----------
    Theta : ndarray of shape (n_hidden, n_features + n_hidden + 1)
        Weights and biases of the states, [U W b].
    Psi : ndarray of shape (n_outputs, n_hidden + 1)
        Weights and biases of the outputs, [V c].
    activation : {"tanh", "sigmoid", "relu", "leaky_relu", "identity"}
        Name of the activation f; the slope of the leaky relu below zero is 0.01.
    read_out, s_0, learns_s_0
        As in `RNN`.
    """

    cell: Elman

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
        n, m = Theta.shape
        super().__init__((Theta,), Psi, Elman(activation), read_out, s_0, learns_s_0=learns_s_0, n_features=m - n - 1)

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "Theta" in state:  # of an older version, in a stream
            ElmanRNN.__init__(self, **state)
        else:
            self.__dict__.update(state)

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
            Numbers d, n and K of features, hidden units and outputs.
        activation : {"tanh", "sigmoid", "relu", "leaky_relu", "identity"}
            Name of the activation f.
        dtype : dtype
            Precision, float32 or float64.
        random_state : numpy.random.RandomState
            Generator that the weights are drawn from.
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


def layer_of(
    maps: Sequence[FloatArray],
    Psi: FloatArray,
    cell: AnyCell,
    read_out: str,
    s_0: FloatArray | None = None,
    c_0: FloatArray | None = None,
    *,
    n_features: int,
) -> RNN:
    """The layer of one direction, an `ElmanRNN` where it is one; parameters as those of `RNN`."""
    if isinstance(cell, Elman):
        (Theta,) = maps
        return ElmanRNN(Theta, Psi, cell.activation, read_out, s_0)
    return RNN(maps, Psi, cell, read_out, s_0, c_0, n_features=n_features)


def rnn_of(weights: Mapping[str, FloatArray], *, cell: AnyCell, read_out: str) -> RNN:
    """The layer of one direction with the given weights by name, which are copied."""
    arrays, n = arrays_of(weights, cell.maps), len(cell.maps)
    initial = dict(zip([name for name in INITIAL if name in weights], arrays[n + 1 :], strict=True))
    s_0, c_0 = (initial.get(name) for name in INITIAL)
    n_features = next(block.shape[1] for name, block in weights.items() if name.startswith("U"))
    return layer_of(arrays[:n], arrays[n], cell, read_out, s_0, c_0, n_features=n_features)
