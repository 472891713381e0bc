"""What Algorithm 1 reports of an iteration: computed once, shared by recording and stopping."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from admmirnn._typing import FloatArray, Record
    from admmirnn.losses import AnyLoss
    from admmirnn.networks import ElmanRNN
    from admmirnn.reference.kernels import Kernels
    from admmirnn.solvers.algorithm1.variables import SweepSettings, Variables

_EQUATIONS = ("a", "s", "o")


class Residuals:
    """Sums over the batches of one iteration, and the record they end in.

    Parameters
    ----------
    kernels : namespace
        Back end.
    network : ElmanRNN
        Network whose weights the batches share.
    batches : list of Variables
        Variables of all batches.
    loss : SoftmaxCrossEntropy or SquaredError
        Loss R.

    Attributes
    ----------
    largest_allowed : dict of float
        Sizes by the names of variables, beyond which a fit has diverged; see `remember_sizes`.
    """

    kernels: Kernels
    network: ElmanRNN
    batches: list[Variables]
    loss: AnyLoss

    def __init__(self, kernels: Kernels, network: ElmanRNN, batches: list[Variables], loss: AnyLoss) -> None:
        self.kernels, self.network, self.batches, self.loss = kernels, network, batches, loss
        most = max(len(variables.A) for variables in batches)
        n, K = network.n_hidden, network.n_outputs
        self._room = [np.empty((most, columns), network.dtype) for columns in (n, n, K)]
        self._weights_before = [np.empty_like(network.Theta), np.empty_like(network.Psi)]
        self._n_last = sum(len(variables.lambda1) for variables in batches)
        self._n_rows = sum(len(variables.A) for variables in batches)

    def remember_sizes(self) -> None:
        """Take the variables as they are for what `grown` compares with."""
        self.largest_allowed: dict[str, float] = {name: max(1.0, size) for name, size in self._measure_sizes().items()}
        for variables in self.batches:
            if variables.values is not None:
                largest = float(np.abs(variables.values).max())
                for name in ("o", *(name for name, block in self.network.blocks.items() if block.is_of_outputs)):
                    self.largest_allowed[name] = max(self.largest_allowed[name], largest)

    def begin(self, at: SweepSettings) -> None:
        """Start an iteration with the penalties ``at``."""
        self.at = at
        self.rhos: tuple[float, float, float] = (at.rho1, at.rho2, at.rho3)
        self._evaluated: Variables | None = None
        self._moved = dict.fromkeys(_EQUATIONS, 0.0)
        self._changed = 0.0
        for before, now in zip(self._weights_before, (self.network.Theta, self.network.Psi), strict=True):
            before[:] = now

    def before_sweep(self, variables: Variables) -> None:
        """Remember a_t, s_t, o_t."""
        self._evaluated = None
        for before, now in zip(self._room_of(variables), variables.blocks, strict=True):
            before[:] = now

    def after_sweep(self, variables: Variables) -> None:
        """Add |rho (x^{k+1} - x^k)|^2 of a_t, s_t, o_t, and the same without rho."""
        B = len(variables.lambda1)
        room = self._room_of(variables)
        for name, rho, before, now in zip(_EQUATIONS, self.rhos, room, variables.blocks, strict=True):
            np.subtract(now, before, out=before)
            others, last = _square(before[:-B]), _square(before[-B:])
            self._moved[name] += self.at.nu * self.at.nu * others + rho * rho * last
            self._changed += others + last

    def evaluate(self, variables: Variables) -> list[FloatArray]:
        """Compute the residuals of the three equations for one batch."""
        self._evaluated = variables
        return variables.residuals(self.kernels, self.at.activation, self._room_of(variables))

    def last_rows(self, variables: Variables) -> list[FloatArray]:
        """The residuals at t = N."""
        B = len(variables.lambda1)
        return [residual[-B:] for residual in self._room_of(variables)]

    def record(self, iteration: int, penalty: float) -> Record:
        """Return the record of an iteration.

        Returns
        -------
        dict
            ``epoch``: the iteration, from 1; ``lagrangian``: the augmented Lagrangian, Eq. (8), with the loss summed
            over sequences and steps; ``primal_a``, ``primal_s``, ``primal_o``: root mean square of
            a_t - U x_t - W s_{t-1} - b, s_t - f(a_t), o_t - V s_t - c at t < N (0 when there are none),
            ``primal_a_N`` and so on at t = N; ``dual_a``, ``dual_s``, ``dual_o``: root mean square of
            rho (x^{k+1} - x^k), with nu for rho at t < N; ``change``: sum of squares of x^{k+1} - x^k over all
            variables and weights (Theorem 3 speaks of its least value so far); ``auxiliary_loss``,
            ``auxiliary_accuracy``: of o_t, which has seen the labels; ``r``: the proximal weight.
        """
        others, last = dict.fromkeys(_EQUATIONS, 0.0), dict.fromkeys(_EQUATIONS, 0.0)
        lagrangian = loss = weight = 0.0
        n_correct = n_labelled = 0
        for variables in self.batches:
            B = len(variables.lambda1)
            # those that moved the multipliers are still right for the last batch: nothing has changed since
            up_to_date = variables is self._evaluated
            residuals = self._room_of(variables) if up_to_date else self.evaluate(variables)
            for name, rho, residual, multiplier in zip(
                _EQUATIONS, self.rhos, residuals, variables.multipliers, strict=True
            ):
                square, square_N = _square(residual[:-B]), _square(residual[-B:])
                others[name] += square
                last[name] += square_N
                lagrangian += 0.5 * self.at.nu * square + 0.5 * rho * square_N
                lagrangian += float(np.vdot(multiplier, residual[-B:]))
            mean, correct = variables.loss_of_outputs(self.kernels, self.loss)
            batch_weight = float(variables.row_weights.sum(dtype=np.float64))
            loss += mean * batch_weight
            weight += batch_weight
            if correct is not None:
                n_correct += correct
                n_labelled += int(np.count_nonzero(variables.row_weights))
        self.sizes: dict[str, float] = self._measure_sizes()
        changed = self._changed
        for before, now in zip(self._weights_before, (self.network.Theta, self.network.Psi), strict=True):
            np.subtract(now, before, out=before)
            changed += _square(before)
        self.result: dict[str, Any] = {"epoch": iteration, "lagrangian": lagrangian + loss + self._omega(penalty)}
        for name, before in zip(_EQUATIONS, self._room, strict=True):
            n_columns = before.shape[1]
            self.result[f"primal_{name}"] = _root(others[name], (self._n_rows - self._n_last) * n_columns)
            self.result[f"primal_{name}_N"] = _root(last[name], self._n_last * n_columns)
            self.result[f"dual_{name}"] = _root(self._moved[name], self._n_rows * n_columns)
        self.result["change"] = changed
        self.result["auxiliary_loss"] = loss / weight
        if n_labelled:
            self.result["auxiliary_accuracy"] = n_correct / n_labelled
        self.result["r"] = self.at.r
        return self.result

    def are_small(self, eps_abs: float, eps_rel: float) -> bool:
        """Whether every residual is at most eps_abs + eps_rel times the size of what it is a difference of."""
        sizes = self.sizes
        for name, rho in zip(_EQUATIONS, self.rhos, strict=True):
            most = eps_abs + eps_rel * sizes[name]
            if max(self.result[f"primal_{name}"], self.result[f"primal_{name}_N"]) > most:
                return False
            if self.result[f"dual_{name}"] > eps_abs + eps_rel * max(rho, self.at.nu) * sizes[name]:
                return False
        return True

    def grown(self, times: float) -> tuple[str, float] | None:
        """Name and size of the first variable that has become ``times`` as large as it was, or not finite; or None."""
        allowed = dict(self.largest_allowed)
        for i, (name, rho) in enumerate(zip(_EQUATIONS, self.rhos, strict=True), 1):
            allowed[f"lambda{i}"] = max(1.0, rho * allowed[name])  # it moves by rho times a residual
        for name, size in self.sizes.items():
            if not size <= times * allowed[name]:
                return name, size
        return None

    def _measure_sizes(self) -> dict[str, float]:
        """Root mean square of the variables, the multipliers and the weights."""
        sizes = {}
        for i, name in enumerate(_EQUATIONS):
            sizes[name] = _root_mean_square([variables.blocks[i] for variables in self.batches])
        for i in range(3):
            sizes[f"lambda{i + 1}"] = _root_mean_square([variables.multipliers[i] for variables in self.batches])
        for name, values in self.network.weights.items():
            sizes[name] = _root_mean_square([values])
        return sizes

    def _room_of(self, variables: Variables) -> list[FloatArray]:
        return [room[: len(variables.A)] for room in self._room]

    def _omega(self, penalty: float) -> float:
        W = self.network.weights["W"]
        if self.at.penalty == "ridge":
            return 0.5 * penalty * _square(W)
        return penalty * float(np.abs(W).sum(dtype=np.float64)) if self.at.penalty == "lasso" else 0.0


def _square(x: FloatArray) -> float:
    return (
        float(np.vdot(x, x))
        if x.flags.c_contiguous or x.ndim == 1
        else float(np.einsum("ij,ij->", x, x, dtype=np.float64))
    )


def _root(square: float, count: int) -> float:
    return math.sqrt(square / count) if count else 0.0


def _root_mean_square(arrays: list[FloatArray]) -> float:
    return _root(sum(_square(array) for array in arrays), sum(array.size for array in arrays))
