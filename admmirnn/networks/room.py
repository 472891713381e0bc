"""What sweeps of a network work on: arrays of the largest minibatch, and which of them the current one uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike, NDArray

    from admmirnn._typing import Array, Direction, DType, FloatArray
    from admmirnn.data.sequences import Minibatch
    from admmirnn.reference.kernels import Kernels
    from admmirnn.reference.work import _Work


class Room:
    """What a network's sweeps work on: its weights, and arrays for the largest minibatch, of which others use a part.

    Attributes
    ----------
    d, n, K : int
        Numbers of features, hidden units and outputs.
    maps : tuple of ndarray
        Matrices of the maps of the cell, which are the network's own arrays: of an Elman network [U W b].
    Psi : ndarray of shape (K, n + 1)
        Matrix [V c] of the outputs, the network's own array as well.
    cell : Cell
        Cell that makes states of pre-activations.
    read_out : str
        States that outputs are computed from: the read-out of the network, or "each".
    n_threads : int
        Number of threads that may share the sequences of a minibatch.
    gram_block : int
        Number of columns of x in a block of their Gram matrix; 0 where that is not cut.
    X : ndarray of shape (n_rows, d + 1), or None
        Rows [x_t, 1], laid out as ``_kernels`` describes.
    codes : ndarray of shape (n_rows,), or None
        Codes of the x_t, where they are symbols.
    S : ndarray of shape (n_rows + B, n)
        States s_{t-1}, with s_N at the end.
    A : ndarray of shape (rows_of_A, n_kept n), or None
        Numbers that the cell keeps of each step, later the multipliers of its equations.
    C : ndarray of shape (n_rows + B, n), or None
        Cell states, laid out as S.
    Q : ndarray of shape (n_outputs, K)
        Outputs: one row per sequence, or one for each row of S but those of the first step.
    mask : ndarray of shape (B, n), or None
        With dropout, factors by which the states of a sequence are multiplied for those that read them: outputs, or a
        layer above.
    H, steps : ndarray of shape (B, n), or None
        Pooled states, and with "max" the step of each.  With a mask H holds what the outputs read, a row for each of
        them.
    weights_T : ndarray
        Scratch memory.
    O_plus, lambda3 : ndarray of shape (n_outputs, K), or None
        Proximal points of the outputs, and the multipliers of the output equation.
    lambda1 : ndarray of shape (2 B, n), or None
        Multipliers of the equations for a_t, of two steps, or of all steps, if it has as many rows.  If the cell keeps
        something, these multipliers are in A, and ``lambda1`` has those of s_t.
    lambda_c : ndarray of shape (B, n), or None
        Multipliers of the cell states.
    initial_multipliers : ndarray of shape (B, n), or None
        Multipliers of s_0, W^T lambda1_1, where it is learnt.
    lambda_s : ndarray of shape (n_rows, n), or None
        Multipliers of the states, where another layer reads them and passes its multipliers back.
    lambda_x : ndarray of shape (n_rows, d), or None
        Products U^T lambda1_t, where the observations are the states of another layer: the lambda_s of that layer.
    sums : ndarray, or None
        Sums over the minibatch that the backward sweep leaves, see ``_kernels/statistics.pyx``, and its scratch.
    counts : ndarray of float64, or None
        Numbers of targets and rows that are in these sums, and the multipliers' Gram matrix.
    """

    d: int
    n: int
    dtype: DType
    n_threads: int
    Psi: FloatArray
    cell: Any
    read_out: str

    def __init__(
        self,
        network: Direction,
        read_out: str,
        n_rows: int,
        n_sequences: int,
        *,
        symbols: bool = False,
        n_threads: int = 1,
        rows_of_A: int | None = None,
        with_mask: bool = False,
        gram_block: int = 0,
    ) -> None:
        n, d, K, dtype = network.n_hidden, network.n_features, network.n_outputs, network.dtype
        cell = network.cell
        self.d, self.n, self.K, self.dtype, self.n_threads = d, n, K, dtype, n_threads
        self.gram_block = gram_block
        self.maps: Sequence[FloatArray] = network.maps
        self.Psi, self.cell, self.read_out = network.Psi, cell, read_out
        self.n_outputs: int = {"each": n_rows + n_sequences, "none": 0}.get(read_out, n_sequences)
        self.X: FloatArray | None = None if symbols else self.zeros(dtype, n_rows, d + 1)
        self.codes: NDArray[np.int32] | None = self.zeros(np.int32, n_rows) if symbols else None
        self.S: FloatArray = self.zeros(dtype, n_rows + n_sequences, n)
        rows_of_A = n_rows if rows_of_A is None else min(rows_of_A, n_rows)
        self.A: FloatArray | None = self.zeros(dtype, rows_of_A, cell.n_kept * n) if cell.n_kept else None
        self.C: FloatArray | None = self.zeros(dtype, n_rows + n_sequences, n) if cell.has_cell_state else None
        self.Q: FloatArray = self.zeros(dtype, self.n_outputs, K)
        self.mask: FloatArray | None = self.zeros(dtype, n_sequences, n) if with_mask else None
        has_H = read_out in ("mean", "max") or (with_mask and read_out != "none")
        self.H: FloatArray | None = self.zeros(dtype, self.n_outputs, n) if has_H else None
        self.steps: NDArray[np.int32] | None = self.zeros(np.int32, n_sequences, n) if read_out == "max" else None
        n_biases = cell.n_biases + cell.n_columns - cell.columns_of_x  # that are not added with the observation
        n_transposed = (d + 1) * cell.columns_of_x + n * cell.columns_of_s + n_biases
        self.weights_T: FloatArray = self.zeros(dtype, n_transposed, n)
        self.O_plus: FloatArray | None = None
        self.lambda3: FloatArray | None = None
        self.lambda1: FloatArray | None = None
        self.lambda_c: FloatArray | None = None
        self.initial_multipliers: FloatArray | None = None
        self.lambda_s: FloatArray | None = None
        self.lambda_x: FloatArray | None = None
        self.sums: FloatArray | None = None
        self.counts: NDArray[np.float64] | None = None

    @staticmethod
    def zeros(dtype: DTypeLike, *shape: int) -> Array:
        """An array that has been written to, so that the first iteration finds its memory there."""
        return np.full(shape, 0, dtype)


class Space:
    """A `Room`, which of it the current minibatch uses, and what kernels make of both.

    With spaces of a layer ``below``, their states are read instead of the observations: from where they are, if one
    direction reads one with no mask, and otherwise side by side.

    Attributes
    ----------
    joined : ndarray of shape (n_rows + B, d), or None
        States of several directions side by side, laid out as S.
    room : Room
        Arrays of the network.
    work : object
        Object that kernels take for the room.
    batch : Minibatch
        Current minibatch.
    kernel_batch : object
        Object that kernels take for the minibatch.
    n_outputs : int
        Number of rows of outputs that it has.
    """

    batch: Minibatch
    kernel_batch: Any
    n_outputs: int

    def __init__(
        self,
        kernels: Kernels,
        room: Room,
        scale: float = 1.0,
        below: Sequence[Space] = (),
        n_above: int = 1,
        standard: Array | None = None,
    ) -> None:
        self.room = room
        self.joined: FloatArray | None = None
        self._states_below: FloatArray | None = None
        if below:
            if reads_in_place(below, n_above):
                self._states_below = below[0].room.S
            else:
                self._states_below = self.joined = room.zeros(room.dtype, len(room.S), room.d)
        self.read_out: str = room.read_out
        self.work: _Work = kernels.work(room)
        self._scale, self._standard = scale, standard
        self._batch_of = kernels.batch

    def fit(self, batch: Minibatch) -> None:
        """Make ``batch`` the current one."""
        self.batch = batch
        if self._states_below is None:
            self.kernel_batch = self._batch_of(
                batch.observations, self._scale, batch.first_rows, batch.lengths, batch.offsets, batch.frame,
                batch.stride, self._standard,
            )  # fmt: skip
        else:
            self.kernel_batch = self._batch_of(self._states_below, 1.0, None, batch.lengths, batch.offsets)
        self.n_outputs = len(batch)
        if self.read_out == "each":
            self.n_outputs = int(batch.offsets[-1] - batch.offsets[1])
        elif self.read_out == "none":
            self.n_outputs = 0

    @property
    def S(self) -> FloatArray:
        """s_{t-1}, and s_N at the end."""
        return self.room.S[: self.batch.n_rows + len(self.batch)]

    @property
    def C(self) -> FloatArray | None:
        """Cell states, as S, or None if the cell has none."""
        return None if self.room.C is None else self.room.C[: self.batch.n_rows + len(self.batch)]

    @property
    def Q(self) -> FloatArray:
        """The outputs."""
        return self.room.Q[: self.n_outputs]

    @property
    def states_read(self) -> FloatArray:
        """h: the states that outputs are read from, as they see them, a row for each of Q."""
        if self.room.H is not None:
            return self.room.H[: self.n_outputs]
        return self.S[self.batch.offsets[1 if self.read_out == "each" else -2] :]


def reads_in_place(below: Sequence[Space], n_above: int) -> bool:
    """Whether a layer of so many directions reads the states below from where they are."""
    return len(below) == n_above == 1 and below[0].room.mask is None
