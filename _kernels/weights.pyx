"""The weight step of one layer: a damped Cholesky solve, the length of the step, and the move."""

from cython cimport floating
from libc.math cimport isfinite, sqrt
from libc.string cimport memcpy

from admmirnn._kernels._blas cimport dot, potrf, solve_factored, symm


def direction(const floating[:, ::1] M, const floating[:, ::1] G, double damping, floating[:, ::1] factor_out,
              floating[:, ::1] D_out, floating[:, ::1] GD_out):
    """D = M (G + damping tr(G)/m I)^-1, and |D| = sqrt(tr(D G D^T) / p).

    ``M``, ``D_out`` and the scratch ``GD_out`` (m, p) hold the transposes.  Returns |D| and the damping in force.
    When the damped G is not positive definite to working precision, the damping is raised tenfold until it is.
    |D| is NaN when M or G is not finite, and D is then of no use.
    """
    cdef Py_ssize_t m = M.shape[0], p = M.shape[1], i
    cdef double trace = 0, square, whole, norm
    cdef double least = 1e-6 if floating is float else 1e-14
    cdef floating shift
    if G.shape[0] != m or G.shape[1] != m or factor_out.shape[0] != m or factor_out.shape[1] != m \
            or D_out.shape[0] != m or D_out.shape[1] != p or GD_out.shape[0] != m or GD_out.shape[1] != p:
        raise ValueError("direction: the shapes do not belong together")
    with nogil:
        for i in range(m):
            trace += G[i, i]
        shift = <floating> (damping * trace / m)
        while isfinite(trace):
            memcpy(&factor_out[0, 0], &G[0, 0], m * m * sizeof(floating))
            for i in range(m):
                factor_out[i, i] += shift
            if potrf[floating](m, &factor_out[0, 0]) == 0 or not isfinite(shift):
                break
            damping = max(10 * damping, least)
            shift = <floating> (damping * trace / m)
        memcpy(&D_out[0, 0], &M[0, 0], m * p * sizeof(floating))
        # D = inv(factor @ factor.T) @ M
        solve_factored[floating](m, p, &factor_out[0, 0], &D_out[0, 0])
        # tr(D^T G D) = tr(D^T M) - shift tr(D^T D), unless rounding would show
        whole = dot[floating](m * p, &D_out[0, 0], &M[0, 0])
        square = whole - shift * <double> dot[floating](m * p, &D_out[0, 0], &D_out[0, 0])
        if square < 0.01 * whole:
            # GD = G @ D
            symm[floating](m, p, &G[0, 0], &D_out[0, 0], &GD_out[0, 0])
            square = dot[floating](m * p, &D_out[0, 0], &GD_out[0, 0])
            if square < 0:                             # by rounding
                square = 0
        # trace - trace is zero, or NaN when the trace is not finite
        norm = sqrt(square / p) + (trace - trace)
    return norm, damping


def move(const floating[:, ::1] D, double step, floating[:, ::1] weights_out):
    """weights += step * D, with ``D`` (m, p) holding the transpose."""
    cdef Py_ssize_t m = D.shape[0], p = D.shape[1], i, j, first_i, first_j
    cdef floating length = <floating> step
    if weights_out.shape[0] != p or weights_out.shape[1] != m:
        raise ValueError("move: the shapes do not belong together")
    with nogil:
        for first_i in range(0, p, 16):
            for first_j in range(0, m, 16):
                for i in range(first_i, min(first_i + 16, p)):
                    for j in range(first_j, min(first_j + 16, m)):
                        weights_out[i, j] += length * D[j, i]
