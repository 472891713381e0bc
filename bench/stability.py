"""Stability at a glance: ``python -m bench.stability [--cheap] [--publish] [--only CELL ...]``.

Row MNIST, one epoch, 128 units: test accuracies of many seeds, settings and starts, for each cell and for Adam of
torch.  The 18 settings of admmirnn are 3 batch sizes x 2 dampings x 3 scales of all W of the cell's start; Adam has 2
learning rates in the place of dampings.  Four more rows are bad starts: W Gaussian, with entries of variance 1/n, times
0.01, 0.3, 2 and 3, at the defaults; Adam's learning rate is then 3e-3.  Nothing is chosen: all runs are drawn.

Runs that are in the output folder's JSON file already are not run again, so that an interrupted command goes on.
``--publish`` writes bench/results/stability.json and docs/stability.png.
"""

import argparse
import itertools
import json
import math
import time
from pathlib import Path

import numpy as np

from admmirnn import RNNClassifier, Rollout
from admmirnn.datasets import load_mnist
from admmirnn.networks.cells import CELLS
from bench import pytorch
from bench.record import RESULTS, machine, read_result, summary_of, write_json
from bench.sequences import fit_quietly

N_HIDDEN = 128
BATCH_SIZES, DAMPINGS, LEARNING_RATES, SCALES = (50, 125, 500), (0.03, 0.3), (1e-3, 3e-3), (0.5, 1.0, 2.0)
BAD_STARTS = (0.01, 0.3, 2.0, 3.0)
TORCH = {"elman": "RNN", "gru": "GRU", "lstm": "LSTM"}  # torch has no others
PICTURE = Path(__file__).parent.parent / "docs" / "stability.png"
_LEAST = 0.8  # accuracies below have the same colour


def settings_of(side):
    """Those of "admmirnn" or "Adam", as dicts, in the order of the picture."""
    rates = {"damping": DAMPINGS} if side == "admmirnn" else {"learning_rate": LEARNING_RATES}
    ((name, values),) = rates.items()
    usual = [
        {"batch_size": batch_size, name: value, "scale": scale}
        for batch_size, value, scale in itertools.product(BATCH_SIZES, values, SCALES)
    ]
    return usual + [{"gaussian": scale} for scale in BAD_STARTS]


def label_of(setting):
    """A few words, for the picture."""
    if "gaussian" in setting:
        return f"Gaussian W x {setting['gaussian']:g}"
    batch_size, (_, value), scale = setting["batch_size"], list(setting.items())[1], setting["scale"]
    return f"batch {batch_size}, {value:g}, W x {scale:g}"


def recurrent_start(cell, seed, setting):
    """The matrices W of a start by name: those of the cell, or Gaussian ones, times the scale of the setting."""
    rng, gates = np.random.RandomState(1000 + seed), {of for one in CELLS[cell].maps for of in _names_of_W(one)}
    found = {}
    for name in sorted(gates):
        W = rng.normal(size=(N_HIDDEN, N_HIDDEN)) / math.sqrt(N_HIDDEN)
        if "gaussian" not in setting:
            Q, R = np.linalg.qr(W)
            W = Q * np.sign(np.diag(R))
        found[name] = setting.get("gaussian", setting.get("scale")) * W
    return found


def _names_of_W(one):
    return [name for part, letter in one.columns if part == "s" for name in one.names(letter)]


def ours(cell, seed, setting, data):
    """The test accuracy of a network of this cell."""
    X, y, X_test, y_test = data
    model = RNNClassifier(
        N_HIDDEN, cell=cell, max_epochs=1, batch_size=setting.get("batch_size", "auto"), random_state=seed,
        init=recurrent_start(cell, seed, setting), solver=Rollout(damping=setting.get("damping", Rollout().damping)),
    )  # fmt: skip
    return fit_quietly(model, X, y).score(X_test, y_test)


def adam(cell, seed, setting, data):
    """That of torch.nn.RNN, GRU or LSTM trained by Adam, with clipping and a cosine."""
    import torch

    from bench.race.curves import ACCURACY
    from bench.race.peers import _tensors, _Training, use_threads
    from bench.race.task import Data, Task

    use_threads(1)
    of_race = Data.of_labels(*data)
    batch_size = setting.get("batch_size", 125)
    task = Task("", None, (), batch_size, {}, (1,), n_hidden=N_HIDDEN, metric=ACCURACY)
    training = _Training("Adam", of_race, task, setting.get("learning_rate", 3e-3), seed, TORCH[cell])
    with torch.no_grad():
        W = np.concatenate(list(recurrent_start(cell, seed, setting).values())).astype(np.float32)
        training.rnn.weight_hh_l0.copy_(torch.from_numpy(W))
    train, test = _tensors(of_race, batch_size)
    for i, indices in zip(range(train.n_batches), train.minibatches(seed), strict=False):
        training.step(train, indices, i / train.n_batches)
    return ACCURACY.value(training.outputs(test), of_race.test_targets)


SIDES = {"admmirnn": ours, "Adam": adam}


def measure(path, cells, n_seeds, n_train, *, cheap):
    """Run what is not in the file yet, and write it after each run.

    Returns
    -------
    list of dict
        ``cell``, ``side``, ``setting``, ``seed`` and ``accuracy``.
    """
    (X, y), (X_test, y_test) = load_mnist("train"), load_mnist("test")
    data = X[:n_train], y[:n_train], X_test, y_test
    runs = json.loads(path.read_text())["runs"] if path.exists() else []
    done = {_key(run) for run in runs}
    for cell, side in itertools.product(cells, SIDES):
        if side == "Adam" and (cell not in TORCH or not pytorch.INSTALLED):
            continue
        settings = settings_of(side)
        if cheap:  # every fourth setting, so that each value is there, and all bad starts
            settings = settings[: -len(BAD_STARTS) : 4] + settings[-len(BAD_STARTS) :]
        started = time.perf_counter()
        for setting, seed in itertools.product(settings, range(n_seeds)):
            run = {"cell": cell, "side": side, "setting": setting, "seed": seed, "n_train": n_train}
            if _key(run) not in done:
                runs.append(run | {"accuracy": float(SIDES[side](cell, seed, setting, data))})
                about = {"machine": machine(1, ("torch",)), "cheap": cheap, "n_train": n_train}
                write_json(path, about | {"runs": runs})
        of_side = [run["accuracy"] for run in runs if (run["cell"], run["side"]) == (cell, side)]
        print(
            f"{cell:9} {side:9} {len(of_side)} runs, least {min(of_side):.4f}, median {np.median(of_side):.4f}; "
            f"{time.perf_counter() - started:.0f} s",
            flush=True,
        )
    return runs


def _key(run):
    return json.dumps([run[name] for name in ("cell", "side", "setting", "seed", "n_train")], sort_keys=True)


def draw(path, runs):
    """The heat map: a panel for each cell and side, a row for each setting, a column for each seed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    cells = list(dict.fromkeys(run["cell"] for run in runs))
    seeds = 1 + max(run["seed"] for run in runs)
    figure = Figure(figsize=(2.2 + 2.3 * len(cells), 8.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, len(cells), squeeze=False)
    for row, side in enumerate(SIDES):
        for column, cell in enumerate(cells):
            axes, of_panel = panels[row, column], [r for r in runs if (r["cell"], r["side"]) == (cell, side)]
            if not of_panel:
                axes.set_axis_off()
                continue
            settings = [s for s in settings_of(side) if any(r["setting"] == s for r in of_panel)]
            accuracies = np.full((len(settings), seeds), np.nan)
            for run in of_panel:
                accuracies[settings.index(run["setting"]), run["seed"]] = run["accuracy"]
            image = axes.imshow(
                _shade(accuracies), cmap="RdYlGn", vmin=_shade(_LEAST), vmax=_shade(0.995), aspect="auto"
            )
            axes.set_title(f"{cell}: {side}", fontsize=10)
            axes.set_xticks([])
            axes.set_xlabel(f"{seeds} seeds", fontsize=8)
            labels = [label_of(setting) for setting in settings] if column == 0 or row == 1 and cell == "elman" else []
            axes.set_yticks(range(len(labels)), labels, fontsize=7)
    shades = (0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
    bar = figure.colorbar(image, ax=panels, shrink=0.5, ticks=[_shade(share) for share in shades])
    bar.ax.set_yticklabels([f"{100 * share:g} %" for share in shades])
    bar.set_label("test accuracy after one epoch")
    figure.savefig(path, dpi=110)


def _shade(accuracy):
    """Accuracies on a scale on which halving the error is always the same distance."""
    return -np.log(1 - np.clip(accuracy, _LEAST, 0.9999))


def table():
    """Markdown of the published runs: the least and the median of each cell and side, and how many are bad."""
    record = read_result("stability")
    lines = ["| cell | trained by | runs | least | median | below 0.97 |", "|---|---|---|---|---|---|"]
    found = {}
    for run in record["runs"]:
        found.setdefault((run["cell"], run["side"]), []).append(run["accuracy"])
    for (cell, side), of in found.items():
        bad = sum(accuracy < 0.97 for accuracy in of)
        lines.append(f"| {cell} | {side} | {len(of)} | {min(of):.4f} | {np.median(of):.4f} | {bad} |")
    how = f"One pass over {record['n_train']:,} images{', a cheap run' if record['cheap'] else ''}"
    return "\n".join([*lines, "", f"{how}. {summary_of(record['machine'])}."])


def main():
    parser = argparse.ArgumentParser(
        prog="python -m bench.stability", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(CELLS), default=list(CELLS), help="cells (default: all)")
    parser.add_argument("--seeds", type=int, help="how many (default: 10, and 2 of a cheap run)")
    parser.add_argument("--cheap", action="store_true", help="9 settings, 10,000 images: some minutes")
    parser.add_argument("--publish", action="store_true", help="write what docs/ shows")
    parser.add_argument("--output", type=Path, default=Path("results"), help="folder (default: %(default)s)")
    options = parser.parse_args()
    n_seeds, n_train = options.seeds or (2 if options.cheap else 10), 10_000 if options.cheap else 55_000
    path = options.output / ("stability-cheap.json" if options.cheap else "stability.json")
    runs = measure(path, options.only, n_seeds, n_train, cheap=options.cheap)
    if options.publish:
        write_json(RESULTS / "stability.json", json.loads(path.read_text()))
    draw(PICTURE if options.publish else path.with_suffix(".png"), runs)


if __name__ == "__main__":
    main()
