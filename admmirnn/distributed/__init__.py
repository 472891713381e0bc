"""Fits by several processes, on one machine or many: in step over MPI, in rounds on Dask, of data larger than memory.

`MPIReducer` joins the ranks of an MPI program, each of which has a part of the sequences.  It needs the extra ``mpi``.
`DaskTrainer` fits in rounds, on the workers of Dask, which have partitions of the data.  It needs the extra ``dask``.
`write_shards` writes such parts, as an iterator yields sequences, and `read_shard` opens one, memory-mapped.
"""

from __future__ import annotations

from admmirnn.data.stored import StoredSequences, read_shard, write_shards
from admmirnn.distributed.dask_trainer import DaskTrainer
from admmirnn.distributed.mpi import MPIReducer

__all__ = ["DaskTrainer", "MPIReducer", "StoredSequences", "read_shard", "write_shards"]
