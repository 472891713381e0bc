"""Names for the types of arguments and attributes: aliases and protocols, which nothing of admmirnn is needed for.

A type that is built of a class of admmirnn stands beside that class.  Public modules import these when they run, so
that annotations can be read then, in which the classes of optional packages are `Any`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TextIO, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch.nn import Module
    from typing_extensions import Self as Self
else:
    Module = Any
    if sys.version_info >= (3, 11):
        from typing import Self
    else:
        Self = Any

TorchModule: TypeAlias = Module
Array: TypeAlias = NDArray[Any]
FloatArray: TypeAlias = NDArray[np.floating[Any]]  # float32 or float64
IntArray: TypeAlias = NDArray[np.intp]
BoolArray: TypeAlias = NDArray[np.bool_]
DType: TypeAlias = np.dtype[np.floating[Any]]
RandomState: TypeAlias = int | np.random.RandomState | None
FilePath: TypeAlias = str | os.PathLike[str]
Text: TypeAlias = str | os.PathLike[str] | TextIO
SolverName: TypeAlias = Literal["rollout", "algorithm1"]
CellName: TypeAlias = Literal["auto", "elman", "fastgrnn", "ugrnn", "gru", "lstm"]
Activation: TypeAlias = Literal["tanh", "sigmoid", "relu", "leaky_relu", "identity"]
ReadOut: TypeAlias = Literal["last", "mean", "max"]
TargetsOf: TypeAlias = Literal["auto", "sequence", "step"]
LossOfClasses: TypeAlias = Literal["cross_entropy", "hinge", "sigmoid_cross_entropy"]
LossOfValues: TypeAlias = Literal["squared_error", "huber", "absolute_error", "quantile", "quantiles"]
Record: TypeAlias = dict[str, Any]  # an epoch's entry of a history
Frame: TypeAlias = tuple[int, int]  # length and stride
Schedule: TypeAlias = Callable[[int], float]  # of the iteration, from 1
LayerOutcome: TypeAlias = tuple[float, float, float, float]  # |D|, step length, damping, shift of the diagonal


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


class Map(Protocol):
    """A linear map of a layer; see `admmirnn.networks.cells.Map`."""

    @property
    def name(self) -> str: ...
    @property
    def columns(self) -> tuple[tuple[str, str], ...]: ...
    @property
    def rows(self) -> tuple[str, ...]: ...
    @property
    def first(self) -> int: ...
    @property
    def rows_per_unit(self) -> int: ...
    @property
    def n_equations(self) -> int: ...
    def names(self, letter: str) -> tuple[str, ...]: ...


class AnyCell(Protocol):
    """What makes states of pre-activations; see `admmirnn.networks.cells`.

    It has no weights: these are in the linear maps of a layer.  Kernels are told its name, and look at what else
    belongs to a cell of that name.
    """

    @property
    def name(self) -> str:
        """By which kernels know it."""

    @property
    def maps(self) -> tuple[Map, ...]:
        """Those of a layer with this cell."""

    @property
    def n_columns(self) -> int:
        """How many pre-activations a hidden unit has."""

    @property
    def columns_of_x(self) -> int:
        """So many of them, the first ones, are given something of x_t or of 1."""

    @property
    def columns_of_s(self) -> int:
        """So many of them, the last ones, are given something of s_{t-1}."""

    @property
    def n_kept(self) -> int:
        """How many numbers of a hidden unit are kept of a step beside its state, in the place of pre-activations."""

    @property
    def n_biases(self) -> int:
        """How many biases of a hidden unit the step adds, as no map does."""

    @property
    def has_cell_state(self) -> bool:
        """Whether c_t is carried from step to step beside s_t."""

    @property
    def is_bounded(self) -> bool:
        """Whether states are, however large pre-activations may be."""

    def start(self, weights: Mapping[str, FloatArray], n_not_zero: int, random_state: np.random.RandomState) -> None:
        """Write initial weights into the blocks of its maps; so many numbers of an observation are other than 0."""

    def is_driven(self, weights: Mapping[str, FloatArray]) -> BoolArray:
        """Of each unit, whether its state can be other than zero where all states before are zero."""


class Cell(AnyCell, Protocol):
    """A cell whose states take the place of pre-activations: `admmirnn.networks.cells.Elman`."""

    def step(self, a: FloatArray) -> FloatArray:
        """s_t of some sequences, of their a_t; the twin of the kernel."""

    def pull_back(self, kept: FloatArray, multipliers: FloatArray) -> FloatArray:
        """The multipliers of a_t, from those of s_t and from what is kept of the step; the twin of the kernel."""


class GatedCell(AnyCell, Protocol):
    """A cell with gates, which also looks at the state before."""

    bias_of_past: ClassVar[str]  # the name of the block: of the gate that keeps the past
    bias_of_new: ClassVar[str | None]  # of the one that lets in the new, where that is another one

    def step(
        self,
        A: FloatArray,
        s_before: FloatArray,
        biases: FloatArray | None = None,
        c_before: FloatArray | None = None,
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """What is kept of a step of some sequences, a row each, with s_t and c_t; the twin of the kernel."""

    def pull_back(
        self,
        kept: FloatArray,
        s_before: FloatArray,
        multipliers: FloatArray,
        c_before: FloatArray | None = None,
        c: FloatArray | None = None,
        lambda_c: FloatArray | None = None,
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """The multipliers of pre-activations, the direct ones of s_{t-1}, and those of c_{t-1}; the kernel's twin."""


class Direction(Protocol):
    """A layer that reads in one direction, with its outputs; see `admmirnn.networks.RNN`."""

    @property
    def maps(self) -> tuple[FloatArray, ...]: ...
    @property
    def Psi(self) -> FloatArray: ...
    @property
    def cell(self) -> Any: ...  # a `Cell` or a `GatedCell`: which one, sweeps know
    @property
    def n_features(self) -> int: ...
    @property
    def n_hidden(self) -> int: ...
    @property
    def n_outputs(self) -> int: ...
    @property
    def dtype(self) -> DType: ...


class LayeredNetwork(Protocol):
    """Layers of one direction or two, and outputs; see `admmirnn.networks.RNN` and `admmirnn.networks.StackedRNN`."""

    @property
    def layers(self) -> Any: ...  # by layers and directions
    @property
    def read_out(self) -> str: ...
    @property
    def n_outputs(self) -> int: ...
    @property
    def n_carried(self) -> int: ...
    @property
    def dtype(self) -> DType: ...
    @property
    def blocks(self) -> Mapping[str, Any]: ...
    @property
    def weights(self) -> dict[str, FloatArray]: ...
    def share_out(self) -> None: ...
    def initial_states(self, n_sequences: int, /) -> FloatArray | None: ...


class AddedUp(Protocol):
    """What workers add up in an iteration; see `admmirnn.solvers.rollout.sums.Sums`.

    Attributes
    ----------
    whole : ndarray of uint8
        One contiguous piece of memory, and two views of it:
    doubles : ndarray of float64
        The numbers of float64 at its beginning.
    numbers : ndarray of float32 or float64
        The numbers after these, in the precision of the network.
    """

    whole: NDArray[np.uint8]
    doubles: NDArray[np.float64]
    numbers: FloatArray


class Reducer(Protocol):
    """Joins several workers, each with a part of every minibatch, all of which run the same program.

    Attributes
    ----------
    rank : int
        Number of this worker, from 0.
    size : int
        Number of workers.
    """

    @property
    def rank(self) -> int: ...
    @property
    def size(self) -> int: ...

    def sum(self, sums: AddedUp, /) -> None:
        """Put the sum over all workers in the place of one worker's own: to all of them the same, to the last bit."""

    def gather(self, value: Any, /) -> list[Any]:
        """Return the values of all workers, which are objects that can be pickled, by rank."""


class Variables(Protocol):
    """What a sweep of Algorithm 1 updates, and reads; see `admmirnn.solvers.algorithm1.variables.Variables`."""

    d: int
    n: int
    K: int
    offsets: IntArray
    labels: IntArray
    values: FloatArray | None
    row_weights: FloatArray
    Theta: FloatArray
    Psi: FloatArray
    Z: FloatArray
    H: FloatArray
    A: FloatArray
    O: FloatArray
    lambda1: FloatArray
    lambda2: FloatArray
    lambda3: FloatArray

    @property
    def scratch(self) -> FloatArray:
        """Room for the kernel."""


class SweepSettings(Protocol):
    """Penalties and options of a sweep; see `admmirnn.solvers.algorithm1.variables.SweepSettings`."""

    @property
    def rho1(self) -> float: ...
    @property
    def rho2(self) -> float: ...
    @property
    def rho3(self) -> float: ...
    @property
    def nu(self) -> float: ...
    @property
    def r(self) -> float: ...
    @property
    def derived(self) -> bool: ...
    @property
    def linearised(self) -> bool: ...
    @property
    def linear(self) -> bool: ...
    @property
    def coupled(self) -> bool: ...
    @property
    def activation(self) -> str: ...
    @property
    def penalty(self) -> str: ...
    @property
    def penalty_weight(self) -> float: ...


_Method = TypeVar("_Method", bound=Callable[..., Any])


def available_if(check: Callable[[Any], bool]) -> Callable[[_Method], _Method]:
    """`sklearn.utils.metaestimators.available_if`, with the method's own type."""
    from sklearn.utils import metaestimators

    return cast("Callable[[_Method], _Method]", metaestimators.available_if(check))
