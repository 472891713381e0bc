"""Whole iterations of both solvers and whole predictions, as a user's calls make them."""

import time

import pytest

from bench import flops
from bench.cases import BROAD, LARGE, MIDDLE, OF_ALGORITHM_1, SMALL, Training, algorithm1, network_of, problem
from bench.flops import Size
from bench.measure import backend_named
from bench.pytorch import INSTALLED, MISSING, GradientTraining
from bench.test_kernels import VARIANTS, at_sizes


def batches_of_an_epoch(size):
    """Few large minibatches, many small ones, as an epoch has a record to make; every step of them goes into G once."""
    return 48 if size.n < 64 else 4


def measure_training(measure, training, size, dtype, variant):
    n_batches = batches_of_an_epoch(size)
    with training:
        measure(
            training.epoch, kernel="iteration", size=size, dtype=dtype, variant=variant, flops=flops.iteration(size),
            calls=n_batches,
        )  # fmt: skip


@VARIANTS
@at_sizes(SMALL, MIDDLE, BROAD, LARGE, quick=(SMALL, MIDDLE))
def test_iteration(measure, size, dtype, variant):
    training = Training(size, dtype, batches_of_an_epoch(size), variant)
    measure_training(measure, training, size, dtype, variant)


@pytest.mark.benchmark(timer=time.perf_counter)
@at_sizes(BROAD, quick=(BROAD,))
def test_iteration_on_two_threads(measure, size, dtype):
    training = Training(size, dtype, batches_of_an_epoch(size), n_threads=2)
    measure_training(measure, training, size, dtype, "2 threads")


@pytest.mark.skipif(not INSTALLED, reason=MISSING)
@at_sizes(SMALL, MIDDLE, BROAD, LARGE, quick=(SMALL, MIDDLE))
def test_iteration_of_pytorch(measure, size, dtype):
    """nn.RNN forward and backward, gradients clipped, Adam."""
    n_batches = batches_of_an_epoch(size)
    training = GradientTraining(size, *problem(size, dtype, n_batches), max_norm=1.0)
    training.epoch()
    measure(
        training.epoch, kernel="iteration", size=size, dtype=dtype, variant="PyTorch",
        flops=flops.training_by_gradients(size), calls=n_batches,
    )  # fmt: skip


@VARIANTS
@at_sizes(Size(n=128, B=10_000, N=28, d=28, K=10), quick=(Size(n=128, B=1000, N=28, d=28, K=10),))
def test_prediction(measure, size, dtype, variant):
    network, (sequences, _) = network_of(size, dtype), problem(size, dtype)
    with backend_named(variant):
        measure(
            lambda: network.outputs(sequences), kernel="prediction", size=size, dtype=dtype, variant=variant,
            flops=flops.forward(size),
        )  # fmt: skip


@VARIANTS
@at_sizes(OF_ALGORITHM_1, quick=(SMALL,))
@pytest.mark.benchmark(min_rounds=3)
def test_iteration_of_algorithm1(measure, size, dtype, variant):
    """The sweep, the multipliers, the residuals, and the losses of o and of the roll-out."""
    with Training(size, dtype, backend_name=variant, solver=algorithm1()) as training:
        measure(training.epoch, kernel="iteration of Algorithm 1", size=size, dtype=dtype, variant=variant)
