"""What a network learns, and its parts: those with a weight, and those held out for validation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from admmirnn._typing import Array, BoolArray, FloatArray, IntArray
from admmirnn.data.sequences import Sequences

# sequences, their targets and weights (None for all 1), and whether there is one per step
HeldOut: TypeAlias = tuple[Sequences, Array, FloatArray | None, bool]


@dataclass(frozen=True)
class Targets:
    """What a network learns.

    Attributes
    ----------
    values : ndarray of shape (n_rows,) or (n_rows, K)
        Class numbers or values: one per sequence, or one for each step, one sequence after the other.
    weights : ndarray of shape (n_rows,), or None
        Weights >= 0, as they were given; zero where there is no target.  None if all of them are 1.
    form : {"sequence", "array", "list"}
        How y held them: one per sequence, or one per step in an array or in a list.
    n_outputs : int
        Number of outputs K of the network.
    """

    values: np.ndarray
    weights: np.ndarray | None
    form: str
    n_outputs: int

    @property
    def every_step(self) -> bool:
        """Whether there is one for each step."""
        return self.form != "sequence"


def with_weight(sequences: Sequences, targets: Targets) -> tuple[Sequences, Targets]:
    """Leave out the sequences none of whose targets has a weight."""
    if targets.weights is None:
        return sequences, targets
    of_sequences = targets.weights
    if targets.every_step:
        of_sequences = np.maximum.reduceat(targets.weights, sequences.first_steps)
    kept = np.flatnonzero(of_sequences)
    return (sequences, targets) if len(kept) == len(sequences) else _selected(sequences, targets, kept)


def _selected(sequences: Sequences, targets: Targets, indices: IntArray) -> tuple[Sequences, Targets]:
    """Some of the sequences, and their targets."""
    rows = indices
    if targets.every_step:
        rows = np.concatenate([np.arange(0), *(np.arange(first, first + n) for first, n in _steps(sequences, indices))])
    sequences = replace(sequences, first_rows=sequences.first_rows[indices], lengths=sequences.lengths[indices])
    return sequences, replace(targets, values=targets.values[rows], weights=_taken(targets.weights, rows))


def _taken(weights: FloatArray | None, rows: IntArray | BoolArray) -> FloatArray | None:
    return None if weights is None else weights[rows]


def _steps(sequences: Sequences, indices: IntArray) -> Iterator[tuple[np.intp, np.intp]]:
    return zip(sequences.first_steps[indices], sequences.lengths[indices], strict=True)


def hold_out(
    sequences: Sequences, targets: Targets, fraction: float, random_state: np.random.RandomState, *, by_class: bool
) -> tuple[Sequences, Targets, HeldOut]:
    """Return sequences and targets to train with, and what is apart from them: of each class, if ``by_class``."""
    from sklearn.model_selection import train_test_split  # here: it is slow to import

    n_held_out = check_n_held_out(fraction, len(sequences))
    stratify = targets.values if by_class and targets.values.ndim == 1 and not targets.every_step else None
    smaller = min(n_held_out, len(sequences) - n_held_out)
    if stratify is not None and min(np.bincount(stratify).min() - 1, smaller - stratify.max()) < 1:
        stratify = None  # some classes, or one of the parts, have too few sequences for that
    _, others = train_test_split(
        np.arange(len(sequences)), test_size=n_held_out, stratify=stratify, random_state=random_state
    )
    return hold_out_these(sequences, targets, np.sort(others))


def hold_out_these(sequences: Sequences, targets: Targets, indices: IntArray) -> tuple[Sequences, Targets, HeldOut]:
    """As `hold_out`, the sequences ``indices``."""
    held_out, of_held_out = _selected(sequences, targets, indices)
    apart = held_out, of_held_out.values, of_held_out.weights, targets.every_step
    return *_selected(sequences, targets, np.setdiff1d(np.arange(len(sequences)), indices)), apart


def hold_out_ends(sequences: Sequences, targets: Targets, fraction: float) -> tuple[Sequences, Targets, HeldOut]:
    """As `hold_out`, the last steps of every sequence; to measure there, the network reads what is before as well."""
    n_kept = sequences.lengths - np.ceil(fraction * sequences.lengths).astype(np.intp)
    check_some_steps_left(n_kept, fraction)
    is_kept = np.zeros(len(targets.values), bool)
    for first, n in zip(sequences.first_steps.tolist(), n_kept.tolist(), strict=True):
        is_kept[first : first + n] = True
    weights = (~is_kept).astype(np.float32) if targets.weights is None else np.where(is_kept, 0, targets.weights)
    if targets.weights is not None:
        check_some_weight(targets.weights, is_kept, fraction)
    apart = sequences, targets.values, weights, True
    targets = replace(targets, values=targets.values[is_kept], weights=_taken(targets.weights, is_kept))
    return replace(sequences, lengths=n_kept), targets, apart


def check_n_held_out(fraction: float, n_sequences: int) -> int:
    """How many sequences are for validation."""
    n_held_out = round(fraction * n_sequences)
    if not 0 < n_held_out < n_sequences:
        raise ValueError(
            f"validation_fraction is {fraction:g}, which is {n_held_out} of {n_sequences} sequences; pass more "
            "sequences, or validation_data"
        )
    return n_held_out


def check_some_steps_left(n_kept: IntArray, fraction: float) -> None:
    """Raise unless every stream has steps to train with."""
    if n_kept.min() < 1:
        i = int(n_kept.argmin())
        raise ValueError(
            f"validation_fraction is {fraction:g}, which leaves X[{i}] no step to train with; pass a smaller one, or "
            "validation_data"
        )


def check_some_weight(weights: Array, is_kept: BoolArray, fraction: float) -> None:
    """Raise unless there are targets for validation, and others to train with."""
    if not weights[~is_kept].any():
        raise ValueError(
            f"validation_fraction is {fraction:g}, and none of the steps that it holds out has a target; pass a larger "
            "one, or validation_data"
        )
    if not weights[is_kept].any():
        raise ValueError(
            f"validation_fraction is {fraction:g}, and only the steps that it holds out have a target, so that there "
            "is none to train with; pass a smaller one, or validation_data"
        )
