"""Models in files: ``estimator.save(path)`` and `load`; see `admmirnn.files.format` for what such a file is."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from typing import Any, TypeVar, overload

from sklearn.base import BaseEstimator

from admmirnn import losses, penalties, validation
from admmirnn._typing import FilePath
from admmirnn.files.fitted import check_fitted_attributes, fitted_attributes_of
from admmirnn.files.format import ModelFileError, Values, parameters, read_file, write_file
from admmirnn.solvers import Algorithm1, Rollout, Status

_Estimator = TypeVar("_Estimator", bound=BaseEstimator)

_KNOWN = (
    Rollout,
    Algorithm1,
    Status,
    *losses.LOSSES_OF_CLASSES.values(),
    *losses.LOSSES_OF_VALUES.values(),
    *penalties.PENALTIES,
)
_NOT_SAVED = ("callbacks", "checkpoint")  # functions; a file of this machine, which a fit writes to
_ESTIMATORS: dict[str, type[BaseEstimator]] = {}


def saved(estimator_class: type[_Estimator]) -> type[_Estimator]:
    """Let `load` know an estimator's class, as a decorator.

    Its ``fitted_attributes`` has all attributes that make it fitted by name, but for its weights, and a `Fitted` for
    each.
    """
    _ESTIMATORS[estimator_class.__name__] = estimator_class
    return estimator_class


def save(estimator: BaseEstimator, path: FilePath) -> None:
    """Write a fitted estimator to a file; see its method ``save``."""
    name = type(estimator).__name__
    if _ESTIMATORS.get(name) is not type(estimator):
        raise TypeError(f"{name} is a class of your own, which a model file cannot name; use pickle")
    validation.check_path(path)
    settings = {key: value for key, value in estimator.get_params(deep=False).items() if key not in _NOT_SAVED}
    attributes = fitted_attributes_of(estimator)
    check_fitted_attributes(attributes, estimator.fitted_attributes)
    attributes["history_"] = list(attributes["history_"])
    values = Values(known=_KNOWN)
    header = {
        "estimator": name,
        "attributes": {key: values.pack(value, key) for key, value in attributes.items()},
        "parameters": {key: values.pack(value, key) for key, value in settings.items()},
    }
    write_file(path, "model", values.arrays, header)
    if estimator.callbacks:
        warnings.warn("callbacks cannot be saved; the file has the model without them", UserWarning, stacklevel=3)


@overload
def load(path: FilePath, kind: type[_Estimator]) -> _Estimator: ...


@overload
def load(path: FilePath, kind: None = None) -> Any: ...


def load(path: FilePath, kind: type[_Estimator] | None = None) -> Any:
    """Read the estimator that a model file holds.  Nothing in the file is run.

    Parameters
    ----------
    path : str or path-like
        File that the method ``save`` of an estimator has written, with this release or an earlier one.
    kind : type, optional
        Class that the model must have.

    Returns
    -------
    RNNClassifier, RNNRegressor or CharacterModel
        Fitted estimator; its predictions are those of the estimator that was saved, on the same machine to the last
        bit.

    Raises
    ------
    ModelFileError
        A ValueError, of `admmirnn.io`: if the file is not a model file, is damaged, holds another kind of model, or was
        written by a newer admmirnn.
    OSError
        If the file is not there or cannot be read.
    ImportError
        If safetensors is not installed.
    """
    if kind is not None and not isinstance(kind, type):
        raise TypeError(
            f"kind is {kind!r:.60} of type {type(kind).__name__}; pass a class such as RNNClassifier, or None"
        )
    arrays, header = read_file(path, "model")
    name = header.get("estimator")
    found = _ESTIMATORS.get(name) if isinstance(name, str) else None
    if found is None:
        raise ModelFileError(f"{path} holds {name!r}, a kind of model that this version of admmirnn does not know")
    if kind is not None and not issubclass(found, kind):
        raise ModelFileError(
            f"{path} holds a model of the class {name}, and not {kind.__name__}, which is kind; use admmirnn.load"
        )
    values = Values(arrays, _KNOWN)
    try:
        settings, attributes = (
            {key: values.unpack(value) for key, value in check_content(header, part).items()}
            for part in ("parameters", "attributes")
        )
        check_settings_are_known(settings, set(parameters(found)) - set(_NOT_SAVED), arrays)
        check_fitted_attributes(attributes, found.fitted_attributes)
        return found.restored(settings, attributes)
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        raise ModelFileError(f"{path} holds a model whose parts do not fit together: {error}") from error


def check_content(header: Mapping[str, Any], part: str) -> dict[str, Any]:
    """Return a part of a file's header, or raise unless it is an object."""
    content = header.get(part)
    if not isinstance(content, dict):
        raise ValueError(f"its header has no {part}")
    return content


def check_settings_are_known(settings: Mapping[str, Any], known: Collection[str], unused: Collection[str]) -> None:
    """Raise unless parameters have names that are known, and no array is left over; a missing one has its default."""
    unknown = sorted(settings.keys() - known)
    if unknown:
        raise ValueError(f"its header has the parameters {', '.join(unknown[:3])}, which this admmirnn does not know")
    if unused:
        raise ValueError(f"it has arrays that nothing refers to, such as {sorted(unused)[0]!r}")
