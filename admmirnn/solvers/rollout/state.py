"""What an iteration works on: allocated once per fit, and handed from step to step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from admmirnn.data.gram_blocks import blocks_of_gram, ends_of_blocks
from admmirnn.networks.room import Room, Space, reads_in_place
from admmirnn.solvers.rollout.memory import LayerMemory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from admmirnn._typing import Array, BoolArray, FloatArray, IntArray, LayerOutcome
    from admmirnn.data.sequences import Minibatch, Sequences
    from admmirnn.losses import AnyLoss
    from admmirnn.networks import RNN
    from admmirnn.reference.kernels import Kernels


_STATISTICS = ("M", "G", "factor", "R")


class Targets:
    """What the outputs of the current minibatch should be, as the o-step takes it.

    Attributes
    ----------
    labels : ndarray of shape (n_outputs,), or None
        Targets, where they are class numbers.
    values : ndarray of shape (n_outputs, K), or None
        Targets, where they are not.
    weights : ndarray of shape (n_outputs,)
        Weights of the outputs; zero where there is no target.
    rho : float
        Penalty of the output equation.
    loss : str or None
        Name that the kernel has for the loss; None if it has none.
    dtype : type or None
        Type of the targets that the loss takes; None is that of the network.
    parameter : float
        Parameter of the loss.
    """

    weights: FloatArray

    def __init__(self, loss: AnyLoss, rho: float = 1.0) -> None:
        self.labels: IntArray | None = None
        self.values: FloatArray | None = None
        self.rho: float = max(rho, loss.least_rho)
        self.loss: str | None = loss.name
        self.dtype: type[np.intp] | None = loss.target_dtype
        self.parameter: float = 0.0 if loss.name is None else loss.parameter
        self._are_labels = loss.takes_labels

    def set(self, targets: Array, weights: FloatArray) -> None:
        """Make them those of a minibatch."""
        self.labels, self.values = (targets, None) if self._are_labels else (None, targets)
        self.weights = weights


class Workspace(Space):
    """What the iterations of a fit work on, of one direction of a layer; see `Space` for the roll-out's.

    ``read_out`` is "none" where another layer reads the states, and ``below`` is the layer whose states this one reads,
    as one of ``n_above`` directions.  ``with_mask`` says that there is dropout.  ``gram_block`` is how many columns of
    x a block of G has, 0 where G is one.  ``memory`` is what the backward sweep writes its sums and counts to, of the
    sizes of `room_of_sums`, or None to allocate it.

    Attributes
    ----------
    targets : Targets
        Targets of the current minibatch.
    raw_targets : ndarray of shape (n_outputs,) or (n_outputs, K)
        Targets as the user's loss takes them: class numbers or values.
    weights : ndarray of shape (n_outputs,)
        Weights of the outputs; zero where there is no target.
    n_targets : int
        Number of outputs that have a target.
    mean_weight : float
        Mean weight of these targets, where the mean over all targets is 1.
    roots : ndarray of shape (n_sequences,), or None
        Square roots of the weights of the minibatch's sequences; None for all 1.
    sums, output_sums : ndarray
        Sums that the backward sweep leaves, and the part of them that belongs to the output layer.
    counts, output_counts : ndarray
        Numbers of targets and rows that are in those sums; the first array has R as well.
    maps : list
        Objects that kernels take for the weights of its maps.
    """

    sums: FloatArray
    output_sums: FloatArray
    counts: NDArray[np.float64]
    output_counts: NDArray[np.float64]

    raw_targets: Array
    weights: FloatArray
    maps: list[Any]

    def __init__(
        self,
        kernels: Kernels,
        network: RNN,
        read_out: str,
        sequences: Sequences,
        batch_size: int,
        targets: Targets,
        n_threads: int = 1,
        *,
        with_R: bool = False,
        below: Sequence[Workspace] = (),
        n_above: int = 1,
        with_mask: bool = False,
        gram_block: int = 0,
        memory: tuple[FloatArray, NDArray[np.float64]] | None = None,
    ) -> None:
        n, d, K, dtype = network.n_hidden, network.n_features, network.n_outputs, network.dtype
        cell = network.cell
        n_rows = max(sequences.most_rows(batch_size), 1)
        symbols = not below and sequences.n_symbols > 0
        room = Room(
            network, read_out, n_rows, batch_size, symbols=symbols, n_threads=n_threads, with_mask=with_mask,
            gram_block=gram_block,
        )  # fmt: skip
        room.O_plus, room.lambda3 = room.zeros(dtype, 2, room.n_outputs, K)
        n_blocks = 3 if any(of.n_equations > 1 for of in cell.maps) else 2
        room.lambda1 = room.zeros(dtype, n_blocks * batch_size if cell.n_kept else min(2 * batch_size, n_rows), n)
        room.lambda_c = room.zeros(dtype, batch_size, n) if cell.has_cell_state else None
        room.initial_multipliers = room.zeros(dtype, batch_size, n) if network.learns_s_0 else None
        if read_out == "none":
            room.lambda_s = room.zeros(dtype, n_rows, n)
        if below:
            is_direct = reads_in_place(below, n_above)
            room.lambda_x = below[0].room.lambda_s if is_direct else room.zeros(dtype, n_rows, d)
        if memory is None:
            (_, n_numbers), n_counts = room_of_sums(
                kernels, network, batch_size, symbols, n_threads, with_R=with_R, gram_block=gram_block
            )
            memory = room.zeros(dtype, n_numbers), room.zeros(np.float64, n_counts)
        room.sums, room.counts = memory
        super().__init__(kernels, room, sequences.scale, below, n_above, sequences.standard_in(dtype))
        end, of_hidden = kernels.sums_room(cell, d, n, K, symbols, gram_block)
        self.sums, self.output_sums = room.sums[:end], room.sums[of_hidden:end]
        self.counts, self.output_counts = room.counts, room.counts[: kernels.counts_room(cell, n, False)]
        self.targets = targets
        self._target_dtype = targets.dtype or dtype
        self.roots: FloatArray | None = None
        self._ones = np.ones(room.n_outputs, dtype)

    @property
    def O_plus(self) -> FloatArray:
        """The proximal points of the outputs."""
        assert self.room.O_plus is not None
        return self.room.O_plus[: self.n_outputs]

    @property
    def lambda3(self) -> FloatArray:
        """The multipliers of the output equation."""
        assert self.room.lambda3 is not None
        return self.room.lambda3[: self.n_outputs]

    def load(self, batch: Minibatch, first_steps: IntArray, targets: Array, weights: FloatArray | None) -> None:
        """Make ``batch`` the current minibatch, and its targets those of its outputs, see `set_targets`."""
        self.fit(batch)
        self.set_targets(first_steps, targets, weights)

    def set_targets(
        self, first_steps: IntArray, targets: Array, weights: FloatArray | None, roots: FloatArray | None = None
    ) -> None:
        """Make the targets of the current minibatch those of its outputs.

        Parameters
        ----------
        first_steps : ndarray of intp
            Positions where the targets of the steps of each sequence start, for all sequences.
        targets : ndarray
            Targets: one per sequence or, with the read-out "each", one per step.
        weights : ndarray or None
            Weights of the targets, whose mean over all targets is 1; None if all are equal.
        roots : ndarray of shape (n_sequences,) or None
            Square roots of the sequences' weights; None if all are equal.
        """
        batch, B = self.batch, len(self.batch)
        if self.read_out == "each":
            targets, self.weights = self._of_steps(first_steps, targets, weights)
        else:
            targets = targets[batch.indices]
            self.weights = self._ones[:B] if weights is None else weights[batch.indices]
        self.n_targets: int = B
        if weights is not None or self.read_out == "each":
            self.n_targets = int(np.count_nonzero(self.weights))
        self.mean_weight: float = 1.0
        if weights is not None and self.n_targets:
            self.mean_weight = float(self.weights.sum(dtype=np.float64)) / self.n_targets
        self.roots = None if roots is None else roots[batch.indices]
        if self._target_dtype is not None:
            targets = targets.astype(self._target_dtype, copy=False)
        self.raw_targets = targets
        self.targets.set(targets, self.weights)

    def _of_steps(self, first_steps: IntArray, targets: Array, weights: FloatArray | None) -> tuple[Array, FloatArray]:
        """Targets and weights of the rows of outputs, zero where those are initial states."""
        batch = self.batch
        if self.n_outputs == batch.n_rows:  # sequences of one length: none starts later than another
            rows = (first_steps[batch.indices] + np.arange(batch.n_steps)[:, None]).ravel()
            return targets.take(rows, axis=0), self._ones[: len(rows)] if weights is None else weights[rows]
        sequence_of, step_of = batch.rows()
        rows, where = first_steps[sequence_of] + step_of, batch.rows_of_outputs()
        of_rows = np.zeros((self.n_outputs, *targets.shape[1:]), targets.dtype)
        of_rows[where] = targets[rows]
        weights_of_rows = np.zeros(self.n_outputs, self._ones.dtype)
        weights_of_rows[where] = 1 if weights is None else weights[rows]
        return of_rows, weights_of_rows


def room_of_sums(
    kernels: Kernels,
    network: RNN,
    batch_size: int,
    symbols: bool,
    n_threads: int,
    *,
    with_R: bool,
    gram_block: int = 0,
) -> tuple[tuple[int, int], int]:
    """How many sums a backward sweep leaves, and how many numbers it needs for them and its scratch; its counts."""
    cell, sizes = network.cell, (network.n_features, network.n_hidden, network.n_outputs)
    n_sums, _ = kernels.sums_room(cell, *sizes, symbols, gram_block)
    n_numbers = kernels.backward_room(cell, *sizes, min(n_threads, batch_size), symbols, gram_block)
    return (n_sums, n_numbers), kernels.counts_room(cell, network.n_hidden, with_R)


class Layer:
    """One weight matrix, Theta or Psi, with its running statistics and the scratch of its solve.

    Attributes
    ----------
    p, m : int
        Numbers of rows and columns of the weights.
    n_symbols : int
        Number of the first inputs that are symbols, of which one is 1 and the others 0.
    n_ones : int
        Number of the last inputs that are 1, each in an equation of its own: in so many equations a row of the weights
        has part.
    ridge_columns : tuple of int
        Index of the first column that the ridge shrinks, and of the first one after these.
    gram_blocks : tuple of int
        Number of the first inputs whose Gram matrix is cut into blocks, and number of inputs of each block but the
        last one; the other inputs are one block.  (0, 1): all inputs are one block.
    weights : ndarray of shape (p, m)
        The network's own array, changed in place.
    radius : float
        Largest distance by which an iteration may move the layer's outputs, before the schedule; infinite when there is
        no radius.
    large_radius : float
        Radius that counts as large, whatever the settings say.
    M : ndarray of shape (p, m)
        Running mean of L = sum of multiplier times input.
    pull : ndarray of shape (p, m)
        Matrix that the weight step follows: M, or M - lambda4 where something is penalised.
    G : ndarray of shape (m, m - n_symbols), or a vector
        Running Gram matrix of the inputs, in its lower triangle; with symbols, the columns of the inputs after them,
        the last of which is 1; where it is cut into blocks, these squares one after the other.
    factor : ndarray of the shape of G
        Cholesky factor of the damped G.
    R : ndarray of float64 of shape (p, p), or None
        Running Gram matrix of the layer's multipliers, in its lower triangle, where it is the penalty.
    P_factor : ndarray of shape (p, p), or None
        Cholesky factor of the penalty P = R / (tr(R)/p) + damping I.
    ridge : float
        Weight of the ridge.
    D : ndarray of shape (m, p)
        The direction of the last iteration, transposed.
    D_norm, step, damping, shift : float
        |D|, the root-mean-square change of the layer's outputs that D would make, in the metric of the penalty; the
        step length; the damping in force, and what it adds to the diagonal of G.
    """

    n_symbols: int
    n_ones: int
    pull: FloatArray
    D_norm: float
    step: float
    damping: float
    shift: float
    radius: float
    M: FloatArray

    R: NDArray[np.float64] | None
    P_factor: FloatArray | None

    def __init__(
        self,
        weights: FloatArray,
        radius: float | None,
        large_radius: float = 1.0,
        n_symbols: int = 0,
        *,
        n_ones: int = 1,
        ridge_columns: tuple[int, int] = (0, 0),
        gram_blocks: tuple[int, int] = (0, 1),
        matrix_penalty: bool = False,
    ) -> None:
        self.weights = weights
        self.n_symbols, self.n_ones = n_symbols, n_ones
        self.ridge_columns, self.gram_blocks = ridge_columns, gram_blocks
        self.first_radius = self.radius = math.inf if radius is None else float(radius)
        self.large_radius = large_radius
        p, m = weights.shape
        self.p: int = p
        self.m: int = m
        self.M = self.pull = np.zeros((p, m), weights.dtype)
        of_blocks = np.diff([0, *ends_of_blocks(m, gram_blocks)])
        self.G = np.zeros((m, m - n_symbols) if len(of_blocks) == 1 else int((of_blocks**2).sum()), weights.dtype)
        self.factor: FloatArray = np.zeros_like(self.G)
        self.R = np.zeros((p, p)) if matrix_penalty else None
        self.P_factor = np.zeros((p, p), weights.dtype) if matrix_penalty else None
        self.D = np.zeros((m, p), weights.dtype)
        self.ridge: float = 0.0
        self.outcome = (0.0, 0.0, 0.0, 0.0)

    @property
    def outcome(self) -> LayerOutcome:
        """|D|, step length, damping and shift of the last weight step."""
        return self.D_norm, self.step, self.damping, self.shift

    @outcome.setter
    def outcome(self, values: LayerOutcome) -> None:
        self.D_norm, self.step, self.damping, self.shift = values

    @property
    def moved(self) -> float:
        """Root-mean-square change of the layer's outputs in the last iteration."""
        return self.step * self.D_norm

    def kept(self) -> float:
        """What the ridge leaves of the weights: 1 - ridge times the distance moved."""
        return max(0.0, 1 - self.ridge * self.moved)

    @property
    def mean_square(self) -> float:
        """Of the inputs: tr(G) / m."""
        n_symbols = self.n_symbols
        if self.G.ndim == 1:
            return float(sum(G.trace() for _, G in self.blocks)) / self.m
        return float(self.n_ones * self.G[:n_symbols, -1].sum() + self.G[n_symbols:].trace()) / self.m

    @property
    def blocks(self) -> list[tuple[slice, FloatArray]]:
        """The columns of each block of G, and the block itself."""
        return blocks_of_gram(self.G, self.m, self.gram_blocks)

    @property
    def room(self) -> int:
        """How many numbers the scratch of its solve needs."""
        return max(self.p * self.m, self.n_symbols * (self.m - self.n_symbols))

    def forget(self) -> None:
        """Drop the running statistics."""
        self.M[:] = 0
        self.G[:] = 0
        if self.R is not None:
            self.R[:] = 0

    def memory(self) -> LayerMemory:
        """What the next call of a solver goes on from."""
        return LayerMemory(self.radius, self.outcome, *(getattr(self, name) for name in _STATISTICS))

    def remember(self, memory: LayerMemory) -> bool:
        """Take over the memory of another call; return False if that had another penalty or other blocks of G.

        It has then no R, or no G, for this one.
        """
        self.radius, self.outcome = memory.radius, memory.outcome
        is_whole = True
        for name in _STATISTICS:
            own, earlier = getattr(self, name), getattr(memory, name)
            is_alike = own is not None and earlier is not None and own.shape == earlier.shape
            if is_alike:
                np.copyto(own, earlier)  # copied: that call's memory is still good if this one fails
            is_whole &= own is None or is_alike
        return is_whole

    def shrink_radius(self, times: int) -> None:
        """Halve the radius ``times`` times, from a quarter of the last move where there was no radius.

        Nothing above half of ``large_radius`` is worth trying again.
        """
        if not math.isfinite(self.radius):
            moved = self.moved if math.isfinite(self.moved) and self.moved > 0 else math.inf
            self.radius = 0.5 * moved
        self.radius = min(self.radius, self.large_radius) * 0.5**times

    def restore_radius(self) -> None:
        """Take back what rollbacks have taken off the radius."""
        self.radius = self.first_radius


class InitialState:
    """A state before the first step, s_0 or c_0, where it is learnt, with its running statistic.

    One state for all sequences: a step D_0 moves the pre-activations of their first steps by W D_0, or, of c_0, the
    cell state by D_0 itself, and goes as far along M_0, the running mean of its multipliers, as 1/r and the radius
    allow.

    Parameters
    ----------
    state : ndarray of shape (n,)
        State, which is the network's own array.
    readers : list of ndarray of shape (p, n)
        Matrices W of the maps that read the state; empty if no map does.

    Attributes
    ----------
    M : ndarray of shape (n,)
        Running mean of the multipliers of the state, summed over the sequences and divided by the number of targets.
    """

    def __init__(self, state: FloatArray, readers: Sequence[FloatArray]) -> None:
        self._state, self._readers = state, readers
        self.M = np.zeros_like(state)

    def fold(self, sums: FloatArray, n_targets: float, momentum: float) -> None:
        """Fold the sums over a minibatch of so many targets into the mean."""
        self.M *= momentum
        self.M += (1 - momentum) / n_targets * sums

    def update(self, r: float, radius: float, schedule: float) -> bool:
        """s_0 <- s_0 + min(1/r, radius / rms(W M_0)) M_0; return False if it has become infinite."""
        with np.errstate(over="ignore", invalid="ignore"):
            moved = np.concatenate([W @ self.M for W in self._readers]) if self._readers else self.M
            norm = float(np.sqrt(np.mean(moved**2)))
            if 0 < norm < math.inf:
                length = schedule * min(1 / r if r > 0 else math.inf, radius / norm)
                self._state += self._state.dtype.type(length) * self.M
        return bool(np.isfinite(self._state).all())

    def forget(self) -> None:
        """Drop the running statistic."""
        self.M[:] = 0


class InitialStates:
    """Those of one direction of a layer that are learnt: s_0, and c_0 where its cell has it.

    Parameters
    ----------
    network : RNN
        Direction of the network.
    work : Workspace
        Workspace that holds the multipliers of its states.
    sums : ndarray of shape (n,), or (2 n,) with c_0
        Array that their sums over the sequences of a minibatch are written to.
    """

    def __init__(self, network: RNN, work: Workspace, sums: FloatArray) -> None:
        self._work, self._sums = work, sums
        self._states = [InitialState(network.initial["s_0"], network.recurrent_weights)]
        if "c_0" in network.initial:
            self._states.append(InitialState(network.initial["c_0"], []))

    @property
    def M(self) -> FloatArray:
        """Running means of their multipliers, side by side."""
        return np.concatenate([state.M for state in self._states])

    def remember(self, M: FloatArray) -> None:
        """Take over the means of another call."""
        for state, earlier in zip(self._states, np.split(M, len(self._states)), strict=True):
            state.M[:] = earlier

    def sum_up(self, are_start: slice | BoolArray) -> None:
        """Sum up what the sequences say that start from these states, the rows ``are_start`` of the minibatch."""
        room, B = self._work.room, len(self._work.batch)
        of_states = np.split(self._sums, len(self._states))
        for sums, multipliers in zip(of_states, (room.initial_multipliers, room.lambda_c), strict=False):
            assert multipliers is not None
            sums[:] = multipliers[:B][are_start].sum(axis=0)

    def fold(self, n_targets: float, momentum: float) -> None:
        """Fold in the sums over a minibatch of so many targets."""
        for state, sums in zip(self._states, np.split(self._sums, len(self._states)), strict=True):
            state.fold(sums, n_targets, momentum)

    def update(self, r: float, radius: float, schedule: float) -> bool:
        """Move all, see `InitialState.update`; return False if one has become infinite."""
        return all([state.update(r, radius, schedule) for state in self._states])

    def forget(self) -> None:
        """Drop the running statistics."""
        for state in self._states:
            state.forget()
