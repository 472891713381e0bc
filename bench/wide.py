"""Many features: ``[ADMMIRNN_DATA=...] python -m bench.wide cost|loss|sparse [--d N ...]``.

``cost`` is what an iteration takes, in processor time and in memory at its peak, of 125 sequences of 20 steps, 64
units, in a process for each, with G in blocks or whole; the minibatch is dense in it.  ``sparse`` is what fits to 1,000
such sequences take, 20 of whose features at each step are 1, in an array and in sparse matrices, in a process for
each: the least processor time of an epoch, for each of its 8 iterations, and the most memory at once, observations
included, while it is fitted and while it predicts.  ``loss`` is the mean loss of held-out sequences, and that
of the last epoch of training, after as many epochs with either, over three seeds, of

* ``words``: the text's words as counts of their groups of letters, hashed to d features, and the first letters of the
  words that follow;
* ``rule``: counts of rare features, and a class that depends on all steps, by a network that is drawn;
* ``images``: of each step images of MNIST of one class side by side, 784 pixels each, as many as come nearest to d, and
  how many of the classes were even.
"""

import argparse
import re
import subprocess
import sys
import time
import tracemalloc
import warnings
import zlib

import numpy as np
from scipy.sparse import csr_array

from admmirnn import RNNClassifier, Rollout, backend
from admmirnn.data.sequences import Sequences
from admmirnn.datasets import load_mnist, load_text
from admmirnn.losses import SoftmaxCrossEntropy
from admmirnn.networks import ElmanRNN
from admmirnn.solvers.rollout.iteration import Fit
from admmirnn.solvers.rollout.order import Shuffled
from admmirnn.solvers.rollout.problem import Problem

WIDTHS = (1000, 3000, 20_000)
BLOCKS = {"one G": None, "blocks of 512": 512, "single features": 1}
SETTLED = 20  # minibatches: G is no longer of all steps
SEEDS = 3
EPOCHS = 10


def cost_of(d, block, n=64, n_sequences=125, n_steps=20):
    """Processor seconds of an iteration, the mean of two, one of which factorises G, and the most bytes at once."""
    rng = np.random.default_rng(0)
    X = np.zeros((n_sequences * n_steps, d), np.float32)
    X[np.arange(len(X))[:, None], rng.integers(0, d, (len(X), 20))] = 1
    sequences, y = Sequences.of_lengths(X, [n_steps] * n_sequences), rng.integers(0, 10, n_sequences)
    network = ElmanRNN.random(d, n, 10, dtype=np.float32, random_state=np.random.RandomState(0))
    order = Shuffled(network, sequences, n_sequences, False, None)
    tracemalloc.start()
    with backend.one_blas_thread():
        fit = Fit(Rollout(gram_block=block), Problem(network, order, y, SoftmaxCrossEntropy(), n_iterations=100))
        indices = np.arange(n_sequences)
        for i in range(3):
            if i == 1:
                fit.n_remembered, start = SETTLED, time.process_time()
            fit.take(indices)
            fit.sweep_forward()
            fit.sweep_backward()
            fit.agree()
            fit.decide()
            fit.fold()
            fit.update_weights()
    seconds, peak = (time.process_time() - start) / 2, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seconds, peak


def report_cost(widths):
    for d in widths:
        for name, block in BLOCKS.items():
            if block is None or block < d:
                code = f"from bench.wide import cost_of; print(*cost_of({d}, {block}))"
                done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
                seconds, n_bytes = map(float, done.stdout.split())
                print(f"d = {d}, {name}: {seconds:.3f} s for each iteration, {n_bytes / 1e6:.0f} MB", flush=True)


def cost_of_form(d, form, n=64, n_sequences=1000, n_steps=20, n_epochs=4):
    """Processor seconds of an iteration of a fit to an "array" or "sparse", and its most bytes, and of predictions."""
    rng = np.random.default_rng(0)
    tracemalloc.start()
    starts, ones = np.arange(0, 20 * n_steps + 1, 20), np.ones(20 * n_steps, np.float32)
    X = [csr_array((ones, rng.integers(0, d, len(ones)), starts), shape=(n_steps, d)) for _ in range(n_sequences)]
    for x in X:
        x.sum_duplicates()
        x.data[:] = 1
    if form == "array":
        array = np.empty((n_sequences, n_steps, d), np.float32)
        for i, x in enumerate(X):
            array[i] = x.toarray()
        X = array
    times = []
    model = RNNClassifier(n, cell="elman", max_epochs=n_epochs, batch_size=125, standardize=False, random_state=0)
    model.set_params(callbacks=[lambda _: times.append(time.process_time())])
    model.fit(X, rng.integers(0, 10, n_sequences))
    of_fit = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    model.predict(X)
    of_predict = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return min(np.diff(times)) / -(-n_sequences // 125), of_fit, of_predict


def report_sparse(widths):
    for d in widths:
        for form in ("array", "sparse"):
            code = f"from bench.wide import cost_of_form; print(*cost_of_form({d}, {form!r}))"
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
            )
            seconds, of_fit, of_predict = map(float, done.stdout.split())
            print(
                f"d = {d}, {form}: {seconds:.3f} s for each iteration, {of_fit / 1e6:.0f} MB in fit, "
                f"{of_predict / 1e6:.0f} MB in predict",
                flush=True,
            )


def words(d, seed):
    """Sequences of 20 words, of which the last tenth is held out, and the first letters of those that follow each."""
    found = re.findall(r"[a-z]+", load_text().lower())
    counts = np.zeros((len(found), d), np.float32)
    for row, word in zip(counts, found, strict=True):
        groups = [f"<{word}>"[j : j + k] for k in (2, 3, 4) for j in range(len(word) + 3 - k)]
        np.add.at(row, [zlib.crc32(group.encode()) % d for group in groups], 1)
    n = (len(found) - 1) // 20
    first = np.array([ord(word[0]) - ord("a") for word in found])
    return counts[: 20 * n].reshape(n, 20, d), first[1 : 20 * n + 1].reshape(n, 20), int(0.9 * n)


def rule(d, seed, n=2400, n_steps=10):
    """Counts of twelve features at each step, few of them often, and the class of a network that reads them."""
    rng = np.random.default_rng(seed)
    of_features = np.arange(1, d + 1) ** -0.7
    X = np.zeros((n * n_steps, d), np.float32)
    chosen = rng.choice(d, (len(X), 12), p=of_features / of_features.sum())
    np.add.at(X, (np.arange(len(X))[:, None], chosen), 1)
    X = X.reshape(n, n_steps, d)
    every, first = rng.normal(size=(2, d, 3)).astype(np.float32) / 3
    return X, (np.tanh(X @ every).sum(axis=1) + 2 * np.tanh(X[:, 0] @ first)).argmax(axis=1), 3 * n // 4


def images(d, seed, n=2400, n_steps=5):
    """As many images of a class at each step as have about d pixels, and at how many steps it was even."""
    rng = np.random.default_rng(seed)
    pixels, y = load_mnist("train")
    pixels, classes = pixels.reshape(len(y), -1), rng.integers(0, 10, (n, n_steps))
    of_class = [np.flatnonzero(y == c) for c in range(10)]
    chosen = np.array([[rng.choice(of_class[c], max(1, round(d / 784))) for c in row] for row in classes])
    return pixels[chosen].reshape(n, n_steps, -1) / np.float32(255), (classes % 2 == 0).sum(axis=1), 3 * n // 4


def losses_of(task, d, block, seed):
    """Mean loss of what is held out, that of the last epoch, and processor seconds of the fit."""
    X, y, n_train = task(d, seed)
    start = time.process_time()
    model = RNNClassifier(64, max_epochs=EPOCHS, random_state=seed, solver=Rollout(gram_block=block))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that pixels are as smooth as the steps of a series
        model.fit(X[:n_train], y[:n_train])
    seconds = time.process_time() - start
    p = model.predict_proba(X[n_train:]).reshape(-1, len(model.classes_))
    y = y[n_train:].ravel()
    is_known = np.isin(y, model.classes_)
    p = p[is_known, np.searchsorted(model.classes_, y[is_known])]
    return -np.log(np.maximum(p, 1e-12)).mean(), model.history_[-1]["rollout_loss"], seconds


def report_losses(widths):
    for d in widths:
        for task in (words, rule, images):
            for name, block in BLOCKS.items():
                if block is None or block < d:
                    found = np.array([losses_of(task, d, block, seed) for seed in range(SEEDS)])
                    mean, deviation = found.mean(axis=0), found.std(axis=0, ddof=1)
                    print(
                        f"{task.__name__}, d = {d}, {name}: held out {mean[0]:.3f} +- {deviation[0]:.3f}, last epoch "
                        f"{mean[1]:.4f} +- {deviation[1]:.4f}, {mean[2]:.1f} s",
                        flush=True,
                    )


def main():
    parser = argparse.ArgumentParser(
        prog="python -m bench.wide", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("section", choices=("cost", "loss", "sparse"))
    parser.add_argument("--d", nargs="+", type=int, help="features (default: some of 1000, 3000 and 20000)")
    options = parser.parse_args()
    if options.section == "cost":
        report_cost(options.d or WIDTHS)
    elif options.section == "sparse":
        report_sparse(options.d or WIDTHS[1:])
    else:
        report_losses(options.d or WIDTHS[:2])


if __name__ == "__main__":
    main()
