"""Japanese Vowels: utterances of 7 to 29 steps of 12 cepstrum coefficients by nine speakers."""

from admmirnn.datasets import load_japanese_vowels
from bench.race.task import Data, Goal, Ours, Task, around, standardised


def load(seed):
    X, y = load_japanese_vowels("train")
    X_test, y_test = load_japanese_vowels("test")
    X, X_test = standardised(X, X_test)
    return Data.of_labels(X, y, X_test, y_test)


TASK = Task(
    title="Japanese Vowels, 7 to 29 steps of 12 coefficients",
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
