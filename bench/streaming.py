"""How fast streams are: microseconds per step, against the same network in numpy and in PyTorch.

Each figure is a median over rounds in which everything that it compares has its turn, by the processor's seconds.
"""

import numpy as np

from admmirnn import RNNRegressor, backend
from admmirnn.networks import new_network
from admmirnn.networks.cells import cell_named
from admmirnn.streaming import Answer, Stream
from bench.measure import alternately, median_and_range, report, skipped
from bench.pytorch import INSTALLED, MISSING

ROUNDS = 9
N_STEPS = 2000
N, D, K = 128, 3, 3
MOST_MICROSECONDS = {1: 5, 64: 40}  # by the number of streams
MOST_MICROSECONDS_OF_GATES = {"fastgrnn": 4, "gru": 8}  # of one stream, by the cell


def streaming(seeds):
    """Streams of a regressor with 128 units and three features, called from Python with one observation at a time."""
    rng = np.random.default_rng(seeds(1)[0])
    X = rng.normal(size=(100, 20, D)).astype(np.float32)
    model = RNNRegressor(N, cell="elman", max_epochs=2, random_state=0).fit(X, X.cumsum(axis=1))
    with backend.one_blas_thread():
        met = all([compare(model, n_streams, rng) for n_streams in MOST_MICROSECONDS])
    stream, many = model.stream(), rng.normal(size=(100_000, D)).astype(np.float32)
    found = 1e6 * alternately(3, read=lambda: stream.read(many))["read"] / len(many)
    name = "100,000 observations in one call, us each"
    met &= report(name, median_and_range(found), "<= 5", np.median(found) <= 5)
    return met & all([gates(cell, rng) for cell in MOST_MICROSECONDS_OF_GATES])


def gates(cell, rng):
    """One stream of a cell with gates, as it starts: what a step costs does not depend on the weights."""
    network = new_network(
        D, (N,), K, cell=cell_named(cell), dtype=np.dtype("float32"), random_state=np.random.RandomState(0)
    )
    stream = Stream(network, Answer("values", np.zeros(K), np.ones(K)), 1.0, (1, 1))
    observations = rng.normal(size=(N_STEPS, 1, D)).astype(np.float32)
    found = 1e6 * alternately(ROUNDS, stream=loop_over(stream, observations))["stream"] / N_STEPS
    most = MOST_MICROSECONDS_OF_GATES[cell]
    return report(f"1 stream of {cell}, us per step", median_and_range(found), f"<= {most}", np.median(found) <= most)


def compare(model, n_streams, rng):
    """So many streams against the loops of others."""
    met, n_steps = True, N_STEPS // (1 if n_streams == 1 else 10)
    observations = rng.normal(size=(n_steps, n_streams, D)).astype(np.float32)
    loops = {
        "stream": loop_over(model.stream(n_streams), observations),
        "numpy": loop_over(numpy_loop(model, n_streams), observations),
    }
    if INSTALLED:
        loops["PyTorch"] = torch_loop(model, n_streams, observations)
    microseconds = {name: 1e6 * seconds / n_steps for name, seconds in alternately(ROUNDS, **loops).items()}
    median = np.median(microseconds["stream"])
    most = MOST_MICROSECONDS[n_streams]
    met &= report(
        f"{n_streams} stream(s), us per step", median_and_range(microseconds["stream"]), f"<= {most}", median <= most
    )
    for name in ("numpy", "PyTorch"):
        if name not in microseconds:
            skipped(f"{n_streams} stream(s): {name} / ours", MISSING)
            continue
        ratios = microseconds[name] / microseconds["stream"]
        found = f"{median_and_range(ratios, 1)} ({np.median(microseconds[name]):.1f} us)"
        met &= report(f"{n_streams} stream(s): {name} / ours", found, ">= 1", np.median(ratios) >= 1)
    return met


def loop_over(function, observations):
    """Call the function with one observation after the other, without the axis of the streams if there is one."""
    rows = list(observations[:, 0] if observations.shape[1] == 1 else observations)

    def loop():
        for x in rows:
            function(x)

    return loop


def numpy_loop(model, n_streams):
    """What a user would write."""
    U_T, W_T, V_T = (np.ascontiguousarray(weights.T) for weights in (model.U_, model.W_, model.V_))
    s = np.zeros(N if n_streams == 1 else (n_streams, N), np.float32)

    def step(x):
        nonlocal s
        s = np.tanh(x @ U_T + s @ W_T + model.b_)
        return model.target_mean_ + model.target_scale_ * (s @ V_T + model.c_)

    return step


def torch_loop(model, n_streams, observations):
    """nn.RNNCell and nn.Linear, without gradients, on one thread."""
    import torch

    torch.set_num_threads(1)
    cell, read_out = torch.nn.RNNCell(D, N), torch.nn.Linear(N, K)
    with torch.no_grad():
        weights = {"weight_ih": model.U_, "weight_hh": model.W_, "bias_ih": model.b_, "bias_hh": 0 * model.b_}
        for name, values in weights.items():
            getattr(cell, name).copy_(torch.from_numpy(values))
        read_out.weight.copy_(torch.from_numpy(model.V_))
        read_out.bias.copy_(torch.from_numpy(model.c_))
    rows = list(torch.from_numpy(observations[:, 0] if n_streams == 1 else observations))

    def loop():
        s = torch.zeros(N) if n_streams == 1 else torch.zeros(n_streams, N)
        with torch.inference_mode():
            for x in rows:
                s = cell(x, s)
                read_out(s)

    return loop


SECTIONS = (streaming,)
