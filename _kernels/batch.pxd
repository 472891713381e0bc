from libc.stdint cimport int32_t

from admmirnn._kernels._arrays cimport Holder


cdef class _Batch(Holder):
    cdef const char* observations                 # (n_observations, width); of sparse rows, the numbers in them
    cdef char format                              # of their numbers, as the struct module names them
    cdef Py_ssize_t n_observations, width
    cdef const int32_t* columns                   # of each number of sparse rows, or NULL
    cdef const Py_ssize_t* starts                 # (n_observations + 1,): where the numbers of a row begin, or NULL
    cdef double scale
    cdef const void* standard                     # (2, width): means, and factors; or NULL
    cdef bint standard_is_single                  # their precision, in which observations are standardised
    cdef Py_ssize_t frame, stride                 # rows of observations: of a step, and from one step to the next
    cdef Py_ssize_t B, N, n_rows                  # sequences, steps of the longest, steps of all
    cdef const Py_ssize_t* first_rows             # (B,), or NULL where observations lie as states do
    cdef const Py_ssize_t* lengths                # (B,)
    cdef const Py_ssize_t* offsets                # (N + 2,)

    cdef int hold_rows(self, observations) except -1
    cdef int hold_sparse_rows(self, observations) except -1
    cdef int check_sparse_rows(self, Py_ssize_t first, Py_ssize_t last) except -1

cdef Py_ssize_t n_outputs_of(_Batch batch, bint each) noexcept nogil
