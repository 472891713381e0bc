from cython cimport floating

from admmirnn._kernels._simd cimport dispatched_void

cdef dispatched_void sigmoid_rows(floating* A, Py_ssize_t rows, Py_ssize_t columns,
                                  Py_ssize_t lda) noexcept nogil
cdef dispatched_void sigmoid_slope(const floating* S, Py_ssize_t count, floating* A, double* square) noexcept nogil
cdef dispatched_void leaky_relu_rows(floating* A, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t lda,
                                     double leak) noexcept nogil
cdef dispatched_void leaky_relu_slope(const floating* S, Py_ssize_t count, double leak, floating* A,
                                      double* square) noexcept nogil
