"""scikit-learn's own checks of estimators whose networks have gates and layers, and two directions."""

import pytest
from expected_failures import DEPENDS_ON_NUMBER, IN_FLOAT32
from sklearn.base import clone
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from admmirnn import RNNClassifier, RNNRegressor

ESTIMATORS = [
    RNNClassifier(cell="gru"),
    RNNRegressor(cell="lstm", hidden_size=(8, 4)),
    RNNClassifier(cell="fastgrnn", hidden_size=(8, 4), bidirectional=True),
]
EXPECTED_FAILURES = IN_FLOAT32 | {"check_sample_weight_equivalence_on_dense_data": DEPENDS_ON_NUMBER}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning"),
    pytest.mark.filterwarnings("ignore:The number of unique classes:UserWarning"),
]


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=lambda _: EXPECTED_FAILURES)
def test_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.mark.parametrize("check", IN_FLOAT32)
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=["gru", "lstm of two layers", "fastgrnn of two and both"])
def test_checks_that_may_fail_in_float32_pass_in_float64(estimator, check):
    getattr(estimator_checks, check)(type(estimator).__name__, clone(estimator).set_params(dtype="float64"))
