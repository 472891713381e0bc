"""The only place that refuses what a user passes: every message names the argument, what was found, what to do."""

import math
import numbers

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import check_array, column_or_1d, validate_data

from admmirnn.sequences import Sequences

ACTIVATIONS = ("tanh", "relu")
DTYPES = ("float32", "float64")
INIT_NAMES = ("U", "W", "b", "V", "c")


# Settings


def check_integer(name, value, least, *, alternatives=""):
    """Return ``value`` as an int, or raise unless it is an integer of at least ``least``."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        if value >= least:
            return int(value)
        raise ValueError(f"{name} is {value!r}; it must be an integer of at least {least}{alternatives}")
    raise TypeError(
        f"{name} is {value!r} of type {type(value).__name__}; pass an integer of at least {least}{alternatives}"
    )


def check_number(name, value, *, least=0.0, strict=False, below=math.inf, optional=False):
    """Return ``value`` as a float, or raise unless it is a number from ``least`` up to, not including, ``below``."""
    if value is None and optional:
        return None
    span = f"a number {'>' if strict else '>='} {least:g}"
    if below < math.inf:
        span += f" and < {below:g}"
    if optional:
        span += ", or None"
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r} of type {type(value).__name__}; pass {span}")
    if not (value > least if strict else value >= least) or not value < below:
        raise ValueError(f"{name} is {value!r}; it must be finite, {span}")
    return float(value)


def check_choice(name, value, choices):
    """Raise unless ``value`` is one of the strings ``choices``."""
    if not (isinstance(value, str) and value in choices):
        known = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} is {value!r}; the known ones are {known}")
    return value


def check_boolean(name, value):
    """Raise unless ``value`` is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} is {value!r} of type {type(value).__name__}; pass True or False")
    return bool(value)


def check_rollout(settings):
    """Raise unless every setting of a `Rollout` is in its range."""
    check_number("rho", settings.rho, strict=True)
    check_number("r", settings.r)
    check_number("radius", settings.radius, strict=True, optional=True)
    check_number("output_radius", settings.output_radius, strict=True, optional=True)
    check_choice("schedule", settings.schedule, ("cosine", "constant"))
    check_number("damping", settings.damping)
    check_number("gram_decay", settings.gram_decay, below=1.0)
    check_number("momentum", settings.momentum, below=1.0)
    check_number("multiplier_cap", settings.multiplier_cap, strict=True, optional=True)
    check_integer("gram_every", settings.gram_every, 1)
    for name in ("radius", "output_radius"):
        if settings.r == 0 and getattr(settings, name) is None:
            raise ValueError(f"r is 0 and {name} is None, so nothing bounds a step; set r > 0 or {name}")


def check_solver(solver, known):
    """Return the solver object that ``solver``, a name or an object, stands for."""
    if isinstance(solver, str):
        return known[check_choice("solver", solver, tuple(known))]()
    if not hasattr(solver, "solve") or isinstance(solver, type):
        names = ", ".join(repr(name) for name in known)
        raise TypeError(f"solver is {solver!r}; pass one of the names {names} or a solver object such as Rollout()")
    return solver


def check_estimator_settings(estimator):
    """Raise unless the settings that all estimators share are in their ranges."""
    check_integer("hidden_size", estimator.hidden_size, 1)
    check_choice("activation", estimator.activation, ACTIVATIONS)
    check_number("penalty", estimator.penalty)
    check_integer("max_epochs", estimator.max_epochs, 1)
    if not isinstance(estimator.batch_size, str) or estimator.batch_size != "auto":
        check_integer("batch_size", estimator.batch_size, 1, alternatives=", or 'auto'")
    check_boolean("shuffle", estimator.shuffle)
    check_integer("verbose", int(estimator.verbose) if isinstance(estimator.verbose, bool) else estimator.verbose, 0)
    for callback in estimator.callbacks or ():
        if not callable(callback):
            raise TypeError(
                f"callbacks holds {callback!r}, which cannot be called; pass functions of the epoch's state"
            )


def check_dtype(dtype):
    """Return the numpy dtype that the setting ``dtype`` stands for."""
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found.name not in DTYPES or not found.isnative:
        raise ValueError(f"dtype is {dtype!r}; the known ones are 'float32' and 'float64'")
    return found


def check_init(init, shapes, dtype):
    """Return the initial weights given by ``init`` as arrays of ``dtype``, those that are there.

    Parameters
    ----------
    init : dict or None
        Arrays by the names U, W, b, V, c; any of them may be missing.
    shapes : dict
        The shape of each.
    dtype : dtype
        float32 or float64.
    """
    if init is None:
        return {}
    if not isinstance(init, dict):
        raise TypeError(
            f"init is of type {type(init).__name__}; pass a dict with any of the keys U, W, b, V, c, or None"
        )
    weights = {}
    for name, values in init.items():
        check_choice("a key of init", name, INIT_NAMES)
        array = _as_numbers(values, f"init[{name!r}]", dtype)
        if array.shape != shapes[name]:
            raise ValueError(
                f"init[{name!r}] has the shape {array.shape}; for these data and settings it must be {shapes[name]}"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"init[{name!r}] contains NaN or infinity; pass finite weights")
        weights[name] = array
    return weights


# Sequences


def check_sequences(estimator, X, dtype, *, reset):
    """Read X in any of its forms, and set or check the estimator's ``n_features_in_``.

    Parameters
    ----------
    estimator : estimator
        Gets or has ``n_features_in_`` and ``_n_step_features``, the number of features of an observation.
    X : array-like of shape (n_sequences, n_steps, n_features) or (n_sequences, n_steps), or list of arrays
        A list holds arrays of shape (n_steps_i, n_features), or (n_steps_i,) for one feature.
    dtype : dtype
        float32 or float64.
    reset : bool
        True in fit, False in predict.

    Returns
    -------
    Sequences
        C-contiguous, native, finite observations of ``dtype``; those of X itself where it is so already.
    """
    kind, X = _kind_of(X)
    if kind == "table":
        return _check_table(estimator, X, dtype, reset)
    sequences = _check_array(X, dtype) if kind == "array" else _check_list(X, dtype)
    _check_finite(sequences, dtype, "X", X)
    if reset:
        estimator.n_features_in_ = estimator._n_step_features = sequences.n_features
        estimator._n_table_columns = None
        vars(estimator).pop("feature_names_in_", None)
    else:
        _check_n_features(estimator, sequences.n_features)
    return sequences


def _kind_of(X):
    """Say which form X has: "table" (2-D), "array" (3-D) or "list", and return it as such."""
    if issparse(X):
        return "table", X  # refused there, in scikit-learn's words
    if isinstance(X, (list, tuple)):
        if len(X) == 0:
            raise ValueError("X is an empty list; pass at least one sequence (0 sample(s) found)")
        dimensions = [_dimension(item, i) for i, item in enumerate(X)]
        if set(dimensions) == {1} and len({len(item) for item in X}) > 1:
            return "list", [_column(item, i) for i, item in enumerate(X)]
        if set(dimensions) <= {0, 1}:
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
    if X.dtype == object and X.ndim == 1 and len(X) and all(hasattr(item, "__len__") for item in X):
        return _kind_of(list(X))
    if X.ndim == 3:
        return "array", X
    if X.ndim > 3:
        raise ValueError(
            f"X has {X.ndim} dimensions; pass (n_sequences, n_steps, n_features), or (n_sequences, n_steps)"
        )
    return "table", X


def _dimension(item, i):
    if issparse(item):
        raise TypeError(f"X[{i}] is a sparse matrix; convert it with its toarray()")
    try:
        return np.ndim(item)
    except ValueError as error:
        raise ValueError(
            f"X[{i}] has rows of different lengths; give every step the same number of features"
        ) from error


def _column(item, i):
    if len(item) == 0:
        raise ValueError(f"X[{i}] has no steps; remove the sequences of length 0")
    return np.asarray(item)[:, None]


def _as_numbers(values, name, dtype):
    """Return an array of ``dtype``, or raise when the values are no real numbers."""
    array = values if isinstance(values, np.ndarray) else np.asarray(values)
    if array.dtype.kind == "c":
        raise ValueError(
            f"Complex data not supported: {name} is {array.dtype}; pass its real and imaginary parts as features"
        )
    if array.dtype.kind not in "buifO":
        raise TypeError(f"{name} holds {array.dtype} values; pass numbers")
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.ascontiguousarray(array, dtype=dtype) if array.ndim else array.astype(dtype)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} holds values that are not numbers ({error}); pass numbers") from error


def _check_array(X, dtype):
    n_sequences, n_steps, n_features = X.shape
    if 0 in X.shape:
        raise ValueError(
            f"X has the shape {X.shape}: {n_sequences} sample(s), {n_steps} step(s), {n_features} feature(s); "
            "pass at least one of each"
        )
    observations = _as_numbers(X, "X", dtype).reshape(-1, n_features)
    return Sequences.of_lengths(observations, np.full(n_sequences, n_steps))


def _check_list(X, dtype):
    arrays = [_as_numbers(item, f"X[{i}]", dtype) for i, item in enumerate(X)]
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
    return Sequences.of_lengths(np.concatenate(arrays), [len(array) for array in arrays])


def _check_table(estimator, X, dtype, reset):
    """A table is a sequence of one feature in every row; scikit-learn's own checks and messages."""
    given = X
    if not reset and estimator._n_table_columns is None:  # fitted on sequences: any number of steps will do
        _check_n_features(estimator, 1)
        X = check_array(X, dtype=None, order="C", ensure_all_finite=False, input_name="X")
    else:
        X = validate_data(estimator, X, reset=reset, dtype=None, order="C", ensure_all_finite=False)
    X = _as_numbers(X, "X", dtype)
    sequences = Sequences.of_lengths(X.reshape(-1, 1), np.full(len(X), X.shape[1]))
    _check_finite(sequences, dtype, "X", given)
    if reset:
        estimator._n_step_features = 1
        estimator._n_table_columns = X.shape[1]
    return sequences


def _check_n_features(estimator, n_features):
    if n_features != estimator._n_step_features:
        raise ValueError(
            f"X has {n_features} features, but {type(estimator).__name__} is expecting {estimator._n_step_features} "
            "features as input: pass the features it was fitted with"
        )


def _check_finite(sequences, dtype, name, given):
    """Raise with the place of the first NaN or infinity, reading the observations a piece at a time."""
    observations, piece = sequences.observations, max(1, (1 << 20) // sequences.n_features)
    for first in range(0, len(observations), piece):
        finite = np.isfinite(observations[first : first + piece])
        if finite.all():
            continue
        row, feature = np.argwhere(~finite)[0]
        row += first
        i = int(np.searchsorted(sequences.first_rows, row, side="right")) - 1
        step = int(row - sequences.first_rows[i])
        value = observations[row, feature]
        where = f"sequence {i}, step {step}, feature {feature}"
        if not np.isnan(value) and _was_finite(given, i, step, int(feature)):
            raise ValueError(
                f"{name} contains a value too large for {dtype} (it becomes infinity), first at {where}; rescale it"
            )
        found = "NaN" if np.isnan(value) else "infinity (inf)"
        raise ValueError(f"{name} contains {found}, first at {where}; remove it or fill it in")


def _was_finite(given, i, step, feature):
    item = np.asarray(given[i]) if isinstance(given, (list, tuple)) else np.asarray(given)[i]
    value = item[step] if item.ndim == 1 else item[step, feature]
    return bool(np.isfinite(np.float64(value)))


# Labels and weights


def check_labels(y, n_sequences):
    """Return the labels as a 1-D array of as many entries as there are sequences."""
    if y is None:
        raise ValueError("RNNClassifier requires y to be passed, but the target y is None")
    y = column_or_1d(y, warn=True)
    if len(y) != n_sequences:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: X has {n_sequences} sequences and y has "
            f"{len(y)} labels; pass one label a sequence"
        )
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        i = int(np.flatnonzero(~np.isfinite(y))[0])
        raise ValueError(f"Input y contains NaN or infinity, first at index {i}; remove these sequences")
    return y


def check_sample_weight(sample_weight, n_sequences):
    """Return the weights as a float64 array, all ones when there are none."""
    if sample_weight is None:
        return np.ones(n_sequences)
    weights = _as_numbers(sample_weight, "sample_weight", np.float64)
    if weights.ndim != 1 or len(weights) != n_sequences:
        raise ValueError(f"sample_weight has the shape {weights.shape}; pass one weight a sequence, ({n_sequences},)")
    if not np.isfinite(weights).all():
        i = int(np.flatnonzero(~np.isfinite(weights))[0])
        raise ValueError(f"sample_weight contains NaN or infinity, first at index {i}; pass finite weights")
    if weights.min() < 0:
        i = int(np.flatnonzero(weights < 0)[0])
        raise ValueError(f"sample_weight is negative, first at index {i} ({weights[i]:g}); pass weights >= 0")
    if not weights.any():
        raise ValueError("sample_weight is zero everywhere; give at least two classes a positive weight")
    return weights


def check_classes(classes, weighted=False):
    """Raise when there is only one class to learn."""
    if len(classes) < 2:
        among = " among the sequences of positive weight" if weighted else ""
        raise ValueError(f"y has one class only{among} ({classes[0]!r}); RNNClassifier needs at least two classes")
