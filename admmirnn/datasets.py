"""Sequences to try things on: one embedded set, four read from files, two generated.

The files are looked for in the folder that the environment variable ``ADMMIRNN_DATA`` names; nothing is ever
downloaded.
"""

from __future__ import annotations

import gzip
import math
import os
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from admmirnn._typing import Array, RandomState
from admmirnn.validation import (
    as_numbers,
    check_boolean,
    check_choice,
    check_file_name,
    check_integer,
    check_number,
    check_random_state,
)

__all__ = [
    "adding_problem",
    "copy_task",
    "load_digits",
    "load_japanese_vowels",
    "load_mnist",
    "load_osuleaf",
    "load_text",
    "mackey_glass",
    "read_idx",
    "read_ts",
]

_SUBSETS = ("train", "test")

_PIECE = 1 << 16  # bytes that are read at a time
_IDX_TYPES: dict[int, DTypeLike] = {0x08: np.uint8, 0x09: np.int8, 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def load_digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """scikit-learn's 8 x 8 digits as sequences of 8 rows of 8 pixels.

    Returns
    -------
    X : ndarray of shape (1797, 8, 8), float32
        Images, whose rows are steps: grey values in [0, 1].
    y : ndarray of shape (1797,)
        Digits that the images show, 0 to 9.
    """
    from sklearn.datasets import load_digits as load

    digits = load()
    return (digits.images / 16).astype(np.float32), digits.target


def load_mnist(subset: str) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """MNIST as sequences of 28 rows of 28 pixels.

    Parameters
    ----------
    subset : {"train", "test"}
        Which images to load: the 60,000 for training or the 10,000 for testing.

    Returns
    -------
    X : ndarray of shape (n, 28, 28), float32
        Images, whose rows are steps: grey values in [0, 1].
    y : ndarray of shape (n,), uint8
        Digits that the images show, 0 to 9.

    Raises
    ------
    FileNotFoundError
        If the four canonical ``.gz`` files are not in ``$ADMMIRNN_DATA/mnist``.
    """
    prefix = {"train": "train", "test": "t10k"}[check_choice("subset", subset, _SUBSETS)]
    images = read_idx(_data_file("mnist", f"{prefix}-images-idx3-ubyte.gz"))
    labels = read_idx(_data_file("mnist", f"{prefix}-labels-idx1-ubyte.gz"))
    return images.astype(np.float32) / np.float32(255), labels


def load_japanese_vowels(subset: str) -> tuple[list[NDArray[np.float64]], NDArray[np.str_]]:
    """UCI Japanese Vowels: utterances of two vowels by nine speakers, 7 to 29 steps of 12 cepstrum coefficients.

    Parameters
    ----------
    subset : {"train", "test"}
        Which series to load: the 270 for training or the 370 for testing.

    Returns
    -------
    X : list of ndarray of shape (n_steps_i, 12), float64
        Recordings of 7 to 29 steps, with 12 cepstral coefficients per step.
    y : ndarray of shape (n,), str
        Names of the speakers.

    Raises
    ------
    FileNotFoundError
        If the two ``.ts`` files are not in ``$ADMMIRNN_DATA/japanese_vowels``.
    """
    subset = check_choice("subset", subset, _SUBSETS).upper()
    X, y = read_ts(_data_file("japanese_vowels", f"JapaneseVowels_{subset}.ts"))
    return X, y


def load_osuleaf(subset: str) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """UCR OSULeaf: the outlines of leaves of six kinds of trees, as one-dimensional series.

    Parameters
    ----------
    subset : {"train", "test"}
        Which series to load: the 200 for training or the 242 for testing.

    Returns
    -------
    X : ndarray of shape (n, 427, 1), float64
        Outlines of leaves, as one-dimensional series.
    y : ndarray of shape (n,), str
        Kinds of trees, "1" to "6".

    Raises
    ------
    FileNotFoundError
        If the two ``.ts.gz`` files are not in ``$ADMMIRNN_DATA/osuleaf``.
    """
    subset = check_choice("subset", subset, _SUBSETS).upper()
    X, y = read_ts(_data_file("osuleaf", f"OSULeaf_{subset}.ts.gz"))
    return np.stack(X), y


def load_text() -> str:
    """Text on which the authors of the paper trained: Kafka's Metamorphosis in English.

    Returns
    -------
    str
        Text of 118,564 characters, 61 different ones.

    Raises
    ------
    FileNotFoundError
        If ``metamorphosis.txt`` is not in ``$ADMMIRNN_DATA/text``.
    """
    return _data_file("text", "metamorphosis.txt").read_text(encoding="utf-8")


def adding_problem(
    n_sequences: int, n_steps: int, random_state: RandomState = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Adding problem of Hochreiter and Schmidhuber: the target is the sum of two marked values of a sequence.

    Parameters
    ----------
    n_sequences, n_steps : int
        Number of sequences, at least 1, and number of steps, at least 2, because two values are marked.
    random_state : int, RandomState or None
        Seed for the values and the marks.

    Returns
    -------
    X : ndarray of shape (n_sequences, n_steps, 2), float32
        Two features: a value, uniform in [0, 1), and a mark, which is 1 at one step of each half and 0 elsewhere.
    y : ndarray of shape (n_sequences, 1), float32
        Sum of the two marked values; always answering its mean costs a squared error of 1/6.

    Raises
    ------
    ValueError, TypeError
        If an argument is not usable.
    """
    n_sequences, n_steps = check_integer("n_sequences", n_sequences, 1), check_integer("n_steps", n_steps, 2)
    rng: np.random.RandomState = check_random_state(random_state)
    X = np.zeros((n_sequences, n_steps, 2), np.float32)
    X[:, :, 0] = rng.random_sample((n_sequences, n_steps))
    each = np.arange(n_sequences)
    first = rng.randint(0, n_steps // 2, n_sequences)
    second = rng.randint(n_steps // 2, n_steps, n_sequences)
    X[each, first, 1] = X[each, second, 1] = 1
    return X, (X[each, first, 0] + X[each, second, 0])[:, None]


def copy_task(
    n_sequences: int, delay: int, n_to_copy: int = 10, random_state: RandomState = None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Copy task of Hochreiter and Schmidhuber: symbols are read, and have to be repeated after a delay.

    A sequence is of ``n_to_copy`` symbols, each one of eight, then blanks, a signal at the end of the delay, and blanks
    again, at which the symbols are asked for in their order; at all other steps the answer is a blank.

    Parameters
    ----------
    n_sequences : int
        Number of sequences, at least 1.
    delay : int
        Number of steps from the last symbol to the signal, at least 1.
    n_to_copy : int, default=10
        Number of symbols to repeat, at least 1.
    random_state : int, RandomState or None
        Seed for the symbols.

    Returns
    -------
    X : ndarray of shape (n_sequences, delay + 2 n_to_copy, 10), float32
        Indicators of the eight symbols, of a blank and of the signal.
    y : ndarray of shape (n_sequences, delay + 2 n_to_copy), int64
        Answer at each step: a symbol from 0 to 7, or 8 for a blank.

    Raises
    ------
    ValueError, TypeError
        If an argument is not usable.

    Notes
    -----
    Without memory the best answer is a guess among eight symbols where they are asked for: a mean cross-entropy of
    ``n_to_copy * log(8) / (delay + 2 * n_to_copy)``.

    References
    ----------
    M. Arjovsky, A. Shah, Y. Bengio, "Unitary Evolution Recurrent Neural Networks", ICML 2016, section 5.1.
    """
    n_sequences, delay = check_integer("n_sequences", n_sequences, 1), check_integer("delay", delay, 1)
    n_to_copy = check_integer("n_to_copy", n_to_copy, 1)
    rng: np.random.RandomState = check_random_state(random_state)
    blank, signal = 8, 9
    symbols = rng.randint(0, blank, (n_sequences, n_to_copy))
    read = np.full((n_sequences, delay + 2 * n_to_copy), blank)
    read[:, :n_to_copy], read[:, n_to_copy + delay - 1] = symbols, signal
    y = np.full(read.shape, blank, np.int64)
    y[:, -n_to_copy:] = symbols
    return np.eye(signal + 1, dtype=np.float32)[read], y


def mackey_glass(
    n_steps: int,
    tau: float = 17,
    dt: float = 1.0,
    *,
    a: float = 0.2,
    b: float = 0.1,
    n: int = 10,
    x0: float = 1.2,
    history: ArrayLike | None = None,
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
) -> NDArray[np.float64]:
    """The chaotic series of Mackey and Glass: dx/dt = a x(t - tau) / (1 + x(t - tau)^n) - b x(t).

    The numbers are those of ``reservoirpy.datasets.mackey_glass(n_steps, tau, a, b, n, x0, h=dt, seed=random_state)``:
    a Runge-Kutta step of fourth order, in which x(t - tau) stays what it is at the beginning of the step, takes x to
    the next value. They are not normalised; the tutorials of reservoirpy go on with ``2 * (X - X.min()) /
    (X.max() - X.min()) - 1``, in [-1, 1].

    Parameters
    ----------
    n_steps : int
        Number of values, at least 1.
    tau : float
        Delay, at least ``dt``; rounded down to a multiple of it. The series is chaotic from about 17 on.
    dt : float
        Time between two values, > 0.
    a, b : float
        Rates of production and decay, >= 0.
    n : int
        Exponent, at least 1.
    x0 : float
        First value, > 0.
    history : array-like of shape (n_history,) or (n_history, 1), or None
        Values before the first, the latest last: at least ``tau / dt``, of which the latest are taken. ``X[:-1]``
        continues a series ``X`` whose last value is ``x0``. None draws them around ``x0``, uniformly within 0.1.
    random_state : int, RandomState, Generator or None
        Seed for the history. None is the seed 5555, as in reservoirpy: always the same series.

    Returns
    -------
    X : ndarray of shape (n_steps, 1), float64
        Values at the times 0, ``dt``, 2 ``dt``, ...

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range, if the history is too short, or if the values do not stay finite, which is
        so if ``dt`` is large for ``b``.

    References
    ----------
    M. C. Mackey and L. Glass, "Oscillation and chaos in physiological control systems", Science 197 (1977), 287-289.
    """
    n_steps, n = check_integer("n_steps", n_steps, 1), check_integer("n", n, 1)
    a, b, x0 = check_number("a", a), check_number("b", b), check_number("x0", x0, strict=True)
    dt = check_number("dt", dt, strict=True)
    tau = check_number("tau", tau, least=dt, alternatives=", which is dt")
    delay = check_integer("the number of steps of tau", int(tau / dt * (1 + 1e-12)), 1)  # 0.3 / 0.1 is below 3
    if history is None:
        if not isinstance(random_state, (np.random.RandomState, np.random.Generator)):
            seed = 5555 if random_state is None else random_state
            seed = check_integer("random_state", seed, 0, alternatives=", a RandomState, a Generator or None")
            random_state = np.random.default_rng(seed)
        past = x0 + 0.2 * (random_state.random(delay) - 0.5)
    else:
        past = np.atleast_1d(as_numbers(history, "history", np.float64))
        if not np.isfinite(past).all():
            raise ValueError("history contains NaN or infinity; pass finite values")
        if past.size != len(past) or len(past) < delay:
            raise ValueError(f"history is of shape {past.shape}; it should be one series of at least {delay} values")
        past = past.ravel()[-delay:]
    x = np.concatenate([past, np.empty(n_steps)])
    x[delay] = x0
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for i in range(delay, len(x) - 1):
            x[i + 1] = _mackey_glass_step(x[i], a * x[i - delay] / (1 + x[i - delay] ** n), b, dt)
    if not np.isfinite(x).all():
        raise ValueError(f"the values do not stay finite with dt={dt:g} and b={b:g}; pass a smaller dt")
    return x[delay:, None]


def _mackey_glass_step(x: float, production: float, b: float, dt: float) -> float:
    """Take x a Runge-Kutta step of dx/dt = production - b x further."""
    k1 = dt * (production - b * x)
    k2 = dt * (production - b * (x + 0.5 * k1))
    k3 = dt * (production - b * (x + 0.5 * k2))
    k4 = dt * (production - b * (x + k3))
    return x + k1 / 6 + k2 / 3 + k3 / 3 + k4 / 6


def read_idx(path: str | os.PathLike[str]) -> Array:
    """Read an array from an IDX file, gzipped if the name ends in ``.gz``.

    Parameters
    ----------
    path : path-like
        Path of the file.

    Returns
    -------
    ndarray
        Values, in the shape and type that the file names.

    Raises
    ------
    ValueError
        If it is not an IDX file, is incomplete, or is not gzipped although its name says so; the message names the
        file.

    References
    ----------
    Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten digits", has the format at its end.
    """
    path = Path(check_file_name(path))
    with _open(path) as file:
        start = _first_bytes(file, 4)
        if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _IDX_TYPES:
            raise ValueError(f"{path} is not an IDX file; its first bytes are {start!r}")
        sizes = _first_bytes(file, 4 * start[3])
        if len(sizes) < 4 * start[3]:
            raise ValueError(f"{path} is not whole; its header ends after {len(start) + len(sizes)} bytes")
        shape = struct.unpack(f">{start[3]}I", sizes)
        dtype = np.dtype(_IDX_TYPES[start[2]])
        expected = math.prod(shape) * dtype.itemsize
        content = _first_bytes(file, expected + 1)  # and no more, whatever else is packed there
    if len(content) != expected:
        found = "more" if len(content) > expected else len(content)
        raise ValueError(f"{path} holds {found} bytes of data, and its header says {expected}")
    try:
        return np.frombuffer(content, dtype).reshape(shape)
    except ValueError as error:
        raise ValueError(f"{path} holds an array of shape {shape}, which numpy cannot make ({error})") from error


def read_ts(path: str | os.PathLike[str], *, missing: str = "raise", return_times: bool = False) -> Any:
    """Read series from a UCR/UEA ``.ts`` file.

    Parameters
    ----------
    path : path-like
        Path of the file, gzipped if the name ends in ``.gz``: a line per series after ``@data``, channels separated by
        ``:``, their values by ``,``, the label last.  Tags such as ``@classLabel`` may be in upper or lower case; blank
        lines and those that begin with ``#`` are skipped.
    missing : {"raise", "nan"}
        Whether a missing value, ``?`` or ``NaN``, is an error or becomes NaN.
    return_times : bool, default=False
        Whether to return the time stamps as well, of a file that says ``@timeStamps true``: there a channel is written
        as ``(time,value),(time,value)``, and its steps are sorted by time.

    Returns
    -------
    X : list of ndarray of shape (n_steps_i, n_channels), float64
        Series, one array each.
    y : ndarray of shape (n_series,), str or float64, or None
        Class labels; targets to regress on if the file says ``@targetLabel true``; None if it says
        ``@classLabel false`` only. A file with neither tag has class labels.
    times : list of ndarray of shape (n_steps_i,), float64 or datetime64[us]
        Time stamps, only with ``return_times``: numbers or times, in UTC if they have a zone.

    Raises
    ------
    ValueError
        If a line cannot be read, if the channels of a series have unequal lengths, or if a series has another number
        of channels than the one before or contradicts the header (``@dimensions``, ``@univariate``, ``@equalLength``,
        the classes that ``@classLabel`` lists); if the channels of a series have other time stamps; if there is no
        series, or no time stamp that is to be returned. The message names the file and, where there is one, the line.

    References
    ----------
    https://www.aeon-toolkit.org/en/stable/api_reference/data_format.html
    """
    check_choice("missing", missing, ("raise", "nan"))
    check_boolean("return_times", return_times)
    path = Path(check_file_name(path))
    X, y, times, header, in_data = [], [], [], _TsHeader(), False
    for number, line in enumerate(_lines(path), 1):
        if not line or line.startswith(b"#"):  # comments may be in any encoding
            continue
        try:
            text = line.decode("utf-8-sig")
            if in_data:
                series, label, of_steps = header.read_series(text, missing)
                X.append(series)
                y.append(label)
                times.append(of_steps)
            elif text.lower() == "@data":
                in_data = True
            elif text.startswith("@"):
                header.read_tag(text)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
    if not X:
        raise ValueError(f"{path} has no {'series after' if in_data else 'line'} @data")
    labels = np.array(y) if header.labels else None
    if not return_times:
        return X, labels
    if not header.has_times:
        raise ValueError(f"{path} has no time stamps, as it does not say @timeStamps true; pass return_times=False")
    return X, labels, times


class _TsHeader:
    """What the tags of a ``.ts`` file, and then its first series, say of every series."""

    def __init__(self) -> None:
        self.switches: dict[str, bool] = {}  # tag in lower case -> bool
        self.classes: list[str] = []  # in lower case; none if they are not listed
        self.n_channels = None
        self.n_steps = None

    @property
    def labels(self) -> str:
        """What a line ends with: "target", "class", or "" if with neither."""
        if self.switches.get("@targetlabel"):
            return "target"
        return "class" if self.switches.get("@classlabel", True) else ""

    @property
    def has_times(self) -> bool:
        """Whether every value has a time stamp."""
        return self.switches.get("@timestamps", False)

    def read_tag(self, line: str) -> None:
        """Take over what a line of the header says."""
        tag, *values = line.lower().split()
        if tag in ("@dimensions", "@dimension"):
            if len(values) != 1 or not values[0].isdecimal():
                raise ValueError(f"{line!r} should name one number")
            self._agree("n_channels", int(values[0]), "channels")
        elif tag in ("@timestamps", "@univariate", "@equallength", "@classlabel", "@targetlabel"):
            if not values or values[0] not in ("true", "false"):
                raise ValueError(f"{line!r} should say true or false")
            self.switches[tag] = values[0] == "true"
        if tag == "@classlabel":
            self.classes = values[1:]
        if tag == "@univariate" and self.switches[tag]:
            self._agree("n_channels", 1, "channels")
        if self.switches.get("@classlabel") and self.switches.get("@targetlabel"):
            raise ValueError("@classLabel and @targetLabel are both true; a series can have one label")

    def read_series(self, line: str, missing: str) -> tuple[NDArray[np.float64], str | float | None, Any]:
        """Return the series, of shape (n_steps, n_channels), the label and the times that a line of the data holds."""
        channels = _COLON_OUTSIDE.split(line) if self.has_times else line.split(":")
        label = channels.pop().strip() if self.labels else None
        if self.labels and not channels:
            raise ValueError("a series and a label should be separated by ':'")
        if self.labels == "class" and (not label or self.classes and label.lower() not in self.classes):
            raise ValueError(f"the class is {label!r}" + (", which @classLabel does not list" if label else ""))
        if self.labels == "target":
            target = _numbers(label or "", missing)
            if len(target) != 1:
                raise ValueError(f"the target is {label!r}; it should be one number")
            label = target[0]
        times: Any = None
        if self.has_times:
            times, channels = _split_times(channels)
        values = [_numbers(channel, missing) for channel in channels]
        lengths = {len(channel) for channel in values}
        if len(lengths) > 1:
            raise ValueError(f"the channels have {min(lengths)} to {max(lengths)} steps; they should be equally long")
        self._agree("n_channels", len(channels), "channels")
        if self.switches.get("@equallength"):
            self._agree("n_steps", lengths.pop(), "steps")
        series = np.stack(values, axis=1)
        if times is None:
            return series, label, None
        order = np.argsort(times, kind="stable")
        return series[order], label, times[order]

    def _agree(self, name: str, number: int, unit: str) -> None:
        expected = getattr(self, name)
        if expected not in (None, number):
            raise ValueError(f"there are {number} {unit}; the lines above have {expected}")
        setattr(self, name, number)


_COLON_OUTSIDE = re.compile(r":(?![^()]*\))")  # of what is in brackets
_STAMPED = re.compile(r"\(([^()]*),([^(),]*)\)")


def _split_times(channels: list[str]) -> tuple[Array, list[str]]:
    """The time stamps that all channels have, and the values of each as they are written without them."""
    stamps: list[str] = []
    values = []
    for channel in channels:
        found = _STAMPED.findall(channel)
        if not found or _STAMPED.sub("", channel).strip(", "):
            raise ValueError(f"{channel[:40]!r} should be pairs (time,value), separated by commas")
        own = [time.strip() for time, _ in found]
        if stamps and own != stamps:
            raise ValueError("the channels have different time stamps; they should be those of the same steps")
        stamps = own
        values.append(",".join(value for _, value in found))
    return _as_times(stamps), values


def _as_times(stamps: list[str]) -> Array:
    """Time stamps as numbers, or as times of numpy."""
    try:
        return np.array([float(stamp) for stamp in stamps])
    except ValueError:
        pass
    times = [datetime.fromisoformat(re.sub("Z$", "+00:00", stamp)) for stamp in stamps]
    return np.array(
        [time.astimezone(timezone.utc).replace(tzinfo=None) if time.tzinfo else time for time in times], "M8[us]"
    )


def _numbers(text: str, missing: str) -> NDArray[np.float64]:
    values = np.array([float(value) for value in text.replace("?", "nan").split(",")])
    if missing == "raise" and np.isnan(values).any():
        raise ValueError('a value is missing; pass missing="nan" to have NaN in its place')
    return values


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """A file to read, unpacked if its name ends in ``.gz``; what reads it reads no more than it can use."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            yield file  # type: ignore[misc]  # what gzip opens reads as others do
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is not a complete gzip file ({error})") from error


def _first_bytes(file: BinaryIO, n: int) -> bytearray:
    """The next n bytes, or as many as there are; room is made for those that come, whatever n is."""
    found = bytearray()
    while len(found) < n and (piece := file.read(min(n - len(found), _PIECE))):
        found += piece
    return found


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, without the space around them; one of binary data, which has no end, is refused."""
    with _open(path) as file:
        left = b""
        for piece in iter(lambda: file.read(_PIECE), b""):
            if b"\0" in piece:
                raise ValueError(f"{path} has bytes that are zero after {len(left)} others in a line; this is not text")
            *whole, left = (left + piece).split(b"\n")
            for line in whole:
                yield from map(bytes.strip, line.splitlines() or [b""])  # at a carriage return as well
        yield from map(bytes.strip, left.splitlines())


def _data_file(*parts: str) -> Path:
    folder = os.environ.get("ADMMIRNN_DATA")
    path = Path(folder or "", *parts)
    if not folder or not path.is_file():
        found = f"is {folder!r} and has no {Path(*parts)}" if folder else "is not set"
        raise FileNotFoundError(f"ADMMIRNN_DATA {found}; set it to the folder that holds {Path(*parts)}")
    return path
