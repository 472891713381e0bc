"""Arrays with channels before steps are told, where it can be known or is likely, and others are not."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.datasets import load_digits as sklearn_digits

from admmirnn import RNNClassifier, RNNRegressor, sequences_from_channels_first
from admmirnn.datasets import load_digits

RNG = np.random.default_rng(0)
N, N_CHANNELS, N_STEPS = 30, 3, 40
WAVES = np.sin(
    np.array([0.5, 0.3, 0.1])[:, None] * np.arange(N_STEPS) + RNG.uniform(0, 6, (N, N_CHANNELS, 1))
) + 0.3 * RNG.normal(size=(N, N_CHANNELS, N_STEPS))
OWN_UNITS = np.array([1, 1000, 0.01])[:, None] * WAVES + np.array([20, 0, 1013])[:, None]
WALKS = RNG.normal(size=(N, N_CHANNELS, N_STEPS)).cumsum(axis=2)
Y = np.arange(N) % 2


def classifier(**options):
    return RNNClassifier(4, max_epochs=1, random_state=0, **options)


@pytest.mark.parametrize("X", [WAVES, OWN_UNITS, WALKS], ids=["waves", "own units", "walks"])
@pytest.mark.parametrize("form", [np.asarray, list, lambda X: X.astype(np.float32), lambda X: (8 * X).astype(np.int16)])
def test_channels_before_steps_are_told(X, form):
    said = "read as 30 sequences of 3 steps and 40 features.*pass admmirnn.sequences_from_channels_first"
    with pytest.warns(UserWarning, match=said):
        classifier().fit(form(X), Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        classifier().fit(sequences_from_channels_first(X), Y)
        classifier().fit(sequences_from_channels_first(X)[:, :2], Y)  # fewer steps than features


def test_what_cannot_be_known_is_read_as_it_is():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        classifier().fit(RNG.normal(size=(N, 10, 64)), Y)  # embeddings, which have no order
        classifier().fit(np.zeros((N, 3, 40)), Y)
        images, digits = load_digits()
        classifier().fit(images[:100], digits[:100])
        classifier().fit(images[:100, :5], digits[:100])  # rows of pixels, smooth in both directions


@pytest.mark.parametrize("y", [RNG.integers(2, size=(N, N_STEPS)), list(RNG.integers(2, size=(N, N_STEPS)))])
def test_targets_of_steps_tell(y):
    X = RNG.normal(size=(N, N_CHANNELS, N_STEPS))  # nothing but y can tell
    with pytest.raises(ValueError, match="y has 40 entries for each sequence, .* has 3 steps of 40 features"):
        classifier().fit(X, y)
    with pytest.raises(ValueError, match="X has channels before steps: pass admmirnn.sequences_from"):
        RNNRegressor(4, targets="step", max_epochs=1).fit(X, y)
    classifier().fit(sequences_from_channels_first(X), y)


def test_partial_fit_tells_in_the_first_call():
    model = classifier()
    with pytest.warns(UserWarning, match="channels come before steps"):
        model.partial_fit(WAVES, Y, classes=[0, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.partial_fit(WAVES, Y)


@pytest.mark.parametrize("noise", [0.4, 0.6])
def test_noisy_channels_before_steps_are_told(noise):
    X = WAVES + noise * RNG.normal(size=WAVES.shape)
    with pytest.warns(UserWarning, match="channels come before steps"):
        classifier().fit(X, Y)


SERIES = np.sin(0.3 * np.arange(60)[:, None] + [0.0, 2.0, 4.0]) * [1, 5, 30] + [20, 0, 1000]
SERIES = SERIES + 0.1 * RNG.normal(size=SERIES.shape)
IS_ONE_SERIES = r"X of shape \(\d+, 3\) is read as \d+ sequences of 3 steps.* pass \[X\].*targets='sequence'"


@pytest.mark.parametrize(("n", "in_runs"), [(9, False), (60, True), (60, False)])
@pytest.mark.parametrize(
    "form", [np.asarray, np.ndarray.tolist, list, pd.DataFrame, lambda X: (10 * X).astype(np.int16)]
)
def test_one_series_is_told_where_every_row_would_be_a_sequence(form, n, in_runs):
    X = SERIES[:n]
    y = (X[:, 0] > np.median(X[:, 0])).astype(int) if in_runs else np.arange(n) % 2
    for call in (
        lambda: classifier().fit(form(X), y),
        lambda: classifier().fit(form(X), np.array(["low", "high"])[y].tolist()),
        lambda: classifier().partial_fit(form(X), y, classes=[0, 1]),
        lambda: RNNRegressor(4, max_epochs=1).fit(form(X), SERIES[:n, 1]),
    ):
        with pytest.warns(UserWarning, match=IS_ONE_SERIES):
            call()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        classifier().fit([X], [y])
        classifier(targets="sequence").fit(form(X), y)


def windows(series, length):
    return np.lib.stride_tricks.sliding_window_view(series, length)


TABLES = {
    "noise": (RNG.normal(size=(200, 3)), RNG.integers(2, size=200)),
    "windows": (windows(SERIES[:, 0], 8), np.arange(53) // 27),
    "series in a random order": (SERIES[RNG.permutation(60)], np.arange(60) % 2),
    "walks": (RNG.normal(size=(100, 20)).cumsum(axis=1), np.arange(100) // 50),
    "iris": load_iris(return_X_y=True),
    "wine": load_wine(return_X_y=True),
    "cancer": load_breast_cancer(return_X_y=True),
    "digits": sklearn_digits(return_X_y=True),
    "constant": (np.ones((50, 3)), np.arange(50) % 2),
    "a few rows": (RNG.normal(size=(4, 2)), np.array([0, 0, 1, 1])),
}


@pytest.mark.parametrize("table", TABLES)
def test_tables_of_independent_rows_are_read_without_a_word(table):
    X, y = TABLES[table]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        classifier().fit(X, y)
        sorted_by_class = np.argsort(y, kind="stable")
        classifier().fit(X[sorted_by_class], y[sorted_by_class])


def test_values_of_tables_in_any_order_are_read_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        RNNRegressor(4, max_epochs=1).fit(*load_diabetes(return_X_y=True))
        RNNRegressor(4, max_epochs=1).fit(*load_iris(return_X_y=True))  # sorted by class numbers
        RNNRegressor(4, max_epochs=1).fit(windows(SERIES[:, 0], 8)[:-1], SERIES[8:, 0])
