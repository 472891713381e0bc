"""What blocks of code in README and docs/ print, below them: ``python -m bench.outputs [--check] [page ...]``.

A block of Python that prints is followed by a block of text with what it prints; if the block is a script, the command
that runs it stands between the two.  This runs the blocks of each page, one
after the other, and writes these blocks anew where they no longer agree.  Numbers may differ by a little, as
processors round differently, but shapes may not; a line ``...`` stands for any lines.  A test
compares as well.  Files that a block writes are left in a temporary folder.
"""

import argparse
import contextlib
import io
import math
import os
import re
import runpy
import sys
import tempfile
from pathlib import Path

from bench.readme import PAGES, ROOT, put

BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```$(?P<command>\n\n```sh\npython \w+\.py\n```$)?"
    r"(?P<output>\n\n```text\n(?P<text>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
SHAPE = re.compile(r"\([\d, ]*\)")
NUMBER = re.compile(r"-?\d+(?:\.\d*)?(?:e[-+]?\d+)?")
RELATIVE, ABSOLUTE = 0.25, 0.08
MOST_LINES = 12  # of what a block of text shows


def name_of_script(block):
    """The name in the first line of a block that is a file of its own, or None."""
    found = re.match(r"\s*# (\w+\.py)\n", block)
    return found and found[1]


def outputs_of(text, name):
    """Run the blocks of a page, one after the other, in the present folder: what each prints, in order."""
    namespace, found, scripts = {"__name__": "__main__"}, [], []
    sys.path.insert(0, os.getcwd())
    try:
        for block in BLOCK.finditer(text):
            code = "\n" * text.count("\n", 0, block.start("code")) + block["code"]
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                if script := name_of_script(code):
                    scripts.append(script)
                    Path(script).write_text(code, encoding="utf-8")
                    runpy.run_path(script, run_name="__main__")
                else:
                    exec(compile(code, name, "exec"), namespace)  # noqa: S102
            found.append("".join(f"{line.rstrip()}\n" for line in printed.getvalue().splitlines()))
    finally:
        sys.path.remove(os.getcwd())
        for script in scripts:
            sys.modules.pop(Path(script).stem, None)
    return found


def agree(expected, found):
    """Whether two texts are the same but for the last digits of numbers, spaces, and lines that ``...`` stands for."""
    if "seconds\n" in expected:  # the last column of a table, which differs from run to run
        expected, found = (re.sub(r" \d+\.\d\d$", "", text, flags=re.MULTILINE) for text in (expected, found))
    before, dots, after = expected.partition("\n...\n")
    if not dots:
        return _agree(expected, found)
    lines, n_after = found.splitlines(), len(after.splitlines())
    n_before = len(before.splitlines())
    return (
        len(lines) >= n_before + n_after
        and _agree(before, "\n".join(lines[:n_before]))
        and _agree(after, "\n".join(lines[len(lines) - n_after :]))
    )


def _agree(expected, found):
    if SHAPE.findall(expected) != SHAPE.findall(found):
        return False
    expected, found = SHAPE.sub("()", expected), SHAPE.sub("()", found)
    if "".join(NUMBER.sub("#", expected).split()) != "".join(NUMBER.sub("#", found).split()):
        return False
    pairs = zip(NUMBER.findall(expected), NUMBER.findall(found), strict=True)
    return all(math.isclose(float(one), float(other), rel_tol=RELATIVE, abs_tol=ABSOLUTE) for one, other in pairs)


def rewritten(text, outputs):
    """The page with the outputs of its blocks; those that agree stay as they are."""
    outputs = iter(outputs)

    def with_output(block):
        found, command = next(outputs), block["command"] or ""
        if block["text"] is None and name_of_script(block["code"]):
            return block[0]  # such as one of several processes, whose output differs from run to run
        if not found:
            return f"```python\n{block['code']}```{command}"
        if block["text"] is not None and agree(block["text"], found):
            return block[0]
        lines = found.splitlines()
        if len(lines) > MOST_LINES:
            lines = [*lines[: MOST_LINES - 4], "...", *lines[-2:]]
        return f"```python\n{block['code']}```{command}\n\n```text\n" + "\n".join(lines) + "\n```"

    return BLOCK.sub(with_output, text)


def main():
    parser = argparse.ArgumentParser(
        prog="python -m bench.outputs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pages", nargs="*", type=Path, help="default: README and all of docs/")
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    os.environ.setdefault("MPLBACKEND", "Agg")
    are_same, start = True, Path.cwd()
    for page in [path.resolve() for path in options.pages] or PAGES:
        text = page.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                outputs = outputs_of(text, str(page))
            except ImportError as error:
                print(f"{page.relative_to(ROOT)}: left as it is, {error}")
                continue
            finally:
                os.chdir(start)
        found = rewritten(text, outputs)
        are_same &= put(page, text, found, check=options.check)
    return 1 if options.check and not are_same else 0


if __name__ == "__main__":
    sys.exit(main())
