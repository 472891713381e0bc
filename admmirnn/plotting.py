"""Pictures of training and of networks; they need matplotlib.

Each function draws into the ``ax`` it is given, and otherwise into a new figure of `matplotlib.pyplot`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from admmirnn import validation
from admmirnn._typing import FloatArray, Record
from admmirnn.networks.blocks import place_of, weights_of
from admmirnn.optional import import_optional

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
else:
    Axes = Any
    Axis = Any

__all__ = [
    "plot_confusion_matrix",
    "plot_eigenvalues",
    "plot_forecast",
    "plot_history",
    "plot_residuals",
    "plot_states",
]

_MOST_IN_A_LEGEND = 12
_MOST_ABOVE = 4  # lines of a legend above an axes, or there are two columns of them
_WIDTH = 0.84  # of axes that leave room for what is beside them
_MOST_CHARACTERS = 40  # below an axis
_EQUATIONS = {"a": "#0072B2", "s": "#E69F00", "o": "#009E73"}  # in colours that the colour-blind tell apart
_SIGNED = ("tanh", "identity", "leaky_relu")


def plot_history(
    history: Any, metric: str | list[str] = "loss", *, ax: Axes | None = None, label: str | None = None, **kwargs: Any
) -> Axes:
    """Plot learning curves, with one point per epoch.

    Call it again with the same ``ax`` and another ``label`` to compare fits.

    Parameters
    ----------
    history : estimator, list of dict, or pandas.DataFrame
        A fitted estimator, or its ``history_``.
    metric : str or list of str, default="loss"
        Curves to plot: keys of the records, such as "rollout_loss", or the last word of keys, "loss" or "accuracy", for
        all keys that end with it.
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; by default those of a new figure.
    label : str, optional
        Name of the fit in the legend.
    **kwargs
        Further arguments of `matplotlib.axes.Axes.plot`.

    Returns
    -------
    matplotlib.axes.Axes
        Axes that hold the curves.

    Raises
    ------
    ValueError
        If the history has no such entry.
    ImportError
        If matplotlib is not installed: ``pip install 'admmirnn[plot]'``.

    Examples
    --------
    >>> ax = plot_history(model, "accuracy")  # doctest: +SKIP
    """
    records = check_records(history)
    names = check_recorded(records, metric)
    if label is not None:
        check_label(label)
    ax = _axes(ax, "plot_history")
    epochs = _column(records, "epoch")
    for name in names:
        words, values = _words(name), _column(records, name)
        of_line = words if label is None else label if len(names) == 1 else f"{label}, {words}"
        ax.plot(epochs, values, **{"label": of_line, "marker": _marker(values)} | kwargs)
    ax.set(xlabel="epoch", ylabel=_words(metric) if isinstance(metric, str) else None)
    _show_whole_numbers(ax.xaxis)
    ax.grid(alpha=0.3)
    ax.legend()
    return ax


def plot_residuals(history: Any, *, ax: Axes | None = None, **kwargs: Any) -> Axes:
    """Plot the residuals of `Algorithm1` by iteration, on a log scale.

    Solid lines are the primal residuals, how far a_t, s_t and o_t are from the network's equations before the last
    step, dotted ones those at the last step, dashed ones the dual residuals, how far the variables have moved; all are
    root mean squares, see `admmirnn.solvers.algorithm1.residuals.Residuals`.

    Parameters
    ----------
    history : estimator, list of dict, or pandas.DataFrame
        An estimator fitted with ``solver="algorithm1"``, or its ``history_``.
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; by default those of a new figure.
    **kwargs
        Further arguments of `matplotlib.axes.Axes.plot`.

    Returns
    -------
    matplotlib.axes.Axes
        Axes that hold the curves.

    Raises
    ------
    ValueError
        If the history has no residuals.
    ImportError
        If matplotlib is not installed: ``pip install 'admmirnn[plot]'``.
    """
    records = check_records(history)
    check_recorded(records, [f"primal_{name}" for name in _EQUATIONS], "plot the history of an Algorithm1")
    ax = _axes(ax, "plot_residuals")
    iterations = _column(records, "epoch")
    for equation, colour in _EQUATIONS.items():
        for key, style, name in (
            (f"primal_{equation}", "-", f"primal ${equation}_t$"),
            (f"primal_{equation}_N", ":", f"primal ${equation}_N$"),
            (f"dual_{equation}", "--", f"dual ${equation}_t$"),
        ):
            values = _column(records, key)
            values[values == 0] = np.nan  # which has no logarithm
            if not np.isnan(values).all():
                how = {"label": name, "linestyle": style, "color": colour, "marker": _marker(values)}
                ax.plot(iterations, values, **how | kwargs)
    ax.set(yscale="log", xlabel="iteration", ylabel="residual")
    _show_whole_numbers(ax.xaxis)
    ax.grid(alpha=0.3)
    if ax.get_lines():  # there are none of a fit that diverged at once
        ax.legend(fontsize="small", ncols=3, columnspacing=1)  # a column an equation
    return ax


def plot_forecast(
    history: ArrayLike,
    forecast: ArrayLike,
    quantiles: ArrayLike | None = None,
    *,
    observed: ArrayLike | None = None,
    n_shown: int | None = None,
    ax: Axes | None = None,
    label: str = "forecast",
    **kwargs: Any,
) -> Axes:
    """Plot a series and its forecast, with the interval between the outer quantiles.

    Call it again with the same ``ax`` and another ``label`` to compare forecasts.

    Parameters
    ----------
    history : array-like of shape (n_steps,)
        Values of one series up to the forecast.
    forecast : array-like of shape (horizon,)
        Values that are predicted to follow.
    quantiles : array-like of shape (horizon, n_levels), optional
        Quantiles as `Forecaster.forecast` returns them; pairs of them, the outer ones first, are drawn as bands.
    observed : array-like of shape (horizon,), optional
        Values that did follow.
    n_shown : int, optional
        Number of the last steps of ``history`` that are drawn; by default three times the horizon.
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; by default those of a new figure.
    label : str, default="forecast"
        Name of the forecast in the legend.
    **kwargs
        Further arguments of `matplotlib.axes.Axes.plot` for the forecast.

    Returns
    -------
    matplotlib.axes.Axes
        Axes that hold the forecast.

    Raises
    ------
    ValueError
        If an argument has another shape.
    ImportError
        If matplotlib is not installed: ``pip install 'admmirnn[plot]'``.
    """
    history, forecast = check_curve("history", history, None), check_curve("forecast", forecast, None)
    horizon, n = len(forecast), len(history)
    n_shown = 3 * horizon if n_shown is None else validation.check_integer("n_shown", n_shown, 1)
    bands = None if quantiles is None else validation.as_numbers(quantiles, "quantiles", np.float64)
    if bands is not None and (bands.ndim != 2 or len(bands) != horizon):
        raise ValueError(f"quantiles has the shape {bands.shape}; pass ({horizon}, n_levels), a row for each step")
    truth = None if observed is None else check_curve("observed", observed, horizon)
    check_label(label)
    ax = _axes(ax, "plot_forecast")
    steps = np.arange(n, n + horizon)
    if not ax.get_lines():
        ax.plot(np.arange(n)[-n_shown:], history[-n_shown:], color="0.4", label="series")
        if truth is not None:
            ax.plot(steps, truth, color="0.4", linestyle=":", label="observed")
    (line,) = ax.plot(steps, forecast, **{"label": label} | kwargs)
    for k in range(0 if bands is None else bands.shape[1] // 2):
        assert bands is not None
        ax.fill_between(steps, bands[:, k], bands[:, -1 - k], color=line.get_color(), alpha=0.2, linewidth=0)
    ax.set(xlabel="step")
    ax.grid(alpha=0.3)
    ax.legend()
    return ax


def check_curve(name: str, values: Any, length: int | None) -> NDArray[np.float64]:
    """Return numbers of one axis, or raise; None is any length but 0."""
    found: NDArray[np.float64] = validation.as_numbers(values, name, np.float64)
    if found.ndim != 1 or len(found) == 0 or (length is not None and len(found) != length):
        raise ValueError(f"{name} has the shape {found.shape}; pass ({length or 'n_steps'},), one value of a series")
    return found


def plot_states(
    estimator: Any, x: ArrayLike, *, layer: int | None = None, ax: Any = None, cmap: Any = None, **kwargs: Any
) -> NDArray[np.object_]:
    """Plot the states of one sequence as a heat map, and below it the output by step.

    The output at a step is what V reads from the states up to it: of a classifier the probabilities of its classes, or
    o where the loss has none, of a regressor the values that it predicts.  At the last step it is what the estimator
    says of the whole sequence, or of that step.  With ``bidirectional=True`` and one target per sequence, it is what V
    reads when both networks have read so many steps from their ends.

    Parameters
    ----------
    estimator : RNNClassifier or RNNRegressor
        Fitted estimator.
    x : array-like of shape (n_steps, n_features), or (n_steps,) of one feature
        Sequence that the network reads.
    layer : int, optional
        Number of the layer whose states are drawn, counted from 1; by default the last one, which V reads.
    ax : matplotlib.axes.Axes, or array of two, optional
        Axes to draw into: a pair for the heat map and the output, or one, whose lower part the output takes.  By
        default those of a new figure.
    cmap : str or matplotlib.colors.Colormap, optional
        Colours of the states; by default diverging ones where states may be negative.
    **kwargs
        Further arguments of `matplotlib.axes.Axes.imshow`.

    Returns
    -------
    ndarray of matplotlib.axes.Axes of shape (2,)
        The heat map, one row per unit and one column per step, counted from 1 (of frames, with ``frame``), and the
        output.  The units that read from the end are below the others.

    Raises
    ------
    ValueError, TypeError
        If ``x`` does not fit the estimator, or it has no such layer.
    ImportError
        If matplotlib is not installed: ``pip install 'admmirnn[plot]'``.
    """
    check_reads_sequences(estimator)
    check_colours(cmap)
    trace = estimator.trace(x, layer)
    S, names = trace.states, trace.names
    upper, lower = _two_axes(ax, "plot_states")
    n_steps, n = S.shape
    signed = trace.activation in _SIGNED
    size = max(np.abs(S).max(), np.finfo(S.dtype).tiny)
    image = upper.imshow(
        S.T,
        **{
            "aspect": "auto",
            "interpolation": "nearest",
            "cmap": cmap or ("RdBu_r" if signed else "viridis"),
            "vmin": -size if signed else 0,
            "vmax": size,
            "extent": (0.5, n_steps + 0.5, n - 0.5, -0.5),
        }
        | kwargs,
    )
    # beside the heat map, which stays as wide as the panel below
    upper.figure.colorbar(image, cax=upper.inset_axes((1.015, 0, 0.025, 1)), label="state")
    upper.set(ylabel="unit")
    if trace.n_forward < n:
        upper.axhline(trace.n_forward - 0.5, color="k", linewidth=1)
    upper.tick_params(labelbottom=False)
    _show_whole_numbers(upper.yaxis)
    steps = np.arange(1, n_steps + 1)
    for name, values in zip(names, trace.outputs.T, strict=True):
        lower.plot(steps, values, marker=".", label=name)
    step = "frame" if trace.is_framed else "step"
    from_both_ends = trace.n_forward < n and not trace.every_step
    lower.set(
        xlabel=f"{step}s read from both ends" if from_both_ends else step,
        ylabel="probability" if hasattr(estimator, "predict_proba") else "output",
        xlim=(0.5, n_steps + 0.5),
    )
    _show_whole_numbers(lower.xaxis)
    lower.grid(alpha=0.3)
    if 1 < len(names) <= _MOST_IN_A_LEGEND:
        beside: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}
        lower.legend(**beside, fontsize="small", frameon=False, handlelength=1, ncols=1 + len(names) // 5)
    return np.array([upper, lower])


def plot_eigenvalues(estimator: Any, *, ax: Axes | None = None, **kwargs: Any) -> Axes:
    """Plot the eigenvalues of W in the complex plane, with the unit circle.

    Inside it, what the network has read fades from step to step; outside, it grows, as far as the activation lets it.

    Parameters
    ----------
    estimator : estimator or ndarray of shape (n, n)
        Fitted estimator, or W itself.
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; by default those of a new figure.
    **kwargs
        Further arguments of `matplotlib.axes.Axes.scatter`.

    Returns
    -------
    matplotlib.axes.Axes
        Axes that hold the eigenvalues.

    Raises
    ------
    ValueError, TypeError
        If W is not a square matrix.
    ImportError
        If matplotlib is not installed: ``pip install 'admmirnn[plot]'``.
    """
    matrices = check_recurrent_weights(estimator)
    ax = _axes(ax, "plot_eigenvalues")
    angles = np.linspace(0, 2 * np.pi, 361)
    ax.plot(np.cos(angles), np.sin(angles), color="0.6", linewidth=1, zorder=1)
    for name, W in matrices.items():
        eigenvalues = np.linalg.eigvals(W)
        words = f"{name}, spectral radius {np.abs(eigenvalues).max():.3g}"
        how: dict[str, Any] = {"s": 12, "label": words, "zorder": 2}
        ax.scatter(eigenvalues.real, eigenvalues.imag, **how | kwargs)
    ax.set(xlabel="real part", ylabel="imaginary part", aspect="equal")
    ax.grid(alpha=0.3)
    n_columns = 2 if len(matrices) > _MOST_ABOVE else 1
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), fontsize="small", frameon=False, ncols=n_columns)
    return ax


def plot_confusion_matrix(estimator: Any, X: Any, y: ArrayLike, *, ax: Axes | None = None, **kwargs: Any) -> Axes:
    """Plot the confusion matrix: how often each label is predicted for each true label.

    If each step has a label, steps are counted; steps without a label are left out.

    Parameters
    ----------
    estimator : RNNClassifier
        Fitted estimator.
    X : array-like or list of arrays
        Sequences as in `RNNClassifier.fit`.
    y : array-like or list of arrays
        True labels, as in `RNNClassifier.fit`.
    ax : matplotlib.axes.Axes, optional
        Axes to draw into; by default those of a new figure.
    **kwargs
        Further arguments of `sklearn.metrics.ConfusionMatrixDisplay.from_predictions`, such as ``normalize="true"`` for
        shares of the true labels, or ``cmap`` for the colours.

    Returns
    -------
    matplotlib.axes.Axes
        Axes that hold the matrix.

    Raises
    ------
    ValueError, TypeError
        If ``X`` or ``y`` is not usable, or there may be several labels at once.
    ImportError
        If matplotlib is not installed: ``pip install 'admmirnn[plot]'``.
    """
    check_has_confusions(estimator)
    labels, predicted = estimator.true_and_predicted(X, y)
    is_new, ax = ax is None, _axes(ax, "plot_confusion_matrix")
    from sklearn.metrics import ConfusionMatrixDisplay  # here: it is slow to import

    n_characters = sum(len(str(label)) + 2 for label in estimator.classes_)
    how = {
        "cmap": "Blues",
        "values_format": ".2f" if kwargs.get("normalize") else None,
        "xticks_rotation": "vertical" if n_characters > _MOST_CHARACTERS else "horizontal",
    }
    try:
        ConfusionMatrixDisplay.from_predictions(labels, predicted, ax=ax, **how | kwargs)
    except (ValueError, TypeError):
        if is_new:
            _pyplot("plot_confusion_matrix").close(ax.figure)
        raise
    return ax


def _axes(ax: Axes | None, what: str) -> Axes:
    """``ax``, or those of a new figure."""
    found: Axes = _pyplot(what).subplots(layout="constrained")[1] if ax is None else check_axes(ax, 1)[0]
    return found


def _pyplot(what: str) -> Any:
    return import_optional("matplotlib.pyplot", "plot", what)


def _two_axes(ax: Any, what: str) -> tuple[Axes, Axes]:
    """One above the other, with steps at the same place."""
    if ax is None:
        _, (upper, lower) = _pyplot(what).subplots(2, sharex=True, layout="constrained", height_ratios=(2, 1))
        return upper, lower
    given = check_axes(ax, 1, 2)
    if len(given) == 2:
        return given[0], given[1]
    upper, current = given[0], given[0].figure.gca()
    place = upper.get_subplotspec()
    if place is None:
        left, bottom, width, height = upper.get_position().bounds
        upper.set_position((left, bottom + 0.4 * height, _WIDTH * width, 0.6 * height))
        lower = upper.figure.add_axes((left, bottom, _WIDTH * width, 0.3 * height), sharex=upper)
    else:
        # a layout makes room by itself for what is beside them
        widths = (1,) if upper.figure.get_layout_engine() else (_WIDTH, 1 - _WIDTH)
        places = place.subgridspec(2, len(widths), height_ratios=(2, 1), width_ratios=widths, hspace=0.1, wspace=0)
        upper.set_subplotspec(places[0, 0])
        lower = upper.figure.add_subplot(places[1, 0], sharex=upper)
    upper.figure.sca(current)
    return upper, lower


def _column(records: list[Record], name: str) -> NDArray[np.float64]:
    """An entry of all records; NaN where there is none."""
    values = (record.get(name) for record in records)
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _words(name: str) -> str:
    return name.replace("rollout", "roll-out").replace("_", " ")


def _marker(values: NDArray[np.float64]) -> str | None:
    """That of a line; of a single point there is none to be seen."""
    return "o" if np.isfinite(values).sum() == 1 else None


def _show_whole_numbers(axis: Axis) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def check_records(history: Any) -> list[Record]:
    """Return the records of a fitted estimator, or of its history in one of its forms.

    Parameters
    ----------
    history : estimator, list of dict, or pandas.DataFrame
        Estimator or history that a user passes.

    Returns
    -------
    list of dict
        Records of the history.
    """
    if isinstance(history, BaseEstimator):
        check_is_fitted(history)
        history = getattr(history, "history_", history)
    if hasattr(history, "iloc"):
        history = history.to_dict("records")
    if not isinstance(history, (list, tuple)) or not all(isinstance(record, dict) for record in history):
        raise TypeError(f"history is of type {type(history).__name__}; pass a fitted estimator, or its history_")
    if not history:
        raise ValueError("history is empty; pass that of a fit")
    return list(history)


def check_recorded(records: Sequence[Record], metric: Any, remedy: str | None = None) -> list[str]:
    """Return the keys of records that ``metric`` stands for, or raise if there are none.

    Parameters
    ----------
    records : list of dict
        Records, which need not all have the same keys.
    metric : str or list of str
        Keys of records, or the last word of keys.
    remedy : str, optional
        Advice for the case that they are not there.
    """
    if not isinstance(metric, (str, list, tuple)) or not all(isinstance(name, str) for name in metric):
        raise TypeError(f"metric is {metric!r}; pass a key of the history's records, or a list of them")
    if not metric:
        raise ValueError(f"metric is {metric!r}; pass at least one key of the history's records")
    known = list(dict.fromkeys(key for record in records for key in record))
    names: list[str] = []
    for name in [metric] if isinstance(metric, str) else metric:
        found = [name] if name in known else [key for key in known if key.endswith(f"_{name}")]
        if not found:
            what = "history" if remedy else f"metric is {metric!r}, and the history"
            raise ValueError(f"{what} has no {name!r}; {remedy or 'it has ' + ', '.join(known)}")
        names += found
    return names


def check_axes(ax: Any, *numbers: int) -> list[Any]:
    """Return as many Axes as one of ``numbers`` says, as a list, or raise."""
    axes = list(np.ravel(ax)) if isinstance(ax, (list, tuple, np.ndarray)) else [ax]
    if len(axes) not in numbers or not all(hasattr(one, "imshow") for one in axes):
        what = " or a pair of them" if 2 in numbers else ""
        raise TypeError(f"ax is {ax!r}; pass an Axes of matplotlib{what}, or None for a new figure")
    return axes


def check_recurrent_weights(estimator: Any) -> dict[str, FloatArray]:
    """Return the matrices W of an estimator by name, or the one that was passed, or raise."""
    if isinstance(estimator, BaseEstimator):
        check_is_fitted(estimator)
        several = getattr(estimator, "estimators_", None)
        if several is not None:
            raise ValueError(
                f"estimator has {len(several)} networks, each with a W of its own; pass one of estimator.estimators_"
            )
        found = {name: W for name, W in weights_of(estimator).items() if place_of(name)[0].startswith("W")}
        if not found:
            raise TypeError(
                f"estimator is of type {type(estimator).__name__}, which has no W_; pass an estimator of admmirnn"
            )
        return found
    W = validation.as_numbers(estimator, "estimator", np.float64)
    if W.ndim != 2 or W.shape[0] != W.shape[1] or not len(W):
        raise ValueError(f"estimator has the shape {W.shape}; pass a fitted estimator, or a square matrix W")
    if not np.isfinite(W).all():
        raise ValueError("estimator, which is W itself, contains NaN or infinity; pass finite weights")
    return {"W": W}


def check_reads_sequences(estimator: Any) -> None:
    """Raise unless an estimator reads sequences, rather than text."""
    if not isinstance(estimator, BaseEstimator) or not hasattr(estimator, "trace"):
        raise TypeError(f"estimator is {estimator!r}; pass a fitted RNNClassifier or RNNRegressor")


def check_label(label: Any) -> None:
    """Raise unless a legend can show it."""
    if not isinstance(label, str):
        raise TypeError(f"label is {label!r:.60} of type {type(label).__name__}; pass a str")


def check_colours(cmap: Any) -> None:
    """Raise unless this may be a Colormap of matplotlib, or the name of one."""
    if cmap is None:
        return
    from matplotlib import colormaps
    from matplotlib.colors import Colormap

    if not isinstance(cmap, Colormap) and not (isinstance(cmap, str) and cmap in colormaps):
        raise ValueError(f"cmap is {cmap!r:.60}; pass a Colormap of matplotlib, the name of one, or None")


def check_has_confusions(estimator: Any) -> None:
    """Raise an error unless the estimator predicts one class per sequence or step."""
    if isinstance(estimator, BaseEstimator):
        check_is_fitted(estimator)
    if not hasattr(estimator, "true_and_predicted"):
        raise TypeError(f"estimator is {estimator!r}, which has no classes to confuse; pass an RNNClassifier")
