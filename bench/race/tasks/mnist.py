"""MNIST by rows: 28 steps of 28 pixels; the first 55,000 images are learnt."""

from admmirnn.datasets import load_mnist
from bench.race.task import ADAPTIVE, Data, Goal, Ours, Task, around


def load(seed):
    X, y = load_mnist("train")
    return Data.of_labels(X[:55_000], y[:55_000], *load_mnist("test"))


TASK = Task(
    title="MNIST by rows, 28 steps of 28 pixels",
    load=load,
    goals=(
        # epochs with which the last 10,000 of the training images say that the goal is reached
        Goal(Ours(epochs=0.2), share=1 / 10, value=0.95),
        Goal(Ours(epochs=0.45), share=1 / 12, value=0.97),
        Goal(Ours(epochs=0.9), share=1 / 12, value=0.98),
        Goal(Ours(epochs=0.45, cell="gru"), share=1 / 8, value=0.985),
        Goal(Ours(epochs=1, cell="gru"), share=1 / 6, value=0.99),
    ),
    torch_layers=("RNN", "GRU", "LSTM"),
    batch_size=128,
    learning_rates={
        "SGD": around(0.2),
        "Momentum": around(0.04),
        "AdaGrad": around(0.01),
        **ADAPTIVE,
    },
    budgets=(2, 3, 4.5, 6, 10),
    first_evaluation=0.1,
)
