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
from bench.paper.tables import QUICK, Sizes, tables
from bench.paper.text import QUICK_TEXT, TextSizes, text


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.paper", description=bench.paper.__doc__)
    parser.add_argument("what", choices=["tables", "text"], help="Tables 2 and 3, or the text experiment")
    parser.add_argument("--first-seed", type=int, default=0, help="seeds count from here (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a few images or chunks, to see that it runs")
    parser.add_argument("--output", type=Path, default=Path(), help="folder of the picture (default: this one)")
    options = parser.parse_args()
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
        else:
            text(load_text(), QUICK_TEXT if options.quick else TextSizes(), options.first_seed, options.output)
    except FileNotFoundError as error:
        sys.exit(str(error))
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
