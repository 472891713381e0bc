"""Which rows stand for no step; the layout of a minibatch is described in ``_kernels/__init__.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from admmirnn._typing import IntArray
    from admmirnn.reference.batch import _Batch
    from admmirnn.reference.work import _Work


def holes(offsets: IntArray) -> NDArray[np.bool_]:
    """Which rows of S from ``offsets[1]`` on are initial states."""
    counts = np.diff(offsets)
    position = np.arange(offsets[-1] - offsets[1]) - np.repeat(offsets[1:-1] - offsets[1], counts[1:])
    found: NDArray[np.bool_] = position >= np.repeat(counts[:-1], counts[1:])
    return found


def n_outputs(work: _Work, batch: _Batch) -> int:
    """How many rows of outputs a minibatch has."""
    if work.read_out == "none":
        return 0
    return int(batch.offsets[-1] - batch.offsets[1]) if work.read_out == "each" else batch.B
