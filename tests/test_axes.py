"""Arrays with channels before steps are told, where it can be known or is likely, and others are not."""

import warnings

import numpy as np
import pytest

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


def classifier():
    return RNNClassifier(4, max_epochs=1, random_state=0)


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
