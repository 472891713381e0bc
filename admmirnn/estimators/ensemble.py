"""Several networks of one estimator: trained side by side on the same data, and what they say together."""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_expit, log_softmax, logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from admmirnn import validation
from admmirnn._typing import Array, FloatArray, IntArray, Self
from admmirnn.estimators.pipeline import Earlier, prepared, train, warning_of
from admmirnn.estimators.settings import check_resume
from admmirnn.networks import network_of
from admmirnn.networks.blocks import weights_of
from admmirnn.networks.cells import cell_named
from admmirnn.solvers import Status
from admmirnn.solvers.memory import Memory
from admmirnn.solvers.workers import OneProcess
from admmirnn.watching import History, Interruption

if TYPE_CHECKING:
    from admmirnn._typing import Record, available_if
    from admmirnn.data.sequences import Sequences
    from admmirnn.estimators.pipeline import Data, Result
    from admmirnn.estimators.settings import EstimatorSettings
    from admmirnn.networks import Network
    from admmirnn.solvers.status import Outcome
    from admmirnn.streaming import Answer
    from admmirnn.watching import EpochState
else:
    from sklearn.utils.metaestimators import available_if

# of several ends, the first of these that there is among them is that of all
_BY_WEIGHT = (Status.INTERRUPTED, Status.DIVERGED, Status.TIME_LIMIT, Status.STOPPED, Status.NO_PROGRESS)
_MOST_OF_SEED = 2**31 - 1


@dataclass
class Trained:
    """Networks that have been trained together.

    Attributes
    ----------
    members : list of estimator
        Fitted estimators with one network each: those that were begun before an interruption.
    outcomes : list of Outcome
        Outcomes of their fits; fewer than members if an exception has come in between.
    error : BaseException or None
        The exception that has come in between.
    """

    members: list[Any]
    outcomes: list[Outcome]
    error: BaseException | None = None


def _may_have_several(estimator: Any) -> bool:
    """Whether an estimator has the parameter ``n_networks``."""
    if "n_networks" not in estimator.get_params(deep=False):
        raise AttributeError(f"{type(estimator).__name__} always has one network, so there is no spread")
    return True


class HasNetworks:
    """Mixin of estimators that have one network, or several, each with a fitted estimator of its own.

    The attributes that it shares with each say what data and answers mean; what is predicted is in `_outputs` alone.
    """

    estimators_: list[Self]
    history_: History
    n_iter_: int
    n_threads: int | None
    n_networks = 1  # of those that have no such parameter
    status_: Status | None
    status_detail_: str | None
    _activation: str
    _cell: str
    _form_of_targets: str
    _goes_on: bool
    _memory: Memory | None
    _readout: str

    if TYPE_CHECKING:

        def _answer(self) -> Answer: ...

        def _answers(self, outputs: FloatArray) -> FloatArray: ...

        def _become_fitted(self, result: Result) -> None: ...

        def _in_the_form_of_targets(self, rows: Array, lengths: IntArray) -> Array: ...

        def _replace(self, attributes: dict[str, Any]) -> None: ...

        def _sequences(self, X: ArrayLike, network: Network) -> Sequences: ...

    def _members(self) -> list[Self]:
        """The fitted estimators of one network each: the estimator itself, if it has one alone."""
        check_is_fitted(self)
        found: list[Self] = self.__dict__.get("estimators_", [self])
        return found

    def _networks(self) -> list[Network]:
        """All networks of the estimator."""
        return [member._own_network() for member in self._members()]

    def _network(self) -> Network:
        """The network, or of several the first, which has the features, outputs and dtype of all."""
        return self._members()[0]._own_network()

    def _own_network(self) -> Network:
        cell = cell_named(self._cell, self._activation)
        return network_of(weights_of(self), cell=cell, read_out=self._readout)

    def _outputs(self, X: ArrayLike) -> tuple[FloatArray, IntArray]:
        """Outputs for each sequence or step, of several networks those that have their mean answers; and lengths."""
        outputs, lengths = self._outputs_of_each(X)
        return (outputs[0] if len(outputs) == 1 else mean_outputs(outputs, self._answer().name)), lengths

    def _outputs_of_each(self, X: ArrayLike) -> tuple[list[FloatArray], IntArray]:
        networks = self._networks()
        sequences = self._sequences(X, networks[0])
        n_threads = validation.check_n_threads(self.n_threads)
        every_step, lengths = self._form_of_targets != "sequence", sequences.lengths
        outputs = [network.outputs(sequences, every_step=every_step, n_threads=n_threads) for network in networks]
        return [check_outputs(of_network, lengths, every_step=every_step) for of_network in outputs], lengths

    def _predicted(self, X: ArrayLike, answers: Callable[[FloatArray], Array]) -> tuple[Array, IntArray]:
        """What becomes of the outputs for each sequence or step, by a function of some of them; and lengths.

        The outputs are not all held at once, unless several networks or two directions say something of each.
        """
        networks = self._networks()
        (network, *others) = networks
        if others or any(len(directions) > 1 for directions in network.layers):
            outputs, lengths = self._outputs(X)
            return answers(outputs), lengths
        sequences = self._sequences(X, network)
        every_step, n_threads = self._form_of_targets != "sequence", validation.check_n_threads(self.n_threads)
        n = int(sequences.lengths.sum()) if every_step else len(sequences)
        found: Array | None = None
        for rows, outputs in network.pieces_of_outputs(sequences, every_step=every_step, n_threads=n_threads):
            if not np.isfinite(outputs).all():
                in_order = np.argsort(rows)
                check_outputs(outputs[in_order], sequences.lengths, every_step=every_step, rows=rows[in_order])
            some = answers(outputs)
            if found is None:
                found = np.empty((n, *some.shape[1:]), some.dtype)
            found[rows] = some
        assert found is not None
        return found, sequences.lengths

    def _learn_several(
        self,
        settings: EstimatorSettings,
        data: Data,
        networks: Sequence[Network] = (),
        *,
        online: bool = False,
        resume: bool = False,
    ) -> Self:
        """As `_learn`, but as many networks as the settings say, or all that have been fitted."""
        check_resume(settings, resume)
        data = prepared(self, settings, data, OneProcess(), is_new=not networks)
        earlier: list[Earlier | None] = [None] * settings.n_networks
        if networks:
            check_goes_on(self._goes_on)
            members = [copy.copy(member) for member in self.estimators_]  # those of self stay, if something goes wrong
            earlier = [
                Earlier(network, member.history_, member._memory)
                for network, member in zip(networks, members, strict=True)
            ]
        else:
            this: Any = self
            own = this.get_params(deep=False) | {"n_networks": 1}
            seeds = seeds_of(settings.random_state, settings.n_networks)
            members = [type(self)(**own | {"random_state": seed}) for seed in seeds]
        n_before = [member.n_iter_ if networks else 0 for member in members]
        trained = train_side_by_side(members, settings, data, earlier, online=online)
        if trained.members and not (networks and trained.error):
            self._become_several(trained, data, n_before)
        if trained.error is not None:
            raise trained.error
        warn_of(trained, settings, online=online)
        return self

    def _become_several(self, trained: Trained, data: Data, n_before: list[int]) -> None:
        """Replace all attributes of an earlier fit by those of networks that were trained together."""
        members = trained.members
        history = History()
        if any(n_before):
            history = self.history_.copy() if isinstance(self.history_, History) else History(self.history_)
        # a long history has forgotten its first records
        of_each = [
            [record for record in member.history_ if record["epoch"] > n]
            for member, n in zip(members, n_before, strict=False)
        ]
        history.extend(history_of(of_each))
        history.forget()
        self._replace(
            data.attributes
            | {
                "estimators_": members,
                "history_": history,
                "n_iter_": max(member.n_iter_ for member in members),
                "_cell": members[0]._cell,
                "_goes_on": all(member._goes_on for member in members),
                "_memory": None,
                "status_": status_of([member.status_ for member in members]),
                "status_detail_": said_of([member.status_detail_ for member in members]),
                "best_epoch_": None,
            }
            | ({"feature_names_in_": data.attributes.get("feature_names_in_")} if not any(n_before) else {})
        )

    @available_if(_may_have_several)
    def spread(self, X: ArrayLike) -> Array:
        """Return how far networks are from one another: the standard deviation over them of what each predicts.

        Of a classifier that of probabilities (of `decision_function`, where the loss has none), of a regressor that of
        the values that `predict` returns.  It is large where the training data say little, and says nothing of the
        noise of targets.

        Parameters
        ----------
        X : array-like or list of arrays
            Sequences as in `fit`.

        Returns
        -------
        ndarray
            Standard deviations, in the form of what `predict_proba`, or of a regressor `predict`, returns.

        Raises
        ------
        ValueError, TypeError
            As in `predict`, or if there is one network alone.
        """
        several = self._members()
        if len(several) < 2:
            raise ValueError("there is one network, which has no spread; fit with n_networks=8, or another number > 1")
        outputs, lengths = self._outputs_of_each(X)
        answers = np.stack([self._answers(of_one) for of_one in outputs])
        return self._in_the_form_of_targets(answers.std(axis=0), lengths)


def seeds_of(random_state: np.random.RandomState, n_networks: int) -> list[int]:
    """A seed for each network."""
    return [int(seed) for seed in random_state.randint(_MOST_OF_SEED, size=n_networks)]


def train_side_by_side(
    members: Sequence[Any], settings: EstimatorSettings, data: Data, earlier: Sequence[Earlier | None], *, online: bool
) -> Trained:
    """Train a network for each of these estimators, on as many threads as the settings have.

    Parameters
    ----------
    members : list of estimator
        Estimators of one network each, whose ``random_state`` is a seed; they become fitted.
    settings : EstimatorSettings
        Settings of all of them together: each has a share of the threads, and of the time.
    data : Data
        Prepared data that all of them learn.
    earlier : list of Earlier or None
        State that each goes on from.
    online : bool
        Whether this is a call of partial_fit.
    """
    n_workers = min(settings.n_threads, len(members))
    one_by_one = threading.Lock()
    n_rounds = -(-len(members) // n_workers)
    shared = replace(
        settings,
        n_threads=max(settings.n_threads // len(members), 1),
        max_time=None if settings.max_time is None else settings.max_time / n_rounds,
        callbacks=tuple(_serial(callback, one_by_one) for callback in settings.callbacks),
    )
    trained = Trained([], [])

    def train_one(i: int) -> tuple[Any, Outcome | None, BaseException | None]:
        member = members[i]
        if interruption.asked_for and i:  # the first one begins at least
            return member, None, None
        own = replace(
            shared,
            random_state=np.random.RandomState(member.random_state),
            verbose=shared.verbose if n_workers == 1 or i == 0 else 0,
        )
        how: dict[str, Any] = {"earlier": earlier[i], "online": online, "reducer": OneProcess()}
        try:
            return member, train(member, own, data, member._become_fitted, interruption=interruption, **how), None
        except BaseException as error:
            interruption.asked_for = True  # the others end after the iteration they are in
            return member, None, error

    with Interruption() as interruption:
        try:
            if n_workers == 1:
                found = [train_one(i) for i in range(len(members))]
            else:
                with ThreadPoolExecutor(n_workers) as pool:
                    found = list(pool.map(train_one, range(len(members))))
        except BaseException as error:  # the second Ctrl-C, which reaches the main thread: all have ended by now
            found, trained.error = [(member, None, None) for member in members], error
    for member, outcome, failure in found:
        trained.error = trained.error or failure
        if outcome is not None or hasattr(member, "V_"):
            trained.members.append(member)
        if outcome is not None:
            trained.outcomes.append(outcome)
    return trained


def _serial(callback: Callable[[EpochState], object], one_by_one: threading.Lock) -> Callable[[EpochState], object]:
    def called(state: EpochState) -> object:
        with one_by_one:
            return callback(state)

    return called


def status_of(ends: Sequence[Status | None]) -> Status | None:
    """How all fits together have ended: an interruption, a divergence or a limit of time of one is that of all."""
    return next((status for status in _BY_WEIGHT if status in ends), ends[0])


def warn_of(trained: Trained, settings: EstimatorSettings, *, online: bool) -> None:
    """Warn of what has to be known of networks that were trained together, once for all of them."""
    said = said_of([warning_of(outcome, settings, online=online) for outcome in trained.outcomes])
    if said is not None:
        warnings.warn(said, ConvergenceWarning, stacklevel=5)
    if Status.INTERRUPTED in [outcome.status for outcome in trained.outcomes]:
        text = f"training was {Status.INTERRUPTED.value}, of {len(trained.members)} network(s)"
        warnings.warn(text, ConvergenceWarning, stacklevel=5)


def said_of(texts: Sequence[str | None]) -> str | None:
    """What is to be said of several networks: the first text that one has, and how many have one."""
    found = [text for text in texts if text]
    return f"{found[0]} (so it is with {len(found)} of {len(texts)} networks)" if found else None


def history_of(histories: Sequence[Sequence[Record]]) -> History:
    """One record for each epoch: the means of figures over the networks that have it; counts and seconds added up."""
    found = History()
    for epoch in range(max((len(history) for history in histories), default=0)):
        records = [history[epoch] for history in histories if len(history) > epoch]
        found.append({name: _joined(name, [record.get(name) for record in records]) for name in records[0]})
    return found


def _joined(name: str, values: Sequence[Any]) -> Any:
    there = [value for value in values if value is not None]
    if not there or name == "epoch":
        return there[0] if there else None
    is_sum = name == "seconds" or all(isinstance(value, int) for value in there)
    return sum(there) if is_sum else float(sum(there)) / len(there)


def mean_outputs(outputs: Sequence[FloatArray], answer: str) -> FloatArray:
    """Outputs whose answers are the means of those of several networks.

    Parameters
    ----------
    outputs : list of ndarray of shape (n, K)
        Outputs of each network.
    answer : {"softmax", "logistic", "values"}
        Function that makes answers of outputs: the logarithm of mean probabilities is an output that has these as its
        softmax, and the logit of one has it as its logistic function.
    """
    found: FloatArray = np.stack(outputs)
    m = np.log(len(outputs)).astype(found.dtype)
    if answer == "softmax":
        joint: FloatArray = logsumexp(log_softmax(found, axis=-1), axis=0) - m
    elif answer == "logistic":
        joint = logsumexp(log_expit(found), axis=0) - logsumexp(log_expit(-found), axis=0)
    else:
        joint = found.mean(axis=0)
    return joint.astype(found.dtype, copy=False)


def check_one_network(settings: EstimatorSettings) -> None:
    """Raise if several processes are to fit several networks."""
    if settings.n_networks > 1:
        raise ValueError(
            f"n_networks is {settings.n_networks} and a reducer is given, which joins processes that fit one network "
            "together; pass n_networks=1, or let each process fit networks of its own, without a reducer"
        )


def check_as_many_networks(settings: EstimatorSettings, networks: Sequence[Network]) -> None:
    """Raise unless there are as many networks to go on from as the settings have, or none."""
    if networks and settings.n_networks != len(networks):
        raise ValueError(
            f"n_networks is {settings.n_networks}, and {len(networks)} were trained; pass n_networks={len(networks)}, "
            "or call fit"
        )


def check_single_network(members: Sequence[Any], what: str) -> None:
    """Raise if there are several networks, each of which has what is asked for."""
    if len(members) > 1:
        raise ValueError(f"there are {len(members)} networks, each with {what}; pass one of estimator.estimators_")


def check_goes_on(goes_on: bool) -> None:
    """Raise unless the last fit has left something to go on from."""
    if not goes_on:
        raise ValueError("the solver of the last fit has left nothing to go on from; call fit with solver='rollout'")


def check_outputs(
    outputs: FloatArray, lengths: IntArray, *, every_step: bool, rows: IntArray | None = None
) -> FloatArray:
    """Raise when a roll-out has overflowed; ``rows`` are the numbers of the outputs, if these are not all."""
    finite = np.isfinite(outputs).all(axis=1)
    if not finite.all():
        i = int(np.flatnonzero(~finite)[0])
        i = i if rows is None else int(rows[i])
        if every_step:
            i = int(np.searchsorted(np.cumsum(lengths), i, side="right"))
        raise ValueError(
            f"the network's outputs for sequence {i} of X are not finite: its observations are too large for this "
            "network; rescale X, or fit with activation='tanh'"
        )
    return outputs
