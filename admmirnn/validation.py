"""The only place that refuses what a user passes: every message names the argument, what was found, what to do."""

from __future__ import annotations

import copy
import errno
import math
import numbers
import os
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn, overload

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d, validate_data

from admmirnn.activations import ACTIVATIONS
from admmirnn.sequences import OBSERVATION_DTYPES, Sequences

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import DTypeLike, NDArray

    from admmirnn._typing import (
        Array,
        BoolArray,
        DType,
        FloatArray,
        Frame,
        IntArray,
        ProximalOperator,
        Record,
        Schedule,
    )
    from admmirnn.losses import AnyLoss
    from admmirnn.model import ElmanRNN, Network
    from admmirnn.sequences import Streams
    from admmirnn.solvers import Algorithm1, Rollout
    from admmirnn.solvers.interface import Solver
    from admmirnn.streaming import StreamState
    from admmirnn.targets import Targets
    from admmirnn.watching import EpochState

DTYPES = ("float32", "float64")
READ_OUTS = ("last", "mean", "max")
_MOST_OF_C = (1 << 31) - 1  # what kernels can count to on every machine
PENALISED = ("U", "W", "V", "UW", "UWb", "WV")


# Settings


def check_integer(name: str, value: Any, least: float, *, alternatives: str = "") -> int:
    """Return ``value`` as an int, or raise unless it is an integer of at least ``least``."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        if int(value) >= least:
            return int(value)
        raise ValueError(f"{name} is {value!r}; it must be an integer of at least {least}{alternatives}")
    raise TypeError(
        f"{name} is {value!r} of type {type(value).__name__}; pass an integer of at least {least}{alternatives}"
    )


@overload
def check_number(
    name: str,
    value: object,
    *,
    least: float = ...,
    strict: bool = ...,
    below: float = ...,
    most: float = ...,
    optional: Literal[False] = ...,
    alternatives: str = ...,
) -> float: ...


@overload
def check_number(
    name: str,
    value: object,
    *,
    least: float = ...,
    strict: bool = ...,
    below: float = ...,
    most: float = ...,
    optional: bool,
    alternatives: str = ...,
) -> float | None: ...


def check_number(
    name: str,
    value: Any,
    *,
    least: float = 0.0,
    strict: bool = False,
    below: float = math.inf,
    most: float = math.inf,
    optional: bool = False,
    alternatives: str = "",
) -> float | None:
    """Return ``value`` as a float, or raise unless it is from ``least`` to ``most``, and less than ``below``."""
    if value is None and optional:
        return None
    span = f"a number {'>' if strict else '>='} {least:g}"
    if below < math.inf:
        span += f" and < {below:g}"
    if most < math.inf:
        span += f" and <= {most:g}"
    if optional:
        span += ", or None"
    span += alternatives
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r} of type {type(value).__name__}; pass {span}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not (number > least if strict else number >= least) or not (number < below and number <= most):
        raise ValueError(f"{name} is {value!r}; it must be finite, {span}")
    return number


def check_choice(name: str, value: Any, choices: Collection[str]) -> str:
    """Raise unless ``value`` is one of the strings ``choices``."""
    if not (isinstance(value, str) and value in choices):
        known = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} is {value!r}; the known ones are {known}")
    return str(value)


def check_boolean(name: str, value: Any) -> bool:
    """Raise unless ``value`` is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} is {value!r} of type {type(value).__name__}; pass True or False")
    return bool(value)


def check_rollout(settings: Rollout) -> None:
    """Raise unless every setting of a `Rollout` is in its range."""
    check_number("rho", settings.rho, strict=True)
    check_number("r", settings.r)
    check_number("radius", settings.radius, strict=True, optional=True)
    check_number("output_radius", settings.output_radius, strict=True, optional=True)
    check_choice("schedule", settings.schedule, ("cosine", "constant"))
    check_choice("metric", settings.metric, ("multipliers", "identity"))
    check_number("damping", settings.damping)
    check_number("gram_decay", settings.gram_decay, below=1.0)
    check_number("momentum", settings.momentum, below=1.0)
    check_number("multiplier_cap", settings.multiplier_cap, strict=True, optional=True)
    check_integer("gram_every", settings.gram_every, 1)
    check_integer("factor_every", settings.factor_every, 1)
    _check_max_iter(settings.max_iter)
    for name in ("radius", "output_radius"):
        if settings.r == 0 and getattr(settings, name) is None:
            raise ValueError(f"r is 0 and {name} is None, so nothing bounds a step; set r > 0 or {name}")


def check_algorithm1(settings: Algorithm1, n_iterations: int = 1) -> dict[str, Callable[[int], float | None]]:
    """Raise unless every setting of an `Algorithm1` is in its range.

    Returns
    -------
    dict
        rho1, rho2, rho3, nu and r, each a function of the iteration that returns a float; that of r returns None for
        "lipschitz".
    """
    check_choice("signs", settings.signs, ("derived", "printed"))
    check_choice("o_step", settings.o_step, ("prox", "linearised"))
    check_choice("a_step", settings.a_step, ("exact", "linear"))
    check_boolean("s_coupling", settings.s_coupling)
    check_choice("omega", settings.omega, ("ridge", "lasso"))
    check_choice("keep", settings.keep, ("best", "last"))
    check_number("eps_abs", settings.eps_abs)
    check_number("eps_rel", settings.eps_rel)
    _check_max_iter(settings.max_iter)
    check_integer("the number of iterations", n_iterations, 1)
    schedules: dict[str, Callable[[int], float | None]] = {
        name: _schedule(name, getattr(settings, name), n_iterations) for name in ("rho1", "rho2", "rho3", "nu")
    }
    if isinstance(settings.r, str):
        if settings.r != "lipschitz":
            raise ValueError(f"r is {settings.r!r}; pass a number > 0, a function of the iteration, or 'lipschitz'")
        return schedules | {"r": lambda iteration: None}
    return schedules | {"r": _schedule("r", settings.r, n_iterations, alternatives=", or 'lipschitz'")}


def _check_max_iter(max_iter: object) -> None:
    if max_iter is not None:
        check_integer("max_iter", max_iter, 1, alternatives=", or None")


def _schedule(name: str, value: Any, n_iterations: int, alternatives: str = "") -> Schedule:
    """A number, or a function of the iteration whose values are all checked now, as a function of the iteration."""
    if not callable(value):
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            raise TypeError(
                f"{name} is {value!r} of type {type(value).__name__}; pass a number > 0, a function of the iteration "
                f"that returns one{alternatives}"
            )
        constant = check_number(name, value, strict=True)
        return lambda iteration: constant
    values = [check_number(f"{name}({k})", value(k), strict=True) for k in range(1, n_iterations + 1)]
    return lambda iteration: values[iteration - 1]


def check_solver(solver: Any, known: Mapping[str, Any]) -> Solver:
    """Return the solver object that ``solver``, a name or an object, stands for."""
    if isinstance(solver, str):
        of_name: Solver = known[check_choice("solver", solver, tuple(known))]()
        return of_name
    if isinstance(solver, type) or not (hasattr(solver, "solve") and hasattr(solver, "check_settings")):
        names = ", ".join(repr(name) for name in known)
        raise TypeError(f"solver is {solver!r}; pass one of the names {names} or a solver object such as Rollout()")
    checked: Solver = solver
    checked.check_settings()
    return checked


@dataclass
class EstimatorSettings:
    """The settings that all estimators share, in Python's types.

    Attributes
    ----------
    penalty : float or None
        What "auto" stands for, where it was that; None leaves it to the solver.
    penalties : dict
        Empty without any.
    batch_size : int or None
        None for "auto".
    s_0 : {"learn"}, ndarray or None
        None is zero.
    frame : tuple of int
        (length, stride).
    callbacks : tuple of callable
        Functions of the epoch's state.

    The others are as the parameters of `RNNClassifier`.
    """

    hidden_size: int
    activation: str
    penalty: float | None
    penalties: dict[str, ProximalOperator]
    solver: Solver
    max_epochs: int
    batch_size: int | None
    dtype: DType
    shuffle: bool
    verbose: int
    random_state: np.random.RandomState
    scale: float
    n_threads: int
    readout: str
    frame: Frame
    bidirectional: bool
    s_0: str | FloatArray | None
    stateful: bool
    chunk_size: int
    callbacks: tuple[Callable[[EpochState], object], ...]
    early_stopping: bool
    validation_fraction: float
    patience: int
    tol: float
    max_time: float | None
    checkpoint: str | None
    checkpoint_every: int


def check_estimator_settings(estimator: BaseEstimator, solvers: Mapping[str, type[Solver]]) -> EstimatorSettings:
    """Return the settings that all estimators share, in Python's types, or raise unless they are in their ranges.

    Parameters
    ----------
    estimator : estimator
        Whose parameters are checked.
    solvers : dict
        The known solvers by name.

    Returns
    -------
    EstimatorSettings
    """
    batch_size, verbose, callbacks = estimator.batch_size, estimator.verbose, estimator.callbacks
    if isinstance(batch_size, str) and batch_size == "auto":
        batch_size = None
    else:
        batch_size = check_integer("batch_size", batch_size, 1, alternatives=", or 'auto'")
    if isinstance(verbose, (bool, np.bool_)):
        verbose = int(verbose)
    if callbacks is None:
        callbacks = ()
    if not isinstance(callbacks, (list, tuple)):
        raise TypeError(f"callbacks is {callbacks!r}; pass a list of functions of the epoch's state, or None")
    callbacks = tuple(getattr(callback, "on_epoch_end", callback) for callback in callbacks)
    for callback in callbacks:
        if not callable(callback):
            raise TypeError(
                f"callbacks holds {callback!r}, which cannot be called; pass functions of the epoch's state, or "
                "objects with on_epoch_end(state)"
            )
    solver, penalty = check_solver(estimator.solver, solvers), estimator.penalty
    if penalty is None:
        raise TypeError("penalty is None; pass a number >= 0, or 'auto'")
    if isinstance(penalty, str) and penalty == "auto":
        penalty = getattr(solver, "default_penalty", 0.0)
    penalties = check_penalties(estimator.penalties)
    if estimator.penalties is not None and not getattr(solver, "takes_penalties", False):
        raise ValueError(
            f"penalties is {estimator.penalties!r}, and {type(solver).__name__} takes none; pass None, or "
            "solver='rollout'"
        )
    readout = check_choice("readout", estimator.readout, READ_OUTS)
    if readout not in getattr(solver, "readouts", READ_OUTS):
        raise ValueError(f"readout is {readout!r}, which {type(solver).__name__} does not have; pass readout='last'")
    hidden_size, dtype = check_integer("hidden_size", estimator.hidden_size, 1), check_dtype(estimator.dtype)
    s_0 = check_s_0(estimator.s_0, hidden_size, dtype)
    stateful = check_boolean("stateful", estimator.stateful)
    for name, value in (("s_0", s_0), ("stateful", stateful)):
        if value is not None and value is not False and not getattr(solver, "takes_states", False):
            raise ValueError(
                f"{name} is {getattr(estimator, name)!r}, which {type(solver).__name__} does not have; pass {name}="
                f"{None if name == 's_0' else False}, or solver='rollout'"
            )
    bidirectional = check_boolean("bidirectional", estimator.bidirectional)
    if bidirectional and not getattr(solver, "takes_two_directions", False):
        raise ValueError(
            f"bidirectional is True, and {type(solver).__name__} trains one direction only; pass False, or "
            "solver='rollout'"
        )
    if bidirectional and (s_0 is not None or stateful):
        name, value = ("stateful", True) if stateful else ("s_0", estimator.s_0)
        why = "a stream has no end to read from" if stateful else "both directions start from zero"
        raise ValueError(f"{name} is {value!r} and bidirectional is True: {why}; pass only one of them")
    if stateful and readout != "last":
        raise ValueError(f"readout is {readout!r}, and stateful=True reads every state; pass readout='last'")
    return EstimatorSettings(
        s_0=s_0,
        stateful=stateful,
        bidirectional=bidirectional,
        chunk_size=check_integer("chunk_size", estimator.chunk_size, 1),
        readout=readout,
        frame=check_frame(estimator.frame),
        hidden_size=hidden_size,
        activation=check_choice("activation", estimator.activation, ACTIVATIONS),
        penalty=None if penalty is None else check_number("penalty", penalty, alternatives=", or 'auto'"),
        penalties=penalties,
        solver=solver,
        max_epochs=check_integer("max_epochs", estimator.max_epochs, 1),
        batch_size=batch_size,
        dtype=dtype,
        shuffle=check_boolean("shuffle", estimator.shuffle),
        verbose=check_integer("verbose", verbose, 0),
        random_state=check_random_state(estimator.random_state),
        scale=check_number("scale", estimator.scale, strict=True),
        n_threads=check_n_threads(estimator.n_threads),
        **_check_watching(estimator, solver),
        callbacks=callbacks,
    )


def _check_watching(estimator: BaseEstimator, solver: Solver) -> dict[str, Any]:
    """The settings of what goes on around a fit."""
    checkpoint = check_new_path(estimator.checkpoint, "checkpoint") if estimator.checkpoint is not None else None
    if checkpoint is not None and not getattr(solver, "takes_checkpoints", False):
        raise ValueError(f"checkpoint is {checkpoint!r}, and {type(solver).__name__} cannot go on from one; pass None")
    fraction = check_number("validation_fraction", estimator.validation_fraction, strict=True, below=1.0)
    return {
        "early_stopping": check_boolean("early_stopping", estimator.early_stopping),
        "validation_fraction": fraction,
        "patience": check_integer("patience", estimator.patience, 1),
        "tol": check_number("tol", estimator.tol),
        "max_time": check_number("max_time", estimator.max_time, strict=True, optional=True),
        "checkpoint": checkpoint,
        "checkpoint_every": check_integer("checkpoint_every", estimator.checkpoint_every, 1),
    }


def check_path(path: object, name: str = "path") -> str:
    """Return the name of a file as a str, or raise if it cannot be one; it need not exist."""
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise TypeError(f"{name} is {path!r} of type {type(path).__name__}; pass a str or a pathlib.Path")
    file = os.fsdecode(path)
    if not file:
        raise FileNotFoundError(errno.ENOENT, f"{name} is empty; pass the name of a file", file)
    if os.path.isdir(file):
        raise IsADirectoryError(errno.EISDIR, f"{name} is a folder; pass the name of a file in it", file)
    if os.path.exists(file) and not os.path.isfile(file):
        raise OSError(errno.EINVAL, f"{name} is not a regular file", file)
    return file


def check_new_path(path: object, name: str = "path") -> str:
    """As `check_path`, of a file to be written: its folder must exist, and let files be made in it."""
    path = check_path(path, name)
    folder = os.path.dirname(os.path.realpath(path))  # of a link, where the file itself is
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, f"the folder of {name} does not exist; make it first", path)
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, f"the folder of {name} cannot be written to; pass another one", path)
    return path


def check_resume(settings: EstimatorSettings, resume: Any) -> None:
    """Raise unless a fit can go on from its checkpoint, if it is to."""
    if check_boolean("resume", resume) and settings.checkpoint is None:
        raise ValueError("resume is True, and checkpoint is None; pass the file that the fit has written")


def check_drawn_again(estimator: Any, settings: EstimatorSettings) -> None:
    """Raise unless a fit that goes on from a checkpoint would draw the same validation data."""
    if settings.checkpoint is not None and not isinstance(estimator.random_state, numbers.Integral):
        raise ValueError(
            f"random_state is {estimator.random_state!r}, with which the validation data could not be drawn once more "
            "from a checkpoint; pass an int, or validation_data"
        )


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
    raise ValueError(f"{path} is the checkpoint of a fit to other data; pass the same ones, or resume=False")


def check_epochs_done(history: Any, n_epochs: int) -> None:
    """Raise unless these are the records of the first epochs of a fit that has at most ``n_epochs``."""
    check_fitted_history("history", history)
    if not 1 <= len(history) <= n_epochs:
        raise ValueError(f"it has {len(history)} epochs, of a fit of {n_epochs}")
    forms, of_others = {"rollout_loss": 0.0, "seconds": 0.0, "rollbacks": 0}, one_of(None, 0.0, False)
    for epoch, record in enumerate(history, 1):
        if record.get("epoch") != epoch or not {"rollout_loss", "seconds"} <= record.keys():
            raise ValueError(f"its record of epoch {epoch} is not that of an epoch, or of another")
        for key, value in record.items():
            check_state(f"{key} of epoch {epoch}", value, forms.get(key, of_others))


def check_kept_random_state(random_state: np.random.RandomState) -> None:
    """Raise unless a checkpoint can hold this."""
    generator: Any = random_state.get_state(legacy=False)
    kind, name = type(random_state), generator["bit_generator"]
    if kind is not np.random.RandomState or name != "MT19937":
        raise ValueError(
            f"random_state is a {kind.__name__} of {name}, which a checkpoint cannot hold; pass an int, or a "
            "RandomState of MT19937"
        )


def check_partial(estimator: Any) -> None:
    """Raise if a setting has no meaning for partial_fit."""
    for name, default in (("early_stopping", False), ("checkpoint", None)):
        if getattr(estimator, name) != default:
            raise ValueError(
                f"{name} is {getattr(estimator, name)!r}, which has no meaning for partial_fit; pass {default}"
            )


def check_pair(validation_data: Any) -> tuple[Any, Any]:
    """Return X and y of ``validation_data``."""
    if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
        raise TypeError(f"validation_data is of type {type(validation_data).__name__}; pass a pair (X, y)")
    X, y = validation_data
    return X, y


@contextmanager
def naming(argument: str) -> Iterator[None]:
    """Let what is raised within say that it is about what is in an argument of that name."""
    try:
        yield
    except (ValueError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"in {argument}: {error}") from error


def check_same_features(attributes: Mapping[str, Any], others: Mapping[str, Any]) -> None:
    """Raise unless validation data have the features of the training set."""
    names = ("n_features_in_", "_n_table_columns")
    if any(attributes[name] != others[name] for name in names):
        raise ValueError(
            f"validation_data has {others['n_features_in_']} features and X has {attributes['n_features_in_']}; pass "
            "data of the same form"
        )
    found, expected = others.get("feature_names_in_"), attributes.get("feature_names_in_")
    if found is not None and expected is not None and (found != expected).any():
        i = int(np.flatnonzero(found != expected)[0])
        raise ValueError(
            f"validation_data has {found[i]!r} for its column {i}, where X has {expected[i]!r}; pass the same columns "
            "in the same order"
        )


def check_same_kind(targets: Targets, others: Targets) -> None:
    """Raise unless validation data have targets of the same kind as the training set."""
    if targets.every_step != others.every_step:
        raise ValueError("validation_data has one target a sequence where y has one a step, or the reverse")


def check_n_held_out(fraction: float, n_sequences: int) -> int:
    """How many sequences are for validation."""
    n_held_out = round(fraction * n_sequences)
    if not 0 < n_held_out < n_sequences:
        raise ValueError(
            f"validation_fraction is {fraction:g}, which is {n_held_out} of {n_sequences} sequences; pass more "
            "sequences, or validation_data"
        )
    return n_held_out


def check_some_steps_left(n_kept: IntArray, fraction: float) -> None:
    """Raise unless every stream has steps to train with."""
    if n_kept.min() < 1:
        i = int(n_kept.argmin())
        raise ValueError(f"validation_fraction is {fraction:g}, which leaves X[{i}] no step to train with")


def check_some_weight(weights: Array, is_kept: BoolArray, fraction: float) -> None:
    """Raise unless there are targets for validation, and others to train with."""
    if not weights[~is_kept].any():
        raise ValueError(f"validation_fraction is {fraction:g}, and no step among those has a target")
    if not weights[is_kept].any():
        raise ValueError(f"validation_fraction is {fraction:g}, and no step but those has a target to train with")


def check_frame(frame: Any) -> Frame:
    """Return ``frame``, a length, a pair (length, stride), or None, as a pair."""
    if frame is None:
        return 1, 1
    if isinstance(frame, numbers.Integral) and not isinstance(frame, bool):
        frame = (frame, frame)
    if not isinstance(frame, (tuple, list)) or len(frame) != 2:
        raise TypeError(f"frame is {frame!r}; pass a length, a pair (length, stride), or None")
    length, stride = (
        check_integer(f"{name} of frame", value, 1) for name, value in zip(("length", "stride"), frame, strict=True)
    )
    if max(length, stride) > _MOST_OF_C:
        raise ValueError(f"frame is {frame!r}; pass a length and a stride of at most {_MOST_OF_C}")
    return length, stride


def check_s_0(s_0: Any, hidden_size: int, dtype: DType) -> str | FloatArray | None:
    """Return ``s_0`` as None, "learn", or an array of shape (hidden_size,) and this dtype."""
    if s_0 is None:
        return None
    if isinstance(s_0, str):
        if s_0 != "learn":
            raise ValueError(f"s_0 is {s_0!r}; pass 'learn', an array of shape ({hidden_size},), or None for zero")
        return s_0
    with np.errstate(over="ignore"):
        states: FloatArray = _as_numbers(s_0, "s_0", np.float64).astype(dtype)
    if states.shape != (hidden_size,):
        raise ValueError(f"s_0 has the shape {states.shape}; pass one state for each hidden unit, ({hidden_size},)")
    if not np.isfinite(states).all():
        raise ValueError(f"s_0 contains NaN or infinity, as {states.dtype}; pass finite states")
    return states


def check_penalties(penalties: Any) -> dict[str, ProximalOperator]:
    """Return ``penalties`` as a dict, empty for None, or raise unless it has a prox for every block, and one at most.

    Parameters
    ----------
    penalties : dict or None
        Objects with ``prox(x, tau)`` by the names U, W, V, UW, UWb or WV; no block may have two.
    """
    if penalties is None:
        return {}
    if not isinstance(penalties, dict):
        raise TypeError(
            f"penalties is of type {type(penalties).__name__}; pass a dict such as {{'W': Lasso(1e-4)}}, or None"
        )
    owner: dict[str, str] = {}
    for name, penalty in penalties.items():
        check_choice("a key of penalties", name, PENALISED)
        if isinstance(penalty, type) or not callable(getattr(penalty, "prox", None)):
            raise TypeError(
                f"penalties[{name!r}] is {penalty!r}, which has no method prox(x, tau); pass an object such as "
                "admmirnn.penalties.Lasso(1e-4)"
            )
        for block in name:
            if block in owner:
                raise ValueError(
                    f"penalties has {owner[block]!r} and {name!r}, so {block} would have two; give every block one"
                )
            owner[block] = name
    return dict(penalties)


def check_prox(name: str, point: object, x: FloatArray) -> None:
    """Raise unless ``point``, the prox of the matrix ``x``, can take its place."""
    if not (isinstance(point, np.ndarray) and point.shape == x.shape and point.dtype == x.dtype):
        found = f"{point.dtype} of shape {point.shape}" if isinstance(point, np.ndarray) else type(point).__name__
        raise ValueError(
            f"the prox of {name} returned {found} for {x.dtype} of shape {x.shape}; it is given a matrix and must "
            "return one of the same shape and dtype (admmirnn.penalties.Flattened wraps an operator on vectors)"
        )
    if not np.isfinite(point).all():
        raise ValueError(f"the prox of {name} returned NaN or infinity for the initial weights")


def check_matrix(name: str, x: object) -> FloatArray:
    """Return ``x``, or raise unless it is a matrix of float32 or float64."""
    if not isinstance(x, np.ndarray) or x.dtype.name not in DTYPES:
        found = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
        raise TypeError(f"{name} is {found}; pass an array of float32 or float64")
    if x.ndim != 2:
        raise ValueError(f"{name} has {x.ndim} dimension(s); pass a matrix")
    return x


def check_run(penalty: Any, max_epochs: Any, batch_size: Any, *, penalty_may_be_none: bool = False) -> None:
    """Raise unless these arguments of a solver's ``solve`` are in their ranges."""
    check_number("penalty", penalty, optional=penalty_may_be_none)
    check_integer("max_epochs", max_epochs, 1)
    if batch_size is not None:
        check_integer("batch_size", batch_size, 1, alternatives=", or None")


def check_n_threads(n_threads: object) -> int:
    """Return the number of threads that ``n_threads`` stands for: None is one for each core this process may use."""
    if n_threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    n_threads = check_integer("n_threads", n_threads, 1, alternatives=", or None for all cores")
    if n_threads > _MOST_OF_C:
        raise ValueError(f"n_threads is {n_threads}; pass at most {_MOST_OF_C}, or None for all cores")
    return n_threads


def check_problem(
    network: Network,
    sequences: Sequences,
    targets: Array,
    weights: Array | None,
    loss: AnyLoss,
    *,
    per_step: bool = False,
    symbols: bool = False,
    any_missing: bool = False,
    losses: Collection[str] | None = None,
) -> None:
    """Raise unless what a solver is given belongs together.

    ``per_step`` allows a target for each observation, ``any_missing`` sequences without any, ``symbols`` symbols;
    ``losses`` names those that the solver has, None being all.
    """
    if losses is not None and loss.name not in losses:
        name = type(getattr(loss, "loss", loss)).__name__
        raise ValueError(f"loss is {name}, which this solver has no step for; use Rollout")
    if np.ndim(targets) != (1 if loss.takes_labels else 2):
        raise ValueError(
            f"targets has {np.ndim(targets)} dimension(s); {type(loss).__name__} takes "
            + ("class numbers, one dimension" if loss.takes_labels else "values of shape (n, n_outputs)")
        )
    if loss.takes_labels and len(targets):
        targets = np.asarray(targets)
        wrong = (targets < 0) | (targets >= network.n_outputs)
        if weights is not None and len(weights) == len(targets):
            wrong &= np.asarray(weights) != 0
        if wrong.any():
            i = int(wrong.argmax())
            raise ValueError(
                f"targets: label {targets[i]} of row {i} is not below {network.n_outputs}, the number of outputs, or "
                "is negative; pass class numbers from 0"
            )
    if len(sequences) == 0:
        raise ValueError("sequences is empty; pass at least one sequence")
    if weights is not None:
        of_steps = per_step and len(weights) != len(sequences) and len(weights) == sequences.lengths.sum()
        least = np.add.reduceat(weights, sequences.first_steps) if of_steps else weights
        least = np.sum(weights) if any_missing else least
        if not (np.isfinite(weights).all() and np.min(weights) >= 0 and np.min(least) > 0):
            raise ValueError("weights holds values that are not finite or not positive; leave those sequences out")
    if sequences.n_features != network.n_features:
        raise ValueError(f"sequences have {sequences.n_features} features and the network takes {network.n_features}")
    if sequences.n_symbols:
        check_symbols(sequences, symbols)
    if sequences.observations.dtype not in OBSERVATION_DTYPES:
        known = ", ".join(dtype.name for dtype in OBSERVATION_DTYPES)
        raise ValueError(f"sequences are {sequences.observations.dtype}; convert them to one of {known}")
    for name, values in (("targets", targets), ("weights", weights)):
        if values is None or len(values) == len(sequences):
            continue
        if not per_step:
            raise ValueError(f"{name} has {len(values)} entries for {len(sequences)} sequences; pass one a sequence")
        if len(values) != sequences.lengths.sum():
            raise ValueError(
                f"{name} has {len(values)} entries for {len(sequences)} sequences of {sequences.lengths.sum()} steps; "
                "pass one a sequence or one a step"
            )


def check_one_direction(network: Network, why: str) -> ElmanRNN:
    """Return the network, or raise if it reads sequences from both ends."""
    if len(network.directions) > 1:
        raise ValueError(f"the network is bidirectional, and {why}")
    return network.directions[0]


def check_symbols(sequences: Sequences, taken: bool = True) -> None:
    """Raise unless symbols are ``taken``, and these are codes of so many of them."""
    codes = sequences.observations
    if not taken:
        raise ValueError("sequences are symbols, which this solver does not read; use Rollout")
    if codes.dtype not in (np.uint8, np.uint16) or codes.shape[1] != 1 or sequences.frame != 1 or sequences.scale != 1:
        raise ValueError("sequences of symbols must be one column of uint8 or uint16, without frames or a scale")
    if codes.size and codes.max() >= sequences.n_symbols:
        raise ValueError(f"sequences hold the code {codes.max()} and say that there are {sequences.n_symbols} symbols")


def check_dtype(dtype: Any) -> DType:
    """Return the numpy dtype that the setting ``dtype`` stands for."""
    try:
        found: DType | None = None if dtype is None else np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found.name not in DTYPES or not found.isnative:
        raise ValueError(f"dtype is {dtype!r}; the known ones are 'float32' and 'float64'")
    return found


def check_init(init: Any, shapes: Mapping[str, tuple[int, ...]], dtype: DType) -> dict[str, FloatArray]:
    """Return the initial weights given by ``init`` as arrays of ``dtype``, those that are there.

    Parameters
    ----------
    init : dict or None
        Arrays by name; any of them may be missing.
    shapes : dict
        The shape of each, by the known names.
    dtype : dtype
        float32 or float64.
    """
    if init is None:
        return {}
    if not isinstance(init, dict):
        raise TypeError(
            f"init is of type {type(init).__name__}; pass a dict with any of the keys {', '.join(shapes)}, or None"
        )
    weights = {}
    for name, values in init.items():
        check_choice("a key of init", name, tuple(shapes))
        array = _as_numbers(values, f"init[{name!r}]", dtype)
        if array.shape != shapes[name]:
            raise ValueError(
                f"init[{name!r}] has the shape {array.shape}; for these data and settings it must be {shapes[name]}"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"init[{name!r}] contains NaN or infinity; pass finite weights")
        weights[name] = array
    return weights


# Sequences


def framed(sequences: Sequences, frame: Frame) -> Sequences:
    """Return the sequences in frames (length, stride) of observations, or raise if one is too short for that."""
    if tuple(frame) == (1, 1):
        return sequences
    short = np.flatnonzero(sequences.lengths < frame[0])
    if len(short):
        i = int(short[0])
        raise ValueError(
            f"X[{i}] has {sequences.lengths[i]} steps, fewer than the frame of {frame[0]}; leave it out, or pass a "
            "shorter frame"
        )
    return sequences.framed(*frame)


def read_sequences(estimator: Any, X: Any, dtype: DType, scale: float = 1.0) -> tuple[Sequences, dict[str, Any]]:
    """Read X in any of its forms, for fit.

    Parameters
    ----------
    estimator : estimator
        Is not changed.
    X : array-like of shape (n_sequences, n_steps, n_features) or (n_sequences, n_steps), or list of arrays
        A list holds arrays of shape (n_steps_i, n_features), or (n_steps_i,) for one feature.
    dtype : dtype
        float32 or float64.
    scale : float, default=1.0
        What the observations are multiplied by when a minibatch is made.

    Returns
    -------
    Sequences
        C-contiguous observations, finite in ``dtype``: those of X itself where the kernels can read them as they are,
        otherwise converted to ``dtype``.
    dict
        The attributes that tell a fitted estimator what X was like: ``n_features_in_``, for a data frame
        ``feature_names_in_``, and ``_n_table_columns``, None when X was no table.
    """
    kind, X = _kind_of(X)
    if kind != "table":
        sequences = _read_nested(kind, X, dtype, scale)
        return sequences, {"n_features_in_": sequences.n_features, "_n_table_columns": None}
    probe = copy.copy(estimator)
    sequences = _read_table(validate_data(probe, X, reset=True, **_TABLE), X, dtype, scale)
    attributes = {"n_features_in_": probe.n_features_in_, "_n_table_columns": probe.n_features_in_}
    if hasattr(probe, "feature_names_in_"):
        attributes["feature_names_in_"] = probe.feature_names_in_
    return sequences, attributes


def read_more_sequences(estimator: Any, X: Any, n_features: int, dtype: DType, scale: float = 1.0) -> Sequences:
    """Read X in any of its forms, for predict: its observations must have ``n_features`` features."""
    kind, X = _kind_of(X)
    if kind != "table":
        sequences = _read_nested(kind, X, dtype, scale)
    elif estimator._n_table_columns is not None:
        sequences = _read_table(validate_data(estimator, X, reset=False, **_TABLE), X, dtype, scale)
    else:  # fitted on sequences: a table of any number of columns will do
        sequences = _read_table(check_array(X, input_name="X", **_TABLE), X, dtype, scale)
    if sequences.n_features != n_features:
        raise ValueError(
            f"X has {sequences.n_features} features, but {type(estimator).__name__} is expecting {n_features} "
            "features as input: pass the features it was fitted with"
        )
    return sequences


_TABLE = {"dtype": None, "order": "C", "ensure_all_finite": False}  # values are checked with their place


def _read_nested(kind: str, X: Any, dtype: DType, scale: float) -> Sequences:
    sequences = _read_array(X, dtype, scale) if kind == "array" else _read_list(X, dtype, scale)
    _check_finite(sequences, dtype, X)
    return sequences


def _read_table(table: Any, given: Any, dtype: DType, scale: float) -> Sequences:
    """Every row is a sequence of one feature."""
    table = _as_observations(table, "X", dtype)
    sequences = Sequences.of_lengths(table.reshape(-1, 1), np.full(len(table), table.shape[1]), scale)
    _check_finite(sequences, dtype, given)
    return sequences


def _kind_of(X: Any) -> tuple[str, Any]:
    """Say which form X has: "table" (2-D), "array" (3-D) or "list", and return it as such."""
    if issparse(X):
        return "table", X  # refused there, in scikit-learn's words
    _refuse_masked("X", X)
    if hasattr(X, "iloc") and getattr(X, "ndim", 2) == 1:
        X = list(X)
    if isinstance(X, (list, tuple)):
        if len(X) == 0:
            raise ValueError("X is an empty list; pass at least one sequence (0 sample(s) found)")
        dimensions = [n_dimensions(f"X[{i}]", item) for i, item in enumerate(X)]
        if set(dimensions) == {1} and len({len(item) for item in X}) > 1:
            return "list", [_column(item, i) for i, item in enumerate(X)]
        if len(set(dimensions)) == 1 and dimensions[0] < 2:
            return "table", X
        for i, dimension in enumerate(dimensions):
            if dimension != 2:
                raise ValueError(
                    f"X[{i}] has {dimension} dimension(s); every sequence must have 2, (n_steps, n_features)"
                )
        return "list", X
    if hasattr(X, "iloc") or not hasattr(X, "__array__"):
        return "table", X
    X = X if isinstance(X, np.ndarray) else np.asarray(X)
    if X.dtype == object and X.ndim == 1 and len(X) and all(hasattr(item, "__len__") for item in X):
        return _kind_of(list(X))
    if X.ndim == 3:
        return "array", X
    if X.ndim > 3:
        raise ValueError(
            f"X has {X.ndim} dimensions; pass (n_sequences, n_steps, n_features), or (n_sequences, n_steps)"
        )
    return "table", X


def n_dimensions(name: str, values: Any) -> int:
    """Return how many dimensions an array-like has, or raise if its rows differ in length, it is sparse, or masked."""
    if issparse(values):
        raise TypeError(f"{name} is a sparse matrix; convert it with its toarray()")
    _refuse_masked(name, values)
    try:
        return np.ndim(values)
    except ValueError as error:
        raise ValueError(
            f"{name} has rows of different lengths; give every step the same number of features"
        ) from error


def _refuse_masked(name: str, values: Any) -> None:
    """Raise if some values are masked: conversions to plain arrays would take what is below the mask."""
    if np.ma.isMaskedArray(values) and np.ma.is_masked(values):
        raise ValueError(f"{name} is an array with masked values; fill them in, or leave them out")


def _column(item: Any, i: int) -> Array:
    if len(item) == 0:
        raise ValueError(f"X[{i}] has no steps; remove the sequences of length 0")
    return np.asarray(item)[:, None]


def _as_observations(values: Any, name: str, dtype: DTypeLike) -> Array:
    """Return a C-contiguous array that the kernels can read: as it is if they can, of ``dtype`` otherwise."""
    if isinstance(values, np.ndarray) and values.dtype in OBSERVATION_DTYPES:
        return np.require(values, requirements=["C_CONTIGUOUS", "ALIGNED"])
    found: Array = _as_numbers(values, name, dtype)
    return found


def _as_numbers(values: Any, name: str, dtype: DTypeLike) -> Any:
    """Return an array of ``dtype``, or raise when the values are no real numbers."""
    _refuse_masked(name, values)
    try:
        array = values if isinstance(values, np.ndarray) else np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} is not a rectangular array ({error}); give all its rows one length") from error
    if array.dtype.kind == "c":
        raise ValueError(
            f"Complex data not supported: {name} is {array.dtype}; pass its real and imaginary parts as features"
        )
    if array.dtype.kind not in "buifO":
        raise TypeError(f"{name} holds {array.dtype} values; pass numbers")
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.ascontiguousarray(array, dtype=dtype) if array.ndim else array.astype(dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"{name} holds values that are not numbers ({error}); pass numbers") from error


def _read_array(X: Array, dtype: DType, scale: float) -> Sequences:
    n_sequences, n_steps, n_features = X.shape
    if 0 in X.shape:
        raise ValueError(
            f"X has the shape {X.shape}: {n_sequences} sample(s), {n_steps} step(s), {n_features} feature(s); "
            "pass at least one of each"
        )
    observations = _as_observations(X, "X", dtype).reshape(-1, n_features)
    return Sequences.of_lengths(observations, np.full(n_sequences, n_steps), scale)


def _read_list(X: Any, dtype: DType, scale: float) -> Sequences:
    arrays = [_as_observations(item, f"X[{i}]", dtype) for i, item in enumerate(X)]
    for i, array in enumerate(arrays):
        if array.shape[0] == 0:
            raise ValueError(f"X[{i}] has no steps; remove the sequences of length 0")
        if array.shape[1] == 0:
            raise ValueError(f"X[{i}] has 0 features; every step needs at least one")
        if array.shape[1] != arrays[0].shape[1]:
            raise ValueError(
                f"X[{i}] has {array.shape[1]} features and X[0] has {arrays[0].shape[1]}; "
                "give every sequence the same features"
            )
    if len({array.dtype for array in arrays}) > 1:
        arrays = [_as_numbers(array, f"X[{i}]", dtype) for i, array in enumerate(arrays)]
    return Sequences.of_lengths(np.concatenate(arrays), [len(array) for array in arrays], scale)


def _check_finite(sequences: Sequences, dtype: DType, given: Any) -> None:
    """Raise with the place of the first NaN or infinity, reading the observations a piece at a time."""
    scale = dtype.type(sequences.scale)
    for first, piece in sequences.pieces(1 << 20):
        with np.errstate(over="ignore", invalid="ignore"):
            piece = scale * piece.astype(dtype, copy=False)
        finite = np.isfinite(piece)
        if finite.all():
            continue
        row, feature = np.argwhere(~finite)[0]
        value = piece[row, feature]
        row += first
        i = int(np.searchsorted(sequences.first_rows, row, side="right")) - 1
        step = int(row - sequences.first_rows[i])
        where = f"sequence {i}, step {step}, feature {feature}"
        if not np.isnan(value) and _was_finite(given, i, step, int(feature)):
            raise ValueError(
                f"X contains a value too large for {dtype} (it becomes infinity), first at {where}; rescale it"
            )
        found = "NaN" if np.isnan(value) else "infinity (inf)"
        raise ValueError(f"X contains {found}, first at {where}; remove it or fill it in")


def _was_finite(given: Any, i: int, step: int, feature: int) -> bool:
    item = np.asarray(given[i]) if isinstance(given, (list, tuple)) else np.asarray(given)[i]
    value = item[step] if item.ndim == 1 else item[step, feature]
    return bool(np.isfinite(np.float64(value)))


# Streams


def check_observations(name: str, values: Any, shape: tuple[int | None, ...], what: str) -> Array:
    """Return observations of streams as an array that the kernels can read: as they are, or in float64.

    Parameters
    ----------
    name : str
        Of the argument.
    values : array-like
        The observations.
    shape : tuple of int or None
        What it must have; None stands for any number but 0.
    what : str
        The shape, in words.
    """
    array = _as_observations(values, name, np.float64)
    fits = len(array.shape) == len(shape) and all(
        n == found if n is not None else found > 0 for n, found in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} has the shape {array.shape}; pass {what}")
    return array


def refuse_not_finite(name: str, array: Array, dtype: DType, scale: float) -> NoReturn:
    """Raise with the place of the first number that is not finite, or does not stay so in ``dtype``."""
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(dtype.type(scale) * array.astype(dtype))
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
        What a user passes.
    like : StreamState
        One of this network and of as many streams.
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


def check_history(history: Any, n_features: int, frame: int, dtype: DType, scale: float) -> tuple[list[Array], bool]:
    """Return the series that a forecast starts from, and whether it is a single one.

    Parameters
    ----------
    history : array-like of shape (n_steps, n_features) or (n_series, n_steps, n_features), or list of arrays
        With one feature also without the last axis: (n_steps,), or (n_series, n_steps) of more than one step.
    n_features : int
        Of an observation.
    frame : int
        Observations that a step reads.
    dtype : dtype
        float32 or float64.
    scale : float
        What observations are multiplied by.

    Returns
    -------
    list of ndarray of shape (n_steps_i, n_features)
    bool
    """
    is_one, items = _series_of(history, n_features)
    series = []
    for i, item in enumerate(items):
        name = "history" if is_one else f"history[{i}]"
        if n_features == 1 and n_dimensions(name, item) == 1:
            item = np.asarray(item).reshape(-1, 1)
        what = f"(n_steps, {n_features}), with the features that the model was fitted on"
        array = check_observations(name, item, (None, n_features), what)
        if len(array) < frame:
            raise ValueError(f"{name} has {len(array)} steps, fewer than the frame of {frame}; pass more of them")
        if not np.isfinite(scale * array.astype(dtype, copy=False)).all():
            refuse_not_finite(name, array, dtype, scale)
        series.append(array)
    if not series:
        raise ValueError("history is empty; pass at least one series")
    return series, is_one


def _series_of(history: Any, n_features: int) -> tuple[bool, Any]:
    """Whether ``history`` is one series, and the list of its series."""
    if not isinstance(history, (list, tuple)):
        n_dimensions("history", history)
        history = np.asarray(history)
        if history.dtype == object and history.ndim == 1 and all(hasattr(item, "__len__") for item in history):
            history = list(history)
    if isinstance(history, (list, tuple)):
        dimensions = {n_dimensions(f"history[{i}]", item) for i, item in enumerate(history)}
        one_row_a_step = dimensions == {1} and (n_features > 1 or all(len(item) == 1 for item in history))
        is_one = dimensions == {0} or one_row_a_step
    elif history.ndim in (1, 2, 3):
        is_one = history.ndim == 1 or (history.ndim == 2 and (n_features > 1 or history.shape[1] == 1))
    else:
        raise ValueError(f"history has {history.ndim} dimension(s); pass (n_steps, n_features), or a list of such")
    return is_one, [history] if is_one else history


def check_can_forecast(estimator: Any, n_outputs: int, n_features: int) -> None:
    """Raise unless predictions can be read as observations."""
    if n_outputs != n_features:
        raise ValueError(
            f"{type(estimator).__name__} was fitted on {n_features} feature(s) and {n_outputs} target(s) and cannot "
            "read its own predictions; fit it with all features of the next observation as the targets"
        )


# Text


def check_reads_symbols(solver: Any, known: Mapping[str, Any]) -> None:
    """Raise unless ``solver``, a name or an object, reads symbols."""
    if not getattr(check_solver(solver, known), "takes_symbols", False):
        raise ValueError(f"solver is {solver!r}, which does not read text; pass solver='rollout'")


def read_texts(text: Any) -> list[str]:
    """Return the texts that ``text`` is, or that it tells where to read, as a list; each has two characters or more."""
    if not isinstance(text, (list, tuple)):
        return [read_text(text)]
    if not len(text):
        raise ValueError("text is an empty list; pass at least one text")
    return [read_text(item, f"text[{i}]") for i, item in enumerate(text)]


def read_text(text: Any, name: str = "text", least: float = 2) -> str:
    """Return ``text``, or what the file that it names, or is, holds in UTF-8; of ``least`` characters at least."""
    given = text
    if isinstance(text, os.PathLike):
        try:
            with open(text, encoding="utf-8") as file:
                text = file.read()
        except UnicodeDecodeError as error:
            raise ValueError(f"{name} is the file {given}, which is not UTF-8 ({error}); pass its text") from error
    elif hasattr(text, "read"):
        text = text.read()
    if not isinstance(text, str):
        remedy = "decode it, or open the file as text" if isinstance(text, bytes) else "pass a str, or a pathlib.Path"
        raise TypeError(f"{name} is of type {type(text).__name__}; {remedy}")
    if len(text) < least:
        wanted = "one to read and one to predict" if least == 2 else f"at least {least}"
        raise ValueError(f"{name} has {len(text)} character(s); pass {wanted}")
    return text


def check_characters(vocabulary: object) -> str:
    """Raise unless this is a string of characters."""
    if not isinstance(vocabulary, str):
        raise TypeError(f"vocabulary is of type {type(vocabulary).__name__}; pass a str of all characters")
    return vocabulary


def check_same_vocabulary(vocabulary: str | None, known: str) -> None:
    """Raise unless there is no other vocabulary than the ``known`` one."""
    if vocabulary is not None and vocabulary != known:
        raise ValueError(f"vocabulary is {vocabulary!r}, and was {known!r} before; pass the same one, or None")


def check_vocabulary(code_points: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the code points of the characters of a text, or raise unless they are several, and not too many."""
    if len(code_points) < 2:
        raise ValueError(
            f"there is no other character than {''.join(map(chr, code_points))!r}, and nothing to predict; pass a text "
            "of several"
        )
    if len(code_points) > 1 << 16:
        raise ValueError(f"text has {len(code_points)} different characters; the most that there can be is {1 << 16}")
    return code_points


def check_stand_in(unknown: object, vocabulary: str) -> int | None:
    """Return the code of the character ``unknown``, or None for None; raise unless it is in the vocabulary."""
    if unknown is None:
        return None
    if not isinstance(unknown, str) or len(unknown) != 1:
        raise (ValueError if isinstance(unknown, str) else TypeError)(
            f"unknown is {unknown!r}; pass one character of the training text, or None"
        )
    if unknown not in vocabulary:
        raise ValueError(f"unknown is {unknown!r}, which the training text does not have; pass one of {vocabulary!r}")
    return vocabulary.index(unknown)


def check_no_unknown(stand_in: int | None, text: str, position: int, i: int | None, vocabulary: str) -> None:
    """Raise if nothing stands in for the character of the text, or of the i-th, at this position."""
    if stand_in is None:
        character, where = text[position], "" if i is None else f"[{i}]"
        raise ValueError(
            f"text{where} has the character {character!r} (U+{ord(character):04X}) at position {position}, which is "
            f"not among the {len(vocabulary)} of the training text; take it out, or set unknown to one of those, such "
            "as unknown=' ', to be read in its place"
        )


def check_text_outputs(are_finite: bool | np.bool_) -> None:
    """Raise when a roll-out over text has overflowed."""
    if not are_finite:
        raise ValueError("the network's outputs are not finite; fit with activation='tanh', or a smaller radius")


# Targets and weights


def check_y_is_there(estimator: Any, y: Any) -> None:
    """Raise if y is None."""
    if y is None:
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None")


def check_labels(
    y: Any, lengths: IntArray, *, per_step: bool = False, stateful: bool = False, ignore_label: Any = None
) -> tuple[Array, IntArray, BoolArray, str]:
    """Return the classes, sorted, the class number of every sequence or step, and how y held them.

    Parameters
    ----------
    y : array-like of shape (n_sequences,), or of shape (n_sequences, n_steps), or list of arrays of shape (n_steps_i,)
        Labels of any type that can be sorted, one for each sequence or one for each of its steps.
    lengths : ndarray of shape (n_sequences,)
        Numbers of steps.
    per_step : bool, default=False
        Whether the solver takes a label for each step.
    stateful : bool, default=False
        Whether labels are those of steps, even if every sequence has but one.
    ignore_label : label or None
        What stands where a step has no label.

    Returns
    -------
    classes : ndarray
        Sorted.
    targets : ndarray of intp
        One for each sequence, or one for each step of every sequence, one sequence after the other; 0 where there is
        no label.
    present : ndarray of bool
        Where there is one.
    form : {"sequence", "array", "list"}
        What y was: one label a sequence, or a rectangular array or a list with one label a step.
    """
    _refuse_masked("y", y)
    form = _form_of_labels(y, of_steps=stateful)
    if form != "sequence" and not per_step:
        found = f"an array of shape {y.shape}" if form == "array" else f"a list of {len(y)} arrays"
        raise ValueError(
            f"y should be a 1d array, one label a sequence, and is {found}: this solver takes no label for each step; "
            "pass solver='rollout', or the labels of the last steps"
        )
    if form == "sequence":
        y = column_or_1d(y, warn=True)
    if len(y) != len(lengths):
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: X has {len(lengths)} sequences and y has "
            f"{len(y)} labels; pass one label a sequence"
        )
    where = "index {}" if form == "sequence" else "label {} of all steps"
    column = y if form == "sequence" else _labels_per_step(y, form, lengths)
    present = np.ones(len(column), bool) if ignore_label is None else differs(column, ignore_label)
    if not present.any():
        raise ValueError(f"y holds ignore_label = {ignore_label!r} alone; give at least two classes a label")
    classes, of_present = _check_label_column(column[present], where)
    targets = np.zeros(len(column), np.intp)
    targets[present] = of_present
    return classes, targets, present, form


def differs(labels: Iterable[Any], ignore_label: Any) -> BoolArray:
    """Where the labels are not ``ignore_label``, which may be NaN or the like."""
    if np.ndim(ignore_label):
        raise TypeError(f"ignore_label is {ignore_label!r}; pass one label, or None")
    if _is_missing(ignore_label):
        return np.array([not _is_missing(label) for label in labels], dtype=bool)
    return np.array([_is_missing(label) or not (label == ignore_label) for label in labels], dtype=bool)


def _is_missing(label: Any) -> bool:
    """Whether this is NaN or NaT, which are not equal to themselves, or pandas.NA, which does not say."""
    is_itself = label == label
    return not (isinstance(is_itself, (bool, np.bool_)) and is_itself)


def check_labels_per_step(y: Any, lengths: IntArray) -> Array:
    """Return the labels of all steps, one sequence after the other."""
    form = "sequence" if y is None else _form_of_labels(y, of_steps=True)
    if form == "sequence" or len(y) != len(lengths):
        found = "is None" if y is None else f"has {len(y)} entries" if form == "sequence" else f"has {len(y)} sequences"
        raise ValueError(
            f"y {found} for the {len(lengths)} sequences of X; pass one label for each step of X, as it had in fit"
        )
    return _labels_per_step(y, form, lengths)


def _labels_per_step(y: Any, form: str, lengths: IntArray, name: str = "y", what: str = "label") -> Array:
    _refuse_masked(name, y)
    for i, labels in enumerate(y if form == "list" else ()):
        _refuse_masked(f"{name}[{i}]", labels)
    columns = [column_or_1d(labels) for labels in (np.asarray(y) if form == "array" else y)]
    for i, (labels, length) in enumerate(zip(columns, lengths, strict=True)):
        if len(labels) != length and form == "array":
            raise ValueError(
                f"{name} should be a 1d array, one {what} a sequence, or have one {what} a step, and has the shape "
                f"{np.shape(y)}: {name}[{i}] has {len(labels)} {what}s and X[{i}] has {length} steps"
                + ("; several labels at once take loss='sigmoid_cross_entropy'" if name == "y" else "")
            )
        if len(labels) != length:
            raise ValueError(
                f"{name}[{i}] has {len(labels)} {what}s and X[{i}] has {length} steps; pass one {what} a step"
            )
    return np.concatenate(columns)


def _form_of_labels(y: Any, *, of_steps: bool = False) -> str:
    """One label a sequence may have an axis of its own, unless there is one a step."""
    if getattr(y, "ndim", 1) == 2:
        return "array" if y.shape[1] > 1 or of_steps else "sequence"
    if isinstance(y, (list, tuple)) or getattr(getattr(y, "dtype", None), "kind", "") == "O":
        nested = len(y) and all(hasattr(labels, "__len__") and np.ndim(labels) == 1 for labels in y)
        return "list" if nested and (of_steps or any(len(labels) != 1 for labels in y)) else "sequence"
    return "sequence"


def _check_label_column(y: Array, where: str) -> tuple[Array, IntArray]:
    if y.dtype.kind == "f":
        finite = np.isfinite(y)
    else:
        finite = np.array([not _is_missing(label) for label in y], dtype=bool)
    if not finite.all():
        i = int(np.flatnonzero(~finite)[0])
        raise ValueError(f"Input y contains NaN or infinity, first at {where.format(i)}; leave these sequences out")
    if y.dtype.kind in "fc":
        check_classification_targets(y)
    try:
        return np.unique(y, return_inverse=True)
    except TypeError as error:
        raise TypeError(f"y holds labels that cannot be sorted ({error}); make them all one type") from error


def check_values(y: Any, lengths: IntArray, *, stateful: bool = False) -> tuple[FloatArray, BoolArray, str, bool]:
    """Return targets of a regression, a row each, which of them are there, and how y held them.

    Parameters
    ----------
    y : array-like of shape (n_sequences,) or (n_sequences, k), or (n_sequences, n_steps[, k]), or list of arrays
        A value, or k of them, a sequence; or, NaN where there is none, a step.  Two dimensions are read as one
        value a step if every sequence has as many steps as there are columns, and several.
    lengths : ndarray of shape (n_sequences,)
        Numbers of steps.
    stateful : bool, default=False
        Whether values are those of steps, even if every sequence has but one.

    Returns
    -------
    values : ndarray of shape (n_rows, k), float64
        0 where there is none.
    present : ndarray of shape (n_rows,), bool
    form : {"sequence", "array", "list"}
        As `check_labels` says it.
    single : bool
        Whether y has no axis of length k.
    """
    _refuse_masked("y", y)
    if not isinstance(y, (list, tuple)):
        y = np.asarray(y)
        if not y.ndim:
            raise ValueError(f"y is {y!r}; pass one target a sequence, or one array of them")
    if len(y) != len(lengths):
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: X has {len(lengths)} sequences and y has "
            f"{len(y)}; pass one target a sequence, or one array of them"
        )
    items = _items_of_values(y)
    if items is not None and all(len(item) == length for item, length in zip(items, lengths, strict=True)):
        values, form = np.concatenate(items), "list"
    else:
        values, form = _as_numbers(y, "y", np.float64), "sequence"
        several = values.ndim == 2 and (values.shape[1] > 1 or stateful)
        if values.ndim == 3 or (several and (lengths == values.shape[1]).all()):
            form = "array"
        if values.ndim not in (1, 2, 3):
            raise ValueError(f"y has {values.ndim} dimensions; pass one value a sequence or a step, or k of them")
        if values.ndim == 3 and (lengths != values.shape[1]).any():
            i = int(np.flatnonzero(lengths != values.shape[1])[0])
            raise ValueError(f"y[{i}] has {values.shape[1]} values and X[{i}] has {lengths[i]} steps; pass one a step")
        if form == "array":
            values = values.reshape(-1, *values.shape[2:])
    single = values.ndim == 1
    values = values.reshape(len(values), -1)
    missing = np.isnan(values)
    present = ~missing.all(axis=1)
    wrong = np.isinf(values).any(axis=1) | (missing.any(axis=1) & (present | (form == "sequence")))
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        where = f"index {i}" if form == "sequence" else f"step {i} of all"
        raise ValueError(
            f"Input y contains NaN or infinity, first at {where}; leave these sequences out, or, at a step without a "
            "target, pass NaN for all its values"
        )
    if not present.any():
        raise ValueError("y is NaN everywhere; give some steps a target")
    return np.where(present[:, None], values, 0.0), present, form, single


def check_scaled_values(values: Any, deviation: FloatArray, dtype: DType) -> None:
    """Raise if targets, by their deviation, are too large to compute with."""
    largest = float(np.abs(values).max(initial=0))
    if not (np.isfinite(deviation).all() and largest < float(np.finfo(dtype).max)):
        raise ValueError(f"y has values too large for {np.dtype(dtype)}, or with too large a variance; rescale y")


def check_indicators(y: Any, lengths: IntArray, *, ignore_label: Any = None) -> tuple[FloatArray, BoolArray, str]:
    """Return which labels every sequence or step has, and how y held that.

    Parameters
    ----------
    y : array-like of shape (n_sequences, n_labels) or (n_sequences, n_steps, n_labels), or list of arrays
        Ones and zeros; a list holds a row a sequence, or an array of shape (n_steps_i, n_labels).  One of two
        dimensions may be a sparse matrix.
    lengths : ndarray of shape (n_sequences,)
        Numbers of steps.
    ignore_label : number or None
        What all of a row is where nothing is known.

    Returns
    -------
    values : ndarray of shape (n_rows, n_labels), float64
        0 where nothing is known.
    present : ndarray of shape (n_rows,), bool
        Where something is.
    form : {"sequence", "array", "list"}
        As `check_labels` says it.
    """
    if issparse(y):
        y = y.toarray()
    items = _items_of_values(y) if len(y) == len(lengths) else None
    if items is not None and items[0].ndim == 2:
        form = "list"
        for i, (item, length) in enumerate(zip(items, lengths, strict=True)):
            if len(item) != length:
                raise ValueError(f"y[{i}] has {len(item)} rows and X[{i}] has {length} steps; pass one a step")
        values = np.concatenate(items)
    else:
        values = _as_numbers(y, "y", np.float64)
        if values.ndim not in (2, 3):
            raise ValueError(
                f"y has the shape {values.shape}; with this loss a sequence, or each of its steps, has several labels: "
                "pass an indicator matrix of zeros and ones, (n_sequences, n_labels), or a loss of class numbers"
            )
        if len(values) != len(lengths):
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: X has {len(lengths)} sequences and y "
                f"has {len(values)} rows; pass one a sequence"
            )
        form = "sequence" if values.ndim == 2 else "array"
        if form == "array" and (lengths != values.shape[1]).any():
            i = int(np.flatnonzero(lengths != values.shape[1])[0])
            raise ValueError(f"y[{i}] has {values.shape[1]} rows and X[{i}] has {lengths[i]} steps; pass one a step")
        values = values.reshape(len(values) * (values.shape[1] if form == "array" else 1), values.shape[-1])
    if not values.shape[1]:
        raise ValueError("y has no column; pass a column for each label")
    present = np.ones(len(values), bool)
    if ignore_label is not None:
        present = np.any(differs(values.ravel(), ignore_label).reshape(values.shape), axis=1)
    wrong = present & ~np.all(np.isin(values, (0, 1)), axis=1)
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        found = values[i][~np.isin(values[i], (0, 1))][0]
        where = f"index {i}" if form == "sequence" else f"row {i} of all steps"
        raise ValueError(f"y contains {found:g}, first at {where}; pass 1 for a label that is there, and 0 for others")
    return np.where(present[:, None], values, 0.0), present, form


def _items_of_values(y: Any) -> list[FloatArray] | None:
    """The arrays of a list of them, or None if y is no such list."""
    if not (isinstance(y, (list, tuple)) or getattr(getattr(y, "dtype", None), "kind", "") == "O"):
        return None
    if not all(hasattr(item, "__len__") for item in y):
        return None
    items = [_as_numbers(item, f"y[{i}]", np.float64) for i, item in enumerate(y)]
    return items if len({item.shape[1:] for item in items}) == 1 and items[0].ndim in (1, 2) else None


def check_several_classes(classes: Array, targets: Array) -> None:
    """Raise unless at least two classes are left to learn."""
    present = np.unique(targets)
    if not len(present):
        raise ValueError("y has no label of positive weight; give at least two classes a positive weight")
    if len(present) < 2:
        label = classes[present[0]]
        label = label.item() if isinstance(label, np.generic) else label
        raise ValueError(
            f"y has one class only, {label!r}, among the sequences of positive weight; "
            "RNNClassifier needs at least two classes"
        )


def check_sample_weight(sample_weight: Any, lengths: IntArray, *, per_step: bool = False) -> FloatArray:
    """Return the weights as a float64 array whose largest is one.

    Parameters
    ----------
    sample_weight : None, array-like of shape (n_sequences,) or (n_sequences, n_steps), or list of arrays
        One a sequence, or, with targets at each step, one a step.
    lengths : ndarray of shape (n_sequences,)
        Numbers of steps.
    per_step : bool, default=False
        Whether there are targets at each step.

    Returns
    -------
    ndarray of shape (n_sequences,) or (n_steps,)
        The latter if ``per_step``.
    """
    n_sequences = len(lengths)
    if sample_weight is None:
        return np.ones(lengths.sum() if per_step else n_sequences)
    form = _form_of_labels(sample_weight, of_steps=per_step)
    if per_step and form != "sequence" and len(sample_weight) == n_sequences:
        sample_weight = _labels_per_step(sample_weight, form, lengths, "sample_weight", "weight")
        n_weights = int(lengths.sum())
    else:
        n_weights = n_sequences
    weights = _as_numbers(sample_weight, "sample_weight", np.float64)
    if weights.ndim != 1 or len(weights) != n_weights:
        raise ValueError(f"sample_weight has the shape {weights.shape}; pass one weight a sequence, ({n_sequences},)")
    if not np.isfinite(weights).all():
        i = int(np.flatnonzero(~np.isfinite(weights))[0])
        raise ValueError(f"sample_weight contains NaN or infinity, first at index {i}; pass finite weights")
    if weights.min() < 0:
        i = int(np.flatnonzero(weights < 0)[0])
        raise ValueError(f"sample_weight is negative, first at index {i} ({weights[i]:g}); pass weights >= 0")
    if not weights.any():
        raise ValueError("sample_weight is zero everywhere; give some sequences a positive weight")
    if per_step and n_weights == n_sequences:
        weights = np.repeat(weights, lengths)
    return at_least_tiny(weights / weights.max())


def at_least_tiny(weights: Array) -> FloatArray:
    """The weights, none of them so small that it would underflow in float32, as a minibatch may consist of such."""
    return np.where(weights > 0, np.maximum(weights, 1e-20), 0.0)


def check_classes(classes: Any, fitted: Array | None) -> Array:
    """Return the labels of all calls of partial_fit, sorted: ``fitted`` ones of earlier calls, or those given first."""
    if classes is None:
        if fitted is None:
            raise ValueError("classes is None in the first call of partial_fit; pass all labels that there will be")
        return fitted
    found = np.unique(_check_label_column(column_or_1d(classes), "index {} of classes")[0])
    if fitted is not None and not np.array_equal(found, fitted):
        raise ValueError(f"classes is {found.tolist()}, and was {fitted.tolist()} before; pass the same ones, or None")
    if len(found) < 2:
        raise ValueError(f"classes is {found.tolist()}; pass at least two")
    return found


def numbers_of_classes(labels: Array, classes: Array) -> IntArray:
    """The places of these labels among the classes, or raise if one is not there."""
    known = {label: i for i, label in enumerate(classes.tolist())}
    for label in labels.tolist():
        if label not in known:
            raise ValueError(f"y has the label {label!r}, which is not among the classes {classes.tolist()}")
    return np.array([known[label] for label in labels.tolist()], np.intp)


def check_targets_suit(settings: EstimatorSettings, targets: Targets) -> None:
    """Raise unless targets are of the kind that the read-out, or streams, ask for."""
    if targets.every_step and settings.readout != "last":
        raise ValueError(f"readout is {settings.readout!r} and y has a target for each step; pass readout='last'")
    if settings.stateful and not targets.every_step:
        raise ValueError("stateful is True and y has one target a sequence; pass one for each step, or stateful=False")


def check_same_network(estimator: BaseEstimator, settings: EstimatorSettings, network: Network, **more: object) -> None:
    """Raise unless settings, and ``more`` of them by name, are those that the network was made with."""
    fitted = {
        "hidden_size": network.n_hidden,
        "activation": network.activation,
        "readout": network.read_out,
        "bidirectional": len(network.directions) == 2,
        "dtype": network.dtype,
    }
    for name, value in (fitted | more).items():
        if getattr(settings, name) != value:
            raise ValueError(f"{name} is {getattr(settings, name)!r}, and was {value!r} when training began; call fit")
    if (settings.s_0 is None) != (network.s_0 is None):
        raise ValueError(f"s_0 is {estimator.s_0!r}, and was of another kind when training began; call fit")
    if isinstance(settings.s_0, np.ndarray) and (settings.s_0 != network.s_0).any():
        raise ValueError(f"s_0 is {estimator.s_0!r}, and s_0_ of the fitted network is not; pass s_0_, or call fit")


def check_goes_on(estimator: BaseEstimator, settings: EstimatorSettings, targets: Targets, network: Network) -> None:
    """Raise unless settings and targets are those that the estimator was fitted with."""
    check_same_network(estimator, settings, network, frame=estimator._frame, scale=estimator._scale)
    if targets.every_step != (estimator._form_of_targets != "sequence"):
        raise ValueError("y has one target a sequence where it had one a step before, or the reverse; call fit")
    if estimator._memory is None:
        raise ValueError("the solver of the last fit has left nothing to go on from; call fit with solver='rollout'")


def check_n_streams(states: Array | None, streams: Streams) -> None:
    """Raise unless there are as many streams as states to go on from."""
    if states is not None and len(states) != len(streams):
        raise ValueError(
            f"X has {len(streams)} streams, and {len(states)} are going on; pass as many, or call reset_states() first"
        )


def check_n_outputs(found: int, expected: int) -> None:
    """Raise unless targets have as many values as before."""
    if found != expected:
        raise ValueError(f"y has {found} value(s) a target, and had {expected} when training began; pass as many")


def check_class_weight(
    class_weight: Any, classes: Array, targets: Array, present: BoolArray, *, partial: bool = False
) -> FloatArray:
    """Return the weight of every target by its class.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
        Weights >= 0 by label, 1 where there is none; "balanced" is n / (n_classes * n of the class).
    classes : ndarray
        The labels, sorted.
    targets, present : ndarray
        As `check_labels` returns them.
    partial : bool, default=False
        Whether there are more labels than these.
    """
    if class_weight is None:
        return np.ones(len(targets))
    if isinstance(class_weight, str) and class_weight == "balanced":
        if partial:
            raise ValueError("class_weight is 'balanced', and partial_fit does not see all of y; pass a dict")
        counts = np.bincount(targets[present], minlength=len(classes))
        found: FloatArray = (present.sum() / (len(classes) * counts))[targets]
        return found
    if not isinstance(class_weight, dict):
        raise TypeError(f"class_weight is {class_weight!r}; pass a dict of weights by label, 'balanced' or None")
    known = {label.item() if isinstance(label, np.generic) else label: i for i, label in enumerate(classes)}
    weights = np.ones(len(classes))
    for label, weight in class_weight.items():
        label = label.item() if isinstance(label, np.generic) else label
        if label not in known:
            raise ValueError(
                f"class_weight has the label {label!r}, which y does not have; the labels are {list(known)}"
            )
        weights[known[label]] = check_number(f"class_weight[{label!r}]", weight)
    return weights[targets]


def check_outputs(outputs: FloatArray, lengths: IntArray) -> FloatArray:
    """Raise when a roll-out has overflowed; there is one output a sequence, or one a step."""
    finite = np.isfinite(outputs).all(axis=1)
    if not finite.all():
        i = int(np.flatnonzero(~finite)[0])
        if len(outputs) != len(lengths):
            i = int(np.searchsorted(np.cumsum(lengths), i, side="right"))
        raise ValueError(
            f"the network's outputs for sequence {i} of X are not finite: its observations are too large for this "
            "network; rescale X, or fit with activation='tanh'"
        )
    return outputs


# Other programs


def check_torch_layers(rnn: Any, linear: Any, torch: Any, recurrent: tuple[Any, ...]) -> None:
    """Raise unless these layers are a network that there is an estimator for.

    Parameters
    ----------
    rnn, linear : object
        What a user passes.
    torch : module
        torch.
    recurrent : tuple of type
        What ``rnn`` may be.
    """
    if not isinstance(rnn, recurrent):
        raise TypeError(f"rnn is of type {type(rnn).__name__}; pass a torch.nn.RNN, with gates there is no estimator")
    if not isinstance(linear, torch.nn.Linear):
        raise TypeError(f"linear is of type {type(linear).__name__}; pass the torch.nn.Linear that reads the states")
    if rnn.num_layers != 1:
        raise ValueError(f"rnn has {rnn.num_layers} layers; pass one with num_layers=1, there is no estimator of more")
    if not linear.out_features:
        raise ValueError("linear has no outputs; pass one that has")
    n_read = rnn.hidden_size * (2 if rnn.bidirectional else 1)
    if linear.in_features != n_read:
        raise ValueError(f"linear reads {linear.in_features} features, and rnn has {n_read}; pass layers that fit")
    named = [("rnn." + name, value) for name, value in rnn.named_parameters()]
    named += [("linear." + name, value) for name, value in linear.named_parameters()]
    for name, value in named:
        dtype = str(value.dtype).removeprefix("torch.")
        if value.dtype != named[0][1].dtype or dtype not in DTYPES:
            raise ValueError(
                f"{name} is {dtype}; convert both layers to float32 with float(), or to float64 with double()"
            )
        if not torch.isfinite(value).all():
            raise ValueError(f"{name} contains NaN or infinity; pass finite weights")


def check_settings_of_torch(settings: Mapping[str, Any], from_layers: Iterable[str]) -> None:
    """Raise if ``settings`` names what the layers say."""
    for name in from_layers:
        if name in settings:
            raise TypeError(f"from_torch has got {name}={settings[name]!r}, which the layers say; leave it out")


def check_features_in_frames(n_features: int, frame: Frame) -> int:
    """Return the number of features of an observation, or raise unless frames have whole ones."""
    if n_features % frame[0]:
        raise ValueError(f"rnn reads {n_features} features, no multiple of the frame of {frame[0]}; pass another frame")
    return n_features // frame[0]


def check_torch_classes(classes: Any, n_outputs: int) -> tuple[Array, IntArray]:
    """Return the labels of outputs, 0 to K - 1 for None, and the order in which they are sorted."""
    if classes is None:
        return np.arange(n_outputs), np.arange(n_outputs)
    given = column_or_1d(classes)
    known, places = _check_label_column(given, "index {} of classes")
    order = np.argsort(places)
    if len(known) != len(given):
        raise ValueError("classes has a label twice; pass one for each output")
    if len(known) != n_outputs:
        raise ValueError(f"classes has {len(known)} label(s) for {n_outputs} outputs; pass one for each output")
    return known, order


def check_exported(blocks: Mapping[str, FloatArray], dtype: np.dtype[Any]) -> dict[str, FloatArray]:
    """Return the weights of an export in its dtype, or raise where that has no such numbers."""
    with np.errstate(over="ignore"):
        found = {name: block.astype(dtype) for name, block in blocks.items()}
    for name, block in found.items():
        if not np.isfinite(block).all():
            raise ValueError(
                f"{name}, with which the network gives values in the units of y or reads X, has entries too large for "
                f"{dtype}; fit to data in other units"
            )
    return found


def check_onnx_classes(classes: Array) -> Array:
    """Return labels as an array that an ONNX file can hold, or raise."""
    labels = classes.tolist()
    if classes.dtype.kind == "U" or (classes.dtype == object and all(isinstance(label, str) for label in labels)):
        return classes.astype(object)
    numbers = np.array(labels) if classes.dtype == object else classes
    for kinds, dtype in (("b", np.bool_), ("iu", np.int64), ("f", np.float64)):
        if numbers.dtype.kind in kinds and (found := numbers.astype(dtype)).tolist() == labels:
            return found
    raise ValueError(
        f"classes_ has {labels[-1]!r}, which is none of the types of labels in an ONNX file; fit with strings, "
        "booleans, or numbers that int64 or float64 hold"
    )


def check_padded_batch(shape: Sequence[int], lengths: Any, n_features: int, least: int) -> None:
    """Raise unless a padded batch of a torch module has the right shape, and ``lengths`` numbers of its steps.

    Parameters
    ----------
    shape : tuple of int
        Of the batch.
    lengths : torch.Tensor or None
        How long each sequence is.
    n_features : int
        Of an observation.
    least : int
        Steps of the shortest sequence there may be.
    """
    if len(shape) != 3 or shape[2] != n_features:
        raise ValueError(f"x has the shape {tuple(shape)}; pass (n_sequences, n_steps, {n_features})")
    if 0 in shape or shape[1] < least:
        raise ValueError(f"x has the shape {tuple(shape)}; pass at least one sequence, of {least} step(s) or more")
    if lengths is None:
        return
    if lengths.is_floating_point() or lengths.ndim != 1 or len(lengths) != shape[0]:
        raise ValueError(
            f"lengths is {lengths.dtype} of shape {tuple(lengths.shape)}; pass integers, one for each of the "
            f"{shape[0]} sequences"
        )
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest < least or longest > shape[1]:
        raise ValueError(
            f"lengths are from {shortest} to {longest}; they must be from {least} to {shape[1]}, x's steps"
        )


# Pictures


def check_records(history: Any) -> list[Record]:
    """Return the records of a fitted estimator, or of its history in one of its forms.

    Parameters
    ----------
    history : estimator, list of dict, or pandas.DataFrame
        What a user passes.

    Returns
    -------
    list of dict
    """
    if isinstance(history, BaseEstimator):
        check_is_fitted(history)
        history = getattr(history, "history_", history)
    if hasattr(history, "iloc"):
        history = history.to_dict("records")
    if not isinstance(history, (list, tuple)) or not all(isinstance(record, dict) for record in history):
        raise TypeError(f"history is of type {type(history).__name__}; pass a fitted estimator, or its history_")
    if not history:
        raise ValueError("history is empty; pass that of a fit")
    return list(history)


def check_recorded(records: Sequence[Record], metric: Any, remedy: str | None = None) -> list[str]:
    """Return the keys of records that ``metric`` stands for, or raise if there are none.

    Parameters
    ----------
    records : list of dict
        What one has is missing in another perhaps.
    metric : str or list of str
        Keys, or the last word of keys.
    remedy : str, optional
        What to do if they are not there.
    """
    if not isinstance(metric, (str, list, tuple)) or not all(isinstance(name, str) for name in metric):
        raise TypeError(f"metric is {metric!r}; pass a key of the history's records, or a list of them")
    if not metric:
        raise ValueError(f"metric is {metric!r}; pass at least one key of the history's records")
    known = list(dict.fromkeys(key for record in records for key in record))
    names: list[str] = []
    for name in [metric] if isinstance(metric, str) else metric:
        found = [name] if name in known else [key for key in known if key.endswith(f"_{name}")]
        if not found:
            raise ValueError(f"the history has no {name!r}; {remedy or 'it has ' + ', '.join(known)}")
        names += found
    return names


def check_axes(ax: Any, *numbers: int) -> list[Any]:
    """Return as many Axes as one of ``numbers`` says, as a list, or raise."""
    axes = list(np.ravel(ax)) if isinstance(ax, (list, tuple, np.ndarray)) else [ax]
    if len(axes) not in numbers or not all(hasattr(one, "imshow") for one in axes):
        what = " or a pair of them" if 2 in numbers else ""
        raise TypeError(f"ax is {ax!r}; pass an Axes of matplotlib{what}, or None for a new figure")
    return axes


def check_recurrent_weights(estimator: Any) -> dict[str, FloatArray]:
    """Return the matrices W of an estimator by name, or the one that was passed, or raise."""
    if isinstance(estimator, BaseEstimator):
        check_is_fitted(estimator)
        names = {"W": "W_", "W_reverse": "W_reverse_"}
        found = {name: getattr(estimator, of) for name, of in names.items() if hasattr(estimator, of)}
        if not found:
            raise TypeError(f"estimator is of type {type(estimator).__name__}, which has no W_; pass one of admmirnn")
        return found
    W = _as_numbers(estimator, "W", np.float64)
    if W.ndim != 2 or W.shape[0] != W.shape[1] or not len(W):
        raise ValueError(f"W has the shape {W.shape}; pass a fitted estimator, or a square matrix")
    if not np.isfinite(W).all():
        raise ValueError("W contains NaN or infinity; pass finite weights")
    return {"W": W}


def check_reads_sequences(estimator: Any) -> None:
    """Raise unless an estimator reads sequences, rather than text."""
    if not hasattr(estimator, "_states_and_outputs"):
        raise TypeError(f"estimator is {estimator!r}; pass a fitted RNNClassifier or RNNRegressor")


def check_has_confusions(estimator: Any) -> None:
    """Raise unless an estimator names one class for each sequence or step."""
    if isinstance(estimator, BaseEstimator):
        check_is_fitted(estimator)
    if not hasattr(estimator, "_true_and_predicted"):
        raise TypeError(f"estimator is {estimator!r}, which has no classes to confuse; pass an RNNClassifier")
    if estimator._several:
        raise ValueError(
            f"loss is {estimator.loss!r}, with which there may be several labels at once; see "
            "sklearn.metrics.multilabel_confusion_matrix"
        )


# What a checkpoint says of the fit that goes on from it

_MOST_COUNT = 1 << 53  # up to which floats hold all integers
_Form = Callable[[str, Any], None]


def check_state(name: str, found: Any, form: Any) -> None:
    """Raise unless a state that was read from a checkpoint, or a part of it, can be one of a fit.

    Parameters
    ----------
    name : str
        What it is called in the message.
    found : object
        What the checkpoint has.
    form : object
        What the fit itself has.  A dict has to have the same keys, a list or tuple as many items, an array the same
        type and shape, a string to be equal; an int stands for any count, a float for any number of Python's, NaN as
        well; what is not of these, for others of its type.  A function is ``form(name, found)``, and raises itself,
        such as `finite`.

    Raises
    ------
    ValueError
        If it can not.
    """
    if callable(form):
        form(name, found)
    elif isinstance(form, dict):
        _expect(isinstance(found, dict) and found.keys() == form.keys(), name, found)
        for key, item in form.items():
            check_state(f"{name}.{key}", found[key], item)
    elif isinstance(form, (list, tuple)):
        _expect(type(found) is type(form) and len(found) == len(form), name, found)
        for i, (item, of_form) in enumerate(zip(found, form, strict=True)):
            check_state(f"{name}[{i}]", item, of_form)
    elif isinstance(form, np.ndarray):
        _expect(isinstance(found, np.ndarray) and found.dtype == form.dtype and found.shape == form.shape, name, found)
    elif isinstance(form, float):
        # those of numpy are narrow, or times
        _expect(type(found) is float or (type(found) is int and abs(found) <= _MOST_COUNT), name, found)
    elif type(form) is int:
        count()(name, found)
    else:
        _expect(type(found) is type(form) and not (isinstance(form, str) and found != form), name, found)


def check_version_of_state(state: Any) -> None:
    """Raise if the solver's state in a checkpoint is of a version whose `Rollout` had no matrix penalty."""
    memory = state.get("memory") if isinstance(state, dict) else None
    if isinstance(memory, dict) and "layers" in memory and "online" not in memory:
        raise ValueError(
            "the checkpoint is of a version of admmirnn whose Rollout had no matrix penalty, and the fit cannot go on "
            "from it as it would have; remove it, or pass resume=False, to start anew"
        )


def _expect(is_met: bool, name: str, found: Any) -> None:
    if not is_met:
        what = f"an array of {found.dtype} {found.shape}" if isinstance(found, np.ndarray) else f"{found!r:.60}"
        raise ValueError(
            f"the checkpoint has {what} for {name}, which no fit with these arguments has; pass another one, or "
            "resume=False"
        )


def count(least: int = 0) -> _Form:
    """The form of integers from ``least`` on."""

    def check(name: str, found: Any) -> None:
        _expect(type(found) is int and least <= found <= _MOST_COUNT, name, found)

    return check


def number(least: float = -math.inf) -> _Form:
    """The form of numbers from ``least`` on, which NaN is not."""

    def check(name: str, found: Any) -> None:
        check_state(name, found, 0.0)
        _expect(bool(found >= least), name, found)

    return check


def finite(array: FloatArray) -> _Form:
    """The form of arrays like this one without NaN and infinity."""

    def check(name: str, found: Any) -> None:
        check_state(name, found, array)
        _expect(bool(np.isfinite(found).all()), name, found)

    return check


def different(n: int, fewest: int, most: int) -> _Form:
    """The form of from ``fewest`` to ``most`` different integers from 0 to n - 1."""

    def check(name: str, found: Any) -> None:
        is_array = isinstance(found, np.ndarray) and found.ndim == 1 and found.dtype.kind == "i"
        _expect(is_array and fewest <= len(found) <= most, name, found)
        is_there = np.zeros(n, bool)
        _expect(bool(((found >= 0) & (found < n)).all()), name, found)
        is_there[found] = True
        _expect(np.count_nonzero(is_there) == len(found), name, found)

    return check


def minibatches(n: int, batch_size: int, most: int | None, state: FloatArray) -> _Form:
    """The form of at most so many minibatches of n chunks, [their numbers, initial states such as ``state``]."""

    def check(name: str, found: Any) -> None:
        _expect(isinstance(found, list) and (most is None or len(found) <= most), name, found)
        for i, of_batch in enumerate(found):
            _expect(isinstance(of_batch, list) and len(of_batch) == 2, f"{name}[{i}]", of_batch)
            different(n, 1, batch_size)(f"{name}[{i}]", of_batch[0])
            check_state(f"{name}[{i}]", of_batch[1], np.repeat(state, len(of_batch[0]), axis=0))

    return check


def one_of(*forms: Any) -> _Form:
    """Any of these forms."""

    def check(name: str, found: Any) -> None:
        for form in forms:
            with suppress(ValueError):
                check_state(name, found, form)
                return
        _expect(False, name, found)

    return check


# Files, and what makes an estimator fitted


def not_to_be_saved(name: str, value: Any) -> TypeError:
    """The error that says that a file cannot hold a value."""
    found = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"of type {type(value).__name__}"
    remedy = "set_params puts something else in its place"
    if name.partition(".")[0] == "classes_":
        remedy = "fit with labels that are numbers, strings, bytes, or times of numpy"
    return TypeError(
        f"{name} is {found}, which a model file cannot hold, as nothing in it is run; {remedy}, or use pickle"
    )


def check_content(header: Mapping[str, Any], part: str) -> dict[str, Any]:
    """Return a part of a file's header, or raise unless it is an object."""
    content = header.get(part)
    if not isinstance(content, dict):
        raise ValueError(f"its header has no {part}")
    return content


def check_settings_are_known(settings: Mapping[str, Any], known: Collection[str], unused: Collection[str]) -> None:
    """Raise unless parameters have names that are known, and no array is left over; a missing one has its default."""
    unknown = sorted(settings.keys() - known)
    if unknown:
        raise ValueError(f"its header has the parameters {', '.join(unknown[:3])}, which this admmirnn does not know")
    if unused:
        raise ValueError(f"it has arrays that nothing belongs to, such as {sorted(unused)[0]!r}")


@dataclass(frozen=True)
class Fitted:
    """What an attribute of a fitted estimator has to be.

    Attributes
    ----------
    check : callable
        ``check(name, value, sizes)`` raises unless the value is such a one; ``sizes`` are those of the axes that
        have been met, by their letters.
    may_be_missing : bool
        Whether some estimators do not have it.
    """

    check: Callable[[str, Any, dict[str, Any]], object]
    may_be_missing: bool = False

    @classmethod
    def array(
        cls, *axes: str, dtypes: Sequence[str] = DTYPES, optional: bool = False, may_be_missing: bool = False
    ) -> Fitted:
        """An array with these axes: a letter is one size everywhere, and "n+m" the sum of those that are there.

        ``dtypes`` names those that it may have; weights have one in common.  ``optional`` allows None.
        """
        return cls(partial(_check_fitted_array, axes, dtypes, optional), may_be_missing)

    @classmethod
    def labels(cls, axis: str, *, strings: bool = False, may_be_missing: bool = False) -> Fitted:
        """An array of one axis and any dtype, or with ``strings`` of str objects."""
        return cls(partial(_check_fitted_labels, axis, strings), may_be_missing)

    @classmethod
    def value(cls, check: Callable[[str, Any], object], optional: bool = False) -> Fitted:
        """What ``check(name, value)`` lets pass."""
        return cls(lambda name, value, sizes: None if optional and value is None else check(name, value))


def check_fitted_attributes(attributes: Mapping[str, Any], expected: Mapping[str, Fitted]) -> None:
    """Raise unless these attributes, by name, make an estimator fitted, as the `Fitted` of each say."""
    missing = sorted(name for name, one in expected.items() if name not in attributes and not one.may_be_missing)
    unknown = sorted(attributes.keys() - expected.keys())
    if missing or unknown:
        raise ValueError(f"its attributes are not those of a fitted one: {', '.join([*missing, *unknown][:3])}")
    of_reverse = [name in attributes for name in expected if name.endswith("_reverse_")]
    if any(of_reverse) and not all(of_reverse):
        raise ValueError("some of its weights of the network that reads from the end are missing")
    sizes: dict[str, Any] = {}
    for name, one in expected.items():
        if name in attributes:
            one.check(name, attributes[name], sizes)
    if "_frame" in attributes:
        of_table, n_features = attributes["_n_table_columns"], attributes["n_features_in_"]
        n_channels = n_features if of_table is None else 1
        if sizes["d"] != n_channels * attributes["_frame"][0] or of_table not in (None, n_features):
            raise ValueError(f"U_ has {sizes['d']} columns, which observations of {n_features} features do not have")


def _check_fitted_array(
    axes: tuple[str, ...], dtypes: Sequence[str], optional: bool, name: str, value: Any, sizes: dict[str, Any]
) -> None:
    if optional and value is None:
        return
    if not isinstance(value, np.ndarray) or value.dtype.name not in dtypes or not value.dtype.isnative:
        raise ValueError(f"{name} is no array of {' or '.join(dtypes)}")
    if dtypes is DTYPES and sizes.setdefault("dtype", value.dtype) != value.dtype:
        raise ValueError(f"{name} is {value.dtype}, and other weights are {sizes['dtype']}")
    if value.ndim != len(axes):
        raise ValueError(f"{name} has {value.ndim} dimension(s), and should have {len(axes)}")
    for axis, size in zip(axes, value.shape, strict=True):
        expected = sum(sizes.get(letter, 0) for letter in axis.split("+")) if "+" in axis else None
        expected = sizes.setdefault(axis, size) if expected is None else expected
        if size != expected or not size:
            raise ValueError(f"{name} has the shape {value.shape}, which does not go with the other attributes")


def _check_fitted_labels(axis: str, strings: bool, name: str, value: Any, sizes: dict[str, Any]) -> None:
    if not isinstance(value, np.ndarray) or value.ndim != 1:
        raise ValueError(f"{name} is no array of one dimension")
    if strings and not (value.dtype == object and all(isinstance(item, str) for item in value)):
        raise ValueError(f"{name} holds what is no str")
    if sizes.setdefault(axis, len(value)) != len(value):
        raise ValueError(f"{name} has {len(value)} entries, which do not go with the other attributes")


def check_fitted_history(name: str, value: Any) -> None:
    """Raise unless this is a list of dicts."""
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise ValueError(f"{name} is no list of records")


def check_fitted_frame(name: str, value: Any) -> None:
    """Raise unless this is a pair of integers, (length, stride)."""
    if not isinstance(value, tuple) or len(value) != 2:
        raise ValueError(f"{name} is no pair (length, stride)")
    check_frame(value)


def check_fitted_type(kind: type, name: str, value: Any) -> None:
    """Raise unless this is of a type."""
    if not isinstance(value, kind):
        raise ValueError(f"{name} is {value!r}; it should be of type {kind.__name__}")


def check_fitted_vocabulary(name: str, value: Any, sizes: dict[str, Any]) -> None:
    """Raise unless this is a str of ascending characters, one for each column of U and each output."""
    if not isinstance(value, str) or list(value) != sorted(set(value)):
        raise ValueError(f"{name} is no string of different characters in their order")
    if not len(value) == sizes["K"] == sizes["d"]:
        raise ValueError(f"{name} has {len(value)} characters, which do not go with the weights")
