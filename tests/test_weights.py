"""Weights of targets: 2 is the same as being there twice, 0 as being left out, and their unit does not matter."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from admmirnn import RNNClassifier, RNNRegressor, Rollout
from admmirnn.data.reading_targets import mean_and_deviation
from admmirnn.losses import Hinge, SigmoidCrossEntropy, SoftmaxCrossEntropy
from admmirnn.solvers.rollout.weighting import mean_of_positive, relative_weights

N, STEPS = 24, 5
WEIGHTS = np.tile([2.0, 1.0, 0.0, 3.0], N // 4)
REPEATED = np.repeat(np.arange(N), WEIGHTS.astype(int))
# one minibatch an iteration, of which R takes all
SETTINGS = {
    "hidden_size": 4,
    "batch_size": 1000,
    "penalty": 0.1,
    "random_state": 0,
    "dtype": "float64",
    "shuffle": False,
    "solver": Rollout(gram_every=1, max_iter=3),
}
KINDS = {
    "last": {},
    "mean": {"readout": "mean"},
    "max": {"readout": "max"},
    "two directions": {"bidirectional": True},
    "gates": {"cell": "gru"},
    "layers": {"hidden_size": (4, 3), "cell": "fastgrnn"},
    "s_0": {"s_0": "learn"},
    "number": {"solver": Rollout(gram_every=1, max_iter=3, metric="identity")},
}
METHODS = ("fit", "partial_fit")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def data(rng, *shape):
    X = rng.normal(size=(N, STEPS, 2))
    return X, (X.sum(axis=2) > 0).astype(int) if shape else (X.sum(axis=(1, 2)) > 0).astype(int)


def trained(model, method, X, y, weight=None):
    if method == "fit":
        return model.fit(X, y, weight)
    classes = {"classes": [0, 1]} if isinstance(model, RNNClassifier) else {}
    return model.partial_fit(X, y, sample_weight=weight, **classes).partial_fit(X, y, sample_weight=weight)


def weights_of(model):
    return {name: getattr(model, f"{name}_") for name in model._network().weights}


def assert_same_weights(found, expected):
    for name, weights in weights_of(expected).items():
        np.testing.assert_allclose(weights_of(found)[name], weights, rtol=0, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_two_is_twice_and_zero_is_left_out(kind, method, every_step, backend_name, rng):
    if every_step and "readout" in KINDS[kind]:
        pytest.skip("a read-out pools steps")
    X, y = data(rng, *([STEPS] if every_step else []))
    for estimator, targets, more in (
        (RNNClassifier, y, {"class_weight": {0: 3.0}}),
        (RNNClassifier, y, {"loss": "hinge"}),
        (RNNRegressor, 3.0 + 2 * y, {"targets": "step" if every_step else "auto"}),
    ):
        model = estimator(**SETTINGS | KINDS[kind] | more)
        found = trained(clone(model), method, X, targets, WEIGHTS)
        assert_same_weights(found, trained(model, method, X[REPEATED], targets[REPEATED]))
        scaled = trained(clone(model), method, X, targets, 1e-3 * WEIGHTS)
        assert_same_weights(scaled, found)
        score = found.score(X[REPEATED], targets[REPEATED])
        assert found.score(X, targets, WEIGHTS) == pytest.approx(score, rel=1e-12)
        if isinstance(found, RNNRegressor):
            np.testing.assert_allclose(found.target_mean_, targets[REPEATED].mean(), rtol=1e-12)
            np.testing.assert_allclose(found.target_scale_, targets[REPEATED].std(), rtol=1e-12)


def test_balanced_counts_are_those_of_the_weights(rng):
    X, y = data(rng)
    model = RNNClassifier(**SETTINGS, class_weight="balanced")
    found = clone(model).fit(X, y, WEIGHTS)
    assert_same_weights(found, model.fit(X[REPEATED], y[REPEATED]))
    # a class that is there with weight 0 only is none
    three = np.where(WEIGHTS == 0, 7, y)
    assert clone(model).fit(X, three, WEIGHTS).classes_.tolist() == [0, 1]


def test_several_labels(rng):
    X, y = data(rng)
    indicators = np.c_[y, 1 - y, X[:, 0, 0] > 0].astype(float)
    model = RNNClassifier(**SETTINGS, loss="sigmoid_cross_entropy")
    found = clone(model).fit(X, indicators, WEIGHTS)
    assert_same_weights(found, model.fit(X[REPEATED], indicators[REPEATED]))


def test_streams_with_weights_by_step(rng):
    X = rng.normal(size=(4, 60, 2))
    y = (X.sum(axis=2) > 0).astype(int)
    weight = np.repeat([[2.0], [1.0], [0.0], [1.0]], 60, axis=1)
    settings = SETTINGS | {"stateful": True, "chunk_size": 10, "batch_size": 1}
    one = RNNClassifier(**settings).fit(X, y, 5 * weight)
    assert_same_weights(RNNClassifier(**settings).fit(X, y, weight), one)
    # what has no label is the same as what has no weight
    ignored = np.where(weight == 0, -1, y)
    assert_same_weights(RNNClassifier(**settings, ignore_label=-1).fit(X, ignored, np.maximum(weight, 1)), one)


@pytest.mark.parametrize("batch_size", [1, 2, 4, 16])
def test_weights_say_the_same_in_minibatches_of_any_size(batch_size, rng):
    X = rng.normal(size=(150, 6, 1))
    y = (X[:, :, 0].sum(axis=1) + 2 * rng.normal(size=150) > 0).astype(int)
    settings = {"hidden_size": 8, "batch_size": batch_size, "random_state": 0, "max_epochs": 5}
    plain, weighted = (RNNClassifier(**settings, class_weight=weight).fit(X, y) for weight in (None, {1: 30.0}))
    assert plain.predict(X).mean() < 0.7
    assert weighted.predict(X).mean() > 0.8
    assert weighted.history_[-1]["rollbacks"] == 0
    # and so does the loss that is reported
    assert weighted.history_[-1]["rollout_loss"] < 0.3


def test_partial_fit_measures_weights_by_those_of_all_calls(rng):
    X, y = data(rng)
    order = rng.permutation(np.repeat(np.arange(N), 5))
    settings = {"hidden_size": 4, "random_state": 0}
    models = [RNNClassifier(**settings, class_weight=weight) for weight in (None, {1: 30.0})]
    noisy = np.where(rng.random(len(order)) < 0.3, 1 - y[order], y[order])
    for i, label in zip(order, noisy, strict=True):
        for model in models:
            model.partial_fit(X[[i]], [label], classes=[0, 1])
    assert models[1].predict(X).mean() > models[0].predict(X).mean() + 0.2
    assert models[1]._memory.online.mean_weight == pytest.approx(np.where(noisy == 1, 30.0, 1.0).mean(), rel=1e-9)


def test_partial_fit_takes_the_labels_that_fit_takes(rng):
    X, y = data(rng)
    text = np.array(["no", "yes"], object)[y]
    for labels, ignore_label in ((np.where(y == 1, np.nan, y), np.nan), (np.where(y == 1, "?", text), "?")):
        known = ["no", "yes"] if ignore_label == "?" else [0.0, 1.0]
        model = RNNClassifier(4, random_state=0, ignore_label=ignore_label).partial_fit(X, labels, classes=known)
        assert model.classes_.tolist() == known
    # a label that is not among the classes may have no weight
    model = RNNClassifier(4, random_state=0).partial_fit(X, np.where(WEIGHTS == 0, 9, y), [0, 1], WEIGHTS)
    assert model.classes_.tolist() == [0, 1]
    with pytest.raises(ValueError, match="label 9"):
        model.partial_fit(X, np.where(WEIGHTS == 0, 9, y), sample_weight=WEIGHTS + 1)


def test_a_target_of_next_to_no_weight_does_not_scale_the_others(rng):
    X, X_test = rng.normal(size=(2, 120, 8, 1))
    y, y_test = X[:, :, 0].sum(axis=1), X_test[:, :, 0].sum(axis=1)
    y[0] = 1e6
    scores = [
        RNNRegressor(16, random_state=0).fit(X, y, np.r_[w, np.ones(119)]).score(X_test, y_test) for w in (0.0, 1e-12)
    ]
    assert scores[1] > scores[0] - 0.05 > 0.8


def test_scores_leave_out_what_is_ignored(rng):
    X, y = data(rng)
    y[::4] = -1
    there, weight = y != -1, np.arange(1.0, N + 1)
    model = RNNClassifier(4, ignore_label=-1, random_state=0, max_epochs=4).fit(X, y)
    right = model.predict(X) == y
    assert model.score(X, y) == right[there].mean()
    assert model.score(X, y, weight) == pytest.approx(np.average(right[there], weights=weight[there]), rel=1e-12)
    for labels, predicted in (model.true_and_predicted(X, y), (y[there], model.predict(X)[there])):
        assert len(labels) == len(predicted) == there.sum()
    with pytest.raises(ValueError, match="every label in y is ignore_label"):
        model.score(X, np.full(N, -1))
    with pytest.raises(ValueError, match="^sample_weight is zero wherever"):
        model.score(X, y, (~there).astype(float))


def test_validation_leaves_out_and_weighs(rng):
    X, y = data(rng)
    ignored = np.where(WEIGHTS == 0, -1, y)
    settings = {"hidden_size": 4, "random_state": 0, "max_epochs": 2, "ignore_label": -1}
    one = RNNClassifier(**settings).fit(X, y, validation_data=(X, ignored))
    other = RNNClassifier(**settings).fit(X, y, validation_data=(X[WEIGHTS > 0], y[WEIGHTS > 0]))
    for name in ("validation_loss", "validation_accuracy"):
        assert one.history_[-1][name] == pytest.approx(other.history_[-1][name], rel=1e-5)
    # of validation data that are a part of the training set, the unit of the weights does not matter
    stopped = [
        RNNClassifier(**settings, early_stopping=True, validation_fraction=0.3).fit(X, y, unit * (WEIGHTS + 1))
        for unit in (1.0, 1e-30)
    ]
    for a, b in zip(*(model.history_ for model in stopped), strict=True):
        assert a["validation_loss"] == pytest.approx(b["validation_loss"], rel=1e-5)


@pytest.mark.parametrize("loss", [Hinge(), SoftmaxCrossEntropy()])
@pytest.mark.parametrize("n", [9, 10, 11, 18])
def test_shares_that_round_above_one_cost_nothing(loss, n):
    weights = np.ones(n)
    weights[0] = 1e-17
    assert loss.constant_loss(np.r_[0, np.ones(n - 1, int)], weights) >= 0
    assert SigmoidCrossEntropy().constant_loss(np.ones((n, 2)), weights) >= 0


def test_weights_of_any_size(rng):
    X, y = data(rng)
    for unit in (1e-300, 1e300):
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            model = RNNClassifier(4, random_state=0, max_epochs=2).fit(X, y, unit * (WEIGHTS + 1))
        assert np.isfinite(model.W_).all()
    with pytest.raises(ValueError, match="class_weight times sample_weight"):
        RNNClassifier(4, class_weight={0: 1e300}).fit(X, y, 1e300 * WEIGHTS)
    assert mean_of_positive(np.array([1e308, 1e308, 0.0])) == pytest.approx(1e308)
    assert relative_weights(np.array([0.3, 0.0, 0.3]), 3, 0.3, np.dtype("f8")).tolist() == [1, 0, 1]
    assert relative_weights(np.full(4, 0.3), 4, 0.3, np.dtype("f8")) is None
    mean, deviation = mean_and_deviation(np.array([[1.0], [3.0]]), np.array([1e308, 1e308]))
    assert (mean.item(), deviation.item()) == (2.0, 1.0)
