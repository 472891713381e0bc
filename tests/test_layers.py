"""Layers on top of one another: the upper one reads the states of the lower one, and hands multipliers down to it."""

import math

import numpy as np
import pytest
from kernel_calls import keep_multipliers, layer_of, room_of

from admmirnn import Rollout, backend
from admmirnn.data.sequences import Sequences
from admmirnn.losses import SoftmaxCrossEntropy
from admmirnn.networks import ElmanRNN, StackedRNN
from admmirnn.networks.cells import Elman
from admmirnn.solvers.rollout.iteration import Fit
from admmirnn.solvers.rollout.order import Shuffled
from admmirnn.solvers.rollout.problem import Problem

pytestmark = pytest.mark.elman

COMPILED, NUMPY = backend._compiled(), backend._numpy()
BACKENDS = pytest.mark.parametrize("kernels", [COMPILED, NUMPY], ids=["compiled", "numpy"])
READ_OUTS = ("last", "each", "mean", "max")
LENGTHS = (3, 1, 4, 3, 2)
POOLED = {"last": lambda s: s[-1:], "mean": lambda s: s.mean(axis=0, keepdims=True),
          "max": lambda s: s.max(axis=0, keepdims=True), "each": lambda s: s, "none": lambda s: s[:0]}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def one_blas_thread():
    with backend.one_blas_thread():
        yield


class Kernels:
    """Two layers on the kernels, each with outputs or, the lower one, without; lambda3 is what is given."""

    def __init__(self, read_outs, dtype=np.float64, lengths=LENGTHS, sizes=(2, 5, 4), n_threads=1):
        rng = np.random.default_rng(0)
        self.read_outs, self.dtype, self.n_threads = read_outs, dtype, n_threads
        self.observations = rng.normal(size=(sum(lengths), sizes[0])).astype(dtype)
        self.batch = Sequences.of_lengths(self.observations, lengths).minibatch(np.arange(len(lengths)))
        self.Thetas = [
            (rng.normal(size=(n, d + n + 1)) / np.sqrt(n)).astype(dtype)
            for d, n in zip(sizes[:-1], sizes[1:], strict=True)
        ]
        self.Psis = [
            rng.normal(size=(0 if read_out == "none" else 3, n + 1)).astype(dtype)
            for read_out, n in zip(read_outs, sizes[1:], strict=True)
        ]
        B, n_rows = len(lengths), self.batch.n_rows
        self.lambda3s = []
        for read_out in read_outs:
            rows = {"none": 0, "each": n_rows + B - int(self.batch.offsets[1])}.get(read_out, B)
            lambda3 = rng.normal(size=(rows, 3)).astype(dtype)
            if read_out == "each":
                is_output = np.zeros(rows, bool)
                is_output[self.batch.rows_of_outputs()] = True
                lambda3[~is_output] = 0
            self.lambda3s.append(None if read_out == "none" else lambda3)

    def rooms(self, kernels):
        """Of both layers: what the lower one is given by the upper one is the same array."""
        batch, dtype, rooms = self.batch, self.dtype, []
        B, n_rows = len(batch), batch.n_rows
        lambda_s = np.full((n_rows, len(self.Thetas[0])), np.nan, dtype)
        for i, (Theta, Psi, read_out) in enumerate(zip(self.Thetas, self.Psis, self.read_outs, strict=True)):
            n, K, d = len(Theta), len(Psi), Theta.shape[1] - len(Theta) - 1
            n_sums = kernels.backward_room(Elman(), d, n, K, self.n_threads)
            rooms.append(
                room_of(
                    Theta, Psi, "tanh", read_out, self.n_threads, np.full((n_rows + B, n), np.nan, dtype),
                    X=np.full((n_rows, d + 1), np.nan, dtype), Q=np.full((n_rows + B, K), np.nan, dtype),
                    H=np.full((B, n), np.nan, dtype), steps=np.zeros((B, n), np.int32),
                    lambda1=np.full((n_rows, n), np.nan, dtype), sums=np.full(n_sums, np.nan, dtype),
                    counts=np.full(kernels.counts_room(Elman(), n, True), np.nan),
                    **({"lambda_s": lambda_s} if i == 0 else {"lambda_x": lambda_s}),
                )
            )  # fmt: skip
        return rooms

    def run(self, kernels, cap=math.inf):
        """Roll out and pass back; what is found, by name, and how many steps were capped."""
        batch, rooms = self.batch, self.rooms(kernels)
        works = [kernels.work(room) for room in rooms]
        batches = [
            kernels.batch(self.observations, 1.0, batch.first_rows, batch.lengths, batch.offsets),
            kernels.batch(rooms[0].S, 1.0, None, batch.lengths, batch.offsets),
        ]
        for work, of_kernel in zip(works, batches, strict=True):
            kernels.forward(work, of_kernel)
        found, n_capped = {}, 0
        weights = np.ones(len(self.lambda3s[-1]), self.dtype)
        for i in (1, 0):
            of_targets = weights if self.read_outs[i] == "none" or i == 1 else None
            n_capped += kernels.backward(works[i], batches[i], self.lambda3s[i], of_targets, cap, 0, 1)
            room = rooms[i]
            p, m = room.maps[0].shape
            arrays = {name: np.zeros((m, m), self.dtype) for name in ("G", "factor")} | {"D": np.zeros((m, p))}
            arrays = {name: array.astype(self.dtype) for name, array in arrays.items()}
            arrays |= {"R": np.zeros((p, p)), "P_factor": np.zeros((p, p), self.dtype)}
            layer = layer_of(p, m, np.zeros((p, m), self.dtype), np.zeros((p, m), self.dtype), **arrays)
            kernels.fold(works[i], kernels.linear_map(layer, np.zeros(m * p, self.dtype)), 0.0, 0.0)
            found |= {f"L {i}": layer.M * room.counts[0], f"G {i}": np.tril(layer.G), f"R {i}": np.tril(layer.R)}
            found |= {f"lambda1 {i}": room.lambda1, f"S {i}": room.S}
        return found | {"lambda_x": rooms[1].lambda_x}, n_capped

    def value(self, Thetas):
        """sum(lambda3 * outputs), one sequence and one step at a time."""
        total, batch = 0.0, self.batch
        sequence_of, step_of = batch.rows()
        for position, i in enumerate(batch.indices):
            rows = self.observations[batch.first_rows[position] :][: batch.lengths[position]]
            for Theta, Psi, read_out, lambda3 in zip(Thetas, self.Psis, self.read_outs, self.lambda3s, strict=True):
                s, states = np.zeros(len(Theta)), []
                for x in rows:
                    s = np.tanh(Theta @ np.r_[x, s, 1])
                    states.append(s)
                rows = np.array(states)
                if lambda3 is not None:
                    of = [position]
                    if read_out == "each":
                        mine = np.flatnonzero(sequence_of == i)
                        of = batch.rows_of_outputs()[mine[np.argsort(step_of[mine])]]
                    total += (lambda3[of] * (POOLED[read_out](rows) @ Psi[:, :-1].T + Psi[:, -1])).sum()
        return total


def central_differences(function, matrices, which, h=1e-5):
    gradient = np.empty_like(matrices[which])
    for index in np.ndindex(gradient.shape):
        values = []
        for sign in (1, -1):
            changed = [matrix.copy() for matrix in matrices]
            changed[which][index] += sign * h
            values.append(function(changed))
        gradient[index] = (values[0] - values[1]) / (2 * h)
    return gradient


@BACKENDS
@pytest.mark.parametrize("upper", READ_OUTS)
@pytest.mark.parametrize("lower", ["none", *READ_OUTS])
def test_multipliers_of_two_layers_are_the_gradient(kernels, lower, upper):
    c = Kernels((lower, upper))
    found, n_capped = c.run(kernels)
    assert n_capped == 0
    for i in range(2):
        expected = central_differences(c.value, c.Thetas, i)
        assert np.abs(expected).max() > 0.1
        np.testing.assert_allclose(found[f"L {i}"], expected, rtol=0, atol=1e-7)


@BACKENDS
def test_what_is_handed_down_is_lambda1_times_U(kernels):
    c = Kernels(("none", "each"))
    found, _ = c.run(kernels)
    U = c.Thetas[1][:, : len(c.Thetas[0])]
    np.testing.assert_allclose(found["lambda_x"], found["lambda1 1"] @ U, rtol=0, atol=1e-14)
    assert np.abs(found["lambda_x"]).min() > 0


@pytest.mark.parametrize("cap", [0.6, math.inf])
@pytest.mark.parametrize("lower", ["none", *READ_OUTS])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_back_ends_pass_back_through_two_layers_alike(dtype, lower, cap):
    c = Kernels((lower, "each"), dtype, lengths=(9, 4, 17, 12, 1, 9), sizes=(3, 19, 21))
    (found, n_capped), (expected, n_expected) = (c.run(kernels, cap) for kernels in (COMPILED, NUMPY))
    assert n_capped == n_expected and (n_capped > 0) == (cap < 1)
    for name, values in expected.items():
        tolerance = 2e3 * np.finfo(dtype).eps * max(1, np.abs(values).max())
        np.testing.assert_allclose(found[name], values, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("lower", ["none", "max"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_two_threads_differ_by_rounding(dtype, lower):
    one, two = (
        Kernels((lower, "last"), dtype, lengths=(30, 25, 40, 31) * 8, sizes=(5, 64, 48), n_threads=n).run(COMPILED, 0.8)
        for n in (1, 2)
    )
    assert one[1] == two[1] > 0
    for name, values in one[0].items():
        tolerance = 2e3 * np.finfo(dtype).eps * max(1, np.abs(values).max())
        np.testing.assert_allclose(two[0][name], values, rtol=0, atol=tolerance, err_msg=name)
    sums = [name for name in one[0] if name.startswith("L ")]
    assert any((one[0][name] != two[0][name]).any() for name in sums)  # the sums are of two parts


def test_what_does_not_belong_together_is_refused():
    c, kernels = Kernels(("none", "last")), COMPILED
    lower, upper = c.rooms(kernels)
    batch = kernels.batch(c.observations, 1.0, c.batch.first_rows, c.batch.lengths, c.batch.offsets)

    def refused(room, lambda3, **changed):
        vars(room).update(changed)
        with pytest.raises(ValueError, match="^(work|backward): "):
            kernels.backward(kernels.work(room), batch, lambda3, None, 1.0, 0, 1)

    refused(lower, np.zeros((5, 0)))
    refused(c.rooms(kernels)[0], None, lambda_s=None)
    refused(c.rooms(kernels)[0], None, lambda_s=lower.lambda_s[:-1])
    refused(c.rooms(kernels)[0], None, lambda_s=lower.lambda_s[:, :-1].copy())
    refused(c.rooms(kernels)[0], None, K=1)
    lower.lambda_x = np.zeros((c.batch.n_rows, 2))
    for changed in (lower.lambda_x[:-1], lower.lambda_x[:, :-1].copy()):
        refused(c.rooms(kernels)[0], None, lambda_x=changed)
    refused(c.rooms(kernels)[0], None, lambda_x=lower.lambda_x, X=None, codes=np.zeros(c.batch.n_rows, np.int32))
    refused(upper, None)
    of_states = lower.S, 1.0, None, c.batch.lengths, c.batch.offsets
    for wrong in ((lower.S[:-1], *of_states[1:]), (*of_states, 2), (*of_states, 1, -1)):
        with pytest.raises(ValueError, match="so that observations are the states of a layer"):
            kernels.batch(*wrong)


# On the solver


def network_of(Thetas, Psi, read_out="last"):
    """Layers of one direction each."""
    *below, last = Thetas
    layers = [[ElmanRNN(Theta, np.zeros((0, len(Theta) + 1), Theta.dtype), "tanh", "none")] for Theta in below]
    return StackedRNN([*layers, [ElmanRNN(last, Psi, "tanh", read_out)]], Psi)


class Case:
    """Sequences of unequal lengths with weights, and the arrays of two layers and of the outputs."""

    def __init__(self, read_out, lengths=LENGTHS, sizes=(2, 5, 4), seed=0):
        rng, K = np.random.default_rng(seed), 3
        self.lengths, self.read_out = np.array(lengths), read_out
        n_targets = sum(lengths) if read_out == "each" else len(lengths)
        self.X, self.y = rng.normal(size=(sum(lengths), sizes[0])), rng.integers(0, K, n_targets)
        self.weights = rng.uniform(0.5, 2, n_targets)
        if read_out == "each":
            self.weights[1::3] = 0
        self.arrays = [
            *(rng.normal(size=(n, d + n + 1)) / np.sqrt(n) for d, n in zip(sizes[:-1], sizes[1:], strict=True)),
            rng.normal(size=(K, sizes[-1] + 1)),
        ]

    def weights_of_sequences(self):
        """Relative to the mean of the targets' weights; of steps, the mean of those that have a target."""
        of_sequences = np.split(self.weights, len(self.lengths))
        if self.read_out == "each":
            of_sequences = np.split(self.weights, np.cumsum(self.lengths)[:-1])
        mean = self.weights[self.weights > 0].mean()
        return np.array([w[w > 0].mean() / mean if w.any() else 1.0 for w in of_sequences])

    def loss(self, arrays):
        """By hand, one step at a time."""
        *Thetas, Psi = arrays
        outputs = []
        for rows in np.split(self.X, np.cumsum(self.lengths)[:-1]):
            for Theta in Thetas:
                s, states = np.zeros(len(Theta)), []
                for x in rows:
                    s = np.tanh(Theta @ np.r_[x, s, 1])
                    states.append(s)
                rows = np.array(states)
            outputs.append(POOLED[self.read_out](rows) @ Psi[:, :-1].T + Psi[:, -1])
        o = np.concatenate(outputs)
        R = np.log(np.exp(o).sum(axis=1)) - o[np.arange(len(o)), self.y]
        return self.weights @ R / self.weights.sum()

    def fit(self, dtype=np.float64, n_threads=1, rho=1e9, **settings):
        """One iteration up to the weight step, multipliers of all steps included."""
        *Thetas, Psi = (array.astype(dtype) for array in self.arrays)
        network = network_of(Thetas, Psi, "last" if self.read_out == "each" else self.read_out)
        sequences = Sequences.of_lengths(self.X.astype(dtype), self.lengths)
        order = Shuffled(network, sequences, len(self.lengths), False, None)
        settings = {"rho": rho, "momentum": 0.0, "gram_decay": 0.0, "multiplier_cap": None} | settings
        problem = Problem(network, order, self.y, SoftmaxCrossEntropy(), self.weights, n_threads=n_threads)
        fit = Fit(Rollout(**settings), problem)
        fit.take(np.arange(len(self.lengths)))
        for (work,) in fit.works:
            keep_multipliers(fit.kernels, work)
        fit.sweep_forward()
        fit.sweep_backward()
        fit.agree()
        fit.fold()
        return fit


@pytest.mark.parametrize("read_out", READ_OUTS)
def test_statistics_of_two_layers_are_the_gradient(read_out, backend_name):
    c = Case(read_out)
    fit = c.fit()
    assert fit.batch_loss == pytest.approx(c.loss(c.arrays), rel=1e-12)
    for i, layer in enumerate(fit.layers):
        gradient = central_differences(c.loss, c.arrays, i)
        assert np.abs(gradient).max() > 1e-2
        np.testing.assert_allclose(layer.M, -gradient, rtol=0, atol=1e-6)


@pytest.mark.parametrize("read_out", READ_OUTS)
@pytest.mark.parametrize("metric", ["multipliers", "identity"])
def test_each_of_two_layers_makes_its_own_weight_step(read_out, metric, backend_name):
    c = Case(read_out, lengths=(9, 4, 12, 7, 1, 9) * 3)
    fit = c.fit(metric=metric, damping=0.2, radius=0.01, output_radius=0.02)
    fit.update_weights()
    for i, work in enumerate([*(work for (work,) in fit.works), None]):
        before, after = c.arrays[i], fit.network.trained[i]
        gradient, P, radius = central_differences(c.loss, c.arrays, i), np.eye(len(before)), 0.02
        if work is None:
            G = symmetric(fit.layers[-1].G)
        else:
            X, S = work.room.X, work.S[: work.batch.n_rows]
            weights = c.weights_of_sequences()[work.batch.rows()[0]]
            G, radius = gram(np.hstack([X[:, :-1], S, X[:, -1:]]), weights), 0.01
            if metric == "multipliers":
                R = gram(work.room.lambda1, 1 / weights)
                P = R / (np.trace(R) / len(R)) + 0.2 * np.eye(len(R))
        D = np.linalg.solve(P, -gradient) @ np.linalg.inv(G + 0.2 * np.trace(G) / len(G) * np.eye(len(G)))
        norm = np.sqrt(np.trace(P @ D @ G @ D.T) / len(D))
        np.testing.assert_allclose(after - before, min(1.0, radius / norm) * D, rtol=0, atol=1e-6 * np.abs(D).max())
        assert np.abs(after - before).max() > 1e-4


def gram(Z, weights=1.0):
    """The mean of weight * z z^T."""
    return (Z.T * weights) @ Z / len(Z)


def symmetric(G):
    """The matrix whose lower triangle this is."""
    return np.tril(G) + np.tril(G, -1).T


@pytest.mark.parametrize("read_out", READ_OUTS)
def test_float32_and_two_threads_find_the_same_of_two_layers(read_out):
    c = Case(read_out, lengths=(30, 25, 40, 31) * 8, sizes=(3, 64, 48))
    expected = c.fit(rho=1.0, multiplier_cap=0.9)
    for dtype, n_threads, tolerance in ((np.float64, 2, 1e-12), (np.float32, 1, 2e-3), (np.float32, 2, 2e-3)):
        found = c.fit(dtype, n_threads, rho=1.0, multiplier_cap=0.9)
        for layer, other in zip(found.layers, expected.layers, strict=True):
            np.testing.assert_allclose(layer.M, other.M, rtol=0, atol=tolerance * np.abs(other.M).max())
            G, other_G = np.tril(layer.G), np.tril(other.G)
            np.testing.assert_allclose(G, other_G, rtol=0, atol=tolerance * np.abs(other_G).max())


@pytest.mark.parametrize("read_out", ["last", "mean"])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_two_layers_learn(read_out, n_threads):
    rng = np.random.default_rng(0)
    y, lengths = rng.integers(0, 3, 150), rng.integers(5, 14, 150)
    X = [
        np.sin((0.3 + 0.3 * label) * np.arange(length))[:, None] + 0.2 * rng.normal(size=(length, 1))
        for label, length in zip(y, lengths, strict=True)
    ]
    c = Case(read_out, sizes=(1, 12, 10))
    network = network_of([array.astype(np.float32) for array in c.arrays[:2]], np.zeros((3, 11), np.float32), read_out)
    sequences = Sequences.of_lengths(np.concatenate(X).astype(np.float32), lengths)
    outcome = Rollout().solve(
        network, sequences, y, SoftmaxCrossEntropy(), penalty=None, max_epochs=15, random_state=0, n_threads=n_threads
    )
    assert outcome.history[0]["rollout_loss"] > 0.7
    assert outcome.history[-1]["rollout_loss"] < 0.2 and outcome.history[-1]["rollbacks"] == 0
