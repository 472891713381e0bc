"""The text experiment: Algorithm 1 on chunks of characters, each from a fresh forward pass."""

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from admmirnn import Rollout, backend
from admmirnn.data.sequences import Sequences
from admmirnn.networks import ElmanRNN
from bench.paper.characters import (
    CHUNK,
    DIVERGED_ABOVE,
    RELEASED_TEXT,
    CharacterTrainer,
    TextScheme,
    new_character_network,
)
from bench.paper.common import (
    LOSS,
    loss_and_accuracy,
    new_figure,
    print_caption,
    print_columns,
    sequences_of,
)


def nats_per_character(network, codes):
    """Loss of the roll-out that reads the codes, from the zero state, and predicts each next one."""
    X = np.eye(network.n_features, dtype=network.dtype)[codes[:-1]]
    outputs = network.outputs(sequences_of(X[None]), every_step=True)
    return loss_and_accuracy(outputs, codes[1:])[0]


def train_on_text(scheme, codes, held_out, n_symbols, n_iterations, every, seed, n_hidden=128):
    """Step along the text, one chunk per iteration, until ``n_iterations`` or divergence.

    Returns
    -------
    network : ElmanRNN
        As it is then.
    records : list of (iteration, nats per character on ``held_out``, smoothed loss of forward passes)
        Every ``every`` iterations from 0 on.  The smoothed loss is what the authors' code prints: 0.99 times itself
        plus 0.01 times the loss of the chunk before its update, from log(n_symbols) on.
    """
    network = new_character_network(n_symbols, n_hidden, scheme.start, seed)
    trainer = CharacterTrainer(network, scheme, min(CHUNK, len(codes) - 2))
    smooth = math.log(n_symbols)
    records = [(0, nats_per_character(network, held_out), smooth)]
    with backend.one_blas_thread(), np.errstate(all="ignore"):  # some schemes diverge; that is a finding
        for iteration, loss in trainer.iterations(codes, n_iterations):
            if not loss < DIVERGED_ABOVE:
                records.append((iteration, math.inf, math.inf))
                break
            smooth = 0.99 * smooth + 0.01 * loss
            if iteration % every == 0:
                nats = nats_per_character(network, held_out)
                records.append((iteration, nats if nats < DIVERGED_ABOVE else math.inf, smooth))
    return network, records


def entropy(codes):
    """Nats a character of the best answer that is always the same."""
    return LOSS.constant_loss(codes, np.ones(len(codes)))


@dataclass(frozen=True)
class TextSizes:
    """How much is computed."""

    n_iterations: int = 4000
    every: int = 250
    grid_iterations: int = 1500
    n_hidden: int = 128
    nus: tuple = (0.3, 1.0, 3.0)
    rs: tuple = (1.0, 3.0, 10.0)
    epochs: tuple = (1, 3)


QUICK_TEXT = TextSizes(20, 10, 10, 16, (1.0,), (3.0, 10.0), (1,))


def choose_scheme(codes, n_symbols, sizes, seed):
    """Search a grid for derived signs without division, by the loss on the last tenth of the *training* text.

    First nu = rho and r without multipliers, then at the best of them rho / 10 and multipliers that stay.

    Returns
    -------
    best : TextScheme
    table : list of (TextScheme, nats per character)
    """
    cut = int(0.9 * len(codes))
    table = []

    def best_of(schemes):
        for scheme in schemes:
            _, records = train_on_text(
                scheme,
                codes[:cut],
                codes[cut:],
                n_symbols,
                sizes.grid_iterations,
                sizes.grid_iterations,
                seed,
                sizes.n_hidden,
            )
            table.append((scheme, records[-1][1]))
        return min(table, key=lambda entry: entry[1])[0]

    first = TextScheme("derived signs, chosen", linearised=False, keeps_multipliers=False, start="orthogonal")
    best = best_of([replace(first, rho=nu, nu=nu, r=r) for nu in sizes.nus for r in sizes.rs])
    small_rho = replace(best, rho=best.rho / 10)
    kept = (replace(scheme, keeps_multipliers=True) for scheme in (best, small_rho))
    return best_of([small_rho, *kept]), table


def train_default_solver(codes, held_out, n_symbols, epochs, seed, n_hidden):
    """Rollout on every window of a chunk's length, labelled with the character after it; (nats, seconds)."""
    network = ElmanRNN.random(n_symbols, n_hidden, n_symbols, random_state=np.random.RandomState(seed))
    first = np.arange(len(codes) - CHUNK)
    windows = Sequences(np.eye(n_symbols, dtype=np.float32)[codes], first, np.full(len(first), CHUNK))
    started = time.perf_counter()
    Rollout().solve(
        network,
        windows,
        codes[CHUNK:],
        LOSS,
        max_epochs=epochs,
        batch_size=None,
        random_state=np.random.RandomState(seed),
    )
    seconds = time.perf_counter() - started
    return nats_per_character(network, held_out), seconds


def text_schemes(chosen):
    """The schemes that are compared, as released first, the chosen one last."""
    return (
        RELEASED_TEXT,
        replace(RELEASED_TEXT, label="derived signs, divided by 10", derived=True),
        replace(RELEASED_TEXT, label="derived signs, their parameters, not divided", derived=True, division=1.0),
        replace(chosen, label="printed signs, chosen parameters, not divided", derived=False),
        replace(chosen, label="derived signs, chosen parameters, small start", start="small"),
        replace(chosen, label="derived signs, chosen parameters"),
    )


def print_grid(best, table, sizes):
    """What the search has found."""
    print_caption(
        "Search for parameters: derived signs, not divided, exact o-step, orthogonal start",
        f"loss after {sizes.grid_iterations} chunks of the first nine tenths of the training text, on its last "
        "tenth; the held-out text has no part in it.",
    )
    rows = [
        [
            *(f"{value:g}" for value in (scheme.rho, scheme.nu, scheme.r)),
            "stay" if scheme.keeps_multipliers else "none",
            f"{loss:.4f}" if math.isfinite(loss) else "diverged",
            "chosen" if scheme == best else "",
        ]
        for scheme, loss in table
    ]
    print_columns(["rho", "nu", "r", "multipliers", "nats", ""], rows)


def print_text(runs, defaults, codes, held_out, sizes):
    """Roll-out losses on the held-out text, and what the authors' code would print."""
    same = entropy(np.concatenate([codes, held_out]))
    print_caption(
        "Text: nats a character of the ROLL-OUT on the held-out last tenth",
        f"{len(held_out)} characters, state carried on from zero, after k chunks of {CHUNK}; n = {sizes.n_hidden}. "
        "printed: the smoothed loss that the authors' code would print at the end, of forward passes over the training "
        "text. largest: |weight| at the end. "
        f"Always the same answer: {same:.3f}, the entropy of the characters of the whole text.",
    )
    shares = (0, 0.25, 0.5, 0.75, 1)
    shown = sorted({round(share * sizes.n_iterations) // sizes.every * sizes.every for share in shares})
    header = ["", *(f"k = {k}" for k in shown), "lowest", "printed", "largest U", "W", "V", "c"]
    rows = []
    for scheme, network, records in runs:
        by_iteration = {iteration: nats for iteration, nats, _ in records if math.isfinite(nats)}
        diverged = None if math.isfinite(records[-1][1]) else records[-1][0]
        cells = [f"{by_iteration[k]:.3f}" if k in by_iteration else "-" for k in shown]
        largest = [f"{np.abs(network.weights[name]).max():.1g}" if diverged is None else "-" for name in "UWVc"]
        printed = f"{records[-1][2]:.3f}" if diverged is None else f"diverged by {diverged}"
        rows.append([scheme.label, *cells, f"{min(by_iteration.values()):.3f}", printed, *largest])
    print_columns(header, rows)
    for epochs, (nats, seconds) in defaults.items():
        print(f"  Rollout, the default solver, windows of {CHUNK}, {epochs} epoch(s), {seconds:.1f} s: {nats:.3f}")


def draw_text(path, runs, defaults, level):
    """Roll-out loss on the held-out text by chunks."""
    figure = new_figure(9, 6)
    if figure is None:
        return
    axis = figure.subplots()
    drawn = [run for run in runs if len(run[2]) > 3]  # one that diverges at once has no curve
    for i, (scheme, _, records) in enumerate(drawn):
        iterations, nats, smooth = zip(*(record for record in records if math.isfinite(record[1])), strict=True)
        axis.plot(iterations, nats, f"C{i}", label=scheme.label, lw=3 if scheme is RELEASED_TEXT else 1.5)
        if scheme is RELEASED_TEXT:
            axis.plot(iterations, smooth, f"C{i}:", label="  what its code prints: smoothed loss of training chunks")
    axis.axhline(level, color="k", ls="--", lw=1, label=f"always the same answer: {level:.3f}")
    for epochs, (nats, _) in defaults.items():
        axis.axhline(nats, color="grey", ls="-.", lw=1, label=f"default solver Rollout, {epochs} epoch(s): {nats:.3f}")
    axis.set(
        xlabel=f"iterations (chunks of {CHUNK} characters)",
        ylabel="nats per character, held-out text, roll-out",
        title="Algorithm 1 on text: what the network predicts",
    )
    axis.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    figure.savefig(path, dpi=120)
    print(f"\npicture: {path.resolve()}")


def text(characters, sizes, seed, output):
    """Compute, print and draw the text experiment.

    Parameters
    ----------
    characters : str
        All of the text; its last tenth is held out.
    sizes : TextSizes
        How much.
    seed : int
        Of the initial weights.
    output : path-like
        Folder of the picture.

    Returns
    -------
    runs : list of (TextScheme, ElmanRNN, records)
        See `train_on_text`.
    defaults : dict
        By epochs, the nats and seconds of `train_default_solver`.
    """
    symbols, codes = np.unique(list(characters), return_inverse=True)
    level, cut = entropy(codes), int(0.9 * len(codes))
    codes, held_out = codes[:cut], codes[cut:]
    print(f"{len(characters)} characters, {len(symbols)} symbols, entropy {level:.3f} nats; seed {seed}", flush=True)
    best, table = choose_scheme(codes, len(symbols), sizes, seed)
    print_grid(best, table, sizes)
    runs = []
    for scheme in text_schemes(best):
        found = train_on_text(
            scheme, codes, held_out, len(symbols), sizes.n_iterations, sizes.every, seed, sizes.n_hidden
        )
        runs.append((scheme, *found))
    defaults = {
        epochs: train_default_solver(codes, held_out, len(symbols), epochs, seed, sizes.n_hidden)
        for epochs in sizes.epochs
    }
    print_text(runs, defaults, codes, held_out, sizes)
    draw_text(Path(output) / "admmirnn-paper-text.png", runs, defaults, level)
    return runs, defaults
