"""Variables that obey the network's equations, and how far others are from it."""

from cython cimport floating
from libc.string cimport memcpy

from admmirnn._kernels._activations cimport Activation, activate, named
from admmirnn._kernels._blas cimport gemm
from admmirnn._kernels._layout cimport fits


def roll_out(const floating[:, ::1] Theta, const Py_ssize_t[::1] offsets, str activation, floating[:, ::1] Z_out):
    """Write the states of all steps into Z: s_t = f(U x_t + W s_{t-1} + b), Theta = [U W b]."""
    cdef Activation f = named(activation)
    cdef Py_ssize_t n = Theta.shape[0], m = Theta.shape[1], N = offsets.shape[0] - 2, d = m - n - 1, t, active
    cdef floating* states
    if d < 1 or Z_out.shape[1] != m or not fits(offsets, Z_out.shape[0]):
        raise ValueError("roll_out: the shapes of Theta, offsets and Z do not belong together")
    with nogil:
        for t in range(N):
            active = offsets[t + 1] - offsets[t]
            states = &Z_out[offsets[t + 1], d]
            # S[t + 1][:active] = f(Z[t] @ Theta.T)
            gemm[floating](False, True, active, n, m, 1, &Z_out[offsets[t], 0], m, &Theta[0, 0], m, 0, states, m)
            activate(f, states, active, n, m)


def residuals(const floating[:, ::1] Theta, const floating[:, ::1] Psi, const floating[:, ::1] Z,
              const floating[:, ::1] H, const floating[:, ::1] A, const floating[:, ::1] O, str activation,
              floating[:, ::1] a_residual_out, floating[:, ::1] s_residual_out, floating[:, ::1] o_residual_out):
    """a_t - U x_t - W s_{t-1} - b,  s_t - f(a_t),  o_t - V s_t - c, a row for every step of every sequence."""
    cdef Activation f = named(activation)
    cdef Py_ssize_t rows = A.shape[0], n = Theta.shape[0], m = Theta.shape[1], K = Psi.shape[0], i, j
    cdef floating* difference
    if Z.shape[0] < rows or Z.shape[1] != m or H.shape[0] != rows or H.shape[1] != n + 1 or A.shape[1] != n \
            or O.shape[0] != rows or O.shape[1] != K or Psi.shape[1] != n + 1 or a_residual_out.shape[0] != rows \
            or a_residual_out.shape[1] != n or s_residual_out.shape[0] != rows or s_residual_out.shape[1] != n \
            or o_residual_out.shape[0] != rows or o_residual_out.shape[1] != K:
        raise ValueError("residuals: the shapes do not belong together")
    with nogil:
        memcpy(&a_residual_out[0, 0], &A[0, 0], rows * n * sizeof(floating))
        # a_residual = A - Z @ Theta.T
        gemm[floating](False, True, rows, n, m, -1, &Z[0, 0], m, &Theta[0, 0], m, 1, &a_residual_out[0, 0], n)
        memcpy(&s_residual_out[0, 0], &A[0, 0], rows * n * sizeof(floating))
        activate(f, &s_residual_out[0, 0], rows, n, n)
        for i in range(rows):
            difference = &s_residual_out[i, 0]
            for j in range(n):
                difference[j] = H[i, j] - difference[j]
        memcpy(&o_residual_out[0, 0], &O[0, 0], rows * K * sizeof(floating))
        # o_residual = O - H @ Psi.T
        gemm[floating](False, True, rows, K, n + 1, -1, &H[0, 0], n + 1, &Psi[0, 0], n + 1, 1, &o_residual_out[0, 0], K)
