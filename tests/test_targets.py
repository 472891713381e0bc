"""Targets of every shape: labels and values, one per sequence or one per step, some missing; pooled states; frames."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest
from expected_failures import DEPENDS_ON_NUMBER, IN_FLOAT32
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from admmirnn import Algorithm1, RNNClassifier, RNNRegressor, Rollout
from admmirnn.losses import Hinge, Quantile

pytestmark = pytest.mark.elman

FORMS = ("array", "list")


@pytest.fixture(scope="module")
def sums():
    """Sequences of two features, of unequal lengths; at each step the sum of the first one up to there."""
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(length, 2)) for length in rng.integers(4, 13, 150)]
    return X, [0.5 * x[:, 0].cumsum() for x in X]


def rectangular(X, Y, n_steps=4):
    return np.array([x[:n_steps] for x in X]), np.array([y[:n_steps] for y in Y])


EXPECTED_FAILURES = {"check_sample_weight_equivalence_on_dense_data": DEPENDS_ON_NUMBER}


@parametrize_with_checks([RNNRegressor()], expected_failed_checks=lambda _: EXPECTED_FAILURES | IN_FLOAT32)
def test_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([RNNRegressor(dtype="float64")], expected_failed_checks=lambda _: EXPECTED_FAILURES)
def test_scikit_learn_check_in_float64(estimator, check):
    check(estimator)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_regression_of_each_step(sums, dtype):
    X, Y = sums
    model = RNNRegressor(16, dtype=dtype, random_state=0, max_epochs=40).fit(X[:120], Y[:120])
    assert model.score(X[120:], Y[120:]) > 0.9
    predicted = model.predict(X[120:])
    assert [len(values) for values in predicted] == [len(x) for x in X[120:]]
    assert "training_accuracy" not in model.history_[0]


@pytest.mark.parametrize("outputs", [None, 1, 3])
@pytest.mark.parametrize("form", ["sequence", "array", "list"])
def test_predictions_have_the_shape_of_the_targets(sums, form, outputs):
    X, Y = sums
    if outputs:
        Y = [np.column_stack([y, -y, 2 * y])[:, :outputs] for y in Y]
    if form == "array":
        X, Y = rectangular(X, Y)
    elif form == "sequence":
        Y = np.array([y[-1] for y in Y])
    targets = "sequence" if form == "sequence" else "step"
    model = RNNRegressor(4, max_epochs=2, targets=targets, random_state=0).fit(X, Y)
    for found, given in zip(model.predict(X), Y, strict=True):
        assert np.shape(found) == np.shape(given)
    assert np.isfinite(model.score(X, Y))
    if outputs == 3:  # outputs are learnt apart from one another, but for what they share
        assert np.corrcoef(np.concatenate([np.atleast_2d(p)[:, 0] for p in model.predict(X)]), rowvar=False) == 1


def test_targets_are_scaled_and_scaled_back(sums):
    X, Y = sums
    settings = {"hidden_size": 8, "random_state": 0, "dtype": "float64", "max_epochs": 5}
    plain = RNNRegressor(**settings).fit(X, Y)
    other = RNNRegressor(**settings).fit(X, [1e4 + 1e3 * y for y in Y])
    for a, b in zip(plain.predict(X), other.predict(X), strict=True):
        np.testing.assert_allclose(1e4 + 1e3 * a, b, rtol=1e-6)
    unscaled = RNNRegressor(**settings, scale_targets=False).fit(X, Y)
    assert unscaled.target_mean_ == 0 and unscaled.target_scale_ == 1
    constant = RNNRegressor(**settings).fit(X, np.full(len(X), 7.0))
    np.testing.assert_allclose(constant.predict(X), 7.0)


def test_nan_is_a_step_without_a_target(sums):
    X, Y = sums
    rng = np.random.default_rng(1)
    missing = [rng.random(len(y)) < 0.4 for y in Y]
    missing[3][:] = True  # a sequence without any
    Y_missing = [np.where(m, np.nan, y) for m, y in zip(missing, Y, strict=True)]
    settings = {"hidden_size": 8, "random_state": 0, "max_epochs": 3}
    found = RNNRegressor(**settings).fit(X, Y_missing)
    weights = [(~m).astype(float) for m in missing]
    mean = np.concatenate([y[~m] for m, y in zip(missing, Y, strict=True)]).mean()
    assert found.target_mean_ == pytest.approx(mean)
    by_weight = RNNRegressor(**settings).fit(X, Y, sample_weight=weights)
    np.testing.assert_array_equal(found.W_, by_weight.W_)
    assert found.score(X, Y_missing) == pytest.approx(found.score(X, Y, sample_weight=weights))
    without = [items[:3] + items[4:] for items in (X, Y_missing)]
    np.testing.assert_array_equal(found.W_, RNNRegressor(**settings).fit(*without).W_)


@pytest.mark.parametrize("solver", ["rollout", "algorithm1"])
@pytest.mark.parametrize("ignored", [-1, 9, np.nan])
def test_ignored_labels_say_nothing(sums, ignored, solver):
    X, Y = sums
    labels = [np.where(y > 0, 2.0, 1.0) for y in Y]
    rng = np.random.default_rng(1)
    missing = [rng.random(len(y)) < 0.4 for y in Y]
    missing[3][:] = True
    labels_missing = [np.where(m, ignored, y) for m, y in zip(missing, labels, strict=True)]
    solver = Algorithm1(r="lipschitz") if solver == "algorithm1" else solver
    settings = {"hidden_size": 8, "random_state": 0, "max_epochs": 3, "solver": solver}
    found = RNNClassifier(**settings, ignore_label=ignored).fit(X, labels_missing)
    assert found.classes_.tolist() == [1, 2]
    weights = [(~m).astype(float) for m in missing]
    by_weight = RNNClassifier(**settings).fit(X, labels, sample_weight=weights)
    np.testing.assert_array_equal(found.W_, by_weight.W_)
    assert found.score(X, labels_missing) == pytest.approx(found.score(X, labels, sample_weight=weights))
    assert 0 <= found.history_[-1]["training_accuracy"] <= 1


def test_pandas_has_another_value_for_labels_that_are_missing():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X, y = list(rng.normal(size=(30, 5, 1))), [rng.choice(["", "a", "b"], 5) for _ in range(30)]
    missing = [pd.Series(labels, dtype="string").replace("", pd.NA) for labels in y]
    settings = {"hidden_size": 4, "max_epochs": 2, "random_state": 0}
    expected = RNNClassifier(**settings, ignore_label="").fit(X, y)
    found = RNNClassifier(**settings, ignore_label=pd.NA).fit(X, missing)
    np.testing.assert_array_equal(found.W_, expected.W_)
    assert found.score(X, missing) == expected.score(X, y)
    with pytest.raises(
        ValueError, match=r"y contains NaN or a missing label, None, first at step \d+ of y\[0\]; say with ignore_label"
    ):
        RNNClassifier(**settings, ignore_label="").fit(X, missing)


def test_sequences_of_one_step_are_scored_as_others(sums):
    X, values = rectangular(*sums)
    for model, Y in (
        (RNNRegressor(4, max_epochs=1, targets="step"), values),
        (RNNClassifier(4, max_epochs=1), values > 0),
    ):
        model.set_params(random_state=0).fit(X, Y)
        for targets in (Y[:, :1], list(Y[:, :1])):
            weights = np.zeros(Y.shape)
            weights[:, 0] = 1
            assert model.score(X[:, :1], targets) == pytest.approx(model.score(X, Y, sample_weight=weights))


def test_a_batch_is_as_good_as_one_by_one(sums):
    X, Y = sums
    for readout in ("last", "mean", "max"):
        model = RNNRegressor(8, readout=readout, max_epochs=2, random_state=0).fit(X, [y[-1] for y in Y])
        one_by_one = [model.predict([x])[0] for x in X]
        np.testing.assert_allclose(model.predict(X), one_by_one, rtol=1e-5, atol=1e-6)
    model = RNNRegressor(8, max_epochs=2, random_state=0).fit(X, Y)
    for x, values in zip(X, model.predict(X), strict=True):
        np.testing.assert_allclose(model.predict([x])[0], values, rtol=1e-5, atol=1e-6)


def test_pooled_states_read_what_the_last_state_forgets():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 60, 1))
    X[:200, rng.integers(0, 20)] += 6  # long before the end
    y = np.repeat([1, 0], 200)
    settings = {"hidden_size": 16, "random_state": 0, "max_epochs": 15}
    init = {"W": 0.5 * np.eye(16)}
    last, largest = (
        RNNClassifier(**settings, readout=readout, init=init).fit(X[::2], y[::2]).score(X[1::2], y[1::2])
        for readout in ("last", "max")
    )
    assert largest > 0.95 and largest > last + 0.2


def test_frames_are_what_copies_would_be(sums):
    X, Y = sums
    y = np.array([values[-1] for values in Y])
    settings = {"hidden_size": 8, "random_state": 0, "max_epochs": 2}
    found = RNNRegressor(**settings, frame=(3, 2)).fit(X, y)
    copies = []
    for x in X:
        ends = np.arange(len(x), 2, -2)[::-1]
        copies.append(np.array([x[end - 3 : end].ravel() for end in ends]))
    expected = RNNRegressor(**settings).fit(copies, y)
    np.testing.assert_array_equal(found.U_, expected.U_)
    np.testing.assert_array_equal(found.predict(X), expected.predict(copies))
    assert found.n_features_in_ == 2
    with pytest.raises(ValueError, match=r"X\[0\] has 2 steps, fewer than the frame of 3"):
        found.predict([X[0][:2]])
    with pytest.raises(ValueError, match="expecting 2"):
        found.predict([X[0][:, :1]])


def test_class_weights(sums):
    X, Y = sums
    labels = np.array([int(y[-1] > 0.8) for y in Y])
    settings = {"hidden_size": 8, "random_state": 0, "max_epochs": 3}
    counts = np.bincount(labels)
    balanced = RNNClassifier(**settings, class_weight="balanced").fit(X, labels)
    as_dict = {0: len(X) / (2 * counts[0]), 1: len(X) / (2 * counts[1])}
    np.testing.assert_array_equal(balanced.W_, RNNClassifier(**settings, class_weight=as_dict).fit(X, labels).W_)
    weights = np.where(labels == 0, as_dict[0], as_dict[1])
    np.testing.assert_array_equal(balanced.W_, RNNClassifier(**settings).fit(X, labels, sample_weight=weights).W_)
    assert balanced.predict(X).sum() > RNNClassifier(**settings).fit(X, labels).predict(X).sum()
    without = RNNClassifier(**settings, class_weight={1: 0.0, 2: 1.0}).fit(
        X, np.where(labels == 1, np.arange(150) % 3, 0)
    )
    assert without.classes_.tolist() == [0, 2]


class SquaredByHand:
    """What a user would write."""

    def value(self, o, y):
        return 0.5 * ((o - y) ** 2).sum(axis=1)

    def prox(self, q, y, rho):
        return (y + rho * q) / (1 + rho)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_losses_of_a_regression(sums):
    X, Y = sums
    settings = {"hidden_size": 8, "random_state": 0, "dtype": "float64", "max_epochs": 15}
    squared = RNNRegressor(**settings).fit(X, Y)
    by_hand = RNNRegressor(**settings, loss=SquaredByHand()).fit(X, Y)
    np.testing.assert_allclose(by_hand.W_, squared.W_, rtol=1e-9, atol=1e-12)
    for loss in ("huber", "absolute_error", "quantile"):
        assert RNNRegressor(**settings, loss=loss).fit(X, Y).score(X, Y) > 0.8
    y = np.array([values[-1] for values in Y]) + np.random.default_rng(0).exponential(size=len(X))
    settings["max_epochs"] = 80
    high = RNNRegressor(**settings, loss=Quantile(0.9)).fit(X, y)
    low = RNNRegressor(**settings, loss=Quantile(0.2)).fit(X, y)
    assert 0.8 < np.mean(high.predict(X) > y) < 0.97
    assert 0.1 < np.mean(low.predict(X) > y) < 0.35
    refused("loss is 'square'", X, y, loss="square")
    refused("which has no method 'value'", X, y, loss=3)
    refused("of the losses here, this estimator takes 'squared_error'", X, y, loss=Hinge())
    of_labels = SquaredByHand()
    of_labels.takes_labels = True
    refused("takes class numbers", X, y, loss=of_labels)
    refused("this solver has no step for", X, y, loss="huber", solver="algorithm1")


def refused(match, X, y, estimator=RNNRegressor, **settings):
    model = estimator(4, max_epochs=1, **settings)
    with pytest.raises((ValueError, TypeError), match=match):
        model.fit(X, y)
    assert not hasattr(model, "W_")


def test_what_does_not_fit_is_refused(sums):
    X, Y = sums
    y = np.array([values[-1] for values in Y])
    refused("y has 149 entries; pass one target per sequence", X, y[1:])
    refused("RNNRegressor requires y to be passed", X, None)
    refused(r"Input y contains NaN or infinity, first at index 5", X, np.where(np.arange(150) == 5, np.nan, y))
    refused(r"first at step 1 of all", X, [np.r_[values[:1], np.inf, values[2:]] for values in Y])
    refused(r"first at step 0", X, [np.column_stack([v, np.where(np.arange(len(v)) == 0, np.nan, v)]) for v in Y])
    refused("NaN everywhere", X, [np.full(len(values), np.nan) for values in Y])
    refused(r"y\[\d+\] has 3 rows of 2 value\(s\) and X", X, np.zeros((150, 3, 2)))
    refused("readout is 'first'", X, y, readout="first")
    refused("readout is 'mean' and y has a target for each step", X, Y, readout="mean")
    refused("readout is 'max', which Algorithm1 does not have", X, y, readout="max", solver="algorithm1")
    refused("frame is 2.5", X, y, frame=2.5)
    refused("stride of frame is 0", X, y, frame=(2, 0))
    refused(r"X\[\d+\] has \d steps, fewer than the frame of 9", X, y, frame=9)
    refused("scale_targets is 1 of type int", X, y, scale_targets=1)
    labels = (y > 0).astype(int)
    refused("class_weight has the label 7", X, labels, RNNClassifier, class_weight={7: 1.0})
    refused("class_weight is 'even'", X, labels, RNNClassifier, class_weight="even")
    refused(r"class_weight\[0\] is -1", X, labels, RNNClassifier, class_weight={0: -1})
    refused("no label of positive weight", X, labels, RNNClassifier, class_weight={0: 0.0, 1: 0.0})
    some = [np.full(len(values), -1 if i else 1) for i, values in enumerate(Y)]
    with pytest.raises(ValueError, match="no label of positive weight"):
        RNNClassifier(4, ignore_label=-1).fit(X, some, sample_weight=np.arange(len(X)) > 0)
    refused("every label in y is ignore_label = 1", X, np.ones(150, int), RNNClassifier, ignore_label=1)
    refused(r"ignore_label is \[1\]; pass one label", X, labels, RNNClassifier, ignore_label=[1])
    refused("one class only", X, labels, RNNClassifier, ignore_label=1)


def test_estimators_are_copied_and_pickled(sums):
    X, Y = sums
    model = RNNRegressor(4, readout="last", frame=(2, 1), max_epochs=1, random_state=0)
    model.fit(X, np.array([y[-1] for y in Y]))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), clone(model).fit(X, [y[-1] for y in Y])):
        np.testing.assert_array_equal(other.predict(X), model.predict(X))


@pytest.mark.parametrize("scale_targets", [True, False])
def test_values_too_large_to_compute_with_are_refused(scale_targets):
    X = np.random.default_rng(0).normal(size=(20, 5, 1))
    with pytest.raises(ValueError, match="y has values too large for float32"):
        RNNRegressor(4, scale_targets=scale_targets).fit(X, 1e300 * X[:, 0, 0])


@pytest.mark.parametrize(
    ("estimator", "dtype"), [(RNNRegressor, np.float32), (RNNRegressor, np.int64), (RNNClassifier, np.int64)]
)
def test_a_stateful_fit_takes_a_few_bytes_a_step(estimator, dtype):
    """Beside X and y: targets as kernels take them, whatever there is on the way to them."""

    def peak(n):
        y = (np.arange(n) % 2).astype(dtype)[None]
        X = np.ones((1, n, 1), np.float32)
        model = estimator(4, cell="elman", stateful=True, solver=Rollout(max_iter=2), random_state=0)
        tracemalloc.start()
        model.fit(X, y)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(20_000)
    assert (peak(1_200_000) - peak(200_000)) / 1_000_000 <= 12
