"""scikit-learn digits by rows: 8 steps of 8 pixels; each seed splits them anew, four fifths to learn."""

from sklearn.model_selection import train_test_split

from admmirnn.datasets import load_digits
from bench.race.task import Data, Goal, Ours, Task, around


def load(seed):
    X, y = load_digits()
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=seed)
    return Data.of_labels(X, y, X_test, y_test)


TASK = Task(
    title="Digits by rows, 8 steps of 8 pixels",
    load=load,
    goals=(Goal(Ours(epochs=20), share=1 / 5), Goal(Ours(epochs=20), share=None, off=0.005)),
    batch_size=32,
    learning_rates={
        "SGD": around(0.1),
        "Momentum": around(0.02),
        "AdaGrad": around(0.01),
        "RMSprop": around(5e-4),
        "Adam": around(2e-3),
    },
    budgets=(10, 30),
)
