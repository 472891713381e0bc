"""What the estimators share: from what a user passes to a solver, and from a network to what a user is given."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from admmirnn import validation
from admmirnn._typing import Array, FilePath, FloatArray, Frame, IntArray, Reducer, Self
from admmirnn.activations import ACTIVATIONS
from admmirnn.data.axes import check_steps_come_first, warn_of_one_series
from admmirnn.data.indexed import by_series
from admmirnn.data.meaning import TARGETS
from admmirnn.data.missing import WAYS, Gaps
from admmirnn.data.names import names_of
from admmirnn.data.reading import framed, read_more_sequences, read_sequences, warn_of_single_steps
from admmirnn.data.sequences import Sequences
from admmirnn.data.targets import HeldOut, Targets, with_weight
from admmirnn.estimators.agreement import agree_on_data, agree_on_settings, has_nothing
from admmirnn.estimators.ensemble import (
    HasNetworks,
    check_as_many_networks,
    check_goes_on,
    check_one_network,
    check_outputs,
    check_single_network,
)
from admmirnn.estimators.pipeline import Data, Earlier, Result, for_few_series, initial_network, learn
from admmirnn.estimators.settings import (
    READ_OUTS,
    EstimatorSettings,
    check_estimator_settings,
    check_fitted_frame,
    check_partial,
    check_same_network,
    check_targets_suit,
)
from admmirnn.estimators.weights import HasWeights
from admmirnn.files import models
from admmirnn.files.fitted import Fitted, attributes_of_each, check_fitted_history, check_fitted_type
from admmirnn.losses import Loss, loss_of
from admmirnn.networks import Network, StackedRNN
from admmirnn.networks.blocks import weights_of
from admmirnn.networks.cells import CELLS, Elman
from admmirnn.solvers import SOLVERS, Capability, Status
from admmirnn.solvers.memory import Memory
from admmirnn.solvers.rollout.memory import memory_of
from admmirnn.solvers.workers import check_reducer, failing_together, gather
from admmirnn.watching import History

if TYPE_CHECKING:
    from admmirnn._typing import available_if
else:
    from sklearn.utils.metaestimators import available_if


# one per sequence, or one per step: in an array, in a list, in a list for sequences of unequal lengths
FORMS_OF_TARGETS = ("sequence", "array", "list", "unequal")

# what makes an estimator fitted, but for its weights and the memory of its solver; the classes add their own
FITTED = {
    "history_": Fitted.value(check_fitted_history),
    "status_": Fitted.value(partial(check_fitted_type, Status), optional=True),
    "status_detail_": Fitted.value(partial(check_fitted_type, str), optional=True),
    "n_iter_": Fitted.value(partial(validation.check_integer, least=0)),
    "best_epoch_": Fitted.value(partial(validation.check_integer, least=1), optional=True),
    "_cell": Fitted.value(partial(validation.check_choice, choices=tuple(CELLS)), may_be_missing=True),
    "_activation": Fitted.value(partial(validation.check_choice, choices=ACTIVATIONS)),
    "_readout": Fitted.value(partial(validation.check_choice, choices=READ_OUTS)),
}
FITTED_OF_SEQUENCES = {
    "n_features_in_": Fitted.value(partial(validation.check_integer, least=1)),
    "feature_names_in_": Fitted.labels("names", strings=True, may_be_missing=True),
    "_n_table_columns": Fitted.value(partial(validation.check_integer, least=1), optional=True),
    "_form_of_targets": Fitted.value(partial(validation.check_choice, choices=FORMS_OF_TARGETS)),
    "_scale": Fitted.value(partial(validation.check_number, strict=True)),
    "_missing": Fitted.value(partial(validation.check_choice, choices=WAYS), may_be_missing=True),
    "fill_values_": Fitted.array("channels", dtypes=("float64",), optional=True, may_be_missing=True),
    "feature_mean_": Fitted.array("channels", dtypes=("float64",), optional=True, may_be_missing=True),
    "feature_scale_": Fitted.array("channels", dtypes=("float64",), optional=True, may_be_missing=True),
    "_frame": Fitted.value(check_fitted_frame),
}


def can_go_on(estimator: RecurrentEstimator) -> bool:
    """Whether the solver can train on from an earlier call; for `partial_fit`."""
    solver: Any = SOLVERS.get(estimator.solver) if isinstance(estimator.solver, str) else estimator.solver
    if Capability.MEMORY not in getattr(solver, "capabilities", ()):
        raise AttributeError(
            f"solver is {estimator.solver!r}, which cannot go on from an earlier call; pass solver='rollout' for "
            "partial_fit, or call fit"
        )
    return True


def _goes_on_with_streams(estimator: RecurrentEstimator) -> bool:
    """Whether the estimator reads observations, as all do but the one for text; for methods that this cannot have."""
    if estimator._reads_text:
        name = type(estimator).__name__
        raise AttributeError(f"{name} reads text and not observations; use predict_proba or generate")
    return True


@dataclass(frozen=True)
class Trace:
    """What a network does with one sequence; for pictures.

    Attributes
    ----------
    states : ndarray of shape (n_steps, n)
        States after each step; those of two directions side by side.
    outputs : ndarray of shape (n_steps, K)
        Outputs after each step, read from the states up to there, as `predict` or `predict_proba` has them.
    names : sequence of length K
        Names of the columns of outputs.
    n_forward : int
        Number of units that read from the start: the first columns of states.
    activation : str
        Name of the activation f.
    is_framed : bool
        Whether a step reads a frame of observations.
    every_step : bool
        Whether there is a target for each step.
    """

    states: FloatArray
    outputs: FloatArray
    names: Any
    n_forward: int
    activation: str
    is_framed: bool
    every_step: bool


class RecurrentEstimator(HasWeights, HasNetworks, BaseEstimator):
    """What the estimators share: from what a user passes to a solver, and from a network to what a user is given."""

    U_: FloatArray
    W_: FloatArray
    b_: FloatArray
    U_reverse_: FloatArray
    W_reverse_: FloatArray
    b_reverse_: FloatArray
    V_: FloatArray
    c_: FloatArray
    s_0_: FloatArray | None
    history_: History
    status_: Status | None
    status_detail_: str | None
    n_iter_: int
    best_epoch_: int | None
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]
    feature_mean_: NDArray[np.float64] | None = None  # of those fitted by a version that did not standardise
    feature_scale_: NDArray[np.float64] | None = None
    fill_values_: NDArray[np.float64] | None = None
    _missing = "refuse"
    _activation: str
    _readout: str
    _scale: float
    _frame: Frame
    _form_of_targets: str
    _n_table_columns: int | None
    _goes_on: bool  # whether partial_fit can go on
    _memory: Memory | None  # from this; None starts new statistics

    _cell = Elman.name  # of those fitted by a version that had no others
    of_each_network: tuple[str, ...] = tuple(FITTED)  # what several networks do not share
    _usual_cell = "fastgrnn"  # what cell="auto" is: see bench/choices.py
    fitted_attributes: Mapping[str, Fitted]  # all that makes one fitted, but for weights and the memory of its solver
    _reads_text = False
    _losses: Mapping[str, type[Loss]]

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if isinstance(state.get("status_"), Status):  # not every format, as that of skops, can make a member of an enum
            state["status_"] = state["status_"].name
        memory = state.get("_memory")
        if isinstance(memory, Memory) and memory.is_of_a_fit:  # several times as large as the weights
            state["_memory"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        older: dict[str, Any] = {"cell": Elman.name, "forget_bias": "auto", "dropout": 0.0}  # and had no others
        if not self._reads_text:
            older |= {"targets": "auto", "standardize": False, "missing": "refuse", "n_networks": 1, "augment": None}
        state = older | state
        if isinstance(state.get("status_"), str):
            state["status_"] = Status[state["status_"]]
        if "_memory" in state and "_goes_on" not in state:  # of an older version: a dict, an empty one, or None
            memory = state["_memory"]
            try:
                found = memory_of(memory) if memory else None
            except (KeyError, TypeError):  # of a solver of one's own, or older still: statistics start anew
                found = None
            state = state | {"_goes_on": memory is not None, "_memory": found}
        super().__setstate__(state)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = self.missing != "refuse"
        tags.non_deterministic = False
        return tags

    def _fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None,
        sample_weight: ArrayLike | None,
        validation_data: tuple[ArrayLike, ArrayLike] | None,
        resume: bool,
        reducer: Reducer | None = None,
    ) -> Self:
        """Validate, solve, and become fitted with new weights.

        Each estimator has ``_read_targets(y, sample_weight, sequences, settings, loss)``, which returns the `Targets`
        of y and the attributes that tell what they mean, and knows its ``_losses`` by name.
        """
        reducer = check_reducer(reducer)
        if reducer.size > 1:
            with failing_together(reducer):
                settings = check_estimator_settings(self, SOLVERS)
                check_one_network(settings)
                settings = agree_on_settings(reducer, settings, self)
                data = self._read_part(X, y, sample_weight, settings, reducer)
                if validation_data is not None and not has_nothing(check_pair(validation_data)[0]):
                    data.apart = self._validation_data(validation_data, data, settings)
                return self._learn(settings, data, resume=resume, reducer=reducer)
        settings = check_estimator_settings(self, SOLVERS)
        data = self._read(X, y, sample_weight, settings)
        data.apart = self._validation_data(validation_data, data, settings)
        settings = for_few_series(self, settings, data)
        if settings.n_networks > 1:
            return self._learn_several(settings, data, resume=resume)
        return self._learn(settings, data, resume=resume)

    def _partial_fit(
        self, X: ArrayLike, y: ArrayLike | None, sample_weight: ArrayLike | None, known: dict[str, Any] | None
    ) -> Self:
        """Validate, and train on from where the last call has ended, or become fitted.

        ``known`` are the attributes that tell what targets mean, of an earlier call or of the user.
        """
        settings = check_estimator_settings(self, SOLVERS)
        check_partial(self)
        networks = self._networks() if hasattr(self, "history_") else []
        check_as_many_networks(settings, networks)
        network = networks[0] if networks else None
        for one in networks:
            one.learns_s_0 = isinstance(settings.s_0, str)
        if network is not None:
            known = (known or {}) | {"_form_of_targets": self._form_of_targets}
        data = self._read(X, y, sample_weight, settings, network, known, online=True)
        for one in networks:
            check_same_network(
                self,
                settings,
                one,
                frame=self._frame,
                scale=self._scale,
                missing=self._missing,
                feature_mean=self.feature_mean_,
            )
        if networks and data.targets.every_step != (self._form_of_targets != "sequence"):
            now, before = ("step", "sequence") if data.targets.every_step else ("sequence", "step")
            raise ValueError(f"y has one target per {now}, and had one per {before} in earlier calls; call fit")
        if settings.n_networks > 1:
            return self._learn_several(settings, data, networks, online=True)
        return self._learn(settings, data, network, online=True)

    def _read(
        self,
        X: ArrayLike,
        y: ArrayLike | None,
        sample_weight: ArrayLike | None,
        settings: EstimatorSettings,
        network: Network | None = None,
        known: dict[str, Any] | None = None,
        *,
        online: bool = False,
    ) -> Data:
        """What the user has passed, for a new network or as a fitted one reads it; ``known`` as in `_partial_fit`."""
        loss = loss_of(self.loss, self._losses)
        check_y_is_there(self, y)
        X, y, sample_weight = by_series(X, y, sample_weight)
        if network is None:
            gaps = Gaps(settings.missing)
            sequences, attributes = read_sequences(self, X, settings.dtype, settings.scale, gaps=gaps)
            attributes |= how_to_read(settings)
        else:
            sequences, attributes = self._more_sequences(X, network), {}
        if not (settings.stateful and online):
            warn_of_single_steps(sequences)
        if network is None:
            check_steps_come_first(sequences, y, targets_of_steps=loss.takes_labels or self.targets == "step")
        sequences = framed(sequences, settings.frame)
        targets, of_targets = self._read_targets(y, sample_weight, sequences, settings, loss, known)
        check_targets_suit(settings, targets)
        if attributes.get("_n_table_columns") is not None and self.targets == "auto":
            warn_of_one_series(sequences, targets, are_labels=loss.takes_labels)
        if not (settings.stateful and online):  # streams go on, those without a target as well
            sequences, targets = with_weight(sequences, targets)
        is_unequal = targets.form == "list" and sequences.lengths.min() < sequences.lengths.max()
        of_targets["_form_of_targets"] = "unequal" if is_unequal else targets.form
        return Data(sequences, targets, loss, attributes | of_targets)

    def _what_targets_are(self, known: dict[str, Any] | None) -> str:
        """What the targets of y are said to be: by the setting, or else as those were that came first."""
        said = validation.check_choice("targets", self.targets, TARGETS)
        if said != "auto" or not known or "_form_of_targets" not in known:
            return said
        return "sequence" if known["_form_of_targets"] == "sequence" else "step"

    def _read_part(
        self,
        X: ArrayLike,
        y: ArrayLike | None,
        sample_weight: ArrayLike | None,
        settings: EstimatorSettings,
        reducer: Reducer,
    ) -> Data:
        """What one of several workers has been passed, as all of them together read it; X may be empty."""
        loss = loss_of(self.loss, self._losses)
        agree, own = partial(gather, reducer), None
        if has_nothing(X):
            for _ in range(1 if settings.missing == "refuse" else 2):  # what it is to be filled in with, and targets
                agree(None)
        else:
            check_y_is_there(self, y)
            X, y, sample_weight = by_series(X, y, sample_weight)
            gaps = Gaps(settings.missing, of_workers=agree)
            sequences, attributes = read_sequences(self, X, settings.dtype, settings.scale, gaps=gaps)
            warn_of_single_steps(sequences)
            check_steps_come_first(sequences, y, targets_of_steps=loss.takes_labels or self.targets == "step")
            sequences = framed(sequences, settings.frame)
            targets, of_targets = self._read_targets(y, sample_weight, sequences, settings, loss, agree=agree)
            check_targets_suit(settings, targets)
            if attributes["_n_table_columns"] is not None and self.targets == "auto":
                warn_of_one_series(sequences, targets, are_labels=loss.takes_labels)
            sequences, targets = with_weight(sequences, targets)
            of_targets["_form_of_targets"] = targets.form
            own = sequences, targets, attributes | how_to_read(settings) | of_targets
        sequences, targets, attributes, everyones = agree_on_data(reducer, own)
        return Data(sequences, targets, loss, attributes, everyones=everyones)

    def _learn(
        self,
        settings: EstimatorSettings,
        data: Data,
        network: Network | None = None,
        *,
        online: bool = False,
        resume: bool = False,
        reducer: Reducer | None = None,
    ) -> Self:
        """Train a network, a new one or the fitted one, and become fitted."""
        earlier = None
        if network is not None:
            check_goes_on(self._goes_on)
            if not isinstance(self.history_, History):
                self.history_ = History(self.history_)
            earlier = Earlier(network, self.history_, self._memory)
        become = self._become_fitted
        learn(self, settings, data, become, earlier=earlier, online=online, resume=resume, reducer=reducer)
        return self

    @available_if(_goes_on_with_streams)
    def reset_states(self) -> Self:
        """Let the streams of the next `partial_fit` start from s_0 instead of going on, with ``stateful=True``.

        Returns
        -------
        estimator
            The estimator itself.
        """
        check_is_fitted(self)
        for member in self._members():
            if member._memory is not None:
                member._memory = replace(member._memory, states=None)
        return self

    def _validation_data(
        self,
        validation_data: tuple[ArrayLike, ArrayLike] | None,
        data: Data,
        settings: EstimatorSettings,
    ) -> HeldOut | None:
        """Return what the user passes, read as the ``data`` to train with are, or None."""
        if validation_data is None:
            return None
        X, y = check_pair(validation_data)
        with validation.naming("validation_data"):
            check_y_is_there(self, y)
            X, y = by_series(X, y)
            names = data.attributes.get("feature_names_in_")
            gaps = Gaps(settings.missing, data.attributes["fill_values_"])
            sequences, others = read_sequences(self, X, settings.dtype, settings.scale, names, gaps)
            warn_of_single_steps(sequences)
            sequences = framed(sequences, settings.frame)
            probe = copy.copy(self)
            probe.class_weight = None
            more, _ = probe._read_targets(y, None, sequences, settings, data.loss, data.attributes)
        check_same_features(data.attributes, others)
        check_same_kind(data.targets, more)
        return sequences, more.values, more.weights, more.every_step

    def save(self, path: FilePath) -> None:
        """Write the fitted estimator to a file, which `load` reads on any machine.

        The file has the format of safetensors: arrays, and JSON with parameters, classes and all other attributes, and
        a checksum.  There is no code in it.  It replaces one that is there in one step, after it has been written to
        the disk.  What is not kept: ``checkpoint``; ``callbacks``, with a warning; the running statistics of training,
        so that `partial_fit` goes on from the weights with new ones; attributes that `fit` has not set.

        Parameters
        ----------
        path : str or path-like
            File to write, such as "model.safetensors".

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If it has not been fitted.
        TypeError
            If a parameter is an object that is not of admmirnn, such as a loss of one's own, or a label is neither a
            number, a string, bytes, nor a time of numpy; pickle may keep these.
        OSError
            If the file cannot be written; one that was there is as it was.
        ImportError
            If safetensors is not installed: ``pip install "admmirnn[files]"``.
        """
        check_is_fitted(self)
        models.save(self, path)

    @classmethod
    def load(cls, path: FilePath) -> Self:
        """Read a fitted estimator of this class from a file that `save` has written.

        Parameters
        ----------
        path : str or path-like
            File to read; see `admmirnn.load`, which reads any of them and lists the errors.

        Returns
        -------
        estimator
            Fitted estimator, as it was saved.
        """
        return models.load(path, cls)

    @classmethod
    def restored(cls, settings: dict[str, Any], attributes: dict[str, Any]) -> Self:
        """Return an estimator with these parameters, fitted with the attributes that a file holds; for `load`."""
        estimator = cls(**settings)
        if "estimators_" in attributes:
            one = settings | {"n_networks": 1}
            members = [cls.restored(one | own, of_one) for own, of_one in attributes_of_each(attributes)]
            attributes = attributes | {"estimators_": members}
        estimator.__dict__.update(attributes | {"history_": History(attributes["history_"])})
        estimator._goes_on, estimator._memory = True, None  # from the weights, with new statistics
        return estimator

    def prune(self) -> Self:
        """Return an equal estimator without the units that its outputs never depend on.

        Units go whose outgoing weights are zero, or whose incoming ones and bias are, as `GroupLasso` and `Lasso` leave
        them behind; see `admmirnn.networks.RNN.pruned`.

        Returns
        -------
        estimator
            Fitted estimator.  Its ``hidden_size`` is the number of units left in each layer, at least one, and with
            ``bidirectional=True`` that of its larger direction; ``init`` is None, and an ``s_0`` that was given has the
            states of these units.  Its outputs are equal but for rounding.  `partial_fit` goes on from the weights,
            with new running statistics.
        """
        pruned = copy.copy(self)
        if hasattr(self, "estimators_"):
            pruned.estimators_ = [member.prune() for member in self.estimators_]
            sizes = {member.hidden_size for member in pruned.estimators_}
            pruned.init, pruned.hidden_size = None, sizes.pop() if len(sizes) == 1 else self.hidden_size
            return pruned
        network = self._network().pruned()
        pruned.hidden_size, pruned.init = network.hidden_size, None
        pruned._replace(attributes_of(network))
        if pruned.s_0_ is not None and not isinstance(self.s_0, str):
            states = [layer[0].s_0.copy() for layer in network.layers if layer[0].s_0 is not None]
            pruned.s_0 = states if len(states) > 1 else states[0]
        pruned._memory = None  # that of all units does not fit
        return pruned

    def _in_the_form_of_targets(self, rows: Array, lengths: IntArray) -> Array:
        """Cut one row per step into sequences, if there is one per step."""
        if self._form_of_targets == "sequence":
            return rows
        if self._form_of_targets != "unequal" and lengths.min() == lengths.max():
            return rows.reshape(len(lengths), lengths[0], *rows.shape[1:])
        sequences = np.empty(len(lengths), object)  # one axis always: scikit-learn joins those of several folds
        for i, of_sequence in enumerate(np.split(rows, np.cumsum(lengths)[:-1])):
            sequences[i] = of_sequence
        return sequences

    def _sequences(self, X: ArrayLike, network: Network) -> Sequences:
        """X as the fitted network reads it."""
        return framed(self._more_sequences(X, network), self._frame)

    def _more_sequences(self, X: ArrayLike, network: Network) -> Sequences:
        """X as that of the fit was read, before it is framed."""
        (X,) = by_series(X)
        of_table = self._n_table_columns is not None
        how = network.dtype, self._scale, self._standard, self._gaps
        return read_more_sequences(self, X, self._n_channels(network), *how, of_table=of_table)

    def _n_channels(self, network: Network) -> int:
        """How many features observations have: those that say where others are missing are not among them."""
        return network.n_features // self._frame[0] // self._gaps.n_columns

    @property
    def _gaps(self) -> Gaps:
        return Gaps(self._missing, self.fill_values_)

    @property
    def _standard(self) -> NDArray[np.float64] | None:
        """Means and factors of what the network reads of an observation."""
        if self.feature_mean_ is None or self.feature_scale_ is None:
            return None
        standard = np.stack([self.feature_mean_, 1 / self.feature_scale_])
        return np.hstack([standard, *[[[0.0], [1.0]]] * (self._gaps.n_columns - 1) * standard.shape[1]])

    def _trace(self, x: ArrayLike, layer: int | None) -> Trace:
        """The `Trace` of one sequence, with outputs as V reads them."""
        check_single_network(self._members(), "states of its own")
        network = self._network()
        n_layers = len(network.layers)
        layer = n_layers if layer is None else validation.check_integer("layer", layer, 1)
        if layer > n_layers:
            raise ValueError(f"layer is {layer!r}, and the network has {n_layers}, counted from 1; pass one of them")
        sequence: Any = x
        if names_of(x) is None:
            sequence = x if np.ma.isMaskedArray(x) or issparse(x) else np.asarray(x)
            sequence = sequence[:, None] if sequence.ndim == 1 else sequence
        with validation.naming("x"):
            sequences = self._sequences([sequence], network)
        S, every_step = network.states(sequences), self._form_of_targets != "sequence"
        outputs = check_outputs(network.outputs_by_step(S, every_step=every_step), sequences.lengths, every_step=True)
        if isinstance(network, StackedRNN) and layer < n_layers:
            S = network.states(sequences, layer)
        return Trace(
            states=S,
            outputs=outputs,
            names=[f"output {k}" for k in range(outputs.shape[1])],
            n_forward=network.layers[layer - 1][0].n_hidden,
            activation=self._activation,
            is_framed=tuple(self._frame) != (1, 1),
            every_step=every_step,
        )

    def _become_fitted(self, result: Result) -> None:
        """Replace all attributes of an earlier fit at once: whatever comes in between finds those of one fit."""
        others = {
            "history_": result.history,
            "n_iter_": result.history[-1]["epoch"] if result.history else 0,
            "_goes_on": result.goes_on,
            "_memory": result.memory,
            "status_": result.status,
            "status_detail_": result.status_detail,
            "best_epoch_": result.best_epoch,
        }
        if "n_features_in_" in result.attributes:  # which later calls of partial_fit leave as they are
            others["feature_names_in_"] = result.attributes.get("feature_names_in_")
        self._replace(result.attributes | attributes_of(result.network) | others)

    def _of_layers(self, layers: dict[str, FloatArray], every_step: bool, of_targets: dict[str, Any]) -> Self:
        """Become fitted with the weights of a recurrent and a linear layer; see `from_torch`."""
        settings = check_estimator_settings(self, SOLVERS)
        every_step = validation.check_boolean("every_step", every_step)
        if every_step and settings.readout != "last":
            raise ValueError(f"readout is {settings.readout!r} and every_step is True; pass readout='last'")
        n_features = next(weights.shape[1] for name, weights in layers.items() if name[0] == "U")
        n_outputs = len(layers["c"])
        n_channels = check_features_in_frames(n_features, settings.frame)
        network = initial_network(settings, n_features, n_outputs, self.init)
        for name, weights in layers.items():
            network.weights[name][:] = weights
        form = "array" if every_step else "sequence"
        attributes = {"n_features_in_": n_channels, "_n_table_columns": None, "_form_of_targets": form}
        attributes |= {"feature_mean_": None, "feature_scale_": None, "_missing": "refuse", "fill_values_": None}
        attributes |= of_targets | how_to_read(settings)
        self._become_fitted(Result(attributes, network, History(), goes_on=True))
        return self

    def _replace(self, attributes: dict[str, Any]) -> None:
        """Replace the weights, and set other attributes, in one step; what is to go has the value None."""
        weights = {f"{name}_" for name in weights_of(self)} | {"estimators_"}
        kept = {name: value for name, value in self.__dict__.items() if name not in weights} | attributes
        if kept.get("feature_names_in_", 0) is None:
            del kept["feature_names_in_"]
        self.__dict__ = kept

    def __copy__(self) -> Self:
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)
        history = self.__dict__.get("history_")
        if isinstance(history, History):  # which calls of partial_fit add to
            copied.history_ = history.copy()
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        copied.__dict__.update(copy.deepcopy(self.__dict__, memo))  # with the memory, which a pickle may be without
        return copied


def attributes_of(network: Network) -> dict[str, Any]:
    """The weights of a network as attributes of an estimator, and what tells how to read them."""
    found: dict[str, Any] = {block.attribute: block.of(network.arrays).copy() for block in network.blocks.values()}
    found["_cell"] = network.cell.name
    if network.s_0 is None:
        found["s_0_"] = None
    return found


def how_to_read(settings: EstimatorSettings) -> dict[str, Any]:
    """The attributes that tell how a network reads sequences."""
    return {
        "_scale": settings.scale,
        "_frame": settings.frame,
        "_activation": settings.activation,
        "_readout": settings.readout,
    }


def check_pair(validation_data: Any) -> tuple[Any, Any]:
    """Return X and y of ``validation_data``."""
    if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
        raise TypeError(f"validation_data is of type {type(validation_data).__name__}; pass a pair (X, y)")
    X, y = validation_data
    return X, y


def check_same_features(attributes: Mapping[str, Any], others: Mapping[str, Any]) -> None:
    """Raise unless validation data have the features of the training set."""
    names = ("n_features_in_", "_n_table_columns")
    if any(attributes[name] != others[name] for name in names):
        raise ValueError(
            f"validation_data has {others['n_features_in_']} features and X has {attributes['n_features_in_']}; pass "
            "data of the same form"
        )
    found, expected = others.get("feature_names_in_"), attributes.get("feature_names_in_")
    if found is not None and expected is not None and (found != expected).any():
        i = int(np.flatnonzero(found != expected)[0])
        raise ValueError(
            f"validation_data has {found[i]!r} for its column {i}, where X has {expected[i]!r}; pass the same columns "
            "in the same order"
        )


def check_same_kind(targets: Targets, others: Targets) -> None:
    """Raise unless validation data have targets of the same kind as the training set."""
    if targets.every_step != others.every_step:
        own, expected = ("step", "sequence") if others.every_step else ("sequence", "step")
        raise ValueError(
            f"validation_data has one target per {own}, and y has one per {expected}; pass targets of the same kind"
        )


def check_y_is_there(estimator: Any, y: Any) -> None:
    """Raise if y is None."""
    if y is None:
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None")
    if isinstance(y, Iterator):
        raise TypeError(f"y is {y!r:.60} of type {type(y).__name__}, which can be read but once; pass list(y)")
    if isinstance(y, Mapping):
        raise TypeError(
            f"y is a dict with the keys {list(y)[:4]}; pass a list of its values in the order of the sequences of X, "
            "such as [y[key] for key in keys]"
        )


def check_features_in_frames(n_features: int, frame: Frame) -> int:
    """Return the number of features of an observation, or raise unless frames have whole ones."""
    if n_features % frame[0]:
        raise ValueError(
            f"rnn reads {n_features} features, not a multiple of the frame length {frame[0]}; pass another frame"
        )
    return n_features // frame[0]
