"""Streams that several networks read, whose answers are averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from admmirnn._typing import Array, FloatArray


class AverageReader:
    """Reads observations by several networks, and writes the mean of their answers.

    The states of all networks are side by side in one state.  They move together, or not at all: what each network
    reads from and writes to is a copy, which is put back when all have read.

    Parameters
    ----------
    reads : list of callable
        Functions ``read(x, outputs)``, one for each network, which return 0, or a code that says what is wrong.
    parts : list of StreamState
        States of the streams of each network, which these functions read and write.
    whole : StreamState
        State of the streams as users see it: the states, and pooled states, of all networks side by side.
    """

    def __init__(self, reads: Sequence[Callable[[Array, FloatArray], int]], parts: Sequence[Any], whole: Any) -> None:
        self._reads, self._parts, self._whole = reads, parts, whole

    def read(self, x: Array, outputs: FloatArray) -> int:
        """Read one observation of each stream, or many, and write the outputs."""
        total, of_one = np.zeros_like(outputs), np.empty_like(outputs)
        for read, part, columns in zip(self._reads, self._parts, self._columns(), strict=True):
            for name, mine in columns:
                np.copyto(getattr(part, name), mine)
            outcome = read(x, of_one)
            if outcome:
                return outcome
            total += of_one
        for part, columns in zip(self._parts, self._columns(), strict=True):
            for name, mine in columns:
                np.copyto(mine, getattr(part, name))
        np.divide(total, len(self._reads), out=outputs)
        return 0

    def _columns(self) -> list[list[tuple[str, Array]]]:
        """For each network, the names of its arrays and the views of what is theirs in the state of all."""
        found, begin = [], {"states": 0, "pooled": 0}
        for part in self._parts:
            views = [("recent", self._whole.recent), ("n_read", self._whole.n_read)]
            for name, first in begin.items():
                own = getattr(part, name)
                if own is not None:
                    begin[name] = first + own.shape[2]
                    views.append((name, getattr(self._whole, name)[:, :, first : begin[name]]))
            found.append(views)
        return found


def side_by_side(arrays: Sequence[Any]) -> Any:
    """Arrays of several networks along their last axis; None if they are."""
    return None if arrays[0] is None else np.concatenate(arrays, axis=-1)
