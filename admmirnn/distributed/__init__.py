"""Fits by several processes, on one machine or many: in step over MPI.

`MPIReducer` joins the ranks of an MPI program, each of which has a part of the sequences.  It needs the extra ``mpi``.
"""

from __future__ import annotations

from admmirnn.distributed.mpi import MPIReducer

__all__ = ["MPIReducer"]
