"""Fixtures that several test files share."""

import math
import signal
from pathlib import Path

import numpy as np
import pytest

from admmirnn import CharacterModel, RNNClassifier, RNNRegressor
from admmirnn.watching import Interruption

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # it has no wheels for free-threaded CPython
    pass
else:  # however busy a machine is
    settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("any machine")

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_as_in_a_terminal():
    """A process in the background of a shell has been told to ignore it, and so would be those it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def ctrl_c_of_no_other_test():
    """Tests follow one another faster than a person presses Ctrl-C in fits that have nothing to do with one another."""
    Interruption._last_time = -math.inf


@pytest.fixture(scope="module", autouse=True)
def usual_cell(request):
    """In a module of the mark ``elman`` that is what ``cell="auto"`` stands for: it is about this network's weights."""
    with pytest.MonkeyPatch.context() as patch:
        if request.node.get_closest_marker("elman"):
            for estimator in (RNNClassifier, RNNRegressor, CharacterModel):
                patch.setattr(estimator, "_usual_cell", "elman")
        yield


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items):
    """``slow_on("numpy")`` makes a test a slow one for the parameter of this name."""
    for item in items:
        slow = {name for mark in item.iter_markers("slow_on") for name in mark.args}
        if slow and not slow.isdisjoint(item.callspec.id.split("-")):
            item.add_marker("slow")


@pytest.fixture(params=["compiled", "numpy"])
def backend_name(request, monkeypatch):
    """Run the test on both back ends."""
    monkeypatch.setenv("ADMMIRNN_BACKEND", request.param)
    return request.param


@pytest.fixture(scope="session")
def golden_rollout():
    """One float64 iteration of the rollout solver, computed by an independent program."""
    with np.load(GOLDEN / "rollout.npz") as case:
        return dict(case)


@pytest.fixture(scope="session")
def golden_cells():
    """Of a cell by its name: one float64 iteration with either penalty, computed by another independent program."""
    with np.load(GOLDEN / "cells.npz") as cases:
        arrays = dict(cases)

    def of(cell):
        return {name.removeprefix(f"{cell}/"): arrays[name] for name in arrays if name.startswith(f"{cell}/")}

    return of


@pytest.fixture(scope="session")
def golden_elman(golden_cells):
    """That of `elman`."""
    return golden_cells("elman")


@pytest.fixture
def waves():
    """Sequences of unequal lengths whose class is the sign of a slow wave: learnt in a few epochs."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 120)
    X = []
    for label in y:
        steps = np.arange(rng.integers(4, 15))
        wave = np.where(label, 1.0, -1.0) * np.sin(0.3 * steps + 0.5)
        X.append(np.column_stack([wave, rng.normal(size=len(steps))]) + 0.1 * rng.normal(size=(len(steps), 2)))
    return X, y
