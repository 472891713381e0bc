"""Penalties and constraints: their proximal operators, what a fit makes of them, and networks without dead units."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from admmirnn import RNNClassifier, Rollout
from admmirnn.data.sequences import Sequences
from admmirnn.datasets import load_digits
from admmirnn.networks import ElmanRNN
from admmirnn.penalties import (
    Box,
    ElasticNet,
    Flattened,
    GroupLasso,
    Lasso,
    Levels,
    NonNegative,
    Orthogonal,
    Rank,
    Ridge,
    SpectralBall,
)

pytestmark = pytest.mark.elman

CONVEX = [Ridge(0.7), Lasso(0.4), ElasticNet(0.6, 0.3), GroupLasso(0.5), GroupLasso(0.5, axis=1)]
CONVEX_SETS = [NonNegative(), Box(-0.3, 0.8), Box(-np.inf, 0.5), SpectralBall(0.9)]
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=6)


def matrices(shape=SHAPES, dtype=np.float64):
    return hnp.arrays(dtype, shape, elements=st.floats(-4, 4, width=16))


def classifier(penalties, **settings):
    return RNNClassifier(**{"hidden_size": 8, "max_epochs": 5, "random_state": 0, "penalties": penalties, **settings})


def norm(W):
    return np.linalg.norm(W.astype(np.float64), 2)


# Proximal operators


@pytest.mark.parametrize("penalty", CONVEX + CONVEX_SETS, ids=repr)
@settings(max_examples=50)
@given(st.data(), st.floats(0.01, 10))
def test_prox_is_the_minimum(penalty, data, tau):
    """(x - p) / tau is a subgradient at p: Omega(y) >= Omega(p) + <(x - p) / tau, y - p> for every y."""
    x = data.draw(matrices())
    p = penalty.prox(x, tau)
    for y in (data.draw(matrices(st.just(x.shape))), np.zeros_like(x), x, p + 1e-3):
        y = penalty.prox(y, 1.0)  # somewhere Omega is finite
        assert penalty.value(y) >= penalty.value(p) + np.vdot((x - p) / tau, y - p) - 1e-9 / tau * (1 + norm(x) ** 2)


@pytest.mark.parametrize(
    "penalty, dual_ball",
    [
        (Lasso(0.4), lambda x: np.clip(x, -0.4, 0.4)),
        (GroupLasso(0.5), lambda x: x / np.maximum(1, np.linalg.norm(x, axis=0) / 0.5)),
        (GroupLasso(0.5, axis=1), lambda x: x / np.maximum(1, np.linalg.norm(x, axis=1)[:, None] / 0.5)),
    ],
    ids=["lasso", "columns", "rows"],
)
@settings(max_examples=50)
@given(x=matrices(), tau=st.floats(0.01, 10))
def test_moreau(penalty, dual_ball, x, tau):
    """x = prox_{tau Omega}(x) + tau prox_{Omega* / tau}(x / tau), and Omega* of a norm is that of a dual ball."""
    np.testing.assert_allclose(penalty.prox(x, tau) + tau * dual_ball(x / tau), x, rtol=0, atol=1e-13)


@DTYPES
@pytest.mark.parametrize("penalty", [*CONVEX_SETS, Orthogonal(), Rank(1), Rank(2), Levels(), Levels(7)], ids=repr)
@settings(max_examples=50)
@given(st.data())
def test_projections_are_met_and_idempotent(penalty, dtype, data):
    x = data.draw(matrices(SHAPES.map(lambda shape: (shape[0], shape[0])), dtype))
    p = penalty.prox(x, 1.0)
    assert p.dtype == dtype and penalty.value(p) == 0
    np.testing.assert_allclose(penalty.prox(p, 1.0), p, rtol=0, atol=50 * np.finfo(dtype).eps)
    if not (p == x).all():
        assert penalty.value(x) == np.inf or np.abs(p - x).max() < 1e-5


@settings(max_examples=50)
@given(matrices(st.just((4, 5))), st.integers(0, 2**32 - 1))
def test_a_rank_is_the_nearest(x, seed):
    p = Rank(2).prox(x, 1.0)
    assert np.linalg.matrix_rank(p) <= 2
    for P in np.random.default_rng(seed).normal(size=(20, 5, 2)):
        other = P[:4] @ np.linalg.lstsq(P[:4], x, rcond=None)[0]  # the nearest one with these columns
        assert np.linalg.norm(x - p) <= np.linalg.norm(x - other) + 1e-12


def test_levels_are_whole_numbers():
    x = np.array([[1.0, -0.2, 0.1], [0.0, 0.0, 0.0], [-3.0, 1.4, 0.4]])
    np.testing.assert_allclose(Levels(3).prox(x, 1.0), [[1, -1 / 3, 0], [0, 0, 0], [-3, 1, 0]], atol=1e-15)


@settings(max_examples=50)
@given(matrices(st.just((4, 4))), st.integers(0, 2**32 - 1))
def test_orthogonal_is_the_nearest(x, seed):
    p = Orthogonal().prox(x, 1.0)
    for other in np.linalg.qr(np.random.default_rng(seed).normal(size=(20, 4, 4)))[0]:
        assert np.linalg.norm(x - p) <= np.linalg.norm(x - other) + 1e-12


@DTYPES
@pytest.mark.parametrize("penalty", [*CONVEX, *CONVEX_SETS, Orthogonal()], ids=repr)
def test_prox_returns_a_new_array_of_the_same_dtype(penalty, dtype):
    for order in "CF":
        x = np.asarray(np.random.default_rng(0).normal(size=(5, 5)), dtype, order=order)[:4, :4]
        for point in (x, 1e-3 * x):  # inside a ball too
            kept = point.copy()
            p = penalty.prox(point, 0.3)
            assert p.dtype == dtype and p.shape == point.shape and not np.shares_memory(p, point)
            np.testing.assert_array_equal(point, kept)


def test_zeros_are_exact():
    x = np.float32([[0.3, -0.2, 0.1], [0.4, 0.0, -0.9]])
    assert not Lasso(1.0).prox(x, 0.4)[0].any() and not ElasticNet(2.0, 0.5).prox(x, 0.4)[0].any()
    np.testing.assert_array_equal((GroupLasso(1.0).prox(x, 0.6) == 0).all(axis=0), [True, True, False])
    np.testing.assert_array_equal((GroupLasso(1.0, axis=1).prox(x, 0.6) == 0).all(axis=1), [True, False])
    assert GroupLasso(1.0).prox(np.zeros((2, 2)), 0.0).sum() == 0


def test_elastic_net_lies_between_lasso_and_ridge():
    x = np.random.default_rng(0).normal(size=(5, 3))
    for ratio, other in ((1.0, Lasso(0.4)), (0.0, Ridge(0.4))):
        np.testing.assert_array_equal(ElasticNet(0.4, ratio).prox(x, 0.7), other.prox(x, 0.7))
        assert ElasticNet(0.4, ratio).value(x) == pytest.approx(other.value(x))


@pytest.mark.parametrize("n, radius", [(3, 0.9), (128, 0.9), (300, 1.0), (64, 1e-3), (16, 1e4)])
def test_a_spectral_ball_holds_after_rounding(n, radius):
    x = np.random.default_rng(n).normal(size=(n, n)).astype(np.float32) * np.float32(10 * radius)
    assert norm(SpectralBall(radius).prox(x, 1.0)) <= radius
    assert norm(SpectralBall(radius).prox(x[:, : n // 2], 1.0)) <= radius


@pytest.mark.parametrize(
    "penalty, message",
    [
        (Lasso(-1), r"weight of Lasso is -1; it must be finite, a number >= 0"),
        (Ridge(np.nan), "weight of Ridge is nan"),
        (ElasticNet(1.0, 1.5), r"l1_ratio of ElasticNet is 1.5; .* >= 0 and <= 1"),
        (GroupLasso(1.0, axis=2), "axis of GroupLasso is 2; pass 0 for columns or 1 for rows"),
        (Box(1, 0), "low of Box is 1 and high is 0; pass low <= high"),
        (Box(np.nan, 0), "low of Box is nan"),
        (SpectralBall(0), "radius of SpectralBall is 0"),
        (Orthogonal(), r"Orthogonal is for square matrices and x has the shape \(2, 3\); assign it to W"),
    ],
    ids=repr,
)
def test_settings_are_checked_when_used(penalty, message):
    for use in (penalty.value, lambda x: penalty.prox(x, 1.0)):
        with pytest.raises(ValueError, match=message):
            use(np.ones((2, 3)))


def test_arguments_of_prox_are_checked():
    with pytest.raises(ValueError, match="tau is -1"):
        Lasso(1.0).prox(np.ones((2, 2)), -1)
    with pytest.raises(ValueError, match=r"x has 1 dimension\(s\); pass a matrix"):
        Lasso(1.0).prox(np.ones(2), 1)
    with pytest.raises(TypeError, match="x is int64; pass an array of float32 or float64"):
        Lasso(1.0).prox(np.ones((2, 2), np.int64), 1)
    with pytest.raises(TypeError, match="weight of Lasso is 'a' of type str"):
        Lasso("a").prox(np.ones((2, 2)), 1)


# Fits

CONSTRAINTS = [
    {"W": SpectralBall(0.9)},
    {"W": Orthogonal()},
    {"W": NonNegative(), "U": Box(-0.2, 0.3), "V": SpectralBall(0.5)},
    {"WV": NonNegative(), "U": SpectralBall(0.4)},
    {"UWb": Box(-0.1, 0.1)},
    {"UW": SpectralBall(0.9), "V": Box(-0.05, 0.05)},
]
FITS = [
    {},
    {"solver": Rollout(max_iter=1)},
    {"solver": Rollout(max_iter=5)},
    {"solver": Rollout(r=0.05, radius=None, output_radius=None), "batch_size": 20, "max_epochs": 10},
    {"solver": Rollout(r=0.0, radius=1e3, output_radius=1e3), "max_epochs": 1, "batch_size": 120},
    {"solver": Rollout(radius=1e30, output_radius=1e30, r=0.0, schedule="constant"), "max_epochs": 20},
    {"solver": Rollout(damping=0.0)},
    {"callbacks": [lambda state: state.record["epoch"] == 2]},
    {"dtype": "float64", "activation": "relu"},
]


def blocks(model):
    stacked = {name: getattr(model, f"{name}_") for name in "UWV"}
    stacked |= {"UW": np.hstack([model.U_, model.W_]), "WV": np.vstack([model.W_, model.V_])}
    return stacked | {"UWb": np.column_stack([model.U_, model.W_, model.b_])}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("penalties", CONSTRAINTS, ids=lambda penalties: "-".join(penalties))
@pytest.mark.parametrize("fit", FITS, ids=range(len(FITS)))
def test_constraints_hold_after_every_fit_and_in_callbacks(waves, penalties, fit):
    X, y = waves
    values = []

    def look(state):
        values.extend(penalty.value(blocks(state.estimator)[name]) for name, penalty in penalties.items())

    model = classifier(penalties, **{**fit, "callbacks": [look, *fit.get("callbacks", ())]}).fit(X, y)
    values.extend(penalty.value(blocks(model)[name]) for name, penalty in penalties.items())
    assert values and not any(values)


@pytest.mark.slow_on("numpy")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("fit", FITS, ids=range(len(FITS)))
def test_a_spectral_ball_holds_to_a_millionth(waves, backend_name, fit):
    X, y = waves
    model = classifier({"W": SpectralBall(0.9)}, **fit).fit(X, y)
    assert norm(model.W_) <= 0.9 + 1e-6


def test_rolled_back_fits_were_among_them(waves):
    X, y = waves
    for fit in FITS[3:6]:
        with pytest.warns(ConvergenceWarning, match="went back to its last good weights"):
            classifier({"W": SpectralBall(0.9)}, **fit).fit(X, y)


def test_lasso_zeros_are_exact_after_rollbacks(waves):
    X, y = waves
    with pytest.warns(ConvergenceWarning, match="went back"):
        model = classifier({"W": Lasso(1e-2)}, **FITS[3], hidden_size=16).fit(X, y)
    small = np.abs(model.W_) < 1e-5
    assert small.sum() > 20 and not model.W_[small].any()


@pytest.mark.parametrize("penalties", [None, {}, {"W": Lasso(0.0)}, {"UWb": Box(-9, 9)}])
def test_no_penalties_change_nothing(waves, penalties):
    X, y = waves
    metric = "identity" if penalties else "multipliers"  # penalised layers have the scalar penalty
    plain = RNNClassifier(8, solver=Rollout(metric=metric), max_epochs=3, random_state=0).fit(X, y)
    model = classifier(penalties, max_epochs=3).fit(X, y)
    np.testing.assert_array_equal(model.W_, plain.W_)
    np.testing.assert_array_equal(model.V_, plain.V_)


def test_rests_where_the_loss_and_the_penalty_balance():
    """All sequences in one batch: -grad R is a subgradient of the lasso, by differences of a loss of the test's own."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3, 2))
    y = (X[:, 0, 0] + X[:, 2, 0] + 0.5 * rng.normal(size=400) > 0).astype(int)
    weight = 3e-3
    model = RNNClassifier(
        6,
        penalty=0.0,
        penalties={"W": Lasso(weight), "V": Ridge(0.03), "U": Ridge(0.02)},
        solver=Rollout(rho=1e6, r=3.0, gram_every=1, multiplier_cap=None, schedule="constant", momentum=0.0),
        max_epochs=2000,
        batch_size=400,
        dtype="float64",
        random_state=0,
    ).fit(X, y)

    def loss(W):
        S = np.zeros((400, 6))
        for t in range(3):
            S = np.tanh(X[:, t] @ model.U_.T + S @ W.T + model.b_)
        O = S @ model.V_.T + model.c_
        return np.mean(logsumexp(O, axis=1) - O[np.arange(400), y])

    gradient = np.empty((6, 6))
    for index in np.ndindex(6, 6):
        step = np.zeros((6, 6))
        step[index] = 1e-5
        gradient[index] = (loss(model.W_ + step) - loss(model.W_ - step)) / 2e-5
    zero = model.W_ == 0
    assert 10 < zero.sum() < 33
    assert np.abs(gradient[zero]).max() <= weight
    np.testing.assert_allclose(-gradient[~zero], weight * np.sign(model.W_[~zero]), rtol=0.05)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits()
    return train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)


@pytest.mark.slow
@pytest.mark.parametrize(
    "penalties, least",
    [
        ({"W": Lasso(1e-4)}, 0.97),
        ({"W": SpectralBall(0.9)}, 0.96),
        ({"W": Orthogonal()}, 0.96),
        ({"W": NonNegative()}, 0.95),
        ({"WV": GroupLasso(3e-3)}, 0.96),
    ],
    ids=repr,
)
def test_digits_are_learnt(digits, penalties, least):
    X, X_test, y, y_test = digits
    model = RNNClassifier(penalties=penalties, random_state=0).fit(X, y)
    assert model.score(X_test, y_test) > least
    if penalties.keys() == {"W"} and isinstance(penalties["W"], Lasso):
        assert np.mean(model.W_ == 0) > 0.4
    if "WV" in penalties:
        pruned = model.prune()
        assert pruned.hidden_size < 110
        np.testing.assert_allclose(pruned.predict_proba(X_test), model.predict_proba(X_test), rtol=0, atol=1e-6)


class OwnPenalty:
    """Half the excess over zero, on vectors or matrices."""

    def prox(self, x, tau):
        return np.where(x > 0, x / (1 + tau), x)


class OfVectors:
    """As pyproximal's, which refuse anything but vectors."""

    def prox(self, x, tau):
        assert x.ndim == 1
        return np.maximum(np.float64(x), 0)


def test_own_penalties(waves):
    X, y = waves
    classifier({"W": OwnPenalty()}).fit(X, y)
    model = classifier({"WV": Flattened(OfVectors())}).fit(X, y)
    assert min(model.W_.min(), model.V_.min()) == 0


class Wrong:
    def __init__(self, returned):
        self.returned = returned

    def prox(self, x, tau):
        return self.returned


@pytest.mark.parametrize(
    "penalties, error, message",
    [
        ([Lasso(1.0)], TypeError, r"penalties is of type list; pass a dict such as \{'W': Lasso\(1e-4\)\}, or None"),
        ({"X": Lasso(1.0)}, ValueError, "a key of penalties is 'X'; the known ones are 'U', 'W', 'V', 'UW'"),
        ({1: Lasso(1.0)}, ValueError, "a key of penalties is 1"),
        ({"W": Lasso}, TypeError, r"penalties\['W'\] is .*, which has no method prox"),
        ({"W": 0.1}, TypeError, r"penalties\['W'\] is 0.1, which has no method prox"),
        ({"W": Lasso(1.0), "WV": GroupLasso(1.0)}, ValueError, "'W' and 'WV', so W would have two; give every block"),
        ({"W": Lasso(-1.0)}, ValueError, "weight of Lasso is -1"),
        ({"U": Orthogonal()}, ValueError, "Orthogonal is for square matrices"),
        ({"W": Wrong(None)}, ValueError, r"prox of penalties\['W'\] returned NoneType for float32 of shape \(8, 8\)"),
        ({"W": Wrong(np.zeros(64, np.float32))}, ValueError, r"returned float32 of shape \(64,\)"),
        ({"W": Wrong(np.full((8, 8), np.nan, np.float32))}, ValueError, "NaN or infinity for the initial weights"),
    ],
)
def test_refused(waves, penalties, error, message):
    X, y = waves
    model = classifier(penalties)
    with pytest.raises(error, match=message):
        model.fit(X, y)
    assert not hasattr(model, "W_")


@pytest.mark.parametrize("penalties", [{"W": Lasso(1.0)}, {}])
def test_algorithm1_takes_none(waves, penalties):
    X, y = waves
    with pytest.raises(ValueError, match="penalties is .*, and Algorithm1 takes none; pass None, or solver='rollout'"):
        classifier(penalties, solver="algorithm1").fit(X, y)
    classifier(None, solver="algorithm1", max_epochs=1).fit(X, y)


def test_clone_pickle_and_parameters(waves):
    X, y = waves
    model = classifier({"W": Lasso(1e-2), "V": SpectralBall(0.5)})
    assert model.get_params()["penalties"] == {"W": Lasso(1e-2), "V": SpectralBall(0.5)}
    copy = clone(model)
    assert copy.penalties == model.penalties and "Lasso(weight=0.01)" in repr(model)
    model.fit(X, y)
    np.testing.assert_array_equal(copy.fit(X, y).W_, model.W_)
    again = pickle.loads(pickle.dumps(model))
    assert again.penalties == model.penalties
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert clone(model).set_params(penalties=None).penalties is None


# Pruning


@st.composite
def networks(draw):
    """Networks with many zeros, some of which make dead units."""
    n, d, K = draw(st.integers(1, 7)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    few = st.sampled_from([0.0, 0.0, 0.0, 0.7, -0.4])
    Theta = draw(hnp.arrays(np.float64, (n, d + n + 1), elements=few, fill=st.nothing()))
    Psi = draw(hnp.arrays(np.float64, (K, n + 1), elements=few, fill=st.nothing()))
    return ElmanRNN(Theta, Psi, draw(st.sampled_from(["tanh", "relu"])))


@settings(max_examples=150)
@given(networks(), st.integers(0, 2**32 - 1))
def test_pruned_networks_are_equal_and_have_no_more_to_prune(network, seed):
    X = np.random.default_rng(seed).normal(size=(5, 4, network.n_features))
    sequences = Sequences.of_lengths(X.reshape(-1, network.n_features), np.full(5, 4))
    pruned = network.pruned()
    for every_step in (False, True):
        np.testing.assert_allclose(
            pruned.outputs(sequences, every_step=every_step),
            network.outputs(sequences, every_step=every_step),
            rtol=0,
            atol=1e-12,
        )
    assert 1 <= pruned.n_hidden <= network.n_hidden
    assert pruned.pruned().n_hidden == pruned.n_hidden
    assert not np.shares_memory(pruned.Theta, network.Theta) and not np.shares_memory(pruned.Psi, network.Psi)


def test_chains_and_cycles_of_dead_units_go():
    """0 counts; 1 and 2 read each other and nothing else does; 3 feeds 4 alone, which nobody reads; 5 has a bias."""
    U, W, b = np.zeros((6, 1)), np.zeros((6, 6)), np.zeros(6)
    U[0] = U[1] = U[3] = 1
    W[1, 2] = W[2, 1] = W[4, 3] = W[0, 5] = 1
    b[5] = 0.5
    V = np.zeros((2, 6))
    V[:, 0] = 1
    V[:, 2] = 0
    weights = {"U": U, "W": W, "b": b, "V": V, "c": np.ones(2)}
    pruned = ElmanRNN.of_weights(weights).pruned()
    assert pruned.n_hidden == 2
    b[5] = -0.5  # relu of which is zero
    assert ElmanRNN.of_weights(weights, activation="relu").pruned().n_hidden == 1


def test_prune_returns_an_equal_estimator(waves):
    X, y = waves
    model = classifier({"WV": GroupLasso(0.02)}, hidden_size=20, init={"c": np.zeros(2)}, max_epochs=20).fit(X, y)
    pruned = model.prune()
    assert pruned.hidden_size == len(pruned.W_) < 20 == model.hidden_size == len(model.W_)
    np.testing.assert_allclose(pruned.predict_proba(X), model.predict_proba(X), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(pruned.predict(X), model.predict(X))
    assert pruned.status_ is model.status_ and pruned.penalties == model.penalties and pruned.init is None
    assert clone(pruned).fit(X, y).W_.shape == pruned.W_.shape


def test_prune_keeps_the_names_of_features():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(40, 6)), columns=[f"t{i}" for i in range(6)])
    model = classifier(None).fit(X, X["t5"] > 0)
    assert model.prune().hidden_size == 8
    np.testing.assert_array_equal(model.prune().feature_names_in_, model.feature_names_in_)
