"""The one place that decides what Gram matrices are of: how many states of a minibatch, and which features together."""

from __future__ import annotations

from admmirnn import validation

FIRST_ITERATIONS = 10  # in which running Gram matrices change fast
_UNCUT = 1024  # features, and 2 n; with 3,000 of them one G makes an iteration three times as long, see bench/wide.py
_BLOCK = 512  # of correlated features, as good as one G; single ones learn more slowly
_FEWEST_OF_R, _MOST_OF_R = 2, 4  # times n: how many states of a minibatch R takes, if there are so many
_ENOUGH_OF_R = 256  # of a large minibatch
_LONG, _MOST_APART = 100, 8  # of sequences of so many steps R takes one state in so many at least


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


def interval_of_G(every: int, n_rows: int, n_hidden: int) -> int:
    """Of how many steps G takes one, where ``every`` are asked for: at least n states, if a minibatch has so many."""
    return max(min(every, n_rows // n_hidden), 1)


def interval_of_R(every: int, n_rows: int, n_steps: int, n_hidden: int, *, is_early: bool = False) -> int:
    """Of how many states R takes one, where ``every`` are asked for of a minibatch of so many rows and steps.

    It takes at least 2 n, if there are so many, and of a large minibatch no more than 4 n, or than 256, or, as few
    steps of long sequences say much, one in 8 of these.  In early iterations it takes as many as are asked for.
    """
    if every > 1 and not is_early:
        apart = n_rows // max(_MOST_OF_R * n_hidden, _ENOUGH_OF_R)
        every = max(every, min(apart, _MOST_APART) if n_steps >= _LONG else apart)
    return max(min(every, n_rows // (_FEWEST_OF_R * n_hidden)), 1)
