"""scikit-learn digits by rows: 8 steps of 8 pixels; each seed splits them anew, four fifths to learn."""

from functools import partial

from sklearn.model_selection import train_test_split

from admmirnn.datasets import load_digits
from bench.race.others import FlatMLP
from bench.race.task import Data, Goal, Ours, Task, around


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
        "RMSprop": around(2e-3),
        "Adam": around(4e-3),
        "SOAP": around(5e-3),
        "Muon": around(2e-2),
        "PSGD-Kron": around(2e-3),
        "Shampoo": around(2e-2),
    },
    budgets=(10, 20, 40),
    others=(partial(FlatMLP, epochs=60, learning_rates=around(4e-3)),),
)
