"""OSULeaf: outlines of leaves of six kinds, 427 numbers, read ten at a time; 200 to learn, 242 to test."""

import numpy as np

from admmirnn.datasets import load_osuleaf
from bench.race.task import ADAPTIVE, Data, Goal, Ours, Task, around, standardised

AT_A_TIME = 10


def load(seed):
    (X, y), (X_test, y_test) = load_osuleaf("train"), load_osuleaf("test")
    X, X_test = standardised([_cut(x) for x in X], [_cut(x) for x in X_test])
    return Data.of_labels(X, y, X_test, y_test)


def _cut(x):
    whole = len(x) // AT_A_TIME * AT_A_TIME
    return np.reshape(x[:whole], (-1, AT_A_TIME))


TASK = Task(
    title="OSULeaf, 42 steps of ten numbers",
    load=load,
    goals=(
        Goal(Ours(epochs=60), share=1.0),
        Goal(Ours(epochs=60, cell="fastgrnn"), share=None),
        Goal(Ours(epochs=60, cell="gru"), share=None, off=0.05),
    ),
    torch_layers=("RNN", "GRU", "LSTM"),
    batch_size=16,
    learning_rates={
        "SGD": around(0.1),
        "Momentum": around(0.04),
        "AdaGrad": around(0.01),
        **ADAPTIVE,
    },
    budgets=(25, 50, 100),
)
