"""Train recurrent networks on the CPU by ADMM.

`RNNClassifier` is a scikit-learn estimator for sequences; `Rollout` is its default solver, `Algorithm1` the paper's,
and `Status` says how a fit ended.
"""

from importlib.metadata import version as _version

from admmirnn.estimators import RNNClassifier
from admmirnn.solvers import Algorithm1, Rollout, Status

__version__ = _version("admmirnn")
__all__ = ["Algorithm1", "RNNClassifier", "Rollout", "Status", "__version__"]
