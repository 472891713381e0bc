"""What large minibatches and rounds cost in accuracy: row MNIST over several workers, beside one process.

    ADMMIRNN_DATA=... python -m bench.rounds step [--seeds 3] [--apart]
    ADMMIRNN_DATA=... mpiexec -n 4 python -m mpi4py -m bench.rounds ranks [--seeds 3] [--apart]
    ADMMIRNN_DATA=... python -m bench.rounds dask [--seeds 3] [--epochs 1] [--per-round 10] [--apart]

``step`` is one process with the minibatches that 1, 4 and 8 ranks have together, 125 sequences for each of them, whose
sums are those of the ranks; their solvers' settings follow the rule in docs/guide/distributed.md.
``ranks`` is the same on as many ranks as mpiexec starts.
``dask`` fits on a LocalCluster of 4 workers, with the sequences dealt out at random, and sorted by label, with and
without the multipliers of consensus.  Scores are those of the test set, or, with ``--apart``, of 5,000 images that are
taken out of the training set.
"""

import argparse
import math
import statistics

import numpy as np

from admmirnn import RNNClassifier, Rollout
from admmirnn.datasets import load_mnist

PER_RANK, RADIUS, OUTPUT_RADIUS = 125, 0.01, 0.03


def solver_of(n_ranks):
    """The solver for minibatches of so many ranks."""
    factor = math.sqrt(n_ranks)
    memory = {} if n_ranks < 4 else {"gram_decay": 0.7 if n_ranks < 8 else 0.6, "momentum": 0.6}
    return Rollout(radius=factor * RADIUS, output_radius=factor * OUTPUT_RADIUS, **memory)


def data(apart):
    """What to train with, and what to score."""
    X, y = load_mnist("train")
    if not apart:
        return X, y, *load_mnist("test")
    order = np.random.RandomState(1234).permutation(len(X))
    others, taken = order[5000:], order[:5000]
    return X[others], y[others], X[taken], y[taken]


def show(name, scores):
    print(f"{name:40} {statistics.mean(scores):.4f}   {' '.join(f'{score:.4f}' for score in scores)}", flush=True)


def in_step(n_seeds, n_epochs, apart):
    X, y, X_test, y_test = data(apart)
    for n_ranks in (1, 4, 8):
        scores = []
        for seed in range(n_seeds):
            model = RNNClassifier(
                solver=solver_of(n_ranks), batch_size=PER_RANK * n_ranks, max_epochs=n_epochs, random_state=seed,
                n_threads=1,
            )  # fmt: skip
            scores.append(model.fit(X, y).score(X_test, y_test))
        show(f"{n_ranks} ranks in step", scores)


def on_ranks(n_seeds, n_epochs, apart):
    from mpi4py import MPI

    from admmirnn.distributed import MPIReducer

    reducer, scores = MPIReducer(MPI.COMM_WORLD), []
    X, y, X_test, y_test = data(apart)
    own = slice(reducer.rank, None, reducer.size)
    for seed in range(n_seeds):
        model = RNNClassifier(solver=solver_of(reducer.size), max_epochs=n_epochs, random_state=seed, n_threads=1)
        model.fit(X[own], y[own], reducer=reducer)
        if reducer.rank == 0:
            scores.append(model.score(X_test, y_test))
    if reducer.rank == 0:
        show(f"{reducer.size} ranks of MPI in step", scores)


def part_of(order, i, n_parts, apart):
    """A partition, which every worker reads by itself."""
    X, y, *_ = data(apart)
    indices = np.array_split(np.argsort(y, kind="stable") if order == "sorted" else np.arange(len(X)), n_parts)[i]
    return X[indices], y[indices]


def on_dask(n_seeds, n_epochs, per_round, apart, n_workers=4):
    import dask
    from dask.distributed import Client, LocalCluster

    from admmirnn.distributed import DaskTrainer

    *_, X_test, y_test = data(apart)
    with (
        LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        for order in ("dealt", "sorted"):
            for consensus in (False, True):
                scores = []
                for seed in range(n_seeds):
                    parts = [dask.delayed(part_of)(order, i, n_workers, apart) for i in range(n_workers)]
                    model = RNNClassifier(max_epochs=n_epochs, random_state=seed, n_threads=1)
                    trainer = DaskTrainer(model, client, iterations_per_round=per_round, consensus=consensus)
                    scores.append(trainer.fit(parts).estimator_.score(X_test, y_test))
                name = "consensus" if consensus else "plain means"
                show(f"rounds of {per_round}, {order}, {name}", scores)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("step", "ranks", "dask"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--per-round", type=int, default=10)
    parser.add_argument("--apart", action="store_true", help="score images of the training set, and not the test set")
    options = parser.parse_args()
    if options.what == "step":
        in_step(options.seeds, options.epochs, options.apart)
    elif options.what == "ranks":
        on_ranks(options.seeds, options.epochs, options.apart)
    else:
        on_dask(options.seeds, options.epochs, options.per_round, options.apart)


if __name__ == "__main__":
    main()
