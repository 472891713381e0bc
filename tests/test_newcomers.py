"""Data as people bring them, right or wrong: they are read right in any container, or it is said what is not.

What is wrong raises an error, or warns, and names the argument, what was found, and what to write instead; nothing is
read as something else without a word.
"""

import collections
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from admmirnn import RNNClassifier, RNNRegressor, sequences_from_table
from admmirnn.preprocessing import SequenceScaler, cut_padding

try:
    import polars
    import pyarrow
except ImportError:
    polars = pyarrow = None

NAMES = ["temp", "press", "rpm"]
REMEDIES = ("Reshape", "pass", "give", "make", "leave", "put", "read the file", "remove")


def frame(x, names):
    return pd.DataFrame(x, columns=names)


def frame_of_one(x):
    return frame(x, ["a", "b"])


def frame_of_three(x):
    return frame(x, NAMES)


def records(x, names):
    return np.array([tuple(row) for row in x], dtype=[(name, x.dtype) for name in names])


def columns_of(x, names):
    return {name: x[:, j].astype(x.dtype.newbyteorder("=")) for j, name in enumerate(names)}


# one sequence (n_steps, 3), with or without names
OF_ONE = {
    "array": lambda x, names: x,
    "lists": lambda x, names: x.tolist(),
    "Fortran": lambda x, names: np.asfortranarray(x),
    "strided": lambda x, names: np.repeat(x, 2, axis=1)[:, ::2],
    "pandas": frame,
    "dict": lambda x, names: {name: x[:, j] for j, name in enumerate(names)},
    "structured": records,
    "memory": lambda x, names: memoryview(x.astype(x.dtype.newbyteorder("="))),
    "objects": lambda x, names: x.astype(object),
}
if polars is not None:
    OF_ONE["polars"] = lambda x, names: polars.DataFrame(columns_of(x, names))
    OF_ONE["pyarrow"] = lambda x, names: pyarrow.table(columns_of(x, names))
NAMED = ("pandas", "dict", "structured", "polars", "pyarrow")

# all of them
OF_ALL = {
    "list": list,
    "tuple": tuple,
    "deque": collections.deque,
    "series": lambda items: pd.Series(list(items), index=[f"s{i}" for i in range(len(items))]),
    "objects": lambda items: objects(items),
}


def objects(items):
    found = np.empty(len(items), object)
    for i, item in enumerate(items):
        found[i] = item
    return found


DTYPES = ["f8", "f4", "i2", "u1", "i8", ">f4"]
OF_TARGETS = {
    "list": list,
    "array": np.asarray,
    "tuple": tuple,
    "series": lambda y: pd.Series(list(y)),
    "objects": lambda y: objects(list(y)),
}
KINDS = ("label", "labels", "value", "values", "step values")


def drawn(seed, ragged, n_steps, dtype):
    """Sequences, and what they are to be told by."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, n_steps + 1, 16) if ragged else np.full(16, n_steps)
    if ragged:
        lengths[:2] = 3, n_steps
    return [rng.integers(0, 100, (n, 3)).astype(dtype) for n in lengths]


def targets(kind, X):
    sums = [x.sum(axis=1).astype(float) for x in X]
    if kind == "label":
        return ["high" if i % 2 else "low" for i in range(len(X))]
    if kind == "labels":
        return [np.where(np.arange(len(x)) % 2, "high", "low") for x in X]
    if kind == "value":
        return [x[-1] for x in sums]
    if kind == "values":
        return [np.array([x[-1], x[0]]) for x in sums]
    return sums


def model_of(kind, **more):
    of = {"hidden_size": 3, "max_epochs": 1, "scale": 0.01, "random_state": 0, "shuffle": False, **more}
    if kind in ("label", "labels"):
        return RNNClassifier(**of)
    return RNNRegressor(**of)


def target_of(kind):
    return "step" if kind in ("labels", "step values") else "sequence"


def assert_said(call, argument):
    """It raises, or warns, and says of what argument, and what to write instead; what it warned of, or None."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = call()
        except (ValueError, TypeError) as error:
            said = str(error)
            assert argument in said and any(word in said for word in REMEDIES), said
            return
    said = [str(warning.message) for warning in caught if warning.category is UserWarning]
    assert any(argument in text and any(word in text for word in REMEDIES) for text in said), (found, said)


def rows(found):
    return np.concatenate([np.ravel(np.asarray(row, dtype=object)) for row in found])


COMMON = {
    "seed": st.integers(0, 99),
    "kind": st.sampled_from(KINDS),
    "dtype": st.sampled_from(DTYPES),
    "one": st.sampled_from(sorted(OF_ONE)),
    "all_": st.sampled_from(sorted(OF_ALL)),
    "of_y": st.sampled_from(sorted(OF_TARGETS)),
    "ragged": st.booleans(),
    "n_steps": st.integers(4, 7),
}
HOW = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@HOW
@given(**COMMON, order=st.permutations(range(3)), entry=st.sampled_from(["fit", "partial_fit", "validation", "score"]))
def test_what_is_right_is_read_right(seed, kind, dtype, one, all_, of_y, ragged, n_steps, order, entry):
    X = drawn(seed, ragged, n_steps, dtype)
    plain = [np.asarray(x, float) for x in X]
    y = targets(kind, plain)
    said = {"targets": target_of(kind)}
    expected = model_of(kind, **said).fit(plain, y, validation_data=(plain, y))
    if of_y == "array" and kind in ("labels", "step values") and ragged:
        of_y = "list"  # which has no array
    given_y = OF_TARGETS[of_y](y)
    names = [NAMES[j] for j in order]
    in_names = OF_ALL[all_]([OF_ONE[one](x, NAMES) for x in X])
    in_order = in_names if one not in NAMED else OF_ALL[all_]([OF_ONE[one](x[:, list(order)], names) for x in X])
    model = model_of(kind, **said)
    model.fit(in_names, given_y, validation_data=(in_order, given_y))
    for name in ("U_", "W_", "V_"):
        np.testing.assert_allclose(getattr(model, name), getattr(expected, name), rtol=1e-3, atol=1e-5)
    if entry == "validation":
        assert model.history_[0]["validation_loss"] == pytest.approx(expected.history_[0]["validation_loss"], rel=1e-3)
    elif entry == "score":
        assert model.score(in_order, given_y) == pytest.approx(expected.score(plain, y), rel=1e-3, abs=1e-5)
    elif entry == "partial_fit":
        model.set_params(targets="auto").partial_fit(in_order, given_y)
        expected.partial_fit(plain, y)
        np.testing.assert_allclose(model.W_, expected.W_, rtol=1e-3, atol=1e-5)
    found, wanted = rows(model.predict(in_order)), rows(expected.predict(plain))
    if kind in ("label", "labels"):
        assert np.mean(found == wanted) > 0.9  # but for ties by rounding
    else:
        np.testing.assert_allclose(found.astype(float), wanted.astype(float), rtol=1e-3, atol=1e-3)


@HOW
@given(**COMMON)
def test_without_a_setting_it_is_the_same_or_there_is_a_warning(seed, kind, dtype, one, all_, of_y, ragged, n_steps):
    X = drawn(seed, ragged, n_steps, dtype)
    y = targets(kind, [np.asarray(x, float) for x in X])
    if of_y == "array" and kind in ("labels", "step values") and ragged:
        of_y = "list"
    given_X = OF_ALL[all_]([OF_ONE[one](x, NAMES) for x in X])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = model_of(kind).fit(given_X, OF_TARGETS[of_y](y))
        except ValueError as error:
            assert "y[" in str(error) and "targets='sequence'" in str(error)
            return
    told = any("targets=" in str(warning.message) for warning in caught)
    assert told or (model._form_of_targets != "sequence") == (target_of(kind) == "step")


def one_step_less(y, i):
    y = [np.asarray(row) for row in y]
    return [row[:-1] if j == i else row for j, row in enumerate(y)]


MISTAKES = {
    "a bare sequence": lambda X, y, names: (X[0], y),
    "a bare series": lambda X, y, names: (X[0][:, 0], y),
    "one observation": lambda X, y, names: (X[0][0], y),
    "transposed": lambda X, y, names: ([x.T for x in X], y),
    "renamed": lambda X, y, names: ([frame(x, ["temp", "press", "speed"]) for x in X], y),
    "a feature less": lambda X, y, names: ([frame(x[:, :2], names[:2]) for x in X], y),
    "names in some": lambda X, y, names: ([frame(x, names) if i else x for i, x in enumerate(X)], y),
    "twice": lambda X, y, names: ([frame(x, ["temp", "temp", "rpm"]) for x in X], y),
    "numbered in another order": lambda X, y, names: ([frame(x, [2, 0, 1]) for x in X], y),
    "a long table": lambda X, y, names: (frame(np.concatenate(X), names), y),
    "a table with series": lambda X, y, names: (frame(np.concatenate(X), names).assign(s=0), y),
    "a nested frame": lambda X, y, names: (pd.DataFrame({n: [x[:, j] for x in X] for j, n in enumerate(names)}), y),
    "a dict": lambda X, y, names: ({str(i): x for i, x in enumerate(X)}, y),
    "text": lambda X, y, names: ("readings.csv", y),
    "strings": lambda X, y, names: ([x.astype(str) + "a" for x in X], y),
    "an empty sequence": lambda X, y, names: ([*X[:-1], X[-1][:0]], y),
    "four axes": lambda X, y, names: (np.zeros((16, 2, 3, 4)), y),
    "single steps": lambda X, y, names: (np.stack([x[:1] for x in X]), y),
}
OF_Y = {
    "one less": lambda y, kind: y[:-1],
    "a step less in one": lambda y, kind: one_step_less(y, 3) if target_of(kind) == "step" else None,
    "a step less in all": lambda y, kind: [row[:-1] for row in y] if target_of(kind) == "step" else None,
    "a step more in all": lambda y, kind: [np.r_[row, row[:1]] for row in y] if target_of(kind) == "step" else None,
    "all steps in one array": lambda y, kind: np.concatenate(y) if target_of(kind) == "step" else None,
    "missing": lambda y, kind: [*y[:5], None, *y[6:]] if kind in ("label", "value") else None,
    "mixed": lambda y, kind: [*y[:5], 3, *y[6:]] if kind == "label" else None,
    "infinite": lambda y, kind: [*y[:5], np.inf, *y[6:]] if kind == "value" else None,
    "three axes": lambda y, kind: np.zeros((16, 1, 9)) if kind in ("value", "values") else None,
    "strings for numbers": lambda y, kind: ["a"] * 16 if kind == "value" else None,
    "none": lambda y, kind: None if kind == "label" else None,
}


@HOW
@given(
    seed=st.integers(0, 99),
    kind=st.sampled_from(KINDS),
    mistake=st.sampled_from(sorted(MISTAKES)),
    entry=st.sampled_from(["fit", "partial_fit", "validation", "predict", "score"]),
    ragged=st.booleans(),
)
def test_what_is_wrong_with_X_is_said(seed, kind, mistake, entry, ragged):
    X = drawn(seed, ragged, 6, "f8")
    y = targets(kind, X)
    named = [frame(x, NAMES) for x in X]
    wrong, of_wrong = MISTAKES[mistake](X, y, NAMES)
    model = model_of(kind, targets=target_of(kind))
    if entry == "validation":
        assert_said(lambda: model.fit(named, y, validation_data=(wrong, of_wrong)), "X")
    elif entry == "fit":
        if mistake == "renamed" or mistake == "a feature less":
            return  # which are names like others
        if mistake in ("a bare sequence",):
            return  # an array of two axes may be a table of sequences of one feature
        if mistake == "transposed" and not ragged:
            return  # and arrays of one length are read as they stand
        assert_said(lambda: model.fit(wrong, of_wrong), "X")
    elif entry == "partial_fit":
        model.partial_fit(named, y, **({"classes": ["high", "low"]} if kind[:5] == "label" else {}))
        if mistake != "single steps" or target_of(kind) == "step":
            assert_said(lambda: model.partial_fit(wrong, of_wrong), "X")
    else:
        model.fit(named, y)
        if mistake == "single steps":
            return  # of which there may be some
        call = model.predict if entry == "predict" else lambda X: model.score(X, of_wrong)
        assert_said(lambda: call(wrong), "X")


@HOW
@given(
    seed=st.integers(0, 99),
    kind=st.sampled_from(KINDS),
    mistake=st.sampled_from(sorted(OF_Y)),
    entry=st.sampled_from(["fit", "partial_fit", "validation", "score"]),
    ragged=st.booleans(),
    said=st.booleans(),
)
def test_what_is_wrong_with_y_is_said(seed, kind, mistake, entry, ragged, said):
    X = drawn(seed, ragged, 6, "f8")
    y = targets(kind, X)
    wrong = OF_Y[mistake](y, kind)
    if wrong is None and mistake != "none":
        return
    said = said or kind == "values"  # two of which are about as many as steps
    model = model_of(kind, targets=target_of(kind) if said else "auto")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is right, which other tests look at
        if entry == "partial_fit":
            model.partial_fit(X, y, **({"classes": ["high", "low"]} if kind[:5] == "label" else {}))
        elif entry == "score":
            model.fit(X, y)
    if entry == "fit":
        assert_said(lambda: model.fit(X, wrong), "y")
    elif entry == "validation":
        assert_said(lambda: model.fit(X, y, validation_data=(X, wrong)), "y")
    elif entry == "partial_fit":
        assert_said(lambda: model.partial_fit(X, wrong), "y")
    else:
        assert_said(lambda: model.score(X, wrong), "y")


OF_GAPS = {"NaN": np.nan, "None": None, "NA": pd.NA, "NaT": pd.NaT}


def with_gap(x, one, gap, t, j):
    """A sequence of these containers' makers whose observation at (t, j) is missing, told in this way."""
    if one in ("array", "Fortran", "strided", "structured", "memory", "objects") or (
        one in ("dict", "polars", "pyarrow") and gap != "NaN"
    ):
        gap = "NaN"
    if gap == "NaN":
        x = x.astype("f8")
        x[t, j] = np.nan
        return OF_ONE[one](x, NAMES)
    filled = x.astype(object)
    filled[t, j] = OF_GAPS[gap]
    return filled.tolist() if one == "lists" else pd.DataFrame(filled, columns=NAMES)


@HOW
@given(
    seed=st.integers(0, 99),
    kind=st.sampled_from(KINDS),
    one=st.sampled_from(sorted(OF_ONE)),
    all_=st.sampled_from(sorted(OF_ALL)),
    dtype=st.sampled_from(["f8", "f4"]),
    gap=st.sampled_from(sorted(OF_GAPS)),
    place=st.tuples(st.integers(0, 15), st.integers(0, 2), st.integers(0, 2)),
    entry=st.sampled_from(["fit", "validation", "predict"]),
)
def test_what_is_missing_is_said_or_filled_in(seed, kind, one, all_, dtype, gap, place, entry):
    X = drawn(seed, True, 7, dtype)
    i, t, j = place
    y = targets(kind, [np.asarray(x, float) for x in X])
    given_X = OF_ALL[all_]([with_gap(x, one, gap, t, j) if k == i else OF_ONE[one](x, NAMES) for k, x in enumerate(X)])
    whole = OF_ALL[all_]([OF_ONE[one](x, NAMES) for x in X])
    model = model_of(kind, targets=target_of(kind))
    with pytest.raises(ValueError, match=rf"X.* sequence {i}, step {t}, feature {j}") as said:
        if entry == "fit":
            model.fit(given_X, y)
        elif entry == "validation":
            model.fit(whole, y, validation_data=(given_X, y))
        else:
            model.fit(whole, y).predict(given_X)
    assert "missing='forward'" in str(said.value)
    filled = [np.asarray(x, float).copy() for x in X]
    others = np.concatenate([np.delete(x[:, j], t) if k == i else x[:, j] for k, x in enumerate(filled)])
    filled[i][t, j] = filled[i][t - 1, j] if t else others.mean()
    expected = model_of(kind, targets=target_of(kind)).fit(filled, y)
    model = model_of(kind, targets=target_of(kind), missing="forward").fit(given_X, y)
    np.testing.assert_allclose(model.W_, expected.W_, rtol=1e-3, atol=1e-5)
    found, wanted = rows(model.predict(given_X)), rows(expected.predict(filled))
    if kind in ("label", "labels"):
        assert np.mean(found == wanted) > 0.9
    else:
        np.testing.assert_allclose(found.astype(float), wanted.astype(float), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("form", [np.asarray, np.ndarray.tolist, frame_of_one, lambda x: x.astype(object), np.float64])
def test_large_numbers_keep_their_last_digits_in_any_container(form):
    rng = np.random.default_rng(1)
    small = [rng.integers(0, 1000, (n, 2)) for n in rng.integers(5, 20, 40)]
    y = [x[-1, 0] > 500 for x in small]
    expected = RNNClassifier(4, max_epochs=2, random_state=0).fit(small, y)
    X = [form(10**12 + x) for x in small]
    model = RNNClassifier(4, max_epochs=2, random_state=0).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(small), atol=1e-4)
    mixed = [*X[:20], *(np.asarray(10**12 + x, np.int64) for x in small[20:])] if form is not frame_of_one else X
    np.testing.assert_allclose(model.predict_proba(mixed), model.predict_proba(X), atol=1e-6)


def with_times(x, order):
    times = pd.Timestamp("2026-03-01", tz="UTC") + pd.to_timedelta(np.arange(len(x)), unit="min")
    return pd.DataFrame(x, index=times, columns=["a", "b"]).iloc[order]


def test_frames_whose_index_says_another_order_of_time_are_told():
    x = np.random.default_rng(0).normal(size=(20, 9, 2))
    y = np.arange(20) % 2
    model = RNNClassifier(4, max_epochs=1, random_state=0).fit([with_times(one, slice(None)) for one in x], y)
    newest_first = [with_times(one, slice(None, None, -1)) for one in x]
    for call in (lambda: model.predict(newest_first), lambda: model.fit(newest_first, y)):
        with pytest.warns(UserWarning, match=r"X\[0\] is a frame whose index of times does not .*x.sort_index\(\)"):
            call()


TABLE = pd.DataFrame(
    {
        "pump": np.repeat(np.arange(12), 5),
        "time": np.tile(np.arange(5), 12),
        "a": np.arange(60) / 7,
        "state": np.repeat(["good", "worn"] * 6, 5),
    }
)


@pytest.mark.parametrize("name", [None, "clock"])
def test_tables_whose_index_says_another_order_of_time_are_told(name):
    minutes = pd.to_timedelta(TABLE["time"], unit="min").to_numpy()
    times = pd.DatetimeIndex(pd.Timestamp("2026-03-01") + minutes, name=name)
    table = TABLE.drop(columns="time").set_index(times)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected, _ = sequences_from_table(table, series="pump", label="state")
    with pytest.warns(UserWarning, match="time is None, so that rows stay .*: pass (time='clock'|table.sort_index)"):
        sequences_from_table(table[::-1], series="pump", label="state")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        X, _ = sequences_from_table(table[::-1].sort_index(), series="pump", label="state")
    assert sorted(x["a"].tolist() for x in X) == sorted(x["a"].tolist() for x in expected)


def test_a_few_rows_with_another_label_are_told():
    slip = TABLE.copy()
    slip.loc[7, "state"] = "worn "
    with pytest.warns(UserWarning, match="11 of 12 series have one label in 'state', and 1 has .*label_of='series'"):
        sequences_from_table(slip, series="pump", time="time", features="a", label="state")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, y = sequences_from_table(slip, series="pump", time="time", features=["a"], label="state", label_of="step")
        assert len(y[1]) == 5
        rare = TABLE.assign(state=["alarm" if i == 7 else "good" for i in range(60)])  # which is a label of steps
        assert len(sequences_from_table(rare, series="pump", time="time", features=["a"], label="state")[1][0]) == 5


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pd.Categorical(["on", "off"] * 30), "features has the column 'b', which holds Categorical"),
        (pd.date_range("2026-03-01", periods=60), "features has the column 'b', which holds Datetime"),
        (["1,5"] * 60, "the column 'b' of X.0. holds values that are not numbers .*decimal=','"),
        ([1.5, "-"] * 30, "the column 'b' of X.0. holds values that are not numbers .*errors='coerce'"),
    ],
)
def test_columns_that_are_no_numbers_are_named(column, said):
    with pytest.raises(TypeError, match=said):
        X, y = sequences_from_table(
            TABLE.assign(b=column), series="pump", time="time", features=["a", "b"], label="state"
        )
        RNNClassifier(4, max_epochs=1).fit(X, y)


def test_dicts_of_targets_and_sequences_written_as_text_are_told():
    X = [np.random.default_rng(i).normal(size=(5, 2)) for i in range(6)]
    y = {i: i % 2 for i in range(6)}
    model = RNNClassifier(4, max_epochs=1, random_state=0)
    for call in (lambda: model.fit(X, y), lambda: model.fit(X, [0, 1] * 3, validation_data=(X, y))):
        with pytest.raises(TypeError, match="y is a dict with the keys"):
            call()
    with pytest.raises(TypeError, match=r"X holds strings, .* pass \[json.loads\(x\) for x in X\]"):
        model.fit(pd.Series([str(x.tolist()) for x in X]), [0, 1] * 3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_machines_are_told_about_as_well_as_by_any_setting(tmp_path):
    """Four sensors in units of their own, one of which is constant, gaps, a time zone, 30 to 200 steps."""
    rng = np.random.default_rng(5)
    tables = []
    for machine in range(300):
        state = rng.choice(["healthy", "bearing", "imbalance"], p=[0.6, 0.2, 0.2])
        t, phase = np.arange(rng.integers(30, 200)), rng.uniform(0, 6)
        start = pd.Timestamp("2024-03-31", tz="UTC") + pd.Timedelta(minutes=int(rng.integers(0, 300)))
        values = {
            "temperature": 60 + 0.4 * rng.normal(size=len(t)).cumsum() + (state == "bearing") * 3 * np.sin(1.7 * t),
            "pressure": 101325 + 800 * np.sin(0.2 * t + phase) + 600 * rng.normal(size=len(t)),
            "rpm": 1480 + 15 * rng.normal(size=len(t)) + (state == "imbalance") * 14 * np.sin(0.4 * t + phase),
            "valve": np.full(len(t), 7.0),
        }
        values["temperature"] += rng.normal(size=len(t))
        table = pd.DataFrame({name: np.where(rng.random(len(t)) < 0.02, np.nan, x) for name, x in values.items()})
        table = table.assign(machine=f"M{machine}", state=state)
        table["time"] = (start + pd.to_timedelta(30 * t, unit="s")).tz_convert("Europe/Berlin")  # clocks go forward
        tables.append(table[rng.random(len(t)) > 0.01])
    path = tmp_path / "machines.csv"
    pd.concat(tables).sample(frac=1, random_state=0).to_csv(path, index=False)
    found = pd.read_csv(path)
    found["time"] = pd.to_datetime(found["time"], utc=True)
    names = ["temperature", "pressure", "rpm", "valve"]
    X, y = sequences_from_table(found, series="machine", time="time", features=names, label="state")
    train, test = train_test_split(np.arange(300), test_size=100, stratify=y, random_state=0)
    accuracies = {}
    for readout, cell in [("last", "auto"), ("mean", "auto"), ("max", "auto"), ("mean", "elman"), ("last", "gru")]:
        model = RNNClassifier(missing="forward", readout=readout, cell=cell, random_state=0)
        model.fit([X[i] for i in train], y[train])
        accuracies[readout, cell] = model.score([X[i] for i in test], y[test])
    assert accuracies["last", "auto"] >= max(accuracies.values()) - 0.03, accuracies


def test_steps_before_a_model_keep_the_names_of_features():
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(6, 3)) * [1, 10, 100] for _ in range(8)]
    frames = [frame(x, NAMES) for x in X]
    turned = [one[NAMES[::-1]] if i % 2 else one for i, one in enumerate(frames)]
    for scaler in (SequenceScaler().fit(frames), SequenceScaler().fit(X)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that only one of them has names
            expected, found = scaler.transform(frames), scaler.transform(turned)
            back = scaler.inverse_transform(found)
        for one, other, before, again in zip(expected, found, turned, back, strict=True):
            assert list(other.columns) == list(before.columns)
            pd.testing.assert_frame_equal(other[NAMES], one)
            pd.testing.assert_frame_equal(again, before)


@pytest.mark.parametrize("one", [one for one in NAMED if one in OF_ONE])
def test_padding_is_cut_off_sequences_with_names(one):
    x = np.arange(12.0).reshape(4, 3)
    x[2:] = np.nan
    (cut,) = cut_padding([OF_ONE[one](x, NAMES)])
    assert type(cut) is type(OF_ONE[one](x, NAMES))
    np.testing.assert_array_equal(np.stack([np.asarray(cut[name]) for name in NAMES], axis=1), x[:2])


@pytest.mark.parametrize("form", [np.asarray, np.ndarray.tolist, list, lambda y: y.astype(float), frame_of_three])
def test_zeros_and_a_one_for_each_class_are_told_where_there_are_as_many_steps(form):
    X = np.random.default_rng(0).normal(size=(12, 3, 2))
    classes = np.arange(12) % 3
    y = form(np.eye(3, dtype=int)[classes])
    model = RNNClassifier(4, max_epochs=1, random_state=0)
    with pytest.warns(
        UserWarning, match="y has one 1 and 2 zeros .* pass numpy.argmax.y, axis=1.; pass targets='step'"
    ):
        model.fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RNNClassifier(4, max_epochs=1, random_state=0, targets="step").fit(X, y)
        model.fit(X, classes)
        model.fit(X, np.arange(36).reshape(12, 3) % 2)


def test_another_order_of_the_index_is_told():
    rng = np.random.default_rng(0)
    X = pd.Series([rng.normal(size=(5, 1)) for _ in range(6)], index=list("abcdef"))
    y = pd.Series([0, 1] * 3, index=list("fedcba"))
    weights = pd.Series(np.ones(6), index=list("fedcba"))
    model = RNNClassifier(4, max_epochs=1, random_state=0)
    for call in (
        lambda: model.fit(X, y),
        lambda: model.fit(X, y.loc[X.index], sample_weight=weights),
        lambda: model.fit(X, y.loc[X.index], validation_data=(X, y)),
        lambda: model.score(X, y),
    ):
        with pytest.warns(UserWarning, match="the index of X in another order, .* y.loc.X.index."):
            call()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y.loc[X.index])
        model.fit(X, y.reset_index(drop=True))
        model.fit(X.sample(frac=1, random_state=0), y.sample(frac=1, random_state=0).to_numpy())


def test_targets_that_can_be_read_but_once_are_told():
    X = np.random.default_rng(0).normal(size=(6, 3, 2))
    with pytest.raises(TypeError, match=r"y is <map object .* pass list\(y\)"):
        RNNClassifier(4, max_epochs=1).fit(X, map(int, [0, 1] * 3))
