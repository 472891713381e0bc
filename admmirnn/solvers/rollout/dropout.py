"""Dropout: units of a layer that those who read its states do not see, of each sequence others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admmirnn.networks.room import Room


class Dropout:
    """The masks of all rooms of a fit, a row for each sequence, which it keeps at all of its steps.

    A unit is seen with the probability 1 - p, and then 1 / (1 - p) times as large.

    Parameters
    ----------
    p : float
        Probability, > 0 and < 1.
    rooms : sequence of Room
        Rooms that have a mask.
    random_state : RandomState
        Generator that the seed of the generator of masks is drawn from.
    rank : int or None, default=None
        Number of this worker among several, who all have the same generator, and each of them other masks.

    Attributes
    ----------
    random_state : RandomState
        Generator of masks: one of its own, which calls of `partial_fit` with one seed hand on.
    """

    def __init__(
        self, p: float, rooms: Sequence[Room], random_state: np.random.RandomState, rank: int | None = None
    ) -> None:
        self._p, self._masks = p, [room.mask for room in rooms if room.mask is not None]
        self.random_state: np.random.RandomState = np.random.RandomState(random_state.randint(1 << 31))
        self._rank = rank

    def draw(self, n_sequences: int) -> None:
        """Draw the masks of a minibatch."""
        random_state = self.random_state
        if self._rank is not None:
            random_state = np.random.RandomState([random_state.randint(1 << 31), self._rank])
        for mask in self._masks:
            shape = n_sequences, mask.shape[1]
            mask[:n_sequences] = (random_state.random_sample(shape) >= self._p) / (1 - self._p)

    def rest(self) -> None:
        """Let all units be seen, as they are."""
        for mask in self._masks:
            mask[:] = 1

    def remember(self, random_state: np.random.RandomState) -> None:
        """Go on from the generator of another fit."""
        self.random_state.set_state(random_state.get_state())
