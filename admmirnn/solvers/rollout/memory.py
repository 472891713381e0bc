"""What a fit leaves to later calls and to checkpoints: dataclasses, and the one place where dicts become them.

A `RolloutMemory` is what the next call of `partial_fit` goes on from; a `State` is all that another fit needs to go on
in the middle of this one.  A checkpoint holds a state as nested dicts, which `as_dict` makes, and whose keys stay.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from admmirnn.solvers.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from admmirnn._typing import FloatArray, IntArray, LayerOutcome


@dataclass
class LayerMemory:
    """Of a weight matrix; see `admmirnn.solvers.rollout.state.Layer`."""

    radius: float
    outcome: LayerOutcome
    M: FloatArray
    G: FloatArray
    factor: FloatArray
    R: NDArray[np.float64] | None = None


@dataclass
class SplittingMemory:
    """Of penalties on blocks; see `admmirnn.solvers.rollout.splitting.Splitting`."""

    names: list[str]
    lambda4: tuple[FloatArray, ...]
    excess: Sequence[FloatArray | int]


@dataclass
class OnlineMemory:
    """Of the schedule where the end is not known; see `admmirnn.solvers.rollout.online.OnlineSchedule`."""

    iterations: int
    n_losses: int
    n_high: int
    mean: float
    variance: float
    previous: float
    constant_loss: float
    weight: int
    mean_weight: float = 1.0
    n_weighed: int = 0


def _named(key: str) -> Any:
    """A field that has another name in a dict."""
    return field(metadata={"key": key})


@dataclass(kw_only=True)
class GuardMemory:
    """Of the losses so far, and of good weights; see `admmirnn.solvers.rollout.guard.Guard`."""

    best: float = _named("_best")
    loss_sum: float = _named("_loss_sum")
    n_seen: int = _named("_n_seen")
    weight_seen: float = _named("_weight_seen")
    worst: tuple[float, float] = _named("_worst")
    previous: tuple[float, int] | None = _named("_previous")
    square_sum: float = _named("_square_sum")
    n_differences: int = _named("_n_differences")
    variance: float | None = _named("_variance")
    loss_after_return: float | None = _named("_loss_after_return")
    any_finite: bool = _named("_any_finite")
    rollbacks_in_a_row: int
    safest: list[FloatArray]
    good: list[FloatArray]
    returned_to_good: bool


@dataclass(kw_only=True)
class RolloutMemory(Memory):
    """What a call of `Rollout.solve` leaves to the next one.

    Attributes
    ----------
    n_remembered : int
        Number of minibatches in the running statistics.
    layers : list of LayerMemory
        Memories of the hidden layers, and of the output layer.
    splitting : SplittingMemory or None
        Memory of the penalties; None without penalties.
    M_0 : ndarray of shape (n,) or None
        Running statistic of s_0, where it is learnt.
    online : OnlineMemory or None
        Memory of the schedule; None for calls of an older version, which had no such schedule.
    guard : GuardMemory or None
        Memory of the guard; None after a fit, whose guard knew how many sequences there are.
    dropout : RandomState or None
        Generator that masks are drawn from; None without dropout.
    """

    n_remembered: int
    layers: list[LayerMemory]
    splitting: SplittingMemory | None
    M_0: FloatArray | None
    online: OnlineMemory | None
    guard: GuardMemory | None
    dropout: np.random.RandomState | None = None

    @property
    def is_of_a_fit(self) -> bool:
        """Whether there is no guard, which calls of `partial_fit` hand on."""
        return self.guard is None


@dataclass
class ShuffledState:
    """See `admmirnn.solvers.rollout.order.Shuffled`."""

    order: IntArray
    random_state: np.random.RandomState


@dataclass
class CarriedState:
    """See `admmirnn.solvers.rollout.order.Carried`; ``recent`` are pairs of indices and initial states."""

    states: FloatArray
    given: bool
    is_new: bool
    recent: list[list[Any]]
    random_state: np.random.RandomState


@dataclass
class State:
    """All that another fit needs to go on from here, after an epoch."""

    weights: list[FloatArray]
    memory: RolloutMemory
    guard: GuardMemory
    order: Any  # a `ShuffledState` or a `CarriedState`, whichever the order of the fit has


def state_of(found: dict[str, Any]) -> State:
    """The state that `admmirnn.solvers.memory.as_dict` has made this of."""
    order = found["order"]
    return State(
        weights=found["weights"],
        memory=memory_of(found["memory"]),
        guard=_guard_of(found["guard"]),
        order=ShuffledState(**order) if "order" in order else CarriedState(**order),
    )


def memory_of(found: dict[str, Any]) -> RolloutMemory:
    """The memory that has become this dict; that of an older version, before there was R, has less."""
    splitting, online, guard = (found.get(name) for name in ("splitting", "online", "guard"))
    return RolloutMemory(
        n_remembered=found["n_remembered"],
        layers=[LayerMemory(**layer) for layer in found["layers"]],
        splitting=None if splitting is None else SplittingMemory(**splitting),
        M_0=found.get("M_0"),
        states=found.get("states"),
        online=None if online is None else OnlineMemory(**online),
        guard=None if guard is None else _guard_of(guard),
        dropout=found.get("dropout"),
    )


def _guard_of(found: dict[str, Any]) -> GuardMemory:
    of_older_versions: dict[str, Any] = {"_weight_seen": float(found["_n_seen"]), "_worst": (0.0, 0.0)}
    found = of_older_versions | found
    return GuardMemory(**{of.name: found[of.metadata.get("key", of.name)] for of in fields(GuardMemory)})
