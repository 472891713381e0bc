"""Every figure that the project claims, by one command: ``python -m bench.accept [section ...]``.

``--help`` lists the sections; all of them by default (the paper's tables are in `bench.paper`, races against other
libraries in `bench.race`).  MNIST, Japanese Vowels and OSULeaf are read from the folder that ADMMIRNN_DATA names.
Everything runs on one BLAS thread; accuracies and losses are those of the network's roll-out on data that it was not
trained on, except where they are called auxiliary.
"""

import argparse
import os
import platform
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy
import sklearn
from scipy.linalg import get_blas_funcs
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, RepeatedStratifiedKFold, train_test_split

import admmirnn
from admmirnn import Algorithm1, RNNClassifier, Rollout, backend
from admmirnn.data.sequences import Sequences
from admmirnn.datasets import load_digits, load_japanese_vowels, load_mnist
from admmirnn.losses import SoftmaxCrossEntropy
from admmirnn.networks import ElmanRNN
from admmirnn.networks.blocks import weights_of
from admmirnn.solvers.algorithm1.solver import BACKWARD, FORWARD
from admmirnn.solvers.algorithm1.variables import SweepSettings, Variables
from bench import device, forecasts, gated, learning
from bench import memory as memory_use
from bench import sequences as sequence_problems
from bench import speed as speed_of_rollout
from bench import streaming as speed_of_streams
from bench.measure import backend_named, blas_kernel, processor, report, spread
from bench.paper.released import o_steps_alone

GOLDEN = Path(__file__).parent.parent / "tests" / "golden" / "rollout.npz"
MNIST_TARGETS = {1: 0.983, 3: 0.988, 10: 0.990}


def timed_fit(model, X, y):
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    return time.perf_counter() - started


def golden(seeds):
    """Both golden roll-out cases, on both back ends and in both precisions, through the estimator."""
    case = np.load(GOLDEN)
    X = [x[:length] for x, length in zip(case["X"], case["lengths"], strict=True)]
    met = True
    for name in ("compiled", "numpy"):
        with backend_named(name):
            for dtype, tolerance in (("float64", 1e-9), ("float32", 1e-4)):
                for kind, radius in (("free", None), ("radius", float(case["radius"]))):
                    solver = Rollout(
                        rho=float(case["rho"]),
                        r=float(case["r"]),
                        damping=float(case["damping"]),
                        radius=radius,
                        output_radius=radius,
                        momentum=0.0,
                        multiplier_cap=None,
                        schedule="constant",
                        metric="identity",
                    )
                    model = RNNClassifier(
                        5,
                        solver=solver,
                        max_epochs=1,
                        batch_size=len(X),
                        shuffle=False,
                        dtype=dtype,
                        penalty=0.0,
                        init={name: case[name] for name in "UWbVc"},
                    ).fit(X, case["y"])
                    error = max(np.abs(getattr(model, f"{name}_") - case[f"{name}_{kind}"]).max() for name in "UWbVc")
                    met &= report(f"golden {kind}, {name}, {dtype}", f"{error:.1e}", tolerance, error <= tolerance)
    return met


def gradient(seeds):
    """Statistics L at rho = 1e6 against central differences of the loss: see tests/test_multipliers.py."""
    import subprocess

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_multipliers.py"]
    done = subprocess.run(command, cwd=GOLDEN.parents[2], capture_output=True, text=True)
    return report("multipliers = gradient", done.stdout.strip().splitlines()[-1], "all pass", done.returncode == 0)


def digits(seeds):
    """Digits, 80/20 stratified, default settings."""
    X, y = load_digits()
    accuracies, seconds = [], []
    for seed in seeds(5):
        X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=seed)
        model = RNNClassifier(random_state=seed)
        seconds.append(timed_fit(model, X_train, y_train))
        accuracies.append(model.score(X_test, y_test))
    met = report("digits, held-out accuracy", spread(accuracies), ">= 0.988", np.mean(accuracies) >= 0.988)
    return met & report("digits, seconds per fit", f"longest {max(seconds):.2f}", "< 2", max(seconds) < 2)


def mnist(seeds):
    """Row MNIST, first 55,000 for training, hidden 128, defaults apart from max_epochs."""
    X, y = load_mnist("train")
    X_test, y_test = load_mnist("test")
    met = True
    for epochs, target in MNIST_TARGETS.items():
        accuracies, seconds = [], []
        for seed in seeds(3):
            model = RNNClassifier(max_epochs=epochs, random_state=seed)
            seconds.append(timed_fit(model, X[:55000], y[:55000]))
            accuracies.append(model.score(X_test, y_test))
        name = f"MNIST rows, {epochs} epoch(s), test accuracy"
        met &= report(name, spread(accuracies), f">= {target}", np.mean(accuracies) >= target)
        print(f"           {np.median(seconds):.1f} s a fit")
    return met


def speed(seeds):
    """One epoch of row MNIST, compiled kernels against the numpy twin, in turn."""
    X, y = load_mnist("train")
    seconds = {"compiled": [], "numpy": []}
    for seed in seeds(5):
        for name, found in seconds.items():
            with backend_named(name):
                found.append(timed_fit(RNNClassifier(max_epochs=1, random_state=seed), X[:55000], y[:55000]))
    ratios = np.divide(seconds["compiled"], seconds["numpy"])
    found = f"median {np.median(ratios):.3f}, {ratios.min():.3f} to {ratios.max():.3f}"
    medians = ", ".join(f"{name} {np.median(found):.2f} s" for name, found in seconds.items())
    return report("one epoch, compiled / numpy twin", f"{found} ({medians})", "<= 0.75", np.median(ratios) <= 0.75)


def vowels(seeds):
    """Japanese Vowels, standardised by the training set; read-out by cross-validation, and by default."""
    X, y = load_japanese_vowels("train")
    X_test, y_test = load_japanese_vowels("test")
    steps = np.concatenate(X)
    X, X_test = ([(x - steps.mean(axis=0)) / steps.std(axis=0) for x in part] for part in (X, X_test))
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=4, random_state=seeds(1)[0])
    model = RNNClassifier(random_state=seeds(1)[0])
    search = GridSearchCV(model, {"readout": ["last", "mean", "max"]}, cv=folds, refit=False).fit(X, y)
    for readout, accuracy in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True):
        print(f"           {accuracy:.4f} in {folds.get_n_splits()} folds with {readout}", flush=True)
    met = True
    for settings, target in (({}, 0.986), (search.best_params_, 0.986)):
        models = [RNNClassifier(random_state=seed, **settings).fit(X, y) for seed in seeds(10)]
        accuracies = [model.score(X_test, y_test) for model in models]
        name = f"Japanese Vowels, {settings or 'defaults'}, test accuracy"
        met &= report(name, spread(accuracies), f">= {target}", np.mean(accuracies) >= target)
    return met


def robustness(seeds):
    """50,000 MNIST sequences, one epoch: batch size, damping and scale of W; and no radius at all."""
    X, y = load_mnist("train")
    X, y = X[:50000], y[:50000]
    test = load_mnist("test")
    seed = seeds(1)[0]

    def run(scale=1.0, batch_size="auto", **settings):
        W = ElmanRNN.random(28, 128, 10, random_state=np.random.RandomState(seed)).weights["W"] * np.float32(scale)
        model = RNNClassifier(
            cell="elman",
            max_epochs=1,
            batch_size=batch_size,
            init={"W": W},
            solver=Rollout(**settings),
            random_state=seed,
        )
        timed_fit(model, X, y)
        finite = all(np.isfinite(getattr(model, f"{name}_")).all() for name in "UWbVc")
        finite &= all(np.isfinite(record["rollout_loss"]) for record in model.history_)
        return model.score(*test), finite, sum(record["rollbacks"] for record in model.history_)

    grid = []
    for batch_size in (100, 250, 1000):
        for damping in (0.01, 0.3):
            for scale in (0.5, 1.0, 1.5):
                grid.append(run(scale, batch_size, damping=damping))
                accuracy, _, rollbacks = grid[-1]
                print(
                    f"           batch {batch_size:4}, damping {damping:4}, orthogonal W times {scale}: "
                    f"{accuracy:.4f}, {rollbacks} rollbacks",
                    flush=True,
                )
    accuracies = np.array([accuracy for accuracy, _, _ in grid])
    met = report("18 runs, worst accuracy", f"{accuracies.min():.4f}", ">= 0.9", accuracies.min() >= 0.9)
    print(f"           {int((accuracies > 0.97).sum())} of them above 0.97")
    finite = all(finite for _, finite, _ in grid)
    for r in (0.5, 1.0, 5.0):
        accuracy, is_finite, rollbacks = run(r=r, radius=None, output_radius=None)
        finite &= is_finite
        name = f"r = {r}, no radius, test accuracy"
        met &= report(name, f"{accuracy:.4f}, {rollbacks} rollbacks in the history", "> 0.5", accuracy > 0.5)
    return met & report("weights and losses finite in all 21 runs", finite, True, finite)


def repeat(seeds):
    """Two fits with one seed."""
    X, y = load_digits()
    first, second = (RNNClassifier(random_state=seeds(1)[0]).fit(X, y) for _ in range(2))
    same = all(
        np.array_equal(one, other)
        for one, other in zip(*(weights_of(one).values() for one in (first, second)), strict=True)
    )
    return report("two fits, one seed: weights bit-identical", same, True, same)


def blocks(seeds):
    """The golden case of Algorithm 1: every block update alone, on both back ends, float64."""
    case = np.load(GOLDEN.with_name("algorithm1.npz"))
    at = SweepSettings(*(float(case[name]) for name in ("rho1", "rho2", "rho3", "nu", "r")))
    updates = {  # block letters, what they write, options
        "o_new": ("o", "O", {}),
        "o_new_linearised": ("o", "O", {"linearised": True}),
        "c_new": ("c", "c", {}),
        "V_new": ("V", "V", {}),
        "s_new": ("s", "s", {}),
        "a_new": ("a", "A", {}),
        "a_new_linear_trick": ("a", "A", {"linear": True}),
        "b_new": ("b", "b", {}),
        "W_new": ("W", "W", {}),
        "U_new": ("U", "U", {}),
    }
    worst = {}
    for name in ("compiled", "numpy"):
        with backend_named(name) as kernels:
            for key, (block, written, options) in updates.items():
                network, variables = _golden_variables(kernels, case)
                first = variables.n_steps - 1 if block in "cVbWU" else 0
                kernels.sweep(variables, replace(at, **options), block.encode(), first, variables.n_steps)
                found = {"O": variables.O, "A": variables.A, "s": variables.H[:, :-1]} | network.weights
                worst[name, key] = np.abs(found[written] - case[key]).max()
            network, variables = _golden_variables(kernels, case)
            residuals = variables.residuals(kernels, "tanh")
            variables.update_multipliers(at, *(residual[-1:] for residual in residuals))
            for i, multiplier in enumerate(variables.multipliers, 1):
                worst[name, f"lambda{i}_new"] = np.abs(multiplier[0] - case[f"lambda{i}_new"]).max()
    largest = max(worst.values())
    return report(f"largest error of {len(worst)} block updates", f"{largest:.1e}", "<= 1e-9", largest <= 1e-9)


def _golden_variables(kernels, case):
    """The golden state of Algorithm 1: one sequence of 5 steps with a label at each."""
    network = ElmanRNN.of_weights({name: case[name] for name in "UWbVc"})
    sequences = Sequences.of_lengths(case["X"], [len(case["X"])])
    variables = Variables.of_sequences(
        kernels, network, sequences, np.arange(1), case["y"].astype(np.intp), np.ones(1), SoftmaxCrossEntropy()
    )
    variables.A[:], variables.O[:], variables.H[:, :-1] = case["a"], case["o"], case["s"]
    variables.Z[1:, network.n_features : -1] = case["s"]
    for i, multiplier in enumerate(variables.multipliers, 1):
        multiplier[:] = case[f"lambda{i}"]
    return network, variables


def sweep(seeds):
    """Seconds of an iteration of Algorithm 1 (all that `Algorithm1.solve` does in one), n 128, d 61, K 61, B 1."""
    met = True
    for dtype in ("float32", "float64"):
        naive, compiled = (_seconds_of_iteration(name, 25, dtype, seeds) for name in ("numpy", "compiled"))
        ratio = naive / compiled
        met &= report(
            f"{dtype}, N = 25: naive numpy sweep / compiled",
            f"{1e3 * naive:.1f} ms / {1e3 * compiled:.2f} ms = {ratio:.1f}",
            ">= 20",
            ratio >= 20,
        )
        short, long = (_seconds_of_iteration("compiled", N, dtype, seeds) for N in (200, 400))
        met &= report(f"{dtype}, N = 400 / N = 200", f"{long / short:.2f}", "<= 2.3", long / short <= 2.3)
    return met


def _seconds_of_iteration(name, N, dtype, seeds):
    with backend_named(name):
        random_state = np.random.RandomState(seeds(1)[0])
        network = ElmanRNN.random(61, 128, 61, dtype=np.dtype(dtype), random_state=random_state)
        X = np.eye(61, dtype=dtype)[random_state.randint(0, 61, N)]
        labels = random_state.randint(0, 61, N)
        outcome = Algorithm1(r=100.0).solve(
            network, Sequences.of_lengths(X, [N]), labels, SoftmaxCrossEntropy(), max_epochs=21
        )  # fmt: skip
    return float(np.median([record["seconds"] for record in outcome.history]))


def o_steps(seeds):
    """19 linearised o-steps (each with the exact c-step), one sequence of one step, 10 classes, from o = 0."""
    met = True
    for rho3, published in ((0.1, 3.776e-4), (10.0, 0.9984)):
        loss = o_steps_alone(rho3, 19)[-1]
        error = abs(loss / published - 1)
        met &= report(f"rho3 = {rho3:g}: auxiliary loss", f"{loss:.4e}", f"{published:.4g} within 1 %", error < 0.01)
    return met


def algorithm1_speed(seeds):
    """Share of the gemm limit of an iteration of Algorithm 1, n 128, d 28, K 10, N 28, B 100, a label at every step."""
    # processor seconds of the one thread: other programs take less from it; the limit is measured after each iteration
    sizes = dict(N=28, d=28, n=128, K=10, B=100)
    flops = algorithm1_flops(**sizes)
    met = True
    for dtype in ("float32", "float64"):
        iterations, limits, sweeps = [], [], []
        for seed in seeds(3):
            for found, more in zip(
                (iterations, limits, sweeps), _seconds_and_limits(dtype, seed, **sizes), strict=True
            ):
                found += more
        iteration, limit, sweep = np.median(iterations), max(limits), np.median(sweeps)
        share = flops / iteration / limit
        met &= report(
            f"{dtype}, share of the gemm limit",
            f"{flops / 1e9:.3f} GF in {1e3 * iteration:.1f} ms (of which the sweep {1e3 * sweep:.1f} ms) = "
            f"{flops / iteration / 1e9:.1f} of {limit / 1e9:.1f} GF/s = {share:.2f}",
            ">= 0.5",
            share >= 0.5,
        )
    return met


def algorithm1_flops(N, d, n, K, B):
    """Floating-point operations that an iteration of Algorithm 1 needs in its matrix products, with m = d + n + 1.

    A product of (p, q) and (q, r) has 2 p q r.  At each of the N steps, backward and forward, so twice:

    ==================================  ===================================================
    a_t - Z_t Theta^T                   2 B m n
    gradient of Theta, a_t changed      2 B m n
    Z^T (change of s_t)                 2 B m n, for the gram matrices of both layers
    gradients, s_t changed              2 B n n and 2 B n K: (change of s_t)^T a_{t+1}, o_t
    gradient of Psi, gram changed       2 (n + 1)^2 K
    o_t - H_t Psi^T, twice              4 B (n + 1) K: for the s-step and the o-step
    V^T e_t                             2 B n K
    gradient of Psi, o_t changed        2 B (n + 1) K
    gradients after the W- and V-step   2 m n n and 2 (n + 1) n K
    gradients after the b- and c-step   2 m n and 2 (n + 1) K
    ==================================  ===================================================

    At each step once, because the forward s-step at t and the backward one at t + 1 are together and so are the two
    U-steps, which need the gradient of U alone in between:

    ==================================  ===================================================
    gradient of Theta, gram changed     2 n (n m + (d + 1) n): the part that x_t and 1 have in gram stays
    gradient after the U-steps          2 m d n + 2 d d n
    ==================================  ===================================================

    Once an iteration, with R = N B rows: the sums start anew, and the record needs residuals and a roll-out.

    ==================================  ===================================================
    gradients from the residuals        2 R m n + 2 R (n + 1) K
    gram matrices, up to the diagonal   R m (m + 1); what the two layers have in common is counted once
    residuals                           2 R m n + 2 R (n + 1) K; the next iteration could start from these
    roll-out                            2 R m n + 2 B (n + 1) K
    ==================================  ===================================================

    Not counted: everything entry by entry (tanh, the proximal steps, copies), sums of squares, and what the kernels do
    beyond this list, which is the residuals once more, the gram matrix of h_t, and the upper halves.
    """
    m, R = d + n + 1, N * B
    twice = 3 * B * m * n + B * n * (n + K) + (n + 1) ** 2 * K + 3 * B * (n + 1) * K + B * n * K
    twice += m * n * n + (n + 1) * n * K + m * n + (n + 1) * K
    once = n * (n * m + (d + 1) * n) + m * d * n + d * d * n
    start_and_record = 3 * R * m * n + 2 * R * (n + 1) * K + R * m * (m + 1) // 2 + B * (n + 1) * K
    return 2 * (N * (2 * twice + once) + start_and_record)


def _seconds_and_limits(dtype, seed, N, d, n, K, B):
    """Seconds of 10 iterations, the gemm limit after each of them, and seconds of 10 sweeps alone."""
    random_state = np.random.RandomState(seed)
    sequences = Sequences.of_lengths(random_state.uniform(size=(N * B, d)).astype(dtype), [N] * B)
    labels = random_state.randint(0, K, N * B)
    network = ElmanRNN.random(d, n, K, dtype=np.dtype(dtype), random_state=random_state)
    solver, loss = Algorithm1(r=10.0), SoftmaxCrossEntropy()
    iterations, limits, sweeps, started = [], [], [], [time.process_time()]

    def after_iteration(record):
        iterations.append(time.process_time() - started[0])
        limits.append(_gemm_limit(dtype))
        started[0] = time.process_time()

    solver.solve(network, sequences, labels, loss, max_epochs=11, on_epoch_end=after_iteration)
    with backend.one_blas_thread():
        kernels = backend.kernels()
        variables = Variables.of_sequences(kernels, network, sequences, np.arange(B), labels, np.ones(B), loss)
        variables.roll_out(kernels, "tanh")
        for _ in range(11):
            begun = time.process_time()
            kernels.sweep(variables, SweepSettings(1.0, 1.0, 1.0, 0.1, 10.0), BACKWARD + FORWARD, 0, N)
            sweeps.append(time.process_time() - begun)
    return iterations[1:], limits[1:], sweeps[1:]  # the first ones warm up


def _gemm_limit(dtype):
    """The most operations a second of 500 x 128 x 128 and 512 x 512 x 512 products, several of each."""
    best = 0.0
    for rows, columns, times in ((500, 128, 20), (512, 512, 2)):
        A, B = np.ones((rows, columns), dtype, "F"), np.ones((columns, columns), dtype, "F")
        C = np.zeros((rows, columns), dtype, "F")
        gemm = get_blas_funcs("gemm", (A, B))
        for _ in range(times):
            begun = time.process_time()
            gemm(1.0, A, B, beta=1.0, c=C, overwrite_c=True)
            best = max(best, 2 * rows * columns**2 / (time.process_time() - begun))
    return best


def memory(seeds):
    """Allocations of a fit beyond the data, and the resident memory of training on a mapped file of 4 GB."""
    return memory_use.check(report)


SECTIONS = (
    golden,
    gradient,
    digits,
    mnist,
    speed,
    vowels,
    robustness,
    repeat,
    blocks,
    sweep,
    o_steps,
    algorithm1_speed,
    memory,
    *learning.SECTIONS,
    *sequence_problems.SECTIONS,
    *gated.SECTIONS,
    *speed_of_rollout.SECTIONS,
    *speed_of_streams.SECTIONS,
    *device.SECTIONS,
    *forecasts.SECTIONS,
)


def main():
    names = [section.__name__ for section in SECTIONS]
    parser = argparse.ArgumentParser(prog="python -m bench.accept", description=__doc__)
    parser.add_argument("sections", nargs="*", choices=[*names, []], help="which ones (default: all)")
    parser.add_argument("--first-seed", type=int, default=0, help="seeds count from here (default: %(default)s)")
    options = parser.parse_args()

    def seeds(n):
        return range(options.first_seed, options.first_seed + n)

    print(
        f"admmirnn {admmirnn.__version__}, Python {platform.python_version()}, numpy {np.__version__}, "
        f"scipy {scipy.__version__}, scikit-learn {sklearn.__version__}; {processor()}, {os.cpu_count()} cores, "
        f"one BLAS thread, {blas_kernel()}"
    )
    met = True
    for section in SECTIONS:
        if options.sections and section.__name__ not in options.sections:
            continue
        print(f"\n{section.__name__}: {section.__doc__}", flush=True)
        met &= section(seeds)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
