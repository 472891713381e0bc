from cython cimport floating

cdef enum ReadOut:                                # which states the outputs are read from
    LAST                                          # that after the last step
    EACH                                          # that after each step
    MEAN                                          # mean over a sequence's own steps
    MAX                                           # largest over a sequence's own steps, unit by unit
    NONE                                          # those of another layer, which reads this one's

cdef enum:
    MOST = 0x7fffffff                             # of rows or columns, and what BLAS counts to: sums and multiples fit

cdef ReadOut read_out_named(str name) except *

cdef bint fits(const Py_ssize_t[::1] offsets, Py_ssize_t rows) noexcept nogil
cdef bint fits_of(const Py_ssize_t* offsets, Py_ssize_t N) noexcept nogil
cdef inline Py_ssize_t end_of_block(Py_ssize_t first, Py_ssize_t cut, Py_ssize_t block, Py_ssize_t m) noexcept nogil:
    """Where the block of G ends that begins with this column of m: the first ``cut`` are cut, the others are one."""
    return min(first + block, cut) if first < cut else m

cdef Py_ssize_t numbers_of_blocks(Py_ssize_t cut, Py_ssize_t block, Py_ssize_t m) noexcept nogil
cdef void transpose(Py_ssize_t rows, Py_ssize_t columns, const floating* A, Py_ssize_t lda,
                    floating* A_T, Py_ssize_t ldt) noexcept nogil
