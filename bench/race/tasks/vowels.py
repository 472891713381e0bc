"""Japanese Vowels: utterances of 7 to 29 steps of 12 cepstrum coefficients by nine speakers."""

from functools import partial

from admmirnn.datasets import load_japanese_vowels
from bench.race.others import EchoState
from bench.race.task import ADAPTIVE_OF_SMALL_SETS, Data, Goal, Ours, Task, around, standardised


def load(seed):
    X, y = load_japanese_vowels("train")
    X_test, y_test = load_japanese_vowels("test")
    X, X_test = standardised(X, X_test)
    return Data.of_labels(X, y, X_test, y_test)


TASK = Task(
    title="Japanese Vowels, 7 to 29 steps of 12 coefficients",
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
        "Momentum": around(0.04),
        "AdaGrad": around(0.02),
        **ADAPTIVE_OF_SMALL_SETS,
    },
    budgets=(10, 20, 40),
    others=(partial(EchoState, leak_rates=(0.05, 0.1, 0.2, 0.3, 0.6)),),
)
