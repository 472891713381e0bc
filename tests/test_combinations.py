"""Every loss with every activation and every shape of targets, in the solver: gradients, and batches as one by one."""

from types import SimpleNamespace

import numpy as np
import pytest
from kernel_calls import keep_multipliers
from scipy.special import expit, logsumexp

from admmirnn import Rollout
from admmirnn.data.sequences import Sequences
from admmirnn.losses import (
    AbsoluteError,
    Hinge,
    Huber,
    Quantile,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    SquaredError,
    UserLoss,
)
from admmirnn.networks import ElmanRNN
from admmirnn.solvers.rollout.iteration import Fit
from admmirnn.solvers.rollout.order import Shuffled
from admmirnn.solvers.rollout.problem import Problem

pytestmark = pytest.mark.elman

LENGTHS = (3, 1, 4, 3)
N_FEATURES, N_HIDDEN, N_OUTPUTS = 2, 4, 3
ACTIVATIONS = {
    "tanh": np.tanh,
    "sigmoid": expit,
    "relu": lambda a: np.maximum(a, 0),
    "leaky_relu": lambda a: np.maximum(a, 0.01 * a),
    "identity": lambda a: a,
}
READ_OUTS = {"last": lambda s: s[-1:], "mean": lambda s: s.mean(axis=0, keepdims=True),
             "max": lambda s: s.max(axis=0, keepdims=True), "each": lambda s: s}  # fmt: skip


class LogCosh:
    """A user's own: sum_k log cosh(o_k - y_k)."""

    def value(self, o, y):
        return np.log(np.cosh(o - y)).sum(axis=1)

    def prox(self, q, y, rho):
        o = q.copy()
        for _ in range(30):  # Newton: tanh(o - y) + rho (o - q) = 0
            slope = np.tanh(o - y)
            o -= (slope + rho * (o - q)) / (1 - slope**2 + rho)
        return o


def signs(y):
    return np.where(np.arange(N_OUTPUTS) == y, 1, -1)


# the loss, and R of one output
LOSSES = {
    "cross_entropy": (SoftmaxCrossEntropy(), lambda o, y: logsumexp(o) - o[y]),
    "hinge": (Hinge(), lambda o, y: np.maximum(0, 1 - signs(y) * o).sum()),
    "sigmoid_cross_entropy": (SigmoidCrossEntropy(), lambda o, y: (np.logaddexp(0, o) - y * o).sum()),
    "squared_error": (SquaredError(), lambda o, y: 0.5 * ((o - y) ** 2).sum()),
    "huber": (
        Huber(0.7),
        lambda o, y: np.where(np.abs(o - y) < 0.7, (o - y) ** 2 / 2, 0.7 * np.abs(o - y) - 0.245).sum(),
    ),
    "quantile": (Quantile(0.2), lambda o, y: np.maximum(0.2 * (y - o), 0.8 * (o - y)).sum()),
    "absolute_error": (AbsoluteError(), lambda o, y: np.abs(o - y).sum()),
    "own": (UserLoss(LogCosh()), lambda o, y: np.log(np.cosh(o - y)).sum()),
}
EVERY_LOSS = pytest.mark.parametrize("loss", LOSSES)
EVERY_ACTIVATION = pytest.mark.parametrize("activation", ACTIVATIONS)
EVERY_SHAPE = pytest.mark.parametrize("read_out", READ_OUTS)


def make_case(loss, activation, read_out):
    """Sequences of unequal lengths with weighted targets, a third of which are missing if there is one per step."""
    rng = np.random.default_rng([ord(letter) for letter in loss + activation + read_out])
    d, n, K, B = N_FEATURES, N_HIDDEN, N_OUTPUTS, len(LENGTHS)
    n_targets = sum(LENGTHS) if read_out == "each" else B
    weights = rng.uniform(0.5, 2, n_targets)
    if read_out == "each":
        weights[1::3] = 0
    if LOSSES[loss][0].takes_labels:
        y = rng.integers(0, K, n_targets)
    elif loss == "sigmoid_cross_entropy":
        y = rng.integers(0, 2, (n_targets, K)).astype(float)
    else:
        y = rng.normal(size=(n_targets, K))
    return SimpleNamespace(
        X=np.split(rng.normal(size=(sum(LENGTHS), d)), np.cumsum(LENGTHS)[:-1]),
        y=np.split(y, np.cumsum(LENGTHS)[:-1]) if read_out == "each" else np.split(y, B),
        weights=np.split(weights, np.cumsum(LENGTHS)[:-1]) if read_out == "each" else np.split(weights, B),
        Theta=np.hstack([rng.normal(size=(n, d)), 0.5 * rng.normal(size=(n, n)), rng.normal(size=(n, 1))]),
        Psi=rng.normal(size=(K, n + 1)),
        loss=loss,
        activation=activation,
        read_out=read_out,
    )


def outputs_of(c, x, Theta, Psi):
    states, s = [], np.zeros(N_HIDDEN)
    for x_t in x:
        s = ACTIVATIONS[c.activation](Theta @ np.r_[x_t, s, 1])
        states.append(s)
    return READ_OUTS[c.read_out](np.array(states)) @ Psi[:, :-1].T + Psi[:, -1]


def mean_loss(c, Theta, Psi):
    """The weighted mean loss, one sequence, one step and one output at a time."""
    R, total = LOSSES[c.loss][1], 0.0
    for x, y, weights in zip(c.X, c.y, c.weights, strict=True):
        total += sum(w * R(o, y_) for o, y_, w in zip(outputs_of(c, x, Theta, Psi), y, weights, strict=True) if w)
    return total / np.concatenate(c.weights).sum()


def central_differences(function, matrix, h=1e-5):
    gradient = np.empty_like(matrix)
    for index in np.ndindex(matrix.shape):
        above, below = matrix.copy(), matrix.copy()
        above[index] += h
        below[index] -= h
        gradient[index] = (function(above) - function(below)) / (2 * h)
    return gradient


def iterate(c, which, rho=1e9):
    """The sweeps of one iteration of `Rollout` on a minibatch of these sequences, multipliers of all steps included."""
    X, y, weights = ([of[i] for i in which] for of in (c.X, c.y, c.weights))
    network = ElmanRNN(c.Theta.copy(), c.Psi.copy(), c.activation, c.read_out if c.read_out != "each" else "last")
    fit = Fit(
        Rollout(rho=rho, momentum=0.0, gram_decay=0.0, multiplier_cap=None),
        Problem(
            network,
            Shuffled(network, Sequences.of_lengths(np.concatenate(X), [len(x) for x in X]), len(X), False, None),
            np.concatenate(y),
            LOSSES[c.loss][0],
            np.concatenate(weights),
        ),
    )
    fit.take(np.arange(len(X)))
    keep_multipliers(fit.kernels, fit.works[0][0])
    fit.sweep_forward()
    fit.sweep_backward()
    fit.agree()
    fit.fold()
    return fit


@EVERY_LOSS
@EVERY_ACTIVATION
@EVERY_SHAPE
def test_multipliers_are_the_gradient(loss, activation, read_out, monkeypatch):
    c = make_case(loss, activation, read_out)
    expected = {
        "hidden": central_differences(lambda Theta: mean_loss(c, Theta, c.Psi), c.Theta),
        "output": central_differences(lambda Psi: mean_loss(c, c.Theta, Psi), c.Psi),
    }
    for backend_name in ("compiled", "numpy"):
        monkeypatch.setenv("ADMMIRNN_BACKEND", backend_name)
        fit = iterate(c, range(len(c.X)))
        assert fit.batch_loss == pytest.approx(mean_loss(c, c.Theta, c.Psi), rel=1e-12)
        for layer, (name, gradient) in zip(fit.layers, expected.items(), strict=True):
            atol = 1e-6 * max(1.0, np.abs(gradient).max())
            np.testing.assert_allclose(layer.M, -gradient, rtol=0, atol=atol, err_msg=name)
            assert np.abs(gradient).max() > 1e-3


@EVERY_LOSS
@EVERY_ACTIVATION
@EVERY_SHAPE
def test_R_is_the_gram_matrix_of_the_multipliers(loss, activation, read_out, monkeypatch):
    """A sum over sequences and steps, one at a time, each divided by the sequence's weight."""
    c = make_case(loss, activation, read_out)
    of_targets = np.concatenate(c.weights)
    # of a sequence: the mean of those of its steps that have a target
    weights = [w[w > 0].mean() / of_targets[of_targets > 0].mean() if w.any() else 1.0 for w in c.weights]
    for backend_name in ("compiled", "numpy"):
        monkeypatch.setenv("ADMMIRNN_BACKEND", backend_name)
        fit = iterate(c, range(len(c.X)), rho=2.0)
        work = fit.works[0][0]
        rows = zip(work.room.lambda1, work.batch.rows()[0], strict=True)
        R = sum(np.outer(row, row) / weights[i] for row, i in rows) / sum(LENGTHS)
        assert R.trace() > 0
        np.testing.assert_allclose(np.tril(fit.layers[0].R), np.tril(R), rtol=0, atol=1e-12 * R.max())


@pytest.mark.slow_on("numpy")
@EVERY_LOSS
@EVERY_ACTIVATION
@EVERY_SHAPE
def test_a_batch_of_unequal_lengths_is_one_by_one(loss, activation, read_out, backend_name):
    c = make_case(loss, activation, read_out)
    together = iterate(c, range(len(c.X)), rho=2.0)
    batch = together.works[0][0].batch
    sequence_of, step_of = batch.rows()
    weights = np.array([of.sum() for of in c.weights])
    M, output_M = np.zeros_like(together.layers[0].M), np.zeros_like(together.layers[-1].M)
    for i in np.flatnonzero(weights):
        alone = iterate(c, [i], rho=2.0)
        of_sequence = np.flatnonzero(sequence_of == i)
        assert step_of[of_sequence].tolist() == list(range(LENGTHS[i]))
        outputs = batch.rows_of_outputs()[of_sequence] if read_out == "each" else np.flatnonzero(batch.indices == i)
        np.testing.assert_allclose(together.works[0][0].Q[outputs], alone.works[0][0].Q, rtol=0, atol=1e-12)
        # lambda is of sum w R / sum w, and weights are brought to a mean of 1
        share = weights[i] / alone.works[0][0].weights.sum() / (weights.sum() / together.works[0][0].weights.sum())
        works = together.works[0][0], alone.works[0][0]
        for name, rows in (("lambda3", outputs), ("lambda1", of_sequence)):
            of_all, of_one = (work.lambda3 if name == "lambda3" else work.room.lambda1 for work in works)
            np.testing.assert_allclose(of_all[rows], share * of_one, rtol=0, atol=1e-12, equal_nan=False, err_msg=name)
        M += weights[i] / weights.sum() * alone.layers[0].M
        output_M += weights[i] / weights.sum() * alone.layers[-1].M
    np.testing.assert_allclose(together.layers[0].M, M, rtol=0, atol=1e-12)
    np.testing.assert_allclose(together.layers[-1].M, output_M, rtol=0, atol=1e-12)
