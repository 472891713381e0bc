"""Weights as attributes of fitted estimators: those of all gates together, and errors for those that are not there."""

import copy
import pickle

import numpy as np
import pytest

from admmirnn import CharacterModel, RNNClassifier, RNNRegressor
from admmirnn.networks.cells import CELLS

GATES = {"elman": None, "fastgrnn": None, "ugrnn": "zc", "gru": "zrc", "lstm": "ifgo"}
OF_BIASES = GATES | {"fastgrnn": "zc", "gru": "zrcs"}


def fitted(kind, **settings):
    settings = {"hidden_size": 4, "max_epochs": 1, "random_state": 0} | settings
    X = np.random.default_rng(0).normal(size=(20, 5, 3))
    if kind is CharacterModel:
        return kind(**settings).fit("hello there " * 20)
    return kind(**settings).fit(X, (X[:, 0, 0] > 0).astype(int))


def stack(model, letter, gates, suffix=""):
    return np.concatenate([getattr(model, f"{letter}_{gate}{suffix}_") for gate in gates])


@pytest.mark.parametrize("kind", [RNNClassifier, RNNRegressor, CharacterModel])
@pytest.mark.parametrize("cell", ["auto", *CELLS])
def test_letters_are_there_for_every_cell(kind, cell):
    model = fitted(kind, cell=cell)
    for letter in "UWb":
        gates = (OF_BIASES if letter == "b" else GATES)[model._cell]
        found = getattr(model, f"{letter}_")
        assert len(found) == 4 * len(gates or "1")
        if gates is None:
            assert found is vars(model)[f"{letter}_"]
            continue
        np.testing.assert_array_equal(found, stack(model, letter, gates))
        assert f"{letter}_" in dir(model) and f"{letter}_" not in vars(model)
        with pytest.raises(ValueError, match="read-only"):
            found[0] = 0
        with pytest.raises(AttributeError, match=f"^{letter}_ stands for {letter}_.*_ together; set these instead"):
            setattr(model, f"{letter}_", found)


def test_letters_of_layers_and_directions():
    model = fitted(RNNClassifier, cell="lstm", hidden_size=(4, 3), bidirectional=True)
    for suffix, n, d in (("", 4, 3), ("_reverse", 4, 3), ("_2", 3, 8), ("_2_reverse", 3, 8)):
        assert getattr(model, f"U{suffix}_").shape == (4 * n, d) and getattr(model, f"b{suffix}_").shape == (4 * n,)
        np.testing.assert_array_equal(getattr(model, f"W{suffix}_"), stack(model, "W", "ifgo", suffix))


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_letters_of_copies(again):
    model = fitted(RNNClassifier, cell="gru")
    np.testing.assert_array_equal(again(model).W_, model.W_)


def test_weights_that_are_not_there_are_answered_with_those_that_are():
    with pytest.raises(AttributeError, match=r"^this RNNClassifier has no W_, as it is not fitted; call fit first"):
        RNNClassifier().W_  # noqa: B018
    model = fitted(RNNClassifier)
    with pytest.raises(AttributeError, match=r"no W_z_: its cell is 'fastgrnn', it has 1 layer, .*U_, W_, b_z_, b_c_"):
        model.W_z_  # noqa: B018
    with pytest.raises(AttributeError, match=r"no U_3_: its cell is 'ugrnn', it has 2 layers"):
        fitted(RNNClassifier, cell="ugrnn", hidden_size=(4, 3)).U_3_  # noqa: B018
    several = fitted(RNNClassifier, n_networks=2)
    with pytest.raises(AttributeError, match=r"no W_ of its own, as it has 2 networks; read estimators_\[0\]\.W_"):
        several.W_  # noqa: B018
    assert several.estimators_[0].W_.shape == (4, 4)


def test_other_attributes_are_answered_as_ever():
    for model in (RNNClassifier(), fitted(RNNClassifier)):
        assert not any(hasattr(model, name) for name in ("weights_", "W_q_", "W__", "_", "W", "U_1_"))
        with pytest.raises(AttributeError, match="object has no attribute 'weights_'"):
            model.weights_  # noqa: B018
    with pytest.raises(AttributeError, match="partial_fit"):
        RNNClassifier(solver="algorithm1").partial_fit  # noqa: B018
