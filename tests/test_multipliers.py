"""Multipliers are gradients: as rho grows, minus the statistic L is the gradient of the roll-out loss."""

import itertools
from types import SimpleNamespace

import kernel_calls
import numpy as np
import pytest
from scipy.special import expit, logsumexp

from admmirnn import backend, reference
from admmirnn.data.sequences import Sequences
from admmirnn.networks.cells import Elman

BACKENDS = pytest.mark.parametrize("kernels", [backend._compiled(), reference], ids=["compiled", "numpy"])
ACTIVATIONS = {
    "tanh": np.tanh,
    "sigmoid": expit,
    "relu": lambda a: np.maximum(a, 0),
    "leaky_relu": lambda a: np.maximum(a, 0.01 * a),
    "identity": lambda a: a,
}
SLOPES = {
    "tanh": lambda s: 1 - s**2,
    "sigmoid": lambda s: s * (1 - s),
    "relu": lambda s: (s > 0).astype(float),
    "leaky_relu": lambda s: np.where(s > 0, 1, 0.01),
    "identity": np.ones_like,
}
LOSSES = ("cross_entropy", "squared_error")
LENGTHS = (4, 7, 1, 5, 7, 2)
N_FEATURES, N_HIDDEN, N_OUTPUTS = 3, 5, 4


def random_case(loss, recurrent_scale=0.5, seed=0):
    """Sequences as a list of (length, features) arrays with targets and weights, and a random network."""
    rng = np.random.default_rng(seed)
    d, n, K, B = N_FEATURES, N_HIDDEN, N_OUTPUTS, len(LENGTHS)
    Theta = np.concatenate([rng.normal(size=(n, d)), np.empty((n, n)), rng.normal(size=(n, 1))], axis=1)
    Theta[:, d:-1] = recurrent_scale * np.linalg.qr(rng.normal(size=(n, n)))[0]
    weights = rng.uniform(0.5, 2, B)
    return SimpleNamespace(
        X=[rng.normal(size=(length, d)) for length in LENGTHS],
        y=rng.integers(0, K, B) if loss == "cross_entropy" else rng.normal(size=(B, K)),
        weights=weights / weights.mean(),
        Theta=Theta,
        Psi=rng.normal(size=(K, n + 1)),
    )


def roll_out_loss(case, Theta, Psi, activation, loss):
    """The weighted mean loss, one sequence and one step at a time."""
    d, total = N_FEATURES, 0.0
    U, W, b = Theta[:, :d], Theta[:, d:-1], Theta[:, -1]
    for x, y, weight in zip(case.X, case.y, case.weights, strict=True):
        s = np.zeros(len(Theta))
        for x_t in x:
            s = ACTIVATIONS[activation](U @ x_t + W @ s + b)
        o = Psi[:, :-1] @ s + Psi[:, -1]
        R = logsumexp(o) - o[y] if loss == "cross_entropy" else 0.5 * ((o - y) ** 2).sum()
        total += weight * R
    return total / len(case.X)


def central_differences(function, matrix, h=1e-5):
    gradient = np.empty_like(matrix)
    for index in np.ndindex(matrix.shape):
        above, below = matrix.copy(), matrix.copy()
        above[index] += h
        below[index] -= h
        gradient[index] = (function(above) - function(below)) / (2 * h)
    return gradient


def run_kernels(kernels, case, activation, loss, rho, cap):
    """One iteration up to the statistics L of both layers."""
    d, n, K, B = N_FEATURES, N_HIDDEN, N_OUTPUTS, len(case.X)
    sequences = Sequences.of_lengths(np.concatenate(case.X), [len(x) for x in case.X])
    batch = sequences.minibatch(np.arange(B))
    targets, where = case.y[batch.indices], (batch.first_rows, batch.lengths, batch.offsets)
    labels, values = (targets, None) if loss == "cross_entropy" else (None, targets)
    X, S = np.empty((batch.n_rows, d + 1)), np.empty((batch.offsets[-1], n))
    Q, O_plus, lambda3, lambda1 = *np.empty((3, B, K)), np.empty((batch.n_rows, n))
    L_Theta, L_Psi = np.ones_like(case.Theta), np.ones_like(case.Psi)
    kernel_calls.forward(
        kernels,
        *(sequences.observations, 1.0, *where, case.Theta, case.Psi, activation, np.empty((d + n + 1, n)), X, S, Q),
        *(labels, values, case.weights[batch.indices], rho, O_plus, lambda3, loss),
    )
    n_capped = kernel_calls.backward(
        kernels,
        *(case.Theta, case.Psi, X, S, batch.offsets, lambda3, activation, cap, 0.0, 0.0, 0, 1, lambda1, L_Theta),
        *(np.zeros((d + n + 1, d + n + 1)), L_Psi, np.zeros((n + 1, n + 1))),
        np.empty(kernels.backward_room(Elman(), d, n, K, 1)),
    )
    blocks = [lambda1[a:b] for a, b in itertools.pairwise(batch.offsets[:-1])]
    states = [S[first : first + len(block)] for first, block in zip(batch.offsets[1:-1], blocks, strict=True)]
    return SimpleNamespace(L_Theta=L_Theta, L_Psi=L_Psi, blocks=blocks, states=states, n_capped=n_capped)


@pytest.mark.slow_on("numpy")
@BACKENDS
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", LOSSES)
# lambda3 = -grad R(o+) and o+ - q = lambda3 / rho, so the relative error is at most 1 / rho (the Hessian of R is
# at most one); central differences add their own 1e-9.  Twice that is allowed.
@pytest.mark.parametrize(("rho", "tolerance"), [(1e6, 2e-6), (1e9, 5e-9)])
def test_multipliers_are_the_gradient_for_large_rho(kernels, activation, loss, rho, tolerance):
    case = random_case(loss)
    result = run_kernels(kernels, case, activation, loss, rho, np.inf)
    expected_Theta = central_differences(lambda T: roll_out_loss(case, T, case.Psi, activation, loss), case.Theta)
    expected_Psi = central_differences(lambda P: roll_out_loss(case, case.Theta, P, activation, loss), case.Psi)
    assert min(np.abs(expected_Theta).max(), np.abs(expected_Psi).max()) > 0.01
    np.testing.assert_allclose(-result.L_Theta, expected_Theta, rtol=0, atol=tolerance * np.abs(expected_Theta).max())
    np.testing.assert_allclose(-result.L_Psi, expected_Psi, rtol=0, atol=tolerance * np.abs(expected_Psi).max())


@BACKENDS
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("cap", [0.3, 1.0, 1.7])
def test_cap_bounds_the_multipliers_of_every_step_of_a_sequence(kernels, activation, loss, cap):
    case = random_case(loss, recurrent_scale=4.0)
    free = run_kernels(kernels, case, activation, loss, 1.0, np.inf)
    capped = run_kernels(kernels, case, activation, loss, 1.0, cap)
    np.testing.assert_array_equal(capped.blocks[-1], free.blocks[-1])
    n_at_bound = 0
    for i, injected in enumerate(capped.blocks[-1]):
        bound = cap * np.linalg.norm(injected)
        of_capped, of_free = ([block[i] for block in at.blocks[:-1] if i < len(block)] for at in (capped, free))
        norms = np.linalg.norm(of_capped, axis=1) if of_capped else np.zeros(0)
        assert (norms <= bound * (1 + 1e-12)).all()
        # what is scaled down stands at the bound
        at_bound = (norms > 0) & np.isclose(norms, bound, rtol=1e-12, atol=0)
        n_at_bound += at_bound.sum()
        # until the first one is, nothing differs from the multipliers without a cap
        assert at_bound.any() == any(np.linalg.norm(lambda1) > bound for lambda1 in of_free)
        for t in range(at_bound.nonzero()[0].max(initial=-1) + 1, len(norms)):
            np.testing.assert_array_equal(of_capped[t], of_free[t])
    assert capped.n_capped == n_at_bound


@BACKENDS
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_capped_multipliers_keep_their_direction(kernels, activation):
    case = random_case("cross_entropy", recurrent_scale=4.0)
    result = run_kernels(kernels, case, activation, "cross_entropy", 1.0, 0.5)
    W = case.Theta[:, N_FEATURES:-1]
    n_scaled = 0
    for block, following, states in zip(result.blocks[:-1], result.blocks[1:], result.states[:-1], strict=True):
        slope = SLOPES[activation](states)
        for lambda1, passed_on in zip(block, slope * (following[: len(block)] @ W), strict=True):
            if not passed_on.any():
                continue
            unit = passed_on / np.abs(passed_on).max()  # the squares of a sequence that is learnt may vanish
            ratio = np.vdot(lambda1, unit) / np.vdot(passed_on, unit)
            n_scaled += ratio < 1 - 1e-9
            assert ratio <= 1 + 1e-12
            np.testing.assert_allclose(lambda1, ratio * passed_on, rtol=0, atol=1e-13 * np.abs(lambda1).max())
    assert n_scaled == result.n_capped > 0


@BACKENDS
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_infinite_cap_is_no_cap(kernels, activation):
    case = random_case("squared_error", recurrent_scale=4.0)
    infinite = run_kernels(kernels, case, activation, "squared_error", 1.0, np.inf)
    out_of_reach = run_kernels(kernels, case, activation, "squared_error", 1.0, 1e30)
    W = case.Theta[:, N_FEATURES:-1]
    assert infinite.n_capped == out_of_reach.n_capped == 0
    np.testing.assert_array_equal(infinite.L_Theta, out_of_reach.L_Theta)
    for block, following, states in zip(infinite.blocks[:-1], infinite.blocks[1:], infinite.states[:-1], strict=True):
        slope = SLOPES[activation](states)
        expected = slope * (following[: len(block)] @ W)
        np.testing.assert_allclose(block, expected, rtol=0, atol=1e-13 * np.abs(block).max())


@BACKENDS
@pytest.mark.parametrize("cap", [1.0, np.inf])
def test_zero_multipliers_stay_zero(kernels, cap):
    case = random_case("squared_error")
    case.Psi[:, :-1] = 0
    result = run_kernels(kernels, case, "tanh", "squared_error", 1.0, cap)
    assert result.n_capped == 0
    np.testing.assert_array_equal(result.L_Theta, 0)
    assert np.abs(result.L_Psi).max() > 0
