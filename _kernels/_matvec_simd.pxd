from cython cimport floating

from admmirnn._kernels._simd cimport dispatched_void

cdef dispatched_void multiply_vector(Py_ssize_t rows, Py_ssize_t columns, const floating* A, Py_ssize_t lda,
                                     const floating* x, floating* y) noexcept nogil
