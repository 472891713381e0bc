from admmirnn._kernels._arrays cimport Holder


cdef class _Batch(Holder):
    cdef const char* observations                 # (n_observations, width)
    cdef char format                              # of their numbers, as the struct module names them
    cdef Py_ssize_t n_observations, width
    cdef double scale
    cdef const void* standard                     # (2, width): means, and factors; or NULL
    cdef bint standard_is_single                  # their precision, in which observations are standardised
    cdef Py_ssize_t frame, stride                 # rows of observations: of a step, and from one step to the next
    cdef Py_ssize_t B, N, n_rows                  # sequences, steps of the longest, steps of all
    cdef const Py_ssize_t* first_rows             # (B,), or NULL where observations lie as states do
    cdef const Py_ssize_t* lengths                # (B,)
    cdef const Py_ssize_t* offsets                # (N + 2,)

cdef Py_ssize_t n_outputs_of(_Batch batch, bint each) noexcept nogil
