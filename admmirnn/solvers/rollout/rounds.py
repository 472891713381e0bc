"""Fits in rounds: workers make some iterations each on a part of the data, then what they have found is averaged.

A round is a pure function of a part, the state that all of them start from, and its number: whoever makes it, wherever
and however often, finds the same.  Nothing of a round that is lost has to be kept but that state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from admmirnn import backend
from admmirnn.data.gram_blocks import blocks_of_gram
from admmirnn.solvers.rollout.consensus import Metric
from admmirnn.solvers.rollout.guard import Guard
from admmirnn.solvers.rollout.history import EpochRecord
from admmirnn.solvers.rollout.iteration import Fit
from admmirnn.solvers.rollout.order import Shuffled
from admmirnn.solvers.rollout.over_workers import OfAll, mean_loss
from admmirnn.solvers.rollout.problem import Problem
from admmirnn.solvers.workers import Failing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from admmirnn._typing import Array, FloatArray, IntArray
    from admmirnn.data.augmenting import Augmentation
    from admmirnn.data.sequences import Sequences
    from admmirnn.losses import AnyLoss
    from admmirnn.networks import Network
    from admmirnn.solvers.rollout.iteration import Settings
    from admmirnn.solvers.status import Status

# the loss of a minibatch, the mean weight of its targets, how many these are, and how many sequences
_OfBatch: TypeAlias = tuple[float, float, int, int]
_PULL = 0.5  # rho in an iteration, in units of that of the multipliers: see bench/rounds.py
_ORDER, _DROPOUT = range(2)  # what is drawn, each from a generator of its own


@dataclass
class Statistics:
    """Running statistics of a weight matrix, see `admmirnn.solvers.rollout.state.Layer`."""

    radius: float
    large_radius: float
    M: FloatArray
    G: FloatArray
    R: NDArray[np.float64] | None
    gram_blocks: tuple[int, int] = (0, 1)

    @property
    def blocks(self) -> list[tuple[slice, FloatArray]]:
        """The columns of each block of G, and the block itself."""
        return blocks_of_gram(self.G, self.M.shape[1], self.gram_blocks)


@dataclass
class RoundState:
    """What all parts start a round from, but for the weights, which the network has.

    Attributes
    ----------
    layers : list of Statistics
        Statistics of the weight matrices; empty before the first round.
    M_0 : list of ndarray
        Running means of learnt initial states, by directions.
    n_remembered : int
        Number of minibatches in the running statistics.
    iteration : int
        Number of iterations before.
    rho : list of float
        Penalties, by layers, of the equation that weights are the means of all, where parts have multipliers.
    """

    layers: list[Statistics] = field(default_factory=list)
    M_0: list[FloatArray] = field(default_factory=list)
    n_remembered: int = 0
    iteration: int = 0
    rho: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """How the iterations of a fit in rounds are dealt out.

    Attributes
    ----------
    n_batches : int
        Number of minibatches of an epoch, into which every part is dealt.
    n_iterations : int
        Number of iterations of the whole fit.
    per_round : int
        Largest number of iterations of a round.
    shuffle : bool
        Whether epochs draw the order of sequences.
    seed : int
        Seed for that, and for dropout.
    has_consensus : bool
        Whether each part has multipliers, which pull its weights to the means of all.
    """

    n_batches: int
    n_iterations: int
    per_round: int
    shuffle: bool
    seed: int
    has_consensus: bool = False

    @property
    def n_epochs(self) -> int:
        """The last of which may end early."""
        return -(-self.n_iterations // self.n_batches)

    def rounds(self, epoch: int) -> Iterator[Round]:
        """Those of an epoch, from 0, as equal as can be."""
        n = min(self.n_batches, self.n_iterations - epoch * self.n_batches)
        n_rounds = -(-n // self.per_round)
        for k in range(n_rounds):
            yield Round(epoch, n * k // n_rounds, n * (k + 1) // n_rounds)


@dataclass(frozen=True)
class Round:
    """Minibatches ``first`` to ``end - 1`` of an epoch, all of them from 0."""

    epoch: int
    first: int
    end: int


@dataclass
class PartProblem:
    """A part of the data, and what a solver is to make of it; the attributes are as in `Problem` and `Plan`."""

    sequences: Sequences
    targets: Array
    weights: FloatArray | None
    loss: AnyLoss
    rank: int
    of_all: OfAll
    penalty: float | None = None
    dropout: float = 0.0
    augmentation: Augmentation | None = None
    n_threads: int = 1


@dataclass
class RoundResult:
    """What a part has found in a round.

    Attributes
    ----------
    weights : list of ndarray
        Trained weights.
    state : RoundState
        Statistics after the round.
    record : EpochRecord
        Record of its iterations.
    before : list of tuple
        Loss, mean weight, number of targets, and number of sequences of its first minibatch, before any update.
    steps : ndarray of shape (n_layers,) or None
        Sums of the step lengths, where parts have multipliers.
    """

    weights: list[FloatArray]
    state: RoundState
    record: EpochRecord
    before: list[_OfBatch]
    steps: NDArray[np.float64] | None = None


class _Dealt(Shuffled):
    """The sequences of a part, dealt into the minibatches of an epoch, whose number is given."""

    def __init__(self, network: Network, part: PartProblem, plan: Plan, epoch: int) -> None:
        n = len(part.sequences)
        generator = _generator(plan, _ORDER, epoch, part.rank)
        super().__init__(network, part.sequences, max(n, 1), plan.shuffle, generator)
        self._shards = (n,)
        self.n_batches = plan.n_batches
        self.most_sequences = -(-n // self.n_batches)


def _generator(plan: Plan, *which: int) -> np.random.RandomState:
    return np.random.RandomState([plan.seed, *which])


class _Elsewhere:
    """The `Limits` of a worker: who asks the others to work looks after the time."""

    def __init__(self, progress: float) -> None:
        self._progress = progress

    def reached(self) -> Status | None:
        return None

    def progress(self) -> float:
        return self._progress


def make_round(
    settings: Settings,
    network: Network,
    part: PartProblem,
    plan: Plan,
    state: RoundState,
    which: Round,
    progress: float = 0.0,
    multipliers: Sequence[FloatArray] | None = None,
) -> RoundResult:
    """Make the iterations of a round on one part of the data.

    Parameters
    ----------
    settings : Rollout
        Solver.
    network : RNN or StackedRNN
        Network with the weights that all parts start from; they are changed.
    part : PartProblem
        Part of the data.
    plan : Plan
        Plan of all rounds.
    state : RoundState
        State that all parts start from.
    which : Round
        Round to make.
    progress : float, default=0.0
        Share of the time that is over.
    multipliers : list of ndarray, optional
        Multipliers of this part, by layers, where parts have some; None before the first round.

    Returns
    -------
    RoundResult
        Weights and statistics after the round.
    """
    with backend.one_blas_thread():
        fit, minibatches = _begin(settings, network, part, plan, state, which, progress)
        if fit.consensus and multipliers is not None:
            fit.consensus.begin(multipliers, state.rho, _metrics(state, settings.damping))
        failing = Failing(fit.reducer, fit.sums)
        before: list[_OfBatch] = []
        for indices in minibatches:
            if len(indices):
                fit.iterate(iter([indices]), failing)
            else:  # another part has sequences left for this iteration
                fit.iteration += 1
            if not before:
                before = (
                    [(fit.batch_loss, fit.mean_weight, fit.n_targets, len(indices))] if len(indices) else [_NOTHING]
                )
        found = [
            Statistics(layer.radius, layer.large_radius, layer.M, layer.G, layer.R, layer.gram_blocks)
            for layer in fit.layers
        ]
        M_0 = [states.M for states in fit.initial_states]
        state = RoundState(found, M_0, fit.n_remembered, fit.iteration)
        steps = fit.consensus.steps if fit.consensus else None
        return RoundResult(list(network.trained), state, fit.record, before, steps)


def _metrics(state: RoundState, damping: float) -> list[Metric]:
    return [Metric(layer.blocks, layer.R, damping) for layer in state.layers]


_NOTHING = (0.0, 0.0, 0, 0)


def losses_of(
    settings: Settings, network: Network, part: PartProblem, plan: Plan, epoch: int, n_sequences: int
) -> list[_OfBatch]:
    """What `mean_loss` takes of the first minibatches of an epoch, about ``n_sequences`` in all parts, one by one."""
    with backend.one_blas_thread():
        n_batches = min(max(-(-n_sequences * plan.n_batches // part.of_all.n_sequences), 1), plan.n_batches)
        which = Round(epoch, 0, n_batches)
        fit, minibatches = _begin(settings, network, part, plan, RoundState(), which, 1.0)
        if fit.dropout:
            fit.dropout.rest()
        found = []
        for indices in minibatches:
            fit.initial = network.initial_states(fit.load(indices))
            fit.sweep_forward()
            found.append((fit.batch_loss, fit.mean_weight, fit.n_targets, len(indices)))
        return found


def _begin(
    settings: Settings,
    network: Network,
    part: PartProblem,
    plan: Plan,
    state: RoundState,
    which: Round,
    progress: float,
) -> tuple[Fit, list[IntArray]]:
    """A fit that goes on from a state, and the minibatches of a round of it."""
    order = _Dealt(network, part, plan, which.epoch)
    minibatches = list(islice(order.epoch(), which.first, which.end))
    order.random_state = _generator(plan, _DROPOUT, state.iteration, part.rank)
    problem = Problem(
        network,
        order,
        part.targets,
        part.loss,
        weights=part.weights,
        penalty=part.penalty,
        dropout=part.dropout,
        augmentation=part.augmentation,
        n_iterations=plan.n_iterations,
        n_threads=part.n_threads,
        of_all=part.of_all,
        limits=_Elsewhere(progress),
        has_consensus=plan.has_consensus,
    )
    fit = Fit(settings, problem)
    fit.iteration, fit.n_remembered = state.iteration, state.n_remembered
    fit.has_factors = False
    for layer, earlier in zip(fit.layers, state.layers, strict=False):
        layer.radius = earlier.radius
        layer.M[:], layer.G[:] = earlier.M, earlier.G
        if layer.R is not None and earlier.R is not None:
            layer.R[:] = earlier.R
    for states, M in zip(fit.initial_states, state.M_0, strict=False):
        states.remember(M)
    return fit, minibatches


def averaged(results: Sequence[RoundResult], shares: Sequence[float]) -> tuple[list[FloatArray], RoundState]:
    """The means of weights and statistics, by the parts' shares of the targets.

    A part that has just gone back to earlier weights has no statistics.  A radius that it has shrunk is that of all.
    """
    states = [result.state for result in results]
    weights = [_mean(of_parts, shares) for of_parts in zip(*(result.weights for result in results), strict=True)]
    knowing = [share if state.n_remembered else 0.0 for state, share in zip(states, shares, strict=True)]
    of_statistics = [share / (sum(knowing) or 1.0) for share in knowing]
    layers = [
        Statistics(
            min(layer.radius for layer in of_parts),
            of_parts[0].large_radius,
            _mean([layer.M for layer in of_parts], of_statistics),
            _mean([layer.G for layer in of_parts], of_statistics),
            None if of_parts[0].R is None else _mean([layer.R for layer in of_parts], of_statistics),
            of_parts[0].gram_blocks,
        )
        for of_parts in zip(*(state.layers for state in states), strict=True)
    ]
    M_0 = [_mean(of_parts, of_statistics) for of_parts in zip(*(state.M_0 for state in states), strict=True)]
    n_remembered = max(state.n_remembered for state in states)
    return weights, RoundState(layers, M_0, n_remembered, states[0].iteration)


def _mean(arrays: Sequence[Any], shares: Sequence[float]) -> Any:
    """In the order of the parts, so that it is the same to the last bit."""
    total = np.zeros(arrays[0].shape)
    for share, array in zip(shares, arrays, strict=True):
        if share:  # what counts for nothing may be infinite
            total += share * array.astype(np.float64)
    return total.astype(arrays[0].dtype)


class Rounds:
    """What the one who asks the parts to work keeps: their state, and good weights to go back to.

    Parameters
    ----------
    settings : Rollout
        Solver.
    network : RNN or StackedRNN
        Network whose weights are, after each round, the means of those of all parts.
    of_all : OfAll
        Figures of the targets of all parts.

    Attributes
    ----------
    state : RoundState
        State that the next round starts from.
    multipliers : list of list of ndarray or None
        Multipliers of each part, by layers; None without any.
    """

    multipliers: list[list[FloatArray]] | None

    def __init__(self, settings: Settings, network: Network, of_all: OfAll) -> None:
        self._settings, self._network, self._of_all = settings, network, of_all
        self.multipliers = None
        self._guard = Guard(network, of_all.n_sequences, of_all.constant_loss)
        self.window = self._guard.window
        self.state = RoundState()

    def take(self, results: Sequence[RoundResult], record: EpochRecord) -> None:
        """Average what all parts have found in a round, unless they say that the weights before were lost already."""
        for result in results:
            record.add_up(result.record)
        before = [result.before for result in results]
        loss = mean_loss(before)
        start = self.state
        weights, self.state = averaged(results, self._of_all.shares)
        if loss is not None and self._guard.lost(loss, sum(n for ((*_, n),) in before)):
            self._roll_back(record)
            return
        for own, mean in zip(self._network.trained, weights, strict=True):
            np.copyto(own, mean)
        if results[0].steps is not None:
            self._move_multipliers(results, start)

    def _move_multipliers(self, results: Sequence[RoundResult], start: RoundState) -> None:
        """Y_i <- Y_i + rho Q (Theta_i - Z), with the rho for which Y_i becomes M_i less its mean over the parts.

        Over a round of small steps Q (Theta_i - Z) is the sum of their lengths times M_i - Y_i less the mean of these.
        """
        moved = np.mean([result.steps for result in results if result.steps is not None], axis=0)
        rho = 1 / np.where(moved > 0, moved, np.inf)
        self.state.rho = (_PULL * rho).tolist()
        if self.multipliers is None:  # in the first round that was not lost
            self.multipliers = [[np.zeros_like(layer.M) for layer in self.state.layers] for _ in results]
            return
        matrices = self._network.trained[: len(self.state.layers)]
        for j, (metric, Z) in enumerate(zip(_metrics(start, self._settings.damping), matrices, strict=True)):
            for of_part, result in zip(self.multipliers, results, strict=True):
                of_part[j] = of_part[j] + Z.dtype.type(rho[j]) * metric.of(result.weights[j] - Z)

    def judge_last(self, losses: list[list[_OfBatch]], record: EpochRecord) -> bool:
        """Judge the weights that no later round sees; return whether others have taken their place."""
        loss = mean_loss(losses)
        if loss is None or not self._guard.lost_at_the_end(loss):
            return False
        self._roll_back(record)
        return True

    def _roll_back(self, record: EpochRecord) -> None:
        """Return to the last good weights, with a smaller radius and no memory of the past."""
        self._guard.roll_back()
        record.rollbacks += 1
        times = self._guard.rollbacks_in_a_row
        for layer in self.state.layers:
            layer.radius = min(layer.radius, layer.large_radius) * 0.5**times
            layer.M[:], layer.G[:] = 0, 0
            if layer.R is not None:
                layer.R[:] = 0
        for M in self.state.M_0:
            M[:] = 0
        self.state.n_remembered = 0
        self.multipliers = self.multipliers and [[np.zeros_like(Y) for Y in of_part] for of_part in self.multipliers]
