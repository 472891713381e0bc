"""Commands that compare cells, sizes, starts and other people's models: on data that are small and made up."""

import json
import sys
import warnings

import numpy as np
import pytest

from bench import cells, growth, instead, record, stability
from bench.flops import Size

TINY = Size(n=6, B=8, N=5, d=3, K=4)


@pytest.fixture
def images(monkeypatch):
    """In the place of MNIST: 6 rows of 4 pixels, whose class is where they are bright."""
    rng = np.random.default_rng(0)

    def load(part):
        y = rng.integers(0, 3, 1500 if part == "train" else 60)
        return (60 + 10 * rng.normal(size=(len(y), 6, 4)) + 100 * (np.arange(4) == y[:, None, None])).astype(
            np.uint8
        ), y

    for module in (cells, stability):
        monkeypatch.setattr(module, "load_mnist", load)
        monkeypatch.setattr(module, "N_HIDDEN", 8)


def test_of_each_side_18_settings_and_four_starts():
    for side in stability.SIDES:
        settings = stability.settings_of(side)
        assert len(settings) == 22 and len({json.dumps(setting) for setting in settings}) == 22
        assert len({stability.label_of(setting) for setting in settings}) == 22


@pytest.mark.parametrize("cell", ["elman", "gru"])
def test_starts_are_of_the_size_asked_for(cell):
    usual = stability.recurrent_start(cell, 0, {"batch_size": 50, "damping": 0.3, "scale": 2.0})
    assert set(usual) == ({"W"} if cell == "elman" else {"W_z", "W_r", "W_c"})
    for name, W in usual.items():
        np.testing.assert_allclose(W @ W.T, 4 * np.eye(128), atol=1e-12)
        gaussian = stability.recurrent_start(cell, 0, {"gaussian": 3.0})[name]
        assert gaussian.std() * np.sqrt(128) == pytest.approx(3, rel=0.02)
    assert len({W[0, 0] for W in usual.values()}) == len(usual)


def test_runs_of_stability_are_drawn_and_not_run_twice(images, monkeypatch, tmp_path):
    monkeypatch.setattr(stability.pytorch, "INSTALLED", False)
    monkeypatch.setattr(stability, "PICTURE", tmp_path / "stability.png")
    monkeypatch.setattr(record, "RESULTS", tmp_path / "published")
    monkeypatch.setattr(stability, "RESULTS", tmp_path / "published")
    monkeypatch.setattr(
        sys, "argv", ["stability", "--cheap", "--only", "elman", "--publish", "--output", str(tmp_path)]
    )
    stability.main()
    runs = json.loads((tmp_path / "stability-cheap.json").read_text())["runs"]
    assert len(runs) == 2 * 9 and all(0 <= run["accuracy"] <= 1 for run in runs)
    assert np.median([run["accuracy"] for run in runs]) > 0.5
    assert (tmp_path / "stability.png").read_bytes().startswith(b"\x89PNG")
    assert "| elman | admmirnn | 18 |" in stability.table()
    monkeypatch.setitem(stability.SIDES, "admmirnn", None)  # would fail if it was called
    stability.main()


def test_cells_are_measured_and_drawn(images, monkeypatch, tmp_path):
    monkeypatch.setattr(cells, "NETWORKS", {"elman": {"cell": "elman"}, "two": {"cell": "gru", "hidden_size": (8, 8)}})
    rows = cells.measure(2, 150)
    assert [row["network"] for row in rows] == ["elman", "two"]
    assert all(len(row["accuracies"]) == 2 and row["memory"] > 0 and row["microseconds"] > 0 for row in rows)
    assert rows[1]["memory"] > rows[0]["memory"]
    cells.draw(tmp_path / "cells.png", rows)
    assert (tmp_path / "cells.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_iterations_of_all_engines_and_the_limit(cell, monkeypatch, tmp_path):
    found = growth.iterations(TINY, cell, rounds=1)
    assert {"admmirnn", "limit"} <= set(found) and all(seconds > 0 for seconds in found.values())
    assert found["limit"] < found["admmirnn"]


def test_iterations_of_our_own(monkeypatch):
    monkeypatch.setattr(growth.pytorch, "INSTALLED", False)
    monkeypatch.setattr(growth.jax_training, "INSTALLED", False)
    found = growth.iterations(TINY, "gru", rounds=1)
    assert set(found) == {"admmirnn", "limit"} and 0 < found["limit"] < found["admmirnn"]


def test_what_grows_is_drawn(tmp_path):
    of = {"admmirnn": 2e-3, "PyTorch": 3e-3, "limit": 1e-3}
    parts = {"n": [{"n": n, "elman": of, "gru": of} for n in (16, 32)], "threads": [{"n": 16, "2": 1.5}]}
    growth.draw(tmp_path / "scaling.png", parts)
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")
    row = {"cell": "elman", "size": "n=16"} | of
    assert growth.row_of(row) == "| elman | n=16 | 2.00 ms | 1.5 |  | 0.50 |"


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_networks_of_jax_learn(cell):
    pytest.importorskip("jax")
    from bench.cases import problem
    from bench.jax_training import JaxTraining

    training = JaxTraining(TINY, *problem(TINY, "float32", 4), cell=cell)
    first = training.epoch()
    assert first == pytest.approx(np.log(TINY.K), rel=0.1)
    for _ in range(300):
        last = training.epoch()
    assert last < 0.9 * first


def test_models_that_others_use_are_compared(tmp_path):
    rng = np.random.default_rng(0)

    def load(seed):
        y = np.repeat(["a", "b"], 15)
        X = [np.sin(0.2 * (1 + (label == "b")) * np.arange(rng.integers(12, 20)))[:, None] + 3 for label in y]
        return X, y, X[::2], y[::2]

    rows = instead.measure([("sines", load)], [0], (instead.Ours,))
    assert rows[0]["model"] == "admmirnn, defaults" and rows[0]["accuracies"][0] > 0.6
    X, _, _, _ = load(0)
    (found, _) = instead.standardised(X, X[:2])
    steps = np.concatenate(found)
    assert steps.mean() == pytest.approx(0, abs=1e-5) and steps.std() == pytest.approx(1, rel=1e-5)
    padded = instead.equally_long(found, 15)
    assert padded.shape == (30, 1, 15)
    np.testing.assert_array_equal(padded[0, 0, : min(15, len(X[0]))], found[0][:15, 0])


@pytest.mark.slow
@pytest.mark.parametrize("model", instead.MODELS, ids=lambda model: model.name)
def test_every_model_learns_to_tell_frequencies_apart(model, monkeypatch):
    for package in model.needs:
        pytest.importorskip(package)
    monkeypatch.setattr(instead.SkorchGRU, "grid", {"lr": [0.01], "max_epochs": [30]})
    monkeypatch.setattr(instead.OursChosen, "grid", {"cell": ["elman", "gru"]})
    rng = np.random.default_rng(0)
    y = np.repeat([3, 5], 15)
    X = [np.sin(0.2 * (1 + 3 * (k == 5)) * np.arange(30) + rng.uniform(0, 6))[:, None].astype(np.float32) for k in y]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other packages
        predicted = model(0).fit(X, y).predict(X)
    assert np.mean(predicted == y) > 0.8
