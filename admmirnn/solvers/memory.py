"""What a solver leaves to a later call, and how that and other dataclasses become the dicts that a checkpoint holds."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from admmirnn._typing import FloatArray


@dataclass(kw_only=True)
class Memory:
    """What a call of ``solve`` leaves for the next one to go on from; a solver adds fields of its own.

    Attributes
    ----------
    states : ndarray of shape (n_streams, n) or None
        States in which the streams have ended; None lets the next ones start from s_0.
    """

    states: FloatArray | None = None

    @property
    def is_of_a_fit(self) -> bool:
        """Whether a whole fit has left it, and no call of `partial_fit`: a pickle of the estimator leaves it out."""
        return False


def as_dict(value: Any) -> dict[str, Any]:
    """A dataclass as a dict, and so are those within it and within its lists; arrays are the same.

    A key is the name of the field, or what its metadata have for "key".
    """
    return {of.metadata.get("key", of.name): _plain(getattr(value, of.name)) for of in fields(value)}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return as_dict(value)
    return [_plain(item) for item in value] if isinstance(value, list) else value
