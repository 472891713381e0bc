"""Packages that only some users need."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def import_optional(name: str, extra: str, what: str) -> Any:
    """Import a package, or a module of one, or say how to install it.

    Parameters
    ----------
    name : str
        Of the module.
    extra : str
        Of those in pyproject.toml, the one that brings it.
    what : str
        What needs it.

    Returns
    -------
    module

    Raises
    ------
    ImportError
        If it is not there.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(
            f"{what} needs {package}, which is not there ({error}); install it with: pip install 'admmirnn[{extra}]'",
            name=package,
        ) from error
