"""Training sequences that are changed each time they are read."""

import pickle
import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone

from admmirnn import Algorithm1, CharacterModel, RNNClassifier, RNNRegressor, Rollout
from admmirnn.data.augmenting import Augmentation
from admmirnn.data.sequences import Sequences
from admmirnn.data.standardising import Moments, moments
from admmirnn.losses import SoftmaxCrossEntropy
from admmirnn.networks import new_network
from admmirnn.networks.cells import cell_named

QUICK = {"hidden_size": 6, "max_epochs": 3, "random_state": 0}
ALL = {"noise": 0.1, "scale": 0.2, "shift": 0.3}


def data(n=24, dtype=np.float64):
    rng = np.random.default_rng(0)
    X = [(100 * rng.normal(size=(length, 3)) + 500).astype(dtype) for length in rng.integers(4, 12, n)]
    return X, np.arange(n) % 2


def sequences_of(X, **settings):
    return replace(Sequences.of_lengths(np.concatenate(X), [len(x) for x in X]), **settings)


def augmentation(X, **changes):
    return Augmentation.of(changes, moments([np.concatenate(X).astype(float)]))


def of_elman():
    random_state = np.random.RandomState(0)
    return new_network(3, (4,), 2, cell=cell_named("elman"), dtype=np.dtype("f4"), random_state=random_state)


def same_weights(model, other):
    networks = model._networks(), other._networks()
    return all(
        (one.weights[name] == two.weights[name]).all()
        for one, two in zip(*networks, strict=True)
        for name in one.weights
    )


def read_by(batch):
    """What the steps of each sequence read, in the order of the minibatch."""
    rows = [first + batch.stride * np.arange(n) for first, n in zip(batch.first_rows, batch.lengths, strict=True)]
    return [np.concatenate([batch.observations[k : k + batch.frame] for k in of_one]) for of_one in rows]


@pytest.mark.parametrize("dtype", ["f4", "f8", "u1", "i2"])
def test_noise_and_scale_have_the_deviations_they_should(dtype):
    rng = np.random.default_rng(1)
    X = [(10 * rng.normal(size=(50, 2)) + 100).astype(dtype) for _ in range(400)]
    given = [x.copy() for x in X]
    of_all, sequences = moments([np.concatenate(X).astype(float)]), sequences_of(X)
    batch = augmentation(X, noise=0.3).minibatch(sequences, np.arange(400), 0)
    assert batch.observations.dtype == (np.float64 if dtype == "f8" else np.float32)
    differences = np.concatenate(read_by(batch)) - np.concatenate([X[i].astype(float) for i in batch.indices])
    np.testing.assert_allclose(differences.std(axis=0), 0.3 * of_all.deviation, rtol=0.02)
    np.testing.assert_allclose(differences.mean(axis=0), 0, atol=0.1)
    batch = augmentation(X, scale=0.2).minibatch(sequences, np.arange(400), 0)
    pairs = zip(read_by(batch), batch.indices, strict=True)
    factors = np.array([np.median((x - of_all.mean) / (X[i] - of_all.mean), axis=0) for x, i in pairs])
    np.testing.assert_allclose(np.log(factors).std(axis=0), 0.2, rtol=0.1)
    assert abs(np.corrcoef(factors.T)[0, 1]) < 0.2
    assert all((x == y).all() for x, y in zip(X, given, strict=True)), "the data have been changed"


@pytest.mark.parametrize("frame", [(1, 1), (3, 2), (2, 3)])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_shift_leaves_steps_out_at_one_end(frame, backwards):
    X, _ = data(200)
    sequences = sequences_of(X).framed(*frame)
    sequences = sequences.reversed() if backwards else sequences
    whole = dict(enumerate(read_by(sequences.minibatch(np.arange(200)))))
    order = sequences.minibatch(np.arange(200)).indices
    whole = {i: whole[k] for k, i in enumerate(order)}
    batch = augmentation(X, shift=0.3).minibatch(sequences, np.arange(200), 0)
    assert (np.diff(batch.lengths) <= 0).all() and sorted(batch.indices) == list(range(200))
    beginnings = ends = 0
    for i, x, n in zip(batch.indices, read_by(batch), batch.lengths, strict=True):
        before = sequences.lengths[i]
        assert 1 <= n and before - n <= np.ceil(0.3 * before)
        if n < before:
            beginnings += np.array_equal(x, whole[i][-len(x) :])
            ends += np.array_equal(x, whole[i][: len(x)])
            assert np.array_equal(x, whole[i][-len(x) :]) or np.array_equal(x, whole[i][: len(x)])
    assert beginnings > 20 and ends > 20
    single = sequences_of([np.zeros((1, 3))] * 5)
    assert (augmentation(X, shift=0.9).minibatch(single, np.arange(5), 0).lengths == 1).all()


@pytest.mark.parametrize("frame", [(1, 1), (3, 2), (2, 3)])
@pytest.mark.parametrize("backwards", [False, True])
def test_without_a_deviation_all_stays_as_it_is(frame, backwards):
    """So what a minibatch reads is where the copy has it."""
    X, _ = data(30)
    sequences = sequences_of(X).framed(*frame)
    sequences = sequences.reversed() if backwards else sequences
    none = Augmentation.of(ALL | {"shift": 0.0}, Moments(*np.zeros((4, 3))))
    indices = np.array([4, 2, 9, 17])
    changed, batch = none.minibatch(sequences, indices, 0), sequences.minibatch(indices)
    np.testing.assert_array_equal(changed.inputs(), batch.inputs())
    assert len(changed.observations) < len(batch.observations)


SETTINGS = [
    {},
    {"frame": (2, 1)},
    {"bidirectional": True, "readout": "mean"},
    {"hidden_size": (5, 4), "cell": "gru", "dropout": 0.2},
    {"n_networks": 2, "n_threads": 2},
    {"dtype": "float64", "standardize": False, "scale": 0.01},
    {"early_stopping": True, "validation_fraction": 0.25},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_fits_are_reproducible_and_differ_from_those_without(settings):
    X, y = data()
    ways = ALL, ALL, None, {"noise": 0}
    models = [RNNClassifier(**QUICK | settings, augment=augment).fit(X, y) for augment in ways]
    assert same_weights(models[0], models[1])
    assert not same_weights(models[0], models[2])
    assert same_weights(models[2], models[3])
    np.testing.assert_array_equal(models[0].predict_proba(X), models[0].predict_proba(X))


def test_each_change_does_something_and_predictions_read_sequences_as_they_are():
    X, y = data()
    models = [RNNClassifier(**QUICK, augment={name: 0.3}).fit(X, y) for name in ALL]
    assert not any(same_weights(one, two) for one, two in zip(models, models[1:], strict=False))
    without = pickle.loads(pickle.dumps(models[0])).set_params(augment=None)
    np.testing.assert_array_equal(without.predict_proba(X), models[0].predict_proba(X))
    assert clone(models[0]).augment == {"noise": 0.3}


def test_targets_of_steps_and_a_regressor_take_noise_and_scale():
    X, _ = data()
    y = [x[:, 0] for x in X]
    models = [RNNRegressor(**QUICK, augment=augment).fit(X, y) for augment in ({"noise": 0.2, "scale": 0.1}, None)]
    assert not same_weights(*models)
    with pytest.raises(ValueError, match="augment has a 'shift', which leaves steps out, and y has a target for each"):
        RNNRegressor(**QUICK, augment={"shift": 0.2}).fit(X, y)


def test_constant_features_and_those_that_say_what_is_missing_stay_as_they_are():
    X, y = data()
    X = [np.column_stack([x, np.full(len(x), 7.0)]) for x in X]
    X[0][1, 0] = np.nan
    seen = []

    class Looking(Rollout):
        def solve(self, network, sequences, *others, augmentation, **keywords):
            seen.append(augmentation.minibatch(sequences, np.arange(len(sequences)), 0).observations)
            return super().solve(network, sequences, *others, augmentation=augmentation, **keywords)

    RNNClassifier(**QUICK, solver=Looking(), missing="indicator", augment={"noise": 0.5, "scale": 0.5}).fit(X, y)
    assert (seen[0][:, 3] == 7).all()
    assert set(seen[0][:, 4:].ravel()) == {0.0, 1.0}
    assert seen[0][:, 0].std() > 50


def test_a_memory_mapped_file(tmp_path):
    X = np.random.default_rng(0).integers(0, 256, (20, 6, 3), dtype=np.uint8)
    y = np.arange(20) % 2
    np.save(tmp_path / "X.npy", X)
    models = [RNNClassifier(**QUICK, augment=ALL).fit(of, y) for of in (X, np.load(tmp_path / "X.npy", mmap_mode="r"))]
    assert same_weights(*models)


def test_a_fit_goes_on_from_a_checkpoint(tmp_path):
    X, y = data()
    whole = RNNClassifier(**QUICK | {"max_epochs": 5}, augment=ALL).fit(X, y)

    def stop(state):
        return state.record["epoch"] == 2

    cut = RNNClassifier(**QUICK | {"max_epochs": 5}, augment=ALL, checkpoint=str(tmp_path / "c"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cut.set_params(callbacks=[stop]).fit(X, y)
    cut.set_params(callbacks=None).fit(X, y, resume=True)
    assert same_weights(cut, whole)


@pytest.mark.parametrize(
    "error, augment, message",
    [
        (TypeError, 0.1, "augment is 0.1; pass a dict with any of the keys 'noise', 'scale', 'shift'"),
        (TypeError, "noise", "augment is 'noise'; pass a dict"),
        (ValueError, {"noises": 0.1}, "a key of augment is 'noises'; the known ones are 'noise', 'scale', 'shift'"),
        (ValueError, {"noise": -0.1}, "augment['noise'] is -0.1; it must be"),
        (ValueError, {"shift": 1.0}, "augment['shift'] is 1.0; it must be"),
        (ValueError, {"scale": np.nan}, "augment['scale'] is nan; it must be"),
        (TypeError, {"noise": "much"}, "augment['noise'] is 'much' of type str"),
    ],
)
def test_what_augment_may_not_be(error, augment, message):
    with pytest.raises(error, match=re.escape(message)):
        RNNClassifier(**QUICK, augment=augment).fit(*data())


def test_what_does_not_go_together_is_told():
    X, y = data()
    with pytest.raises(ValueError, match="augment is .* Algorithm1 reads sequences as they are; pass None"):
        RNNClassifier(**QUICK, augment=ALL, solver=Algorithm1()).fit(X, y)
    with pytest.raises(ValueError, match="augment is .* of whole sequences, and stateful is True; pass augment=None"):
        RNNClassifier(**QUICK, augment={"noise": 0.1}, stateful=True).fit(X, [[0] * len(x) for x in X])
    with pytest.raises(ValueError, match="augment is .* which partial_fit does not know; pass None, or call fit"):
        RNNClassifier(**QUICK, augment=ALL).partial_fit(X, y, classes=[0, 1])
    assert "augment" not in CharacterModel().get_params()
    sequences, network = sequences_of(X), of_elman()
    of = {"loss": SoftmaxCrossEntropy(), "augmentation": augmentation(X, **ALL)}
    with pytest.raises(ValueError, match="only whole sequences of numbers can be changed; pass None for streams"):
        Rollout().solve(network, sequences.in_chunks(2), np.zeros(sequences.lengths.sum(), np.intp), **of)
    with pytest.raises(
        ValueError, match="augment has a shift, which leaves steps out, and there are targets for steps"
    ):
        Rollout().solve(network, sequences, np.zeros(sequences.lengths.sum(), np.intp), **of)


def test_models_of_versions_that_had_none():
    model = RNNClassifier(**QUICK).fit(*data())
    state = model.__getstate__()
    del state["augment"]
    older = RNNClassifier.__new__(RNNClassifier)
    older.__setstate__(state)
    assert older.augment is None
