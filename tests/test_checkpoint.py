"""Checkpoints: a fit that goes on from one ends as it would have ended, to the last bit, whenever it was stopped."""

import copy
import errno
import json
import os
import re
import subprocess
import sys
import time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import clone

from admmirnn import Algorithm1, CharacterModel, RNNClassifier, RNNRegressor, Rollout, Status, validation
from admmirnn.files import format as files
from admmirnn.files.format import ModelFileError, Values, read_file, write_file
from admmirnn.penalties import Box, Lasso
from admmirnn.solvers.rollout.order import minibatches

pytestmark = pytest.mark.elman

pytest.importorskip("safetensors")


class Stopped(Exception):
    """What ends a process here, as far as a fit can tell."""


def stop_in(epoch):
    def callback(state):
        if state.record["epoch"] == epoch:
            raise Stopped

    return callback


def waves(n=150, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    t = np.arange(14)
    X = np.sin((0.4 + 0.2 * y[:, None]) * t + rng.uniform(0, 6, n)[:, None])[:, :, None]
    return X + 0.2 * rng.normal(size=X.shape), y


def values(n=100):
    X = np.random.default_rng(0).normal(size=(n, 14, 2))
    return X, X.cumsum(axis=1)


def unequal(n=60):
    """Sequences of unequal lengths, with a label for each step."""
    X, y = waves(n)
    lengths = np.random.default_rng(0).integers(1, 15, n)
    return [x[:length] for x, length in zip(X, lengths, strict=True)], [
        np.full(length, label) for length, label in zip(lengths, y, strict=True)
    ]


def rising(iteration):
    """A penalty."""
    return 0.5 + 0.1 * iteration


def weights_of(model):
    names = [name for name in vars(model) if name.endswith("_") and isinstance(getattr(model, name), np.ndarray)]
    return {name: getattr(model, name) for name in names}


CASES = {
    "classifier": (RNNClassifier(12, max_epochs=7), waves()),
    "float64, threads": (RNNClassifier(12, max_epochs=7, dtype="float64", n_threads=2), waves()),
    "regressor": (RNNRegressor(12, max_epochs=7, s_0="learn", readout="last"), values()),
    "bidirectional": (RNNClassifier(12, max_epochs=7, bidirectional=True, readout="mean"), waves()),
    "penalties": (RNNClassifier(12, max_epochs=7, penalties={"W": Lasso(1e-3)}), waves()),
    "early stopping": (RNNClassifier(12, max_epochs=30, early_stopping=True, patience=2), waves(60)),
    "stateful": (RNNRegressor(12, max_epochs=7, stateful=True, batch_size=3, chunk_size=5), values(8)),
    "rollbacks": (RNNClassifier(12, max_epochs=7, solver=Rollout(radius=2.0, output_radius=20.0, r=0)), waves()),
    "within an epoch": (RNNClassifier(12, solver=Rollout(max_iter=33), batch_size=20), waves()),
    "algorithm1": (RNNClassifier(12, max_epochs=7, solver="algorithm1"), waves()),
    "algorithm1, batches": (
        RNNClassifier(8, max_epochs=7, batch_size=11, solver=Algorithm1(r="lipschitz", s_coupling=True, keep="last")),
        unequal(),
    ),
    "algorithm1, numbers": (
        RNNRegressor(8, max_epochs=7, batch_size=4, penalty=0.1, solver=Algorithm1(rho1=rising, omega="lasso")),
        values(9),
    ),
    "dropout": (RNNClassifier((8, 6), max_epochs=7, bidirectional=True, dropout=0.3, readout="max"), waves()),
    "dropout, stateful": (RNNRegressor(12, max_epochs=7, stateful=True, batch_size=3, dropout=0.3), values(8)),
    "dropout, text": (CharacterModel(12, max_epochs=7, dropout=0.3), (300 * "to be or not to be, ",)),
    "text": (CharacterModel(12, max_epochs=7), (300 * "to be or not to be, ",)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_resumed_fit_ends_bit_identical(case, tmp_path):
    model, data = CASES[case]
    model = clone(model).set_params(random_state=0)
    whole = clone(model).fit(*data)
    for epoch in (1, 2, 4):
        path = tmp_path / f"checkpoint {epoch}"
        model.set_params(checkpoint=path, callbacks=[stop_in(epoch)])
        with pytest.raises(Stopped):
            model.fit(*data)
        resumed = clone(model).set_params(callbacks=None).fit(*data, resume=True)
        for name, values in weights_of(whole).items():
            np.testing.assert_array_equal(getattr(resumed, name), values)
        assert resumed.status_ is whole.status_ and resumed.n_iter_ == whole.n_iter_
        for record, other in zip(resumed.history_, whole.history_, strict=True):
            assert record | {"seconds": 0} == other | {"seconds": 0}
        if case == "early stopping":
            assert resumed.best_epoch_ == whole.best_epoch_ and resumed.status_ is Status.NO_PROGRESS


@pytest.mark.parametrize("solver", ["rollout", "algorithm1"])
def test_random_state_none_goes_on_with_the_same_draws(solver, tmp_path):
    X, y = waves()
    model = RNNClassifier(12, max_epochs=6, solver=solver, batch_size=20, checkpoint=tmp_path / "c")
    np.random.seed(3)  # noqa: NPY002 -- what random_state=None draws from
    whole = clone(model).fit(X, y)
    np.random.seed(3)  # noqa: NPY002 -- what random_state=None draws from
    with pytest.raises(Stopped):
        clone(model).set_params(callbacks=[stop_in(4)]).fit(X, y)
    np.testing.assert_array_equal(model.fit(X, y, resume=True).W_, whole.W_)


@pytest.mark.parametrize("case", ["passed", "ends of streams", "ends of a text"])
def test_random_state_none_where_validation_data_are_not_drawn(case, tmp_path):
    X, y = waves()
    options = {"max_epochs": 3, "early_stopping": True, "checkpoint": tmp_path / "c"}
    model, data, others = {
        "passed": (RNNClassifier(12, **options), (X, y), {"validation_data": (X, y)}),
        "ends of streams": (RNNRegressor(12, stateful=True, **options), values(8), {}),
        "ends of a text": (CharacterModel(12, **options), (30 * "to be or not to be, ",), {}),
    }[case]
    whole = model.fit(*data, **others).W_
    np.testing.assert_array_equal(clone(model).fit(*data, **others, resume=True).W_, whole)


def test_a_finished_fit_is_read_back(tmp_path):
    X, y = waves()
    model = RNNClassifier(12, max_epochs=3, random_state=0, checkpoint=tmp_path / "c").fit(X, y)
    again = clone(model).fit(X, y, resume=True)
    np.testing.assert_array_equal(again.W_, model.W_)
    assert again.history_ == model.history_  # seconds as well: nothing was trained


def test_without_a_file_the_fit_starts_anew(tmp_path):
    X, y = waves()
    model = RNNClassifier(12, max_epochs=3, random_state=0, checkpoint=tmp_path / "c", checkpoint_every=2)
    model.fit(X, y, resume=True)
    assert model.n_iter_ == 3
    np.testing.assert_array_equal(model.W_, clone(model).set_params(checkpoint=None).fit(X, y).W_)


def test_checkpoint_every(tmp_path):
    X, y = waves()
    path, written = tmp_path / "c", []
    look = lambda state: written.append(os.stat(path).st_mtime_ns if path.exists() else None)  # noqa: E731
    RNNClassifier(12, max_epochs=7, random_state=0, checkpoint=path, checkpoint_every=3, callbacks=[look]).fit(X, y)
    assert written[:3] == [None] * 3
    assert written[3] == written[4] == written[5] != written[6]


def test_what_is_no_checkpoint_of_this_fit_is_refused(tmp_path):
    X, y = waves()
    path = tmp_path / "c"
    model = RNNClassifier(12, max_epochs=2, random_state=0, checkpoint=path).fit(X, y)
    for setting, value in (("max_epochs", 5), ("hidden_size", 13), ("solver", Rollout(rho=2.0)), ("random_state", 1)):
        with pytest.raises(ValueError, match=f"the checkpoint of a fit with {setting}="):
            clone(model).set_params(**{setting: value}).fit(X, y, resume=True)
    with pytest.raises(ValueError, match="the checkpoint of a fit to other data"):
        clone(model).fit(X + 1, y, resume=True)
    with pytest.raises(ValueError, match="the checkpoint of a fit to other data"):
        clone(model).fit(X, (y + 1) % 3, resume=True)
    with pytest.raises(ValueError, match="resume is True, and checkpoint is None"):
        clone(model).set_params(checkpoint=None).fit(X, y, resume=True)
    with pytest.raises(TypeError, match="resume is 1"):
        clone(model).fit(X, y, resume=1)
    with pytest.raises(ValueError, match="SimpleNamespace cannot go on from one"):
        solver = SimpleNamespace(capabilities=frozenset(), check_settings=int, iterations_per_epoch=int, solve=int)
        clone(model).set_params(solver=solver).fit(X, y)
    with pytest.raises(ValueError, match="random_state is None, with which the validation data"):
        clone(model).set_params(random_state=None, early_stopping=True).fit(X, y)
    content = path.read_bytes()
    for damaged in (b"", content[:100], content[:-1], bytes([content[200] ^ 1]) + content[1:], b"x" * 500):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="model file|damaged|header|incomplete"):
            clone(model).fit(X, y, resume=True)
    model.save(path)
    with pytest.raises(ValueError, match="not a checkpoint"):
        clone(model).fit(X, y, resume=True)
    assert clone(model).fit(X, y).n_iter_ == 2  # which writes over it


def test_what_else_the_fit_was_told_has_to_be_the_same(tmp_path):
    (X, y), path = waves(40), tmp_path / "checkpoint"
    model = RNNClassifier(8, max_epochs=2, random_state=0, checkpoint=path)
    weights = np.linspace(1, 2, 40)
    model.fit(X, y, weights, validation_data=(X, y))
    model.fit(X, y, weights, validation_data=(X, y), resume=True)
    for others in ({"validation_data": (X, y)}, {"sample_weight": weights, "validation_data": (X, y[::-1])}):
        with pytest.raises(ValueError, match="other data"):
            model.fit(X, y, resume=True, **others)


class Slotted:
    __slots__ = ("weight",)

    def __init__(self, weight=1.0):
        self.weight = weight

    def prox(self, x, tau):
        return 0.99 * x


class Huge:
    def __init__(self):
        self.limit = 10**5000

    def prox(self, x, tau):
        return 0.99 * x


class Cyclic:
    def __init__(self):
        self.itself, self.function = [self], np.abs

    def prox(self, x, tau):
        return 0.99 * x


@pytest.mark.parametrize(
    ("settings", "label"),
    [
        ({"ignore_label": np.nan}, np.float64),
        ({"ignore_label": b"2"}, "S1"),
        ({"penalties": {"W": Slotted()}}, int),
        ({"penalties": {"W": Cyclic()}}, int),
        ({"penalties": {"W": Huge()}}, int),
        ({"penalties": {"W": Box(-np.inf, 0.5)}}, int),
        ({"init": {"b": np.zeros(8).tolist(), "c": np.zeros(3, object)}}, int),
    ],
)
def test_settings_of_any_kind_are_known_again(settings, label, tmp_path):
    X, y = waves(40)
    Y = np.repeat(y[:, None], X.shape[1], axis=1).astype(label)
    model = RNNClassifier(8, max_epochs=2, random_state=0, checkpoint=tmp_path / "checkpoint", **settings)
    whole = model.fit(X, Y).W_
    np.testing.assert_array_equal(clone(model).fit(X, Y, resume=True).W_, whole)


@pytest.mark.filterwarnings("ignore:X has .* sequences of a single step")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("activation", "n_steps", "radius", "scale", "seed"),
    [
        ("tanh", 1, 1e38, 1e-10, 1),
        ("sigmoid", 3, 1e30, 1e-10, 1),
        ("relu", 3, 1e30, 1e-10, 1),
        ("tanh", 1, 1e36, 1e-8, 9),  # a window of the guard has infinite weights, and a low loss
    ],
)
def test_a_fit_whose_weights_overflow_goes_on(activation, n_steps, radius, scale, seed, tmp_path):
    rng = np.random.default_rng(seed)
    X, y = scale * (1 + rng.random((60, n_steps, 1))), rng.integers(0, 2, 60)
    solver = Rollout(radius=radius, r=0, multiplier_cap=None, damping=0)
    settings = {"activation": activation, "solver": solver, "penalty": 0.0, "max_epochs": 4, "random_state": 0}
    whole = RNNClassifier(4, **settings).fit(X, y)
    assert all(np.isfinite(weights).all() for weights in weights_of(whole).values())
    for epoch in (2, 3, 4):
        model = RNNClassifier(4, checkpoint=tmp_path / f"{epoch}", callbacks=[stop_in(epoch)], **settings)
        with pytest.raises(Stopped):
            model.fit(X, y)
        resumed = model.set_params(callbacks=None).fit(X, y, resume=True)
        for name, weights in weights_of(whole).items():
            np.testing.assert_array_equal(getattr(resumed, name), weights)


@pytest.mark.parametrize("radius", [10**17, np.longdouble(0.02), Fraction(1, 50)], ids=repr)
def test_a_radius_may_be_any_number(radius, tmp_path):
    X, y = waves(40)
    solver = Rollout(radius=radius, output_radius=radius)
    model = RNNClassifier(8, solver=solver, max_epochs=3, random_state=0, checkpoint=tmp_path / "c")
    with pytest.raises(Stopped):
        model.set_params(callbacks=[stop_in(2)]).fit(X, y)
    whole = clone(model).set_params(callbacks=None, checkpoint=None).fit(X, y)
    np.testing.assert_array_equal(model.set_params(callbacks=None).fit(X, y, resume=True).W_, whole.W_)


def nothing(state):
    return state.clear()


def test_a_resumed_fit_has_as_many_iterations_as_a_whole_one(tmp_path):
    X, y = waves(40)
    model = RNNClassifier(8, max_epochs=4, random_state=0, checkpoint=tmp_path / "c", callbacks=[stop_in(3)])
    with pytest.raises(Stopped):
        model.fit(X, y)
    whole = clone(model).set_params(callbacks=None, checkpoint=None).fit(X, y)
    resumed = model.set_params(callbacks=None).fit(X, y, resume=True)
    assert resumed._memory.online == whole._memory.online


def test_a_checkpoint_from_before_the_matrix_penalty_is_refused_in_words(tmp_path):
    X, y = waves(40)
    path = tmp_path / "c"
    model = RNNClassifier(8, max_epochs=3, random_state=0, checkpoint=path, callbacks=[stop_in(2)])
    with pytest.raises(Stopped):
        model.fit(X, y)

    def as_it_was(state):
        state["memory"].pop("online")
        state["memory"].pop("guard")
        for layer in state["memory"]["layers"]:
            layer.pop("R")

    rewritten(path, "solver", as_it_was)
    with pytest.raises(ValueError, match="no matrix penalty.*resume=False"):
        model.set_params(callbacks=None).fit(X, y, resume=True)


HOSTILE = {
    "classifier": [
        ("solver", nothing),
        ("solver.memory", lambda memory: memory.update(n_remembered=-1)),
        ("solver.memory.n_remembered", lambda memory: memory.update(n_remembered=np.timedelta64(3, "s"))),
        ("solver.memory.states", lambda memory: memory.update(states=np.zeros((2, 12), np.float32))),
        ("solver.memory.layers[1]", lambda memory: memory["layers"][1].update(radius=np.nan)),
        ("solver.memory.layers[0].G", lambda memory: memory["layers"][0].update(G=np.zeros((12, 12), np.float32))),
        ("solver.memory.layers[0].outcome", lambda memory: memory["layers"][0].update(outcome=(1.0, 2.0, 3.0))),
        ("solver.weights[1]", lambda state: state["weights"][1].fill(np.nan)),
        ("solver.weights[0]", lambda state: state["weights"].__setitem__(0, np.zeros((12, 14)))),
        ("solver.guard.good[1]", lambda guard: guard["good"][1].fill(np.inf)),
        ("solver.guard.rollbacks_in_a_row", lambda guard: guard.update(rollbacks_in_a_row=10**300)),
        ("solver.guard._n_seen", lambda guard: guard.update(_n_seen=np.int8(127))),
        ("solver.guard._best", lambda guard: guard.update(_best=np.timedelta64(3, "D"))),
        ("solver.guard._best", lambda guard: guard.update(_best=np.nan)),
        ("solver.guard._loss_sum", lambda guard: guard.update(_loss_sum=np.nan)),
        ("solver.guard._previous", lambda guard: guard.update(_previous=(0.5, 0))),
        ("solver.guard._previous", lambda guard: guard.update(_previous=(np.nan, 1))),
        ("solver.guard._square_sum", lambda guard: guard.update(_square_sum=-1.0)),
        ("solver.guard.safest[0]", lambda guard: guard["safest"][0].fill(np.nan)),
        ("solver.guard._variance", lambda guard: guard.update(_variance=-1.0)),
        ("solver.guard._any_finite", lambda guard: guard.update(_any_finite=1)),
        ("solver.order.order", lambda order: order["order"].fill(0)),
        ("solver.order.order", lambda order: order.update(order=order["order"] - 1)),
        ("solver.order.order", lambda order: order.update(order=order["order"][1:])),
        ("solver.order.random_state", lambda order: order.update(random_state=None)),
    ],
    "early stopping": [
        ("early_stopping", nothing),
        ("early_stopping.best_loss", lambda state: state.update(best_loss=np.nan)),
        ("early_stopping.goal", lambda state: state.update(goal=np.nan)),
        ("early_stopping.best_epoch", lambda state: state.update(best_epoch=0)),
        ("early_stopping.best", lambda state: state["best"][0].fill(np.nan)),
    ],
    "stateful": [
        ("solver.order.recent", lambda order: order.update(recent=3)),
        ("solver.order.recent[0]", lambda order: order["recent"][0].append(None)),
        ("solver.order.recent[0]", lambda order: order["recent"][0].__setitem__(1, order["recent"][0][1][1:])),
        ("solver.order.recent[0]", lambda order: order["recent"][0][0].fill(0)),
        ("solver.order.recent[1]", lambda order: order["recent"][1][0].fill(1 << 40)),
        ("solver.order.states", lambda order: order.update(states=order["states"][:1])),
    ],
    "penalties": [
        ("solver.memory.splitting.names[0]", lambda memory: memory["splitting"].update(names=["U"])),
        (
            "solver.memory.splitting.excess[0]",
            lambda memory: memory["splitting"].update(excess=[np.full((12, 12), np.nan, np.float32)]),
        ),
    ],
    "regressor": [("solver.memory.M_0", lambda memory: memory.update(M_0=None))],
    "algorithm1": [
        ("solver.order", nothing),
        ("solver.order", lambda state: state["order"].fill(1)),
        ("solver.blocks[1]", lambda state: state["blocks"].__setitem__(1, state["blocks"][1][1:])),
        ("solver.weights[0]", lambda state: state["weights"][0].fill(np.nan)),
        ("solver.best.loss", lambda state: state["best"].update(loss=np.nan)),
        ("solver.best.weights[0]", lambda state: state["best"]["weights"][0].fill(np.nan)),
        ("solver.largest_allowed.a", lambda state: state["largest_allowed"].update(a=-1.0)),
    ],
}


def rewritten(path, name, change):
    """Change a part of the state in a checkpoint, which gets the right checksum."""
    arrays, header = read_file(path, "checkpoint")
    values = Values(arrays)
    parts = {part: values.unpack(header[part]) for part in ("history", "solver", "early_stopping")}
    first, *others = name.split(".")
    node = parts[first]
    if others and others[0] in ("memory", "guard", "order") and isinstance(node[others[0]], dict):
        node = node[others[0]]
    change(node)
    values = Values()
    packed = {part: values.pack(value, part) for part, value in parts.items()}
    write_file(path, "checkpoint", values.arrays, {"fit": header["fit"]} | packed)


@pytest.mark.parametrize(
    ("form", "found"),
    [
        ({"a": 0}, None),
        ((0.0, 0.0), [0.0, 0.0]),
        ([0.0], (0.0,)),
        ([0.0], 0.0),
        (0.0, True),
        (0.0, (1 << 53) + 1),
        (0.0, np.float64(1.0)),
        (0.0, "1"),
        (0, True),
        (0, 1.0),
        (validation.number(1), 0.5),
        (validation.number(), np.nan),
        (np.zeros(2), [0.0, 0.0]),
        (validation.different(3, 3, 3), np.arange(3)[:, None]),
        (validation.different(3, 3, 3), np.arange(3, dtype=np.uint8)),
        (validation.different(3, 3, 3), np.arange(3.0)),
        (validation.different(3, 1, 2), np.arange(3)),
        (validation.different(3, 1, 2), np.arange(0)),
        (minibatches(3, 2, 1, np.zeros((1, 2))), 2 * [[np.arange(1), np.zeros((1, 2))]]),
        (minibatches(3, 2, 1, np.zeros((1, 2))), [np.arange(2)]),
        (minibatches(3, 2, 1, np.zeros((1, 2))), [[np.arange(3), np.zeros((3, 2))]]),
        (minibatches(3, 2, 1, np.zeros((1, 2))), [[np.arange(0), np.zeros((0, 2))]]),
        (validation.one_of(None, 0.0), False),
    ],
)
def test_what_has_another_form_is_refused(form, found):
    with pytest.raises(ValueError, match="the checkpoint has .* for part"):
        validation.check_state("part", found, form)


@pytest.mark.parametrize("case", HOSTILE)
def test_states_that_no_fit_has_are_refused_before_training(case, tmp_path):
    model, data = CASES[case]
    path = tmp_path / "c"
    model = clone(model).set_params(random_state=0, checkpoint=path, callbacks=[stop_in(3)])
    with pytest.raises(Stopped):
        model.fit(*data)
    whole, epochs = path.read_bytes(), []
    model.set_params(callbacks=[epochs.append])
    for name, change in HOSTILE[case]:
        path.write_bytes(whole)
        rewritten(path, name, change)
        model = clone(model)
        with pytest.raises(ValueError, match=f"the checkpoint has .* for {re.escape(name)}"):
            model.fit(*data, resume=True)
        assert not epochs and not hasattr(model, "history_")


@pytest.mark.parametrize(
    "change",
    [
        nothing,
        lambda history: history.append(history[-1]),
        lambda history: history.extend(
            [{"epoch": epoch, "rollout_loss": 1.0, "seconds": 0.1} for epoch in range(3, 9)]
        ),
        lambda history: history[0].update(rollout_loss="low"),
        lambda history: history[0].update(rollbacks=None),
        lambda history: history[0].pop("rollout_loss"),
        lambda history: history[0].pop("seconds"),
        lambda history: history[0].update(rollout_loss=None),
        lambda history: history[1].update(epoch=3),
        lambda history: history.__setitem__(1, None),
    ],
)
def test_histories_that_no_fit_has_are_refused(change, tmp_path):
    (X, y), path = waves(40), tmp_path / "c"
    model = RNNClassifier(8, max_epochs=4, random_state=0, checkpoint=path, callbacks=[stop_in(3)])
    with pytest.raises(Stopped):
        model.fit(X, y)
    rewritten(path, "history", change)
    with pytest.raises(ModelFileError, match="is not a checkpoint that can be used"):
        model.fit(X, y, resume=True)


@pytest.mark.parametrize("fit", [None, [], {}, {"parameters": None}, {"parameters": {"max_epochs": []}}])
def test_what_is_no_description_of_a_fit_is_that_of_another(fit, tmp_path):
    (X, y), path = waves(40), tmp_path / "c"
    model = RNNClassifier(8, max_epochs=2, random_state=0, checkpoint=path).fit(X, y)
    arrays, header = read_file(path, "checkpoint")
    write_file(path, "checkpoint", arrays, header | {"fit": fit})
    with pytest.raises(ValueError, match="the checkpoint of a fit with"):
        model.fit(X, y, resume=True)


class OwnRandomState(np.random.RandomState):
    pass


@pytest.mark.parametrize(
    ("random_state", "name"),
    [(np.random.RandomState(np.random.PCG64(0)), "RandomState of PCG64"), (OwnRandomState(0), "OwnRandomState of MT1")],
)
def test_a_random_state_that_no_checkpoint_holds_is_refused_before_training(random_state, name, tmp_path):
    epochs = []
    model = RNNClassifier(8, random_state=random_state, callbacks=[epochs.append], checkpoint=tmp_path / "c")
    with pytest.raises(ValueError, match=f"random_state is a {name}.*, which a checkpoint cannot hold"):
        model.fit(*waves(40))
    assert not epochs and not list(tmp_path.iterdir())
    model.set_params(solver="algorithm1", max_epochs=2).fit(*waves(40))  # draws an order once, and no more


@pytest.mark.parametrize(
    ("first", "other"),
    [
        (Slotted(1.0), Slotted(2.0)),
        (Slotted(Path("a", "b")), Slotted(Path("a", "c"))),
        (Slotted(Decimal("0.1")), Slotted(Decimal("0.2"))),
        (Lasso(Fraction(1, 1000)), Lasso(Fraction(1, 500))),
    ],
)
def test_what_is_in_slots_is_told_apart(first, other, tmp_path):
    X, y = waves(20)
    hash(getattr(first, "weight", None))  # which a path keeps
    model = RNNClassifier(8, max_epochs=1, random_state=0, checkpoint=tmp_path / "c", penalties={"W": first}).fit(X, y)
    model.set_params(penalties={"W": copy.deepcopy(first)}).fit(X, y, resume=True)
    with pytest.raises(ValueError, match="the checkpoint of a fit with penalties="):
        model.set_params(penalties={"W": other}).fit(X, y, resume=True)


def test_long_settings_have_room(tmp_path):
    (X, y), W = waves(20), (0.01 * np.eye(400)).tolist()
    model = RNNClassifier(400, max_epochs=1, random_state=0, init={"W": W}, checkpoint=tmp_path / "c").fit(X, y)
    np.testing.assert_array_equal(clone(model).fit(X, y, resume=True).W_, model.W_)
    W[3][3] = 1.0
    with pytest.raises(ValueError, match=r"^.{,500}the checkpoint of a fit with init=.{,500}$"):
        clone(model).set_params(init={"W": W}).fit(X, y, resume=True)


def test_a_dtype_may_be_written_otherwise(tmp_path):
    X, y = waves(40)
    model = RNNClassifier(8, max_epochs=2, random_state=0, checkpoint=tmp_path / "c", dtype=np.float32).fit(X, y)
    for dtype in ("float32", np.dtype("float32")):
        again = clone(model).set_params(dtype=dtype).fit(X, y, resume=True)
        assert again.history_ == model.history_
    with pytest.raises(ValueError, match="with dtype='float32', and it is 'float64' now"):
        clone(model).set_params(dtype=float).fit(X, y, resume=True)


def test_a_folder_that_is_not_there_is_refused_before_training(tmp_path):
    epochs = []
    model = RNNClassifier(8, checkpoint=tmp_path / "none" / "checkpoint", callbacks=[epochs.append])
    with pytest.raises(FileNotFoundError, match="the folder of checkpoint"):
        model.fit(*waves(40))
    with pytest.raises(FileNotFoundError, match="checkpoint is empty"):
        model.set_params(checkpoint="").fit(*waves(40))
    assert not epochs


def test_a_folder_that_cannot_be_written_to_is_refused_before_training(tmp_path, monkeypatch):
    epochs = []
    model = RNNClassifier(8, checkpoint=tmp_path / "checkpoint", callbacks=[epochs.append])
    monkeypatch.setattr(os, "access", lambda path, mode: os.fspath(path) != str(tmp_path))  # root may write anywhere
    with pytest.raises(PermissionError, match="the folder of checkpoint cannot be written to"):
        model.fit(*waves(40))
    assert not epochs


def test_a_link_into_no_folder_is_refused_before_training(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "none" / "checkpoint")
    with pytest.raises(FileNotFoundError, match="the folder of checkpoint does not exist"):
        RNNClassifier(8, checkpoint=tmp_path / "link").fit(*waves(40))


def test_a_full_disk_leaves_the_checkpoint_before_and_is_named(tmp_path, monkeypatch):
    (X, y), path = waves(40), tmp_path / "checkpoint"
    model = RNNClassifier(8, max_epochs=4, random_state=0, checkpoint=path)
    whole = clone(model).fit(X, y)

    def fill(state):
        if state.record["epoch"] == 3:
            monkeypatch.setattr(os, "fsync", no_space)

    def no_space(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as file.write says it: without a name

    with pytest.warns(RuntimeWarning, match=re.escape(f"{os.strerror(errno.ENOSPC)}: {str(path)!r}")):
        np.testing.assert_array_equal(model.set_params(callbacks=[fill]).fit(X, y).W_, whole.W_)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["checkpoint"]
    np.testing.assert_array_equal(model.set_params(callbacks=None).fit(X, y, resume=True).W_, whole.W_)


def test_what_killed_processes_have_left_behind_is_removed(tmp_path, monkeypatch):
    """An hour later, when no other process can be writing it; that of other files is left alone."""
    X, y = waves(40)
    settings = {"hidden_size": 8, "max_epochs": 1, "random_state": 0}

    def killed(*_):
        raise Stopped

    monkeypatch.setattr(os, "replace", killed)
    monkeypatch.setattr(os, "unlink", killed)
    for name in ("checkpoint", "other"):
        with pytest.raises(Stopped):
            RNNClassifier(**settings, checkpoint=tmp_path / name).fit(X, y)
    monkeypatch.undo()
    left = sorted(tmp_path.iterdir(), key=os.path.getmtime)
    assert len(left) == 2
    RNNClassifier(**settings, checkpoint=tmp_path / "checkpoint").fit(X, y)
    assert set(tmp_path.iterdir()) == {*left, tmp_path / "checkpoint"}
    for path in left:
        os.utime(path, (time.time() - 4000, time.time() - 4000))
    RNNClassifier(**settings, checkpoint=tmp_path / "checkpoint").fit(X, y)
    assert set(tmp_path.iterdir()) == {left[1], tmp_path / "checkpoint"}


def test_a_callback_may_go_to_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    RNNClassifier(8, max_epochs=2, checkpoint="c", callbacks=[lambda state: os.chdir(elsewhere)]).fit(*waves(40))
    assert (tmp_path / "c").exists() and not list(elsewhere.iterdir())


def test_other_ways_to_watch_do_not_matter(tmp_path):
    X, y = waves()
    model = RNNClassifier(12, max_epochs=4, random_state=0, checkpoint=tmp_path / "c")
    with pytest.raises(Stopped):
        model.set_params(callbacks=[stop_in(3)]).fit(X, y)
    os.rename(tmp_path / "c", tmp_path / "d")
    model.set_params(callbacks=None, checkpoint=tmp_path / "d", checkpoint_every=2, max_time=1e6)
    assert model.fit(X, y, resume=True).n_iter_ == 4


PROGRAM = """
import json, sys
import numpy as np
from admmirnn import RNNClassifier
rng = np.random.default_rng(0)
X, y = rng.normal(size=(300, 10, 2)), rng.integers(0, 2, 300)
model = RNNClassifier(24, random_state=0, max_epochs=60, checkpoint=sys.argv[1])
print("ready", flush=True)
model.fit(X, y, resume=True)
print(json.dumps([model.W_.tobytes().hex(), model.n_iter_]))
"""


def run_and_kill(path, seconds):
    """Run the program, and kill it so many seconds after it has begun to train, None for never: what it has printed."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    if seconds is not None:
        time.sleep(seconds)
        process.kill()
    return process.communicate(timeout=120)[0]


@pytest.mark.slow
def test_killed_processes_resume(tmp_path):
    whole = json.loads(run_and_kill(tmp_path / "whole", None))
    rng, path = np.random.default_rng(0), tmp_path / "killed"
    for _ in range(4):
        run_and_kill(path, rng.uniform(0, 0.4))
    assert json.loads(run_and_kill(path, None)) == whole
    assert {"killed", "whole"} <= set(os.listdir(tmp_path))


@pytest.mark.skipif(os.name != "posix", reason="files cannot be locked here")
def test_a_clock_that_jumps_removes_nothing_that_is_being_written(tmp_path, monkeypatch):
    """Another fit's file is locked while it is written, up to when it has its name."""
    path, seen = str(tmp_path / "fit"), []

    def pieces():
        yield b"first"
        monkeypatch.setattr(files.time, "time", lambda: time.time_ns() / 1e9 + 1e6)
        files.remove_leftovers(path)
        seen.extend(tmp_path.iterdir())
        yield b", second"

    files.replace_file(path, pieces())
    assert len(seen) == 1 and (tmp_path / "fit").read_bytes() == b"first, second"
    left = tmp_path / seen[0].name
    left.write_bytes(b"of a process that was killed")
    files.remove_leftovers(path)
    assert not left.exists()
