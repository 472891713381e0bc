"""Checkpoints: all that a fit needs to go on after its process has ended, in one file that is always whole."""

from __future__ import annotations

import hashlib
import json
import numbers
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from admmirnn import validation
from admmirnn.files.fitted import check_fitted_history
from admmirnn.files.format import ModelFileError, Values, import_safetensors, read_file, remove_leftovers, write_file

if TYPE_CHECKING:
    from admmirnn._typing import Array, FilePath, Record
    from admmirnn.data.sequences import Sequences

_KIND = "checkpoint"
_SAMPLE = 1 << 16  # observations that tell a training set from another one
_PIECE = 1 << 20  # numbers that are looked at together
_LONGEST = 2000  # characters of a parameter's description
_MOST_BITS = 64  # of an integer that is written as one
_NO_MATTER = ("verbose", "callbacks", "max_time", "checkpoint", "checkpoint_every")  # to what a fit arrives at


class Checkpoint:
    """A file that is written after every ``every`` epochs, and that a fit with the same arguments can go on from.

    Parameters
    ----------
    path : path-like
        Path of the file.
    every : int
        Number of epochs between two checkpoints.
    fingerprint : dict
        Values that tell this fit from others, see `fingerprint`.
    """

    def __init__(self, path: FilePath, every: int, fingerprint: dict[str, Any]) -> None:
        import_safetensors()  # rather than after the first epochs
        self._path = os.path.abspath(os.fsdecode(path))  # wherever callbacks may go
        self._every, self._fingerprint = every, fingerprint
        remove_leftovers(self._path)

    def is_due(self, epoch: int) -> bool:
        """Whether to write after this epoch."""
        return epoch % self._every == 0

    def write(self, history: list[Record], solver: Any, early_stopping: Any) -> None:
        """Write the records of all epochs, and two states: nested dicts, lists and tuples of arrays and numbers."""
        values = Values()
        parts = {"history": history, "solver": solver, "early_stopping": early_stopping}
        header = {name: values.pack(part, name) for name, part in parts.items()}
        write_file(self._path, _KIND, values.arrays, {"fit": self._fingerprint} | header)

    def read(self, n_epochs: int) -> tuple[list[Record], Any, Any] | None:
        """Return what was written last, or None without a file.

        The states are as the file has them: who goes on from one checks it, see `validation.check_state`.

        Parameters
        ----------
        n_epochs : int
            Largest number of epochs that a fit with these arguments has.

        Raises
        ------
        ValueError
            If the file is damaged, is not a checkpoint, or is that of another fit.
        OSError
            If the file cannot be read.
        """
        if not os.path.exists(self._path):
            return None
        arrays, header = read_file(self._path, _KIND)
        check_checkpoint(self._path, header.get("fit"), self._fingerprint)
        values = Values(arrays)
        try:
            history, solver, early_stopping = (
                values.unpack(header.get(name)) for name in ("history", "solver", "early_stopping")
            )
            check_epochs_done(history, n_epochs)
        except (ValueError, TypeError, RecursionError, OverflowError) as error:
            raise ModelFileError(f"{self._path} is not a checkpoint that can be used: {error}") from error
        return history, solver, early_stopping


def fingerprint(estimator: Any, *data: tuple[Sequences, Array, Array | None]) -> dict[str, Any]:
    """What tells a fit from others: parameters that matter, and samples of what it learns from.

    Parameters
    ----------
    estimator : estimator
        Estimator with the parameters of the fit.
    *data : tuple of Sequences, ndarray and ndarray
        Sequences, class numbers or values, and their weights or None: of training, and what is apart.
    """
    digest = hashlib.sha256()
    for sequences, targets, weights in data:
        stride = max(1, sequences.n_numbers // _SAMPLE)
        for piece in sequences.every(stride, _PIECE):  # so that no more of a mapped file than that is in memory
            digest.update(np.ascontiguousarray(piece).tobytes())
        for array in (sequences.first_rows, sequences.lengths, targets, *([] if weights is None else [weights])):
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)  # nothing is copied
    shapes = [[len(sequences), int(sequences.lengths.sum()), sequences.n_features] for sequences, _, _ in data]
    return {
        "estimator": type(estimator).__name__,
        "parameters": parameters_of(estimator),
        "data": shapes,
        "digest": digest.hexdigest(),
    }


def fingerprint_of_all(fingerprints: list[dict[str, Any]]) -> dict[str, Any]:
    """That of a fit by several workers, of theirs by rank."""
    digest = hashlib.sha256("".join(one["digest"] for one in fingerprints).encode())
    shapes = [shape for one in fingerprints for shape in one["data"]]
    ranks = len(fingerprints)
    return fingerprints[0] | {"ranks": ranks, "data": shapes, "digest": digest.hexdigest()}


def parameters_of(estimator: Any) -> dict[str, Any]:
    """The parameters of an estimator that matter to what a fit arrives at, in terms of JSON."""
    return {
        name: _brief(_described(value))
        for name, value in estimator.get_params(deep=False).items()
        if name not in _NO_MATTER
    }


def _brief(description: Any) -> Any:
    """The description, or a digest of a long one, such as that of initial weights in lists."""
    text = json.dumps(description, sort_keys=True)
    return description if len(text) <= _LONGEST else {"digest": hashlib.sha256(text.encode()).hexdigest()}


def _described(value: Any, within: tuple[object, ...] = ()) -> Any:
    """A value in terms of JSON that is the same in every process; it is an attribute or item of those in ``within``."""
    if isinstance(value, (float, np.floating)) and not np.isfinite(value):
        return repr(float(value))  # which JSON has not, nor is NaN equal to itself
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return hex(value)
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    if isinstance(value, np.generic) and value.dtype.kind in "biufU" and not isinstance(value, np.longdouble):
        return value.item()  # which a longdouble has not
    if isinstance(value, (bytes, np.generic, numbers.Number)):
        return repr(value)
    if isinstance(value, os.PathLike):
        return repr(os.fspath(value))  # other attributes are caches
    if isinstance(value, np.dtype) or value is float or (isinstance(value, type) and issubclass(value, np.generic)):
        return np.dtype(value).name  # as users may write it
    if isinstance(value, type):
        return value.__qualname__
    if isinstance(value, np.ndarray) and value.dtype != object:
        return {"array": hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()}
    if any(value is other for other in within):
        return "itself"
    within = (*within, value)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_described(item, within) for item in value]
    if isinstance(value, dict):
        return {str(name): _described(item, within) for name, item in value.items()}
    if isinstance(value, np.random.RandomState):
        return "RandomState"
    attributes = dict(getattr(value, "__dict__", {}))
    for slots in (vars(kind).get("__slots__", ()) for kind in type(value).__mro__):
        names = (slots,) if isinstance(slots, str) else slots
        attributes |= {name: getattr(value, name) for name in names if hasattr(value, name)}
    return {type(value).__name__: {name: _described(item, within) for name, item in sorted(attributes.items())}}


def check_checkpoint(path: str, found: Any, expected: dict[str, Any]) -> None:
    """Raise unless a checkpoint is that of a fit like this one; what it says of itself are JSON values."""
    if found == expected:
        return
    of_found = found.get("parameters") if isinstance(found, dict) else None
    for name, value in expected["parameters"].items():
        was = of_found.get(name) if isinstance(of_found, dict) else None
        if was != value:
            raise ValueError(
                f"{path} is the checkpoint of a fit with {name}={was!r}, and it is {value!r} now; pass the same "
                "arguments, or resume=False"
            )
    ranks = [one.get("ranks", 1) if isinstance(one, dict) else 1 for one in (found, expected)]
    if ranks[0] != ranks[1]:
        raise ValueError(
            f"{path} is the checkpoint of a fit by {ranks[0]} rank(s), and there are {ranks[1]} now; start "
            "as many, with the same data, or pass resume=False"
        )
    raise ValueError(f"{path} is the checkpoint of a fit to other data; pass the same data, or resume=False")


def check_epochs_done(history: Any, n_epochs: int) -> None:
    """Raise an error unless ``history`` has the records of the first epochs, at most ``n_epochs`` of them."""
    check_fitted_history("history", history)
    if not 1 <= len(history) <= n_epochs:
        raise ValueError(f"it has records of {len(history)} epochs, but the fit has at most {n_epochs}")
    forms, of_others = {"rollout_loss": 0.0, "seconds": 0.0, "rollbacks": 0}, validation.one_of(None, 0.0, False)
    for epoch, record in enumerate(history, 1):
        if record.get("epoch") != epoch or not {"rollout_loss", "seconds"} <= record.keys():
            raise ValueError(f"its record number {epoch} is not the record of epoch {epoch}")
        for key, value in record.items():
            validation.check_state(f"{key} of epoch {epoch}", value, forms.get(key, of_others))
