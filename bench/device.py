"""Networks in C: bytes, accuracy in integers, and what a step costs, here and on ARM in qemu."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from admmirnn import RNNClassifier
from admmirnn.datasets import load_japanese_vowels, load_mnist
from bench.measure import report, skipped, spread

MOST_BYTES = 8 * 1024
MOST_LOST = 0.005
ARM = ("arm-linux-gnueabihf-gcc", "-Os", "-mthumb", "-static")
MAIN = """
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "model.h"

int main(int argc, char **argv)
{
    static float x[64][MODEL_N_FEATURES];
    float outputs[MODEL_N_OUTPUTS], sum = 0;
    model_state state;
    long i, n_steps = argc > 1 ? atol(argv[1]) : 1;
    clock_t started;
    for (i = 0; i < 64 * MODEL_N_FEATURES; i++) {
        x[i / MODEL_N_FEATURES][i % MODEL_N_FEATURES] = (float)(i % 17) / 17;
    }
    model_init(&state);
    started = clock();
    for (i = 0; i < n_steps; i++) {
        model_step(&state, x[i % 64], outputs);
        sum += outputs[0];
    }
    printf("%.9g %.9g\\n", (double)(clock() - started) / CLOCKS_PER_SEC, (double)sum);
    return 0;
}
"""


def nanoseconds(folder, n_steps=200_000):
    """Of a step of model.c in a folder, compiled for this machine; the best of five."""
    program = compiled(folder, "gcc", "-O2")
    times = [float(subprocess.run([program, str(n_steps)], capture_output=True).stdout.split()[0]) for _ in range(5)]
    return 1e9 * min(times) / n_steps


def instructions_on_arm(folder):
    """Executed by a step of model.c in a folder, on ARMv7 in Thumb code: the difference of two runs."""
    program = compiled(folder, *ARM)
    counts = []
    for n_steps in (10, 20):
        log = Path(folder) / "log"
        command = ["qemu-arm", "-singlestep", "-d", "exec,nochain", "-D", log, program, str(n_steps)]
        subprocess.run(command, check=True, capture_output=True)
        counts.append(sum(line.startswith("Trace") for line in log.open()))
        log.unlink()
    return (counts[1] - counts[0]) / 10


def compiled(folder, compiler, *flags):
    """The path of a program that reads so many observations."""
    main, program = Path(folder) / "main.c", Path(folder) / "program"
    main.write_text(MAIN)
    subprocess.run([compiler, "-std=c99", *flags, Path(folder) / "model.c", main, "-o", program], check=True)
    return program


def cost_of_integers(name, fit, seeds, X_test, y_test):
    """Accuracy of some networks in float32 and int8, both on data that were not trained on."""
    met, scores, last = True, {"score": [], "score_int8": []}, None
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            last, X_train = fit(seed)
            last.to_c(f"{folder}/model.c", dtype="int8", calibration_data=(X_train, None))
            on_test = in_integers(last, X_train, X_test, y_test)
            for key, value in on_test.items():
                scores[key].append(value)
    lost = np.mean(scores["score"]) - np.mean(scores["score_int8"])
    report(f"{name}, float32", spread(scores["score"]), "-", True)
    met &= report(
        f"{name}, int8", f"{spread(scores['score_int8'])}; lost {lost:.4f}", f"lost <= {MOST_LOST}", lost <= MOST_LOST
    )
    return met, last, scores


def in_integers(model, X_train, X_test, y_test):
    """Scores on test data with the ranges of the training data."""
    from admmirnn.export import c

    network = model._exported(np.float32)
    of_train = model._sequences(X_train, model._network())
    of_test = model._sequences(X_test, model._network())
    fixed = c.Fixed(network, model._ranges(network, of_train))
    found = model._accuracy(fixed.outputs(of_test), of_test, X_test, y_test)
    return {key: found[key] for key in ("score", "score_int8")}


def device(seeds):
    """C exports: a FastGRNN for Japanese Vowels under 8 KB, int8 on three tasks, and what a step costs."""
    X, y = load_japanese_vowels("train")
    X_test, y_test = load_japanese_vowels("test")

    def vowels(seed):
        return RNNClassifier(32, cell="fastgrnn", random_state=seed).fit(X, y), X

    met, model, scores = cost_of_integers("Vowels, 32 units", vowels, seeds(5), X_test, y_test)
    with tempfile.TemporaryDirectory() as folder:
        for dtype, data in (("float32", None), ("int8", (X, None))):
            written = model.to_c(f"{folder}/model.c", dtype=dtype, calibration_data=data)
            found = (
                f"{written.weight_bytes} B of weights, {written.state_bytes} of state, {written.stack_bytes} of stack"
            )
            key = "score" if dtype == "float32" else "score_int8"
            enough = written.weight_bytes < MOST_BYTES and np.mean(scores[key]) >= 0.97
            met &= report(f"Vowels, {dtype}", found, f"< {MOST_BYTES} B at an accuracy >= 0.97", enough)
            cost_of_a_step(written, folder, dtype)

    per_step = [np.repeat(label, len(x)) for x, label in zip(X, y, strict=True)]
    per_step_test = [np.repeat(label, len(x)) for x, label in zip(X_test, y_test, strict=True)]

    def every_step(seed):
        return RNNClassifier(32, cell="fastgrnn", max_epochs=20, random_state=seed).fit(X, per_step), X

    met &= cost_of_integers("Vowels, the speaker at each step", every_step, seeds(3), X_test, per_step_test)[0]
    images, digits = load_mnist("train")
    images_test, digits_test = load_mnist("test")

    def rows(seed):
        model = RNNClassifier(64, cell="fastgrnn", max_epochs=1, random_state=seed)
        return model.fit(images[:55000], digits[:55000]), images[:2000]

    return met & cost_of_integers("row MNIST, 64 units", rows, seeds(2), images_test, digits_test)[0]


def cost_of_a_step(written, folder, dtype):
    """Report time and instructions, and the bytes of code for a Cortex-M4, where compilers are there."""
    if shutil.which("gcc"):
        report(f"{dtype}, a step here", f"{nanoseconds(folder):.0f} ns", "-", True)
    if shutil.which(ARM[0]) and shutil.which("qemu-arm"):
        report(f"{dtype}, a step on ARM", f"{instructions_on_arm(folder):.0f} instructions", "-", True)
    compiler = "arm-none-eabi-gcc"
    if not shutil.which(compiler):
        skipped(f"{dtype}, Cortex-M4", f"{compiler} is not installed")
        return
    found = written.measure(compiler, ["-Os", "-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"])
    report(f"{dtype}, Cortex-M4", ", ".join(f"{value} B of {key}" for key, value in found.items()), "-", True)


SECTIONS = (device,)
