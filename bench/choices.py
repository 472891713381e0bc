"""Accuracy with other settings of the Gram matrix, and of the penalty: ``python -m bench.choices [--first-seed N]``.

What the defaults of `Rollout` and `RNNClassifier` were chosen by, on data that no test set has a part in:
cross-validation of Japanese Vowels' training set, splits of the digits, and the last 10,000 of MNIST's training images.
"""

import argparse

import numpy as np
from sklearn.model_selection import StratifiedKFold, train_test_split

from admmirnn import RNNClassifier, Rollout
from admmirnn.datasets import load_digits, load_japanese_vowels, load_mnist

SETTINGS = (
    {"solver__gram_every": 4, "solver__factor_every": 1},
    {"solver__gram_every": 4, "solver__factor_every": 2},
    {"solver__gram_every": 4, "solver__factor_every": 4},
    {"solver__gram_every": 4, "solver__factor_every": 8},
    {"solver__gram_every": 8, "solver__factor_every": 1},
    {"solver__gram_every": 8, "solver__factor_every": 2},
    {"solver__gram_every": 8, "solver__factor_every": 4},
    {"solver__gram_every": 16, "solver__factor_every": 1},
    {"penalty": 0.0},
    {"penalty": 0.1},
    {"penalty": 0.2},
    {"penalty": 0.3},
    {"penalty": 1.0},
)


def classifier(settings, **others):
    return RNNClassifier(solver=Rollout()).set_params(**settings, **others)


def vowels(settings, seeds):
    X, y = load_japanese_vowels("train")
    steps = np.concatenate(X)
    X = [(x - steps.mean(axis=0)) / steps.std(axis=0) for x in X]
    for seed in seeds[:4]:
        for train, rest in StratifiedKFold(5, shuffle=True, random_state=seed).split(y, y):
            model = classifier(settings, random_state=seed).fit([X[i] for i in train], y[train])
            yield model.score([X[i] for i in rest], y[rest])


def digits(settings, seeds):
    X, y = load_digits()
    for seed in seeds:
        X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=100 + seed)
        yield classifier(settings, random_state=seed).fit(X_train, y_train).score(X_test, y_test)


def mnist(settings, seeds):
    X, y = load_mnist("train")
    for seed in seeds[:3]:
        model = classifier(settings, max_epochs=1, random_state=seed).fit(X[:50000], y[:50000])
        yield model.score(X[50000:], y[50000:])


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.choices", description=__doc__)
    parser.add_argument("--first-seed", type=int, default=0, help="seeds count from here (default: %(default)s)")
    parser.add_argument("--only", choices=("gram_every", "penalty"), default="", help="the settings that say it")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + 8)
    for settings in SETTINGS:
        if options.only not in " ".join(settings):
            continue
        found = {task.__name__: list(task(settings, seeds)) for task in (vowels, digits, mnist)}
        accuracies = (f"{name} {np.mean(values):.4f} (sd {np.std(values):.4f})" for name, values in found.items())
        named = (f"{name.removeprefix('solver__')} {value}" for name, value in settings.items())
        print(", ".join(named), *accuracies, sep="; ", flush=True)


if __name__ == "__main__":
    main()
