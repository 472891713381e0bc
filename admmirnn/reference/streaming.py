"""The twin of ``_kernels/streaming.pyx``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.special import expit, softmax

from admmirnn.data.sequences import OBSERVATION_DTYPES, as_read
from admmirnn.reference.stepping import Layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from admmirnn._typing import Array, FloatArray, Frame
    from admmirnn.reference.stepping import Layer


_READ, _UNKNOWN_FORM, _OBSERVATION_NOT_FINITE, _OUTPUT_NOT_FINITE = range(4)  # what reading streams returns


class State(Protocol):
    """Where streams are; see the kernel."""

    states: FloatArray
    pooled: NDArray[np.float64] | None
    recent: FloatArray
    n_read: NDArray[np.int64]


class Answer(Protocol):
    """How answers are made of outputs."""

    @property
    def name(self) -> str:
        """Of the function."""

    @property
    def mean(self) -> NDArray[np.float64] | None:
        """What is added to values."""

    @property
    def deviation(self) -> NDArray[np.float64] | None:
        """What values are multiplied by before that."""


class _Stepper:
    """Streams that a network reads; see `stepper`."""

    layers: Layers
    d: int
    stride: int
    Psi: FloatArray
    read_out: str
    scale: float
    standard: NDArray[np.float64] | None
    pooled: NDArray[np.float64] | None
    recent: FloatArray
    n_read: NDArray[np.int64]
    answer: str
    mean: NDArray[np.float64] | None
    deviation: NDArray[np.float64] | None

    def __init__(
        self,
        d: int,
        frame: Frame,
        layers: Layers,
        Psi: FloatArray,
        read_out: str,
        scale: float,
        state: State,
        answer: Answer,
        standard: NDArray[np.float64] | None,
    ) -> None:
        self.layers, self.d, self.stride = layers, d, frame[1]
        self.Psi, self.read_out, self.scale, self.standard = Psi, read_out, scale, standard
        self.S, self.pooled, self.recent, self.n_read = state.states, state.pooled, state.recent, state.n_read
        self.answer, self.mean, self.deviation = answer.name, answer.mean, answer.deviation

    def read(self, observations: object, outputs: FloatArray) -> int:
        """Read more of every stream; returns 0, or a number that says what is wrong, see the kernel."""
        B, d = len(self.S), self.d
        x = np.asanyarray(observations)
        shape = {1: (1, 1, d), 2: (B, 1, d), 3: (B, *x.shape[1:2], d)}.get(x.ndim)
        expected = shape and {1: (d,), 2: (B, d), 3: shape}[x.ndim]
        if not shape or x.shape != expected or (x.ndim == 1 and B != 1) or not x.size or not x.flags.c_contiguous:
            return _UNKNOWN_FORM
        if x.dtype not in OBSERVATION_DTYPES:
            return _UNKNOWN_FORM
        x, outputs = x.reshape(shape), outputs.reshape(B, -1, len(self.Psi))
        N, M = x.shape[1], outputs.shape[1]
        if M not in (1, N) or outputs.dtype != (self.Psi.dtype if self.mean is None else np.float64):
            raise ValueError(
                f"read: outputs is {outputs.dtype} for {M} steps; it must be float64, or the network's type "
                f"without a mean, for 1 or {N} steps"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            for t in range(N):
                outcome = self._take(x[:, t], outputs[:, t - (N - M)] if t >= N - M else None)
                if outcome != _READ:
                    return outcome
        return _READ

    def _take(self, x: Array, outputs: FloatArray | None) -> int:
        """One observation of every stream; nothing has changed unless it is read."""
        streams = np.arange(len(x))
        x = as_read(x, self.Psi.dtype, self.scale, self.standard)[:, None]
        if not np.isfinite(x).all():
            return _OBSERVATION_NOT_FINITE
        frames = np.concatenate([self.recent, x], axis=1)
        after = self.n_read + 1 - frames.shape[1]
        started, turn = after >= 0, np.maximum(after, 0) % self.stride
        s, carried = self.layers.step(frames.reshape(len(x), -1), self.S[streams, turn])
        h = s
        if self.pooled is not None:
            pooled = self.pooled[streams, turn]
            pooled = pooled + s if self.read_out == "mean" else np.where(s <= pooled, pooled, s)
            n_steps = np.maximum(after, 0) // self.stride + 1
            h = (pooled / n_steps[:, None] if self.read_out == "mean" else pooled).astype(s.dtype)
        if outputs is not None:
            q = h @ self.Psi[:, :-1].T + self.Psi[:, -1]
            if not np.isfinite(q[started]).all():
                return _OUTPUT_NOT_FINITE
            if self.answer == "values":
                outputs[:] = q if self.mean is None or self.deviation is None else self.mean + self.deviation * q
            else:
                outputs[:] = softmax(q, axis=1) if self.answer == "softmax" else expit(q)
            outputs[~started] = np.nan
        self.n_read += 1
        self.recent[:] = frames[:, 1:]
        self.S[streams[started], turn[started]] = carried[started]
        if self.pooled is not None:
            self.pooled[streams[started], turn[started]] = pooled[started]
        return _READ


def stepper(
    d: int,
    frame: Frame,
    layers: Sequence[Layer],
    Psi: FloatArray,
    read_out: str,
    scale: float,
    state: State,
    answer: Answer,
    standard: NDArray[np.float64] | None = None,
) -> _Stepper:
    """B streams that go on one observation at a time: an object with ``read(observations, outputs)``."""
    (length, stride), B, K, n = frame, len(state.states), len(Psi), Psi.shape[1] - 1
    pooled, mean, deviation = state.pooled, answer.mean, answer.deviation
    if (
        not (B and n > 0 and d > 0 and K and length > 0 and stride > 0)
        or state.states.shape[:2] != (B, stride)
        or state.recent.shape != (B, length - 1, d)
        or state.n_read.shape != (B,)
        or read_out not in ("last", "mean", "max")
        or (pooled is None) != (read_out == "last")
        or (pooled is not None and pooled.shape != (B, stride, n))
        or answer.name not in ("softmax", "logistic", "values")
        or (standard is not None and (standard.shape != (2, d) or scale != 1))
        or (mean is None) != (deviation is None)
        or (mean is not None and answer.name != "values")
        or (mean is not None and deviation is not None and not len(mean) == len(deviation) == K)
    ):
        raise ValueError(
            f"stepper: Psi has the shape {Psi.shape}, the frame is {frame}, the read-out {read_out!r} and the answer "
            f"{answer.name!r}; the arrays of state and answer, and standard, must be those of such a network with "
            f"{d} features and {B} streams"
        )
    if (state.n_read < 0).any():
        raise ValueError(f"stepper: n_read is {state.n_read}; its numbers must be at least 0")
    found = Layers("stepper", layers, length * d, Psi.dtype)
    if state.states.shape[2] != found.n_carried or n != found.n_hidden:
        raise ValueError(
            f"stepper: states has {state.states.shape[2]} numbers for each stream and Psi has {n} columns for states; "
            f"the layers need {found.n_carried} and {found.n_hidden}"
        )
    return _Stepper(d, frame, found, Psi, read_out, scale, state, answer, standard)
