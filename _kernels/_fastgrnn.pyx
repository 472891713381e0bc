"""The cell `fastgrnn`: a = U x_t + W s_{t-1}, z = sigmoid(a + b_z), c = tanh(a + b_c), s_t = (1 - z) c + z s_{t-1}.

Its gates share what their map makes, so it adds their biases itself.
"""

from cython cimport floating

from admmirnn._kernels._gates_simd cimport fastgrnn_gates, fastgrnn_gates_back


cdef void fastgrnn_step(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda, const floating* s_before,
                        const floating* biases, const floating* c_before, floating* states, floating* c) noexcept nogil:
    """s_t of a, leaving [z, c] in its place and behind it; ``biases`` is [b_z, b_c]."""
    fastgrnn_gates(rows, n, A, lda, s_before, biases, states)


cdef void fastgrnn_pull_back(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda, const floating* s_before,
                             floating* multipliers, floating* sums) noexcept nogil:
    """[lambda_z, lambda_c] of lambda_t, the multipliers of a + b_z and a + b_c; their sum is that of a.

    ``multipliers``, in those of s_t, are left as z lambda_t, the part of lambda_{t-1} that skips the maps.
    """
    fastgrnn_gates_back(rows, n, A, lda, s_before, multipliers, sums)
