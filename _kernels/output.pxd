from cython cimport floating

cdef struct Targets:                              # of the o-step, a row for each sequence
    int loss                                      # its place among those of output.pyx
    double parameter                              # delta or the quantile
    Py_ssize_t K
    double rho
    const Py_ssize_t* labels                      # (B,), of a loss that takes class numbers, or NULL
    const void* values                            # (B, K), of the other losses, or NULL
    const void* weights                           # (B,)
    void* O_plus                                  # (B, K), written, or NULL: the loss alone
    void* lambda3                                 # (B, K), written

cdef double set_targets(Targets* targets, str kernel, Py_ssize_t B, Py_ssize_t K, const Py_ssize_t[::1] labels,
                        const floating[:, ::1] values, const floating[::1] weights, double rho,
                        floating[:, ::1] O_plus, floating[:, ::1] lambda3, str loss, double parameter) except? -1
cdef Py_ssize_t room_of_o_step(Py_ssize_t K) noexcept nogil
cdef double o_step_of_rows(Targets* targets, Py_ssize_t first, Py_ssize_t last, Py_ssize_t* n_correct,
                           double* scratch, const floating* Q) noexcept nogil
cdef double relative_softmax(Py_ssize_t K, const double* o, Py_ssize_t label, double* p) noexcept nogil
cdef void prox_row(Py_ssize_t K, const double* q, Py_ssize_t label, double rho, double tolerance,
                   double* u, double* p, double* o, double* step, double* trial) noexcept nogil
