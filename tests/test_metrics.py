"""Scores by scikit-learn's names, cross-validation and importances, with targets of sequences and of steps."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import accuracy_score, f1_score, log_loss, make_scorer, mean_absolute_error, roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.model_selection import cross_val_predict as cross_val_predict_of_sklearn
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from admmirnn import RNNClassifier, RNNRegressor
from admmirnn.metrics import joined, permutation_importance, scorer
from admmirnn.model_selection import ChunkSplit, cross_val_predict, series_in_chunks

rng = np.random.default_rng(0)
X = [rng.normal(size=(n, 3)) for n in rng.integers(4, 9, 60)]
OF_STEPS = [np.where(x[:, 0] > 0, "up", "down") for x in X]
OF_SEQUENCES = np.array([labels[-1] for labels in OF_STEPS])
VALUES = [x[:, 0].cumsum() for x in X]


def classifier(**settings):
    return RNNClassifier(**{"hidden_size": 6, "max_epochs": 4, "random_state": 0, **settings})


def regressor(**settings):
    return RNNRegressor(**{"hidden_size": 6, "max_epochs": 4, "random_state": 0, **settings})


@pytest.fixture(scope="module")
def of_steps():
    return classifier().fit(X, OF_STEPS)


def flat(rows):
    return np.concatenate(list(rows))


# scorers


NAMES = ["accuracy", "f1_macro", "roc_auc", "neg_log_loss", "balanced_accuracy", "f1_weighted"]


def test_a_score_of_steps_is_that_of_all_steps(of_steps):
    true, predicted = flat(OF_STEPS), flat(of_steps.predict(X))
    p = flat(of_steps.predict_proba(X))
    expected = {
        "accuracy": accuracy_score(true, predicted),
        "f1_macro": f1_score(true, predicted, average="macro"),
        "roc_auc": roc_auc_score(true, p[:, 1]),
        "neg_log_loss": -log_loss(true, p),
    }
    for name, score in expected.items():
        assert scorer(name)(of_steps, X, OF_STEPS) == pytest.approx(score)
    of_own = make_scorer(f1_score, average="weighted", pos_label=None)
    assert scorer(of_own)(of_steps, X, OF_STEPS) == pytest.approx(f1_score(true, predicted, average="weighted"))
    weights = [rng.random(len(x)) for x in X]
    found = scorer("accuracy")(of_steps, X, OF_STEPS, weights)
    assert found == pytest.approx(accuracy_score(true, predicted, sample_weight=flat(weights)))
    assert found == pytest.approx(of_steps.score(X, OF_STEPS, weights))


@pytest.mark.parametrize("container", ["list", "object array", "array"])
def test_scores_are_the_same_in_every_container(container):
    x, y = np.array([a[:4] for a in X]), np.array([labels[:4] for labels in OF_STEPS])
    model = classifier().fit(x, y)
    expected = f1_score(y.ravel(), model.predict(x).ravel(), average="macro")
    if container != "array":
        x, y = list(x), list(y)
    if container == "object array":
        y = pd.Series(y).to_numpy()
    assert scorer("f1_macro")(model, x, y) == pytest.approx(expected)


def test_steps_without_a_target_do_not_count(of_steps):
    missing = [rng.random(len(y)) < 0.5 for y in OF_STEPS]
    y = [np.where(m, "?", labels) for m, labels in zip(missing, OF_STEPS, strict=True)]
    kept = ~flat(missing)
    expected = f1_score(flat(OF_STEPS)[kept], flat(of_steps.predict(X))[kept], average="macro")
    assert scorer("f1_macro", ignore_label="?")(of_steps, X, y) == pytest.approx(expected)
    model = clone(of_steps).set_params(ignore_label="?").fit(X, y)
    for one in (model, make_pipeline(FunctionTransformer(), model)):
        expected = f1_score(flat(OF_STEPS)[kept], flat(model.predict(X))[kept], average="macro")
        assert scorer("f1_macro")(one, X, y) == pytest.approx(expected)
    values = [np.where(m, np.nan, v) for m, v in zip(missing, VALUES, strict=True)]
    model = regressor().fit(X, values)
    expected = -mean_absolute_error(flat(VALUES)[kept], flat(model.predict(X))[kept])
    assert scorer("neg_mean_absolute_error")(model, X, values) == pytest.approx(expected)
    assert scorer("r2")(model, X, values) == pytest.approx(model.score(X, values))


def test_scores_of_sequences():
    model = classifier().fit(X, OF_SEQUENCES)
    for name in NAMES:
        assert np.isfinite(scorer(name)(model, X, OF_SEQUENCES))
    assert scorer()(model, X, OF_SEQUENCES) == model.score(X, OF_SEQUENCES)
    several = np.stack([[y == "up", y == "down"] for y in OF_SEQUENCES]).astype(int)
    model = classifier(loss="sigmoid_cross_entropy").fit(X, several)
    assert scorer()(model, X, several) == model.score(X, several)
    assert 0 <= scorer("f1_micro")(model, X, several) <= 1
    of_steps = [np.stack([y == "up", y == "down"], axis=1).astype(int) for y in OF_STEPS]
    model = classifier(loss="sigmoid_cross_entropy").fit(X, of_steps)
    assert scorer()(model, X, of_steps) == model.score(X, of_steps)
    values = np.stack([v[-2:] for v in VALUES])
    model = regressor(targets="sequence").fit(X, values)
    assert scorer("r2")(model, X, values) == pytest.approx(model.score(X, values))
    assert scorer("neg_mean_absolute_error")(model, X, values) < 0


@pytest.mark.parametrize("cv", [3, KFold(3)])
def test_cross_validation_takes_them_by_name(cv):
    scoring = {name: scorer(name) for name in ("f1_macro", "roc_auc", "neg_log_loss")}
    found = cross_validate(classifier(), X, OF_STEPS, cv=KFold(3), scoring=scoring, error_score="raise")
    assert all(np.isfinite(found[f"test_{name}"]).all() for name in scoring)
    found = cross_validate(classifier(), X, OF_SEQUENCES, cv=cv, scoring=scoring, error_score="raise")
    assert all(np.isfinite(found[f"test_{name}"]).all() for name in scoring)
    found = cross_validate(regressor(), X, VALUES, cv=cv, scoring=scorer("neg_root_mean_squared_error"))
    assert np.isfinite(found["test_score"]).all()
    search = GridSearchCV(classifier(), {"hidden_size": [3, 6]}, cv=KFold(2), scoring=scorer("f1_macro"))
    search.fit(X, OF_STEPS)
    assert scorer("f1_macro")(search, X, OF_STEPS) == pytest.approx(search.score(X, OF_STEPS))


def test_scorers_say_what_they_are():
    one = scorer("f1_macro", ignore_label=-1)
    assert repr(one) == repr(pickle.loads(pickle.dumps(one))) == "scorer('f1_macro', ignore_label=-1)"
    with pytest.raises(ValueError, match="f1_makro"):
        scorer("f1_makro")
    with pytest.raises(AttributeError, match="decision_function|predict_proba"):
        scorer("neg_log_loss")(classifier(loss="hinge").fit(X, OF_STEPS), X, OF_STEPS)


@pytest.mark.parametrize("y", [OF_STEPS[:-1], [labels[1:] for labels in OF_STEPS], OF_SEQUENCES])
def test_targets_that_do_not_fit_are_refused(of_steps, y):
    with pytest.raises(ValueError, match="y"):
        scorer("f1_macro")(of_steps, X, y)


def test_targets_and_predictions_can_be_joined(of_steps):
    true, predicted, p = joined(OF_STEPS, of_steps.predict(X), of_steps.predict_proba(X))
    assert accuracy_score(true, predicted) == of_steps.score(X, OF_STEPS) and p.shape == (len(true), 2)
    with pytest.raises(ValueError, match=r"predictions\[1\] has sequences of other lengths"):
        joined(OF_STEPS, of_steps.predict(X), of_steps.predict(X[::-1]))
    with pytest.raises(ValueError, match=r"y\[0\] has"):
        joined([labels[1:] for labels in OF_STEPS], of_steps.predict(X))


# predictions of folds


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "decision_function"])
@pytest.mark.parametrize("y", [OF_STEPS, OF_SEQUENCES], ids=["steps", "sequences"])
def test_folds_are_predicted_by_the_others(method, y):
    found = cross_val_predict(classifier(), X, y, cv=KFold(3), method=method)
    assert len(found) == len(X)
    train, test = next(KFold(3).split(X))
    model = classifier().fit([X[i] for i in train], [y[i] for i in train])
    for i, expected in zip(test, getattr(model, method)([X[i] for i in test]), strict=True):
        np.testing.assert_array_equal(found[i], expected)
    if y is OF_SEQUENCES:
        np.testing.assert_array_equal(
            found, cross_val_predict_of_sklearn(classifier(), X, y, cv=KFold(3), method=method)
        )
        assert cross_val_predict(classifier(), X, y, cv=3).shape == (60,)


def test_a_class_that_a_fold_has_not_seen_has_probability_zero():
    y = np.array(["a"] * 20 + ["b", "c"] * 20)
    found = cross_val_predict(classifier(), X, y, cv=KFold(3), method="predict_proba")
    assert found.shape == (60, 3) and (found[:20, 0] == 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    per_step = [np.full(len(x), label) for x, label in zip(X, y, strict=True)]
    found = cross_val_predict(classifier(), X, per_step, cv=KFold(3), method="predict_proba")
    assert [p.shape for p in found] == [(len(x), 3) for x in X]
    with pytest.raises(ValueError, match="a fold has two of the 3 classes only"):
        cross_val_predict(classifier(), X, y, cv=KFold(3), method="decision_function")


def test_values_of_folds():
    found = cross_val_predict(regressor(), X, VALUES, cv=3)
    assert [len(v) for v in found] == [len(x) for x in X]
    found = cross_val_predict(regressor(), X, [v[-1] for v in VALUES], cv=3)
    assert found.shape == (60,)
    with pytest.raises(ValueError, match="cv does not test every sequence once"):
        cross_val_predict(regressor(), X, VALUES, cv=[(np.arange(30), np.arange(30, 50))])


# importances


@pytest.mark.parametrize("kind", ["list", "frames", "array", "index", "equal list"])
def test_the_feature_that_tells_is_the_important_one(kind):
    x = [a[:4] for a in X] if kind in ("array", "equal list") else X
    y = np.array([a[:, 1].sum() > 0 for a in x])
    frames = [pd.DataFrame(a, columns=["a", "b", "c"]) for a in x]
    given = {
        "list": x,
        "equal list": x,
        "frames": frames,
        "array": np.array(x) if kind == "array" else None,
        "index": pd.concat(dict(enumerate(frames))),
    }[kind]
    model = classifier(max_epochs=40).fit(given, y)
    found = permutation_importance(model, given, y, n_repeats=3, random_state=0)
    assert found.importances.shape == (3, 3) and found.importances_mean.argmax() == 1
    assert found.importances_mean[1] > 0.2 > 2 * abs(found.importances_mean[0])
    assert found.feature_names == (["a", "b", "c"] if kind in ("frames", "index") else None)
    again = permutation_importance(model, given, y, n_repeats=3, random_state=0)
    np.testing.assert_array_equal(found.importances, again.importances)


def test_importances_by_another_score_of_steps_and_of_one_series():
    of_one = np.concatenate(X)
    y = np.where(of_one[:, 2] > 0, "up", "down")
    model = classifier(max_epochs=60, stateful=True, chunk_size=5).fit([of_one], [y])
    found = permutation_importance(model, [of_one], [y], scoring="f1_macro", random_state=0)
    assert found.importances_mean.argmax() == 2
    table = np.array([a[:4, 0] for a in X])
    model = classifier().fit(table, table[:, -1] > 0)
    assert permutation_importance(model, table, table[:, -1] > 0).importances.shape == (1, 5)
    with pytest.raises(ValueError, match="n_repeats is 0"):
        permutation_importance(model, table, table[:, -1] > 0, n_repeats=0)


# long series


@pytest.mark.parametrize("as_frame", [False, True])
def test_long_series_are_cut_into_chunks_in_the_order_of_time(as_frame):
    series = [rng.normal(size=(n, 2)) for n in (103, 57)]
    targets = [x.sum(axis=1) for x in series]
    given = [pd.DataFrame(x, columns=["a", "b"]) for x in series] if as_frame else series
    x, y, groups = series_in_chunks(given, targets, chunk_size=10)
    assert [len(a) for a in x] == [10] * 10 + [3] + [10] * 5 + [7] and groups.tolist() == [0] * 11 + [1] * 6
    np.testing.assert_array_equal(np.concatenate(x), np.concatenate(series))
    np.testing.assert_array_equal(np.concatenate(y), np.concatenate(targets))
    assert not as_frame or list(x[0]) == ["a", "b"]
    found = cross_validate(regressor(targets="step"), x, y, groups=groups, cv=ChunkSplit(3), error_score="raise")
    assert np.isfinite(found["test_score"]).all()


def test_what_is_tested_comes_after_what_is_trained_on():
    groups = np.array([0] * 11 + [1] * 6)
    position = np.r_[np.arange(11), np.arange(6)]
    for gap in (0, 1):
        folds = list(ChunkSplit(3, gap=gap).split(range(17), groups=groups))
        assert len(folds) == ChunkSplit(3).get_n_splits() == 3
        for train, test in folds:
            for series in (0, 1):
                last = position[train[groups[train] == series]].max()
                first = position[test[groups[test] == series]].min()
                assert first == last + 1 + gap
    (train, _), *_ = ChunkSplit(3, max_train_size=1).split(range(17))
    assert len(train) == 1
    assert repr(clone(ChunkSplit(3, gap=1))) == "ChunkSplit(gap=1, n_splits=3)"


def test_series_that_cannot_be_cut_are_refused():
    series = np.zeros((30, 2))
    with pytest.raises(ValueError, match=r"pass \[X\] for a single one"):
        series_in_chunks(series, np.zeros(30), chunk_size=5)
    with pytest.raises(ValueError, match=r"y\[0\] has 29 targets and X\[0\] has 30 steps"):
        series_in_chunks([series], [np.zeros(29)], chunk_size=5)
    with pytest.raises(ValueError, match="chunk_size is 0"):
        series_in_chunks([series], chunk_size=0)
    with pytest.raises(ValueError, match=r"series 0 of X has 3 chunk\(s\), too few for n_splits=5"):
        next(ChunkSplit().split(range(3)))
    with pytest.raises(ValueError, match="groups has 2 entries and X has 3 chunks"):
        next(ChunkSplit(2).split(range(3), groups=[0, 1]))
