"""Names of features say which is which in every container that has them: other orders are put right, others refused."""

import collections
import json
import pickle

import numpy as np
import pandas as pd
import pytest

from admmirnn import RNNClassifier, RNNRegressor
from admmirnn.streaming import Stream, StreamState

rng = np.random.default_rng(0)
NAMES = ["temp", "press", "rpm"]
LENGTHS = rng.integers(4, 9, 40)
ARRAYS = [rng.normal(size=(n, 3)) * [1, 10, 100] for n in LENGTHS]
Y = np.array(["high" if x[-1, 0] > 0 else "low" for x in ARRAYS])
OTHER = [2, 0, 1]  # in which the columns come


def polars_frame(x, names):
    return pytest.importorskip("polars").DataFrame({name: x[:, j] for j, name in enumerate(names)})


def arrow_table(x, names):
    return pytest.importorskip("pyarrow").table({name: x[:, j] for j, name in enumerate(names)})


def records(x, names):
    return np.array([tuple(row) for row in x], dtype=[(name, float) for name in names])


FRAMES = {
    "pandas": lambda x, names: pd.DataFrame(x, columns=names),
    "pandas, other dtypes": lambda x, names: pd.DataFrame(x, columns=names).astype({names[0]: "Float64"}),
    "polars": polars_frame,
    "pyarrow": arrow_table,
    "dict": lambda x, names: {name: x[:, j] for j, name in enumerate(names)},
    "dict of lists": lambda x, names: collections.OrderedDict((name, x[:, j].tolist()) for j, name in enumerate(names)),
    "structured array": records,
}


def multi_index(arrays, names):
    return pd.concat({i: pd.DataFrame(x, columns=names) for i, x in enumerate(arrays)}, names=["series", "time"])


def in_rows(x, names, of_one):
    return [of_one(row, names) for row in x]


FRAMES |= {
    "rows of pandas": lambda x, names: in_rows(x, names, lambda row, names: pd.Series(row, index=names)),
    "namedtuples": lambda x, names: list(pd.DataFrame(x, columns=names).itertuples(index=False)),
    "dicts of numbers": lambda x, names: in_rows(x, names, lambda row, names: dict(zip(names, row, strict=True))),
    "records": lambda x, names: list(records(x, names)),
}


def in_frames(kind, order=None, arrays=ARRAYS):
    order = range(3) if order is None else order
    names = [NAMES[j] for j in order]
    arrays = [x[:, list(order)] for x in arrays]
    return multi_index(arrays, names) if kind == "index" else [FRAMES[kind](x, names) for x in arrays]


KINDS = [*FRAMES, "index"]


def classifier(**settings):
    return RNNClassifier(**{"hidden_size": 4, "max_epochs": 2, "random_state": 0, "scale": 0.1, **settings})


@pytest.fixture(scope="module")
def fitted():
    return classifier().fit(in_frames("pandas"), Y)


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_found_by_their_names(kind, fitted):
    plain = classifier().fit(ARRAYS, Y)
    model = classifier().fit(in_frames(kind), Y, validation_data=(in_frames(kind, OTHER), Y))
    assert model.feature_names_in_.tolist() == NAMES and model.n_features_in_ == 3
    np.testing.assert_allclose(model.U_, plain.U_, rtol=1e-6)
    expected = fitted.decision_function(in_frames("pandas"))
    for order in (None, OTHER):
        np.testing.assert_array_equal(fitted.decision_function(in_frames(kind, order)), expected)
        assert fitted.score(in_frames(kind, order), Y) == fitted.score(in_frames("pandas"), Y)
    with pytest.warns(UserWarning, match="X has feature names, but RNNClassifier was fitted without feature names"):
        plain.predict(in_frames(kind))


@pytest.mark.parametrize("kind", FRAMES)
def test_each_sequence_may_have_an_order_of_its_own(kind, fitted):
    mixed = [in_frames(kind, OTHER if i % 2 else None, [x])[0] for i, x in enumerate(ARRAYS)]
    np.testing.assert_array_equal(classifier().fit(mixed, Y).U_, fitted.U_)
    np.testing.assert_array_equal(fitted.predict(mixed), fitted.predict(in_frames("pandas")))


@pytest.mark.parametrize("kind", KINDS)
def test_partial_fit_finds_features_by_their_names(kind):
    one, other = (classifier().partial_fit(in_frames(kind), Y, ["high", "low"]) for _ in range(2))
    one.partial_fit(in_frames(kind), Y)
    assert one.feature_names_in_.tolist() == NAMES
    other.partial_fit(in_frames(kind, OTHER), Y)
    np.testing.assert_array_equal(one.U_, other.U_)


@pytest.mark.parametrize("kind", KINDS)
def test_other_names_are_refused(kind, fitted):
    one = {"temp": "temperature"}
    x = in_frames("index" if kind == "index" else "pandas")
    renamed = x.rename(columns=one) if kind == "index" else [item.rename(columns=one) for item in x]
    if kind not in ("index", "pandas, other dtypes"):
        renamed = [FRAMES[kind](item.to_numpy(), list(item)) for item in renamed]
    message = r"X\[0\] lacks \['temp'\] and has \['temperature'\], which is not among them"
    for call in (fitted.predict, fitted.predict_proba, lambda X: fitted.score(X, Y)):
        with pytest.raises(ValueError, match=message):
            call(renamed)
    with pytest.raises(ValueError, match="in validation_data: " + message):
        classifier().fit(in_frames("pandas"), Y, validation_data=(renamed, Y))
    if kind != "index":
        with pytest.raises(ValueError, match=r"X\[3\] lacks"):
            classifier().fit([*in_frames(kind)[:3], *renamed[3:]], Y)
        with pytest.raises(ValueError, match=r"X\[3\] has no names of features and X\[0\] has"):
            classifier().fit([*in_frames(kind)[:3], *ARRAYS[3:]], Y)
        with pytest.raises(ValueError, match=r"X\[0\] has no names of features and X\[1\] has"):
            classifier().fit([ARRAYS[0], *in_frames(kind)[1:]], Y)


def test_arrays_are_read_by_position_with_scikit_learns_warning(fitted):
    with pytest.warns(UserWarning, match="X does not have valid feature names, but RNNClassifier was fitted with feat"):
        fitted.predict(ARRAYS)


def test_rows_of_other_names_are_told(fitted):
    rows = [dict(zip(NAMES, x, strict=True)) for x in ARRAYS[0]]
    for wrong, found in (({"temp": 1.0}, r"\['temp'\]"), ([1.0, 2.0, 3.0], "none")):
        with pytest.raises(ValueError, match=rf"X\[0\]\[0\] has the names .* and X\[0\]\[2\] has {found}; give all"):
            fitted.predict([[*rows[:2], wrong, *rows[3:]]])
    stream, expected = fitted.stream(2), fitted.stream(2)
    np.testing.assert_array_equal(stream([row | {} for row in rows[:2]]), expected(ARRAYS[0][:2]))


def test_names_that_are_no_names_are_refused():
    x = in_frames("pandas")
    for columns, error, message in (
        (["temp", "temp", "rpm"], ValueError, r"X\[0\] has two columns 'temp'"),
        (["temp", 1, "rpm"], TypeError, r"X\[0\] has columns with names that are strings and others that are not"),
        ([2, 0, 1], ValueError, r"X\[0\] has its columns in the order \[2, 0, 1\]: numbers say nothing but positions"),
    ):
        with pytest.raises(error, match=message):
            classifier().fit([item.set_axis(columns, axis=1) for item in x], Y)
    numbered = [item.set_axis([0, 1, 2], axis=1) for item in x]
    assert not hasattr(classifier().fit(numbered, Y), "feature_names_in_")
    with pytest.raises(ValueError, match=r"X\[1\] has its columns in the order \[1, 0, 2\]"):
        classifier().fit([numbered[0], *(item[[1, 0, 2]] for item in numbered[1:])], Y)


def test_dicts_are_as_long_for_each_feature():
    x = in_frames("dict")
    x[2] = x[2] | {"rpm": x[2]["rpm"][:-1]}
    with pytest.raises(ValueError, match=r"X\[2\]\['rpm'\] has the shape .* and X\[2\]\['temp'\] has"):
        classifier().fit(x, Y)
    x[2] = x[2] | {"rpm": 1.0}
    with pytest.raises(ValueError, match=r"X\[2\]\['rpm'\] has 0 dimension"):
        classifier().fit(x, Y)
    with pytest.raises(TypeError, match=r"X is a dict with the keys \['a', 'b'\]; pass list\(X.values\(\)\)"):
        classifier().fit({"a": ARRAYS[0], "b": ARRAYS[1]}, Y[:2])


def test_names_survive_a_file(fitted, tmp_path):
    pytest.importorskip("safetensors")
    fitted.save(tmp_path / "model")
    loaded = RNNClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(in_frames("polars", OTHER)), fitted.predict(in_frames("pandas")))


# streams, steps and forecasts


@pytest.fixture(scope="module")
def forecaster():
    x = [pd.DataFrame(a, columns=NAMES) for a in ARRAYS]
    return RNNRegressor(4, max_epochs=2, random_state=0).fit([a.iloc[:-1] for a in x], [a.to_numpy()[1:] for a in x])


OBSERVATIONS = {
    "dict": lambda x, names: dict(zip(names, x, strict=True)),
    "series": lambda x, names: pd.Series(x, index=names),
    "frame": lambda x, names: pd.DataFrame([x], columns=names),
    "polars": lambda x, names: polars_frame(x[None], names),
    "record": lambda x, names: records(x[None], names)[0],
    "namedtuple": lambda x, names: collections.namedtuple("Reading", names)(*x.tolist()),
}


@pytest.mark.parametrize("kind", OBSERVATIONS)
def test_streams_find_features_by_their_names(kind, fitted, forecaster):
    names = [NAMES[j] for j in OTHER]
    for model in (fitted, forecaster):
        stream, expected, state = model.stream(), model.stream(), None
        for x in ARRAYS[0]:
            named = OBSERVATIONS[kind](x[OTHER], names)
            found, state = model.step(named, state)
            wanted = expected(x)
            np.testing.assert_array_equal(np.ravel(stream(named)), wanted)
            np.testing.assert_array_equal(np.ravel(found), wanted)
    with pytest.raises(ValueError, match=r"x lacks \['rpm'\]"):
        fitted.stream()(OBSERVATIONS[kind](ARRAYS[0][0, :2], NAMES[:2]))
    plain = classifier().fit(ARRAYS, Y).stream()
    if kind == "dict":
        with pytest.raises(TypeError, match="x is a dict, and the model was fitted without names of features"):
            plain(dict(zip(NAMES, ARRAYS[0][0], strict=True)))
    elif kind == "series":
        with pytest.warns(UserWarning, match="fitted without feature names"):
            plain(pd.Series(ARRAYS[0][0], index=NAMES))


@pytest.mark.parametrize("kind", ["pandas", "polars", "dict", "structured array"])
def test_streams_read_named_parts_of_sequences(kind, fitted):
    parts = [x[:4] for x in ARRAYS[:2]]
    expected = fitted.stream(2).read(np.stack(parts))
    named = in_frames(kind, OTHER, parts)
    np.testing.assert_array_equal(fitted.stream(2).read(named), expected)
    np.testing.assert_array_equal(fitted.stream().read(named[0]), expected[0])
    at_once = {name: np.array([p[0, j] for p in parts]) for j, name in enumerate(NAMES)}
    np.testing.assert_array_equal(fitted.stream(2)(at_once), expected[:, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_forecasts_find_features_by_their_names(kind, forecaster):
    expected = forecaster.forecast(ARRAYS, horizon=3)
    np.testing.assert_array_equal(forecaster.forecast(in_frames(kind, OTHER), horizon=3), expected)
    if kind != "index":
        np.testing.assert_allclose(forecaster.forecast(in_frames(kind, OTHER)[0], horizon=3), expected[0], rtol=1e-5)
    with pytest.raises(ValueError, match="lacks"):
        forecaster.forecast(in_frames("pandas")[0].rename(columns={"rpm": "speed"}), horizon=3)


def test_traces_find_features_by_their_names(fitted):
    one, other = (fitted.trace(in_frames("pandas", order)[0]) for order in (None, OTHER))
    np.testing.assert_array_equal(one.outputs, other.outputs)


# what streams say


def test_streams_have_labels(fitted):
    stream = fitted.stream()
    outputs = stream.read(ARRAYS[0])
    labels = stream.labels(outputs)
    assert labels.shape == (len(ARRAYS[0]),) and labels[-1] == fitted.predict(in_frames("pandas")[:1])[0]
    assert fitted.stream().predict(ARRAYS[0][0]) == labels[0]
    assert fitted.stream(2).predict(np.stack([x[0] for x in ARRAYS[:2]])).shape == (2,)
    np.testing.assert_array_equal(stream.classes_, fitted.classes_)
    with pytest.raises(ValueError, match="one output for each of 2 classes"):
        stream.labels(np.zeros(3))


@pytest.mark.parametrize("settings", [{"loss": "hinge"}, {"loss": "sigmoid_cross_entropy"}, {}], ids=str)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_labels_of_streams_are_those_of_predict(settings, n_classes):
    y = np.arange(40) % n_classes
    y = np.eye(n_classes, dtype=int)[y] if settings.get("loss", "")[:3] == "sig" else y
    model = classifier(**settings).fit(ARRAYS, y)
    stream = model.stream()
    for i in range(5):
        stream.reset()
        found = stream.labels(stream.read(ARRAYS[i], every_step=False))
        np.testing.assert_array_equal(found, model.predict(ARRAYS[i : i + 1])[0])


def test_there_is_no_label_before_the_first_frame_ends():
    model = classifier(frame=(3, 1)).fit(ARRAYS, Y)
    stream = model.stream()
    labels = stream.labels(stream.read(ARRAYS[0]))
    assert labels[:2].tolist() == [None, None] and labels[-1] == model.predict(ARRAYS[:1])[0]
    assert model.stream().predict(ARRAYS[0][0]) is None


def test_streams_of_regressors_have_no_labels(forecaster):
    stream = forecaster.stream()
    assert stream.predict(ARRAYS[0][0]).shape == (3,) and not hasattr(stream, "classes_")
    with pytest.raises(TypeError, match="outputs of a regressor are values"):
        stream.labels([0.0])


def test_streams_say_what_they_are(fitted, forecaster):
    stream = fitted.stream(n_streams=2)
    assert repr(stream) == (
        "Stream(n_streams=2, n_read=0, n_features=3, feature_names_in_=['temp', 'press', 'rpm'], "
        "classes_=['high', 'low'])"
    )
    stream.read(np.stack([x[:4] for x in ARRAYS[:2]]))
    stream.reset([1])
    assert repr(stream.state) == "StreamState(n_streams=2, n_read=0 to 4, states of shape (2, 1, 4) and float32)"
    assert "classes_" not in repr(forecaster.stream())
    same = pickle.loads(pickle.dumps(stream))
    assert isinstance(same, Stream) and repr(same) == repr(stream)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"dtype": "float64"},
        {"readout": "max"},
        {"readout": "mean"},
        {"frame": (3, 2)},
        {"missing": "forward"},
        {"missing": "indicator", "frame": (3, 2)},
        {"hidden_size": (4, 3), "cell": "lstm"},
    ],
    ids=str,
)
@pytest.mark.parametrize("n_read", [0, 1, 4])
def test_states_are_written_as_json_and_read_again_to_the_last_bit(settings, n_read):
    model = classifier(**settings).fit(ARRAYS, Y)
    stream = model.stream(2)
    if n_read:
        stream.read(np.stack([x[:n_read] for x in ARRAYS[:2]]))
    text = json.dumps(stream.state.to_dict(), allow_nan=False)
    state = StreamState.from_dict(json.loads(text))
    for found, expected in zip(vars(state).values(), vars(stream.state).values(), strict=True):
        assert (found is None) == (expected is None)
        if found is not None:
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
    other = model.stream(2)
    other.state = state
    x = np.stack([x[3] for x in ARRAYS[:2]])
    np.testing.assert_array_equal(other(x), stream(x))


def test_what_is_no_state_is_refused(fitted):
    state = fitted.stream().state.to_dict()
    for wrong in (None, [], {}, {"states": 1}, state | {"more": 1}):
        with pytest.raises((ValueError, TypeError), match="pass a dict that to_dict has made"):
            StreamState.from_dict(wrong)
    with pytest.raises(ValueError, match=r"state\['states'\] is not a nested list of numbers"):
        StreamState.from_dict(state | {"states": "abc"})
    with pytest.raises(ValueError, match=r"state\['n_read'\] has 2 dimension"):
        StreamState.from_dict(state | {"n_read": [[0]]})
    with pytest.raises(ValueError, match="dtype is 'int8'"):
        StreamState.from_dict(state | {"dtype": "int8"})


# frames with the index (series, time)


def test_a_frame_with_an_index_of_series_and_times_is_read_by_it(fitted):
    frame = in_frames("index")
    shuffled = frame.sample(frac=1, random_state=0)
    order = list(dict.fromkeys(shuffled.index.get_level_values("series")))
    expected = fitted.predict(frame)
    np.testing.assert_array_equal(fitted.predict(shuffled), expected[order])
    by_series = pd.Series(Y, index=range(40))
    for y in (by_series, by_series.sample(frac=1, random_state=1), Y[order]):
        model = classifier(shuffle=False).fit(shuffled, y)
        assert model.score(frame, Y) == model.score(shuffled, by_series)
        assert model._form_of_targets == "sequence"
    by_row = pd.Series(np.where(frame["temp"] > 0, "up", "down"), index=frame.index)
    of_steps = classifier(shuffle=False).fit(frame, by_row)
    expected = of_steps.score(frame, by_row)
    assert (
        of_steps.score(shuffled, by_row) == of_steps.score(shuffled, by_row.loc[shuffled.index].to_numpy()) == expected
    )
    assert [len(labels) for labels in of_steps.predict(frame)] == LENGTHS.tolist()
    weights = pd.Series(np.arange(40.0) + 1, index=range(40))
    assert np.isfinite(classifier().fit(frame, by_series, sample_weight=weights).score(frame, by_series, weights))


def test_an_index_that_does_not_fit_is_refused():
    frame = in_frames("index")
    with pytest.raises(ValueError, match=r"the index of X has .* twice"):
        classifier().fit(pd.concat([frame, frame.iloc[:1]]), Y)
    with pytest.raises(ValueError, match="y has an index like .* neither that of X"):
        classifier().fit(frame, pd.Series(Y, index=[f"p{i}" for i in range(40)]))
    with pytest.raises(ValueError, match="X has 40 sequences and y has 39 entries"):
        classifier().fit(frame, Y[1:])
    missing = frame.reset_index()
    missing.loc[3, "time"] = np.nan
    with pytest.raises(ValueError, match="the index of X has missing entries"):
        classifier().fit(missing.set_index(["series", "time"]), Y)


def test_labels_by_row_that_are_those_of_series_are_told():
    frame = in_frames("index")
    with pytest.warns(UserWarning, match=r"pass y.groupby\(level=0\).first\(\)"):
        model = classifier().fit(frame, np.repeat(Y, LENGTHS))
    assert model._form_of_targets != "sequence"


LONG = pd.DataFrame(np.concatenate(ARRAYS), columns=NAMES)
LONG_TABLES = {
    "features": lambda: LONG,
    "with series": lambda: LONG.assign(series=np.repeat(np.arange(40), LENGTHS)),
    "with times": lambda: LONG.assign(time=pd.date_range("2020", periods=len(LONG), freq="s")),
    "with strings": lambda: LONG.assign(label="a"),
    "by times": lambda: LONG.set_index(pd.date_range("2020", periods=len(LONG), freq="s")),
    "polars": lambda: polars_frame(LONG.to_numpy(), NAMES),
    "pyarrow": lambda: arrow_table(LONG.to_numpy(), NAMES),
}


@pytest.mark.parametrize("kind", LONG_TABLES)
def test_long_tables_are_refused_with_the_call_to_make(kind, fitted):
    table, y = LONG_TABLES[kind](), np.arange(len(LONG)) % 2
    message = r"X is a table with the columns \['temp', 'press', 'rpm'.*sequences_from_table\(X, series="
    with pytest.raises(ValueError, match=message):
        classifier().fit(table, y)
    with pytest.raises(ValueError, match=message):
        classifier().partial_fit(table, y, classes=[0, 1])
    with pytest.raises(ValueError, match=r"sequences_from_table\(X, series=|pass it in a list, \[X\]"):
        fitted.predict(table)


@pytest.mark.parametrize(
    "columns",
    [
        range(5),
        [f"t{i}" for i in range(5)],
        [f"lag{i}" for i in (5, 4, 3, 2, 1)],
        [f"v{i}_mm" for i in range(8, 13)],
        ["2020-01-01", "2020-01-02", "2020-01-03", "2020-02-01", "2021-01-01"],
        pd.date_range("2020", periods=5),
        [0.0, 0.5, 1.0, 1.5, 2.0],
    ],
    ids=lambda columns: str(columns[0]),
)
def test_tables_whose_columns_are_steps_are_read(columns):
    table = pd.DataFrame(rng.normal(size=(20, 5)), columns=columns)
    assert classifier().fit(table, np.arange(20) % 2).U_.shape == (4, 1)


def test_columns_of_steps_in_the_order_of_their_letters_are_refused():
    table = pd.DataFrame(rng.normal(size=(20, 12)), columns=sorted(f"t{i}" for i in range(12)))
    with pytest.raises(ValueError, match=r"\['t0', 't1', 't10', 't11', 't2'"):
        classifier().fit(table, np.arange(20) % 2)
