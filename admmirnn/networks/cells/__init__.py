"""Cells: how a layer's pre-activations become its states.  Each has a module of its own, and a row of `CELLS`."""

from __future__ import annotations

from admmirnn.networks.cells.elman import Elman
from admmirnn.networks.cells.maps import Map

__all__ = ["CELLS", "Elman", "Map"]

CELLS = {cell.name: cell for cell in (Elman,)}  # by the names by which kernels know them
