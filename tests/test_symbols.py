"""Symbols: codes in the place of rows of the unit matrix, which are never made."""

import tracemalloc
from types import SimpleNamespace

import kernel_calls
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from admmirnn import Algorithm1, Rollout, backend
from admmirnn.data.sequences import Sequences
from admmirnn.losses import SoftmaxCrossEntropy
from admmirnn.networks import ElmanRNN
from admmirnn.networks.cells import Elman
from admmirnn.penalties import Box, Lasso, SpectralBall
from admmirnn.solvers.rollout.state import Layer

COMPILED, NUMPY = backend._compiled(), backend._numpy()
BACKENDS = pytest.mark.parametrize("kernels", [COMPILED, NUMPY], ids=["compiled", "numpy"])
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
READ_OUTS = ("last", "each", "mean", "max")
LENGTHS = {"one": (1,), "equal": (4,) * 5, "unequal": (3, 1, 7, 7, 2), "many": (5, 2, 9) * 9}
TOLERANCES = {"float32": 2e-4, "float64": 1e-11}


@pytest.fixture(autouse=True, scope="module")
def one_blas_thread():
    """As in every fit and every prediction."""
    with backend.one_blas_thread():
        yield


def both_forms(lengths, n_symbols, dtype, code_dtype=np.uint8, seed=0):
    """The same sequences as symbols and as rows of the unit matrix."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, n_symbols, sum(lengths)).astype(code_dtype)
    codes.flags.writeable = False
    rows = Sequences.of_lengths(np.eye(n_symbols, dtype=dtype)[codes], lengths)
    return Sequences(codes[:, None], rows.first_rows, rows.lengths, n_symbols=n_symbols), rows


def make_case(lengths, dtype, *, read_out="each", initial=False, code_dtype=np.uint8, n=5, n_symbols=6, K=3):
    rng = np.random.default_rng(1)
    symbols, rows = both_forms(lengths, n_symbols, dtype, code_dtype)
    batch = symbols.minibatch(np.arange(len(lengths)))
    B, m = len(lengths), n_symbols + n + 1
    n_outputs = batch.offsets[-1] - batch.offsets[1] if read_out == "each" else B

    def normal(*shape, scale=1.0):
        return (scale * rng.normal(size=shape)).astype(dtype)

    return SimpleNamespace(
        batch=batch,
        observations={True: symbols.observations, False: rows.observations},
        Theta=normal(n, m, scale=1.2 / np.sqrt(n)),
        Psi=normal(K, n + 1),
        read_out=read_out,
        initial=normal(B, n) if initial else None,
        labels=rng.integers(0, K, n_outputs),
        weights=rng.uniform(0.5, 2, n_outputs).astype(dtype),
        dtype=np.dtype(dtype),
        shape=(B, batch.n_rows, n_outputs, n_symbols, n, K),
    )


def forward(kernels, c, symbols, n_threads=1, **changed):
    B, n_rows, n_outputs, d, n, K = c.shape
    c = SimpleNamespace(**vars(c) | {"observations": c.observations[symbols], "scale": 1.0} | changed)

    def nan(*shape):
        return np.full(shape, np.nan, c.dtype)

    out = SimpleNamespace(
        X=None if symbols else nan(n_rows, d + 1),
        codes=np.full(n_rows, -1, np.int32) if symbols else None,
        S=nan(c.batch.offsets[-1], n),
        Q=nan(n_outputs, K),
        O_plus=nan(n_outputs, K),
        lambda3=nan(n_outputs, K),
        H=nan(B, n) if c.read_out in ("mean", "max") else None,
        steps=np.full((B, n), -1, np.int32) if c.read_out == "max" else None,
    )
    vars(out).update({name: changed[name] for name in vars(out) if name in changed})
    out.loss, out.n_correct = kernel_calls.forward(
        kernels,
        *(c.observations, c.scale, c.batch.first_rows, c.batch.lengths, c.batch.offsets, c.Theta, c.Psi, "tanh"),
        *(nan(d + 1 + n, n), out.X, out.S, out.Q, c.labels, None, c.weights, 0.7, out.O_plus, out.lambda3),
        *("cross_entropy", 0.0, n_threads, c.read_out, 1, c.initial, out.H, out.steps, out.codes),
    )
    return out


def backward(kernels, c, at, first=0, every=1, cap=0.8, n_threads=1, roots=None, **changed):
    B, n_rows, _, d, n, K = c.shape
    m, rng, symbols = d + n + 1, np.random.default_rng(2), at.X is None
    G = rng.normal(size=(m, 2 * m))
    G = (G @ G.T).astype(c.dtype)
    G[:d, :d] = np.diag(np.diag(G)[:d])  # as symbols have it,
    G[-1, :d] = G[:d, -1] = np.diag(G)[:d]  # one of which is always there
    out = SimpleNamespace(
        lambda1=np.full((n_rows, n), np.nan, c.dtype),
        M=rng.normal(size=(n, m)).astype(c.dtype),
        G=np.ascontiguousarray(G[:, d:]) if symbols else np.tril(G),
        output_M=rng.normal(size=(K, n + 1)).astype(c.dtype),
        output_G=np.eye(n + 1, dtype=c.dtype),
        initial=np.full((B, n), np.nan, c.dtype),
        scratch=np.full(kernels.backward_room(Elman(), d, n, K, n_threads, symbols), np.nan, c.dtype),
    )
    vars(out).update({name: changed[name] for name in vars(out) if name in changed})
    at = SimpleNamespace(**vars(at) | changed)
    out.n_capped = kernel_calls.backward(
        kernels,
        *(c.Theta, c.Psi, at.X, at.S, c.batch.offsets, at.lambda3, "tanh", cap, 0.6, 0.9, first, every),
        *(out.lambda1, out.M, out.G, out.output_M, out.output_G, out.scratch, n_threads, c.read_out, c.weights),
        *(c.batch.lengths, None if at.H is None else at.H.copy(), at.steps, c.initial is None, out.initial, at.codes),
        roots=roots,
    )
    out.scratch = None
    out.G, out.output_G = whole(out.G), np.tril(out.output_G)
    return out


def whole(G):
    """The lower triangle of G, from the columns of [s 1] where the others are of symbols."""
    d = len(G) - G.shape[1]
    if not d:
        return np.tril(G)
    return np.tril(np.hstack([np.vstack([np.diag(G[:d, -1]), G[:d].T]), np.vstack([np.zeros_like(G[:d]), G[d:]])]))


def assert_same(found, expected, dtype):
    tolerance = TOLERANCES[np.dtype(dtype).name]
    for name, value in vars(expected).items():
        if value is not None and name != "X":
            np.testing.assert_allclose(getattr(found, name), value, atol=tolerance, rtol=tolerance, err_msg=name)


# Kernels


@BACKENDS
@DTYPES
@pytest.mark.parametrize("initial", [False, True])
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("read_out", READ_OUTS)
def test_sweeps_over_symbols_are_those_over_rows_of_the_unit_matrix(kernels, read_out, lengths, initial, dtype):
    c = make_case(LENGTHS[lengths], dtype, read_out=read_out, initial=initial)
    found, expected = forward(kernels, c, True), forward(kernels, c, False)
    assert_same(found, SimpleNamespace(**vars(expected) | {"codes": expected.X[:, :-1].argmax(axis=1)}), dtype)
    last = len(c.batch.offsets) - 3
    of_calls = ({"roots": np.linspace(0.5, 2, len(c.batch)).astype(dtype)}, {"cap": np.inf, "first": last, "every": 9})
    for settings in ({}, *of_calls, {"cap": 0.05, "first": min(1, last), "every": 2}):
        assert_same(backward(kernels, c, found, **settings), backward(kernels, c, expected, **settings), dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("n_symbols", [1, 2, 256])
def test_codes_of_both_widths(n_symbols, dtype):
    c = make_case(LENGTHS["unequal"], "float64", code_dtype=dtype, n_symbols=n_symbols)
    found, expected = forward(COMPILED, c, True), forward(COMPILED, c, False)
    assert_same(found, expected, "float64")
    assert_same(backward(COMPILED, c, found), backward(COMPILED, c, expected), "float64")


@pytest.mark.parametrize("read_out", READ_OUTS)
def test_threads_differ_by_rounding(read_out):
    c = make_case((30, 25, 40, 31) * 8, "float64", read_out=read_out, n=64, n_symbols=40)
    alone, shared = forward(COMPILED, c, True), forward(COMPILED, c, True, n_threads=3)
    assert_same(shared, alone, "float64")
    assert_same(backward(COMPILED, c, alone, n_threads=3), backward(COMPILED, c, alone), "float64")


def update(kernels, G, output_G, M, damping, factored=None, factor=None, symbols=None):
    """The moves of both layers, and what `update_weights` returns."""
    (n, m), columns, K, dtype = M.shape, G.shape[1], 3, M.dtype
    symbols = columns < m if symbols is None else symbols
    rng = np.random.default_rng(3)
    Theta, Psi, output_M = np.zeros((n, m), dtype), np.zeros((K, n + 1), dtype), rng.normal(size=(K, n + 1))
    factor = np.full_like(G, np.nan) if factor is None else factor
    output_factor = np.linalg.cholesky(output_G + damping * np.eye(n + 1)).astype(dtype)
    d = m - n - 1
    outcome = kernel_calls.update_weights(
        kernels, n=n, d=d, K=K, n_symbols=d if symbols else 0, M=M, G=G, factor=factor, Theta=Theta, Psi=Psi,
        D=np.full((m, n), np.nan, dtype), output_D=np.full((n + 1, K), np.nan, dtype),
        output_M=output_M.astype(dtype), output_G=output_G, output_factor=output_factor,
        scratch=np.full(max(m * n, m * columns, K * (n + 1)), np.nan, dtype), factored=factored,
        damping=damping, r=0.5, radius=0.3, output_radius=0.2, schedule=0.9, shrinkage=0.4,
    )  # fmt: skip
    return SimpleNamespace(Theta=Theta, Psi=Psi, outcome=np.array(outcome)), outcome, factor


def gram_of_symbols(dtype, d, n, n_rows=60, unseen=0, seed=4):
    """Both forms of the Gram matrix of rows [x, s, 1], the last ``unseen`` symbols never being there."""
    rng = np.random.default_rng(seed)
    Z = np.hstack([
        np.eye(d)[rng.integers(0, d - unseen, n_rows)], np.tanh(rng.normal(size=(n_rows, n))), np.ones((n_rows, 1))
    ])  # fmt: skip
    G = (Z.T @ Z / n_rows).astype(dtype)
    return np.ascontiguousarray(G[:, d:]), G


@BACKENDS
@DTYPES
@pytest.mark.parametrize(("d", "n"), [(1, 1), (6, 5), (40, 3), (3, 70)])
@pytest.mark.parametrize("damping", [0.1, 1e-3, 1e4])
def test_weight_step_of_symbols_is_that_of_the_whole_gram_matrix(kernels, damping, d, n, dtype):
    columns, G = gram_of_symbols(dtype, d, n, n_rows=4 * (d + n))
    R, output_G = np.random.default_rng(5).normal(size=(n, d + n + 1)).astype(dtype), np.eye(n + 1, dtype=dtype)
    M = R @ G  # sums of inputs, as there are
    found, outcome, factor = update(kernels, columns, output_G, M, damping)
    expected, whole_outcome, whole_factor = update(kernels, G, output_G, M, damping)
    assert_same(found, expected, dtype)
    later_columns, later = gram_of_symbols(dtype, d, n, seed=6)
    M = R @ later
    found, _, _ = update(kernels, later_columns, output_G, M, damping, outcome, factor)
    expected, _, _ = update(kernels, later, output_G, M, damping, whole_outcome, whole_factor)
    assert_same(found, expected, dtype)


@BACKENDS
@DTYPES
def test_damping_is_raised_for_symbols_that_were_never_there(kernels, dtype):
    columns, G = gram_of_symbols(dtype, 6, 5, unseen=2)
    M, output_G = np.random.default_rng(5).normal(size=(5, 12)).astype(dtype), np.eye(6, dtype=dtype)
    _, (found, _), _ = update(kernels, columns, output_G, M, 0.0)
    _, (expected, _), _ = update(kernels, G, output_G, M, 0.0)
    assert found[2] > 0  # the columns of the symbols sum up to that of ones besides
    assert found[2:] == pytest.approx(expected[2:], rel=1e-6)


@BACKENDS
@pytest.mark.parametrize("place", [(0, 0), (2, -1), (7, 0), (-1, -1)])
def test_nothing_moves_when_statistics_of_symbols_are_not_finite(kernels, place):
    columns, _ = gram_of_symbols("float64", 6, 5)
    columns[place] = np.nan
    found, _, _ = update(kernels, columns, np.eye(6), np.ones((5, 12)), 0.1)
    assert not found.Theta.any()
    assert not np.isfinite(found.outcome[0, 0])


# What kernels refuse


@BACKENDS
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_forward_refuses_codes_out_of_range(kernels, dtype):
    c = make_case(LENGTHS["unequal"], "float64", code_dtype=dtype)
    for place in (0, 7, -1):
        observations = c.observations[True].copy()
        observations[place] = 6
        with pytest.raises(ValueError, match="forward: .* code .* not below 6"):
            forward(kernels, c, True, observations=observations)


@pytest.mark.parametrize("code", [-1, 6, np.iinfo(np.int32).min, np.iinfo(np.int32).max])
def test_backward_refuses_codes_out_of_range(code):
    c = make_case(LENGTHS["unequal"], "float64")
    at = forward(COMPILED, c, True)
    at.codes[5] = code
    with pytest.raises(ValueError, match="backward: the code in row 5 is .*; codes must be from 0 to 5"):
        backward(COMPILED, c, at)


def wrong_forward(c):
    codes, n_rows = c.observations[True], c.shape[1]
    yield {"observations": codes.astype(np.float64)}
    yield {"observations": codes.astype(np.int8)}
    yield {"observations": codes.astype(np.int32)}
    yield {"observations": np.hstack([codes, codes])}
    yield {"observations": np.hstack([codes, codes])[:, :1]}
    yield {"observations": codes[:-1]}
    yield {"scale": 0.5}
    yield {"X": np.empty((n_rows, 7))}
    yield {"codes": None}
    yield {"codes": np.empty(n_rows - 1, np.int32)}
    yield {"codes": np.empty(n_rows, np.int64)}
    yield {"codes": np.empty(2 * n_rows, np.int32)[::2]}


def wrong_backward(c, at):
    _, n_rows, _, d, n, K = c.shape
    room = COMPILED.backward_room(Elman(), d, n, K, 1, True)
    yield {"X": np.empty((n_rows, d + 1))}
    yield {"codes": None}
    yield {"codes": at.codes[:-1]}
    yield {"codes": at.codes.astype(np.int64)}
    yield {"codes": np.repeat(at.codes, 2)[::2]}
    yield {"G": np.empty((d + n + 1, d + n + 1))}
    yield {"G": np.empty((d + n, n + 1))}
    yield {"scratch": np.empty(room - 1)}


def test_what_does_not_belong_together_is_refused():
    c = make_case(LENGTHS["unequal"], "float64")
    for changed in wrong_forward(c):
        with pytest.raises((ValueError, BufferError), match="forward|contiguous|work: |batch: "):
            forward(COMPILED, c, True, **changed)
    at = forward(COMPILED, c, True)
    for changed in wrong_backward(c, at):
        with pytest.raises(ValueError, match="backward|contiguous|work: |linear_map: "):
            backward(COMPILED, c, at, **changed)
    columns, _ = gram_of_symbols("float64", 6, 5)
    for G in (columns[:, 1:].copy(), columns[:-1].copy(), np.hstack([columns, columns[:, :1]])):
        with pytest.raises(ValueError, match="linear_map"):
            update(COMPILED, G, np.eye(6), np.ones((5, 12)), 0.1, symbols=True)


# The solver


def solve(sequences, dtype="float64", *, n=6, K=3, solver=None, every_step=True, s_0=None, **options):
    n_targets = sequences.lengths.sum() if every_step else len(sequences)
    labels = np.random.default_rng(7).integers(0, K, n_targets)
    network = ElmanRNN.random(sequences.n_features, n, K, dtype=np.dtype(dtype), random_state=np.random.RandomState(0))
    network.s_0 = s_0
    (solver or Rollout()).solve(
        network,
        sequences,
        labels,
        SoftmaxCrossEntropy(),
        random_state=1,
        **{"max_epochs": 4, "batch_size": 4} | options,
    )
    return network


FITS = {
    "default": {},
    "one label per sequence": {"every_step": False},
    "ridge": {"penalty": 0.3, "solver": Rollout(metric="identity")},  # the other one leaves U of symbols alone
    "penalties": {"penalties": {"U": Lasso(1e-3), "W": SpectralBall(0.9)}},
    "all of Theta": {"penalties": {"UWb": Box(-0.5, 0.5)}},
    "little damping": {"solver": Rollout(damping=1e-4)},
    "G of all steps, factors anew": {"solver": Rollout(gram_every=1, factor_every=1)},
    "initial state": {"s_0": np.linspace(-1, 1, 6)},
    "two threads": {"n_threads": 2},
}


@pytest.mark.parametrize("options", FITS.values(), ids=FITS)
def test_solve_is_that_of_rows_of_the_unit_matrix(options, backend_name):
    symbols, rows = both_forms((9, 3, 14, 8, 1, 7, 7, 2, 12, 5) * 2, 5, "float64")
    found, expected = solve(symbols, **options), solve(rows, **options)
    for name, weights in expected.weights.items():
        np.testing.assert_allclose(found.weights[name], weights, atol=1e-7, err_msg=name)
    np.testing.assert_allclose(
        found.outputs(symbols, every_step=True), found.outputs(rows, every_step=True), atol=1e-12
    )


def test_penalties_without_damping_in_force(backend_name):
    symbols, _ = both_forms((9, 3, 14, 8), 5, "float64")
    network = solve(symbols, solver=Rollout(damping=0.0), penalties={"U": Lasso(1e-3)})
    assert np.isfinite(network.Theta).all()
    columns, G = gram_of_symbols("float64", 6, 5)
    of_symbols, of_rows = Layer(np.zeros((5, 12)), 0.1, n_symbols=6), Layer(np.zeros((5, 12)), 0.1)
    of_symbols.G[:], of_rows.G[:] = columns, G
    assert of_symbols.mean_square == pytest.approx(of_rows.mean_square)
    assert of_rows.mean_square == pytest.approx(G.trace() / 12)


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    n_symbols=st.integers(1, 20),
    read_out=st.sampled_from(["last", "mean", "max"]),
    every_step=st.booleans(),
    n_threads=st.integers(1, 3),
)
def test_outputs_are_those_of_rows_of_the_unit_matrix(lengths, n_symbols, read_out, every_step, n_threads):
    symbols, rows = both_forms(lengths, n_symbols, "float32", seed=len(lengths))
    network = ElmanRNN.random(n_symbols, 4, 2, random_state=np.random.RandomState(0), read_out=read_out)
    network.Psi[:] = np.random.default_rng(0).normal(size=network.Psi.shape)
    found, expected = (s.outputs for s in (network, network))
    np.testing.assert_allclose(
        found(symbols, every_step=every_step, n_threads=n_threads), expected(rows, every_step=every_step), atol=1e-5
    )


def test_nothing_of_the_size_of_the_vocabulary_squared_is_made():
    n_symbols, n = 3000, 4
    symbols, _ = both_forms((20,) * 8, n_symbols, np.float32, np.uint16)
    tracemalloc.start()
    solve(symbols, "float32", n=n)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * n_symbols * (n + 1) * 4  # one square would be 750 times n_symbols (n + 1) numbers
    assert peak < n_symbols**2


def test_solvers_refuse_what_they_cannot_read():
    symbols, _ = both_forms((4, 4), 5, "float64")
    labels = np.zeros(8, np.intp)
    network = ElmanRNN.random(5, 3, 2, random_state=np.random.RandomState(0))
    with pytest.raises(ValueError, match="sequences are symbols, which this solver does not read; use Rollout"):
        Algorithm1().solve(network, symbols, labels, SoftmaxCrossEntropy())
    codes = symbols.observations
    for match, changed in (
        ("code 4, and n_symbols is 4", {"n_symbols": 4}),
        ("one column of uint8 or uint16", {"observations": codes.astype(np.float64)}),
        ("one column of uint8 or uint16", {"observations": np.hstack([codes, codes])}),
        ("without frames or a scale", {"scale": 2.0}),
        ("without frames or a scale", {"frame": 2}),
    ):
        given = Sequences(**{field: getattr(symbols, field) for field in symbols.__dataclass_fields__} | changed)
        network = ElmanRNN.random(given.n_symbols, 3, 2, random_state=np.random.RandomState(0))
        with pytest.raises(ValueError, match=match):
            Rollout().solve(network, given, labels, SoftmaxCrossEntropy())
