"""The compiled kernels against their numpy twin, and both against what they promise."""

from types import SimpleNamespace

import numpy as np
import pytest

from admmirnn import backend
from admmirnn.sequences import Sequences

COMPILED, NUMPY = backend._compiled(), backend._numpy()
BACKENDS = pytest.mark.parametrize("kernels", [COMPILED, NUMPY], ids=["compiled", "numpy"])
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
ACTIVATIONS = pytest.mark.parametrize("activation", ["tanh", "relu"])
# lengths of the sequences, features, hidden units, outputs
SIZES = {
    "one": ((1,), 1, 1, 1),
    "odd": ((3, 1, 7, 7, 2), 3, 5, 2),
    "equal": ((4,) * 9, 2, 17, 11),
    "wide": ((13, 2, 11) * 11, 7, 33, 3),
}


def frozen(array):
    """A copy that nobody can write to."""
    array = np.array(array, order="C")
    array.flags.writeable = False
    return array


def make_case(size="odd", dtype=np.float64, activation="tanh", seed=0):
    """Read-only inputs of every kernel, those that other kernels compute being computed by the numpy twin."""
    lengths, d, n, K = SIZES[size]
    rng = np.random.default_rng(seed)
    B, m = len(lengths), d + n + 1

    def normal(*shape, scale=1.0):
        return (scale * rng.normal(size=shape)).astype(dtype)

    sequences = Sequences.of_lengths(frozen(normal(sum(lengths), d)), lengths)
    batch = sequences.minibatch(np.arange(B))
    Z = np.zeros((batch.offsets[-1], m), dtype)
    NUMPY.pack(sequences.observations, batch.first_rows, batch.lengths, batch.offsets, Z)
    packed = frozen(Z)
    Theta, Psi = normal(n, m, scale=1.2 / np.sqrt(n)), normal(K, n + 1)
    NUMPY.roll_out(Theta, batch.offsets, activation, Z)
    half = normal(m, 2 * m)
    weights = rng.uniform(0.5, 2, B).astype(dtype)
    return SimpleNamespace(
        observations=sequences.observations,
        first_rows=frozen(batch.first_rows),
        lengths=frozen(batch.lengths),
        offsets=frozen(batch.offsets),
        activation=activation,
        packed=packed,
        Z=frozen(Z),
        H=frozen(Z[batch.offsets[-2] :, d:]),
        Theta=frozen(Theta),
        Psi=frozen(Psi),
        Q=frozen(normal(B, K, scale=2)),
        labels=frozen(rng.integers(0, K, B).astype(np.intp)),
        values=frozen(normal(B, K)),
        weights=frozen(weights),
        lambda1=frozen(normal(batch.n_rows, n)),
        lambda3=frozen(normal(B, K)),
        M=frozen(normal(m, n)),
        G=frozen(half @ half.T / (2 * m)),
        n_steps=len(batch.offsets) - 2,
        A=frozen(normal(batch.n_rows, n)),
        S=frozen(normal(batch.n_rows, n)),
        states=frozen(normal(batch.n_rows, n + 1)),
        outputs=frozen(normal(batch.n_rows, K)),
    )


def calls(case):
    """For every kernel, all its arguments, and the positions of those that it writes, which are fresh copies."""
    c, dtype = case, case.Z.dtype
    B, K, n, m = len(c.H), len(c.Psi), *c.Theta.shape

    def new(*shape):
        return np.full(shape, -3.5, dtype)

    return {
        "pack": ([c.observations, c.first_rows, c.lengths, c.offsets, new(*c.Z.shape)], [4]),
        "roll_out": ([c.Theta, c.offsets, c.activation, c.packed.copy()], [3]),
        "read_last": ([c.Z, c.offsets, new(B, n + 1)], [2]),
        "read_out": ([c.H, c.Psi, new(B, K)], [2]),
        "cross_entropy_step": ([c.Q, c.labels, c.weights, 0.7, new(B, K), new(B, K)], [4, 5]),
        "squared_error_step": ([c.Q, c.values, c.weights, 0.7, new(B, K), new(B, K)], [4, 5]),
        "backward": (
            [c.Theta, c.Psi, c.Z, c.offsets, c.lambda3, c.activation, 0.8, new(*c.lambda1.shape), 0.6, c.M.copy()],
            [7, 9],
        ),
        "accumulate": ([c.lambda1, c.Z, B, 0.8, c.M.copy()], [4]),
        "accumulate_gram": ([c.Z, c.offsets, 0, 1, 0.9, c.G.copy()], [5]),
        "direction": ([c.M, c.G, 0.1, new(m, m), new(m, n), new(m, n)], [3, 4, 5]),
        "move": ([c.M, 0.3, c.Theta.copy()], [2]),
        "a_step": ([c.A, c.S, 1.3, 0.7, c.activation, new(*c.A.shape)], [5]),
        "residuals": (
            [c.Theta, c.Psi, c.Z, c.states, c.A, c.outputs, c.activation]
            + [new(*c.A.shape), new(*c.A.shape), new(*c.outputs.shape)],
            [7, 8, 9],
        ),
        "cross_entropy": ([c.Q, c.labels, c.weights], []),
        "squared_error": ([c.Q, c.values, c.weights], []),
    }


# they take objects and not arrays: tests/test_sweep.py
OF_OBJECTS = {"sweep", "sweep_room"}
# what remains in these after a call is nobody's business
SCRATCH = {"direction": (3, 5)}


def assert_same(actual, desired, dtype, roundings=200):
    """Equal up to so many rounding errors of the largest number."""
    actual, desired = np.asarray(actual, np.float64), np.asarray(desired, np.float64)
    atol = roundings * np.finfo(dtype).eps * max(1, np.abs(desired).max())
    np.testing.assert_allclose(actual, desired, rtol=0, atol=atol)


def assert_twins_agree(name, arguments, written):
    """Call both versions of a kernel; compare what they write and what they return."""
    dtype = arguments[0].dtype
    twins = [a.copy() if i in written else a for i, a in enumerate(arguments)]
    returned = getattr(COMPILED, name)(*arguments)
    expected = getattr(NUMPY, name)(*twins)
    for i in set(written) - set(SCRATCH.get(name, ())):
        keep = np.tril if name == "accumulate_gram" else np.asarray
        assert_same(keep(arguments[i]), keep(twins[i]), dtype)
    if expected is None:
        assert returned is None
    else:
        assert_same(returned, expected, dtype)


def test_there_is_a_twin_for_every_kernel():
    compiled = {name for name, value in vars(COMPILED).items() if not name.startswith("_")}
    assert compiled == set(calls(make_case())) | OF_OBJECTS
    assert all(callable(getattr(NUMPY, name)) for name in compiled)


@DTYPES
@ACTIVATIONS
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", calls(make_case()))
def test_compiled_kernel_agrees_with_its_twin(name, size, activation, dtype):
    assert_twins_agree(name, *calls(make_case(size, dtype, activation))[name])


@DTYPES
@ACTIVATIONS
@pytest.mark.parametrize("cap", [1e-3, 0.5, 1.0, np.inf])
def test_backward_agrees_with_its_twin_whatever_the_cap(cap, activation, dtype):
    c = make_case("wide", dtype, activation)
    arguments = [frozen(3 * c.Theta), c.Psi, c.Z, c.offsets, c.lambda3, activation, cap, np.zeros_like(c.lambda1)]
    assert_twins_agree("backward", arguments, [7])
    assert (COMPILED.backward(*arguments) > 0) == (cap < np.inf)


@BACKENDS
@DTYPES
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("momentum", [0.0, 0.7])
def test_backward_accumulates_on_the_way_what_accumulate_would(kernels, size, momentum, dtype):
    c = make_case(size, dtype)
    separately, on_the_way = np.zeros_like(c.lambda1), np.zeros_like(c.lambda1)
    M, M_on_the_way = c.M.copy(), c.M.copy()
    inputs = (c.Theta, c.Psi, c.Z, c.offsets, c.lambda3, c.activation, 1.0)
    n_capped = kernels.backward(*inputs, separately)
    kernels.accumulate(separately, c.Z, len(c.H), momentum, M)
    assert kernels.backward(*inputs, on_the_way, momentum, M_on_the_way) == n_capped
    np.testing.assert_array_equal(on_the_way, separately)
    assert_same(M_on_the_way, M, dtype)
    assert not np.array_equal(M, c.M)


@DTYPES
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.99])
def test_accumulate_agrees_with_its_twin_whatever_the_momentum(momentum, dtype):
    c = make_case("wide", dtype)
    assert_twins_agree("accumulate", [c.lambda1, c.Z, len(c.H), momentum, c.M.copy()], [4])
    assert_twins_agree("accumulate", [c.lambda3, c.H, len(c.H), momentum, np.ones_like(c.Psi.T, order="C")], [4])


@DTYPES
@pytest.mark.parametrize("decay", [0.0, 0.9])
@pytest.mark.parametrize(("first", "every"), [(0, 1), (2, 1), (0, 2), (1, 2), (1, 4), (3, 4), (12, 13), (0, 99)])
def test_accumulate_gram_takes_the_asked_steps(first, every, decay, dtype):
    c = make_case("wide", dtype)
    G = c.G.copy()
    assert_twins_agree("accumulate_gram", [c.Z, c.offsets, first, every, decay, G], [5])
    step = np.repeat(np.arange(c.n_steps + 1), np.diff(c.offsets))
    taken = c.Z[(step < c.n_steps) & (step >= first) & ((step - first) % every == 0)].astype(np.float64)
    expected = decay * c.G.astype(np.float64) + (1 - decay) * taken.T @ taken / len(taken)
    assert_same(np.tril(G), np.tril(expected), dtype)


@DTYPES
@pytest.mark.parametrize("damping", [0.0, 1e-3, 0.1, 10.0])
def test_direction_agrees_with_its_twin_whatever_the_damping(damping, dtype):
    c = make_case("wide", dtype)
    scratch = [np.zeros_like(c.G), np.zeros_like(c.M), np.zeros_like(c.M)]
    assert_twins_agree("direction", [c.M, c.G, damping, *scratch], [3, 4, 5])


@BACKENDS
@DTYPES
@ACTIVATIONS
def test_roll_out_and_read_out_are_the_network_sequence_by_sequence(kernels, activation, dtype):
    c = make_case("odd", dtype, activation)
    _, d, n, _ = SIZES["odd"]
    Z, H, Q = c.packed.copy(), np.empty_like(c.H), np.empty_like(c.Q)
    kernels.roll_out(c.Theta, c.offsets, activation, Z)
    kernels.read_last(Z, c.offsets, H)
    kernels.read_out(H, c.Psi, Q)
    f = np.tanh if activation == "tanh" else lambda a: np.maximum(a, 0)
    U, W, b = c.Theta[:, :d], c.Theta[:, d:-1], c.Theta[:, -1]
    for i, (first, length) in enumerate(zip(c.first_rows, c.lengths, strict=True)):
        s = np.zeros(n)
        for x in c.observations[first : first + length]:
            s = f(U @ x + W @ s + b)
        assert_same(H[i], np.append(s, 1), dtype)
        assert_same(Q[i], c.Psi[:, :-1] @ s + c.Psi[:, -1], dtype)


def activation_of(values, activation, kernels=COMPILED):
    """f of every value, by a network of one unit that takes one step."""
    Z = np.zeros((2 * len(values), 3), values.dtype)
    Z[: len(values), 0], Z[:, -1] = values, 1
    offsets = np.array([0, len(values), 2 * len(values)], np.intp)
    kernels.roll_out(np.array([[1, 0, 0]], values.dtype), offsets, activation, Z)
    return Z[len(values) :, 1].copy()


def arguments_of_tanh(dtype):
    """Numbers of every size, with more about the places where the formulas change."""
    info = np.finfo(dtype)
    rng = np.random.default_rng(0)
    positive = np.concatenate(
        [
            np.linspace(0, 30, 60_001),
            np.geomspace(info.smallest_subnormal, info.max / 2, 20_000),
            rng.uniform(0.6, 0.65, 20_000),
            rng.uniform(7.8, 8, 5_000),
            rng.uniform(17, 23, 5_000),
            [info.smallest_subnormal, info.tiny, info.eps, 0.625, info.max],
        ]
    ).astype(dtype)
    return np.concatenate([positive, -positive])


@DTYPES
def test_tanh_is_accurate(dtype):
    x = arguments_of_tanh(dtype)
    y = activation_of(x, "tanh")
    exact = np.tanh(x.astype(np.longdouble))
    error = np.abs(y - exact)
    ulp = np.spacing(np.abs(exact).astype(dtype)).astype(np.longdouble)
    if dtype is np.float32:
        assert ((error <= 6 * ulp) | (error <= 4e-7)).all()
        assert (error[np.abs(x) > 1e-30] <= 6 * ulp[np.abs(x) > 1e-30]).all()
    else:
        assert (error <= 4 * ulp).all()
    assert (np.abs(y) <= 1).all()
    half = len(x) // 2
    np.testing.assert_array_equal(y[half:], -y[:half])


@BACKENDS
@DTYPES
def test_activations_of_special_values(kernels, dtype):
    info = np.finfo(dtype)
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, info.max, -info.max, info.smallest_subnormal, 1.0], dtype)
    tanh, relu = activation_of(x, "tanh", kernels), activation_of(x, "relu", kernels)
    np.testing.assert_array_equal(tanh[:7], np.array([np.nan, 1, -1, 0, 0, 1, -1], dtype))
    assert 0 <= tanh[7] <= info.smallest_subnormal
    assert tanh[8] == pytest.approx(np.tanh(1.0), rel=float(6 * info.eps))
    np.testing.assert_array_equal(relu, np.array([np.nan, np.inf, 0, 0, 0, info.max, 0, x[7], 1], dtype))


def statistics(kernels, c, sequences, targets, indices):
    """M of both layers with momentum 0 and G of both with decay 0, of the minibatch of these sequences."""
    n, m = c.Theta.shape
    K = len(c.Psi)
    batch = sequences.minibatch(np.array(indices))
    B = len(batch)
    Z, lambda1 = np.zeros((batch.offsets[-1], m)), np.empty((batch.n_rows, n))
    H, (Q, O_plus, lambda3) = np.empty((B, n + 1)), np.empty((3, B, K))
    M, G, M_out, G_out = np.ones((m, n)), np.ones((m, m)), np.ones((n + 1, K)), np.ones((n + 1, n + 1))
    kernels.pack(sequences.observations, batch.first_rows, batch.lengths, batch.offsets, Z)
    kernels.roll_out(c.Theta, batch.offsets, c.activation, Z)
    kernels.read_last(Z, batch.offsets, H)
    kernels.read_out(H, c.Psi, Q)
    kernels.cross_entropy_step(Q, targets[batch.indices], np.ones(B), 1.0, O_plus, lambda3)
    kernels.backward(c.Theta, c.Psi, Z, batch.offsets, lambda3, c.activation, np.inf, lambda1)
    kernels.accumulate(lambda1, Z, B, 0.0, M)
    kernels.accumulate_gram(Z, batch.offsets, 0, 1, 0.0, G)
    kernels.accumulate(lambda3, H, B, 0.0, M_out)
    kernels.accumulate_gram(H, np.array([0, B, 2 * B], np.intp), 0, 1, 0.0, G_out)
    return M, np.tril(G), M_out, np.tril(G_out)


@BACKENDS
@ACTIVATIONS
def test_a_batch_of_unequal_lengths_sums_up_its_sequences(kernels, activation):
    c = make_case("odd", np.float64, activation)
    lengths = np.array(SIZES["odd"][0])
    sequences = Sequences.of_lengths(c.observations, lengths)
    targets = c.labels
    together = statistics(kernels, c, sequences, targets, range(len(lengths)))
    alone = [statistics(kernels, c, sequences, targets, [i]) for i in range(len(lengths))]
    # L is a mean over outputs, of which every sequence has one; G of the hidden layer is a mean over steps
    shares = [None, lengths, None, None]
    for k, share in enumerate(shares):
        expected = np.average([result[k] for result in alone], axis=0, weights=share)
        assert np.abs(expected).max() > 0
        assert_same(together[k], expected, np.float64)


def solve(kernels, M, G, damping):
    """|D|, the damping in force and D, all matrices transposed; `direction` is given NaN above the diagonal of G."""
    lower = np.array(G)
    lower[np.triu_indices(len(G), 1)] = np.nan
    factor, D, scratch = np.full_like(lower, np.nan), np.full_like(M, np.nan), np.full_like(M, np.nan)
    norm, damping = kernels.direction(frozen(M), frozen(lower), damping, factor, D, scratch)
    return norm, damping, D


def assert_solved(M, G, norm, damping, D):
    """(G + damping tr(G)/m I) D = M with a small residual, and |D|^2 = tr(D^T G D) / p, or 0 if negative."""
    eps = float(np.finfo(M.dtype).eps)
    M, G, D = (array.astype(np.float64) for array in (M, G, D))
    m, p = M.shape
    damped = G + damping * np.trace(G) / m * np.eye(m)
    scale = np.linalg.norm(D) * np.linalg.norm(damped)
    assert np.linalg.norm(damped @ D - M) <= 4 * m * eps * (scale + np.linalg.norm(M))
    slack = 4 * m * eps * np.linalg.norm(D) * scale / p
    assert norm**2 == pytest.approx(max(np.vdot(D, G @ D) / p, 0), rel=1000 * eps, abs=slack)


@BACKENDS
@DTYPES
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("damping", [0.0, 0.01, 1.0])
def test_direction_solves_its_equation(kernels, dtype, size, damping):
    c = make_case(size, dtype)
    norm, in_force, D = solve(kernels, c.M, c.G, damping)
    assert in_force == damping
    assert norm > 0
    assert_solved(c.M, c.G, norm, in_force, D)


SINGULAR = {
    "unused feature": np.diag([0.0, 1.0, 2.0]),
    "rank one": np.outer([1.0, 2.0, 4.0], [1.0, 2.0, 4.0]),
    "indefinite": np.array([[1.0, 2.0, 0.0], [2.0, 1.3, 0.0], [0.0, 0.0, 1.0]]),
}


@BACKENDS
@DTYPES
@pytest.mark.parametrize("G", SINGULAR.values(), ids=SINGULAR)
def test_direction_raises_the_damping_of_a_gram_matrix_that_is_not_positive_definite(kernels, dtype, G):
    M, G = np.array([[1.0, -1.0], [2.0, 0.5], [3.0, 4.0]], dtype), G.astype(dtype)
    norm, damping, D = solve(kernels, M, G, 0.0)
    least = 1e-6 if dtype is np.float32 else 1e-14
    powers = np.log10(damping / least)
    assert damping >= least
    assert powers == pytest.approx(round(powers), abs=1e-9)
    smallest = np.linalg.eigvalsh(G.astype(np.float64))[0]
    assert smallest + damping * np.trace(G) / 3 > 0
    # a tenth of it would not have been enough, or there was none to start with
    assert damping == least or smallest + 0.1 * damping * np.trace(G) / 3 <= 10 * np.finfo(dtype).eps * np.trace(G)
    assert np.isfinite(norm)
    assert_solved(M, G, norm, damping, D)


@DTYPES
@pytest.mark.parametrize("G", SINGULAR.values(), ids=SINGULAR)
def test_both_back_ends_raise_the_damping_alike(dtype, G):
    M = np.array([[1.0], [2.0], [3.0]], dtype)
    dampings = [solve(kernels, M, G.astype(dtype), 0.0)[1] for kernels in (COMPILED, NUMPY)]
    assert dampings[0] == pytest.approx(dampings[1])


@BACKENDS
@DTYPES
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", ["M", "diagonal of G", "below the diagonal of G"])
def test_direction_of_statistics_that_are_not_finite_is_nan(kernels, dtype, bad, place):
    c = make_case("odd", dtype)
    M, G = c.M.copy(), c.G.copy()
    if place == "M":
        M[1, 2] = bad
    else:
        G[(3, 3) if place == "diagonal of G" else (3, 1)] = bad
    assert np.isnan(solve(kernels, M, G, 0.1)[0])


@BACKENDS
@DTYPES
def test_direction_of_an_empty_gram_matrix_ends_and_is_nan(kernels, dtype):
    with np.errstate(all="ignore"):
        norm = solve(kernels, np.ones((3, 2), dtype), np.zeros((3, 3), dtype), 0.0)[0]
    assert np.isnan(norm)


@BACKENDS
@DTYPES
@pytest.mark.parametrize("scale", [1e-15, 1e15])
def test_direction_of_huge_and_tiny_statistics(kernels, dtype, scale):
    c = make_case("odd", dtype)
    norm, damping, D = solve(kernels, c.M, c.G, 0.1)
    of_M = solve(kernels, c.M * dtype(scale), c.G, 0.1)
    of_G = solve(kernels, c.M, c.G * dtype(scale), 0.1)
    rel = float(100 * np.finfo(dtype).eps)
    assert damping == of_M[1] == of_G[1] == 0.1
    assert of_M[0] == pytest.approx(norm * scale, rel=rel)
    assert of_G[0] == pytest.approx(norm / np.sqrt(scale), rel=rel)
    np.testing.assert_allclose(of_M[2] / scale, D, rtol=0, atol=rel * np.abs(D).max())
    np.testing.assert_allclose(of_G[2] * scale, D, rtol=0, atol=rel * np.abs(D).max())


@BACKENDS
@DTYPES
def test_direction_beyond_the_range_of_the_dtype_is_not_finite(kernels, dtype):
    M = np.full((3, 2), 0.1 * np.finfo(dtype).max, dtype)
    with np.errstate(all="ignore"):
        norm = solve(kernels, M, 0.5 * np.eye(3, dtype=dtype), 0.1)[0]
    assert not np.isfinite(norm)


def changed(array, change):
    """The array with one row or column more or less, or with no rows."""
    if change == "row less":
        return frozen(array[:-1])
    if change == "row more":
        return frozen(np.concatenate([array, 2 * array[-1:] - array[-2:-1]]))  # offsets go on as they end
    if change == "column less":
        return frozen(array[:, :-1])
    if change == "column more":
        return frozen(np.concatenate([array, array[:, -1:]], axis=1))
    return frozen(array[:0])


CHANGES = ("row less", "row more", "column less", "column more", "no rows")
# shapes that fit all the same, for they stand for another number of features, units, sequences or unused rows
FITTING = {
    ("pack", 0): CHANGES,
    ("pack", 4): ("column less", "column more"),
    ("roll_out", 0): ("row less", "row more", "no rows"),
    ("read_last", 0): ("column less", "column more"),
    ("read_last", 2): ("column less", "column more"),
    ("accumulate", 0): ("row less", "row more"),
    ("accumulate", 1): ("row less", "row more"),
    ("accumulate_gram", 0): ("row less", "row more"),
    ("accumulate_gram", 1): ("row less", "row more"),
    ("residuals", 2): ("row less", "row more"),
    ("cross_entropy", 0): ("column less", "column more"),
}


def array_positions():
    for name, (arguments, _) in calls(make_case()).items():
        for position, argument in enumerate(arguments):
            if isinstance(argument, np.ndarray):
                yield name, position, argument


WRONG_SHAPES = [
    pytest.param(name, position, change, id=f"{name}-{position}-{change}")
    for name, position, argument in array_positions()
    for change in CHANGES
    if change not in FITTING.get((name, position), ()) and (argument.ndim == 2 or "row" in change)
]
ARRAYS = [pytest.param(name, position, id=f"{name}-{position}") for name, position, _ in array_positions()]
OUTPUTS = [
    pytest.param(name, position, id=f"{name}-{position}")
    for name, (_, written) in calls(make_case()).items()
    for position in written
]


def call_changed(name, position, change):
    """Call a compiled kernel with one of its arguments changed by a function."""
    arguments, written = calls(make_case())[name]
    arguments[position] = change(arguments[position])
    if position in written and isinstance(arguments[position], np.ndarray):
        arguments[position].flags.writeable = True
    return getattr(COMPILED, name)(*arguments)


@pytest.mark.parametrize(("name", "position", "change"), WRONG_SHAPES)
def test_wrong_shape_is_refused(name, position, change):
    with pytest.raises(ValueError, match=f"{name}: "):
        call_changed(name, position, lambda array: changed(array, change))


WRONG_ARRAYS = {
    "one dimension more": lambda array: array[None].copy(),
    "another dtype": lambda array: array.astype(np.complex128),
    "another precision": lambda array: array.astype(np.int32 if array.dtype == np.intp else np.float32),
    "strided": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
    "a list": lambda array: array.tolist(),
}


@pytest.mark.parametrize("change", WRONG_ARRAYS.values(), ids=WRONG_ARRAYS)
@pytest.mark.parametrize(("name", "position"), ARRAYS)
def test_wrong_dimension_dtype_or_order_is_refused(name, position, change):
    with pytest.raises((ValueError, TypeError)):
        call_changed(name, position, change)


@pytest.mark.parametrize(("name", "position"), OUTPUTS)
def test_read_only_output_is_refused(name, position):
    arguments, _ = calls(make_case())[name]
    arguments[position].flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        getattr(COMPILED, name)(*arguments)


@pytest.mark.parametrize(
    ("name", "position", "value"),
    [
        ("roll_out", 2, "sigmoid"),
        ("backward", 5, "sigmoid"),
        ("a_step", 4, "sigmoid"),
        ("residuals", 6, "sigmoid"),
        ("accumulate", 2, 0),
        ("accumulate_gram", 2, -1),
        ("accumulate_gram", 2, 7),
        ("accumulate_gram", 3, 0),
        ("accumulate_gram", 3, -1),
    ],
)
def test_wrong_setting_is_refused(name, position, value):
    with pytest.raises(ValueError, match="sigmoid|do not belong together"):
        call_changed(name, position, lambda _: value)


@pytest.mark.parametrize(
    ("name", "position", "value"),
    [
        ("cross_entropy_step", 1, -1),
        ("cross_entropy_step", 1, 2),
        ("cross_entropy", 1, -1),
        ("cross_entropy", 1, 2),
        ("pack", 1, -1),
        ("pack", 1, 20),
        ("pack", 2, 8),
    ],
)
def test_index_out_of_range_is_refused(name, position, value):
    def change(indices):
        indices = indices.copy()
        indices[-1] = value
        return indices

    with pytest.raises(ValueError, match=f"{name}: "):
        call_changed(name, position, change)


def test_offsets_that_would_leave_the_arrays_are_refused():
    """The last block smaller than the one before it once wrote past the end of Z."""
    Z = np.zeros((2000, 3))
    Theta = np.ones((1, 3))
    for offsets in ([0, 1000, 2000, 2000], [0, 1500, 2000], [5, 1000, 2000], [0, 3000, 2000], [0, 2000], [2000], []):
        with pytest.raises(ValueError, match="do not belong together"):
            COMPILED.roll_out(Theta, np.array(offsets, np.intp), "tanh", Z)


@pytest.mark.parametrize("module", [COMPILED, NUMPY])
def test_direction_ends_when_the_trace_of_G_is_negative(module):
    norm, _ = module.direction(np.ones((3, 2)), -np.eye(3), 0.1, np.empty((3, 3)), np.empty((3, 2)), np.empty((3, 2)))
    assert np.isnan(norm)


@BACKENDS
@DTYPES
def test_losses_leave_rows_without_weight_out(kernels, dtype):
    c = make_case("equal", dtype)
    weighty = np.arange(len(c.Q)) % 3 > 0
    weights, labels = np.where(weighty, c.weights, 0), np.where(weighty, c.labels, -7)
    loss, n_correct = kernels.cross_entropy(c.Q, labels, weights)
    expected, n_expected = kernels.cross_entropy(c.Q[weighty], c.labels[weighty], c.weights[weighty])
    assert loss == pytest.approx(expected)
    assert n_correct == n_expected
    expected = kernels.squared_error(c.Q[weighty], c.values[weighty], c.weights[weighty])
    assert kernels.squared_error(c.Q, c.values, weights) == pytest.approx(expected)


@BACKENDS
@DTYPES
def test_losses_of_outputs_are_those_that_the_o_step_returns(kernels, dtype):
    c = make_case("wide", dtype)
    weights = (c.weights / c.weights.mean()).astype(dtype)
    scratch = np.empty_like(c.Q), np.empty_like(c.Q)
    loss, n_correct = kernels.cross_entropy(c.Q, c.labels, weights)
    assert (pytest.approx(loss), n_correct) == kernels.cross_entropy_step(c.Q, c.labels, weights, 1.0, *scratch)
    loss = kernels.squared_error(c.Q, c.values, weights)
    assert loss == pytest.approx(kernels.squared_error_step(c.Q, c.values, weights, 1.0, *scratch))
