"""Our side of a race."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from admmirnn.model import ElmanRNN
from admmirnn.sequences import Sequences
from bench.race.curves import Clock, Point, evaluation_points


def initial_network(data, n_hidden, seed):
    """The network that our side starts from: W orthogonal, U normal with variance 1 / n_features, V = 0."""
    return ElmanRNN.random(
        data.train.n_features, n_hidden, data.n_outputs, random_state=np.random.RandomState([seed, 1])
    )


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

    def run(self, data, setting, seed):
        """Train from new weights; return the points of the curve."""
        few = data.first(32, 0)  # to warm up
        self._train(few.train, few.train_targets, setting, seed, initial_network(data, self.task.n_hidden, seed))

        network, clock, points = initial_network(data, self.task.n_hidden, seed), Clock(), []

        def evaluate(iteration):
            clock.stop()
            outputs = network.outputs(data.test, every_step=data.every_step)
            value = self.task.metric.value(outputs, data.test_targets)
            points.append(Point(iteration, clock.seconds, clock.cpu_seconds, value))
            clock.start()

        n_iterations = self._n_iterations(setting, data.train)
        watch = _Watch(evaluate, self.task.first_evaluation * n_iterations, n_iterations)
        sequences = _Watched(
            data.train.observations, data.train.first_rows, data.train.lengths, before_minibatch=watch.before_minibatch
        )
        clock.start()
        self._train(sequences, data.train_targets, setting, seed, network)
        evaluate(n_iterations)
        return points

    @staticmethod
    def _n_iterations(setting, sequences):
        n_a_pass = setting.solver().iterations_per_epoch(len(sequences), setting.batch_size)
        return max(1, round(setting.epochs * n_a_pass))

    def _train(self, sequences, targets, setting, seed, network):
        setting.solver().set_params(max_iter=self._n_iterations(setting, sequences)).solve(
            network,
            sequences,
            targets,
            self.task.loss,
            penalty=setting.penalty,
            batch_size=setting.batch_size,
            random_state=np.random.RandomState(seed),
            n_threads=self.n_threads,
        )


@dataclass(frozen=True)
class _Watched(Sequences):
    """Sequences that tell when a minibatch of them is taken: the solvers take one an iteration."""

    before_minibatch: Callable = None

    def minibatch(self, indices):
        self.before_minibatch()
        return super().minibatch(indices)


class _Watch:
    """Evaluates after the iterations of `evaluation_points`, but for the last one, which is left to the caller."""

    def __init__(self, evaluate, first, last):
        self._evaluate = evaluate
        self._last = last
        self._n_iterations = 0
        self._points = evaluation_points(first)
        self._next = next(self._points)

    def before_minibatch(self):
        """Count a minibatch in; before it, evaluate what the minibatches up to now have taught."""
        if self._n_iterations == self._last:  # the solver judges its last update
            return
        if self._n_iterations == self._next:
            self._evaluate(self._n_iterations)
            self._next = next(self._points)
        self._n_iterations += 1
