"""How matrices lie: the blocks of a minibatch and of a Gram matrix, which states are read out, and transposes."""

from cython cimport floating


cdef ReadOut read_out_named(str name) except *:
    if name == "last":
        return LAST
    if name == "each":
        return EACH
    if name == "mean":
        return MEAN
    if name == "max":
        return MAX
    if name == "none":
        return NONE
    raise ValueError(f"read-out {name!r} has no kernel; pass 'last', 'each', 'mean', 'max' or 'none'")


cdef bint fits(const Py_ssize_t[::1] offsets, Py_ssize_t rows) noexcept nogil:
    """Whether blocks of at least one row, none smaller than the one before, fill ``rows`` rows; N >= 1 steps."""
    cdef Py_ssize_t N = offsets.shape[0] - 2
    return fits_of(&offsets[0], N) and offsets[N + 1] == rows


cdef bint fits_of(const Py_ssize_t* offsets, Py_ssize_t N) noexcept nogil:
    """Whether the blocks of N >= 1 steps have at least one row each, and none is smaller than the one before."""
    cdef Py_ssize_t t, previous = 1
    if N < 1 or offsets[0] != 0:
        return False
    for t in range(N + 1):                             # differences of rising ones fit
        if offsets[t + 1] <= offsets[t] or offsets[t + 1] - offsets[t] < previous:
            return False
        previous = offsets[t + 1] - offsets[t]
    return True


cdef Py_ssize_t numbers_of_blocks(Py_ssize_t cut, Py_ssize_t block, Py_ssize_t m) noexcept nogil:
    """How many numbers G of m columns has: its blocks lie one after the other, each a square; see `end_of_block`."""
    cdef Py_ssize_t first = 0, end, found = 0
    while first < m:
        end = end_of_block(first, cut, block, m)
        found += (end - first) * (end - first)
        first = end
    return found


cdef void transpose(Py_ssize_t rows, Py_ssize_t columns, const floating* A, Py_ssize_t lda,
                    floating* A_T, Py_ssize_t ldt) noexcept nogil:
    """A_T = A.T, a block of the cache at a time; the rows of A are ``lda`` numbers apart, those of A_T ``ldt``."""
    cdef Py_ssize_t i, j, top, left
    for top in range(0, rows, 16):
        for left in range(0, columns, 16):
            for j in range(left, min(left + 16, columns)):
                for i in range(top, min(top + 16, rows)):
                    A_T[j * ldt + i] = A[i * lda + j]
