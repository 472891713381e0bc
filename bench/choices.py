"""What other settings would do: ``python -m bench.choices [--only GROUP] [--tasks TASK ...] [--first-seed N]``.

What the defaults of `Rollout` and of the estimators were chosen by, on data that no test set has a part in:
cross-validation of the training sets of Japanese Vowels and OSULeaf, splits of the digits, the last 10,000 of MNIST's
training images, the last tenth of the text, and fresh sequences of five regressions.  A line has the mean over the
seeds and the standard deviation: of accuracies, of losses (mnist_loss), of R^2 (regressions), and bits per character.
"""

import argparse
import warnings
from functools import cache

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold, train_test_split

from admmirnn import CharacterModel, RNNClassifier, RNNRegressor, Rollout
from admmirnn.datasets import adding_problem, load_digits, load_japanese_vowels, load_mnist, load_osuleaf, load_text
from admmirnn.networks.cells import CELLS
from bench.sequences import vibrations

GROUPS = {
    "metric": [{"solver__metric": metric} for metric in ("multipliers", "identity")],
    "penalty": [{"penalty": penalty} for penalty in (0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)],
    "radius": [{"solver__radius": radius} for radius in (0.005, 0.007, 0.01, 0.014, 0.02)],
    "output_radius": [{"solver__output_radius": radius} for radius in (0.01, 0.02, 0.03, 0.05)],
    "damping": [{"solver__damping": damping} for damping in (0.03, 0.1, 0.2, 0.3)],
    "momentum": [{"solver__momentum": momentum} for momentum in (0.6, 0.7, 0.8, 0.9)],
    "gram_decay": [{"solver__gram_decay": decay} for decay in (0.8, 0.9, 0.95, 0.97)],
    "rho": [{"solver__rho": rho} for rho in (0.3, 1.0, 3.0)],
    "r": [{"solver__r": r} for r in (0.0, 1.0, 5.0)],
    "multiplier_cap": [{"solver__multiplier_cap": cap} for cap in (1.0, None)],
    "gram_every": [
        {"solver__gram_every": every, "solver__factor_every": factor_every}
        for every, factor_every in ((1, 1), (4, 1), (4, 2), (4, 4), (8, 1), (8, 2), (8, 4), (16, 1))
    ],
    "batch_size": [{"batch_size": batch_size} for batch_size in (36, 64, 125, 250, 500)],
    "cell": [{"cell": cell} for cell in CELLS],
    "cell_penalty": [
        {"cell": cell, "penalty": penalty} for cell in ("fastgrnn", "gru") for penalty in (0.05, 0.2, 0.5, 1.0, 2.0)
    ],
    "cell_readout": [
        {"cell": cell, "readout": readout}
        for cell in ("elman", "fastgrnn", "gru")
        for readout in ("last", "mean", "max")
    ],
    "n_networks": [{"n_networks": n} for n in (1, 2, 4, 8)],
    "forget_bias": [{"cell": "fastgrnn", "forget_bias": bias} for bias in (0.0, 1.0, 2.0, "chrono")],
}


def fitted(estimator, settings, X, y, **others):
    """An estimator with these settings; that the solver has gone back to earlier weights shows in the figures."""
    model = estimator(solver=Rollout(), **others).set_params(**settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


def vowels(settings, seeds):
    X, y = load_japanese_vowels("train")
    steps = np.concatenate(X)
    X = [(x - steps.mean(axis=0)) / steps.std(axis=0) for x in X]
    for seed in seeds[:4]:
        for train, rest in StratifiedKFold(5, shuffle=True, random_state=seed).split(y, y):
            model = fitted(RNNClassifier, settings, [X[i] for i in train], y[train], random_state=seed)
            yield model.score([X[i] for i in rest], y[rest])


def osuleaf(settings, seeds):
    X, y = load_osuleaf("train")
    X = (X - X.mean()) / X.std()
    form = {"hidden_size": 64, "max_epochs": 100, "readout": "mean", "frame": (10, 5)}
    for seed in seeds[:2]:
        for train, rest in StratifiedKFold(5, shuffle=True, random_state=seed).split(y, y):
            model = fitted(RNNClassifier, settings, X[train], y[train], random_state=seed, **form)
            yield model.score(X[rest], y[rest])


def digits(settings, seeds):
    X, y = load_digits()
    for seed in seeds:
        X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=100 + seed)
        yield fitted(RNNClassifier, settings, X_train, y_train, random_state=seed).score(X_test, y_test)


@cache
def _mnist(epochs, n, seed, *settings):
    X, y = load_mnist("train")
    model = fitted(
        RNNClassifier, dict(settings), X[:50000], y[:50000], hidden_size=n, max_epochs=epochs, random_state=seed
    )
    p = model.predict_proba(X[50000:])
    right = np.searchsorted(model.classes_, y[50000:])
    return np.mean(p.argmax(axis=1) == right), -np.log(p[np.arange(len(p)), right]).mean()


def mnist(settings, seeds):
    yield from (_mnist(1, 128, seed, *settings.items())[0] for seed in seeds[:3])


def mnist_loss(settings, seeds):
    yield from (_mnist(1, 128, seed, *settings.items())[1] for seed in seeds[:3])


def mnist_3_epochs(settings, seeds):
    yield from (_mnist(3, 128, seed, *settings.items())[0] for seed in seeds[:1])


def mnist_16_units(settings, seeds):
    yield from (_mnist(1, 16, seed, *settings.items())[0] for seed in seeds[:3])


def text(settings, seeds, n=128):
    characters = load_text()
    cut = int(0.9 * len(characters))
    for seed in seeds[:1]:
        model = fitted(CharacterModel, settings, characters[:cut], None, hidden_size=n, random_state=seed)
        yield model.bits_per_character(characters[cut:])


def text_256_units(settings, seeds):
    yield from text(settings, seeds, 256)


def text_512_units(settings, seeds):
    yield from text(settings, seeds, 512)


def frequency(rng, n):
    """The frequency of a noisy sine of 40 steps."""
    frequencies, phases = rng.uniform(0.02, 0.2, n), rng.uniform(0, 2 * np.pi, n)
    X = np.sin(2 * np.pi * frequencies[:, None] * np.arange(40) + phases[:, None])
    return (X + 0.3 * rng.normal(size=X.shape))[:, :, None], frequencies


def deviation(rng, n):
    """The logarithm of the deviation of an autoregressive series of 30 steps."""
    scales, coefficients = np.exp(rng.uniform(-1, 1, n)), rng.uniform(-0.5, 0.9, n)
    X, x = np.zeros((n, 30, 1)), np.zeros(n)
    for t in range(30):
        x = coefficients * x + rng.normal(size=n)
        X[:, t, 0] = scales * x
    return X, np.log(scales)


def weighted_sum(rng, n):
    """A sum of 25 steps of 4 channels, the later ones weighing more, with noise."""
    X = rng.normal(size=(n, 25, 4))
    y = (X * np.exp(-np.arange(25)[::-1] / 8)[:, None] * np.array([1, -1, 0.5, 0])).sum(axis=(1, 2))
    return X, y + 0.5 * y.std() * rng.normal(size=n)


def peak(rng, n):
    """How far the largest value of a random walk of 10 to 30 steps is above its mean."""
    X = [0.3 * rng.normal(size=(length, 1)).cumsum(axis=0) for length in rng.integers(10, 31, n)]
    return X, np.array([x.max() - x.mean() for x in X])


def plain_sum(rng, n):
    """A sum of 20 steps of two channels, without noise."""
    X = rng.normal(size=(n, 20, 2))
    return X, X[:, :, 0].sum(axis=1) + 0.5 * X[:, :, 1].sum(axis=1)


def vibration(settings, seeds):
    """Noisy series of 30 to 200 steps; which of three vibrations is in them shows all along."""
    for seed in seeds[:4]:
        X, y = vibrations(592, 2000 + seed)
        yield fitted(RNNClassifier, settings, X[:192], y[:192], random_state=seed).score(X[192:], y[192:])


def osuleaf_plain(settings, seeds):
    """OSULeaf as it is, 427 steps of one number, without a frame."""
    X, y = load_osuleaf("train")
    X = (X - X.mean()) / X.std()
    for seed in seeds[:1]:
        for train, rest in StratifiedKFold(5, shuffle=True, random_state=seed).split(y, y):
            yield fitted(RNNClassifier, settings, X[train], y[train], random_state=seed).score(X[rest], y[rest])


def adding(settings, seeds):
    """The logarithm (base 10) of the mean squared error of the adding problem of 100 steps, 20,000 sequences once."""
    for seed in seeds[:1]:
        X, y = adding_problem(22_000, 100, random_state=3000 + seed)
        model = fitted(RNNRegressor, settings, X[:20_000], y[:20_000], max_epochs=1, random_state=seed)
        yield np.log10(np.mean((model.predict(X[20_000:]) - y[20_000:]) ** 2))


def long_adding(settings, seeds):
    """The same of 400 steps, 50,000 sequences once."""
    for seed in seeds[:2]:
        X, y = adding_problem(52_000, 400, random_state=4000 + seed)
        model = fitted(RNNRegressor, settings, X[:50_000], y[:50_000], max_epochs=1, random_state=seed)
        yield np.log10(np.mean((model.predict(X[50_000:]) - y[50_000:]) ** 2))


def pixels(settings, seeds):
    """MNIST pixel by pixel, the first 20,000 images once, with gru."""
    X, y = load_mnist("train")
    X = X.reshape(len(X), -1, 1)
    for seed in seeds[:2]:
        model = fitted(
            RNNClassifier, {"cell": "gru"} | settings, X[:20_000], y[:20_000], max_epochs=1, random_state=seed
        )
        yield model.score(X[55_000:], y[55_000:])


def regression(make):
    """The task of 1,200 sequences of a regression, and 1,000 more to judge by."""

    def task(settings, seeds):
        for seed in seeds[:3]:
            X, y = make(np.random.default_rng(1000 + seed), 2200)
            model = fitted(RNNRegressor, settings, X[:1200], y[:1200], random_state=seed)
            yield model.score(X[1200:], y[1200:])

    return task


TASKS = {
    task.__name__: task
    for task in (
        *(vowels, osuleaf, osuleaf_plain, digits, vibration, adding),
        *(mnist, mnist_loss, mnist_3_epochs, mnist_16_units),
        *(text, text_256_units, text_512_units),
        *(pixels, long_adding),
    )
} | {make.__name__: regression(make) for make in (frequency, deviation, weighted_sum, peak, plain_sum)}
LONG_TASKS = ("pixels", "long_adding")  # which take minutes each


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.choices", description=__doc__)
    parser.add_argument("--first-seed", type=int, default=0, help="seeds count from here (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS), help="these settings")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, help="these tasks (default: all but the long ones)")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + 8)
    tasks = options.tasks or [name for name in TASKS if name not in LONG_TASKS]
    for group in options.only:
        for settings in GROUPS[group]:
            named = ", ".join(f"{name.removeprefix('solver__')} {value}" for name, value in settings.items())
            print(named, end="", flush=True)
            for name in tasks:
                values = list(TASKS[name](settings, seeds))
                print(f"; {name} {np.mean(values):.4f} (sd {np.std(values):.4f})", end="", flush=True)
            print()


if __name__ == "__main__":
    main()
