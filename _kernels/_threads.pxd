ctypedef void (*Part)(void* job, int part, int n_parts) noexcept nogil

cdef enum:
    MOST_PARTS = 256

cdef int n_parts_of(Py_ssize_t n_threads, Py_ssize_t B, double work) noexcept nogil
cdef Py_ssize_t first_sequence(const Py_ssize_t* offsets, Py_ssize_t N, int part, int n_parts) noexcept nogil
cdef int run(Part function, void* job, int n_parts) noexcept nogil
cdef void meet(long* arrivals, long expected) noexcept nogil
