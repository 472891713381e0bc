"""MNIST pixel by pixel: 784 steps of one number; the first 55,000 images are learnt.  A run of a peer takes minutes."""

from admmirnn.datasets import load_mnist
from bench.race.task import ADAPTIVE, Data, Goal, Ours, Task


def load(seed):
    (X, y), (X_test, y_test) = load_mnist("train"), load_mnist("test")
    X, X_test = (part.reshape(len(part), -1, 1) for part in (X, X_test))
    return Data.of_labels(X[:55_000], y[:55_000], X_test, y_test)


TASK = Task(
    title="MNIST pixel by pixel, 784 steps",
    load=load,
    goals=(
        Goal(Ours(epochs=0.2, cell="gru"), share=1.0, value=0.5),
        Goal(Ours(epochs=0.5, cell="gru"), share=None, value=0.8),
        Goal(Ours(epochs=1, cell="gru"), share=None, value=0.9),
        Goal(Ours(epochs=3, cell="gru"), share=None, value=0.97),
    ),
    torch_layers=("GRU", "LSTM"),
    batch_size=125,
    learning_rates=ADAPTIVE,
    budgets=(0.5, 1, 3),
    first_evaluation=0.1,
)
