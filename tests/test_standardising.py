"""Features in their own units: standardised inside, in every way that observations reach a network."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from admmirnn import Algorithm1, RNNClassifier, RNNRegressor, Rollout, load
from admmirnn.data.sequences import Sequences
from admmirnn.data.standardising import moments, standard_of
from admmirnn.losses import SoftmaxCrossEntropy
from admmirnn.preprocessing import SequenceScaler

QUICK = {"hidden_size": 6, "max_epochs": 2, "random_state": 0}
UNITS = np.array([1.0, 1000.0, 1e-4, 0.0]), np.array([300.0, 1e5, 0.0, 7.0])  # the last one is constant


def sensors(n_sequences=40, dtype=np.float64, seed=0):
    """Sequences of unequal lengths in the units of sensors, and classes."""
    rng = np.random.default_rng(seed)
    X = [rng.normal(size=(n, 4)) * UNITS[0] + UNITS[1] for n in rng.integers(5, 12, n_sequences)]
    return [x.astype(dtype) for x in X], np.array([x[-2:, 0].mean() > 300 for x in X]).astype(int)


def by_hand(X, model):
    return [(x.astype(np.float64) - model.feature_mean_) / model.feature_scale_ for x in X]


def assert_equal_weights(model, other):
    for name in ("U_", "W_", "b_", "V_", "c_"):
        if hasattr(model, name):
            np.testing.assert_array_equal(getattr(model, name), getattr(other, name))


CASES = [
    {},
    {"frame": (3, 2)},
    {"bidirectional": True},
    {"hidden_size": (5, 4)},
    {"cell": "gru"},
    {"readout": "mean", "n_threads": 2},
    {"dtype": "float64"},
    {"solver": Algorithm1()},
]


@pytest.mark.slow_on("numpy")
@pytest.mark.parametrize("settings", CASES, ids=str)
def test_a_fit_is_that_to_features_standardised_by_hand(backend_name, settings):
    X, y = sensors()
    model = RNNClassifier(**QUICK | settings).fit(X, y)
    rows = np.concatenate(X)
    if "frame" not in settings:  # of which some observations are none
        np.testing.assert_allclose(model.feature_mean_[:3], rows.mean(axis=0)[:3], rtol=1e-12)
        np.testing.assert_allclose(model.feature_scale_[:3], rows.std(axis=0)[:3], rtol=1e-12)
    expected = RNNClassifier(standardize=False, **QUICK | settings).fit(by_hand(X, model), y)
    assert expected.feature_mean_ is None
    np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(by_hand(X, model)), rtol=0, atol=1e-6)


def test_targets_of_steps_in_streams_and_partial_fit():
    X, _ = sensors(6)
    y = [(x[:, 1] > 1e5).astype(int) for x in X]
    settings = QUICK | {"stateful": True, "chunk_size": 3}
    model = RNNClassifier(**settings).fit(X, y).partial_fit(X, y)
    expected = RNNClassifier(standardize=False, **settings).fit(by_hand(X, model), y)
    expected.partial_fit(by_hand(X, model), y)
    assert_equal_weights(model, expected)


def test_validation_data_and_a_part_held_out_are_read_alike():
    X, y = sensors()
    model = RNNClassifier(early_stopping=True, validation_fraction=0.25, **QUICK).fit(X, y)
    others = RNNClassifier(**QUICK).fit(X[:20], y[:20], validation_data=(X[20:], y[20:]))
    rows = np.concatenate(X[:20])
    np.testing.assert_allclose(others.feature_mean_[:3], rows.mean(axis=0)[:3], rtol=1e-12)
    assert not np.allclose(model.feature_mean_, np.concatenate(X).mean(axis=0), rtol=1e-12)  # what is apart has no say
    p = others.predict_proba(X[20:])
    expected = -np.log(p[np.arange(20), y[20:]]).mean()
    assert others.history_[-1]["validation_loss"] == pytest.approx(expected, rel=1e-5)


def test_streams_steps_pickles_files_and_copies(tmp_path):
    X, y = sensors()
    model = RNNClassifier(**QUICK).fit(X, y)
    expected = model.predict_proba(X)
    model.save(tmp_path / "model.safetensors")
    for other in (model, pickle.loads(pickle.dumps(model)), load(tmp_path / "model.safetensors"), model.prune()):
        np.testing.assert_array_equal(other.predict_proba(X), expected)
        stream, state = pickle.loads(pickle.dumps(other.stream())), None
        for x in X[0]:
            answer, (stepped, state) = stream(x), other.step(x, state)
        np.testing.assert_allclose(answer, expected[0], rtol=0, atol=1e-6)
        np.testing.assert_allclose(stepped, expected[0], rtol=0, atol=1e-6)
    assert clone(model).standardize == "auto"
    with pytest.raises(ValueError, match="NaN, first at"):
        model.stream()(np.full(4, np.nan))


@pytest.mark.parametrize("frame", [None, (2, 1)])
def test_forecasts(frame, backend_name):
    rng = np.random.default_rng(0)
    z = 4000 + 100 * np.sin(0.3 * np.arange(40)[:, None] + rng.uniform(0, 6, (1, 20))).T[:, :, None]
    model = RNNRegressor(frame=frame, **QUICK).fit(z[:, :-1], z[:, -1])
    assert model.feature_mean_ is not None
    longer, found = z[0], model.forecast(z[0], 3)
    for value in found:
        np.testing.assert_allclose(model.predict([longer])[0], value, rtol=1e-5)
        longer = np.concatenate([longer, value[None]])


@pytest.mark.parametrize("cell", ["elman", "fastgrnn", "ugrnn", "gru", "lstm"])
@pytest.mark.parametrize("far", [True, False], ids=["far from zero", "folded in"])
@pytest.mark.parametrize("settings", [{}, {"frame": (2, 1)}, {"bidirectional": True, "hidden_size": (4, 3)}], ids=str)
def test_exports(cell, far, settings, tmp_path):
    torch, onnxruntime = pytest.importorskip("torch"), pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    X, y = sensors(12)
    if not far:
        X = [x * [0.01, 1e-5, 1.0, 1.0] for x in X]
        X = [x - [3, 1, 0, 0] + [0.02, 0.02, 0, 0] for x in X]
    model = RNNClassifier(cell=cell, standardize=True, **QUICK | settings).fit(X, y)
    batch, lengths = np.zeros((12, 11, 4)), np.array([len(x) for x in X])
    for row, x in zip(batch, X, strict=True):
        row[: len(x)] = x
    module = model.to_torch()
    assert (module.standard is not None) == far
    with torch.no_grad():
        p = torch.softmax(module(torch.from_numpy(batch), lengths), -1).numpy()
    np.testing.assert_allclose(p, model.predict_proba(X), rtol=0, atol=1e-5)
    model.to_onnx(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (p,) = session.run(["probabilities"], {"X": batch.astype(np.float32), "lengths": lengths})
    np.testing.assert_allclose(p, model.predict_proba(X), rtol=0, atol=2e-5)
    if not far and settings != {"frame": (2, 1)} and cell in ("elman", "gru", "lstm"):
        back = RNNClassifier.from_torch(module.rnn, module.linear, classes=model.classes_)
        assert back.feature_mean_ is None
        np.testing.assert_allclose(back.predict_proba(X), model.predict_proba(X), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "float32"])
def test_integers_and_mapped_files_stay_as_they_are(dtype, tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 100, (30, 6, 3)).astype(dtype), rng.integers(0, 2, 30)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    model, of_file = RNNClassifier(**QUICK).fit(X, y), RNNClassifier(**QUICK).fit(mapped, y)
    of_floats = RNNClassifier(**QUICK).fit(X.astype(np.float64), y)
    np.testing.assert_allclose(model.feature_mean_, X.reshape(-1, 3).mean(axis=0))
    assert_equal_weights(model, of_file)
    np.testing.assert_array_equal(model.predict_proba(X), of_file.predict_proba(mapped))
    np.testing.assert_allclose(model.predict_proba(X), of_floats.predict_proba(X), rtol=0, atol=1e-4)


def test_features_of_a_usual_size_stay_as_they_are():
    X, y = sensors()
    X = [np.column_stack([x[:, 0] - 300, (x[:, 0] > 300), np.ones(len(x)), x[:, 1]]) for x in X]
    usual = [x[:, :3] for x in X]
    model, as_before = RNNClassifier(**QUICK).fit(usual, y), RNNClassifier(standardize=False, **QUICK).fit(usual, y)
    assert model.feature_mean_ is None and model.feature_scale_ is None
    assert_equal_weights(model, as_before)
    model = RNNClassifier(**QUICK).fit(X, y)
    np.testing.assert_array_equal(model.feature_mean_[:3], 0)
    np.testing.assert_array_equal(model.feature_scale_[:3], 1)
    assert model.feature_mean_[3] == pytest.approx(np.concatenate(X)[:, 3].mean())
    every = RNNClassifier(standardize=True, **QUICK).fit(X, y)
    assert (every.feature_scale_[[0, 1, 3]] != 1).all() and every.feature_mean_[2] == every.feature_scale_[2] == 1


@pytest.mark.parametrize(
    "mean, deviation, is_usual",
    [(0, 1, True), (0.9, 0.6, True), (-1.1, 1, False), (0, 2.2, False), (0, 0.4, False), (0, 0, True), (3, 0, False)],
)
def test_which_features_are_of_a_usual_size(mean, deviation, is_usual):
    rows = mean + deviation * np.array([[-1.0], [1.0]])
    assert moments([rows]).is_usual == [is_usual]
    assert (standard_of(Sequences.of_lengths(rows, [2]), only_where_needed=True) is None) == is_usual


@pytest.mark.parametrize("values, is_usual", [([0.0, 0, 0, 1], True), ([0.2, 0.8], True), ([0.7, 0.9], False)])
def test_shares_are_of_a_usual_size(values, is_usual):
    assert moments([np.array(values)[:, None]]).is_usual == [is_usual]


def test_a_scale_takes_its_place():
    X, y = np.random.default_rng(0).integers(0, 256, (30, 6, 3), dtype=np.uint8), np.arange(30) % 2
    assert RNNClassifier(scale=1 / 255, **QUICK).fit(X, y).feature_mean_ is None
    with pytest.raises(ValueError, match="standardize is True and scale is"):
        RNNClassifier(scale=1 / 255, standardize=True, **QUICK).fit(X, y)
    with pytest.raises(TypeError, match="standardize is 'yes'"):
        RNNClassifier(standardize="yes", **QUICK).fit(X, y)


def test_tables_have_one_feature():
    X, _ = sensors()
    X = np.array([x[:5, 0] for x in X])
    model = RNNClassifier(**QUICK).fit(X, X[:, -1] > 300)
    assert model.feature_mean_ == pytest.approx([X.mean()]) and model.feature_scale_ == pytest.approx([X.std()])


def test_later_data_are_read_as_the_first_ones():
    X, y = sensors()
    model = RNNClassifier(**QUICK).partial_fit(X, y, classes=[0, 1])
    mean = model.feature_mean_
    model.partial_fit([x + 1e4 for x in X], y)
    np.testing.assert_array_equal(model.feature_mean_, mean)
    with pytest.raises(ValueError, match="standardize is False, and features were standardised"):
        model.set_params(standardize=False).partial_fit(X, y)


def test_files_of_versions_that_did_not_standardise(tmp_path):
    X, y = sensors()
    X = [x[:, :1] - 300 for x in X]
    model = RNNClassifier(standardize=False, **QUICK).fit(X, y)
    older = pickle.loads(pickle.dumps(model))
    state = older.__getstate__()
    for name in ("standardize", "missing", "feature_mean_", "feature_scale_", "fill_values_", "_missing"):
        state.pop(name)
    older = RNNClassifier.__new__(RNNClassifier)
    older.__setstate__(state)
    assert older.standardize is False
    np.testing.assert_array_equal(older.predict_proba(X), model.predict_proba(X))
    older.partial_fit(X, y).save(tmp_path / "model.safetensors")
    assert load(tmp_path / "model.safetensors").feature_mean_ is None


def test_moments_are_those_of_all_rows_in_pieces():
    rng = np.random.default_rng(0)
    rows = np.column_stack([1e9 + rng.normal(size=1000), 1e-9 * rng.normal(size=1000), np.full(1000, 0.1)])
    found = moments(np.array_split(rows, [0, 1, 7, 500]))
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.deviation[:2], rows.std(axis=0)[:2], rtol=1e-6)
    assert found.mean[2] == 0.1 and found.deviation[2] == 0 and found.factor[2] == 1


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (255, 1), (256, 1), (1000, 3), (70, 300)])
def test_moments_of_any_number_of_rows_and_columns(shape):
    rows = np.random.default_rng(0).normal(size=shape)
    found = moments([rows])
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found.deviation, rows.std(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(found.least, rows.min(axis=0))
    np.testing.assert_array_equal(found.largest, rows.max(axis=0))


@pytest.mark.parametrize("dtype, size", [("float32", 3e38), ("float64", 1e160), ("float64", 1.7e308)])
def test_values_that_are_too_far_apart_are_refused(dtype, size):
    """Their deviation, or the difference to their mean, is infinite, and features would become zeros, or infinite."""
    X = np.full((40, 6, 2), -size, dtype)
    X[..., 0], X[:3, :, 1] = 1.0, size
    for read in (RNNRegressor(**QUICK, dtype=dtype).fit, SequenceScaler().fit):
        with pytest.raises(ValueError, match=r"X has values from -.* of feature 1, too far apart to be standardised"):
            read(X, np.arange(40.0))


@pytest.mark.parametrize("frame", [(1, 1), (2, 1), (2, 2)])
def test_only_observations_that_steps_read_count(frame):
    rows = np.arange(40.0)[:, None]
    of_rows = Sequences(rows, np.array([30, 5, 7]), np.array([4, 4, 2])).framed(*frame)
    for sequences in (of_rows, of_rows.reversed()):
        assert sorted(np.concatenate(list(sequences.rows_in_use(8)))[:, 0]) == [5, 6, 7, 8, 30, 31, 32, 33]
    assert standard_of(Sequences.of_lengths(rows * 0 + 1, [40]), only_where_needed=True) is None


def test_a_solver_of_ones_own_sees_standardised_sequences():
    X, y = sensors()
    seen = []

    class Watching(Rollout):
        def solve(self, network, sequences, *others, **settings):
            seen.append(sequences)
            return super().solve(network, sequences, *others, **settings)

    RNNClassifier(solver=Watching(), loss=SoftmaxCrossEntropy(), **QUICK).fit(X, y)
    rows = seen[0].as_read(seen[0].observations, np.dtype(np.float64))
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(rows.std(axis=0), [1, 1, 1, 0], atol=1e-9)


class TestSequenceScaler:
    def test_every_form(self):
        pandas = pytest.importorskip("pandas")
        X, _ = sensors()
        scaler = SequenceScaler().fit(X)
        found = scaler.transform(X)
        rows = np.concatenate(found)
        np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-9)
        np.testing.assert_allclose(rows.std(axis=0), [1, 1, 1, 0], atol=1e-9)
        for x, back in zip(X, scaler.inverse_transform(found), strict=True):
            np.testing.assert_allclose(back, x, rtol=1e-12)
        of_frames = SequenceScaler().fit([pandas.DataFrame(x, columns=list("abcd")) for x in X])
        assert list(of_frames.feature_names_in_) == list("abcd")
        frames = of_frames.transform([pandas.DataFrame(x, columns=list("abcd")) for x in X])
        assert list(frames[0].columns) == list("abcd")
        np.testing.assert_array_equal(frames[3].to_numpy(), found[3])
        array = np.stack([x[:5] for x in X]).astype(np.float32)
        of_array = scaler.transform(array)
        assert of_array.shape == array.shape and of_array.dtype == np.float32
        one = SequenceScaler().fit([x[:, 0] for x in X])
        assert [x.shape for x in one.transform([x[:, 0] for x in X])] == [(len(x),) for x in X]

    def test_in_a_pipeline(self):
        X, y = sensors()
        model = make_pipeline(SequenceScaler(), RNNClassifier(standardize=False, **QUICK)).fit(X, y)
        expected = RNNClassifier(standardize=True, **QUICK).fit(X, y)
        np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(X), rtol=0, atol=1e-5)

    def test_as_scikit_learn_has_it(self):
        of_one_axis = {"check_fit2d_predict1d": "says another remedy than to reshape X"}
        check_estimator(SequenceScaler(), on_skip=None, expected_failed_checks=of_one_axis)
        with pytest.raises(NotFittedError):
            SequenceScaler().transform(sensors()[0])
        with pytest.raises(ValueError, match="X has 3 features"):
            SequenceScaler().fit(sensors()[0]).transform([np.zeros((4, 3))])
