"""``python -m bench.race``."""

import argparse
import os
import sys
from pathlib import Path

import bench.race
from bench.race import tasks


def main():
    options = _options()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(options.threads)  # before numpy and torch are imported
    from bench.race.run import race

    try:
        return race(options)
    except FileNotFoundError as error:
        sys.exit(str(error))
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        sys.exit('torch is missing, and a race is against torch: pip install -e ".[bench]"')


def _options():
    parser = argparse.ArgumentParser(
        prog="python -m bench.race",
        description=bench.race.__doc__,
        epilog="The exit code is 0 if every goal is met, 1 if not, and 0 with --quick.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("task", choices=tasks.names(), help="what is learnt")
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=0, help="seeds count from here (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of every contender (default: %(default)s)")
    parser.add_argument(
        "--same-start", action="store_true", help="torch starts from our initial weights instead of its own"
    )
    parser.add_argument("--peers", nargs="+", help="only these optimisers, such as Adam (default: all)")
    parser.add_argument(
        "--layers", nargs="+", choices=("RNN", "GRU", "LSTM"), help="what torch trains (default: what the task says)"
    )
    parser.add_argument(
        "--cheap",
        action="store_true",
        help="three learning rates and two budgets: of three seeds of one layer, a task takes some minutes to an hour "
        "of the processor, and adding and pixels longer",
    )
    parser.add_argument(
        "--publish", action="store_true", help="write what README shows of it, into bench/results/, as well"
    )
    parser.add_argument("--quick", action="store_true", help="a few sequences and settings, to see that it runs")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("results"),
        help="folder of race-<task>.json and .png (default: %(default)s)",
    )
    parser.add_argument("--read", type=Path, help="a JSON file of an earlier race: its table and picture again")
    parser.add_argument(
        "--clock",
        choices=("wall", "processor"),
        default="wall",
        help="whose seconds count; the processor's are steadier on a machine that is busy (default: %(default)s)",
    )
    options = parser.parse_args()
    if min(options.seeds, options.threads) < 1:
        parser.error("--seeds and --threads are at least 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
