"""Initial weights of the maps of a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from admmirnn import backend

if TYPE_CHECKING:
    from collections.abc import Mapping

    from admmirnn._typing import FloatArray
    from admmirnn.networks.cells.maps import Map


def orthogonal(n: int, random_state: np.random.RandomState) -> FloatArray:
    """An orthogonal matrix, uniform over their group."""
    with backend.one_blas_thread():
        Q, R = np.linalg.qr(random_state.standard_normal((n, n)))
    matrix: FloatArray = Q * np.sign(np.diag(R))
    return matrix


def start_gates(
    maps: tuple[Map, ...],
    keeps: str,
    weights: Mapping[str, FloatArray],
    n_not_zero: int,
    random_state: np.random.RandomState,
) -> None:
    """Write initial weights of a cell with gates.

    Every block that multiplies states is orthogonal, those that multiply observations are normal with variance
    1 / n_not_zero, biases are zero, and the one called ``keeps``, of the gate that keeps the past, is one.
    """
    for one in maps:
        for part, letter in one.columns:
            for name in one.names(letter):
                block = weights[name]
                if part == "x":
                    block[:] = random_state.standard_normal(block.shape) / np.sqrt(n_not_zero)
                elif part == "s":
                    block[:] = orthogonal(len(block), random_state)
                else:
                    block[:] = name == keeps
