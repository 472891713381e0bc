"""The choice between the compiled kernels and their numpy twin, and the number of BLAS threads.

``ADMMIRNN_BACKEND`` is ``compiled`` (the default) or ``numpy``; it is read at the start of every fit and every
prediction.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import cache
from importlib import import_module
from inspect import CO_GENERATOR
from types import FrameType, SimpleNamespace
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


def _with_lock(lock: AbstractContextManager[Any], function: Callable[[], object]) -> None:
    with lock:
        function()


@cache
def _holding() -> Callable[[AbstractContextManager[Any], Callable[[], object]], None]:
    """What calls a function while it holds a lock: of the kernels, or, where only the twin is, in Python."""
    try:
        found: Callable[[AbstractContextManager[Any], Callable[[], object]], None]
        found = import_module("admmirnn._kernels._lock").call_holding
    except ModuleNotFoundError:
        return _with_lock
    return found


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
_limited_by: weakref.WeakSet[_OneThread] = weakref.WeakSet()
_original_limits: list[tuple[Any, int]] | None = None  # of the libraries of BLAS, as long as there is a limit


class _OneThread:
    """The context of `one_blas_thread`.

    An exception that arrives asynchronously, as that of a handler of a signal, may come between any two instructions,
    and cut anything short.  So what has to be put back is noted before anything is changed, and a context counts no
    longer once it is garbage, or once the call that it was in is over: whoever comes next lifts a limit that is left.
    """

    def __enter__(self) -> None:
        self.thread, self._frame = threading.get_ident(), 0
        frame = sys._getframe(1)
        # of others the call may be over, as with an ExitStack, and a generator is on no stack as it waits
        if frame.f_globals.get("__name__", "").startswith("admmirnn.") and not frame.f_code.co_flags & CO_GENERATOR:
            self._frame = id(frame)
        del frame
        _holding()(_limit_lock, self._begin)

    def __exit__(self, *exception: object) -> None:
        _holding()(_limit_lock, self._leave)

    def __del__(self) -> None:
        # the garbage collector may run this while the interpreter lists its threads, and waits for itself if asked for
        # these once more: so nothing is looked at
        _limited_by.discard(self)
        if _original_limits is not None and not _limited_by:
            _holding()(_limit_lock, _lift_what_nobody_needs)

    def _begin(self) -> None:
        if _original_limits is not None and not _in_use():
            _lift_limit()
        _limited_by.add(self)
        if _original_limits is None:
            _set_limit()

    def _leave(self) -> None:
        _limited_by.discard(self)
        if _original_limits is not None and not _in_use():
            _lift_limit()

    def goes_on(self, stacks: Mapping[int, FrameType]) -> bool:
        """Whether the call that it was entered in is still running, if that is one of admmirnn."""
        if not self._frame:
            return True
        frame = stacks.get(self.thread)
        while frame is not None and id(frame) != self._frame:
            frame = frame.f_back
        return frame is not None


def _lift_what_nobody_needs() -> None:
    if _original_limits is not None and not _limited_by:
        _lift_limit()


def _in_use() -> bool:
    """Whether a context that chooses a back end is still open."""
    if _limited_by:
        # no variable here: this frame is among them, and one that held itself would keep all its callers as garbage
        _discard_ended(_stacks())
    return bool(_limited_by)


def _stacks() -> Mapping[int, FrameType]:
    """The frame that each thread is in; no garbage is collected meanwhile, as CPython 3.11 may wait for itself then."""
    collects = gc.isenabled()
    gc.disable()
    try:
        return sys._current_frames()
    finally:
        if collects:
            gc.enable()


def _discard_ended(stacks: Mapping[int, FrameType]) -> None:
    """Let contexts count no longer whose calls are over."""
    for context in list(_limited_by):
        if not context.goes_on(stacks):
            _limited_by.discard(context)


def _forget_other_threads() -> None:
    """In a new process there is but the thread that has forked it: the contexts of the others will not be left."""
    global _limit_lock
    _limit_lock = threading.RLock()
    for context in list(_limited_by):
        if context.thread != threading.get_ident():
            _limited_by.discard(context)
    if _original_limits is not None and not _in_use():
        _lift_limit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _limit_lock.acquire(),
        after_in_parent=lambda: _limit_lock.release(),
        after_in_child=_forget_other_threads,
    )


def _set_limit() -> None:
    global _original_limits
    _take_control()
    libraries = [library for library in _controller().lib_controllers if library.user_api == "blas"]
    _original_limits = [(library, library.num_threads) for library in libraries]
    for library in libraries:
        library.set_num_threads(1)


def _lift_limit() -> None:
    global _original_limits
    _take_control()
    for library, n_threads in _original_limits or ():
        library.set_num_threads(n_threads)
    _original_limits = None


def one_blas_thread() -> AbstractContextManager[None]:
    """Let BLAS work on one thread, which makes sums reproducible, until the last of all such contexts is left.

    The number of threads belongs to the process: fits that overlap in several threads share one limit.
    """
    return _OneThread()
