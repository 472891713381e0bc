from cython cimport floating

cdef enum ReadOut:                                # which states the outputs are read from
    LAST                                          # that after the last step
    EACH                                          # that after each step
    MEAN                                          # mean over a sequence's own steps
    MAX                                           # largest over a sequence's own steps, unit by unit
    NONE                                          # those of another layer, which reads this one's

cdef ReadOut read_out_named(str name) except *

cdef bint fits(const Py_ssize_t[::1] offsets, Py_ssize_t rows) noexcept nogil
cdef bint fits_of(const Py_ssize_t* offsets, Py_ssize_t N) noexcept nogil
cdef void transpose(Py_ssize_t rows, Py_ssize_t columns, const floating* A, Py_ssize_t lda,
                    floating* A_T, Py_ssize_t ldt) noexcept nogil
