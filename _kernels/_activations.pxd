from cython cimport floating

cdef enum Activation:
    TANH
    RELU

cdef Activation named(str name) except *
cdef void activate(Activation activation, floating* A, Py_ssize_t rows, Py_ssize_t columns,
                   Py_ssize_t lda) noexcept nogil
cdef double multiply_by_slope(Activation activation, const floating* S, Py_ssize_t count, floating* A) noexcept nogil
