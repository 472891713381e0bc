"""The auxiliary variables of Algorithm 1 for one batch of sequences, and the penalties of one iteration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from admmirnn.data.sequences import as_read

if TYPE_CHECKING:
    from collections.abc import Iterable

    from admmirnn._typing import Array, FloatArray, IntArray
    from admmirnn.data.sequences import Minibatch, Sequences
    from admmirnn.losses import AnyLoss
    from admmirnn.networks import ElmanRNN
    from admmirnn.reference.kernels import Kernels


@dataclass(frozen=True)
class SweepSettings:
    """Penalties and options of one iteration.

    Attributes
    ----------
    rho1, rho2, rho3, nu, r : float
        Penalties of the three equations at t = N, of all of them at t < N, and of the proximal terms; > 0.
    derived : bool
        Whether signs follow from the augmented Lagrangian; otherwise they are those that the paper prints.
    linearised : bool
        Whether the o-step linearises R at V s_t + c.
    linear : bool
        Whether the a-step takes f(a) = a.
    coupled : bool
        Whether the s-step has the term in a_{t+1}.
    activation : str
        Name of the activation f.
    penalty : {"none", "ridge", "lasso"}
        Regulariser Omega(W): 0, 1/2 |W|^2 or sum |W|, times ``penalty_weight``.
    penalty_weight : float
        Weight of the regulariser, >= 0.
    """

    rho1: float
    rho2: float
    rho3: float
    nu: float
    r: float
    derived: bool = True
    linearised: bool = False
    linear: bool = False
    coupled: bool = False
    activation: str = "tanh"
    penalty: str = "none"
    penalty_weight: float = 0.0


class Variables:
    """a_t, s_t, o_t and the multipliers of one batch, next to the weights they share with other batches.

    A row stands for one step of one sequence, laid out as ``_kernels`` describes: the rows of a step follow one
    another, and those of the last step, t = N, are the last B.

    Attributes
    ----------
    d, n, K : int
        Numbers of features, hidden units and outputs.
    Theta, Psi : ndarray of shape (n, d + n + 1), (K, n + 1)
        Weights [U W b] and [V c], which are the network's own arrays.
    offsets : ndarray of shape (N + 2,), intp
        First rows of the steps: step t has the rows ``offsets[t]:offsets[t + 1]``.
    Z : ndarray of shape (rows + B, d + n + 1)
        Rows z_t = [x_t, s_{t-1}, 1]; the last B rows hold s_N.
    H : ndarray of shape (rows, n + 1)
        Rows h_t = [s_t, 1].
    A : ndarray of shape (rows, n)
        Pre-activations a_t.
    O : ndarray of shape (rows, K)
        Outputs o_t.
    lambda1, lambda2, lambda3 : ndarray of shape (B, n), (B, n), (B, K)
        Multipliers of the equations for a_N, s_N, o_N.
    labels : ndarray of shape (rows,), intp
        Class numbers, which may be anything where the row weight is zero.
    values : ndarray of shape (rows, K) or None
        Targets of the squared error; None for cross-entropy.
    row_weights : ndarray of shape (rows,)
        Weight of each row's loss, zero where there is no target.
    scratch_size : int
        Number of values that ``scratch`` must have room for.
    """

    d: int
    n: int
    Theta: FloatArray
    Psi: FloatArray
    labels: IntArray
    values: FloatArray | None
    row_weights: FloatArray
    lambda1: FloatArray
    lambda2: FloatArray
    lambda3: FloatArray

    def __init__(
        self,
        kernels: Kernels,
        network: ElmanRNN,
        batch: Minibatch,
        labels: IntArray,
        values: FloatArray | None,
        row_weights: FloatArray,
        *,
        scale: float = 1.0,
        standard: Array | None = None,
        penalised: bool = False,
    ) -> None:
        n, d, K, dtype = network.n_hidden, network.n_features, network.n_outputs, network.dtype
        rows, B = batch.n_rows, len(batch)
        self.d, self.n, self.K = d, n, K
        self.Theta, self.Psi = network.Theta, network.Psi
        self._blocks = network.blocks
        self.offsets: Array = batch.offsets
        self._rows_of_states = batch.rows_of_states()
        self.labels, self.values, self.row_weights = labels, values, row_weights
        self.Z = np.zeros((rows + B, d + n + 1), dtype)
        self.Z[:, -1] = 1
        self.H = np.ones((rows, n + 1), dtype)
        self.A = np.empty((rows, n), dtype)
        self.O = np.empty((rows, K), dtype)
        self.lambda1, self.lambda2 = np.zeros((B, n), dtype), np.zeros((B, n), dtype)
        self.lambda3 = np.zeros((B, K), dtype)
        self.scratch_size: int = kernels.sweep_room(rows, B, d, n, K, penalised)
        self._scratch: FloatArray | None = None
        if standard is None:
            self.Z[:rows, :d] = batch.inputs()
            self.Z[:rows, :d] *= dtype.type(scale)
        else:
            self.Z[:rows, :d] = as_read(batch.inputs(), dtype, scale, standard)

    @classmethod
    def of_sequences(
        cls,
        kernels: Kernels,
        network: ElmanRNN,
        sequences: Sequences,
        indices: IntArray,
        targets: Array,
        weights: FloatArray,
        loss: AnyLoss,
        *,
        penalised: bool = False,
    ) -> Variables:
        """The variables of some sequences, with a target for each sequence or for each of their steps.

        Parameters
        ----------
        kernels : namespace
            Back end.
        network : ElmanRNN
            Network whose weights are trained.
        sequences : Sequences
            All sequences of the training set.
        indices : ndarray of intp
            Indices of the sequences of the batch.
        targets : ndarray of shape (n_sequences, ...) or (n_steps, ...)
            Targets for ``loss``, of its dtype; those of the steps one sequence after the other.
        weights : ndarray of shape (n_sequences,) or (n_steps,)
            Weights >= 0 of the sequences, or of their steps.
        loss : SoftmaxCrossEntropy or SquaredError
            Loss R.
        penalised : bool, default=False
            Whether Omega(W) is not zero.
        """
        batch = sequences.minibatch(indices)
        sequence_of, step_of = batch.rows()
        step_of = sequences.first_steps[sequence_of] + step_of
        row_weights = weights[sequence_of if len(weights) == len(sequences) else step_of].astype(network.dtype)
        if len(targets) == len(sequences):
            of_rows = targets[sequence_of]
            row_weights[: -len(batch)] = 0  # R acts at the last step
        else:
            of_rows = targets[step_of]
        labels, values = (of_rows, None) if loss.takes_labels else (np.zeros(len(of_rows), np.intp), of_rows)
        return cls(
            kernels, network, batch, labels, values, row_weights, scale=sequences.scale,
            standard=sequences.standard_in(network.dtype), penalised=penalised,
        )  # fmt: skip

    @property
    def scratch(self) -> FloatArray:
        """Scratch of the sweep: an array of its own, unless one has been set, which batches can share."""
        if self._scratch is None:
            self._scratch = np.empty(self.scratch_size, self.Theta.dtype)
        return self._scratch

    @scratch.setter
    def scratch(self, array: FloatArray) -> None:
        self._scratch = array

    @property
    def n_steps(self) -> int:
        """N of the longest sequence."""
        return len(self.offsets) - 2

    @property
    def blocks(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """a_t, s_t and o_t, a row for each step of each sequence."""
        return self.A, self.H[:, :-1], self.O

    @property
    def multipliers(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """lambda1, lambda2 and lambda3."""
        return self.lambda1, self.lambda2, self.lambda3

    def roll_out(self, kernels: Kernels, activation: str) -> None:
        """Make a_t, s_t, o_t what the network gives, from the states s_0 that Z has; all residuals are zero then."""
        rows = len(self.A)
        kernels.roll_out(self.d, self.n, self.Theta, self.offsets, activation, self.Z)
        self.H[:] = self.Z[self._rows_of_states, self.d :]
        np.matmul(self.Z[:rows], self.Theta.T, out=self.A)
        np.matmul(self.H, self.Psi.T, out=self.O)

    def go_on_from(self, blocks: Iterable[FloatArray], multipliers: Iterable[FloatArray]) -> None:
        """Take over the ``blocks`` and ``multipliers`` of other variables of the same sequences."""
        for now, earlier in zip((*self.blocks, *self.multipliers), (*blocks, *multipliers), strict=True):
            now[:] = earlier
        self.Z[self._rows_of_states, self.d :] = self.H  # s_t is an input of step t + 1

    def residuals(self, kernels: Kernels, activation: str, out: list[FloatArray] | None = None) -> list[FloatArray]:
        """a_t - U x_t - W s_{t-1} - b, s_t - f(a_t), o_t - V s_t - c, a row for each step of each sequence.

        Parameters
        ----------
        kernels : namespace
            Back end.
        activation : str
            Name of the activation f.
        out : list of three ndarray, optional
            Arrays to write the residuals to, of the shapes of A, A and O.

        Returns
        -------
        list of three ndarray
            Residuals of the equations for a_t, s_t and o_t.
        """
        if out is None:
            out = [np.empty_like(values) for values in (self.A, self.A, self.O)]
        kernels.residuals(self, activation, *out)
        return out

    def update_multipliers(
        self, at: SweepSettings, a_residual: FloatArray, s_residual: FloatArray, o_residual: FloatArray
    ) -> None:
        """lambda1 += rho1 p_N, lambda2 += rho2 (s_N - f(a_N)), lambda3 += rho3 e_N (Eq. 15), given those residuals."""
        self.lambda1 += self.lambda1.dtype.type(at.rho1) * a_residual
        self.lambda2 += self.lambda2.dtype.type(at.rho2) * s_residual
        self.lambda3 += self.lambda3.dtype.type(at.rho3) * o_residual

    def lipschitz_bounds(self, at: SweepSettings) -> dict[str, float]:
        """For each linearised block, the least r with which its update cannot raise the augmented Lagrangian.

        The step minimises a model that lies above the augmented Lagrangian as soon as the proximal weight is at least
        the largest eigenvalue of the Hessian of what it linearises: omega |V|^2 (+ omega |W|^2 with the term in
        a_{t+1}) for s_t, omega for a_t, and for U, W, V, whose proximal weight is r times the number of rows, that of
        sum omega x x^T, sum omega s_{t-1} s_{t-1}^T and sum omega s_t s_t^T.  Without the term in a_{t+1} no r is
        enough for s_t.

        Parameters
        ----------
        at : SweepSettings
            Settings with the penalties omega: nu at t < N, rho1, rho2, rho3 at t = N.

        Returns
        -------
        dict
            Bounds by the names s, a, U, W, V.
        """
        rows, B = len(self.A), len(self.lambda1)
        omega1 = max(at.rho1, at.nu) if rows > B else at.rho1
        omega3 = max(at.rho3, at.nu) if rows > B else at.rho3
        arrays = self.Theta, self.Psi
        s = omega3 * _norm_square(self._blocks["V"].of(arrays))
        if at.coupled and rows > B:
            s += omega1 * _norm_square(self._blocks["W"].of(arrays))
        bounds = {"s": s, "a": omega1}
        for name, block in self._blocks.items():
            if len(block.axes) == 1:  # b and c are not linearised
                continue
            inputs, rho = ((self.Z[:rows], at.rho1), (self.H, at.rho3))[block.array]
            inputs = inputs[:, block.columns]
            gram = at.nu * (inputs[:-B].T @ inputs[:-B]) + rho * (inputs[-B:].T @ inputs[-B:])
            finite = np.isfinite(gram).all()
            bounds[name] = float(np.linalg.eigvalsh(gram)[-1]) / rows if finite else math.inf
        return bounds

    def loss_of_outputs(self, kernels: Kernels, loss: AnyLoss) -> tuple[float, int | None]:
        """The auxiliary loss, that of o_t, and how many o_t are largest at their label (None without labels)."""
        return loss.value(kernels, self.O, self.labels if self.values is None else self.values, self.row_weights)


def _norm_square(matrix: FloatArray) -> float:
    """|matrix|_2^2, infinite where it overflows, and ** would raise."""
    norm = float(np.linalg.norm(matrix, 2))
    return norm * norm
