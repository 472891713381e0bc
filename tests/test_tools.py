"""What other people's tools ask of estimators and of their parameters."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from admmirnn import CharacterModel, RNNClassifier, RNNRegressor, losses
from admmirnn.losses import LOSSES_OF_CLASSES, LOSSES_OF_VALUES, Huber, Quantile, UserLoss


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
