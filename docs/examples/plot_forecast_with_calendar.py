"""
Forecasts with a calendar, and intervals
========================================

The series has two years of daily values with a weekly pattern, a yearly pattern and a
trend. The network also reads the calendar, which is known for the days to come.
"""

import numpy as np
from matplotlib import pyplot

from admmirnn import RNNRegressor
from admmirnn.forecasting import Difference, Forecaster, OriginSplit, backtest
from admmirnn.plotting import plot_forecast

rng = np.random.default_rng(0)
t = np.arange(760)
week, year = 2 * np.pi * t / 7, 2 * np.pi * t / 365
calendar = np.column_stack(
    [wave(angle) for angle in (week, year) for wave in (np.sin, np.cos)]
)
noise = np.convolve(rng.normal(size=800), 0.8 ** np.arange(20))[:760]
z = 50 + 0.05 * t + 4 * np.sin(week) + 10 * np.sin(year) + noise

network = RNNRegressor(16, cell="gru", batch_size=16)
forecaster = Forecaster(
    network,
    window=60,
    transformers=[Difference(7)],
    calibration=100,
    conformal=True,
    random_state=0,
).fit(z[:700], calendar[:700])
forecast = forecaster.forecast(60, calendar[700:])
intervals = forecaster.forecast(60, calendar[700:], quantiles=(0.1, 0.25, 0.75, 0.9))

_, ax = pyplot.subplots(figsize=(9, 4), layout="constrained")
plot_forecast(z[:700], forecast, intervals, observed=z[700:], ax=ax, color="C3")

# %%
# A backtest says how good such forecasts have been, from eight origins that are two
# weeks apart.

found = backtest(
    forecaster,
    z,
    inputs=calendar,
    split=OriginSplit(28, n_origins=8, step=14),
    quantiles=(0.1, 0.9),
    season=7,
    refit=False,
)
print(found.to_frame().round(2))
