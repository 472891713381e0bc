"""The cell `gru`: z, r = sigmoid(a_z), sigmoid(a_r), c = tanh(a_x + r a_s), s_t = (1 - z) c + z s_{t-1}."""

from cython cimport floating

from admmirnn._kernels._gates_simd cimport gru_gates, gru_gates_back


cdef void gru_step(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda, const floating* s_before,
                   const floating* biases, const floating* c_before, floating* states, floating* c) noexcept nogil:
    """s_t of [a_x, a_z, a_r, a_s], leaving [c, z, r, a_s] in their place."""
    gru_gates(rows, n, A, lda, s_before, states)


cdef void gru_pull_back(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda, const floating* s_before,
                        const floating* c_before, const floating* c, floating* multipliers,
                        floating* lambda_c) noexcept nogil:
    """The multipliers of [a_x, a_z, a_r, a_s].

    ``multipliers``, in those of s_t, are left as z lambda_t, the part of lambda_{t-1} that skips the maps.
    """
    gru_gates_back(rows, n, A, lda, s_before, multipliers)
