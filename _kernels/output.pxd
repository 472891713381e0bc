cdef double relative_softmax(Py_ssize_t K, const double* o, Py_ssize_t label, double* p) noexcept nogil
cdef void prox_row(Py_ssize_t K, const double* q, Py_ssize_t label, double rho, double tolerance,
                   double* u, double* p, double* o, double* step, double* trial) noexcept nogil
