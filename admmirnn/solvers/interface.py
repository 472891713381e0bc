"""What a solver is, and what it is handed: for type checkers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from admmirnn._typing import Array, FloatArray, RandomState, Record
from admmirnn.losses import AnyLoss
from admmirnn.solvers.capability import Capability
from admmirnn.solvers.status import Outcome, Status

EndOfEpoch: TypeAlias = Callable[[Record], "Status | bool | None"]
KeepState: TypeAlias = Callable[[list[Record], Callable[[], dict[str, Any]]], None]


class Limits(Protocol):
    """When a solver should end early."""

    def reached(self) -> Status | None:
        """The status to end with, or None; asked after every iteration."""

    def progress(self) -> float:
        """The share of the time that is over."""


class Solver(Protocol):
    """What ``solver`` of the estimators may be; see `admmirnn.Rollout.solve`.

    ``solve`` is passed the keywords below, and those of its capabilities: ``penalties`` with `Capability.PENALTIES`,
    ``online`` and ``memory`` with `Capability.MEMORY`, ``checkpoint`` and ``resume`` with `Capability.CHECKPOINTS`,
    ``dropout`` with `Capability.DROPOUT`, ``augmentation`` with `Capability.AUGMENTATION`, and ``reducer`` with
    `Capability.WORKERS`, None of a process alone.
    ``penalty`` is a number >= 0, and None only with `Capability.OWN_PENALTY`.

    Attributes
    ----------
    capabilities : frozenset of Capability
        Further capabilities of the solver; nothing else is asked of it.
    """

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do."""

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
