"""Fixtures that several test files share."""

from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).parent / "golden"


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
