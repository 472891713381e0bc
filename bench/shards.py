"""Fits to shards that are larger than memory: what two ranks have resident while they read all of them.

    python -m bench.shards [--gigabytes 8] [--folder FOLDER]

Writes shards of sequences of 200 steps of 100 float32 features, whose files have holes where there are but zeros,
fits a small network to them for one epoch on two ranks, prints the most that each has had resident, and removes them.
Needs the extra mpi and mpiexec.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

N_STEPS, N_FEATURES, N_RANKS = 200, 100, 2
LIMIT = 400  # megabytes
HARD_LIMIT = 1800  # seconds


def write(folder, n_gigabytes):
    """Shards as `write_shards` leaves them, but that most observations are holes."""
    from admmirnn.distributed import write_shards

    rng = np.random.default_rng(0)
    few = ((rng.normal(size=(N_STEPS, N_FEATURES)), i % 2) for i in range(N_RANKS * 2))
    write_shards(folder, few, N_RANKS)
    n = int(n_gigabytes * 1e9 / N_RANKS / (4 * N_STEPS * N_FEATURES))
    for rank in range(N_RANKS):
        shard = folder / str(rank)
        observations = np.lib.format.open_memmap(
            shard / "observations.npy", "w+", np.float32, (n * N_STEPS, N_FEATURES)
        )
        labels = rng.integers(0, 2, n)
        for i in range(0, n, 50):  # a page of each of these differs
            observations[i * N_STEPS : i * N_STEPS + 8] = labels[i] + rng.normal(size=(8, N_FEATURES))
        del observations
        np.save(shard / "lengths.npy", np.full(n, N_STEPS))
        np.save(shard / "targets.npy", labels)
    return n


def fit_rank(folder):
    """What one rank does; it prints what it has had resident."""
    from mpi4py import MPI

    from admmirnn import RNNClassifier
    from admmirnn.distributed import MPIReducer, read_shard

    reducer = MPIReducer(MPI.COMM_WORLD)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    X, y = read_shard(folder, reducer.rank)
    started = time.perf_counter()
    model = RNNClassifier(16, max_epochs=1, random_state=0, n_threads=1)
    model.fit(X, y, reducer=reducer)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(
        f"rank {reducer.rank}: {X.observations.nbytes / 1e9:.2f} GB in {len(X)} sequences, {most:.0f} MB resident at "
        f"most, {before:.0f} MB of them before the fit; {time.perf_counter() - started:.0f} s",
        flush=True,
    )
    if most > LIMIT:
        raise SystemExit(f"more than {LIMIT} MB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=8.0, help="of both shards together")
    parser.add_argument("--folder", help="where the shards go for the time being")
    parser.add_argument("--rank", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank:
        fit_rank(options.rank)
        return
    mpiexec = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if mpiexec is None:
        raise SystemExit("there is no mpiexec; pip install mpi4py mpich brings one")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        shards = Path(folder) / "shards"
        write(shards, options.gigabytes)
        command = [mpiexec, "-n", str(N_RANKS), sys.executable, "-m", "mpi4py", "-m", "bench.shards"]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        subprocess.run([*command, "--rank", str(shards)], env=environment, timeout=HARD_LIMIT, check=True)


if __name__ == "__main__":
    main()
