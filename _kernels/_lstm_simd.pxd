from cython cimport floating

from admmirnn._kernels._simd cimport dispatched_void

cdef dispatched_void lstm_gates(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda,
                                const floating* c_before, floating* states, floating* c) noexcept nogil
cdef dispatched_void lstm_gates_back(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda,
                                     const floating* c_before, const floating* c,
                                     const floating* multipliers, floating* lambda_c) noexcept nogil
