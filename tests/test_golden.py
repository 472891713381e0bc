"""The golden roll-out case: every intermediate of one iteration, and the weights after it, on both back ends."""

import numpy as np
import pytest

from admmirnn import RNNClassifier, Rollout, backend
from admmirnn.data.sequences import Sequences
from admmirnn.losses import SoftmaxCrossEntropy
from admmirnn.networks import ElmanRNN
from admmirnn.solvers.rollout.state import Layer, Targets, Workspace

pytestmark = pytest.mark.elman

TOLERANCES = {"float64": 1e-9, "float32": 1e-4}


def sequences_of(case, dtype):
    X = [x[:length] for x, length in zip(case["X"], case["lengths"], strict=True)]
    return Sequences.of_lengths(np.concatenate(X).astype(dtype), case["lengths"])


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_every_intermediate(golden_rollout, backend_name, dtype):
    case, tolerance = golden_rollout, TOLERANCES[dtype]
    kernels = backend.kernels()
    sequences = sequences_of(case, dtype)
    B = len(sequences)
    network = ElmanRNN.of_weights({name: case[name].astype(dtype) for name in "UWbVc"})
    targets = Targets(SoftmaxCrossEntropy(), float(case["rho"]))
    work = Workspace(kernels, network, "last", sequences, B, targets)
    batch = sequences.minibatch(np.arange(B))
    work.load(batch, sequences.first_steps, case["y"], np.ones(B, dtype))

    kernels.forward(work.work, work.kernel_batch, targets=targets)
    np.testing.assert_allclose(work.Q, case["o_roll"][batch.indices], atol=tolerance)
    np.testing.assert_allclose(work.O_plus, case["o_plus"][batch.indices], atol=tolerance)
    np.testing.assert_allclose(work.lambda3, case["lambda3"][batch.indices], atol=tolerance)

    lambda1 = np.full((batch.n_rows, network.n_hidden), np.nan, dtype)
    for multipliers in (work.room.lambda1, lambda1):  # of two steps, and of all
        work.room.lambda1 = multipliers
        hidden, output = Layer(network.Theta, None), Layer(network.Psi, None)
        scratch, of_kernel = np.empty(hidden.room, dtype), kernels.work(work.room)
        kernels.backward(of_kernel, work.kernel_batch, work.lambda3, work.weights, np.inf, 0, 1)
        kernels.fold(of_kernel, kernels.linear_map(hidden, scratch), 0.0, 0.0)
        of_output = kernels.linear_map(output, scratch)
        kernels.fold_outputs(of_output, work.output_sums, work.output_counts, 0.0, 0.0)
        for layer, name in ((hidden, "theta"), (output, "psi")):
            np.testing.assert_allclose(layer.M, case[f"stat_{name}"], atol=tolerance)
            np.testing.assert_allclose(np.tril(layer.G), np.tril(case[f"gram_{name}"]), atol=tolerance)

    for i, (index, length) in enumerate(zip(batch.indices, batch.lengths, strict=True)):
        for t in range(length):  # the golden case aligns the first steps, the workspace the last ones
            block = batch.n_steps - length + t
            state = work.S[batch.offsets[block + 1] + i]
            np.testing.assert_allclose(state, case["states"][index, t], atol=tolerance)
            np.testing.assert_allclose(lambda1[batch.offsets[block] + i], case["lambda1"][index, t], atol=tolerance)


@pytest.mark.parametrize("kind", ["free", "radius"])
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("form", ["list", "gram of all steps"])
def test_weights_after_one_iteration_of_the_estimator(golden_rollout, backend_name, dtype, kind, form):
    case = golden_rollout
    radius = float(case["radius"]) if kind == "radius" else None
    solver = Rollout(
        rho=float(case["rho"]),
        r=float(case["r"]),
        radius=radius,
        output_radius=radius,
        schedule="constant",
        damping=float(case["damping"]),
        momentum=0.0,
        multiplier_cap=None,
        gram_every=4 if form == "list" else 1,
        metric="identity",
    )
    model = RNNClassifier(
        5,
        solver=solver,
        max_epochs=1,
        batch_size=7,
        shuffle=False,
        dtype=dtype,
        penalty=0.0,
        init={name: case[name] for name in "UWbVc"},
    ).fit([x[:length] for x, length in zip(case["X"], case["lengths"], strict=True)], case["y"])
    for name in "UWbVc":
        found = getattr(model, f"{name}_")
        assert found.dtype == dtype
        np.testing.assert_allclose(found, case[f"{name}_{kind}"], atol=TOLERANCES[dtype])
    assert model.history_[0]["rollbacks"] == 0


@pytest.mark.parametrize("kind", ["free", "radius"])
@pytest.mark.parametrize("metric", ["multipliers", "identity"])
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_weights_after_one_iteration_in_either_metric(golden_elman, backend_name, dtype, metric, kind):
    case, tolerance = golden_elman, TOLERANCES[dtype]
    Theta, Psi, d = case["Theta.0"], case["Psi"], case["X"].shape[2]
    radius = float(case["radius"]) if kind == "radius" else None
    solver = Rollout(
        rho=float(case["rho"]),
        r=float(case["r"]),
        radius=radius,
        output_radius=radius,
        schedule="constant",
        damping=float(case["damping"]),
        momentum=0.0,
        multiplier_cap=None,
        metric=metric,
    )
    model = RNNClassifier(
        4,
        solver=solver,
        max_epochs=1,
        batch_size=6,
        shuffle=False,
        dtype=dtype,
        penalty=0.0,
        init={"U": Theta[:, :d], "W": Theta[:, d:-1], "b": Theta[:, -1], "V": Psi[:, :-1], "c": Psi[:, -1]},
    ).fit([x[:length] for x, length in zip(case["X"], case["lengths"], strict=True)], case["y"])
    of_metric = "matrix_" if metric == "multipliers" else ""
    found = np.column_stack([model.U_, model.W_, model.b_])
    np.testing.assert_allclose(found, case[f"Theta.0_{of_metric}{kind}"], rtol=0, atol=tolerance)
    np.testing.assert_allclose(np.column_stack([model.V_, model.c_]), case[f"Psi_{kind}"], rtol=0, atol=tolerance)
    R = model._memory.layers[0].R
    if metric == "identity":
        assert R is None
    else:
        np.testing.assert_allclose(np.tril(R), np.tril(case["gram_lambda.Theta.0"]), rtol=0, atol=tolerance)
