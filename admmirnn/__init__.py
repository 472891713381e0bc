"""Train recurrent networks on the CPU by ADMM.

`RNNClassifier` and `RNNRegressor` are scikit-learn estimators for sequences, `CharacterModel` is one for text;
`Rollout` is their default solver, `Algorithm1` the paper's, and `Status` says how a fit ended; `load` reads a saved
model.
"""

from importlib.metadata import version as _version

from admmirnn.estimators import CharacterModel, RNNClassifier, RNNRegressor
from admmirnn.files.models import load
from admmirnn.solvers import Algorithm1, Rollout, Status

__version__ = _version("admmirnn")
__all__ = ["Algorithm1", "CharacterModel", "RNNClassifier", "RNNRegressor", "Rollout", "Status", "__version__", "load"]
