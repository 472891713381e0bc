"""Every kernel against its numpy twin, alone."""

import pytest

from bench import flops
from bench.cases import BROAD, LARGE, LOSSES, MIDDLE, OF_ALGORITHM_1, SMALL, calls, calls_of_algorithm1
from bench.measure import backend_named

VARIANTS = pytest.mark.parametrize("variant", ["compiled", "numpy"])
GRAM = (1, 4)  # the steps 1, 5, ... go into G


def at_sizes(*sizes, quick):
    """Say at which sizes a benchmark runs, and at which with ``--quick``."""

    def decorate(function):
        function.sizes, function.quick_sizes = sizes, quick
        return function

    return decorate


def measure_kernel(measure, calls_of, name, size, dtype, variant, count=None):
    with backend_named(variant) as kernels:
        function, arguments = getattr(kernels, name.split()[0]), calls_of(kernels, size, dtype)[name]
        measure(
            lambda: function(*arguments), kernel=name, size=size, dtype=dtype, variant=variant,
            flops=count and count(size),
        )  # fmt: skip


@VARIANTS
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("forward", flops.forward),
        ("backward", lambda size: flops.backward(size, *GRAM)),
        ("fold", None),
        ("weight_step", lambda size: flops.weight_step(size.m, size.n, factor_every=1)),
        ("move_weights", None),
    ],
)
@at_sizes(SMALL, MIDDLE, BROAD, LARGE, quick=(SMALL, MIDDLE))
def test_rollout(measure, name, count, size, dtype, variant):
    measure_kernel(measure, calls, name, size, dtype, variant, count)


@VARIANTS
@at_sizes(SMALL, BROAD, quick=(MIDDLE,))
def test_generation(measure, size, dtype, variant):
    measure_kernel(measure, calls, "generate", size, dtype, variant)


@VARIANTS
@pytest.mark.parametrize("name", [f"{kernel} {loss.name}" for kernel in ("o_step", "loss_value") for loss in LOSSES])
@at_sizes(SMALL, BROAD, quick=(MIDDLE,))
def test_loss(measure, name, size, dtype, variant):
    measure_kernel(measure, calls, name, size, dtype, variant)


@VARIANTS
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("roll_out", flops.roll_out_of_all_rows),
        ("residuals", flops.residuals),
        ("a_step", None),
    ],
)
@pytest.mark.benchmark(min_rounds=3)  # the twin of the a-step takes seconds
@at_sizes(SMALL, OF_ALGORITHM_1, quick=(SMALL,))
def test_algorithm1(measure, name, count, size, dtype, variant):
    measure_kernel(measure, calls_of_algorithm1, name, size, dtype, variant, count)


@VARIANTS
@at_sizes(SMALL, quick=(SMALL,))  # a larger one: the whole iteration in test_training.py
def test_sweep(measure, size, dtype, variant):
    measure_kernel(measure, calls_of_algorithm1, "sweep", size, dtype, variant)
