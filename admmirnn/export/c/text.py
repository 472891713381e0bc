"""Pieces of C: arrays of constants, and comments."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from admmirnn._typing import Array

_TYPES = {"f4": "float", "i1": "int8_t", "u1": "uint8_t", "i2": "int16_t", "u2": "uint16_t", "i4": "int32_t"}
_WIDTH = 110
RESERVED = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if inline int long register "
    "restrict return short signed sizeof static struct switch typedef union unsigned void volatile while main "
    # and those of C++, which may include the header
    "bool catch class delete false friend namespace new operator private protected public template this throw true try "
    "typename using virtual".split()
)


def constants(name: str, values: Array) -> str:
    """The definition of a constant array."""
    numbers = values.ravel()
    written = [_float(value) for value in numbers] if numbers.dtype.kind == "f" else map(str, numbers.tolist())
    lines = "\n".join(textwrap.wrap(", ".join(written), _WIDTH, break_long_words=False, break_on_hyphens=False))
    kind = _TYPES[numbers.dtype.str[1:]]
    return f"static const {kind} {name}[{len(numbers)}] = {{\n{textwrap.indent(lines, '    ')}\n}};\n"


def _float(value: Any) -> str:
    """A literal of the very number: the shortest decimal one that is nearest to it."""
    written = repr(float(str(value))) if value != 0 else "0.0"
    return f"{written}f"


def comment(lines: Iterable[str]) -> str:
    """A comment of several lines, whatever is in them."""
    return "/* " + "\n   ".join(map(_safe, lines)) + " */\n"


def _safe(line: str) -> str:
    """A line without what ends a comment, begins one, or stands for something else."""
    line = re.sub(r"[^ -~]", "?", line)
    for found, instead in (("*/", "* /"), ("/*", "/ *"), ("??", "? ?")):
        line = line.replace(found, instead)
    return line.rstrip("\\")


def check_c_name(name: str) -> str:
    """Return the name of a file without its ending as a prefix of names in C, or raise."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name, re.ASCII) or name in RESERVED:
        raise ValueError(
            f"path names a file {name!r}, with which no names in C can begin; pass one of letters, digits and '_', "
            "such as 'model.c'"
        )
    return name
