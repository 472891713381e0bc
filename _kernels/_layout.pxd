cdef bint fits(const Py_ssize_t[::1] offsets, Py_ssize_t rows) noexcept nogil
