"""The choice between the compiled kernels and their numpy twin, and the number of BLAS threads.

``ADMMIRNN_BACKEND`` is ``compiled`` (the default) or ``numpy``; it is read at the start of every fit and every
prediction.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from threadpoolctl import ThreadpoolController

if TYPE_CHECKING:
    from admmirnn.reference.kernels import Kernels
else:
    Kernels = Any

__all__ = ["kernels", "one_blas_thread"]

_COMPILED = (
    *("batch", "work", "forward", "output", "backward", "joint", "statistics", "weights", "streaming", "generation"),
    *("hidden", "residuals", "sweep", "gates"),
)
_ARCHITECTURES_OF_SMALL_KERNELS = ("SkylakeX", "Cooperlake", "SapphireRapids")


@cache
def _compiled() -> Kernels:
    try:
        functions: Kernels = _functions(f"admmirnn._kernels.{name}" for name in _COMPILED)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("admmirnn._kernels"):
            raise
        raise ImportError(
            f"the compiled kernels of admmirnn are missing ({error.name}): install the package with "
            "'pip install -e .' in its folder, or set ADMMIRNN_BACKEND=numpy to use the slower numpy twin"
        ) from error
    import_module("admmirnn._kernels._blas").multiplies_small_matrices(_largest_small_product())
    return functions


def _largest_small_product() -> int:
    """The largest m n k for which BLAS multiplies matrices as they lie, without packing them first; 0 if unknown."""
    for library in ThreadpoolController().info():
        if library["internal_api"] == "openblas" and library.get("architecture") in _ARCHITECTURES_OF_SMALL_KERNELS:
            return 1_000_000  # OpenBLAS's own bound
    return 0


@cache
def _numpy() -> Kernels:
    found: Kernels = _functions(["admmirnn.reference"])
    return found


def _functions(names: Iterable[str]) -> Any:
    modules = [import_module(name) for name in names]
    return SimpleNamespace(
        **{name: function for module in modules for name, function in vars(module).items() if callable(function)}
    )


def kernels() -> Kernels:
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
        return _numpy()
    raise ValueError(f"ADMMIRNN_BACKEND is {name!r}; use 'compiled' or 'numpy'")


@cache
def _controller() -> ThreadpoolController:
    kernels()  # loads the BLAS that is to be controlled
    return ThreadpoolController()


def _take_control() -> None:
    """Let this thread set the limit: newer versions of threadpoolctl ignore all but the first that has done so."""
    for controller in _controller().lib_controllers:
        if hasattr(controller, "clear_controlling_thread"):
            controller.clear_controlling_thread(force=True)


_limit_lock = threading.RLock()
_limited_by: list[int] = []  # threads, one for each context
_limit: Any = None


def _forget_other_threads() -> None:
    """In a new process there is but the thread that has forked it: the contexts of the others will not be left."""
    global _limit_lock
    _limit_lock = threading.RLock()
    if _limited_by:
        _limited_by[:] = [thread for thread in _limited_by if thread == threading.get_ident()]
        if not _limited_by:
            _lift_limit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _limit_lock.acquire(),
        after_in_parent=lambda: _limit_lock.release(),
        after_in_child=_forget_other_threads,
    )


def _lift_limit() -> None:
    _take_control()
    _limit.restore_original_limits()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let BLAS work on one thread, which makes sums reproducible, until the last of all such contexts is left.

    The number of threads belongs to the process: fits that overlap in several threads share one limit.
    """
    global _limit
    thread = threading.get_ident()
    with _limit_lock:
        if not _limited_by:
            _take_control()
            _limit = _controller().limit(limits=1, user_api="blas")
        _limited_by.append(thread)
    try:
        yield
    finally:
        with _limit_lock:
            _limited_by.remove(thread)
            if not _limited_by:
                _lift_limit()
