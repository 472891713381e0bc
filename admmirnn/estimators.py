"""The scikit-learn estimators: validate, encode, solve, set attributes."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from admmirnn import backend, io, validation
from admmirnn.activations import ACTIVATIONS
from admmirnn.export import Exports, layers_of_torch
from admmirnn.losses import LOSSES_OF_CLASSES, LOSSES_OF_VALUES, SigmoidCrossEntropy, SoftmaxCrossEntropy, loss_of
from admmirnn.model import BidirectionalRNN, ElmanRNN
from admmirnn.sequences import Streams
from admmirnn.solvers import SOLVERS, Status
from admmirnn.streaming import Answer, ReadsStreams, forecast
from admmirnn.validation import Fitted
from admmirnn.watching import EarlyStopping, EpochState, History, Interruption, Limits, Progress, Validation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import torch
    from numpy.typing import ArrayLike, DTypeLike, NDArray
    from typing_extensions import Self

    from admmirnn.checkpoint import Checkpoint
    from admmirnn.losses import Loss
    from admmirnn.sequences import Sequences
    from admmirnn.solvers.status import Outcome
    from admmirnn.typing import (
        AnyLoss,
        Array,
        BoolArray,
        Callback,
        CustomLoss,
        FilePath,
        FloatArray,
        Frame,
        IntArray,
        Network,
        ProximalOperator,
        RandomState,
        Record,
        Solver,
        available_if,
    )
    from admmirnn.validation import EstimatorSettings
else:
    from sklearn.utils.metaestimators import available_if

_E = TypeVar("_E", bound="_Recurrent")

_N_STREAMS = 16  # chosen on text, see CharacterModel
_FEWEST_CHUNKS = 4  # of a stream, or its first state would say too much


@dataclass(frozen=True)
class _Targets:
    """What a network learns.

    Attributes
    ----------
    values : ndarray of shape (n_rows,) or (n_rows, K)
        Class numbers or values: one a sequence, or one for each step, one sequence after the other.
    weights : ndarray of shape (n_rows,)
        Weights >= 0; zero where there is no target.
    form : {"sequence", "array", "list"}
        How y held them: one a sequence, or one a step in an array or in a list.
    n_outputs : int
        K.
    """

    values: np.ndarray
    weights: np.ndarray
    form: str
    n_outputs: int

    @property
    def every_step(self) -> bool:
        """Whether there is one for each step."""
        return self.form != "sequence"


def _can_go_on(estimator: _Recurrent) -> bool:
    """Whether the solver can train on from an earlier call; for `partial_fit`."""
    solver = SOLVERS.get(estimator.solver) if isinstance(estimator.solver, str) else estimator.solver
    if not getattr(solver, "takes_states", False):
        raise AttributeError(
            f"solver is {estimator.solver!r}, which cannot go on from an earlier call; pass solver='rollout' for "
            "partial_fit, or call fit"
        )
    return True


def _goes_on_with_streams(estimator: _Recurrent) -> bool:
    """Whether the estimator reads observations, as all do but the one for text; for methods that this cannot have."""
    if estimator._reads_text:
        name = type(estimator).__name__
        raise AttributeError(f"{name} reads text, and no observations; see predict_proba and generate")
    return True


class _Recurrent(BaseEstimator):
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
    _activation: str
    _readout: str
    _scale: float
    _frame: Frame
    _form_of_targets: str
    _n_table_columns: int | None
    _memory: dict[str, Any] | None

    _reads_text = False
    _losses: Mapping[str, type[Loss]]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.non_deterministic = False
        return tags

    def _fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None,
        sample_weight: ArrayLike | None,
        validation_data: tuple[ArrayLike, ArrayLike] | None,
        resume: bool,
    ) -> Self:
        """Validate, solve, and become fitted.

        Each estimator has ``_read_targets(y, sample_weight, lengths, settings, loss)``, which returns the `_Targets` of
        y and the attributes that tell what they mean, and knows its ``_losses`` by name.
        """
        settings = validation.check_estimator_settings(self, SOLVERS)
        loss = loss_of(self.loss, self._losses)
        validation.check_y_is_there(self, y)
        sequences, attributes = validation.read_sequences(self, X, settings.dtype, settings.scale)
        sequences = validation.framed(sequences, settings.frame)
        targets, of_targets = self._read_targets(y, sample_weight, sequences.lengths, settings, loss)
        validation.check_targets_suit(settings, targets)
        sequences, targets = _with_weight(sequences, targets)
        apart = self._validation_data(validation_data, attributes, of_targets, targets, settings, loss)
        if apart is None and settings.early_stopping:
            sequences, targets, apart = _hold_out(self, sequences, targets, settings)
        network = self._initial_network(settings, sequences.n_features, targets.n_outputs)
        attributes |= of_targets | {"_form_of_targets": targets.form} | _how_to_read(settings)
        checkpoint = _checkpoint(self, settings, sequences, targets, apart, resume)
        if settings.stateful:
            read: Sequences | Streams = sequences.in_chunks(settings.chunk_size, _n_streams(settings, sequences))
        else:
            read = sequences
        outcome = self._train(
            network,
            read,
            targets,
            loss,
            settings,
            attributes,
            held_out=apart and Validation(*apart, loss, settings.n_threads),
            checkpoint=checkpoint,
            resume=resume,
        )
        if settings.stateful and outcome.memory is not None:
            outcome.memory["states"] = None  # of streams that were cut for this fit
        return self

    def _partial_fit(
        self, X: ArrayLike, y: ArrayLike | None, sample_weight: ArrayLike | None, known: dict[str, Any] | None
    ) -> Self:
        """Validate, and train on from where the last call has ended, or become fitted.

        ``known`` are the attributes that tell what targets mean, of an earlier call or of the user.
        """
        settings = validation.check_estimator_settings(self, SOLVERS)
        validation.check_partial(self)
        loss = loss_of(self.loss, self._losses)
        validation.check_y_is_there(self, y)
        is_new = not hasattr(self, "V_")
        if is_new:
            sequences, attributes = validation.read_sequences(self, X, settings.dtype, settings.scale)
        else:
            network = self._network()
            network.learns_s_0 = isinstance(settings.s_0, str)
            attributes = {}
            n_channels = network.n_features // self._frame[0]
            sequences = validation.read_more_sequences(self, X, n_channels, network.dtype, self._scale)
        sequences = validation.framed(sequences, settings.frame)
        targets, of_targets = self._read_targets(y, sample_weight, sequences.lengths, settings, loss, known)
        validation.check_targets_suit(settings, targets)
        if is_new:
            network = self._initial_network(settings, sequences.n_features, targets.n_outputs)
            attributes |= _how_to_read(settings)
        else:
            validation.check_goes_on(self, settings, targets, network)
        attributes |= of_targets | {"_form_of_targets": targets.form}
        memory = {} if is_new else self._memory or {}
        if settings.stateful:
            streams = sequences.in_chunks(settings.chunk_size)
            validation.check_n_streams(memory.get("states"), streams)
            read: Sequences | Streams = streams
        else:
            read, targets = _with_weight(sequences, targets)
        self._train(network, read, targets, loss, settings, attributes, memory=memory)
        return self

    @available_if(_goes_on_with_streams)
    def reset_states(self) -> Self:
        """Let the streams of the next `partial_fit` start from s_0 instead of going on, with ``stateful=True``.

        Returns
        -------
        estimator
            self.
        """
        check_is_fitted(self)
        if self._memory:
            self._memory = self._memory | {"states": None}
        return self

    def _validation_data(
        self,
        validation_data: tuple[ArrayLike, ArrayLike] | None,
        attributes: dict[str, Any],
        of_targets: dict[str, Any],
        targets: _Targets,
        settings: EstimatorSettings,
        loss: AnyLoss,
    ) -> tuple[Sequences, Array, FloatArray, bool] | None:
        """Return the sequences, targets, weights, and whether there is one a step, of what the user passes, or None."""
        if validation_data is None:
            return None
        X, y = validation.check_pair(validation_data)
        with validation.naming("validation_data"):
            sequences, others = validation.read_sequences(self, X, settings.dtype, settings.scale)
            sequences = validation.framed(sequences, settings.frame)
            probe = copy.copy(self)
            probe.class_weight = None
            more, _ = probe._read_targets(y, None, sequences.lengths, settings, loss, of_targets)
        validation.check_same_features(attributes, others)
        validation.check_same_kind(targets, more)
        return sequences, more.values, more.weights, more.every_step

    def _train(
        self,
        network: Network,
        sequences: Sequences | Streams,
        targets: _Targets,
        loss: AnyLoss,
        settings: EstimatorSettings,
        attributes: dict[str, Any],
        *,
        held_out: Validation | None = None,
        checkpoint: Checkpoint | None = None,
        resume: bool = False,
        memory: dict[str, Any] | None = None,
    ) -> Outcome:
        """Train the network, become fitted, and return the outcome; ``memory`` is what an earlier call has left."""
        backend.kernels()
        earlier = History(getattr(self, "history_", []) if memory is not None else [])
        so_far = History(earlier)  # what callbacks, and whoever catches what they raise, are shown
        fresh: dict[str, Any] | None = {} if getattr(settings.solver, "takes_states", False) else None
        n_epochs = _n_epochs(settings, sequences) if memory is None else 1
        early_stopping = EarlyStopping(network, settings.patience, settings.tol) if settings.early_stopping else None
        written = checkpoint.read() if checkpoint is not None and resume else None
        n_done = 0
        if written is not None:
            n_done = written["solver"]["epoch"]
            so_far.extend(written["solver"]["history"])
            if early_stopping:
                early_stopping.go_on_from(written["early_stopping"])

        def end_epoch(record: Record) -> Status | None:
            record["epoch"] += len(earlier)
            if held_out:
                held_out.measure(network, record)
            progress.show(record)
            so_far.append(record)
            if settings.callbacks:
                self._become_fitted(attributes, network, so_far, fresh)
            is_asked = any([callback(EpochState(dict(record), self)) for callback in settings.callbacks])
            if early_stopping and early_stopping.is_over(record):
                return Status.NO_PROGRESS
            return Status.STOPPED if is_asked else None

        def keep(done: dict[str, Any], state: Callable[[], dict[str, Any]]) -> None:
            if checkpoint is not None and checkpoint.is_due(done["epoch"]):
                of_watch = early_stopping.state() if early_stopping else None
                checkpoint.write({"solver": done | {"fit": state()}, "early_stopping": of_watch})

        of_rollout: dict[str, Any] = {
            "penalties": settings.penalties or None,
            "memory": memory,
            "checkpoint": keep if checkpoint else None,
            "resume": written and written["solver"],
        }
        interruption = Interruption()
        limits = Limits(interruption, settings.max_time)
        with interruption, Progress(settings.verbose, n_epochs, limits, n_done) as progress:
            outcome = settings.solver.solve(
                network,
                sequences,
                targets.values,
                loss,
                weights=None if (targets.weights == 1).all() else targets.weights,
                penalty=settings.penalty,
                max_epochs=settings.max_epochs if memory is None else 1,
                batch_size=settings.batch_size,
                shuffle=settings.shuffle,
                random_state=settings.random_state,
                n_threads=settings.n_threads,
                on_epoch_end=end_epoch,
                limits=limits,
                **{name: value for name, value in of_rollout.items() if value is not None},
            )
        if early_stopping:
            early_stopping.restore()
        self._become_fitted(attributes, network, History(earlier + outcome.history), outcome.memory)
        self.status_, self.status_detail_ = outcome.status, outcome.detail
        self.best_epoch_ = None if early_stopping is None else early_stopping.best_epoch
        if outcome.warning is not None:
            warnings.warn(outcome.warning, ConvergenceWarning, stacklevel=4)
        if outcome.status is Status.INTERRUPTED:
            warnings.warn(f"training was {outcome.status.value}", ConvergenceWarning, stacklevel=4)
        return outcome

    # what makes an estimator fitted, but for the memory of its solver; each class adds its own
    _saved = {
        "U_": Fitted.array("n", "d"),
        "W_": Fitted.array("n", "n"),
        "b_": Fitted.array("n"),
        "U_reverse_": Fitted.array("m", "d", may_be_missing=True),
        "W_reverse_": Fitted.array("m", "m", may_be_missing=True),
        "b_reverse_": Fitted.array("m", may_be_missing=True),
        "V_": Fitted.array("K", "n+m"),
        "c_": Fitted.array("K"),
        "s_0_": Fitted.array("n", optional=True),
        "history_": Fitted.value(validation.check_fitted_history),
        "status_": Fitted.value(partial(validation.check_fitted_type, Status), optional=True),
        "status_detail_": Fitted.value(partial(validation.check_fitted_type, str), optional=True),
        "n_iter_": Fitted.value(partial(validation.check_integer, least=0)),
        "best_epoch_": Fitted.value(partial(validation.check_integer, least=1), optional=True),
        "_activation": Fitted.value(partial(validation.check_choice, choices=ACTIVATIONS)),
        "_readout": Fitted.value(partial(validation.check_choice, choices=validation.READ_OUTS)),
    }
    _saved_of_sequences = {
        "n_features_in_": Fitted.value(partial(validation.check_integer, least=1)),
        "feature_names_in_": Fitted.labels("names", strings=True, may_be_missing=True),
        "_n_table_columns": Fitted.value(partial(validation.check_integer, least=1), optional=True),
        "_form_of_targets": Fitted.value(partial(validation.check_choice, choices=("sequence", "array", "list"))),
        "_scale": Fitted.value(partial(validation.check_number, strict=True)),
        "_frame": Fitted.value(validation.check_fitted_frame),
    }

    def save(self, path: FilePath) -> None:
        """Write the fitted estimator to a file, which `load` reads on any machine.

        The file has the format of safetensors: arrays, and JSON with parameters, classes and all other attributes, and
        a checksum.  There is no code in it.  It replaces one that is there in one step, after it has been written to
        the disk.  What is not kept: ``checkpoint``; ``callbacks``, with a warning; the running statistics of training,
        so that `partial_fit` goes on from the weights with new ones; attributes that `fit` has not set.

        Parameters
        ----------
        path : str or path-like
            Where, such as "model.safetensors".

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
        io.save(self, path)

    @classmethod
    def load(cls, path: FilePath) -> Self:
        """Read a fitted estimator of this class from a file that `save` has written.

        Parameters
        ----------
        path : str or path-like
            The file; see `admmirnn.load`, which reads any of them and lists the errors.

        Returns
        -------
        estimator
            As it was saved.
        """
        return io.load(path, cls)

    def prune(self) -> Self:
        """Return an equal estimator without the units that its outputs never depend on.

        Units go whose outgoing weights are zero, or whose incoming ones and bias are, as `GroupLasso` and `Lasso` leave
        them behind; see `admmirnn.model.ElmanRNN.pruned`.

        Returns
        -------
        estimator
            Fitted; ``hidden_size`` is the number of units left, at least one, and with ``bidirectional=True`` that of
            the larger network; ``init`` is None, and an ``s_0`` that was given has the states of these units.  Its
            outputs are equal but for rounding.  `partial_fit` goes on from the weights, with new running statistics.
        """
        network = self._network().pruned()
        pruned = copy.copy(self)
        pruned.hidden_size, pruned.init = network.n_hidden, None
        pruned._take_weights(network)
        if pruned.s_0_ is not None and not isinstance(self.s_0, str):
            pruned.s_0 = pruned.s_0_.copy()
        pruned._memory = None if self._memory is None else {}  # that of all units does not fit
        return pruned

    def _in_the_form_of_targets(self, rows: Array, lengths: IntArray) -> Any:
        """Cut one row a step into sequences, if there is one a step."""
        if self._form_of_targets == "sequence":
            return rows
        if self._form_of_targets == "array" and lengths.min() == lengths.max():
            return rows.reshape(len(lengths), lengths[0], *rows.shape[1:])
        return np.split(rows, np.cumsum(lengths)[:-1])

    def _initial_network(
        self, settings: EstimatorSettings, n_features: int, n_outputs: int, *, symbols: bool = False
    ) -> Network:
        of_kind = BidirectionalRNN if settings.bidirectional else ElmanRNN
        network = of_kind.random(
            n_features,
            settings.hidden_size,
            n_outputs,
            activation=settings.activation,
            dtype=settings.dtype,
            random_state=settings.random_state,
            read_out=settings.readout,
            symbols=symbols,
        )
        shapes = {name: weights.shape for name, weights in network.weights.items()}
        for name, values in validation.check_init(self.init, shapes, settings.dtype).items():
            network.weights[name][:] = values
        if settings.s_0 is not None:
            network.learns_s_0 = isinstance(settings.s_0, str)
            network.s_0 = np.zeros(network.n_hidden, settings.dtype)
            network.s_0[:] = 0 if network.learns_s_0 else settings.s_0
        return network

    def _network(self) -> Network:
        check_is_fitted(self)
        first, last, how = (self.U_, self.W_, self.b_), (self.V_, self.c_), (self._activation, self._readout)
        if hasattr(self, "U_reverse_"):
            reverse = self.U_reverse_, self.W_reverse_, self.b_reverse_
            return BidirectionalRNN.of_weights(*first, *reverse, *last, activation=how[0], read_out=how[1])
        return ElmanRNN.of_weights(*first, *last, activation=how[0], read_out=how[1], s_0=self.s_0_)

    def _sequences(self, X: ArrayLike, network: Network) -> Sequences:
        """X as the fitted network reads it."""
        n_channels = network.n_features // self._frame[0]
        sequences = validation.read_more_sequences(self, X, n_channels, network.dtype, self._scale)
        return validation.framed(sequences, self._frame)

    def _states(self, x: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """The states of one sequence, and by step what is read from those up to there; for pictures.

        Each estimator has ``_states_and_outputs(x)``, which returns the latter as `predict` or `predict_proba` would,
        and names of its columns.
        """
        network = self._network()
        x = np.asarray(x)
        sequences = self._sequences([x[:, None] if x.ndim == 1 else x], network)
        S = network.states(sequences)
        outputs = network.outputs_by_step(S, every_step=self._form_of_targets != "sequence")
        return S, validation.check_outputs(outputs, sequences.lengths)

    def _outputs(self, X: ArrayLike) -> tuple[FloatArray, IntArray]:
        network = self._network()
        sequences = self._sequences(X, network)
        n_threads = validation.check_n_threads(self.n_threads)
        outputs = network.outputs(sequences, every_step=self._form_of_targets != "sequence", n_threads=n_threads)
        return validation.check_outputs(outputs, sequences.lengths), sequences.lengths

    def _become_fitted(
        self, attributes: dict[str, Any], network: Network, history: History, memory: dict[str, Any] | None
    ) -> None:
        """Replace all attributes of an earlier fit at once; how this one ended is not known yet."""
        for name in ("feature_names_in_", "U_reverse_", "W_reverse_", "b_reverse_"):
            self.__dict__.pop(name, None)
        self.__dict__.update(attributes)
        self._take_weights(network)
        self.history_, self.n_iter_, self._memory = history, len(history), memory
        self.status_ = self.status_detail_ = self.best_epoch_ = None

    def _of_layers(self, layers: dict[str, FloatArray], every_step: bool, of_targets: dict[str, Any]) -> Self:
        """Become fitted with the weights of a recurrent and a linear layer; see `from_torch`."""
        settings = validation.check_estimator_settings(self, SOLVERS)
        every_step = validation.check_boolean("every_step", every_step)
        if every_step and settings.readout != "last":
            raise ValueError(f"readout is {settings.readout!r} and every_step is True; pass readout='last'")
        n_features, n_outputs = layers["U"].shape[1], len(layers["c"])
        n_channels = validation.check_features_in_frames(n_features, settings.frame)
        network = self._initial_network(settings, n_features, n_outputs)
        for name, weights in layers.items():
            network.weights[name][:] = weights
        form = "array" if every_step else "sequence"
        attributes = {"n_features_in_": n_channels, "_n_table_columns": None, "_form_of_targets": form}
        self._become_fitted(attributes | of_targets | _how_to_read(settings), network, History(), {})
        return self

    def _take_weights(self, network: Network) -> None:
        self.__dict__.update({f"{name}_": weights.copy() for name, weights in network.weights.items()})
        self.s_0_ = None if network.s_0 is None else network.s_0.copy()


def _how_to_read(settings: EstimatorSettings) -> dict[str, Any]:
    """The attributes that tell how a network reads sequences."""
    return {
        "_scale": settings.scale,
        "_frame": settings.frame,
        "_activation": settings.activation,
        "_readout": settings.readout,
    }


def _has_probabilities(classifier: RNNClassifier) -> bool:
    loss, smooth = classifier.loss, (SoftmaxCrossEntropy, SigmoidCrossEntropy)
    if isinstance(loss, smooth) or (isinstance(loss, str) and LOSSES_OF_CLASSES.get(loss) in smooth):
        return True
    raise AttributeError(f"loss is {loss!r}, which has no probabilities; use decision_function")


@io.saved
class RNNClassifier(ClassifierMixin, ReadsStreams, Exports, _Recurrent):
    """Elman network that reads a sequence and names its class, trained by ADMM.

    s_t = f(U x_t + W s_{t-1} + b) from s_0 = 0, and the class with the largest output o = V s_N + c after the last
    step N, which may differ from sequence to sequence.

    Parameters
    ----------
    hidden_size : int, default=128
        Number of hidden units n, >= 1.
    activation : {"tanh", "sigmoid", "relu", "leaky_relu", "identity"}, default="tanh"
        f; leaky relu is 0.01 a below zero.
    penalty : float or "auto", default="auto"
        Weight of the penalty on W, >= 0; "auto" is 0.2 with "rollout" and 0 with "algorithm1".  With "rollout" a ridge:
        every iteration multiplies W by 1 - penalty times the radius in force; 0 may suit sequences of hundreds of
        steps, whose beginning W has to carry along.  With "algorithm1" that of Omega(W).
    penalties : dict or None, default=None
        Further penalties, and constraints, by the blocks they act on ("rollout" only): ``{"W": Lasso(1e-4)}`` makes
        many recurrent weights exactly zero, ``{"W": SpectralBall(0.9)}`` bounds the largest singular value,
        ``{"WV": GroupLasso(3e-3)}`` makes units that `prune` removes.  Keys are U, W, V, UW (the matrix [U W]), UWb
        ([U W b]) and WV ([W; V]), and no block may have two; values are objects of `admmirnn.penalties`, or any with
        ``prox(x, tau)``, which is given the matrix.  Their weights are in units of the mean loss; ``penalty`` is apart
        from them.  With ``bidirectional=True`` they act on both networks, one after the other, but for V, which is one.
    solver : {"rollout", "algorithm1"} or solver object, default="rollout"
        ``"rollout"`` stands for `Rollout()`, ``"algorithm1"`` for `Algorithm1()`.
    max_epochs : int, default=20
        Passes over the training set, >= 1; with "algorithm1" its iterations.  The solver's ``max_iter``, a number of
        iterations, takes its place.
    batch_size : int or "auto", default="auto"
        Largest number of sequences in a minibatch, >= 1.  "auto" leaves it to the solver: "rollout" takes an eighth of
        the training set, at least 16 and at most 125, "algorithm1" all of it.
    readout : {"last", "mean", "max"}, default="last"
        What V sees of a sequence: its last state, or the mean or the largest of its states, unit by unit (these with
        "rollout" only).
    frame : int, tuple of int, or None, default=None
        (length, stride): a step reads ``length`` consecutive observations as one vector, and the next step those
        ``stride`` further on; one number stands for both.  The last frame ends with the sequence.  Labels of steps are
        then one a frame.
    bidirectional : bool, default=False
        Whether a second network of as many units reads the sequence from its end, and V both ("rollout" only, without
        ``s_0`` and ``stateful``).  At a step it is in the state it reaches on reading from the end down to there.
    s_0 : "learn", array-like of shape (n,) or None, default=None
        The state before the first step: learnt from zero, given, or zero (these two with "rollout" only).
    stateful : bool, default=False
        Whether sequences are long streams, with a label for each step, trained chunk by chunk ("rollout" only).
        `fit` cuts them into ``batch_size`` streams ("auto" means 16, or fewer of at least four chunks) and takes the
        next chunk of each for a minibatch, which starts from the states that the one before has left; multipliers end
        at the chunk.  Beside X itself, no more memory is needed for longer sequences.  `predict` reads whole sequences
        from s_0.
    chunk_size : int, default=25
        Steps of such a chunk, >= 1.
    init : dict, optional
        Initial weights by name, any of U (n, d), W (n, n), b (n,), V (K, n), c (K,), with K classes; with
        ``bidirectional=True`` also U_reverse, W_reverse and b_reverse, and V is (K, 2 n); the others are
        drawn: W orthogonal, U normal with variance 1/d, the rest zero; with "sigmoid" W times 4, U times 2 and b minus
        half the row sums of W, which makes it like tanh.
    dtype : {"float32", "float64"}, default="float32"
        Precision of weights and arithmetic.
    shuffle : bool, default=True
        Whether every epoch takes the sequences in a new order; with "algorithm1", whether they are put into batches at
        random, once.
    verbose : int, default=0
        1 shows a progress bar, 2 prints a line an epoch.
    random_state : int, RandomState or None, default=None
        Of the initial weights and the order of sequences.  With an int, two fits give bit-identical weights.
    scale : float, default=1.0
        What observations are multiplied by, > 0, in `fit` and in `predict`: 1/255 for images of bytes.  Integers of 8
        and 16 bits stay as they are until their minibatch is made, and so do float32 and float64; a memory-mapped
        file (`numpy.load` with ``mmap_mode="r"``) is read a minibatch at a time.
    n_threads : int or None, default=1
        Threads that share the sequences of a minibatch, in `fit` and in `predict`; None means all cores.  The result
        is reproducible for a given number; those for another one differ by rounding.
    loss : {"cross_entropy", "hinge", "sigmoid_cross_entropy"} or object, default="cross_entropy"
        R: a name, an object of `admmirnn.losses`, or any with ``value(o, y)`` and ``prox(q, y, rho)`` in numpy (see
        `admmirnn.losses.UserLoss`), which is slower.  "cross_entropy" is that of the softmax; "hinge" sets one class
        against all others.  With "sigmoid_cross_entropy" a sequence or a step may have **several labels** or none, and
        ``y`` says which by zeros and ones; so it is with an object, unless ``takes_labels`` says that its y are class
        numbers.
    class_weight : dict, "balanced" or None, default=None
        Weights of labels, 1 for those that a dict does not have; "balanced" makes all classes count the same.  None
        where there may be several labels.
    ignore_label : label or None, default=None
        What stands in ``y`` where a step has no label; such a step is read, and says nothing.  Where there may be
        several labels, all of the row.
    early_stopping : bool, default=False
        Whether to keep the weights of the epoch with the lowest loss on validation data, and to stop when it no longer
        falls.  The data are ``validation_data`` of `fit`, or a part of the training set.
    validation_fraction : float, default=0.1
        That part, > 0 and < 1: of the sequences, drawn at random, of each class as many; with ``stateful=True`` the
        last steps of each.
    patience, tol : int and float, default=10 and 1e-4
        Stop after so many epochs, >= 1, without a validation loss that is lower by more than ``tol``, >= 0.
    max_time : float or None, default=None
        Seconds after which training ends, > 0, with the iteration that it is in.  The schedule of "rollout" is as far
        on as the time is, if that is further than by the number of iterations.
    checkpoint : path-like or None, default=None
        A file for the state of the fit, written after every ``checkpoint_every`` epochs, >= 1:
        ``fit(..., resume=True)`` goes on from there.  The file is whole whenever the process ends.  Needs safetensors.
    checkpoint_every : int, default=1
        See ``checkpoint``.
    callbacks : list, optional
        Functions, or objects with ``on_epoch_end``, that are called with an `EpochState` at the end of every epoch,
        except one that diverged; training stops when one returns True.

    Attributes
    ----------
    U_, W_, b_, V_, c_ : ndarray of shape (n, d), (n, n), (n,), (K, n), (K,)
        The weights.  With ``bidirectional=True`` ``V_`` is (K, 2 n), of the states of both networks.
    U_reverse_, W_reverse_, b_reverse_ : ndarray of shape (n, d), (n, n), (n,)
        Those of the network that reads from the end, if there is one.
    s_0_ : ndarray of shape (n,), or None
        The state before the first step; None is zero.
    classes_ : ndarray of shape (K,)
        The labels, sorted; where there may be several, the numbers of the columns.
    history_ : list of dict
        One record an epoch: ``epoch``, ``rollout_loss``, ``training_accuracy``, ``seconds``, and what the solver adds.
        With "rollout" the loss and the accuracy are those of each minibatch before its update, and there are
        ``radius``, ``output_radius``, ``r``, ``output_r``, ``D_norm``, ``output_D_norm``, ``capped_steps``,
        ``damping_raised`` and ``rollbacks``; with "algorithm1" they are those of the training set after the
        iteration, and there are the augmented Lagrangian, the residuals and the auxiliary loss, see `Algorithm1`.
        There is no accuracy where there may be several labels.
        ``validation_loss`` and ``validation_accuracy`` are those of validation data.  ``history_.to_frame()`` is a
        table of pandas.
    status_ : Status or None
        Why training stopped; its value is the message.  None after `from_torch`.
    status_detail_ : str or None
        What grew, if training diverged.
    n_iter_ : int
        Epochs done, the last one perhaps in part.
    best_epoch_ : int or None
        With ``early_stopping``, the epoch whose weights these are.
    n_features_in_ : int
        Features of an observation; of a 2-D X, the number of its columns (steps), as scikit-learn counts.
    feature_names_in_ : ndarray of str
        The names of X's columns, if it was a DataFrame that has some.

    See Also
    --------
    Rollout : The default solver and its settings.
    Algorithm1 : The paper's solver.

    Examples
    --------
    >>> import numpy as np
    >>> from admmirnn import RNNClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=(length, 2)) for length in rng.integers(5, 20, size=200)]
    >>> y = ["up" if x[-1, 0] > 0 else "down" for x in X]
    >>> model = RNNClassifier(hidden_size=16, random_state=0).fit(X, y)
    >>> model.predict(X[:3]).shape
    (3,)
    """

    def __init__(
        self,
        hidden_size: int = 128,
        *,
        activation: str = "tanh",
        penalty: float | str = "auto",
        penalties: Mapping[str, ProximalOperator] | None = None,
        solver: str | Solver = "rollout",
        max_epochs: int = 20,
        batch_size: int | str = "auto",
        readout: str = "last",
        frame: int | Frame | None = None,
        bidirectional: bool = False,
        s_0: str | ArrayLike | None = None,
        stateful: bool = False,
        chunk_size: int = 25,
        init: Mapping[str, ArrayLike] | None = None,
        dtype: DTypeLike = "float32",
        shuffle: bool = True,
        verbose: int = 0,
        random_state: RandomState = None,
        scale: float = 1.0,
        n_threads: int | None = 1,
        loss: str | Loss | CustomLoss = "cross_entropy",
        class_weight: Mapping[Any, float] | str | None = None,
        ignore_label: object = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        tol: float = 1e-4,
        max_time: float | None = None,
        checkpoint: FilePath | None = None,
        checkpoint_every: int = 1,
        callbacks: Sequence[Callback] | None = None,
    ) -> None:
        self.hidden_size = hidden_size
        self.activation = activation
        self.penalty = penalty
        self.penalties = penalties
        self.solver = solver
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.readout = readout
        self.frame = frame
        self.bidirectional = bidirectional
        self.s_0 = s_0
        self.stateful = stateful
        self.chunk_size = chunk_size
        self.init = init
        self.dtype = dtype
        self.shuffle = shuffle
        self.verbose = verbose
        self.random_state = random_state
        self.scale = scale
        self.n_threads = n_threads
        self.loss = loss
        self.class_weight = class_weight
        self.ignore_label = ignore_label
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.tol = tol
        self.max_time = max_time
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every
        self.callbacks = callbacks

    classes_: Array
    _several: bool
    _losses = LOSSES_OF_CLASSES
    _saved = (
        _Recurrent._saved
        | _Recurrent._saved_of_sequences
        | {
            "classes_": Fitted.labels("K"),
            "_several": Fitted.value(validation.check_boolean),
        }
    )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        loss = LOSSES_OF_CLASSES.get(self.loss) if isinstance(self.loss, str) else self.loss
        several = not getattr(loss, "takes_labels", False)
        tags.classifier_tags.multi_label = tags.target_tags.multi_output = several
        tags.classifier_tags.multi_class = tags.target_tags.single_output = not several
        return tags

    @classmethod
    def from_torch(
        cls,
        rnn: torch.nn.Module,
        linear: torch.nn.Module,
        *,
        classes: ArrayLike | None = None,
        every_step: bool = False,
        **settings: Any,
    ) -> Self:
        """Return a classifier with the weights of a `torch.nn.RNN` and the `torch.nn.Linear` that reads its states.

        Its outputs are those of ``linear``.  `partial_fit` trains on from there.

        Parameters
        ----------
        rnn : torch.nn.RNN
            Of one layer, on which dropout has no effect; with or without biases, ``batch_first`` and ``bidirectional``.
            Also ``module.rnn`` of what `to_torch` returns.
        linear : torch.nn.Linear
            With an output for each class, or a single one: the logit of the second of two classes.
        classes : array-like of shape (n_classes,), optional
            The label of each output; 0, 1, 2, ... by default.
        every_step : bool, default=False
            Whether there is a label for each step.
        **settings
            What else the class takes: ``readout``, ``frame``, ``scale`` and ``s_0`` where they are not the defaults,
            ``loss="sigmoid_cross_entropy"`` if there may be several labels, and what `partial_fit` needs.

        Returns
        -------
        RNNClassifier
            Fitted, of the weights' dtype; ``history_`` is empty and ``status_`` None.

        Raises
        ------
        ValueError, TypeError
            If there is no such network, as of LSTM, GRU and several layers, or an argument is not usable.
        ImportError
            If torch is not installed: ``pip install 'admmirnn[torch]'``.

        Examples
        --------
        >>> RNNClassifier.from_torch(rnn, linear, classes=["no", "yes"]).predict(X)  # doctest: +SKIP
        """
        classifier, layers = _from_torch(cls, rnn, linear, settings)
        several = not loss_of(classifier.loss, classifier._losses).takes_labels
        if several and classes is not None:
            raise ValueError(
                "classes is given, and where there may be several labels they are 0 to K - 1; leave it out"
            )
        if len(layers["c"]) == 1 and not several:
            for name in ("V", "c"):
                layers[name] = np.concatenate([np.zeros_like(layers[name]), layers[name]])
        classes, order = validation.check_torch_classes(classes, len(layers["c"]))
        layers |= {name: layers[name][order] for name in ("V", "c")}
        return classifier._of_layers(layers, every_step, {"classes_": classes, "_several": several})

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        validation_data: tuple[ArrayLike, ArrayLike] | None = None,
        resume: bool = False,
    ) -> Self:
        """Train the network from new initial weights.

        The first Ctrl-C ends training after the iteration it is in, with the last good weights; the second one aborts.

        Parameters
        ----------
        X : array-like of shape (n_sequences, n_steps, n_features) or (n_sequences, n_steps), or list of arrays
            A list holds one array of shape (n_steps_i, n_features) a sequence, of any lengths; a 2-D X holds one
            feature.
        y : array-like of shape (n_sequences,), or (n_sequences, n_steps), or list of arrays of shape (n_steps_i,)
            Labels of any type that can be sorted: one a sequence, or one for each of its steps.  Where there may be
            several (see ``loss``), ones and zeros in the shape (n_sequences, n_labels), (n_sequences, n_steps,
            n_labels), or a list of arrays of shape (n_steps_i, n_labels).
        sample_weight : array-like of shape (n_sequences,), optional
            Weights >= 0 of the sequences in the loss, relative to the largest one; a sequence of weight 0 is left out.
            With a label for each step, ``y``'s form gives each step a weight.
            With "algorithm1" they weigh the losses only, not the penalties of the equations.
        validation_data : tuple, optional
            (X, y) to measure the loss on after every epoch, not to train with.
        resume : bool, default=False
            Whether to go on from the file ``checkpoint``, if it is there: with the same arguments, to the same weights
            that the fit would have ended with, to the last bit.

        Returns
        -------
        RNNClassifier
            self.

        Raises
        ------
        ValueError, TypeError
            If an argument or a setting is not usable; nothing has been trained then.
        """
        return self._fit(X, y, sample_weight, validation_data, resume)

    @available_if(_can_go_on)
    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Train on from where the last call of `fit` or `partial_fit` has ended: one pass over these sequences.

        Running statistics are kept, and steps have their full length, as there is no schedule without an end.
        With ``stateful=True`` every sequence goes on where the one in its place ended in the last `partial_fit`, from
        its state; see `reset_states`.  "rollout" only.

        Parameters
        ----------
        X : array-like or list of arrays
            As in `fit`; with ``stateful=True`` as many as the last time.
        y : array-like or list of arrays
            As in `fit`.
        classes : array-like of shape (n_classes,), optional
            All labels that there will be; needed in the first call, unless `fit` has been called, or a target may have
            several labels: then y has a column for each.
        sample_weight : array-like or list of arrays, optional
            As in `fit`.

        Returns
        -------
        RNNClassifier
            self.

        Raises
        ------
        ValueError, TypeError
            If an argument or a setting is not usable; nothing has been trained then.
        """
        fitted = getattr(self, "classes_", None)
        if classes is not None or loss_of(self.loss, self._losses).takes_labels:
            fitted = validation.check_classes(classes, fitted)
        return self._partial_fit(X, y, sample_weight, {"classes_": fitted})

    def _read_targets(
        self,
        y: Any,
        sample_weight: ArrayLike | None,
        lengths: IntArray,
        settings: EstimatorSettings,
        loss: AnyLoss,
        known: dict[str, Any] | None = None,
    ) -> tuple[_Targets, dict[str, Any]]:
        if not loss.takes_labels:
            return self._read_indicators(y, sample_weight, lengths, known)
        if known is not None and getattr(self, "_several", False):
            raise ValueError(f"loss is {self.loss!r}, and targets had several labels when training began; call fit")
        per_step = getattr(settings.solver, "takes_labels_per_step", False)
        classes, targets, present, form = validation.check_labels(
            y, lengths, per_step=per_step, stateful=settings.stateful, ignore_label=self.ignore_label
        )
        weights = validation.check_sample_weight(sample_weight, lengths, per_step=form != "sequence")
        if known is not None:
            targets = validation.numbers_of_classes(classes, known["classes_"])[targets]
            classes = known["classes_"]
        of_class = validation.check_class_weight(
            self.class_weight, classes, targets, present, partial=known is not None
        )
        weights = weights * of_class * present
        if known is None:
            validation.check_several_classes(classes, targets[weights > 0])
            kept, targets[weights > 0] = np.unique(targets[weights > 0], return_inverse=True)
            classes = classes[kept]
        elif not weights.any():
            raise ValueError("y has no label of positive weight; leave such a call out")
        targets[weights == 0] = 0
        weights = validation.at_least_tiny(weights / weights.max())
        return _Targets(targets, weights, form, len(classes)), {"classes_": classes, "_several": False}

    def _read_indicators(
        self, y: Any, sample_weight: ArrayLike | None, lengths: IntArray, known: dict[str, Any] | None = None
    ) -> tuple[_Targets, dict[str, Any]]:
        """Targets of sequences or steps that may have several labels at once."""
        if self.class_weight is not None:
            raise ValueError(
                f"class_weight is {self.class_weight!r}, and with loss={self.loss!r} a target may have several "
                "classes; pass None, or sample_weight"
            )
        values, present, form = validation.check_indicators(y, lengths, ignore_label=self.ignore_label)
        weights = validation.check_sample_weight(sample_weight, lengths, per_step=form != "sequence") * present
        if not weights.any():
            raise ValueError("y has no row of positive weight; give some rows labels and a positive weight")
        weights = validation.at_least_tiny(weights / weights.max())
        n_labels = values.shape[1]
        if known is not None and known["classes_"] is not None and len(known["classes_"]) != n_labels:
            raise ValueError(f"y has {n_labels} columns, and there are {len(known['classes_'])} labels; pass as many")
        if known is not None and not getattr(self, "_several", True):
            raise ValueError(f"loss is {self.loss!r}, and targets had one label each when training began; call fit")
        return _Targets(values, weights, form, n_labels), {"classes_": np.arange(n_labels), "_several": True}

    def predict(self, X: ArrayLike) -> Any:
        """Return the label of every sequence, or of every step if ``y`` had one for each.

        Parameters
        ----------
        X : array-like or list of arrays
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_sequences,)
            Or of shape (n_sequences, n_steps), or a list of arrays of shape (n_steps_i,), as ``y`` was; a list
            whenever the lengths differ.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        ValueError, TypeError
            If X does not fit the estimator, or is not finite, or is so large that outputs are not.
        """
        outputs, lengths = self._outputs(X)
        answers = (outputs > 0).astype(int) if self._several else self.classes_[outputs.argmax(axis=1)]
        return self._in_the_form_of_targets(answers, lengths)

    def decision_function(self, X: ArrayLike) -> Any:
        """Return the outputs of the network, the largest or the positive ones of which `predict` names.

        Parameters
        ----------
        X : array-like or list of arrays
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_sequences, n_classes), or (n_sequences,) for two classes
            Of two classes, the output of the second minus that of the first.  Or with the steps as second axis, or a
            list of arrays, as in `predict`.

        Raises
        ------
        ValueError, TypeError
            As in `predict`.
        """
        outputs, lengths = self._outputs(X)
        if not self._several and outputs.shape[1] == 2:
            outputs = outputs[:, 1] - outputs[:, 0]
        return self._in_the_form_of_targets(outputs, lengths)

    @available_if(_has_probabilities)
    def predict_proba(self, X: ArrayLike) -> Any:
        """Return the probability of every class, in the order of ``classes_``.

        Only cross-entropies have probabilities: the softmax of the outputs, or with ``loss="sigmoid_cross_entropy"``
        the logistic function of each.

        Parameters
        ----------
        X : array-like or list of arrays
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_sequences, n_classes)
            Or with the steps as second axis, or a list of arrays of shape (n_steps_i, n_classes), as in `predict`.

        Raises
        ------
        ValueError, TypeError
            As in `predict`.
        """
        outputs, lengths = self._outputs(X)
        return self._in_the_form_of_targets(self._probabilities(outputs), lengths)

    def _probabilities(self, outputs: FloatArray) -> FloatArray:
        found: FloatArray = expit(outputs) if self._several else softmax(outputs, axis=1)
        return found

    def _states_and_outputs(self, x: ArrayLike) -> tuple[FloatArray, FloatArray, Any]:
        S, outputs = self._states(x)
        return S, self._probabilities(outputs) if hasattr(self, "predict_proba") else outputs, self.classes_

    def _answer(self) -> Answer:
        if hasattr(self, "predict_proba"):
            return Answer("logistic" if self._several else "softmax")
        of_two = not self._several and len(self.classes_) == 2
        return Answer("values", single=of_two, difference=of_two)

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the accuracy of `predict`: the share of right sequences, or of right steps.

        Of several labels at once all have to be right.

        Parameters
        ----------
        X : array-like or list of arrays
            As in `fit`.
        y : array-like or list of arrays
            True labels, as in `fit`.
        sample_weight : array-like of shape (n_sequences,), optional
            Weights of the sequences, or of the steps as in `fit`.

        Returns
        -------
        float
            From 0 to 1.

        Raises
        ------
        ValueError, TypeError
            As in `predict`, or if y or ``sample_weight`` does not belong to X.
        """
        from sklearn.metrics import accuracy_score  # here, as `ClassifierMixin.score` does: it is slow to import

        check_is_fitted(self)
        if self._several:
            return self._subset_accuracy(X, y, sample_weight)
        if self._form_of_targets == "sequence":
            return float(super().score(X, y, sample_weight))
        labels, predicted, present, lengths = self._labels_of_steps(X, y)
        weights = validation.check_sample_weight(sample_weight, lengths, per_step=True)
        found: float = accuracy_score(labels, predicted, sample_weight=weights[present])
        return found

    def _labels_of_steps(self, X: ArrayLike, y: ArrayLike) -> tuple[Array, Array, slice | BoolArray, IntArray]:
        """True and predicted labels of the steps that have one, which those are, and the lengths."""
        predicted = self.predict(X)
        lengths = np.array([len(labels) for labels in predicted])
        labels = validation.check_labels_per_step(y, lengths)
        present = slice(None) if self.ignore_label is None else validation.differs(labels, self.ignore_label)
        return labels[present], np.concatenate(list(predicted))[present], present, lengths

    def _true_and_predicted(self, X: ArrayLike, y: ArrayLike) -> tuple[Any, Any]:
        if self._form_of_targets == "sequence":
            return y, self.predict(X)
        return self._labels_of_steps(X, y)[:2]

    def _subset_accuracy(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None) -> float:
        outputs, lengths = self._outputs(X)
        values, present, form = validation.check_indicators(y, lengths, ignore_label=self.ignore_label)
        per_step = self._form_of_targets != "sequence"
        if (form != "sequence") != per_step or values.shape != outputs.shape:
            raise ValueError(f"y has {values.shape} indicators where {outputs.shape} are predicted; pass y as in fit")
        weights = validation.check_sample_weight(sample_weight, lengths, per_step=per_step)
        right = ((outputs > 0) == values).all(axis=1)
        return float(np.average(right[present], weights=weights[present]))


@io.saved
class RNNRegressor(RegressorMixin, ReadsStreams, Exports, _Recurrent):
    """Elman network that reads a sequence and answers with numbers, trained by ADMM.

    One value, or several, for each sequence; or for each of its steps, where NaN stands for none.

    Parameters
    ----------
    hidden_size, activation, penalty, penalties, solver, max_epochs, batch_size, readout, frame, bidirectional, s_0, \
stateful, chunk_size, init, dtype, shuffle, verbose, random_state, scale, n_threads, early_stopping, \
validation_fraction, patience, tol, max_time, checkpoint, checkpoint_every, callbacks
        As in `RNNClassifier`.
    loss : {"squared_error", "huber", "absolute_error", "quantile"} or object, default="squared_error"
        R, of scaled targets: a name, an object of `admmirnn.losses` such as ``Quantile(0.9)``, or any with
        ``value(o, y)`` and ``prox(q, y, rho)`` in numpy (see `admmirnn.losses.UserLoss`), which is slower.
    scale_targets : bool, default=True
        Whether the network learns targets of mean 0 and deviation 1, output by output, which `predict` scales back.

    Attributes
    ----------
    U_, W_, b_, V_, c_ : ndarray of shape (n, d), (n, n), (n,), (K, n), (K,)
        The weights, for scaled targets; with ``bidirectional=True`` as in `RNNClassifier`.
    s_0_ : ndarray of shape (n,), or None
        The state before the first step; None is zero.
    target_mean_, target_scale_ : ndarray of shape (K,)
        What `predict` adds, and multiplies by before that.
    history_ : list of dict
        As in `RNNClassifier`, without an accuracy; the loss is that of scaled targets.
    status_, status_detail_, n_iter_, best_epoch_, n_features_in_, feature_names_in_
        As in `RNNClassifier`.

    Examples
    --------
    >>> import numpy as np
    >>> from admmirnn import RNNRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 20, 1))
    >>> y = X.cumsum(axis=1)[:, :, 0]  # one value for each step
    >>> model = RNNRegressor(hidden_size=16, random_state=0).fit(X, y)
    >>> model.predict(X[:3]).shape
    (3, 20)
    """

    def __init__(
        self,
        hidden_size: int = 128,
        *,
        activation: str = "tanh",
        penalty: float | str = "auto",
        penalties: Mapping[str, ProximalOperator] | None = None,
        solver: str | Solver = "rollout",
        max_epochs: int = 20,
        batch_size: int | str = "auto",
        readout: str = "last",
        frame: int | Frame | None = None,
        bidirectional: bool = False,
        s_0: str | ArrayLike | None = None,
        stateful: bool = False,
        chunk_size: int = 25,
        init: Mapping[str, ArrayLike] | None = None,
        dtype: DTypeLike = "float32",
        shuffle: bool = True,
        verbose: int = 0,
        random_state: RandomState = None,
        scale: float = 1.0,
        n_threads: int | None = 1,
        loss: str | Loss | CustomLoss = "squared_error",
        scale_targets: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        tol: float = 1e-4,
        max_time: float | None = None,
        checkpoint: FilePath | None = None,
        checkpoint_every: int = 1,
        callbacks: Sequence[Callback] | None = None,
    ) -> None:
        self.hidden_size = hidden_size
        self.activation = activation
        self.penalty = penalty
        self.penalties = penalties
        self.solver = solver
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.readout = readout
        self.frame = frame
        self.bidirectional = bidirectional
        self.s_0 = s_0
        self.stateful = stateful
        self.chunk_size = chunk_size
        self.init = init
        self.dtype = dtype
        self.shuffle = shuffle
        self.verbose = verbose
        self.random_state = random_state
        self.scale = scale
        self.n_threads = n_threads
        self.loss = loss
        self.scale_targets = scale_targets
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.tol = tol
        self.max_time = max_time
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every
        self.callbacks = callbacks

    target_mean_: NDArray[np.float64]
    target_scale_: NDArray[np.float64]
    _single: bool
    _losses = LOSSES_OF_VALUES
    _saved = (
        _Recurrent._saved
        | _Recurrent._saved_of_sequences
        | {
            "target_mean_": Fitted.array("K", dtypes=("float64",)),
            "target_scale_": Fitted.array("K", dtypes=("float64",)),
            "_single": Fitted.value(validation.check_boolean),
        }
    )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @classmethod
    def from_torch(
        cls, rnn: torch.nn.Module, linear: torch.nn.Module, *, every_step: bool = False, **settings: Any
    ) -> Self:
        """Return a regressor with the weights of a `torch.nn.RNN` and the `torch.nn.Linear` that reads its states.

        As `RNNClassifier.from_torch`; `predict` returns what ``linear`` does.

        Parameters
        ----------
        rnn, linear : torch.nn.RNN, torch.nn.Linear
            As there; with a single output, predictions have no axis for it.
        every_step : bool, default=False
            Whether there is a target for each step.
        **settings
            What else the class takes; ``scale_targets`` is False unless given.

        Returns
        -------
        RNNRegressor
            Fitted, of the weights' dtype; ``history_`` is empty and ``status_`` None.

        Raises
        ------
        ValueError, TypeError, ImportError
            As there.
        """
        regressor, layers = _from_torch(cls, rnn, linear, {"scale_targets": False} | settings)
        K = len(layers["c"])
        of_targets = {"target_mean_": np.zeros(K), "target_scale_": np.ones(K), "_single": K == 1}
        return regressor._of_layers(layers, every_step, of_targets)

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        validation_data: tuple[ArrayLike, ArrayLike] | None = None,
        resume: bool = False,
    ) -> Self:
        """Train the network from new initial weights.

        The first Ctrl-C ends training after the iteration it is in, with the last good weights; the second one aborts.

        Parameters
        ----------
        X : array-like of shape (n_sequences, n_steps, n_features) or (n_sequences, n_steps), or list of arrays
            As in `RNNClassifier.fit`.
        y : array-like of shape (n_sequences,), (n_sequences, k), (n_sequences, n_steps) or (n_sequences, n_steps, k)
            A value or k of them a sequence; or a step, where NaN stands for none, also as a list of arrays of shape
            (n_steps_i,) or (n_steps_i, k).  Two dimensions are one value a step if every sequence has as many steps
            as there are columns, and more than one.
        sample_weight : array-like of shape (n_sequences,), optional
            As in `RNNClassifier.fit`.
        validation_data, resume
            As in `RNNClassifier.fit`.

        Returns
        -------
        RNNRegressor
            self.

        Raises
        ------
        ValueError, TypeError
            If an argument or a setting is not usable; nothing has been trained then.
        """
        return self._fit(X, y, sample_weight, validation_data, resume)

    @available_if(_can_go_on)
    def partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train on from where the last call of `fit` or `partial_fit` has ended: one pass over these sequences.

        As `RNNClassifier.partial_fit`.  The first call's targets say how all are scaled.

        Parameters
        ----------
        X : array-like or list of arrays
            As in `fit`; with ``stateful=True`` as many as the last time.
        y : array-like or list of arrays
            As in `fit`, with as many values.
        sample_weight : array-like or list of arrays, optional
            As in `fit`.

        Returns
        -------
        RNNRegressor
            self.

        Raises
        ------
        ValueError, TypeError
            If an argument or a setting is not usable; nothing has been trained then.
        """
        names = ("target_mean_", "target_scale_", "_single")
        known = {name: getattr(self, name) for name in names} if hasattr(self, "V_") else None
        return self._partial_fit(X, y, sample_weight, known)

    def _read_targets(
        self,
        y: Any,
        sample_weight: ArrayLike | None,
        lengths: IntArray,
        settings: EstimatorSettings,
        loss: AnyLoss,
        known: dict[str, Any] | None = None,
    ) -> tuple[_Targets, dict[str, Any]]:
        if loss.takes_labels:
            raise ValueError(f"loss is {self.loss!r}, which takes class numbers; pass one of values, or RNNClassifier")
        validation.check_boolean("scale_targets", self.scale_targets)
        values, present, form, single = validation.check_values(y, lengths, stateful=settings.stateful)
        weights = validation.check_sample_weight(sample_weight, lengths, per_step=form != "sequence") * present
        if not weights.any():
            raise ValueError("sample_weight is zero wherever y has a target; give some of those a positive weight")
        kept = values[weights > 0]
        mean, deviation = np.zeros(values.shape[1]), np.ones(values.shape[1])
        if known is not None:
            validation.check_n_outputs(values.shape[1], len(known["target_mean_"]))
            mean, deviation, single = known["target_mean_"], known["target_scale_"], known["_single"]
        elif self.scale_targets:
            with np.errstate(over="ignore", invalid="ignore"):  # which is found below
                mean, spread = kept.mean(axis=0), kept.std(axis=0)
            deviation = np.where(spread > 1e-12 * np.abs(kept).max(axis=0, initial=0), spread, 1.0)
        with np.errstate(over="ignore", invalid="ignore"):
            values = np.where(weights[:, None] > 0, (values - mean) / deviation, 0.0)
        validation.check_scaled_values(values, deviation, settings.dtype)
        weights = validation.at_least_tiny(weights / weights.max())
        attributes = {"target_mean_": mean, "target_scale_": deviation, "_single": single}
        return _Targets(values, weights, form, values.shape[1]), attributes

    def predict(self, X: ArrayLike) -> Any:
        """Return the value of every sequence, or of every step if ``y`` had one for each.

        Parameters
        ----------
        X : array-like or list of arrays
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_sequences,), (n_sequences, k), (n_sequences, n_steps) or (n_sequences, n_steps, k)
            As ``y`` was, or a list of arrays of shape (n_steps_i,) or (n_steps_i, k), whenever the lengths differ.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        ValueError, TypeError
            If X does not fit the estimator, or is not finite, or is so large that outputs are not.
        """
        outputs, lengths = self._outputs(X)
        values = self._values(outputs)
        return self._in_the_form_of_targets(values[:, 0] if self._single else values, lengths)

    def _values(self, outputs: FloatArray) -> FloatArray:
        return self.target_mean_ + self.target_scale_ * outputs

    def _states_and_outputs(self, x: ArrayLike) -> tuple[FloatArray, FloatArray, Any]:
        S, outputs = self._states(x)
        return S, self._values(outputs), [f"output {k}" for k in range(outputs.shape[1])]

    def _answer(self) -> Answer:
        return Answer("values", self.target_mean_, self.target_scale_, self._single)

    def forecast(self, history: ArrayLike, horizon: int) -> NDArray[np.float64]:
        """Predict the observations that follow a series, by reading predictions as if they had been observed.

        For a model whose targets are the next observations: those after each step, or the one after each sequence.

        Parameters
        ----------
        history : array-like of shape (n_steps, n_features) or (n_series, n_steps, n_features), or list of arrays
            One series, or several, of any lengths in a list of arrays (n_steps_i, n_features).  With one feature the
            last axis may be missing, and two dimensions are several series if there is more than one column.
        horizon : int
            How many observations to predict, >= 1.

        Returns
        -------
        ndarray of shape (horizon, n_features) or (n_series, horizon, n_features)
            Without the last axis if ``y`` had no such axis.  The first is what `predict` returns for ``history``, after
            its last step; each of the others that for the series with all predictions before it at its end.

        Raises
        ------
        ValueError, TypeError
            If the model has not as many targets as features, an argument does not fit, or the forecast overflows.

        Examples
        --------
        >>> import numpy as np
        >>> from admmirnn import RNNRegressor
        >>> waves = np.sin(0.3 * np.arange(60) + np.arange(40)[:, None])
        >>> model = RNNRegressor(hidden_size=16, random_state=0).fit(waves[:, :-1], waves[:, 1:])
        >>> model.forecast(waves[0], horizon=5).shape
        (5,)
        """
        network = self._network()
        n_features = network.n_features // self._frame[0]
        validation.check_can_forecast(self, network.n_outputs, n_features)
        horizon = validation.check_integer("horizon", horizon, 1)
        series, is_one = validation.check_history(history, n_features, self._frame[0], network.dtype, self._scale)
        values = forecast(self._stream, series, horizon)
        values = values[:, :, 0] if self._single else values
        return values[0] if is_one else values

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the coefficient of determination R^2 of `predict`, over all sequences or all steps with a target.

        Parameters
        ----------
        X : array-like or list of arrays
            As in `fit`.
        y : array-like or list of arrays
            True values, as in `fit`.
        sample_weight : array-like of shape (n_sequences,), optional
            Weights of the sequences, or of the steps as in `fit`.

        Returns
        -------
        float
            At most 1; always answering the mean has 0.

        Raises
        ------
        ValueError, TypeError
            As in `predict`, or if y or ``sample_weight`` does not belong to X.
        """
        from sklearn.metrics import r2_score  # here: it is slow to import

        check_is_fitted(self)
        if self._form_of_targets == "sequence":
            return float(super().score(X, y, sample_weight))
        outputs, lengths = self._outputs(X)
        values, present, _, _ = validation.check_values(y, lengths)
        if len(values) != len(outputs) or values.shape[1] != outputs.shape[1]:
            raise ValueError("y has no target for each step of X, as it had in fit; pass such targets")
        weights = validation.check_sample_weight(sample_weight, lengths, per_step=True)[present]
        predicted = self._values(outputs)
        found: float = r2_score(values[present], predicted[present], sample_weight=weights)
        return found


def _from_torch(
    cls: type[_E], rnn: torch.nn.Module, linear: torch.nn.Module, settings: dict[str, Any]
) -> tuple[_E, dict[str, FloatArray]]:
    """An estimator that has the settings that layers of torch stand for, and their weights by name."""
    layers, activation = layers_of_torch(rnn, linear)
    of_layers = {
        "hidden_size": len(layers["b"]),
        "activation": activation,
        "bidirectional": "b_reverse" in layers,
        "dtype": layers["b"].dtype.name,
    }
    validation.check_settings_of_torch(settings, of_layers)
    return cls(**of_layers, **settings), layers


def _with_weight(sequences: Sequences, targets: _Targets) -> tuple[Sequences, _Targets]:
    """Leave out the sequences none of whose targets has a weight."""
    of_sequences = targets.weights
    if targets.every_step:
        of_sequences = np.add.reduceat(targets.weights, sequences.first_steps)
    kept = np.flatnonzero(of_sequences)
    return (sequences, targets) if len(kept) == len(sequences) else _selected(sequences, targets, kept)


def _selected(sequences: Sequences, targets: _Targets, indices: IntArray) -> tuple[Sequences, _Targets]:
    """Some of the sequences, and their targets."""
    rows = indices
    if targets.every_step:
        rows = np.concatenate([np.arange(first, first + n) for first, n in _steps(sequences, indices)])
    sequences = replace(sequences, first_rows=sequences.first_rows[indices], lengths=sequences.lengths[indices])
    return sequences, replace(targets, values=targets.values[rows], weights=targets.weights[rows])


def _steps(sequences: Sequences, indices: IntArray) -> Iterator[tuple[np.intp, np.intp]]:
    return zip(sequences.first_steps[indices], sequences.lengths[indices], strict=True)


def _hold_out(
    estimator: _Recurrent, sequences: Sequences, targets: _Targets, settings: EstimatorSettings
) -> tuple[Sequences, _Targets, tuple[Sequences, Array, FloatArray, bool]]:
    """Return sequences and targets to train with, and what is apart from them, as `_validation_data` returns it."""
    if settings.stateful:
        return _hold_out_ends(sequences, targets, settings.validation_fraction)
    from sklearn.model_selection import train_test_split  # here: it is slow to import

    validation.check_drawn_again(estimator, settings)
    n_held_out = validation.check_n_held_out(settings.validation_fraction, len(sequences))
    by_class = isinstance(estimator, ClassifierMixin)
    stratify = targets.values if by_class and targets.values.ndim == 1 and not targets.every_step else None
    smaller = min(n_held_out, len(sequences) - n_held_out)
    if stratify is not None and min(np.bincount(stratify).min() - 1, smaller - stratify.max()) < 1:
        stratify = None  # some classes, or one of the parts, have too few sequences for that
    kept, others = train_test_split(
        np.arange(len(sequences)), test_size=n_held_out, stratify=stratify, random_state=settings.random_state
    )
    held_out, of_held_out = _selected(sequences, targets, np.sort(others))
    apart = held_out, of_held_out.values, of_held_out.weights, targets.every_step
    return *_selected(sequences, targets, np.sort(kept)), apart


def _hold_out_ends(
    sequences: Sequences, targets: _Targets, fraction: float
) -> tuple[Sequences, _Targets, tuple[Sequences, Array, FloatArray, bool]]:
    """As `_hold_out`, the last steps of every sequence; to measure there, the network reads what is before as well."""
    n_kept = sequences.lengths - np.ceil(fraction * sequences.lengths).astype(np.intp)
    validation.check_some_steps_left(n_kept, fraction)
    step_of = np.arange(len(targets.weights)) - np.repeat(sequences.first_steps, sequences.lengths)
    is_kept = step_of < np.repeat(n_kept, sequences.lengths)
    weights = np.where(is_kept, 0.0, targets.weights)
    validation.check_some_weight(targets.weights, is_kept, fraction)
    apart = sequences, targets.values, weights, True
    targets = replace(targets, values=targets.values[is_kept], weights=targets.weights[is_kept])
    return replace(sequences, lengths=n_kept), targets, apart


def _checkpoint(
    estimator: _Recurrent,
    settings: EstimatorSettings,
    sequences: Sequences,
    targets: _Targets,
    apart: tuple[Sequences, Array, FloatArray, bool] | None,
    resume: bool,
) -> Checkpoint | None:
    """The `Checkpoint` of a fit, or None; ``apart`` are validation data, or None."""
    validation.check_resume(settings, resume)
    if settings.checkpoint is None:
        return None
    from admmirnn.checkpoint import Checkpoint, fingerprint  # which few need

    data = [(sequences, targets.values, targets.weights), *([apart[:3]] if apart else [])]
    return Checkpoint(settings.checkpoint, settings.checkpoint_every, fingerprint(estimator, *data))


def _n_epochs(settings: EstimatorSettings, sequences: Sequences | Streams) -> int:
    """How many epochs a fit may take, the last one perhaps not to its end."""
    max_iter: int | None = getattr(settings.solver, "max_iter", None)
    if max_iter is None:
        return settings.max_epochs
    if isinstance(sequences, Streams):
        return -(-max_iter // sequences.n_batches(settings.batch_size or len(sequences)))
    return -(-max_iter // settings.solver.iterations_per_epoch(len(sequences), settings.batch_size))


def _n_streams(settings: EstimatorSettings, sequences: Sequences) -> int:
    """Into how many streams to cut long sequences."""
    most = int(sequences.lengths.sum()) // (_FEWEST_CHUNKS * settings.chunk_size)
    return settings.batch_size or min(_N_STREAMS, max(most, 1))
