"""The linear maps of a layer, in the twins of sweeps: their parts, and what all of them make together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admmirnn._typing import AnyCell, FloatArray, Map


class Parts:
    """A map's matrix, [U W b] or a part of it.

    Attributes
    ----------
    U, W : ndarray of shape (p, d), (p, n), or None
        What takes the observation and the state before, if it does.
    biases : ndarray of shape (p, n_ones)
        One for each of the equations that its rows are part of.
    columns : slice
        Of pre-activations, and of their multipliers.
    has_own_biases : bool
        Whether these are added with the observation, as [U b] [x 1].
    """

    def __init__(self, of: Map, matrix: FloatArray, d: int, n: int) -> None:
        letters = [part for part, _ in of.columns]
        n_x, n_s = (d if "x" in letters else 0), (n if "s" in letters else 0)
        self.n_ones: int = letters.count("1")
        self.U = matrix[:, :n_x] if n_x else None
        self.W = matrix[:, n_x : n_x + n_s] if n_s else None
        self.biases: FloatArray = matrix[:, n_x + n_s :]
        self.columns: slice = slice(of.first * n, of.first * n + len(matrix))
        self.has_own_biases: bool = n_x > 0 and self.n_ones == 1

    def equations(self, n: int) -> list[slice]:
        """The columns of the multipliers of its equations."""
        begin, end = self.columns.start, self.columns.stop
        return [slice(begin + one * n, end + one * n) for one in range(self.n_ones)]


def parts_of(cell: AnyCell, matrices: Sequence[FloatArray], d: int, n: int) -> list[Parts]:
    """Those of all maps of a cell."""
    return [Parts(of, matrix, d, n) for of, matrix in zip(cell.maps, matrices, strict=True)]


def biases_of(parts: Sequence[Parts]) -> FloatArray | None:
    """Those that are not added with the observation, side by side, or None if there are none."""
    found = [part.biases.T.ravel() for part in parts if not part.has_own_biases]
    return np.concatenate(found) if found else None


def pre_activations(parts: Sequence[Parts], n_columns: int, x: FloatArray, s: FloatArray) -> FloatArray:
    """A row for each of x and s: what all maps make of [x, s, 1]; where a row is part of two equations, without b."""
    A = np.zeros((len(x), n_columns), s.dtype)
    for part in parts:
        of_map = A[:, part.columns]
        if part.U is not None:
            of_map += x @ part.U.T
        if part.W is not None:
            of_map += s @ part.W.T
        if part.n_ones == 1:
            of_map += part.biases[:, 0]
    return A


def of_pre_activations(parts: Sequence[Parts], equations: FloatArray, n: int) -> FloatArray:
    """The multipliers of what maps make: those of the equations, or sums of them, where a row is part of two."""
    if all(part.n_ones == 1 for part in parts):
        return equations
    columns = [sum(equations[:, one] for one in part.equations(n)) for part in parts]
    return np.hstack(columns).astype(equations.dtype, copy=False)


def through_W(parts: Sequence[Parts], multipliers: FloatArray, n: int) -> FloatArray:
    """The sum over maps of multipliers @ W."""
    found = np.zeros((len(multipliers), n), multipliers.dtype)
    for part in parts:
        if part.W is not None:
            found += multipliers[:, part.columns] @ part.W
    return found


def through_U(parts: Sequence[Parts], multipliers: FloatArray, d: int) -> FloatArray:
    """The sum over maps of multipliers @ U."""
    found = np.zeros((len(multipliers), d), multipliers.dtype)
    for part in parts:
        if part.U is not None:
            found += multipliers[:, part.columns] @ part.U
    return found


def n_separate_biases(cell: AnyCell) -> int:
    """How many biases of a hidden unit are not added with the observation: of the step, and of maps that read none."""
    return cell.n_biases + cell.n_columns - cell.columns_of_x
