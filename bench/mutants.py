"""Mutants that the tests do not see: ``python -m bench.mutants [PART ...] [--n 120] [--seed 0]``.

Places are drawn in losses, penalties, solvers and checks, and what stands there is changed by an operator of cosmic-ray
that is drawn as well, to another operator, number or condition.  The tests of the module run on a copy of the package,
until one of them fails or two minutes of processor are over, and then more of them.  A mutant that they all pass has
survived: either the change means nothing, or a test is missing.  Annotations are left out.  ``--place`` makes all
mutants of these places, and ``--again`` those that have survived in an earlier run, by what it has printed.
"""

import argparse
import contextlib
import importlib
import os
import re
import resource
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

import numpy as np
from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

from bench.measure import report

ROOT = Path(__file__).parents[1]
SECONDS = 120  # of the processor, for the tests of one mutant
TESTS = {
    "admmirnn/losses.py": "losses classifier_losses messages_of_functions judging",
    "admmirnn/penalties.py": "penalties matrix_penalty messages_of_functions",
    "admmirnn/validation": "validation messages_of_functions data tables io",
    "admmirnn/solvers/algorithm1": "algorithm1 solvers messages_of_functions checkpoint",
    "admmirnn/solvers/rollout": "rollout solvers judging online reducer rounds weights dropout checkpoint penalties",
    "admmirnn/solvers": "solvers workers messages_of_functions",
}
MORE_TESTS = {  # for mutants that pass those: of what else the module is for
    "admmirnn/losses.py": "rollout estimators forecasting weights",
    "admmirnn/validation": "checkpoint states estimators labels sequences",
    "admmirnn/solvers/rollout": "matrix_penalty golden golden_cells workers symbols text wide layers sparse",
    "admmirnn/solvers": "rounds reducer golden",
}
SURVIVED = re.compile(r"^(\S+):(\d+):(\d+) (\w+) SURVIVED", re.MULTILINE)
_LATE = ("pandas", "scipy.linalg", "sklearn.model_selection", "sklearn.utils.estimator_checks")


def places(parts):
    """For each file, line and column in these parts the operators that change what is there, and their numbers."""
    operators = {name: plugins.get_operator(name) for name in plugins.operator_names()}
    operators = {name: operator() for name, operator in operators.items() if not operator.arguments()}
    found = {}
    for path in sorted({path for part in parts for path in _modules(part)}):
        nodes = [(node, _is_annotation(node)) for node in ast_nodes(get_ast((ROOT / path).read_text(encoding="utf-8")))]
        for name, operator in operators.items():
            number = 0
            for node, is_annotation in nodes:
                for start, _ in operator.mutation_positions(node):
                    if not is_annotation:
                        found.setdefault((path, *start), []).append((name, number))
                    number += 1
    return {place: sorted(set(mutants)) for place, mutants in found.items()}


def _part_of(path):
    return max((part for part in TESTS if path.startswith(part)), key=len)


def _modules(part):
    path = ROOT / part
    return {str(one.relative_to(ROOT)) for one in (path.rglob("*.py") if path.is_dir() else [path])}


def _is_annotation(node):
    while (parent := node.parent) is not None:
        if parent.type in ("tfpdef", "annassign") or (parent.type == "funcdef" and node.get_previous_sibling() == "->"):
            return True
        node = parent
    return False


def copied(folder):
    """Copy the package and its tests, with the kernels as they are compiled."""
    # a clone that is used in place has a link among its modules, which belongs to where it is
    ignored = shutil.ignore_patterns("__pycache__", "*.so", "results", "_kernels")
    for name in ("admmirnn", "bench", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("pyproject.toml", "conftest.py", "setup.py"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "admmirnn" / "_kernels").symlink_to(ROOT / "_kernels", target_is_directory=True)


def survives(folder, path):
    """Whether all tests of the module at ``path`` pass in processes of their own, with the package in ``folder``."""
    part = _part_of(path)
    return all(_pass(folder, tests.get(part, "").split()) for tests in (TESTS, MORE_TESTS))


def _pass(folder, names):
    tests = [f"tests/test_{name}.py" for name in names]
    if not tests:
        return True
    process = os.fork()
    if process == 0:
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            os.chdir(folder)
            os.dup2(os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
            os.dup2(1, 2)
            sys.path.insert(0, str(folder))
            for name in [name for name in sys.modules if name.partition(".")[0] in ("admmirnn", "bench")]:
                del sys.modules[name]
            options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly"]
            code = importlib.import_module("pytest").main([*options, *tests])
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitpid(process, 0)[1] == 0


def judge(folder, place, name, number):
    """Make a mutant, say what became of it, and return whether it has survived."""
    path, line, column = place
    whole = (ROOT / path).read_text(encoding="utf-8")
    mutant = mutate_code(whole, plugins.get_operator(name)(), number)
    lines = [text.split("\n") for text in (whole, mutant)]
    before, after = next((one, other) for one, other in zip(*lines, strict=False) if one != other)
    (folder / path).write_text(mutant, encoding="utf-8")
    try:
        alive = survives(folder, path)
    finally:
        (folder / path).write_text(whole, encoding="utf-8")
    what = f"SURVIVED  {before.strip()}  ->  {after.strip()}" if alive else "seen"
    print(f"{path}:{line}:{column} {name.partition('/')[2]} {what}", flush=True)
    return alive


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.mutants", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"files or folders; by default {', '.join(TESTS)}")
    parser.add_argument("--n", type=int, default=120, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the places (default: %(default)s)")
    parser.add_argument("--place", nargs="+", help="FILE:LINE:COLUMN, as a run has named it")
    parser.add_argument("--again", type=Path, help="file of what an earlier run has printed")
    options = parser.parse_args()
    known, rng = places(options.parts or TESTS), np.random.default_rng(options.seed)
    if options.place:
        chosen = [(path, int(line), int(column)) for path, line, column in (one.split(":") for one in options.place)]
        drawn = [(place, *mutant) for place in chosen for mutant in known[place]]
    elif options.again:
        drawn = [
            ((path, int(line), int(column)), name, number)
            for path, line, column, operator in SURVIVED.findall(options.again.read_text(encoding="utf-8"))
            for name, number in known[path, int(line), int(column)]
            if name.partition("/")[2] == operator
        ]
    else:
        of = list(known)
        chosen = [of[i] for i in rng.choice(len(of), options.n, replace=False)]
        drawn = [(place, *known[place][rng.integers(len(known[place]))]) for place in chosen]
    for name in _LATE:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as scratch, contextlib.suppress(KeyboardInterrupt):
        folder, n, n_alive = Path(scratch).resolve(), 0, 0
        copied(folder)
        for part in sorted({_part_of(path) for (path, _, _), _, _ in drawn}):
            if not survives(folder, part):
                sys.exit(f"tests of {part} fail, or take too long, as it is:\n{(folder / 'log').read_text()[-2000:]}")
        for mutant in drawn:
            n_alive += judge(folder, *mutant)
            n += 1
    return 0 if report("mutants that survive", f"{n_alive} of {n}", "< 10 %", n_alive < 0.1 * n) else 1


if __name__ == "__main__":
    sys.exit(main())
