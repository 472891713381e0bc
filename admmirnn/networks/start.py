"""Networks before any training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from admmirnn.networks.cells import GATED
from admmirnn.networks.rnn import layer_of
from admmirnn.networks.stacked import StackedRNN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admmirnn._typing import AnyCell, DType
    from admmirnn.networks.rnn import RNN

# both chosen on the last tenth of a text's training part: gates that keep the past for long, or are all but open or
# shut from the first step on, learn less of what follows a character
SYMBOLS_OF_GATES, BIAS_FOR_SYMBOLS = 16, -1.0
LONG = 200  # steps, from which on gates that keep the past for one or two of them are no start


def new_network(
    n_features: int,
    n_hidden: Sequence[int],
    n_outputs: int,
    *,
    cell: AnyCell,
    dtype: DType,
    random_state: np.random.RandomState,
    read_out: str = "last",
    bidirectional: bool = False,
    symbols: bool = False,
) -> RNN | StackedRNN:
    """A network with weights as its cell starts, layer by layer and direction by direction, and with V and c zero.

    Where states are read in the place of observations, U is twice as large as for these, as states are about 0.5 in
    size.

    Parameters
    ----------
    n_features, n_outputs : int
        Numbers d and K of features and outputs.
    n_hidden : sequence of int
        Number of hidden units of each layer, in each direction.
    cell : cell
        Cell of all layers.
    dtype : dtype
        Precision, float32 or float64.
    random_state : numpy.random.RandomState
        Generator that the weights are drawn from.
    read_out : {"last", "mean", "max"}
        States of the last layer that the outputs are computed from.
    bidirectional : bool, default=False
        Whether each layer reads in two directions.
    symbols : bool, default=False
        Whether features are symbols: as one of them is 1 and the others are 0, the variance of U is 1, and with gates
        1/16.
    """
    n_directions = 2 if bidirectional else 1
    n_not_zero = n_features if not symbols else SYMBOLS_OF_GATES if cell.name in GATED else 1
    Psi = np.zeros((n_outputs, n_directions * n_hidden[-1] + 1), dtype)
    layers: list[list[RNN]] = []
    d, last = n_features, len(n_hidden) - 1
    for layer, n in enumerate(n_hidden):
        directions: list[RNN] = []
        for _ in range(n_directions):
            columns_of = {"x": d, "s": n, "1": 1}
            maps = [
                np.zeros((one.rows_per_unit * n, sum(columns_of[part] for part, _ in one.columns)), dtype)
                for one in cell.maps
            ]
            own = Psi if layer == last and not bidirectional else np.zeros((n_outputs * (layer == last), n + 1), dtype)
            direction = layer_of(maps, own, cell, read_out if layer == last else "none", n_features=d)
            weights = direction.weights
            cell.start(weights, d if layer else n_not_zero, random_state)
            if layer:
                for name, block in weights.items():
                    if name[0] == "U":
                        block *= 2
            directions.append(direction)
        layers.append(directions)
        d = n_directions * n
    return layers[0][0] if len(layers) == n_directions == 1 else StackedRNN(layers, Psi)


def start_gates_of_past(
    network: RNN | StackedRNN,
    forget_bias: float | str,
    n_steps: int,
    random_state: np.random.RandomState,
    *,
    symbols: bool = False,
    every_step: bool = False,
) -> None:
    """Write the biases of the gates that keep the past.

    Parameters
    ----------
    network : network
        Network with a gated cell.
    forget_bias : float, "chrono" or "auto"
        Bias of the gates.  "chrono" draws the logarithm of numbers between 1 and ``n_steps`` - 1, so that units keep
        what they have for about so many steps (C. Tallec and Y. Ollivier, ICLR 2018); a gate that lets in the new
        starts from minus that.  "auto" is "chrono" where sequences have some 200 steps and one target, and otherwise
        the start of the cell.
    n_steps : int
        Number of steps of a usual sequence.
    random_state : numpy.random.RandomState
        Generator that the biases are drawn from.
    symbols : bool, default=False
        Whether features are symbols, for which "auto" is -1, so that the past is kept for less long.
    every_step : bool, default=False
        Whether each step has its target, so that "auto" need not keep the past up to the end of long sequences.
    """
    if forget_bias == "auto" and symbols:
        forget_bias = BIAS_FOR_SYMBOLS
    if forget_bias == "auto" and (n_steps < LONG or every_step):
        return
    for layer in network.layers:
        for direction in layer:
            cell, weights = GATED[direction.cell.name], direction.weights
            if not isinstance(forget_bias, str):
                weights[cell.bias_of_past][:] = forget_bias
                continue
            biases = np.log(random_state.uniform(1, max(n_steps - 1, 2), direction.n_hidden))
            weights[cell.bias_of_past][:] = biases
            if cell.bias_of_new is not None:
                weights[cell.bias_of_new][:] = -biases
