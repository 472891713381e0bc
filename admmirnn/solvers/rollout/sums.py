"""What a minibatch says, as numbers that several workers, each with a part of it, can add up: one buffer."""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from admmirnn.solvers.status import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from admmirnn._typing import DType, FloatArray

_ENDINGS = tuple(Status)
_ALIGNMENT = 64  # bytes; numbers of any type may start there
# which of the first numbers in float64 is what
LOSS, WEIGHT, SHARE, CORRECT, TARGETS, SEQUENCES, CAPPED, PROGRESS, FAILED, FIRST_ENDING = range(10)
_N_FIGURES = FIRST_ENDING + len(_ENDINGS)
_NOTHING_ASKED = array("d", [0.0] * (_N_FIGURES - PROGRESS))


class Sums:
    """The buffer of a fit, allocated once: everything that an iteration has to add up over workers, side by side.

    First come numbers in float64: the loss of the minibatch and other figures that decide how the fit goes on, then the
    counts that kernels leave, with R.  The sums of kernels follow, in the precision of the network, in the order in
    which the kernels write them: what comes after those of one kernel serves it as scratch, and then holds the sums of
    the next ones.

    Parameters
    ----------
    dtype : dtype
        Precision of the network.
    of_counts : sequence of int
        Number of values in float64 that each kernel leaves.
    of_kernels : sequence of (int, int)
        Number of sums that each kernel leaves, and number of values that it needs for these and its scratch.

    Attributes
    ----------
    whole : ndarray of uint8
        Memory of all that is added up, as bytes.
    doubles : ndarray of float64
        First part of it, as float64.
    numbers : ndarray of ``dtype``
        Rest of it, in the precision of the network.
    counts : list of ndarray of float64
        Parts of ``doubles`` for each kernel.
    rooms : list of ndarray of ``dtype``
        Arrays that each kernel writes its sums and its scratch to.
    """

    counts: list[NDArray[np.float64]]
    rooms: list[FloatArray]

    def __init__(self, dtype: DType, of_counts: Sequence[int], of_kernels: Sequence[tuple[int, int]]) -> None:
        n_doubles = _N_FIGURES + sum(of_counts)
        n_doubles += -n_doubles % (_ALIGNMENT // 8)
        n_numbers = sum(n_sums for n_sums, _ in of_kernels)
        starts = [sum(n_sums for n_sums, _ in of_kernels[:i]) for i in range(len(of_kernels))]
        n_needed = max(start + room for start, (_, room) in zip(starts, of_kernels, strict=True))
        n_bytes = n_doubles * 8 + n_needed * dtype.itemsize
        # written to, so that the first iteration finds its memory there
        memory = np.full(n_bytes + _ALIGNMENT, 0, np.uint8)
        memory = memory[-memory.ctypes.data % _ALIGNMENT :][:n_bytes]
        numbers = memory[n_doubles * 8 :].view(dtype)
        self.doubles: NDArray[np.float64] = memory[: n_doubles * 8].view(np.float64)
        self._figures: Any = self.doubles[:_N_FIGURES].data  # whose items are Python's own
        self.numbers: FloatArray = numbers[:n_numbers]
        self.whole: NDArray[np.uint8] = memory[: n_doubles * 8 + n_numbers * dtype.itemsize]
        ends = np.cumsum([_N_FIGURES, *of_counts])
        self.counts = [self.doubles[first:end] for first, end in zip(ends, ends[1:], strict=False)]
        self.rooms = [numbers[start:][:room] for start, (_, room) in zip(starts, of_kernels, strict=True)]

    def clear(self) -> None:
        """Set all sums to zero."""
        self.whole[:] = 0

    def write(
        self,
        loss: float,
        mean_weight: float,
        n_correct: int | None,
        n_targets: int,
        n_sequences: int,
        n_capped: int,
        *,
        is_part: bool = False,
    ) -> None:
        """Write the figures of a worker's part, or of all: the mean loss, the mean weight of the targets, and others.

        ``n_correct`` is None where there is no such number.
        """
        figures = self._figures
        share = n_targets if is_part else 1  # where weights are 1 the loss of the whole stays to the last bit
        figures[LOSS] = loss * (mean_weight * share) if share else 0.0
        figures[WEIGHT], figures[SHARE] = mean_weight * share, share
        figures[CORRECT] = math.nan if n_correct is None else n_correct
        figures[TARGETS], figures[SEQUENCES], figures[CAPPED] = n_targets, n_sequences, n_capped
        figures[PROGRESS:] = _NOTHING_ASKED

    def ask_for_end(self, status: Status | None, progress: float) -> None:
        """Write the status that a worker wants to end with, and, of one of them, the share of time that is over."""
        if status is not None:
            self._figures[FIRST_ENDING + _ENDINGS.index(status)] = 1
        self._figures[PROGRESS] = progress

    def say_failed(self) -> None:
        """Write that a worker has failed."""
        self._figures[FAILED] = 1

    @property
    def any_failed(self) -> bool:
        """Whether one has."""
        return bool(self._figures[FAILED])

    def read(self) -> Figures:
        """Return the figures as they stand, those of all workers once they are added up."""
        loss, weight, share, correct, targets, sequences, capped, progress, _, *asked = self._figures.tolist()
        return Figures(
            loss / weight if weight else math.nan,
            weight / share if share else math.nan,
            None if math.isnan(correct) else int(correct),
            int(targets),
            int(sequences),
            int(capped),
            progress,
            next((status for status, n in zip(_ENDINGS, asked, strict=True) if n), None) if any(asked) else None,
        )


class Figures(NamedTuple):
    """What the figures of `Sums` say of a minibatch.

    Attributes
    ----------
    loss : float
        Mean loss, NaN where there is no target.
    mean_weight : float
        Mean weight of the targets, where the mean over the training set is 1; NaN where there is no target.
    n_correct : int or None
        Number of targets that the outputs were right about; None where that is not asked.
    n_targets : int
        Number of outputs that have a target.
    n_sequences : int
        Number of sequences in the minibatch.
    n_capped : int
        Number of steps at which multipliers were scaled down.
    progress : float
        Share of the time that is over.
    ending : Status or None
        Status with which any worker wants to end the fit, or None.
    """

    loss: float
    mean_weight: float
    n_correct: int | None
    n_targets: int
    n_sequences: int
    n_capped: int
    progress: float
    ending: Status | None
