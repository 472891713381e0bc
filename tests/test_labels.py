"""Labels of every type that numpy, pandas, polars and pyarrow have: kept as they are, or refused with the place."""

import datetime
import enum
import sys
from collections import Counter
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from admmirnn import RNNClassifier
from admmirnn.data.labels import check_label_column
from admmirnn.data.reading import read_sequences
from admmirnn.data.reading_targets import (
    check_indicators,
    check_labels,
    check_labels_per_step,
    check_sample_weight,
    check_values,
)

rng = np.random.default_rng(0)
N, T = 24, 4
X = [rng.normal(size=(T, 2)) for _ in range(N)]
B = np.arange(N) % 2
STRINGS = np.array(["a", "b"])
STRING_DTYPE = getattr(np.dtypes, "StringDType", None)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


def classifier(**settings):
    return RNNClassifier(**{"hidden_size": 4, "max_epochs": 1, "random_state": 0, **settings})


def of_two(one, other):
    return [other if b else one for b in B]


def series(values, **kind):
    return pd.Series(values, **kind).take(B).reset_index(drop=True)


def polars_series(values, **kind):
    return pytest.importorskip("polars").Series(of_two(*values), **kind)


def polars_type(name, *arguments):
    polars = pytest.importorskip("polars")
    return getattr(polars, name)(*arguments) if arguments else getattr(polars, name)


def arrow(values):
    return pytest.importorskip("pyarrow").array(values)


RIGHT = {
    **{
        name: (lambda name=name: B.astype(name), np.dtype(name))
        for name in ("i1", "u8", "bool", "f2", "f4", "g", ">i4")
    },
    "strings": (lambda: STRINGS[B], np.dtype("U1")),
    "bytes": (lambda: np.array([b"a", b"b"])[B], np.dtype("S1")),
    "objects": (lambda: STRINGS.astype(object)[B], object),
    "datetime64": (lambda: np.array(["2020-01-01", "2021-01-01"], "M8[D]")[B], np.dtype("M8[D]")),
    "timedelta64": (lambda: np.array([1, 2], "m8[s]")[B], np.dtype("m8[s]")),
    "list of numpy strings": (lambda: list(STRINGS[B]), np.dtype("U1")),
    "integers and floats": (lambda: of_two(1, 2.0), np.dtype(float)),
    "empty strings": (lambda: of_two("", "a"), np.dtype("U1")),
    "large integers": (lambda: of_two(10**30, 10**31), object),
    "decimals": (lambda: of_two(Decimal(0), Decimal(1)), object),
    "fractions": (lambda: of_two(Fraction(0), Fraction(1, 2)), object),
    "dates": (lambda: of_two(datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)), object),
    "timestamps": (lambda: of_two(pd.Timestamp("2020"), pd.Timestamp("2021")), object),
    "pandas string": (lambda: series(["a", "b"], dtype="string"), object),
    "pandas category": (lambda: series(["a", "b"]).astype("category"), object),
    "pandas Categorical": (lambda: pd.Categorical(STRINGS[B]), object),
    "pandas Int64": (lambda: series([0, 1], dtype="Int64"), np.dtype("i8")),
    "pandas Float32": (lambda: series([0, 1], dtype="Float32"), np.dtype("f4")),
    "pandas boolean": (lambda: series([False, True], dtype="boolean"), np.dtype(bool)),
    "pandas period": (lambda: series(pd.period_range("2020", "2021", freq="Y")), object),
    "pandas with a zone": (lambda: series(pd.date_range("2020", periods=2, tz="Europe/Berlin")), object),
    "pandas interval": (lambda: series(pd.interval_range(0, 2)), object),
    "pandas Index": (lambda: pd.Index(["a", "b"]).take(B), object),
    "polars": (lambda: polars_series("ab"), np.dtype("U1")),
    "polars Categorical": (lambda: polars_series("ab", dtype=polars_type("Categorical")), object),
    "polars Enum": (lambda: polars_series("ab", dtype=polars_type("Enum", ["a", "b"])), object),
    "polars Boolean": (lambda: polars_series([False, True]), np.dtype(bool)),
    "pyarrow": (lambda: arrow(STRINGS[B].tolist()), object),
    "pyarrow dictionary": (lambda: arrow(STRINGS[B].tolist()).dictionary_encode(), object),
}
if STRING_DTYPE:
    RIGHT["StringDType"] = (lambda: STRINGS[B].astype(STRING_DTYPE()), object)


@pytest.mark.parametrize("name", RIGHT)
def test_labels_keep_their_type(name):
    make, dtype = RIGHT[name]
    y = make()
    plain = list(y.to_pylist() if hasattr(y, "to_pylist") else y)
    model = classifier().fit(X, y)
    assert model.classes_.dtype == dtype or model.classes_.dtype.kind == np.dtype(dtype).kind
    assert set(model.classes_.tolist()) == {x.item() if isinstance(x, np.generic) else x for x in plain}
    predicted = model.predict(X)
    assert model.score(X, y) == np.mean([found == true for found, true in zip(predicted, plain, strict=True)])
    assert model.partial_fit(X, y).classes_.shape == (2,)
    assert classifier().partial_fit(X, y, classes=y).classes_.shape == (2,)
    assert "validation_accuracy" in classifier().fit(X, y, validation_data=(X[:5], plain[:5])).history_[0]


@pytest.mark.parametrize("name", [name for name in RIGHT if not name.startswith(("polars", "pyarrow"))])
def test_labels_of_steps_keep_their_type(name):
    y = RIGHT[name][0]()
    of_steps = [y.take([i] * T) if hasattr(y, "take") else [y[i]] * T for i in range(N)]
    model = classifier().fit(X, of_steps)
    assert model.classes_.dtype.kind == np.dtype(RIGHT[name][1]).kind
    assert 0 <= model.score(X, of_steps) <= 1
    assert np.concatenate(list(model.predict(X))).shape == (N * T,)


MISSING = {
    "None": lambda: [*STRINGS[B[:-1]], None],
    "NaN among strings": lambda: [*STRINGS[B[:-1]], np.nan],
    "NaN": lambda: np.r_[B[:-1], np.nan],
    "pandas.NA": lambda: [*STRINGS[B[:-1]], pd.NA],
    "NaT": lambda: np.array(["2020-01-01", "2021-01-01"] * (N // 2 - 1) + ["2020-01-01", "NaT"], "M8[D]"),
    **{
        kind: lambda kind=kind: pd.Series([*B[:-1], None], dtype=kind)
        for kind in ("Int64", "Float64", "boolean", "object")
    },
    "pandas string": lambda: pd.Series([*STRINGS[B[:-1]], None], dtype="string"),
    "pandas category": lambda: pd.Series([*STRINGS[B[:-1]], None]).astype("category"),
    "polars": lambda: pytest.importorskip("polars").Series([*STRINGS[B[:-1]].tolist(), None]),
    "polars integers": lambda: pytest.importorskip("polars").Series([*B[:-1].tolist(), None]),
    "pyarrow": lambda: arrow([*STRINGS[B[:-1]].tolist(), None]),
}
if STRING_DTYPE:
    for na in (None, np.nan):
        MISSING[f"StringDType {na}"] = lambda na=na: np.array([*STRINGS[B[:-1]], na], dtype=STRING_DTYPE(na_object=na))


def in_a_list(y):
    return y.to_pylist() if hasattr(y, "to_pylist") else list(y)


@pytest.mark.parametrize("name", MISSING)
def test_missing_labels_are_refused_with_their_place(name):
    y = MISSING[name]()
    for call in (
        lambda: classifier().fit(X, y),
        lambda: classifier().partial_fit(X, y, classes=sorted(set(in_a_list(y)[:2]))),
        lambda: classifier().fit(X, [b == 1 for b in B], validation_data=(X, y)),
    ):
        with pytest.raises((ValueError, TypeError), match=f"y contains NaN .*, first at index {N - 1}"):
            call()


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_a_missing_label_of_a_step_is_refused_with_its_place(missing):
    y = [[*STRINGS[B[:T]]] for _ in range(N)]
    y[7][2] = missing
    with pytest.raises(ValueError, match=r"first at step 2 of y\[7\]; say with ignore_label"):
        classifier().fit(X, y)
    for stand_in in (-1, "", None):
        y[7][2] = -1 if stand_in is None else stand_in
        if stand_in is not None:
            model = classifier(ignore_label=stand_in).fit(X, y)
            assert model.classes_.tolist() == ["a", "b"] and 0 <= model.score(X, y) <= 1


MIXED = [(1, "a"), (True, "a"), (True, 2), (b"a", "a"), (1.5, "a"), (datetime.date(2020, 1, 1), "a")]


@pytest.mark.parametrize("pair", MIXED, ids=repr)
@pytest.mark.parametrize(
    "container", [list, tuple, lambda y: np.array(y, dtype=object), lambda y: pd.Series(y, dtype=object)]
)
def test_labels_of_several_types_are_refused_with_their_places(pair, container):
    y = container(of_two(*pair))
    with pytest.raises(TypeError, match=r"y\[1\] is .* of type .*, and y\[0\] is .* make them all one type"):
        classifier().fit(X, y)
    with pytest.raises(TypeError, match="y"):
        classifier().fit(X, [[pair[b]] * T for b in B])


def test_labels_that_have_no_order_are_refused():
    X, y = np.zeros((6, 2, 1)), [frozenset({i % 3}) for i in range(6)]
    with pytest.raises(TypeError, match="labels that cannot be sorted .of some of them neither is less"):
        RNNClassifier(2, max_epochs=1).fit(X, y)


def test_integers_that_numpy_rounds_are_different_labels():
    X, y = np.random.default_rng(0).normal(size=(6, 2, 1)), [2**63, 2**63 + 1, 1] * 2
    fitted = RNNClassifier(2, max_epochs=1, random_state=0).fit(X, y)
    assert fitted.classes_.tolist() == [1, 2**63, 2**63 + 1]
    assert set(fitted.predict(X)) <= set(y)


def test_labels_that_are_no_numbers_or_strings():
    with pytest.raises(TypeError, match="labels that cannot be sorted .*, such as .*; pass numbers or strings"):
        classifier().fit(X, of_two(Colour.RED, Colour.BLUE))
    with pytest.raises(TypeError, match=r"y holds records with the fields \('a',\); pass one of them"):
        classifier().fit(X, np.array([(0,), (1,)], dtype=[("a", "i4")])[B])


def test_a_score_is_of_labels_of_the_same_type():
    model = classifier().fit(X, B)
    with pytest.raises(TypeError, match="y has labels like .*a.*, and others are like .*0"):
        model.score(X, STRINGS[B])
    assert model.score(X, B.astype(bool)) == model.score(X, B)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.uint64, bool])
def test_integers_are_sorted_without_sorting(dtype):
    rng = np.random.default_rng(0)
    low, high = (0, 2) if dtype is bool else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    for span in (1, 3, 200):
        span = min(span, high - low)
        for first in (low, high - span):
            y = np.array([first + int(i) for i in rng.integers(0, span + (dtype is not bool), 500)], dtype)
            for found, expected in zip(
                check_label_column(y, "index {}".format), np.unique(y, return_inverse=True), strict=True
            ):
                assert found.dtype == expected.dtype
                np.testing.assert_array_equal(found, expected)


def test_lists_of_arrays_are_not_looked_at_one_by_one():
    """A microsecond a sequence is a matter of how often Python is asked: counted, as clocks depend on the machine."""
    n = 1000
    lengths = np.full(n, 3)
    y = list(np.arange(3 * n).reshape(n, 3) % 2)
    readings = {
        "labels": lambda: check_labels(y, lengths, per_step=True),
        "labels to compare": lambda: check_labels_per_step(y, lengths),
        "values": lambda: check_values([row.astype(float) for row in y], lengths, targets="step"),
        "weights": lambda: check_sample_weight([row + 1 for row in y], lengths, per_step=True),
        "array of weights": lambda: check_sample_weight(np.ones((n, 3)), lengths, per_step=True),
        "indicators": lambda: check_indicators([np.eye(3)] * n, lengths),
        "observations": lambda: read_sequences(RNNClassifier(), [np.ones((3, 2), np.float32)] * n, np.dtype("f4")),
    }
    for name, read in readings.items():
        read()
        assert calls_of(read) < 8 * n, name


def calls_of(function):
    """How many functions are called meanwhile, those in C as well."""
    counts = Counter()
    sys.setprofile(lambda frame, event, of: counts.update([event]))
    try:
        function()
    finally:
        sys.setprofile(None)
    return counts["call"] + counts["c_call"]


def test_zeros_and_ones_for_each_step_are_refused_with_what_to_pass():
    with pytest.raises(ValueError, match=r"y has the shape \(4, 3, 2\); .* y.argmax\(axis=-1\) of zeros and ones"):
        check_labels(np.zeros((4, 3, 2)), [3, 3, 3, 3], per_step=True)
