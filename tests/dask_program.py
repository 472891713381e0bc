"""What tests/test_dask.py runs in a process of its own: fits in rounds on a LocalCluster of processes."""

import contextlib
import faulthandler
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np

from admmirnn import RNNClassifier, RNNRegressor
from admmirnn.distributed import DaskTrainer, read_shard, write_shards

OPTIONS = {"hidden_size": 6, "dtype": "float64", "random_state": 0, "max_epochs": 2, "batch_size": 10, "n_threads": 1}
N_PARTS = 4


def sequences(i=0, n=40):
    """A partition."""
    rng = np.random.default_rng(i)
    y = rng.integers(0, 3, n)
    steps = np.arange(12)
    X = np.sin((0.3 + 0.3 * y[:, None]) * steps)[:, :, None] + 0.2 * rng.normal(size=(n, 12, 2))
    return X, y


def slow_part(i, folder, seconds=0.0):
    """A partition that says in a file who has read it."""
    with open(Path(folder) / f"read-{i}", "a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(seconds)
    return sequences(i)


def corrupt_part(i):
    if i == 2:
        raise OSError("the file has no end")
    X, y = sequences(i)
    return (X, y[:-1]) if i == 1 else (X, y)


def weights_of(model):
    return np.concatenate([np.ravel(getattr(model, name)) for name in ("V_", "c_", *_hidden(model))]).tolist()


def _hidden(model):
    return [name for name in sorted(vars(model)) if name[0] in "UWb" and isinstance(getattr(model, name), np.ndarray)]


def fit(client, parts, y=None, *, iterations_per_round=4, **options):
    trainer = DaskTrainer(RNNClassifier(**OPTIONS | options), client, iterations_per_round=iterations_per_round)
    return trainer.fit(parts, y).estimator_


def delayed_parts(folder=None, seconds=0.0):
    import dask

    if folder is None:
        return [dask.delayed(sequences)(i) for i in range(N_PARTS)]
    return [dask.delayed(slow_part, pure=False)(i, str(folder), seconds) for i in range(N_PARTS)]


def same_everywhere(client, folder):
    """Partitions of every kind find the same."""
    import dask.array
    import dask.bag

    found = {"delayed": weights_of(fit(client, delayed_parts()))}
    X, y = (np.concatenate(all_of) for all_of in zip(*(sequences(i) for i in range(N_PARTS)), strict=True))
    chunks = (40, -1, 1)
    found["array"] = weights_of(
        fit(client, dask.array.from_array(X, chunks=chunks), dask.array.from_array(y, chunks=80))
    )
    pairs = [(x, int(label)) for x, label in zip(X, y, strict=True)]
    found["bag"] = weights_of(fit(client, dask.bag.from_sequence(pairs, npartitions=N_PARTS)))
    futures = [client.submit(sequences, i) for i in range(N_PARTS)]
    found["futures"] = weights_of(fit(client, futures))
    shards = folder / "shards"
    # dealt in turn, so that shard i is partition i
    ordered = [pairs[40 * i + k] for k in range(40) for i in range(N_PARTS)]
    write_shards(shards, ordered, N_PARTS, dtype=np.float64)
    found["shards"] = weights_of(fit(client, [dask.delayed(read_shard)(str(shards), i) for i in range(N_PARTS)]))
    regressor = RNNRegressor(**OPTIONS)
    trainer = DaskTrainer(regressor, client).fit(
        [dask.delayed(lambda i: (sequences(i)[0], sequences(i)[0].sum(axis=(1, 2))))(i) for i in range(2)]
    )
    assert not hasattr(regressor, "V_")
    assert np.isfinite(weights_of(trainer.estimator_)).all()
    wait_until(client, lambda: len(client.futures) == N_PARTS)  # those of the user: nothing else is left on the workers
    return found


def wait_until(client, is_so, seconds=20):
    started = time.monotonic()
    while not is_so():
        assert time.monotonic() - started < seconds, sorted(map(str, client.futures))
        gc.collect()  # timeouts of asyncio hold on to those who have waited
        time.sleep(0.05)


def errors(client, folder):
    """What is said of partitions that cannot be used."""
    import dask

    found = []
    for which in ([0, 1], [0, 2]):
        try:
            fit(client, [dask.delayed(corrupt_part)(i) for i in which])
        except Exception as error:
            found.append(f"{type(error).__name__}: {error}")
    try:
        fit(client, [dask.delayed(len)("abc")])
    except Exception as error:
        found.append(f"{type(error).__name__}: {error}")
    return found


def killed(client, folder):
    """A worker is killed in the middle; another one reads its partitions again."""
    seen = []

    def kill(state):
        seen.append(state.record["epoch"])
        if len(seen) == 3:
            os.kill(int((folder / "read-0").read_text().split()[0]), signal.SIGKILL)

    alone = fit(client, delayed_parts(), max_epochs=8)
    model = fit(client, delayed_parts(folder), max_epochs=8, callbacks=[kill])
    reads = [len((folder / f"read-{i}").read_text().split()) for i in range(N_PARTS)]
    return {"killed": weights_of(model), "alone": weights_of(alone), "reads": reads}


def killed_often(client, folder, n):
    """Workers are killed at random moments, one in each of n fits; their nannies start others."""
    rng = np.random.default_rng(0)
    started = time.monotonic()
    found, alone = [], weights_of(fit(client, delayed_parts(), max_epochs=8))
    seconds = time.monotonic() - started
    for _ in range(int(n)):
        client.wait_for_workers(2, timeout=60)
        victim = int(rng.choice(sorted(client.run(os.getpid, on_error="ignore").values())))
        timer = threading.Timer(rng.uniform(0, seconds), os.kill, (victim, signal.SIGKILL))
        timer.start()
        found.append(weights_of(fit(client, delayed_parts(), max_epochs=8)) == alone)
        timer.join()
        time.sleep(0.5)  # in which the scheduler sees that it has gone
    return {"same": found}


def added(client, folder):
    """A worker that is added while the fit runs takes part."""
    here = set(client.run(os.getpid).values())

    def add(state):
        if state.record["epoch"] == 1:
            client.cluster.scale(2)
            client.wait_for_workers(2, timeout=30)
        with open(folder / "epoch", "w") as file:
            file.write(str(state.record["epoch"]))

    alone = fit(client, delayed_parts(), max_epochs=8)
    model = fit(client, delayed_parts(), max_epochs=8, callbacks=[add])
    found = [dict(client.run(lambda dask_worker: (os.getpid(), dask_worker.state.executed_count)).values())]
    newcomers = {pid: n for pid, n in found[0].items() if pid not in here}
    return {"executed": list(newcomers.values()), "added": weights_of(model), "alone": weights_of(alone)}


def interrupted(client, folder):
    """Ctrl-C on the driver keeps the weights."""

    def press(state):
        if state.record["epoch"] == 3:
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()

    started = time.monotonic()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = fit(client, delayed_parts(), max_epochs=10**6, callbacks=[press])
    X, y = sequences(0)
    return {
        "status": model.status_.name,
        "epochs": model.n_iter_,
        "warnings": [str(one.message) for one in caught],
        "score": model.score(X, y),
        "seconds": time.monotonic() - started,
    }


def worker_stopped(client, folder):
    """A worker is there, and does nothing any more: after its time the scheduler gives it up."""
    alone = fit(client, delayed_parts(), max_epochs=8)
    seen = []

    def stop(state):
        seen.append(state.record["epoch"])
        if len(seen) == 3:
            os.kill(int((folder / "read-0").read_text().split()[0]), signal.SIGSTOP)

    model = fit(client, delayed_parts(folder), max_epochs=8, callbacks=[stop])
    reads = [len((folder / f"read-{i}").read_text().split()) for i in range(N_PARTS)]
    return {"stopped": weights_of(model), "alone": weights_of(alone), "reads": reads}


def _end_of_fit(client, press, *, interrupts=False, timeout=30.0):
    """A fit without an end, in which ``press()`` is called after three epochs, and how it ends."""
    pressed = []

    def after_epoch(state):
        if state.record["epoch"] == 3:
            pressed.append(time.monotonic())
            press()
            if interrupts:
                threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()

    model = RNNClassifier(**OPTIONS | {"max_epochs": 10**6}, callbacks=[after_epoch])
    trainer = DaskTrainer(model, client, iterations_per_round=4, timeout=timeout)
    error = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            trainer.fit(delayed_parts())
        except Exception as found:
            error = f"{type(found).__name__}: {found}"
    assert pressed, error
    return {
        "error": error,
        "epochs": trainer.estimator_.n_iter_,
        "status": trainer.estimator_.status_ and trainer.estimator_.status_.name,
        "seconds": time.monotonic() - pressed[0],
    }


def scheduler_killed(client, folder):
    return _end_of_fit(client, lambda: os.kill(int((folder / "scheduler").read_text()), signal.SIGKILL))


def scheduler_stopped(client, folder):
    return _end_of_fit(client, lambda: os.kill(int((folder / "scheduler").read_text()), signal.SIGSTOP))


def scheduler_stopped_and_interrupted(client, folder):
    pid = int((folder / "scheduler").read_text())
    return _end_of_fit(client, lambda: os.kill(pid, signal.SIGSTOP), interrupts=True, timeout=100.0)


def workers_killed(client, folder):
    def kill():
        for pid in client.run(os.getpid).values():
            os.kill(pid, signal.SIGKILL)

    return _end_of_fit(client, kill)


@contextlib.contextmanager
def own_scheduler(folder):
    """A scheduler and a worker without a nanny, in processes of their own."""
    from dask.distributed import Client

    file = folder / "scheduler.json"
    of_both = [f"--scheduler-file={file}", "--no-dashboard"]
    scheduler = subprocess.Popen([sys.executable, "-m", "distributed.cli.dask_scheduler", "--port=0", *of_both])
    (folder / "scheduler").write_text(str(scheduler.pid))
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--no-nanny", "--nthreads=1", *of_both]
    worker = subprocess.Popen(worker)
    try:
        while not file.exists():
            time.sleep(0.1)
        client = Client(scheduler_file=str(file), timeout=300)
        client.wait_for_workers(1)
        yield client
    finally:
        for process in (worker, scheduler):
            process.kill()
            process.wait()


@contextlib.contextmanager
def local_cluster(what):
    from dask.distributed import Client, LocalCluster

    n_workers = 1 if what == "added" else 2
    in_processes = what not in ("same_everywhere", "errors")
    options = {"threads_per_worker": 1, "dashboard_address": None, "processes": in_processes}
    with LocalCluster(n_workers=n_workers, **options) as cluster, Client(cluster) as client:
        yield client


def main():
    what, folder, more = sys.argv[1], Path(sys.argv[2]), [float(argument) for argument in sys.argv[3:]]
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background may ignore it
    import dask

    dask.config.set({"distributed.scheduler.worker-ttl": "4 s" if what == "worker_stopped" else "300 s"})
    own = what.startswith("scheduler_") or what == "workers_killed"
    with own_scheduler(folder) if own else local_cluster(what) as client:
        (folder / "ready").touch()
        found = globals()[what](client, folder, *more)
    (folder / "found.json").write_text(json.dumps(found))
    if own:
        os._exit(0)  # a client has nobody to say good-bye to


if __name__ == "__main__":
    main()
