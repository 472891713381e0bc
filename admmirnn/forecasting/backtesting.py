"""Backtests: forecasts from several origins of series whose ends are known, and how good they were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone

from admmirnn import validation
from admmirnn._typing import FloatArray, IntArray
from admmirnn.forecasting.windows import read_inputs, read_series, read_static
from admmirnn.recursion import check_quantiles


class OriginSplit(BaseEstimator):
    """Cross-validator for series: it trains on the steps up to an origin, and tests on the steps that follow.

    Unlike `sklearn.model_selection.TimeSeriesSplit` it takes origins that are less than a horizon apart.

    Parameters
    ----------
    horizon : int
        Number of steps to test on, >= 1.
    n_origins : int, default=10
        Number of splits; the last one ends with the series.
    step : int or None, default=None
        Number of steps between two origins; None is the horizon.
    gap : int, default=0
        Number of steps that are left out between the training and the test steps.
    window : int or None, default=None
        Number of steps before an origin to train on; None takes all, so that the window grows.

    Examples
    --------
    >>> from admmirnn.forecasting import OriginSplit
    >>> for train, test in OriginSplit(2, n_origins=2, step=1).split(range(6)):
    ...     print(train, test)
    [0 1 2] [3 4]
    [0 1 2 3] [4 5]
    """

    def __init__(
        self, horizon: int, *, n_origins: int = 10, step: int | None = None, gap: int = 0, window: int | None = None
    ) -> None:
        self.horizon = horizon
        self.n_origins = n_origins
        self.step = step
        self.gap = gap
        self.window = window

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield indices to train and to test on.

        Parameters
        ----------
        X : array-like of shape (n_steps, ...)
            Series, or anything else with that number of steps.
        y, groups : object
            Not used; present for scikit-learn's sake.

        Raises
        ------
        ValueError
            If there are not enough steps.
        """
        horizon = validation.check_integer("horizon", self.horizon, 1)
        n_origins = validation.check_integer("n_origins", self.n_origins, 1)
        step = horizon if self.step is None else validation.check_integer("step", self.step, 1)
        gap = validation.check_integer("gap", self.gap, 0)
        window = None if self.window is None else validation.check_integer("window", self.window, 1)
        n = validation.check_length("X", X, "the steps of a series")
        for origin in range(n - horizon - (n_origins - 1) * step, n - horizon + 1, step):
            end = origin - gap
            if end < (window or 1):
                raise ValueError(
                    f"X has {n} steps, too few for {n_origins} origins that are {step} apart, a horizon of {horizon}, "
                    f"a gap of {gap} and {window or 1} step(s) to train on; ask for fewer"
                )
            yield np.arange(end - window if window else 0, end), np.arange(origin, origin + horizon)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return how many splits there are."""
        return validation.check_integer("n_origins", self.n_origins, 1)


@dataclass
class Backtest:
    """Forecasts from several origins, with the values that were observed.

    Attributes
    ----------
    origins : ndarray of shape (n_origins,)
        Numbers of the first steps that were predicted, counted from the end of each series: -horizon is that of the
        last origin.
    observed, forecasts, naive, seasonal : ndarray of shape (n_origins, n_series, horizon, k)
        Values that were observed, forecasts, the last value before, and the last value of the same season.
    quantiles : ndarray of shape (n_origins, n_series, horizon, k, n_levels)
        Quantiles that were predicted; n_levels may be 0.
    levels : tuple of float
        Levels of the quantiles.
    scores : dict
        Scores by method ("forecast", "naive" and "seasonal") and name: "mae", "rmse" and "mase" (the mean absolute
        error divided by that of the seasonal naive answer within the training steps); and for the forecast "pinball",
        the mean over all levels, and "coverage" and "width" of the interval between the lowest and the highest level.
    """

    origins: IntArray
    observed: FloatArray
    forecasts: FloatArray
    naive: FloatArray
    seasonal: FloatArray
    quantiles: FloatArray
    levels: tuple[float, ...]
    scores: dict[str, dict[str, float]] = field(default_factory=dict)

    def to_frame(self) -> Any:
        """Return the scores as a `pandas.DataFrame`, a row for each of "forecast", "naive" and "seasonal"."""
        from admmirnn.optional import import_optional

        return import_optional("pandas", "pandas", "Backtest.to_frame").DataFrame(self.scores).T


def backtest(
    forecaster: Any,
    series: ArrayLike,
    *,
    split: OriginSplit,
    inputs: ArrayLike | None = None,
    static: ArrayLike | None = None,
    quantiles: ArrayLike | None = None,
    season: int = 1,
    refit: bool | str = True,
) -> Backtest:
    """Forecast from several origins, and compare with what followed.

    Parameters
    ----------
    forecaster : Forecaster, or object with ``fit(series, inputs, static)`` and ``forecast`` as it has them
        Forecaster to test, which is cloned.
    series, inputs, static
        Series and what belongs to them, as in `Forecaster.fit`; the origins are counted from the end of each series.
    split : OriginSplit
        Origins of the forecasts.
    quantiles : array-like of float, optional
        Levels of the quantiles to predict.
    season : int, default=1
        Period of the seasonal naive answer, >= 1.
    refit : bool or "partial", default=True
        Whether a new forecaster is fitted at each origin; False fits at the first one alone, "partial" goes on with
        ``update`` at each of the others.

    Returns
    -------
    Backtest
        Forecasts and scores.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from admmirnn.forecasting import Forecaster, OriginSplit, backtest
    >>> z = np.sin(0.3 * np.arange(300)) + 0.1 * np.random.default_rng(0).normal(size=300)
    >>> found = backtest(Forecaster(window=40, random_state=0), z, split=OriginSplit(5, n_origins=3), refit=False)
    >>> sorted(found.scores["forecast"])
    ['mae', 'mase', 'rmse']
    """
    if not isinstance(refit, (bool, np.bool_)) and not (isinstance(refit, str) and refit == "partial"):
        raise ValueError(f"refit is {refit!r}; pass True, False or 'partial'")
    season = validation.check_integer("season", season, 1)
    levels = () if quantiles is None else tuple(check_quantiles(quantiles).tolist())
    found, is_one, _ = read_series("series", series)
    of_inputs = None if inputs is None else read_inputs("inputs", inputs, [len(z) for z in found], is_one)
    of_static = None if static is None else read_static(static, len(found), is_one)
    validation.check_methods("split", split, ("split", "get_n_splits"), "an OriginSplit")
    validation.check_methods("forecaster", forecaster, ("fit", "forecast", "get_params"), "a Forecaster")
    if refit == "partial":
        validation.check_methods("forecaster", forecaster, ("update",), "a Forecaster, or another refit")
    with validation.naming("series"):
        splits = [list(split.split(z)) for z in found]
    parts: dict[str, list[Any]] = {name: [] for name in ("observed", "forecasts", "naive", "seasonal", "quantiles")}
    scales = []
    model = None
    for o in range(split.get_n_splits()):
        train = [of_series[o][0] for of_series in splits]
        test = [of_series[o][1] for of_series in splits]
        past = [z[rows] for z, rows in zip(found, train, strict=True)]
        given = _given(past, of_inputs, of_static, train, test)
        model, arguments = _at_an_origin(forecaster, model, refit, given)
        gap, horizon = split.gap, split.horizon
        values = model.forecast(gap + horizon, given.future, **arguments)
        parts["forecasts"].append(np.asarray(values)[:, gap:])
        if levels:
            values = model.forecast(gap + horizon, given.future, quantiles=levels, **arguments)
            parts["quantiles"].append(np.asarray(values)[:, gap:])
        else:
            parts["quantiles"].append(np.zeros((*parts["forecasts"][-1].shape, 0)))
        parts["observed"].append(np.stack([z[rows] for z, rows in zip(found, test, strict=True)]))
        parts["naive"].append(np.stack([np.repeat(z[-1:], horizon, axis=0) for z in past]))
        parts["seasonal"].append(np.stack([_seasonal(z, season, gap, horizon) for z in past]))
        scales.append([_scale(z, season) for z in past])
    arrays: dict[str, Any] = {name: np.stack(of_origins) for name, of_origins in parts.items()}
    origins = np.array([rows[0] - len(found[0]) for _, rows in splits[0]])
    result = Backtest(origins, **arrays, levels=levels)
    result.scores = _scores(result, np.array(scales)[:, :, None, :])
    return result


@dataclass
class _Given:
    """What a forecaster is given at an origin: lists, an entry for each series."""

    past: list[FloatArray]
    inputs: list[FloatArray] | None
    future: list[FloatArray] | None
    static: FloatArray | None


def _given(
    past: list[FloatArray], inputs: list[FloatArray] | None, static: FloatArray | None, train: Any, test: Any
) -> _Given:
    if inputs is None:
        return _Given(past, None, None, static)
    of_past = [u[rows] for u, rows in zip(inputs, train, strict=True)]
    future = [u[rows[-1] + 1 : following[-1] + 1] for u, rows, following in zip(inputs, train, test, strict=True)]
    return _Given(past, of_past, future, static)


def _at_an_origin(forecaster: Any, model: Any, refit: bool | str, given: _Given) -> tuple[Any, dict[str, Any]]:
    """The forecaster to ask, and what it is told beside what it was fitted on."""
    arguments = (given.past, given.inputs, given.static)
    if model is None or refit is True:
        return clone(forecaster).fit(*arguments), {}
    if refit == "partial":
        return model.update(*arguments), {}
    return model, {"series": given.past, "inputs": given.inputs, "static": given.static}


def _seasonal(z: FloatArray, season: int, gap: int, horizon: int) -> FloatArray:
    """The last value of the same season, for each step; of short series the first ones are repeated."""
    last = z[-season:] if len(z) >= season else z
    found: FloatArray = last[(gap + np.arange(horizon)) % len(last)]
    return found


def _scale(z: FloatArray, season: int) -> FloatArray:
    lag = season if len(z) > season else 1
    found: FloatArray = np.abs(z[lag:] - z[:-lag]).mean(axis=0) if len(z) > 1 else np.full(z.shape[1], np.nan)
    return found


def _scores(result: Backtest, scales: FloatArray) -> dict[str, dict[str, float]]:
    found = {}
    for name, values in (("forecast", result.forecasts), ("naive", result.naive), ("seasonal", result.seasonal)):
        error = result.observed - values
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = np.abs(error) / scales
        found[name] = {
            "mae": float(np.abs(error).mean()),
            "rmse": float(np.sqrt((error**2).mean())),
            "mase": float(scaled.mean()),
        }
    if result.levels:
        levels, q = np.array(result.levels), result.quantiles
        error = result.observed[..., None] - q
        low, high = q[..., 0], q[..., -1]
        found["forecast"] |= {
            "pinball": float(np.maximum(levels * error, (levels - 1) * error).mean()),
            "coverage": float(((result.observed >= low) & (result.observed <= high)).mean()),
            "width": float((high - low).mean()),
        }
    return found
