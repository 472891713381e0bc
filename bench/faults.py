"""What becomes of fits by several processes when something goes wrong, each time 20 times.

    python -m bench.faults mpi [--times 20]
    python -m bench.faults dask [--times 20] [--only killed]

``mpi``: of two ranks in step one is killed by SIGKILL at a random moment; the other has to end, and the same program,
started once more, has to find the weights of a run that nothing has happened to, to the last bit.

``dask``: in fits in rounds on two workers one of them is killed at a random moment; a worker is added; the driver is
interrupted by Ctrl-C at a random moment; a random partition is damaged.  Workers that are killed are processes, those
that are added threads.  Needs the extras mpi, dask and files, and mpiexec.
"""

import argparse
import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np

from bench.measure import report

N_PARTS, N_RANKS = 4, 2
OPTIONS = {"hidden_size": 6, "dtype": "float64", "max_epochs": 8, "batch_size": 10, "n_threads": 1}
MOST_SECONDS = 30  # that the other ranks may take to end
HARD_LIMIT = 600  # seconds for anything


def sequences(i=0, n=40):
    """A partition: waves of three frequencies, with noise."""
    rng = np.random.default_rng(i)
    y = rng.integers(0, 3, n)
    X = np.sin((0.3 + 0.3 * y[:, None]) * np.arange(12))[:, :, None] + 0.5 * rng.normal(size=(n, 12, 2))
    return X, y


def weights_of(model):
    """All of them."""
    return np.concatenate([np.ravel(array) for array in model._network().weights.values()])


def share(found, times):
    """How many of so many, as text."""
    return f"{sum(found)} of {times}"


# Ranks of MPI


def fit_rank(folder):
    """What each rank does: a fit that goes on from its checkpoint."""
    from mpi4py import MPI

    from admmirnn import RNNClassifier
    from admmirnn.distributed import MPIReducer

    reducer = MPIReducer(MPI.COMM_WORLD)
    (folder / f"pid-{reducer.rank}").write_text(str(os.getpid()))

    def slow(state):
        (folder / "epoch").write_text(str(state.record["epoch"]))
        time.sleep(0.02)

    options = OPTIONS | {"max_epochs": 40, "random_state": 0, "callbacks": [slow], "checkpoint": folder / "fit"}
    model = RNNClassifier(**options).fit(*sequences(reducer.rank, 45), resume=True, reducer=reducer)
    np.save(folder / f"weights-{reducer.rank}.npy", weights_of(model))


def start_ranks(folder):
    """Start two ranks, pinned to one thread each."""
    mpiexec = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if mpiexec is None:
        raise SystemExit("there is no mpiexec; pip install mpi4py mpich brings one")
    folder.mkdir(exist_ok=True)
    command = [mpiexec, "-n", str(N_RANKS), sys.executable, "-m", "mpi4py", "-m", "bench.faults", "mpi", "--rank"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, str(folder)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def kill_ranks(folder, times, rng):
    """Kill one rank in each of so many runs, and go on from the checkpoint."""
    assert start_ranks(folder / "whole").wait(HARD_LIMIT) == 0
    expected = np.load(folder / "whole" / "weights-0.npy")
    seconds, same = [], []
    for i in range(times):
        process = start_ranks(folder / str(i))
        while not (folder / str(i) / "epoch").exists():
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.8))
        victim = int((folder / str(i) / f"pid-{rng.integers(N_RANKS)}").read_text())
        began = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        has_failed = process.wait(HARD_LIMIT) != 0
        seconds.append(time.monotonic() - began if has_failed else np.inf)
        assert start_ranks(folder / str(i)).wait(HARD_LIMIT) == 0
        of_ranks = [np.load(folder / str(i) / f"weights-{rank}.npy") for rank in range(N_RANKS)]
        same.append(all(np.array_equal(found, expected) for found in of_ranks))
    ended = [some < MOST_SECONDS for some in seconds]
    print(f"           the other rank has ended after {np.median(seconds):.2f} s, at most {max(seconds):.2f} s")
    name = f"a rank is killed: all end within {MOST_SECONDS} s with an error"
    passed = report(name, share(ended, times), f"{times}", all(ended))
    return (
        report("  ... and the checkpoint resumes bit-identical", share(same, times), f"{times}", all(same)) and passed
    )


# Workers of Dask


def delayed_parts(corrupt=None):
    """The partitions, of which one may be damaged."""
    import dask

    return [dask.delayed(damaged if i == corrupt else sequences, pure=False)(i) for i in range(N_PARTS)]


def damaged(i):
    """A partition that is read in vain, or has a label too few."""
    if i % 2:
        raise OSError("the file has no end")
    X, y = sequences(i)
    return X, y[:-1]


def fit(client, seed=0, parts=None, **options):
    """A fit in rounds."""
    from admmirnn import RNNClassifier
    from admmirnn.distributed import DaskTrainer

    model = RNNClassifier(**OPTIONS | options, random_state=seed)
    trainer = DaskTrainer(model, client, iterations_per_round=4)
    return trainer.fit(delayed_parts() if parts is None else parts).estimator_


def cluster_of(n_workers, *, processes):
    """A cluster on this machine, whose nannies may take their time to start a worker anew."""
    import dask
    from dask.distributed import LocalCluster

    dask.config.set({"distributed.deploy.lost-worker-timeout": f"{HARD_LIMIT}s"})  # it gives up after 15 s
    return LocalCluster(
        n_workers=n_workers, threads_per_worker=1, dashboard_address=None, processes=processes, silence_logs=50
    )


def kill_workers(client, times, rng):
    """Kill one of two workers in each of so many fits; their nannies start others."""
    apart = sequences(99, 300)
    started = time.monotonic()
    undisturbed = [fit(client, seed) for seed in range(5)]
    seconds = (time.monotonic() - started) / len(undisturbed)
    scores = [model.score(*apart) for model in undisturbed]
    within, same = [], []
    for i in range(times):
        client.wait_for_workers(2, timeout=HARD_LIMIT)
        victim = int(rng.choice(sorted(client.run(os.getpid, on_error="ignore").values())))
        timer = threading.Timer(rng.uniform(0, seconds), os.kill, (victim, signal.SIGKILL))
        timer.start()
        model = fit(client, i % len(undisturbed))
        timer.join()
        within.append(min(scores) <= model.score(*apart) <= max(scores))
        same.append(np.array_equal(weights_of(model), weights_of(undisturbed[i % len(undisturbed)])))
        time.sleep(0.5)  # in which the scheduler sees that it has gone
    print(
        f"           undisturbed fits take {seconds:.1f} s, and are right about {min(scores):.3f} to {max(scores):.3f}"
    )
    passed = report(
        "a worker is killed: accuracy within the undisturbed", share(within, times), f"{times}", all(within)
    )
    return (
        report("  ... and the weights are theirs to the last bit", share(same, times), f"{times}", all(same)) and passed
    )


def interrupt(client, times, rng):
    """Ctrl-C on the driver at a random moment after the first epoch."""
    kept = []
    for _ in range(times):
        moments, weights = [], []

        def press(state, moments=moments, weights=weights):
            weights.append(weights_of(state.estimator))
            if not moments:
                moments.append(threading.Timer(rng.uniform(0, 1), os.kill, (os.getpid(), signal.SIGINT)))
                moments[0].start()

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = fit(client, max_epochs=10**6, callbacks=[press])
        kept.append(model.status_.name == "INTERRUPTED" and np.isfinite(weights_of(model)).all() and model.n_iter_ > 0)
        time.sleep(1.1)  # two within a second would abort the second fit
    return report("Ctrl-C on the driver: the weights are kept", share(kept, times), f"{times}", all(kept))


def corrupt(client, times, rng):
    """A random partition is damaged."""
    named = []
    for _ in range(times):
        which = int(rng.integers(N_PARTS))
        try:
            fit(client, parts=delayed_parts(which))
            named.append(False)
        except (ValueError, TypeError) as error:
            named.append(f"partition {which} of X" in str(error))
        gc.collect()
    return report("a partition is damaged: the error names it", share(named, times), f"{times}", all(named))


def add_workers(client, times, rng):
    """Add a worker in a random epoch, and take it away after the fit."""
    alone, same, worked = weights_of(fit(client)), [], []
    for _ in range(times):
        client.cluster.scale(1)
        while len(client.nthreads()) > 1:
            time.sleep(0.05)
        before, when = set(client.nthreads()), int(rng.integers(1, 5))

        def add(state, when=when):
            if state.record["epoch"] == when:
                client.cluster.scale(2)
                client.wait_for_workers(2, timeout=HARD_LIMIT)

        same.append(np.array_equal(weights_of(fit(client, callbacks=[add])), alone))
        counts = client.run(lambda dask_worker: dask_worker.state.executed_count)
        worked.append(sum(n for address, n in counts.items() if address not in before) > 0)
    passed = report("a worker is added: it takes part", share(worked, times), f"{times}", all(worked))
    return (
        report("  ... and the weights are the same to the last bit", share(same, times), f"{times}", all(same))
        and passed
    )


DASK_FAULTS = {"damaged": corrupt, "added": add_workers, "interrupted": interrupt, "killed": kill_workers}
DASK = tuple(DASK_FAULTS)


def main():
    parser = argparse.ArgumentParser(
        prog="python -m bench.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("mpi", "dask"))
    parser.add_argument("--times", type=int, default=20, help="how often each of it happens (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=DASK, default=DASK, help="of those of Dask (default: all)")
    parser.add_argument("--rank", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank:
        fit_rank(Path(options.rank))
        return 0
    rng = np.random.default_rng(options.seed)
    if options.what == "mpi":
        with tempfile.TemporaryDirectory() as folder:
            return 0 if kill_ranks(Path(folder), options.times, rng) else 1
    from dask.distributed import Client

    passed = []
    for n_workers, names in ((1, DASK[:2]), (2, DASK[2:])):
        chosen = [DASK_FAULTS[name] for name in names if name in options.only]
        if chosen:
            with cluster_of(n_workers, processes=n_workers > 1) as cluster, Client(cluster) as client:
                passed += [happen(client, options.times, rng) for happen in chosen]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
