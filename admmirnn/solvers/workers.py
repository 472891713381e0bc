"""Workers that fit one network together, each with a part of the data: how they agree, and how they fail.

A `Reducer` is all that is asked of whatever joins them.  All workers run the same program and meet at the same places:
in every iteration where they add up their sums, and where they `gather` what each of them knows.  A worker that fails
between two such places tells the others at the next one, so that nobody waits for it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from admmirnn._typing import AddedUp, Reducer

_T = TypeVar("_T")


class OneProcess:
    """The `Reducer` of a process that works alone: its own sums are those of the whole minibatch."""

    rank: int
    size: int

    rank, size = 0, 1

    def sum(self, sums: AddedUp, /) -> None:
        """Leave the sums as they are."""

    def gather(self, value: Any, /) -> list[Any]:
        """Return the value in a list."""
        return [value]


def check_reducer(reducer: Any) -> Reducer:
    """Return ``reducer``, or that of a process alone for None."""
    if reducer is None:
        return OneProcess()
    missing = [name for name in ("rank", "size", "sum", "gather") if not hasattr(reducer, name)]
    if missing or hasattr(reducer, "Allreduce"):
        raise TypeError(
            f"reducer is of type {type(reducer).__name__}; pass an object such as "
            "admmirnn.distributed.MPIReducer(comm), or None"
        )
    found: Reducer = reducer
    return found


class Unheard(BaseException):
    """A worker needs to hear what others say to go on; the argument is what it says itself.

    Not an Exception, so that nobody takes it for a failure.
    """


class ByLetter:
    """The `Reducer` of workers that do not run at the same time: each is told the earlier answers of all.

    A worker runs the same program again after each round of answers, up to the next question, where it raises
    `Unheard`.

    Parameters
    ----------
    rank, size : int
        Number of this worker, from 0, and number of all.
    heard : list of list
        Answers of all workers, by questions and ranks.
    """

    def __init__(self, rank: int, size: int, heard: list[list[Any]]) -> None:
        self.rank, self.size = rank, size
        self._heard, self._n_asked = heard, 0

    def sum(self, sums: AddedUp, /) -> None:
        """Raise: such workers cannot exchange sums in every iteration."""
        raise NotImplementedError(
            "workers that fit rounds one by one cannot add up sums; they only compare what they have"
        )

    def gather(self, value: Any, /) -> list[Any]:
        """Return the answers of all workers to this question, or raise `Unheard`."""
        if self._n_asked == len(self._heard):
            raise Unheard(value)
        self._n_asked += 1
        return self._heard[self._n_asked - 1]


class WorkerError(RuntimeError):
    """Another worker has failed, and with it the fit of all; the message is that worker's own."""


class _Failure(str):
    """The message of a worker that has failed."""


def gather(reducer: Reducer, value: _T) -> list[_T]:
    """Return the values of all workers, by rank.

    Raises
    ------
    WorkerError
        If one of the workers has failed instead of coming here.
    """
    found = reducer.gather(value)
    for rank, other in enumerate(found):
        if isinstance(other, _Failure) and rank != reducer.rank:
            raise WorkerError(f"rank {rank} has failed: {other}")
    return found


def tell_failure(reducer: Reducer, error: BaseException) -> None:
    """Tell the other workers, where they gather something, that this one has failed."""
    if reducer.size > 1 and not isinstance(error, WorkerError):
        reducer.gather(_Failure(f"{type(error).__name__}: {error}"))


@contextmanager
def failing_together(reducer: Reducer) -> Iterator[None]:
    """Within it, an error of one worker ends all of them; workers leave it together."""
    try:
        yield
    except BaseException as error:
        if not getattr(error, "was_told", False):
            tell_failure(reducer, error)
        raise
    gather(reducer, None)  # not within the try: Ctrl-C may come as this returns, when the others have gone


_ALONE = nullcontext()  # one worker has nobody to tell


class Failing:
    """The failure of this worker in an iteration, where the others are to be told as they add up sums.

    Parameters
    ----------
    reducer : Reducer
        Object that joins the workers.
    sums : Sums
        Sums that they add up.
    """

    def __init__(self, reducer: Reducer, sums: Any) -> None:
        self._reducer, self._sums = reducer, sums
        self._kept: BaseException | None = None

    def before_the_sum(self) -> AbstractContextManager[None]:
        """What comes before the sum: should it fail, the sum says so, and the fit ends there."""
        return _ALONE if self._reducer.size == 1 else self._telling()

    def after_the_sum(self) -> AbstractContextManager[None]:
        """What comes after it: should it fail, the next sum says so, or whatever is next for all workers."""
        return _ALONE if self._reducer.size == 1 else self._keeping()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            self.end()
            yield
        except BaseException as error:
            self._sums.clear()
            self._sums.say_failed()
            self._reducer.sum(self._sums)
            tell_failure(self._reducer, error)
            error.was_told = True  # type: ignore[attr-defined]
            raise

    @contextmanager
    def _keeping(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._kept = error

    def end(self) -> None:
        """Raise what has been kept."""
        if self._kept is not None:
            raise self._kept
