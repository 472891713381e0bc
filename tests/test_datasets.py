"""Reading real files, and the generated sequences."""

import gzip
import os
import struct

import numpy as np
import pytest

from admmirnn import datasets

needs_data = pytest.mark.skipif(
    "ADMMIRNN_DATA" not in os.environ,
    reason="ADMMIRNN_DATA does not name the folder with mnist/ and japanese_vowels/",
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
        (b"\0\0\x08\1" + struct.pack(">I", 3) + b"abcd", "holds 4 bytes of data, and its header says 3"),
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
    path.write_bytes(damage(gzip.compress(b"@data\n1,2,3:a\n" * 50)))
    with pytest.raises(ValueError, match="is not a whole gzip file") as error:
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


@pytest.mark.parametrize("line", ["1,2:3:a", "1,x:3,4:a", "a"])
def test_broken_ts_lines_are_named(tmp_path, line):
    path = tmp_path / "broken.ts"
    path.write_text(f"@data\n1,2:3,4:a\n{line}\n")
    with pytest.raises(ValueError, match="line 3"):
        datasets.read_ts(path)


def test_missing_files_are_named(tmp_path, monkeypatch):
    monkeypatch.delenv("ADMMIRNN_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="ADMMIRNN_DATA is not set"):
        datasets.load_mnist("train")
    monkeypatch.setenv("ADMMIRNN_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="has no japanese_vowels"):
        datasets.load_japanese_vowels("test")
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
    with pytest.raises(ValueError, match="n_steps"):
        datasets.adding_problem(5, 1)


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
