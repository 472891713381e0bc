"""How many instructions an iteration of `Rollout` takes: ``python -m bench.instructions [--update]``.

Instructions do not depend on what else the machine is doing, so a regression shows on a noisy one.  A small fit runs
under ``valgrind --tool=callgrind``, which writes its counts at two marks, the ends of two epochs of one minibatch
each.  What lies between is iterations only, four of them, so that G takes every step once.  Beside Elman networks
there are two with gates.  Instructions are counted where they are executed: in BLAS, in our own kernels, and in Python
with all other libraries.

bench/instructions.json is the baseline; more than 5 % above it is a regression (exit code 1).  A count depends on
more than our code: BLAS is only compared with the same version and architecture of BLAS, our kernels with the same
major version of the compiler, Python with the same minor versions of Python and numpy; what is not compared is said.
Without valgrind, or without a baseline, the exit code is 2.

The processor that valgrind emulates has AVX2 and no AVX-512: leaf loops run as compiled for x86-64-v3, and OpenBLAS is
told to be Haswell's.  That one packs all matrices, so products are cut as ``_blas.rows_at_once`` does for large ones;
the smaller pieces for OpenBLAS's AVX-512 kernels are not seen here.  It takes its time over each multiply-add, which
is why the sizes are small.
"""

import argparse
import gc
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import scipy

import admmirnn
from admmirnn import Rollout
from admmirnn.losses import SoftmaxCrossEntropy
from admmirnn.networks.cells import cell_named
from bench.cases import SMALL, network_of, problem
from bench.flops import Size
from bench.measure import blas_of_kernels

BASELINE = Path(__file__).with_suffix(".json")
ROOT = Path(__file__).parent.parent
MIDDLE = Size(n=64, B=50, N=28, d=28, K=10)
SIZES = {str(size): (size, "elman") for size in (SMALL, MIDDLE, Size(n=128, B=50, N=28, d=28, K=10))}
SIZES |= {f"{cell} {MIDDLE}": (MIDDLE, cell) for cell in ("fastgrnn", "gru")}
ITERATIONS = 4
TOLERANCE = 0.05
MARK = "getppid"  # callgrind writes its counts when it sees this function called; nothing else calls it
ENVIRONMENT = {
    "OPENBLAS_CORETYPE": "Haswell",
    "ADMMIRNN_KEEP_CORETYPE": "1",  # see bench/__init__.py
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "ADMMIRNN_BACKEND": "compiled",
}
# what has to be equal for a part to be compared
DEPENDS_ON = {"blas": ("blas",), "kernels": ("compiler",), "python": ("python", "numpy")}


def drive():
    """What runs under valgrind: fits of all sizes, with a mark before and after the iterations that count."""
    gc.disable()
    for size, cell in SIZES.values():
        sequences, y = problem(size, "float32")

        def mark(record):
            if record["epoch"] in (1, 1 + ITERATIONS):
                os.getppid()
            return record["epoch"] == 1 + ITERATIONS

        outcome = Rollout(schedule="constant").solve(
            network_of(size, "float32", cell=cell_named(cell)),
            sequences,
            y,
            SoftmaxCrossEntropy(),
            max_epochs=2 + ITERATIONS,
            batch_size=size.B,
            random_state=0,
            on_epoch_end=mark,
        )
        assert not any(record["rollbacks"] for record in outcome.history)
    print(json.dumps(versions()))


def versions():
    """What the counts depend on, next to our own code."""
    return {
        "blas": " ".join(blas_of_kernels()),
        "compiler": compiler_of_kernels(),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "numpy": ".".join(np.__version__.split(".")[:2]),
        "scipy": scipy.__version__,
        "admmirnn": admmirnn.__version__,
    }


def compiler_of_kernels():
    """Name and major version, which gcc and clang leave in what they compile."""
    from admmirnn._kernels import forward

    found = re.search(rb"(GCC): \([^)]*\) (\d+)|(clang) version (\d+)", Path(forward.__file__).read_bytes())
    return b" ".join(filter(None, found.groups())).decode() if found else "unknown"


def count():
    """Run `drive` under valgrind.

    Returns
    -------
    versions : dict
        As `versions` of the program that ran there.
    instructions : dict
        Those of one iteration, by size and by part.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "counts"
        command = [
            "valgrind", "--tool=callgrind", f"--callgrind-out-file={output}", f"--dump-before={MARK}",
            "--compress-strings=no", "--compress-pos=no",
            sys.executable, "-c", "from bench.instructions import drive; drive()",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=ROOT, env=os.environ | ENVIRONMENT, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"valgrind has failed:\n{done.stderr[-2000:]}")
        # written at a mark is what happened since the one before; those of even number end an epoch that counts
        instructions = {
            name: {
                part: round(total / ITERATIONS)
                for part, total in by_part(Path(f"{output}.{2 * i}").read_text()).items()
            }
            for i, name in enumerate(SIZES, 1)
        }
    return json.loads(done.stdout.splitlines()[-1]), instructions


def by_part(text):
    """Sum up what a file of callgrind's says, by part.

    A line "ob=" names the object file of the lines that follow.  They have a position and the instructions there; after
    a line "calls=" comes one with those of the called function, which are counted where they belong.
    """
    totals = Counter(dict.fromkeys(DEPENDS_ON, 0))
    of_a_call = False
    for line in text.splitlines():
        if line.startswith("ob="):
            part = part_of(line[3:])
        elif line[:1].isdigit():
            if not of_a_call:
                totals[part] += int(line.split()[1])
            of_a_call = False
        elif line.startswith("calls="):
            of_a_call = True
        elif line.startswith("summary:"):
            summary = int(line.split()[1])
    if totals.total() != summary:
        raise RuntimeError(f"the parts have {totals.total()} instructions, and callgrind says {summary} in all")
    return dict(totals)


def part_of(path):
    """To which part an object file belongs."""
    if re.search(r"blas|lapack|mkl|blis|accelerate", Path(path).name, re.IGNORECASE):
        return "blas"
    return "kernels" if Path(path).parent.name == "_kernels" else "python"


def compare(baseline, found):
    """Compare with the baseline.

    Parameters
    ----------
    baseline, found : dict
        ``versions`` and ``instructions``, as `count` returns them.

    Returns
    -------
    lines : list of str
        What to print.
    met : bool
        Whether no part that can be compared takes more than the tolerance above the baseline.
    """
    lines, met = [], True
    comparable = []
    for part, names in DEPENDS_ON.items():
        different = [name for name in names if baseline["versions"][name] != found["versions"][name]]
        if not different:
            comparable.append(part)
        for name in different:
            lines.append(
                f"{part} is not compared: the baseline is of {name} {baseline['versions'][name]}, this is "
                f"{found['versions'][name]}"
            )
    lines.append(f"{'instructions of an iteration':36}  {'part':8}  {'baseline':>12}  {'now':>12}  change")
    for size, parts in found["instructions"].items():
        for part, now in parts.items():
            before = baseline["instructions"].get(size, {}).get(part)
            if before is None:
                lines.append(f"{size:36}  {part:8}  {'none':>12}  {now:12,}")
                continue
            change = now / before - 1 if before else float(now > 0)
            verdict = ""
            if part not in comparable:
                verdict = "  not compared"
            elif change > TOLERANCE:
                verdict, met = "  REGRESSION", False
            elif change < -TOLERANCE:
                verdict = "  fewer: --update the baseline"
            lines.append(f"{size:36}  {part:8}  {before:12,}  {now:12,}  {change:+6.1%}{verdict}")
    if not comparable:
        lines.append("nothing has been compared: run this with the versions of the baseline, or --update it")
    return lines, met


def main():
    parser = argparse.ArgumentParser(
        prog="python -m bench.instructions", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--update", action="store_true", help=f"write {BASELINE.name} instead of comparing with it")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("valgrind is missing: install it with the system's package manager (apt-get install valgrind)")
        return 2
    if not options.update and not BASELINE.exists():
        print(f"{BASELINE} is missing: make it with --update")
        return 2
    found = dict(zip(("versions", "instructions"), count(), strict=True))
    if options.update:
        BASELINE.write_text(json.dumps(found, indent=2) + "\n")
    lines, met = compare(json.loads(BASELINE.read_text()), found)
    print("\n".join(lines))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
