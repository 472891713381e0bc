"""Which rows stand for no step, and whose they are; the layout of a minibatch is in ``_kernels/__init__.py``.

And where the blocks of a Gram matrix lie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from admmirnn._typing import FloatArray, IntArray
    from admmirnn.reference.batch import _Batch
    from admmirnn.reference.work import _Work


def ends_of_blocks(m: int, gram_blocks: tuple[int, int]) -> list[int]:
    """Where the blocks end into which a Gram matrix of ``m`` columns is cut: one unless the first ones are cut."""
    cut, width = gram_blocks
    return [*(min(first + width, cut) for first in range(0, cut, width)), m]


def blocks_of_gram(G: FloatArray, m: int, gram_blocks: tuple[int, int]) -> list[tuple[slice, FloatArray]]:
    """The columns of each block of G, and the block, a view: of those side by side in a vector, or of a whole one."""
    if G.ndim == 2:
        return [(slice(0, m), G)]
    found, first, start = [], 0, 0
    for end in ends_of_blocks(m, gram_blocks):
        width = end - first
        found.append((slice(first, end), G[start : start + width * width].reshape(width, width)))
        first, start = end, start + width * width
    return found


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
