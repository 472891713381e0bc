"""Leaf loops of sigmoid and leaky relu, compiled for several instruction sets like those of tanh and relu in ``_simd``,
which has no room for them.

They hold for every input: NaN stays NaN, infinities give the limits of f, that of sigmoid below up to 2e-38.
"""

from cython cimport floating

from admmirnn._kernels._simd cimport dispatched_void, sigmoid, sum_of_lanes


cdef dispatched_void sigmoid_rows(floating* A, Py_ssize_t rows, Py_ssize_t columns,
                                  Py_ssize_t lda) noexcept nogil:
    # A[:rows, :columns] = 1 / (1 + np.exp(-A[:rows, :columns]))
    cdef Py_ssize_t i, j
    cdef floating* row
    for i in range(rows):
        row = A + i * lda
        for j in range(columns):
            row[j] = sigmoid(row[j])


cdef dispatched_void sigmoid_slope(const floating* S, Py_ssize_t rows, Py_ssize_t n, floating* A,
                                   double* squares) noexcept nogil:
    # A *= S * (1 - S), squares = (A**2).sum(axis=1)
    cdef Py_ssize_t row, first, lane, last = n - n % 16
    cdef floating a, rest, one = 1
    cdef floating[16] sums
    for row in range(rows):
        rest = 0
        for lane in range(16):
            sums[lane] = 0
        for first in range(0, last, 16):
            for lane in range(16):                     # sums of their own: the compiler may not change their order
                a = A[first + lane] * (S[first + lane] * (one - S[first + lane]))
                A[first + lane] = a
                sums[lane] += a * a
        for first in range(last, n):
            A[first] *= S[first] * (one - S[first])
            rest += A[first] * A[first]
        squares[row] = rest + sum_of_lanes(sums)
        S, A = S + n, A + n


cdef dispatched_void leaky_relu_rows(floating* A, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t lda,
                                     double leak) noexcept nogil:
    # A[:rows, :columns] *= np.where(A[:rows, :columns] < 0, leak, 1)
    cdef Py_ssize_t i, j
    cdef floating below = <floating> leak
    cdef floating* row
    for i in range(rows):
        row = A + i * lda
        for j in range(columns):
            row[j] = below * row[j] if row[j] < 0 else row[j]


cdef dispatched_void leaky_relu_slope(const floating* S, Py_ssize_t rows, Py_ssize_t n, double leak, floating* A,
                                      double* squares) noexcept nogil:
    # A *= np.where(S > 0, 1, leak), squares = (A**2).sum(axis=1)
    cdef Py_ssize_t row, first, lane, last = n - n % 16
    cdef floating a, rest, one = 1, below = <floating> leak
    cdef floating[16] sums
    for row in range(rows):
        rest = 0
        for lane in range(16):
            sums[lane] = 0
        for first in range(0, last, 16):
            for lane in range(16):                     # sums of their own: the compiler may not change their order
                a = A[first + lane] * (one if S[first + lane] > 0 else below)
                A[first + lane] = a
                sums[lane] += a * a
        for first in range(last, n):
            A[first] *= one if S[first] > 0 else below
            rest += A[first] * A[first]
        squares[row] = rest + sum_of_lanes(sums)
        S, A = S + n, A + n


cdef dispatched_void smooth_slope_of_sum(const floating* S, Py_ssize_t rows, Py_ssize_t n, double constant,
                                         double linear, const floating* x, floating* A, double* squares,
                                         double* squares_of_x) noexcept nogil:
    # A = (A + x) * f', f' = constant + linear * S - S**2
    # squares = (A**2).sum(axis=1), squares_of_x = ((x * f')**2).sum(axis=1)
    cdef Py_ssize_t row, first, lane, last = n - n % 16
    cdef floating a, b, slope, rest, rest_x, of_0 = <floating> constant, of_1 = <floating> linear
    cdef floating[16] sums, sums_x
    for row in range(rows):
        rest = rest_x = 0
        for lane in range(16):
            sums[lane] = sums_x[lane] = 0
        for first in range(0, last, 16):
            for lane in range(16):
                slope = of_0 + (of_1 - S[first + lane]) * S[first + lane]
                a = (A[first + lane] + x[first + lane]) * slope
                b = x[first + lane] * slope
                A[first + lane] = a
                sums[lane] += a * a
                sums_x[lane] += b * b
        for first in range(last, n):
            slope = of_0 + (of_1 - S[first]) * S[first]
            A[first] = (A[first] + x[first]) * slope
            b = x[first] * slope
            rest += A[first] * A[first]
            rest_x += b * b
        squares[row], squares_of_x[row] = rest + sum_of_lanes(sums), rest_x + sum_of_lanes(sums_x)
        S, x, A = S + n, x + n, A + n


cdef dispatched_void kinked_slope_of_sum(const floating* S, Py_ssize_t rows, Py_ssize_t n, double leak,
                                         const floating* x, floating* A, double* squares,
                                         double* squares_of_x) noexcept nogil:
    # A = (A + x) * f', f' = np.where(S > 0, 1, leak)
    # squares = (A**2).sum(axis=1), squares_of_x = ((x * f')**2).sum(axis=1)
    cdef Py_ssize_t row, first, lane, last = n - n % 16
    cdef floating a, b, slope, rest, rest_x, one = 1, below = <floating> leak
    cdef floating[16] sums, sums_x
    for row in range(rows):
        rest = rest_x = 0
        for lane in range(16):
            sums[lane] = sums_x[lane] = 0
        for first in range(0, last, 16):
            for lane in range(16):
                slope = one if S[first + lane] > 0 else below
                a = (A[first + lane] + x[first + lane]) * slope
                b = x[first + lane] * slope
                A[first + lane] = a
                sums[lane] += a * a
                sums_x[lane] += b * b
        for first in range(last, n):
            slope = one if S[first] > 0 else below
            A[first] = (A[first] + x[first]) * slope
            b = x[first] * slope
            rest += A[first] * A[first]
            rest_x += b * b
        squares[row], squares_of_x[row] = rest + sum_of_lanes(sums), rest_x + sum_of_lanes(sums_x)
        S, x, A = S + n, x + n, A + n
