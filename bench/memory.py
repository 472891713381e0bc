"""What training takes in memory: the arrays of an iteration, and a memory-mapped file larger than may be resident."""

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


def check(report):
    """Report both, with their targets."""
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
