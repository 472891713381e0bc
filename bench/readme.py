"""Tables of README and docs/ from the JSON files of bench/results/: ``python -m bench.readme [--check]``.

A table stands between two comments, ``<!-- table: NAME -->`` and ``<!-- end of table -->``, and comes from the function
of that name in `TABLES`.  This rewrites what is between them; with ``--check`` it says which would be others, and the
exit code is 1 if there are any.  A test compares as well.  The JSON files are left by the commands that measure, with
``--publish``.
"""

import argparse
import re
import sys
from functools import partial
from pathlib import Path

from bench.race import tasks
from bench.record import read_result, summary_of

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "guide").glob("*.md")))
TABLE = re.compile(r"(<!-- table: ([\w-]+) -->\n)(.*?)(<!-- end of table -->)", re.DOTALL)


def race(task):
    """Seconds to each goal: ours, and of each optimiser those of the layer with which it is there first."""
    record = read_result(f"race-{task}")
    lines = [
        "| goal | admmirnn | the best peer | | times | then |",
        "|---|---|---|---|---|---|",
    ]
    for standing in record["standings"]:
        ours = next(place for place in standing["places"] if place["contender"] == "admmirnn")
        peers = [place for place in standing["places"] if record["contenders"][place["contender"]] == "peer"]
        there = [place for place in peers if place["seconds"] is not None]
        best = there[0] if there else None
        ratio = best["seconds"] / ours["seconds"] if best and ours["seconds"] else None
        others = list(dict.fromkeys(place["contender"] for place in there[1:4]))
        lines.append(
            f"| {_value(standing, record)} ({ours['setting']}) | {_seconds(ours)} | {_seconds(best)} | "
            f"{_who(best)} | {'' if ratio is None else f'{ratio:.1f}'} | {', '.join(others)} |"
        )
    options = record["options"]
    how = f"{options['seeds']} seed{'s' * (options['seeds'] > 1)}" + (", a cheap run" if options["cheap"] else "")
    of_clock = "the processor's seconds" if record["clock"] == "processor" else "seconds"
    peers = [name for name, kind in record["contenders"].items() if kind == "peer"]
    return "\n".join([*lines, "", f"{how}, {of_clock}; peers: {'; '.join(peers)}. {summary_of(record['machine'])}."])


def _value(standing, record):
    value = standing["value"]
    return f"{100 * value:.3g} %" if "accuracy" in record["metric"]["name"] else f"{value:.4g}"


def _seconds(place):
    return "never" if place is None or place["seconds"] is None else f"{place['seconds']:.3g} s"


def _who(place):
    return "nobody" if place is None else f"{place['contender']} ({place['setting']})"


def _of(module):
    def table():
        return __import__(f"bench.{module}", fromlist=["table"]).table()

    return table


TABLES = {f"race-{task}": partial(race, task) for task in tasks.names()} | {
    "cells": _of("cells"),
    "scaling": _of("growth"),
    "stability": _of("stability"),
    "instead": _of("instead"),
}


def rewritten(text):
    """The text of a page with its tables as the JSON files have them."""
    return TABLE.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}\n{found[4]}", text)


def put(page, text, found, *, check):
    """Write what has been found for a page, or say that it is other than its text; return whether both are the same."""
    if found == text:
        return True
    print(f"{page.relative_to(ROOT)}: {'others' if check else 'rewritten'}")
    if not check:
        page.write_text(found, encoding="utf-8")
    return False


def main():
    parser = argparse.ArgumentParser(
        prog="python -m bench.readme", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    are_same = True
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        found = rewritten(text)
        are_same &= put(page, text, found, check=options.check)
    return 1 if options.check and not are_same else 0


if __name__ == "__main__":
    sys.exit(main())
