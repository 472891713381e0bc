"""
What is remembered for two hundred steps
========================================

In the adding problem two of 200 numbers are marked, one in each half, and the network
has to tell their sum at the end. Always answering the mean has a squared error of 1/6.
The cell "elman" computes each state anew; cells with gates can keep what they have.
"""

import numpy as np
from matplotlib import pyplot

from admmirnn import RNNRegressor
from admmirnn.datasets import adding_problem
from admmirnn.plotting import plot_states

N_STEPS = 200
X, y = adding_problem(4_000, N_STEPS, random_state=0)
X_test, y_test = adding_problem(1_000, N_STEPS, random_state=1)


def error_of(model):
    """The squared error on sequences that are not learnt."""
    return np.mean((model.predict(X_test) - y_test) ** 2)


models, errors = {}, {"elman": [], "fastgrnn": [], "lstm": []}
for cell, of_cell in errors.items():
    models[cell] = RNNRegressor(
        hidden_size=32,
        cell=cell,
        max_epochs=6,
        scale_targets=False,
        random_state=0,
        callbacks=[
            lambda state, of_cell=of_cell: of_cell.append(error_of(state.estimator))
        ],
    ).fit(X, y)
    print(f"{cell:9} squared error {of_cell[-1]:.5f}")

# %%
# The picture shows the squared error on fresh sequences, after each pass over 4,000
# training sequences.

figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
for cell, of_cell in errors.items():
    axes.semilogy(range(1, len(of_cell) + 1), of_cell, marker="o", label=cell)
axes.axhline(1 / 6, color="k", linewidth=0.8, linestyle=":", label="the mean")
axes.set(xlabel="passes", ylabel="squared error on new sequences")
axes.legend()

# %%
# The bias of the gate that keeps the past starts from the logarithm of a random
# number of steps ("chrono", which ``forget_bias="auto"`` chooses for sequences of 200
# steps and more), so that some units keep what they have for long from the beginning.
# The picture has the states of one sequence as "fastgrnn" reads it, and below them what
# the outputs would say at each step: they jump where a number is marked, and slow
# states carry it to the end.

axes = plot_states(models["fastgrnn"], X_test[0])
for step in np.flatnonzero(X_test[0, :, 1]):
    for one in np.ravel(axes):
        one.axvline(step + 1, color="k", linewidth=0.8, linestyle="--")
