"""One output layer that reads both directions of a layer: h = [h_forward, h_reverse]."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from admmirnn._typing import FloatArray
    from admmirnn.networks import Network
    from admmirnn.reference.kernels import Kernels
    from admmirnn.solvers.rollout.state import Workspace


def room_of_joint(kernels: Kernels, network: Network) -> tuple[tuple[int, int], int]:
    """How many sums `Joint` leaves, and how many numbers it needs for them and its scratch; how many counts."""
    K, h = network.Psi.shape
    return ((K + h) * h, kernels.joint_room(h, K)), kernels.counts_room(network.cell, 0, False)


class Joint:
    """What an output layer says of two directions, and the order of their outputs after each step: the first one's.

    Parameters
    ----------
    kernels : Kernels
        Back end.
    Psi : ndarray of shape (K, h)
        Weights and biases of the outputs, [V V_reverse c].
    works : two of Workspace
        Workspaces of the direction that reads from the start, which has the targets, and of the other one.
    memory : ndarray, ndarray of float64
        Arrays that sums and counts are written to, of the sizes of `room_of_joint`.

    Attributes
    ----------
    sums, counts : ndarray
        Sums and counts of the output layer, as those of a `Workspace`.
    """

    counts: NDArray[np.float64]

    def __init__(
        self,
        kernels: Kernels,
        Psi: FloatArray,
        works: Sequence[Workspace],
        memory: tuple[FloatArray, NDArray[np.float64]],
    ) -> None:
        K, h = Psi.shape
        first, other = works
        self._kernels, self._first, self._other = kernels, first, other
        self._room, self.counts = memory
        self.sums: FloatArray = self._room[: (K + h) * h]
        self._states = None
        if first.read_out == "each":
            self._states = np.zeros((first.room.n_outputs, other.room.n), Psi.dtype)

    def outputs(self) -> FloatArray:
        """What the other direction adds to the outputs of the first one."""
        return self._mirrored(self._other.Q, self._other.room.O_plus)

    def lambda3(self) -> FloatArray:
        """The multipliers of the output equation, as the other direction takes them."""
        return self._mirrored(self._first.lambda3, self._other.room.lambda3)

    def sum_up(self, gram_steps: tuple[int, int]) -> None:
        """Write the sums over the minibatch."""
        first, other = self._first, self._other
        H_reverse = self._mirrored(other.states_read, self._states)
        self._kernels.joint_sums(
            first.work, first.kernel_batch, H_reverse, other.room.n, first.lambda3, first.weights, *gram_steps,
            self._room, self.counts,
        )  # fmt: skip

    def _mirrored(self, rows: FloatArray, out: FloatArray | None) -> FloatArray:
        """Return rows of outputs after each step in the order of the other direction, and others as they are."""
        if out is None or self._first.read_out != "each":
            return rows
        out = out[: len(rows)]
        self._kernels.mirror(rows, self._first.kernel_batch, out)
        return out
