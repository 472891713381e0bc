"""Solver "rollout": every iteration of ADMM starts from a feasible point, the network's own roll-out."""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from admmirnn import backend, validation
from admmirnn.activations import BOUNDED
from admmirnn.model import check_one_direction
from admmirnn.penalties import check_penalties
from admmirnn.sequences import Streams
from admmirnn.solvers.guard import WINDOW, Guard
from admmirnn.solvers.history import EpochRecord
from admmirnn.solvers.online import OnlineSchedule
from admmirnn.solvers.order import Carried, Shuffled
from admmirnn.solvers.problem import check_max_iter, check_problem, check_run
from admmirnn.solvers.splitting import Splitting, penalised_layers
from admmirnn.solvers.state import InitialState, Layer, Workspace
from admmirnn.solvers.status import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    from admmirnn._typing import Array, FloatArray, IntArray, LayerOutcome, ProximalOperator, RandomState, Record
    from admmirnn.losses import AnyLoss
    from admmirnn.model import BidirectionalRNN, ElmanRNN, Network
    from admmirnn.sequences import Sequences
    from admmirnn.solvers.interface import EndOfEpoch, KeepState, Limits

    _MaybeFloats: TypeAlias = FloatArray | None
    _OfTargets: TypeAlias = tuple[
        IntArray | None, _MaybeFloats, _MaybeFloats, float, _MaybeFloats, _MaybeFloats, str | None, float
    ]
    _OfOutput: TypeAlias = tuple[_MaybeFloats, _MaybeFloats, _MaybeFloats, _MaybeFloats, _MaybeFloats]


_LEAST_OF_COSINE = 0.02
_FIRST_ITERATIONS = 10  # in which the running Gram matrix changes fast
_ROWS_OF_R = 2  # times n: what R takes of a minibatch; of one that has fewer states, all
_LEAST_ROWS_OF_R = 256
# chosen on validation data of eleven tasks, see bench/choices.py
_RIDGE, _USUAL_UNITS, _MOST_RIDGE = 6.0, 128, 2.0  # of [U W]
_RIDGE_OF_SYMBOLS = 14.0  # of W alone
_RIDGE_ONLINE = 0.5
_ONLINE_BATCH = 64  # a call of no more sequences is one minibatch
_RIDGE_OF_W = 0.2  # where the penalty is a number
_ROWS_IN_MEMORY = 10  # times n: what the running R is a mean of at least
_LARGE_RADIUS, _LARGE_OUTPUT_RADIUS = 0.04, 0.12  # twice these are known to diverge
# what `forward` takes where there is no o-step
_NO_TARGETS: _OfTargets = (None, None, None, 1.0, None, None, None, 0.0)
_NO_OUTPUT: _OfOutput = (None, None, None, None, None)  # what `update_weights` takes where there is no output layer


class Rollout(BaseEstimator):
    """ADMM from the roll-out: proximal o-step, multipliers backward, weights in the metric of inputs and multipliers.

    An iteration takes one minibatch and

    1. rolls the network out, which makes all primal residuals zero;
    2. takes the proximal step of the loss at the outputs, whose multiplier is -grad R(o+);
    3. finds, from the last step to the first, the multipliers that make the augmented Lagrangian stationary;
    4. updates the running statistics M (multiplier times input), G (Gram matrix of the inputs) and R (Gram matrix of
       the multipliers);
    5. moves the weights by D = P^-1 M (G + damping tr(G)/m I)^-1 times min(1/r, radius / ``|D|``), where the penalty
       P = R / (tr(R)/n) + damping I is a matrix, and ``|D|`` is the root-mean-square change of the pre-activations
       that D would make, in the metric of P; of the outputs, P is I.

    If a loss is not finite, or the network has been thrown away (`admmirnn.solvers.guard.Guard`), the solver
    returns to the last good weights, shrinks the radius and counts a rollback in the history.

    Parameters
    ----------
    rho : float, default=1.0
        Penalty of the output equation, > 0.  The multiplier is the gradient of the loss's Moreau envelope and tends to
        that of the loss as rho grows; losses with a kink take at least 100, or they would be smoothed away.
    r : float, default=1.0
        Weight of the proximal term of the weight step, >= 0; 0 leaves the step to the radius.
    radius, output_radius : float or None
        How far (root mean square, in the metric of P) one iteration may move the pre-activations and the outputs, > 0;
        None means as far as 1/r goes.
    schedule : {"cosine", "constant"}, default="cosine"
        Factor on the step length: from 1 to 0.02 along a cosine over the whole fit, or 1.  Where the end is not known,
        in `partial_fit`, "cosine" stands for 1/sqrt(1 + k/50) in the k-th iteration since the law of the data has last
        changed (`admmirnn.solvers.online.OnlineSchedule`).
    damping : float, default=0.1
        Added to the diagonals of G and R in units of their means, >= 0.  It is raised when a matrix is not positive
        definite.
    gram_decay : float, default=0.9
        Decay of the running Gram matrix G, in [0, 1), and the least decay of R, which forgets more slowly where
        minibatches are small.
    momentum : float, default=0.8
        Decay of M, in [0, 1).
    multiplier_cap : float or None, default=1.0
        Bound on the multipliers of a_t, in units of the largest ones that the outputs inject, > 0; None means no
        bound.
    gram_every : int, default=8
        G takes every ``gram_every``-th step of a minibatch, in turn, four times as many in the first nine iterations,
        and all in the first; 1 means all.  R takes every ``gram_every``-th state, of all steps.  Of small minibatches
        both take more, or all; of large ones R takes 2 n states, or 256.
    factor_every : int, default=2
        From the tenth iteration on, G is factorised in every ``factor_every``-th iteration, and the factor used until
        the next.  P is factorised in every iteration: a few sequences of a new kind can make loose directions stiff.
    max_iter : int or None, default=None
        Iterations, >= 1: minibatches over the whole fit, which may end within an epoch; None takes as many as the
        ``max_epochs`` of the estimator have.
    metric : {"multipliers", "identity"}, default="multipliers"
        What penalises the equation a_t = U x_t + W s_{t-1} + b: the matrix P of step 5, or, as in the paper, a number,
        P = I; that is the solver as it was before it had P, with its ridge, and with steps of full length in
        `partial_fit`.  Layers with ``penalties`` have the number in either case.

    Notes
    -----
    A direction in which the loss depends strongly on the pre-activations is stiff under P, others are loose.  Together
    with G it has the form of K-FAC (J. Martens, R. Grosse, ICML 2015; for recurrent networks J. Martens, J. Ba,
    M. Johnson, ICLR 2018), with the bounded multipliers of the o-step as gradients, and a radius in place of a learning
    rate.  ADMM with matrices for penalties is W. Deng, W. Yin, J. Sci. Comput. 66, 2016.

    The mathematics is derived in "ADMMiRNN: Training RNN with Stable Convergence via an Efficient ADMM Approach"
    (Problem 1, Eq. 4 to 21) with its proximal G-norm, Eq. (9), taken as the Gram matrix of the data.
    """

    def __init__(
        self,
        rho: float = 1.0,
        r: float = 1.0,
        radius: float | None = 0.01,
        output_radius: float | None = 0.03,
        schedule: str = "cosine",
        damping: float = 0.1,
        gram_decay: float = 0.9,
        momentum: float = 0.8,
        multiplier_cap: float | None = 1.0,
        gram_every: int = 8,
        factor_every: int = 2,
        max_iter: int | None = None,
        metric: str = "multipliers",
    ) -> None:
        self.rho = rho
        self.r = r
        self.radius = radius
        self.output_radius = output_radius
        self.schedule = schedule
        self.damping = damping
        self.gram_decay = gram_decay
        self.momentum = momentum
        self.multiplier_cap = multiplier_cap
        self.gram_every = gram_every
        self.factor_every = factor_every
        self.max_iter = max_iter
        self.metric = metric

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({"metric": "identity"} | state)  # as it was when older versions pickled this

    takes_labels_per_step = True
    takes_symbols = True
    takes_penalties = True
    takes_two_directions = True
    takes_states = True  # s_0, streams, and a memory to go on from
    takes_checkpoints = True
    default_penalty = None  # of estimators: `solve` finds one that suits the number of targets

    def check_settings(self) -> None:
        """Raise ValueError or TypeError unless every setting is in its range."""
        check_rollout(self)

    def iterations_per_epoch(self, n_sequences: int, batch_size: int | None = None) -> int:
        """Minibatches that a pass over ``n_sequences`` takes; ``batch_size`` as in `solve`."""
        return -(-n_sequences // (batch_size or _default_batch_size(n_sequences)))

    def solve(
        self,
        network: Network,
        sequences: Sequences | Streams,
        targets: Array,
        loss: AnyLoss,
        *,
        weights: FloatArray | None = None,
        penalty: float | None = 0.0,
        penalties: Mapping[str, ProximalOperator] | None = None,
        max_epochs: int = 1,
        batch_size: int | None = None,
        shuffle: bool = True,
        random_state: RandomState = None,
        on_epoch_end: EndOfEpoch | None = None,
        n_threads: int | None = 1,
        memory: dict[str, Any] | None = None,
        limits: Limits | None = None,
        checkpoint: KeepState | None = None,
        resume: tuple[list[Record], dict[str, Any]] | None = None,
    ) -> Outcome:
        """Train ``network`` in place.

        Parameters
        ----------
        network : ElmanRNN or BidirectionalRNN
            With its initial weights, and s_0 if that is not zero.
        sequences : Sequences or Streams
            What the network reads.  Of `Streams` every chunk is a sequence, minibatches hold the next chunks of
            several streams, and each starts from the state in which the one before has ended; multipliers are not
            passed back over that border.
        targets : ndarray of shape (n_sequences,) or (n_sequences, n_outputs), or as many rows as there are steps
            Class numbers where ``loss.takes_labels``, and values otherwise; of steps one sequence after the other.
        loss : object
            R, of `admmirnn.losses`.
        weights : ndarray of shape (n_sequences,) or (n_steps,), optional
            Positive weights of the sequences; or of their steps, >= 0: where one is 0 the network rolls on, and the
            target is not looked at.
        penalty : float or None, default=0.0
            Ridge weight, >= 0: every iteration multiplies U and W, and W alone where observations are symbols, by
            1 - penalty times the distance by which it moves the pre-activations.  None is 6 times, of symbols 14 times,
            the root of the number of units, at least 128, per target, and at most 2; with ``memory`` it is 0.5.  Where
            the penalty of the equation is a number (``metric="identity"``, or a layer with ``penalties``), W is
            multiplied, by 1 - penalty times the radius in force, or the distance moved when there is none, and None is
            0.2.
        penalties : dict or None, default=None
            Penalties and constraints by the blocks they act on: objects with ``prox(x, tau)``, such as those of
            `admmirnn.penalties`, under the names U, W, V, UW (the matrix [U W]), UWb ([U W b]) and WV ([W; V]); no
            block may have two.  The weights meet the constraints from before the first iteration on.  Apart from
            ``penalty``.
        max_epochs : int, default=1
            Passes over the training set, unless ``max_iter`` is set.
        batch_size : int or None, default=None
            Largest number of sequences in a minibatch; None is an eighth of the training set, at least 16, with
            ``memory`` 64, and at most 125.
        shuffle : bool, default=True
            Whether every epoch takes the sequences in a new order.
        random_state : int, RandomState or None
            Of the order of sequences.
        on_epoch_end : callable, optional
            Called with the epoch's record; training stops when it returns True, or the Status to end with.
        n_threads : int or None, default=1
            Threads that share the sequences of each minibatch; None means all cores.  Weights are reproducible for a
            given number; those for another one differ by rounding.
        memory : dict or None, default=None
            The memory of the `Outcome` of an earlier call on such a network, or an empty one, to go on from: as the
            end is not known then, ``schedule`` has another meaning, and ``max_iter`` has no say.
        limits : object, optional
            Has ``reached()``, asked after every iteration, which returns the Status to end with or None, and
            ``progress()``, the share of the time that is over: the cosine is as far on as that, if not further.
        checkpoint : callable, optional
            Called after every epoch that is not the last by request, with the history up to there, and a function
            that returns the state of the fit: nested dicts, lists and tuples of arrays, numbers, None and the
            RandomState.
        resume : tuple of list and dict, optional
            These two, of another call with the same arguments: training goes on from there, and ends as that call
            would have ended, to the last bit.

        Returns
        -------
        Outcome
            Its history has one record an epoch.  Losses and accuracies are those of the roll-outs, before each update.

        Raises
        ------
        ValueError, TypeError
            If a setting is out of its range, a penalty refuses its block, or a state is none of such a fit.
        """
        self.check_settings()
        penalties = check_penalties(penalties)
        check_run(penalty, max_epochs, batch_size, penalty_may_be_none=True)
        rng: np.random.RandomState = check_random_state(random_state)
        if checkpoint is not None:
            check_kept_random_state(rng)
        if isinstance(sequences, Streams):
            check_one_direction(network, "streams have no end to read from")
            batch_size = batch_size or len(sequences)
            states = (memory or {}).get("states")
            order: Carried | Shuffled = Carried(network, sequences, batch_size, shuffle, rng, states)
        else:
            is_online = memory is not None and self.metric == "multipliers"
            batch_size = batch_size or _default_batch_size(len(sequences), _ONLINE_BATCH if is_online else 16)
            order = Shuffled(network, sequences, batch_size, shuffle, rng)
        any_missing = isinstance(order, Carried)
        check_problem(
            network, order.sequences, targets, weights, loss, per_step=True, symbols=True, any_missing=any_missing
        )
        n_iterations = max_epochs * order.n_batches
        if self.max_iter is not None and memory is None:
            n_iterations = self.max_iter
        n_epochs = -(-n_iterations // order.n_batches)
        n_threads = validation.check_n_threads(n_threads)
        of_fit: type[_Fit] = _Fit if len(network.directions) == 1 else _BidirectionalFit
        history: list[Record] = []
        status = Status.ITERATION_LIMIT
        with backend.one_blas_thread():
            fit = of_fit(
                self, network, order, targets, loss, weights, penalty, penalties, n_iterations, n_threads, memory
            )
            fit.limits = limits
            if resume is not None:
                history, state = resume
                fit.go_on_from(len(history), state)
            for epoch in range(len(history) + 1, n_epochs + 1):
                fit.record = EpochRecord()
                ending = None
                for indices in islice(order.epoch(), min(n_iterations - fit.iteration, order.n_batches)):
                    fit.take(indices)
                    fit.sweep_forward()  # 1, 2
                    if fit.work.n_targets:  # streams may say nothing here
                        if fit.network_is_lost():
                            fit.roll_back()
                        else:
                            fit.sweep_backward()  # 3, 4
                            fit.update_weights()  # 5
                    if limits is not None and (ending := limits.reached()):
                        break
                if epoch == n_epochs or ending:
                    fit.check_last_update()
                history.append(fit.record.summary(epoch, fit.hidden, fit.output))
                asked = Status.asked_for(on_epoch_end(history[-1])) if on_epoch_end is not None else None
                if limits is not None and not (asked or ending):
                    asked = limits.reached()
                if asked and not ending and epoch < n_epochs:
                    fit.check_last_update()
                    history[-1] = history[-1] | fit.record.summary(epoch, fit.hidden, fit.output)
                if checkpoint is not None and not (asked or ending):
                    checkpoint(history, fit.state)
                if found := ending or asked:
                    status = found
                    break
        return Outcome(history, status, warning=_warning_of_rollbacks(history), memory=fit.memory())


class _Fit:
    """Everything one call of `Rollout.solve` works on, and its steps."""

    def __init__(
        self,
        settings: Rollout,
        network: Network,
        order: Shuffled | Carried,
        targets: Array,
        loss: AnyLoss,
        weights: FloatArray | None,
        penalty: float | None,
        penalties: Mapping[str, ProximalOperator],
        n_iterations: int,
        n_threads: int,
        memory: dict[str, Any] | None = None,
    ) -> None:
        self.order = order
        self.sequences = sequences = order.sequences
        n_sequences = len(sequences)
        self.n_threads = n_threads
        self.settings = settings
        self.network = network
        self.first = network.directions[0]
        self.targets = np.ascontiguousarray(targets, loss.target_dtype or network.dtype)
        self.loss = loss
        if weights is not None and len(weights) < len(targets):
            weights = np.repeat(weights, sequences.lengths)
        self.weights: FloatArray | None = None
        if weights is not None and not (weights == weights[0]).all():
            self.weights = np.ascontiguousarray(weights, network.dtype)
        self.first_steps = sequences.first_steps
        read_out = network.read_out if len(targets) == n_sequences else "each"
        self.kernels = backend.kernels()
        batch_size = min(order.batch_size, n_sequences)
        self.works = [
            Workspace(self.kernels, direction, read_out, sequences, batch_size, n_threads)
            for direction in network.directions
        ]
        self.work = self.works[0]
        of_targets = np.ones(len(targets)) if self.weights is None else self.weights
        constant_loss = loss.constant_loss(self.targets, of_targets)
        output_scale = max(1.0, math.sqrt(2 * constant_loss))  # of regression targets, their deviation
        penalised = penalised_layers(network, penalties)
        self.hidden_layers = [
            Layer(
                direction.Theta,
                settings.radius,
                _LARGE_RADIUS,
                sequences.n_symbols,
                matrix_penalty=settings.metric == "multipliers" and i not in penalised,
            )
            for i, direction in enumerate(network.directions)
        ]
        self.hidden = self.hidden_layers[0]
        self.output = Layer(network.Psi, settings.output_radius, _LARGE_OUTPUT_RADIUS * output_scale)
        self.layers = (*self.hidden_layers, self.output)
        self.splitting = Splitting(network, self.layers, penalties) if penalties else None
        self.initial_state = InitialState(self.first) if network.learns_s_0 else None
        self.scratch = np.zeros(max(layer.room for layer in self.layers), network.dtype)
        self.online_schedule = OnlineSchedule()
        is_online = memory is not None and settings.metric == "multipliers"
        self.online = self.online_schedule if is_online else None
        self.guard = Guard(network, WINDOW if self.online else n_sequences, constant_loss)
        self.cap = math.inf if settings.multiplier_cap is None else settings.multiplier_cap
        self.n_iterations = n_iterations
        self.iteration = 0
        self.record = EpochRecord()
        self.n_remembered = 0  # minibatches in the running statistics
        self.limits: Limits | None = None
        self.has_schedule = settings.schedule == "cosine" and memory is None
        if memory:
            self.remember(memory)
        for layer in self.hidden_layers:
            layer.ridge = self.ridge(layer) if penalty is None else penalty
        if self.online:
            self.online.begin_call(constant_loss, n_sequences)
            self.guard.constant_loss = self.online.constant_loss

    def ridge(self, hidden: Layer) -> float:
        """The penalty that suits so many targets: weights can learn few by heart."""
        if hidden.R is None:
            return _RIDGE_OF_W
        if self.online:  # how many there will be is not known
            return _RIDGE_ONLINE
        n_targets = len(self.targets) if self.weights is None else int(np.count_nonzero(self.weights))
        ridge = _RIDGE_OF_SYMBOLS if self.sequences.n_symbols else _RIDGE
        return min(_MOST_RIDGE, ridge * math.sqrt(max(len(hidden.M), _USUAL_UNITS) / max(n_targets, 1)))

    def memory(self) -> dict[str, Any]:
        """What a later call goes on from."""
        return {
            "n_remembered": self.n_remembered,
            "layers": [layer.memory() for layer in self.layers],
            "splitting": self.splitting.memory() if self.splitting else None,
            "M_0": self.initial_state.M if self.initial_state else None,
            "states": self.order.states if isinstance(self.order, Carried) else None,
            "online": self.online_schedule.state(0 if self.online else self.iteration),
            "guard": self.guard.state() if self.online else None,
        }

    def remember(self, memory: dict[str, Any]) -> None:
        """Go on from the memory of another call."""
        are_whole = [layer.remember(earlier) for layer, earlier in zip(self.layers, memory["layers"], strict=True)]
        self.n_remembered = memory["n_remembered"] if all(are_whole) else 0
        if self.splitting:
            self.splitting.remember(memory["splitting"])
        if self.initial_state and memory["M_0"] is not None:
            self.initial_state.M[:] = memory["M_0"]
        if "online" in memory:
            self.online_schedule.go_on_from(memory["online"])
        guard = memory.get("guard")
        # what is trained may be more or less than then: s_0
        if self.online and guard and len(guard["good"]) == len(self.network.trained):
            self.guard.go_on_from(guard)

    def state(self) -> dict[str, Any]:
        """What another fit needs to go on from here, after an epoch."""
        return {
            "weights": list(self.network.trained),
            "memory": self.memory(),
            "guard": self.guard.state(),
            "order": self.order.state(),
        }

    def form(self) -> dict[str, Any]:
        """What the state of another fit has to be, see `validation.check_state`."""
        memory = self.memory()
        memory["layers"] = [layer | {"radius": validation.number(0)} for layer in memory["layers"]]
        memory["splitting"] = self.splitting.form() if self.splitting else None
        return {
            "weights": [validation.finite(weights) for weights in self.network.trained],
            "memory": memory,
            "guard": self.guard.form(),
            "order": self.order.form(),
        }

    def go_on_from(self, n_epochs: int, state: dict[str, Any]) -> None:
        """Take over the state of another fit, after so many epochs."""
        check_version_of_state(state)
        validation.check_state("solver", state, self.form())
        self.iteration = min(n_epochs * self.order.n_batches, self.n_iterations)
        for weights, earlier in zip(self.network.trained, state["weights"], strict=True):
            np.copyto(weights, earlier)
        self.remember(state["memory"])
        self.online_schedule = OnlineSchedule()  # the iterations of this fit are counted already
        self.guard.go_on_from(state["guard"])
        self.order.go_on_from(state["order"])

    # The steps of an iteration, numbered as in the class's docstring.

    def take(self, indices: IntArray) -> None:
        """Make the sequences ``indices`` the minibatch."""
        self.load(indices)
        self.initial, self.from_s_0 = self.order.start(self.work.batch)
        self.iteration += 1

    def load(self, indices: IntArray) -> None:
        """Point the workspace at the sequences ``indices``."""
        batch = self.sequences.minibatch(indices)
        self.work.load(batch, self.first_steps, self.targets, self.weights, labelled=self.loss.takes_labels)

    def sweep_forward(self, plus: FloatArray | None = None) -> None:
        """1. Roll out: a_t = U x_t + W s_{t-1} + b, s_t = f(a_t), q = V s_N + c (+ plus).

        2. o+ = prox_{R/rho}(q), lambda3 = rho (o+ - q) = -grad R(o+), times the sequences' weights.
        """
        work, loss = self.work, self.loss
        rho, O_plus, lambda3 = max(self.settings.rho, loss.least_rho), work.O_plus, work.lambda3
        of_targets = _NO_TARGETS
        if loss.name is not None:
            of_targets = (work.labels, work.values, work.weights, rho, O_plus, lambda3, loss.name, loss.parameter)
        found = self.roll_out(self.first, work, of_targets, plus)
        if found is None:  # no kernel knows the loss
            found = loss.step(self.kernels, work.Q, work.targets, work.weights, rho, O_plus, lambda3)
        self.batch_loss, self.batch_correct = found
        self.order.keep(work.batch, work.S)

    def roll_out(
        self, network: ElmanRNN, work: Workspace, of_targets: _OfTargets, plus: FloatArray | None = None
    ) -> tuple[float, int | None] | None:
        """Roll a network out over its minibatch; ``plus`` is added to its outputs."""
        return self.kernels.forward(
            work.batch.observations,
            self.sequences.scale,
            work.batch.first_rows,
            work.batch.lengths,
            work.batch.offsets,
            network.Theta,
            network.Psi,
            network.activation,
            work.weights_T,
            work.X,
            work.S,
            work.Q,
            *of_targets,
            self.n_threads,
            work.read_out,
            work.batch.stride,
            self.initial,
            work.H,
            work.steps,
            work.codes,
            plus,
        )

    def sweep_backward(self) -> None:
        """3. lambda2_t = V^T lambda3_t + W^T lambda1_{t+1}, lambda1_t = f'(a_t) * lambda2_t, bounded.

        4. M <- momentum M + (1 - momentum) L,  G <- beta_k G + (1 - beta_k) G_batch, R likewise, on the way.
        """
        self.begin_statistics()
        self.pass_back(self.first, self.work, self.hidden, self.work.lambda3, self.output)
        if self.initial_state and self.work.initial_multipliers is not None:
            multipliers = self.work.initial_multipliers[self.from_s_0]
            self.initial_state.add(multipliers, self.work.n_targets, self.settings.momentum)

    def begin_statistics(self) -> None:
        """Set beta_k, and from which steps on, and how often, G takes one."""
        settings = self.settings
        self.n_remembered += 1
        self.beta = min(settings.gram_decay, 1 - 1 / self.n_remembered)
        n, n_rows = len(self.hidden.M), self.work.batch.n_rows
        every = settings.gram_every if self.n_remembered >= _FIRST_ITERATIONS else settings.gram_every // 4
        every = 1 if self.n_remembered == 1 else min(max(every, 1), self.work.batch.n_steps)
        of_G = every
        if settings.metric == "multipliers":  # of a small minibatch G takes at least n states, if there are so many
            of_G = max(min(every, n_rows // n), 1)
        self.gram_steps = self.n_remembered % of_G, of_G
        # R takes as large a share of the states, but of a small minibatch at least 2 n, if there are so many, and of a
        # large one no more than that, or than 256; and its mean is of at least the last 10 n, or R would say more of
        # these than of the network
        enough = _ROWS_OF_R * n
        if self.n_remembered >= _FIRST_ITERATIONS and every > 1:
            every = max(every, n_rows // max(enough, _LEAST_ROWS_OF_R))
        states_per_taken = max(min(every, n_rows // enough), 1)
        decay = max(settings.gram_decay, 1 - n_rows / (states_per_taken * _ROWS_IN_MEMORY * n))
        self.sampling_of_R = states_per_taken, min(decay, 1 - 1 / self.n_remembered)

    def pass_back(
        self, network: ElmanRNN, work: Workspace, hidden: Layer, lambda3: FloatArray, output: Layer | None = None
    ) -> None:
        """Pass the multipliers back through a network, and fold them into its statistics, of ``output`` as well."""
        self.record.capped_steps += self.kernels.backward(
            network.Theta,
            network.Psi,
            work.X,
            work.S,
            work.batch.offsets,
            lambda3,
            network.activation,
            self.cap,
            self.settings.momentum,
            self.beta,
            *self.gram_steps,
            work.lambda1,
            hidden.M,
            hidden.G,
            None if output is None else output.M,
            None if output is None else output.G,
            work.sums,
            self.n_threads,
            work.read_out,
            self.work.weights,
            work.batch.lengths,
            work.H,
            work.steps,
            self.initial is None,
            work.initial_multipliers,
            work.codes,
            hidden.R,
            *self.sampling_of_R,
        )

    def update_weights(self) -> None:
        """5. D = P^-1 M (G + damping tr(G)/m I)^-1;  Theta <- Theta + min(1/r, radius / |D|) D, Psi with P = I.

        With a penalty, [U W] <- (1 - penalty * length |D|) [U W] before the move: the ridge term, apart from the
        proximal step; where the penalty of the equation is a number, W <- (1 - penalty * radius) W.
        With penalties, M - lambda4 in place of M, and then Theta <- Y, see `Splitting`.
        """
        output = self.output
        *of_hidden, output_M = self.splitting.directions() if self.splitting else [layer.M for layer in self.layers]
        of_output = (output_M, output.G, output.factor, output.D, output.weights)
        output.outcome = self.move(self.hidden, of_hidden[0], of_output)
        for hidden, M in zip(self.hidden_layers[1:], of_hidden[1:], strict=True):
            self.move(hidden, M, _NO_OUTPUT)
        is_finite = math.isfinite(sum([layer.moved for layer in self.layers]))
        if self.initial_state:
            is_finite &= self.initial_state.update(self.settings.r, self.hidden.radius, self.schedule())
        if is_finite and (self.splitting is None or self.splitting.update()):
            self.record.add(self.layers, self.settings.damping)
        else:
            self.roll_back()

    def move(self, hidden: Layer, M: FloatArray, of_output: _OfOutput) -> LayerOutcome:
        """Move a hidden layer along M, and the output layer as well, whose outcome is returned."""
        settings = self.settings
        is_due = self.n_remembered < _FIRST_ITERATIONS or self.n_remembered % settings.factor_every == 0
        hidden.outcome, outcome = self.kernels.update_weights(
            M,
            hidden.G,
            hidden.factor,
            hidden.D,
            hidden.weights,
            *of_output,
            self.scratch,
            settings.damping,
            settings.r,
            hidden.radius,
            self.output.radius,
            self.schedule(),
            hidden.ridge,
            None if is_due else (hidden.outcome, self.output.outcome),
            hidden.R,
            hidden.P_factor,
        )
        return outcome

    def schedule(self) -> float:
        """The factor on the step length."""
        if self.online and self.settings.schedule == "cosine":
            return self.online.factor
        if not self.has_schedule:
            return 1.0
        progress = (self.iteration - 1) / self.n_iterations
        if self.limits is not None:
            progress = min(max(progress, self.limits.progress()), 1.0)
        return _LEAST_OF_COSINE + (1 - _LEAST_OF_COSINE) * 0.5 * (1 + math.cos(math.pi * progress))

    # When an iteration has gone wrong.

    def network_is_lost(self) -> bool:
        """Whether the loss of this roll-out says that the last updates have ruined the network."""
        n_sequences = len(self.work.batch)
        self.record.count(self.batch_loss, self.batch_correct, n_sequences, self.work.n_targets)
        if not self.online or self.guard.is_ruined_by(self.batch_loss):
            return self.guard.lost(self.batch_loss, n_sequences)
        if self.online.observe(self.batch_loss):
            self.guard.begin_again()
            for layer in self.layers:
                layer.restore_radius()
        if not self.guard.lost(self.batch_loss, n_sequences):
            return False
        if self.online.is_in_doubt:  # another law may be what has raised the loss, before that can be told
            self.guard.begin_again()
            return False
        return True

    def roll_back(self) -> None:
        """Return to the last good weights, with a smaller radius and no memory of the past."""
        self.guard.roll_back()
        self.record.rollbacks += 1
        for layer in self.layers:
            layer.shrink_radius(self.guard.rollbacks_in_a_row)
            layer.forget()
        if self.initial_state:
            self.initial_state.forget()
        self.order.forget()
        if self.splitting:
            self.splitting.start()
        self.n_remembered = 0

    def check_last_update(self) -> None:
        """Judge the last update, which no later roll-out sees, by the loss over a window of its own."""
        # an unbounded activation may overflow on any one sequence
        sample = self.order.sample(self.guard.window if self.network.activation in BOUNDED else None)
        is_few = self.online is not None and sum(len(indices) for indices, _ in sample) < self.guard.window
        for _ in range(2):  # the weights that the first rollback returns to are judged as well
            if not self.guard.lost_at_the_end(self._mean_loss(sample), for_good=not is_few):
                return
            self.roll_back()

    def _mean_loss(self, sample: Sequence[tuple[IntArray, FloatArray | None]]) -> float:
        loss, n_sequences = 0.0, 0
        for indices, self.initial in sample:
            self.load(indices)
            self.sweep_forward()
            if self.work.n_targets:
                loss += self.batch_loss * len(indices)
                n_sequences += len(indices)
        return loss / n_sequences if n_sequences else 0.0


class _BidirectionalFit(_Fit):
    """The steps of an iteration with two networks, of which the second reads sequences from their ends.

    Both are rolled out, and each has its own multipliers, statistics and weight step; in between is one output layer,
    which reads h = [h_forward, h_reverse].  Outputs after each step stand in the order of the first network's.
    """

    network: BidirectionalRNN

    def __init__(self, settings: Rollout, network: BidirectionalRNN, *args: Any) -> None:
        super().__init__(settings, network, *args)
        K, h = network.Psi.shape
        self.joint_sums = np.zeros(self.kernels.joint_room(h, K), network.dtype)
        self.mirrored_states = None
        if self.work.read_out == "each":
            self.mirrored_states = np.zeros((self.work.most_outputs, network.directions[1].n_hidden), network.dtype)

    def load(self, indices: IntArray) -> None:
        """As in `_Fit`, for both networks."""
        super().load(indices)
        self.works[1].fit(self.work.batch.reversed())

    def mirror(self, rows: FloatArray, out: FloatArray | None) -> FloatArray:
        """Return rows of outputs after each step in the order of the other network, and others as they are."""
        if out is None or self.work.read_out != "each":
            return rows
        out = out[: len(rows)]
        self.kernels.mirror(rows, self.work.batch.lengths, self.work.batch.offsets, out)
        return out

    def sweep_forward(self, plus: FloatArray | None = None) -> None:
        """1, 2, with q = V h_forward + V_reverse h_reverse + c."""
        self.network.share_out()
        reverse = self.works[1]
        self.roll_out(self.network.directions[1], reverse, _NO_TARGETS)
        super().sweep_forward(plus=self.mirror(reverse.Q, reverse.O_plus))

    def sweep_backward(self) -> None:
        """3, 4."""
        self.begin_statistics()
        work, reverse = self.works
        self.kernels.joint_statistics(
            work.states_read,
            self.mirror(reverse.states_read, self.mirrored_states),
            work.lambda3,
            work.weights,
            work.batch.offsets,
            self.settings.momentum,
            self.beta,
            *self.gram_steps,
            self.output.M,
            self.output.G,
            self.joint_sums,
            work.read_out,
        )
        multipliers = work.lambda3, self.mirror(work.lambda3, reverse.lambda3)
        for network, work, hidden, lambda3 in zip(
            self.network.directions, self.works, self.hidden_layers, multipliers, strict=True
        ):
            self.pass_back(network, work, hidden, lambda3)


def _default_batch_size(n_sequences: int, least: int = 16) -> int:
    return min(max(n_sequences // 8, least), 125)


def _warning_of_rollbacks(history: list[Record]) -> str | None:
    rollbacks = sum(record.get("rollbacks", 0) for record in history)  # those of a checkpoint may be anyone's
    if not rollbacks:
        return None
    return (
        f"the training loss became too large or not finite {rollbacks} time(s); the solver went back to its last "
        "good weights and shrank its radius each time (see 'rollbacks' in history_). A smaller radius, a larger r "
        "or a larger batch_size avoids this"
    )


def check_rollout(settings: Rollout) -> None:
    """Raise unless every setting of a `Rollout` is in its range."""
    validation.check_number("rho", settings.rho, strict=True)
    validation.check_number("r", settings.r)
    validation.check_number("radius", settings.radius, strict=True, optional=True)
    validation.check_number("output_radius", settings.output_radius, strict=True, optional=True)
    validation.check_choice("schedule", settings.schedule, ("cosine", "constant"))
    validation.check_choice("metric", settings.metric, ("multipliers", "identity"))
    validation.check_number("damping", settings.damping)
    validation.check_number("gram_decay", settings.gram_decay, below=1.0)
    validation.check_number("momentum", settings.momentum, below=1.0)
    validation.check_number("multiplier_cap", settings.multiplier_cap, strict=True, optional=True)
    validation.check_integer("gram_every", settings.gram_every, 1)
    validation.check_integer("factor_every", settings.factor_every, 1)
    check_max_iter(settings.max_iter)
    for name in ("radius", "output_radius"):
        if settings.r == 0 and getattr(settings, name) is None:
            raise ValueError(f"r is 0 and {name} is None, so nothing bounds a step; set r > 0 or {name}")


def check_kept_random_state(random_state: np.random.RandomState) -> None:
    """Raise unless a checkpoint can hold this."""
    generator: Any = random_state.get_state(legacy=False)
    kind, name = type(random_state), generator["bit_generator"]
    if kind is not np.random.RandomState or name != "MT19937":
        raise ValueError(
            f"random_state is a {kind.__name__} of {name}, which a checkpoint cannot hold; pass an int, or a "
            "RandomState of MT19937"
        )


def check_version_of_state(state: Any) -> None:
    """Raise if the solver's state in a checkpoint is of a version whose `Rollout` had no matrix penalty."""
    memory = state.get("memory") if isinstance(state, dict) else None
    if isinstance(memory, dict) and "layers" in memory and "online" not in memory:
        raise ValueError(
            "the checkpoint is of a version of admmirnn whose Rollout had no matrix penalty, and the fit cannot go on "
            "from it as it would have; remove it, or pass resume=False, to start anew"
        )
