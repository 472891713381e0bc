"""What the measurements share: the machine and its limit, the choice of a back end, how a figure is reported."""

import os
import platform
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import scipy
from scipy.linalg import blas
from threadpoolctl import threadpool_info

from admmirnn import backend

_SHAPES_OF_LIMIT = ((500, 128, 128), (512, 512, 512))


def report(name, found, target, met):
    print(f"  {'met   ' if met else 'NOT MET'}  {name}: {found}  (target {target})", flush=True)
    return met


def skipped(name, reason):
    """Say that a figure was not measured; this neither meets nor misses its target."""
    print(f"  skipped  {name}: {reason}", flush=True)
    return True


def blas_kernel():
    """What OpenBLAS calls the kernels that it has chosen for this processor."""
    backend.kernels()  # loads it
    found = {library.get("architecture", "unknown") for library in threadpool_info() if library["user_api"] == "blas"}
    return f"BLAS kernels {', '.join(sorted(found))}"


def spread(values):
    each = " ".join(f"{value:.4f}" for value in values)
    return f"mean {np.mean(values):.4f}, sd {np.std(values, ddof=1):.4f}, {each}" if len(values) > 1 else each


def median_and_range(values, digits=2):
    return f"median {np.median(values):.{digits}f}, {np.min(values):.{digits}f} to {np.max(values):.{digits}f}"


@contextmanager
def backend_named(name):
    """Run what is inside on one back end."""
    before = os.environ.get("ADMMIRNN_BACKEND")
    os.environ["ADMMIRNN_BACKEND"] = name
    try:
        yield backend.kernels()
    finally:
        if before is None:
            del os.environ["ADMMIRNN_BACKEND"]
        else:
            os.environ["ADMMIRNN_BACKEND"] = before


def processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def blas_of_kernels():
    """Name, version and architecture of the BLAS that the kernels call, SciPy's."""
    backend.kernels()
    found = scipy.show_config(mode="dicts")["Build Dependencies"]["blas"]
    architectures = {
        library.get("architecture")
        for library in backend.ThreadpoolController().info()
        if library["user_api"] == "blas"
    }
    return f"{found['name']} {found['version']}", "/".join(sorted(filter(None, architectures))) or "unknown"


@cache
def _products_of_limit(dtype):
    """The products that the limit is measured at, each with its arithmetic, in the column-major order of BLAS."""
    gemm = blas.get_blas_funcs("gemm", dtype=np.dtype(dtype))
    rng = np.random.default_rng(0)
    products = []
    for m, n, k in _SHAPES_OF_LIMIT:
        A, B = (np.asfortranarray(rng.normal(size=shape), dtype) for shape in ((m, k), (k, n)))
        C = np.zeros((m, n), dtype, order="F")
        products.append((lambda A=A, B=B, C=C: gemm(1.0, A, B, c=C, beta=0.0, overwrite_c=True), 2 * m * n * k))
    return products


def gemm_limit(dtype, seconds=0.5):
    """Arithmetic operations a second of the fastest matrix product on one thread, the best of some seconds."""
    best = 0.0
    with backend.one_blas_thread():
        for product, flops in _products_of_limit(np.dtype(dtype).name):
            product()
            until = time.perf_counter() + seconds / len(_SHAPES_OF_LIMIT)
            while time.perf_counter() < until:
                best = max(best, flops / seconds_of(product))
    return best


def seconds_of(function, clock=time.process_time):
    """Seconds of the processor, which another process on the same core does not add to, or of another clock."""
    started = clock()
    function()
    return clock() - started


def alternately(rounds, clock=time.process_time, **functions):
    """Call the functions in turn, after one call each that does not count; their seconds by name, an array each."""
    for function in functions.values():
        function()
    seconds = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            seconds[name].append(seconds_of(function, clock))
    return {name: np.array(values) for name, values in seconds.items()}
