"""Which learning rate and budget a peer races with, when the goals are known beforehand."""

import itertools
import math
from dataclasses import dataclass, field

from bench.race.curves import evaluation_points

LOOKS = (0.25, 0.5)  # parts of a budget after which learning rates are compared
GROWTH = 1.1  # from one evaluation to the next, after a tenth of the budget
HOPELESS = 2.0  # times as far from the last goal as the best learning rate is


@dataclass
class Trial:
    """A run that can be halted.

    Attributes
    ----------
    setting : object
        What is tried.
    points : iterator of Point
        The run.
    sign : int
        1 if higher values are better, else -1.
    iterations, values : list
        Evaluations up to now.
    end : str or None
        Why it was given up, None while it runs.
    """

    setting: object
    points: object
    sign: int = 1
    iterations: list = field(default_factory=list)
    values: list = field(default_factory=list)
    end: str | None = None

    def advance(self, until, goal):
        """Go on to the iteration ``until``, or to the goal."""
        while self.end is None and (not self.iterations or self.iterations[-1] < until):
            point = next(self.points)
            self.iterations.append(point.iteration)
            self.values.append(point.value)
            if self.sign * point.value >= self.sign * goal:
                self.end = "reached every goal"

    def iterations_to(self, goal):
        """Iterations after which the goal was reached, or inf."""
        for iteration, value in zip(self.iterations, self.values, strict=True):
            if self.sign * value >= self.sign * goal:
                return iteration
        return math.inf

    def gap(self, goal):
        """How far the best value up to now is from the goal; not above 0 if it has been reached."""
        return self.sign * goal - max((self.sign * value for value in self.values), default=-math.inf)

    def record(self):
        """What goes into the JSON file."""
        return {"setting": str(self.setting), "iterations": self.iterations, "values": self.values, "end": self.end}

    def __str__(self):
        best = self.sign * max(self.sign * value for value in self.values)
        return f"{self.setting!s:40} best {best:.4f}, {self.end} after {self.iterations[-1]} iterations"


def try_settings(peer, data, seed, goals, metric, say=print):
    """Run every budget and learning rate of a peer as far as it may still win.

    A run ends at the last goal; when an earlier one was there after as many iterations; or when, after a quarter or
    half of its budget, it is `HOPELESS` times as far from the last goal as the best learning rate.

    Parameters
    ----------
    peer : TorchPeer
        Its settings are in ascending order of budgets.
    data : Data
        What is learnt.
    seed : int
        Of the initial weights and the order.
    goals : sequence of float
        From the easiest to the hardest.
    metric : Metric
        Of the goals.
    say : callable
        Prints a line.

    Returns
    -------
    list of Trial
    """
    trials, limit, last_goal = [], math.inf, goals[-1]
    for _, settings in itertools.groupby(peer.settings, lambda setting: setting.epochs):
        running = []
        for setting in settings:
            n_iterations = peer.n_iterations(data, setting)
            points = evaluation_points(0.1 * n_iterations, GROWTH)
            running.append(Trial(setting, peer.run(data, setting, seed, points), metric.sign))
        trials += running
        for look in (*LOOKS, 1.0):
            for trial in running:
                trial.advance(min(look * n_iterations, limit), last_goal)
                limit = min(limit, trial.iterations_to(last_goal))
                if trial.end is None and trial.iterations[-1] >= min(n_iterations, limit):
                    trial.end = "beaten" if trial.iterations[-1] >= limit else "budget used up"
            least = min((trial.gap(last_goal) for trial in running), default=0.0)
            for trial in running:
                if trial.end is None and trial.gap(last_goal) > HOPELESS * max(least, 0.0):
                    trial.end = "hopeless"
            running = [trial for trial in running if trial.end is None]
    for trial in trials:
        say(f"  {peer.name:9} {trial}")
    return trials


def choose(trials, goals):
    """For each goal the setting with the fewest iterations to it, or else the best value; each setting once."""
    chosen = []
    for goal in goals:
        best = min(trials, key=lambda trial: (trial.iterations_to(goal), trial.gap(goal)))
        chosen.append(best.setting)
    return list(dict.fromkeys(chosen))
