"""Forecasters against naive loops, transformers that are undone, splits in time, and backtests that see no future."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import TimeSeriesSplit

from admmirnn import RNNRegressor, backend
from admmirnn.forecasting import Difference, Forecaster, Log, OriginSplit, backtest
from admmirnn.forecasting.forecaster import conformal_corrections
from admmirnn.forecasting.windows import cut, rows_of, targets_of
from admmirnn.losses import Quantile, Quantiles

RNG = np.random.default_rng
SMALL = RNNRegressor(8, max_epochs=3, dtype="float64")


def quick(**settings):
    return Forecaster(**{"regressor": SMALL, "window": 30, "burn_in": 5, "random_state": 0, **settings})


@pytest.fixture(scope="module")
def season():
    """A season of seven steps with a trend, and its calendar."""
    t = np.arange(200)
    calendar = np.column_stack([np.sin(2 * np.pi * t / 7), np.cos(2 * np.pi * t / 7)])
    return 10 + 0.05 * t + 3 * calendar[:, 0] + 0.2 * RNG(0).normal(size=200), calendar


# Transformers


@settings(max_examples=50)
@given(st.integers(1, 9), st.integers(1, 12), st.integers(1, 3), st.booleans(), st.integers(0, 99))
def test_what_transformers_do_is_undone(lag, horizon, k, with_log, seed):
    z = RNG(seed).uniform(1, 5, (30 + horizon, k))
    transformers = [*([Log(0.5)] if with_log else []), Difference(lag), Difference(1)]
    stages = [z[:30]]
    whole = z
    for transformer in transformers:
        stages.append(transformer.transform(stages[-1]))
        whole = transformer.transform(whole)
    values = np.stack([whole[-horizon:], 2 * whole[-horizon:]])
    for transformer, before in zip(reversed(transformers), reversed(stages[:-1]), strict=True):
        values = transformer.inverse_transform(values, before)
    np.testing.assert_allclose(values[0], z[30:], rtol=1e-9)
    assert values.shape == (2, horizon, k)


def test_what_transformers_cannot_do():
    with pytest.raises(ValueError, match="z has 3 steps, and differences of lag 3"):
        Difference(3).transform(np.ones((3, 1)))
    with pytest.raises(ValueError, match="lag of Difference is 0"):
        Difference(0).transform(np.ones((3, 1)))
    with pytest.raises(ValueError, match="z has the value -1, which has no logarithm with offset=1"):
        Log(1).transform([[3.0], [-1.0]])
    with pytest.raises(ValueError, match="history has 1 steps; pass at least 2"):
        Difference(2).inverse_transform([[1.0]], [[1.0]])


# Windows


def test_what_is_read_and_told_at_each_step():
    z, inputs = np.arange(5.0)[:, None], 10 * np.arange(7.0)[:, None]
    np.testing.assert_array_equal(
        rows_of(z, inputs, np.array([-1.0]), 2),
        [[0, 10, 20, -1], [1, 20, 30, -1], [2, 30, 40, -1], [3, 40, 50, -1], [4, 50, 60, -1]],
    )
    assert len(rows_of(z, inputs[:5], np.zeros(0), 2)) == 3  # those whose inputs are there
    nan = np.nan
    np.testing.assert_array_equal(targets_of(z, 2), [[1, 2], [2, 3], [3, 4], [nan, nan], [nan, nan]])
    both = np.column_stack([np.arange(4.0), 5 + np.arange(4.0)])
    np.testing.assert_array_equal(targets_of(both, 2)[0], [1, 6, 2, 7])


def test_windows_end_with_the_last_target():
    z = np.arange(20.0)[:, None]
    found = cut(z, targets_of(z, 3), window=6, stride=4, burn_in=2)
    assert [(x[0, 0], x[-1, 0]) for x, _ in found] == [(11, 16), (7, 12), (3, 8)]
    for x, y in found:
        assert np.isnan(y[:2]).all()
        np.testing.assert_array_equal(y[2:], x[2:] + [1, 2, 3])
    ((x, y),) = cut(z[:4], targets_of(z[:4], 1), window=9, stride=4, burn_in=8)
    assert len(x) == 3 and np.isfinite(y[-1]).all()  # a series that is shorter than the burn-in has a target


# Forecasts


@pytest.mark.parametrize("transformers", [(), (Difference(7),), (Log(1.0), Difference(1), Difference(7))])
def test_a_forecast_is_the_naive_loop(season, transformers):
    z, calendar = season
    forecaster = quick(transformers=transformers).fit(z[:150], calendar[:150])
    found = forecaster.forecast(9, calendar[150:159])
    history = z[:150, None]
    for h in range(9):
        values = history
        for transformer in transformers:
            values = transformer.transform(values)
        rows = rows_of(values, calendar[150 + h + 1 - len(values) - 1 : 150 + h + 1], np.zeros(0), 1)
        rows = (rows - forecaster.mean_) / forecaster.deviation_
        first = 30 + h  # a stream goes on from where the window began
        following = np.atleast_1d(forecaster.regressors_[0].predict([rows[-first:]])[0][-1])[None]
        stages = [history]
        for transformer in transformers:
            stages.append(transformer.transform(stages[-1]))
        for transformer, before in zip(reversed(transformers), reversed(stages[:-1]), strict=True):
            following = transformer.inverse_transform(following, before)
        history = np.vstack([history, following])
    np.testing.assert_allclose(found, history[150:, 0], rtol=1e-7)


def test_a_trend_does_not_end_flat(season):
    z, calendar = season
    t = np.arange(260)
    future = np.column_stack([np.sin(2 * np.pi * t / 7), np.cos(2 * np.pi * t / 7)])
    truth = 10 + 0.05 * t + 3 * future[:, 0]
    regressor = RNNRegressor(8, max_epochs=15)
    with_trend = quick(regressor=regressor, transformers=[Difference(7)]).fit(z, calendar)
    found = with_trend.forecast(60, future[200:])
    flat = quick(regressor=regressor).fit(z, calendar).forecast(60, future[200:])
    assert np.abs(found - truth[200:]).mean() < 0.6 < np.abs(flat - truth[200:]).mean()


@pytest.mark.parametrize("quantiles", [None, (0.2, 0.5, 0.9)])
def test_a_direct_forecast_is_what_the_network_tells(season, quantiles):
    z, calendar = season
    forecaster = quick(horizon=5, quantiles=quantiles).fit(z[:150], calendar[:150])
    rows = rows_of(z[:150, None], calendar[:155], np.zeros(0), 5)
    rows = (rows - forecaster.mean_) / forecaster.deviation_
    outputs = forecaster.regressors_[0].predict([rows[-30:]])[0][-1]
    if quantiles is None:
        np.testing.assert_allclose(forecaster.forecast(future_inputs=calendar[150:155]), outputs, rtol=1e-9)
        np.testing.assert_allclose(forecaster.forecast(3, calendar[150:153])[0], outputs[0], rtol=0.5)
    else:
        assert forecaster.regressors_[0].loss == Quantiles(quantiles)
        sorted_outputs = np.sort(outputs.reshape(5, 3), axis=1)
        found = forecaster.forecast(5, calendar[150:155], quantiles=(0.2, 0.9))
        np.testing.assert_allclose(found, sorted_outputs[:, [0, 2]], rtol=1e-9)
        np.testing.assert_allclose(forecaster.forecast(5, calendar[150:155]), sorted_outputs[:, 1], rtol=1e-9)
        with pytest.raises(ValueError, match=r"quantiles has \[0.3\], but the network predicts"):
            forecaster.forecast(5, calendar[150:155], quantiles=(0.2, 0.3))
    with pytest.raises(ValueError, match="horizon is 6, but the network predicts 5"):
        forecaster.forecast(6, calendar[150:156])


def test_several_series_of_unequal_lengths_with_static_features():
    rng = RNG(0)
    level = np.array([[-2.0], [2.0], [-2.0], [2.0], [2.0]])
    series = [float(one[0]) + 0.3 * rng.normal(size=n) for one, n in zip(level, (120, 90, 80, 110, 60), strict=True)]
    forecaster = quick(regressor=RNNRegressor(8, max_epochs=40, batch_size=8)).fit(series, static=level)
    found = forecaster.forecast(12)
    assert found.shape == (5, 12)
    np.testing.assert_allclose(found.mean(axis=1), level[:, 0], atol=0.5)
    of_one = forecaster.forecast(12, series=series[3], static=level[3])
    np.testing.assert_allclose(of_one, found[3], rtol=1e-5)
    assert forecaster.forecast(4, quantiles=(0.1, 0.9), n_paths=20).shape == (5, 4, 2)
    table = pd.DataFrame({"a": series[0], "b": -series[0]})
    both = quick().fit(table)
    assert both.forecast(3).shape == (3, 2) and both.forecast(3, quantiles=(0.1, 0.5, 0.9)).shape == (3, 2, 3)


@pytest.mark.parametrize("kind", [{}, {"horizon": 6}, {"horizon": 6, "quantiles": (0.1, 0.5, 0.9)}])
@pytest.mark.parametrize("conformal", [False, True])
def test_intervals_cover(kind, conformal):
    """An autoregression, and intervals made for 80 % on steps that nobody has trained on."""
    rng = RNG(1)
    z = np.zeros(1500)
    for t in range(1, 1500):
        z[t] = 0.8 * z[t - 1] + rng.normal()
    regressor = RNNRegressor(8, max_epochs=12, batch_size=16)
    forecaster = quick(regressor=regressor, calibration=400, conformal=conformal, **kind).fit(z[:1100])
    covered = []
    for end in range(1100, 1490, 15):
        low, high = forecaster.forecast(6, series=z[:end], quantiles=(0.1, 0.9)).T
        covered.append((low <= z[end : end + 6]) & (z[end : end + 6] <= high))
    assert 0.68 <= np.mean(covered) <= 0.92
    first = forecaster.forecast(6, quantiles=(0.1, 0.9))
    np.testing.assert_array_equal(first, forecaster.forecast(6, quantiles=(0.1, 0.9)))  # paths have a seed


def test_corrections_move_quantiles_to_where_they_are():
    rng = RNG(0)
    levels = np.array([0.1, 0.5, 0.9])
    scores = rng.normal(size=(60, 8, 2, 1)) - np.array([-3.0, 0.4, 0.2])  # quantiles that are off by so much
    found = conformal_corrections(scores, levels)
    assert found.shape == (8, 2, 3)
    more = rng.normal(size=(4000, 8, 2, 1)) - np.array([-3.0, 0.4, 0.2])
    np.testing.assert_allclose((more <= found).mean(axis=(0, 1, 2)), levels, atol=0.03)


@pytest.mark.parametrize("horizon", [None, 4])
def test_several_networks_have_one_mean(season, horizon):
    z, calendar = season
    forecaster = quick(n_networks=3, horizon=horizon).fit(z[:150], calendar[:150])
    found = forecaster.forecast(4, calendar[150:154])
    each = []
    for i in range(3):
        one = quick(random_state=i, horizon=horizon).fit(z[:150], calendar[:150])
        each.append(one.forecast(4, calendar[150:154]))
    np.testing.assert_allclose(found, np.mean(each, axis=0), rtol=1e-9)
    assert np.ptp(each, axis=0).min() > 1e-4
    assert forecaster.forecast(4, calendar[150:154], quantiles=(0.2, 0.8), n_paths=2).shape == (4, 2)


def test_what_calibrates_has_not_seen_the_last_steps(season):
    z, _ = season
    apart, again = (quick(calibration=40, refit=refit).fit(z) for refit in (False, True))
    np.testing.assert_array_equal(apart.residuals_, again.residuals_)
    assert len(apart.residuals_) == 40
    other = z.copy()
    other[-40:] += 100
    np.testing.assert_array_equal(
        quick(calibration=40, refit=False).fit(other).regressors_[0].V_, apart.regressors_[0].V_
    )
    assert np.abs(again.regressors_[0].V_ - apart.regressors_[0].V_).max() > 1e-3
    assert len(quick(calibration=40, conformal=True).fit(z).forecast(5, quantiles=(0.1, 0.9))) == 5


def test_updates_go_on(season):
    z, calendar = season
    forecaster = quick().fit(z[:120], calendar[:120])
    n = forecaster.regressors_[0].n_iter_
    before = forecaster.forecast(5, calendar[120:125])
    forecaster.update(z[:150], calendar[:150])
    assert forecaster.regressors_[0].n_iter_ == n + 1
    assert np.abs(forecaster.forecast(5, calendar[150:155]) - before).max() > 0.1
    with pytest.raises(ValueError, match=r"inputs has 0 column\(s\) and had 2 in fit"):
        forecaster.update(z[:150])


@pytest.mark.parametrize("horizon", [None, 6])
def test_an_update_by_too_short_a_series_changes_nothing(season, horizon):
    z, _ = season
    forecaster = quick(horizon=horizon).fit(z[:120])
    before = forecaster.forecast(3)
    for short in (z[:2], z[:1], [z[:50], z[:2]]):
        with pytest.raises(ValueError, match="pass longer series"):
            forecaster.update(short)
    np.testing.assert_array_equal(forecaster.forecast(3), before)


def test_quantiles_have_errors_to_be_made_of(season):
    z, _ = season
    forecaster = quick(horizon=25, burn_in=20).fit(z[:40])
    assert len(forecaster.residuals_) and forecaster.forecast(5, quantiles=(0.1, 0.9)).shape == (5, 2)
    forecaster = quick(horizon=10, calibration=5).fit(z)
    assert forecaster.forecast(5).shape == (5,)
    with pytest.raises(ValueError, match="calibration is 5, fewer steps than the 10 that the network predicts"):
        forecaster.forecast(5, quantiles=(0.1, 0.9))


def test_it_is_an_estimator(season):
    z, _ = season
    forecaster = quick(transformers=(Difference(7),)).fit(z)
    again = pickle.loads(pickle.dumps(forecaster))
    np.testing.assert_array_equal(again.forecast(4), forecaster.forecast(4))
    assert not hasattr(clone(forecaster), "regressors_") and "Difference(lag=7)" in repr(forecaster)
    assert forecaster.get_params()["regressor__hidden_size"] == 8
    with pytest.raises(NotFittedError):
        quick().forecast(3)


@pytest.mark.parametrize(
    "kind, error, match",
    [
        ({"regressor": 3}, TypeError, "regressor is of type int"),
        ({"regressor": RNNRegressor(bidirectional=True)}, ValueError, "regressor is bidirectional"),
        ({"horizon": 0}, ValueError, "horizon is 0"),
        ({"n_networks": 0}, ValueError, "n_networks is 0"),
        ({"window": 5, "burn_in": 5}, ValueError, "burn_in is 5 and window is 5"),
        ({"conformal": True}, ValueError, "calibration is 0"),
        ({"quantiles": (0.1, 0.5)}, ValueError, "horizon is None"),
        ({"quantiles": (0.1, 0.6), "horizon": 3}, ValueError, "have 0.5 among them"),
        ({"quantiles": (0.5,), "horizon": 3, "transformers": [Difference()]}, ValueError, "leave out one of them"),
        ({"transformers": [np.log]}, TypeError, "has no 'transform'"),
        ({"noise": -1}, ValueError, "noise is -1"),
        ({"calibration": 198}, ValueError, "pass longer series"),
    ],
)
def test_settings_that_make_no_sense(season, kind, error, match):
    with pytest.raises(error, match=match):
        quick(**kind).fit(season[0])


def test_series_that_make_no_sense(season):
    z, calendar = season
    bad = z.copy()
    bad[3] = np.nan
    for series, inputs, match in (
        (bad, None, "series contains NaN or infinity, first at step 3"),
        ([z, bad], None, r"series\[1\] contains NaN"),
        ([z, np.ones((9, 2))], None, "different numbers of columns"),
        (np.ones((2, 3, 4, 5)), None, "has the shape"),
        (z, calendar[:100], r"inputs has the shape \(100, 2\); pass \(n_steps, m\) of 200 steps or more"),
        ([z, z], [calendar], "inputs has 1 entries for 2 series"),
    ):
        with pytest.raises(ValueError, match=match):
            quick().fit(series, inputs)
    forecaster = quick().fit(z, calendar)
    for arguments, match in (
        ({}, "inputs of 4 of the 4 steps that follow are missing"),
        ({"future_inputs": calendar[:3]}, r"future_inputs has the shape \(3, 2\)"),
        ({"inputs": calendar}, "without series"),
        ({"series": z}, r"inputs has 0 column\(s\) and had 2"),
        ({"series": z, "inputs": calendar, "static": [1.0]}, r"static has 1 column\(s\) and had 0"),
    ):
        with pytest.raises(ValueError, match=match):
            forecaster.forecast(4, **arguments)
    with pytest.raises(ValueError, match="conformal is True, and calibration of 5 steps is shorter"):
        quick(conformal=True, calibration=5).fit(z).forecast(9, quantiles=(0.1,))


# Several quantiles at once


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_quantiles_are_those_of_one_each(backend_name, dtype):
    rng = RNG(0)
    levels = (0.1, 0.5, 0.8)
    q, y = rng.normal(size=(2, 40, 6)).astype(dtype)
    y[:, 3] = q[:, 3] + 1e-4  # less far than a step
    weights = np.where(rng.random(40) < 0.2, 0, rng.uniform(0.5, 2, 40)).astype(dtype)
    y[weights == 0] = np.nan
    kernels = backend.kernels()
    o, multipliers = np.empty_like(q), np.empty_like(q)
    loss, _ = Quantiles(levels).step(kernels, q, y, weights, 100.0, o, multipliers)
    total = constant = 0.0
    present = np.where(np.isfinite(y), y, 0)
    for j in range(6):
        one = Quantile(levels[j % 3])
        o_j, multipliers_j = np.empty((40, 1), dtype), np.empty((40, 1), dtype)
        column = np.ascontiguousarray(present[:, [j]])
        total += one.step(kernels, np.ascontiguousarray(q[:, [j]]), column, weights, 100.0, o_j, multipliers_j)[0]
        constant += one.constant_loss(column, weights)
        np.testing.assert_allclose(o[weights > 0, j], o_j[weights > 0, 0], rtol=0, atol=2e-6)
        np.testing.assert_allclose(multipliers[:, j], multipliers_j[:, 0], rtol=0, atol=3e-4)
    np.testing.assert_allclose(loss, total, rtol=1e-5)
    np.testing.assert_allclose(Quantiles(levels).constant_loss(present, weights), constant, rtol=1e-5)
    assert not multipliers[weights == 0].any()


def test_a_fit_tends_to_quantiles(backend_name):
    X = np.zeros((300, 2, 1))
    y = RNG(0).normal(size=300)
    levels = (0.1, 0.5, 0.9)
    kind = {"targets": "sequence", "random_state": 0}
    model = RNNRegressor(2, loss=Quantiles(levels), max_epochs=30, **kind).fit(X, np.tile(y[:, None], 3))
    np.testing.assert_allclose(model.predict(X[:1])[0], np.quantile(y, levels), atol=0.15)
    assert "Quantiles(quantiles=(0.1, 0.5, 0.9))" in repr(model)
    with pytest.raises(ValueError, match=r"y has 2 value\(s\) per target and loss has 3 quantiles"):
        RNNRegressor(2, loss="quantiles", max_epochs=1, **kind).fit(X, np.tile(y[:, None], 2))
    for bad, error in (((), ValueError), ((0.0,), ValueError), (("a",), TypeError)):
        with pytest.raises(error):
            Quantiles(bad)


# Backtests


@settings(max_examples=50)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 3), st.integers(1, 6), st.booleans())
def test_origins(horizon, n_origins, gap, step, sliding):
    window = 7 if sliding else None
    n = 7 + gap + horizon + (n_origins - 1) * step
    split = OriginSplit(horizon, n_origins=n_origins, step=step, gap=gap, window=window)
    found = list(split.split(np.zeros(n)))
    assert len(found) == n_origins == split.get_n_splits()
    assert found[-1][1][-1] == n - 1
    for train, test in found:
        assert len(test) == horizon and test[0] - train[-1] == gap + 1
        assert len(train) == 7 if sliding else train[0] == 0
    assert (np.diff([test[0] for _, test in found]) == step).all()
    with pytest.raises(ValueError, match="too few for"):
        list(OriginSplit(horizon, n_origins=n_origins, step=step, gap=gap, window=8).split(np.zeros(n)))


def test_origins_are_those_of_scikit_learn_where_it_has_them():
    expected = TimeSeriesSplit(n_splits=4, test_size=3, gap=2).split(np.zeros(30))
    for found, due in zip(OriginSplit(3, n_origins=4, gap=2).split(np.zeros(30)), expected, strict=True):
        np.testing.assert_array_equal(found[0], due[0])
        np.testing.assert_array_equal(found[1], due[1])


class LastOfSeason(BaseEstimator):
    """Repeats what was a season ago, and writes down what it has seen."""

    seen: list = []

    def fit(self, series, inputs=None, static=None):
        self.series_ = series
        self.seen.append(("fit", len(series[0]), None if inputs is None else len(inputs[0])))
        return self

    def update(self, series, inputs=None, static=None):
        self.series_ = series
        self.seen.append(("update", len(series[0]), None if inputs is None else len(inputs[0])))
        return self

    def forecast(self, horizon, future_inputs=None, *, series=None, inputs=None, static=None, quantiles=None):
        series = self.series_ if series is None else series
        self.seen.append(("forecast", len(series[0]), None if future_inputs is None else len(future_inputs[0])))
        found = np.stack([z[-7:][np.arange(horizon) % 7] for z in series])
        return found if quantiles is None else found[..., None] + np.array([-1.0, 1.0])


@pytest.mark.parametrize("refit", [True, False, "partial"])
@pytest.mark.parametrize("gap", [0, 2])
def test_backtests_see_no_future(season, refit, gap):
    z, calendar = season
    LastOfSeason.seen.clear()
    split = OriginSplit(6, n_origins=3, step=4, gap=gap)
    found = backtest(LastOfSeason(), z, inputs=calendar, split=split, season=7, quantiles=(0.2, 0.8), refit=refit)
    ends = [200 - 6 - 4 * k - gap for k in (2, 1, 0)]
    of_fits = {True: ["fit"] * 3, False: ["fit"], "partial": ["fit", "update", "update"]}[refit]
    expected = []
    for i, end in enumerate(ends):
        expected += [(of_fits[i], end, end)] if i < len(of_fits) else []
        expected += [("forecast", end, 6 + gap)] * 2
    assert LastOfSeason.seen == expected
    np.testing.assert_array_equal(found.origins, [-14, -10, -6])
    np.testing.assert_array_equal(found.observed[-1, 0, :, 0], z[-6:])
    np.testing.assert_array_equal(found.forecasts, found.seasonal)
    assert found.scores["forecast"]["mae"] == found.scores["seasonal"]["mae"]
    error = found.observed - found.forecasts
    scores = found.scores["forecast"]
    np.testing.assert_allclose(scores["rmse"], np.sqrt(np.mean(error**2)))
    np.testing.assert_allclose(scores["coverage"], np.mean(np.abs(error) <= 1))
    np.testing.assert_allclose(scores["width"], 2)
    scales = [np.abs(z[7:end] - z[: end - 7]).mean() for end in ends]
    np.testing.assert_allclose(scores["mase"], np.mean(np.abs(error).mean(axis=(1, 2, 3)) / scales))
    pinball = [np.maximum(q * (error - s), (q - 1) * (error - s)) for q, s in ((0.2, -1), (0.8, 1))]
    np.testing.assert_allclose(scores["pinball"], np.mean(pinball))
    np.testing.assert_array_equal(found.naive[0, 0, :, 0], z[ends[0] - 1])
    assert list(found.to_frame().index) == ["forecast", "naive", "seasonal"]


def test_a_backtest_of_a_forecaster(season):
    z, calendar = season
    split = OriginSplit(7, n_origins=4)
    forecaster = quick(regressor=RNNRegressor(8, max_epochs=10), transformers=[Difference(7)])
    found = backtest(forecaster, [z, z[40:]], inputs=[calendar, calendar[40:]], split=split, season=7)
    assert found.forecasts.shape == (4, 2, 7, 1)
    assert found.scores["forecast"]["mae"] < found.scores["naive"]["mae"]
    assert "coverage" not in found.scores["forecast"]
    with pytest.raises(ValueError, match="refit is 'never'"):
        backtest(forecaster, z, split=split, refit="never")
    with pytest.raises(ValueError, match="season is 0"):
        backtest(forecaster, z, split=split, season=0)
