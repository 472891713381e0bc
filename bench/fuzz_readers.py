"""Damaged files of data: what `bench.fuzz readers` judges.

Whole files of every kind that is read, ``.ts``, IDX and text, packed and not, and the arrays of shards, are changed at
random, or followed, behind the same header, by 256 MB that take little room when they are packed.  Each has to be read,
or refused with ValueError, and take no more than three times the memory that the whole file takes, and a MB.
"""

import gzip
import struct
import tracemalloc
import warnings

import numpy as np

from admmirnn import datasets
from admmirnn.data import stored, texts
from bench.mutations import OF_BYTES

_MOST_TIMES, _MORE = 3, 1 << 20
_LONG = 1 << 28


def rows(rng):
    """The series of a .ts file."""
    lines = [",".join(f"{value:.4f}" for value in rng.normal(size=200)) + f":{'ab'[i % 2]}" for i in range(100)]
    return ("@problemName x\n@univariate true\n@classLabel true a b\n@data\n" + "\n".join(lines) + "\n").encode()


def idx(rng):
    """An array of bytes."""
    return b"\0\0\x08\3" + struct.pack(">III", 200, 28, 28) + rng.bytes(200 * 28 * 28)


def zeros_behind(data):
    """A packed file that goes on with zeros."""
    return gzip.compress(data) + b"".join(gzip.compress(bytes(_LONG >> 4)) for _ in range(16))


class Readers:
    """The subject of `bench.fuzz`: see there, and the module."""

    most_seconds, patience = 10.0, 120.0

    def __init__(self, folder):
        rng = np.random.default_rng(0)
        plain, array = rows(rng), idx(rng)
        text = ("to be, or not to be \u2013 that is the question\n" * 2000).encode()
        shards = folder / "shards"
        observations = [(rng.normal(size=(30, 3)), i % 2) for i in range(100)]
        stored.write_shards(shards, observations, 1)
        self._kinds = {
            "x.ts": (plain, datasets.read_ts),
            "x.ts.gz": (gzip.compress(plain), datasets.read_ts),
            "x.idx": (array, datasets.read_idx),
            "x.idx.gz": (gzip.compress(array), datasets.read_idx),
            "x.txt": (text, texts.read_text),
            "x.txt.gz": (gzip.compress(text), texts.read_text),
        }
        for path in (*(shards / "0").iterdir(), shards / "shards.json"):
            name = str(path.relative_to(folder))
            self._kinds[name] = path.read_bytes(), lambda _: stored.read_shard(shards, 0)
        self._bombs = {"x.ts.gz": zeros_behind(plain), "x.idx.gz": zeros_behind(array)}
        self._folder, self._most = folder, {}

    def warm_up(self):
        """Measure what whole files take."""
        for name, (data, read) in self._kinds.items():
            for _ in range(2):  # the first time imports
                self._most[name] = _MOST_TIMES * self._read(name, data, read)[1] + _MORE

    def case(self, seed, i):
        """Return the name of the i-th file, and a function that judges it."""
        rng = np.random.default_rng([seed, i])
        name = list(self._kinds)[i % len(self._kinds)]
        data, read = self._kinds[name]
        if name in self._bombs and rng.random() < 0.01:
            changed = self._bombs[name]
        else:
            changed, _ = OF_BYTES[int(rng.integers(len(OF_BYTES)))](rng, data)
        return name, lambda: self._judge(name, changed, data, read)

    def _judge(self, name, changed, data, read):
        outcome, peak = self._read(name, changed, read)
        (self._folder / name).write_bytes(data)
        assert peak <= self._most[name], f"{peak} bytes, and {self._most[name]} are allowed"
        return outcome

    def _read(self, name, data, read):
        path = self._folder / name
        path.write_bytes(data)
        tracemalloc.start()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read(path)
            outcome = "read"
        except ValueError as error:
            assert str(path.parent) in str(error), f"an error that does not name the file: {error}"
            outcome = "refused"
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return outcome, peak
