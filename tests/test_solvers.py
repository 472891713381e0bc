"""What a solver says it can do, and that nothing else is asked of it."""

import inspect
import pickle
from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone

from admmirnn import Algorithm1, Capability, CharacterModel, RNNClassifier, RNNRegressor, Rollout, Status
from admmirnn.penalties import Lasso
from admmirnn.solvers.memory import Memory, as_dict
from admmirnn.solvers.rollout.memory import memory_of
from admmirnn.solvers.rollout.solver import check_memory
from admmirnn.solvers.status import Outcome

pytestmark = pytest.mark.elman

KEYWORDS = {
    "weights", "penalty", "max_epochs", "batch_size", "shuffle", "random_state", "on_epoch_end", "n_threads", "limits"
}  # fmt: skip
OF_CAPABILITY = {
    Capability.PENALTIES: {"penalties"},
    Capability.MEMORY: {"online", "memory"},
    Capability.CHECKPOINTS: {"checkpoint", "resume"},
    Capability.DROPOUT: {"dropout"},
    Capability.AUGMENTATION: {"augmentation"},
    Capability.WORKERS: {"reducer"},
}


class Recorder:
    """A solver of one's own that does nothing, and remembers what it was given."""

    def __init__(self, *capabilities):
        self.capabilities = frozenset(capabilities)
        self.calls = []

    def check_settings(self):
        pass

    def iterations_per_epoch(self, n_sequences, batch_size=None):
        return 1

    def solve(self, network, sequences, targets, loss, **keywords):
        self.calls.append(keywords)
        memory = Memory() if Capability.MEMORY in self.capabilities else None
        return Outcome([{"epoch": 1, "rollout_loss": 1.0, "seconds": 0.0}], Status.ITERATION_LIMIT, memory=memory)


def data(n=12):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 5, 2)), np.arange(n) % 2


@pytest.mark.parametrize("capability", [None, *Capability])
def test_solve_is_passed_the_keywords_of_its_capabilities(capability):
    solver = Recorder(*([capability] if capability else []))
    RNNClassifier(3, solver=solver, random_state=0).fit(*data())
    (found,) = solver.calls
    assert found.keys() == KEYWORDS | OF_CAPABILITY.get(capability, set())
    assert found["penalty"] == (None if capability is Capability.OWN_PENALTY else 0.0)


def test_a_first_and_a_second_call_on_line():
    X, y = data()
    solver = Recorder(Capability.MEMORY)
    model = RNNClassifier(3, solver=solver, max_epochs=7, random_state=0).partial_fit(X, y, classes=[0, 1])
    model.partial_fit(X, y)
    model.fit(X, y)
    first, second, fit = solver.calls
    assert (first["online"], first["memory"], first["max_epochs"]) == (True, None, 1)
    assert (second["online"], second["memory"], second["max_epochs"]) == (True, Memory(), 1)
    assert (fit["online"], fit["memory"], fit["max_epochs"]) == (False, None, 7)


@pytest.mark.parametrize(
    "capability, settings, message",
    [
        (Capability.PENALTIES, {"penalties": {"W": Lasso(0.1)}}, "penalties is .* and Recorder takes none"),
        (Capability.READ_OUTS, {"readout": "max"}, "readout is 'max', which Recorder does not have"),
        (Capability.STATES, {"s_0": "learn"}, "s_0 is 'learn', which Recorder does not have; pass s_0=None"),
        (Capability.STATES, {"stateful": True}, "stateful is True, which Recorder does not have"),
        (Capability.TWO_DIRECTIONS, {"bidirectional": True}, "Recorder trains one direction only"),
        (Capability.DROPOUT, {"dropout": 0.5}, "dropout is 0.5, and Recorder has none; pass dropout=0"),
        (Capability.AUGMENTATION, {"augment": {"noise": 0.1}}, "augment is .*, and Recorder reads sequences as they"),
        (Capability.CHECKPOINTS, {"checkpoint": "c"}, "Recorder cannot go on from one"),
    ],
)
def test_what_a_solver_cannot_do_is_refused_before_it_runs(capability, settings, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y = data()
    y = np.tile(y[:, None], 5)
    lacking = Recorder(*set(Capability) - {capability})
    with pytest.raises(ValueError, match=message):
        RNNClassifier(3, solver=lacking, **settings).fit(X, y)
    assert not lacking.calls
    if "readout" in settings:
        y = y[:, 0]
    able = Recorder(Capability.LABELS_PER_STEP, capability)
    RNNClassifier(3, solver=able, **settings).fit(X, y)
    assert len(able.calls) == 1


def test_labels_per_step_text_and_partial_fit():
    X, y = data()
    with pytest.raises(ValueError, match="y"):
        RNNClassifier(3, solver=Recorder()).fit(X, np.tile(y[:, None], 5))
    with pytest.raises(ValueError, match="which does not read text"):
        CharacterModel(3, solver=Recorder(*set(Capability) - {Capability.SYMBOLS})).fit("to be or not to be")
    CharacterModel(3, solver=Recorder(Capability.SYMBOLS, Capability.STATES)).fit("to be or not to be")
    with pytest.raises(AttributeError, match="partial_fit"):
        RNNRegressor(3, solver=Recorder()).partial_fit  # noqa: B018


@pytest.mark.parametrize("declared", [(), None, {"penalties"}, "PENALTIES"])
def test_a_solver_that_does_not_say_what_it_can_do_is_refused(declared):
    solver = Recorder()
    solver.capabilities = declared
    with pytest.raises(TypeError, match=r"capabilities` of admmirnn\.Capability"):
        RNNClassifier(3, solver=solver).fit(*data())
    del solver.capabilities
    with pytest.raises(TypeError, match=r"capabilities` of admmirnn\.Capability"):
        RNNClassifier(3, solver=solver).fit(*data())


@pytest.mark.parametrize("solver", [Rollout, Algorithm1])
def test_the_solvers_here_take_what_they_declare(solver):
    expected = set(KEYWORDS).union(*(OF_CAPABILITY.get(capability, set()) for capability in solver.capabilities))
    found = {name for name, one in inspect.signature(solver.solve).parameters.items() if one.kind == one.KEYWORD_ONLY}
    assert found == expected


def test_rollout_refuses_a_memory_that_is_none():
    memory = RNNClassifier(3, max_epochs=1, random_state=0).fit(*data())._memory
    check_memory(None, online=False)
    check_memory(memory, online=True)
    with pytest.raises(TypeError, match="memory is of type dict; .*online=True"):
        check_memory({}, online=True)
    with pytest.raises(ValueError, match="online is False"):
        check_memory(memory, online=False)
    with pytest.raises(TypeError, match="memory is of type dict"):
        Rollout().solve(None, None, None, None, memory={}, online=True)


def test_a_memory_is_the_same_after_it_was_a_dict():
    memory = RNNClassifier(3, max_epochs=2, penalties={"W": Lasso(1e-3)}).fit(*data())._memory
    assert as_dict(memory_of(as_dict(memory))).keys() == as_dict(memory).keys()
    np.testing.assert_equal(as_dict(memory_of(as_dict(memory))), as_dict(memory))


def test_a_pickle_with_the_memory_in_a_dict_goes_on():
    """As older versions have pickled it: full, empty, or None."""
    X, y = data()
    model = RNNClassifier(3, max_epochs=2, random_state=0).fit(X, y).partial_fit(X, y)

    def as_it_was(memory):
        older = clone(model)
        state = {name: value for name, value in model.__getstate__().items() if name != "_goes_on"}
        older.__setstate__(state | {"_memory": memory})
        return pickle.loads(pickle.dumps(older))

    expected = pickle.loads(pickle.dumps(model)).partial_fit(X, y)
    np.testing.assert_array_equal(as_it_was(as_dict(model._memory)).partial_fit(X, y).W_, expected.W_)
    assert as_it_was({}).partial_fit(X, y)._memory.n_remembered < expected._memory.n_remembered
    with pytest.raises(ValueError, match="left nothing to go on from"):
        as_it_was(None).partial_fit(X, y)


def test_a_memory_of_another_kind_does_not_cost_the_training():
    class Own(Recorder):
        def solve(self, *args, **keywords):
            return replace(super().solve(*args, **keywords), memory={"mine": 1})

    X, y = data()
    model = RNNClassifier(3, solver=Own(Capability.MEMORY), random_state=0)
    with pytest.raises(TypeError, match=r"memory of type dict.*Memory"):
        model.fit(X, y)
    assert model.predict(X).shape == (len(X),)


def test_a_model_pickled_with_a_memory_that_is_not_known_starts_its_statistics_anew():
    X, y = data()
    model = RNNClassifier(3, random_state=0).fit(X, y)
    state = model.__getstate__() | {"_memory": {"mine": 1}}
    del state["_goes_on"]
    again = RNNClassifier.__new__(RNNClassifier)
    again.__setstate__(state)
    assert np.array_equal(again.predict(X), model.predict(X))
    again.partial_fit(X, y)


def test_partial_fit_with_a_solver_that_declares_nothing_says_so():
    class Undeclared:
        pass

    with pytest.raises(AttributeError, match="cannot go on|partial_fit"):
        RNNClassifier(3, solver=Undeclared()).partial_fit(*data(), classes=[0, 1])
