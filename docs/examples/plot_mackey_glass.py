"""
Forecasting a chaotic series
============================

The series is that of Mackey and Glass. The network learns to predict the next value at
every step; to forecast, it then reads its own predictions.
"""

import numpy as np
from matplotlib import pyplot

from admmirnn import RNNRegressor
from admmirnn.datasets import mackey_glass

series = mackey_glass(2_500)[:, 0]
series = 2 * (series - series.min()) / (series.max() - series.min()) - 1
train, test = series[:2_000], series[2_000:]

# windows of 60 steps; the target of a step is the next value, from the 20th on: the
# state has to build up first
windows = np.lib.stride_tricks.sliding_window_view(train, 61)[::10]
targets = np.where(np.arange(60) < 20, np.nan, windows[:, 1:])
# a little noise on what it reads teaches it to come back from its own errors, at some
# cost for the next value
noisy = windows[:, :-1] + 0.01 * np.random.default_rng(0).normal(size=targets.shape)
model = RNNRegressor(
    hidden_size=64, targets="step", max_epochs=300, penalty=0, random_state=0
)
model.fit(noisy[:, :, None], targets)

one_step = model.predict(test[None, :-1, None])[0]
error = np.sqrt(np.mean((one_step[20:] - test[21:]) ** 2))
print(f"root mean square error of the next value: {error:.5f}")

# %%
# ``forecast`` reads the known part of the series, and then its own predictions. A
# chaotic series cannot be followed for ever: errors grow until the forecast has nothing
# to do with the series any more, although it keeps its shape. The dashed line marks the
# step from which on the error has been larger than a tenth of the range of the series.

history, horizon = 200, 300
following = model.forecast(test[:history], horizon=horizon)
steps, error = (
    np.arange(history, history + horizon),
    np.abs(following - test[history : history + horizon]),
)
figure, (values, errors) = pyplot.subplots(
    2, sharex=True, figsize=(9, 5), layout="constrained", height_ratios=(2, 1)
)
values.plot(
    np.arange(history + horizon), test[: history + horizon], label="series", color="0.4"
)
values.plot(steps, following, label="forecast", color="C3")
values.axvline(history, color="k", linewidth=0.8)
values.legend(loc="lower left")
left = history + int(np.argmax(error > 0.2))
print(f"the forecast follows the series for {left - history} of {horizon} steps")
errors.semilogy(steps, error, color="C3")
for ax in (values, errors):
    ax.axvline(left, color="C3", linestyle="--", linewidth=0.8)
values.set(ylim=(-1.15, 1.4))
values.text(left + 3, 1.15, "the forecast has left the series", color="C3")
errors.set(xlabel="step", ylabel="error of the forecast")

# %%
# A stream predicts the next value after each observation, as observations come in.

stream = model.stream()
for x in test[:history]:
    next_value = stream(x)
print(f"predicted {next_value:.4f}, and the series had {test[history]:.4f}")
