from cython cimport floating

from admmirnn._kernels._simd cimport dispatched_void

cdef dispatched_void fastgrnn_gates(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda,
                                    const floating* s_before, const floating* biases, floating* states) noexcept nogil
cdef dispatched_void fastgrnn_gates_back(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda,
                                         const floating* s_before, floating* multipliers,
                                         floating* sums) noexcept nogil
cdef dispatched_void ugrnn_gates(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda,
                                 const floating* s_before, floating* states) noexcept nogil
cdef dispatched_void ugrnn_gates_back(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda,
                                      const floating* s_before, floating* multipliers) noexcept nogil
cdef dispatched_void gru_gates(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda,
                               const floating* s_before, floating* states) noexcept nogil
cdef dispatched_void gru_gates_back(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda,
                                    const floating* s_before, floating* multipliers) noexcept nogil
