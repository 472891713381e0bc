"""Layers that read many features: G in blocks of them, and one of [s, 1]."""

import pickle
import tracemalloc
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from admmirnn import CharacterModel, RNNClassifier, RNNRegressor, Rollout, backend
from admmirnn.data.sequences import Sequences
from admmirnn.losses import SoftmaxCrossEntropy
from admmirnn.networks.blocks import weights_of
from admmirnn.networks.cells import CELLS, cell_named
from admmirnn.networks.start import new_network
from admmirnn.penalties import Lasso
from admmirnn.solvers.rollout.consensus import Metric
from admmirnn.solvers.rollout.gram import block_of_gram
from admmirnn.solvers.rollout.iteration import Fit
from admmirnn.solvers.rollout.order import Shuffled
from admmirnn.solvers.rollout.problem import Problem
from admmirnn.solvers.rollout.state import Layer
from bench import wide
from tests.simulated_workers import together
from tests.test_rounds import fit_in_rounds

D, BLOCK, K = 7, 3, 3
LENGTHS = np.array([4, 1, 6, 3, 6, 2])
BACKENDS = pytest.mark.parametrize("backend_name", ["compiled", "numpy"])
EVERY_CELL = pytest.mark.parametrize("cell", CELLS)


def problem(cell, sizes=(5,), dtype="float64", *, n_threads=1, weighted=True, lengths=LENGTHS, n_directions=1):
    """A network that is not at its start, and what a fit to some sequences would work on."""
    rng = np.random.default_rng(0)
    sequences = Sequences.of_lengths(rng.normal(size=(sum(lengths), D)).astype(dtype), lengths)
    seed = np.random.RandomState(0)
    network = new_network(
        D, list(sizes), K, cell=cell_named(cell), dtype=np.dtype(dtype), random_state=seed,
        bidirectional=n_directions == 2,
    )  # fmt: skip
    network.Psi[:] = rng.normal(size=network.Psi.shape)
    weights = rng.uniform(0.5, 2, len(lengths)).astype(dtype) if weighted else None
    order = Shuffled(network, sequences, len(lengths), False, None)
    y = np.arange(len(lengths)) % K
    return Problem(network, order, y, SoftmaxCrossEntropy(), weights=weights, n_threads=n_threads)


def iterate(problem, gram_block=BLOCK, **settings):
    """The statistics of one iteration, without the weight step."""
    settings = {"momentum": 0.0, "gram_decay": 0.0, "damping": 0.2, "gram_block": gram_block} | settings
    with backend.one_blas_thread():
        fit = Fit(Rollout(**settings), problem)
        fit.take(np.arange(len(problem.order.sequences)))
        fit.sweep_forward()
        fit.sweep_backward()
        fit.agree()
        fit.fold()
    return fit


def inputs_of(fit, i, which, part):
    """Rows of the inputs [x, s, 1] of a map in the minibatch, one for each equation, and the sequences' weights."""
    work = fit.works[i][which]
    rows = work.batch.n_rows
    X, S = work.room.X[:rows, :-1], work.S[:rows]
    letters = [letter for letter, _ in part.columns]
    blocks = [{"x": X, "s": S}[letter] for letter in letters if letter != "1"]
    n_ones = letters.count("1")
    found = []
    for one in range(n_ones):
        ones = np.zeros((rows, n_ones))
        ones[:, one] = 1
        found.append(np.hstack([*blocks, ones]))
    roots = np.ones(len(work.batch)) if fit.roots is None else fit.roots
    return found, roots[work.batch.rows()[0]] ** 2, (X.shape[1] if "x" in letters else 0)


def in_blocks(G, n_x, block):
    """G without the products of different blocks."""
    of = np.full(len(G), -1)
    of[:n_x] = np.arange(n_x) // block
    return np.where(of[:, None] == of, G, 0)


def whole(layer):
    """The matrix whose blocks, in their lower triangles, a layer has."""
    G = np.zeros((layer.m, layer.m))
    for columns, block in layer.blocks:
        G[columns, columns] = np.tril(block) + np.tril(block, -1).T
    return G


def maps_of(fit):
    """Each layer of a fit but the output layer's, with its place: number of the layer, direction, map."""
    layers = iter(fit.layers)
    for i, works in enumerate(fit.works):
        for which, work in enumerate(works):
            for part in work.room.cell.maps:
                yield next(layers), i, which, part


def test_a_rule_decides_which_layers_have_blocks():
    assert block_of_gram(None, 10**6, 8) == 0
    assert block_of_gram("auto", 1024 + 2 * 64, 64) == 0
    assert block_of_gram("auto", 1025 + 2 * 64, 64) == 512
    assert [block_of_gram(3, d, 64) for d in (2, 3, 4)] == [0, 0, 3]
    layer = Layer(np.zeros((2, 10)), 0.1, gram_blocks=(7, 3))
    assert [(columns.start, columns.stop, G.shape) for columns, G in layer.blocks] == [
        (0, 3, (3, 3)), (3, 6, (3, 3)), (6, 7, (1, 1)), (7, 10, (3, 3))
    ]  # fmt: skip
    assert len(layer.G) == 9 + 9 + 1 + 9


@BACKENDS
@EVERY_CELL
@pytest.mark.parametrize("sizes", [(5,), (4, 3)], ids=str)
@pytest.mark.parametrize("weighted", [True, False])
def test_gram_matrices_are_sums_over_steps(cell, sizes, weighted, backend_name, monkeypatch):
    monkeypatch.setenv("ADMMIRNN_BACKEND", backend_name)
    fit = iterate(problem(cell, sizes, weighted=weighted, n_directions=2))
    n_cut = 0
    for layer, *place, part in maps_of(fit):
        equations, weights, n_x = inputs_of(fit, *place, part)
        expected = sum((Z.T * weights) @ Z for Z in equations) / len(weights)
        block = BLOCK if n_x > BLOCK else max(n_x, 1)
        assert layer.G.ndim == (1 if n_x > BLOCK else 2)
        if n_x > BLOCK:
            expected, n_cut = in_blocks(expected, n_x, block), n_cut + 1
        assert_allclose(whole(layer), expected, rtol=0, atol=1e-12)
    assert n_cut >= 2  # of maps that read features
    assert fit.layers[-1].G.ndim == 2


@BACKENDS
@EVERY_CELL
@pytest.mark.parametrize("metric", ["multipliers", "identity"])
def test_the_step_is_the_best_one_in_the_metric_of_the_blocks(cell, metric, backend_name, monkeypatch):
    """M - P D (G + shift I) is zero, and the step is as long as the radius allows."""
    monkeypatch.setenv("ADMMIRNN_BACKEND", backend_name)
    fit = iterate(problem(cell), metric=metric, radius=0.01, output_radius=0.02, r=1e-3)
    before = [layer.weights.copy() for layer in fit.layers]
    fit.update_weights()
    for layer, weights, (_, _, _, part) in zip(fit.layers, before, maps_of(fit), strict=False):
        n_ones = [letter for letter, _ in part.columns].count("1")
        G = whole(layer)
        damped = G + 0.2 * np.trace(G) / layer.m * np.eye(layer.m)
        P = np.eye(layer.p)
        if metric == "multipliers":
            R = np.tril(layer.R) + np.tril(layer.R, -1).T
            P = R / (np.trace(R) / layer.p) + 0.2 * np.eye(layer.p)
        assert_allclose(P @ layer.D.T @ damped, layer.M, rtol=0, atol=1e-10 * np.abs(layer.M).max())
        norm = np.sqrt(np.trace(P @ layer.D.T @ G @ layer.D) / (layer.p * n_ones))
        assert layer.D_norm == pytest.approx(norm, rel=1e-9)
        assert layer.shift == pytest.approx(0.2 * layer.mean_square, rel=1e-9)
        keep = np.ones(layer.m)
        keep[slice(*layer.ridge_columns)] = layer.kept()
        assert_allclose(layer.weights, weights * keep + 0.01 / norm * layer.D.T, rtol=0, atol=1e-12)


@EVERY_CELL
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_and_twins_find_the_same(cell, dtype, monkeypatch):
    found = {}
    for name in ("compiled", "numpy"):
        monkeypatch.setenv("ADMMIRNN_BACKEND", name)
        fit = iterate(problem(cell, (5,), dtype))
        fit.update_weights()
        found[name] = fit.layers
    tolerance = 1e-9 if dtype == "float64" else 1e-3
    for one, other in zip(found["compiled"], found["numpy"], strict=True):
        assert_allclose(whole(one), whole(other), rtol=0, atol=tolerance)
        assert_allclose(one.outcome, other.outcome, rtol=10 * tolerance)
        assert_allclose(one.D, other.D, rtol=0, atol=tolerance * np.abs(other.D).max())


@BACKENDS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_damping_of_all_blocks_is_raised_for_one_that_is_singular(dtype, backend_name, monkeypatch):
    monkeypatch.setenv("ADMMIRNN_BACKEND", backend_name)
    lengths = np.tile(LENGTHS, 4)
    given = problem("elman", dtype=dtype, lengths=lengths)
    given.order.sequences.observations[:, 4] = 0  # in the second block
    fit = iterate(given, metric="identity", damping=0.0)
    fit.update_weights()
    layer = fit.layers[0]
    assert layer.damping == (1e-6 if dtype == "float32" else 1e-14)
    assert layer.shift == pytest.approx(layer.damping * layer.mean_square, rel=1e-6)
    damped = whole(layer) + layer.shift * np.eye(layer.m)
    assert_allclose(layer.D.T @ damped, layer.M, rtol=0, atol=1e-2 * np.abs(layer.M).max())
    assert np.isfinite(layer.D_norm) and layer.D_norm > 0


@EVERY_CELL
def test_two_threads_that_share_a_minibatch_find_the_same_sums(cell):
    lengths = (30, 25, 40, 31) * 8
    one, two = (iterate(problem(cell, (48,), n_threads=n, lengths=lengths)) for n in (1, 2))
    for layer, other in zip(one.layers, two.layers, strict=True):
        assert_allclose(whole(layer), whole(other), rtol=0, atol=1e-13 * np.abs(whole(layer)).max())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@BACKENDS
def test_a_statistic_that_is_not_finite_makes_no_step(bad, backend_name, monkeypatch):
    monkeypatch.setenv("ADMMIRNN_BACKEND", backend_name)
    fit = iterate(problem("elman"))
    layer = fit.layers[0]
    layer.G[len(layer.G) - layer.m + D :] = bad  # somewhere in the last block
    norm, _, _, shift = fit.kernels.weight_step(fit.maps[0], 0.1, 1.0, 0.01, 1.0)
    assert np.isnan(norm) and np.isnan(shift)


def test_kernels_refuse_blocks_that_do_not_belong_to_the_layer():
    compiled = backend._compiled()
    fit = iterate(problem("elman"))
    for cut in ((D, BLOCK + 1), (D - 1, BLOCK), (D, 0), (-1, BLOCK), (D + 6, BLOCK)):
        layer = Layer(np.zeros((5, D + 6)), 0.1, gram_blocks=(D, BLOCK), matrix_penalty=True)
        layer.gram_blocks = cut
        with pytest.raises(ValueError, match="linear_map"):
            compiled.linear_map(layer, np.zeros(layer.room))
    for cut in ((0, 1), (D, BLOCK + 1)):
        layer = Layer(np.zeros((5, D + 6)), 0.1, gram_blocks=cut, matrix_penalty=True)
        with pytest.raises(ValueError, match="with blocks of"):
            compiled.fold(fit.works[0][0].work, compiled.linear_map(layer, np.zeros(layer.room)), 0.5, 0.5)


# Fits

RNG = np.random.default_rng(0)
X = [RNG.normal(size=(length, D)) for length in RNG.integers(3, 9, 24)]
Y = np.arange(24) % K
SETTINGS = {"hidden_size": 6, "max_epochs": 3, "batch_size": 7, "random_state": 0}


def in_blocks_of(block, kind=RNNClassifier, **settings):
    return kind(solver=Rollout(gram_block=block), **SETTINGS | settings)


def assert_same(one, other):
    found, expected = weights_of(one), weights_of(other)
    assert list(found) == list(expected)
    for name, weights in expected.items():
        assert_array_equal(found[name], weights, err_msg=name)


@EVERY_CELL
def test_one_block_is_the_whole_matrix_to_the_last_bit(cell):
    expected = in_blocks_of(None, cell=cell, hidden_size=(6, 5)).fit(X, Y)
    for block in ("auto", D, 10**6):
        assert_same(in_blocks_of(block, cell=cell, hidden_size=(6, 5)).fit(X, Y), expected)
    cut = in_blocks_of(BLOCK, cell=cell, hidden_size=(6, 5)).fit(X, Y)
    assert any((a != b).any() for a, b in zip(weights_of(cut).values(), weights_of(expected).values(), strict=True))


def test_symbols_have_a_form_of_their_own():
    text = "one small text that is read time and again. " * 20
    fits = [
        CharacterModel(6, max_epochs=2, random_state=0, solver=Rollout(gram_block=block)).fit(text)
        for block in (None, 4)
    ]
    assert_same(*fits)


def test_calls_go_on_with_the_blocks_of_the_call_before_and_start_anew_with_others():
    model = in_blocks_of(BLOCK).partial_fit(X, Y, classes=range(K))
    again = pickle.loads(pickle.dumps(model))
    assert again._memory.layers[0].G.ndim == 1
    assert_same(again.partial_fit(X, Y), model.partial_fit(X, Y))
    for block in (None, BLOCK + 1):
        model.set_params(solver=Rollout(gram_block=block)).partial_fit(X, Y)
        assert model._memory.layers[0].G.ndim == (2 if block is None else 1)
        assert model._memory.n_remembered < 8


def test_a_solver_that_an_older_version_has_pickled_takes_all_products():
    older = Rollout()
    del older.gram_block
    assert pickle.loads(pickle.dumps(older)).gram_block is None


@pytest.mark.parametrize("sizes", [{}, {"cell": "gru", "hidden_size": (5, 4), "bidirectional": True}], ids=str)
def test_workers_that_share_minibatches_find_what_one_finds(sizes):
    alone = in_blocks_of(BLOCK, dtype="float64", batch_size=24, **sizes).fit(X, Y)

    def fit(reducer):
        part = slice(reducer.rank * 12, reducer.rank * 12 + 12)
        return in_blocks_of(BLOCK, dtype="float64", batch_size=24, **sizes).fit(X[part], Y[part], reducer=reducer)

    found = together(2, fit)
    assert_same(*found)
    for name, weights in weights_of(alone).items():
        assert_allclose(weights_of(found[0])[name], weights, rtol=0, atol=1e-9)


def test_rounds_average_blocks():
    parts = [(X[:10], Y[:10]), (X[10:], Y[10:])]
    fits = [fit_in_rounds(in_blocks_of(block, max_epochs=4), parts) for block in (BLOCK, BLOCK, None)]
    assert_same(*fits[:2])
    assert all(np.isfinite(weights).all() for weights in weights_of(fits[0]).values())
    assert any((a != b).any() for a, b in zip(weights_of(fits[0]).values(), weights_of(fits[2]).values(), strict=True))


def test_the_metric_of_consensus_is_that_of_the_blocks():
    layer = Layer(np.zeros((2, 10)), 0.1, gram_blocks=(7, 3), matrix_penalty=True)
    layer.G[:] = np.concatenate([(A.T @ A).ravel() for A in (RNG.normal(size=(9, len(G))) for _, G in layer.blocks)])
    layer.R[:] = [[2.0, 0.0], [1.0, 3.0]]
    D, G = RNG.normal(size=(2, 10)), whole(layer)
    P = np.array([[2, 1], [1, 3]]) / 2.5 + 0.1 * np.eye(2)
    expected = P @ D @ (G + 0.1 * np.trace(G) / 10 * np.eye(10))
    assert_allclose(Metric(layer.blocks, layer.R, 0.1).of(D), expected, rtol=0, atol=1e-12)


def test_penalties_and_blocks():
    fits = [in_blocks_of(block, penalties={"U": Lasso(3e-2)}, max_epochs=10).fit(X, Y) for block in (BLOCK, None)]
    assert all((model.U_ == 0).any() and (model.U_ != 0).any() for model in fits)


def test_a_fit_that_goes_back_forgets_blocks():
    model = RNNClassifier(
        **SETTINGS | {"max_epochs": 10}, solver=Rollout(radius=50.0, output_radius=50.0, r=1e-6, gram_block=BLOCK)
    )
    with pytest.warns(UserWarning, match="went back"):
        model.fit(X, Y)
    assert all(np.isfinite(weights).all() for weights in weights_of(model).values())


def sparse_rows(n_sequences, d, seed=0):
    """Steps in which few of many features are not zero, and values: what some of them add up to."""
    rng = np.random.default_rng(seed)
    X = np.zeros((n_sequences, 4, d), np.float32)
    step = np.arange(4)[:, None]
    for x in X:
        x[step, rng.integers(0, d, (4, 40))] = 1
    return X, X[:, :, :: d // 40].sum(axis=(1, 2)).astype(np.float64)


def test_a_wide_fit_takes_memory_in_proportion_to_its_features_and_learns():
    d, n = 4000, 8
    X, y = sparse_rows(320, d)
    sizes = {"hidden_size": n, "batch_size": 32, "random_state": 0, "standardize": False}
    RNNRegressor(**sizes, max_epochs=1).fit(X, y)  # what is loaded with the first fit is not counted
    tracemalloc.start()
    try:
        model = RNNRegressor(**sizes, max_epochs=12).fit(X, y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * d * (3 * 512 + 20 * n + 8 * 32) < 0.5 * 4 * d * d
    losses = [record["rollout_loss"] for record in model.history_]
    assert losses[-1] < 0.1 * losses[0]


def test_the_benchmark_measures_cost_and_losses(monkeypatch):
    # long enough for the clock of a process with a limit of CPU time, which has steps of 4 ms or 10
    seconds, n_bytes = wide.cost_of(40, 8, n=64, n_sequences=1000, n_steps=20)
    assert seconds > 0 and n_bytes > 0
    monkeypatch.setattr(wide, "EPOCHS", 1)
    held_out, last, _ = wide.losses_of(partial(wide.rule, n=40, n_steps=3), 30, 8, 0)
    assert 0 < held_out < 5 and 0 < last < 5


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (-3, ValueError), (2.5, TypeError), ("all", TypeError)])
def test_what_is_no_number_of_features(value, error):
    with pytest.raises(error, match=r"gram_block is .* None or 'auto'"):
        RNNClassifier(solver=Rollout(gram_block=value)).fit(X, Y)


def test_sequences_in_a_form_of_their_own_have_blocks_as_well():
    """Codes of symbols that are passed as rows of the unit matrix."""
    codes = RNG.integers(0, D, LENGTHS.sum())
    symbols = replace(Sequences.of_lengths(codes[:, None].astype(np.uint8), LENGTHS), n_symbols=D)
    rows = Sequences.of_lengths(np.eye(D)[codes], LENGTHS)
    network = problem("elman").network
    fits = []
    for sequences in (symbols, rows):
        order = Shuffled(network, sequences, len(LENGTHS), False, None)
        fits.append(iterate(Problem(network, order, np.arange(6) % K, SoftmaxCrossEntropy())))
    assert fits[0].layers[0].G.shape == (D + 6, 6)
    assert_allclose(whole(fits[1].layers[0])[D:, D:], np.tril(G := fits[0].layers[0].G[D:]) + np.tril(G, -1).T)
