"""How long ``import admmirnn`` takes, against ``import sklearn.base``: ``python -m bench.imports``.

Every import has a process of its own, and they take turns.  admmirnn cannot take less time than sklearn.base, which its
estimator inherits from and which loads numpy, scipy and, where it is installed, pandas.
"""

import argparse
import os
import platform
import subprocess
import sys

import numpy as np
import scipy
import sklearn

import admmirnn
from bench.accept import processor, report

BASE = "import sklearn.base"
STATEMENTS = ("import admmirnn", "from admmirnn import RNNClassifier")
TARGET = 1.15
TIMED = """
import time
started, cpu_started = time.perf_counter(), time.process_time()
{statement}
print(time.perf_counter() - started, time.process_time() - cpu_started)
"""


def medians(statements, runs):
    """The median seconds of each statement: as the clock shows them, and of the processor.

    A run before the first one that counts writes the bytecode, which an installed package has.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def seconds(statement):
        command = [sys.executable, "-c", TIMED.format(statement=statement)]
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        return [float(value) for value in done.stdout.split()]

    found = np.array([[seconds(statement) for statement in statements] for _ in range(runs + 1)])
    return np.median(found[1:], axis=0)


def imports(runs):
    """Medians of new processes; the target is for the clock's seconds, those of the processor vary less."""
    base, *others = medians((BASE, *STATEMENTS), runs)
    met = True
    for statement, found in zip(STATEMENTS, others, strict=True):
        clock, cpu = (f"{a:.3f} s / {b:.3f} s = {a / b:.3f}" for a, b in zip(found, base, strict=True))
        ratio = found[0] / base[0]
        met &= report(f"{statement} / {BASE}", f"{clock}; processor {cpu}", f"<= {TARGET}", ratio <= TARGET)
    return met


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.imports", description=__doc__)
    parser.add_argument("--runs", type=int, default=15, help="of each statement (default: %(default)s)")
    options = parser.parse_args()
    print(
        f"admmirnn {admmirnn.__version__}, Python {platform.python_version()}, numpy {np.__version__}, "
        f"scipy {scipy.__version__}, scikit-learn {sklearn.__version__}; {processor()}, {os.cpu_count()} cores"
    )
    print(f"\nimports, {options.runs} runs each: {imports.__doc__}", flush=True)
    return 0 if imports(options.runs) else 1


if __name__ == "__main__":
    sys.exit(main())
