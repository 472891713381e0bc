"""The session of ``pytest --benchmark``: the machine's limit at the start, the table at the end."""

import statistics

import numpy as np
import pytest
import scipy

import admmirnn
from bench.measure import blas_of_kernels, gemm_limit, processor
from bench.table import table

LIMITS = pytest.StashKey()
ROWS = pytest.StashKey()


def pytest_generate_tests(metafunc):
    """Sizes of one precision and no large ones, when it is to be quick."""
    quick = metafunc.config.option.quick
    if "dtype" in metafunc.fixturenames:
        metafunc.parametrize("dtype", ["float32"] if quick else ["float32", "float64"])
    if "size" in metafunc.fixturenames:
        sizes = getattr(metafunc.function, "quick_sizes" if quick else "sizes")
        metafunc.parametrize("size", sizes, ids=lambda size: f"n{size.n}-B{size.B}")


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info["gemm_limit"] = config.stash.get(LIMITS, {})
    machine_info["processor"] = processor()
    machine_info["blas"], machine_info["blas_architecture"] = blas_of_kernels()
    machine_info["versions"] = {package.__name__: package.__version__ for package in (admmirnn, np, scipy)}


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(config, output_json):
    config.stash[ROWS] = [
        found["extra_info"] | {"seconds": statistics.median(found["stats"]["data"]) / found["extra_info"]["calls"]}
        for found in output_json["benchmarks"]
    ]


def pytest_collection_finish(session):
    """Measure the limit before the first benchmark."""
    if session.items and session.config.option.benchmark and not session.config.option.collectonly:
        session.config.stash[LIMITS] = {dtype: gemm_limit(dtype) for dtype in ("float32", "float64")}


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, config):
    rows, limits = config.stash.get(ROWS, []), config.stash.get(LIMITS, {})
    if not rows:
        return
    terminalreporter.section("medians of processor seconds on one thread; of the clock on two")
    for line in table(rows, limits):
        terminalreporter.write_line(line)
    of = ", ".join(f"{limit / 1e9:.1f} GFLOP/s in {dtype}" for dtype, limit in limits.items())
    terminalreporter.write_line(f"gemm limit of one thread: {of}; {processor()}, {' '.join(blas_of_kernels())}")
    terminalreporter.write_line(f"written to {config.option.benchmark_json}")


@pytest.fixture
def measure(benchmark):
    """A function that measures another one: ``measure(function, kernel=..., size=..., dtype=..., ...)``.

    ``variant`` says how it is computed: "compiled", "numpy", or anything that the table is to name; ``flops`` are those
    of one call, None if they are not counted; ``calls``: how many of what the table reports are in a call of
    ``function``, to which ``flops`` belong as well.
    """

    def run(function, *, kernel, size, dtype, variant, flops=None, calls=1):
        benchmark.group = f"{kernel}, {size}, {dtype}"
        benchmark.extra_info.update(
            kernel=kernel, size=str(size), dtype=dtype, variant=variant, flops=flops, calls=calls
        )  # fmt: skip
        with admmirnn.backend.one_blas_thread():
            benchmark(function)

    return run
