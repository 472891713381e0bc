"""How the cost of an iteration grows: ``python -m bench.growth [--cheap] [--only NAME ...] [--publish]``.

Seconds of one iteration of `Rollout`, of PyTorch with Adam and of JAX with Adam (scan, jit), in turn, on one thread,
in float32, each the median of some rounds; beside them the arithmetic limit, the operations that an iteration has to
make (`bench.flops`) at the speed of the fastest matrix product.  The first part is a table of cells and sizes; in each
of the others one number of a size grows: hidden units n, features d, steps N, sequences in a minibatch B, classes K,
and the threads of ours.  Seconds are those of the processor, but those of threads, which are of the clock on the wall.

``--publish`` writes bench/results/scaling.json, of which docs/ shows a table, and docs/scaling.png; with ``--only`` the
other parts stay as they are there, each with the machine and the commit that it is from.
"""

import argparse
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from admmirnn.networks.cells import cell_named
from bench import flops, jax_training, pytorch
from bench.cases import BROAD, LARGE, MIDDLE, SMALL, Training, problem, still
from bench.jax_training import JaxTraining
from bench.measure import alternately, blas_kernel, gemm_limit
from bench.pytorch import GradientTraining
from bench.record import RESULTS, machine, read_result, summary_of, write_json
from bench.table import duration

TABLE = (SMALL, MIDDLE, BROAD, LARGE)
CELLS = ("elman", "gru", "lstm")
GROWING = {
    "n": (16, 32, 64, 128, 256, 512, 1024, 2048),
    "d": (1, 4, 16, 64, 256, 1024),
    "N": (4, 14, 28, 100, 400, 784),
    "B": (8, 32, 125, 500, 2000),
    "K": (2, 10, 50, 200, 1000),
}
CHEAP = {"n": 256, "d": 64, "N": 100, "B": 500, "K": 50}  # no more than this
THREADS_AT = (16, 64, 128, 256, 512)
LAYERS = {"elman": "RNN", "gru": "GRU", "lstm": "LSTM"}
PICTURE = Path(__file__).parent.parent / "docs" / "scaling.png"


def limit_of(size, cell, speed):
    """Seconds of an iteration at so many arithmetic operations a second."""
    operations = flops.iteration(size) if cell == "elman" else flops.iteration_of_cell(size, cell_named(cell))
    return operations / speed


def iterations(size, cell, rounds):
    """Seconds of one iteration by engine, as medians; with the arithmetic limit, measured at the same time.

    An epoch has many iterations where they are short, so that what an engine does once per epoch does not count.
    """
    n_batches = n_batches_of(size, 2)
    sequences, y = problem(size, "float32", n_batches)
    with ExitStack() as stack:
        training = Training(size, "float32", n_batches, cell=cell_named(cell), solver=still())
        engines = {"admmirnn": stack.enter_context(training).epoch}
        if pytorch.INSTALLED:
            engines["PyTorch"] = GradientTraining(size, sequences, y, layer=LAYERS[cell]).epoch
        if jax_training.INSTALLED:
            engines["JAX"] = JaxTraining(size, sequences, y, cell).epoch
        seconds = alternately(rounds, **engines)
    found = {name: float(np.median(of_name)) / n_batches for name, of_name in seconds.items()}
    return found | {"limit": limit_of(size, cell, gemm_limit("float32", 0.2))}


def n_batches_of(size, least):
    """How many iterations of this size make an epoch that is long enough to be timed."""
    return int(np.clip(6e6 / (size.B * size.N * size.n), least, 200))


def threads_of(size, n_threads, rounds):
    """How many times faster an iteration is with so many threads than with one, by the clock on the wall.

    Epochs take some tenths of a second: threads last from one iteration to the next, and where they are new, the first
    few milliseconds may go by before the system gives each of them a processor.
    """
    n_batches = int(np.clip(4e9 / (size.B * size.N * size.n**2), 10, 100))
    with ExitStack() as stack:
        fits = {
            str(number): stack.enter_context(
                Training(size, "float32", n_batches, solver=still(), n_threads=number)
            ).epoch
            for number in (1, n_threads)
        }
        seconds = alternately(rounds, time.perf_counter, **fits)
    return float(np.median(seconds["1"]) / np.median(seconds[str(n_threads)]))


def measure(only, *, cheap):
    """All parts, or those named, as they go into the JSON file."""
    rounds, parts = 3 if cheap else 15, {}
    if "table" in only:
        rows = [
            {"cell": cell, "size": str(size)} | iterations(size, cell, rounds)
            for cell in CELLS
            for size in (TABLE[:3] if cheap else TABLE)
        ]
        parts["table"] = rows
        for row in rows:
            print(row_of(row), flush=True)
    for name, values in GROWING.items():
        if name not in only:
            continue
        parts[name] = []
        for value in values:
            if cheap and value > CHEAP[name]:
                break
            size = replace(MIDDLE, **{name: value})
            found = {cell: iterations(size, cell, rounds) for cell in ("elman", "gru")}
            parts[name].append({name: value} | found)
            print(
                name,
                value,
                {cell: f"{1e3 * of_cell['admmirnn']:.3g} ms" for cell, of_cell in found.items()},
                flush=True,
            )
    if "threads" in only:
        sizes = [replace(MIDDLE, n=n, B=250) for n in THREADS_AT]
        parts["threads"] = [{"n": size.n, "2": threads_of(size, 2, rounds)} for size in sizes]
        print("two threads:", parts["threads"], flush=True)
    return parts


def row_of(row):
    """A line of the table: our time, and how many times those of the others and the limit it is."""
    cells = [row["cell"], row["size"], duration(row["admmirnn"])]
    cells += [f"{row[name] / row['admmirnn']:.1f}" if row.get(name) else "" for name in ("PyTorch", "JAX")]
    cells += [f"{row['limit'] / row['admmirnn']:.2f}"]
    return f"| {' | '.join(cells)} |"


def table():
    """Markdown of the published table, for docs/."""
    record = read_result("scaling")
    made = record["made"]["table"]
    lines = [
        "| cell | size | an iteration | times as long: PyTorch, Adam | JAX, Adam | share of the arithmetic limit |",
        "|---|---|---|---|---|---|",
        *map(row_of, record["parts"]["table"]),
    ]
    how = "Few rounds; " if made["cheap"] else ""
    return "\n".join([*lines, "", f"{how}{summary_of(made['machine'])}; {made['blas']}."])


def draw(path, parts):
    """A picture: for each number that grows, seconds of an iteration of all engines, and the limit."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    names = [name for name in GROWING if parts.get(name)]
    n_panels = len(names) + bool(parts.get("threads"))
    n_columns, n_rows = min(n_panels, 3), -(-n_panels // 3)
    figure = Figure(figsize=(max(6.5, 3.7 * n_columns), 0.6 + 3.3 * n_rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    looks = {
        "admmirnn": ("#c8102e", "-o"),
        "PyTorch": ("#2166ac", "-s"),
        "JAX": ("#2a8a57", "-^"),
        "limit": ("black", ":"),
    }
    labels = {
        "n": "hidden units n",
        "d": "features d",
        "N": "steps N",
        "B": "sequences in a minibatch B",
        "K": "classes K",
    }
    for place, name in zip(axes, names, strict=False):
        for cell, dashes in (("elman", 1.0), ("gru", 0.4)):
            for engine, (color, style) in looks.items():
                points = [(row[name], row[cell][engine]) for row in parts[name] if row[cell].get(engine)]
                if points:
                    label = f"{engine}, {cell}" if engine != "limit" else f"arithmetic limit, {cell}"
                    place.plot(
                        *zip(*points, strict=True), style, color=color, alpha=dashes, ms=3.5, lw=1.4, label=label
                    )
        place.set(xscale="log", yscale="log", xlabel=labels[name], ylabel="seconds of an iteration")
        place.xaxis.set_minor_locator(NullLocator())
        place.set_xticks(values := [row[name] for row in parts[name]], map(str, values))
        place.grid(alpha=0.25)
    if parts.get("threads"):
        place = axes[len(names)]
        place.plot(
            [row["n"] for row in parts["threads"]], [row["2"] for row in parts["threads"]], "-o", color="#c8102e"
        )
        place.set(xscale="log", ylim=(0.9, 2.05), xlabel="hidden units n", ylabel="times faster with two threads")
        place.xaxis.set_minor_locator(NullLocator())
        place.set_xticks(values := [row["n"] for row in parts["threads"]], map(str, values))
        place.axhline(2, color="black", ls=":", lw=1)
        place.grid(alpha=0.25)
    for place in axes[n_panels:]:
        place.set_axis_off()
    handles, texts = axes[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(
        prog="python -m bench.growth", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ("table", *GROWING, "threads")
    parser.add_argument("--cheap", action="store_true", help="smaller sizes and fewer rounds: some minutes")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="these parts (default: all)")
    parser.add_argument("--publish", action="store_true", help="write bench/results/scaling.json and docs/scaling.png")
    parser.add_argument("--output", type=Path, default=Path("results"), help="folder (default: %(default)s)")
    options = parser.parse_args()
    for installed, message in ((pytorch.INSTALLED, pytorch.MISSING), (jax_training.INSTALLED, jax_training.MISSING)):
        if not installed:
            print(message)
    made = {"machine": machine(1, ("torch", "jax")), "blas": blas_kernel(), "cheap": options.cheap}
    parts = measure(options.only, cheap=options.cheap)
    record = {"parts": parts, "made": dict.fromkeys(parts, made)}
    if options.publish:  # parts that have not been measured again stay, each with what it was made with
        before = read_result("scaling") or {}
        record = {key: before.get(key, {}) | of_key for key, of_key in record.items()}
        write_json(RESULTS / "scaling.json", record)
    write_json(options.output / "scaling.json", record)
    draw(PICTURE if options.publish else options.output / "scaling.png", record["parts"])


if __name__ == "__main__":
    main()
