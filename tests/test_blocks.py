"""The table of blocks: which array, rows and columns a name such as U, W_z_2 or c stands for."""

import inspect
import itertools

import numpy as np
import pytest

import admmirnn
from admmirnn import CharacterModel, RNNClassifier, RNNRegressor
from admmirnn.estimators.base import RecurrentEstimator
from admmirnn.networks import ElmanRNN, StackedRNN, network_of
from admmirnn.networks.blocks import (
    arrays_of,
    blocks_of,
    n_directions,
    penalised_blocks,
    penalised_parts,
    place_of,
    weights_of,
)
from admmirnn.networks.cells import CELLS, Elman, cell_named

D, K = 3, 2
OF_ONE, OF_TWO = ("U", "W", "b", "V", "c"), ("U", "W", "b", "U_reverse", "W_reverse", "b_reverse", "V", "c")
SIZES = [((5,),), ((5, 4),), ((5,), (4,)), ((5, 4), (6, 3)), ((2,), (3,), (4,))]
EVERY_SHAPE = pytest.mark.parametrize(
    ("cell", "n_hidden", "initial"),
    [
        (cell, n_hidden, initial)
        for cell, n_hidden, initial in itertools.product(CELLS, SIZES, [(), ("s_0",), ("s_0", "c_0")])
        if not initial or (len(n_hidden[0]) == 1 and ("c_0" in initial) == (cell == "lstm"))
    ],
)
KINDS = {"one direction": {}, "two directions": {"bidirectional": True}, "s_0": {"s_0": "learn"}}
EVERY_KIND = pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
PARTS = {
    "elman": ("U", "W", "b"),
    "fastgrnn": ("U", "W", "b_z", "b_c"),
    "ugrnn": ("U_z", "U_c", "W_z", "W_c", "b_z", "b_c"),
    "gru": ("U_z", "U_r", "W_z", "W_r", "b_z", "b_r", "U_c", "b_c", "W_c", "b_s"),
    "lstm": tuple(f"{letter}_{gate}" for letter in "UWb" for gate in "ifgo"),
}


def blocks_for(cell, n_hidden, initial=()):
    return blocks_of(D, n_hidden, K, maps=CELLS[cell].maps, initial=initial)


def shapes_of(cell, n_hidden, initial=()):
    """Of the arrays."""
    shapes, d = [], D
    for sizes in n_hidden:
        for n in sizes:
            shapes += {
                "elman": [(n, d + n + 1)],
                "fastgrnn": [(n, d + n + 2)],
                "ugrnn": [(2 * n, d + n + 1)],
                "gru": [(2 * n, d + n + 1), (n, d + 1), (n, n + 1)],
                "lstm": [(4 * n, d + n + 1)],
            }[cell]
        d = sum(sizes)
    return [*shapes, (K, d + 1), *((n,) for sizes in n_hidden for n in sizes for _ in initial)]


def numbered(cell, n_hidden, initial=()):
    """Arrays of which every entry is another number."""
    first, arrays = 0, []
    for shape in shapes_of(cell, n_hidden, initial):
        size = int(np.prod(shape))
        arrays.append(np.arange(first, first + size, dtype=np.float64).reshape(shape))
        first += size
    return arrays, first


def fitted(**settings):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, 4, D)), np.arange(12) % K
    return RNNClassifier(5, max_epochs=1, random_state=0, **settings).fit(X, y), X, y


@EVERY_SHAPE
def test_every_number_belongs_to_exactly_one_block(cell, n_hidden, initial):
    arrays, n_numbers = numbered(cell, n_hidden, initial)
    found = np.concatenate([block.of(arrays).ravel() for block in blocks_for(cell, n_hidden, initial).values()])
    assert sorted(found) == list(range(n_numbers))


@EVERY_SHAPE
def test_a_block_is_a_view_of_the_shape_that_its_axes_say(cell, n_hidden, initial):
    arrays, _ = numbered(cell, n_hidden, initial)
    sizes = {"d": D, "K": K}
    for i, of_layer in enumerate(n_hidden):
        sizes |= {f"{letter}{i + 1 if i else ''}": n for letter, n in zip("nm", of_layer, strict=False)}
    for name, block in blocks_for(cell, n_hidden, initial).items():
        expected = tuple(sum(sizes[letter] for letter in axis.split("+")) for axis in block.axes)
        found = block.of(arrays)
        assert block.name == name
        assert found.shape == expected
        assert np.shares_memory(found, arrays[block.array])


@EVERY_SHAPE
def test_names_say_what_a_block_is_and_whose(cell, n_hidden, initial):
    blocks = blocks_for(cell, n_hidden, initial)
    names = [
        part + suffix + direction
        for suffix, sizes in zip(("", "_2", "_3"), n_hidden, strict=False)
        for direction in ("", "_reverse")[: len(sizes)]
        for part in PARTS[cell]
    ]
    states = [part + suffix for suffix in ("", "_2", "_3")[: len(n_hidden)] for part in initial]
    assert list(blocks) == [*names, "V", "c", *states]
    assert n_directions(blocks) == tuple(map(len, n_hidden))
    for name, block in blocks.items():
        if name not in ("V", "c"):
            assert place_of(name) == (block.part, block.layer, block.direction)


def test_names_of_elman_are_those_that_files_have():
    assert tuple(blocks_of(D, ((5,),), K)) == OF_ONE
    assert tuple(blocks_of(D, ((5,),), K, initial=("s_0",))) == (*OF_ONE, "s_0")
    assert tuple(blocks_of(D, ((5, 4),), K)) == OF_TWO


def test_blocks_of_gates_by_hand():
    blocks = blocks_for("gru", ((5,), (4,)))
    arrays, _ = numbered("gru", ((5,), (4,)))
    np.testing.assert_array_equal(blocks["W_r"].of(arrays), arrays[0][5:, 3:8])
    np.testing.assert_array_equal(blocks["b_z"].of(arrays), arrays[0][:5, 8])
    np.testing.assert_array_equal(blocks["U_c"].of(arrays), arrays[1][:, :3])
    np.testing.assert_array_equal(blocks["b_s"].of(arrays), arrays[2][:, 5])
    np.testing.assert_array_equal(blocks["U_z_2"].of(arrays), arrays[3][:4, :5])
    np.testing.assert_array_equal(blocks["W_c_2"].of(arrays), arrays[5][:, :4])


def test_theta_is_u_w_b_and_psi_is_v_c():
    (Theta, Psi), _ = numbered("elman", ((5,),))
    found = {name: block.of((Theta, Psi)) for name, block in blocks_of(D, ((5,),), K).items()}
    np.testing.assert_array_equal(np.hstack([found["U"], found["W"], found["b"][:, None]]), Theta)
    np.testing.assert_array_equal(np.hstack([found["V"], found["c"][:, None]]), Psi)


@EVERY_SHAPE
def test_arrays_are_made_of_their_blocks(cell, n_hidden, initial):
    arrays, _ = numbered(cell, n_hidden, initial)
    weights = {name: block.of(arrays) for name, block in blocks_for(cell, n_hidden, initial).items()}
    made = arrays_of(weights, CELLS[cell].maps)
    assert len(made) == len(arrays)
    for array, expected in zip(made, arrays, strict=True):
        np.testing.assert_array_equal(array, expected)
        assert array.flags.c_contiguous and not np.shares_memory(array, expected)
    network = network_of(weights, cell=cell_named(cell), read_out="mean")
    assert isinstance(network, StackedRNN) == (n_hidden != ((5,),))
    assert isinstance(network, ElmanRNN) == (n_hidden == ((5,),) and cell == "elman")
    assert (network.cell.name, network.read_out) == (cell, "mean")
    assert list(network.weights) == list(weights)
    for name, block in weights.items():
        np.testing.assert_array_equal(network.weights[name], block)
    for sizes, directions in zip(n_hidden, network.layers, strict=True):
        assert tuple(direction.n_hidden for direction in directions) == sizes


def test_the_activation_of_elman_is_that_of_the_network():
    arrays, _ = numbered("elman", ((5,),))
    weights = {name: block.of(arrays) for name, block in blocks_of(D, ((5,),), K).items()}
    assert network_of(weights, cell=Elman("relu"), read_out="last").activation == "relu"


@EVERY_SHAPE
def test_weights_that_do_not_fit_together_are_no_network(cell, n_hidden, initial):
    arrays, _ = numbered(cell, n_hidden, initial)
    weights = {key: block.of(arrays) for key, block in blocks_for(cell, n_hidden, initial).items()}
    for name, block in weights.items():
        with pytest.raises(ValueError, match="has the shape .*, and other weights ask for"):
            arrays_of(weights | {name: block[:1]}, CELLS[cell].maps)  # which could be broadcast
        if name not in initial:
            with pytest.raises(ValueError, match="these weights are missing or unknown"):
                arrays_of({key: other for key, other in weights.items() if key != name}, CELLS[cell].maps)
    with pytest.raises(ValueError, match="missing or unknown: .*U_9"):
        arrays_of({name: arrays[0] for name in ("U", "W", "b", "V", "c", "U_9")})


@pytest.mark.parametrize("has_s_0", [False, True])
@pytest.mark.parametrize("n_hidden", [(5,), (5, 4)])
def test_penalised_blocks_of_elman_by_hand(n_hidden, has_s_0):
    initial = ("s_0",) if has_s_0 else ()
    arrays, _ = numbered("elman", (n_hidden,), initial)
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
    assert tuple(expected) == tuple(penalised_parts())
    check_penalised(blocks_of(D, (n_hidden,), K, initial=initial), arrays, expected)


def check_penalised(blocks, arrays, expected):
    for name, matrices in expected.items():
        found = penalised_blocks(blocks, name)
        assert len(found) == len(matrices), name
        for pieces, matrix in zip(found, matrices, strict=True):
            views = [piece.of(arrays) for piece in pieces]
            np.testing.assert_array_equal(np.vstack(views), matrix)
            assert all(np.shares_memory(view, arrays[piece.array]) for view, piece in zip(views, pieces, strict=True))


def test_penalised_blocks_of_gates_by_hand():
    arrays, _ = numbered("ugrnn", ((5, 4),))
    (first, second, Psi), halves = arrays, lambda rows: np.split(rows, 2)
    W = [*halves(first[:, D : D + 5]), *halves(second[:, D : D + 4])]
    expected = {
        "U": [*halves(first[:, :D]), *halves(second[:, :D])],
        "W": W,
        "W_z": W[::2],
        "W_c": W[1::2],
        "UW": [*halves(first[:, :-1]), *halves(second[:, :-1])],
        "UWb": [*halves(first), *halves(second)],
        "WV": [np.vstack([*W[:2], Psi[:, :5]]), np.vstack([*W[2:], Psi[:, 5:9]])],
    }
    check_penalised(blocks_for("ugrnn", ((5, 4),)), arrays, expected)
    assert set(expected) | {"V", "U_z", "U_c"} == set(penalised_parts(CELLS["ugrnn"].maps))


def test_penalised_blocks_of_layers_by_hand():
    n_hidden = ((5,), (4,))
    arrays, _ = numbered("gru", n_hidden)
    expected = {
        "W": [arrays[0][:5, 3:8], arrays[0][5:, 3:8], arrays[2][:, :5],
              arrays[3][:4, 5:9], arrays[3][4:, 5:9], arrays[5][:, :4]],
        "W_c": [arrays[2][:, :5], arrays[5][:, :4]],
        "U_r": [arrays[0][5:, :3], arrays[3][4:, :5]],
        "V": [arrays[6][:, :-1]],
    }  # fmt: skip
    check_penalised(blocks_for("gru", n_hidden), arrays, expected)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("n_layers", [1, 2])
def test_keys_of_penalties_are_those_that_make_sense(cell, n_layers):
    found = penalised_parts(CELLS[cell].maps, n_layers)
    assert ("UW" in found) == (cell != "gru")
    assert ("UWb" in found) == (cell in ("elman", "ugrnn", "lstm"))
    assert ("WV" in found) == (n_layers == 1)
    assert {name for name in found if name[1:2] == "_"} == {name for name in PARTS[cell] if name[0] in "UW"} - {
        "U",
        "W",
    }
    for name, parts in found.items():
        assert set(parts) <= {*PARTS[cell], "V"} and len(parts) >= len(name.partition("_")[0]) - (name == "UWb")


@EVERY_KIND
def test_fitted_attributes_files_and_init_go_through_the_table(settings, tmp_path):
    model, X, y = fitted(**settings)
    weights = weights_of(model)
    network = model._network()
    assert list(weights) == list(network.blocks)
    for name, block in weights.items():
        assert getattr(model, f"{name}_") is block
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
def test_attributes_are_declared_and_documented(kind):
    blocks = blocks_of(1, ((1, 1),), 1, initial=("s_0",)).values()
    attributes = {block.attribute: block for block in blocks if block.name != "s_0_reverse"}
    assert set(attributes) <= set(RecurrentEstimator.__annotations__)
    assert not set(attributes) & set(kind.fitted_attributes)  # what weights there are, the network says
    documented = inspect.getdoc(kind)
    for name, block in attributes.items():
        if kind is RNNClassifier or block.direction != 1:  # the others refer to it, or read from the start only
            assert name in documented
