"""Models in files: round trips to the last bit, files that are damaged or hostile, and those of earlier releases."""

import datetime
import errno
import json
import os
import pickle
import stat
import subprocess
import sys
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import admmirnn
from admmirnn import Algorithm1, CharacterModel, RNNClassifier, RNNRegressor, Rollout
from admmirnn.files import models
from admmirnn.files.format import Values, parameters, read_file, write_file
from admmirnn.io import ModelFileError
from admmirnn.losses import Huber, Quantile, SquaredError
from admmirnn.networks.blocks import weights_of
from admmirnn.penalties import PENALTIES, Box, Flattened, GroupLasso

pytest.importorskip("safetensors")
from bench import fuzz, release_files

pytestmark = pytest.mark.elman

DATA = Path(__file__).parent / "data"
QUICK = {"max_epochs": 1, "random_state": 0}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def sequences(n=12, n_features=2):
    random_state = np.random.RandomState(0)
    return [random_state.standard_normal((4 + i % 5, n_features)) for i in range(n)]


def classifier(y=None, **settings):
    X = sequences()
    return RNNClassifier(4, **QUICK | settings).fit(X, np.arange(len(X)) % 3 if y is None else y)


def packed(estimator):
    """All that a file says of an estimator, but for its arrays, and these."""
    values = Values(known=models._KNOWN)
    of = {
        name: value
        for name, value in vars(estimator).items()
        if name not in ("_goes_on", "_memory", *models._NOT_SAVED)
    }
    of["history_"] = list(of["history_"])
    return {name: values.pack(value, name) for name, value in of.items()}, values.arrays


def assert_equal(loaded, saved):
    """Of the same class, with equal parameters and attributes of the same types."""
    assert type(loaded) is type(saved) and type(loaded.history_) is type(saved.history_)
    (found, arrays), (expected, expected_arrays) = packed(loaded), packed(saved)
    assert found == expected
    assert arrays.keys() == expected_arrays.keys()
    for name, array in arrays.items():
        assert array.dtype == expected_arrays[name].dtype
        np.testing.assert_array_equal(array, expected_arrays[name])


# Round trips


@pytest.mark.parametrize("i", range(6))
def test_loads_as_it_was_saved(i, path):
    model, X = list(fuzz.models())[i]
    assert model.save(path) is None
    for loaded in (admmirnn.load(path), type(model).load(str(path)), admmirnn.load(os.fsencode(path))):
        assert_equal(loaded, model)
        found, expected = fuzz.predictions(loaded, X), fuzz.predictions(model, X)
        assert type(found) is type(expected)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)
    again = path.with_name("again")
    loaded.save(again)
    assert again.read_bytes() == path.read_bytes()


def test_every_attribute_of_a_fit_is_saved_but_the_memory():
    """A new attribute has to be declared, or a loaded model would be without it."""
    X, table = sequences(), np.random.RandomState(0).standard_normal((12, 6))
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(table, columns=[f"t{i}" for i in range(6)])
    fitted = [model for model, _ in fuzz.models()]
    fitted += [
        RNNClassifier(3, **QUICK).fit(frame, table[:, 0] > 0),
        RNNRegressor(3, **QUICK).partial_fit(X, np.arange(12.0)),
    ]
    for model in fitted:
        of_fit = vars(model).keys() - model.get_params().keys()
        weights = {f"{name}_" for name in weights_of(model)} | {"s_0_"}
        required = {name for name, one in model.fitted_attributes.items() if not one.may_be_missing}
        assert weights | required <= of_fit - {"_goes_on", "_memory"} <= weights | model.fitted_attributes.keys()


def test_every_estimator_can_be_saved():
    public = {getattr(admmirnn, name) for name in admmirnn.__all__}
    assert {one for one in public if isinstance(one, type) and hasattr(one, "fit")} == set(models._ESTIMATORS.values())


@pytest.mark.parametrize(
    "labels",
    [
        *(
            np.array([3, 1, 2], dtype)
            for dtype in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
        ),
        np.array([-(2**63), 0, 2**63 - 1]),
        np.array([0, 2**63, 2**64 - 1], np.uint64),
        np.array([False, True, True]),
        np.array([0.0, 1.0, 2.0], np.float32),
        np.array(["a", "ccc", "\ud7ff\U0001f600"]),
        np.array([b"a", b"\xff\x00b", b"c"]),
        np.array(["x", "", "\ud800y"], object),
        np.array([3, 10**30, -1], object),
        np.array([True, False, True], object),
        np.array([b"u", b"v", b"w"], object),
        np.array(["2020-01-01", "2021-05-01", "2022-01-01"], "datetime64[D]"),
        np.array([1, 2, 3], "timedelta64[ms]"),
    ],
    ids=lambda labels: f"{labels.dtype}",
)
def test_labels_of_any_type(labels, path):
    y = np.resize(labels, 12)
    model = classifier(y)
    model.save(path)
    loaded = admmirnn.load(path)
    assert loaded.classes_.dtype == model.classes_.dtype
    assert loaded.classes_.tolist() == model.classes_.tolist()
    assert [type(a) for a in loaded.classes_.tolist()] == [type(a) for a in model.classes_.tolist()]
    assert (loaded.predict(sequences()) == model.predict(sequences())).all()


def test_labels_that_a_file_cannot_hold_are_refused_before_anything_is_written(path):
    path.write_bytes(b"mine")
    for labels in (
        np.array([Fraction(1, 2), Fraction(1, 3)], object),
        [datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)],
    ):
        with pytest.raises(TypeError, match="classes_.* is of type (Fraction|date), which .*; fit with labels that"):
            classifier(np.resize(np.array(labels, object), 12)).save(path)
    assert path.read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("solver", Rollout(radius=None, max_iter=7)),
        ("solver", Algorithm1(r="lipschitz", rho1=np.float64(2.5))),
        ("penalties", {"W": Box(-np.inf, np.inf), "UWb": GroupLasso(3e-3, axis=1)}),
        ("class_weight", {"a": 1.0, 3: 2, None: np.int16(4), (1, b"x"): [0.1, {}]}),
        ("init", {"W": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)), "b": [0, 1.5]}),
        ("s_0", np.arange(3)[::-1]),
        ("frame", (4, 2)),
        ("dtype", np.float64),
        ("dtype", np.dtype("float32")),
        ("dtype", float),
        ("scale", np.float32(0.1)),
        ("hidden_size", np.int32(7)),
        ("ignore_label", np.datetime64("2020-02-03")),
        ("loss", Huber(0.25)),
        ("random_state", None),
        ("n_threads", None),
    ],
)
def test_parameters_of_any_kind(name, value, path):
    model = classifier().set_params(**{name: value})
    model.save(path)
    loaded = admmirnn.load(path)
    assert_equal(loaded, model)
    assert type(getattr(loaded, name)) is type(value)
    clone(loaded)


def test_every_penalty_and_loss_of_ours_can_be_saved(path):
    settings = {"weight": 0.5, "low": -1.0, "high": 2.0, "radius": 0.9, "rank": 2, "levels": 7}
    for penalty in PENALTIES[:-1]:
        known = {name: settings[name] for name in parameters(penalty) if name in settings}
        model = classifier().set_params(penalties={"W": penalty(**known)})
        model.save(path)
        assert admmirnn.load(path).penalties == model.penalties
    X = sequences()
    for loss in (SquaredError(), Huber(3.0), Quantile(0.75), "absolute_error"):
        model = RNNRegressor(3, loss=loss, **QUICK).fit(X, np.arange(12.0))
        model.save(path)
        found = RNNRegressor.load(path).loss
        assert found == loss if isinstance(loss, str) else vars(found) == vars(loss)


def test_random_state_goes_on(path):
    random_state = np.random.RandomState(3)
    random_state.standard_normal(3)  # which leaves one over
    model = classifier().set_params(random_state=random_state)
    model.save(path)
    loaded = admmirnn.load(path).random_state
    assert (loaded.standard_normal(700) == random_state.standard_normal(700)).all()
    model.set_params(random_state=np.random.RandomState(np.random.PCG64(1)))
    with pytest.raises(TypeError, match="random_state is of type RandomState, which a model file cannot hold"):
        model.save(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("penalties", {"W": Flattened(object())}),
        ("penalties", {"W": object()}),
        ("loss", object()),
        ("solver", object()),
        ("solver", Algorithm1(rho1=lambda iteration: 1.0)),
        ("solver", type("Mine", (Rollout,), {})()),
        ("solver", type("Rollout", (Rollout,), {})()),
        ("class_weight", {"a": 1j}),
        ("init", {"W": np.ones((2, 2), np.longdouble)}),
        ("init", {"W": np.ma.masked_array([1.0], [True])}),
        ("hidden_size", 10**400),
    ],
)
def test_what_is_not_ours_is_refused_by_name(name, value, path):
    with pytest.raises(TypeError, match=rf"^{name}(\.\w+)* is .* which a model file cannot hold.*use pickle"):
        classifier().set_params(**{name: value}).save(path)
    assert not list(path.parent.iterdir())


def test_nesting_without_an_end_is_refused(path):
    endless = []
    endless.append(endless)
    with pytest.raises(TypeError, match="nested"):
        classifier().set_params(class_weight=endless).save(path)


def test_callbacks_are_left_out_with_a_warning(path):
    model = classifier(callbacks=[lambda state: False])
    with pytest.warns(UserWarning, match="callbacks cannot be saved") as caught:
        model.save(path)
    assert caught[0].filename == __file__
    assert len(model.callbacks) == 1
    assert admmirnn.load(path).callbacks is None


def test_a_checkpoint_is_of_a_machine_and_not_of_a_model(path, tmp_path):
    model = classifier(checkpoint=tmp_path / "checkpoint")
    model.save(path)
    assert admmirnn.load(path).checkpoint is None
    mine = tmp_path / "mine"
    hostile = edited(path.read_bytes(), lambda content: content["header"]["parameters"].update(checkpoint=str(mine)))
    path.write_bytes(hostile)
    with pytest.raises(ModelFileError, match="parameters checkpoint"):
        admmirnn.load(path)


def test_a_model_that_is_not_fitted_or_not_ours_is_not_saved(path):
    with pytest.raises(NotFittedError):
        RNNClassifier().save(path)
    with pytest.raises(TypeError, match="Mine is a class of your own"):
        type("Mine", (RNNClassifier,), {})(3, **QUICK).fit(sequences(), np.arange(12) % 2).save(path)
    model = classifier()
    model.W_ = model.W_[:-1]
    with pytest.raises(ValueError, match="W_ has the shape"):
        model.save(path)
    model.W_ = model.U_.astype(np.float64)
    with pytest.raises(ValueError, match="W_ is float64, and other weights are float32"):
        model.save(path)
    assert not list(path.parent.iterdir())


def test_history_has_its_types_and_what_is_not_finite(path):
    model = classifier()
    model.history_ = [
        {"epoch": 1, "loss": np.inf, "radius": None, "seen": True},
        {"epoch": 2**53, "loss": np.nan, "more": -0.0},
        {},
    ]
    model.save(path)
    found = admmirnn.load(path).history_
    assert repr(found) == repr(model.history_)
    model.history_ = [{"epoch": 1, "what": "text", "many": 2**60, "values": [1.0, np.inf]}]
    model.save(path)
    assert admmirnn.load(path).history_ == model.history_
    model.history_ = [{}, {}]
    model.save(path)
    assert admmirnn.load(path).history_ == model.history_
    model.history_ = [{"epoch": i, "loss": 1 / (i + 1)} for i in range(100_000)]  # a call of partial_fit each
    model.save(path)
    assert admmirnn.load(path).history_ == model.history_
    assert path.stat().st_size < 2_000_000


def test_headers_have_a_limit_that_saving_keeps_too(path):
    model = classifier()
    model.class_weight = {f"label {i}": 1.0 for i in range(100_000)}
    with pytest.raises(ValueError, match="the header of the file would have"):
        model.save(path)
    assert not path.exists()


def test_pruned_and_scaled_and_tables(path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(np.random.RandomState(0).standard_normal((12, 6)), columns=[f"t{i}" for i in range(6)])
    model = RNNRegressor(6, penalties={"WV": GroupLasso(0.1)}, scale=0.5, readout="mean", **QUICK).fit(
        frame, frame["t0"]
    )
    for one in (model, model.prune()):
        one.save(path)
        loaded = RNNRegressor.load(path)
        assert_equal(loaded, one)
        assert loaded.feature_names_in_.tolist() == list(frame)
        np.testing.assert_array_equal(loaded.predict(frame), one.predict(frame))
        with pytest.raises(ValueError, match="feature names"):
            loaded.predict(frame[["t1", "t0", *list(frame)[2:]]])


def test_two_directions_of_unequal_sizes(path):
    settings = {"bidirectional": True, "penalties": {"W": GroupLasso(0.3)}, "max_epochs": 30, "random_state": 0}
    X = sequences()
    model = RNNClassifier(6, **settings).fit(X, np.arange(12) % 2)
    model.U_[:2], model.W_[:2], model.b_[:2] = 0, 0, 0
    pruned = model.prune()
    assert pruned.W_.shape != pruned.W_reverse_.shape
    pruned.save(path)
    assert_equal(admmirnn.load(path), pruned)
    np.testing.assert_array_equal(admmirnn.load(path).predict_proba(X), pruned.predict_proba(X))
    path.write_bytes(edited(path.read_bytes(), lambda content: content["header"]["attributes"].pop("W_reverse_")))
    with pytest.raises(ModelFileError):
        admmirnn.load(path)


@pytest.mark.parametrize("make", [RNNClassifier, RNNRegressor])
def test_partial_fit_goes_on_with_new_statistics(make, path):
    X, y = sequences(), np.arange(12) % 2
    model = make(4, **QUICK).fit(X, y)
    model.save(path)
    loaded = make.load(path)
    loaded.reset_states().partial_fit(X, y)
    assert len(loaded.history_) == len(model.history_) + 1
    assert not (loaded.W_ == model.W_).all() and np.isfinite(loaded.W_).all()
    model._memory = None
    np.testing.assert_array_equal(model.partial_fit(X, y).W_, loaded.W_)


def test_a_text_goes_on_too(path):
    model = CharacterModel(4, **QUICK).fit("to be or not to be " * 5)
    model.save(path)
    loaded = CharacterModel.load(path)
    assert loaded.generate("to", 30, random_state=0) == model.generate("to", 30, random_state=0)
    loaded.partial_fit("to be or not to be " * 5)


def test_streams_of_a_loaded_model(path):
    model = classifier()
    model.save(path)
    x = np.ones(2)
    np.testing.assert_array_equal(admmirnn.load(path).stream()(x), model.stream()(x))


PREDICT = """
import sys
import numpy as np
import admmirnn
from admmirnn import backend
assert "safetensors" not in sys.modules
model = admmirnn.load(sys.argv[1])
X = np.load(sys.argv[2])
np.save(sys.argv[3], model.predict_proba(X))
print(backend.kernels().forward.__module__)
"""


@pytest.mark.slow_on("numpy")
@pytest.mark.parametrize(("name", "dtype"), [("compiled", "float64"), ("numpy", "float32"), ("numpy", "float64")])
def test_in_another_process_and_without_the_kernels(name, dtype, path, tmp_path):
    X = np.random.RandomState(0).standard_normal((12, 5, 2))
    model = classifier(dtype=dtype)
    model.save(path)
    np.save(tmp_path / "X.npy", X)
    command = [sys.executable, "-c", PREDICT, str(path), str(tmp_path / "X.npy"), str(tmp_path / "found.npy")]
    done = subprocess.run(
        command, env=os.environ | {"ADMMIRNN_BACKEND": name}, check=True, capture_output=True, text=True
    )
    assert ("reference" in done.stdout) == (name == "numpy")
    found, expected = np.load(tmp_path / "found.npy"), model.predict_proba(X)
    if name == "compiled":
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("way", ["pickle", "joblib", "joblib, compressed"])
@pytest.mark.parametrize("i", range(6))
def test_pickle_and_joblib(way, i, path):
    model, X = list(fuzz.models())[i]
    if way == "pickle":
        loaded = pickle.loads(pickle.dumps(model))
    else:
        file = BytesIO()
        joblib.dump(model, file, compress=3 if "compressed" in way else 0)
        file.seek(0)
        loaded = joblib.load(file)
    assert_equal(loaded, model)
    for found, expected in zip(fuzz.predictions(loaded, X), fuzz.predictions(model, X), strict=True):
        np.testing.assert_array_equal(found, expected)
    loaded.save(path)
    assert_equal(admmirnn.load(path), model)


# Files


ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "big": np.arange(3, dtype=">f8"),
    "empty": np.zeros((0, 2), np.int16),
    "none": np.array(7, np.uint8),
    "half": np.array([1.5], np.float16),
    "true": np.array([True, False]),
}


def test_arrays_and_header(path):
    header = {"a": [1, None, {"b": "\ud800"}], "c": 0.1}
    ARRAYS["a"].flags.writeable = False
    write_file(path, "checkpoint", ARRAYS, header)
    arrays, found = read_file(path, "checkpoint")
    assert found == header
    assert arrays.keys() == ARRAYS.keys()
    for name, array in arrays.items():
        assert array.dtype == ARRAYS[name].dtype.newbyteorder("=") and array.flags.writeable
        assert array.shape == ARRAYS[name].shape
        np.testing.assert_array_equal(array, ARRAYS[name])
    with pytest.raises(ModelFileError, match="holds a checkpoint, and not a model"):
        admmirnn.load(path)


def test_files_are_little_endian_whatever_the_machine(path):
    write_file(path, "model", {"a": np.array([1, 2], ">i4")}, {})
    assert path.read_bytes().endswith(bytes([1, 0, 0, 0, 2, 0, 0, 0]))
    big, little = np.array([1.5], ">f4"), np.array([1.5], "<f4")
    write_file(path, "model", {"a": big}, {})
    first = path.read_bytes()
    write_file(path, "model", {"a": little}, {})
    assert path.read_bytes() == first


def test_other_programs_can_read_the_weights(path):
    from safetensors.numpy import load_file

    model = classifier()
    model.save(path)
    np.testing.assert_array_equal(load_file(path)["W_"], model.W_)


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(failing, path, monkeypatch):
    model = classifier()
    model.save(path)
    before = path.read_bytes()

    def fail(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="No space left"):
        model.set_params(verbose=1).save(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(os.name != "posix", reason="of POSIX")
def test_links_and_modes_stay(path, tmp_path):
    model = classifier()
    target = tmp_path / "elsewhere" / "model"
    target.parent.mkdir()
    model.save(target)
    assert stat.S_IMODE(target.stat().st_mode) & 0o400
    os.chmod(target, 0o640)
    path.symlink_to(target)
    model.save(path)
    assert path.is_symlink() and stat.S_IMODE(target.stat().st_mode) == 0o640
    assert len(list(target.parent.iterdir())) == 1


@pytest.mark.parametrize("call", [lambda path: classifier().save(path), admmirnn.load])
def test_paths(call, tmp_path):
    with pytest.raises(IsADirectoryError, match="path is a folder; pass the name of a file in it"):
        call(tmp_path)
    with pytest.raises(TypeError, match="path is 3 of type int; pass a str or a pathlib.Path"):
        call(3)
    with pytest.raises(FileNotFoundError):
        call(tmp_path / "missing" / "model")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(OSError, match="path is not a regular file"):  # and does not wait for its other end
            call(tmp_path / "pipe")


def test_what_is_said_without_safetensors(path, monkeypatch):
    model = classifier()
    model.save(path)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for call in (model.save, admmirnn.load):
        with pytest.raises(ImportError, match=r"needs safetensors, .*pip install 'admmirnn\[files\]'"):
            call(path)


# Files that are damaged, hostile, new or old


def edited(data, change):
    """The file with its content changed, and a right checksum."""
    header, body = fuzz._taken_apart(data)
    content = fuzz._content(header)
    change(content)
    return fuzz._sealed(header, content, body)


def test_other_files(path):
    for data, message in (
        (b"", "not a model file, or is incomplete: it has 0 bytes"),
        (b"short", "or is incomplete"),
        (pickle.dumps({"a": 1}, protocol=4) * 10, "not a model file, or is incomplete"),
        ((5).to_bytes(8, "little") + b"hello", "its header is not that of a safetensors file"),
        ((2).to_bytes(8, "little") + b"[]", "its header is not that of a safetensors file"),
        ((2).to_bytes(8, "little") + b"{}", "not one that admmirnn has written"),
        ((1 << 22).to_bytes(8, "little") + b" " * (1 << 22), "its header would be 4194304 bytes long"),
    ):
        path.write_bytes(data)
        with pytest.raises(ModelFileError, match=message):
            admmirnn.load(path)
    assert issubclass(ModelFileError, ValueError)


def test_every_truncation_and_every_flipped_bit(path):
    classifier(np.array(["a", "b"] * 6)).save(path)
    data, expected = path.read_bytes(), admmirnn.load(path)
    n_header = int.from_bytes(data[:8], "little")
    places = [*range(0, 8 + n_header, 37), *range(8 + n_header, len(data), 11)]
    for place in places:
        path.write_bytes(data[:place])
        with pytest.raises(ModelFileError):
            admmirnn.load(path)
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            assert_equal(admmirnn.load(path), expected)
        except ModelFileError:
            assert place >= 0
        else:
            assert place < 8 + n_header  # such as white space


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update(format=2, version="9.0"), "was written by admmirnn 9.0 in format 2.*newer one"),
        (lambda content: content.update(format=True), "names no format"),
        (lambda content: content.update(kind="checkpoint"), "holds a checkpoint"),
        (lambda content: content["header"].update(estimator="os.system"), "holds 'os.system', a kind of model that"),
        (
            lambda content: content["header"]["parameters"].update(more=1),
            "parameters more, which this admmirnn does not",
        ),
        (lambda content: content["header"]["attributes"].update(__class__=1), "attributes are not those"),
        (lambda content: content["header"]["attributes"].pop("W_"), "arrays that nothing refers to, such as 'W_'"),
        (lambda content: content["header"]["attributes"].pop("_scale"), "attributes are not those of .*: _scale"),
        (lambda content: content["header"]["attributes"].update(_frame=None), "_frame is not a pair"),
        (lambda content: content["header"]["attributes"].update(_scale=-1.0), "_scale is -1.0"),
        (lambda content: content["header"]["attributes"].update(n_features_in_=7), "observations of 7 features"),
        (lambda content: content["header"]["attributes"].update(b_={"array": ["W_", None]}), "which is not there"),
        (
            lambda content: content["header"]["parameters"].update(solver={"object": ["eval", {}]}),
            "'eval', which this admmirnn does not know",
        ),
        (
            lambda content: content["header"]["parameters"].update(solver={"object": ["Status", {}]}),
            "takes Status for something that it is not",
        ),
    ],
)
def test_hostile_content_with_a_right_checksum(change, message, path):
    classifier().save(path)
    path.write_bytes(edited(path.read_bytes(), change))
    with pytest.raises(ModelFileError, match=message):
        admmirnn.load(path)


def test_parameters_that_a_file_does_not_have_are_the_defaults(path):
    classifier().save(path)
    path.write_bytes(edited(path.read_bytes(), lambda content: content["header"]["parameters"].pop("n_threads")))
    assert admmirnn.load(path).n_threads == 1


def test_a_huge_shape_takes_no_memory(path):
    classifier().save(path)
    header, body = fuzz._taken_apart(path.read_bytes())
    header["W_"] |= {"shape": [1 << 20, 1 << 20], "data_offsets": [0, 1 << 42]}
    path.write_bytes(fuzz._put_together(header, fuzz._content(header), body))
    with pytest.raises(ModelFileError, match="damaged or incomplete"):
        admmirnn.load(path)


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a hole takes space")
def test_large_files_of_others_are_not_read(path):
    header = b'{"__metadata__": {"format": "pt"}}'
    with open(path, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(1 << 36)  # a hole
    with pytest.raises(ModelFileError, match="not one that admmirnn has written"):
        admmirnn.load(path)


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a hole takes space")
def test_a_large_file_that_is_longer_than_its_header_says_is_not_read(path):
    classifier().save(path)
    with open(path, "r+b") as file:
        file.truncate(1 << 36)  # a hole
    with pytest.raises(ModelFileError, match=r"damaged or incomplete: \d+ bytes of arrays, and not \d+$"):
        admmirnn.load(path)


def test_records_of_nothing_take_no_memory(path):
    classifier().save(path)
    arrays, header = read_file(path, "model")
    arrays |= {"history_.values": np.zeros((1 << 36, 0)), "history_.kinds": np.zeros((1 << 36, 0), np.uint8)}
    header["attributes"]["history_"] = {"records": [[], ["history_.values", "history_.kinds"]]}
    write_file(path, "model", arrays, header)
    with pytest.raises(ModelFileError, match="its records have no entries"):
        admmirnn.load(path)


def test_times_that_count_nothing_are_refused(path):
    """Of which numpy says SystemError when they are compared."""
    classifier(np.array([1, 2, 3] * 4, "m8[25s]")).save(path)
    assert admmirnn.load(path).classes_.dtype == "m8[25s]"
    arrays, header = read_file(path, "model")
    header["attributes"]["classes_"] = {"array": ["classes_", "m8[0s]"]}
    write_file(path, "model", arrays, header)
    with pytest.raises(ModelFileError, match="is 'm8.0s.'"):
        admmirnn.load(path)


def test_a_random_state_that_draws_nothing_is_refused(path):
    classifier().set_params(random_state=np.random.RandomState(0)).save(path)
    arrays, header = read_file(path, "model")
    (name,) = (name for name in arrays if name.startswith("random_state"))
    arrays[name] = np.zeros(624, np.uint32)
    arrays[name][0] = (1 << 31) - 1
    write_file(path, "model", arrays, header)
    with pytest.raises(ModelFileError, match="its random state is all zeros"):
        admmirnn.load(path)
    arrays[name][0] = 1 << 31
    write_file(path, "model", arrays, header)
    assert np.isfinite(admmirnn.load(path).random_state.standard_normal(1000)).all()


@pytest.mark.parametrize("file", sorted(DATA.glob("*.safetensors")), ids=lambda file: file.stem)
def test_files_of_every_release_stay_loadable(file):
    """They were written by ``python -m bench.release_files``; never change one of a release that is out."""
    model = admmirnn.load(file)
    with np.load(file.with_suffix(".npz")) as expected:
        X = str(expected["X"]) if expected["X"].dtype.kind == "U" else expected["X"]
        found = model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)
        np.testing.assert_allclose(found, expected["outputs"], rtol=1e-4, atol=1e-6)
        if hasattr(model, "classes_"):
            assert model.predict(X).tolist() == expected["labels"].tolist()
    assert model.status_ is admmirnn.Status.ITERATION_LIMIT
    assert len(model.history_) == model.n_iter_
    clone(model)
    json.dumps(model.history_)


def test_there_are_files_of_every_release():
    versions = {file.stem.partition("-")[2] for file in DATA.glob("*.safetensors")}
    assert versions >= {"0.1.0", admmirnn.__version__}, "run python -m bench.release_files, and commit what it writes"
    for version in versions:
        files_of = list(DATA.glob(f"*-{version}.safetensors"))
        assert {type(admmirnn.load(file)) for file in files_of} == {RNNClassifier, RNNRegressor, CharacterModel}
        assert sum(file.stat().st_size for file in DATA.glob(f"*-{version}.*")) < 100_000


def test_files_of_a_release_are_written_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(release_files, "FOLDER", tmp_path)
    release_files.main()
    written = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert written.keys() == {file.name for file in DATA.glob(f"*-{admmirnn.__version__}.*")}
    (tmp_path / f"text-{admmirnn.__version__}.safetensors").write_bytes(b"of a release that is out")
    release_files.main()
    assert "is there; delete it" in capsys.readouterr().out
    assert (tmp_path / f"text-{admmirnn.__version__}.safetensors").read_bytes() == b"of a release that is out"


def test_arrays_are_written_without_a_copy(tmp_path):
    import tracemalloc

    arrays = {"a": np.zeros((1000, 500), np.float32), "b": np.ones(3, np.uint8), "c": np.zeros(1, bool)}
    tracemalloc.start()
    try:
        write_file(tmp_path / "file", "model", arrays, {})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < arrays["a"].nbytes / 4
    found, _ = read_file(tmp_path / "file", "model")
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    with pytest.raises(TypeError, match="complex"):
        write_file(tmp_path / "file", "model", {"a": np.zeros(2, complex)}, {})
