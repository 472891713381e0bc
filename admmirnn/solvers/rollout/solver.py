"""`Rollout`: its settings, and the loop over epochs and minibatches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator

from admmirnn import backend, validation
from admmirnn.data.augmenting import check_augmented
from admmirnn.data.sequences import Sequences, Streams
from admmirnn.networks import check_one_direction
from admmirnn.networks.blocks import penalised_parts
from admmirnn.penalties import check_penalties
from admmirnn.solvers.capability import Capability
from admmirnn.solvers.memory import as_dict
from admmirnn.solvers.problem import check_calls, check_max_iter, check_objects, check_problem, check_run
from admmirnn.solvers.rollout.advice import warning_of
from admmirnn.solvers.rollout.history import EpochRecord
from admmirnn.solvers.rollout.iteration import Fit
from admmirnn.solvers.rollout.memory import RolloutMemory
from admmirnn.solvers.rollout.order import Carried, Shuffled
from admmirnn.solvers.rollout.parts import all_streams
from admmirnn.solvers.rollout.problem import Problem
from admmirnn.solvers.status import Outcome, Status
from admmirnn.solvers.workers import Failing, check_reducer, gather

if TYPE_CHECKING:
    from collections.abc import Mapping

    from admmirnn._typing import Array, FloatArray, ProximalOperator, RandomState, Record, Reducer
    from admmirnn.data.augmenting import Augmentation
    from admmirnn.losses import AnyLoss
    from admmirnn.networks import Network
    from admmirnn.solvers.interface import EndOfEpoch, KeepState, Limits


_ONLINE_BATCH = 64  # a call of no more sequences is one minibatch


class Rollout(BaseEstimator):
    """Default solver: ADMM that starts every iteration from the network's own predictions, its roll-out.

    An iteration takes one minibatch and

    1. rolls the network out, which makes all primal residuals zero;
    2. takes the proximal step of the loss at the outputs, whose multiplier is -grad R(o+);
    3. finds, from the last step to the first, the multipliers that make the augmented Lagrangian stationary;
    4. updates the running statistics M (multiplier times input), G (Gram matrix of the inputs) and R (Gram matrix of
       the multipliers);
    5. moves the weights by D = P^-1 M (G + damping tr(G)/m I)^-1 times min(1/r, radius / ``|D|``), where the penalty
       P = R / (tr(R)/n) + damping I is a matrix, and ``|D|`` is the root-mean-square change of the pre-activations
       that D would make, in the metric of P; of the outputs, P is I.

    If a loss is not finite, or is far above the best one (`admmirnn.solvers.rollout.guard.Guard`), the solver returns
    to the last good weights, shrinks the radius and counts a rollback in the history.

    Parameters
    ----------
    rho : float, default=1.0
        Penalty of the output equation, > 0.  The multiplier is minus the gradient of the loss's Moreau envelope and
        tends to that of the loss as rho grows.  For losses with a kink at least 100 is used, so that they are not
        smoothed away.
    r : float, default=1.0
        Weight of the proximal term of the weight step, >= 0; 0 leaves the step to the radius.
    radius, output_radius : float or None
        Largest distance, > 0, by which one iteration may move the pre-activations and the outputs (root mean square, in
        the metric of P).  None sets no bound besides 1/r.
    schedule : {"cosine", "constant"}, default="cosine"
        Factor on the step length: it falls from 1 to 0.02 along a cosine over the whole fit, or is always 1.  In
        `partial_fit`, where the end is not known, "cosine" stands for 1/sqrt(1 + k/50) in the k-th iteration since the
        data have last changed (`admmirnn.solvers.rollout.online.OnlineSchedule`).
    damping : float, default=0.1
        Number, >= 0, that is added to the diagonals of G and R, in units of their means.  It is raised when a matrix is
        not positive definite.
    gram_decay : float, default=0.9
        Decay of the running Gram matrix G, in [0, 1), and the least decay of R, which forgets more slowly where
        minibatches are small.
    momentum : float, default=0.8
        Decay of M, in [0, 1).
    multiplier_cap : float, "auto" or None, default="auto"
        Bound on the multipliers of a_t (for cells with gates, of s_t), > 0, in units of the largest multiplier that the
        outputs of the same sequence inject; None means no bound.  "auto" is 1 for the cell "elman", and 4 for others.
    gram_every : int or "auto", default="auto"
        Distance between the steps that G takes from a minibatch; 1 takes all.  G takes all steps in the first
        iteration, and four times as many in the next eight.  R takes every ``gram_every``-th state of all steps.  From
        small minibatches both take more, or all.  From large ones R takes 4 n states, or 256, or an eighth if sequences
        have 100 steps or more.  "auto" is 8 for the cell "elman", and 4 for others, whose other sums cost more.
    factor_every : int, default=2
        Number of iterations, from the tenth on, in which the Cholesky factor of G is used before it is computed anew.
        P is factorised in every iteration, because a few sequences of a new kind can make loose directions stiff.
    max_iter : int or None, default=None
        Number of iterations, >= 1, that is of minibatches over the whole fit, which may end within an epoch.  None
        takes as many as the ``max_epochs`` of the estimator have.
    metric : {"multipliers", "identity"}, default="multipliers"
        Penalty of the equation a_t = U x_t + W s_{t-1} + b: "multipliers" is the matrix P of step 5; "identity"
        is a number, P = I, as in the paper, with a smaller ridge and with steps of constant length in `partial_fit`.
        Layers with ``penalties`` have the number in either case.
    gram_block : int, "auto" or None, default="auto"
        Largest number of features, >= 1, whose products with each other are in G.  If a layer reads more features, they
        are taken in blocks of so many, in their order; the products of features in different blocks, and those of
        features with the states and the constant 1, are taken for zero.  Time and memory of an iteration are then
        proportional to the number of features, not to its square and cube.  None takes all products.  "auto" is None
        for layers of up to 2 n + 1024 features and 512 for others.  It has no effect on symbols.

    Notes
    -----
    A direction in which the loss depends strongly on the pre-activations is stiff under P, others are loose.  With P
    and G the step has the form of K-FAC (J. Martens, R. Grosse, ICML 2015; for recurrent networks J. Martens, J. Ba,
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
        multiplier_cap: float | str | None = "auto",
        gram_every: int | str = "auto",
        factor_every: int = 2,
        max_iter: int | None = None,
        metric: str = "multipliers",
        gram_block: int | str | None = "auto",
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
        self.gram_block = gram_block

    def __setstate__(self, state: dict[str, Any]) -> None:
        # as it was when older versions pickled this
        super().__setstate__({"metric": "identity", "gram_block": None} | state)

    capabilities: frozenset[Capability] = frozenset(Capability)

    def check_settings(self) -> None:
        """Raise ValueError or TypeError unless every setting is in its range."""
        check_rollout(self)

    def iterations_per_epoch(self, n_sequences: int, batch_size: int | None = None, n_workers: int = 1) -> int:
        """Minibatches that a pass over ``n_sequences`` of all workers takes; ``batch_size`` as in `solve`."""
        return -(-n_sequences // (batch_size or _default_batch_size(n_sequences, 16, n_workers)))

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
        online: bool = False,
        memory: RolloutMemory | None = None,
        dropout: float = 0.0,
        augmentation: Augmentation | None = None,
        limits: Limits | None = None,
        checkpoint: KeepState | None = None,
        resume: tuple[list[Record], dict[str, Any]] | None = None,
        reducer: Reducer | None = None,
    ) -> Outcome:
        """Train ``network`` in place.

        Parameters
        ----------
        network : RNN or StackedRNN
            Network with its initial weights, and s_0 if that is not zero.
        sequences : Sequences or Streams
            Sequences that the network reads.  In `Streams` every chunk is a sequence: minibatches hold the next chunks
            of several streams, and each starts from the state in which the one before has ended; multipliers are not
            passed back over that border.
        targets : ndarray of shape (n_sequences,) or (n_sequences, n_outputs), or as many rows as there are steps
            Class numbers where ``loss.takes_labels``, and values otherwise; those of steps one sequence after the
            other.
        loss : object
            Loss R, an object of `admmirnn.losses`.
        weights : ndarray of shape (n_sequences,) or (n_steps,), optional
            Positive weights of the sequences, relative to their mean, and with ``online`` to that of all calls; or
            weights >= 0 of their steps: where one is 0 the network rolls on, and the target is not looked at.  A weight
            of 2 is the same as two equal sequences in the minibatch, in the losses and in the Gram matrices.
        penalty : float or None, default=0.0
            Weight of the ridge, >= 0: every iteration multiplies U and W, and W alone where observations are symbols,
            by 1 - penalty times the distance by which it moves the pre-activations.  None is 6 times (for symbols 14
            times) the square root of the number of units, at least 128, divided by the number of targets, and at most
            2; with ``online`` it is 0.5.  Where the penalty of the equation is a number (``metric="identity"``, or a
            layer with ``penalties``), only W is multiplied, and None is 0.2.
        penalties : dict or None, default=None
            Penalties and constraints by the blocks they act on: objects with ``prox(x, tau)``, such as those of
            `admmirnn.penalties`, under the names U, W, V, UW (the matrix [U W]), UWb ([U W b]) and WV ([W; V]); no
            block may have two.  The weights meet the constraints from before the first iteration on.  ``penalty`` acts
            besides them.
        max_epochs : int, default=1
            Number of passes over the training set, unless ``max_iter`` is set.
        batch_size : int or None, default=None
            Largest number of sequences in a minibatch; None is an eighth of the training set, at least 16, with
            ``online`` 64, and at most 125; of several workers together 125 for each of them.
        shuffle : bool, default=True
            Whether every epoch takes the sequences in a new order.
        random_state : int, RandomState or None
            Seed for the order of sequences, for dropout and for the augmentation.
        on_epoch_end : callable, optional
            Function that is called with the epoch's record; training stops when it returns True, or the Status to end
            with.
        n_threads : int or None, default=1
            Number of threads that share the sequences of each minibatch; None means all cores.  Weights are
            reproducible for a given number; those for another one differ by rounding.
        online : bool, default=False
            Whether more calls may follow, as those of `partial_fit`: the end is then not known, so that ``schedule``
            has another meaning and ``max_iter`` is not used.
        memory : Memory or None, default=None
            Memory of the `Outcome` of an earlier call on such a network, to go on from; with ``online`` only.
        dropout : float, default=0.0
            Probability, >= 0 and < 1, with which a unit of a layer is not seen by what reads its states, the outputs or
            the layer above; the units that are seen are 1 / (1 - dropout) times as large.  The hidden units are drawn
            for each sequence of a minibatch, or for each chunk of a stream, and are the same at all of its steps (as Y.
            Gal and Z. Ghahramani, NeurIPS 2016, do, except that a layer sees all of its own state before).  The
            multipliers are those of the masked network.  Whether the last update has ruined the network is judged
            without dropout.
        augmentation : Augmentation or None, default=None
            Random changes of the sequences of a minibatch before they are read.  It is not available with `Streams` and
            symbols, and has no shift with targets for steps.
        limits : object, optional
            Object with ``reached()``, asked after every iteration, which returns the Status to end with or None, and
            ``progress()``, the share of the time that is over: the cosine schedule goes by that share where it is
            further on than the number of iterations.
        checkpoint : callable, optional
            Function that is called after every epoch that is not the last by request, with the history up to there, and
            a function that returns the state of the fit: nested dicts, lists and tuples of arrays, numbers, None and
            the RandomState.
        resume : tuple of list and dict, optional
            History and state that ``checkpoint`` was given in another call with the same arguments: training goes on
            from there, and ends as that call would have ended, to the last bit.
        reducer : Reducer or None, default=None
            Object that joins this worker with others, each of which has a part of the sequences, or none, and calls
            this method at the same time, with the same network and arguments.  A minibatch has sequences of all of
            them.

        Returns
        -------
        Outcome
            Outcome, whose history has one record per epoch.  Losses and accuracies are those of the roll-outs, before
            each update.

        Raises
        ------
        ValueError, TypeError
            If a setting is out of its range, a penalty refuses its block, sequences cannot be changed as they should,
            or ``resume`` is not the state of such a fit.
        """
        self.check_settings()
        check_run(penalty, max_epochs, batch_size, shuffle, penalty_may_be_none=True)
        check_calls(on_epoch_end, limits, checkpoint, resume)
        reducer = check_reducer(reducer)
        check_memory(memory, validation.check_boolean("online", online))
        check_objects(network, sequences, loss, streams=True)
        dropout = validation.check_number("dropout", dropout, below=1.0)
        check_augmented(augmentation, sequences, targets)
        known = penalised_parts(network.layers[0][0].cell.maps, len(network.layers))
        penalties = check_penalties(penalties, known)
        rng: np.random.RandomState = validation.check_random_state(random_state)
        if checkpoint is not None:
            check_kept_random_state(rng)
        least = _ONLINE_BATCH if online and self.metric == "multipliers" else 16
        order = _order_of(network, sequences, batch_size, least, shuffle, rng, memory, reducer)
        any_missing = isinstance(order, Carried)
        if reducer.size == 1 or len(order.sequences):
            check_problem(
                network, order.sequences, targets, weights, loss, per_step=True, symbols=True, any_missing=any_missing
            )
        n_iterations = max_epochs * order.n_batches if self.max_iter is None or online else self.max_iter
        problem = Problem(
            network,
            order,
            targets,
            loss,
            weights=weights,
            penalty=penalty,
            penalties=penalties,
            dropout=dropout,
            augmentation=augmentation,
            n_iterations=n_iterations,
            n_threads=validation.check_n_threads(n_threads),
            is_online=online,
            memory=memory,
            reducer=reducer,
            limits=limits,
            on_epoch_end=on_epoch_end,
        )
        with backend.one_blas_thread():
            fit = Fit(self, problem)
            history, state = ([], None) if resume is None else resume
            if state is not None:
                fit.go_on_from(len(history), state)
            status = _run(fit, history, checkpoint)
            return Outcome(history, status, warning=warning_of(fit, history), memory=fit.memory())


def _run(fit: Fit, history: list[Record], checkpoint: KeepState | None) -> Status:
    """All epochs after those of the history, which their records are added to; return why there were no more."""
    n_epochs = -(-fit.n_iterations // fit.order.n_batches)
    for epoch in range(len(history) + 1, n_epochs + 1):
        ending = _run_epoch(fit)
        is_last = epoch == n_epochs or ending is not None
        if is_last:
            fit.check_last_update()
        history.append(fit.record.summary(epoch, fit.layers[0], fit.layers[-1]))
        status = fit.judge.after_epoch(history[-1], ending)
        if status and not is_last:
            fit.check_last_update()
            history[-1] = history[-1] | fit.record.summary(epoch, fit.layers[0], fit.layers[-1])
        if status:
            return status
        fit.stay_alike()
        if checkpoint is not None:
            checkpoint(history, lambda: as_dict(fit.state()))
    return Status.ITERATION_LIMIT


def _run_epoch(fit: Fit) -> Status | None:
    """The iterations of an epoch, or those that are left; return the status to end with, if one has become due."""
    gather(fit.reducer, None)  # from here on whoever fails says so in a sum
    fit.record = EpochRecord()
    failing = Failing(fit.reducer, fit.sums)
    ending = None
    minibatches = fit.order.epoch()
    for _ in range(min(fit.n_iterations - fit.iteration, fit.order.n_batches)):
        if ending := fit.iterate(minibatches, failing):
            break
    failing.end()
    return ending


def _order_of(
    network: Network,
    sequences: Sequences | Streams,
    batch_size: int | None,
    least_batch_size: int,
    shuffle: bool,
    random_state: np.random.RandomState,
    memory: RolloutMemory | None,
    reducer: Reducer,
) -> Carried | Shuffled:
    if not isinstance(sequences, Streams):
        shards = tuple(gather(reducer, len(sequences)))
        batch_size = batch_size or _default_batch_size(sum(shards), least_batch_size, reducer.size)
        return Shuffled(network, sequences, batch_size, shuffle, random_state, shards if reducer.size > 1 else None)
    check_one_direction(network, "streams have no end to read from")
    states = None if memory is None else memory.states
    everyones = sequences if reducer.size == 1 else all_streams(reducer, sequences)
    return Carried(network, sequences, batch_size or len(everyones), shuffle, random_state, states, everyones)


def _default_batch_size(n_sequences: int, least: int, n_workers: int) -> int:
    return min(max(n_sequences // 8, least), 125 * n_workers)


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
    if not validation.is_auto(settings.multiplier_cap):
        validation.check_number(
            "multiplier_cap", settings.multiplier_cap, strict=True, optional=True, alternatives=", or 'auto'"
        )
    if not validation.is_auto(settings.gram_every):
        validation.check_integer("gram_every", settings.gram_every, 1, alternatives=", or 'auto'")
    validation.check_integer("factor_every", settings.factor_every, 1)
    if settings.gram_block is not None and not validation.is_auto(settings.gram_block):
        validation.check_integer("gram_block", settings.gram_block, 1, alternatives=", None or 'auto'")
    check_max_iter(settings.max_iter)
    for name in ("radius", "output_radius"):
        if settings.r == 0 and getattr(settings, name) is None:
            raise ValueError(f"r is 0 and {name} is None, so nothing bounds a step; set r > 0 or {name}")


def check_memory(memory: object, online: bool) -> None:
    """Raise unless there is no memory, or one that a call on line can go on from."""
    if memory is not None and not isinstance(memory, RolloutMemory):
        raise TypeError(
            f"memory is of type {type(memory).__name__}; pass that of the Outcome of another call, or None, and "
            "online=True where there will be more calls"
        )
    if memory is not None and not online:
        raise ValueError("memory is that of another call, and online is False; pass online=True, or memory=None")


def check_kept_random_state(random_state: np.random.RandomState) -> None:
    """Raise unless a checkpoint can hold this."""
    generator: Any = random_state.get_state(legacy=False)
    kind, name = type(random_state), generator["bit_generator"]
    if kind is not np.random.RandomState or name != "MT19937":
        raise ValueError(
            f"random_state is a {kind.__name__} of {name}, which a checkpoint cannot hold; pass an int, or a "
            "RandomState of MT19937"
        )
