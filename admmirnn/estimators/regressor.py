"""RNNRegressor: what targets mean, and what is predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted

from admmirnn import validation
from admmirnn._typing import (
    Activation,
    Array,
    CellName,
    CustomLoss,
    FilePath,
    FloatArray,
    Frame,
    LossOfValues,
    ProximalOperator,
    RandomState,
    ReadOut,
    Reducer,
    Self,
    SolverName,
    TargetsOf,
    TorchModule,
)
from admmirnn.data.indexed import by_series
from admmirnn.data.reading_targets import (
    check_sample_weight,
    check_values,
    check_weights_of_score,
    mean_and_deviation,
    scaled_values,
    weights_of_present,
)
from admmirnn.data.sequences import Sequences
from admmirnn.data.targets import Targets
from admmirnn.estimators.agreement import Agree, agree_on_values
from admmirnn.estimators.base import (
    FITTED,
    FITTED_OF_SEQUENCES,
    RecurrentEstimator,
    Trace,
    can_go_on,
    check_y_is_there,
)
from admmirnn.estimators.layers import estimator_of_layers
from admmirnn.estimators.settings import EstimatorSettings
from admmirnn.export import Exports
from admmirnn.files import models
from admmirnn.files.fitted import Fitted
from admmirnn.losses import LOSSES_OF_VALUES, AnyLoss, Loss
from admmirnn.recursion import (
    Known,
    check_future_inputs,
    check_history,
    check_quantiles,
    check_residuals,
    check_state_of_series,
    check_target_features,
    forecast,
    histories_in_order,
    names_of_features,
    residuals_of,
    sampled,
    warn_of_kept_inputs,
)
from admmirnn.solvers.interface import Solver
from admmirnn.streaming import Answer, ReadsStreams, StreamState
from admmirnn.watching import Callback

if TYPE_CHECKING:
    from admmirnn._typing import available_if
else:
    from sklearn.utils.metaestimators import available_if


@models.saved
class RNNRegressor(RegressorMixin, ReadsStreams, Exports, RecurrentEstimator):
    """Recurrent network that reads a sequence and answers with numbers, trained by ADMM.

    One value, or several, for each sequence; or for each of its steps, where NaN stands for none.

    Parameters
    ----------
    hidden_size, cell, activation, penalty, penalties, solver, max_epochs, batch_size, readout, frame, bidirectional, \
dropout, augment, s_0, stateful, chunk_size, init, forget_bias, dtype, shuffle, verbose, random_state, scale, \
n_threads, n_networks, \
early_stopping, validation_fraction, patience, tol, max_time, checkpoint, checkpoint_every, callbacks
        As in `RNNClassifier`, except that ``dropout`` is 0 and ``stateful`` False by default.
    loss : {"squared_error", "huber", "absolute_error", "quantile", "quantiles"} or object, default="squared_error"
        Loss R, computed from scaled targets: a name, an object of `admmirnn.losses` such as ``Quantile(0.9)``, or any
        object with ``value(o, y)`` and ``prox(q, y, rho)`` in numpy (see `admmirnn.losses.UserLoss`), which is slower.
    targets : {"auto", "sequence", "step"}, default="auto"
        What ``y`` has values for: each sequence, such as the next 24 hours in an array (n_sequences, 24), or each step.
        "auto" reads an array (n_sequences, k) as k values per sequence, unless they evidently are the observations of
        later steps, and a list of arrays as values of steps; it warns where there are about as many values as steps, so
        that both may be meant.  Three axes always are those of steps.  What the first call has found holds for later
        calls of `partial_fit` and for validation data.
    scale_targets : bool, default=True
        Whether the network learns targets that are scaled to mean 0 and standard deviation 1, output by output;
        `predict` scales its answers back.

    Attributes
    ----------
    U_, W_, b_, V_, c_ : ndarray of shape (g n, d), (g n, n), (g n,), (K, n), (K,)
        Weights of the network, for a cell with g gates and for scaled targets; `RNNClassifier` lists those of single
        gates, of further layers and of a second direction.
    s_0_ : ndarray of shape (n,), or None
        State before the first step; None is zero.
    estimators_ : list of RNNRegressor
        One fitted estimator for each network, with ``n_networks`` above 1; their predictions are averaged, see
        `RNNClassifier`.
    target_mean_, target_scale_ : ndarray of shape (K,)
        Means and standard deviations of the targets: `predict` multiplies the outputs by the second and adds the first.
    history_ : list of dict
        Records as in `RNNClassifier`, without an accuracy; the loss is that of scaled targets.
    status_, status_detail_, n_iter_, best_epoch_, n_features_in_, feature_names_in_
        As in `RNNClassifier`.

    Examples
    --------
    >>> import numpy as np
    >>> from admmirnn import RNNRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 20, 1))
    >>> y = X.cumsum(axis=1)[:, :, 0]  # one value for each step
    >>> model = RNNRegressor(hidden_size=16, targets="step", random_state=0).fit(X, y)
    >>> model.predict(X[:3]).shape
    (3, 20)
    """

    def __init__(
        self,
        hidden_size: int | Sequence[int] = 128,
        *,
        cell: CellName = "auto",
        activation: Activation = "tanh",
        penalty: float | str = "auto",
        penalties: Mapping[str, ProximalOperator] | None = None,
        solver: SolverName | Solver = "rollout",
        max_epochs: int | Literal["auto"] = "auto",
        batch_size: int | str = "auto",
        readout: ReadOut = "last",
        frame: int | Frame | None = None,
        bidirectional: bool = False,
        dropout: float = 0.0,
        augment: Mapping[str, float] | None = None,
        s_0: str | ArrayLike | None = None,
        stateful: bool = False,
        chunk_size: int = 25,
        init: Mapping[str, ArrayLike] | None = None,
        forget_bias: float | str = "auto",
        dtype: DTypeLike = "float32",
        shuffle: bool = True,
        verbose: int = 0,
        random_state: RandomState = None,
        scale: float = 1.0,
        standardize: bool | Literal["auto"] = "auto",
        missing: Literal["refuse", "forward", "indicator"] = "refuse",
        n_threads: int | None = 1,
        n_networks: int = 1,
        loss: LossOfValues | Loss | CustomLoss = "squared_error",
        targets: TargetsOf = "auto",
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
        self.cell = cell
        self.activation = activation
        self.penalty = penalty
        self.penalties = penalties
        self.solver = solver
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.readout = readout
        self.frame = frame
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.augment = augment
        self.s_0 = s_0
        self.stateful = stateful
        self.chunk_size = chunk_size
        self.init = init
        self.forget_bias = forget_bias
        self.dtype = dtype
        self.shuffle = shuffle
        self.verbose = verbose
        self.random_state = random_state
        self.scale = scale
        self.standardize = standardize
        self.missing = missing
        self.n_threads = n_threads
        self.n_networks = n_networks
        self.loss = loss
        self.targets = targets
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
    fitted_attributes: Mapping[str, Fitted] = (
        FITTED
        | FITTED_OF_SEQUENCES
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
        cls,
        rnn: TorchModule | Sequence[TorchModule],
        linear: TorchModule,
        *,
        every_step: bool = False,
        **settings: Any,
    ) -> Self:
        """Return a regressor with the weights of a `torch.nn.RNN`, GRU or LSTM, and the `torch.nn.Linear` behind it.

        As `RNNClassifier.from_torch`; `predict` returns what ``linear`` does.

        Parameters
        ----------
        rnn, linear : torch.nn.RNN, GRU or LSTM, or list of these, and torch.nn.Linear
            Recurrent layers and output layer, as in `RNNClassifier.from_torch`; with a single output, predictions have
            no axis for it.
        every_step : bool, default=False
            Whether there is a target for each step.
        **settings
            Other parameters of the class; ``scale_targets`` is False unless given.

        Returns
        -------
        RNNRegressor
            Fitted estimator with the dtype of the weights; its ``history_`` is empty and its ``status_`` is None.

        Raises
        ------
        ValueError, TypeError, ImportError
            As in `RNNClassifier.from_torch`.
        """
        regressor, layers = estimator_of_layers(cls, rnn, linear, {"scale_targets": False} | settings)
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
        reducer: Reducer | None = None,
    ) -> Self:
        """Train the network from new initial weights.

        The first Ctrl-C ends training after the iteration it is in, with the last good weights; the second one aborts.

        Parameters
        ----------
        X : array-like of shape (n_sequences, n_steps, n_features) or (n_sequences, n_steps), or list of arrays
            Sequences as in `RNNClassifier.fit`.
        y : array-like of shape (n_sequences,), (n_sequences, k), (n_sequences, n_steps) or (n_sequences, n_steps, k)
            Targets: one value, or k of them, per sequence; or per step, where NaN stands for none, also as a list of
            arrays of shape (n_steps_i,) or (n_steps_i, k).  ``targets`` says which, where the shape does not.
        sample_weight : array-like of shape (n_sequences,), optional
            Weights as in `RNNClassifier.fit`.
        validation_data, resume, reducer
            As in `RNNClassifier.fit`.

        Returns
        -------
        RNNRegressor
            The estimator itself.

        Raises
        ------
        ValueError, TypeError
            If an argument or a setting is not usable; nothing has been trained then.
        """
        return self._fit(X, y, sample_weight, validation_data, resume, reducer)

    @available_if(can_go_on)
    def partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train on from where the last call of `fit` or `partial_fit` has ended: one pass over these sequences.

        As `RNNClassifier.partial_fit`.  The first call's targets say how all are scaled.

        Parameters
        ----------
        X : array-like or list of arrays
            Sequences as in `fit`; with ``stateful=True`` as many as in the call before.
        y : array-like or list of arrays
            Targets as in `fit`, with as many values per target.
        sample_weight : array-like or list of arrays, optional
            Weights as in `fit`, but relative to the mean over the targets of all calls so far, of which the last 1,600
            count.

        Returns
        -------
        RNNRegressor
            The estimator itself.

        Raises
        ------
        ValueError, TypeError
            If an argument or a setting is not usable; nothing has been trained then.
        """
        names = ("target_mean_", "target_scale_", "_single")
        known = {name: getattr(self, name) for name in names} if hasattr(self, names[0]) else None
        return self._partial_fit(X, y, sample_weight, known)

    def _read_targets(
        self,
        y: Any,
        sample_weight: ArrayLike | None,
        sequences: Sequences,
        settings: EstimatorSettings,
        loss: AnyLoss,
        known: dict[str, Any] | None = None,
        agree: Agree | None = None,
    ) -> tuple[Targets, dict[str, Any]]:
        if loss.takes_labels:
            raise ValueError(f"loss is {self.loss!r}, which takes class numbers; pass one of values, or RNNClassifier")
        validation.check_boolean("scale_targets", self.scale_targets)
        lengths = sequences.lengths
        values, present, form, single = check_values(
            y,
            lengths,
            targets=self._what_targets_are(known),
            stateful=settings.stateful,
            sequences=sequences,
            dtype=None,
        )
        weights = weights_of_present(check_sample_weight(sample_weight, lengths, per_step=form != "sequence"), present)
        check_weights_of_score(weights, slice(None))
        of_all = None if agree is None else agree_on_values(agree, values, weights, single=single)
        mean: FloatArray = np.zeros(values.shape[1])
        deviation: FloatArray = np.ones(values.shape[1])
        if known is not None:
            check_n_outputs(values.shape[1], len(known["target_mean_"]))
            mean, deviation, single = known["target_mean_"], known["target_scale_"], known["_single"]
        elif self.scale_targets:
            mean, deviation = mean_and_deviation(values, weights) if of_all is None else of_all
        values = scaled_values(values, weights, mean, deviation, settings.dtype)
        attributes = {"target_mean_": mean, "target_scale_": deviation, "_single": single}
        return Targets(values, weights, form, values.shape[1]), attributes

    def predict(self, X: ArrayLike) -> Array:
        """Return the value of every sequence, or of every step if ``y`` had one for each.

        Parameters
        ----------
        X : array-like or list of arrays
            Sequences as in `fit`.

        Returns
        -------
        ndarray of shape (n_sequences,), (n_sequences, k), (n_sequences, n_steps) or (n_sequences, n_steps, k)
            Predictions in the form that ``y`` had.  If there is a value for each step and lengths differ, here or in
            `fit`, the result is an array of n_sequences objects, which are arrays of shape (n_steps_i,) or (n_steps_i,
            k).

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        ValueError, TypeError
            If X does not fit the estimator, or is not finite, or is so large that outputs are not.
        """
        return self._in_the_form_of_targets(*self._predicted(X, self._answers))

    def _answers(self, outputs: FloatArray) -> FloatArray:
        """Predictions of a network with these outputs."""
        values = self._values(outputs)
        return values[:, 0] if self._single else values

    def _values(self, outputs: FloatArray) -> FloatArray:
        return self.target_mean_ + self.target_scale_ * outputs

    def trace(self, x: ArrayLike, layer: int | None = None) -> Trace:
        """Return the `Trace` of one sequence, with the states of a layer, counted from 1, or the last; for pictures."""
        trace = self._trace(x, layer)
        return replace(trace, outputs=self._values(trace.outputs))

    def _answer(self) -> Answer:
        return Answer("values", self.target_mean_, self.target_scale_, self._single)

    def forecast(
        self,
        history: ArrayLike,
        horizon: int,
        future_inputs: ArrayLike | None = None,
        *,
        target_features: Sequence[int | str] | int | str | None = None,
        state: StreamState | None = None,
        quantiles: ArrayLike | None = None,
        n_paths: int = 500,
        residuals: ArrayLike | None = None,
        random_state: RandomState = None,
    ) -> NDArray[np.float64]:
        """Predict the observations that follow a series, by reading predictions as if they had been observed.

        For a model whose targets are some features of the next observations, or all: those after each step, or the one
        after each sequence.  The other features are inputs that are known in advance, such as calendars and prices.

        Parameters
        ----------
        history : array-like of shape (n_steps, n_features) or (n_series, n_steps, n_features), or list of arrays
            Observations up to the forecast: one series, or several, of any lengths in a list of arrays (n_steps_i,
            n_features).  With one feature the last axis may be missing, and two dimensions are several series if there
            is more than one column.
        horizon : int
            Number of observations to predict, >= 1.
        future_inputs : array-like of shape (n_steps, n_inputs) or (n_series, n_steps, n_inputs), or list, optional
            Values of the features that are not targets, in their order, at the steps that follow ``history``: row h is
            read together with the h-th prediction, so that at least ``horizon - 1`` rows are needed; further rows are
            not read.  If there are such features and this is None, they stay what they are at the end of ``history``,
            with a warning.
        target_features : list of int or str, optional
            Features that the targets are, in the order of the targets: indices, or names if ``feature_names_in_`` or
            the data frames of ``history`` have them.  By default these are the first features.  An empty list says that
            targets are not features; then all features are inputs.
        state : StreamState, optional
            State of the streams of all series, such as ``stream.state``; ``history`` is what follows, one observation
            or more.  None starts from s_0.
        quantiles : array-like of float, optional
            Numbers between 0 and 1 that increase, such as (0.1, 0.5, 0.9).  If they are given, the result are these
            quantiles of ``n_paths`` simulated forecasts, in each of which a residual, drawn at random, is added to
            every prediction before it is read.
        n_paths : int, default=500
            Number of simulated forecasts of each series, >= 1.
        residuals : array-like of shape (n_steps,) or (n_steps, k), optional
            Errors of one-step predictions on other data, observed minus predicted, which are drawn from.  By default
            those of each series in ``history`` after its first tenth, which are too small if the network was trained on
            it.
        random_state : int, RandomState or None, default=None
            Seed for these draws.

        Returns
        -------
        ndarray of shape (horizon, k) or (n_series, horizon, k)
            Predicted values in the form of ``y``: k values per step, without the last axis if ``y`` had none.  The
            first row is what `predict` returns for ``history`` after its last step; each further row is the prediction
            for the series with all predictions before it at its end.  With ``quantiles`` there is a last axis for them.

        Warns
        -----
        UserWarning
            If inputs stay what they are because ``future_inputs`` is None.

        Raises
        ------
        ValueError, TypeError
            If the model has more targets than features, an argument does not fit, or the forecast overflows.

        Examples
        --------
        >>> import numpy as np
        >>> from admmirnn import RNNRegressor
        >>> waves = np.sin(0.3 * np.arange(60) + np.arange(40)[:, None])
        >>> model = RNNRegressor(hidden_size=16, random_state=0).fit(waves[:, :-1], waves[:, 1:])
        >>> model.forecast(waves[0], horizon=5).shape
        (5,)
        >>> model.forecast(waves[0], horizon=5, quantiles=(0.1, 0.9), random_state=0).shape
        (5, 2)
        """
        network = self._network()
        n_features, K = self._n_channels(network), network.n_outputs
        names = names_of_features(history, self._names_of_features)
        targets = check_target_features(target_features, K, n_features, names, type(self).__name__)
        horizon = validation.check_integer("horizon", horizon, 1)
        history = histories_in_order(history, self._names_of_features)
        series, is_one = check_history(
            history, n_features, self._frame[0], network.dtype, self._scale, self._standard, self._gaps
        )
        state = check_state_of_series(state, len(series))
        inputs = np.setdiff1d(np.arange(n_features), targets)
        values = check_future_inputs(future_inputs, len(series), is_one, horizon, len(inputs))
        if values is None and len(inputs) and horizon > 1:
            warn_of_kept_inputs(inputs)
        known = Known(targets, inputs, values)
        n_paths = validation.check_integer("n_paths", n_paths, 1)
        generator = validation.check_random_state(random_state)
        if residuals is not None:
            residuals = check_residuals(residuals, K)
        disturbances = None
        if quantiles is not None:
            levels = check_quantiles(quantiles)
            drawn = self._residuals(series, known, residuals)
            disturbances = sampled(drawn, n_paths, horizon, generator)
        found = forecast(self._stream, series, horizon, known, K, state=state, disturbances=disturbances)
        if quantiles is None:
            found = found[:, 0]
        else:
            found = np.moveaxis(np.quantile(found, levels, axis=1), 0, -1)
        found = found[:, :, 0] if self._single else found
        return found[0] if is_one else found

    def _residuals(self, series: list[Array], known: Known, residuals: FloatArray | None) -> list[FloatArray]:
        """Residuals to draw from, for each series."""
        if residuals is not None:
            return [residuals] * len(series)
        if not len(known.targets):
            raise ValueError(
                "residuals is None and target_features is empty, so that history does not hold the targets that errors "
                "are computed from; pass residuals"
            )
        found = residuals_of(self._stream, series, known)
        for i, of_one in enumerate(found):
            if not len(of_one):
                raise ValueError(
                    f"history[{i}] is too short to compute residuals from; pass a longer one, or residuals"
                )
        return found

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the coefficient of determination R^2 of `predict`, over all sequences or all steps with a target.

        Parameters
        ----------
        X : array-like or list of arrays
            Sequences as in `fit`.
        y : array-like or list of arrays
            True values, as in `fit`.
        sample_weight : array-like of shape (n_sequences,), optional
            Weights of the sequences, or of the steps as in `fit`.

        Returns
        -------
        float
            Coefficient of determination, at most 1; always answering the mean has 0.

        Raises
        ------
        ValueError, TypeError
            As in `predict`, or if y or ``sample_weight`` does not belong to X.
        """
        from sklearn.metrics import r2_score  # here: it is slow to import

        check_is_fitted(self)
        check_y_is_there(self, y)
        X, y, sample_weight = by_series(X, y, sample_weight)
        predicted, lengths = self._predicted(X, self._values)
        per_step = self._form_of_targets != "sequence"
        values, present, _, _ = check_values(y, lengths, targets="step" if per_step else "sequence")
        if values.shape[1] != predicted.shape[1]:
            found, due = values.shape[1], predicted.shape[1]
            raise ValueError(f"y has {found} value(s) per target and {due} are predicted; pass targets as in fit")
        weights = check_weights_of_score(check_sample_weight(sample_weight, lengths, per_step=per_step), present)
        return float(r2_score(values[present], predicted[present], sample_weight=weights))


def check_n_outputs(found: int, expected: int) -> None:
    """Raise unless targets have as many values as before."""
    if found != expected:
        raise ValueError(
            f"y has {found} value(s) per target, and had {expected} when training began; pass the same number"
        )
