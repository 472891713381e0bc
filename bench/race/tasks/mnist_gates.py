"""MNIST by rows with gates on both sides: our default cell against torch's layers, each optimiser on all of them."""

from dataclasses import replace

from bench.race.task import Goal, Ours
from bench.race.tasks import mnist

TASK = replace(
    mnist.TASK,
    title="MNIST by rows, 28 steps of 28 pixels, cells with gates",
    goals=(
        # epochs with which networks that learn the first 50,000 training images reach the goal on the last 10,000
        Goal(Ours(epochs=0.2, cell="fastgrnn"), share=1 / 10, value=0.97),
        Goal(Ours(epochs=0.4, cell="fastgrnn"), share=1 / 10, value=0.98),
        Goal(Ours(epochs=0.7, cell="fastgrnn"), share=1 / 8, value=0.985),
        Goal(Ours(epochs=2, cell="fastgrnn"), share=1 / 6, value=0.99),
    ),
    torch_layers=("GRU", "LSTM", "RNN"),
)
