"""How a fit is judged: its last update, what a rollback throws away, and what it warns of at its end."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from admmirnn import RNNClassifier, RNNRegressor, Rollout
from admmirnn.solvers.rollout.advice import _warning_of_losses, _warning_of_units
from admmirnn.solvers.rollout.iteration import Fit


@pytest.fixture
def task():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(160, 10, 2))
    return X, (X[:, :, 0].sum(axis=1) > 0).astype(int)


@pytest.mark.parametrize("metric", ["multipliers", "identity"])
@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "identity"])
def test_large_radii_do_not_wipe_out_W(task, activation, metric):
    X, y = task
    solver = Rollout(radius=10.0, output_radius=30.0, metric=metric)
    model = RNNClassifier(16, activation=activation, solver=solver, random_state=0, max_epochs=8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    assert np.linalg.norm(model.W_) > 1
    assert model.score(X, y) > 0.8 or metric == "multipliers"  # which is thrown back in these few iterations


def streams(rng):
    """The last chunks of which have no targets."""
    X = rng.normal(size=(4, 200, 2))
    y = X.sum(axis=2)
    y[:, 100:] = np.nan
    return X, y


def test_last_update_is_judged_where_the_last_minibatches_have_no_targets(monkeypatch):
    X, y = streams(np.random.default_rng(0))
    judged = []
    mean_loss = Fit._mean_loss
    monkeypatch.setattr(Fit, "_mean_loss", lambda fit, sample: judged.append(mean_loss(fit, sample)) or judged[-1])
    RNNRegressor(8, stateful=True, chunk_size=10, batch_size=4, targets="step", random_state=0, max_epochs=2).fit(X, y)
    assert len(judged) == 1
    assert judged[0] > 1e-3


def ruin(fit):
    for weights in fit.network.trained:
        weights[:] = np.nan


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_rollback_keeps_what_streams_are_in_if_that_is_bounded(activation, monkeypatch):
    X, y = streams(np.random.default_rng(0))
    settings = {"stateful": True, "chunk_size": 50, "targets": "step", "random_state": 0, "activation": activation}
    model = RNNRegressor(8, **settings).partial_fit(X, y)
    before = model._memory.states.copy()
    assert np.abs(before).max() > 0.01
    after = []
    roll_back = Fit.roll_back

    def rolled_back(fit):
        roll_back(fit)
        after.append(fit.order.states.copy())

    monkeypatch.setattr(Fit, "roll_back", rolled_back)
    decide = Fit.decide

    def decided(fit):
        decision = decide(fit)
        return SimpleNamespace(rolls_back=True, moves=False) if not after else decision

    monkeypatch.setattr(Fit, "decide", decided)
    with pytest.warns(ConvergenceWarning, match="went back to its last"):
        model.partial_fit(X, y)
    assert len(after) == 1
    assert (np.abs(after[0]).max() > 0.01) == (activation == "tanh")


def test_loss_that_was_lower_is_told():
    history = [{"rollout_loss": loss} for loss in (0.7, 0.2, 0.5)]
    assert "was 0.2 in epoch 2" in _warning_of_losses(history, 0.69)
    assert _warning_of_losses(history[:2], 0.69) is None
    assert _warning_of_losses([*history, {"rollout_loss": 0.3}], 0.69) is None
    assert _warning_of_losses([{"rollout_loss": np.inf}, {"rollout_loss": np.inf}], 0.69) is None
    assert _warning_of_losses([{"rollout_loss": 0.0}, {"rollout_loss": 0.0}], 0.0) is None


@pytest.mark.parametrize("activation, b", [("relu", -1e3), ("sigmoid", 1e3), ("tanh", 1e3)])
def test_dead_and_saturated_units_are_told(task, activation, b):
    X, y = task
    settings = {"activation": activation, "random_state": 0, "max_epochs": 1, "solver": Rollout(radius=1e-4)}
    with pytest.warns(ConvergenceWarning, match="8 of 8 units .* saturated or dead"):
        RNNClassifier(8, init={"b": np.full(8, b)}, **settings).fit(X, y)
    RNNClassifier(8, **settings).fit(X, y)  # without a warning
    RNNClassifier(8, **settings).fit(0 * X, y)  # which is all that there is to read
    assert _warning_of_units(8, 10) is None
