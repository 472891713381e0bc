"""Fits in rounds on Dask, each in a process of its own with a hard limit of time; skipped without dask.distributed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_rounds import fit_in_rounds

from admmirnn import CharacterModel, RNNClassifier
from admmirnn.distributed import DaskTrainer
from admmirnn.distributed.dask_trainer import _Places, check_sound

PROGRAM = Path(__file__).with_name("dask_program.py")


LIMIT_OF_START = 600  # seconds: workers that import all of scientific Python take minutes on a machine that is busy


def run(what, folder, *more, limit=240):
    """What the program has found; it is killed so many seconds after its workers are there, and they with it."""
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), what, str(folder), *map(str, more)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    ends = time.monotonic() + LIMIT_OF_START
    is_ready = False
    while True:
        try:
            output, _ = process.communicate(timeout=0.5)
            break
        except subprocess.TimeoutExpired:
            if not is_ready and (folder / "ready").exists():
                is_ready, ends = True, time.monotonic() + limit
            if time.monotonic() > ends:
                os.kill(process.pid, signal.SIGUSR1)  # it says where it is
                time.sleep(2)
                os.killpg(process.pid, signal.SIGKILL)
                output, _ = process.communicate()
                pytest.fail(f"no end {limit} seconds after the start\n{output}" if is_ready else f"no start\n{output}")
    assert process.returncode == 0, output
    return json.loads((folder / "found.json").read_text())


@pytest.fixture(scope="module")
def expected():
    """The weights of a fit in rounds whose parts are in this process."""
    import dask_program

    parts = [dask_program.sequences(i) for i in range(dask_program.N_PARTS)]
    return dask_program.weights_of(fit_in_rounds(RNNClassifier(**dask_program.OPTIONS), parts, 4))


def test_partitions_of_every_kind_find_what_parts_in_one_process_do(tmp_path, expected):
    pytest.importorskip("distributed", reason="the extra dask is not there")
    found = run("same_everywhere", tmp_path)
    assert set(found) == {"delayed", "array", "bag", "futures", "shards"}
    for kind, weights in found.items():
        np.testing.assert_array_equal(weights, expected, err_msg=kind)


def test_partitions_that_cannot_be_used_are_named(tmp_path):
    pytest.importorskip("distributed", reason="the extra dask is not there")
    of_targets, of_file, of_type = run("errors", tmp_path)
    assert of_targets.startswith("ValueError: partition 1 of X: ValueError: Found input variables with inconsistent")
    assert of_file == "ValueError: partition 1 of X: OSError: the file has no end"
    assert of_type.startswith("TypeError: partition 0 of X: TypeError: it is of type int; make it a pair")


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_its_round(tmp_path):
    pytest.importorskip("distributed", reason="the extra dask is not there")
    found = run("killed", tmp_path)
    np.testing.assert_array_equal(found["killed"], found["alone"])
    assert max(found["reads"]) > 1  # a partition was read again


@pytest.mark.slow
def test_workers_that_are_killed_at_random_moments(tmp_path):
    pytest.importorskip("distributed", reason="the extra dask is not there")
    assert run("killed_often", tmp_path, 3, limit=300)["same"] == [True] * 3


@pytest.mark.slow
def test_a_worker_that_is_added_takes_part(tmp_path):
    pytest.importorskip("distributed", reason="the extra dask is not there")
    found = run("added", tmp_path)
    np.testing.assert_array_equal(found["added"], found["alone"])
    assert len(found["executed"]) == 1
    assert found["executed"][0] > 10


@pytest.mark.slow
def test_interrupting_the_driver_keeps_the_weights(tmp_path):
    pytest.importorskip("distributed", reason="the extra dask is not there")
    found = run("interrupted", tmp_path)
    assert found["status"] == "INTERRUPTED"
    assert found["epochs"] >= 3
    assert any("interrupted by Ctrl-C" in warning for warning in found["warnings"])


@pytest.mark.slow
def test_a_worker_that_stands_still_is_given_up(tmp_path):
    pytest.importorskip("distributed", reason="the extra dask is not there")
    found = run("worker_stopped", tmp_path)
    np.testing.assert_array_equal(found["stopped"], found["alone"])
    assert max(found["reads"]) > 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "what, message",
    [
        ("scheduler_killed", "the scheduler of Dask (has gone|cannot be reached)"),
        ("scheduler_stopped", "the scheduler of Dask has not answered for 30 seconds"),
        ("workers_killed", "there has been no worker for 30 seconds"),
    ],
)
def test_a_fit_that_cannot_go_on_ends(tmp_path, what, message):
    pytest.importorskip("distributed", reason="the extra dask is not there")
    found = run(what, tmp_path)
    assert re.search(message, found["error"]), found["error"]
    assert found["epochs"] >= 3  # the estimator has the weights of before
    assert found["seconds"] < 120


@pytest.mark.slow
def test_interrupting_while_the_scheduler_stands_still(tmp_path):
    pytest.importorskip("distributed", reason="the extra dask is not there")
    found = run("scheduler_stopped_and_interrupted", tmp_path)
    assert found["status"] == "INTERRUPTED"
    assert found["epochs"] >= 3


@pytest.mark.parametrize(
    "status, is_lost, error, message",
    [
        ("finished", True, None, ""),
        ("pending", True, None, ""),
        ("lost", False, None, ""),
        ("lost", True, RuntimeError, "partition 3 of X is lost: it was in the memory of a worker that has gone"),
        ("cancelled", False, RuntimeError, "partition 3 of X is cancelled"),
        ("error", False, ValueError, "partition 3 of X: OSError: no such file"),
    ],
)
def test_what_may_become_of_a_partition(status, is_lost, error, message):
    future = SimpleNamespace(status=status, exception=lambda: OSError("no such file"))
    with pytest.raises(error, match=message) if error else nullcontext():
        check_sound(3, future, is_lost=is_lost)


def test_places_are_even_and_stay():
    places = _Places(5)
    places.update({"a": 1, "b": 1})
    assert sorted(places.of_parts) == ["a", "a", "a", "b", "b"] or sorted(places.of_parts) == ["a", "a", "b", "b", "b"]
    before = list(places.of_parts)
    places.update({"a": 1, "b": 1})
    assert places.of_parts == before
    places.update({"a": 1, "b": 1, "c": 1})
    assert {places.of_parts.count(one) for one in "abc"} == {1, 2}
    assert sum(one != other for one, other in zip(places.of_parts, before, strict=True)) == 1
    places.update({"c": 4, "b": 1})
    assert (places.of_parts.count("c"), places.of_parts.count("b")) == (4, 1)
    places.update({"d": 2})
    assert places.of_parts == ["d"] * 5


@pytest.mark.parametrize("estimator", [CharacterModel(), 3, RNNClassifier])
def test_estimators_that_have_no_parts(estimator):
    pytest.importorskip("distributed", reason="the extra dask is not there")
    with pytest.raises(TypeError, match="pass an RNNClassifier or an RNNRegressor"):
        DaskTrainer(estimator).fit([])


@pytest.mark.parametrize(
    "options, X, y, message",
    [
        ({"client": 3}, [], None, "client is 3; pass a distributed.Client"),
        ({"iterations_per_round": 0}, [], None, "iterations_per_round"),
        ({"timeout": 0}, [], None, "timeout"),
        ({}, [], None, "client is None, and there is none"),
    ],
)
def test_parameters_that_are_refused(options, X, y, message):
    pytest.importorskip("distributed", reason="the extra dask is not there")
    with pytest.raises((ValueError, TypeError), match=message):
        DaskTrainer(RNNClassifier(), **options).fit(X, y)


def test_without_dask(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"DaskTrainer needs distributed.*pip install 'admmirnn\[dask\]'"):
        DaskTrainer(RNNClassifier()).fit([])
