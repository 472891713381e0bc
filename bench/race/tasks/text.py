"""Kafka's Metamorphosis by characters, in chunks of 25 with the state carried on; the last tenth is held out."""

from dataclasses import replace

import numpy as np
from scipy.special import log_softmax

from admmirnn.datasets import load_text
from bench.race.curves import Metric
from bench.race.task import Data, Goal, Ours, Task, around

CHUNK = 25
PASSES = 10
STREAMS = 16


def bits(outputs, targets):
    """Mean of -log2 p of the next character, over one stream from the zero state."""
    log_p = log_softmax(np.asarray(outputs, np.float64), axis=1)
    return -log_p[np.arange(len(targets)), targets].mean() / np.log(2)


def load(seed):
    text = load_text()
    cut = int(0.9 * len(text))
    return Data.of_text(text[:cut], text[cut:], CHUNK)


OURS = Ours(epochs=PASSES / 2, batch_size=STREAMS)
TASK = Task(
    title=f"Text by characters, chunks of {CHUNK}, {PASSES} passes",
    load=load,
    goals=(
        Goal(OURS, share=1 / 6, rival="Adam"),
        Goal(replace(OURS, epochs=PASSES), share=None, rival="Adam"),
        Goal(OURS, share=None),
    ),
    batch_size=STREAMS,
    learning_rates={
        "SGD": around(2.0),
        "Momentum": around(0.2),
        "AdaGrad": around(0.02),
        "RMSprop": around(1e-3),
        "Adam": (1e-3, 2e-3, 5e-3, 1e-2, 2e-2),
        "SOAP": around(5e-3),
        "Muon": around(2e-2),
        "PSGD-Kron": around(1e-3),
        "Shampoo": around(1e-2),
    },
    budgets=(PASSES,),
    metric=Metric("validation bits per character", bits, higher_is_better=False),
    first_evaluation=0.01,
)
