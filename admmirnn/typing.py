"""What arguments and attributes are, for type checkers and for whatever reads annotations at run time.

Of use in annotations of one's own losses (`CustomLoss`), penalties (`ProximalOperator`), solvers (`Solver`) and
callbacks (`Callback`).
"""

from admmirnn._typing import (
    Activation,
    Array,
    BoolArray,
    CellName,
    CustomLoss,
    DType,
    FilePath,
    FloatArray,
    Frame,
    IntArray,
    LossOfClasses,
    LossOfValues,
    ProximalOperator,
    RandomState,
    ReadOut,
    Record,
    Schedule,
    SolverName,
    TargetsOf,
    Text,
)
from admmirnn.losses import AnyLoss
from admmirnn.networks import Network
from admmirnn.solvers.interface import EndOfEpoch, KeepState, Limits, Solver
from admmirnn.watching import Callback, EpochListener

__all__ = [
    "Activation",
    "AnyLoss",
    "Array",
    "BoolArray",
    "Callback",
    "CellName",
    "CustomLoss",
    "DType",
    "EndOfEpoch",
    "EpochListener",
    "FilePath",
    "FloatArray",
    "Frame",
    "IntArray",
    "KeepState",
    "Limits",
    "LossOfClasses",
    "LossOfValues",
    "Network",
    "ProximalOperator",
    "RandomState",
    "ReadOut",
    "Record",
    "Schedule",
    "Solver",
    "SolverName",
    "TargetsOf",
    "Text",
]
