"""Workers that fit one network together: their weights are those of one process that has the data of all."""

import threading

import numpy as np
import pytest
from simulated_workers import ThreadReducer, Threads, succeed_together, together, waves_of_three_frequencies

from admmirnn import CharacterModel, RNNClassifier, RNNRegressor, Rollout, Status
from admmirnn.solvers.rollout import solver
from admmirnn.solvers.rollout.guard import Guard
from admmirnn.solvers.rollout.iteration import Fit
from admmirnn.solvers.rollout.judge import Judge
from admmirnn.solvers.rollout.order import Shuffled
from admmirnn.solvers.workers import ByLetter, Unheard, WorkerError

OPTIONS = {"hidden_size": 6, "dtype": "float64", "random_state": 0, "max_epochs": 3, "batch_size": 30}
SHARDS = [(45, 45), (60, 20, 10), (50, 0, 39, 1)]


def parts(items, sizes):
    ends = np.cumsum(sizes)
    return [items[end - n : end] for n, end in zip(sizes, ends, strict=True)]


@pytest.fixture(scope="module")
def data():
    return waves_of_three_frequencies(90)


def weights_of(model):
    names = [name for name in sorted(vars(model)) if name.endswith("_") and name[0] in "UWVbcs"]
    arrays = [np.ravel(value) for name in names if isinstance(value := getattr(model, name), np.ndarray)]
    return np.concatenate([array for array in arrays if array.dtype.kind == "f"])


def fit_alone(make, sizes, X, y, **more):
    """Of one process, with the minibatches that workers with such shards have; one worker has those of a plain fit."""

    def dealt(*arguments):
        *of_order, _ = arguments
        return Shuffled(*of_order, tuple(sizes) if len(sizes) > 1 else None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(solver, "Shuffled", dealt)
        return make().fit(X, y, **more)


def fit_together(make, sizes, X, y, sample_weight=None):
    def work(reducer):
        more = {}
        if sample_weight is not None:
            more["sample_weight"] = parts(sample_weight, sizes)[reducer.rank]
        return make().fit(parts(X, sizes)[reducer.rank], parts(y, sizes)[reducer.rank], reducer=reducer, **more)

    return succeed_together(len(sizes), work)


def assert_alike(alone, together, rtol=1e-10):
    expected = weights_of(alone)
    for model in together:
        np.testing.assert_allclose(weights_of(model), expected, rtol=0, atol=rtol * np.abs(expected).max())
        np.testing.assert_array_equal(weights_of(model), weights_of(together[0]))
        assert model.history_[-1]["rollout_loss"] == pytest.approx(alone.history_[-1]["rollout_loss"], rel=rtol)
        assert model.history_[-1]["capped_steps"] == alone.history_[-1]["capped_steps"]


@pytest.mark.parametrize("sizes", SHARDS, ids=str)
def test_a_classifier(data, sizes):
    X, y, *_ = data

    def make():
        return RNNClassifier(**OPTIONS)

    alone, found = fit_alone(make, sizes, X, y), fit_together(make, sizes, X, y)
    assert_alike(alone, found)
    assert found[0].history_[-1]["training_accuracy"] == alone.history_[-1]["training_accuracy"]
    np.testing.assert_array_equal(found[-1].predict(X), alone.predict(X))


def test_both_back_ends(data, backend_name):
    X, y, *_ = data

    def make():
        return RNNClassifier(**OPTIONS | {"max_epochs": 1})

    assert_alike(fit_alone(make, (60, 30), X, y), fit_together(make, (60, 30), X, y))


@pytest.mark.parametrize("cell", ["fastgrnn", "ugrnn", "gru", "lstm"])
def test_cells(data, cell):
    X, y, *_ = data

    def make():
        return RNNClassifier(**OPTIONS, cell=cell)

    assert_alike(fit_alone(make, (60, 29, 1), X, y), fit_together(make, (60, 29, 1), X, y))


@pytest.mark.parametrize(
    "options",
    [
        {"bidirectional": True},
        {"s_0": "learn"},
        {"s_0": "learn", "cell": "lstm"},
        {"readout": "mean"},
        {"readout": "max"},
        {"hidden_size": (5, 4)},
        {"frame": (3, 2)},
        {"batch_size": 90, "max_epochs": 12},  # R takes a part of the multipliers, which the lengths choose
        {"loss": "hinge"},
        {"shuffle": False},
    ],
    ids=str,
)
def test_networks(data, options):
    X, y, *_ = data

    def make():
        return RNNClassifier(**OPTIONS | options)

    assert_alike(fit_alone(make, (60, 30), X, y), fit_together(make, (60, 30), X, y))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_label_for_each_step(data, bidirectional):
    X, y, *_ = data
    y = [np.full(len(x), label) for x, label in zip(X, y, strict=True)]

    def make():
        return RNNClassifier(**OPTIONS, bidirectional=bidirectional)

    assert_alike(fit_alone(make, (60, 30), X, y), fit_together(make, (60, 30), X, y))


@pytest.mark.parametrize("options", [{}, {"s_0": "learn"}, {"class_weight": {1: 2.5}}, {"class_weight": "balanced"}])
def test_weights(data, options):
    X, y, *_ = data

    def make():
        return RNNClassifier(**OPTIONS, **options)

    sample_weight = np.arange(90) % 3 + 0.5
    sample_weight[::7] = 0
    alone = fit_alone(make, (52, 25), X=X, y=y, sample_weight=sample_weight)
    # sequences of no weight are left out before minibatches are made
    assert_alike(alone, fit_together(make, (61, 29), X, y, sample_weight))


@pytest.mark.parametrize("loss", ["squared_error", "huber", "quantile"])
def test_a_regressor(data, loss):
    X, _, y, _ = data

    def make():
        return RNNRegressor(**OPTIONS, loss=loss)

    alone, found = fit_alone(make, (60, 0, 30), X, y), fit_together(make, (60, 0, 30), X, y)
    assert_alike(alone, found)
    np.testing.assert_allclose(found[1].target_mean_, alone.target_mean_, rtol=1e-12)
    np.testing.assert_allclose(found[1].predict(X[:9]), alone.predict(X[:9]), rtol=1e-9)


def test_several_labels(data):
    X, y, *_ = data
    Y = np.stack([y == 0, y > 0], axis=1).astype(int)

    def make():
        return RNNClassifier(**OPTIONS, loss="sigmoid_cross_entropy")

    assert_alike(fit_alone(make, (60, 30), X, Y), fit_together(make, (60, 30), X, Y))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # two of them roll back
@pytest.mark.parametrize("options", [{}, {"batch_size": 7}, {"s_0": "learn"}], ids=str)
def test_streams(data, options):
    X, *_, y = data

    def make():
        return RNNRegressor(**OPTIONS | {"batch_size": "auto"} | options, stateful=True, chunk_size=4)

    assert_alike(make().fit(X, y), fit_together(make, (80, 0, 10), X, y))


def test_a_text():
    texts = ["to be, or not to be" * 20, "whether tis nobler in the mind" * 9, "the slings and arrows" * 15]
    options = {"hidden_size": 8, "dtype": "float64", "random_state": 0, "max_epochs": 2}
    alone = CharacterModel(**options).fit(texts)
    of_ranks = [texts[:1], [], texts[1:]]
    found = succeed_together(3, lambda reducer: CharacterModel(**options).fit(of_ranks[reducer.rank], reducer=reducer))
    assert_alike(alone, found)
    assert found[1].vocabulary_ == alone.vocabulary_
    np.testing.assert_array_equal(found[1].counts_, alone.counts_)


def test_shards_sorted_by_label(data):
    X, y, *_ = data
    order = np.argsort(y, kind="stable")
    X, y = [X[i] for i in order], np.array(["one", "other", "third"])[y[order]]
    sizes = tuple(np.unique(y, return_counts=True)[1])

    def make():
        return RNNClassifier(**OPTIONS)

    found = fit_together(make, sizes, X, y)
    assert_alike(fit_alone(make, sizes, X, y), found)
    assert found[2].classes_.tolist() == ["one", "other", "third"]


def test_one_sum_per_iteration(data):
    X, y, *_ = data
    threads = {}

    def work(reducer):
        threads[reducer.rank] = reducer._threads
        half = slice(reducer.rank, None, 2)
        return RNNClassifier(**OPTIONS).fit(X[half], y[half], reducer=reducer)

    succeed_together(2, work)
    assert threads[0].n_sums == 3 * 3  # 90 sequences, 30 in a minibatch


def test_dropout_and_early_stopping_are_the_same_every_time(data):
    X, y, *_ = data

    def make():
        return RNNClassifier(**OPTIONS | {"max_epochs": 15, "patience": 2}, dropout=0.2, early_stopping=True)

    first, second = (fit_together(make, (60, 29, 1), X, y) for _ in range(2))
    np.testing.assert_array_equal(weights_of(first[0]), weights_of(second[2]))
    assert first[0].n_iter_ == first[1].n_iter_
    assert first[0].best_epoch_ == first[2].best_epoch_
    assert first[0].history_[-1]["validation_loss"] == first[1].history_[-1]["validation_loss"]


def test_validation_data_of_some(data):
    X, y, *_ = data

    def work(reducer):
        apart = [(X[:20], y[:20]), (X[20:50], y[20:50]), None][reducer.rank]
        own = slice(reducer.rank, None, 3)
        return RNNClassifier(**OPTIONS).fit(X[own], y[own], validation_data=apart, reducer=reducer)

    found = succeed_together(3, work)
    outputs = found[0].predict_proba(X[:50])
    expected = -np.log(outputs[np.arange(50), y[:50]]).mean()
    for model in found:
        assert model.history_[-1]["validation_loss"] == pytest.approx(expected, rel=1e-6)
        assert model.history_[-1]["validation_accuracy"] == pytest.approx(found[0].score(X[:50], y[:50]))


# What ends a fit, or makes it fail, does so on all


def fit_of(data, **options):
    X, y, *_ = data

    def work(reducer):
        own = slice(reducer.rank, None, 2)
        more = {name: value[reducer.rank] for name, value in options.items()}
        labels = more.pop("y", y[own])
        return RNNClassifier(**OPTIONS | more).fit(X[own], labels, reducer=reducer)

    return together(2, work)


def test_an_error_of_one_is_told_to_the_others(data):
    first, second = fit_of(data, y=(data[1][::2], data[1][1:-1:2]))
    assert isinstance(first, WorkerError)
    assert isinstance(second, ValueError)
    assert "rank 1 has failed: ValueError: Found input variables with inconsistent" in str(first)


@pytest.mark.parametrize("after", ["sweep_backward", "fold"])
@pytest.mark.parametrize("iteration", [2, 3, 9])  # 3 and 9 are the last ones of their epochs
def test_an_error_within_an_iteration(data, monkeypatch, after, iteration):
    of_class = getattr(Fit, after)

    def failing(self):
        of_class(self)
        if self.iteration == iteration and self.reducer.rank == 0:
            raise MemoryError("there is no room")

    monkeypatch.setattr(Fit, after, failing)
    first, second = fit_of(data)
    assert isinstance(first, MemoryError)
    assert str(second) == "rank 0 has failed: MemoryError: there is no room"


@pytest.mark.parametrize(
    "of_class, name, calls",
    [
        (Shuffled, "_minibatches", 1),
        (Shuffled, "_minibatches", 2),
        (Fit, "__init__", 1),
        (Judge, "after_sweeps", 2),
        (Judge, "after_sweeps", 3),  # the last one of the epoch
        (Fit, "check_last_update", 1),
        (Fit, "stay_alike", 1),
        (Guard, "roll_back", 1),
    ],
)
def test_an_error_anywhere_in_a_fit(data, monkeypatch, of_class, name, calls):
    """Wherever one worker fails, even if it should never be there alone: nobody waits for what does not come."""
    function, n_calls = getattr(of_class, name), []

    def failing(*arguments, **options):
        found = function(*arguments, **options)
        if threading.current_thread().name == "worker 1":
            n_calls.append(1)
            if len(n_calls) == calls:
                raise MemoryError("there is no room")
        return found

    monkeypatch.setattr(of_class, name, failing)
    solver = Rollout(radius=None, output_radius=None, r=1e-9) if of_class is Guard else "rollout"
    first, second = fit_of(data, solver=(solver, solver))
    assert isinstance(second, MemoryError)
    assert str(first) == "rank 1 has failed: MemoryError: there is no room"


def test_an_error_of_a_callback(data):
    def fail(state):
        raise KeyError("callback")

    first, second = fit_of(data, callbacks=([fail], None))
    assert isinstance(first, KeyError)
    assert isinstance(second, WorkerError)


def test_callbacks_are_those_of_the_first(data):
    def stop(state):
        return state.record["epoch"] == 2

    for model in fit_of(data, callbacks=([stop], None)):
        assert model.n_iter_ == 2
        assert model.status_ is Status.STOPPED
    assert [model.n_iter_ for model in fit_of(data, callbacks=(None, [stop]))] == [3, 3]


def test_time_ends_all_of_them_at_once(data):
    found = fit_of(data, max_epochs=(10**6, 10**6), max_time=(30.0, 0.3))
    assert [model.status_ for model in found] == [Status.TIME_LIMIT] * 2
    np.testing.assert_array_equal(weights_of(found[0]), weights_of(found[1]))
    assert found[0].n_iter_ == found[1].n_iter_


def test_parameters_must_be_the_same(data):
    for error in fit_of(data, hidden_size=(6, 7)):
        with pytest.raises(ValueError, match="hidden_size is . on rank . and . on rank .; pass the same"):
            raise error


def test_nothing_on_any_rank():
    for error in together(2, lambda reducer: RNNClassifier(**OPTIONS).fit([], [], reducer=reducer)):
        with pytest.raises(ValueError, match="empty on all ranks"):
            raise error


def test_columns_must_be_the_same(data):
    X, y, *_ = data
    wide = [x[:, [0, 1, 1]] for x in X]
    for error in together(
        2, lambda reducer: RNNClassifier(**OPTIONS).fit(wide if reducer.rank else X, y, reducer=reducer)
    ):
        with pytest.raises(ValueError, match="X has . features"):
            raise error


def test_algorithm1_works_alone(data):
    for error in fit_of(data, solver=("algorithm1",) * 2, batch_size=("auto",) * 2):
        with pytest.raises(ValueError, match="Algorithm1 works in one process"):
            raise error


@pytest.mark.parametrize("reducer", [3, "MPI", object()])
def test_what_is_no_reducer(data, reducer):
    with pytest.raises(TypeError, match="MPIReducer"):
        RNNClassifier().fit(data[0], data[1], reducer=reducer)


def test_one_worker_is_a_process_alone(data):
    X, y, *_ = data
    alone = RNNClassifier(**OPTIONS).fit(X, y)
    found = RNNClassifier(**OPTIONS).fit(X, y, reducer=ThreadReducer(Threads(1), 0))
    np.testing.assert_array_equal(weights_of(found), weights_of(alone))


def test_a_checkpoint_of_all(data, tmp_path):
    pytest.importorskip("safetensors")
    X, y, *_ = data
    path = tmp_path / "fit.safetensors"

    class End(Exception):
        pass

    def end(state):
        if state.record["epoch"] == 4:
            raise End

    def fit(sizes, *, resume=False, **options):
        def work(reducer):
            own, labels = (parts(items, sizes)[reducer.rank] for items in (X, y))
            more = {name: value[reducer.rank] for name, value in options.items()}
            return RNNClassifier(**OPTIONS | {"max_epochs": 6}, dropout=0.1, **more).fit(
                own, labels, resume=resume, reducer=reducer
            )

        return together(len(sizes), work)

    whole = fit((60, 30))
    first, second = fit((60, 30), checkpoint=(path, None), callbacks=([end], None))
    assert isinstance(first, End)
    assert isinstance(second, WorkerError)
    refused = fit((60, 20, 10), checkpoint=(path,) * 3, resume=True)
    assert "by 2 rank(s), and there are 3 now" in str(refused[0])
    assert all(isinstance(error, WorkerError) for error in refused[1:])
    for model in fit((60, 30), checkpoint=(path,) * 2, resume=True):
        np.testing.assert_array_equal(weights_of(model), weights_of(whole[0]))
    others = fit((30, 60), checkpoint=(path,) * 2, resume=True)
    assert "fit to other data" in str(others[0])


def test_states_of_streams_are_in_no_checkpoint(data, tmp_path):
    X, *_, y = data

    def work(reducer):
        options = OPTIONS | {"stateful": True, "checkpoint": tmp_path / "fit"}
        return RNNRegressor(**options).fit(X[reducer.rank :: 2], y[reducer.rank :: 2], reducer=reducer)

    for error in together(2, work):
        with pytest.raises(ValueError, match="does not hold the states of streams on several"):
            raise error


def test_minibatches_are_dealt_from_shards_evenly():
    shards = (17, 0, 5, 1)
    order = Shuffled(None, range(5), 4, True, np.random.RandomState(0), shards)
    first = np.cumsum((0, *shards))
    for _ in range(2):
        batches = list(order.epoch())
        assert sorted(np.concatenate(batches)) == list(range(23))
        assert {len(batch) for batch in batches} == {3, 4}
        for n, start in zip(shards, first, strict=False):
            of_shard = [int(((batch >= start) & (batch < start + n)).sum()) for batch in batches]
            assert max(of_shard) - min(of_shard) <= 1
    assert order.most_sequences == 1


@pytest.mark.parametrize("standardize", ["auto", True])
def test_features_are_standardised_by_those_of_all(data, standardize):
    X, y, *_ = data
    X = [x * [1.0, 30.0] + [0.0, 200.0] for x in X]

    def make():
        return RNNClassifier(**OPTIONS, standardize=standardize)

    alone, found = fit_alone(make, (60, 0, 30), X, y), fit_together(make, (60, 0, 30), X, y)
    assert_alike(alone, found)
    for model in found:
        np.testing.assert_allclose(model.feature_mean_, alone.feature_mean_, rtol=1e-12)
        np.testing.assert_allclose(model.feature_scale_, alone.feature_scale_, rtol=1e-12)


@pytest.mark.parametrize("missing", ["forward", "indicator"])
def test_missing_observations_are_filled_in_with_means_of_all(data, missing):
    X, y, *_ = data
    X = [x.copy() for x in X]
    for i, x in enumerate(X):
        x[: i % 4, 0] = np.nan
        if i < 40:
            x[:, 1] = np.nan  # everywhere on the first worker
    sizes = (40, 0, 50)

    def make():
        return RNNClassifier(**OPTIONS | {"max_epochs": 2}, missing=missing, standardize=True)

    alone, found = fit_alone(make, sizes, X, y), fit_together(make, sizes, X, y)
    assert_alike(alone, found, rtol=1e-9)
    for model in found:
        np.testing.assert_allclose(model.fill_values_, alone.fill_values_, rtol=1e-13)


def test_a_feature_that_is_missing_on_all_workers(data):
    X, y, *_ = data
    X = [x * [1.0, np.nan] for x in X]

    def work(reducer):
        return RNNClassifier(**OPTIONS, missing="forward").fit(
            X[reducer.rank :: 2], y[reducer.rank :: 2], reducer=reducer
        )

    for error in together(2, work):
        with pytest.raises((ValueError, WorkerError), match="X has no value of feature 1"):
            raise error


@pytest.mark.parametrize("size", [1e308, 1e-300])
def test_weights_of_any_size(data, size):
    X, labels, y, _ = data
    weights = size * np.where(labels == 0, 1.0, 0.5)
    for make, targets in (
        (lambda: RNNRegressor(**OPTIONS | {"max_epochs": 1}), y),
        (lambda: RNNClassifier(**OPTIONS | {"max_epochs": 1}, class_weight="balanced"), labels),
    ):
        usual = fit_together(make, (60, 30), X, targets, sample_weight=weights / size)
        found = fit_together(make, (60, 30), X, targets, sample_weight=weights)
        np.testing.assert_allclose(weights_of(found[0]), weights_of(usual[0]), rtol=1e-9)


def test_what_is_held_out_is_drawn_from_all(data):
    """Workers that have too few sequences each to hold one out do so together."""
    X, y, *_ = data
    sizes = (3,) * 8

    def make(**more):
        return RNNClassifier(**OPTIONS, early_stopping=True, **more)

    found = fit_together(make, sizes, X[:24], y[:24])
    for model in found:
        assert model.history_ == [record | {"seconds": own["seconds"]} for record, own in zip(
            found[0].history_, model.history_, strict=True
        )]  # fmt: skip
        assert "validation_loss" in model.history_[-1]
    for error in together(2, lambda reducer: make(validation_fraction=0.01).fit(X[:20], y[:20], reducer=reducer)):
        with pytest.raises((ValueError, WorkerError), match="is 0 of 40 sequences"):
            raise error


def test_ends_of_series_are_held_out_where_there_are_too_few(data):
    """One long series on each of two workers: their ends are apart, as those of two series of one process."""
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(60, 2)) for _ in range(2)]
    y = [x.cumsum(axis=0)[:, 0] for x in X]

    def make():
        return RNNRegressor(**OPTIONS, early_stopping=True, targets="step")

    alone, found = fit_alone(make, (1, 1), X, y), fit_together(make, (1, 1), X, y)
    assert_alike(alone, found)
    for model in found:
        assert model.history_[-1]["validation_loss"] == pytest.approx(alone.history_[-1]["validation_loss"], rel=1e-9)


def test_the_model_of_scaling_is_that_of_an_allreduce():
    from bench.scaling import modelled

    found = {"alone": 1e-2, "bytes": 1e6}
    assert modelled(1, found, 1e-6, 1e-9) == 1e-2
    assert modelled(2, found, 1e-6, 1e-9) == pytest.approx(1e-2 + 2e-6 + 1e-3)
    assert modelled(1024, found, 1e-6, 1e-9) == pytest.approx(1e-2 + 2e-5 + 2 * 1023 / 1024 * 1e-3)


def test_a_worker_by_letter_hears_its_answers_in_their_order():
    worker = ByLetter(1, 2, [["a", "b"], ["c", "d"]])
    assert [worker.gather("b"), worker.gather("d")] == [["a", "b"], ["c", "d"]]
    with pytest.raises(Unheard):
        worker.gather("e")
    with pytest.raises(NotImplementedError, match="one by one"):
        worker.sum([np.zeros(2)])
