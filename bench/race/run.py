"""A race from the start to the verdict."""

import json
import time
from dataclasses import asdict, replace
from importlib.util import find_spec

import numpy as np

from bench.race.curves import Curve, mean_curves
from bench.race.ours import OurSide
from bench.race.report import print_standing, standings, verdict
from bench.race.selection import choose, try_settings
from bench.race.tasks import load_task
from bench.record import RESULTS, machine, write_json

OPTIONS = ("seeds", "first_seed", "threads", "same_start", "cheap", "quick")
PACKAGES = ("torch", "pytorch-optimizer", "reservoirpy")


def race(options):
    """Run a task, or read an earlier run of it; print, draw and judge it.

    Parameters
    ----------
    options : argparse.Namespace
        Of the command line.

    Returns
    -------
    int
        The exit code: 0 if every goal is met.
    """
    task = load_task(options.task)
    record = json.loads(options.read.read_text()) if options.read else run(task, options)
    curves = [Curve.of_record(curve, task.metric) for curve in record["curves"]]
    if options.clock == "processor":
        curves = [curve.by_processor_time() for curve in curves]
    found = standings(task, record["contenders"], mean_curves(curves))

    for standing in found:
        print_standing(standing, task.metric)
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / f"race-{options.task}"
    record |= {"clock": options.clock, "standings": [standing.record() for standing in found]}
    write_json(path.with_suffix(".json"), record)
    if options.publish:
        write_json(RESULTS / f"race-{options.task}.json", published(record))
    try:
        from bench.race.plot import draw
    except ModuleNotFoundError as error:
        print(f"\nno picture: {error.name} is missing (pip install matplotlib)")
    else:
        draw(path.with_suffix(".png"), task, found, record["machine"]["summary"])
    print(f"\n{record['machine']['summary']}; {path.with_suffix('.json')}, {path.with_suffix('.png')}")
    _print_how_busy(curves)
    for standing in found:
        print(verdict(standing, task.metric))
    if record["options"]["quick"]:
        print("a quick run: nothing is judged")
        return 0
    return 0 if all(standing.met is not False for standing in found) else 1


def published(record):
    """What README and docs/ show of a race: all but what happened on the way."""
    return {name: of_name for name, of_name in record.items() if name not in ("trials", "curves")}


def run(task, options):
    """Choose the settings and run every contender on all seeds.

    Returns
    -------
    dict
        What goes into the JSON file.
    """
    from bench.race import peers

    peers.use_threads(options.threads)
    if options.same_start:
        task = replace(task, same_start=True)
    if options.peers:
        task = _against(task, options.peers)
    task = replace(task, learning_rates=_installed(task.learning_rates))
    if options.layers:
        task = replace(task, torch_layers=tuple(options.layers))
    if options.quick:
        task = task.quick()
    elif options.cheap:
        task = task.cheap()
    seeds = list(range(options.first_seed, options.first_seed + (1 if options.quick else options.seeds)))
    ours = OurSide(task, options.threads)
    torch_peers = [
        peers.TorchPeer(optimiser, task, layer) for layer in task.torch_layers for optimiser in task.learning_rates
    ]
    contenders = [ours, *torch_peers, *(other(task) for other in task.others)]
    of_machine = machine(options.threads, PACKAGES)
    print(f"{task.title}, {task.n_hidden} hidden units; seeds {seeds[0]} to {seeds[-1]}\n{of_machine['summary']}")
    print(f"torch: batches of {task.batch_size}, cosine to 0 over {_list(task.budgets)} epochs; learning rates")
    for name, learning_rates in task.learning_rates.items():
        print(f"  {name:9} {_list(learning_rates)}")
    print(f"  each on torch.nn.{', '.join(task.torch_layers)}")

    started = time.perf_counter()
    settings = {contender.name: contender.settings for contender in contenders}
    trials = {}
    if task.goals_are_known:
        print(f"\nsettings on seed {seeds[0]}")
        data, goals = task.load(seeds[0]), sorted({goal.value for goal in task.goals})
        for peer in torch_peers:
            trials[peer.name] = try_settings(peer, data, seeds[0], goals[:: task.metric.sign], task.metric)
            settings[peer.name] = choose(trials[peer.name], goals)
    curves = []
    for seed in seeds:
        data = task.load(seed)
        for contender in contenders:
            try:
                curves += _runs(contender, settings[contender.name], data, seed)
            except ModuleNotFoundError as error:
                if contender.kind != "other":
                    raise
                print(f"  without {contender.name}: {error.name} is missing (pip install {error.name})")
        print(f"seed {seed}: {time.perf_counter() - started:.0f} s since the start", flush=True)
    return {
        "task": options.task,
        "title": task.title,
        "metric": {"name": task.metric.name, "higher_is_better": task.metric.higher_is_better},
        "options": {name: getattr(options, name) for name in OPTIONS},
        "machine": of_machine,
        "contenders": {contender.name: contender.kind for contender in contenders},
        "hidden": task.n_hidden,
        "batch_size": task.batch_size,
        "budgets": task.budgets,
        "learning_rates": dict(task.learning_rates),
        "trials": {name: [trial.record() for trial in found] for name, found in trials.items()},
        "curves": [asdict(curve) for curve in curves],
    }


def _against(task, names):
    """The task with these optimisers alone."""
    unknown = set(names) - set(task.learning_rates)
    if unknown:
        raise ValueError(f"--peers: {', '.join(sorted(unknown))} are not among {', '.join(task.learning_rates)}")
    return replace(task, learning_rates={name: task.learning_rates[name] for name in names})


def _installed(learning_rates):
    """Those of optimisers that are there."""
    from bench.race.optimisers import OF_MATRICES

    missing = [name for name in learning_rates if name in OF_MATRICES and find_spec("pytorch_optimizer") is None]
    if missing:
        print(f"without {', '.join(missing)}: pytorch_optimizer is missing (pip install pytorch_optimizer)")
    return {name: rates for name, rates in learning_rates.items() if name not in missing}


def _runs(contender, settings, data, seed):
    """Run one contender at all its settings."""
    curves = []
    for setting in settings:
        curves.append(Curve.of_points(contender.name, setting, seed, contender.run(data, setting, seed)))
    return curves


def _print_how_busy(curves):
    """Warn if the clock ran much longer than the processor worked: other programs were in the way."""
    shares = [curve.cpu_seconds[-1] / curve.seconds[-1] for curve in curves if curve.seconds[-1] > 0.1]
    if shares and np.median(shares) < 0.95:
        print(f"the machine was busy: a processor had {100 * np.median(shares):.0f} % of its time for the contenders")


def _list(values):
    return ", ".join(f"{value:.3g}" for value in values)
