"""How fast `Rollout` is: against this machine's matrix product, its numpy twin, PyTorch, and itself on two threads.

Each figure is a median over rounds in which everything that it compares has its turn, so that a machine which is busy
for a while does not decide.  Seconds are those of the processor; where two threads work, those of the clock.  The
arithmetic is counted by `bench.flops`.
"""

import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

import numpy as np
from scipy.linalg import lapack

from admmirnn import backend
from bench import flops
from bench.cases import BROAD, LARGE, SMALL, Training, network_of, problem, still
from bench.flops import Size
from bench.measure import alternately, gemm_limit, median_and_range, report, seconds_of, skipped
from bench.pytorch import INSTALLED, MISSING, GradientTraining

ROUNDS = 9
PREDICTION = Size(n=128, B=10_000, N=28, d=28, K=10)
SPIN = "while True: pass"


def rollout_speed(seeds):
    """An iteration of `Rollout` on one thread, as a share of the gemm limit in the same minute."""
    met = True
    for size, target in ((BROAD, 0.75), (LARGE, 0.85)):
        for dtype in ("float32", "float64"):
            with Training(size, dtype, 4) as training:
                shares = shares_of_limit(training.epoch, 4 * flops.iteration(size), dtype)
            met &= report(
                f"{size} {dtype}: iteration, share of the gemm limit",
                median_and_range(shares),
                f">= {target}",
                np.median(shares) >= target,
            )
    return met


def large_speed(seeds):
    """An iteration with 2,048 units as a share of the gemm limit: W has 16 MB, which BLAS reads anew at each step."""
    met = True
    for B in (125, 250, 500):
        size = Size(n=2048, B=B, N=28, d=28, K=10)
        with Training(size, "float32", 2, solver=still()) as training:
            shares = shares_of_limit(training.epoch, 2 * flops.iteration(size), "float32", rounds=5)
        found = f"{size}: iteration, share of the gemm limit"
        met &= report(found, median_and_range(shares), ">= 0.85", np.median(shares) >= 0.85)
    return met


def shares_of_limit(function, n_operations, dtype, rounds=ROUNDS):
    """How close a function comes to the fastest matrix product, round by round."""
    function()
    shares = []
    with backend.one_blas_thread():
        for _ in range(rounds):
            limit = gemm_limit(dtype, 0.1)
            shares.append(n_operations / seconds_of(function) / limit)
    return np.array(shares)


def small(seeds):
    """Iterations too small for arithmetic to matter: against the numpy twin and PyTorch, both on one thread."""
    n_batches = 200
    with ExitStack() as stack:
        compiled = stack.enter_context(Training(SMALL, "float32", n_batches))
        twin = stack.enter_context(Training(SMALL, "float32", n_batches, "numpy"))
        epochs = {"compiled": compiled.epoch, "numpy": twin.epoch}
        if INSTALLED:
            epochs["PyTorch"] = GradientTraining(SMALL, *problem(SMALL, "float32", n_batches)).epoch
        seconds = alternately(ROUNDS, **epochs)
    each = f"{1e6 * np.median(seconds['compiled']) / n_batches:.0f} us per iteration"
    met = True
    for name, target in (("numpy", 15), ("PyTorch", 10)):
        if name not in seconds:
            skipped(f"{SMALL}: {name} / compiled", MISSING)
            continue
        ratios = seconds[name] / seconds["compiled"]
        met &= report(
            f"{SMALL}: {name} / compiled",
            f"{median_and_range(ratios, 1)} ({each})",
            f">= {target}",
            np.median(ratios) >= target,
        )
    return met


def torch_speed(seeds):
    """An epoch against PyTorch's forward, backward and Adam (gradients not clipped) on the same minibatches."""
    n_batches, name = 11, f"{BROAD}: an epoch, compiled / PyTorch"
    if not INSTALLED:
        return skipped(name, MISSING)
    with Training(BROAD, "float32", n_batches) as compiled:
        pytorch = GradientTraining(BROAD, *problem(BROAD, "float32", n_batches))
        seconds = alternately(ROUNDS, compiled=compiled.epoch, pytorch=pytorch.epoch)
    ratios = seconds["compiled"] / seconds["pytorch"]
    medians = ", ".join(f"{name} {1e3 * np.median(found) / n_batches:.1f} ms" for name, found in seconds.items())
    found = f"{median_and_range(ratios, 3)} (of an iteration: {medians})"
    return report(name, found, "<= 0.6", np.median(ratios) <= 0.6)


def threads(seeds):
    """Two threads against one, alone and with another process that never rests on the second core."""
    name = f"{BROAD}: one thread / two"
    if available_cores() < 2:
        return skipped(name, "this machine has one core")
    with Training(BROAD, "float32", 8) as one, Training(BROAD, "float32", 8, n_threads=2) as two:
        seconds = alternately(ROUNDS, time.perf_counter, one=one.epoch, two=two.epoch)
        with busy_core():
            loaded = alternately(ROUNDS, time.perf_counter, one=one.epoch, two=two.epoch)
    ratios, loaded_ratios = seconds["one"] / seconds["two"], loaded["one"] / loaded["two"]
    met = report(name, median_and_range(ratios), ">= 1.8", np.median(ratios) >= 1.8)
    return met & report(
        f"{name}, a busy core", median_and_range(loaded_ratios), ">= 1", np.median(loaded_ratios) >= 1
    )  # fmt: skip


def available_cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@contextmanager
def busy_core():
    """Keep one core busy with another process, the last one where that can be asked for."""
    process = subprocess.Popen([sys.executable, "-c", SPIN])
    try:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
        yield
    finally:
        process.kill()
        process.wait()


def prediction(seeds):
    """Outputs of 10,000 sequences, as a share of the gemm limit by the arithmetic of the forward sweep."""
    met = True
    for dtype in ("float32", "float64"):
        network, (sequences, _) = network_of(PREDICTION, dtype), problem(PREDICTION, dtype)
        shares = shares_of_limit(
            lambda network=network, sequences=sequences: network.outputs(sequences), flops.forward(PREDICTION), dtype
        )  # fmt: skip
        met &= report(
            f"{PREDICTION} {dtype}: share of the gemm limit", median_and_range(shares), ">= 0.7",
            np.median(shares) >= 0.7,
        )  # fmt: skip
    return met


def factorisation(seeds):
    """Share of an iteration that goes into the Cholesky factors of both layers, timed on their own in turn with it."""
    met = True
    for B, N in ((125, 28), (16, 8)):
        for n in (128, 512, 1024, 2048):
            size = Size(n=n, B=B, N=N, d=28, K=10)
            n_batches = 4 if n <= 512 else 1
            with Training(size, "float32", n_batches) as training:
                factors = [Factor(order) for order in (size.m, n + 1)]
                shares = []
                for _ in range(ROUNDS):
                    iteration = seconds_of(training.epoch) / n_batches
                    shares.append(sum(factor.seconds() for factor in factors) / iteration)
            met &= report(
                f"{size}: share of the factorisation", median_and_range(shares, 3), "<= 0.25", np.median(shares) <= 0.25
            )
    return met


class Factor:
    """?potrf on a matrix of some order, as the kernel calls it."""

    def __init__(self, order, dtype="float32"):
        inputs = np.random.default_rng(0).normal(size=(order + 16, order))
        self._matrix = np.asfortranarray(inputs.T @ inputs / len(inputs) + np.eye(order), dtype)
        self._room = np.empty_like(self._matrix)
        self._potrf = lapack.get_lapack_funcs("potrf", dtype=np.dtype(dtype))

    def seconds(self):
        """Factorise once; the copy that is overwritten is made before."""
        self._room[:] = self._matrix
        return seconds_of(lambda: self._potrf(self._room, lower=False, clean=False, overwrite_a=True))


SECTIONS = (rollout_speed, large_speed, small, torch_speed, threads, prediction, factorisation)
