"""States of two directions of a layer as one layer above reads them, and its multipliers as they take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admmirnn._typing import FloatArray
    from admmirnn.data.sequences import Minibatch


def set_side_by_side(
    states: Sequence[FloatArray],
    batch: Minibatch,
    out: FloatArray,
    *,
    reverse: bool,
    masks: Sequence[FloatArray | None] = (),
) -> None:
    """Write the states that a direction of the layer above reads, those of all directions below beside each other.

    Parameters
    ----------
    states : sequence of ndarray of shape (n_rows + B, n)
        Arrays S of the directions below, the one that reads from the start first.
    batch : Minibatch
        Minibatch as it is read from the start.
    out : ndarray of at least n_rows + B rows and as many columns as the states have together
        Array that the rows of states which steps reach are written to, in the order of the direction that reads them.
    reverse : bool
        Whether this direction reads from the end.
    masks : sequence of ndarray of shape (B, n), or of None, optional
        Factors, for each direction below, by which the states of each sequence are multiplied.
    """
    rows, mirrored, end = batch.rows_of_states(), batch.mirrored_rows(), 0
    for i, S in enumerate(states):
        begin, end = end, end + S.shape[1]
        seen = S[rows[mirrored] if (i > 0) != reverse else rows]
        out[rows, begin:end] = _masked(seen, masks, i, batch)


def set_apart(
    multipliers: Sequence[FloatArray],
    batch: Minibatch,
    outs: Sequence[FloatArray],
    masks: Sequence[FloatArray | None] = (),
) -> None:
    """Add up what the directions of the layer above pass back, in the order of each direction below: the transpose.

    Parameters
    ----------
    multipliers : sequence of ndarray of shape (n_rows, n + m)
        Multipliers of what each direction above reads, the one that reads from the start first; a row for each row of
        X.
    batch : Minibatch
        Minibatch as it is read from the start.
    outs : sequence of ndarray of shape (n_rows, n) and (n_rows, m)
        Arrays that the multipliers of the directions below are written to, the one that reads from the start first.
    masks : sequence of ndarray of shape (B, n), or of None, optional
        As in `set_side_by_side`.
    """
    mirrored, end = batch.mirrored_rows(), 0
    for i, out in enumerate(outs):
        begin, end = end, end + out.shape[1]
        out[:] = 0
        for k, of_direction in enumerate(multipliers):
            part = of_direction[: len(mirrored), begin:end]
            out[: len(mirrored)] += part[mirrored] if i != k else part
        out[: len(mirrored)] = _masked(out[: len(mirrored)], masks, i, batch)


def _masked(rows: FloatArray, masks: Sequence[FloatArray | None], i: int, batch: Minibatch) -> FloatArray:
    """The rows of direction i, one for each step, times the mask of their sequence if there is one."""
    mask = masks[i] if masks else None
    return rows if mask is None else rows * mask[batch.sequences_of_rows()]
