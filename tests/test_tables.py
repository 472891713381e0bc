"""Sequences from long tables, nested frames, and arrays with channels first."""

import sys
from datetime import datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest

import admmirnn
from admmirnn import RNNClassifier, sequences_from_channels_first, sequences_from_nested, sequences_from_table

pytest.importorskip("narwhals")
rng = np.random.default_rng(0)
LENGTHS = [4, 6, 5, 7]
IDS = ["d", "a", "c", "b"]  # in the order in which they come
ARRAYS = [rng.normal(size=(n, 2)) for n in LENGTHS]
LABELS = ["good", "bad", "bad", "good"]
HOURS = [pd.Timestamp("2024-03-31", tz="UTC") + pd.Timedelta(minutes=10 * i) for i in range(9)]


def long_table(times=None, **more):
    """One row per observation; rows of different series one after the other in time, as a logger writes them."""
    rows = [
        {"id": name, "t": (times or HOURS)[t], "a": x[t, 0], "b": x[t, 1], "state": label, "t0": t}
        for name, x, label in zip(IDS, ARRAYS, LABELS, strict=True)
        for t in range(len(x))
    ]
    table = pd.DataFrame(sorted(rows, key=lambda row: row["t0"])).drop(columns="t0")
    return table.assign(**more)


def polars(table):
    columns = {name: [None if v is None or v != v else v for v in table[name]] for name in table}
    return pytest.importorskip("polars").DataFrame(columns)


def pyarrow(table):
    return pytest.importorskip("pyarrow").Table.from_pandas(table, preserve_index=False)


def indexed(table):
    return table.set_index(["id", "t"])


KINDS = {"pandas": lambda table: table, "polars": polars, "pyarrow": pyarrow, "indexed": indexed}


def assert_sequences(X, expected=ARRAYS):
    assert len(X) == len(expected)
    for found, array in zip(X, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(found), array)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shuffled", [False, True])
def test_a_long_table_becomes_sequences(kind, shuffled):
    table = long_table()
    if shuffled:
        table = table.sample(frac=1, random_state=0)
    X, y, names = sequences_from_table(KINDS[kind](table), series="id", time="t", label="state", return_series=True)
    order = [names.index(name) for name in IDS]
    assert shuffled or names == IDS
    assert_sequences([X[i] for i in order])
    assert [y[i] for i in order] == LABELS
    model = RNNClassifier(4, max_epochs=1, random_state=0).fit(X, y)
    assert model.feature_names_in_.tolist() == ["a", "b"]
    of_other_order = sequences_from_table(KINDS[kind](table), series="id", time="t", features=["b", "a"])
    np.testing.assert_array_equal(model.predict(of_other_order), model.predict(X))


def strings(times):
    return [time.isoformat() for time in times]


ZONE = timezone(timedelta(hours=2))
TIMES = {
    "with a zone": HOURS,
    "without": [time.tz_localize(None) for time in HOURS],
    "in a zone whose clocks go back": [
        pd.Timestamp("2024-10-27 00:30", tz="UTC").tz_convert("Europe/Berlin") + pd.Timedelta(minutes=30 * i)
        for i in range(9)
    ],
    "dates": [(pd.Timestamp("2024-12-28") + pd.Timedelta(days=i)).date() for i in range(9)],
    "integers": [8, 9, 10, 11, 100, 101, 102, 1000, 1001],
    "floats": [-1.5, -1, 0, 0.5, 1e-9 + 0.5, 1, 2, 3, 1e9],
    "time spans": [pd.Timedelta(seconds=i) for i in range(9)],
    "of several zones": [
        datetime(2024, 1, 1, i, tzinfo=timezone.utc).astimezone(ZONE if i % 2 else timezone.utc) for i in range(9)
    ],
    "periods": list(pd.period_range("2024-01", periods=9, freq="M")),
}


@pytest.mark.parametrize("kind", TIMES)
def test_times_are_sorted_as_times(kind):
    table = long_table(TIMES[kind]).sample(frac=1, random_state=1)
    X, names = sequences_from_table(table, series="id", time="t", features=["a", "b"], return_series=True)
    assert_sequences([X[names.index(name)] for name in IDS])


STRINGS = {
    "with a zone": strings(HOURS),
    "with Z": [time.strftime("%Y-%m-%dT%H:%M:%SZ") for time in HOURS],
    "with a space": [time.strftime("%Y-%m-%d %H:%M:%S") for time in HOURS],
    "of clocks that go back": strings(TIMES["in a zone whose clocks go back"]),
    "dates": ["2024-01-01", "2024-01-02", "2024-01-10", "2024-02-01", "2024-10-01", "2024-11-01", *"abc"][:6]
    + ["2024-12-01", "2025-01-01", "2025-01-02"],
    "numbers": [str(i) for i in (8, 9, 10, 11, 100, 101, 102, 1000, 1001)],
}


@pytest.mark.parametrize("kind", STRINGS)
@pytest.mark.parametrize("container", ["pandas", "polars", "pyarrow"])
def test_strings_are_read_as_times_with_a_warning(kind, container):
    table = KINDS[container](long_table(STRINGS[kind]).sample(frac=1, random_state=1))
    with pytest.warns(UserWarning, match="the column 't' holds strings, which are read as times") as caught:
        X, names = sequences_from_table(table, series="id", time="t", features=["a", "b"], return_series=True)
    assert caught[0].filename == __file__
    assert_sequences([X[names.index(name)] for name in IDS])


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_labels_of_steps(kind):
    table = long_table()
    table["state"] = np.where(table["a"] > 0, "up", "down")
    X, y = sequences_from_table(KINDS[kind](table), series="id", time="t", label="state")
    assert [list(labels) for labels in y] == [np.where(x[:, 0] > 0, "up", "down").tolist() for x in ARRAYS]
    assert RNNClassifier(4, max_epochs=1).fit(X, y).score(X, y) >= 0
    table = long_table()
    _, y = sequences_from_table(KINDS[kind](table), series="id", time="t", label="state", label_of="step")
    assert [list(labels) for labels in y] == [[label] * n for label, n in zip(LABELS, LENGTHS, strict=True)]


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_the_label_of_a_series_may_be_at_some_of_its_rows_only(kind):
    table = long_table()
    table["state"] = table["state"].where(~table.duplicated("id"), None)
    _, y = sequences_from_table(KINDS[kind](table), series="id", time="t", label="state")
    assert y.tolist() == LABELS
    table["state"] = None
    with pytest.raises(ValueError, match="the series 'd' has no label in 'state'; give it one"):
        sequences_from_table(KINDS[kind](table), series="id", time="t", label="state")
    table = long_table()
    table.loc[0, "state"] = "bad"
    with pytest.raises(ValueError, match=r"the series 'd' has the labels \['bad', 'good'\] in 'state'"):
        sequences_from_table(KINDS[kind](table), series="id", time="t", label="state", label_of="series")


def test_several_columns_of_targets_and_of_series():
    table = long_table(c=1.0, d=np.arange(22.0))
    _, y = sequences_from_table(table, series="id", time="t", features=["a"], label=["c", "d"])
    assert [values.shape for values in y] == [(n, 2) for n in LENGTHS]
    _, y = sequences_from_table(table, series="id", time="t", features=["a"], label=["c"])
    assert y.tolist() == [1.0] * 4
    table["half"] = np.repeat([0, 1], 11)
    X, names = sequences_from_table(table, series=["id", "half"], time="t", features=["a"], return_series=True)
    assert len(X) == len(names) == 8 and names[0] == ("d", 0)


def test_a_table_of_one_series():
    one = long_table()[["a", "b"]]
    (x,) = sequences_from_table(one)
    np.testing.assert_array_equal(x, one)
    named = one.set_index(pd.RangeIndex(len(one), name="row"))
    (x,) = sequences_from_table(named, time="row")
    assert list(x) == ["a", "b"]
    (x,) = sequences_from_table(named)  # an index is no feature
    assert list(x) == ["a", "b"]


@pytest.mark.parametrize(
    ("change", "arguments", "error", "message"),
    [
        ({}, {"series": "pump"}, ValueError, "series is 'pump', and the columns are"),
        ({}, {"time": "hour"}, ValueError, "time is 'hour', and the columns are"),
        ({}, {"features": ["a", "q"]}, ValueError, "features is 'q', and the columns are"),
        ({}, {"features": ["a", "t"]}, ValueError, "features and time both have the column 't'"),
        ({}, {"label": None}, TypeError, "the column 'state' holds String, and not numbers"),
        ({"id": None}, {}, ValueError, "row 0 has no 'id'"),
        ({"t": pd.NaT}, {}, ValueError, "row 0 has no 't'"),
        ({"t": np.nan}, {}, ValueError, "row 0 has no 't'"),
        ({"t": "31/12/2024"}, {}, ValueError, "row 0 has '31/12/2024' for 't', which is not a time.*ISO 8601"),
        ({}, {"label_of": "row"}, ValueError, "label_of is 'row'"),
        ({}, {"features": []}, ValueError, "left for features"),
    ],
)
@pytest.mark.filterwarnings("ignore:the column 't' holds strings")
def test_what_does_not_fit_is_refused(change, arguments, error, message):
    with pytest.raises(error, match=message):
        sequences_from_table(long_table(**change), **{"series": "id", "time": "t", "label": "state", **arguments})


@pytest.mark.filterwarnings("ignore:the column 't' holds strings")
def test_other_tables_are_refused():
    with pytest.raises(TypeError, match="table is of type ndarray; pass a data frame"):
        sequences_from_table(np.zeros((3, 2)))
    for ids in (pd.array([1, None, 2], dtype="Int64"), pd.Series(["a", pd.NA, "b"], dtype=object)):
        with pytest.raises(ValueError, match="row 1 has no 'id'"):
            sequences_from_table(pd.DataFrame({"id": ids, "x": [1.0, 2.0, 3.0]}), series="id")
    with pytest.raises(ValueError, match="table has no rows"):
        sequences_from_table(long_table().iloc[:0], series="id", label="state", time="t")
    mixed = long_table([*strings(HOURS[:3]), *[time.strftime("%Y-%m-%d %H:%M") for time in HOURS[3:]]])
    with pytest.raises(ValueError, match="times without a zone and times with a zone"):
        sequences_from_table(mixed, series="id", time="t", label="state")


def test_equal_times_keep_the_order_of_the_rows_with_a_warning():
    table = pd.DataFrame({"id": [1, 1, 1], "t": [2, 1, 1], "a": [1.0, 2.0, 3.0]})
    with pytest.warns(
        UserWarning, match=r"1 row\(s\) have the 't' of another row of their series, as rows 1 and 2 of 1"
    ):
        (x,) = sequences_from_table(table, series="id", time="t")
    assert x["a"].tolist() == [2.0, 3.0, 1.0]


def test_without_narwhals_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "narwhals.stable.v2", None)
    with pytest.raises(ImportError, match=r"sequences_from_table needs narwhals.*pip install 'admmirnn\[tables\]'"):
        sequences_from_table(long_table())


# nested frames, channels first


NESTED = {
    "series": lambda: pd.DataFrame({name: [pd.Series(x[:, j]) for x in ARRAYS] for j, name in enumerate("ab")}),
    "arrays": lambda: pd.DataFrame({name: [x[:, j] for x in ARRAYS] for j, name in enumerate("ab")}),
    "lists": lambda: pd.DataFrame({name: [x[:, j].tolist() for x in ARRAYS] for j, name in enumerate("ab")}),
    "polars": lambda: pytest.importorskip("polars").DataFrame(
        {name: [x[:, j].tolist() for x in ARRAYS] for j, name in enumerate("ab")}
    ),
    "pyarrow": lambda: pytest.importorskip("pyarrow").table(
        {name: [x[:, j].tolist() for x in ARRAYS] for j, name in enumerate("ab")}
    ),
}


@pytest.mark.parametrize("kind", NESTED)
def test_nested_frames_become_sequences(kind):
    X = sequences_from_nested(NESTED[kind]())
    model = RNNClassifier(4, max_epochs=1, random_state=0).fit(X, LABELS)
    frames = [pd.DataFrame(x, columns=["a", "b"]) for x in ARRAYS]
    np.testing.assert_array_equal(model.U_, RNNClassifier(4, max_epochs=1, random_state=0).fit(frames, LABELS).U_)
    for call in (lambda X: RNNClassifier().fit(X, LABELS), model.predict):
        with pytest.raises(ValueError, match=r"cells hold series.*sequences_from_nested\(X\)"):
            call(NESTED[kind]())


def test_nested_frames_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="row 0 has 3 steps in the column 'b' and 2 in 'a'"):
        sequences_from_nested(pd.DataFrame({"a": [[1, 2]], "b": [[1, 2, 3]]}))
    with pytest.raises(ValueError, match="row 0 of the column 'a' holds no series.*sequences_from_table"):
        sequences_from_nested(pd.DataFrame({"a": [1.0, 2.0]}))
    with pytest.raises(TypeError, match="row 1 of the column 'a'"):
        sequences_from_nested(pd.DataFrame({"a": [[1.0], ["b"]]}))
    with pytest.raises(TypeError, match="table is of type list"):
        sequences_from_nested([1])


def test_channels_first_become_sequences():
    X = rng.normal(size=(10, 3, 50))
    np.testing.assert_array_equal(sequences_from_channels_first(X), X.transpose(0, 2, 1))
    assert_sequences(sequences_from_channels_first([x.T for x in ARRAYS]))
    with pytest.raises(ValueError, match=r"X has the shape \(3, 50\)"):
        sequences_from_channels_first(X[0])
    with pytest.raises(ValueError, match=r"X\[1\] has 2 channels and X\[0\] has 3"):
        sequences_from_channels_first([X[0], X[1, :2]])
    with pytest.raises(ValueError, match=r"X\[1\] has 1 dimension"):
        sequences_from_channels_first([X[0], X[1, 0]])


def test_they_are_public():
    assert set(admmirnn.tables.__all__) <= set(admmirnn.__all__)
