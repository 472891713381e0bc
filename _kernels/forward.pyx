"""Packing observations into a minibatch, rolling the network out over it, and reading the outputs."""

from cython cimport floating
from libc.string cimport memcpy, memset

from admmirnn._kernels._activations cimport Activation, activate, named
from admmirnn._kernels._blas cimport gemm
from admmirnn._kernels._layout cimport fits


def pack(const floating[:, ::1] observations, const Py_ssize_t[::1] first_rows, const Py_ssize_t[::1] lengths,
         const Py_ssize_t[::1] offsets, floating[:, ::1] Z_out):
    """Copy the observations of a minibatch into Z, with zero initial states and the column of ones.

    Sequence ``i`` is ``observations[first_rows[i]:first_rows[i] + lengths[i]]``; lengths do not increase.
    The states that a roll-out writes are left as they are.
    """
    cdef Py_ssize_t B = lengths.shape[0], N = offsets.shape[0] - 2, d = observations.shape[1]
    cdef Py_ssize_t m = Z_out.shape[1], n = m - d - 1, i, t, start
    cdef floating* z
    if n < 1 or first_rows.shape[0] != B or not fits(offsets, Z_out.shape[0]) or offsets[N + 1] - offsets[N] != B:
        raise ValueError("pack: the shapes of observations, lengths, offsets and Z do not belong together")
    for i in range(B):
        if lengths[i] < 1 or lengths[i] > N or first_rows[i] < 0 or first_rows[i] + lengths[i] > observations.shape[0]:
            raise ValueError(f"pack: sequence {i} is not among the observations")
    with nogil:
        for i in range(B):
            start = N - lengths[i]
            for t in range(start, N):
                z = &Z_out[offsets[t] + i, 0]
                memcpy(z, &observations[first_rows[i] + t - start, 0], d * sizeof(floating))
                if t == start:
                    memset(z + d, 0, n * sizeof(floating))
                z[m - 1] = 1
            z = &Z_out[offsets[N] + i, 0]
            memset(z, 0, d * sizeof(floating))
            z[m - 1] = 1


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


def read_last(const floating[:, ::1] Z, const Py_ssize_t[::1] offsets, floating[:, ::1] H_out):
    """Copy h = [s_N, 1] of every sequence out of the last block."""
    cdef Py_ssize_t B = H_out.shape[0], columns = H_out.shape[1], d = Z.shape[1] - columns, i
    cdef Py_ssize_t first = Z.shape[0] - B
    if d < 1 or not fits(offsets, Z.shape[0]) or first != offsets[offsets.shape[0] - 2]:
        raise ValueError("read_last: the shapes of Z, offsets and H do not belong together")
    with nogil:
        for i in range(B):
            memcpy(&H_out[i, 0], &Z[first + i, d], columns * sizeof(floating))


def read_out(const floating[:, ::1] H, const floating[:, ::1] Psi, floating[:, ::1] Q_out):
    """Q = V s + c for every row h = [s, 1] of H, Psi = [V c]."""
    cdef Py_ssize_t B = H.shape[0], columns = H.shape[1], K = Psi.shape[0]
    if Psi.shape[1] != columns or Q_out.shape[0] != B or Q_out.shape[1] != K:
        raise ValueError("read_out: the shapes of H, Psi and Q do not belong together")
    with nogil:
        # Q = H @ Psi.T
        gemm[floating](False, True, B, K, columns, 1, &H[0, 0], columns, &Psi[0, 0], columns, 0, &Q_out[0, 0], K)
