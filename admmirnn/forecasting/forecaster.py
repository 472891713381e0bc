"""Forecaster: predicts how series go on, in their own units, with intervals."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError

from admmirnn import validation
from admmirnn._typing import Array, FloatArray, RandomState, Self
from admmirnn.estimators import RNNRegressor
from admmirnn.forecasting.windows import cut, read_inputs, read_series, read_static, rows_of, targets_of
from admmirnn.losses import Quantiles
from admmirnn.recursion import Known, check_quantiles, forecast, sampled

_SCORES_OF_A_BLOCK = 100  # of steps of the horizon that share what calibrates them
_MOST_ORIGINS = 60
_SHARE_OF_UPDATE = 0.2
_WINDOWS_OF_A_BATCH, _ITERATIONS, _LEAST_EPOCHS = 32, 400, 10  # of the default network


@dataclass
class _Series:
    """A series with what is known beside it; ``z`` in the units of the user, ``inputs`` of these steps and more."""

    z: FloatArray
    inputs: FloatArray
    static: FloatArray

    def until(self, end: int) -> _Series:
        return _Series(self.z[:end], self.inputs, self.static)


class Forecaster(BaseEstimator):
    """Forecasts of one or several series by a recurrent network, with known inputs, transformers and intervals.

    A network is trained on windows of the series to tell what follows each of their steps: the next value, which it
    then reads as if it had been observed, or with ``horizon`` so many values at once.

    Parameters
    ----------
    regressor : RNNRegressor, optional
        The network, which is cloned.  By default ``RNNRegressor(hidden_size=32, cell="gru")`` with as many epochs as
        make some 400 minibatches of up to 32 windows, at least 10.
    n_networks : int, default=1
        Number of networks, >= 1, that are trained from different seeds.  Forecasts are the means of their forecasts;
        simulated paths come from each network in turn.
    horizon : int or None, default=None
        Number of values that the network predicts at each step; forecasts may be shorter.  None predicts one value at a
        time, which the network then reads, up to the horizon that is asked for.
    quantiles : sequence of float or None, default=None
        Levels of the quantiles that the network predicts for each value of the horizon, instead of its mean: the loss
        is `admmirnn.losses.Quantiles`, and 0.5 is among them.  The answers are sorted, so that they do not cross.
        ``horizon`` must be given, and no transformer may take differences.
    transformers : sequence, default=()
        Transformers, such as `Difference` and `Log`, in the order in which they are applied to a series.
    window, stride : int, default=100, 10
        Number of steps of a training sequence, and number of steps between the starts of two.  A forecast reads the
        ``window`` steps before it.
    burn_in : int, default=20
        Number of steps at the beginning of a training sequence that have no target, because states have to build up;
        less than ``window``.
    calibration : int, default=0
        Number of steps at the end of each series that are kept from training, for the errors that intervals are made
        of.  0 takes the errors on the training data, which are too small.
    refit : bool, default=True
        Whether, with ``calibration``, further networks are trained on all steps and make the forecasts; the errors are
        those of the networks that have not seen the last steps.
    conformal : bool, default=False
        Whether quantiles are moved by what they have missed in the calibration steps (split-conformal calibration, for
        each quantile on its own); this needs ``calibration``, at least as long as forecasts are.
    noise : float, default=0.0
        Standard deviation, >= 0, of noise that is added to what the network reads in training, in standard deviations
        of the series.  It teaches the network to recover from its own errors.
    random_state : int, RandomState or None, default=None
        Seed for noise and paths, and for the network unless it has its own.

    Attributes
    ----------
    regressors_ : list of RNNRegressor
        Fitted networks.
    mean_, deviation_ : ndarray
        Means and standard deviations of the columns that the network reads.
    residuals_ : ndarray of shape (n, horizon or 1, k)
        Errors of the transformed values: observed minus predicted.

    Examples
    --------
    >>> import numpy as np
    >>> from admmirnn.forecasting import Forecaster
    >>> t = np.arange(400)
    >>> z = np.sin(0.2 * t) + 0.1 * np.random.default_rng(0).normal(size=400)
    >>> forecaster = Forecaster(window=50, random_state=0).fit(z)
    >>> forecaster.forecast(10).shape
    (10,)
    >>> forecaster.forecast(10, quantiles=(0.1, 0.9)).shape
    (10, 2)
    """

    mean_: Any
    deviation_: Array
    n_values_: Any
    n_inputs_: Any
    regressors_: list[RNNRegressor]

    def __init__(
        self,
        regressor: RNNRegressor | None = None,
        *,
        n_networks: int = 1,
        horizon: int | None = None,
        quantiles: Sequence[float] | None = None,
        transformers: Sequence[Any] = (),
        window: int = 100,
        stride: int = 10,
        burn_in: int = 20,
        calibration: int = 0,
        refit: bool = True,
        conformal: bool = False,
        noise: float = 0.0,
        random_state: RandomState = None,
    ) -> None:
        self.regressor = regressor
        self.n_networks = n_networks
        self.horizon = horizon
        self.quantiles = quantiles
        self.transformers = transformers
        self.window = window
        self.stride = stride
        self.burn_in = burn_in
        self.calibration = calibration
        self.refit = refit
        self.conformal = conformal
        self.noise = noise
        self.random_state = random_state

    def fit(self, series: ArrayLike, inputs: ArrayLike | None = None, static: ArrayLike | None = None) -> Self:
        """Train the networks on one or several series.

        Parameters
        ----------
        series : array-like of shape (n_steps,) or (n_steps, k), (n_series, n_steps, k), or list of arrays
            One series, or several of any lengths, without gaps.
        inputs : array-like of shape (n_steps, m), or list of arrays, optional
            Inputs that are known in advance, such as the calendar: one row for each step of the series.  Further rows
            are ignored in training.
        static : array-like of shape (q,), or (n_series, q), optional
            Features of each series that are the same at all of its steps.

        Returns
        -------
        Forecaster
            The forecaster itself.

        Raises
        ------
        ValueError, TypeError
            If an argument or a setting is not usable; nothing has been trained then.
        """
        check_forecaster(self)
        found, is_one, single = self._read("series", series, inputs, static)
        self._check_long_enough(found)
        training = [one.until(len(one.z) - self.calibration) for one in found]
        rows = [self._rows(one) for one in training]
        everything = np.vstack(rows)
        mean, deviation = everything.mean(axis=0), everything.std(axis=0)
        self.mean_, self.deviation_ = mean, np.where(deviation > 1e-12 * np.abs(everything).max(axis=0), deviation, 1.0)
        self.n_values_, self.n_inputs_ = found[0].z.shape[1], found[0].inputs.shape[1]
        self._single, self._series, self._is_one = single, found, is_one
        X, y = self._windows(training)
        self._calibrators = [self._new_regressor(i, len(X)).fit(X, y) for i in range(self.n_networks)]
        self.regressors_ = self._calibrators
        if self.refit and self.calibration:
            X, y = self._windows(found)
            self.regressors_ = [self._new_regressor(i, len(X)).fit(X, y) for i in range(self.n_networks)]
        self._calibrate()
        return self

    def update(self, series: ArrayLike, inputs: ArrayLike | None = None, static: ArrayLike | None = None) -> Self:
        """Train on for one pass over the windows of these series, from which forecasts start then.

        Parameters
        ----------
        series, inputs, static
            Series and what belongs to them, as in `fit`, with all that is known by now.  Training uses the windows at
            the ends of longer series, as many as a fifth of all.

        Returns
        -------
        Forecaster
            The forecaster itself.

        Raises
        ------
        ValueError, TypeError
            As in `fit`; the forecaster has not changed then.
        """
        self._check_fitted()
        found, is_one, _ = self._read("series", series, inputs, static)
        self._check_like_fitted(found)
        self._check_long_enough(found)
        training = [one.until(len(one.z) - self.calibration) for one in found]
        X, y = self._windows(training, share=_SHARE_OF_UPDATE)
        for regressor in self._calibrators:
            regressor.partial_fit(X, y)
        if self.regressors_ is not self._calibrators:
            X, y = self._windows(found, share=_SHARE_OF_UPDATE)
            for regressor in self.regressors_:
                regressor.partial_fit(X, y)
        self._series, self._is_one = found, is_one
        self._calibrate()
        return self

    def forecast(
        self,
        horizon: int | None = None,
        future_inputs: ArrayLike | None = None,
        *,
        series: ArrayLike | None = None,
        inputs: ArrayLike | None = None,
        static: ArrayLike | None = None,
        quantiles: ArrayLike | None = None,
        n_paths: int = 300,
        random_state: RandomState = None,
    ) -> NDArray[np.float64]:
        """Predict what follows the series.

        Parameters
        ----------
        horizon : int, optional
            Number of steps, >= 1; by default, and at most, the setting ``horizon``, if it is given.
        future_inputs : array-like of shape (horizon, m), or list of arrays, optional
            Inputs of the steps that follow, if there were inputs in `fit`.  By default the rows of ``inputs`` that go
            beyond the series, if there are enough.
        series, inputs, static : optional
            Series to continue, as in `fit`; by default those of the last `fit` or `update`.
        quantiles : array-like of float, optional
            Numbers between 0 and 1 that increase: levels of quantiles that are returned instead of the mean (or, with
            the setting ``quantiles``, instead of the median).  With that setting they must be among its levels.
        n_paths : int, default=300
            Number of paths that are simulated to estimate quantiles, without the setting ``quantiles``.
        random_state : int, RandomState or None, default=None
            Seed for these paths; None takes the setting.

        Returns
        -------
        ndarray of shape (horizon,), (horizon, k), or (n_series, horizon[, k])
            Forecast in the form of ``series``, with a last axis for quantiles.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit.
        """
        self._check_fitted()
        horizon = self._horizon(horizon)
        validation.check_integer("n_paths", n_paths, 1)
        if series is None:
            if inputs is not None or static is not None:
                raise ValueError("inputs or static is given without series; pass what they belong to")
            found, is_one = self._series, self._is_one
        else:
            found, is_one, _ = self._read("series", series, inputs, static)
            self._check_like_fitted(found)
        found = self._with_future(found, is_one, horizon, future_inputs)
        state = validation.check_random_state(self.random_state if random_state is None else random_state)
        if quantiles is None:
            values: Any = self._points(found, horizon)
        else:
            levels = check_quantiles(quantiles)
            values = self._quantiles(found, horizon, levels, n_paths, state)
            if self.conformal:
                values = np.sort(values + self._corrections(horizon, levels), axis=-1)
        values = values[:, :, 0] if self._single else values
        result: NDArray[np.float64] = values[0] if is_one else values
        return result

    # what is read

    def _read(self, name: str, series: Any, inputs: Any, static: Any) -> tuple[list[_Series], bool, bool]:
        found, is_one, single = read_series(name, series)
        of_inputs = read_inputs("inputs", inputs, [len(z) for z in found], is_one)
        of_static = read_static(static, len(found), is_one)
        return [_Series(*one) for one in zip(found, of_inputs, of_static, strict=True)], is_one, single

    def _n_lost(self) -> int:
        return sum(transformer.n_lost for transformer in self.transformers)

    def _transformed(self, z: FloatArray) -> list[FloatArray]:
        """The series before and after each transformer."""
        found = [z]
        for transformer in self.transformers:
            found.append(transformer.transform(found[-1]))
        return found

    def _restored(self, values: FloatArray, stages: list[FloatArray]) -> FloatArray:
        """Values that follow a series, (..., horizon, k), in its units."""
        for transformer, before in zip(reversed(self.transformers), reversed(stages[:-1]), strict=True):
            values = transformer.inverse_transform(values, before)
        return values

    def _rows(self, one: _Series) -> FloatArray:
        """What the network reads at each step of a transformed series, unscaled."""
        z = self._transformed(one.z)[-1]
        return rows_of(z, one.inputs[self._n_lost() :], one.static, self.horizon or 1)

    def _scaled(self, rows: FloatArray) -> FloatArray:
        found: FloatArray = (rows - self.mean_) / self.deviation_
        return found

    def _new_regressor(self, number: int, n_windows: int) -> RNNRegressor:
        settings: dict[str, Any] = {"targets": "step"}
        if self.regressor is None:
            batch_size = min(n_windows, _WINDOWS_OF_A_BATCH)
            epochs = max(_LEAST_EPOCHS, -(-_ITERATIONS * batch_size // n_windows))
            regressor = RNNRegressor(32, cell="gru", batch_size=batch_size, max_epochs=epochs)
        else:
            regressor = clone(self.regressor)
        seed = self.random_state if regressor.random_state is None else regressor.random_state
        settings["random_state"] = seed + number if isinstance(seed, (int, np.integer)) else seed
        if self.quantiles is not None:
            settings["loss"] = Quantiles(self.quantiles)
        found: RNNRegressor = regressor.set_params(**settings)
        return found

    def _windows(self, series: list[_Series], share: float = 1.0) -> tuple[list[FloatArray], list[FloatArray]]:
        random_state = validation.check_random_state(self.random_state)
        X, y = [], []
        k = self.n_values_
        for one in series:
            z = self._transformed(one.z)[-1]
            rows = self._scaled(self._rows(one))
            targets = targets_of(z, self.horizon or 1)[: len(rows)]
            if self.quantiles is not None:
                targets = np.repeat(targets, len(self.quantiles), axis=1)
            pieces = cut(rows, targets, self.window, self.stride, self.burn_in)
            for x, values in pieces[: max(1, round(share * len(pieces)))]:
                x = x.copy()
                x[:, :k] += self.noise * random_state.standard_normal((len(x), k))
                X.append(x)
                y.append(values)
        return X, y

    def _with_future(self, found: list[_Series], is_one: bool, horizon: int, future_inputs: Any) -> list[_Series]:
        """The series with inputs of as many steps as the network reads."""
        if not self.n_inputs_:
            if future_inputs is not None:
                raise ValueError("future_inputs is given, and fit had no inputs; leave it out")
            return found
        if future_inputs is not None:
            future = read_inputs("future_inputs", future_inputs, [horizon] * len(found), is_one)
            found = [
                _Series(one.z, np.vstack([one.inputs[: len(one.z)], more]), one.static)
                for one, more in zip(found, future, strict=True)
            ]
        n_read = self.horizon or horizon  # the network tells all of its horizon
        complete = []
        for one in found:
            missing = len(one.z) + horizon - len(one.inputs)
            if missing > 0:
                raise ValueError(
                    f"inputs of {missing} of the {horizon} steps that follow are missing; pass future_inputs"
                )
            more = max(0, len(one.z) + n_read - len(one.inputs))
            kept = np.repeat(one.inputs[-1:], more, axis=0)  # of steps that are not asked for
            complete.append(_Series(one.z, np.vstack([one.inputs, kept]), one.static))
        return complete

    # what is forecast

    def _points(self, found: list[_Series], horizon: int) -> FloatArray:
        """Means or medians, (n_series, horizon, k)."""
        if self.horizon is None:
            means: FloatArray = self._paths(found, horizon, None).mean(axis=1)
            return means
        outputs = self._direct(found)
        if self.quantiles is not None:
            outputs = outputs[..., list(self.quantiles).index(0.5)]
        stages = [self._transformed(one.z) for one in found]
        return np.stack([self._restored(o[:horizon], stage) for o, stage in zip(outputs, stages, strict=True)])

    def _quantiles(
        self, found: list[_Series], horizon: int, levels: FloatArray, n_paths: int, state: np.random.RandomState
    ) -> FloatArray:
        """Quantiles before they are calibrated, (n_series, horizon, k, n_levels)."""
        if self.quantiles is not None:
            own = np.round(self.quantiles, 12)
            which = [int(np.flatnonzero(own == level)[0]) for level in check_levels(levels, own)]
            outputs = self._direct(found)[:, :horizon][..., which]
            stages = [self._transformed(one.z) for one in found]
            restored = [self._restored(np.moveaxis(o, -1, 0), stage) for o, stage in zip(outputs, stages, strict=True)]
            found_quantiles: FloatArray = np.moveaxis(np.stack(restored), 1, -1)
            return found_quantiles
        if not len(self.residuals_):
            raise ValueError(
                f"calibration is {self.calibration}, fewer steps than the {self.horizon or 1} that the network "
                "predicts, so that there are no errors to make quantiles of; fit with more of them"
            )
        if self.horizon is None:
            residuals = [self.residuals_[:, 0]] * len(found)
            paths = self._paths(found, horizon, sampled(residuals, n_paths, horizon, state))
        else:
            drawn = self.residuals_[state.randint(len(self.residuals_), size=(len(found), n_paths)), :horizon]
            values = self._direct(found)[:, None, :horizon] + drawn
            stages = [self._transformed(one.z) for one in found]
            paths = np.stack([self._restored(v, stage) for v, stage in zip(values, stages, strict=True)])
        return np.moveaxis(np.quantile(paths, levels, axis=1), 0, -1)

    def _paths(self, found: list[_Series], horizon: int, disturbances: FloatArray | None) -> FloatArray:
        """Forecasts that read themselves, (n_series, n_paths, horizon, k); without disturbances one of each network."""
        k, lost = self.n_values_, self._n_lost()
        histories, values, stages = [], [], []
        for one in found:
            stages.append(self._transformed(one.z))
            rows = self._scaled(rows_of(stages[-1][-1], one.inputs[lost:], one.static, 1))
            histories.append(rows[-self.window :])
            following = one.inputs[len(one.z) + 1 : len(one.z) + horizon]
            values.append((following - self.mean_[k : k + self.n_inputs_]) / self.deviation_[k : k + self.n_inputs_])
        known = Known(
            targets=np.arange(k),
            inputs=np.arange(k, k + self.n_inputs_),
            values=np.stack(values) if self.n_inputs_ else None,
        )
        shares: Any = [None] * self.n_networks
        if disturbances is not None:
            shares = np.array_split(disturbances / self.deviation_[:k], self.n_networks, axis=1)
        pieces = []
        for regressor, share in zip(self.regressors_, shares, strict=True):
            if share is None or share.shape[1]:
                stream_of = _ReadsItself(regressor, self.mean_[:k], self.deviation_[:k])
                pieces.append(forecast(stream_of, histories, horizon, known, k, disturbances=share))
        outputs = np.concatenate(pieces, axis=1) * self.deviation_[:k] + self.mean_[:k]
        return np.stack([self._restored(o, stage) for o, stage in zip(outputs, stages, strict=True)])

    def _direct(self, found: list[_Series]) -> FloatArray:
        """Predictions after the last step, (n_series, horizon, k), with sorted quantiles as a last axis."""
        rows = [self._scaled(self._rows(one))[-self.window :] for one in found]
        outputs = np.stack([self._predicted(x)[-1] for x in rows])
        assert self.horizon is not None
        shape = (len(found), self.horizon, self.n_values_)
        if self.quantiles is None:
            return outputs.reshape(shape)
        return np.sort(outputs.reshape(*shape, len(self.quantiles)), axis=-1)

    # intervals

    def _calibrate(self) -> None:
        """Find the residuals."""
        if self.quantiles is None:
            calibrated = self._with_calibrators()
            self.residuals_: FloatArray = np.concatenate([calibrated._residuals_of(one) for one in self._series])
        else:
            self.residuals_ = np.zeros((0, 1, self.n_values_))

    def _with_calibrators(self) -> Forecaster:
        """The forecaster with the networks that have not seen the calibration steps."""
        found = copy.copy(self)
        found.regressors_ = self._calibrators
        return found

    def _predicted(self, rows: FloatArray) -> FloatArray:
        """Mean of what the networks predict at each step, (n_steps, n_outputs)."""
        each = [np.asarray(regressor.predict([rows])[0]).reshape(len(rows), -1) for regressor in self.regressors_]
        found: FloatArray = np.mean(each, axis=0)
        return found

    def _residuals_of(self, one: _Series) -> FloatArray:
        """Errors of predictions at each step of the calibration data, or of all data after the burn-in."""
        horizon = self.horizon or 1
        z, rows = self._transformed(one.z)[-1], self._scaled(self._rows(one))
        targets = targets_of(z, horizon)[: len(rows)]
        predicted = self._predicted(rows)
        first = len(z) - self.calibration if self.calibration else min(self.burn_in, (len(z) - horizon) // 2)
        error = (targets - predicted)[max(first - 1, 0) :]
        error = error[np.isfinite(error).all(axis=1)]
        found: FloatArray = error.reshape(len(error), horizon, self.n_values_)
        return found

    def _corrections(self, horizon: int, levels: FloatArray) -> FloatArray:
        """What calibrates quantiles, (horizon, k, n_levels): that of what was observed minus the quantile."""
        if horizon > self.calibration:
            raise ValueError(
                f"conformal is True, and calibration of {self.calibration} steps is shorter than the horizon of "
                f"{horizon}; fit with more of them"
            )
        scores, calibrated = [], self._with_calibrators()
        state = np.random.RandomState(0)
        for one in self._series:
            n = len(one.z)
            origins = np.arange(n - self.calibration, n - horizon + 1)
            for end in np.unique(np.linspace(0, len(origins) - 1, min(len(origins), _MOST_ORIGINS)).astype(int)):
                until = self._with_future([one.until(int(origins[end]))], True, horizon, None)
                found = calibrated._quantiles(until, horizon, levels, 200, state)[0]
                scores.append(one.z[origins[end] : origins[end] + horizon, :, None] - found)
        return conformal_corrections(np.stack(scores), levels)

    # checks

    def _horizon(self, horizon: Any) -> int:
        if horizon is None and self.horizon is not None:
            return int(self.horizon)
        found = validation.check_integer("horizon", horizon, 1)
        if self.horizon is not None and found > self.horizon:
            raise ValueError(
                f"horizon is {found}, but the network predicts {self.horizon} steps; pass a smaller horizon, or fit "
                "with a larger one"
            )
        return found

    def _check_fitted(self) -> None:
        if not hasattr(self, "regressors_"):
            raise NotFittedError("this Forecaster is not fitted yet; call fit first")

    def _check_long_enough(self, found: list[_Series]) -> None:
        shortest = min(len(one.z) for one in found) - self.calibration - self._n_lost()
        if shortest <= (self.horizon or 1) + 1:
            raise ValueError(
                f"a series has {shortest} steps besides those for calibration and differences, and the horizon is "
                f"{self.horizon or 1}; pass longer series"
            )

    def _check_like_fitted(self, found: list[_Series]) -> None:
        n_read = self.mean_.shape[0] - self.n_values_ - self.n_inputs_ * (self.horizon or 1)
        expected = self.n_values_, self.n_inputs_, n_read
        for one in found:
            columns = one.z.shape[1], one.inputs.shape[1], len(one.static)
            for name, own, due in zip(("series", "inputs", "static"), columns, expected, strict=True):
                if own != due:
                    raise ValueError(f"{name} has {own} column(s) and had {due} in fit; pass the same columns")
            if len(one.z) <= self._n_lost():
                raise ValueError(
                    f"series has {len(one.z)} steps, of which differences use up {self._n_lost()}; pass more steps"
                )


class _ReadsItself:
    """Makes streams of a regressor whose answers are the features that it reads next."""

    def __init__(self, regressor: RNNRegressor, mean: FloatArray, deviation: FloatArray) -> None:
        self.regressor, self.mean, self.deviation = regressor, mean, deviation

    def __call__(self, n_streams: int) -> Any:
        own = self.regressor._answer()
        assert own.mean is not None and own.deviation is not None
        answer = replace(
            own, mean=(own.mean - self.mean) / self.deviation, deviation=own.deviation / self.deviation, single=False
        )
        return self.regressor.stream_with(answer, n_streams)


def conformal_corrections(scores: FloatArray, levels: FloatArray) -> FloatArray:
    """Of each level the quantile of scores, with the correction for their number; steps of a horizon share them.

    Parameters
    ----------
    scores : ndarray of shape (n_origins, horizon, k, n_levels)
        Observed values minus the quantiles.
    levels : ndarray of shape (n_levels,)
        Levels of the quantiles.

    Returns
    -------
    ndarray of shape (horizon, k, n_levels)
        Numbers to add to the quantiles.
    """
    n, horizon, k, n_levels = scores.shape
    n_blocks = max(1, min(horizon, n * horizon // _SCORES_OF_A_BLOCK))
    found = np.empty((horizon, k, n_levels))
    for block in np.array_split(np.arange(horizon), n_blocks):
        of_block = np.moveaxis(scores[:, block], 2, 0).reshape(k, -1, n_levels)
        m = of_block.shape[1]
        for j, level in enumerate(levels):
            corrected = level * (m + 1) / m if level > 0.5 else (level * (m + 1) - 1) / m if level < 0.5 else level
            found[block, :, j] = np.quantile(of_block[:, :, j], min(max(corrected, 0.0), 1.0), axis=1)
    return found


def check_levels(levels: FloatArray, own: FloatArray) -> FloatArray:
    """Return levels, rounded, or raise unless the network predicts all of them."""
    levels = np.round(levels, 12)
    missing = np.setdiff1d(levels, own)
    if len(missing):
        raise ValueError(
            f"quantiles has {missing.tolist()}, but the network predicts {own.tolist()}; pass some of these, or fit a "
            "forecaster with other quantiles"
        )
    return levels


def check_forecaster(forecaster: Forecaster) -> None:
    """Raise unless the settings make sense."""
    f = forecaster
    if f.regressor is not None and not isinstance(f.regressor, RNNRegressor):
        raise TypeError(f"regressor is of type {type(f.regressor).__name__}; pass an RNNRegressor, or None")
    if f.horizon is not None:
        validation.check_integer("horizon", f.horizon, 1, alternatives=", or None")
    for name, least in (("n_networks", 1), ("window", 2), ("stride", 1), ("burn_in", 0), ("calibration", 0)):
        validation.check_integer(name, getattr(f, name), least)
    if f.burn_in >= f.window:
        raise ValueError(f"burn_in is {f.burn_in} and window is {f.window}; pass a smaller burn_in")
    validation.check_number("noise", f.noise)
    validation.check_random_state(f.random_state)
    validation.check_boolean("refit", f.refit)
    if validation.check_boolean("conformal", f.conformal) and not f.calibration:
        raise ValueError("conformal is True and calibration is 0; pass the number of steps to keep for calibration")
    validation.check_length("transformers", f.transformers, "a list of transformers")
    for transformer in f.transformers:
        for name in ("transform", "inverse_transform", "n_lost"):
            if not hasattr(transformer, name):
                raise TypeError(
                    f"transformers has {transformer!r}, which has no {name!r}; pass Difference(), Log() ..."
                )
    regressor = f.regressor
    if regressor is not None and (regressor.bidirectional or regressor.frame not in (None, 1, (1, 1))):
        raise ValueError("regressor is bidirectional, or has a frame; pass one that reads observations one by one")
    if f.quantiles is None:
        return
    levels = check_quantiles(f.quantiles)
    if f.horizon is None:
        raise ValueError("quantiles is given and horizon is None; pass the number of steps that the network predicts")
    if 0.5 not in levels:
        raise ValueError(f"quantiles is {levels.tolist()}; have 0.5 among them, the answer without quantiles")
    for transformer in f.transformers:
        if not getattr(transformer, "keeps_order", False):
            raise ValueError(
                f"quantiles is given and transformers has {transformer!r}: the quantiles of differences are not the "
                "differences of quantiles; leave out one of them"
            )
