"""What a fit reports of each epoch."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admmirnn._typing import Record
    from admmirnn.solvers.rollout.state import Layer
    from admmirnn.solvers.rollout.sums import Figures


class HasRadius(Protocol):
    """What a record has to know of a weight matrix."""

    radius: float


class EpochRecord:
    """Sums over the minibatches of one epoch, and the record they end in."""

    def __init__(self) -> None:
        self.rollbacks = self.capped_steps = 0
        self._started = time.perf_counter()
        self._loss = 0.0
        self._n_correct: int | None = 0
        self._n_targets = self._damping_raised = 0
        self._weight_of_finite = 0.0
        # |D|, and 1 / step
        self._of_hidden: tuple[list[float], list[float]] = ([], [])
        self._of_output: tuple[list[float], list[float]] = ([], [])

    def count(self, figures: Figures) -> None:
        """Count a minibatch in, as its roll-out was before its update."""
        loss, mean_weight, n_correct, n_targets, n_sequences, *_ = figures
        self._n_targets += n_targets
        if math.isfinite(loss):
            weight = n_sequences * mean_weight
            self._loss += loss * weight
            self._weight_of_finite += weight
        self._n_correct = None if n_correct is None else (self._n_correct or 0) + n_correct

    def add(self, layers: Sequence[Layer], damping: float) -> None:
        """Add a weight step: the matrices of the hidden layers, and that of the outputs."""
        output, was_raised = layers[-1], False
        for layer in layers:
            D_norms, r = self._of_output if layer is output else self._of_hidden
            D_norms.append(layer.D_norm)
            was_raised |= layer.damping > damping
            if layer.step > 0:
                r.append(1 / layer.step)
        self._damping_raised += was_raised

    @property
    def is_empty(self) -> bool:
        """Whether there has been no minibatch."""
        return self._n_targets == 0

    def add_up(self, other: EpochRecord) -> None:
        """Count in all that another record of the same epoch has counted, of another part of the data."""
        self.rollbacks += other.rollbacks
        self.capped_steps += other.capped_steps
        self._loss += other._loss
        self._weight_of_finite += other._weight_of_finite
        self._n_targets += other._n_targets
        self._damping_raised += other._damping_raised
        if self._n_correct is not None:
            self._n_correct = None if other._n_correct is None else self._n_correct + other._n_correct
        for own, more in zip(self._of_hidden + self._of_output, other._of_hidden + other._of_output, strict=True):
            own += more

    def summary(self, epoch: int, hidden: HasRadius, output: HasRadius) -> Record:
        """Return the record.

        Returns
        -------
        dict
            ``epoch`` (from 1); ``rollout_loss``: mean over the epoch, each minibatch before its update,
            leaving out losses that are not finite, infinite if none is left; ``training_accuracy``:
            likewise, missing unless there are labels; ``radius``, ``output_radius``: limits in force at the
            epoch's end, before the schedule, None when there is none, of several hidden matrices that of the
            first; ``r``, ``output_r``: proximal weights in force, 1 / step length, and ``D_norm``,
            ``output_D_norm``: ``|D|``, that of the hidden layer in the metric of its penalty, each a mean
            over the epoch's steps (and over the matrices of all hidden layers, their directions and the
            maps of their cell), None when there was none; ``capped_steps``: at how many steps multipliers
            were scaled down, those of each sequence counted; ``damping_raised``: iterations whose damping was
            raised; ``rollbacks``: how often the solver returned to its last good weights; ``seconds``.
        """
        record: Record = {
            "epoch": epoch,
            "rollout_loss": self._loss / self._weight_of_finite if self._weight_of_finite else math.inf,
        }
        if self._n_correct is not None and self._n_targets:
            record["training_accuracy"] = self._n_correct / self._n_targets
        for name, layer in (("radius", hidden), ("output_radius", output)):
            record[name] = layer.radius if layer.radius < math.inf else None
        names = ("D_norm", "r", "output_D_norm", "output_r")
        for name, values in zip(names, self._of_hidden + self._of_output, strict=True):
            record[name] = sum(values) / len(values) if values else None
        record["capped_steps"] = self.capped_steps
        record["damping_raised"] = self._damping_raised
        record["rollbacks"] = self.rollbacks
        record["seconds"] = time.perf_counter() - self._started
        return record
