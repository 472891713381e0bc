"""How fast BLAS multiplies, by form and by how many rows at a time: ``python -m bench.products [n ...]``.

These are the figures behind ``_blas.rows_at_once`` and behind the forms in which the kernels ask for their products.
One BLAS thread, GFLOP/s, the best of several passes over 4,000 rows.
"""

import argparse
import time

import numpy as np
from scipy.linalg import blas
from threadpoolctl import threadpool_limits

from bench.accept import processor

ROWS = (8, 16, 32, 48, 60, 64, 125, 250, 500)
N_ROWS = 4000
PASSES = 15


def rate(flops, product, rows):
    """GFLOP/s of a product of some rows, taken piece after piece."""
    seconds = []
    for _ in range(PASSES):
        start = time.perf_counter()
        for first in range(0, N_ROWS - rows + 1, rows):
            product(first)
        seconds.append(time.perf_counter() - start)
    return flops * (N_ROWS // rows) * rows / min(seconds) / 1e9


def forms(gemm, n, d, dtype):
    """For each form its name, its arithmetic a row, and a function of the first row and the number of rows."""
    rng = np.random.default_rng(0)
    S, L, X = (rng.standard_normal((N_ROWS, width)).astype(dtype) / 100 for width in (n, n, d))
    W, C, C_x = np.ones((n, n), dtype), np.zeros((n, n), dtype), np.zeros((d, n), dtype)
    out = np.zeros((N_ROWS, n), dtype)

    # a row-major matrix is its own transpose to BLAS, so that C = A B is asked for as C' = B' A'
    def rows_times(first, rows, trans):
        gemm(1.0, W.T, S[first : first + rows].T, trans_a=trans, beta=0.0, c=out[first : first + rows].T, overwrite_c=1)

    def sum_of(A, B, sums):
        def add(first, rows):
            gemm(
                1.0, B[first : first + rows].T, A[first : first + rows].T, trans_b=1, beta=1.0, c=sums.T, overwrite_c=1
            )

        return add

    return (
        ("S @ W", 2 * n * n, lambda first, rows: rows_times(first, rows, 0)),
        ("S @ W.T", 2 * n * n, lambda first, rows: rows_times(first, rows, 1)),
        ("L.T @ S", 2 * n * n, sum_of(L, S, C)),
        ("X.T @ L", 2 * n * d, sum_of(X, L, C_x)),
    )


def main():
    parser = argparse.ArgumentParser(prog="python -m bench.products", description=__doc__)
    parser.add_argument("n", nargs="*", type=int, default=[128, 512], help="hidden units (default: 128 512)")
    sizes = parser.parse_args().n
    print(processor())
    with threadpool_limits(1, "blas"):
        for gemm, dtype in ((blas.sgemm, np.float32), (blas.dgemm, np.float64)):
            for n in sizes:
                print(f"\n{np.dtype(dtype).name}, n = {n}, d = 29\n{'rows':>8}" + "".join(f"{rows:8}" for rows in ROWS))
                for name, flops, product in forms(gemm, n, 29, dtype):
                    rates = [rate(flops, lambda first, r=rows, p=product: p(first, r), rows) for rows in ROWS]
                    print(f"{name:>8}" + "".join(f"{found:8.1f}" for found in rates), flush=True)


if __name__ == "__main__":
    main()
