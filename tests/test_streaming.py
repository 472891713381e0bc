"""Streams: outputs are those of predict on what has been read so far, in every form; forecasts are naive loops."""

import copy
import pickle
import threading
import tracemalloc
from types import SimpleNamespace

import kernel_calls
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admmirnn import RNNClassifier, RNNRegressor, backend, reference
from admmirnn.activations import ACTIVATIONS
from admmirnn.data.sequences import Sequences
from admmirnn.networks import ElmanRNN
from admmirnn.networks.cells import Elman
from admmirnn.streaming import Answer, Stream, StreamState

pytestmark = pytest.mark.elman

COMPILED = backend._compiled()
READ_OUTS = ("last", "mean", "max")
ANSWERS = ("softmax", "logistic", "values", "scaled")
TOLERANCES = {"float32": 1e-5, "float64": 1e-12}


@pytest.fixture(scope="module")
def data():
    """Sequences of three features, and two values, one per sequence and one per step."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 11, 3))
    Y = np.stack([X.cumsum(axis=1)[:, :, 0], 5 + 3 * X[:, :, 1]], axis=2)
    return X, Y


def fitted(estimator, X, y, **changed):
    return estimator(**{"hidden_size": 9, "max_epochs": 1, "random_state": 0} | changed).fit(X, y)


def answers(model, X):
    """What the model says of the whole sequences: an output per sequence."""
    names = "predict_proba", "decision_function", "predict"
    found = next(getattr(model, name) for name in names if hasattr(model, name))(X)
    return found if model._form_of_targets == "sequence" else found[:, -1]


def assert_equals_predict(model, X, first=1):
    """One stream, many at once, and step, after each observation; and all of them in one call."""
    tolerance = {"rtol": TOLERANCES[model.W_.dtype.name], "atol": TOLERANCES[model.W_.dtype.name]}
    many, one, states = model.stream(len(X)), model.stream(), (None, None)
    outputs = []
    for t in range(X.shape[1]):
        of_one, of_step = one(X[0, t]), model.step(X[0, t], states[0])
        of_many, of_steps = many(X[:, t]), model.step(X[:, t], states[1])
        states = of_step[1], of_steps[1]
        outputs.append(of_many)
        if t + 1 < first:
            for found in (of_one, of_many, of_step[0], of_steps[0]):
                assert np.isnan(found).all()
            continue
        expected = answers(model, X[:, : t + 1])
        assert of_many.shape == expected.shape and of_many.dtype == expected.dtype
        assert np.shape(of_one) == expected.shape[1:] and of_one.dtype == expected.dtype
        for found in (of_many, of_steps[0]):
            np.testing.assert_allclose(found, expected, **tolerance)
        for found in (of_one, of_step[0]):
            np.testing.assert_allclose(found, expected[0], **tolerance)
    everything = model.stream(len(X)).read(X)
    np.testing.assert_allclose(everything, np.stack(outputs, axis=1), **tolerance)
    np.testing.assert_allclose(model.stream().read(X[0]), everything[0], **tolerance)
    last = model.stream(len(X)).read(X, every_step=False)
    np.testing.assert_allclose(last, outputs[-1], **tolerance)


@pytest.mark.slow_on("numpy")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("read_out", READ_OUTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_outputs_are_those_of_predict(backend_name, data, activation, read_out, dtype):
    X, Y = data
    kind = {"activation": activation, "readout": read_out, "dtype": dtype}
    assert_equals_predict(fitted(RNNClassifier, X, np.digitize(Y[:, -1, 0], [-2, 2]), **kind), X[:5])
    assert_equals_predict(fitted(RNNRegressor, X, Y[:, -1], **kind), X[:2])


@pytest.mark.parametrize("form", ["value", "one", "values", "value a step", "one a step", "values a step", "labels"])
def test_outputs_have_the_form_of_the_targets(backend_name, data, form):
    X, Y = data
    targets = {
        "value": Y[:, -1, 0],
        "one": Y[:, -1, :1],
        "values": Y[:, -1],
        "value a step": Y[:, :, 0],
        "one a step": Y[:, :, :1],
        "values a step": Y,
        "labels": np.where(Y[:, :, 0] > 0, "up", "down"),
    }
    kind = {"targets": "step"} if form == "value a step" else {}
    model = fitted(RNNClassifier if form == "labels" else RNNRegressor, X, targets[form], **kind)
    assert_equals_predict(model, X[:3])
    if form == "labels":
        stream = model.stream(3)
        labels = np.stack([model.classes_[stream(x).argmax(axis=-1)] for x in X[:3].swapaxes(0, 1)], axis=1)
        np.testing.assert_array_equal(labels, model.predict(X[:3]))


class SeveralByHand:
    """Squared error of zeros and ones, as a user would write it."""

    def value(self, o, y):
        return 0.5 * ((o - y) ** 2).sum(axis=1)

    def prox(self, q, y, rho):
        return (y + rho * q) / (1 + rho)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("per_step", [False, True])
def test_classifiers_with_other_losses(backend_name, data, per_step, dtype):
    X, Y = data
    Y = Y if per_step else Y[:, -1]
    for loss, y in (
        ("sigmoid_cross_entropy", (Y > 2).astype(int)),
        ("hinge", (Y[..., 0] > 0).astype(int)),
        ("hinge", np.digitize(Y[..., 0], [-1, 1])),
        (SeveralByHand(), (Y > 2).astype(int)),
    ):
        assert_equals_predict(fitted(RNNClassifier, X, y, loss=loss, dtype=dtype), X[:3])


@pytest.mark.parametrize("read_out", READ_OUTS)
@pytest.mark.parametrize("s_0", ["learn", np.linspace(-1, 1, 9)])
def test_estimators_start_from_their_s_0(backend_name, data, s_0, read_out):
    X, Y = data
    model = fitted(RNNRegressor, X, Y[:, -1], s_0=s_0, readout=read_out)
    assert_equals_predict(model, X[:3])
    np.testing.assert_array_equal(model.stream(2).state.s, [model.s_0_, model.s_0_])
    assert_equals_predict(fitted(RNNRegressor, X, Y[:, -1, 0], s_0=s_0, frame=(3, 2)), X[:3], first=3)


@pytest.mark.slow_on("numpy")
@pytest.mark.parametrize("read_out", READ_OUTS)
@pytest.mark.parametrize("frame", [3, (3, 1), (3, 2), (2, 5), (1, 3), (1, 1)])
def test_the_last_frame_always_ends_with_the_stream(backend_name, data, frame, read_out):
    X, Y = data
    model = fitted(RNNRegressor, X, Y[:, -1, 0], frame=frame, readout=read_out, dtype="float64")
    assert_equals_predict(model, X[:3], first=model._frame[0])
    assert_equals_predict(fitted(RNNClassifier, X, Y[:, -1, 0] > 0, frame=frame), X[:2], first=model._frame[0])


@pytest.mark.parametrize(
    "kind", [np.uint8, np.int8, np.uint16, np.int16, np.int64, np.float16, np.float32, ">f8", bool]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_type_of_observation(backend_name, kind, dtype):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 100, (30, 6, 3)).astype(kind)
    model = fitted(RNNRegressor, X, X.mean(axis=(1, 2), dtype=float), scale=1 / 64, dtype=dtype)
    assert_equals_predict(model, X[:3])


def test_any_array_like_will_do(backend_name, data):
    X, Y = data
    model = fitted(RNNRegressor, X, Y[:, -1])
    expected = model.stream().read(X[0])
    wide = np.zeros((11, 6))
    wide[:, ::2] = X[0]
    frozen = X[0].copy()
    frozen.flags.writeable = False
    for rows in (X[0].tolist(), wide[:, ::2], frozen, np.asfortranarray(X[0]), [tuple(x) for x in X[0]]):
        stream = model.stream()
        np.testing.assert_allclose([stream(x) for x in rows], expected, rtol=1e-6)
        np.testing.assert_allclose(model.stream().read(rows), expected, rtol=1e-6)
    stream = model.stream(4)
    np.testing.assert_allclose(stream(X[:8:2, 0]), model.stream(4)(X[:8:2, 0].copy()), rtol=1e-6)
    single = fitted(RNNRegressor, X[:, :, 0], Y[:, -1, 0])
    numbers = single.stream()
    np.testing.assert_allclose([numbers(float(x)) for x in X[0, :, 0]], single.stream().read(X[0, :, 0]), rtol=1e-6)
    assert isinstance(numbers(0.5), float)
    assert np.shape(numbers([[0.5]])) == (1,)


@pytest.mark.parametrize("read_out", READ_OUTS)
@pytest.mark.parametrize("frame", [None, (3, 2)])
def test_streams_are_saved_forked_and_reset(backend_name, data, frame, read_out):
    X, Y = data
    model = fitted(RNNRegressor, X, Y[:, -1], frame=frame, readout=read_out)
    stream = model.stream(2)
    start = stream.state
    stream.read(X[:2, :6])
    saved, pickled = stream.state, pickle.dumps(stream.state)
    forks = [copy.deepcopy(stream), copy.copy(stream), pickle.loads(pickle.dumps(stream)), model.stream(2)]
    forks[-1].state = pickle.loads(pickled)
    expected = stream.read(X[:2, 6:])
    for fork in forks:
        np.testing.assert_array_equal(fork.read(X[:2, 6:]), expected)
    assert (saved.n_read == 6).all() and (stream.state.n_read == 11).all()  # what is returned is a copy
    stream.state = saved
    np.testing.assert_array_equal(stream.read(X[:2, 6:]), expected)
    output, after = model.step(X[:2, 6], saved)
    np.testing.assert_array_equal(output, expected[:, 0])
    np.testing.assert_array_equal(model.step(X[:2, 6], saved)[0], expected[:, 0])  # step leaves its state as it was
    assert (after.n_read == 7).all()
    stream.reset()
    for name, array in vars(start).items():
        np.testing.assert_array_equal(getattr(stream.state, name), array)
    np.testing.assert_array_equal(stream.read(X[:2, :6]), model.stream(2).read(X[:2, :6]))
    after_pickling = pickle.loads(pickle.dumps(model)).stream(2)
    np.testing.assert_array_equal(after_pickling.read(X[:2]), model.stream(2).read(X[:2]))


@pytest.mark.parametrize("read_out", READ_OUTS)
@pytest.mark.parametrize("frame", [None, (3, 2)])
def test_streams_can_start_again_one_by_one(backend_name, data, frame, read_out):
    X, Y = data
    model = fitted(RNNRegressor, X, Y[:, -1], frame=frame, readout=read_out, dtype="float64")
    stream = model.stream(4)
    stream.read(X[:4, :5])
    stream.reset([1, -1])
    later = stream.read(X[:4, 5:])
    first = 0 if frame is None else 2
    for i in (1, 3):
        np.testing.assert_allclose(later[i], model.stream().read(X[i, 5:]), rtol=1e-12)
        assert np.isnan(later[i, :first]).all() and np.isfinite(later[i, first:]).all()
    for i in (0, 2):
        np.testing.assert_allclose(later[i], model.stream().read(X[i])[5:], rtol=1e-12)
    stream.reset(np.array([True, False, False, False]))
    assert stream.state.n_read.tolist() == [0, 6, 11, 6]


def network(dtype, n=64, d=2, read_out="last", s_0=None):
    found = ElmanRNN.random(d, n, 2, dtype=np.dtype(dtype), random_state=np.random.RandomState(0), read_out=read_out)
    found.Psi[:] = np.random.default_rng(0).normal(size=found.Psi.shape)
    found.s_0 = s_0
    return found


def whole_sequence(network, X):
    """The last state of one sequence, as the forward kernel rolls it out, and its output."""
    batch = Sequences.of_lengths(X, [len(X)]).minibatch(np.arange(1))
    n, d = network.n_hidden, network.n_features
    S, Q = np.empty((len(X) + 1, n), X.dtype), np.empty((1, network.n_outputs), X.dtype)
    weights, rows, H = np.empty((d + 1 + n, n), X.dtype), np.empty((len(X), d + 1), X.dtype), np.empty((1, n), X.dtype)
    kernel_calls.forward(
        backend.kernels(),
        *(X, 1.0, batch.first_rows, batch.lengths, batch.offsets, network.Theta, network.Psi, network.activation),
        *(weights, rows, S, Q),
        read_out=network.read_out,
        initial=network.initial_states(1),
        H=H,
        steps=np.empty((1, n), np.int32),
    )
    return S[-1], Q[0]


def test_the_state_after_100_000_observations():
    X = np.random.default_rng(1).normal(size=(100_000, 2)).astype(np.float32)
    net = network("float32", n=32)
    expected, _ = whole_sequence(net, X)
    stream = Stream(net, Answer("softmax"), 1.0, (1, 1))
    for x in X:
        stream(x)
    assert stream.state.s.dtype == np.float32
    np.testing.assert_allclose(stream.state.s[0], expected, rtol=0, atol=1e-5)
    at_once = Stream(net, Answer("softmax"), 1.0, (1, 1))
    at_once.read(X)
    np.testing.assert_array_equal(at_once.state.s, stream.state.s)
    assert stream.state.n_read == 100_000


def test_the_mean_of_100_000_states_is_that_of_float64():
    X = np.random.default_rng(1).normal(size=(100_000, 2)) + 1
    unscaled = Answer("values")
    found = Stream(network("float32", 16, read_out="mean"), unscaled, 1.0, (1, 1)).read(X, every_step=False)
    _, expected = whole_sequence(network("float64", 16, read_out="mean"), X)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("read_out", READ_OUTS)
def test_streams_start_from_s_0(backend_name, read_out):
    s_0 = np.random.default_rng(2).normal(size=64)
    net = network("float64", read_out=read_out, s_0=s_0)
    X = np.random.default_rng(1).normal(size=(9, 2))
    stream = Stream(net, Answer("values"), 1.0, (1, 1))
    np.testing.assert_array_equal(stream.state.s, s_0[None])
    found = [stream(x) for x in X]
    for t in (1, 5, 9):
        np.testing.assert_allclose(found[t - 1], whole_sequence(net, X[:t])[1], rtol=1e-12)
    stream.reset()
    np.testing.assert_array_equal(stream.state.s, s_0[None])


def make_case(dtype, B=3, n=37, K=5, frame=2, stride=3, read_out="mean", d=2, seed=0):
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.normal(size=shape).astype(dtype)

    return SimpleNamespace(
        Theta=normal(n, frame * d + n + 1) / np.sqrt(n).astype(dtype),
        Psi=normal(K, n + 1),
        read_out=read_out,
        d=d,
        frame=frame,
        stride=stride,
        S=normal(B, stride, n),
        pooled=None if read_out == "last" else rng.normal(size=(B, stride, n)),
        recent=normal(B, frame - 1, d),
        n_read=rng.integers(0, 9, B),
        answer="values",
        mean=rng.normal(size=K),
        deviation=rng.normal(size=K),
    )


def stepper(kernels, case, **changed):
    c = SimpleNamespace(**copy.deepcopy(vars(case)) | changed)
    arrays = c.S, c.pooled, c.recent, c.n_read
    state = SimpleNamespace(states=c.S, pooled=c.pooled, recent=c.recent, n_read=c.n_read)
    answer = SimpleNamespace(name=c.answer, mean=c.mean, deviation=c.deviation)
    layers = [SimpleNamespace(n_hidden=np.shape(c.Theta)[0], cell=Elman(), maps=(c.Theta,))]
    return arrays, kernels.stepper(c.d, (c.frame, c.stride), layers, c.Psi, c.read_out, 1.5, state, answer)


sizes = {name: st.integers(1, most) for name, most in dict(B=5, n=70, K=6, frame=3, stride=3, d=4, N=6).items()}


@settings(max_examples=60)
@given(
    **sizes, dtype=st.sampled_from(["float32", "float64"]), read_out=st.sampled_from(READ_OUTS),
    answer=st.sampled_from(ANSWERS),
    last=st.booleans(),
)  # fmt: skip
def test_compiled_agrees_with_its_twin(B, n, K, frame, stride, d, N, dtype, read_out, answer, last):
    case = make_case(dtype, B, n, K, frame, stride, read_out, d)
    scaled = answer == "scaled"
    answer = {} if scaled else {"answer": answer, "mean": None, "deviation": None}
    observations = np.random.default_rng(1).normal(size=(B, N, d))
    results = []
    for kernels in (COMPILED, reference):
        arrays, found = stepper(kernels, case, **answer)
        outputs = np.full((B, 1 if last else N, K), 7, np.float64 if scaled else dtype)
        assert found.read(observations, outputs) == 0
        results.append((outputs, *arrays))
    tolerance = {"float32": 3e-5, "float64": 1e-12}[dtype]
    for found, expected in zip(*results, strict=True):
        if expected is not None:
            np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kernels", [COMPILED, reference], ids=["compiled", "numpy"])
def test_kernels_refuse_what_does_not_belong_together(kernels):
    case = make_case("float64")
    for changed in (
        {"Theta": case.Theta[:, 1:].copy()},
        {"Psi": case.Psi[:, 1:].copy()},
        {"S": case.S[:, 1:].copy()},
        {"pooled": None},
        {"pooled": case.pooled[1:].copy()},
        {"recent": case.recent[1:].copy()},
        {"recent": np.zeros((3, 4, 2))},
        {"n_read": case.n_read[1:].copy()},
        {"n_read": -case.n_read - 1},
        {"mean": None},
        {"answer": "softmax"},
        {"answer": "exp"},
        {"mean": np.zeros(1)},
        {"stride": 2},
        {"stride": 0},
        {"read_out": "each"},
        {"read_out": "last"},
    ):
        with pytest.raises(ValueError, match="stepper|read-out"):
            stepper(kernels, case, **changed)
    _, found = stepper(kernels, case)
    outputs = np.zeros((3, 5))
    for given_form in (
        np.zeros(2),
        np.zeros((2, 2)),
        np.zeros((3, 3)),
        np.zeros((3, 4))[:, ::2],
        np.zeros((3, 0, 2)),
        np.zeros((3, 1, 2, 1)),
        np.zeros((3, 2), np.int64),
        np.array(1.0),
    ):
        assert found.read(given_form, outputs) == 1
    for wrong in (np.zeros((3, 5), np.float32), np.zeros((3, 15))):
        with pytest.raises(ValueError, match="outputs|reshape"):
            found.read(np.zeros((3, 2, 2)), wrong)


def assert_refuses(stream, match, x, read=False, error=ValueError):
    """It raises, and the streams are where they were."""
    before = stream.state
    with pytest.raises(error, match=match):
        (stream.read if read else stream)(x)
    for name, array in vars(before).items():
        np.testing.assert_array_equal(getattr(stream.state, name), array)


@pytest.mark.parametrize("read_out", READ_OUTS)
@pytest.mark.parametrize("frame", [None, (2, 2)])
def test_what_cannot_be_read_changes_nothing(backend_name, data, frame, read_out):
    X, Y = data
    model = fitted(RNNRegressor, X, Y[:, -1], frame=frame, readout=read_out)
    one, two = model.stream(), model.stream(2)
    one.read(X[0, :3]), two.read(X[:2, :3])
    for value, found in ((np.nan, "NaN"), (np.inf, "infinity"), (1e200, "too large for float32")):
        assert_refuses(one, rf"x contains .*{found}.*at \(1,\)", np.array([0, value, 0]))
        assert_refuses(one, rf"x contains .*{found}", [0, value, 0])
        assert_refuses(two, rf"x contains .*{found}.*at \(1, 2\)", np.array([[0, 0, 0], [0, 0, value]]))
        later = X[0].copy()
        later[7, 1] = value
        assert_refuses(one, rf"X contains .*{found}.*at \(0, 7, 1\)", later, read=True)
    for x, match in (
        (np.zeros(2), r"x has the shape \(2,\); pass \(n_features,\), here \(3,\)"),
        (np.zeros((2, 3)), r"x has the shape \(2, 3\); pass \(n_streams, n_features\), here \(1, 3\)"),
        (np.zeros((1, 1, 3)), r"x has the shape \(1, 1, 3\)"),
        (0.5, r"x has the shape \(\)"),
        ([[1, 2, 3], [1, 2]], "x has rows of different lengths"),
        (np.ma.masked_array(np.zeros(3), [0, 1, 0]), "masked"),
        (np.zeros(3, complex), "Complex data"),
    ):
        assert_refuses(one, match, x)
    for x in ("abc", None, ["a", "b", "c"], np.zeros(3, "M8[s]")):
        assert_refuses(one, "x holds|x has", x, error=(TypeError, ValueError))
    assert_refuses(two, r"here \(2, 3\)", np.zeros(3))
    assert_refuses(two, r"here \(2, 3\)", np.zeros((3, 2)))
    assert_refuses(two, r"X has the shape \(5, 3\); pass \(n_streams, n_steps", np.zeros((5, 3)), read=True)
    assert_refuses(one, r"X has the shape \(0, 3\)", np.zeros((0, 3)), read=True)
    with pytest.raises(TypeError, match="every_step is 1"):
        one.read(X[0], every_step=1)
    with pytest.raises(ValueError, match="n_streams is 0"):
        model.stream(0)
    with pytest.raises(ValueError, match="streams does not fit the 2 streams"):
        two.reset([2])
    with pytest.raises(TypeError, match="streams is"):
        two.reset([0.5])
    one(X[0, 3])


def test_what_is_too_large_before_it_is_scaled_is_named(backend_name, data):
    X, Y = data
    stream = fitted(RNNRegressor, X, Y[:, -1], scale=1e-3).stream()
    assert_refuses(stream, r"x contains .*too large for float32.*at \(1,\)", np.array([0, 1e40, 0]))


def test_an_overflow_changes_nothing(backend_name, data):
    X, Y = data
    model = fitted(RNNRegressor, X, Y[:, -1], activation="relu")
    model.U_[:], model.W_[:] = 9, 50 * np.eye(9)
    stream = model.stream()
    stream(X[0, 0])
    assert_refuses(stream, "outputs for x are not finite", np.full(3, 3e38))
    assert_refuses(stream, "outputs for X are not finite", np.tile(X[0], (20, 1)), read=True)


def test_states_of_other_models_are_refused(backend_name, data):
    X, Y = data
    model = fitted(RNNRegressor, X, Y[:, -1])
    good = model.stream().state
    for other, match in (
        (fitted(RNNRegressor, X, Y[:, -1], hidden_size=8), r"state.states has the shape \(1, 1, 8\) where \(1, 1, 9\)"),
        (fitted(RNNRegressor, X, Y[:, -1], readout="mean"), "state.pooled has the shape"),
        (fitted(RNNRegressor, X, Y[:, -1], frame=(3, 1)), "state.recent has the shape"),
        (fitted(RNNRegressor, X, Y[:, -1], dtype="float64"), "state.states is float64 and must be float32"),
    ):
        with pytest.raises(ValueError, match=match):
            model.step(X[0, 0], other.stream().state)
    with pytest.raises(ValueError, match="as many streams"):
        model.step(X[:2, 0], good)
    with pytest.raises(TypeError, match="state is of type ndarray"):
        model.step(X[0, 0], np.zeros(9))
    with pytest.raises(ValueError, match="n_read is negative"):
        model.stream().state = StreamState(good.states, None, good.recent, good.n_read - 5)
    with pytest.raises(ValueError, match="state.n_read is list"):
        model.stream().state = StreamState(good.states, None, good.recent, [0])


def test_an_estimator_that_is_not_fitted_has_no_streams():
    for name, arguments in (("stream", ()), ("step", ([0.0],)), ("forecast", ([[0.0]], 1))):
        with pytest.raises(ValueError, match="not fitted"):
            getattr(RNNRegressor(), name)(*arguments)


def test_streams_of_several_threads(data):
    X, Y = data
    model = fitted(RNNRegressor, X, Y[:, -1], hidden_size=64)
    long = np.tile(X[:2], (1, 300, 1))
    expected, found = model.stream(2).read(long), {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: model.stream(2).read(long)})) for i in range(4)
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for i in range(4):
        np.testing.assert_array_equal(found[i], expected)


def test_two_threads_cannot_read_one_stream_at_once(data):
    X, Y = data
    stream = fitted(RNNRegressor, X, Y[:, -1], hidden_size=64).stream(2)
    long, errors = np.tile(X[:2], (1, 20_000, 1)), []

    def read():
        try:
            stream.read(long, every_step=False)
        except RuntimeError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    n_read = stream.state.n_read.tolist()
    assert n_read == [220_000] * 2 and "another thread" in errors[0] or n_read == [440_000] * 2
    assert np.isfinite(stream(X[:2, 0])).all()


def test_a_step_allocates_its_result_only(data):
    X, Y = data
    stream, x = fitted(RNNRegressor, X, Y[:, -1], hidden_size=200, readout="mean").stream(8), X[:8, 0].copy()
    outputs = stream(x)
    tracemalloc.start()
    try:
        for _ in range(50):
            outputs = stream(x)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2 * outputs.nbytes + 1000  # a state has 8 * 200 numbers


def test_streams_keep_their_weights_when_the_model_is_fitted_again(data):
    X, Y = data
    model = fitted(RNNRegressor, X, Y[:, -1])
    stream, expected = model.stream(), model.stream().read(X[0])
    model.W_[:] = 0
    model.fit(X, -Y[:, -1])
    np.testing.assert_array_equal(stream.read(X[0]), expected)


# Forecasts


def naive(model, history, horizon):
    """Predict the whole series, append the prediction, and so on."""
    history = np.asarray(history, float)
    for _ in range(horizon):
        following = np.asarray(model.predict([history])[0])
        following = following if model._form_of_targets == "sequence" else following[-1]
        history = np.concatenate([history, following.reshape(1, -1)])
    return history[len(history) - horizon :]


@pytest.mark.parametrize("frame", [None, (3, 2)])
@pytest.mark.parametrize("read_out", [*READ_OUTS, "each"])
def test_a_forecast_is_the_naive_loop(backend_name, frame, read_out):
    rng = np.random.default_rng(0)
    t = np.arange(30)[:, None] + rng.uniform(0, 9, (40, 1, 1))
    waves = np.concatenate([np.sin(0.4 * t), 10 + 2 * np.cos(0.4 * t)], axis=2)
    kind = {"dtype": "float64", "frame": frame, "max_epochs": 3}
    if read_out == "each":
        X, y = waves[:, :-1], waves[:, 1 if frame is None else frame[0] :: 1 if frame is None else frame[1]]
    else:
        X, y, kind["readout"] = waves[:, :-1], waves[:, -1], read_out
    model = fitted(RNNRegressor, X, y, **kind)
    histories = [waves[0, :9], waves[1, :4], waves[2], waves[3, :9]]
    found = model.forecast(histories, 7)
    assert found.shape == (4, 7, 2)
    for values, history in zip(found, histories, strict=True):
        np.testing.assert_allclose(values, naive(model, history, 7), rtol=1e-9)
        np.testing.assert_allclose(model.forecast(history, 7), values, rtol=1e-12)
    np.testing.assert_allclose(model.forecast(waves[:5], 1)[:, 0], answers_at_the_end(model, waves[:5]), rtol=1e-12)


def answers_at_the_end(model, X):
    predicted = model.predict(X)
    return predicted if model._form_of_targets == "sequence" else predicted[:, -1]


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("axis", [False, True])
def test_forecasts_have_the_form_of_the_targets(backend_name, per_step, axis):
    waves = np.sin(0.4 * np.arange(30) + np.arange(20)[:, None])
    y = waves[:, 1:] if per_step else waves[:, -1]
    model = fitted(RNNRegressor, waves[:, :-1], y[..., None] if axis else y)
    one, several = ((7, 1), (3, 7, 1)) if axis else ((7,), (3, 7))
    expected = naive(model, waves[0][:, None], 7).reshape(one)
    for history in (waves[0], waves[0][:, None], waves[0].tolist(), waves[0][:, None].tolist()):
        found = model.forecast(history, 7)
        assert found.shape == one
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    unequal = [waves[0], waves[1, :5], waves[2, :9, None]]
    objects = np.empty(3, object)
    objects[:] = unequal
    for history in (waves[:3], waves[:3, :, None], unequal, objects):
        found = model.forecast(history, 7)
        assert found.shape == several
        np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)


def test_a_forecast_follows_a_wave():
    waves = np.sin(0.3 * np.arange(60) + np.arange(200)[:, None])
    model = RNNRegressor(32, random_state=0, penalty=0.0).fit(waves[:, :-1], waves[:, 1:])
    found = model.forecast(np.sin(0.3 * np.arange(40) + 0.5), 20)
    np.testing.assert_allclose(found, np.sin(0.3 * np.arange(40, 60) + 0.5), atol=0.15)


def test_integer_histories_are_scaled_as_in_fit(backend_name):
    counts = np.random.default_rng(0).integers(0, 200, (40, 12, 1)).astype(np.uint8)
    model = fitted(RNNRegressor, counts[:, :-1], counts[:, -1].astype(float), scale=1 / 255, dtype="float64")
    np.testing.assert_allclose(model.forecast(counts[0], 4), naive(model, counts[0], 4), rtol=1e-9)


def test_what_cannot_be_forecast_is_refused(backend_name, data):
    X, Y = data
    model = fitted(RNNRegressor, X, X[:, -1], frame=(3, 1))
    bad = X[1].copy()
    bad[4, 2] = np.nan
    for history, match in (
        ([X[0], bad], r"history\[1\] contains NaN, first at \(4, 2\)"),
        (bad, r"history contains NaN, first at \(4, 2\)"),
        (X[0, :2], "history has 2 steps, fewer than the frame of 3"),
        ([X[0], X[0, :2]], r"history\[1\] has 2 steps"),
        (X[0, :, :2], r"history has the shape \(11, 2\); pass \(n_steps, 3\)"),
        (X[:0], "history is empty"),
        ([], "history is empty"),
        (X[None], r"history has 4 dimension\(s\)"),
        (1.0, r"history has 0 dimension"),
        ([[[1, 2], [1]]], r"history\[0\] has rows of different lengths"),
    ):
        with pytest.raises(ValueError, match=match):
            model.forecast(history, 3)
    for horizon, error in ((0, ValueError), (-1, ValueError), (2.5, TypeError), (None, TypeError)):
        with pytest.raises(error, match="horizon is"):
            model.forecast(X[0], horizon)
    diverges = fitted(RNNRegressor, X, X[:, -1], activation="identity")
    diverges.W_[:] = 30 * np.eye(9)
    with pytest.raises(ValueError, match="outputs for the forecast are not finite|too large for float32"):
        diverges.forecast(X[0], 10_000)
