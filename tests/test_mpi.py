"""Fits over MPI, started here by mpiexec, each with a hard limit of time; skipped without mpi4py or mpiexec."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mpi4py", reason="the extra mpi is not there")
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
if MPIEXEC is None:
    pytest.skip("there is no mpiexec", allow_module_level=True)

PROGRAM = Path(__file__).with_name("mpi_program.py")
HARD_LIMIT = 120  # seconds


def start(n_ranks, what, folder):
    """Start the program; its ranks are pinned to one thread each."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    folder.mkdir(exist_ok=True)
    command = [MPIEXEC, "-n", str(n_ranks), sys.executable, "-m", "mpi4py", str(PROGRAM), what, str(folder)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def finish(process, limit=HARD_LIMIT):
    """Its exit status and what it has written; if it hangs, the test fails and nothing is left behind."""
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        pytest.fail(f"it was still running after {limit} seconds: {output}")
    return process.returncode, output


def run(n_ranks, what, folder):
    status, output = finish(start(n_ranks, what, folder))
    assert status == 0, output
    return output


def wait_for(path, process):
    ends = time.monotonic() + HARD_LIMIT
    while not (path.exists() and path.read_text()):
        assert process.poll() is None and time.monotonic() < ends, f"{path.name} does not appear"
        time.sleep(0.01)
    return path.read_text()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The weights that one process finds, with the minibatches that ranks with so many sequences have."""
    sys.path.insert(0, str(PROGRAM.parent))
    import mpi_program
    from test_workers import fit_alone

    from admmirnn import CharacterModel

    def of(n_ranks):
        sizes, found = mpi_program.SIZES[n_ranks], {}
        for name, (model, X, y) in mpi_program.models().items():
            found[name] = mpi_program.weights_of(fit_alone(lambda model=model: model, sizes, X, y))
        text = CharacterModel(8, dtype="float64", random_state=0, max_epochs=2).fit(mpi_program.TEXTS)
        return found | {"text float64": mpi_program.weights_of(text)}

    return of


@pytest.mark.parametrize("n_ranks", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3, 4))])
def test_weights_are_those_of_one_process_with_all_sequences(n_ranks, alone, tmp_path):
    run(n_ranks, "weights", tmp_path / "first")
    expected, of_ranks = alone(n_ranks), []
    for rank in range(n_ranks):
        with np.load(tmp_path / "first" / f"weights-{rank}.npz") as found:
            of_ranks.append(dict(found))
    for name, weights in expected.items():
        limit = 1e-10 if name.endswith("64") else 1e-4
        error = np.abs(of_ranks[0][name] - weights).max() / np.abs(weights).max()
        assert error < limit, name
        for other in of_ranks[1:]:
            np.testing.assert_array_equal(other[name], of_ranks[0][name])


@pytest.mark.slow
def test_the_same_run_twice_is_the_same_to_the_last_bit(tmp_path):
    for folder in ("first", "second"):
        run(2, "weights", tmp_path / folder)
    with (
        np.load(tmp_path / "first" / "weights-0.npz") as first,
        np.load(tmp_path / "second" / "weights-1.npz") as second,
    ):
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])


def test_an_error_of_one_rank_ends_all_with_its_message(tmp_path):
    status, output = finish(start(3, "error", tmp_path), limit=60)
    assert status != 0
    assert "inconsistent numbers of samples" in output


@pytest.mark.slow
def test_an_error_outside_fit_ends_all(tmp_path):
    status, output = finish(start(2, "error_elsewhere", tmp_path), limit=60)
    assert status != 0
    assert "this rank has lost its file" in output


@pytest.mark.slow
def test_ctrl_c_on_one_rank_ends_the_fit_on_all_and_keeps_the_weights(tmp_path):
    process = start(2, "endless", tmp_path)
    wait_for(tmp_path / "epoch", process)
    os.kill(int((tmp_path / "pid-1").read_text()), signal.SIGINT)
    status, output = finish(process, limit=60)
    assert status == 0, output
    assert {(tmp_path / f"status-{rank}").read_text() for rank in range(2)} == {"INTERRUPTED"}
    first, second = (np.load(tmp_path / f"weights-{rank}.npy") for rank in range(2))
    np.testing.assert_array_equal(first, second)
    assert np.isfinite(first).all()


@pytest.mark.slow
def test_ctrl_c_many_times_on_one_rank_is_one(tmp_path):
    """Signals that come at any moment must not part a rank from the others."""
    process = start(2, "endless", tmp_path)
    wait_for(tmp_path / "epoch", process)
    pid = int((tmp_path / "pid-1").read_text())
    for _ in range(20):
        if (tmp_path / "status-1").exists():
            break
        os.kill(pid, signal.SIGINT)
        time.sleep(0.002)
    status, output = finish(process, limit=60)
    assert status == 0, output
    assert {(tmp_path / f"status-{rank}").read_text() for rank in range(2)} == {"INTERRUPTED"}


WAITED = "has waited for other ranks for 3 seconds"


@pytest.mark.slow
def test_a_rank_that_does_not_come_to_fit_ends_all(tmp_path):
    status, output = finish(start(3, "leaving", tmp_path), limit=60)
    assert status != 0
    assert WAITED in output


@pytest.mark.slow
def test_a_rank_that_stands_still_ends_all(tmp_path):
    process = start(2, "frozen", tmp_path)
    wait_for(tmp_path / "epoch", process)
    os.kill(int((tmp_path / "pid-1").read_text()), signal.SIGSTOP)
    status, output = finish(process, limit=60)
    assert status != 0
    assert WAITED in output


def end_by_a_kill(folder, random_state):
    """Kill one rank at a random moment; return how long the others have taken to end."""
    process = start(2, "checkpoint", folder)
    wait_for(folder / "epoch", process)
    time.sleep(random_state.uniform(0, 0.5))
    killed = time.monotonic()
    os.kill(int((folder / f"pid-{random_state.randint(2)}").read_text()), signal.SIGKILL)
    status, output = finish(process, limit=30)
    assert status != 0, output
    return time.monotonic() - killed


@pytest.mark.slow
def test_a_rank_that_is_killed_ends_all_and_the_checkpoint_goes_on_to_the_last_bit(tmp_path):
    pytest.importorskip("safetensors")
    run(2, "checkpoint", tmp_path / "whole")
    expected = np.load(tmp_path / "whole" / "weights-0.npy")
    random_state = np.random.RandomState(0)
    for i in range(5):
        folder = tmp_path / str(i)
        end_by_a_kill(folder, random_state)
        run(2, "checkpoint", folder)
        for rank in range(2):
            np.testing.assert_array_equal(np.load(folder / f"weights-{rank}.npy"), expected)


def test_what_is_no_communicator():
    from admmirnn.distributed import MPIReducer

    with pytest.raises(TypeError, match="pass a communicator"):
        MPIReducer("MPI")
    with pytest.raises(ValueError, match="timeout"):
        MPIReducer(timeout=0)
