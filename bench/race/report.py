"""Who reached what when: the table, the verdict and the JSON file."""

import math
from dataclasses import dataclass

import numpy as np

from bench.race.curves import MeanCurve


@dataclass(frozen=True)
class Place:
    """A contender's time to a goal, at the best of its settings.

    Attributes
    ----------
    kind : {"ours", "peer", "other"}
        Only peers are competed with.
    curve : MeanCurve
        Of the setting that reaches the goal first, or gets nearest to it.
    seconds : float
        At which the mean curve reaches the goal; inf if it does not.
    of_seeds : list of float
        Seconds of each seed on its own; inf where it does not reach the goal.
    """

    kind: str
    curve: MeanCurve
    seconds: float
    of_seeds: list


@dataclass(frozen=True)
class Standing:
    """All contenders' times to one goal.

    Attributes
    ----------
    goal : Goal
        As the task states it.
    value : float
        Of the metric.
    places : list of Place
        Fastest first.
    """

    goal: object
    value: float
    places: list

    @property
    def ours(self):
        """Our place."""
        return next(place for place in self.places if place.kind == "ours")

    @property
    def best_peer(self):
        """The place of the goal's rival, which is the fastest peer unless it names one."""
        names = {self.goal.rival} if self.goal.rival else {place.curve.contender for place in self.places}
        return next(place for place in self.places if place.kind == "peer" and place.curve.contender in names)

    @property
    def share(self):
        """Our seconds / the best peer's; 0 if only we reach the goal, inf if we do not."""
        if math.isinf(self.ours.seconds):
            return math.inf
        return self.ours.seconds / self.best_peer.seconds

    @property
    def met(self):
        """Whether the share is small enough; None when nothing is asked for."""
        return None if self.goal.share is None else self.share <= self.goal.share

    def record(self):
        """What goes into the JSON file."""
        places = [
            {
                "contender": place.curve.contender,
                "setting": place.curve.setting,
                "seconds": place.seconds,
                "seconds_of_seeds": place.of_seeds,
            }
            for place in self.places
        ]
        return {
            "value": self.value,
            "off": self.goal.off,
            "share": self.share,
            "wanted": self.goal.share,
            "met": self.met,
            "places": places,
        }


def standings(task, kinds, means):
    """Compare all contenders at all goals.

    Parameters
    ----------
    task : Task
        Its goals and its metric.
    kinds : dict of str to str
        Kind of each contender.
    means : list of MeanCurve
        All curves; of several of one contender the one that is at the goal first counts.

    Returns
    -------
    list of Standing
    """
    found = []
    for goal in task.goals:
        value = goal.value
        if value is None and goal.rival:
            finals = [mean.values[-1] for mean in means if mean.contender == goal.rival]
            value = task.metric.best(finals) - task.metric.sign * goal.off
        elif value is None:
            of_peers = [task.metric.best(mean.values) for mean in means if kinds[mean.contender] == "peer"]
            value = task.metric.best(of_peers) - task.metric.sign * goal.off
        places = []
        for name, kind in kinds.items():
            candidates = [mean for mean in means if mean.contender == name]
            if kind == "ours":
                candidates = [mean for mean in candidates if mean.setting == str(goal.ours)]
            if candidates:
                places.append(_place(kind, candidates, value, task.metric))
        found.append(Standing(goal, float(value), sorted(places, key=lambda place: place.seconds)))
    return found


def _place(kind, candidates, value, metric):
    def rank(mean):
        return mean.seconds_to(value, metric), -metric.sign * metric.best(mean.values)

    best = min(candidates, key=rank)
    return Place(kind, best, best.seconds_to(value, metric), best.seconds_of_seeds(value, metric))


def print_standing(standing, metric):
    """Print the table of one goal, which is one of Markdown too."""
    n_seeds = len(standing.ours.of_seeds)
    print(f"\n{metric.name} {standing.value:.4f}{_origin(standing.goal)}, {n_seeds} seed{'s' * (n_seeds > 1)}\n")
    rows = [
        ("contender", "setting", f"best {metric.name}", "seconds", "of each seed: median (range)", "ours / theirs"),
        (":--", ":--", "--:", "--:", "--:", "--:"),
    ]
    for place in standing.places:
        median, low, high = (_seconds(of(place.of_seeds)) for of in (np.median, min, max))
        ratio = "" if place.kind == "ours" else _ratio(standing.ours.seconds, place.seconds)
        rows.append((
            place.curve.contender,
            place.curve.setting,
            f"{metric.best(place.curve.values):.4f}",
            _seconds(place.seconds),
            f"{median} ({low} to {high})",
            f"({ratio})" if place.kind == "other" and ratio else ratio,
        ))  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print(f"| {' | '.join(cells)} |")


def verdict(standing, metric):
    """One line: whether our time is small enough a part of the best peer's."""
    ours, peer = standing.ours, standing.best_peer
    word = {True: "met    ", False: "NOT MET", None: "       "}[standing.met]
    wanted = "for information" if standing.goal.share is None else f"target at most 1/{1 / standing.goal.share:g}"
    return (
        f"{word} {metric.name} {standing.value:.4f}{_origin(standing.goal)}: ours {_seconds(ours.seconds)} s, "
        f"{peer.curve.contender} {_seconds(peer.seconds)} s, ours / peer = "
        f"{_ratio(ours.seconds, peer.seconds) or 'none'} ({wanted})"
    )


def _origin(goal):
    if goal.value is not None:
        return ""
    origin = f"{goal.rival}'s final value" if goal.rival else "the peers' best"
    return f" ({origin}{f' and {goal.off:g} less' if goal.off else ''})"


def _seconds(seconds):
    return "never" if math.isinf(seconds) else f"{seconds:.3g}" if seconds < 100 else f"{seconds:.0f}"


def _ratio(ours, theirs):
    """As one part in so many; empty unless both are there."""
    return f"1/{theirs / ours:.2f}" if math.isfinite(ours) and math.isfinite(theirs) else ""
