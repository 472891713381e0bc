"""What the tests of MPI start with mpiexec: ``python mpi_program.py WHAT FOLDER``, which writes its findings there."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from mpi4py import MPI

from admmirnn import CharacterModel, RNNClassifier, RNNRegressor
from admmirnn.distributed import MPIReducer

SIZES = {1: (90,), 2: (60, 30), 3: (60, 0, 30), 4: (50, 0, 39, 1)}
OPTIONS = {"hidden_size": 8, "random_state": 0, "max_epochs": 3, "batch_size": 30}
TEXTS = ["to be, or not to be" * 20, "whether tis nobler in the mind" * 9, "the slings and arrows" * 15]


def sequences():
    rng = np.random.default_rng(0)
    lengths, y = rng.integers(5, 14, 90), rng.integers(0, 3, 90)
    X = [
        np.sin((0.3 + 0.3 * c) * np.arange(n))[:, None] + 0.2 * rng.normal(size=(n, 2))
        for c, n in zip(y, lengths, strict=True)
    ]
    return X, y


def models():
    """By name: an estimator, and what it learns."""
    X, y = sequences()
    sums, running = [x.sum() for x in X], [x.cumsum(axis=0)[:, 0] for x in X]
    found = {}
    for dtype in ("float64", "float32"):
        options = OPTIONS | {"dtype": dtype}
        for cell in ("elman", "fastgrnn", "ugrnn", "gru", "lstm"):
            found[f"{cell} {dtype}"] = RNNClassifier(**options, cell=cell), X, y
        found[f"bidirectional {dtype}"] = RNNClassifier(**options, bidirectional=True), X, y
        found[f"regressor {dtype}"] = RNNRegressor(**options), X, sums
        found[f"steps {dtype}"] = RNNRegressor(**options, s_0="learn"), X, running
    return found


def cut(items, sizes, rank):
    end = int(np.cumsum(sizes)[rank])
    return items[end - sizes[rank] : end]


def weights_of(model):
    names = [name for name in sorted(vars(model)) if name.endswith("_") and name[0] in "UWVbcs"]
    arrays = [np.ravel(value) for name in names if isinstance(value := getattr(model, name), np.ndarray)]
    return np.concatenate([array for array in arrays if array.dtype.kind == "f"])


def weights(folder, reducer):
    """Of all models."""
    sizes, found = SIZES[reducer.size], {}
    for name, (model, X, y) in models().items():
        model.fit(cut(X, sizes, reducer.rank), cut(y, sizes, reducer.rank), reducer=reducer)
        found[name] = weights_of(model)
    of_rank = [TEXTS[:1], TEXTS[1:], [], []][reducer.rank] if reducer.size > 1 else TEXTS
    text = CharacterModel(8, dtype="float64", random_state=0, max_epochs=2).fit(of_rank, reducer=reducer)
    found["text float64"] = weights_of(text)
    np.savez(folder / f"weights-{reducer.rank}.npz", **found)


def error(folder, reducer):
    """A label is missing on one rank."""
    X, y = sequences()
    RNNClassifier(**OPTIONS).fit(X, y[:-1] if reducer.rank == 1 else y, reducer=reducer)


def error_elsewhere(folder, reducer):
    """One rank fails before it comes to fit."""
    if reducer.rank == 1:
        raise RuntimeError("this rank has lost its file")
    X, y = sequences()
    RNNClassifier(**OPTIONS).fit(X, y, reducer=reducer)


def leaving(folder, reducer):
    """One rank does not come to fit at all: the others wait for it, but not for ever."""
    X, y = sequences()
    reducer = MPIReducer(MPI.COMM_WORLD, timeout=3.0)
    if reducer.rank > 0:
        RNNClassifier(**OPTIONS).fit(X, y, reducer=reducer)


def frozen(folder, reducer):
    """One rank stands still in the middle of the fit."""
    X, y = sequences()
    (folder / f"pid-{reducer.rank}").write_text(str(os.getpid()))
    options = OPTIONS | {"max_epochs": 10**6, "callbacks": [Slow(folder, 0.01)]}
    RNNClassifier(**options).fit(X, y, reducer=MPIReducer(MPI.COMM_WORLD, timeout=3.0))


class Slow:
    """Writes down how far the fit is, and gives a test the time to do something."""

    def __init__(self, folder, seconds=0.05):
        self.folder, self.seconds = folder, seconds

    def on_epoch_end(self, state):
        (self.folder / "epoch").write_text(str(state.record["epoch"]))
        time.sleep(self.seconds)


def endless(folder, reducer):
    """Until Ctrl-C on one rank."""
    X, y = sequences()
    (folder / f"pid-{reducer.rank}").write_text(str(os.getpid()))
    own = slice(reducer.rank, None, reducer.size)
    options = OPTIONS | {"max_epochs": 10**6, "callbacks": [Slow(folder)]}
    model = RNNClassifier(**options).fit(X[own], y[own], reducer=reducer)
    (folder / f"status-{reducer.rank}").write_text(model.status_.name)
    np.save(folder / f"weights-{reducer.rank}.npy", weights_of(model))


def checkpoint(folder, reducer):
    """Goes on from a checkpoint, if there is one."""
    X, y = sequences()
    (folder / f"pid-{reducer.rank}").write_text(str(os.getpid()))
    sizes = SIZES[reducer.size]
    options = OPTIONS | {"max_epochs": 40, "callbacks": [Slow(folder, 0.02)], "checkpoint": folder / "fit"}
    model = RNNClassifier(**options)
    model.fit(cut(X, sizes, reducer.rank), cut(y, sizes, reducer.rank), resume=True, reducer=reducer)
    np.save(folder / f"weights-{reducer.rank}.npy", weights_of(model))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background may ignore it
    what, folder = sys.argv[1:]
    globals()[what](Path(folder), MPIReducer(MPI.COMM_WORLD))
