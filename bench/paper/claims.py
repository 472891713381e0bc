"""What the paper claims of its figures, and what the curves say to it, by both metrics."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.paper.jobs import ALGORITHM_1, ROLLOUT
from bench.paper.plots import numbers

COLUMNS = ("auxiliary", "roll-out of Algorithm 1", "roll-out of Rollout")
_OF_COLUMNS = ((ALGORITHM_1, "auxiliary"), (ALGORITHM_1, "rollout"), (ROLLOUT, "rollout"))
FIRST = 20  # iterations after which "fastest" is judged
GOOD_ACCURACY = 0.9
SHARE_OF_SPREAD, SHARE_OF_MEAN, LENGTH_COSTS = 1 / 4, 1 / 3, 1.05  # the targets of this project
NOTHING_CHANGES = 0.02  # relative difference of losses
HARDLY = 1.1  # largest loss over the smallest where a setting hardly matters


@dataclass(frozen=True)
class Verdict:
    """Whether a claim holds, None where that is no question, and the numbers that say so."""

    holds: bool | None
    found: str

    def __str__(self):
        word = {True: "yes: ", False: "no: ", None: ""}[self.holds]
        return f"{word}{self.found}"


NO_NU = Verdict(None, "it has no nu")


@dataclass(frozen=True)
class Claim:
    """A claim about a figure.

    Attributes
    ----------
    figure : str
        Its number.
    where : str
        In the paper.
    text : str
        What is claimed.
    judge : callable
        From the figure's data, a list of three verdicts, one for each of `COLUMNS`.
    test : str
        Which one of tests/test_paper_figures.py checks it.
    """

    figure: str
    where: str
    text: str
    judge: Callable
    test: str


def _of_columns(data, judge):
    """A verdict for each column, from the series of its solver and the prefix of its figures."""
    return [judge(data["series"][solver], metric) for solver, metric in _OF_COLUMNS]


def _peers(data):
    return {name: series for name, series in data["series"].items() if name not in (ALGORITHM_1, ROLLOUT)}


def _mean(series, name):
    return numbers(series[name]["mean"]) if name in series else np.array([math.nan])


def _number(value):
    return "none" if not math.isfinite(value) else f"{value:.3g}"


def lowest_at_the_end(data):
    """Lowest test loss after the last iteration."""
    ends = {name: _mean(series, "rollout_test_loss")[-1] for name, series in _peers(data).items()}
    best = min(ends, key=lambda name: ends[name] if math.isfinite(ends[name]) else math.inf)

    def judge(series, metric):
        end = _mean(series, f"{metric}_test_loss")[-1]
        return Verdict(bool(end < ends[best]), f"{_number(end)}, {best} {_number(ends[best])}")

    return _of_columns(data, judge)


def fastest(data):
    """Below every peer in test loss at every iteration after the 20th."""
    iterations = np.array(data["iterations"])
    late = iterations > FIRST
    theirs = np.nanmin([_mean(series, "rollout_test_loss") for series in _peers(data).values()], axis=0)

    def judge(series, metric):
        above = late & ~(_mean(series, f"{metric}_test_loss") < theirs)
        if not above.any():
            return Verdict(True, f"at every iteration from {iterations[late][0]} on")
        return Verdict(False, f"not at iterations {_ranges(iterations, above)}")

    return _of_columns(data, judge)


def _ranges(iterations, chosen):
    """Runs of neighbouring evaluations, such as "22 to 41, 1000"."""
    found, start = [], None
    for i in range(len(chosen) + 1):
        if i < len(chosen) and chosen[i]:
            start = i if start is None else start
        elif start is not None:
            first, last = iterations[start], iterations[i - 1]
            found.append(f"{first}" if first == last else f"{first} to {last}")
            start = None
    return ", ".join(found)


def smoothest(data):
    """By how much the training loss rises, in all, on the way down."""
    late = np.array(data["iterations"]) > FIRST

    def rise(series, name):
        values = np.log(_mean(series, name)[late])
        return float(np.maximum(np.diff(values), 0).sum()) if np.isfinite(values).all() else math.inf

    theirs = {name: rise(series, "rollout_training_loss") for name, series in _peers(data).items()}
    best, worst = min(theirs, key=theirs.get), max(theirs, key=theirs.get)

    def judge(series, metric):
        ours = rise(series, f"{metric}_training_loss")
        return Verdict(
            ours <= theirs[best],
            f"rises add up to {_percent(ours)}, {best} {_percent(theirs[best])}, {worst} {_percent(theirs[worst])}",
        )

    return _of_columns(data, judge)


def _percent(of_log):
    return f"{100 * math.expm1(of_log):.3g} %" if math.isfinite(of_log) else "no end"


def immune_to_length(data):
    """The worst length costs at most 1.05 of the best one."""
    theirs = {name: _largest_over_smallest(series) for name, series in _peers(data).items()}
    compared = ", ".join(f"{name} {_number(value)}" for name, value in theirs.items())

    def judge(series, metric):
        ours = _largest_over_smallest(series, metric)
        return Verdict(bool(ours <= LENGTH_COSTS), f"worst / best length {ours:.3f}, {compared}")

    return _of_columns(data, judge)


def longest_costs_nothing(data):
    """The loss at the longest input is at most 1.05 of that at 25."""
    lengths = data["lengths"]

    def judge(series, metric):
        losses = _mean(series, f"{metric}_test_loss")
        ratio = losses[-1] / losses[lengths.index(25)]
        return Verdict(bool(ratio <= LENGTH_COSTS), f"{losses[-1]:.3f} / {losses[lengths.index(25)]:.3f} = {ratio:.3f}")

    return _of_columns(data, judge)


def _largest_over_smallest(series, metric="rollout"):
    losses = _mean(series, f"{metric}_test_loss")
    return float(losses.max() / losses.min()) if np.isfinite(losses).all() else math.inf


def better_than_sgd_everywhere(data):
    """SGD is worse at every length."""
    sgd = _mean(data["series"]["SGD"], "rollout_test_loss")

    def judge(series, metric):
        ours = _mean(series, f"{metric}_test_loss")
        ratios = ours / sgd
        return Verdict(bool((ratios < 1).all()), f"{ratios.min():.3f} to {ratios.max():.3f} of SGD's loss")

    return _of_columns(data, judge)


def small_deviation(data):
    """The standard deviation of the test loss at the end, against Adam's and SGD's."""
    theirs = {name: numbers(data["series"][name]["rollout_test_loss"]["sd"])[-1] for name in ("Adam", "SGD")}

    def judge(series, metric):
        sd = numbers(series[f"{metric}_test_loss"]["sd"])[-1]
        ratios = ", ".join(f"{sd / value:.3f} of {name}'s" for name, value in theirs.items())
        return Verdict(bool(sd <= SHARE_OF_SPREAD * theirs["Adam"]), f"{_number(sd)}, {ratios}")

    return _of_columns(data, judge)


def small_mean(data):
    """The mean of the test loss at the end, against Adam's."""
    adam = _mean(data["series"]["Adam"], "rollout_test_loss")[-1]

    def judge(series, metric):
        mean = _mean(series, f"{metric}_test_loss")[-1]
        return Verdict(bool(mean <= SHARE_OF_MEAN * adam), f"{_number(mean)}, {mean / adam:.3f} of Adam's")

    return _of_columns(data, judge)


def deviations_of_the_peers(data):
    """SGD's deviation grows as training goes on, those of Adam and RMSprop shrink."""
    first = int(np.flatnonzero(np.array(data["iterations"]) > FIRST)[0])
    growth = {}
    for name in ("SGD", "Adam", "RMSprop"):
        sd = numbers(data["series"][name]["rollout_test_loss"]["sd"])
        growth[name] = sd[-1] / sd[first]
    holds = bool(growth["SGD"] > 1 > max(growth["Adam"], growth["RMSprop"]))
    found = ", ".join(f"{name} {_number(value)}" for name, value in growth.items())
    found = f"end / iteration {data['iterations'][first]}: {found}"
    return [Verdict(holds, f"of the peers alone, {found}"), Verdict(None, "-"), Verdict(None, "-")]


def immune_to_the_start(data):
    """How far apart the initial weights, times each of the scales, let the test loss end."""
    apart = {}
    for name in ("SGD", "Adam"):
        losses = _mean(data["starts"][name], "rollout_test_loss")
        apart[name] = losses.max() - losses.min() if np.isfinite(losses).all() else math.inf
    compared = ", ".join(f"{name} {_number(value)}" for name, value in apart.items())
    verdicts = []
    for solver, metric in _OF_COLUMNS:
        losses = _mean(data["starts"][solver], f"{metric}_test_loss")
        ours = losses.max() - losses.min() if np.isfinite(losses).all() else math.inf
        found = ", ".join(f"{_number(loss)} at x {scale:g}" for scale, loss in zip(data["scales"], losses, strict=True))
        verdicts.append(Verdict(bool(ours < min(apart.values())), f"{found}; {_number(ours)} apart, {compared}"))
    return verdicts


def _sweeps(data):
    """Series of Algorithm 1 by nu, the largest first, and those of Rollout, its defaults first."""
    of_nu = {name.split("= ")[1]: series for name, series in data["series"].items() if name.startswith(ALGORITHM_1)}
    rollout = {name.split(", ")[1]: series for name, series in data["series"].items() if name.startswith(ROLLOUT)}
    return of_nu, rollout


def large_nu_ends_worse(data):
    """The training loss at the end, at the largest nu and at the smallest."""
    of_nu, _ = _sweeps(data)
    (largest, high), *_, (smallest, low) = of_nu.items()
    verdicts = []
    for metric in ("auxiliary", "rollout"):
        ends = [_mean(series, f"{metric}_training_loss")[-1] for series in (high, low)]
        found = f"nu = {largest} {_number(ends[0])}, {smallest} {_number(ends[1])}"
        verdicts.append(Verdict(bool(ends[0] > ends[1]), found))
    return [*verdicts, NO_NU]


def hardly_matters(data):
    """The largest training loss at the end over the smallest, over nu, or over what plays its part in Rollout."""
    of_nu, rollout = _sweeps(data)
    verdicts = []
    for solver, metric in _OF_COLUMNS:
        sweep = rollout if solver == ROLLOUT else {f"nu = {nu}": series for nu, series in of_nu.items()}
        ends = {name: _mean(series, f"{metric}_training_loss")[-1] for name, series in sweep.items()}
        best, worst = min(ends, key=ends.get), max(ends, key=ends.get)
        found = f"{_number(ends[best])} ({best}) to {_number(ends[worst])} ({worst})"
        verdicts.append(Verdict(bool(ends[worst] <= HARDLY * ends[best]), found))
    return verdicts


def below_some_nu_nothing_changes(data):
    """The two smallest nu end alike."""
    of_nu, _ = _sweeps(data)
    (first, high), (second, low) = list(of_nu.items())[-2:]
    verdicts = []
    for metric in ("auxiliary", "rollout"):
        ends = [_mean(series, f"{metric}_training_loss")[-1] for series in (high, low)]
        difference = abs(ends[0] / ends[1] - 1)
        found = f"nu = {first} {_number(ends[0])}, {second} {_number(ends[1])}"
        verdicts.append(Verdict(bool(difference <= NOTHING_CHANGES), found))
    return [*verdicts, NO_NU]


def large_nu_delays(data):
    """Iterations until the training accuracy stays above 0.9, at the largest nu and at the smallest."""
    of_nu, rollout = _sweeps(data)
    (largest, high), *_, (smallest, low) = of_nu.items()
    verdicts = []
    for metric in ("auxiliary", "rollout"):
        name = f"{metric}_training_accuracy"
        late, early = (_stays_above(data["iterations"], _mean(series, name)) for series in (high, low))
        found = f"accuracy {GOOD_ACCURACY:g} {_when(late)} at nu = {largest}, {_when(early)} at {smallest}"
        verdicts.append(Verdict(bool(late > early), found))
    times = [
        _stays_above(data["iterations"], _mean(series, "rollout_training_accuracy")) for series in rollout.values()
    ]
    found = f"it has no nu; accuracy {GOOD_ACCURACY:g} {_when(min(times))} at best, {_when(max(times))} at worst"
    return [*verdicts, Verdict(None, found)]


def _when(iteration):
    return f"from iteration {iteration}" if math.isfinite(iteration) else "never"


def _stays_above(iterations, values):
    """The first evaluation from which on all values are good, or inf."""
    below = np.flatnonzero(~(values >= GOOD_ACCURACY))
    first = below[-1] + 1 if len(below) else 0
    return iterations[first] if first < len(iterations) else math.inf


def plain_in_accuracies(data):
    """How far nu spreads the final validation accuracy, in units of itself, and the training loss, of log 10."""
    of_nu, rollout = _sweeps(data)
    verdicts = []
    for solver, metric in _OF_COLUMNS:
        sweep = rollout if solver == ROLLOUT else of_nu
        accuracy, loss = (
            _spread([_mean(series, f"{metric}_{what}") for series in sweep.values()])
            for what in ("test_accuracy", "training_loss")
        )
        loss /= math.log(10)  # that of a network that knows nothing
        found = f"at most {accuracy:.3f} apart in accuracy, {loss:.3f} log 10 in loss"
        verdicts.append(Verdict(None if solver == ROLLOUT else bool(accuracy > loss), found))
    return verdicts


def _spread(curves):
    """The largest distance between any two curves at any evaluation after the 20th iteration or so."""
    curves = np.array(curves)
    curves = curves[:, curves.shape[1] // 2 :]
    return float((curves.max(axis=0) - curves.min(axis=0)).max())


_BELOW = "test_rollout_is_below_the_peers_and_deviates_less"
_LENGTH = "test_rollout_is_immune_to_the_length"
_NU = "test_small_nu_helps_the_auxiliary_loss_on_text_and_not_the_network"
_SETTINGS = "test_rollout_is_less_sensitive_to_its_settings_than_the_peers_are_to_the_learning_rate"
CLAIMS = (
    Claim("2", "Fig. 2 (b)", "ADMM ends with the lowest test loss", lowest_at_the_end, _BELOW),
    Claim("2", "Fig. 2 (b)", "ADMM converges fastest: below every other after iteration 20", fastest, _BELOW),
    Claim(
        "2",
        "Fig. 2 (a)",
        "ADMM's training loss falls smoothly where the others shake",
        smoothest,
        "test_smooth_curves_do_not_rise",
    ),
    Claim("3", "Fig. 3", "ADMM is nearly immune to the length of the input", immune_to_length, _LENGTH),
    Claim("3", "asked here", "the longest input costs at most 1.05 of the loss at 25", longest_costs_nothing, _LENGTH),
    Claim("3", "Fig. 3", "SGD is worse at every length", better_than_sgd_everywhere, _LENGTH),
    Claim(
        "4",
        "Fig. 4 (b)",
        "ADMM's deviation is too small to see (here: at most 1/4 of Adam's)",
        small_deviation,
        _BELOW,
    ),
    Claim("4", "asked here", "its mean is at most 1/3 of Adam's", small_mean, _BELOW),
    Claim(
        "4",
        "Fig. 4",
        "SGD's deviation grows, those of Adam and RMSprop shrink",
        deviations_of_the_peers,
        "test_deviations",
    ),
    Claim(
        "4",
        "Sec. 4",
        "ADMM is immune to the start of its weights",
        immune_to_the_start,
        "test_rollout_is_immune_to_the_start",
    ),
    Claim("5", "Fig. 5", "a large nu ends worse", large_nu_ends_worse, _NU),
    Claim("5", "Fig. 5", "below some nu nothing changes", below_some_nu_nothing_changes, _NU),
    Claim("5", "Fig. 5", "nu, or what plays its part, hardly matters", hardly_matters, _SETTINGS),
    Claim("6", "Fig. 6 (a)", "a large nu delays", large_nu_delays, "test_sweeps"),
    Claim("6", "Fig. 6 (b), (c)", "which is plain in accuracies and small in the loss", plain_in_accuracies, _SETTINGS),
)
