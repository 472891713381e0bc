"""Sequences in sparse matrices: the fits are those to arrays, and nothing but minibatches is made dense."""

import pickle
import tracemalloc
import warnings
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import coo_array, csc_array, csr_array, csr_matrix
from sklearn.model_selection import cross_val_score

from admmirnn import Algorithm1, RNNClassifier, RNNRegressor, Rollout, backend, load
from admmirnn.data.augmenting import Augmentation
from admmirnn.data.sequences import Sequences
from admmirnn.data.sparse import SparseRows
from admmirnn.data.standardising import moments_of
from admmirnn.files.checkpoints import fingerprint
from admmirnn.networks.blocks import weights_of
from admmirnn.preprocessing import SequenceScaler
from tests.kernel_calls import room_of
from tests.simulated_workers import together
from tests.test_rounds import fit_in_rounds

D = 30
FORMATS = [
    f"{name}_{kind}" for name in ("bsr", "coo", "csc", "csr", "dia", "dok", "lil") for kind in ("array", "matrix")
]
QUICK = {"hidden_size": 5, "max_epochs": 3, "random_state": 0}


def counts_of_words(n=40, d=D, seed=0, dtype=np.float32):
    """Sequences of unequal lengths, few of whose numbers are not zero, and of some steps none."""
    rng = np.random.default_rng(seed)
    return [rng.poisson(0.1, (length, d)).astype(dtype) for length in rng.integers(1, 9, n)]


def as_sparse(X, form=csr_array):
    return [form(x) for x in X]


def targets_of(X, *, each, values):
    """What can be learnt of such sequences: numbers, or labels."""
    if each:
        found = [x[:, : D // 2].sum(axis=1).astype(float) for x in X]
        return found if values else [y > 1 for y in found]
    found = np.array([x[-1, : D // 2].sum() + x[0, 0] for x in X])
    return found if values else found > 1


def assert_equal_fits(model, other):
    found, expected = weights_of(model), weights_of(other)
    assert found.keys() == expected.keys()
    for name in found:
        assert_array_equal(found[name], expected[name], name)


def assert_equal_outputs(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)


# fits


SETTINGS = [
    {},
    {"dtype": "float64"},
    {"early_stopping": True, "validation_fraction": 0.25},
    {"cell": "lstm", "n_threads": 2},
    {"cell": "gru", "readout": "mean", "hidden_size": (4, 3)},
    {"cell": "elman", "bidirectional": True, "batch_size": 7},
    {"scale": 0.5},
    {"standardize": True, "frame": (1, 1)},
    {"n_networks": 2},
    {"augment": {"noise": 0.1, "scale": 0.1}},
    {"solver": Rollout(gram_block=7)},
    {"cell": "elman", "activation": "tanh", "solver": Algorithm1()},
]


def given_standard(settings):
    """Standardised or not, as the settings say; means are added up in another order, so that last bits may differ."""
    return {"standardize": False} | QUICK | settings


@pytest.mark.slow_on("numpy")
@pytest.mark.parametrize("values", [False, True], ids=["labels", "values"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_fit_is_that_to_arrays(backend_name, settings, values):
    X = counts_of_words()
    y, weights = targets_of(X, each=False, values=values), np.linspace(0, 2, len(X))
    make = RNNRegressor if values else RNNClassifier
    models = [make(**given_standard(settings)).fit(of, y, sample_weight=weights) for of in (X, as_sparse(X))]
    if settings.get("standardize"):
        for name, found in weights_of(models[1]).items():
            assert_allclose(found, weights_of(models[0])[name], rtol=0, atol=1e-4)
        return
    assert_equal_fits(*models)
    more = counts_of_words(20, seed=1)
    for method in ("predict",) if values else ("predict", "predict_proba", "decision_function"):
        expected = getattr(models[0], method)(more)
        for form in (more, as_sparse(more)):
            assert_array_equal(getattr(models[1], method)(form), expected)
    y = targets_of(more, each=False, values=values)
    assert models[1].score(as_sparse(more), y) == models[0].score(more, y)


@pytest.mark.parametrize("values", [False, True], ids=["labels", "values"])
@pytest.mark.parametrize(
    "settings", [{}, {"stateful": True, "chunk_size": 2, "batch_size": 4}, {"early_stopping": True}], ids=str
)
def test_targets_at_each_step(backend_name, settings, values):
    X = counts_of_words()
    y = targets_of(X, each=True, values=values)
    make = RNNRegressor if values else RNNClassifier
    models = [make(**given_standard(settings)).fit(of, y) for of in (X, as_sparse(X))]
    assert_equal_fits(*models)
    assert_equal_outputs(models[1].predict(as_sparse(X)), models[0].predict(X))
    assert models[1].score(as_sparse(X), y) == models[0].score(X, y)


def test_frames_of_sparse_rows(backend_name):
    X = [x for x in counts_of_words() if len(x) > 2]
    y = targets_of(X, each=False, values=False)
    for settings in ({"frame": (3, 2)}, {"frame": (2, 1), "bidirectional": True}):
        models = [RNNClassifier(**given_standard(settings)).fit(of, y) for of in (X, as_sparse(X))]
        assert_equal_fits(*models)
        assert_array_equal(models[1].predict_proba(as_sparse(X)), models[0].predict_proba(X))


def test_validation_data_and_partial_fit():
    X, more = counts_of_words(), counts_of_words(10, seed=1)
    y, of_more = (targets_of(some, each=False, values=False) for some in (X, more))
    fits = []
    for form in (list, as_sparse):
        model = RNNClassifier(**given_standard({"early_stopping": True}))
        model.fit(form(X), y, validation_data=(as_sparse(more) if form is list else more, of_more))
        losses = [record["validation_loss"] for record in model.history_]
        online = RNNClassifier(**given_standard({}))
        for first in range(0, 40, 8):
            online.partial_fit(form(X[first : first + 8]), y[first : first + 8], classes=[False, True])
        fits.append((model, online, losses))
    assert_equal_fits(fits[0][0], fits[1][0])
    assert_equal_fits(fits[0][1], fits[1][1])
    assert fits[0][2] == fits[1][2]


def test_streams_that_go_on():
    """Each call of partial_fit reads the next steps."""
    X = [np.concatenate(counts_of_words(5, seed=i)) for i in range(3)]
    X = [x[:12] for x in X]
    y = [x[:, 0] > 0 for x in X]
    fits = []
    for form in (list, as_sparse):
        model = RNNClassifier(**given_standard({"stateful": True, "chunk_size": 3}))
        for part in (slice(0, 6), slice(6, 12)):
            model.partial_fit(form([x[part] for x in X]), [of[part] for of in y], classes=[False, True])
        fits.append(model)
    assert_equal_fits(*fits)


@pytest.mark.parametrize("standardize", ["auto", True])
def test_features_are_standardised_in_each_minibatch(backend_name, standardize):
    X = [x * np.where(np.arange(D) % 2, 1, 1000) for x in counts_of_words()]  # float64
    y = targets_of(X, each=False, values=False)
    of_arrays, of_sparse = (RNNClassifier(**QUICK, standardize=standardize).fit(of, y) for of in (X, as_sparse(X)))
    assert_allclose(of_sparse.feature_mean_, of_arrays.feature_mean_, rtol=1e-12)
    assert_allclose(of_sparse.feature_scale_, of_arrays.feature_scale_, rtol=1e-12)
    assert_array_equal(of_sparse.predict_proba(as_sparse(X)), of_sparse.predict_proba(X))
    assert_allclose(of_sparse.predict_proba(X), of_arrays.predict_proba(X), rtol=0, atol=1e-3)


def test_moments_are_those_of_arrays():
    rng = np.random.default_rng(0)
    X = [x * rng.normal(size=D) for x in counts_of_words(60)]
    X = [np.where(np.arange(D) == 4, 3.5, np.where(np.arange(D) == 5, 0, x)) for x in X]  # constant ones
    lengths = [len(x) for x in X]
    of_both = [Sequences.of_lengths(rows, lengths) for rows in (sparse_rows(X), np.concatenate(X))]
    some = np.arange(3, 60, 4)
    for change in (
        lambda all_of: all_of,
        lambda all_of: replace(all_of, first_rows=all_of.first_rows[some], lengths=all_of.lengths[some]),
        lambda all_of: replace(all_of, lengths=(all_of.lengths + 1) // 2).reversed(),
    ):
        given, of_arrays = map(change, of_both)
        found, expected = moments_of(given), moments_of(of_arrays)
        for name in ("mean", "deviation", "least", "largest"):
            assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12, atol=1e-15, err_msg=name)
        assert found.n == expected.n
        assert (found.mean[4], found.deviation[4], found.mean[5], found.deviation[5]) == (3.5, 0, 0, 0)


def test_moments_of_several_parts(monkeypatch):
    X = counts_of_words(60)
    sequences = Sequences.of_lengths(sparse_rows(X), [len(x) for x in X])
    whole = moments_of(sequences)
    monkeypatch.setattr("admmirnn.data.standardising._VALUES_AT_A_TIME", 50)
    for name in ("mean", "deviation", "least", "largest"):
        assert_allclose(getattr(moments_of(sequences), name), getattr(whole, name), rtol=1e-12)


def test_several_workers_and_rounds():
    X, y = counts_of_words(), targets_of(counts_of_words(), each=False, values=False)
    for standardize in (False, True):
        fits = []
        for form in (list, as_sparse):
            parts = [(form(X[:25]), y[:25]), (form(X[25:]), y[25:])]

            def fit(reducer, parts=parts, standardize=standardize):
                model = RNNClassifier(**QUICK, standardize=standardize, early_stopping=True)
                return model.fit(*parts[reducer.rank], reducer=reducer)

            in_rounds = fit_in_rounds(RNNClassifier(**QUICK, standardize=standardize), parts)
            fits.append([*together(2, fit), in_rounds])
        for found, expected in zip(*fits, strict=True):
            for name, weights in weights_of(found).items():
                assert_allclose(weights, weights_of(expected)[name], rtol=0, atol=1e-4 if standardize else 0)


def test_scikit_learn_selects_sequences():
    X, y = counts_of_words(), targets_of(counts_of_words(), each=False, values=False)
    scores = [cross_val_score(RNNClassifier(**given_standard({})), of, y, cv=3) for of in (X, as_sparse(X))]
    assert_array_equal(*scores)


# forms


def sparse_rows(X):
    matrices = [csr_array(x) for x in X]
    return SparseRows.of(matrices, [matrix.data for matrix in matrices])


def sequences_of(X, dtype="float32"):
    """As an estimator reads them."""
    from admmirnn.data.reading import read_sequences

    return read_sequences(RNNClassifier(), X, np.dtype(dtype))[0]


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_read(form):
    X = counts_of_words(5)
    found = sequences_of([getattr(scipy.sparse, form)(x) for x in X])
    assert isinstance(found.observations, SparseRows) and found.observations.dtype == np.float32
    assert_array_equal(found.observations[:], np.concatenate(X))
    assert_array_equal(found.lengths, [len(x) for x in X])


@pytest.mark.parametrize(
    "container", [tuple, lambda X: np.array([*X, None], object)[:-1], iter], ids="tuple array".split() + ["iterator"]
)
def test_containers(container):
    X = counts_of_words(5)
    if container is iter:
        with pytest.raises(TypeError):
            sequences_of(iter(as_sparse(X)))
        return
    assert_array_equal(sequences_of(container(as_sparse(X))).observations[:], np.concatenate(X))


def test_numbers_are_those_of_arrays():
    """Of any type, and of several."""
    X = counts_of_words(4)
    types = ["bool", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "longdouble"]
    for dtype in ("float32", "float64"):
        for kind in types:
            given = [x.astype(kind) for x in X]
            found, expected = sequences_of(as_sparse(given), dtype), sequences_of(given, dtype)
            assert found.observations.dtype == expected.observations.dtype, kind
            assert_array_equal(found.observations[:], expected.observations)
    exact = [X[0].astype("i2"), X[1], X[2].astype("f8") + (1 << 25), X[3].astype("u1")]
    for given in (exact, exact[:2]):
        found, expected = sequences_of(as_sparse(given)), sequences_of(given)
        assert found.observations.dtype == expected.observations.dtype
        assert_array_equal(found.observations[:], expected.observations)


def test_matrices_are_read_whatever_their_indices_are():
    """Explicit zeros, columns in no order or several times, indices of 64 bits; what is given stays as it is."""
    data, columns, starts = np.array([1.0, 0, 2, 3, 4]), np.array([3, 1, 0, 0, 2]), np.array([0, 2, 2, 5])
    for index in (np.int32, np.int64):
        given = csr_array((data.copy(), columns.astype(index), starts.astype(index)), shape=(3, 4))
        before = [given.data.copy(), given.indices.copy(), given.indptr.copy()]
        found = sequences_of([given, csr_array(np.eye(4))]).observations
        assert_array_equal(found[:], np.concatenate([[[0, 0, 0, 1], [0, 0, 0, 0], [5, 0, 4, 0]], np.eye(4)]))
        for array, expected in zip((given.data, given.indices, given.indptr), before, strict=True):
            assert_array_equal(array, expected)
        assert found.columns.dtype == np.int32 and found.starts.dtype == np.intp
    of_bool = csr_array((np.ones(2, bool), [1, 1], [0, 2]), shape=(1, 3))
    assert_array_equal(sequences_of([of_bool]).observations[:], [[0, 1, 0]])
    empty = sequences_of([csr_array((3, 4)), csr_array((1, 4))]).observations
    assert empty.shape == (4, 4) and not empty[:].any()
    with_more = csr_array(np.eye(3))
    with_more.data, with_more.indices = np.append(with_more.data, 7.0), np.append(with_more.indices, 1)
    assert_array_equal(sequences_of([with_more]).observations[:], np.eye(3))


def test_indices_that_were_changed_after_they_were_looked_at():
    given = csr_array(np.eye(3))
    assert given.has_canonical_format
    given.indices[:] = [0, 5, 1]
    with pytest.raises(ValueError, match=r"X\[1\] is a sparse matrix with wrong indices"):
        sequences_of([csr_array(np.eye(3)), given])
    given = csr_array([[1.0, 2.0, 0.0]])
    assert given.has_canonical_format
    given.indices[:] = 2
    assert_array_equal(sequences_of([given]).observations[:], [[0, 0, 3]])


def damaged(matrix, attribute, change):
    """A matrix whose indices somebody has changed."""
    array = getattr(matrix, attribute).copy()
    change(array)
    setattr(matrix, attribute, array)
    return matrix


def set_first(array):
    array[0] = 10**8


def set_second(array):
    array[1] = 10**7


def set_last(array):
    array[-1] = 10**8


@pytest.mark.parametrize(
    ("kind", "attribute", "change"),
    [
        ("csc", "indices", set_first),
        ("csc", "indptr", set_second),
        ("csc", "indptr", set_last),
        ("bsr", "indices", set_first),
        ("bsr", "indptr", set_last),
        ("coo", "row", set_first),
        ("coo", "col", set_last),
        ("csr", "indices", set_first),
        ("csr", "indptr", set_second),
        ("csr", "indptr", set_first),
    ],
)
def test_damaged_indices_are_refused_in_every_format(kind, attribute, change):
    X = [csr_array(np.eye(3)), damaged(csr_array(np.eye(3)).asformat(kind), attribute, change)]
    with pytest.raises(ValueError, match=r"X\[1\] is a sparse matrix with wrong indices .*; build it anew"):
        sequences_of(X)


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
def test_damaged_observations_of_streams_and_damaged_targets_are_refused(kind):
    def given(size):
        name = "col" if kind == "coo" else "indices"
        return damaged(csr_array(np.eye(size)[:1]).asformat(kind), name, set_first)

    model = RNNClassifier(3, max_epochs=1, random_state=0).fit([np.eye(3)] * 4, [0, 1, 0, 1])
    with pytest.raises(ValueError, match="x is a sparse matrix with wrong indices"):
        model.step(given(3))
    with pytest.raises(ValueError, match="y is a sparse matrix with wrong indices"):
        RNNClassifier(3, loss="sigmoid_cross_entropy", max_epochs=1).fit([np.eye(3)], given(2))


@pytest.mark.parametrize("given", [csr_array, coo_array, csr_matrix])
@pytest.mark.parametrize("estimator", [RNNClassifier, RNNRegressor])
def test_sparse_targets_are_refused_in_words(estimator, given):
    estimator = partial(estimator, 3, max_epochs=1, targets="step")
    X, labels = np.random.default_rng(0).normal(size=(4, 3, 2)), np.array([0, 1, 0, 1])
    of_steps = np.array([0, 1, 0])
    in_y = [given(labels[:, None]), given(labels[None, :]), given(np.ones((4, 3)))]
    in_lists = [([given(of_steps[:, None])] * 4, 0), ([of_steps] * 2 + [given(of_steps[None, :])] * 2, 2)]
    fitted = {False: estimator(targets="auto").fit(X, labels), True: estimator().fit(X, [of_steps] * 4)}
    for y, name in [(y, "y") for y in in_y] + [(y, rf"y\[{i}\]") for y, i in in_lists]:
        of_kind = fitted[isinstance(y, list)]
        for call in (estimator().fit, of_kind.score, of_kind.partial_fit):
            with pytest.raises(TypeError, match=f"^{name} is a sparse matrix; convert it with its toarray"):
                call(X, y)


def test_arrays_of_sparse_matrices_without_as_many_values_are_refused():
    for change in ({"data": np.ones(2)}, {"data": np.ones((3, 1))}, {"indptr": np.array([0, 1, 2])}):
        matrix = csr_array(np.eye(3))
        for name, value in change.items():
            setattr(matrix, name, value)
        with pytest.raises(ValueError, match=r"X\[0\]"):
            sequences_of([matrix, csr_array(np.eye(3))])


hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies


@st.composite
def matrices(draw):
    """Sequences in sparse matrices of some format and type, with indices as they come, and the same as arrays."""
    d, kind = draw(st.integers(1, 6)), draw(st.sampled_from(["bool", "u1", "i2", "i4", "i8", "f4", "f8"]))
    found = []
    for _ in range(draw(st.integers(1, 4))):
        n, index = draw(st.integers(1, 5)), draw(st.sampled_from([np.int32, np.int64]))
        entries = draw(
            st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, d - 1), st.integers(0, 9)), max_size=12)
        )
        rows, columns, values = np.array(entries, int).reshape(-1, 3).T
        by_row = np.argsort(rows, kind="stable")
        starts = np.searchsorted(rows[by_row], np.arange(n + 1)).astype(index)
        parts = values[by_row].astype(kind), columns[by_row].astype(index), starts
        matrix = draw(st.sampled_from([csr_array, csr_matrix]))(parts, shape=(n, d))
        found.append(matrix.asformat(draw(st.sampled_from(["csr", "csr", "csc", "coo", "lil", "dok", "bsr", "dia"]))))
    return found


@pytest.mark.hypothesis
@hypothesis.given(X=matrices(), dtype=st.sampled_from(["float32", "float64"]))
def test_whatever_is_given_is_read_as_its_arrays(X, dtype):
    found, expected = sequences_of(X, dtype), sequences_of([x.toarray() for x in X], dtype)
    rows = found.observations
    assert rows.dtype == expected.observations.dtype and rows.shape == expected.observations.shape
    assert_array_equal(rows[:], expected.observations)
    assert_array_equal(found.first_rows, expected.first_rows)
    some = np.random.default_rng(0).integers(0, len(rows), (3, 2))
    assert_array_equal(rows[some], expected.observations[some])
    assert_array_equal(rows[some, 0], expected.observations[some, 0])
    assert_array_equal(rows[0], expected.observations[0])
    for stride in (1, 2, 3):
        of_both = [np.concatenate(list(one.every(stride, 5))) for one in (found, expected)]
        assert_array_equal(*of_both)


# kernels


@pytest.mark.parametrize("name", ["compiled", "numpy"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("given", [np.uint8, np.int8, np.uint16, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("way", [1.0, 0.3, np.float32, np.float64])
def test_rows_are_written_as_arrays_are(name, dtype, given, way, monkeypatch):
    """With a scale, or means and factors in either precision; in frames, from both ends."""
    monkeypatch.setenv("ADMMIRNN_BACKEND", name)
    kernels = backend.kernels()
    rng = np.random.default_rng(0)
    X = [rng.poisson(0.5, (length, 200)).astype(given) for length in (6, 3, 4)]
    rows, lengths = np.concatenate(X), [6, 3, 4]
    standard = None if isinstance(way, float) else rng.uniform(1, 2, (2, 200)).astype(way)
    scale = way if isinstance(way, float) else 1.0
    n, K = 3, 2
    for frame, is_reversed in ((1, False), (1, True), (2, False), (2, True)):
        d = frame * 200
        found = []
        for observations in (rows, sparse_rows(X)):
            sequences = Sequences.of_lengths(observations, lengths).framed(frame, 1)
            batch = (sequences.reversed() if is_reversed else sequences).minibatch(np.array([2, 0, 1]))
            weights = np.random.default_rng(1).normal(size=(n, d + n + 1)).astype(dtype), np.ones((K, n + 1), dtype)
            shapes = {"S": (batch.n_rows + 3, n), "X": (batch.n_rows, d + 1), "Q": (3, K), "weights_T": (d + 1 + n, n)}
            arrays = {key: np.full(shape, 7, dtype) for key, shape in shapes.items()}
            room = room_of(*weights, "tanh", "last", 1, **arrays)
            of_batch = kernels.batch(
                *(batch.observations, scale, batch.first_rows, batch.lengths, batch.offsets, batch.frame, batch.stride),
                standard,
            )
            kernels.forward(kernels.work(room), of_batch)
            found.append(arrays)
        for key in ("X", "S", "Q"):
            assert_array_equal(found[1][key], found[0][key])


def test_wrong_indices_are_refused_by_kernels():
    kernels = backend.kernels()
    if not hasattr(kernels.batch, "__module__") or "_kernels" not in kernels.batch.__module__:
        pytest.skip("the numpy twin looks at nothing")
    rows = SparseRows(np.ones(3), np.array([0, 1, 1], np.int32), np.array([0, 1, 2, 3]), 2)
    where = np.array([1]), np.array([2]), np.array([0, 1, 2, 3])
    kernels.batch(rows, 1.0, *where)

    def changed(**arrays):
        fields = {"values": rows.values, "columns": rows.columns, "starts": rows.starts, "shape": rows.shape}
        return SimpleNamespace(**fields | arrays)

    for arrays in (
        {"columns": np.array([0, 2, 1], np.int32)},
        {"columns": np.array([0, -1, 1], np.int32)},
        {"starts": np.array([0, 1, 2, 4])},
        {"starts": np.array([0, 1, 3, 2])},
        {"starts": np.array([0, -1, 2, 3])},
    ):
        with pytest.raises(ValueError, match="rows 1 to 2 of sparse observations are wrong"):
            kernels.batch(changed(**arrays), 1.0, *where)
    for arrays, message in (
        ({"columns": rows.columns.astype(np.int64)}, "columns has numbers of the type"),
        ({"columns": rows.columns[:2]}, "columns has the shape"),
        ({"starts": rows.starts[:2]}, "starts has the shape"),
        ({"values": rows.values.astype(np.int64)}, "the values of sparse observations"),
        ({"values": rows.values[:, None]}, "the values of sparse observations"),
    ):
        with pytest.raises(ValueError, match=message):
            kernels.batch(changed(**arrays), 1.0, *where)
    with pytest.raises(ValueError, match="not sparse"):
        kernels.batch(rows, 1.0, None, np.array([1]), np.array([0, 1, 2]))


# messages


def wrong(x, row, column, value):
    found = x.astype(float)
    found[row, column] = value
    return csr_array(found)


@pytest.mark.parametrize(
    ("change", "error", "parts"),
    [
        (lambda X: X[0], TypeError, ["X is one sparse matrix of the shape", "[X]", "toarray()"]),
        (
            lambda X: [*X[:2], X[2].toarray()],
            TypeError,
            ["X[2] is of type ndarray", "X[0] is a sparse", "csr_array(X[2])"],
        ),
        (lambda X: [X[0].toarray(), *X[1:]], TypeError, ["X[0] is of type ndarray", "X[1] is a sparse"]),
        (lambda X: [*X[:3], csr_array((0, D))], ValueError, ["X[3] has no steps", "remove"]),
        (lambda X: [csr_array((2, 0))], ValueError, ["X[0] has 0 features"]),
        (lambda X: [*X[:3], csr_array((2, D + 1))], ValueError, [f"X[3] has {D + 1} features and X[0] has {D}"]),
        (lambda X: [csr_array((3, 2)), csr_array((3, 4))], ValueError, ["X[1] has 4 features", "[x.T for x in X]"]),
        (lambda X: [*X[:3], coo_array(np.ones(D))], ValueError, ["X[3] is sparse and has 1 dimension(s)"]),
        (lambda X: [*X[:3], X[3] * 1j], ValueError, ["Complex data not supported", "X[3]"]),
        (
            lambda X: [*X[:3], csr_array((np.ones(1), np.array([1 << 31]), [0, 1]), shape=(1, (1 << 31) + 1))],
            ValueError,
            ["X[3]", "features"],
        ),
        (lambda X: [csr_array((1, 1 << 32))], ValueError, ["X[0] has 4294967296 features", "at most 2147483647"]),
        (
            lambda X: [*X[:5], wrong(X[5].toarray(), -1, 4, np.nan)],
            ValueError,
            ["NaN", "sequence 5, step", "feature 4"],
        ),
        (
            lambda X: [*X[:5], wrong(X[5].toarray(), 0, 29, -np.inf)],
            ValueError,
            ["infinity", "sequence 5, step 0, feature 29"],
        ),
        (
            lambda X: [*X[:5], wrong(X[5].toarray(), 0, 0, 1e300)],
            ValueError,
            ["too large for float32", "sequence 5, step 0, feature 0"],
        ),
    ],
)
def test_what_is_refused(change, error, parts):
    X = as_sparse(counts_of_words(6))
    given = change(X)
    model = RNNClassifier(**given_standard({}))
    with pytest.raises(error) as found:
        model.fit(given, np.arange(len(given) if isinstance(given, list) else 6) % 2)
    for part in parts:
        assert part in str(found.value)
    assert not hasattr(model, "history_")


def test_the_sequence_of_a_value_is_named_whatever_the_standard():
    X = [x.astype(float) for x in counts_of_words(6)]
    y = [0, 1] * 3
    model = RNNClassifier(**QUICK, standardize=True).fit(as_sparse(X), y)
    for value, said in ((np.nan, "NaN"), (np.inf, "infinity"), (1e300, "too large for float32")):
        X[3][0, 7] = value
        with pytest.raises(ValueError, match=f"{said}.*sequence 3, step 0, feature 7"):
            model.predict(as_sparse(X))


def test_predict_refuses_other_features():
    X = counts_of_words(6)
    model = RNNClassifier(**given_standard({})).fit(X, [0, 1] * 3)
    with pytest.raises(ValueError, match=f"X has {D + 2} features, but RNNClassifier is expecting {D}"):
        model.predict([csr_array((2, D + 2))])
    with pytest.raises(ValueError, match=r"\[x.T for x in X\]"):
        model.predict([csr_array((D, 3))])
    with pytest.raises(TypeError, match="X is one sparse matrix"):
        model.predict(csr_array(X[0]))
    with pytest.raises(TypeError, match=r"validation_data.* is one sparse matrix|X is one sparse matrix"):
        model.fit(X, [0, 1] * 3, validation_data=(csr_array(X[0]), [0]))


@pytest.mark.parametrize("missing", ["forward", "indicator"])
def test_missing_values_are_not_filled_in(missing):
    X = as_sparse(counts_of_words(6))
    with pytest.raises(ValueError, match=rf"missing is '{missing}' and X holds sparse matrices.*missing='refuse'"):
        RNNClassifier(**QUICK, missing=missing).fit(X, [0, 1] * 3)


def test_a_scaler_refuses_what_would_not_be_sparse():
    X = counts_of_words(6)
    for call in (SequenceScaler().fit, SequenceScaler().fit(X).transform, SequenceScaler().fit(X).inverse_transform):
        with pytest.raises(TypeError, match="would not be sparse when they are standardised: leave this step out"):
            call(as_sparse(X))


# elsewhere


def test_streams_take_sparse_observations():
    X = counts_of_words(6)
    model = RNNClassifier(**given_standard({})).fit(as_sparse(X), [0, 1] * 3)
    stream, other = model.stream(), model.stream()
    for t in range(len(X[0])):
        assert_array_equal(stream(csr_array(X[0])[[t]])[0], other(X[0][t]))
    several = np.stack([x[0] for x in X])
    found, _ = model.step(csc_array(several))
    assert_array_equal(found, model.step(several)[0])


def test_files_and_pictures_do_not_depend_on_how_X_was_given(tmp_path):
    pytest.importorskip("safetensors")
    X, y = counts_of_words(), targets_of(counts_of_words(), each=False, values=False)
    model = RNNClassifier(**given_standard({})).fit(as_sparse(X), y)
    model.save(tmp_path / "model.safetensors")
    assert_equal_fits(load(tmp_path / "model.safetensors"), model)
    assert_array_equal(model._trace(csr_array(X[0]), None).states, model._trace(X[0], None).states)


def test_checkpoints_of_few_arrays_and_of_sparse_matrices_are_the_same():
    X, y = counts_of_words(), np.arange(40)
    found = [fingerprint(RNNClassifier(), (sequences_of(of), y, None)) for of in (X, as_sparse(X))]
    assert found[0] == found[1]
    X = [x + 1 for x in X]
    assert fingerprint(RNNClassifier(), (sequences_of(as_sparse(X)), y, None))["digest"] != found[0]["digest"]


def test_fingerprints_are_of_a_share_of_the_numbers_that_are_there():
    def sentences(seed):
        of_words = np.random.default_rng(seed).integers(1, 20_000, (200, 4))
        columns = np.column_stack([np.zeros(200, int), of_words])
        return [csr_array((np.ones(5), (np.arange(5), row)), shape=(5, 20_000)) for row in columns]

    found = [fingerprint(RNNClassifier(), (sequences_of(sentences(seed)), np.arange(200), None)) for seed in (0, 0, 1)]
    assert found[0] == found[1] and found[0]["digest"] != found[2]["digest"]


def test_sequences_can_be_pickled():
    sequences = sequences_of(as_sparse(counts_of_words(5)))
    again = pickle.loads(pickle.dumps(sequences))
    assert_array_equal(again.observations[:], sequences.observations[:])


def test_changes_are_made_to_a_dense_minibatch():
    X = counts_of_words(5)
    augmentation = Augmentation(0.1, 0.1, 0.2, np.ones(D), np.ones(D))
    found = [augmentation.minibatch(sequences_of(of), np.arange(4), 0) for of in (X, as_sparse(X))]
    assert_array_equal(found[1].observations, found[0].observations)
    assert_array_equal(found[1].first_rows, found[0].first_rows)


def test_values_that_are_the_next_observations_are_found_in_sparse_ones():
    rng = np.random.default_rng(0)
    series = rng.poisson(0.5, (20, 8, D)).astype(float)
    series[0, :, 3] = 0
    X, y = list(series[:, :-1]), series[:, 1:, 3]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fits = [RNNRegressor(**given_standard({})).fit(of, y) for of in (X, as_sparse(X))]
    assert_equal_fits(*fits)
    assert fits[1].predict(as_sparse(X)).shape == (20, 7)


def test_memory_is_that_of_a_minibatch():
    """A fit and predictions take a fraction of what the same observations take as an array."""
    n, n_steps, d = 200, 10, 20_000
    rng = np.random.default_rng(0)
    X = [
        csr_array(
            (np.ones(20 * n_steps, np.float32), rng.integers(0, d, 20 * n_steps), np.arange(0, 201, 20)), (n_steps, d)
        )
        for _ in range(n)
    ]
    y = np.arange(n) % 2
    model = RNNClassifier(hidden_size=4, max_epochs=1, batch_size=8, random_state=0, solver=Rollout(gram_block=16))
    model.fit([csr_array(x[:, :50]) for x in X[:20]], y[:20])  # what is loaded with the first fit is not counted
    n_bytes = 4 * n * n_steps * d
    for standardize in (False, True):
        model.set_params(standardize=standardize)
        tracemalloc.start()
        try:
            model.fit(X, y)
            of_fit = tracemalloc.get_traced_memory()[1]
            tracemalloc.reset_peak()
            model.predict(X)
            of_predict = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert of_fit < 0.4 * n_bytes and of_predict < 0.4 * n_bytes, (of_fit / n_bytes, of_predict / n_bytes)
