"""What a run leaves behind: accuracy against seconds; and the seconds it took to a goal."""

import math
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace

import numpy as np

GROWTH = 1.05  # from one evaluation to the next, in iterations


@dataclass(frozen=True)
class Metric:
    """What is measured on the test set.

    Attributes
    ----------
    name : str
        For tables and the picture.
    of : callable
        The value, from the network's outputs and the targets.
    higher_is_better : bool
        The direction.
    is_share : bool
        Whether it is a share of right answers, which the picture stretches towards 1.
    """

    name: str
    of: Callable
    higher_is_better: bool = True
    is_share: bool = False

    @property
    def sign(self):
        """1 or -1: what to multiply values with, to make the highest the best."""
        return 1 if self.higher_is_better else -1

    @property
    def worst(self):
        """Worse than any value."""
        return -self.sign * math.inf

    def value(self, outputs, targets):
        """The value, or the worst one there is if it is not finite."""
        value = float(self.of(outputs, targets))
        return value if math.isfinite(value) else self.worst

    def best(self, values):
        """The best of ``values``."""
        return self.sign * np.max(self.sign * np.asarray(values))


ACCURACY = Metric("test accuracy", lambda outputs, targets: np.mean(outputs.argmax(axis=1) == targets), is_share=True)


def evaluation_points(first, growth=GROWTH):
    """Yield the iterations after which to evaluate: each at most ``growth`` times the one before, or the next one."""
    iteration = max(1, math.ceil(first))
    while True:
        yield iteration
        iteration = max(iteration + 1, int(iteration * growth))


class Clock:
    """Seconds, and seconds of the processor, between `start` and `stop`, summed up."""

    def __init__(self):
        self.seconds = self.cpu_seconds = 0.0

    def start(self):
        """Let it run."""
        self._started = time.perf_counter(), time.process_time()

    def stop(self):
        """Let it stand."""
        self.seconds += time.perf_counter() - self._started[0]
        self.cpu_seconds += time.process_time() - self._started[1]


@dataclass(frozen=True)
class Point:
    """One evaluation: after how many iterations and seconds, and the value."""

    iteration: int
    seconds: float
    cpu_seconds: float
    value: float


@dataclass(frozen=True)
class Curve:
    """The evaluations of one run.

    Attributes
    ----------
    contender : str
        Its name.
    setting : str
        What distinguishes this run from others of the contender, apart from the seed.
    seed : int
        Of the initial weights and the order of the data.
    iterations, seconds, cpu_seconds, values : list
        Of each evaluation.
    """

    contender: str
    setting: str
    seed: int
    iterations: list
    seconds: list
    cpu_seconds: list
    values: list

    @classmethod
    def of_points(cls, contender, setting, seed, points):
        """The curve of a run that yields its points."""
        rows = [astuple(point) for point in points]
        return cls(contender, str(setting), seed, *map(list, zip(*rows, strict=True)))

    @classmethod
    def of_record(cls, record, metric):
        """The curve that was written to a JSON file, where the worst value is null."""
        values = [metric.worst if value is None else value for value in record["values"]]
        return cls(**record | {"values": values})

    def by_processor_time(self):
        """The same curve with the processor's seconds, for a machine that is busy with other things."""
        return replace(self, seconds=self.cpu_seconds)


@dataclass(frozen=True)
class MeanCurve:
    """The runs of one contender at one setting: a list of `Curve`, one a seed, evaluated at the same iterations."""

    curves: list

    @property
    def contender(self):
        """Whose curve it is."""
        return self.curves[0].contender

    @property
    def setting(self):
        """Its setting."""
        return self.curves[0].setting

    @property
    def seconds(self):
        """Median over seeds, at each evaluation."""
        return np.median([curve.seconds for curve in self.curves], axis=0)

    @property
    def values(self):
        """Mean over seeds, at each evaluation."""
        return np.mean([curve.values for curve in self.curves], axis=0)

    def seconds_to(self, goal, metric):
        """Seconds at which the mean value first reaches the goal, or inf."""
        return seconds_to(goal, metric, self.seconds, self.values)

    def seconds_of_seeds(self, goal, metric):
        """Seconds at which each run on its own first reaches the goal, or inf."""
        return [seconds_to(goal, metric, curve.seconds, curve.values) for curve in self.curves]


def seconds_to(goal, metric, seconds, values):
    """The first of ``seconds`` whose value is at least as good as the goal, or inf."""
    reached = np.flatnonzero(metric.sign * np.asarray(values) >= metric.sign * goal)
    return float(seconds[reached[0]]) if len(reached) else math.inf


def mean_curves(curves):
    """Gather runs that differ in nothing but the seed."""
    gathered = {}
    for curve in curves:
        gathered.setdefault((curve.contender, curve.setting), []).append(curve)
    return [MeanCurve(runs) for runs in gathered.values()]
