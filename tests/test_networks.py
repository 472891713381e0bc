"""Networks of layers and directions: roll-outs against a naive program, the start of their weights, and pruning."""

import copy
import itertools
import pickle

import naive_networks
import numpy as np
import pytest

import admmirnn.model
from admmirnn.data.sequences import Sequences
from admmirnn.networks import ElmanRNN, StackedRNN, network_of, new_network
from admmirnn.networks.cells import CELLS, GATED, Elman, cell_named
from admmirnn.networks.pruning import pruned_weights
from admmirnn.networks.rolling import rows_at_a_time
from admmirnn.networks.side_by_side import set_apart, set_side_by_side
from admmirnn.networks.start import start_gates_of_past

LENGTHS = np.array([4, 9, 1, 9, 6])
D, K = 3, 2
EVERY_CELL = pytest.mark.parametrize("cell", CELLS)
EVERY_SHAPE = pytest.mark.parametrize(
    ("n_hidden", "bidirectional"), [((5,), False), ((5,), True), ((5, 4), False), ((5, 4), True), ((3, 6, 2), True)]
)


def network_for(cell, n_hidden, bidirectional=False, read_out="last", seed=0, dtype=np.float64):
    """Weights near those that the cell starts with."""
    rng = np.random.default_rng(seed)
    network = new_network(
        D,
        n_hidden,
        K,
        cell=cell_named(cell),
        dtype=np.dtype(dtype),
        random_state=np.random.RandomState(seed),
        read_out=read_out,
        bidirectional=bidirectional,
    )
    for array in network.arrays:
        array += 0.3 * rng.normal(size=array.shape)
    network.share_out()
    return network


def sequences_of(lengths=LENGTHS, seed=1):
    X = np.random.default_rng(seed).normal(size=(lengths.sum(), D))
    return Sequences.of_lengths(X, lengths), np.split(X, np.cumsum(lengths)[:-1])


@EVERY_CELL
@EVERY_SHAPE
@pytest.mark.parametrize("read_out", ["last", "mean", "max", "each"])
def test_outputs_are_those_of_a_naive_program(cell, n_hidden, bidirectional, read_out, backend_name):
    every_step = read_out == "each"
    network = network_for(cell, n_hidden, bidirectional, "last" if every_step else read_out)
    sequences, parts = sequences_of()
    expected = np.vstack([naive_networks.outputs_of(network, x, every_step=every_step) for x in parts])
    for n_threads in (1, 2):
        found = network.outputs(sequences, every_step=every_step, n_threads=n_threads)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@EVERY_CELL
@EVERY_SHAPE
@pytest.mark.parametrize("read_out", ["last", "mean", "max", "each"])
def test_pieces_of_outputs_are_the_outputs(cell, n_hidden, bidirectional, read_out, monkeypatch):
    every_step = read_out == "each"
    network = network_for(cell, n_hidden, bidirectional, "last" if every_step else read_out)
    sequences, parts = sequences_of()
    monkeypatch.setattr("admmirnn.networks.rolling._ROWS_AT_A_TIME", 4)  # several parts, and chunks where they can be
    expected = np.vstack([naive_networks.outputs_of(network, x, every_step=every_step) for x in parts])
    found, n_times = np.full_like(expected, np.nan), np.zeros(len(expected), int)
    for rows, some in network.pieces_of_outputs(sequences, every_step=every_step):
        found[rows] = some
        np.add.at(n_times, rows, 1)
    assert (n_times == 1).all()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    outputs = network.outputs(sequences, every_step=every_step)
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-12)


def test_fewer_steps_of_many_features_are_read_at_a_time(monkeypatch):
    """So that an array of them does not take much memory; of symbols, there is none."""
    assert rows_at_a_time(1, 20_000) < rows_at_a_time(1, 3000) < rows_at_a_time(1, 500) == rows_at_a_time(1)
    network, (sequences, _) = network_for("elman", (5,), False, "last"), sequences_of()
    whole = len(list(network.pieces_of_outputs(sequences, every_step=False)))
    monkeypatch.setattr("admmirnn.networks.rolling._FEWEST_ROWS", 1)
    monkeypatch.setattr("admmirnn.networks.rolling._MOST_INPUTS", 8 * network.n_features)
    pieces = len(list(network.pieces_of_outputs(sequences, every_step=False)))
    assert pieces > whole == 1


@EVERY_CELL
@pytest.mark.parametrize("n_hidden", [(5,), (5, 4)])
@pytest.mark.parametrize("rows", [4, 1 << 13])
def test_every_layer_has_a_state_to_start_from(cell, n_hidden, rows, monkeypatch):
    monkeypatch.setattr("admmirnn.networks.rolling._ROWS_AT_A_TIME", rows)
    network, (sequences, parts) = network_for(cell, n_hidden), sequences_of()
    rng = np.random.default_rng(5)
    for (direction,) in network.layers:
        direction.s_0 = rng.normal(size=direction.n_hidden)
        if direction.cell.has_cell_state:
            direction.c_0 = rng.normal(size=direction.n_hidden)
    expected = np.vstack([naive_networks.outputs_of(network, x, every_step=True) for x in parts])
    np.testing.assert_allclose(network.outputs(sequences, every_step=True), expected, rtol=0, atol=1e-12)
    states = network.initial_states(3)
    assert states.shape == (3, network.n_carried) and (states == states[0]).all()
    np.testing.assert_array_equal(network.s_0, np.concatenate([one.s_0 for (one,) in network.layers]))


@EVERY_CELL
@EVERY_SHAPE
def test_states_are_those_of_the_last_layer(cell, n_hidden, bidirectional):
    network, (sequences, parts) = network_for(cell, n_hidden, bidirectional), sequences_of()
    expected = np.vstack([np.hstack(naive_networks.last_layer(network, x)) for x in parts])
    np.testing.assert_allclose(network.states(sequences), expected, rtol=0, atol=1e-12)
    outputs = network.outputs(sequences)  # whose scratch is what it was
    expected = np.vstack([naive_networks.outputs_of(network, x) for x in parts])
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-12)


@EVERY_CELL
@EVERY_SHAPE
def test_outputs_by_step_end_with_the_outputs(cell, n_hidden, bidirectional):
    network = network_for(cell, n_hidden, bidirectional, "mean")
    sequences, _ = sequences_of(LENGTHS[:1])
    by_step = network.outputs_by_step(network.states(sequences))
    np.testing.assert_allclose(by_step[-1:], network.outputs(sequences), rtol=0, atol=1e-12)


@EVERY_CELL
def test_layers_read_symbols(cell):
    codes = np.random.default_rng(3).integers(0, D, (LENGTHS.sum(), 1)).astype(np.uint8)
    lengths = LENGTHS
    symbols = Sequences(codes, np.cumsum(lengths) - lengths, lengths, n_symbols=D)
    network = network_for(cell, (5, 4))
    expected = network.outputs(Sequences.of_lengths(np.eye(D)[codes[:, 0]], lengths), every_step=True)
    np.testing.assert_allclose(network.outputs(symbols, every_step=True), expected, rtol=0, atol=1e-12)


def test_what_stands_side_by_side_is_taken_apart_by_the_transpose():
    sequences, _ = sequences_of()
    batch, rng = sequences.minibatch(np.arange(len(LENGTHS))), np.random.default_rng(0)
    n_rows, sizes, n_above = batch.n_rows, (4, 3), 2
    S = [rng.normal(size=(n_rows + len(batch), n)) for n in sizes]
    rows = batch.rows_of_states()
    read = []
    for reverse in range(n_above):
        joined = np.full((n_rows + len(batch), sum(sizes)), np.nan)
        set_side_by_side(S, batch, joined, reverse=bool(reverse))
        read.append(joined[rows])
    multipliers = [rng.normal(size=one.shape) for one in read]
    outs = [np.full((n_rows, n), np.nan) for n in sizes]
    set_apart(multipliers, batch, outs)
    along = sum((one * other).sum() for one, other in zip(read, multipliers, strict=True))
    assert along == pytest.approx(sum((one[rows] * out).sum() for one, out in zip(S, outs, strict=True)))


def test_mirrored_rows_read_the_same_observation():
    sequences, _ = sequences_of()
    batch = sequences.minibatch(np.arange(len(LENGTHS)))
    mirrored = batch.mirrored_rows()
    np.testing.assert_array_equal(batch.reversed().inputs()[mirrored], batch.inputs())
    np.testing.assert_array_equal(mirrored[mirrored], np.arange(batch.n_rows))


# How weights start


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_how_weights_start(cell, bidirectional):
    n_hidden, rng = (200, 150), np.random.RandomState(0)
    network = new_network(
        50, n_hidden, K, cell=cell_named(cell), dtype=np.dtype("f4"), random_state=rng, bidirectional=bidirectional
    )
    n_read = 200 * (1 + bidirectional)
    for name, block in network.blocks.items():
        found, upper = network.weights[name], block.layer == 1
        if block.letter == "U":
            assert found.std() == pytest.approx(np.sqrt(4 / n_read if upper else 1 / 50), rel=0.05)
        elif block.letter == "W":
            np.testing.assert_allclose(found @ found.T, np.eye(len(found)), atol=1e-5)
        else:
            keeps = cell in GATED and block.part == GATED[cell].bias_of_past
            assert (found == keeps).all()
    assert network.dtype == np.float32 and all(array.flags.c_contiguous for array in network.arrays)


def test_an_elman_network_starts_as_it_did():
    rngs = [np.random.RandomState(3) for _ in range(2)]
    expected = ElmanRNN.random(D, 5, K, dtype=np.float64, random_state=rngs[0], activation="sigmoid")
    network = new_network(D, (5,), K, cell=Elman("sigmoid"), dtype=np.dtype("f8"), random_state=rngs[1])
    assert isinstance(network, ElmanRNN)
    np.testing.assert_array_equal(network.Theta, expected.Theta)


@pytest.mark.parametrize("cell", GATED)
def test_gates_that_keep_the_past_start_as_told(cell):
    start, past = network_for(cell, (300, 200)), GATED[cell].bias_of_past

    def started(forget_bias, n_steps):
        network = copy.deepcopy(start)
        start_gates_of_past(network, forget_bias, n_steps, np.random.RandomState(0))
        return network.weights

    for suffix in ("", "_2"):
        before = start.weights[past + suffix]
        np.testing.assert_array_equal(started("auto", 199)[past + suffix], before)
        assert (started(2.5, 1000)[past + suffix] == 2.5).all()
        for how, n_steps in (("auto", 400), ("chrono", 400), ("chrono", 12)):
            found = started(how, n_steps)[past + suffix]
            steps = np.exp(found)
            assert 1 <= steps.min() and steps.max() <= n_steps - 1
            assert steps.mean() == pytest.approx(n_steps / 2, rel=0.1)
            if GATED[cell].bias_of_new:
                np.testing.assert_array_equal(started(how, n_steps)[GATED[cell].bias_of_new + suffix], -found)
        assert np.isfinite(started("chrono", 1)[past + suffix]).all()


# Pruning


@pytest.mark.parametrize("cell", CELLS)
@EVERY_SHAPE
def test_units_that_nobody_reads_or_drives_go(cell, n_hidden, bidirectional):
    network = network_for(cell, n_hidden, bidirectional)
    gone = {}
    for layer, directions in enumerate(network.layers):
        for i, direction in enumerate(directions):
            first = sum(one.n_hidden for one in directions[:i])
            above = [network.weights["V"]]
            if layer + 1 < len(network.layers):
                upper = network.layers[layer + 1]
                above = [U for one in upper for name, U in one.weights.items() if name[0] == "U"]
            for matrix in above:  # nobody reads the first unit but itself
                matrix[:, first] = 0
            for name, block in direction.weights.items():
                if name[0] == "W":
                    block[1:, 0] = 0
                if name[0] in "UWb":  # nothing drives the second one
                    block[1] = 0
            gone[layer, i] = direction.n_hidden - 2
    _, parts = sequences_of()
    expected = [naive_networks.outputs_of(network, x) for x in parts]
    weights = pruned_weights(network)
    pruned = network_of(weights, cell=network.cell, read_out="last")
    for (layer, i), left in gone.items():
        assert pruned.layers[layer][i].n_hidden == max(left, 1)
    found = [naive_networks.outputs_of(pruned, x) for x in parts]
    np.testing.assert_allclose(np.vstack(found), np.vstack(expected), rtol=0, atol=1e-12)
    assert not any(np.shares_memory(a, b) for a, b in itertools.product(pruned.arrays, network.arrays))


@pytest.mark.parametrize("cell", CELLS)
def test_a_state_to_start_from_drives_a_unit(cell):
    network = network_for(cell, (4,))
    for name, block in network.weights.items():
        if name[0] in "UWb":
            block[:2] = 0
    network.s_0 = np.array([0.0, 0.5, 0, 0])
    pruned = network.pruned()
    assert pruned.n_hidden == 3
    np.testing.assert_array_equal(pruned.s_0, [0.5, 0, 0])


# What was pickled


def test_networks_are_pickled():
    network = network_for("elman", (5,))
    again = pickle.loads(pickle.dumps(network))
    np.testing.assert_array_equal(again.Theta, network.Theta)
    assert isinstance(again, ElmanRNN) and admmirnn.model.ElmanRNN is ElmanRNN
    stacked = pickle.loads(pickle.dumps(network_for("gru", (5, 4))))
    assert isinstance(stacked, StackedRNN) and stacked.layers[-1][0].Psi is stacked.Psi


def test_an_elman_network_of_an_older_version_is_read():
    network = network_for("elman", (5,))
    state = {"Theta": network.Theta, "Psi": network.Psi, "activation": "relu", "read_out": "mean", "s_0": None}
    older = ElmanRNN.__new__(ElmanRNN)
    older.__setstate__(state)
    assert (older.activation, older.read_out, older.n_features, older.n_hidden) == ("relu", "mean", D, 5)
    assert older.Theta is network.Theta and older.c_0 is None
