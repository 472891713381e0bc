"""What a network learns, and its parts: those with a weight, and those held out for validation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from admmirnn import validation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    from admmirnn._typing import Array, FloatArray, IntArray
    from admmirnn.sequences import Sequences
    from admmirnn.validation import EstimatorSettings

    # sequences, their targets and weights, and whether there is one a step
    HeldOut: TypeAlias = tuple[Sequences, Array, FloatArray, bool]


@dataclass(frozen=True)
class Targets:
    """What a network learns.

    Attributes
    ----------
    values : ndarray of shape (n_rows,) or (n_rows, K)
        Class numbers or values: one a sequence, or one for each step, one sequence after the other.
    weights : ndarray of shape (n_rows,)
        Weights >= 0; zero where there is no target.
    form : {"sequence", "array", "list"}
        How y held them: one a sequence, or one a step in an array or in a list.
    n_outputs : int
        K.
    """

    values: np.ndarray
    weights: np.ndarray
    form: str
    n_outputs: int

    @property
    def every_step(self) -> bool:
        """Whether there is one for each step."""
        return self.form != "sequence"


def with_weight(sequences: Sequences, targets: Targets) -> tuple[Sequences, Targets]:
    """Leave out the sequences none of whose targets has a weight."""
    of_sequences = targets.weights
    if targets.every_step:
        of_sequences = np.add.reduceat(targets.weights, sequences.first_steps)
    kept = np.flatnonzero(of_sequences)
    return (sequences, targets) if len(kept) == len(sequences) else _selected(sequences, targets, kept)


def _selected(sequences: Sequences, targets: Targets, indices: IntArray) -> tuple[Sequences, Targets]:
    """Some of the sequences, and their targets."""
    rows = indices
    if targets.every_step:
        rows = np.concatenate([np.arange(first, first + n) for first, n in _steps(sequences, indices)])
    sequences = replace(sequences, first_rows=sequences.first_rows[indices], lengths=sequences.lengths[indices])
    return sequences, replace(targets, values=targets.values[rows], weights=targets.weights[rows])


def _steps(sequences: Sequences, indices: IntArray) -> Iterator[tuple[np.intp, np.intp]]:
    return zip(sequences.first_steps[indices], sequences.lengths[indices], strict=True)


def hold_out(
    sequences: Sequences, targets: Targets, settings: EstimatorSettings, *, by_class: bool
) -> tuple[Sequences, Targets, HeldOut]:
    """Return sequences and targets to train with, and what is apart from them: of each class, if ``by_class``."""
    if settings.stateful:
        return hold_out_ends(sequences, targets, settings.validation_fraction)
    from sklearn.model_selection import train_test_split  # here: it is slow to import

    n_held_out = validation.check_n_held_out(settings.validation_fraction, len(sequences))
    stratify = targets.values if by_class and targets.values.ndim == 1 and not targets.every_step else None
    smaller = min(n_held_out, len(sequences) - n_held_out)
    if stratify is not None and min(np.bincount(stratify).min() - 1, smaller - stratify.max()) < 1:
        stratify = None  # some classes, or one of the parts, have too few sequences for that
    kept, others = train_test_split(
        np.arange(len(sequences)), test_size=n_held_out, stratify=stratify, random_state=settings.random_state
    )
    held_out, of_held_out = _selected(sequences, targets, np.sort(others))
    apart = held_out, of_held_out.values, of_held_out.weights, targets.every_step
    return *_selected(sequences, targets, np.sort(kept)), apart


def hold_out_ends(sequences: Sequences, targets: Targets, fraction: float) -> tuple[Sequences, Targets, HeldOut]:
    """As `hold_out`, the last steps of every sequence; to measure there, the network reads what is before as well."""
    n_kept = sequences.lengths - np.ceil(fraction * sequences.lengths).astype(np.intp)
    validation.check_some_steps_left(n_kept, fraction)
    step_of = np.arange(len(targets.weights)) - np.repeat(sequences.first_steps, sequences.lengths)
    is_kept = step_of < np.repeat(n_kept, sequences.lengths)
    weights = np.where(is_kept, 0.0, targets.weights)
    validation.check_some_weight(targets.weights, is_kept, fraction)
    apart = sequences, targets.values, weights, True
    targets = replace(targets, values=targets.values[is_kept], weights=targets.weights[is_kept])
    return replace(sequences, lengths=n_kept), targets, apart
