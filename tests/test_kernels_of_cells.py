"""Kernels refuse arrays that do not belong to a layer of a cell, whatever the cell's object says of its sizes."""

from types import SimpleNamespace

import numpy as np
import pytest

from admmirnn import backend
from admmirnn.data.sequences import Sequences
from admmirnn.losses import SoftmaxCrossEntropy
from admmirnn.networks.cells import CELLS, GATED, GRU, LSTM, cell_named
from admmirnn.networks.start import new_network
from admmirnn.solvers.rollout.state import Layer, Targets, Workspace

COMPILED = backend._compiled()
LENGTHS = np.array([3, 1, 5, 2, 3])
D, N_HIDDEN, K = 2, 4, 3  # of which no matrix is square
FENCE = 1024  # bytes
B, N_ROWS = len(LENGTHS), LENGTHS.sum()
HUGE = (2**31, 2**62, 2**63 - 1)  # what sums and products of sizes have no room for
CHANGES = {
    "a row less": lambda array: array[:-1].copy(),
    "a column less": lambda array: array[..., :-1].copy(),
    "turned": lambda array: np.ascontiguousarray(array.T),
    "columns first": lambda array: np.asfortranarray(array),
    "of another precision": lambda array: array.astype(np.float32),
    "of one dimension": np.ravel,
    "none": lambda array: np.empty((0, 0)),
    "missing": lambda array: None,
}


class Case:
    """A layer of a cell, which another one reads or whose outputs are the last ones, with room for one minibatch."""

    def __init__(self, cell, read_out="last", n=N_HIDDEN, dtype=np.float64):
        self.rng = rng = np.random.default_rng(0)
        sequences = Sequences.of_lengths(rng.normal(size=(N_ROWS, D)).astype(dtype), LENGTHS)
        seed = np.random.RandomState(0)
        network = new_network(D, [n], K, cell=cell_named(cell), dtype=dtype, random_state=seed)
        network.Psi[:] = rng.normal(size=network.Psi.shape)
        if read_out == "none":
            network.Psi = np.zeros((0, n + 1), dtype)
        elif read_out != "each":
            network.read_out = read_out
        network.s_0, network.learns_s_0 = np.zeros(n, dtype), True
        with backend.one_blas_thread():
            work = Workspace(COMPILED, network, read_out, sequences, B, Targets(SoftmaxCrossEntropy()), with_R=True)
        if read_out == "none":
            work.room.lambda_s[:] = rng.normal(size=work.room.lambda_s.shape)
        self.room, self.maps = work.room, network.cell.maps
        self.room.lambda_x = np.zeros((N_ROWS, D), dtype)
        self.batch = batch = sequences.minibatch(np.arange(B))
        self.initial = rng.normal(size=(B, n)).astype(dtype)
        self.initial_c = rng.normal(size=(B, n)).astype(dtype) if network.cell.has_cell_state else None
        n_outputs = batch.offsets[-1] - batch.offsets[1] if read_out == "each" else B
        self.lambda3 = None if read_out == "none" else rng.normal(size=(n_outputs, K)).astype(dtype)
        self.weights = np.ones(n_outputs, dtype)

    def run(self):
        """Both sweeps, and what they say of the first map."""
        batch, room = self.batch, self.room
        work = COMPILED.work(room)
        of_kernel = COMPILED.batch(batch.observations, 1.0, batch.first_rows, batch.lengths, batch.offsets)
        COMPILED.forward(work, of_kernel, initial=self.initial, initial_c=self.initial_c)
        COMPILED.backward(work, of_kernel, self.lambda3, self.weights, 1.0, 0, 1)
        for which, matrix in enumerate(room.maps):
            columns = self.maps[which].columns
            layer = Layer(matrix, 0.01, n_ones=[part for part, _ in columns].count("1"), matrix_penalty=True)
            COMPILED.fold(work, COMPILED.linear_map(layer, np.zeros(layer.room, matrix.dtype)), 0.5, 0.5, 0.5, which)
        return np.concatenate([room.S.ravel(), room.sums, room.counts])


class Fenced:
    """A copy of an array with something on both sides of it."""

    def __init__(self, array):
        self.buffer = np.full(array.nbytes + 2 * FENCE, 0xA5, np.uint8)
        self.array = self.buffer[FENCE:-FENCE].view(array.dtype).reshape(array.shape)
        self.array[:] = array

    def stands(self):
        return (self.buffer[:FENCE] == 0xA5).all() and (self.buffer[-FENCE:] == 0xA5).all()


def arrays_of(cell, read_out):
    room = Case(cell, read_out).room
    found = [name for name, value in vars(room).items() if isinstance(value, np.ndarray) and value.ndim == 2]
    return [name for name in found if not (read_out == "none" and name in ("Q", "Psi", "O_plus", "lambda3"))]


MAY_BE_MISSING = "lambda_x", "initial_multipliers"
WRONG_ARRAYS = [
    pytest.param(cell, read_out, name, change, id=f"{cell}-{read_out}-{name}-{change}")
    for cell in GATED
    for read_out in ("last", "none")
    for name in arrays_of(cell, read_out)
    for change in CHANGES
    if not (change == "missing" and name in MAY_BE_MISSING)
]


@pytest.mark.parametrize("read_out", ["last", "none"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_layer_as_it_should_be_is_taken(cell, read_out):
    assert np.isfinite(Case(cell, read_out).run()).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("read_out", ["last", "mean", "max", "each", "none"])
@pytest.mark.parametrize("cell", CELLS)
def test_nothing_is_written_beside_an_array(cell, read_out, dtype):
    """However many units there are, and so many are left over of the last vector of a processor."""
    for n in (1, 3, 4, 7, 16, 19, 33):
        case = Case(cell, read_out, n, dtype)
        expected, fences = case.run(), {}
        for name, value in vars(case.room).items():
            if isinstance(value, np.ndarray) and value.size:
                fences[name] = Fenced(np.zeros_like(value) if name not in ("Psi", "lambda_s") else value)
                setattr(case.room, name, fences[name].array)
        np.testing.assert_array_equal(case.run(), expected)
        assert not [name for name, fence in fences.items() if not fence.stands()]


@pytest.mark.parametrize(("cell", "read_out", "name", "change"), WRONG_ARRAYS)
def test_wrong_arrays_of_a_room_are_refused(cell, read_out, name, change):
    case = Case(cell, read_out)
    setattr(case.room, name, CHANGES[change](getattr(case.room, name)))
    with pytest.raises((ValueError, TypeError)):
        case.run()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("cell", GATED)
def test_wrong_maps_are_refused(cell, change):
    n_maps = len(Case(cell).room.maps)
    for which in range(n_maps):
        case = Case(cell)
        case.room.maps = list(case.room.maps)
        case.room.maps[which] = CHANGES[change](case.room.maps[which])
        with pytest.raises((ValueError, TypeError)):
            COMPILED.work(case.room)
    case = Case(cell)
    matrices = case.room.maps
    for wrong in ((), matrices[:-1], (*matrices, matrices[0])):
        case.room.maps = wrong
        with pytest.raises(ValueError, match=r"work: maps has \d matrices; the cell has \d maps"):
            COMPILED.work(case.room)


@pytest.mark.parametrize("change", [change for change in CHANGES if change != "missing"])
@pytest.mark.parametrize("name", ["initial", "initial_c"])
@pytest.mark.parametrize("cell", GATED)
def test_wrong_states_to_start_from_are_refused(cell, name, change):
    case = Case(cell)
    setattr(case, name, CHANGES[change](np.zeros((B, N_HIDDEN))))
    with pytest.raises(ValueError):
        case.run()


@pytest.mark.parametrize("cell", [name for name in CELLS if name != "lstm"])
def test_a_cell_without_a_cell_state_starts_from_none(cell):
    case = Case(cell)
    case.initial_c = np.zeros((B, N_HIDDEN))
    with pytest.raises(ValueError, match="initial_c is given, and the cell has no cell state"):
        case.run()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("d", 1), ("n", 3), ("K", 2), ("K", 0)),
        *((name, value) for name in ("d", "n", "K", "gram_block", "n_threads") for value in HUGE),
    ],
)
@pytest.mark.parametrize("cell", CELLS)
def test_sizes_that_are_not_those_of_the_arrays_are_refused(cell, name, value):
    case = Case(cell)
    setattr(case.room, name, value)
    with pytest.raises(ValueError):
        case.run()


@pytest.mark.parametrize("name", ["sums", "counts"])
@pytest.mark.parametrize("cell", GATED)
def test_too_little_room_for_sums_is_refused(cell, name):
    case = Case(cell)
    setattr(case.room, name, getattr(case.room, name)[:-1].copy())
    with pytest.raises(ValueError, match=f"{name} has "):
        case.run()


@pytest.mark.parametrize("other", CELLS)
@pytest.mark.parametrize("cell", GATED)
def test_the_sizes_of_a_cell_are_those_of_its_name(cell, other):
    """Whatever else its object says."""
    case, of_other = Case(cell), Case(other)
    of_other.room.cell = SimpleNamespace(name=other, activation="tanh", n_columns=1, n_kept=1, n_biases=7, maps=())
    np.testing.assert_array_equal(of_other.run(), Case(other).run())
    if cell != other:
        case.room.cell = of_other.room.cell
        with pytest.raises(ValueError):
            case.run()


@pytest.mark.parametrize("changed", [{"n_kept": 1}, {"n_kept": 9}, {"n_biases": 1}, {"has_cell_state": None}])
@pytest.mark.parametrize("cell", [GRU(), LSTM()])
def test_sizes_of_a_step_are_those_of_the_kernel(cell, changed):
    has_c = cell.has_cell_state
    said = {"name": cell.name, "n_kept": cell.n_kept, "n_biases": 0, "has_cell_state": has_c} | changed
    if said["has_cell_state"] is None:
        said["has_cell_state"] = not has_c
    lying, (s_before, states, multipliers) = SimpleNamespace(**said), np.zeros((3, 2, 4))
    c_before, c, lambda_c = np.zeros((3, 2, 4)) if said["has_cell_state"] else (None,) * 3
    A, biases = np.zeros((2, said["n_kept"] * 4)), np.zeros(4) if said["n_biases"] else None
    with pytest.raises(ValueError, match="step_rows: .*(must be|is None)"):
        COMPILED.step_rows(lying, A, s_before, biases, c_before, states, c)
    if not said["n_biases"]:
        with pytest.raises(ValueError, match="pull_back_rows: .*(must be|is None)"):
            COMPILED.pull_back_rows(lying, A, s_before, c_before, c, multipliers, lambda_c)
