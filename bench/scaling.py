"""What more ranks are worth: iterations measured on one and two ranks, and a model of the allreduce for up to 1,024.

    python -m bench.scaling [--units 128 512] [--batch 500] [--alpha SECONDS --beta SECONDS_PER_BYTE]

A rank's sweep over its part of a minibatch takes as long as one process needs for it; then the sums are added up, which
takes 2 log2(P) alpha + 2 (P - 1) / P beta bytes with P ranks (R. Thakur, R. Rabenseifner, W. Gropp, 2005).  alpha and
beta are those between two ranks of this machine, unless they are given: a usual network of a cluster has
``--alpha 2e-6 --beta 8e-11``.  Needs the extra mpi and mpiexec.
"""

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

RANKS = tuple(2**i for i in range(11))
N_ITERATIONS, N_REPEATS = 6, 3
HARD_LIMIT = 900  # seconds that two ranks may take


def iterations(reducer, n, batch, seed):
    """Seconds of an iteration, and those of them in communication, by epochs."""
    from admmirnn import RNNClassifier
    from admmirnn.solvers.rollout import solver

    rng = np.random.default_rng(seed)
    X = rng.normal(size=(batch * N_ITERATIONS, 28, 28)).astype(np.float32)
    y = rng.integers(0, 10, len(X))
    found, run_epoch = [], solver._run_epoch

    def timed(fit):
        before, started = getattr(fit.reducer, "seconds", 0.0), time.perf_counter()
        ending = run_epoch(fit)
        seconds = time.perf_counter() - started
        found.append((seconds / N_ITERATIONS, (getattr(fit.reducer, "seconds", 0.0) - before) / N_ITERATIONS))
        timed.n_bytes = fit.sums.whole.nbytes
        return ending

    solver._run_epoch = timed
    try:
        size = 1 if reducer is None else reducer.size
        model = RNNClassifier(n, batch_size=batch * size, max_epochs=2, random_state=0, standardize=False)
        model.fit(X, y, reducer=reducer)
    finally:
        solver._run_epoch = run_epoch
    return found[1:], timed.n_bytes  # the first one has to find its memory


def allreduce_seconds(comm, n_bytes):
    from mpi4py import MPI

    numbers, found = np.zeros(max(n_bytes // 4, 1), np.float32), []
    for _ in range(60):
        comm.Barrier()
        started = time.perf_counter()
        comm.Allreduce(MPI.IN_PLACE, numbers)
        found.append(time.perf_counter() - started)
    return statistics.median(found[10:])


def measure_rank(n, batch):
    """What one of two ranks measures; the first one prints it."""
    from mpi4py import MPI

    from admmirnn.distributed import MPIReducer

    comm = MPI.COMM_WORLD
    reducer, alone, together = MPIReducer(comm), [], []
    for _ in range(N_REPEATS):  # in turn: a machine is not equally busy all the time
        for rank in range(comm.size):
            if comm.rank == rank:
                found, n_bytes = iterations(None, n, batch, comm.rank)
                alone += found
            comm.barrier()
        together += iterations(reducer, n, batch, comm.rank)[0]
    small, large = allreduce_seconds(comm, 8), allreduce_seconds(comm, n_bytes)
    if comm.rank == 0:
        result = {
            "alone": statistics.median(seconds for seconds, _ in alone),
            "together": statistics.median(seconds for seconds, _ in together),
            "share": statistics.median(communication / seconds for seconds, communication in together),
            "bytes": n_bytes,
            "alpha": small / 2,
            "beta": max(large - small, 0.0) / n_bytes,
        }
        print(json.dumps(result), flush=True)


def measured(n, batch):
    """The figures of two ranks on this machine, pinned to one thread each."""
    places = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    mpiexec = shutil.which("mpiexec", path=places)
    if mpiexec is None:
        raise SystemExit("there is no mpiexec; pip install mpi4py mpich brings one")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [mpiexec, "-n", "2", sys.executable, "-m", "mpi4py", "-m", "bench.scaling", "--rank"]
    command += ["--units", str(n), "--batch", str(batch)]
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=HARD_LIMIT, check=True)
    return json.loads(run.stdout.strip().splitlines()[-1])


def modelled(n_ranks, found, alpha, beta):
    """Seconds of an iteration of so many ranks."""
    reduce = 2 * math.log2(n_ranks) * alpha + 2 * (n_ranks - 1) / n_ranks * beta * found["bytes"]
    return found["alone"] + reduce


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, nargs="+", default=[128, 256, 512, 1024])
    parser.add_argument("--batch", type=int, default=500, help="sequences of each rank in a minibatch")
    parser.add_argument("--alpha", type=float, help="seconds that a message takes")
    parser.add_argument("--beta", type=float, help="seconds that a byte takes")
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank:
        measure_rank(options.units[0], options.batch)
        return
    for n in options.units:
        found = measured(n, options.batch)
        alpha = found["alpha"] if options.alpha is None else options.alpha
        beta = found["beta"] if options.beta is None else options.beta
        predicted = modelled(2, found, found["alpha"], found["beta"])
        print(
            f"n = {n}, {options.batch} sequences per rank: {1e3 * found['alone']:.1f} ms alone, two ranks "
            f"{1e3 * found['together']:.1f} ms (model {1e3 * predicted:.1f}), that is "
            f"{found['alone'] / found['together']:.3f} of twice the sequences per second, {found['share']:.1%} of the "
            f"time in communication, {found['bytes'] / 1e3:.0f} kB per iteration; alpha {1e6 * alpha:.1f} us, "
            f"beta {1e9 * beta:.3f} ns per byte"
        )
        rows = [f"{ranks:>5} {found['alone'] / modelled(ranks, found, alpha, beta):>6.3f}" for ranks in RANKS]
        print("ranks  share of ideal speed, by the model\n" + "\n".join(rows), flush=True)


if __name__ == "__main__":
    main()
