"""Reversible transformers of series: forecasts of the transformed series are transformed back."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from admmirnn import validation
from admmirnn._typing import FloatArray


def _values(name: str, values: ArrayLike) -> FloatArray:
    """Numbers of one step or more, or raise an error."""
    found: FloatArray = validation.as_numbers(values, name, np.float64)
    if not found.ndim or np.isinf(found).any():
        raise ValueError(f"{name} is a single value, or holds infinity; pass an array of finite numbers")
    return found


class Difference(BaseEstimator):
    """Differences between each value and the one ``lag`` steps before, which remove a trend or a season.

    Parameters
    ----------
    lag : int, default=1
        Number of steps between the two values of a difference, >= 1: 1 for a trend, 7 for daily values with a weekly
        pattern.

    Examples
    --------
    >>> import numpy as np
    >>> from admmirnn.forecasting import Difference
    >>> z = np.array([[1.0], [3.0], [6.0], [10.0]])
    >>> Difference().transform(z).ravel()
    array([2., 3., 4.])
    >>> Difference().inverse_transform(np.array([[5.0], [6.0]]), z).ravel()
    array([15., 21.])
    """

    keeps_order = False  # of values at one step: the larger one may come from the smaller one

    def __init__(self, lag: int = 1) -> None:
        self.lag = lag

    @property
    def n_lost(self) -> int:
        """How many of the first values have no difference."""
        return validation.check_integer("lag of Difference", self.lag, 1)

    def transform(self, z: ArrayLike) -> FloatArray:
        """Return the differences.

        Parameters
        ----------
        z : array-like of shape (n_steps, k)
            Series of more than ``lag`` steps.

        Returns
        -------
        ndarray of shape (n_steps - lag, k)
            Differences.
        """
        lag = self.n_lost
        values = _values("z", z)
        if len(values) <= lag:
            raise ValueError(f"z has {len(values)} steps, and differences of lag {lag} need more than that; pass more")
        found: FloatArray = values[lag:] - values[:-lag]
        return found

    def inverse_transform(self, differences: ArrayLike, history: ArrayLike) -> FloatArray:
        """Return the values whose differences these are.

        Parameters
        ----------
        differences : array-like of shape (..., n_steps, k)
            Transformed values of the steps that follow ``history``; several forecasts may be before the last two axes.
        history : array-like of shape (at least lag, k)
            Values before these steps.

        Returns
        -------
        ndarray of shape (..., n_steps, k)
            Values of which ``differences`` are the differences.
        """
        lag, d, before = self.n_lost, _values("differences", differences), _values("history", history)
        if d.ndim < 2:
            raise ValueError(f"differences has the shape {d.shape}; pass (..., n_steps, k)")
        if before.shape[1:] != d.shape[-1:]:
            raise ValueError(f"history has the shape {before.shape}; pass (n_steps, {d.shape[-1]}), like differences")
        if len(before) < lag:
            raise ValueError(f"history has {len(before)} steps; pass at least {lag}, as many as the lag")
        found = np.empty_like(d)
        for h in range(d.shape[-2]):
            last = before[len(before) - lag + h] if h < lag else found[..., h - lag, :]
            found[..., h, :] = last + d[..., h, :]
        return found


class Log(BaseEstimator):
    """log(z + offset), for series whose changes grow with their size.

    Parameters
    ----------
    offset : float, default=0.0
        Number, >= 0, that is added before the logarithm, such as 1 for counts that may be 0.
    """

    keeps_order = True
    n_lost = 0

    def __init__(self, offset: float = 0.0) -> None:
        self.offset = offset

    def transform(self, z: ArrayLike) -> FloatArray:
        """Return the logarithms.

        Parameters
        ----------
        z : array-like of shape (n_steps, k)
            Values larger than ``-offset``.

        Returns
        -------
        ndarray of shape (n_steps, k)
            Logarithms of ``z + offset``.
        """
        offset = validation.check_number("offset of Log", self.offset)
        values = _values("z", z) + offset
        if not (values > 0).all():
            least = float(values.min()) - offset
            raise ValueError(
                f"z has the value {least:g}, which has no logarithm with offset={offset:g}; pass a larger one"
            )
        found: FloatArray = np.log(values)
        return found

    def inverse_transform(self, logarithms: ArrayLike, history: ArrayLike) -> FloatArray:
        """Return the values whose logarithms these are; ``history`` is not looked at."""
        with np.errstate(over="ignore"):
            found: FloatArray = np.exp(_values("logarithms", logarithms)) - self.offset
        return found
