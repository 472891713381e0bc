"""Which cell: ``python -m bench.cells [--cheap] [--publish]``: accuracy, cost and memory of each, and pictures.

Row MNIST, one epoch, 128 units: test accuracy, processor seconds of the fit, the largest memory of arrays during a fit
of 1,000 images, and microseconds of one observation of a stream.  Cells are fitted in turn, seed by seed, so that what
else the machine does is the same for all.  The second picture is what the gate of trained networks does: that of
`fastgrnn` over the steps of an adding problem, by units in the order of how much they keep.

``--publish`` writes bench/results/cells.json, docs/cells.png and docs/cells-gates.png.
"""

import argparse
import time
import tracemalloc
from pathlib import Path

import numpy as np

from admmirnn import RNNClassifier, RNNRegressor
from admmirnn.datasets import adding_problem, load_mnist
from bench.record import RESULTS, machine, read_result, summary_of, write_json
from bench.sequences import fit_quietly

N_HIDDEN = 128
NETWORKS = {name: {"cell": name} for name in ("elman", "fastgrnn", "ugrnn", "gru", "lstm")}
NETWORKS |= {"fastgrnn, two layers": {"cell": "fastgrnn", "hidden_size": (N_HIDDEN, N_HIDDEN)}}
DOCS = Path(__file__).parent.parent / "docs"


def measure(n_seeds, n_train):
    """A row for each network."""
    (X, y), (X_test, y_test) = load_mnist("train"), load_mnist("test")
    X, y = X[:n_train], y[:n_train]
    rows = {name: {"network": name, "accuracies": [], "seconds": []} for name in NETWORKS}
    for seed in range(n_seeds):
        for name, settings in NETWORKS.items():
            model = RNNClassifier(max_epochs=1, random_state=seed, **({"hidden_size": N_HIDDEN} | settings))
            started = time.process_time()
            fit_quietly(model, X, y)
            rows[name]["seconds"].append(time.process_time() - started)
            rows[name]["accuracies"].append(float(model.score(X_test, y_test)))
            if seed == 0:
                rows[name] |= {"memory": _memory(model, X, y), "microseconds": _of_stream(model, X_test[0])}
    for row in rows.values():
        print(_line(row, rows["elman"]), flush=True)
    return list(rows.values())


def _memory(model, X, y):
    """Bytes, at most, of the arrays of a fit of 1,000 sequences; the images are not among them."""
    few = X[:1000].astype(np.float32), y[:1000]
    tracemalloc.start()
    try:
        fit_quietly(RNNClassifier(**model.get_params()), *few)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _of_stream(model, x):
    """Microseconds of one observation."""
    stream, rows = model.stream(), np.ascontiguousarray(x, np.float32)
    seconds = []
    for _ in range(200):
        started = time.process_time()
        for row in rows:
            stream(row)
        seconds.append(time.process_time() - started)
    return 1e6 * min(seconds) / len(rows)


def _line(row, elman):
    cost = np.median(np.array(row["seconds"]) / np.array(elman["seconds"]))
    spread = f", {np.std(row['accuracies'], ddof=1):.4f}" if len(row["accuracies"]) > 1 else ""
    return (
        f"| {row['network']} | {np.mean(row['accuracies']):.4f}{spread} | {cost:.2f} | "
        f"{row['memory'] / 1e6:.1f} MB | {row['microseconds']:.1f} us |"
    )


def table():
    """Markdown of the published rows."""
    record = read_result("cells")
    head = "| network | test accuracy | time, that of elman being 1 | memory of a fit | an observation of a stream |"
    lines = [head, "|---|---|---|---|---|", *(_line(row, record["rows"][0]) for row in record["rows"])]
    how = f"{len(record['rows'][0]['accuracies'])} seeds, {record['n_train']:,} images for training"
    return "\n".join([*lines, "", f"One epoch of row MNIST, 128 units; {how}. {summary_of(record['machine'])}."])


def draw(path, rows):
    """Accuracy against cost; the larger the dot, the more memory."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    elman = np.array(rows[0]["seconds"])
    for row in rows:
        cost, accuracy = np.median(np.array(row["seconds"]) / elman), np.mean(row["accuracies"])
        axes.scatter(cost, 100 * accuracy, s=row["memory"] / rows[0]["memory"] * 60, color="#c8102e", alpha=0.7)
        axes.annotate(row["network"], (cost, 100 * accuracy), xytext=(7, -3), textcoords="offset points", fontsize=9)
    axes.set(xlabel="time of a fit, that of elman being 1", ylabel="test accuracy after one epoch, %")
    axes.margins(0.15)
    axes.grid(alpha=0.25)
    figure.savefig(path, dpi=110)


def draw_gates(path):
    """For how long the units of fastgrnn keep what they have, at each step of an adding problem of 200."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    X, y = adding_problem(4_000, 200, random_state=0)
    settings = {"hidden_size": 32, "cell": "fastgrnn", "scale_targets": False, "random_state": 0}
    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, sharex=True)
    for axes, epochs, title in zip(panels, (1, 6), ("after one pass", "after six passes"), strict=True):
        model = fit_quietly(RNNRegressor(max_epochs=epochs, **settings), X, y)
        S = model.trace(X[0]).states
        before = np.vstack([np.zeros(S.shape[1]), S[:-1]])
        steps = 1 + np.exp(X[0] @ model.U_.T + before @ model.W_.T + model.b_z_)  # 1 / (1 - z)
        order = np.argsort(np.log(steps).mean(axis=0))
        image = axes.imshow(steps[:, order].T, aspect="auto", cmap="magma", norm=LogNorm(1, 1000))
        for step in np.flatnonzero(X[0, :, 1]):
            axes.axvline(step, color="white", lw=0.8, ls="--")
        axes.set(ylabel="units", title=title)
    panels[-1].set_xlabel("step; numbers are marked where a line is dashed")
    figure.colorbar(image, ax=panels, label="1 / (1 - z): for how many steps a state stays")
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(
        prog="python -m bench.cells", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cheap", action="store_true", help="two seeds, 15,000 images: some minutes")
    parser.add_argument("--publish", action="store_true", help="write what docs/ shows")
    parser.add_argument("--output", type=Path, default=Path("results"), help="folder (default: %(default)s)")
    options = parser.parse_args()
    n_seeds, n_train = (2, 15_000) if options.cheap else (3, 55_000)
    rows = measure(n_seeds, n_train)
    record = {"machine": machine(), "cheap": options.cheap, "n_train": n_train, "rows": rows}
    write_json(options.output / "cells.json", record)
    if options.publish:
        write_json(RESULTS / "cells.json", record)
    folder = DOCS if options.publish else options.output
    draw(folder / "cells.png", rows)
    draw_gates(folder / "cells-gates.png")


if __name__ == "__main__":
    main()
