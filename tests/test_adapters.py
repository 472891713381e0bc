"""The forecaster of sktime and the classifier of aeon: the checks of both, and what they are made of."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from admmirnn import RNNClassifier, RNNRegressor
from admmirnn.forecasting import Difference, Forecaster

needs_sktime = pytest.mark.skipif(importlib.util.find_spec("sktime") is None, reason="sktime is not installed")
needs_aeon = pytest.mark.skipif(importlib.util.find_spec("aeon") is None, reason="aeon is not installed")
# of their own imports and of the data that their checks make
pytestmark = pytest.mark.filterwarnings("default")


@needs_sktime
@pytest.mark.slow
def test_checks_of_sktime():
    from sktime.utils.estimator_checks import check_estimator

    from admmirnn.sktime import RNNForecaster

    found = check_estimator(RNNForecaster, verbose=False)
    failed = {name: result for name, result in found.items() if result != "PASSED"}
    assert len(found) > 100 and not failed, failed


@needs_sktime
def test_a_forecaster_of_sktime_is_ours():
    import pandas as pd

    from admmirnn.sktime import RNNForecaster

    rng = np.random.default_rng(0)
    index = pd.period_range("2020-01", periods=80, freq="M")
    X = pd.DataFrame({"input": rng.normal(size=80)}, index=index)
    y = pd.Series(X["input"].to_numpy().cumsum() + 50, index=index, name="y")
    settings = {"regressor": RNNRegressor(4, max_epochs=2), "window": 20, "burn_in": 3, "random_state": 0}
    ours = Forecaster(transformers=(Difference(),), **settings).fit(y[:70].to_numpy(), X[:70].to_numpy())
    theirs = RNNForecaster(transformers=(Difference(),), n_paths=50, **settings).fit(y[:70], X[:70])
    found = theirs.predict([2, 5], X=X[70:75])
    np.testing.assert_allclose(found, ours.forecast(5, X[70:75].to_numpy())[[1, 4]], rtol=1e-9)
    assert list(found.index) == list(index[[71, 74]]) and found.name == "y"
    intervals = theirs.predict_interval([1, 2, 3], X=X[70:75], coverage=0.8)
    expected = ours.forecast(3, X[70:73].to_numpy(), quantiles=(0.1, 0.9), n_paths=50)
    np.testing.assert_allclose(intervals, expected, rtol=1e-9)
    theirs.update(y[70:75], X[70:75])
    ours.update(y[:75].to_numpy(), X[:75].to_numpy())
    np.testing.assert_allclose(theirs.predict([1], X=X[75:76]), ours.forecast(1, X[75:76].to_numpy()), rtol=1e-9)


@needs_aeon
@pytest.mark.slow
def test_checks_of_aeon():
    from aeon.testing.estimator_checking import check_estimator

    from admmirnn.aeon import RecurrentClassifier

    found = check_estimator(RecurrentClassifier)
    failed = {name: result for name, result in found.items() if result != "PASSED"}
    assert len(found) > 20 and not failed, failed


@needs_aeon
@pytest.mark.parametrize("unequal", [False, True])
def test_a_classifier_of_aeon_is_ours(waves, unequal):
    from admmirnn.aeon import RecurrentClassifier

    X, y = waves
    X = X if unequal else [x[-4:] for x in X]
    cases = [x.T for x in X] if unequal else np.stack([x.T for x in X])
    settings = {"hidden_size": 6, "max_epochs": 2}
    ours = RNNClassifier(random_state=3, **settings).fit(X, y)
    theirs = RecurrentClassifier(RNNClassifier(**settings), random_state=3).fit(cases, y)
    np.testing.assert_allclose(theirs.predict_proba(cases), ours.predict_proba(X), rtol=1e-6)
    np.testing.assert_array_equal(theirs.predict(cases), ours.predict(X))
    assert RecurrentClassifier().fit(cases[:20], y[:20]).classifier_.hidden_size == 64


@pytest.mark.parametrize("name", ["sktime", "aeon"])
def test_what_is_missing_is_said(name):
    program = f"import sys; sys.modules[{name!r}] = None; import admmirnn.{name}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert f"admmirnn.{name} needs {name}" in done.stderr and f"pip install 'admmirnn[{name}]'" in done.stderr
