"""Sums over a minibatch: the same on both back ends, added up over workers, and folded in only then."""

import math
from dataclasses import replace

import numpy as np
import pytest

from admmirnn import RNNClassifier, RNNRegressor, Status, backend
from admmirnn.data.sequences import Sequences
from admmirnn.losses import SoftmaxCrossEntropy
from admmirnn.networks import ElmanRNN
from admmirnn.solvers import workers
from admmirnn.solvers.rollout.state import Layer, Targets, Workspace
from admmirnn.solvers.rollout.sums import Figures, Sums
from admmirnn.solvers.workers import OneProcess

pytestmark = pytest.mark.elman

COMPILED, NUMPY = backend._compiled(), backend._numpy()
BACKENDS = pytest.mark.parametrize("kernels", [COMPILED, NUMPY], ids=["compiled", "numpy"])
READ_OUTS = ("last", "each", "mean", "max")
LENGTHS = np.array([4, 9, 1, 6, 6, 2, 9, 3])


@pytest.fixture(autouse=True, scope="module")
def one_blas_thread():
    with backend.one_blas_thread():
        yield


def problem(read_out, *, symbols=False):
    """A network, sequences of unequal lengths, and their targets."""
    rng, d, K = np.random.default_rng(0), 3, 4
    if symbols:
        codes = rng.integers(0, d, (LENGTHS.sum(), 1)).astype(np.uint8)
        sequences = replace(Sequences.of_lengths(codes, LENGTHS), n_symbols=d)
    else:
        sequences = Sequences.of_lengths(rng.normal(size=(LENGTHS.sum(), d)), LENGTHS)
    network = ElmanRNN.random(d, 5, K, dtype=np.float64, random_state=np.random.RandomState(1), symbols=symbols)
    network.Psi[:] = rng.normal(size=network.Psi.shape)
    return network, sequences, rng.integers(0, K, LENGTHS.sum() if read_out == "each" else len(LENGTHS))


def pass_back(kernels, read_out, indices, *, symbols=False, gram_first=0):
    """The workspace after both sweeps over these sequences."""
    network, sequences, y = problem(read_out, symbols=symbols)
    work = Workspace(kernels, network, read_out, sequences, len(indices), Targets(SoftmaxCrossEntropy()), with_R=True)
    work.load(sequences.minibatch(np.array(indices)), sequences.first_steps, y, None)
    kernels.forward(work.work, work.kernel_batch, targets=work.targets)
    kernels.backward(work.work, work.kernel_batch, work.lambda3, work.weights, 1.0, gram_first, 1)
    return work


def folded(kernels, work, *, symbols=False):
    """M, G and R of the hidden layer, M and G of the output layer, from nothing."""
    room = work.room
    layers = [
        Layer(room.maps[0], None, n_symbols=room.d if symbols else 0, matrix_penalty=True),
        Layer(room.Psi, None),
    ]
    hidden, output = (kernels.linear_map(layer, np.empty(layer.room)) for layer in layers)
    kernels.fold(work.work, hidden, 0.0, 0.0)
    kernels.fold_outputs(output, work.output_sums, work.output_counts, 0.0, 0.0)
    of_hidden, of_output = layers
    return [of_hidden.M, np.tril(of_hidden.R), of_output.M, np.tril(of_output.G), lower(of_hidden.G)]


def lower(G):
    """What is of use of G, or of those columns of it that there are of symbols."""
    d = len(G) - G.shape[1]
    return np.vstack([G[:d], np.tril(G[d:])])


@pytest.mark.parametrize("symbols", [False, True])
@pytest.mark.parametrize("read_out", READ_OUTS)
def test_both_back_ends_leave_the_same_sums(read_out, symbols):
    found, expected = (pass_back(kernels, read_out, range(8), symbols=symbols) for kernels in (COMPILED, NUMPY))
    n = found.room.n
    np.testing.assert_allclose(found.output_counts, expected.output_counts, rtol=1e-14)
    R, expected_R = (np.tril(work.counts[-n * n :].reshape(n, n)) for work in (found, expected))
    np.testing.assert_allclose(R, expected_R, rtol=1e-10)
    for one, other in zip(blocks(found, symbols), blocks(expected, symbols), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12 * max(1, np.abs(other).max()))


@BACKENDS
@pytest.mark.parametrize("symbols", [False, True])
def test_steps_that_no_sequence_reaches_leave_G_as_it_is(kernels, symbols):
    """As where all parts of a minibatch are shorter than what steps are counted by: nothing is divided by none."""
    work = pass_back(kernels, "last", range(8), symbols=symbols, gram_first=LENGTHS.max())
    M, _, _, _, G = folded(kernels, work, symbols=symbols)
    assert np.isfinite(M).all() and not G.any()


def blocks(work, symbols):
    """The sums one by one, in the order of ``_kernels/statistics.pxd``; of Gram matrices what is of use."""
    d, n, K = work.room.d, work.room.n, work.room.K
    of_G = [(d, n + 1)] if symbols else [(d + 1, d + 1), (n, d + 1)]
    shapes = [(d + 1, n), (n, n), *of_G, (n, n), (K, n + 1), (n + 1, n + 1)]
    triangular = {1 + len(of_G) + 1, 1 + len(of_G) + 3} | (set() if symbols else {2})
    first = 0
    for i, shape in enumerate(shapes):
        block = work.sums[first : first + shape[0] * shape[1]].reshape(shape)
        first += block.size
        yield np.tril(block) if i in triangular else block
    assert first == len(work.sums)


@BACKENDS
@pytest.mark.parametrize("symbols", [False, True])
@pytest.mark.parametrize("read_out", READ_OUTS)
def test_sums_of_workers_fold_to_what_one_would_have(kernels, read_out, symbols):
    workers = [pass_back(kernels, read_out, some, symbols=symbols) for some in ([0, 3, 6], [1, 2], [4, 5, 7])]
    for other in workers[1:]:
        workers[0].sums += other.sums
        workers[0].counts += other.counts
    whole = pass_back(kernels, read_out, range(8), symbols=symbols)
    found, expected = (folded(kernels, work, symbols=symbols) for work in (workers[0], whole))
    for one, other in zip(found, expected, strict=True):
        assert np.abs(other).max() > 0
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12 * np.abs(other).max())


class Twice(OneProcess):
    """The reducer of two workers that have found the same."""

    rank, size = 0, 1
    n_calls = 0

    def sum(self, sums):
        Twice.n_calls += 1
        assert np.shares_memory(sums.whole, sums.doubles) and np.shares_memory(sums.whole, sums.numbers)
        assert sums.whole.nbytes == sums.doubles.nbytes + sums.numbers.nbytes
        sums.doubles *= 2
        sums.numbers *= 2


@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"s_0": "learn"}, {"dtype": "float64"}], ids=str)
@pytest.mark.parametrize("estimator", [RNNClassifier, RNNRegressor])
def test_twice_the_same_minibatch_moves_the_weights_alike(estimator, options, monkeypatch, backend_name):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 6, 2))
    y = (X[:, :, 0].sum(axis=1) > 0).astype(int)
    kept = estimator(6, max_epochs=2, random_state=0, **options).fit(X, y)
    monkeypatch.setattr(workers, "OneProcess", Twice)
    doubled = estimator(6, max_epochs=2, random_state=0, **options).fit(X, y)
    assert Twice.n_calls > 0
    for name in ("U_", "W_", "b_", "V_", "c_"):
        np.testing.assert_array_equal(getattr(doubled, name), getattr(kept, name))


def test_one_process_leaves_its_sums_alone():
    sums = Sums(np.dtype("float32"), [4], [(3, 9)])
    sums.numbers[:], sums.counts[0][:] = [1, 2, 3], [4, 5, 6, 7]
    before = sums.whole.copy()
    OneProcess().sum(sums)
    np.testing.assert_array_equal(sums.whole, before)


def test_the_sums_of_kernels_stand_side_by_side_and_scratch_is_where_the_next_ones_will_be():
    sums = Sums(np.dtype("float32"), [4, 9], [(3, 20), (5, 7)])
    assert [len(room) for room in sums.rooms] == [20, 7]
    assert len(sums.numbers) == 8
    sums.rooms[0][:] = -1
    sums.rooms[0][:3] = 1
    sums.rooms[1][:] = -1
    sums.rooms[1][:5] = 2
    np.testing.assert_array_equal(sums.numbers, [1] * 3 + [2] * 5)
    for counts, n in zip(sums.counts, (4, 9), strict=True):
        assert len(counts) == n
        counts[:] = n
    assert (sums.doubles == 4).sum() == 4
    assert (sums.doubles == 9).sum() == 9
    assert sums.whole.nbytes == sums.doubles.nbytes + sums.numbers.nbytes
    sums.clear()
    assert not sums.whole.any()


def test_decisions_are_taken_from_sums_over_workers():
    sums = Sums(np.dtype("float64"), [4], [(3, 3)])
    sums.write(0.5, 1.0, 3, 4, 5, 6)
    sums.ask_for_end(Status.TIME_LIMIT, 0.25)
    assert sums.read() == Figures(0.5, 1.0, 3, 4, 5, 6, 0.25, Status.TIME_LIMIT)
    of_other = Sums(np.dtype("float64"), [4], [(3, 3)])
    sums.write(0.5, 1.0, 3, 4, 5, 6, is_part=True)
    sums.ask_for_end(Status.TIME_LIMIT, 0.25)
    of_other.write(2.0, 3.0, 1, 2, 3, 0, is_part=True)
    of_other.doubles += sums.doubles
    assert of_other.read() == Figures((0.5 * 4 + 2.0 * 6) / 10, 10 / 6, 4, 6, 8, 6, 0.25, Status.TIME_LIMIT)
    of_other.write(math.inf, 1.0, None, 0, 0, 0)
    assert of_other.read() == Figures(math.inf, 1.0, None, 0, 0, 0, 0.0, None)
    sums.clear()
    nothing = sums.read()
    assert math.isnan(nothing.loss) and math.isnan(nothing.mean_weight)


def test_an_output_layer_has_no_symbols():
    layer = Layer(np.zeros((1, 400)), 0.03, n_symbols=399)
    of_kernel = COMPILED.linear_map(layer, np.zeros(layer.room))
    with pytest.raises(ValueError, match="fold_outputs"):
        COMPILED.fold_outputs(of_kernel, np.ones(400 + 400 * 400), np.ones(4), 0.0, 0.0)


@pytest.mark.parametrize(
    ("kernel", "arguments"),
    [
        ("weight_step", (None, 0.0, 0.0, 0.0, 0.0)),
        ("move_weights", (None, 0.0)),
        ("mirror", (np.zeros((2, 2)), None, np.zeros((2, 2)))),
        ("fold", (None, None, 0.0, 0.0)),
        ("fold_outputs", (None, np.ones(2), np.ones(4), 0.0, 0.0)),
        ("forward", (None, None)),
        ("backward", (None, None, None, None, 1.0, 0, 1)),
    ],
)
def test_none_is_no_object_of_a_kernel(kernel, arguments):
    with pytest.raises(TypeError, match="None"):
        getattr(COMPILED, kernel)(*arguments)


def test_targets_that_are_made_when_asked_for_live_until_the_sweep_is_done():
    network, sequences, y = problem("last")
    work = Workspace(COMPILED, network, "last", sequences, len(LENGTHS), Targets(SoftmaxCrossEntropy()))
    work.load(sequences.minibatch(np.arange(len(LENGTHS))), sequences.first_steps, y, None)

    class Made:
        rho, loss, parameter = work.targets.rho, work.targets.loss, work.targets.parameter
        labels = property(lambda self: work.targets.labels.copy())
        values = None
        weights = property(lambda self: work.targets.weights.copy())

    found = [COMPILED.forward(work.work, work.kernel_batch, None, None, of) for of in (work.targets, Made())]
    assert found[0] == found[1]
