"""Series as the sequences that a network is trained with."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse

from admmirnn import validation
from admmirnn._typing import FloatArray


def read_series(name: str, series: Any) -> tuple[list[FloatArray], bool, bool]:
    """One series or several, as arrays of shape (n_steps_i, k).

    Parameters
    ----------
    name : str
        Name of the argument, for messages.
    series : array-like of shape (n_steps,) or (n_steps, k), or (n_series, n_steps, k), or list of arrays
        One series or several.  A list of numbers is one series, and so is a pandas Series or DataFrame.

    Returns
    -------
    list of ndarray
        Series of shape (n_steps_i, k).
    bool
        Whether it is a single one.
    bool
        Whether it has no axis of length k.
    """
    if issparse(series):
        raise TypeError(f"{name} is a sparse matrix; convert it with its toarray()")
    is_list = isinstance(series, (list, tuple)) and len(series) > 0 and np.ndim(series[0]) > 0
    items = list(series) if is_list or getattr(series, "ndim", 0) == 3 else [series]
    found, dimensions = [], set()
    for i, item in enumerate(items):
        place = f"{name}[{i}]" if is_list else name
        array = validation.as_numbers(item, place, np.float64)
        dimensions.add(array.ndim)
        if array.ndim not in (1, 2) or 0 in array.shape:
            raise ValueError(f"{place} has the shape {array.shape}; pass (n_steps,), or (n_steps, k) of several values")
        if not np.isfinite(array).all():
            step = int(np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))[0])
            raise ValueError(f"{place} contains NaN or infinity, first at step {step}; fill it in")
        found.append(array.reshape(len(array), -1))
    if len(dimensions) > 1 or len({array.shape[1] for array in found}) > 1:
        raise ValueError(f"the series of {name} have different numbers of columns; pass the same columns for each")
    return found, not is_list and len(found) == 1 and getattr(series, "ndim", 1) != 3, dimensions == {1}


def read_inputs(name: str, inputs: Any, lengths: list[int], is_one: bool) -> list[FloatArray]:
    """Inputs of each series, (at least lengths[i], m), or raise; None has no columns."""
    if inputs is None:
        return [np.zeros((length, 0)) for length in lengths]
    items = [inputs] if is_one else list(inputs)
    if len(items) != len(lengths):
        raise ValueError(f"{name} has {len(items)} entries for {len(lengths)} series; pass one for each")
    found = []
    for i, (item, length) in enumerate(zip(items, lengths, strict=True)):
        place = name if is_one else f"{name}[{i}]"
        array = validation.as_numbers(item, place, np.float64)
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2 or len(array) < length:
            raise ValueError(f"{place} has the shape {array.shape}; pass (n_steps, m) of {length} steps or more")
        if not np.isfinite(array).all():
            raise ValueError(f"{place} contains NaN or infinity; fill it in")
        found.append(array)
    if len({array.shape[1] for array in found}) > 1:
        raise ValueError(f"the entries of {name} have different numbers of columns; pass the same inputs for each")
    return found


def read_static(static: Any, n_series: int, is_one: bool) -> FloatArray:
    """Static features, (n_series, q), or raise; None has no columns."""
    if static is None:
        return np.zeros((n_series, 0))
    found: FloatArray = validation.as_numbers(static, "static", np.float64)
    found = found[None] if is_one and found.ndim == 1 else found
    if found.ndim != 2 or len(found) != n_series:
        raise ValueError(f"static has the shape {found.shape}; pass ({n_series}, q), a row for each series")
    if not np.isfinite(found).all():
        raise ValueError("static contains NaN or infinity; fill it in")
    return found


def rows_of(z: FloatArray, inputs: FloatArray, static: FloatArray, n_ahead: int) -> FloatArray:
    """What the network reads at each step: the value, the inputs of the ``n_ahead`` steps that follow, and static.

    ``inputs`` has as many steps as there are to read, and ``n_ahead`` more; fewer leave out the last steps.
    """
    n = min(len(z), len(inputs) - n_ahead) if inputs.shape[1] else len(z)
    ahead = [inputs[1 + h : 1 + h + n] for h in range(n_ahead)] if inputs.shape[1] else []
    return np.hstack([z[:n], *ahead, np.tile(static, (n, 1))])


def targets_of(z: FloatArray, horizon: int) -> FloatArray:
    """The ``horizon`` values that follow each step, side by side, with NaN for all where some are not there yet."""
    n, k = z.shape
    found = np.full((n, horizon * k), np.nan)
    if n > horizon:
        following = np.lib.stride_tricks.sliding_window_view(z[1:], horizon, axis=0)  # (n - horizon, k, horizon)
        found[: n - horizon] = following.transpose(0, 2, 1).reshape(n - horizon, -1)
    return found


def cut(rows: FloatArray, targets: FloatArray, window: int, stride: int, burn_in: int) -> list[tuple[Any, Any]]:
    """Windows of a series, of which the last one ends with the last target; the first steps of each have no target."""
    last = int(np.flatnonzero(np.isfinite(targets).all(axis=1))[-1]) + 1  # there is one
    window = min(window, last)
    found = []
    for end in range(last, window - 1, -stride):
        y = targets[end - window : end].copy()
        y[: min(burn_in, window - 1)] = np.nan
        found.append((rows[end - window : end], y))
    return found
