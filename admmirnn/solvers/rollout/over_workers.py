"""What all workers together say of the targets, and of a loss, each of them having a part of the sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from admmirnn.solvers.rollout.weighting import mean_of_positive, relative_weights
from admmirnn.solvers.workers import gather

if TYPE_CHECKING:
    from admmirnn._typing import Array, DType, FloatArray, Reducer
    from admmirnn.losses import AnyLoss


_MOST_SHARED = 1 << 21  # values of targets that all workers see


@dataclass(frozen=True)
class OfAll:
    """What is found once, where workers do not meet again before they are done.

    Attributes
    ----------
    constant_loss : float
        Loss of the best constant output.
    mean_weight : float
        Mean weight of the targets, as they were given.
    n_targets : int
        Number of targets that have a weight.
    at_each : bool
        Whether there is a target for each step.
    n_sequences : int
        Number of sequences in all parts.
    shares : tuple of float
        Share of all weight that the targets of each part have.
    """

    constant_loss: float
    mean_weight: float
    n_targets: int
    at_each: bool
    n_sequences: int
    shares: tuple[float, ...]


def find_of_all(
    reducer: Reducer,
    loss: AnyLoss,
    targets: Array,
    weights: FloatArray | None,
    n_sequences: int,
    dtype: DType,
    *,
    at_each: bool,
) -> OfAll:
    """What all workers find together, each of which has some targets, with one for each step or one per sequence."""
    targets = np.ascontiguousarray(targets, loss.target_dtype or dtype)
    own = np.ones(len(targets)) if weights is None else weights
    n_own = int(np.count_nonzero(own))
    mean, n_targets = mean_weight_of_all(reducer, weights, n_own)
    relative = relative_weights(weights, len(targets), mean, dtype)
    constant_loss, _ = of_all_targets(reducer, loss, targets, relative)
    of_parts = np.array(gather(reducer, float((own / mean).sum())))
    shares = tuple((of_parts / of_parts.sum()).tolist())
    return OfAll(constant_loss, mean, n_targets, at_each, sum(gather(reducer, n_sequences)), shares)


def mean_loss(of_workers: list[list[tuple[float, float, int, int]]]) -> float | None:
    """The mean over some minibatches of their losses, each of which workers have parts of; None without targets.

    Of each part the mean loss, the mean weight of the targets, how many there are, and how many sequences.
    """
    loss, weight = 0.0, 0.0
    for parts in zip(*of_workers, strict=True):
        weights = [mean_weight * n_targets for _, mean_weight, n_targets, _ in parts]
        n_targets = sum(n for *_, n, _ in parts)
        if n_targets:
            of_batch = sum(n for *_, n in parts) * sum(weights) / n_targets
            loss += of_batch * sum(one * of for (one, *_), of in zip(parts, weights, strict=True) if of) / sum(weights)
            weight += of_batch
    return loss / weight if weight else None


def of_all_targets(reducer: Reducer, loss: AnyLoss, targets: Array, weights: FloatArray | None) -> tuple[float, int]:
    """The loss of the best constant output, over the targets of all workers, and how many of them have a weight.

    Of class numbers their weights are enough; of many values the workers share some.
    """
    of_targets = np.broadcast_to(1.0, len(targets)) if weights is None else weights
    n_with_weight = len(targets) if weights is None else int(np.count_nonzero(weights))
    if reducer.size == 1:
        return loss.constant_loss(targets, of_targets), n_with_weight
    total = sum(gather(reducer, n_with_weight))
    if loss.takes_labels:
        of_classes = gather(reducer, np.bincount(targets, of_targets) if len(targets) else np.zeros(0))
        together = np.zeros(max(len(some) for some in of_classes))
        for some in of_classes:
            together[: len(some)] += some
        return loss.constant_loss(np.arange(len(together)), together), total
    every = -(-sum(gather(reducer, targets.size)) // _MOST_SHARED)
    shared = gather(reducer, (targets[::every], of_targets[::every]))
    return loss.constant_loss(*(np.concatenate(some) for some in zip(*shared, strict=True))), total


def mean_weight_of_all(reducer: Reducer, weights: FloatArray | None, n_targets: int) -> tuple[float, int]:
    """The mean weight of the targets of all workers, and how many there are that have one."""
    own = mean_of_positive(weights) if n_targets else 0.0
    found = gather(reducer, (own, n_targets))
    if reducer.size == 1:
        return found[0]
    total = sum(n for _, n in found)
    return sum(mean * (n / total) for mean, n in found), total  # weights may be near the largest number
