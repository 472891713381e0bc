"""The compiled kernels against their numpy twin, and both against what they promise."""

import copy
from functools import cache, partial
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from activation_functions import FUNCTIONS
from kernel_calls import backward, forward, kernels_of, refusal_of, roll_out
from kernel_calls import call as launch
from scipy.special import expit

from admmirnn import activations, backend
from admmirnn.data.sequences import Sequences
from admmirnn.networks.cells import GATED, Elman

COMPILED, NUMPY = backend._compiled(), backend._numpy()
BACKENDS = pytest.mark.parametrize("kernels", [COMPILED, NUMPY], ids=["compiled", "numpy"])
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
ACTIVATIONS = pytest.mark.parametrize("activation", activations.ACTIVATIONS)
# lengths of the sequences, features, hidden units, outputs
SIZES = {
    "one": ((1,), 1, 1, 1),
    "odd": ((3, 1, 7, 7, 2), 3, 5, 2),
    "equal": ((4,) * 9, 2, 17, 11),
    "wide": ((13, 2, 11) * 11, 7, 33, 3),
}


@pytest.fixture(autouse=True, scope="module")
def one_blas_thread():
    """As in every fit and every prediction."""
    with backend.one_blas_thread():
        yield


def frozen(array):
    """A copy that nobody can write to."""
    array = np.array(array, order="C")
    array.flags.writeable = False
    return array


def make_case(size="odd", dtype=np.float64, activation="tanh", seed=0):
    """Read-only inputs of every kernel, those that other kernels compute being computed by the numpy twin."""
    lengths, d, n, K = SIZES[size] if isinstance(size, str) else size
    rng = np.random.default_rng(seed)
    B, m = len(lengths), d + n + 1

    def normal(*shape, scale=1.0):
        return (scale * rng.normal(size=shape)).astype(dtype)

    def gram(size):
        half = normal(size, 2 * size)
        return frozen(half @ half.T / (2 * size))

    sequences = Sequences.of_lengths(frozen(normal(sum(lengths), d)), lengths)
    batch = sequences.minibatch(np.arange(B))
    Theta, Psi = normal(n, m, scale=1.2 / np.sqrt(n)), normal(K, n + 1)
    X, S = np.empty((batch.n_rows, d + 1), dtype), np.empty((batch.offsets[-1], n), dtype)
    scratch = np.empty((m, n), dtype), X, S, np.empty((B, K), dtype)
    where = batch.first_rows, batch.lengths, batch.offsets
    forward(NUMPY, sequences.observations, 1.0, *where, Theta, Psi, activation, *scratch)
    Z = np.hstack([np.concatenate([X[:, :-1], np.zeros((B, d), dtype)]), S, np.ones((len(S), 1), dtype)])
    unrolled = Z.copy()
    unrolled[:, d:-1] = 0
    weights = rng.uniform(0.5, 2, B).astype(dtype)
    return SimpleNamespace(
        observations=sequences.observations,
        first_rows=frozen(batch.first_rows),
        lengths=frozen(batch.lengths),
        offsets=frozen(batch.offsets),
        activation=activation,
        X=frozen(X),
        S=frozen(S),
        of_steps=frozen(normal(batch.offsets[-1] - batch.offsets[1], K)),
        Z=frozen(Z),
        unrolled=frozen(unrolled),
        Theta=frozen(Theta),
        Psi=frozen(Psi),
        Q=frozen(normal(B, K, scale=2)),
        labels=frozen(rng.integers(0, K, B).astype(np.intp)),
        values=frozen(normal(B, K)),
        weights=frozen(weights),
        lambda3=frozen(normal(B, K)),
        M=frozen(normal(n, m)),
        G=gram(m),
        output_M=frozen(normal(K, n + 1)),
        output_G=gram(n + 1),
        n_steps=len(batch.offsets) - 2,
        A=frozen(normal(batch.n_rows, n)),
        targets_of_a=frozen(normal(batch.n_rows, n)),
        states=frozen(normal(batch.n_rows, n + 1)),
        outputs=frozen(normal(batch.n_rows, K)),
    )


def nan(dtype, *shape):
    """What is to be written: nothing of it may be left, or find its way into a product."""
    return np.full(shape, np.nan, dtype)


def forward_arguments(c, *targets, scale=1.5, n_threads=1):
    """Arguments of `forward`; ``targets`` is nothing, or ``"labels"`` or ``"values"``."""
    dtype, B, K, n, m = c.Theta.dtype, len(c.lengths), len(c.Psi), *c.Theta.shape
    of_targets = [None, None, None, 0.7, None, None, None, 0.0]
    if targets:
        labels, values = (c.labels, None) if targets == ("labels",) else (None, c.values)
        loss = "cross_entropy" if targets == ("labels",) else "squared_error"
        of_targets = [labels, values, c.weights, 0.7, nan(dtype, B, K), nan(dtype, B, K), loss, 0.0]
    return [
        *(c.observations, scale, c.first_rows, c.lengths, c.offsets, c.Theta, c.Psi, c.activation),
        *(nan(dtype, m, n), nan(dtype, *c.X.shape), nan(dtype, *c.S.shape), nan(dtype, B, K)),
        *of_targets,
        n_threads,
    ]


def backward_arguments(c, cap=0.8, momentum=0.6, decay=0.9, first=0, every=1, n_threads=1, n_rows=None):
    """Arguments of `backward`; ``n_rows`` of lambda1_out are all, unless given."""
    dtype, (n, m), K = c.Theta.dtype, c.Theta.shape, len(c.Psi)
    return [
        *(c.Theta, c.Psi, c.X, c.S, c.offsets, c.lambda3, c.activation, cap, momentum, decay, first, every),
        *(nan(dtype, len(c.X) if n_rows is None else n_rows, n), c.M.copy(), c.G.copy()),
        *(c.output_M.copy(), c.output_G.copy()),
        nan(dtype, COMPILED.backward_room(Elman(), m - n - 1, n, K, n_threads)),
        n_threads,
    ]


def backward_arguments_with_R(c, R_every=1, R_decay=0.8, **options):
    """Arguments of `backward` with R, the running Gram matrix of the multipliers, which is at 27."""
    c.R = getattr(c, "R", frozen(0.7 * np.eye(len(c.Theta))))
    return [*backward_arguments(c, **options), "last", *[None] * 4, True, None, None, c.R.copy(), R_every, R_decay]


def update_arguments(c, damping=0.1, r=0.5, radius=0.3, output_radius=0.2, schedule=0.9, shrinkage=0.4, factored=None):
    """Arguments of `update_weights`."""
    dtype, (n, m), K = c.Theta.dtype, c.Theta.shape, len(c.Psi)
    return {
        **{"n": n, "d": m - n - 1, "K": K},
        **{"M": c.M.copy(), "G": c.G.copy(), "Theta": c.Theta.copy()},
        **{"factor": nan(dtype, m, m), "D": nan(dtype, m, n)},
        **{"output_M": c.output_M.copy(), "output_G": c.output_G.copy()},
        **{"output_factor": nan(dtype, n + 1, n + 1), "output_D": nan(dtype, n + 1, K), "Psi": c.Psi.copy()},
        "scratch": nan(dtype, max(m * n, (n + 1) * K)),
        **{"damping": damping, "r": r, "radius": radius, "output_radius": output_radius},
        **{"schedule": schedule, "shrinkage": shrinkage, "factored": factored},
    }


def update_arguments_with_R(c, **options):
    """Arguments of `update_weights` with a matrix for a penalty."""
    half, n = np.random.default_rng(8).normal(size=(len(c.Theta), 2 * len(c.Theta))), len(c.Theta)
    of_penalty = {"R": 3e-4 * half @ half.T, "P_factor": nan(c.Theta.dtype, n, n)}
    return update_arguments(c, **options) | of_penalty


def hidden_arguments(c):
    """Arguments of `update_weights` without a read-out."""
    arguments = update_arguments(c)
    return {name: value for name, value in arguments.items() if not name.startswith("output_") and name != "Psi"}


def joint_arguments(c, read_out="last"):
    """Arguments of `joint_statistics`: the states as those of the first network, others of the second."""
    dtype, K, n, each = c.Theta.dtype, len(c.Psi), c.S.shape[1], read_out == "each"
    H = frozen(c.S[c.offsets[1 if each else -2] :])
    rng, h = np.random.default_rng(5), 2 * n + 2
    other, lambda3 = (frozen(rng.normal(size=(len(H), width)).astype(dtype)) for width in (n + 1, K))
    weights = rng.uniform(0.5, 2, len(H)) * (rng.random(len(H)) < 0.7)
    weights[0] = 1
    statistics = rng.normal(size=(K, h)).astype(dtype), np.tril(rng.normal(size=(h, h))).astype(dtype)
    return [
        *(H, other, lambda3, frozen(weights.astype(dtype)), c.offsets, 0.6, 0.8),
        *(0, 1 if len(c.offsets) < 5 else 2, *statistics, nan(dtype, COMPILED.joint_room(h, K)), read_out),
    ]


# what the weight step writes
OF_HIDDEN, OF_OUTPUT = ("factor", "D", "Theta"), ("output_factor", "output_D", "Psi")
FORWARD_X, FORWARD_S, FORWARD_Q, FORWARD_O_PLUS, FORWARD_LAMBDA3 = 9, 10, 11, 16, 17
LAMBDA1, STATISTICS = 12, (13, 14, 15, 16)


def generate_arguments(c, temperature=0.8, count=6):
    """Arguments of `generate`, of a network that reads as many symbols as it has outputs."""
    n, K = len(c.Theta), len(c.Psi)
    rng, Theta = np.random.default_rng(2), frozen(np.hstack([c.Psi[:, :n].T, c.Theta[:, -n - 1 :]]))
    codes, uniforms = (frozen(values) for values in (rng.integers(0, K, 4).astype(np.int32), rng.uniform(size=count)))
    return [
        *(Theta, c.Psi, c.activation, codes, temperature, uniforms),
        *(np.linspace(-1, 1, n).astype(c.Theta.dtype), np.full(count, -1, np.int32)),
    ]


def gates_calls(c):
    """For every cell with gates, a step of as many rows as there are sequences, and the way back."""
    rng, dtype, (B, n), found = np.random.default_rng(3), c.Z.dtype, (len(c.Q), len(c.Theta)), {}
    for name, kind in GATED.items():
        A = rng.normal(size=(B, kind.n_kept * n)).astype(dtype)
        s_before, *of_c, multipliers, lambda_c = (frozen(a) for a in rng.uniform(-1, 1, (5, B, n)).astype(dtype))
        biases = frozen(rng.normal(size=kind.n_biases * n).astype(dtype)) if kind.n_biases else None
        c_before, c_after, lambda_c = (*of_c, lambda_c.copy()) if kind.has_cell_state else (None, None, None)
        c_out = nan(dtype, B, n) if kind.has_cell_state else None
        step = [kind(), A.copy(), s_before, biases, c_before, nan(dtype, B, n), c_out]
        found[f"step_rows {name}"] = step, [1, 5, 6] if kind.has_cell_state else [1, 5]
        gates = expit(A) if name == "lstm" else np.tanh(A)
        sums = nan(dtype, B, n) if kind.n_biases else None
        back = [kind(), gates, s_before, c_before, c_after, multipliers.copy(), lambda_c, sums]
        written = [1, 5, *([6] if kind.has_cell_state else []), *([7] if kind.n_biases else [])]
        found[f"pull_back_rows {name}"] = back, written
    return found


def targets_of_losses(c):
    """For every loss, labels and values, of which one is None, and its parameter."""
    return {
        "cross_entropy": ((c.labels, None), 0.0),
        "hinge": ((c.labels, None), 0.0),
        "squared_error": ((None, c.values), 0.0),
        "sigmoid_cross_entropy": ((None, frozen(np.clip(c.values, 0, 1))), 0.0),
        "huber": ((None, c.values), 0.8),
        "quantile": ((None, c.values), 0.3),
        "absolute_error": ((None, c.values), 0.0),
    }


def calls(case):
    """For every kernel, all its arguments, and the positions of those that it writes, which are fresh copies."""
    c, dtype = case, case.Z.dtype
    B, K, n = len(c.Q), len(c.Psi), len(c.Theta)

    def new(*shape):
        return nan(dtype, *shape)

    return {
        "forward": (forward_arguments(c), [8, 9, 10, 11]),
        "forward labels": (forward_arguments(c, "labels"), [8, 9, 10, 11, 16, 17]),
        "forward values": (forward_arguments(c, "values"), [8, 9, 10, 11, 16, 17]),
        **{
            f"o_step {loss}": ([c.Q, *targets, c.weights, 0.7, new(B, K), new(B, K), loss, parameter], [5, 6])
            for loss, (targets, parameter) in targets_of_losses(c).items()
        },
        "backward": (backward_arguments(c), [12, 13, 14, 15, 16, 17]),
        "backward R": (backward_arguments_with_R(c, R_every=2), [12, 13, 14, 15, 16, 17, 27]),
        "update_weights": (update_arguments(c), [*OF_HIDDEN, *OF_OUTPUT, "scratch"]),
        "update_weights R": (update_arguments_with_R(c), [*OF_HIDDEN, *OF_OUTPUT, "scratch", "P_factor"]),
        "update_weights hidden": (hidden_arguments(c), [*OF_HIDDEN, "scratch"]),
        "mirror": ([c.of_steps, c.lengths, c.offsets, new(*c.of_steps.shape)], [3]),
        "joint_statistics": (joint_arguments(c), [9, 10, 11]),
        "joint_statistics each": (joint_arguments(c, "each"), [9, 10, 11]),
        "generate": (generate_arguments(c), [6, 7]),
        "a_step": ([c.A, c.targets_of_a, 1.3, 0.7, c.activation, new(*c.A.shape)], [5]),
        "roll_out": ([c.Theta, c.offsets, c.activation, c.unrolled.copy()], [3]),
        "residuals": (
            [c.Theta, c.Psi, c.Z, c.states, c.A, c.outputs, c.activation]
            + [new(len(c.A), n), new(len(c.A), n), new(*c.outputs.shape)],
            [7, 8, 9],
        ),
        **gates_calls(c),
        **{
            f"loss_value {loss}": ([c.Q, *targets, c.weights, loss, parameter], [])
            for loss, (targets, parameter) in targets_of_losses(c).items()
        },
    }


def kernel_of(call):
    return call.split()[0]


def items(arguments):
    """Positions, or names, and values."""
    return arguments.items() if isinstance(arguments, dict) else enumerate(arguments)


# they take no arrays, or go on from state to state: test_sweep.py, test_streaming.py, and the tests of threads below
WITHOUT_ARRAYS = {"sweep", "stepper", "sweep_room", "backward_room", "sums_room", "counts_room", "joint_room"}
WITHOUT_ARRAYS |= {"scratch_rows"}
# what remains in these after a call is nobody's business
SCRATCH = {"forward": (8,), "backward": (17,), "update_weights": ("scratch",), "joint_statistics": (11,)}
# of these the lower triangle counts
TRIANGULAR = {
    "backward": (14, 16, 27),
    "update_weights": ("factor", "output_factor", "P_factor"),
    "joint_statistics": (10,),
}


def assert_same(actual, desired, dtype, roundings=200):
    """Equal up to so many rounding errors of the largest number."""
    actual, desired = np.asarray(actual, np.float64), np.asarray(desired, np.float64)
    atol = roundings * np.finfo(dtype).eps * max(1, np.abs(desired).max())
    np.testing.assert_allclose(actual, desired, rtol=0, atol=atol, equal_nan=False)


def assert_twins_agree(call, arguments, written, roundings=200):
    """Call both versions of a kernel; compare what they write and what they return, which is returned."""
    name = kernel_of(call)
    dtype = next(a.dtype for _, a in items(arguments) if isinstance(a, np.ndarray) and a.dtype.kind == "f")
    twins = copy.copy(arguments)
    for i in written:
        twins[i] = arguments[i].copy()
    may_change = {*written, *SCRATCH.get(name, ())}
    inputs = {i: a.copy() for i, a in items(arguments) if isinstance(a, np.ndarray) and i not in may_change}
    returned = launch(COMPILED, name, arguments)
    expected = launch(NUMPY, name, twins)
    for i, array in inputs.items():
        np.testing.assert_array_equal(arguments[i], array)
    for i in set(written) - set(SCRATCH.get(name, ())):
        keep = np.tril if i in TRIANGULAR.get(name, ()) else np.asarray
        assert_same(keep(arguments[i]), keep(twins[i]), dtype, roundings)
    if expected is None or isinstance(expected, int):
        assert returned == expected
    elif isinstance(expected, tuple) and None in expected:
        assert returned[1] is expected[1] is None
        assert_same(returned[0], expected[0], dtype, roundings)
    else:
        assert_same(returned, expected, dtype, roundings)
    return returned


def test_there_is_a_twin_for_every_kernel():
    compiled = {name for name, value in vars(COMPILED).items() if not name.startswith("_")}
    assert compiled == WITHOUT_ARRAYS.union(*(kernels_of(kernel_of(call)) for call in calls(make_case())))
    assert all(callable(getattr(NUMPY, name)) for name in compiled)


@DTYPES
@ACTIVATIONS
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("call", calls(make_case()))
def test_compiled_kernel_agrees_with_its_twin(call, size, activation, dtype):
    assert_twins_agree(call, *calls(make_case(size, dtype, activation))[call])


@DTYPES
@ACTIVATIONS
@pytest.mark.parametrize("cap", [1e-3, 0.5, 1.0, np.inf])
def test_backward_agrees_with_its_twin_whatever_the_cap(cap, activation, dtype):
    c = make_case("wide", dtype, activation)
    c.Theta = frozen((12 if activation == "sigmoid" else 3) * c.Theta)
    n_capped = assert_twins_agree("backward", backward_arguments(c, cap), [LAMBDA1, *STATISTICS])
    assert (n_capped > 0) == (cap < np.inf)


@BACKENDS
@DTYPES
@ACTIVATIONS
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.99])
def test_M_is_a_running_mean_of_multiplier_times_input(kernels, size, momentum, activation, dtype):
    c = make_case(size, dtype, activation)
    arguments = backward_arguments(c, cap=1.0, momentum=momentum)
    launch(kernels, "backward", arguments)
    lambda1, lambda3, B = arguments[LAMBDA1].astype(np.float64), c.lambda3.astype(np.float64), len(c.lengths)
    inputs, states = c.Z[: len(c.X)].astype(np.float64), c.S[len(c.X) :].astype(np.float64)
    assert np.abs(lambda1).max() > 0
    L, output_L = lambda1.T @ inputs / B, lambda3.T @ np.hstack([states, np.ones((B, 1))]) / B
    assert_same(arguments[13], momentum * c.M + (1 - momentum) * L, dtype)
    assert_same(arguments[15], momentum * c.output_M + (1 - momentum) * output_L, dtype)


@BACKENDS
@DTYPES
@pytest.mark.parametrize("decay", [0.0, 0.9])
@pytest.mark.parametrize(("first", "every"), [(0, 1), (2, 1), (0, 2), (1, 2), (1, 4), (3, 4), (12, 13), (0, 99)])
def test_G_takes_the_asked_steps(kernels, first, every, decay, dtype):
    c = make_case("wide", dtype)
    arguments = backward_arguments(c, decay=decay, first=first, every=every)
    above = np.triu_indices(len(c.G), 1)
    arguments[14][above] = np.nan  # is of no use
    launch(kernels, "backward", arguments)
    step = np.repeat(np.arange(c.n_steps + 1), np.diff(c.offsets))
    taken = c.Z[(step < c.n_steps) & (step >= first) & ((step - first) % every == 0)].astype(np.float64)
    expected = decay * c.G.astype(np.float64) + (1 - decay) * taken.T @ taken / len(taken)
    assert_same(np.tril(arguments[14]), np.tril(expected), dtype)
    h = c.Z[step == c.n_steps, -len(c.output_G) :].astype(np.float64)
    expected = decay * c.output_G.astype(np.float64) + (1 - decay) * h.T @ h / len(h)
    assert_same(np.tril(arguments[16]), np.tril(expected), dtype)


@BACKENDS
@DTYPES
@ACTIVATIONS
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("spare", [0, 1])
def test_backward_needs_the_multipliers_of_two_steps_only(kernels, size, spare, activation, dtype):
    c = make_case(size, dtype, activation)
    c.Theta = frozen(2 * c.Theta)
    all_rows, two_steps = backward_arguments(c), backward_arguments(c, n_rows=2 * len(c.lengths) + spare)
    assert launch(kernels, "backward", two_steps) == launch(kernels, "backward", all_rows)
    for i in STATISTICS:
        # not to the bit: they lie elsewhere in memory, and the dot product by which they are bounded rounds, where BLAS
        # has SSE only, according to alignment; multipliers of a wrong step would be off by as much as they are large
        assert_same(two_steps[i], all_rows[i], dtype)
        assert not np.array_equal(two_steps[i], backward_arguments(c)[i])


@DTYPES
@pytest.mark.parametrize("damping", [0.0, 1e-3, 0.1, 10.0])
def test_update_weights_agrees_with_its_twin_whatever_the_damping(damping, dtype):
    arguments = update_arguments(make_case("wide", dtype), damping)
    written = [*OF_HIDDEN, *OF_OUTPUT]
    assert_twins_agree("update_weights", arguments, written, roundings=2000 if damping == 0 else 200)


@BACKENDS
@DTYPES
@ACTIVATIONS
def test_forward_is_the_network_sequence_by_sequence(kernels, activation, dtype):
    c = make_case("odd", dtype, activation)
    _, d, n, _ = SIZES["odd"]
    arguments = forward_arguments(c)
    launch(kernels, "forward", arguments)
    Q, last_states = arguments[FORWARD_Q], arguments[FORWARD_S][len(c.X) :]
    Z = c.unrolled.copy()
    Z[:, :d] *= dtype(1.5)
    roll_out(kernels, c.Theta, c.offsets, activation, Z)
    f = FUNCTIONS[activation]
    U, W, b = c.Theta[:, :d], c.Theta[:, d:-1], c.Theta[:, -1]
    for i, (first, length) in enumerate(zip(c.first_rows, c.lengths, strict=True)):
        s = np.zeros(n)
        for t, x in enumerate(1.5 * c.observations[first : first + length]):
            row = c.offsets[c.n_steps - length + t] + i
            assert_same(arguments[FORWARD_X][row], np.append(x, 1), dtype)
            assert_same(arguments[FORWARD_S][row], s, dtype)
            assert_same(Z[row], np.concatenate([x, s, [1]]), dtype)
            s = f(U @ x + W @ s + b)
        assert_same(last_states[i], s, dtype)
        assert_same(Z[len(c.X) + i, d:-1], s, dtype)
        assert_same(Q[i], c.Psi[:, :-1] @ s + c.Psi[:, -1], dtype)


@BACKENDS
@DTYPES
@pytest.mark.parametrize("targets", ["labels", "values"])
def test_forward_with_targets_takes_the_o_step(kernels, targets, dtype):
    c = make_case("wide", dtype)
    plain, arguments = forward_arguments(c), forward_arguments(c, targets)
    assert launch(kernels, "forward", plain) is None
    returned = launch(kernels, "forward", arguments)
    for i in (FORWARD_X, FORWARD_S, FORWARD_Q):
        np.testing.assert_array_equal(arguments[i], plain[i])
    O_plus, lambda3 = np.empty_like(c.Q), np.empty_like(c.Q)
    labels, values, weights, rho, _, _, *loss = arguments[12:20]
    assert returned == kernels.o_step(plain[FORWARD_Q], labels, values, weights, rho, O_plus, lambda3, *loss)
    np.testing.assert_array_equal(arguments[FORWARD_O_PLUS], O_plus)
    np.testing.assert_array_equal(arguments[FORWARD_LAMBDA3], lambda3)


@BACKENDS
@DTYPES
@pytest.mark.parametrize("given", [np.uint8, np.int8, np.uint16, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("scale", [1.0, 1 / 255, -2.0])
def test_observations_of_any_type_are_converted_and_scaled(kernels, given, scale, dtype):
    """As when they have been scaled beforehand; products of float64 may be rounded later."""
    c = make_case("odd", dtype)
    rng = np.random.default_rng(0)
    if np.dtype(given).kind == "f":
        c.observations = frozen(rng.normal(size=c.observations.shape).astype(given))
    else:
        info = np.iinfo(given)
        c.observations = rng.integers(info.min, info.max, c.observations.shape, given, endpoint=True)
        c.observations[0, 0], c.observations[-1, -1] = info.min, info.max
        c.observations = frozen(c.observations)
    found = forward_arguments(c, scale=scale)
    launch(kernels, "forward", found)
    c.observations = frozen(c.observations.astype(dtype) * dtype(scale))
    expected = forward_arguments(c, scale=1.0)
    launch(kernels, "forward", expected)
    if given == np.float64 and dtype == np.float32:
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(found[FORWARD_X], expected[FORWARD_X], rtol=2 * eps)
        assert_same(found[FORWARD_Q], expected[FORWARD_Q], dtype)
    else:
        for i in (FORWARD_X, FORWARD_S, FORWARD_Q):
            np.testing.assert_array_equal(found[i], expected[i])


def activation_of(values, activation, kernels=COMPILED):
    """f of every value, by a network of one unit that takes one step."""
    B, dtype = len(values), values.dtype
    S, ones, offsets = np.empty((2 * B, 1), dtype), np.ones(B, np.intp), np.array([0, B, 2 * B], np.intp)
    forward(
        kernels,
        *(values[:, None], 1.0, np.arange(B), ones, offsets, np.array([[1, 0, 0]], dtype), np.ones((1, 2), dtype)),
        *(activation, np.empty((3, 1), dtype), np.empty((B, 2), dtype), S, np.empty((B, 1), dtype)),
    )
    return S[B:, 0].copy()


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


@DTYPES
def test_sigmoid_is_accurate(dtype):
    """In relative terms as well, down to where exp would no longer be normal."""
    most = 87.0 if dtype is np.float32 else 700.0
    x = np.concatenate([arguments_of_tanh(dtype), np.linspace(-most, most, 20_001, dtype=dtype)])
    x = x[np.abs(x) <= most]
    exact = expit(x.astype(np.longdouble))
    assert (np.abs(activation_of(x, "sigmoid") - exact) <= 3 * np.spacing(exact.astype(dtype))).all()


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
    leaky_relu, identity = activation_of(x, "leaky_relu", kernels), activation_of(x, "identity", kernels)
    expected = np.array([np.nan, np.inf, -np.inf, 0, 0, info.max, dtype(0.01) * -info.max, x[7], 1], dtype)
    np.testing.assert_array_equal(leaky_relu, expected)
    np.testing.assert_array_equal(identity, x)
    sigmoid = activation_of(x, "sigmoid", kernels)
    np.testing.assert_array_equal(sigmoid[[0, 1, 3, 4, 5, 7]], np.array([np.nan, 1, 0.5, 0.5, 1, 0.5], dtype))
    assert (sigmoid[[2, 6]] >= 0).all()
    assert (sigmoid[[2, 6]] <= np.exp(-87.0 if dtype is np.float32 else -700.0) * (1 + 1e-6)).all()
    assert sigmoid[8] == pytest.approx(expit(1.0), rel=float(3 * info.eps))


@BACKENDS
@DTYPES
@ACTIVATIONS
@pytest.mark.parametrize("count", [1, 15, 16, 17, 67])
def test_slope_is_the_derivative(kernels, count, activation, dtype):
    """The multipliers of a network of one unit that takes one step, V^T lambda3 being one."""
    a, h = np.linspace(-4, 4, count + 1)[:-1], 1e-5  # never zero, where relu has none
    a += 0.1
    f = FUNCTIONS[activation]
    S, offsets = np.zeros((2 * count, 1), dtype), np.array([0, count, 2 * count], np.intp)
    S[count:, 0] = f(a)
    found = nan(dtype, count, 1)
    backward(
        kernels,
        *(np.zeros((1, 3), dtype), np.ones((1, 2), dtype), np.ones((count, 2), dtype), S, offsets),
        *(np.ones((count, 1), dtype), activation, np.inf, 0.0, 0.0, 0, 1, found, nan(dtype, 1, 3)),
        *(nan(dtype, 3, 3), nan(dtype, 1, 2), nan(dtype, 2, 2), nan(dtype, kernels.backward_room(Elman(), 1, 1, 1, 1))),
    )
    assert_same(found[:, 0], (f(a + h) - f(a - h)) / (2 * h), dtype, 10 if dtype is np.float32 else 1e6)


def statistics(kernels, c, sequences, targets, indices):
    """M of both layers with momentum 0 and G of both with decay 0, of the minibatch of these sequences."""
    (n, m), K = c.Theta.shape, len(c.Psi)
    batch = sequences.minibatch(np.array(indices))
    B, where = len(batch), (batch.first_rows, batch.lengths, batch.offsets)
    X, S, (Q, O_plus, lambda3) = np.empty((batch.n_rows, m - n)), np.empty((batch.offsets[-1], n)), np.empty((3, B, K))
    M, G, output_M, output_G = np.ones((n, m)), np.ones((m, m)), np.ones((K, n + 1)), np.ones((n + 1, n + 1))
    forward(
        kernels,
        *(sequences.observations, 1.0, *where, c.Theta, c.Psi, c.activation, np.empty((m, n)), X, S, Q),
        *(targets[batch.indices], None, np.ones(B), 1.0, O_plus, lambda3, "cross_entropy"),
    )
    backward(
        kernels,
        *(c.Theta, c.Psi, X, S, batch.offsets, lambda3, c.activation, np.inf, 0.0, 0.0, 0, 1),
        *(np.empty((2 * B, n)), M, G, output_M, output_G, np.empty(kernels.backward_room(Elman(), m - n - 1, n, K, 1))),
    )
    return M, np.tril(G), output_M, np.tril(output_G)


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


@BACKENDS
@DTYPES
@pytest.mark.parametrize("layer", [0, 1], ids=["hidden", "output"])
def test_weights_that_overflow_have_moved_by_an_infinite_length(kernels, layer, dtype):
    c, most = make_case("odd", dtype), float(np.finfo(dtype).max)
    first, settings = update_arguments(c), {"r": 0.0, "radius": 1e-3 * most, "output_radius": 1e-3 * most}
    usual = launch(kernels, "update_weights", first)
    for overflows, to in ((True, settings), (False, {})):
        arguments = update_arguments(c, shrinkage=0.0, **to)
        weights, D = arguments[("Theta", "Psi")[layer]], first[("D", "output_D")[layer]]
        weights[:] = np.copysign(most if overflows else 0.9 * most, D.T)  # the square of either overflows
        outcomes = launch(kernels, "update_weights", arguments)
        assert outcomes[layer][0] == usual[layer][0]
        assert (outcomes[layer][1] == np.inf) == overflows == (not np.isfinite(weights).all())
        assert np.isfinite(outcomes[1 - layer]).all()


LAYERS = pytest.mark.parametrize("layer", ["hidden", "output"])


def update(kernels, layer, M, G, damping, **settings):
    """`update_weights` of one layer from zero, the other one standing still.

    Returns |D|, length, damping and shift, D, and the weights afterwards.  What is above the diagonal of G is NaN.
    """
    (p, m), dtype = M.shape, M.dtype
    n, d = (p, m - p - 1) if layer == "hidden" else (m - 1, 1)
    of_other = np.zeros((1, n + 1) if layer == "hidden" else (n, n + 2), dtype)
    layers = []
    for of_layer, gram in (M, G), (of_other, np.eye(of_other.shape[1], dtype=dtype)):
        lower = np.array(gram)
        lower[np.triu_indices(len(lower), 1)] = np.nan
        layers.append([of_layer.copy(), lower, nan(dtype, *lower.shape), nan(dtype, *of_layer.T.shape)])
        layers[-1].append(np.zeros_like(of_layer))
    settings = {"r": 1.0, "radius": np.inf, "output_radius": np.inf, "schedule": 1.0, "shrinkage": 0.0} | settings
    hidden, output = layers if layer == "hidden" else layers[::-1]
    arrays = dict(zip(("M", "G", "factor", "D", "Theta"), hidden, strict=True))
    arrays |= dict(zip(("output_M", "output_G", "output_factor", "output_D", "Psi"), output, strict=True))
    sizes = {"n": n, "d": d, "K": len(output[0]), "scratch": nan(dtype, max(M.size, of_other.size))}
    outcomes = launch(kernels, "update_weights", {**sizes, **arrays, "damping": damping, **settings})
    outcome, at_rest = outcomes if layer == "hidden" else outcomes[::-1]
    assert at_rest[:2] == (0, 0)
    assert not layers[1][4].any()
    return *outcome, layers[0][3].T, layers[0][4]


def solve(kernels, layer, M, G, damping):
    """|D|, the damping in force and D; with r = 1 and no radius the weights move by D."""
    norm, length, damping, shift, D, weights = update(kernels, layer, M, G, damping)
    if np.isfinite(norm):
        assert length == (norm > 0)
        trace = np.trace(G.astype(np.float64))
        assert shift == pytest.approx(damping * trace / len(G), rel=4 * float(np.finfo(M.dtype).eps) * len(G))
        np.testing.assert_array_equal(weights, length * D)
    else:
        assert not weights.any()
    return norm, damping, D


def assert_solved(M, G, norm, damping, D):
    """D (G + damping tr(G)/m I) = M with a small residual, and |D|^2 = tr(D G D^T) / p, or 0 if negative."""
    eps = float(np.finfo(M.dtype).eps)
    M, G, D = (array.astype(np.float64) for array in (M, G, D))
    p, m = M.shape
    damped = G + damping * np.trace(G) / m * np.eye(m)
    scale = np.linalg.norm(D) * np.linalg.norm(damped)
    assert np.linalg.norm(D @ damped - M) <= 4 * m * eps * (scale + np.linalg.norm(M))
    slack = 4 * m * eps * np.linalg.norm(D) * scale / p
    assert norm**2 == pytest.approx(max(np.vdot(D, D @ G) / p, 0), rel=1000 * eps, abs=slack)


@BACKENDS
@DTYPES
@LAYERS
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("damping", [0.0, 0.01, 1.0])
def test_direction_solves_its_equation(kernels, dtype, layer, size, damping):
    c = make_case(size, dtype)
    M, G = (c.M, c.G) if layer == "hidden" else (c.output_M, c.output_G)
    norm, in_force, D = solve(kernels, layer, M, G, damping)
    assert in_force == damping
    assert norm > 0
    assert_solved(M, G, norm, in_force, D)


SINGULAR = {
    "unused feature": np.diag([0.0, 1.0, 2.0]),
    "rank one": np.outer([1.0, 2.0, 4.0], [1.0, 2.0, 4.0]),
    "indefinite": np.array([[1.0, 2.0, 0.0], [2.0, 1.3, 0.0], [0.0, 0.0, 1.0]]),
}


@BACKENDS
@DTYPES
@LAYERS
@pytest.mark.parametrize("G", SINGULAR.values(), ids=SINGULAR)
def test_the_damping_of_a_gram_matrix_that_is_not_positive_definite_is_raised(kernels, dtype, layer, G):
    M, G = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 4.0]], dtype), G.astype(dtype)
    M = M[:1] if layer == "hidden" else M  # with one feature
    norm, damping, D = solve(kernels, layer, M, G, 0.0)
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
@LAYERS
@pytest.mark.parametrize("G", SINGULAR.values(), ids=SINGULAR)
def test_both_back_ends_raise_the_damping_alike(dtype, layer, G):
    M = np.array([[1.0, 2.0, 3.0]], dtype)
    dampings = [solve(kernels, layer, M, G.astype(dtype), 0.0)[1] for kernels in (COMPILED, NUMPY)]
    assert dampings[0] == pytest.approx(dampings[1])


@BACKENDS
@DTYPES
@LAYERS
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", ["M", "diagonal of G", "below the diagonal of G"])
def test_nothing_moves_when_statistics_are_not_finite(kernels, dtype, layer, bad, place):
    c = make_case("odd", dtype)
    M, G = ("M", "G") if layer == "hidden" else ("output_M", "output_G")
    array = getattr(c, M if place == "M" else G).copy()
    array[{"M": (1, 2), "diagonal of G": (3, 3), "below the diagonal of G": (3, 1)}[place]] = bad
    setattr(c, M if place == "M" else G, frozen(array))
    arguments = update_arguments(c)
    outcomes = launch(kernels, "update_weights", arguments)
    assert [bool(np.isnan(norm)) for norm, *_ in outcomes] == [layer == "hidden", layer == "output"]
    np.testing.assert_array_equal(arguments["Theta"], c.Theta)
    np.testing.assert_array_equal(arguments["Psi"], c.Psi)


@BACKENDS
@DTYPES
@LAYERS
def test_direction_of_an_empty_gram_matrix_ends_and_is_nan(kernels, dtype, layer):
    with np.errstate(all="ignore"):
        norm = solve(kernels, layer, np.ones((1, 3), dtype), np.zeros((3, 3), dtype), 0.0)[0]
    assert np.isnan(norm)


@BACKENDS
@DTYPES
@LAYERS
def test_direction_ends_when_the_trace_of_G_is_negative(kernels, dtype, layer):
    assert np.isnan(solve(kernels, layer, np.ones((1, 3), dtype), -np.eye(3, dtype=dtype), 0.1)[0])


@BACKENDS
@DTYPES
@LAYERS
@pytest.mark.parametrize("scale", [1e-15, 1e15])
def test_direction_of_huge_and_tiny_statistics(kernels, dtype, layer, scale):
    c = make_case("odd", dtype)
    M, G = (c.M, c.G) if layer == "hidden" else (c.output_M, c.output_G)
    norm, damping, D = solve(kernels, layer, M, G, 0.1)
    of_M = solve(kernels, layer, M * dtype(scale), G, 0.1)
    of_G = solve(kernels, layer, M, G * dtype(scale), 0.1)
    rel = float(100 * np.finfo(dtype).eps)
    assert damping == of_M[1] == of_G[1] == 0.1
    assert of_M[0] == pytest.approx(norm * scale, rel=rel)
    assert of_G[0] == pytest.approx(norm / np.sqrt(scale), rel=rel)
    np.testing.assert_allclose(of_M[2] / scale, D, rtol=0, atol=rel * np.abs(D).max())
    np.testing.assert_allclose(of_G[2] * scale, D, rtol=0, atol=rel * np.abs(D).max())


@BACKENDS
@DTYPES
@LAYERS
def test_direction_beyond_the_range_of_the_dtype_is_not_finite(kernels, dtype, layer):
    M = np.full((1, 3), 0.1 * np.finfo(dtype).max, dtype)
    with np.errstate(all="ignore"):
        norm = solve(kernels, layer, M, 0.5 * np.eye(3, dtype=dtype), 0.1)[0]
    assert not np.isfinite(norm)


@BACKENDS
@LAYERS
@pytest.mark.parametrize(
    ("norm", "r", "radius", "expected"),
    [
        *((0.5, 4.0, np.inf, 0.25), (0.5, 4.0, 0.01, 0.02), (0.5, 0.0, 0.01, 0.02)),
        *((0.0, 4.0, 0.01, 0.0), (0.0, 0.0, np.inf, 0.0), (0.5, 1e9, 0.01, 1e-9)),
    ],
)
@pytest.mark.parametrize("schedule", [1.0, 0.3])
def test_step_length(kernels, layer, norm, r, radius, expected, schedule):
    M = np.array([[0.0, norm, 0.0]])
    radii = (
        {"radius": radius, "output_radius": 77.0} if layer == "hidden" else {"radius": 77.0, "output_radius": radius}
    )
    found, length, _, _, _, weights = update(kernels, layer, M, np.eye(3), 0.0, r=r, **radii, schedule=schedule)
    assert found == norm
    assert length == pytest.approx(schedule * expected, rel=1e-15)
    np.testing.assert_allclose(weights, length * M, rtol=1e-15)


@BACKENDS
@LAYERS
def test_a_step_without_bound_is_not_taken(kernels, layer):
    _, length, _, _, _, weights = update(kernels, layer, np.array([[0.0, 0.5, 0.0]]), np.eye(3), 0.0, r=0.0)
    assert length == np.inf
    assert not weights.any()


@BACKENDS
@DTYPES
@pytest.mark.parametrize("radius", [0.05, np.inf])
@pytest.mark.parametrize("shrinkage", [0.0, 2.0, 1e6])
def test_shrinkage_is_of_the_recurrent_weights_by_the_radius_or_the_distance(kernels, dtype, radius, shrinkage):
    c = make_case("odd", dtype)
    arguments = update_arguments(c, r=40.0, radius=radius, schedule=0.9, shrinkage=shrinkage)
    (norm, length, *_), (_, output_length, *_) = launch(kernels, "update_weights", arguments)
    distance = 0.9 * 0.05 if radius == 0.05 else length * norm
    assert norm > 0.05 * 40  # so that r decides, and the radius is not reached otherwise
    expected = c.Theta.copy()
    expected[:, 3:-1] *= max(0, 1 - shrinkage * distance)
    assert_same(arguments["Theta"], expected + length * arguments["D"].T, dtype, roundings=8)
    assert_same(arguments["Psi"], c.Psi + output_length * arguments["output_D"].T, dtype, roundings=8)


@BACKENDS
@DTYPES
@pytest.mark.parametrize("damping", [0.0, 0.1])
@pytest.mark.parametrize("G", ["regular", "singular"])
def test_factors_can_be_used_again(kernels, dtype, damping, G):
    c = make_case("odd", dtype)
    if G == "singular":
        c.G, c.output_G = (frozen(np.diag(np.arange(len(G)) > 0).astype(dtype)) for G in (c.G, c.output_G))
    first = update_arguments(c, damping)
    factored = launch(kernels, "update_weights", first)
    assert (factored[0][2] > damping) == (factored[1][2] > damping) == (G == "singular" and damping == 0)
    c.M, c.output_M = frozen(2 * c.M[::-1]), frozen(c.output_M[:, ::-1])
    anew, again = update_arguments(c, damping), update_arguments(c, damping=99.0, factored=factored)
    expected = launch(kernels, "update_weights", anew)
    for name in ("factor", "output_factor"):
        again[name] = first[name].copy()
    assert launch(kernels, "update_weights", again) == expected
    assert expected != factored
    for name in ("D", "Theta", "output_D", "Psi"):
        np.testing.assert_array_equal(again[name], anew[name])
    for name in ("factor", "output_factor"):
        np.testing.assert_array_equal(again[name], first[name])


@pytest.fixture(params=[0, 100_000, 1_000_000], ids=["large tiles", "tiny tiles", "small tiles"])
def tiles(request):
    """Products in the tiles of another BLAS than this one."""
    say = import_module("admmirnn._kernels._blas").multiplies_small_matrices
    say(request.param)
    yield request.param
    say(backend._largest_small_product())


@DTYPES
@pytest.mark.parametrize(("d", "n"), [(3, 1), (3, 5), (3, 64), (3, 65), (3, 130), (3, 300), (129, 1), (129, 65)])
def test_products_are_the_same_in_tiles_of_any_size(tiles, d, n, dtype):
    c = make_case(((1, 3, 2, 2) * 75, d, n, 4), dtype)  # more sequences than a large tile has rows
    for call in ("forward labels", "backward"):
        assert_twins_agree(call, *calls(c)[call])


# Threads are used when each has this many operations to do (``LEAST_WORK`` in ``_threads.pyx``)
WORTH_A_THREAD = 4e6
UNEQUAL = np.random.default_rng(0).integers(1, 30, 250)
LARGE = {
    "equal": ((20,) * 210, 5, 64, 4),
    "unequal": (tuple(UNEQUAL.tolist()), 9, 64, 3),
    "one of them long": ((1,) * 60 + (3000,) + (2,) * 60, 2, 70, 2),  # some threads have no sequence at all
}


@cache
def large_case(size, dtype, activation="tanh"):
    c = make_case(LARGE[size], dtype, activation)
    assert 2 * len(c.X) * c.Theta.size >= 7 * WORTH_A_THREAD
    return c


def assert_threads_agree(arguments_of, kernel, written, dtype, roundings=200):
    """Whatever the number of threads, to rounding; a second time to the last bit."""
    expected = arguments_of(1)
    returned = kernel(*expected)
    for n_threads in (2, 3, 7):
        runs = [arguments_of(n_threads) for _ in range(2)]
        of_runs = [kernel(*run) for run in runs]
        assert of_runs[0] == of_runs[1]
        for i in written:
            assert np.array_equal(runs[0][i], runs[1][i])
            assert_same(runs[0][i], expected[i], dtype, roundings)
        if isinstance(returned, tuple):
            assert of_runs[0][0] == pytest.approx(returned[0], rel=float(200 * np.finfo(dtype).eps))
            assert of_runs[0][1] == returned[1]
        else:
            assert of_runs[0] == returned
    return expected, runs[0]


@DTYPES
@pytest.mark.parametrize("targets", ["labels", "values"])
@pytest.mark.parametrize("size", LARGE)
def test_forward_is_the_same_in_any_number_of_threads(size, targets, dtype):
    c = large_case(size, dtype)

    def arguments_of(n_threads):
        return forward_arguments(c, targets, n_threads=n_threads)

    assert_threads_agree(arguments_of, partial(forward, COMPILED), [9, 10, 11, 16, 17], dtype)


@DTYPES
# thousands of steps of the identity overflow
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu", "leaky_relu"])
@pytest.mark.parametrize("size", LARGE)
@pytest.mark.parametrize("cap", [1.0, np.inf])
def test_backward_is_the_same_in_any_number_of_threads(size, activation, cap, dtype):
    c = large_case(size, dtype, activation)
    guard = 64

    def arguments_of(n_threads):
        arguments = backward_arguments(c, cap, n_threads=n_threads)
        room = np.full(len(arguments[17]) + guard, 7, dtype)
        arguments[17] = room[:-guard]
        rooms.append(room)
        return arguments

    rooms = []
    one, several = assert_threads_agree(arguments_of, partial(backward, COMPILED), [LAMBDA1, *STATISTICS], dtype)
    assert not np.array_equal(one[13], several[13])  # there really were several, whose sums have been added up
    for room in rooms:
        assert (room[-guard:] == 7).all()


@DTYPES
@pytest.mark.parametrize("rows", ["all", "of two steps"])
def test_threads_share_the_multipliers_of_two_steps(rows, dtype):
    c = large_case("unequal", dtype)
    n_rows = len(c.X) if rows == "all" else 2 * len(c.lengths)
    found, expected = backward_arguments(c, n_threads=3, n_rows=n_rows), backward_arguments(c, n_threads=3)
    assert launch(COMPILED, "backward", found) == launch(COMPILED, "backward", expected)
    for i in STATISTICS:
        np.testing.assert_array_equal(found[i], expected[i])


def test_rows_without_a_weight_are_set_aside_where_no_other_thread_works():
    """Of a pooled or last state; with so few steps all multipliers have room, and those of a step lie further on."""
    c = make_case(((2,) * 40 + (1,) * 360, 5, 128, 3))
    weights = frozen((np.arange(400) % 3 != 0) * 1.0)

    def arguments_of(n_threads):
        return [*backward_arguments(c, n_threads=n_threads), "last", weights]

    assert_threads_agree(arguments_of, partial(backward, COMPILED), [LAMBDA1, *STATISTICS], np.float64)


def test_backward_uses_as_many_threads_as_it_has_room_for():
    c = large_case("equal", np.float64)
    found, expected = backward_arguments(c, n_threads=7), backward_arguments(c)
    found[17] = expected[17].copy()
    launch(COMPILED, "backward", found)
    launch(COMPILED, "backward", expected)
    for i in STATISTICS:
        np.testing.assert_array_equal(found[i], expected[i])


def test_a_thread_for_little_work_is_not_started():
    """The results of one thread, to the last bit."""
    c = make_case("wide")
    for call, arguments_of in (("forward", forward_arguments), ("backward", backward_arguments)):
        found, expected = arguments_of(c, n_threads=7), arguments_of(c)
        launch(COMPILED, call, found)
        launch(COMPILED, call, expected)
        for i in calls(c)[call][1][:-1]:
            np.testing.assert_array_equal(found[i], expected[i])


# growth of the multipliers a step, cap, and whether without it they would be more than 1e6 times beyond their bound
CAPPED = [
    (1.3, 1.0, False),
    (1.0, 0.5, False),
    (1.1, 1e-3, False),
    (3.5, 1.0, True),
    (1e3, 1.0, True),
    (1.1, 1e-7, True),
]


@DTYPES
@pytest.mark.parametrize(("growth", "cap", "far_beyond"), CAPPED)
@pytest.mark.parametrize(("size", "activation"), [("equal", "tanh"), ("unequal", "relu")])
def test_the_cap_is_the_same_in_any_number_of_threads(size, growth, cap, far_beyond, activation, dtype):
    c = copy.copy(large_case(size, dtype, activation))
    rng = np.random.default_rng(1)
    S = rng.uniform(-1, 1, c.S.shape)  # any states will do
    slope = 1 - S**2 if activation == "tanh" else S > 0
    W = rng.normal(size=(64, 64)) * growth / np.sqrt(64 * np.mean(slope**2))
    Theta = c.Theta.copy()
    Theta[:, -65:-1] = W
    c.S, c.Theta = frozen(S.astype(dtype)), frozen(Theta)

    uncapped = backward_arguments(c, np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        assert launch(NUMPY, "backward", uncapped) == 0
        blocks = np.split(uncapped[LAMBDA1].astype(np.float64), c.offsets[1:-2])
        squares = np.array([np.vdot(block, block) for block in blocks])
    assert far_beyond == (not squares.max() <= 1e12 * cap**2 * squares[-1])

    def arguments_of(n_threads):
        return backward_arguments(c, cap, momentum=0.0, n_threads=n_threads)

    roundings = 1e5 if dtype is np.float64 else 5000  # 2e-11, and 6e-4
    one, _ = assert_threads_agree(arguments_of, partial(backward, COMPILED), [LAMBDA1, *STATISTICS], dtype, roundings)
    assert launch(COMPILED, "backward", arguments_of(2)) > 0
    bounds = max(cap, 1) * np.linalg.norm(blocks[-1], axis=1) * (1 + 1e-5)
    for lambda1 in np.split(one[LAMBDA1], c.offsets[1:-2]):
        assert (np.linalg.norm(lambda1, axis=1) <= bounds[: len(lambda1)]).all()


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
# shapes that fit all the same, for they stand for another number of features or units, or leave some rows unused
FITTING = {
    ("forward", 0): ("row more",),
    **{("forward", i): ("row more",) for i in (9, 10, 11)},
    **{(f"backward{of_R}", i): ("row more",) for of_R in ("", " R") for i in (2, 3)},
    ("backward", 12): ("row less", "row more"),
    ("backward", 17): ("row more",),
    ("backward R", 12): ("row less", "row more"),
    ("backward R", 17): ("row more",),
    ("update_weights", "scratch"): ("row more",),
    ("update_weights R", "scratch"): ("row more",),
    ("update_weights hidden", "scratch"): ("row more",),
    **{("forward labels", i): ("row more",) for i in (16, 17)},
    **{("forward values", i): ("row more",) for i in (16, 17)},
    ("joint_statistics", 4): ("row less", "row more"),
    ("joint_statistics", 11): ("row more",),
    ("joint_statistics each", 11): ("row more",),
    ("generate", 3): ("row less", "row more"),
    ("roll_out", 0): ("row less", "row more", "no rows"),
    ("residuals", 2): ("row less", "row more"),
    ("loss_value cross_entropy", 0): ("column less", "column more"),
    ("loss_value hinge", 0): ("column less", "column more"),
}


def array_positions():
    for call, (arguments, _) in calls(make_case()).items():
        for position, argument in items(arguments):
            # those of a forward sweep without targets are looked at once, and the states that the first of two networks
            # reads are S of its work
            if call.startswith("forward ") and not 12 <= position < 18:
                continue
            if isinstance(argument, np.ndarray) and not (call.startswith("joint_statistics") and position == 0):
                yield call, position, argument


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
    may_be_written = position in written or isinstance(arguments, dict)  # objects are made of what can be written to
    if may_be_written and isinstance(arguments[position], np.ndarray):
        arguments[position].flags.writeable = True
    return launch(COMPILED, kernel_of(name), arguments)


@pytest.mark.parametrize(("name", "position", "change"), WRONG_SHAPES)
def test_wrong_shape_is_refused(name, position, change):
    with pytest.raises(ValueError, match=refusal_of(kernel_of(name))):
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
    if (name, position) == ("forward", 0) and change is WRONG_ARRAYS["another precision"]:
        change = WRONG_OBSERVATIONS["half precision"]  # single is fine
    with pytest.raises((ValueError, TypeError)):
        call_changed(name, position, change)


WRONG_OBSERVATIONS = {
    "half precision": lambda array: array.astype(np.float16),
    "extended precision": lambda array: array.astype(np.longdouble),
    "foreign byte order": lambda array: array.astype(array.dtype.newbyteorder()),
    "foreign order of integers": lambda array: array.astype(np.dtype(np.int16).newbyteorder()),
    "booleans": lambda array: array > 0,
    "32 bits": lambda array: array.astype(np.int32),
    "64 bits": lambda array: array.view(np.uint64),
    "objects": lambda array: array.astype(object),
    "records": lambda array: array.view([("x", np.float64)]),
    "columns first": np.asfortranarray,
    "bytes": lambda array: array.tobytes(),
    "nothing": lambda array: None,
}


@pytest.mark.parametrize("change", WRONG_OBSERVATIONS.values(), ids=WRONG_OBSERVATIONS)
def test_observations_of_another_type_are_refused(change):
    with pytest.raises((ValueError, TypeError)):
        call_changed("forward", 0, change)


@pytest.mark.parametrize("call", ["forward labels", "forward values"])
def test_targets_that_do_not_belong_together_are_refused(call):
    for position in (14, 16, 17, 18):
        with pytest.raises(ValueError, match="forward: (labels|values|weights|lambda3) |work: |no kernel"):
            call_changed(call, position, lambda _: None)
    for position, other in ((12, "forward labels"), (13, "forward values")):
        if other != call:
            with pytest.raises(ValueError, match="forward: (labels|values) is given, and must be None"):
                call_changed(call, position, lambda _, i=position, other=other: calls(make_case())[other][0][i])


def test_room_for_the_multipliers_of_less_than_two_steps_is_refused():
    c = make_case("wide")
    with pytest.raises(ValueError, match="backward: "):
        backward(COMPILED, *backward_arguments(c, n_rows=2 * len(c.lengths) - 1))


@pytest.mark.parametrize(("name", "position"), OUTPUTS)
def test_read_only_output_is_refused(name, position):
    arguments, _ = calls(make_case())[name]
    arguments[position].flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        launch(COMPILED, kernel_of(name), arguments)


POSITIONS_OF_ACTIVATIONS = {"forward": 7, "backward": 6, "roll_out": 2, "a_step": 4, "residuals": 6}


@pytest.mark.parametrize(
    ("name", "position", "value"),
    [
        *((name, position, "softsign") for name, position in POSITIONS_OF_ACTIVATIONS.items()),
        *(
            ("forward", 20, 0),
            ("forward", 20, -1),
            ("forward labels", 18, "softsign"),
            ("forward labels", 18, None),
            ("backward", 18, 0),
            ("backward", 18, -1),
        ),
        *(("backward", 10, -1), ("backward", 11, 0), ("backward", 11, -1)),
    ],
)
def test_wrong_setting_is_refused(name, position, value):
    with pytest.raises(ValueError, match="softsign|must be|no kernel"):
        call_changed(name, position, lambda _: value)


@pytest.mark.parametrize(
    ("name", "position", "value"),
    [
        *(("o_step cross_entropy", 1, -1), ("o_step cross_entropy", 1, 2), ("o_step hinge", 1, -1)),
        *(("loss_value cross_entropy", 1, -1), ("loss_value cross_entropy", 1, 2), ("loss_value hinge", 1, 2)),
        *(("forward labels", 12, -1), ("forward labels", 12, 2)),
        *(("forward", 2, -1), ("forward", 2, 20), ("forward", 2, np.iinfo(np.intp).min)),
        *(("forward", 3, 8), ("forward", 3, 2), ("forward", 3, 0), ("forward", 3, -1)),
    ],
)
def test_index_out_of_range_is_refused(name, position, value):
    def change(indices):
        indices = indices.copy()
        indices[-1] = value
        return indices

    with pytest.raises(ValueError, match=refusal_of(kernel_of(name))):
        call_changed(name, position, change)


HUGE = (2**31, 2**62, 2**63 - 1)  # what sums and products of sizes have no room for


@pytest.mark.parametrize("frame", [1, *HUGE])
@pytest.mark.parametrize("stride", [1, *HUGE, *(-value for value in HUGE), -(2**63)])
@pytest.mark.parametrize("length", [1, 4, 5, 2**62, 2**63 - 1, -(2**63)])
def test_steps_that_are_too_far_apart_to_be_counted_are_refused(frame, stride, length):
    """A stride of 2^62 once led back to the first row with the fifth step."""
    lengths = np.array([length])
    if (frame, stride, length) == (1, 1, 5):
        return
    with pytest.raises(ValueError, match="batch: "):
        COMPILED.batch(np.zeros((9, 1)), 1.0, np.array([0]), lengths, np.arange(7), frame, stride)


@pytest.mark.parametrize("offsets", [[0, 2**62, -(2**63)], [0, 2**63 - 1, -(2**63)], [0, 2**62, 2**63 - 1, -2, 2**62]])
def test_offsets_whose_differences_cannot_be_counted_are_refused(offsets):
    with pytest.raises(ValueError, match="batch: "):
        COMPILED.batch(np.zeros((9, 1)), 1.0, np.array([0]), np.array([1]), np.array(offsets), 1, 1)


@pytest.mark.parametrize("value", HUGE)
@pytest.mark.parametrize("name", ["d", "n"])
def test_sizes_of_a_roll_out_that_cannot_be_counted_are_refused(name, value):
    c = make_case()
    sizes = {"d": c.Theta.shape[1] - len(c.Theta) - 1, "n": len(c.Theta)} | {name: value}
    with pytest.raises(ValueError, match="roll_out: "):
        COMPILED.roll_out(*sizes.values(), c.Theta, c.offsets, "tanh", c.unrolled.copy())


@pytest.mark.parametrize("every", HUGE[1:])
def test_G_takes_one_step_if_the_next_is_too_far_away_to_be_counted(every):
    found = []
    for gram_every in (every, 1000):
        arguments, _ = calls(make_case())["backward"]
        arguments[10], arguments[11] = 1, gram_every
        launch(COMPILED, "backward", arguments)
        found.append(arguments)
    for one, other in zip(*found, strict=True):
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)


WRONG_OFFSETS = ([0, 1000, 2000, 2000], [0, 1500, 2000], [5, 1000, 2000], [0, 3000, 2000], [0, 2000], [2000], [])


@pytest.mark.parametrize("offsets", WRONG_OFFSETS, ids=str)
def test_offsets_that_would_leave_the_arrays_are_refused(offsets):
    """The last block smaller than the one before it once wrote past the end of Z."""
    offsets, Theta, Psi, Z, S = np.array(offsets, np.intp), np.ones((1, 3)), np.ones((1, 2)), *np.zeros((2, 2000, 3))
    S = np.ascontiguousarray(S[:, :1])
    with pytest.raises(ValueError, match="offsets"):
        roll_out(COMPILED, Theta, offsets, "tanh", Z)
    for B in (0, 500, 1000, 2000):  # whatever the other arrays say
        X, Q, ones = np.zeros((2000 - B, 2)), np.zeros((B, 1)), np.ones(B, np.intp)
        with pytest.raises(ValueError, match="offsets"):
            forward(COMPILED, X[:, :1].copy(), 1.0, ones, ones, offsets, Theta, Psi, "tanh", Theta.T.copy(), X, S, Q)
        with pytest.raises(ValueError, match="offsets"):
            backward(
                COMPILED,
                *(Theta, Psi, X, S, offsets, Q, "tanh", 1.0, 0.0, 0.0, 0, 1, np.zeros((4000, 1)), Theta.copy()),
                *(np.ones((3, 3)), Psi.copy(), np.ones((2, 2)), np.zeros(1000)),
            )
