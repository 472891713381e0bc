"""All that a fit can have, for every cell, in layers and directions: both back ends, and again from the middle."""

import pickle
import tracemalloc
import warnings

import numpy as np
import pytest

import admmirnn
from admmirnn import CharacterModel, RNNClassifier, RNNRegressor, Rollout
from admmirnn.networks.blocks import weights_of
from admmirnn.networks.cells import CELLS
from admmirnn.penalties import GroupLasso, Lasso, Orthogonal, Ridge, SpectralBall

N, D, K = 24, 2, 3
RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(3, 9, N)
X = [RNG.normal(size=(length, D)) for length in LENGTHS]
LABELS = np.arange(N) % K
LABELS_OF_STEPS = [RNG.integers(0, K, length) for length in LENGTHS]
SOME_LABELS = [np.where(RNG.random(len(y)) < 0.3, -1, y) for y in LABELS_OF_STEPS]
VALUES = RNG.normal(size=(N, 2))
SOME_VALUES = [np.where(RNG.random((length, 1)) < 0.3, np.nan, RNG.normal(size=(length, 2))) for length in LENGTHS]
WEIGHTS = np.where(np.arange(N) % 5 == 3, 0, RNG.uniform(0.1, 2, N))
LETTERS = "a small text that is read again and again. " * 12

NETWORKS = {
    f"{cell} {size} {'both' if bidirectional else 'one'}": {
        "cell": cell, "hidden_size": size, "bidirectional": bidirectional,
    }
    for cell in CELLS
    for size in (7, (7, 5))
    for bidirectional in (False, True)
}  # fmt: skip
EVERY_NETWORK = pytest.mark.parametrize("network", NETWORKS)
SOME = {
    "elman (7, 5) both", "fastgrnn (7, 5) one", "ugrnn 7 both", "gru 7 one", "gru (7, 5) both", "lstm 7 both",
    "lstm (7, 5) one",
}  # fmt: skip
MOSTLY_SLOW = pytest.mark.parametrize(
    "network", [pytest.param(name, marks=() if name in SOME else pytest.mark.slow) for name in NETWORKS]
)
ONE_DIRECTION = [name for name in NETWORKS if name.endswith("one")]


def in_turns(hows, of_one_direction, every):
    """All networks in all ways that they can have, of which only every so manieth is fast."""
    pairs = []
    for j, how in enumerate(hows):
        networks = ONE_DIRECTION if how in of_one_direction else list(NETWORKS)
        for i, network in enumerate(networks):
            marks = () if (i + 3 * j) % min(every, len(networks)) == 0 else pytest.mark.slow
            pairs.append(pytest.param(network, how, marks=marks, id=f"{network}, {how}"))
    return pytest.mark.parametrize(("network", "how"), pairs)


def model_of(network, kind=RNNClassifier, **settings):
    settings = {"max_epochs": 2, "random_state": 0, "batch_size": 7, "dtype": "float64"} | settings
    return kind(**NETWORKS[network] | settings)


def assert_same(one, other, atol=0.0):
    found, expected = weights_of(one), weights_of(other)
    assert list(found) == list(expected)
    for name, weights in expected.items():
        np.testing.assert_allclose(found[name], weights, rtol=0, atol=atol, equal_nan=False, err_msg=name)


def some_gate(network):
    return {"ugrnn": "W_z", "gru": "W_r", "lstm": "W_o"}.get(network.split()[0], "W")


def states_to_start_from(network):
    size = NETWORKS[network]["hidden_size"]
    states = [np.linspace(-0.5, 0.5, n) for n in np.atleast_1d(size)]
    return states if isinstance(size, tuple) else states[0]


def twice(model, y, **first):
    return model.partial_fit(X, y, **first).partial_fit(X, y)


FITS = {
    "a label per sequence": lambda new: new().fit(X, LABELS),
    "a label per step": lambda new: new().fit(X, LABELS_OF_STEPS),
    "some labels": lambda new: new(ignore_label=-1).fit(X, SOME_LABELS),
    "values": lambda new: new(RNNRegressor).fit(X, VALUES),
    "some values": lambda new: new(RNNRegressor, loss="huber").fit(X, SOME_VALUES),
    "weights": lambda new: new(class_weight="balanced").fit(X, LABELS, sample_weight=WEIGHTS),
    "weights of values": lambda new: new(RNNRegressor).fit(X, VALUES, sample_weight=WEIGHTS),
    "mean": lambda new: new(readout="mean").fit(X, LABELS),
    "max": lambda new: new(readout="max", loss="hinge").fit(X, LABELS),
    "frames": lambda new: new(frame=(3, 2)).fit(X, LABELS),
    "identity": lambda new: new(solver=Rollout(metric="identity")).fit(X, LABELS),
    "capped": lambda new: new(solver=Rollout(multiplier_cap=0.3, gram_every=8)).fit(X, LABELS_OF_STEPS),
    "no radius": lambda new: new(solver=Rollout(radius=None, output_radius=None, r=3.0)).fit(X, LABELS),
    "in calls": lambda new: twice(new(), LABELS, classes=range(K)),
    "early stopping": lambda new: new(early_stopping=True, patience=1).fit(X, LABELS),
    "dropout": lambda new: new(dropout=0.3, readout="max").fit(X, LABELS),
    "dropout of steps": lambda new: new(dropout=0.3).fit(X, LABELS_OF_STEPS),
    "one step": lambda new: new().fit([x[:1] for x in X], LABELS),
    "one sequence": lambda new: new(RNNRegressor).fit(X[:1], VALUES[:1]),
    "one of each": lambda new: new(RNNRegressor, hidden_size=(1, 1)).fit([x[:, :1] for x in X], VALUES[:, 0]),
    "G in blocks": lambda new: new(solver=Rollout(gram_block=1)).fit(X, LABELS, sample_weight=WEIGHTS),
}
FITS_OF_ONE_DIRECTION = {
    "s_0 given": lambda new: new(s_0="given").fit(X, LABELS),
    "s_0 learnt": lambda new: new(s_0="learn").fit(X, LABELS_OF_STEPS),
    "stateful": lambda new: new(stateful=True, chunk_size=2, batch_size=3).fit(X, LABELS_OF_STEPS),
    "stateful, learnt": lambda new: new(stateful=True, chunk_size=2, s_0="learn", batch_size=3).fit(X, LABELS_OF_STEPS),
    "stateful, in calls": lambda new: twice(
        new(stateful=True, chunk_size=2, s_0="learn"), LABELS_OF_STEPS, classes=range(K)
    ),
    "symbols": lambda new: new(CharacterModel).fit(LETTERS),
}


def fitted(network, how, n_threads=1):
    def new(kind=RNNClassifier, **settings):
        if settings.get("s_0") == "given":
            settings["s_0"] = states_to_start_from(network)
        if kind is CharacterModel:
            settings |= {"cell": NETWORKS[network]["cell"], "hidden_size": NETWORKS[network]["hidden_size"]}
            return kind(max_epochs=2, random_state=0, dtype="float64", n_threads=n_threads, **settings)
        if how == "penalties":
            W = some_gate(network)
            settings["penalties"] = {"U": Lasso(1e-3), W: SpectralBall(0.5), "V": Ridge(1e-2)}
        return model_of(network, kind, n_threads=n_threads, **settings)

    if how == "penalties":
        return new().fit(X, LABELS)
    return (FITS | FITS_OF_ONE_DIRECTION)[how](new)


@pytest.mark.filterwarnings("ignore:X has .* sequences of a single step")
@in_turns([*FITS, *FITS_OF_ONE_DIRECTION, "penalties"], FITS_OF_ONE_DIRECTION, every=20)
def test_back_ends_and_threads_agree(network, how, monkeypatch):
    found = [fitted(network, how), fitted(network, how, n_threads=2)]
    monkeypatch.setenv("ADMMIRNN_BACKEND", "numpy")
    expected = fitted(network, how)
    for model in found:
        assert_same(model, expected, atol=1e-9)
        assert not any(record["rollbacks"] for record in model.history_)
        losses = [[record["rollout_loss"] for record in one.history_] for one in (model, expected)]
        np.testing.assert_allclose(*losses, rtol=1e-9)


@MOSTLY_SLOW
def test_two_threads_that_share_a_minibatch(network, tmp_path):
    """And observations in a file, from which each minibatch is read."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 30, 6))
    y = (X[..., 0].sum(axis=1) > 0).astype(int)
    settings = NETWORKS[network] | {"hidden_size": (32, 24) if "," in network else 40}
    np.save(tmp_path / "X.npy", X)
    alone, both, again = (
        RNNClassifier(**settings, max_epochs=1, batch_size=60, random_state=0, dtype="float64", n_threads=n).fit(of, y)
        for n, of in ((1, X), (2, X), (2, np.load(tmp_path / "X.npy", mmap_mode="r")))
    )
    assert_same(both, alone, atol=1e-9)
    assert_same(again, both)
    assert any((a != b).any() for a, b in zip(weights_of(alone).values(), weights_of(both).values(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_back_ends_agree_where_sequences_are_taken_in_blocks(cell, bidirectional, monkeypatch):
    """Layers so large that a minibatch is more than what is worked on at once."""
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(length, 5)) for length in rng.integers(1, 24, 140)]
    y = [rng.integers(0, 4, len(x)) for x in X]
    settings = {"cell": cell, "hidden_size": (170, 130), "bidirectional": bidirectional, "max_epochs": 1}
    settings |= {"random_state": 0, "batch_size": 70}
    models = [RNNClassifier(**settings, n_threads=n, dtype="float64").fit(X, y) for n in (1, 2)]
    single = RNNClassifier(**settings).fit(X, y)
    monkeypatch.setenv("ADMMIRNN_BACKEND", "numpy")
    expected = RNNClassifier(**settings, dtype="float64").fit(X, y)
    for model in models:
        assert_same(model, expected, atol=1e-9)
    assert_same(single, expected, atol=1e-4)


# From the middle of a fit


class Kill(Exception):
    pass


def kill(state):
    if state.record["epoch"] == 3:
        raise Kill


CHECKPOINTS = {
    "plain": {},
    "early stopping": {"early_stopping": True},
    "dropout": {"dropout": 0.3},
    "penalties": {"penalties": {"W": SpectralBall(0.5), "V": Lasso(1e-2)}},
    "rollbacks": {"solver": Rollout(radius=50.0, output_radius=50.0, r=1e-6, metric="identity")},
    "G in blocks": {"solver": Rollout(gram_block=1)},
    "learnt": {"s_0": "learn"},
    "stateful": {"s_0": "learn", "stateful": True, "chunk_size": 3, "batch_size": 3},
}


@pytest.mark.filterwarnings("ignore:the training loss became too large")
@in_turns(CHECKPOINTS, ("learnt", "stateful"), every=5)
def test_a_fit_that_goes_on_from_a_checkpoint_ends_as_another(network, how, tmp_path):
    settings = {"max_epochs": 5, "dtype": "float32"} | CHECKPOINTS[how]
    y = LABELS_OF_STEPS if "stateful" in settings else LABELS
    expected = model_of(network, **settings).fit(X, y)
    settings["checkpoint"] = tmp_path / "checkpoint"
    with pytest.raises(Kill):
        model_of(network, callbacks=[kill], **settings).fit(X, y)
    found = model_of(network, **settings).fit(X, y, resume=True)
    assert_same(found, expected)
    assert any(record["rollbacks"] for record in expected.history_) == (how == "rollbacks")
    for one, other in zip(found.history_, expected.history_, strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}


CALLS = {
    "plain": {},
    "penalties": {"penalties": {"W": Orthogonal()}},
    "dropout": {"dropout": 0.3},
    "G in blocks": {"solver": Rollout(gram_block=1), "penalties": {"U": Lasso(1e-3)}},
    "learnt": {"s_0": "learn"},
    "stateful": {"s_0": "learn", "stateful": True},
}


@in_turns(CALLS, ("learnt", "stateful"), every=3)
def test_calls_go_on_from_a_pickle(network, how):
    y = LABELS_OF_STEPS if how == "stateful" else LABELS
    model = model_of(network, dtype="float32", chunk_size=2, **CALLS[how]).partial_fit(X, y, classes=range(K))
    for _ in range(2):
        again = pickle.loads(pickle.dumps(model))
        assert_same(again.partial_fit(X, y), model.partial_fit(X, y))
    if how == "stateful":
        with pytest.raises(ValueError, match="streams"):
            model.partial_fit(X[:5], y[:5])
        model.reset_states().partial_fit(X[:5], y[:5])


@MOSTLY_SLOW
def test_files_and_initial_weights_have_the_states_to_start_from(network, tmp_path):
    learns = {"s_0": "learn"} if network in ONE_DIRECTION else {}
    model = model_of(network, penalties={"V": GroupLasso(1e-3)}, **learns).fit(X, LABELS)
    for one in (model, model.prune()):
        one.save(tmp_path / "model.safetensors")
        again = admmirnn.load(tmp_path / "model.safetensors")
        assert_same(again, one)
        np.testing.assert_array_equal(again.predict_proba(X), one.predict_proba(X))
    weights = weights_of(model)
    if learns:
        states = [name for name in weights if name[:3] in ("s_0", "c_0")]
        n_layers = len(np.atleast_1d(NETWORKS[network]["hidden_size"]))
        assert len(states) == n_layers * (2 if network.startswith("lstm") else 1)
        assert all(weights[name].any() for name in states)
    still = Rollout(radius=1e-300, output_radius=1e-300)
    of_init = model_of(network, init=weights, solver=still, penalty=0.0, max_epochs=1, **learns).fit(X, LABELS)
    assert_same(of_init, model, atol=1e-12)


# Penalties, rollbacks, numbers that are large or small


@pytest.mark.parametrize("whole", [True, False])
@MOSTLY_SLOW
def test_constraints_hold_for_each_gate_after_each_epoch(network, whole):
    key = "W" if whole else some_gate(network)
    for penalty in (SpectralBall(0.5), Orthogonal()):
        seen = []

        def look(state, penalty=penalty, seen=seen):
            for name, W in weights_of(state.estimator).items():
                if name.startswith(key):
                    values = np.linalg.svd(W, compute_uv=False)
                    assert values.max() <= (0.5 if isinstance(penalty, SpectralBall) else 1) + 1e-9
                    assert isinstance(penalty, SpectralBall) or values.min() >= 1 - 1e-9
                    seen.append(name)

        model_of(network, penalties={key: penalty}, callbacks=[look]).fit(X, LABELS)
        n_gates = {"ugrnn": 2, "gru": 3, "lstm": 4}.get(network.split()[0], 1) if whole else 1
        assert len(seen) == 2 * n_gates * (1 + network.endswith("both")) * (1 + ("," in network))


@MOSTLY_SLOW
def test_what_penalties_leave_is_pruned(network):
    for penalties in ({"V": GroupLasso(3.0)}, {"U": GroupLasso(0.3, axis=0)}, {"U": Lasso(0.5), "V": Lasso(0.05)}):
        model = model_of(network, penalties=penalties, max_epochs=6).fit(X, LABELS)
        pruned = model.prune()
        np.testing.assert_allclose(pruned.predict_proba(X), model.predict_proba(X), rtol=0, atol=1e-12)
        pruned.partial_fit(X, LABELS)


@pytest.mark.parametrize("solver", [Rollout(radius=None, output_radius=None, r=1e-6)], ids=["no bound"])
@EVERY_NETWORK
def test_a_fit_that_is_ruined_goes_back_and_says_so(network, solver):
    model = model_of(network, solver=solver, dtype="float32", max_epochs=5)
    with pytest.warns(UserWarning, match="went back to its last good weights"):
        model.fit(X, LABELS)
    assert sum(record["rollbacks"] for record in model.history_) > 0
    assert all(np.isfinite(weights).all() for weights in weights_of(model).values())
    assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize("size", [1e6, 1e-6])
@EVERY_NETWORK
def test_single_precision_with_large_and_small_numbers(network, size):
    large = [(size * x).astype(np.float32) for x in X]
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        model = model_of(network, dtype="float32").fit(large, LABELS)
        values = model_of(network, RNNRegressor, dtype="float32").fit(large, size * VALUES)
    for one, found in ((model, model.predict_proba(large)), (values, values.predict(large))):
        assert np.isfinite(found).all()
        assert all(np.isfinite(weights).all() for weights in weights_of(one).values())


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_a_fit_takes_little_more_memory_than_what_the_cell_keeps(cell):
    """Of each step the gates, if there are any, the state, the cell state and the observation, in single precision."""
    n, n_steps, batch_size, d = 128, 28, 125, 28
    rng = np.random.default_rng(0)
    images, y = rng.normal(size=(500, n_steps, d)).astype(np.float32), np.arange(500) % 10
    model = RNNClassifier(n, cell=cell, batch_size=batch_size, max_epochs=1, random_state=0)
    model.fit(images, y)  # what is loaded with the first fit is not counted
    n_rows = batch_size * n_steps
    n_states = n_rows + batch_size
    n_gates = 0 if cell == "elman" else n_rows * 4 * n
    kept = 4 * (n_gates + n_states * n * (2 if cell == "lstm" else 1) + n_rows * (d + 1))
    tracemalloc.start()
    try:
        model.fit(images, y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert kept < peak < 2.5 * kept


@MOSTLY_SLOW
def test_callbacks_see_the_network_of_each_epoch(network):
    seen = []
    model = model_of(
        network, callbacks=[lambda state: seen.append((state.record, state.estimator.predict_proba(X)))]
    ).fit(X, LABELS, validation_data=(X[:6], LABELS[:6]))
    np.testing.assert_array_equal(seen[-1][1], model.predict_proba(X))
    assert (seen[0][1] != seen[1][1]).any()
    for (record, _), of_history in zip(seen, model.history_, strict=True):
        assert record == of_history
        assert 0 < record["D_norm"] and 0 < record["output_D_norm"] and record["radius"] == 0.01
        assert np.isfinite(record["validation_loss"])
