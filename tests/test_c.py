"""C exports against predict, for every cell, read-out, frame and form of targets; compiled strictly, and sanitized."""

import shutil
import subprocess

import numpy as np
import pytest
from c_programs import SANITIZERS, STRICT, build, run
from test_export import FORMS, KINDS, expected_of, fitted

from admmirnn import RNNClassifier, RNNRegressor
from admmirnn.export import c
from admmirnn.networks.blocks import weights_of
from admmirnn.networks.cells import CELLS
from admmirnn.penalties import Levels, Rank

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies
pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
COMPILERS = [
    pytest.param("gcc", (), (), id="gcc"),
    pytest.param("clang", (), (), id="clang"),
    pytest.param("arm-linux-gnueabihf-gcc", ("-static",), ("qemu-arm",), id="arm"),
]


def exported(model, folder, **settings):
    return model.to_c(folder / "model.c", **settings)


def assert_is_predict(model, X, found, tolerance=1e-5):
    """Whole sequences, and all that has been read after every step."""
    every_step = model._form_of_targets != "sequence"
    expected = expected_of(model, X)
    scale = max(1.0, max(np.abs(rows).max() for rows in expected))
    for x, of_one, rows in zip(X, found, expected, strict=True):
        rows = np.atleast_2d(rows)
        assert of_one.outputs.shape == rows.shape
        np.testing.assert_allclose(of_one.outputs, rows, rtol=0, atol=tolerance * scale)
        length = model._frame[0]
        for t, (status, answer) in enumerate(of_one.steps, 1):
            assert status == (t >= length)
            if status:
                (then,) = expected_of(model, [x[:t]])
                np.testing.assert_allclose(answer, then[-1] if every_step else then, rtol=0, atol=tolerance * scale)


def assert_answers(model, X, found):
    """Labels and probabilities of whole sequences."""
    if not isinstance(model, RNNClassifier):
        return
    for x, of_one in zip(X, found, strict=True):
        p = np.asarray(model.predict_proba([x])[0])
        p = p[-1] if model._form_of_targets != "sequence" else p
        np.testing.assert_allclose(of_one.probabilities, p, atol=2e-6)
        if of_one.label is not None:
            assert of_one.label == p.argmax()


@pytest.mark.parametrize("cell, form", list(zip(CELLS, (*FORMS, "last"), strict=True)))
def test_it_predicts(cell, form, tmp_path):
    kind = dict(zip(FORMS, KINDS, strict=True))[form]
    model, X = fitted(kind, form, cell=cell, hidden_size=(5, 4), frame=(3, 2) if form in ("last", "mean") else (1, 1))
    found = run(build(exported(model, tmp_path), tmp_path), X[:4], len(model.c_))
    assert_is_predict(model, X[:4], found)
    assert_answers(model, X[:4], found)


def drawn(data):
    """Any network, some of whose weights may be zeros."""
    cell = data.draw(st.sampled_from(sorted(CELLS)))
    activations = ("tanh", "sigmoid", "relu", "leaky_relu", "identity") if cell == "elman" else ("tanh",)
    settings = {
        "cell": cell,
        "activation": data.draw(st.sampled_from(activations)),
        "hidden_size": data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple)),
        "frame": data.draw(st.sampled_from([(1, 1), (1, 2), (2, 1), (3, 2), (2, 5), (4, 3)])),
        "dtype": data.draw(st.sampled_from(["float32", "float64"])),
        **data.draw(st.sampled_from([{"scale": 0.1}, {"standardize": True}, {"standardize": False}])),
        "s_0": data.draw(st.sampled_from([None, "learn"])),
        "seed": data.draw(st.integers(0, 1000)),
    }
    model, X = fitted(data.draw(st.sampled_from(KINDS)), data.draw(st.sampled_from(FORMS)), **settings)
    share = data.draw(st.sampled_from([0.0, 0.8, 1.0]))
    rng = np.random.default_rng(settings["seed"])
    for weights in weights_of(model).values():
        weights[rng.random(weights.shape) < share] = 0
    return model, X


def check_any_network(data, folder, compiler="gcc", flags=("-O1",), runner=()):
    """Draw a network, and compare the program of its export with it."""
    model, X = drawn(data)
    found = run(build(exported(model, folder), folder, compiler, flags), X[:3], len(model.c_), runner)
    assert_is_predict(model, X[:3], found)
    assert_answers(model, X[:3], found)


def in_integers(model, calibration):
    """The twin of an export in integers."""
    sequences = model._sequences(calibration, model._network())
    network = model._exported(np.float32, folds=False)
    return c.Fixed(network, model._ranges(network, sequences))


def check_any_network_in_integers(data, folder, compiler="gcc", flags=("-O1",), runner=()):
    """Draw a network, and compare the program of its export, bit by bit, with its twin; also where numbers saturate."""
    model, X = drawn(data)
    X = [x * data.draw(st.sampled_from([1.0, 30.0, 1e30])) for x in X[:3]]
    calibration = [x / max(1.0, np.abs(x).max()) for x in X]
    report = exported(model, folder, dtype="int8", calibration_data=(calibration, None))
    found = run(build(report, folder, compiler, flags), X, len(model.c_), runner)
    twin = in_integers(model, calibration)
    for x, of_one in zip(X, found, strict=True):
        sequences = model._sequences([x.astype(np.float32)], model._network())
        np.testing.assert_array_equal(of_one.outputs, twin.outputs(sequences))
        np.testing.assert_array_equal(of_one.outputs[-1], of_one.steps[-1][1])


@pytest.mark.parametrize("frame", [(1, 1), (3, 2)])
def test_features_far_from_zero_are_standardised(frame, tmp_path):
    model, X = fitted("classes", "last", frame=frame, hidden_size=5, standardize=True)
    X = [(x + 100).astype(np.float32) for x in X]
    model.fit(X, np.arange(len(X)) % 2)
    found = run(build(exported(model, tmp_path), tmp_path), X[:4], len(model.c_))
    assert "means_of_x" in (tmp_path / "model.c").read_text()
    assert_is_predict(model, X[:4], found)
    report = exported(model, tmp_path, dtype="int8", calibration_data=(X, None))
    found, twin = run(build(report, tmp_path), X[:4], len(model.c_)), in_integers(model, X)
    for x, of_one in zip(X, found, strict=False):
        np.testing.assert_array_equal(of_one.outputs, twin.outputs(model._sequences([x], model._network())))
    assert report.accuracy["largest_error"] < 0.01


@pytest.mark.hypothesis
@hypothesis.settings(max_examples=6)
@hypothesis.given(st.data())
def test_any_network(tmp_path_factory, data):
    check_any_network(data, tmp_path_factory.mktemp("c"), flags=("-O0", *SANITIZERS))


@pytest.mark.hypothesis
@hypothesis.settings(max_examples=6)
@hypothesis.given(st.data())
def test_any_network_in_integers(tmp_path_factory, data):
    check_any_network_in_integers(data, tmp_path_factory.mktemp("c"), flags=("-O0", *SANITIZERS))


@pytest.mark.slow
@pytest.mark.hypothesis
@pytest.mark.parametrize("check", [check_any_network, check_any_network_in_integers])
@pytest.mark.parametrize("compiler, flags, runner", COMPILERS)
@hypothesis.settings(max_examples=15)
@hypothesis.given(data=st.data())
def test_any_network_of_any_compiler(tmp_path_factory, check, compiler, flags, runner, data):
    if shutil.which(compiler) is None or any(shutil.which(one) is None for one in runner):
        pytest.skip(f"{compiler} is not installed")
    sanitized = () if runner else SANITIZERS
    check(data, tmp_path_factory.mktemp("c"), compiler, ("-O2", *flags, *sanitized), runner)


@pytest.mark.parametrize("cell", CELLS)
def test_integers_cost_little(cell, waves, tmp_path):
    X, y = waves
    model = RNNClassifier(12, cell=cell, max_epochs=8, random_state=0).fit(X, y)
    report = exported(model, tmp_path, dtype="int8", calibration_data=(X, y))
    assert report.accuracy["score"] > 0.95 and report.accuracy["score_int8"] >= report.accuracy["score"] - 0.005
    outputs = model._outputs(X)[0]
    twin = in_integers(model, X).outputs(model._sequences(X, model._network()))
    assert report.accuracy["largest_error"] == np.abs(twin - outputs).max() < 0.05 * np.abs(outputs).max()
    assert report.weight_bytes < 0.5 * exported(model, tmp_path).weight_bytes + 514


def test_a_refit_with_what_the_device_will_have(waves, tmp_path):
    X, y = waves
    model = RNNClassifier(16, max_epochs=10, random_state=0).fit(X, y)
    in_full = exported(model, tmp_path).weight_bytes
    settings = {"init": {name: weights for name, weights in weights_of(model).items()}, "max_epochs": 3}
    narrow = RNNClassifier(16, penalties={"W": Rank(3)}, random_state=0, **settings).fit(X, y)
    assert np.linalg.matrix_rank(narrow.W_) <= 3 and narrow.score(X, y) > 0.95
    assert exported(narrow, tmp_path).weight_bytes == in_full - 4 * (16 * 16 - 2 * 16 * 3)
    in_levels = RNNClassifier(16, penalties={"W": Levels(), "V": Levels()}, random_state=0, **settings).fit(X, y)
    assert in_levels.score(X, y) > 0.95
    (layer,) = in_integers(in_levels, X).layers
    W = layer.products[1]
    exact = W.matrix * (W.factors * 2.0 ** -W.shifts.astype(float) / 2)[:, None]
    np.testing.assert_allclose(exact, in_levels.W_, rtol=0, atol=4e-5 * np.abs(in_levels.W_).max())


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "identity", "sigmoid"])
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
def test_integers_go_by_how_large_numbers_are(activation, size):
    rng = np.random.default_rng(0)
    X = size * rng.normal(size=(30, 10, 2))
    y = X[:, -3:, 0].sum(axis=1)
    model = RNNRegressor(10, activation=activation, scale=1 / size, max_epochs=30, random_state=0).fit(X, y)
    exact = model.predict(X)
    found = in_integers(model, X).outputs(model._sequences(X, model._network()))[:, 0]
    assert np.abs(found - exact).max() < 0.03 * np.abs(exact).max()


def test_steps_too_small_for_a_narrow_state_add_up():
    """A gate that is nearly closed for a thousand steps: (1 - z) (c - s) is less than what products read of s."""
    model, _ = fitted("value", "last", cell="ugrnn", hidden_size=1)
    for name, weights in weights_of(model).items():
        weights[:] = {"b_z": np.log(1000), "b_c": 0.05, "V": 1.0}.get(name, 0.0)
    model.target_mean_[:], model.target_scale_[:] = 0, 1
    X = [np.ones((2000, 2))]
    found = in_integers(model, X).outputs(model._sequences(X, model._network()))[0, 0]
    assert abs(found - model.predict(X)[0]) < 0.05 * model.predict(X)[0]


def test_calibration_data_are_asked_for(tmp_path):
    model, X = fitted("classes", "last")
    for data, error, match in (
        (None, ValueError, "calibration_data is None"),
        (X, TypeError, r"pass a pair \(X, y\)"),
        ((None, None), TypeError, "pass a pair"),
        (([x[:, :1] for x in X], None), ValueError, "features"),
        (([0 * x for x in X], None), ValueError, "nothing but zeros"),
    ):
        with pytest.raises(error, match=match):
            model.to_c(tmp_path / "model.c", dtype="int8", calibration_data=data)
    with pytest.raises(ValueError, match="needs none"):
        model.to_c(tmp_path / "model.c", calibration_data=(X, None))
    assert not list(tmp_path.iterdir())


def test_what_is_not_finite_leaves_a_stream_where_it_was(tmp_path):
    model, X = fitted("value", "last", cell="gru", frame=(2, 1))
    bad = X[0].copy()
    bad[4, 1] = np.nan
    program = build(exported(model, tmp_path), tmp_path, flags=SANITIZERS)
    of_bad, of_short = run(program, [bad, X[0][:1]], 1)
    assert not len(of_bad.outputs) and not len(of_short.outputs)
    assert [status for status, _ in of_bad.steps] == [0, 1, 1, 1, -1, 1, 1, 1, 1]
    expected = model.predict([np.delete(bad, 4, axis=0)])
    np.testing.assert_allclose(of_bad.steps[-1][1], expected, rtol=1e-5)


def test_a_mean_over_many_steps_is_compensated(tmp_path):
    model, _ = fitted("value", "mean")
    X = [np.random.default_rng(0).normal(size=(20_000, 2))]
    (found,) = run(build(exported(model, tmp_path), tmp_path), X, 1)
    np.testing.assert_allclose(found.outputs[0, 0], model.predict(X)[0], rtol=2e-6)


def test_zeros_and_low_ranks_take_no_room(tmp_path):
    model, X = fitted("classes", "last", hidden_size=32)
    in_full = exported(model, tmp_path).weight_bytes
    rng = np.random.default_rng(0)
    full = model.W_.copy()
    model.W_ = np.where(rng.random(full.shape) < 0.8, 0, full).astype(np.float32)
    sparse = exported(model, tmp_path)
    assert "W_1_columns" in (tmp_path / "model.c").read_text()
    assert sparse.weight_bytes < in_full - 0.6 * full.nbytes
    assert_is_predict(model, X, run(build(sparse, tmp_path), X, 3))
    P, singular, Q = np.linalg.svd(full)
    model.W_ = ((P[:, :4] * singular[:4]) @ Q[:4]).astype(np.float32)
    narrow = exported(model, tmp_path)
    assert narrow.weight_bytes == in_full - full.nbytes + 4 * 2 * 32 * 4
    assert_is_predict(model, X, run(build(narrow, tmp_path), X, 3))


def test_sizes_are_those_of_the_compiler(tmp_path):
    for cell, form, frame in (("elman", "max", (3, 2)), ("lstm", "mean", (1, 1)), ("gru", "mean", (3, 2))):
        model, X = fitted("value", form, cell=cell, frame=frame, hidden_size=(5, 3))
        report = exported(model, tmp_path)
        (tmp_path / "size.c").write_text(
            f'#include "model.h"\nint assertion[sizeof(model_state) == {report.state_bytes} ? 1 : -1];\n'
            "int main(void) { return assertion[0]; }\n"
        )
        subprocess.run(["gcc", *STRICT, str(tmp_path / "size.c"), "-o", str(tmp_path / "size")], check=True)
    found = report.measure("gcc")
    assert 0 <= found["constants"] - report.weight_bytes < 400, (found, report)
    assert 500 < found["code"] < 5_000
    assert found["stack"] >= report.stack_bytes


def test_a_header_is_one_of_cpp_too(tmp_path):
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    model, _ = fitted("classes", "last")
    exported(model, tmp_path)
    (tmp_path / "use.cpp").write_text('#include "model.h"\nint main() { model_state s; model_init(&s); return 0; }\n')
    subprocess.run(
        ["g++", "-Wall", "-Werror", "-c", str(tmp_path / "use.cpp"), "-o", str(tmp_path / "use.o")], check=True
    )


def test_labels_of_any_text_are_safe_in_comments(tmp_path):
    X = np.random.default_rng(0).normal(size=(6, 4, 2))
    labels = ["*/ int x;", "/* open", "back\\", "ä??/", "new\nline", "*/"]
    model = RNNClassifier(3, max_epochs=1, random_state=0).fit(X, np.array(labels))
    build(exported(model, tmp_path), tmp_path)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("name", ["start", "begin", "turn", "x", "s", "V"])
def test_names_of_files_are_none_of_the_source(name, dtype, tmp_path):
    model, X = fitted("classes", "max")
    more = {} if dtype == "float32" else {"calibration_data": (X, None)}
    model.to_c(tmp_path / f"{name}.c", dtype=dtype, **more)
    subprocess.run(["gcc", *STRICT, "-c", f"{name}.c"], cwd=tmp_path, check=True)


def test_what_cannot_be_exported_is_refused(tmp_path):
    model, X = fitted("value", "last")
    told = RNNRegressor(3, max_epochs=1, missing="indicator", random_state=0).fit(X, np.arange(len(X)))
    with pytest.raises(ValueError, match="fit with missing='forward'"):
        told.to_c(tmp_path / "model.c")
    for path in ("model.txt", "for.c", "9.c", "my-model.c"):
        with pytest.raises(ValueError, match="path"):
            model.to_c(tmp_path / path)
    with pytest.raises(FileNotFoundError, match="folder of path"):
        model.to_c(tmp_path / "no" / "model.c")
    with pytest.raises(ValueError, match="dtype is 'int4'"):
        model.to_c(tmp_path / "model.c", dtype="int4")
    both, _ = fitted("value", "last", bidirectional=True)
    with pytest.raises(ValueError, match="bidirectional=False"):
        both.to_c(tmp_path / "model.c")
    assert not list(tmp_path.iterdir())
    report = exported(model, tmp_path)
    with pytest.raises(FileNotFoundError, match="no-such-cc"):
        report.measure("no-such-cc")
    with pytest.raises(ValueError, match="has failed"):
        report.measure("gcc", ["-no-such-flag"])
    large = RNNRegressor(2, max_epochs=1, random_state=0, dtype="float64").fit(np.zeros((4, 3, 1)), [0, 0, 1e100, 0])
    with pytest.raises(ValueError, match="too large for float32"):
        large.to_c(tmp_path / "model.c")
