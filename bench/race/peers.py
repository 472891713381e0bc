"""torch's side of a race: an optimiser on torch.nn.RNN, GRU or LSTM."""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import numpy as np
import torch
from torch.nn.functional import cross_entropy, mse_loss, one_hot
from torch.nn.utils import clip_grad_norm_

from admmirnn.data.sequences import split
from admmirnn.networks.start import LONG
from bench.race.curves import Clock, Point, evaluation_points
from bench.race.optimisers import optimiser
from bench.race.ours import initial_network
from bench.race.task import Theirs

KEEPS = {"GRU": 1, "LSTM": 1}  # which of its gates keeps the past, and starts from a bias of 1
LARGEST_NORM = 1.0  # to which gradients are clipped
NO_TARGET = -100  # what torch's cross-entropy ignores
_SEQUENCES_AT_A_TIME = 500  # in evaluations


def use_threads(n_threads):
    """Set torch up: its number of threads, and numbers too small to be normal to zero, which saves time."""
    torch.set_num_threads(n_threads)
    torch.set_flush_denormal(True)


@dataclass(frozen=True)
class TorchPeer:
    """An optimiser, and what it trains.

    Attributes
    ----------
    optimiser : str
        One of `bench.race.optimisers.NAMES`.
    task : Task
    layer : {"RNN", "GRU", "LSTM"}
        Of torch.nn.
    """

    optimiser: str
    task: object
    layer: str = "RNN"

    kind = "peer"

    @property
    def name(self):
        """For tables: "Adam", or "Adam, GRU"."""
        return self.optimiser if self.layer == "RNN" else f"{self.optimiser}, {self.layer}"

    @property
    def settings(self):
        """Every budget with every learning rate."""
        return [
            Theirs(epochs, learning_rate)
            for epochs in self.task.budgets
            for learning_rate in self.task.learning_rates[self.optimiser]
        ]

    def n_iterations(self, data, setting):
        """How many minibatches a run takes."""
        n_a_pass = _tensors(data, self.task.batch_size)[0].n_batches
        return max(1, round(setting.epochs * n_a_pass))

    def run(self, data, setting, seed, points=None):
        """Train from new weights; yield the points of the curve, from where one may or may not go on.

        ``points`` are the iterations after which to evaluate, by default those of our side.
        """
        train, test = _tensors(data, self.task.batch_size)
        n_iterations = self.n_iterations(data, setting)
        self._warm_up(data, setting, seed)
        training = _Training(self.optimiser, data, self.task, setting.learning_rate, seed, self.layer)
        batches = islice(train.minibatches(seed), n_iterations)
        points = points or evaluation_points(self.task.first_evaluation * n_iterations)
        next_point = next(points)
        clock = Clock()
        clock.start()
        for iteration, indices in enumerate(batches, 1):
            training.step(train, indices, (iteration - 1) / n_iterations)
            if iteration in (next_point, n_iterations):
                clock.stop()
                value = self.task.metric.value(training.outputs(test), data.test_targets)
                yield Point(iteration, clock.seconds, clock.cpu_seconds, value)
                next_point = next(points, n_iterations)
                clock.start()

    def _warm_up(self, data, setting, seed):
        training = _Training(self.optimiser, data, self.task, setting.learning_rate, seed, self.layer)
        train, _ = _tensors(data, self.task.batch_size)
        for indices in islice(train.minibatches(seed), 3):
            training.step(train, indices, 0.0)


class _Training:
    """A network, its optimiser, and what happens in an iteration."""

    def __init__(self, name, data, task, learning_rate, seed, layer="RNN"):
        torch.manual_seed(seed)
        self.rnn = getattr(torch.nn, layer)(data.train.n_features, task.n_hidden, batch_first=True)
        self.read_out = torch.nn.Linear(task.n_hidden, data.n_outputs)
        self._start(layer, data.train.lengths.mean())
        self.parameters = [*self.rnn.parameters(), *self.read_out.parameters()]
        if task.same_start:
            if layer != "RNN":
                raise ValueError(f"same_start is of an Elman network, and torch trains a {layer}")
            self._start_from(initial_network(data, task.n_hidden, seed, task.start_scale).weights)
        elif task.start_scale != 1:
            self._multiply_start(task.start_scale)
        hidden = [self.rnn.weight_ih_l0, self.rnn.weight_hh_l0]
        self.optimiser = optimiser(name, self.parameters, hidden, learning_rate)
        self._rates = [group["lr"] for group in self.optimiser.param_groups]

    @torch.no_grad()
    def _start(self, layer, n_steps):
        """W of each gate orthogonal, and the bias of the one that keeps the past as on our side; else torch's start."""
        n = self.rnn.hidden_size
        for block in self.rnn.weight_hh_l0.split(n):
            torch.nn.init.orthogonal_(block)
        if layer in KEEPS:
            keeps = 1.0 if n_steps < LONG else torch.log(torch.empty(n).uniform_(1, float(n_steps) - 1))
            for bias, value in ((self.rnn.bias_ih_l0, keeps), (self.rnn.bias_hh_l0, 0.0)):
                bias[KEEPS[layer] * n : (KEEPS[layer] + 1) * n] = value

    @torch.no_grad()
    def _start_from(self, weights):
        for name, parameter in (
            ("U", self.rnn.weight_ih_l0),
            ("W", self.rnn.weight_hh_l0),
            ("b", self.rnn.bias_ih_l0),
            ("b", self.rnn.bias_hh_l0),  # nn.RNN has two, whose sum is b = 0
            ("V", self.read_out.weight),
            ("c", self.read_out.bias),
        ):
            parameter.copy_(torch.from_numpy(weights[name].copy()))

    @torch.no_grad()
    def _multiply_start(self, scale):
        for parameter in self.parameters:
            parameter *= scale

    def step(self, train, indices, progress):
        """Learn a minibatch."""
        for group, rate in zip(self.optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * progress))
        self.optimiser.zero_grad()
        states, targets = train.read(self.rnn, indices)
        loss = mse_loss if targets.is_floating_point() else cross_entropy
        loss(self.read_out(states), targets).backward()
        clip_grad_norm_(self.parameters, LARGEST_NORM, foreach=True)
        self.optimiser.step()

    @torch.inference_mode()
    def outputs(self, test):
        """Outputs after the last step of each sequence, or after each step, one sequence after the other."""
        batches = torch.arange(len(test.X)).split(_SEQUENCES_AT_A_TIME)
        return torch.cat([self.read_out(test.read(self.rnn, indices)[0]) for indices in batches]).numpy()


class _Tensors:
    """Sequences and targets, padded to the longest."""

    def __init__(self, sequences, targets, every_step, batch_size):
        lengths = sequences.lengths
        steps = np.arange(lengths.max())
        self.batch_size = batch_size
        self.n_batches = -(-len(lengths) // batch_size)
        self.is_step = torch.from_numpy(steps < lengths[:, None])
        self.X = torch.zeros(len(lengths), len(steps), sequences.n_features)
        self.X[self.is_step] = _rows(sequences)
        self.lengths = torch.from_numpy(lengths)
        self.equal = bool(self.is_step.all())
        self.every_step = every_step
        targets = torch.from_numpy(targets if targets.dtype.kind == "f" else targets.astype(np.int64))
        if every_step:
            self.targets = torch.zeros(self.is_step.shape, dtype=torch.int64)
            self.targets[self.is_step] = targets
        else:
            self.targets = targets

    def minibatches(self, seed):
        """Indices of sequences without an end, in a new order every epoch: the solvers' own way."""
        random_state = np.random.RandomState(seed)
        while True:
            for indices in split(random_state.permutation(len(self.X)), self.batch_size):
                yield torch.from_numpy(indices)

    def read(self, rnn, indices):
        """Run the network over sequences; return the states that are to be read out, and their targets."""
        targets = self.targets[indices]
        if self.equal:
            states, last = rnn(self.X[indices])
            return (states.flatten(0, 1), targets.flatten()) if self.every_step else (_parts(last)[0][0], targets)
        lengths = self.lengths[indices]
        longest = int(lengths.max())
        states, _ = rnn(self.X[indices, :longest])
        if self.every_step:
            is_step = self.is_step[indices, :longest]
            return states[is_step], targets[:, :longest][is_step]
        return states[torch.arange(len(indices)), lengths - 1], targets


class _StreamsOfTensors:
    """Long sequences side by side, in chunks, each of which starts from the states that the one before has left.

    The first chunk of a stream that another one leads to starts from the state which that one ended with an epoch ago,
    as on our side; gradients end at the chunk.
    """

    def __init__(self, data, n_streams):
        streams = data.train.in_chunks(data.chunk_size, n_streams)
        self.n_batches = int(streams.n_chunks.max())
        shape = len(streams), self.n_batches * data.chunk_size
        lengths = np.add.reduceat(streams.chunks.lengths, streams.first_chunks)
        is_step = torch.from_numpy(np.arange(shape[1]) < lengths[:, None])
        X = torch.zeros(*shape, data.train.n_features)
        X[is_step] = _rows(data.train)
        targets = torch.full(shape, NO_TARGET)
        targets[is_step] = torch.from_numpy(data.train_targets.astype(np.int64))
        self._X, self._targets = X.split(data.chunk_size, dim=1), targets.split(data.chunk_size, dim=1)
        self._follows = torch.from_numpy(streams.follows)

    def minibatches(self, seed):
        """Numbers of chunks without an end, always in the same order."""
        self._states = None
        while True:
            yield from range(self.n_batches)

    def read(self, rnn, chunk):
        """Run the network over a chunk of every stream; return its states and their targets."""
        if chunk == 0 and self._states is not None:
            self._states = [part[:, self._follows] * (self._follows >= 0)[:, None] for part in self._states]
        before = self._states and (self._states[0] if len(self._states) == 1 else tuple(self._states))
        states, last = rnn(self._X[chunk].contiguous(), before)
        self._states = [part.detach() for part in _parts(last)]
        return states.flatten(0, 1), self._targets[chunk].flatten()


def _parts(states):
    """The state, and the cell state where there is one, of what a layer of torch returns."""
    return states if isinstance(states, tuple) else (states,)


def _rows(sequences):
    """What the network reads at each step; of symbols the rows of the unit matrix."""
    observations = torch.from_numpy(sequences.observations[: sequences.lengths.sum()])
    if sequences.n_symbols:
        return one_hot(observations[:, 0].long(), sequences.n_symbols).float()
    return observations


@lru_cache(maxsize=2)
def _tensors(data, batch_size):
    if data.chunk_size:
        train = _StreamsOfTensors(data, batch_size)
    else:
        train = _Tensors(data.train, data.train_targets, data.every_step, batch_size)
    return train, _Tensors(data.test, data.test_targets, data.every_step, batch_size)
