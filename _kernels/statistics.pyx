"""The running statistics of one layer: what the multipliers say (M) and the Gram matrix of its inputs (G)."""

from cython cimport floating

from admmirnn._kernels._blas cimport gemm, syrk
from admmirnn._kernels._layout cimport fits


def accumulate(const floating[:, ::1] multipliers, const floating[:, ::1] inputs, Py_ssize_t n_outputs,
               double momentum, floating[:, ::1] M_out):
    """M <- momentum M + (1 - momentum) L,  L = sum multipliers^T inputs / n_outputs, over the rows with a multiplier.

    ``M_out`` (m, p) holds the transpose of M, as every array of the weight step does: BLAS is faster that way round.
    """
    cdef Py_ssize_t rows = multipliers.shape[0], p = multipliers.shape[1], m = inputs.shape[1]
    cdef floating share = <floating> ((1 - momentum) / n_outputs)
    if inputs.shape[0] < rows or rows < 1 or n_outputs < 1 or M_out.shape[0] != m or M_out.shape[1] != p:
        raise ValueError("accumulate: the shapes do not belong together")
    with nogil:
        # M = momentum * M + share * inputs[:rows].T @ multipliers
        gemm[floating](True, False, m, p, rows, share, &inputs[0, 0], m, &multipliers[0, 0], p,
                       <floating> momentum, &M_out[0, 0], p)


def accumulate_gram(const floating[:, ::1] inputs, const Py_ssize_t[::1] offsets, Py_ssize_t first, Py_ssize_t every,
                    double decay, floating[:, ::1] G_out):
    """G <- decay G + (1 - decay) sum z z^T / #rows, over the rows of the steps first, first + every, ...

    Only the lower triangle of G is kept up.
    """
    cdef Py_ssize_t m = inputs.shape[1], N = offsets.shape[0] - 2, t, rows = 0
    cdef floating share, kept = <floating> decay
    if N < 1 or not fits(offsets, offsets[N + 1]) or inputs.shape[0] < offsets[N] or not 0 <= first < N or every < 1 \
            or G_out.shape[0] != m or G_out.shape[1] != m:
        raise ValueError("accumulate_gram: the shapes do not belong together")
    every = min(every, N)                              # beyond that only the first step is taken
    with nogil:
        if every == 1:
            # the steps from the first one stand together
            rows = offsets[N] - offsets[first]
            share = <floating> ((1 - decay) / rows)
            # G = decay * G + share * Z.T @ Z
            syrk[floating](m, rows, share, &inputs[offsets[first], 0], m, kept, &G_out[0, 0], m)
        else:
            t = first
            while t < N:
                rows += offsets[t + 1] - offsets[t]
                t += every
            share = <floating> ((1 - decay) / rows)
            t = first
            while t < N:
                # G = decay * G + share * Z[t].T @ Z[t], the decay once
                syrk[floating](m, offsets[t + 1] - offsets[t], share, &inputs[offsets[t], 0], m, kept, &G_out[0, 0], m)
                kept = 1
                t += every
