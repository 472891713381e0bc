"""Checks that all share: every message names the argument, what was found, and what to do.

Any other check lives with what it guards.
"""

from importlib import import_module
from typing import Any

from admmirnn.validation.arrays import (
    BLOCK,
    OTHER_THAN_NUMBERS,
    are_alike,
    as_numbers,
    as_they_are,
    blocks,
    check_length,
    counts_of,
    in_lists,
    n_dimensions,
    refuse_masked,
    refuse_sparse,
)
from admmirnn.validation.basic import (
    DTYPES,
    MOST_OF_C,
    check_boolean,
    check_choice,
    check_dtype,
    check_file_name,
    check_function,
    check_integer,
    check_limit,
    check_methods,
    check_n_threads,
    check_new_path,
    check_number,
    check_path,
    check_random_state,
    is_auto,
    naming,
    warn,
)
from admmirnn.validation.forms import Form, check_state, count, different, expect, finite, number, one_of

__all__ = [
    "BLOCK",
    "DTYPES",
    "Form",
    "MOST_OF_C",
    "OTHER_THAN_NUMBERS",
    "are_alike",
    "as_numbers",
    "as_they_are",
    "blocks",
    "check_boolean",
    "check_choice",
    "check_dtype",
    "check_file_name",
    "check_function",
    "check_integer",
    "check_length",
    "check_limit",
    "check_methods",
    "check_n_threads",
    "check_new_path",
    "check_number",
    "check_path",
    "check_random_state",
    "check_state",
    "count",
    "counts_of",
    "different",
    "expect",
    "finite",
    "in_lists",
    "is_auto",
    "n_dimensions",
    "naming",
    "number",
    "one_of",
    "refuse_masked",
    "refuse_sparse",
    "warn",
]

# programs that were written when all checks were here find them still
_MOVED = {"check_labels": "admmirnn.data.reading_targets", "check_values": "admmirnn.data.reading_targets"}


def __getattr__(name: str) -> Any:
    if name in _MOVED:
        return getattr(import_module(_MOVED[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
