"""Variables that obey the network's equations, and how far others are from it."""

from cython cimport floating
from libc.string cimport memcpy

from admmirnn._kernels._activations cimport Activation, activate, named
from admmirnn._kernels._arrays cimport ANY, misfit
from admmirnn._kernels._blas cimport gemm
from admmirnn._kernels._layout cimport MOST, fits


def roll_out(Py_ssize_t d, Py_ssize_t n, const floating[:, ::1] Theta, const Py_ssize_t[::1] offsets, str activation,
             floating[:, ::1] Z_out):
    """Write the states of all steps into Z: s_t = f(U x_t + W s_{t-1} + b), Theta = [U W b] (n, d + n + 1)."""
    cdef Activation f = named(activation)
    cdef Py_ssize_t m, N = offsets.shape[0] - 2, t, active
    cdef floating* states
    if not (1 <= d <= MOST and 1 <= n <= MOST):
        raise ValueError(f"roll_out: d is {d} and n is {n}, which must be from 1 to {<int> MOST}")
    m = d + n + 1
    if Theta.shape[0] != n or Theta.shape[1] != m or Z_out.shape[1] != m \
            or not fits(offsets, Z_out.shape[0]):
        raise misfit("roll_out", [("Theta", Theta, (n, m)), ("Z_out", Z_out, (ANY, m))],
                     f"offsets are not the first rows of blocks that fill the {Z_out.shape[0]} rows of Z_out, with "
                     "at least one row each and never fewer than before")
    with nogil:
        for t in range(N):
            active = offsets[t + 1] - offsets[t]
            states = &Z_out[offsets[t + 1], d]
            # S[t + 1][:active] = f(Z[t] @ Theta.T)
            gemm[floating](False, True, active, n, m, 1, &Z_out[offsets[t], 0], m, &Theta[0, 0], m, 0, states, m)
            activate(f, states, active, n, m)


def residuals(variables, str activation, floating[:, ::1] a_residual_out, floating[:, ::1] s_residual_out,
              floating[:, ::1] o_residual_out):
    """a_t - U x_t - W s_{t-1} - b,  s_t - f(a_t),  o_t - V s_t - c, a row for every step of every sequence.

    ``variables`` has d, n, K, Theta, Psi, Z, H, A and O; see `admmirnn.solvers.variables.Variables`.
    """
    cdef Activation f = named(activation)
    cdef const floating[:, ::1] Theta = variables.Theta, Psi = variables.Psi, Z = variables.Z, H = variables.H
    cdef const floating[:, ::1] A = variables.A, outputs = variables.O
    cdef Py_ssize_t d = variables.d, n = variables.n, K = variables.K, m, rows = A.shape[0], i, j
    cdef floating* difference
    if not (0 <= d <= MOST and 0 <= n <= MOST and 0 <= K <= MOST):
        raise ValueError(f"residuals: d is {d}, n is {n} and K is {K}, which must be from 0 to {<int> MOST}")
    m = d + n + 1
    if Theta.shape[0] != n or Theta.shape[1] != m or Psi.shape[0] != K or Psi.shape[1] != n + 1 \
            or Z.shape[0] < rows or Z.shape[1] != m or H.shape[0] != rows or H.shape[1] != n + 1 or A.shape[1] != n \
            or outputs.shape[0] != rows or outputs.shape[1] != K or a_residual_out.shape[0] != rows \
            or a_residual_out.shape[1] != n or s_residual_out.shape[0] != rows or s_residual_out.shape[1] != n \
            or o_residual_out.shape[0] != rows or o_residual_out.shape[1] != K:
        raise misfit("residuals", [
            ("Theta", Theta, (n, m)), ("Psi", Psi, (K, n + 1)), ("Z", Z, ((rows,), m)), ("H", H, (rows, n + 1)),
            ("A", A, (rows, n)), ("O", outputs, (rows, K)), ("a_residual_out", a_residual_out, (rows, n)),
            ("s_residual_out", s_residual_out, (rows, n)), ("o_residual_out", o_residual_out, (rows, K))], "")
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
        memcpy(&o_residual_out[0, 0], &outputs[0, 0], rows * K * sizeof(floating))
        # o_residual = O - H @ Psi.T
        gemm[floating](False, True, rows, K, n + 1, -1, &H[0, 0], n + 1, &Psi[0, 0], n + 1, 1, &o_residual_out[0, 0], K)
