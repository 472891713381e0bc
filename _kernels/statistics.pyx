"""The running statistics of one layer: what the multipliers say (M) and the Gram matrix of its inputs (G)."""

from cython cimport floating

from admmirnn._kernels._blas cimport gemm, syrk


def accumulate(const floating[:, ::1] multipliers, const floating[:, ::1] inputs, Py_ssize_t n_outputs,
               double momentum, double gram_decay, floating[:, ::1] M_out, floating[:, ::1] G_out):
    """M <- momentum M + (1 - momentum) L,  G <- gram_decay G + (1 - gram_decay) G_batch.

    L = sum multipliers^T inputs / n_outputs and G_batch = sum inputs^T inputs / n_rows over the rows that have a
    multiplier.  Only the lower triangle of G is kept up.
    """
    cdef Py_ssize_t rows = multipliers.shape[0], n = multipliers.shape[1], m = inputs.shape[1]
    cdef floating share = <floating> ((1 - momentum) / n_outputs)
    cdef floating gram_share = <floating> ((1 - gram_decay) / rows)
    if inputs.shape[0] < rows or rows < 1 or n_outputs < 1 or M_out.shape[0] != n or M_out.shape[1] != m \
            or G_out.shape[0] != m or G_out.shape[1] != m:
        raise ValueError("accumulate: the shapes do not belong together")
    with nogil:
        # M = momentum * M + share * multipliers.T @ inputs[:rows]
        gemm[floating](True, False, n, m, rows, share, &multipliers[0, 0], n, &inputs[0, 0], m,
                       <floating> momentum, &M_out[0, 0], m)
        # G = gram_decay * G + gram_share * inputs[:rows].T @ inputs[:rows]
        syrk[floating](m, rows, gram_share, &inputs[0, 0], m, <floating> gram_decay, &G_out[0, 0], m)
