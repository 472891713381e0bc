from cython cimport floating

cdef bint fits(const Py_ssize_t[::1] offsets, Py_ssize_t rows) noexcept nogil
cdef void transpose(Py_ssize_t rows, Py_ssize_t columns, const floating* A, Py_ssize_t lda, floating* A_T) noexcept nogil
