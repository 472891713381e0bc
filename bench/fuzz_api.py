"""Estimators that are fitted to anything: what `bench.fuzz api` draws, and how it judges what comes of it.

A case is drawn from its number alone: an estimator, its options, sequences in one of the containers that X may be, and
targets and weights, with or without a fault.  A fault has to be refused with ValueError or TypeError, and leave an
estimator that is not fitted; so may options that do not go together be.  Whatever is fitted has finite weights, its
arguments are as they were, and what it predicts is finite and that of a roll-out in numpy, step by step in float64,
which shares no code with admmirnn (tests/naive_networks.py); a copy from a pickle predicts the same.  Then it is fitted
on.
"""

import copy
import importlib
import pickle
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning

from admmirnn import Algorithm1, CharacterModel, RNNClassifier, RNNRegressor, Rollout
from admmirnn.penalties import Box, Lasso, Ridge

CELLS = ("auto", "elman", "fastgrnn", "ugrnn", "gru", "lstm")
ACTIVATIONS = ("tanh", "sigmoid", "relu", "leaky_relu", "identity")
LOSSES = {
    RNNClassifier: ("cross_entropy", "cross_entropy", "hinge", "sigmoid_cross_entropy"),
    RNNRegressor: ("squared_error", "squared_error", "huber", "absolute_error", "quantile"),
}
PENALTIES = (Lasso(0.01), Box(-1, 1), Ridge(0.1))
WRONG = {
    "hidden_size": (0, -3, 2.5, "x", None, [], [3, 0], np.nan),
    "cell": ("none", 3, None),
    "activation": ("none", 3),
    "penalty": (-1.0, np.nan, "x", np.inf),
    "solver": ("none", 3, Rollout(rho=-1.0), Rollout(radius=0.0)),
    "max_epochs": (0, -1, 2.5, "x", np.nan),
    "batch_size": (0, -1, 1.5, "x"),
    "dropout": (-0.1, 1.0, np.nan, "x"),
    "s_0": ("x", 3.0),
    "dtype": ("int8", "x", np.complex64),
    "n_threads": (0, -1, 1.5),
    "patience": (0, -1, 1.5),
    "tol": (-1.0, np.nan),
    "validation_fraction": (0.0, 1.0, np.nan, "x"),
    "random_state": ("x", -1, 1.5),
    "max_time": (0, -1.0, np.nan, "x"),
    "checkpoint_every": (0, 1.5),
    "callbacks": (3, [3]),
}
WRONG_OF_SEQUENCES = {
    "readout": ("none", 3),
    "frame": (0, (1, 0), (1, 2, 3), "x"),
    "bidirectional": ("yes", 2),
    "scale": (0, -1.0, np.nan, np.inf, "x"),
    "standardize": ("x", 2),
    "missing": ("x", None),
    "targets": ("x", 3),
    "chunk_size": (0, 1.5),
    "augment": (0.1, "noise", {"noise": -1.0}, {"shift": 1.0}, {"other": 0.1}),
}


_MOST_ROUNDINGS = 30  # outputs may be so many times as far away as one rounding of each weight takes them


class Estimators:
    """The subject of `bench.fuzz`: see there, and the module."""

    most_seconds, patience = 10.0, 60.0

    def __init__(self, folder):
        sys.path.append(str(Path(__file__).parents[1] / "tests"))
        self._naive = importlib.import_module("naive_networks")

    def warm_up(self):
        """Import what is imported late."""
        for i in range(3):
            self.case(1 << 30, i)[1]()

    def case(self, seed, i):
        """Return the name of the i-th case, and a function that judges it."""
        rng = np.random.default_rng([seed, i])
        if rng.random() < 0.1:
            return "text", lambda: self._judge_text(rng)
        kind = (RNNClassifier, RNNRegressor)[int(rng.integers(2))]
        fault = FAULTS[int(rng.integers(len(FAULTS)))] if rng.random() < 0.3 else None
        return f"{kind.__name__[3:].lower()}{', fault' if fault else ''}", lambda: self._judge(rng, kind, fault)

    def _judge(self, rng, kind, fault):
        options = drawn_options(rng, kind)
        X, y, weights = drawn_data(rng, kind, options)
        if fault is not None:
            options, X, y, weights = fault(rng, options, X, y, weights)
        X, sequences = in_a_container(rng, X)
        given = copy.deepcopy((X, y, weights))
        estimator = kind(**options)
        with warnings.catch_warnings():
            for category in (ConvergenceWarning, UserWarning, DeprecationWarning):
                warnings.simplefilter("ignore", category)
            warnings.simplefilter("error", RuntimeWarning)  # of numpy: something has become NaN, or infinite
            try:
                estimator.fit(X, y, sample_weight=weights)
            except (ValueError, TypeError) as error:
                assert str(error), "an error without a word"
                assert not hasattr(estimator, "history_"), "an estimator is half fitted"
                return "refused"
            assert fault is None, f"{fault.__name__} has been taken, with {options}"
            assert are_equal(given, (X, y, weights)), "arguments have been changed"
            self._check_fitted(estimator, X, sequences)
            estimator.score(X, y, sample_weight=weights)
            if hasattr(estimator, "partial_fit"):
                self._fit_on(rng, estimator, X, y, weights)
        return "fitted"

    def _check_fitted(self, estimator, X, sequences):
        assert all(np.isfinite(w).all() for w in estimator._network().weights.values()), "weights are not finite"
        expected = self._outputs(estimator, sequences)
        try:
            outputs, _ = estimator._outputs(X)
        except ValueError:
            assert not np.isfinite(expected).all() or np.abs(expected).max() > 1e30, "finite outputs are refused"
            return
        assert np.isfinite(outputs).all(), "outputs are not finite"
        size = max(1.0, float(np.abs(expected).max()))
        difference, most = float(np.abs(outputs - expected).max()) / size, 1e-8 if outputs.dtype == np.float64 else 2e-3
        if difference >= most:  # weights of 1e12 and networks that double each rounding are known to no more than this
            moved = self._outputs(estimator, sequences, rounded(estimator._network(), outputs.dtype)) - expected
            most = max(most, _MOST_ROUNDINGS * float(np.abs(moved).max()) / size)
        assert difference < most, f"outputs are {difference:.1e} away"
        predicted = estimator.predict(X)
        again = pickle.loads(pickle.dumps(estimator)).predict(X)
        assert are_equal(predicted, again), "a pickle predicts something else"
        if hasattr(estimator, "predict_proba"):
            p = estimator.predict_proba(X)
            p = np.concatenate(list(p)) if p.dtype == object else p
            assert ((p >= 0) & (p <= 1)).all(), "probabilities are not from 0 to 1"

    def _outputs(self, estimator, sequences, network=None):
        """Those of the roll-out in numpy, one sequence after the other, of its network or of another one."""
        network = network or estimator._network()
        length, stride = estimator._frame
        found = []
        with np.errstate(all="ignore"):
            for x in sequences:
                x = np.asarray(x, np.float64)
                x = as_fitted(x, estimator)
                first = (len(x) - length) % stride
                x = np.stack([x[k : k + length].ravel() for k in range(first, len(x) - length + 1, stride)])
                every_step = estimator._form_of_targets != "sequence"
                found.append(np.atleast_2d(self._naive.outputs_of(network, x, every_step=every_step)))
        return np.concatenate(found)

    @staticmethod
    def _fit_on(rng, estimator, X, y, weights):
        try:
            for _ in range(int(rng.integers(1, 3))):
                estimator.partial_fit(X, y, sample_weight=weights)
        except (ValueError, TypeError, AttributeError):
            pass  # what is no option of partial_fit
        assert all(np.isfinite(w).all() for w in estimator._network().weights.values()), "weights are not finite"

    @staticmethod
    def _judge_text(rng):
        alphabet = "ab \n\x00\u00e9\u4e2d\U0001f600xyz"
        text = "".join(rng.choice(list(alphabet[: int(rng.integers(1, len(alphabet) + 1))]), int(rng.integers(0, 200))))
        texts = [text[: len(text) // 2], text[len(text) // 2 :]] if rng.random() < 0.3 else text
        options = {name: value for name, value in drawn_options(rng, CharacterModel).items()}
        model = CharacterModel(**options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("error", RuntimeWarning)
            try:
                model.fit(texts)
            except (ValueError, TypeError) as error:
                assert str(error), "an error without a word"
                assert not hasattr(model, "history_"), "a model is half fitted"
                return "refused"
            try:
                bits = model.bits_per_character(texts)
            except ValueError:
                return "fitted"
            assert np.isfinite(bits) and bits >= 0, "bits per character are not finite"
            p = model.predict_proba(text)
            assert np.allclose(p.sum(axis=1), 1, atol=1e-4), "probabilities do not sum to 1"
            assert len(model.generate(text[:3], 20, random_state=0)) == 20
            assert pickle.loads(pickle.dumps(model)).bits_per_character(texts) == bits
        return "fitted"


def drawn_options(rng, kind):
    """Options, of which each is allowed, and not all together."""
    cell = CELLS[int(rng.integers(len(CELLS)))]
    options = {
        "hidden_size": [int(rng.integers(1, 7)), (2, 3), 9, 17][int(rng.choice(4, p=(0.7, 0.15, 0.1, 0.05)))],
        "cell": cell,
        "max_epochs": int(rng.integers(1, 4)),
        "random_state": int(rng.integers(100)),
        "dtype": ("float32", "float64")[int(rng.integers(2))],
        "n_threads": int(rng.integers(1, 3)),
    }
    some = {
        "activation": lambda: rng.choice(ACTIVATIONS).item(),
        "penalty": lambda: float(10.0 ** rng.integers(-6, 3)),
        "penalties": lambda: {
            rng.choice(["U", "W", "V", "b"]).item(): rng.choice([Lasso(0.01), Box(-1, 1), Ridge(0.1)])
        },
        "batch_size": lambda: int(rng.integers(1, 14)),
        "dropout": lambda: float(rng.choice([0.0, 0.2, 0.9])),
        "s_0": lambda: "learn",
        "early_stopping": lambda: True,
        "validation_fraction": lambda: float(rng.choice([0.1, 0.3, 0.5])),
        "solver": lambda: drawn_solver(rng),
    }
    of_sequences = {
        "readout": lambda: rng.choice(["mean", "max"]).item(),
        "frame": lambda: rng.choice(np.array([2, (2, 1), (3, 2)], dtype=object)),
        "bidirectional": lambda: True,
        "stateful": lambda: True,
        "chunk_size": lambda: int(rng.integers(1, 6)),
        "scale": lambda: float(rng.choice([0.5, 1 / 255, 1e3])),
        "standardize": lambda: bool(rng.integers(2)),
        "missing": lambda: rng.choice(["forward", "indicator"]).item(),
        "shuffle": lambda: False,
        "augment": lambda: {rng.choice(["noise", "scale", "shift"]).item(): 0.3},
    }
    if kind is not CharacterModel:
        some |= of_sequences | {"loss": lambda: rng.choice(LOSSES[kind]).item()}
    if kind is RNNClassifier:
        some["class_weight"] = lambda: "balanced"
    for name, draw in some.items():
        if rng.random() < 0.15:
            options[name] = draw()
    if kind is CharacterModel:
        options["chunk_size"] = int(rng.integers(1, 30))
    if "early_stopping" not in options:
        options.pop("validation_fraction", None)
    return options


def drawn_solver(rng):
    """Settings that are allowed, sensible or not."""
    if rng.random() < 0.3:
        return Algorithm1(r=["lipschitz", 1.0][int(rng.integers(2))])
    return Rollout(
        rho=float(10.0 ** rng.integers(-2, 3)),
        radius=float(10.0 ** rng.integers(-3, 3)),
        output_radius=float(10.0 ** rng.integers(-3, 3)),
        momentum=float(rng.choice([0.0, 0.9])),
        metric=rng.choice(["multipliers", "identity"]).item(),
        max_iter=int(rng.integers(1, 8)),
        r=float(rng.choice([0.0, 1.0, 10.0])),
        schedule=rng.choice(["cosine", "constant"]).item(),
        damping=float(rng.choice([0.0, 0.1, 10.0])),
        gram_decay=float(rng.choice([0.0, 0.9])),
        gram_every=("auto", 1, 3)[int(rng.integers(3))],
        factor_every=int(rng.integers(1, 4)),
        multiplier_cap=("auto", None, 0.5)[int(rng.integers(3))],
        gram_block=("auto", None, 1, 2, 3)[int(rng.integers(5))],
    )


def drawn_data(rng, kind, options):
    """Sequences in a list of arrays of float64, targets in one of their forms, and weights or None."""
    n, d = int(rng.integers(1, 14)), int(rng.integers(1, 5))
    longest = int(rng.choice([1, 3, 9, 40]))
    lengths = rng.integers(1, longest + 1, n) if rng.random() < 0.5 else np.full(n, longest)
    X = [rng.normal(size=(length, d)) * float(rng.choice([1, 1, 1, 1e-6, 1e6])) for length in lengths]
    per_step = rng.random() < 0.4 or "stateful" in options
    counts = lengths if per_step else np.ones(n, int)
    if kind is RNNRegressor:
        k = int(rng.integers(1, 4))
        y = [rng.normal(size=(count, k) if k > 1 else count) * 10.0 ** int(rng.integers(-3, 4)) for count in counts]
    elif options.get("loss") == "sigmoid_cross_entropy":
        y = [rng.integers(0, 2, (count, 3)) for count in counts]
    else:
        labels = [np.arange(3), np.array(["no", "yes", "maybe"]), np.array([False, True, True]), np.array([7, -1, 2.0])]
        labels = labels[int(rng.integers(len(labels)))]
        y = [labels[rng.integers(0, 3, count)] for count in counts]
    if not per_step:
        y = np.concatenate(y)
    elif len(set(counts)) == 1 and rng.random() < 0.5:
        y = np.stack(y)
    weights = None
    if rng.random() < 0.3:
        weights = rng.choice([0.0, 1.0, 2.5, 1e-9, 1e9], n, p=(0.2, 0.4, 0.2, 0.1, 0.1))
        weights[0] = 1.0
    return X, y, weights


def in_a_container(rng, X):
    """X as users have it, and the sequences in it, a list of arrays, as they are to be read."""
    if not isinstance(X, list) or not X or not all(isinstance(x, np.ndarray) and x.ndim == 2 for x in X):
        return X, X
    if any(x.dtype.kind != "f" or not np.isfinite(x).all() for x in X) or len({x.shape[1] for x in X}) > 1:
        return X, X
    if not all(len(x) for x in X):
        return X, X
    with np.errstate(over="ignore"):  # which is the fault that some have
        as_they_are = [x.astype(np.float32) for x in X]
    containers = [
        lambda: (as_they_are, as_they_are),
        lambda: ([np.asfortranarray(x) for x in X], X),
        lambda: ([x[::-1].copy()[::-1] for x in X], X),
        lambda: ([x.tolist() for x in X], X),
        lambda: ([pd.DataFrame(x, columns=[f"f{j}" for j in range(x.shape[1])]) for x in X], X),
        lambda: (tuple(x.astype(">f8") for x in X), X),
    ]
    if max(float(np.abs(x).max()) for x in X) < 128:
        integers = [x.astype(np.int8) for x in X]
        containers.append(lambda: (integers, integers))
    if len({len(x) for x in X}) == 1:
        stacked = np.stack(X)
        stacked.setflags(write=False)
        containers += [
            lambda: (stacked, X),
            lambda: (np.stack(as_they_are), as_they_are),
            lambda: (np.repeat(stacked, 2, axis=0)[::2], X),
        ]
    return containers[int(rng.integers(len(containers)))]()


def rounded(network, dtype):
    """The network with each weight one rounding up or down, as drawn."""
    network, rng = copy.deepcopy(network), np.random.default_rng(0)
    for weights in network.weights.values():
        weights *= 1 + np.finfo(dtype).eps * rng.choice([-1, 1], weights.shape).astype(weights.dtype)
    return network


def as_fitted(x, estimator):
    """A sequence as the fitted network reads its observations."""
    if estimator._missing == "indicator":
        x = np.hstack([x, np.zeros_like(x)])
    standard = estimator._standard
    return estimator._scale * x if standard is None else (x - standard[0]) * standard[1]


def are_equal(one, other):
    """Whether two arguments, or what was predicted, are the same to the last bit."""
    if isinstance(one, (list, tuple)) or getattr(one, "dtype", None) is np.dtype(object):
        return len(one) == len(other) and all(are_equal(*pair) for pair in zip(one, other, strict=True))
    return np.array_equal(np.asarray(one), np.asarray(other))


# Faults: each makes of good arguments bad ones


def nan_in_X(rng, options, X, y, weights):
    """Missing values where they are to be refused."""
    options.pop("missing", None)
    return options, _with(rng, X, np.nan), y, weights


def infinite_X(rng, options, X, y, weights):
    return options, _with(rng, X, np.inf), y, weights


def too_large_X(rng, options, X, y, weights):
    """What is infinite in float32."""
    options["dtype"] = "float32"
    return options, [np.array(x * 0 + 1e300) for x in X], y, weights


def too_few_targets(rng, options, X, y, weights):
    return options, [*X, X[0]], y, None


def nan_in_weights(rng, options, X, y, weights):
    return options, X, y, np.where(np.arange(len(X)) == len(X) - 1, rng.choice([np.nan, np.inf, -1.0]), 1.0)


def no_weight(rng, options, X, y, weights):
    return options, X, y, np.zeros(len(X))


def no_steps(rng, options, X, y, weights):
    return options, [*X[:-1], X[-1][:0]], y, weights


def another_width(rng, options, X, y, weights):
    return options, [*X, np.ones((3, X[0].shape[1] + 1))], [*y, y[-1]], None


def no_numbers(rng, options, X, y, weights):
    junk = [X[0] + 1j, X[0].astype(str).astype("U3") + "x", None, "text", {1, 2}, X[0][:, :, None, None]]
    return options, [*X[:-1], junk[int(rng.integers(len(junk)))]], y, weights


def no_sequences(rng, options, X, y, weights):
    nothing = [[], None, "text", {}, 3, np.zeros(3), np.zeros((0, 3, 2)), np.zeros((2, 0, 2)), np.zeros((2, 3, 0)), {1}]
    return options, nothing[int(rng.integers(len(nothing)))], y, weights


def no_targets(rng, options, X, y, weights):
    nothing = [None, "text", {}, 3, [], np.zeros(0), [None] * len(X), [{}] * len(X)]
    return options, X, nothing[int(rng.integers(len(nothing)))], weights


def wrong_option(rng, options, X, y, weights):
    known = WRONG | WRONG_OF_SEQUENCES
    name = list(known)[int(rng.integers(len(known)))]
    options[name] = known[name][int(rng.integers(len(known[name])))]
    return options, X, y, weights


FAULTS = (
    *(nan_in_X, infinite_X, too_large_X, too_few_targets, nan_in_weights, no_weight, no_steps, another_width),
    *(no_numbers, no_sequences, no_targets, wrong_option, wrong_option, wrong_option),
)


def _with(rng, X, value):
    X = [x.copy() for x in X]
    x = X[int(rng.integers(len(X)))]
    x[int(rng.integers(len(x))), int(rng.integers(x.shape[1]))] = value
    return X
