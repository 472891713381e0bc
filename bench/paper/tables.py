"""Tables 2 and 3: our Algorithm 1 on MNIST by rows, and everything printed and drawn."""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from admmirnn import backend
from admmirnn.networks import ElmanRNN
from admmirnn.solvers.algorithm1.solver import Algorithm1
from admmirnn.solvers.algorithm1.variables import SweepSettings
from admmirnn.solvers.status import Status
from bench.paper.common import (
    LOSS,
    loss_and_accuracy,
    mean_and_spread,
    new_figure,
    print_caption,
    print_columns,
    residuals_at_last_step,
    sequences_of,
    variables_of,
)
from bench.paper.released import (
    ITERATIONS,
    PUBLISHED,
    SETTINGS,
    Setting,
    agreement,
    first_perfect,
    o_steps_alone,
    released_row,
)


@dataclass(frozen=True)
class Fit:
    """How our Algorithm 1 is run for one row of the tables."""

    setting: Setting
    signs: str = "derived"
    n_iterations: int = ITERATIONS
    r: float | str | None = None  # None: that of the setting, ten times larger as often as it diverges
    s_coupling: bool = False
    nu: float = 0.1


@dataclass(frozen=True)
class Sizes:
    """How much is computed."""

    released_images: int = 1000
    images: int = 200
    labelled_test_images: int = 100
    test_images: int = 1000
    n_hidden: int = 128
    n_seeds: int = 3
    long_fit: int = 40

    @property
    def fits(self):
        """A fit for each row, then those with printed signs and with r large enough."""
        return (
            *(Fit(setting) for setting in SETTINGS),
            Fit(Setting(), signs="printed", r=10.0, n_iterations=5),
            Fit(Setting(), signs="printed", r=10.0),
            Fit(Setting(), r=10.0, n_iterations=self.long_fit),
            Fit(Setting(), r="lipschitz", s_coupling=True, n_iterations=self.long_fit),
        )


QUICK = Sizes(40, 30, 20, 60, n_hidden=16, n_seeds=1, long_fit=4)


def algorithm1_row(data, fit, seed, sizes):
    """Train on rows of images with Algorithm 1; raise r tenfold as long as it diverges, unless r is given.

    Returns
    -------
    dict
        ``r``, ``status`` and ``history`` of the solver; ``test_auxiliary``: loss and accuracy of o on test images after
        each iteration; ``test_rollout``: those of the network itself after the last.  After divergence there is only
        the history before it.
    """
    (X, y), (X_test, y_test) = data["train"], data["test"]
    sequences = sequences_of(X[: sizes.images].astype(np.float32))
    test, y_test = X_test[: sizes.test_images].astype(np.float32), y_test[: sizes.test_images]
    for r in [fit.setting.r * factor for factor in (1, 10, 100, 1000)] if fit.r is None else [fit.r]:
        network = ElmanRNN.random(X.shape[2], sizes.n_hidden, 10, random_state=np.random.RandomState(seed))
        solver = Algorithm1(
            fit.setting.rho1,
            fit.setting.rho2,
            fit.setting.rho3,
            nu=fit.nu,
            r=r,
            signs=fit.signs,
            o_step="linearised",
            s_coupling=fit.s_coupling,
            max_iter=fit.n_iterations,
            keep="last",
        )
        outcome = solver.solve(network, sequences, y[: sizes.images].astype(np.intp), LOSS)
        if outcome.status is not Status.DIVERGED:
            break
    if outcome.status is Status.DIVERGED:
        before = outcome.history[:-1] or outcome.history
        result = {"status": f"diverged at {len(outcome.history)}", "history": before}
        return result | {"r": r, "test_auxiliary": [], "test_rollout": []}
    labelled = test[: sizes.labelled_test_images], y_test[: sizes.labelled_test_images]
    return {
        "r": r,
        "status": f"ran {len(outcome.history)}",
        "history": outcome.history,
        "test_auxiliary": auxiliary_of_labelled(network, *labelled, fit, outcome.history),
        "test_rollout": [loss_and_accuracy(network.outputs(sequences_of(test)), y_test)],
    }


def auxiliary_of_labelled(network, X, labels, fit, history):
    """Loss and accuracy of o on images with their labels: only o, s, a and the multipliers move, the weights stay.

    One iteration for each of the ``history``, with the r of its end, or with twice the Lipschitz constant of the steps
    of s and a where that is larger: a trained V asks for more than the one at the start.
    """
    kernels, setting = backend.kernels(), fit.setting
    variables = variables_of(kernels, network, sequences_of(X), np.asarray(labels, np.intp))
    variables.roll_out(kernels, network.activation)
    at = SweepSettings(
        setting.rho1,
        setting.rho2,
        setting.rho3,
        fit.nu,
        history[-1]["r"],
        derived=fit.signs == "derived",
        linearised=True,
        coupled=fit.s_coupling,
    )
    bounds = variables.lipschitz_bounds(at)
    at = replace(at, r=max(at.r, 2 * bounds["s"], 2 * bounds["a"]))
    room = [np.empty_like(values) for values in variables.blocks]
    measured = []
    for _ in history:
        kernels.sweep(variables, at, b"osaaso", 0, variables.n_steps)
        variables.update_multipliers(at, *residuals_at_last_step(kernels, variables, room))
        measured.append(loss_and_accuracy(variables.O[-len(labels) :], labels))
    return measured


def whole_numbers(values):
    """The different ones in order, with "never" for infinity."""
    return ", ".join("never" if value == math.inf else f"{value:g}" for value in sorted(set(values)))


def print_table_2(released, alone):
    """The paper's losses, auxiliary ones that have seen the labels, and those of the roll-out."""
    last, before = ITERATIONS, ITERATIONS - 1
    print_caption(
        "Table 2 (loss): auxiliary figures, which HAVE SEEN THE LABELS of the images they are measured on, test images "
        "too, and the roll-out",
        f"paper: its figures after {last} iterations, each compared with ours after {before} and after {last}, "
        f"whichever is nearer; rows without are ours. o alone: loss of o after {before} linearised o-steps of our "
        "kernels, with neither network nor data. q: V s + c of the authors' released scheme, written anew; mean (sd) "
        "over seeds. agrees to: digits and distance of o alone, of q. no network: for how many iterations the loss of "
        "q is, to 1e-6, that of the o-steps with a free c for every image; in exact arithmetic for all, but the scheme "
        f"amplifies rounding errors. ROLL-OUT: no labels; the same network after {last} iterations with the means of "
        "its biases, since an image whose label is not known has none.",
    )
    header = ["rho1", "rho2", "rho3", "r", "paper train", "test", "o alone", "agrees to", "no network"]
    header += [f"q({before}) train", f"q({last}) train", "agrees to", f"q({before}) test", f"q({last}) test"]
    header += ["ROLL-OUT train", "test"]
    rows = []
    for setting in SETTINGS:
        runs, steps = released[setting], alone[setting.rho3][before:]
        train, test = (np.array([run[part][before:] for run in runs]) for part in ("train", "test"))
        published = setting.published[:2] or (None, None)
        rows.append(
            [
                *setting.cells,
                *(loss or "-" for loss in published),
                f"{steps[0]:.5g}",
                agreement(*steps, published[0]),
                f"{min(run['independent'] for run in runs)}",
                *(mean_and_spread(losses, 5) for losses in train.T),
                agreement(*train.mean(axis=0), published[0]),
                *(mean_and_spread(losses, 5) for losses in test.T),
                *(mean_and_spread([run["unseen"][i][0] for run in runs], 4) for i in (0, 1)),
            ]
        )
    print_columns(header, rows)
    tame = [run["logged"] for runs in released.values() for run in runs if run["independent"] == last]
    print(
        "  The loss that the authors' code prints feeds s in as the previous state: "
        f"within {max(tame, default=math.nan):.0e} of q's where no network = {last}."
    )


def print_table_3(released):
    """When accuracy reaches 100.0 with the labels, and what is left without them."""
    print_caption(
        "Table 3: iterations to accuracy 100.0, of the released scheme with labels, and the roll-out without",
        "paper: in training / in test. with labels: the first iteration with 100.0, all q largest at their label, on "
        "training images and on test images; the authors' log prints the state before an iteration, so that its second "
        "line is the one after iteration 1. no labels: the roll-out, as in Table 2; mean (sd) over seeds.",
    )
    header = ["rho1", "rho2", "rho3", "r", "paper", "with labels: 100.0 at, train", "test"]
    header += ["no labels: ROLL-OUT accuracy train", "test"]
    rows = []
    for setting in SETTINGS:
        runs = released[setting]
        unseen = np.array([run["unseen"] for run in runs])
        perfect = (whole_numbers(run["perfect"][i] for run in runs) for i in (0, 1))
        accuracies = (mean_and_spread(unseen[:, i, 1], 3) for i in (0, 1))
        published = " / ".join(str(iterations) for iterations in setting.published[2:]) or "-"
        rows.append([*setting.cells, published, *perfect, *accuracies])
    print_columns(header, rows)


def print_algorithm1(ours, sizes):
    """Our Algorithm 1: auxiliary figures next to those of the roll-out, losses and then accuracies."""
    print_caption(
        "Tables 2 and 3, our Algorithm 1",
        f"{sizes.images} MNIST images as 28 rows of 28 pixels, n = {sizes.n_hidden}, shared weights and biases, "
        "linearised o-step, nu = 0.1; after the last iteration; mean (sd) over seeds. auxiliary: at o_N, which HAS "
        f"SEEN THE LABELS; on {sizes.labelled_test_images} test images o, s, a and the multipliers move with their "
        "labels while the trained weights stay. "
        f"roll-out: what the network itself gives for the pixels alone, NO LABELS; {sizes.test_images} test "
        "images. r used: ten times the setting's where that diverged; lipschitz*: twice the largest Lipschitz constant "
        "at every iteration, and an s-step with the term in a_{t+1} that the paper leaves out. A run that diverged "
        "shows the iteration before, and no test images.",
    )
    labels = ["rho1", "rho2", "rho3", "r", "signs", "r used", "iterations"]
    columns = ["auxiliary train", "test", "roll-out train", "test"]
    losses, accuracies = [], []
    for fit, runs in ours.items():
        row = [*fit.setting.cells, fit.signs, ", ".join(sorted({_name_of_r(fit, run["r"]) for run in runs}))]
        row.append(", ".join(sorted({run["status"] for run in runs})))
        losses.append(row + _four_cells(runs, ("auxiliary_loss", "rollout_loss"), 0, 4))
        tested = [run for run in runs if run["test_auxiliary"]]
        perfect = [
            whole_numbers(
                first_perfect([0, *(record["auxiliary_accuracy"] for record in run["history"])]) for run in runs
            ),
            whole_numbers(first_perfect([0, *(found[1] for found in run["test_auxiliary"])]) for run in tested) or "-",
        ]
        accuracies.append(row + perfect + _four_cells(runs, ("auxiliary_accuracy", "training_accuracy"), 1, 3))
    print("\n  losses")
    print_columns([*labels, *columns], losses)
    print("\n  accuracies, and the first iteration with an auxiliary accuracy of 100.0")
    print_columns([*labels, "100.0 at, train", "test", *columns], accuracies)


def _name_of_r(fit, r):
    return f"{r}*" if fit.s_coupling else f"{r:g}"


def _four_cells(runs, names, i, digits):
    """Auxiliary and roll-out figures at the end, of training and of test images; i = 0 for losses, 1 for accuracies."""
    cells = []
    for name, kind in zip(names, ("test_auxiliary", "test_rollout"), strict=True):
        cells.append(mean_and_spread([run["history"][-1][name] for run in runs], digits))
        tested = [run[kind][-1][i] for run in runs if run[kind]]
        cells.append(mean_and_spread(tested, digits) if len(tested) == len(runs) else "-")
    return cells


def draw_tables(path, released, alone, ours):
    """Left, the losses of Table 2 by iteration; right, Algorithm 1's auxiliary figures and the roll-out."""
    figure = new_figure(12.5, 6)
    if figure is None:
        return
    axes = figure.subplot_mosaic([["losses", "loss"], ["losses", "accuracy"]])
    left = axes["losses"]
    for i, rho3 in enumerate(alone):
        iterations = range(ITERATIONS + 1)
        losses = released[Setting(rho3=rho3)][0]["train"]
        left.semilogy(iterations, losses, color=f"C{i}", label=f"released scheme, q, rho3 = {rho3:g}")
        left.semilogy(iterations, alone[rho3], "--", color=f"C{i}", lw=1, label="o-steps alone" if i == 0 else None)
        marks = [float(figures[0]) for (_, _, its_rho3, _), figures in PUBLISHED.items() if its_rho3 == rho3]
        left.plot([ITERATIONS] * len(marks), marks, "k^", ms=8, mfc="none", label="paper" if i == 0 else None)
    left.set(xlabel="iterations", ylabel="loss, labels seen", xticks=range(0, ITERATIONS + 1, 5))
    left.set_title("Table 2: the loss of a variable that sees the label")
    shown = [fit for fit in ours if fit.signs == "derived" and (fit.setting.rho2 == 0.1 or fit.s_coupling)]
    for i, fit in enumerate(shown):
        history = ours[fit][0]["history"]
        name = f"rho2 = {fit.setting.rho2:g}, r = {_name_of_r(fit, ours[fit][0]['r'])}"
        for panel, auxiliary, rollout in (
            ("loss", "auxiliary_loss", "rollout_loss"),
            ("accuracy", "auxiliary_accuracy", "training_accuracy"),
        ):
            iterations = [record["epoch"] for record in history]
            axes[panel].plot(iterations, [record[auxiliary] for record in history], f"C{i}", label=f"auxiliary, {name}")
            axes[panel].plot(iterations, [record[rollout] for record in history], f"C{i}--", label=f"roll-out, {name}")
    axes["loss"].set(yscale="log", ylabel="training loss", title="Our Algorithm 1 on MNIST by rows, derived signs")
    axes["accuracy"].set(xlabel="iterations", ylabel="training accuracy")
    for axis in axes.values():
        axis.grid(alpha=0.3)
    left.legend(fontsize=8)
    axes["accuracy"].legend(fontsize=8)
    figure.savefig(path, dpi=120)
    print(f"\npicture: {path.resolve()}")


def tables(data, sizes, first_seed, output):
    """Compute, print and draw everything about Tables 2 and 3.

    Parameters
    ----------
    data : dict
        Images (n, n_steps, n_features) and labels of "train" and "test".
    sizes : Sizes
        How much.
    first_seed : int
        Where seeds count from.
    output : path-like
        Folder of the picture.

    Returns
    -------
    alone, released, ours : dict
        By rho3 the losses of `o_steps_alone`; by setting and by fit what `released_row` and `algorithm1_row` found, a
        seed each.
    """
    seeds = range(first_seed, first_seed + sizes.n_seeds)
    alone = {rho3: o_steps_alone(rho3, ITERATIONS) for rho3 in sorted({setting.rho3 for setting in SETTINGS})}
    jobs = [(released_row, setting, seed) for setting in SETTINGS for seed in seeds]
    jobs += [(algorithm1_row, fit, seed) for fit in sizes.fits for seed in seeds]

    def compute(job):
        compute_row, row, seed = job
        with np.errstate(all="ignore"):  # some settings diverge; that is a finding
            return compute_row(data, row, seed, sizes)

    with backend.one_blas_thread(), ThreadPoolExecutor(os.cpu_count()) as pool:
        found = {}
        for (_, row, _), result in zip(jobs, pool.map(compute, jobs), strict=True):
            found.setdefault(row, []).append(result)
    released = {setting: found[setting] for setting in SETTINGS}
    ours = {fit: found[fit] for fit in sizes.fits}
    print(f"seeds {seeds[0]} to {seeds[-1]}")
    print_table_2(released, alone)
    print_table_3(released)
    print_algorithm1(ours, sizes)
    draw_tables(Path(output) / "admmirnn-paper-tables.png", released, alone, ours)
    return alone, released, ours
