"""Figures 2 to 6: which trainings each of them needs, and the means and spreads of their curves."""

import math
from dataclasses import dataclass, replace

import numpy as np

from bench.paper.jobs import ALGORITHM_1, ROLLOUT, Training
from bench.paper.problems import Images, Text

PEERS = ("SGD", "AdaGrad", "Momentum", "RMSprop", "Adam")
LOSSES = tuple(f"{metric}_{part}_loss" for part in ("training", "test") for metric in ("auxiliary", "rollout"))
DEFAULT = "defaults"


@dataclass(frozen=True)
class Sizes:
    """How much is computed.

    Attributes
    ----------
    images : Images
        Of Figures 2, 4 and 6.
    text : Text
        Of Figures 3 and 5, the latter with the length of this one.
    lengths : tuple of int
        Lengths of the input in Figure 3.
    n_seeds : int
        Runs of each setting in Figures 2, 5 and 6.
    n_of_lengths : int
        Runs of each length in Figure 3.
    n_repeats : int
        Runs of Figure 4.
    start_scales : tuple of float
        What the initial weights are multiplied by.
    n_starts : int
        Runs of each of these.
    nus_of_text, nus_of_images : tuple of float
        Penalties of Figures 5 and 6, the largest first.
    changes : tuple of (name, factor)
        What plays their part in Rollout, in units of the default.
    """

    images: Images = Images()
    text: Text = Text()
    lengths: tuple = (5, 25, 100, 200)
    n_seeds: int = 3
    n_of_lengths: int = 2
    n_repeats: int = 10
    start_scales: tuple = (0.01, 1.0, 3.0)
    n_starts: int = 2
    nus_of_text: tuple = (1e-2, 1e-3, 1e-4, 1e-6, 1e-8)
    nus_of_images: tuple = (1.0, 1e-1, 1e-2, 1e-4)
    changes: tuple = (
        *(("r", factor) for factor in (0.1, 10.0)),
        *(("radius", factor) for factor in (0.25, 2.0)),
        *(("damping", factor) for factor in (0.1, 10.0)),
    )


QUICK = Sizes(
    Images(n_iterations=24, n_hidden=8, n_train=300, n_evaluated=100, batch_size=50, n_split=12, n_split_hidden=4),
    Text(n_iterations=8, n_hidden=8, n_characters=200, n_evaluated=1000),
    lengths=(5, 25),
    n_seeds=1,
    n_of_lengths=1,
    n_repeats=2,
    start_scales=(0.1, 1.0),
    n_starts=1,
    nus_of_text=(1e-2, 1e-8),
    nus_of_images=(1.0, 1e-2),
    changes=(("r", 10.0), ("radius", 0.5)),
)


def averaged(runs, points, names):
    """Mean and standard deviation over runs at each of the points, by name.

    A run that diverged has no value from there on, and where one has none there is no mean.
    """
    found = {"n": len(runs)}
    for name in names:
        if name not in runs[0].values:
            continue
        values = np.full((len(runs), len(points)), math.nan)
        for row, run in zip(values, runs, strict=True):
            row[: len(run.iterations)] = run.values[name]
        spread = np.std(values, axis=0, ddof=1) if len(runs) > 1 else np.zeros(len(points))
        found[name] = {"mean": rounded(values.mean(axis=0)), "sd": rounded(spread)}
    return found


def rounded(values):
    """Floats to five digits, which is more than can be seen."""
    return [float(f"{value:.5g}") for value in values]


def curves_of(runner, groups, names, label):
    """Run the trainings of every group, a list by its label, and average them.

    Returns
    -------
    dict
        ``iterations``, those of the evaluations, and ``series`` by label, see `averaged`.
    """
    runner.run([training for group in groups.values() for training in group], label)
    points = next(iter(groups.values()))[0].problem.points
    series = {name: averaged([runner.found[one] for one in group], points, names) for name, group in groups.items()}
    return {"iterations": list(points), "series": series}


def repeated(problem, contender, seeds, **settings):
    """The same training with several seeds."""
    return [Training(problem, contender, seed, **settings) for seed in seeds]


def contenders(problem, peers, rates, seeds):
    """Both of our solvers and the peers, each with all seeds."""
    groups = {name: repeated(problem, name, seeds) for name in (ALGORITHM_1, ROLLOUT)}
    return groups | {peer: repeated(problem, peer, seeds, learning_rate=rates[peer]) for peer in peers}


def figure_2(runner, sizes, first_seed):
    """Training and test loss against iterations on images, against five optimisers."""
    rates = runner.learning_rates(sizes.images, PEERS, first_seed)
    seeds = range(first_seed, first_seed + sizes.n_seeds)
    groups = contenders(sizes.images, PEERS, rates, seeds)
    return curves_of(runner, groups, LOSSES, "Figure 2") | {"learning_rates": rates}


def figure_3(runner, sizes, first_seed):
    """Loss after the last iteration against the length of the input, on text."""
    peers = ("SGD", "Adam")
    seeds = range(first_seed, first_seed + sizes.n_of_lengths)
    problems = [replace(sizes.text, length=length) for length in sizes.lengths]
    rates = {}
    for problem in problems:
        rates[problem.length] = runner.learning_rates(problem, peers, first_seed)
    groups = {problem: contenders(problem, peers, rates[problem.length], seeds) for problem in problems}
    # the longest first, as they take longest and the others fill the gaps
    runner.run(
        [one for problem in reversed(problems) for group in groups[problem].values() for one in group], "Figure 3"
    )
    series = {}
    for contender in (ALGORITHM_1, ROLLOUT, *peers):
        ends = [
            averaged([runner.found[one] for one in groups[problem][contender]], problem.points, LOSSES)
            for problem in problems
        ]
        series[contender] = {"n": sizes.n_of_lengths} | {
            name: {what: [end[name][what][-1] for end in ends] for what in ("mean", "sd")}
            for name in LOSSES
            if name in ends[0]
        }
    rates = {peer: [rates[length][peer] for length in sizes.lengths] for peer in peers}
    return {"lengths": list(sizes.lengths), "series": series, "learning_rates": rates}


def figure_4(runner, sizes, first_seed):
    """Mean and standard deviation over repeated runs on images; and losses from smaller and larger initial weights."""
    peers = ("SGD", "RMSprop", "Adam")
    rates = runner.learning_rates(sizes.images, peers, first_seed)
    seeds = range(first_seed, first_seed + sizes.n_repeats)
    found = curves_of(runner, contenders(sizes.images, peers, rates, seeds), LOSSES, "Figure 4")
    seeds = seeds[: sizes.n_starts]
    scaled = {scale: replace(sizes.images, start_scale=scale) for scale in sizes.start_scales}
    groups = {scale: contenders(problem, ("SGD", "Adam"), rates, seeds) for scale, problem in scaled.items()}
    runner.run([one for of_scale in groups.values() for group in of_scale.values() for one in group], "starts")
    starts = {}
    for contender in groups[sizes.start_scales[0]]:
        ends = [
            averaged([runner.found[one] for one in groups[scale][contender]], sizes.images.points, LOSSES)
            for scale in sizes.start_scales
        ]
        starts[contender] = {
            name: {what: [end[name][what][-1] for end in ends] for what in ("mean", "sd")}
            for name in LOSSES
            if name in ends[0]
        }
    rates = {peer: rates[peer] for peer in peers}
    return found | {"scales": list(sizes.start_scales), "starts": starts, "learning_rates": rates}


def figure_5(runner, sizes, first_seed):
    """Training loss against iterations on text, for several nu, and for what plays its part in Rollout."""
    names = [name for name in LOSSES if "training" in name]
    groups = _sweep(sizes.text, sizes.nus_of_text, sizes, first_seed)
    return curves_of(runner, groups, names, "Figure 5")


def figure_6(runner, sizes, first_seed):
    """Accuracies and training loss against iterations on images, for several nu and what plays its part."""
    names = [f"{metric}_{what}" for what in ("training_accuracy", "test_accuracy", "training_loss")
             for metric in ("auxiliary", "rollout")]  # fmt: skip
    groups = _sweep(sizes.images, sizes.nus_of_images, sizes, first_seed)
    return curves_of(runner, groups, names, "Figure 6")


def _sweep(problem, nus, sizes, first_seed):
    """Algorithm 1 with each nu, and Rollout with its defaults and one of them changed."""
    seeds = range(first_seed, first_seed + sizes.n_seeds)
    groups = {f"{ALGORITHM_1}, nu = {nu:g}": repeated(problem, ALGORITHM_1, seeds, nu=nu) for nu in nus}
    groups[f"{ROLLOUT}, {DEFAULT}"] = repeated(problem, ROLLOUT, seeds)
    for name, factor in sizes.changes:
        label = f"{ROLLOUT}, {name} x {factor:g}"
        groups[label] = repeated(problem, ROLLOUT, seeds, changes=((name, factor),))
    return groups


FIGURES = {"2": figure_2, "3": figure_3, "4": figure_4, "5": figure_5, "6": figure_6}
