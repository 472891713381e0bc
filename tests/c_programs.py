"""C exports, compiled into programs that read sequences and write all outputs."""

import shutil
import subprocess
from types import SimpleNamespace

import numpy as np

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
MAIN = """
#include <stdio.h>
#include <stdlib.h>
#include "model.h"

static void read_all(void *into, size_t size, size_t count)
{
    if (fread(into, size, count, stdin) != count) {
        exit(2);
    }
}

int main(void)
{
    uint32_t n_sequences, n_steps, i, t;
    read_all(&n_sequences, 4, 1);
    for (i = 0; i < n_sequences; i++) {
        float *x, *outputs, *answers;
        model_state state;
        uint32_t n_rows;
        read_all(&n_steps, 4, 1);
        x = malloc(n_steps * MODEL_N_FEATURES * sizeof(float));
        outputs = calloc(n_steps * MODEL_N_OUTPUTS, sizeof(float));
        read_all(x, MODEL_N_FEATURES * sizeof(float), n_steps);
        n_rows = (uint32_t)model_predict(x, n_steps, outputs);
        fwrite(&n_rows, 4, 1, stdout);
        fwrite(outputs, MODEL_N_OUTPUTS * sizeof(float), n_rows, stdout);
        model_init(&state);
        answers = calloc(MODEL_N_OUTPUTS, sizeof(float));
        for (t = 0; t < n_steps; t++) {
            int32_t found = model_step(&state, x + t * MODEL_N_FEATURES, answers);
            fwrite(&found, 4, 1, stdout);
            fwrite(answers, sizeof(float), MODEL_N_OUTPUTS, stdout);
        }
        free(x);
        free(outputs);
        LABEL
        free(answers);
    }
    return 0;
}
"""
LABEL = """
        { int32_t label = model_label(answers);
        fwrite(&label, 4, 1, stdout); }
"""
PROBABILITIES = """
        model_probabilities(answers, answers);
        fwrite(answers, sizeof(float), MODEL_N_OUTPUTS, stdout);
"""


def build(report, folder, compiler="gcc", flags=("-O1",)):
    """The program of an export named model.c in a folder."""
    assert shutil.which(compiler), f"{compiler} is not installed"
    header = (folder / "model.h").read_text()
    more = (LABEL if "model_label" in header else "") + (PROBABILITIES if "model_probabilities" in header else "")
    (folder / "main.c").write_text(MAIN.replace("LABEL", more))
    program = folder / "program"
    command = [compiler, *STRICT, *flags, report.source, str(folder / "main.c"), "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return SimpleNamespace(path=program, with_label="model_label" in header, with_p="model_probabilities" in header)


def run(program, X, n_outputs, runner=()):
    """Of each sequence, what predict and step write, and at its end the label and the probabilities."""
    data = np.uint32(len(X)).tobytes()
    for x in X:
        data += np.uint32(len(x)).tobytes() + np.ascontiguousarray(x, np.float32).tobytes()
    done = subprocess.run([*runner, str(program.path)], input=data, capture_output=True)
    assert not done.returncode, done.stderr.decode()
    written, found = done.stdout, []

    def take(dtype, count):
        nonlocal written
        n = np.dtype(dtype).itemsize * count
        values, written = np.frombuffer(written[:n], dtype), written[n:]
        return values

    for x in X:
        (n_rows,) = take(np.uint32, 1)
        predicted = take(np.float32, n_rows * n_outputs).reshape(n_rows, n_outputs)
        answers = [(int(take(np.int32, 1)[0]), take(np.float32, n_outputs)) for _ in x]
        label = int(take(np.int32, 1)[0]) if program.with_label else None
        p = take(np.float32, n_outputs) if program.with_p else None
        found.append(SimpleNamespace(outputs=predicted, steps=answers, label=label, probabilities=p))
    assert not written
    return found
