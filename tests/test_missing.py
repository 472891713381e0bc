"""Observations that are missing, in any container: refused with their place, or filled in, also in streams."""

import pickle

import numpy as np
import pytest

from admmirnn import RNNClassifier, RNNRegressor, load
from admmirnn.data.missing import Gaps, filled
from admmirnn.data.sequences import Sequences
from admmirnn.preprocessing import cut_padding

QUICK = {"hidden_size": 6, "max_epochs": 2, "random_state": 0}


def gappy(n_sequences=30, seed=0):
    """Sequences, some of whose values are NaN, in the first steps too; none of the second feature."""
    rng = np.random.default_rng(seed)
    X = [rng.normal(size=(n, 3)) * [1, 1, 100] + [0, 0, 400] for n in rng.integers(5, 12, n_sequences)]
    y = np.array([x[-1, 0] > 0 for x in X]).astype(int)
    for x in X:
        mask = rng.random(x.shape) < 0.25
        mask[:, 1] = False
        x[mask] = np.nan
    X[0][0, 0] = X[1][:, 2] = np.nan
    return X, y


def by_hand(X, values, indicator):
    """The last value of each feature, one step after the other."""
    found = []
    for x in X:
        last, rows = values.copy(), []
        for row in x:
            last = np.where(np.isnan(row), last, row)
            rows.append(np.append(last, np.isnan(row)) if indicator else last)
        found.append(np.array(rows))
    return found


@pytest.mark.parametrize("way", ["forward", "indicator"])
@pytest.mark.parametrize("settings", [{}, {"frame": (2, 1)}, {"bidirectional": True}, {"standardize": True}], ids=str)
def test_a_fit_is_that_to_values_filled_in_by_hand(way, settings, tmp_path):
    X, y = gappy()
    model = RNNClassifier(missing=way, **QUICK | settings).fit(X, y)
    np.testing.assert_allclose(model.fill_values_, np.nanmean(np.concatenate(X), axis=0))
    Z = by_hand(X, model.fill_values_, way == "indicator")
    if settings.get("standardize") and way == "indicator":
        assert model.feature_mean_.shape == (3,)
        Z = [np.column_stack([(z[:, :3] - model.feature_mean_) / model.feature_scale_, z[:, 3:]]) for z in Z]
        settings = {}
    expected = RNNClassifier(**QUICK | settings).fit(Z, y)
    np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(Z), rtol=0, atol=1e-6)
    model.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(load(tmp_path / "model.safetensors").predict_proba(X), model.predict_proba(X))
    model.partial_fit(X, y)
    with pytest.raises(ValueError, match="missing is 'refuse', and was"):
        model.set_params(missing="refuse").partial_fit(X, y)


@pytest.mark.parametrize("way", ["forward", "indicator"])
@pytest.mark.parametrize("frame", [None, (3, 2)])
def test_streams_are_predictions(way, frame, backend_name):
    X, y = gappy()
    model = RNNClassifier(missing=way, frame=frame, **QUICK).fit(X, y)
    for x, p in zip(X[:5], model.predict_proba(X[:5]), strict=True):
        stream, state = model.stream(), None
        for row in x:
            answer, (stepped, state) = stream(row), model.step(row, state)
            stream = pickle.loads(pickle.dumps(stream))
        np.testing.assert_allclose(answer, p, rtol=0, atol=1e-6)
        np.testing.assert_allclose(stepped, p, rtol=0, atol=1e-6)
        np.testing.assert_allclose(model.stream().read(x)[-1], p, rtol=0, atol=1e-6)
        masked = np.ma.masked_invalid(x)
        np.testing.assert_allclose(model.stream().read(masked)[-1], p, rtol=0, atol=1e-6)
    streams = model.stream(2)
    streams(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    before = streams.state
    with pytest.raises(ValueError, match="inf"):
        streams([[np.nan, 1.0, 1.0], [1.0, np.inf, 1.0]])
    np.testing.assert_array_equal(streams.state.last, before.last)
    streams.reset([1])
    np.testing.assert_array_equal(streams.state.last, [[1, 2, 3], model.fill_values_])


def test_forecasts():
    rng = np.random.default_rng(0)
    z = np.sin(0.3 * np.arange(30) + rng.uniform(0, 6, (20, 1)))
    z[rng.random(z.shape) < 0.1] = np.nan
    z[:, -1] = 0.5
    for way in ("forward", "indicator"):
        model = RNNRegressor(missing=way, **QUICK).fit(list(z[:, :-1, None]), z[:, -1])
        found = model.forecast(z[0], 2)
        assert found[0] == pytest.approx(model.predict([z[0][:, None]])[0], rel=1e-5)
        assert found[1] == pytest.approx(model.predict([np.append(z[0], found[0])[:, None]])[0], rel=1e-5)


def test_validation_data_targets_of_steps_and_ends_held_out():
    X, y = gappy()
    model = RNNClassifier(missing="forward", early_stopping=True, **QUICK)
    model.fit(X[:20], y[:20], validation_data=(X[20:], y[20:]))
    assert np.isfinite([record["validation_loss"] for record in model.history_]).all()
    labels = [np.arange(len(x)) % 2 for x in X]
    model = RNNClassifier(missing="indicator", stateful=True, early_stopping=True, **QUICK).fit(X, labels)
    assert len(model.predict(X)) == len(X)


CONTAINERS = {
    "list": lambda X: X,
    "None in lists": lambda X: [[[None if np.isnan(v) else v for v in row] for row in x] for x in X],
    "masked": lambda X: [np.ma.masked_invalid(x) for x in X],
    "array": lambda X: np.stack([x[:5] for x in X]),
    "masked array": lambda X: np.ma.masked_invalid(np.stack([x[:5] for x in X])),
    "table": lambda X: np.stack([x[:5, 0] for x in X]),
}


def frames(X, dtype):
    pandas = pytest.importorskip("pandas")
    return [pandas.DataFrame(x, columns=list("abc")).astype(dtype) for x in X]


CONTAINERS |= {
    f"frames of {dtype}": lambda X, dtype=dtype: frames(X, dtype) for dtype in ("Float64", "float32", object)
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container(container):
    X, y = gappy()
    given = CONTAINERS[container](X)
    with pytest.raises(ValueError, match="sequence 0, step 0, feature 0|masked"):
        RNNClassifier(**QUICK).fit(given, y)
    model = RNNClassifier(missing="forward", **QUICK).fit(given, y)
    if "array" in container or container == "table":
        X = [x[:5, :1] if container == "table" else x[:5] for x in X]
    expected = RNNClassifier(missing="forward", **QUICK).fit(X, y)
    tolerance = 1e-5 if "float32" in container else 1e-6
    np.testing.assert_allclose(model.predict_proba(given), expected.predict_proba(X), rtol=0, atol=tolerance)


def test_pandas_na_is_named_with_its_place():
    X, y = gappy()
    X = frames([np.nan_to_num(x) for x in X], "Float64")
    X[3].iloc[2, 1] = None
    with pytest.raises(ValueError, match="NaN, first at sequence 3, step 2, feature 1; remove it or fill it in"):
        RNNClassifier(**QUICK).fit(X, y)


def test_what_is_refused():
    X, y = gappy()
    with pytest.raises(ValueError, match="missing is 'drop'; the known ones are"):
        RNNClassifier(missing="drop", **QUICK).fit(X, y)
    with pytest.raises(ValueError, match="no value of feature 1"):
        RNNClassifier(missing="forward", **QUICK).fit([x * [1, np.nan, 1] for x in X], y)
    X[2][3, 1] = np.inf
    with pytest.raises(ValueError, match=r"infinity \(inf\), first at sequence 2, step 3, feature 1"):
        RNNClassifier(missing="forward", **QUICK).fit(X, y)


def test_what_is_whole_is_not_copied():
    X = np.random.default_rng(0).normal(size=(12, 2))
    sequences, gaps = filled(Sequences.of_lengths(X, [5, 7]), Gaps("forward"))
    assert sequences.observations is X
    np.testing.assert_allclose(gaps.values, X.mean(axis=0))


@pytest.mark.parametrize("form", ["array", "table", "list"])
def test_padding_is_named_and_cut(form):
    rng = np.random.default_rng(0)
    lengths, y = rng.integers(5, 12, 20), np.arange(20) % 2
    X = rng.normal(size=(20, 12, 2) if form != "table" else (20, 12))
    for x, n in zip(X, lengths, strict=True):
        x[n:] = np.nan
    X = list(X) if form == "list" else X
    with pytest.raises(ValueError, match=r"padding, pass admmirnn.preprocessing.cut_padding\(X\)"):
        RNNClassifier(**QUICK).fit(X, y)
    cut = cut_padding(X)
    assert [len(x) for x in cut] == list(lengths)
    RNNClassifier(**QUICK).fit(cut, y)
    with pytest.raises(ValueError, match=r"X\[0\] has nothing but NaN"):
        cut_padding(np.full((2, 3, 2), np.nan))


def test_padding_that_values_would_be_carried_into_is_told():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 12, 2)), np.arange(20) % 2
    X[rng.random(X.shape) < 0.02] = np.nan
    model = RNNClassifier(missing="forward", **QUICK).fit(X, y)  # gaps are no padding
    for x, n in zip(X, rng.integers(5, 12, 20), strict=True):
        x[n:] = np.nan
    for call in (lambda: RNNClassifier(missing="indicator", **QUICK).fit(X, y), lambda: model.predict(X)):
        with pytest.warns(UserWarning, match=r"sequences end in steps of which nothing is there, .*cut_padding\(X\)"):
            call()
