"""What ``cell="auto"`` is, and what its gates start from."""

import numpy as np
import pytest

import admmirnn
from admmirnn import CharacterModel, RNNClassifier, RNNRegressor
from admmirnn.penalties import Ridge

TEXT = 30 * "to be or not to be, that is the question. "


def sequences(n_steps=6):
    X = np.random.RandomState(0).normal(size=(20, n_steps, 2))
    return X, (X[:, 0, 0] > 0).astype(int)


def cell_of(model):
    return model._network().cell.name


@pytest.mark.parametrize("kind", [RNNClassifier, RNNRegressor])
@pytest.mark.parametrize(
    ("settings", "cell"),
    [
        ({}, "fastgrnn"),
        ({"hidden_size": (3, 2)}, "fastgrnn"),
        ({"bidirectional": True}, "fastgrnn"),
        ({"penalties": {"W": Ridge(1e-3)}}, "fastgrnn"),
        ({"init": {"W": np.eye(3), "b_z": np.ones(3)}}, "fastgrnn"),
        ({"activation": "relu"}, "elman"),
        ({"solver": "algorithm1"}, "elman"),
        ({"init": {"b": np.ones(3)}}, "elman"),
        ({"init": {"b_reverse": np.ones(3)}, "bidirectional": True}, "elman"),
        ({"init": {"b_2": np.ones(2)}, "hidden_size": (3, 2)}, "elman"),
        ({"penalties": {"UWb": Ridge(1e-3)}}, "elman"),
        ({"cell": "lstm"}, "lstm"),
    ],
)
def test_cell_of_estimators(kind, settings, cell, tmp_path):
    X, y = sequences()
    settings = {"hidden_size": 3, "max_epochs": 2, "random_state": 0} | settings
    model = kind(**settings).fit(X, y)
    assert cell_of(model) == cell and model.get_params()["cell"] == settings.get("cell", "auto")
    if settings.get("solver") != "algorithm1":
        assert cell_of(model.partial_fit(X, y)) == cell
    pytest.importorskip("safetensors")
    model.save(tmp_path / "model.safetensors")
    again = admmirnn.load(tmp_path / "model.safetensors")
    assert cell_of(again) == cell
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_cell_of_texts():
    model = CharacterModel(4, max_epochs=1, random_state=0).fit(TEXT)
    assert cell_of(model) == "gru" and cell_of(CharacterModel(4, max_epochs=1, activation="relu").fit(TEXT)) == "elman"


def biases_before_training(kind, X, y=None, **settings):
    """Of the gate that keeps the past, as they are after an iteration that is too small to be seen."""
    solver = admmirnn.Rollout(radius=1e-9, output_radius=1e-9, max_iter=1)
    return kind(200, solver=solver, penalty=0.0, random_state=0, dtype="float64", **settings).fit(X, y)


def test_gates_of_texts_start_nearly_open_and_from_a_small_U():
    model = biases_before_training(CharacterModel, TEXT)
    np.testing.assert_allclose(model.b_z_, -1, atol=1e-6)
    for U in (model.U_z_, model.U_r_, model.U_c_):
        assert U.std() == pytest.approx(1 / 4, rel=0.1)
    model = biases_before_training(CharacterModel, TEXT, forget_bias=2.0)
    np.testing.assert_allclose(model.b_z_, 2, atol=1e-6)
    assert biases_before_training(CharacterModel, TEXT, cell="elman").U_.std() == pytest.approx(1, rel=0.1)


def test_gates_keep_the_past_for_as_long_as_one_target_needs():
    X, y = sequences(250)
    spread = biases_before_training(RNNRegressor, X, y).b_z_
    assert spread.max() > 4 and spread.min() < 2.5  # up to the logarithm of 249, evenly over the steps
    every_step = biases_before_training(RNNRegressor, X, X[:, :, 0], targets="step")
    np.testing.assert_allclose(every_step.b_z_, 1, atol=1e-6)
    np.testing.assert_allclose(biases_before_training(RNNRegressor, *sequences(60)).b_z_, 1, atol=1e-6)
