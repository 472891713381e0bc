"""What saved states have to be: forms, which a state is compared with."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from admmirnn._typing import FloatArray


_MOST_COUNT = 1 << 53  # up to which floats hold all integers
Form = Callable[[str, Any], None]


def check_state(name: str, found: Any, form: Any) -> None:
    """Raise unless a state that was read from a checkpoint, or a part of it, can be one of a fit.

    Parameters
    ----------
    name : str
        Name of the state in the message.
    found : object
        Value that the checkpoint has.
    form : object
        Value that the fit itself has.  A dict has to have the same keys, a list or tuple as many items, an array the
        same type and shape, a string to be equal; an int stands for any count, a float for any number of Python's, NaN
        as well; anything else stands for values of its type.  A function is called with (name, found), and raises an
        error itself, such as `finite`.

    Raises
    ------
    ValueError
        If the value does not have that form.
    """
    if callable(form):
        form(name, found)
    elif isinstance(form, dict):
        expect(isinstance(found, dict) and found.keys() == form.keys(), name, found)
        for key, item in form.items():
            check_state(f"{name}.{key}", found[key], item)
    elif isinstance(form, (list, tuple)):
        expect(type(found) is type(form) and len(found) == len(form), name, found)
        for i, (item, of_form) in enumerate(zip(found, form, strict=True)):
            check_state(f"{name}[{i}]", item, of_form)
    elif isinstance(form, np.ndarray):
        expect(isinstance(found, np.ndarray) and found.dtype == form.dtype and found.shape == form.shape, name, found)
    elif isinstance(form, float):
        # those of numpy are narrow, or times
        expect(type(found) is float or (type(found) is int and abs(found) <= _MOST_COUNT), name, found)
    elif type(form) is int:
        count()(name, found)
    else:
        expect(type(found) is type(form) and not (isinstance(form, str) and found != form), name, found)


def expect(is_met: bool, name: str, found: Any) -> None:
    """Raise unless what was found is of its form."""
    if not is_met:
        what = f"an array of {found.dtype} {found.shape}" if isinstance(found, np.ndarray) else f"{found!r:.60}"
        raise ValueError(
            f"the checkpoint has {what} for {name}, which no fit with these arguments has; pass another one, or "
            "resume=False"
        )


def count(least: int = 0) -> Form:
    """The form of integers from ``least`` on."""

    def check(name: str, found: Any) -> None:
        expect(type(found) is int and least <= found <= _MOST_COUNT, name, found)

    return check


def number(least: float = -math.inf) -> Form:
    """The form of numbers from ``least`` on, which NaN is not."""

    def check(name: str, found: Any) -> None:
        check_state(name, found, 0.0)
        expect(bool(found >= least), name, found)

    return check


def finite(array: FloatArray) -> Form:
    """The form of arrays like this one without NaN and infinity."""

    def check(name: str, found: Any) -> None:
        check_state(name, found, array)
        expect(bool(np.isfinite(found).all()), name, found)

    return check


def different(n: int, fewest: int, most: int) -> Form:
    """The form of from ``fewest`` to ``most`` different integers from 0 to n - 1."""

    def check(name: str, found: Any) -> None:
        is_array = isinstance(found, np.ndarray) and found.ndim == 1 and found.dtype.kind == "i"
        expect(is_array and fewest <= len(found) <= most, name, found)
        is_there = np.zeros(n, bool)
        expect(bool(((found >= 0) & (found < n)).all()), name, found)
        is_there[found] = True
        expect(np.count_nonzero(is_there) == len(found), name, found)

    return check


def one_of(*forms: Any) -> Form:
    """Any of these forms."""

    def check(name: str, found: Any) -> None:
        for form in forms:
            with suppress(ValueError):
                check_state(name, found, form)
                return
        expect(False, name, found)

    return check
