"""What the attributes of a fitted estimator have to be, wherever they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from admmirnn import validation
from admmirnn.networks.blocks import blocks_named, is_weight
from admmirnn.networks.cells import CELLS, Elman, cell_named

SETTINGS_OF_EACH = ("random_state", "hidden_size")  # in which the estimators of several networks differ


@dataclass(frozen=True)
class Fitted:
    """What an attribute of a fitted estimator has to be.

    Attributes
    ----------
    check : callable
        Function ``check(name, value, sizes)`` that raises unless the value is such an attribute; ``sizes`` are those of
        the axes that have been met, by their letters.
    may_be_missing : bool
        Whether some estimators do not have the attribute.
    """

    check: Callable[[str, Any, dict[str, Any]], object]
    may_be_missing: bool = False

    @classmethod
    def array(
        cls, *axes: str, dtypes: Sequence[str] = validation.DTYPES, optional: bool = False, may_be_missing: bool = False
    ) -> Fitted:
        """An array with these axes: a letter is one size everywhere, and "n+m" the sum of those that are there.

        ``dtypes`` names those that it may have; weights have one in common.  ``optional`` allows None.
        """
        return cls(partial(_check_fitted_array, axes, dtypes, optional), may_be_missing)

    @classmethod
    def labels(cls, axis: str, *, strings: bool = False, may_be_missing: bool = False) -> Fitted:
        """An array of one axis and any dtype, or with ``strings`` of str objects."""
        return cls(partial(_check_fitted_labels, axis, strings), may_be_missing)

    @classmethod
    def value(
        cls, check: Callable[[str, Any], object], optional: bool = False, *, may_be_missing: bool = False
    ) -> Fitted:
        """What ``check(name, value)`` lets pass."""

        def unless_none(name: str, value: Any, sizes: dict[str, Any]) -> object:
            return None if optional and value is None else check(name, value)

        return cls(unless_none, may_be_missing)


def fitted_weights(attributes: Mapping[str, Any]) -> dict[str, Fitted]:
    """What the weights have to be of a network with as many layers and directions as there are among these attributes.

    An s_0 that is zero is None.
    """
    name_of_cell = attributes.get("_cell", Elman.name)
    maps = cell_named(validation.check_choice("_cell", name_of_cell, tuple(CELLS))).maps
    names = [name[:-1] for name, value in attributes.items() if value is not None and name.endswith("_")]
    blocks = blocks_named([name for name in names if is_weight(name, maps)], maps).values()
    expected = {block.attribute: Fitted.array(*block.axes) for block in blocks}
    return expected if "s_0" in names else expected | {"s_0_": Fitted.value(check_missing_state, optional=True)}


def check_missing_state(name: str, value: object) -> None:
    """Raise, as a state that is zero is None."""
    raise ValueError(f"{name} is {value!r}, but must be None")


def fitted_attributes_of(estimator: Any) -> dict[str, Any]:
    """All attributes that make an estimator fitted, in the order in which files have them.

    Those of each of several networks, what it does not share with the others, are in a list, as ``estimators_``.
    """
    found = vars(estimator)
    if "estimators_" not in found:
        return {name: found[name] for name in (*fitted_weights(found), *estimator.fitted_attributes) if name in found}
    attributes = {name: found[name] for name in estimator.fitted_attributes if name in found}
    return attributes | {"estimators_": [_own_attributes_of(member, estimator) for member in found["estimators_"]]}


def _own_attributes_of(member: Any, estimator: Any) -> dict[str, Any]:
    """What the network of one of several estimators does not share with the others, and its seed and size."""
    found = vars(member)
    own = {name: found[name] for name in (*fitted_weights(found), *estimator.of_each_network) if name in found}
    return own | {"history_": list(own["history_"]), "settings": {name: found[name] for name in SETTINGS_OF_EACH}}


def attributes_of_each(attributes: Mapping[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Settings and attributes of the estimator of each network, of what `fitted_attributes_of` has returned."""
    members = attributes["estimators_"]
    if not isinstance(members, list) or len(members) < 1 or not all(isinstance(one, dict) for one in members):
        raise ValueError("estimators_ is not a list of the attributes of networks")
    shared = {name: value for name, value in attributes.items() if name != "estimators_"}
    found = []
    for one in members:
        settings = one.get("settings")
        if not isinstance(settings, dict) or set(settings) != set(SETTINGS_OF_EACH):
            raise ValueError(f"a network of estimators_ has no settings {', '.join(SETTINGS_OF_EACH)}")
        found.append((settings, shared | {name: value for name, value in one.items() if name != "settings"}))
    return found


def check_fitted_attributes(attributes: Mapping[str, Any], expected: Mapping[str, Fitted]) -> None:
    """Raise unless these attributes, by name, make an estimator fitted: weights, and what the `Fitted` of each say."""
    if "estimators_" in attributes:
        for _, own in attributes_of_each(attributes):
            if "estimators_" in own:
                raise ValueError("a network of estimators_ has several networks")
            check_fitted_attributes(own, expected)
        return
    expected = {**fitted_weights(attributes), **expected}
    missing = sorted(name for name, one in expected.items() if name not in attributes and not one.may_be_missing)
    unknown = sorted(attributes.keys() - expected.keys())
    if missing or unknown:
        raise ValueError(f"its attributes are not those of a fitted one: {', '.join([*missing, *unknown][:3])}")
    sizes: dict[str, Any] = {}
    for name, one in expected.items():
        if name in attributes:
            one.check(name, attributes[name], sizes)
    if "_frame" in attributes:
        of_table, n_features = attributes["_n_table_columns"], attributes["n_features_in_"]
        n_channels = n_features if of_table is None else 1
        n_channels *= 2 if attributes.get("_missing") == "indicator" else 1
        if sizes["d"] != n_channels * attributes["_frame"][0] or of_table not in (None, n_features):
            raise ValueError(f"U has {sizes['d']} columns, which do not go with observations of {n_features} features")


def _check_fitted_array(
    axes: tuple[str, ...], dtypes: Sequence[str], optional: bool, name: str, value: Any, sizes: dict[str, Any]
) -> None:
    if optional and value is None:
        return
    if not isinstance(value, np.ndarray) or value.dtype.name not in dtypes or not value.dtype.isnative:
        raise ValueError(f"{name} is not an array of {' or '.join(dtypes)}")
    if dtypes is validation.DTYPES and sizes.setdefault("dtype", value.dtype) != value.dtype:
        raise ValueError(f"{name} is {value.dtype}, and other weights are {sizes['dtype']}")
    if value.ndim != len(axes):
        raise ValueError(f"{name} has {value.ndim} dimension(s), and should have {len(axes)}")
    for axis, size in zip(axes, value.shape, strict=True):
        expected = sum(sizes.get(letter, 0) for letter in axis.split("+")) if "+" in axis else None
        expected = sizes.setdefault(axis, size) if expected is None else expected
        if size != expected or not size:
            raise ValueError(f"{name} has the shape {value.shape}, which does not go with the other attributes")


def _check_fitted_labels(axis: str, strings: bool, name: str, value: Any, sizes: dict[str, Any]) -> None:
    if not isinstance(value, np.ndarray) or value.ndim != 1:
        raise ValueError(f"{name} is not an array with one dimension")
    if strings and not (value.dtype == object and all(isinstance(item, str) for item in value)):
        raise ValueError(f"{name} holds a value that is not a str")
    if sizes.setdefault(axis, len(value)) != len(value):
        raise ValueError(f"{name} has {len(value)} entries, which do not go with the other attributes")


def check_fitted_history(name: str, value: Any) -> None:
    """Raise unless this is a list of dicts."""
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise ValueError(f"{name} is not a list of records")


def check_fitted_type(kind: type, name: str, value: Any) -> None:
    """Raise unless this is of a type."""
    if not isinstance(value, kind):
        raise ValueError(f"{name} is {value!r}; it should be of type {kind.__name__}")
