"""Dropout as users meet it: in training alone, reproducible, and from which solver."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import log_loss

from admmirnn import Algorithm1, Capability, CharacterModel, RNNClassifier, RNNRegressor, Rollout
from admmirnn.data.sequences import Sequences
from admmirnn.losses import SoftmaxCrossEntropy
from admmirnn.networks import ElmanRNN
from admmirnn.networks.blocks import weights_of
from admmirnn.solvers.rollout.dropout import Dropout
from admmirnn.solvers.rollout.iteration import Fit
from admmirnn.solvers.rollout.order import Shuffled
from admmirnn.solvers.rollout.problem import Problem

pytestmark = pytest.mark.elman

TEXT = 60 * "to be or not to be, "


def data(n=60, n_steps=7):
    X = np.random.default_rng(0).normal(size=(n, n_steps, 3))
    return X, (X.sum(axis=(1, 2)) > 0).astype(int)


def fitted(random_state=0, **settings):
    settings = {"hidden_size": (8, 6), "cell": "gru", "dropout": 0.3, "max_epochs": 3} | settings
    return RNNClassifier(random_state=random_state, **settings).fit(*data())


def same_weights(one, other):
    return all(
        np.array_equal(mine, others)
        for mine, others in zip(weights_of(one).values(), weights_of(other).values(), strict=True)
    )


@pytest.mark.parametrize("kind", [RNNClassifier, RNNRegressor, CharacterModel])
def test_there_is_none_by_default(kind):
    assert kind().dropout == ("auto" if kind is RNNClassifier else 0)  # which tests of streams look at
    assert clone(kind(dropout=0.25)).get_params()["dropout"] == 0.25


@pytest.mark.parametrize("kind", [RNNClassifier, RNNRegressor, CharacterModel])
@pytest.mark.parametrize(
    ("error", "value", "message"),
    [
        (ValueError, 1.0, r"dropout is 1.0; it must be finite, a number >= 0 and < 1"),
        (ValueError, -0.1, r"dropout is -0.1; it must be"),
        (ValueError, float("nan"), r"dropout is nan; it must be"),
        (TypeError, "half", r"dropout is 'half' of type str; pass a number >= 0 and < 1"),
        (TypeError, None, r"dropout is None of type NoneType"),
        (TypeError, True, r"dropout is True of type bool"),
    ],
)
def test_what_is_no_probability_is_refused(kind, error, value, message):
    X, y = data()
    with pytest.raises(error, match=message):
        kind(3, dropout=value).fit(*((TEXT,) if kind is CharacterModel else (X, y)))


def test_the_solver_refuses_it_too():
    network = ElmanRNN.random(3, 4, 2, random_state=np.random.RandomState(0))
    sequences = Sequences.of_lengths(np.zeros((10, 3), np.float32), [5, 5])
    with pytest.raises(ValueError, match="dropout is 1; it must be"):
        Rollout().solve(network, sequences, np.array([0, 1]), SoftmaxCrossEntropy(), dropout=1)


def test_algorithm_1_has_none():
    assert Capability.DROPOUT in Rollout.capabilities and Capability.DROPOUT not in Algorithm1.capabilities
    with pytest.raises(
        ValueError, match="dropout is 0.5, and Algorithm1 has none; pass dropout=0, or solver='rollout'"
    ):
        RNNClassifier(3, dropout=0.5, solver="algorithm1").fit(*data())
    RNNClassifier(3, dropout=0, solver="algorithm1", max_epochs=1).fit(*data())


def test_the_seed_says_which_units_are_not_seen():
    assert same_weights(fitted(), fitted())
    assert not same_weights(fitted(), fitted(dropout=0))
    assert not same_weights(fitted(), fitted(dropout=0.2))
    assert same_weights(fitted(n_threads=2), fitted(n_threads=2))
    for one, other in zip(weights_of(fitted(n_threads=2)).values(), weights_of(fitted()).values(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)


def test_both_back_ends_draw_the_same(monkeypatch):
    found = []
    for name in ("compiled", "numpy"):
        monkeypatch.setenv("ADMMIRNN_BACKEND", name)
        found.append(fitted(dtype="float64", bidirectional=True))
    for one, other in zip(*(weights_of(model).values() for model in found), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-8)


def test_without_it_nothing_is_drawn_or_multiplied():
    generators = [np.random.RandomState(0), np.random.RandomState(0)]
    one, other = (
        RNNClassifier(4, max_epochs=2, random_state=generator, **settings).fit(*data())
        for generator, settings in zip(generators, ({}, {"dropout": 0.0}), strict=True)
    )
    assert same_weights(one, other) and generators[0].randint(1 << 30) == generators[1].randint(1 << 30)
    fit = fit_of(dropout=0.0)
    assert fit.dropout is None and fit.works[0][0].room.mask is None and fit.works[0][0].room.H is None


def test_predictions_and_validation_see_all_units(tmp_path):
    X, y = data()
    model = RNNClassifier((8, 6), dropout=0.5, max_epochs=3, random_state=0).fit(X, y, validation_data=(X, y))
    probabilities = model.predict_proba(X)
    np.testing.assert_array_equal(model.predict_proba(X), probabilities)
    record = model.history_[-1]
    assert record["validation_loss"] == pytest.approx(log_loss(y, probabilities), rel=1e-5)
    assert record["validation_accuracy"] == model.score(X, y)
    model.save(tmp_path / "model.safetensors")
    again = RNNClassifier.load(tmp_path / "model.safetensors")
    assert again.dropout == 0.5
    np.testing.assert_array_equal(again.predict_proba(X), probabilities)
    without = clone(model).set_params(dropout=0.0)
    without.__dict__.update({name: value for name, value in vars(model).items() if name != "dropout"})
    np.testing.assert_array_equal(without.predict_proba(X), probabilities)


def test_older_fits_had_none():
    model = fitted()
    state = model.__getstate__()
    del state["dropout"]
    older = RNNClassifier.__new__(RNNClassifier)
    older.__setstate__(state)
    assert older.dropout == 0


@pytest.mark.parametrize("readout", ["last", "mean", "max"])
def test_it_can_be_learnt_with(readout):
    model = fitted(hidden_size=(16, 16), dropout=0.1, readout=readout, max_epochs=20)
    assert model.score(*data()) > 0.9


def test_a_text_and_streams_are_learnt_with_it():
    model = CharacterModel(24, dropout=0.1, max_epochs=10, random_state=0).fit(TEXT)
    assert model.generate("to be or n", 8, temperature=0) == "ot to be"
    X, _ = data(4, 200)
    model = RNNRegressor(8, dropout=0.2, stateful=True, max_epochs=3, random_state=0).fit(X, X.cumsum(axis=1))
    assert np.isfinite(model.predict(X)).all()


# Of a fit


def fit_of(dropout=0.4, **settings):
    network = ElmanRNN.random(3, 5, 2, dtype=np.float64, random_state=np.random.RandomState(0))
    network.Psi[:] = np.random.RandomState(1).normal(size=network.Psi.shape)
    X, y = data(20)
    sequences = Sequences.of_lengths(X.reshape(-1, 3), np.full(len(X), X.shape[1]))
    order = Shuffled(network, sequences, 20, False, np.random.RandomState(0))
    return Fit(Rollout(**settings), Problem(network, order, y, SoftmaxCrossEntropy(), dropout=dropout))


def test_masks_are_zero_or_one_over_the_rest_and_new_for_each_minibatch():
    fit = fit_of()
    masks = []
    for _ in range(50):
        fit.take(np.arange(20))
        masks.append(fit.works[0][0].room.mask.copy())
    masks = np.array(masks)
    assert set(np.unique(masks)) == {0, 1 / 0.6}
    assert masks.mean() == pytest.approx(1, abs=0.05)
    assert (masks.std(axis=0) > 0).all() and (masks.std(axis=1) > 0).any() and (masks.std(axis=2) > 0).any()


def test_the_last_update_is_judged_by_the_network_that_there_will_be():
    fit = fit_of()
    fit.take(np.arange(20))
    fit.sweep_forward()
    masked = fit.batch_loss
    fit.check_last_update()
    X, y = data(20)
    outputs = fit.network.outputs(fit.sequences)
    expected = np.mean(np.logaddexp.reduce(outputs, axis=1) - outputs[np.arange(20), y])
    assert fit.batch_loss == pytest.approx(expected, rel=1e-12) and abs(masked - expected) > 1e-3


def test_calls_on_line_with_one_seed_go_on_drawing():
    X, y = data()
    drawn = []

    class Watched(Dropout):
        def draw(self, n_sequences):
            super().draw(n_sequences)
            drawn.append([mask.copy() for mask in self._masks])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("admmirnn.solvers.rollout.iteration.Dropout", Watched)
        model = RNNClassifier(8, dropout=0.5, random_state=0)
        for _ in range(3):
            model.partial_fit(X, y, classes=[0, 1])
            model = pickle.loads(pickle.dumps(model))
    (first,), (second,), (third,) = drawn
    assert (first != second).any() and (second != third).any() and (first != third).any()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"mask": np.ones((20, 4))}, r"work: mask has the shape \(20, 4\); it must be \(any, 5\)"),
        ({"mask": np.ones(100)}, r"work: mask has the shape \(100,\); it must be \(any, 5\)"),
        ({"mask": np.ones((20, 5), np.float32)}, "work: mask has numbers of the type 'f'.*must be float64"),
        ({"H": None}, "work: H is None"),
        ({"mask": np.ones((19, 5))}, r"forward: mask has the shape \(19, 5\); it must be \(at least 20, 5\)"),
        ({"H": np.ones((19, 5))}, r"forward: H has the shape \(19, 5\); it must be \(at least 20, 5\)"),
    ],
)
def test_kernels_refuse_masks_that_are_not_those_of_the_minibatch(arrays, message, monkeypatch):
    monkeypatch.setenv("ADMMIRNN_BACKEND", "compiled")
    fit = fit_of()
    fit.take(np.arange(20))
    (work,) = fit.works[0]
    for name, array in arrays.items():
        setattr(work.room, name, array)
    with pytest.raises(ValueError, match=message):
        fit.kernels.forward(fit.kernels.work(work.room), work.kernel_batch)
