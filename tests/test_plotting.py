"""Pictures, each drawn for real: what its artists hold, and that no figure is left behind."""

import subprocess
import sys

import naive_networks
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from admmirnn import Algorithm1, CharacterModel, RNNClassifier, RNNRegressor, Status, plotting
from admmirnn.activations import ACTIVATIONS
from admmirnn.networks.cells import CELLS

pytestmark = pytest.mark.elman

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402
from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402


@pytest.fixture(autouse=True)
def no_figure_is_left():
    """Of the tests that are given an axes; the others close theirs."""
    assert not pyplot.get_fignums()
    yield
    left = pyplot.get_fignums()
    pyplot.close("all")
    assert not left


@pytest.fixture
def figure():
    """One that pyplot does not know, and that is drawn to its last artist in the end."""
    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    yield figure
    figure.canvas.draw()


@pytest.fixture
def model(waves):
    return RNNClassifier(6, max_epochs=4, random_state=0).fit(*waves)


@pytest.fixture(scope="module")
def algorithm1():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 4, 2)), np.arange(20) % 2
    return RNNClassifier(5, solver=Algorithm1(r="lipschitz", s_coupling=True), max_epochs=6, random_state=0).fit(X, y)


def lines(ax):
    return {line.get_label(): (line.get_xdata(), line.get_ydata()) for line in ax.get_lines()}


def words(legend):
    return [text.get_text() for text in legend.get_texts()]


# learning curves


@pytest.mark.parametrize("form", ["estimator", "list", "pandas"])
def test_history(model, figure, form):
    given = {"estimator": model, "list": model.history_, "pandas": pd.DataFrame(model.history_)}[form]
    ax = figure.subplots()
    assert plotting.plot_history(given, ax=ax) is ax
    ((name, (epochs, losses)),) = lines(ax).items()
    assert name == "roll-out loss" and ax.get_xlabel() == "epoch" and ax.get_ylabel() == "loss"
    np.testing.assert_array_equal(epochs, [1, 2, 3, 4])
    np.testing.assert_array_equal(losses, [record["rollout_loss"] for record in model.history_])


def test_histories_of_several_fits_and_entries(model, algorithm1, figure):
    left, right = figure.subplots(1, 2)
    plotting.plot_history(algorithm1, "accuracy", ax=left, label="ADMM", linewidth=3)
    assert set(lines(left)) == {"ADMM, training accuracy", "ADMM, auxiliary accuracy"}
    assert all(line.get_linewidth() == 3 for line in left.get_lines())
    plotting.plot_history(model, "training_accuracy", ax=left, label="roll-out")
    assert set(words(left.get_legend())) == {"ADMM, training accuracy", "ADMM, auxiliary accuracy", "roll-out"}
    plotting.plot_history(model, ["radius", "r"], ax=right)
    np.testing.assert_array_equal(lines(right)["radius"][1], [record["radius"] for record in model.history_])
    records = [{"epoch": 1, "D_norm": None}, {"epoch": 2, "D_norm": 3.0}]
    np.testing.assert_array_equal(
        lines(plotting.plot_history(records, "D_norm", ax=figure.subplots()))["D norm"][1], [np.nan, 3]
    )


def test_history_with_validation_data(waves, figure):
    X, y = waves
    model = RNNClassifier(6, max_epochs=3, random_state=0).fit(X[:80], y[:80], validation_data=(X[80:], y[80:]))
    drawn = lines(plotting.plot_history(model, ax=figure.subplots()))
    assert set(drawn) == {"roll-out loss", "validation loss"}
    np.testing.assert_array_equal(drawn["validation loss"][1], [record["validation_loss"] for record in model.history_])
    records = [{"epoch": 1, "rollout_loss": 2.0}, {"epoch": 2, "rollout_loss": 1.0, "validation_loss": 3.0}]
    drawn = lines(plotting.plot_history(records, ax=figure.add_subplot()))
    np.testing.assert_array_equal(drawn["validation loss"][1], [np.nan, 3])


def test_text_models_have_a_history(figure):
    model = CharacterModel(4, max_epochs=2, random_state=0).fit(20 * "to be or not to be, ")
    assert len(lines(plotting.plot_history(model, ax=figure.subplots()))["roll-out loss"][0]) == 2


def test_history_refuses(model, figure):
    ax = figure.subplots()
    for history, metric, error, message in [
        (model, "colour", ValueError, "no 'colour'; it has epoch, rollout_loss"),
        (model, 3, TypeError, "metric is 3"),
        ([], "loss", ValueError, "empty"),
        ("history", "loss", TypeError, "of type str"),
        (LogisticRegression().fit([[0], [1]], [0, 1]), "loss", TypeError, "of type LogisticRegression"),
        (model, [], ValueError, "metric is ..; pass at least one key"),
    ]:
        with pytest.raises(error, match=message):
            plotting.plot_history(history, metric, ax=ax)
    with pytest.raises(TypeError, match="ax is 'here'"):
        plotting.plot_history(model, ax="here")
    with pytest.raises(TypeError, match="ax is"):
        plotting.plot_history(model, ax=[ax, ax])


def test_a_single_epoch_is_seen(model, algorithm1, figure):
    """A line of one point has no length."""
    left, right = figure.subplots(1, 2)
    plotting.plot_history(model.history_[:1], "loss", ax=left)
    plotting.plot_residuals(algorithm1.history_[1:2], ax=right)
    figure.canvas.draw()
    for ax in (left, right):
        assert ax.get_lines() and all(line.get_marker() == "o" for line in ax.get_lines())
        low, high = ax.get_xlim()
        assert [tick for tick in ax.get_xticks() if low <= tick <= high] == [ax.get_lines()[0].get_xdata()[0]]
    assert plotting.plot_history(model, ax=left).get_lines()[-1].get_marker() in ("", "None", None)


# residuals


def test_residuals(algorithm1, figure):
    ax = figure.subplots()
    assert plotting.plot_residuals(algorithm1, ax=ax) is ax
    assert ax.get_yscale() == "log"
    drawn = [line.get_ydata() for line in ax.get_lines()]
    keys = [key for key in algorithm1.history_[0] if key.startswith(("primal_", "dual_"))]
    assert len(keys) == len(drawn) == len(set(lines(ax))) == 9
    for key in keys:
        values = np.array([record[key] for record in algorithm1.history_])
        values[values == 0] = np.nan
        assert any(np.array_equal(values, line, equal_nan=True) for line in drawn), key


def test_residuals_that_are_zero_are_left_out(figure):
    history = [
        {"epoch": k}
        | {f"{kind}_{name}": 0.0 if kind == "primal" else 0.1**k for name in "aso" for kind in ("primal", "dual")}
        for k in (1, 2)
    ]
    assert [
        line.get_linestyle() for line in plotting.plot_residuals(history, ax=figure.subplots()).get_lines()
    ] == 3 * ["--"]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_residuals_of_a_fit_that_diverged_at_once(figure):
    X = 1e3 * np.random.default_rng(0).normal(size=(20, 5, 2))
    model = RNNClassifier(4, solver=Algorithm1(r=1e-6), max_epochs=3, random_state=0).fit(X, np.arange(20) % 2)
    assert model.status_ is Status.DIVERGED
    assert not plotting.plot_residuals(model, ax=figure.subplots()).get_lines()


def test_residuals_are_those_of_algorithm1(model, figure):
    with pytest.raises(ValueError, match="no 'primal_a'; plot the history of an Algorithm1"):
        plotting.plot_residuals(model, ax=figure.subplots())


# states


def states_of(model, x):
    """In plain numpy."""
    functions = {
        "tanh": np.tanh,
        "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
        "relu": lambda a: np.maximum(a, 0),
        "leaky_relu": lambda a: np.where(a > 0, a, 0.01 * a),
        "identity": lambda a: a,
    }
    s, states = np.zeros(len(model.W_)) if model.s_0_ is None else model.s_0_, []
    for observation in x:
        s = functions[model.activation](model.U_ @ observation + model.W_ @ s + model.b_)
        states.append(s)
    return np.array(states)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_states_and_probabilities(waves, figure, activation):
    X, y = waves
    model = RNNClassifier(6, activation=activation, max_epochs=2, random_state=0, s_0="learn", dtype="float64").fit(
        X, y
    )
    pair = figure.subplots(2)
    found = plotting.plot_states(model, X[0], ax=pair)
    assert isinstance(found, np.ndarray) and list(found) == list(pair)
    S = states_of(model, X[0])
    (image,) = pair[0].images
    np.testing.assert_allclose(image.get_array(), S.T, atol=1e-12)
    assert image.get_extent() == [0.5, len(S) + 0.5, 5.5, -0.5] and image.norm.vmax == pytest.approx(np.abs(S).max())
    assert image.norm.vmin == (0 if activation in ("sigmoid", "relu") else -image.norm.vmax)
    prefixes = model.predict_proba([X[0][:t] for t in range(1, len(S) + 1)])
    assert words(pair[1].get_legend()) == ["0", "1"]
    for name, (steps, values) in lines(pair[1]).items():
        np.testing.assert_array_equal(steps, np.arange(1, len(S) + 1))
        np.testing.assert_allclose(values, prefixes[:, int(name)], atol=1e-12)


@pytest.mark.parametrize("frame", [None, (3, 1), (2, 3)])
@pytest.mark.parametrize("readout", ["last", "mean", "max"])
def test_output_by_step_ends_with_what_is_predicted(waves, figure, readout, frame):
    X, y = waves
    X = X + [np.ones((3, 2))] if frame is None else [x for x in X]
    y = np.append(y, 0.0) if frame is None else y.astype(float)
    model = RNNRegressor(6, readout=readout, frame=frame, scale=2.0, max_epochs=2, random_state=0).fit(X, 50 + 10 * y)
    x = X[1]
    upper, lower = plotting.plot_states(model, x, ax=figure.subplots(2))
    length, stride = (1, 1) if frame is None else frame
    ends = range(len(x), length - 1, -stride)  # the last frame ends with the sequence
    expected = model.predict([x[:end] for end in ends])[::-1]
    ((steps, values),) = lines(lower).values()
    assert upper.images[0].get_array().shape == (6, len(expected)) and len(steps) == len(expected)
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    assert lower.get_xlabel() == ("step" if frame is None else "frame")


def test_states_of_targets_at_each_step_and_of_one_feature(figure):
    X = np.random.default_rng(0).normal(size=(30, 8))
    model = RNNRegressor(5, max_epochs=2, random_state=0).fit(X, np.stack([X, X.cumsum(axis=1)], axis=2))
    _, lower = plotting.plot_states(model, X[3], ax=figure.subplots(2))
    found = np.column_stack([values for _, values in lines(lower).values()])
    np.testing.assert_allclose(found, model.predict(X[3:4, :, None])[0], atol=1e-5)


@pytest.mark.parametrize("loss", ["hinge", "sigmoid_cross_entropy"])
def test_states_with_other_losses(waves, figure, loss):
    X, y = waves
    y = y if loss == "hinge" else np.column_stack([y, 1 - y, y])
    model = RNNClassifier(5, loss=loss, max_epochs=2, random_state=0).fit(X, y)
    _, lower = plotting.plot_states(model, X[0], ax=figure.subplots(2))
    last = [values[-1] for _, values in lines(lower).values()]
    if loss == "hinge":
        assert last[1] - last[0] == pytest.approx(model.decision_function(X[:1])[0], abs=1e-5)
    else:
        np.testing.assert_allclose(last, model.predict_proba(X[:1])[0], atol=1e-5)
    assert lower.get_ylabel() == ("output" if loss == "hinge" else "probability")


@pytest.mark.parametrize("form", ["last", "mean", "max", "each"])
def test_states_of_both_directions(waves, figure, form):
    """At k steps, a sequence's output is that of a network which reads k steps from either end."""
    X, y = waves
    y = [np.resize([label, 0.5], len(x)) for x, label in zip(X, y, strict=True)] if form == "each" else y.astype(float)
    readout = "last" if form == "each" else form
    model = RNNRegressor(6, bidirectional=True, readout=readout, max_epochs=2, random_state=0).fit(X, y)
    x = X[1]
    upper, lower = plotting.plot_states(model, x, ax=figure.subplots(2))
    ((_, found),) = lines(lower).values()
    S = upper.images[0].get_array().T
    assert S.shape == (len(x), 12)
    np.testing.assert_allclose(S[:, :6], states_of(model, x), atol=1e-5)
    other = RNNRegressor(6, max_epochs=1, random_state=0).fit(X, np.ones(len(X)))
    other.U_, other.W_, other.b_ = model.U_reverse_, model.W_reverse_, model.b_reverse_
    np.testing.assert_allclose(S[::-1, 6:], states_of(other, x[::-1]), atol=1e-5)
    if form == "each":
        np.testing.assert_allclose(found, model.predict([x])[0], atol=1e-5)
    else:
        assert found[-1] == pytest.approx(model.predict([x])[0], abs=1e-5)
        first = np.append(S[0, :6], S[-1, 6:])
        assert found[0] == pytest.approx(model._values(first @ model.V_.T + model.c_)[0], abs=1e-5)
    assert lower.get_xlabel() == ("step" if form == "each" else "steps read from both ends")
    assert len(plotting.plot_eigenvalues(model, ax=figure.add_subplot()).collections) == 2


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_states_of_every_layer(waves, figure, cell, bidirectional):
    """Those below the last one are what a network of fewer layers, with all units for outputs, says."""
    X, y = waves
    model = RNNClassifier(
        (6, 4, 5), cell=cell, bidirectional=bidirectional, max_epochs=1, random_state=0, dtype="float64"
    ).fit(X, y)
    last = None
    for layer, n in ((1, 6), (2, 4), (None, 5)):
        figure.clear()
        upper, lower = plotting.plot_states(model, X[1], layer=layer, ax=figure.subplots(2))
        S, n_units = upper.images[0].get_array().T, n * (1 + bidirectional)
        expected = np.hstack(naive_networks.last_layer(model._network(), X[1], layer))
        assert S.shape == (len(X[1]), n_units) and len(upper.lines) == bidirectional
        np.testing.assert_allclose(S, expected, rtol=0, atol=1e-12)
        found = np.column_stack([values for _, values in lines(lower).values()])
        np.testing.assert_allclose(found[-1], model.predict_proba(X[1:2])[0], atol=1e-12)
        last = found if last is None else last
        np.testing.assert_array_equal(found, last)  # outputs are read from the last layer
    figure.clear()
    n_matrices = sum(name.startswith("W") for name in model._network().blocks)
    assert len(plotting.plot_eigenvalues(model, ax=figure.add_subplot()).collections) == n_matrices


@pytest.mark.parametrize(("layer", "error"), [(0, ValueError), (3, ValueError), (1.5, TypeError), ("1", TypeError)])
def test_states_of_a_layer_that_is_not_there(waves, figure, layer, error):
    X, y = waves
    model = RNNRegressor((3, 2), max_epochs=1, random_state=0).fit(X, y)
    with pytest.raises(error, match="^layer is "):
        plotting.plot_states(model, X[0], layer=layer, ax=figure.subplots(2))


def test_states_in_a_single_axes(model, waves, figure):
    left, right = figure.subplots(1, 2)
    upper, lower = plotting.plot_states(model, waves[0][0], ax=right, cmap="magma", vmin=-1)
    assert upper is right and lower not in (left, right) and lower in figure.axes
    assert upper.images[0].get_cmap().name == "magma" and upper.images[0].norm.vmin == -1
    assert not left.has_data()
    figure.canvas.draw()
    assert lower.get_position().y1 < upper.get_position().y0
    assert lower.get_xlim() == upper.get_xlim()


@pytest.mark.parametrize(("rectangle", "layout"), [(None, None), (None, "constrained"), ((0.1, 0.1, 0.8, 0.8), None)])
def test_states_in_a_single_axes_stay_in_the_figure(model, waves, rectangle, layout):
    """With the scale and the legend beside them; and the axes that pyplot draws into next are those from before."""
    figure = Figure(layout=layout)
    FigureCanvasAgg(figure)
    ax = figure.subplots() if rectangle is None else figure.add_axes(rectangle)
    place, other = ax.get_position(), figure.add_axes((0, 0, 0.1, 0.1))
    other.set_in_layout(False)
    upper, lower = plotting.plot_states(model, waves[0][0], ax=ax)
    assert figure.gca() is other
    figure.canvas.draw()
    for one in (upper, lower):
        drawn = one.get_tightbbox()
        assert drawn.x0 >= 0 and drawn.x1 <= figure.bbox.width
        assert drawn.y0 >= 0 and drawn.y1 <= figure.bbox.height
    if layout is None:
        assert lower.get_position().x1 < 0.9 * place.x1
        assert lower.get_position().y0 == pytest.approx(place.y0) and upper.get_position().y1 == pytest.approx(place.y1)


def test_states_refuse_what_does_not_fit(model, waves, figure):
    pair = figure.subplots(2)
    for x, message in [(np.ones((4, 3)), "3 features"), (np.ones((2, 4, 2)), "X"), (np.full((4, 2), np.nan), "NaN")]:
        with pytest.raises(ValueError, match=message):
            plotting.plot_states(model, x, ax=pair)
    with pytest.raises(TypeError, match="pair"):
        plotting.plot_states(model, waves[0][0], ax=[*pair, pair[0]])
    text = CharacterModel(4, max_epochs=1, random_state=0).fit(20 * "to be or not to be, ")
    for other in (text, "model"):
        with pytest.raises(TypeError, match="RNNClassifier or RNNRegressor"):
            plotting.plot_states(other, "to be", ax=pair)


# eigenvalues


def test_eigenvalues(model, figure):
    for given in (model, model.W_, model.W_.tolist()):
        ax = plotting.plot_eigenvalues(given, ax=figure.add_subplot(), marker="x")
        expected = np.linalg.eigvals(model.W_)
        (points,) = ax.collections
        found = points.get_offsets() @ [1, 1j]
        assert max(np.abs(found - value).min() for value in expected) < 1e-5 and len(found) == 6
        (circle,) = ax.get_lines()
        np.testing.assert_allclose(np.hypot(*circle.get_data()), 1)
        assert ax.get_aspect() == 1
        assert words(ax.get_legend()) == [f"W, spectral radius {np.abs(expected).max():.3g}"]


@pytest.mark.parametrize("W", [np.ones((2, 3)), np.ones(4), np.zeros((0, 0)), np.full((2, 2), np.inf)])
def test_eigenvalues_refuse(W, figure):
    with pytest.raises(ValueError, match="W"):
        plotting.plot_eigenvalues(W, ax=figure.subplots())


def test_eigenvalues_of_other_estimators(figure):
    with pytest.raises(TypeError, match="of type LogisticRegression, which has no W_"):
        plotting.plot_eigenvalues(LogisticRegression().fit([[0], [1]], [0, 1]), ax=figure.subplots())


# confusion matrix


@pytest.mark.parametrize("word", ["", "a long label "])
def test_confusion_matrix_has_labels_that_can_be_read(figure, word):
    X = np.random.default_rng(0).normal(size=(60, 3, 1))
    y = [f"{word}{i % 10}" for i in range(60)]
    model = RNNClassifier(4, max_epochs=1, random_state=0).fit(X, y)
    ax = plotting.plot_confusion_matrix(model, X, y, ax=figure.subplots(), normalize="true")
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert all(one.x1 < other.x0 for one, other in zip(boxes, boxes[1:], strict=False))
    assert all(len(text.get_text()) == 4 for text in ax.texts)


def test_confusion_matrix(model, waves, figure):
    X, y = waves
    y = y.copy()
    y[:30] = 1 - y[:30]  # some errors
    ax = figure.subplots()
    assert plotting.plot_confusion_matrix(model, X, y, ax=ax) is ax
    predicted = model.predict(X)
    expected = [[np.sum((y == i) & (predicted == j)) for j in (0, 1)] for i in (0, 1)]
    np.testing.assert_array_equal(ax.images[0].get_array(), expected)
    plotting.plot_confusion_matrix(model, X, y, ax=ax, normalize="true", colorbar=False, cmap="Greens")
    np.testing.assert_allclose(ax.images[-1].get_array().sum(axis=1), 1)
    assert ax.images[-1].get_cmap().name == "Greens"


def test_confusion_matrix_of_steps(waves, figure):
    X, _ = waves
    y = [np.where(x[:, 0] > 0, "up", "down").astype(object) for x in X]
    for labels in y:
        labels[0] = "none"
    model = RNNClassifier(5, max_epochs=2, random_state=0, ignore_label="none").fit(X, y)
    ax = plotting.plot_confusion_matrix(model, X, y, ax=figure.subplots())
    labels, predicted = np.concatenate(y), np.concatenate(model.predict(X))
    kept = labels != "none"
    expected = [[np.sum(kept & (labels == i) & (predicted == j)) for j in ("down", "up")] for i in ("down", "up")]
    np.testing.assert_array_equal(ax.images[0].get_array(), expected)


def test_confusion_matrix_refuses(waves, figure):
    X, y = waves
    ax = figure.subplots()
    several = RNNClassifier(4, loss="sigmoid_cross_entropy", max_epochs=1, random_state=0).fit(
        X, np.eye(2, dtype=int)[y]
    )
    with pytest.raises(ValueError, match="several labels"):
        plotting.plot_confusion_matrix(several, X, y, ax=ax)
    with pytest.raises(TypeError, match="RNNClassifier"):
        plotting.plot_confusion_matrix(RNNRegressor(4, max_epochs=1, random_state=0).fit(X, y), X, y, ax=ax)


# figures


def test_without_ax_there_is_one_new_figure(model, algorithm1, waves):
    X, y = waves
    for draw in (
        lambda: plotting.plot_history(model),
        lambda: plotting.plot_residuals(algorithm1),
        lambda: plotting.plot_states(model, X[0]),
        lambda: plotting.plot_eigenvalues(model),
        lambda: plotting.plot_confusion_matrix(model, X, y),
    ):
        found = np.ravel(draw())
        (number,) = pyplot.get_fignums()
        assert all(ax.figure is pyplot.figure(number) for ax in found)
        found[0].figure.canvas.draw()
        pyplot.close("all")


def test_bad_input_opens_no_figure(model, waves):
    for draw in (
        lambda: plotting.plot_history(model, "colour"),
        lambda: plotting.plot_residuals(model),
        lambda: plotting.plot_states(model, np.ones((4, 3))),
        lambda: plotting.plot_eigenvalues(np.ones(3)),
        lambda: plotting.plot_confusion_matrix(model, waves[0], waves[1][:3]),
        lambda: plotting.plot_confusion_matrix(model, *waves, normalize="other"),
        lambda: plotting.plot_history(RNNClassifier()),
        lambda: plotting.plot_eigenvalues(RNNClassifier()),
    ):
        with pytest.raises(ValueError):
            draw()


@pytest.mark.slow
def test_without_matplotlib(tmp_path):
    """Everything but a picture works, and that says how to install it."""
    (tmp_path / "matplotlib.py").write_text("raise ImportError('not here')")
    program = "import sys; sys.path.insert(0, '.')\nfrom admmirnn import plotting\nplotting.plot_eigenvalues([[1.0]])"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert "ImportError: plot_eigenvalues needs matplotlib" in done.stderr
    assert "pip install 'admmirnn[plot]'" in done.stderr


# plot_forecast


def test_forecasts_and_their_bands(figure):
    history, forecast, observed = np.arange(50.0), np.arange(50, 60) + 0.5, np.arange(50.0, 60)
    quantiles = forecast[:, None] + np.array([-2, -1, 0, 1, 2])
    ax = plotting.plot_forecast(history, forecast, quantiles, observed=observed, ax=figure.add_subplot())
    series, truth, line = ax.get_lines()
    np.testing.assert_array_equal(series.get_xydata(), np.column_stack([history, history])[-30:])
    np.testing.assert_array_equal(truth.get_xydata(), np.column_stack([observed, observed]))
    np.testing.assert_array_equal(line.get_xydata(), np.column_stack([observed, forecast]))
    outer, inner = (band.get_paths()[0].get_extents() for band in ax.collections)
    assert (outer.y0, outer.y1, inner.y0, inner.y1) == (48.5, 61.5, 49.5, 60.5)
    plotting.plot_forecast(history, forecast + 1, ax=ax, label="another")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["series", "observed", "forecast", "another"]


def test_forecasts_refuse(figure):
    ax = figure.add_subplot()
    for arguments, match in (
        (([[1.0]], [1.0]), "history has the shape"),
        (([1.0], []), "forecast has the shape"),
        (([1.0], [1.0, 2.0], [[1.0, 2.0]]), r"quantiles has the shape \(1, 2\); pass \(2, n_levels\)"),
    ):
        with pytest.raises(ValueError, match=match):
            plotting.plot_forecast(*arguments, ax=ax)
    with pytest.raises(ValueError, match="observed has the shape"):
        plotting.plot_forecast([1.0], [1.0], observed=[1.0, 2.0], ax=ax)
