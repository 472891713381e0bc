"""What the solver learns on line, from bad starts, in other sizes, from few values: more sections of `bench.accept`.

Accuracies and losses are of data that were not trained on, means over seeds with their standard deviation.
"""

import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from admmirnn import RNNClassifier, RNNRegressor, Rollout
from admmirnn.datasets import load_digits, load_japanese_vowels, load_mnist
from bench.choices import deviation, frequency, peak, plain_sum, weighted_sum
from bench.measure import report, spread

WIDTHS = {16: 0.91, 256: 0.987}
BAD_STARTS = {0.01: 0.98, 0.3: 0.98, 2.0: 0.975, 3.0: 0.92}
REGRESSIONS = (frequency, deviation, weighted_sum, peak, plain_sum)


def fitted_on_mnist(seed, n=128, **options):
    """A network after one epoch of the first 55,000 images, and the test images and the places of their classes."""
    X, y = load_mnist("train")
    X_test, y_test = load_mnist("test")
    model = RNNClassifier(n, max_epochs=1, random_state=seed, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X[:55000], y[:55000])
    return model, X_test, np.searchsorted(model.classes_, y_test)


def ten_seeds(seeds):
    """Row MNIST, 128 units, one epoch: the test loss of ten seeds, and its spread."""
    losses, accuracies = [], []
    for seed in seeds(10):
        model, X_test, right = fitted_on_mnist(seed)
        p = model.predict_proba(X_test)
        losses.append(-np.log(p[np.arange(len(p)), right]).mean())
        accuracies.append(np.mean(p.argmax(axis=1) == right))
    mean, deviation_of_losses = np.mean(losses), np.std(losses, ddof=1)
    print(f"           test accuracy {spread(accuracies)}")
    met = report("MNIST rows, 1 epoch, mean test loss", f"{mean:.4f}", "<= 0.060", mean <= 0.06)
    return met & report(
        "the same, standard deviation", f"{deviation_of_losses:.4f}", "<= 0.004", deviation_of_losses <= 0.004
    )


def widths(seeds):
    """Row MNIST, one epoch, other numbers of units."""
    met = True
    for n, target in WIDTHS.items():
        accuracies, seconds = [], []
        for seed in seeds(3):
            started = time.process_time()
            model, X_test, right = fitted_on_mnist(seed, n)
            seconds.append(time.process_time() - started)
            accuracies.append(np.mean(model.predict_proba(X_test).argmax(axis=1) == right))
        name = f"MNIST rows, {n} units, 1 epoch, test accuracy"
        met &= report(name, spread(accuracies), f">= {target}", np.mean(accuracies) >= target)
        print(f"           {np.median(seconds):.1f} s of the processor a fit")
    return met


def bad_starts(seeds):
    """Row MNIST, one epoch from a Gaussian W of another scale."""
    met = True
    for scale, target in BAD_STARTS.items():
        accuracies = []
        for seed in seeds(3):
            W = np.random.RandomState(seed).normal(size=(128, 128)) / np.sqrt(128)
            model, X_test, right = fitted_on_mnist(seed, init={"W": scale * W})
            accuracies.append(np.mean(model.predict_proba(X_test).argmax(axis=1) == right))
        name = f"Gaussian W times {scale}, test accuracy"
        met &= report(name, spread(accuracies), f">= {target}", np.mean(accuracies) >= target)
    return met


def learn_on_line(X, y, X_test, y_test, size, seed, passes=8, more=3, metric="multipliers"):
    """Accuracies after each pass in calls of ``size`` sequences; in the last ``more`` passes all labels are others.

    Returns
    -------
    list of float
        Held-out accuracies, by the labels in force.
    int
        How often the solver has gone back.
    """
    random_state = np.random.RandomState(seed)
    classes, y = np.unique(y, return_inverse=True)
    y_test = np.searchsorted(classes, y_test)
    model = RNNClassifier(solver=Rollout(metric=metric), random_state=seed)
    other_law = random_state.permutation(len(classes))
    accuracies, rollbacks = [], 0
    for epoch in range(passes + more):
        law = other_law if epoch >= passes else np.arange(len(classes))
        for some in np.array_split(random_state.permutation(len(X)), len(X) // size):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.partial_fit([X[i] for i in some], law[y[some]], classes=np.arange(len(classes)))
            rollbacks += model.history_[-1]["rollbacks"]
        accuracies.append(model.score(X_test, law[y_test]))
    return accuracies, rollbacks


def online(seeds):
    """partial_fit: digits in calls of 36 and Japanese Vowels in calls of 27, eight passes; then all labels change."""
    X, y = load_digits()
    met = True
    for metric in ("multipliers", "identity"):
        runs = []
        for seed in seeds(4):
            X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=seed)
            runs.append(learn_on_line(X_train, y_train, X_test, y_test, 36, seed, metric=metric))
        at_the_end, after_two = ([accuracies[i] for accuracies, _ in runs] for i in (7, 9))
        if metric == "identity":
            print(f"           metric='identity', for comparison: {spread(at_the_end)}, then {spread(after_two)}")
            continue
        met &= report("digits after 8 passes", spread(at_the_end), ">= 0.975", np.mean(at_the_end) >= 0.975)
        name = "digits, two passes after labels have changed"
        met &= report(name, spread(after_two), ">= 0.95", np.mean(after_two) >= 0.95)
    X, y = load_japanese_vowels("train")
    X_test, y_test = load_japanese_vowels("test")
    steps = np.concatenate(X)
    X, X_test = ([(x - steps.mean(axis=0)) / steps.std(axis=0) for x in part] for part in (X, X_test))
    runs = [learn_on_line(X, y, X_test, y_test, 27, seed) for seed in seeds(4)]
    for name, i in (("after 8 passes", 7), ("two passes after labels have changed", 9)):
        print(f"           Japanese Vowels, {name}: {spread([accuracies[i] for accuracies, _ in runs])}")
    return met & stream_whose_law_changes(seeds)


def stream_whose_law_changes(seeds):
    """An autoregressive series whose sign flips half-way, in calls of 25 steps of 16 streams."""
    before, after = [], []
    for seed in seeds(3):
        random_state = np.random.RandomState(seed)
        model = RNNRegressor(stateful=True, random_state=seed, n_threads=1)
        x, found = np.zeros((16, 1)), []
        for call in range(400):
            coefficient, steps = (0.9 if call < 200 else -0.9), [x]
            for _ in range(25):
                steps.append(coefficient * steps[-1] + 0.3 * random_state.normal(size=(16, 1)))
            x, block = steps[-1], np.stack(steps, axis=1)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.partial_fit(block[:, :-1], block[:, 1:, 0])
            if call in (199, 279):  # against what can be foretold of the next block's start
                foretold = np.asarray(model.predict(block[:, :-1]))[:, 5:]
                known = coefficient * block[:, 5:-1, 0]
                found.append(1 - np.mean((foretold - known) ** 2) / np.var(known))
        before.append(found[0])
        after.append(found[1])
    met = report("AR(1), R^2 of the foretold mean, before the flip", spread(before), ">= 0.95", np.mean(before) >= 0.95)
    return met & report("the same, 80 calls after it", spread(after), ">= 0.95", np.mean(after) >= 0.95)


def regressions(seeds):
    """R^2 of five regressions of 1,200 sequences, defaults, against those of the scalar penalty with its own ridge."""
    met = True
    for make in REGRESSIONS:
        scores = {"multipliers": [], "identity": []}
        for metric, found in scores.items():
            for seed in seeds(3):
                X, y = make(np.random.default_rng(2000 + seed), 2200)
                model = RNNRegressor(solver=Rollout(metric=metric), random_state=seed)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    found.append(model.fit(X[:1200], y[:1200]).score(X[1200:], y[1200:]))
        ours, scalar = (np.mean(found) for found in scores.values())
        name = f"{make.__name__.replace('_', ' ')}: R^2, and with metric='identity'"
        met &= report(name, " / ".join(spread(found) for found in scores.values()), "no lower", ours >= scalar)
    return met


SECTIONS = (ten_seeds, widths, bad_starts, online, regressions)
