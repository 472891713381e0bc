"""What stands between the sums over a minibatch and the running statistics: here one process, which has all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from admmirnn._typing import AddedUp


class OneProcess:
    """The `Reducer` of a process that works alone: its own sums are those of the whole minibatch."""

    def sum(self, sums: AddedUp, /) -> None:
        """Leave the sums as they are."""
