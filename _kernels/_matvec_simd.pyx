"""Matrix times vector, compiled for several instruction sets like the leaf loops in ``_simd``.

A call of ?gemv takes some microseconds, and more when BLAS shares so small a product out among threads.
"""

from cython cimport floating


cdef dispatched_void multiply_vector(Py_ssize_t rows, Py_ssize_t columns, const floating* A, Py_ssize_t lda,
                                     const floating* x, floating* y) noexcept nogil:
    # y = A @ x, with A (rows, columns)
    cdef Py_ssize_t i, j, lane, row, last = columns - columns % 16
    cdef const floating* a
    cdef const floating* b
    cdef const floating* c
    cdef const floating* d
    cdef floating[4][16] sums                          # of their own: the compiler may not change their order
    for i in range(0, rows, 4):
        a = A + i * lda
        b = A + min(i + 1, rows - 1) * lda             # the last row stands in for those that are missing
        c = A + min(i + 2, rows - 1) * lda
        d = A + min(i + 3, rows - 1) * lda
        for lane in range(16):
            sums[0][lane] = 0
            sums[1][lane] = 0
            sums[2][lane] = 0
            sums[3][lane] = 0
        for j in range(0, last, 16):
            for lane in range(16):
                sums[0][lane] += a[j + lane] * x[j + lane]
                sums[1][lane] += b[j + lane] * x[j + lane]
                sums[2][lane] += c[j + lane] * x[j + lane]
                sums[3][lane] += d[j + lane] * x[j + lane]
        for j in range(last, columns):
            sums[0][0] += a[j] * x[j]
            sums[1][0] += b[j] * x[j]
            sums[2][0] += c[j] * x[j]
            sums[3][0] += d[j] * x[j]
        for row in range(min(4, rows - i)):
            for lane in range(8):
                sums[row][lane] += sums[row][lane + 8]
            for lane in range(4):
                sums[row][lane] += sums[row][lane + 4]
            y[i + row] = (sums[row][0] + sums[row][1]) + (sums[row][2] + sums[row][3])
