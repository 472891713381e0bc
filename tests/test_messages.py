"""A wrong value of any argument of the estimators is refused with an error that names the argument, before any work."""

import numpy as np
import pytest
from wrong_values import WRONG, refuses

import admmirnn
from admmirnn import CharacterModel, RNNClassifier, RNNRegressor, Rollout

pytestmark = pytest.mark.elman

_rng = np.random.default_rng(0)
X, Y = _rng.normal(size=(8, 3, 1)), np.arange(8) % 2
CALLS = {
    RNNClassifier: lambda model: model.fit(X, Y),
    RNNRegressor: lambda model: model.fit(X, Y),
    CharacterModel: lambda model: model.fit("to be or not to be"),
}
PARAMETERS = [
    (estimator, name) for estimator in CALLS for name in estimator(2).get_params(deep=False) if name != "verbose"
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator, name", PARAMETERS, ids=lambda value: getattr(value, "__name__", value))
def test_parameters_of_estimators(estimator, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    n_refused = 0
    for value in WRONG.values():
        if name == "max_epochs" and isinstance(value, int) and value > 1:  # which is without end
            continue
        model = estimator(**{"hidden_size": 2, "max_epochs": 1, "random_state": 0} | {name: value})
        n_refused += refuses(lambda model=model: CALLS[estimator](model), name)
    assert n_refused >= 10 or name == "ignore_label"  # any label may be


@pytest.mark.parametrize("name", list(Rollout().get_params()))
def test_settings_of_the_solver(name):
    for value in WRONG.values():
        refuses(Rollout(**{name: value}).check_settings, name)


ARGUMENTS = {
    "X": lambda value: RNNClassifier(2, max_epochs=1).fit(value, Y),
    "y": lambda value: RNNClassifier(2, max_epochs=1).fit(X, value),
    "sample_weight": lambda value: RNNClassifier(2, max_epochs=1).fit(X, Y, value),
    "validation_data": lambda value: RNNClassifier(2, max_epochs=1).fit(X, Y, validation_data=value),
    "resume": lambda value: RNNClassifier(2, max_epochs=1).fit(X, Y, resume=value),
    "text": lambda value: CharacterModel(2, max_epochs=1).fit(value),
    "path": lambda value: admmirnn.load(value),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_of_methods(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for value in WRONG.values():
        if name != "path" or not isinstance(value, (str, bytes)) or "\0" in str(value):  # which may be names of files
            refuses(lambda value=value: ARGUMENTS[name](value), name)


def test_arguments_of_fitted_models(tmp_path):
    text = CharacterModel(2, max_epochs=1, random_state=0).fit("to be or not to be")
    waves = RNNRegressor(2, max_epochs=1, random_state=0, targets="step").fit(X, X[:, :, 0])
    for value in WRONG.values():
        for name, call in {
            "n ": lambda value: text.generate(n=value),
            "temperature": lambda value: text.generate(n=1, temperature=value),
            "prefix": lambda value: text.generate(value, n=1),
            "horizon": lambda value: waves.forecast(X[0], value),
            "path": lambda value: waves.save(value),
        }.items():
            if not (name == "path" and isinstance(value, (str, bytes)) and "\0" not in str(value)):
                refuses(lambda call=call, value=value: call(value), name.strip())
