"""What other people's tools ask of estimators and of their parameters."""

import collections
import copy
import pickle
from enum import Enum

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from admmirnn import Algorithm1, CharacterModel, RNNClassifier, RNNRegressor, Rollout, Status, losses
from admmirnn.losses import LOSSES_OF_CLASSES, LOSSES_OF_VALUES, Huber, Quantile, SoftmaxCrossEntropy, UserLoss
from admmirnn.penalties import Box, Lasso

pytestmark = pytest.mark.elman


def classifier(**settings):
    return RNNClassifier(**{"hidden_size": 4, "max_epochs": 2, "random_state": 0, **settings})


@pytest.fixture(scope="module")
def ragged():
    """60 sequences of unequal lengths, a class for each, and one for each of their steps."""
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(length, 2)) for length in rng.integers(3, 9, 60)]
    return X, [int(x.sum() > 0) for x in X], [(x[:, 0] > 0).astype(int) for x in X]


# losses as parameters


class Cubic:
    """A loss of one's own without repr and equality."""

    def value(self, o, y):
        return (np.abs(o - y) ** 3).sum(axis=1)

    def prox(self, q, y, rho):
        return q


@pytest.mark.parametrize("loss", [*LOSSES_OF_CLASSES.values(), *LOSSES_OF_VALUES.values()])
def test_losses_show_their_settings_and_are_equal_by_them(loss):
    one = loss()
    assert eval(repr(one), vars(losses).copy()) == one
    assert hash(loss()) == hash(one)
    for other in (copy.deepcopy(one), pickle.loads(pickle.dumps(one)), clone(one, safe=False)):
        assert other == one and hash(other) == hash(one)
    assert one != object() and one != (Huber(0.5) if loss is not Huber else Quantile())


def test_losses_with_other_settings_are_others():
    assert repr(Quantile(0.9)) == "Quantile(quantile=0.9)" and repr(Huber(0.5)) == "Huber(delta=0.5)"
    assert Quantile(0.1) != Quantile(0.9) and len({Quantile(0.1), Quantile(0.9), Quantile(0.9)}) == 2
    own = Cubic()
    assert UserLoss(own) == UserLoss(own) != UserLoss(Cubic())
    assert UserLoss(own) != UserLoss(own, n_outputs=2) and hash(UserLoss(own)) == hash(UserLoss(own))
    assert repr(UserLoss(own)) == f"UserLoss(loss={own!r}, n_outputs=None)"


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_results_of_a_search_tell_losses_apart(ragged):
    X = ragged[0]
    y = [x.sum() for x in X]
    model = RNNRegressor(hidden_size=4, max_epochs=1, random_state=0)
    search = GridSearchCV(model, {"loss": [Quantile(0.1), Quantile(0.9)]}, cv=KFold(2)).fit(X, y)
    assert list(map(str, pd.DataFrame(search.cv_results_)["param_loss"])) == [
        "Quantile(quantile=0.1)",
        "Quantile(quantile=0.9)",
    ]
    assert "loss=Quantile(quantile=0.9)" in repr(RNNRegressor(loss=Quantile(0.9)))
    assert "Quantile(quantile=0.9)" in RNNRegressor(loss=Quantile(0.9))._repr_html_()


# logarithms of probabilities


@pytest.mark.parametrize("form", ["sequence", "array", "list"])
@pytest.mark.parametrize("loss", ["cross_entropy", "sigmoid_cross_entropy"])
def test_log_probabilities_are_those_of_the_outputs(ragged, loss, form):
    X, of_sequences, of_steps = ragged
    if form == "array":
        X, y = np.array([x[:3] for x in X]), np.array([labels[:3] for labels in of_steps])
    else:
        y = of_sequences if form == "sequence" else of_steps
    if loss == "sigmoid_cross_entropy":
        y = [np.stack([labels, 1 - labels], axis=-1) for labels in map(np.asarray, y)]
        y = y if form == "list" else np.array(y)
    model = classifier(loss=loss, dtype="float64").fit(X, y)
    found, expected = model.predict_log_proba(X), model.predict_proba(X)
    assert type(found) is type(expected) and len(found) == len(expected)
    for one, probabilities in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.exp(one), probabilities, rtol=1e-12)


@pytest.mark.parametrize("loss", ["cross_entropy", "sigmoid_cross_entropy"])
def test_log_probabilities_are_finite_where_probabilities_are_zero(ragged, loss):
    X, y, _ = ragged
    several = loss == "sigmoid_cross_entropy"
    model = classifier(loss=loss).fit(X, np.stack([y, np.subtract(1, y)], axis=1) if several else y)
    model.c_ = np.float32([-400, 400])
    logarithms, outputs = model.predict_log_proba(X), model.decision_function(X)
    assert (model.predict_proba(X)[:, 0] == 0).all() and np.isfinite(logarithms).all()
    np.testing.assert_allclose(logarithms[:, 0], outputs[:, 0] if several else -outputs, rtol=1e-5)


def test_log_probabilities_are_where_probabilities_are(ragged):
    X, y, _ = ragged
    assert not hasattr(classifier(loss="hinge"), "predict_log_proba")
    X = np.array([x[:3, 0] for x in X])
    found = cross_val_predict(classifier(), X, y, cv=2, method="predict_log_proba")
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1, rtol=1e-5)
    piped = make_pipeline(FunctionTransformer(), classifier()).fit(X, y)
    np.testing.assert_allclose(np.exp(piped.predict_log_proba(X)), piped.predict_proba(X), rtol=1e-5)


def test_log_probabilities_of_characters():
    model = CharacterModel(hidden_size=4, max_epochs=1, random_state=0).fit("hello there " * 40)
    np.testing.assert_allclose(np.exp(model.predict_log_proba("hello")), model.predict_proba("hello"), rtol=1e-5)
    model.c_[0] = -400
    assert (model.predict_proba("hello")[:, 0] == 0).all() and np.isfinite(model.predict_log_proba("hello")).all()


# files of other tools


def pickled(model):
    return pickle.loads(pickle.dumps(model))


def through_skops(model):
    skops = pytest.importorskip("skops.io")
    data = skops.dumps(model)
    return skops.loads(data, trusted=skops.get_untrusted_types(data=data))


def through_state(model):
    """As tools do that know nothing but the protocol of pickle, and of values the types of JSON, numpy and scipy."""
    state = model.__getstate__()
    assert not any(isinstance(value, Enum) for value in state.values())
    same = object.__new__(type(model))
    same.__setstate__(state)
    return same


SETTINGS_OF_FITS = [
    {},
    {"solver": Rollout(radius=0.3), "loss": "hinge", "dtype": "float64"},
    {"solver": Algorithm1()},
    {"penalties": {"W": Lasso(1e-3), "U": Box(-1, 1)}, "loss": SoftmaxCrossEntropy()},
    {"cell": "lstm", "s_0": "learn", "readout": "mean"},
    {"hidden_size": (4, 3), "bidirectional": True, "early_stopping": True},
    {"stateful": True, "chunk_size": 2, "batch_size": 2},
]


@pytest.mark.parametrize("way", [through_skops, through_state, copy.copy, copy.deepcopy, pickled])
@pytest.mark.parametrize("settings", SETTINGS_OF_FITS, ids=str)
def test_a_fitted_classifier_comes_back(ragged, settings, way):
    X, y, of_steps = ragged
    model = classifier(**settings).fit(X, of_steps if settings.get("stateful") else y)
    same = way(model)
    assert same.status_ is model.status_ and same.history_ == model.history_
    assert repr(same.get_params()) == repr(model.get_params())
    assert all(map(np.array_equal, same.predict(X), model.predict(X)))
    assert model.status_ in Status  # the one that was written is as it was


@pytest.mark.parametrize("way", [through_skops, through_state, copy.copy, copy.deepcopy, pickled])
def test_other_estimators_come_back(ragged, way):
    X = ragged[0]
    model = RNNRegressor(hidden_size=4, max_epochs=2, random_state=0, loss=Quantile(0.9)).fit(X, [x.sum() for x in X])
    same = way(model)
    assert np.array_equal(same.predict(X), model.predict(X)) and same.status_ is model.status_
    assert same.loss == Quantile(0.9)
    text = CharacterModel(hidden_size=4, max_epochs=1, random_state=0).fit("hello there " * 40)
    same = way(text)
    assert np.array_equal(same.W_, text.W_) and same.status_ is text.status_
    assert way(classifier()).get_params() == classifier().get_params()  # not fitted, and without a status


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # mlflow warns of itself
def test_a_model_logged_in_mlflow_comes_back(ragged, tmp_path):
    mlflow, skops = pytest.importorskip("mlflow.sklearn"), pytest.importorskip("skops.io")
    X, y, _ = ragged
    model = classifier().fit(X, y)
    trusted = skops.get_untrusted_types(data=skops.dumps(model))
    mlflow.save_model(model, tmp_path / "model", pip_requirements=[], skops_trusted_types=trusted)
    same = mlflow.load_model(str(tmp_path / "model"))
    assert np.array_equal(same.predict(X), model.predict(X)) and same.status_ is model.status_


# predictions of every step


@pytest.mark.parametrize("equal", [False, True])
def test_cross_val_predict_of_labels_of_steps(ragged, equal):
    X, _, y = ragged
    if equal:
        X, y = [x[:3] for x in X], [labels[:3] for labels in y]
    found = cross_val_predict(classifier(), X, y, cv=KFold(3))
    assert isinstance(found, np.ndarray) and found.shape == ((60, 3) if equal else (60,))
    assert [labels.shape for labels in found] == [labels.shape for labels in y]
    kept = list(range(20, 60))
    model = classifier().fit([X[i] for i in kept], [y[i] for i in kept])
    assert all(map(np.array_equal, found[:20], model.predict(X[:20])))


def test_cross_val_predict_of_values_of_steps(ragged):
    X = ragged[0]
    model = RNNRegressor(hidden_size=4, max_epochs=1, random_state=0)
    for y in ([x.sum(axis=1) for x in X], [x.cumsum(axis=0) for x in X]):
        found = cross_val_predict(model, X, y, cv=3)
        assert [values.shape for values in found] == [values.shape for values in y]


@pytest.mark.parametrize("method", ["predict", "decision_function", "predict_proba", "predict_log_proba"])
def test_predictions_of_unequal_lengths_are_an_array_of_arrays(ragged, method):
    X, _, y = ragged
    found = getattr(classifier().fit(X, y), method)(X)
    assert isinstance(found, np.ndarray) and found.dtype == object and found.shape == (60,)
    assert [len(one) for one in found] == [len(x) for x in X]
    assert getattr(classifier().fit(X, y), method)(X[:1]).shape == (1,)  # whatever happens to be equal
    assert isinstance(getattr(classifier().fit(X, y), method)(X[:1])[0], np.ndarray)


# other containers of arrays


class OnlyItems:
    """A sequence by its protocol of old, with a length and items."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


def nested(items):
    return [item.tolist() if isinstance(item, np.ndarray) else item for item in items]


def in_objects(items):
    found = np.empty(len(items), object)
    for i, item in enumerate(items):
        found[i] = in_objects(list(item)) if np.ndim(item) > 1 else item
    return found


def column_of_hugging_face(items):
    return pytest.importorskip("datasets").Dataset.from_dict({"x": nested(items)})["x"]


CONTAINERS = {
    "UserList": collections.UserList,
    "deque": collections.deque,
    "values of a dict": lambda items: dict(enumerate(items)).values(),
    "length and items": OnlyItems,
    "objects in objects": in_objects,
    "pandas": lambda items: pd.Series(list(items)),
    "pandas, as read from parquet": lambda items: pd.Series(in_objects(items)),
    "polars": lambda items: pytest.importorskip("polars").Series(nested(items)),
    "pyarrow": lambda items: pytest.importorskip("pyarrow").array(nested(items)),
    "pyarrow in chunks": lambda items: pytest.importorskip("pyarrow").chunked_array([nested(items)]),
    "awkward": lambda items: pytest.importorskip("awkward").Array(nested(items)),
    "list of awkward": lambda items: [pytest.importorskip("awkward").Array(item) for item in nested(items)],
    "Hugging Face": column_of_hugging_face,
}


OF_ARRAYS_ONLY = ("objects in objects", "pandas, as read from parquet", "list of awkward")


@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("container", CONTAINERS)
def test_container_of_sequences_does_not_matter(ragged, container, equal):
    X, y, of_steps = ragged
    if equal:
        X, of_steps = [x[:3] for x in X], [labels[:3] for labels in of_steps]
    weights = [1.0 + np.arange(len(x)) for x in X]
    form = CONTAINERS[container]
    for labels, extra in ((y, {}), (of_steps, {"sample_weight": weights})):
        expected = classifier().fit(X, labels, **extra)
        # scikit-learn's metrics refuse numbers in arrays of objects
        given = labels if labels is y and container in OF_ARRAYS_ONLY else form(labels)
        extra = {name: form(value) for name, value in extra.items()}
        model = classifier().fit(form(X), given, validation_data=(form(X), given), **extra)
        np.testing.assert_array_equal(model.W_, expected.W_)
        assert all(map(np.array_equal, model.predict(form(X)), expected.predict(X)))
        assert model.score(form(X), given) == expected.score(X, labels)


@pytest.mark.parametrize("container", CONTAINERS)
def test_container_of_values_does_not_matter(ragged, container):
    X, form = ragged[0], CONTAINERS[container]
    following = [np.roll(x, 1, axis=0) for x in X]
    model, expected = (RNNRegressor(hidden_size=4, max_epochs=1, random_state=0) for _ in range(2))
    model.fit(form(X), form(following)), expected.fit(X, following)
    np.testing.assert_array_equal(model.W_, expected.W_)
    assert model.score(form(X), form(following)) == expected.score(X, following)
    np.testing.assert_array_equal(model.forecast(form(X), 2), expected.forecast(X, 2))


@pytest.mark.parametrize("container", ["UserList", "deque", "length and items", "polars", "pandas"])
def test_container_of_texts_does_not_matter(container):
    texts = ["hello there " * 20, "here and there " * 20]
    model, expected = (CharacterModel(hidden_size=4, max_epochs=1, random_state=0) for _ in range(2))
    model.fit(CONTAINERS[container](texts)), expected.fit(texts)
    np.testing.assert_array_equal(model.W_, expected.W_)


def test_what_is_no_sequence_of_arrays_is_refused(ragged):
    X, y, _ = ragged
    for wrong in (dict(enumerate(X)), "a text", {1, 2}, collections.deque(), collections.deque([X[0], X[1][:, :1]])):
        with pytest.raises((ValueError, TypeError)):
            classifier().fit(wrong, y)


# MAPIE, which makes intervals and sets of any model's predictions


def test_mapie_makes_intervals_of_lists(ragged):
    regression = pytest.importorskip("mapie.regression")
    X = ragged[0]
    y = np.array([x[:, 0].mean() for x in X])
    model = RNNRegressor(hidden_size=4, max_epochs=2, random_state=0)
    found = regression.CrossConformalRegressor(model, confidence_level=0.8, cv=3).fit_conformalize(X, y)
    points, intervals = found.predict_interval(X[50:])
    assert (intervals[:, 0, 0] <= points).all() and (points <= intervals[:, 1, 0]).all()


def test_mapie_makes_sets_of_lists(ragged):
    classification = pytest.importorskip("mapie.classification")
    X, y, _ = ragged
    found = classification.CrossConformalClassifier(classifier(), confidence_level=0.8, cv=3).fit_conformalize(X, y)
    assert found.predict_set(X[50:])[1].shape == (10, 2, 1)


def test_split_mapie_asks_for_a_table(ragged):
    """It tries a fitted model on one row of n_features_in_ numbers; once it does not, the guide should say so."""
    regression = pytest.importorskip("mapie.regression")
    X = ragged[0]
    y = np.array([x[:, 0].mean() for x in X])
    model = RNNRegressor(hidden_size=4, max_epochs=2, random_state=0)
    split = regression.SplitConformalRegressor(model, confidence_level=0.8, prefit=False).fit(X[:30], y[:30])
    with pytest.raises(UserWarning, match="minimal prediction test"):
        split.conformalize(X[30:], y[30:])
