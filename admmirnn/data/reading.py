"""X in any of its forms, read as `Sequences`; every message names the place of what is wrong."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import check_array, validate_data

from admmirnn import validation
from admmirnn.data.sequences import OBSERVATION_DTYPES, Sequences

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


def read_sequences(estimator: Any, X: Any, dtype: DType, scale: float = 1.0) -> tuple[Sequences, dict[str, Any]]:
    """Read X in any of its forms, for fit.

    Parameters
    ----------
    estimator : estimator
        Is not changed.
    X : array-like of shape (n_sequences, n_steps, n_features) or (n_sequences, n_steps), or list of arrays
        A list holds arrays of shape (n_steps_i, n_features), or (n_steps_i,) for one feature.
    dtype : dtype
        float32 or float64.
    scale : float, default=1.0
        What the observations are multiplied by when a minibatch is made.

    Returns
    -------
    Sequences
        C-contiguous observations, finite in ``dtype``: those of X itself where the kernels can read them as they are,
        otherwise converted to ``dtype``.
    dict
        The attributes that tell a fitted estimator what X was like: ``n_features_in_``, for a data frame
        ``feature_names_in_``, and ``_n_table_columns``, None when X was no table.
    """
    kind, X = _kind_of(X)
    if kind != "table":
        sequences = _read_nested(kind, X, dtype, scale)
        return sequences, {"n_features_in_": sequences.n_features, "_n_table_columns": None}
    probe = copy.copy(estimator)
    sequences = _read_table(validate_data(probe, X, reset=True, **_TABLE), X, dtype, scale)
    attributes = {"n_features_in_": probe.n_features_in_, "_n_table_columns": probe.n_features_in_}
    if hasattr(probe, "feature_names_in_"):
        attributes["feature_names_in_"] = probe.feature_names_in_
    return sequences, attributes


def read_more_sequences(
    estimator: Any, X: Any, n_features: int, dtype: DType, scale: float = 1.0, *, of_table: bool = False
) -> Sequences:
    """Read X in any of its forms, for predict: its observations must have ``n_features`` features.

    ``of_table`` says whether the estimator was fitted on a table, whose columns another one has to have then.
    """
    kind, X = _kind_of(X)
    if kind != "table":
        sequences = _read_nested(kind, X, dtype, scale)
    elif of_table:
        sequences = _read_table(validate_data(estimator, X, reset=False, **_TABLE), X, dtype, scale)
    else:  # fitted on sequences: a table of any number of columns will do
        sequences = _read_table(check_array(X, input_name="X", **_TABLE), X, dtype, scale)
    if sequences.n_features != n_features:
        raise ValueError(
            f"X has {sequences.n_features} features, but {type(estimator).__name__} is expecting {n_features} "
            "features as input: pass the features it was fitted with"
        )
    return sequences


_TABLE = {"dtype": None, "order": "C", "ensure_all_finite": False}  # values are checked with their place


def _read_nested(kind: str, X: Any, dtype: DType, scale: float) -> Sequences:
    sequences = _read_array(X, dtype, scale) if kind == "array" else _read_list(X, dtype, scale)
    _check_finite(sequences, dtype, X)
    return sequences


def _read_table(table: Any, given: Any, dtype: DType, scale: float) -> Sequences:
    """Every row is a sequence of one feature."""
    table = as_observations(table, "X", dtype)
    sequences = Sequences.of_lengths(table.reshape(-1, 1), np.full(len(table), table.shape[1]), scale)
    _check_finite(sequences, dtype, given)
    return sequences


def _kind_of(X: Any) -> tuple[str, Any]:
    """Say which form X has: "table" (2-D), "array" (3-D) or "list", and return it as such."""
    if issparse(X):
        return "table", X  # refused there, in scikit-learn's words
    validation.refuse_masked("X", X)
    X = validation.in_lists(X)
    if hasattr(X, "iloc") and getattr(X, "ndim", 2) == 1:
        X = list(X)
    if isinstance(X, (list, tuple)):
        if len(X) == 0:
            raise ValueError("X is an empty list; pass at least one sequence (0 sample(s) found)")
        dimensions = [validation.n_dimensions(f"X[{i}]", item) for i, item in enumerate(X)]
        if set(dimensions) == {1} and len({len(item) for item in X}) > 1:
            return "list", [_column(item, i) for i, item in enumerate(X)]
        if len(set(dimensions)) == 1 and dimensions[0] < 2:
            return "table", X
        for i, dimension in enumerate(dimensions):
            if dimension != 2:
                raise ValueError(
                    f"X[{i}] has {dimension} dimension(s); every sequence must have 2, (n_steps, n_features)"
                )
        return "list", X
    if hasattr(X, "iloc") or not hasattr(X, "__array__"):
        return "table", X
    X = X if isinstance(X, np.ndarray) else np.asarray(X)
    if X.ndim == 3:
        return "array", X
    if X.ndim > 3:
        raise ValueError(
            f"X has {X.ndim} dimensions; pass (n_sequences, n_steps, n_features), or (n_sequences, n_steps)"
        )
    return "table", X


def _column(item: Any, i: int) -> Array:
    if len(item) == 0:
        raise ValueError(f"X[{i}] has no steps; remove the sequences of length 0")
    return np.asarray(item)[:, None]


def as_observations(values: Any, name: str, dtype: DTypeLike) -> Array:
    """Return a C-contiguous array that the kernels can read: as it is if they can, of ``dtype`` otherwise."""
    if isinstance(values, np.ndarray) and values.dtype in OBSERVATION_DTYPES:
        return np.require(values, requirements=["C_CONTIGUOUS", "ALIGNED"])
    found: Array = validation.as_numbers(values, name, dtype)
    return found


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
    arrays = [as_observations(item, f"X[{i}]", dtype) for i, item in enumerate(X)]
    for i, array in enumerate(arrays):
        if array.shape[0] == 0:
            raise ValueError(f"X[{i}] has no steps; remove the sequences of length 0")
        if array.shape[1] == 0:
            raise ValueError(f"X[{i}] has 0 features; every step needs at least one")
        if array.shape[1] != arrays[0].shape[1]:
            raise ValueError(
                f"X[{i}] has {array.shape[1]} features and X[0] has {arrays[0].shape[1]}; "
                "give every sequence the same features"
            )
    if len({array.dtype for array in arrays}) > 1:
        arrays = [validation.as_numbers(array, f"X[{i}]", dtype) for i, array in enumerate(arrays)]
    return Sequences.of_lengths(np.concatenate(arrays), [len(array) for array in arrays], scale)


def _check_finite(sequences: Sequences, dtype: DType, given: Any) -> None:
    """Raise with the place of the first NaN or infinity, reading the observations a piece at a time."""
    scale = dtype.type(sequences.scale)
    for first, piece in sequences.pieces(1 << 20):
        with np.errstate(over="ignore", invalid="ignore"):
            piece = scale * piece.astype(dtype, copy=False)
        finite = np.isfinite(piece)
        if finite.all():
            continue
        row, feature = np.argwhere(~finite)[0]
        value = piece[row, feature]
        row += first
        i = int(np.searchsorted(sequences.first_rows, row, side="right")) - 1
        step = int(row - sequences.first_rows[i])
        where = f"sequence {i}, step {step}, feature {feature}"
        if not np.isnan(value) and _was_finite(given, i, step, int(feature)):
            raise ValueError(
                f"X contains a value too large for {dtype} (it becomes infinity), first at {where}; rescale it"
            )
        found = "NaN" if np.isnan(value) else "infinity (inf)"
        raise ValueError(f"X contains {found}, first at {where}; remove it or fill it in")


def _was_finite(given: Any, i: int, step: int, feature: int) -> bool:
    item = np.asarray(given[i]) if isinstance(given, (list, tuple)) else np.asarray(given)[i]
    value = item[step] if item.ndim == 1 else item[step, feature]
    return bool(np.isfinite(np.float64(value)))
