"""Everything that is refused: the type of the error, and a message that names the argument and the place."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import coo_array, csr_matrix
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from admmirnn import RNNClassifier, RNNRegressor, Rollout, validation

pytestmark = pytest.mark.elman

N = 12
Y = np.arange(N) % 2


def observations(*shape):
    return np.random.default_rng(0).normal(size=shape)


X3 = observations(N, 5, 2)
X2 = observations(N, 5)


def listed(i=None, item=None):
    """A list of sequences of unequal lengths, with ``item`` for sequence ``i``."""
    sequences = [x[: 2 + k % 4] for k, x in enumerate(X3)]
    if i is not None:
        sequences[i] = item
    return sequences


def with_value(X, place, value, dtype=None):
    X = X.astype(dtype or X.dtype)
    X[place] = value
    return X


def masked(array):
    """The same, but for one value that is not there."""
    return np.ma.array(array, mask=np.arange(array.size).reshape(array.shape) == 1)


def in_an_object_array(items):
    array = np.empty(len(items), object)
    array[:] = items
    return array


def classifier(**settings):
    return RNNClassifier(**{"hidden_size": 4, "max_epochs": 1, "random_state": 0, **settings})


def assert_refused(model, error, parts, X=X3, y=Y, sample_weight=None):
    """Fit raises ``error``, the message has all ``parts``, and the estimator is as unfitted as before."""
    before = vars(model).copy()
    with pytest.raises(error) as caught:
        model.fit(X, y, sample_weight=sample_weight)
    for part in [parts] if isinstance(parts, str) else parts:
        assert part in str(caught.value)
    assert [name for name in vars(model) if name not in before] == []
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    with pytest.raises(NotFittedError):
        model.predict(X3)


# Settings of the estimator


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("hidden_size", 0, ValueError),
        ("hidden_size", -3, ValueError),
        ("hidden_size", 4.0, TypeError),
        ("hidden_size", "4", TypeError),
        ("hidden_size", True, TypeError),
        ("hidden_size", None, TypeError),
        ("activation", "softsign", ValueError),
        ("activation", None, ValueError),
        ("activation", ["tanh"], ValueError),
        ("penalty", -0.1, ValueError),
        ("penalty", np.nan, ValueError),
        ("penalty", np.inf, ValueError),
        ("penalty", "0.1", TypeError),
        ("penalty", None, TypeError),
        ("penalty", True, TypeError),
        ("solver", "adam", ValueError),
        ("solver", None, TypeError),
        ("solver", Rollout, TypeError),
        ("solver", 3, TypeError),
        ("max_epochs", 0, ValueError),
        ("max_epochs", -1, ValueError),
        ("max_epochs", 2.0, TypeError),
        ("max_epochs", None, TypeError),
        ("batch_size", 0, ValueError),
        ("batch_size", -5, ValueError),
        ("batch_size", 1.5, TypeError),
        ("batch_size", "all", TypeError),
        ("batch_size", None, TypeError),
        ("dtype", "float16", ValueError),
        ("dtype", "int32", ValueError),
        ("dtype", ">f4", ValueError),
        ("dtype", "nonsense", ValueError),
        ("dtype", None, ValueError),
        ("dtype", 3, ValueError),
        ("shuffle", 1, TypeError),
        ("shuffle", "yes", TypeError),
        ("shuffle", None, TypeError),
        ("verbose", -1, ValueError),
        ("verbose", 1.5, TypeError),
        ("verbose", "a", TypeError),
        ("verbose", None, TypeError),
        ("callbacks", [3], TypeError),
        ("callbacks", [print, None], TypeError),
        ("callbacks", print, TypeError),
        ("callbacks", 5, TypeError),
    ],
)
def test_setting_is_refused(name, value, error):
    assert_refused(classifier(**{name: value}), error, name)


@pytest.mark.parametrize("random_state", [-1, 1.5, "a", np.random.default_rng(0)], ids=["-1", "1.5", "a", "Generator"])
def test_random_state_is_refused(random_state):
    assert_refused(classifier(random_state=random_state), ValueError, ())


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("activation", ["'tanh'", "'sigmoid'", "'relu'", "'leaky_relu'", "'identity'"]),
        ("solver", ["'rollout'"]),
        ("dtype", ["'float32'"]),
    ],
)
def test_unknown_name_is_answered_with_the_known_ones(name, known):
    assert_refused(classifier(**{name: "other"}), ValueError, [name, "'other'", *known])


@pytest.mark.parametrize("value", [0, 2.5])
def test_message_has_what_was_found_and_what_to_do(value):
    assert_refused(classifier(hidden_size=value), (ValueError, TypeError), [repr(value), "integer of at least 1"])


# Settings of Rollout


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        *[(name, -1.0, ValueError) for name in ("rho", "r", "radius", "output_radius", "damping", "multiplier_cap")],
        *[(name, 0.0, ValueError) for name in ("rho", "radius", "output_radius", "multiplier_cap")],
        *[(name, value, ValueError) for name in ("gram_decay", "momentum") for value in (-0.1, 1.0, 1.5)],
        *[
            (name, value, ValueError)
            for name in (
                *("rho", "r", "radius", "output_radius", "damping"),
                *("multiplier_cap", "gram_decay", "momentum"),
            )
            for value in (np.nan, np.inf)
        ],
        *[(name, None, TypeError) for name in ("rho", "r", "damping", "gram_decay", "momentum", "gram_every")],
        *[
            (name, "1", TypeError)
            for name in (
                *("rho", "r", "radius", "output_radius", "damping"),
                *("multiplier_cap", "gram_decay", "momentum", "gram_every"),
            )
        ],
        ("rho", True, TypeError),
        ("schedule", "linear", ValueError),
        ("schedule", None, ValueError),
        ("gram_every", 0, ValueError),
        ("max_iter", 0, ValueError),
        ("max_iter", 2.0, TypeError),
        ("gram_every", -2, ValueError),
        ("gram_every", 1.5, TypeError),
    ],
)
def test_rollout_setting_is_refused(name, value, error):
    assert_refused(classifier(solver=Rollout(**{name: value})), error, name)


@pytest.mark.parametrize("name", ["radius", "output_radius"])
def test_rollout_needs_a_bound_on_the_step(name):
    assert_refused(classifier(solver=Rollout(r=0, **{name: None})), ValueError, ["r is 0", name])


# init


@pytest.mark.parametrize(
    ("init", "error", "parts"),
    [
        ([np.zeros((4, 2))], TypeError, ["init", "list", "dict"]),
        (3, TypeError, ["init", "int"]),
        ({"X": np.zeros(4)}, ValueError, ["init", "'X'", "'U'"]),
        ({1: np.zeros(4)}, ValueError, ["init", "1", "'U'"]),
        ({"U": np.zeros((2, 4))}, ValueError, ["init['U']", "(2, 4)", "(4, 2)"]),
        ({"W": np.zeros((4, 5))}, ValueError, ["init['W']", "(4, 5)", "(4, 4)"]),
        ({"b": np.zeros((4, 1))}, ValueError, ["init['b']", "(4, 1)", "(4,)"]),
        ({"V": np.zeros((3, 4))}, ValueError, ["init['V']", "(3, 4)", "(2, 4)"]),
        ({"c": 0.0}, ValueError, ["init['c']", "()", "(2,)"]),
        ({"b": [0, 0, np.nan, 0]}, ValueError, ["init['b']", "NaN"]),
        ({"b": [0, 0, np.inf, 0]}, ValueError, ["init['b']", "infinity"]),
        ({"b": [0, 0, 1e300, 0]}, ValueError, ["init['b']"]),
        ({"b": ["a"] * 4}, TypeError, ["init['b']", "numbers"]),
        ({"b": np.zeros(4) * 1j}, ValueError, ["init['b']", "omplex"]),
        ({"U": [[1, 2], [1]]}, (ValueError, TypeError), ["init['U']"]),
    ],
)
def test_init_is_refused(init, error, parts):
    assert_refused(classifier(init=init), error, parts)


# X


NOT_FINITE = [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")]


@pytest.mark.parametrize(("value", "found"), NOT_FINITE)
@pytest.mark.parametrize(
    ("X", "place"),
    [
        (lambda value: with_value(with_value(X3, (3, 2, 1), value), (4, 0, 0), value), "sequence 3, step 2, feature 1"),
        (lambda value: listed(2, with_value(X3[2], (4, 1), value)), "sequence 2, step 4, feature 1"),
        (lambda value: with_value(X2, (7, 3), value), "sequence 7, step 3, feature 0"),
        (lambda value: with_value(X3, (0, 0, 0), value, np.float16), "sequence 0, step 0, feature 0"),
    ],
    ids=["array", "list", "table", "float16"],
)
def test_nan_or_infinity_is_refused_with_the_first_place(X, place, value, found):
    assert_refused(classifier(), ValueError, ["X contains", found, place], X=X(value))


@pytest.mark.parametrize(
    ("X", "place"),
    [
        (with_value(X3, (1, 4, 0), 1e39), "sequence 1, step 4, feature 0"),
        (listed(2, with_value(X3[2], (3, 1), -1e39)), "sequence 2, step 3, feature 1"),
        (with_value(X2, (1, 3), 1e300), "sequence 1, step 3, feature 0"),
    ],
    ids=["array", "list", "table"],
)
def test_value_too_large_for_float32_is_refused(X, place):
    assert_refused(classifier(), ValueError, ["X contains", "too large for float32", place], X=X)


@pytest.mark.parametrize(
    ("X", "error", "parts"),
    [
        ([], ValueError, ["X", "empty"]),
        ((), ValueError, ["X", "empty"]),
        (np.zeros((0, 5, 2)), ValueError, ["X", "(0, 5, 2)", "at least one"]),
        (np.zeros((N, 0, 2)), ValueError, ["X", "(12, 0, 2)", "at least one"]),
        (np.zeros((N, 5, 0)), ValueError, ["X", "(12, 5, 0)", "at least one"]),
        (np.zeros((0, 5)), ValueError, "0 sample(s)"),
        (np.zeros((N, 0)), ValueError, "0 feature(s)"),
        (listed(3, np.zeros((0, 2))), ValueError, ["X[3]", "no steps", "remove"]),
        ([[1.0, 2.0], [], [1.0]] * 4, ValueError, ["X[1]", "no steps"]),
        ([np.zeros((3, 0))] * N, ValueError, ["X[0]", "0 features"]),
        (listed(3, np.zeros((2, 3))), ValueError, ["X[3]", "3 features", "X[0] has 2"]),
        (listed(3, [[1.0, 2.0], [3.0]]), ValueError, ["X[3]", "different lengths"]),
        (listed(3, np.zeros(4)), ValueError, ["X[3]", "1 dimension(s)", "must have 2"]),
        (listed(0, np.zeros((1, 1, 2))), ValueError, ["X[0]", "3 dimension(s)"]),
        (listed(5, None), ValueError, ["X[5]", "0 dimension(s)"]),
        ([np.zeros((1, 2, 2))] * N, ValueError, ["X[0]", "3 dimension(s)"]),
        (np.zeros((N, 2, 2, 2)), ValueError, ["X has 4 dimensions", "(n_sequences, n_steps, n_features)"]),
        (np.zeros(N), ValueError, ["X has the shape (12,)", "[np.asarray(X)[:, None]]"]),
        (3.0, TypeError, ["X is 3.0 of type float", "pass an array"]),
        (None, TypeError, ["X is None of type NoneType", "pass an array"]),
        (X3.astype(str), TypeError, ["X", "pass numbers"]),
        (X2.astype(str), TypeError, ["X", "pass numbers"]),
        (listed(4, [["a", "b"]]), TypeError, ["X[4]", "pass numbers"]),
        (with_value(X3, (0, 1, 0), "low", object), TypeError, ["X", "'low'", "pass numbers"]),
        (with_value(X2, (0, 1), "low", object), (TypeError, ValueError), "low"),
        (with_value(X3, (0, 1, 0), {}, object), TypeError, ["X", "dict", "pass numbers"]),
        (listed(1, np.array([["low", 1.0]], dtype=object)), TypeError, ["X[1]", "'low'"]),
        (X3.astype("datetime64[s]"), TypeError, ["X", "datetime64"]),
        (np.zeros((N, 5, 2), [("a", "f4")]), TypeError, ["X", "pass numbers"]),
        (X3 * 1j, ValueError, ["Complex data not supported", "X", "complex128"]),
        (X2 * 1j, ValueError, "Complex data not supported"),
        (listed(6, X3[6] * 1j), ValueError, ["Complex data not supported", "X[6]"]),
        (csr_matrix(X2), TypeError, ["X is one sparse matrix", "a list", "toarray()"]),
        (
            pd.DataFrame({"a": ["x"] * N, "b": [1.0] * N}),
            ValueError,
            ["X is a table", "'a', 'b'", "sequences_from_table"],
        ),
        (masked(X3), ValueError, ["X is", "masked"]),
        (masked(X2), ValueError, ["X is", "masked"]),
        (listed(3, masked(X3[3])), ValueError, ["X[3]", "masked"]),
        ([*X2[1:], masked(X2[0])], ValueError, ["X[11]", "masked"]),
        ([*X2[1:], masked(X2[0, :3])], ValueError, ["X[11]", "masked"]),
        (in_an_object_array(listed(3, masked(X3[3]))), ValueError, ["X[3]", "masked"]),
    ],
)
def test_X_is_refused(X, error, parts):
    assert_refused(classifier(), error, parts, X=X)


# y


@pytest.mark.parametrize(
    ("y", "error", "parts"),
    [
        (None, ValueError, "y"),
        (Y[:-1], ValueError, ["X has 12 sequences", "y has 11 entries"]),
        ([], ValueError, ["X has 12 sequences", "y has 0 entries"]),
        (np.zeros(N), ValueError, ["y has one class only", "0", "at least two"]),
        (["a"] * N, ValueError, ["y has one class only", "'a'", "at least two"]),
        (with_value(Y, 4, np.nan, float), ValueError, ["y contains NaN", "index 4"]),
        (with_value(Y, 4, np.inf, float), ValueError, ["y contains", "infinity", "index 4"]),
        (Y + 0.5, ValueError, "continuous"),
        (np.column_stack([Y, Y]), ValueError, ["y should be a 1d array", "y has 2 entries for each sequence"]),
        (3, ValueError, "y should be a 1d array"),
        (Y * 1j, ValueError, "Complex data not supported"),
        (pd.Series(["a", pd.NA] * (N // 2), dtype="string"), ValueError, ["y contains NaN", "index 1"]),
        (masked(Y), ValueError, ["y is", "masked"]),
        (masked(np.tile(Y[:5], (N, 1))), ValueError, ["y is", "masked"]),
        ([*np.tile(Y[:5], (N - 1, 1)), masked(Y[:5])], ValueError, ["y[11]", "masked"]),
    ],
)
def test_y_is_refused(y, error, parts):
    assert_refused(classifier(), error, parts, y=y)


@pytest.mark.parametrize("other", [1, None, np.nan])
def test_labels_that_cannot_be_sorted_are_refused(other):
    y = np.array(["a", other] * (N // 2), dtype=object)
    assert_refused(classifier(), (TypeError, ValueError), "y", y=y)


@pytest.mark.parametrize(
    ("y", "name"),
    [
        (masked(X2[:, 0]), "y"),
        (masked(X2), "y"),
        (masked(X3), "y"),
        ([*X2[1:], masked(X2[0])], "y[11]"),
        ([*X3[1:], masked(X3[0])], "y[11]"),
    ],
)
def test_masked_targets_of_a_regression_are_refused(y, name):
    with pytest.raises(ValueError, match=re.escape(f"{name} is an array with masked values")):
        RNNRegressor(4, max_epochs=1).fit(X3, y)


# sample_weight


@pytest.mark.parametrize(
    ("sample_weight", "error", "parts"),
    [
        (np.ones(N - 1), ValueError, ["(11,)", "(12,)"]),
        (np.ones((N, 1)), ValueError, ["(12, 1)", "(12,)"]),
        (1.0, ValueError, ["()", "(12,)"]),
        (with_value(np.ones(N), 3, -2.0), ValueError, ["negative", "index 3", "-2"]),
        (with_value(np.ones(N), 3, np.nan), ValueError, ["NaN", "index 3"]),
        (with_value(np.ones(N), 3, np.inf), ValueError, ["infinity", "index 3"]),
        (np.zeros(N), ValueError, "zero"),
        (["a"] * N, TypeError, "numbers"),
        (np.ones(N) * 1j, ValueError, "omplex"),
        (masked(np.ones(N)), ValueError, "masked"),
    ],
)
def test_sample_weight_is_refused(sample_weight, error, parts):
    parts = [parts] if isinstance(parts, str) else parts
    assert_refused(classifier(), error, ["sample_weight", *parts], sample_weight=sample_weight)


def test_one_class_of_positive_weight_is_refused():
    assert_refused(classifier(), ValueError, ["one class only", "positive weight"], sample_weight=(Y == 1) * 1.0)


# predict


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_predict_before_fit_is_refused(method):
    with pytest.raises(NotFittedError, match="RNNClassifier"):
        getattr(classifier(), method)(X3)


@pytest.fixture(scope="module")
def fitted():
    return classifier().fit(X3, Y)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (observations(3, 5, 4), r"X has 4 features.*expecting 2"),
        ([np.zeros((2, 1))], r"X has 1 features.*expecting 2"),
        (observations(3, 5), r"X has 1 features.*expecting 2"),
        (with_value(X3, (1, 2, 0), np.nan), "X contains NaN, first at sequence 1, step 2, feature 0"),
        ([], "X is an empty list"),
        ([np.zeros((0, 2))], re.escape("X[0] has no steps")),
        (with_value(X3, (1, 2, 0), 1e39), "too large for float32"),
    ],
    ids=["array", "list", "table", "nan", "empty", "no steps", "too large"],
)
def test_predict_refuses(fitted, X, message):
    with pytest.raises(ValueError, match=message):
        fitted.predict(X)


def test_predict_refuses_strings(fitted):
    with pytest.raises(TypeError, match="X holds .* pass numbers"):
        fitted.predict(X3.astype(str))


@pytest.mark.parametrize("n_columns", [4, 6])
def test_predict_refuses_a_table_with_other_columns(n_columns):
    model = classifier().fit(X2, Y)
    with pytest.raises(ValueError, match=rf"X has {n_columns} features.*expecting 5"):
        model.predict(observations(3, n_columns))


def test_settings_changed_after_fit_do_not_change_the_fitted_network():
    model = classifier().fit(X3, Y)
    before = model.predict_proba(X3)
    model.set_params(activation="relu", dtype="float64", hidden_size=3)
    np.testing.assert_array_equal(model.predict_proba(X3), before)


# What a refused call leaves behind


@pytest.mark.parametrize(
    ("settings", "X", "y"),
    [
        ({}, observations(N, 5, 3), Y[:-1]),
        ({}, observations(N, 5, 3), np.zeros(N)),
        ({"solver": Rollout(rho=-1)}, observations(N, 5, 3), [*"abc"] * 4),
        ({"init": {"U": 0.0}}, X2, [*"abc"] * 4),
    ],
    ids=["labels", "one class", "Rollout", "init"],
)
def test_a_refused_fit_leaves_a_fitted_estimator_as_it_was(settings, X, y):
    model = classifier().fit(X3, Y)
    expected = model.predict_proba(X3)
    with pytest.raises((ValueError, TypeError)):
        model.set_params(**settings).fit(X, y)
    assert np.array_equal(model.predict_proba(X3), expected)
    assert np.array_equal(model.classes_, [0, 1])
    assert model.n_features_in_ == 2


def test_a_refused_setting_calls_no_callback():
    called = []
    with pytest.raises(ValueError, match="rho"):
        classifier(solver=Rollout(rho=0), callbacks=[called.append]).fit(X3, Y)
    assert called == []


def test_a_refused_setting_prints_nothing(capfd):
    with pytest.raises(ValueError, match="rho"):
        classifier(solver=Rollout(rho=0), verbose=1).fit(X3, Y)
    assert capfd.readouterr() == ("", "")


# What must not be refused


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden_size": np.int64(3)},
        {"hidden_size": np.uint8(254)},
        {"max_epochs": np.int8(2)},
        {"max_epochs": np.int8(127)},
        {"batch_size": np.uint8(5)},
        {"batch_size": 10**30},
        {"activation": np.str_("relu")},
        {"penalty": np.float16(0.1)},
        {"dtype": np.float64},
        {"dtype": np.dtype("float32")},
        {"shuffle": np.True_},
        {"callbacks": ()},
        {"callbacks": (print,)},
        {"solver": Rollout(multiplier_cap=None, gram_every=np.uint8(3))},
    ],
    ids=str,
)
def test_numpy_scalars_and_the_like_are_settings_too(settings):
    model = classifier(**settings).fit(X3, Y)
    assert model.n_iter_ == settings.get("max_epochs", 1)
    assert np.isfinite(model.predict_proba(X3)).all()


@pytest.mark.parametrize("scale", [1e300, 1e-300, 1e-45])
def test_only_the_ratios_of_sample_weight_count(scale):
    expected = classifier().fit(X3, Y)
    model = classifier().fit(X3, Y, sample_weight=np.full(N, scale))
    assert np.allclose(model.W_, expected.W_, atol=1e-5)


@pytest.mark.parametrize("settings", [{"frame": (1, 1 << 31)}, {"frame": 1 << 63}, {"n_threads": 10**30}])
def test_numbers_that_kernels_cannot_count_to(settings):
    (name,) = settings
    with pytest.raises(ValueError, match=f"{name} is .* at most 2147483647"):
        RNNClassifier(4, **settings).fit(np.zeros((4, 5, 1)), [0, 1, 0, 1])


@pytest.mark.parametrize("sparse", [csr_matrix, coo_array])
def test_sparse_matrices_that_are_no_list_of_sequences_are_refused(sparse):
    X, y = [np.ones((4, 3))] * 4, [0, 1, 0, 1]
    model = RNNClassifier(2, max_epochs=1, random_state=0).fit(X, y)
    of_values = RNNRegressor(2, max_epochs=1, random_state=0)
    for call, message in (
        (lambda: model.predict(sparse(X[0])), r"X is one sparse matrix of the shape \(4, 3\): pass a list"),
        (lambda: model.predict([X[0], sparse(X[0])]), r"X\[0\] is of type ndarray, and X\[1\] is a sparse matrix"),
        (lambda: of_values.fit(X, [sparse(x) for x in X]), r"y\[0\] is a sparse matrix; convert it with its toarray"),
        (lambda: RNNClassifier(2).fit(X, y, validation_data=(sparse(X[0]), y)), "X is one sparse matrix"),
    ):
        with pytest.raises(TypeError, match=message):
            call()


def test_readers_of_targets_are_found_where_they_were():
    from admmirnn.data import reading_targets

    assert validation.check_labels is reading_targets.check_labels
    assert validation.check_values is reading_targets.check_values
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = validation.nonsense


@pytest.mark.parametrize(
    ("numbers", "is_fine"),
    [
        ([0, 3], True),
        ([2], True),
        ([3, 1, 0], True),
        ([], False),
        ([0, 1, 2, 3], False),
        ([1, 1], False),
        ([0, 4], False),
        ([-1, 0], False),
        ([0.0, 1.0], False),
    ],
)
def test_the_form_of_different_numbers(numbers, is_fine):
    check, found = validation.different(4, 1, 3), np.array(numbers, None if numbers else int)
    if is_fine:
        check("order", found)
    else:
        with pytest.raises(ValueError, match="order"):
            check("order", found)
    for other in (found[None], found.tolist()):
        with pytest.raises(ValueError, match="order"):
            check("order", other)


@pytest.mark.parametrize(
    ("form", "fine", "wrong"),
    [
        (validation.count(), [0, 1, 2**53], [-1, 2**53 + 1, 1.0, True, np.int64(1), "1", None]),
        (validation.count(2), [2, 3], [1, 0, 2.0]),
        (validation.number(0), [0, 0.0, 0.5, math.inf], [-0.5, math.nan, "1", None, np.float64(1)]),
        (validation.number(), [-math.inf, -1, 1.5], [math.nan]),
    ],
)
def test_the_forms_of_counts_and_numbers(form, fine, wrong):
    for found in fine:
        form("epoch", found)
    for found in wrong:
        with pytest.raises(ValueError, match="for epoch"):
            form("epoch", found)


def arrays(*shapes, dtype="f8"):
    return [np.zeros(shape, dtype) for shape in shapes]


@pytest.mark.parametrize(
    ("items", "alike"),
    [
        (arrays(2, 3), True),
        (tuple(arrays((2, 3), (4, 3))), True),
        (arrays((2, 3, 1), (1, 3, 1)), True),
        (arrays(2) + arrays(3, dtype="f4"), False),  # "d" and "f", and the other way round
        (arrays(2, dtype="f4") + arrays(3), False),
        (arrays((2, 3)) + arrays((2, 3), dtype="f4"), False),
        (arrays((2, 3), dtype="f4") + arrays((2, 3)), False),
        (arrays((2, 3), (2, 4)), False),
        (arrays((2, 3), 2), False),
        (arrays(2, (2, 3)), False),
        (arrays((), ()), False),
        (arrays(2, 3, dtype=object), False),
        ([np.zeros(2), [0.0]], False),
        (np.zeros((2, 3)), False),
    ],
)
def test_lists_of_arrays_that_can_be_looked_at_at_once(items, alike):
    assert validation.are_alike(items) is alike


def test_all_cores_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", {0: {0, 2, 5}}.__getitem__, raising=False)
    assert validation.check_n_threads(None) == 3
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: 7)
    assert validation.check_n_threads(None) == 7
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert validation.check_n_threads(None) == 1
