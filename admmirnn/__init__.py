"""Train recurrent networks on the CPU by ADMM.

`RNNClassifier` and `RNNRegressor` are scikit-learn estimators for sequences, `CharacterModel` is one for text;
`Rollout` is their default solver, `Algorithm1` the paper's, `Status` says how a fit ended, and
`Capability` what a solver of one's own can do; `load` reads a saved
model.
"""

from importlib import import_module as _import_module
from importlib.metadata import version as _version
from typing import Any as _Any

from admmirnn.estimators import CharacterModel, RNNClassifier, RNNRegressor
from admmirnn.files.models import load
from admmirnn.solvers import Algorithm1, Capability, Rollout, Status
from admmirnn.tables import sequences_from_channels_first, sequences_from_nested, sequences_from_table

__version__ = _version("admmirnn")
__all__ = [
    "Algorithm1",
    "Capability",
    "CharacterModel",
    "RNNClassifier",
    "RNNRegressor",
    "Rollout",
    "Status",
    "__version__",
    "load",
    "sequences_from_channels_first",
    "sequences_from_nested",
    "sequences_from_table",
]
_SUBMODULES = (
    "backend",
    "datasets",
    "distributed",
    "forecasting",
    "io",
    "losses",
    "metrics",
    "model_selection",
    "penalties",
    "plotting",
    "preprocessing",
    "streaming",
    "tables",
    "typing",
    "watching",
)


def __getattr__(name: str) -> _Any:
    """Import a public submodule when it is first used."""
    if name in _SUBMODULES:
        return _import_module(f"admmirnn.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_SUBMODULES])
