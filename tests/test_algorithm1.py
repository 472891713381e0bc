"""Solver "algorithm1" as users meet it: what it learns, what it reports, how it ends, and what it refuses."""

import inspect
import math
import os
import pickle
import signal
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from expected_failures import IN_FLOAT32
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_info

from admmirnn import Algorithm1, RNNClassifier, Status, backend
from admmirnn.activations import ACTIVATIONS
from admmirnn.data.sequences import Sequences
from admmirnn.losses import SoftmaxCrossEntropy, SquaredError
from admmirnn.networks import ElmanRNN
from admmirnn.solvers.algorithm1 import solver as module

pytestmark = pytest.mark.elman

WEIGHTS = ("U_", "W_", "b_", "V_", "c_")
NOT_REPEATING = "a sequence of weight 2 has one set of variables and penalties; two sequences have two"
RESIDUALS = [f"{kind}_{name}{end}" for kind, end in (("primal", ""), ("primal", "_N"), ("dual", "")) for name in "aso"]
RECORD = {
    *("epoch", "lagrangian", "change", "auxiliary_loss", "auxiliary_accuracy", "r"),
    *("rollout_loss", "training_accuracy", "seconds"),
    *RESIDUALS,
}
PENALTIES = ("rho1", "rho2", "rho3", "nu", "r")


def classifier(solver="algorithm1", **settings):
    usual = {"hidden_size": 6, "max_epochs": 4, "random_state": 0, "standardize": False}
    return RNNClassifier(**usual | settings, solver=solver)


def same_weights(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in WEIGHTS)


def finite_weights(model):
    return all(np.isfinite(getattr(model, name)).all() for name in WEIGHTS)


def fit(model, X, y, **kwargs):
    """Fit, and return the model and every warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y, **kwargs)
    return model, caught


def as_sequences(X, dtype="float64"):
    return Sequences.of_lengths(np.concatenate(X).astype(dtype), [len(x) for x in X])


def random_network(n_features, n_hidden, n_outputs, *, dtype="float64", seed=0, **options):
    random_state = np.random.RandomState(seed)
    return ElmanRNN.random(n_features, n_hidden, n_outputs, dtype=np.dtype(dtype), random_state=random_state, **options)


def log_loss(model, X, y, weights=None):
    """The weighted mean of -log p(y), over the sequences, or over all their steps."""
    probabilities = model.predict_proba(X)
    weights = np.ones(len(X)) if weights is None else np.asarray(weights, float)
    if np.ndim(y[0]):
        weights = np.repeat(weights, [len(labels) for labels in y])
        probabilities, y = np.concatenate(list(probabilities)), np.concatenate(list(y))
    right = probabilities[np.arange(len(y)), np.searchsorted(model.classes_, y)]
    return np.average(-np.log(right.astype(float)), weights=weights)


def initial_loss(y):
    """The loss of the weights that training starts from: with V and c zero, every class is as likely."""
    return math.log(len(np.unique(np.concatenate(y) if np.ndim(y[0]) else y)))


@pytest.fixture
def steps(waves):
    """The waves with a label at each step: whether the first feature has risen above where it started."""
    X, _ = waves
    return X[:40], [(x[:, 0] > x[0, 0]).astype(int) for x in X[:40]]


@pytest.fixture
def table():
    """24 sequences of 5 steps and 2 features, a label of three at each step, and one at the last."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(24, 5, 2))
    Y = (X[:, :, 0] > 0.3).astype(int) + (X[:, :, 1] > 0.3)
    return X, Y


@pytest.fixture
def fits(monkeypatch):
    """Every `_Fit` that is made, in order."""
    made = []

    class Recorded(module._Fit):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr(module, "_Fit", Recorded)
    return made


# Learning


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_learns(waves, dtype, activation):
    X, y = waves
    settings = {"hidden_size": 16, "activation": activation, "dtype": dtype}
    model = classifier(Algorithm1(r="lipschitz", rho3=0.3), max_epochs=100, **settings).fit(X, y)
    assert model.score(X, y) > (0.93 if activation == "tanh" else 0.8)
    assert log_loss(model, X, y) < (0.25 if activation == "tanh" else 0.5)
    assert model.status_ is Status.ITERATION_LIMIT
    assert model.n_iter_ == len(model.history_) == 100


def test_learns_by_its_name_on_both_back_ends(waves, backend_name):
    X, y = [items[:50] for items in waves]
    model = classifier("algorithm1", hidden_size=8, max_epochs=6).fit(X, y)
    assert model.score(X, y) > 0.8
    assert same_weights(model, classifier(Algorithm1(), hidden_size=8, max_epochs=6).fit(X, y))


@pytest.mark.parametrize("settings", [{"o_step": "linearised"}, {"a_step": "linear"}, {"s_coupling": True}], ids=str)
def test_options_learn_and_change_the_run(waves, settings):
    X, y = waves
    model = classifier(Algorithm1(r=5.0, **settings), max_epochs=40).fit(X, y)
    assert model.score(X, y) > 0.7
    assert not same_weights(model, classifier(Algorithm1(r=5.0), max_epochs=40).fit(X, y))


@pytest.mark.slow_on("numpy")
def test_learns_a_label_at_each_step(steps, backend_name):
    X, y = steps
    model = classifier(Algorithm1(r="lipschitz"), hidden_size=12, max_epochs=8).fit(X, y)
    assert model.score(X, y) > 0.8
    assert model.history_[-1]["rollout_loss"] < 0.7 * initial_loss(y)


@pytest.mark.slow_on("numpy")
@pytest.mark.parametrize("every_step", [True, False])
def test_learns_values(every_step, backend_name):
    """Squared error, by way of `Algorithm1.solve`: the mean of the steps so far."""
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(length, 1)) for length in rng.integers(1, 7, 50)]
    running = [np.cumsum(x, axis=0) / np.arange(1, len(x) + 1)[:, None] for x in X]
    values = np.concatenate(running) if every_step else np.stack([values[-1] for values in running])
    network = random_network(1, 10, 1)
    outcome = Algorithm1(r="lipschitz").solve(network, as_sequences(X), values, SquaredError(), max_epochs=40)
    assert "training_accuracy" not in outcome.history[0] and "auxiliary_accuracy" not in outcome.history[0]
    error = network.outputs(as_sequences(X), every_step=every_step) - values
    assert 0.5 * np.mean(error**2) == pytest.approx(min(record["rollout_loss"] for record in outcome.history))
    assert np.mean(error**2) < 0.2 * np.var(values)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    "settings",
    [
        {"solver": Algorithm1(r="lipschitz", s_coupling=True)},
        {"solver": Algorithm1(r=3.0, omega="lasso"), "penalty": 0.1, "batch_size": 13},
        {"solver": Algorithm1(r=20.0, o_step="linearised", a_step="linear", signs="printed")},
    ],
    ids=["lipschitz", "batches", "printed"],
)
def test_numpy_backend_gives_the_same_weights(steps, settings, activation, monkeypatch):
    X, _ = steps
    y = [int(x[-1, 1] > 0) for x in X]
    models = []
    for name in ("compiled", "numpy"):
        monkeypatch.setenv("ADMMIRNN_BACKEND", name)
        model = classifier(dtype="float64", activation=activation, **settings)
        models.append(fit(model, X, y)[0])
    assert models[0].n_iter_ == models[1].n_iter_ == 4
    for name in WEIGHTS:
        np.testing.assert_allclose(getattr(models[0], name), getattr(models[1], name), atol=1e-9)
    for one, two in zip(models[0].history_, models[1].history_, strict=True):
        assert one.keys() == two.keys()
        for key in one.keys() - {"seconds"}:
            assert one[key] == pytest.approx(two[key], rel=1e-7, abs=1e-12), key


# Which weights are kept


@pytest.mark.slow_on("numpy")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("labels", ["last", "every"])
@pytest.mark.parametrize("keep", ["best", "last"])
def test_kept_weights_have_the_loss_on_record(waves, steps, dtype, labels, keep, backend_name):
    X, y = waves if labels == "last" else steps
    X, y = X[:25], y[:25]
    model = classifier(Algorithm1(keep=keep, signs="printed", r=100.0), dtype=dtype, max_epochs=8).fit(X, y)
    losses = [record["rollout_loss"] for record in model.history_]
    best = int(np.argmin(losses))
    assert losses[best] < min(losses[-1], initial_loss(y))  # or else the test would show nothing
    kept = model.history_[best if keep == "best" else -1]
    assert log_loss(model, X, y) == pytest.approx(kept["rollout_loss"], rel=1e-5 if dtype == "float32" else 1e-10)
    assert model.score(X, y) == pytest.approx(kept["training_accuracy"], abs=1e-12)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_initial_weights_are_among_those_that_are_kept(waves, keep):
    """Start from good weights, with a penalty that makes them worse."""
    X, y = waves
    good = RNNClassifier(6, random_state=0).fit(X, y)
    init = {name[0]: getattr(good, name) for name in WEIGHTS}
    # not with steps that are too long: from this start, a fixed point, they magnify nothing but rounding errors
    solver = Algorithm1(r="lipschitz", keep=keep)
    model = classifier(solver, init=init, max_epochs=1, penalty=1e4).fit(X, y)
    assert min(record["rollout_loss"] for record in model.history_) > log_loss(good, X, y)
    assert same_weights(model, good) == (keep == "best")


# The record


def test_record(waves, backend_name):
    X, y = waves
    model = classifier(max_epochs=5).fit(X[:40], y[:40])
    assert [record["epoch"] for record in model.history_] == [1, 2, 3, 4, 5]
    for record in model.history_:
        assert set(record) == RECORD
        assert {name for name, value in record.items() if type(value) is not float} == {"epoch"}
        assert type(record["epoch"]) is int
        assert all(math.isfinite(value) for value in record.values())
        assert all(record[name] >= 0 for name in RECORD - {"lagrangian"})
        assert 0 <= record["training_accuracy"] <= 1 and 0 <= record["auxiliary_accuracy"] <= 1


def test_record_is_what_the_docstrings_name():
    documented = inspect.getdoc(module.Residuals.record)
    assert all(f"``{name}``" in documented or name.startswith(("primal", "dual")) for name in RECORD - {
        "rollout_loss", "training_accuracy", "seconds"
    })  # fmt: skip
    assert all(f"``{name}``" in inspect.getdoc(RNNClassifier) for name in ("rollout_loss", "training_accuracy"))


def test_history_is_a_table(waves):
    X, y = waves
    frame = pd.DataFrame(classifier(Algorithm1(r="lipschitz")).fit(X, y).history_)
    assert frame.shape == (4, len(RECORD))
    assert frame["epoch"].tolist() == [1, 2, 3, 4]
    assert np.isfinite(frame.to_numpy(dtype=float)).all()


@pytest.mark.slow_on("numpy")
@pytest.mark.parametrize("labels", ["last", "every"])
def test_roll_out_loss_and_accuracy_on_record_are_those_of_the_network(waves, steps, labels, backend_name):
    """Of every iteration, after it, on the whole training set, weighted."""
    X, y = waves if labels == "last" else steps
    X, y, weights = X[:16], y[:16], np.linspace(0.2, 2, 16)
    seen = []

    def callback(state):
        record, estimator = state.record, state.estimator
        assert record["rollout_loss"] == pytest.approx(log_loss(estimator, X, y, weights), rel=1e-9)
        assert record["training_accuracy"] == pytest.approx(estimator.score(X, y), abs=1e-12)
        seen.append(record["epoch"])

    settings = {"dtype": "float64", "batch_size": 8, "callbacks": [callback]}
    classifier(**settings).fit(X, y, sample_weight=weights)
    assert seen == [1, 2, 3, 4]


def test_accuracy_on_record_is_that_of_the_steps_with_a_label(steps):
    X, y = steps
    y = [np.where(np.arange(len(labels)) % 3 == 0, labels, -1) for labels in y]
    model = classifier(Algorithm1(r="lipschitz", keep="last"), ignore_label=-1).fit(X, y)
    assert model.history_[-1]["training_accuracy"] == pytest.approx(model.score(X, y), abs=1e-12)


def rows_of(X):
    """Whose and which of its steps every row of the variables is: sequences, longest first, end together."""
    lengths = [len(x) for x in X]
    order = sorted(range(len(X)), key=lambda i: -lengths[i])
    N = max(lengths)
    return [(i, lengths[i] - N + t) for t in range(N) for i in order if lengths[i] - N + t >= 0]


@pytest.mark.parametrize("labels", ["last", "every"])
def test_auxiliary_loss_is_that_of_o(waves, steps, labels, fits, backend_name):
    X, y = waves if labels == "last" else steps
    X, y, weights = X[:16], y[:16], np.linspace(0.2, 2, 16)
    model = classifier(dtype="float64", shuffle=False).fit(X, y, sample_weight=weights)
    (variables,) = fits[0].batches
    losses, right, total = 0.0, [], 0.0
    for o, (i, step) in zip(variables.O, rows_of(X), strict=True):
        if labels == "last" and step < len(X[i]) - 1:
            continue
        label = y[i] if labels == "last" else y[i][step]
        losses += weights[i] * (np.log(np.exp(o).sum()) - o[label])
        total += weights[i]
        right.append(o.argmax() == label)
    assert model.history_[-1]["auxiliary_loss"] == pytest.approx(losses / total, rel=1e-9)
    assert model.history_[-1]["auxiliary_accuracy"] == pytest.approx(np.mean(right), abs=1e-12)
    assert model.history_[-1]["auxiliary_loss"] < model.history_[-1]["rollout_loss"]


def states_of(fit):
    """a_t, s_t and o_t at t < N and at t = N, of all batches."""
    columns = []
    for block in range(3):
        others = np.concatenate([v.blocks[block][: -len(v.lambda1)] for v in fit.batches])
        last = np.concatenate([v.blocks[block][-len(v.lambda1) :] for v in fit.batches])
        columns.append((others.copy(), last.copy()))
    return columns


def root_mean_square(*arrays):
    return math.sqrt(sum(np.sum(array**2) for array in arrays) / sum(array.size for array in arrays))


@pytest.mark.slow_on("numpy")
@pytest.mark.parametrize("batch_size", [20, 7])
@pytest.mark.parametrize("omega", ["ridge", "lasso"])
def test_residuals_and_lagrangian_on_record(waves, fits, batch_size, omega, backend_name):
    """Of the fourth iteration, from its variables and those after the third."""
    X, y = waves
    rho = {"rho1": lambda k: 1 + 0.1 * k, "rho2": 0.8, "rho3": 1.3, "nu": 0.2}
    solver = Algorithm1(**rho, r=4.0, omega=omega, keep="last")
    settings = {"dtype": "float64", "penalty": 0.3, "batch_size": batch_size}
    models = [classifier(solver, max_epochs=k, **settings).fit(X[:20], y[:20]) for k in (3, 4)]
    before, now = (states_of(fit) for fit in fits)
    record, at = models[1].history_[-1], (1.4, 0.8, 1.3)
    lagrangian = 20 * record["auxiliary_loss"]
    for k, (name, rho) in enumerate(zip("aso", at, strict=True)):
        residuals, last = [], []
        for v in fits[1].batches:
            B = len(v.lambda1)
            residual = (
                v.A - v.Z[: len(v.A)] @ fits[1].network.Theta.T,
                v.H[:, :-1] - np.tanh(v.A),
                v.O - v.H @ fits[1].network.Psi.T,
            )[k]
            residuals.append(residual[:-B])
            last.append(residual[-B:])
            lagrangian += 0.1 * np.sum(residual[:-B] ** 2) + rho / 2 * np.sum(residual[-B:] ** 2)
            lagrangian += np.sum(v.multipliers[k] * residual[-B:])
        assert record[f"primal_{name}"] == pytest.approx(root_mean_square(*residuals), rel=1e-9)
        assert record[f"primal_{name}_N"] == pytest.approx(root_mean_square(*last), rel=1e-9)
        moved = 0.2 * (now[k][0] - before[k][0]), rho * (now[k][1] - before[k][1])
        assert record[f"dual_{name}"] == pytest.approx(root_mean_square(*moved), rel=1e-9)
    W = models[1].W_
    lagrangian += 0.3 * (np.abs(W).sum() if omega == "lasso" else 0.5 * np.sum(W**2))
    assert record["lagrangian"] == pytest.approx(lagrangian, rel=1e-9)
    changed = sum(
        np.sum((one - two) ** 2) for a, b in zip(now, before, strict=True) for one, two in zip(a, b, strict=True)
    )
    changed += sum(np.sum((getattr(models[1], name) - getattr(models[0], name)) ** 2) for name in WEIGHTS)
    assert record["change"] == pytest.approx(changed, rel=1e-9)
    assert record["r"] == 4.0


@pytest.mark.parametrize("block", ["V", "W"])
def test_lipschitz_r_of_weights_whose_square_overflows(waves, block):
    X, y = waves
    init = {block: np.full({"W": (5, 5), "V": (2, 5)}[block], 1e200)}
    model = classifier(Algorithm1(r="lipschitz", s_coupling=True), hidden_size=5, dtype="float64", init=init)
    model.set_params(max_epochs=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # nothing is said of how it ends
        model.fit(X, y)
    assert all(np.isfinite(weights).all() for weights in (model.U_, model.W_, model.V_))


def test_lipschitz_r_is_twice_the_largest_bound_at_the_start(waves, fits):
    X, y = waves
    settings = {"dtype": "float64", "batch_size": 40}
    model = classifier(Algorithm1(r="lipschitz", keep="last"), max_epochs=3, **settings).fit(X, y)
    one_more = classifier(Algorithm1(r="lipschitz"), max_epochs=4, **settings).fit(X, y)
    bounds = [max(v.lipschitz_bounds(fits[0].at).values()) for v in fits[0].batches]
    assert one_more.history_[-1]["r"] == pytest.approx(2 * max(bounds), rel=1e-12)
    assert one_more.history_[-2]["r"] == pytest.approx(model.history_[-1]["r"], rel=1e-12)


# How a fit ends


@pytest.mark.parametrize(
    "binding, settings", [("primal", {"r": 5.0}), ("dual", {"rho1": 20.0, "rho2": 20.0, "rho3": 20.0, "r": 20.0})]
)
def test_converged(waves, binding, settings, backend_name):
    """With eps_rel = 0, in the first iteration whose residuals are all at most eps_abs, and not before."""
    X, y = waves
    model = classifier(Algorithm1(**settings, eps_abs=0.1, eps_rel=0.0), max_epochs=20).fit(X, y)
    assert model.status_ is Status.CONVERGED
    assert 1 < model.n_iter_ == len(model.history_) < 20
    assert max(model.history_[-1][name] for name in RESIDUALS) <= 0.1
    for record in model.history_[:-1]:
        large = {name for name in RESIDUALS if record[name] > 0.1}
        assert large and any(name.startswith(binding) for name in large)
    assert len({name.split("_")[0] for name in large}) == 1  # at the end only those of this kind were too large


def test_relative_tolerance_and_none(waves):
    X, y = waves
    model = classifier(Algorithm1(r=5.0, eps_abs=0.0, eps_rel=1e3), max_epochs=50).fit(X, y)
    assert model.status_ is Status.CONVERGED and model.n_iter_ == 1
    model = classifier(Algorithm1(r=5.0, eps_abs=0.0, eps_rel=0.0), max_epochs=50).fit(X, y)
    assert model.status_ is Status.ITERATION_LIMIT and model.n_iter_ == 50


def test_iteration_limit_of_the_estimator_and_of_the_solver(waves):
    X, y = waves
    for max_iter, expected in ((None, 4), (2, 2), (9, 9)):
        model = classifier(Algorithm1(max_iter=max_iter), max_epochs=4).fit(X, y)
        assert model.status_ is Status.ITERATION_LIMIT
        assert model.n_iter_ == len(model.history_) == expected


def test_stopped(waves, backend_name):
    X, y = waves
    seen = []
    callbacks = [lambda state: seen.append(state.record["epoch"]), lambda state: len(seen) == 3]
    model = classifier(Algorithm1(keep="last"), callbacks=callbacks, max_epochs=9).fit(X, y)
    assert model.status_ is Status.STOPPED
    assert seen == [1, 2, 3] == [record["epoch"] for record in model.history_]
    assert same_weights(model, classifier(Algorithm1(keep="last"), max_epochs=3).fit(X, y))


def test_callbacks_see_a_usable_estimator(waves):
    X, y = waves
    seen = []

    def callback(state):
        estimator = state.estimator
        copy = pickle.loads(pickle.dumps(estimator.set_params(callbacks=None)))
        seen.append((copy.predict(X), estimator.predict(X), estimator.predict_proba(X), estimator.W_))
        state.record["rollout_loss"] = None  # its own copy

    model = classifier(Algorithm1(keep="last"), callbacks=[callback]).fit(X, y)
    assert len(seen) == 4
    assert all(np.array_equal(one, two) for one, two, _, _ in seen)
    assert np.array_equal(seen[-1][2], model.predict_proba(X))
    assert not np.array_equal(seen[0][3], seen[1][3])
    assert all(record["rollout_loss"] is not None for record in model.history_)


DIVERGING = [
    {"signs": "printed"},
    {"r": 1e-3},
    {"r": 1e-12},
    {"r": 1e-300},
    {"nu": 1e12},
    {"rho1": 1e12, "rho2": 1e12, "rho3": 1e12},
    {"rho3": 1e12},
]


@pytest.mark.parametrize("settings", DIVERGING, ids=str)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("keep", ["best", "last"])
def test_diverging_settings_are_reported_and_leave_a_network(waves, settings, activation, dtype, keep):
    X, y = waves
    X, y = X[:40], y[:40]
    model = classifier(Algorithm1(**settings, keep=keep), activation=activation, dtype=dtype, max_epochs=30)
    model, caught = fit(model, X, y)
    assert model.status_ is Status.DIVERGED
    (warning,) = caught
    assert warning.category is ConvergenceWarning and warning.filename == __file__
    message = str(warning.message)
    assert f"diverged in iteration {model.n_iter_}: the root mean square of " in message
    assert message.split(" grew to ")[0].split()[-1] in {*"aso", "lambda1", "lambda2", "lambda3", *"UWbVc"}
    assert finite_weights(model)
    assert np.isfinite(model.predict_proba(X)).all()
    losses = [record["rollout_loss"] for record in model.history_[:-1]]
    best = min([initial_loss(y), *(loss for loss in losses if math.isfinite(loss))])
    assert log_loss(model, X, y) == pytest.approx(best, rel=1e-5)


def test_divergence_is_seen_before_anything_overflows(waves):
    model, (warning,) = fit(classifier(Algorithm1(r=0.3), dtype="float64", hidden_size=8, max_epochs=30), *waves)
    assert model.status_ is Status.DIVERGED
    assert 1e6 < float(str(warning.message).split(" grew to ")[1].split(";")[0]) < 1e12
    assert all(math.isfinite(value) for record in model.history_ for value in record.values())


def test_divergence_in_the_numpy_back_end(waves, monkeypatch):
    monkeypatch.setenv("ADMMIRNN_BACKEND", "numpy")
    X, y = waves
    with np.errstate(all="ignore"), pytest.warns(ConvergenceWarning, match="diverged in iteration"):
        model = classifier(Algorithm1(signs="printed"), max_epochs=30).fit(X[:40], y[:40])
    assert model.status_ is Status.DIVERGED and finite_weights(model)


def test_a_later_divergence_keeps_what_had_been_learnt(waves):
    X, y = waves
    with pytest.warns(ConvergenceWarning, match=r"the weights with the lowest .*r='lipschitz'"):
        model = classifier(Algorithm1(r=lambda k: 5.0 if k < 15 else 1e-3), max_epochs=30).fit(X, y)
    assert 15 <= model.n_iter_ < 30
    best = min(record["rollout_loss"] for record in model.history_[:14])
    assert log_loss(model, X, y) == pytest.approx(best, rel=1e-5)
    assert best < 0.9 * initial_loss(y)


@pytest.mark.parametrize("scale", [1e20, 1e30, 1e37])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_observations_that_overflow_float32(waves, scale, activation):
    X, y = waves
    model, _ = fit(classifier(activation=activation), [scale * x for x in X], y)
    assert model.status_ is Status.DIVERGED or os.environ.get("ADMMIRNN_BACKEND") == "numpy"  # has residuals of 0 here
    assert finite_weights(model)
    assert np.isfinite(model.predict_proba(X)).all()


def test_fit_after_a_diverged_fit(waves):
    X, y = waves
    model, _ = fit(classifier(Algorithm1(r=1e-12)), X, y)
    assert model.status_ is Status.DIVERGED and model.n_iter_ == 1
    fresh = classifier(Algorithm1(r="lipschitz")).fit(X, y)
    model.set_params(solver__r="lipschitz").fit(X, y)
    assert same_weights(model, fresh)
    assert model.status_ is Status.ITERATION_LIMIT and model.n_iter_ == 4


@pytest.mark.parametrize("value", [1e-12, 1e-6, 1e6, 1e12, 1e100])
@pytest.mark.parametrize("name", PENALTIES)
def test_extreme_penalties_never_ruin_a_network(waves, name, value):
    X, y = waves
    for dtype in ("float32", "float64"):
        model = classifier(Algorithm1(**{name: value}), dtype=dtype, max_epochs=8)
        with np.errstate(over="ignore"):
            model, caught = fit(model, X[:30], y[:30])
        assert finite_weights(model) and np.isfinite(model.predict_proba(X)).all()
        diverged = any(warning.category is ConvergenceWarning for warning in caught)
        assert diverged == (model.status_ is Status.DIVERGED)


@pytest.mark.parametrize("scale", [1e-30, 1e-10, 0.0, 1e2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_small_and_constant_observations(waves, scale, dtype):
    X, y = waves
    model = classifier(Algorithm1(r="lipschitz"), dtype=dtype, max_epochs=15).fit([scale * x for x in X], y)
    assert finite_weights(model)
    assert model.history_[-1]["rollout_loss"] <= initial_loss(y)
    assert log_loss(model, [scale * x for x in X], y) < initial_loss(y) + 1e-6


# Penalties as functions of the iteration


def test_constant_functions_give_the_run_of_the_constants(waves, backend_name):
    X, y = waves
    constants = {"rho1": 1.2, "rho2": 0.9, "rho3": 1.4, "nu": 0.2, "r": 3.0}
    functions = {name: (lambda k, value=value: value) for name, value in constants.items()}
    one, two = (classifier(Algorithm1(**settings)).fit(X[:30], y[:30]) for settings in (constants, functions))
    assert same_weights(one, two)
    assert [{**record, "seconds": 0} for record in one.history_] == [
        {**record, "seconds": 0} for record in two.history_
    ]


@pytest.mark.parametrize("name", PENALTIES)
def test_changing_functions_change_the_run_from_where_they_change(waves, name):
    X, y = waves
    base = {"rho1": 1.2, "rho2": 0.9, "rho3": 1.4, "nu": 0.2, "r": 3.0}
    changing = {**base, name: lambda k: base[name] * (1 if k < 3 else 1.5)}
    one, two = (classifier(Algorithm1(**settings), max_epochs=4).fit(X, y) for settings in (base, changing))
    lagrangian = [[record["lagrangian"] for record in model.history_] for model in (one, two)]
    assert lagrangian[0][:2] == lagrangian[1][:2]
    assert lagrangian[0][2] != lagrangian[1][2] and lagrangian[0][3] != lagrangian[1][3]
    assert [record["r"] for record in two.history_] == [3.0, 3.0, *([4.5] * 2 if name == "r" else [3.0] * 2)]


def test_functions_are_given_the_iterations_from_1(waves):
    X, y = waves
    asked = []

    def nu(k):
        asked.append(k)
        return np.float32(0.1) if k % 2 else 1

    classifier(Algorithm1(nu=nu, max_iter=5)).fit(X, y)
    assert asked[-5:] == [1, 2, 3, 4, 5] and set(asked) == {1, 2, 3, 4, 5}
    assert all(type(k) is int for k in asked)


BAD_NUMBERS = [
    *((0, ValueError), (0.0, ValueError), (-1.5, ValueError), (math.nan, ValueError), (math.inf, ValueError)),
    *(("1", TypeError), (None, TypeError), (True, TypeError), (1j, TypeError), ([1.0], TypeError)),
]


def assert_refused_before_any_work(model, X, y, error, *parts):
    """The message has every part; nothing has been trained, and nothing of the model has changed."""
    called = []
    before = vars(model.set_params(callbacks=[called.append])).copy()
    with pytest.raises(error) as caught:
        model.fit(X, y)
    for part in parts:
        assert part in str(caught.value)
    assert called == [] and vars(model) == before
    with pytest.raises(NotFittedError):
        check_is_fitted(model)


@pytest.mark.parametrize("value, error", BAD_NUMBERS, ids=repr)
@pytest.mark.parametrize("name", PENALTIES)
def test_bad_penalties_are_refused(waves, name, value, error):
    X, y = waves
    if name == "r" and value == "1":
        error = ValueError
    assert_refused_before_any_work(classifier(Algorithm1(**{name: value})), X, y, error, f"{name} is {value!r}")
    solver = Algorithm1(**{name: lambda k: value if k == 3 else 1.0})
    error = TypeError if isinstance(value, str) else error
    assert_refused_before_any_work(classifier(solver), X, y, error, f"{name}(3) is {value!r}", "a number > 0")


@pytest.mark.parametrize("name", PENALTIES)
def test_a_function_that_fails_is_not_hidden(waves, name):
    X, y = waves

    def broken(k):
        raise RuntimeError("no such iteration")

    assert_refused_before_any_work(classifier(Algorithm1(**{name: broken})), X, y, RuntimeError, "no such iteration")


@pytest.mark.parametrize(
    "settings, error, parts",
    [
        ({"r": "other"}, ValueError, ("r is 'other'", "'lipschitz'")),
        ({"signs": "wrong"}, ValueError, ("signs is 'wrong'", "'derived', 'printed'")),
        ({"signs": None}, ValueError, ("signs is None", "'derived', 'printed'")),
        ({"o_step": "exact"}, ValueError, ("o_step is 'exact'", "'prox', 'linearised'")),
        ({"a_step": "prox"}, ValueError, ("a_step is 'prox'", "'exact', 'linear'")),
        ({"s_coupling": 1}, TypeError, ("s_coupling is 1", "True or False")),
        ({"s_coupling": None}, TypeError, ("s_coupling is None", "True or False")),
        ({"omega": "l1"}, ValueError, ("omega is 'l1'", "'ridge', 'lasso'")),
        ({"omega": None}, ValueError, ("omega is None", "'ridge', 'lasso'")),
        ({"max_iter": 0}, ValueError, ("max_iter is 0", "at least 1, or None")),
        ({"max_iter": 2.0}, TypeError, ("max_iter is 2.0", "at least 1, or None")),
        ({"max_iter": True}, TypeError, ("max_iter is True", "at least 1, or None")),
        ({"keep": "first"}, ValueError, ("keep is 'first'", "'best', 'last'")),
        ({"eps_abs": -1e-9}, ValueError, ("eps_abs is -1e-09", "a number >= 0")),
        ({"eps_abs": None}, TypeError, ("eps_abs is None", "a number >= 0")),
        ({"eps_rel": math.nan}, ValueError, ("eps_rel is nan", "a number >= 0")),
        ({"eps_rel": math.inf}, ValueError, ("eps_rel is inf", "finite")),
        ({"eps_rel": "small"}, TypeError, ("eps_rel is 'small'", "a number >= 0")),
    ],
    ids=str,
)  # fmt: skip
def test_bad_settings_are_refused(waves, settings, error, parts):
    X, y = waves
    assert_refused_before_any_work(classifier(Algorithm1(**settings)), X, y, error, *parts)
    with pytest.raises(error):  # also before the data is looked at
        classifier(Algorithm1(**settings)).fit(None, None)
    network = random_network(2, 4, 2)
    before = network.Theta.copy()
    with pytest.raises(error):
        Algorithm1(**settings).solve(network, as_sequences(X), y, SoftmaxCrossEntropy())
    np.testing.assert_array_equal(network.Theta, before)


@pytest.mark.parametrize(
    "change, match",
    [
        (
            {"targets": np.zeros(7, int)},
            "targets has 7 entries for 30 sequences of .* pass one per sequence or one per step",
        ),
        ({"weights": np.ones(29)}, "weights has 29 entries for 30 sequences of .* pass one per sequence"),
        ({"targets": np.full(30, 2)}, "label 2 of row 0 is not below 2"),
        ({"targets": np.eye(30, dtype=int)[3] * 9}, "label 9 of row 3 is not below 2"),
        ({"targets": np.eye(30, dtype=int)[4] * -1}, "label -1 of row 4 .* is negative"),
        ({"max_epochs": 0}, "max_epochs is 0"),
    ],
)
def test_solve_refuses_what_does_not_belong_together(waves, change, match):
    X, y = waves
    arguments = {"targets": y[:30], "loss": SoftmaxCrossEntropy(), **change}
    with pytest.raises(ValueError, match=match):
        Algorithm1().solve(random_network(2, 4, 2), as_sequences(X[:30]), **arguments)


# Weights of the sequences


@pytest.mark.parametrize(
    "settings", [{"shuffle": False}, {"batch_size": 7}, {"shuffle": False, "batch_size": 7}], ids=str
)
@pytest.mark.parametrize("labels", ["last", "every"])
def test_weight_zero_is_the_same_as_leaving_out(waves, steps, settings, labels):
    X, y = waves if labels == "last" else steps
    X, y = X[:40], y[:40]
    kept = np.random.default_rng(0).random(40) < 0.7
    weights = np.random.default_rng(1).uniform(0.5, 2, 40)
    model = classifier(**settings).fit(X, y, sample_weight=weights * kept)
    without = [[item for item, keep in zip(items, kept, strict=True) if keep] for items in (X, y)]
    other = classifier(**settings).fit(*without, sample_weight=weights[kept])
    assert same_weights(model, other)
    assert model.history_[-1]["lagrangian"] == other.history_[-1]["lagrangian"]


def test_classes_of_weight_zero_are_left_out(table):
    X, Y = table
    weights = np.array([0 if (labels == 2).any() else 1 for labels in Y])
    model = classifier().fit(X, Y, sample_weight=weights)
    assert model.classes_.tolist() == [0, 1]
    assert model.V_.shape == (2, 6)
    with pytest.raises(ValueError, match="one class only, 0, among the sequences of positive weight"):
        classifier().fit(X, np.where(np.arange(24)[:, None] < 3, Y, 0), sample_weight=np.arange(24) >= 3)


def test_weight_two_counts_twice_in_the_loss(waves):
    X, y = waves
    weights = np.where(np.arange(len(X)) % 3 == 0, 2.0, 1.0)
    model = classifier(Algorithm1(r=5.0), dtype="float64", max_epochs=10).fit(X, y, sample_weight=weights)
    twice = [x for x, weight in zip(X, weights, strict=True) for _ in range(int(weight))]
    labels = np.repeat(y, weights.astype(int))
    assert min(record["rollout_loss"] for record in model.history_) == pytest.approx(log_loss(model, twice, labels))
    assert not same_weights(model, classifier(Algorithm1(r=5.0), dtype="float64", max_epochs=10).fit(X, y))


def test_weights_change_what_is_learnt(waves):
    X, _ = waves
    y = np.random.default_rng(0).integers(0, 2, len(X))
    solver = Algorithm1(r="lipschitz")
    fits = [classifier(solver, max_epochs=20).fit(X, y, sample_weight=np.where(y == k, 20.0, 1.0)) for k in (0, 1)]
    shares = [np.mean(model.predict_proba(X)[:, 1]) for model in fits]
    assert shares[0] < 0.5 < shares[1]


@pytest.mark.slow_on("numpy")
@pytest.mark.parametrize("omega", ["ridge", "lasso"])
@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), SquaredError()], ids=["labels", "values"])
def test_weights_and_penalties_times_four_change_nothing_but_the_lagrangian(waves, loss, omega, backend_name):
    X, y = [items[:12] for items in waves]
    targets, K = (y, 2) if loss.takes_labels else (y[:, None] - 0.5, 1)
    weights = np.linspace(0.5, 2, 12)
    found = []
    for factor in (1.0, 4.0):
        network = random_network(2, 5, K)
        scaled = {"rho1": 1.5, "rho2": 0.8, "rho3": 0.5, "nu": 0.1, "r": 2.0}
        solver = Algorithm1(**{name: factor * value for name, value in scaled.items()}, omega=omega, keep="last")
        options = {"weights": factor * weights, "penalty": 0.25 * factor, "max_epochs": 4, "batch_size": 7}
        outcome = solver.solve(network, as_sequences(X), targets, loss, random_state=0, **options)
        found.append((network, outcome.history[-1]))
    np.testing.assert_allclose(found[0][0].Theta, found[1][0].Theta, atol=1e-12)
    np.testing.assert_allclose(found[0][0].Psi, found[1][0].Psi, atol=1e-12)
    assert found[1][1]["lagrangian"] == pytest.approx(4 * found[0][1]["lagrangian"], rel=1e-9)
    for name in ("rollout_loss", "auxiliary_loss", "primal_s", "primal_o_N", "change"):
        assert found[1][1][name] == pytest.approx(found[0][1][name], rel=1e-9)


# A label at each step


def as_list(Y):
    return list(Y)


def as_nested_lists(Y):
    return Y.tolist()


def as_tuple(Y):
    return tuple(Y)


def as_object_array(Y):
    labels = np.empty(len(Y), dtype=object)
    labels[:] = list(Y)
    return labels


@pytest.mark.parametrize("form", [np.asarray, np.asfortranarray, as_list, as_nested_lists, as_tuple, as_object_array])
def test_forms_of_labels_at_each_step(table, form):
    X, Y = table
    model, expected = classifier().fit(X, form(Y)), classifier().fit(X, Y)
    assert same_weights(model, expected)
    assert model.V_.shape == (3, 6)
    predicted, probabilities = model.predict(X), model.predict_proba(X)
    assert isinstance(predicted, np.ndarray) and isinstance(probabilities, np.ndarray)
    assert np.shape(predicted) == (24, 5) and np.shape(probabilities) == (24, 5, 3)
    assert np.allclose(np.sum(probabilities, axis=-1), 1, atol=1e-6)
    assert np.array_equal(np.argmax(probabilities, axis=-1), predicted)
    assert model.score(X, form(Y)) == pytest.approx(np.mean(np.asarray(predicted) == Y))


def test_labels_at_each_step_of_unequal_lengths(steps):
    X, y = steps
    model = classifier().fit(X, y)
    predicted, probabilities = model.predict(X), model.predict_proba(X)
    assert [labels.shape for labels in predicted] == [(len(x),) for x in X]
    assert [rows.shape for rows in probabilities] == [(len(x), 2) for x in X]
    right = np.concatenate(predicted) == np.concatenate(y)
    assert model.score(X, y) == pytest.approx(np.mean(right))
    weights = np.linspace(0, 3, len(X))
    weighted = np.average(right, weights=np.repeat(weights, [len(x) for x in X]))
    assert model.score(X, y, sample_weight=weights) == pytest.approx(weighted)
    assert model.score(X, y, sample_weight=weights.tolist()) == pytest.approx(weighted)
    for x, rows in zip(X[:5], probabilities, strict=False):  # a step depends on what came before it only
        np.testing.assert_allclose(model.predict_proba([x[:3]])[0], rows[:3], atol=1e-6)


def test_a_rectangular_fit_predicts_a_list_where_lengths_differ(table):
    X, Y = table
    model = classifier().fit(X, Y)
    assert [len(labels) for labels in model.predict([X[0], X[1, :2]])] == [5, 2]
    assert model.predict(list(X)).shape == (24, 5)
    assert model.score([X[0], X[1, :2]], [Y[0], Y[1, :2]]) in np.arange(8) / 7


@pytest.mark.parametrize(
    "labels", [["no", "yes", "perhaps"], [-7, 0, 5], [1.0, 2.0, 3.0], np.array(["a", "b", "c"], dtype=object)], ids=repr
)
def test_labels_at_each_step_come_back_as_they_went_in(table, labels):
    X, Y = table
    y = np.asarray(labels)[Y]
    model = classifier().fit(X, y)
    assert model.classes_.tolist() == sorted(labels)
    predicted = model.predict(X)
    assert predicted.dtype == y.dtype and set(np.unique(predicted)) <= set(labels)
    np.testing.assert_array_equal(predicted == y, model.predict(X) == y)
    assert model.score(X, y) == pytest.approx(np.mean(predicted == y))
    names = dict(zip(np.asarray(labels).tolist(), range(3), strict=True))
    order = [names[label] for label in model.classes_.tolist()]
    np.testing.assert_allclose(model.predict_proba(X), classifier().fit(X, Y).predict_proba(X)[..., order], atol=1e-5)


def test_boolean_labels_at_each_step(table):
    X, Y = table
    model = classifier().fit(X, Y > 0)
    assert model.predict(X).dtype == bool


@pytest.mark.parametrize(
    "change, match",
    [
        (lambda Y: Y[:, :4], r"has the shape \(24, 4\): y\[0\] has 4 labels and X\[0\] has 5 steps"),
        (lambda Y: [*Y[:-1], Y[0, :3]], r"y\[23\] has 3 labels and X\[23\] has 5 steps; pass one label per step"),
        (lambda Y: [*Y[:-1], []], r"y\[23\] has 0 labels and X\[23\] has 5 steps"),
        (lambda Y: Y[:7], "X has 24 sequences and y has 7 entries"),
        (lambda Y: np.where(Y == 2, np.nan, Y), r"Input y contains NaN or infinity, first at step \d+ of y\[\d+\]"),
        (lambda Y: 0.5 * Y, "Unknown label type: continuous"),
        (lambda Y: np.zeros_like(Y), "y has one class only, 0"),
        (lambda Y: Y[:, :, None], "y has the shape .*one per step"),
    ],
    ids=["short", "one short", "one empty", "few", "nan", "continuous", "one class", "3-D"],
)  # fmt: skip
def test_wrong_labels_at_each_step_are_refused(table, change, match):
    X, Y = table
    with pytest.raises(ValueError, match=match):
        classifier().fit(X, change(Y))


def test_score_refuses_another_number_of_labels(table):
    X, Y = table
    with pytest.raises(ValueError, match="one label per step"):
        classifier().fit(X, Y).score(X, Y[:, :3])


def test_one_sequence_with_labels_at_each_step(table):
    X, Y = table
    for y in (Y[:1], [Y[0]]):
        model = classifier(Algorithm1(r="lipschitz")).fit(X[:1], y)
        assert np.shape(model.predict(X[:1])) == (1, 5) and np.isfinite(model.history_[-1]["rollout_loss"])


def test_sequences_of_one_step_among_longer_ones(steps):
    X, y = steps
    X, y = [x[: 1 + i % 3] for i, x in enumerate(X)], [labels[: 1 + i % 3] for i, labels in enumerate(y)]
    y = [np.where(x[:, 1] > 0, 1, labels) for x, labels in zip(X, y, strict=True)]
    model = classifier().fit(X, y)
    assert [len(labels) for labels in model.predict(X)] == [len(x) for x in X]


@pytest.mark.filterwarnings("ignore:X has .* sequences of a single step")
def test_one_label_a_sequence_of_one_step(table):
    """One label per step and one per sequence are the same thing then; a column is taken for the latter."""
    X, Y = table
    model = classifier().fit(X[:, :1], Y[:, 0])
    assert model.predict(X[:, :1]).shape == (24,)
    for column in (Y[:, :1], list(Y[:, :1])):
        with pytest.warns(DataConversionWarning):
            other = classifier().fit(X[:, :1], column)
        assert same_weights(model, other) and other.predict(X[:, :1]).shape == (24,)


def test_cross_validation_with_labels_at_each_step(table, steps):
    for X, y in (table, steps):
        scores = cross_val_score(classifier(Algorithm1(r="lipschitz")), X, y, cv=KFold(2), error_score="raise")
        assert scores.shape == (2,) and (scores > 0.3).all()


# Batches


def test_one_batch_of_all(waves, fits):
    X, y = waves
    models = [classifier(batch_size=size).fit(X, y) for size in ("auto", len(X), 10**6)]
    assert all(len(fit.batches) == 1 for fit in fits)
    assert same_weights(models[0], models[1]) and same_weights(models[0], models[2])


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_sequence_is_in_one_batch(waves, fits, shuffle):
    X, y = waves
    X = [x + 10 * i for i, x in enumerate(X[:30])]
    classifier(Algorithm1(r=1e6), batch_size=7, shuffle=shuffle, max_epochs=1).fit(X, y[:30])
    batches = fits[0].batches
    assert [len(v.lambda1) for v in batches] == [6, 6, 6, 6, 6]
    owners = [set(np.round(v.Z[-2 * len(v.lambda1) : -len(v.lambda1), 0] / 10).astype(int)) for v in batches]
    assert sorted(i for some in owners for i in some) == list(range(30))
    assert (owners[0] == set(range(6))) == (not shuffle)


def test_batches_keep_their_own_variables(waves, fits, backend_name):
    """From one iteration to the next, through all of the others' updates."""
    X, y = waves
    arrays = ("A", "H", "O", "lambda1", "lambda2", "lambda3")
    ends = []

    def stop(record):
        now = [[getattr(v, name).copy() for name in arrays] for v in fits[0].batches]
        ends.append(now)

    network = random_network(2, 5, 2)
    Algorithm1().solve(
        network, as_sequences(X[:20]), y[:20], SoftmaxCrossEntropy(), max_epochs=3, batch_size=5, on_epoch_end=stop
    )
    (fit,) = fits
    assert len(fit.batches) == 4
    for i, j in ((0, 1), (0, 3), (2, 3)):
        assert not any(
            np.shares_memory(getattr(fit.batches[i], name), getattr(fit.batches[j], name)) for name in arrays
        )
        assert fit.batches[i].Theta is network.Theta and fit.batches[j].Psi is network.Psi
    for one, two in zip(ends, ends[1:], strict=False):
        assert all(not np.array_equal(a, b) for v, w in zip(one, two, strict=True) for a, b in zip(v, w, strict=True))


def test_batches_change_the_run_and_learn(waves):
    X, y = waves
    one, some, each = (
        classifier(Algorithm1(r=10.0), batch_size=size, max_epochs=8).fit(X, y) for size in ("auto", 20, 1)
    )
    assert not same_weights(one, some) and not same_weights(some, each)
    assert log_loss(some, X, y) < 0.9 * initial_loss(y)
    assert all(math.isfinite(value) for record in each.history_ for value in record.values())


def test_the_order_of_the_sequences_does_not_matter_to_one_batch(waves):
    X, y = waves
    settings = {"dtype": "float64", "max_epochs": 6}
    expected = classifier(**settings).fit(X, y)
    order = np.random.default_rng(0).permutation(len(X))
    model = classifier(**settings, shuffle=False).fit([X[i] for i in order], y[order])
    for name in WEIGHTS:
        np.testing.assert_allclose(getattr(model, name), getattr(expected, name), atol=1e-9)


# Omega


def test_no_penalty_is_none_whatever_omega(waves):
    X, y = waves
    one, two = (classifier(Algorithm1(omega=omega)).fit(X, y) for omega in ("ridge", "lasso"))
    assert same_weights(one, two)


def test_ridge_shrinks_and_lasso_makes_exact_zeros(waves, backend_name):
    X, y = [items[:20] for items in waves]
    fits = {}
    for omega, penalty in (("ridge", 0.0), ("ridge", 30.0), ("lasso", 3.0)):
        solver = Algorithm1(omega=omega, r=5.0, keep="last")
        fits[omega, penalty] = classifier(solver, penalty=penalty, max_epochs=5).fit(X, y)
    plain, ridge, lasso = (np.abs(model.W_) for model in fits.values())
    assert ridge.sum() < 0.9 * plain.sum() and (ridge > 0).all()
    assert np.mean(lasso == 0) > 0.2 and lasso.max() > 0
    assert np.mean(plain == 0) == 0


@pytest.mark.parametrize("omega", ["ridge", "lasso"])
@pytest.mark.parametrize("n_batches", [1, 4])
def test_omega_is_added_once_to_the_loss_of_all_sequences(table, omega, n_batches, backend_name):
    """With a large r, what it takes off W in 2 N passes: every batch has its share."""
    X, Y = table
    settings = {"batch_size": 24 // n_batches, "dtype": "float64", "max_epochs": 1}
    solver = Algorithm1(omega=omega, keep="last", r=1e6)
    plain, shrunk = (classifier(solver, penalty=penalty, **settings).fit(X, Y[:, -1]).W_ for penalty in (0.0, 100.0))
    share, rows = 100.0 / n_batches, 5 * 24 / n_batches
    expected = -(plain if omega == "ridge" else np.sign(plain)) * n_batches * 2 * 5 * share / (rows * 1e6)
    np.testing.assert_allclose(shrunk - plain, expected, rtol=1e-3)


@pytest.mark.parametrize("omega", ["ridge", "lasso"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_huge_penalty_leaves_no_recurrence(waves, omega, dtype):
    X, y = waves
    model = classifier(Algorithm1(omega=omega, keep="last"), penalty=1e300, dtype=dtype).fit(X, y)
    assert float(np.abs(model.W_).max()) < 1e-290
    assert omega == "ridge" or not model.W_.any()
    assert all(math.isfinite(value) for record in model.history_ for value in record.values())


# scikit-learn


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:The number of unique classes:UserWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [RNNClassifier(solver=Algorithm1(r="lipschitz"), hidden_size=8, max_epochs=10)],
    expected_failed_checks=lambda _: IN_FLOAT32 | {"check_sample_weight_equivalence_on_dense_data": NOT_REPEATING},
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.mark.slow_on("numpy")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_state_determines_every_bit(waves, dtype, backend_name):
    X, y = waves
    X, y = X[:16], y[:16]
    settings = {"dtype": dtype, "batch_size": 8, "max_epochs": 2}
    one, two, other = (classifier(random_state=seed, **settings).fit(X, y) for seed in (3, 3, 4))
    assert same_weights(one, two) and not same_weights(one, other)
    assert [{**record, "seconds": 0} for record in one.history_] == [
        {**record, "seconds": 0} for record in two.history_
    ]
    assert one.W_.dtype == dtype
    first = one.W_
    assert np.array_equal(one.fit(X, y).W_, first)


def test_parameters(waves):
    X, y = waves
    model = classifier(Algorithm1())
    assert model.get_params()["solver__rho1"] == 1.0
    model.set_params(solver__rho1=2.0, solver__r="lipschitz", hidden_size=3)
    assert (model.solver.rho1, model.solver.r, model.hidden_size) == (2.0, "lipschitz", 3)
    with pytest.raises(ValueError, match="nonsense"):
        model.set_params(solver__nonsense=1)
    assert set(Algorithm1().get_params()) == set(inspect.signature(Algorithm1).parameters)
    assert "r='lipschitz'" in repr(model)
    before = model.solver.get_params()
    model.fit(X, y)
    assert model.solver.get_params() == before and set(vars(model.solver)) == set(before)  # a setting, not a state


def test_clone_and_pickle(steps):
    X, y = steps
    model = classifier(Algorithm1(nu=0.3, rho1=abs)).fit(X, y)
    copy = clone(model)
    assert copy.solver is not model.solver and copy.solver.nu == 0.3 and copy.solver.rho1 is abs
    assert not hasattr(copy, "W_")
    assert same_weights(copy.fit(X, y), model)
    loaded = pickle.loads(pickle.dumps(model))
    assert same_weights(loaded, model)
    assert loaded.history_ == model.history_ and loaded.status_ is model.status_
    assert all(np.array_equal(one, two) for one, two in zip(loaded.predict(X), model.predict(X), strict=True))


def test_grid_search(waves):
    X, y = waves
    grid = {"solver__r": [5.0, "lipschitz", lambda k: 5.0 + k], "solver__nu": [0.1, 0.5]}
    search = GridSearchCV(classifier(Algorithm1()), grid, cv=2, error_score="raise").fit(X, y)
    assert set(search.best_params_) == set(grid)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(X).shape == (120,)
    search = GridSearchCV(classifier(), {"solver": ["algorithm1", Algorithm1(r=5.0), "rollout"]}, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def as_read_only(X, path):
    X = X.copy()
    X.flags.writeable = False
    return X


def as_memory_map(X, path):
    mapped = np.memmap(path / "X.bin", X.dtype, "w+", shape=X.shape)
    mapped[:] = X
    mapped.flush()
    return np.memmap(path / "X.bin", X.dtype, "r", shape=X.shape)


def as_strided(X, path):
    return np.repeat(np.repeat(X, 2, axis=0), 3, axis=2)[::2, :, ::3]


def as_objects(X, path):
    return X.astype(object)


def as_array_of_arrays(X, path):
    return as_object_array(X)


@pytest.mark.parametrize("form", [as_read_only, as_memory_map, as_strided, as_objects, as_array_of_arrays])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_form_of_X_does_not_matter(table, tmp_path, form, dtype):
    X, Y = table
    X = X.astype(dtype)
    given, labels = X.copy(), Y.copy()
    expected = classifier(dtype=dtype).fit(given, labels)
    assert np.array_equal(given, X) and np.array_equal(labels, Y)
    model = classifier(dtype=dtype).fit(form(X, tmp_path), Y)
    assert same_weights(model, expected)
    assert np.array_equal(model.predict_proba(form(X, tmp_path)), expected.predict_proba(X))


# Corner sizes


def assert_complete_and_finite(model, X):
    assert finite_weights(model)
    assert all(math.isfinite(value) for record in model.history_ for value in record.values())
    assert np.isfinite(np.concatenate(list(np.atleast_2d(model.predict_proba(X))))).all()


@pytest.mark.filterwarnings("ignore:X has .* sequences of a single step")
@pytest.mark.slow_on("numpy")
@pytest.mark.parametrize("n_features", [1, 3])
@pytest.mark.parametrize("batch_size", ["auto", 1])
def test_sequences_of_one_step_have_no_residuals_before_the_last(n_features, batch_size, backend_name):
    rng = np.random.default_rng(0)
    y = np.arange(24) % 2
    X = rng.normal(size=(24, 1, n_features)) + (2.0 * y - 1)[:, None, None]
    model = classifier(Algorithm1(r="lipschitz"), batch_size=batch_size, max_epochs=6).fit(X, y)
    for record in model.history_:
        assert [record[f"primal_{name}"] for name in "aso"] == [0.0, 0.0, 0.0]
        assert all(type(record[f"primal_{name}"]) is float for name in "aso")
        assert batch_size == 1 or all(record[f"primal_{name}_N"] > 0 for name in "aso")
    assert_complete_and_finite(model, X)
    assert batch_size == 1 or model.score(X, y) > 0.7


@pytest.mark.slow_on("numpy")
@pytest.mark.parametrize(
    "settings", [{"hidden_size": 1}, {"hidden_size": 1, "batch_size": 1}, {"hidden_size": 40}], ids=str
)
@pytest.mark.parametrize("n_features", [1, 2])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_corner_sizes(waves, settings, n_features, activation, backend_name):
    X, y = waves
    X, y = [x[: 1 + i, :n_features] for i, x in enumerate(X[:12])], y[:12]
    model = classifier(Algorithm1(r="lipschitz"), activation=activation, max_epochs=3, **settings).fit(X, y)
    assert_complete_and_finite(model, X)


def test_two_sequences_and_many_classes():
    X = [np.ones((3, 1)), -np.ones((2, 1))]
    solver = Algorithm1(r="lipschitz")
    assert classifier(solver, max_epochs=40).fit(X, ["up", "down"]).predict(X).tolist() == ["up", "down"]
    X = np.random.default_rng(0).normal(size=(30, 6, 2))
    model = classifier(solver, hidden_size=16, max_epochs=60).fit(X, np.arange(30))
    assert model.score(X, np.arange(30)) > 0.2
    assert_complete_and_finite(model, X)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_short_and_long_sequences_together(dtype):
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(length, 2)) for length in [1, 500, 3, 200, 1, 50] * 3]
    y = np.array([int(x[-1, 0] > 0) for x in X])
    model = classifier(Algorithm1(r="lipschitz"), dtype=dtype, max_epochs=15).fit(X, y)
    assert_complete_and_finite(model, X)
    assert model.score(X, y) >= 0.7


@pytest.mark.parametrize("labels", [[False, True], [-3, 7], ["a", "b"], [2.0, 5.0]], ids=repr)
def test_labels_of_any_kind(waves, labels):
    X, y = waves
    model = classifier().fit(X, np.asarray(labels)[y])
    assert model.classes_.tolist() == labels and set(model.predict(X).tolist()) <= set(labels)
    assert same_weights(model, classifier().fit(X, y))


# Output, interruption, threads, memory


def test_progress_bar_and_lines(waves, capsys):
    X, y = waves
    classifier(verbose=1).fit(X, y)
    captured = capsys.readouterr()
    assert captured.out == "" and "4/4" in captured.err and "loss=" in captured.err
    model = classifier(Algorithm1(max_iter=3), verbose=2, max_epochs=9).fit(X, y)
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert captured.err == "" and len(lines) == 4 and "roll-out loss" in lines[0]
    assert [int(line.split()[0]) for line in lines[1:]] == [1, 2, 3]
    assert f"{model.history_[-1]['rollout_loss']:.4f}" in lines[-1]
    classifier(verbose=0).fit(X, y)
    assert capsys.readouterr() == ("", "")


def test_progress_bar_counts_to_max_iter(waves, capsys):
    X, y = waves
    classifier(Algorithm1(max_iter=3), verbose=1, max_epochs=9).fit(X, y)
    assert "3/3" in capsys.readouterr().err


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_ctrl_c_leaves_nothing_behind(waves, backend_name):
    X, y = waves
    X, y = X[:30], y[:30]
    expected, threads = classifier().fit(X, y), blas_threads()

    class Interrupted(Algorithm1):
        def solve(self, *args, on_epoch_end, **kwargs):
            def stop(record):
                if record["epoch"] == 2:  # the second one aborts
                    signal.raise_signal(signal.SIGINT)
                    signal.raise_signal(signal.SIGINT)

            return super().solve(*args, on_epoch_end=stop, **kwargs)

    model = classifier(Interrupted())
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert blas_threads() == threads and not backend._limited_by
    assert not hasattr(model, "W_")
    assert same_weights(classifier().fit(X, y), expected)


def test_ctrl_c_keeps_the_earlier_fit(waves):
    X, y = waves
    model = classifier().fit(X, y)
    before = {name: value for name, value in vars(model).items() if name.endswith("_")}

    def interrupted(k):
        if k == 2:
            raise KeyboardInterrupt
        return 1.0

    with pytest.raises(KeyboardInterrupt):
        model.set_params(solver=Algorithm1(nu=interrupted)).fit(X, y)
    assert all(getattr(model, name) is value for name, value in before.items())


def test_concurrent_fits_give_the_weights_of_fits_alone(waves):
    X, y = [items[:60] for items in waves]

    def train(k):
        solver = Algorithm1(r=("lipschitz", 20.0)[k % 2], nu=0.1 + 0.05 * k)
        settings = {"dtype": ("float32", "float64")[k % 2], "batch_size": ("auto", 20)[k // 2 % 2], "random_state": k}
        return classifier(solver, hidden_size=8 + 8 * (k % 3), max_epochs=8, **settings).fit(X, y)

    alone = [train(k) for k in range(6)]
    threads = blas_threads()
    with ThreadPoolExecutor(4) as executor:
        together = list(executor.map(train, range(6)))
    assert all(same_weights(one, two) for one, two in zip(alone, together, strict=True))
    assert not backend._limited_by and blas_threads() == threads


def peak_of(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_iterations():
    X, y = np.random.default_rng(0).normal(size=(100, 50, 3)), np.arange(100) % 2
    peaks = [
        peak_of(lambda n=n: classifier(Algorithm1(r=20.0), hidden_size=20, max_epochs=n).fit(X, y)) for n in (2, 2, 12)
    ]
    assert peaks[2] < 1.05 * peaks[1]
    rows = 100 * 50
    assert peaks[1] < 4 * rows * 4 * (3 + 4 * 20 + 20)  # a few times the variables, in float32


def test_no_warning_in_an_ordinary_fit(waves):
    assert "ADMMIRNN_BACKEND" not in os.environ
    assert fit(classifier(max_epochs=8), *waves)[1] == []


# What has been wrong before


@pytest.mark.parametrize("scale", [1.0, 1e7])
def test_divergence_does_not_depend_on_what_memory_held(waves, scale, monkeypatch):
    """The sizes that growth is measured against are those of the roll-out, not of a_t and o_t before they are set."""
    X, y = waves
    empty, found = np.empty, []

    for filling in (0.0, 1e20):

        def filled(shape, dtype=float, *args, filling=filling, **kwargs):
            array = empty(shape, dtype, *args, **kwargs)
            if array.dtype.kind == "f":
                array.fill(filling)
            return array

        monkeypatch.setattr(np, "empty", filled)
        r = 0.3 if scale == 1 else "lipschitz"
        model, caught = fit(classifier(Algorithm1(r=r), dtype="float64", max_epochs=12), [scale * x for x in X], y)
        found.append((model.status_, model.n_iter_, [str(warning.message) for warning in caught]))
    assert found[0] == found[1]
    if scale > 1:  # a_t is as large as U x_t from the start, and stays so
        assert found[0][0] is not Status.DIVERGED


@pytest.mark.parametrize("name", ["rho1", "rho2", "rho3", "nu"])
@pytest.mark.parametrize("r", [1.0, "lipschitz"])
def test_huge_penalties_are_no_overflow_error(waves, name, r):
    X, y = waves
    for value in (1e155, 1e300, 1.7e308):
        model, _ = fit(classifier(Algorithm1(**{name: value}, r=r), dtype="float64"), X[:20], y[:20])
        assert finite_weights(model) and np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize("name", ["nu", "eps_abs"])
def test_integers_beyond_every_float_are_refused_as_such(waves, name):
    X, y = waves
    with pytest.raises(ValueError, match=f"{name} is 1000"):
        classifier(Algorithm1(**{name: 10**400})).fit(X, y)


@pytest.mark.parametrize("scale", [1e20, 1e37])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_lipschitz_with_observations_that_overflow_float32(waves, scale, activation):
    X, y = waves
    model, _ = fit(classifier(Algorithm1(r="lipschitz"), activation=activation), [scale * x for x in X], y)
    assert finite_weights(model)


@pytest.mark.parametrize("case", ["observations", "init"])
@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_start_whose_roll_out_is_not_finite_leaves_finite_weights(case, keep):
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(40, 2)) for _ in range(20)]
    y = np.arange(20) % 2
    init = {"W": 50 * np.eye(6)} if case == "init" else None
    X = [1e38 * np.clip(x, -3, 3) for x in X] if case == "observations" else X
    model, caught = fit(classifier(Algorithm1(keep=keep), activation="relu", init=init), X, y)
    assert any(warning.category is ConvergenceWarning for warning in caught)
    assert finite_weights(model)


def test_last_weights_that_cannot_predict_are_said(waves):
    """keep="last", and the roll-out of a long sequence overflows although no variable has grown."""
    rng = np.random.default_rng(1)
    X = [rng.normal(size=(length, 2)) for length in (1, 500, 3, 200, 400, 50) * 5]
    y = [int(x[-1, 0] > 0) for x in X]
    solver = Algorithm1(r=0.3, keep="last")
    stop = [lambda state: not math.isfinite(state.record["rollout_loss"])]
    model = classifier(solver, activation="relu", callbacks=stop, max_epochs=30, hidden_size=8)
    model, caught = fit(model, X, y)
    if model.status_ is Status.STOPPED and not caught:
        assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize("scale, settings", [(1e20, {"r": "lipschitz"}), (1.0, {"rho1": 1e100})], ids=str)
def test_divergence_gives_one_warning_only(waves, scale, settings):
    """No RuntimeWarning of numpy's next to it."""
    X, y = waves
    _, caught = fit(classifier(Algorithm1(**settings)), [scale * x for x in X], y)
    assert [warning.category for warning in caught] == [ConvergenceWarning]


def test_memory_does_not_grow_with_the_iterations_that_are_allowed(waves):
    X, y = waves
    settings = {"callbacks": [lambda state: True]}
    for model in (classifier(max_epochs=10**6, **settings), classifier(Algorithm1(max_iter=10**6), **settings)):
        assert peak_of(lambda model=model: model.fit(X, y)) < 10e6
        assert model.n_iter_ == 1


def test_memory_of_small_batches():
    """Scratch is needed for one batch at a time."""
    X, y = np.random.default_rng(0).normal(size=(200, 4, 3)), np.arange(200) % 2
    settings = {"hidden_size": 48, "max_epochs": 1, "penalty": 0.1}
    one, each = (
        peak_of(lambda size=size: classifier(Algorithm1(r=1e3), batch_size=size, **settings).fit(X, y))
        for size in ("auto", 1)
    )
    assert each < 3 * one


@pytest.mark.parametrize("y", [lambda Y: Y[:, -1], lambda Y: Y[:, -1].tolist(), lambda Y: pd.Series(Y[:, -1])])
def test_score_refuses_one_label_a_sequence_after_a_fit_with_one_a_step(table, y):
    X, Y = table
    with pytest.raises(ValueError, match="one label for each step of X, as it had in fit"):
        classifier().fit(X, Y).score(X, y(Y))


@pytest.mark.parametrize(
    "form", [pd.DataFrame, lambda Y: [pd.Series(labels) for labels in Y], lambda Y: pd.Series(list(Y))]
)
def test_labels_at_each_step_in_pandas(table, form):
    X, Y = table
    model = classifier().fit(X, form(Y))
    assert same_weights(model, classifier().fit(X, Y))
    assert np.shape(model.predict(X)) == (24, 5)


@pytest.mark.parametrize("ratio", [1e-3, 1.0, 100.0])
def test_the_a_step_never_raises_its_objective_in_the_tails_of_tanh(ratio, backend_name):
    """Where tanh(alpha) and the target are 1 but for rounding, atanh(target) may lie on the wrong side of alpha."""
    rng = np.random.default_rng(0)
    alpha = rng.uniform(8, 19, (1, 2000))
    target = np.tanh(alpha + 1e-3 * rng.normal(size=alpha.shape))
    found = np.empty_like(alpha)
    backend.kernels().a_step(alpha, target, 1.0, ratio, "tanh", found)

    def objective(a):
        return 0.5 * (a - alpha) ** 2 + 0.5 * ratio * (target - np.tanh(a)) ** 2

    assert np.max(objective(found) - objective(alpha)) <= 1e-12


def test_the_scale_of_sequences_is_as_good_as_scaled_observations(waves, backend_name):
    X, y = waves
    sequences, networks = as_sequences(X), []
    for given in (sequences, Sequences.of_lengths(sequences.observations / 4, sequences.lengths, scale=4.0)):
        networks.append(random_network(2, 4, 2))
        Algorithm1().solve(networks[-1], given, y, SoftmaxCrossEntropy(), max_epochs=2)
    np.testing.assert_array_equal(networks[0].Theta, networks[1].Theta)
