from cython cimport floating

from admmirnn._kernels._simd cimport dispatched_void

cdef enum:
    LANES = 16                                    # rows that softmax_prox takes
    ENOUGH_LANES = 4                              # with fewer, one row after the other is faster

cdef dispatched_void add_symmetric(Py_ssize_t d, Py_ssize_t n, double weight, const floating* P,
                                   floating* G) noexcept nogil
cdef dispatched_void softmax_prox(Py_ssize_t K, const double* q, const double* y, const double* rho, double tolerance,
                                  double* u, double* p, double* error) noexcept nogil
cdef dispatched_void add_to_rows(Py_ssize_t rows, Py_ssize_t columns, double factor, const floating* x,
                                 floating* A, Py_ssize_t lda) noexcept nogil
cdef dispatched_void state_change(Py_ssize_t rows, Py_ssize_t columns, double omega, double share,
                                  const floating* activated, const floating* S, Py_ssize_t lds,
                                  floating* change) noexcept nogil
