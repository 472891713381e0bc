"""The series of Mackey and Glass: the next value from windows of 60; 2,000 values to learn, 500 to test."""

import numpy as np

from admmirnn.datasets import mackey_glass
from admmirnn.losses import SquaredError
from bench.race.curves import Metric
from bench.race.task import ADAPTIVE, Data, Goal, Ours, Task, around

RMSE = Metric(
    "test root mean square error",
    lambda outputs, targets: np.sqrt(np.mean((outputs - targets) ** 2)),
    higher_is_better=False,
)


def load(seed):
    series = mackey_glass(2_560)[:, 0]
    series = (series - series[:2_000].mean()) / series[:2_000].std()
    parts = []
    for part in (series[:2_000], series[2_000:]):
        windows = np.lib.stride_tricks.sliding_window_view(part, 61)
        parts += [windows[:, :-1, None], windows[:, -1:]]
    return Data.of_values(*parts)


TASK = Task(
    title="Mackey-Glass, the next value",
    load=load,
    goals=(
        Goal(Ours(epochs=40, penalty=0.0), share=1.0, value=0.03),
        Goal(Ours(epochs=40, penalty=0.0), share=None, value=0.01),
        Goal(Ours(epochs=100, penalty=0.0), share=None, value=0.005),
    ),
    torch_layers=("RNN", "GRU", "LSTM"),
    batch_size=32,
    learning_rates={
        "SGD": around(0.1),
        "Momentum": around(0.02),
        "AdaGrad": around(0.01),
        **ADAPTIVE,
    },
    budgets=(10, 20, 40),
    metric=RMSE,
    loss=SquaredError(),
    n_hidden=64,
)
