"""Sequences of unequal lengths as rows of one array, and their minibatches."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sequences:
    """The observations of all sequences, one row a step, one sequence after the other.

    Attributes
    ----------
    observations : ndarray of shape (total number of steps, n_features)
    first_rows, lengths : ndarray of shape (n_sequences,), intp
        Sequence ``i`` is ``observations[first_rows[i]:first_rows[i] + lengths[i]]``.
    """

    observations: np.ndarray
    first_rows: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of_lengths(cls, observations, lengths):
        """Sequences of the given lengths that follow one another without gaps."""
        lengths = np.asarray(lengths, dtype=np.intp)
        return cls(observations, np.cumsum(lengths) - lengths, lengths)

    def __len__(self):
        return len(self.lengths)

    @property
    def n_features(self):
        """Number of features of an observation."""
        return self.observations.shape[1]

    @property
    def first_steps(self):
        """Where the steps of each sequence start among those of all sequences, one sequence after the other."""
        return np.cumsum(self.lengths) - self.lengths

    def most_rows(self, n_sequences):
        """The largest number of steps that ``n_sequences`` of the sequences have together."""
        return int(np.sort(self.lengths)[-n_sequences:].sum())

    def minibatch(self, indices):
        """Return the `Minibatch` of the sequences with these indices."""
        lengths = self.lengths[indices]
        shortest, longest = int(lengths.min()), int(lengths.max())
        if shortest < longest:
            by_length = np.argsort(-lengths, kind="stable")
            indices, lengths = indices[by_length], lengths[by_length]
        # sequences end together: at step t of N those run that have at least N - t steps left
        running = len(lengths) - np.searchsorted(lengths[::-1], np.arange(longest, 0, -1))
        offsets = np.zeros(longest + 2, dtype=np.intp)
        np.cumsum(running, out=offsets[1:-1])
        offsets[-1] = offsets[-2] + len(lengths)
        return Minibatch(indices, self.first_rows[indices], lengths, offsets)


@dataclass(frozen=True)
class Minibatch:
    """Which sequences, longest first, and where their steps stand in ``Z`` (see ``_kernels``)."""

    indices: np.ndarray
    first_rows: np.ndarray
    lengths: np.ndarray
    offsets: np.ndarray

    def __len__(self):
        return len(self.indices)

    @property
    def n_rows(self):
        """Steps of all its sequences together."""
        return int(self.offsets[-2])

    def rows(self):
        """For every row of Z before its last block: whose it is, and which of that sequence's steps, from 0.

        Returns
        -------
        sequence_of, step_of : ndarray of shape (n_rows,), intp
        """
        N, counts = len(self.offsets) - 2, np.diff(self.offsets[:-1])
        position = np.arange(self.n_rows) - np.repeat(self.offsets[:-2], counts)
        step = self.lengths[position] - N + np.repeat(np.arange(N), counts)
        return self.indices[position], step

    def rows_of_states(self):
        """For every row of Z before its last block: the row that holds the state which its step reaches."""
        counts = np.diff(self.offsets[:-1])
        return np.arange(self.n_rows) + np.repeat(counts, counts)


def split(indices, batch_size):
    """Cut ``indices`` into the fewest minibatches of at most ``batch_size``, of sizes as equal as can be."""
    return np.array_split(indices, -(-len(indices) // batch_size))
