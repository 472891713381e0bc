from admmirnn._kernels._arrays cimport Holder


cdef class _Map(Holder):
    cdef Py_ssize_t p, m, n_symbols, n_threads
    cdef int n_ones                               # columns of biases
    cdef Py_ssize_t first_of_ridge, end_of_ridge  # columns
    cdef Py_ssize_t cut, block                    # the first ``cut`` columns are in blocks of G of so many, or fewer
    cdef void* weights                            # (p, m)
    cdef void* M                                  # (p, m)
    cdef void* pull                               # (p, m): what the weight step takes for M
    cdef void* G                                  # (m, m - n_symbols), or blocks, in their lower triangles
    cdef void* factor                             # of G
    cdef void* D                                  # (m, p)
    cdef void* scratch
    cdef double* R                                # (p, p), or NULL
    cdef void* P_factor                           # (p, p), or NULL
