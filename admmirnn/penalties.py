"""Penalties and constraints Omega on U, W and V, for the ``penalties`` of `RNNClassifier` and `Rollout.solve`.

A solver asks for one method, ``prox(x, tau) = argmin_p Omega(p) + |p - x|^2 / (2 tau)``, of a matrix x, which it leaves
as it is.  So any object that has it will do; ``value(x)``, Omega itself, is for users.  An operator on vectors, as
those of pyproximal are, is wrapped in `Flattened`.

Formulas: N. Parikh, S. Boyd, "Proximal Algorithms" (2014), sections 2 and 6.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from admmirnn import validation
from admmirnn._typing import FloatArray, ProximalOperator

__all__ = [
    "Box",
    "ElasticNet",
    "Flattened",
    "GroupLasso",
    "Lasso",
    "Levels",
    "NonNegative",
    "Orthogonal",
    "Rank",
    "Ridge",
    "SpectralBall",
]

_TOLERANCE = 1e-6  # by which a constraint counts as met


class _Penalty:
    """What the penalties of this module share: their settings are checked when they are used."""

    def _number(self, name: str, **limits: Any) -> float:
        found: float = validation.check_number(f"{name} of {type(self).__name__}", getattr(self, name), **limits)
        return found

    def _value(self, x: FloatArray) -> float:
        raise NotImplementedError

    def _prox(self, x: FloatArray, tau: float) -> FloatArray:
        raise NotImplementedError

    def value(self, x: FloatArray) -> float:
        """Return Omega(x), infinite where a constraint is missed by more than 1e-6.

        Parameters
        ----------
        x : ndarray of shape (p, q)
            Weights in float32 or float64.

        Returns
        -------
        float
            Value of the penalty, >= 0; that of a constraint is 0 where it is met, and infinity elsewhere.

        Raises
        ------
        ValueError, TypeError
            If a setting is out of its range, or x is not such an array.
        """
        return float(self._value(check_matrix("x", x).astype(np.float64)))

    def prox(self, x: FloatArray, tau: float) -> FloatArray:
        """Return argmin_p Omega(p) + ``|p - x|^2 / (2 tau)``.

        Parameters
        ----------
        x : ndarray of shape (p, q)
            Weights in float32 or float64.
        tau : float
            Step size, >= 0; projections do not use it.

        Returns
        -------
        ndarray of shape (p, q)
            New array with the dtype of x, whose zeros are exact.

        Raises
        ------
        ValueError, TypeError
            If a setting or tau is out of its range, or x is not such an array.
        """
        x = check_matrix("x", x)
        return self._prox(x, validation.check_number("tau", tau)).astype(x.dtype, copy=False)


@dataclass(frozen=True)
class Ridge(_Penalty):
    """Ridge penalty: weight / 2 times the sum of x^2.

    Parameters
    ----------
    weight : float
        Weight of the penalty, >= 0, in units of the mean loss, as for all penalties here.
    """

    weight: float

    def _value(self, x: FloatArray) -> float:
        found: float = self._number("weight") / 2 * (x**2).sum()
        return found

    def _prox(self, x: FloatArray, tau: float) -> FloatArray:
        return x / (1 + tau * self._number("weight"))


@dataclass(frozen=True)
class Lasso(_Penalty):
    """Lasso penalty: weight times the sum of ``|x|``, which makes many weights exactly zero.

    Parameters
    ----------
    weight : float
        Weight of the penalty, >= 0.
    """

    weight: float

    def _value(self, x: FloatArray) -> float:
        found: float = self._number("weight") * np.abs(x).sum()
        return found

    def _prox(self, x: FloatArray, tau: float) -> FloatArray:
        return _soft_threshold(x, tau * self._number("weight"))


@dataclass(frozen=True)
class ElasticNet(_Penalty):
    """Elastic net, between lasso and ridge: weight (l1_ratio sum ``|x|`` + (1 - l1_ratio) / 2 sum x^2).

    Parameters
    ----------
    weight : float
        Weight of the penalty, >= 0.
    l1_ratio : float, default=0.5
        Share of the lasso, in [0, 1]: 1 is `Lasso`, 0 is `Ridge`.
    """

    weight: float
    l1_ratio: float = 0.5

    def _weights(self) -> tuple[float, float]:
        weight, ratio = self._number("weight"), self._number("l1_ratio", most=1.0)
        return weight * ratio, weight * (1 - ratio)

    def _value(self, x: FloatArray) -> float:
        l1, l2 = self._weights()
        found: float = l1 * np.abs(x).sum() + l2 / 2 * (x**2).sum()
        return found

    def _prox(self, x: FloatArray, tau: float) -> FloatArray:
        l1, l2 = self._weights()
        return _soft_threshold(x, tau * l1) / (1 + tau * l2)


@dataclass(frozen=True)
class GroupLasso(_Penalty):
    """Group lasso: weight times the sum of the norms of all columns, or of all rows, which become zero as a whole.

    Column j of W and of V are the outgoing weights of hidden unit j, so ``{"WV": GroupLasso(weight)}`` makes units
    whose state is not read; row j of U, W and b are its incoming ones, so ``{"UWb": GroupLasso(weight, axis=1)}`` has
    units whose state is always zero.  `RNNClassifier.prune` removes both.

    Parameters
    ----------
    weight : float
        Weight of the penalty, >= 0.
    axis : {0, 1}, default=0
        Axis along which the norms are taken: 0 for columns, 1 for rows.
    """

    weight: float
    axis: int = 0

    def _norms(self, x: FloatArray) -> FloatArray:
        axis = validation.check_integer("axis of GroupLasso", self.axis, 0)
        if axis > 1:
            raise ValueError(f"axis of GroupLasso is {axis}; pass 0 for columns or 1 for rows")
        found: FloatArray = np.linalg.norm(x.astype(np.float64), axis=axis, keepdims=True)
        return found

    def _value(self, x: FloatArray) -> float:
        found: float = self._number("weight") * self._norms(x).sum()
        return found

    def _prox(self, x: FloatArray, tau: float) -> FloatArray:
        norms = self._norms(x)
        shrunk = _soft_threshold(norms, tau * self._number("weight"))
        return x * np.divide(shrunk, norms, out=np.zeros_like(norms), where=norms > 0)


@dataclass(frozen=True)
class NonNegative(_Penalty):
    """Constraint that no weight is negative: x >= 0."""

    def _value(self, x: FloatArray) -> float:
        return _indicator(x.min(initial=0) >= -_TOLERANCE)

    def _prox(self, x: FloatArray, tau: float) -> FloatArray:
        return np.maximum(x, 0)


@dataclass(frozen=True)
class Box(_Penalty):
    """Constraint on the range of weights: low <= x <= high, both rounded to the dtype of x.

    Parameters
    ----------
    low, high : float
        Bounds of the range, low <= high; either may be infinite.
    """

    low: float
    high: float

    def _bounds(self) -> tuple[float, float]:
        low, high = (
            bound
            if isinstance(bound, float) and math.isinf(bound)
            else validation.check_number(name, bound, least=-math.inf, alternatives=", or infinite")
            for name, bound in (("low of Box", self.low), ("high of Box", self.high))
        )
        if low > high:
            raise ValueError(f"low of Box is {self.low!r} and high is {self.high!r}; pass low <= high")
        return low, high

    def _value(self, x: FloatArray) -> float:
        low, high = self._bounds()
        return _indicator((x >= low - _TOLERANCE).all() and (x <= high + _TOLERANCE).all())

    def _prox(self, x: FloatArray, tau: float) -> FloatArray:
        return np.clip(x, *self._bounds())


@dataclass(frozen=True)
class SpectralBall(_Penalty):
    """Constraint that the largest singular value is at most ``radius``; with a W below 1 states forget their start.

    A projection takes a singular value decomposition, some milliseconds of every iteration for 128 units.

    Parameters
    ----------
    radius : float
        Largest singular value that is allowed, > 0.
    """

    radius: float

    def _value(self, x: FloatArray) -> float:
        radius = self._number("radius", strict=True)
        return _indicator(np.linalg.norm(x, 2) <= radius + _TOLERANCE * max(1.0, radius))

    def _prox(self, x: FloatArray, tau: float) -> FloatArray:
        radius = self._number("radius", strict=True)
        P, sigma, Q = np.linalg.svd(x.astype(np.float64), full_matrices=False)
        if not len(sigma) or sigma[0] <= radius:
            result: FloatArray = x.copy()
            return result
        # rounding to the dtype of x moves no singular value by more than the Frobenius norm of what is rounded off
        rounding = np.finfo(x.dtype).eps * np.linalg.norm(np.minimum(sigma, radius))
        found: FloatArray = (P * np.minimum(sigma, radius - rounding)) @ Q
        return found


@dataclass(frozen=True)
class Orthogonal(_Penalty):
    """Constraint that W is orthogonal, x^T x = I; ``prox`` takes the orthogonal factor of the polar decomposition of x.

    The constraint is not convex.  A projection takes a singular value decomposition, as with `SpectralBall`.
    """

    def _value(self, x: FloatArray) -> float:
        _check_square(x)
        return _indicator(np.abs(x.T @ x - np.eye(len(x))).max() <= _TOLERANCE)

    def _prox(self, x: FloatArray, tau: float) -> FloatArray:
        _check_square(x)
        P, _, Q = np.linalg.svd(x.astype(np.float64))
        found: FloatArray = P @ Q
        return found


@dataclass(frozen=True)
class Rank(_Penalty):
    """Constraint on the rank: the matrix is a product of two narrow ones, and `to_c` stores it as these.

    The constraint is not convex.  A projection takes a singular value decomposition, as with `SpectralBall`.

    Parameters
    ----------
    rank : int
        Largest rank that is allowed, >= 1.
    """

    rank: int

    def _rank(self) -> int:
        return validation.check_integer("rank of Rank", self.rank, 1)

    def _value(self, x: FloatArray) -> float:
        sigma = np.linalg.svd(x.astype(np.float64), compute_uv=False)
        return _indicator(sigma[self._rank() :].max(initial=0) <= _TOLERANCE * max(1.0, sigma.max(initial=0)))

    def _prox(self, x: FloatArray, tau: float) -> FloatArray:
        rank = self._rank()
        P, sigma, Q = np.linalg.svd(x.astype(np.float64), full_matrices=False)
        found: FloatArray = (P[:, :rank] * sigma[:rank]) @ Q[:rank]
        return found


@dataclass(frozen=True)
class Levels(_Penalty):
    """Constraint for integers: entries of a row are whole numbers from -levels to levels times a factor of that row.

    W and V that are made of 127 levels lose nothing when `to_c` writes them with 8 bits: training goes on with what the
    device will have.  The constraint is not convex, and ``prox`` keeps the largest entry of each row, so that the
    result is the nearest one among those that have it.

    Parameters
    ----------
    levels : int, default=127
        Largest whole number, >= 1.
    """

    levels: int = 127

    def _steps(self, x: FloatArray) -> FloatArray:
        levels = validation.check_integer("levels of Levels", self.levels, 1)
        largest = np.abs(x.astype(np.float64)).max(axis=1, initial=0, keepdims=True)
        found: FloatArray = np.where(largest > 0, largest, 1) / levels
        return found

    def _value(self, x: FloatArray) -> float:
        steps = self._steps(x)
        return _indicator(bool((np.abs(x - np.round(x / steps) * steps) <= _TOLERANCE * np.maximum(1, steps)).all()))

    def _prox(self, x: FloatArray, tau: float) -> FloatArray:
        steps = self._steps(x)
        found: FloatArray = np.round(x / steps) * steps
        return found


@dataclass(frozen=True)
class Flattened:
    """A penalty from an operator on vectors: ``prox`` is given the rows of the matrix one after the other.

    Parameters
    ----------
    operator : object
        Object with ``prox(x, tau)`` for a vector x, such as the operators of pyproximal.
    """

    operator: ProximalOperator

    def prox(self, x: FloatArray, tau: float) -> FloatArray:
        """Return the operator's ``prox`` in the shape and dtype of ``x``.

        Raises
        ------
        ValueError, TypeError
            If the operator has no ``prox``, returns another number of values, or x or tau is not usable.
        """
        x, tau = check_matrix("x", x), validation.check_number("tau", tau)
        validation.check_methods("operator of Flattened", self.operator, ("prox",), "an operator on vectors")
        found = np.asarray(self.operator.prox(x.ravel(), tau), x.dtype)
        if found.size != x.size:
            raise ValueError(f"operator of Flattened returned {found.size} values for {x.size}; it must return as many")
        return found.reshape(x.shape)


PENALTIES = (Ridge, Lasso, ElasticNet, GroupLasso, NonNegative, Box, SpectralBall, Orthogonal, Rank, Levels, Flattened)


def _soft_threshold(x: FloatArray, threshold: float) -> FloatArray:
    return x - np.clip(x, -threshold, threshold)


def _indicator(is_met: bool | np.bool_) -> float:
    return 0.0 if is_met else math.inf


def _check_square(x: FloatArray) -> None:
    if x.shape[0] != x.shape[1]:
        raise ValueError(f"Orthogonal is for square matrices and x has the shape {x.shape}; assign it to W")


def check_penalties(penalties: Any, known: Mapping[str, Sequence[str]]) -> dict[str, ProximalOperator]:
    """Return ``penalties`` as a dict, empty for None, or raise unless it has a prox for every block, and one at most.

    Parameters
    ----------
    penalties : dict or None
        Objects with ``prox(x, tau)`` by the names in ``known``; no block may have two.
    known : dict
        Names of the blocks that each name stands for, see `admmirnn.networks.blocks.PENALISED`.
    """
    if penalties is None:
        return {}
    if not isinstance(penalties, dict):
        raise TypeError(
            f"penalties is of type {type(penalties).__name__}; pass a dict such as {{'W': Lasso(1e-4)}}, or None"
        )
    owner: dict[str, str] = {}
    for name, penalty in penalties.items():
        validation.check_choice("a key of penalties", name, tuple(known))
        if isinstance(penalty, type) or not callable(getattr(penalty, "prox", None)):
            raise TypeError(
                f"penalties[{name!r}] is {penalty!r}, which has no method prox(x, tau); pass an object such as "
                "admmirnn.penalties.Lasso(1e-4)"
            )
        for block in known[name]:
            if block in owner:
                raise ValueError(
                    f"penalties has {owner[block]!r} and {name!r}, so {block} would have two; give every block one"
                )
            owner[block] = name
    return dict(penalties)


def check_matrix(name: str, x: object) -> FloatArray:
    """Return ``x``, or raise unless it is a matrix of float32 or float64."""
    if not isinstance(x, np.ndarray) or x.dtype.name not in validation.DTYPES:
        found = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
        raise TypeError(f"{name} is {found}; pass an array of float32 or float64")
    if x.ndim != 2:
        raise ValueError(f"{name} has {x.ndim} dimension(s); pass a matrix")
    return x
