"""What goes on around a fit: validation data, early stopping, limits of time, Ctrl-C, callbacks, progress, logging."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import warnings

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from admmirnn import Algorithm1, CharacterModel, RNNClassifier, RNNRegressor, Rollout, Status
from admmirnn.estimators import pipeline
from admmirnn.watching import Limits, Validation


def waves(n, seed=0, noise=0.2):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    phase = rng.uniform(0, 6, n)[:, None]
    X = np.sin((0.5 + 0.4 * y[:, None]) * np.arange(12) + phase)
    return X[:, :, None] + noise * rng.normal(size=(n, 12, 1)), y


def series(n, seed=0):
    X = np.random.default_rng(seed).normal(size=(n, 12, 1))
    return X, X.cumsum(axis=1)[:, :, 0]


OPTIONS = {"hidden_size": 8, "random_state": 0}
SOLVERS = pytest.mark.parametrize("solver", ["rollout", Algorithm1(r="lipschitz")], ids=["rollout", "algorithm1"])


# Validation data


@SOLVERS
def test_validation_data_are_measured_and_not_trained_with(solver):
    X, y = waves(120)
    Xv, yv = waves(60, 1)
    plain = RNNClassifier(**OPTIONS, solver=solver, max_epochs=4).fit(X, y)
    model = clone(plain).fit(X, y, validation_data=(Xv, yv))
    np.testing.assert_array_equal(model.W_, plain.W_)
    last = model.history_[-1]
    assert last["validation_accuracy"] == model.score(Xv, yv)
    assert type(last["validation_accuracy"]) is type(last["training_accuracy"]) is float
    expected = -np.log(model.predict_proba(Xv)[np.arange(60), np.searchsorted(model.classes_, yv)]).mean()
    np.testing.assert_allclose(last["validation_loss"], expected, rtol=1e-5)
    assert "validation_loss" not in plain.history_[-1]
    assert model.best_epoch_ is None


def test_validation_of_targets_at_each_step_of_unequal_lengths():
    X, Y = series(80)
    X, Y = [x[: 3 + i % 9] for i, x in enumerate(X)], [y[: 3 + i % 9].copy() for i, y in enumerate(Y)]
    for y in Y:
        y[0] = np.nan
    model = RNNRegressor(**OPTIONS, max_epochs=3).fit(X[:60], Y[:60], validation_data=(X[60:], Y[60:]))
    predicted, true = np.concatenate(model.predict(X[60:])), np.concatenate(Y[60:])
    there = ~np.isnan(true)
    expected = 0.5 * np.mean(((predicted - true)[there] / model.target_scale_) ** 2)
    np.testing.assert_allclose(model.history_[-1]["validation_loss"], expected, rtol=1e-5)
    assert "validation_accuracy" not in model.history_[-1]


@pytest.mark.parametrize("read_out", ["last", "mean", "max"])
def test_validation_of_long_sequences_counts_each_once(read_out, monkeypatch):
    monkeypatch.setattr("admmirnn.networks.rolling._ROWS_AT_A_TIME", 20)  # which are read in chunks
    rng = np.random.default_rng(0)
    X, y = [rng.normal(size=(n, 1)) for n in (3, 90, 7, 45, 20, 61)], np.array([0, 1, 1, 0, 1, 1])
    model = RNNClassifier(**OPTIONS, max_epochs=3, readout=read_out).fit(X, y, validation_data=(X, y))
    expected = -np.log(model.predict_proba(X)[np.arange(6), y]).mean()
    np.testing.assert_allclose(model.history_[-1]["validation_loss"], expected, rtol=1e-5)
    assert model.history_[-1]["validation_accuracy"] == model.score(X, y)


def test_validation_loss_has_no_class_weights():
    X, y = waves(100)
    model = RNNClassifier(**OPTIONS, max_epochs=1, class_weight="balanced").fit(X, y, validation_data=(X, y))
    expected = -np.log(model.predict_proba(X)[np.arange(100), y]).mean()
    np.testing.assert_allclose(model.history_[-1]["validation_loss"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((3, 4)), "validation_data is of type ndarray; pass a pair"),
        ((np.zeros((5, 12, 2)), np.zeros(5, int)), "validation_data has 2 features and X has 1"),
        ((np.zeros((5, 12, 1)), np.full(5, 7)), "in validation_data: y has the label 7, which is not among"),
        ((np.zeros((5, 12, 1)), np.tile([0, 1], (5, 6))), "one label per step; one label per sequence is expected"),
        ((np.full((5, 12, 1), np.nan), np.zeros(5, int)), "in validation_data: X contains NaN"),
    ],
)
def test_validation_data_that_do_not_fit_are_refused(data, message):
    X, y = waves(40)
    with pytest.raises((ValueError, TypeError), match=message):
        RNNClassifier(**OPTIONS).fit(X, y, validation_data=data)


# Early stopping


def test_validation_data_have_the_columns_of_X():
    pandas = pytest.importorskip("pandas")
    X, y = waves(60)
    X = pandas.DataFrame(X[:, :, 0], columns=[f"step {t}" for t in range(12)])
    model = RNNClassifier(**OPTIONS, max_epochs=1).fit(X, y, validation_data=(X, y))
    with pytest.raises(ValueError, match="validation_data has 'step 11' for its column 0"):
        model.fit(X, y, validation_data=(X[X.columns[::-1]], y))


@pytest.mark.parametrize(
    ("step", "message"), [(0, "none of the steps that it holds out"), (11, "only the steps that it holds out")]
)
def test_streams_have_targets_on_both_sides_of_the_cut(step, message):
    X, Y = series(20)
    Y = np.where(np.arange(12) == step, Y, np.nan)
    with pytest.raises(ValueError, match=message):
        RNNRegressor(**OPTIONS, stateful=True, early_stopping=True).fit(X, Y)


@SOLVERS
def test_early_stopping_keeps_the_best_weights(solver):
    X, y = waves(60, noise=1.5)
    Xv, yv = waves(200, 1, noise=1.5)
    model = RNNClassifier(32, random_state=0, solver=solver, max_epochs=200, early_stopping=True, patience=5)
    model.fit(X, y, validation_data=(Xv, yv))
    losses = [record["validation_loss"] for record in model.history_]
    assert model.status_ is Status.NO_PROGRESS
    assert model.best_epoch_ == 1 + int(np.argmin(losses))
    assert 5 < model.n_iter_ < 200
    kept = -np.log(model.predict_proba(Xv)[np.arange(200), yv]).mean()
    np.testing.assert_allclose(kept, min(losses), rtol=1e-5)


def test_early_stopping_with_a_part_of_the_training_set():
    X, y = waves(200)
    options = {"max_epochs": 6, "early_stopping": True, "validation_fraction": 0.25, "patience": 50}
    model = RNNClassifier(**OPTIONS, **options).fit(X, y)
    again = clone(model).fit(X, y)
    np.testing.assert_array_equal(model.W_, again.W_)
    assert model.n_iter_ == 6 and model.status_ is Status.ITERATION_LIMIT
    assert (model.history_[-1]["validation_accuracy"] * 50) % 1 == 0  # of 50 sequences
    other = RNNClassifier(**OPTIONS, max_epochs=6).fit(X, y)
    assert not np.array_equal(model.W_, other.W_)


def test_held_out_sequences_have_all_classes(monkeypatch):
    X, y, held_out = np.zeros((200, 5, 1)), np.repeat([0, 1, 2], [160, 20, 20]), []

    class Remembered(Validation):
        def __init__(self, sequences, labels, *others):
            super().__init__(sequences, labels, *others)
            held_out.append(labels)

    monkeypatch.setattr(pipeline, "Validation", Remembered)
    for seed in range(5):
        RNNClassifier(4, random_state=seed, max_epochs=1, early_stopping=True).fit(X, y)
    assert [np.bincount(labels).tolist() for labels in held_out] == 5 * [[16, 2, 2]]


@pytest.mark.parametrize("fraction", [0.1, 0.9])
def test_a_part_may_have_fewer_sequences_than_there_are_classes(fraction):
    X, y = waves(40)
    model = RNNClassifier(**OPTIONS, max_epochs=1, early_stopping=True, validation_fraction=fraction)
    assert model.fit(X, np.arange(40) % 5).classes_.tolist() == [0, 1, 2, 3, 4]


def test_streams_are_held_out_at_their_ends():
    rng = np.random.default_rng(0)
    X = rng.choice([-1.0, 1.0], size=(1, 4000, 1))
    y = np.zeros((1, 4000), int)
    y[:, 2:] = X[:, :-2, 0] > 0
    model = RNNClassifier(16, random_state=0, stateful=True, early_stopping=True, max_epochs=3, penalty=0.0).fit(X, y)
    assert model.history_[model.best_epoch_ - 1]["validation_accuracy"] == model.score(X[:, :], y, _last(y, 400))
    text = CharacterModel(16, random_state=0, early_stopping=True, max_epochs=3).fit(200 * "to be or not to be, ")
    assert text.best_epoch_ is not None and text.history_[-1]["validation_loss"] < 2


def _last(y, n):
    weights = np.zeros(y.shape)
    weights[:, -n:] = 1
    return weights


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"early_stopping": 1}, "early_stopping is 1"),
        ({"validation_fraction": 1.0}, "validation_fraction is 1.0"),
        ({"validation_fraction": 0.001, "early_stopping": True}, "which is 0 of 40 sequences"),
        ({"patience": 0}, "patience is 0"),
        ({"tol": -1}, "tol is -1"),
        ({"max_time": 0}, "max_time is 0"),
        ({"checkpoint_every": 0}, "checkpoint_every is 0"),
        ({"checkpoint": 3}, "checkpoint is 3 of type int; pass a str or"),
        ({"callbacks": [3]}, "cannot be called"),
    ],
)
def test_settings_out_of_range_are_refused(setting, message):
    X, y = waves(40)
    with pytest.raises((ValueError, TypeError), match=message):
        RNNClassifier(**OPTIONS, **setting).fit(X, y)


def test_partial_fit_does_not_stop_early():
    X, y = waves(40)
    with pytest.raises(ValueError, match="early_stopping is True, which has no meaning for partial_fit"):
        RNNClassifier(**OPTIONS, early_stopping=True).partial_fit(X, y, classes=[0, 1])


# Time


@SOLVERS
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # after so many epochs, on a slow machine
def test_max_time(solver):
    X, y = waves(200)
    model = RNNClassifier(**OPTIONS, solver=solver, max_epochs=10**6, max_time=0.3)
    started = time.monotonic()
    model.fit(X, y)
    assert 0.25 < time.monotonic() - started < 20
    assert model.status_ is Status.TIME_LIMIT
    assert np.isfinite(model.predict_proba(X)).all()
    assert model.n_iter_ == len(model.history_) >= 1


@pytest.fixture
def asked(monkeypatch):
    """How often a fit has asked for the time, a thousand times of which are all there is."""
    times = []

    def progress(self):
        times.append(len(times) + 1)
        return times[-1] / 1000

    monkeypatch.setattr(Limits, "progress", progress)
    return times


def test_max_time_within_streams_that_say_nothing(asked):
    X = np.random.default_rng(0).normal(size=(1, 3000, 1))
    Y = np.full((1, 3000), np.nan)
    Y[0, :50] = X[0, :50, 0]
    model = RNNRegressor(**OPTIONS, stateful=True, batch_size=1, chunk_size=2, max_epochs=1, max_time=1).fit(X, Y)
    # it asks twice per minibatch; 25 of 1500 have targets
    assert model.status_ is Status.TIME_LIMIT and len(asked) in (1000, 1001)


def test_numbers_without_end():
    X, Y = series(20)
    model = RNNRegressor(**OPTIONS, stateful=True, chunk_size=10**30, max_epochs=10**30, max_time=0.05).fit(X, Y)
    assert model.status_ is Status.TIME_LIMIT


def test_the_schedule_ends_with_the_time(asked):
    X, y = waves(200)
    model = RNNClassifier(**OPTIONS, max_epochs=10**6, max_time=1).fit(X, y)
    assert model.status_ is Status.TIME_LIMIT and len(asked) in (1000, 1001, 1002)  # once more after every epoch
    assert model.history_[-1]["r"] > 3 * model.history_[len(model.history_) // 2]["r"]


def test_a_time_that_is_not_reached_changes_nothing():
    X, y = waves(100)
    plain = RNNClassifier(**OPTIONS, max_epochs=3).fit(X, y)
    limited = RNNClassifier(**OPTIONS, max_epochs=3, max_time=3600).fit(X, y)
    np.testing.assert_array_equal(plain.W_, limited.W_)


# Ctrl-C


@SOLVERS
def test_ctrl_c_ends_the_fit_and_keeps_the_weights(solver):
    X, y = waves(200)

    def interrupt(state):
        if state.record["epoch"] == 3:
            os.kill(os.getpid(), signal.SIGINT)

    model = RNNClassifier(**OPTIONS, solver=solver, max_epochs=10**6, max_time=60, callbacks=[interrupt])
    with pytest.warns(ConvergenceWarning, match="interrupted by Ctrl-C"):
        model.fit(X, y)
    assert model.status_ is Status.INTERRUPTED
    assert 3 <= model.n_iter_ <= 4
    assert np.isfinite(model.predict_proba(X)).all()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_second_ctrl_c_aborts():
    X, y = waves(200)

    def interrupt(state):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)

    with pytest.raises(KeyboardInterrupt):
        RNNClassifier(**OPTIONS, callbacks=[interrupt]).fit(X, y)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("seconds", [0.0, 2.0])
def test_ctrl_c_twice_in_a_row_aborts_many_short_fits(seconds, monkeypatch):
    """That the second one comes in another fit does not matter, unless much time has passed."""
    X, y = waves(50)
    started, ended = time.monotonic(), []

    def interrupt(state):
        monkeypatch.setattr(time, "monotonic", lambda: started + seconds * len(ended))
        os.kill(os.getpid(), signal.SIGINT)

    def fit_twice():
        for _ in range(2):
            with pytest.warns(ConvergenceWarning, match="interrupted by Ctrl-C"):
                ended.append(RNNClassifier(**OPTIONS, callbacks=[interrupt]).fit(X, y).status_)

    if seconds:
        fit_twice()
    else:
        with pytest.raises(KeyboardInterrupt):
            fit_twice()
    assert ended == [Status.INTERRUPTED] * (2 if seconds else 1)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_users_own_stays():
    X, y = waves(50)
    calls = []
    before = signal.signal(signal.SIGINT, lambda *_: calls.append(1))
    try:
        RNNClassifier(**OPTIONS, max_epochs=2, callbacks=[lambda state: os.kill(os.getpid(), signal.SIGINT)]).fit(X, y)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(calls) == 2


def test_a_handler_that_a_callback_has_put_in_place_stays():
    X, y = waves(50)

    def handler(number, frame):
        raise AssertionError

    try:
        RNNClassifier(
            **OPTIONS, max_epochs=2, callbacks=[lambda state: signal.signal(signal.SIGINT, handler) and None]
        ).fit(X, y)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize("interrupted", [False, True])
def test_fit_in_a_callback_of_a_fit(interrupted):
    """Ctrl-C ends both; the handler is that of the outer one in between and the default one afterwards."""
    X, y = waves(50)
    inner = RNNClassifier(**OPTIONS, max_epochs=10**6 if interrupted else 2, max_time=60)
    handlers = []

    def interrupt(state):
        if interrupted and state.record["epoch"] == 3:
            os.kill(os.getpid(), signal.SIGINT)

    def fit(state):
        before = signal.getsignal(signal.SIGINT)
        inner.set_params(callbacks=[interrupt]).fit(X, y)
        handlers.append((before, signal.getsignal(signal.SIGINT)))

    outer = RNNClassifier(**OPTIONS, max_epochs=3, callbacks=[fit])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        outer.fit(X, y)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interrupted:
        assert inner.status_ is outer.status_ is Status.INTERRUPTED
        assert inner.n_iter_ <= 4 and outer.n_iter_ == 1
    else:
        assert all(before == after != signal.default_int_handler for before, after in handlers)
        assert inner.status_ is outer.status_ is Status.ITERATION_LIMIT


def test_searches_in_threads_within_a_callback_leave_the_handler():
    X, y = waves(50)
    handlers = []

    def search(state):
        before = signal.getsignal(signal.SIGINT)
        with joblib.parallel_backend("threading", n_jobs=2):
            GridSearchCV(RNNClassifier(**OPTIONS, max_epochs=2), {"penalty": [0.1, 1.0]}, cv=2, n_jobs=2).fit(X, y)
        handlers.append(before == signal.getsignal(signal.SIGINT) != signal.default_int_handler)

    RNNClassifier(**OPTIONS, max_epochs=2, callbacks=[search]).fit(X, y)
    assert handlers == [True, True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_fit_in_another_thread():
    X, y = waves(50)
    model = RNNClassifier(**OPTIONS, max_epochs=2)
    thread = threading.Thread(target=model.fit, args=(X, y))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(model.W_, clone(model).fit(X, y).W_)


# Callbacks, progress, logging


def test_callbacks_may_be_objects():
    class Recorder:
        def __init__(self):
            self.epochs = []

        def on_epoch_end(self, state):
            self.epochs.append((state.record["epoch"], state.estimator.predict(X).shape))
            return state.record["epoch"] == 2

    X, y = waves(50)
    recorder = Recorder()
    model = RNNClassifier(**OPTIONS, max_epochs=9, callbacks=[recorder]).fit(X, y)
    assert recorder.epochs == [(1, (50,)), (2, (50,))]
    assert model.status_ is Status.STOPPED


@SOLVERS
def test_what_a_callback_raises_leaves_the_weights_of_its_epoch(solver):
    X, y = waves(60)

    def stop(state):
        if state.record["epoch"] == 2:
            raise RuntimeError("enough")

    model = RNNClassifier(hidden_size=5, random_state=0, solver=solver, max_epochs=2).fit(X, y)
    model.set_params(**OPTIONS, max_epochs=5, callbacks=[stop])
    with pytest.raises(RuntimeError, match="enough"):
        model.fit(X, y)
    model.set_params(callbacks=None)
    assert len(model.history_) == model.n_iter_ == 2 and model.status_ is None
    assert model.predict(X).shape == (60,)
    if solver == "rollout":
        assert model.partial_fit(X, y).n_iter_ == 3


def test_callbacks_may_save(tmp_path):
    pytest.importorskip("safetensors")
    X, y = waves(60)
    path = tmp_path / "model"

    class Save:
        def on_epoch_end(self, state):
            saved = clone(state.estimator)
            vars(saved).update(vars(state.estimator) | {"callbacks": None})
            saved.save(path)
            loaded = RNNClassifier.load(path)
            assert loaded.n_iter_ == len(loaded.history_) == state.record["epoch"]
            np.testing.assert_array_equal(loaded.predict(X), state.estimator.predict(X))

    RNNClassifier(**OPTIONS, max_epochs=3, callbacks=[Save()]).fit(X, y)


def test_history_becomes_a_table(monkeypatch):
    X, y = waves(50)
    model = RNNClassifier(**OPTIONS, max_epochs=3).fit(X, y, validation_data=(X, y))
    assert isinstance(model.history_, list)
    table = pytest.importorskip("pandas").DataFrame(list(model.history_))
    assert table.equals(model.history_.to_frame())
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="needs pandas"):
        model.history_.to_frame()


def test_lines_of_progress_show_validation(capsys):
    X, y = waves(50)
    RNNClassifier(**OPTIONS, max_epochs=2, verbose=2).fit(X, y, validation_data=(X, y))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == "epoch roll-out loss accuracy val. loss val. accuracy seconds".split()
    assert [len(line.split()) for line in lines[1:]] == [6, 6]
    RNNRegressor(**OPTIONS, max_epochs=1, verbose=2, targets="step").fit(*series(30))
    assert capsys.readouterr().out.splitlines()[0].split() == "epoch roll-out loss seconds".split()


def test_lines_of_progress_are_written_at_once():
    """A file or pipe has them after their epoch, not when the process ends, which may be killed."""
    program = (
        "import os, numpy as np\n"
        "from admmirnn import RNNClassifier\n"
        "X = np.random.default_rng(0).normal(size=(40, 5, 1))\n"
        "die = lambda state: state.record['epoch'] == 2 and os._exit(0)\n"
        "RNNClassifier(4, callbacks=[die], verbose=2).fit(X, np.arange(40) % 2)\n"
    )
    command, environment = [sys.executable, "-c", program], os.environ | {"PYTHONUNBUFFERED": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["epoch", "1", "2"]


def test_small_losses_have_digits(capsys):
    X, _ = series(200)
    RNNRegressor(**OPTIONS, max_epochs=30, activation="identity", verbose=2).fit(X, X[:, -1, 0])
    first, *_, last = capsys.readouterr().out.splitlines()[1:]
    assert len(first.split()[1].replace(".", "").lstrip("0")) == 4
    assert 0 < float(last.split()[1]) < 1e-4


def shown_by_bar(model, capsys, *args, **kwargs):
    """What the bar has shown, one moment after the other."""
    model.set_params(verbose=1).fit(*args, **kwargs)
    return capsys.readouterr().err.strip().split("\r")


def test_bar_shows_epochs_loss_validation_and_time_left(capsys):
    X, y = waves(50)
    model = RNNClassifier(**OPTIONS, max_epochs=30)
    last = shown_by_bar(model, capsys, X, y, validation_data=(X, y))[-1]
    losses = model.history_[-1]["rollout_loss"], model.history_[-1]["validation_accuracy"]
    assert last.startswith("epoch 30/30 |") and "<00:00, " in last
    assert last.endswith("roll-out loss={:#.4g}, val. accuracy={:.4f}".format(*losses))
    assert len(last.replace(chr(0x2588), "")) < 75  # of 80 columns
    regressor = RNNRegressor(**OPTIONS, max_epochs=2, targets="step")
    last = shown_by_bar(regressor, capsys, *series(30), validation_data=series(30))[-1]
    assert "roll-out loss=" in last and "val. loss=" in last
    assert "accuracy=" in shown_by_bar(RNNClassifier(**OPTIONS, max_epochs=2), capsys, X, y)[-1]


@SOLVERS
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_bar_shows_the_time_left_of_max_time(solver, capsys):
    X, y = waves(50)
    model = RNNClassifier(**OPTIONS, solver=solver, max_epochs=10**7, max_time=0.5)
    moments = shown_by_bar(model, capsys, X, y)[1:]
    assert moments and all("<00:0" in moment for moment in moments)
    assert f"epoch {model.n_iter_}/10000000 |" in moments[-1]


def test_bar_is_full_whatever_has_ended_the_fit(capsys):
    """A notebook shows one that is not in red."""
    stop = lambda state: state.record["epoch"] == 2  # noqa: E731
    moments = shown_by_bar(RNNClassifier(**OPTIONS, max_epochs=9, callbacks=[stop]), capsys, *waves(50))
    assert moments[-1].startswith(f"epoch 2/9 |{10 * chr(0x2588)}|")


def test_the_rest_goes_to_logging(caplog, capsys):
    X, y = waves(50)
    with caplog.at_level(logging.DEBUG, "admmirnn"):
        RNNClassifier(**OPTIONS, max_epochs=2).fit(X, y)
    assert [record.name for record in caplog.records if "epoch 2" in record.message] == ["admmirnn"]
    assert capsys.readouterr() == ("", "")


def test_nothing_is_printed_by_a_library(tmp_path):
    """Without a configuration of logging, a fit that is interrupted writes no more than the warning."""
    program = (
        "import os, signal, warnings, numpy as np\n"
        "from admmirnn import RNNClassifier\n"
        "warnings.simplefilter('ignore')\n"
        "X = np.random.default_rng(0).normal(size=(40, 5, 1))\n"
        "stop = lambda state: os.kill(os.getpid(), signal.SIGINT)\n"
        "model = RNNClassifier(4, callbacks=[stop]).fit(X, np.arange(40) % 2)\n"
        "print(model.status_.name)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == ("INTERRUPTED\n", "", 0)


def long_series():
    z = np.sin(np.arange(400) / 7) + 0.1 * np.random.default_rng(0).normal(size=400)
    return [z[:-1, None]], [z[1:]]


@pytest.mark.parametrize(
    "n_sequences, settings, n_epochs",
    [
        (1, {}, 100),
        (1, {"max_epochs": 3}, 3),
        (40, {}, 34),
        (40, {"batch_size": 4}, 20),
        (3, {"stateful": True, "chunk_size": 2, "batch_size": 1}, 20),
        (3, {"solver": "algorithm1"}, 20),
        (1, {"solver": Rollout(max_iter=7)}, 7),
    ],
    ids=str,
)
def test_a_fit_has_enough_iterations(n_sequences, settings, n_epochs):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_sequences, 6, 1))
    y = X[:, :, 0] if settings.get("solver") != "algorithm1" else X[:, -1, 0]
    model = RNNRegressor(4, random_state=0, targets="auto" if y.ndim == 1 else "step", **settings).fit(X, y)
    assert model.n_iter_ == n_epochs


def test_the_end_of_one_long_series_is_held_out():
    X, y = long_series()
    model = RNNRegressor(8, max_epochs=4, early_stopping=True, random_state=0).fit(X, y)
    expected = RNNRegressor(8, max_epochs=4, random_state=0).fit([X[0][:359]], [y[0][:359]])
    np.testing.assert_allclose(
        [record["rollout_loss"] for record in model.history_],
        [record["rollout_loss"] for record in expected.history_],
        rtol=1e-2,
    )
    assert all(np.isfinite(record["validation_loss"]) for record in model.history_)


def test_one_long_series_is_learnt_with_defaults():
    X, y = long_series()
    assert RNNRegressor(16, random_state=0).fit(X, y).score(X, y) > 0.9
