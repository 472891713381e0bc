from cython cimport floating

cdef enum Activation:
    TANH
    SIGMOID
    RELU
    LEAKY_RELU
    IDENTITY


cdef inline double leak_of(Activation activation) noexcept nogil:
    """f' below zero, of those activations for which f(a) = a above it."""
    return 0.01 if activation == LEAKY_RELU else 1 if activation == IDENTITY else 0


cdef Activation named(str name) except *
cdef void activate(Activation activation, floating* A, Py_ssize_t rows, Py_ssize_t columns,
                   Py_ssize_t lda) noexcept nogil
cdef void multiply_by_slope(Activation activation, const floating* S, Py_ssize_t rows, Py_ssize_t n, floating* A,
                            double* squares) noexcept nogil
cdef void add_multiply_by_slope(Activation activation, const floating* S, Py_ssize_t rows, Py_ssize_t n,
                                const floating* x, floating* A, double* squares,
                                double* squares_of_x) noexcept nogil
