"""Cross-validation of sequences: predictions of unequal lengths, and long series in the order of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone, is_classifier

from admmirnn import validation
from admmirnn._typing import Array, IntArray
from admmirnn.data.indexed import by_series
from admmirnn.data.labels import as_labels

__all__ = ["ChunkSplit", "cross_val_predict", "series_in_chunks"]

_OF_CLASSES = {"predict_proba": 0.0, "predict_log_proba": -np.inf, "decision_function": -np.inf}


def series_in_chunks(X: Any, y: Any = None, *, chunk_size: int) -> tuple[list[Any], list[Any] | None, IntArray]:
    """Cut long series into chunks of equal lengths, which can be held out as sequences.

    Parameters
    ----------
    X : list of arrays of shape (n_steps_i, n_features) or of frames
        Series to cut, one or several.
    y : list of arrays of shape (n_steps_i,) or (n_steps_i, k), optional
        Targets, one for each step.
    chunk_size : int
        Number of steps of a chunk, >= 1; the last chunk of each series may be shorter.

    Returns
    -------
    X : list of arrays or frames
        Chunks in the order of time, one series after the other.
    y : list of arrays, or None
        Their targets.
    series : ndarray of shape (n_chunks,)
        Index of the series that each chunk belongs to; pass it as ``groups`` to `ChunkSplit`.

    Raises
    ------
    ValueError, TypeError
        If a series has not as many targets as steps, or ``chunk_size`` is out of its range.
    """
    chunk_size = validation.check_limit("chunk_size", chunk_size, 1)
    X, y = by_series(X, y)
    if not isinstance(X, (list, tuple)) and np.ndim(X) < 3:
        raise ValueError("X is not a list of series; pass [X] for a single one")
    if y is not None and (isinstance(y, (str, bytes, Mapping, Set)) or not hasattr(y, "__getitem__")):
        raise TypeError(f"y is of type {type(y).__name__}; pass a list with an array of targets for each series")
    chunks, targets, series = [], [], []
    for i, x in enumerate(X):
        n = validation.check_length(f"X[{i}]", x, "an array (n_steps, n_features)")
        if y is not None and (len(y) != len(X) or np.ndim(y[i]) == 0 or len(y[i]) != n):
            found = len(y[i]) if len(y) > i and np.ndim(y[i]) else "no array of"
            raise ValueError(f"y[{i}] has {found} targets and X[{i}] has {n} steps; pass one target per step")
        for start in range(0, n, chunk_size):
            part = slice(start, start + chunk_size)
            chunks.append(x.iloc[part] if hasattr(x, "iloc") else x[part])
            series.append(i)
            if y is not None:
                targets.append(y[i].iloc[part] if hasattr(y[i], "iloc") else y[i][part])
    return chunks, None if y is None else targets, np.array(series, dtype=np.intp)


class ChunkSplit(BaseEstimator):
    """Cross-validator for chunks of long series that tests on chunks after those that it trains on.

    As `sklearn.model_selection.TimeSeriesSplit`, of each series on its own: the k-th split trains on the first k of
    ``n_splits + 1`` parts of every series, and tests on the part behind them.

    Parameters
    ----------
    n_splits : int, default=5
        Number of splits, >= 2.
    gap : int, default=0
        Number of chunks between the training and the test part that are left out, >= 0, such as overlapping ones.
    max_train_size : int or None, default=None
        Largest number of chunks of a series to train on; the last ones are taken.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import cross_val_score
    >>> from admmirnn import RNNRegressor
    >>> from admmirnn.model_selection import ChunkSplit, series_in_chunks
    >>> series = np.sin(np.arange(600) / 5)
    >>> X, y, groups = series_in_chunks([series[:-1, None]], [series[1:]], chunk_size=25)
    >>> model = RNNRegressor(hidden_size=8, random_state=0)
    >>> cross_val_score(model, X, y, groups=groups, cv=ChunkSplit(3)).shape
    (3,)
    """

    n_splits: int
    gap: int
    max_train_size: int | None

    def __init__(self, n_splits: int = 5, *, gap: int = 0, max_train_size: int | None = None) -> None:
        self.n_splits, self.gap, self.max_train_size = n_splits, gap, max_train_size

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:
        """Return the number of splits."""
        return validation.check_integer("n_splits", self.n_splits, 2)

    def split(self, X: Any, y: object = None, groups: ArrayLike | None = None) -> Iterator[tuple[IntArray, IntArray]]:
        """Yield the indices of the chunks to train on, and of those to test.

        Parameters
        ----------
        X : list
            Chunks, as `series_in_chunks` makes them.
        y : object
            Not used; present for scikit-learn's sake.
        groups : array-like of shape (n_chunks,), optional
            Index of the series that each chunk belongs to; by default all belong to one.  Chunks of one series are in
            the order of time.

        Yields
        ------
        train, test : ndarray of int
            Indices of the chunks to train on, and of those to test on.

        Raises
        ------
        ValueError, TypeError
            If a series has too few chunks, or a setting is out of its range.
        """
        from sklearn.model_selection import TimeSeriesSplit  # here: it is slow to import

        n_splits = self.get_n_splits()
        gap, most = validation.check_integer("gap", self.gap, 0), self.max_train_size
        if most is not None:
            most = validation.check_limit("max_train_size", most, 1, alternatives=", or None")
        of = TimeSeriesSplit(n_splits, gap=gap, max_train_size=most)
        n = validation.check_length("X", X, "a list of chunks")
        series = np.zeros(n, np.intp) if groups is None else np.asarray(groups)
        if series.ndim != 1:
            raise ValueError(f"groups has the shape {series.shape}; pass the series of each of the {n} chunks")
        if len(series) != n:
            raise ValueError(f"groups has {len(series)} entries and X has {len(X)} chunks; pass the series of each")
        parts = []
        for name in dict.fromkeys(series.tolist()):
            members = np.flatnonzero(series == name)
            if len(members) < n_splits + 1 + gap:
                raise ValueError(
                    f"series {name!r} of X has {len(members)} chunk(s), too few for n_splits={n_splits} and gap={gap}; "
                    "pass a smaller chunk_size"
                )
            parts.append([(members[train], members[test]) for train, test in of.split(members)])
        for of_split in zip(*parts, strict=True):
            yield tuple(np.concatenate(indices) for indices in zip(*of_split, strict=True))  # type: ignore[misc]


def cross_val_predict(
    estimator: Any, X: Any, y: Any, *, cv: Any = None, method: str = "predict", groups: ArrayLike | None = None
) -> Array:
    """Predict every sequence with an estimator that was fitted without it.

    As `sklearn.model_selection.cross_val_predict`, which joins no probabilities of steps of unequal sequences.

    Parameters
    ----------
    estimator : estimator
        Estimator, which is cloned for each fold.
    X : array-like or list of arrays
        Sequences as in `fit`.
    y : array-like or list of arrays
        Targets as in `fit`.
    cv : int, splitter, iterable or None, default=None
        Splitter, as in `sklearn.model_selection.check_cv`; an int, or None for 5, is a number of folds, which keep the
        shares of the classes where each sequence has a label.  Every sequence has to be tested once.
    method : {"predict", "predict_proba", "predict_log_proba", "decision_function"}, default="predict"
        Name of the method that predicts.
    groups : array-like of shape (n_sequences,), optional
        Groups, for splitters that need them.

    Returns
    -------
    ndarray
        Predictions as the estimator's method returns them, in the order of X; columns are those of all classes, sorted,
        and a class that a fold did not have has the probability 0.

    Raises
    ------
    ValueError, TypeError
        If a sequence is tested more or less often than once, or as in `fit`.
    """
    from sklearn.model_selection import check_cv  # here: it is slow to import
    from sklearn.utils import _safe_indexing  # what its own functions take sequences apart with

    validation.check_choice("method", method, ("predict", *_OF_CLASSES))
    X, y = by_series(X, y)
    X, y = validation.in_lists(X), validation.in_lists(y)
    check_sequences_to_split(estimator, X, y, groups)
    n = len(X)
    labels = _labels_to_stratify(estimator, y)
    with validation.naming("cv"):
        splitter = check_cv(5 if cv is None else cv, labels, classifier=labels is not None)
        folds = [(np.asarray(train), np.asarray(test)) for train, test in splitter.split(np.zeros(n), labels, groups)]
    tested = np.concatenate([test for _, test in folds]) if folds else np.zeros(0, np.intp)
    if tested.shape != (n,) or len(np.unique(tested)) != n:
        raise ValueError("cv does not test every sequence once; pass KFold or the like")
    found, classes = [], []
    for train, test in folds:
        model = clone(estimator).fit(_safe_indexing(X, train), _safe_indexing(y, train))
        if not hasattr(model, method):
            raise TypeError(f"method is {method!r}, which {type(model).__name__} does not have; pass another")
        found.append(getattr(model, method)(_safe_indexing(X, test)))
        classes.append(getattr(model, "classes_", None))
    if method in _OF_CLASSES:
        found = _of_all_classes(found, classes, _OF_CLASSES[method])
    in_order = np.argsort(tested)
    if any(part.dtype == object for part in found) or len({part.shape[1:] for part in found}) > 1:
        rows = [row for part in found for row in part]
        joined = np.empty(n, object)
        for i, place in enumerate(in_order):
            joined[i] = rows[place]
        return joined
    return np.concatenate(found)[in_order]


def check_sequences_to_split(estimator: Any, X: Any, y: Any, groups: Any) -> None:
    """Raise unless there are an estimator, and as many targets and groups as sequences."""
    validation.check_methods("estimator", estimator, ("fit", "get_params"), "an estimator that is to be fitted")
    for name, values in (("X", X), ("y", y), ("groups", groups)):
        if name == "groups" and values is None:
            continue
        if isinstance(values, (str, bytes, Mapping, Set)):
            raise TypeError(f"{name} is of type {type(values).__name__}; pass an entry for each sequence, as in fit")
        n = validation.check_length(name, values, "an entry for each sequence, as in fit")
        if n != len(X) or not n:
            raise ValueError(f"{name} has {n} entries and X has {len(X)} sequences; pass one for each")


def _labels_to_stratify(estimator: Any, y: Any) -> Array | None:
    """The labels of sequences, or None where steps have labels, or there are numbers."""
    one_axis = getattr(y, "ndim", 1) == 1 and not any(np.ndim(label) for label in y)
    return as_labels(y) if is_classifier(estimator) and one_axis else None


def _of_all_classes(found: list[Array], classes: list[Any], missing: float) -> list[Array]:
    """The columns of all folds, of which some may have not seen some classes."""
    every = np.unique(np.concatenate(classes))
    if all(len(one) == len(every) for one in classes):
        return found
    if min(map(len, classes)) < 3 <= len(every) and any(part.ndim == 1 for part in found if part.dtype != object):
        raise ValueError(
            f"a fold has two of the {len(every)} classes only, so its decision_function has no column for each class; "
            "pass "
            "method='predict_proba', or a cv that keeps the shares of the classes"
        )

    def widened(rows: Array, own: Array) -> Array:
        wide = np.full((*rows.shape[:-1], len(every)), missing, rows.dtype)
        wide[..., np.searchsorted(every, own)] = rows
        return wide

    parts = []
    for part, own in zip(found, classes, strict=True):
        if part.dtype == object:
            wide = np.empty(len(part), object)
            for i, rows in enumerate(part):
                wide[i] = widened(rows, own)
        else:
            wide = widened(part, own)
        parts.append(wide)
    return parts
