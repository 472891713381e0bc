"""Sequences in files: what is written is read, a minibatch at a time, and what is damaged is named."""

import copy
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from admmirnn import RNNClassifier, RNNRegressor
from admmirnn.data.sequences import Sequences
from admmirnn.distributed import StoredSequences, read_shard, write_shards

OPTIONS = {"hidden_size": 6, "random_state": 0, "max_epochs": 2}


@pytest.fixture
def items():
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(n, 2)).astype(np.float32) for n in rng.integers(1, 12, 23)]
    return X, [("down", "upwards")[int(x.sum() > 0)] for x in X]


def test_shards_are_dealt_in_turn(items, tmp_path):
    X, y = items
    write_shards(tmp_path / "shards", zip(X, y, strict=True), 3)
    for i in range(3):
        stored, labels = read_shard(tmp_path / "shards", i)
        assert labels.tolist() == y[i::3]
        assert len(stored) == len(X[i::3])
        for one, other in zip(stored, X[i::3], strict=True):
            np.testing.assert_array_equal(one, other)
        assert isinstance(stored.observations, np.memmap)


def test_a_fit_to_a_shard_is_that_to_its_arrays(items, tmp_path):
    X, y = items
    write_shards(tmp_path / "shards", zip(X, y, strict=True), 1)
    stored, labels = read_shard(tmp_path / "shards", 0)
    found, expected = RNNClassifier(**OPTIONS).fit(stored, labels), RNNClassifier(**OPTIONS).fit(X, y)
    np.testing.assert_array_equal(found.W_, expected.W_)
    np.testing.assert_array_equal(found.predict(stored[3:9]), expected.predict(X[3:9]))


def test_sequences_in_a_mapped_file_can_be_sent_to_another_process(items, tmp_path):
    """As Dask does with a part that a new worker is to have."""
    write_shards(tmp_path / "shards", zip(*items, strict=True), 1)
    stored, _ = read_shard(tmp_path / "shards", 0)
    sequences = Sequences.of_lengths(stored.observations, stored.lengths)
    indices = np.arange(5)
    batch = sequences.minibatch(indices)  # from now on it knows the mapping
    for other in (pickle.loads(pickle.dumps(sequences)), copy.deepcopy(sequences)):
        np.testing.assert_array_equal(other.minibatch(indices).inputs(), batch.inputs())


def test_targets_of_steps(items, tmp_path):
    X, _ = items
    y = [x.cumsum(axis=0)[:, 0].astype(np.float64) for x in X]
    write_shards(tmp_path / "shards", zip(X, y, strict=True), 2, dtype="float64")
    stored, targets = read_shard(tmp_path / "shards", 1)
    for one, other in zip(targets, y[1::2], strict=True):
        np.testing.assert_array_equal(one, other)
    model = RNNRegressor(**OPTIONS, targets="step").fit(stored, targets)
    np.testing.assert_array_equal(model.W_, RNNRegressor(**OPTIONS, targets="step").fit(X[1::2], y[1::2]).W_)


def test_labels_may_grow_longer_than_those_before(tmp_path, monkeypatch):
    monkeypatch.setattr("admmirnn.data.stored._AT_A_TIME", 4)
    y = ["a" * (i + 1) for i in range(11)]
    write_shards(tmp_path / "shards", ((np.ones((2, 1)), label) for label in y), 1)
    assert read_shard(tmp_path / "shards", 0)[1].tolist() == y


def test_fewer_sequences_than_shards(tmp_path):
    write_shards(tmp_path / "shards", [(np.ones((2, 3)), 1.0)], 2)
    assert len(read_shard(tmp_path / "shards", 0)[0]) == 1
    assert len(read_shard(tmp_path / "shards", 1)[0]) == 0


def test_slices_and_items(items):
    X, _ = items
    stored = StoredSequences(np.concatenate(X), [len(x) for x in X])
    np.testing.assert_array_equal(stored[-1], X[-1])
    assert [len(x) for x in stored[20:99]] == [len(x) for x in X[20:]]
    assert len(stored[5:2]) == 0
    with pytest.raises(IndexError):
        stored[23]
    with pytest.raises(ValueError, match="must have the step 1"):
        stored[::2]


@pytest.mark.parametrize(
    ("observations", "lengths", "message"),
    [
        (np.ones((4, 2)), [1, 2], "add up to 3 steps, and there are 4"),
        (np.ones((4, 2)), [4, 0], r"lengths\[1\] is 0"),
        (np.ones(4), [4], "dimensions"),
        (np.ones((4, 2), np.int64), [4], "int64"),
    ],
)
def test_what_is_no_stored_sequences(observations, lengths, message):
    with pytest.raises(ValueError, match=message):
        StoredSequences(observations, lengths)


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([(np.ones((2, 3)), 0), (np.ones((2, 4)), 0)], "sequence 1 has the shape"),
        ([(np.ones(3), 0)], "sequence 0 has the shape"),
        ([(np.ones((2, 3)), 0), (np.ones((2, 3)), "a")], "the target of sequence 1 is of another kind"),
        ([(np.ones((2, 3)), [1, 2, 3])], "the target of sequence 0 has 3 entries, and the sequence has 2 steps"),
        ([(np.ones((2, 3)), np.ones((3, 2)))], "the target of sequence 0 has 3 entries, and the sequence has 2 steps"),
        ([(np.ones((2, 3)), np.ones((2, 2))), (np.ones((2, 3)), np.ones((2, 4)))], "the target of sequence 1 is of an"),
        (
            [(np.ones((2, 3)), 0), (np.full((2, 3), 1e39), 0)],
            "sequence 1 has the value 1e[+]39, which float32 does not",
        ),
    ],
)
def test_a_sequence_that_is_wrong_is_named(sequences, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_shards(tmp_path / "shards", sequences, 1)


@pytest.mark.parametrize("value", [0.5, 300, -1, np.nan])
def test_what_the_type_does_not_hold_is_named(tmp_path, value):
    x = np.array([[1.0, 2.0], [255.0, value]])
    with pytest.raises(ValueError, match=f"sequence 1 has the value {value:g}, which uint8 does not hold"):
        write_shards(tmp_path / "shards", [(x[:1], 0), (x, 1)], 1, dtype=np.uint8)


def test_infinities_stay_for_those_who_read_them_to_refuse(tmp_path):
    write_shards(tmp_path / "shards", [(np.full((2, 1), np.inf), 0), (np.full((2, 1), np.nan), 0)], 1)
    assert not np.isfinite(read_shard(tmp_path / "shards", 0)[0].observations).any()


def test_nothing_is_written_over(tmp_path):
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(FileExistsError, match="new folder"):
        write_shards(tmp_path, [], 1)
    with pytest.raises(ValueError, match="n_shards is 0"):
        write_shards(tmp_path / "other", [], 0)
    with pytest.raises(ValueError, match="dtype is"):
        write_shards(tmp_path / "other", [], 1, dtype="int64")


@pytest.mark.parametrize("name", ["observations", "lengths", "targets"])
@pytest.mark.parametrize("damage", ["cut", "empty", "other"])
def test_a_damaged_file_is_named(items, tmp_path, name, damage):
    X, y = items
    write_shards(tmp_path / "shards", zip(X, y, strict=True), 2)
    path = tmp_path / "shards" / "1" / f"{name}.npy"
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-4], "empty": b"", "other": b"no numbers here" * 20}[damage])
    with pytest.raises(ValueError, match=rf"{name}\.npy.* damaged"):
        read_shard(tmp_path / "shards", 1)
    assert len(read_shard(tmp_path / "shards", 0)[0]) == 12


def test_there_are_as_many_as_were_written(items, tmp_path):
    write_shards(tmp_path / "shards", zip(*items, strict=True), 2)
    with pytest.raises(ValueError, match="i is 2, and .* has 2 shards"):
        read_shard(tmp_path / "shards", 2)
    assert json.loads((tmp_path / "shards" / "shards.json").read_text()) == {"n_shards": 2}


PROGRAM = """
import re, sys
from pathlib import Path
import numpy as np
from admmirnn import RNNClassifier
from admmirnn.distributed import read_shard, write_shards

def sequences():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 64)).astype(np.float32)
    for i in range(int(sys.argv[2])):
        yield x + np.float32(i % 2), i % 2

write_shards(sys.argv[1], sequences(), 1)
X, y = read_shard(sys.argv[1], 0)
RNNClassifier(8, max_epochs=1, batch_size=16, frame=40, random_state=0).fit(X, y)
most = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]  # ru_maxrss is also the parent's
print(X.observations.nbytes >> 20, int(most) >> 10)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="what is resident is counted in other units")
def test_a_shard_is_not_read_into_memory(tmp_path):
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "shards", "6000"], capture_output=True, text=True, timeout=600
    )
    assert found.returncode == 0, found.stderr
    of_shard, resident = map(int, found.stdout.split())
    assert of_shard > 500  # MB
    assert resident < 400


@pytest.mark.parametrize("content", [b"\xff{}", b"[", b"[]", b'{"n_shards": "2"}', b"[" * 10_000, b'{"n_shards": 1.5}'])
def test_a_damaged_count_of_shards_is_named(tmp_path, content):
    write_shards(tmp_path / "shards", [(np.ones((3, 2)), 0), (np.ones((2, 2)), 1)], 1)
    (tmp_path / "shards" / "shards.json").write_bytes(content)
    with pytest.raises(ValueError, match="shards.json is damaged"):
        read_shard(tmp_path / "shards", 0)
