"""The o-step: exact proximal points, multipliers, losses and numbers of right answers, on both back ends."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import logsumexp, softmax

from admmirnn import backend, reference
from admmirnn.losses import SoftmaxCrossEntropy, SquaredError

BACKENDS = pytest.mark.parametrize("kernels", [backend._compiled(), reference], ids=["compiled", "numpy"])
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
EPS = np.finfo(np.float64).eps


def cross_entropy_step(kernels, Q, labels, weights=None, rho=1.0):
    """Loss, number of right answers, o+ and lambda3."""
    Q = np.array(Q)
    weights = np.ones(len(Q), Q.dtype) if weights is None else weights
    O_plus, lambda3 = np.full_like(Q, np.nan), np.full_like(Q, np.nan)
    loss, n_correct = kernels.cross_entropy_step(Q, np.array(labels, np.intp), weights, rho, O_plus, lambda3)
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


@BACKENDS
@settings(deadline=None, max_examples=100)
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


@BACKENDS
@settings(deadline=None, max_examples=50)
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
@settings(deadline=None, max_examples=50)
@given(problem=prox_problems(), seed=st.integers(0, 2**32 - 1))
def test_cross_entropy_loss_and_number_of_right_answers(kernels, dtype, problem, seed):
    q, labels, rho = problem
    q = q.astype(dtype)
    weights = np.random.default_rng(seed).uniform(0.1, 3, len(q)).astype(dtype)
    loss, n_correct, _, _ = cross_entropy_step(kernels, q, labels, weights, rho)
    exact = q.astype(np.float64)
    R = logsumexp(exact, axis=1) - exact[np.arange(len(q)), labels]
    assert loss == pytest.approx(np.mean(weights * R), rel=1e-6 if dtype is np.float32 else 1e-12, abs=1e-11)
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
    np.testing.assert_array_equal(o_plus[0], q[0])


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
    loss = kernels.squared_error_step(Q, targets, weights, rho, O_plus, lambda3)
    q, y, w = Q.astype(np.float64), targets.astype(np.float64), weights.astype(np.float64)[:, None]
    o_plus = (y + rho * q) / (1 + rho)
    atol = 16 * np.finfo(dtype).eps
    np.testing.assert_allclose(O_plus, o_plus, rtol=0, atol=atol)
    np.testing.assert_allclose(lambda3, -w * (o_plus - y), rtol=0, atol=atol)
    assert loss == pytest.approx(
        np.mean(w[:, 0] * 0.5 * ((q - y) ** 2).sum(axis=1)), rel=16 * float(np.finfo(dtype).eps)
    )


@BACKENDS
@DTYPES
def test_squared_error_is_finite_at_huge_outputs(kernels, dtype):
    Q, targets = np.array([[1e4, -1e4]], dtype), np.array([[-1e4, -1e4]], dtype)
    O_plus, lambda3 = np.empty_like(Q), np.empty_like(Q)
    loss = kernels.squared_error_step(Q, targets, np.ones(1, dtype), 1.0, O_plus, lambda3)
    assert loss == pytest.approx(2e8, rel=1e-6)
    np.testing.assert_allclose(O_plus, [[0, -1e4]])
    np.testing.assert_allclose(lambda3, [[-1e4, 0]])


@BACKENDS
def test_loss_objects_call_their_kernels(kernels):
    rng = np.random.default_rng(0)
    Q, weights = rng.normal(size=(5, 3)), rng.uniform(0.5, 2, 5)
    labels, values = rng.integers(0, 3, 5).astype(SoftmaxCrossEntropy.target_dtype), rng.normal(size=(5, 3))
    O_plus, lambda3 = np.empty_like(Q), np.empty_like(Q)
    loss, n_correct = SoftmaxCrossEntropy().step(kernels, Q, labels, weights, 0.5, O_plus, lambda3)
    assert (loss, n_correct) == cross_entropy_step(kernels, Q, labels, weights, 0.5)[:2]
    loss, n_correct = SquaredError().step(kernels, Q, values, weights, 0.5, O_plus, lambda3)
    assert loss == pytest.approx(np.mean(weights * 0.5 * ((Q - values) ** 2).sum(axis=1)))
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
