"""Fits in rounds, whose parts are in this process: what they find, and what it may depend on."""

import copy

import numpy as np
import pytest
from simulated_workers import waves_of_three_frequencies
from sklearn.exceptions import ConvergenceWarning
from test_workers import weights_of

from admmirnn import RNNClassifier, RNNRegressor, Rollout, Status
from admmirnn.estimators.rounds import check_suits_rounds, learn_in_rounds
from admmirnn.estimators.settings import check_estimator_settings
from admmirnn.solvers import SOLVERS
from admmirnn.solvers.rollout.consensus import Consensus, Metric
from admmirnn.solvers.rollout.rounds import Plan, Round
from admmirnn.solvers.rollout.state import Layer

OPTIONS = {"hidden_size": 6, "dtype": "float64", "random_state": 0, "max_epochs": 4, "batch_size": 10}


class HeldHere:
    """Parts in a list."""

    def __init__(self, parts):
        self.parts, self.n_parts = parts, len(parts)

    def __len__(self):
        return self.n_parts

    def map(self, function, /, *arguments):
        return HeldHere([function(part, i, *arguments) for i, part in enumerate(self.parts)])

    def collect(self, function, /, *arguments, each=None, stop=None):
        if stop is not None and stop():
            return None
        more = [{} if each is None else {"own": each[i]} for i in range(len(self))]
        return [copy.deepcopy(function(part, i, *arguments, **more[i])) for i, part in enumerate(self.parts)]

    def release(self):
        self.parts = None


def fit_in_rounds(estimator, parts, n=3, **more):
    settings = check_estimator_settings(estimator, SOLVERS)
    check_suits_rounds(settings, estimator)
    learn_in_rounds(estimator, settings, HeldHere(parts), n, **more)
    return estimator


@pytest.fixture(scope="module")
def data():
    return waves_of_three_frequencies(120)


def in_parts(sizes, *items):
    ends = np.cumsum(sizes)
    return [tuple(item[end - n : end] for item in items) for n, end in zip(sizes, ends, strict=True)]


@pytest.mark.parametrize("sizes", [(40, 40, 40), (70, 30, 0, 20)], ids=str)
def test_a_classifier_learns_what_one_process_does(data, sizes):
    X, y, *_ = data
    model = fit_in_rounds(RNNClassifier(**OPTIONS | {"max_epochs": 40}), in_parts(sizes, X, y))
    alone = RNNClassifier(**OPTIONS | {"max_epochs": 40, "batch_size": 30}).fit(X, y)
    assert alone.score(X, y) > 0.9
    assert model.score(X, y) > 0.9
    assert model.n_iter_ == 40
    assert model.status_ is Status.ITERATION_LIMIT
    assert len(model.history_) == 40
    assert model.history_[-1]["training_accuracy"] > 0.8
    assert model.history_[-1]["rollout_loss"] < 0.5 * model.history_[0]["rollout_loss"]
    for name in ("D_norm", "r", "output_D_norm", "output_r"):  # means over the steps of all parts
        assert model.history_[-1][name] > 0
    model.partial_fit(X[:30], y[:30])


def test_one_part_in_rounds_is_a_fit(data):
    """All that a round starts from is there: the same minibatches give the weights of a fit that nothing interrupts."""
    X, y, *_ = data
    found = [fit_in_rounds(RNNClassifier(**OPTIONS, solver=Rollout(factor_every=1)), [(X, y)], n) for n in (1, 5, 100)]
    for model in found[1:]:
        np.testing.assert_allclose(weights_of(model), weights_of(found[0]), rtol=1e-9)


def test_equal_parts_are_as_good_as_one(data):
    """Parts that have the same sequences, and take them in the same order, find the same, and so does their mean."""
    X, y, *_ = data
    options = OPTIONS | {"shuffle": False}
    one = fit_in_rounds(RNNClassifier(**options, penalty=0.0), [(X, y)])
    three = fit_in_rounds(RNNClassifier(**options, penalty=0.0), [(X, y)] * 3)
    np.testing.assert_allclose(weights_of(three), weights_of(one), rtol=1e-9)


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_cells_layers_and_learnt_states(data, cell):
    X, y, *_ = data
    model = RNNClassifier(**OPTIONS | {"hidden_size": (5, 4)}, cell=cell, s_0="learn", dropout=0.1)
    first, second = (fit_in_rounds(copy.deepcopy(model), in_parts((70, 50), X, y)) for _ in range(2))
    np.testing.assert_array_equal(weights_of(first), weights_of(second))
    assert np.abs(first.s_0_).max() > 0 if isinstance(first.s_0_, np.ndarray) else first.s_0_


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_pull_to_the_means_is_that_of_consensus_admm(dtype):
    rng = np.random.default_rng(0)
    layer = Layer(rng.normal(size=(3, 5)).astype(dtype), 0.1, matrix_penalty=True)
    A, B = rng.normal(size=(9, 5)), rng.normal(size=(9, 3))
    layer.G[:], layer.R[:] = np.tril(A.T @ A), np.tril(B.T @ B)
    layer.M[:], Z = rng.normal(size=(3, 5)), layer.weights.copy()
    consensus, Y = Consensus([layer]), rng.normal(size=(3, 5)).astype(dtype)
    consensus.begin([Y], [0.3], [Metric(layer.blocks, layer.R, 0.1)])
    consensus.pull()
    np.testing.assert_allclose(layer.pull, layer.M - Y, rtol=1e-6)
    D = rng.normal(size=(3, 5)).astype(dtype)
    layer.weights += D
    consensus.pull()
    P = B.T @ B / np.trace(B.T @ B) * 3 + 0.1 * np.eye(3)
    G = A.T @ A + 0.1 * np.trace(A.T @ A) / 5 * np.eye(5)
    np.testing.assert_allclose(layer.pull, layer.M - Y - 0.3 * P @ (layer.weights - Z) @ G, rtol=1e-4, atol=1e-4)
    layer.step = 0.5
    consensus.count()
    consensus.count()
    assert consensus.steps == [1.0]


def test_consensus_of_parts_that_differ(data):
    """Parts sorted by label: multipliers keep each from unlearning what the others learn."""
    X, y, *_ = data
    order = np.argsort(y, kind="stable")
    X, y = [X[i] for i in order], y[order]
    plain, pulled = (
        fit_in_rounds(RNNClassifier(**OPTIONS | {"max_epochs": 30}), in_parts((40, 40, 40), X, y), 4, consensus=some)
        for some in (False, True)
    )
    assert pulled.history_[-1]["rollbacks"] == 0
    assert pulled.history_[-1]["rollout_loss"] != plain.history_[-1]["rollout_loss"]
    assert pulled.score(X, y) > plain.score(X, y)


def test_consensus_begins_after_a_first_round_that_was_lost():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 6, 2)), rng.integers(0, 2, 60)
    options = OPTIONS | {"cell": "elman", "activation": "relu", "dtype": "float32", "max_epochs": 3}
    model = RNNClassifier(**options, init={"W": 6e7 * np.eye(6)})
    with pytest.warns(ConvergenceWarning, match="rollbacks"):
        fit_in_rounds(model, in_parts((20, 20, 20), X, y), 2, consensus=True)
    assert model.history_[0]["rollbacks"] > 0
    assert np.isfinite(model.predict_proba(X)).all()


def test_two_directions(data):
    X, y, *_ = data
    model = fit_in_rounds(RNNClassifier(**OPTIONS, bidirectional=True), in_parts((70, 50), X, y))
    assert model.score(X, y) > 0.8


def test_a_regressor(data):
    X, _, y, of_steps = data
    for targets in (y, of_steps):
        model = fit_in_rounds(RNNRegressor(**OPTIONS | {"max_epochs": 15}), in_parts((60, 60), X, targets))
        alone = RNNRegressor(**OPTIONS | {"max_epochs": 15, "batch_size": 20}).fit(X, targets)
        scores = [one.history_[-1]["rollout_loss"] for one in (model, alone)]
        assert scores[0] < 1.5 * scores[1] + 0.02


def test_parts_agree_on_classes_scales_and_weights(data):
    X, y, *_ = data
    X = [x * [1.0, 30.0] + [0.0, 200.0] for x in X]
    order = np.argsort(y, kind="stable")
    X, y = [X[i] for i in order], np.array(["a", "b", "c"])[y[order]]
    weights = np.where(y == "a", 2.0, 0.5)
    model = fit_in_rounds(
        RNNClassifier(**OPTIONS | {"max_epochs": 20}, class_weight="balanced"),
        in_parts((30, 50, 40), X, y, weights),
        n=1,
    )
    np.testing.assert_array_equal(model.classes_, ["a", "b", "c"])
    alone = RNNClassifier(**OPTIONS).fit(X, y)
    np.testing.assert_allclose(model.feature_mean_, alone.feature_mean_, rtol=1e-12)
    np.testing.assert_allclose(model.feature_scale_, alone.feature_scale_, rtol=1e-12)
    assert model.score(X, y) > 0.6


def test_early_stopping_and_validation_data(data):
    X, y, *_ = data
    options = OPTIONS | {"max_epochs": 30, "early_stopping": True, "patience": 2}
    held_out = fit_in_rounds(RNNClassifier(**options), in_parts((60, 60), X, y))
    passed = fit_in_rounds(RNNClassifier(**options), in_parts((50, 50), X, y), validation_data=(X[100:], y[100:]))
    for model in (held_out, passed):
        assert {"validation_loss", "validation_accuracy"} <= set(model.history_[-1])
        losses = [record["validation_loss"] for record in model.history_]
        assert model.best_epoch_ == 1 + int(np.argmin(losses))
    outputs = np.log(passed.predict_proba(X[100:]))[np.arange(20), np.searchsorted(passed.classes_, y[100:])]
    assert -outputs.mean() == pytest.approx(min(record["validation_loss"] for record in passed.history_), rel=1e-6)


def test_missing_observations_are_filled_in_with_means_of_all(data):
    X, y, *_ = data
    X = [np.where(np.arange(len(x))[:, None] < 2, np.nan, x) for x in X]
    model = fit_in_rounds(RNNClassifier(**OPTIONS, missing="forward"), in_parts((70, 0, 50), X, y))
    alone = RNNClassifier(**OPTIONS, missing="forward").fit(X, y)
    np.testing.assert_allclose(model.fill_values_, alone.fill_values_, rtol=1e-13)


def test_callbacks_time_and_iterations(data):
    X, y, *_ = data
    seen = []

    def stop(state):
        seen.append(state.estimator.score(X, y))
        return len(seen) == 2

    model = fit_in_rounds(RNNClassifier(**OPTIONS, callbacks=[stop]), in_parts((60, 60), X, y))
    assert model.status_ is Status.STOPPED
    assert model.n_iter_ == 2
    model = fit_in_rounds(RNNClassifier(**OPTIONS | {"max_epochs": 10**6}, max_time=0.5), in_parts((60, 60), X, y))
    assert model.status_ is Status.TIME_LIMIT
    model = fit_in_rounds(RNNClassifier(**OPTIONS, solver=Rollout(max_iter=8)), in_parts((60, 60), X, y))
    assert model.n_iter_ == 2  # of 6 iterations each


def test_weights_that_are_lost_are_given_up(data):
    """Whatever the radius, the fit ends with weights that are finite and no worse than a constant output."""
    X, y, *_ = data
    solver = Rollout(radius=None, output_radius=None, r=1e-9)
    with pytest.warns(UserWarning, match="too large or not finite|lost what it had learnt"):
        model = fit_in_rounds(
            RNNClassifier(**OPTIONS | {"max_epochs": 10}, solver=solver, cell="elman", activation="relu"),
            in_parts((60, 60), X, y),
        )
    assert np.isfinite(weights_of(model)).all()
    assert model.score(X, y) >= 0.25


@pytest.mark.parametrize(
    "options, message",
    [
        ({"stateful": True, "chunk_size": 3}, "stateful is True"),
        ({"solver": "algorithm1", "batch_size": "auto", "cell": "elman"}, "cannot fit in rounds"),
        ({"checkpoint": "fit"}, "write none"),
    ],
)
def test_what_rounds_cannot_do(data, options, message):
    with pytest.raises(ValueError, match=message):
        fit_in_rounds(RNNClassifier(**OPTIONS | options), [data[:2]])


def test_rounds_are_of_about_equal_sizes():
    plan = Plan(n_batches=7, n_iterations=17, per_round=3, shuffle=True, seed=0)
    assert plan.n_epochs == 3
    assert list(plan.rounds(0)) == [Round(0, 0, 2), Round(0, 2, 4), Round(0, 4, 7)]
    assert list(plan.rounds(2)) == [Round(2, 0, 3)]
