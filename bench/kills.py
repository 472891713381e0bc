"""Fits that are killed at random moments and resumed: ``python -m bench.kills [--times 50] [--first-seed N]``.

Every fit runs in a process of its own, writes a checkpoint after each epoch, and is killed by SIGKILL; another process
resumes it, and must end with the weights of a fit that was never stopped, to the last bit.  They are in turn fits of
`Rollout`, of `Algorithm1`, and of `Rollout` to streams with early stopping and a penalty.
"""

import argparse
import hashlib
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

from admmirnn import Algorithm1, RNNClassifier, RNNRegressor
from admmirnn.penalties import Lasso
from bench.measure import report
from bench.processes import Child

KINDS = ("rollout", "algorithm1", "streams")


def fit(tell, path, kind):
    """Say "ready", fit or resume with the checkpoint at ``path``, and tell a digest of the weights, and the epochs."""
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 20, 3)), rng.integers(0, 3, 400)
    common = {"random_state": 0, "checkpoint": path}
    if kind == "rollout":
        model = RNNClassifier(32, max_epochs=60, **common)
    elif kind == "algorithm1":
        model = RNNClassifier(16, max_epochs=40, solver=Algorithm1(r="lipschitz"), batch_size=100, **common)
    else:
        X, y = rng.normal(size=(4, 1500, 2)), rng.normal(size=(4, 1500))
        settings = {"stateful": True, "chunk_size": 25, "s_0": "learn", "penalties": {"W": Lasso(1e-4)}}
        model = RNNRegressor(24, max_epochs=60, early_stopping=True, patience=60, **settings, **common)
    tell("ready")
    model.fit(X, y, resume=True)
    weights = model._network().weights.values()  # s_0 is among them where it is learnt
    tell([hashlib.sha256(b"".join(array.tobytes() for array in weights)).hexdigest(), model.n_iter_])


def run(path, kind, seconds=None):
    """Fit, or resume, with the checkpoint at ``path``; kill the process so many seconds after it has begun.

    Returns
    -------
    list or None
        What it has told at its end; None if it was killed before.
    float
        How long it took from when it had begun.
    """
    child = Child(fit, path, kind)
    assert child.told(600) == "ready"
    started = time.perf_counter()
    if seconds is not None:
        time.sleep(seconds)
        child.send(signal.SIGKILL)
    told = child.told(600)
    child.end()
    return told, time.perf_counter() - started


def kills(folder, times, seed):
    """Kill and resume so many fits; report how many end as the one that was not killed.

    A fit that ends before its moment has come is not counted, and another one takes its place.
    """
    whole = {kind: run(folder / kind, kind) for kind in KINDS}
    rng, same, early, late, killed = np.random.default_rng(seed), 0, 0, 0, 0
    while killed < times:
        path, kind = folder / str(killed + late), KINDS[killed % len(KINDS)]
        of_whole, seconds = whole[kind]
        if run(path, kind, rng.uniform(0, seconds))[0]:
            late += 1
            continue
        killed += 1
        early += not path.exists()
        same += run(path, kind)[0] == of_whole
    takes = ", ".join(f"{seconds:.1f} s" for _, seconds in whole.values())
    print(f"           fits take {takes}; {early} of {killed} killed before the first checkpoint")
    return report("resumed fits that end bit-identical", f"{same} of {times}", f"{times}", same == times)


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.kills", description=__doc__)
    parser.add_argument("--times", type=int, default=50, help="how many fits to kill (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=0, help="of the moments (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return 0 if kills(Path(folder), options.times, options.first_seed) else 1


if __name__ == "__main__":
    sys.exit(main())
