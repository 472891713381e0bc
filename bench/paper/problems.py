"""What is learnt in Figures 2 to 6: images by rows and text by characters; and what a run of it is evaluated by."""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import takewhile

import numpy as np

from admmirnn import backend
from admmirnn.data.sequences import Sequences
from admmirnn.datasets import load_mnist, load_text
from bench.paper.common import LOSS, loss_and_accuracy
from bench.race.curves import Metric, evaluation_points
from bench.race.task import Data, Task
from bench.race.tasks import load_task

PARTS = ("training", "test")
GROWTH = 1.35  # from one evaluation to the next, in iterations
_PIECE = 500  # characters of a piece of the text that is evaluated, which starts from the zero state


@dataclass(frozen=True)
class Losses:
    """Losses and accuracies of training data and of test data, which stand in for the `Metric` of a race.

    Attributes
    ----------
    n_training : int
        So many of the outputs, the first ones, are of training data.
    rho : float or None
        Penalty of the o-step that leads from the outputs to o+, at which the auxiliary figures are taken; None for a
        method that has no such variable.
    """

    n_training: int
    rho: float | None = None

    name = "losses and accuracies"

    def value(self, outputs, targets):
        """A dict whose keys are such as "rollout_test_loss": metric, part of the data, and what is measured."""
        found = {}
        for part, rows in zip(PARTS, (slice(self.n_training), slice(self.n_training, None)), strict=True):
            found |= named("rollout", part, loss_and_accuracy(outputs[rows], targets[rows]))
            if self.rho is not None:
                o_plus = after_o_step(outputs[rows], targets[rows], self.rho)
                found |= named("auxiliary", part, loss_and_accuracy(o_plus, targets[rows]))
        return found


def named(metric, part, both):
    """Loss and accuracy under their names."""
    loss, accuracy = both
    return {f"{metric}_{part}_loss": loss, f"{metric}_{part}_accuracy": accuracy}


def after_o_step(outputs, labels, rho):
    """o+, the proximal step of the loss from the outputs towards their labels."""
    outputs, labels = np.ascontiguousarray(outputs), np.ascontiguousarray(labels, np.intp)
    o_plus, lambda3 = np.empty_like(outputs), np.empty_like(outputs)
    LOSS.step(backend.kernels(), outputs, labels, np.ones(len(labels), outputs.dtype), rho, o_plus, lambda3)
    return o_plus


def loss_on_test_data(n_training):
    """The roll-out loss on test data alone, by which the learning rates of the peers are chosen."""

    def of(outputs, targets):
        return loss_and_accuracy(outputs[n_training:], targets[n_training:])[0]

    return Metric("test loss", of, higher_is_better=False)


class Problem:
    """What the problems share.

    A problem is frozen and small, so that it can be sent to another process, which loads its data once.
    """

    @property
    def points(self):
        """The iterations after which every run is evaluated."""
        before_last = takewhile(lambda iteration: iteration < self.n_iterations, evaluation_points(1, GROWTH))
        return (*before_last, self.n_iterations)

    @property
    def epochs(self):
        """Passes over the training data, a fraction, that ``n_iterations`` minibatches are."""
        return self.n_iterations / self.n_a_pass

    def task(self, metric):
        """The `Task` of a race that trains on it for ``n_iterations``, without goals."""
        return Task(
            title=self.title,
            load=lambda seed: self.data(),
            goals=(),
            batch_size=self.batch_size,
            learning_rates=self.learning_rates,
            budgets=(self.epochs,),
            n_hidden=self.n_hidden,
            metric=metric,
            start_scale=self.start_scale,
        )


@dataclass(frozen=True)
class Images(Problem):
    """MNIST as 28 rows of 28 pixels.

    Attributes
    ----------
    n_iterations : int
        Minibatches of a run.
    n_hidden : int
        Size of the network.
    n_train : int
        The first so many training images are learnt.
    n_evaluated : int
        So many test images, evenly spaced, are evaluated, and half as many of those that are learnt.
    batch_size : int
        Images of a minibatch.
    n_split, n_split_hidden : int
        Algorithm 1, which has no minibatches and takes ten times as long for an iteration, learns the first so many
        training images with so many hidden units.
    start_scale : float
        What the initial weights are multiplied by.
    """

    n_iterations: int = 1000
    n_hidden: int = 128
    n_train: int = 55_000
    n_evaluated: int = 2_000
    batch_size: int = 125
    n_split: int = 100
    n_split_hidden: int = 64
    start_scale: float = 1.0

    title = "MNIST by rows"

    @property
    def learning_rates(self):
        """The grids of the race on MNIST, whose minibatches are as large as these."""
        return load_task("mnist").learning_rates

    @property
    def n_a_pass(self):
        """Minibatches of a pass."""
        return -(-self.n_train // self.batch_size)

    @property
    def n_training(self):
        """How many of the evaluated outputs are of training data."""
        return min(self.n_evaluated // 2, self.n_train)

    def data(self):
        """What is learnt, and as what is tested the evaluated training images and then those of the test set."""
        return _images(self.n_train, self.n_training, self.n_evaluated)


@lru_cache(maxsize=1)
def _images(n_train, n_training, n_evaluated):
    (X, y), (X_test, y_test) = load_mnist("train"), load_mnist("test")
    X, y = X[:n_train], y[:n_train]
    learnt, unseen = _evenly(len(X), n_training), _evenly(len(X_test), n_evaluated)
    X_test, y_test = np.concatenate([X[learnt], X_test[unseen]]), np.concatenate([y[learnt], y_test[unseen]])
    return Data.of_labels(X, y, X_test, y_test)


def _evenly(n, n_chosen):
    """So many of the numbers below n, evenly spaced."""
    return np.linspace(0, n, min(n, n_chosen), endpoint=False).astype(np.intp)


@dataclass(frozen=True)
class Text(Problem):
    """Kafka's Metamorphosis by characters, in chunks with the state carried on; the last tenth is held out.

    Attributes
    ----------
    length : int
        Steps of a chunk, over which the network is unfolded.
    n_iterations, n_hidden, start_scale
        As for `Images`.
    n_characters : int
        Characters of a minibatch, whatever the length: as many streams are read side by side as that takes.
    n_evaluated : int
        So many characters of the held-out text, and as many of the text that is learnt, are evaluated.
    """

    length: int = 25
    n_iterations: int = 1000
    n_hidden: int = 64
    n_characters: int = 1000
    n_evaluated: int = 10_000
    start_scale: float = 1.0

    title = "Text by characters"

    @property
    def learning_rates(self):
        """The grids of the race on text."""
        return load_task("text").learning_rates

    @property
    def batch_size(self):
        """Streams that are read side by side."""
        return max(1, self.n_characters // self.length)

    @property
    def n_a_pass(self):
        """Minibatches of a pass."""
        return int(self.data().train.in_chunks(self.length, self.batch_size).n_chunks.max())

    @property
    def n_training(self):
        """How many of the evaluated outputs are of training data."""
        return self.n_evaluated // _PIECE * _PIECE

    def data(self):
        """What is learnt, and as what is tested pieces of it and then pieces of the held-out text."""
        return _text(self.length, self.n_training // _PIECE)


def learnt_and_held_out(characters):
    """What is learnt, and the last tenth, which is held out."""
    cut = int(0.9 * len(characters))
    return characters[:cut], characters[cut:]


def codes_of_text():
    """The text as numbers of its symbols: the part that is learnt, the held-out last tenth, and how many there are."""
    symbols, codes = np.unique(list(load_text()), return_inverse=True)
    return *learnt_and_held_out(codes), len(symbols)


@lru_cache(maxsize=2)
def _text(length, n_pieces):
    data = Data.of_text(*learnt_and_held_out(load_text()), length)
    learnt, learnt_next = _pieces(data.train, data.train_targets, n_pieces)
    unseen, unseen_next = _pieces(data.test, data.test_targets, n_pieces)
    observations = np.concatenate([learnt, unseen])
    lengths = np.full(len(observations) // _PIECE, _PIECE)
    pieces = Sequences(observations, np.arange(len(lengths)) * _PIECE, lengths, n_symbols=data.train.n_symbols)
    return replace(data, test=pieces, test_targets=np.concatenate([learnt_next, unseen_next]))


def _pieces(stream, targets, n_pieces):
    """Observations and targets of evenly spaced pieces of a stream, one piece after the other."""
    starts = _evenly(len(targets) - _PIECE, n_pieces)
    steps = (starts[:, None] + np.arange(_PIECE)).ravel()
    return stream.observations[steps], targets[steps]
