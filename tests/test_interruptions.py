"""An exception may come between any two lines: nothing is left changed, and no fit that has made an epoch is lost."""

import inspect
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_info, threadpool_limits

import admmirnn
from admmirnn import CharacterModel, RNNClassifier, backend
from admmirnn.estimators import pipeline
from admmirnn.estimators.pipeline import Watch
from admmirnn.watching import Progress

PACKAGE = str(Path(admmirnn.__file__).parent)
# a file whose with has not begun is closed as garbage
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning", "ignore:.*unclosed file:pytest.PytestUnraisableExceptionWarning",
    "ignore:Exception ignored in. <_io.FileIO:pytest.PytestUnraisableExceptionWarning",
)  # fmt: skip
# where something is changed that has to be put back
CRITICAL = (
    "watching.py",
    "backend.py",
    "pipeline.py",
    "base.py",
    "format.py",
    "models.py",
    "checkpoints.py",
    "rolling.py",
)
_rng = np.random.default_rng(0)
X, Y = _rng.normal(size=(20, 3, 2)), np.arange(20) % 2
SETTINGS = {"hidden_size": 3, "random_state": 0, "max_epochs": 2}


class Stop(BaseException):
    """As what a handler of a signal may raise."""


class Tracer:
    """Raises `Stop` when a line is executed for the n-th time; without a line, counts how often each is."""

    def __init__(self, line=None, n=1):
        self.line, self.n = line, n
        self.counts = {}

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self.of_call)

    def __exit__(self, *exception):
        sys.settrace(self.before)

    def of_call(self, frame, event, argument):
        name = frame.f_code.co_filename
        return self.of_line if name.startswith(PACKAGE) and not self.is_ignored(frame) else None

    @staticmethod
    def is_ignored(frame):
        """Whether Python would swallow the exception: within a finalizer."""
        while frame is not None and frame.f_code.co_name != "__del__":
            frame = frame.f_back
        return frame is not None

    def of_line(self, frame, event, argument):
        if event == "line":
            line = frame.f_code.co_filename, frame.f_lineno
            self.counts[line] = self.counts.get(line, 0) + 1
            if line == self.line and self.counts[line] == self.n:
                sys.settrace(None)
                raise Stop
        return self.of_line


def blas_threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.fixture(autouse=True)
def two_blas_threads():
    with threadpool_limits(2, user_api="blas"):
        yield


def test_no_lock_of_the_limit_of_threads_is_left_to_nobody():
    def limited(folder=None):
        with backend.one_blas_thread():
            pass

    tracer = Tracer()
    with tracer:
        limited()
    assert tracer.counts
    for line, n_times in tracer.counts.items():
        for n in range(1, n_times + 1):
            with suppress(Stop), Tracer(line, n):
                limited()
            thread = threading.Thread(target=limited, daemon=True)
            thread.start()
            thread.join(10)
            assert not thread.is_alive(), (line, n)
            assert blas_threads() == [2] * len(blas_threads())


@pytest.fixture
def epochs(monkeypatch):
    """How many epochs have been done, from where on a fit must not be lost."""
    done = []
    keep_weights = Watch._keep_weights

    def kept(watch):
        keep_weights(watch)
        done.append(watch)

    monkeypatch.setattr(Watch, "_keep_weights", kept)
    return done


def fit(folder, model=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (model or RNNClassifier(**SETTINGS)).fit(X, Y)


def fit_with_everything(folder, model=None):
    settings = SETTINGS | {"checkpoint": folder / "checkpoint", "early_stopping": True, "verbose": 2}
    model = model or RNNClassifier()
    model.set_params(**settings, validation_fraction=0.3).fit(X, Y)


def partial_fit(folder, model=None):
    (model or RNNClassifier(**SETTINGS)).partial_fit(X, Y, classes=[0, 1])


def fit_text(folder, model=None):
    (model or CharacterModel(4, max_epochs=2, random_state=0)).fit("to be or not to be " * 8)


def predict(folder, model=None):
    model.predict(X)


def save(folder, model=None):
    model.save(folder / "model")


CALLS = {
    "fit": (fit, lambda: RNNClassifier(**SETTINGS)),
    "fit once more": (fit, lambda: RNNClassifier(**SETTINGS).fit(X, 1 - Y)),
    "fit with everything": (fit_with_everything, RNNClassifier),
    "partial_fit": (partial_fit, lambda: RNNClassifier(**SETTINGS)),
    "partial_fit once more": (partial_fit, lambda: RNNClassifier(**SETTINGS).partial_fit(X, Y, classes=[0, 1])),
    "text": (fit_text, lambda: CharacterModel(4, max_epochs=2, random_state=0)),
    "predict": (predict, lambda: RNNClassifier(**SETTINGS).fit(X, Y)),
    "save": (save, lambda: RNNClassifier(**SETTINGS).fit(X, Y)),
}


def check_after(model, name, folder, is_done, before):
    """Nothing is left changed, and what there is can be used."""
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if blas_threads() != [2] * len(blas_threads()):
        backend.one_blas_thread().__enter__()  # a later call puts it right
    assert blas_threads() == [2] * len(blas_threads())
    assert [file.name for file in folder.iterdir() if file.name.startswith(".")] == []
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(Y, before[1])
    if is_done and not name.startswith("partial_fit once"):
        assert hasattr(model, "V_")
    if not hasattr(model, "V_"):
        return
    text = isinstance(model, CharacterModel)
    assert np.isfinite(model.predict_proba("to be" if text else X)).all()
    assert len(model.history_) == model.n_iter_
    if (folder / "model").exists():
        np.testing.assert_array_equal(admmirnn.load(folder / "model").predict(X), model.predict(X))
    if name == "partial_fit once more":
        model.partial_fit(X, Y)


def raise_at(name, line, n, folder, epochs):
    call, make = CALLS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make()
    before = X.copy(), Y.copy()
    epochs.clear()
    try:
        with warnings.catch_warnings(), Tracer(line, n):
            warnings.simplefilter("ignore")
            call(folder, model)
    except Stop:
        pass
    is_done = bool(epochs)
    epochs.clear()
    check_after(model, name, folder, is_done, before)


def lines_of(name, folder):
    call, make = CALLS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, tracer = make(), Tracer()
        with tracer:
            call(folder, model)
    return tracer.counts


def in_a_folder(path, i):
    folder = path / str(i)
    folder.mkdir()
    return folder


@pytest.mark.parametrize("name", CALLS)
def test_nothing_is_left_and_no_fit_is_lost(name, tmp_path, epochs, capsys):
    counts = lines_of(name, in_a_folder(tmp_path, "first"))
    critical = [line for line in counts if line[0].endswith(CRITICAL)]
    assert len(critical) > 20
    for i, line in enumerate(sorted(critical)[:: 3 if name in ("predict", "save") else 12]):
        raise_at(name, line, counts[line] if i % 2 else 1, in_a_folder(tmp_path, i), epochs)


def test_a_call_of_partial_fit_that_is_over_keeps_its_record(tmp_path, epochs):
    lines, first = inspect.getsourcelines(pipeline._become)
    last = first + len(lines) - 1
    assert lines[-1].strip() == "watch.is_done = True"
    raise_at("partial_fit once more", (pipeline.__file__, last), 1, tmp_path, epochs)


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_lines_of_all_files(name, tmp_path, epochs, capsys):
    """Every tenth of them, at the first, a middle or the last time that it runs."""
    counts = lines_of(name, in_a_folder(tmp_path, "first"))
    for i, (line, n) in enumerate(sorted(counts.items())[::10]):
        raise_at(name, line, (1, n // 2 + 1, n)[i % 3], in_a_folder(tmp_path, str(i)), epochs)


def test_limit_of_blas_is_lifted_when_contexts_are_not_left():
    threads = blas_threads()
    for _ in range(2):
        context = backend.one_blas_thread()
        context.__enter__()
        assert blas_threads() == [1] * len(threads)
        del context  # as an exception between entering and the body does
        assert blas_threads() == threads

    of_admmirnn = {"__name__": "admmirnn.of_a_test", "backend": backend}
    exec("def left_behind():\n    c = backend.one_blas_thread()\n    c.__enter__()\n    return c", of_admmirnn)
    kept = of_admmirnn["left_behind"]()  # as a traceback keeps it, whose call is over
    with backend.one_blas_thread():
        assert blas_threads() == [1] * len(threads)
    assert blas_threads() == threads
    del kept


PROGRAM = """
import os, signal, sys, time
import numpy as np
from admmirnn import RNNClassifier, Rollout
X, y = np.random.default_rng(0).normal(size=(400, 20, 2)), np.arange(400) % 2
ready = lambda state: state.record["epoch"] == 1 and print("ready", flush=True) and None
model = RNNClassifier(32, max_epochs=100000, random_state=0, checkpoint=sys.argv[1] or None, callbacks=[ready])
try:
    model.fit(X, y)
except KeyboardInterrupt:
    print("aborted")
print("fitted", hasattr(model, "V_"), model.n_iter_, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number, checkpoint", [("SIGINT", False), ("SIGTERM", True), ("SIGTERM", False)])
def test_signals_end_a_fit_and_keep_its_weights(number, checkpoint, tmp_path):
    path = tmp_path / "checkpoint"
    program = [sys.executable, "-c", PROGRAM, str(path) if checkpoint else ""]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.05)
        process.send_signal(getattr(signal, number))
        output, _ = process.communicate(timeout=60)
    if number == "SIGINT":
        assert output.startswith("fitted True")
        assert process.returncode == 0
    else:  # the fit ends, and then the process does
        assert (output, process.returncode) == ("", -signal.SIGTERM)
    assert path.exists() == checkpoint
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


class Broken:
    """A stream that can be written to n times."""

    def __init__(self, n, error):
        self.n, self.error = n, error

    def write(self, text):
        if self.n <= 0:
            raise self.error
        self.n -= 1
        return len(text)

    def flush(self):
        if self.n <= 0:
            raise self.error


@pytest.mark.parametrize("n", [0, 1, 5])
@pytest.mark.parametrize("error", [OSError(28, "no space"), BrokenPipeError(), ValueError("I/O on closed file")])
@pytest.mark.parametrize("verbose", [1, 2])
def test_displays_that_fail_are_told_once_and_training_goes_on(verbose, error, n, monkeypatch):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, Broken(n, error))
    model = RNNClassifier(**SETTINGS | {"max_epochs": 4, "verbose": verbose})
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.fit(X, Y)
    messages = [str(warning.message) for warning in told]
    if not (verbose == 1 and isinstance(error, ValueError)):  # of closed files tqdm takes note itself
        assert len(messages) == 1
    assert all(message.startswith("progress can no longer be shown") for message in messages)
    assert model.n_iter_ == 4


def test_no_display_is_none(monkeypatch):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    for verbose in (1, 2):
        assert RNNClassifier(**SETTINGS | {"verbose": verbose}).fit(X, Y).n_iter_ == 2
    assert Progress(1, 2, None)._bar is None


def test_checkpoints_that_cannot_be_written_are_told_once(tmp_path, monkeypatch):
    from admmirnn.files import checkpoints

    write_file, calls = checkpoints.write_file, []

    def failing(*arguments):
        calls.append(1)
        if len(calls) in (2, 3):
            raise OSError(28, "No space left on device")
        write_file(*arguments)

    monkeypatch.setattr(checkpoints, "write_file", failing)
    model = RNNClassifier(**SETTINGS | {"max_epochs": 5, "checkpoint": tmp_path / "c"})
    with pytest.warns(RuntimeWarning, match="^the checkpoint cannot be written") as told:
        model.fit(X, Y)
    assert len(told) == 1
    assert model.n_iter_ == 5


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, MemoryError])
def test_callbacks_that_fail_leave_the_weights_of_the_last_epoch(error):
    weights = []

    def callback(state):
        weights.append(state.estimator.W_.copy())
        if state.record["epoch"] == 2:
            raise error

    model = RNNClassifier(**SETTINGS | {"max_epochs": 5, "callbacks": [callback]})
    with pytest.raises(error):
        model.fit(X, Y)
    np.testing.assert_array_equal(model.W_, weights[-1])
    assert len(model.history_) == model.n_iter_ == 2
    assert model.status_detail_.startswith(f"ended by {error.__name__}")


def test_partial_fit_takes_as_long_however_many_calls_there_were():
    model = RNNClassifier(**SETTINGS).partial_fit(X, Y, classes=[0, 1])
    model.history_.extend(dict(model.history_[-1]) for _ in range(20_000))
    model.partial_fit(X, Y)
    assert len(model.history_) == 10_000
    before = model.history_
    model.partial_fit(X, Y)
    assert model.history_ is before
    model.history_.most = None
    for _ in range(3):
        model.partial_fit(X, Y)
    assert len(model.history_) == 10_003
    assert model.history_[-1]["epoch"] == model.n_iter_


def test_copies_have_histories_of_their_own():
    import copy

    model = RNNClassifier(**SETTINGS).partial_fit(X, Y, classes=[0, 1])
    other = copy.copy(model)
    other.partial_fit(X, Y)
    assert (len(model.history_), len(other.history_)) == (1, 2)


def test_interrupted_fits_warn():
    def callback(state):
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.warns(ConvergenceWarning, match="interrupted by Ctrl-C"):
        model = RNNClassifier(**SETTINGS, callbacks=[callback]).fit(X, Y)
    assert model.n_iter_ == 1
