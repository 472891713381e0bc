"""What a fit of any network sums up is minus the gradient of its loss: cells, layers, directions, first states."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from admmirnn import Rollout, backend
from admmirnn.data.sequences import Sequences
from admmirnn.losses import SoftmaxCrossEntropy, SquaredError
from admmirnn.networks.cells import CELLS, cell_named
from admmirnn.networks.start import new_network
from admmirnn.solvers.rollout.iteration import Fit
from admmirnn.solvers.rollout.order import Shuffled
from admmirnn.solvers.rollout.problem import Problem

LENGTHS = np.array([3, 1, 5, 2, 3])
READ_OUTS = ("last", "mean", "max", "each")
FORMS = {"one layer": ((4,), 1), "two layers": ((4, 3), 1), "both directions": ((3,), 2), "two of both": ((3, 2), 2)}


def case_of(cell, form, read_out, kernels, monkeypatch, *, first_states, symbols=None, dropout=0.0):
    """A fit with no memory and no bound, over sequences of unequal lengths with weights, and its network.

    ``symbols``: whether observations are codes, or else the rows of the unit matrix; None of neither.
    """
    if kernels == "numpy":
        from admmirnn import reference

        monkeypatch.setattr(backend, "kernels", lambda: reference)
    rng, (n_hidden, n_directions) = np.random.default_rng(0), FORMS[form]
    network = new_network(
        3,
        n_hidden,
        2,
        cell=cell_named(cell),
        dtype=np.float64,
        random_state=np.random.RandomState(0),
        read_out="last" if read_out == "each" else read_out,
        bidirectional=n_directions == 2,
    )
    for array in network.trained:
        array += 0.3 * rng.normal(size=array.shape)
    if first_states:
        for direction in itertools.chain.from_iterable(network.layers):
            direction.s_0, direction.learns_s_0 = 0.5 * rng.normal(size=direction.n_hidden), True
            if direction.cell.has_cell_state:
                direction.c_0 = 0.5 * rng.normal(size=direction.n_hidden)
    codes, X = rng.integers(0, 3, LENGTHS.sum()), rng.normal(size=(LENGTHS.sum(), 3))
    sequences = Sequences.of_lengths(X if symbols is None else np.eye(3)[codes], LENGTHS)
    if symbols:
        sequences = replace(Sequences.of_lengths(codes[:, None].astype(np.uint8), LENGTHS), n_symbols=3)
    n_targets = LENGTHS.sum() if read_out == "each" else len(LENGTHS)
    weights = rng.uniform(0.5, 2, n_targets)
    loss, targets = (
        (SoftmaxCrossEntropy(), rng.integers(0, 2, n_targets))
        if read_out in ("last", "each")
        else (SquaredError(), rng.normal(size=(n_targets, 2)))
    )
    solver = Rollout(rho=1e9, momentum=0.0, gram_decay=0.0, multiplier_cap=None, gram_every=1)
    order = Shuffled(network, sequences, len(LENGTHS), False, np.random.RandomState(0))
    fit = Fit(solver, Problem(network, order, targets, loss, weights=weights, dropout=dropout))
    for work in itertools.chain.from_iterable(fit.works if dropout else ()):
        if work.room.H is not None:
            work.room.H[:] = np.nan  # as a minibatch that was thrown away may leave it
    return network, fit


def take(fit):
    """Make all sequences the minibatch, with the same masks whenever this is called."""
    if fit.dropout:
        fit.dropout.random_state.seed(0)
    fit.take(np.arange(len(LENGTHS)))


def check(network, fit):
    """All that is summed up against central differences of the loss."""

    def loss():
        take(fit)
        fit.sweep_forward()
        return fit.batch_loss

    def minus_gradient(array, h=1e-5):
        found = np.empty_like(array)
        for index in np.ndindex(array.shape):
            ends = []
            for sign in (1, -1):
                before, array[index] = array[index], array[index] + sign * h
                ends.append(loss())
                array[index] = before
            found[index] = (ends[1] - ends[0]) / (2 * h)
        return found

    loss()
    with backend.one_blas_thread():
        fit.sweep_backward()
        fit.agree()
        fit.fold()
    pairs = [(layer.weights, layer.M.copy()) for layer in fit.layers]
    directions = itertools.chain.from_iterable(network.layers)
    for direction, states in zip(directions, fit.initial_states, strict=bool(fit.initial_states)):
        sizes = list(direction.initial.values())
        pairs += zip(sizes, np.split(states.M.copy(), len(sizes)), strict=True)
    for array, found in pairs:
        expected = minus_gradient(array)
        assert np.abs(expected).max() > 1e-4
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-8)


SLOWER = pytest.param("numpy", marks=pytest.mark.slow)
EVERY_FORM = pytest.mark.parametrize(
    "form", [pytest.param(form, marks=[pytest.mark.slow] if "direction" in form else []) for form in FORMS]
)


@pytest.mark.parametrize("kernels", ["compiled", SLOWER])
@pytest.mark.parametrize("read_out", READ_OUTS)
@EVERY_FORM
@pytest.mark.parametrize("cell", CELLS)
def test_sums_are_minus_the_gradient(cell, form, read_out, kernels, monkeypatch):
    check(*case_of(cell, form, read_out, kernels, monkeypatch, first_states=False))


@pytest.mark.parametrize("kernels", ["compiled", SLOWER])
@pytest.mark.parametrize("read_out", READ_OUTS)
@EVERY_FORM
@pytest.mark.parametrize("cell", CELLS)
def test_with_dropout_they_are_of_the_masked_loss(cell, form, read_out, kernels, monkeypatch):
    check(*case_of(cell, form, read_out, kernels, monkeypatch, first_states=False, dropout=0.3))


@pytest.mark.parametrize("kernels", ["compiled", "numpy"])
@pytest.mark.parametrize("read_out", READ_OUTS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cell", ["elman", "lstm"])
def test_a_mask_scales_the_columns_that_read_the_states(cell, form, read_out, kernels, monkeypatch):
    network, fit = case_of(cell, form, read_out, kernels, monkeypatch, first_states=True, dropout=0.3)
    take(fit)
    fit.sweep_forward()
    work, every_step = fit.works[-1][0], read_out == "each"
    batch, Q = work.batch, work.Q[work.batch.rows_of_outputs()] if every_step else work.Q
    sequence_of = batch.sequences_of_rows() if every_step else np.arange(len(batch))
    assert len({work.room.mask.tobytes() for works in fit.works for work in works}) == sum(map(len, fit.works))
    for i in range(len(batch)):
        before = [array.copy() for array in network.trained]
        for works, readers in zip(fit.works, (*network.layers[1:], ()), strict=True):
            mask = np.concatenate([work.room.mask[i] for work in works])
            matrices = [
                one
                for reader in readers
                for of, one in zip(reader.cell.maps, reader.maps, strict=True)
                if of.columns[0][0] == "x"
            ]
            for matrix in matrices or [network.Psi]:
                matrix[:, : len(mask)] *= mask
        expected = network.outputs(fit.sequences, every_step=every_step)
        for array, was in zip(network.trained, before, strict=True):
            array[:] = was
        if every_step:
            first = fit.first_steps[batch.indices[i]]
            expected = expected[first : first + batch.lengths[i]]
        else:
            expected = expected[batch.indices[i]][None]
        np.testing.assert_allclose(Q[sequence_of == i], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kernels", ["compiled", SLOWER])
@EVERY_FORM
@pytest.mark.parametrize("cell", CELLS)
def test_those_of_learnt_first_states_are_too(cell, form, kernels, monkeypatch):
    check(*case_of(cell, form, "last", kernels, monkeypatch, first_states=True))


@pytest.mark.parametrize("kernels", ["compiled", "numpy"])
@pytest.mark.parametrize("form", ["one layer", "two of both"])
@pytest.mark.parametrize("cell", CELLS)
def test_symbols_are_the_rows_of_the_unit_matrix(cell, form, kernels, monkeypatch):
    fits = []
    for symbols in (True, False):
        _, fit = case_of(cell, form, "each", kernels, monkeypatch, first_states=False, symbols=symbols)
        fit.take(np.arange(len(LENGTHS)))
        with backend.one_blas_thread():
            fit.sweep_forward()
            fit.sweep_backward()
            fit.agree()
            fit.fold()
            fit.update_weights()
        fits.append(fit)
    for of_symbols, of_rows in zip(*(fit.layers for fit in fits), strict=True):
        for name in ("M", "D", "weights"):
            np.testing.assert_allclose(getattr(of_symbols, name), getattr(of_rows, name), rtol=0, atol=1e-12)
        np.testing.assert_allclose(of_symbols.outcome, of_rows.outcome, rtol=1e-9)
        if of_symbols.R is not None:
            np.testing.assert_allclose(np.tril(of_symbols.R), np.tril(of_rows.R), rtol=0, atol=1e-12)
