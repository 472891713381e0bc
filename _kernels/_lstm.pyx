"""The cell `lstm`: c_t = sigmoid(a_f) c_{t-1} + sigmoid(a_i) tanh(a_g), s_t = sigmoid(a_o) tanh(c_t)."""

from cython cimport floating

from admmirnn._kernels._lstm_simd cimport lstm_gates, lstm_gates_back


cdef void lstm_step(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda, const floating* s_before,
                    const floating* biases, const floating* c_before, floating* states, floating* c) noexcept nogil:
    """s_t and c_t of [a_i, a_f, a_g, a_o], leaving the gates [i, f, g, o] in their place."""
    lstm_gates(rows, n, A, lda, c_before, states, c)


cdef void lstm_pull_back(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda, const floating* s_before,
                         const floating* c_before, const floating* c, floating* multipliers,
                         floating* lambda_c) noexcept nogil:
    """The multipliers of [a_i, a_f, a_g, a_o], and in ``lambda_c`` those of c_{t-1} instead of those of c_t.

    ``multipliers`` stay: s_{t-1} has no way past the map.
    """
    lstm_gates_back(rows, n, A, lda, c_before, c, multipliers, lambda_c)
