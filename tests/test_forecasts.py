"""Forecasts with inputs that are known in advance, from states, and with quantiles: against naive loops."""

import warnings

import numpy as np
import pandas as pd
import pytest

from admmirnn import RNNRegressor

N = 60


@pytest.fixture(scope="module")
def driven():
    """Series of two targets in the columns 2 and 0, and an input in column 1, which acts at once."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(30, N))
    z = np.zeros((30, N, 2))
    for t in range(1, N):
        z[:, t, 0] = 0.7 * z[:, t - 1, 0] + inputs[:, t]
        z[:, t, 1] = 0.5 * z[:, t - 1, 1] + 0.5 * z[:, t - 1, 0]
    return np.stack([z[:, :-1, 1], inputs[:, 1:], z[:, :-1, 0]], axis=2), z[:, 1:]


@pytest.fixture(scope="module")
def model(driven):
    X, y = driven
    return RNNRegressor(12, max_epochs=100, penalty=0.0, dtype="float64", random_state=0).fit(X, y)


def naive(model, history, inputs, horizon, targets):
    """Predict, append, and so on."""
    history = np.array(history)
    found = []
    for h in range(horizon):
        found.append(model.predict([history])[0][-1])
        if h < horizon - 1:
            row = history[-1].copy()
            row[targets] = found[-1]
            row[1] = inputs[h]
            history = np.vstack([history, row])
    return np.array(found)


def test_inputs_are_read_with_the_predictions(backend_name, model, driven):
    X, y = driven
    histories = [X[0, :40], X[1, :25], X[2, :40]]
    inputs = [X[0, 40:, 1:2], X[1, 25:, 1], X[2, 40:, 1]]
    found = model.forecast(histories, 10, inputs, target_features=[2, 0])
    assert found.shape == (3, 10, 2)
    for values, history, known in zip(found, histories, inputs, strict=True):
        np.testing.assert_allclose(values, naive(model, history, np.ravel(known), 10, [2, 0]), rtol=1e-9)
        of_one = model.forecast(history, 10, known, target_features=[2, 0])
        np.testing.assert_allclose(of_one, values, rtol=1e-12)
    assert np.abs(found[0] - y[0, 39:49]).max() < 0.3 * np.abs(y).max()  # which inputs alone tell


def test_targets_by_name(model, driven):
    X, _ = driven
    frame = pd.DataFrame(X[0, :40], columns=["low", "price", "high"])
    expected = model.forecast(X[0, :40], 5, X[0, 40:, 1], target_features=[2, 0])
    found = model.forecast(frame, 5, X[0, 40:, 1], target_features=["high", "low"])
    np.testing.assert_array_equal(found, expected)
    found = model.forecast([frame, frame], 5, [X[0, 40:, 1]] * 2, target_features=["high", "low"])
    np.testing.assert_allclose(found[1], expected, rtol=1e-9)
    with pytest.raises(ValueError, match="'middle', which is not one of the features"):
        model.forecast(frame, 5, target_features=["high", "middle"])
    with pytest.raises(ValueError, match="the features have no names"):
        model.forecast(X[0], 5, target_features=["high", "low"])


def test_inputs_that_nobody_knows_stay_what_they_are(model, driven):
    X, _ = driven
    with pytest.warns(UserWarning, match=r"features \[1\] are no targets and future_inputs is None"):
        found = model.forecast(X[0], 4, target_features=[2, 0])
    kept = np.full((3, 1), X[0, -1, 1])
    np.testing.assert_array_equal(found, model.forecast(X[0], 4, kept, target_features=[2, 0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.forecast(X[0], 1, target_features=[2, 0])  # reads none


def test_targets_that_are_no_features(backend_name, driven):
    X, y = driven
    model = RNNRegressor(6, targets="step", max_epochs=2, dtype="float64", random_state=0).fit(X[:, :, 1:2], y[:, :, 0])
    found = model.forecast(X[0, :30, 1], 8, X[0, 30:37, 1], target_features=[])
    np.testing.assert_allclose(found, model.predict(X[:1, :37, 1:2])[0, 29:], rtol=1e-9)


def test_a_forecast_goes_on_from_a_state(backend_name, model, driven):
    X, _ = driven
    streams = model.stream(2)
    streams.read(X[:2, :30])
    state = streams.state
    found = model.forecast(X[:2, 30:40], 6, X[:2, 40:, 1:2], target_features=[2, 0], state=state)
    expected = model.forecast(X[:2, :40], 6, X[:2, 40:, 1:2], target_features=[2, 0])
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_array_equal(state.n_read, [30, 30])  # is not changed
    with pytest.raises(ValueError, match=r"state has 2 stream\(s\) and history has 1 series"):
        model.forecast(X[0], 2, target_features=[2, 0], state=state)
    with pytest.raises(TypeError, match="state is of type int"):
        model.forecast(X[0], 2, target_features=[2, 0], state=3)


def test_quantiles_are_those_of_paths(backend_name):
    """An autoregression that the network knows: the spread of its paths is the one of the process."""
    model = RNNRegressor(1, activation="identity", max_epochs=1, dtype="float64", targets="step", random_state=0)
    model.fit(np.random.default_rng(0).normal(size=(4, 8, 1)), np.ones((4, 8)))
    model.U_[:], model.W_[:], model.b_[:], model.V_[:], model.c_[:] = 0.8, 0, 0, 1, 0
    model.target_mean_[:], model.target_scale_[:] = 0, 1
    residuals = np.random.default_rng(1).normal(size=4000)
    found = model.forecast([2.0], 6, quantiles=(0.1, 0.5, 0.9), n_paths=4000, residuals=residuals, random_state=0)
    h = np.arange(1, 7)
    deviation = np.sqrt((1 - 0.64**h) / (1 - 0.64))
    np.testing.assert_allclose(found[:, 1], 2 * 0.8**h, atol=0.1)
    np.testing.assert_allclose(found[:, 2] - found[:, 0], 2 * 1.2816 * deviation, rtol=0.06)
    again = model.forecast([2.0], 6, quantiles=(0.1, 0.5, 0.9), n_paths=4000, residuals=residuals, random_state=0)
    np.testing.assert_array_equal(again, found)


def test_residuals_are_those_of_the_history(model, driven):
    X, y = driven
    errors = y[0] - model.predict(X[:1])[0]
    shape = (5, 2, 2)
    of_history = model.forecast(X[0], 5, X[1, :, 1], target_features=[2, 0], quantiles=(0.2, 0.8), random_state=3)
    assert of_history.shape == shape
    # after the first tenth, and the last one is not known yet
    given = model.forecast(
        X[0], 5, X[1, :, 1], target_features=[2, 0], quantiles=(0.2, 0.8), residuals=errors[4:-1], random_state=3
    )
    np.testing.assert_allclose(of_history, given, rtol=1e-9)
    several = model.forecast(X[:3], 5, X[:3, :, 1:2], target_features=[2, 0], quantiles=(0.2, 0.8), random_state=3)
    assert several.shape == (3, *shape) and (np.diff(several, axis=-1) > 0).all()


def test_what_does_not_fit_is_refused(model, driven):
    X, _ = driven
    known = {"target_features": [2, 0]}
    for arguments, match in (
        ({"future_inputs": X[0, :3, 1], **known}, "has 3 steps, and a horizon of 6 reads 5"),
        ({"future_inputs": X[0, :, :2], **known}, r"shape \(59, 2\); pass \(n_steps, 1\)"),
        ({"future_inputs": np.full(9, np.nan), **known}, "future_inputs contains NaN"),
        ({"target_features": [1]}, r"has 1 feature\(s\) and the model predicts 2"),
        ({"target_features": [1, 1]}, "a feature twice"),
        ({"target_features": [1, 3]}, "has 3, and features are counted from 0 to 2"),
        ({"quantiles": 0.5, **known}, "quantiles has the shape"),
        ({"quantiles": (0.9, 0.1), **known}, "numbers between 0 and 1 that increase"),
        ({"quantiles": (0, 0.1), **known}, "numbers between 0 and 1"),
        ({"quantiles": (0.1,), "n_paths": 0, **known}, "n_paths is 0"),
        ({"quantiles": (0.1,), "residuals": [1.0, 2.0], **known}, r"residuals has the shape \(2,\)"),
        ({"quantiles": (0.1,), "residuals": [[1.0, np.inf]], **known}, "residuals contains NaN"),
        ({"quantiles": (0.1,), "target_features": []}, "pass residuals"),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(ValueError, match=match):
                model.forecast(X[0], 6, **arguments)
    with pytest.raises(ValueError, match="future_inputs has 1 entries for the 2 series"):
        model.forecast(X[:2], 6, [X[0, :, 1]], **known)
    waves = np.sin(np.arange(40.0))[None]
    alone = RNNRegressor(3, max_epochs=1, random_state=0).fit(waves[:, :-1], waves[:, 1:])
    with pytest.raises(ValueError, match="all features of the model are targets"):
        alone.forecast(waves, 3, [[1.0]])
    wide = RNNRegressor(3, max_epochs=1, random_state=0).fit(X, np.repeat(X, 2, axis=2))
    with pytest.raises(ValueError, match=r"fitted on 3 feature\(s\) and 6 target\(s\)"):
        wide.forecast(X[0], 3)
