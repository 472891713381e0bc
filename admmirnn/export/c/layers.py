"""A network as the C sources have it: of each layer, the products that make its pre-activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from admmirnn.export.network import stacked
from admmirnn.networks.blocks import INITIAL

if TYPE_CHECKING:
    from admmirnn.export.network import Direction, Network


class _Order(NamedTuple):
    """How the pre-activations of a cell follow one another: n of each part.

    ``U`` and ``W`` are products by their blocks, with the number of the part that their first rows belong to; ``b`` are
    what pre-activations start from, None standing for zeros; ``b_of_gates`` is added by the cell itself.
    """

    U: tuple[tuple[int, tuple[str, ...]], ...]
    W: tuple[tuple[int, tuple[str, ...]], ...]
    b: tuple[str | None, ...]
    b_of_gates: tuple[str, ...] = ()


_ORDERS = {
    "elman": _Order(((0, ("U",)),), ((0, ("W",)),), ("b",)),
    "fastgrnn": _Order(((0, ("U",)),), ((0, ("W",)),), (None,), ("b_z", "b_c")),
    "ugrnn": _Order(((0, ("U_z", "U_c")),), ((0, ("W_z", "W_c")),), ("b_z", "b_c")),
    "gru": _Order(((0, ("U_z", "U_r", "U_c")),), ((0, ("W_z", "W_r")), (3, ("W_c",))), ("b_z", "b_r", "b_c", "b_s")),
    "lstm": _Order(
        ((0, ("U_i", "U_f", "U_g", "U_o")),), ((0, ("W_i", "W_f", "W_g", "W_o")),), ("b_i", "b_f", "b_g", "b_o")
    ),
}


@dataclass(frozen=True)
class Product:
    """A matrix times what a layer reads, added to some of its pre-activations.

    Attributes
    ----------
    name : str
        Name of its constant in C: "U_1", or "W_1" and "W_1_2" of the first layer.
    matrix : ndarray of shape (n_rows, n_columns), float32
        Weights of the product.
    of_state : bool
        Whether it is multiplied by the state of the layer, and not by what the layer reads.
    first : int
        Number of the pre-activation that its first row belongs to.
    """

    name: str
    matrix: np.ndarray
    of_state: bool
    first: int


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes
    ----------
    number : int
        Number of the layer, from 1.
    n, n_read : int
        Number of units, and of values that the layer reads in a step.
    products : tuple of Product
        Products of the layer with all of its matrices.
    b : ndarray of shape (n_parts * n,)
        Biases, from which its pre-activations start.
    b_of_gates : ndarray of shape (2 * n,) or (0,)
        Biases that the gate and the candidate of the cell "fastgrnn" add to the pre-activation that they share.
    initial : dict
        Initial states "s_0" and "c_0", where these are not zero.
    """

    number: int
    n: int
    n_read: int
    products: tuple[Product, ...]
    b: np.ndarray
    b_of_gates: np.ndarray
    initial: dict[str, np.ndarray]

    @property
    def n_parts(self) -> int:
        """How many pre-activations a unit has."""
        return len(self.b) // self.n


def layers_of(network: Network) -> tuple[Layer, ...]:
    """The layers of a network of one direction, from the first one up."""
    return tuple(
        _layer_of(_ORDERS[network.cell], number, direction) for number, (direction,) in enumerate(network.layers, 1)
    )


def _layer_of(order: _Order, number: int, direction: Direction) -> Layer:
    n = next(len(block) for part, block in direction.items() if part[0] == "b")
    products = []
    for letter, of_letter in (("U", order.U), ("W", order.W)):
        for k, (part, blocks) in enumerate(of_letter, 1):
            name = f"{letter}_{number}" if k == 1 else f"{letter}_{number}_{k}"
            products.append(Product(name, stacked(direction, blocks), letter == "W", part * n))
    return Layer(
        number=number,
        n=n,
        n_read=products[0].matrix.shape[1],
        products=tuple(products),
        b=stacked(direction, order.b),
        b_of_gates=stacked(direction, order.b_of_gates) if order.b_of_gates else np.zeros(0, np.float32),
        initial={part: direction[part] for part in INITIAL if part in direction},
    )
