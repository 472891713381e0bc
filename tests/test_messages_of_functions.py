"""A wrong value of any argument of the other public functions and methods is refused with an error that names it."""

import copy
import inspect
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from wrong_values import WRONG, refuses

import admmirnn
from admmirnn import (
    Algorithm1,
    CharacterModel,
    RNNClassifier,
    RNNRegressor,
    Rollout,
    datasets,
    distributed,
    forecasting,
    losses,
    metrics,
    model_selection,
    penalties,
    plotting,
    preprocessing,
    streaming,
    tables,
)
from admmirnn.data.reading import read_sequences

pytestmark = [pytest.mark.elman, pytest.mark.filterwarnings("ignore")]

_rng = np.random.default_rng(0)
X, LABELS, VALUES, WEIGHTS = _rng.normal(size=(8, 3, 1)), np.arange(8) % 2, _rng.normal(size=(8, 3)), np.ones(8)
SERIES = np.sin(np.arange(60.0))
ANYTHING = frozenset(WRONG)  # of what is not used
SOME = frozenset({"a tuple of three", "an array", "a range"})  # arrays of numbers
MANY, NOTHING = frozenset({"a huge integer"}), frozenset({"an empty list", "an empty tuple", "an empty array"})
LABEL = ANYTHING - {"an array", "an empty array", "an array of objects", "an empty list", "a list of None"}
LABEL -= {"an empty tuple", "a tuple of three", "a range", "a masked array"}
SCALAR = frozenset({"minus one", "a negative number", "a huge integer", "a huge negative integer"})  # of one feature
NAME = frozenset({"a string", "bytes"})  # of a file that is to be written


@dataclass
class Call:
    """A function, arguments that it takes, and by argument the names of those of `WRONG` that are no wrong values."""

    function: object
    arguments: dict
    takes: dict = field(default_factory=dict)


def call(function, takes=None, **arguments):
    return Call(function, arguments, takes or {})


class Least:
    """A loss."""

    def value(self, o, y):
        return ((o - y) ** 2).sum(axis=1)

    def prox(self, q, y, rho):
        return (rho * q + 2 * y) / (rho + 2)


class Halves:
    """An operator on vectors."""

    def prox(self, x, tau):
        return x / 2


@pytest.fixture(scope="module")
def of():
    """Fitted models, and what they were fitted to."""
    common = {"max_epochs": 1, "random_state": 0}
    frame = pd.DataFrame({"a": [np.array([1.0, 2.0]), np.array([3.0, 4.0])]})
    long = pd.DataFrame({"s": [0, 0, 1, 1], "t": [0, 1, 0, 1], "x": [1.0, 2.0, 3.0, 4.0], "l": [0, 0, 1, 1]})
    tiny = RNNRegressor(2, **common)
    forecaster = partial(forecasting.Forecaster, tiny, window=10, burn_in=2, random_state=0)
    classifier = RNNClassifier(2, **common).fit(X, LABELS)
    sequences = read_sequences(RNNClassifier(2), X, np.dtype(np.float32))[0]
    return SimpleNamespace(
        classifier=classifier,
        regressor=RNNRegressor(2, targets="step", **common).fit(X, VALUES),
        text=CharacterModel(2, **common).fit("to be or not to be"),
        algorithm1=RNNClassifier(2, **common, solver="algorithm1").fit(X, LABELS),
        scaler=preprocessing.SequenceScaler().fit(X),
        forecaster=forecaster,
        fitted_forecaster=forecaster().fit(SERIES),
        regressor_of_forecasts=tiny,
        nested=frame,
        long=long,
        problem={
            "network": classifier._network(),
            "sequences": sequences,
            "targets": LABELS.astype(np.intp),
            "loss": losses.SoftmaxCrossEntropy(),
        },
    )


def on_a_copy(estimator, method):
    return lambda **arguments: getattr(copy.deepcopy(estimator), method)(**arguments)


def defaults(function):
    """All arguments that have a default, with it."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty and p.kind is not p.VAR_KEYWORD}


def solved(solver, problem, **arguments):
    network = arguments.pop("network")
    if network is problem["network"]:
        network = copy.deepcopy(network)
    return solver().solve(network, **arguments)


def solve(solver, of):
    arguments = defaults(solver.solve) | of.problem | {"random_state": 0}
    if solver is Algorithm1:
        arguments["network"] = of.algorithm1._network()
    takes = {"penalty": MANY, "batch_size": MANY, "max_epochs": MANY, "on_epoch_end": {"a type", "a function"}}
    takes["checkpoint"] = {"a type", "a function"}  # functions
    return call(partial(solved, solver, arguments), takes, **arguments)


def with_penalty(of, kind):
    """A fit that has this penalty on W."""

    def fit(**settings):
        problem = of.problem | {"network": copy.deepcopy(of.problem["network"])}
        return Rollout().solve(**problem, penalties={"W": kind(**settings)}, random_state=0)

    return fit


def joined(y, predictions, ignore_label):
    return metrics.joined(y, predictions, ignore_label=ignore_label)


def split(kind, **settings):
    arguments = {name: settings.pop(name) for name in ("X", "y", "groups")}
    return list(kind(**settings).split(**arguments))


def transformed(kind, z, **settings):
    return kind(**settings).transform(z)


def plotted(function, **arguments):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    try:
        return function(**arguments)
    finally:
        pyplot.close("all")


def written(folder, **arguments):
    """Shards in a new folder, unless another one is asked for."""
    written.number += 1
    return distributed.write_shards(f"shards-{written.number}" if folder is _NEW else folder, **arguments)


_NEW = "shards"
written.number = 0
CALLS = {
    "metrics.joined": lambda of: call(
        joined, {"ignore_label": LABEL}, y=[[0, 1], [1]], predictions=[[0, 1], [1]], ignore_label=None
    ),
    "metrics.scorer": lambda of: call(
        metrics.scorer,
        {"scoring": {"a type", "a function"}, "ignore_label": LABEL},  # scorers are functions
        scoring="accuracy",
        ignore_label=None,
    ),
    "Scorer": lambda of: call(
        metrics.scorer("accuracy"), estimator=of.classifier, X=X, y=LABELS, sample_weight=WEIGHTS
    ),
    "metrics.permutation_importance": lambda of: call(
        metrics.permutation_importance,
        {"scoring": {"a type", "a function"}},
        estimator=of.classifier,
        X=X,
        y=LABELS,
        scoring=None,
        n_repeats=1,
        random_state=0,
        sample_weight=WEIGHTS,
    ),
    "tables.sequences_from_channels_first": lambda of: call(
        tables.sequences_from_channels_first, {"X": {"an empty list", "an empty tuple"}}, X=X
    ),
    "tables.sequences_from_nested": lambda of: call(tables.sequences_from_nested, table=of.nested),
    "tables.sequences_from_table": lambda of: call(
        tables.sequences_from_table,
        {"series": {"an empty list"}, "label": {"an empty list"}},  # as None
        table=of.long,
        series="s",
        time="t",
        features=["x"],
        label="l",
        label_of="auto",
        return_series=False,
    ),
    "penalties.Box": lambda of: call(
        with_penalty(of, penalties.Box),
        {
            "low": {"minus one", "a negative number", "a huge negative integer"},
            "high": {"minus one", "a negative number", "infinity", "a huge integer"},
        },
        low=-1,
        high=1,
    ),
    "penalties.ElasticNet": lambda of: call(
        with_penalty(of, penalties.ElasticNet), {"weight": MANY}, weight=1.0, l1_ratio=0.5
    ),
    "penalties.Flattened": lambda of: call(with_penalty(of, penalties.Flattened), operator=Halves()),
    "penalties.GroupLasso": lambda of: call(
        with_penalty(of, penalties.GroupLasso), {"weight": MANY}, weight=1.0, axis=0
    ),
    "penalties.Lasso": lambda of: call(with_penalty(of, penalties.Lasso), {"weight": MANY}, weight=1.0),
    "penalties.Levels": lambda of: call(with_penalty(of, penalties.Levels), levels=2),
    "penalties.Rank": lambda of: call(with_penalty(of, penalties.Rank), rank=1),
    "penalties.Ridge": lambda of: call(with_penalty(of, penalties.Ridge), {"weight": MANY}, weight=1.0),
    "penalties.SpectralBall": lambda of: call(with_penalty(of, penalties.SpectralBall), {"radius": MANY}, radius=1.0),
    "Lasso.prox": lambda of: call(
        penalties.Lasso(1.0).prox, {"x": {"an empty array"}, "tau": MANY}, x=np.eye(2), tau=1.0
    ),
    "Flattened.prox": lambda of: call(
        penalties.Flattened(Halves()).prox, {"x": {"an empty array"}, "tau": MANY}, x=np.eye(2), tau=1.0
    ),
    "Lasso.value": lambda of: call(penalties.Lasso(1.0).value, {"x": {"an empty array"}}, x=np.eye(2)),
    "losses.Huber": lambda of: call(losses.Huber, {"delta": MANY}, delta=1.0),
    "losses.Quantile": lambda of: call(losses.Quantile, quantile=0.5),
    "losses.Quantiles": lambda of: call(losses.Quantiles, quantiles=(0.1, 0.5)),
    "losses.UserLoss": lambda of: call(losses.UserLoss, loss=Least(), n_outputs=None),
    "solvers.Algorithm1": lambda of: call(
        lambda **settings: Algorithm1(**settings).check_settings(),
        dict.fromkeys(("rho1", "rho2", "rho3", "nu", "r"), MANY | {"a type"})  # a function of the iteration
        | dict.fromkeys(("max_iter", "eps_abs", "eps_rel"), MANY),
        **defaults(Algorithm1),
    ),
    "Rollout.solve": partial(solve, Rollout),
    "Algorithm1.solve": partial(solve, Algorithm1),
    "Stream.__call__": lambda of: call(of.regressor.stream(2), x=X[:2, 0]),
    "Stream.predict": lambda of: call(of.regressor.stream(2).predict, x=X[:2, 0]),
    "Stream.read": lambda of: call(of.regressor.stream(2).read, X=X[:2, :2], every_step=True),
    "Stream.labels": lambda of: call(
        of.classifier.stream(2).labels, {"outputs": {"an array"}}, outputs=np.array([[0.1, 0.9]])
    ),
    "Stream.reset": lambda of: call(of.regressor.stream(2).reset, {"streams": NOTHING | {"minus one"}}, streams=None),
    "StreamState.from_dict": lambda of: call(
        streaming.StreamState.from_dict, state=of.regressor.stream(2).state.to_dict()
    ),
    "datasets.adding_problem": lambda of: call(datasets.adding_problem, n_sequences=2, n_steps=3, random_state=0),
    "datasets.copy_task": lambda of: call(datasets.copy_task, n_sequences=2, delay=3, n_to_copy=2, random_state=0),
    "datasets.mackey_glass": lambda of: call(
        datasets.mackey_glass, {"a": MANY, "x0": MANY}, n_steps=5, **defaults(datasets.mackey_glass)
    ),
    "datasets.load_japanese_vowels": lambda of: call(datasets.load_japanese_vowels, subset="train"),
    "datasets.load_mnist": lambda of: call(datasets.load_mnist, subset="train"),
    "datasets.load_osuleaf": lambda of: call(datasets.load_osuleaf, subset="train"),
    "datasets.read_idx": lambda of: call(datasets.read_idx, {"path": NAME}, path="data.idx"),
    "datasets.read_ts": lambda of: call(
        datasets.read_ts, {"path": NAME}, path="data.ts", missing="raise", return_times=False
    ),
    "plotting.plot_confusion_matrix": lambda of: call(
        partial(plotted, plotting.plot_confusion_matrix), estimator=of.classifier, X=X, y=LABELS, ax=None
    ),
    "plotting.plot_eigenvalues": lambda of: call(
        partial(plotted, plotting.plot_eigenvalues), estimator=of.classifier, ax=None
    ),
    "plotting.plot_forecast": lambda of: call(
        partial(plotted, plotting.plot_forecast),
        {
            "history": SOME | {"a list of None"},
            "forecast": SOME | {"a list of None"},  # NaN is not drawn
            "observed": SOME - {"an array"},
            "label": {"a string", "a null byte"},
        },
        history=SERIES[:9],
        forecast=SERIES[:3],
        quantiles=None,
        observed=None,
        n_shown=None,
        ax=None,
        label="forecast",
    ),
    "plotting.plot_history": lambda of: call(
        partial(plotted, plotting.plot_history),
        {"label": {"a string", "a null byte"}},
        history=of.classifier,
        metric="loss",
        ax=None,
        label=None,
    ),
    "plotting.plot_residuals": lambda of: call(
        partial(plotted, plotting.plot_residuals), history=of.algorithm1, ax=None
    ),
    "plotting.plot_states": lambda of: call(
        partial(plotted, plotting.plot_states),
        {"x": SOME},
        estimator=of.classifier,
        x=X[0],
        layer=None,
        ax=None,
        cmap=None,
    ),
    "SequenceScaler.fit": lambda of: call(preprocessing.SequenceScaler().fit, {"y": ANYTHING}, X=X, y=None),
    "SequenceScaler.transform": lambda of: call(of.scaler.transform, X=X),
    "SequenceScaler.inverse_transform": lambda of: call(of.scaler.inverse_transform, X=X),
    "preprocessing.cut_padding": lambda of: call(preprocessing.cut_padding, {"X": NOTHING}, X=X[:, :, 0]),
    "model_selection.ChunkSplit": lambda of: call(
        partial(split, model_selection.ChunkSplit),
        {
            "X": {"a string", "bytes", "a tuple of three", "a range", "a null byte", *NOTHING},  # has a length
            "y": ANYTHING,
            "max_train_size": MANY,
        },
        n_splits=2,
        gap=0,
        max_train_size=None,
        X=list(range(8)),
        y=None,
        groups=None,
    ),
    "model_selection.cross_val_predict": lambda of: call(
        model_selection.cross_val_predict,
        estimator=RNNClassifier(2, max_epochs=1, random_state=0),
        X=X,
        y=LABELS,
        cv=2,
        method="predict",
        groups=None,
    ),
    "model_selection.series_in_chunks": lambda of: call(
        model_selection.series_in_chunks,
        {"X": {"an empty list", "an empty tuple"}, "chunk_size": MANY},
        X=list(X),
        y=list(VALUES),
        chunk_size=2,
    ),
    "forecasting.Difference": lambda of: call(
        partial(transformed, forecasting.Difference), {"z": SOME}, lag=1, z=np.ones((5, 1))
    ),
    "Difference.inverse_transform": lambda of: call(
        forecasting.Difference().inverse_transform, differences=np.ones((3, 1)), history=np.ones((2, 1))
    ),
    "forecasting.Log": lambda of: call(
        partial(transformed, forecasting.Log),
        {"offset": MANY, "z": SOME | NOTHING},
        offset=1.0,
        z=np.ones((5, 1)),
    ),
    "Log.inverse_transform": lambda of: call(
        forecasting.Log().inverse_transform,
        {"logarithms": SOME | NOTHING | {"a list of None"}, "history": ANYTHING},
        logarithms=np.ones((3, 1)),
        history=None,
    ),
    "forecasting.Forecaster": lambda of: call(
        lambda **settings: forecasting.Forecaster(**settings).fit(SERIES),
        {"transformers": NOTHING, "noise": MANY},
        **(defaults(forecasting.Forecaster) | {"regressor": of.regressor_of_forecasts, "window": 10, "burn_in": 2}),
    ),
    "Forecaster.fit": lambda of: call(
        of.forecaster().fit,
        {"series": SOME - {"an array"}, "static": SOME | NOTHING},
        series=SERIES,
        inputs=None,
        static=None,
    ),
    "Forecaster.update": lambda of: call(
        on_a_copy(of.fitted_forecaster, "update"),
        {"series": SOME - {"an array"}, "static": NOTHING},
        series=SERIES,
        inputs=None,
        static=None,
    ),
    "Forecaster.forecast": lambda of: call(
        of.fitted_forecaster.forecast,
        {"series": SOME},
        horizon=2,
        future_inputs=None,
        series=None,
        inputs=None,
        static=None,
        quantiles=None,
        n_paths=2,
        random_state=0,
    ),
    "forecasting.OriginSplit": lambda of: call(
        partial(split, forecasting.OriginSplit),
        {"X": {"a string", "bytes"}, "y": ANYTHING, "groups": ANYTHING},
        horizon=2,
        n_origins=2,
        step=None,
        gap=0,
        window=None,
        X=SERIES,
        y=None,
        groups=None,
    ),
    "forecasting.backtest": lambda of: call(
        forecasting.backtest,
        {"static": SOME | NOTHING},
        forecaster=of.forecaster(),
        series=SERIES,
        split=forecasting.OriginSplit(3, n_origins=2),
        **(defaults(forecasting.backtest) | {"refit": False}),
    ),
    "distributed.StoredSequences": lambda of: call(
        distributed.StoredSequences, observations=X.reshape(24, 1), lengths=[3] * 8
    ),
    "distributed.write_shards": lambda of: call(
        written,
        {"folder": NAME, "sequences": NOTHING},
        folder=_NEW,
        sequences=[(x, 0) for x in X],
        n_shards=2,
        dtype=np.float32,
    ),
    "distributed.read_shard": lambda of: call(distributed.read_shard, folder="whole", i=0),
    "io.load": lambda of: call(admmirnn.load, {"path": NAME}, path="model", kind=None),
    "RNNClassifier.load": lambda of: call(RNNClassifier.load, {"path": NAME}, path="model"),
    "RNNClassifier.decision_function": lambda of: call(of.classifier.decision_function, X=X),
    "RNNClassifier.predict_proba": lambda of: call(of.classifier.predict_proba, X=X),
    "RNNClassifier.predict_log_proba": lambda of: call(of.classifier.predict_log_proba, X=X),
    "RNNClassifier.partial_fit": lambda of: call(
        on_a_copy(of.classifier, "partial_fit"), X=X, y=LABELS, sample_weight=WEIGHTS, classes=[0, 1]
    ),
    "RNNClassifier.to_c, 8 bits": lambda of: call(
        of.classifier.to_c, {"path": NAME}, path="model.c", dtype="int8", calibration_data=(X, LABELS)
    ),
    "RNNRegressor.partial_fit": lambda of: call(
        on_a_copy(of.regressor, "partial_fit"), X=X, y=VALUES, sample_weight=WEIGHTS
    ),
    "RNNRegressor.forecast": lambda of: call(
        of.regressor.forecast,
        {"history": SOME, "target_features": NOTHING, "residuals": SOME},
        history=X[0],
        horizon=2,
        future_inputs=None,
        target_features=None,
        state=None,
        quantiles=None,
        n_paths=2,
        residuals=None,
        random_state=0,
    ),
    "CharacterModel.fit": lambda of: call(
        lambda **arguments: CharacterModel(2, max_epochs=1, random_state=0, early_stopping=True).fit(**arguments),
        {"text": {"a string", "a null byte"}, "y": ANYTHING},
        text="to be or not to be",
        **defaults(CharacterModel.fit),
    ),
    "CharacterModel.partial_fit": lambda of: call(
        on_a_copy(CharacterModel(2, random_state=0), "partial_fit"),
        {"text": {"a string", "a null byte"}, "y": ANYTHING, "vocabulary": {"a string", "a null byte"}},
        text="to be",
        **defaults(CharacterModel.partial_fit),
    ),
    "CharacterModel.predict_proba": lambda of: call(of.text.predict_proba, text="to be"),
    "CharacterModel.predict_log_proba": lambda of: call(of.text.predict_log_proba, text="to be"),
    "CharacterModel.bits_per_character": lambda of: call(of.text.bits_per_character, text="to be"),
    "CharacterModel.score": lambda of: call(of.text.score, {"y": ANYTHING}, text="to be", y=None),
    "CharacterModel.generate": lambda of: call(
        of.text.generate, {"temperature": MANY}, prefix="", n=1, temperature=1.0, random_state=0
    ),
}
for _name, _y in (("classifier", LABELS), ("regressor", VALUES)):
    _class = {"classifier": "RNNClassifier", "regressor": "RNNRegressor"}[_name]
    CALLS |= {
        f"{_class}.predict": lambda of, name=_name: call(getattr(of, name).predict, X=X),
        f"{_class}.score": lambda of, name=_name, y=_y: call(getattr(of, name).score, X=X, y=y, sample_weight=WEIGHTS),
        f"{_class}.stream": lambda of, name=_name: call(getattr(of, name).stream, n_streams=1),
        f"{_class}.step": lambda of, name=_name: call(getattr(of, name).step, {"x": SCALAR}, x=X[0, 0], state=None),
        f"{_class}.save": lambda of, name=_name: call(getattr(of, name).save, {"path": NAME}, path="another"),
        f"{_class}.to_c": lambda of, name=_name: call(
            getattr(of, name).to_c, {"path": NAME}, path="model.c", dtype="float32", calibration_data=None
        ),
    }


@pytest.fixture(scope="module")
def folder(of, tmp_path_factory):
    """A folder with files of each kind."""
    folder = tmp_path_factory.mktemp("files")
    of.classifier.save(folder / "model")
    distributed.write_shards(folder / "whole", [(x, 0) for x in X], 2)
    (folder / "data.idx").write_bytes(b"\0\0\x08\1\0\0\0\2ab")
    (folder / "data.ts").write_text("@problemName x\n@classLabel true a\n@data\n1,2:a\n")
    return folder


@pytest.mark.parametrize("name", CALLS)
def test_wrong_values(name, of, folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.delenv("ADMMIRNN_DATA", raising=False)
    of_this = CALLS[name](of)
    if not name.startswith("datasets.load_"):  # of which there are no files here
        of_this.function(**of_this.arguments)
    faults = faults_of(of_this)
    assert not faults, "\n".join(faults)


def test_every_public_function_is_here():
    modules = (
        "datasets distributed forecasting io losses metrics model_selection penalties plotting preprocessing tables"
    )
    public = {f"{m}.{name}" for m in modules.split() for name in import_module(f"admmirnn.{m}").__all__}
    assert not public - CALLS.keys() - WITHOUT


# those without arguments, or with none that a user passes
WITHOUT = {"datasets.load_digits", "datasets.load_text", "forecasting.Backtest", "io.ModelFileError"}
WITHOUT |= {"losses.AbsoluteError", "losses.Hinge", "losses.SigmoidCrossEntropy", "losses.SoftmaxCrossEntropy"}
WITHOUT |= {"losses.SquaredError", "losses.Loss", "penalties.NonNegative", "penalties.Orthogonal"}
WITHOUT |= {"preprocessing.SequenceScaler"}  # whose methods are here
WITHOUT |= {"distributed.DaskTrainer", "distributed.MPIReducer"}  # see below


def faults_of(of_this):
    """What is wrong with how a function takes wrong values."""
    found = []
    for argument in of_this.arguments:
        takes = of_this.takes.get(argument, ())
        for kind, value in WRONG.items():
            if kind in takes:
                continue
            value = (i for i in range(3)) if kind == "a generator" else value
            try:
                if not refuses(lambda a=argument, v=value: of_this.function(**(of_this.arguments | {a: v})), argument):
                    found.append(f"{argument}, {kind}: taken")
            except Exception as error:
                found.append(f"{argument}, {kind}: {error!r:.200}")
    return found


def test_dask_trainer():
    pytest.importorskip("dask.distributed")

    def fit(**settings):
        distributed.DaskTrainer(**settings).fit(X, LABELS)

    arguments = {"estimator": RNNClassifier(2), "client": None, "iterations_per_round": 1, "consensus": False}
    for name in arguments:
        for kind, value in WRONG.items():
            if (name, kind) != ("iterations_per_round", "a huge integer"):  # a round is then an epoch
                assert refuses(lambda name=name, value=value: fit(**(arguments | {name: value})), name)


def test_mpi_reducer():
    pytest.importorskip("mpi4py")
    for name in ("comm", "timeout"):
        for kind, value in WRONG.items():
            if (name, kind) != ("timeout", "a huge integer"):
                assert refuses(lambda name=name, value=value: distributed.MPIReducer(**{name: value}), name)


@pytest.mark.slow
def test_exports_to_onnx_and_from_torch(of, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    rnn = torch.nn.RNN(1, 2, batch_first=True)
    linear = torch.nn.Linear(2, 2)
    for of_this in (
        call(of.classifier.to_onnx, {"path": NAME}, path="m.onnx", lengths=True, states=False, dtype="float32"),
        call(RNNClassifier.from_torch, {"classes": {"an array"}}, rnn=rnn, linear=linear, classes=[0, 1]),
        call(RNNRegressor.from_torch, rnn=rnn, linear=torch.nn.Linear(2, 1), every_step=False),
    ):
        of_this.function(**of_this.arguments)
        assert not faults_of(of_this)
