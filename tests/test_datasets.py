"""Reading real files, and the generated sequences."""

import gzip
import os
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from admmirnn import datasets

needs_data = pytest.mark.skipif(
    "ADMMIRNN_DATA" not in os.environ,
    reason="ADMMIRNN_DATA does not name the folder with mnist/, japanese_vowels/, osuleaf/ and text/",
)


def write_idx(path, array, code):
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    with (gzip.open if path.suffix == ".gz" else open)(path, "wb") as file:
        file.write(header + array.tobytes())


@pytest.mark.parametrize("name", ["images-idx3-ubyte.gz", "images-idx3-ubyte"])
@pytest.mark.parametrize(("code", "dtype"), [(0x08, "u1"), (0x0C, ">i4"), (0x0E, ">f8")])
def test_idx_round_trip(tmp_path, name, code, dtype):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    write_idx(tmp_path / name, array, code)
    np.testing.assert_array_equal(datasets.read_idx(tmp_path / name), array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an IDX file"),
        (b"PK\3\4 not IDX", "is not an IDX file"),
        (b"\0\0\x08\1" + struct.pack(">I", 5) + b"abcd", "holds 4 bytes of data, and its header says 5"),
        (b"\0\0\x08\1" + struct.pack(">I", 3) + b"abcd", "holds more bytes of data, and its header says 3"),
        (b"\0\0\x08\3" + struct.pack(">I", 3), "is not whole"),
        (b"\0\0\x08\4" + 4 * struct.pack(">I", 2**16), f"holds 0 bytes of data, and its header says {2**64}"),
        (b"\0\0\x08\x50" + 80 * struct.pack(">I", 1) + b"a", "numpy cannot make"),
    ],
)
def test_broken_idx_files_are_named(tmp_path, content, message):
    path = tmp_path / "broken"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        datasets.read_idx(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("reader", [datasets.read_idx, datasets.read_ts])
@pytest.mark.parametrize(
    "damage", [lambda b: b[:-9], lambda b: b[:12], lambda b: b"x" + b, lambda b: b[:10] + b"\xff" * 9]
)
def test_broken_gzip_files_are_named(tmp_path, reader, damage):
    path = tmp_path / "broken.gz"
    whole = b"@data\n1,2,3:a\n" * 50
    if reader is datasets.read_idx:
        whole = b"\0\0\x08\1" + struct.pack(">I", 700) + bytes(range(100)) * 7
    path.write_bytes(damage(gzip.compress(whole)))
    with pytest.raises(ValueError, match="is not a complete gzip file") as error:
        reader(path)
    assert str(path) in str(error.value)
    with pytest.raises(FileNotFoundError):
        reader(tmp_path / "missing.gz")


@pytest.mark.parametrize("shape", [(), (0,), (3, 0)])
def test_idx_files_without_numbers_and_of_one(tmp_path, shape):
    write_idx(tmp_path / "small", np.ones(shape, np.uint8), 0x08)
    assert datasets.read_idx(tmp_path / "small").shape == shape


def test_ts_file(tmp_path):
    path = tmp_path / "two.ts"
    path.write_text("@problemName two\n# comment\n@Data\n1,2,3:4,5,6:a\n\n7,8:9,10:b b\n")
    X, y = datasets.read_ts(path)
    np.testing.assert_array_equal(X[0], [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(X[1], [[7, 9], [8, 10]])
    assert y.tolist() == ["a", "b b"]


def write_ts(path, tags, rows):
    """Write tags and series: a row is a list of channels, each a list of numbers, with the label, if any, behind."""
    lines = [":".join(c if isinstance(c, str) else ",".join(map(repr, c)) for c in row) for row in rows]
    text = "\n".join([*tags, "@data", *lines]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all examples of a property."""
    return tmp_path_factory.mktemp("datasets")


VALUES = st.floats(allow_nan=False, width=64)
CLASSES = st.text(st.characters(exclude_characters=":", exclude_categories=["C", "Z"]), min_size=1)


@given(st.data())
@settings(max_examples=60)
def test_ts_round_trip(folder, data):
    draw = data.draw
    n_channels, n_series = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    lengths = draw(st.lists(st.integers(1, 6), min_size=n_series, max_size=n_series))
    X = [draw(hnp.arrays(np.float64, (length, n_channels), elements=VALUES)) for length in lengths]
    kind = draw(st.sampled_from(["class", "target", "none", "untagged"]))
    y = draw(st.lists(VALUES if kind == "target" else CLASSES, min_size=n_series, max_size=n_series))
    labels = [[repr(label) if kind == "target" else label] if kind != "none" else [] for label in y]
    tags = ["# \u00e9: a description", "@problemName x", "@timeStamps false", "@missing false"]
    tags += [f"@univariate {n_channels == 1}", f"@equalLength {len(set(lengths)) == 1}"]
    tags += {
        "class": [f"@classLabel true {' '.join(map(str, set(y)))}" if draw(st.booleans()) else "@classLabel true"],
        "target": ["@classLabel false", "@targetlabel true"],
        "none": ["@classLabel false"],
        "untagged": [],
    }[kind]
    if n_channels > 1:
        tags.append(f"@dimensions {n_channels}")
    case = draw(st.sampled_from([str, str.lower, str.upper]))
    tags = [" ".join([case(tag.split(" ")[0]), *tag.split(" ")[1:]]) for tag in tags]
    path = folder / draw(st.sampled_from(["x.ts", "x.ts.gz"]))
    write_ts(path, tags, [[*x.T.tolist(), *label] for x, label in zip(X, labels, strict=True)])
    X_read, y_read = datasets.read_ts(path)
    for x, x_read in zip(X, X_read, strict=True):
        assert x_read.dtype == np.float64
        np.testing.assert_array_equal(x_read, x)
    if kind == "none":
        assert y_read is None
    else:
        assert y_read.dtype.kind == ("f" if kind == "target" else "U") and y_read.tolist() == y


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2:3:a", "1 to 2 steps"),
        ("1,x:3,4:a", "could not convert string to float: 'x'"),
        ("1,:3,4:a", "could not convert"),
        ("(0,1),(1,2):(0,3),(1,4):a", "could not convert"),
        ("a", "separated by ':'"),
        ("1,2:3,4:", "the class is ''"),
        ("1,2:3,4:c", "the class is 'c', which @classLabel does not list"),
        ("1,2:a", "there are 1 channels; the lines above have 2"),
        ("1,?:3,4:a", "a value is missing; pass missing="),
        ("1,2:3,NaN:a", "a value is missing"),
        ("1,2:3,\xff:a", "can't decode byte"),
        ("1,2,3:4,5,6:a", "there are 3 steps; the lines above have 2"),
    ],
)
def test_broken_ts_lines_are_named(tmp_path, line, message):
    path = tmp_path / "broken.ts"
    path.write_bytes(f"@equalLength true\n@classLabel true a b\n@data\n1,2:3,4:a\n# \xff\n{line}\n".encode("latin-1"))
    with pytest.raises(ValueError, match=message) as error:
        datasets.read_ts(path)
    assert f"{path}, line 6: " in str(error.value)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ("@univariate\n", "line 1: '@univariate' should say true or false"),
        ("@equalLength maybe\n", "line 1: '@equalLength maybe' should say"),
        ("@dimensions two\n", "line 1: '@dimensions two' should name one number"),
        ("@univariate true\n@dimension 2", "line 2: there are 2 channels; the lines above have 1"),
        ("@classLabel true a\n@targetlabel true", "line 2: @classLabel and @targetLabel are both true"),
        ("@targetlabel true\n@classLabel false", "line 4: the target is '1,2'; it should be one number"),
        ("@targetlabel true\n@classLabel true a", "line 2: @classLabel and @targetLabel are both true"),
    ],
)
def test_broken_ts_headers_are_named(tmp_path, tags, message):
    (tmp_path / "broken.ts").write_text(f"{tags}\n@data\n1,2:1,2\n")
    with pytest.raises(ValueError, match=message):
        datasets.read_ts(tmp_path / "broken.ts")


@pytest.mark.parametrize(
    ("text", "message"), [("", "has no line @data"), ("1,2:a\n", "has no line @data"), ("@data\n\n", "has no series")]
)
def test_empty_ts_files_are_named(tmp_path, text, message):
    (tmp_path / "empty.ts").write_text(text)
    with pytest.raises(ValueError, match=f"empty.ts {message}"):
        datasets.read_ts(tmp_path / "empty.ts")


def test_missing_values_in_ts_files(tmp_path):
    path = tmp_path / "missing.ts"
    path.write_bytes(b"\xef\xbb\xbf@TargetLabel true\r\n@DATA\r\n1, ?,3:nan,5,6:?\r\n7:8:9\r\n")
    X, y = datasets.read_ts(path, missing="nan")
    np.testing.assert_array_equal(X[0], [[1, np.nan], [np.nan, 5], [3, 6]])
    np.testing.assert_array_equal(y, [np.nan, 9])
    with pytest.raises(ValueError, match="line 3: a value is missing"):
        datasets.read_ts(path)
    with pytest.raises(ValueError, match="missing is 'drop'; the known ones are 'raise', 'nan'"):
        datasets.read_ts(path, missing="drop")


def test_missing_files_are_named(tmp_path, monkeypatch):
    monkeypatch.delenv("ADMMIRNN_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="ADMMIRNN_DATA is not set"):
        datasets.load_mnist("train")
    monkeypatch.setenv("ADMMIRNN_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="has no japanese_vowels"):
        datasets.load_japanese_vowels("test")
    with pytest.raises(FileNotFoundError, match="has no text/metamorphosis.txt"):
        datasets.load_text()
    with pytest.raises(ValueError, match="subset is 'validation'"):
        datasets.load_mnist("validation")


def test_digits():
    X, y = datasets.load_digits()
    assert X.shape == (1797, 8, 8) and X.dtype == np.float32 and X.min() == 0 and X.max() == 1
    assert np.bincount(y).shape == (10,)


def test_adding_problem():
    X, y = datasets.adding_problem(500, 9, 3)
    marked = X[:, :, 1] == 1
    assert (marked.sum(axis=1) == 2).all() and (marked[:, :4].sum(axis=1) == 1).all()
    np.testing.assert_allclose(y[:, 0], (X[:, :, 0] * marked).sum(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(datasets.adding_problem(500, 9, 3)[0], X)
    for arguments, error, match in (
        ((5, 1), ValueError, "n_steps is 1; it must be an integer of at least 2"),
        ((0, 5), ValueError, "n_sequences is 0"),
        ((2.0, 5), TypeError, "n_sequences is 2.0"),
        ((2, "5"), TypeError, "n_steps is '5'"),
    ):
        with pytest.raises(error, match=match):
            datasets.adding_problem(*arguments)


def test_copy_task():
    X, y = datasets.copy_task(50, 7, 3, random_state=3)
    assert X.shape == (50, 13, 10) and X.dtype == np.float32 and (X.sum(axis=2) == 1).all()
    read = X.argmax(axis=2)
    assert read[:, :3].max() == 7 and (read[:, 9] == 9).all() and (np.delete(read, [0, 1, 2, 9], axis=1) == 8).all()
    np.testing.assert_array_equal(y[:, -3:], read[:, :3])
    assert (y[:, :-3] == 8).all()
    np.testing.assert_array_equal(datasets.copy_task(50, 7, 3, 3)[0], X)
    for arguments, error, match in (
        ((0, 5), ValueError, "n_sequences is 0"),
        ((5, 0), ValueError, "delay is 0; it must be an integer of at least 1"),
        ((5, 5, 0), ValueError, "n_to_copy is 0"),
        ((5, "5"), TypeError, "delay is '5'"),
    ):
        with pytest.raises(error, match=match):
            datasets.copy_task(*arguments)


def mackey_glass_by_definition(n_steps, past, x, dt, tau, a, b, n):
    """RK4 as in textbooks, the delayed value constant within a step."""
    past, X = list(past), []
    for _ in range(n_steps):
        X.append([x])
        delayed = past[-round(tau / dt)]
        past.append(x)
        slopes, shift = [], 0
        for part in (0.5, 0.5, 1, None):
            slopes.append(a * delayed / (1 + delayed**n) - b * (x + shift))
            shift = part and part * dt * slopes[-1]
        x += dt * np.dot([1 / 6, 1 / 3, 1 / 3, 1 / 6], slopes)
    return X


@pytest.mark.parametrize(("dt", "tau"), [(1, 17), (0.1, 0.3), (0.5, 17), (2.0, 30)])
def test_mackey_glass(dt, tau):
    past = 1.2 + 0.2 * (np.random.default_rng(5555).random(round(tau / dt)) - 0.5)
    X = datasets.mackey_glass(150, tau, dt, a=0.21, b=0.11, n=9, x0=1.1, history=past)
    assert X.shape == (150, 1) and X.dtype == np.float64
    np.testing.assert_allclose(X, mackey_glass_by_definition(150, past, 1.1, dt, tau, 0.21, 0.11, 9), rtol=1e-9)
    X = datasets.mackey_glass(150, tau, dt)
    np.testing.assert_allclose(X, mackey_glass_by_definition(150, past, 1.2, dt, tau, 0.2, 0.1, 10), rtol=1e-9)


def test_mackey_glass_goes_on_from_a_history():
    X = datasets.mackey_glass(300)
    np.testing.assert_array_equal(datasets.mackey_glass(201, x0=X[99, 0], history=X[:99]), X[99:])


def test_mackey_glass_history_is_drawn():
    X = datasets.mackey_glass(100)
    np.testing.assert_array_equal(datasets.mackey_glass(100, random_state=5555), X)
    np.testing.assert_array_equal(datasets.mackey_glass(100, random_state=np.random.default_rng(5555)), X)
    for random_state in (0, np.random.RandomState(0)):
        other = datasets.mackey_glass(100, random_state=random_state)
        assert other[0] == X[0] == 1.2 and not np.allclose(other, X, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_steps": 0}, ValueError, "n_steps is 0; it must be an integer of at least 1"),
        ({"n_steps": 5.0}, TypeError, "n_steps is 5.0"),
        ({"dt": 0}, ValueError, "dt is 0"),
        ({"tau": 1, "dt": 2}, ValueError, "tau is 1; it must be finite, a number >= 2, which is dt"),
        ({"a": -1}, ValueError, "a is -1"),
        ({"b": np.nan}, ValueError, "b is nan"),
        ({"n": 9.5}, TypeError, "n is 9.5"),
        ({"x0": 0}, ValueError, "x0 is 0"),
        ({"history": np.ones(16)}, ValueError, r"history is of shape \(16,\); .* at least 17 values"),
        ({"history": np.ones((17, 2))}, ValueError, r"history is of shape \(17, 2\)"),
        ({"history": 1.0}, ValueError, r"history is of shape \(1,\)"),
        ({"history": [np.nan] * 17}, ValueError, "history contains NaN"),
        ({"random_state": "a"}, TypeError, "random_state is 'a' .* a RandomState, a Generator or None"),
        ({"n_steps": 2000, "dt": 60, "tau": 60}, ValueError, "do not stay finite with dt=60"),
    ],
)
def test_mackey_glass_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        datasets.mackey_glass(**{"n_steps": 5, **arguments})


@needs_data
def test_mnist_files():
    X, y = datasets.load_mnist("test")
    assert X.shape == (10000, 28, 28) and X.max() == 1 and y[:5].tolist() == [7, 2, 1, 0, 4]


@needs_data
def test_japanese_vowels_files():
    X, y = datasets.load_japanese_vowels("train")
    lengths = [len(x) for x in X]
    assert len(X) == 270 and min(lengths) == 7 and max(lengths) == 26 and len(set(y)) == 9
    assert {x.shape[1] for x in X} == {12}


@needs_data
def test_osuleaf_files():
    X, y = datasets.load_osuleaf("train")
    assert X.shape == (200, 427, 1) and X[0, 0, 0] == 0.55067091 and X[-1, -1, 0] == 2.9071083
    assert np.unique(y, return_counts=True)[1].tolist() == [34, 29, 33, 53, 36, 15]
    assert datasets.load_osuleaf("test")[0].shape == (242, 427, 1)


@needs_data
def test_text_file():
    text = datasets.load_text()
    assert len(text) == 118_564 and len(set(text)) == 61 and text.startswith("One morning, when Gregor Samsa woke")


# time stamps


STAMPED = "(2024-03-01 00:20:00,3),(2024-03-01 00:00:00,1),(2024-03-01 00:10:00,2)"


@pytest.mark.parametrize(
    ("channels", "times"),
    [
        (
            [STAMPED, STAMPED.replace(",3)", ",30)")],
            np.array("2024-03-01", "M8[us]") + np.arange(3) * np.timedelta64(600, "s"),
        ),
        (["(0.5,1),(1,2),(10,3)", "(0.5,1),(1,2),(10,30)"], [0.5, 1, 10]),
        (
            ["(2024-03-01T02:00:00+02:00, 1), (2024-03-01T00:30:00Z, 2)"],
            np.array(["2024-03-01T00:00", "2024-03-01T00:30"], "M8[us]"),
        ),
    ],
    ids=["times", "numbers", "zones"],
)
def test_series_with_time_stamps_are_sorted_by_them(tmp_path, channels, times):
    write_ts(tmp_path / "x.ts", ["@timeStamps true", "@classLabel true a b"], [[*channels, "a"]])
    (x,), y = datasets.read_ts(tmp_path / "x.ts")
    assert x[:, 0].tolist() == list(range(1, len(times) + 1)) and y.tolist() == ["a"]
    assert len(channels) == 1 or x[-1].tolist() == [3, 30]
    (same,), _, (found,) = datasets.read_ts(tmp_path / "x.ts", return_times=True)
    np.testing.assert_array_equal(same, x)
    np.testing.assert_array_equal(found, times)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["1,2", "a"], r"line 4: '1,2' should be pairs \(time,value\)"),
        (["(0,1),2", "a"], r"line 4: '\(0,1\),2' should be pairs"),
        (["(0,1),(1,2)", "(0,1),(2,2)", "a"], "line 4: the channels have different time stamps"),
        (["(0,1),(1,?)", "a"], "line 4: a value is missing"),
        (["(noon,1),(1,2)", "a"], "line 4: Invalid isoformat string"),
    ],
)
def test_time_stamps_that_cannot_be_read_are_named(tmp_path, row, message):
    write_ts(tmp_path / "x.ts", ["@timeStamps true", "@classLabel true a b"], [row])
    with pytest.raises(ValueError, match=message):
        datasets.read_ts(tmp_path / "x.ts")
    write_ts(tmp_path / "x.ts", ["@classLabel true a b"], [["1,2", "a"]])
    with pytest.raises(ValueError, match="x.ts has no time stamps, as it does not say @timeStamps true"):
        datasets.read_ts(tmp_path / "x.ts", return_times=True)


@pytest.mark.parametrize("reader", [datasets.read_idx, datasets.read_ts])
def test_no_more_is_unpacked_than_can_be_read(tmp_path, reader):
    """A small file that unpacks to a large one is refused by its header, or by the first zeros in its text."""
    start = b"@data\n1,2,3:a\n" if reader is datasets.read_ts else b"\0\0\x08\1" + struct.pack(">I", 5) + b"abcde"
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(start) + b"".join(gzip.compress(bytes(1 << 24), 1) for _ in range(4)))
    tracemalloc.start()
    with pytest.raises(ValueError, match="bomb.gz"):
        reader(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 23


def test_a_header_makes_no_room_for_what_is_not_there(tmp_path):
    path = tmp_path / "short"
    path.write_bytes(b"\0\0\x08\1" + struct.pack(">I", 1 << 31) + b"abcd")
    tracemalloc.start()
    with pytest.raises(ValueError, match="holds 4 bytes of data"):
        datasets.read_idx(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 22
    tracemalloc.stop()
