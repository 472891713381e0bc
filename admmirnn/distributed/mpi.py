"""Ranks of an MPI program that fit one network in step: each iteration adds its sums up over all of them."""

from __future__ import annotations

import time
from typing import Any

from admmirnn._typing import AddedUp
from admmirnn.optional import import_optional


class MPIReducer:
    """Joins the ranks of a communicator of mpi4py, each of which has a part of the sequences, or none.

    Passed as ``reducer`` to the ``fit`` of an estimator by every rank at the same time, it makes their fit that of one
    process which has the sequences of all: the weights differ by no more than rounding, and are the same on every rank.
    An error on one rank, and Ctrl-C, end the fit on all of them.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional
        The communicator; None is that of all ranks, ``MPI.COMM_WORLD``.  The reducer duplicates it, so that messages of
        the program's own do not get in the way.

    Attributes
    ----------
    rank, size : int
        Which of how many ranks this one is, from 0.
    seconds : float
        What this rank has spent in communication, which includes waiting for slower ranks.

    Raises
    ------
    ImportError
        If mpi4py is not installed: ``pip install "admmirnn[mpi]"``.
    TypeError
        If ``comm`` is no communicator within a group.

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

    seconds: float

    def __init__(self, comm: Any = None) -> None:
        self._MPI = import_optional("mpi4py.MPI", "mpi", "MPIReducer")
        comm = self._MPI.COMM_WORLD if comm is None else comm
        if not isinstance(comm, self._MPI.Intracomm):
            raise TypeError(f"comm is of type {type(comm).__name__}; pass a communicator such as MPI.COMM_WORLD")
        self._comm = comm.Dup()
        self.seconds = 0.0

    @property
    def rank(self) -> int:
        """Of this process, from 0."""
        return int(self._comm.rank)

    @property
    def size(self) -> int:
        """How many ranks there are."""
        return int(self._comm.size)

    def sum(self, sums: AddedUp, /) -> None:
        """Put the sums over all ranks in the place of this one's own.

        Where all numbers are of one type they go in one message, and those in float32 behind the others in a second
        one, which costs less than to make float64 of them.
        """
        started = time.perf_counter()
        if sums.numbers.dtype == sums.doubles.dtype:
            self._comm.Allreduce(self._MPI.IN_PLACE, sums.whole.view(sums.doubles.dtype))
        else:
            self._comm.Allreduce(self._MPI.IN_PLACE, sums.doubles)
            self._comm.Allreduce(self._MPI.IN_PLACE, sums.numbers)
        self.seconds += time.perf_counter() - started

    def gather(self, value: Any, /) -> list[Any]:
        """Return the values of all ranks, in their order."""
        started = time.perf_counter()
        found: list[Any] = self._comm.allgather(value)
        self.seconds += time.perf_counter() - started
        return found
