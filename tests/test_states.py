"""States before the first step, streams trained chunk by chunk, and training that goes on."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from admmirnn import Algorithm1, CharacterModel, RNNClassifier, RNNRegressor, Rollout, backend
from admmirnn.data.sequences import Sequences
from admmirnn.losses import SoftmaxCrossEntropy, SquaredError
from admmirnn.networks import ElmanRNN
from admmirnn.penalties import GroupLasso, Lasso, SpectralBall
from admmirnn.solvers.rollout.iteration import Fit
from admmirnn.solvers.rollout.order import Carried, Shuffled
from admmirnn.solvers.rollout.problem import Problem
from admmirnn.solvers.rollout.state import InitialState

pytestmark = pytest.mark.elman


def random_network(n=5, d=2, K=3, s_0=None):
    rng = np.random.default_rng(0)
    shapes = {"U": (n, d), "W": (n, n), "b": (n,), "V": (K, n), "c": (K,)}
    weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    weights["W"] *= 0.5
    return ElmanRNN.of_weights(weights if s_0 is None else weights | {"s_0": s_0})


def fit_of(network, sequences, targets, loss, order=None, **settings):
    batch_size = settings.pop("batch_size", len(sequences))
    order = order or Shuffled(network, sequences, batch_size, False, None)
    return Fit(Rollout(**settings), Problem(network, order, targets, loss, n_iterations=10))


@pytest.fixture(params=["compiled", "numpy"])
def kernels(request, monkeypatch):
    if request.param == "numpy":
        from admmirnn import reference

        monkeypatch.setattr(backend, "kernels", lambda: reference)


# Streams


@settings(max_examples=200)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=8),
    st.integers(1, 9),
    st.one_of(st.none(), st.integers(1, 10)),
    st.integers(1, 5),
)
def test_chunks_are_all_steps_in_order_and_once(lengths, chunk_size, n_streams, batch_size):
    X = np.arange(sum(lengths) * 2.0).reshape(-1, 2)
    whole = Sequences.of_lengths(X, lengths)
    streams = whole.in_chunks(chunk_size, n_streams)
    chunks = streams.chunks
    rows = [first + np.arange(length) for first, length in zip(chunks.first_rows, chunks.lengths, strict=True)]
    np.testing.assert_array_equal(np.concatenate(rows), np.arange(len(X)))
    assert chunks.lengths.max() <= chunk_size
    starts = chunks.first_rows[streams.first_chunks]
    np.testing.assert_array_equal(starts[streams.follows < 0], whole.first_rows)
    assert (streams.follows[streams.follows >= 0] == np.flatnonzero(streams.follows >= 0) - 1).all()
    if n_streams is None:
        assert len(streams) == len(lengths)
    else:
        assert len(streams) < n_streams + len(lengths)
    for stream in range(len(streams)):  # all chunks but the last one are full
        of_stream = chunks.lengths[streams.stream_of == stream]
        assert (of_stream[:-1] == chunk_size).all()
    groups = streams.groups(batch_size)
    assert sorted(np.concatenate(groups)) == list(range(len(streams)))
    taken = [indices for group in groups for indices in streams.minibatches(group)]
    assert len(taken) == streams.n_batches(batch_size)
    assert max(map(len, taken)) <= batch_size
    order = np.concatenate(taken)
    assert sorted(order) == list(range(len(chunks)))
    place = np.argsort(order)
    for stream in range(len(streams)):
        assert (np.diff(place[streams.stream_of == stream]) > 0).all()


def test_chunks_of_frames_read_what_the_whole_reads():
    X = np.random.default_rng(0).normal(size=(100, 2))
    whole = Sequences.of_lengths(X, [60, 40]).framed(5, 3)
    chunks = whole.in_chunks(4, 3).chunks
    inputs = [chunks.minibatch(np.array([i])).inputs() for i in range(len(chunks))]
    of_whole = [whole.minibatch(np.array([i])).inputs() for i in range(2)]
    np.testing.assert_array_equal(np.concatenate(inputs), np.concatenate(of_whole))


@pytest.mark.parametrize("s_0", [None, "given"])
def test_states_of_chunks_are_those_of_the_whole(kernels, s_0):
    """With weights that stay, chunk by chunk is the same roll-out; also where streams follow one another."""
    rng = np.random.default_rng(1)
    lengths = [31, 7, 18]
    X = rng.normal(size=(sum(lengths), 2))
    network = random_network(s_0=rng.normal(size=5) if s_0 else None)
    whole = Sequences.of_lengths(X, lengths)
    expected = network.outputs(whole, every_step=True)
    streams = whole.in_chunks(4, 5)
    order = Carried(network, streams, 3, True, np.random.RandomState(0))
    targets = np.zeros(len(X), np.intp)
    fit = fit_of(network, streams.chunks, targets, SoftmaxCrossEntropy(), order, batch_size=3)
    for _ in range(5):  # epochs: a stream learns in each from the one it follows
        found = np.full_like(expected, np.nan)
        for indices in order.epoch():
            fit.take(indices)
            fit.sweep_forward()
            batch = fit.works[0][0].batch
            sequence_of, step_of = batch.rows()
            found[streams.chunks.first_steps[sequence_of] + step_of] = fit.works[0][0].Q[batch.rows_of_outputs()]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_long_sequences_are_rolled_out_in_parts(monkeypatch, kernels, every_step, n_threads):
    rng = np.random.default_rng(2)
    lengths = [50, 3, 700, 1, 64, 65, 128]
    sequences = Sequences.of_lengths(rng.normal(size=(sum(lengths), 2)), lengths)
    for s_0 in (None, rng.normal(size=5)):
        network = random_network(s_0=s_0)
        expected = network.outputs(sequences, every_step=every_step)
        with monkeypatch.context() as patched:
            patched.setattr("admmirnn.networks.rolling._ROWS_AT_A_TIME", 64)
            found = network.outputs(sequences, every_step=every_step, n_threads=n_threads)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def echo(n_steps, delay=3, seed=0, n_streams=1):
    """A sign at each step, and as label the one ``delay`` steps before."""
    rng = np.random.default_rng(seed)
    X = rng.choice([-1.0, 1.0], size=(n_streams, n_steps, 1))
    y = np.full((n_streams, n_steps), -1, int)
    y[:, delay:] = X[:, :-delay, 0] > 0
    return X, y


def test_state_is_carried_over_the_border_of_chunks():
    """With chunks of one step, only the state can tell what came before; without it the label is a coin's."""
    X, y = echo(6000)
    options = {"ignore_label": -1, "random_state": 0, "chunk_size": 1, "max_epochs": 6, "penalty": 0.0}
    carried = RNNClassifier(64, stateful=True, batch_size=8, **options).fit(X, y)
    Xt, yt = echo(500, seed=1)
    assert carried.score(Xt, yt) > 0.95
    with pytest.warns(UserWarning, match="sequences of a single step each"):
        alone = RNNClassifier(64, batch_size=8, **options).fit(X.reshape(-1, 1, 1), y.ravel())
    assert max(record["training_accuracy"] for record in alone.history_) < 0.6


def test_one_long_stream_is_cut_into_streams_that_train_side_by_side():
    X, y = echo(8000)
    model = RNNClassifier(32, stateful=True, ignore_label=-1, random_state=0, max_epochs=4).fit(X, y)
    Xt, yt = echo(500, seed=1)
    assert model.score(Xt, yt) > 0.98
    assert model.predict(Xt).shape == yt.shape
    again = clone(model).fit(X, y)
    np.testing.assert_array_equal(again.W_, model.W_)


def long_series(n=1, n_steps=1000):
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(n_steps, 2)) for _ in range(n)]
    return X, [(x[:, 0] > 0).astype(int) for x in X]


def small_classifier(**options):
    return RNNClassifier(4, max_epochs=1, random_state=0, **options)


@pytest.mark.parametrize("n", [1, 15])
def test_a_few_long_series_with_labels_of_steps_are_streams_by_default(n):
    X, y = long_series(n)
    found = small_classifier().fit(X, y)
    asked = small_classifier(stateful=True, dropout=0.3).fit(X, y)
    np.testing.assert_array_equal(found.W_, asked.W_)
    np.testing.assert_array_equal(
        small_classifier(dropout=0.0).fit(X, y).W_, small_classifier(stateful=True, dropout=0.0).fit(X, y).W_
    )
    assert clone(found).stateful == clone(found).dropout == "auto"
    again = small_classifier().partial_fit(X, y, classes=[0, 1])
    np.testing.assert_array_equal(again.W_, small_classifier(stateful=False).partial_fit(X, y, classes=[0, 1]).W_)
    several = small_classifier(n_networks=2).fit(X, y)
    expected = small_classifier(n_networks=2, stateful=True, dropout=0.3).fit(X, y)
    np.testing.assert_array_equal(several.estimators_[1].W_, expected.estimators_[1].W_)


@pytest.mark.parametrize(
    ("n", "n_steps", "options"),
    [
        (16, 1000, {}),
        (1, 999, {}),
        (1, 1000, {"bidirectional": True}),
        (1, 1000, {"augment": {"noise": 0.1}}),
        (1, 1000, {"loss": "sigmoid_cross_entropy"}),
        (1, 1000, {"solver": "algorithm1"}),
    ],
    ids=str,
)
def test_other_sequences_are_read_as_wholes_by_default(n, n_steps, options):
    X, y = long_series(n, n_steps)
    if "loss" in options:
        y = [np.stack([one, 1 - one], axis=1) for one in y]
    found = small_classifier(**options).fit(X, y)
    asked = small_classifier(stateful=False, dropout=0.0, **options).fit(X, y)
    np.testing.assert_array_equal(found.V_, asked.V_)
    one_each = RNNClassifier(4, max_epochs=1, random_state=0).fit(long_series(4)[0], [0, 1, 0, 1])
    np.testing.assert_array_equal(one_each.W_, small_classifier(stateful=False).fit(long_series(4)[0], [0, 1, 0, 1]).W_)


@pytest.mark.parametrize(("name", "value"), [("stateful", "yes"), ("dropout", "some")])
def test_what_may_be_auto_says_so(name, value):
    X, y = long_series()
    with pytest.raises((TypeError, ValueError), match=f"{name} is '{value}'.*or 'auto'"):
        small_classifier(**{name: value}).fit(X, y)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_streams_of_unequal_lengths_some_without_targets(activation):
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(length, 2)) for length in (300, 40, 555, 7)]
    Y = [np.convolve(x[:, 0], [0.5, 0.3], "full")[: len(x)] for x in X]
    Y[2][:200] = np.nan
    Y[1][:] = np.nan
    model = RNNRegressor(16, stateful=True, batch_size=3, max_epochs=10, random_state=0, activation=activation)
    model.fit(X, Y)
    assert model.score(X, Y) > 0.9
    assert all(np.isfinite(record["rollout_loss"]) for record in model.history_)


@pytest.mark.parametrize("limit", [{"solver": Rollout(max_iter=1)}, {"max_time": 1e-9}], ids=str)
def test_a_fit_may_end_before_the_first_target(limit):
    X, values = np.random.default_rng(0).normal(size=(1, 100, 1)), np.full((1, 100), np.nan)
    values[0, 50:] = X[0, 50:, 0]
    labels = np.where(np.isnan(values), -1, values > 0).astype(int)
    options = {"stateful": True, "batch_size": 1, "random_state": 0, **limit}
    for model, y in ((RNNRegressor(4, **options), values), (RNNClassifier(4, ignore_label=-1, **options), labels)):
        (record,) = model.fit(X, y).history_
        assert "training_accuracy" not in record and record["rollout_loss"] == np.inf
        assert np.isfinite(np.concatenate(model.predict(X))).all()


def test_stateful_training_survives_a_ruinous_radius():
    X, y = echo(3000)
    solver = Rollout(radius=5.0, output_radius=50.0, r=0.0)
    with pytest.warns(UserWarning, match="went back"):
        model = RNNClassifier(16, stateful=True, ignore_label=-1, solver=solver, random_state=0, max_epochs=4).fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()
    assert model.score(X, y) > 0.6


def test_stateful_is_refused_where_it_means_nothing():
    X, y = np.zeros((20, 6, 1)), np.arange(20) % 2
    labels = np.tile([0, 1], (20, 3))
    with pytest.raises(ValueError, match="one target per sequence; pass one for each step"):
        RNNClassifier(stateful=True).fit(X, y)
    with pytest.raises(ValueError, match="stateful=True reads every state"):
        RNNClassifier(stateful=True, readout="mean").fit(X, labels)
    with pytest.raises(ValueError, match="stateful is True, which Algorithm1 does not have"):
        RNNClassifier(stateful=True, solver="algorithm1").fit(X, labels)
    with pytest.raises(TypeError, match="stateful is 1"):
        RNNClassifier(stateful=1).fit(X, labels)
    with pytest.raises(ValueError, match="chunk_size is 0"):
        RNNClassifier(stateful=True, chunk_size=0).fit(X, labels)


# s_0


@pytest.mark.parametrize("every_step", [False, True])
def test_multipliers_of_s_0_are_minus_the_gradient(kernels, every_step):
    rng = np.random.default_rng(3)
    lengths = [4, 9, 1, 6]
    sequences = Sequences.of_lengths(rng.normal(size=(sum(lengths), 2)), lengths)
    network = random_network(s_0=0.3 * rng.normal(size=5))
    network.learns_s_0 = True
    targets = rng.normal(size=(sum(lengths) if every_step else 4, 3))
    fit = fit_of(network, sequences, targets, SquaredError(), rho=1e9, multiplier_cap=None)

    def loss():
        fit.take(np.arange(4))
        fit.sweep_forward()
        return fit.batch_loss

    loss()
    fit.sweep_backward()
    fit.agree()
    fit.fold()
    (states,) = fit.initial_states
    found = states.M / (1 - fit.settings.momentum)
    expected, h = np.empty(5), 1e-5
    for j in range(5):
        s = network.s_0[j]
        network.s_0[j] = s + h
        above = loss()
        network.s_0[j] = s - h
        expected[j] = -(above - loss()) / (2 * h)
        network.s_0[j] = s
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_s_0_is_learnt_where_the_data_start_in_the_middle():
    """A decay from 1 at the first step, which a network at rest cannot know of; observations are noise."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(64, 12, 1))
    Y = np.tile(0.7 ** np.arange(12), (64, 1))
    options = {
        "max_epochs": 60,
        "random_state": 0,
        "penalty": 0.0,
        "batch_size": 8,
        "scale_targets": False,
        "targets": "step",
    }
    learnt = RNNRegressor(8, s_0="learn", **options).fit(X, Y)
    assert learnt.s_0_.shape == (8,) and learnt.s_0_.dtype == np.float32
    assert np.abs(learnt.s_0_).max() > 0.1
    zero = RNNRegressor(8, **options).fit(X, Y)
    assert zero.s_0_ is None
    assert learnt.history_[-1]["rollout_loss"] < 0.5 * zero.history_[-1]["rollout_loss"]


@pytest.mark.parametrize("names", [("s_0",), ("s_0", "s_0_2"), ("s_0", "c_0", "c_0_2")])
def test_learning_s_0_starts_from_init(names):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 6, 1)), np.arange(40) % 2
    init = {name: rng.normal(size=8) for name in names}
    several, cell = "_2" in names[-1], "lstm" if "c_0" in names else "elman"
    options = {"hidden_size": (8, 8) if several else 8, "cell": cell, "init": init, "random_state": 0}
    model = RNNClassifier(s_0="learn", solver=Rollout(radius=1e-9), max_epochs=1, **options).fit(X, y)
    for name, state in init.items():
        np.testing.assert_allclose(vars(model)[f"{name}_"], state, atol=1e-6)
    with pytest.raises(ValueError, match="a key of init is 's_0'"):
        RNNClassifier(**options).fit(X, y)


def test_s_0_given_is_kept_and_used(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 5, 2)), rng.integers(0, 2, 60)
    s_0 = np.linspace(-0.5, 0.5, 8)
    model = RNNClassifier(8, s_0=s_0, max_epochs=3, random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.s_0_, s_0.astype(np.float32))
    s = np.tile(model.s_0_, (60, 1))
    for t in range(5):
        s = np.tanh(X[:, t] @ model.U_.T + s @ model.W_.T + model.b_)
    expected = s @ model.V_.T + model.c_
    np.testing.assert_array_equal(model.predict(X), model.classes_[expected.argmax(axis=1)])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), model.predict_proba(X))
    np.testing.assert_allclose(model.prune().predict_proba(X), model.predict_proba(X), atol=1e-6)
    assert clone(model).s_0 is not None


@pytest.mark.parametrize(
    ("s_0", "message"),
    [
        ("zero", "s_0 is 'zero'; pass 'learn', an array"),
        (np.zeros(7), r"s_0 has the shape \(7,\)"),
        (np.full(8, np.nan), "s_0 contains NaN"),
        (np.full(8, 1e300), "s_0 contains NaN or infinity, as float32"),
        (["a"] * 8, "s_0"),
    ],
)
def test_s_0_that_is_no_state_is_refused(s_0, message):
    with pytest.raises((ValueError, TypeError), match=message):
        RNNClassifier(8, s_0=s_0).fit(np.zeros((20, 3, 1)), np.arange(20) % 2)
    if isinstance(s_0, str):
        with pytest.raises(ValueError, match="s_0 is 'learn', which Algorithm1 does not have"):
            RNNClassifier(8, s_0="learn", solver=Algorithm1()).fit(np.zeros((20, 3, 1)), np.arange(20) % 2)


def test_bad_first_states_are_rolled_back_with_the_weights():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 6, 2)), rng.integers(0, 2, 200)
    solver = Rollout(radius=5.0, output_radius=50.0, r=0.0)
    with pytest.warns(UserWarning, match="went back"):
        model = RNNClassifier(8, s_0="learn", solver=solver, random_state=0).fit(X, y)
    assert np.isfinite(model.s_0_).all()


# partial_fit


def waves(n, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    t = np.arange(15)
    phase = rng.uniform(0, 6, n)[:, None]
    return np.sin((0.5 + 0.4 * y[:, None]) * t + phase)[:, :, None] + 0.2 * rng.normal(size=(n, 15, 1)), y


def test_partial_fit_learns_from_one_piece_after_the_other():
    X, y = waves(3000)
    Xt, yt = waves(500, 1)
    model = RNNClassifier(32, random_state=0, batch_size=50)
    assert model.partial_fit(X[:50], y[:50], classes=[0, 1]) is model
    for first in range(50, 3000, 50):
        model.partial_fit(X[first : first + 50], y[first : first + 50])
    assert model.score(Xt, yt) > 0.95
    assert [record["epoch"] for record in model.history_] == list(range(1, 61))
    assert model.n_iter_ == 60


def test_partial_fit_is_one_long_run_of_the_solver():
    """The same minibatches in one call, with a constant schedule, give the same weights."""
    X, y = waves(200)
    options = {"random_state": 0, "batch_size": 50, "shuffle": False, "dtype": "float64", "penalty": 0.3}
    solver = Rollout(schedule="constant")
    whole = RNNClassifier(16, solver=solver, max_epochs=1, **options).fit(X, y)
    pieces = RNNClassifier(16, solver=solver, **options)
    for first in range(0, 200, 50):
        pieces.partial_fit(X[first : first + 50], y[first : first + 50], classes=[0, 1])
    for name in ("U_", "W_", "b_", "V_", "c_"):
        np.testing.assert_array_equal(getattr(pieces, name), getattr(whole, name))


def test_partial_fit_goes_on_after_fit_and_after_pickling():
    X, y = waves(300)
    model = RNNClassifier(16, random_state=0, max_epochs=2, s_0="learn").fit(X, y).partial_fit(X, y)
    other = pickle.loads(pickle.dumps(model))
    before = model.W_.copy()
    model.partial_fit(X, y)
    other.partial_fit(X, y)
    np.testing.assert_array_equal(model.W_, other.W_)
    np.testing.assert_array_equal(model.s_0_, other.s_0_)
    assert not np.array_equal(model.W_, before)
    assert len(model.history_) == 4


def test_a_pickle_of_a_fit_is_of_its_weights_and_a_copy_has_all():
    X, y = waves(60)
    model = RNNClassifier(16, random_state=0, max_epochs=2).fit(X, y)
    copied, pickled = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    assert pickled._memory is None and model._memory is not None
    assert not np.shares_memory(copied._memory.layers[0].G, model._memory.layers[0].G)
    np.testing.assert_array_equal(copied.partial_fit(X, y).W_, model.partial_fit(X, y).W_)
    assert pickled.partial_fit(X, y)._memory.n_remembered < model._memory.n_remembered  # with statistics of its own


@pytest.mark.parametrize("cell", ["elman", "fastgrnn", "ugrnn", "gru", "lstm"])
@pytest.mark.parametrize(
    "options",
    [{}, {"hidden_size": (30, 20)}, {"bidirectional": True}, {"n_networks": 2}, {"penalties": {"W": Lasso(1e-3)}}],
    ids=str,
)
def test_pickles_and_files_are_hardly_larger_than_the_weights(cell, options, tmp_path):
    X = np.random.default_rng(0).normal(size=(6, 3, 20))
    options = {"hidden_size": 64, "cell": cell, "max_epochs": 1, "random_state": 0, "dtype": "float64"} | options
    text = {name: value for name, value in options.items() if name not in ("bidirectional", "n_networks")}
    for model in (
        RNNClassifier(**options).fit(X, np.arange(6) % 2),
        RNNRegressor(**options).fit(X, X[:, 0, 0]),
        CharacterModel(**text).fit("to be or not to be"),
    ):
        n_bytes = sum(array.nbytes for network in model._networks() for array in network.arrays)
        model.save(tmp_path / "model")
        assert max(len(pickle.dumps(model)), (tmp_path / "model").stat().st_size) < 1.5 * n_bytes + 12_000


class BreakingLoss:
    """A squared error whose steps fail once there have been so many."""

    def __init__(self):
        self.steps_left = np.inf

    def value(self, o, y):
        return 0.5 * ((o - y) ** 2).sum(axis=1)

    def prox(self, q, y, rho):
        self.steps_left -= 1
        if self.steps_left < 0:
            raise RuntimeError("out of order")
        return (y + rho * q) / (1 + rho)


def test_partial_fit_that_fails_leaves_the_estimator_as_it_was():
    X = np.random.default_rng(0).normal(size=(40, 6, 1))
    y, loss = X.sum(axis=(1, 2)), BreakingLoss()
    model = RNNRegressor(8, loss=loss, batch_size=10, s_0="learn", random_state=0).partial_fit(X, y)
    expected, s_0 = pickle.loads(pickle.dumps(model)).partial_fit(X, y), model.s_0_.copy()
    loss.steps_left = 3
    with pytest.raises(RuntimeError, match="out of order"):
        model.partial_fit(X, y)
    loss.steps_left = np.inf
    np.testing.assert_array_equal(model.s_0_, s_0)
    np.testing.assert_array_equal(model.partial_fit(X, y).W_, expected.W_)


def test_partial_fit_of_values_keeps_the_first_scale():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(800, 8, 1))
    y = 100 + 10 * X[:, -2:, 0].sum(axis=1)
    model = RNNRegressor(16, random_state=0)
    model.partial_fit(X[:100], y[:100])
    mean = model.target_mean_.copy()
    for _ in range(10):
        model.partial_fit(X[100:], y[100:])
    np.testing.assert_array_equal(model.target_mean_, mean)
    assert model.score(X, y) > 0.95
    with pytest.raises(ValueError, match=r"y has 2 value\(s\) per target, and had 1"):
        model.partial_fit(X, np.column_stack([y, y]))


def test_stateful_partial_fit_goes_on_from_the_states():
    """Fed one step at a time, the network can only know the past from its state."""
    X, y = echo(4000, delay=2, n_streams=10)
    model = RNNClassifier(16, stateful=True, ignore_label=-1, random_state=0, penalty=0.0)
    for t in range(2, 4000, 4):
        model.partial_fit(X[:, t : t + 4], y[:, t : t + 4], classes=[0, 1])
        model.history_.clear()
    Xt, yt = echo(300, delay=2, seed=5)
    assert model.score(Xt, yt) > 0.95
    with pytest.raises(
        ValueError, match=r"X has 3 streams, and had 10 in the call before; pass as many, or call reset_states"
    ):
        model.partial_fit(X[:3], y[:3])
    assert model.reset_states() is model
    model.partial_fit(X[:3], y[:3])


def test_stateful_partial_fit_of_one_step_at_a_time():
    X = np.random.default_rng(0).normal(size=(3, 60, 1))
    labels, values = (X[:, :, 0] > 0).astype(int), 2 * X[:, :, 0]
    for kind, y, first in ((RNNClassifier, labels, {"classes": [0, 1]}), (RNNRegressor, values, {})):
        models = [kind(8, stateful=True, random_state=0) for _ in range(2)]
        for model, form in zip(models, (np.array, list), strict=True):
            for t in range(60):
                model.partial_fit(form(X[:, t : t + 1]), form(y[:, t : t + 1]), **first)
            assert np.shape(list(model.predict(X))) == y.shape and model.score(X, y) > 0.9
        np.testing.assert_array_equal(models[0].W_, models[1].W_)


def test_partial_fit_refuses_what_does_not_go_on():
    X, y = waves(60)
    with pytest.raises(ValueError, match="classes is None in the first call"):
        RNNClassifier().partial_fit(X, y)
    with pytest.raises(ValueError, match="label 1, which is not among the classes"):
        RNNClassifier().partial_fit(X, y, classes=[0, 5])
    with pytest.raises(ValueError, match="pass at least two"):
        RNNClassifier().partial_fit(X, y, classes=[0])
    assert not hasattr(RNNClassifier(solver=Algorithm1()), "partial_fit")
    with pytest.raises(AttributeError, match="partial_fit"):
        RNNClassifier(solver="algorithm1").partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="class_weight is 'balanced', but partial_fit"):
        RNNClassifier(class_weight="balanced").partial_fit(X, y, classes=[0, 1])
    model = RNNClassifier(8, random_state=0, max_epochs=1).fit(X, y)
    before = {name: getattr(model, name).copy() for name in ("U_", "W_", "V_")}
    with pytest.raises(ValueError, match=r"classes is \[0, 2\], and was \[0, 1\] before"):
        model.partial_fit(X, y, classes=[0, 2])
    with pytest.raises(ValueError, match="hidden_size is 9, and was 8"):
        model.set_params(hidden_size=9).partial_fit(X, y)
    model.set_params(hidden_size=8)
    with pytest.raises(ValueError, match="s_0 is 'learn', and was of another kind"):
        model.set_params(s_0="learn").partial_fit(X, y)
    model.set_params(s_0=None)
    with pytest.raises(ValueError, match="one label per step; one label per sequence is expected"):
        model.partial_fit(X, np.tile(y[:, None], 15))
    with pytest.raises(ValueError, match="X has 2 features"):
        model.partial_fit(np.zeros((60, 15, 2)), y)
    with pytest.raises(ValueError, match="left nothing to go on from"):
        other = RNNClassifier(8, random_state=0, solver=Algorithm1(r=100.0, max_iter=2)).fit(X, y)
        other.set_params(solver="rollout").partial_fit(X, y)
    for name, values in before.items():
        np.testing.assert_array_equal(getattr(model, name), values)


def test_partial_fit_with_other_penalties_has_no_multipliers_of_the_earlier_ones():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 7, 2)), rng.integers(0, 2, 60)
    of_U, of_W = {"U": Lasso(0.1)}, {"W": Lasso(1e-3)}
    model = RNNClassifier(5, random_state=0, penalties=of_U, max_epochs=2).fit(X, y)
    assert np.abs(model._memory.splitting.lambda4[0]).any()
    model.set_params(penalties=of_W).partial_fit(X, y)
    assert not np.abs(model._memory.splitting.lambda4[0][:, :2]).any()
    model.set_params(penalties=None).partial_fit(X, y)
    model.set_params(penalties=of_U).partial_fit(X, y)


def test_partial_fit_after_prune():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 7, 2)), rng.integers(0, 2, 60)
    s_0 = np.linspace(-0.1, 0.1, 8)
    for first in (s_0, "learn"):
        settings = {"s_0": first, "penalties": {"WV": GroupLasso(0.3)}}
        model = RNNClassifier(8, random_state=0, max_epochs=20, **settings).fit(X, y)
        pruned = model.prune()
        assert pruned.hidden_size < 8
        pruned.partial_fit(X, y)
        clone(pruned).fit(X, y)


def test_partial_fit_learns_s_0_from_one_that_was_given():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3, 2)), rng.integers(0, 2, 60)
    s_0 = np.full(5, 0.1, np.float32)
    model = RNNClassifier(5, random_state=0, s_0=s_0, max_epochs=2).fit(X, y)
    model.set_params(s_0="learn").partial_fit(X, y)
    assert (model.s_0_ != s_0).any()
    model.set_params(s_0=model.s_0_.copy()).partial_fit(X, y)
    with pytest.raises(ValueError, match="s_0_ of the fitted network is not"):
        model.set_params(s_0=s_0).partial_fit(X, y)


def test_resumed_streams_are_judged_by_the_same_minibatches():
    network = random_network()
    streams = Sequences.of_lengths(np.zeros((60, 2)), [30, 30]).in_chunks(10)
    first, other = (Carried(network, streams, 2, False, np.random.RandomState(0)) for _ in range(2))
    for indices in first.epoch():
        first.start(streams.chunks.minibatch(indices))
    other.go_on_from(first.state())
    for (indices, initial), (of_other, initial_of_other) in zip(first.sample(None), other.sample(None), strict=True):
        np.testing.assert_array_equal(indices, of_other)
        np.testing.assert_array_equal(initial, initial_of_other)


def test_partial_fit_with_penalties_keeps_their_multiplier():
    X, y = waves(400)
    model = RNNClassifier(16, random_state=0, penalties={"W": SpectralBall(0.5), "U": Lasso(1e-3)})
    for first in range(0, 400, 100):
        model.partial_fit(X[first : first + 100], y[first : first + 100], classes=[0, 1])
        assert np.linalg.norm(model.W_, 2) < 0.5 + 1e-6
    assert any(np.any(multiplier) for multiplier in model._memory.splitting.lambda4)


def test_a_learnt_state_that_overflows_is_told():
    network = random_network(s_0=np.zeros(5))
    network.weights["W"][:] = np.eye(5)
    state = InitialState(network.s_0, network.recurrent_weights)
    most = float(np.finfo(network.dtype).max)
    state.M[:] = 1
    for s_0, is_finite in ((0.9 * most, False), (-0.9 * most, True)):
        network.s_0[:] = s_0
        assert state.update(r=0.0, radius=0.9 * most, schedule=1.0) is is_finite
