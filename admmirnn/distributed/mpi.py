"""Ranks of an MPI program that fit one network in step: each iteration adds its sums up over all of them."""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from typing import Any

from admmirnn import validation
from admmirnn._typing import AddedUp
from admmirnn.optional import import_optional

_TO_ABORT = 5.0  # seconds that MPI may take to end all ranks; then this one exits by itself


class MPIReducer:
    """Joins the ranks of a communicator of mpi4py, each of which has a part of the sequences, or none.

    Passed as ``reducer`` to the ``fit`` of an estimator by every rank at the same time, it makes their fit that of one
    process which has the sequences of all: the weights differ by no more than rounding, and are the same on every rank.
    An error on one rank, and Ctrl-C, end the fit on all of them.  A rank that is killed is noticed by the launcher,
    which ends the others.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional
        Communicator; None is that of all ranks, ``MPI.COMM_WORLD``.  The reducer duplicates it, so that messages of
        the program's own do not get in the way.
    timeout : float or None, default=1800.0
        Number of seconds, > 0, that a rank waits for the others.  Then it says so on stderr and ends all ranks, by
        ``MPI_Abort``: one of them hangs, or its machine cannot be reached, or it has gone past ``fit``.  Make it longer
        than any rank may be late: by its callbacks, by reading its part after another one has called ``fit``.  None
        waits without end.

    Attributes
    ----------
    rank, size : int
        Number of this rank, from 0, and number of all ranks.
    seconds : float
        Seconds that this rank has spent in communication, which includes waiting for slower ranks.

    Raises
    ------
    ImportError
        If mpi4py is not installed: ``pip install "admmirnn[mpi]"``.
    TypeError, ValueError
        If ``comm`` is not a communicator within a group, or ``timeout`` is not a positive number.

    Examples
    --------
    In a file ``train.py``, started by ``mpiexec -n 4 python -m mpi4py train.py``::

        from mpi4py import MPI
        from admmirnn import RNNClassifier
        from admmirnn.distributed import MPIReducer

        reducer = MPIReducer(MPI.COMM_WORLD)
        X, y = read_part(reducer.rank, reducer.size)
        model = RNNClassifier(random_state=0).fit(X, y, reducer=reducer)
        if reducer.rank == 0:
            model.save("model.safetensors")
    """

    def __init__(self, comm: Any = None, timeout: float | None = 1800.0) -> None:
        self._MPI = import_optional("mpi4py.MPI", "mpi", "MPIReducer")
        comm = self._MPI.COMM_WORLD if comm is None else comm
        if not isinstance(comm, self._MPI.Intracomm):
            raise TypeError(f"comm is of type {type(comm).__name__}; pass a communicator such as MPI.COMM_WORLD")
        timeout = validation.check_number("timeout", timeout, strict=True, optional=True)
        self._comm = comm.Dup()
        self._waiting = _Waiting(self._comm, timeout)

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return int(self._comm.rank)

    @property
    def size(self) -> int:
        """Number of ranks."""
        return int(self._comm.size)

    @property
    def seconds(self) -> float:
        """Number of seconds that this rank has spent in communication so far."""
        return self._waiting.seconds

    def sum(self, sums: AddedUp, /) -> None:
        """Put the sums over all ranks in the place of this one's own.

        Where all numbers are of one type they go in one message, and those in float32 behind the others in a second
        one, which costs less than to make float64 of them.
        """
        with self._waiting:
            if sums.numbers.dtype == sums.doubles.dtype:
                self._comm.Allreduce(self._MPI.IN_PLACE, sums.whole.view(sums.doubles.dtype))
            else:
                self._comm.Allreduce(self._MPI.IN_PLACE, sums.doubles)
                self._comm.Allreduce(self._MPI.IN_PLACE, sums.numbers)

    def gather(self, value: Any, /) -> list[Any]:
        """Return the values of all ranks, in their order."""
        with self._waiting:
            found: list[Any] = self._comm.allgather(value)
        return found


class _Waiting:
    """Within it a rank waits for others: it counts the time, and ends all ranks when that becomes too long.

    Who waits within MPI cannot look at a clock, so another thread does.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
        The communicator.
    timeout : float or None
        Number of seconds to wait; None waits without end.

    Attributes
    ----------
    seconds : float
        Number of seconds that have been spent waiting, altogether.
    since : float or None
        Time at which the present wait began, by `time.perf_counter`; None between waits.
    """

    def __init__(self, comm: Any, timeout: float | None) -> None:
        self._comm, self._timeout = comm, timeout
        self._is_watched = timeout is None or comm.size == 1
        self.seconds, self._started = 0.0, 0.0
        self.since: float | None = None

    def __enter__(self) -> None:
        if not self._is_watched:
            self._is_watched = True
            watching = (weakref.ref(self), self._comm, self._timeout)
            threading.Thread(target=_watch, args=watching, name="MPIReducer", daemon=True).start()
        self.since = self._started = time.perf_counter()

    def __exit__(self, *exception: object) -> None:
        self.since = None
        self.seconds += time.perf_counter() - self._started


def _watch(reference: weakref.ref[_Waiting], comm: Any, timeout: float) -> None:
    """Look from time to time how long a rank has waited, as long as there is something to look at."""
    while True:
        time.sleep(min(timeout / 4, 1.0))
        waiting = reference()
        if waiting is None:
            return
        since = waiting.since
        del waiting
        if since is not None and time.perf_counter() - since > timeout:
            _end_all(comm, timeout)


def _end_all(comm: Any, timeout: float) -> None:
    print(
        f"rank {comm.rank} has waited for other ranks for {timeout:g} seconds and ends all {comm.size}: one of them "
        "hangs, or cannot be reached, or has not come to the same fit. Pass a larger timeout to MPIReducer if they may "
        "be as late as that",
        file=sys.stderr,
        flush=True,
    )
    at_the_latest = threading.Timer(_TO_ABORT, os._exit, (1,))
    at_the_latest.daemon = True
    at_the_latest.start()
    comm.Abort(1)
