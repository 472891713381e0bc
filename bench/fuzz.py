"""Damaged files, and anything else that a user may pass: ``python -m bench.fuzz [KIND] [--n 10000] [--seed 0]``.

The kinds are models (the default), checkpoints, readers of data, see bench/fuzz_readers.py, and api, which draws fits,
see bench/fuzz_api.py.

Small models of every kind are saved, or small fits leave a checkpoint, and the files changed at random: bits, bytes and
pieces; lengths, shapes, types and offsets in the header; values in the JSON.  Some of these get a checksum that is
right, as in a hostile file.  Each is loaded, and what loads predicts, or a fit goes on from it, in processes whose
address space may grow by 1 GB.  A file has to be refused with the documented error, or to load as a model equal to the
one that was saved, which is one that gives the same file again, or to let the fit end with the weights of one that was
never stopped, to the last bit.  With a right checksum it may be another model, whose `predict` may raise ValueError or
TypeError, or the state of another fit, which has to end with weights that are finite.  Anything else, such as another
exception, MemoryError, the end of the process, more than a second, or an estimator that is half fitted, is a failure.
"""

import argparse
import json
import os
import queue
import resource
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import safetensors.numpy
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import admmirnn
from admmirnn import Algorithm1, CharacterModel, RNNClassifier, RNNRegressor, Rollout
from admmirnn.files import format as files
from admmirnn.io import ModelFileError
from admmirnn.losses import Huber
from admmirnn.penalties import Box, Lasso
from bench.fuzz_api import Estimators
from bench.fuzz_readers import Readers
from bench.measure import report
from bench.mutations import OF_BYTES

MOST_MEMORY = 1 << 30
_TEXT = "to be or not to be, that is the question " * 4
_INTERESTING = (0, 1, 7, 8, 255, 1 << 16, (1 << 22) + 1, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
_NUMBERS = (None, True, False, -1, 0, 1, 3, 0.5, 1e308, -0.0, 1 << 53, 1 << 63, 10**310)


def observations(n_features):
    """Five sequences of unequal lengths."""
    random_state = np.random.RandomState(0)
    return [random_state.standard_normal((4 + i, n_features)) for i in range(5)]


def models():
    """Small fitted estimators that have something of everything, with what to predict from."""
    X, Z = observations(2), np.random.RandomState(1).standard_normal((6, 12))
    common = {"max_epochs": 1, "random_state": 0, "verbose": 0}
    labels = np.array(["no", "yes", "no", "maybe", "yes"])
    settings = common | {"solver": Rollout(radius=0.02), "penalties": {"W": Lasso(1e-4), "U": Box(-np.inf, 3.0)}}
    yield RNNClassifier(5, class_weight={"no": 2.0}, **settings).fit(X, labels), X
    settings = common | {"random_state": np.random.RandomState(7), "init": {"b": np.full(4, 0.1)}, "dtype": np.float64}
    yield RNNRegressor(4, loss=Huber(2.0), s_0="learn", frame=(2, 1), **settings).fit(Z, Z[:, :2]), Z
    several = [np.eye(3, dtype=int)[np.arange(len(x)) % 3] for x in X]
    yield RNNClassifier(3, loss="sigmoid_cross_entropy", activation="relu", **common).fit(X, several), X
    yield RNNClassifier(3, solver="algorithm1", **common).fit(X, np.array([1, 0, 1, 0, 2], dtype=object)), X
    yield RNNRegressor(3, bidirectional=True, early_stopping=True, readout="max", **common).fit(Z, Z[:, 0]), Z
    yield CharacterModel(4, max_epochs=1, random_state=0).fit(_TEXT), _TEXT[:20]


def fits():
    """Estimators whose checkpoints have something of everything, with what to fit them to, in three epochs."""
    X, Z = observations(2), np.random.RandomState(1).standard_normal((6, 12))
    common = {"max_epochs": 3, "random_state": 0, "verbose": 0}
    labels, numbers = np.array([0, 1, 0, 2, 1]), Z[:, 0]
    yield RNNClassifier(5, penalties={"W": Lasso(1e-4), "U": Box(-np.inf, 3.0)}, s_0="learn", **common), (X, labels)
    yield RNNClassifier(4, solver=Rollout(radius=2.0, output_radius=20.0, r=0), batch_size=2, **common), (X, labels)
    settings = common | {"random_state": np.random.RandomState(7), "dtype": np.float64, "bidirectional": True}
    yield RNNRegressor(3, loss=Huber(2.0), **settings), (Z, numbers)
    yield RNNRegressor(3, early_stopping=True, validation_fraction=0.5, **common), (Z, numbers)
    yield RNNRegressor(3, stateful=True, batch_size=3, chunk_size=4, **common), (Z, Z)
    yield RNNClassifier(3, solver="algorithm1", **common), (X, labels)
    settings = common | {"solver": Algorithm1(r="lipschitz", s_coupling=True, keep="last"), "dtype": np.float64}
    yield RNNRegressor(3, batch_size=2, penalty=0.1, **settings), (Z, numbers)
    yield CharacterModel(4, max_epochs=3, dropout=0.3, random_state=0), (_TEXT,)


def predictions(model, X):
    """What the model says of X."""
    return model.predict(X) if hasattr(model, "predict") else model.predict_proba(X)


# Mutations: each takes a generator and a file, and returns the file and whether its checksum has been made right


def header_length(rng, data):
    length = int(rng.choice(np.array(_INTERESTING, np.uint64))) if rng.random() < 0.7 else int(rng.integers(len(data)))
    return length.to_bytes(8, "little") + data[8:], False


def tensor(rng, data):
    """A shape, type, place or name in the header of safetensors; the checksum is of what it says then, if it can be."""
    header, body = _taken_apart(data)
    name = _choice(rng, [key for key in header if key != "__metadata__"])
    entry = header[name]
    what = _choice(rng, ["shape", "dtype", "data_offsets", "name", "drop", "add", "any"])
    if what == "shape":
        entry["shape"] = _choice(rng, [[1 << 62, 4], [1 << 33, 1 << 33], [-1], [0], [], [2.5], None, *_shapes(entry)])
    elif what == "dtype":
        entry["dtype"] = _choice(rng, ["F32", "F64", "I64", "U8", "BOOL", "BF16", "F8_E4M3", "C64", "F4", "x", 3])
    elif what == "data_offsets":
        first, last = entry["data_offsets"]
        entry["data_offsets"] = _choice(rng, [[last, first], [first, 1 << 63], [0, 1 << 70], [first, last + 1], [0, 8]])
    elif what == "name":
        header[_choice(rng, ["", "U_", "x", "../../x", "\ud800", "W_" * 500])] = header.pop(name)
    elif what == "drop":
        del header[name]
    elif what == "add":
        header["more"] = {"dtype": "F32", "shape": [0], "data_offsets": [len(body), len(body)]}
    else:
        entry[_choice(rng, list(entry))] = _value(rng)
    return _sealed(header, _content(header), body), True


def content(rng, data):
    """A value in the JSON of the model; the checksum stays as it was."""
    header, body = _taken_apart(data)
    return _put_together(header, _mutated(rng, _content(header)), body), False


def sealed_content(rng, data):
    """Several such values, with a right checksum."""
    header, body = _taken_apart(data)
    found = _content(header)
    part = _choice(rng, [None, *found["header"]])
    for _ in range(int(rng.integers(1, 4))):
        if part is None:
            found["header"] = _mutated(rng, found["header"])
        else:
            found["header"][part] = _mutated(rng, found["header"][part])
    return _sealed(header, found, body), True


def sealed_number(rng, data):
    """Another number, truth value or None in the JSON of the model, or two, with a right checksum."""
    header, body = _taken_apart(data)
    found = _content(header)
    mine = {key: part for key, part in found["header"].items() if key != "fit"}  # a fit of other arguments is refused
    leaves = [(node, key) for node, key in _places(mine) if not isinstance(node[key], (str, dict, list))]
    for _ in range(int(rng.integers(1, 3))):
        node, key = _choice(rng, leaves)
        near = [node[key] + 1, node[key] - 1, -node[key], 2 * node[key]] if isinstance(node[key], (int, float)) else [0]
        node[key] = _choice(rng, [*near, *_NUMBERS])
    return _sealed(header, found, body), True


def sealed_numbers(rng, data):
    """Other numbers in an array, with a right checksum."""
    header, body = _taken_apart(data)
    first, last = _choice(rng, [entry["data_offsets"] for key, entry in header.items() if key != "__metadata__"])
    body = bytearray(body)
    for place in rng.integers(first, last, size=4) if last > first else ():
        body[place] = int(rng.choice([0, 1, 127, 128, 255]))
    return _sealed(header, _content(header), bytes(body)), True


def sealed_shape(rng, data):
    """An array of another shape or type of as many bytes, with a right checksum."""
    header, body = _taken_apart(data)
    entry = header[_choice(rng, [key for key in header if key != "__metadata__"])]
    size = {"F64": 8, "I64": 8, "F32": 4, "U32": 4, "I32": 4, "F16": 2, "U8": 1, "I8": 1, "BOOL": 1}
    n_bytes = entry["data_offsets"][1] - entry["data_offsets"][0]
    entry["dtype"] = _choice(rng, [dtype for dtype in size if n_bytes % size[dtype] == 0])
    n = n_bytes // size[entry["dtype"]]
    entry["shape"] = _choice(rng, [[n], [n, 1], [1, n], [1, n, 1], [n // 2, 2] if n % 2 == 0 else [n]])
    return _sealed(header, _content(header), body), True


def sealed_nothing(rng, data):
    """Arrays of no bytes, which may have any shape, with a right checksum."""
    arrays, found = safetensors.numpy.load(data), _content(_taken_apart(data)[0])
    del found["sha256"]
    names, shape = [_choice(rng, sorted(arrays))], _choice(rng, [(0,), (1 << 40, 0), (0, 1 << 40), (1 << 20, 0, 1)])
    if rng.random() < 0.3:
        records = _records(found["header"])
        names, shape = records[1], (1 << 40, 0)
        records[0] = []  # names of columns
    arrays |= {name: np.empty(shape, arrays[name].dtype) for name in names}
    found["sha256"] = files._checksum(arrays, found)
    return safetensors.numpy.save(arrays, {"admmirnn": json.dumps(found)}), True


def bomb(rng, data):
    """JSON that takes much to parse, as the header of safetensors or as ours."""
    n = int(rng.choice([1000, 100_000, 1_000_000]))
    text = _choice(
        rng, ["[" * n, '{"a":' * n, "1" * n, "[" + "[]," * n + "[]]", "[" + "{}," * n + "{}]", '"' + "\\u0000" * n]
    )
    if rng.random() < 0.5:
        text = json.dumps({"__metadata__": {"admmirnn": text}})
    return len(text).to_bytes(8, "little") + text.encode() + data, False


MUTATIONS = (
    bomb,
    *OF_BYTES,
    header_length,
    tensor,
    content,
    sealed_content,
    sealed_number,
    sealed_numbers,
    sealed_shape,
    sealed_nothing,
)


def _choice(rng, items):
    return items[int(rng.integers(len(items)))]


def _shapes(entry):
    shape = entry["shape"]
    return [shape[::-1], [*shape, 1], [*shape, 0], [size + 1 for size in shape], [size << 40 for size in shape]]


def _value(rng):
    """A value that may come unexpected."""
    deep = []
    for _ in range(int(rng.choice([5, 40, 200]))):
        deep = [deep]
    kinds = [{kind: _choice(rng, [[], None, "U_", 1, {}, [1, 2], [[], []]])} for kind in files.Values._UNPACK]
    known = [
        {"array": ["U_", None]},
        {"array": ["classes_", "U99999999"]},
        {"array": ["b_", "M8[10000000000s]"]},
        {"scalar": ["c_", None]},
        {"object": ["Rollout", {"rho": -1}]},
        {"object": ["Huber", {"delta": "x"}]},
        {"object": ["Status", {}]},
        {"object": ["Lasso", {}]},
        {"enum": ["Rollout", "mro"]},
        {"enum": ["Status", "__class__"]},
        {"records": [["epoch"], ["U_", "b_"]]},
        {"RandomState": {"dict": [["bit_generator", "MT19937"]]}},
        {"float": "nan"},
        {"float": "-inf"},
        {"dict": [[[], 1]]},
        {"tuple": [1, 1 << 300]},
        {"type": "object"},
    ]
    plain = [*_NUMBERS, "", "x", "tanh", "\ud800", [], {}, [1, 2], "x" * 9999]
    return _copied(_choice(rng, _choice(rng, [plain, kinds, known, [deep, [0] * 10000]])))


def _mutated(rng, tree):
    """The tree with one of its nodes replaced, left out, renamed or put elsewhere."""
    tree = _copied(tree)
    places = list(_places(tree))
    if not places:
        return _value(rng)
    node, key = _choice(rng, places)
    what = _choice(rng, ["value", "value", "value", "leave out", "rename", "other"])
    if what == "leave out":
        del node[key]
    elif what == "rename" and isinstance(node, dict):
        node[_choice(rng, ["", "x", "__class__", "U_", "callbacks", "object"])] = node.pop(key)
    elif what == "other":
        other, of = _choice(rng, places)
        node[key] = _copied(other[of])
    else:
        node[key] = _value(rng)
    return tree


def _places(tree):
    """All nodes in the tree but itself: pairs of what they are in, and where."""
    if isinstance(tree, (dict, list)):
        for key, item in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield tree, key
            yield from _places(item)


def _records(tree):
    """The first records in the tree: names of columns, and of arrays."""
    for key, item in tree.items() if isinstance(tree, dict) else enumerate(tree):
        if key == "records":
            return item
        if isinstance(item, (dict, list)) and (found := _records(item)):
            return found
    return None


def _copied(tree):
    return json.loads(json.dumps(tree))


def _taken_apart(data):
    n = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + n]), data[8 + n :]


def _content(header):
    return json.loads(header["__metadata__"]["admmirnn"])


def _put_together(header, found, body):
    text = json.dumps(header | {"__metadata__": {"admmirnn": json.dumps(found)}}).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body


def _sealed(header, found, body):
    if isinstance(found, dict):
        found = {key: value for key, value in found.items() if key != "sha256"}
        try:
            arrays = {
                name: files._array(entry | {"data": body[slice(*entry["data_offsets"])]})
                for name, entry in header.items()
                if name != "__metadata__"
            }
            found["sha256"] = files._checksum(arrays, found)
        except (ValueError, TypeError, OverflowError, UnicodeError):
            found["sha256"] = "0" * 64
    return _put_together(header, found, body)


# Judgement


class Files:
    """What files that are changed have in common: ``files``, and ``judge`` for each."""

    most_seconds, patience = 1.0, 30.0  # until a process without a word counts as hanging

    def __init__(self, folder):
        self._path = folder / "mutant.safetensors"

    def warm_up(self):
        """Judge a whole file, so that everything is imported."""
        self._path.write_bytes(self.files[0])
        self.judge(self._path, 0, False)

    def case(self, seed, i):
        """Return the name of the i-th change, and a function that judges the file that it leaves."""
        which, name, data, sealed = mutant(self.files, seed, i)
        self._path.write_bytes(data)
        return name, lambda: self.judge(self._path, which, sealed)


class Models(Files):
    """Files of models, each with what to predict from and the predictions.

    Attributes
    ----------
    files : list of bytes
        As `save` has written them.
    """

    def __init__(self, folder):
        super().__init__(folder)
        self.files, self._expected = [], []
        for i, (model, X) in enumerate(models()):
            model.save(folder / f"{i}.safetensors")
            self.files.append((folder / f"{i}.safetensors").read_bytes())
            self._expected.append((X, predictions(model, X)))

    def judge(self, path, which, sealed):
        """Load the file: "refused", "equal", or, if its checksum is right, "another"; AssertionError is a failure."""
        X, expected = self._expected[which]
        try:
            model = admmirnn.load(path)
        except ModelFileError:
            return "refused"
        again = path.with_suffix(".again")
        try:
            found = predictions(model, X)
            model.save(again)
        except (ValueError, TypeError):
            assert sealed, "a damaged file has been loaded"
            return "another"
        if again.read_bytes() == self.files[which]:
            assert all(np.array_equal(*pair) for pair in zip(found, expected, strict=True)), "predictions are others"
            return "equal"
        assert sealed, "a damaged file has been loaded, as another model"
        return "another"


class Checkpoints(Files):
    """Files of fits that have done two epochs of three, each with the weights in which the fit ends.

    Attributes
    ----------
    files : list of bytes
        As the fit has written them.
    """

    def __init__(self, folder):
        super().__init__(folder)
        self.files, self._fits = [], []
        for i, (estimator, data) in enumerate(fits()):
            path = folder / f"{i}.checkpoint"
            estimator.set_params(checkpoint_every=2)
            whole = self._fitted(clone(estimator).set_params(checkpoint=path), data)
            self.files.append(path.read_bytes())
            self._fits.append((estimator, data, _weights(whole)))

    def judge(self, path, which, sealed):
        """As in `Models`, of a fit that goes on from the file."""
        estimator, data, expected = self._fits[which]
        estimator, before = clone(estimator).set_params(checkpoint=path), path.read_bytes()
        try:
            self._fitted(estimator, data, resume=True)
        except ValueError as error:
            is_meant = isinstance(error, ModelFileError) or "checkpoint" in str(error)
            assert is_meant, f"an error that is not of the file: {error}"
            assert not hasattr(estimator, "history_"), "an estimator is half fitted"
            assert path.read_bytes() == before, "the file has been changed"
            return "refused"
        found = _weights(estimator)
        assert all(np.isfinite(weights).all() for weights in found.values()), "weights are not finite"
        if found.keys() == expected.keys() and all(np.array_equal(found[name], expected[name]) for name in found):
            return "equal"
        assert sealed, "a fit has gone on from a damaged file, to other weights"
        return "another"

    @staticmethod
    def _fitted(estimator, data, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return estimator.fit(*data, **options)


SUBJECTS = {"models": Models, "checkpoints": Checkpoints, "readers": Readers, "api": Estimators}


def _weights(estimator):
    return {name: weights.copy() for name, weights in estimator._network().weights.items()}


def mutant(originals, seed, i):
    """The i-th changed file: the number of its original, the mutation's name, its bytes, and whether it is sealed."""
    rng = np.random.default_rng([seed, i])
    which = int(rng.integers(len(originals)))
    mutate = MUTATIONS[i % len(MUTATIONS)]
    return which, mutate.__name__, *mutate(rng, originals[which])


def _work(folder, kind, seed, first, last):
    """Judge these cases, and print a line before and after each."""
    subject = SUBJECTS[kind](folder)
    subject.warm_up()
    status = Path("/proc/self/status")
    if status.exists() and "asan" not in os.environ.get("LD_PRELOAD", ""):  # whose shadows are larger than any limit
        words = status.read_text().split()
        most = 1024 * int(words[words.index("VmSize:") + 1]) + MOST_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for i in range(first, last):
        name, judge = subject.case(seed, i)
        print(json.dumps({"i": i, "mutation": name}), flush=True)
        started = time.perf_counter(), time.process_time()
        outcome = judge()
        seconds = time.perf_counter() - started[0], time.process_time() - started[1]
        memory = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        print(json.dumps({"outcome": outcome, "seconds": seconds, "memory": memory}), flush=True)


def _watch(folder, kind, seed, first, last, tell):
    """Run a process that judges the files from ``first``; return the number of the first one that is left."""
    command = [sys.executable, "-m", "bench.fuzz", kind, "--work", str(folder), str(seed), str(first), str(last)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        lines, errors = queue.Queue(), []

        def read():
            for line in process.stdout:
                lines.put(json.loads(line))
            lines.put(None)

        readers = [threading.Thread(target=read), threading.Thread(target=lambda: errors.append(process.stderr.read()))]
        for reader in readers:
            reader.start()
        current, patience, silent = None, SUBJECTS[kind].patience, 0
        try:
            # until the first case everything is imported and warmed up, which a busy machine draws out
            while (line := lines.get(timeout=10 * patience if current is None else patience)) is not None:
                current = {**current, **line} if "outcome" in line else line
                if "outcome" in line:
                    tell(current)
        except queue.Empty:
            process.kill()
            silent = patience
        for reader in readers:
            reader.join()
        if process.wait() == 0:
            return last
    if current is None:
        raise RuntimeError(f"no case has been judged: {errors[0]}")
    if "outcome" not in current:
        said = errors[0].strip().splitlines()
        waited = [f"no word for {silent:g} s by the clock; is the machine busy?"] if silent else []
        found = [line for line in said if "Sanitizer" in line]
        reason = [*waited, *found, *said[-1:], f"exit code {process.returncode}"]
        tell(current | {"outcome": f"FAILED: {reason[0]}", "seconds": (0, 0), "memory": 0})
    return current["i"] + 1


def fuzz(kind, n_files, seed):
    """Judge so many cases of a kind of `SUBJECTS`; print what became of them, and return whether all is well."""
    counts, failures, slowest, memory = {}, [], (0.0, 0.0), 0

    def tell(found):
        nonlocal slowest, memory
        failed = found["outcome"].startswith("FAILED")
        counts.setdefault(found["mutation"], Counter())["failed" if failed else found["outcome"]] += 1
        slowest = tuple(map(max, zip(slowest, found["seconds"], strict=True)))
        memory = max(memory, found["memory"])
        if found["i"] % 1000 == 999:
            print(f"{found['i'] + 1} cases", flush=True)
        if failed:
            failures.append(f"case {found['i']}, {found['mutation']}: {found['outcome']}")
            print(failures[-1], flush=True)

    done = 0
    while done < n_files:
        with tempfile.TemporaryDirectory() as folder:
            done = _watch(Path(folder), kind, seed, done, n_files, tell)
    most = SUBJECTS[kind].most_seconds
    columns = [*dict.fromkeys(outcome for of in counts.values() for outcome in of if outcome != "failed"), "failed"]
    print(f"{'':20}" + "".join(f"{column:>9}" for column in columns))
    for name, of in counts.items():
        print(f"{name:20}" + "".join(f"{of[column]:9}" for column in columns))
    for failure in failures:
        print(failure)
    total = sum(counts.values(), Counter())
    met = report("cases that were judged", f"{total.total()}", f"{n_files}", total.total() == n_files)
    met &= report("failures", f"{len(failures)}", "0", not failures)
    met &= report("slowest case, processor", f"{slowest[1]:.3f} s", f"< {most}", slowest[1] < most)
    print(f"           by the clock {slowest[0]:.3f} s")
    return met & report("memory added by all", f"{memory / 1e6:.0f} MB", "< 1000", memory < MOST_MEMORY)


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__)
    parser.add_argument("kind", nargs="?", choices=SUBJECTS, default="models", help="default: %(default)s")
    parser.add_argument("--n", "--files", type=int, default=10_000, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        _work(Path(options.work[0]), options.kind, *map(int, options.work[1:]))
        return 0
    return 0 if fuzz(options.kind, options.n, options.seed) else 1


if __name__ == "__main__":
    sys.exit(main())
