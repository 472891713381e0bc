"""What is known of the paper's tables, the o-steps alone, and the scheme that the authors released for MNIST."""

import math
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from admmirnn import backend
from admmirnn.networks import ElmanRNN
from admmirnn.solvers.algorithm1.variables import SweepSettings
from bench.paper.common import LOSS, loss_and_accuracy, sequences_of, variables_of

# The paper's Tables 2 and 3 by rho1, rho2, rho3, r: loss in training and in test after 20 iterations, as it is written,
# and the iterations until the accuracy is 100.0 in training and in test.
PUBLISHED = {
    (1.0, 1.0, 1.0, 1.0): ("5.045e-2", "5.046e-2", 2, 2),
    (0.1, 1.0, 1.0, 1.0): ("5.339e-2", "5.338e-2", 2, 2),
    (1.0, 0.1, 1.0, 1.0): ("5.338e-2", "5.340e-2", 2, 2),
    (1.0, 1.0, 0.1, 1.0): ("3.776e-4", "3.776e-4", 2, 2),
    (1.0, 1.0, 10.0, 1.0): ("0.9984", "0.9985", 3, 3),
    (1.0, 1.0, 1.0, 10.0): ("5.339e-2", "5.338e-2", 2, 2),
    (1.0, 1.0, 10.0, 10.0): ("0.9987", "0.9986", 11, 11),
}

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
        """The losses in training and in test, and the iterations to 100.0; none for the rows that are ours alone."""
        return PUBLISHED.get((self.rho1, self.rho2, self.rho3, self.r), ())

    @property
    def cells(self):
        """The columns that every table begins with."""
        return [f"{value:g}" for value in (self.rho1, self.rho2, self.rho3, self.r)]


SETTINGS = (*(Setting(*values) for values in PUBLISHED), Setting(rho1=10.0), Setting(rho2=10.0), Setting(r=0.1))


def agreeing_digits(found, published):
    """To how many significant digits, at most those that are printed, both round to the same number."""
    printed = len(Decimal(published).as_tuple().digits)
    agreeing = (k for k in range(printed, 0, -1) if f"{found:.{k - 1}e}" == f"{float(published):.{k - 1}e}")
    return next(agreeing, 0)


def agreement(after_19, after_20, published):
    """Digits and distance of a loss, after 19 or 20 iterations, whichever is nearer to the published figure."""
    if published is None or not math.isfinite(after_19 + after_20):
        return "-"
    found = {ITERATIONS - 1: after_19, ITERATIONS: after_20}
    nearest = min(found, key=lambda iteration: abs(found[iteration] - float(published)))
    distance = 100 * (found[nearest] / float(published) - 1)
    return f"{agreeing_digits(found[nearest], published)} digits ({distance:+.2f} % at {nearest})"


def o_steps_alone(rho3, n_steps, n_classes=10):
    """Auxiliary loss after 0, 1, ... ``n_steps`` linearised o-steps, each followed by the update of c, with V = 0.

    One sequence of one step; what it holds does not matter.  The updates are Algorithm 1's own, through the kernels:
    o <- o - grad R(o) / rho3 from o = 0.
    """
    kernels = backend.kernels()
    network = ElmanRNN(np.zeros((1, 3)), np.zeros((n_classes, 2)))
    variables = variables_of(kernels, network, sequences_of(np.zeros((1, 1, 1))), np.zeros(1, np.intp))
    variables.roll_out(kernels, network.activation)
    at = SweepSettings(1.0, 1.0, rho3, 1.0, 1.0, linearised=True)
    losses = [variables.loss_of_outputs(kernels, LOSS)[0]]
    for _ in range(n_steps):
        kernels.sweep(variables, at, b"oc", 0, 1)
        losses.append(variables.loss_of_outputs(kernels, LOSS)[0])
    return losses


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
