"""Files that are replaced as a whole: safetensors, whose header holds JSON and a checksum; nothing in them is ever run.

`write_file` and `read_file` take arrays by name and a header of JSON values; `Values` turns other values into such a
header and arrays, and back.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import inspect
import json
import math
import os
import re
import secrets
import shutil
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from admmirnn import validation
from admmirnn.optional import import_optional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from admmirnn._typing import Array, FilePath, Record

FORMAT = 1  # goes up when an older admmirnn would misread a file, not when there is something it can do without
_KEY = "admmirnn"  # of the header's metadata
_MOST_HEADER = 1 << 21  # bytes, which bounds what parsing may take; what grows with training is in arrays
_MOST_DIGITS, _DEEPEST = 320, 32
_ABANDONED = 3600.0  # seconds without a write

_TENSORS = {"BOOL": "?", "F16": "<f2", "F32": "<f4", "F64": "<f8"} | {
    f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)
}
_TYPES: dict[str, type] = {"float": float, "float32": np.float32, "float64": np.float64}
_NOT_FINITE = {repr(value): value for value in (math.inf, -math.inf, math.nan)}
_TIMES = re.compile(r"[mM]8(\[([1-9]\d{0,3})?(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?")


class ModelFileError(ValueError):
    """A file that holds no model or checkpoint, is damaged, or is of a newer admmirnn; the message says which."""


def import_safetensors() -> Any:
    """Return the module safetensors, or raise an ImportError that says how to get it."""
    import_optional("safetensors.numpy", "files", "a file of a model")
    return import_optional("safetensors", "files", "a file of a model")


def write_file(path: FilePath, kind: str, arrays: Mapping[str, Array], header: Any) -> None:
    """Write arrays and a header to a file: afterwards it is there as a whole, or what was there before.

    Parameters
    ----------
    path : str or path-like
        File to write; a file that is there is replaced.
    kind : str
        Kind of file, which `read_file` has to be told.
    arrays : dict of ndarray
        Arrays by name, of booleans, or of integers or floats of at most 64 bits.
    header : dict
        JSON values by name, without NaN and infinity.

    Raises
    ------
    ValueError, TypeError
        If something does not fit into a file; none is written then.
    OSError
        If the file cannot be written.
    """
    path = validation.check_new_path(path)
    import_safetensors()  # which reads it
    arrays = {name: _little_endian(array) for name, array in arrays.items()}
    content = {"format": FORMAT, "kind": kind, "version": version("admmirnn"), "header": header}
    content = json.loads(json.dumps(content, allow_nan=False))  # as it will be read
    text = json.dumps(content | {"sha256": _checksum(arrays, content)})
    arrays = dict(sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0])))  # each is aligned then
    of_file = _header(arrays, text)
    if len(of_file) > _MOST_HEADER:
        raise ValueError(
            f"the header of the file would have {len(of_file)} bytes, and the most is {_MOST_HEADER}: there are too "
            "many labels, names or settings that are no numpy arrays of numbers or strings; use pickle"
        )
    size = len(of_file).to_bytes(8, "little")
    replace_file(path, [size, of_file, *(array.reshape(-1).view(np.uint8).data for array in arrays.values())])


def _header(arrays: Mapping[str, Array], text: str) -> bytes:
    """The header of a file of safetensors that holds these arrays, one after the other, without a copy of any."""
    kinds = {np.dtype(dtype): kind for kind, dtype in _TENSORS.items()}
    found: dict[str, Any] = {"__metadata__": {_KEY: text}}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        if array.dtype not in kinds:
            raise TypeError(f"the array {name!r} is of {array.dtype}, which such a file cannot hold")
        found[name] = {"dtype": kinds[array.dtype], "shape": list(array.shape), "data_offsets": [start, end]}
    header = json.dumps(found, separators=(",", ":")).encode()
    return header + b" " * (-len(header) % 8)


def read_file(path: FilePath, kind: str) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the arrays and the header that `write_file` has been given.

    No more memory is taken than a few times the size of the file; the records that `Values` makes of it take more.

    Parameters
    ----------
    path : str or path-like
        File to read.
    kind : str
        Kind that the file has to be of.

    Returns
    -------
    arrays : dict of ndarray
        Arrays by name, in the byte order of this machine.
    header : dict
        JSON values by name.

    Raises
    ------
    ModelFileError
        If the file is not of that kind, is incomplete, or was written by a newer admmirnn.
    OSError
        If the file cannot be read.
    """
    path, safetensors = validation.check_path(path), import_safetensors()
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        n_header = int.from_bytes(file.read(8), "little")
        if size < 8 or n_header > size - 8:
            raise ModelFileError(f"{path} is not a {kind} file, or is incomplete: it has {size} bytes")
        if n_header > _MOST_HEADER:
            raise ModelFileError(f"{path} is not a {kind} file: its header would be {n_header} bytes long")
        content = _content(path, file.read(n_header), size - 8 - n_header)
        if content.get("kind") != kind:
            raise ModelFileError(f"{path} holds a {content.get('kind')}, and not a {kind}")
        file.seek(0)
        try:
            arrays = {name: _array(tensor) for name, tensor in safetensors.deserialize(file.read(size))}
        except (safetensors.SafetensorError, ValueError) as error:
            raise ModelFileError(f"{path} is damaged or incomplete ({error})") from error
    checksum = content.pop("sha256", None)
    if checksum != _checksum(arrays, content) or not isinstance(content.get("header"), dict):
        raise ModelFileError(f"{path} is damaged: its content does not give its checksum; get the file anew")
    return {name: array.astype(array.dtype.newbyteorder("=")) for name, array in arrays.items()}, content["header"]


def _content(path: str, header: bytes, n_data: int) -> dict[str, Any]:
    """The JSON object that `write_file` has made, of a format that is known, in a file with so many bytes of arrays."""
    try:
        tensors = _parsed(header)
        metadata = tensors.pop("__metadata__", {})
    except (ValueError, RecursionError, AttributeError, TypeError) as error:
        raise ModelFileError(
            f"{path} is not such a file, or is damaged: its header is not that of a safetensors file"
        ) from error
    text = metadata.get(_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise ModelFileError(f"{path} is a file of safetensors, and not one that admmirnn has written")
    try:
        content: dict[str, Any] = _parsed(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} is damaged: its header is not JSON") from error
    found = content.get("format") if isinstance(content, dict) else None
    if type(found) is not int or found < 1:
        raise ModelFileError(f"{path} is damaged: its header names no format")
    if found > FORMAT:
        raise ModelFileError(
            f"{path} was written by admmirnn {content.get('version')} in format {found}, and admmirnn "
            f"{version('admmirnn')} reads formats up to {FORMAT}; install a newer one"
        )
    try:
        n_expected = max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
    except (LookupError, TypeError) as error:
        raise ModelFileError(f"{path} is damaged: its header is not that of a safetensors file") from error
    if n_expected != n_data:  # before a large file is read for nothing
        raise ModelFileError(f"{path} is damaged or incomplete: {n_data} bytes of arrays, and not {n_expected}")
    return content


def _parsed(text: str | bytes) -> Any:
    return json.loads(text, parse_int=_integer, parse_constant=_no_constant)


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:  # which older releases of Python take minutes for
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _checksum(arrays: Mapping[str, Array], content: Any) -> str:
    """SHA-256 of the content and of the arrays, in the order of their names."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _little_endian(array: Array) -> Array:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)


def _array(tensor: Mapping[str, Any]) -> Array:
    """What safetensors has read, as a little-endian array that cannot be written to."""
    if tensor["dtype"] not in _TENSORS:
        raise ValueError(f"{tensor['dtype']} is not a type of numbers that it may hold")
    array: Array = np.frombuffer(tensor["data"], _TENSORS[tensor["dtype"]]).reshape(tensor["shape"])
    if array.dtype == bool and array.view(np.uint8).max(initial=0) > 1:
        raise ValueError("a boolean is neither 0 nor 1")
    return array


def replace_file(path: str, data: bytes | Iterable[bytes | memoryview]) -> None:
    """Put a file in the place of one that may be there, in one step, after its content is on the disk.

    Parameters
    ----------
    path : str
        File to replace, as `admmirnn.validation.check_new_path` returns it.
    data : bytes, or iterable of bytes and such
        Content, or pieces of it.

    Raises
    ------
    OSError
        If the file cannot be written; what was there stays as it was.
    """
    folder, start = _temporary(path)
    temporary, path = os.path.join(folder, f"{start}{secrets.token_hex(8)}.tmp"), os.path.realpath(path)
    lock = None
    try:
        with open(temporary, "xb") as file:
            lock = _locked(temporary)
            for piece in (data,) if isinstance(data, bytes) else data:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(path):
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = path  # a full disk has none
        raise
    finally:
        if lock is not None:
            os.close(lock)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _locked(path: str) -> int | None:
    """Lock a file as long as the descriptor that is returned is open; None if others have, or nothing can be locked."""
    try:
        import fcntl  # which Windows has not
    except ImportError:
        return None
    descriptor = None
    try:
        descriptor = os.open(path, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # among others of a file system without locks
        if descriptor is not None:
            os.close(descriptor)
        return None
    return descriptor


def remove_leftovers(path: str) -> None:
    """Remove what processes have left behind that were killed as they wrote a file.

    What somebody has written to within an hour is left alone: another process may be at it.  Where files can be locked,
    as those are that are being written, only what nobody has locked is removed, whatever the clock says.

    Parameters
    ----------
    path : str
        File, which need not be there; its folder is.
    """
    folder, start = _temporary(path)
    for entry in os.scandir(folder):
        if entry.name.startswith(start):
            with contextlib.suppress(OSError):  # such as that another process has removed it
                if time.time() - entry.stat().st_mtime > _ABANDONED:
                    lock = _locked(entry.path)
                    if lock is None and os.name == "posix":
                        continue
                    os.unlink(entry.path)
                    if lock is not None:
                        os.close(lock)


def _temporary(path: str) -> tuple[str, str]:
    """The folder of a file, and how the names of temporary ones in its place start; a link stays one."""
    folder, name = os.path.split(os.path.realpath(path))
    return folder, f".admmirnn-{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}-"


# Values

_MISSING, _NONE, _FLOAT, _INT, _BOOL = range(5)  # what a number of a record is
_KINDS = {type(None): _NONE, float: _FLOAT, int: _INT, bool: _BOOL}
_OF_KIND: dict[int, Callable[[float], Any]] = {_NONE: lambda value: None, _FLOAT: float, _INT: int, _BOOL: bool}


class Values:
    """Values as JSON and arrays, and back.

    These are None, booleans, numbers, strings, bytes; lists, tuples and dicts of values; numpy's arrays, scalars and
    RandomState; float and numpy's dtypes of floats; and objects of the ``known`` classes.  What comes back has the
    same types, in the byte order of the machine.  What is not JSON becomes an object with one key, which says what it
    is.

    Parameters
    ----------
    arrays : dict of ndarray, optional
        Arrays of `read_file`, which `unpack` takes out; `pack` adds to it what `write_file` is to be given.
    known : iterable of type, default=()
        Enums, and classes whose objects keep the parameters they are made with under the same names.
    """

    def __init__(self, arrays: dict[str, Array] | None = None, known: Iterable[type] = ()) -> None:
        self.arrays: dict[str, Array] = {} if arrays is None else arrays
        self._known = {one.__name__: one for one in known}

    def pack(self, value: Any, name: str, depth: int = 0) -> Any:
        """Return a value as JSON.

        Parameters
        ----------
        value : object
            Value to pack.
        name : str
            Name of the value in messages, and of its arrays.
        depth : int, default=0
            Number of values that it is nested in.

        Raises
        ------
        TypeError
            If there is something in it that a file cannot hold.
        """
        if depth > _DEEPEST:
            raise TypeError(f"{name} is nested more than {_DEEPEST} times, which a file cannot hold; use pickle")

        def inner(value: Any, key: object) -> Any:
            return self.pack(value, f"{name}.{key}", depth + 1)

        def items() -> list[Any]:
            return [inner(item, i) for i, item in enumerate(value)]

        kind: type = type(value)
        if value is None or kind in (bool, str) or (kind is int and value.bit_length() < 1024):
            return value
        if kind is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if kind is bytes:
            return {"bytes": value.hex()}
        if kind is list:
            return self._pack_records(value, name) or items()
        if kind is tuple:
            return {"tuple": items()}
        if kind is dict:
            return {"dict": [[inner(key, "key"), inner(item, key)] for key, item in value.items()]}
        if isinstance(value, np.dtype) and value.name in _TYPES:
            return {"dtype": value.name}
        if isinstance(value, type) and kind is type and _TYPES.get(value.__name__) is value:
            return {"type": value.__name__}
        if isinstance(value, np.generic):
            return {"scalar": self._pack_array(np.asarray(value), name)}
        if isinstance(value, np.ndarray) and not np.ma.isMaskedArray(value):
            if value.dtype == object and value.ndim == 1:
                return {"objects": items()}
            return {"array": self._pack_array(np.asarray(value), name)}
        if kind is np.random.RandomState:
            state = value.get_state(legacy=False)
            if state["bit_generator"] == "MT19937":
                return {"RandomState": inner(state, "state")}
        if self._known.get(kind.__name__) is kind:
            if issubclass(kind, enum.Enum):
                return {"enum": [kind.__name__, value.name]}
            return {"object": [kind.__name__, {key: inner(getattr(value, key), key) for key in parameters(kind)}]}
        raise not_to_be_saved(name, value)

    def unpack(self, value: Any) -> Any:
        """Return the value of which `pack` has made this one.

        Raises
        ------
        ValueError, TypeError
            If `pack` does not make such a value, or an object refuses its parameters.
        """
        if isinstance(value, list):
            return [self.unpack(item) for item in value]
        if not isinstance(value, dict):
            return value
        kind, content = next(iter(value.items())) if len(value) == 1 else (None, None)
        if kind not in self._UNPACK:
            raise ValueError(f"its header has an object of {sorted(value)[:3]}, which is not allowed there")
        return self._UNPACK[kind](self, content)

    def _pack_array(self, array: Array, name: str) -> list[str | None]:
        """[name of the array, type or None]; strings are code points, and times are counts."""
        kind, dtype = array.dtype.kind, None
        if kind in "US" and array.dtype.itemsize:
            unit = np.dtype(np.uint32 if kind == "U" else np.uint8)
            width = array.dtype.itemsize // unit.itemsize
            points = np.frombuffer(array.astype(array.dtype.newbyteorder("=")).tobytes(), unit)
            array, dtype = points.reshape(*array.shape, width), f"{kind}{width}"
        elif kind in "mM":
            array, dtype = array.astype(np.int64), array.dtype.newbyteorder("<").str[1:]
        elif kind not in "biuf" or array.dtype.itemsize > 8:
            raise not_to_be_saved(name, array)
        while name in self.arrays:
            name += "'"
        self.arrays[name] = array
        return [name, dtype]

    def _unpack_array(self, content: Any) -> Array:
        name, dtype = _pair(content)
        if not isinstance(name, str) or name not in self.arrays:
            raise ValueError(f"its header names an array {name!r}, which is not there")
        array = self.arrays.pop(name)
        if dtype is None:
            return array
        if not isinstance(dtype, str):
            raise ValueError(f"its header names the type {dtype!r}")
        if _TIMES.fullmatch(dtype) and array.dtype == np.int64:
            return array.view(dtype)
        unit = {"U": np.uint32, "S": np.uint8}.get(dtype[:1])
        if array.dtype != unit or not array.ndim or not array.shape[-1] or dtype[1:] != str(array.shape[-1]):
            raise ValueError(f"its header says that {array.dtype} of shape {array.shape} is {dtype!r}")
        if unit is np.uint32 and array.max(initial=0) > 0x10FFFF:
            raise ValueError("a string has a character that does not exist")
        return np.ascontiguousarray(array).view(dtype).reshape(array.shape[:-1])

    def _pack_records(self, records: list[Record], name: str) -> dict[str, Any] | None:
        """Records of numbers, as a history has one for each epoch, in two arrays; None if there is anything else."""
        if not records or not all(type(record) is dict for record in records):
            return None
        keys = list(dict.fromkeys(key for record in records for key in record))
        if not keys:
            return None
        column = {key: j for j, key in enumerate(keys)}
        values, kinds = np.zeros((len(records), len(keys))), np.zeros((len(records), len(keys)), np.uint8)
        for i, record in enumerate(records):
            for key, value in record.items():
                value = value.item() if isinstance(value, (np.floating, np.integer, np.bool_)) else value
                kind = _KINDS.get(type(value))
                if type(key) is not str or kind is None or (kind == _INT and abs(value) > 1 << 53):
                    return None
                values[i, column[key]], kinds[i, column[key]] = 0.0 if value is None else value, kind
        names = [self._pack_array(array, f"{name}.{of}")[0] for of, array in (("values", values), ("kinds", kinds))]
        return {"records": [keys, names]}

    def _unpack_records(self, content: Any) -> list[Record]:
        keys, names = map(_list, _pair(content))
        values, kinds = (self._unpack_array([name, None]) for name in _pair(names))
        if not all(isinstance(key, str) for key in keys) or values.dtype != np.float64 or kinds.dtype != np.uint8:
            raise ValueError("its records are not of numbers")
        if values.ndim != 2 or values.shape != kinds.shape or values.shape[1] != len(keys):
            raise ValueError("its records do not have one value for each key")
        if not keys:  # of which there may be any number in no bytes
            raise ValueError("its records have no entries")
        whole = values[(kinds == _INT) | (kinds == _BOOL)]
        if kinds.max(initial=0) > _BOOL or not (np.abs(whole) <= 1 << 53).all():
            raise ValueError("its records hold a value that is not a number")
        return [
            {key: _OF_KIND[kind](value) for key, value, kind in zip(keys, row, of_row, strict=True) if kind != _MISSING}
            for row, of_row in zip(values.tolist(), kinds.tolist(), strict=True)
        ]

    def _unpack_objects(self, content: Any) -> Array:
        items = _list(content)
        found = np.empty(len(items), object)
        for i, item in enumerate(items):
            found[i] = self.unpack(item)
        return found

    def _unpack_dict(self, content: Any) -> dict[Any, Any]:
        return dict(_pair(self.unpack(_list(item))) for item in _list(content))

    def _unpack_random_state(self, content: Any) -> np.random.RandomState:
        found = np.random.RandomState(0)
        state, known = self.unpack(content), found.get_state(legacy=False)
        if not isinstance(state, dict) or state.keys() != known.keys() or not isinstance(state["state"], dict):
            raise ValueError("its random state is not one of MT19937")
        key, position = state["state"].get("key"), state["state"].get("pos")
        if not isinstance(key, np.ndarray) or key.dtype != np.uint32 or key.shape != (624,):
            raise ValueError("its random state has no key of 624 words")
        if not key[1:].any() and key[0] < 1 << 31:  # of the first word one bit counts
            raise ValueError("its random state is all zeros, with which drawing a number might never end")
        if type(position) is not int or not 0 <= position <= 624 or state["has_gauss"] not in (0, 1):
            raise ValueError("the position of its random state is out of range")
        found.set_state(("MT19937", key, position, int(state["has_gauss"]), float(state["gauss"])))
        return found

    def _unpack_enum(self, content: Any) -> Any:
        name, member = _pair(content)
        return _one_of(self._class(name, enum.Enum).__members__, member)

    def _unpack_object(self, content: Any) -> Any:
        name, settings = _pair(content)
        known = self._class(name, object)
        if not isinstance(settings, dict) or not settings.keys() <= set(parameters(known)):
            raise ValueError(f"its header has settings of {name} that this admmirnn does not know")
        return known(**{key: self.unpack(value) for key, value in settings.items()})

    def _class(self, name: object, kind: type) -> Any:
        known: type = _one_of(self._known, name)
        if not issubclass(known, kind) or (kind is object and issubclass(known, enum.Enum)):
            raise ValueError(f"its header takes {name} for something that it is not")
        return known

    _UNPACK = {
        "float": lambda self, content: _one_of(_NOT_FINITE, content),
        "bytes": lambda self, content: bytes.fromhex(content),
        "tuple": lambda self, content: tuple(self.unpack(_list(content))),
        "dict": _unpack_dict,
        "dtype": lambda self, content: np.dtype(_one_of(_TYPES, content)),
        "type": lambda self, content: _one_of(_TYPES, content),
        "scalar": lambda self, content: self._unpack_array(content)[()],
        "array": _unpack_array,
        "objects": _unpack_objects,
        "records": _unpack_records,
        "RandomState": _unpack_random_state,
        "enum": _unpack_enum,
        "object": _unpack_object,
    }


def parameters(known: type) -> list[str]:
    """Names of what an object is made with, under which it keeps them."""
    return list(inspect.signature(known).parameters)


def _list(content: Any) -> list[Any]:
    if not isinstance(content, list):
        raise ValueError("its header has no list where there should be one")
    return content


def _pair(content: Any) -> list[Any]:
    pair = _list(content)
    if len(pair) != 2:
        raise ValueError("its header has no pair where there should be one")
    return pair


def _one_of(known: Mapping[str, Any], name: object) -> Any:
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"its header has {name!r}, which this admmirnn does not know")
    return known[name]


def not_to_be_saved(name: str, value: Any) -> TypeError:
    """The error that says that a file cannot hold a value."""
    found = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"of type {type(value).__name__}"
    remedy = "set_params puts something else in its place"
    if name.partition(".")[0] == "classes_":
        remedy = "fit with labels that are numbers, strings, bytes, or times of numpy"
    return TypeError(
        f"{name} is {found}, which a model file cannot hold, as nothing in it is run; {remedy}, or use pickle"
    )
