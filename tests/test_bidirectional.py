"""Two networks that read a sequence from its start and from its end, and one output layer."""

import copy
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from expected_failures import DEPENDS_ON_NUMBER
from kernel_calls import keep_multipliers
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from admmirnn import Algorithm1, RNNClassifier, RNNRegressor, Rollout
from admmirnn.data.sequences import Sequences
from admmirnn.losses import SoftmaxCrossEntropy, SquaredError, UserLoss
from admmirnn.networks import StackedRNN
from admmirnn.networks.cells import Elman
from admmirnn.penalties import GroupLasso, Lasso, SpectralBall
from admmirnn.solvers.rollout.iteration import Fit
from admmirnn.solvers.rollout.order import Shuffled
from admmirnn.solvers.rollout.problem import Problem

pytestmark = pytest.mark.elman

LENGTHS = (3, 1, 4, 3)
READ_OUTS = {"last": lambda s: s[-1:], "mean": lambda s: s.mean(axis=0, keepdims=True),
             "max": lambda s: s.max(axis=0, keepdims=True), "each": lambda s: s}  # fmt: skip
EVERY_SHAPE = pytest.mark.parametrize("read_out", READ_OUTS)
WEIGHTS = ("U", "W", "b", "U_reverse", "W_reverse", "b_reverse", "V", "c")


class Squares:
    """A user's own: 1/2 |o - y|^2."""

    def value(self, o, y):
        return 0.5 * ((o - y) ** 2).sum(axis=1)

    def prox(self, q, y, rho):
        return (y + rho * q) / (1 + rho)


def make_case(read_out, *, lengths=LENGTHS, frame=1, stride=1, loss="cross_entropy", sizes=(4, 3), seed=0):
    """Sequences of unequal lengths, targets some of which are missing if there is one per step, and networks."""
    rng = np.random.default_rng(seed)
    lengths = np.array(lengths)
    d, K, (n, m) = 2 * frame, 3, sizes
    n_targets = lengths.sum() if read_out == "each" else len(lengths)
    weights = rng.uniform(0.5, 2, n_targets)
    if read_out == "each":
        weights[1::3] = 0
    y = rng.integers(0, K, n_targets) if loss == "cross_entropy" else rng.normal(size=(n_targets, K))
    n_observations = (lengths - 1) * stride + frame
    return SimpleNamespace(
        lengths=lengths,
        sequences=Sequences(
            rng.normal(size=(n_observations.sum(), 2)),
            np.cumsum(n_observations) - n_observations,
            lengths,
            0.8,
            frame,
            stride,
        ),
        y=y,
        weights=weights,
        loss={"cross_entropy": SoftmaxCrossEntropy(), "squared": SquaredError(), "own": UserLoss(Squares())}[loss],
        of_step=np.repeat(np.arange(len(lengths)), lengths) if read_out == "each" else np.arange(len(lengths)),
        Theta=rng.normal(size=(n, d + n + 1)) / 2,
        Theta_reverse=rng.normal(size=(m, d + m + 1)) / 2,
        Psi=rng.normal(size=(K, n + m + 1)),
        read_out=read_out,
    )


def network_of(c, **changed):
    c = SimpleNamespace(**vars(c) | changed)
    d = c.Theta.shape[1] - len(c.Theta) - 1
    of_each = [(Theta[:, :d], Theta[:, d:-1], Theta[:, -1]) for Theta in (c.Theta, c.Theta_reverse)]
    read_out = "last" if c.read_out == "each" else c.read_out
    weights = zip(WEIGHTS, (*of_each[0], *of_each[1], c.Psi[:, :-1], c.Psi[:, -1]), strict=True)
    return StackedRNN.of_weights(dict(weights), cell=Elman(), read_out=read_out)


def outputs_by_hand(c, i, Theta, Theta_reverse, Psi):
    """Outputs for sequence i, one step at a time."""
    first, frame, stride = c.sequences.first_rows[i], c.sequences.frame, c.sequences.stride
    rows = [c.sequences.observations[first + stride * t :][:frame].ravel() for t in range(c.lengths[i])]
    states = []
    for weights, order in ((Theta, 1), (Theta_reverse, -1)):
        s, reached = np.zeros(len(weights)), []
        for x in rows[::order]:
            s = np.tanh(weights @ np.r_[0.8 * x, s, 1])
            reached.append(s)
        if c.read_out == "each":
            reached = reached[::order]
        states.append(READ_OUTS[c.read_out](np.array(reached)))
    return np.hstack(states) @ Psi[:, :-1].T + Psi[:, -1]


def loss_by_hand(c, Theta, Theta_reverse, Psi):
    o = np.concatenate([outputs_by_hand(c, i, Theta, Theta_reverse, Psi) for i in range(len(c.lengths))])
    if c.y.ndim == 1:
        R = np.log(np.exp(o).sum(axis=1)) - o[np.arange(len(o)), c.y]
    else:
        R = 0.5 * ((o - c.y) ** 2).sum(axis=1)
    return c.weights @ R / c.weights.sum()


def iterate(c, which=None, rho=1e9, n_threads=1):
    """The sweeps of one iteration on a minibatch of these sequences, multipliers of all steps included."""
    which = np.arange(len(c.lengths)) if which is None else np.array(which)
    rows = np.isin(c.of_step, which)
    sequences = c.sequences
    sequences = Sequences(
        sequences.observations, sequences.first_rows[which], c.lengths[which], 0.8, sequences.frame, sequences.stride
    )
    network = network_of(c)
    settings = Rollout(rho=rho, momentum=0.0, gram_decay=0.0, multiplier_cap=None)
    order = Shuffled(network, sequences, len(which), False, None)
    fit = Fit(settings, Problem(network, order, c.y[rows], c.loss, c.weights[rows], n_threads=n_threads))
    fit.take(np.arange(len(which)))
    for work in fit.works[0]:
        keep_multipliers(fit.kernels, work)
    fit.sweep_forward()
    fit.sweep_backward()
    fit.agree()
    fit.fold()
    return fit


def central_differences(function, matrix, h=1e-5):
    gradient = np.empty_like(matrix)
    for index in np.ndindex(matrix.shape):
        above, below = matrix.copy(), matrix.copy()
        above[index] += h
        below[index] -= h
        gradient[index] = (function(above) - function(below)) / (2 * h)
    return gradient


@EVERY_SHAPE
@pytest.mark.parametrize("frame, stride", [(1, 1), (3, 2)])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared", "own"])
def test_statistics_are_the_gradient(read_out, frame, stride, loss, monkeypatch):
    c = make_case(read_out, frame=frame, stride=stride, loss=loss)
    weights = {"Theta": c.Theta, "Theta_reverse": c.Theta_reverse, "Psi": c.Psi}
    expected = [
        central_differences(lambda at, name=name: loss_by_hand(c, **weights | {name: at}), weights[name])
        for name in weights
    ]
    for backend_name in ("compiled", "numpy"):
        monkeypatch.setenv("ADMMIRNN_BACKEND", backend_name)
        fit = iterate(c)
        assert fit.batch_loss == pytest.approx(loss_by_hand(c, **weights), rel=1e-12)
        for layer, gradient in zip(fit.layers, expected, strict=True):
            np.testing.assert_allclose(layer.M, -gradient, rtol=0, atol=1e-6 * max(1, np.abs(gradient).max()))
            assert np.abs(gradient).max() > 1e-3


@EVERY_SHAPE
def test_gram_matrices_are_those_of_the_inputs(read_out, backend_name):
    c = make_case(read_out)
    fit = iterate(c)
    H = []
    for i in range(len(c.lengths)):
        # with V = I the outputs are the states
        H.append(outputs_by_hand(c, i, c.Theta, c.Theta_reverse, np.eye(8)[:7]))
    H = np.hstack([np.concatenate(H), np.ones((len(c.weights), 1))])[c.weights > 0]
    weights = c.weights / c.weights[c.weights > 0].mean()
    w = weights[c.weights > 0]
    np.testing.assert_allclose(np.tril(fit.layers[-1].G), np.tril((w[:, None] * H).T @ H / len(H)), rtol=0, atol=1e-12)
    of_sequences = np.array(
        [weights[c.of_step == i][weights[c.of_step == i] > 0].mean() for i in range(len(c.lengths))]
    )
    for layer, work in zip(fit.layers[:-1], fit.works[0], strict=True):
        X, S = work.room.X[: work.batch.n_rows], work.S[: work.batch.n_rows]
        Z = np.hstack([X[:, :-1], S, X[:, -1:]])
        w = of_sequences[work.batch.rows()[0]]
        np.testing.assert_allclose(np.tril(layer.G), np.tril((w[:, None] * Z).T @ Z / len(Z)), rtol=0, atol=1e-12)


@EVERY_SHAPE
def test_a_batch_of_unequal_lengths_is_one_by_one(read_out, backend_name):
    c = make_case(read_out)
    together = iterate(c, rho=2.0)
    totals = np.bincount(c.of_step, c.weights)
    M = [np.zeros_like(layer.M) for layer in together.layers]
    for i in np.flatnonzero(totals):
        alone = iterate(c, [i], rho=2.0)
        share = totals[i] / alone.works[0][0].weights.sum() / (totals.sum() / together.works[0][0].weights.sum())
        for of_all, of_one in zip(together.works[0], alone.works[0], strict=True):
            rows = np.flatnonzero(of_all.batch.rows()[0] == i)
            found, expected = of_all.room.lambda1[rows], share * of_one.room.lambda1
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12, equal_nan=False)
        batch = together.works[0][0].batch
        rows = np.flatnonzero(batch.indices == i)
        if read_out == "each":
            rows = batch.rows_of_outputs()[np.flatnonzero(batch.rows()[0] == i)]
        np.testing.assert_allclose(together.works[0][0].Q[rows], alone.works[0][0].Q, rtol=0, atol=1e-12)
        for total, layer in zip(M, alone.layers, strict=True):
            total += totals[i] / totals.sum() * layer.M
    for layer, expected in zip(together.layers, M, strict=True):
        np.testing.assert_allclose(layer.M, expected, rtol=0, atol=1e-12)


@EVERY_SHAPE
def test_threads_differ_by_rounding(read_out):
    c = make_case(read_out, lengths=(30, 25, 40, 31) * 8, sizes=(64, 64))
    for one, two in zip(iterate(c).layers, iterate(c, n_threads=2).layers, strict=True):
        np.testing.assert_allclose(one.M, two.M, rtol=0, atol=1e-13 * np.abs(one.M).max())
        np.testing.assert_allclose(np.tril(one.G), np.tril(two.G), rtol=0, atol=1e-13 * np.abs(one.G).max())


# Predictions


@EVERY_SHAPE
@pytest.mark.parametrize("frame, stride", [(1, 1), (3, 2), (2, 3)])
def test_outputs_by_hand(read_out, frame, stride, backend_name):
    c = make_case(read_out, frame=frame, stride=stride, lengths=(3, 1, 4, 3, 2, 9))
    expected = [outputs_by_hand(c, i, c.Theta, c.Theta_reverse, c.Psi) for i in range(6)]
    found = network_of(c).outputs(c.sequences, every_step=read_out == "each")
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize("every_step", [False, True])
def test_outputs_of_long_sequences_are_rolled_out_in_parts(every_step):
    c = make_case("each" if every_step else "last", lengths=(20_000, 3, 9_000))
    expected = np.concatenate([outputs_by_hand(c, i, c.Theta, c.Theta_reverse, c.Psi) for i in range(3)])
    found = network_of(c).outputs(c.sequences, every_step=every_step)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["sequence", "step"])
def test_predictions_are_those_of_torch(form):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(length, 2)) for length in (5, 1, 8, 3) * 6]
    y = np.arange(24) % 3 if form == "sequence" else [rng.integers(0, 3, len(x)) for x in X]
    model = RNNClassifier(7, bidirectional=True, max_epochs=2, dtype="float64", random_state=0).fit(X, y)
    rnn = torch.nn.RNN(2, 7, bidirectional=True, batch_first=True).double()
    state = rnn.state_dict()
    for name, suffix in (("", ""), ("_reverse", "_reverse")):
        state[f"weight_ih_l0{suffix}"] = torch.tensor(getattr(model, f"U{name}_"))
        state[f"weight_hh_l0{suffix}"] = torch.tensor(getattr(model, f"W{name}_"))
        state[f"bias_ih_l0{suffix}"] = torch.tensor(getattr(model, f"b{name}_"))
        state[f"bias_hh_l0{suffix}"] = torch.zeros(7, dtype=torch.float64)
    rnn.load_state_dict(state)
    found = model.decision_function(X)
    for x, o in zip(X, found, strict=True):
        with torch.no_grad():
            steps, last = rnn(torch.tensor(x)[None])
        h = steps[0].numpy() if form == "step" else last[:, 0].numpy().ravel()
        np.testing.assert_allclose(o, h @ model.V_.T + model.c_, rtol=0, atol=1e-12)


# Estimators


@pytest.fixture(scope="module")
def peeks():
    """Sequences of unequal lengths whose label at each step is the sign of the next observation."""
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(length, 2)) for length in rng.integers(3, 13, 240)]
    return X, [(np.r_[x[1:, 0], -1] > 0).astype(int) for x in X]


def classifier(**settings):
    return RNNClassifier(**{"hidden_size": 12, "random_state": 0, "bidirectional": True, **settings})


EXPECTED_FAILURES = {"check_sample_weight_equivalence_on_dense_data": DEPENDS_ON_NUMBER}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:The number of unique classes:UserWarning")
@parametrize_with_checks(
    [RNNClassifier(bidirectional=True, dtype="float64"), RNNRegressor(bidirectional=True, dtype="float64")],
    expected_failed_checks=lambda _: EXPECTED_FAILURES,
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_sees_the_future(peeks, dtype):
    X, Y = peeks
    both, one = (classifier(bidirectional=b, dtype=dtype).fit(X[:160], Y[:160]) for b in (True, False))
    assert both.score(X[160:], Y[160:]) > 0.93
    assert one.score(X[160:], Y[160:]) < 0.6
    assert {name: getattr(both, f"{name}_").shape for name in WEIGHTS} == {
        **{"U": (12, 2), "W": (12, 12), "b": (12,)},
        **{"U_reverse": (12, 2), "W_reverse": (12, 12), "b_reverse": (12,)},
        **{"V": (2, 24), "c": (2,)},
    }
    assert {getattr(both, f"{name}_").dtype for name in WEIGHTS} == {np.dtype(dtype)}
    assert not hasattr(both.set_params(bidirectional=False).fit(X, Y), "U_reverse_")


@pytest.mark.parametrize("readout", ["last", "mean", "max"])
def test_values_of_sequences(readout):
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(length, 2)) for length in rng.integers(15, 30, 250)]
    y = np.array([x[0, 0] - x[-1, 1] for x in X])
    settings = {"readout": readout, "random_state": 0, "max_epochs": 40, "init": {"W": 0.3 * np.eye(12)}}
    if readout == "last":
        one = RNNRegressor(12, **settings).fit(X[:200], y[:200]).score(X[200:], y[200:])
        settings["init"] = settings["init"] | {"W_reverse": 0.3 * np.eye(12)}
        both = RNNRegressor(12, bidirectional=True, **settings).fit(X[:200], y[:200])
        assert both.score(X[200:], y[200:]) > 0.9 and one < 0.6
    else:
        assert RNNRegressor(12, bidirectional=True, **settings).fit(X, y).score(X, y) > 0.2


def test_back_ends_give_the_same_weights(peeks, monkeypatch):
    models = []
    for name in ("compiled", "numpy"):
        monkeypatch.setenv("ADMMIRNN_BACKEND", name)
        models.append(classifier(dtype="float64", max_epochs=2).fit(*peeks))
    for name in WEIGHTS:
        np.testing.assert_allclose(*(getattr(model, f"{name}_") for model in models), rtol=0, atol=1e-9)


def test_frames_of_a_memory_mapped_file(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 12, 2)).astype("f4")
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    y = (X[:, -3:, 0].sum(axis=1) > 0).astype(int)
    found, expected = (classifier(frame=(3, 2), max_epochs=3).fit(of, y) for of in (mapped, X))
    for name in WEIGHTS:
        np.testing.assert_array_equal(getattr(found, f"{name}_"), getattr(expected, f"{name}_"))
    np.testing.assert_array_equal(found.predict_proba(mapped), expected.predict_proba(X))


def test_copies_and_pickles(peeks):
    X, Y = peeks
    model = classifier(max_epochs=1).fit(X, Y)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), clone(model).fit(X, Y)):
        for a, b in zip(other.predict_proba(X), model.predict_proba(X), strict=True):
            np.testing.assert_array_equal(a, b)


def test_init_and_going_on(peeks):
    X, Y = peeks
    first = classifier(max_epochs=3).fit(X, Y)
    again = classifier(max_epochs=3, init={name: getattr(first, f"{name}_") for name in WEIGHTS}).fit(X, Y)
    assert again.history_[0]["rollout_loss"] < 0.7 * first.history_[0]["rollout_loss"]
    model = classifier().partial_fit(X, Y, classes=[0, 1])
    for _ in range(9):
        model.partial_fit(X, Y)
    assert model.history_[-1]["rollout_loss"] < 0.5 * model.history_[0]["rollout_loss"]
    with pytest.raises(ValueError, match="bidirectional is False, and was True when training began"):
        model.set_params(bidirectional=False).partial_fit(X, Y)


@pytest.mark.parametrize("block", ["W", "V", "UWb", "WV"])
def test_penalties_act_on_both_networks(peeks, block):
    X, Y = peeks
    if block == "W":
        model = classifier(penalties={"W": SpectralBall(0.4)}, max_epochs=3).fit(X, Y)
        assert max(np.linalg.norm(W, 2) for W in (model.W_, model.W_reverse_)) <= 0.4 + 1e-6
        assert np.linalg.norm(model.W_ - model.W_reverse_) > 0.1
        return
    model = classifier(penalties={block: GroupLasso(2e-2) if block == "WV" else Lasso(1e-2)}).fit(X, Y)
    if block == "V":
        assert 0 < np.mean(model.V_ == 0) < 1
    elif block == "UWb":
        assert (model.W_ == 0).any() and (model.W_reverse_ == 0).any() and model.U_reverse_.any()
    else:
        n, (W, W_r) = 12, (model.W_, model.W_reverse_)
        dead = [~np.vstack(pair).any(axis=0) for pair in ((W, model.V_[:, :n]), (W_r, model.V_[:, n:]))]
        assert dead[0].any() and dead[1].any() and not all(of.all() for of in dead)


def test_prune_takes_units_from_both_networks(peeks):
    X, Y = peeks
    rng = np.random.default_rng(0)
    model = classifier(max_epochs=3, dtype="float64").fit(X, Y)
    unread, unread_reverse = rng.choice(12, 5, replace=False), rng.choice(12, 2, replace=False)
    model.W_[:, unread] = model.V_[:, unread] = 0
    model.W_reverse_[:, unread_reverse] = model.V_[:, 12 + unread_reverse] = 0
    pruned = model.prune()
    assert pruned.W_.shape == (7, 7) and pruned.W_reverse_.shape == (10, 10) and pruned.V_.shape == (2, 17)
    assert pruned.hidden_size == 10
    for a, b in zip(pruned.predict_proba(X), model.predict_proba(X), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_ruined_network_is_taken_back(peeks):
    X, Y = peeks
    solver = Rollout(radius=3.0, output_radius=30.0, r=0, multiplier_cap=None)
    model = classifier(solver=solver, activation="relu", max_epochs=10).fit(X, Y)
    assert sum(record["rollbacks"] for record in model.history_) > 0
    assert all(np.isfinite(getattr(model, f"{name}_")).all() for name in WEIGHTS)
    assert model.history_[-1]["rollout_loss"] < 1.0


def refused(match, X, y, error=ValueError, **settings):
    model = classifier(max_epochs=1, **settings)
    with pytest.raises(error, match=match):
        model.fit(X, y)
    assert not hasattr(model, "W_")


def test_what_does_not_fit_is_refused(peeks):
    X, Y = peeks
    y = [labels[0] for labels in Y]
    refused("bidirectional is 1 of type int", X, Y, TypeError, bidirectional=1)
    refused("bidirectional is True, and Algorithm1 trains one direction only", X, y, solver="algorithm1")
    refused("stateful is True and bidirectional is True", X, Y, stateful=True)
    refused("s_0 is 'learn' and bidirectional is True", X, Y, s_0="learn")
    refused(r"init\['V'\] has the shape \(2, 12\); for these data and settings it must be \(2, 24\)", X, Y,
            init={"V": np.zeros((2, 12))})  # fmt: skip
    refused("the known ones are 'U', 'W', 'b', 'V', 'c'", X, Y, bidirectional=False, init={"W_reverse": np.eye(12)})
    model = classifier(max_epochs=1).fit(X, Y)
    for method in (model.stream, lambda: model.step(X[0][0])):
        with pytest.raises(ValueError, match="bidirectional, and a stream has no end"):
            method()
    with pytest.raises(ValueError, match="bidirectional, and a stream has no end"):
        series = np.sin(np.arange(90.0)).reshape(3, 30, 1)
        RNNRegressor(4, bidirectional=True, max_epochs=1).fit(series[:, :-1], series[:, 1:]).forecast(series[0], 2)
    c = make_case("each")
    for solver, sequences, match in (
        (Algorithm1(), c.sequences, "the network is bidirectional, and this solver"),
        (Rollout(), c.sequences.in_chunks(2), "the network is bidirectional, and streams"),
    ):
        with pytest.raises(ValueError, match=match):
            solver.solve(network_of(c), sequences, c.y, c.loss)
