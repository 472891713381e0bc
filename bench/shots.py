"""Ctrl-C at random moments of five kinds of fit, from another process: ``python -m bench.shots [--times 400]``.

A fit that has no end is interrupted once, at any moment, and every second one after it has made an epoch.  It has to
end, as a fit that keeps the weights of what it has done if that is an epoch at least, with finite predictions, and with
the handler of the signal and the threads of BLAS as before.
"""

import argparse
import math
import os
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

from admmirnn import Algorithm1, CharacterModel, RNNClassifier, RNNRegressor, Status
from admmirnn.watching import Interruption
from bench.measure import report
from bench.processes import Child

_LONGEST = 0.1  # seconds from the beginning of a fit, or from its first epoch, to the shot
_PATIENCE = 120.0  # seconds after it
_TEXT = "to be or not to be, that is the question " * 20


def _fits(folder):
    """Estimators without an end by name, each with what it is fitted to, and what it predicts from."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 8, 2)), rng.integers(0, 2, 60)
    Z = rng.normal(size=(2, 300, 2))
    common = {"max_epochs": 1_000_000, "random_state": 0}
    stopping = {"early_stopping": True, "patience": 1_000_000, "verbose": 2}
    return {
        "rollout": (partial(RNNClassifier, 16, **common), (X, y), X),
        "algorithm1": (partial(RNNClassifier, 8, solver=Algorithm1(r="lipschitz"), **common), (X, y), X),
        "streams": (partial(RNNRegressor, 12, stateful=True, chunk_size=25, s_0="learn", **common), (Z, Z), Z),
        "checkpoint": (partial(RNNClassifier, 16, checkpoint=folder / "fit", **stopping, **common), (X, y), X),
        "text": (partial(CharacterModel, 12, **common), (_TEXT,), _TEXT),
    }


def _state():
    """What an interruption has to leave as it was."""
    of_blas = [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]
    return signal.getsignal(signal.SIGINT), of_blas


def _be_shot(tell, kind, n, folder):
    """Begin so many fits of a kind, each of which waits for its shot, and tell what has become of it."""
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has jobs in the background ignore it
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1), os.dup2(null, 2)  # displays
    make, data, X = _fits(folder)[kind]
    before = _state()
    for i in range(n):
        if i % 4 < 2:  # within a second of another one a Ctrl-C raises, in the others
            Interruption._last_time = -math.inf
        epochs, raised = [], False
        model = make(callbacks=[partial(_count, tell, epochs)])
        try:
            tell("ready")
            model.fit(*data)
            while model.status_ is not Status.INTERRUPTED:  # it has ended by itself
                time.sleep(1)
        except KeyboardInterrupt:
            raised = True
        is_fitted = hasattr(model, "V_")
        predict = getattr(model, "predict", None) or model.predict_proba
        is_finite = not is_fitted or bool(np.isfinite(predict(X)).all())
        found = {"epochs": len(epochs), "fitted": is_fitted, "finite": is_finite, "raised": raised}
        tell(found | {"same": _state() == before})


def _count(tell, epochs, state):
    """A callback that tells of the first epoch."""
    if not epochs:
        tell("epoch")
    epochs.append(state.record["epoch"])


def shots(times, seed):
    """Shoot so often, at the kinds in turn; report what is not as it should be."""
    rng, counts, wrong = np.random.default_rng(seed), Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        kinds = list(_fits(Path(folder)))
        for i, kind in enumerate(kinds):
            n = len(range(i, times, len(kinds)))
            child = Child(_be_shot, kind, n, Path(folder))
            for k in range(n):
                try:
                    found = _shot(child, rng.uniform(0, _LONGEST), after_an_epoch=k % 2 > 0)
                except TimeoutError:
                    found = {"error": "hangs"}
                problem = _problem(found)
                if problem:
                    wrong.append(f"{kind}: {problem}, {found}")
                    print(wrong[-1], flush=True)
                if found is None or "error" in found:
                    child.end(kill=True)
                    break
                moment = "after an epoch" if found["epochs"] else "before"
                counts[f"{moment}, {'raised' if found['raised'] else 'ended'}"] += 1
            else:
                child.end()
    print(f"           {dict(counts)}")
    met = report("shots at fits", f"{counts.total()}", f"{times}", counts.total() == times)
    return met & report("that hang, lose an epoch or change something", f"{len(wrong)}", "0", not wrong)


def _shot(child, seconds, *, after_an_epoch):
    """Send the signal so long after a fit has begun, or has made an epoch; return what becomes of it."""
    found = child.told(_PATIENCE)
    assert found == "ready", found
    found = child.told(_PATIENCE) if after_an_epoch else found
    if isinstance(found, str):
        time.sleep(seconds)
        child.send(signal.SIGINT)
        found = child.told(_PATIENCE)
    return child.told(_PATIENCE) if isinstance(found, str) else found  # of the epoch before


def _problem(found):
    """What is wrong with a fit that has been shot, or None."""
    if found is None or "error" in found:
        return "no answer"
    if found["epochs"] and not found["fitted"]:
        return "an epoch is lost"
    if not found["finite"]:
        return "predictions are not finite"
    return None if found["same"] else "handlers or threads of BLAS are not as before"


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.shots", description=__doc__)
    parser.add_argument("--times", type=int, default=400, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: %(default)s)")
    options = parser.parse_args()
    return 0 if shots(options.times, options.seed) else 1


if __name__ == "__main__":
    sys.exit(main())
