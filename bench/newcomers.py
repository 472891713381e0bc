"""Data as newcomers bring them, with default settings, and what the defaults cost: `python -m bench.newcomers`.

Sections are ``occupancy``, ``ensembles``, ``standardising``, and ``augmentation``: what ``augment`` gains.
"""

import argparse
import time
from functools import partial

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from admmirnn import RNNClassifier, sequences_from_table
from admmirnn.datasets import load_digits, load_japanese_vowels, load_osuleaf
from bench.measure import alternately, report, spread

SENSORS = ["Temperature", "Humidity", "Light", "CO2", "HumidityRatio"]
ROUNDS = 5


def occupancy_table(seed, n_days=12):
    """A synthetic office in the form of UCI's Occupancy Detection: a row a minute, five sensors, and if somebody is in.

    No number of that data set is in it.  People come and go on working days; they breathe CO2 and warm the room, which
    ventilation and the night take away again with time constants of an hour; they switch on the light, which some
    forget to switch off, and daylight is no sign of anybody.  All sensors have noise and are in units of their own.
    """
    rng = np.random.default_rng(seed)
    n = n_days * 24 * 60
    minute, day = np.arange(n) % (24 * 60), np.arange(n) // (24 * 60)
    occupied, lamp = np.zeros(n, bool), np.zeros(n, bool)
    for i in range(n_days):
        if i % 7 in (5, 6):
            continue
        begin = 60 * (7 + 2 * rng.random())
        while begin < 60 * 18:
            end = begin + rng.uniform(20, 180)
            of_stay = (day == i) & (minute >= begin) & (minute < min(end, 60 * 19))
            occupied |= of_stay
            if rng.random() < 0.85:
                lamp |= of_stay
            until = end + (rng.uniform(30, 150) if rng.random() < 0.35 else 0)  # forgotten
            lamp |= (day == i) & (minute >= end) & (minute < until)
            begin = end + rng.uniform(10, 90)
    daylight = np.clip(np.sin(np.pi * (minute / 60 - 7) / 10), 0, None) * rng.uniform(0.3, 1, n_days)[day]
    co2, warmth = np.zeros(n), np.zeros(n)
    people = occupied * rng.integers(1, 4, n_days)[day]
    for t in range(1, n):
        co2[t] = co2[t - 1] + (220.0 * people[t] - co2[t - 1]) / 60
        warmth[t] = warmth[t - 1] + (0.5 * people[t] + 1.5 * daylight[t] - warmth[t - 1]) / 90
    drift = rng.normal(size=n).cumsum() * 0.01
    temperature = 20 + warmth + drift + 0.1 * rng.normal(size=n)
    humidity = 27 + 0.01 * co2 - warmth + 3 * drift + 0.3 * rng.normal(size=n)
    saturation = 6.112 * np.exp(17.62 * temperature / (243.12 + temperature))
    vapour = humidity / 100 * saturation
    columns = {
        "date": pd.date_range("2026-02-02", periods=n, freq="min", tz="UTC"),
        "Temperature": temperature.round(2),
        "Humidity": humidity.round(2),
        "Light": np.clip(300 * lamp + 350 * daylight + 40 * rng.normal(size=n), 0, None).round(1),
        "CO2": (430 + co2 + 25 * rng.normal(size=n)).round(),
        "HumidityRatio": (0.622 * vapour / (1013 - vapour)).round(6),
        "Occupancy": occupied.astype(int),
    }
    return pd.DataFrame(columns)


def occupancy(seeds):
    """A table of an office, a label per row: default settings against logistic regression, on days that follow."""
    gained = []
    for seed in seeds(5):
        table = occupancy_table(seed)
        cut = 6 * 24 * 60  # 8,640 rows, where UCI has 8,143
        parts = [
            sequences_from_table(part, time="date", features=SENSORS, label="Occupancy")
            for part in (table[:cut], table[cut:])
        ]
        (X, y), (X_test, y_test) = parts
        rows = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(X[0], y[0])
        of_rows = rows.score(X_test[0], y_test[0])
        started = time.process_time()
        ours = RNNClassifier(random_state=seed).fit(X, y).score(X_test, y_test)
        seconds = time.process_time() - started
        whole = RNNClassifier(stateful=False, random_state=seed).fit(X, y).score(X_test, y_test)
        print(f"           {ours:.4f} in {seconds:.1f} s of the processor, read as a whole {whole:.4f}, ", end="")
        print(f"logistic regression {of_rows:.4f}", flush=True)
        gained.append(ours - of_rows)
    return report("an office's table, accuracy above logistic regression", spread(gained), "> 0", min(gained) > 0)


def ensembles(seeds):
    """Japanese Vowels: eight networks against one, and what each alone has."""
    X, y = load_japanese_vowels("train")
    X_test, y_test = load_japanese_vowels("test")
    alone, together = [], []
    for seed in seeds(3):
        model = RNNClassifier(n_networks=8, random_state=seed).fit(X, y)
        alone += [one.score(X_test, y_test) for one in model.estimators_]
        together.append(model.score(X_test, y_test))
    print(f"           one network alone {spread(alone)}")
    gained = np.mean(together) - np.mean(alone)
    return report("Japanese Vowels, 8 networks, test accuracy", spread(together), "above one's", gained > 0)


def standardising(seeds):
    """What it costs that features are standardised in every minibatch: fits of 64 iterations of 125 x 28 x 28."""
    rng = np.random.default_rng(seeds(1)[0])
    X, y = rng.normal(size=(1000, 28, 28)).astype(np.float32), rng.integers(10, size=1000)
    models = {
        name: RNNClassifier(standardize=name == "with", max_epochs=8, random_state=0) for name in ("with", "without")
    }
    seconds = alternately(ROUNDS, **{name: partial(model.fit, X, y) for name, model in models.items()})
    ratio = float(np.median(seconds["with"] / seconds["without"]))
    return report("a fit with features standardised, times one without", f"{ratio:.4f}", "<= 1.02", ratio <= 1.02)


AUGMENTATIONS = (
    *(None, {"noise": 0.1}, {"noise": 0.3}, {"noise": 0.5}, {"scale": 0.1}, {"scale": 0.3}, {"shift": 0.1}),
    {"noise": 0.3, "scale": 0.1},
)


def vowels_in_folds():
    X, y = load_japanese_vowels("train")
    steps = np.concatenate(X)
    X = [(x - steps.mean(axis=0)) / steps.std(axis=0) for x in X]
    for seed in range(2):
        for train, rest in StratifiedKFold(5, shuffle=True, random_state=seed).split(y, y):
            yield seed, [X[i] for i in train], y[train], [X[i] for i in rest], y[rest]


def few_digits():
    """A hundred images of digits to learn from, and 500 others."""
    X, y = load_digits()
    X = (X - X.mean()) / X.std()
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(len(X))
        yield seed, list(X[order[:100]]), y[order[:100]], list(X[order[100:600]]), y[order[100:600]]


def osuleaf_in_folds():
    X, y = load_osuleaf("train")
    for train, rest in StratifiedKFold(5, shuffle=True, random_state=0).split(y, y):
        yield 0, X[train], y[train], X[rest], y[rest]


FORM_OF_OSULEAF = {"hidden_size": 64, "max_epochs": 100, "readout": "mean", "frame": (10, 5)}


def augmentation(seeds):
    """A hundred digits, and Japanese Vowels and OSULeaf in cross-validation, with training data that are changed."""
    for task, settings in ((few_digits, {}), (vowels_in_folds, {}), (osuleaf_in_folds, FORM_OF_OSULEAF)):
        for augment in AUGMENTATIONS:
            accuracies = []
            for seed, X, y, X_rest, y_rest in task():
                model = RNNClassifier(random_state=seed, augment=augment, **settings).fit(X, y)
                accuracies.append(model.score(X_rest, y_rest))
            figures = f"mean {np.mean(accuracies):.4f}, sd {np.std(accuracies):.4f}, of {len(accuracies)}"
            print(f"           {task.__name__}, {augment}: {figures}", flush=True)
    return True


SECTIONS = {section.__name__: section for section in (occupancy, ensembles, standardising, augmentation)}


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.newcomers", description=__doc__)
    parser.add_argument("sections", nargs="+", choices=SECTIONS)
    parser.add_argument("--first-seed", type=int, default=0, help="seeds count from here (default: %(default)s)")
    options = parser.parse_args()
    for name in options.sections:
        print(f"{name}: {SECTIONS[name].__doc__}", flush=True)
        SECTIONS[name](lambda n: range(options.first_seed, options.first_seed + n))


if __name__ == "__main__":
    main()
