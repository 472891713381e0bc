"""scikit-learn digits by rows: 8 steps of 8 pixels; each seed splits them anew, four fifths to learn."""

from functools import partial

from sklearn.model_selection import train_test_split

from admmirnn.datasets import load_digits
from bench.race.others import FlatMLP
from bench.race.task import ADAPTIVE_OF_SMALL_SETS, Data, Goal, Ours, Task, around


def load(seed):
    X, y = load_digits()
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=seed)
    return Data.of_labels(X, y, X_test, y_test)


TASK = Task(
    title="Digits by rows, 8 steps of 8 pixels",
    load=load,
    goals=(
        Goal(Ours(epochs=20), share=1 / 5),
        Goal(Ours(epochs=20, penalty=0.0), share=None),
        Goal(Ours(epochs=20), share=None, off=0.005),
    ),
    torch_layers=("RNN", "GRU", "LSTM"),
    batch_size=32,
    learning_rates={
        "SGD": around(0.4),
        "Momentum": around(0.08),
        "AdaGrad": around(0.02),
        **ADAPTIVE_OF_SMALL_SETS,
    },
    budgets=(10, 20, 40),
    others=(partial(FlatMLP, epochs=60, learning_rates=around(4e-3)),),
)
