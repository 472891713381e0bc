"""Whether what a solver is given is usable: the arguments of ``solve``, and that network and data belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from admmirnn import validation
from admmirnn.data.sequences import OBSERVATION_DTYPES, Sequences, Streams
from admmirnn.losses import Loss, UserLoss
from admmirnn.networks import RNN, StackedRNN

if TYPE_CHECKING:
    from collections.abc import Collection

    from admmirnn._typing import Array
    from admmirnn.losses import AnyLoss
    from admmirnn.networks import Network


def check_max_iter(max_iter: object) -> None:
    """Raise unless the setting is a number of iterations, or None."""
    if max_iter is not None:
        validation.check_limit("max_iter", max_iter, 1, alternatives=", or None")


def check_objects(network: Any, sequences: Any, loss: Any, *, streams: bool = False) -> None:
    """Raise unless these are objects of admmirnn that a solver works on; ``streams`` allows `Streams`."""
    if not isinstance(network, (RNN, StackedRNN)):
        raise TypeError(f"network is of type {type(network).__name__}; pass one of admmirnn.networks")
    if not isinstance(sequences, (Sequences, Streams) if streams else Sequences):
        kind = type(sequences).__name__
        raise TypeError(f"sequences is of type {kind}; pass Sequences of admmirnn.data.sequences, as estimators do")
    if not isinstance(loss, (Loss, UserLoss)):
        raise TypeError(f"loss is of type {type(loss).__name__}; pass one of admmirnn.losses, or a UserLoss")


def check_calls(on_epoch_end: Any, limits: Any, checkpoint: Any, resume: Any) -> None:
    """Raise unless what a solver calls can be called, and what it goes on from is a history and a state."""
    validation.check_function("on_epoch_end", on_epoch_end)
    validation.check_function("checkpoint", checkpoint)
    if limits is not None:
        validation.check_methods("limits", limits, ("reached", "progress"), "an object that has it, or None")
    is_pair = isinstance(resume, (tuple, list)) and len(resume) == 2
    if resume is not None and not (is_pair and isinstance(resume[0], list) and isinstance(resume[1], dict)):
        raise TypeError(f"resume is of type {type(resume).__name__}; pass the history and the state of a checkpoint")


def check_run(
    penalty: Any, max_epochs: Any, batch_size: Any, shuffle: Any = True, *, penalty_may_be_none: bool = False
) -> None:
    """Raise unless these arguments of a solver's ``solve`` are in their ranges."""
    validation.check_boolean("shuffle", shuffle)
    validation.check_number("penalty", penalty, optional=penalty_may_be_none)
    validation.check_limit("max_epochs", max_epochs, 1)
    if batch_size is not None:
        validation.check_limit("batch_size", batch_size, 1, alternatives=", or None")


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
    targets = validation.as_they_are("targets", targets)
    if weights is not None:
        weights = validation.as_they_are("weights", weights)
        if weights.ndim != 1 or not len(weights):
            raise ValueError(f"weights has the shape {weights.shape}; pass one per sequence or one per step")
    if loss.takes_labels and len(targets):
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
        least = np.maximum.reduceat(weights, sequences.first_steps) if of_steps else weights
        least = np.max(weights) if any_missing else least
        if not (np.isfinite(weights).all() and np.min(weights) >= 0 and np.min(least) > 0):
            raise ValueError(
                "weights has values that are not finite or not positive; leave out the sequences that they belong to"
            )
    if sequences.n_features != network.n_features:
        raise ValueError(
            f"sequences have {sequences.n_features} features and the network reads {network.n_features}; pass "
            "sequences with as many"
        )
    if sequences.n_symbols:
        check_symbols(sequences, symbols)
    if sequences.observations.dtype not in OBSERVATION_DTYPES:
        known = ", ".join(dtype.name for dtype in OBSERVATION_DTYPES)
        raise ValueError(f"sequences are {sequences.observations.dtype}; convert them to one of {known}")
    for name, values in (("targets", targets), ("weights", weights)):
        if values is None or len(values) == len(sequences):
            continue
        if not per_step:
            raise ValueError(f"{name} has {len(values)} entries for {len(sequences)} sequences; pass one per sequence")
        if len(values) != sequences.lengths.sum():
            raise ValueError(
                f"{name} has {len(values)} entries for {len(sequences)} sequences of {sequences.lengths.sum()} steps; "
                "pass one per sequence or one per step"
            )


def check_symbols(sequences: Sequences, taken: bool = True) -> None:
    """Raise unless symbols are ``taken``, and these are codes of so many of them."""
    codes = sequences.observations
    if not taken:
        raise ValueError("sequences are symbols, which this solver does not read; use Rollout")
    is_other = not isinstance(codes, np.ndarray) or codes.dtype not in (np.uint8, np.uint16)
    if is_other or codes.shape[1] != 1 or sequences.frame != 1 or sequences.scale != 1:
        raise ValueError("sequences of symbols must be one column of uint8 or uint16, without frames or a scale")
    assert isinstance(codes, np.ndarray)
    if codes.size and codes.max() >= sequences.n_symbols:
        raise ValueError(
            f"sequences hold the code {codes.max()}, and n_symbols is {sequences.n_symbols}; pass codes below that"
        )
