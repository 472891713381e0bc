"""What the network predicts on data that it has not seen; the targets of bench/accept.py with fewer seeds."""

import os

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from admmirnn import RNNClassifier, Rollout
from admmirnn.datasets import load_digits, load_japanese_vowels, load_mnist, load_osuleaf, mackey_glass
from bench.sequences import error_of_adding, error_of_forecast

needs_data = pytest.mark.skipif(
    "ADMMIRNN_DATA" not in os.environ,
    reason="ADMMIRNN_DATA does not name the folder with mnist/ and japanese_vowels/",
)


def test_digits():
    X, y = load_digits()
    accuracies = []
    for seed in range(5):
        X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=seed)
        accuracies.append(RNNClassifier(random_state=seed).fit(X_train, y_train).score(X_test, y_test))
    assert np.mean(accuracies) >= 0.978


@needs_data
def test_japanese_vowels():
    X, y = load_japanese_vowels("train")
    X_test, y_test = load_japanese_vowels("test")
    steps = np.concatenate(X)
    X, X_test = ([(x - steps.mean(axis=0)) / steps.std(axis=0) for x in part] for part in (X, X_test))
    accuracies = [RNNClassifier(random_state=seed).fit(X, y).score(X_test, y_test) for seed in range(5)]
    assert np.mean(accuracies) >= 0.975


@pytest.mark.slow
@needs_data
@pytest.mark.parametrize(("max_epochs", "target"), [(1, 0.962), (3, 0.976)])
def test_mnist_by_rows(max_epochs, target):
    X, y = load_mnist("train")
    model = RNNClassifier(max_epochs=max_epochs, random_state=0).fit(X[:55000], y[:55000])
    assert model.score(*load_mnist("test")) >= target


@pytest.mark.slow
@needs_data
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("r", [0.5, 1.0, 5.0])
def test_mnist_without_a_radius(r):
    X, y = load_mnist("train")
    solver = Rollout(r=r, radius=None, output_radius=None)
    model = RNNClassifier(max_epochs=1, solver=solver, random_state=0).fit(X[:50000], y[:50000])
    assert model.score(*load_mnist("test")) > 0.5
    assert r >= 5 or model.history_[0]["rollbacks"] > 0


@pytest.mark.slow
@needs_data
def test_osuleaf():
    X, y = load_osuleaf("train")
    X_test, y_test = load_osuleaf("test")
    model = RNNClassifier(64, readout="max", frame=(10, 2), penalty=1.0, max_epochs=100, random_state=0)
    model.fit((X - X.mean()) / X.std(), y)
    assert model.score((X_test - X.mean()) / X.std(), y_test) >= 0.66


@pytest.mark.slow
def test_forecasts_of_mackey_glass():
    assert error_of_forecast(mackey_glass(2000)[:, 0], 0) <= 0.002


@pytest.mark.slow
def test_adding_problem_over_50_steps():
    assert error_of_adding(50, 160_000, 0) < 1e-3
