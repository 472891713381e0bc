"""The pictures of Figures 2 to 6: auxiliary figures on the left, those of the roll-out on the right, on equal axes."""

import numpy as np

from bench.paper.common import new_figure
from bench.paper.jobs import ALGORITHM_1, ROLLOUT
from bench.paper.problems import PARTS
from bench.paper.released import ITERATIONS, PUBLISHED

METRICS = {"auxiliary": "auxiliary (ADMM has seen the label)", "rollout": "roll-out (no label)"}
GREY = "0.45"
# The colours of Okabe and Ito, which the colour-blind can tell apart, and dashes for who prints in grey.
LOOKS = {
    ROLLOUT: {"color": "#D55E00", "ls": "-", "lw": 2.6, "zorder": 5},
    ALGORITHM_1: {"color": "#0072B2", "ls": "-", "lw": 2.6, "zorder": 4},
    "SGD": {"color": "#000000", "ls": "--", "lw": 1.4},
    "Momentum": {"color": "#CC79A7", "ls": "-.", "lw": 1.4},
    "AdaGrad": {"color": "#E69F00", "ls": (0, (1, 1)), "lw": 1.6},
    "RMSprop": {"color": "#56B4E9", "ls": (0, (5, 1, 1, 1, 1, 1)), "lw": 1.4},
    "Adam": {"color": "#009E73", "ls": (0, (4, 1.5)), "lw": 1.6},
}
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
SIZE = 11


def has(series, name):
    """Whether it was measured and is known somewhere."""
    return name in series and any(value is not None and np.isfinite(value) for value in series[name]["mean"])


def name_in(series, metric, part_and_what):
    """The figure to draw: the auxiliary one of a method that has none is that of its network, as the paper has it."""
    name = f"{metric}_{part_and_what}"
    return name if has(series, name) else f"rollout_{part_and_what}"


def numbers(values):
    """Floats, of which those that are not finite come back from a file as None."""
    return np.array([np.nan if value is None else value for value in values], float)


def panels(rows, height):
    """A figure with a column of axes for each metric that share both axes; (None, None) without matplotlib."""
    figure = new_figure(7.2, height)
    if figure is None:
        return None, None
    axes = figure.subplots(rows, len(METRICS), sharex=True, sharey="row", squeeze=False)
    for axis, title in zip(axes[0], METRICS.values(), strict=True):
        axis.set_title(title, fontsize=SIZE)
    for axis in axes.flat:
        axis.grid(alpha=0.25)
        axis.tick_params(labelsize=SIZE - 1)
    return figure, axes


def finish(figure, axes, path, xlabel, ncols, title):
    """Label, add the legend below, and write the file."""
    for axis in axes[-1]:
        axis.set_xlabel(xlabel, fontsize=SIZE)
    found = {}
    for axis in axes.flat:
        handles, labels = axis.get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    figure.legend(
        found.values(), found.keys(), loc="outside lower center", ncols=ncols, fontsize=SIZE - 1, frameon=False,
        columnspacing=1.2, handlelength=2.6,
    )  # fmt: skip
    figure.suptitle(title, fontsize=SIZE + 1)
    figure.savefig(path, dpi=120)
    print(f"picture: {path.resolve()}")


def draw_band(axis, x, values, look, label):
    """A mean with a band of one standard deviation; on a logarithmic axis it ends at a hundredth of the mean."""
    mean, sd = numbers(values["mean"]), numbers(values["sd"])
    axis.plot(x, mean, label=label, **look)
    axis.fill_between(x, np.maximum(mean - sd, 0.01 * mean), mean + sd, color=look["color"], alpha=0.18, lw=0)


def draw_published_losses(axis, part):
    """What Table 2 prints: losses of o, which do not depend on the data."""
    losses = [float(figures[part == "test"]) for figures in PUBLISHED.values()]
    axis.plot(
        [ITERATIONS] * len(losses), losses, "x", color=GREY, ms=8, mew=2, label="the paper's Table 2", zorder=6
    )  # fmt: skip


def draw_published_accuracies(axis, part):
    """What Table 3 prints: when the accuracy at o is 100.0."""
    iterations = [figures[2 + (part == "test")] for figures in PUBLISHED.values()]
    axis.plot(
        iterations, np.ones(len(iterations)), "+", color=GREY, ms=10, mew=2, label="the paper's Table 3", zorder=6
    )


def figure_2(data, path):
    """Training and test loss against iterations."""
    _draw_curves(data, path, "Figure 2: MNIST, mean over seeds, band: one standard deviation")


def _draw_curves(data, path, title, rows=("training_loss", "test_loss"), spread_of=None):
    n_rows = len(rows) + (spread_of is not None)
    figure, axes = panels(n_rows, 2.6 * n_rows + 1.3)
    if figure is None:
        return
    for i, what in enumerate(rows):
        part = what.split("_")[0]
        axes[i, 0].set_ylabel(f"{part} loss", fontsize=SIZE)
        for axis, metric in zip(axes[i], METRICS, strict=True):
            for name, series in data["series"].items():
                draw_band(axis, data["iterations"], series[name_in(series, metric, what)], LOOKS[name], name)
            axis.set(xscale="log", yscale="log")
        draw_published_losses(axes[i, 0], part)
    if spread_of is not None:
        axes[-1, 0].set_ylabel("standard deviation\nof the test loss", fontsize=SIZE)
        for axis, metric in zip(axes[-1], METRICS, strict=True):
            for name, series in data["series"].items():
                sd = numbers(series[name_in(series, metric, spread_of)]["sd"])
                axis.plot(data["iterations"], np.where(sd > 0, sd, np.nan), **LOOKS[name])
            axis.set(yscale="log")
    finish(figure, axes, path, "iteration", 4, title)


def figure_3(data, path):
    """Loss against the length of the input."""
    figure, axes = panels(2, 5.9)
    if figure is None:
        return
    for row, part in zip(axes, PARTS, strict=True):
        row[0].set_ylabel(f"{part} loss,\nnats a character", fontsize=SIZE)
        for axis, metric in zip(row, METRICS, strict=True):
            for name, series in data["series"].items():
                values = series[name_in(series, metric, f"{part}_loss")]
                draw_band(axis, data["lengths"], values, LOOKS[name] | {"marker": "o", "ms": 4}, name)
            axis.set_xscale("log")
            axis.set_xticks(data["lengths"], [str(length) for length in data["lengths"]])
            axis.minorticks_off()
    finish(figure, axes, path, "length of the input", 4, "Figure 3: text, after the last iteration")


def figure_4(data, path):
    """Mean and spread over repeated runs; below, from other initial weights, a picture of its own."""
    n_runs = next(iter(data["series"].values()))["n"]
    _draw_curves(data, path, f"Figure 4: MNIST, {n_runs} runs, band: one standard deviation", spread_of="test_loss")
    figure, axes = panels(1, 3.6)
    if figure is None:
        return
    axes[0, 0].set_ylabel("test loss", fontsize=SIZE)
    for axis, metric in zip(axes[0], METRICS, strict=True):
        for name, series in data["starts"].items():
            values = series[name_in(series, metric, "test_loss")]
            draw_band(axis, data["scales"], values, LOOKS[name] | {"marker": "o", "ms": 4}, name)
        axis.set(xscale="log", yscale="log")
        axis.set_xticks(data["scales"], [f"{scale:g}" for scale in data["scales"]])
        low, high = axis.get_ylim()
        ticks = [tick for tick in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5) if low <= tick <= high]
        axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
    path = path.with_name(f"{path.stem}-starts{path.suffix}")
    finish(figure, axes, path, "initial weights times", 3, "Figure 4: MNIST, after the last iteration")


def figure_5(data, path):
    """Training loss for several nu."""
    _draw_sweep(data, path, {"training_loss": ("training loss,\nnats a character", "log")}, "Figure 5: text")


def figure_6(data, path):
    """Accuracies and training loss for several nu."""
    rows = {
        "training_accuracy": ("training accuracy", "linear"),
        "test_accuracy": ("validation accuracy", "linear"),
        "training_loss": ("training loss", "log"),
    }
    _draw_sweep(data, path, rows, "Figure 6: MNIST")


def _draw_sweep(data, path, rows, title):
    """Algorithm 1 in a colour for each nu, and Rollout in another with every setting that was changed."""
    figure, axes = panels(len(rows), 2.3 * len(rows) + 1.7)
    if figure is None:
        return
    looks = _looks_of_sweep(list(data["series"]))
    for row, (what, (ylabel, yscale)) in zip(axes, rows.items(), strict=True):
        row[0].set_ylabel(ylabel, fontsize=SIZE)
        for axis, metric in zip(row, METRICS, strict=True):
            for name, series in data["series"].items():
                label, look = looks[name]
                mean = numbers(series[name_in(series, metric, what)]["mean"])
                axis.plot(data["iterations"], mean, label=label, **look)
            axis.set(xscale="log", yscale=yscale)
    if title.endswith("MNIST"):
        draw_published_losses(axes[-1, 0], "training")
        for axis, part in zip(axes[:-1, 0], PARTS, strict=True):
            draw_published_accuracies(axis, part)
    finish(figure, axes, path, "iteration", 2, f"{title}, mean over seeds")


def _looks_of_sweep(names):
    """Label and look of every curve."""
    from matplotlib import colormaps

    nus = [name for name in names if name.startswith(ALGORITHM_1)]
    colours = colormaps["viridis"](np.linspace(0, 0.85, max(len(nus), 2)))
    looks = {
        name: (name, {"color": colour, "ls": DASHES[i % len(DASHES)], "lw": 1.8})
        for i, (name, colour) in enumerate(zip(nus, colours, strict=False))
    }
    default, *changed = (name for name in names if name not in nus)
    looks[default] = default, LOOKS[ROLLOUT]
    label = f"{ROLLOUT}, other settings"
    for name in changed:
        looks[name] = label, {"color": LOOKS[ROLLOUT]["color"], "ls": "-", "lw": 0.8, "alpha": 0.8}
    return looks


DRAWINGS = {"2": figure_2, "3": figure_3, "4": figure_4, "5": figure_5, "6": figure_6}
