"""The weight step of one layer: a damped Cholesky solve, the length of the step, and the move."""

from cython cimport floating
from libc.math cimport isfinite, sqrt
from libc.string cimport memcpy

from admmirnn._kernels._blas cimport axpy, dot, potrf, potrs, symm


def direction(const floating[:, ::1] M, const floating[:, ::1] G, double damping, floating[:, ::1] factor_out,
              floating[:, ::1] D_out, floating[:, ::1] DG_out):
    """D = M (G + damping tr(G)/m I)^-1, and |D| = sqrt(tr(D G D^T) / n).

    Returns |D| and the damping in force.  When the damped G is not positive definite to working precision, the
    damping is raised tenfold until it is.  |D| is NaN when M or G is not finite, and D is then of no use.
    """
    cdef Py_ssize_t n = M.shape[0], m = M.shape[1], i
    cdef double trace = 0, square, norm
    cdef double least = 1e-6 if floating is float else 1e-14
    cdef floating shift
    if G.shape[0] != m or G.shape[1] != m or factor_out.shape[0] != m or factor_out.shape[1] != m \
            or D_out.shape[0] != n or D_out.shape[1] != m or DG_out.shape[0] != n or DG_out.shape[1] != m:
        raise ValueError("direction: the shapes do not belong together")
    with nogil:
        for i in range(m):
            trace += G[i, i]
        while isfinite(trace):
            memcpy(&factor_out[0, 0], &G[0, 0], m * m * sizeof(floating))
            shift = <floating> (damping * trace / m)
            for i in range(m):
                factor_out[i, i] += shift
            if potrf[floating](m, &factor_out[0, 0]) == 0 or not isfinite(shift):
                break
            damping = max(10 * damping, least)
        memcpy(&D_out[0, 0], &M[0, 0], n * m * sizeof(floating))
        # D = M @ inv(factor @ factor.T)
        potrs[floating](n, m, &factor_out[0, 0], &D_out[0, 0])
        # DG = D @ G
        symm[floating](n, m, &D_out[0, 0], &G[0, 0], &DG_out[0, 0])
        square = dot[floating](n * m, &D_out[0, 0], &DG_out[0, 0])
        if square < 0:                                 # by rounding
            square = 0
        # trace - trace is zero, or NaN when the trace is not finite
        norm = sqrt(square / n) + (trace - trace)
    return norm, damping


def move(const floating[:, ::1] D, double step, floating[:, ::1] weights_out):
    """weights += step * D"""
    if D.shape[0] != weights_out.shape[0] or D.shape[1] != weights_out.shape[1]:
        raise ValueError("move: the shapes do not belong together")
    with nogil:
        axpy[floating](D.shape[0] * D.shape[1], <floating> step, &D[0, 0], &weights_out[0, 0])
