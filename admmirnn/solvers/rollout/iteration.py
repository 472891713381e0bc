"""The iteration of `Rollout`: what a fit works on, and its five steps."""

from __future__ import annotations

import math
import zlib
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from admmirnn import backend, validation
from admmirnn.networks.rolling import Spaces
from admmirnn.solvers.memory import as_dict
from admmirnn.solvers.rollout.consensus import Consensus
from admmirnn.solvers.rollout.dropout import Dropout
from admmirnn.solvers.rollout.gram import (
    FIRST_ITERATIONS,
    block_of_gram,
    cut_of,
    interval_of_G,
    interval_of_R,
)
from admmirnn.solvers.rollout.guard import WINDOW, Guard
from admmirnn.solvers.rollout.history import EpochRecord
from admmirnn.solvers.rollout.joint import Joint, room_of_joint
from admmirnn.solvers.rollout.judge import Decision, Judge
from admmirnn.solvers.rollout.memory import RolloutMemory, State, state_of
from admmirnn.solvers.rollout.online import OnlineSchedule
from admmirnn.solvers.rollout.order import Carried
from admmirnn.solvers.rollout.over_workers import mean_loss, mean_weight_of_all, of_all_targets
from admmirnn.solvers.rollout.parts import Part, Parts
from admmirnn.solvers.rollout.splitting import Splitting, penalised_layers
from admmirnn.solvers.rollout.state import InitialStates, Layer, Targets, Workspace, room_of_sums
from admmirnn.solvers.rollout.sums import Sums
from admmirnn.solvers.rollout.weighting import relative_weights, roots_of_sequences
from admmirnn.solvers.workers import gather

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray

    from admmirnn._typing import FloatArray, IntArray, Reducer
    from admmirnn.data.sequences import Minibatch
    from admmirnn.networks import RNN
    from admmirnn.solvers.rollout.problem import Problem
    from admmirnn.solvers.status import Status
    from admmirnn.solvers.workers import Failing

    Read: TypeAlias = Callable[[IntArray], Minibatch]
    SumsOfKernel: TypeAlias = tuple[FloatArray, NDArray[np.float64]]  # and its counts


_LEAST_OF_COSINE = 0.02
_CAP, _CAP_OF_GATES = 1.0, 4.0  # of 784 steps a gru is thrown back without
_GRAM_EVERY, _GRAM_EVERY_OF_GATES = 8, 4
# chosen on validation data of eleven tasks, see bench/choices.py
_RIDGE, _USUAL_UNITS, _MOST_RIDGE = 6.0, 128, 2.0  # of [U W]
_RIDGE_OF_SYMBOLS = 14.0  # of W alone
_RIDGE_ONLINE = 0.5
_RIDGE_OF_W = 0.2  # where the penalty is a number
_ROWS_IN_MEMORY = 10  # times n: what the running R is a mean of at least
_LARGE_RADIUS, _LARGE_OUTPUT_RADIUS = 0.04, 0.12  # twice these are known to diverge


class Settings(Protocol):
    """The settings of `admmirnn.Rollout` that an iteration reads."""

    rho: float
    r: float
    radius: float | None
    output_radius: float | None
    schedule: str
    damping: float
    gram_decay: float
    momentum: float
    multiplier_cap: float | str | None
    gram_every: int | str
    factor_every: int
    metric: str
    gram_block: int | str | None


class Fit:
    """Everything one call of `Rollout.solve` works on, and its steps.

    The network is a list of layers, each of which reads the states of the one before, and each layer a list of
    directions, of which the second reads sequences from their ends.  Every direction has its own multipliers,
    statistics and weight step; the output layer reads all directions of the last layer.

    Attributes
    ----------
    works : list of list of Workspace
        Workspaces by layers and directions.  The first direction of the last layer has the targets.
    layers : list of Layer
        Weight matrices: the maps of each direction in the same order, and that of the output layer.
    maps : list
        Objects that kernels take for these matrices; each workspace has its own.
    sums : Sums
        Sums that an iteration adds up over workers.
    joint : Joint or None
        Sums of the output layer, where it reads two directions.
    dropout : Dropout or None
        Masks of dropout; None without dropout.
    augmentation : Augmentation or None
        Changes that are made to the sequences of an iteration.
    parts : Parts or None
        Parts of minibatches that the workers have; None where there is one worker.
    part : Part or None
        This worker's part of the current minibatch.
    is_idle : bool
        Whether this worker has no part of the current minibatch.
    n_sequences, n_targets : int
        Numbers of sequences and targets in the current minibatch, or in this worker's part of it.
    mean_weight : float
        Mean weight of these targets, where the mean over the training set is 1.
    figures : Figures
        Figures of the minibatch over all workers, once `agree` has added them up.
    """

    def __init__(self, settings: Settings, problem: Problem) -> None:
        self.settings, self.problem = settings, problem
        self.kernels = backend.kernels()
        self.reducer: Reducer = problem.reducer
        self.parts = Parts(self.reducer, problem.order.sequences) if self.reducer.size > 1 else None
        self.part: Part | None = None
        self.is_idle = False
        self.n_threads = problem.n_threads
        self.network = problem.network
        self.order = problem.order
        self.sequences = problem.order.sequences
        self.batch_loss: float = math.nan
        self.batch_correct: int | None = None
        self.loss = problem.loss
        self.read_targets()
        of_all = problem.of_all
        constant_loss, self.n_with_weight = (
            of_all_targets(self.reducer, self.loss, self.targets, self.weights)
            if of_all is None
            else (of_all.constant_loss, of_all.n_targets)
        )
        self.make_layers(constant_loss)
        self.make_workspaces()
        self.n_iterations = problem.n_iterations
        self.iteration = 0
        self.record = EpochRecord()
        self.n_remembered = 0  # minibatches in the running statistics
        self.has_factors = True  # of G, unless that has come without
        self.choose_by_cell()
        self.has_schedule = settings.schedule == "cosine" and not problem.is_online
        self.watch(constant_loss)
        if problem.memory is not None:
            self.remember(problem.memory)
        for layer in self.layers[:-1]:
            layer.ridge = self.ridge(layer) if problem.penalty is None else problem.penalty
        if self.online:
            self.online.begin_call(constant_loss, len(self.sequences))
            self.guard.constant_loss = self.online.constant_loss

    def choose_by_cell(self) -> None:
        """Take for "auto" what suits the cell: one with gates is stable, and worth a better G."""
        settings, has_gates = self.settings, self.network.layers[0][0].cell.n_kept > 0
        cap, gram_every = settings.multiplier_cap, settings.gram_every
        if validation.is_auto(cap):
            cap = _CAP_OF_GATES if has_gates else _CAP
        if validation.is_auto(gram_every):
            gram_every = _GRAM_EVERY_OF_GATES if has_gates else _GRAM_EVERY
        self.cap, self.gram_every = math.inf if cap is None else float(cap), int(gram_every)

    def read_targets(self) -> None:
        """Take the targets as kernels do, and their weights, if those are not all the same."""
        problem, sequences = self.problem, self.sequences
        dtype = self.loss.target_dtype or self.network.dtype
        is_short = (
            self.loss.takes_labels and problem.targets.dtype.kind == "u"
        )  # of a text, whose minibatches are made intp
        self.targets = np.ascontiguousarray(problem.targets, None if is_short else dtype)
        weights = problem.weights
        if weights is not None and len(weights) < len(problem.targets):
            weights = np.repeat(weights, sequences.lengths)
        self.first_steps = sequences.first_steps
        self.online_schedule = OnlineSchedule()
        if problem.memory is not None and problem.memory.online is not None:
            self.online_schedule.go_on_from(problem.memory.online)
        n_targets = len(problem.targets) if weights is None else int(np.count_nonzero(weights))
        of_all = problem.of_all
        self.online_schedule.weigh(
            *mean_weight_of_all(self.reducer, weights, n_targets)
            if of_all is None
            else (of_all.mean_weight, of_all.n_targets)
        )
        self.weights = relative_weights(
            weights, len(self.targets), self.online_schedule.mean_weight, self.network.dtype
        )
        self.roots = None
        if self.weights is not None:
            self.roots = roots_of_sequences(self.weights, sequences, every_step=len(self.targets) > len(sequences))

    def make_layers(self, constant_loss: float) -> None:
        """Give every weight matrix its statistics, and penalised blocks their multipliers."""
        settings, network, penalties = self.settings, self.network, self.problem.penalties
        maps = [
            (direction, of, matrix)
            for direction in chain.from_iterable(network.layers)
            for of, matrix in zip(direction.cell.maps, direction.maps, strict=True)
        ]
        with_matrix = set(range(len(maps))) if settings.metric == "multipliers" else set()
        with_matrix -= penalised_layers(network, penalties)
        self.layers = []
        for i, (direction, of, matrix) in enumerate(maps):
            letters = [part for part, _ in of.columns]
            n_x, n_s = (letters.count("x") * direction.n_features, letters.count("s") * direction.n_hidden)
            n_symbols = self.sequences.n_symbols if n_x and direction in network.layers[0] else 0
            ridge_columns = n_symbols if i in with_matrix else n_x, n_x + n_s
            self.layers.append(
                Layer(
                    matrix,
                    settings.radius,
                    _LARGE_RADIUS,
                    n_symbols,
                    n_ones=letters.count("1"),
                    ridge_columns=ridge_columns,
                    gram_blocks=cut_of(n_x, self.gram_block(direction)),
                    matrix_penalty=i in with_matrix,
                )
            )
        output_scale = max(1.0, math.sqrt(2 * constant_loss))  # of regression targets, their deviation
        self.layers.append(Layer(network.Psi, settings.output_radius, _LARGE_OUTPUT_RADIUS * output_scale))
        self.splitting = Splitting(network, self.layers, penalties) if penalties else None
        self.consensus = Consensus(self.layers) if self.problem.has_consensus else None
        scratch = np.zeros(max(layer.room for layer in self.layers), network.dtype)
        self.maps = [self.kernels.linear_map(layer, scratch, self.n_threads) for layer in self.layers]

    def gram_block(self, direction: RNN) -> int:
        """How many of the features that a direction reads are a block of G; 0 where G is one, or of symbols."""
        if self.sequences.n_symbols and direction in self.network.layers[0]:
            return 0
        return block_of_gram(self.settings.gram_block, direction.n_features, direction.n_hidden)

    def make_workspaces(self) -> None:
        """Allocate what an iteration writes to, for each direction of each layer."""
        sequences, network = self.sequences, self.network
        at_each = len(self.targets) != len(sequences) if self.problem.of_all is None else self.problem.of_all.at_each
        read_out = "each" if any(gather(self.reducer, at_each)) else network.read_out
        batch_size = max(self.order.most_sequences, 1)
        of_minibatch = Targets(self.loss, self.settings.rho)
        layers, maps = iter(self.layers), iter(self.maps)
        below: list[Workspace] = []
        of_joint, of_directions, of_states = self.make_sums(batch_size)
        self.works: list[list[Workspace]] = []
        for above, directions, memories in zip((*network.layers[1:], None), network.layers, of_directions, strict=True):
            self.works.append(
                [
                    Workspace(
                        self.kernels,
                        direction,
                        read_out if above is None else "none",
                        sequences,
                        batch_size,
                        of_minibatch,
                        self.n_threads,
                        with_R=any([next(layers).R is not None for _ in direction.maps]),
                        below=below,
                        n_above=len(directions),
                        with_mask=self.problem.dropout > 0,
                        gram_block=self.gram_block(direction),
                        memory=memory,
                    )
                    for direction, memory in zip(directions, memories, strict=True)
                ]
            )
            below = self.works[-1]
        self.spaces = Spaces(self.kernels, self.works)
        every = zip(chain.from_iterable(network.layers), chain.from_iterable(self.works), of_states, strict=False)
        self.initial_states = [InitialStates(*one) for one in every]  # none unless they are learnt
        for work in chain.from_iterable(self.works):
            work.maps = [next(maps) for _ in work.room.maps]
        self.joint = Joint(self.kernels, network.Psi, self.works[-1], of_joint) if of_joint else None
        rooms = [work.room for work in chain.from_iterable(self.works)]
        p = self.problem.dropout
        rank = self.reducer.rank if self.reducer.size > 1 else None
        self.augmentation = self.problem.augmentation
        self.dropout = Dropout(p, rooms, self.order.random_state, rank) if p > 0 else None

    def make_sums(self, batch_size: int) -> tuple[SumsOfKernel | None, list[list[SumsOfKernel]], list[FloatArray]]:
        """Allocate the sums; return those of the joint output layer, of each direction, and of learnt initial states.

        They stand in the order in which they are written, see `Sums`.
        """
        kernels, network, layers = self.kernels, self.network, iter(self.layers)
        of_directions = [
            [
                room_of_sums(
                    kernels,
                    direction,
                    batch_size,
                    i == 0 and self.sequences.n_symbols > 0,
                    self.n_threads,
                    with_R=any([next(layers).R is not None for _ in direction.maps]),
                    gram_block=self.gram_block(direction),
                )
                for direction in directions
            ]
            for i, directions in enumerate(network.layers)
        ]
        is_joint = len(network.layers[-1]) > 1
        rooms = [room_of_joint(kernels, network)] if is_joint else []
        rooms += chain.from_iterable(reversed(of_directions))
        if network.learns_s_0:
            sizes = [direction.n_hidden * len(direction.initial) for direction in chain.from_iterable(network.layers)]
            rooms += [((n, n), 0) for n in sizes]
        self.sums = Sums(network.dtype, [n_counts for _, n_counts in rooms], [n_numbers for n_numbers, _ in rooms])
        found = zip(self.sums.rooms, self.sums.counts, strict=True)
        of_joint = next(found) if is_joint else None
        of_layers = [[next(found) for _ in directions] for directions in reversed(network.layers)]
        return of_joint, of_layers[::-1], [numbers for numbers, _ in found]

    def watch(self, constant_loss: float) -> None:
        """Set up the guard, the schedule where the end is not known, and who decides by them."""
        problem = self.problem
        is_online = problem.is_online and self.settings.metric == "multipliers"
        self.online = self.online_schedule if is_online else None
        n_sequences = max(len(self.sequences), 1) if self.parts is None else sum(self.parts.shards)
        self.guard = Guard(self.network, WINDOW if self.online else n_sequences, constant_loss)
        self.judge = Judge(self.guard, self.online, problem.limits, problem.on_epoch_end, self.reducer)

    def ridge(self, hidden: Layer) -> float:
        """The penalty that suits so many targets: weights can learn few by heart."""
        if hidden.R is None:
            return _RIDGE_OF_W
        if self.online:  # how many there will be is not known
            return _RIDGE_ONLINE
        ridge = _RIDGE_OF_SYMBOLS if self.sequences.n_symbols else _RIDGE
        return min(
            _MOST_RIDGE, ridge * math.sqrt(max(self.works[0][0].room.n, _USUAL_UNITS) / max(self.n_with_weight, 1))
        )

    def memory(self) -> RolloutMemory:
        """What a later call goes on from."""
        return RolloutMemory(
            n_remembered=self.n_remembered,
            layers=[layer.memory() for layer in self.layers],
            splitting=self.splitting.memory() if self.splitting else None,
            M_0=np.concatenate([states.M for states in self.initial_states]) if self.initial_states else None,
            states=self.order.states if isinstance(self.order, Carried) else None,
            online=self.online_schedule.state(0 if self.online else self.iteration),
            guard=self.guard.state() if self.online else None,
            dropout=self.dropout.random_state if self.dropout else None,
        )

    def remember(self, memory: RolloutMemory) -> None:
        """Go on from the memory of another call."""
        are_whole = [layer.remember(earlier) for layer, earlier in zip(self.layers, memory.layers, strict=True)]
        self.n_remembered = memory.n_remembered if all(are_whole) else 0
        if self.splitting:
            self.splitting.remember(memory.splitting)
        if self.initial_states and memory.M_0 is not None:
            sizes = np.cumsum([len(states.M) for states in self.initial_states])
            for states, M in zip(self.initial_states, np.split(memory.M_0, sizes[:-1]), strict=True):
                states.remember(M)
        if self.dropout and memory.dropout is not None:
            self.dropout.remember(memory.dropout)
        # what is trained may be more or less than then: s_0
        if self.online and memory.guard is not None and len(memory.guard.good) == len(self.network.trained):
            self.guard.go_on_from(memory.guard)

    def state(self) -> State:
        """What another fit needs to go on from here, after an epoch."""
        return State(list(self.network.trained), self.memory(), self.guard.state(), self.order.state())

    def stay_alike(self) -> None:
        """Take the weights of the first of several workers, should those of this one have come to differ.

        They are found from the same numbers by the same program, but processors may round differently.
        """
        if self.reducer.size > 1:
            check = zlib.crc32(b"".join(weights.tobytes() for weights in self.network.trained))
            if len(set(gather(self.reducer, check))) > 1:
                found = gather(self.reducer, self.network.trained if self.reducer.rank == 0 else None)[0]
                for weights, of_first in zip(self.network.trained, found or (), strict=True):
                    np.copyto(weights, of_first)

    def form(self) -> dict[str, Any]:
        """What the state of another fit has to be in a checkpoint, see `validation.check_state`."""
        memory = as_dict(self.memory())
        memory["layers"] = [layer | {"radius": validation.number(0)} for layer in memory["layers"]]
        memory["splitting"] = self.splitting.form() if self.splitting else None
        return {
            "weights": [validation.finite(weights) for weights in self.network.trained],
            "memory": memory,
            "guard": self.guard.form(),
            "order": self.order.form(),
        }

    def go_on_from(self, n_epochs: int, found: dict[str, Any]) -> None:
        """Take over the state of another fit that a checkpoint holds, after so many epochs."""
        check_version_of_state(found)
        validation.check_state("solver", found, self.form())
        state = state_of(found)
        self.iteration = min(n_epochs * self.order.n_batches, self.n_iterations)
        for weights, earlier in zip(self.network.trained, state.weights, strict=True):
            np.copyto(weights, earlier)
        self.remember(state.memory)
        self.guard.go_on_from(state.guard)
        self.order.go_on_from(state.order)

    def iterate(self, minibatches: Iterator[IntArray], failing: Failing) -> Status | None:
        """Make an iteration with the next minibatch; return the status to end with, if one has become due."""
        with failing.before_the_sum():
            self.take(next(minibatches))
            self.sweep_forward()  # 1, 2
            self.sweep_backward()  # 3
        self.agree()
        with failing.after_the_sum():
            decision = self.decide()
            if decision.rolls_back:
                self.roll_back()
            elif decision.moves:
                self.fold()  # 4
                self.update_weights()  # 5
        return self.figures.ending

    # The steps of an iteration, numbered as in the docstring of `admmirnn.Rollout`.

    def take(self, indices: IntArray) -> None:
        """Make the sequences ``indices`` the minibatch, of which another worker may have a part, or all."""
        self.iteration += 1
        read = None
        if self.augmentation:  # all workers draw the same, and each changes its sequences in a way of its own
            seed = [self.order.random_state.randint(1 << 31), self.reducer.rank]
            read = partial(self.augmentation.minibatch, self.sequences, seed=seed)
        own = self.load(indices, read)
        if self.dropout:
            self.dropout.draw(own)
        if own:
            batch = self.works[0][0].batch
            self.initial, self.from_s_0 = self.order.start(batch, self.n_targets > 0 or self.parts is not None)
        else:
            self.order.pass_by()

    def load(self, indices: IntArray, read: Read | None = None) -> int:
        """Point the workspaces at the sequences ``indices``, or at this worker's part; return how many these are.

        ``read`` makes a minibatch of some of them, unchanged by default.
        """
        if self.parts is not None:
            self.part = self.parts.of(indices)
            indices = self.part.indices
        return self.load_own(indices, read)

    def load_own(self, indices: IntArray, read: Read | None = None) -> int:
        """Point the workspaces at these sequences of this worker; return how many they are."""
        self.n_sequences = len(indices)
        self.is_idle = not self.n_sequences
        self.n_targets, self.mean_weight = 0, 1.0
        if not self.is_idle:
            self.spaces.load((read or self.sequences.minibatch)(indices))
            work = self.works[-1][0]
            work.set_targets(self.first_steps, self.targets, self.weights, self.roots)
            self.n_targets, self.mean_weight = work.n_targets, work.mean_weight
        return self.n_sequences

    def sweep_forward(self) -> None:
        """1. Roll out: a_t = U x_t + W s_{t-1} + b, s_t = f(a_t), q = V s_N + c, x_t of a layer above being s_t below.

        2. o+ = prox_{R/rho}(q), lambda3 = rho (o+ - q) = -grad R(o+), times the sequences' weights.
        """
        work, *others = self.works[-1]
        if self.is_idle:
            self.batch_loss, self.batch_correct = 0.0, 0
            return
        self.network.share_out()
        start, *starts = self.spaces.roll_out_below(self.initial)
        for other, of_other in zip(others, starts, strict=True):
            self.kernels.forward(other.work, other.kernel_batch, **of_other)
        plus = self.joint.outputs() if self.joint else None
        loss = self.loss
        targets = work.targets if loss.name is not None else None
        found = self.kernels.forward(work.work, work.kernel_batch, plus=plus, targets=targets, **start)
        if found is None:  # no kernel knows the loss
            found = loss.step(
                self.kernels, work.Q, work.raw_targets, work.weights, work.targets.rho, work.O_plus, work.lambda3
            )
        self.batch_loss, self.batch_correct = found
        self.order.keep(work.batch, self.spaces.last_states)

    def sweep_backward(self) -> None:
        """3. lambda2_t = V^T lambda3_t + W^T lambda1_{t+1}, lambda1_t = f'(a_t) * lambda2_t, bounded; and their sums.

        In place of V^T lambda3_t a layer below another one takes that one's U^T lambda1_t.  Of cells with gates, see
        `admmirnn.networks.cells`.
        """
        self.n_capped = 0
        self.begin_statistics()
        if self.n_targets and math.isfinite(self.batch_loss):
            self.sum_up()
        else:
            self.sums.clear()  # there is nothing to say, or nothing that anybody will listen to
        self.sums.write(
            self.batch_loss, self.mean_weight, self.batch_correct, self.n_targets, self.n_sequences, self.n_capped,
            is_part=self.parts is not None,
        )  # fmt: skip

    def sum_up(self) -> None:
        """Pass the multipliers back through all layers, and sum up what they say."""
        lambda3: list[FloatArray | None] = [self.works[-1][0].lambda3]
        if self.joint:
            self.joint.sum_up(self.gram_steps)
            lambda3.append(self.joint.lambda3())
        for i in reversed(range(len(self.works))):
            for work, multipliers in zip(self.works[i], lambda3, strict=True):
                self.pass_back(work, multipliers)
            if i > 0:
                self.spaces.hand_down(i)
                lambda3 = [None] * len(self.works[i - 1])
        for states in self.initial_states:
            states.sum_up(self.from_s_0)

    def agree(self) -> None:
        """Add the sums up over all workers, and ask whether any of them wants the fit to end, or has failed."""
        sums = self.sums
        self.judge.ask(sums)
        self.reducer.sum(sums)
        if self.parts is not None and sums.any_failed:
            gather(self.reducer, None)  # which raises with the message of whoever has
        self.figures = sums.read()

    def decide(self) -> Decision:
        """Decide from the figures of all workers how to go on.

        Nothing else may depend on what one worker sees, or knows of time: all go on alike.
        """
        figures = self.figures
        decision = self.judge.after_sweeps(figures)
        if figures.n_targets:
            self.record.count(figures)
        if decision.restores_radius:
            for layer in self.layers:
                layer.restore_radius()
        return decision

    def fold(self) -> None:
        """4. M <- momentum M + (1 - momentum) L,  G <- beta_k G + (1 - beta_k) G_batch, R likewise, from their sums."""
        momentum, first = self.settings.momentum, self.works[-1][0]
        self.n_remembered += 1
        for work in chain.from_iterable(reversed(self.works)):
            for which, of_kernel in enumerate(work.maps):
                self.kernels.fold(work.work, of_kernel, momentum, self.beta, self.R_decay, which)
        sums, counts = first.output_sums, first.output_counts
        if self.joint:
            sums, counts = self.joint.sums, self.joint.counts
        self.kernels.fold_outputs(self.maps[-1], sums, counts, momentum, self.beta)
        for states in self.initial_states:
            states.fold(self.figures.n_targets, momentum)
        self.record.capped_steps += self.figures.n_capped

    def begin_statistics(self) -> None:
        """Set beta_k, and from which steps on, and how often, G takes one, of the minibatch that is to be folded in."""
        settings, n_remembered = self.settings, self.n_remembered + 1
        self.beta = min(settings.gram_decay, 1 - 1 / n_remembered)
        first_work = self.works[0][0]
        n, whole = first_work.room.n, first_work.batch if self.part is None else self.part
        n_rows = whole.n_rows
        is_early = n_remembered < FIRST_ITERATIONS
        every = self.gram_every // 4 if is_early else self.gram_every
        every = 1 if n_remembered == 1 else min(max(every, 1), whole.n_steps)
        of_G, states_per_taken = every, interval_of_R(every, n_rows, whole.n_steps, n, is_early=is_early)
        if settings.metric == "multipliers":
            of_G = interval_of_G(every, n_rows, n)
        first = n_remembered % of_G
        self.gram_steps, self.R_positions = (first, of_G), None
        if self.part is not None and not self.is_idle:  # its sequences end with those of the whole
            later = self.part.n_steps - first_work.batch.n_steps
            self.gram_steps, self.R_positions = ((first - later) % of_G, of_G), self.part.positions + (first + later)
        # the mean of R is of at least the last 10 n states, or R would say more of these than of the network
        decay = max(settings.gram_decay, 1 - n_rows / (states_per_taken * _ROWS_IN_MEMORY * n))
        self.R_every, self.R_decay = states_per_taken, min(decay, 1 - 1 / n_remembered)

    def pass_back(self, work: Workspace, lambda3: FloatArray | None) -> None:
        """Pass the multipliers back through a direction of a layer, and sum up what they say."""
        self.n_capped += self.kernels.backward(
            work.work,
            work.kernel_batch,
            lambda3,
            self.works[-1][0].weights,
            self.cap,
            *self.gram_steps,
            self.R_every,
            self.initial is None,
            self.joint is None,
            self.works[-1][0].roots,
            self.R_positions,
        )

    def update_weights(self) -> None:
        """5. D = P^-1 M (G + damping tr(G)/m I)^-1;  Theta <- Theta + min(1/r, radius / |D|) D, Psi with P = I.

        With a penalty, [U W] <- (1 - penalty * length |D|) [U W] before the move: the ridge term, apart from the
        proximal step; where the penalty of the equation is a number, W alone is multiplied.
        With penalties, M - lambda4 in place of M, and then Theta <- Y, see `Splitting`.
        """
        settings, schedule = self.settings, self.schedule()
        is_due = self.n_remembered < FIRST_ITERATIONS or self.n_remembered % settings.factor_every == 0
        is_due, self.has_factors = is_due or not self.has_factors, True
        if self.splitting:
            self.splitting.pull()
        if self.consensus:
            self.consensus.pull()
        for layer, of_kernel in zip(self.layers, self.maps, strict=True):
            layer.outcome = self.kernels.weight_step(
                of_kernel, settings.damping, settings.r, layer.radius, schedule, None if is_due else layer.outcome
            )
        is_finite = math.isfinite(sum([layer.moved for layer in self.layers]))
        if is_finite:
            for layer, of_kernel in zip(self.layers, self.maps, strict=True):
                if not self.kernels.move_weights(of_kernel, layer.step, layer.kept()):
                    layer.step, is_finite = math.inf, False
        if self.consensus and is_finite:
            self.consensus.count()
        for states in self.initial_states:
            is_finite &= states.update(settings.r, self.layers[0].radius, schedule)
        if is_finite and (self.splitting is None or self.splitting.update()):
            self.record.add(self.layers, settings.damping)
        else:
            self.roll_back()

    def schedule(self) -> float:
        """The factor on the step length."""
        if self.online and self.settings.schedule == "cosine":
            return self.online.factor
        if not self.has_schedule:
            return 1.0
        progress = (self.iteration - 1) / self.n_iterations
        progress = min(max(progress, self.judge.progress()), 1.0)
        return _LEAST_OF_COSINE + (1 - _LEAST_OF_COSINE) * 0.5 * (1 + math.cos(math.pi * progress))

    # When an iteration has gone wrong.

    def roll_back(self) -> None:
        """Return to the last good weights, with a smaller radius and no memory of the past."""
        self.guard.roll_back()
        self.record.rollbacks += 1
        for layer in self.layers:
            layer.shrink_radius(self.guard.rollbacks_in_a_row)
            layer.forget()
        for states in self.initial_states:
            states.forget()
        self.order.forget(are_bounded=self.states_are_bounded)
        if self.splitting:
            self.splitting.start()
        self.n_remembered = 0

    def check_last_update(self) -> None:
        """Judge the last update, which no later roll-out sees, by the loss over a window of its own.

        Dropout rests: what is judged is the network that there will be.
        """
        # states without a bound may overflow on any one sequence
        sample = self.order.sample(self.guard.window if self.states_are_bounded else None)
        n_sequences = sum(len(indices) for indices, _ in sample)
        for _ in range(2):  # the weights that the first rollback returns to are judged as well
            loss = self._mean_loss(sample)
            if loss is None or not self.judge.after_last_update(loss, n_sequences):
                return
            self.roll_back()

    @property
    def states_are_bounded(self) -> bool:
        """Whether those of all layers are, whatever the pre-activations may be."""
        return all(direction.cell.is_bounded for layer in self.network.layers for direction in layer)

    def _mean_loss(self, sample: Sequence[tuple[IntArray, FloatArray | None]]) -> float | None:
        """That of the minibatches in the sample that have targets, None without any."""
        if self.dropout:
            self.dropout.rest()
        own = []  # of each minibatch
        for indices, self.initial in sample:
            if self.parts is None or isinstance(self.order, Carried):
                n_sequences = self.load_own(indices)
            else:
                n_sequences = self.load(indices)
                self.initial = self.network.initial_states(n_sequences)
            self.sweep_forward()
            own.append((self.batch_loss, self.mean_weight, self.n_targets, n_sequences))
        return mean_loss(gather(self.reducer, own))


def check_version_of_state(state: Any) -> None:
    """Raise if the solver's state in a checkpoint is of a version whose `Rollout` had no matrix penalty."""
    memory = state.get("memory") if isinstance(state, dict) else None
    if isinstance(memory, dict) and "layers" in memory and "online" not in memory:
        raise ValueError(
            "the checkpoint is of a version of admmirnn whose Rollout had no matrix penalty, and the fit cannot go on "
            "from it as it would have; remove it, or pass resume=False, to start anew"
        )
