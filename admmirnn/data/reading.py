"""X in any of its forms is read as `Sequences`; every message names the place of what is wrong."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import check_array, validate_data

from admmirnn import validation
from admmirnn.data.indexed import warn_of_order_of_times
from admmirnn.data.missing import Gaps, filled, nan_for_missing, without_masks
from admmirnn.data.names import as_fitted, feature_names, in_one_order, names_of
from admmirnn.data.sequences import OBSERVATION_DTYPES, Sequences, as_read
from admmirnn.data.sparse import MOST_COLUMNS, SparseRows, as_csr, in_rows
from admmirnn.data.stored import StoredSequences

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from admmirnn._typing import Array, DType, Frame


def framed(sequences: Sequences, frame: Frame) -> Sequences:
    """Return the sequences in frames (length, stride) of observations, or raise if one is too short for that."""
    if tuple(frame) == (1, 1):
        return sequences
    short = np.flatnonzero(sequences.lengths < frame[0])
    if len(short):
        i = int(short[0])
        raise ValueError(
            f"X[{i}] has {sequences.lengths[i]} steps, fewer than the frame of {frame[0]}; leave it out, or pass a "
            "shorter frame"
        )
    return sequences.framed(*frame)


def read_sequences(
    estimator: Any, X: Any, dtype: DType, scale: float = 1.0, names: Array | None = None, gaps: Gaps | None = None
) -> tuple[Sequences, dict[str, Any]]:
    """Read X in any of its forms, for fit.

    Parameters
    ----------
    estimator : estimator
        Estimator that reads X; it is not changed.
    X : array-like of shape (n_sequences, n_steps, n_features) or (n_sequences, n_steps), or list of arrays
        Sequences; a list holds arrays of shape (n_steps_i, n_features), or (n_steps_i,) for one feature, or sparse
        matrices of scipy of shape (n_steps_i, n_features), which are not made dense.
    dtype : dtype
        Precision of the network, float32 or float64.
    scale : float, default=1.0
        Factor by which observations are multiplied when a minibatch is made.
    names : ndarray of str, optional
        Names of the features in the order in which they are read; by default, that of the first sequence.
    gaps : Gaps, optional
        Treatment of missing values, which are refused by default.

    Returns
    -------
    Sequences
        Sequences of C-contiguous observations, finite in ``dtype``: those of X itself where the kernels can read them
        as they are, otherwise converted to ``dtype``.
    dict
        The attributes that tell a fitted estimator what X was like: ``n_features_in_``, if features have names
        ``feature_names_in_``, and ``_n_table_columns``, None when X was no table; ``_missing``, and ``fill_values_``,
        None when missing values are refused.
    """
    gaps = gaps or Gaps()
    kind, X, order = _kind_of(X if gaps.way == "refuse" else without_masks(X), names)
    if kind != "table":
        sequences = _read_nested(kind, X, dtype, scale)
        of_nested = {"n_features_in_": sequences.n_features, "_n_table_columns": None}
        sequences, of_gaps = _without_gaps(sequences, gaps, dtype, X)
        return sequences, of_nested | of_gaps | feature_names(order)
    refuse_nested_table(X)
    refuse_long_table(X)
    probe = copy.copy(estimator)
    sequences = _read_table(validate_data(probe, X, reset=True, **_TABLE), dtype, scale)
    sequences, of_gaps = _without_gaps(sequences, gaps, dtype, X)
    attributes = of_gaps | {"n_features_in_": probe.n_features_in_, "_n_table_columns": probe.n_features_in_}
    if hasattr(probe, "feature_names_in_"):
        attributes["feature_names_in_"] = probe.feature_names_in_
    return sequences, attributes


def read_more_sequences(
    estimator: Any,
    X: Any,
    n_features: int,
    dtype: DType,
    scale: float = 1.0,
    standard: Array | None = None,
    gaps: Gaps | None = None,
    *,
    of_table: bool = False,
) -> Sequences:
    """Read X in any of its forms, for predict: its observations must have ``n_features`` features.

    ``standard`` are the means and factors that they are standardised with, and ``gaps`` says what is done about missing
    values.  ``of_table`` says whether the estimator was fitted on a table, whose columns another one has to have then.
    """
    gaps = gaps or Gaps()
    known = None if of_table else getattr(estimator, "feature_names_in_", None)
    kind, X, names = _kind_of(X if gaps.way == "refuse" else without_masks(X), known)
    if kind == "table":
        refuse_nested_table(X)
    if kind != "table":
        as_fitted(names, known, type(estimator).__name__)
        sequences = _read_nested(kind, X, dtype, scale)
    elif of_table:
        sequences = _read_table(validate_data(estimator, X, reset=False, **_TABLE), dtype, scale)
    else:  # fitted on sequences: a table of any number of columns will do
        refuse_one_sequence(X, n_features)
        refuse_long_table(X)
        sequences = _read_table(check_array(X, input_name="X", **_TABLE), dtype, scale)
    if sequences.n_features != n_features:
        remedy = "pass the features it was fitted with"
        if kind == "table":
            remedy = f"pass a list of arrays (n_steps_i, {n_features}); a table has one feature"
        elif kind == "array" and X.shape[1] == n_features:
            remedy += ", which are in its second axis: X.transpose(0, 2, 1) has them in the last one"
        elif kind in ("list", "sparse") and np.shape(X[0])[:1] == (n_features,):
            remedy += ", which are in the first axis of X[0]: [x.T for x in X] has them in the last one"
        raise ValueError(
            f"X has {sequences.n_features} features, but {type(estimator).__name__} is expecting {n_features} "
            f"features as input: {remedy}"
        )
    return _without_gaps(replace(sequences, standard=standard), gaps, dtype, X)[0]


def refuse_one_sequence(X: Any, n_features: int) -> None:
    """Raise if a table is one sequence of observations with these features, and not one sequence per row."""
    shape = np.shape(X)
    if len(shape) == 2 and shape[1] == n_features:
        raise ValueError(
            f"X has the shape {shape}, one sequence of {shape[0]} steps with the {n_features} feature(s) the estimator "
            "was fitted with: pass it in a list, [X]; in a table every row is a sequence of one feature"
        )


def refuse_long_table(X: Any) -> None:
    """Raise if the columns of a frame are features and not steps, so that its rows are no sequences."""
    labels = names_of(X)
    if not labels or are_steps(labels):
        return
    raise ValueError(
        f"X is a table with the columns {[str(label) for label in labels[:6]]}, which look like features of an "
        "observation per row, and not like steps: make sequences of it with admmirnn.sequences_from_table(X, "
        "series=..., time=..., label=...), or pass [X] if it is a single sequence; if every row is a sequence, and "
        "every column a step, pass X.to_numpy()"
    )


def refuse_nested_table(X: Any) -> None:
    """Raise if the cells of a frame are series."""
    labels = names_of(X)
    if not labels:
        return
    cell: Any = next(iter(X[labels[0]]), None)
    cell = cell.as_py() if hasattr(cell, "as_py") else cell
    if hasattr(cell, "__len__") and not isinstance(cell, (str, bytes)):
        raise ValueError(
            f"X is a table whose cells hold series, as {labels[0]!r} does: pass admmirnn.sequences_from_nested(X)"
        )


_NUMBERED = re.compile(r"(.*?)(-?\d+(?:\.\d+)?)(\D*)", re.DOTALL)


def are_steps(labels: Sequence[Any]) -> bool:
    """Whether the columns of a table are numbered, as steps are: t0, t1, t2, or lag3, lag2, lag1; or times."""
    if not any(isinstance(label, str) for label in labels):
        return True
    found = [_NUMBERED.fullmatch(str(label)) for label in labels]
    parts = [(match[1], match[3], float(match[2])) for match in found if match]
    if len(parts) < len(labels) or len({part[:2] for part in parts}) > 1:
        return _are_times(labels)
    numbers = np.array([part[2] for part in parts])
    return len(numbers) > 0 and bool((np.diff(numbers) > 0).all() or (np.diff(numbers) < 0).all())


def _are_times(labels: Sequence[Any]) -> bool:
    try:
        times = np.array([str(label) for label in labels], dtype="datetime64")
    except ValueError:
        return False
    return bool((np.diff(times) > np.timedelta64(0)).all())


def warn_of_single_steps(sequences: Sequences) -> None:
    """Warn if all sequences have a single step, in which there is nothing to remember."""
    if len(sequences) < 2 or sequences.lengths.max() > 1:
        return
    n, d = len(sequences), sequences.n_features
    what = "the column of X is one series" if d == 1 else f"X is one series of {n} steps and {d} features"
    validation.warn(
        f"X has {n} sequences of a single step each, so that there is nothing to remember: if {what}, pass it in a "
        "list of one array, fit([x], [y]) with x of shape (n_steps, n_features) and one target per step in y, or cut "
        "it into windows; arrays (n_sequences, n_features, n_steps) are X.transpose(0, 2, 1)",
    )


_TABLE = {"dtype": None, "order": "C", "ensure_all_finite": False}  # values are checked with their place


def _read_nested(kind: str, X: Any, dtype: DType, scale: float) -> Sequences:
    if kind == "stored":
        return Sequences.of_lengths(X.observations, X.lengths, scale)
    if kind == "sparse":
        return _read_sparse(X, dtype, scale)
    return _read_array(X, dtype, scale) if kind == "array" else _read_list(X, dtype, scale)


def _read_table(table: Any, dtype: DType, scale: float) -> Sequences:
    """Read a table, each row of which is a sequence of one feature."""
    table = as_observations(table, "X", dtype)
    return Sequences.of_lengths(table.reshape(-1, 1), np.full(len(table), table.shape[1]), scale)


def _kind_of(X: Any, names: Array | None = None) -> tuple[str, Any, list[Any] | None]:
    """Say which form X has: "table" (2-D), "array" (3-D), "list", "sparse" (a list), "stored"; and X and its names."""
    if issparse(X):
        raise TypeError(
            f"X is one sparse matrix of the shape {X.shape}: pass a list with a sparse matrix (n_steps_i, n_features) "
            "for each sequence, [X] if it is one sequence; if each of its rows is a sequence of one feature, pass "
            "X.toarray()"
        )
    if isinstance(X, StoredSequences):
        return "stored", X, None
    if validation.are_alike(X) and X[0].ndim == 2:
        return "list", X, None
    refuse_no_sequences(X)
    validation.refuse_masked("X", X)
    X = validation.in_lists(X)
    of_dicts = isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1 and len(X) and isinstance(X[0], Mapping)
    if of_dicts or (hasattr(X, "iloc") and getattr(X, "ndim", 2) == 1):
        X = list(X)
    if isinstance(X, (list, tuple)):
        if len(X) == 0:
            raise ValueError("X is an empty list; pass at least one sequence (0 sample(s) found)")
        if any(map(issparse, X)):
            refuse_other_than_sparse(X)
            return "sparse", X, None
        warn_of_order_of_times(X)
        X, found = in_one_order(X, names)
        kind, X = _kind_of_list(X)
        return kind, X, found
    if names_of(X) is not None or not hasattr(X, "__array__"):
        return "table", X, None
    X = X if isinstance(X, np.ndarray) else np.asarray(X)
    if X.ndim == 3:
        return "array", X, None
    if X.ndim > 3:
        raise ValueError(
            f"X has {X.ndim} dimensions; pass (n_sequences, n_steps, n_features), or (n_sequences, n_steps)"
        )
    refuse_one_series(X.shape)
    return "table", X, None


def refuse_other_than_sparse(X: Sequence[Any]) -> None:
    """Raise unless all sequences are sparse matrices with two axes."""
    for i, item in enumerate(X):
        if not issparse(item):
            j = next(j for j, other in enumerate(X) if issparse(other))
            raise TypeError(
                f"X[{i}] is of type {type(item).__name__}, and X[{j}] is a sparse matrix; pass all sequences in one "
                f"form, such as scipy.sparse.csr_array(X[{i}])"
            )
        if item.ndim != 2:
            raise ValueError(
                f"X[{i}] is sparse and has {item.ndim} dimension(s); every sequence must have 2, (n_steps, n_features)"
            )


def refuse_no_sequences(X: Any) -> None:
    """Raise if X is text, a dict, or nothing."""
    if isinstance(X, (str, bytes, os.PathLike)):
        raise TypeError(f"X is {X!r:.60}; read the file, and pass its sequences as a list of arrays")
    if isinstance(X, Mapping):
        raise TypeError(
            f"X is a dict with the keys {list(X)[:4]}; pass list(X.values()) if its values are sequences, or, if its "
            "keys are features, [X] for one sequence, and a list with one such dict per sequence"
        )
    if not any(hasattr(X, name) for name in ("__len__", "__array__", "shape")) or isinstance(X, (Set, type)):
        raise TypeError(
            f"X is {X!r:.60} of type {type(X).__name__}; pass an array (n_sequences, n_steps, n_features), or a list "
            "of arrays (n_steps_i, n_features)"
        )


def refuse_one_series(shape: tuple[int, ...]) -> None:
    """Raise if X has one axis, or none."""
    if len(shape) == 1:
        raise ValueError(
            f"X has the shape {shape}, of one series or observation, and not of several sequences. Reshape your "
            "data into a list of arrays (n_steps_i, n_features): [np.asarray(X)[:, None]] for a series of one feature, "
            "[y] for its targets by step, as in fit([x[:-1, None]], [x[1:]]); or cut it into windows"
        )
    if not shape:
        raise ValueError("X is a single number; pass a list of arrays (n_steps_i, n_features)")


def _kind_of_list(X: Any) -> tuple[str, Any]:
    """Say which form a list has: "table" or "list"."""
    dimensions = [validation.n_dimensions(f"X[{i}]", item) for i, item in enumerate(X)]
    if set(dimensions) == {0} and isinstance(X[0], (str, bytes)):
        raise TypeError(
            f"X holds strings, the first of which is {X[0]!r:.60}: make a list of arrays (n_steps_i, n_features) of "
            "them; if they are lists written as text, pass [json.loads(x) for x in X]"
        )
    if set(dimensions) == {0}:
        refuse_one_series((len(X),))
    if set(dimensions) == {1} and len({len(item) for item in X}) > 1:
        return "list", [_column(item, i) for i, item in enumerate(X)]
    if set(dimensions) == {1}:
        return "table", X
    for i, dimension in enumerate(dimensions):
        if dimension != 2:
            raise ValueError(f"X[{i}] has {dimension} dimension(s); every sequence must have 2, (n_steps, n_features)")
    return "list", X


def _column(item: Any, i: int) -> Array:
    if len(item) == 0:
        raise ValueError(f"X[{i}] has no steps; remove the sequences of length 0")
    return np.asarray(item)[:, None]


def as_observations(values: Any, name: str, dtype: DTypeLike) -> Array:
    """Return a C-contiguous array that the kernels can read: as it is if they can, of another type otherwise.

    That is ``dtype`` where it has these numbers exactly, and float64 elsewhere: features are standardised before they
    are rounded, so that large counts and times keep what is in their last digits.
    """
    values = nan_for_missing(values)
    if isinstance(values, np.ndarray) and values.dtype in OBSERVATION_DTYPES:
        return np.require(values, requirements=["C_CONTIGUOUS", "ALIGNED"])
    try:
        exact: Array = validation.as_numbers(values, name, np.float64)
    except TypeError as error:
        raise _with_its_column(error, values, name) from error
    rounded = _without_loss(exact, dtype)
    return exact if rounded is None else rounded


def _without_loss(values: Array, dtype: DTypeLike) -> Array | None:
    """The same numbers as ``dtype`` has them, or None where it has not all of them."""
    with np.errstate(over="ignore"):
        rounded = values.astype(dtype, copy=False)
    return rounded if rounded is values or np.array_equal(rounded, values, equal_nan=True) else None


def _with_its_column(error: TypeError, values: Any, name: str) -> TypeError:
    """The error that values are no numbers, with the name of the column in which they stand, if it has one."""
    labels = None if issparse(values) else names_of(values)
    for label in labels or ():
        try:
            validation.as_numbers(nan_for_missing(np.asarray(values[label])), name, np.float64)
        except TypeError as of_column:
            said = str(of_column).removesuffix("; pass numbers")
            return TypeError(f"the column {label!r} of {said}; {validation.OTHER_THAN_NUMBERS}")
    return error


def _read_array(X: Array, dtype: DType, scale: float) -> Sequences:
    n_sequences, n_steps, n_features = X.shape
    if 0 in X.shape:
        raise ValueError(
            f"X has the shape {X.shape}: {n_sequences} sample(s), {n_steps} step(s), {n_features} feature(s); "
            "pass at least one of each"
        )
    observations = as_observations(X, "X", dtype).reshape(-1, n_features)
    return Sequences.of_lengths(observations, np.full(n_sequences, n_steps), scale)


def _read_list(X: Any, dtype: DType, scale: float) -> Sequences:
    if validation.are_alike(X) and X[0].dtype.kind in "buif":
        lengths = validation.counts_of(X)
        if X[0].shape[1] and lengths.min():
            return Sequences.of_lengths(as_observations(np.concatenate(X), "X", dtype), lengths, scale)
    arrays = [as_observations(item, f"X[{i}]", dtype) for i, item in enumerate(X)]
    _check_shapes([array.shape for array in arrays])
    return Sequences.of_lengths(np.concatenate(_of_one_type(arrays, dtype)), [len(array) for array in arrays], scale)


def _check_shapes(shapes: Sequence[tuple[int, ...]]) -> None:
    """Raise unless sequences have steps, and the same number of features."""
    for i, (n_steps, n_features) in enumerate(shapes):
        if n_steps == 0:
            raise ValueError(f"X[{i}] has no steps; remove the sequences of length 0")
        if n_features == 0:
            raise ValueError(f"X[{i}] has 0 features; every step needs at least one")
        if n_features != shapes[0][1]:
            remedy = "give every sequence the same features"
            if all(other[0] == n_steps for other in shapes):
                what = f"all have {n_steps} rows: if these are the features, and columns the steps"
                remedy += f"; {what}, pass [x.T for x in X]"
            raise ValueError(f"X[{i}] has {n_features} features and X[0] has {shapes[0][1]}; {remedy}")


def _of_one_type(arrays: list[Array], dtype: DType) -> list[Array]:
    """Arrays of one type: that of all, ``dtype`` if it has all of the numbers, or float64."""
    if len({array.dtype for array in arrays}) == 1:
        return arrays
    exact = [np.ascontiguousarray(array, np.float64) for array in arrays]
    rounded = [_without_loss(array, dtype) for array in exact]
    return exact if any(one is None for one in rounded) else [one for one in rounded if one is not None]


def _read_sparse(X: Sequence[Any], dtype: DType, scale: float) -> Sequences:
    """Read sparse matrices, one per sequence; their numbers are copied, and zeros are not made."""
    matrices = [in_rows(matrix, f"X[{i}]") for i, matrix in enumerate(X)]
    shapes = [matrix.shape for matrix in matrices]
    _check_shapes(shapes)
    if shapes[0][1] > MOST_COLUMNS:
        raise ValueError(f"X[0] has {shapes[0][1]} features; pass at most {MOST_COLUMNS}")
    rows = SparseRows.of(matrices, _values_of(matrices, dtype))
    if rows is None:
        matrices = [as_csr(matrix, f"X[{i}]") for i, matrix in enumerate(matrices)]
        rows = SparseRows.of(matrices, _values_of(matrices, dtype))
    assert rows is not None  # as their columns are in order now
    return Sequences.of_lengths(rows, [n_steps for n_steps, _ in shapes], scale)


def _values_of(matrices: list[Any], dtype: DType) -> list[Array]:
    arrays = [as_observations(matrix.data, f"X[{i}]", dtype) for i, matrix in enumerate(matrices)]
    return _of_one_type(arrays, dtype)


def _without_gaps(sequences: Sequences, gaps: Gaps, dtype: DType, given: Any) -> tuple[Sequences, dict[str, Any]]:
    """Sequences that are finite, and the attributes that tell how missing values were filled in."""
    n_features = sequences.n_features
    if gaps.way != "refuse" and isinstance(sequences.observations, SparseRows):
        raise ValueError(
            f"missing is {gaps.way!r} and X holds sparse matrices, whose missing values are not filled in; pass "
            "missing='refuse', or a list of arrays"
        )
    if gaps.way != "refuse":
        sequences, gaps = filled(sequences, gaps)
    _check_finite(sequences, dtype, given, n_features)
    return sequences, {"_missing": gaps.way, "fill_values_": gaps.values}


def _check_finite(sequences: Sequences, dtype: DType, given: Any, n_features: int) -> None:
    """Raise with the place of the first NaN or infinity, reading the observations a piece at a time."""
    is_sparse = isinstance(sequences.observations, SparseRows)
    found = _first_in_values(sequences, dtype) if is_sparse else _first_in_rows(sequences, dtype)
    if found is not None:
        row, feature, value = found
        i = int(np.searchsorted(sequences.first_rows, row, side="right")) - 1
        step = int(row - sequences.first_rows[i])
        where = f"sequence {i}, step {step}, feature {feature}"
        if not np.isnan(value) and _was_finite(given, i, step, feature % n_features):
            raise ValueError(
                f"X contains a value too large for {dtype} (it becomes infinity), first at {where}; rescale it"
            )
        if not np.isnan(value):
            raise ValueError(f"X contains infinity (inf), first at {where}; remove it or fill it in")
        if not is_sparse and _is_padding(sequences, i, step):
            raise ValueError(
                f"X contains NaN, first at {where}, and in all steps after it: if that is padding, pass "
                "admmirnn.preprocessing.cut_padding(X), a list of arrays without it"
            )
        remedy = "remove it or fill it in" + ("" if is_sparse else ", as missing='forward' of the estimators does")
        raise ValueError(f"X contains NaN, first at {where}; {remedy}")


def _first_in_rows(sequences: Sequences, dtype: DType) -> tuple[int, int, Any] | None:
    """Row, feature and value of the first number that is not finite as the network reads it, or None."""
    for first, piece in sequences.pieces(1 << 20):
        read = sequences.as_read(piece, dtype)
        finite = np.isfinite(read)
        if not finite.all():
            row, feature = np.argwhere(~finite)[0]
            return first + int(row), int(feature), read[row, feature]
    return None


def _first_in_values(sequences: Sequences, dtype: DType) -> tuple[int, int, Any] | None:
    """As `_first_in_rows`, of sparse observations."""
    rows = sequences.observations
    assert isinstance(rows, SparseRows)
    standard = sequences.standard_in(dtype)
    if not np.isfinite(sequences.as_read(np.zeros((1, rows.n_columns), rows.dtype), dtype)).all():
        return _first_in_rows(sequences, dtype)
    for first in range(0, len(rows.values), 1 << 20):
        some = slice(first, first + (1 << 20))
        columns = rows.columns[some]
        with np.errstate(over="ignore", invalid="ignore"):
            of_columns = None if standard is None else standard[:, columns]
            read = as_read(rows.values[some], dtype, sequences.scale, of_columns)
        finite = np.isfinite(read)
        if not finite.all():
            k = int(np.argmin(finite))
            row = int(np.searchsorted(rows.starts, first + k, side="right")) - 1
            return row, int(columns[k]), read[k]
    return None


def _is_padding(sequences: Sequences, i: int, step: int) -> bool:
    """Whether a sequence has nothing but NaN from a step on."""
    first = int(sequences.first_rows[i])
    return bool(np.isnan(sequences.observations[first + step : first + int(sequences.lengths[i])]).all())


def _was_finite(given: Any, i: int, step: int, feature: int) -> bool:
    item = given[i] if isinstance(given, (list, tuple)) else np.asarray(given)[i]
    item = item.tocsr() if issparse(item) else np.asarray(item)
    value = item[step] if item.ndim == 1 else item[step, feature]
    return bool(np.isfinite(np.float64(value)))
