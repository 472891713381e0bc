"""Cells, layers and where gates start from, as users choose them: settings, attributes, files."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

import admmirnn
from admmirnn import Algorithm1, Capability, CharacterModel, RNNClassifier, RNNRegressor, Rollout
from admmirnn.data.sequences import Sequences
from admmirnn.data.targets import Targets
from admmirnn.estimators.agreement import Everyones
from admmirnn.estimators.base import how_to_read
from admmirnn.estimators.pipeline import Data, Result, in_minibatches, network_for
from admmirnn.estimators.settings import check_estimator_settings
from admmirnn.files.fitted import check_fitted_attributes, fitted_attributes_of
from admmirnn.files.format import read_file, write_file
from admmirnn.io import ModelFileError
from admmirnn.losses import SoftmaxCrossEntropy
from admmirnn.networks.blocks import weights_of
from admmirnn.networks.cells import CELLS, GATED
from admmirnn.penalties import Lasso
from admmirnn.solvers import SOLVERS
from admmirnn.watching import History

pytestmark = pytest.mark.elman

D, K = 3, 2
KINDS = [
    pytest.param(
        {"cell": cell, "hidden_size": hidden_size, "bidirectional": bidirectional},
        id=f"{cell} {hidden_size} {bidirectional}",
    )
    for cell in CELLS
    for hidden_size in (5, (5, 4))
    for bidirectional in (False, True)
]


def data(n=12, n_steps=6):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, n_steps, D)), np.arange(n) % K


def settings_of(**settings):
    return check_estimator_settings(RNNClassifier(**settings), SOLVERS)


def untrained(n_steps=6, **settings):
    """A classifier with initial weights, fitted in all other respects."""
    model = RNNClassifier(random_state=0, **settings)
    checked = check_estimator_settings(model, SOLVERS)
    X, y = data(n_steps=n_steps)
    sequences = Sequences.of_lengths(X.reshape(-1, D), np.full(len(X), n_steps))
    attributes = how_to_read(checked) | {
        "classes_": np.arange(K), "_several": False, "n_features_in_": D, "_n_table_columns": None,
        "_form_of_targets": "sequence",
    }  # fmt: skip
    of = Data(sequences, Targets(y, np.ones(len(y)), "sequence", K), SoftmaxCrossEntropy(), attributes)
    model._become_fitted(Result(attributes, network_for(checked, of, model.init), History(), goes_on=True))
    return model


# Settings


@pytest.mark.parametrize("kind", [RNNClassifier, RNNRegressor, CharacterModel])
def test_defaults(kind):
    settings = kind().get_params()
    assert [settings[name] for name in ("hidden_size", "cell", "forget_bias")] == [128, "auto", "auto"]
    assert (
        clone(kind((8, 4), cell="gru", forget_bias="chrono")).get_params()
        == kind((8, 4), cell="gru", forget_bias="chrono").get_params()
    )
    assert repr(kind([8, 4], cell="gru")) == f"{kind.__name__}(cell='gru', hidden_size=[8, 4])"


@pytest.mark.parametrize(
    ("hidden_size", "expected"), [(5, 5), ((5,), 5), ([5, 4], (5, 4)), ((np.int64(5), 4, 3), (5, 4, 3))]
)
def test_hidden_size_is_a_number_or_one_for_each_layer(hidden_size, expected):
    settings = settings_of(hidden_size=hidden_size)
    assert settings.hidden_size == expected
    assert settings.sizes == (expected if isinstance(expected, tuple) else (expected,))


@pytest.mark.parametrize(
    ("error", "message", "settings"),
    [
        (ValueError, "hidden_size is .*no layer", {"hidden_size": ()}),
        (ValueError, r"hidden_size\[1\] is 0; it must be", {"hidden_size": (5, 0)}),
        (TypeError, r"hidden_size\[0\] is 2.5 of type float", {"hidden_size": [2.5, 3]}),
        (TypeError, "hidden_size is '5' .*or one for each layer", {"hidden_size": "5"}),
        (ValueError, "cell is 'rnn'.*elman.*lstm", {"cell": "rnn"}),
        (ValueError, "activation is 'relu' and cell is 'gru'", {"cell": "gru", "activation": "relu"}),
        (ValueError, "forget_bias is 1 and cell is 'elman', which has no gates", {"cell": "elman", "forget_bias": 1}),
        (ValueError, "forget_bias is 'long'", {"cell": "gru", "forget_bias": "long"}),
        (TypeError, "forget_bias is None; pass a number", {"cell": "gru", "forget_bias": None}),
        (TypeError, "forget_bias is True; pass a number", {"cell": "gru", "forget_bias": True}),
        (ValueError, "forget_bias is inf; pass a finite number", {"cell": "gru", "forget_bias": np.inf}),
        (ValueError, "forget_bias is nan; pass a finite number", {"cell": "gru", "forget_bias": np.nan}),
        (ValueError, "forget_bias is 1e[+]39; pass a finite number", {"cell": "gru", "forget_bias": 1e39}),
        (ValueError, "forget_bias is 10+; pass a finite number", {"cell": "gru", "forget_bias": 10**400}),
        (ValueError, "key of penalties is 'UW'.*W_z", {"cell": "gru", "penalties": {"UW": Lasso(1e-3)}}),
        (ValueError, "key of penalties is 'W_z'", {"penalties": {"W_z": Lasso(1e-3)}}),
        (ValueError, "key of penalties is 'WV'", {"hidden_size": (5, 4), "penalties": {"WV": Lasso(1e-3)}}),
        (
            ValueError,
            "'W' and 'W_z', so W_z would have two",
            {"cell": "gru", "penalties": {"W": Lasso(1e-3), "W_z": Lasso(1e-3)}},
        ),
        (
            ValueError,
            "s_0 does not have one array for each of the 2 layers",
            {"hidden_size": (2, 3), "s_0": np.zeros(5)},
        ),
        (ValueError, r"s_0\[1\] has the shape \(2,\)", {"hidden_size": (2, 3), "s_0": [np.zeros(2), np.zeros(2)]}),
        (ValueError, "pass 'learn', a list of arrays of shapes", {"hidden_size": (2, 3), "s_0": "zero"}),
        (ValueError, "cell is 'lstm', and Algorithm1 trains none", {"cell": "lstm", "solver": "algorithm1"}),
        (ValueError, r"hidden_size is \(5, 4\), and Algorithm1", {"hidden_size": (5, 4), "solver": "algorithm1"}),
    ],
)
def test_what_cannot_be_is_refused_in_words(error, message, settings):
    with pytest.raises(error, match=message):
        RNNClassifier(**settings).fit(*data())


def test_solvers_say_what_networks_they_train():
    asked = {Capability.CELLS, Capability.LAYERS}
    assert asked <= Rollout.capabilities and not asked & Algorithm1.capabilities


def test_algorithm_1_refuses_what_it_has_no_steps_for():
    model, (X, y) = untrained(cell="gru", hidden_size=5), data()
    sequences = Sequences.of_lengths(X.reshape(-1, D).astype(np.float32), np.full(len(X), X.shape[1]))
    with pytest.raises(ValueError, match="1 layer.* of the cell 'gru', and this solver has steps for one layer"):
        Algorithm1().solve(model._network(), sequences, y, SoftmaxCrossEntropy())


# Attributes, files and copies


@pytest.mark.parametrize("settings", KINDS)
def test_a_fitted_model_has_its_weights_by_name_and_in_files(settings, tmp_path):
    model = untrained(**settings)
    weights = weights_of(model)
    assert list(weights) == list(model._network().blocks)
    check_fitted_attributes(fitted_attributes_of(model), model.fitted_attributes)
    model.save(tmp_path / "model.safetensors")
    for again in (admmirnn.load(tmp_path / "model.safetensors"), pickle.loads(pickle.dumps(model))):
        found = weights_of(again)
        assert list(found) == list(weights)
        for name, expected in weights.items():
            np.testing.assert_array_equal(found[name], expected)
        network = again._network()
        assert network.cell.name == settings["cell"] and network.hidden_size == settings["hidden_size"]
        assert again.get_params() == model.get_params()
    for name in weights:  # a file without one of them
        arrays, header = read_file(tmp_path / "model.safetensors", "model")
        del header["attributes"][f"{name}_"], arrays[f"{name}_"]
        write_file(tmp_path / "less.safetensors", "model", arrays, header)
        with pytest.raises(ModelFileError):
            admmirnn.load(tmp_path / "less.safetensors")


def test_a_file_cannot_have_weights_of_another_cell_or_of_layers_without_others():
    model = untrained(cell="gru", hidden_size=5)
    for changed in (
        {"_cell": "lstm"},
        {"_cell": "none"},
        {"_cell": 3},
        {"U_z_3_": model.U_z_},
        {"U_z_999999999_": model.U_z_},
    ):
        attributes = fitted_attributes_of(model) | changed
        with pytest.raises((ValueError, TypeError)):
            check_fitted_attributes(attributes, model.fitted_attributes)


def test_weights_of_another_network_are_gone():
    model = untrained(cell="gru", hidden_size=(5, 4))
    assert model.W_z_2_.shape == (4, 4) and model.U_c_2_.shape == (4, 5) and model.s_0_ is None
    model._become_fitted(Result({}, untrained(cell="lstm", hidden_size=5)._network(), History(), goes_on=True))
    assert not hasattr(model, "W_z_2_") and not hasattr(model, "W_z_") and model.W_f_.shape == (5, 5)
    assert model._cell == "lstm" and list(weights_of(model)) == list(model._network().blocks)


@pytest.mark.parametrize("cell", GATED)
def test_init_names_any_block(cell):
    past = GATED[cell].bias_of_past
    init = {f"{past}_2": np.arange(4.0), "V": np.ones((K, 4))}
    model = untrained(cell=cell, hidden_size=(5, 4), init=init, n_steps=300)
    np.testing.assert_array_equal(getattr(model, f"{past}_2_"), np.arange(4))
    found = getattr(model, f"{past}_")
    assert 0 <= found.min() < found.max() <= np.log(299)  # chrono, which init is set after
    with pytest.raises(ValueError, match="a key of init is 'U_3'"):
        untrained(cell=cell, hidden_size=(5, 4), init={"U_3": np.ones(3)})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, 64),
        ({"n": 511}, None),
        ({"n_steps": 199}, None),
        ({"cell": "elman"}, None),
        ({"batch_size": 100}, 100),
        ({"every_step": True}, None),
        ({"stateful": True, "every_step": True}, None),
    ],
    ids=str,
)
def test_minibatches_of_long_sequences_are_smaller(given, expected):
    class Asked(Rollout):
        def solve(self, *args, batch_size=None, **others):
            found.append(batch_size)
            return super().solve(*args, batch_size=batch_size, **others)

    n, n_steps, every_step = given.get("n", 512), given.get("n_steps", 200), given.get("every_step", False)
    X = np.random.default_rng(0).normal(size=(n, n_steps, 1)).astype(np.float32)
    y, found = np.arange(n) % 2, []
    settings = {"cell": "gru", "solver": Asked(max_iter=1)} | {
        name: value for name, value in given.items() if name not in ("n", "n_steps", "every_step")
    }
    RNNClassifier(2, random_state=0, **settings).fit(X, np.repeat(y[:, None], n_steps, 1) if every_step else y)
    assert found == [expected]


@pytest.mark.parametrize(("n_workers", "expected"), [(1, 64), (2, 128), (3, None)])
def test_minibatches_of_several_workers_are_theirs_together(n_workers, expected):
    settings = settings_of(cell="lstm")
    everyones = Everyones(np.array([150, 300]), np.array([100, 1100]))
    sequences, targets = (
        Sequences.of_lengths(np.zeros((150, D)), [150]),
        Targets(np.zeros(1, np.intp), None, "sequence", K),
    )
    own = Data(sequences, targets, SoftmaxCrossEntropy(), {}, everyones=everyones)
    assert in_minibatches(settings, own, n_workers).batch_size == expected


def test_a_chunk_of_a_stream_is_not_long():
    settings = settings_of(cell="gru", hidden_size=4, stateful=True, chunk_size=25, random_state=0)
    sequences = Sequences.of_lengths(np.zeros((1000, D)), [1000])
    targets = Targets(np.zeros(1000, np.intp), np.ones(1000), "list", K)
    network = network_for(settings, Data(sequences, targets, SoftmaxCrossEntropy(), {}), None)
    assert (network.weights["b_z"] == 1).all()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("s_0", ["learn", [np.full(5, 0.5), np.full(4, -0.5)]], ids=["learnt", "given"])
def test_states_to_start_from_are_those_of_every_layer(cell, s_0):
    model = untrained(cell=cell, hidden_size=(5, 4), s_0=s_0)
    learns = isinstance(s_0, str)
    assert hasattr(model, "c_0_2_") == (cell == "lstm" and learns)
    for name, size, value in (("s_0_", 5, 0.5), ("s_0_2_", 4, -0.5)):
        np.testing.assert_array_equal(getattr(model, name), np.full(size, 0 if learns else value))
    pruned = model.prune()
    np.testing.assert_array_equal(pruned.s_0_2_, pruned._network().layers[1][0].s_0)
    if not learns:
        assert [state.shape for state in pruned.s_0] == [(n,) for n in pruned.hidden_size]


def test_older_fits_have_the_cell_elman():
    model = RNNClassifier(4, max_epochs=1, random_state=0).fit(*data())
    state = model.__getstate__()
    for name in ("_cell", "cell", "forget_bias"):
        del state[name]
    older = RNNClassifier.__new__(RNNClassifier)
    older.__setstate__(state)
    assert older._network().cell.name == "elman" and older.get_params()["forget_bias"] == "auto"
    np.testing.assert_array_equal(older.predict(data()[0]), model.predict(data()[0]))


# Training


@pytest.mark.parametrize("kind", [RNNClassifier, RNNRegressor])
def test_elman_layers_are_trained_and_go_on(kind, tmp_path):
    X, y = data(60)
    y = X.sum(axis=(1, 2)) if kind is RNNRegressor else (X.sum(axis=(1, 2)) > 0).astype(int)
    model = kind((8, 6), max_epochs=20, random_state=0).fit(X, y)
    assert model.W_2_.shape == (6, 6) and model.U_2_.shape == (6, 8) and model.V_.shape[1] == 6
    assert model.history_[-1]["rollout_loss"] < 0.5 * model.history_[0]["rollout_loss"]
    expected = model.predict(X)
    model.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(kind.load(tmp_path / "model.safetensors").predict(X), expected)
    pruned = model.prune()
    assert pruned.hidden_size == (8, 6)
    np.testing.assert_allclose(pruned._outputs(X)[0], model._outputs(X)[0], rtol=1e-4, atol=1e-5)
    W = model.W_2_.copy()
    assert (model.partial_fit(X, y).W_2_ != W).any()
    with pytest.raises(ValueError, match=r"hidden_size is 8, and was \(8, 6\) when training began"):
        model.set_params(hidden_size=8).partial_fit(X, y)
    with pytest.raises(ValueError, match="cell is 'gru', and was 'elman' when training began"):
        model.set_params(hidden_size=(8, 6), cell="gru").partial_fit(X, y)
