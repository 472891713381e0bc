"""The twin of ``_kernels/_stepping.pyx``: layers of one direction that go on step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from admmirnn.reference.maps import biases_of, parts_of, pre_activations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admmirnn._typing import FloatArray


class Layer(Protocol):
    """What a step needs to know of a layer."""

    @property
    def n_hidden(self) -> int:
        """Its units."""

    @property
    def cell(self) -> Any:
        """What makes states."""

    @property
    def maps(self) -> Sequence[FloatArray]:
        """The matrices of the cell's maps."""


class Layers:
    """Layers, of which the first one reads d numbers, or one of d symbols as a row of zeros and a one.

    Attributes
    ----------
    n_hidden : int
        Units of the last one.
    n_carried : int
        Numbers of all states and cell states.
    """

    n_carried: int
    n_hidden: int

    def __init__(self, kernel: str, layers: Sequence[Layer], d: int, dtype: np.dtype[Any]) -> None:
        self.n_carried, self.n_hidden = 0, d
        self._layers = []
        for layer in layers:
            check_layer(kernel, layer, self.n_hidden, dtype)
            parts = parts_of(layer.cell, layer.maps, self.n_hidden, layer.n_hidden)
            self._layers.append((layer.cell, parts, biases_of(parts), layer.n_hidden))
            self.n_hidden = layer.n_hidden
            self.n_carried += layer.n_hidden * (2 if layer.cell.has_cell_state else 1)
        if not self._layers or d < 1:
            raise ValueError(
                f"{kernel}: there are {len(self._layers)} layers, of which the first reads {d} numbers; both must be "
                "at least 1"
            )

    def step(self, x: FloatArray, carried: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The states of the last layer, and what is carried on; rows are sequences."""
        found, end = [], 0
        for cell, parts, biases, n in self._layers:
            begin, end = end, end + n * (2 if cell.has_cell_state else 1)
            s, c = carried[:, begin : begin + n], carried[:, begin + n : end] if cell.has_cell_state else None
            A = pre_activations(parts, cell.n_columns * n, x, s)
            if cell.n_kept == 0:
                x = cell.step(A)
                found.append(x)
                continue
            _, x, c = cell.step(A, s, biases, c)
            found += [x] if c is None else [x, c]
        return x, np.hstack(found)


def check_layer(kernel: str, layer: Layer, d: int, dtype: np.dtype[Any]) -> None:
    """Raise unless the matrices of a layer's maps have their shapes, and the type of all numbers."""
    n, sizes = layer.n_hidden, {"x": d, "s": layer.n_hidden, "1": 1}
    expected = [(of.rows_per_unit * n, sum(sizes[part] for part, _ in of.columns)) for of in layer.cell.maps]
    found = [matrix.shape for matrix in layer.maps]
    if n < 1 or found != expected:
        raise ValueError(f"{kernel}: maps of a layer of {n} units have the shapes {found}; they must be {expected}")
    types = {matrix.dtype for matrix in layer.maps}
    if types != {dtype}:
        raise ValueError(f"{kernel}: maps of a layer are {types}; they must be {dtype}, as the outputs' weights are")
