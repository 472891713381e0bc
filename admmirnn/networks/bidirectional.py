"""Two Elman networks, which read sequences from both ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from admmirnn.data.sequences import Sequences
from admmirnn.networks.blocks import arrays_of, blocks_of
from admmirnn.networks.elman import ElmanRNN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from admmirnn._typing import DType, FloatArray
    from admmirnn.networks.blocks import Block


class BidirectionalRNN:
    """Two Elman networks that read a sequence from its start and from its end: o = V h + V_reverse h_reverse + c.

    As their read-outs are "last", "mean" or "max", or each state: then o_t reads the one that has read x_1 to x_t, and
    the one that has read x_N down to x_t.

    Parameters
    ----------
    forward, reverse : ElmanRNN
        The network that reads from the start, and the other one, of the same activation and read-out and without an
        s_0.  Their Psi are scratch: [V c] and [V_reverse 0], see `share_out`.
    Psi : ndarray of shape (n_outputs, n_hidden + n_hidden_reverse + 1)
        [V V_reverse c].
    """

    s_0 = None
    learns_s_0 = False

    def __init__(self, forward: ElmanRNN, reverse: ElmanRNN, Psi: FloatArray) -> None:
        self.layers: tuple[tuple[ElmanRNN, ...], ...] = ((forward, reverse),)
        self.Psi = Psi
        self.share_out()

    @classmethod
    def random(cls, n_features: int, n_hidden: int, n_outputs: int, **settings: Any) -> BidirectionalRNN:
        """Both networks as `ElmanRNN.random` draws them, the one that reads from the start first."""
        forward, reverse = (ElmanRNN.random(n_features, n_hidden, n_outputs, **settings) for _ in range(2))
        return cls(forward, reverse, np.zeros((n_outputs, 2 * n_hidden + 1), forward.dtype))

    @classmethod
    def of_weights(
        cls, weights: Mapping[str, FloatArray], *, activation: str = "tanh", read_out: str = "last"
    ) -> BidirectionalRNN:
        """The network with the given weights by name, which are copied; V is [V V_reverse]."""
        *Thetas, Psi = arrays_of(weights)
        forward, reverse = (
            ElmanRNN(Theta, np.empty((len(Psi), len(Theta) + 1), Psi.dtype), activation, read_out) for Theta in Thetas
        )
        return cls(forward, reverse, Psi)

    def share_out(self) -> None:
        """Copy the blocks of Psi to where the two networks have theirs."""
        for i, (network, columns) in enumerate(zip(self.layers[0], self.blocks["V"].of_directions, strict=True)):
            network.Psi[:, :-1], network.Psi[:, -1] = self.Psi[:, columns], 0 if i else self.Psi[:, -1]

    @property
    def n_hidden(self) -> int:
        """Number of hidden units of the larger network."""
        return max(network.n_hidden for network in self.layers[0])

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
    def activation(self) -> str:
        """f of both."""
        return self.layers[0][0].activation

    @property
    def read_out(self) -> str:
        """That of both."""
        return self.layers[0][0].read_out

    @property
    def blocks(self) -> Mapping[str, Block]:
        """Where in its arrays the weights of which name are."""
        return blocks_of(self.n_features, tuple(network.n_hidden for network in self.layers[0]), self.n_outputs)

    @property
    def arrays(self) -> tuple[FloatArray, ...]:
        """What its blocks are in."""
        return (*(network.Theta for network in self.layers[0]), self.Psi)

    @property
    def weights(self) -> dict[str, FloatArray]:
        """Its blocks by name, as views."""
        arrays = self.arrays
        return {name: block.of(arrays) for name, block in self.blocks.items()}

    @property
    def trained(self) -> tuple[FloatArray, ...]:
        """The arrays that training changes."""
        return self.arrays

    def initial_states(self, n_sequences: int) -> None:
        """None: both networks start from zero."""
        return None

    def pruned(self) -> BidirectionalRNN:
        """Both networks without the units that the outputs never depend on, as `ElmanRNN.pruned`."""
        self.share_out()
        forward, reverse = (network.pruned() for network in self.layers[0])
        Psi = np.hstack([forward.weights["V"], reverse.weights["V"], self.weights["c"][:, None]])
        return BidirectionalRNN(forward, reverse, np.ascontiguousarray(Psi))

    def outputs(self, sequences: Sequences, *, every_step: bool = False, n_threads: int = 1) -> FloatArray:
        """Roll both networks out over sequences, as `ElmanRNN.outputs`."""
        self.share_out()
        forward, reverse = self.layers[0]
        outputs = forward.outputs(sequences, every_step=every_step, n_threads=n_threads)
        others = reverse.outputs(sequences.reversed(), every_step=every_step, n_threads=n_threads)
        outputs += _turned(others, sequences) if every_step else others
        return outputs

    def states(self, sequences: Sequences) -> FloatArray:
        """Those of both networks at each step, as `ElmanRNN.states`, side by side."""
        forward, reverse = self.layers[0]
        return np.hstack([forward.states(sequences), _turned(reverse.states(sequences.reversed()), sequences)])

    def outputs_by_step(self, S: FloatArray, *, every_step: bool = False) -> FloatArray:
        """As `ElmanRNN.outputs_by_step`; with one a sequence, when both have read so many steps from their ends."""
        self.share_out()
        forward, reverse = self.layers[0]
        of_forward, of_reverse = np.hsplit(S, [forward.n_hidden])
        return forward.outputs_by_step(of_forward) + reverse.outputs_by_step(of_reverse[:: 1 if every_step else -1])


def _turned(rows: FloatArray, sequences: Sequences) -> FloatArray:
    """The rows of steps, which stand in the order in which they were read from the end, from each first step on."""
    first_and_last = 2 * sequences.first_steps + sequences.lengths - 1
    return rows[np.repeat(first_and_last, sequences.lengths) - np.arange(len(rows))]
