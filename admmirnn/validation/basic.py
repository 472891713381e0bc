"""Numbers, names, paths, dtypes: checks of single arguments."""

from __future__ import annotations

import errno
import math
import numbers
import os
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from admmirnn._typing import DType


_PACKAGE = __name__.partition(".")[0]
DTYPES = ("float32", "float64")
MOST_OF_C = (1 << 31) - 1  # what kernels can count to on every machine
MOST_OF_MEMORY = (1 << 48) - 1  # no memory has room for so many of anything


def is_auto(value: object) -> bool:
    """Whether a setting is "auto": arrays and other objects are not."""
    return isinstance(value, str) and value == "auto"


def check_integer(name: str, value: Any, least: float, *, alternatives: str = "", most: float = MOST_OF_MEMORY) -> int:
    """Return ``value`` as an int, or raise unless it is an integer of at least ``least``, and at most ``most``."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        if least <= int(value) <= most:
            return int(value)
        if int(value) > most:
            raise ValueError(f"{name} is {value!r}; it must be an integer of at most {most}{alternatives}")
        raise ValueError(f"{name} is {value!r}; it must be an integer of at least {least}{alternatives}")
    raise TypeError(
        f"{name} is {value!r} of type {type(value).__name__}; pass an integer of at least {least}{alternatives}"
    )


def check_limit(name: str, value: Any, least: float, *, alternatives: str = "") -> int:
    """As `check_integer`, of a number that ends something, if it is reached: any large one means without end."""
    return min(check_integer(name, value, least, alternatives=alternatives, most=math.inf), MOST_OF_MEMORY)


@overload
def check_number(
    name: str,
    value: object,
    *,
    least: float = ...,
    strict: bool = ...,
    below: float = ...,
    most: float = ...,
    optional: Literal[False] = ...,
    alternatives: str = ...,
) -> float: ...


@overload
def check_number(
    name: str,
    value: object,
    *,
    least: float = ...,
    strict: bool = ...,
    below: float = ...,
    most: float = ...,
    optional: bool,
    alternatives: str = ...,
) -> float | None: ...


def check_number(
    name: str,
    value: Any,
    *,
    least: float = 0.0,
    strict: bool = False,
    below: float = math.inf,
    most: float = math.inf,
    optional: bool = False,
    alternatives: str = "",
) -> float | None:
    """Return ``value`` as a float, or raise unless it is from ``least`` to ``most``, and less than ``below``."""
    if value is None and optional:
        return None
    span = f"a number {'>' if strict else '>='} {least:g}"
    if below < math.inf:
        span += f" and < {below:g}"
    if most < math.inf:
        span += f" and <= {most:g}"
    if optional:
        span += ", or None"
    span += alternatives
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r} of type {type(value).__name__}; pass {span}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not (number > least if strict else number >= least) or not (number < below and number <= most):
        raise ValueError(f"{name} is {value!r}; it must be finite, {span}")
    return number


def check_choice(name: str, value: Any, choices: Collection[str]) -> str:
    """Raise unless ``value`` is one of the strings ``choices``."""
    if not (isinstance(value, str) and value in choices):
        known = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} is {value!r}; the known ones are {known}")
    return str(value)


def check_boolean(name: str, value: Any, *, alternatives: str = "") -> bool:
    """Raise unless ``value`` is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} is {value!r} of type {type(value).__name__}; pass True or False{alternatives}")
    return bool(value)


def check_random_state(random_state: Any) -> np.random.RandomState:
    """Return the generator that the argument ``random_state`` stands for, as of scikit-learn."""
    from sklearn.utils import check_random_state as generator_of

    try:
        found: np.random.RandomState = generator_of(random_state)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"random_state is {random_state!r:.60} ({error}); pass an int from 0 to 2**32 - 1, a RandomState, or None"
        ) from error
    return found


def check_function(name: str, value: Any) -> None:
    """Raise unless ``value`` can be called, or is None."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} is {value!r:.60} of type {type(value).__name__}; pass a function, or None")


def check_methods(name: str, value: Any, methods: Collection[str], instead: str) -> None:
    """Raise unless ``value`` is an object, and no class, that has all these methods."""
    for method in methods:
        if isinstance(value, type) or not callable(getattr(value, method, None)):
            raise TypeError(f"{name} is {value!r:.60}, which has no method {method!r}; pass {instead}")


def check_file_name(path: object, name: str = "path") -> str:
    """Return the name of a file or folder as a str, or raise if it cannot be one."""
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise TypeError(f"{name} is {path!r} of type {type(path).__name__}; pass a str or a pathlib.Path")
    file = os.fsdecode(path)
    if "\0" in file:
        raise ValueError(f"{name} is {file!r}, with a null byte, which no name of a file has; pass another one")
    return file


def check_path(path: object, name: str = "path") -> str:
    """Return the name of a file as a str, or raise if it cannot be one; it need not exist."""
    file = check_file_name(path, name)
    if not file:
        raise FileNotFoundError(errno.ENOENT, f"{name} is empty; pass the name of a file", file)
    if os.path.isdir(file):
        raise IsADirectoryError(errno.EISDIR, f"{name} is a folder; pass the name of a file in it", file)
    if os.path.exists(file) and not os.path.isfile(file):
        raise OSError(errno.EINVAL, f"{name} is not a regular file", file)
    return file


def check_new_path(path: object, name: str = "path") -> str:
    """As `check_path`, of a file to be written: its folder must exist, and let files be made in it."""
    path = check_path(path, name)
    folder = os.path.dirname(os.path.realpath(path))  # of a link, where the file itself is
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, f"the folder of {name} does not exist; make it first", path)
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, f"the folder of {name} cannot be written to; pass another one", path)
    return path


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn, as if the line of the caller outside of this package did so."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_back.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level + 1)


@contextmanager
def naming(argument: str) -> Iterator[None]:
    """Let what is raised within say that it is about what is in an argument of that name."""
    try:
        yield
    except (ValueError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"in {argument}: {error}") from error


def check_n_threads(n_threads: object) -> int:
    """Return the number of threads that ``n_threads`` stands for: None is one for each core this process may use."""
    if n_threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return check_integer("n_threads", n_threads, 1, alternatives=", or None for all cores", most=MOST_OF_C)


def check_dtype(dtype: Any) -> DType:
    """Return the numpy dtype that the setting ``dtype`` stands for."""
    try:
        found: DType | None = None if dtype is None else np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found.name not in DTYPES or not found.isnative:
        raise ValueError(f"dtype is {dtype!r}; the known ones are 'float32' and 'float64'")
    return found
