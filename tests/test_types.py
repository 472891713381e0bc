"""Stubs of the kernels against the kernels and their numpy twin, and what a type checker says of the package."""

import ast
import importlib.machinery
import inspect
import json
import os
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import admmirnn
from admmirnn import _kernels, backend, reference
from admmirnn.activations import ACTIVATIONS
from admmirnn.estimators.settings import READ_OUTS
from admmirnn.losses import LOSSES_OF_CLASSES, LOSSES_OF_VALUES
from admmirnn.networks.cells import CELLS
from admmirnn.reference.kernels import Kernels
from admmirnn.solvers import SOLVERS

pytestmark = pytest.mark.elman

ROOT = Path(__file__).parents[1]
FOLDER = Path(_kernels.__file__).parent
STUBS = sorted(path.stem for path in FOLDER.glob("*.pyi"))
TWINS = {
    (path.stem, node.name): node
    for path in Path(reference.__file__).parent.glob("*.py")
    for node in ast.parse(path.read_text()).body
    if isinstance(node, (ast.FunctionDef, ast.ClassDef))
}
# what there is of the compiled kernels alone
WITHOUT_TWIN = {"multiplies_small_matrices", "call_holding", "_dismiss_helpers", "_forget_helpers"}


def defined(module):
    """The functions, and the classes but for protocols, of a stub; methods under the names of both."""
    found = {}
    for node in ast.parse((FOLDER / f"{module}.pyi").read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.ClassDef) and "Protocol" not in map(ast.unparse, node.bases):
            methods = [method for method in node.body if isinstance(method, ast.FunctionDef)]
            found |= {f"{node.name}.{method.name}": method for method in methods}
    return found


def parameters(function):
    """(name, kind, default) of a parsed function, as `inspect` has them."""
    header = ast.unparse(ast.FunctionDef("f", function.args, [ast.Pass()], [], lineno=0, type_params=[]))
    namespace = {}
    exec("from __future__ import annotations\n" + header, namespace)  # annotations are not looked at
    return [(one.name, one.kind, one.default) for one in inspect.signature(namespace["f"]).parameters.values()]


def compiled_functions(module):
    """What a compiled module has of its own, by name, with the public methods of its classes."""
    found = {}
    for name, value in vars(importlib.import_module(f"admmirnn._kernels.{module}")).items():
        if getattr(value, "__module__", None) != f"admmirnn._kernels.{module}" or name.startswith("__"):
            continue
        if isinstance(value, type):
            found |= {f"{name}.{key}": method for key, method in vars(value).items() if not key.startswith("_")}
        elif callable(value):
            found[name] = value
    return found


def modules():
    suffixes = tuple(importlib.machinery.EXTENSION_SUFFIXES)
    return sorted({path.name.partition(".")[0] for path in FOLDER.iterdir() if path.name.endswith(suffixes)})


def test_every_module_with_functions_has_a_stub():
    assert STUBS == [module for module in modules() if compiled_functions(module)]
    assert (Path(admmirnn.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize("module", STUBS)
def test_stubs_have_the_signatures_of_the_kernels(module):
    functions, stubs = compiled_functions(module), defined(module)
    assert stubs.keys() == functions.keys()
    for name, function in functions.items():
        found = [(one.name, one.kind, one.default) for one in inspect.signature(function).parameters.values()]
        expected = parameters(stubs[name])
        if "." in name:  # methods of extension types are positional only, and may leave self out
            found, expected = ([one[0] for one in some if one[0] != "self"] for some in (found, expected))
        assert found == expected, name


@pytest.mark.parametrize("module", STUBS)
def test_stubs_have_the_annotations_of_the_twin(module):
    for name, stub in defined(module).items():
        if name in WITHOUT_TWIN:
            continue
        twin = TWINS[module, name.partition(".")[0]]
        if isinstance(twin, ast.ClassDef):
            (twin,) = (method for method in twin.body if getattr(method, "name", "") == name.partition(".")[2])
        assert ast.unparse(stub.args) == ast.unparse(twin.args), name
        assert ast.unparse(stub.returns) == ast.unparse(twin.returns), name


@pytest.mark.parametrize("name", ["compiled", "numpy"])
def test_the_type_of_back_ends_has_their_functions(name, monkeypatch):
    monkeypatch.setenv("ADMMIRNN_BACKEND", name)
    kernels = backend.kernels()
    named = {key for key, value in vars(Kernels).items() if isinstance(value, staticmethod)}
    assert named == {key for module in STUBS for key in defined(module) if "." not in key} - WITHOUT_TWIN
    for key in named:
        twin, function = getattr(Kernels, key), getattr(kernels, key)
        assert list(inspect.signature(function).parameters) == list(inspect.signature(twin).parameters)


def public_functions():
    """All that `__all__` of the package and of its public submodules name, with what their classes define."""
    for module in (admmirnn, *(getattr(admmirnn, name) for name in admmirnn._SUBMODULES)):
        for name in module.__all__:
            found = getattr(module, name)
            yield f"{module.__name__}.{name}", found
            for key in dir(found) if inspect.isclass(found) else ():
                if key == "__init__" or not key.startswith("_"):
                    member = inspect.getattr_static(found, key)
                    for wrapped in ("fget", "__func__", "fn"):  # of a property, a class method, `available_if`
                        member = getattr(member, wrapped, None) or member
                    yield f"{module.__name__}.{name}.{key}", member


# annotations of solvers, whose modules still import networks for type checkers only
NOT_YET = {"admmirnn.Algorithm1.__init__", "admmirnn.Algorithm1.solve", "admmirnn.Rollout.solve"}


def test_annotations_can_be_read_at_run_time():
    """As pydantic, typeguard and documentation tools do."""
    failing = set()
    for name, found in public_functions():
        is_ours = (inspect.isclass(found) or inspect.isfunction(found)) and found.__module__.startswith("admmirnn")
        try:
            typing.get_type_hints(found) if is_ours else None
        except (NameError, AttributeError):
            failing.add(name)
    assert failing == NOT_YET


def test_literals_are_the_names_that_are_known():
    names = admmirnn.typing
    assert typing.get_args(names.SolverName) == tuple(SOLVERS)
    assert set(typing.get_args(names.CellName)) == {"auto", *CELLS}
    assert typing.get_args(names.Activation) == ACTIVATIONS
    assert typing.get_args(names.ReadOut) == READ_OUTS
    assert typing.get_args(names.LossOfClasses) == tuple(LOSSES_OF_CLASSES)
    assert typing.get_args(names.LossOfValues) == tuple(LOSSES_OF_VALUES)


USE = """
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from admmirnn import Algorithm1, CharacterModel, RNNClassifier, RNNRegressor, Rollout, load
from admmirnn.penalties import Flattened, GroupLasso, Lasso
from admmirnn.solvers.algorithm1.variables import SweepSettings, Variables
from admmirnn.watching import EpochState
from _kernels.sweep import sweep


class Cubic:
    def value(self, o: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        return (np.abs(o - y) ** 3).sum(axis=1)  # type: ignore[no-any-return]

    def prox(self, q: NDArray[np.float64], y: NDArray[np.float64], rho: float) -> NDArray[np.float64]:
        return q


class NoProx:
    def value(self, o: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        return o


class Stop:
    def on_epoch_end(self, state: EpochState) -> bool:
        return bool(state.record["epoch"] > 3)


def early(state: EpochState) -> None:
    print(state.record)


def falling(k: int) -> float:
    return 1 / k


penalties = {"W": Lasso(1e-3)}
X = [np.zeros((5, 2)), np.zeros((3, 2))]
model = RNNClassifier(16, penalties=penalties, callbacks=[early, Stop()], checkpoint=Path("c"), frame=(2, 1))
fitted: RNNClassifier = model.fit(X, ["a", "b"], validation_data=(X, ["a", "b"])).partial_fit(X, ["a", "b"]).prune()
weights: NDArray[np.floating] = fitted.W_
shape: tuple[int, ...] = fitted.predict(X).shape
RNNClassifier(cell="gru", activation="tanh", readout="mean", solver="rollout", loss="hinge")
RNNRegressor(loss=Cubic(), penalties={"U": Flattened(Lasso(1.0)), "WV": GroupLasso(1.0)}, solver=Rollout(radius=None))
RNNRegressor(solver=Algorithm1(rho1=falling, r="lipschitz"), s_0=np.zeros(128), init={"c": [0.0]}, dtype=np.float64)
score: float = RNNRegressor().fit(np.zeros((4, 3)), [0.0, 1, 2, 3]).score([[1.0, 2, 3]], [0.0])
text: str = CharacterModel().fit(["abc", Path("text")]).generate("a", 3)
again: RNNClassifier = load("path", RNNClassifier)
also: RNNRegressor = RNNRegressor.load("path")


def update(variables: Variables, settings: SweepSettings) -> None:
    sweep(variables, settings, b"o", 0, 1)


RNNRegressor(loss=NoProx())  # type: ignore[arg-type]
RNNClassifier(penalties={"W": 0.1})  # type: ignore[dict-item]
RNNClassifier(callbacks=[falling])  # type: ignore[list-item]
RNNClassifier(solver=Lasso(1.0))  # type: ignore[arg-type]
CharacterModel().generate(3)  # type: ignore[arg-type]
RNNClassifier(cell="gruu")  # type: ignore[arg-type]
RNNRegressor(loss="hinge")  # type: ignore[arg-type]
RNNClassifier().fit(X)  # type: ignore[call-arg]
"""


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / "_kernels").is_dir(), reason="not in the repository")
def test_mypy_has_nothing_to_say(tmp_path):
    """Of the package, of a user's program that is right, and of one where it says what is wrong."""
    pytest.importorskip("mypy")
    program = tmp_path / "program.py"
    program.write_text(USE)
    newer = ["--python-version", "3.13"]  # for which numpy's stubs say more
    for arguments in ([], newer, [str(program)]):
        found = subprocess.run([sys.executable, "-m", "mypy", *arguments], cwd=ROOT, capture_output=True, text=True)
        assert not found.returncode, found.stdout + found.stderr


@pytest.mark.slow
def test_types_of_public_names_are_complete(tmp_path):
    """What pyright does not know of the rest comes from the base classes of scikit-learn, which have no types."""
    pytest.importorskip("pyright")
    installed = tmp_path / "site" / "admmirnn"  # pyright does not follow the hooks of an editable install
    shutil.copytree(Path(admmirnn.__file__).parent, installed, dirs_exist_ok=True)
    for path in [*FOLDER.glob("*.pyi"), *FOLDER.glob("*.py")]:
        (installed / "_kernels").mkdir(exist_ok=True)
        shutil.copy(path, installed / "_kernels")
    environment = os.environ | {"PYTHONPATH": str(installed.parent)}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    command = [sys.executable, "-m", "pyright", "--verifytypes", "admmirnn", "--ignoreexternal", "--outputjson"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    found = json.loads(done.stdout)["typeCompleteness"]
    assert found["completenessScore"] >= 0.95, found["completenessScore"]
