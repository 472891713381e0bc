"""The linear maps of a layer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Map:
    """A matrix of weights, by which z = [x_t, s_{t-1}, 1], or a part of it, becomes pre-activations.

    A block of it is where the rows of a gate meet columns of a letter: W_z, or W where gates have no names.

    Attributes
    ----------
    name : str
        Name of the matrix: "Theta".
    columns : tuple of (str, str)
        Columns of the matrix, in order: the part of z which they take, "x", "s" or "1", and the letter of the blocks.
    rows : tuple of str, default=("",)
        The gates whose pre-activations it makes, n rows of the matrix for each.
    first : int, default=0
        Where its pre-activations begin among those of the layer, in units of n.
    """

    name: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[str, ...] = ("",)
    first: int = 0

    @property
    def rows_per_unit(self) -> int:
        """How many pre-activations of a hidden unit it makes."""
        return len(self.rows)

    @property
    def n_equations(self) -> int:
        """In how many equations each of its rows has part; each of them has a bias of its own."""
        return [part for part, _ in self.columns].count("1")

    def names(self, letter: str) -> tuple[str, ...]:
        """The blocks of these columns, one for each gate."""
        return tuple(f"{letter}_{gate}" if gate else letter for gate in self.rows)
