"""What a race is about: data, goals, and the settings of both sides.

A new task is a file in ``tasks/`` that defines ``TASK``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from admmirnn import Rollout
from admmirnn.data.sequences import Sequences
from admmirnn.losses import SoftmaxCrossEntropy
from bench.race.curves import ACCURACY, Metric


@dataclass(frozen=True, eq=False)
class Data:
    """What is learnt and what is tested, ready for both sides.

    Attributes
    ----------
    train, test : Sequences
        Observations in float32.
    train_targets, test_targets : ndarray
        Class numbers: one per sequence, or one per step, one sequence after the other; or a row of values per sequence.
    n_outputs : int
        Number of classes.
    chunk_size : int or None
        The sequences to learn from are streams, which are cut into as many as a batch has and read in chunks of so many
        steps, with the state carried on; None: they are taken whole, in a new order every epoch.
    """

    train: Sequences
    train_targets: np.ndarray
    test: Sequences
    test_targets: np.ndarray
    n_outputs: int
    chunk_size: int | None = None

    @classmethod
    def of_labels(cls, X, y, X_test, y_test):
        """Data of one label per sequence; X holds arrays of shape (n_steps_i, n_features)."""
        classes, train_targets = np.unique(y, return_inverse=True)
        return cls(
            _sequences(X), train_targets, _sequences(X_test), np.searchsorted(classes, y_test), n_outputs=len(classes)
        )

    @classmethod
    def of_values(cls, X, y, X_test, y_test):
        """Data of one row of values for each sequence; y is of shape (n_sequences, n_outputs)."""
        targets = [np.ascontiguousarray(part, np.float32) for part in (y, y_test)]
        return cls(_sequences(X), targets[0], _sequences(X_test), targets[1], n_outputs=targets[0].shape[1])

    @classmethod
    def of_text(cls, text, text_to_test, chunk_size):
        """Texts, of which every character is to be predicted from those before it."""
        vocabulary, codes = np.unique(list(text + text_to_test), return_inverse=True)
        parts = []
        for part in (codes[: len(text)], codes[len(text) :]):
            observations = part[:-1, None].astype(np.uint8)
            first, length = np.zeros(1, np.intp), np.array([len(observations)])
            parts += [Sequences(observations, first, length, n_symbols=len(vocabulary)), part[1:]]
        return cls(*parts, len(vocabulary), chunk_size)

    def first(self, n_train, n_test):
        """Only the first sequences of each part, or the first so many chunks."""
        if self.chunk_size:
            few = []
            for sequences, targets, n in (
                (self.train, self.train_targets, n_train * self.chunk_size),
                (self.test, self.test_targets, n_test * self.chunk_size),
            ):
                n_steps = min(n, len(targets))
                few += [replace(sequences, lengths=np.array([n_steps])), targets[:n_steps]]
            return replace(self, **dict(zip(("train", "train_targets", "test", "test_targets"), few, strict=True)))
        few = []
        for sequences, targets, n in (
            (self.train, self.train_targets, n_train),
            (self.test, self.test_targets, n_test),
        ):
            lengths = sequences.lengths[:n]
            n_rows = lengths.sum()
            few += [Sequences.of_lengths(sequences.observations[:n_rows], lengths)]
            few += [targets[: n_rows if self.every_step else len(lengths)]]
        return Data(*few, self.n_outputs)

    @property
    def every_step(self):
        """Whether there is a target for each step."""
        return self.chunk_size is not None or len(self.test_targets) != len(self.test)


@dataclass(frozen=True)
class Ours:
    """How admmirnn runs for a goal: the solver's defaults, apart from what stands here.

    Attributes
    ----------
    epochs : float
        Passes over the training set, in whole minibatches.
    penalty : float or None
        As in `Rollout.solve`; None leaves it to the solver.
    batch_size : int or None
        None leaves it to the solver.
    solver : callable
        Called without arguments, returns the solver.
    note : str
        What is special about the solver, for tables.
    cell : str
        That of the network.
    """

    epochs: float
    penalty: float | None = None
    batch_size: int | None = None
    solver: Callable = Rollout
    note: str = ""
    cell: str = "elman"

    def __str__(self):
        batch_size = f"batches of {self.batch_size}" if self.batch_size else ""
        penalty = "" if self.penalty is None else f"penalty {self.penalty:g}"
        cell = "" if self.cell == "elman" else self.cell
        return ", ".join(filter(None, (cell, _epochs(self.epochs), batch_size, penalty, self.note)))


@dataclass(frozen=True)
class Theirs:
    """How a peer runs: epochs, over which torch's cosine falls to 0, and the learning rate at the start."""

    epochs: float
    learning_rate: float

    def __str__(self):
        return f"{_epochs(self.epochs)}, learning rate {self.learning_rate:.2g}"


@dataclass(frozen=True)
class Goal:
    """What is to be reached, and how fast.

    Attributes
    ----------
    ours : Ours
        The setting of our side.
    share : float or None
        At most this part of the rival's time; None: for information only.
    value : float or None
        The metric's value; None: the best that any peer has.
    off : float
        How far below (or above) the best it is.
    rival : str or None
        An optimiser whose own time counts, and whose final value, at the best of its settings, is the goal if ``value``
        is None; None: the fastest peer.
    """

    ours: Ours
    share: float | None
    value: float | None = None
    off: float = 0.0
    rival: str | None = None


@dataclass(frozen=True)
class Task:
    """A race.

    Attributes
    ----------
    title : str
        For the picture.
    load : callable
        ``load(seed)`` returns `Data`; the seed is that of the split, if there is any.
    goals : tuple of Goal
        Either all with a value or all without one.
    batch_size : int
        Of torch's side.
    learning_rates : mapping of str to sequence of float
        Five for each optimiser.
    budgets : tuple of float
        Of torch's side: epochs over which the cosine falls to 0, in ascending order.
    n_hidden : int
        Size of the network.
    metric : Metric
        What is measured on the test set.
    loss : object
        Of our side; torch's is the cross-entropy, and where targets are values the squared error.
    first_evaluation : float
        Part of a run after which to look at the test set first.
    others : tuple of callable
        Peers of another kind, see `bench.race.others`: called with the task.
    same_start : bool
        Whether torch starts from our initial weights instead of its own.
    start_scale : float
        What the initial weights of both sides are multiplied by.
    torch_layers : tuple of {"RNN", "GRU", "LSTM"}
        What torch's optimisers train, each of them.
    """

    title: str
    load: Callable
    goals: tuple
    batch_size: int
    learning_rates: Mapping
    budgets: tuple
    n_hidden: int = 128
    metric: Metric = ACCURACY
    loss: object = field(default_factory=SoftmaxCrossEntropy)
    first_evaluation: float = 0.0
    others: tuple = ()
    same_start: bool = False
    start_scale: float = 1.0
    torch_layers: tuple = ("RNN",)

    @property
    def goals_are_known(self):
        """Whether the goals do not wait for the peers' best."""
        return all(goal.value is not None for goal in self.goals)

    def quick(self):
        """The same with few sequences, one layer of torch, a small budget and two learning rates."""
        return replace(
            self,
            load=lambda seed: self.load(seed).first(300, 100),
            torch_layers=self.torch_layers[:1],
            budgets=(0.2 * self.budgets[0],),
            learning_rates={name: rates[2:4] for name, rates in self.learning_rates.items()},
        )

    def cheap(self):
        """The same with the three learning rates in the middle and two budgets."""
        return replace(
            self,
            budgets=self.budgets[1:3] or self.budgets,
            learning_rates={name: rates[1:4] for name, rates in self.learning_rates.items()},
        )


def around(middle, factor=2.0):
    """Five learning rates, each ``factor`` times the one before."""
    return tuple(middle * factor**i for i in (-2, -1, 0, 1, 2))


# of the optimisers that look at the size of gradients, which differs less from task to task
ADAPTIVE = {
    "RMSprop": around(1e-3),
    "Adam": around(2e-3),
    "SOAP": around(5e-3),
    "Muon": around(2e-2),
    "PSGD-Kron": around(1e-3),
    "Shampoo": around(1e-2),
}
# of sets of some hundred sequences
ADAPTIVE_OF_SMALL_SETS = ADAPTIVE | {
    "RMSprop": around(2e-3),
    "Adam": around(4e-3),
    "PSGD-Kron": around(2e-3),
    "Shampoo": around(2e-2),
}


def standardised(X, X_test):
    """Subtract the mean over all steps of ``X`` from both, feature by feature, and divide by its deviation."""
    steps = np.concatenate(list(X))
    mean, deviation = steps.mean(axis=0), steps.std(axis=0)
    return [[(x - mean) / deviation for x in part] for part in (X, X_test)]


def _sequences(X):
    observations = np.concatenate(list(X)).astype(np.float32)
    return Sequences.of_lengths(np.ascontiguousarray(observations), [len(x) for x in X])


def _epochs(epochs):
    return f"{epochs:g} epoch{'' if epochs == 1 else 's'}"
