"""Fits and predictions in several threads and processes at once: results to the last bit, and no deadlock."""

import multiprocessing
import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

from admmirnn import Algorithm1, CharacterModel, RNNClassifier, RNNRegressor, backend
from admmirnn.data.sequences import Sequences

pytestmark = pytest.mark.elman

HERE = Path(__file__).parent
TEXT = 60 * "to be, or not to be, that is the question: "
SECONDS = 600  # after which there is a deadlock, on a machine that has other things to do as well
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def waves(n=200, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    X = np.sin((0.4 + 0.2 * y[:, None]) * np.arange(20) + rng.uniform(0, 6, n)[:, None])[:, :, None]
    return X + 0.2 * rng.normal(size=X.shape), y


def values(n=200):
    X = np.random.default_rng(1).normal(size=(n, 20, 2))
    return X, X.cumsum(axis=1)[:, :, 0]


CASES = {
    "classifier": (RNNClassifier(32, max_epochs=3, random_state=0), waves()),
    "two threads": (RNNClassifier(64, max_epochs=3, batch_size=200, random_state=0, n_threads=2), waves()),
    "float64, two threads": (
        RNNRegressor(64, max_epochs=3, batch_size=200, random_state=0, n_threads=2, dtype="float64", targets="step"),
        values(),
    ),
    "bidirectional": (RNNClassifier(32, max_epochs=3, bidirectional=True, random_state=0), waves()),
    "algorithm1": (RNNClassifier(16, max_epochs=3, solver=Algorithm1(r="lipschitz"), random_state=0), waves(50)),
    "text": (CharacterModel(32, max_epochs=3, random_state=0), (TEXT,)),
}


def weights(model):
    return np.concatenate([array.ravel() for array in model._network().weights.values()])


def fitted(name, n_threads=None):
    model, data = CASES[name]
    model = clone(model)
    if n_threads is not None:
        model.set_params(n_threads=n_threads)
    return model.fit(*data)


def at_once(functions):
    """Their results, each called in a thread of its own, all at the same time."""
    barrier = threading.Barrier(len(functions), timeout=SECONDS)

    def call(function):
        barrier.wait()
        return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        return [future.result(SECONDS) for future in [pool.submit(call, function) for function in functions]]


def in_new_process(function):
    """Call a function without arguments, of this file, in a new process, which must end well and in time."""
    code = f"import sys; sys.path.insert(0, {str(HERE)!r}); import test_concurrency as t; t.{function.__name__}()"
    command = [sys.executable, "-W", "ignore", "-c", code]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            _, errors = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)  # with what it has forked
            else:
                process.kill()
            raise
    assert process.returncode == 0, errors


# Threads


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("one", "other"), [("classifier", "text"), ("two threads", "float64, two threads"), ("bidirectional", "algorithm1")]
)
def test_fits_at_once_are_those_of_one_after_the_other(one, other):
    names = [one, other, one, other]
    expected = {name: weights(fitted(name)) for name in (one, other)}
    for name, model in zip(names, at_once([lambda name=name: fitted(name) for name in names]), strict=True):
        np.testing.assert_array_equal(weights(model), expected[name])


@pytest.mark.parametrize("name", ["classifier", "two threads", "bidirectional"])
def test_predictions_in_eight_threads(name):
    model, (X, _) = fitted(name), CASES[name][1]
    many = np.concatenate([X] * 20)
    expected = model.predict_proba(many)
    for found in at_once(8 * [lambda: model.predict_proba(many)]):
        np.testing.assert_array_equal(found, expected)


def test_predictions_while_another_model_is_fitted():
    model, X = fitted("classifier"), CASES["classifier"][1][0]
    expected, weights_expected = model.predict_proba(X), weights(fitted("two threads"))
    enough, stop = threading.Event(), threading.Event()

    def predict_until_the_end():
        try:
            n = 0
            while not stop.is_set():
                np.testing.assert_array_equal(model.predict_proba(X), expected)
                n += 1
                if n == 5:
                    enough.set()
        finally:
            enough.set()

    def fit():
        try:
            found = [weights(fitted("two threads"))]
            while not enough.is_set():  # a fit may be over before the other thread has begun
                found.append(weights(fitted("two threads")))
            return found
        finally:
            stop.set()

    _, found = at_once([predict_until_the_end, fit])
    for of_fit in found:
        np.testing.assert_array_equal(of_fit, weights_expected)


def test_texts_are_generated_and_scored_in_threads():
    model = fitted("text")

    def generate(seed):
        return model.generate("to be", n=300, random_state=seed), model.bits_per_character(TEXT)

    expected = [generate(seed) for seed in range(4)]
    assert at_once([lambda seed=seed: generate(seed) for seed in range(4)]) == expected
    assert len({text for text, _ in expected}) > 1


def test_streams_in_threads():
    model, (X, _) = fitted("classifier"), CASES["classifier"][1]

    def read(first):
        one, many = model.stream(), model.stream(n_streams=50)
        return np.stack([one(x) for x in X[first]]), many.read(X[first : first + 50])

    for first, found in enumerate(at_once([lambda first=first: read(first) for first in range(8)])):
        for a, b in zip(found, read(first), strict=True):
            np.testing.assert_array_equal(a, b)


def test_streams_that_threads_share_are_refused_or_read_in_turn():
    """Whichever comes first: as many observations have been read as calls have returned."""
    stream = fitted("classifier").stream(n_streams=64)
    X = np.random.default_rng(0).normal(size=(64, 50, 1))

    def read():
        n = 0
        for _ in range(40):
            try:
                stream._read(X, np.empty((64, 1, 3), np.float32))
            except RuntimeError as error:
                if "another thread" not in str(error):
                    raise
            else:
                n += 50
        return n

    n_read = at_once(4 * [read])
    assert sum(n_read) > 0
    np.testing.assert_array_equal(stream.state.n_read, sum(n_read))


# The interpreter


def ticks_within(run, monkeypatch):
    """By kernel, of its longest call: how long it took, and how often a thread of Python ran after its first tenth
    and before its last one."""
    calls, ticks, stop = {}, [], threading.Event()

    def watched(name, function):
        def call(*args, **kwargs):
            began = time.perf_counter()
            result = function(*args, **kwargs)
            seconds = time.perf_counter() - began
            calls[name] = max(calls.get(name, (0, 0)), (seconds, began))
            return result

        return call

    def tick():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.0002)

    kernels = SimpleNamespace(**{name: watched(name, function) for name, function in vars(backend.kernels()).items()})
    monkeypatch.setattr(backend, "kernels", lambda: kernels)
    thread = threading.Thread(target=tick)
    thread.start()
    try:
        run()
    finally:
        stop.set()
        thread.join()
    times = np.array(ticks)
    return {
        name: (seconds, np.count_nonzero((times > began + 0.1 * seconds) & (times < began + 0.9 * seconds)))
        for name, (seconds, began) in calls.items()
    }


def that_hold_it(run, names, monkeypatch):
    """The kernels whose calls never have a tick inside; on a busy machine one that lets go may have none at times."""
    held = set(names)
    for _ in range(20):
        with monkeypatch.context() as patched:
            found = ticks_within(run, patched)
        held -= {name for name in held if found[name][1] > 0}
        if not held:
            break
    return held


def many_units():
    X = np.random.default_rng(0).normal(size=(100, 20, 1))
    RNNClassifier(800, batch_size=100, max_epochs=1, penalty=1.0, random_state=0).fit(X, np.arange(100) % 2)


def many_steps():
    X = np.random.default_rng(0).normal(size=(6000, 20, 1))
    y = np.repeat(X, 10, axis=2)
    model = RNNRegressor(16, loss="huber", batch_size=6000, max_epochs=1, bidirectional=True, random_state=0)
    model.fit(X, y, validation_data=(X, y))


def auxiliary_variables():
    X = np.random.default_rng(0).normal(size=(500, 20, 2))
    RNNClassifier(200, solver="algorithm1", max_epochs=1, random_state=0).fit(X, np.arange(500) % 2)


def characters():
    CharacterModel(200, max_epochs=1, random_state=0).fit(TEXT).generate(n=20000, random_state=0)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("run", "names"),
    [
        (many_units, ["forward", "backward", "weight_step", "move_weights"]),
        (many_steps, ["joint_sums", "loss_value"]),
        (auxiliary_variables, ["sweep", "residuals", "roll_out"]),
        (characters, ["generate"]),
    ],
)
def test_kernels_let_go_of_the_interpreter(run, names, monkeypatch):
    assert that_hold_it(run, names, monkeypatch) == set()


def test_streams_let_go_of_the_interpreter(monkeypatch):
    stream = fitted("classifier").stream(n_streams=200)
    X = np.random.default_rng(0).normal(size=(200, 1000, 1))
    kernels = SimpleNamespace(read=lambda: stream._read(X, np.empty((200, 1, 3), np.float32)))
    monkeypatch.setattr(backend, "kernels", lambda: kernels)
    assert that_hold_it(lambda: backend.kernels().read(), ["read"], monkeypatch) == set()


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has a lock")
def test_free_threaded_python_stays_so():
    in_new_process(load_kernels)


def load_kernels():
    """Importing a module that is not made for it would bring the lock back."""
    backend.kernels()
    assert not sys._is_gil_enabled()


# Processes


def fork_after_fit():
    model, X = fitted("two threads"), CASES["two threads"][1][0]
    expected = model.predict_proba(X), weights(model)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            np.testing.assert_array_equal(model.predict_proba(X), expected[0])
            np.testing.assert_array_equal(weights(fitted("two threads")), expected[1])
            code = 0
        finally:
            os._exit(code)
    np.testing.assert_array_equal(weights(fitted("two threads")), expected[1])
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def fork_during_a_fit():
    """In the child there is no other fit, whatever lock the other thread held and limit it had set."""
    expected, free = weights(fitted("classifier")), blas_threads()
    stop = threading.Event()

    def fit():
        while not stop.is_set():
            with backend.one_blas_thread():
                pass
            fitted("classifier")

    thread = threading.Thread(target=fit)
    thread.start()
    codes = []
    for _ in range(10):
        time.sleep(0.005)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                np.testing.assert_array_equal(weights(fitted("classifier")), expected)
                assert blas_threads() == free, (blas_threads(), free)
                code = 0
            finally:
                os._exit(code)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    stop.set()
    thread.join()
    assert codes == 10 * [0]
    assert blas_threads() == free


def fork_while_the_limit_is_being_set():
    """The lock of another thread does not stay locked in the child."""
    locked, forked = threading.Event(), threading.Event()

    def hold():
        with backend._limit_lock:
            locked.set()
            forked.wait(1)

    expected = weights(fitted("classifier"))
    thread = threading.Thread(target=hold)
    thread.start()
    locked.wait()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            np.testing.assert_array_equal(weights(fitted("classifier")), expected)
            code = 0
        finally:
            os._exit(code)
    forked.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def fork_while_another_thread_looks_at_sequences():
    """What is computed once for all predictions is locked by nobody."""

    class Lengths(np.ndarray):
        def __eq__(self, other):
            looking.set()
            forked.wait(SECONDS)
            return np.asarray(self) == np.asarray(other)

    looking, forked = threading.Event(), threading.Event()
    model = fitted("classifier")
    X = CASES["classifier"][1][0]
    expected = model.predict_proba(X)
    sequences = Sequences.of_lengths(X[:5].reshape(-1, 1), 5 * [20])
    slow = replace(sequences, lengths=sequences.lengths.view(Lengths))
    thread = threading.Thread(target=lambda: slow.minibatch(np.arange(5)))
    thread.start()
    looking.wait()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            np.testing.assert_array_equal(model.predict_proba(X), expected)
            code = 0
        finally:
            os._exit(code)
    deadline = time.monotonic() + 60
    while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    forked.set()
    thread.join()
    if not ended[0]:
        os.kill(pid, signal.SIGKILL)
    assert ended[0] and os.waitstatus_to_exitcode(ended[1]) == 0, "the process that was forked hangs"


def fork_within_a_fit():
    """A process that a callback forks goes on with the fit, as its parent does."""
    pids, model = [], clone(CASES["classifier"][0])
    expected, free = weights(fitted("classifier")), blas_threads()

    def fork(state):
        if not pids:
            pids.append(os.fork())

    model.set_params(callbacks=[fork]).fit(*CASES["classifier"][1])
    np.testing.assert_array_equal(weights(model), expected)
    assert not backend._limited_by
    assert blas_threads() == free
    if pids[0] == 0:
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]) == 0


def blas_threads():
    return [library["num_threads"] for library in backend._controller().info() if library["user_api"] == "blas"]


@pytest.mark.slow_on("fork_while_the_limit_is_being_set", "fork_during_a_fit", "fork_within_a_fit")
@needs_fork
@pytest.mark.parametrize(
    "function",
    [
        fork_after_fit,
        fork_during_a_fit,
        fork_while_the_limit_is_being_set,
        fork_while_another_thread_looks_at_sequences,
        fork_within_a_fit,
    ],
)
def test_fork(function):
    in_new_process(function)


def predict_here(model):
    X = CASES["classifier"][1][0]
    return model.predict_proba(X), weights(fitted("classifier")), weights(fitted("two threads"))


def pool(method):
    model = fitted("classifier")
    expected = predict_here(model)
    with multiprocessing.get_context(method).Pool(2) as workers:
        for found in workers.map_async(predict_here, 3 * [model]).get(SECONDS):
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_array_equal(a, b)


def pool_of_forks():
    pool("fork")


def pool_of_spawned():
    pool("spawn")


@pytest.mark.slow_on("pool_of_spawned")
@pytest.mark.parametrize("function", [pytest.param(pool_of_forks, marks=needs_fork), pool_of_spawned])
def test_pools_of_processes(function):
    in_new_process(function)


def cross_validate(method):
    X, y = waves()
    model = RNNClassifier(16, max_epochs=5, random_state=0, n_threads=2)
    expected = cross_val_score(model, X, y, cv=4)
    search = GridSearchCV(model, {"hidden_size": [8, 16]}, cv=2).fit(X, y)
    with joblib.parallel_backend(method, n_jobs=2):
        np.testing.assert_array_equal(cross_val_score(model, X, y, cv=4, n_jobs=2), expected)
        found = GridSearchCV(model, {"hidden_size": [8, 16]}, cv=2, n_jobs=2).fit(X, y)
    np.testing.assert_array_equal(found.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(weights(found.best_estimator_), weights(search.best_estimator_))
    assert not backend._limited_by


def joblib_processes():
    cross_validate("loky")


def joblib_threads():
    cross_validate("threading")


@pytest.mark.slow_on("joblib_processes")
@pytest.mark.parametrize("function", [joblib_processes, joblib_threads])
def test_joblib(function):
    in_new_process(function)
