"""Streams: sequences that have not ended, read one observation at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from admmirnn import backend, validation
from admmirnn._typing import Array, DType, FloatArray, Frame, IntArray
from admmirnn.averaging import AverageReader, side_by_side
from admmirnn.data.missing import Gaps, carried_on, without_masks
from admmirnn.data.names import by_columns, in_known_order, names_of
from admmirnn.data.reading import as_observations
from admmirnn.data.sequences import as_read
from admmirnn.data.sparse import as_dense
from admmirnn.networks import Network, layers_of_one_direction

__all__ = ["Stream", "StreamState"]

_OBSERVATION_NOT_FINITE = 2  # what the kernel returns then
_NO_END = "a stream has no end that it could read from; pass bidirectional=False"


@dataclass(eq=False)
class StreamState:
    """Where streams are: plain arrays, which can be copied, pickled, and returned to.

    A model with a frame (length, stride) has ``stride`` states, in turn: an observation goes on from the state that was
    reached ``stride`` observations before, so that the last frame always ends with the stream, as `predict` has it.

    Attributes
    ----------
    states : ndarray of shape (n_streams, stride, n)
        States of the streams; stride is 1 without frames.  Those of several layers are side by side, with
        ``cell="lstm"`` the cell states of each layer behind its states, and so are those of several networks: n is the
        number of all of them.
    pooled : ndarray of shape (n_streams, stride, n_last) or None
        Sum of the last layer's states up to now with readout="mean", and the largest of them with "max", unit by unit.
    recent : ndarray of shape (n_streams, length - 1, n_features)
        Last observations, scaled; without frames there are none.
    n_read : ndarray of shape (n_streams,), int64
        Number of observations that were read.
    last : ndarray of shape (n_streams, n_features), float64, or None
        Last values that were not missing, unless missing observations are refused.
    """

    states: np.ndarray
    pooled: np.ndarray | None
    recent: np.ndarray
    n_read: np.ndarray
    last: np.ndarray | None = None

    @property
    def s(self) -> FloatArray:
        """The last state s_t of every stream, (n_streams, n), as in ``states``; s_0 before the first step."""
        turn = np.maximum(self.n_read - self.recent.shape[1] - 1, 0) % self.states.shape[1]
        found: FloatArray = self.states[np.arange(len(turn)), turn]
        return found

    def __repr__(self) -> str:
        return f"StreamState({_read_by(self.n_read)}, states of shape {self.states.shape} and {self.states.dtype})"

    def to_dict(self) -> dict[str, Any]:
        """Return the state as lists, numbers and strings, which JSON can hold; `from_dict` makes the same of it.

        Returns
        -------
        dict
            Plain values: the name of the dtype, the number of features, and a nested list for each array, or None.
        """
        arrays = {name: None if array is None else _in_json(array) for name, array in vars(self).items()}
        return {"dtype": self.states.dtype.name, "n_features": self.recent.shape[2], **arrays}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> StreamState:
        """Return the state that `to_dict` has written, to the last bit.

        Parameters
        ----------
        state : dict
            Result of `to_dict`, also after it has been through JSON.

        Raises
        ------
        ValueError, TypeError
            If it is not such a dict.  Whether a state belongs to a model is checked when a stream takes it.
        """
        names = [field.name for field in fields(cls)]
        if not isinstance(state, Mapping) or set(state) != {"dtype", "n_features", *names}:
            found = list(state)[:6] if isinstance(state, Mapping) else type(state).__name__
            raise ValueError(
                f"state is {found!r}; pass a dict that to_dict has made, with dtype, n_features, {', '.join(names)}"
            )
        dtype: Any = validation.check_dtype(state["dtype"])
        n_features = validation.check_integer("state['n_features']", state["n_features"], 1)
        dtypes = {"pooled": np.float64, "n_read": np.int64, "last": np.float64}
        axes = {"states": 3, "pooled": 3, "recent": 3, "n_read": 1, "last": 2}
        arrays: dict[str, Any] = {"pooled": None, "last": None}
        for name in names:
            if name in arrays and state[name] is None:
                continue
            try:
                array = np.array(_from_json(state[name]), dtypes.get(name, dtype))
            except (TypeError, ValueError) as error:
                raise ValueError(f"state[{name!r}] is not a nested list of numbers ({error})") from error
            if name == "recent" and array.ndim == 2 and not array.size:  # without frames
                array = array.reshape(*array.shape, n_features)
            if array.ndim != axes[name]:
                raise ValueError(f"state[{name!r}] has {array.ndim} dimension(s), and should have {axes[name]}")
            arrays[name] = array
        return cls(**arrays)

    def copy(self) -> StreamState:
        """Return a copy, from which another stream can go on."""
        pooled = None if self.pooled is None else self.pooled.copy()
        last = None if self.last is None else self.last.copy()
        return StreamState(self.states.copy(), pooled, self.recent.copy(), self.n_read.copy(), last)

    def take(
        self, other: StreamState, streams: slice | IntArray = slice(None), others: slice | IntArray = slice(None)
    ) -> None:
        """Copy the streams ``others`` of another state into these streams."""
        for array, given in zip(vars(self).values(), vars(other).values(), strict=True):
            if array is not None:
                array[streams] = given[others]


def _read_by(n_read: IntArray) -> str:
    """Text that says how many streams there are, and how much they have read."""
    least, most = int(n_read.min()), int(n_read.max())
    return f"n_streams={len(n_read)}, n_read={least}" + (f" to {most}" if most > least else "")


def _in_json(array: Array) -> Any:
    """An array as nested lists, with a string for -inf, which JSON does not have."""
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return array.tolist()
    return [_in_json(row) if row.ndim else float(row) if np.isfinite(row) else repr(float(row)) for row in array]


def _from_json(values: Any) -> Any:
    return [_from_json(value) for value in values] if isinstance(values, list) else float(values)


@dataclass(frozen=True, eq=False)
class Answer:
    """How answers are made of a network's outputs.

    Attributes
    ----------
    name : {"softmax", "logistic", "values"}
        Name of the function that makes answers of outputs.
    mean, deviation : ndarray of shape (K,) or None
        Numbers for values, which are multiplied by ``deviation`` before ``mean`` is added.
    single : bool
        Whether the axis of length K = 1 is left out.
    difference : bool
        Whether the only output is the second one minus the first.
    classes : ndarray of shape (n_classes,) or None
        Labels of a classifier.
    several : bool
        Whether there may be several labels at once.
    """

    name: str
    mean: np.ndarray | None = None
    deviation: np.ndarray | None = None
    single: bool = False
    difference: bool = False
    classes: np.ndarray | None = None
    several: bool = False


class Stream:
    """One stream or several of them, which go on an observation at a time; made by ``stream`` of a fitted estimator.

    Calling it with the next observation returns the next output, that of `predict_proba` (or of `decision_function`, if
    the loss has no probabilities), or, of a regressor, of `predict` for all that has been read so far.  It keeps the
    weights that the estimator had when it was made.

    An observation that does not fit, or is not finite, raises ValueError or TypeError and changes nothing.  A stream
    belongs to one thread at a time.

    Parameters
    ----------
    network : RNN or StackedRNN, or list of these
        Network with layers of one direction; the outputs of several networks are averaged.  Weights are not to be
        changed: most of them are read, not copied.
    answer : Answer
        Function that turns outputs into answers.
    scale : float
        Factor by which observations are multiplied.
    frame : tuple of int
        Pair (length, stride).
    n_streams : int
        Number of streams.
    state : StreamState, optional
        State that the streams continue from.
    standard : ndarray of shape (2, n_features), optional
        Means and factors, with a scale of 1: the network reads ``(observation - mean) * factor``.
    names : sequence of str, optional
        Names of the features, if the estimator was fitted with such.
    gaps : Gaps, optional
        Treatment of missing observations, which are refused by default.

    Attributes
    ----------
    state : StreamState
        Copy of the present state of the streams; it can be set.
    classes_ : ndarray of shape (n_classes,)
        Labels of a classifier.
    feature_names_in_ : ndarray of str
        Names of the features, if the estimator was fitted with such.

    Examples
    --------
    >>> import numpy as np
    >>> from admmirnn import RNNClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 12, 2))
    >>> model = RNNClassifier(hidden_size=16, random_state=0).fit(X, np.where(X[:, -1, 0] > 0, "up", "down"))
    >>> stream = model.stream()
    >>> for x in X[0]:
    ...     probabilities = stream(x)
    >>> bool(np.allclose(probabilities, model.predict_proba(X[:1])[0], atol=1e-5))
    True
    >>> bool(stream.labels(probabilities) == model.predict(X[:1])[0])
    True
    >>> stream
    Stream(n_streams=1, n_read=12, n_features=2, classes_=['down', 'up'])
    """

    def __init__(
        self,
        network: Network | Sequence[Network],
        answer: Answer,
        scale: float,
        frame: Frame,
        n_streams: int = 1,
        state: StreamState | None = None,
        standard: NDArray[np.float64] | None = None,
        names: Sequence[str] | None = None,
        gaps: Gaps | None = None,
    ) -> None:
        self._names, self._answer = names, answer
        if names is not None:
            self.feature_names_in_: Array = np.array(names, dtype=object)
        self._arguments = network, answer, scale, frame, n_streams
        several: Any = network if isinstance(network, (list, tuple)) else [network]
        networks: list[Network] = list(several)
        self._gaps = gaps or Gaps()
        n_channels = networks[0].n_features // frame[0]
        self._n_features, self._dtype = n_channels // self._gaps.n_columns, networks[0].dtype
        self._scale, self._standard, self._n_streams = scale, standard, n_streams
        starts = [_start_of(one, frame, n_streams, self._gaps) for one in networks]
        states, pooled = side_by_side([one.states for one in starts]), side_by_side([one.pooled for one in starts])
        self._start = replace(starts[0], states=states, pooled=pooled).copy()
        self._state = self._start.copy()
        if state is not None:
            self.state = state
        reads, parts = [], [self._state] if len(networks) == 1 else starts
        for one, part in zip(networks, parts, strict=True):
            Psi = one.Psi[1:] - one.Psi[:1] if answer.difference else one.Psi
            what = n_channels, frame, layers_of_one_direction(one, _NO_END), Psi, one.read_out
            reads.append(backend.kernels().stepper(*what, scale, part, answer, standard).read)
        self._read = reads[0] if len(reads) == 1 else AverageReader(reads, parts, self._state).read
        self._answer_dtype = self._dtype if answer.mean is None else np.dtype(np.float64)
        self._answer_shape = () if answer.single else (len(Psi),)
        self._shapes = {1: self._answer_shape, 2: (n_streams, *self._answer_shape)}

    def __call__(self, x: ArrayLike) -> Any:
        """Read one more observation of every stream.

        Parameters
        ----------
        x : array-like of shape (n_streams, n_features), or (n_features,) of a single stream
            One observation of each stream: an array, or a sparse matrix of scipy; a dict of numbers by the name of each
            feature, or of arrays (n_streams,); a row of a DataFrame, or a DataFrame with a row for each stream.
            Features with names are found by these.  A C-contiguous numpy array of float32, float64, or integers of 8
            or 16 bits is read as it is, which is fastest.

        Returns
        -------
        ndarray of shape (n_streams, n_classes), or of values (n_streams,) or (n_streams, k)
            Probabilities or values, without the first axis if ``x`` had none.  With ``frame=(length, stride)``, they
            are NaN for the first ``length - 1`` observations.

        Raises
        ------
        ValueError, TypeError
            If ``x`` does not fit, or is not finite, or is so large that outputs are not finite; the streams have not
            moved then.
        """
        fills = self._gaps.way != "refuse"
        if fills or type(x) is not np.ndarray or x.ndim not in self._shapes:
            x = self._observation(x)
        outputs = np.empty(self._shapes[x.ndim], self._answer_dtype)
        if fills or self._read(x, outputs):
            self._read_with_care("x", self._observation(x), outputs)
        return outputs if outputs.ndim else outputs[()]

    def read(self, X: ArrayLike, every_step: bool = True) -> FloatArray:
        """Read many more observations.

        Parameters
        ----------
        X : array-like of shape (n_streams, n_steps, n_features), or (n_steps, n_features) of a single stream
            Observations of each stream, as when the stream is called: an array; a DataFrame, or dict of arrays
            (n_steps,), of a single stream; or a list of these, one for each stream.
        every_step : bool, default=True
            Whether to return the output after every step, or only that after the last one.

        Returns
        -------
        ndarray of shape (n_streams, n_steps, n_classes), or of values (n_streams, n_steps) or (n_streams, n_steps, k)
            Probabilities or values, without the first axis if ``X`` had none, and without that of the steps unless
            ``every_step``.

        Raises
        ------
        ValueError, TypeError
            As when the stream is called; the streams have not moved then.
        """
        validation.check_boolean("every_step", every_step)
        n, d = self._n_streams, self._n_features
        X = self._with_names_in_order(X)
        X = X if self._gaps.way == "refuse" else without_masks(X)
        n_axes = validation.n_dimensions("X", X)
        if n == d == n_axes == 1:
            X, n_axes = np.reshape(X, (-1, 1)), 2
        if n == 1 and n_axes < 3:
            X = check_observations("X", X, (None, d), f"(n_steps, {d})")
            found: FloatArray = self.read(X[None], every_step)[0]
            return found
        what = f"(n_streams, n_steps, n_features), here ({n}, n_steps, {d})"
        X = check_observations("X", X, (n, None, d), what)
        outputs = np.empty((n, X.shape[1] if every_step else 1, *self._answer_shape), self._answer_dtype)
        self._read_with_care("X", X, outputs)
        return outputs if every_step else outputs[:, 0]

    def _with_names_in_order(self, X: Any) -> Any:
        """What `read` is given, as arrays or frames with the features in the order of the fit."""
        X = X if self._names is None else by_columns(X, "X")
        if not isinstance(X, (list, tuple)):
            return in_known_order(X, self._names, "X")
        items = [in_known_order(item, self._names, f"X[{i}]") for i, item in enumerate(X)]
        if self._n_streams == 1 and len(items) == 1 and names_of(X[0]) is not None:
            return items[0]
        return [np.asarray(item) if names_of(item) is not None else item for item in items]

    def predict(self, x: ArrayLike) -> Any:
        """Read one more observation of every stream, and return the labels, or of a regressor the values.

        Parameters
        ----------
        x : array-like of shape (n_streams, n_features), or (n_features,) of a single stream
            One observation of each stream, as when the stream is called.

        Returns
        -------
        label or ndarray of shape (n_streams,)
            Labels as `labels` returns them.

        Raises
        ------
        ValueError, TypeError
            As when the stream is called.
        """
        outputs = self(x)
        return outputs if self._answer.classes is None else self.labels(outputs)

    def labels(self, outputs: ArrayLike) -> Any:
        """Return the labels that outputs stand for, as `predict` of the estimator names them.

        Parameters
        ----------
        outputs : array-like of shape (..., n_classes)
            Outputs that the stream has returned, when it was called or from `read`.

        Returns
        -------
        label or ndarray of shape (...)
            Labels; where there may be several labels, zeros and ones of shape (..., n_classes).  With frames, None
            where there is no output yet.

        Raises
        ------
        TypeError
            If the estimator is a regressor.
        ValueError
            If outputs have another shape.
        """
        classes, answer = self._answer.classes, self._answer
        if classes is None:
            raise TypeError("outputs of a regressor are values, and have no labels; use them as they are")
        given: Array = validation.as_they_are("outputs", outputs)
        if not answer.single and given.shape[-1:] != (len(classes),):
            raise ValueError(f"outputs has the shape {given.shape}; pass one output for each of {len(classes)} classes")
        if answer.several:
            return (given > (0.5 if answer.name == "logistic" else 0.0)).astype(int)
        found = classes[(given > 0).astype(int) if answer.single else np.nan_to_num(given, nan=-1.0).argmax(axis=-1)]
        missing = np.isnan(given if answer.single else given[..., 0])
        if missing.any():
            found = np.array(found, dtype=object)
            found[missing] = None
        return found[()] if isinstance(found, np.ndarray) and not found.ndim else found

    def __repr__(self) -> str:
        names = "" if self._names is None else f", feature_names_in_={list(self._names)!r:.80}"
        classes = "" if self._answer.classes is None else f", classes_={self._answer.classes.tolist()!r:.80}"
        return f"Stream({_read_by(self._state.n_read)}, n_features={self._n_features}{names}{classes})"

    @property
    def classes_(self) -> Array:
        """The labels, of a classifier."""
        if self._answer.classes is None:
            raise AttributeError("a stream of a regressor has no classes_; it returns values")
        return self._answer.classes

    @property
    def state(self) -> StreamState:
        """Where the streams are, as a copy."""
        return self._state.copy()

    @state.setter
    def state(self, state: StreamState) -> None:
        check_stream_state(state, self._start)
        self._state.take(state)

    @property
    def n_streams(self) -> int:
        """How many streams there are."""
        return self._n_streams

    def reset(self, streams: ArrayLike | None = None) -> None:
        """Set streams back to their start.

        Parameters
        ----------
        streams : array-like of int or bool, optional
            Numbers of the streams; all by default.
        """
        streams = check_streams(streams, self._n_streams)
        self._state.take(self._start, streams, streams)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (*self._arguments, self.state, self._standard, self._names, self._gaps)

    def _observation(self, x: ArrayLike) -> Array:
        """``x`` in a form that the kernel reads; observations may still be missing."""
        x = in_known_order(as_dense(x, "x"), self._names, "x", (0, 1))
        x = x if self._gaps.way == "refuse" else without_masks(x)
        n, d, n_axes = self._n_streams, self._n_features, validation.n_dimensions("x", x)
        if n == 1 and n_axes < 2:
            x = np.reshape(x, 1) if d == 1 and n_axes == 0 else x
            return check_observations("x", x, (d,), f"(n_features,), here ({d},)")
        return check_observations("x", x, (n, d), f"(n_streams, n_features), here ({n}, {d})")

    def _read_with_care(self, name: str, array: Array, outputs: FloatArray) -> None:
        """Read what has the right shape, or say what is wrong with it and leave the streams where they were."""
        before = self.state
        if self._state.last is not None:
            steps = array.reshape(self._n_streams, -1, self._n_features)
            steps, self._state.last[:] = carried_on(steps, self._state.last, self._gaps.n_columns)
            array = steps.reshape(*array.shape[:-1], -1)
        outcome = self._read(array, outputs)
        if not outcome:
            return
        self._state.take(before)
        if outcome == _OBSERVATION_NOT_FINITE:
            refuse_not_finite(name, array, self._dtype, self._scale, self._standard)
        refuse_overflow(name)


def _start_of(network: Network, frame: Frame, n_streams: int, gaps: Gaps) -> StreamState:
    """State at which streams start that a network reads."""
    length, stride = frame
    layers = layers_of_one_direction(network, _NO_END)
    start = StreamState(
        np.zeros((n_streams, stride, network.n_carried), network.dtype),
        None,
        np.zeros((n_streams, length - 1, network.n_features // length), network.dtype),
        np.zeros(n_streams, np.int64),
        None if gaps.values is None else np.tile(gaps.values, (n_streams, 1)),
    )
    initial = network.initial_states(1)
    if initial is not None:
        start.states[:] = initial
    if network.read_out != "last":
        shape = n_streams, stride, layers[-1].n_hidden
        start.pooled = np.full(shape, 0.0 if network.read_out == "mean" else -np.inf)
    return start


class ReadsStreams:
    """Mixin of estimators that read streams: ``step`` and ``stream``.

    They have ``_networks()``, ``_answer()``, which returns the `Answer`, ``_scale``, ``_standard``, ``_gaps`` and
    ``_frame``.
    """

    if TYPE_CHECKING:
        _scale: float
        _frame: Frame

        @property
        def _standard(self) -> NDArray[np.float64] | None: ...

        @property
        def _gaps(self) -> Gaps: ...

        def _networks(self) -> list[Network]: ...

        def _answer(self) -> Answer: ...

    def step(self, x: ArrayLike, state: StreamState | None = None) -> tuple[Any, StreamState]:
        """Read one more observation, of one stream or of many, and return the next output.

        The output is what `predict_proba` returns (`decision_function`, if the loss has no probabilities), or, of a
        regressor, `predict`, for all observations up to this one.
        It makes a network and a state at each call; `stream` does so once and is faster.

        Parameters
        ----------
        x : array-like of shape (n_features,) or (n_streams, n_features)
            Observation of one stream, or one of each.
        state : StreamState, optional
            State of the streams, as the last call returned it; it is not changed.  None starts from s_0.

        Returns
        -------
        output : float or ndarray
            Probabilities of the classes, (n_classes,) or (n_streams, n_classes), of which
            ``classes_[output.argmax(axis=-1)]`` is the label; for a regressor one value, or k of them, for each stream,
            as ``y`` had.  With ``frame=(length, stride)``, they are NaN for the first ``length - 1`` observations.
        state : StreamState
            State of the streams now, which can be copied and pickled.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit, or is not finite.
        """
        x = in_known_order(as_dense(x, "x"), self._names_of_features, "x", (0, 1))
        n_streams = max(len(np.asarray(x)), 1) if validation.n_dimensions("x", x) == 2 else 1
        stream = self._stream(n_streams, state)
        return stream(x), stream._state

    def stream(self, n_streams: int = 1) -> Stream:
        """Return a `Stream`, which is called with one observation after the other and returns the outputs.

        Parameters
        ----------
        n_streams : int, default=1
            Number of streams to read at once, >= 1.

        Returns
        -------
        admmirnn.streaming.Stream
            Stream at its start, s_0, with the weights that the estimator has now.  ``stream(x)`` reads one observation,
            ``stream.read(X)`` many of them; ``stream.state`` can be kept and set, and ``stream.reset()`` starts again.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        ValueError, TypeError
            If the estimator is bidirectional, or ``n_streams`` is out of its range.
        """
        return self._stream(validation.check_integer("n_streams", n_streams, 1))

    def stream_with(self, answer: Answer, n_streams: int = 1) -> Stream:
        """Return a `Stream` as `stream` does, with outputs in other units."""
        return self._stream_with(answer, n_streams, None)

    def _stream(self, n_streams: int, state: StreamState | None = None) -> Stream:
        check_is_fitted(self)
        return self._stream_with(self._answer(), n_streams, state)

    def _stream_with(self, answer: Answer, n_streams: int, state: StreamState | None) -> Stream:
        how = self._scale, self._frame, n_streams, state, self._standard, self._names_of_features, self._gaps
        return Stream(self._networks(), answer, *how)

    @property
    def _names_of_features(self) -> Sequence[str] | None:
        """Names of the features, or None if they have none; the columns of a table are names of steps."""
        of_table = getattr(self, "_n_table_columns", None) is not None
        return None if of_table else getattr(self, "feature_names_in_", None)


def check_observations(name: str, values: Any, shape: tuple[int | None, ...], what: str) -> Array:
    """Return observations of streams as an array that the kernels can read: as they are, or in float64.

    Parameters
    ----------
    name : str
        Name of the argument, for messages.
    values : array-like
        Observations.
    shape : tuple of int or None
        Shape that they must have; None stands for any number but 0.
    what : str
        Shape in words.
    """
    array = as_observations(values, name, np.float64)
    fits = len(array.shape) == len(shape) and all(
        n == found if n is not None else found > 0 for n, found in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} has the shape {array.shape}; pass {what}")
    return array


def refuse_not_finite(name: str, array: Array, dtype: DType, scale: float, standard: Array | None = None) -> NoReturn:
    """Raise with the place of the first number that is not finite, or does not stay so in ``dtype``."""
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(as_read(array, dtype, scale, standard))
    at = tuple(int(index) for index in np.argwhere(~finite)[0])
    if np.isfinite(array[at]):
        raise ValueError(f"{name} contains a value too large for {dtype} (it becomes infinite), at {at}; rescale it")
    found = "NaN" if np.isnan(array[at]) else "infinity (inf)"
    raise ValueError(f"{name} contains {found}, first at {at}; leave that observation out or fill it in")


def refuse_overflow(name: str) -> NoReturn:
    """Raise because outputs are not finite."""
    raise ValueError(
        f"the network's outputs for {name} are not finite: its observations are too large for this network; rescale "
        "them, or fit with activation='tanh'"
    )


def check_stream_state(state: Any, like: StreamState) -> None:
    """Raise unless ``state`` is one that streams can go on from.

    Parameters
    ----------
    state : StreamState
        State that a user passes.
    like : StreamState
        State of this network with the same number of streams.
    """
    if not isinstance(state, type(like)):
        raise TypeError(
            f"state is of type {type(state).__name__}; pass what step returned, or a stream's state, or None to start"
        )
    for name, expected in vars(like).items():
        found = getattr(state, name)
        shape, expected_shape = (None if array is None else np.shape(array) for array in (found, expected))
        if shape != expected_shape:
            raise ValueError(
                f"state.{name} has the shape {shape} where {expected_shape} is due; pass a state of this model and of "
                "as many streams"
            )
        if found is not None and getattr(found, "dtype", None) != expected.dtype:
            raise ValueError(
                f"state.{name} is {getattr(found, 'dtype', type(found).__name__)} and must be {expected.dtype}; pass a "
                "state of this model"
            )
    if state.n_read.min() < 0:
        raise ValueError("state.n_read is negative; pass a state of this model")


def check_streams(streams: Any, n_streams: int) -> IntArray:
    """Return numbers of streams, or a mask of them, as an index."""
    index = np.arange(n_streams)
    if streams is None:
        return index
    chosen = np.asarray(streams)
    if chosen.dtype.kind not in "biu" and chosen.size:
        raise TypeError(f"streams is {streams!r}; pass numbers of streams, or a mask of booleans")
    try:
        return index[chosen if chosen.size else []]
    except IndexError as error:
        raise ValueError(f"streams does not fit the {n_streams} streams ({error}); pass numbers below that") from error
