ctypedef void (*Work)(void* job, int part) noexcept nogil

cdef enum:
    MOST_PARTS = 256
    LEAST_OF_A_SWEEP = 4000000                  # arithmetic operations that are worth a thread, which may be a new one

cdef int n_parts_of(Py_ssize_t n_threads, Py_ssize_t most, double work, double least) noexcept nogil
cdef void divide(const Py_ssize_t* offsets, Py_ssize_t N, int n_parts, Py_ssize_t* first) noexcept nogil
cdef void run(Work function, void* job, int n_parts) noexcept nogil
cdef bint take_hold(long* flag) noexcept nogil
cdef void let_loose(long* flag) noexcept nogil
