"""Whether offsets describe blocks of a minibatch, so that no kernel leaves its arrays."""


cdef bint fits(const Py_ssize_t[::1] offsets, Py_ssize_t rows) noexcept nogil:
    """Whether blocks of at least one row, none smaller than the one before, fill ``rows`` rows; N >= 1 steps."""
    cdef Py_ssize_t N = offsets.shape[0] - 2, t, previous = 1
    if N < 1 or offsets[0] != 0 or offsets[N + 1] != rows:
        return False
    for t in range(N + 1):
        if offsets[t + 1] - offsets[t] < previous:
            return False
        previous = offsets[t + 1] - offsets[t]
    return True
