"""The linear maps of a layer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Map:
    """A matrix of weights, by which z = [x_t, s_{t-1}, 1], or a part of it, becomes pre-activations.

    Attributes
    ----------
    name : str
        Of the matrix: "Theta".
    blocks : tuple of (str, str)
        Its blocks in the order of its columns: what of z they are multiplied by, "x", "s" or "1", and what they are
        called.
    rows_per_unit : int, default=1
        How many pre-activations of a hidden unit it makes: p / n.  The first n rows are those of the first one.
    """

    name: str
    blocks: tuple[tuple[str, str], ...]
    rows_per_unit: int = 1
