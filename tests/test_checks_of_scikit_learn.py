"""check_estimator of every public estimator whose checks are not in a file of its own subject.

Those of RNNClassifier and RNNRegressor are in test_estimators, test_targets, test_checks_of_cells and test_algorithm1,
that of SequenceScaler is in test_standardising, those of sktime and aeon are in test_adapters.  scikit-learn has
one check for estimators of texts, as CharacterModel is, and says that the others need tables.
"""

import inspect

import pytest
from expected_failures import OF_FORECASTERS
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import check_estimator

import admmirnn
from admmirnn import CharacterModel, RNNRegressor, forecasting, model_selection, preprocessing

# these have parameters, which get_params tells, and no fit
WITHOUT_FIT = {"Algorithm1", "Rollout", "Difference", "Log", "OriginSplit", "ChunkSplit"}
ELSEWHERE = {"RNNClassifier", "RNNRegressor", "SequenceScaler"}
HERE = {
    "CharacterModel": (CharacterModel(4, max_epochs=1), {}),
    "Forecaster": (forecasting.Forecaster(RNNRegressor(4, max_epochs=1)), OF_FORECASTERS),
}


def test_no_estimator_is_forgotten():
    found = {
        name: getattr(module, name)
        for module in (admmirnn, forecasting, model_selection, preprocessing)
        for name in module.__all__
        if inspect.isclass(getattr(module, name)) and issubclass(getattr(module, name), BaseEstimator)
    }
    assert {name for name, kind in found.items() if not hasattr(kind, "fit")} == WITHOUT_FIT
    assert set(found) == WITHOUT_FIT | ELSEWHERE | set(HERE)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.parametrize("name", HERE)
def test_checks_of_scikit_learn(name):
    estimator, expected_failures = HERE[name]
    found = check_estimator(estimator, on_skip=None, on_fail=None, expected_failed_checks=expected_failures)
    failed = {check["check_name"]: check["exception"] for check in found if check["status"] == "failed"}
    assert not failed, failed
    # a reason that nothing needs any more goes
    assert {check["check_name"] for check in found if check["status"] == "xfail"} == set(expected_failures)
