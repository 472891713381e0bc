"""Cells: how a layer's pre-activations become its states.  Each has a module of its own, and a row of `CELLS`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admmirnn.networks.cells.elman import Elman
from admmirnn.networks.cells.fastgrnn import FastGRNN
from admmirnn.networks.cells.gru import GRU
from admmirnn.networks.cells.lstm import LSTM
from admmirnn.networks.cells.maps import Map
from admmirnn.networks.cells.ugrnn import UGRNN

if TYPE_CHECKING:
    from admmirnn._typing import GatedCell

__all__ = ["CELLS", "GATED", "GRU", "LSTM", "UGRNN", "Elman", "FastGRNN", "Map", "cell_named"]

# by the names by which kernels know them
GATED: dict[str, type[GatedCell]] = {cell.name: cell for cell in (FastGRNN, UGRNN, GRU, LSTM)}
CELLS: dict[str, type[Elman | GatedCell]] = {Elman.name: Elman, **GATED}


def cell_named(name: str, activation: str = "tanh") -> Elman | GatedCell:
    """The cell of this name; ``activation`` is f of `Elman`."""
    return Elman(activation) if name == Elman.name else GATED[name]()
