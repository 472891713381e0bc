"""Weights of targets by their mean, which is the same in every minibatch, and what they are for whole sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from admmirnn.validation import blocks

if TYPE_CHECKING:
    from admmirnn._typing import DType, FloatArray
    from admmirnn.data.sequences import Sequences

_LEAST = 1e-20  # of a positive weight: smaller ones would underflow in float32, and a minibatch may consist of such
_ROUNDING = 1e-12


def mean_of_positive(weights: FloatArray | None) -> float:
    """The mean weight of the targets, those of weight 0 left out; weights of None are 1."""
    if weights is None:
        return 1.0
    largest = float(weights.max())
    total = sum(float((weights[rows] / largest).sum(dtype=np.float64)) for rows in blocks(len(weights)))
    return total / int(np.count_nonzero(weights)) * largest


def relative_weights(weights: FloatArray | None, n_targets: int, mean: float, dtype: DType) -> FloatArray | None:
    """The weights divided by a mean, or None if all of them are 1 then."""
    if weights is None:
        return None if abs(mean - 1) <= _ROUNDING else np.full(n_targets, 1 / mean, dtype)
    if all(_are_equal(weights[rows], mean) for rows in blocks(n_targets)):
        return None if weights.all() else (weights > 0).astype(dtype)
    found = np.empty(n_targets, dtype)
    for rows in blocks(n_targets):
        some = weights[rows].astype(np.float64)
        found[rows] = np.where(some > 0, np.maximum(some / mean, _LEAST), 0.0)
    return found


def _are_equal(weights: FloatArray, mean: float) -> bool:
    positive = weights[weights > 0]
    return bool((np.abs(positive - mean) <= _ROUNDING * mean).all())


def roots_of_sequences(weights: FloatArray, sequences: Sequences, *, every_step: bool) -> FloatArray | None:
    """The square roots of the weights of sequences, or None if all are 1.

    With a weight for each step it is the mean of those steps that have a target; a sequence without one has 1.
    """
    means = weights
    if every_step:
        n_targets = np.add.reduceat(weights > 0, sequences.first_steps, dtype=np.intp)
        means = np.add.reduceat(weights, sequences.first_steps) / np.maximum(n_targets, 1).astype(weights.dtype)
    of_sequences = np.where(means > 0, means, 1.0).astype(weights.dtype)
    return None if (of_sequences == 1).all() else np.sqrt(of_sequences)
