"""How a fit ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from admmirnn._typing import Record
    from admmirnn.solvers.memory import Memory


class Status(Enum):
    """Why training stopped; the value is the message."""

    CONVERGED = "every residual is within its tolerance"
    ITERATION_LIMIT = "the requested number of iterations was done"
    STOPPED = "a callback stopped the training"
    NO_PROGRESS = "the validation loss has not fallen for `patience` epochs; the weights of the best epoch were kept"
    TIME_LIMIT = "the time limit max_time was reached"
    INTERRUPTED = "interrupted by Ctrl-C; the last good weights were kept"

    @classmethod
    def asked_for(cls, answer: object) -> Status | None:
        """The status that an ``on_epoch_end`` has answered, STOPPED if it was another true value, None to go on."""
        return answer if isinstance(answer, cls) else cls.STOPPED if answer else None

    DIVERGED = "the variables grew without bound; the best weights before that were kept"


@dataclass(frozen=True)
class Outcome:
    """Result of a solver.

    Attributes
    ----------
    history : list of dict
        One record per epoch or iteration.
    status : Status
        Reason why training stopped.
    detail : str or None
        Name of the quantity that grew, for a fit that diverged.
    warning : str or None
        Text of which the user should be warned.
    memory : Memory or None
        State from which a later call of ``solve`` can continue, for a solver that has `Capability.MEMORY`.
    """

    history: list[Record]
    status: Status
    detail: str | None = None
    warning: str | None = None
    memory: Memory | None = None
