"""What the values of y mean is told by the setting or by their form; where both may be meant, there is a warning."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold, cross_val_score

from admmirnn import RNNClassifier, RNNRegressor

rng = np.random.default_rng(0)


def regressor(**settings):
    return RNNRegressor(**{"hidden_size": 4, "max_epochs": 1, "random_state": 0, **settings})


def classifier(**settings):
    return RNNClassifier(**{"hidden_size": 4, "max_epochs": 1, "random_state": 0, **settings})


X = rng.normal(size=(40, 6, 2))
Y = rng.normal(size=(40, 6))
WAVES = np.sin(0.3 * np.arange(30) + rng.uniform(0, 6, size=(40, 1)))

IN_CONTAINERS = {
    "array": np.asarray,
    "list": list,
    "tuple": tuple,
    "nested lists": lambda values: np.asarray(values).tolist(),
    "objects": lambda values: pd.Series(list(values), dtype=object).to_numpy(),
    "series": lambda values: pd.Series(list(values)),
}
IN_FRAMES = {"frame": pd.DataFrame, "float32": lambda values: np.asarray(values, np.float32)}
LISTS = set(IN_CONTAINERS) - {"array"}


@pytest.mark.parametrize("of_y", [*IN_CONTAINERS, *IN_FRAMES])
@pytest.mark.parametrize("of_x", IN_CONTAINERS)
def test_what_is_said_holds_in_every_container(of_x, of_y):
    x, y = IN_CONTAINERS[of_x](X), (IN_CONTAINERS | IN_FRAMES)[of_y](Y)
    of_sequences = regressor(targets="sequence").fit(x, y)
    assert of_sequences.V_.shape == (6, 4) and of_sequences.predict(x).shape == (40, 6)
    of_steps = regressor(targets="step").fit(x, y)
    assert of_steps.V_.shape == (1, 4) and np.stack(list(of_steps.predict(x))).shape == (40, 6)
    for model in (of_sequences, of_steps):
        assert np.isfinite(model.score(x, y))
    said = "step" if of_y in LISTS else "sequence"
    with pytest.warns(UserWarning, match=rf"y has 6 values .* 6 steps.*targets='{said}' if that is meant"):
        model = regressor().fit(x, y)
    assert model.V_.shape[0] == (1 if said == "step" else 6)


@pytest.mark.parametrize("of_y", [*IN_CONTAINERS, *IN_FRAMES])
@pytest.mark.parametrize("of_x", ["array", "list", "table", "frame"])
@pytest.mark.parametrize("ahead", [1, 3])
def test_observations_of_later_steps_are_targets_of_steps(of_x, of_y, ahead):
    waves = np.float32(WAVES)
    x, y = waves[:, :-ahead], (IN_CONTAINERS | IN_FRAMES)[of_y](waves[:, ahead:])
    if of_x in ("array", "list"):
        x = IN_CONTAINERS[of_x](x[:, :, None])
    elif of_x == "frame":
        x = pd.DataFrame(x, columns=[f"t{i}" for i in range(x.shape[1])])
    model = regressor().fit(x, y)
    assert model.V_.shape == (1, 4)
    assert len(np.ravel(model.forecast(WAVES[0], horizon=2))) == 2


def test_observations_of_one_of_several_features_are_targets_of_steps():
    assert regressor().fit(X[:, :-1], X[:, 1:, 1]).V_.shape == (1, 4)


@pytest.mark.parametrize("horizon", [24, 12, 36])
def test_windows_of_the_future_are_values_of_sequences(horizon):
    series = np.sin(np.arange(300) / 3) + 0.1 * rng.normal(size=300)
    rows = np.lib.stride_tricks.sliding_window_view(series, 24 + horizon)
    x, y = rows[:, :24, None], rows[:, 24:]
    assert regressor(targets="sequence").fit(x, y).predict(x).shape == y.shape
    if horizon == 24:
        with pytest.warns(UserWarning, match="targets='sequence' if that is meant"):
            regressor().fit(x, y)
    else:
        assert regressor().fit(x, y).predict(x).shape == y.shape


@pytest.mark.parametrize("n", [5, 7])
@pytest.mark.parametrize("of_y", IN_CONTAINERS)
def test_about_as_many_targets_as_steps_are_told(of_y, n):
    y = IN_CONTAINERS[of_y](rng.normal(size=(40, n)))
    if of_y in LISTS:
        with pytest.raises(ValueError, match=rf"y\[0\] has {n} value.* X\[0\] has 6 steps.*targets='sequence'"):
            regressor().fit(X, y)
    else:
        with pytest.warns(UserWarning, match=f"y has {n} values and X has 6 steps.*targets='sequence'"):
            assert regressor().fit(X, y).V_.shape == (n, 4)
    assert regressor(targets="sequence").fit(X, y).V_.shape == (n, 4)
    with pytest.raises(ValueError, match=rf"y\[0\] has {n} value.* X\[0\] has 6 steps"):
        regressor(targets="step").fit(X, y)


@pytest.mark.parametrize("n", [118, 120])
@pytest.mark.parametrize("in_list", [True, False])
def test_next_values_that_are_a_step_short_or_long_are_refused(n, in_list):
    series = [np.sin(np.arange(124) / 7 + phase) for phase in rng.uniform(0, 6, 20)]
    x, y = [s[:119, None] for s in series], [s[2 : 2 + n] for s in series]
    x, y = (x, y) if in_list else (np.stack(x), np.stack(y))
    with pytest.raises(ValueError, match=rf"y\[0\] has {n} value.* X\[0\] has 119 steps.*pass one value per step"):
        regressor().fit(x, y)


def test_the_first_target_list_of_another_length_is_named():
    series = [rng.normal(size=n) for n in rng.integers(50, 120, 20)]
    y = [s[1:] for s in series]
    y[5] = y[5][:-1]
    with pytest.raises(ValueError, match=r"y\[5\] has \d+ value.*X\[5\] has"):
        regressor().fit([s[:-1, None] for s in series], y)
    y[7] = y[7][:, None]
    with pytest.raises(ValueError, match=r"y\[7\] has the shape .* and y\[0\]"):
        regressor().fit([s[:-1, None] for s in series], y)


@pytest.mark.parametrize("y", [rng.normal(size=(40, 2)), list(rng.normal(size=(40, 2)))], ids=["array", "list"])
def test_few_values_are_those_of_sequences(y):
    ragged = [x for x, n in zip(rng.normal(size=(40, 12, 2)), rng.integers(5, 13, 40), strict=True) for x in [x[:n]]]
    assert regressor().fit(ragged, y).V_.shape == (2, 4)


@pytest.mark.parametrize(
    ("y", "remedy"),
    [
        (np.zeros((40, 1, 24)), r"y\[:, 0\] with targets='sequence'"),
        (np.zeros((40, 24, 1)), r"y\[:, :, 0\] with targets='sequence'"),
        (np.zeros((40, 12, 2)), r"y.reshape\(len\(y\), -1\) with targets='sequence'"),
    ],
)
def test_three_axes_that_are_not_of_steps_are_refused_with_what_to_write(y, remedy):
    with pytest.raises(ValueError, match=remedy):
        regressor().fit(X, y)
    with pytest.raises(ValueError, match=r"y has the shape .* targets is 'sequence'"):
        regressor(targets="sequence").fit(X, y)


def test_a_fold_has_the_targets_of_the_whole():
    x = [rng.normal(size=(3 if i < 20 else 4, 2)) for i in range(40)]
    y = rng.normal(size=(40, 3))
    for targets in ("auto", "sequence"):
        model = regressor(targets=targets)
        with pytest.warns(UserWarning) if targets == "auto" else np.errstate():
            assert np.isfinite(cross_val_score(model, x, y, cv=KFold(2), error_score="raise")).all()
    with pytest.raises(ValueError, match=r"y\[0\] has 3 value.*X\[0\] has 3 steps|y\[20\] has 3 value.*4 steps"):
        regressor().fit(x, y.tolist())
    of_steps = [values.sum(axis=1) for values in x]
    with pytest.warns(UserWarning, match="targets='step' if that is meant"):
        assert np.isfinite(cross_val_score(regressor(), x, of_steps, cv=KFold(2), error_score="raise")).all()


@pytest.mark.parametrize("first", ["sequence", "step"])
def test_what_targets_mean_is_settled_by_the_first_call(first):
    y = rng.normal(size=(40, 6))
    model = regressor(targets=first).partial_fit(X, y).set_params(targets="auto")
    assert model.partial_fit(X, y).V_.shape == ((6, 4) if first == "sequence" else (1, 4))
    model = regressor(targets=first).fit(X, y, validation_data=(X[:5], y[:5]))
    assert model.set_params(targets="auto").partial_fit(X, y.tolist()).score(X, y.tolist()) < 1
    if first == "sequence":
        assert model.partial_fit(X[:, :4], y).predict(X).shape == (40, 6)
    else:
        with pytest.raises(ValueError, match=r"y\[0\] has 6 value.* X\[0\] has 4 steps"):
            model.partial_fit(X[:, :4], y)


def test_validation_data_have_the_targets_of_the_training_set():
    y = [x.sum(axis=1) for x in X]
    ragged = [x[: 3 + i % 4] for i, x in enumerate(X)]
    of_ragged = [values[: 3 + i % 4] for i, values in enumerate(y)]
    apart = [x[:3] for x in ragged], np.array([values[:3] for values in of_ragged])
    assert "validation_loss" in regressor().fit(ragged, of_ragged, validation_data=apart).history_[0]
    with pytest.raises(ValueError, match=r"in validation_data: y\[0\] has 3 value"):
        regressor().fit(ragged, of_ragged, validation_data=(X, apart[1]))


def test_labels_are_what_they_are_said_to_be():
    of_sequences, of_steps = (X[:, -1, 0] > 0).astype(int), (X[:, :, 0] > 0).astype(int)
    assert classifier(targets="sequence").fit(X, of_sequences).predict(X).shape == (40,)
    assert classifier(targets="step").fit(X, of_steps).predict(X).shape == (40, 6)
    with pytest.raises(
        ValueError, match=r"shape \(40, 6\) with one label per step; one label per sequence is expected"
    ):
        classifier(targets="sequence").fit(X, of_steps)
    with pytest.raises(ValueError, match=r"shape \(40,\) with one label per sequence; one label per step is expected"):
        classifier(targets="step").fit(X, of_sequences)
    with pytest.raises(ValueError, match="one label per sequence; one label per step is expected"):
        classifier().fit(X, of_steps).partial_fit(X, of_sequences)
    several = {"loss": "sigmoid_cross_entropy"}
    assert classifier(targets="sequence", **several).fit(X, of_steps).predict(X).shape == (40, 6)
    with pytest.raises(ValueError, match="one label per step is expected"):
        classifier(targets="step", **several).fit(X, of_steps)


@pytest.mark.parametrize("estimator", [regressor, classifier])
def test_targets_have_known_names(estimator):
    with pytest.raises(ValueError, match="targets is 'steps'; the known ones are 'auto', 'sequence', 'step'"):
        estimator(targets="steps").fit(X, np.arange(40) % 2)


def test_a_horizon_survives_a_file(tmp_path):
    pytest.importorskip("safetensors")
    model = regressor(targets="sequence").fit(X, Y)
    model.save(tmp_path / "model")
    loaded = RNNRegressor.load(tmp_path / "model")
    assert loaded.targets == "sequence" and loaded.partial_fit(X, Y).V_.shape == (6, 4)


# bare sequences


SERIES = np.sin(np.arange(50) / 5)


@pytest.mark.parametrize("as_what", [np.asarray, list, tuple, pd.Series])
def test_one_bare_series_is_refused_with_what_to_write(as_what):
    for call in (
        lambda: regressor().fit(as_what(SERIES[:-1]), as_what(SERIES[1:])),
        lambda: regressor().partial_fit(as_what(SERIES[:-1]), as_what(SERIES[1:])),
        lambda: regressor().fit(X, Y[:, 0], validation_data=(as_what(SERIES[:-1]), as_what(SERIES[1:]))),
        lambda: regressor().fit(X, Y[:, 0]).predict(as_what(SERIES)),
    ):
        with pytest.raises(ValueError, match=r"X has the shape \(\d+,\).*list of arrays.*fit\(\[x\[:-1, None\]\]") as e:
            call()
        assert "reshape(-1, 1)" not in str(e.value)
    fitted = regressor().fit([SERIES[:-1, None]], [SERIES[1:]])
    assert fitted.forecast(as_what(SERIES), horizon=3).shape == (3,)


@pytest.mark.parametrize("n_features", [1, 3])
def test_sequences_of_a_single_step_are_told(n_features):
    x, y = rng.normal(size=(30, n_features)), np.arange(30) % 2
    with pytest.warns(UserWarning, match="X has 30 sequences of a single step each"):
        classifier().fit(x[:, None], y)
    with pytest.warns(UserWarning, match="X has 30 sequences of a single step each"):
        classifier().partial_fit([row[None] for row in x], y, classes=[0, 1])
    if n_features == 1:
        with pytest.warns(UserWarning, match="X has 30 sequences of a single step each"):
            classifier().fit(x, y)
    streams = classifier(stateful=True).fit([x], [y])  # whose next observations may come one by one
    streams.partial_fit([x], [y])
    streams.partial_fit([x[:1]], [y[:1]])


@pytest.mark.parametrize("n_features", [1, 3])
@pytest.mark.parametrize("as_what", [np.asarray, np.ndarray.tolist, pd.DataFrame])
def test_one_bare_sequence_is_refused_with_its_list(n_features, as_what):
    x = [rng.normal(size=(9, n_features)) for _ in range(40)]
    model = classifier().fit(x, np.arange(40) % 2)
    for method in (model.predict, model.predict_proba, lambda one: model.score(one, np.arange(9) % 2)):
        with pytest.raises(ValueError, match=r"X has the shape \(9, \d\).*pass it in a list, \[X\]"):
            method(as_what(x[0]))
    with pytest.raises(ValueError, match=r"pass it in a list, \[X\]"):
        model.partial_fit(as_what(x[0]), np.arange(9) % 2)
    assert len(model.predict([as_what(x[0])])) == 1


def test_targets_of_the_steps_of_one_sequence_need_a_list():
    with pytest.raises(ValueError, match=r"X has 1 sequences and y has 49 entries; .* of this sequence pass \[y\]"):
        regressor().fit([SERIES[:-1, None]], SERIES[1:])
    with pytest.raises(ValueError, match=r"per step pass np.split\(y, np.cumsum\(lengths\)\[:-1\]\)"):
        regressor().fit(list(X), np.concatenate(Y))


# channels first


def test_channels_first_are_told():
    x = [rng.normal(size=(12, n)) for n in range(7, 27)]
    y = np.arange(20) % 2
    with pytest.raises(ValueError, match=r"X\[1\] has 8 features and X\[0\] has 7.*\[x.T for x in X\]"):
        classifier().fit(x, y)
    model = classifier().fit([item.T for item in x], y)
    with pytest.raises(ValueError, match=r"X has 7 features.*\[x.T for x in X\]"):
        model.predict(x[:1])
    with pytest.raises(ValueError, match=r"X has 30 features.*X.transpose\(0, 2, 1\)"):
        model.predict(np.zeros((5, 12, 30)))
