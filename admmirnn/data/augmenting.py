"""Random changes of training sequences, other ones each time they are read, so that a small set teaches more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from admmirnn import validation
from admmirnn.data.sequences import Streams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from admmirnn._typing import Array, BoolArray, IntArray
    from admmirnn.data.sequences import Minibatch, Sequences
    from admmirnn.data.standardising import Moments

CHANGES = ("noise", "scale", "shift")


@dataclass(frozen=True)
class Augmentation:
    """How sequences are changed, and what features are like.

    Attributes
    ----------
    noise : float
        Standard deviation of the normal noise that is added to every observation, as a share of the feature's own.
    scale : float
        Standard deviation of the logarithm of what a feature's differences from its mean are multiplied by, drawn for
        each sequence and feature.
    shift : float
        The largest share of the steps of a sequence that is left out, at its beginning or at its end.
    mean, deviation : ndarray of shape (n_channels,)
        Means and standard deviations of the features over the training set.  A feature with the deviation 0 is not
        changed.
    """

    noise: float
    scale: float
    shift: float
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def of(cls, changes: Mapping[str, float], moments: Moments, fixed: BoolArray | None = None) -> Augmentation:
        """The changes that `check_augment` has returned; features that are ``fixed`` stay as they are."""
        deviation = moments.deviation if fixed is None else np.where(fixed, 0.0, moments.deviation)
        return cls(**{name: changes.get(name, 0.0) for name in CHANGES}, mean=moments.mean, deviation=deviation)

    def minibatch(self, sequences: Sequences, indices: IntArray, seed: Any) -> Minibatch:
        """The `Minibatch` of the sequences with these indices, changed as the seed has it."""
        random = np.random.Generator(np.random.SFC64(seed))
        left_out = self._left_out(sequences.lengths[indices], random) if self.shift else None
        batch = sequences.minibatch(indices, left_out)
        if not (self.noise or self.scale):
            return batch
        batch, counts = batch.with_own_observations()
        assert isinstance(batch.observations, np.ndarray)
        with np.errstate(over="ignore", invalid="ignore"):  # a loss that is not finite is told
            self._change(batch.observations, counts, random)
        return batch

    def _left_out(self, lengths: IntArray, random: np.random.Generator) -> tuple[IntArray, IntArray]:
        """Numbers of steps to leave out at the beginning and at the end of each sequence; at least one step remains."""
        most = np.minimum(np.ceil(self.shift * lengths).astype(np.intp), lengths - 1)
        n = random.integers(0, most + 1)
        is_beginning = random.random(len(lengths)) < 0.5
        return np.where(is_beginning, n, 0), np.where(is_beginning, 0, n)

    def _change(self, observations: Array, counts: IntArray, random: np.random.Generator) -> None:
        """Change observations in place, of which so many belong to each sequence."""
        dtype = observations.dtype
        if self.scale:
            factors = np.exp(self.scale * random.standard_normal((len(counts), observations.shape[1])))
            factors[:, self.deviation == 0] = 1
            observations -= self.mean.astype(dtype)
            observations *= np.repeat(factors.astype(dtype), counts, axis=0)
            observations += self.mean.astype(dtype)
        if self.noise:
            of_noise = random.standard_normal(observations.shape, dtype)
            of_noise *= (self.noise * self.deviation).astype(dtype)
            observations += of_noise


def check_augment(augment: Any) -> dict[str, float] | None:
    """Return ``augment`` as the numbers of some of `CHANGES`, None where there is nothing to change."""
    if augment is None:
        return None
    known = ", ".join(repr(name) for name in CHANGES)
    if not isinstance(augment, Mapping):
        raise TypeError(f"augment is {augment!r}; pass a dict with any of the keys {known}, such as {{'noise': 0.1}}")
    found = {}
    for name, value in augment.items():
        validation.check_choice("a key of augment", name, CHANGES)
        below = 1.0 if name == "shift" else np.inf
        found[name] = validation.check_number(f"augment[{name!r}]", value, below=below)
    return found if any(found.values()) else None


def check_augmented(augmentation: Augmentation | None, sequences: Sequences | Streams, targets: Array) -> None:
    """Raise unless a solver can change these sequences so."""
    if augmentation is None:
        return
    if not isinstance(augmentation, Augmentation):
        raise TypeError(f"augmentation is of type {type(augmentation).__name__}; pass an Augmentation, or None")
    if isinstance(sequences, Streams) or sequences.n_symbols:
        raise ValueError(
            "augment is given, but only whole sequences of numbers can be changed; pass None for streams and symbols"
        )
    if augmentation.shift and len(targets) != len(sequences):
        raise ValueError(
            "augment has a shift, which leaves steps out, and there are targets for steps; pass a shift of 0"
        )
