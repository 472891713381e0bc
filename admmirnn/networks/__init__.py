"""Networks: their weights in the blocks that the solvers work on, and rolling out."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from admmirnn.networks.blocks import n_directions
from admmirnn.networks.rnn import RNN, ElmanRNN, rnn_of
from admmirnn.networks.stacked import StackedRNN
from admmirnn.networks.start import new_network

if TYPE_CHECKING:
    from collections.abc import Mapping

    from admmirnn._typing import AnyCell, FloatArray

__all__ = [
    "RNN",
    "ElmanRNN",
    "Network",
    "StackedRNN",
    "check_elman",
    "check_one_direction",
    "layers_of_one_direction",
    "network_of",
    "new_network",
]

Network: TypeAlias = RNN | StackedRNN


def network_of(weights: Mapping[str, FloatArray], *, cell: AnyCell, read_out: str) -> Network:
    """The network with the given weights by name, which are copied."""
    if n_directions(weights) == (1,):
        return rnn_of(weights, cell=cell, read_out=read_out)
    return StackedRNN.of_weights(weights, cell=cell, read_out=read_out)


def check_one_direction(network: Network, why: str) -> None:
    """Raise if the network reads sequences from both ends."""
    if any(len(directions) > 1 for directions in network.layers):
        raise ValueError(f"the network is bidirectional, and {why}")


def layers_of_one_direction(network: Network, why: str) -> list[RNN]:
    """Return the network's layers, or raise if it reads sequences from both ends."""
    check_one_direction(network, why)
    return [direction for (direction,) in network.layers]


def check_elman(network: Network, why: str) -> ElmanRNN:
    """Return the network, or raise unless it has one layer of the cell "elman", and one direction."""
    found, *above = layers_of_one_direction(network, why)
    if above or not isinstance(found, ElmanRNN):
        cell = found.cell.name
        raise ValueError(f"the network has {len(network.layers)} layer(s) of the cell {cell!r}, and {why}")
    return found
