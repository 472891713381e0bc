"""The golden cases of cells with gates: every intermediate of one iteration, and the weights after it."""

from types import SimpleNamespace

import numpy as np
import pytest

from admmirnn import Rollout, backend
from admmirnn.data.sequences import Sequences
from admmirnn.losses import SoftmaxCrossEntropy
from admmirnn.networks.cells import CELLS, cell_named
from admmirnn.networks.start import new_network
from admmirnn.solvers.rollout.state import Layer, Targets, Workspace

TOLERANCES = {"float64": 1e-9, "float32": 1e-4}
GATED = [name for name in CELLS if name != "elman"]


@pytest.mark.parametrize("metric", ["identity", "multipliers"])
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("name", GATED)
def test_one_iteration(golden_cells, backend_name, name, dtype, metric):
    case, tolerance, kernels = golden_cells(name), TOLERANCES[dtype], backend.kernels()
    cell = CELLS[name]()
    X = [x[:length] for x, length in zip(case["X"], case["lengths"], strict=True)]
    sequences, B, n = Sequences.of_lengths(np.concatenate(X).astype(dtype), case["lengths"]), len(X), 4
    maps = tuple(case[f"{of.name}.0"].astype(dtype) for of in cell.maps)
    network = SimpleNamespace(
        maps=maps, Psi=case["Psi"].astype(dtype), cell=cell, n_hidden=n, n_features=3, n_outputs=3,
        dtype=np.dtype(dtype), learns_s_0=False,
    )  # fmt: skip
    targets = Targets(SoftmaxCrossEntropy(), float(case["rho"]))
    with_R = metric == "multipliers"
    work = Workspace(kernels, network, "last", sequences, B, targets, with_R=with_R)
    batch = sequences.minibatch(np.arange(B))
    work.load(batch, sequences.first_steps, case["y"], np.ones(B, dtype))
    with backend.one_blas_thread():
        kernels.forward(work.work, work.kernel_batch, targets=targets)
        np.testing.assert_allclose(work.Q, case["o_roll"][batch.indices], atol=tolerance)
        np.testing.assert_allclose(work.O_plus, case["o_plus"][batch.indices], atol=tolerance)
        for i, (index, length) in enumerate(zip(batch.indices, batch.lengths, strict=True)):
            rows = batch.offsets[batch.n_steps - length + 1 : batch.n_steps + 1] + i
            np.testing.assert_allclose(work.S[rows], case["states"][0, index, :length], atol=tolerance)

        kernels.backward(work.work, work.kernel_batch, work.lambda3, work.weights, np.inf, 0, 1)
        output = Layer(network.Psi, None)
        of_output = kernels.linear_map(output, np.empty(output.room, dtype))
        kernels.fold_outputs(of_output, work.output_sums, work.output_counts, 0.0, 0.0)
        np.testing.assert_allclose(output.M, case["stat_psi"], atol=tolerance)
        for which, (of, matrix) in enumerate(zip(cell.maps, maps, strict=True)):
            n_ones = [part for part, _ in of.columns].count("1")
            layer = Layer(matrix, None, n_ones=n_ones, matrix_penalty=with_R)
            of_kernel = kernels.linear_map(layer, np.empty(layer.room, dtype))
            kernels.fold(work.work, of_kernel, 0.0, 0.0, 0.0, which)
            np.testing.assert_allclose(layer.M, case[f"stat.{of.name}.0"], atol=tolerance)
            np.testing.assert_allclose(np.tril(layer.G), np.tril(case[f"gram.{of.name}.0"]), atol=tolerance)
            if with_R:
                expected = np.tril(case[f"gram_lambda.{of.name}.0"])
                np.testing.assert_allclose(np.tril(layer.R), expected, atol=tolerance)
            matrix_0, kind = matrix.copy(), "_matrix" if with_R else ""
            for ending, radius in (("free", np.inf), ("radius", float(case["radius"]))):
                matrix[:] = matrix_0
                _, length, _, _ = kernels.weight_step(of_kernel, float(case["damping"]), float(case["r"]), radius, 1.0)
                assert kernels.move_weights(of_kernel, length)
                np.testing.assert_allclose(matrix, case[f"{of.name}.0{kind}_{ending}"], atol=tolerance)


@pytest.mark.parametrize("ending", ["free", "radius"])
@pytest.mark.parametrize("metric", ["identity", "multipliers"])
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("layers", [*([name] for name in CELLS), ["gru", "gru"]], ids="_".join)
def test_weights_after_an_iteration_of_the_solver(golden_cells, backend_name, layers, dtype, metric, ending):
    case = golden_cells("_".join(layers))
    steps = np.concatenate([x[:length] for x, length in zip(case["X"], case["lengths"], strict=True)])
    sequences = Sequences.of_lengths(steps.astype(dtype), case["lengths"])
    sizes, seed = [4] * len(layers), np.random.RandomState(0)
    network = new_network(3, sizes, 3, cell=cell_named(layers[0]), dtype=np.dtype(dtype), random_state=seed)
    matrices = {"Psi": network.Psi}
    for i, (direction,) in enumerate(network.layers):
        for of, matrix in zip(direction.cell.maps, direction.maps, strict=True):
            matrices[f"{of.name}.{i}"] = matrix
    for name, matrix in matrices.items():
        matrix[:] = case[name]
    rho, r, damping, radius = (float(case[name]) for name in ("rho", "r", "damping", "radius"))
    solver = Rollout(
        rho=rho, r=r, damping=damping, radius=radius if ending == "radius" else None,
        output_radius=radius if ending == "radius" else None, schedule="constant", gram_decay=0.0, momentum=0.0,
        multiplier_cap=None, gram_every=1, metric=metric,
    )  # fmt: skip
    options = {"penalty": 0.0, "max_epochs": 1, "batch_size": len(case["y"]), "random_state": seed}
    outcome = solver.solve(network, sequences, case["y"], SoftmaxCrossEntropy(), **options)
    assert outcome.history[-1]["rollbacks"] == 0
    for name, matrix in matrices.items():
        kind = "_matrix" if metric == "multipliers" and name != "Psi" else ""
        np.testing.assert_allclose(matrix, case[f"{name}{kind}_{ending}"], rtol=0, atol=TOLERANCES[dtype])
        assert not np.allclose(matrix, case[name], rtol=0, atol=TOLERANCES[dtype])
