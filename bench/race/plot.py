"""The picture of a race: the test set's metric against seconds of training."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

OURS = "#c8102e"
PEERS = {"SGD": "#8c6d31", "Momentum": "#e08e0b", "AdaGrad": "#6a51a3", "RMSprop": "#2a8a57", "Adam": "#2166ac"}
OTHERS = ("#555555", "#999999")
_SHARES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)


def draw(path, task, standings, machine):
    """Draw every contender's mean over seeds, with a band from the worst to the best seed, and the goals.

    Parameters
    ----------
    path : Path
        Of the PNG file.
    task : Task
        What it is about.
    standings : list of Standing
        The curves in them are drawn: of our side one for each goal, of a peer the one at the last goal that counts.
    machine : str
        Where it was measured.
    """
    judged = [standing for standing in standings if standing.goal.share is not None]
    figure = Figure(figsize=(9, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place in reversed(judged[-1].places):
        if place.kind != "ours":
            _draw_curve(axes, place, len(axes.lines), task.metric)
    ours = {standing.ours.curve.setting: standing.ours for standing in judged}
    for place, style in zip(ours.values(), ("-", "--", ":"), strict=False):
        _draw_curve(axes, place, 0, task.metric, style, several=len(ours) > 1)
    for standing in judged:
        _draw_goal(axes, standing)

    axes.set(xscale="log", xlabel=f"seconds of training ({machine})", ylabel=task.metric.name)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.set_title(f"{task.title}: {task.n_hidden} hidden units", loc="left")
    _scale(axes, task.metric, judged)
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", fontsize=9, framealpha=0.9)
    figure.savefig(path, dpi=110)


def _draw_curve(axes, place, n_drawn, metric, style="-", several=False):
    curve = place.curve
    values = np.array([run.values for run in curve.curves])
    if place.kind == "ours":
        color, width, label = OURS, 2.4, f"{curve.contender}, {curve.setting}" if several else curve.contender
    elif place.kind == "peer":
        color, width, label = PEERS.get(curve.contender, "#444444"), 1.5, f"torch {curve.contender}"
    else:
        color, width, label = OTHERS[n_drawn % 2], 1.3, curve.contender
    if len(curve.seconds) == 1:
        low, high = curve.values - values.min(axis=0), values.max(axis=0) - curve.values
        axes.errorbar(curve.seconds, curve.values, [low, high], fmt="D", color=color, ms=5, capsize=3, label=label)
        return
    axes.fill_between(curve.seconds, values.min(axis=0), values.max(axis=0), color=color, alpha=0.13, lw=0)
    axes.plot(curve.seconds, curve.values, style, color=color, lw=width, label=label)


def _draw_goal(axes, standing):
    axes.axhline(standing.value, color="black", lw=0.7, ls=(0, (4, 3)), zorder=1)
    times = [(standing.ours, OURS), (standing.best_peer, PEERS.get(standing.best_peer.curve.contender, "#444444"))]
    for place, color in times:
        if np.isfinite(place.seconds):
            axes.plot(place.seconds, standing.value, "o", color=color, ms=6, mec="white", mew=1, zorder=5)


def _scale(axes, metric, judged):
    """Stretch shares of right answers towards 1, and leave out the beginning of the curves."""
    curves = [place.curve for standing in judged for place in standing.places]
    best = metric.best([metric.best(curve.values) for curve in curves])
    if not metric.is_share:
        return
    hardest = max(standing.value for standing in judged)
    lowest = 1 - min(0.6, 8 * (1 - hardest))
    axes.set_yscale("logit")
    axes.set_ylim(lowest, 1 - 0.6 * (1 - best))
    axes.set_yticks([share for share in _SHARES if lowest <= share])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylim(lowest, 1 - 0.6 * (1 - best))
    first = [curve.seconds[np.argmax(curve.values >= lowest)] for curve in curves if (curve.values >= lowest).any()]
    axes.set_xlim(0.8 * min(first), 1.1 * max(curve.seconds[-1] for curve in curves))
