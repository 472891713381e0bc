"""Peers of another kind: they do not train the same network, are shown for comparison, and do not count."""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from admmirnn import backend
from bench.race.curves import Clock, Point
from bench.race.task import Theirs


@dataclass(frozen=True)
class FlatMLP:
    """scikit-learn's MLPClassifier, which sees all steps of a sequence at once; all sequences are equally long.

    Attributes
    ----------
    task : Task
    epochs : int
    learning_rates : tuple of float
    """

    task: object
    epochs: int
    learning_rates: tuple

    name = "MLP (sees all steps at once)"
    kind = "other"

    @property
    def settings(self):
        """Every learning rate."""
        return [Theirs(self.epochs, learning_rate) for learning_rate in self.learning_rates]

    def run(self, data, setting, seed):
        """Train from new weights; yield the points of the curve, one per epoch."""
        X, X_test = (part.observations.reshape(len(part), -1) for part in (data.train, data.test))
        model = MLPClassifier(self.task.n_hidden, learning_rate_init=setting.learning_rate, random_state=seed)
        n_batches = -(-len(X) // min(200, len(X)))
        classes, clock = np.arange(data.n_outputs), Clock()
        for epoch in range(1, setting.epochs + 1):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                clock.start()
                model.partial_fit(X, data.train_targets, classes=classes)
                clock.stop()
            value = self.task.metric.value(model.predict_proba(X_test), data.test_targets)
            yield Point(epoch * n_batches, clock.seconds, clock.cpu_seconds, value)


@dataclass(frozen=True)
class LeakRate:
    """Leak rate of an echo-state network."""

    leak_rate: float

    def __str__(self):
        return f"leak rate {self.leak_rate:g}"


@dataclass(frozen=True)
class EchoState:
    """reservoirpy's echo-state network: a random network of the same size, and ridge regression on its last state.

    Attributes
    ----------
    task : Task
    leak_rates : tuple of float
    """

    task: object
    leak_rates: tuple

    name = "echo state (only the read-out learns)"
    kind = "other"

    @property
    def settings(self):
        """Every leak rate."""
        return [LeakRate(leak_rate) for leak_rate in self.leak_rates]

    def run(self, data, setting, seed):
        """Train from new weights; yield the only point of the curve.

        Raises
        ------
        ModuleNotFoundError
            If reservoirpy is not installed.
        """
        from reservoirpy.nodes import Reservoir, Ridge

        X, X_test = (
            np.split(part.observations.astype(np.float64), part.first_rows[1:]) for part in (data.train, data.test)
        )
        Y = np.eye(data.n_outputs)[data.train_targets]

        def last_states(reservoir, X):
            return np.array([states[-1] for states in reservoir.run(X)])

        clock = Clock()
        with backend.one_blas_thread():
            for _ in range(2):  # the first time is to warm up
                clock = Clock()
                clock.start()
                reservoir = Reservoir(self.task.n_hidden, lr=setting.leak_rate, sr=0.9, seed=seed)
                read_out = Ridge(ridge=1e-3).fit(last_states(reservoir, X), Y)
                clock.stop()
            reservoir.reset()
            value = self.task.metric.value(read_out.run(last_states(reservoir, X_test)), data.test_targets)
        yield Point(1, clock.seconds, clock.cpu_seconds, value)
