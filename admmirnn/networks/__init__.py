"""Networks: their weights in the blocks that the solvers work on, and rolling out."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from admmirnn.networks.bidirectional import BidirectionalRNN
from admmirnn.networks.blocks import n_directions
from admmirnn.networks.elman import ElmanRNN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from admmirnn._typing import FloatArray

__all__ = ["BidirectionalRNN", "ElmanRNN", "Network", "check_one_direction", "network_of"]

Network: TypeAlias = ElmanRNN | BidirectionalRNN


def network_of(weights: Mapping[str, FloatArray], *, activation: str, read_out: str) -> Network:
    """The network with the given weights by name, which are copied."""
    of_kind = BidirectionalRNN if n_directions(weights) == 2 else ElmanRNN
    return of_kind.of_weights(weights, activation=activation, read_out=read_out)


def check_one_direction(network: Network, why: str) -> ElmanRNN:
    """Return the network, or raise if it reads sequences from both ends."""
    if len(network.layers[0]) > 1:
        raise ValueError(f"the network is bidirectional, and {why}")
    return network.layers[0][0]
