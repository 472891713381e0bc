"""The picture of a race: what the test set says, against seconds of training."""

import math

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

OURS = "#c8102e"
PEERS = {"SGD": "#8c6d31", "Momentum": "#e08e0b", "AdaGrad": "#7b5ea7", "RMSprop": "#2a8a57", "Adam": "#2166ac"}
PEERS |= {"SOAP": "#111111", "Muon": "#d6589f", "PSGD-Kron": "#17a2b8", "Shampoo": "#6b8e23"}
OTHER = "#666666"
STYLES = ("-", "--", ":")
SHARES = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)


def draw(path, task, standings, machine):
    """Draw means over seeds, with a band from the worst seed to the best, and the goals that count.

    Of our side and of the best peer, the setting of each goal is drawn; of the others that of the last goal.

    Parameters
    ----------
    path : Path
        Of the PNG file.
    task : Task
        What it is about.
    standings : list of Standing
        All contenders at all goals.
    machine : str
        Where it was measured.
    """
    judged = [standing for standing in standings if standing.goal.share is not None]
    figure = Figure(figsize=(9, 5.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    drawn = []
    for standing in judged:
        drawn += _draw_place(axes, standing.ours, drawn, task.metric)
    for place in judged[-1].places:
        drawn += _draw_place(axes, place, drawn, task.metric)
    for standing in judged:
        drawn += _draw_place(axes, standing.best_peer, drawn, task.metric)
        _draw_goal(axes, standing)

    axes.set(xscale="log", xlabel=f"seconds of training ({machine})", ylabel=task.metric.name)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.set_title(f"{task.title}; networks of {task.n_hidden} units", loc="left")
    _limit(axes, task.metric, judged, drawn)
    axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    figure.savefig(path, dpi=110)


def _draw_place(axes, place, drawn, metric):
    """Draw the curve of a place unless it is among those drawn; return a list of what is new."""
    curve = place.curve
    known = [(other.contender, other.setting) for other in drawn]
    if (curve.contender, curve.setting) in known:
        return []
    style = STYLES[min(sum(name == curve.contender for name, _ in known), 2)]
    values = np.array([run.values for run in curve.curves])
    low, high = values.min(axis=0), values.max(axis=0)
    look = {"color": _color(place), "zorder": 3 if place.kind == "ours" else 2, "label": _label(place)}
    if len(curve.seconds) == 1:
        axes.errorbar(
            curve.seconds, curve.values, [curve.values - low, high - curve.values], fmt="D", ms=5, capsize=3, **look
        )
    else:
        axes.fill_between(curve.seconds, low, high, color=look["color"], alpha=0.13, lw=0)
        axes.plot(curve.seconds, curve.values, style, lw=2.4 if place.kind == "ours" else 1.5, **look)
    return [curve]


def _color(place):
    return {"ours": OURS, "peer": PEERS.get(place.curve.contender.split(",")[0], "#444444"), "other": OTHER}[place.kind]


def _label(place):
    prefix = "torch " if place.kind == "peer" else ""
    setting = place.curve.setting.replace("learning rate ", "")
    return f"{prefix}{place.curve.contender}" + (f" ({setting})" if place.kind != "other" else "")


def _draw_goal(axes, standing):
    """Draw a line at the goal, a dot where we reach it and one where the best peer does, and how far they are apart."""
    axes.axhline(standing.value, color="black", lw=0.7, ls=(0, (4, 3)), zorder=1)
    reached = [place for place in (standing.ours, standing.best_peer) if math.isfinite(place.seconds)]
    for place in reached:
        axes.plot(place.seconds, standing.value, "o", color=_color(place), ms=7, mec="white", mew=1, zorder=5)
    if len(reached) == 2:
        seconds = [place.seconds for place in reached]
        axes.annotate(
            f"{seconds[1] / seconds[0]:.1f} times",
            (math.sqrt(seconds[0] * seconds[1]), standing.value),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            zorder=6,
        )


def _limit(axes, metric, judged, drawn):
    """Leave the beginning of the curves out, and stretch shares of right answers towards 1."""
    hardest = metric.best([standing.value for standing in judged])
    best = metric.best([metric.best(curve.values) for curve in drawn])
    if metric.is_share:
        worst_seen, best_seen = 1 - min(0.7, 8 * (1 - hardest)), 1 - 0.7 * max(1 - best, 1e-3)
        axes.set_yscale("logit")
        axes.set_yticks([share for share in SHARES if worst_seen <= share <= best_seen])
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        span = max(abs(best - hardest), 0.05 * abs(hardest))
        worst_seen, best_seen = hardest - metric.sign * 6 * span, best + metric.sign * span
    axes.set_ylim(*sorted((worst_seen, best_seen)))
    seen = [curve.seconds[metric.sign * curve.values >= metric.sign * worst_seen] for curve in drawn]
    seconds = np.concatenate(seen)
    if len(seconds):
        axes.set_xlim(0.8 * seconds.min(), 1.2 * seconds.max())
