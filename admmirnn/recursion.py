"""Forecasts that read themselves: predictions of the next observation become observations, step after step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from admmirnn import validation
from admmirnn._typing import Array, DType, FloatArray, IntArray
from admmirnn.data.indexed import by_series
from admmirnn.data.missing import Gaps
from admmirnn.data.names import by_columns, in_known_order
from admmirnn.data.sequences import as_read
from admmirnn.streaming import Stream, StreamState, check_observations, refuse_not_finite

_BURN_IN = 10  # one part in so many of a series comes before its residuals


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of the observations that follow, and where predictions go.

    Attributes
    ----------
    targets : ndarray of shape (n_outputs,) or (0,)
        Indices of the features that the outputs are; empty if outputs are not features.
    inputs : ndarray of shape (n_inputs,)
        Indices of the features that are known in advance.
    values : ndarray of shape (n_series, at least horizon - 1, n_inputs), or None
        Values of the inputs; None keeps the last ones.
    """

    targets: IntArray
    inputs: IntArray = field(default_factory=lambda: np.zeros(0, np.intp))
    values: FloatArray | None = None


def forecast(
    stream_of: Callable[..., Stream],
    series: list[Array],
    horizon: int,
    known: Known,
    n_outputs: int,
    *,
    state: StreamState | None = None,
    disturbances: FloatArray | None = None,
) -> NDArray[np.float64]:
    """Read all series, then go on reading what has been predicted.

    Parameters
    ----------
    stream_of : callable
        Function that makes a `Stream` of a number of streams, whose answers are predictions of the next observations.
    series : list of ndarray of shape (n_steps_i, n_features)
        Observations up to the forecast.
    horizon : int
        Number of steps to predict.
    known : Known
        Values that are known of the observations that follow.
    n_outputs : int
        Number of values of a prediction.
    state : StreamState, optional
        State of the streams of the series.
    disturbances : ndarray of shape (n_series, n_paths, horizon, n_outputs), optional
        Numbers that are added to each prediction before it is read; they make n_paths forecasts of each series.

    Returns
    -------
    ndarray of shape (n_series, n_paths, horizon, n_outputs)
        n_paths is 1 without disturbances.
    """
    n_paths = 1 if disturbances is None else disturbances.shape[1]
    path_of = np.repeat(np.arange(len(series)), n_paths)
    reached, first = _read_all(stream_of, series, state, n_outputs)
    outputs = np.empty((len(path_of), horizon, n_outputs))
    outputs[:, 0] = first[path_of]
    if disturbances is not None:
        disturbances = disturbances.reshape(len(path_of), horizon, n_outputs)
        outputs[:, 0] += disturbances[:, 0]
    streams = stream_of(len(path_of))
    there = streams.state
    there.take(reached, others=path_of)
    streams.state = there
    rows = np.stack([values[-1] for values in series]).astype(np.float64)[path_of]
    following = np.empty((len(path_of), n_outputs))
    for h in range(1, horizon):
        if len(known.targets):
            rows[:, known.targets] = outputs[:, h - 1]
        if known.values is not None:
            rows[:, known.inputs] = known.values[path_of, h - 1]
        streams._read_with_care("the forecast", rows.copy(), following)
        outputs[:, h] = following
        if disturbances is not None:
            outputs[:, h] += disturbances[:, h]
    return outputs.reshape(len(series), n_paths, horizon, n_outputs)


def _read_all(
    stream_of: Callable[..., Stream], series: list[Array], state: StreamState | None, n_outputs: int
) -> tuple[StreamState, FloatArray]:
    """Where the streams of the series are at their ends, and the outputs there."""
    last = np.empty((len(series), n_outputs))
    reached = stream_of(len(series)).state
    lengths = np.array([len(values) for values in series])
    for length in np.unique(lengths):
        which = np.flatnonzero(lengths == length)
        streams = stream_of(len(which))
        if state is not None:
            there = streams.state
            there.take(state, others=which)
            streams.state = there
        last[which] = streams.read(np.stack([series[i] for i in which]), every_step=False).reshape(len(which), -1)
        reached.take(streams.state, which)
    return reached, last


def residuals_of(stream_of: Callable[..., Stream], series: list[Array], known: Known) -> list[FloatArray]:
    """What was observed minus what had been predicted, of each series after its first tenth: (n_steps, n_outputs)."""
    found = []
    for values in series:
        predicted = stream_of(1).read(values)
        predicted = predicted.reshape(len(values), -1)
        error = values[1:, known.targets] - predicted[:-1]
        error = error[max(len(values) // _BURN_IN, 1) - 1 :]
        found.append(error[np.isfinite(error).all(axis=1)])  # with frames the first outputs are none
    return found


def sampled(residuals: list[FloatArray], n_paths: int, horizon: int, random_state: np.random.RandomState) -> FloatArray:
    """Residuals drawn with replacement, rows as a whole, for each step of each path of each series."""
    drawn = [of_one[random_state.randint(len(of_one), size=(n_paths, horizon))] for of_one in residuals]
    return np.stack(drawn)


def check_history(
    history: Any,
    n_features: int,
    frame: int,
    dtype: DType,
    scale: float,
    standard: Array | None = None,
    gaps: Gaps | None = None,
) -> tuple[list[Array], bool]:
    """Return the series that a forecast starts from, and whether it is a single one.

    Parameters
    ----------
    history : array-like of shape (n_steps, n_features) or (n_series, n_steps, n_features), or list of arrays
        Observations up to the forecast.  With one feature the last axis may be missing: (n_steps,), or (n_series,
        n_steps) of more than one step.
    n_features : int
        Number of features of an observation.
    frame : int
        Number of observations that a step reads.
    dtype : dtype
        Precision of the network, float32 or float64.
    scale : float
        Factor by which observations are multiplied.
    standard : ndarray of shape (2, n_features), optional
        Means and factors that they are standardised with.
    gaps : Gaps, optional
        Treatment of missing values, which are refused by default.

    Returns
    -------
    list of ndarray of shape (n_steps_i, n_features)
    bool
    """
    is_one, items = _series_of(validation.in_lists(history), n_features)
    series = []
    for i, item in enumerate(items):
        name = "history" if is_one else f"history[{i}]"
        if n_features == 1 and validation.n_dimensions(name, item) == 1:
            item = np.asarray(item).reshape(-1, 1)
        what = f"(n_steps, {n_features}), with the features that the model was fitted on"
        array = check_observations(name, item, (None, n_features), what)
        if len(array) < frame:
            raise ValueError(f"{name} has {len(array)} steps, fewer than the frame of {frame}; pass more of them")
        if gaps is None or gaps.way == "refuse":  # otherwise streams look at what they have filled in
            with np.errstate(over="ignore", invalid="ignore"):
                is_finite = np.isfinite(as_read(array, dtype, scale, standard)).all()
            if not is_finite:
                refuse_not_finite(name, array, dtype, scale, standard)
        series.append(array)
    if not series:
        raise ValueError("history is empty; pass at least one series")
    return series, is_one


def histories_in_order(history: Any, names: Sequence[str] | None) -> Any:
    """Return the series of a forecast with their features in the order of the fit, where they have names."""
    (history,) = by_series(history)
    if names is None and not isinstance(history, Mapping):
        return history  # names, if it has some, are those of the caller
    history = by_columns(history, "history")
    if isinstance(history, (list, tuple)):
        return [in_known_order(item, names, f"history[{i}]") for i, item in enumerate(history)]
    return in_known_order(history, names, "history")


def _series_of(history: Any, n_features: int) -> tuple[bool, Any]:
    """Whether ``history`` is one series, and the list of its series."""
    if not isinstance(history, (list, tuple)):
        validation.n_dimensions("history", history)
        history = np.asarray(history)
    if isinstance(history, (list, tuple)):
        dimensions = {validation.n_dimensions(f"history[{i}]", item) for i, item in enumerate(history)}
        one_row_a_step = dimensions == {1} and (n_features > 1 or all(len(item) == 1 for item in history))
        is_one = dimensions == {0} or one_row_a_step
    elif history.ndim in (1, 2, 3):
        is_one = history.ndim == 1 or (history.ndim == 2 and (n_features > 1 or history.shape[1] == 1))
    else:
        raise ValueError(f"history has {history.ndim} dimension(s); pass (n_steps, n_features), or a list of such")
    return is_one, [history] if is_one else history


def check_state_of_series(state: Any, n_series: int) -> StreamState | None:
    """Return the state that streams go on from, or raise unless it is one of so many."""
    if state is None:
        return None
    if not isinstance(state, StreamState):
        raise TypeError(f"state is of type {type(state).__name__}; pass a stream's state, or None to start")
    if len(state.n_read) != n_series:
        raise ValueError(
            f"state has {len(state.n_read)} stream(s) and history has {n_series} series; pass a state with one stream "
            "for each series"
        )
    return state


def check_target_features(
    targets: Any, n_outputs: int, n_features: int, names: Sequence[str] | None, estimator: str
) -> IntArray:
    """Return which features the targets are, or raise.

    Parameters
    ----------
    targets : list of int or str, int, str or None
        Features that a user passes; None stands for the first ones.
    n_outputs, n_features : int
        Numbers of outputs and features of the model.
    names : sequence of str or None
        Names of the features.
    estimator : str
        Name of the estimator, for messages.
    """
    if targets is None:
        if n_outputs > n_features:
            raise ValueError(
                f"{estimator} was fitted on {n_features} feature(s) and {n_outputs} target(s), which cannot all be "
                "features of the next observation; pass target_features=[] if none of them is, or fit it with targets "
                "that are features"
            )
        return np.arange(n_outputs)
    if isinstance(targets, str) or np.ndim(targets) == 0:
        targets = [targets]
    found = [_feature(target, n_features, names) for target in targets]
    if found and len(found) != n_outputs:
        raise ValueError(
            f"target_features has {len(found)} feature(s) and the model predicts {n_outputs} value(s); pass one for "
            "each, in their order, or [] if the targets are not features"
        )
    if len(set(found)) < len(found):
        raise ValueError(f"target_features is {list(targets)!r}, which has a feature twice; pass each of them once")
    return np.array(found, np.intp)


def _feature(target: Any, n_features: int, names: Sequence[str] | None) -> int:
    if isinstance(target, str):
        if names is None:
            raise ValueError(
                f"target_features has {target!r}, and the features have no names: history is not a data frame, or "
                "several with different columns; pass the index of the feature"
            )
        if target not in names:
            raise ValueError(f"target_features has {target!r}, which is not one of the features {list(names)!r}")
        return list(names).index(target)
    index = validation.check_integer("an entry of target_features", target, 0)
    if index >= n_features:
        raise ValueError(f"target_features has {index}, and features are counted from 0 to {n_features - 1}")
    return index


def names_of_features(history: Any, fitted: Sequence[str] | None) -> Sequence[str] | None:
    """The names of the features: those of the fit, or of the data frames of a history."""
    if fitted is not None:
        return list(fitted)
    frames = history if isinstance(history, (list, tuple)) else [history]
    names = [[str(name) for name in frame.columns] for frame in frames if hasattr(frame, "columns")]
    return names[0] if names and len(names) == len(frames) and all(one == names[0] for one in names) else None


def check_future_inputs(values: Any, n_series: int, is_one: bool, horizon: int, n_inputs: int) -> FloatArray | None:
    """Return what is known of the steps that follow, or raise unless it is enough.

    Parameters
    ----------
    values : array-like of shape (n_steps, n_inputs) or (n_series, n_steps, n_inputs), list of arrays, or None
        Values that a user passes; with one input the last axis may be missing.
    n_series : int
        Number of series of the history.
    is_one : bool
        Whether that is a single series, without an axis for it.
    horizon : int
        Horizon of the forecast.
    n_inputs : int
        Number of features that are not targets.

    Returns
    -------
    ndarray of shape (n_series, horizon - 1, n_inputs), or None
    """
    if values is None:
        return None
    if not n_inputs:
        raise ValueError(
            "future_inputs is given, but all features of the model are targets, which it predicts itself; leave it out"
        )
    items = [values] if is_one else validation.in_lists(values)
    if not hasattr(items, "__len__") or len(items) != n_series:
        found = len(items) if hasattr(items, "__len__") else repr(items)
        raise ValueError(f"future_inputs has {found} entries for the {n_series} series of history; pass one for each")
    inputs: FloatArray = np.empty((n_series, horizon - 1, n_inputs))
    for i, item in enumerate(items):
        name = "future_inputs" if is_one else f"future_inputs[{i}]"
        array = validation.as_numbers(item, name, np.float64)
        if array.ndim == 1 and n_inputs == 1:
            array = array[:, None]
        if array.ndim != 2 or array.shape[1] != n_inputs:
            raise ValueError(
                f"{name} has the shape {array.shape}; pass (n_steps, {n_inputs}), a row for each step: the features of "
                "the model that are no targets, in their order"
            )
        if len(array) < horizon - 1:
            raise ValueError(
                f"{name} has {len(array)} steps, and a horizon of {horizon} reads {horizon - 1} after those of "
                "history; pass as many, or a shorter horizon"
            )
        if not np.isfinite(array[: horizon - 1]).all():
            raise ValueError(f"{name} contains NaN or infinity; fill it in")
        inputs[i] = array[: horizon - 1]
    return inputs


def warn_of_kept_inputs(inputs: IntArray) -> None:
    """Say that inputs stay what they are."""
    warnings.warn(
        f"features {inputs.tolist()} are no targets and future_inputs is None: they stay what they are at the end of "
        "history; pass future_inputs with their values at the steps that follow",
        UserWarning,
        stacklevel=3,
    )


def check_quantiles(quantiles: ArrayLike) -> FloatArray:
    """Return increasing numbers between 0 and 1, or raise."""
    found: FloatArray = validation.as_numbers(quantiles, "quantiles", np.float64)
    if found.ndim != 1 or not len(found):
        raise ValueError(f"quantiles has the shape {found.shape}; pass a list of numbers such as (0.1, 0.5, 0.9)")
    if not ((found > 0) & (found < 1)).all() or (np.diff(found) <= 0).any():
        raise ValueError(f"quantiles is {found.tolist()}; pass numbers between 0 and 1 that increase")
    return found


def check_residuals(residuals: Any, n_outputs: int) -> FloatArray:
    """Return errors of one step as an array with a row for each, or raise."""
    found: FloatArray = validation.as_numbers(residuals, "residuals", np.float64)
    if found.ndim == 1 and n_outputs == 1:
        found = found[:, None]
    if found.ndim != 2 or found.shape[1] != n_outputs or not len(found):
        raise ValueError(f"residuals has the shape {found.shape}; pass (n_steps, {n_outputs}), of one step or more")
    if not np.isfinite(found).all():
        raise ValueError("residuals contains NaN or infinity; leave those steps out")
    return found
