"""The choice between the compiled kernels and their numpy twin, and the number of BLAS threads.

``ADMMIRNN_BACKEND`` is ``compiled`` (the default) or ``numpy``; it is read at the start of every fit and every
prediction.
"""

import os
from functools import cache
from types import SimpleNamespace

from threadpoolctl import ThreadpoolController

_MODULES = ("forward", "output", "multipliers", "statistics", "weights")


@cache
def _compiled():
    from importlib import import_module

    try:
        modules = [import_module(f"admmirnn._kernels.{name}") for name in _MODULES]
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("admmirnn._kernels"):
            raise
        raise ImportError(
            f"the compiled kernels of admmirnn are missing ({error.name}): install the package with "
            "'pip install -e .' in its folder, or set ADMMIRNN_BACKEND=numpy to use the slower numpy twin"
        ) from error
    return SimpleNamespace(
        **{name: function for module in modules for name, function in vars(module).items() if callable(function)}
    )


def kernels():
    """Return the functions of the back end that ``ADMMIRNN_BACKEND`` names, as attributes.

    Raises
    ------
    ValueError
        If the variable names no back end.
    ImportError
        If the compiled kernels are asked for and have not been built.
    """
    name = os.environ.get("ADMMIRNN_BACKEND", "compiled")
    if name == "compiled":
        return _compiled()
    if name == "numpy":
        from admmirnn import reference

        return reference
    raise ValueError(f"ADMMIRNN_BACKEND is {name!r}; use 'compiled' or 'numpy'")


@cache
def _controller():
    kernels()  # loads the BLAS that is to be controlled
    return ThreadpoolController()


def one_blas_thread():
    """Return a context manager in which BLAS works on one thread, which makes sums reproducible."""
    return _controller().limit(limits=1, user_api="blas")
