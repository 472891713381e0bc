"""The table of blocks: which array, rows and columns a name such as U, W_reverse or c stands for."""

import inspect

import numpy as np
import pytest

import admmirnn
from admmirnn import CharacterModel, RNNClassifier, RNNRegressor
from admmirnn.estimators.base import RecurrentEstimator
from admmirnn.networks import BidirectionalRNN, ElmanRNN, network_of
from admmirnn.networks.blocks import BLOCKS, PENALISED, arrays_of, blocks_of, n_directions, penalised_blocks, weights_of
from admmirnn.networks.cells import CELLS, GRU

D, K = 3, 2
OF_ONE, OF_TWO = ("U", "W", "b", "V", "c"), ("U", "W", "b", "U_reverse", "W_reverse", "b_reverse", "V", "c")
EVERY_SHAPE = pytest.mark.parametrize(("n_hidden", "has_s_0"), [((5,), False), ((5,), True), ((5, 4), False)])
KINDS = {"one direction": {}, "two directions": {"bidirectional": True}, "s_0": {"s_0": "learn"}}
EVERY_KIND = pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)


def shapes_of(n_hidden, *, has_s_0):
    """Of the arrays."""
    shapes = [(n, D + n + 1) for n in n_hidden] + [(K, sum(n_hidden) + 1)]
    return shapes + [(n_hidden[0],)] * has_s_0


def numbered(n_hidden, *, has_s_0):
    """Arrays of which every entry is another number."""
    first, arrays = 0, []
    for shape in shapes_of(n_hidden, has_s_0=has_s_0):
        size = int(np.prod(shape))
        arrays.append(np.arange(first, first + size, dtype=np.float64).reshape(shape))
        first += size
    return arrays, first


def fitted(**settings):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, 4, D)), np.arange(12) % K
    return RNNClassifier(5, max_epochs=1, random_state=0, **settings).fit(X, y), X, y


@EVERY_SHAPE
def test_every_number_belongs_to_exactly_one_block(n_hidden, has_s_0):
    arrays, n_numbers = numbered(n_hidden, has_s_0=has_s_0)
    blocks = blocks_of(D, n_hidden, K, has_s_0=has_s_0)
    found = np.concatenate([block.of(arrays).ravel() for block in blocks.values()])
    assert sorted(found) == list(range(n_numbers))


@EVERY_SHAPE
def test_a_block_is_a_view_of_the_shape_that_its_axes_say(n_hidden, has_s_0):
    arrays, _ = numbered(n_hidden, has_s_0=has_s_0)
    sizes = {"d": D, "K": K} | dict(zip("nm", n_hidden, strict=False))
    for name, block in blocks_of(D, n_hidden, K, has_s_0=has_s_0).items():
        expected = tuple(sum(sizes[letter] for letter in axis.split("+")) for axis in block.axes)
        found = block.of(arrays)
        assert block.name == name
        assert found.shape == expected
        assert np.shares_memory(found, arrays[block.array])


def test_names_are_in_the_order_that_files_and_messages_have():
    assert tuple(blocks_of(D, (5,), K)) == OF_ONE
    assert tuple(blocks_of(D, (5,), K, has_s_0=True)) == (*OF_ONE, "s_0")
    assert tuple(blocks_of(D, (5, 4), K)) == OF_TWO
    assert tuple(BLOCKS) == (*OF_TWO, "s_0")
    assert [n_directions(names) for names in (OF_ONE, OF_TWO)] == [1, 2]


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_every_number_of_the_maps_of_a_cell_belongs_to_exactly_one_block(cell):
    blocks = blocks_of(D, (5, 4), K, maps=cell.maps)
    shapes = []
    for n in (5, 4):
        width = {"x": D, "s": n, "1": 1}
        for one in cell.maps:
            shapes.append((one.rows_per_unit * n, sum(width[part] for part, _ in one.columns)))
    arrays = [np.zeros(shape, int) for shape in [*shapes, (K, 10)]]
    sizes = {"d": D, "K": K, "n": 5, "m": 4}
    for name, block in blocks.items():
        view = block.of(arrays)
        view += 1
        assert name.endswith("_reverse") == (block.direction == 1)
        assert view.shape == tuple(sum(sizes[letter] for letter in axis.split("+")) for axis in block.axes)
    assert all((array == 1).all() for array in arrays)


def test_blocks_of_gates_by_hand():
    blocks = blocks_of(D, (5,), K, maps=GRU.maps)
    of_gru = "U_z", "U_r", "W_z", "W_r", "b_z", "b_r", "U_c", "b_c", "W_c", "b_s", "V", "c"
    assert tuple(blocks) == of_gru
    arrays = [np.arange(rows * columns).reshape(rows, columns) for rows, columns in ((10, 9), (5, 4), (5, 6), (K, 6))]
    np.testing.assert_array_equal(blocks["W_r"].of(arrays), arrays[0][5:, 3:8])
    np.testing.assert_array_equal(blocks["b_z"].of(arrays), arrays[0][:5, 8])
    np.testing.assert_array_equal(blocks["U_c"].of(arrays), arrays[1][:, :3])
    np.testing.assert_array_equal(blocks["b_s"].of(arrays), arrays[2][:, 5])


def test_theta_is_u_w_b_and_psi_is_v_c():
    (Theta, Psi), _ = numbered((5,), has_s_0=False)
    found = {name: block.of((Theta, Psi)) for name, block in blocks_of(D, (5,), K).items()}
    np.testing.assert_array_equal(np.hstack([found["U"], found["W"], found["b"][:, None]]), Theta)
    np.testing.assert_array_equal(np.hstack([found["V"], found["c"][:, None]]), Psi)


@EVERY_SHAPE
def test_arrays_are_made_of_their_blocks(n_hidden, has_s_0):
    arrays, _ = numbered(n_hidden, has_s_0=has_s_0)
    weights = {name: block.of(arrays) for name, block in blocks_of(D, n_hidden, K, has_s_0=has_s_0).items()}
    made = arrays_of(weights)
    assert len(made) == len(arrays)
    for array, expected in zip(made, arrays, strict=True):
        np.testing.assert_array_equal(array, expected)
        assert array.flags.c_contiguous and not np.shares_memory(array, expected)
    network = network_of(weights, activation="relu", read_out="mean")
    assert isinstance(network, BidirectionalRNN if len(n_hidden) == 2 else ElmanRNN)
    assert (network.activation, network.read_out) == ("relu", "mean")
    assert list(network.weights) == list(weights)
    for name, block in weights.items():
        np.testing.assert_array_equal(network.weights[name], block)


@pytest.mark.parametrize("name", OF_TWO)
def test_weights_that_do_not_fit_together_are_no_network(name):
    arrays, _ = numbered((5, 4), has_s_0=False)
    weights = {key: block.of(arrays) for key, block in blocks_of(D, (5, 4), K).items()}
    weights[name] = weights[name][:1]  # which could be broadcast
    with pytest.raises(ValueError, match="has the shape .*, and other weights ask for"):
        arrays_of(weights)


@EVERY_SHAPE
def test_penalised_blocks_by_hand(n_hidden, has_s_0):
    arrays, _ = numbered(n_hidden, has_s_0=has_s_0)
    Thetas, V = arrays[: len(n_hidden)], arrays[len(n_hidden)][:, :-1]
    V_of = np.hsplit(V, np.cumsum(n_hidden)[:-1])
    expected = {
        "U": [Theta[:, :D] for Theta in Thetas],
        "W": [Theta[:, D:-1] for Theta in Thetas],
        "V": [V],
        "UW": [Theta[:, :-1] for Theta in Thetas],
        "UWb": Thetas,
        "WV": [np.vstack([Theta[:, D:-1], own]) for Theta, own in zip(Thetas, V_of, strict=True)],
    }
    assert tuple(expected) == tuple(PENALISED)
    blocks = blocks_of(D, n_hidden, K, has_s_0=has_s_0)
    for name, matrices in expected.items():
        found = penalised_blocks(blocks, name)
        assert len(found) == len(matrices)
        for pieces, matrix in zip(found, matrices, strict=True):
            views = [piece.of(arrays) for piece in pieces]
            np.testing.assert_array_equal(np.vstack(views), matrix)
            assert all(np.shares_memory(view, arrays[piece.array]) for view, piece in zip(views, pieces, strict=True))


@EVERY_KIND
def test_fitted_attributes_files_and_init_go_through_the_table(settings, tmp_path):
    model, X, y = fitted(**settings)
    weights = weights_of(model)
    network = model._network()
    assert list(weights) == list(network.blocks)
    for name, block in weights.items():
        assert getattr(model, BLOCKS[name].attribute) is block
        np.testing.assert_array_equal(network.weights[name], block)
    model.save(tmp_path / "model.safetensors")
    for name, block in weights_of(admmirnn.load(tmp_path / "model.safetensors")).items():
        np.testing.assert_array_equal(block, weights[name])
    seen = {}

    def end_epoch(state):  # after a step that is next to nothing
        seen.update({name: block.copy() for name, block in weights_of(state.estimator).items()})

    init = {name: block for name, block in weights.items() if name != "s_0"}
    solver = admmirnn.Rollout(r=1e12)
    again = RNNClassifier(5, max_epochs=1, random_state=0, init=init, solver=solver, callbacks=[end_epoch], **settings)
    again.set_params(penalty=0.0).fit(X, y)
    for name, block in init.items():
        np.testing.assert_allclose(seen[name], block, atol=1e-6)


@EVERY_KIND
def test_attributes_of_another_fit_are_gone(settings):
    model, X, y = fitted(**settings)
    for more in KINDS.values():
        model.set_params(**{"bidirectional": False, "s_0": None} | more).fit(X, y)
        assert list(weights_of(model)) == list(model._network().blocks)
        assert model.s_0_ is None or "s_0" in more


@pytest.mark.parametrize("kind", [RNNClassifier, RNNRegressor, CharacterModel])
def test_attributes_are_saved_declared_and_documented(kind):
    attributes = [block.attribute for block in BLOCKS.values()]
    assert list(kind.fitted_attributes)[: len(attributes)] == attributes
    assert set(attributes) <= set(RecurrentEstimator.__annotations__)
    documented = inspect.getdoc(kind)
    for name, block in BLOCKS.items():
        if kind is RNNClassifier or block.direction != 1:  # the others refer to it, or read from the start only
            assert block.attribute in documented, name
