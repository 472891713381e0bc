"""Algorithm 1's block updates: the golden case, the compiled sweep against its numpy twin, optimality of each block."""

from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from activation_functions import FUNCTIONS
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit, logit, logsumexp, softmax

from admmirnn import backend
from admmirnn.activations import ACTIVATIONS
from admmirnn.data.sequences import Sequences
from admmirnn.networks import ElmanRNN
from admmirnn.solvers.algorithm1.solver import BACKWARD, FORWARD
from admmirnn.solvers.algorithm1.variables import SweepSettings, Variables

COMPILED, NUMPY = backend._compiled(), backend._numpy()
BACKENDS = pytest.mark.parametrize("kernels", [COMPILED, NUMPY], ids=["compiled", "numpy"])
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
ORDER = BACKWARD + FORWARD
# rho1, rho2, rho3, nu, and an r at which the runs of these tests stay bounded
PENALTIES = SweepSettings(1.1, 0.9, 1.3, 0.3, 8.0)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As every solver does: small products are faster so."""
    with backend.one_blas_thread():
        yield


# States


# lengths of the sequences, features, hidden units, outputs; whether the hidden and the output layer take the dual way
SIZES = {
    "one of everything": ((1,), 1, 1, 2, (True, None)),
    "one row": ((1,), 2, 3, 4, (True, True)),
    "one step": ((1,) * 5, 2, 9, 3, (True, True)),
    "one sequence": ((6,), 3, 9, 4, (True, True)),
    "few unequal": ((3, 1, 4, 2), 2, 17, 5, (True, True)),
    "few wide": ((5, 6), 1, 33, 2, (True, True)),
    "one way each": ((5, 3, 4), 9, 11, 7, (True, False)),
    "one unit": ((4, 2, 4), 1, 1, 3, (False, False)),
    "many, one step": ((1,) * 19, 2, 5, 2, (False, False)),
    "many, one sequence": ((9,), 2, 5, 4, (False, False)),
    "many equal": ((5,) * 7, 3, 9, 4, (False, False)),
    "many unequal": ((3, 6, 1, 5, 6), 1, 5, 2, (False, False)),
    "more than a chunk": ((2, 1, 2) * 190, 2, 3, 2, (False, False)),
    "steps of more than a chunk": ((2, 1) * 260, 1, 2, 3, (False, False)),
}


def is_dual(rows, B, d, n):
    """Whether a layer of d + n + 1 inputs takes the dual way: Omega would make it take the other, in another room."""
    return COMPILED.sweep_room(rows, B, d, n, 1, False) != COMPILED.sweep_room(rows, B, d, n, 1, True)


def ways_of(lengths, d, n):
    """Of the hidden layer and of the output layer."""
    rows, B = sum(lengths), len(lengths)
    return is_dual(rows, B, d, n), is_dual(rows, B, 0, n)


def make_state(kernels, size="many unequal", dtype=np.float64, targets="every", seed=0, **options):
    """A network and variables near its roll-out, and settings; all of them the same for every back end and dtype.

    ``targets`` are "every", "last" (labels), "values" or "last values"; ``options`` go into the settings.
    """
    lengths, d, n, K = size if isinstance(size, tuple) else SIZES[size][:4]
    at = replace(PENALTIES, **options)
    rng = np.random.default_rng(seed)
    rows = sum(lengths)

    def normal(*shape, scale=1.0):
        return (scale * rng.normal(size=shape)).astype(dtype)

    network = ElmanRNN.random(d, n, K, activation=at.activation, random_state=np.random.RandomState(seed))
    Theta, Psi = network.Theta.astype(dtype), normal(K, n + 1, scale=0.3)
    Theta[:, -1] = normal(n, scale=0.1)
    network = ElmanRNN(Theta, Psi, at.activation)
    batch = Sequences.of_lengths(normal(rows, d), lengths).minibatch(np.arange(len(lengths)))
    row_weights = rng.uniform(0.5, 2, rows).astype(dtype)
    labels, values = rng.integers(0, K, rows).astype(np.intp), normal(rows, K)
    if targets.startswith("last"):
        row_weights[: -len(lengths)] = 0
        labels[: -len(lengths)] = -1
    variables = Variables(
        kernels, network, batch, labels, values if "values" in targets else None, row_weights,
        penalised=at.penalty != "none",
    )  # fmt: skip
    variables.Z[starts(variables), d:-1] = normal(len(lengths), n, scale=0.2)  # s_0 need not be zero
    variables.roll_out(NUMPY, at.activation)
    for block in (variables.A, variables.O):
        block += normal(*block.shape, scale=0.1)
    variables.H[:, :-1] += normal(rows, n, scale=0.1)
    variables.Z[rows_of_states(variables), d:-1] = variables.H[:, :-1]
    for multiplier in variables.multipliers:
        multiplier[:] = normal(*multiplier.shape, scale=0.1)
    return network, variables, at


def rows_of_states(variables):
    """The row of Z which holds the state that a step reaches: as far down as that step has rows."""
    counts = np.diff(variables.offsets[:-1])
    return np.arange(len(variables.A)) + np.repeat(counts, counts)


def starts(variables):
    """The rows of Z that hold an s_0."""
    return np.setdiff1d(np.arange(len(variables.Z)), rows_of_states(variables))


def everything(variables):
    names = ("Theta", "Psi", "Z", "H", "A", "O", "lambda1", "lambda2", "lambda3")
    return {name: getattr(variables, name).copy() for name in names}


def sweep(kernels, variables, at, blocks=ORDER, first=0, last=None):
    kernels.sweep(variables, at, blocks, first, variables.n_steps if last is None else last)


def update_multipliers(kernels, variables, at):
    """Eq. (15) from the variables as they are."""
    v, B = variables, len(variables.lambda1)
    out = np.empty_like(v.A), np.empty_like(v.A), np.empty_like(v.O)
    kernels.residuals(v, at.activation, *out)
    v.update_multipliers(at, *(residual[-B:] for residual in out))


def iterate(kernels, variables, at, n_iterations):
    """Whole iterations of Algorithm 1; everything at the end."""
    for _ in range(n_iterations):
        sweep(kernels, variables, at)
        update_multipliers(kernels, variables, at)
    return everything(variables)


def assert_alike(actual, desired, rtol):
    """Both finite, bounded, and equal up to a part of the largest number in each array."""
    for name, expected in desired.items():
        largest = np.abs(expected).max()
        assert largest < 20, f"{name} grows, so that agreement would mean nothing"
        np.testing.assert_allclose(actual[name], expected, rtol=0, atol=rtol * max(1, largest), err_msg=name)


# The golden case


@pytest.fixture(scope="module")
def golden():
    """One state and every block update applied to it alone, computed by an independent program."""
    with np.load(Path(__file__).parent / "golden" / "algorithm1.npz") as case:
        return dict(case)


def golden_state(case, kernels, dtype, **options):
    """The network, the variables and the settings of the golden case."""
    network = ElmanRNN.of_weights({name: case[name].astype(dtype) for name in "UWbVc"})
    N, d = case["X"].shape
    batch = Sequences.of_lengths(case["X"].astype(dtype), [N]).minibatch(np.arange(1))
    v = Variables(kernels, network, batch, case["y"].astype(np.intp), None, np.ones(N, dtype))
    v.A[:], v.O[:], v.H[:, :-1], v.Z[1:, d:-1] = case["a"], case["o"], case["s"], case["s"]
    for number, multiplier in enumerate(v.multipliers, 1):
        multiplier[:] = case[f"lambda{number}"]
    penalties = {name: float(case[name]) for name in ("rho1", "rho2", "rho3", "nu", "r")}
    return network, v, SweepSettings(**penalties, **options)


TOLERANCES = pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-4)])


@TOLERANCES
@pytest.mark.parametrize(
    ("block", "name", "options"),
    [
        *((block, f"{block}_new", {}) for block in "ocVsabWU"),
        ("o", "o_new_linearised", {"linearised": True}),
        ("a", "a_new_linear_trick", {"linear": True}),
    ],
)
def test_golden_block(golden, backend_name, block, name, options, dtype, tolerance):
    network, v, at = golden_state(golden, backend.kernels(), dtype, **options)
    before = everything(v)
    # blocks of variables at every step; those of weights sum over all steps whichever the step is
    first, last = (0, 5) if block in "osa" else (3, 4)
    sweep(backend.kernels(), v, at, block.encode(), first, last)
    blocks = network.weights | dict(zip("aso", v.blocks, strict=True))
    np.testing.assert_allclose(blocks[block], golden[name], rtol=0, atol=tolerance)
    np.testing.assert_array_equal(v.Z[1:, 3:-1], v.H[:, :-1])
    # and nothing else has changed
    changed = {"o": "O", "a": "A", "s": "ZH", "c": "Psi", "V": "Psi"}.get(block, "Theta")
    for array, value in everything(v).items():
        assert np.array_equal(value, before[array]) != (array in changed)


@TOLERANCES
def test_golden_multipliers(golden, backend_name, dtype, tolerance):
    _, v, at = golden_state(golden, backend.kernels(), dtype)
    update_multipliers(backend.kernels(), v, at)
    for number, multiplier in enumerate(v.multipliers, 1):
        np.testing.assert_allclose(multiplier[0], golden[f"lambda{number}_new"], rtol=0, atol=tolerance)


# The compiled sweep and its twin


OPTIONS = {
    "plain": {},
    "linearised": {"linearised": True},
    "linear": {"linear": True},
    "coupled": {"coupled": True},
    "ridge": {"penalty": "ridge", "penalty_weight": 5.0},
    "lasso": {"penalty": "lasso", "penalty_weight": 1.0},
    "relu": {"activation": "relu"},
    "leaky relu": {"activation": "leaky_relu"},
    "sigmoid": {"activation": "sigmoid"},
    "identity": {"activation": "identity"},
    "last label": {"targets": "last"},
    "squared error": {"targets": "values"},
    "all at once": {
        "targets": "last values", "linear": True, "coupled": True, "activation": "relu", "penalty": "ridge",
        "penalty_weight": 5.0,
    },
}  # fmt: skip


def test_sizes_are_on_the_sides_they_are_meant_for():
    for name, (lengths, d, n, _, ways) in SIZES.items():
        assert all(meant in (None, way) for meant, way in zip(ways, ways_of(lengths, d, n), strict=True)), name


@pytest.mark.slow_on("many unequal", "one sequence", "one unit")
@pytest.mark.parametrize(
    ("size", "options"),
    [
        pytest.param(size, options, id=f"{size}-{name}")
        for size in SIZES
        for name, options in OPTIONS.items()
        if size in ("one sequence", "few unequal", "one way each", "one unit", "many unequal")
        or name in ("plain", "all at once")
    ],
)
def test_compiled_sweep_agrees_with_its_twin_over_20_iterations(size, options):
    results, starts = [], []
    for kernels in (COMPILED, NUMPY):
        _, variables, at = make_state(kernels, size, **options)
        starts.append(everything(variables))
        results.append(iterate(kernels, variables, at, 20 if "chunk" not in size else 4))
    assert_alike(*results, rtol=1e-8)
    for name, start in starts[0].items():
        np.testing.assert_array_equal(start, starts[1][name])
        assert not np.array_equal(start, results[0][name]), f"{name} has not moved"


@pytest.mark.parametrize(
    "options",
    [
        # these do not stay bounded for long
        {"derived": False},
        {"derived": False, "coupled": True, "linearised": True, "targets": "last"},
        {"derived": False, "linear": True, "activation": "relu", "penalty": "lasso", "penalty_weight": 1.0},
        {"linearised": True, "targets": "values", "nu": 2.5, "rho3": 2.5},
        {"linearised": True, "linear": True, "activation": "relu", "targets": "last values", "rho3": 2.5},
    ],
    ids=["printed", "printed coupled", "printed relu", "linearised squared error", "linearised last value"],
)
@pytest.mark.parametrize("size", SIZES)
def test_compiled_sweep_agrees_with_its_twin_over_3_iterations(size, options):
    results = []
    for kernels in (COMPILED, NUMPY):
        _, variables, at = make_state(kernels, size, r=60.0, **options)
        results.append(iterate(kernels, variables, at, 3))
    assert_alike(*results, rtol=1e-10)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "blocks", ["o", "c", "V", "s", "a", "b", "W", "U", "so", "VsVs", "aWsU", "bUa", "cVbWU", "osa"]
)
def test_any_blocks_in_any_order_agree_with_the_twin(size, blocks):
    for options in ({}, {"coupled": True, "targets": "last", "penalty": "lasso", "penalty_weight": 1.0}):
        results = []
        for kernels in (COMPILED, NUMPY):
            _, variables, at = make_state(kernels, size, **options)
            sweep(kernels, variables, at, blocks.encode())
            results.append(everything(variables))
        assert_alike(*results, rtol=1e-11)


@BACKENDS
@pytest.mark.parametrize("size", ["few unequal", "one way each", "many unequal"])
def test_a_sweep_over_all_steps_is_one_sweep_after_the_other(kernels, size):
    """Which starts anew from the variables and so shows that what the first one kept was current."""
    _, whole, at = make_state(kernels, size)
    _, parts, _ = make_state(kernels, size)
    sweep(kernels, whole, at)
    for first in range(whole.n_steps):
        for half in (BACKWARD, FORWARD):
            sweep(kernels, parts, at, half, first, first + 1)
    assert_alike(everything(parts), everything(whole), rtol=1e-12)


@BACKENDS
@DTYPES
@pytest.mark.parametrize("size", ["few unequal", "one way each", "many unequal"])
@pytest.mark.parametrize(("blocks", "first", "last"), [(b"", 0, 2), (ORDER, 0, 0), (ORDER, 2, 2), (ORDER, 4, 4)])
def test_no_blocks_or_no_steps_change_nothing(kernels, dtype, size, blocks, first, last):
    _, variables, at = make_state(kernels, size, dtype)
    before = everything(variables)
    sweep(kernels, variables, at, blocks, first, last)
    for name, value in everything(variables).items():
        np.testing.assert_array_equal(value, before[name])


@BACKENDS
@pytest.mark.parametrize("size", ["few unequal", "many unequal"])
def test_only_the_asked_steps_change(kernels, size):
    _, variables, at = make_state(kernels, size, coupled=True)
    before = everything(variables)
    sweep(kernels, variables, at, ORDER, 1, 3)
    rows = slice(*variables.offsets[[1, 3]])
    states = rows_of_states(variables)[rows]
    for name, value in everything(variables).items():
        kept = np.ones(len(value), bool)
        if name in "AHOZ":
            kept[states if name == "Z" else rows] = False
            assert (value[~kept] != before[name][~kept]).any(axis=1).all()
        if name not in ("Theta", "Psi"):
            np.testing.assert_array_equal(value[kept], before[name][kept])


@pytest.mark.parametrize("size", ["one step", "one sequence", "few unequal", "few wide", "one way each"])
@pytest.mark.parametrize("options", [{}, {"coupled": True}, {"derived": False, "r": 60.0}, {"targets": "last"}])
def test_dual_and_gram_way_agree(size, options):
    """Omega = 0 |.| is no Omega at all, but takes the hidden layer the other way."""
    results = []
    for penalty in ("none", "lasso"):
        _, variables, at = make_state(COMPILED, size, penalty=penalty, **options)
        results.append(iterate(COMPILED, variables, at, 3))
    assert_alike(*results, rtol=1e-11)


@pytest.mark.parametrize("penalty", ["none", "lasso"])
def test_many_steps_keep_the_statistics_current(penalty):
    """Every step changes them twelve times, with penalties of very different sizes; the end against a new start."""
    lengths, n = (60, 40), 160 if penalty == "none" else 12
    assert ways_of(lengths, 3, n) == ((True, True) if penalty == "none" else (False, False))
    size = lengths, 3, n, 4
    _, variables, at = make_state(COMPILED, size, penalty=penalty, nu=1e-3, r=20.0)
    sweep(COMPILED, variables, at, ORDER, 0, variables.n_steps - 1)
    _, other, _ = make_state(COMPILED, size, penalty=penalty, nu=1e-3, r=20.0)
    for t in range(variables.n_steps - 1):
        sweep(COMPILED, other, at, ORDER, t, t + 1)
    assert_alike(everything(variables), everything(other), rtol=1e-11)


@pytest.mark.slow_on("numpy")
@BACKENDS
@pytest.mark.parametrize("size", ["one of everything", "few unequal", "one way each", "many unequal"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_float32_agrees_with_float64(kernels, size, options):
    results = []
    for dtype in (np.float32, np.float64):
        _, variables, at = make_state(kernels, size, dtype, **options)
        results.append(iterate(kernels, variables, at, 3))
    assert all(value.dtype == np.float32 for value in results[0].values())
    assert_alike(*results, rtol=1e-4)


def test_lasso_makes_zeros_and_ridge_makes_weights_small():
    sizes = {}
    for penalty, weight in (("none", 0.0), ("ridge", 50.0), ("lasso", 50.0)):
        _, variables, at = make_state(COMPILED, "many equal", penalty=penalty, penalty_weight=weight)
        W = iterate(COMPILED, variables, at, 20)["Theta"][:, 3:-1]
        sizes[penalty] = np.linalg.norm(W)
        assert (W == 0).any() == (penalty == "lasso")
    assert max(sizes["ridge"], sizes["lasso"]) < 0.9 * sizes["none"]


# What is refused


def altered(variables, **arrays):
    """The variables with other arrays in place of some."""
    other = copy(variables)
    for name, array in arrays.items():
        setattr(other, name, array)
    return other


ARRAYS = ("Theta", "Psi", "Z", "H", "A", "O", "lambda1", "lambda2", "lambda3", "values", "row_weights")
SHAPE_CHANGES = {
    "row less": lambda array: array[:-1],
    "row more": lambda array: np.concatenate([array, array[-1:]]),
    "no rows": lambda array: array[:0],
    "column less": lambda array: array[:, :-1],
    "column more": lambda array: np.hstack([array, array[:, -1:]]),
    "no columns": lambda array: array[:, :0],
    "one dimension more": lambda array: array[None],
    "one dimension less": lambda array: array[0],
}


def assert_refused(variables, at, blocks=ORDER, first=0, last=None, match=None, error=ValueError, **arrays):
    """Nothing is written when the sweep is refused."""
    before = everything(variables)
    with pytest.raises(error, match=match):
        COMPILED.sweep(
            altered(variables, **arrays), at, blocks, first, variables.n_steps if last is None else last
        )  # fmt: skip
    for name, value in everything(variables).items():
        np.testing.assert_array_equal(value, before[name])


def test_none_in_place_of_an_array_is_refused():
    _, variables, at = make_state(COMPILED)
    for name in ("Psi", "H", "A", "O", "lambda1", "lambda2", "lambda3", "row_weights", "labels", "offsets"):
        assert_refused(variables, at, last=1, **{name: None})


@DTYPES
@pytest.mark.parametrize("name", [*ARRAYS, "labels"])
@pytest.mark.parametrize("change", SHAPE_CHANGES)
def test_wrong_shape_is_refused(name, change, dtype):
    _, variables, at = make_state(COMPILED, "many unequal", dtype, "every" if name == "labels" else "values")
    array = getattr(variables, name)
    if array.ndim == 1 and ("column" in change or "dimension less" in change):
        return
    assert_refused(variables, at, **{name: np.ascontiguousarray(SHAPE_CHANGES[change](array))})


@DTYPES
@pytest.mark.parametrize("name", [*ARRAYS, "scratch"])
@pytest.mark.parametrize("other", ["float32", "float64", "longdouble", "float16", "complex128", "int64", ">f8", ">f4"])
def test_wrong_dtype_is_refused(name, other, dtype):
    _, variables, at = make_state(COMPILED, "many unequal", dtype, "values")
    variables.scratch[:] = 0
    if np.dtype(other) != dtype:
        assert_refused(variables, at, **{name: getattr(variables, name).astype(other)})


@pytest.mark.parametrize("other", ["int32", "uint64", "float64", ">i8"])
def test_wrong_dtype_of_labels_and_offsets_is_refused(other):
    _, variables, at = make_state(COMPILED, "many unequal")
    for name in ("labels", "offsets"):
        assert_refused(variables, at, **{name: getattr(variables, name).astype(other)})


@pytest.mark.parametrize("name", [*ARRAYS, "labels", "offsets", "scratch"])
def test_array_that_is_not_contiguous_is_refused(name):
    _, variables, at = make_state(COMPILED, "many unequal", targets="every" if name == "labels" else "values")
    array = getattr(variables, name)
    assert_refused(variables, at, **{name: np.repeat(array, 2, axis=-1)[..., ::2]})
    if array.ndim == 2:
        assert_refused(variables, at, **{name: np.asfortranarray(array)})


@pytest.mark.parametrize("name", [*ARRAYS[:9], "scratch"])
def test_array_that_cannot_be_written_is_refused(name):
    _, variables, at = make_state(COMPILED, "many unequal")
    array = getattr(variables, name).copy()
    array.flags.writeable = False
    assert_refused(variables, at, match="read-only", **{name: array})


def test_labels_and_offsets_may_be_read_only():
    _, variables, at = make_state(COMPILED, "many unequal")
    variables.labels.flags.writeable = variables.offsets.flags.writeable = False
    before = variables.A.copy()
    sweep(COMPILED, variables, at)
    assert (variables.A != before).any()


@pytest.mark.parametrize("size", ["few unequal", "many unequal"])
@pytest.mark.parametrize("label", [-1, 5, 2**40, -(2**40)])
@pytest.mark.parametrize("row", [0, -1])
def test_label_out_of_range_is_refused_unless_its_row_has_no_weight(size, label, row):
    _, variables, at = make_state(COMPILED, size)
    labels, row_weights = variables.labels.copy(), variables.row_weights.copy()
    labels[row] = label
    assert_refused(variables, at, match=f"label {label} of row {row % len(labels)} ", labels=labels)
    row_weights[row] = 0
    _, twin, _ = make_state(NUMPY, size)
    for kernels, v in ((COMPILED, variables), (NUMPY, twin)):
        sweep(kernels, altered(v, labels=labels, row_weights=row_weights), at)
    assert_alike(everything(variables), everything(twin), rtol=1e-11)


@pytest.mark.parametrize("blocks", [b"x", b"ocv", b"oc ", b"O", b"ocVsabWU\0", b"\xff", b"w"])
def test_unknown_block_is_refused(blocks):
    _, variables, at = make_state(COMPILED)
    assert_refused(variables, at, blocks, match="blocks")


@pytest.mark.parametrize("blocks", ["oc", None, 3, bytearray(b"oc")])
def test_blocks_that_are_not_bytes_are_refused(blocks):
    _, variables, at = make_state(COMPILED)
    assert_refused(variables, at, blocks, error=TypeError)


@pytest.mark.parametrize(("first", "last"), [(-1, 2), (2, 1), (0, 7), (7, 7), (-3, -2), (-1, -1)])
def test_steps_out_of_range_are_refused(first, last):
    _, variables, at = make_state(COMPILED)
    assert variables.n_steps == 6
    assert_refused(variables, at, ORDER, first, last, match="range of steps")


@pytest.mark.parametrize(
    "offsets",
    [
        *([], [0], [0, 12], [12], [0, 0, 7, 12], [0, 4, 3, 7, 12], [1, 4, 7, 12], [0, 7, 12, 12], [0, -5, 7, 12]),
        # these fill Z, but end with another number of sequences
        *([0, 1, 12], [0, 6, 12], [0, 4, 12], [0, 3, 6, 12], [0, 1, 6, 12]),
    ],
)
def test_offsets_that_would_leave_the_arrays_are_refused(offsets):
    _, variables, at = make_state(COMPILED, ((1, 2, 1, 2, 1), 1, 3, 2))
    assert variables.offsets.tolist() == [0, 2, 7, 12]
    assert_refused(variables, at, last=1, match="offsets", offsets=np.array(offsets, np.intp))


@pytest.mark.parametrize("value", [-(2**63), -1, 2**31, 2**62, 2**63 - 1])
@pytest.mark.parametrize("name", ["d", "n", "K"])
def test_sizes_that_cannot_be_counted_are_refused(name, value):
    _, variables, at = make_state(COMPILED)
    assert_refused(variables, at, last=1, match=f"{name} is {value}", **{name: value})
    out = [np.zeros_like(variables.A), np.zeros_like(variables.A), np.zeros_like(variables.O)]
    with pytest.raises(ValueError, match=f"residuals: .*{name} is {value}"):
        COMPILED.residuals(altered(variables, **{name: value}), at.activation, *out)


@pytest.mark.parametrize("option", [{"activation": "softsign"}, {"penalty": "elastic"}])
def test_unknown_setting_is_refused(option):
    _, variables, at = make_state(COMPILED)
    assert_refused(variables, replace(at, **option), error=(ValueError, KeyError))


@pytest.mark.slow_on("numpy")
@BACKENDS
@pytest.mark.parametrize("size", ["few unequal", "many unequal"])
@pytest.mark.parametrize("name", ["A", "O", "H", "Theta", "lambda2"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_sweep_of_numbers_that_are_not_finite_ends_and_shows_it(kernels, size, name, bad):
    for activation in ACTIVATIONS:
        _, variables, at = make_state(kernels, size, activation=activation)
        getattr(variables, name)[-1, 0] = bad
        with np.errstate(all="ignore"):
            sweep(kernels, variables, at)
        assert not np.isfinite(variables.Theta).all() or not np.isfinite(variables.Psi).all()


# The room for intermediate results


def random_sizes(count, seed=0):
    """Up to 60 rows and every kind of size."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        rows = int(rng.integers(1, 61))
        B = int(rng.integers(1, min(rows, 12) + 1))
        cuts = np.sort(rng.choice(np.arange(1, rows), B - 1, replace=False)) if B > 1 else []
        lengths = np.diff([0, *cuts, rows])
        d, n, K = (int(size) for size in np.exp(rng.uniform(0, [3, 4, 3])))
        yield tuple(lengths.tolist()), d, n, K


@pytest.mark.slow_on("float64")
@DTYPES
@pytest.mark.parametrize("options", [{}, {"coupled": True}, {"penalty": "lasso"}, {"targets": "values"}])
def test_sweep_stays_within_its_scratch_and_does_not_read_what_it_has_not_written(dtype, options):
    """NaN around the scratch must still be there, NaN in it must not come out."""
    ways = set()
    for seed, size in enumerate([*random_sizes(120), *(SIZES[name][:4] for name in SIZES)]):
        _, variables, at = make_state(COMPILED, size, dtype, seed=seed, **options)
        _, clean, _ = make_state(COMPILED, size, dtype, seed=seed, **options)
        clean.scratch[:] = 0
        sweep(COMPILED, clean, at)
        room, guard = len(variables.scratch), 64
        buffer = np.full(room + 2 * guard, np.nan, dtype)
        variables.scratch = buffer[guard : guard + room]
        sweep(COMPILED, variables, at)
        assert np.isnan(buffer[:guard]).all() and np.isnan(buffer[guard + room :]).all()
        for name, value in everything(variables).items():
            np.testing.assert_array_equal(value, getattr(clean, name), err_msg=f"{name} {size}")
            assert np.isfinite(value).all()
        assert_refused(variables, at, match="scratch has the shape", scratch=buffer[guard : guard + room - 1])
        ways.add(ways_of(*size[:3]))
    assert len(ways) >= 3


# Optimality: every block against a plain augmented Lagrangian


def point(variables):
    """What the augmented Lagrangian is a function of; the states twice, as h_t and as part of z_{t+1}."""
    v = variables
    S = v.H[:, :-1].copy()
    return {"Theta": v.Theta.copy(), "Psi": v.Psi.copy(), "A": v.A.copy(), "O": v.O.copy(), "S": S, "S_in": S.copy()}


def lagrangian(variables, at, x, parts=("loss", "a", "s", "o", "omega")):
    """Some terms of Eq. (8) for the batch: sums over all rows, written from the definitions."""
    v, rows, B = variables, len(variables.A), len(variables.lambda1)
    n, m = v.Theta.shape
    W = x["Theta"][:, m - n - 1 : -1]
    Z = v.Z.copy()
    Z[rows_of_states(v), m - n - 1 : -1] = x["S_in"]
    f = FUNCTIONS[at.activation]
    residuals = {
        "a": (x["A"] - Z[:rows] @ x["Theta"].T, at.rho1, v.lambda1),
        "s": (x["S"] - f(x["A"]), at.rho2, v.lambda2),
        "o": (x["O"] - x["S"] @ x["Psi"][:, :-1].T - x["Psi"][:, -1], at.rho3, v.lambda3),
    }
    total = 0.0
    for name in set(parts) & set(residuals):
        residual, rho, multiplier = residuals[name]
        before, last = residual[: rows - B], residual[rows - B :]
        total += at.nu / 2 * (before**2).sum() + rho / 2 * (last**2).sum() + (multiplier * last).sum()
    if "loss" in parts and v.values is not None:
        total += (v.row_weights * 0.5 * ((x["O"] - v.values) ** 2).sum(axis=1)).sum()
    elif "loss" in parts:
        R = logsumexp(x["O"], axis=1) - x["O"][np.arange(rows), v.labels]
        total += (v.row_weights * R).sum()
    if "omega" in parts and at.penalty != "none":
        total += at.penalty_weight * {"ridge": 0.5 * (W**2).sum(), "lasso": np.abs(W).sum()}[at.penalty]
    return total


def gradient(variables, at, x, name, **parts):
    """Central differences of the augmented Lagrangian in one of its arguments."""
    x, h = x | {name: x[name].copy()}, 1e-4
    result = np.empty_like(x[name])
    for index in np.ndindex(result.shape):
        middle = x[name][index]
        values = []
        for side in (middle + h, middle - h):
            x[name][index] = side
            values.append(lagrangian(variables, at, x, **parts))
        x[name][index] = middle
        result[index] = (values[0] - values[1]) / (2 * h)
    return result


SMALL = pytest.mark.parametrize("size", [((2, 4, 1), 2, 9, 3), ((4, 3, 4, 1), 2, 3, 3), ((1, 1), 1, 1, 2)])


def assert_zero(gradient, scale=1.0):
    np.testing.assert_allclose(gradient, 0, rtol=0, atol=1e-6 * max(1, scale))


@BACKENDS
@SMALL
@pytest.mark.parametrize("targets", ["every", "values"])
def test_o_is_stationary(kernels, size, targets):
    _, variables, at = make_state(kernels, size, targets=targets)
    before = point(variables)
    sweep(kernels, variables, at, b"o")
    assert not np.array_equal(point(variables)["O"], before["O"])
    assert_zero(gradient(variables, at, point(variables), "O"))


@BACKENDS
@SMALL
@pytest.mark.parametrize(("block", "name"), [("c", "Psi"), ("b", "Theta")])
def test_offsets_are_stationary(kernels, size, block, name):
    _, variables, at = make_state(kernels, size)
    before = gradient(variables, at, point(variables), name)[:, -1]
    sweep(kernels, variables, at, block.encode(), 0, 1)
    assert np.abs(before).max() > 1e-3
    assert_zero(gradient(variables, at, point(variables), name)[:, -1])


@BACKENDS
@SMALL
@pytest.mark.parametrize("penalty", ["none", "ridge", "lasso"])
@pytest.mark.parametrize("block", "VWU")
def test_weights_take_a_proximal_gradient_step(kernels, size, block, penalty):
    """rows r (W+ - W) + grad L(W) + grad Omega(W+) = 0, Omega being on W alone."""
    network, variables, at = make_state(kernels, size, penalty=penalty, penalty_weight=3.0)
    name = "Psi" if block == "V" else "Theta"
    columns = {"U": slice(0, network.n_features), "V": slice(0, -1), "W": slice(network.n_features, -1)}[block]
    before = point(variables)
    sweep(kernels, variables, at, block.encode(), 0, 1)
    after = point(variables)
    step = (after[name] - before[name])[:, columns]
    assert np.abs(step).max() > 1e-4
    balance = len(variables.A) * at.r * step
    balance += gradient(variables, at, before, name, parts=("a", "s", "o"))[:, columns]
    W = after["Theta"][:, columns]
    if block == "W" and penalty == "lasso":
        assert_zero((balance + 3.0 * np.sign(W))[W != 0])
        assert np.abs(balance[W == 0]).max(initial=0) <= 3.0 + 1e-6
    else:
        assert_zero(balance + (3.0 * W if block == "W" and penalty == "ridge" else 0))


@BACKENDS
@SMALL
@pytest.mark.parametrize("coupled", [False, True])
def test_states_take_a_proximal_step(kernels, size, coupled):
    """The terms in V (and W) linearised, omega/2 (s - f(a))^2 as it is: (r + omega) (s+ - s) + grad_s L(s) = 0."""
    _, variables, at = make_state(kernels, size, coupled=coupled)
    rows, B = len(variables.A), len(variables.lambda1)
    omega = np.where(np.arange(rows) < rows - B, at.nu, at.rho2)[:, None]
    for t in range(variables.n_steps):
        before = point(variables)
        sweep(kernels, variables, at, b"s", t, t + 1)
        step = point(variables)["S"] - before["S"]
        expected = gradient(variables, at, before, "S")
        if coupled:
            expected += gradient(variables, at, before, "S_in")
        block = slice(*variables.offsets[t : t + 2])
        assert np.abs(step[block]).max() > 1e-3
        assert_zero(((at.r + omega) * step + expected)[block])
        step[block] = 0
        assert not step.any()


@BACKENDS
@SMALL
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "identity"])
def test_pre_activations_take_a_proximal_step(kernels, size, activation):
    """The terms in U, W, b linearised, those in s - f(a) as they are."""
    _, variables, at = make_state(kernels, size, activation=activation)
    before = point(variables)
    sweep(kernels, variables, at, b"a")
    after = point(variables)
    linear = gradient(variables, at, before, "A", parts=("a",))
    assert np.abs(after["A"] - before["A"]).max() > 1e-3
    assert_zero(at.r * (after["A"] - before["A"]) + linear + gradient(variables, at, after, "A", parts=("s",)))


# The o-step


@st.composite
def prox_problems(draw):
    """Logits of a few rows, each row with its own size, weights of the loss, penalties, multipliers."""
    B, K = draw(st.integers(1, 3)), draw(st.integers(2, 61))
    size = st.floats(-4, 4).map(lambda power: 10.0**power)
    logits = draw(hnp.arrays(np.float64, (2 * B, K), elements=st.floats(-1, 1, width=16)))
    logits *= draw(hnp.arrays(np.float64, (2 * B, 1), elements=size))
    labels = draw(hnp.arrays(np.intp, 2 * B, elements=st.integers(0, K - 1)))
    row_weights = draw(hnp.arrays(np.float64, 2 * B, elements=st.sampled_from([0.0, 0.1, 1.0, 7.0])))
    lambda3 = draw(hnp.arrays(np.float64, (B, K), elements=st.floats(-1, 1, width=16)))
    return logits, labels, row_weights, lambda3, draw(size), draw(size)


@pytest.mark.slow_on("numpy")
@BACKENDS
@settings(max_examples=60)
@given(prox_problems())
def test_o_step_of_any_problem_is_stationary(kernels, problem):
    """w (p - y) + omega (o+ - centre) = 0, at logits and penalties of eight orders of magnitude each."""
    logits, labels, row_weights, lambda3, nu, rho3 = problem
    B, K = lambda3.shape
    _, v, at = make_state(kernels, ((2,) * B, 1, K, K), nu=nu, rho3=rho3)
    v.Psi[:] = np.eye(K, K + 1)
    v.H[:, :-1] = v.Z[B:, 1:-1] = logits
    v.labels[:], v.row_weights[:], v.lambda3[:] = labels, row_weights, lambda3
    sweep(kernels, v, at, b"o")
    omega = np.repeat([nu, rho3], B)[:, None]
    centre = logits.copy()
    centre[B:] -= lambda3 / rho3
    balance = row_weights[:, None] * (softmax(v.O, axis=1) - np.eye(K)[labels]) + omega * (v.O - centre)
    np.testing.assert_allclose(balance, 0, rtol=0, atol=1e-6)


@pytest.mark.slow_on("numpy")
@BACKENDS
@settings(max_examples=60)
@given(prox_problems())
def test_cross_entropy_step_of_any_problem_is_stationary(kernels, problem):
    q, labels, _, _, rho, _ = problem
    o_plus, lambda3 = np.empty_like(q), np.empty_like(q)
    kernels.o_step(q, labels, None, np.ones(len(q)), rho, o_plus, lambda3, "cross_entropy")
    balance = softmax(o_plus, axis=1) - np.eye(q.shape[1])[labels] + rho * (o_plus - q)
    np.testing.assert_allclose(balance, 0, rtol=0, atol=1e-6)


# The a-step


def a_step(kernels, alpha, target, r, penalty, activation="tanh"):
    """Of one-dimensional arrays."""
    a = np.full((1, len(alpha)), np.nan, alpha.dtype)
    kernels.a_step(alpha[None], target[None], r, penalty, activation, a)
    return a[0]


def distance(a, target, activation):
    """target - f(a), without the cancellation in 1 - f(a)."""
    if activation == "sigmoid":
        return np.where(a < 0, target - expit(a), (target - 1) + expit(-a))
    if activation != "tanh":
        return target - FUNCTIONS[activation](a)
    sign, e = np.where(a > 0, 1.0, -1.0), np.exp(-2 * np.abs(a))
    return np.where(np.abs(a) < 1, target - np.tanh(a), (target - sign) + sign * 2 * e / (1 + e))


def rounding_of_distance(a, activation, eps):
    """What `distance` is off by, as f(a), or its distance from the nearest bound of f, is a rounded number itself."""
    size = np.abs(a)
    if activation == "sigmoid":
        return eps * expit(-size)
    if activation != "tanh":
        return eps * np.abs(FUNCTIONS[activation](a))
    e = np.exp(-2 * size)
    return eps * np.where(size < 1, np.tanh(size), 2 * e / (1 + e))


def objective(a, alpha, target, r, penalty, activation="tanh"):
    return 0.5 * r * (a - alpha) ** 2 + 0.5 * penalty * distance(a, target, activation) ** 2


def candidates(alpha, target, r, penalty, activation):
    """A column for each entry: 10,001 points from alpha to where f(a) can be nearest to the target, half of them
    where f bends."""
    if activation not in ("tanh", "sigmoid"):
        below = {"relu": 0, "leaky_relu": 100, "identity": 1}[activation]
        ends = np.sort([alpha, np.where(target > 0, target, below * target)], axis=0)
        return np.concatenate([np.linspace(*ends, 10_001), [alpha, np.zeros_like(alpha)]])
    largest = np.maximum(25, np.abs(alpha))
    if activation == "tanh":
        far = alpha + penalty / r * (target - np.tanh(alpha))
        within = np.abs(target) < 1
        meets = np.where(within, np.arctanh(np.where(within, target, 0)), np.sign(target) * largest)
    else:
        far = alpha + penalty / (4 * r) * (target - expit(alpha))
        meets = np.where((target > 0) & (target < 1), logit(target.clip(0, 1)), np.where(target > 0, 1, -1) * largest)
    far = np.where(np.abs(far - alpha) < np.abs(meets - alpha), far, meets)
    ends = np.sort([alpha, far], axis=0)
    return np.concatenate([np.linspace(*ends, 5_000), np.linspace(*ends.clip(-25, 25), 5_000), [alpha]])


def special_numbers(dtype):
    info = np.finfo(dtype)
    return st.sampled_from(
        [0.0, -0.0, 1.0, -1.0, 1 - info.epsneg, -1 + info.epsneg, 1 + info.eps, 1e6, -1e6]
        + [info.smallest_subnormal, -info.smallest_subnormal, info.tiny, 0.5 * info.tiny, info.eps]
    ).map(float)


def numbers(dtype):
    """Of many magnitudes, up to a million."""
    scaled = st.builds(lambda unit, power: unit * 10.0**power, st.floats(-1, 1), st.floats(-8, 6))
    return st.one_of(st.floats(-3, 3), scaled, special_numbers(dtype))


@st.composite
def a_problems(draw, dtype):
    """alpha, target, r, penalty."""
    count = draw(st.integers(1, 20))
    alpha, target = (
        np.array(draw(st.lists(numbers(dtype), min_size=count, max_size=count))).astype(dtype) for _ in range(2)
    )
    r, penalty = (10.0 ** draw(st.floats(-4, 4)) for _ in range(2))
    return alpha, target, r, penalty


def assert_no_point_is_better(a, alpha, target, r, penalty, activation):
    """Than a, up to what the rounding of a and f(a) to its dtype costs, and of f(a) to float64 in the objective."""
    eps, tiny = (float(value) for value in (np.finfo(a.dtype).eps, np.finfo(a.dtype).tiny))
    rtol = {np.float64: 1e-9, np.float32: 1e-5}[a.dtype.type]
    assert np.isfinite(a).all()
    a, alpha, target = (array.astype(np.float64) for array in (a, alpha, target))
    best = objective(candidates(alpha, target, r, penalty, activation), alpha, target, r, penalty, activation).min(
        axis=0
    )
    curvature = r + penalty * (1 + np.abs(target))
    rounding = curvature * (4 * eps * np.maximum(np.abs(a), np.abs(alpha)) + tiny) ** 2 + np.finfo(np.float64).tiny
    off, step_off = (2 * rounding_of_distance(a, activation, value) for value in (np.finfo(np.float64).eps, eps))
    rounding += penalty * (off * np.abs(distance(a, target, activation)) + step_off**2)
    excess = objective(a, alpha, target, r, penalty, activation) - best
    worst = np.argmax(excess - rtol * best - rounding)
    assert (excess <= rtol * best + rounding).all(), (
        f"a={a[worst]!r} alpha={alpha[worst]!r} target={target[worst]!r} r={r!r} penalty={penalty!r} "
        f"excess={excess[worst]:.3g} of {best[worst]:.3g}"
    )


@pytest.mark.slow_on("numpy", "float32")
@BACKENDS
@DTYPES
@pytest.mark.parametrize("activation", ACTIVATIONS)
@settings(max_examples=60)
@given(data=st.data())
def test_a_step_is_the_global_minimum(kernels, dtype, activation, data):
    alpha, target, r, penalty = data.draw(a_problems(dtype))
    a = a_step(kernels, alpha, target, r, penalty, activation)
    assert_no_point_is_better(a, alpha, target, r, penalty, activation)


@BACKENDS
def test_a_step_at_a_point_where_the_objective_is_known_to_half_its_digits(kernels):
    # target - f(a) is 1e-8, and f(a) known to 1e-16: hypothesis found points that only seemed to be better
    alpha, target = np.array([0.0]), np.array([0.5000000107222475])
    a = a_step(kernels, alpha, target, 1.0, 1.0, "sigmoid")
    assert_no_point_is_better(a, alpha, target, 1.0, 1.0, "sigmoid")
    # f(a) = 1/2 + a/4 to more digits than there are
    np.testing.assert_allclose(a, (target - 0.5) / 4 / (1 + 1 / 16), rtol=1e-7)


def tail_problem(alpha, target, ratio):
    return np.array([alpha]), np.array([target]), 1.0, ratio


@pytest.mark.slow_on("numpy")
@BACKENDS
@settings(max_examples=150)
@given(a_problems(np.float64))
@example(tail_problem(13.33521432, 0.0, 3.0))
@example(tail_problem(11.42, 0.9943, 31620.0))
@example(tail_problem(-10.42, 2922.0, 0.001778))
def test_a_step_is_stationary(kernels, problem):
    alpha, target, r, penalty = problem
    a, ratio = a_step(kernels, alpha, target, r, penalty), penalty / r
    e = np.exp(-2 * np.abs(a))
    slope = 4 * e / (1 + e) ** 2
    balance = a - alpha - ratio * distance(a, target, "tanh") * slope
    # what a relative change of 1e-13 in a or alpha would make of it
    tolerance = 1e-13 * ((1 + np.abs(a)) * (1 + 4 * ratio * slope * (1 + np.abs(target))) + np.abs(alpha))
    assert (np.abs(balance) <= tolerance).all()


@pytest.mark.slow_on("numpy")
@BACKENDS
@settings(max_examples=150)
@given(a_problems(np.float64))
def test_a_step_of_sigmoid_is_stationary(kernels, problem):
    alpha, target, r, penalty = problem
    a, ratio = a_step(kernels, alpha, target, r, penalty, "sigmoid"), penalty / r
    slope = expit(a) * expit(-a)
    balance = a - alpha - ratio * distance(a, target, "sigmoid") * slope
    tolerance = 1e-13 * ((1 + np.abs(a)) * (1 + 4 * ratio * slope * (1 + np.abs(target))) + np.abs(alpha))
    assert (np.abs(balance) <= tolerance).all()


@BACKENDS
@DTYPES
@pytest.mark.parametrize("ratio", [2.0, 5.0, 20.0, 100.0])
def test_a_step_takes_the_lower_of_two_minima(kernels, dtype, ratio):
    """The target is beyond 1 or the penalty large, and alpha lies where tanh is flat, on the other side."""
    spacing = 5e-3
    grid = np.arange(-61, 10, spacing)[:, None]
    n_lower, n_upper = 0, 0
    for target in (0.7, 1.0, 1.5, 3.0, 8.0):
        alpha = -np.geomspace(0.5, 60, 24).astype(dtype)
        target = np.full_like(alpha, target)
        values = objective(grid, alpha.astype(np.float64), target.astype(np.float64), 1.0, ratio)
        is_least = (values[1:-1] < values[:-2]) & (values[1:-1] < values[2:])
        first, last = 1 + is_least.argmax(axis=0), len(grid) - 2 - is_least[::-1].argmax(axis=0)
        at_first, at_last = (np.take_along_axis(values, i[None], axis=0)[0] for i in (first, last))
        clear = (is_least.sum(axis=0) == 2) & (np.abs(at_first - at_last) > 0.01 * np.minimum(at_first, at_last))
        expected = np.where(at_first < at_last, grid[first, 0], grid[last, 0])
        a = a_step(kernels, alpha, target, 1.0, ratio)
        np.testing.assert_allclose(a[clear], expected[clear], rtol=0, atol=1.5 * spacing)
        np.testing.assert_array_equal(a_step(kernels, -alpha, -target, 1.0, ratio), -a)
        n_lower += (clear & (at_first < at_last)).sum()
        n_upper += (clear & (at_first > at_last)).sum()
    assert n_lower >= 9
    assert n_upper >= (9 if ratio > 2 else 3)


@DTYPES
@pytest.mark.parametrize("target", [0.0, 0.3, -0.9, 1.0, 2.5, -7.0, 100.0, -1e4])
def test_both_ways_of_the_a_step_agree_where_they_meet(dtype, target):
    """One for entries with one stationary point, all of them at once; one for others.  The twin has the second only."""
    alpha = np.linspace(-6, 6, 241).astype(dtype)
    target = np.full_like(alpha, target)
    edge = 0.99 / (0.334 + 0.77 * np.abs(target[0].astype(np.float64)))
    results = []
    for ratio in (edge * (1 - 1e-13), edge * (1 + 1e-13)):
        results.append(a_step(COMPILED, alpha, target, 1.0, ratio))
        exact = a_step(NUMPY, alpha.astype(np.float64), target.astype(np.float64), 1.0, ratio)
        # near the edge h' may be as small as a hundredth, which makes rounding errors a hundred times larger
        np.testing.assert_allclose(results[-1], exact, rtol=0, atol=1e-11 if dtype is np.float64 else 2e-4)
    np.testing.assert_allclose(*results, rtol=0, atol=1e-11 if dtype is np.float64 else 2e-4)


@DTYPES
@pytest.mark.parametrize("largest", [5.0, 1e5])
def test_a_step_with_one_stationary_point_is_accurate(dtype, largest):
    """However small the way from alpha is: float32 against the twin in float64."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for _ in range(200):
        target = (rng.choice([-1, 1], 64) * np.exp(rng.uniform(np.log(1e-4), np.log(largest), 64))).astype(dtype)
        alpha = (rng.choice([-1, 0, 1], 64) * 10 ** rng.uniform(-9, 0.8, 64)).astype(dtype)
        ratio = 10 ** rng.uniform(-4, -0.1) / (0.334 + 0.77 * float(np.abs(target).max()))
        a = a_step(COMPILED, alpha, target, 1.0, ratio)
        exact = a_step(NUMPY, alpha.astype(np.float64), target.astype(np.float64), 1.0, ratio)
        worst = max(worst, (np.abs(a - exact) / (1 + np.abs(exact))).max())
    assert worst < {np.float32: 2e-6, np.float64: 1e-13}[dtype]


def test_bound_under_which_there_is_one_stationary_point():
    """max over T in [-1, 1] of (3 T^2 - 2 t T - 1) (1 - T^2) <= 0.334 + 0.77 |t|, and not much less."""
    T = np.linspace(-1, 1, 20_001)
    for t in np.concatenate([[0], np.geomspace(1e-4, 1e6, 200)]):
        for target in (t, -t):
            most = ((3 * T**2 - 2 * target * T - 1) * (1 - T**2)).max()
            assert max(0.333, 0.769 * t) < most <= 0.334 + 0.77 * t


@BACKENDS
@DTYPES
@pytest.mark.parametrize("ratio", [0.5, 1.0, 3.0, 1e4])
def test_a_step_of_a_saturated_target(kernels, dtype, ratio):
    """s = f(a) = -1 or 1 in this precision, far out: nothing pulls a anywhere."""
    alpha = np.array([19.0, 19.1, 20.0, 30.0, 1e3, 1e6], dtype)
    for sign in (1, -1):
        a = a_step(kernels, sign * alpha, np.full_like(alpha, sign), 1.0, ratio)
        np.testing.assert_allclose(a, sign * alpha, rtol=1e-6)


@BACKENDS
@pytest.mark.parametrize("ratio", [0.1, 1.0, 3.0, 1e4])
def test_a_step_of_a_target_that_is_met(kernels, ratio):
    """s = f(a), as after a roll-out: a stays where it is, up to what the rounding of s allows."""
    alpha = np.linspace(-25, 25, 1001)
    np.testing.assert_allclose(a_step(kernels, alpha, np.tanh(alpha), 1.0, ratio), alpha, rtol=1e-12, atol=1e-12)


@BACKENDS
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_step_of_numbers_that_are_not_finite_ends(kernels, activation):
    bad = np.array([np.nan, np.inf, -np.inf, 0.5])
    alpha, target = (array.ravel() for array in np.meshgrid(bad, bad))
    for ratio in (0.1, 10.0):
        with np.errstate(all="ignore"):
            a = a_step(kernels, alpha, target, 1.0, ratio, activation)
        assert np.isfinite(a[-1])
        assert not np.isfinite(a[np.isnan(alpha)]).any()
