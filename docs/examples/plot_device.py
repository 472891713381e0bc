"""
A network for a microcontroller
===============================

A small network with the cell "fastgrnn" tells gestures apart, and is written as C
source with weights of 8 bits. If there is a compiler, the C program is compiled and
reads a stream one observation at a time, as a device would.
"""

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from matplotlib import pyplot

from admmirnn import RNNClassifier

rng = np.random.default_rng(0)


def gesture(kind):
    """Three axes of an accelerometer: nothing, a circle, or a shake."""
    t = np.arange(40) + rng.uniform(-2, 2)
    speed = rng.uniform(0.25, 0.35)
    shapes = {
        "rest": (0 * t, 0 * t, 0 * t),
        "circle": (np.sin(speed * t), np.cos(speed * t), 0 * t),
        "shake": (np.sin(4 * speed * t), 0 * t, 0.3 * np.sin(4 * speed * t)),
    }
    return np.column_stack(shapes[kind]) + 0.3 * rng.normal(size=(40, 3))


labels = rng.choice(["rest", "circle", "shake"], size=400)
X = [gesture(kind).astype(np.float32) for kind in labels]
y = [
    np.repeat(kind, 40) for kind in labels
]  # a label at each step: the device answers at once
model = RNNClassifier(
    hidden_size=12, cell="fastgrnn", max_epochs=30, random_state=0
).fit(X[:300], y[:300])
print("accuracy at each step:", round(model.score(X[300:], y[300:]), 3))

# %%
# The report says how much memory a device needs, and what 8 bits cost in accuracy.

folder = Path(tempfile.mkdtemp())
report = model.to_c(
    folder / "gestures.c", dtype="int8", calibration_data=(X[300:], y[300:])
)
for name in ("weight_bytes", "state_bytes", "stack_bytes"):
    print(f"{name:14}", getattr(report, name))
for name, value in report.accuracy.items():
    print(f"{name:14}", round(value, 4))

# %%
# The stream consists of three gestures, one after the other. Without a compiler,
# ``model.stream()`` reads it.

stream = np.concatenate([gesture(kind) for kind in ("rest", "circle", "shake")]).astype(
    np.float32
)
p = np.empty((len(stream), 3), np.float32)
compiler = shutil.which("cc")
if compiler:
    library = folder / "gestures.so"
    subprocess.run(
        [compiler, "-O2", "-shared", "-fPIC", folder / "gestures.c", "-o", library],
        check=True,
    )
    device = ctypes.CDLL(str(library))
    pointer = ctypes.POINTER(ctypes.c_float)
    state = ctypes.create_string_buffer(report.state_bytes)
    device.gestures_init(state)
    for x, row in zip(stream, p, strict=True):
        device.gestures_step(
            state, x.ctypes.data_as(pointer), row.ctypes.data_as(pointer)
        )
        device.gestures_probabilities(
            row.ctypes.data_as(pointer), row.ctypes.data_as(pointer)
        )
else:
    p[:] = model.stream().read(stream)

_, (upper, lower) = pyplot.subplots(
    2, sharex=True, figsize=(9, 5), layout="constrained"
)
upper.plot(stream)
upper.set(ylabel="acceleration")
lower.plot(p, label=model.classes_)
lower.set(xlabel="step", ylabel="probability")
lower.legend()
for end in (40, 80):
    upper.axvline(end, color="k", linewidth=0.8)
    lower.axvline(end, color="k", linewidth=0.8)
