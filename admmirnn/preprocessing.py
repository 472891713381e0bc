"""Preparation of sequences, as steps of scikit-learn pipelines."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from admmirnn import validation
from admmirnn._typing import Array, DType, Self
from admmirnn.data.missing import nan_for_missing
from admmirnn.data.names import names_of, selected
from admmirnn.data.reading import read_more_sequences, read_sequences
from admmirnn.data.sequences import Sequences
from admmirnn.data.standardising import standard_of

__all__ = ["SequenceScaler", "cut_padding"]

_NUMBERS_AT_A_TIME = 1 << 18


def cut_padding(X: ArrayLike) -> list[Any]:
    """Return the sequences of an array that is padded with NaN, without the padding.

    Parameters
    ----------
    X : array-like of shape (n_sequences, n_steps, n_features) or (n_sequences, n_steps), or list of arrays
        Sequences that have been filled up at their ends; of the steps before, some values may be missing.

    Returns
    -------
    list of ndarray of shape (n_steps_i, n_features) or (n_steps_i,)
        Sequences without their padding, as parts of X; sequences whose features have names, such as frames, keep
        them.  Targets for each step are cut with ``[y_i[: len(x)] for y_i, x in zip(y, cut_padding(X))]``.

    Raises
    ------
    ValueError, TypeError
        If a sequence has only NaN, or is no array of numbers of such a shape.

    Examples
    --------
    >>> import numpy as np
    >>> from admmirnn.preprocessing import cut_padding
    >>> cut_padding([[1.0, 2.0, np.nan], [3.0, 4.0, 5.0]])
    [array([1., 2.]), array([3., 4., 5.])]
    """
    found: list[Any] = []
    validation.refuse_masked("X", X)
    items: Any = np.asarray(X) if hasattr(X, "__array__") else X
    if isinstance(X, (str, bytes, Mapping, Set)):
        raise TypeError(f"X is of type {type(X).__name__}; pass an array that is padded with NaN, or a list of arrays")
    validation.check_length("X", items, "an array that is padded with NaN, or a list of arrays")
    for i, item in enumerate(items):
        names = names_of(item)
        values = item if names is None else selected(item, None, names, f"X[{i}]")
        x = validation.as_they_are(f"X[{i}]", np.asarray(nan_for_missing(values)))
        if x.ndim not in (1, 2) or not x.size:
            raise ValueError(f"X[{i}] has the shape {x.shape}; pass (n_steps_i,) or (n_steps_i, n_features)")
        x = x if x.dtype.kind == "f" else x.astype(np.float64)
        is_there = ~np.isnan(x).reshape(len(x), -1).all(axis=1)
        if not is_there.any():
            raise ValueError(f"X[{i}] has nothing but NaN; leave it out")
        n = len(x) - int(np.argmax(is_there[::-1]))
        found.append(x[:n] if names is None else _first_rows(item, n))
    return found


def _first_rows(item: Any, n: int) -> Any:
    """The first rows of a sequence whose features have names, with these."""
    if isinstance(item, Mapping):
        return {name: column[:n] for name, column in item.items()}
    if hasattr(item, "iloc") or not hasattr(item, "slice"):
        return item.iloc[:n] if hasattr(item, "iloc") else item[:n]
    return item.slice(0, n)


class SequenceScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Standardise every feature of sequences to mean 0 and standard deviation 1 over all steps of the training set.

    This is `sklearn.preprocessing.StandardScaler` for sequences of unequal lengths.  `RNNClassifier` and `RNNRegressor`
    standardise by themselves, with ``standardize``; this class is for other estimators.

    Attributes
    ----------
    mean_, scale_ : ndarray of shape (n_features,)
        Means, which are subtracted, and standard deviations, by which the differences are divided; 1 where a feature
        is constant.  Of a 2-D X, whose rows are sequences of one feature, they have the shape (1,).
    n_features_in_ : int
        Number of features of an observation; of a 2-D X, the number of its columns (steps), as scikit-learn counts.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of X, if it has names.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from admmirnn import RNNClassifier
    >>> from admmirnn.preprocessing import SequenceScaler
    >>> rng = np.random.default_rng(0)
    >>> X = [300 + 20 * rng.normal(size=(n, 2)) for n in rng.integers(5, 12, size=60)]
    >>> y = [x[-1, 0] > 300 for x in X]
    >>> model = make_pipeline(SequenceScaler(), RNNClassifier(hidden_size=16, random_state=0)).fit(X, y)
    >>> model.predict(X[:3]).shape
    (3,)
    """

    mean_: NDArray[np.float64]
    scale_: NDArray[np.float64]
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]
    _n_table_columns: int | None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Compute means and standard deviations.

        Parameters
        ----------
        X : array-like of shape (n_sequences, n_steps, n_features) or (n_sequences, n_steps), or list of arrays
            Sequences as in `RNNClassifier.fit`.
        y : object, optional
            Not used; present for scikit-learn's sake.

        Returns
        -------
        SequenceScaler
            The scaler itself.

        Raises
        ------
        ValueError, TypeError
            If X does not have such a form, or is not finite.
        """
        refuse_sparse_sequences(X)
        sequences, attributes = read_sequences(self, X, np.dtype(np.float64))
        standard = standard_of(sequences, only_where_needed=False)
        assert standard is not None  # which it is only where features may be left as they are
        self.__dict__.pop("feature_names_in_", None)
        self.__dict__.update(attributes)
        self.mean_, self.scale_ = standard[0], 1 / standard[1]
        return self

    def transform(self, X: ArrayLike) -> Any:
        """Return standardised sequences in the form of X.

        Parameters
        ----------
        X : array-like or list of arrays
            Sequences as in `fit`.

        Returns
        -------
        ndarray, or list of ndarray or DataFrame
            Standardised sequences in X's shape, or a list if X is a list of sequences; in float32 where X is float32,
            otherwise in float64.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        ValueError, TypeError
            If X does not fit.
        """
        check_is_fitted(self)
        return self._changed(X, np.stack([self.mean_, 1 / self.scale_]))

    def inverse_transform(self, X: ArrayLike) -> Any:
        """Return sequences in the units that they had before `transform`.

        Parameters
        ----------
        X : array-like or list of arrays
            Sequences as `transform` returns them.

        Returns
        -------
        ndarray, or list of ndarray or DataFrame
            Sequences in the original units, in the form of what `transform` returns.

        Raises
        ------
        sklearn.exceptions.NotFittedError, ValueError, TypeError
            As in `transform`.
        """
        check_is_fitted(self)
        return self._changed(X, np.stack([-self.mean_ / self.scale_, self.scale_]))

    def _changed(self, X: Any, standard: NDArray[np.float64]) -> Any:
        """X with every feature less its mean, times its factor."""
        refuse_sparse_sequences(X)
        of_table = self._n_table_columns is not None
        sequences = read_more_sequences(self, X, len(self.mean_), np.dtype(np.float64), of_table=of_table)
        is_single = sequences.observations.dtype == np.float32
        changed = _changed(sequences, np.dtype(np.float32 if is_single else np.float64), standard)
        array = np.asarray(X) if hasattr(X, "__array__") else None
        if array is not None and array.ndim > 1:
            return changed.reshape(array.shape)
        if len({len(item) for item in X}) == 1 and all(np.ndim(item) == 1 for item in X):  # a table
            return changed.reshape(len(X), -1)
        items = np.split(changed, np.cumsum(sequences.lengths)[:-1])
        names = getattr(self, "feature_names_in_", None)
        names = names_of(X[0]) if names is None else list(names)  # in whose order all of them have been read
        return [_like(given, item, names) for given, item in zip(X, items, strict=True)]


def refuse_sparse_sequences(X: Any) -> None:
    """Raise if X holds sparse matrices, which would be dense after standardising."""
    is_of_objects = isinstance(X, (list, tuple)) or getattr(X, "dtype", None) == np.dtype(object)
    if is_of_objects and any(map(issparse, X)):
        raise TypeError(
            "X holds sparse matrices, which would not be sparse when they are standardised: leave this step out, as "
            "estimators standardise a minibatch at a time, or pass [x.toarray() for x in X]"
        )


def _changed(sequences: Sequences, dtype: DType, standard: NDArray[np.float64]) -> Array:
    changed = np.empty(sequences.observations.shape, dtype)
    for first, piece in sequences.pieces(_NUMBERS_AT_A_TIME):
        changed[first : first + len(piece)] = (piece - standard[0]) * standard[1]
    return changed


def _like(given: Any, values: Array, names: list[Any] | None) -> Any:
    """Values in a DataFrame, if what was given is one, and without the axis of one feature, if that had none."""
    if hasattr(given, "iloc") and getattr(given, "ndim", 1) == 2:
        found = type(given)(values, index=given.index, columns=names)
        return found if list(given.columns) == names else found[list(given.columns)]
    return values[:, 0] if np.ndim(given) == 1 else values
