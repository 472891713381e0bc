"""y and weights in any of their forms, read as arrays with a row for each sequence or step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import column_or_1d

from admmirnn import validation
from admmirnn.data.labels import PLAIN_KINDS, as_labels, check_comparable, check_label_column, differs
from admmirnn.data.meaning import is_list, values_and_form
from admmirnn.data.sparse import as_dense

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from admmirnn._typing import Array, BoolArray, DType, FloatArray, IntArray
    from admmirnn.data.sequences import Sequences


def check_labels(
    y: Any,
    lengths: IntArray,
    *,
    targets: str = "auto",
    per_step: bool = False,
    stateful: bool = False,
    ignore_label: Any = None,
) -> tuple[Array, IntArray, BoolArray, str]:
    """Return the classes, sorted, the class number of every sequence or step, and how y held them.

    Parameters
    ----------
    y : array-like of shape (n_sequences,), or of shape (n_sequences, n_steps), or list of arrays of shape (n_steps_i,)
        Labels of any type that can be sorted, one for each sequence or one for each of its steps.
    lengths : ndarray of shape (n_sequences,)
        Numbers of steps of the sequences.
    targets : {"auto", "sequence", "step"}, default="auto"
        Whether y has labels of sequences or of steps, as the user says it; "auto" looks at its axes.
    per_step : bool, default=False
        Whether the solver takes a label for each step.
    stateful : bool, default=False
        Whether labels are those of steps, even if every sequence has but one.
    ignore_label : label or None
        Value that stands where a step has no label.

    Returns
    -------
    classes : ndarray
        Labels that occur, sorted.
    targets : ndarray of intp, or of steps of the smallest unsigned integers
        Class numbers: one for each sequence, or one for each step of every sequence, one sequence after the other; 0
        where there is no label.
    present : ndarray of bool
        Whether there is a label, for each entry of ``targets``.
    form : {"sequence", "array", "list"}
        What y was: one label per sequence, or a rectangular array or a list with one label per step.
    """
    _refuse_masked_and_sparse(y)
    y = validation.in_lists(y)
    form = _form_of_labels(y, of_steps=stateful or targets == "step")
    check_form(form, targets, y)
    if form != "sequence" and targets == "auto" and not stateful:
        _warn_of_one_hot(y, form, lengths)
    if form != "sequence" and not per_step:
        found = f"an array of shape {y.shape}" if form == "array" else f"a list of {len(y)} arrays"
        raise ValueError(
            f"y should be a 1d array, one label per sequence, but is {found}: this solver takes no labels of steps; "
            "pass solver='rollout', or the labels of the last steps"
        )
    if form == "sequence":
        if _n_axes(y) > 2:
            raise ValueError(
                f"y has the shape {np.shape(y)}; pass one label per sequence, or one per step: y.argmax(axis=-1) of "
                "zeros and ones, or several labels at once with loss='sigmoid_cross_entropy'"
            )
        y = as_labels(_of_one_axis(y), ignore_label=ignore_label)
    check_n_targets(len(y), lengths)
    column = y if form == "sequence" else _labels_per_step(y, form, lengths, ignore_label)
    present = np.ones(len(column), bool) if ignore_label is None else differs(column, ignore_label)
    if not present.any():
        raise ValueError(f"every label in y is ignore_label = {ignore_label!r}; pass labels of at least two classes")
    is_every = bool(present.all())

    def where(i: int) -> str:
        rows = np.flatnonzero(present)
        if form == "sequence":
            return f"index {rows[i]}"
        sequence = int(np.searchsorted(np.cumsum(lengths), rows[i], side="right"))
        return f"step {rows[i] - lengths[:sequence].sum()} of y[{sequence}]"

    remedy = "leave these sequences out" if form == "sequence" else "say with ignore_label what stands for none"
    classes, numbers = check_label_column(column if is_every else column[present], where, remedy)
    if form != "sequence":  # of many steps a byte each is enough
        numbers = numbers.astype(np.min_scalar_type(len(classes)), copy=False)
    if not is_every:
        numbers, of_present = np.zeros(len(column), numbers.dtype), numbers
        numbers[present] = of_present
    return classes, numbers, present, form


def _warn_of_one_hot(y: Any, form: str, lengths: IntArray) -> None:
    """Warn if labels of steps may be zeros and a one for the class of each sequence."""
    k = int(lengths[0])
    if k < 2 or (lengths != k).any() or (form == "list" and (validation.counts_of(y) != k).any()):
        return
    values = np.asarray(y)
    if values.shape != (len(lengths), k) or values.dtype.kind not in "buif":
        return
    if ((values == 0) | (values == 1)).all() and (values.sum(axis=1) == 1).all() and values.any(axis=0).all():
        validation.warn(
            f"y has one 1 and {k - 1} zeros for each sequence of {k} steps, and is read as one label per step: if it "
            "says which class a sequence has, pass numpy.argmax(y, axis=1); pass targets='step' if labels of steps are "
            "meant"
        )


def check_form(form: str, targets: str, y: Any) -> None:
    """Raise unless y, of this form, has the labels that it is said to have."""
    if targets == "auto" or (form == "sequence") == (targets == "sequence"):
        return
    shape = f"an array of shape {np.shape(y)}" if hasattr(y, "shape") else f"a list of {len(y)}"
    found, other = ("one label per sequence", "sequence") if form == "sequence" else ("one label per step", "step")
    raise ValueError(
        f"y is {shape} with {found}; one label per {targets} is expected, by the setting targets or as in the first "
        f"call; pass such labels, or targets={other!r} to fit"
    )


def check_labels_of_sequences(y: Any, lengths: IntArray, ignore_label: Any = None) -> Array:
    """Return the labels to compare predictions with, one for each sequence."""
    _refuse_masked_and_sparse(y)
    labels = as_labels(_of_one_axis(validation.in_lists(y)), ignore_label=ignore_label)
    check_n_targets(len(labels), lengths)
    return labels


def _refuse_masked_and_sparse(y: Any) -> None:
    """Raise an error for targets with masked values, and for sparse matrices, as a whole or one per sequence."""
    validation.refuse_masked("y", y)
    validation.refuse_sparse("y", y)
    if is_list(y) and getattr(y, "ndim", 1) > 0 and any(map(issparse, y)):
        i = next(i for i, one in enumerate(y) if issparse(one))
        validation.refuse_sparse(f"y[{i}]", y[i])


def _n_axes(y: Any) -> int:
    """How many axes y has as far as it says itself, or its first element does: it may be no array yet."""
    if hasattr(y, "ndim"):
        return int(y.ndim)
    return 1 + np.ndim(y[0]) if isinstance(y, (list, tuple)) and len(y) else 1


def _of_one_axis(y: Any) -> Any:
    """Labels of a list in which each has an axis of its own, without that axis."""
    if not _are_nested(y) or (validation.counts_of(y) != 1).any():
        return y
    column_or_1d(np.zeros((len(y), 1)), warn=True)  # which says that one axis is due
    return [next(iter(labels)) for labels in y]


def check_weights_of_score(weights: FloatArray | None, present: slice | BoolArray) -> FloatArray | None:
    """Return the weights of the targets that are there, or raise if all of those are zero."""
    if weights is None:
        return None
    found: FloatArray = weights[present]
    if not found.any():
        raise ValueError("sample_weight is zero wherever y has a target; give some of those a positive weight")
    return found


def check_labels_per_step(y: Any, lengths: IntArray, ignore_label: Any = None) -> Array:
    """Return the labels of all steps, one sequence after the other."""
    _refuse_masked_and_sparse(y)
    y = validation.in_lists(y)
    form = "sequence" if y is None else _form_of_labels(y, of_steps=True)
    if form == "sequence" or len(y) != len(lengths):
        found = "is None" if y is None else f"has {len(y)} entries" if form == "sequence" else f"has {len(y)} sequences"
        raise ValueError(
            f"y {found} for the {len(lengths)} sequences of X; pass one label for each step of X, as it had in fit"
        )
    return _labels_per_step(y, form, lengths, ignore_label)


def _labels_per_step(y: Any, form: str, lengths: IntArray, ignore_label: Any = None) -> Array:
    if (column := _plain_column(y, form)) is not None:
        check_one_per_step(_counts(y, form), "y", y, form, lengths, "label")
        return column
    rows = _rows_of_steps("y", y, form)
    if form == "array" and rows.dtype == object:
        try:
            check_one_per_step(_counts(rows, form), "y", y, form, lengths, "label")
            return as_labels(rows.ravel(), "y", ignore_label)
        except TypeError:
            pass  # which says below what is wrong, and in which row
    columns = [as_labels(labels, f"y[{i}]", ignore_label) for i, labels in enumerate(rows)]
    check_one_per_step(validation.counts_of(columns), "y", y, form, lengths, "label")
    for column in columns[1:]:
        check_comparable(column, columns[0], strict=True)
    return np.concatenate(columns)


def _weights_per_step(weights: Any, form: str, lengths: IntArray) -> Array:
    if (column := _plain_column(weights, form)) is not None:
        check_one_per_step(_counts(weights, form), "sample_weight", weights, form, lengths, "weight")
        return column
    columns = [column_or_1d(row) for row in _rows_of_steps("sample_weight", weights, form)]
    check_one_per_step(validation.counts_of(columns), "sample_weight", weights, form, lengths, "weight")
    return np.concatenate(columns)


def _plain_column(y: Any, form: str) -> Array | None:
    """The entries of all steps, if none of them has to be looked at; None otherwise."""
    if form == "array":
        return y.ravel() if type(y) is np.ndarray and y.dtype.kind in PLAIN_KINDS else None
    if validation.are_alike(y) and y[0].ndim == 1 and y[0].dtype.kind in PLAIN_KINDS:
        return np.concatenate(y)
    return None


def _counts(y: Any, form: str) -> IntArray:
    return np.full(len(y), y.shape[1]) if form == "array" else validation.counts_of(y)


def _rows_of_steps(name: str, y: Any, form: str) -> Any:
    validation.refuse_masked(name, y)
    for i, labels in enumerate(y if form == "list" else ()):
        validation.refuse_masked(f"{name}[{i}]", labels)
    return np.asarray(y) if form == "array" else y


def check_one_per_step(counts: IntArray, name: str, y: Any, form: str, lengths: IntArray, what: str) -> None:
    """Raise unless there is one entry for each step of every sequence."""
    wrong = np.flatnonzero(counts != lengths)
    if not len(wrong):
        return
    i = int(wrong[0])
    found = f"{name}[{i}] has {counts[i]} {what}s and X[{i}] has {lengths[i]} steps"
    if form == "array":
        raise ValueError(
            f"{name} should be a 1d array, one {what} per sequence, or have one {what} per step, and has the shape "
            f"{np.shape(y)}: {found}"
            + ("; several labels at once take loss='sigmoid_cross_entropy'" if name == "y" else "")
        )
    raise ValueError(f"{found}; pass one {what} per step")


def _form_of_labels(y: Any, *, of_steps: bool = False) -> str:
    """One label per sequence may have an axis of its own, unless there is one per step."""
    if getattr(y, "ndim", 1) == 2:
        return "array" if y.shape[1] > 1 or of_steps else "sequence"
    return "list" if _are_nested(y) and (of_steps or (validation.counts_of(y) != 1).any()) else "sequence"


def _are_nested(y: Any) -> bool:
    """Whether y is a list, or an array of objects, each of which has an axis."""
    if getattr(y, "ndim", 1) == 2:
        return False
    if not isinstance(y, (list, tuple)) and getattr(getattr(y, "dtype", None), "kind", "") != "O":
        return False
    if validation.are_alike(y):
        return bool(y[0].ndim == 1)
    return len(y) > 0 and all(hasattr(labels, "__len__") and np.ndim(labels) == 1 for labels in y)


def check_values(
    y: Any,
    lengths: IntArray,
    *,
    targets: str = "auto",
    stateful: bool = False,
    sequences: Sequences | None = None,
    dtype: DTypeLike | None = np.float64,
) -> tuple[FloatArray, BoolArray, str, bool]:
    """Return targets of a regression, a row each, which of them are there, and how y held them.

    Parameters
    ----------
    y : array-like of shape (n_sequences,) or (n_sequences, k), or (n_sequences, n_steps[, k]), or list of arrays
        Values: one, or k of them, per sequence; or per step, with NaN where there is none.
    lengths : ndarray of shape (n_sequences,)
        Numbers of steps of the sequences.
    targets : {"auto", "sequence", "step"}, default="auto"
        Whether y has values of sequences or of steps, as the user says it; see `values_and_form`.
    stateful : bool, default=False
        Whether values are those of steps wherever there are several.
    sequences : Sequences, optional
        Observations of X, which may tell what y is.
    dtype : dtype or None, default=float64
        Type of the values; None leaves them as y has them, so that y itself may be returned.

    Returns
    -------
    values : ndarray of shape (n_rows, k)
        Values, with 0 where there is none.
    present : ndarray of shape (n_rows,), bool
        Whether there are values, for each row of ``values``.
    form : {"sequence", "array", "list"}
        How y held them, as `check_labels` says it.
    single : bool
        Whether y has no axis of length k.
    """
    _refuse_masked_and_sparse(y)
    y = validation.in_lists(y)
    if not isinstance(y, (list, tuple)):
        y = np.asarray(y)
        if not y.ndim:
            raise ValueError(f"y is {y!r}; pass one target per sequence, or one array of them")
    check_n_targets(len(y), lengths)
    if stateful and targets == "auto" and (getattr(y, "ndim", 1) > 1 or (is_list(y) and hasattr(y[0], "__len__"))):
        targets = "step"
    values, form = values_and_form(y, lengths, targets, sequences)
    single = values.ndim == 1
    values = values.reshape(len(values), -1)
    present, i = _present_values(values, may_be_missing=form != "sequence")
    if i is not None:
        where = f"index {i}" if form == "sequence" else f"step {i} of all"
        remedy = (
            "leave these sequences out" if form == "sequence" else "pass NaN for all values of a step without a target"
        )
        if form == "sequence" and values.shape[1] > 1:
            remedy += ", or pass targets='step' if y has one value per step, NaN where there is none"
        raise ValueError(f"Input y contains NaN or infinity, first at {where}; {remedy}")
    if not present.any():
        raise ValueError("y is NaN everywhere; give some steps a target")
    if not present.all():
        values = np.where(present[:, None], values, values.dtype.type(0))
    return values if dtype is None else values.astype(dtype, copy=False), present, form, single


def _present_values(values: Array, *, may_be_missing: bool) -> tuple[BoolArray, int | None]:
    """Which rows have values, and the first row that is infinite or has only some values, or None."""
    present = np.ones(len(values), bool)
    if values.dtype.kind != "f":
        return present, None
    for rows in validation.blocks(len(values)):
        missing = np.isnan(values[rows])
        present[rows] = ~missing.all(axis=1)
        partly = missing.any(axis=1) & present[rows] if may_be_missing else missing.any(axis=1)
        wrong = np.isinf(values[rows]).any(axis=1) | partly
        if wrong.any():
            return present, rows.start + int(wrong.argmax())
    return present, None


def check_n_targets(n: int, lengths: IntArray) -> None:
    """Raise unless y has an entry for each sequence of X."""
    if n == len(lengths):
        return
    remedy = "pass one target per sequence, or one array of them"
    if n == lengths.sum():
        one = len(lengths) == 1
        remedy = (
            "for one target per step of this sequence pass [y]"
            if one
            else "for one target per step pass np.split(y, np.cumsum(lengths)[:-1]), of the lengths of the sequences"
        )
    elif n == 1:
        remedy = "a single sequence x is passed in a list, [x]"
    raise ValueError(
        f"Found input variables with inconsistent numbers of samples: X has {len(lengths)} sequences and y has "
        f"{n} entries; {remedy}"
    )


def mean_and_deviation(values: FloatArray, weights: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    """Return the weighted mean and the standard deviation of each column; of a column of one value it is 1."""
    if len(values) <= validation.BLOCK:
        return _mean_and_deviation(values.astype(np.float64), weights)
    most = 1.0 if weights is None else float(weights.max())
    total, sums, largest = 0.0, np.zeros(values.shape[1]), np.zeros(values.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):  # which `check_scaled_values` finds
        for rows in validation.blocks(len(values)):
            some, shares = _rows_with_weight(values, weights, rows, most)
            total += float(shares.sum())
            sums += shares @ some
            largest = np.maximum(largest, np.abs(some).max(axis=0, initial=0.0))
        mean, squares = sums / total, np.zeros(values.shape[1])
        for rows in validation.blocks(len(values)):
            some, shares = _rows_with_weight(values, weights, rows, most)
            squares += shares @ (some - mean) ** 2
        spread = np.sqrt(squares / total)
    return mean, np.where(spread > 1e-12 * largest, spread, 1.0)


def _mean_and_deviation(values: FloatArray, weights: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    """As `mean_and_deviation`, of values that are few enough to be looked at together."""
    with np.errstate(over="ignore", invalid="ignore"):
        if weights is None:
            mean, spread, largest = values.mean(axis=0), values.std(axis=0), np.abs(values).max(axis=0)
        else:
            weights = weights.astype(np.float64, copy=False)
            values, shares = values[weights > 0], weights[weights > 0] / weights.max()
            shares = shares / shares.sum()
            mean, largest = shares @ values, np.abs(values).max(axis=0)
            spread = np.sqrt(shares @ (values - mean) ** 2)
    return mean, np.where(spread > 1e-12 * largest, spread, 1.0)


def _rows_with_weight(
    values: Array, weights: FloatArray | None, rows: slice, most: float
) -> tuple[FloatArray, FloatArray]:
    """Rows of values that have a weight, and their weights divided by the largest one."""
    some = values[rows].astype(np.float64)
    if weights is None:
        return some, np.ones(len(some))
    are_there = weights[rows] > 0
    return some[are_there], weights[rows][are_there].astype(np.float64) / most


def scaled_values(
    values: Array, weights: FloatArray | None, mean: FloatArray, deviation: FloatArray, dtype: DType
) -> FloatArray:
    """Return values by their deviation from the mean, 0 where there is no weight, or raise if they are too large."""
    found, largest = np.empty(values.shape, dtype), 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for rows in validation.blocks(len(values)):
            some = (values[rows] - mean) / deviation
            if weights is not None:
                some[weights[rows] == 0] = 0.0
            largest = max(largest, float(np.abs(some).max(initial=0)))
            found[rows] = some
    check_scaled_values(largest, deviation, dtype)
    return found


def check_scaled_values(largest: float, deviation: FloatArray, dtype: DType) -> None:
    """Raise if targets, by their deviation, are too large to compute with."""
    if not (np.isfinite(deviation).all() and largest < float(np.finfo(dtype).max)):
        raise ValueError(f"y has values too large for {np.dtype(dtype)}, or with too large a variance; rescale y")


def check_indicators(y: Any, lengths: IntArray, *, ignore_label: Any = None) -> tuple[FloatArray, BoolArray, str]:
    """Return which labels every sequence or step has, and how y held that.

    Parameters
    ----------
    y : array-like of shape (n_sequences, n_labels) or (n_sequences, n_steps, n_labels), or list of arrays
        Ones and zeros; a list holds a row per sequence, or an array of shape (n_steps_i, n_labels).  An array with two
        dimensions may be a sparse matrix.
    lengths : ndarray of shape (n_sequences,)
        Numbers of steps of the sequences.
    ignore_label : number or None
        Value that fills a row about which nothing is known.

    Returns
    -------
    values : ndarray of shape (n_rows, n_labels), float64
        Ones and zeros, with 0 where nothing is known.
    present : ndarray of shape (n_rows,), bool
        Whether something is known, for each row of ``values``.
    form : {"sequence", "array", "list"}
        How y held them, as `check_labels` says it.
    """
    y = as_dense(y, "y") if issparse(y) else validation.in_lists(y)
    items = _items_of_values(y) if len(y) == len(lengths) else None
    if items is not None and items[0].ndim == 2:
        form = "list"
        counts = validation.counts_of(items)
        if (counts != lengths).any():
            i = int((counts != lengths).argmax())
            raise ValueError(f"y[{i}] has {counts[i]} rows and X[{i}] has {lengths[i]} steps; pass one row per step")
        values = validation.as_numbers(np.concatenate(items), "y", np.float64)
    else:
        values = validation.as_numbers(y, "y", np.float64)
        if values.ndim not in (2, 3):
            raise ValueError(
                f"y has the shape {values.shape}; with this loss a sequence, or each of its steps, has several labels: "
                "pass an indicator matrix of zeros and ones, (n_sequences, n_labels), or a loss of class numbers"
            )
        check_n_targets(len(values), lengths)
        form = "sequence" if values.ndim == 2 else "array"
        if form == "array" and (lengths != values.shape[1]).any():
            i = int(np.flatnonzero(lengths != values.shape[1])[0])
            raise ValueError(
                f"y[{i}] has {values.shape[1]} rows and X[{i}] has {lengths[i]} steps; pass one row per step"
            )
        values = values.reshape(len(values) * (values.shape[1] if form == "array" else 1), values.shape[-1])
    if not values.shape[1]:
        raise ValueError("y has no columns; pass one column for each label")
    present = np.ones(len(values), bool)
    if ignore_label is not None:
        present = np.any(differs(values.ravel(), ignore_label).reshape(values.shape), axis=1)
    wrong = present & ~np.all(np.isin(values, (0, 1)), axis=1)
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        found = values[i][~np.isin(values[i], (0, 1))][0]
        where = f"index {i}" if form == "sequence" else f"row {i} of all steps"
        raise ValueError(f"y contains {found:g}, first at {where}; pass 1 for a label that is there, and 0 for others")
    return np.where(present[:, None], values, 0.0), present, form


def _items_of_values(y: Any) -> list[FloatArray] | None:
    """The arrays of a list of them, or None if y is no such list."""
    if not (isinstance(y, (list, tuple)) or getattr(getattr(y, "dtype", None), "kind", "") == "O"):
        return None
    if validation.are_alike(y) and y[0].dtype.kind in "buif":
        return list(y) if y[0].ndim in (1, 2) else None
    if not all(hasattr(item, "__len__") for item in y):
        return None
    items = [validation.as_numbers(item, f"y[{i}]", np.float64) for i, item in enumerate(y)]
    return items if len({item.shape[1:] for item in items}) == 1 and items[0].ndim in (1, 2) else None


def classes_there(targets: Array, weights: FloatArray | None, n_classes: int) -> IntArray:
    """Numbers of the classes that occur with a positive weight."""
    is_there = np.zeros(n_classes, bool)
    for rows in validation.blocks(len(targets)):
        is_there[targets[rows] if weights is None else targets[rows][weights[rows] > 0]] = True
    return np.flatnonzero(is_there)


def check_several_classes(classes: Array, present: Array) -> None:
    """Raise unless at least two classes, of these numbers, are left to learn."""
    if not len(present):
        raise ValueError("y has no label of positive weight; give at least two classes a positive weight")
    if len(present) < 2:
        label = classes[present[0]]
        label = label.item() if isinstance(label, np.generic) else label
        raise ValueError(
            f"y has one class only, {label!r}, among the sequences of positive weight; "
            "RNNClassifier needs at least two classes"
        )


def check_sample_weight(sample_weight: Any, lengths: IntArray, *, per_step: bool = False) -> FloatArray | None:
    """Return the weights as a float64 array, or None if there are none.

    Parameters
    ----------
    sample_weight : None, array-like of shape (n_sequences,) or (n_sequences, n_steps), or list of arrays
        Weights: one per sequence, or, with targets at each step, one per step.
    lengths : ndarray of shape (n_sequences,)
        Numbers of steps of the sequences.
    per_step : bool, default=False
        Whether there are targets at each step.

    Returns
    -------
    ndarray of shape (n_sequences,) or (n_steps,), or None
        Weights, in the second shape if ``per_step``.
    """
    n_sequences = len(lengths)
    if sample_weight is None:
        return None
    sample_weight = validation.in_lists(sample_weight)
    form = _form_of_labels(sample_weight, of_steps=per_step)
    if per_step and form != "sequence" and len(sample_weight) == n_sequences:
        sample_weight = _weights_per_step(sample_weight, form, lengths)
        n_weights = int(lengths.sum())
    else:
        n_weights = n_sequences
    weights = validation.as_numbers(sample_weight, "sample_weight", np.float64)
    if weights.ndim != 1 or len(weights) != n_weights:
        raise ValueError(f"sample_weight has the shape {weights.shape}; pass one weight per sequence, ({n_sequences},)")
    if not np.isfinite(weights).all():
        i = int(np.flatnonzero(~np.isfinite(weights))[0])
        raise ValueError(f"sample_weight contains NaN or infinity, first at index {i}; pass finite weights")
    if weights.min() < 0:
        i = int(np.flatnonzero(weights < 0)[0])
        raise ValueError(f"sample_weight is negative, first at index {i} ({weights[i]:g}); pass weights >= 0")
    if not weights.any():
        raise ValueError("sample_weight is zero everywhere; give some sequences a positive weight")
    if per_step and n_weights == n_sequences:
        weights = np.repeat(weights, lengths)
    found: FloatArray = weights
    return found


def weights_of_present(weights: FloatArray | None, present: BoolArray) -> FloatArray | None:
    """The weights of targets, 0 where there is none; None if all are 1."""
    if present.all():
        return weights
    return present.astype(np.float32) if weights is None else np.where(present, weights, 0.0)


def check_classes(classes: Any, fitted: Array | None) -> Array:
    """Return the labels of all calls of partial_fit, sorted: ``fitted`` ones of earlier calls, or those given first."""
    if classes is None:
        if fitted is None:
            raise ValueError("classes is None in the first call of partial_fit; pass all labels that there will be")
        return fitted
    with validation.naming("classes"):
        labels = as_labels(validation.in_lists(classes), "classes")
    found = np.unique(check_label_column(labels, "index {} of classes".format)[0])
    if fitted is not None and not np.array_equal(found, fitted):
        raise ValueError(f"classes is {found.tolist()}, and was {fitted.tolist()} before; pass the same, or None")
    if len(found) < 2:
        raise ValueError(f"classes is {found.tolist()}; pass at least two")
    return found


def numbers_of_classes(labels: Array, classes: Array, targets: IntArray, weights: FloatArray | None) -> IntArray:
    """The places among the classes of targets, which are places among the labels; raise if one is not there.

    What has no weight is left out, whatever its label is.
    """
    known = {label: i for i, label in enumerate(classes.tolist())}
    are_needed = np.ones(len(labels), bool)
    if weights is not None:
        are_needed = np.bincount(targets, weights > 0, minlength=len(labels)) > 0
    for label, is_needed in zip(labels.tolist(), are_needed.tolist(), strict=True):
        if label not in known and is_needed:
            raise ValueError(
                f"y has the label {label!r}, which is not among the classes {classes.tolist()}; pass all labels as "
                "classes in the first call of partial_fit"
            )
    return np.array([known.get(label, 0) for label in labels.tolist()], np.intp)[targets]


def check_class_weight(
    class_weight: Any, classes: Array, targets: Array, weights: FloatArray | None, *, partial: bool = False
) -> FloatArray | None:
    """Return the weight of every target, that of its class times its own, or None if all are 1.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
        Weights >= 0 by label, 1 where there is none; "balanced" is n / (n_classes * n of the class), where n counts
        a target by its own weight.
    classes : ndarray
        The labels, sorted.
    targets : ndarray
        Class numbers as `check_labels` returns them.
    weights : ndarray or None
        Weights of the targets themselves, 0 where there is no target; None if all are 1.
    partial : bool, default=False
        Whether there are more labels than these.
    """
    if class_weight is None:
        return weights
    if isinstance(class_weight, str) and class_weight == "balanced":
        if partial:
            raise ValueError(
                "class_weight is 'balanced', but partial_fit does not see all of y; pass a dict of weights instead"
            )
        own = np.ones(len(targets)) if weights is None else weights.astype(np.float64) / weights.max()
        counts = np.bincount(targets, own, minlength=len(classes))
        are_there = counts > 0
        of_class = np.zeros(len(classes))
        of_class[are_there] = counts.sum() / (are_there.sum() * counts[are_there])
        return _product(of_class[targets], weights)
    if not isinstance(class_weight, dict):
        raise TypeError(f"class_weight is {class_weight!r}; pass a dict of weights by label, 'balanced' or None")
    known = {label.item() if isinstance(label, np.generic) else label: i for i, label in enumerate(classes)}
    of_class = np.ones(len(classes))
    for label, weight in class_weight.items():
        label = label.item() if isinstance(label, np.generic) else label
        if label not in known:
            raise ValueError(
                f"class_weight has the label {label!r}, which y does not have; the labels are {list(known)}"
            )
        of_class[known[label]] = validation.check_number(f"class_weight[{label!r}]", weight)
    return _product(of_class[targets], weights)


def _product(of_classes: FloatArray, weights: FloatArray | None) -> FloatArray:
    if weights is None:
        return of_classes
    with np.errstate(over="ignore"):
        found: FloatArray = of_classes * weights
    if not np.isfinite(found).all():
        raise ValueError("class_weight times sample_weight is too large a number; pass smaller weights")
    return found
