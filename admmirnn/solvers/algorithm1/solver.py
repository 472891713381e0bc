"""Solver "algorithm1": Algorithm 1 of the paper; its auxiliary variables are kept between iterations."""

from __future__ import annotations

import math
import numbers
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator

from admmirnn import backend, validation
from admmirnn.data.sequences import split
from admmirnn.networks import check_elman
from admmirnn.solvers.algorithm1.residuals import Residuals
from admmirnn.solvers.algorithm1.variables import SweepSettings, Variables
from admmirnn.solvers.capability import Capability
from admmirnn.solvers.memory import as_dict
from admmirnn.solvers.problem import check_calls, check_max_iter, check_objects, check_problem, check_run
from admmirnn.solvers.status import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from admmirnn._typing import Array, FloatArray, IntArray, RandomState, Record, Schedule
    from admmirnn.data.sequences import Sequences
    from admmirnn.losses import AnyLoss
    from admmirnn.networks import ElmanRNN
    from admmirnn.solvers.interface import EndOfEpoch, KeepState, Limits

BACKWARD, FORWARD = b"ocVsabWU", b"UWbasVco"  # the blocks in the paper's order, at every t
_GROWTH = 1e6
_LIPSCHITZ_MARGIN = 2.0  # the bounds are those at the start of an iteration, and the blocks move during it


class Algorithm1(BaseEstimator):
    """Algorithm 1 of the paper: ADMM on the unfolded network's own variables a_t, s_t, o_t.

    For every sequence the equations a_t = U x_t + W s_{t-1} + b, s_t = f(a_t), o_t = V s_t + c are penalised: by nu at
    t < N, and at t = N by rho1, rho2, rho3 with the multipliers lambda1, lambda2, lambda3 (Problem 2, Eq. 8).  An
    iteration passes through the steps t = 1..N, at each of them backward through the blocks o_t, c, V, s_t, a_t, b, W,
    U and forward through U, W, b, a_t, s_t, V, c, o_t, and then updates the multipliers.  It costs O(N): sums over t
    are kept current instead of being taken anew (``_kernels/sweep.pyx``).

    All of the training set is one batch unless ``batch_size`` is given: then every batch keeps its own variables, and
    an iteration passes through the batches in turn.  The variables start from the roll-out of the initial weights.

    The o-step pulls o_t towards the *label*, so the auxiliary loss, that of o, can be near zero whatever the network
    has learnt; ``history_`` has it next to the loss of the roll-out.  See ``docs/paper.md``.

    The records of ``history_`` have ``epoch`` (the iteration), ``rollout_loss`` and ``training_accuracy`` (of the
    roll-out, after the iteration), ``auxiliary_loss``, ``auxiliary_accuracy``, ``lagrangian`` (Eq. 8, summed over
    sequences), ``primal_a``, ``primal_s``, ``primal_o`` and the same with ``_N`` (root mean square of the equations'
    residuals at t < N and at t = N), ``dual_a``, ``dual_s``, ``dual_o`` (of rho (x^{k+1} - x^k)), ``change`` (sum of
    squares of x^{k+1} - x^k over everything), ``r`` and ``seconds``.

    Parameters
    ----------
    rho1, rho2, rho3 : float or callable, default=1.0
        Penalties of the three equations at t = N, > 0; a function is called with the number of the iteration, from 1.
    nu : float or callable, default=0.1
        Penalty of the equations at t < N, > 0; a function is called with the number of the iteration, from 1.
    r : float, callable or "lipschitz", default=1.0
        Proximal weight of the linearised steps, > 0: of s_t and a_t as it is, of U, W, V times the number of rows
        (steps of all sequences).  Too small an r diverges.  "lipschitz" takes twice the largest of the penalties and of
        the blocks' Lipschitz constants (`Variables.lipschitz_bounds`) at the start of every iteration.
    signs : {"derived", "printed"}, default="derived"
        Signs of the updates: those that follow from the augmented Lagrangian, or those of the equations as the paper
        prints them.
    o_step : {"prox", "linearised"}, default="prox"
        Way to update o_t: with the exact proximal operator of the loss, or with the loss linearised.
    a_step : {"exact", "linear"}, default="exact"
        Way to update a_t: the global minimiser with f, or the paper's simplification f(a) = a.
    s_coupling : bool, default=False
        Whether the s-step has the term in a_{t+1}, which the paper leaves out.
    omega : {"ridge", "lasso"}, default="ridge"
        Regulariser Omega(W) = ``penalty/2 |W|^2`` or ``penalty sum |W|``, with the ``penalty`` of the estimator; 0
        means none.  It is added to the sum of the losses over all sequences.
    max_iter : int or None, default=None
        Number of iterations, >= 1; None takes the ``max_epochs`` of the estimator.
    keep : {"best", "last"}, default="best"
        Weights that the fit ends with: those with the lowest roll-out loss on the training set, the initial ones among
        them, or the last ones, unless the fit has diverged or their roll-out is not finite.
    eps_abs, eps_rel : float, default=1e-5, 1e-4
        Absolute and relative tolerance, >= 0: the fit has converged when the root mean square of every residual is at
        most ``eps_abs`` plus ``eps_rel`` times the size of what it is a difference of.  At t < N there are penalties
        and no multipliers, so those residuals need not vanish, and many problems end at the limit of iterations.

    Notes
    -----
    "ADMMiRNN: Training RNN with Stable Convergence via an Efficient ADMM Approach", Algorithm 1, Eq. (8) to (21).
    """

    def __init__(
        self,
        rho1: float | Schedule = 1.0,
        rho2: float | Schedule = 1.0,
        rho3: float | Schedule = 1.0,
        nu: float | Schedule = 0.1,
        r: float | str | Schedule = 1.0,
        signs: str = "derived",
        o_step: str = "prox",
        a_step: str = "exact",
        s_coupling: bool = False,
        omega: str = "ridge",
        max_iter: int | None = None,
        keep: str = "best",
        eps_abs: float = 1e-5,
        eps_rel: float = 1e-4,
    ) -> None:
        self.rho1 = rho1
        self.rho2 = rho2
        self.rho3 = rho3
        self.nu = nu
        self.r = r
        self.signs = signs
        self.o_step = o_step
        self.a_step = a_step
        self.s_coupling = s_coupling
        self.omega = omega
        self.max_iter = max_iter
        self.keep = keep
        self.eps_abs = eps_abs
        self.eps_rel = eps_rel

    capabilities: frozenset[Capability] = frozenset({Capability.LABELS_PER_STEP, Capability.CHECKPOINTS})
    losses: tuple[str, ...] = ("cross_entropy", "squared_error")

    def check_settings(self) -> None:
        """Raise ValueError or TypeError unless every setting is in its range."""
        check_algorithm1(self)

    def iterations_per_epoch(self, n_sequences: int, batch_size: int | None = None) -> int:
        """An iteration takes all batches and counts as an epoch."""
        return 1

    def solve(
        self,
        network: ElmanRNN,
        sequences: Sequences,
        targets: Array,
        loss: AnyLoss,
        *,
        weights: FloatArray | None = None,
        penalty: float = 0.0,
        max_epochs: int = 1,
        batch_size: int | None = None,
        shuffle: bool = True,
        random_state: RandomState = None,
        on_epoch_end: EndOfEpoch | None = None,
        n_threads: int | None = 1,
        limits: Limits | None = None,
        checkpoint: KeepState | None = None,
        resume: tuple[list[Record], dict[str, Any]] | None = None,
    ) -> Outcome:
        """Train ``network`` in place.

        Parameters
        ----------
        network : ElmanRNN
            Network with its initial weights.
        sequences : Sequences
            Observations of the network's dtype.
        targets : ndarray of shape (n_sequences,) or (n_steps,), with a second axis of n_outputs for `SquaredError`
            Targets: one for each sequence, at its last step, or one for each step of every sequence, one sequence after
            the other.
        loss : SoftmaxCrossEntropy or SquaredError
            Loss R.
        weights : ndarray of shape (n_sequences,) or (n_steps,), optional
            Positive weights of the sequences, or weights >= 0 of their steps: where one is 0 there is no target.  They
            weigh the losses, not the penalties of the equations.
        penalty : float, default=0.0
            Weight of Omega(W), >= 0.
        max_epochs : int
            Number of iterations, unless ``max_iter`` is set.
        batch_size : int or None, default=None
            Largest number of sequences in a batch; None puts all of them into one.
        shuffle : bool, default=True
            Whether sequences are put into batches at random.
        random_state : int, RandomState or None
            Seed for the order of sequences.
        on_epoch_end : callable, optional
            Function that is called with the iteration's record; training stops when it returns True, or the Status to
            end with.
        n_threads : int or None, default=1
            Number of threads of the roll-outs that are measured; the sweep itself passes through the steps one after
            the other.
        limits : object, optional
            Limits as in `Rollout.solve`, asked after every iteration.
        checkpoint : callable, optional
            Function as in `Rollout.solve`, called after every iteration that is not the last for a reason of its own.
        resume : tuple of list and dict, optional
            State of another call, as in `Rollout.solve`.

        Returns
        -------
        Outcome
            Outcome, whose history has one record per iteration, see
            `admmirnn.solvers.algorithm1.residuals.Residuals.record`.

        Raises
        ------
        ValueError, TypeError
            If a setting is out of its range, or ``resume`` is not the state of such a fit.
        """
        check_objects(network, sequences, loss)
        check_run(penalty, max_epochs, batch_size, shuffle)
        check_calls(on_epoch_end, limits, checkpoint, resume)
        n_iterations = max_epochs if self.max_iter is None else self.max_iter
        schedules = check_algorithm1(self, n_iterations)
        generator = validation.check_random_state(random_state)
        check_elman(
            network, "this solver has steps for one layer of the cell 'elman', which reads from the start; use Rollout"
        )
        check_problem(network, sequences, targets, weights, loss, per_step=True, losses=self.losses)
        n_threads = validation.check_n_threads(n_threads)
        fit = _Fit(self, schedules, network, sequences, targets, loss, weights, penalty, n_threads)
        order = _order(len(sequences), batch_size, generator if shuffle else None)
        if resume is not None:
            fit.history, state = resume
            order = fit.order_of(state)
        fit.form_batches(batch_size, order)
        status = Status.ITERATION_LIMIT
        with backend.one_blas_thread():
            with _overflow_is_expected():
                fit.start_from_the_roll_out()
            if resume is not None:
                fit.go_on_from(state)
            for iteration in range(len(fit.history) + 1, n_iterations + 1):
                with _overflow_is_expected():
                    fit.begin(iteration)
                    for variables in fit.batches:
                        fit.sweep(variables)
                        fit.update_multipliers(variables)
                    fit.measure()
                if ending := fit.ending(on_epoch_end, limits):
                    status = ending
                    break
                if checkpoint is not None:
                    checkpoint(fit.history, lambda: as_dict(fit.state()))
        fit.keep_weights(self.keep)
        return Outcome(fit.history, status, fit.what_grew(), fit.warning())


def _overflow_is_expected() -> AbstractContextManager[None]:
    """Divergence is found by looking at the sizes of the variables; numpy need not warn of it as well."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")


def _order(n_sequences: int, batch_size: int | None, random_state: np.random.RandomState | None) -> IntArray:
    """The numbers of the sequences, in the order in which they are put into batches."""
    if random_state is None or batch_size is None or batch_size >= n_sequences:
        return np.arange(n_sequences)
    return random_state.permutation(n_sequences)


def _joined(of_batches: Iterable[tuple[FloatArray, ...]]) -> list[FloatArray]:
    """Each of the batches' arrays, those of all batches one after the other."""
    return [np.concatenate(arrays) for arrays in zip(*of_batches, strict=True)]


def _cut(joined: Iterable[FloatArray], n_rows: list[int]) -> Iterator[tuple[FloatArray, ...]]:
    """The reverse of `_joined`, of batches with so many rows."""
    borders = np.cumsum(n_rows)[:-1]
    return zip(*(np.split(array, borders) for array in joined), strict=True)


@dataclass
class BestWeights:
    """Those of the lowest roll-out loss so far."""

    loss: float
    weights: list[FloatArray]


@dataclass
class State:
    """All that another fit needs to go on from here, after an iteration.

    Attributes
    ----------
    order : ndarray of intp
        Numbers of the sequences, in the order in which they have been put into batches.
    weights : list of ndarray
        Weights of the network.
    blocks, multipliers : list of ndarray
        Variables a_t, s_t and o_t, and their multipliers, the rows of all batches one after the other.
    best : BestWeights
        Weights that `keep` may take.
    last_loss : float
        Loss of the last roll-out.
    largest_allowed : dict of float
        As in `Residuals`.
    """

    order: IntArray
    weights: list[FloatArray]
    blocks: list[FloatArray]
    multipliers: list[FloatArray]
    best: BestWeights
    last_loss: float
    largest_allowed: dict[str, float]


class _Fit:
    """Everything one call of `Algorithm1.solve` works on, and its steps."""

    def __init__(
        self,
        settings: Algorithm1,
        schedules: Mapping[str, Callable[[int], float | None]],
        network: ElmanRNN,
        sequences: Sequences,
        targets: Array,
        loss: AnyLoss,
        weights: FloatArray | None,
        penalty: float,
        n_threads: int,
    ) -> None:
        self.settings, self.schedules = settings, schedules
        self.network, self.sequences, self.loss = network, sequences, loss
        self.kernels = backend.kernels()
        self.penalty, self.n_threads = penalty, n_threads
        self.every_step = len(targets) != len(sequences)
        self.targets = np.ascontiguousarray(targets, loss.target_dtype or network.dtype)
        self.weights = np.ones(len(sequences)) if weights is None else np.asarray(weights, np.float64)
        per_sequence = len(self.weights) == len(sequences)
        of_outputs = np.repeat(self.weights, sequences.lengths) if self.every_step and per_sequence else self.weights
        self.output_weights = of_outputs.astype(network.dtype)
        self.batches: list[Variables] = []
        self.history: list[Record] = []
        self.grown: tuple[str, float] | None = None

    def form_batches(self, batch_size: int | None, order: IntArray) -> None:
        """Cut the sequences into batches, each with its own variables."""
        self.order = order
        for some in split(order, batch_size or len(order)):
            self.batches.append(
                Variables.of_sequences(
                    self.kernels,
                    self.network,
                    self.sequences,
                    some,
                    self.targets,
                    self.weights,
                    self.loss,
                    penalised=self.penalty > 0,
                )
            )
        scratch = np.empty(max(variables.scratch_size for variables in self.batches), self.network.dtype)
        for variables in self.batches:
            variables.scratch = scratch

    def start_from_the_roll_out(self) -> None:
        """Make every variable what the network itself gives, the multipliers zero."""
        for variables in self.batches:
            variables.roll_out(self.kernels, self.network.activation)
        self.residuals = Residuals(self.kernels, self.network, self.batches, self.loss)
        self.residuals.remember_sizes()
        self.best = (math.inf, self.network.Theta.copy(), self.network.Psi.copy())
        self._remember_weights(self._rollout_loss()[0])

    def state(self) -> State:
        """What another fit needs to go on from here, after an iteration; the batches' arrays are joined."""
        best_loss, *best_weights = self.best
        return State(
            order=self.order,
            weights=list(self.network.trained),
            blocks=_joined([variables.blocks for variables in self.batches]),
            multipliers=_joined([variables.multipliers for variables in self.batches]),
            best=BestWeights(best_loss, best_weights),
            last_loss=self.last_loss,
            largest_allowed=self.residuals.largest_allowed,
        )

    def order_of(self, found: Any) -> IntArray:
        """The order in which another fit has put the sequences into batches, in the state that a checkpoint holds."""
        n, of_found = len(self.sequences), found.get("order") if isinstance(found, dict) else found
        validation.check_state("solver.order", of_found, validation.different(n, n, n))
        order: IntArray = np.asarray(of_found, np.intp)
        return order

    def form(self) -> dict[str, Any]:
        """What the state of another fit has to be in a checkpoint, see `validation.check_state`."""
        weights = [validation.finite(weights) for weights in self.network.trained]
        return as_dict(self.state()) | {
            "weights": weights,
            "best": {"loss": validation.number(), "weights": weights},
            "last_loss": 0.0,
            "largest_allowed": dict.fromkeys(self.residuals.largest_allowed, validation.number(0)),
        }

    def go_on_from(self, found: dict[str, Any]) -> None:
        """Take over the state of another fit that a checkpoint holds, with its order."""
        validation.check_state("solver", found, self.form())
        state = State(**found | {"best": BestWeights(**found["best"])})
        for weights, earlier in zip(self.network.trained, state.weights, strict=True):
            np.copyto(weights, earlier)
        blocks = _cut(state.blocks, [len(variables.A) for variables in self.batches])
        multipliers = _cut(state.multipliers, [len(variables.lambda1) for variables in self.batches])
        for variables, *of_batch in zip(self.batches, blocks, multipliers, strict=True):
            variables.go_on_from(*of_batch)
        Theta, Psi = state.best.weights
        self.best = (state.best.loss, Theta, Psi)
        self.last_loss = state.last_loss
        self.residuals.largest_allowed = state.largest_allowed

    def begin(self, iteration: int) -> None:
        """Set the penalties of this iteration."""
        settings = self.settings
        self.iteration = iteration
        self.started = time.perf_counter()
        penalties: dict[str, Any] = {name: value_at(iteration) for name, value_at in self.schedules.items()}
        self.at = SweepSettings(
            **penalties,
            derived=settings.signs == "derived",
            linearised=settings.o_step == "linearised",
            linear=settings.a_step == "linear",
            coupled=settings.s_coupling,
            activation=self.network.activation,
            penalty=settings.omega if self.penalty else "none",
            penalty_weight=self.penalty / len(self.batches),
        )
        if self.at.r is None:
            at = self.at
            bounds = [max(variables.lipschitz_bounds(at).values()) for variables in self.batches]
            # at least the penalties: V may be zero now and not at the end of the iteration
            r = _LIPSCHITZ_MARGIN * max(at.rho1, at.rho2, at.rho3, at.nu, *bounds)
            self.at = replace(at, r=r)
        self.residuals.begin(self.at)

    def sweep(self, variables: Variables) -> None:
        """For t = 1..N: o_t, c, V, s_t, a_t, b, W, U, then U, W, b, a_t, s_t, V, c, o_t."""
        self.residuals.before_sweep(variables)
        self.kernels.sweep(variables, self.at, BACKWARD + FORWARD, 0, variables.n_steps)
        self.residuals.after_sweep(variables)

    def update_multipliers(self, variables: Variables) -> None:
        """lambda1 += rho1 p_N, lambda2 += rho2 (s_N - f(a_N)), lambda3 += rho3 e_N (Eq. 15)."""
        self.residuals.evaluate(variables)
        variables.update_multipliers(self.at, *self.residuals.last_rows(variables))

    def measure(self) -> None:
        """Record the residuals, the augmented Lagrangian, and the losses of o and of the roll-out."""
        loss, accuracy = self._rollout_loss()
        record = self.residuals.record(self.iteration, self.penalty)
        record["rollout_loss"] = loss
        if accuracy is not None:
            record["training_accuracy"] = accuracy
        record["seconds"] = time.perf_counter() - self.started
        self.history.append(record)
        self.grown = self.residuals.grown(_GROWTH)
        if self.grown is None:
            self._remember_weights(loss)

    def ending(self, on_epoch_end: EndOfEpoch | None, limits: Limits | None) -> Status | None:
        """Decide, from what has been measured, whether the fit ends after this iteration: the status, or None."""
        if self.grown:
            return Status.DIVERGED
        asked = Status.asked_for(on_epoch_end(self.history[-1])) if on_epoch_end is not None else None
        if ending := asked or (limits.reached() if limits is not None else None):
            return ending
        settings = self.settings
        return Status.CONVERGED if self.residuals.are_small(settings.eps_abs, settings.eps_rel) else None

    def _rollout_loss(self) -> tuple[float, float | None]:
        """Loss and accuracy of the network's own outputs on the whole training set."""
        outputs = self.network.outputs(self.sequences, every_step=self.every_step, n_threads=self.n_threads)
        loss, n_correct = self.loss.value(self.kernels, outputs, self.targets, self.output_weights)
        return loss, None if n_correct is None else n_correct / int(np.count_nonzero(self.output_weights))

    def _remember_weights(self, loss: float) -> None:
        self.last_loss = loss
        if loss < self.best[0]:
            self.best = (loss, self.network.Theta.copy(), self.network.Psi.copy())

    def keep_weights(self, keep: str) -> None:
        """Put the best weights into the network, unless the last ones are wanted and can predict."""
        _, Theta, Psi = self.best
        if keep == "best" or self.grown is not None or not math.isfinite(self.last_loss):
            self.network.Theta[:], self.network.Psi[:] = Theta, Psi

    def warning(self) -> str | None:
        """What the user should know of a fit that diverged, or whose network overflows."""
        if self.grown is None:
            if math.isfinite(self.last_loss):
                return None
            return (
                "the roll-out of the last weights is not finite on the training set; the weights with the lowest "
                "training roll-out loss were kept. activation='tanh', or smaller observations, avoid this"
            )
        settings = self.settings
        remedies = ["smaller observations or targets"]
        if settings.r != "lipschitz" or not settings.s_coupling:
            remedies.insert(0, "r='lipschitz' with s_coupling=True, or a larger r")
        if settings.signs != "derived":
            remedies.insert(0, "signs='derived'")
        return (
            f"Algorithm 1 diverged in iteration {self.iteration}: {self.what_grew()}; the weights with the lowest "
            f"training roll-out loss before that were kept. What may help: {'; '.join(remedies)}"
        )

    def what_grew(self) -> str | None:
        """The variable that grew and how large it became, or None."""
        if self.grown is None:
            return None
        name, size = self.grown
        return f"the root mean square of {name} grew to {size:.3g}"


def check_algorithm1(settings: Algorithm1, n_iterations: int = 1) -> dict[str, Callable[[int], float | None]]:
    """Raise unless every setting of an `Algorithm1` is in its range.

    Returns
    -------
    dict
        Functions of the iteration for rho1, rho2, rho3, nu and r, each of which returns a float; that of r returns None
        for "lipschitz".
    """
    validation.check_choice("signs", settings.signs, ("derived", "printed"))
    validation.check_choice("o_step", settings.o_step, ("prox", "linearised"))
    validation.check_choice("a_step", settings.a_step, ("exact", "linear"))
    validation.check_boolean("s_coupling", settings.s_coupling)
    validation.check_choice("omega", settings.omega, ("ridge", "lasso"))
    validation.check_choice("keep", settings.keep, ("best", "last"))
    validation.check_number("eps_abs", settings.eps_abs)
    validation.check_number("eps_rel", settings.eps_rel)
    check_max_iter(settings.max_iter)
    validation.check_limit("the number of iterations", n_iterations, 1)
    schedules: dict[str, Callable[[int], float | None]] = {
        name: _schedule(name, getattr(settings, name), n_iterations) for name in ("rho1", "rho2", "rho3", "nu")
    }
    if isinstance(settings.r, str):
        if settings.r != "lipschitz":
            raise ValueError(f"r is {settings.r!r}; pass a number > 0, a function of the iteration, or 'lipschitz'")
        return schedules | {"r": lambda iteration: None}
    return schedules | {"r": _schedule("r", settings.r, n_iterations, alternatives=", or 'lipschitz'")}


def _schedule(name: str, value: Any, n_iterations: int, alternatives: str = "") -> Schedule:
    """A number, or a function of the iteration whose values are all checked now, as a function of the iteration."""
    if not callable(value):
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            raise TypeError(
                f"{name} is {value!r} of type {type(value).__name__}; pass a number > 0, a function of the iteration "
                f"that returns one{alternatives}"
            )
        constant = validation.check_number(name, value, strict=True)
        return lambda iteration: constant
    with validation.naming(name):
        values = [validation.check_number(f"{name}({k})", value(k), strict=True) for k in range(1, n_iterations + 1)]
    return lambda iteration: values[iteration - 1]
