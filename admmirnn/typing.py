"""What arguments and attributes are, for type checkers: nothing of it is imported when admmirnn runs.

Of use in annotations of one's own losses (`CustomLoss`), penalties (`ProximalOperator`), solvers (`Solver`) and
callbacks (`Callback`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TextIO, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from admmirnn import reference, reference_sweep
from admmirnn.losses import Loss, UserLoss
from admmirnn.model import BidirectionalRNN, ElmanRNN
from admmirnn.solvers.status import Outcome, Status

if TYPE_CHECKING:
    from admmirnn.watching import EpochState

Array: TypeAlias = NDArray[Any]
FloatArray: TypeAlias = NDArray[np.floating[Any]]  # float32 or float64
IntArray: TypeAlias = NDArray[np.intp]
BoolArray: TypeAlias = NDArray[np.bool_]
DType: TypeAlias = np.dtype[np.floating[Any]]
RandomState: TypeAlias = "int | np.random.RandomState | None"
FilePath: TypeAlias = "str | os.PathLike[str]"
Text: TypeAlias = "str | os.PathLike[str] | TextIO"
Record: TypeAlias = dict[str, Any]  # an epoch's entry of a history
Frame: TypeAlias = tuple[int, int]  # length and stride
Network: TypeAlias = "ElmanRNN | BidirectionalRNN"
Schedule: TypeAlias = Callable[[int], float]  # of the iteration, from 1
LayerOutcome: TypeAlias = tuple[float, float, float, float]  # |D|, step length, damping, shift of the diagonal
AnyLoss: TypeAlias = "Loss | UserLoss"
EndOfEpoch: TypeAlias = Callable[[Record], "Status | bool | None"]
KeepState: TypeAlias = Callable[[list[Record], Callable[[], dict[str, Any]]], None]


class CustomLoss(Protocol):
    """A loss of one's own, as ``loss`` of the estimators takes it; see `admmirnn.losses.UserLoss`."""

    def value(self, o: NDArray[np.float64], y: Array, /) -> NDArray[np.float64]:
        """R of every row."""

    def prox(self, q: NDArray[np.float64], y: Array, rho: float, /) -> NDArray[np.float64]:
        """argmin_o R(o, y) + ``rho/2 |o - q|^2`` of every row."""


class ProximalOperator(Protocol):
    """A penalty or constraint, as ``penalties`` of the estimators takes it."""

    def prox(self, x: Any, tau: float, /) -> Any:
        """argmin_p Omega(p) + ``|p - x|^2 / (2 tau)``, an array of the shape and dtype of x."""


class EpochListener(Protocol):
    """A callback that is an object."""

    def on_epoch_end(self, state: EpochState, /) -> object:
        """Return True to end training."""


Callback: TypeAlias = "Callable[[EpochState], object] | EpochListener"


class Limits(Protocol):
    """When a solver should end early."""

    def reached(self) -> Status | None:
        """The status to end with, or None; asked after every iteration."""

    def progress(self) -> float:
        """The share of the time that is over."""


class Solver(Protocol):
    """What ``solver`` of the estimators may be; see `admmirnn.Rollout.solve`.

    Attributes ``takes_penalties``, ``takes_symbols``, ``takes_states``, ``takes_checkpoints``,
    ``takes_two_directions``, ``takes_labels_per_step``, ``readouts`` and ``default_penalty`` say what it can do, and
    may be missing.  ``penalty`` is a number >= 0, and None only where ``default_penalty`` is None.
    """

    def check_settings(self) -> None:
        """Raise ValueError or TypeError unless every setting is in its range."""

    def iterations_per_epoch(self, n_sequences: int, batch_size: int | None = None) -> int:
        """How many iterations a pass over so many sequences takes."""

    def solve(
        self,
        network: Any,
        sequences: Any,
        targets: Array,
        loss: AnyLoss,
        *,
        weights: FloatArray | None = None,
        penalty: Any = 0.0,
        max_epochs: int = 1,
        batch_size: int | None = None,
        shuffle: bool = True,
        random_state: RandomState = None,
        on_epoch_end: EndOfEpoch | None = None,
        n_threads: int | None = 1,
        limits: Limits | None = None,
    ) -> Outcome:
        """Train ``network`` in place."""


_Method = TypeVar("_Method", bound=Callable[..., Any])


def available_if(check: Callable[[Any], bool]) -> Callable[[_Method], _Method]:
    """`sklearn.utils.metaestimators.available_if`, with the method's own type."""
    from sklearn.utils import metaestimators

    return cast("Callable[[_Method], _Method]", metaestimators.available_if(check))


class Kernels:
    """The functions of a back end; both have the signatures of the numpy twin."""

    forward = staticmethod(reference.forward)
    o_step = staticmethod(reference.o_step)
    loss_value = staticmethod(reference.loss_value)
    backward_room = staticmethod(reference.backward_room)
    backward = staticmethod(reference.backward)
    mirror = staticmethod(reference.mirror)
    joint_room = staticmethod(reference.joint_room)
    joint_statistics = staticmethod(reference.joint_statistics)
    update_weights = staticmethod(reference.update_weights)
    stepper = staticmethod(reference.stepper)
    generate = staticmethod(reference.generate)
    a_step = staticmethod(reference_sweep.a_step)
    roll_out = staticmethod(reference_sweep.roll_out)
    residuals = staticmethod(reference_sweep.residuals)
    sweep_room = staticmethod(reference_sweep.sweep_room)
    sweep = staticmethod(reference_sweep.sweep)
