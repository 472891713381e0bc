"""Figures 2 to 6 as a command: compute or read, draw, judge, and write what docs/paper.md takes from them."""

import json
import math
import platform
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from bench.accept import processor
from bench.paper.claims import CLAIMS, COLUMNS
from bench.paper.figures import FIGURES, QUICK, Sizes
from bench.paper.jobs import Choice, Runner
from bench.paper.plots import DRAWINGS
from bench.record import write_json

PACKAGES = ("admmirnn", "torch", "numpy", "scipy")
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
DOCS = Path(__file__).parents[2] / "docs"
PROVED = """\
| rho_i > 2H: the augmented Lagrangian never rises | Theorem 1 | yes, with r above the Lipschitz constants and the \
coupled s-step; no as stated, see section 3 | not what it speaks of | not what it speaks of | `test_convergence.py` |
| min distance of iterates, and residuals, O(1/k) | Theorem 3 | yes, likewise | not what it speaks of | not what it \
speaks of | `test_convergence.py`, `test_the_auxiliary_residuals_fall_as_1_over_k` |
| rho3 decides the loss, rho1 and rho2 hardly matter | Table 2 | yes, it is that of o <- o - grad R(o) / rho3 | no, \
see section 4 | it has neither rho1 nor rho2 | `test_paper.py` |"""


def figures(which, quick, first_seed, output, n_processes=2, read=None):
    """Compute the figures, or read them; draw, print and judge them, and write them to the folder ``output``.

    Parameters
    ----------
    which : sequence of str
        Numbers of figures.
    quick : bool
        Whether only to see that it runs.
    first_seed : int
        Seeds count from here.
    output : Path
        Folder of paper-figures.json (what the pictures need), paper-figures-runs.json (every run) and the pictures.
    n_processes : int
        Which share the runs.
    read : Path or None
        An earlier paper-figures.json, whose figures are taken instead of being computed.

    Returns
    -------
    dict
        What goes into paper-figures.json.
    """
    if read is not None:
        record = json.loads(read.read_text())
        missing = [name for name in which if name not in record["figures"]]
        if missing:
            raise ValueError(f"{read} has no figure {', '.join(missing)}")
        record["figures"] = {name: record["figures"][name] for name in which}
    else:
        record = _compute(which, QUICK if quick else Sizes(), first_seed, output, n_processes)
        record["quick"] = quick
    path = output / "paper-figures.json"
    if read is None or read.resolve() != path.resolve():
        write_json(path, record)
    for name, data in record["figures"].items():
        DRAWINGS[name](data, output / f"paper-figure-{name}.png")
    print(f"\n{markdown(record)}")
    return record


def _compute(which, sizes, first_seed, output, n_processes):
    """Run what the figures need; write every run, and return the record."""
    found, seconds = {}, {}
    with Runner(n_processes) as runner:
        for name in which:
            started = time.perf_counter()
            found[name] = FIGURES[name](runner, sizes, first_seed)
            seconds[name] = round(time.perf_counter() - started)
            print(f"Figure {name}: {seconds[name]} s", flush=True)
        runs = [_recorded(job, result) for job, result in runner.found.items()]
    settings = asdict(sizes)
    machine = {
        "summary": f"{processor()}, {n_processes} processes of one thread",
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
    }
    about = {"settings": settings, "first_seed": first_seed, "machine": machine, "seconds": seconds}
    write_json(output / "paper-figures-runs.json", about | {"runs": runs})
    _print_rates(runner)
    return about | {"figures": found}


def _recorded(job, result):
    job_record = {"kind": type(job).__name__, "problem": type(job.problem).__name__} | asdict(job)
    if isinstance(job, Choice):
        learning_rate, trials = result
        return {"job": job_record, "learning_rate": learning_rate, "trials": trials}
    return {"job": job_record} | asdict(result)


def _print_rates(runner):
    """The grids of the peers, and what was chosen."""
    print(
        "\nlearning rates of the peers: cosine to 0, gradients clipped at norm 1; chosen by the test loss on one seed"
    )
    for job in runner.found:
        if isinstance(job, Choice):
            best, trials = runner.found[job]
            where = f", length {job.problem.length}" if hasattr(job.problem, "length") else ""
            grid = ", ".join(f"{rate:.3g}" for rate in job.grid)
            tried = f", and {len(trials) - len(job.grid)} beyond" if len(trials) > len(job.grid) else ""
            print(f"  {job.problem.title}{where}, {job.contender}: {grid}{tried}: {best:.3g}")
    print()


def sentence(figure, data):
    """What the paper claims above all of a figure, and whether it holds in each of the three ways."""
    claims = [claim for claim in CLAIMS if claim.figure == figure]
    claim = claims[0]
    words = {True: "holds", False: "does not hold", None: "is no question"}
    parts = [
        f"{words[verdict.holds]} for {where} ({verdict.found})"
        for where, verdict in zip(
            ("the auxiliary figure", "Algorithm 1's roll-out", "Rollout's"), claim.judge(data), strict=True
        )
    ]
    return f"The paper claims that {claim.text}. This {parts[0]}, {parts[1]}, and {parts[2]}."


def markdown(record):
    """Pictures, sentences and the table of claims, as docs/paper.md has them."""
    lines = [_what_was_run(record["settings"])]
    for name, data in record["figures"].items():
        lines.append(f"![Figure {name}: auxiliary and roll-out](paper-figure-{name}.png)\n")
        if name == "4":
            lines.append("![Figure 4: from other initial weights](paper-figure-4-starts.png)\n")
        lines.append(f"**Figure {name}.** {sentence(name, data)}\n")
    lines.append("| claim | where | " + " | ".join(COLUMNS) + " | test |")
    lines.append("|" + "---|" * (len(COLUMNS) + 3))
    for claim in CLAIMS:
        if claim.figure in record["figures"]:
            cells = (str(verdict) for verdict in claim.judge(record["figures"][claim.figure]))
            lines.append(f"| {claim.text} | {claim.where} | {' | '.join(cells)} | `{claim.test}` |")
    lines.append(PROVED + "\n")
    lines.append(_where_it_was_run(record))
    return "\n".join(lines) + "\n"


def _what_was_run(settings):
    """Sizes and numbers of runs, as a paragraph."""
    images, text, runs = settings["images"], settings["text"], settings
    return (
        f"MNIST: {images['n_iterations']} iterations of {images['batch_size']} of {images['n_train']} images, "
        f"{images['n_hidden']} units; Algorithm 1, which has no minibatches, {images['n_split']} images, "
        f"{images['n_split_hidden']} units. Text: {text['n_iterations']} iterations of {text['n_characters']} "
        f"characters, {text['n_hidden']} units; Algorithm 1, one chunk per iteration. Means over {runs['n_repeats']} "
        f"runs in Figure 4, {runs['n_of_lengths']} in Figure 3, {runs['n_seeds']} in the others, and "
        f"{runs['n_starts']} from each other start. Test losses are those of {images['n_evaluated']} test images, "
        f"and of {text['n_evaluated']} characters of the last tenth of the text.\n"
    )


def _where_it_was_run(record):
    machine = record["machine"]
    versions = ", ".join(f"{package} {number}" for package, number in machine["versions"].items())
    minutes = math.ceil(sum(record["seconds"].values()) / 60)
    quick = " (a quick run: none of this means anything)" if record["quick"] else ""
    return f"{versions}, Python {machine['python']}; {machine['summary']}, {minutes} min{quick}."


def put_into_docs(text, page):
    """Replace what is between the marks of a page."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")
