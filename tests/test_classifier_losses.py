"""RNNClassifier with every loss: hinge, several labels at once, a user's own."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.special import expit, softmax
from sklearn.metrics import accuracy_score
from sklearn.model_selection import cross_val_score
from sklearn.utils import estimator_checks, get_tags

from admmirnn import Algorithm1, RNNClassifier
from admmirnn.losses import Hinge, Huber, SigmoidCrossEntropy, SoftmaxCrossEntropy
from admmirnn.reference.output import LOSSES

pytestmark = pytest.mark.elman

SEVERAL = "sigmoid_cross_entropy"


def classifier(**settings):
    return RNNClassifier(**{"hidden_size": 12, "random_state": 0, **settings})


@pytest.fixture(scope="module")
def three_classes():
    """Sequences of unequal lengths, the class of which is where their mean lies."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 150)
    centres = np.array([[1.5, 0], [-1.5, 1], [0, -1.5]])
    return [centres[k] + rng.normal(size=(rng.integers(4, 9), 2)) for k in y], np.array(["a", "b", "c"])[y]


@pytest.fixture(scope="module")
def several_labels():
    """Sequences of unequal lengths, their labels, and those of each step: is the sum so far of a feature positive?"""
    rng = np.random.default_rng(1)
    X = [rng.normal(size=(length, 3)) + rng.choice([-0.7, 0.7], 3) for length in rng.integers(4, 9, 160)]
    Y = [(x.cumsum(axis=0) > 0).astype(int) for x in X]
    return X, np.array([y[-1] for y in Y]), Y


class OwnHinge:
    """The hinge loss once more, of class numbers."""

    takes_labels, least_rho = True, 100.0

    def value(self, o, y):
        return LOSSES["hinge"].value(o, y, 0.0)

    def prox(self, q, y, rho):
        return LOSSES["hinge"].prox(q, y, rho, 0.0, 0.0)[0]


class OwnSquares:
    """1/2 |o - t|^2, t = 1 where there is a label, and -1 elsewhere."""

    def value(self, o, y):
        return 0.5 * ((o - (2 * y - 1)) ** 2).sum(axis=1)

    def prox(self, q, y, rho):
        return (2 * y - 1 + rho * q) / (1 + rho)


def every_step_of(labels, X):
    return [np.repeat(label, len(x)) for label, x in zip(labels, X, strict=True)]


@pytest.mark.parametrize("loss", ["hinge", Hinge(), OwnHinge()], ids=["hinge", "object", "own"])
def test_a_loss_without_probabilities(three_classes, loss):
    X, y = three_classes
    model = classifier(loss=loss).fit(X, y)
    assert model.score(X, y) > 0.9
    assert model.history_[-1]["training_accuracy"] > 0.9
    assert not hasattr(model, "predict_proba")
    with pytest.raises(AttributeError, match="predict_proba"):
        model.predict_proba(X)
    decision = model.decision_function(X)
    assert decision.shape == (150, 3)
    assert np.array_equal(model.classes_[decision.argmax(axis=1)], model.predict(X))
    steps = classifier(loss=loss, max_epochs=2).fit(X, every_step_of(y, X))
    assert [len(d) for d in steps.decision_function(X)] == [len(x) for x in X]


def test_a_loss_of_ones_own_is_the_loss_that_it_is(three_classes):
    X, y = three_classes
    own, built_in = (classifier(loss=loss, dtype="float64", max_epochs=3).fit(X, y) for loss in (OwnHinge(), "hinge"))
    np.testing.assert_allclose(own.W_, built_in.W_, rtol=0, atol=1e-12)
    assert own.history_[0]["training_accuracy"] == built_in.history_[0]["training_accuracy"]


@pytest.mark.parametrize("loss", ["cross_entropy", SoftmaxCrossEntropy(), "hinge"], ids=["name", "object", "hinge"])
def test_decision_of_two_classes(three_classes, loss):
    X, y = three_classes
    two = np.where(y == "a", "yes", "no")
    model = classifier(loss=loss, max_epochs=3).fit(X, two)
    decision = model.decision_function(X)
    assert decision.shape == (150,)
    assert np.array_equal(model.classes_[(decision > 0).astype(int)], model.predict(X))
    if loss != "hinge":
        np.testing.assert_allclose(expit(decision), model.predict_proba(X)[:, 1], atol=1e-6)
        of_three = classifier(loss=loss, max_epochs=1).fit(X, y)
        np.testing.assert_allclose(softmax(of_three.decision_function(X), axis=1), of_three.predict_proba(X), atol=1e-6)
    assert cross_val_score(classifier(loss=loss, max_epochs=5), X, two, scoring="roc_auc", cv=3).mean() > 0.9


@pytest.mark.parametrize("loss", [SEVERAL, SigmoidCrossEntropy(), OwnSquares()], ids=["name", "object", "own"])
def test_several_labels(several_labels, loss):
    X, y, Y = several_labels
    model = classifier(loss=loss).fit(X[:120], y[:120])
    predicted = model.predict(X[120:])
    assert predicted.shape == (40, 3) and predicted.dtype.kind == "i" and set(np.unique(predicted)) == {0, 1}
    assert np.mean(predicted == y[120:]) > 0.9
    assert model.score(X[120:], y[120:]) == pytest.approx(accuracy_score(y[120:], predicted))
    assert model.classes_.tolist() == [0, 1, 2]
    assert "training_accuracy" not in model.history_[0]
    np.testing.assert_array_equal(model.decision_function(X[120:]) > 0, predicted)
    if loss != SEVERAL and not isinstance(loss, SigmoidCrossEntropy):
        assert not hasattr(model, "predict_proba")
        return
    probabilities = model.predict_proba(X[120:])
    np.testing.assert_allclose(probabilities, expit(model.decision_function(X[120:])))
    np.testing.assert_array_equal(probabilities > 0.5, predicted)
    assert not np.allclose(probabilities.sum(axis=1), 1)


@pytest.mark.parametrize("form", ["list", "array"])
def test_several_labels_of_each_step(several_labels, form):
    X, _, Y = several_labels
    if form == "array":
        X, Y = np.array([x[:4] for x in X]), np.array([y[:4] for y in Y])
    model = classifier(loss=SEVERAL).fit(X[:120], Y[:120])
    for method in (model.predict, model.predict_proba, model.decision_function):
        found = method(X[120:])
        assert (found.dtype != object) == (form == "array")
        assert [row.shape for row in found] == [y.shape for y in Y[120:]]
    right = np.concatenate(list(model.predict(X[120:]))) == np.concatenate(list(Y[120:]))
    assert right.mean() > 0.9
    assert model.score(X[120:], Y[120:]) == pytest.approx(right.all(axis=1).mean())


@pytest.mark.parametrize("form", ["list", "rows", "bool", "sparse", "float32"])
def test_form_of_indicators_does_not_matter(several_labels, form):
    X, y, _ = several_labels
    forms = {"list": y.tolist(), "rows": list(y), "bool": y > 0, "sparse": csr_array(y), "float32": y.astype("f4")}
    formed = forms[form]
    expected, model = (classifier(loss=SEVERAL, max_epochs=2).fit(X, of) for of in (y, formed))
    np.testing.assert_array_equal(model.W_, expected.W_)
    assert model.score(X, formed) == expected.score(X, y)


@pytest.mark.parametrize("ignored", [-1, np.nan, 7.0])
def test_rows_without_labels_say_nothing(several_labels, ignored):
    X, _, Y = several_labels
    rng = np.random.default_rng(2)
    missing = [rng.random(len(y)) < 0.4 for y in Y]
    missing[3][:] = True
    given = [np.where(m[:, None], ignored, y) for m, y in zip(missing, Y, strict=True)]
    weights = [(~m).astype(float) for m in missing]
    settings = {"loss": SEVERAL, "max_epochs": 2}
    found = classifier(**settings, ignore_label=ignored).fit(X, given)
    by_weight = classifier(**settings).fit(X, Y, sample_weight=weights)
    np.testing.assert_array_equal(found.W_, by_weight.W_)
    assert found.score(X, given) == pytest.approx(by_weight.score(X, Y, sample_weight=weights))


def test_one_label_and_labels_that_all_or_none_have(several_labels):
    X, y, _ = several_labels
    one = classifier(loss=SEVERAL, max_epochs=5).fit(X, y[:, :1])
    assert one.predict(X).shape == (160, 1) and one.score(X, y[:, :1]) > 0.8
    y = np.column_stack([np.ones(160), np.zeros(160), y[:, 0]])
    assert classifier(loss=SEVERAL).fit(X, y).predict(X)[:, :2].mean(axis=0).tolist() == [1, 0]


@pytest.mark.parametrize(
    "check",
    [
        "check_classifiers_multilabel_representation_invariance",
        "check_classifiers_multilabel_output_format_predict",
        "check_classifiers_multilabel_output_format_predict_proba",
        "check_classifiers_multilabel_output_format_decision_function",
        "check_get_params_invariance",
        "check_parameters_default_constructible",
    ],
)
def test_scikit_learn_check(check):
    getattr(estimator_checks, check)("RNNClassifier", RNNClassifier(loss=SEVERAL))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("check", ["train", "classes", "one_label"])
def test_scikit_learn_check_of_hinge(check):
    check = f"check_classifiers_{check}"
    getattr(estimator_checks, check)("RNNClassifier", RNNClassifier(loss="hinge", dtype="float64"))


def test_tags():
    for loss, several in (("cross_entropy", False), ("hinge", False), (OwnHinge(), False), (SEVERAL, True)):
        tags = get_tags(RNNClassifier(loss=loss))
        assert (tags.classifier_tags.multi_label, tags.classifier_tags.multi_class) == (several, not several)


def test_class_weights_with_hinge(three_classes):
    X, y = three_classes
    weights = {"a": 5.0, "b": 1.0, "c": 0.5}
    settings = {"loss": "hinge", "max_epochs": 3}
    found = classifier(**settings, class_weight=weights).fit(X, y)
    expected = classifier(**settings).fit(X, y, sample_weight=[weights[label] for label in y])
    np.testing.assert_array_equal(found.W_, expected.W_)


def refused(match, X, y, error=ValueError, **settings):
    model = classifier(max_epochs=1, **settings)
    with pytest.raises(error, match=match):
        model.fit(X, y)
    assert not hasattr(model, "W_")


def test_what_does_not_fit_is_refused(several_labels, three_classes):
    X, y, Y = several_labels
    refused("loss is 'logistic'; the known ones are 'cross_entropy', 'hinge'", X, y, loss="logistic")
    refused("this estimator takes 'cross_entropy'", X, y, loss=Huber())
    refused("which has no method 'value'", X, y, TypeError, loss=3)
    refused("loss is the class Hinge; pass an object", X, y, TypeError, loss=Hinge)
    refused("loss='sigmoid_cross_entropy'", X, y)
    refused(r"y has the shape \(160,\); with this loss", X, y[:, 0], loss=SEVERAL)
    refused("y contains 2, first at index 4", X, np.where(np.arange(160)[:, None] == 4, 2, y), loss=SEVERAL)
    refused("y contains nan", X, np.where(np.arange(160)[:, None] == 4, np.nan, y), loss=SEVERAL)
    refused("y holds", X, np.full((160, 2), "a"), TypeError, loss=SEVERAL)
    refused("X has 160 sequences and y has 159 entries", X, y[1:], loss=SEVERAL)
    refused(r"y\[0\] has \d rows and X\[0\] has \d steps", X, [Y[0][1:], *Y[1:]], loss=SEVERAL)
    refused(r"y\[0\] has 2 rows and X\[0\] has \d steps", X, np.zeros((160, 2, 3)), loss=SEVERAL)
    refused("no column", X, np.zeros((160, 0)), loss=SEVERAL)
    refused("class_weight is 'balanced'", X, y, loss=SEVERAL, class_weight="balanced")
    refused("no row with labels and a positive weight", X, np.zeros((160, 2)), loss=SEVERAL, ignore_label=0)
    refused("y contains -1", X, np.where(np.arange(3) == 1, -1, y), loss=SEVERAL, ignore_label=-1)
    refused("Hinge, which this solver has no step for", *three_classes, loss="hinge", solver=Algorithm1())
    refused("SigmoidCrossEntropy, which this", X, y, loss=SEVERAL, solver=Algorithm1())
    refused("OwnHinge, which this", *three_classes, loss=OwnHinge(), solver=Algorithm1())
    model = classifier(loss=SEVERAL, max_epochs=1).fit(X, y)
    for wrong in (y[:, :2], Y):
        with pytest.raises(ValueError, match="y has the shape .* and predictions have the shape"):
            model.score(X, wrong)


def test_partial_fit(several_labels, three_classes):
    X, y, _ = several_labels
    model = classifier(loss=SEVERAL)
    for _ in range(8):
        model.partial_fit(X, y)
    assert model.score(X, y) > 0.6
    with pytest.raises(ValueError, match="y has 2 columns, and there are 3 labels"):
        model.partial_fit(X, y[:, :2])
    with pytest.raises(ValueError, match="targets had several labels when training began"):
        model.set_params(loss="hinge").partial_fit(X, y[:, 0])
    X, y = three_classes
    model = classifier(loss="hinge").partial_fit(X, y, classes=["a", "b", "c"])
    for _ in range(5):
        model.partial_fit(X, y)
    assert model.score(X, y) > 0.8
    with pytest.raises(ValueError, match="targets had one label each when training began"):
        model.set_params(loss=SEVERAL).partial_fit(X, np.eye(3)[np.arange(150) % 3])
