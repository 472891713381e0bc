"""The rollout solver: what its steps do, what the history says, and that no setting ruins a network in silence."""

import math

import kernel_calls
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from admmirnn import RNNClassifier, Rollout, Status, backend
from admmirnn.activations import ACTIVATIONS
from admmirnn.data.sequences import Sequences
from admmirnn.datasets import adding_problem
from admmirnn.losses import SoftmaxCrossEntropy, SquaredError
from admmirnn.networks import ElmanRNN
from admmirnn.solvers.rollout.guard import Guard
from admmirnn.solvers.rollout.iteration import Fit
from admmirnn.solvers.rollout.order import Carried

pytestmark = pytest.mark.elman


def as_sequences(X):
    return Sequences.of_lengths(np.concatenate(X), [len(x) for x in X])


def solve(X, y, solver, *, n_hidden=8, dtype="float64", seed=0, activation="tanh", scale=1.0, loss=None, **options):
    X = [np.asarray(x, dtype) for x in X]
    loss = loss or SoftmaxCrossEntropy()
    K = int(np.max(y)) + 1 if np.ndim(y) == 1 else np.shape(y)[1]
    random_state = np.random.RandomState(seed)
    network = ElmanRNN.random(
        X[0].shape[1], n_hidden, K, activation=activation, dtype=np.dtype(dtype), random_state=random_state
    )
    network.weights["W"][:] *= scale
    history = solver.solve(network, as_sequences(X), y, loss, random_state=random_state, **options).history
    return network, history


def assert_finite(network, history):
    assert np.isfinite(network.Theta).all() and np.isfinite(network.Psi).all()
    assert all(math.isfinite(value) for record in history for value in record.values() if value is not None)


@pytest.mark.slow_on("numpy")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_learns(waves, backend_name, dtype, activation):
    X, y = waves
    _, history = solve(X, y, Rollout(), dtype=dtype, activation=activation, max_epochs=15, batch_size=20)
    assert history[-1]["rollout_loss"] < 0.2 * history[0]["rollout_loss"]
    assert history[-1]["training_accuracy"] > 0.95
    assert [record["epoch"] for record in history] == list(range(1, 16))


def test_back_ends_agree(waves, monkeypatch):
    X, y = waves
    networks = []
    for name in ("compiled", "numpy"):
        monkeypatch.setenv("ADMMIRNN_BACKEND", name)
        networks.append(solve(X, y, Rollout(), max_epochs=3, batch_size=30)[0])
    np.testing.assert_allclose(networks[0].Theta, networks[1].Theta, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(networks[0].Psi, networks[1].Psi, rtol=1e-8, atol=1e-10)


def test_one_iteration_moves_the_pre_activations_by_the_radius(waves, backend_name):
    """|Theta_new - Theta| in the Gram metric is the radius, whatever the batch."""
    X, y = waves
    network, _ = solve(X, y, Rollout(r=0.0), max_epochs=2, batch_size=40)
    sequences = as_sequences(X)
    before = [network.Theta.copy(), network.Psi.copy()]
    solver = Rollout(r=0.0, radius=0.02, output_radius=0.05, schedule="constant", momentum=0.0, metric="identity")
    options = {"max_epochs": 1, "batch_size": len(X), "shuffle": False}
    history = solver.solve(network, sequences, y, SoftmaxCrossEntropy(), **options).history
    kernels = backend.kernels()
    batch = sequences.minibatch(np.arange(len(X)))
    X, S, last = np.empty((batch.n_rows, 3)), np.empty((batch.offsets[-1], 8)), slice(batch.n_rows, None)
    kernel_calls.forward(
        kernels,
        *(sequences.observations, 1.0, batch.first_rows, batch.lengths, batch.offsets, *before, "tanh"),
        *(np.empty((11, 8)), X, S, np.empty((len(batch), 2))),
    )
    Z = np.hstack([X[:, :-1], S[: batch.n_rows], X[:, -1:]])
    H = np.hstack([S[last], np.ones((len(batch), 1))])
    change = Z @ (network.Theta - before[0]).T
    assert np.sqrt(np.mean(change**2)) == pytest.approx(0.02, rel=1e-8)
    assert np.sqrt(np.mean((H @ (network.Psi - before[1]).T) ** 2)) == pytest.approx(0.05, rel=1e-8)
    assert history[0]["radius"] == 0.02 and history[0]["output_radius"] == 0.05


def test_a_small_enough_step_lowers_the_loss(waves, backend_name):
    """The direction is one of descent for the weighted loss over the whole training set."""
    X, y = waves
    weights = np.random.default_rng(1).uniform(0.1, 3, len(X))
    network, _ = solve(X, y, Rollout(), max_epochs=1, batch_size=40)
    losses = []
    for _ in range(6):
        outcome = Rollout(rho=10.0, radius=1e-3, output_radius=1e-3, momentum=0.0, multiplier_cap=None).solve(
            network, as_sequences(X), y, SoftmaxCrossEntropy(), weights=weights, batch_size=len(X), shuffle=False
        )
        losses.append(outcome.history[0]["rollout_loss"])
    assert np.all(np.diff(losses) < 0)


def test_cosine_schedule_goes_from_one_to_a_fiftieth(waves):
    X, y = waves
    _, history = solve(X, y, Rollout(r=1e6, gram_every=1), max_epochs=20, batch_size=len(X))
    assert history[0]["r"] is None and history[0]["D_norm"] == 0  # V = 0: no multipliers yet
    assert history[0]["output_r"] == pytest.approx(1e6)
    r = np.array([record["output_r"] for record in history])
    assert np.all(np.diff(r) > 0)
    assert r[-1] == pytest.approx(1e6 / (0.02 + 0.49 * (1 + math.cos(0.95 * math.pi))))


def test_penalty_shrinks_the_recurrent_weights_only(waves, backend_name):
    X, y = waves
    settings = {"max_epochs": 2, "batch_size": len(X), "shuffle": False}  # hidden weights do not move in the first one
    solver = Rollout(radius=0.05, schedule="constant", metric="identity")
    plain, _ = solve(X, y, solver, **settings)
    shrunk, history = solve(X, y, solver, penalty=2.0, **settings)
    start, _ = solve(X, y, Rollout(radius=1e-300, output_radius=1e-300), **settings)
    moved = plain.weights["W"] - start.weights["W"]
    distance = history[1]["D_norm"] / history[1]["r"]
    assert 1e-3 < distance <= 0.05
    np.testing.assert_allclose(shrunk.weights["W"], (1 - 2.0 * distance) * start.weights["W"] + moved, rtol=1e-10)
    for name in "UbVc":
        np.testing.assert_array_equal(shrunk.weights[name], plain.weights[name])


def test_default_penalty_is_the_solvers_own(waves):
    X, y = waves
    for metric, value in (("multipliers", min(2.0, 6 * math.sqrt(128 / len(X)))), ("identity", 0.2)):
        settings = {"hidden_size": 8, "max_epochs": 2, "random_state": 0, "solver": Rollout(metric=metric)}
        by_default, as_said, none = (
            RNNClassifier(**settings, **penalty).fit(X, y).W_ for penalty in ({}, {"penalty": value}, {"penalty": 0.0})
        )
        np.testing.assert_array_equal(by_default, as_said)
        assert np.linalg.norm(by_default) < np.linalg.norm(none)
    settings["solver"] = "algorithm1"
    by_default, none = (RNNClassifier(**settings, **penalty).fit(X, y).W_ for penalty in ({}, {"penalty": 0.0}))
    np.testing.assert_array_equal(by_default, none)


def test_history_has_no_accuracy_for_squared_error(backend_name):
    X, y = adding_problem(300, 6, 0)
    network, history = solve(list(X), y, Rollout(), loss=SquaredError(), max_epochs=30, batch_size=50, n_hidden=16)
    assert "training_accuracy" not in history[0]
    assert history[-1]["rollout_loss"] < 0.1 * SquaredError().constant_loss(y, np.ones(len(y)))
    assert np.mean((network.outputs(as_sequences(list(X.astype(float)))) - y) ** 2) < 0.1 / 6


@pytest.mark.parametrize("max_iter, epochs", [(1, 1), (4, 1), (5, 2), (11, 3)])
def test_max_iter_takes_the_place_of_max_epochs(waves, max_iter, epochs):
    X, y = waves
    steps, rollout = [], Rollout(max_iter=max_iter)
    n_a_pass = rollout.iterations_per_epoch(len(X), -(-len(X) // 4))
    assert n_a_pass == 4
    model = RNNClassifier(8, solver=rollout, max_epochs=1, batch_size=-(-len(X) // 4), random_state=0)
    with pytest.MonkeyPatch.context() as patched:
        update = Fit.update_weights
        patched.setattr(Fit, "update_weights", lambda fit: (steps.append(fit.schedule()), update(fit)))
        model.fit(X, y)
    assert len(steps) == max_iter
    assert model.n_iter_ == len(model.history_) == epochs
    progress = np.arange(max_iter) / max_iter  # the schedule ends with the fit, not with the epoch
    np.testing.assert_allclose(steps, 0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * progress)))


def test_whole_epochs_of_max_iter_are_max_epochs(waves):
    X, y = waves
    by_epochs = RNNClassifier(8, max_epochs=3, random_state=0).fit(X, y)
    n_a_pass = Rollout().iterations_per_epoch(len(X))
    by_iterations = RNNClassifier(8, solver=Rollout(max_iter=3 * n_a_pass), random_state=0).fit(X, y)
    np.testing.assert_array_equal(by_iterations.W_, by_epochs.W_)


def test_stops_when_asked(waves):
    X, y = waves
    seen = []
    _, history = solve(
        X, y, Rollout(), max_epochs=9, batch_size=50, on_epoch_end=lambda record: seen.append(record) or len(seen) == 3
    )
    assert [record["epoch"] for record in history] == [1, 2, 3] == [record["epoch"] for record in seen]


@pytest.mark.parametrize("max_epochs", [1, 5])
def test_the_last_update_is_judged_also_when_training_is_stopped(waves, max_epochs):
    X, y = waves
    start, _ = solve(X, y, Rollout(), max_epochs=3, batch_size=20)
    network = ElmanRNN(start.Theta.copy(), start.Psi.copy())
    solver = Rollout(r=0.0, radius=1e3, output_radius=1e3)
    options = {"max_epochs": max_epochs, "batch_size": len(X), "on_epoch_end": lambda record: True}
    outcome = solver.solve(network, as_sequences(X), y, SoftmaxCrossEntropy(), **options)
    assert len(outcome.history) == 1 and outcome.history[0]["rollbacks"] == 1
    assert outcome.status is Status.STOPPED
    np.testing.assert_array_equal(network.Theta, start.Theta)


def test_zero_multipliers_move_nothing(backend_name):
    """Squared error at a perfect network: no direction, no step, no division by zero."""
    X = [np.ones((3, 2)) for _ in range(10)]
    network, history = solve(X, np.zeros((10, 1)), Rollout(r=0.0), loss=SquaredError(), max_epochs=2, batch_size=5)
    assert history[-1]["rollout_loss"] == 0 and history[-1]["D_norm"] == 0
    assert not network.Psi.any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_damping_on_a_singular_gram_matrix_is_said(waves, backend_name, dtype):
    X, y = waves
    X = [np.column_stack([x, x[:, :1]]) for x in X]  # a repeated feature
    X[0][0] = 0
    network, history = solve(X, y, Rollout(damping=0.0), dtype=dtype, max_epochs=4, batch_size=40)
    assert_finite(network, history)
    assert sum(record["damping_raised"] for record in history) > 0


DIVERGING = [
    {"r": 0.01, "radius": None, "output_radius": None},
    {"r": 0.02, "radius": None, "output_radius": None, "damping": 1e-9, "gram_decay": 0.0, "momentum": 0.0},
    {"radius": 10.0, "output_radius": 10.0, "r": 1e-9},
    {"radius": 1e30, "output_radius": 1e30, "r": 0.0, "schedule": "constant"},
    {"r": 1e-300, "radius": None, "output_radius": None},
]


@pytest.mark.slow_on("numpy")
@pytest.mark.parametrize("settings", DIVERGING)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_diverging_settings_end_in_a_useful_network_and_are_reported(waves, backend_name, settings, activation, dtype):
    X, y = waves
    with np.errstate(over="ignore", invalid="ignore"):
        network, history = solve(
            X, y, Rollout(**settings), activation=activation, dtype=dtype, max_epochs=25, batch_size=20
        )
    assert_finite(network, history)
    assert sum(record["rollbacks"] for record in history) > 0
    assert history[-1]["radius"] < (settings["radius"] or math.inf)
    outputs = network.outputs(as_sequences([np.asarray(x, dtype) for x in X]))
    majority = max(np.mean(y), 1 - np.mean(y))
    assert np.mean(outputs.argmax(axis=1) == y) > majority + 0.1


@pytest.mark.parametrize("multiplier_cap", [None, 1.0])
def test_start_whose_loss_is_not_finite(backend_name, multiplier_cap):
    """A relu network that overflows at once is brought nearer to zero until it does not."""
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(40, 2)) for _ in range(64)]
    y = np.array([int(x[-1, 0] > 0) for x in X])
    with np.errstate(over="ignore", invalid="ignore"):
        network, history = solve(
            X,
            y,
            Rollout(multiplier_cap=multiplier_cap),
            activation="relu",
            dtype="float32",
            scale=50.0,
            max_epochs=30,
            batch_size=16,
        )
    assert history[0]["rollbacks"] > 0
    assert np.isfinite(network.Theta).all() and np.isfinite(network.Psi).all()
    assert math.isfinite(history[-1]["rollout_loss"])


def test_a_ruinous_last_update_is_taken_back(waves, backend_name):
    """One iteration, no later roll-out to see what it did."""
    X, y = waves
    start, _ = solve(X, y, Rollout(), max_epochs=3, batch_size=20)
    network = ElmanRNN(start.Theta.copy(), start.Psi.copy())
    outcome = Rollout(r=0.0, radius=1e3, output_radius=1e3).solve(
        network, as_sequences(X), y, SoftmaxCrossEntropy(), max_epochs=1, batch_size=len(X), shuffle=False
    )
    assert outcome.history[0]["rollbacks"] == 1 and outcome.status is Status.ITERATION_LIMIT
    np.testing.assert_array_equal(network.Theta, start.Theta)
    np.testing.assert_array_equal(network.Psi, start.Psi)


def test_losses_that_vary_much_are_no_reason_to_go_back():
    """On a plateau, windows differ by chance alone; the best of many is well below their mean."""
    network = ElmanRNN.random(2, 4, 1, random_state=np.random.RandomState(0))
    rng = np.random.default_rng(0)
    for deviation in (0.02, 0.2, 0.3):
        guard = Guard(network, 10_000, 0.5)
        losses = 0.5 + deviation * rng.normal(size=500) / np.sqrt(100)
        lost = [guard.lost(float(loss), 100) for loss in losses]
        assert not any(lost[20:])
        assert any(guard.lost(0.5 + 5 * max(deviation, 0.1), 100) for _ in range(5))


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize(
    "batch_size, n_high, expected", [(125, 1, False), (125, 3, True), (250, 1, True), (500, 1, True)]
)
def test_one_high_loss_of_several_is_no_reason_to_go_back(batch_size, n_high, expected, place):
    """An update that the next ones mend; where a window has one or two minibatches, there is nothing to tell it by."""
    guard = Guard(ElmanRNN.random(2, 4, 1, random_state=np.random.RandomState(0)), 10_000, 2.3)
    per_window = 500 // batch_size
    for loss in np.repeat([2.2, 1.9, 1.3], per_window):
        assert not guard.lost(float(loss), batch_size)
    losses = np.full(per_window, 1.2)
    losses[(place + np.arange(n_high)) % per_window] = 5.0
    assert any([guard.lost(float(loss), batch_size) for loss in losses]) == expected
    if not expected:
        assert not any([guard.lost(1.2, batch_size) for _ in range(2 * per_window)])
        assert any([guard.lost(5.0, batch_size) for _ in range(per_window)])  # what it tolerates is as it was


def test_losses_whose_sum_overflows_are_a_reason_to_go_back():
    guard = Guard(ElmanRNN.random(2, 4, 1, random_state=np.random.RandomState(0)), 10_000, 1e305)
    assert not any([guard.lost(1e305, 125) for _ in range(4)])
    assert any([guard.lost(9e306, 125) for _ in range(4)])


def test_estimator_warns_of_rollbacks(waves):
    X, y = waves
    model = RNNClassifier(
        8, solver=Rollout(r=0.05, radius=None, output_radius=None), batch_size=20, max_epochs=10, random_state=0
    )
    with pytest.warns(ConvergenceWarning, match="went back to its last good weights"):
        model.fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()


def test_ordinary_settings_need_no_rollback(waves):
    X, y = waves
    for seed in range(3):
        _, history = solve(X, y, Rollout(), seed=seed, max_epochs=10, batch_size=20)
        assert sum(record["rollbacks"] for record in history) == 0


def test_multiplier_cap_is_counted(waves, backend_name):
    X, y = waves
    capped = [solve(X, y, Rollout(multiplier_cap=cap), scale=3.0, batch_size=40)[1][0] for cap in (0.5, None)]
    assert capped[0]["capped_steps"] > 0 and capped[1]["capped_steps"] == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_scale_of_sequences_is_as_good_as_scaled_observations(waves, backend_name, dtype):
    X, y = waves
    sequences = as_sequences([np.asarray(x, dtype) for x in X])
    unscaled = Sequences.of_lengths(sequences.observations / 4, sequences.lengths, scale=4.0)
    networks, outputs = [], []
    for given in (sequences, unscaled):
        network = ElmanRNN.random(2, 8, 2, dtype=np.dtype(dtype), random_state=np.random.RandomState(0))
        Rollout().solve(network, given, y, SoftmaxCrossEntropy(), max_epochs=2, batch_size=40, random_state=0)
        networks.append(network)
        outputs.append(network.outputs(given))
    np.testing.assert_array_equal(networks[0].Theta, networks[1].Theta)
    np.testing.assert_array_equal(outputs[0], outputs[1])


@pytest.mark.parametrize("ends", [False, True])
def test_the_last_record_has_the_radius_of_each_layer_wherever_a_fit_ends(waves, ends):
    X, y = waves
    solver = Rollout(radius=0.02, output_radius=0.05, schedule="constant")
    _, history = solve(X, y, solver, max_epochs=2, batch_size=30, on_epoch_end=lambda record: ends)
    assert len(history) == 2 - ends
    assert history[-1]["radius"] == 0.02 and history[-1]["output_radius"] == 0.05
    assert history[-1]["output_D_norm"] > 0


def test_values_of_any_type_are_learnt_as_numbers(waves):
    X, _ = waves
    values = np.stack([10 * x.mean(axis=0) for x in X]).round().clip(0, 9)
    losses = []
    for dtype in ("float64", "float32", "uint8", "int16"):
        options = {"loss": SquaredError(), "max_epochs": 2, "batch_size": 30}
        losses.append(solve(X, values.astype(dtype), Rollout(), **options)[1][-1]["rollout_loss"])
    assert losses[0] > 0 and losses == pytest.approx([losses[0]] * 4, rel=1e-12)


@pytest.mark.parametrize("given", [False, True])
def test_of_streams_in_one_sequence_the_first_alone_starts_from_the_initial_state(given):
    network = ElmanRNN.random(2, 3, 2, random_state=np.random.RandomState(0))
    streams = Sequences.of_lengths(np.zeros((60, 2)), [60]).in_chunks(5, 4)
    np.testing.assert_array_equal(streams.follows, [-1, 0, 1, 2])
    states = np.arange(12.0).reshape(4, 3) if given else None
    order = Carried(network, streams, 4, False, np.random.RandomState(0), states)
    first, later = (streams.chunks.minibatch(streams.first_chunks + i) for i in range(2))
    initial, starts = order.start(first)
    np.testing.assert_array_equal(
        starts[np.argsort(streams.stream_of[first.indices])], [not given, False, False, False]
    )
    np.testing.assert_array_equal(initial, order.states[streams.stream_of[first.indices]])
    assert not order.start(later)[1].any()
