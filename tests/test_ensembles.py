"""Several networks of one estimator: in every path, what is predicted is the mean of what each predicts."""

import copy
import json
import pickle
import threading

import numpy as np
import pytest
from expected_failures import DEPENDS_ON_NUMBER, IN_FLOAT32
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

import admmirnn
from admmirnn import CharacterModel, RNNClassifier, RNNRegressor, Status, plotting
from admmirnn.streaming import StreamState

SETTINGS = {"hidden_size": 4, "max_epochs": 2, "n_networks": 3, "random_state": 0}


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(length, 2)) for length in rng.integers(4, 9, 40)]


def classifier(**settings):
    return RNNClassifier(**{**SETTINGS, **settings})


def regressor(**settings):
    return RNNRegressor(**{**SETTINGS, **settings})


def labels(X, n_classes=3):
    return np.array(["a", "b", "c"])[np.digitize([x[-1, 0] for x in X], [-0.5, 0.5][: n_classes - 1])]


def mean_of(model, method, X):
    return np.mean([getattr(one, method)(X) for one in model.estimators_], axis=0)


def in_rows(values):
    return np.concatenate([np.atleast_1d(value) for value in values])


# what is predicted


def test_probabilities_are_the_means_of_those_of_networks_with_other_weights(X):
    y = labels(X)
    model = classifier().fit(X, y)
    p = mean_of(model, "predict_proba", X)
    assert len(model.estimators_) == 3 and not hasattr(model, "U_")
    assert not np.allclose(model.estimators_[0].W_, model.estimators_[1].W_)
    np.testing.assert_allclose(model.predict_proba(X), p, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(p), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(softmax(model.decision_function(X), axis=1), p, rtol=1e-5, atol=1e-7)
    assert (model.predict(X) == model.classes_[p.argmax(axis=1)]).all()
    assert model.score(X, y) == np.mean(model.predict(X) == y)


def test_of_two_classes_there_is_one_decision(X):
    model = classifier().fit(X, labels(X, 2))
    p = mean_of(model, "predict_proba", X)
    np.testing.assert_allclose(expit(model.decision_function(X)), p[:, 1], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(model.predict_proba(X), p, rtol=1e-5, atol=1e-7)


def test_several_labels_and_losses_without_probabilities(X):
    y = np.array([[x[-1, 0] > 0, x[0, 1] > 0, True] for x in X], int)
    model = classifier(loss="sigmoid_cross_entropy").fit(X, y)
    p = mean_of(model, "predict_proba", X)
    np.testing.assert_allclose(model.predict_proba(X), p, rtol=1e-5, atol=1e-6)
    assert (model.predict(X) == (p > 0.5)).all() and 0 <= model.score(X, y) <= 1
    model = classifier(loss="hinge").fit(X, labels(X))
    outputs = mean_of(model, "decision_function", X)
    np.testing.assert_allclose(model.decision_function(X), outputs, rtol=1e-4, atol=1e-6)
    assert (model.predict(X) == model.classes_[outputs.argmax(axis=1)]).all()


@pytest.mark.parametrize("kind", ["value", "values", "step values"])
def test_values_are_means_and_their_spread_the_deviation(X, kind):
    of_one = {"value": np.sum, "values": lambda x: x[-1], "step values": lambda x: x.cumsum(axis=0)}[kind]
    y = [of_one(x) for x in X]
    model = regressor(targets="step" if kind == "step values" else "auto").fit(X, y)
    each = [in_rows(one.predict(X)) for one in model.estimators_]
    np.testing.assert_allclose(in_rows(model.predict(X)), np.mean(each, axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(in_rows(model.spread(X)), np.std(each, axis=0), rtol=1e-3, atol=1e-5)
    assert len(model.spread(X)) == len(X) and model.score(X, y) <= 1


def test_the_spread_of_labels_is_that_of_probabilities(X):
    model = classifier().fit(X, labels(X))
    expected = np.std([one.predict_proba(X) for one in model.estimators_], axis=0)
    np.testing.assert_allclose(model.spread(X), expected, rtol=1e-4, atol=1e-6)
    one = classifier(n_networks=1).fit(X, labels(X))
    with pytest.raises(ValueError, match="one network, which has no spread; fit with n_networks=8"):
        one.spread(X)
    assert not hasattr(CharacterModel(), "spread")


def test_networks_can_be_had_on_more_threads_and_are_the_same(X):
    y = labels(X)
    one, several = (classifier(n_threads=n).fit(X, y) for n in (1, 3))
    np.testing.assert_array_equal(one.predict_proba(X), several.set_params(n_threads=1).predict_proba(X))
    names = []
    classifier(n_threads=2, callbacks=[lambda state: names.append(threading.current_thread().name)]).fit(X, y)
    assert len(names) == 6 and threading.main_thread().name not in names


def test_one_network_is_what_it_was(X):
    y = labels(X)
    np.testing.assert_array_equal(
        classifier(n_networks=1).fit(X, y).predict_proba(X),
        RNNClassifier(4, max_epochs=2, random_state=0).fit(X, y).predict_proba(X),
    )


# fits


def test_networks_hold_out_the_same_sequences_and_read_features_alike(X):
    y = labels(X)
    model = classifier(early_stopping=True, validation_fraction=0.3, max_epochs=4).fit([100 + 9 * x for x in X], y)
    first, *others = model.estimators_
    for other in others:
        np.testing.assert_array_equal(other.feature_mean_, first.feature_mean_)
    assert {"validation_loss", "rollout_loss"} <= model.history_[0].keys() and model.best_epoch_ is None
    assert [one.best_epoch_ >= 1 for one in model.estimators_] == [True] * 3
    losses = [one.history_[0]["validation_loss"] for one in model.estimators_]
    np.testing.assert_allclose(model.history_[0]["validation_loss"], np.mean(losses))
    assert [record["epoch"] for record in model.history_] == list(range(1, model.n_iter_ + 1))


def test_partial_fit_trains_all_on_and_a_failure_none(X):
    y = labels(X)
    model = classifier().partial_fit(X, y, classes=["a", "b", "c"])
    before = copy.deepcopy(model)
    model.partial_fit(X, y)
    for one, earlier in zip(model.estimators_, before.estimators_, strict=True):
        assert not np.array_equal(one.W_, earlier.W_) and len(one.history_) == 2
    assert [record["epoch"] for record in model.history_] == [1, 2]

    def fails(state):
        if state.estimator.random_state == model.estimators_[1].random_state:
            raise RuntimeError("in the second one")

    kept = [one.W_.copy() for one in model.estimators_]
    with pytest.raises(RuntimeError, match="in the second one"):
        model.set_params(callbacks=[fails]).partial_fit(X, y)
    for one, W in zip(model.estimators_, kept, strict=True):
        np.testing.assert_array_equal(one.W_, W)
    with pytest.raises(ValueError, match="n_networks is 2, and 3 were trained; pass n_networks=3, or call fit"):
        model.set_params(callbacks=None, n_networks=2).partial_fit(X, y)


def test_the_history_of_many_calls_has_the_latest_of_all_networks(X):
    y = labels(X)
    model = classifier().partial_fit(X, y, classes=["a", "b", "c"])
    for history in (model.history_, *(one.history_ for one in model.estimators_)):
        history.most = 2
    for _ in range(4):
        model.partial_fit(X, y)
    for history in (model.history_, *(one.history_ for one in model.estimators_)):
        assert [record["epoch"] for record in history] == [4, 5]
    losses = [one.history_[-1]["rollout_loss"] for one in model.estimators_]
    np.testing.assert_allclose(model.history_[-1]["rollout_loss"], np.mean(losses))


def test_streams_of_partial_fit_go_on_in_all_networks():
    x = np.sin(0.3 * np.arange(200))[:, None]
    model = regressor(stateful=True, targets="step", chunk_size=20)
    for part in np.split(x, 4):
        model.partial_fit([part[:-1]], [part[1:]])
    assert all(one._memory.states is not None for one in model.estimators_)
    model.reset_states()
    assert all(one._memory.states is None for one in model.estimators_)


def test_a_fit_of_other_networks_replaces_them(X):
    y = labels(X)
    model = classifier().fit(X, y)
    model.set_params(n_networks=1).fit(X, y)
    assert hasattr(model, "U_") and not hasattr(model, "estimators_")
    model.set_params(n_networks=2).fit(X, y)
    assert not hasattr(model, "U_") and len(model.estimators_) == 2


@pytest.mark.parametrize("n_threads", [1, 2])
def test_an_exception_leaves_the_networks_that_have_been_trained(X, n_threads):
    def fails(state):
        if state.record["epoch"] == 2:
            raise RuntimeError("enough")

    model = classifier(callbacks=[fails], n_threads=n_threads)
    with pytest.raises(RuntimeError, match="enough"):
        model.fit(X, labels(X))
    assert 1 <= len(model.estimators_) <= 2 and model.status_detail_.startswith("ended by RuntimeError")
    assert len(model.predict(X)) == len(X)


def test_an_interruption_leaves_out_networks_that_have_not_begun(X):
    def interrupts(state):
        import signal

        signal.raise_signal(signal.SIGINT)

    model = classifier(callbacks=[interrupts], max_epochs=50)
    with pytest.warns(ConvergenceWarning, match=r"interrupted by Ctrl-C.*, of 1 network\(s\)"):
        model.fit(X, labels(X))
    assert len(model.estimators_) == 1 and model.status_ is Status.INTERRUPTED


def test_the_time_is_shared(X):
    model = classifier(max_time=0.3, max_epochs=10**6).fit(X, labels(X))
    assert model.status_ is Status.TIME_LIMIT and len(model.estimators_) == 3
    assert model.history_[-1]["epoch"] == model.n_iter_


def test_what_does_not_go_together_is_refused(X, tmp_path):
    class Two:
        size, rank = 2, 0

        def allreduce(self, array):
            raise AssertionError

        def gather(self, value):
            return [value, value]

    y = labels(X)
    with pytest.raises(ValueError, match="checkpoint is .* and n_networks is 3.*pass checkpoint=None"):
        classifier(checkpoint=tmp_path / "fit").fit(X, y)
    with pytest.raises(ValueError, match="n_networks is 0"):
        classifier(n_networks=0).fit(X, y)
    with pytest.raises(NotFittedError):
        classifier().predict(X)
    model = classifier().fit(X, y)
    with pytest.raises(ValueError, match="3 networks, and a C source has one; export one of estimator.estimators_"):
        model.to_c(tmp_path / "model.c")
    for draw in (lambda: plotting.plot_eigenvalues(model), lambda: plotting.plot_states(model, X[0])):
        with pytest.raises(ValueError, match="3 networks, each with .*pass one of estimator.estimators_"):
            draw()


# other paths


@pytest.mark.parametrize(
    "settings", [{}, {"readout": "mean"}, {"frame": (3, 1)}, {"cell": "lstm", "hidden_size": (4, 3)}]
)
def test_streams_say_what_is_predicted(X, settings):
    model = classifier(**settings).fit(X, labels(X))
    stream = model.stream()
    for x in X[0]:
        p = stream(x)
    np.testing.assert_allclose(p, model.predict_proba(X[:1])[0], rtol=1e-4, atol=1e-6)
    assert stream.labels(p) == model.predict(X[:1])[0] and stream.predict(X[0][-1]) in model.classes_
    state = StreamState.from_dict(json.loads(json.dumps(stream.state.to_dict())))
    expected = stream(X[1][0])
    again = pickle.loads(pickle.dumps(stream))
    again.state = state
    np.testing.assert_array_equal(again(X[1][0]), expected)
    output, after = model.step(X[1][0], state)
    np.testing.assert_array_equal(output, expected)
    again.reset()
    np.testing.assert_allclose(again.read(X[0])[-1], model.predict_proba(X[:1])[0], rtol=1e-4, atol=1e-6)


def test_streams_of_all_networks_move_together_or_not_at_all(X):
    y = [x.cumsum(axis=0) for x in X]
    model = regressor(targets="step", missing="forward", cell="elman", activation="relu").fit(X, y)
    stream = model.stream(2)
    last = model.estimators_[2]  # which overflows in the third step, after the others have read
    last.U_[:], last.W_[:], last.b_[:] = 1, 1e30, 10
    broken, x = model.stream(2), np.full((2, 2), 0.5)
    with pytest.raises(ValueError, match="not finite"):
        broken.read(np.repeat(x[:, None], 3, axis=1))
    np.testing.assert_array_equal(broken.state.states, 0)
    broken(x), broken(x)
    before = broken.state
    with pytest.raises(ValueError, match="not finite"):
        broken(x)
    np.testing.assert_array_equal(broken.state.states, before.states)
    with pytest.raises(ValueError, match="infinity"):
        stream(np.full((2, 2), np.inf))
    before = stream.state
    stream(np.full((2, 2), np.nan))  # the last ones are carried on
    assert (stream.state.n_read == 1).all() and (stream.state.last == before.last).all()


def test_forecasts_read_the_mean_of_all_networks():
    waves = np.sin(0.3 * np.arange(40) + np.arange(30)[:, None])
    model = regressor(targets="step", max_epochs=3).fit(waves[:, :-1], waves[:, 1:])
    found = model.forecast(waves[0], 3)
    series = waves[0]
    for h in range(3):
        value = np.mean([in_rows(one.predict([series[:, None]]))[-1] for one in model.estimators_])
        np.testing.assert_allclose(found[h], value, rtol=1e-4, atol=1e-5)
        series = np.append(series, value)
    assert model.forecast(waves[:2], 3, quantiles=(0.1, 0.9), random_state=0).shape == (2, 3, 2)


def test_copies_pickles_files_and_clones_have_all_networks(X, tmp_path):
    y = labels(X)
    model = classifier(missing="forward").fit(X, y)
    expected = model.predict_proba(X)
    pytest.importorskip("safetensors")
    model.save(tmp_path / "model")
    loaded = admmirnn.load(tmp_path / "model")
    for other in (
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        loaded,
        RNNClassifier.load(tmp_path / "model"),
    ):
        np.testing.assert_array_equal(other.predict_proba(X), expected)
        assert list(other.history_) == list(model.history_) and other.status_ is model.status_
        assert [one.random_state for one in other.estimators_] == [one.random_state for one in model.estimators_]
        np.testing.assert_array_equal(other.estimators_[1].predict_proba(X), model.estimators_[1].predict_proba(X))
    loaded.partial_fit(X, y)
    assert len(loaded.estimators_) == 3 and clone(model).n_networks == 3


def test_pruned_networks_predict_the_same(X, tmp_path):
    y = labels(X)
    model = classifier(cell="elman").fit(X, y)
    for i, one in enumerate(model.estimators_):
        one.V_[:, : i + 1] = one.W_[:, : i + 1] = 0
    pruned = model.prune()
    assert [one.hidden_size for one in pruned.estimators_] == [3, 2, 1]
    np.testing.assert_allclose(pruned.predict_proba(X), model.predict_proba(X), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(pruned.stream().read(X[0])[-1], model.predict_proba(X[:1])[0], rtol=1e-4, atol=1e-6)
    pytest.importorskip("safetensors")
    pruned.save(tmp_path / "model")
    np.testing.assert_array_equal(admmirnn.load(tmp_path / "model").predict_proba(X), pruned.predict_proba(X))


@pytest.mark.parametrize("kind", ["label", "labels", "step labels", "value", "hinge"])
def test_exports_say_what_is_predicted(X, kind, tmp_path):
    torch, onnxruntime = pytest.importorskip("torch"), pytest.importorskip("onnxruntime")
    if kind == "value":
        model = regressor().fit([50 + 9 * x for x in X], [x.sum() for x in X])
    elif kind == "labels":
        model = classifier(loss="sigmoid_cross_entropy").fit(X, [[x[-1, 0] > 0, x[0, 1] > 0] for x in X])
    elif kind == "step labels":
        model = classifier().fit(X, [(x[:, 0] > 0).astype(int) for x in X])
    else:
        model = classifier(cell="lstm", loss="hinge" if kind == "hinge" else "cross_entropy").fit(X, labels(X))
    lengths = np.array([len(x) for x in X])
    padded = np.zeros((len(X), lengths.max(), 2), np.float32)
    for row, x in zip(padded, X, strict=True):
        row[: len(x)] = x
    with torch.no_grad():
        of_torch = model.to_torch()(torch.from_numpy(padded), lengths.tolist()).numpy()
    expected, _ = model._outputs(X)
    if kind == "value":
        expected = model._values(expected)
    if kind == "step labels":
        assert (of_torch[0, lengths[0] :] == 0).all()
        of_torch = np.concatenate([row[:length] for row, length in zip(of_torch, lengths, strict=True)])
    np.testing.assert_allclose(of_torch, expected, rtol=1e-3, atol=1e-4)
    model.to_onnx(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(None, {"X": padded, "lengths": lengths}), strict=True))
    of_onnx = found["outputs"]
    if kind == "step labels":
        of_onnx = np.concatenate([row[:length] for row, length in zip(of_onnx, lengths, strict=True)])
    np.testing.assert_allclose(of_onnx, expected, rtol=1e-3, atol=1e-4)
    if kind in ("label", "labels"):
        np.testing.assert_allclose(found["probabilities"], model.predict_proba(X), rtol=1e-3, atol=1e-5)
        assert (found["label"] == model.predict(X)).all()
    with pytest.raises(ValueError, match="there are 3 networks, each of which would carry its own; pass states=False"):
        model.to_onnx(tmp_path / "model.onnx", states=True)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:The number of unique classes:UserWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@pytest.mark.slow
@parametrize_with_checks(
    [RNNClassifier(4, n_networks=2), RNNRegressor(4, n_networks=2)],
    expected_failed_checks=lambda _: (
        IN_FLOAT32
        | {
            "check_sample_weight_equivalence_on_dense_data": DEPENDS_ON_NUMBER,
            "check_regressors_train": "two small networks for R^2 > 0.5",
        }
    ),
)
def test_scikit_learn_check(estimator, check):
    check(estimator)
