from cython cimport floating

from admmirnn._kernels._simd cimport dispatched_void

cdef dispatched_void sigmoid_rows(floating* A, Py_ssize_t rows, Py_ssize_t columns,
                                  Py_ssize_t lda) noexcept nogil
cdef dispatched_void sigmoid_slope(const floating* S, Py_ssize_t rows, Py_ssize_t n, floating* A,
                                   double* squares) noexcept nogil
cdef dispatched_void leaky_relu_rows(floating* A, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t lda,
                                     double leak) noexcept nogil
cdef dispatched_void leaky_relu_slope(const floating* S, Py_ssize_t rows, Py_ssize_t n, double leak, floating* A,
                                      double* squares) noexcept nogil
cdef dispatched_void smooth_slope_of_sum(const floating* S, Py_ssize_t rows, Py_ssize_t n, double constant,
                                         double linear, const floating* x, floating* A, double* squares,
                                         double* squares_of_x) noexcept nogil
cdef dispatched_void kinked_slope_of_sum(const floating* S, Py_ssize_t rows, Py_ssize_t n, double leak,
                                         const floating* x, floating* A, double* squares,
                                         double* squares_of_x) noexcept nogil
