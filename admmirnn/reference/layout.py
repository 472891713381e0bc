"""Which rows stand for no step, and whose they are; the layout of a minibatch is in ``_kernels/__init__.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from admmirnn._typing import FloatArray, IntArray
    from admmirnn.reference.batch import _Batch
    from admmirnn.reference.work import _Work


def holes(offsets: IntArray) -> NDArray[np.bool_]:
    """Which rows of S from ``offsets[1]`` on are initial states."""
    counts = np.diff(offsets)
    found: NDArray[np.bool_] = _sequence_of(offsets) >= np.repeat(counts[:-1], counts[1:])
    return found


def _sequence_of(offsets: IntArray) -> IntArray:
    """Of which sequence each row of S from ``offsets[1]`` on is."""
    found: IntArray = np.arange(offsets[-1] - offsets[1]) - np.repeat(offsets[1:-1] - offsets[1], np.diff(offsets)[1:])
    return found


def mask_of_outputs(work: _Work, batch: _Batch) -> FloatArray:
    """The rows of the mask, one for each output, and zero where there is none."""
    assert work.mask is not None
    if work.read_out != "each":
        return work.mask[: batch.B]
    mask = work.mask[_sequence_of(batch.offsets)]
    mask[holes(batch.offsets)] = 0
    return mask


def n_outputs(work: _Work, batch: _Batch) -> int:
    """How many rows of outputs a minibatch has."""
    if work.read_out == "none":
        return 0
    return int(batch.offsets[-1] - batch.offsets[1]) if work.read_out == "each" else batch.B
