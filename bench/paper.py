"""What the paper's experiments measure, next to what the networks predict: ``python -m bench.paper tables | text``.

tables: the losses and accuracies of Tables 2 and 3, from the o-steps alone, from the scheme that the authors released,
and from Algorithm 1 on MNIST by rows, there together with the roll-out.
text: the authors' character experiment as they released it, with the derived signs, and with parameters that let it
learn.

Data are read from the folder that ADMMIRNN_DATA names.  Seeds count from --first-seed; everything runs on one BLAS
thread, ``tables`` on several threads of its own.
"""

import argparse
import math
import os
import platform
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import scipy

import admmirnn
from admmirnn import Rollout, backend
from admmirnn.datasets import load_mnist
from admmirnn.losses import SoftmaxCrossEntropy
from admmirnn.model import ElmanRNN
from admmirnn.sequences import Sequences
from admmirnn.solvers.algorithm1 import Algorithm1
from admmirnn.solvers.status import Status
from admmirnn.solvers.variables import SweepSettings, Variables
from bench.accept import _processor

LOSS = SoftmaxCrossEntropy()


# What is known of the paper's tables, and what agrees with it

PUBLISHED_LOSS = {0.1: ("3.776e-4",), 1.0: ("5.34e-2", "5.05e-2"), 10.0: ("0.9984",)}  # by rho3, largest first
PUBLISHED_ACCURACY = "accuracy 100.0 after 2 iterations"
NOT_KNOWN = "not available to us"
ITERATIONS = 20


@dataclass(frozen=True)
class Setting:
    """Penalties and proximal weight of one row of the tables."""

    rho1: float = 1.0
    rho2: float = 1.0
    rho3: float = 1.0
    r: float = 1.0

    @property
    def published(self):
        """The figures that are known, as they are written; none for the rows that are ours alone."""
        return PUBLISHED_LOSS[self.rho3] if self.r == 1 else ()

    @property
    def cells(self):
        """The columns that every table begins with."""
        return [f"{value:g}" for value in (self.rho1, self.rho2, self.rho3, self.r)]


SETTINGS = (
    Setting(),
    *(Setting(**{name: value}) for name in ("rho1", "rho2", "rho3", "r") for value in (0.1, 10.0)),
)


def agreeing_digits(found, published):
    """To how many significant digits, at most those that are printed, both round to the same number."""
    printed = len(Decimal(published).as_tuple().digits)
    agreeing = (k for k in range(printed, 0, -1) if f"{found:.{k - 1}e}" == f"{float(published):.{k - 1}e}")
    return next(agreeing, 0)


def agreement(after_19, after_20, published):
    """Digits and distance: the largest published figure against 19 iterations, the other end of a range against 20."""
    pairs = list(zip((after_19, after_20), published, strict=False))
    if not pairs or not math.isfinite(after_19 + after_20):
        return "-"
    digits = ", ".join(str(agreeing_digits(found, figure)) for found, figure in pairs)
    distances = ", ".join(f"{100 * (found / float(figure) - 1):+.2f} %" for found, figure in pairs)
    return f"{digits} digits ({distances})"


# The o-steps alone


def o_steps_alone(rho3, n_steps, n_classes=10):
    """Auxiliary loss after 0, 1, ... ``n_steps`` linearised o-steps, each followed by the update of c, with V = 0.

    One sequence of one step; what it holds does not matter.  The updates are Algorithm 1's own, through the kernels:
    o <- o - grad R(o) / rho3 from o = 0.
    """
    kernels = backend.kernels()
    network = ElmanRNN(np.zeros((1, 3)), np.zeros((n_classes, 2)))
    variables = _variables(kernels, network, _sequences(np.zeros((1, 1, 1))), np.zeros(1, np.intp))
    variables.roll_out(kernels, network.activation)
    at = SweepSettings(1.0, 1.0, rho3, 1.0, 1.0, linearised=True)
    losses = [variables.loss_of_outputs(kernels, LOSS)[0]]
    for _ in range(n_steps):
        kernels.sweep(variables, at, b"oc", 0, 1)
        losses.append(variables.loss_of_outputs(kernels, LOSS)[0])
    return losses


def _sequences(X):
    return Sequences.of_lengths(np.ascontiguousarray(X.reshape(-1, X.shape[2])), np.full(len(X), X.shape[1]))


def _variables(kernels, network, sequences, labels):
    everything, weights = np.arange(len(sequences)), np.ones(len(sequences))
    return Variables.of_sequences(kernels, network, sequences, everything, labels, weights, LOSS)


# The scheme that the authors released for MNIST


class ReleasedScheme:
    """The block updates of github.com/TonyTangYu/ADMMiRNN, train.py, written anew from the equations; a row an image.

    The network has one time step, which reads all pixels, a = U x + W s_0 + b, and *every image has its own* s_0, b, c.
    Signs are the printed ones: residuals minus lambda / rho, U, W, V and s moved by minus residual times input, and
    lambda -= rho residual.  r divides the steps of s, s_0, U and W; V and a always take step 1.  The o-step linearises
    R at the old o; the a-step takes 1 - a^2 for the slope of tanh.

    Parameters
    ----------
    X : ndarray of shape (n_images, n_pixels)
        Images.
    labels : ndarray of shape (n_images,)
        Their classes.
    setting : Setting
        Penalties and r.
    rng : numpy.random.RandomState
        Of the initial weights, 0.01 times normal.
    """

    def __init__(self, X, labels, setting, rng, n_hidden=128, n_classes=10):
        def small(*shape):
            return 0.01 * rng.standard_normal(shape)

        self.X, self.labels, self.at = np.asarray(X, np.float64), labels, setting
        self.U, self.W, self.V = small(n_hidden, X.shape[1]), small(n_hidden, n_hidden), small(n_classes, n_hidden)
        self.b, self.c = small(len(X), n_hidden), small(len(X), n_classes)
        self.start = np.zeros((len(X), n_hidden))  # s_0
        self._read_pixels()
        self.a = self.XU + self.b
        self.s = np.tanh(self.a)
        self.o = self.q
        self.lambda1, self.lambda2 = np.zeros_like(self.a), np.zeros_like(self.s)
        self.lambda3 = np.zeros_like(self.o)

    @property
    def q(self):
        """V s + c of the variables s and c: equal to o - lambda3 / rho3 once c has been updated."""
        return self.s @ self.V.T + self.c

    @property
    def logged(self):
        """What the authors' code takes for the network's outputs: s is fed in again as the previous state."""
        return np.tanh(self.XU + self.s @ self.W.T + self.b) @ self.V.T + self.c

    def roll_out(self, X):
        """Outputs for any images, with the means of the biases: the biases of an image need its label."""
        return np.tanh(X @ self.U.T + self.b.mean(axis=0)) @ self.V.T + self.c.mean(axis=0)

    def iterate(self):
        """One iteration: the blocks backwards, forwards, and the multipliers."""
        for block in "ocVsabzWUUWzbasVco":
            getattr(self, f"_{block}")()
        at = self.at
        self.lambda1 = -at.rho1 * self._shifted_a_residual()
        self.lambda2 = -at.rho2 * self._shifted_s_residual()
        self.lambda3 = -at.rho3 * self._shifted_o_residual()

    def _shifted_a_residual(self):
        return self.a - self.XU - self.start @ self.W.T - self.b - self.lambda1 / self.at.rho1

    def _shifted_s_residual(self):
        return self.s - np.tanh(self.a) - self.lambda2 / self.at.rho2

    def _shifted_o_residual(self):
        return self.o - self.q - self.lambda3 / self.at.rho3

    def _o(self):
        self.o = self.q + (self.lambda3 - _slope(self.o, self.labels)) / self.at.rho3

    def _c(self):
        self.c = self.c + self._shifted_o_residual()

    def _V(self):
        self.V = self.V - self.at.rho3 * self._shifted_o_residual().T @ self.s

    def _s(self):
        pull = self.at.rho3 * self._shifted_o_residual() @ self.V
        self.s = self.s - (self.at.rho2 * self._shifted_s_residual() + pull) / self.at.r

    def _a(self):
        pull = self.at.rho2 * self._shifted_s_residual() * (1 - self.a**2)
        self.a = self.a - self.at.rho1 * self._shifted_a_residual() + pull

    def _b(self):
        self.b = self.b + self._shifted_a_residual()

    def _z(self):
        self.start = self.start - self.at.rho1 / self.at.r * self._shifted_a_residual() @ self.W

    def _W(self):
        self.W = self.W - self.at.rho1 / self.at.r * self._shifted_a_residual().T @ self.start

    def _U(self):
        self.U = self.U - self.at.rho1 / self.at.r * self._shifted_a_residual().T @ self.X
        self._read_pixels()

    def _read_pixels(self):
        self.XU = self.X @ self.U.T


def _slope(o, labels):
    """The gradient of the cross-entropy of each row."""
    slope = np.exp(o - o.max(axis=1, keepdims=True))
    slope /= slope.sum(axis=1, keepdims=True)
    slope[np.arange(len(o)), labels] -= 1
    return slope


def loss_and_accuracy(outputs, labels):
    """Mean cross-entropy and the share of largest outputs at the label; (nan, nan) unless all outputs are finite."""
    if not np.isfinite(outputs).all():
        return math.nan, math.nan
    labels = np.ascontiguousarray(labels, np.intp)
    weights = np.ones(len(labels), outputs.dtype)
    loss, n_correct = LOSS.value(backend.kernels(), np.ascontiguousarray(outputs), labels, weights)
    return loss, n_correct / len(labels)


def run_released(X, labels, setting, rng, n_iterations=ITERATIONS, n_hidden=128):
    """Iterate the released scheme on images with their labels.

    Returns
    -------
    ReleasedScheme
        As it is after the last iteration.
    dict
        ``losses`` and ``accuracies`` of q after 0, 1, ... iterations; ``independent``: for how many iterations the
        losses are those of `without_network` to 1e-6; ``logged``: how far, relatively, the loss that the authors' code
        prints is from that of q, at most.
    """
    scheme = ReleasedScheme(X, labels, setting, rng, n_hidden)
    expected = without_network(scheme.q, labels, setting.rho3, n_iterations)
    measured = [loss_and_accuracy(scheme.q, labels)]
    independent, gap = 0, 0.0
    for k in range(1, n_iterations + 1):
        scheme.iterate()
        measured.append(loss_and_accuracy(scheme.q, labels))
        gap = max(gap, abs(loss_and_accuracy(scheme.logged, labels)[0] / measured[-1][0] - 1))
        if independent == k - 1 and math.isclose(measured[-1][0], expected[k], rel_tol=1e-6):
            independent = k
    losses, accuracies = zip(*measured, strict=True)
    return scheme, {"losses": losses, "accuracies": accuracies, "independent": independent, "logged": gap}


def without_network(q, labels, rho3, n_iterations):
    """Losses of q after 0, 1, ... iterations of the released scheme's two o-steps, with c for all of the network.

    c has an entry for every output of every image, so its update makes q = o - lambda3 / rho3, whatever V and s are.
    """
    o, multiplier, losses = q, np.zeros_like(q), [loss_and_accuracy(q, labels)[0]]
    for _ in range(n_iterations):
        o = q + (multiplier - _slope(o, labels)) / rho3
        q = o - multiplier / rho3
        o = q + (multiplier - _slope(o, labels)) / rho3
        multiplier = multiplier - rho3 * (o - q)
        losses.append(loss_and_accuracy(q, labels)[0])
    return losses


def first_perfect(accuracies):
    """The first iteration, counted from ``accuracies[0]`` = 0, with an accuracy of 100.0 as a table prints it."""
    return next((k for k, accuracy in enumerate(accuracies) if k and f"{100 * accuracy:.1f}" == "100.0"), math.inf)


def released_row(data, setting, seed, sizes):
    """The released scheme on training images, and once more on test images with *their* labels."""
    rng = np.random.RandomState(seed)
    pixels = {part: X[: sizes.released_images].reshape(-1, X[0].size) for part, (X, _) in data.items()}
    labels = {part: y[: sizes.released_images] for part, (_, y) in data.items()}
    scheme, training = run_released(pixels["train"], labels["train"], setting, rng, ITERATIONS, sizes.n_hidden)
    _, test = run_released(pixels["test"], labels["test"], setting, rng, ITERATIONS, sizes.n_hidden)
    return {
        "train": training["losses"],
        "test": test["losses"],
        "perfect": (first_perfect(training["accuracies"]), first_perfect(test["accuracies"])),
        "unseen": [loss_and_accuracy(scheme.roll_out(pixels[part]), labels[part]) for part in ("train", "test")],
        "independent": min(training["independent"], test["independent"]),
        "logged": max(training["logged"], test["logged"]),
    }


# Algorithm 1 on MNIST by rows


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
    sequences = _sequences(X[: sizes.images].astype(np.float32))
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
        "test_rollout": [loss_and_accuracy(network.outputs(_sequences(test)), y_test)],
    }


def auxiliary_of_labelled(network, X, labels, fit, history):
    """Loss and accuracy of o on images with their labels: only o, s, a and the multipliers move, the weights stay.

    One iteration for each of the ``history``, with the r of its end, or with twice the Lipschitz constant of the steps
    of s and a where that is larger: a trained V asks for more than the one at the start.
    """
    kernels, setting = backend.kernels(), fit.setting
    variables = _variables(kernels, network, _sequences(X), np.asarray(labels, np.intp))
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


def residuals_at_last_step(kernels, variables, room):
    """Write the residuals of the three equations into ``room``; return those of the last step of each sequence."""
    v = variables
    kernels.residuals(v.Theta, v.Psi, v.Z, v.H, v.A, v.O, "tanh", *room)
    return [residual[-len(v.lambda1) :] for residual in room]


# Printing the tables


def mean_and_spread(values, digits=4):
    """Mean and standard deviation, or the word that says why there is none."""
    if not np.isfinite(values).all():
        return "not finite"
    spread = f" ({np.std(values, ddof=1):.1g})" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}g}{spread}"


def print_caption(title, text):
    """Print a title, and text in lines that can be read."""
    print(f"\n{title}")
    print(textwrap.fill(text, 140, initial_indent="  ", subsequent_indent="  "))


def print_columns(header, rows):
    """Print rows of text in columns as wide as need be."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        print("  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def whole_numbers(values):
    """The different ones in order, with "never" for infinity."""
    return ", ".join("never" if value == math.inf else f"{value:g}" for value in sorted(set(values)))


def print_table_2(released, alone):
    """Losses that have seen the labels, next to the paper's."""
    last, before = ITERATIONS, ITERATIONS - 1
    print_caption(
        "Table 2 (loss): figures that HAVE SEEN THE LABELS of the images they are measured on, test images too",
        f"paper: what is known to us; for rho3 = 1 the range over its rows, whose ends are compared with {before} and "
        f"{last} iterations (an assumption of ours). o alone: loss of o after {before} linearised o-steps of our "
        "kernels, with neither network nor data. q: V s + c of the authors' released scheme, written anew; mean (sd) "
        "over seeds. agrees to: digits and distance of o alone, of q. no network: for how many iterations the loss of "
        "q is, to 1e-6, that of the o-steps with a free c for every image; in exact arithmetic for all, but the scheme "
        "amplifies rounding errors.",
    )
    header = ["rho1", "rho2", "rho3", "r", "paper", "o alone", "agrees to", "no network"]
    header += [f"q({before}) train", f"q({last}) train", "agrees to", f"q({before}) test", f"q({last}) test"]
    rows = []
    for setting in SETTINGS:
        runs, steps = released[setting], alone[setting.rho3][before:]
        train, test = (np.array([run[part][before:] for run in runs]) for part in ("train", "test"))
        rows.append(
            [
                *setting.cells,
                " to ".join(setting.published) or NOT_KNOWN,
                f"{steps[0]:.5g}",
                agreement(*steps, setting.published),
                f"{min(run['independent'] for run in runs)}",
                *(mean_and_spread(losses, 5) for losses in train.T),
                agreement(*train.mean(axis=0), setting.published),
                *(mean_and_spread(losses, 5) for losses in test.T),
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
        f"Table 3 (the paper: {PUBLISHED_ACCURACY}): the released scheme with labels, and the roll-out without",
        "with labels: the first iteration with 100.0, all q largest at their label, on training images and on test "
        "images; the authors' log prints the state before an iteration, so that its second line is the one after "
        f"iteration 1. no labels: the network after {ITERATIONS} iterations on training images, with the means "
        "of its biases, since an image whose label is not known has none; roll-out, mean (sd) over seeds.",
    )
    header = ["rho1", "rho2", "rho3", "r", "with labels: 100.0 at, train", "test"]
    header += ["no labels: accuracy train", "test", "loss test"]
    rows = []
    for setting in SETTINGS:
        runs = released[setting]
        unseen = np.array([run["unseen"] for run in runs])
        perfect = (whole_numbers(run["perfect"][i] for run in runs) for i in (0, 1))
        accuracies = (mean_and_spread(unseen[:, i, 1], 3) for i in (0, 1))
        rows.append([*setting.cells, *perfect, *accuracies, mean_and_spread(unseen[:, 1, 0])])
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


# Drawing the tables


def new_figure(width, height):
    """A matplotlib figure, or None and a word about it."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        print("\nno picture: matplotlib is missing (pip install matplotlib)")
        return None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_tables(path, released, alone, ours):
    """Left, the losses of Table 2 by iteration; right, Algorithm 1's auxiliary figures and the roll-out."""
    figure = new_figure(12.5, 6)
    if figure is None:
        return
    axes = figure.subplot_mosaic([["losses", "loss"], ["losses", "accuracy"]])
    left = axes["losses"]
    for i, (rho3, published) in enumerate(PUBLISHED_LOSS.items()):
        iterations = range(ITERATIONS + 1)
        losses = released[Setting(rho3=rho3)][0]["train"]
        left.semilogy(iterations, losses, color=f"C{i}", label=f"released scheme, q, rho3 = {rho3:g}")
        left.semilogy(iterations, alone[rho3], "--", color=f"C{i}", lw=1, label="o-steps alone" if i == 0 else None)
        at = (ITERATIONS - 1, ITERATIONS)[: len(published)]
        marks = [float(loss) for loss in published]
        left.plot(at, marks, "k^", ms=8, mfc="none", label="paper" if i == 0 else None)
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
    alone = {rho3: o_steps_alone(rho3, ITERATIONS) for rho3 in PUBLISHED_LOSS}
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


# Text: Algorithm 1 on chunks of characters, each from a fresh forward pass

TEXT_FILE = ("text", "metamorphosis.txt")
CHUNK = 25
DIVERGED_ABOVE = 1e3  # nats a character


@dataclass(frozen=True)
class TextScheme:
    """One way to update on a chunk; see `CharacterTrainer`.

    Attributes
    ----------
    label : str
        For tables.
    derived : bool
        Signs that follow from the augmented Lagrangian; otherwise the printed ones, and lambda -= rho residual.
    division : float
        By what o, c, V, s, b, W and U are divided after their updates, and the multipliers.
    rho, nu, r : float
        rho1 = rho2 = rho3; penalty at t < N; proximal weight, that of U, W, V times the steps of a chunk.
    nu_of_W, r_of_weights : float, optional
        Others for the W-step, and for U, W, V.
    linearised : bool
        The o-step linearises R.
    keeps_multipliers : bool
        Whether a chunk begins with the multipliers that the one before has left.
    start : {"small", "orthogonal"}
        U, W, V from 0.01 times normal, as the authors draw them, or U and W as the package does.
    """

    label: str
    derived: bool = True
    division: float = 1.0
    rho: float = 0.025
    nu: float = 1e-8
    r: float = 1.0
    nu_of_W: float | None = None
    r_of_weights: float | None = None
    linearised: bool = True
    keeps_multipliers: bool = True
    start: str = "small"

    def settings(self, block):
        """Penalties and options of a block's update."""
        nu, r = self.nu, self.r
        if block == "W" and self.nu_of_W is not None:
            nu = self.nu_of_W
        if block in "VWU" and self.r_of_weights is not None:
            r = self.r_of_weights
        return SweepSettings(self.rho, self.rho, self.rho, nu, r, derived=self.derived, linearised=self.linearised)


RELEASED_TEXT = TextScheme(
    "as released: printed signs, divided by 10", derived=False, division=10.0, nu_of_W=0.1, r_of_weights=1 / CHUNK
)


class CharacterTrainer:
    """Algorithm 1 as the authors' rnn_text.py uses it, a chunk an iteration, from the kernels' block updates.

    A chunk begins with a forward pass from the state in which the forward pass of the one before has ended; then every
    block is updated for all t in turn, o c V s a b W U and U W b a s V c o, and the multipliers.

    What differs from the released code with its parameters: the o-step at t = N linearises R at V s_N + c + lambda3 /
    rho3 instead of at the forward pass (the same at the first o-step but for lambda3); the a-step is the proximal one
    instead of a gradient step in the direction of ascent; s_N has no term in f(a_N), and s_t at t < N keeps r / (r +
    nu) of itself instead of (N - 2) / (N - 1) of that.

    Parameters
    ----------
    network : ElmanRNN
        Trained in place.
    scheme : TextScheme
        How.
    length : int
        Characters of a chunk.
    """

    def __init__(self, network, scheme, length=CHUNK):
        self.network, self.scheme, self.length = network, scheme, length
        self.kernels = backend.kernels()
        empty = np.zeros((1, length, network.n_features), network.dtype)
        self.variables = _variables(self.kernels, network, _sequences(empty), np.zeros(length, np.intp))
        self.settings = {block: scheme.settings(block) for block in "ocVsabWU"}
        self.room = [np.empty_like(values) for values in self.variables.blocks]

    def read(self, codes, state):
        """Forward pass over the characters before the last; return its loss for the ones that follow, and s_N."""
        v, d = self.variables, self.network.n_features
        v.Z[:-1, :d] = 0
        v.Z[np.arange(self.length), codes[:-1]] = 1
        v.Z[:1, d:-1] = state
        v.labels[:] = codes[1:]
        v.roll_out(self.kernels, self.network.activation)
        return v.loss_of_outputs(self.kernels, LOSS)[0], v.H[-1:, :-1].copy()

    def update(self):
        """One sweep over the blocks, and the multipliers."""
        scheme, v = self.scheme, self.variables
        for block in "ocVsabWU" + "UWbasVco":
            last = self.length if block in "osa" else 1
            self.kernels.sweep(v, self.settings[block], block.encode(), 0, last)
            if scheme.division != 1:
                self._divide(block)
        for multiplier, residual in zip(v.multipliers, residuals_at_last_step(self.kernels, v, self.room), strict=True):
            if scheme.keeps_multipliers:
                multiplier += (scheme.rho if scheme.derived else -scheme.rho) * residual
                multiplier /= scheme.division

    def _divide(self, block):
        v, d = self.variables, self.network.n_features
        if block == "o":
            v.O /= self.scheme.division
        elif block == "s":
            v.H[:, :-1] /= self.scheme.division
            v.Z[1:, d:-1] = v.H[:, :-1]  # all but s_0
        elif block in "cVbWU":
            self.network.weights[block][:] /= self.scheme.division


def new_character_network(n_symbols, n_hidden, start, seed):
    """A float64 network with the given start; 1/nu = 1e8 leaves float32 no digits."""
    rng = np.random.RandomState(seed)
    network = ElmanRNN.random(n_symbols, n_hidden, n_symbols, dtype=np.float64, random_state=rng)
    if start == "small":
        for name in "UW":
            network.weights[name][:] = 0.01 * rng.standard_normal(network.weights[name].shape)
    network.weights["V"][:] = 0.01 * rng.standard_normal(network.weights["V"].shape)
    return network


def nats_per_character(network, codes):
    """Loss of the roll-out that reads the codes, from the zero state, and predicts each next one."""
    X = np.eye(network.n_features, dtype=network.dtype)[codes[:-1]]
    outputs = network.outputs(_sequences(X[None]), every_step=True)
    return loss_and_accuracy(outputs, codes[1:])[0]


def train_on_text(scheme, codes, held_out, n_symbols, n_iterations, every, seed, n_hidden=128):
    """Step along the text, a chunk an iteration, until ``n_iterations`` or divergence.

    Returns
    -------
    network : ElmanRNN
        As it is then.
    records : list of (iteration, nats a character on ``held_out``, smoothed loss of forward passes)
        Every ``every`` iterations from 0 on.  The smoothed loss is what the authors' code prints: 0.99 times itself
        plus 0.01 times the loss of the chunk before its update, from log(n_symbols) on.
    """
    network = new_character_network(n_symbols, n_hidden, scheme.start, seed)
    trainer = CharacterTrainer(network, scheme, min(CHUNK, len(codes) - 2))
    position, state, smooth = 0, 0.0, math.log(n_symbols)
    records = [(0, nats_per_character(network, held_out), smooth)]
    with backend.one_blas_thread(), np.errstate(all="ignore"):  # some schemes diverge; that is a finding
        for iteration in range(1, n_iterations + 1):
            if position + trainer.length + 1 >= len(codes):
                position, state = 0, 0.0
            loss, state = trainer.read(codes[position : position + trainer.length + 1], state)
            if not loss < DIVERGED_ABOVE:
                records.append((iteration, math.inf, math.inf))
                break
            smooth = 0.99 * smooth + 0.01 * loss
            trainer.update()
            position += trainer.length
            if iteration % every == 0:
                nats = nats_per_character(network, held_out)
                records.append((iteration, nats if nats < DIVERGED_ABOVE else math.inf, smooth))
    return network, records


def entropy(codes):
    """Nats a character of the best answer that is always the same."""
    return LOSS.constant_loss(codes, np.ones(len(codes)))


# Text: the parameters that let derived signs learn, and the default solver


@dataclass(frozen=True)
class TextSizes:
    """How much is computed."""

    n_iterations: int = 4000
    every: int = 250
    grid_iterations: int = 1500
    n_hidden: int = 128
    nus: tuple = (0.3, 1.0, 3.0)
    rs: tuple = (1.0, 3.0, 10.0)
    epochs: tuple = (1, 3)


QUICK_TEXT = TextSizes(20, 10, 10, 16, (1.0,), (3.0, 10.0), (1,))


def choose_scheme(codes, n_symbols, sizes, seed):
    """Search a grid for derived signs without division, by the loss on the last tenth of the *training* text.

    First nu = rho and r without multipliers, then at the best of them rho / 10 and multipliers that stay.

    Returns
    -------
    best : TextScheme
    table : list of (TextScheme, nats a character)
    """
    cut = int(0.9 * len(codes))
    table = []

    def best_of(schemes):
        for scheme in schemes:
            _, records = train_on_text(
                scheme,
                codes[:cut],
                codes[cut:],
                n_symbols,
                sizes.grid_iterations,
                sizes.grid_iterations,
                seed,
                sizes.n_hidden,
            )
            table.append((scheme, records[-1][1]))
        return min(table, key=lambda entry: entry[1])[0]

    first = TextScheme("derived signs, chosen", linearised=False, keeps_multipliers=False, start="orthogonal")
    best = best_of([replace(first, rho=nu, nu=nu, r=r) for nu in sizes.nus for r in sizes.rs])
    small_rho = replace(best, rho=best.rho / 10)
    kept = (replace(scheme, keeps_multipliers=True) for scheme in (best, small_rho))
    return best_of([small_rho, *kept]), table


def train_default_solver(codes, held_out, n_symbols, epochs, seed, n_hidden):
    """Rollout on every window of a chunk's length, labelled with the character after it; (nats, seconds)."""
    network = ElmanRNN.random(n_symbols, n_hidden, n_symbols, random_state=np.random.RandomState(seed))
    first = np.arange(len(codes) - CHUNK)
    windows = Sequences(np.eye(n_symbols, dtype=np.float32)[codes], first, np.full(len(first), CHUNK))
    started = time.perf_counter()
    Rollout().solve(
        network,
        windows,
        codes[CHUNK:],
        LOSS,
        max_epochs=epochs,
        batch_size=None,
        random_state=np.random.RandomState(seed),
    )
    seconds = time.perf_counter() - started
    return nats_per_character(network, held_out), seconds


def text_schemes(chosen):
    """The schemes that are compared, as released first, the chosen one last."""
    return (
        RELEASED_TEXT,
        replace(RELEASED_TEXT, label="derived signs, divided by 10", derived=True),
        replace(RELEASED_TEXT, label="derived signs, their parameters, not divided", derived=True, division=1.0),
        replace(chosen, label="printed signs, chosen parameters, not divided", derived=False),
        replace(chosen, label="derived signs, chosen parameters, small start", start="small"),
        replace(chosen, label="derived signs, chosen parameters"),
    )


def print_grid(best, table, sizes):
    """What the search has found."""
    print_caption(
        "Search for parameters: derived signs, not divided, exact o-step, orthogonal start",
        f"loss after {sizes.grid_iterations} chunks of the first nine tenths of the training text, on its last "
        "tenth; the held-out text has no part in it.",
    )
    rows = [
        [
            *(f"{value:g}" for value in (scheme.rho, scheme.nu, scheme.r)),
            "stay" if scheme.keeps_multipliers else "none",
            f"{loss:.4f}" if math.isfinite(loss) else "diverged",
            "chosen" if scheme == best else "",
        ]
        for scheme, loss in table
    ]
    print_columns(["rho", "nu", "r", "multipliers", "nats", ""], rows)


def print_text(runs, defaults, codes, held_out, sizes):
    """Roll-out losses on the held-out text, and what the authors' code would print."""
    same = entropy(np.concatenate([codes, held_out]))
    print_caption(
        "Text: nats a character of the ROLL-OUT on the held-out last tenth",
        f"{len(held_out)} characters, state carried on from zero, after k chunks of {CHUNK}; n = {sizes.n_hidden}. "
        "printed: the smoothed loss that the authors' code would print at the end, of forward passes over the training "
        "text. largest: |weight| at the end. "
        f"Always the same answer: {same:.3f}, the entropy of the characters of the whole text.",
    )
    shares = (0, 0.25, 0.5, 0.75, 1)
    shown = sorted({round(share * sizes.n_iterations) // sizes.every * sizes.every for share in shares})
    header = ["", *(f"k = {k}" for k in shown), "lowest", "printed", "largest U", "W", "V", "c"]
    rows = []
    for scheme, network, records in runs:
        by_iteration = {iteration: nats for iteration, nats, _ in records if math.isfinite(nats)}
        diverged = None if math.isfinite(records[-1][1]) else records[-1][0]
        cells = [f"{by_iteration[k]:.3f}" if k in by_iteration else "-" for k in shown]
        largest = [f"{np.abs(network.weights[name]).max():.1g}" if diverged is None else "-" for name in "UWVc"]
        printed = f"{records[-1][2]:.3f}" if diverged is None else f"diverged by {diverged}"
        rows.append([scheme.label, *cells, f"{min(by_iteration.values()):.3f}", printed, *largest])
    print_columns(header, rows)
    for epochs, (nats, seconds) in defaults.items():
        print(f"  Rollout, the default solver, windows of {CHUNK}, {epochs} epoch(s), {seconds:.1f} s: {nats:.3f}")


def draw_text(path, runs, defaults, level):
    """Roll-out loss on the held-out text by chunks."""
    figure = new_figure(9, 6)
    if figure is None:
        return
    axis = figure.subplots()
    drawn = [run for run in runs if len(run[2]) > 3]  # one that diverges at once has no curve
    for i, (scheme, _, records) in enumerate(drawn):
        iterations, nats, smooth = zip(*(record for record in records if math.isfinite(record[1])), strict=True)
        axis.plot(iterations, nats, f"C{i}", label=scheme.label, lw=3 if scheme is RELEASED_TEXT else 1.5)
        if scheme is RELEASED_TEXT:
            axis.plot(iterations, smooth, f"C{i}:", label="  what its code prints: smoothed loss of training chunks")
    axis.axhline(level, color="k", ls="--", lw=1, label=f"always the same answer: {level:.3f}")
    for epochs, (nats, _) in defaults.items():
        axis.axhline(nats, color="grey", ls="-.", lw=1, label=f"default solver Rollout, {epochs} epoch(s): {nats:.3f}")
    axis.set(
        xlabel=f"iterations (chunks of {CHUNK} characters)",
        ylabel="nats a character, held-out text, roll-out",
        title="Algorithm 1 on text: what the network predicts",
    )
    axis.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    figure.savefig(path, dpi=120)
    print(f"\npicture: {path.resolve()}")


def text(characters, sizes, seed, output):
    """Compute, print and draw the text experiment.

    Parameters
    ----------
    characters : str
        All of the text; its last tenth is held out.
    sizes : TextSizes
        How much.
    seed : int
        Of the initial weights.
    output : path-like
        Folder of the picture.

    Returns
    -------
    runs : list of (TextScheme, ElmanRNN, records)
        See `train_on_text`.
    defaults : dict
        By epochs, the nats and seconds of `train_default_solver`.
    """
    symbols, codes = np.unique(list(characters), return_inverse=True)
    level, cut = entropy(codes), int(0.9 * len(codes))
    codes, held_out = codes[:cut], codes[cut:]
    print(f"{len(characters)} characters, {len(symbols)} symbols, entropy {level:.3f} nats; seed {seed}", flush=True)
    best, table = choose_scheme(codes, len(symbols), sizes, seed)
    print_grid(best, table, sizes)
    runs = []
    for scheme in text_schemes(best):
        found = train_on_text(
            scheme, codes, held_out, len(symbols), sizes.n_iterations, sizes.every, seed, sizes.n_hidden
        )
        runs.append((scheme, *found))
    defaults = {
        epochs: train_default_solver(codes, held_out, len(symbols), epochs, seed, sizes.n_hidden)
        for epochs in sizes.epochs
    }
    print_text(runs, defaults, codes, held_out, sizes)
    draw_text(Path(output) / "admmirnn-paper-text.png", runs, defaults, level)
    return runs, defaults


# The command line


def read_text():
    """The characters that the authors trained on."""
    path = Path(os.environ.get("ADMMIRNN_DATA", ""), *TEXT_FILE)
    if not path.is_file():
        name = "/".join(TEXT_FILE)
        raise FileNotFoundError(f"there is no {path}; set ADMMIRNN_DATA to the folder that holds {name}")
    return path.read_text(encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.paper", description=__doc__)
    parser.add_argument("what", choices=["tables", "text"], help="Tables 2 and 3, or the text experiment")
    parser.add_argument("--first-seed", type=int, default=0, help="seeds count from here (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a few images or chunks, to see that it runs")
    parser.add_argument("--output", type=Path, default=Path(), help="folder of the picture (default: this one)")
    options = parser.parse_args()
    print(
        f"admmirnn {admmirnn.__version__}, Python {platform.python_version()}, numpy {np.__version__}, "
        f"scipy {scipy.__version__}; {_processor()}, {os.cpu_count()} cores"
    )
    started = time.perf_counter()
    try:
        if options.what == "tables":
            data = {subset: load_mnist(subset) for subset in ("train", "test")}
            tables(data, QUICK if options.quick else Sizes(), options.first_seed, options.output)
        else:
            text(read_text(), QUICK_TEXT if options.quick else TextSizes(), options.first_seed, options.output)
    except FileNotFoundError as error:
        sys.exit(str(error))
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
