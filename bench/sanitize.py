"""Kernels built with the sanitizers of addresses and of undefined behaviour: ``python -m bench.sanitize [tests ...]``.

The sources are copied to a scratch folder and compiled there by gcc with both of them; then the tests that are named,
by default those of kernels and streams, and cases of ``bench.fuzz api`` run with that build.  Nothing that is installed
or built elsewhere is touched.  Whatever a sanitizer finds ends the process that it is found in.
``--folder`` keeps the build, for another run to go on with.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g1"
TESTS = (
    *("test_kernels", "test_kernels_of_cells", "test_wide", "test_stepping", "test_streaming", "test_threads"),
    "test_states",
)
_SOURCES = ("_kernels", "admmirnn", "bench", "tests", "setup.py", "pyproject.toml", "conftest.py", "README.md")


def copied(folder):
    """Copy the sources, without what has been compiled, to where `admmirnn` finds its kernels."""
    for name in _SOURCES:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            link = ["_kernels"] if name == "admmirnn" else []  # a clone that is used in place has one
            ignored = shutil.ignore_patterns("*.so", "__pycache__", "results", ".*", *link)
            shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)
    setup = folder / "setup.py"
    age = setup.stat()
    setup.write_text(setup.read_text().replace('"-O3"', '"-O1"'))  # these compile slowly as it is
    os.utime(setup, ns=(age.st_atime_ns, age.st_mtime_ns))  # kernels that are newer stay
    link = folder / "admmirnn" / "_kernels"
    if not link.exists():
        link.symlink_to(folder / "_kernels", target_is_directory=True)


def build(folder):
    """Compile the kernels, those that are there and newer than their sources left as they are."""
    environment = os.environ | {"CFLAGS": FLAGS, "LDFLAGS": FLAGS}
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    subprocess.run(command, cwd=folder, env=environment, check=True)


def environment_of(folder):
    """With the sanitizers' libraries loaded first, as the interpreter itself has none of them."""
    libraries = [
        subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    return os.environ | {
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:handle_segv=1",  # Python frees not all at its end
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(folder),
        "OMP_NUM_THREADS": "1",
    }


def check_that_it_is_sanitized(folder, environment):
    """Raise unless the kernels that are imported are those of the folder, and the sanitizer is on."""
    code = "import admmirnn._kernels._blas as m; print(m.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()).is_relative_to(folder), done.stdout
    assert b"__asan_init" in Path(done.stdout.strip()).read_bytes(), "the kernels are not sanitized"


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.sanitize", description=__doc__)
    parser.add_argument("tests", nargs="*", default=[f"tests/{name}.py" for name in TESTS], help="for pytest")
    parser.add_argument("--n", type=int, default=10_000, help="cases of bench.fuzz api (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of these (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where to build, and keep the build")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.folder or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        copied(folder)
        build(folder)
        environment = environment_of(folder)
        check_that_it_is_sanitized(folder, environment)
        failed = 0
        pytest = ["pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "--capture=sys"]  # what a sanitizer says is seen
        tests = [sys.executable, "-m", *pytest, *options.tests]
        cases = [sys.executable, "-m", "bench.fuzz", "api", "--n", str(options.n), "--seed", str(options.seed)]
        for command in (tests if options.tests != ["none"] else None, cases if options.n else None):
            if command is not None:
                failed |= subprocess.run(command, cwd=folder, env=environment).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main())
