"""Cells: on both back ends each rolls out as its equations say, and pulls multipliers back through their derivative."""

from types import SimpleNamespace

import numpy as np
import pytest
from activation_functions import FUNCTIONS
from kernel_calls import room_of

from admmirnn import backend
from admmirnn.data.sequences import Sequences
from admmirnn.losses import SquaredError
from admmirnn.networks import ElmanRNN
from admmirnn.networks.cells import CELLS, GATED, Elman
from admmirnn.reference.statistics import sums_by_name
from admmirnn.solvers.rollout.state import Targets, Workspace

COMPILED, NUMPY = backend._compiled(), backend._numpy()
BACKENDS = pytest.mark.parametrize("kernels", [COMPILED, NUMPY], ids=["compiled", "numpy"])
LENGTHS = np.array([4, 7, 1, 7, 2])
N_FEATURES, N_HIDDEN, N_OUTPUTS = 3, 5, 2


def elman(f):
    return lambda weights, x, s: f(weights["U"] @ x + weights["W"] @ s + weights["b"])


# a cell, and which state follows s when x is read, from the weights by name
CASES = {f"elman {name}": (Elman(name), elman(f)) for name, f in FUNCTIONS.items()}
EVERY_CELL = pytest.mark.parametrize(("cell", "following"), CASES.values(), ids=CASES)


def network_of(cell):
    """Weights near those that the cell starts with."""
    rng, draws = np.random.default_rng(1), np.random.RandomState(0)
    network = ElmanRNN.random(N_FEATURES, N_HIDDEN, N_OUTPUTS, dtype=np.float64, random_state=draws)
    cell.start(network.weights, N_FEATURES, draws)
    for array in network.arrays:
        array += 0.3 * rng.normal(size=array.shape)
    return network


def outputs_of(network, following, X):
    """A row for each step of each sequence, one sequence after the other."""
    weights, outputs = network.weights, []
    for x in np.split(X, np.cumsum(LENGTHS)[:-1]):
        s = np.zeros(N_HIDDEN)
        for x_t in x:
            s = following(weights, x_t, s)
            outputs.append(weights["V"] @ s + weights["c"])
    return np.array(outputs)


def central_differences(function, matrix, h=1e-6):
    gradient = np.empty_like(matrix)
    for index in np.ndindex(matrix.shape):
        ends = []
        for sign in (1, -1):
            before, matrix[index] = matrix[index], matrix[index] + sign * h
            ends.append(function())
            matrix[index] = before
        gradient[index] = (ends[0] - ends[1]) / (2 * h)
    return gradient


def test_every_cell_has_a_case():
    assert {cell.name for cell, _ in CASES.values()} == set(CELLS) - set(GATED)  # whose sweeps are still to come


@BACKENDS
@EVERY_CELL
def test_sweeps_are_the_equations_and_their_derivative(kernels, cell, following):
    network, rng = network_of(cell), np.random.default_rng(2)
    X, lambda3 = rng.normal(size=(LENGTHS.sum(), N_FEATURES)), rng.normal(size=(LENGTHS.sum(), N_OUTPUTS))
    sequences = Sequences.of_lengths(X, LENGTHS)
    work = Workspace(kernels, network, "each", sequences, len(LENGTHS), Targets(SquaredError()))
    work.room.cell = cell
    work.work = kernels.work(work.room)
    work.load(sequences.minibatch(np.arange(len(LENGTHS))), sequences.first_steps, lambda3, None)
    sequence_of, step_of = work.batch.rows()
    rows, steps = work.batch.rows_of_outputs(), sequences.first_steps[sequence_of] + step_of

    kernels.forward(work.work, work.kernel_batch)
    np.testing.assert_allclose(work.Q[rows], outputs_of(network, following, X)[steps], rtol=1e-12, atol=1e-12)

    by_row = np.zeros_like(work.Q)
    by_row[rows] = lambda3[steps]
    kernels.backward(work.work, work.kernel_batch, by_row, None, np.inf, 0, 1)
    sums = sums_by_name(work.room.sums, cell, N_FEATURES, N_HIDDEN, N_OUTPUTS, False)
    L = np.hstack([sums["L_x"][:-1].T, sums["L_s"], sums["L_x"][-1:].T])
    expected = central_differences(lambda: (lambda3 * outputs_of(network, following, X)).sum(), network.Theta)
    np.testing.assert_allclose(L, expected, rtol=0, atol=1e-7 * np.abs(expected).max())


@EVERY_CELL
def test_a_unit_that_is_not_driven_rests(cell, following):
    network, rng = network_of(cell), np.random.default_rng(3)
    weights = network.weights
    weights["U"][:3], weights["b"][:2] = 0, 0
    rests = ~cell.is_driven(weights)
    assert rests.sum() in ((0,) if following(weights, np.zeros(N_FEATURES), np.zeros(N_HIDDEN))[0] else (2, 3))
    for x in rng.normal(size=(10, N_FEATURES)):
        assert not following(weights, x, np.zeros(N_HIDDEN))[rests].any()


@EVERY_CELL
def test_bounded_states_are_so_whatever_is_read(cell, following):
    network = network_of(cell)
    X = 1e30 * np.random.default_rng(4).normal(size=(LENGTHS.sum(), N_FEATURES))
    largest = max(np.abs(following(network.weights, x, np.zeros(N_HIDDEN))).max() for x in X)
    assert cell.is_bounded == (largest <= 1)


@pytest.mark.parametrize(
    ("cell", "message"),
    [(SimpleNamespace(name="none"), "cell 'none' has no kernel"), (Elman("elu"), "activation 'elu' has no kernel")],
)
def test_what_has_no_kernel(cell, message):
    room = room_of(np.zeros((2, 4)), np.zeros((1, 3)), "tanh", "last", 1, np.zeros((2, 2)), X=np.zeros((1, 2)))
    room.cell = cell
    with pytest.raises(ValueError, match=message):
        COMPILED.work(room)
