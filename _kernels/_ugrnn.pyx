"""The cell `ugrnn`: z = sigmoid(a_z), c = tanh(a_c), s_t = (1 - z) c + z s_{t-1}."""

from cython cimport floating

from admmirnn._kernels._gates_simd cimport ugrnn_gates, ugrnn_gates_back


cdef void ugrnn_step(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda, const floating* s_before,
                     const floating* biases, const floating* c_before, floating* states, floating* c) noexcept nogil:
    """s_t of [a_z, a_c], leaving [z, c] in their place."""
    ugrnn_gates(rows, n, A, lda, s_before, states)


cdef void ugrnn_pull_back(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda, const floating* s_before,
                          const floating* c_before, const floating* c, floating* multipliers,
                          floating* lambda_c) noexcept nogil:
    """The multipliers of [a_z, a_c].

    ``multipliers``, in those of s_t, are left as z lambda_t, the part of lambda_{t-1} that skips the maps.
    """
    ugrnn_gates_back(rows, n, A, lda, s_before, multipliers)
