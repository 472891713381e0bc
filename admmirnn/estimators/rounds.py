"""Fits in rounds: parts of the data stay where they are, and are asked for some iterations each, time and again.

Whoever holds the parts, `Parts`, is asked to call functions with them.  These functions are below: what a part reads,
what all parts agree on, and a round.  `learn_in_rounds` asks for them, averages, and makes an estimator fitted.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from admmirnn.estimators.pipeline import (
    Data,
    Watch,
    augmentation_for,
    enough_epochs,
    held_out_part,
    in_minibatches,
    network_for,
    standardized,
)
from admmirnn.solvers import Rollout, Status
from admmirnn.solvers.rollout.advice import warning_of_history
from admmirnn.solvers.rollout.history import EpochRecord
from admmirnn.solvers.rollout.over_workers import OfAll, find_of_all
from admmirnn.solvers.rollout.rounds import (
    PartProblem,
    Plan,
    Round,
    RoundResult,
    Rounds,
    RoundState,
    losses_of,
    make_round,
)
from admmirnn.solvers.status import Outcome
from admmirnn.solvers.workers import ByLetter, OneProcess, Unheard
from admmirnn.watching import Interruption, Limits, Progress, Validation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admmirnn._typing import Record, Self
    from admmirnn.estimators.settings import EstimatorSettings
    from admmirnn.networks import Network


class Parts(Protocol):
    """Parts of the data, which somebody holds, and calls functions with that return the same whenever they are called.

    A function is given a part, its number from 0, and the arguments that are passed here.
    """

    def __len__(self) -> int:
        """How many there are."""

    def map(self, function: Callable[..., Any], /, *arguments: Any) -> Self:
        """Return new parts: what the function returns for each; they stay where these are."""

    def collect(
        self,
        function: Callable[..., Any],
        /,
        *arguments: Any,
        each: Sequence[Any] | None = None,
        stop: Callable[[], Any] | None = None,
    ) -> list[Any] | None:
        """Return what the function returns for each part; None if ``stop()`` is true before all have been.

        Where ``each`` is given, which has something for every part, that is passed as the keyword ``own``.
        """

    def release(self) -> None:
        """Let go of the parts, which nobody will ask for any more."""


@dataclass
class Prepared:
    """A part of the data, ready for rounds.

    Attributes
    ----------
    data : Data
        Data without sequences, which are in ``problem``; its attributes are those of all parts.
    problem : PartProblem
        Part of the data that the solver works on.
    validation : Validation or None
        Data that are held out of the part.
    """

    data: Data
    problem: PartProblem
    validation: Validation | None


@dataclass
class _Answer:
    """What a part says when it is asked something that all have to agree on."""

    is_done: bool
    value: Any


def _ask(part: Any, rank: int, step: Callable[..., Any], size: int, heard: list[list[Any]]) -> _Answer:
    try:
        return _Answer(True, step(part, ByLetter(rank, size, heard)))
    except Unheard as question:
        return _Answer(False, question.args[0])


def _said(answer: _Answer, rank: int) -> _Answer:
    return _Answer(True, None) if answer.is_done else answer


def _nothing(part: Any, rank: int) -> None:
    """Be asked for nothing but to be there."""


def _value(answer: _Answer, rank: int) -> Any:
    return answer.value


def agreed(parts: Parts, step: Callable[..., Any]) -> Parts:
    """The parts that ``step(part, reducer)`` makes of these, which go; it may gather what all of them know."""
    heard: list[list[Any]] = []
    while True:
        answers = parts.map(_ask, step, len(parts), heard)
        said = _of_all_parts(answers, _said)
        if all(answer.is_done for answer in said):
            found = answers.map(_value)
            _of_all_parts(found, _nothing)  # they are there before what they have been made of is let go
            parts.release()
            return found
        answers.release()
        heard.append([answer.value for answer in said])


def read_part(part: tuple[Any, ...], reducer: Any, *, estimator: Any, settings: EstimatorSettings) -> Data:
    """Read a part (X, y) or (X, y, sample_weight) as all parts together are read."""
    if not isinstance(part, (tuple, list)) or len(part) not in (2, 3):
        raise TypeError(f"it is of type {type(part).__name__}; make it a pair (X, y), or (X, y, sample_weight)")
    X, y, sample_weight = (*part, None)[:3]
    found: Data = estimator._read_part(X, y, sample_weight, settings, reducer)
    return found


def prepare_part(data: Data, reducer: Any, *, estimator: Any, settings: EstimatorSettings, holds_out: bool) -> Prepared:
    """Make a part ready for rounds, with what all of them agree on."""
    settings, validation = deepcopy(settings), None
    if holds_out:
        data = held_out_part(estimator, settings, data, reducer)
    data = standardized(settings, data, reducer)
    targets, sequences = data.targets, data.sequences
    of_all = find_of_all(
        reducer,
        data.loss,
        targets.values,
        targets.weights,
        len(sequences),
        settings.dtype,
        at_each=targets.every_step,
    )
    if data.apart is not None:
        validation = Validation(*data.apart, data.loss, settings.n_threads, reducer)
        validation.leave()
    problem = PartProblem(
        sequences,
        targets.values,
        targets.weights,
        data.loss,
        reducer.rank,
        of_all,
        penalty=settings.penalty,
        dropout=settings.dropout,
        augmentation=augmentation_for(settings, sequences, reducer),
        n_threads=settings.n_threads,
    )
    return Prepared(_kind_of(data), problem, validation)


def _kind_of(data: Data) -> Data:
    """Data of no sequences: what whoever asks the parts has to know of them."""
    sequences = data.sequences
    nothing = replace(
        sequences, observations=sequences.observations[:0].copy(), first_rows=np.arange(0), lengths=np.arange(0)
    )
    targets = replace(data.targets, values=data.targets.values[:0].copy(), weights=None)
    return replace(data, sequences=nothing, targets=targets, apart=None)


def _kind(data: Data, rank: int) -> Data | None:
    return None if rank else _kind_of(data)


def _describe(part: Prepared, rank: int) -> tuple[Data, OfAll] | None:
    return (part.data, part.problem.of_all) if rank == 0 else None


def _make_round(
    part: Prepared,
    rank: int,
    solver: Rollout,
    network: Network,
    plan: Plan,
    state: RoundState,
    which: Round,
    progress: float,
    *,
    own: Any = None,
) -> RoundResult:
    return make_round(solver, deepcopy(network), part.problem, plan, state, which, progress, own)


def _losses_of(
    part: Prepared, rank: int, solver: Rollout, network: Network, plan: Plan, epoch: int, n_sequences: int
) -> list[tuple[float, float, int, int]]:
    return losses_of(solver, deepcopy(network), part.problem, plan, epoch, n_sequences)


def _validate(part: Prepared, rank: int, network: Network) -> tuple[float, float, int | None, int]:
    return (0.0, 0.0, 0, 0) if part.validation is None else part.validation.measure_part(network)


def check_suits_rounds(settings: EstimatorSettings, estimator: Any) -> None:
    """Raise unless an estimator with these settings can be fitted in rounds."""
    in_step = "or fit in step, with admmirnn.distributed.MPIReducer"
    if not isinstance(settings.solver, Rollout):
        raise ValueError(f"solver is {estimator.solver!r}, which cannot fit in rounds; pass solver='rollout'")
    if settings.stateful:
        raise ValueError(
            f"stateful is True, and fits in rounds do not carry the states of streams on; pass False, {in_step}"
        )
    if settings.penalties:
        raise ValueError(
            f"penalties is {estimator.penalties!r}, and the mean of several networks' weights need not satisfy them; "
            f"pass None, {in_step}"
        )
    if settings.checkpoint is not None:
        raise ValueError(f"checkpoint is {settings.checkpoint!r}, and fits in rounds write none; pass None, {in_step}")


def learn_in_rounds(
    estimator: Any,
    settings: EstimatorSettings,
    raw: Parts,
    iterations_per_round: int,
    validation_data: Any = None,
    *,
    consensus: bool = False,
) -> None:
    """Fit an estimator to parts of the data, in rounds.

    Parameters
    ----------
    estimator : RNNClassifier or RNNRegressor
        Estimator that becomes fitted.
    settings : EstimatorSettings
        Settings of the estimator, which suit rounds.
    raw : Parts
        Parts of the data: pairs (X, y), or triples with weights.
    iterations_per_round : int
        Largest number of iterations between two averages.
    validation_data : tuple or None
        Pair (X, y) as the estimator's ``fit`` takes it.
    consensus : bool
        Whether parts have multipliers.
    """
    for_parts = replace(settings, callbacks=(), verbose=0)
    reader = clone(estimator).set_params(callbacks=None)
    parts, apart = agreed(raw, partial(read_part, estimator=reader, settings=for_parts)), None
    if validation_data is not None:
        kind = _of_all_parts(parts, _kind)[0]
        apart = estimator._validation_data(validation_data, kind, settings)
    holds_out = settings.early_stopping and apart is None
    parts = agreed(parts, partial(prepare_part, estimator=reader, settings=for_parts, holds_out=holds_out))
    data, of_all = _of_all_parts(parts, _describe)[0]
    if apart is not None:
        data.apart = replace(apart[0], standard=data.sequences.standard), *apart[1:]
    try:
        driver = Driver(
            estimator, settings, parts, data, of_all, iterations_per_round, holds_out=holds_out, consensus=consensus
        )
        driver.run()
    finally:
        parts.release()


def _of_all_parts(parts: Parts, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    found = parts.collect(function, *arguments)
    assert found is not None  # nobody asked to stop
    return found


class Driver:
    """Whoever asks the parts to work: it has the weights, and what the next round starts from.

    Parameters
    ----------
    estimator, settings, iterations_per_round, consensus
        As in `learn_in_rounds`.
    parts : Parts
        Parts of the data, each of which holds a `Prepared`.
    data : Data
        Data without sequences: what all parts have in common, and what is measured here.
    of_all : OfAll
        Figures of the targets of all parts.
    holds_out : bool
        Whether parts have held something out.
    """

    def __init__(
        self,
        estimator: Any,
        settings: EstimatorSettings,
        parts: Parts,
        data: Data,
        of_all: OfAll,
        iterations_per_round: int,
        *,
        holds_out: bool,
        consensus: bool,
    ) -> None:
        self._estimator, self._settings, self._parts, self._of_all = estimator, settings, parts, of_all
        self._holds_out = holds_out
        solver = settings.solver
        assert isinstance(solver, Rollout)
        self._solver, size = solver, len(parts)
        batch_size = in_minibatches(settings, data, size).batch_size
        if settings.batch_size is not None:
            batch_size = settings.batch_size * size
        n_batches = solver.iterations_per_epoch(of_all.n_sequences, batch_size, size)
        n_iterations = solver.max_iter
        if n_iterations is None:
            n_iterations = (settings.max_epochs or enough_epochs(n_batches)) * n_batches
        self._network = network_for(settings, data, estimator.init)
        seed = int(settings.random_state.randint(1 << 31))
        self._plan = Plan(n_batches, n_iterations, iterations_per_round, settings.shuffle, seed, consensus)
        self._rounds = Rounds(solver, self._network, of_all)
        self._watch = Watch(
            estimator, settings, data, self._network, estimator._become_fitted, None, None, OneProcess()
        )

    def run(self) -> None:
        """Make all rounds, unless something ends the fit before, and make the estimator fitted."""
        watch = self._watch
        try:
            with Interruption() as interruption:
                limits = Limits(interruption, self._settings.max_time)
                with Progress(self._settings.verbose, self._plan.n_epochs, limits) as watch.progress:
                    outcome = self._solve(limits)
            self._estimator._become_fitted(watch.result(outcome))
            watch.is_done = True
        except BaseException as error:
            watch.rescue(error)
            raise
        for warning in (
            outcome.warning,
            outcome.status is Status.INTERRUPTED and f"training was {outcome.status.value}",
        ):
            if warning:
                warnings.warn(warning, ConvergenceWarning, stacklevel=4)

    def _solve(self, limits: Limits) -> Outcome:
        history: list[Record] = []
        status = Status.ITERATION_LIMIT
        for epoch in range(self._plan.n_epochs):
            record = EpochRecord()
            ending = self._run_epoch(epoch, record, limits)
            if record.is_empty:  # the end has come before the first round
                status = ending or status
                break
            if ending is None and epoch == self._plan.n_epochs - 1:
                self._judge_last(epoch, record)
            layers = self._rounds.state.layers
            history.append(record.summary(epoch + 1, layers[0], layers[-1]))
            if self._holds_out:
                Validation.add_to(history[-1], _of_all_parts(self._parts, _validate, self._network))
            asked = self._watch.end_epoch(history[-1])
            if ending or asked or limits.reached():
                status = ending or asked or limits.reached() or status
                break
        return Outcome(history, status, warning=warning_of_history(history, self._of_all.constant_loss))

    def _run_epoch(self, epoch: int, record: EpochRecord, limits: Limits) -> Status | None:
        """The rounds of an epoch; return the status to end with, if one has become due."""
        for which in self._plan.rounds(epoch):
            results = self._parts.collect(
                _make_round,
                self._solver,
                self._network,
                self._plan,
                self._rounds.state,
                which,
                limits.progress(),
                each=self._rounds.multipliers,
                stop=limits.reached,
            )
            if results is None:
                return limits.reached()
            self._rounds.take(results, record)
            if ending := limits.reached():
                return ending
        return None

    def _judge_last(self, epoch: int, record: EpochRecord) -> None:
        """Judge the last weights; those that take their place are judged as well."""
        for _ in range(2):
            window = self._rounds.window
            losses = _of_all_parts(self._parts, _losses_of, self._solver, self._network, self._plan, epoch, window)
            if not self._rounds.judge_last(losses, record):
                return
