"""Our side of a race."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from admmirnn.data.sequences import Sequences, Streams
from admmirnn.networks.cells import GATED, cell_named
from admmirnn.networks.start import new_network, start_gates_of_past
from bench.race.curves import Clock, Point, evaluation_points


def initial_network(data, n_hidden, seed, scale=1.0, cell="elman"):
    """Where our side starts: W orthogonal, V = 0, U normal with variance 1 / n_features, or if those are symbols 1,
    and with gates 1/16.

    All of them are multiplied by ``scale``.
    """
    network = new_network(
        data.train.n_features,
        (n_hidden,),
        data.n_outputs,
        cell=cell_named(cell),
        dtype=np.dtype(np.float32),
        random_state=np.random.RandomState([seed, 1]),
        symbols=data.train.n_symbols > 0,
    )
    if cell in GATED:
        draws = np.random.RandomState([seed, 2])
        kind = {"symbols": data.train.n_symbols > 0, "every_step": data.every_step}
        start_gates_of_past(network, "auto", int(data.train.lengths.mean()), draws, **kind)
    for matrix in network.maps if scale != 1 else ():
        matrix *= network.dtype.type(scale)
    return network


@dataclass(frozen=True)
class OurSide:
    """admmirnn, as the task's goals want it.

    Attributes
    ----------
    task : Task
    n_threads : int
        Of every fit.
    """

    task: object
    n_threads: int = 1

    name = "admmirnn"
    kind = "ours"

    @property
    def settings(self):
        """Every setting that a goal names."""
        return list(dict.fromkeys(goal.ours for goal in self.task.goals))

    def run(self, data, setting, seed, points=None):
        """Train from new weights; return the points of the curve.

        ``points`` are the iterations after which to evaluate, by default those of `evaluation_points`.
        """
        few = data.first(32, 0)  # to warm up
        self._train(few, few.train, setting, seed, self._initial_network(data, setting, seed))

        network, clock, found = self._initial_network(data, setting, seed), Clock(), []

        def evaluate(iteration):
            clock.stop()
            outputs = network.outputs(data.test, every_step=data.every_step)
            value = self.task.metric.value(outputs, data.test_targets)
            found.append(Point(iteration, clock.seconds, clock.cpu_seconds, value))
            clock.start()

        n_iterations = self._n_iterations(setting, _as_read(data.train, data, setting))
        points = points or evaluation_points(self.task.first_evaluation * n_iterations)
        watch = _Watch(evaluate, points, n_iterations)
        watched = {field.name: getattr(data.train, field.name) for field in fields(data.train)}
        sequences = _Watched(**watched, before_minibatch=watch.before_minibatch)
        clock.start()
        self._train(data, sequences, setting, seed, network)
        evaluate(n_iterations)
        return found

    def _initial_network(self, data, setting, seed):
        return initial_network(data, self.task.n_hidden, seed, self.task.start_scale, setting.cell)

    @staticmethod
    def _n_iterations(setting, sequences):
        if isinstance(sequences, Streams):
            n_a_pass = sequences.n_batches(len(sequences))
        else:
            n_a_pass = setting.solver().iterations_per_epoch(len(sequences), setting.batch_size)
        return max(1, round(setting.epochs * n_a_pass))

    def _train(self, data, sequences, setting, seed, network):
        sequences = _as_read(sequences, data, setting)
        setting.solver().set_params(max_iter=self._n_iterations(setting, sequences)).solve(
            network,
            sequences,
            data.train_targets,
            self.task.loss,
            penalty=setting.penalty,
            batch_size=None if data.chunk_size else setting.batch_size,
            random_state=np.random.RandomState(seed),
            n_threads=self.n_threads,
        )


def _as_read(sequences, data, setting):
    """The sequences, or, where they are long, the streams that the solver reads side by side."""
    return sequences.in_chunks(data.chunk_size, setting.batch_size) if data.chunk_size else sequences


@dataclass(frozen=True)
class _Watched(Sequences):
    """Sequences that tell when a minibatch of them is taken: the solvers take one per iteration."""

    before_minibatch: Callable = None

    def minibatch(self, indices):
        self.before_minibatch()
        return super().minibatch(indices)


class _Watch:
    """Evaluates after the iterations that ``points`` yields, but for the last one, which is left to the caller."""

    def __init__(self, evaluate, points, last):
        self._evaluate = evaluate
        self._last = last
        self._n_iterations = 0
        self._points = points
        self._next = next(self._points)

    def before_minibatch(self):
        """Count a minibatch in; before it, evaluate what the minibatches up to now have taught."""
        if self._n_iterations == self._last:  # the solver judges its last update
            return
        if self._n_iterations == self._next:
            self._evaluate(self._n_iterations)
            self._next = next(self._points, None)
        self._n_iterations += 1
