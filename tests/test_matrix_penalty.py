"""The penalty that is a matrix: the multipliers' Gram matrix R, the weight step in its metric, and where it is kept."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from kernel_calls import call as launch
from kernel_calls import keep_multipliers
from test_kernels import (
    ACTIVATIONS,
    BACKENDS,
    COMPILED,
    DTYPES,
    LAMBDA1,
    SIZES,
    assert_same,
    backward_arguments_with_R,
    frozen,
    large_case,
    make_case,
    update_arguments,
    update_arguments_with_R,
)

from admmirnn import RNNClassifier, RNNRegressor, Rollout, backend
from admmirnn.data.sequences import Sequences
from admmirnn.losses import SoftmaxCrossEntropy
from admmirnn.networks import ElmanRNN
from admmirnn.penalties import Lasso, SpectralBall
from admmirnn.solvers.rollout.iteration import Fit
from admmirnn.solvers.rollout.order import Shuffled
from admmirnn.solvers.rollout.over_workers import of_all_targets
from admmirnn.solvers.rollout.problem import Problem
from admmirnn.solvers.rollout.state import Layer

pytestmark = pytest.mark.elman

R = 27  # where `backward` takes it


@pytest.fixture(autouse=True, scope="module")
def one_blas_thread():
    """As in every fit and every prediction."""
    with backend.one_blas_thread():
        yield


def rows_of(c):
    """Step and sequence of each row of the multipliers."""
    step = np.repeat(np.arange(c.n_steps), np.diff(c.offsets)[: c.n_steps])
    return step, np.arange(len(step)) - c.offsets[step]


# The statistic


@BACKENDS
@DTYPES
@ACTIVATIONS
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("every", "first"), [(1, 0), (2, 0), (3, 1), (8, 5), (99, 0)])
def test_R_is_the_running_gram_matrix_of_the_rows_asked_for(kernels, every, first, size, activation, dtype):
    c = make_case(size, dtype, activation)
    first = min(first, c.n_steps - 1)
    arguments = backward_arguments_with_R(c, every, cap=0.5, first=first, every=2)
    arguments[R][np.triu_indices(len(c.R), 1)] = np.nan  # is of no use
    launch(kernels, "backward", arguments)
    step, sequence = rows_of(c)
    taken = arguments[LAMBDA1][(step + sequence + first) % every == 0].astype(np.float64)
    expected = 0.8 * c.R + 0.2 * taken.T @ taken / len(taken) if len(taken) else c.R
    assert_same(np.tril(arguments[R]), np.tril(expected), dtype)


@BACKENDS
@DTYPES
def test_all_rows_are_taken_in_turn(kernels, dtype):
    c = make_case("wide", dtype)
    c.R = frozen(np.zeros_like(make_case("wide").Theta[:, : len(c.Theta)]))
    total, count = 0, 0
    for first in range(4):
        arguments = backward_arguments_with_R(c, 4, R_decay=0.0, first=first)
        launch(kernels, "backward", arguments)
        step, sequence = rows_of(c)
        n_taken = int(((step + sequence + first) % 4 == 0).sum())
        total, count = total + n_taken * np.tril(arguments[R]), count + n_taken
    lambda1 = arguments[LAMBDA1].astype(np.float64)
    assert count == len(lambda1)
    assert_same(total / count, np.tril(lambda1.T @ lambda1 / count), dtype)


@BACKENDS
@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e-12, 1e10, 1e15, 1e18])
def test_R_of_tiny_and_huge_multipliers_in_float32(kernels, scale):
    c = make_case("wide", np.float32)
    usual = backward_arguments_with_R(c, cap=np.inf, R_decay=0.0)
    launch(kernels, "backward", usual)
    c.lambda3 = frozen(np.float32(scale) * c.lambda3)
    arguments = backward_arguments_with_R(c, cap=np.inf, R_decay=0.0)
    launch(kernels, "backward", arguments)
    found, expected = np.tril(arguments[R]) / scale / scale, np.tril(usual[R])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert np.isfinite(arguments[R]).all()


@BACKENDS
@pytest.mark.parametrize("growth", [1e-7, 1e-3, 30.0, 1e4])
@pytest.mark.parametrize("size", ["odd", "wide"])
def test_R_of_multipliers_that_vanish_or_explode_backwards(kernels, size, growth):
    """Its unit changes on the way; what is largest counts."""
    c = make_case(size, np.float32, "identity")
    n, m = c.Theta.shape
    Theta = np.zeros((n, m), np.float32)
    Theta[:, m - n - 1 : -1] = growth * np.linalg.qr(np.random.default_rng(3).normal(size=(n, n)))[0]
    c.Theta, c.lambda3 = frozen(Theta), frozen(np.float32(1e-18) * c.lambda3)
    arguments = backward_arguments_with_R(c, cap=np.inf, R_decay=0.0)
    launch(kernels, "backward", arguments)
    lambda1 = arguments[LAMBDA1].astype(np.float64)
    expected = np.tril(lambda1.T @ lambda1 / len(lambda1))
    assert expected.max() > 0
    np.testing.assert_allclose(np.tril(arguments[R]), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@DTYPES
@pytest.mark.parametrize("size", ["equal", "unequal"])
@pytest.mark.parametrize("every", [1, 5])
def test_R_is_the_same_in_any_number_of_threads(every, size, dtype):
    c = large_case(size, dtype)
    expected = backward_arguments_with_R(c, every)
    launch(COMPILED, "backward", expected)
    for n_threads in (2, 3):
        runs = [backward_arguments_with_R(c, every, n_threads=n_threads) for _ in range(2)]
        for arguments in runs:
            launch(COMPILED, "backward", arguments)
        np.testing.assert_array_equal(np.tril(runs[0][R]), np.tril(runs[1][R]))  # to the bit
        assert_same(np.tril(runs[0][R]), np.tril(expected[R]), dtype)


@BACKENDS
def test_without_R_nothing_else_changes(kernels):
    c = make_case("wide", np.float32)
    with_R = backward_arguments_with_R(c)
    without = backward_arguments_with_R(c)
    without[R] = None
    assert launch(kernels, "backward", with_R) == launch(kernels, "backward", without)
    for i in (12, 13, 14, 15, 16):
        np.testing.assert_array_equal(with_R[i], without[i])


@pytest.mark.parametrize("shape", [(4, 4), (5, 4), (6, 6)])
def test_backward_refuses_an_R_of_another_shape(shape):
    arguments = backward_arguments_with_R(make_case("odd"))
    arguments[R] = np.zeros(shape)
    with pytest.raises(ValueError, match="R has the shape"):
        launch(COMPILED, "backward", arguments)


# The weight step


def penalty_of(R, damping):
    return R / (np.trace(R) / len(R)) + damping * np.eye(len(R))


@BACKENDS
@DTYPES
@pytest.mark.parametrize("size", ["odd", "equal", "wide"])
@pytest.mark.parametrize("damping", [0.01, 0.1, 1.0])
def test_the_weight_step_is_optimal(kernels, damping, size, dtype):
    """The gradient of -<M, D> + r/2 tr(P D (G + shift I) D^T) is zero at the step D / r; |D| is in the metric of P."""
    c = make_case(size, dtype)
    arguments = update_arguments_with_R(c, damping=damping, r=4.0, radius=np.inf, shrinkage=0.0, schedule=1.0)
    (norm, length, in_force, shift), _ = launch(kernels, "update_weights", arguments)
    assert (length, in_force) == (0.25, damping)
    P, G = penalty_of(arguments["R"], damping), c.G.astype(np.float64)
    G = np.tril(G) + np.tril(G, -1).T + shift * np.eye(len(G))
    step = arguments["Theta"].astype(np.float64) - c.Theta
    gradient = -c.M.astype(np.float64) + 4.0 * P @ step @ G
    scale = 4.0 * np.linalg.norm(P) * np.linalg.norm(arguments["Theta"]) * np.linalg.norm(G)
    assert np.linalg.norm(gradient) <= 20 * np.finfo(dtype).eps * scale
    D = arguments["D"].T.astype(np.float64)
    expected = np.trace(P @ D @ (G - shift * np.eye(len(G))) @ D.T) / len(D)
    assert norm**2 == pytest.approx(expected, rel=1e4 * float(np.finfo(dtype).eps))


@BACKENDS
@DTYPES
def test_no_other_step_of_its_length_gains_more(kernels, dtype):
    c = make_case("odd", dtype)
    arguments = update_arguments_with_R(c, r=0.0, radius=0.1, shrinkage=0.0, schedule=1.0)
    (_, _, damping, shift), _ = launch(kernels, "update_weights", arguments)
    step, rng = arguments["Theta"].astype(np.float64) - c.Theta, np.random.default_rng(0)
    P, G = penalty_of(arguments["R"], damping), c.G.astype(np.float64) + shift * np.eye(len(c.G))

    def size(step):
        return np.sqrt(np.trace(P @ step @ G @ step.T))

    for _ in range(100):
        other = step + 0.3 * rng.normal(size=step.shape) * np.abs(step).max()
        other *= size(step) / size(other)
        assert np.vdot(c.M, other) <= np.vdot(c.M, step) * (1 + 1e-4)


@BACKENDS
@DTYPES
@pytest.mark.parametrize("rank", [1, 3])
def test_an_R_without_full_rank_raises_the_damping(kernels, rank, dtype):
    c = make_case("wide", dtype)
    arguments = update_arguments_with_R(c, damping=0.0)
    half = np.random.default_rng(1).normal(size=(len(c.Theta), rank))
    arguments["R"] = half @ half.T
    (norm, length, damping, _), _ = launch(kernels, "update_weights", arguments)
    assert damping >= (1e-6 if dtype is np.float32 else 1e-14)
    assert np.isfinite([norm, length]).all()
    assert np.isfinite(arguments["Theta"]).all()


@BACKENDS
@DTYPES
def test_without_multipliers_nothing_moves(kernels, dtype):
    c = make_case("odd", dtype)
    arguments = update_arguments_with_R(c, shrinkage=0.0)
    arguments["R"] = np.zeros((len(c.Theta),) * 2)
    hidden, output = launch(kernels, "update_weights", arguments)
    assert hidden[:2] == (0, 0)
    np.testing.assert_array_equal(arguments["Theta"], c.Theta)
    assert output[1] > 0


@BACKENDS
@DTYPES
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", [(2, 2), (4, 4)])
def test_nothing_moves_when_R_is_not_finite(kernels, place, bad, dtype):
    c = make_case("odd", dtype)
    arguments = update_arguments_with_R(c)
    arguments["R"] = arguments["R"].copy()
    arguments["R"][place] = bad
    hidden, output = launch(kernels, "update_weights", arguments)
    assert np.isnan(hidden[0])
    assert np.isfinite(output[0])
    np.testing.assert_array_equal(arguments["Theta"], c.Theta)
    np.testing.assert_array_equal(arguments["Psi"], c.Psi)


@BACKENDS
@DTYPES
@pytest.mark.parametrize("scale", [1e-300, 1e-40, 1e60, 1e290])
def test_the_scale_of_R_does_not_matter(kernels, scale, dtype):
    c = make_case("odd", dtype)
    usual, scaled = update_arguments_with_R(c), update_arguments_with_R(c)
    scaled["R"] = scale * scaled["R"]
    assert np.array(launch(kernels, "update_weights", scaled)) == pytest.approx(
        np.array(launch(kernels, "update_weights", usual)), rel=1e-4
    )
    assert_same(scaled["Theta"], usual["Theta"], dtype)


@BACKENDS
@DTYPES
def test_an_R_of_one_kind_of_multipliers_is_the_scalar_penalty(kernels, dtype):
    """P = (1 + damping) I: the same direction, and the same step of the same length in the metric of P."""
    c = make_case("odd", dtype)
    scalar = update_arguments(c, r=0.0, damping=0.1, shrinkage=0.0)
    matrix = update_arguments_with_R(c, r=0.0, damping=0.1, shrinkage=0.0)
    matrix["R"] = 5 * np.eye(len(c.Theta))
    launch(kernels, "update_weights", scalar)
    launch(kernels, "update_weights", matrix)
    assert_same(np.sqrt(1.1) * (matrix["Theta"] - c.Theta), scalar["Theta"] - c.Theta, dtype)


@BACKENDS
@DTYPES
@pytest.mark.parametrize("radius", [0.05, np.inf])
@pytest.mark.parametrize("shrinkage", [0.0, 0.7, 1e6])
def test_the_ridge_is_of_U_and_W_and_goes_by_the_distance_moved(kernels, shrinkage, radius, dtype):
    c = make_case("odd", dtype)
    arguments = update_arguments_with_R(c, r=40.0, radius=radius, shrinkage=shrinkage)
    (norm, length, *_), _ = launch(kernels, "update_weights", arguments)
    expected = c.Theta.copy()
    expected[:, :-1] *= max(0, 1 - shrinkage * length * norm)
    assert_same(arguments["Theta"], expected + length * arguments["D"].T, dtype, roundings=8)


@BACKENDS
def test_the_factor_of_the_penalty_is_always_a_new_one(kernels):
    c = make_case("odd", np.float64)
    first = update_arguments_with_R(c)
    factored = launch(kernels, "update_weights", first)
    again = update_arguments_with_R(c, factored=factored)
    again |= {name: first[name].copy() for name in ("factor", "output_factor")}
    again["R"] = np.eye(len(c.Theta))
    anew = update_arguments_with_R(c)
    anew["R"] = again["R"]
    assert launch(kernels, "update_weights", again) == launch(kernels, "update_weights", anew) != factored
    np.testing.assert_array_equal(again["Theta"], anew["Theta"])


@pytest.mark.parametrize("missing", ["P_factor", None])
def test_update_weights_refuses_an_R_that_does_not_belong(missing):
    arguments = update_arguments_with_R(make_case("odd"))
    if missing is None:
        arguments["R"] = np.eye(4)
    else:
        arguments[missing] = None
    with pytest.raises(ValueError, match="one of R and P_factor is None|R has the shape"):
        launch(COMPILED, "update_weights", arguments)


# The solver


def waves(n=60, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    t = [np.arange(length)[:, None] for length in rng.integers(5, 12, n)]
    return [
        np.sin((0.3 + 0.3 * label) * t_) + 0.2 * rng.normal(size=t_.shape) for label, t_ in zip(y, t, strict=True)
    ], y


@pytest.mark.parametrize(("n", "expected"), [(1, 2.0), (400, 2.0), (128 * 36, 1.0), (128 * 10**4, 0.06)])
def test_the_ridge_suits_the_number_of_targets(n, expected):
    fit = fit_of()
    assert fit.n_with_weight == 4
    for targets, weights in ((np.zeros(n, int), None), (np.zeros(2 * n, int), np.arange(2.0 * n) % 2)):
        # half of the latter have no weight
        _, fit.n_with_weight = of_all_targets(fit.reducer, fit.loss, targets, weights)
        assert fit.ridge(fit.layers[0]) == pytest.approx(expected)
    assert fit.ridge(fit.layers[-1]) == 0.2  # of layers whose penalty is a number
    fit.works[0][0].room.n = 512
    assert fit.ridge(fit.layers[0]) == pytest.approx(min(2, 2 * expected))
    fit.sequences = SimpleNamespace(n_symbols=61)
    assert fit.ridge(fit.layers[0]) == pytest.approx(min(2, 2 * expected * 14 / 6) if expected < 2 else 2)


def weights_of(model):
    return {name: getattr(model, name) for name in ("U_", "W_", "b_", "V_", "c_")}


def test_the_two_metrics_differ(backend_name):
    X, y = waves()
    found = [RNNClassifier(8, solver=Rollout(metric=m), random_state=0).fit(X, y) for m in ("multipliers", "identity")]
    assert not np.allclose(found[0].W_, found[1].W_)
    default = RNNClassifier(8, random_state=0).fit(X, y)
    np.testing.assert_array_equal(default.W_, found[0].W_)


def test_a_metric_that_does_not_exist_is_refused():
    X, y = waves()
    with pytest.raises(ValueError, match="metric is 'euclidean'"):
        RNNClassifier(8, solver=Rollout(metric="euclidean")).fit(X, y)


@pytest.mark.parametrize("penalties", [{"W": SpectralBall(0.9)}, {"UWb": Lasso(1e-4)}, {"WV": Lasso(1e-4)}])
def test_layers_with_penalties_keep_the_scalar_penalty(penalties, backend_name):
    X, y = waves()
    models = [
        RNNClassifier(
            8, solver=Rollout(metric=metric), penalties=penalties, penalty=0.1, max_epochs=5, random_state=0
        ).fit(X, y)
        for metric in ("multipliers", "identity")
    ]
    for name, expected in weights_of(models[1]).items():
        np.testing.assert_array_equal(getattr(models[0], name), expected)


def test_a_penalty_on_the_outputs_leaves_the_hidden_layer_its_matrix():
    X, y = waves()
    model = RNNClassifier(8, penalties={"V": Lasso(1e-3)}, max_epochs=3, random_state=0).fit(X, y)
    assert model._memory.layers[0].R is not None
    assert model._memory.layers[1].R is None


def fit_of(**settings):
    """A `Fit` before its first minibatch."""
    rng = np.random.default_rng(0)
    lengths = [5, 3, 7, 1]
    network = ElmanRNN(rng.normal(size=(6, 9)) / 3, rng.normal(size=(3, 7)), "tanh", "last")
    sequences = Sequences.of_lengths(rng.normal(size=(sum(lengths), 2)), lengths)
    order = Shuffled(network, sequences, 4, False, None)
    fit = Fit(
        Rollout(**settings), Problem(network, order, rng.integers(0, 3, 4), SoftmaxCrossEntropy(), n_iterations=9)
    )
    return fit


def test_R_is_a_running_mean_over_minibatches(backend_name):
    fit = fit_of(gram_decay=0.98, multiplier_cap=None)
    means, expected = [], 0
    for k in range(1, 6):
        fit.take(np.arange(4))
        keep_multipliers(fit.kernels, fit.works[0][0])
        fit.sweep_forward()
        fit.sweep_backward()
        fit.agree()
        fit.fold()
        lambda1 = fit.works[0][0].room.lambda1
        means.append(lambda1.T @ lambda1 / len(lambda1))
        beta = 1 - 1 / k
        expected = beta * expected + (1 - beta) * means[-1]
        np.testing.assert_allclose(np.tril(fit.layers[0].R), np.tril(expected), rtol=1e-12, atol=1e-14)
        fit.update_weights()
    assert not np.allclose(means[0], means[-1])


def test_a_rollback_forgets_R():
    fit = fit_of()
    for _ in range(2):
        fit.take(np.arange(4))
        fit.sweep_forward()
        fit.sweep_backward()
        fit.agree()
        fit.fold()
        fit.update_weights()
    assert fit.layers[0].R.trace() > 0
    fit.roll_back()
    assert not fit.layers[0].R.any()


@pytest.mark.parametrize(
    ("n_rows", "n", "every", "decay"),
    [
        (16, 6, 1, 0.9),  # all of them, 2.7 n
        (3000, 64, 11, 0.9),  # 256 of them or more, 4 n
        (3500, 128, 8, 0.9),  # a share, 3.4 n
        (14000, 128, 27, 0.9),  # 4 n
        (7000, 512, 6, 0.9),
        (8, 32, 1, 0.975),  # so few that the mean has to be of more minibatches
    ],
)
def test_small_minibatches_give_R_all_their_rows_and_large_ones_a_share(n_rows, n, every, decay):
    fit = fit_of()
    batch, room = SimpleNamespace(n_rows=n_rows, n_steps=28), SimpleNamespace(n=n)
    fit.works = [[SimpleNamespace(batch=batch, room=room)]]
    fit.n_remembered = 1000
    fit.begin_statistics()
    assert (fit.R_every, fit.R_decay) == (every, pytest.approx(decay))
    assert fit.gram_steps[1] == max(min(8, n_rows // n), 1)
    fit.n_remembered = 1
    fit.begin_statistics()
    assert fit.R_decay == 0.5


@pytest.mark.parametrize(("n_steps", "every"), [(99, 27), (100, 8), (784, 8)])
def test_long_sequences_give_R_a_larger_share(n_steps, every):
    fit = fit_of()
    batch, room = SimpleNamespace(n_rows=14000, n_steps=n_steps), SimpleNamespace(n=128)
    fit.works = [[SimpleNamespace(batch=batch, room=room)]]
    fit.n_remembered = 1000
    fit.begin_statistics()
    assert fit.R_every == every


def test_partial_fit_goes_on_with_R():
    X, y = waves(120)
    whole = RNNClassifier(8, random_state=0)
    for first in range(0, 120, 20):
        whole.partial_fit(X[first : first + 20], y[first : first + 20], classes=range(3))
    half = RNNClassifier(8, random_state=0)
    for first in range(0, 60, 20):
        half.partial_fit(X[first : first + 20], y[first : first + 20], classes=range(3))
    half = pickle.loads(pickle.dumps(half))
    R = half._memory.layers[0].R
    assert R.shape == (8, 8)
    assert R.dtype == np.float64
    assert R.trace() > 0
    for first in range(60, 120, 20):
        half.partial_fit(X[first : first + 20], y[first : first + 20], classes=range(3))
    for name, expected in weights_of(whole).items():
        np.testing.assert_array_equal(getattr(half, name), expected)


def test_a_memory_without_R_starts_its_statistics_anew():
    """Such as that of a model that was pickled by an older version, or trained with the other metric."""
    X, y = waves()
    model = RNNClassifier(8, solver=Rollout(metric="identity"), random_state=0)
    for _ in range(4):
        model.partial_fit(X, y, classes=range(3))
    assert model._memory.n_remembered > 10
    model.set_params(solver__metric="multipliers").partial_fit(X, y)
    assert 0 < model._memory.n_remembered < 10
    assert model._memory.layers[0].R.trace() > 0
    for layer in model._memory.layers:
        layer.R = None
    model._memory.online = model._memory.guard = None
    model.partial_fit(X, y)
    assert all(np.isfinite(weights).all() for weights in weights_of(model).values())
    model.set_params(solver__metric="identity").partial_fit(X, y)
    assert model._memory.layers[0].R is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_both_directions_have_an_R_of_their_own(dtype, backend_name):
    X, y = waves()
    model = RNNClassifier(8, bidirectional=True, dtype=dtype, max_epochs=4, random_state=0).fit(X, y)
    one, other, output = model._memory.layers
    assert one.R.trace() > 0
    assert other.R.trace() > 0
    assert not np.allclose(one.R, other.R)
    assert output.R is None


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_unit_of_targets_makes_no_difference(scale, backend_name):
    """Multipliers are in that unit, and float32 has no room for their squares."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 9, 2))
    y = X[:, :, 0].sum(axis=1)
    options = {"scale_targets": True, "max_epochs": 3, "random_state": 0}
    usual = RNNRegressor(8, **options).fit(X, y).predict(X)
    scaled = RNNRegressor(8, **options).fit(X, scale * y).predict(X)
    np.testing.assert_allclose(scaled / scale, usual, rtol=0, atol=1e-3)


def test_a_layer_without_a_matrix_takes_no_room_for_one():
    layer = Layer(np.zeros((3, 7)), 0.01)
    assert layer.R is None
    assert layer.P_factor is None


@pytest.mark.parametrize("radius", [0.05, np.inf])
def test_the_ridge_of_symbols_is_of_W_alone(radius, backend_name):
    """Of characters that are rare, U would be wiped out."""
    rng = np.random.default_rng(0)
    n, d = 5, 7
    M, Theta = rng.normal(size=(n, d + n + 1)), rng.normal(size=(n, d + n + 1))
    Z = np.hstack([np.eye(d)[rng.integers(0, d, 90)], np.tanh(rng.normal(size=(90, n))), np.ones((90, 1))])
    G = np.ascontiguousarray((Z.T @ Z / 90)[:, d:])
    half, after, D = rng.normal(size=(n, 9)), Theta.copy(), np.zeros((d + n + 1, n))
    arrays = {"M": M, "G": G, "factor": np.zeros_like(G), "D": D, "Theta": after, "scratch": np.zeros(D.size + G.size)}
    arguments = {**arrays, "n": n, "d": d, "K": 0, "n_symbols": d, "R": half @ half.T, "P_factor": np.zeros((n, n))}
    arguments |= {"damping": 0.1, "r": 40.0, "radius": radius, "schedule": 1.0, "shrinkage": 0.7}
    (norm, length, *_), _ = launch(backend.kernels(), "update_weights", arguments)
    expected = Theta.copy()
    expected[:, d:-1] *= 1 - 0.7 * length * norm
    np.testing.assert_allclose(after, expected + length * D.T, rtol=1e-12)
