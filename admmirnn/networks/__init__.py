"""Networks: their weights in the blocks that the solvers work on, and rolling out."""

from __future__ import annotations

from typing import TypeAlias

from admmirnn.networks.bidirectional import BidirectionalRNN
from admmirnn.networks.elman import ElmanRNN

__all__ = ["BidirectionalRNN", "ElmanRNN", "Network", "check_one_direction"]

Network: TypeAlias = ElmanRNN | BidirectionalRNN


def check_one_direction(network: Network, why: str) -> ElmanRNN:
    """Return the network, or raise if it reads sequences from both ends."""
    if len(network.directions) > 1:
        raise ValueError(f"the network is bidirectional, and {why}")
    return network.directions[0]
