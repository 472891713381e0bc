"""Layers of any cell that go on step by step: streams, forecasts and generated text, against a naive program."""

import copy
import pickle
from types import SimpleNamespace

import naive_networks
import numpy as np
import pytest
from scipy.special import softmax

from admmirnn import CharacterModel, RNNClassifier, RNNRegressor, backend, load, reference
from admmirnn.networks import new_network
from admmirnn.networks.cells import CELLS, cell_named
from admmirnn.streaming import Answer, Stream

pytestmark = pytest.mark.elman

COMPILED = backend._compiled()
SLOWER = pytest.mark.slow
KERNELS = pytest.mark.parametrize("kernels", [COMPILED, reference], ids=["compiled", "numpy"])
EVERY_CELL = pytest.mark.parametrize("cell", CELLS)
EVERY_SHAPE = pytest.mark.parametrize("n_hidden", [(5,), (5, 4), pytest.param((3, 6, 2), marks=SLOWER)], ids=str)
READ_OUTS = ("last", "mean", "max")
TOLERANCES = {"float32": 2e-5, "float64": 1e-12}
D, K = 3, 2
SENTENCE = "the quick brown fox jumps over the lazy dog. "


def network_for(cell, n_hidden, read_out="last", dtype="float64", *, n_features=D, n_outputs=K, states=False):
    """Weights near those that the cell starts with, and states to start from, if they are not zero."""
    rng = np.random.default_rng(0)
    network = new_network(
        n_features, n_hidden, n_outputs, cell=cell_named(cell), dtype=np.dtype(dtype), read_out=read_out,
        random_state=np.random.RandomState(0),
    )  # fmt: skip
    for (layer,) in network.layers if states else ():
        layer.s_0 = np.zeros(layer.n_hidden, dtype)
        layer.c_0 = np.zeros(layer.n_hidden, dtype) if layer.cell.has_cell_state else None
    for array in network.arrays:
        array += 0.3 * rng.normal(size=array.shape).astype(dtype)
    return network


def frames(x, frame):
    """Those of a sequence, of which the last one ends with it; none of one that is too short."""
    length, stride = frame
    ends = np.arange(len(x), length - 1, -stride)[::-1]
    return np.array([x[end - length : end].ravel() for end in ends])


def naive_outputs(network, x, frame=(1, 1)):
    """After each observation of one sequence; NaN before the first frame has ended."""
    read = (frames(x[: t + 1], frame) for t in range(len(x)))
    return np.array([naive_networks.outputs_of(network, f)[0] if len(f) else np.full(K, np.nan) for f in read])


@EVERY_CELL
@EVERY_SHAPE
@pytest.mark.parametrize("read_out", READ_OUTS)
@pytest.mark.parametrize("frame", [(1, 1), (3, 2), pytest.param((2, 3), marks=SLOWER)], ids=str)
@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=SLOWER), "float64"])
def test_outputs_are_those_of_a_naive_program(cell, n_hidden, read_out, frame, dtype, backend_name):
    X = np.random.default_rng(1).normal(size=(4, 9, D))
    for states in (False, True):
        network = network_for(cell, n_hidden, read_out, dtype, n_features=frame[0] * D, states=states)
        expected = np.array([naive_outputs(network, x, frame) for x in X])
        tolerance = {"rtol": 0, "atol": TOLERANCES[dtype]}
        one, several = (Stream(network, Answer("values"), 1.0, frame, n_streams) for n_streams in (1, 4))
        np.testing.assert_allclose([one(x) for x in X[0]], expected[0], **tolerance)
        np.testing.assert_allclose(np.stack([several(x) for x in X.swapaxes(0, 1)], axis=1), expected, **tolerance)
        several.reset()
        assert several(X[:, 0]).dtype == dtype
        several.reset([0, 2])  # the others go on
        later = several.read(X)
        np.testing.assert_allclose(later[[0, 2]], expected[[0, 2]], **tolerance)
        assert states == bool(np.any(Stream(network, Answer("values"), 1.0, frame).state.states))


@EVERY_CELL
@EVERY_SHAPE
@pytest.mark.parametrize("B", [1, 3])
def test_states_of_all_layers_are_side_by_side(cell, n_hidden, B, backend_name):
    network, x = network_for(cell, n_hidden, states=True), np.random.default_rng(1).normal(size=(6, D))
    stream = Stream(network, Answer("values"), 1.0, (1, 1), B)
    stream.read(np.tile(x, (B, 1, 1)))
    expected = []
    for (layer,) in network.layers:
        w, step = layer.weights, naive_networks.following(layer.cell)
        s, c, states = w["s_0"], w.get("c_0"), []
        for x_t in x:
            s, c = step(w, x_t, s, c)
            states.append(s)
        expected += [s] if c is None else [s, c]
        x = np.array(states)
    found = stream.state
    assert found.states.shape == (B, 1, network.n_carried)
    np.testing.assert_allclose(found.s, np.tile(np.hstack(expected), (B, 1)), rtol=0, atol=1e-12)


@EVERY_CELL
@pytest.mark.parametrize("n_hidden", [(5,), (5, 4)], ids=str)
@pytest.mark.parametrize("read_out", READ_OUTS)
def test_streams_are_forked_and_pickled(cell, n_hidden, read_out, backend_name):
    network, X = network_for(cell, n_hidden, read_out), np.random.default_rng(1).normal(size=(2, 12, 2 * D))
    stream = Stream(network, Answer("values"), 1.0, (1, 1), 2)
    X = X[:, :, :D].copy()
    stream.read(X[:, :6])
    saved, forks = stream.state, [copy.copy(stream), copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))]
    expected = stream.read(X[:, 6:])
    for fork in forks:
        np.testing.assert_array_equal(fork.read(X[:, 6:]), expected)
    stream.state = pickle.loads(pickle.dumps(saved))
    np.testing.assert_array_equal(stream.read(X[:, 6:]), expected)
    stream.state = saved
    before = stream.state
    with pytest.raises(ValueError, match="X contains NaN"):
        stream.read(np.where(np.arange(6)[:, None] < 4, X[:, 6:], np.nan))
    for name, array in vars(before).items():
        np.testing.assert_array_equal(getattr(stream.state, name), array)


def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 10, D))  # four frames of (3, 2), and not three, as there are values
    return X, X.cumsum(axis=1)


def fitted(kind, X, y, **settings):
    return kind(**{"hidden_size": 5, "max_epochs": 1, "random_state": 0} | settings).fit(X, y)


@EVERY_CELL
@pytest.mark.parametrize("hidden_size", [pytest.param(5, marks=SLOWER), (5, 4)])
@pytest.mark.parametrize("settings", [{"readout": "mean"}, {"readout": "max", "s_0": "learn"}, {"frame": (3, 2)},
                                      {"s_0": "given"}, {"s_0": "learn", "dtype": "float64"},
                                      {"scale": 0.5, "frame": 2}], ids=str)  # fmt: skip
def test_outputs_are_those_of_predict(cell, hidden_size, settings, backend_name):
    X, Y = data()
    settings = {"cell": cell, "hidden_size": hidden_size} | settings
    if settings.get("s_0") == "given":
        given = [np.linspace(-0.5, 0.5, n) for n in ([5, 4] if isinstance(hidden_size, tuple) else [5])]
        settings["s_0"] = given if len(given) > 1 else given[0]
    for model in (
        fitted(RNNClassifier, X, np.digitize(Y[:, -1, 0], [-2, 2]), **settings),
        fitted(RNNRegressor, X, Y[:, -1], **settings),
    ):
        predict = model.predict_proba if isinstance(model, RNNClassifier) else model.predict
        many, state = model.stream(3), None
        for t in range(X.shape[1]):
            outputs = many(X[:3, t])
            of_step, state = model.step(X[:3, t], state)
            np.testing.assert_array_equal(of_step, outputs)
            if t + 1 < model._frame[0]:
                assert np.isnan(outputs).all()
            else:
                np.testing.assert_allclose(outputs, predict(X[:3, : t + 1]), rtol=2e-5, atol=2e-5)
        np.testing.assert_allclose(model.stream().read(X[0])[-1], outputs[0], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_outputs_of_each_step_of_a_stateful_fit(cell, backend_name):
    X, _ = data()
    model = fitted(
        RNNRegressor,
        X,
        np.tanh(X),
        cell=cell,
        hidden_size=(5, 4),
        stateful=True,
        chunk_size=4,
        s_0="learn",
        max_epochs=3,
    )
    np.testing.assert_allclose(model.stream(30).read(X), model.predict(X), rtol=2e-5, atol=2e-5)
    assert model.s_0_.any() and model.s_0_2_.any()


def test_streams_of_models_from_files(tmp_path):
    X, Y = data()
    model = fitted(RNNRegressor, X, Y, cell="lstm", hidden_size=(5, 4))
    model.save(tmp_path / "model.safetensors")
    stream, again = model.stream(), load(tmp_path / "model.safetensors").stream()
    stream.read(X[0, :4])
    again.state = stream.state
    np.testing.assert_array_equal(again.read(X[0, 4:]), stream.read(X[0, 4:]))


def test_states_of_other_networks_are_refused():
    X, Y = data()
    model = fitted(RNNRegressor, X, Y, cell="lstm", hidden_size=(5, 4))
    with pytest.raises(ValueError, match=r"state.states has the shape \(1, 1, 9\) where \(1, 1, 18\) is due"):
        model.stream().state = fitted(RNNRegressor, X, Y, hidden_size=(5, 4)).stream().state
    both = fitted(RNNRegressor, X, Y, hidden_size=(5, 4), bidirectional=True)
    for call in (both.stream, lambda: both.step(X[0, 0]), lambda: both.forecast(X[0], 3)):
        with pytest.raises(ValueError, match="the network is bidirectional, and a stream has no end"):
            call()


@EVERY_CELL
@pytest.mark.parametrize("hidden_size", [5, (5, 4)])
@pytest.mark.parametrize("settings", [{}, {"frame": (3, 2)}, {"readout": "mean"}], ids=str)
def test_a_forecast_is_the_naive_loop(cell, hidden_size, settings, backend_name):
    X, _ = data()
    model = fitted(
        RNNRegressor, X[:, :-1], X[:, -1], cell=cell, hidden_size=hidden_size, dtype="float64", s_0="learn", **settings
    )
    history = X[0]
    for _ in range(4):
        history = np.concatenate([history, model.predict([history])])
    np.testing.assert_allclose(model.forecast([X[0], X[1, :4]], 4)[0], history[-4:], rtol=1e-9, atol=1e-12)


# Kernels


def stepper_of(kernels, network, B=3, answer=None, **changed):
    """A `stepper` of the network, some of whose arguments are changed, and the arrays of its state."""
    n = network.layers[-1][0].n_hidden
    pooled = None if network.read_out == "last" else np.zeros((B, 1, n))
    state = SimpleNamespace(
        states=np.zeros((B, 1, network.n_carried), network.dtype), pooled=pooled,
        recent=np.zeros((B, 0, D), network.dtype), n_read=np.zeros(B, np.int64),
    )  # fmt: skip
    arguments = {"d": D, "frame": (1, 1), "layers": [layer for (layer,) in network.layers], "Psi": network.Psi,
                 "read_out": network.read_out, "scale": 1.0, "state": state, "answer": Answer("values")}  # fmt: skip
    return kernels.stepper(*(arguments | changed).values()), state


@EVERY_CELL
@pytest.mark.parametrize("n_hidden", [(70,), (33, 16), (1,), (2, 1)], ids=str)
@pytest.mark.parametrize("B", [1, pytest.param(2, marks=SLOWER), 5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_streams_agree_with_their_twin(cell, n_hidden, B, dtype):
    network, results = network_for(cell, n_hidden, "mean", dtype), []
    observations = np.random.default_rng(1).normal(size=(B, 6, D))
    for kernels in (COMPILED, reference):
        found, state = stepper_of(kernels, network, B)
        outputs = np.empty((B, 6, K), dtype)
        assert found.read(observations, outputs) == 0
        results.append((outputs, state.states, state.pooled))
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=TOLERANCES[dtype], atol=TOLERANCES[dtype])


def changed_layer(layer, **changed):
    return SimpleNamespace(**{"n_hidden": layer.n_hidden, "cell": layer.cell, "maps": layer.maps} | changed)


def wrong_layers(layers):
    """Lists of layers that do not belong together, or to anything."""
    below, above = layers
    yield []
    yield [below]
    yield [above]
    yield [above, below]
    yield [below, above, above]
    for layer, others in ((below, lambda one: [one, above]), (above, lambda one: [below, one])):
        yield others(changed_layer(layer, n_hidden=layer.n_hidden + 1))
        yield others(changed_layer(layer, n_hidden=0))
        yield others(changed_layer(layer, maps=(*layer.maps, layer.maps[0])))
        yield others(changed_layer(layer, maps=layer.maps[1:]))
        yield from (others(changed_layer(layer, n_hidden=n)) for n in (0, 2**31, 2**62, 2**63 - 1))
        other = cell_named("lstm" if layer.cell.name != "lstm" else "gru")
        yield others(changed_layer(layer, cell=other))
        for i, matrix in enumerate(layer.maps):
            for wrong in (
                matrix[1:],
                matrix[:-1],
                matrix[:, 1:].copy(),
                np.hstack([matrix, matrix[:, :1]]),
                matrix[:0],
            ):
                yield others(changed_layer(layer, maps=(*layer.maps[:i], wrong, *layer.maps[i + 1 :])))
            single = matrix.astype(np.float32)
            yield others(changed_layer(layer, maps=(*layer.maps[:i], single, *layer.maps[i + 1 :])))


@KERNELS
@EVERY_CELL
def test_kernels_refuse_layers_that_do_not_belong_together(kernels, cell):
    network = network_for(cell, (5, 4))
    symbols = network_for(cell, (5, 4), n_features=K)
    for layers in wrong_layers([layer for (layer,) in network.layers]):
        with pytest.raises(ValueError, match="stepper: |Buffer dtype mismatch"):
            stepper_of(kernels, network, layers=layers)
    for layers in wrong_layers([layer for (layer,) in symbols.layers]):
        with pytest.raises(ValueError, match="generate: |Buffer dtype mismatch"):
            generate(kernels, symbols, layers=layers)
    state = SimpleNamespace(**vars(stepper_of(kernels, network)[1]))
    state.states = np.zeros((3, 1, network.n_carried - 1))
    with pytest.raises(ValueError, match="stepper: "):
        stepper_of(kernels, network, state=state)
    for changed in ({"Psi": network.Psi[:, 1:].copy()}, {"Psi": network.Psi[:0]}, {"d": 0}, {"d": D + 1}, {"d": 2**62}):
        with pytest.raises(ValueError, match="stepper: "):
            stepper_of(kernels, network, **changed)
    with pytest.raises(ValueError, match="generate: "):
        generate(kernels, symbols, state_out=np.zeros(symbols.n_carried + 1))


@KERNELS
@EVERY_CELL
def test_kernels_leave_weights_as_they_were(kernels, cell):
    network = network_for(cell, (5, 4), n_features=K)
    for array in network.arrays:
        array.flags.writeable = False
    before = [array.copy() for array in network.arrays]
    stepper_of(kernels, network, d=K, state=SimpleNamespace(
        states=np.zeros((2, 1, network.n_carried)), pooled=None, recent=np.zeros((2, 0, K)),
        n_read=np.zeros(2, np.int64)))[0].read(np.ones((2, K)), np.empty((2, K)))  # fmt: skip
    generate(kernels, network)
    for array, expected in zip(network.arrays, before, strict=True):
        np.testing.assert_array_equal(array, expected)


# Generated symbols


def generate(kernels, network, codes=(0, 1, 1), temperature=0.8, n=9, **changed):
    """The symbols that follow, whether all is finite, and where the network is then."""
    states = network.initial_states(1)
    arguments = {
        "d": network.n_features, "layers": [layer for (layer,) in network.layers], "Psi": network.Psi,
        "codes": np.array(codes, np.int32), "temperature": temperature,
        "uniforms": np.random.default_rng(2).uniform(size=n),
        "state_out": np.zeros(network.n_carried, network.dtype) if states is None else states[0],
        "codes_out": np.full(n, -1, np.int32),
    } | changed  # fmt: skip
    is_finite = kernels.generate(*arguments.values())
    return arguments["codes_out"], is_finite, arguments["state_out"]


@KERNELS
@EVERY_CELL
@EVERY_SHAPE
@pytest.mark.parametrize("temperature", [0, 0.7])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_symbols_are_drawn_from_the_outputs_of_a_stream(kernels, cell, n_hidden, temperature, dtype):
    n_symbols = 6
    for states in (False, True):
        network = network_for(
            cell, n_hidden, dtype=dtype, n_features=n_symbols, n_outputs=n_symbols, states=states
        )  # fmt: skip
        found, is_finite, state = generate(kernels, network, (3, 0, 5), temperature, 40)
        assert is_finite
        stream, one_hot = Stream(network, Answer("values"), 1.0, (1, 1)), np.eye(n_symbols, dtype=dtype)
        stream.read(one_hot[[3, 0]])
        code = 5
        for uniform, drawn in zip(np.random.default_rng(2).uniform(size=40), found, strict=True):
            outputs = stream(one_hot[code]).astype(float)
            code = outputs.argmax()
            if temperature:
                p = softmax(outputs / temperature).cumsum()
                code = np.searchsorted(p, uniform)
            assert drawn == code
        np.testing.assert_allclose(state, stream.state.s[0], rtol=0, atol=TOLERANCES[dtype])


@EVERY_CELL
@pytest.mark.parametrize("hidden_size", [pytest.param(8, marks=SLOWER), (8, 6)])
@pytest.mark.parametrize("s_0", [None, "learn"])
def test_text_of_any_network(cell, hidden_size, s_0, backend_name):
    settings = {"cell": cell, "hidden_size": hidden_size, "s_0": s_0}
    model = CharacterModel(max_epochs=2, random_state=0, dtype="float64", **settings).fit(12 * SENTENCE)
    expected = ""
    for _ in range(12):
        expected += model.vocabulary_[model.predict_proba("the " + expected)[-1].argmax()]
    assert model.generate("the ", 12, temperature=0) == expected
    assert model.generate("the ", 30, random_state=3) == model.generate("the ", 30, random_state=3)
    assert len(model.generate("", 7, random_state=0)) == 7
    log_p = np.log2(
        model.predict_proba(SENTENCE[:-1])[np.arange(44), [model.vocabulary_.index(c) for c in SENTENCE[1:]]]
    )
    assert model.bits_per_character(SENTENCE) == pytest.approx(-log_p.mean(), rel=1e-9)
    assert pickle.loads(pickle.dumps(model)).generate("the ", 9, random_state=1) == model.generate(
        "the ", 9, random_state=1
    )


def test_gated_layers_learn_a_sentence_by_heart():
    model = CharacterModel((24, 16), cell="gru", forget_bias=1.0, max_epochs=30, random_state=0).fit(40 * SENTENCE)
    assert model.generate(SENTENCE + "the ", 60, temperature=0) == (2 * SENTENCE)[4:64]
