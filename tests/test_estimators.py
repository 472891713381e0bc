"""RNNClassifier as scikit-learn sees it: its own checks, every form of X and y, and what a fit leaves behind."""

import inspect
import os
import pickle
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from expected_failures import DEPENDS_ON_NUMBER, IN_FLOAT32
from scipy.special import expit
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from admmirnn import Algorithm1, RNNClassifier, RNNRegressor, Rollout
from admmirnn.activations import ACTIVATIONS

pytestmark = pytest.mark.elman

WEIGHTS = ("U_", "W_", "b_", "V_", "c_")


def classifier(**settings):
    return RNNClassifier(**{"hidden_size": 6, "max_epochs": 2, "random_state": 0, **settings})


def same_weights(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in WEIGHTS)


@pytest.fixture
def sequences():
    """40 sequences of 7 steps and 2 features, and two classes that are easy to tell apart."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    return rng.normal(size=(40, 7, 2)) + (2.0 * y - 1)[:, None, None], y


@pytest.fixture
def ragged(sequences):
    """The same, cut to 1 to 7 steps."""
    X, y = sequences
    return [x[: 1 + i % 7] for i, x in enumerate(X)], y


# scikit-learn's own checks


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:The number of unique classes:UserWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [RNNClassifier()],
    # what scikit-learn declares of its own stochastic solvers: SGDClassifier, Perceptron
    expected_failed_checks=lambda _: IN_FLOAT32 | {"check_sample_weight_equivalence_on_dense_data": DEPENDS_ON_NUMBER},
)
def test_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:The number of unique classes:UserWarning")
@pytest.mark.parametrize("check", IN_FLOAT32)
@pytest.mark.parametrize(
    "estimator",
    [RNNClassifier(), RNNRegressor(), RNNClassifier(solver=Algorithm1(r="lipschitz"), hidden_size=8, max_epochs=10)],
    ids=["RNNClassifier", "RNNRegressor", "Algorithm1"],
)
def test_checks_that_may_fail_in_float32_pass_in_float64(estimator, check):
    getattr(estimator_checks, check)(type(estimator).__name__, clone(estimator).set_params(dtype="float64"))


def largest_difference(model, x):
    """How far apart two float32 outputs of the same sequence of one step may be, added up in different orders."""
    # A sum of n products is within n eps sum |products| of the exact one, with eps = 2^-24, whatever the order (Higham,
    # Accuracy and Stability of Numerical Algorithms, section 3.1, up to eps^2); the bias is one term more.  tanh, whose
    # slope is at most 1, passes on at most the error of its argument and adds 6 eps (test_tanh_is_accurate).  Of two
    # results that are so far from the exact one, each is at most twice as far from the other.
    eps = np.finfo(np.float32).eps / 2
    U, b, V, c = (np.abs(getattr(model, name)).astype(float) for name in ("U_", "b_", "V_", "c_"))
    argument = np.abs(x).astype(float) @ U.T + b
    of_state = (U.shape[1] + 1) * eps * argument + 6 * eps
    return 2 * (of_state @ V.T + (V.shape[1] + 1) * eps * (np.tanh(argument) @ V.T + c))


ONE_STEP = pytest.mark.filterwarnings("ignore:X has .* sequences of a single step")


@ONE_STEP
@pytest.mark.parametrize("n_classes", [3, 20])
def test_in_float32_other_sequences_change_an_output_by_rounding_only(backend_name, n_classes):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(45, 1, 3)).astype(np.float32)
    model = classifier(hidden_size=128).fit(X, np.arange(45) % n_classes)
    expected, bound = model.decision_function(X), largest_difference(model, X[:, 0])
    assert bound.max() < 1e-3 * np.abs(expected).max()  # or it would not tell much
    for rows in (*(rng.permutation(45) for _ in range(5)), *(np.arange(i, i + 1 + i % 7) for i in range(38))):
        assert np.all(np.abs(model.decision_function(X[rows]) - expected[rows]) <= bound[rows])


# Labels


@pytest.mark.parametrize(
    "labels",
    [
        ["no", "yes"],
        [False, True],
        [-7, -2],
        [1.0, 3.0],
        [np.str_("a"), np.str_("b")],
        np.array(["left", "right"], dtype=object),
        np.array([10, 20], dtype=object),
        np.array([3, 200], dtype=np.uint8),
        np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[D]"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("container", [list, np.asarray, pd.Series])
def test_labels_come_back_as_they_went_in(sequences, labels, container):
    X, number = sequences
    y = container(np.asarray(labels)[number])
    model = classifier(max_epochs=10).fit(X, y)
    assert np.array_equal(model.classes_, labels)
    assert model.predict(X).dtype == model.classes_.dtype
    assert np.mean(model.predict(X) == np.asarray(y)) > 0.9
    assert same_weights(model, classifier(max_epochs=10).fit(X, number))


def test_score(sequences):
    X, number = sequences
    assert classifier(max_epochs=10).fit(X, number).score(X, number) > 0.9


def test_three_classes(sequences):
    X, _ = sequences
    y = np.array(["c", "a", "b"])[np.arange(len(X)) % 3]
    model = classifier().fit(X, y)
    assert model.classes_.tolist() == ["a", "b", "c"]
    assert model.V_.shape == (3, 6)
    assert model.predict_proba(X).shape == (40, 3)


# Forms of X


def as_list(X, path):
    return list(X)


def as_nested_lists(X, path):
    return X.tolist()


def as_tuple(X, path):
    return tuple(X)


def as_list_of_frames(X, path):
    return [pd.DataFrame(x) for x in X]


def as_object_array(X, path):
    sequences = np.empty(len(X), dtype=object)
    sequences[:] = list(X)
    return sequences


def as_objects(X, path):
    return X.astype(object)


def as_fortran(X, path):
    return np.asfortranarray(X)


def as_strided(X, path):
    return np.repeat(np.repeat(X, 2, axis=0), 3, axis=2)[::2, :, ::3]


def as_reversed(X, path):
    return X[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1]


def as_read_only(X, path):
    X = X.copy()
    X.flags.writeable = False
    return X


def as_byte_swapped(X, path):
    return X.astype(X.dtype.newbyteorder())


def as_unaligned(X, path):
    buffer = np.zeros(X.nbytes + 1, np.uint8)[1:]
    unaligned = buffer.view(X.dtype).reshape(X.shape)
    unaligned[:] = X
    return unaligned


def as_memory_map(X, path):
    mapped = np.memmap(path / "X.bin", X.dtype, "w+", shape=X.shape)
    mapped[:] = X
    mapped.flush()
    return np.memmap(path / "X.bin", X.dtype, "r", shape=X.shape)


FORMS = [
    *(as_list, as_nested_lists, as_tuple, as_list_of_frames, as_object_array, as_objects, as_fortran, as_strided),
    *(as_reversed, as_read_only, as_byte_swapped, as_unaligned, as_memory_map),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", FORMS)
def test_form_of_X_does_not_matter(sequences, tmp_path, form, dtype):
    X, y = sequences
    X = X.astype(dtype)
    expected = classifier(dtype=dtype).fit(X, y)
    formed = form(X, tmp_path)
    model = classifier(dtype=dtype).fit(formed, y)
    assert same_weights(model, expected)
    assert np.array_equal(model.predict_proba(formed), expected.predict_proba(X))
    assert np.array_equal(expected.predict(formed), expected.predict(X))


@pytest.mark.parametrize("of_items", [as_read_only, as_byte_swapped, as_strided, as_fortran])
def test_form_of_the_arrays_in_a_list_does_not_matter(ragged, tmp_path, of_items):
    X, y = ragged
    formed = [of_items(x[None], tmp_path)[0] for x in X]
    expected = classifier().fit(X, y)
    assert same_weights(classifier().fit(formed, y), expected)
    assert np.array_equal(expected.predict_proba(formed), expected.predict_proba(X))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "bool", "float16", "float32", ">f8", ">i2"])
def test_dtype_of_X_does_not_matter(sequences, dtype):
    X, y = sequences
    X = (X > 0).astype("float64") * (1 if dtype == "bool" else 3)
    expected = classifier().fit(X, y)
    model = classifier().fit(X.astype(dtype), y)
    assert same_weights(model, expected)
    assert np.array_equal(model.predict_proba(X.astype(dtype)), expected.predict_proba(X))


@pytest.mark.parametrize(
    "form",
    [
        lambda X: X[:, :, None],
        lambda X: [x[:, None] for x in X],
        lambda X: X.tolist(),
        list,
        np.asfortranarray,
        pd.DataFrame,
    ],
    ids=["array", "list of columns", "nested lists", "list of rows", "fortran", "frame"],
)
def test_a_table_is_one_feature(sequences, form):
    X, y = sequences
    X = X[:, :, 0]
    expected, model = classifier().fit(X, y), classifier().fit(form(X), y)
    assert same_weights(model, expected)
    assert np.array_equal(model.predict_proba(form(X)), expected.predict_proba(X))


def test_one_dimensional_sequences_of_unequal_lengths_are_one_feature(ragged):
    X, y = ragged
    columns, rows = [x[:, :1] for x in X], [x[:, 0].tolist() for x in X]
    expected, model = classifier().fit(columns, y), classifier().fit(rows, y)
    assert same_weights(model, expected)
    assert np.array_equal(model.predict_proba(rows), expected.predict_proba(columns))


# Unequal lengths


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_sequence_alone_is_predicted_as_in_the_batch(ragged, dtype, activation):
    X, y = ragged
    model = classifier(dtype=dtype, activation=activation).fit(X, y)
    alone = np.vstack([model.predict_proba([x]) for x in X])
    assert np.allclose(model.predict_proba(X), alone, atol=1e-6 if dtype == "float32" else 1e-13)


def test_predictions_are_in_the_order_of_X(ragged):
    X, y = ragged
    model = classifier().fit(X, y)
    order = np.random.default_rng(1).permutation(len(X))
    shuffled = model.predict_proba([X[i] for i in order])
    assert np.allclose(shuffled, model.predict_proba(X)[order], atol=1e-6)


def test_predict_formula(ragged):
    X, y = ragged
    model = classifier(dtype="float64").fit(X, y)
    outputs = []
    for x in X:
        s = np.zeros(6)
        for row in x:
            s = np.tanh(model.U_ @ row + model.W_ @ s + model.b_)
        outputs.append(model.V_ @ s + model.c_)
    exponents = np.exp(outputs)
    assert np.allclose(model.predict_proba(X), exponents / exponents.sum(axis=1, keepdims=True), atol=1e-12)


def test_long_and_short_sequences_together():
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(20_000 if i == 3 else 1 + i % 3, 2)) for i in range(20)]
    model = classifier(max_epochs=1).fit(X, np.arange(20) % 2)
    assert np.allclose(model.predict_proba(X)[3:5], model.predict_proba(X[3:5]), atol=1e-6)


# Corner sizes


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 1000},
        {"batch_size": 1},
        {"batch_size": 7},
        {"hidden_size": 1},
        {"hidden_size": 1, "batch_size": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_corner_sizes(ragged, settings, activation):
    X, y = ragged
    model = classifier(activation=activation, **settings).fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()
    assert all(np.isfinite(getattr(model, name)).all() for name in WEIGHTS)


@ONE_STEP
@pytest.mark.parametrize("n_features", [1, 5])
def test_sequences_of_one_step(n_features):
    y = np.arange(40) % 2
    X = np.random.default_rng(0).normal(size=(40, 1, n_features)) + (2.0 * y - 1)[:, None, None]
    assert classifier(max_epochs=20).fit(X, y).score(X, y) > 0.8


def test_two_sequences():
    X = [np.ones((3, 1)), -np.ones((2, 1))]
    assert classifier(max_epochs=30).fit(X, ["up", "down"]).predict(X).tolist() == ["up", "down"]


def test_full_batch_is_the_same_for_every_larger_batch_size(sequences):
    X, y = sequences
    assert same_weights(classifier(batch_size=40).fit(X, y), classifier(batch_size=10**6).fit(X, y))


# scikit-learn's tools


def test_clone_has_the_settings_and_not_the_weights(sequences):
    model = classifier(solver=Rollout(radius=0.02), init={"b": np.ones(6)}).fit(*sequences)
    copy = clone(model)
    assert not hasattr(copy, "W_")
    assert copy.solver is not model.solver
    assert copy.get_params()["solver__radius"] == 0.02
    assert same_weights(copy.fit(*sequences), model)


def test_set_params_reaches_the_solver():
    model = classifier(solver=Rollout()).set_params(hidden_size=3, solver__rho=2.0)
    assert (model.hidden_size, model.solver.rho) == (3, 2.0)
    with pytest.raises(ValueError, match="solver__nonsense|nonsense"):
        model.set_params(solver__nonsense=1)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_round_trip(ragged, protocol):
    X, y = ragged
    model = classifier(solver=Rollout()).fit(X, y)
    loaded = pickle.loads(pickle.dumps(model, protocol))
    assert same_weights(loaded, model)
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert loaded.history_ == model.history_


def test_grid_search_over_lists_and_nested_settings(ragged):
    X, y = ragged
    grid = {"solver__radius": [0.005, 0.02], "hidden_size": [2, 4]}
    search = GridSearchCV(classifier(solver=Rollout()), grid, cv=2, error_score="raise").fit(X, y)
    assert set(search.best_params_) == set(grid)
    assert search.predict(X).shape == (40,)


@pytest.mark.slow
def test_grid_search_in_two_processes_gives_the_same(ragged):
    X, y = ragged
    grid = {"solver__radius": [0.005, 0.02]}
    one, two = (
        GridSearchCV(classifier(solver=Rollout()), grid, cv=2, n_jobs=n_jobs, error_score="raise").fit(X, y)
        for n_jobs in (1, 2)
    )
    assert np.array_equal(one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"])
    assert same_weights(one.best_estimator_, two.best_estimator_)


def test_pipeline_on_a_table(sequences):
    X, y = sequences
    X = 100 * X[:, :, 0] + 5
    pipeline = make_pipeline(StandardScaler(), classifier(max_epochs=10)).fit(X, y)
    assert pipeline.score(X, y) > 0.8
    assert pipeline[-1].n_features_in_ == 7


def test_pipeline_on_a_list(ragged):
    X, y = ragged
    halve = FunctionTransformer(lambda X: [0.5 * x for x in X])
    pipeline = make_pipeline(halve, classifier()).fit(X, y)
    assert same_weights(pipeline[-1], classifier().fit([0.5 * x for x in X], y))
    assert pipeline.predict(X).shape == (40,)


def test_cross_val_score(ragged):
    X, y = ragged
    scores = cross_val_score(classifier(max_epochs=10), X, y, cv=4, error_score="raise")
    assert scores.shape == (4,)
    assert scores.mean() > 0.7


# sample_weight


@pytest.mark.parametrize("batch_size", ["auto", 5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weight_zero_is_the_same_as_leaving_out(ragged, dtype, batch_size):
    X, y = ragged
    kept = np.random.default_rng(0).random(40) < 0.7
    weights = np.random.default_rng(1).uniform(0.5, 2, 40)
    settings = {"dtype": dtype, "batch_size": batch_size}
    model = classifier(**settings).fit(X, y, sample_weight=weights * kept)
    without = [x for x, keep in zip(X, kept, strict=True) if keep]
    assert same_weights(model, classifier(**settings).fit(without, y[kept], sample_weight=weights[kept]))


def test_a_class_of_weight_zero_is_left_out(sequences):
    X, _ = sequences
    y = np.arange(40) % 3
    model = classifier().fit(X, y, sample_weight=(y != 1) * 1.0)
    assert model.classes_.tolist() == [0, 2]


def test_weights_of_one_are_no_weights(sequences):
    X, y = sequences
    assert same_weights(classifier().fit(X, y, sample_weight=np.ones(40)), classifier().fit(X, y))


def test_weights_change_the_fit(sequences):
    X, _ = sequences
    y = np.random.default_rng(0).integers(0, 2, 40)
    fits = [classifier(max_epochs=10).fit(X, y, sample_weight=np.where(y == k, 20.0, 1.0)) for k in (0, 1)]
    shares = [np.mean(model.predict_proba(X)[:, 1]) for model in fits]
    assert shares[0] < 0.5 < shares[1]


# Randomness and initial weights


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_state_determines_every_bit(ragged, dtype):
    one, two, other = (classifier(dtype=dtype, random_state=seed).fit(*ragged) for seed in (3, 3, 4))
    assert same_weights(one, two)
    assert one.W_.dtype == dtype
    assert not np.array_equal(one.W_, other.W_)


def test_fitting_again_starts_again(ragged):
    model = classifier().fit(*ragged)
    first = model.W_
    assert np.array_equal(model.fit(*ragged).W_, first)


def test_random_state_object_and_seed_agree(ragged):
    assert same_weights(classifier().fit(*ragged), classifier(random_state=np.random.RandomState(0)).fit(*ragged))


def test_shuffle_changes_the_order_only(sequences):
    X, y = sequences
    one, two = (classifier(shuffle=shuffle, batch_size=8).fit(X, y) for shuffle in (True, False))
    assert not np.array_equal(one.W_, two.W_)


def initial_weights(rng):
    shapes = {"U": (6, 2), "W": (6, 6), "b": (6,), "V": (2, 6), "c": (2,)}
    return {name: 0.3 * rng.normal(size=shape) for name, shape in shapes.items()}


BARELY = {"solver": Rollout(radius=1e-12, output_radius=1e-12), "max_epochs": 1, "dtype": "float64"}


@pytest.mark.parametrize("names", ["UWbVc", "W", "Vc", "bU", ""])
def test_init_is_where_the_weights_start(sequences, names):
    X, y = sequences
    init = {name: values for name, values in initial_weights(np.random.default_rng(0)).items() if name in names}
    drawn = classifier(**BARELY).fit(X, y)
    model = classifier(init=init, **BARELY).fit(X, y)
    for name in "UWbVc":
        assert np.allclose(getattr(model, f"{name}_"), init.get(name, getattr(drawn, f"{name}_")), atol=1e-9)


def test_drawn_weights_are_as_documented(sequences):
    model = classifier(hidden_size=50, **BARELY).fit(*sequences)
    assert np.allclose(model.W_ @ model.W_.T, np.eye(50), atol=1e-9)
    assert np.allclose(model.U_.std(), 1 / np.sqrt(2), rtol=0.3)
    assert all(np.abs(weights).max() < 1e-9 for weights in (model.b_, model.V_, model.c_))


def test_a_drawn_network_of_sigmoid_is_one_of_tanh(sequences):
    tanh, sigmoid = (classifier(activation=name, **BARELY).fit(*sequences) for name in ("tanh", "sigmoid"))
    rng = np.random.default_rng(0)
    x, T = rng.normal(size=tanh.U_.shape[1]), rng.uniform(-1, 1, len(tanh.W_))
    expected = np.tanh(tanh.U_ @ x + tanh.W_ @ T + tanh.b_)
    s = expit(sigmoid.U_ @ x + sigmoid.W_ @ (0.5 + 0.5 * T) + sigmoid.b_)
    assert np.allclose(2 * s - 1, expected, atol=1e-8)


def test_init_of_another_fit_goes_on_from_there(ragged):
    first = classifier().fit(*ragged)
    init = {name: getattr(first, f"{name}_") for name in "UWbVc"}
    copies = {name: values.copy() for name, values in init.items()}
    second = classifier(init=init).fit(*ragged)
    assert second.history_[0]["rollout_loss"] < first.history_[0]["rollout_loss"]
    assert all(np.array_equal(init[name], copies[name]) for name in init)


@pytest.mark.parametrize("form", [np.asarray, as_list])
def test_what_is_passed_is_not_modified(sequences, tmp_path, form):
    X, y = sequences
    X = np.ascontiguousarray(X, np.float32)
    given = X.copy() if form is np.asarray else form(X.copy(), tmp_path)
    labels, weights = y.copy(), np.linspace(0, 2, 40)
    init = initial_weights(np.random.default_rng(0))
    model = classifier(init=init).fit(given, labels, sample_weight=weights)
    model.predict(given)
    assert np.array_equal(given, X)
    assert np.array_equal(labels, y)
    assert np.array_equal(weights, np.linspace(0, 2, 40))
    expected = initial_weights(np.random.default_rng(0))
    assert list(init) == list(expected)
    assert all(np.array_equal(init[name], expected[name]) for name in expected)
    assert model.init is init


# Callbacks and output


def test_callbacks_get_the_record_and_an_estimator_that_predicts(ragged):
    X, y = ragged
    seen = []

    def callback(state):
        seen.append((state.record["epoch"], state.estimator.predict_proba(X), state.estimator.W_))

    model = classifier(max_epochs=3, callbacks=[callback]).fit(X, y)
    assert [epoch for epoch, _, _ in seen] == [1, 2, 3]
    assert not np.array_equal(seen[0][2], seen[1][2])
    assert np.array_equal(seen[-1][1], model.predict_proba(X))
    assert same_weights(model, classifier(max_epochs=3).fit(X, y))


def test_training_stops_when_a_callback_returns_true(ragged):
    called = []
    callbacks = [lambda state: state.record["epoch"] == 2, lambda state: called.append(state.record)]
    model = classifier(max_epochs=9, callbacks=callbacks).fit(*ragged)
    assert model.n_iter_ == len(model.history_) == len(called) == 2


@pytest.mark.parametrize("verbose", [0, False])
def test_silent(ragged, verbose, capfd):
    classifier(verbose=verbose).fit(*ragged)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("verbose", [1, True])
def test_progress_bar(ragged, verbose, capsys):
    classifier(verbose=verbose).fit(*ragged)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "2/2" in captured.err
    assert "loss=" in captured.err


def test_a_line_an_epoch(ragged, capsys):
    model = classifier(verbose=2, max_epochs=3).fit(*ragged)
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert captured.err == ""
    assert len(lines) == 4
    assert "loss" in lines[0]
    assert [int(line.split()[0]) for line in lines[1:]] == [1, 2, 3]
    assert f"{model.history_[-1]['rollout_loss']:.4f}" in lines[-1]


# What a fit leaves behind


def test_history_has_what_the_docstring_names(ragged):
    model = classifier(max_epochs=3).fit(*ragged, validation_data=ragged)
    described = re.search(
        r"history_ : list of dict(.*?)``history_.to_frame", inspect.getdoc(RNNClassifier), re.DOTALL
    ).group(1)
    names = set(re.findall(r"``(\w+)``", described))
    assert len(names) == 15
    assert all(set(record) == names for record in model.history_)
    table = pd.DataFrame(model.history_)
    assert table.shape == (3, 15)
    assert table["epoch"].tolist() == [1, 2, 3]
    assert table["training_accuracy"].between(0, 1).all()
    assert np.isfinite(table[["rollout_loss", "D_norm", "output_D_norm", "r", "output_r", "seconds"]]).all(axis=None)


def test_history_without_a_radius_says_none(ragged):
    model = classifier(solver=Rollout(r=100.0, radius=None, output_radius=None)).fit(*ragged)
    assert model.history_[0]["radius"] is None
    assert model.history_[0]["output_radius"] is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_attributes(sequences, dtype):
    model = classifier(dtype=dtype).fit(*sequences)
    shapes = {name: getattr(model, name).shape for name in WEIGHTS}
    assert shapes == {"U_": (6, 2), "W_": (6, 6), "b_": (6,), "V_": (2, 6), "c_": (2,)}
    assert {getattr(model, name).dtype for name in WEIGHTS} == {np.dtype(dtype)}
    assert model.n_iter_ == len(model.history_) == 2
    assert model.n_features_in_ == 2
    assert all(getattr(model, name).base is None for name in WEIGHTS)


def test_n_features_in_of_a_table_is_its_columns(sequences):
    X, y = sequences
    model = classifier().fit(X[:, :, 0], y)
    assert model.n_features_in_ == 7
    assert model.U_.shape == (6, 1)


def test_feature_names_of_a_frame(sequences):
    X, y = sequences
    frame = pd.DataFrame(X[:, :, 0], columns=[f"step{i}" for i in range(7)])
    model = classifier().fit(frame, y)
    assert model.feature_names_in_.tolist() == frame.columns.tolist()
    assert not hasattr(model.fit(X, y), "feature_names_in_")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_probabilities(ragged, dtype):
    X, y = ragged
    model = classifier(dtype=dtype, max_epochs=10).fit(X, y)
    probabilities = model.predict_proba(X)
    assert (probabilities >= 0).all()
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert np.array_equal(model.classes_[probabilities.argmax(axis=1)], model.predict(X))


def test_it_learns(waves):
    X, y = waves
    model = RNNClassifier(hidden_size=16, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.95
    assert model.history_[-1]["rollout_loss"] < model.history_[0]["rollout_loss"]


def test_rollbacks_are_announced(sequences):
    X, y = sequences
    with pytest.warns(ConvergenceWarning, match="rollbacks.*history_") as caught:
        model = classifier(max_epochs=3, activation="relu", standardize=False).fit(1e30 * X, y)
    assert caught[0].filename == __file__
    assert sum(record["rollbacks"] for record in model.history_) > 0
    assert all(np.isfinite(getattr(model, name)).all() for name in WEIGHTS)


# Back ends


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_numpy_backend_gives_the_same_weights(ragged, activation, monkeypatch):
    X, y = ragged
    settings = {"dtype": "float64", "activation": activation, "batch_size": 10}
    models = {}
    for name in ("compiled", "numpy"):
        monkeypatch.setenv("ADMMIRNN_BACKEND", name)
        models[name] = classifier(**settings).fit(X, y)
    for name in WEIGHTS:
        assert np.allclose(getattr(models["compiled"], name), getattr(models["numpy"], name), atol=1e-9)
    numpy_probabilities = models["compiled"].predict_proba(X)
    monkeypatch.setenv("ADMMIRNN_BACKEND", "compiled")
    assert np.allclose(models["compiled"].predict_proba(X), numpy_probabilities, atol=1e-12)


@pytest.mark.parametrize("name", ["cuda", ""])
def test_unknown_backend_is_refused(sequences, name, monkeypatch):
    X, y = sequences
    model = classifier().fit(X, y)
    monkeypatch.setenv("ADMMIRNN_BACKEND", name)
    with pytest.raises(ValueError, match=f"ADMMIRNN_BACKEND is '{name}'.*'compiled' or 'numpy'"):
        classifier().fit(X, y)
    with pytest.raises(ValueError, match="ADMMIRNN_BACKEND"):
        model.predict(X)


def test_no_warning_in_an_ordinary_fit(ragged):
    assert "ADMMIRNN_BACKEND" not in os.environ
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        classifier(max_epochs=5).fit(*ragged)
    assert caught == []
