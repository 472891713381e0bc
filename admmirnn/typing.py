"""What arguments and attributes are, for type checkers: nothing of it is imported when admmirnn runs.

Of use in annotations of one's own losses (`CustomLoss`), penalties (`ProximalOperator`), solvers (`Solver`) and
callbacks (`Callback`).
"""

from admmirnn._typing import (
    Array,
    BoolArray,
    CustomLoss,
    DType,
    FilePath,
    FloatArray,
    Frame,
    IntArray,
    ProximalOperator,
    RandomState,
    Record,
    Schedule,
    Text,
)
from admmirnn.losses import AnyLoss
from admmirnn.networks import Network
from admmirnn.solvers.interface import EndOfEpoch, KeepState, Limits, Solver
from admmirnn.watching import Callback, EpochListener

__all__ = [
    "AnyLoss",
    "Array",
    "BoolArray",
    "Callback",
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
    "Network",
    "ProximalOperator",
    "RandomState",
    "Record",
    "Schedule",
    "Solver",
    "Text",
]
