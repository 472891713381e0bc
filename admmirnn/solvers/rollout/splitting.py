"""Penalties and constraints on blocks of weights: Theta = Y, with a multiplier lambda4, and roll-outs from Y."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from admmirnn import validation
from admmirnn.networks.blocks import penalised_blocks
from admmirnn.solvers.memory import as_dict
from admmirnn.solvers.rollout.memory import SplittingMemory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from admmirnn._typing import FloatArray, ProximalOperator
    from admmirnn.networks import Network
    from admmirnn.networks.blocks import Block
    from admmirnn.solvers.rollout.state import Layer

_NEXT_TO_NOTHING = 1e-9
_LEAST_DAMPING = 1e-3  # where the solver has none
_LEAST_RHO4 = 1e-12  # numbers beyond it or its inverse would overflow


class Splitting:
    """The equation Theta = Y of penalised blocks, its multiplier, and Omega(Y).

    As the solver starts every iteration from a feasible point, so does the splitting: Theta is Y, in the network
    itself.  There the gradient of <lambda4, Theta - Y> + rho4/2 ``|Theta - Y|^2`` is lambda4, and an iteration is

        Theta = Y + length (M - lambda4) (G + shift I)^-1
        Y <- prox_{Omega/rho4}(Theta + lambda4/rho4),    lambda4 <- lambda4 + rho4 (Theta - Y),    Theta <- Y.

    It rests where M = lambda4, a subgradient of Omega at Y: there the loss plus Omega is stationary, whatever the
    metric G of the step.  (Proximal steps without a multiplier rest elsewhere, and train less well under constraints.)
    rho4 = shift / length is the largest for which rho4 length (G + shift I)^-1 <= I, under which such iterations
    converge on a convex loss (I. Loris, C. Verhoeven, Inverse Problems 27, 2011).

    Initial weights are replaced by their projection; what that takes off goes into lambda4 with the first move.
    Roll-outs, guard, callbacks and the fitted network see Y alone, so zeros are exact and constraints hold at every
    moment.

    Parameters
    ----------
    network : RNN
        Network whose penalised blocks become prox(block, 1e-9): constraints are met from the start, penalties do
        nothing yet.
    layers : tuple of Layer
        Layers of the network: the hidden one, or those of both directions, and the output layer.  From now on an array
        of its own pulls each of them.
    penalties : dict
        Objects with ``prox(x, tau)`` by names of blocks, as `admmirnn.penalties.check_penalties` wants them.

    Attributes
    ----------
    lambda4 : tuple of ndarray
        Multipliers in the shapes of the layers' weights, zero where nothing is penalised.

    Raises
    ------
    ValueError, TypeError
        If a penalty refuses its block, or returns something that cannot take its place.
    """

    def __init__(self, network: Network, layers: Sequence[Layer], penalties: Mapping[str, ProximalOperator]) -> None:
        self.layers = layers
        self.lambda4: tuple[FloatArray, ...] = tuple(np.zeros_like(layer.weights) for layer in self.layers)
        for layer in self.layers:
            layer.pull = np.zeros_like(layer.M)
        self._terms = [
            _Term(name, penalty, layers, self.lambda4, pieces)
            for name, penalty in penalties.items()
            for pieces in penalised_blocks(network.blocks, name)
        ]
        for term in self._terms:
            term.check()
        self.start()

    def start(self) -> None:
        """Meet the constraints, without a multiplier."""
        for multiplier in self.lambda4:
            multiplier[:] = 0
        for term in self._terms:
            term.excess = 0
            term.project()

    def memory(self) -> SplittingMemory:
        """What the next call of a solver goes on from."""
        names, excess = [term.name for term in self._terms], [term.excess for term in self._terms]
        return SplittingMemory(names, self.lambda4, excess)

    def form(self) -> dict[str, Any]:
        """What the memory of another call of the same solver has to be in a checkpoint: `validation.check_state`."""
        excess = [validation.one_of(0, validation.finite(_stacked(term.blocks))) for term in self._terms]
        return as_dict(self.memory()) | {"excess": excess}

    def remember(self, memory: SplittingMemory | None) -> None:
        """Take over the memory of another call, unless that had other blocks or None; the blocks are Y already."""
        if memory is None or list(memory.names) != [term.name for term in self._terms]:
            return  # there would be multipliers of blocks that nothing pulls at any more
        for multiplier, earlier in zip(self.lambda4, memory.lambda4, strict=True):
            multiplier[:] = earlier
        for term, excess in zip(self._terms, memory.excess, strict=True):
            term.excess = excess

    def pull(self) -> None:
        """Let all layers be pulled by M - lambda4."""
        for layer, multiplier in zip(self.layers, self.lambda4, strict=True):
            with np.errstate(over="ignore", invalid="ignore"):  # the weight step finds out
                np.subtract(layer.M, multiplier, out=layer.pull)

    def update(self) -> bool:
        """Y and lambda4 after a weight step; return False if a block has become infinite, and the network useless."""
        with np.errstate(over="ignore", invalid="ignore"):
            return all(term.update() for term in self._terms)


def penalised_layers(network: Network, penalties: Mapping[str, ProximalOperator]) -> set[int]:
    """Which layers, numbered as those of a `Splitting`, have a block that is penalised."""
    matrices = [pieces for name in penalties for pieces in penalised_blocks(network.blocks, name)]
    return {piece.array for pieces in matrices for piece in pieces}


class _Term:
    """One penalty and its blocks, which lie side by side in Theta, or one below the other as [W; V]."""

    def __init__(
        self,
        name: str,
        penalty: ProximalOperator,
        layers: Sequence[Layer],
        lambda4: Sequence[FloatArray],
        pieces: Sequence[Block],
    ) -> None:
        self.name, self.penalty = name, penalty
        self.layers = [layers[piece.array] for piece in pieces]
        self.blocks = [piece.of([layer.weights for layer in layers]) for piece in pieces]
        self.multipliers = [piece.of(lambda4) for piece in pieces]
        self.excess: FloatArray | int = 0  # lambda4/rho4 before anything has moved, when rho4 is infinite

    def check(self) -> None:
        """Raise unless the penalty works on its blocks."""
        x = _stacked(self.blocks)
        check_prox(f"penalties[{self.name!r}]", self.penalty.prox(x, _NEXT_TO_NOTHING), x)

    def project(self) -> None:
        """Meet a constraint; a penalty does next to nothing."""
        P = _stacked(self.blocks) + self.excess
        Y = self.penalty.prox(P, _NEXT_TO_NOTHING)
        self.excess = P - Y
        _unstack(Y, self.blocks)

    def update(self) -> bool:
        """Y <- prox_{Omega/rho4}(Theta + lambda4/rho4), lambda4 <- lambda4 + rho4 (Theta - Y)."""
        rho4 = min(_penalty_of_equation(layer) for layer in self.layers)
        if rho4 == np.inf:  # nothing has moved, except that a ridge may have shrunk W
            self.project()
            return True
        P = _stacked(self.blocks) + _stacked(self.multipliers) / rho4 + self.excess
        if not np.isfinite(P).all():
            return False
        Y = self.penalty.prox(P, 1 / rho4)
        self.excess = 0
        _unstack(rho4 * (P - Y), self.multipliers)
        _unstack(Y, self.blocks)
        return bool(np.isfinite(Y).all())


def _penalty_of_equation(layer: Layer) -> float:
    """rho4: shift / length, infinite when the layer has not moved."""
    if not layer.step > 0:
        return np.inf
    shift = layer.shift or _LEAST_DAMPING * layer.mean_square
    return min(max(shift / layer.step, _LEAST_RHO4), 1 / _LEAST_RHO4)


def _stacked(blocks: Sequence[FloatArray]) -> FloatArray:
    return np.concatenate(blocks)


def _unstack(matrix: FloatArray, blocks: Sequence[FloatArray]) -> None:
    first = 0
    for block in blocks:
        block[:] = matrix[first : first + len(block)]
        first += len(block)


def check_prox(name: str, point: object, x: FloatArray) -> None:
    """Raise unless ``point``, the prox of the matrix ``x``, can take its place."""
    if not (isinstance(point, np.ndarray) and point.shape == x.shape and point.dtype == x.dtype):
        found = f"{point.dtype} of shape {point.shape}" if isinstance(point, np.ndarray) else type(point).__name__
        raise ValueError(
            f"the prox of {name} returned {found} for {x.dtype} of shape {x.shape}; it is given a matrix and must "
            "return one of the same shape and dtype (admmirnn.penalties.Flattened wraps an operator on vectors)"
        )
    if not np.isfinite(point).all():
        raise ValueError(f"the prox of {name} returned NaN or infinity for the initial weights")
