"""Train recurrent networks on the CPU by ADMM.

`RNNClassifier` and `RNNRegressor` are scikit-learn estimators for sequences; `Rollout` is their default solver,
`Algorithm1` the paper's, and `Status` says how a fit ended.
"""

from importlib.metadata import version as _version

from admmirnn.estimators import RNNClassifier, RNNRegressor
from admmirnn.solvers import Algorithm1, Rollout, Status

__version__ = _version("admmirnn")
__all__ = ["Algorithm1", "RNNClassifier", "RNNRegressor", "Rollout", "Status", "__version__"]
