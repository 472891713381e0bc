"""Kernels with every read-out, with initial states, and with frames: against the twin, and against differences."""

from types import SimpleNamespace

import kernel_calls
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from admmirnn import backend, reference
from admmirnn.data.sequences import Sequences
from admmirnn.networks.cells import Elman
from admmirnn.reference.layout import holes

COMPILED = backend._compiled()
READ_OUTS = ("last", "each", "mean", "max")
LENGTHS = {"one": (1,), "unequal": (3, 1, 7, 7, 2), "equal": (4,) * 9, "many": (13, 2, 11, 5) * 9}
TOLERANCES = {"float32": 5e-5, "float64": 1e-11}


@pytest.fixture(autouse=True, scope="module")
def one_blas_thread():
    with backend.one_blas_thread():
        yield


def make_case(lengths, read_out, dtype, *, initial=False, frame=1, stride=1, activation="tanh", n=9, K=4, seed=0):
    """A minibatch of windows of ``frame`` observations of two features, and its targets, some of which are missing."""
    rng = np.random.default_rng(seed)
    width, d, B = 2, 2 * frame, len(lengths)
    lengths = np.array(lengths)
    n_observations = (lengths - 1) * stride + frame
    first_rows = np.cumsum(n_observations) - n_observations
    batch = Sequences(np.empty((0, width)), first_rows, lengths).minibatch(np.arange(B))
    n_outputs = batch.offsets[-1] - batch.offsets[1] if read_out == "each" else B
    weights = rng.uniform(0.5, 2, n_outputs)
    if read_out == "each":
        weights[holes(batch.offsets)] = 0
        weights[rng.random(n_outputs) < 0.3] = 0
        weights[0] = 1

    def normal(*shape, scale=1.0):
        return (scale * rng.normal(size=shape)).astype(dtype)

    return SimpleNamespace(
        batch=batch,
        observations=normal(n_observations.sum(), width),
        Theta=normal(n, d + n + 1, scale=1.2 / np.sqrt(n)),
        Psi=normal(K, n + 1),
        activation=activation,
        read_out=read_out,
        stride=stride,
        initial=normal(B, n) if initial else None,
        labels=rng.integers(0, K, n_outputs),
        weights=weights.astype(dtype),
        dtype=np.dtype(dtype),
        shape=(B, batch.n_rows, n_outputs, d, n, K),
    )


def forward(kernels, c, rho=0.7, n_threads=1, **changed):
    B, n_rows, n_outputs, d, n, K = c.shape
    c = SimpleNamespace(**vars(c) | changed)
    out = SimpleNamespace(
        X=np.full((n_rows, d + 1), np.nan, c.dtype),
        S=np.full((c.batch.offsets[-1], n), np.nan, c.dtype),
        Q=np.full((n_outputs, K), np.nan, c.dtype),
        O_plus=np.full((n_outputs, K), np.nan, c.dtype),
        lambda3=np.full((n_outputs, K), np.nan, c.dtype),
        H=np.full((B, n), np.nan, c.dtype) if c.read_out in ("mean", "max") else None,
        steps=np.full((B, n), -1, np.int32) if c.read_out == "max" else None,
    )
    out.loss, out.n_correct = kernel_calls.forward(
        kernels,
        *(c.observations, 1.5, c.batch.first_rows, c.batch.lengths, c.batch.offsets, c.Theta, c.Psi, c.activation),
        *(
            np.empty((d + 1 + n, n), c.dtype),
            out.X,
            out.S,
            out.Q,
            c.labels,
            None,
            c.weights,
            rho,
            out.O_plus,
            out.lambda3,
        ),
        *("cross_entropy", 0.0, n_threads, c.read_out, c.stride, c.initial, out.H, out.steps),
    )
    return out


def backward(kernels, c, at, cap=0.8, first=0, every=2, momentum=0.6, decay=0.9, n_threads=1, R_every=1, roots=None):
    B, n_rows, _, d, n, K = c.shape
    rng = np.random.default_rng(1)

    def room(*shape):
        return rng.normal(size=shape).astype(c.dtype)

    out = SimpleNamespace(
        lambda1=np.full((n_rows, n), np.nan, c.dtype),
        M=room(n, d + n + 1),
        G=np.tril(room(d + n + 1, d + n + 1)),
        output_M=room(K, n + 1),
        output_G=np.tril(room(n + 1, n + 1)),
        H=None if at.H is None else at.H.copy(),
        initial=np.full((B, n), np.nan, c.dtype),
        R=np.eye(n),
    )
    out.n_capped = kernel_calls.backward(
        kernels,
        *(c.Theta, c.Psi, at.X, at.S, c.batch.offsets, at.lambda3, c.activation, cap, momentum, decay, first, every),
        *(out.lambda1, out.M, out.G, out.output_M, out.output_G),
        *(np.empty(COMPILED.backward_room(Elman(), d, n, K, n_threads), c.dtype), n_threads, c.read_out, c.weights),
        *(c.batch.lengths, out.H, at.steps, c.initial is None, out.initial, None, out.R, R_every, decay, roots),
    )
    out.G, out.output_G, out.R = np.tril(out.G), np.tril(out.output_G), np.tril(out.R)
    return out


def assert_same(found, expected, tolerance):
    for name, value in vars(expected).items():
        if value is not None:
            np.testing.assert_allclose(getattr(found, name), value, atol=tolerance, rtol=tolerance, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("initial", [False, True])
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("read_out", READ_OUTS)
def test_compiled_agrees_with_its_twin(read_out, lengths, initial, dtype):
    c = make_case(LENGTHS[lengths], read_out, dtype, initial=initial)
    expected = forward(reference, c)
    found = forward(COMPILED, c)
    assert_same(found, expected, TOLERANCES[dtype])
    roots = np.linspace(0.4, 3, len(c.batch)).astype(dtype)
    settings_of_calls = ({}, {"cap": np.inf}, {"cap": 0.05, "every": 1, "roots": roots})
    for settings in (*settings_of_calls, {"first": len(c.batch.offsets) - 3, "every": 9}, {"roots": roots, "every": 1}):
        assert_same(
            backward(COMPILED, c, found, **settings), backward(reference, c, found, **settings), TOLERANCES[dtype]
        )


@pytest.mark.parametrize("read_out", READ_OUTS)
def test_threads_differ_by_rounding(read_out):
    c = make_case((30, 25, 40, 31) * 8, read_out, "float64", n=64, initial=True)
    alone, shared = forward(COMPILED, c), forward(COMPILED, c, n_threads=3)
    assert_same(shared, alone, 1e-11)
    for roots in (None, np.linspace(0.4, 3, len(c.batch))):
        together, one = (
            backward(COMPILED, c, alone, n_threads=3, roots=roots),
            backward(COMPILED, c, alone, roots=roots),
        )
        assert_same(together, one, 1e-11)


@pytest.mark.parametrize("frame, stride", [(1, 1), (3, 1), (3, 2), (3, 3), (2, 5)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_frames_are_what_copies_of_the_observations_would_be(frame, stride, dtype):
    c = make_case(LENGTHS["unequal"], "last", dtype, frame=frame, stride=stride)
    rows = c.batch.first_rows[:, None] + stride * np.arange(7)
    copies = [
        c.observations[row : row + frame].ravel() for i, row in enumerate(rows) for row in row[: c.batch.lengths[i]]
    ]
    plain = Sequences.of_lengths(np.array(copies), c.batch.lengths).minibatch(np.arange(len(c.batch)))
    expected = forward(COMPILED, c, observations=np.array(copies), batch=plain, stride=1)
    assert_same(forward(COMPILED, c), expected, 0)
    assert_same(forward(reference, c), expected, TOLERANCES[dtype])


@pytest.mark.slow_on("numpy")
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("kernels", [COMPILED, reference], ids=["compiled", "numpy"])
@pytest.mark.parametrize("read_out", READ_OUTS)
def test_multipliers_are_the_gradient(read_out, kernels, activation):
    """As rho grows, L and the multipliers of s_0 become minus the gradient of the weighted losses' sum."""
    c = make_case((4, 2, 5), read_out, "float64", initial=True, activation=activation, n=5)
    at = forward(kernels, c, rho=1e9)
    found = backward(kernels, c, at, cap=np.inf, momentum=0.0)
    total, n_targets = c.weights.sum(), np.count_nonzero(c.weights)
    for name, mean in (("Theta", found.M), ("Psi", found.output_M), ("initial", found.initial / n_targets)):
        statistic = mean * n_targets / total
        start = getattr(c, name)
        gradient = np.empty_like(start)
        for index in np.ndindex(start.shape):
            losses = []
            for step in (1e-5, -1e-5):
                moved = start.copy()
                moved[index] += step
                losses.append(forward(kernels, c, **{name: moved}).loss)
            gradient[index] = (losses[0] - losses[1]) / 2e-5
        np.testing.assert_allclose(statistic, -gradient, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("kernels", [COMPILED, reference], ids=["compiled", "numpy"])
def test_rows_without_a_weight_say_nothing(kernels):
    c = make_case(LENGTHS["many"], "each", "float64")
    at = forward(kernels, c)
    labels = np.where(c.weights == 0, (c.labels + 1) % 4, c.labels)
    assert_same(backward(kernels, c, forward(kernels, c, labels=labels)), backward(kernels, c, at), 0)


def test_wrong_shapes_are_refused():
    c = make_case(LENGTHS["unequal"], "max", "float64")
    at = forward(COMPILED, c)
    for changed in ({"read_out": "each"}, {"read_out": "first"}, {"initial": np.zeros((4, 9))}, {"stride": 0}):
        with pytest.raises(ValueError, match="forward|read-out|batch: "):
            forward(COMPILED, c, **changed)
    for name, wrong in (("H", at.H[1:]), ("steps", at.steps[:, 1:].copy()), ("H", None), ("steps", None)):
        with pytest.raises(ValueError, match="backward|work: "):
            backward(COMPILED, c, SimpleNamespace(**vars(at) | {name: wrong}))
    for roots in (np.ones(len(c.batch) + 1), np.zeros(len(c.batch)), np.full(len(c.batch), np.nan)):
        with pytest.raises(ValueError, match="backward"):
            backward(COMPILED, c, at, roots=roots)
    c.weights[:] = 0
    with pytest.raises(ValueError, match="weight"):
        backward(COMPILED, c, at)


def part_of(c, at, chosen):
    """Some sequences of a minibatch as a minibatch of their own, and what `forward` has written of them."""
    offsets, lengths = c.batch.offsets, c.batch.lengths[chosen]
    skipped = len(offsets) - 2 - lengths.max()
    blocks = [offsets[t] + chosen[chosen < offsets[t + 1] - offsets[t]] for t in range(skipped, len(offsets) - 1)]
    rows = np.concatenate(blocks)
    of_part = np.cumsum([0, *map(len, blocks)])
    outputs = rows[of_part[1] :] - offsets[1] if c.read_out == "each" else chosen
    _, _, _, d, n, K = c.shape
    case = SimpleNamespace(**vars(c))
    case.batch = SimpleNamespace(offsets=of_part, lengths=lengths)
    case.weights, case.shape = None, (len(chosen), of_part[-2], len(outputs), d, n, K)
    return case, SimpleNamespace(
        X=at.X[rows[: of_part[-2]]],
        S=at.S[rows],
        lambda3=at.lambda3[outputs],
        H=None if at.H is None else at.H[chosen],
        steps=None if at.steps is None else at.steps[chosen] - np.int32(skipped),
    )


@pytest.mark.parametrize("kernels", [COMPILED, reference], ids=["compiled", "numpy"])
@given(
    parts=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=9),
    read_out=st.sampled_from(READ_OUTS),
    activation=st.sampled_from(["tanh", "sigmoid", "relu", "leaky_relu", "identity"]),
    growth=st.floats(0.5, 8),
    cap=st.sampled_from([0.1, 0.5, 1.0, 2.0, np.inf]),
    initial=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_minibatch_and_its_parts_have_the_same_sums(kernels, parts, read_out, activation, growth, cap, initial, seed):
    """Sequences of a length each, in the part of that number; the cap looks at one sequence at a time."""
    parts = sorted(parts, reverse=True)
    c = make_case(
        [length for length, _ in parts], read_out, "float64", initial=initial, activation=activation, seed=seed
    )
    c.Theta[:, c.shape[3] : -1] *= growth
    at = forward(reference, c)

    def sums_of(chosen):
        case, of_part = part_of(c, at, chosen)
        out = backward(kernels, case, of_part, cap=cap, every=1, momentum=0.0, decay=0.0)
        n_rows = len(of_part.X)
        return [len(of_part.lambda3) * out.M, len(of_part.lambda3) * out.output_M, n_rows * out.G, n_rows * out.R], out

    everything = np.arange(len(parts))
    whole, of_whole = sums_of(everything)
    part = np.array([part for _, part in parts])
    for split in (part, everything):
        found = [sums_of(np.flatnonzero(split == number)) for number in np.unique(split)]
        assert sum(out.n_capped for _, out in found) == of_whole.n_capped
        for sums in zip(whole, *(sums for sums, _ in found), strict=True):
            np.testing.assert_allclose(sum(sums[1:]), sums[0], rtol=0, atol=1e-11 * np.abs(sums[0]).max())
