"""The one place that decides how the Gram matrix G of a layer's inputs [x, s, 1] is cut into blocks."""

from __future__ import annotations

from admmirnn import validation

_UNCUT = 1024  # features, and 2 n; with 3,000 of them one G makes an iteration three times as long, see bench/wide.py
_BLOCK = 512  # of correlated features, as good as one G; single ones learn more slowly


def block_of_gram(setting: int | str | None, n_features: int, n_hidden: int) -> int:
    """How many features a block of G has, of a layer of so many units, or 0 where all inputs are one block.

    What decides is `admmirnn.Rollout`'s ``gram_block``.
    """
    if setting is None:
        return 0
    if validation.is_auto(setting):
        return 0 if n_features <= 2 * n_hidden + _UNCUT else _BLOCK
    return 0 if n_features <= int(setting) else int(setting)


def cut_of(n_x: int, block: int) -> tuple[int, int]:
    """What `Layer` takes for its ``gram_blocks``: of a map that reads ``n_x`` features, in blocks of so many."""
    return (n_x, block) if block and n_x else (0, 1)
