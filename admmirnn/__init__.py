"""Train recurrent networks on the CPU by ADMM.

`RNNClassifier` is a scikit-learn estimator for sequences; `Rollout` is its default solver.
"""

from importlib.metadata import version as _version

from admmirnn.estimators import RNNClassifier
from admmirnn.solvers import Rollout

__version__ = _version("admmirnn")
__all__ = ["RNNClassifier", "Rollout", "__version__"]
