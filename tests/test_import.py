"""`import admmirnn` costs little more than `import sklearn.base`: it loads nothing that only some users need."""

import functools
import subprocess
import sys
from pathlib import Path

import pytest

import admmirnn
from bench.imports import BASE, STATEMENTS, medians

ROOT = Path(__file__).parents[1]
USED_OF_SCIKIT_LEARN = {
    "sklearn.utils.metaestimators",
    "sklearn.utils.multiclass",
    "sklearn.utils._unique",  # loaded by the one before
}


@functools.cache
def modules_after(statement):
    program = f"{statement}\nimport sys\nprint(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True, timeout=120)
    return set(done.stdout.split())


@pytest.mark.parametrize("statement", STATEMENTS)
def test_loads_no_other_package_than_sklearn_base_does(statement):
    """pandas, where it is installed, is loaded by sklearn.base itself."""
    loaded = modules_after(statement)
    packages = {name for name in loaded - modules_after(BASE) if name.partition(".")[0] not in sys.stdlib_module_names}
    assert {name for name in packages if name.partition(".")[0] != "admmirnn"} <= USED_OF_SCIKIT_LEARN
    assert loaded.isdisjoint(
        {"IPython", "matplotlib", "torch", "tqdm", "sklearn.datasets", "sklearn.metrics", "sklearn.model_selection"}
    )


@pytest.mark.parametrize("statement", STATEMENTS)
def test_loads_no_back_end_before_it_is_chosen(statement):
    ours = {name for name in modules_after(statement) if name.partition(".")[0] == "admmirnn"}
    assert "admmirnn.estimators" in ours
    assert not {name for name in ours if name.startswith(("admmirnn._kernels", "admmirnn.reference"))}


@pytest.mark.skipif(not (ROOT / "_kernels").is_dir(), reason="not in the repository")
def test_dependencies_run_downwards_only():
    pytest.importorskip("importlinter")
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run([sys.executable, "-c", program, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert not done.returncode, done.stdout + done.stderr


def test_public_names():
    names = {}
    exec("from admmirnn import *", names)
    assert set(names) - {"__builtins__"} == set(admmirnn.__all__) <= set(dir(admmirnn))
    with pytest.raises(AttributeError, match="no attribute 'Rolout'"):
        _ = admmirnn.Rolout


def test_public_submodules_are_loaded_when_they_are_asked_for():
    program = """
import importlib, sys
import sklearn.base

for name in sys.argv[1:]:
    for loaded in [loaded for loaded in sys.modules if loaded.partition(".")[0] == "admmirnn"]:
        del sys.modules[loaded]
    package = importlib.import_module("admmirnn")
    assert getattr(package, name) is sys.modules[f"admmirnn.{name}"], name
"""
    subprocess.run([sys.executable, "-c", program, *admmirnn._SUBMODULES], check=True, timeout=300)


@pytest.mark.parametrize("name", admmirnn._SUBMODULES)
def test_public_submodules_are_there_and_export_only_their_own(name):
    """A star import brings what is defined there or in another module of admmirnn, and no helper of the module."""
    module, names = getattr(admmirnn, name), {}
    exec(f"from admmirnn.{name} import *", names)
    assert set(names) - {"__builtins__"} == set(module.__all__) <= set(dir(module))
    own = [value for value in vars(module).values() if getattr(value, "__module__", None) == module.__name__]
    documented = {value.__name__ for value in own if isinstance(value, type) and not value.__name__.startswith("_")}
    if name in ("losses", "penalties"):
        assert set(module.__all__) == documented


def test_what_is_offered_is_public():
    """By completion in an editor: neither what the package imports, nor submodules that are its own affair."""
    assert set(dir(admmirnn)) == {*admmirnn.__all__, *admmirnn._SUBMODULES}


@pytest.mark.slow
def test_import_time():
    """A loose guard, by the processor's time, which varies less; `python -m bench.imports` measures the claim."""
    (_, base), (_, ours) = medians((BASE, "import admmirnn"), runs=7)
    assert ours / base <= 1.3
