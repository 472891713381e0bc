"""Where the blocks of a Gram matrix of many inputs lie; both back ends and the solver have them so."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from admmirnn._typing import FloatArray


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
