"""docs/extending.md, "A cell with gates": its files are written, its changes applied to a copy, its commands run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "extending.md"
SECTION = "A cell with gates"
FILE = re.compile(r"^```\{code-block\} \w+\n:caption: (\S+)\n\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CHANGE = re.compile(r"^```diff\n(--- a/(\S+)\n.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KERNELS = ("_kernels/",)

pytestmark = [
    pytest.mark.skipif(shutil.which("git") is None, reason="git is missing, by which changes are applied"),
    pytest.mark.skipif(not PAGE.exists(), reason="docs/ is not there"),
]


def section():
    """What stands under its heading."""
    return re.search(rf"^## {SECTION}\n(.*?)^## ", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[1]


def names_of_files():
    """Those that the section writes or changes."""
    return [found[1] for found in FILE.finditer(section())] + [found[2] for found in CHANGE.finditer(section())]


def follow(folder, *, kernels):
    """Write the files of the section, and apply its changes, in a copy of the project."""
    for found in FILE.finditer(section()):
        if kernels or not found[1].startswith(KERNELS):
            assert not (folder / found[1]).exists()
            (folder / found[1]).write_text(found[2], encoding="utf-8")
    for found in CHANGE.finditer(section()):
        if kernels or not found[2].startswith(KERNELS):
            command = ["git", "apply", "--verbose", "-"]
            done = subprocess.run(command, input=found[1], cwd=folder, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr


def run(folder, command, *, seconds):
    """Run a command of the section as a shell does, with this Python, in the copy."""
    left_out = {"PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS", "PYTHONPATH"}
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    environment["THIS_PYTHON"] = sys.executable
    script = f'python() {{ "$THIS_PYTHON" "$@"; }}\n{command}'
    done = subprocess.run(
        ["sh", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture
def copy(tmp_path):
    """The project, with what has been built from files that stay as they are."""
    for name in ("admmirnn", "_kernels", "tests", "build/cython"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "conftest.py", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, tmp_path / name)
    return tmp_path


def test_it_takes_six_files():
    rows = re.search(r"^\| File .*?\n\n", section(), re.MULTILINE | re.DOTALL)[0]
    named = re.findall(r"`([\w/.]+\.\w+)`", rows)
    assert sorted(named) == sorted(names_of_files())
    assert len(named) == 6


def test_the_twin_of_a_new_cell(copy):
    follow(copy, kernels=False)
    of_twin, _ = (found[1] for found in COMMANDS.finditer(section()))
    (command,) = of_twin.splitlines()
    assert re.search(r"\d{2,} passed", run(copy, f"{command} -p no:cacheprovider", seconds=300))


@pytest.mark.slow
def test_a_new_cell_with_its_kernel(copy):
    if not (ROOT / "_kernels" / "_cells.pxd").exists() or not shutil.which("gcc"):
        pytest.skip("a compiler is missing")
    for name in ("Cython", "setuptools"):
        pytest.importorskip(name, reason=f"{name} is missing, which builds kernels")
    (copy / "admmirnn" / "_kernels").symlink_to(copy / "_kernels")  # where an editable install finds it
    follow(copy, kernels=True)
    _, of_kernel = (found[1] for found in COMMANDS.finditer(section()))
    build, *tests = of_kernel.splitlines()
    run(copy, build, seconds=1800)
    assert sorted((copy / "_kernels").glob("_mgu.*.so"))
    assert len(tests) >= 2
    for command in tests:
        found = run(copy, f"{command} -p no:cacheprovider", seconds=900)
        assert re.search(r"\d{2,} passed", found) and "failed" not in found
