"""Theorems 1 to 3 of the paper as things to check by running, and what happens where their conditions do not hold.

H, the Lipschitz constant of the gradient of softmax cross-entropy, is 1/2: rho > 2H means rho > 1.
"""

from dataclasses import replace

import numpy as np
import pytest

from admmirnn import Algorithm1, Status, backend
from admmirnn.data.sequences import Sequences
from admmirnn.losses import SoftmaxCrossEntropy
from admmirnn.networks import ElmanRNN
from admmirnn.solvers.algorithm1.residuals import Residuals
from admmirnn.solvers.algorithm1.solver import BACKWARD, FORWARD
from admmirnn.solvers.algorithm1.variables import SweepSettings, Variables

LINEARISED = "saUWV"  # o, b and c are minimised exactly


def problem(seed, *, every_step=True, n_sequences=8, n_hidden=6):
    """Random sequences of 3 to 8 steps with random labels."""
    random_state = np.random.RandomState(seed)
    lengths = random_state.randint(3, 9, n_sequences)
    network = ElmanRNN.random(2, n_hidden, 3, dtype=np.float64, random_state=random_state)
    sequences = Sequences.of_lengths(random_state.normal(size=(lengths.sum(), 2)), lengths)
    labels = random_state.randint(0, 3, lengths.sum() if every_step else n_sequences)
    return network, sequences, labels


def random_variables(seed, **kwargs):
    """Variables and weights anywhere, far from feasible, with multipliers."""
    network, sequences, labels = problem(seed, **kwargs)
    random_state = np.random.RandomState(100 + seed)
    network.Theta[:] += 0.3 * random_state.normal(size=network.Theta.shape)
    network.Psi += random_state.normal(size=network.Psi.shape)
    kernels = backend.kernels()
    variables = Variables.of_sequences(
        kernels,
        network,
        sequences,
        np.arange(len(sequences)),
        labels,
        np.ones(len(sequences)),
        SoftmaxCrossEntropy(),
    )
    variables.roll_out(kernels, "tanh")
    states = variables.H[:, :-1] + 0.5 * random_state.normal(size=(len(variables.H), network.n_hidden))
    variables.H[:, :-1] = states
    variables.Z[variables._rows_of_states, network.n_features : -1] = states
    for values in (variables.A, variables.O, *variables.multipliers):
        values += random_state.normal(size=values.shape)
    return network, variables


def augmented_lagrangian(variables, at):
    """Eq. (8), sequence by sequence and step by step, from nothing but the arrays."""
    d, B, N = variables.Theta.shape[1] - variables.Theta.shape[0] - 1, len(variables.lambda1), variables.n_steps
    U, W, b = variables.Theta[:, :d], variables.Theta[:, d:-1], variables.Theta[:, -1]
    V, c = variables.Psi[:, :-1], variables.Psi[:, -1]
    total = 0.0
    for t in range(N):
        for i in range(variables.offsets[t + 1] - variables.offsets[t]):
            row = variables.offsets[t] + i
            x, previous = variables.Z[row, :d], variables.Z[row, d:-1]
            a, s, o = variables.A[row], variables.H[row, :-1], variables.O[row]
            residuals = (a - U @ x - W @ previous - b, s - np.tanh(a), o - V @ s - c)
            total += variables.row_weights[row] * (np.log(np.exp(o).sum()) - o[variables.labels[row]])
            last = t == N - 1
            for residual, rho, multiplier in zip(
                residuals, (at.rho1, at.rho2, at.rho3), variables.multipliers, strict=True
            ):
                total += 0.5 * (rho if last else at.nu) * residual @ residual
                total += multiplier[i] @ residual if last else 0.0
    assert B == variables.offsets[N] - variables.offsets[N - 1]
    return total


def rise(variables, at, block, t):
    """By how much one block update raises the augmented Lagrangian, relative to its size."""
    before = augmented_lagrangian(variables, at)
    backend.kernels().sweep(variables, at, block, t, t + 1)
    return (augmented_lagrangian(variables, at) - before) / max(1.0, abs(before))


def rises_of_blocks(seed, factor=1.0, every_step=True, **options):
    """The rise of every block update of one iteration, each at ``factor`` times its own Lipschitz bound."""
    _, variables = random_variables(seed, every_step=every_step)
    found = {block: [] for block in "ocVsabWU"}
    for t in range(variables.n_steps):
        for code in BACKWARD + FORWARD:
            block = chr(code)
            at = SweepSettings(rho1=1.5, rho2=1.2, rho3=2.0, nu=0.7, r=1.0, **options)
            if block in LINEARISED:
                bound = variables.lipschitz_bounds(SweepSettings(1.5, 1.2, 2.0, 0.7, 1.0, coupled=True))
                at = SweepSettings(1.5, 1.2, 2.0, 0.7, factor * bound[block], **options)
            found[block].append(rise(variables, at, block.encode(), t))
    return found


def train(seed, iterations, *, every_step=False, **settings):
    network, sequences, labels = problem(seed, every_step=every_step)
    solver = Algorithm1(**{"rho1": 2.0, "rho2": 2.0, "rho3": 2.0, "eps_abs": 0.0, "eps_rel": 0.0} | settings)
    return solver.solve(network, sequences, labels, SoftmaxCrossEntropy(), max_epochs=iterations)


def rising_iterations(history):
    """The iterations, from 2, that raise the augmented Lagrangian."""
    lagrangian = np.array([record["lagrangian"] for record in history])
    return np.flatnonzero(~(np.diff(lagrangian) <= 1e-10 * np.abs(lagrangian[:-1]))) + 2


# Block updates with fixed multipliers


@pytest.mark.slow_on("numpy")
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("every_step", [True, False])
def test_no_block_update_raises_the_augmented_lagrangian(seed, every_step, backend_name):
    found = rises_of_blocks(seed, every_step=every_step, coupled=True)
    for block, rises in found.items():
        assert max(rises) <= 1e-12, block
    assert all(min(rises) < -1e-6 for block, rises in found.items())  # they do work


@pytest.mark.parametrize("seed", range(3))
def test_the_lagrangian_on_record_is_eq_8(seed, backend_name):
    network, variables = random_variables(seed)
    at = SweepSettings(1.5, 1.2, 2.0, 0.7, 3.0)
    residuals = Residuals(backend.kernels(), network, [variables], SoftmaxCrossEntropy())
    residuals.begin(at)
    assert residuals.record(1, 0.0)["lagrangian"] == pytest.approx(augmented_lagrangian(variables, at), rel=1e-12)


def rise_alone(seed, block, factor, **options):
    """The largest rise that one update of a block makes anywhere, from the same random variables each time."""
    rises = []
    for t in range(random_variables(seed)[1].n_steps):
        _, variables = random_variables(seed)
        bound = variables.lipschitz_bounds(SweepSettings(1.5, 1.2, 2.0, 0.7, 1.0, coupled=True))[block]
        rises.append(rise(variables, SweepSettings(1.5, 1.2, 2.0, 0.7, factor * bound, **options), block.encode(), t))
    return max(rises)


@pytest.mark.parametrize("block", ["U", "W", "V"])
def test_the_bounds_are_not_idle(block):
    """At a quarter of its bound, the update of a weight raises the augmented Lagrangian somewhere."""
    assert max(rise_alone(seed, block, 0.25, coupled=True) for seed in range(5)) > 1e-6


@pytest.mark.parametrize("r", [10.0, 100.0, 1000.0])
def test_without_the_term_in_the_next_step_the_s_step_may_raise_it(r):
    """The paper's "trick" in Eq. (13) is no descent step, whatever r is: where p_2 opposes the way that s_1 goes."""
    nu = 0.7
    at = SweepSettings(1.5, 1.2, 2.0, nu, r)
    network, variables = random_variables(0)
    first, following = slice(0, variables.offsets[1]), slice(variables.offsets[1], 2 * variables.offsets[1])
    before = variables.H[first, :-1].copy()
    backend.kernels().sweep(variables, at, b"s", 0, 1)
    pull = (r + nu) * (variables.H[first, :-1] - before)  # the gradient without that term
    variables.H[first, :-1] = variables.Z[following, network.n_features : -1] = before
    p = -3 / nu * np.linalg.solve(network.weights["W"].T, pull.T).T
    variables.A[following] = variables.Z[following] @ network.Theta.T + p
    assert rise(variables, at, b"s", 0) > 0
    variables.H[first, :-1] = variables.Z[following, network.n_features : -1] = before
    coupled = replace(at, coupled=True, r=max(r, variables.lipschitz_bounds(replace(at, coupled=True))["s"]))
    assert rise(variables, coupled, b"s", 0) < 0


@pytest.mark.slow
def test_the_linearised_o_step_may_raise_it():
    assert max(max(rises_of_blocks(seed, coupled=True, linearised=True)["o"]) for seed in range(5)) > 1e-3


@pytest.mark.slow
def test_the_linear_a_step_may_raise_it():
    """The simplification f(a) = a minimises something else."""
    assert max(max(rises_of_blocks(seed, coupled=True, linear=True)["a"]) for seed in range(5)) > 1e-3


@pytest.mark.parametrize("block", ["U", "W", "V", "s"])
def test_with_printed_signs_the_linearised_blocks_climb(block):
    """Eq. (10), (13), (16), (18) as printed go up the gradient."""
    assert min(rise_alone(seed, block, 1.0, coupled=True, derived=False) for seed in range(5)) > 1e-3


# Whole iterations, multipliers included


@pytest.mark.slow_on("1", "2")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("nu", [0.1, 1.0])
@pytest.mark.parametrize("every_step", [True, False])
def test_the_augmented_lagrangian_never_rises_and_the_change_falls_faster_than_1_over_k(seed, nu, every_step):
    """Theorems 1 and 3: rho > 2H, and r kept above the Lipschitz bounds."""
    outcome = train(seed, 600, every_step=every_step, nu=nu, r="lipschitz", s_coupling=True)
    assert outcome.status is Status.ITERATION_LIMIT
    assert len(rising_iterations(outcome.history)) == 0
    assert outcome.history[-1]["lagrangian"] > 0
    m = np.minimum.accumulate([record["change"] for record in outcome.history])
    k = np.arange(1, len(m) + 1)
    slope = np.polyfit(np.log(k[100:]), np.log(m[100:]), 1)[0]
    assert slope < -1.2
    assert np.all(m[100:] * k[100:] <= m[100] * k[100])


@pytest.mark.parametrize("seed", range(2))
def test_the_limit_is_stationary(seed):
    """Theorem 2: the gradient of the augmented Lagrangian in every variable goes to zero with the change."""
    network, sequences, labels = problem(seed, every_step=False, n_sequences=2, n_hidden=2)
    kernels = backend.kernels()
    variables = Variables.of_sequences(
        kernels, network, sequences, np.arange(2), labels, np.ones(2), SoftmaxCrossEntropy()
    )
    variables.roll_out(kernels, "tanh")
    at = SweepSettings(2.0, 2.0, 2.0, 1.0, 30.0, coupled=True)
    norms = []
    for iterations in (20, 3000):
        for _ in range(iterations):
            kernels.sweep(variables, at, BACKWARD + FORWARD, 0, variables.n_steps)
            residuals = variables.residuals(kernels, "tanh")
            variables.update_multipliers(at, *(residual[-2:] for residual in residuals))
        norms.append(np.linalg.norm(gradient(variables, at)))
    assert norms[1] < 0.02 * norms[0]


def gradient(variables, at, h=1e-6):
    """Central differences of the augmented Lagrangian in the weights, a_t, s_t and o_t."""
    d, found = variables.Theta.shape[1] - variables.Theta.shape[0] - 1, []
    for values in (variables.Theta, variables.Psi, variables.A, variables.H[:, :-1], variables.O):
        for index in np.ndindex(values.shape):
            at_both = []
            start = values[index]
            for shift in (h, -h):
                values[index] = start + shift
                variables.Z[variables._rows_of_states, d:-1] = variables.H[:, :-1]
                at_both.append(augmented_lagrangian(variables, at))
            values[index] = start
            variables.Z[variables._rows_of_states, d:-1] = variables.H[:, :-1]
            found.append((at_both[0] - at_both[1]) / (2 * h))
    return np.array(found)


@pytest.mark.slow
def test_no_fixed_r_is_large_enough_when_the_weights_can_grow_for_ever():
    """Counter-example to Theorem 1: with separable labels V grows until omega |V|^2 passes r, then it diverges."""
    for seed in range(3):
        outcome = train(seed, 1500, every_step=True, nu=1.0, r=30.0, s_coupling=True)
        first = rising_iterations(outcome.history)[0]
        assert first > 200  # so long it looked convergent
        assert outcome.status is Status.DIVERGED


def test_rho_below_2_H_raises_it_in_the_first_iterations():
    for seed in range(3):
        settings = {"rho1": 0.1, "rho2": 0.1, "rho3": 0.1, "r": 100.0, "s_coupling": True}
        assert 0 < len(rising_iterations(train(seed, 60, nu=1.0, **settings).history)) < 20


def test_without_the_coupling_the_augmented_lagrangian_may_rise():
    outcomes = [train(seed, 300, every_step=True, nu=1.0, r=30.0, s_coupling=False) for seed in range(4)]
    assert any(len(rising_iterations(outcome.history)) > 10 for outcome in outcomes)
