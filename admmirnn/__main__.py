"""``python -m admmirnn demo``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Parameters
    ----------
    arguments : list of str, optional
        Command line without the name of the program; by default, that of the process.
    """
    parser = argparse.ArgumentParser(prog="python -m admmirnn", description="Train recurrent networks by ADMM.")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="train on scikit-learn's digits, in seconds, without a network connection")
    demo.add_argument("--output", default="admmirnn-demo.png", help="where the picture goes (default: %(default)s)")
    demo.add_argument("--seed", type=int, default=0, help="of the split and the weights (default: %(default)s)")
    demo.add_argument("--epochs", type=int, default=20, help="passes over the data (default: %(default)s)")
    options = parser.parse_args(arguments)

    from admmirnn.demo import run

    run(options.output, options.seed, options.epochs)


if __name__ == "__main__":
    main()
