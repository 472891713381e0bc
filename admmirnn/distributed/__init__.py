"""Fits by several processes, on one machine or many: in step over MPI, of data that need not fit into memory.

`MPIReducer` joins the ranks of an MPI program, each of which has a part of the sequences.  It needs the extra ``mpi``.
`write_shards` writes such parts, as an iterator yields sequences, and `read_shard` opens one, memory-mapped.
"""

from __future__ import annotations

from admmirnn.data.stored import StoredSequences, read_shard, write_shards
from admmirnn.distributed.mpi import MPIReducer

__all__ = ["MPIReducer", "StoredSequences", "read_shard", "write_shards"]
