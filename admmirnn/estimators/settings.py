"""The settings that the estimators share, and whether data and an earlier fit suit them."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator

from admmirnn import validation
from admmirnn.activations import ACTIVATIONS
from admmirnn.data.augmenting import check_augment
from admmirnn.data.missing import WAYS
from admmirnn.networks.blocks import is_weight, penalised_parts
from admmirnn.networks.cells import CELLS, Elman, cell_named
from admmirnn.penalties import check_penalties
from admmirnn.solvers.capability import Capability

if TYPE_CHECKING:
    from collections.abc import Callable

    from admmirnn._typing import DType, FloatArray, Frame, Map, ProximalOperator
    from admmirnn.data.targets import Targets
    from admmirnn.networks import Network
    from admmirnn.solvers.interface import Solver
    from admmirnn.watching import EpochState


READ_OUTS = ("last", "mean", "max")
MOST_NETWORKS = 10_000
_MOST_BIAS: Any = float(np.finfo(np.float32).max)


def check_solver(solver: Any, known: Mapping[str, Any]) -> Solver:
    """Return the solver object that ``solver``, a name or an object, stands for."""
    if isinstance(solver, str):
        of_name: Solver = known[validation.check_choice("solver", solver, tuple(known))]()
        return of_name
    if isinstance(solver, type) or not (hasattr(solver, "solve") and hasattr(solver, "check_settings")):
        names = ", ".join(repr(name) for name in known)
        raise TypeError(f"solver is {solver!r}; pass one of the names {names} or a solver object such as Rollout()")
    declared = solver.capabilities if hasattr(solver, "capabilities") else None
    if not isinstance(declared, (set, frozenset)) or not all(isinstance(one, Capability) for one in declared):
        raise TypeError(
            f"solver is {solver!r}, whose class does not say what it can do; give it a set `capabilities` of "
            "admmirnn.Capability, such as frozenset()"
        )
    checked: Solver = solver
    checked.check_settings()
    return checked


@dataclass
class EstimatorSettings:
    """The settings that all estimators share, in Python's types.

    Attributes
    ----------
    penalty : float or None
        Weight of the ridge, in the place of "auto" if it was that; None leaves it to the solver.
    penalties : dict
        Penalties by name; empty if there are none.
    max_epochs, batch_size : int or None
        Numbers of epochs and of sequences in a minibatch; None for "auto".
    hidden_size : int or tuple of int
        Number of units; a tuple for several layers.
    s_0 : {"learn"}, ndarray or None
        State before the first step: None is zero; the states of several layers are side by side.
    frame : tuple of int
        Pair (length, stride).
    callbacks : tuple of callable
        Functions of the epoch's state.

    The others are as the parameters of `RNNClassifier`.
    """

    hidden_size: int | tuple[int, ...]
    cell: str
    activation: str
    forget_bias: float | str
    penalty: float | None
    penalties: dict[str, ProximalOperator]
    solver: Solver
    max_epochs: int | None
    batch_size: int | None
    dtype: DType
    shuffle: bool
    verbose: int
    random_state: np.random.RandomState
    scale: float
    standardize: bool | str
    missing: str
    n_threads: int
    n_networks: int
    readout: str
    frame: Frame
    bidirectional: bool
    dropout: float
    augment: dict[str, float] | None
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

    @property
    def sizes(self) -> tuple[int, ...]:
        """Hidden units of each layer."""
        return self.hidden_size if isinstance(self.hidden_size, tuple) else (self.hidden_size,)


def check_estimator_settings(
    estimator: BaseEstimator, solvers: Mapping[str, type[Solver]], *, reads_text: bool = False
) -> EstimatorSettings:
    """Return the settings that all estimators share, in Python's types, or raise unless they can be.

    Parameters
    ----------
    estimator : estimator
        Estimator whose parameters are checked.
    solvers : dict
        Known solvers by name.
    reads_text : bool, default=False
        Whether the solver has to read symbols.

    Returns
    -------
    EstimatorSettings
        Settings that are all in their ranges, and within what the solver can do.
    """
    solver = check_solver(estimator.solver, solvers)
    dtype = validation.check_dtype(estimator.dtype)
    hidden_size = check_hidden_size(estimator.hidden_size)
    cell = check_cell(estimator, solver)
    n_layers = len(hidden_size) if isinstance(hidden_size, tuple) else 1
    settings = EstimatorSettings(
        s_0=check_s_0(estimator.s_0, hidden_size, dtype),
        stateful=_check_stateful(estimator.stateful),
        bidirectional=validation.check_boolean("bidirectional", estimator.bidirectional),
        dropout=_check_dropout(estimator.dropout),
        augment=check_augment(estimator.augment),
        chunk_size=validation.check_limit("chunk_size", estimator.chunk_size, 1),
        readout=validation.check_choice("readout", estimator.readout, READ_OUTS),
        frame=check_frame(estimator.frame),
        hidden_size=hidden_size,
        cell=cell,
        activation=_check_activation(estimator.activation, cell),
        forget_bias=check_forget_bias(estimator.forget_bias, cell),
        penalty=_check_penalty(estimator.penalty, solver),
        penalties=check_penalties(estimator.penalties, penalised_parts(CELLS[cell].maps, n_layers)),
        solver=solver,
        max_epochs=_check_max_epochs(estimator.max_epochs),
        batch_size=_check_batch_size(estimator.batch_size),
        dtype=dtype,
        shuffle=validation.check_boolean("shuffle", estimator.shuffle),
        verbose=_check_verbose(estimator.verbose),
        random_state=validation.check_random_state(estimator.random_state),
        scale=validation.check_number("scale", estimator.scale, strict=True),
        standardize=_check_standardize(estimator.standardize),
        missing=validation.check_choice("missing", estimator.missing, WAYS),
        n_threads=validation.check_n_threads(estimator.n_threads),
        n_networks=validation.check_integer("n_networks", estimator.n_networks, 1, most=MOST_NETWORKS),
        **_check_watching(estimator),
        callbacks=_check_callbacks(estimator.callbacks),
    )
    check_capabilities(estimator, settings, reads_text)
    check_together(estimator, settings)
    return settings


def _check_stateful(stateful: Any) -> bool:
    """Return it; "auto", which is decided when the data are known, is False until then."""
    if validation.is_auto(stateful):
        return False
    return validation.check_boolean("stateful", stateful, alternatives=", or 'auto'")


def _check_dropout(dropout: Any) -> float:
    """Return it; "auto", which is decided when the data are known, is 0 until then."""
    if validation.is_auto(dropout):
        return 0.0
    return validation.check_number("dropout", dropout, below=1.0, alternatives=", or 'auto'")


def check_hidden_size(hidden_size: Any) -> int | tuple[int, ...]:
    """Return ``hidden_size``, a number of units, or those of several layers, of which one alone is its number."""
    if not isinstance(hidden_size, (tuple, list)):
        return validation.check_integer("hidden_size", hidden_size, 1, alternatives=", or one for each layer")
    if not hidden_size:
        raise ValueError(
            f"hidden_size is {hidden_size!r}, which has no layer; pass a number of units >= 1 for each layer"
        )
    sizes = tuple(validation.check_integer(f"hidden_size[{i}]", size, 1) for i, size in enumerate(hidden_size))
    return sizes if len(sizes) > 1 else sizes[0]


def check_cell(estimator: BaseEstimator, solver: Solver) -> str:
    """Return the name of the cell, or raise; "auto" is that of the estimator, unless something else asks for Elman's.

    That is a solver that trains no gates, an activation that they have not, or weights or penalties that only Elman's
    network has, as its b.
    """
    cell: str = validation.check_choice("cell", estimator.cell, ("auto", *CELLS))
    if cell != "auto":
        return cell
    usual: str = estimator._usual_cell
    maps = cell_named(usual).maps
    return Elman.name if Capability.CELLS not in solver.capabilities or _only_elman_has(estimator, maps) else usual


def _only_elman_has(estimator: BaseEstimator, maps: tuple[Map, ...]) -> bool:
    """Whether a setting is of Elman's network and of none with these maps; what is of neither is refused elsewhere."""
    activation, init, penalties = estimator.activation, estimator.init, estimator.penalties
    weights = [name for name in init if isinstance(name, str)] if isinstance(init, Mapping) else []
    parts = penalties if isinstance(penalties, Mapping) else {}
    return (
        (isinstance(activation, str) and activation != "tanh")
        or any(is_weight(name, Elman.maps) and not is_weight(name, maps) for name in weights)
        or any(part in penalised_parts() and part not in penalised_parts(maps) for part in parts)
    )


def _check_activation(activation: Any, cell: str) -> str:
    found: str = validation.check_choice("activation", activation, ACTIVATIONS)
    if cell != Elman.name and found != "tanh":
        raise ValueError(
            f"activation is {activation!r} and cell is {cell!r}, which always uses tanh and sigmoid; pass "
            "activation='tanh', or cell='elman'"
        )
    return found


def check_forget_bias(forget_bias: Any, cell: str) -> float | str:
    """Return ``forget_bias``, a number, "auto" or "chrono", or raise if there is no gate that has it."""
    if isinstance(forget_bias, str):
        forget_bias = validation.check_choice("forget_bias", forget_bias, ("auto", "chrono"))
    elif not isinstance(forget_bias, numbers.Real) or isinstance(forget_bias, bool):
        raise TypeError(f"forget_bias is {forget_bias!r}; pass a number, 'auto' or 'chrono'")
    elif not -_MOST_BIAS <= forget_bias <= _MOST_BIAS:
        raise ValueError(f"forget_bias is {forget_bias!r}; pass a finite number, 'auto' or 'chrono'")
    if cell == Elman.name and forget_bias != "auto":
        raise ValueError(f"forget_bias is {forget_bias!r} and cell is {cell!r}, which has no gates; pass 'auto'")
    return forget_bias if isinstance(forget_bias, str) else float(forget_bias)


def _check_standardize(standardize: Any) -> bool | str:
    if validation.is_auto(standardize):
        return "auto"
    if not isinstance(standardize, (bool, np.bool_)):
        raise TypeError(f"standardize is {standardize!r}; pass True, False, or 'auto'")
    return bool(standardize)


def _check_max_epochs(max_epochs: Any) -> int | None:
    if validation.is_auto(max_epochs):
        return None
    return validation.check_limit("max_epochs", max_epochs, 1, alternatives=", or 'auto'")


def _check_batch_size(batch_size: Any) -> int | None:
    if validation.is_auto(batch_size):
        return None
    return validation.check_limit("batch_size", batch_size, 1, alternatives=", or 'auto'")


def _check_verbose(verbose: Any) -> int:
    return validation.check_integer("verbose", int(verbose) if isinstance(verbose, (bool, np.bool_)) else verbose, 0)


def _check_penalty(penalty: Any, solver: Solver) -> float | None:
    if penalty is None:
        raise TypeError("penalty is None; pass a number >= 0, or 'auto'")
    if validation.is_auto(penalty):
        return None if Capability.OWN_PENALTY in solver.capabilities else 0.0
    return validation.check_number("penalty", penalty, alternatives=", or 'auto'")


def _check_callbacks(callbacks: Any) -> tuple[Callable[[EpochState], object], ...]:
    if callbacks is None:
        return ()
    if not isinstance(callbacks, (list, tuple)):
        raise TypeError(f"callbacks is {callbacks!r}; pass a list of functions of the epoch's state, or None")
    functions: tuple[Any, ...] = tuple(getattr(callback, "on_epoch_end", callback) for callback in callbacks)
    for function in functions:
        if not callable(function):
            raise TypeError(
                f"callbacks holds {function!r}, which cannot be called; pass functions of the epoch's state, or "
                "objects with on_epoch_end(state)"
            )
    return functions


def _check_watching(estimator: BaseEstimator) -> dict[str, Any]:
    """The settings of what goes on around a fit."""
    checkpoint = (
        validation.check_new_path(estimator.checkpoint, "checkpoint") if estimator.checkpoint is not None else None
    )
    fraction = validation.check_number("validation_fraction", estimator.validation_fraction, strict=True, below=1.0)
    return {
        "early_stopping": validation.check_boolean("early_stopping", estimator.early_stopping),
        "validation_fraction": fraction,
        "patience": validation.check_limit("patience", estimator.patience, 1),
        "tol": validation.check_number("tol", estimator.tol),
        "max_time": validation.check_number("max_time", estimator.max_time, strict=True, optional=True),
        "checkpoint": checkpoint,
        "checkpoint_every": validation.check_limit("checkpoint_every", estimator.checkpoint_every, 1),
    }


def check_capabilities(estimator: BaseEstimator, settings: EstimatorSettings, reads_text: bool) -> None:
    """Raise unless the solver can do all that is asked of it."""
    name = type(settings.solver).__name__
    asked = (
        (
            Capability.SYMBOLS,
            reads_text,
            f"solver is {estimator.solver!r}, which does not read text; pass solver='rollout'",
        ),
        (
            Capability.PENALTIES,
            estimator.penalties is not None,
            f"penalties is {estimator.penalties!r}, and {name} takes none; pass None, or solver='rollout'",
        ),
        (
            Capability.READ_OUTS,
            settings.readout != "last",
            f"readout is {settings.readout!r}, which {name} does not have; pass readout='last'",
        ),
        (
            Capability.STATES,
            settings.s_0 is not None,
            f"s_0 is {estimator.s_0!r}, which {name} does not have; pass s_0=None, or solver='rollout'",
        ),
        (
            Capability.STATES,
            settings.stateful,
            f"stateful is {estimator.stateful!r}, which {name} does not have; pass stateful=False, or solver='rollout'",
        ),
        (
            Capability.TWO_DIRECTIONS,
            settings.bidirectional,
            f"bidirectional is True, and {name} trains one direction only; pass False, or solver='rollout'",
        ),
        (
            Capability.DROPOUT,
            settings.dropout > 0,
            f"dropout is {estimator.dropout!r}, and {name} has none; pass dropout=0, or solver='rollout'",
        ),
        (
            Capability.AUGMENTATION,
            settings.augment is not None,
            f"augment is {estimator.augment!r}, and {name} reads sequences as they are; pass None, or solver='rollout'",
        ),
        (
            Capability.CELLS,
            settings.cell != Elman.name,
            f"cell is {settings.cell!r}, and {name} trains none with gates; pass cell='elman', or solver='rollout'",
        ),
        (
            Capability.LAYERS,
            len(settings.sizes) > 1,
            f"hidden_size is {estimator.hidden_size!r}, and {name} trains one layer only; pass an int, or "
            "solver='rollout'",
        ),
        (
            Capability.CHECKPOINTS,
            settings.checkpoint is not None,
            f"checkpoint is {settings.checkpoint!r}, and {name} cannot go on from one; pass None",
        ),
    )
    for capability, is_asked, message in asked:
        if is_asked and capability not in settings.solver.capabilities:
            raise ValueError(message)


def check_together(estimator: BaseEstimator, settings: EstimatorSettings) -> None:
    """Raise where settings, each of which can be, do not go together."""
    stateful = settings.stateful
    if settings.bidirectional and (settings.s_0 is not None or stateful):
        name, value = ("stateful", True) if stateful else ("s_0", estimator.s_0)
        why = "a stream has no end to read from" if stateful else "both directions start from zero"
        raise ValueError(f"{name} is {value!r} and bidirectional is True: {why}; pass only one of them")
    if settings.standardize is True and settings.scale != 1:
        raise ValueError(
            f"standardize is True and scale is {settings.scale!r}, which would have no effect; pass only one of them"
        )
    if settings.n_networks > 1 and settings.checkpoint is not None:
        raise ValueError(
            f"checkpoint is {settings.checkpoint!r} and n_networks is {settings.n_networks}: a checkpoint is of the "
            "fit of one network; pass checkpoint=None, or n_networks=1"
        )
    if stateful and settings.augment:
        raise ValueError(
            f"augment is {estimator.augment!r}, which is of whole sequences, and stateful is True; pass augment=None, "
            "or stateful=False"
        )
    if stateful and settings.readout != "last":
        raise ValueError(f"readout is {settings.readout!r}, and stateful=True reads every state; pass readout='last'")


def check_resume(settings: EstimatorSettings, resume: Any) -> None:
    """Raise unless a fit can go on from its checkpoint, if it is to."""
    if validation.check_boolean("resume", resume) and settings.checkpoint is None:
        raise ValueError("resume is True, and checkpoint is None; pass the file that the fit has written")


def check_drawn_again(estimator: Any, settings: EstimatorSettings) -> None:
    """Raise unless a fit that goes on from a checkpoint would draw the same validation data."""
    if settings.checkpoint is not None and not isinstance(estimator.random_state, numbers.Integral):
        raise ValueError(
            f"random_state is {estimator.random_state!r}, with which the validation data could not be drawn once more "
            "from a checkpoint; pass an int, or validation_data"
        )


def check_partial(estimator: Any) -> None:
    """Raise if a setting has no meaning for partial_fit."""
    if estimator.augment:
        raise ValueError(
            f"augment is {estimator.augment!r}, and the deviations of features that it goes by are those of a whole "
            "training set, which partial_fit does not know; pass None, or call fit"
        )
    for name, default in (("early_stopping", False), ("checkpoint", None)):
        if getattr(estimator, name) != default:
            raise ValueError(
                f"{name} is {getattr(estimator, name)!r}, which has no meaning for partial_fit; pass {default}"
            )


def check_frame(frame: Any) -> Frame:
    """Return ``frame``, a length, a pair (length, stride), or None, as a pair."""
    if frame is None:
        return 1, 1
    if isinstance(frame, numbers.Integral) and not isinstance(frame, bool):
        frame = (frame, frame)
    if not isinstance(frame, (tuple, list)) or len(frame) != 2:
        raise TypeError(f"frame is {frame!r}; pass a length, a pair (length, stride), or None")
    length, stride = (
        validation.check_integer(f"{name} of frame", value, 1, most=validation.MOST_OF_C)
        for name, value in zip(("length", "stride"), frame, strict=True)
    )
    return length, stride


def check_s_0(s_0: Any, hidden_size: int | tuple[int, ...], dtype: DType) -> str | FloatArray | None:
    """Return ``s_0`` as None, "learn", or an array of this dtype: a state for each unit, of all layers side by side."""
    several = isinstance(hidden_size, tuple)
    shapes = ", ".join(f"({size},)" for size in hidden_size) if isinstance(hidden_size, tuple) else f"({hidden_size},)"
    if s_0 is None:
        return None
    if isinstance(s_0, str):
        if s_0 != "learn":
            wanted = f"a list of arrays of shapes {shapes}" if several else f"an array of shape {shapes}"
            raise ValueError(f"s_0 is {s_0!r}; pass 'learn', {wanted}, or None for zero")
        return s_0
    if isinstance(hidden_size, int):
        return _check_state("s_0", s_0, hidden_size, dtype)
    if not isinstance(s_0, (list, tuple)) or len(s_0) != len(hidden_size):
        raise ValueError(
            f"s_0 does not have one array for each of the {len(hidden_size)} layers; pass a list of arrays of the "
            f"shapes {shapes}"
        )
    return np.concatenate(
        [
            _check_state(f"s_0[{i}]", one, size, dtype)
            for i, (one, size) in enumerate(zip(s_0, hidden_size, strict=True))
        ]
    )


def _check_state(name: str, state: Any, size: int, dtype: DType) -> FloatArray:
    with np.errstate(over="ignore"):
        found: FloatArray = validation.as_numbers(state, name, np.float64).astype(dtype)
    if found.shape != (size,):
        raise ValueError(f"{name} has the shape {found.shape}; pass one state for each hidden unit, ({size},)")
    if not np.isfinite(found).all():
        raise ValueError(f"{name} contains NaN or infinity, as {found.dtype}; pass finite states")
    return found


def check_init(init: Any, shapes: Mapping[str, tuple[int, ...]], dtype: DType) -> dict[str, FloatArray]:
    """Return the initial weights given by ``init`` as arrays of ``dtype``, those that are there.

    Parameters
    ----------
    init : dict or None
        Arrays by the names of weights; any of them may be missing.
    shapes : dict
        Shapes of the weights, by the known names.
    dtype : dtype
        Precision of the weights, float32 or float64.
    """
    if init is None:
        return {}
    if not isinstance(init, dict):
        raise TypeError(
            f"init is of type {type(init).__name__}; pass a dict with any of the keys {', '.join(shapes)}, or None"
        )
    weights = {}
    for name, values in init.items():
        validation.check_choice("a key of init", name, tuple(shapes))
        array = validation.as_numbers(values, f"init[{name!r}]", dtype)
        if array.shape != shapes[name]:
            raise ValueError(
                f"init[{name!r}] has the shape {array.shape}; for these data and settings it must be {shapes[name]}"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"init[{name!r}] contains NaN or infinity; pass finite weights")
        weights[name] = array
    return weights


def check_targets_suit(settings: EstimatorSettings, targets: Targets) -> None:
    """Raise unless targets are of the kind that the read-out, streams or an augmentation ask for."""
    if targets.every_step and (settings.augment or {}).get("shift"):
        raise ValueError(
            "augment has a 'shift', which leaves steps out, and y has a target for each step; pass noise and scale only"
        )
    if targets.every_step and settings.readout != "last":
        raise ValueError(f"readout is {settings.readout!r} and y has a target for each step; pass readout='last'")
    if settings.stateful and not targets.every_step:
        raise ValueError(
            "stateful is True and y has one target per sequence; pass one for each step, or stateful=False"
        )


def check_same_network(estimator: BaseEstimator, settings: EstimatorSettings, network: Network, **more: object) -> None:
    """Raise unless settings, and ``more`` of them by name, are those that the network was made with."""
    fitted = {
        "hidden_size": network.hidden_size,
        "cell": network.cell.name,
        "activation": network.activation,
        "readout": network.read_out,
        "bidirectional": len(network.layers[0]) == 2,
        "dtype": network.dtype,
    }
    is_standardized = more.pop("feature_mean", None) is not None
    if settings.standardize not in ("auto", is_standardized):
        raise ValueError(
            f"standardize is {settings.standardize!r}, and features were {'' if is_standardized else 'not '}"
            "standardised when training began; pass 'auto', or call fit"
        )
    for name, value in (fitted | more).items():
        if getattr(settings, name) != value:
            raise ValueError(f"{name} is {getattr(settings, name)!r}, and was {value!r} when training began; call fit")
    if (settings.s_0 is None) != (network.s_0 is None):
        raise ValueError(f"s_0 is {estimator.s_0!r}, and was of another kind when training began; call fit")
    if isinstance(settings.s_0, np.ndarray) and (settings.s_0 != network.s_0).any():
        raise ValueError(f"s_0 is {estimator.s_0!r}, and s_0_ of the fitted network is not; pass s_0_, or call fit")


def check_fitted_frame(name: str, value: Any) -> None:
    """Raise unless this is a pair of integers, (length, stride)."""
    if not isinstance(value, tuple) or len(value) != 2:
        raise ValueError(f"{name} is not a pair (length, stride)")
    check_frame(value)
