"""The multipliers of the equations for a_t and s_t, from the last step back to the first."""

from cython cimport floating
from libc.math cimport sqrt

from admmirnn._kernels._activations cimport Activation, multiply_by_slope, named
from admmirnn._kernels._blas cimport dot, gemm
from admmirnn._kernels._layout cimport fits

cdef Py_ssize_t ROWS_IN_CACHE = 200              # enough for the matrix product to be fast


def backward(const floating[:, ::1] Theta, const floating[:, ::1] Psi, const floating[:, ::1] Z,
             const Py_ssize_t[::1] offsets, const floating[:, ::1] lambda3, str activation, double cap,
             floating[:, ::1] lambda1_out, double momentum=0, floating[:, ::1] M_out=None):
    """lambda1_N = f'(a_N) * V^T lambda3,  lambda1_t = f'(a_t) * W^T lambda1_{t+1}.

    ``cap``: whenever the root mean square of lambda1_t over the minibatch exceeds ``cap`` times that of the part
    injected by lambda3, lambda1_t is scaled down to it before it is passed on (bounded multipliers); infinity
    means never.  Returns how many steps were scaled down.

    With ``M_out``, what ``accumulate`` would do next is done on the way, while the multipliers are in cache:
    M <- momentum M + (1 - momentum) L.
    """
    cdef Activation f = named(activation)
    cdef Py_ssize_t n = Theta.shape[0], m = Theta.shape[1], N = offsets.shape[0] - 2, d = m - n - 1, K = Psi.shape[0]
    cdef Py_ssize_t t, i, active, n_capped = 0, summed = N
    cdef bint with_M = M_out is not None
    cdef double square, most = 0
    cdef floating scale, share, kept = <floating> momentum
    cdef floating* lambda1
    if d < 1 or Psi.shape[1] != n + 1 or Z.shape[1] != m or not fits(offsets, Z.shape[0]) \
            or lambda3.shape[0] != offsets[N + 1] - offsets[N] or lambda3.shape[1] != K \
            or lambda1_out.shape[0] != offsets[N] or lambda1_out.shape[1] != n \
            or (with_M and (M_out.shape[0] != m or M_out.shape[1] != n)):
        raise ValueError("backward: the shapes do not belong together")
    share = <floating> ((1 - momentum) / lambda3.shape[0])
    with nogil:
        for t in range(N - 1, -1, -1):
            active = offsets[t + 1] - offsets[t]
            lambda1 = &lambda1_out[offsets[t], 0]
            if t == N - 1:
                # lambda1[t] = lambda3 @ V
                gemm[floating](False, False, active, n, K, 1, &lambda3[0, 0], K, &Psi[0, 0], n + 1, 0, lambda1, n)
            else:
                # lambda1[t] = lambda1[t + 1][:active] @ W
                gemm[floating](False, False, active, n, n, 1, &lambda1_out[offsets[t + 1], 0], n, &Theta[0, d], m,
                               0, lambda1, n)
            multiply_by_slope(f, &Z[offsets[t + 1], d], m, lambda1, active, n)
            # sums over the running sequences; all minibatches have B of them, so the common 1/(B n) drops out
            square = dot(active * n, lambda1, lambda1)
            if t == N - 1:
                most = cap * cap * square
            elif square > most:
                n_capped += 1
                scale = <floating> sqrt(most / square)
                for i in range(active * n):
                    lambda1[i] *= scale
            if with_M and (t == 0 or offsets[summed] - offsets[t] >= ROWS_IN_CACHE):
                # M = kept * M + share * Z[t:summed].T @ lambda1[t:summed]
                gemm[floating](True, False, m, n, offsets[summed] - offsets[t], share, &Z[offsets[t], 0], m, lambda1, n,
                               kept, &M_out[0, 0], n)
                kept = 1
                summed = t
    return n_capped
