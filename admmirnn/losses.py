"""Losses R(o, y): what the solvers need to know of each.

A loss has ``step``, the proximal step of its kernel, ``value``, its weighted mean, and ``constant_loss``, what the best
constant output would cost; a solver compares with the latter to see whether a network has been thrown away.
``takes_labels`` says whether targets are class numbers.  R of a row and its proximal operator are in the tables
``LOSSES`` of ``_kernels/output.pyx`` and of its twin ``reference/output.py``: ``name`` is the loss's row there, and
``parameter`` what that is given.  Rows of weight 0 do not count, and whatever is their target is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from admmirnn._typing import Array, CustomLoss, FloatArray, IntArray
from admmirnn.validation import blocks, check_choice, check_integer, check_number

if TYPE_CHECKING:
    from admmirnn.reference.kernels import Kernels
else:
    Kernels = Any

__all__ = [
    "AbsoluteError",
    "Hinge",
    "Huber",
    "Loss",
    "Quantile",
    "Quantiles",
    "SigmoidCrossEntropy",
    "SoftmaxCrossEntropy",
    "SquaredError",
    "UserLoss",
]

_HALVINGS = 60
_MOST_ROWS = 1 << 20  # whose targets are sorted, or looked at again and again
_ROUNDING = 1e-9  # of losses that are zero


class Loss:
    """What the losses with a kernel share."""

    least_rho: float

    name: str
    parameter: float = 0.0
    takes_labels = False
    least_rho = 0.0  # of the roll-out, which rests where the Moreau envelope of R is stationary: R itself as rho grows

    @property
    def target_dtype(self) -> type[np.intp] | None:
        """Type of the targets; None for the type of the network."""
        return np.intp if self.takes_labels else None

    def step(
        self,
        kernels: Kernels,
        Q: FloatArray,
        targets: Array,
        weights: FloatArray,
        rho: float,
        O_plus: FloatArray,
        lambda3: FloatArray,
    ) -> tuple[float, int | None]:
        """Write o+ and lambda3; return the loss at Q and, of class numbers, how many rows are largest at y."""
        return kernels.o_step(Q, *self._of_kind(targets), weights, rho, O_plus, lambda3, self.name, self.parameter)

    def value(self, kernels: Kernels, O: FloatArray, targets: Array, weights: FloatArray) -> tuple[float, int | None]:
        """Return the weighted mean at O and, of class numbers, how many rows of positive weight are largest at y."""
        return kernels.loss_value(O, *self._of_kind(targets), weights, self.name, self.parameter)

    def constant_loss(self, targets: Array, weights: Array) -> float:
        """Return the loss of the best constant output."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other) if type(self) is type(other) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), self.parameter))

    def _of_kind(self, targets: Array) -> tuple[Array | None, Array | None]:
        return (targets, None) if self.takes_labels else (None, targets)


class SoftmaxCrossEntropy(Loss):
    """Cross-entropy of the softmax, R(o, y) = log sum_k exp(o_k) - o_y, with y a class number.

    The proximal operator is exact: Newton's method on a strictly convex function whose Hessian is diagonal
    plus rank one.
    """

    name = "cross_entropy"
    takes_labels = True

    def constant_loss(self, targets: Array, weights: Array) -> float:
        """The entropy of the class frequencies, in nats."""
        frequencies = _class_frequencies(targets, weights)
        return max(0.0, float(-xlogy(frequencies, frequencies).sum()))  # 1 may be a little more


class Hinge(Loss):
    """Hinge loss of each class against all others, R(o, y) = sum_k max(0, 1 - t_k o_k), with y a class number.

    t_k is 1 for k = y, and -1 otherwise.

    o+ is q, or q moved by 1/rho towards t_k, or t_k where that lies between.
    """

    name = "hinge"
    least_rho: float = 100.0  # not smooth
    takes_labels = True

    def constant_loss(self, targets: Array, weights: Array) -> float:
        """Twice the sum of the rarer answers: o_k = -1 for a class of frequency p below a half costs 2 p."""
        frequencies = _class_frequencies(targets, weights)
        return max(0.0, float(2 * np.minimum(frequencies, 1 - frequencies).sum()))  # 1 may be a little more


class SquaredError(Loss):
    """Squared error, R(o, y) = 1/2 ``|o - y|^2``, with y of shape (n_outputs,); o+ = (y + rho q) / (1 + rho)."""

    name = "squared_error"

    def constant_loss(self, targets: Array, weights: Array) -> float:
        """Half the variance of the targets."""
        total, mean = _mean_target(targets, weights)
        squares = sum((w / total) @ (y - mean) ** 2 for y, w in _blocks_with_weight(targets, weights))
        return float(0.5 * np.sum(squares))


class SigmoidCrossEntropy(Loss):
    """Cross-entropy of several labels at once, R(o, y) = sum_k log(1 + exp(o_k)) - y_k o_k, with y_k from 0 to 1.

    o+ solves y - sigma(o) = rho (o - q), by Newton's method within a bracket.
    """

    name = "sigmoid_cross_entropy"

    def constant_loss(self, targets: Array, weights: Array) -> float:
        """The sum of the entropies of the outputs' mean targets, in nats."""
        p = np.clip(_mean_target(targets, weights)[1], 0, 1)
        return float(-(xlogy(p, p) + xlogy(1 - p, 1 - p)).sum())


class Huber(Loss):
    """Huber loss: sum_k 1/2 (o_k - y_k)^2, and delta (``|o_k - y_k|`` - delta/2) where ``|o_k - y_k|`` > delta.

    rho (o+ - q) is that of the squared error, and at most delta in size.

    Parameters
    ----------
    delta : float, default=1.0
        Error from which the loss is linear, > 0.
    """

    name = "huber"

    def __init__(self, delta: float = 1.0) -> None:
        self.delta: float = check_number("delta", delta, strict=True)

    @property
    def parameter(self) -> float:  # type: ignore[override]  # it is never set
        """The setting, as the kernels take it."""
        return self.delta

    def constant_loss(self, targets: Array, weights: Array) -> float:
        """The loss at the root of its derivative, which is found by halving the span of the targets."""
        y, shares = _rows_with_weight(targets, weights)
        low, high = y.min(axis=0), y.max(axis=0)
        for _ in range(_HALVINGS):
            middle = low + 0.5 * (high - low)
            rises = shares @ np.clip(middle - y, -self.delta, self.delta) > 0
            low, high = np.where(rises, low, middle), np.where(rises, middle, high)
        size = np.abs(y - low)
        R = np.where(size <= self.delta, 0.5 * size**2, self.delta * (size - 0.5 * self.delta))
        return float((shares @ R).sum())


class Quantile(Loss):
    """Quantile loss: sum_k quantile (y_k - o_k) where o_k < y_k, and (1 - quantile) (o_k - y_k) elsewhere.

    y has the shape (n_outputs,).  o+ is q moved by quantile/rho or (1 - quantile)/rho towards y, or y where that is
    less far.

    Parameters
    ----------
    quantile : float, default=0.5
        Level of the quantile of y, given the observations, that the outputs estimate; > 0 and < 1.
    """

    name = "quantile"
    least_rho: float = 100.0  # not smooth

    def __init__(self, quantile: float = 0.5) -> None:
        self.quantile: float = check_number("quantile", quantile, strict=True, below=1.0)

    @property
    def parameter(self) -> float:  # type: ignore[override]  # it is never set
        """The setting, as the kernels take it."""
        return self.quantile

    def constant_loss(self, targets: Array, weights: Array) -> float:
        """The loss of the quantile of the targets."""
        y, shares = _rows_with_weight(targets, weights)
        return _constant_pinball(y, shares, self.quantile)


class Quantiles(Loss):
    """Sum of the losses `Quantile` for several quantiles, so that one network predicts all of them.

    y has the shape (n_outputs,), and output j is that of the quantile j modulo their number: a target is repeated for
    each of them.  Outputs may cross; sorted, they cost no more.

    Parameters
    ----------
    quantiles : sequence of float, default=(0.1, 0.5, 0.9)
        Levels of the quantiles, each > 0 and < 1.
    """

    quantiles: tuple[float, ...]

    name: str | None = None  # type: ignore[assignment]  # no kernel knows it
    least_rho: float = 100.0  # not smooth

    def __init__(self, quantiles: Sequence[float] = (0.1, 0.5, 0.9)) -> None:
        if isinstance(quantiles, (str, bytes)) or not hasattr(quantiles, "__iter__"):
            raise TypeError(f"quantiles is {quantiles!r} of type {type(quantiles).__name__}; pass a list of numbers")
        self.quantiles = tuple(check_number("an entry of quantiles", q, strict=True, below=1.0) for q in quantiles)
        if not self.quantiles:
            raise ValueError("quantiles is empty; pass one or more")

    def __hash__(self) -> int:
        return hash(self.quantiles)

    def step(
        self,
        kernels: Kernels,
        Q: FloatArray,
        targets: Array,
        weights: FloatArray,
        rho: float,
        O_plus: FloatArray,
        lambda3: FloatArray,
    ) -> tuple[float, int | None]:
        """Write o+ and lambda3; return the loss at Q."""
        of_outputs = self._of_outputs(Q)
        rows = weights > 0
        with np.errstate(invalid="ignore"):  # the network's fault, which the solver sees by its loss
            moved = np.clip(np.where(rows[:, None], targets, Q) - Q, (of_outputs - 1) / rho, of_outputs / rho)
        O_plus[:] = Q + moved
        lambda3[:] = (rho * weights[:, None]) * moved
        return self.value(kernels, Q, targets, weights)

    def value(
        self, kernels: Kernels | None, O: FloatArray, targets: Array, weights: FloatArray
    ) -> tuple[float, int | None]:
        """Return the weighted mean at O."""
        rows = np.flatnonzero(weights)
        o, w = O[rows].astype(np.float64), weights[rows].astype(np.float64)
        if not len(rows) or not np.isfinite(o).all():
            return np.nan, None
        R = _pinball(targets[rows] - o, self._of_outputs(O)).sum(axis=1)
        return float(w @ R / w.sum()), None

    def constant_loss(self, targets: Array, weights: Array) -> float:
        """The loss of the quantiles of the targets."""
        y, shares = _rows_with_weight(targets, weights)
        of_outputs = self._of_outputs(y)
        return sum(_constant_pinball(y[:, [k]], shares, float(q)) for k, q in enumerate(of_outputs))

    def _of_outputs(self, O: FloatArray) -> NDArray[np.floating[Any]]:
        n, K = len(self.quantiles), O.shape[1]
        if K % n:
            raise ValueError(f"y has {K} value(s) per target and loss has {n} quantiles; repeat each value {n} times")
        return np.tile(np.array(self.quantiles, O.dtype), K // n)


class AbsoluteError(Loss):
    """Absolute error, R(o, y) = sum_k ``|o_k - y_k|``, with y of shape (n_outputs,).

    o+ is q moved by 1/rho towards y, but not beyond.
    """

    name = "absolute_error"
    least_rho: float = 100.0  # not smooth

    def constant_loss(self, targets: Array, weights: Array) -> float:
        """The loss of the median of the targets."""
        y, shares = _rows_with_weight(targets, weights)
        return 2 * _constant_pinball(y, shares, 0.5)


LOSSES_OF_CLASSES = {loss.name: loss for loss in (SoftmaxCrossEntropy, Hinge, SigmoidCrossEntropy)}
LOSSES_OF_VALUES: dict[str, type[Loss]] = {
    **{loss.name: loss for loss in (SquaredError, Huber, AbsoluteError, Quantile)},
    "quantiles": Quantiles,
}


class UserLoss:
    """Loss that a user defines by its value and its proximal operator in numpy.

    It is given the rows that have a positive weight, in float64.

    Parameters
    ----------
    loss : object
        Object with ``value(o, y)``, which returns R of every row, of shape (rows,), and ``prox(q, y, rho)``, which
        returns argmin_o R(o, y) + ``rho/2 |o - q|^2`` of every row, of the shape of q.  Its attribute ``takes_labels =
        True`` says that targets are class numbers.  Its method ``constant_loss(y, weights)``, which may be missing,
        returns the loss of the best constant output.  That loss, or without the method the loss of zero outputs, must
        be at least 0, because the solver compares losses with it.
    n_outputs : int or None, default=None
        Number of outputs of the network; None takes as many as the targets have values, or as there are classes.
    """

    name: str | None = None  # no kernel knows it
    parameter: float = 0.0

    def __init__(self, loss: CustomLoss, n_outputs: int | None = None) -> None:
        if isinstance(loss, type):
            raise TypeError(f"loss is the class {loss.__name__}; pass an object of it, such as {loss.__name__}()")
        for method in ("value", "prox"):
            if not callable(getattr(loss, method, None)):
                raise TypeError(f"loss is {loss!r}, which has no method {method!r}; it must have 'value' and 'prox'")
        self.loss = loss
        self.n_outputs: int | None = None if n_outputs is None else check_integer("n_outputs", n_outputs, 1)
        self.takes_labels: bool = bool(getattr(loss, "takes_labels", False))
        self.least_rho: float = float(getattr(loss, "least_rho", 0.0))
        self.target_dtype: type[np.intp] | None = np.intp if self.takes_labels else None

    def __repr__(self) -> str:
        return f"UserLoss(loss={self.loss!r}, n_outputs={self.n_outputs!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, UserLoss):
            return NotImplemented
        return bool(self.loss == other.loss) and self.n_outputs == other.n_outputs

    def __hash__(self) -> int:
        return hash((type(self.loss), self.n_outputs))  # the loss itself need not have one

    def step(
        self,
        kernels: Kernels,
        Q: FloatArray,
        targets: Array,
        weights: FloatArray,
        rho: float,
        O_plus: FloatArray,
        lambda3: FloatArray,
    ) -> tuple[float, int | None]:
        """Write o+ and lambda3; return the loss at Q and, of class numbers, how many rows are largest at y."""
        rows = np.flatnonzero(weights)
        q, w = Q[rows].astype(np.float64), weights[rows].astype(np.float64)
        O_plus[:], lambda3[:] = Q, 0
        if not np.isfinite(q).all():  # the network's fault, which the solver sees by its loss
            return np.nan, None
        if len(rows):
            o_plus = self._result("prox", q.shape, q, self._targets(targets, rows), rho)
            O_plus[rows], lambda3[rows] = o_plus, w[:, None] * (rho * (o_plus - q))
        return self.value(kernels, Q, targets, weights)

    def value(
        self, kernels: Kernels | None, O: FloatArray, targets: Array, weights: FloatArray
    ) -> tuple[float, int | None]:
        """Return the weighted mean at O and, of class numbers, how many rows of positive weight are largest at y."""
        rows = np.flatnonzero(weights)
        o, w = O[rows].astype(np.float64), weights[rows].astype(np.float64)
        if not len(rows) or not np.isfinite(o).all():
            return np.nan, None
        y = self._targets(targets, rows)
        R = self._result("value", (len(rows),), o, y)
        return float(w @ R / w.sum()), int((o.argmax(axis=1) == y).sum()) if self.takes_labels else None

    def constant_loss(self, targets: Array, weights: Array) -> float:
        """What the loss's own ``constant_loss`` says, or the loss of outputs that are zero."""
        targets, weights = _sample(targets, weights)
        rows = np.flatnonzero(weights)
        y, w = self._targets(targets, rows), np.asarray(weights)[rows].astype(np.float64)
        constant_loss: Callable[[Array, Array], Any] | None = getattr(self.loss, "constant_loss", None)
        if callable(constant_loss):
            found = constant_loss(y, w)
            is_scalar: bool = np.isscalar(found)
            if not (is_scalar and np.isfinite(found)):
                raise ValueError(
                    f"constant_loss of {type(self.loss).__name__} is {found!r}; it must be a finite number"
                )
            return self._at_least_zero(float(found), "of the best constant output")
        K = self.n_outputs or (int(y.max()) + 1 if self.takes_labels else y.shape[1])
        found = self.value(None, np.zeros((len(targets), K)), targets, np.asarray(weights))[0]
        return self._at_least_zero(found, "of outputs that are zero")

    def _at_least_zero(self, loss: float, of_what: str) -> float:
        """The loss, or zero where it is below by rounding."""
        if loss < -_ROUNDING:
            raise ValueError(
                f"the loss {of_what} is {loss:.6g} with {type(self.loss).__name__}; it must be at least 0: add a "
                "constant to what value and constant_loss return"
            )
        return max(loss, 0.0)

    def _targets(self, targets: Array, rows: IntArray) -> Array:
        y = np.asarray(targets)[rows]
        return y if self.takes_labels else y.astype(np.float64)

    def _result(self, method: str, shape: tuple[int, ...], first: FloatArray, *others: object) -> NDArray[np.float64]:
        """What the method returns, given a copy of the outputs, or raise unless it is finite and of that shape."""
        what = f"{method} of {type(self.loss).__name__}"
        found = getattr(self.loss, method)(first.copy(), *others)
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu":
            kind = f"an array of {found.dtype}" if isinstance(found, np.ndarray) else type(found).__name__
            raise TypeError(f"{what} returned {kind}; it must return an array of real numbers")
        if found.shape != shape:
            raise ValueError(f"{what} returned an array of shape {found.shape}; it must be of shape {shape}")
        if not np.isfinite(found).all():
            raise ValueError(f"{what} returned values that are not finite, for finite outputs")
        return found.astype(np.float64, copy=False)


AnyLoss: TypeAlias = Loss | UserLoss


def loss_of(setting: Any, known: Mapping[str, type[Loss]]) -> AnyLoss:
    """Return the loss that a setting stands for: one of the dict ``known``, by name or as an object, or a user's."""
    if isinstance(setting, str):
        return known[check_choice("loss", setting, tuple(known))]()
    if isinstance(setting, Loss) and not isinstance(setting, tuple(known.values())):
        raise ValueError(f"loss is {setting!r}; of the losses here, this estimator takes {', '.join(map(repr, known))}")
    return setting if isinstance(setting, (Loss, UserLoss)) else UserLoss(setting)


def _rows_with_weight(targets: Array, weights: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Targets of the rows that have a weight, or of many of them, and their shares of it."""
    targets, weights = _sample(targets, weights)
    weights = np.asarray(weights, np.float64)
    rows = np.flatnonzero(weights)
    return np.asarray(targets)[rows].astype(np.float64), weights[rows] / weights.sum()


def _sample(targets: Array, weights: FloatArray) -> tuple[Array, FloatArray]:
    """Targets and weights, or those of rows drawn at random, if what is made of them would take too much memory."""
    if len(targets) <= _MOST_ROWS:
        return targets, weights
    rows = np.sort(np.random.default_rng(0).integers(len(targets), size=_MOST_ROWS))
    some = weights[rows]
    if not some.any():  # hardly any has a weight
        rows = np.flatnonzero(weights)[:_MOST_ROWS]
        some = weights[rows]
    return np.asarray(targets)[rows], some


def _blocks_with_weight(
    targets: Array, weights: FloatArray
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield targets of rows that have a weight, and these, some rows at a time."""
    for rows in blocks(len(targets)):
        some = np.asarray(weights[rows], np.float64)
        are_rows_with_weight = np.flatnonzero(some)
        yield np.asarray(targets[rows])[are_rows_with_weight].astype(np.float64), some[are_rows_with_weight]


def _mean_target(targets: Array, weights: FloatArray) -> tuple[float, NDArray[np.float64]]:
    """The sum of all weights, and the mean of the targets."""
    total = float(sum(w.sum() for _, w in _blocks_with_weight(targets, weights)))
    mean = np.zeros(targets.shape[1])
    for y, w in _blocks_with_weight(targets, weights):
        mean += (w / total) @ y
    return total, mean


def _class_frequencies(targets: Array, weights: FloatArray) -> NDArray[np.float64]:
    total = float(sum(w.sum() for _, w in _blocks_with_weight(targets, weights)))
    found: NDArray[np.float64] = np.zeros(0)
    for labels, w in _blocks_with_weight(targets, weights):
        of_block = np.bincount(labels.astype(np.intp), w / total, len(found)).astype(np.float64, copy=False)
        of_block[: len(found)] += found
        found = of_block
    return found


def _pinball(residuals: FloatArray, quantiles: FloatArray) -> FloatArray:
    found: FloatArray = np.maximum(quantiles * residuals, (quantiles - 1) * residuals)
    return found


def _constant_pinball(y: NDArray[np.float64], shares: NDArray[np.float64], quantile: float) -> float:
    order = np.argsort(y, axis=0)
    below = np.cumsum(shares[order], axis=0)
    first = np.minimum((below < quantile).sum(axis=0), len(y) - 1)
    columns = np.arange(y.shape[1])
    residual = y - y[order[first, columns], columns]
    return float((shares @ _pinball(residual, np.array([quantile]))).sum())
