"""Fits that end before they have learnt what there is to learn say so, and what to pass; others do not."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from admmirnn import Algorithm1, RNNClassifier, RNNRegressor, Rollout
from admmirnn.datasets import load_digits
from admmirnn.watching import warning_of_first_epochs, warning_of_unfinished


def records(losses, name="rollout_loss"):
    return [{"epoch": i, "rollout_loss": 1.0, name: loss} for i, loss in enumerate(losses, 1)]


@pytest.fixture(scope="module")
def peaks():
    """Random walks, and how far the largest value is above the mean, which takes some epochs to learn."""
    rng = np.random.default_rng(1)
    X = [0.3 * rng.normal(size=(length, 1)).cumsum(axis=0) for length in rng.integers(10, 31, 400)]
    return X, np.array([x.max() - x.mean() for x in X])


def test_a_fit_with_too_few_epochs_says_which_to_pass():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 8, 1))
    y = X[:, -1, 0] * X[:, -4, 0] > 0  # which takes its time
    model = RNNClassifier(32, max_epochs=12, random_state=0)
    said = "roll-out loss was still falling .* in epoch 6 of 12. Pass a larger max_epochs, such as 48"
    with pytest.warns(ConvergenceWarning, match=said):
        model.fit(X, y)
    with pytest.warns(ConvergenceWarning, match=r"still falling .* \(so it is with \d of 2 networks\)"):
        model.set_params(n_networks=2).fit(X, y)


def test_default_fits_and_those_of_few_epochs_say_nothing(peaks):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        RNNRegressor(16, random_state=0).fit(*peaks)
        RNNRegressor(16, max_epochs=3, random_state=0).fit(*peaks)
        X, y = load_digits()
        RNNClassifier(16, random_state=0).fit(X[:500], y[:500])


@pytest.mark.parametrize(
    "losses, says",
    [
        ([1, 0.9, 0.8, 0.7, 0.6, 0.5], True),
        ([1, 0.9, 0.8, 0.7, 0.6, np.inf], False),
        ([1, 0.9, 0.7, 0.3, 0.2, 0.15], False),  # what is left is small
        ([1, 0.6, 0.5, 0.45, 0.42, 0.4], False),  # it falls slowly
        ([1, 0.5], False),  # too few to tell
        ([np.nan] * 6, False),
        ([-1.0, -1.1, -1.2, -1.3, -1.4, -1.5], False),
        ([], False),
    ],
)
@pytest.mark.parametrize("name", ["rollout_loss", "validation_loss"])
def test_what_counts_as_still_falling(losses, says, name):
    said = warning_of_unfinished(records(np.repeat(losses, 2), name))
    assert (said is not None) == says
    assert name == "validation_loss" or warning_of_unfinished(records(losses, name)) is None  # as it was meant
    assert not says or ("validation" in said.split(" loss")[0]) == (name == "validation_loss")


def test_validation_data_say_it_where_there_are_some(peaks):
    X, y = peaks
    model = RNNRegressor(16, max_epochs=5, solver=Rollout(radius=0.005), random_state=0)
    with pytest.warns(ConvergenceWarning, match="validation loss was still falling"):
        model.fit(X[:300], y[:300], validation_data=(X[300:], y[300:]))


def test_an_early_stop_that_keeps_the_first_epoch_says_so():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(150, 8, 2)), rng.integers(2, size=150)  # nothing to learn
    model = RNNClassifier(64, max_epochs=40, early_stopping=True, patience=8, penalty=0.0, random_state=0)
    with pytest.warns(ConvergenceWarning, match=r"kept the weights of epoch [12] of .*pass a larger penalty"):
        model.fit(X, y)
    assert warning_of_first_epochs(records([1, 0.8, 0.6, 0.9, 1.0], "validation_loss")) is None
    assert warning_of_first_epochs(records([0.5, 0.52, 0.54], "validation_loss")) is None


def test_partial_fit_and_other_solvers_say_nothing(peaks):
    X, y = peaks
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        model = RNNRegressor(8, solver=Rollout(radius=0.004), random_state=0)
        for _ in range(6):
            model.partial_fit(X, y)
        RNNClassifier(4, solver=Algorithm1(), max_epochs=6, random_state=0).fit(X[:50], y[:50] > np.median(y[:50]))
