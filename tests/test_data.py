"""Observations as users have them: bytes, float64, files; converted when a minibatch is made, or not at all."""

import numpy as np
import pytest

from admmirnn import RNNClassifier
from admmirnn.data import sequences as sequences_module
from admmirnn.data.reading import read_sequences
from admmirnn.data.sequences import Sequences

pytestmark = pytest.mark.elman


def images(dtype, n_sequences=40):
    """Bright and dark noise, as numbers that every integer type of 8 bits has."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, n_sequences)
    return (rng.integers(0, 60, (n_sequences, 6, 5)) + 60 * y[:, None, None]).astype(dtype), y


def weights_of(model):
    return [getattr(model, f"{name}_") for name in "UWbVc"]


def fitted(X, y, **settings):
    return RNNClassifier(hidden_size=8, max_epochs=3, random_state=0, **settings).fit(X, y)


@pytest.mark.slow_on("numpy")
@pytest.mark.parametrize("form", ["array", "list", "table"])
@pytest.mark.parametrize("stored", ["uint8", "int8", "uint16", "int16", "int64", "float32", "float64"])
def test_scaled_numbers_of_any_type_train_like_floats(backend_name, stored, form):
    X, y = images(stored)
    X = X[:, :, 0] if form == "table" else X
    reference = (X / 127).astype(np.float32)
    if form == "list":
        X, reference = list(X), list(reference)
    model, expected = fitted(X, y, scale=1 / 127), fitted(reference, y)
    for found, desired in zip(weights_of(model), weights_of(expected), strict=True):
        np.testing.assert_allclose(found, desired, rtol=0, atol=2e-4)
    np.testing.assert_array_equal(model.predict(X), expected.predict(reference))


@pytest.mark.parametrize("stored", ["uint8", "int16", "float32", "float64"])
def test_what_the_kernels_can_read_is_not_copied(stored):
    X, y = images(stored)
    sequences, _ = read_sequences(RNNClassifier(), X, np.dtype("float32"))
    assert sequences.observations.dtype == stored
    assert np.shares_memory(sequences.observations, X)


def test_a_list_of_several_types_is_converted():
    X = [np.ones((3, 2), np.uint8), np.ones((4, 2), np.float64)]
    sequences, _ = read_sequences(RNNClassifier(), X, np.dtype("float32"))
    assert sequences.observations.dtype == np.float32


def test_scale_belongs_to_the_fit():
    X, y = images("uint8")
    model = fitted(X, y, scale=1 / 127)
    expected = model.predict_proba(X)
    np.testing.assert_array_equal(model.set_params(scale=1.0).predict_proba(X), expected)


@pytest.mark.parametrize("scale", [0, -1.0, np.nan, np.inf])
def test_scale_out_of_range_is_refused(scale):
    with pytest.raises(ValueError, match="scale is"):
        fitted(*images("uint8"), scale=scale)


def test_a_scale_that_makes_infinities_is_refused():
    X, y = images("uint8")
    with pytest.raises(ValueError, match="X contains"):
        fitted(X, y, scale=1e38)


@pytest.mark.parametrize("n_threads", [0, -1, 1.5, "2"])
def test_wrong_number_of_threads_is_refused(n_threads):
    with pytest.raises((ValueError, TypeError), match="n_threads is"):
        fitted(*images("uint8"), n_threads=n_threads)


@pytest.fixture
def mapped(tmp_path, request):
    """The images in a memory-mapped file, of which one sequence at a time may stay in memory."""
    X, y = images("float32")
    np.save(tmp_path / "X.npy", X)
    return X, np.load(tmp_path / "X.npy", mmap_mode=getattr(request, "param", "r")), y


@pytest.fixture
def releases(monkeypatch):
    """Make every read let go of the last one, and count them."""
    counts = []

    class Counting(sequences_module._MappedFile):
        def will_read(self, n_bytes):
            counts.append(n_bytes)
            super().will_read(n_bytes)

    monkeypatch.setattr(sequences_module, "_MappedFile", Counting)
    monkeypatch.setattr(sequences_module, "_MOST_MAPPED", 1)
    return counts


@pytest.mark.parametrize("form", ["as mapped", "list of views", "unequal weights"])
def test_a_mapped_file_trains_like_an_array(mapped, releases, backend_name, form):
    X, X_mapped, y = mapped
    weights = np.linspace(0, 1, len(y)) if form == "unequal weights" else None
    given = list(X_mapped) if form == "list of views" else X_mapped
    model = RNNClassifier(hidden_size=8, max_epochs=3, random_state=0)
    expected = weights_of(model.fit(X, y, weights))
    for found, desired in zip(weights_of(model.fit(given, y, weights)), expected, strict=True):
        np.testing.assert_array_equal(found, desired)
    np.testing.assert_array_equal(model.predict(X_mapped), model.predict(X))
    assert releases or not hasattr(sequences_module.mmap, "MADV_DONTNEED")


@pytest.mark.parametrize("mapped", ["r+", "c"], indirect=True)
def test_changes_of_a_mapped_array_are_seen_and_stay(mapped, releases):
    X, X_mapped, y = mapped
    X_mapped[3] += 1
    X = X.copy()
    X[3] += 1
    for found, desired in zip(weights_of(fitted(X_mapped, y)), weights_of(fitted(X, y)), strict=True):
        np.testing.assert_array_equal(found, desired)
    np.testing.assert_array_equal(X_mapped, X)


def test_a_mapped_file_with_a_nan_says_where(mapped, releases):
    _, X_mapped, y = mapped
    bad = np.load(X_mapped.filename, mmap_mode="r+")
    bad[7, 2, 1] = np.nan
    with pytest.raises(ValueError, match="NaN, first at sequence 7, step 2, feature 1"):
        fitted(X_mapped, y)


def test_minibatches_of_a_mapped_file_are_copies_in_their_order(mapped, releases):
    X, X_mapped, _ = mapped
    sequences = Sequences.of_lengths(X_mapped.reshape(-1, 5), [6] * len(X))
    batch = sequences.minibatch(np.array([5, 0, 3]))
    assert not np.shares_memory(batch.observations, X_mapped)
    np.testing.assert_array_equal(batch.observations, X[[5, 0, 3]].reshape(-1, 5))
    np.testing.assert_array_equal(batch.inputs(), X[[5, 0, 3], :].swapaxes(0, 1).reshape(-1, 5))


def test_memory_of_others_is_read_as_arrays_are():
    X, y = np.random.default_rng(0).normal(size=(6, 4, 2)), np.arange(6) % 2
    fitted = RNNClassifier(2, max_epochs=1, random_state=0).fit(memoryview(X), memoryview(y))
    expected = RNNClassifier(2, max_epochs=1, random_state=0).fit(X, y)
    np.testing.assert_array_equal(fitted.predict_proba(memoryview(X)), expected.predict_proba(X))
    np.testing.assert_array_equal(fitted.predict_proba([memoryview(x) for x in X]), expected.predict_proba(X))
