from cython cimport floating

cdef struct Targets:                              # of the o-step, a row for each sequence
    Py_ssize_t K
    double rho
    const Py_ssize_t* labels                      # (B,), of cross-entropy, or NULL
    const void* values                            # (B, K), of squared error, or NULL
    const void* weights                           # (B,)
    void* O_plus                                  # (B, K), written
    void* lambda3                                 # (B, K), written

cdef double o_step(Targets* targets, Py_ssize_t first, Py_ssize_t last, Py_ssize_t* n_correct, double* scratch,
                   const floating* Q) noexcept nogil
cdef int check_labels(str kernel, const Py_ssize_t[::1] labels, Py_ssize_t K) except -1
cdef double relative_softmax(Py_ssize_t K, const double* o, Py_ssize_t label, double* p) noexcept nogil
cdef void prox_row(Py_ssize_t K, const double* q, Py_ssize_t label, double rho, double tolerance,
                   double* u, double* p, double* o, double* step, double* trial) noexcept nogil
