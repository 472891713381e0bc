"""Minibatches of sequences of unequal lengths: where every observation is packed, and how indices are split."""

import kernel_calls
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admmirnn import backend, reference
from admmirnn.data.sequences import Sequences, split

BACKENDS = pytest.mark.parametrize("kernels", [backend._compiled(), reference], ids=["compiled", "numpy"])


@st.composite
def sequences_and_indices(draw):
    """Sequences that stand in any order with gaps between them, and some of their indices in any order."""
    lengths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=12))
    gaps = draw(st.lists(st.integers(0, 2), min_size=len(lengths), max_size=len(lengths)))
    order = draw(st.permutations(range(len(lengths))))
    first_rows, row = np.zeros(len(lengths), np.intp), 0
    for i in order:
        first_rows[i] = row + gaps[i]
        row = first_rows[i] + lengths[i]
    n_features = draw(st.integers(1, 4))
    observations = np.arange(1.0, row * n_features + 1).reshape(row, n_features)
    indices = draw(st.lists(st.sampled_from(range(len(lengths))), min_size=1, unique=True))
    return Sequences(observations, first_rows, np.array(lengths, np.intp)), np.array(indices, np.intp)


@settings(max_examples=100)
@given(sequences_and_indices())
def test_minibatch_lays_out_the_asked_sequences_longest_first(case):
    sequences, indices = case
    batch = sequences.minibatch(indices)
    assert len(batch) == len(indices)
    assert sorted(batch.indices) == sorted(indices)
    np.testing.assert_array_equal(batch.lengths, sequences.lengths[batch.indices])
    np.testing.assert_array_equal(batch.first_rows, sequences.first_rows[batch.indices])
    assert (np.diff(batch.lengths) <= 0).all()
    position = {index: i for i, index in enumerate(indices)}
    for a, b in zip(batch.indices[:-1], batch.indices[1:], strict=True):
        if sequences.lengths[a] == sequences.lengths[b]:
            assert position[a] < position[b]


@settings(max_examples=100)
@given(sequences_and_indices())
def test_offsets_count_the_sequences_that_run_at_each_step(case):
    sequences, indices = case
    batch = sequences.minibatch(indices)
    lengths = sequences.lengths[indices]
    N = lengths.max()
    assert batch.offsets.dtype == np.intp
    assert batch.offsets[0] == 0
    running = [(lengths >= N - t).sum() for t in range(N)] + [len(indices)]
    np.testing.assert_array_equal(np.diff(batch.offsets), running)
    assert batch.n_rows == lengths.sum()
    assert batch.n_steps == N


@settings(max_examples=100)
@given(sequences_and_indices())
def test_rows_say_what_they_are(case):
    sequences, indices = case
    batch = sequences.minibatch(indices)
    sequence_of, step_of = batch.rows()
    expected = [(i, k) for i in indices for k in range(sequences.lengths[i])]
    assert sorted(zip(sequence_of.tolist(), step_of.tolist(), strict=True)) == sorted(expected)
    np.testing.assert_array_equal(batch.inputs(), sequences.observations[sequences.first_rows[sequence_of] + step_of])
    states = batch.rows_of_states()
    row_of = {(i, k): row for row, (i, k) in enumerate(zip(sequence_of, step_of, strict=True))}
    for (i, k), row in row_of.items():
        last = batch.n_rows + batch.indices.tolist().index(i)
        assert states[row] == row_of.get((i, k + 1), last)


@BACKENDS
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=60)
@given(case=sequences_and_indices(), n_hidden=st.integers(1, 3))
def test_forward_puts_every_observation_once_at_its_place(kernels, dtype, case, n_hidden):
    sequences, indices = case
    batch = sequences.minibatch(indices)
    d, B = sequences.n_features, len(batch)
    X = np.full((batch.n_rows, d + 1), -7, dtype)
    S = np.full((batch.offsets[-1], n_hidden), -7, dtype)
    Theta, Psi = np.ones((n_hidden, d + n_hidden + 1), dtype), np.ones((1, n_hidden + 1), dtype)
    kernel_calls.forward(
        kernels,
        *(sequences.observations.astype(dtype), 1.0, batch.first_rows, batch.lengths, batch.offsets),
        *(Theta, Psi, "tanh", np.empty_like(Theta.T, order="C"), X, S, np.empty((B, 1), dtype)),
    )
    N = len(batch.offsets) - 2
    rows_taken = []
    for i, index in enumerate(batch.indices):
        first, length = sequences.first_rows[index], sequences.lengths[index]
        for k in range(length):
            row = batch.offsets[N - length + k] + i
            rows_taken.append(row)
            np.testing.assert_array_equal(X[row, :-1], sequences.observations[first + k])
            if k == 0:
                np.testing.assert_array_equal(S[row], 0)
            else:
                assert (S[row] > 0).all()  # a state: the observations are positive
    assert sorted(rows_taken) == list(range(batch.n_rows))
    np.testing.assert_array_equal(X[:, -1], 1)
    np.testing.assert_array_equal(X[:, :-1], batch.inputs())
    assert (S[batch.n_rows :] > 0).all()


@settings(max_examples=100)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.data())
def test_of_lengths_leaves_no_gaps(lengths, data):
    sequences = Sequences.of_lengths(np.zeros((sum(lengths), 2)), lengths)
    assert len(sequences) == len(lengths)
    assert sequences.n_features == 2
    np.testing.assert_array_equal(sequences.lengths, lengths)
    rows = [r for first, n in zip(sequences.first_rows, lengths, strict=True) for r in range(first, first + n)]
    assert rows == list(range(sum(lengths)))
    n_sequences = data.draw(st.integers(1, len(lengths)))
    assert sequences.most_rows(n_sequences) == sum(sorted(lengths, reverse=True)[:n_sequences])


@settings(max_examples=100)
@given(st.integers(1, 300), st.integers(1, 320))
def test_split_is_even_complete_and_within_the_batch_size(n_indices, batch_size):
    indices = np.random.default_rng(0).permutation(n_indices)
    parts = split(indices, batch_size)
    sizes = [len(part) for part in parts]
    assert len(parts) == -(-n_indices // batch_size)
    assert 1 <= min(sizes) <= max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1
    np.testing.assert_array_equal(np.concatenate(parts), indices)
