"""Cells with gates: kernel against twin, pull-back against differences of the step, and what saturates."""

import numpy as np
import pytest
from scipy.special import expit

from admmirnn import backend
from admmirnn.networks.blocks import blocks_of
from admmirnn.networks.cells import CELLS, GATED, GRU, LSTM, UGRNN, Elman, FastGRNN

COMPILED, NUMPY = backend._compiled(), backend._numpy()
BACKENDS = pytest.mark.parametrize("kernels", [COMPILED, NUMPY], ids=["compiled", "numpy"])
EVERY_GATED_CELL = pytest.mark.parametrize("cell", [kind() for kind in GATED.values()], ids=GATED)
EVERY_CELL = pytest.mark.parametrize("cell", [kind() for kind in CELLS.values()], ids=CELLS)
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
# around the widths of vectors, which have 4 to 16 numbers
SIZES = pytest.mark.parametrize(("rows", "n"), [(1, 1), (3, 5), (2, 16), (7, 33), (4, 64), (5, 100)])
HUGE = {np.float32: 3e38, np.float64: 1.7e308}


def inputs_of(cell, rows, n, dtype=np.float64, *, scale=2.0, seed=0):
    """Pre-activations, the state before, and what else there is: biases and the cell state before."""
    rng = np.random.default_rng(seed)
    A = scale * rng.normal(size=(rows, cell.n_columns * n))
    s_before = rng.uniform(-1, 1, (rows, n))
    biases = rng.normal(size=cell.n_biases * n) if cell.n_biases else None
    c_before = rng.normal(size=(rows, n)) if cell.has_cell_state else None
    return [array if array is None else array.astype(dtype) for array in (A, s_before, biases, c_before)]


def multipliers_of(cell, rows, n, dtype=np.float64, seed=1):
    """Those of s_t, and of c_t where there is one."""
    multipliers, lambda_c = np.random.default_rng(seed).normal(size=(2, rows, n)).astype(dtype)
    return multipliers, lambda_c if cell.has_cell_state else None


def step(kernels, cell, A, s_before, biases, c_before):
    """`step_rows` with arrays of its own: what is kept, s_t and c_t.  What is behind pre-activations is not read."""
    rows, n = s_before.shape
    kept = np.full((rows, cell.n_kept * n), np.nan, A.dtype)
    kept[:, : A.shape[1]] = A
    states, c = np.full_like(s_before, np.nan), None if c_before is None else np.full_like(c_before, np.nan)
    kernels.step_rows(cell, kept, s_before, biases, c_before, states, c)
    return kept, states, c


def pull_back(kernels, cell, kept, s_before, c_before, c, multipliers, lambda_c):
    """`pull_back_rows` with arrays of its own: of equations, direct ones of s_{t-1}, of c_{t-1}, and of shared rows."""
    equations, direct = kept.copy(), multipliers.copy()
    of_c, sums = None if lambda_c is None else lambda_c.copy(), None
    if cell.n_biases:
        sums = np.full_like(direct, np.nan)
    kernels.pull_back_rows(cell, equations, s_before, c_before, c, direct, of_c, sums)
    return equations, direct, of_c, sums


def assert_same(found, expected, rtol, atol):
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert one.dtype == other.dtype
            np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)


@DTYPES
@SIZES
@EVERY_GATED_CELL
def test_kernels_are_their_twin(cell, rows, n, dtype):
    inputs, (multipliers, lambda_c) = inputs_of(cell, rows, n, dtype), multipliers_of(cell, rows, n, dtype)
    _, s_before, _, c_before = inputs
    tolerance = 40 * np.finfo(dtype).eps
    kept, states, c = step(NUMPY, cell, *inputs)
    found = step(COMPILED, cell, *inputs)
    assert_same(found, (kept, states, c), tolerance, tolerance)
    arguments = kept, s_before, c_before, c, multipliers, lambda_c
    # 1 - z and 1 - c c have lost digits in both where they are small
    assert_same(pull_back(COMPILED, cell, *arguments), pull_back(NUMPY, cell, *arguments), tolerance, tolerance)


@BACKENDS
@EVERY_GATED_CELL
def test_pull_back_is_the_derivative_of_the_step_transposed(kernels, cell):
    rows, n = 3, 4
    A, s_before, biases, c_before = inputs_of(cell, rows, n)
    multipliers, lambda_c = multipliers_of(cell, rows, n)

    def value():
        _, states, c = cell.step(A, s_before, biases, c_before)
        return (multipliers * states).sum() + (0 if c is None else (lambda_c * c).sum())

    def differences(array, h=1e-6):
        gradient = np.empty_like(array)
        for index in np.ndindex(array.shape):
            before, ends = array[index], []
            for sign in (1, -1):
                array[index] = before + sign * h
                ends.append(value())
            array[index] = before
            gradient[index] = (ends[0] - ends[1]) / (2 * h)
        return gradient

    kept, _, c = step(kernels, cell, A, s_before, biases, c_before)
    equations, direct, of_c, sums = pull_back(kernels, cell, kept, s_before, c_before, c, multipliers, lambda_c)
    np.testing.assert_allclose(equations if sums is None else sums, differences(A), rtol=0, atol=1e-8)
    if biases is not None:  # of which every row has the same
        np.testing.assert_allclose(equations.sum(axis=0), differences(biases), rtol=0, atol=1e-8)
    if c_before is None:
        np.testing.assert_allclose(direct, differences(s_before), rtol=0, atol=1e-8)
    else:
        np.testing.assert_allclose(of_c, differences(c_before), rtol=0, atol=1e-8)
        np.testing.assert_array_equal(differences(s_before), 0)
        np.testing.assert_array_equal(direct, multipliers)


@EVERY_GATED_CELL
def test_single_precision_is_as_accurate_as_its_gates(cell):
    """Kernels in float32, whose formulas lose no more than a few units of what is added up."""
    rows, n = 50, 64
    inputs, (multipliers, lambda_c) = inputs_of(cell, rows, n, np.float32, scale=4.0), multipliers_of(cell, rows, n)
    multipliers, lambda_c = (None if one is None else one.astype(np.float32) for one in (multipliers, lambda_c))
    wide = [None if one is None else one.astype(np.float64) for one in inputs]
    kept, states, c = step(COMPILED, cell, *inputs)
    exact_kept, exact_states, exact_c = step(NUMPY, cell, *wide)
    for found, expected in ((kept, exact_kept), (states, exact_states), (c, exact_c)):
        if found is not None:
            assert np.abs(found - expected).max() < 12 * np.finfo(np.float32).eps
    found = pull_back(COMPILED, cell, kept, inputs[1], inputs[3], c, multipliers, lambda_c)
    of_wide = (None if one is None else one.astype(np.float64) for one in (multipliers, lambda_c))
    expected = pull_back(NUMPY, cell, exact_kept, wide[1], wide[3], exact_c, *of_wide)
    for one, other in zip(found, expected, strict=True):
        if one is not None:
            assert np.abs(one - other).max() < 12 * np.finfo(np.float32).eps * np.abs(other).max()


@DTYPES
@BACKENDS
@EVERY_GATED_CELL
def test_saturated_gates_are_at_their_limits_and_pass_nothing(kernels, cell, dtype):
    rows, n = 2 ** (cell.n_columns + cell.n_biases), 19
    signs = np.array(np.meshgrid(*[[1, -1]] * (cell.n_columns + cell.n_biases))).reshape(-1, rows).T
    _, s_before, biases, c_before = inputs_of(cell, rows, n, dtype)
    multipliers, lambda_c = multipliers_of(cell, rows, n, dtype)
    for large in (200, 1e4, HUGE[dtype], np.inf):
        A = np.repeat(signs[:, : cell.n_columns] * large, n, axis=1).astype(dtype)
        of_x = cell.columns_of_x  # the others are no gates: infinity minus it, and zero times it, are no limits
        A[:, of_x * n :] = np.repeat(signs[:, of_x : cell.n_columns], n, axis=1)
        with np.errstate(over="ignore"):
            kept, states, c = step(kernels, cell, A, s_before, biases, c_before)
            of_columns, direct, of_c, _ = pull_back(kernels, cell, kept, s_before, c_before, c, multipliers, lambda_c)
        of_gates = kept[:, : None if of_x == cell.n_columns else of_x * n]
        np.testing.assert_allclose(np.abs(2 * np.abs(of_gates) - 1), 1, rtol=1e-6)  # each is -1, 0 or 1
        assert (np.abs(states) <= 1).all()
        np.testing.assert_allclose(of_columns, 0, atol=1e-30 if cell != LSTM() else 1e-6)
        if c is None:
            np.testing.assert_allclose(direct, expit(A[:, gate_that_keeps(cell, n)]) * multipliers, atol=1e-30)
            stays = A[:, gate_that_keeps(cell, n)] > 0
            np.testing.assert_array_equal(states[stays], s_before[stays])
        else:
            f = A[:, n : 2 * n] > 0
            of_s = np.where(A[:, 3 * n :] > 0, multipliers * (1 - np.tanh(c) ** 2), 0)
            np.testing.assert_allclose(of_c, np.where(f, lambda_c + of_s, 0), rtol=1e-5, atol=1e-6)


def gate_that_keeps(cell, n):
    """Its columns."""
    (first,) = (
        of.first + of.names(letter).index(cell.bias_of_past)
        for of in cell.maps
        for part, letter in of.columns
        if part == "1" and cell.bias_of_past in of.names(letter)
    )
    return slice(first * n, (first + 1) * n)


@DTYPES
@BACKENDS
@EVERY_GATED_CELL
def test_what_is_not_a_number_stays_so_and_stays_where_it_is(kernels, cell, dtype):
    rows, n = 3, 21
    A, s_before, biases, c_before = inputs_of(cell, rows, n, dtype)
    expected = step(kernels, cell, A, s_before, biases, c_before)
    for gate in range(cell.n_columns):
        spoilt = A.copy()
        spoilt[1, gate * n + 7] = np.nan
        kept, states, c = step(kernels, cell, spoilt, s_before, biases, c_before)
        assert np.isnan(states[1, 7])
        assert np.isnan(states).sum() == 1
        states[1, 7] = expected[1][1, 7]
        np.testing.assert_array_equal(states, expected[1])
        multipliers, lambda_c = multipliers_of(cell, rows, n, dtype)
        of_columns, *_ = pull_back(kernels, cell, kept, s_before, c_before, c, multipliers, lambda_c)
        places = np.isnan(of_columns).reshape(rows, -1, n).any(axis=1)
        assert places[1, 7]
        assert places.sum() == 1
    kept, _, c = expected
    multipliers[2, 3] = np.nan
    of_columns, *_ = pull_back(kernels, cell, kept, s_before, c_before, c, multipliers, lambda_c)
    assert np.isnan(of_columns).reshape(rows, -1, n)[2, :, 3].all()
    assert np.isnan(of_columns).sum() == cell.n_kept


@BACKENDS
@EVERY_GATED_CELL
def test_no_rows_and_no_units(kernels, cell):
    for rows, n in ((0, 3), (2, 0)):
        kept, states, c = step(kernels, cell, *inputs_of(cell, rows, n))
        assert states.shape == (rows, n)
        assert (c is None) == (not cell.has_cell_state)
        assert kept.shape == (rows, cell.n_kept * n)


@pytest.mark.parametrize("name", ["biases", "c_before", "c", "lambda_c"])
@EVERY_GATED_CELL
def test_a_cell_takes_what_it_has_and_nothing_else(cell, name):
    rows, n = 3, 4
    A, s_before, biases, c_before = inputs_of(cell, rows, n)
    multipliers, lambda_c = multipliers_of(cell, rows, n)
    kept, states, c = step(NUMPY, cell, A, s_before, biases, c_before)
    arrays = {"biases": biases, "c_before": c_before, "c": c, "lambda_c": lambda_c}
    arrays[name] = None if arrays[name] is not None else np.zeros(n) if name == "biases" else np.zeros((rows, n))
    biases, c_before, c, lambda_c = arrays.values()
    if name != "lambda_c":
        with pytest.raises(ValueError, match="step_rows: .*(must be|is None)"):
            COMPILED.step_rows(cell, kept, s_before, biases, c_before, states, c)
    if name != "biases":
        sums = np.zeros_like(multipliers) if cell.n_biases else None
        with pytest.raises(ValueError, match="pull_back_rows: .*(must be|is None)"):
            COMPILED.pull_back_rows(cell, kept, s_before, c_before, c, multipliers, lambda_c, sums)


@EVERY_GATED_CELL
def test_sums_are_those_of_equations_that_share_rows(cell):
    """Of other cells there are none."""
    rows, n = 3, 4
    A, s_before, biases, c_before = inputs_of(cell, rows, n)
    multipliers, lambda_c = multipliers_of(cell, rows, n)
    kept, _, c = step(NUMPY, cell, A, s_before, biases, c_before)
    wrong = None if cell.n_biases else np.zeros((rows, n))
    with pytest.raises(ValueError, match="pull_back_rows: .*(must be|is None)"):
        COMPILED.pull_back_rows(cell, kept, s_before, c_before, c, multipliers, lambda_c, wrong)


def test_elman_has_no_gates():
    array = np.zeros((1, 1))
    with pytest.raises(ValueError, match="cell 'elman' has no gates"):
        COMPILED.step_rows(Elman("tanh"), array, array, None, None, array, None)
    with pytest.raises(ValueError, match="cell 'elman' has no gates"):
        COMPILED.pull_back_rows(Elman("tanh"), array, array, None, None, array, None)


def weights_of(cell, d, n, *, seed=0):
    """Those that it starts with, by name, and the arrays that they are in, with blocks for one output behind them."""
    blocks = blocks_of(d, ((n,),), 1, maps=cell.maps)
    width = {"x": d, "s": n, "1": 1}
    arrays = [np.full((one.rows_per_unit * n, sum(width[part] for part, _ in one.columns)), np.nan)
              for one in cell.maps]  # fmt: skip
    weights = {name: block.of(arrays) for name, block in blocks.items() if block.array < len(arrays)}
    cell.start(weights, d, np.random.RandomState(seed))
    return weights, arrays


@EVERY_CELL
def test_start(cell):
    d, n = 40, 30
    weights, arrays = weights_of(cell, d, n)
    assert not any(np.isnan(array).any() for array in arrays)
    keeps = getattr(cell, "bias_of_past", None)
    for name, block in weights.items():
        if name.startswith("W"):
            np.testing.assert_allclose(block @ block.T, np.eye(n), atol=1e-12)
        elif name.startswith("U"):
            assert abs(block.std() * np.sqrt(d) - 1) < 0.1
        else:
            np.testing.assert_array_equal(block, float(name == keeps))
    of_others = [weights_of(cell, d, n, seed=seed)[1] for seed in (0, 1)]
    assert all(np.array_equal(one, other) for one, other in zip(arrays, of_others[0], strict=True))
    assert not any(np.array_equal(one, other) for one, other in zip(arrays, of_others[1], strict=True))


def test_which_gate_keeps_the_past():
    kept = {name: cell.bias_of_past for name, cell in GATED.items() if name in ("fastgrnn", "ugrnn", "gru", "lstm")}
    assert kept == {"fastgrnn": "b_z", "ugrnn": "b_z", "gru": "b_z", "lstm": "b_f"}


def test_maps_make_all_pre_activations():
    for cell in CELLS.values():
        made = {"x": [], "s": []}
        for one in cell.maps:
            for part, columns in made.items():
                if part in {part for part, _ in one.columns}:
                    columns += range(one.first, one.first + one.rows_per_unit)
        assert sorted(made["x"]) == list(range(cell.columns_of_x))
        assert sorted(made["s"]) == list(range(cell.n_columns - cell.columns_of_s, cell.n_columns))
        assert cell.n_kept >= cell.n_columns or cell == Elman


def rolled_out(kernels, cell, weights, X, n):
    """The states of sequences (B, T, d) from zero, step by step."""
    s = np.zeros((len(X), n))
    c = np.zeros((len(X), n)) if cell.has_cell_state else None
    biases = np.concatenate([weights["b_z"], weights["b_c"]]) if cell.n_biases else None
    found = []
    for x in X.transpose(1, 0, 2):
        A = np.zeros((len(X), cell.n_columns * n))
        for one in cell.maps:
            for k in range(one.rows_per_unit):
                columns = A[:, (one.first + k) * n : (one.first + k + 1) * n]
                for part, letter in one.columns:
                    block = weights[one.names(letter)[k]]
                    if part == "1":
                        columns += 0 if cell.n_biases else block
                    else:
                        columns += (x if part == "x" else s) @ block.T
        _, s, c = step(kernels, cell, A, s, biases, c)
        found.append(s)
    return np.stack(found, axis=1)


@BACKENDS
@EVERY_GATED_CELL
def test_units_that_are_not_driven_rest(kernels, cell):
    d, n, rng = 3, 6, np.random.default_rng(2)
    weights, arrays = weights_of(cell, d, n)
    for array in arrays:
        array += 0.3 * rng.normal(size=array.shape)
    candidate = "g" if cell == LSTM() else "c"
    U = weights["U" if cell == FastGRNN() else f"U_{candidate}"]
    biases = [f"b_{candidate}", *(["b_s"] if "b_s" in weights else [])]
    assert cell.is_driven(weights).all()
    U[:3] = 0
    assert cell.is_driven(weights).all()
    for name in biases:
        weights[name][:2] = 0
    driven = cell.is_driven(weights)
    np.testing.assert_array_equal(driven, [False, False, True, True, True, True])
    X = rng.normal(size=(4, 1, d))
    states = rolled_out(kernels, cell, weights, X, n)
    np.testing.assert_array_equal(np.any(states, axis=(0, 1)), driven)
    for name in biases:  # each alone drives
        weights[name][0] = 1e-3
        assert cell.is_driven(weights)[0]
        weights[name][0] = 0


@BACKENDS
def test_gru_and_lstm_are_those_of_torch(kernels):
    torch = pytest.importorskip("torch")
    d, n, rng = 3, 7, np.random.default_rng(3)
    X = rng.normal(size=(5, 9, d))
    gates = {"gru": "rzc", "lstm": "ifgo"}  # in the order in which torch has them
    for cell, kind in ((GRU(), torch.nn.GRU), (LSTM(), torch.nn.LSTM)):
        weights, arrays = weights_of(cell, d, n)
        for array in arrays:
            array += 0.5 * rng.normal(size=array.shape)
        twin = kind(d, n, batch_first=True, dtype=torch.float64)
        with torch.no_grad():
            for letter, theirs in (("U", "weight_ih_l0"), ("W", "weight_hh_l0"), ("b", "bias_ih_l0")):
                blocks = np.concatenate([weights[f"{letter}_{gate}"] for gate in gates[cell.name]])
                getattr(twin, theirs).copy_(torch.from_numpy(blocks))
            twin.bias_hh_l0.zero_()
            if cell == GRU():
                twin.bias_hh_l0[2 * n :] = torch.from_numpy(weights["b_s"])
            expected = twin(torch.from_numpy(X))[0].numpy()
        np.testing.assert_allclose(rolled_out(kernels, cell, weights, X, n), expected, rtol=0, atol=1e-12)


@BACKENDS
def test_ugrnn_and_fastgrnn_by_hand(kernels):
    d, n, rng = 3, 7, np.random.default_rng(4)
    X = rng.normal(size=(2, 5, d))
    for cell in (UGRNN(), FastGRNN()):
        weights, arrays = weights_of(cell, d, n)
        for array in arrays:
            array += 0.5 * rng.normal(size=array.shape)
        shared = cell == FastGRNN()
        expected = np.zeros((2, 5, n))
        for sequence, x in enumerate(X):
            s = np.zeros(n)
            for t, x_t in enumerate(x):
                a_z, a_c = (
                    weights["U" if shared else f"U_{gate}"] @ x_t
                    + weights["W" if shared else f"W_{gate}"] @ s
                    + weights[f"b_{gate}"]
                    for gate in "zc"
                )
                z = expit(a_z)
                s = expected[sequence, t] = (1 - z) * np.tanh(a_c) + z * s
        np.testing.assert_allclose(rolled_out(kernels, cell, weights, X, n), expected, rtol=0, atol=1e-13)
