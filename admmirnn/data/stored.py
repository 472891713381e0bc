"""Sequences in files, which are read as they are needed: their container, and how to write and open the files."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO, overload

import numpy as np
from numpy.typing import DTypeLike

from admmirnn import validation
from admmirnn._typing import Array, FilePath, IntArray, Self
from admmirnn.data.sequences import OBSERVATION_DTYPES

_HEADER = 128  # bytes of an .npy file before its numbers; there is room for any shape
# of headers, which it reads as it reads a program
_ERRORS_OF_NUMPY = (ValueError, EOFError, OSError, SyntaxError, TokenError, TypeError, OverflowError, RecursionError)
_MOST_SHARDS = 1 << 20
_MOST_JSON = 1000  # bytes of shards.json
_AT_A_TIME = 4096  # labels that are kept as objects
_NAMES = ("observations", "lengths", "targets")


class StoredSequences(Sequence[Array]):
    """Sequences whose observations stand in one array, such as a memory-mapped file, one sequence after the other.

    Estimators take it for X, and read no more of a file at a time than a minibatch needs.  Its items are views.

    Parameters
    ----------
    observations : ndarray of shape (total number of steps, n_features)
        Observations of all sequences, one sequence after the other: float32, float64, or integers of 8 or 16 bits.
    lengths : array-like of shape (n_sequences,)
        Number of steps of each sequence, at least one.

    Raises
    ------
    ValueError
        If lengths do not add up to the number of observations, or the type of the observations is another one.
    """

    observations: Array
    lengths: Any

    def __init__(self, observations: Array, lengths: Any) -> None:
        if not isinstance(observations, np.ndarray):
            raise TypeError(f"observations is of type {type(observations).__name__}; pass an array")
        lengths = check_lengths(lengths)
        if observations.ndim != 2 or lengths.ndim != 1:
            raise ValueError(
                f"observations has {observations.ndim} dimensions and lengths has {lengths.ndim}; pass 2 and 1"
            )
        if observations.dtype not in OBSERVATION_DTYPES:
            known = ", ".join(dtype.name for dtype in OBSERVATION_DTYPES)
            raise ValueError(f"observations are {observations.dtype}; store them as one of {known}")
        if len(lengths) and lengths.min() < 1:
            i = int(lengths.argmin())
            raise ValueError(f"lengths[{i}] is {lengths[i]}; a sequence has at least one step")
        if lengths.sum() != len(observations):
            raise ValueError(f"lengths add up to {lengths.sum()} steps, and there are {len(observations)} observations")
        self.observations, self.lengths = observations, lengths
        self._ends: IntArray = np.cumsum(lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, index: int) -> Array: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Array | Self:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                raise ValueError(f"a slice of stored sequences must have the step 1, and not {step}")
            first, last = (int(self._ends[i - 1]) if i else 0 for i in (start, max(start, stop)))
            return type(self)(self.observations[first:last], self.lengths[start : max(start, stop)])
        i = range(len(self))[index]  # which raises IndexError
        found: Array = self.observations[self._ends[i] - self.lengths[i] : self._ends[i]]
        return found


def check_lengths(lengths: Any) -> IntArray:
    """Return them as an array, or raise unless they are integers."""
    try:
        found = np.asarray(lengths)
        if not found.size and found.dtype.kind == "f":
            found = found.astype(np.intp)
        if found.dtype.kind in "iu":
            return found.astype(np.intp, casting="same_kind")
    except (ValueError, TypeError):
        pass
    raise TypeError(f"lengths is {lengths!r:.60}; pass integers, the number of steps of each sequence")


def write_shards(
    folder: FilePath, sequences: Iterable[tuple[Any, Any]], n_shards: int, dtype: DTypeLike = np.float32
) -> None:
    """Write sequences and their targets into shards, as an iterator yields them; no more than a few are in memory.

    Shard 0 gets the first one, shard 1 the second one, and so on in turn.  The files are those of `numpy.save`, in
    folders ``0``, ``1``, ... of ``folder``.

    Parameters
    ----------
    folder : path-like
        Folder to write to; it is made, and must not have anything in it.
    sequences : iterable of (x, y)
        Sequences with their targets: x is an array of shape (n_steps, n_features); y is the target of the sequence, or
        an array with one target for each step, always of the same kind and type.
    n_shards : int
        Number of shards to write, >= 1.
    dtype : dtype, default=float32
        Type in which observations are stored: float32, float64, or integers of 8 or 16 bits.

    Raises
    ------
    ValueError
        If an item is not a sequence, is not like those before, or has a value that ``dtype`` does not hold, such as 0.5
        or 300 for uint8; the message has the number of the sequence.
    FileExistsError
        If there is something in the folder.
    """
    folder = Path(validation.check_file_name(folder, "folder"))
    n_shards = validation.check_integer("n_shards", n_shards, 1, most=_MOST_SHARDS)
    dtype = check_stored_dtype(dtype)
    if isinstance(sequences, (str, bytes)) or not hasattr(sequences, "__iter__"):
        raise TypeError(f"sequences is of type {type(sequences).__name__}; pass an iterable of pairs (x, y)")
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"there is something in {folder}; pass the name of a new folder")
    shards = [_Shard(folder / str(i), dtype) for i in range(n_shards)]
    n_features = None
    try:
        for i, pair in enumerate(sequences):
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise TypeError(f"sequences yields {pair!r:.60} as its number {i}; yield pairs (x, y)")
            x, y = validation.as_numbers(pair[0], f"x of sequence {i}", np.float64), pair[1]
            if x.ndim != 2 or 0 in x.shape or (n_features is not None and x.shape[1] != n_features):
                wanted = "n_features" if n_features is None else n_features
                raise ValueError(f"sequence {i} has the shape {x.shape}; yield arrays of shape (n_steps, {wanted})")
            n_features = x.shape[1]
            shards[i % n_shards].add(i, x, np.asarray(y))
    finally:
        for shard in shards:
            shard.close(n_features or 1)
    (folder / "shards.json").write_text(json.dumps({"n_shards": int(n_shards)}), encoding="utf-8")


def check_stored_dtype(dtype: Any) -> np.dtype[Any]:
    """Return the dtype that observations are to be stored as, or raise."""
    try:
        found: np.dtype[Any] | None = None if dtype is None else np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found not in OBSERVATION_DTYPES:
        raise ValueError(f"dtype is {dtype!r}; pass one of {', '.join(one.name for one in OBSERVATION_DTYPES)}")
    return found


def read_shard(folder: FilePath, i: int) -> tuple[StoredSequences, Any]:
    """Open one of the shards that `write_shards` has written.

    Parameters
    ----------
    folder : path-like
        Folder that was passed to `write_shards`.
    i : int
        Number of the shard, from 0: the rank of a process, say.

    Returns
    -------
    X : StoredSequences
        Sequences of the shard, memory-mapped.
    y : ndarray, or list of ndarray
        Targets of sequences, or of the steps of each.

    Raises
    ------
    ValueError
        If there are fewer shards, or the files are damaged; the message names the file.
    FileNotFoundError
        If a file of the shard is not there.
    """
    folder = Path(validation.check_file_name(folder, "folder"))
    i = validation.check_integer("i", i, 0)
    if not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, "folder is no folder; pass that of write_shards", str(folder))
    n_shards = _n_shards(folder / "shards.json")
    if not 0 <= i < n_shards:
        raise ValueError(
            f"i is {i}, and {folder} has {n_shards} shards, counted from 0; write as many shards as there are ranks"
        )
    found = {}
    for name in _NAMES:
        path = folder / str(i) / f"{name}.npy"
        try:
            # a header that says more than there is takes no memory so
            array = np.load(path, mmap_mode="r" if path.stat().st_size > _HEADER else None)
            found[name] = array if name == "observations" else np.array(array)
        except _ERRORS_OF_NUMPY as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise ValueError(f"{path} is damaged ({error}); write the shards once more") from error
    try:
        X = StoredSequences(found["observations"], found["lengths"])
    except ValueError as error:
        raise ValueError(f"{folder / str(i) / 'observations.npy'} and lengths.npy are damaged: {error}") from error
    y = found["targets"]
    if len(y) == len(X):
        return X, y
    if len(y) != len(X.observations):
        path = folder / str(i) / "targets.npy"
        raise ValueError(
            f"{path} has {len(y)} targets of {len(X)} sequences, or {len(X.observations)} steps; it is damaged"
        )
    return X, np.split(y, np.cumsum(X.lengths)[:-1])


def _n_shards(path: Path) -> int:
    with open(path, "rb") as file:
        text = file.read(_MOST_JSON)
    try:
        found = json.loads(text)["n_shards"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error!r:.80}); write the shards once more") from error
    if type(found) is not int:
        raise ValueError(f"{path} is damaged: n_shards is {found!r:.40}; write the shards once more")
    return found


class _Shard:
    """The files of a shard while it is written."""

    def __init__(self, folder: Path, dtype: np.dtype[Any]) -> None:
        folder.mkdir()
        self._files = {name: _Growing(folder / f"{name}.npy") for name in _NAMES}
        self._dtype = dtype
        self._lengths: list[int] = []
        self._targets: list[Array] = []
        self._kind: tuple[int, tuple[int, ...], str] | None = None

    def add(self, i: int, x: Array, y: Array) -> None:
        """Add sequence number ``i``."""
        kind = y.ndim, y.shape[1:], y.dtype.kind
        if y.ndim > 0 and len(y) != len(x):
            raise ValueError(
                f"the target of sequence {i} has {len(y)} entries, and the sequence has {len(x)} steps; pass one "
                "target per step, or a single one"
            )
        if self._kind is not None and kind != self._kind:
            raise ValueError(
                f"the target of sequence {i} is of another kind than those before; give all sequences targets with the "
                "same number of axes and of the same type"
            )
        self._kind = kind
        self._files["observations"].write(_stored(i, x, self._dtype))
        self._lengths.append(len(x))
        self._targets.append(y[None] if y.ndim == 0 else y)
        if len(self._lengths) == _AT_A_TIME:
            self._flush()

    def _flush(self) -> None:
        if self._lengths:
            self._files["lengths"].write(np.array(self._lengths, np.int64))
            self._files["targets"].write(np.concatenate(self._targets))
        self._lengths, self._targets = [], []

    def close(self, n_features: int) -> None:
        """Write what is left; if nothing was written, write empty arrays with that number of features."""
        self._flush()
        self._files["observations"].write(np.empty((0, n_features), self._dtype))
        for file in self._files.values():
            file.close()


def _stored(i: int, x: Array, dtype: np.dtype[Any]) -> Array:
    """The observations of sequence ``i`` as they are stored, or raise if the type does not hold them."""
    with np.errstate(over="ignore", invalid="ignore"):
        found: Array = x.astype(dtype)
        is_wrong = np.isfinite(x) & ~np.isfinite(found) if dtype.kind == "f" else found != x
    if is_wrong.any():
        value = x[is_wrong][0]
        raise ValueError(f"sequence {i} has the value {value:g}, which {dtype} does not hold; pass another dtype")
    return found


class _Growing:
    """An .npy file that rows are added to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO = open(path, "wb")  # noqa: SIM115  # closed below
        self._file.write(b" " * _HEADER)
        self._dtype: np.dtype[Any] = np.dtype(np.float64)
        self._shape: tuple[int, ...] = (0,)

    def write(self, rows: Array) -> None:
        """Add rows; of strings, which may be longer than those before, all are written anew."""
        if self._shape[0] and rows.dtype != self._dtype:
            joined = np.concatenate([self._all(), rows])
            self._file.seek(_HEADER)
            self._file.truncate()
            self._shape, rows = (0,), joined
        self._dtype, self._shape = rows.dtype, (self._shape[0] + len(rows), *rows.shape[1:])
        self._file.write(np.ascontiguousarray(rows).tobytes())

    def _all(self) -> Array:
        self._file.flush()
        return np.fromfile(self._path, self._dtype, offset=_HEADER).reshape(self._shape)

    def close(self) -> None:
        """Write the header in front of the numbers."""
        header = repr(
            {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": self._shape}
        )
        text = header.encode("latin1").ljust(_HEADER - 11) + b"\n"
        self._file.seek(0)
        self._file.write(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
        self._file.close()
