"""Threads that share the sequences of a minibatch, and solves in several threads of Python at once."""

import os
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

from admmirnn import Rollout, backend
from admmirnn.data.sequences import Sequences
from admmirnn.losses import SoftmaxCrossEntropy, SquaredError
from admmirnn.networks import ElmanRNN
from admmirnn.solvers.rollout.state import Layer

N_SEQUENCES, N_STEPS, N_FEATURES, N_HIDDEN = 400, 20, 3, 32


def problem(dtype="float64", *, unequal=False, seed=0):
    """Sequences whose class is the sign of a sum, enough of them for several threads."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 2 * N_STEPS, N_SEQUENCES) if unequal else np.full(N_SEQUENCES, N_STEPS)
    observations = rng.normal(size=(lengths.sum(), N_FEATURES))
    sums = np.add.reduceat(observations[:, 0], np.cumsum(lengths) - lengths)
    return Sequences.of_lengths(observations.astype(dtype), lengths), (sums > 0).astype(np.intp)


def trained(n_threads, dtype="float64", *, loss=None, unequal=False, seed=0):
    """Theta and Psi after two epochs, and the history but for the time it took."""
    sequences, y = problem(dtype, unequal=unequal, seed=seed)
    loss = loss or SoftmaxCrossEntropy()
    targets = y if loss.takes_labels else np.column_stack([y, 1.0 - y])
    network = ElmanRNN.random(N_FEATURES, N_HIDDEN, 2, dtype=np.dtype(dtype), random_state=np.random.RandomState(seed))
    outcome = Rollout(multiplier_cap=0.5).solve(
        network, sequences, targets, loss, max_epochs=2, batch_size=200, random_state=seed, n_threads=n_threads
    )
    history = [{name: value for name, value in record.items() if name != "seconds"} for record in outcome.history]
    return network.Theta, network.Psi, history


def assert_equal(found, expected):
    for a, b in zip(found[:2], expected[:2], strict=True):
        np.testing.assert_array_equal(a, b)
    assert found[2] == expected[2]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-3), ("float64", 1e-10)])
@pytest.mark.parametrize("unequal", [False, True])
@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), SquaredError()])
def test_solve_is_reproducible_and_near_that_of_one_thread(dtype, tolerance, unequal, loss):
    options = {"dtype": dtype, "unequal": unequal, "loss": loss}
    one, two = trained(1, **options), trained(2, **options)
    assert_equal(trained(2, **options), two)
    assert not np.array_equal(two[0], one[0])  # there were two, whose sums have been added up
    for a, b in zip(two[:2], one[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)
    for a, b in zip(two[2], one[2], strict=True):
        assert a["rollout_loss"] == pytest.approx(b["rollout_loss"], rel=tolerance)
        assert a["rollbacks"] == b["rollbacks"] == 0
        assert a["capped_steps"] > 0


def test_several_threads_on_the_numpy_twin_are_one(monkeypatch):
    monkeypatch.setenv("ADMMIRNN_BACKEND", "numpy")
    assert_equal(trained(2), trained(1))


def test_none_is_as_many_threads_as_there_are_cores():
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert_equal(trained(None), trained(n_cores))


@pytest.mark.parametrize(
    ("n_threads", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("2", TypeError), (True, TypeError)]
)
def test_wrong_numbers_of_threads_are_refused(n_threads, error, backend_name):
    with pytest.raises(error, match="n_threads"):
        trained(n_threads)


def test_more_threads_than_sequences():
    sequences, y = problem()
    networks = []
    for n_threads in (1, 5000):
        network = ElmanRNN.random(N_FEATURES, N_HIDDEN, 2, dtype=np.float64, random_state=np.random.RandomState(0))
        solver = Rollout()
        solver.solve(network, sequences, y, SoftmaxCrossEntropy(), batch_size=3, shuffle=False, n_threads=n_threads)
        networks.append(network)
    np.testing.assert_allclose(networks[1].Theta, networks[0].Theta, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("unequal", [False, True])
def test_outputs_are_those_of_one_thread(dtype, every_step, unequal, backend_name, monkeypatch):
    monkeypatch.setattr("admmirnn.networks.rolling._ROWS_AT_A_TIME", 1500)  # several chunks
    sequences, _ = problem(dtype, unequal=unequal)
    network = ElmanRNN.random(N_FEATURES, 64, 5, dtype=np.dtype(dtype), random_state=np.random.RandomState(0))
    network.Psi[:] = np.random.default_rng(0).normal(size=network.Psi.shape)
    expected = network.outputs(sequences, every_step=every_step)
    assert np.abs(expected).max() > 1
    for n_threads in (2, 3):
        outputs = [network.outputs(sequences, every_step=every_step, n_threads=n_threads) for _ in range(2)]
        np.testing.assert_array_equal(outputs[0], outputs[1])
        np.testing.assert_allclose(outputs[0], expected, rtol=0, atol=1000 * np.finfo(dtype).eps)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_solves_at_the_same_time_are_those_of_one_after_the_other(n_threads):
    expected = [trained(n_threads, seed=seed) for seed in range(3)]
    assert not np.array_equal(expected[0][0], expected[1][0])
    found = {}
    threads = [threading.Thread(target=lambda s=s: found.update({s: trained(n_threads, seed=s)})) for s in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(600)
    for seed in range(3):
        assert_equal(found[seed], expected[seed])


@pytest.mark.parametrize("factors_are_kept", [False, True])
@pytest.mark.parametrize("has_penalty_matrix", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_that_share_a_weight_step_find_that_of_one(dtype, has_penalty_matrix, factors_are_kept):
    kernels, found = backend.kernels(), {}
    for n_threads in (1, 2, 5):
        rng = np.random.default_rng(0)
        layer = Layer(rng.normal(size=(130, 171)).astype(dtype), 0.01, matrix_penalty=has_penalty_matrix)
        rows, multipliers = rng.normal(size=(400, 171)), rng.normal(size=(400, 130))
        layer.G[:], layer.M[:] = rows.T @ rows / 400, multipliers.T @ rows / 400
        if has_penalty_matrix:
            layer.R[:] = multipliers.T @ multipliers / 400
        of_kernel = kernels.linear_map(layer, np.zeros(layer.room, dtype), n_threads)
        outcome = kernels.weight_step(of_kernel, 0.1, 1.0, 0.01, 1.0)
        if factors_are_kept:
            layer.M[:] *= 2
            outcome = kernels.weight_step(of_kernel, 0.1, 1.0, 0.01, 1.0, outcome)
        again = layer.D.copy()
        kernels.weight_step(of_kernel, 0.1, 1.0, 0.01, 1.0, outcome if factors_are_kept else None)
        np.testing.assert_array_equal(layer.D, again)
        found[n_threads] = again, outcome
    tolerance = 1e-3 if dtype == "float32" else 1e-10
    for n_threads in (2, 5):
        np.testing.assert_allclose(found[n_threads][0], found[1][0], rtol=0, atol=tolerance * np.abs(found[1][0]).max())
        assert found[n_threads][1] == pytest.approx(found[1][1], rel=tolerance)


def test_a_statistic_that_is_not_finite_is_told_by_threads_as_well():
    kernels, rng = backend.kernels(), np.random.default_rng(0)
    for name in ("G", "R"):
        layer = Layer(rng.normal(size=(130, 171)), 0.01, matrix_penalty=True)
        layer.G[:], layer.R[:], layer.M[:] = np.eye(171), np.eye(130), 1.0
        getattr(layer, name)[3, 3] = np.nan
        of_kernel = kernels.linear_map(layer, np.zeros(layer.room), 2)
        assert np.isnan(kernels.weight_step(of_kernel, 0.1, 1.0, 0.01, 1.0)[0])


def program(body):
    """Run it in a process of its own, where nobody else has threads."""
    header = """
import os, sys, time
import numpy as np
from admmirnn import RNNClassifier

def n_threads():
    return len(os.listdir("/proc/self/task"))

def fit(n_threads=2):
    rng = np.random.default_rng(0)
    model = RNNClassifier(64, cell="elman", max_epochs=1, batch_size=200, random_state=0, n_threads=n_threads)
    return model.fit(rng.normal(size=(400, 20, 8)), rng.integers(0, 2, 400))

before = n_threads()
model = fit()
"""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", header + textwrap.dedent(body)],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            """
            deadline = time.monotonic() + 30
            while n_threads() > before and time.monotonic() < deadline:
                time.sleep(0.05)
            assert n_threads() == before, n_threads()
            again = fit()
            np.testing.assert_array_equal(again.predict_proba([[[0.0] * 8]]), model.predict_proba([[[0.0] * 8]]))
            """,
            id="they end by themselves",
        ),
        pytest.param(
            """
            for _ in range(20):
                fit()
                pid = os.fork()
                if not pid:
                    assert n_threads() == 1
                    os._exit(0 if np.array_equal(fit().predict_proba([[[0.0] * 8]]),
                                                 model.predict_proba([[[0.0] * 8]])) else 1)
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            """,
            id="a fork has none",
        ),
    ],
)
def test_helpers(body):
    done = program(body)
    assert done.returncode == 0, done.stderr
