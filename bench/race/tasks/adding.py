"""The adding problem of 200 steps: 40,000 sequences to learn, two values of which the sum is asked for at the end."""

import numpy as np

from admmirnn.datasets import adding_problem
from admmirnn.losses import SquaredError
from bench.race.curves import Metric
from bench.race.task import ADAPTIVE, Data, Goal, Ours, Task

MEAN_SQUARED_ERROR = Metric(
    "test squared error", lambda outputs, targets: np.mean((outputs - targets) ** 2), higher_is_better=False
)


def load(seed):
    return Data.of_values(
        *adding_problem(40_000, 200, random_state=seed), *adding_problem(2_000, 200, random_state=10**6)
    )


TASK = Task(
    title="Adding problem, 200 steps",
    load=load,
    goals=(
        Goal(Ours(epochs=1, cell="fastgrnn"), share=1.0, value=0.05),
        Goal(Ours(epochs=1, cell="fastgrnn"), share=None, value=0.01),
        Goal(Ours(epochs=2, cell="fastgrnn"), share=None, value=0.003),
    ),
    torch_layers=("GRU", "LSTM"),
    batch_size=100,
    learning_rates=ADAPTIVE,
    budgets=(1, 2, 4),
    metric=MEAN_SQUARED_ERROR,
    loss=SquaredError(),
    first_evaluation=0.05,
)
