"""What workers that fit one network together have to agree on before: settings, classes, scales, what sequences are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from admmirnn.data.labels import check_comparable
from admmirnn.data.reading_targets import check_class_weight, check_several_classes
from admmirnn.data.sequences import Sequences
from admmirnn.data.targets import Targets
from admmirnn.files.checkpoints import parameters_of
from admmirnn.solvers import Capability
from admmirnn.solvers.workers import gather

if TYPE_CHECKING:
    from admmirnn._typing import Array, FloatArray, IntArray, Reducer
    from admmirnn.estimators.settings import EstimatorSettings

# gathers what each worker knows: None of those that have no sequences
Agree: TypeAlias = Callable[[Any], list[Any]]


def agree_on_settings(reducer: Reducer, settings: EstimatorSettings, estimator: Any) -> EstimatorSettings:
    """The settings with the random state of the first worker.

    Raises
    ------
    ValueError
        If the parameters of the estimator are not the same on all workers, or the solver works alone.
    """
    described = parameters_of(estimator)
    for rank, of_other in enumerate(gather(reducer, described)):
        for name, value in described.items():
            if of_other.get(name) != value:
                raise ValueError(
                    f"{name} is {value!r} on rank {reducer.rank} and {of_other.get(name)!r} on rank {rank}; pass the "
                    "same value on all ranks"
                )
    if Capability.WORKERS not in settings.solver.capabilities:
        name = type(settings.solver).__name__
        raise ValueError(
            f"reducer is given, but {name} works in one process only; pass solver='rollout', or reducer=None"
        )
    random_state = np.random.RandomState()
    random_state.set_state(gather(reducer, settings.random_state.get_state())[0])
    return replace(
        settings,
        random_state=random_state,
        verbose=settings.verbose if reducer.rank == 0 else 0,
        callbacks=settings.callbacks if reducer.rank == 0 else (),
    )


def has_nothing(X: Any) -> bool:
    """Whether a worker has no sequences."""
    return hasattr(X, "__len__") and len(X) == 0


def agree_on_labels(
    agree: Agree, class_weight: Any, classes: Array, targets: IntArray, weights: FloatArray | None
) -> tuple[Array, IntArray, FloatArray | None]:
    """The classes of all workers, and the targets and weights of this one, given those it has found."""
    own = np.ones(len(targets)) if weights is None else weights
    most = float(own.max(initial=0.0)) or 1.0  # sums of weights by the largest one do not overflow
    of_own = np.bincount(targets, own / most, len(classes))
    found = [of_worker for of_worker in agree((classes, of_own, most)) if of_worker]
    for some, *_ in found:
        check_comparable(some, found[0][0], strict=True)
    everyones, largest = np.unique(np.concatenate([some for some, *_ in found])), max(of for *_, of in found)
    counts, numbers = np.zeros(len(everyones)), np.arange(len(everyones))
    for some, weight, most in found:
        counts[np.searchsorted(everyones, some)] += weight * (most / largest)
    of_class: FloatArray | None = np.zeros(len(everyones))
    if isinstance(class_weight, str) and class_weight == "balanced":
        of_class = counts.sum() / (np.count_nonzero(counts) * np.where(counts > 0, counts, math.inf))
    else:
        of_class = check_class_weight(class_weight, everyones, numbers, None)
    is_kept = counts > 0 if of_class is None else (counts > 0) & (of_class > 0)
    check_several_classes(everyones, numbers[is_kept])
    at = np.searchsorted(everyones, classes)[targets]
    if of_class is not None:
        weights = of_class[at] * own
    targets = (np.cumsum(is_kept) - 1)[at]
    if weights is not None:
        targets[weights == 0] = 0
    return everyones[is_kept], targets, weights


def agree_on_indicators(agree: Agree, n_labels: int) -> None:
    """Raise unless all workers have as many labels."""
    check_same("y has {} columns", [of_worker for of_worker in agree(n_labels) if of_worker is not None])


def agree_on_values(
    agree: Agree, values: FloatArray, weights: FloatArray | None, *, single: bool
) -> tuple[FloatArray, FloatArray]:
    """Mean and deviation of the targets of all workers, as `mean_and_deviation` has those of one."""
    own = np.ones(len(values)) if weights is None else weights
    values, own = values[own > 0], own[own > 0]
    most = float(own.max(initial=0.0)) or 1.0  # sums of weights by the largest one do not overflow
    own = own / most
    with np.errstate(over="ignore", invalid="ignore"):
        total = own.sum()
        mean = own @ values / (total or 1.0)
        variance = own @ (values - mean) ** 2 / (total or 1.0)
    of_own = total, most, mean, variance, np.abs(values).max(axis=0, initial=0.0), single
    found = [of for of in agree(of_own) if of is not None]
    check_same("y has {} values per target", [len(of_worker[2]) for of_worker in found])
    check_same("y has an axis for one value per target: {}", [not of_worker[5] for of_worker in found])
    heaviest = max(of_worker[1] for of_worker in found)
    shares = np.array([total * (most / heaviest) for total, most, *_ in found])
    shares /= shares.sum()
    means, variances = (np.array([of_worker[i] for of_worker in found]) for i in (2, 3))
    with np.errstate(over="ignore", invalid="ignore"):
        mean = shares @ means
        spread = np.sqrt(shares @ (variances + (means - mean) ** 2))
    largest = np.max([of_worker[4] for of_worker in found], axis=0)
    return mean, np.where(spread > 1e-12 * largest, spread, 1.0)


@dataclass
class Everyones:
    """What a worker has to know of the sequences of all: the lengths of sequences, and how many have each."""

    lengths: IntArray
    counts: IntArray

    @property
    def usual_length(self) -> int:
        """Their median."""
        return int(np.median(np.repeat(self.lengths, self.counts)))

    @property
    def n_steps(self) -> int:
        """Of all together."""
        return int(self.lengths @ self.counts)


def agree_on_data(
    reducer: Reducer, own: tuple[Sequences, Targets, dict[str, Any]] | None
) -> tuple[Sequences, Targets, dict[str, Any], Everyones]:
    """What a worker has read, or, of one that has nothing, nothing of the same kind; and what all have together."""
    summary = None
    if own is not None:
        sequences, targets, attributes = own
        kind = sequences.n_features, targets.every_step, targets.n_outputs, attributes.get("_n_table_columns") is None
        empty = replace(
            sequences,
            observations=np.empty((0, sequences.observations.shape[1]), sequences.observations.dtype),
            first_rows=np.arange(0),
            lengths=np.arange(0),
        )
        of_none = empty, replace(targets, values=targets.values[:0], weights=None), attributes
        names = list(attributes.get("feature_names_in_", ()))
        of_lengths = np.unique(sequences.lengths, return_counts=True)
        summary = kind, names, targets.form, of_none, of_lengths
    found = [of_worker for of_worker in gather(reducer, summary) if of_worker is not None]
    if not found or not sum(of_worker[4][1].sum() for of_worker in found):
        raise ValueError("X is empty on all ranks; pass at least one sequence to one of them")
    check_same(
        "X has {0[0]} features, y one target per step: {0[1]}, {0[2]} outputs, and X is a table: {0[3]}",
        [of_worker[0] for of_worker in found],
    )
    check_same("the columns of X are {}", [of_worker[1] for of_worker in found])
    lengths = np.concatenate([of_worker[4][0] for of_worker in found])
    counts = np.concatenate([of_worker[4][1] for of_worker in found])
    distinct, at = np.unique(lengths, return_inverse=True)
    everyones = Everyones(distinct, np.bincount(at, counts, minlength=len(distinct)).astype(np.intp))
    if own is None:
        own = found[0][3]
    sequences, targets, attributes = own
    forms = {of_worker[2] for of_worker in found}
    if targets.every_step and "_form_of_targets" in attributes:
        is_one = len(forms) == 1 and (forms == {"array"} or len(distinct) == 1)
        attributes = attributes | {"_form_of_targets": targets.form if is_one else "unequal"}
    return sequences, targets, attributes, everyones


def check_same(what: str, found: list[Any]) -> None:
    """Raise an error unless all workers have found the same value; ``what`` is the message's text about one of them."""
    for other in found[1:]:
        if other != found[0]:
            raise ValueError(
                f"{what.format(found[0])} on one rank, and on another {what.format(other)}; pass the same on all ranks"
            )
