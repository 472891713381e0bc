"""``python -m bench.paper``."""

import argparse
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
import scipy

import admmirnn
import bench.paper
from admmirnn.datasets import load_mnist, load_text
from bench.accept import processor
from bench.paper.figures import FIGURES
from bench.paper.report import DOCS, figures, markdown, put_into_docs
from bench.paper.tables import QUICK, Sizes, tables
from bench.paper.text import QUICK_TEXT, TextSizes, text

ONE_FIGURE = {f"figure-{name}": (name,) for name in FIGURES}


def main():
    options = _options()
    print(
        f"admmirnn {admmirnn.__version__}, Python {platform.python_version()}, numpy {np.__version__}, "
        f"scipy {scipy.__version__}; {processor()}, {os.cpu_count()} cores"
    )
    options.output.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    try:
        if options.what == "tables":
            data = {subset: load_mnist(subset) for subset in ("train", "test")}
            tables(data, QUICK if options.quick else Sizes(), options.first_seed, options.output)
        elif options.what == "text":
            text(load_text(), QUICK_TEXT if options.quick else TextSizes(), options.first_seed, options.output)
        else:
            _figures(options)
    except FileNotFoundError as error:
        sys.exit(str(error))
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        sys.exit('torch is missing, and the figures compare with it: pip install -e ".[bench]"')
    print(f"{time.perf_counter() - started:.0f} s")


def _figures(options):
    which = ONE_FIGURE.get(options.what, tuple(FIGURES))
    output = DOCS if options.docs else options.output
    record = figures(which, options.quick, options.first_seed, output, options.processes, options.read)
    if options.docs:
        put_into_docs(markdown(record), DOCS / "paper.md")


def _options():
    parser = argparse.ArgumentParser(
        prog="python -m bench.paper",
        description=bench.paper.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "what", choices=["tables", "text", "figures", *ONE_FIGURE], help="Tables 2 and 3, the text experiment, figures"
    )
    parser.add_argument("--first-seed", type=int, default=0, help="seeds count from here (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a few images or chunks, to see that it runs")
    parser.add_argument("--output", type=Path, default=Path(), help="folder of what is written (default: this one)")
    parser.add_argument(
        "--processes", type=int, default=2, help="which share the runs of figures (default: %(default)s)"
    )
    parser.add_argument("--read", type=Path, help="paper-figures.json of an earlier run, to draw and judge it again")
    parser.add_argument("--docs", action="store_true", help="write all figures into docs/ and docs/paper.md")
    options = parser.parse_args()
    if options.processes < 1:
        parser.error("--processes is at least 1")
    if options.docs and (options.what != "figures" or options.quick):
        parser.error("--docs is for all figures, and not for a quick run")
    return options


if __name__ == "__main__":
    main()
