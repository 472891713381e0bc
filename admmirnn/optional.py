"""Packages that only some users need."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def import_optional(name: str, extra: str, what: str) -> Any:
    """Import a package, or a module of one, or say how to install it.

    Parameters
    ----------
    name : str
        Name of the module.
    extra : str
        Extra in pyproject.toml that installs it.
    what : str
        Feature that needs it, for the message.

    Returns
    -------
    module
        The module.

    Raises
    ------
    ImportError
        If the module cannot be imported.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(
            f"{what} needs {package}, which cannot be imported ({error}); install it with: "
            f"pip install 'admmirnn[{extra}]'",
            name=package,
        ) from error
