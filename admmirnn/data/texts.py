"""Texts, given or read from files; the name of a file that is passed as a text is refused."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import re
import zlib
from collections.abc import Mapping, Set
from typing import Any

import numpy as np

from admmirnn import validation
from admmirnn.data.labels import is_missing

_BYTE_ORDER_MARK = "\ufeff"
_PIECE = 1 << 16  # characters that are read at a time
_LONGEST_NAME = 4096  # of a file


def read_texts(text: Any) -> list[str]:
    """Return the texts that ``text`` is, or that it tells where to read, as a list; each has two characters or more."""
    text = validation.in_lists(text)
    is_one = isinstance(text, (str, bytes, Mapping, Set)) or not hasattr(text, "__len__") or not np.ndim(text)
    if is_one:
        return [read_text(text)]
    if getattr(text, "ndim", 1) > 1 or hasattr(text, "columns"):
        raise TypeError(f"text is of type {type(text).__name__}, a table; pass one of its columns, or a list of texts")
    if not len(text):
        raise ValueError("text is an empty list; pass at least one text")
    return [read_text(item, f"text[{i}]") for i, item in enumerate(text)]


def _decoded(name: str, path: os.PathLike[str]) -> str:
    """What a file holds, unpacked if its name ends in ``.gz``, in UTF-8, or in UTF-16 or UTF-32 if a mark says so."""
    marks = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"}  # before those that they begin with
    marks |= {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
    is_packed, encoding = os.fspath(path).endswith(".gz"), "utf-8-sig"
    try:
        with (gzip.open if is_packed else open)(path, "rb") as file:
            start = file.read(4)
            encoding = next((marks[mark] for mark in marks if start.startswith(mark)), encoding)
            file.seek(0)
            found = io.StringIO()
            reader = io.TextIOWrapper(file, encoding)  # type: ignore[arg-type,type-var,unused-ignore]
            while piece := reader.read(_PIECE):  # with line ends as of files of text
                found.write(piece)
        return found.getvalue()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{name} is the file {path}, which is not a complete gzip file ({error})") from error
    except UnicodeError as error:
        raise ValueError(
            f"{name} is the file {path}, which is not {encoding.removesuffix('-sig').upper()} ({error}); pass its text"
        ) from error


def refuse_name_of_file(name: str, text: str) -> None:
    """Raise if a text is the name of a file that is there, and warn if it looks like that of one that is not."""
    if len(text) > _LONGEST_NAME or any(character in text for character in "\n\0"):
        return
    if os.path.isfile(text):
        raise ValueError(f"{name} is {text!r}, the name of a file; pass pathlib.Path({text!r}) to read it")
    if re.fullmatch(r"[^\s.][^\n]*\.(txt|text|md|gz|csv|json|html?)", text, re.IGNORECASE):
        validation.warn(
            f"{name} is {text!r}, which looks like the name of a file, and none of that name is there; it is read as a "
            "text of these characters"
        )


def read_text(text: Any, name: str = "text", least: float = 2) -> str:
    """Return ``text``, or what the file that it names, or is, holds in UTF-8; of ``least`` characters at least."""
    if isinstance(text, os.PathLike):
        text = _decoded(name, text)
    elif hasattr(text, "read"):
        text = text.read()
    elif isinstance(text, str) and least >= 1:
        refuse_name_of_file(name, text)
    if not isinstance(text, str):
        if text is None or is_missing(text):
            raise TypeError(f"{name} is {text!r}, a missing text; leave it out")
        remedy = "decode it, or open the file as text" if isinstance(text, bytes) else "pass a str, or a pathlib.Path"
        raise TypeError(f"{name} is of type {type(text).__name__}; {remedy}")
    text = text.removeprefix(_BYTE_ORDER_MARK)
    if len(text) < least:
        wanted = "one to read and one to predict" if least == 2 else f"at least {least}"
        raise ValueError(f"{name} has {len(text)} character(s); pass {wanted}")
    return str(text)
