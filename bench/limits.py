"""What a machine runs short of, in earnest: ``python -m bench.limits [KIND ...]``.

Fits with a checkpoint, and models being saved, in processes that may have only so much memory, so many descriptors or
so long files, whose folder is read-only, whose disk is full (where this program may mount one), or that write the same
file as another process.  Each ends with the result of one that has all it needs, or with an error in words, and never
with a crash; a file that was there is whole, the one of before or the new one, and nothing is left beside it.
"""

import argparse
import ctypes
import hashlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

import admmirnn
from admmirnn import RNNClassifier
from bench.measure import report
from bench.processes import Child, outcome

_MEMORY_STEP = 20 << 20
_SETTINGS = {"hidden_size": 256, "cell": "elman", "max_epochs": 3, "random_state": 0, "batch_size": 500}
_MOST_STEPS = 30
_M_MMAP_THRESHOLD = -3
_IN_LARGE_MINIBATCHES = {"n_sequences": 2000, "n_steps": 40, "max_epochs": 1, "batch_size": 2000}


def _data(n, n_steps):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, n_steps, 2)), rng.integers(0, 3, n)


def _digest(model):
    return hashlib.sha256(b"".join(array.tobytes() for array in model._network().arrays)).hexdigest()


def _fit_and_save(tell, data, settings, folder, limit=None):
    """Fit with a checkpoint, predict, and save, under a limit; tell the weights, or what was short."""
    warnings.simplefilter("ignore")
    if limit is not None:
        limit()
    short = MemoryError, OSError
    try:
        model = RNNClassifier(checkpoint=folder / "fit", **settings).fit(*data)
        model.predict(data[0])
        model.save(folder / "model")
    except short as error:
        tell({"short": type(error).__name__})
    else:
        tell({"weights": _digest(model)})


def _limit_memory(n_bytes):
    with suppress(AttributeError, OSError):  # of glibc: what was freed is given back, so that all that is used counts
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 16)
        libc.malloc_trim(0)
    status = Path("/proc/self/status").read_text().split()
    most = 1024 * int(status[status.index("VmSize:") + 1]) + n_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _limit_descriptors(n):
    resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))


def _limit_files(n_bytes):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


class Judge:
    """Whether what ends under a limit ends well, beside what ends without one.

    Parameters
    ----------
    folder : Path
        To work in.
    n_sequences, n_steps : int
        Of the data.
    **settings
        Of the fits.

    Attributes
    ----------
    data : pair
        X and y of the fits.
    counts : Counter
        How they have ended.
    wrong : list of str
        Which of them should not have.
    """

    def __init__(self, folder, n_sequences=400, n_steps=20, **settings):
        self.folder, self.data = folder, _data(n_sequences, n_steps)
        self._settings = _SETTINGS | settings
        self.counts, self.wrong = Counter(), []
        (folder / "whole").mkdir()
        self._whole = outcome(_fit_and_save, self.data, self._settings, folder / "whole")[0]["weights"]
        self._model = RNNClassifier(**(self._settings | {"max_epochs": 1, "random_state": 1})).fit(*self.data)
        self._before = _digest(self._model)

    def run(self, name, limit=None, prepare=lambda folder: None):
        """Fit and save under a limit in a new folder, which has a model of before when it is prepared."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        self._model.save(folder / "model")
        prepare(folder)
        found, number = outcome(_fit_and_save, self.data, self._settings, folder, limit)
        self._judge(name, folder, found, number)
        return found

    def _judge(self, name, folder, found, number):
        """Say what is wrong with what a process has told and left."""
        problem = None
        if number:
            problem = f"ended by {signal.Signals(number).name}"
        elif not isinstance(found, dict) or not found.keys() & {"weights", "short"}:
            problem = f"ended with {found}"
        elif found.get("weights", self._whole) != self._whole:
            problem = "other weights"
        left = sorted(path.name for path in folder.iterdir())
        if not number and set(left) - {"model", "fit"}:
            problem = f"files are left behind: {left}"
        try:
            if _digest(admmirnn.load(folder / "model")) not in (self._whole, self._before):
                problem = "the model of before is lost"
            if "fit" in left:
                again = RNNClassifier(checkpoint=folder / "fit", **self._settings).fit(*self.data, resume=True)
                problem = problem or (None if _digest(again) == self._whole else "a checkpoint leads to other weights")
        except ValueError as error:
            problem = f"a file is not whole: {error}"
        self.counts[problem or ("short" if "short" in found else "whole")] += 1
        if problem:
            self.wrong.append(f"{name}: {problem}")
            print(self.wrong[-1], flush=True)


def memory(judge):
    """Steps of 20 MB of address space beside what the process has when it starts."""
    for i in range(_MOST_STEPS):
        found = judge.run(f"memory {i}", partial(_limit_memory, i * _MEMORY_STEP))
        if isinstance(found, dict) and "weights" in found:
            break


def descriptors(judge):
    """Numbers of descriptors from this one on are not to be had; the first ones are taken."""
    for i in range(3, 19):
        judge.run(f"descriptors {i}", partial(_limit_descriptors, i))


def files(judge):
    """Files that may not be longer than so much, as on a disk with no more room."""
    for i in range(24):
        judge.run(f"files {i}", partial(_limit_files, i * 100_000))


def disk(judge):
    """A disk of so many KB, which is mounted."""
    for n_kilobytes in (400, 600, 800, 1000, 1500, 2000, 3000, 5000):
        folder = judge.folder / f"disk {n_kilobytes}"
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={n_kilobytes}k", "tmpfs", str(folder)]
        if subprocess.run(mount, capture_output=True).returncode:
            print("           no disk can be mounted here")
            return
        try:
            judge.run(folder.name)
        finally:
            subprocess.run(["umount", str(folder)], check=True)


def read_only(judge):
    judge.folder.chmod(0o755)
    limit = (lambda: os.setuid(65534)) if os.getuid() == 0 else None  # root may write anywhere
    judge.run("read-only", limit, lambda folder: folder.chmod(0o555))


def _write(tell, models, path):
    for i in range(200):
        models[i % len(models)].save(path)
    tell("done")


def writers(judge):
    """Two processes that save models of their own at one path, 200 times each, while a third one loads it."""
    path = judge.folder / "shared" / "model"
    path.parent.mkdir()
    models = [RNNClassifier(**(_SETTINGS | {"hidden_size": 32, "max_epochs": 1, "random_state": i})) for i in range(4)]
    known = {_digest(model.fit(*judge.data)) for model in models}
    models[0].save(path)
    children = [Child(_write, models[i : i + 2], path) for i in (0, 2)]
    end, n_read = time.monotonic() + 300, 0
    ends = []
    while len(ends) < 2 and time.monotonic() < end:
        if _digest(admmirnn.load(path)) not in known:
            judge.wrong.append("writers: a file of none of them")
        n_read += 1
        for child in list(children):
            try:
                ends.append(child.told(0))
            except TimeoutError:
                continue
            children.remove(child)
            child.end()
    for child in children:
        child.end(kill=True)
    left = [file.name for file in path.parent.iterdir()]
    if ends != ["done", "done"] or left != ["model"]:
        judge.wrong.append(f"writers: {ends}, {left}")
    print(f"           the file was read {n_read} times")
    judge.counts["whole"] += 1


KINDS = {
    "memory": memory,
    "descriptors": descriptors,
    "files": files,
    "disk": disk,
    "read-only": read_only,
    "writers": writers,
}


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.limits", description=__doc__)
    parser.add_argument("kinds", nargs="*", default=list(KINDS), help=f"of {', '.join(KINDS)}; by default all")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    met = True
    for kind in options.kinds:
        with tempfile.TemporaryDirectory() as folder:
            judge = Judge(Path(folder), **(_IN_LARGE_MINIBATCHES if kind == "memory" else {}))
            KINDS[kind](judge)
            print(f"           {kind}: {dict(judge.counts)}")
            met &= report(f"{kind}: crashes, lost files, other results", f"{len(judge.wrong)}", "0", not judge.wrong)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
