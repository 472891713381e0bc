"""The way of every fit, that of `fit`, of `partial_fit` and of a text: from what was read to what becomes fitted.

An estimator reads what the user passes, checks its settings, and hands both to `learn`, which makes a network and a
problem of them, lets the solver solve it, and hands back what the estimator is to become, after epochs that somebody
watches and at the end.
"""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.exceptions import ConvergenceWarning

from admmirnn import backend, validation
from admmirnn.data.augmenting import Augmentation
from admmirnn.data.sequences import Streams
from admmirnn.data.standardising import moments_of, standard_of
from admmirnn.data.targets import check_n_held_out, hold_out, hold_out_ends, hold_out_these
from admmirnn.estimators.settings import check_drawn_again, check_init, check_resume
from admmirnn.networks import new_network
from admmirnn.networks.cells import GATED, cell_named
from admmirnn.networks.start import LONG, start_gates_of_past
from admmirnn.solvers import Capability, Status
from admmirnn.solvers.memory import Memory
from admmirnn.solvers.rollout.parts import all_streams
from admmirnn.solvers.workers import OneProcess, gather
from admmirnn.watching import (
    EarlyStopping,
    EpochState,
    History,
    Interruption,
    Limits,
    Progress,
    Validation,
    logger,
    warning_of_first_epochs,
    warning_of_unfinished,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from admmirnn._typing import Array, FloatArray, Record, Reducer
    from admmirnn.data.sequences import Sequences
    from admmirnn.data.targets import HeldOut, Targets
    from admmirnn.estimators.agreement import Everyones
    from admmirnn.estimators.settings import EstimatorSettings
    from admmirnn.files.checkpoints import Checkpoint
    from admmirnn.losses import AnyLoss
    from admmirnn.networks import Network
    from admmirnn.solvers.status import Outcome

_N_STREAMS = 16  # chosen on text, see CharacterModel
_LEAST_WEIGHT = 1e-20  # where the largest one is 1: smaller ones would underflow in float32
_USUAL_EPOCHS, _FEWEST_ITERATIONS = 20, 100  # where max_epochs is "auto"
_BATCH_OF_LONG = 64  # sequences of at least LONG steps, for cells with gates; see docs/choices.md
_FEWEST_BATCHES = 8  # as where Rollout chooses the size of minibatches
_LONG_SERIES = 1000  # steps of a series that "auto" makes streams of, see bench/NOTES.md
_DROPOUT_OF_STREAMS = 0.3  # which "auto" takes then
_FEWEST_CHUNKS = 4  # of a stream, or its first state would say too much


@dataclass
class Data:
    """What the user has passed, as networks and solvers take it.

    Attributes
    ----------
    sequences : Sequences
        Sequences that the network reads.
    targets : Targets
        Targets that it learns.
    loss : Loss
        Loss R.
    attributes : dict
        Attributes of the fitted estimator, by name, that tell how to read sequences and what targets mean.
    apart : tuple or None
        Validation data: measured after every epoch, and not learnt from.
    everyones : Everyones or None
        Figures of the sequences of all workers, where several workers have a part of the data each.
    """

    sequences: Sequences
    targets: Targets
    loss: AnyLoss
    attributes: dict[str, Any]
    apart: HeldOut | None = None
    everyones: Everyones | None = None


@dataclass
class Earlier:
    """What an earlier call has left, for `partial_fit` to go on from."""

    network: Network
    history: History
    memory: Memory | None


@dataclass
class Result:
    """What an estimator is to become.

    Attributes
    ----------
    goes_on : bool
        Whether `partial_fit` can go on from the result; without a memory, it does so with new statistics.
    memory : Memory or None
        Statistics that the solver has left for later calls.

    The others are the fitted attributes, without their underscores; ``attributes`` are those of `Data`.
    """

    attributes: dict[str, Any]
    network: Network
    history: History
    goes_on: bool
    memory: Memory | None = None
    status: Status | None = None
    status_detail: str | None = None
    best_epoch: int | None = None


def learn(
    estimator: Any,
    settings: EstimatorSettings,
    data: Data,
    become: Callable[[Result], None],
    *,
    earlier: Earlier | None = None,
    online: bool = False,
    resume: bool = False,
    reducer: Reducer | None = None,
) -> None:
    """Train a network, a new one or the earlier one.

    Parameters
    ----------
    estimator : estimator
        Estimator that callbacks are shown, and whose parameters a checkpoint belongs to.
    settings : EstimatorSettings
        Settings of the estimator, as they have been checked.
    data : Data
        Data to learn.
    become : callable
        Function that makes the estimator what a `Result` says; it is called at the end, and after every epoch if there
        are callbacks.
    earlier : Earlier or None, default=None
        State of an earlier fit to go on from; None draws initial weights.
    online : bool, default=False
        Whether this is a call of partial_fit: one pass, which others may follow.
    resume : bool, default=False
        Whether to go on from the checkpoint.
    reducer : Reducer, optional
        Object that joins several workers.
    """
    reducer = OneProcess() if reducer is None else reducer
    check_resume(settings, resume)
    check_checkpoint_of_streams(settings, reducer)
    data = prepared(estimator, settings, data, reducer, is_new=earlier is None)
    outcome = train(estimator, settings, data, become, earlier=earlier, online=online, resume=resume, reducer=reducer)
    said = warning_of(outcome, settings, online=online)
    if said is not None:
        warnings.warn(said, ConvergenceWarning, stacklevel=5)
    if outcome.status is Status.INTERRUPTED:
        warnings.warn(f"training was {outcome.status.value}", ConvergenceWarning, stacklevel=5)


def warning_of(outcome: Outcome, settings: EstimatorSettings, *, online: bool) -> str | None:
    """What the user should know of how a fit has gone, or None: the solver's warning, and what its figures say."""
    found = [outcome.warning]
    if not online and Capability.MEMORY in settings.solver.capabilities:  # the losses of others rise and fall
        if outcome.status is Status.ITERATION_LIMIT:
            found.append(warning_of_unfinished(outcome.history))
        if outcome.status is Status.NO_PROGRESS:
            found.append(warning_of_first_epochs(outcome.history))
    return ". ".join(filter(None, found)) or None


def prepared(estimator: Any, settings: EstimatorSettings, data: Data, reducer: Reducer, *, is_new: bool) -> Data:
    """The data with a part held out, if one is needed and not given, and standardised for a new network."""
    has_apart = any(gather(reducer, data.apart is not None))
    if settings.early_stopping and not has_apart:
        data = (
            held_out(estimator, settings, data)
            if reducer.size == 1
            else held_out_part(estimator, settings, data, reducer)
        )
    elif has_apart and data.apart is None:
        data = replace(data, apart=nothing_of(data))
    return standardized(settings, data, reducer) if is_new else data


def train(
    estimator: Any,
    settings: EstimatorSettings,
    data: Data,
    become: Callable[[Result], None],
    *,
    earlier: Earlier | None,
    online: bool,
    resume: bool = False,
    reducer: Reducer,
    interruption: Interruption | None = None,
) -> Outcome:
    """As `learn`, of data that are `prepared` and without warnings; return what the solver has returned.

    Ctrl-C ends it by the ``interruption``, where there is one of several fits.
    """
    network = earlier.network if earlier else network_for(settings, data, estimator.init)
    checkpoint = checkpoint_for(estimator, settings, data, reducer)
    memory = earlier.memory if earlier else None
    carries_on = settings.stateful and online and not data.sequences.n_symbols  # the streams of the next call go on
    if carries_on:
        streams = data.sequences.in_chunks(settings.chunk_size)
        check_n_streams(None if memory is None else memory.states, streams)
        read: Sequences | Streams = streams
    else:
        settings, read = in_streams(settings, data.sequences, data.everyones)
        settings = settings if online else in_minibatches(settings, data, reducer.size)
    backend.kernels()
    watch = Watch(estimator, settings, data, network, become, earlier, checkpoint, reducer)
    n_epochs = 1 if online else _n_epochs(settings, read, reducer)
    going_on = watch.read_checkpoint(n_epochs) if resume else None
    own = Interruption(checkpoint is not None, may_raise=reducer.size == 1)
    try:
        with own if interruption is None else nullcontext(interruption) as interruption:
            limits = Limits(interruption, settings.max_time)
            outcome = _solve(settings, data, network, read, watch, n_epochs, _Start(online, memory, going_on, limits))
            _become(watch, outcome, become, carries_on=carries_on)
    except BaseException as error:
        watch.rescue(error)
        raise
    return outcome


def _become(watch: Watch, outcome: Outcome, become: Callable[[Result], None], *, carries_on: bool) -> None:
    """Make the estimator what the solver has made of it; ``carries_on`` says that streams go on in the next call."""
    result = watch.result(outcome)
    if result.memory is not None and not isinstance(result.memory, Memory):
        found, result.memory = type(result.memory).__name__, None
        become(result)
        watch.is_done = True
        raise TypeError(
            f"the solver's Outcome has a memory of type {found}, which partial_fit cannot go on from; make it a "
            "dataclass derived from admmirnn.solvers.memory.Memory, or leave it None. The estimator is fitted"
        )
    if not carries_on and result.memory is not None:
        result.memory = replace(result.memory, states=None)  # of streams that were cut for this call
    become(result)
    watch.is_done = True


@dataclass
class _Start:
    """Where a solver starts from: new statistics, the memory of the call before, or the state in a checkpoint."""

    online: bool
    memory: Memory | None
    going_on: tuple[list[Record], dict[str, Any]] | None
    limits: Limits


def _solve(
    settings: EstimatorSettings,
    data: Data,
    network: Network,
    read: Sequences | Streams,
    watch: Watch,
    n_epochs: int,
    start: _Start,
) -> Outcome:
    """Let the solver train the network, until it or whoever watches it ends that."""
    targets, limits = data.targets, start.limits
    of_capabilities: dict[str, Any] = {}
    if Capability.PENALTIES in settings.solver.capabilities:
        of_capabilities["penalties"] = settings.penalties or None
    if Capability.MEMORY in settings.solver.capabilities:
        of_capabilities |= {"online": start.online, "memory": start.memory}
    if Capability.CHECKPOINTS in settings.solver.capabilities:
        of_capabilities |= {"checkpoint": watch.keep if watch.keeps else None, "resume": start.going_on}
    if Capability.DROPOUT in settings.solver.capabilities:
        of_capabilities["dropout"] = settings.dropout
    if Capability.AUGMENTATION in settings.solver.capabilities:
        of_capabilities["augmentation"] = augmentation_for(settings, data.sequences, watch.reducer)
    if Capability.WORKERS in settings.solver.capabilities:
        of_capabilities["reducer"] = watch.reducer if watch.reducer.size > 1 else None
    with Progress(settings.verbose, n_epochs, limits, n_done=watch.n_done) as watch.progress:
        return settings.solver.solve(
            network,
            read,
            targets.values,
            data.loss,
            weights=weights_for(settings.solver.capabilities, targets.weights),
            penalty=settings.penalty,
            max_epochs=1 if start.online else _max_epochs(settings, read, watch.reducer),
            batch_size=settings.batch_size,
            shuffle=settings.shuffle,
            random_state=settings.random_state,
            n_threads=settings.n_threads,
            on_epoch_end=watch.end_epoch,
            limits=limits,
            **of_capabilities,
        )


class Watch:
    """What happens after each epoch of a fit: validation, progress, callbacks, early stopping, a checkpoint.

    Attributes
    ----------
    progress : Progress
        Display of the progress of this fit, while it runs.
    checkpoint : Checkpoint or None
        File that states are kept in; where there are several workers, the first one writes it.
    keeps : bool
        Whether one of the workers has a checkpoint.
    reducer : Reducer
        Object that joins the workers.
    is_done : bool
        Whether the estimator has become what the solver has made of it.
    """

    reducer: Reducer
    keeps: bool
    checkpoint: Checkpoint | None
    is_done: bool

    progress: Progress

    def __init__(
        self,
        estimator: Any,
        settings: EstimatorSettings,
        data: Data,
        network: Network,
        become: Callable[[Result], None],
        earlier: Earlier | None,
        checkpoint: Checkpoint | None,
        reducer: Reducer,
    ) -> None:
        self.reducer, self.keeps = reducer, any(gather(reducer, checkpoint is not None))
        self._estimator, self._settings, self._attributes, self._network = estimator, settings, data.attributes, network
        self._become, self.checkpoint, self.is_done = become, checkpoint, False
        self._goes_on = earlier is not None
        self._so_far = earlier.history if earlier else History()  # what callbacks are shown
        self._n_earlier = len(self._so_far)
        self._epochs_before = int(self._so_far[-1]["epoch"]) if self._so_far else 0
        self._kept: list[FloatArray] | None = None  # the weights after the last epoch
        self._is_written = True
        self._validation = Validation(*data.apart, data.loss, settings.n_threads, reducer) if data.apart else None
        self._early_stopping = (
            EarlyStopping(network, settings.patience, settings.tol) if settings.early_stopping else None
        )

    @property
    def n_done(self) -> int:
        """Epochs of this fit that have been done, in another process as well."""
        return len(self._so_far) - self._n_earlier

    def read_checkpoint(self, n_epochs: int) -> tuple[list[Record], dict[str, Any]] | None:
        """Go on from what the checkpoint holds, if there is one; return the history and the state for the solver."""
        written = self.checkpoint.read(n_epochs) if self.checkpoint is not None else None
        written = gather(self.reducer, written)[0]
        if written is None:
            return None
        done, of_solver, of_early_stopping = written
        self._so_far.extend(done)
        if self._early_stopping:
            self._early_stopping.go_on_from(of_early_stopping)
        return done, of_solver

    def end_epoch(self, record: Record) -> Status | None:
        """Look at an epoch's record, and complete it; return the status to end with, or None."""
        record["epoch"] += self._epochs_before
        self._so_far.append(record)
        self._keep_weights()
        if self._validation:
            self._validation.measure(self._network, record)
        self.progress.show(record)
        callbacks = self._settings.callbacks
        if callbacks:
            self._become(self._result(self._so_far))
        is_asked = any([callback(EpochState(dict(record), self._estimator)) for callback in callbacks])
        if self._early_stopping and self._early_stopping.is_over(record):
            return Status.NO_PROGRESS
        return Status.STOPPED if is_asked else None

    def keep(self, done: list[Record], state: Callable[[], dict[str, Any]]) -> None:
        """Write a checkpoint, if it is due after so many epochs."""
        try:
            if self.checkpoint is not None and self.checkpoint.is_due(len(done)):
                self.checkpoint.write(done, state(), self._early_stopping.state() if self._early_stopping else None)
                self._is_written = True
        except (OSError, MemoryError) as error:  # a full disk may have room again in the next epoch
            if self._is_written:
                text = f"the checkpoint cannot be written ({error}); training goes on, and the file is as it was"
                logger.warning(text)
                warnings.warn(text, RuntimeWarning, stacklevel=2)
            self._is_written = False
        gather(self.reducer, None)  # all go on together

    def _keep_weights(self) -> None:
        """Keep a copy of the weights, to go back to when something ends the fit in the middle of an update."""
        if self._kept is None:
            self._kept = [np.empty_like(weights) for weights in self._network.trained]
        for kept, weights in zip(self._kept, self._network.trained, strict=True):
            np.copyto(kept, weights)

    def rescue(self, error: BaseException) -> None:
        """Let the estimator have the weights of the last whole epoch of a fit that an exception has ended.

        An estimator that was going on from an earlier call stays as it was.
        """
        if self.is_done:
            return
        if self._goes_on:
            has_become = bool(self._so_far) and self._estimator.n_iter_ == self._so_far[-1]["epoch"]
            if not self._settings.callbacks and not has_become:  # callbacks have been shown it with these weights
                del self._so_far[self._n_earlier :]
            return
        if not self.n_done or self._kept is None:
            return
        for weights, kept in zip(self._network.trained, self._kept, strict=True):
            np.copyto(weights, kept)
        result = self._result(self._so_far)
        if self._early_stopping:
            self._early_stopping.restore()
            result.best_epoch = self._early_stopping.best_epoch
        if isinstance(error, KeyboardInterrupt):
            result.status = Status.INTERRUPTED
        result.status_detail = f"ended by {type(error).__name__} in epoch {self.n_done + 1}"
        self._become(result)

    def result(self, outcome: Outcome) -> Result:
        """What the estimator becomes at the end, with the weights of the best epoch, if those were looked for."""
        self._so_far[self._n_earlier :] = outcome.history
        if self._goes_on:
            self._so_far.forget()
        result = self._result(self._so_far)
        if self._early_stopping:
            self._early_stopping.restore()
            result.best_epoch = self._early_stopping.best_epoch
        result.memory, result.status, result.status_detail = outcome.memory, outcome.status, outcome.detail
        return result

    def _result(self, history: History) -> Result:
        goes_on = Capability.MEMORY in self._settings.solver.capabilities
        return Result(self._attributes, self._network, history, goes_on)


def weights_for(capabilities: Collection[Capability], weights: FloatArray | None) -> FloatArray | None:
    """The weights as a solver takes them: as given if it remembers those of earlier calls, else with 1 as largest."""
    if weights is None or Capability.MEMORY in capabilities:
        return weights
    return np.where(weights > 0, np.maximum(weights / weights.max(), _LEAST_WEIGHT), 0.0)


def held_out(estimator: Any, settings: EstimatorSettings, data: Data) -> Data:
    """Set a part of the data apart: sequences, or the ends of streams and of series that are too few for that."""
    sequences, targets, fraction = data.sequences, data.targets, settings.validation_fraction
    is_too_short = targets.every_step and round(fraction * len(sequences)) == 0  # one long series, or a few
    if settings.stateful or is_too_short:
        sequences, targets, apart = hold_out_ends(sequences, targets, fraction)
    else:
        check_drawn_again(estimator, settings)
        by_class = isinstance(estimator, ClassifierMixin)
        sequences, targets, apart = hold_out(sequences, targets, fraction, settings.random_state, by_class=by_class)
    return replace(data, sequences=sequences, targets=targets, apart=apart)


def standardized(settings: EstimatorSettings, data: Data, reducer: Reducer) -> Data:
    """Let the network read features as the training set's means and deviations have them, if it is to."""
    sequences, is_auto = data.sequences, settings.standardize == "auto"
    if sequences.n_symbols:
        return data
    standard = None
    if settings.standardize and not (is_auto and settings.scale != 1):
        standard = standard_of(sequences, partial(gather, reducer), only_where_needed=is_auto)
    mean, scale = None, None
    if standard is not None:
        n_features = standard.shape[1]
        if settings.missing == "indicator":  # these stay zeros and ones
            n_features //= 2
            standard[:, n_features:] = [[0.0], [1.0]]
        mean, scale = standard[0, :n_features].copy(), 1 / standard[1, :n_features]
    apart = data.apart
    return replace(
        data,
        sequences=replace(sequences, standard=standard),
        attributes=data.attributes | {"feature_mean_": mean, "feature_scale_": scale},
        apart=apart and (replace(apart[0], standard=standard), *apart[1:]),
    )


def augmentation_for(settings: EstimatorSettings, sequences: Sequences, reducer: Reducer) -> Augmentation | None:
    """How training sequences are to be changed, by the deviations of their features, of those of all workers."""
    if settings.augment is None:
        return None
    found = moments_of(sequences, partial(gather, reducer))
    n_channels, fixed = len(found.mean), None
    if settings.missing == "indicator":  # what says so stays as it is
        fixed = np.arange(n_channels) >= n_channels // 2
    return Augmentation.of(settings.augment, found, fixed)


def network_for(settings: EstimatorSettings, data: Data, init: Any) -> Network:
    """A network for these data, with its initial weights."""
    sequences = data.sequences
    n_steps = settings.chunk_size if settings.stateful else usual_length(data)
    symbols = sequences.n_symbols > 0
    sizes, every_step = (sequences.n_features, data.targets.n_outputs), data.targets.every_step
    return initial_network(settings, *sizes, init, n_steps, symbols=symbols, every_step=every_step)


def usual_length(data: Data) -> int:
    """The median of the lengths of all sequences, of all workers."""
    return data.everyones.usual_length if data.everyones else int(np.median(data.sequences.lengths))


def initial_network(
    settings: EstimatorSettings,
    n_features: int,
    n_outputs: int,
    init: Any,
    n_steps: int = 1,
    *,
    symbols: bool = False,
    every_step: bool = False,
) -> Network:
    """A network with initial weights, those of ``init`` where that has some; ``n_steps`` of a usual sequence."""
    network = new_network(
        n_features,
        settings.sizes,
        n_outputs,
        cell=cell_named(settings.cell, settings.activation),
        dtype=settings.dtype,
        random_state=settings.random_state,
        read_out=settings.readout,
        bidirectional=settings.bidirectional,
        symbols=symbols,
    )
    if settings.cell in GATED:
        kind = {"symbols": symbols, "every_step": every_step}
        start_gates_of_past(network, settings.forget_bias, n_steps, settings.random_state, **kind)
    if isinstance(settings.s_0, str):  # to learn, from zeros or those of init
        start_from(network, settings.s_0)
    shapes = {name: weights.shape for name, weights in network.weights.items()}
    for name, values in check_init(init, shapes, settings.dtype).items():
        network.weights[name][:] = values
    if settings.s_0 is not None and not isinstance(settings.s_0, str):
        start_from(network, settings.s_0)
    return network


def start_from(network: Network, s_0: str | FloatArray) -> None:
    """Give a network of one direction the states before the first step: zeros to learn, or those of all layers."""
    network.learns_s_0 = isinstance(s_0, str)
    end = 0
    for (direction,) in network.layers:
        begin, end = end, end + direction.n_hidden
        direction.s_0 = np.zeros(direction.n_hidden, network.dtype)
        if not isinstance(s_0, str):
            direction.s_0[:] = s_0[begin:end]
        elif direction.cell.has_cell_state:
            direction.c_0 = np.zeros_like(direction.s_0)


def held_out_part(estimator: Any, settings: EstimatorSettings, data: Data, reducer: Reducer) -> Data:
    """As `held_out`, of one of several workers: what is apart is drawn from the sequences of all of them.

    So one may have none of these, or nothing else; classes have about their shares only where there are many.
    """
    sequences, targets, fraction = data.sequences, data.targets, settings.validation_fraction
    shards = gather(reducer, len(sequences))
    n, first = sum(shards), sum(shards[: reducer.rank])
    apart: HeldOut | None = None
    if settings.stateful or (targets.every_step and round(fraction * n) == 0):
        if len(sequences):
            sequences, targets, apart = hold_out_ends(sequences, targets, fraction)
    else:
        check_drawn_again(estimator, settings)
        chosen = settings.random_state.permutation(n)[: check_n_held_out(fraction, n)] - first
        own = np.sort(chosen[(chosen >= 0) & (chosen < len(sequences))])
        sequences, targets, apart = hold_out_these(sequences, targets, own)
    return replace(data, sequences=sequences, targets=targets, apart=nothing_of(data) if apart is None else apart)


def nothing_of(data: Data) -> HeldOut:
    """No sequences of the kind of these, held out."""
    nothing = replace(data.sequences, first_rows=np.arange(0), lengths=np.arange(0))
    return nothing, data.targets.values[:0], None, data.targets.every_step


def check_checkpoint_of_streams(settings: EstimatorSettings, reducer: Reducer) -> None:
    """Raise if a checkpoint would have to hold the states of the streams of several workers."""
    if settings.checkpoint is not None and settings.stateful and reducer.size > 1:
        raise ValueError(
            f"checkpoint is {settings.checkpoint!r}, and a checkpoint does not hold the states of streams on several "
            "ranks; pass checkpoint=None"
        )


def checkpoint_for(estimator: Any, settings: EstimatorSettings, data: Data, reducer: Reducer) -> Checkpoint | None:
    """The `Checkpoint` of a fit to these data, or None; of several workers the first one's says who has one."""
    if gather(reducer, settings.checkpoint)[0] is None:
        return None
    from admmirnn.files.checkpoints import Checkpoint, fingerprint, fingerprint_of_all  # which few need

    of_fit = [(data.sequences, data.targets.values, data.targets.weights), *([data.apart[:3]] if data.apart else [])]
    found = gather(reducer, fingerprint(estimator, *of_fit))
    if settings.checkpoint is None or reducer.rank > 0:
        return None
    of_all = found[0] if reducer.size == 1 else fingerprint_of_all(found)
    return Checkpoint(settings.checkpoint, settings.checkpoint_every, of_all)


def for_few_series(estimator: Any, settings: EstimatorSettings, data: Data) -> EstimatorSettings:
    """Read a few long series with labels of their steps as streams, and hide units, where both are left to "auto".

    A series read as a whole is one minibatch per pass, and is learnt by heart.
    """
    sequences, can = data.sequences, settings.solver.capabilities
    have_labels = data.loss.takes_labels and data.targets.every_step
    are_few = len(sequences) < _N_STREAMS and int(sequences.lengths.max()) >= _LONG_SERIES
    may_be_cut = {Capability.STATES, Capability.MEMORY} <= can and not settings.bidirectional and not settings.augment
    if not (validation.is_auto(estimator.stateful) and have_labels and are_few and may_be_cut):
        return settings
    hides = validation.is_auto(estimator.dropout) and Capability.DROPOUT in can
    return replace(settings, stateful=True, dropout=_DROPOUT_OF_STREAMS if hides else settings.dropout)


def in_streams(
    settings: EstimatorSettings, sequences: Sequences, everyones: Everyones | None = None
) -> tuple[EstimatorSettings, Sequences | Streams]:
    """Cut sequences into streams, if their states are to be carried on; of a text, a minibatch takes all of them.

    ``everyones`` are those of all workers, which are cut alike.
    """
    if not settings.stateful:
        return settings, sequences
    n_steps = everyones.n_steps if everyones else int(sequences.lengths.sum())
    most = n_steps // (_FEWEST_CHUNKS * settings.chunk_size)
    n_streams = settings.batch_size or min(_N_STREAMS, max(most, 1))
    if sequences.n_symbols:
        settings = replace(settings, batch_size=n_streams)
    extent = (int(everyones.lengths.max()), n_steps) if everyones else None
    return settings, sequences.in_chunks(settings.chunk_size, n_streams, extent)


def in_minibatches(settings: EstimatorSettings, data: Data, n_workers: int = 1) -> EstimatorSettings:
    """Take smaller minibatches of many long sequences with one target each, unless a size was asked for."""
    is_own = Capability.MEMORY not in settings.solver.capabilities  # the user's, or Algorithm 1
    if settings.batch_size or settings.stateful or settings.cell not in GATED or data.targets.every_step or is_own:
        return settings
    n_sequences = int(data.everyones.counts.sum()) if data.everyones else len(data.sequences)
    batch_size = _BATCH_OF_LONG * n_workers
    if usual_length(data) < LONG or n_sequences < _FEWEST_BATCHES * batch_size:
        return settings
    return replace(settings, batch_size=batch_size)


def _n_epochs(settings: EstimatorSettings, sequences: Sequences | Streams, reducer: Reducer) -> int:
    """How many epochs a fit may take, the last one perhaps not to its end."""
    max_iter: int | None = getattr(settings.solver, "max_iter", None)
    if max_iter is None:
        return _max_epochs(settings, sequences, reducer)
    return -(-max_iter // _iterations_per_epoch(settings, sequences, reducer))


def _iterations_per_epoch(settings: EstimatorSettings, sequences: Sequences | Streams, reducer: Reducer) -> int:
    if isinstance(sequences, Streams):
        if reducer.size > 1:
            sequences = all_streams(reducer, sequences)
        return sequences.n_batches(settings.batch_size or len(sequences))
    if reducer.size > 1:
        solver: Any = settings.solver  # which can share a fit
        n_sequences = sum(gather(reducer, len(sequences)))
        return int(solver.iterations_per_epoch(n_sequences, settings.batch_size, reducer.size))
    return settings.solver.iterations_per_epoch(len(sequences), settings.batch_size)


def _max_epochs(settings: EstimatorSettings, sequences: Sequences | Streams, reducer: Reducer) -> int:
    """How many epochs a fit has, but for the solver's limit of iterations: as many as make enough of these, if auto."""
    if settings.max_epochs is not None:
        return settings.max_epochs
    if Capability.MEMORY not in settings.solver.capabilities:  # an iteration of Algorithm 1 is a whole epoch
        return _USUAL_EPOCHS
    return enough_epochs(_iterations_per_epoch(settings, sequences, reducer))


def enough_epochs(n_iterations: int) -> int:
    """How many epochs of so many iterations ``max_epochs="auto"`` stands for."""
    return max(_USUAL_EPOCHS, -(-_FEWEST_ITERATIONS // n_iterations))


def check_n_streams(states: Array | None, streams: Streams) -> None:
    """Raise unless there are as many streams as states to go on from."""
    if states is not None and len(states) != len(streams):
        raise ValueError(
            f"X has {len(streams)} streams, and had {len(states)} in the call before; pass as many, or call "
            "reset_states() first"
        )
