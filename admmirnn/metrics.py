"""Scores of sequences of unequal lengths and of targets at each step, by the names that scikit-learn has for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, is_classifier
from sklearn.utils import Bunch

from admmirnn import validation
from admmirnn._typing import Array, BoolArray, FloatArray, IntArray, RandomState
from admmirnn.data.indexed import by_series
from admmirnn.data.labels import check_label_column, check_one_label, differs
from admmirnn.data.names import in_one_order
from admmirnn.data.reading_targets import (
    check_indicators,
    check_labels_of_sequences,
    check_labels_per_step,
    check_sample_weight,
    check_values,
)

__all__ = ["joined", "permutation_importance", "scorer"]

if TYPE_CHECKING:
    from admmirnn._typing import available_if
else:
    from sklearn.utils.metaestimators import available_if


def joined(y: Any, *predictions: Any, ignore_label: object = None) -> tuple[Array, ...]:
    """Join targets of steps, and predictions of them, into arrays that any metric of scikit-learn takes.

    Parameters
    ----------
    y : list of arrays of shape (n_steps_i,), or array of shape (n_sequences, n_steps)
        Labels or numbers, one for each step.
    *predictions : arrays of arrays, or arrays
        Results of `predict`, `predict_proba` or other methods for the same sequences.
    ignore_label : label or None, default=None
        Value in ``y`` of a step without a label; NaN for numbers.

    Returns
    -------
    y, *predictions : ndarray of shape (n_steps,) or (n_steps, ...)
        Targets and predictions of all steps that have a target.

    Raises
    ------
    ValueError
        If targets and predictions do not have the same number of steps.

    Examples
    --------
    >>> from sklearn.metrics import f1_score
    >>> from admmirnn.metrics import joined
    >>> true, predicted = joined([["a", "b"], ["b", "?", "b"]], [["a", "b"], ["b", "a", "b"]], ignore_label="?")
    >>> float(f1_score(true, predicted, average="macro"))
    1.0
    """
    check_one_label(ignore_label)
    lengths = _lengths("predictions[0]", predictions[0]) if predictions else _lengths("y", y)
    labels = check_labels_per_step(y, lengths, ignore_label)
    present = np.ones(len(labels), bool) if ignore_label is None else differs(labels, ignore_label)
    found = [labels[present]]
    for i, rows in enumerate(predictions):
        if _lengths(f"predictions[{i}]", rows).tolist() != lengths.tolist():
            raise ValueError(
                f"predictions[{i}] has sequences of other lengths than predictions[0]; pass predictions for the same X"
            )
        found.append(np.concatenate([np.asarray(row) for row in rows])[present])
    return tuple(found)


def _lengths(name: str, rows: Any) -> IntArray:
    """How many steps each sequence has, or raise unless these are arrays of steps."""
    validation.check_length(name, rows, "a list with an array for each sequence")
    if not len(rows):
        raise ValueError(f"{name} is empty; pass an array for each sequence")
    if isinstance(rows, (str, bytes, Mapping, Set)):
        raise TypeError(f"{name} is of type {type(rows).__name__}; pass a list with an array for each sequence")
    counts = [validation.check_length(f"{name}[{i}]", row, "an array of its steps") for i, row in enumerate(rows)]
    return np.array(counts, dtype=np.intp)


def scorer(scoring: str | Callable[..., float] = "accuracy", *, ignore_label: object = None) -> Scorer:
    """Return a scorer for `cross_validate`, `GridSearchCV` and the like, by a name of scikit-learn.

    Its score is that of all sequences, or, where each step has a target, of all steps of all sequences; those without a
    target do not count.

    Parameters
    ----------
    scoring : str or scorer, default="accuracy"
        A name such as "f1_macro", "roc_auc" or "neg_mean_absolute_error" (see
        `sklearn.metrics.get_scorer_names`), or what `sklearn.metrics.make_scorer` returns.
    ignore_label : label or None, default=None
        Value in y of a step without a label; by default, that of the estimator.

    Returns
    -------
    Scorer
        Function of an estimator, X, y and, optionally, weights.

    Raises
    ------
    ValueError
        If there is no score of that name.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import KFold, cross_validate
    >>> from admmirnn import RNNClassifier
    >>> from admmirnn.metrics import scorer
    >>> rng = np.random.default_rng(0)
    >>> X = [rng.normal(size=(n, 2)) for n in rng.integers(5, 12, size=60)]
    >>> y = [np.where(x[:, 0] > 0, "up", "down") for x in X]  # one for each step
    >>> model = RNNClassifier(hidden_size=8, random_state=0)
    >>> found = cross_validate(model, X, y, cv=KFold(3), scoring={"f1": scorer("f1_macro"), "auc": scorer("roc_auc")})
    >>> found["test_f1"].shape
    (3,)
    """
    return Scorer(scoring, ignore_label)


class Scorer:
    """Function of an estimator, X and y, as `scorer` returns it."""

    scoring: str | Callable[..., float]
    ignore_label: object

    def __init__(self, scoring: str | Callable[..., float], ignore_label: object = None) -> None:
        from sklearn.metrics import get_scorer  # here: it is slow to import

        if not callable(scoring) and not isinstance(scoring, str):
            raise TypeError(f"scoring is {scoring!r:.60} of type {type(scoring).__name__}; pass a name, or a scorer")
        check_one_label(ignore_label)
        self.scoring, self.ignore_label = scoring, ignore_label
        with validation.naming("scoring"):
            self._scorer: Any = get_scorer(scoring)

    def __repr__(self) -> str:
        ignored = "" if self.ignore_label is None else f", ignore_label={self.ignore_label!r}"
        return f"scorer({self.scoring!r}{ignored})"

    def __call__(self, estimator: Any, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the score of a fitted estimator on X, whose targets are y."""
        validation.check_methods("estimator", estimator, ("predict",), "a fitted estimator")
        X, y, sample_weight = by_series(X, y, sample_weight)
        inner = _innermost(estimator)
        ignore_label = getattr(inner, "ignore_label", None) if self.ignore_label is None else self.ignore_label
        responses = _Responses(estimator, X)
        targets, present = _targets(inner, y, responses, ignore_label)
        lengths = responses.lengths
        weights = check_sample_weight(sample_weight, lengths, per_step=responses.every_step)
        facade = (_Classifier if is_classifier(estimator) else _Regressor)(responses, present)
        more = {} if weights is None or sample_weight is None else {"sample_weight": weights[present]}
        return float(self._scorer(facade, X, targets[present], **more))


def _innermost(estimator: Any) -> Any:
    """The estimator of admmirnn in a pipeline, or in a search for settings."""
    while not hasattr(estimator, "_form_of_targets"):
        inner = getattr(estimator, "best_estimator_", None) or getattr(estimator, "estimator_", None)
        if inner is None and hasattr(estimator, "steps"):
            inner = estimator.steps[-1][1]
        if inner is None:
            return estimator
        estimator = inner
    return estimator


class _Responses:
    """Answers of an estimator for sequences, computed once per method, with a row for each sequence or step."""

    def __init__(self, estimator: Any, X: Any) -> None:
        self.estimator, self._X = estimator, X
        self._known: dict[str, Array] = {}
        predicted = estimator.predict(X)
        form = getattr(_innermost(estimator), "_form_of_targets", None)
        self.every_step = form != "sequence" if form else predicted.dtype == object
        self.lengths: IntArray = np.array([len(row) if self.every_step else 1 for row in predicted], dtype=np.intp)
        self._known["predict"] = self._rows(predicted)

    def of(self, method: str) -> Array:
        """The rows of a method."""
        if method not in self._known:
            self._known[method] = self._rows(getattr(self.estimator, method)(self._X))
        return self._known[method]

    def _rows(self, found: Any) -> Array:
        return np.concatenate(list(found)) if self.every_step else np.asarray(found)


def _targets(inner: Any, y: Any, responses: _Responses, ignore_label: Any) -> tuple[Array, BoolArray]:
    """True targets, with a row for each of the responses, and which of them are present."""
    lengths, every_step = responses.lengths, responses.every_step
    if not is_classifier(responses.estimator):
        kind = "step" if every_step else "sequence"
        values, present, _, single = check_values(y, lengths, targets=kind)
        return values[:, 0] if single else values, present
    if getattr(inner, "_several", False):
        values, present, _ = check_indicators(y, lengths, ignore_label=ignore_label)
        return values.astype(int), present
    if every_step:
        labels = check_labels_per_step(y, lengths, ignore_label)
    else:
        labels = check_labels_of_sequences(y, lengths, ignore_label)
    present = np.ones(len(labels), bool) if ignore_label is None else differs(labels, ignore_label)
    check_label_column(labels[present], lambda i: f"entry {i} of all targets")
    return labels, present


class _Facade(BaseEstimator):
    """Stand-in for the estimator whose samples are rows, and whose answers are those found for sequences."""

    def __init__(self, responses: _Responses, present: BoolArray) -> None:
        self.responses, self.present = responses, present

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, X: object) -> Array:
        return self.responses.of("predict")[self.present]


def _has(method: str) -> Callable[[_Facade], bool]:
    return lambda facade: hasattr(facade.responses.estimator, method)


class _Regressor(RegressorMixin, _Facade):
    pass


class _Classifier(ClassifierMixin, _Facade):
    @property
    def classes_(self) -> Array:
        found: Array = self.responses.estimator.classes_
        return found

    @available_if(_has("predict_proba"))
    def predict_proba(self, X: object) -> Array:
        return self.responses.of("predict_proba")[self.present]

    @available_if(_has("predict_log_proba"))
    def predict_log_proba(self, X: object) -> Array:
        return self.responses.of("predict_log_proba")[self.present]

    @available_if(_has("decision_function"))
    def decision_function(self, X: object) -> Array:
        return self.responses.of("decision_function")[self.present]


def permutation_importance(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    *,
    scoring: str | Callable[..., float] | None = None,
    n_repeats: int = 5,
    random_state: RandomState = None,
    sample_weight: ArrayLike | None = None,
) -> Bunch:
    """Return by how much the score falls when a feature is exchanged between sequences, for each feature.

    The series of one feature are put behind one another in random order, and cut into the lengths of the sequences, so
    that they stay series; where all are equally long, each gets that of another. That of a single sequence is rotated.

    Parameters
    ----------
    estimator : estimator
        Fitted estimator, or a pipeline that ends with one.
    X : array-like or list of arrays
        Sequences as in `fit`, preferably not those that it was trained on.
    y : array-like or list of arrays
        Targets as in `fit`.
    scoring : str, scorer or None, default=None
        Score, see `scorer`; None is the estimator's own.
    n_repeats : int, default=5
        Number of times that each feature is exchanged, >= 1.
    random_state : int, RandomState or None, default=None
        Seed for the random orders.
    sample_weight : array-like, optional
        Weights as in `score`.

    Returns
    -------
    sklearn.utils.Bunch
        Importances, as of `sklearn.inspection.permutation_importance`: ``importances`` of shape (n_features,
        n_repeats), ``importances_mean`` and ``importances_std``; and ``feature_names``, or None.

    Raises
    ------
    ValueError, TypeError
        As in `score`, or if an argument is out of its range.
    """
    n_repeats = validation.check_integer("n_repeats", n_repeats, 1)
    rng = validation.check_random_state(random_state)
    validation.check_methods("estimator", estimator, ("score",), "a fitted estimator")
    X, y, sample_weight = by_series(X, y, sample_weight)
    arrays, names = _arrays_of(X)
    score: Any = estimator.score if scoring is None else _bound(scorer(scoring), estimator)
    weights = () if sample_weight is None else (sample_weight,)
    baseline = score(X, y, *weights)
    of_table = not isinstance(X, (list, tuple)) and np.ndim(X) == 2
    n_features = arrays[0].shape[1]
    importances = np.empty((n_features, n_repeats))
    for feature in range(n_features):
        for repeat in range(n_repeats):
            exchanged = _exchanged(arrays, feature, rng)
            given: Any = exchanged if names is None else [dict(zip(names, x.T, strict=True)) for x in exchanged]
            given = np.stack(exchanged)[:, :, 0] if of_table else given
            importances[feature, repeat] = baseline - score(given, y, *weights)
    return Bunch(
        importances=importances,
        importances_mean=importances.mean(axis=1),
        importances_std=importances.std(axis=1),
        feature_names=names,
    )


def _bound(of: Scorer, estimator: Any) -> Callable[..., float]:
    return lambda X, y, *weights: of(estimator, X, y, *weights)


def _arrays_of(X: Any) -> tuple[list[FloatArray], list[Any] | None]:
    """The sequences as arrays (n_steps_i, n_features), and the names of the features, if they have some."""
    if hasattr(X, "columns") and np.ndim(X) == 2:
        X = np.asarray(X)
    X = validation.in_lists(X)
    if isinstance(X, (str, bytes, Mapping, Set)) or not validation.check_length("X", X, "sequences, as in fit"):
        raise ValueError(f"X is {X!r:.60}; pass sequences, as in fit")
    items, names = in_one_order(list(X))
    arrays = [validation.as_numbers(x, f"X[{i}]", np.float64) for i, x in enumerate(items)]
    return [x[:, None] if x.ndim == 1 else x for x in arrays], names


def _exchanged(arrays: list[FloatArray], feature: int, rng: np.random.RandomState) -> list[FloatArray]:
    order = rng.permutation(len(arrays))
    series = np.concatenate([arrays[i][:, feature] for i in order])
    if len(arrays) == 1 and len(series) > 1:
        series = np.roll(series, rng.randint(1, len(series)))
    found = [x.copy() for x in arrays]
    end = 0
    for x in found:
        start, end = end, end + len(x)
        x[:, feature] = series[start:end]
    return found
