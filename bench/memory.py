"""What is taken in memory: ``python -m bench.memory [PATH ...]``; the bounds are those of docs/reliability.md.

The arrays of an iteration; a memory-mapped file larger than may be resident; and of each path how many bytes each step,
or character, takes beside what is passed.  Each path runs in processes of its own, one with short and one
with long sequences, whose largest resident memory is read from /proc.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np

from admmirnn import Rollout
from admmirnn.data.sequences import Sequences
from admmirnn.losses import SoftmaxCrossEntropy
from admmirnn.networks import ElmanRNN
from bench.measure import report

_TRAIN_ON_A_MAPPED_FILE = """
import sys
import numpy as np
from admmirnn import RNNClassifier

X = np.load(sys.argv[1], mmap_mode="r")
model = RNNClassifier(32, max_epochs=1, random_state=0, scale=1 / 255).fit(X, np.arange(len(X)) % 2)
model.predict(X)
status = open("/proc/self/status").read().split()
print(status[status.index("VmHWM:") + 1])
"""


def peak_of_a_fit(n, batch_size, n_steps, n_features, dtype):
    """Bytes that `Rollout.solve` allocates at its peak, and those of the states of one minibatch."""
    random_state = np.random.RandomState(0)
    X = random_state.standard_normal((4 * batch_size * n_steps, n_features)).astype(dtype)
    sequences = Sequences.of_lengths(X, [n_steps] * (4 * batch_size))
    y = random_state.randint(0, 10, len(sequences))
    network = ElmanRNN.random(n_features, n, 10, dtype=dtype, random_state=random_state)
    solver = Rollout()
    tracemalloc.start()
    solver.solve(network, sequences, y, SoftmaxCrossEntropy(), batch_size=batch_size, random_state=random_state)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak, batch_size * n_steps * n * np.dtype(dtype).itemsize


def resident_while_training_on_a_file(shape):
    """Largest resident memory, in bytes, of a process that trains on a memory-mapped file of bytes of this shape."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "observations.npy"
        np.lib.format.open_memmap(path, "w+", np.uint8, shape).flush()  # holes, which read as zeros
        done = subprocess.run(
            [sys.executable, "-c", _TRAIN_ON_A_MAPPED_FILE, str(path)], capture_output=True, text=True, check=True
        )
    return 1024 * int(done.stdout.split()[-1])


_PATH = """
import gc, os, sys, tempfile
import numpy as np
from admmirnn import CharacterModel, RNNClassifier, RNNRegressor, Rollout

def status(name):
    return [int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith(name)][0]

def run(path, n):
    kind, _, what = path.partition(" ")
    options = {"solver": Rollout(max_iter=20), "random_state": 0}
    few = min(n, 20_000)
    folder = tempfile.mkdtemp()
    if what == "checkpoint":
        options["checkpoint"] = os.path.join(folder, "fit")
    if what == "early stopping":
        options["early_stopping"] = True
    if kind == "text":
        text = "".join(map(chr, np.random.default_rng(0).integers(97, 117, 1000))) * (n // 1000)
        model = CharacterModel(16, **options)
        arguments, others = (text,), (text[:few],)
        more = {"validation_text": text} if what == "validation" else {}
    else:
        y = np.zeros((1, n), np.float32 if kind == "values" else np.int64)
        y[0, ::2] = 1
        X = y[:, :, None].astype(np.float32)
        estimator = RNNRegressor if kind == "values" else RNNClassifier
        model = estimator(16, stateful=True, **options)
        arguments, others = (X, y), (X[:, :few], y[:, :few])
        more = {"validation_data": (X, y)} if what == "validation" else {}
    methods = {"predict": "predict", "probabilities": "predict_proba", "score": "score", "bits": "bits_per_character"}
    if what in methods:
        model.fit(*others)
        call = getattr(model, methods[what])
        arguments = arguments if what == "score" else arguments[:1]
    else:
        call = model.fit
    if what == "validation":
        arguments = others
    gc.collect()
    open("/proc/self/clear_refs", "w").write("5")  # forget the peak
    before = status("VmRSS")
    call(*arguments, **more)
    return status("VmHWM") - before

run(sys.argv[1], 20_000)
print(run(sys.argv[1], int(sys.argv[2])))
"""

# bytes for each further step or character
PATHS = {
    "values fit": 12,
    "labels fit": 12,
    "text fit": 12,
    "text checkpoint": 12,
    "text early stopping": 12,
    "text bits": 12,
}


def bytes_a_step(path, short=300_000, long=1_500_000):
    """Bytes of resident memory that each further step or character takes on this path."""
    peaks = [
        int(
            subprocess.run(
                [sys.executable, "-W", "ignore", "-c", _PATH, path, str(n)], capture_output=True, text=True, check=True
            ).stdout
        )
        for n in (short, long)
    ]
    return (peaks[1] - peaks[0]) / (long - short)


def check_paths(report, paths=tuple(PATHS)):
    """Report what each path takes, with its bound."""
    met = True
    for path in paths:
        found = bytes_a_step(path)
        most = PATHS.get(path)  # there are others, of which nothing is promised
        met &= report(f"{path}, bytes for each step", f"{found:.1f}", f"<= {most}", most is None or found <= most)
    return met


def check(report):
    """Report what an iteration takes, and a mapped file, with their targets."""
    met = True
    for n, batch_size, n_steps, n_features in ((128, 500, 28, 28), (128, 125, 28, 28), (64, 100, 50, 12)):
        for dtype in ("float32", "float64"):
            peak, states = peak_of_a_fit(n, batch_size, n_steps, n_features, dtype)
            name = f"{dtype}, n = {n}, batch {batch_size}, {n_steps} steps of {n_features}: peak / states"
            met &= report(name, f"{peak / states:.2f}", "<= 2.5", peak <= 2.5 * states)
    if not os.path.exists("/proc/self/status"):
        print("           resident memory is read from /proc, which is not here")
        return met
    resident = resident_while_training_on_a_file((100_000, 100, 400))
    return met & report("file of 4 GB, resident", f"{resident / 1e6:.0f} MB", "< 400", resident < 400e6)


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("paths", nargs="*", help=f"of {', '.join(PATHS)}; by default all, and the rest")
    paths = parser.parse_args().paths
    met = check_paths(report, paths or tuple(PATHS))
    return 0 if (met if paths else check(report) and met) else 1


if __name__ == "__main__":
    sys.exit(main())
