"""What a user would pick instead: ``python -m bench.instead [--cheap] [--folder FOLDER] [--publish]``.

Test accuracy and seconds to fit, of the processor, of what people use for series, on Japanese Vowels, OSULeaf, the
digits and any pairs NAME_TRAIN.ts and NAME_TEST.ts of a folder, as timeseriesclassification.com has them:

* MiniRocket with ridge regression, and 1-NN by dynamic time warping, of aeon;
* a reservoir of reservoirpy, 500 units, ridge regression on its mean state; its leak rate by cross-validation;
* a GRU of torch, 128 units, trained by Adam through skorch; its learning rate and epochs by cross-validation;
* ours: the defaults, and cell, read-out and frame by cross-validation.

All see the same series, standardised channel by channel by the training set; what cannot read unequal lengths is given
the last observation again until all are equally long.  Each is fitted on a few series before the clock runs, so that
nothing is compiled or loaded while it does, and seconds are of everything, cross-validation too.  Whoever is not
installed is left out, which is said.  ``--publish`` writes bench/results/instead.json.
"""

import argparse
import time
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split

from admmirnn import RNNClassifier, backend
from admmirnn.datasets import load_digits, load_japanese_vowels, load_osuleaf, read_ts
from bench.record import RESULTS, machine, read_result, summary_of, write_json
from bench.sequences import fit_quietly
from bench.table import duration

LEAK_RATES = (0.05, 0.2, 0.6)
OF_SKORCH = {"lr": [1e-3, 3e-3, 1e-2], "max_epochs": [20, 60]}
OF_OURS = {"cell": ["elman", "fastgrnn", "gru"], "readout": ["last", "mean", "max"]}
CHEAP = {"lr": [3e-3], "max_epochs": [20]}, {"cell": ["elman", "fastgrnn"], "readout": ["last", "max"]}
PACKAGES = ("aeon", "reservoirpy", "skorch", "torch")


def standardised(X, X_test):
    """Channel by channel, by the steps of X."""
    X, X_test = ([np.asarray(x, np.float32).reshape(len(x), -1) for x in part] for part in (X, X_test))
    steps = np.concatenate(X)
    mean, deviation = steps.mean(axis=0), steps.std(axis=0)
    deviation[deviation == 0] = 1
    return ([((x - mean) / deviation).astype(np.float32) for x in part] for part in (X, X_test))


def equally_long(X, n_steps):
    """(n, channels, n_steps), the last observation held; what is longer is cut, of which there may be some in tests."""
    return np.stack([np.pad(x[:n_steps], ((0, max(0, n_steps - len(x))), (0, 0)), mode="edge").T for x in X])


@dataclass
class MiniRocket:
    """Ten thousand convolutions with fixed kernels, and ridge regression."""

    name = "MiniRocket, ridge"
    needs = ("aeon",)
    seed: int

    def fit(self, X, y):
        """Learn series, a list of arrays (n_steps_i, n_channels), and their labels."""
        from aeon.classification.convolution_based import MiniRocketClassifier

        self._n_steps = max(9, *map(len, X))  # it asks for nine
        self._model = MiniRocketClassifier(random_state=self.seed).fit(equally_long(X, self._n_steps), y)
        return self

    def predict(self, X):
        """Their labels."""
        return self._model.predict(equally_long(X, self._n_steps))


@dataclass
class NearestByDTW:
    """The label of the nearest series, with dynamic time warping over all of it."""

    name = "1-NN, DTW"
    needs = ("aeon",)
    seed: int

    def fit(self, X, y):
        """Learn series, a list of arrays (n_steps_i, n_channels), and their labels."""
        from aeon.classification.distance_based import KNeighborsTimeSeriesClassifier

        self._model = KNeighborsTimeSeriesClassifier(distance="dtw", n_neighbors=1).fit(self._as_read(X), y)
        return self

    def predict(self, X):
        """Their labels."""
        return self._model.predict(self._as_read(X))

    @staticmethod
    def _as_read(X):
        return [np.ascontiguousarray(x.T, np.float64) for x in X]


@dataclass
class EchoState:
    """A random network, and ridge regression on the mean of its states."""

    name = "reservoir, ridge"
    needs = ("reservoirpy",)
    seed: int
    n_units: int = 500

    def fit(self, X, y):
        """Learn series, a list of arrays (n_steps_i, n_channels), and their labels."""
        folds = StratifiedKFold(3, shuffle=True, random_state=self.seed)
        best = -1.0
        for leak_rate in LEAK_RATES:
            H, right = self._states(X, leak_rate), 0
            for train, rest in folds.split(H, y):
                right += (self._read_out().fit(H[train], y[train]).predict(H[rest]) == y[rest]).sum()
            if right > best:
                best, self._leak_rate, H_best = right, leak_rate, H
        self._model = self._read_out().fit(H_best, y)
        return self

    def predict(self, X):
        """Their labels."""
        return self._model.predict(self._states(X, self._leak_rate))

    @staticmethod
    def _read_out():
        return RidgeClassifierCV(np.logspace(-4, 3, 15))

    def _states(self, X, leak_rate):
        from reservoirpy.nodes import Reservoir

        reservoir = Reservoir(self.n_units, lr=leak_rate, sr=0.9, seed=self.seed)
        found = []
        for x in X:
            found.append(reservoir.run(np.asarray(x, np.float64)).mean(axis=0))
            reservoir.reset()
        return np.array(found)


@dataclass
class SkorchGRU:
    """A GRU of torch with a linear read-out of its last state, trained by Adam."""

    name = "GRU, Adam (skorch)"
    needs = ("skorch", "torch")
    grid: ClassVar[dict] = OF_SKORCH
    seed: int
    n_units: int = 128

    def fit(self, X, y):
        """Learn series, a list of arrays (n_steps_i, n_channels), and their labels."""
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(self.seed)
        self._classes, labels = np.unique(y, return_inverse=True)
        self._longest = max(map(len, X))
        folds = StratifiedKFold(3, shuffle=True, random_state=self.seed)
        search = GridSearchCV(self._net(X[0].shape[1]), self.grid, cv=folds, scoring="accuracy")
        self._model = search.fit(self._as_read(X), labels.astype(np.int64))
        return self

    def predict(self, X):
        """Their labels."""
        return self._classes[self._model.predict(self._as_read(X))]

    def _as_read(self, X):
        """Zeros before each series, so that all end together."""
        found = np.zeros((len(X), self._longest, X[0].shape[1]), np.float32)
        for i, x in enumerate(X):
            found[i, self._longest - min(len(x), self._longest) :] = x[-self._longest :]
        return found

    def _net(self, n_channels):
        import torch
        from skorch import NeuralNetClassifier

        class Network(torch.nn.Module):
            def __init__(self, n_channels, n_units, n_classes):
                super().__init__()
                self.rnn = torch.nn.GRU(n_channels, n_units, batch_first=True)
                self.read_out = torch.nn.Linear(n_units, n_classes)

            def forward(self, X):
                return self.read_out(self.rnn(X)[0][:, -1])

        return NeuralNetClassifier(
            Network, module__n_channels=n_channels, module__n_units=self.n_units,
            module__n_classes=len(self._classes), criterion=torch.nn.CrossEntropyLoss, optimizer=torch.optim.Adam,
            batch_size=32, train_split=None, verbose=0,
        )  # fmt: skip


@dataclass
class Ours:
    """RNNClassifier with its defaults."""

    name = "admmirnn, defaults"
    needs = ()
    seed: int

    def fit(self, X, y):
        """Learn series, a list of arrays (n_steps_i, n_channels), and their labels."""
        self._model = fit_quietly(RNNClassifier(random_state=self.seed), X, y)
        return self

    def predict(self, X):
        """Their labels."""
        return self._model.predict(X)


@dataclass
class OursChosen(Ours):
    """The same with cell, read-out and frame by cross-validation."""

    name = "admmirnn, cross-validation"
    grid: ClassVar[dict] = OF_OURS

    def fit(self, X, y):
        """Learn series, a list of arrays (n_steps_i, n_channels), and their labels."""
        length = max(1, round(np.median([len(x) for x in X]) / 25))
        frames = [None] if length == 1 or min(map(len, X)) < length else [None, (length, max(1, length // 2))]
        folds = StratifiedKFold(3, shuffle=True, random_state=self.seed)
        search = GridSearchCV(RNNClassifier(random_state=self.seed), self.grid | {"frame": frames}, cv=folds)
        self._model = fit_quietly(search, X, y)
        return self


MODELS = (MiniRocket, NearestByDTW, EchoState, SkorchGRU, Ours, OursChosen)


def data_sets(folder=None):
    """Name, and a function of a seed that returns X, y, X_test, y_test."""

    def digits(seed):
        X, y = load_digits()
        X, X_test, y, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=seed)
        return X, y, X_test, y_test

    yield "digits", digits
    yield "Japanese Vowels", lambda seed: (*load_japanese_vowels("train"), *load_japanese_vowels("test"))
    yield "OSULeaf", lambda seed: (*load_osuleaf("train"), *load_osuleaf("test"))
    for path in sorted(Path(folder).glob("**/*_TRAIN.ts*")) if folder else ():
        of_test = path.with_name(path.name.replace("_TRAIN", "_TEST"))
        yield path.name.split("_TRAIN")[0], lambda seed, path=path, of_test=of_test: (*read_ts(path), *read_ts(of_test))


def measure(sets, seeds, models=MODELS):
    """Fit all of them on all sets.

    Returns
    -------
    list of dict
        ``data``, ``model``, and for each seed ``accuracies`` and ``seconds``.
    """
    rows = []
    for name, load in sets:
        for model in models:
            missing = [package for package in model.needs if find_spec(package) is None]
            if missing:
                print(f"{name}: without {model.name}, as {missing[0]} is missing (pip install {missing[0]})")
                continue
            row = {"data": name, "model": model.name, "accuracies": [], "seconds": []}
            for seed in seeds:
                X, y, X_test, y_test = load(seed)
                (X, X_test), y, y_test = standardised(X, X_test), np.asarray(y), np.asarray(y_test)
                with warnings.catch_warnings(), backend.one_blas_thread():
                    warnings.simplefilter("ignore")  # of other packages, and of folds with few examples
                    if not row["seconds"]:
                        few = np.concatenate([np.flatnonzero(y == label)[:4] for label in np.unique(y)])
                        model(seed).fit([X[i] for i in few], y[few])
                    started = time.process_time()
                    fitted = model(seed).fit(X, y)
                    row["seconds"].append(time.process_time() - started)
                    row["accuracies"].append(float(np.mean(fitted.predict(X_test) == y_test)))
            rows.append(row)
            print(
                f"{name:16} {model.name:28} {np.mean(row['accuracies']):.4f}, {np.median(row['seconds']):.2f} s",
                flush=True,
            )
    return rows


def table():
    """Markdown of the published figures: a row for each model, and for each set accuracy and seconds."""
    record = read_result("instead")
    sets = list(dict.fromkeys(row["data"] for row in record["rows"]))
    found = {(row["model"], row["data"]): row for row in record["rows"]}
    lines = [f"| | {' | '.join(sets)} |", "|---|" + "---|" * len(sets)]
    for model in dict.fromkeys(row["model"] for row in record["rows"]):
        cells = []
        for name in sets:
            row = found.get((model, name))
            cells.append(
                "" if row is None else f"{np.mean(row['accuracies']):.3f}, {duration(np.median(row['seconds']))}"
            )
        lines.append(f"| {model} | {' | '.join(cells)} |")
    n_seeds = max(len(row["accuracies"]) for row in record["rows"])
    seeds = "one seed" if n_seeds == 1 else f"{n_seeds} seeds"
    how = f"{seeds}, a cheap run" if record["cheap"] else seeds
    return "\n".join([*lines, "", f"Test accuracy, {how}, and seconds to fit. {summary_of(record['machine'])}."])


def main():
    parser = argparse.ArgumentParser(
        prog="python -m bench.instead", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", help="where more pairs of .ts files are")
    parser.add_argument("--seeds", type=int, help="how many (default: 5, or 1 of a cheap run)")
    parser.add_argument("--only", nargs="+", help="names of data sets")
    parser.add_argument("--cheap", action="store_true", help="smaller grids for cross-validation")
    parser.add_argument("--publish", action="store_true", help="write bench/results/instead.json, beside other sets")
    parser.add_argument("--output", type=Path, default=Path("results"), help="folder (default: %(default)s)")
    options = parser.parse_args()
    sets = [(name, load) for name, load in data_sets(options.folder) if not options.only or name in options.only]
    if options.cheap:
        SkorchGRU.grid, OursChosen.grid = CHEAP
    rows = measure(sets, range(options.seeds or (1 if options.cheap else 5)))
    record = {"machine": machine(1, PACKAGES), "cheap": options.cheap, "rows": rows}
    write_json(options.output / "instead.json", record)
    if options.publish:
        measured = {row["data"] for row in rows}
        earlier = (read_result("instead") or {"rows": []})["rows"]
        record["rows"] = [row for row in earlier if row["data"] not in measured] + rows
        write_json(RESULTS / "instead.json", record)


if __name__ == "__main__":
    main()
