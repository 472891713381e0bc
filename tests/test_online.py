"""Learning on line: the factor on the step length, the test of whether the law has changed, partial_fit with both."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from admmirnn import RNNClassifier, RNNRegressor, Rollout
from admmirnn.datasets import load_digits
from admmirnn.solvers.rollout.online import OnlineSchedule


def noisy(level, n, seed=0, noise=0.3):
    return level * np.exp(noise * np.random.default_rng(seed).normal(size=n))


def schedule_of(constant_loss=2.3):
    schedule = OnlineSchedule()
    schedule.begin_call(constant_loss, 36)
    return schedule


@given(st.lists(st.floats(0, 1e6) | st.sampled_from([math.nan, math.inf, -math.inf]), max_size=80))
def test_the_factor_falls_until_the_law_changes(losses):
    schedule = schedule_of()
    for loss in losses:
        before = schedule.factor
        changed = schedule.observe(loss)
        assert schedule.factor == 1 if changed else 0.02 <= schedule.factor <= before
        assert all(math.isfinite(value) for value in vars(schedule.state()).values())


def test_the_factor_goes_with_the_root_of_the_iterations():
    schedule, found = schedule_of(), []
    for loss in noisy(0.5, 200_000, noise=0.0):
        schedule.observe(loss)
        found.append(schedule.factor)
    assert found[0] == 1
    assert found[50] == pytest.approx(math.sqrt(0.5))
    assert found[-1] == 0.02


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_change(seed):
    schedule = schedule_of()
    falling = 0.2 + 2 / (1 + np.arange(2000) / 20)
    assert not any(schedule.observe(loss) for loss in noisy(1, 2000, seed) * falling)


@pytest.mark.parametrize("seed", range(20))
def test_a_change_is_seen_at_once(seed):
    schedule = schedule_of()
    for loss in noisy(0.1, 300, seed):
        assert not schedule.observe(loss)
    seen = [schedule.observe(loss) for loss in noisy(3.0, 10, seed + 100)]
    assert sum(seen) == 1
    assert seen.index(True) < 5
    assert schedule.factor > 0.9


def test_a_small_rise_is_followed_without_a_new_start():
    schedule = schedule_of()
    for loss in np.r_[noisy(0.1, 300, noise=0.01), noisy(0.3, 300, noise=0.01)]:
        assert not schedule.observe(loss)  # a tenth of what was gained


def test_the_state_is_all_that_counts():
    first, losses = schedule_of(), noisy(0.3, 100)
    for loss in losses[:50]:
        first.observe(loss)
    other = OnlineSchedule()
    other.go_on_from(first.state())
    for loss in losses[50:]:
        assert first.observe(loss) == other.observe(loss)
    assert first.state() == other.state()


def test_the_loss_of_a_constant_is_a_mean_over_calls():
    schedule = OnlineSchedule()
    for loss, n in ((2.0, 30), (1.0, 10), (0.0, 40)):
        schedule.begin_call(loss, n)
    assert schedule.constant_loss == pytest.approx(70 / 80)


def test_the_loss_of_a_constant_rises_from_zero():
    """The targets of the first call may all be the same, as that of a single sequence is."""
    schedule = OnlineSchedule()
    schedule.begin_call(0.0, 1)
    schedule.begin_call(2.0, 99)
    assert schedule.constant_loss == pytest.approx(1.98)
    schedule.begin_call(1e6, 100)  # one bad call does not hide all that follows
    assert schedule.constant_loss <= 4 * 1.98


def digits(seed=0):
    X, y = load_digits()
    return train_test_split(X, y, test_size=0.2, stratify=y, random_state=seed)


def learn(model, X, y, passes, rng, size=36):
    for _ in range(passes):
        for some in np.array_split(rng.permutation(len(X)), len(X) // size):
            model.partial_fit(X[some], y[some], classes=range(10))
    return model


def test_a_call_of_few_sequences_is_one_minibatch():
    X, _, y, _ = digits()
    model = learn(RNNClassifier(16, random_state=0), X[:108], y[:108], 1, np.random.default_rng(0))
    assert model._memory.n_remembered == 3
    model = RNNClassifier(16, random_state=0).partial_fit(X[:500], y[:500], classes=range(10))
    assert model._memory.n_remembered == -(-500 // 64)


def test_weights_settle_and_follow_a_change_of_law():
    X, X_test, y, y_test = digits()
    rng = np.random.default_rng(0)
    model = learn(RNNClassifier(random_state=0), X, y, 5, rng)
    assert model.score(X_test, y_test) > 0.96
    other_law = rng.permutation(10)
    before = model._memory.online.iterations
    learn(model, X, other_law[y], 2, rng)
    assert model._memory.online.iterations < before
    assert model.score(X_test, other_law[y_test]) > 0.93
    assert sum(record["rollbacks"] for record in model.history_) == 0


def test_a_fit_counts_as_iterations():
    X, _, y, _ = digits()
    model = RNNClassifier(16, max_epochs=3, random_state=0).fit(X[:250], y[:250])
    n_iterations = 3 * -(-250 // 31)
    assert model._memory.online.iterations == n_iterations
    model.partial_fit(X[250:280], y[250:280])
    assert model._memory.online.iterations == n_iterations + 1


def test_a_constant_schedule_is_constant():
    X, _, y, _ = digits()
    model = RNNClassifier(16, solver=Rollout(schedule="constant", r=1e6), random_state=0)
    learn(model, X[:108], y[:108], 10, np.random.default_rng(0))
    assert model.history_[-1]["r"] == pytest.approx(1e6)
    falling = RNNClassifier(16, solver=Rollout(r=1e6), random_state=0)
    learn(falling, X[:108], y[:108], 10, np.random.default_rng(0))
    assert falling.history_[-1]["r"] == pytest.approx(1e6 * math.sqrt(1 + 29 / 50))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("radius", [10.0, None])
def test_the_guard_is_kept_from_call_to_call(radius):
    """A ruinous setting is rolled back once and for all, though no call has a window of its own."""
    X, X_test, y, y_test = digits()
    solver = Rollout(radius=radius, output_radius=radius, r=1e-3)
    model = learn(RNNClassifier(32, solver=solver, random_state=0), X, y, 4, np.random.default_rng(0))
    assert 0 < sum(record["rollbacks"] for record in model.history_) < 5
    assert model._memory.layers[0].radius < 0.1
    assert model.score(X_test, y_test) > 0.85


def test_the_number_of_batches_does_not_matter_to_a_long_call():
    """One call of all sequences is a pass over minibatches."""
    X, X_test, y, y_test = digits()
    model = RNNClassifier(random_state=0)
    for _ in range(6):
        model.partial_fit(X, y, classes=range(10))
    assert model.score(X_test, y_test) > 0.96


def test_one_bad_minibatch_is_no_change():
    schedule = schedule_of()
    for i, loss in enumerate(noisy(0.1, 300)):
        assert not schedule.observe(200.0 if i == 200 else loss)


@pytest.mark.parametrize("gap", [20, 40, 80])
def test_changes_that_follow_one_another_are_seen(gap):
    """Each law is learnt as fast as the others; what varied while the loss fell is not noise."""
    schedule, n_seen = schedule_of(), 0
    for law in range(6):
        losses = noisy(1, gap, law, noise=0.1) * (0.05 + 3 * np.exp(-np.arange(gap) / 5))
        seen = [schedule.observe(loss) for loss in losses]
        n_seen += sum(seen[:5])
        assert not any(seen[5:])
    assert n_seen == 5


@pytest.mark.parametrize("size", [1e4, 1e8])
def test_one_bad_call_is_rolled_back_and_forgotten(size):
    rng = np.random.default_rng(0)
    model = RNNRegressor(16, random_state=0)
    scores, X_test = [], rng.normal(size=(300, 6, 2))
    for call in range(120):
        X = rng.normal(size=(32, 6, 2))
        noise = size * rng.normal(size=32) if call == 90 else 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.partial_fit(X, X.sum(axis=(1, 2)) + 3 + noise)
        scores.append(model.score(X_test, X_test.sum(axis=(1, 2)) + 3))
    assert scores[89] > 0.95
    assert min(scores[92:]) > 0.9


@pytest.mark.parametrize(("n_calls", "size"), [(6, 600), (12, 250), (60, 64)])
def test_laws_that_change_again_and_again_are_learnt(n_calls, size):
    rng = np.random.default_rng(1)
    model, scores = RNNRegressor(16, random_state=0), []
    for law in range(4):
        for _ in range(n_calls):
            X = rng.normal(size=(size, 6, 2))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.partial_fit(X, (-1) ** law * (X.sum(axis=(1, 2)) + 3))
        X = rng.normal(size=(300, 6, 2))
        scores.append(model.score(X, (-1) ** law * (X.sum(axis=(1, 2)) + 3)))
    assert min(scores) > 0.75
    assert model._memory.layers[0].radius > 1e-3


def test_a_call_with_the_other_metric_counts_as_well():
    X, _, y, _ = digits()
    model = RNNClassifier(16, random_state=0)
    counts = []
    for metric in ("multipliers", "multipliers", "identity", "multipliers"):
        model.set_params(solver=Rollout(metric=metric)).partial_fit(X[:16], y[:16], classes=range(10))
        counts.append(model._memory.online.iterations)
    assert counts == [1, 2, 3, 4]


def test_a_solver_that_an_older_version_has_pickled_keeps_its_number():
    solver = Rollout(radius=0.02)
    state = solver.__getstate__()
    state.pop("metric")
    older = Rollout.__new__(Rollout)
    older.__setstate__(state)
    assert older.get_params() == Rollout(radius=0.02, metric="identity").get_params()
