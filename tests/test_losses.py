"""The o-step: exact proximal points, multipliers, losses and numbers of right answers, on both back ends."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit, logsumexp, softmax

from admmirnn import Algorithm1, RNNRegressor, Rollout, backend, reference
from admmirnn.data.sequences import Sequences
from admmirnn.losses import (
    LOSSES_OF_CLASSES,
    LOSSES_OF_VALUES,
    AbsoluteError,
    Hinge,
    Huber,
    Quantile,
    Quantiles,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    SquaredError,
    UserLoss,
)
from admmirnn.networks import ElmanRNN
from admmirnn.reference.output import LOSSES

pytestmark = pytest.mark.elman

BACKENDS = pytest.mark.parametrize("kernels", [backend._compiled(), reference], ids=["compiled", "numpy"])
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
EPS = np.finfo(np.float64).eps


def cross_entropy_step(kernels, Q, labels, weights=None, rho=1.0):
    """Loss, number of right answers, o+ and lambda3."""
    Q = np.array(Q)
    weights = np.ones(len(Q), Q.dtype) if weights is None else weights
    O_plus, lambda3 = np.full_like(Q, np.nan), np.full_like(Q, np.nan)
    labels = np.array(labels, np.intp)
    loss, n_correct = kernels.o_step(Q, labels, None, weights, rho, O_plus, lambda3, "cross_entropy")
    return loss, n_correct, O_plus, lambda3


def one_hot(labels, K):
    return np.eye(K)[labels]


@st.composite
def prox_problems(draw, largest=1e4):
    """Logits of a few rows, each with its own scale; labels; rho."""
    B, K = draw(st.integers(1, 4)), draw(st.integers(2, 40))
    units = draw(hnp.arrays(np.float64, (B, K), elements=st.floats(-1, 1, width=16)))
    scales = draw(hnp.arrays(np.float64, (B, 1), elements=st.floats(-3, np.log10(largest))))
    labels = draw(hnp.arrays(np.intp, B, elements=st.integers(0, K - 1)))
    return units * 10**scales, labels, 10.0 ** draw(st.floats(-4, 4))


@pytest.mark.slow_on("numpy")
@BACKENDS
@settings(max_examples=100)
@given(prox_problems())
def test_cross_entropy_prox_is_stationary(kernels, problem):
    q, labels, rho = problem
    _, _, o_plus, lambda3 = cross_entropy_step(kernels, q, labels, rho=rho)
    gradient = softmax(o_plus, axis=1) - one_hot(labels, q.shape[1])
    # an o+ of size s is only known to eps s, which rho multiplies
    tolerance = 1e-9 + 4 * EPS * (1 + rho) * np.abs([q, o_plus]).max()
    np.testing.assert_allclose(gradient + rho * (o_plus - q), 0, rtol=0, atol=tolerance)
    np.testing.assert_allclose(lambda3, rho * (o_plus - q), rtol=0, atol=tolerance)
    np.testing.assert_allclose(lambda3, -gradient, rtol=0, atol=1e-12 + 4 * EPS * np.abs(o_plus).max())


@pytest.mark.slow_on("numpy")
@BACKENDS
@settings(max_examples=50)
@given(prox_problems(largest=100), st.integers(0, 2**32 - 1))
def test_cross_entropy_prox_is_the_minimum(kernels, problem, seed):
    q, labels, rho = problem
    _, _, o_plus, _ = cross_entropy_step(kernels, q, labels, rho=rho)
    rng = np.random.default_rng(seed)
    sizes = 10.0 ** rng.uniform(-4, 3, (200, 1, 1))
    candidates = o_plus + sizes * rng.normal(size=(200, *q.shape))

    def objective(o):
        R = logsumexp(o, axis=-1) - o[..., np.arange(len(q)), labels]
        return R + 0.5 * rho * ((o - q) ** 2).sum(axis=-1)

    least = objective(o_plus)
    slack = 1e-13 * (1 + np.abs(o_plus).max() + np.abs(least).max())
    assert (objective(candidates) >= least - slack).all()
    assert (objective(q) >= least - slack).all()


@BACKENDS
@DTYPES
@pytest.mark.parametrize("K", [2, 7, 40])
@pytest.mark.parametrize("rho", [1e-4, 1.0, 1e4])
def test_cross_entropy_multiplier_is_minus_the_weighted_gradient(kernels, dtype, K, rho):
    rng = np.random.default_rng(K)
    q = (3 * rng.normal(size=(31, K))).astype(dtype)
    labels = rng.integers(0, K, 31)
    weights = rng.uniform(0.1, 3, 31).astype(dtype)
    _, _, o_plus, lambda3 = cross_entropy_step(kernels, q, labels, weights, rho)
    gradient = softmax(o_plus.astype(np.float64), axis=1) - one_hot(labels, K)
    # o+ reaches some multiples of 1 / rho in size, and is rounded to dtype
    tolerance = 1e-12 + 8 * np.finfo(dtype).eps * (1 + np.abs(o_plus).max())
    np.testing.assert_allclose(lambda3, -weights[:, None] * gradient, rtol=0, atol=tolerance)
    assert np.abs(lambda3).max() > 1e-5


@BACKENDS
def test_o_step_does_not_depend_on_weights_and_rows_are_independent(kernels):
    rng = np.random.default_rng(0)
    q, labels, weights = rng.normal(size=(9, 5)), rng.integers(0, 5, 9), rng.uniform(0.1, 3, 9)
    _, _, o_plus, lambda3 = cross_entropy_step(kernels, q, labels, weights)
    for i in range(9):
        _, _, o_row, lambda3_row = cross_entropy_step(kernels, q[i : i + 1], labels[i : i + 1])
        np.testing.assert_allclose(o_plus[i], o_row[0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(lambda3[i], weights[i] * lambda3_row[0], rtol=0, atol=1e-12)


@BACKENDS
@DTYPES
@settings(max_examples=50)
@given(problem=prox_problems(), seed=st.integers(0, 2**32 - 1))
def test_cross_entropy_loss_and_number_of_right_answers(kernels, dtype, problem, seed):
    q, labels, rho = problem
    q = q.astype(dtype)
    weights = np.random.default_rng(seed).uniform(0.1, 3, len(q)).astype(dtype)
    loss, n_correct, _, _ = cross_entropy_step(kernels, q, labels, weights, rho)
    exact = q.astype(np.float64)
    R = logsumexp(exact, axis=1) - exact[np.arange(len(q)), labels]
    assert loss == pytest.approx(
        np.average(R, weights=weights.astype(np.float64)), rel=1e-6 if dtype is np.float32 else 1e-12, abs=1e-11
    )
    assert n_correct == (q.argmax(axis=1) == labels).sum()


@BACKENDS
@pytest.mark.parametrize(("margin", "expected"), [(40.0, np.exp(-40.0)), (300.0, np.exp(-300.0)), (-300.0, 300.0)])
def test_cross_entropy_loss_is_accurate_when_tiny_or_large(kernels, margin, expected):
    loss, _, _, _ = cross_entropy_step(kernels, [[0.0, margin]], [1])
    assert loss == pytest.approx(expected, rel=1e-13)


@BACKENDS
def test_ties_count_for_the_first_of_the_largest(kernels):
    q = np.array([[2.0, 2.0, 1.0]] * 3 + [[0.0, 5.0, 5.0]] * 3)
    assert [cross_entropy_step(kernels, q[i : i + 1], [i % 3])[1] for i in range(6)] == [1, 0, 0, 0, 1, 0]
    loss, _, o_plus, lambda3 = cross_entropy_step(kernels, np.zeros((1, 4)), [2])
    assert loss == pytest.approx(np.log(4), rel=1e-14)
    np.testing.assert_allclose(o_plus[0, [0, 1, 3]], o_plus[0, 0], rtol=1e-14)
    assert lambda3.sum() == pytest.approx(0, abs=1e-14)


@BACKENDS
@DTYPES
@pytest.mark.parametrize("rho", [1e-4, 1.0, 1e4])
def test_cross_entropy_is_finite_at_huge_logits(kernels, dtype, rho):
    q = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 0], [1e4, 1e4, -1e4], [-1e4, -1e4, -1e4]], dtype)
    loss, n_correct, o_plus, lambda3 = cross_entropy_step(kernels, q, [0, 0, 1, 2], rho=rho)
    assert n_correct == 1
    assert loss == pytest.approx((0 + 2e4 + np.log(2) + np.log(3)) / 4, rel=1e-12)
    assert np.isfinite(o_plus).all()
    assert np.isfinite(lambda3).all()
    assert np.abs(lambda3).max() <= 1
    # the answer that is right by far is left where it is
    np.testing.assert_allclose(o_plus[0], q[0], rtol=0, atol=1e-300)


@BACKENDS
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_cross_entropy_of_outputs_that_are_not_finite_ends_and_is_not_finite(kernels, bad):
    with np.errstate(all="ignore"):
        loss = cross_entropy_step(kernels, [[bad, 0.0, 1.0]], [0])[0]
    assert not np.isfinite(loss)


@BACKENDS
@DTYPES
@pytest.mark.parametrize("K", [1, 3, 10])
@pytest.mark.parametrize("rho", [1e-4, 0.7, 1e4])
def test_squared_error_in_closed_form(kernels, dtype, K, rho):
    rng = np.random.default_rng(K)
    Q, targets = rng.normal(size=(2, 13, K)).astype(dtype)
    weights = rng.uniform(0.1, 3, 13).astype(dtype)
    O_plus, lambda3 = np.full_like(Q, np.nan), np.full_like(Q, np.nan)
    loss, _ = kernels.o_step(Q, None, targets, weights, rho, O_plus, lambda3, "squared_error")
    q, y, w = Q.astype(np.float64), targets.astype(np.float64), weights.astype(np.float64)[:, None]
    o_plus = (y + rho * q) / (1 + rho)
    atol = 16 * np.finfo(dtype).eps
    np.testing.assert_allclose(O_plus, o_plus, rtol=0, atol=atol)
    np.testing.assert_allclose(lambda3, -w * (o_plus - y), rtol=0, atol=atol)
    assert loss == pytest.approx(
        np.average(0.5 * ((q - y) ** 2).sum(axis=1), weights=w[:, 0]), rel=16 * float(np.finfo(dtype).eps)
    )


@BACKENDS
@DTYPES
def test_squared_error_is_finite_at_huge_outputs(kernels, dtype):
    Q, targets = np.array([[1e4, -1e4]], dtype), np.array([[-1e4, -1e4]], dtype)
    O_plus, lambda3 = np.empty_like(Q), np.empty_like(Q)
    loss, _ = kernels.o_step(Q, None, targets, np.ones(1, dtype), 1.0, O_plus, lambda3, "squared_error")
    assert loss == pytest.approx(2e8, rel=1e-6)
    np.testing.assert_allclose(O_plus, [[0, -1e4]])
    np.testing.assert_allclose(lambda3, [[-1e4, 0]])


@BACKENDS
def test_loss_objects_call_their_kernels(kernels):
    rng = np.random.default_rng(0)
    Q, weights = rng.normal(size=(5, 3)), rng.uniform(0.5, 2, 5)
    labels, values = rng.integers(0, 3, 5).astype(SoftmaxCrossEntropy().target_dtype), rng.normal(size=(5, 3))
    O_plus, lambda3 = np.empty_like(Q), np.empty_like(Q)
    loss, n_correct = SoftmaxCrossEntropy().step(kernels, Q, labels, weights, 0.5, O_plus, lambda3)
    assert (loss, n_correct) == cross_entropy_step(kernels, Q, labels, weights, 0.5)[:2]
    loss, n_correct = SquaredError().step(kernels, Q, values, weights, 0.5, O_plus, lambda3)
    assert loss == pytest.approx(np.average(0.5 * ((Q - values) ** 2).sum(axis=1), weights=weights))
    assert n_correct is None


def test_constant_loss_of_cross_entropy_is_the_entropy():
    loss = SoftmaxCrossEntropy()
    assert loss.constant_loss(np.array([0, 1, 2, 3]), np.ones(4)) == pytest.approx(np.log(4))
    assert loss.constant_loss(np.array([2, 2, 2]), np.ones(3)) == pytest.approx(0, abs=1e-15)
    # weights 1 + 2 of class 0, 3 of class 2, none of class 1
    expected = np.log(2)
    assert loss.constant_loss(np.array([0, 0, 2]), np.array([1.0, 2.0, 3.0])) == pytest.approx(expected)


@BACKENDS
def test_constant_loss_of_cross_entropy_is_what_the_best_constant_output_costs(kernels):
    rng = np.random.default_rng(0)
    labels, weights = rng.integers(0, 4, 50), rng.uniform(0.5, 2, 50)
    weights /= weights.mean()
    best = np.log(np.bincount(labels, weights) / 50)
    constant = SoftmaxCrossEntropy().constant_loss(labels, weights)
    assert cross_entropy_step(kernels, np.tile(best, (50, 1)), labels, weights)[0] == pytest.approx(constant)
    assert cross_entropy_step(kernels, np.zeros((50, 4)), labels, weights)[0] > constant


def test_constant_loss_of_squared_error_is_half_the_variance():
    rng = np.random.default_rng(0)
    targets, loss = rng.normal(size=(20, 3)), SquaredError()
    assert loss.constant_loss(targets, np.ones(20)) == pytest.approx(0.5 * targets.var(axis=0).sum())
    # a weight of two is the same as a second row
    weights = rng.integers(1, 4, 20)
    repeated = np.repeat(targets, weights, axis=0)
    assert loss.constant_loss(targets, weights) == pytest.approx(0.5 * repeated.var(axis=0).sum())
    assert loss.constant_loss(np.full((4, 2), 3.0), np.ones(4)) == 0


# All losses


def signs(o, labels):
    return 2 * np.eye(o.shape[1])[labels] - 1


def pinball(o, y, quantile):
    return np.maximum(quantile * (y - o), (quantile - 1) * (y - o)).sum(axis=1)


def huber(o, y, delta):
    size = np.abs(o - y)
    return np.where(size < delta, size**2 / 2, delta * size - delta**2 / 2).sum(axis=1)


def of_pinball(o, y, below, above):
    return np.where(o > y, above, -below), np.where(o < y, -below, above)


# R of every row, and the least and the largest subgradient of every output
CASES = {
    "cross_entropy": SimpleNamespace(
        loss=SoftmaxCrossEntropy(),
        R=lambda o, y: logsumexp(o, axis=1) - o[np.arange(len(o)), y],
        subgradients=lambda o, y: 2 * (softmax(o, axis=1) - one_hot(y, o.shape[1]),),
    ),
    "hinge": SimpleNamespace(
        loss=Hinge(),
        R=lambda o, y: np.maximum(0, 1 - signs(o, y) * o).sum(axis=1),
        subgradients=lambda o, y: of_pinball(o, signs(o, y), np.maximum(signs(o, y), 0), np.maximum(-signs(o, y), 0)),
    ),
    "squared_error": SimpleNamespace(
        loss=SquaredError(),
        R=lambda o, y: 0.5 * ((o - y) ** 2).sum(axis=1),
        subgradients=lambda o, y: 2 * (o - y,),
    ),
    "sigmoid_cross_entropy": SimpleNamespace(
        loss=SigmoidCrossEntropy(),
        R=lambda o, y: (np.logaddexp(0, o) - y * o).sum(axis=1),
        subgradients=lambda o, y: 2 * ((1 - y) * expit(o) - y * expit(-o),),
    ),
    "huber": SimpleNamespace(
        loss=Huber(0.7),
        R=lambda o, y: huber(o, y, 0.7),
        subgradients=lambda o, y: 2 * (np.clip(o - y, -0.7, 0.7),),
    ),
    "quantile": SimpleNamespace(
        loss=Quantile(0.2),
        R=lambda o, y: pinball(o, y, 0.2),
        subgradients=lambda o, y: of_pinball(o, y, 0.2, 0.8),
    ),
    "absolute_error": SimpleNamespace(
        loss=AbsoluteError(),
        R=lambda o, y: np.abs(o - y).sum(axis=1),
        subgradients=lambda o, y: of_pinball(o, y, 1, 1),
    ),
}
NAMES = pytest.mark.parametrize("name", CASES)
SMOOTH = ("cross_entropy", "squared_error", "sigmoid_cross_entropy", "huber")


@BACKENDS
@DTYPES
@pytest.mark.parametrize("rho", [0.3, 1.0, 40.0])
def test_the_step_of_several_quantiles_is_that_of_each(kernels, dtype, rho):
    rng, levels = np.random.default_rng(0), (0.1, 0.5, 0.9)
    Q, targets = rng.normal(size=(2, 20, 6)).astype(dtype)  # two outputs of three levels each
    Q[0], weights = targets[0], np.where(np.arange(20) % 5 == 4, 0, 1.5).astype(dtype)
    O_plus, lambda3 = np.full_like(Q, np.nan), np.full_like(Q, np.nan)
    loss, n_correct = Quantiles(levels).step(kernels, Q, targets, weights, rho, O_plus, lambda3)
    total = 0.0
    for j in range(6):
        of_one = [np.ascontiguousarray(of[:, j : j + 1]) for of in (Q, targets)]
        found = [np.full_like(of_one[0], np.nan) for _ in range(2)]
        total += Quantile(levels[j % 3]).step(kernels, *of_one, weights, rho, *found)[0]
        np.testing.assert_allclose(O_plus[:, j], found[0][:, 0], rtol=0, atol=1e-6)
        np.testing.assert_allclose(lambda3[:, j], found[1][:, 0], rtol=0, atol=1e-5)
    assert loss == pytest.approx(total, rel=1e-5) and n_correct is None
    assert (lambda3[weights == 0] == 0).all() and np.abs(lambda3[weights > 0]).max() > 0.5


def test_every_loss_by_name_has_a_row_in_the_table_of_the_twin_and_a_case_here():
    by_name = {**LOSSES_OF_CLASSES, **LOSSES_OF_VALUES}
    del by_name["quantiles"]  # which is numpy's
    assert set(by_name) == set(LOSSES) == set(CASES)
    assert all(type(CASES[name].loss) is loss for name, loss in by_name.items())


def random_targets(name, rng, B, K, dtype=np.float64):
    loss = CASES[name].loss
    if loss.takes_labels:
        return rng.integers(0, K, B).astype(np.intp)
    if name == "sigmoid_cross_entropy":
        y = rng.uniform(size=(B, K))
        return np.where(rng.integers(0, 2, (B, K)), y, y > 0.5).astype(dtype)
    return rng.normal(size=(B, K)).astype(dtype)


def take_step(kernels, loss, q, y, rho, weights=None):
    """Loss, number of right answers, o+ and lambda3."""
    weights = np.ones(len(q), q.dtype) if weights is None else weights
    O_plus, lambda3 = np.full_like(q, np.nan), np.full_like(q, np.nan)
    return *loss.step(kernels, q, y, weights, rho, O_plus, lambda3), O_plus, lambda3


@st.composite
def problems(draw, name, largest=6.0, least=-6.0):
    """Outputs of many sizes, some of them right at the kinks; targets; rho."""
    B, K, seed = draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    q = rng.choice([-1.0, 1.0], (B, K)) * 10 ** rng.uniform(-8, draw(st.floats(-3, largest)), (B, K))
    y = random_targets(name, rng, B, K)
    rho = 10 ** draw(st.floats(least, -least))
    about = signs(q, y) if CASES[name].loss.takes_labels else y
    q = np.where(rng.integers(0, 3, q.shape) == 0, about + rng.uniform(-2, 2, q.shape) / rho, q)
    return q, y, rho


@pytest.mark.slow_on("numpy")
@BACKENDS
@NAMES
@settings(max_examples=60)
@given(st.data())
def test_pull_towards_the_target_is_a_subgradient_at_the_proximal_point(kernels, name, data):
    """-lambda3 is in the subdifferential of R at o+, and lambda3 = rho (o+ - q)."""
    q, y, rho = data.draw(problems(name))
    _, _, o_plus, lambda3 = take_step(kernels, CASES[name].loss, q, y, rho)
    low, high = CASES[name].subgradients(o_plus, y)
    size = np.abs([q, o_plus]).max() + 1  # o+ is known to eps of that
    # rounding may move o+ off a kink, but it does not when o+ is the kink
    assert (-lambda3 >= low - 1e-12 - 8 * EPS * size).all()
    assert (-lambda3 <= high + 1e-12 + 8 * EPS * size).all()
    np.testing.assert_allclose(lambda3, rho * (o_plus - q), rtol=1e-12, atol=1e-12 + 8 * EPS * (1 + rho) * size)


@BACKENDS
@NAMES
@settings(max_examples=20)
@given(st.data())
def test_proximal_point_is_the_minimum(kernels, name, data):
    q, y, rho = data.draw(problems(name, largest=2.0, least=-3.0))
    _, _, o_plus, _ = take_step(kernels, CASES[name].loss, q, y, rho)

    def objective(o):
        return CASES[name].R(o, y) + 0.5 * rho * ((o - q) ** 2).sum(axis=1)

    rng, least = np.random.default_rng(0), objective(o_plus)
    slack = 1e-13 * (1 + np.abs(least).max() + np.abs(o_plus).max())
    for size in 10.0 ** rng.uniform(-4, 3, 50):
        assert (objective(o_plus + size * rng.normal(size=q.shape)) >= least - slack).all()
    assert (objective(q) >= least - slack).all()


@BACKENDS
@NAMES
@pytest.mark.parametrize("rho", [0.05, 1.0, 20.0])
def test_pull_is_the_gradient_of_the_envelope(kernels, name, rho):
    """e(q) = min_o R(o) + rho/2 |o - q|^2 has the gradient rho (q - o+) = -lambda3, smooth R or not."""
    rng, h = np.random.default_rng(0), 1e-5
    q, y = 2 * rng.normal(size=(20, 4)), random_targets(name, rng, 20, 4)

    def envelope(q):
        _, _, o_plus, _ = take_step(kernels, CASES[name].loss, q, y, rho)
        return CASES[name].R(o_plus, y) + 0.5 * rho * ((o_plus - q) ** 2).sum(axis=1)

    lambda3 = take_step(kernels, CASES[name].loss, q, y, rho)[3]
    for k in range(4):
        shift = h * np.eye(4)[k]
        difference = (envelope(q + shift) - envelope(q - shift)) / (2 * h)
        np.testing.assert_allclose(-lambda3[:, k], difference, rtol=0, atol=rho * h + 1e-8)


@BACKENDS
@NAMES
def test_multiplier_tends_to_the_gradient_as_rho_grows(kernels, name):
    rng = np.random.default_rng(0)
    q, y = 2 * rng.normal(size=(20, 4)), random_targets(name, rng, 20, 4)  # none is at a kink
    weights = rng.uniform(0.5, 2, 20)
    gradient = CASES[name].subgradients(q, y)[0]
    for rho in (1e4, 1e8, 1e12):
        lambda3 = take_step(kernels, CASES[name].loss, q, y, rho, weights)[3]
        np.testing.assert_allclose(lambda3, -weights[:, None] * gradient, rtol=0, atol=10 / rho + 1e-14)


@BACKENDS
@pytest.mark.parametrize("name", SMOOTH)
def test_value_has_the_gradient_that_the_multiplier_is(kernels, name):
    rng, h = np.random.default_rng(1), 1e-5
    y = random_targets(name, rng, 1, 5)
    o = 2 * rng.normal(size=(1, 5))
    one, gradient = np.ones(1), -take_step(kernels, CASES[name].loss, o, y, 1e12)[3]
    for k in range(5):
        ends = [CASES[name].loss.value(kernels, o + sign * h * np.eye(5)[k], y, one)[0] for sign in (1, -1)]
        assert (ends[0] - ends[1]) / (2 * h) == pytest.approx(gradient[0, k], abs=1e-8)


@BACKENDS
@NAMES
@DTYPES
def test_loss_is_the_weighted_mean(kernels, name, dtype):
    rng = np.random.default_rng(0)
    o, weights = (3 * rng.normal(size=(30, 6))).astype(dtype), rng.uniform(0.1, 3, 30).astype(dtype)
    y = random_targets(name, rng, 30, 6, dtype)
    exact = o.astype(np.float64), y if y.dtype == np.intp else y.astype(np.float64)
    expected = np.average(CASES[name].R(*exact), weights=weights.astype(np.float64))
    loss, n_correct = CASES[name].loss.value(kernels, o, y, weights)
    assert loss == pytest.approx(expected, rel=1e-12 if dtype is np.float64 else 1e-7)
    assert n_correct == ((o.argmax(axis=1) == y).sum() if CASES[name].loss.takes_labels else None)
    of_step, n_correct_of_step = take_step(kernels, CASES[name].loss, o, y, 1.0, weights)[:2]
    assert of_step == pytest.approx(loss, rel=1e-14) and n_correct_of_step == n_correct


@BACKENDS
@NAMES
@DTYPES
def test_rows_without_weight_are_skipped_whatever_their_targets_are(kernels, name, dtype):
    rng, loss = np.random.default_rng(0), CASES[name].loss
    q, weights = (3 * rng.normal(size=(12, 4))).astype(dtype), rng.uniform(0.1, 3, 12).astype(dtype)
    y = random_targets(name, rng, 12, 4, dtype)
    without = np.arange(12) % 3 == 1
    weights[without], y[without] = 0, -1 if loss.takes_labels else np.nan
    q[1] = np.nan
    *found, o_plus, lambda3 = take_step(kernels, loss, q, y, 0.6, weights)
    *expected, o_of_others, lambda3_of_others = take_step(
        kernels, loss, q[~without], y[~without], 0.6, weights[~without]
    )
    value, n_correct = loss.value(kernels, q, y, weights)
    assert found == expected == [pytest.approx(value, rel=1e-14), n_correct]
    np.testing.assert_array_equal(o_plus[~without], o_of_others)
    np.testing.assert_array_equal(lambda3[~without], lambda3_of_others)
    np.testing.assert_array_equal(o_plus[without], q[without])
    np.testing.assert_array_equal(lambda3[without], 0)
    loss_of_none, n_correct, o_plus, lambda3 = take_step(kernels, loss, q, y, 0.6, np.zeros_like(weights))
    assert np.isnan(loss_of_none) and not n_correct
    np.testing.assert_array_equal(o_plus, q)
    np.testing.assert_array_equal(lambda3, 0)


@NAMES
@DTYPES
@settings(max_examples=60)
@given(st.data())
def test_compiled_losses_are_those_of_the_twin(name, dtype, data):
    q, y, rho = data.draw(problems(name, largest=4.0))
    q, y = q.astype(dtype), y if y.dtype == np.intp else y.astype(dtype)
    rng = np.random.default_rng(0)
    weights = (rng.uniform(0.1, 3, len(q)) * (rng.uniform(size=len(q)) > 0.2)).astype(dtype)
    found = take_step(backend._compiled(), CASES[name].loss, q, y, rho, weights)
    expected = take_step(reference, CASES[name].loss, q, y, rho, weights)
    eps = float(np.finfo(dtype).eps)
    assert found[0] == pytest.approx(expected[0], rel=1e-12, nan_ok=True)
    assert found[1] == expected[1]
    tolerance = 64 * eps * np.abs(expected[2]).max()
    if name == "cross_entropy":  # whose gradient is brought below 1e-8 or 1e-13
        tolerance += (1e-7 if dtype is np.float32 else 1e-12) / rho
    np.testing.assert_allclose(found[2], expected[2], rtol=0, atol=tolerance)
    # of a softmax, o+ is known to eps of its size; a squared error pulls by as much as it is large
    size = {"cross_entropy": np.abs(expected[2]).max() / 100, "squared_error": np.abs(q).max()}.get(name, 1)
    np.testing.assert_allclose(found[3], expected[3], rtol=0, atol=1000 * eps * (1 + size))


@BACKENDS
@pytest.mark.parametrize("rho", [1e-280, 1e-100, 1e-12, 1.0, 1e12, 1e100])
@pytest.mark.parametrize("y", [0.0, 1e-20, 0.3, 0.5, 1.0])
def test_sigmoid_is_solved_however_large_its_numbers_are(kernels, y, rho):
    q = np.concatenate([[0.0], np.geomspace(1e-12, 1e30, 43)])
    q = np.concatenate([-q, q])[:, None]
    targets = np.full_like(q, y)
    _, _, o_plus, lambda3 = take_step(kernels, SigmoidCrossEntropy(), q, targets, rho)
    u = lambda3 / rho
    assert (np.abs(o_plus - q - u) <= 4 * EPS * np.maximum(np.abs(q), np.abs(u))).all()
    at = q + u
    gradient = (1 - targets) * expit(at) - targets * expit(-at)
    # q + u is known to eps of the larger one, which changes the logarithm of a tiny gradient by as much
    size = np.maximum(np.abs(q), np.abs(u))
    error = 16 * EPS * (1 + size) * np.maximum(np.abs(lambda3), y * (1 - y)) + 1e-300
    assert (np.abs(lambda3 + gradient) <= error)[size < 1e8].all()
    in_order = lambda3[np.argsort(q[:, 0], kind="stable"), 0]
    assert (np.diff(in_order) <= 1e-12 * np.abs(in_order[1:]) + 4 * EPS * y * (1 - y)).all()
    assert (lambda3 >= y - 1).all() and (lambda3 <= y).all()


@BACKENDS
def test_sigmoid_loss_is_accurate_when_tiny_or_large(kernels):
    for o, y, expected in (
        (40.0, 1.0, np.exp(-40.0)),
        (-300.0, 0.0, np.exp(-300.0)),
        (-1e5, 1.0, 1e5),
        (1e5, 0.0, 1e5),
    ):
        loss, _ = SigmoidCrossEntropy().value(kernels, np.array([[o]]), np.array([[y]]), np.ones(1))
        assert loss == pytest.approx(expected, rel=1e-13)


@BACKENDS
@NAMES
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_not_finite_end_and_raise_no_error(kernels, name, bad):
    y = random_targets(name, np.random.default_rng(0), 1, 3)
    with np.errstate(all="ignore"):
        loss = take_step(kernels, CASES[name].loss, np.array([[bad, 0.0, 1.0]]), y, 1.0)[0]
    assert not np.isfinite(loss) or np.isinf(bad)  # a hinge, say, may be at rest at infinity


@BACKENDS
def test_losses_refuse_targets_of_the_other_kind(kernels):
    Q, labels, ones = np.zeros((3, 2)), np.zeros(3, np.intp), np.ones(3)
    for name, case in CASES.items():
        wrong = (None, Q) if case.loss.takes_labels else (labels, None)
        if kernels is not reference:
            with pytest.raises(ValueError, match="loss_value: "):
                kernels.loss_value(Q, *wrong, ones, name)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Huber(0.0), ValueError),
        (lambda: Huber(np.inf), ValueError),
        (lambda: Huber("1"), TypeError),
        (lambda: Quantile(0), ValueError),
        (lambda: Quantile(1.0), ValueError),
        (lambda: Quantile(None), TypeError),
    ],
)
def test_wrong_parameter_is_refused(make, error):
    with pytest.raises(error, match="delta|quantile"):
        make()


@pytest.mark.slow_on("40")
@NAMES
@pytest.mark.parametrize("B", [1, 2, 40])
def test_constant_loss_is_that_of_the_best_constant(name, B):
    """No random constant is better, and one that the solution of a convex problem leads to is as good."""
    rng, loss = np.random.default_rng(B), CASES[name].loss
    y, weights = random_targets(name, rng, B, 3), rng.uniform(0.1, 3, B)
    constant = loss.constant_loss(y, weights)
    for scale in (0.1, 1.0, 10.0):
        for o in scale * rng.normal(size=(200, 3)):
            assert loss.value(reference, np.tile(o, (B, 1)), y, weights)[0] >= constant - 1e-12
    # ADMM with a copy of the constant for each row: o_i = prox(z - d_i), z = mean of o_i + d_i, d_i += o_i - z
    d, z, best, shares = np.zeros((B, 3)), np.zeros(3), np.inf, weights[:, None] / weights.sum()
    for _ in range(1000):
        o = take_step(reference, loss, z - d, y, 0.5)[2]
        z = (shares * (o + d)).sum(axis=0)
        d += o - z
        best = min(best, loss.value(reference, np.tile(z, (B, 1)), y, weights)[0])
    assert best == pytest.approx(constant, rel=1e-2, abs=1e-2)


@NAMES
def test_constant_loss_leaves_rows_without_weight_out(name):
    rng, loss = np.random.default_rng(0), CASES[name].loss
    y, weights = random_targets(name, rng, 30, 3), rng.integers(1, 4, 30)
    expected = loss.constant_loss(np.repeat(y, weights, axis=0), np.ones(weights.sum()))
    garbage = np.full_like(y[:10], -1 if loss.takes_labels else np.nan)
    found = loss.constant_loss(np.concatenate([y, garbage]), np.concatenate([weights, np.zeros(10)]))
    assert found == pytest.approx(expected, rel=1e-12)


def sequences_of_noise(B, loss, K=3):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5 * B, 2))
    sums = X.reshape(B, 5, 2).sum(axis=1)
    y = np.column_stack([sums, sums[:, 0] - sums[:, 1]])[:, :K] / 4
    if loss.takes_labels:
        y = y.argmax(axis=1)
    elif getattr(loss, "name", None) == "sigmoid_cross_entropy":
        y = (y > 0).astype(float)
    network = ElmanRNN.random(2, 16, K, dtype=np.dtype("float64"), random_state=np.random.RandomState(0))
    return network, Sequences.of_lengths(X, np.full(B, 5)), y


@pytest.mark.slow_on("numpy")
@NAMES
def test_rollout_learns_with_every_loss(name, backend_name):
    loss = CASES[name].loss
    network, sequences, y = sequences_of_noise(120, loss)
    history = Rollout().solve(network, sequences, y, loss, max_epochs=20, batch_size=30, random_state=0).history
    assert history[-1]["rollout_loss"] < 0.6 * loss.constant_loss(y, np.ones(120))
    assert ("training_accuracy" in history[-1]) == loss.takes_labels


@NAMES
def test_algorithm1_refuses_the_losses_that_it_has_no_step_for(name):
    loss = CASES[name].loss
    network, sequences, y = sequences_of_noise(5, loss)
    if name in Algorithm1.losses:
        assert len(Algorithm1().solve(network, sequences, y, loss, max_epochs=1).history) == 1
    else:
        with pytest.raises(ValueError, match="has no step for"):
            Algorithm1().solve(network, sequences, y, loss)


# A user's own


class Own:
    """The squared error once more."""

    def value(self, o, y):
        return 0.5 * ((o - y) ** 2).sum(axis=1)

    def prox(self, q, y, rho):
        return (y + rho * q) / (1 + rho)


@DTYPES
def test_user_loss_takes_the_step_of_its_formulas(dtype):
    rng = np.random.default_rng(0)
    q, y, weights = *rng.normal(size=(2, 9, 3)).astype(dtype), rng.uniform(0.1, 3, 9).astype(dtype)
    weights[[2, 5]], y[[2, 5]] = 0, np.nan
    found, expected = (take_step(reference, loss, q, y, 0.7, weights) for loss in (UserLoss(Own()), SquaredError()))
    assert found[0] == pytest.approx(expected[0], rel=1e-12)
    assert found[1] is None
    for i in (2, 3):
        np.testing.assert_allclose(found[i], expected[i], rtol=0, atol=8 * np.finfo(dtype).eps)
    assert UserLoss(Own()).value(None, q, y, weights) == found[:2]
    zero = UserLoss(Own()).value(None, 0 * q, y, weights)[0]
    assert UserLoss(Own()).constant_loss(y, weights) == pytest.approx(zero, rel=1e-6)


def test_user_loss_trains_as_the_loss_that_it_is(backend_name):
    networks = []
    for loss in (UserLoss(Own()), SquaredError()):
        network, sequences, y = sequences_of_noise(60, loss)
        Rollout().solve(network, sequences, y, loss, max_epochs=3, batch_size=20, random_state=0)
        networks.append(network)
    np.testing.assert_allclose(networks[0].Theta, networks[1].Theta, rtol=0, atol=1e-10)
    np.testing.assert_allclose(networks[0].Psi, networks[1].Psi, rtol=0, atol=1e-10)


def test_user_loss_of_class_numbers():
    class Margin:
        """max(0, 1 - t o) once more."""

        takes_labels = True

        def value(self, o, y):
            return CASES["hinge"].R(o, y)

        def prox(self, q, y, rho):
            return LOSSES["hinge"].prox(q, y, rho, 0.0, 0.0)[0]

        def constant_loss(self, y, weights):
            return Hinge().constant_loss(y, weights)

    rng = np.random.default_rng(0)
    q, y, weights = rng.normal(size=(9, 3)), rng.integers(0, 3, 9), np.ones(9)
    weights[4], y[4] = 0, -1
    found, expected = (take_step(reference, loss, q, y, 0.7, weights) for loss in (UserLoss(Margin()), Hinge()))
    assert found[0] == pytest.approx(expected[0])
    np.testing.assert_allclose(found[3], expected[3], atol=1e-14)
    assert UserLoss(Margin()).constant_loss(y, weights) == Hinge().constant_loss(y, weights)


def own(**methods):
    """A loss of which some methods have been replaced by a function of the outputs."""
    loss = Own()
    for name, function in methods.items():
        setattr(loss, name, lambda o, *_, function=function: function(o))
    return loss


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"value": lambda o: 0.0}, TypeError, "value of Own returned float"),
        ({"value": lambda o: o}, ValueError, r"value of Own returned an array of shape \(4, 2\); it must be of shape"),
        ({"value": lambda o: np.full(4, np.nan)}, ValueError, "value of Own returned values that are not finite"),
        ({"value": lambda o: np.full(4, "a")}, TypeError, "value of Own returned an array of <U1"),
        ({"prox": lambda o: None}, TypeError, "prox of Own returned NoneType"),
        ({"prox": lambda o: o[:, 0]}, ValueError, r"prox of Own returned an array of shape \(4,\)"),
        ({"prox": lambda o: o * np.inf}, ValueError, "prox of Own returned values that are not finite"),
        ({"prox": lambda o: o + 0j}, TypeError, "prox of Own returned an array of complex128"),
    ],
)
def test_user_loss_that_returns_nonsense_is_refused(change, error, match):
    q = np.ones((4, 2))
    with pytest.raises(error, match=match):
        take_step(None, UserLoss(own(**change)), q, 0 * q, 1.0)


def test_user_loss_without_its_methods_is_refused():
    with pytest.raises(TypeError, match="has no method 'value'"):
        UserLoss("squared_error")
    loss = Own()
    loss.prox = None
    with pytest.raises(TypeError, match="has no method 'prox'"):
        UserLoss(loss)
    with pytest.raises(ValueError, match="constant_loss of Own is nan"):
        UserLoss(own(constant_loss=lambda _: np.nan)).constant_loss(np.zeros((2, 1)), np.ones(2))


def test_a_user_loss_below_zero_is_refused_before_training():
    X, y = np.zeros((8, 3, 1)), np.arange(8.0)
    for loss, of_what in (
        (own(value=lambda o: np.full(len(o), -1.5)), "of outputs that are zero"),
        (own(constant_loss=lambda _: -1.5), "of the best constant output"),
    ):
        with pytest.raises(ValueError, match=f"the loss {of_what} is -1.5 with Own; it must be at least 0"):
            RNNRegressor(3, loss=loss, max_epochs=1).fit(X, y)
    assert UserLoss(own(constant_loss=lambda _: -1e-17)).constant_loss(np.zeros((2, 1)), np.ones(2)) == 0


def test_user_loss_of_a_network_that_has_overflowed_is_not_asked():
    q = np.array([[np.inf, 0.0], [1.0, 0.0]])
    assert np.isnan(take_step(None, UserLoss(Own()), q, np.zeros((2, 2)), 1.0)[0])
