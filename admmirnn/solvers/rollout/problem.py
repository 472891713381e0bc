"""What one call of `Rollout.solve` is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from admmirnn.solvers.workers import OneProcess

if TYPE_CHECKING:
    from collections.abc import Mapping

    from admmirnn._typing import Array, FloatArray, ProximalOperator, Reducer
    from admmirnn.data.augmenting import Augmentation
    from admmirnn.losses import AnyLoss
    from admmirnn.networks import Network
    from admmirnn.solvers.interface import EndOfEpoch, Limits
    from admmirnn.solvers.rollout.memory import RolloutMemory
    from admmirnn.solvers.rollout.order import Carried, Shuffled
    from admmirnn.solvers.rollout.over_workers import OfAll


@dataclass
class Problem:
    """The arguments of `Rollout.solve` that an iteration works with, as they have been checked.

    Attributes
    ----------
    order : Shuffled or Carried
        Sequences, and how minibatches are made of them.
    n_iterations : int
        Number of iterations, unless something ends the fit.
    is_online : bool
        Whether more calls may follow, so that nobody knows where the end is.
    memory : RolloutMemory or None
        Memory that the call before has left, if there was one.

    of_all : OfAll or None
        Figures of the targets of all parts, where this is a part of the data that is worked on alone.

    has_consensus : bool
        Whether the weights are pulled to those of other workers, which is not so with penalties.

    The others are as in `Rollout.solve`.
    """

    network: Network
    order: Shuffled | Carried
    targets: Array
    loss: AnyLoss
    weights: FloatArray | None = None
    penalty: float | None = 0.0
    penalties: Mapping[str, ProximalOperator] = field(default_factory=dict)
    dropout: float = 0.0
    augmentation: Augmentation | None = None
    n_iterations: int = 1
    n_threads: int = 1
    is_online: bool = False
    memory: RolloutMemory | None = None
    of_all: OfAll | None = None
    has_consensus: bool = False
    reducer: Reducer = field(default_factory=OneProcess)
    limits: Limits | None = None
    on_epoch_end: EndOfEpoch | None = None
