"""Leaf loops over raw pointers, compiled for several instruction sets (see ``dispatched_void``).

There is little room for more of them here: when Cython's table of what a module exports is longer than some 30 entries,
two for each function, gcc 12 emits the symbols of all of them twice, and the assembler refuses that.
"""

from cython cimport floating


cdef dispatched_void tanh_rows(floating* A, Py_ssize_t rows, Py_ssize_t columns,
                               Py_ssize_t lda) noexcept nogil:
    # A[:rows, :columns] = np.tanh(A[:rows, :columns])
    cdef Py_ssize_t i, j
    cdef floating* row
    for i in range(rows):
        row = A + i * lda
        for j in range(columns):
            if floating is float:
                row[j] = tanh_float(row[j])
            else:
                row[j] = tanh_double(row[j])


cdef dispatched_void tanh_slope(const floating* S, Py_ssize_t rows, Py_ssize_t n, floating* A,
                                double* squares) noexcept nogil:
    # A *= 1 - S**2, squares = (A**2).sum(axis=1)
    cdef Py_ssize_t row, first, lane, last = n - n % 16
    cdef floating a, rest, one = 1
    cdef floating[16] sums
    for row in range(rows):
        rest = 0
        for lane in range(16):
            sums[lane] = 0
        for first in range(0, last, 16):
            for lane in range(16):                     # sums of their own: the compiler may not change their order
                a = A[first + lane] * (one - S[first + lane] * S[first + lane])
                A[first + lane] = a
                sums[lane] += a * a
        for first in range(last, n):
            A[first] *= one - S[first] * S[first]
            rest += A[first] * A[first]
        squares[row] = rest + sum_of_lanes(sums)
        S, A = S + n, A + n


cdef dispatched_void relu_rows(floating* A, Py_ssize_t rows, Py_ssize_t columns,
                               Py_ssize_t lda) noexcept nogil:
    # A[:rows, :columns] = np.maximum(A[:rows, :columns], 0), NaN staying NaN
    cdef Py_ssize_t i, j
    cdef floating* row
    for i in range(rows):
        row = A + i * lda
        for j in range(columns):
            row[j] = 0 if row[j] < 0 else row[j]


cdef dispatched_void relu_slope(const floating* S, Py_ssize_t rows, Py_ssize_t n, floating* A,
                                double* squares) noexcept nogil:
    # A *= S > 0, squares = (A**2).sum(axis=1)
    cdef Py_ssize_t row, first, lane, last = n - n % 16
    cdef floating a, rest
    cdef floating[16] sums
    for row in range(rows):
        rest = 0
        for lane in range(16):
            sums[lane] = 0
        for first in range(0, last, 16):
            for lane in range(16):                     # sums of their own: the compiler may not change their order
                a = A[first + lane] if S[first + lane] > 0 else 0
                A[first + lane] = a
                sums[lane] += a * a
        for first in range(last, n):
            A[first] = A[first] if S[first] > 0 else 0
            rest += A[first] * A[first]
        squares[row] = rest + sum_of_lanes(sums)
        S, A = S + n, A + n


cdef dispatched_void unimodal_tanh_step(const floating* alpha, const floating* target, Py_ssize_t count,
                                        floating ratio, floating* A, int* others) noexcept nogil:
    # argmin_a 1/2 (a - alpha)^2 + ratio/2 (target - tanh(a))^2 by Newton's method within a bracket, where that has one
    # stationary point; anything finite elsewhere, of which ``others`` is the number.  At most 64 entries.
    cdef floating[64] low, high
    cdef floating a, T, slope, value, derivative, following, start, end
    cdef floating tolerance = <floating> (3e-4 if floating is float else 1e-8)   # the next step squares it
    cdef floating resolution = <floating> (1e-6 if floating is float else 1e-14)
    cdef int moving, several = 0, _
    cdef bint within
    cdef Py_ssize_t j
    # the bracket, and the first step, which starts from alpha
    for j in range(count):
        T = tanh_float(alpha[j]) if floating is float else tanh_double(alpha[j])
        start = alpha[j]
        end = alpha[j] + ratio * (target[j] - T)
        low[j] = start if start < end else end
        high[j] = end if start < end else start
        slope = 1 - T * T
        value = ratio * (T - target[j]) * slope
        derivative = 1 - ratio * slope * (3 * T * T - 2 * target[j] * T - 1)
        following = start - value / derivative
        within = low[j] <= following and following <= high[j]
        A[j] = following if within else <floating> 0.5 * (low[j] + high[j])
        several += not ratio * (<floating> 0.334 + <floating> 0.77 * fabs(target[j])) < <floating> 0.99
    others[0] = several
    for _ in range(60):
        moving = 0
        for j in range(count):
            a = A[j]
            T = tanh_float(a) if floating is float else tanh_double(a)
            slope = 1 - T * T
            value = a - alpha[j] - ratio * (target[j] - T) * slope
            derivative = 1 - ratio * slope * (3 * T * T - 2 * target[j] * T - 1)
            low[j] = a if value < 0 else low[j]
            high[j] = a if value > 0 else high[j]
            following = a - value / derivative
            within = low[j] <= following and following <= high[j]
            following = following if within else <floating> 0.5 * (low[j] + high[j])
            # a bisection has converged when its bracket is as narrow as rounding errors make it
            moving += (fabs(following - a) > tolerance * (1 + fabs(a)) if within
                       else high[j] - low[j] > resolution * (1 + fabs(a)))
            A[j] = following
        if moving == 0:
            break


cdef dispatched_void add_scaled(Py_ssize_t count, double factor, const floating* x, floating* scaled,
                                floating* total) noexcept nogil:
    # scaled = factor * x, total += scaled; none of them overlap
    cdef Py_ssize_t j
    cdef floating by = <floating> factor, value
    for j in range(count):
        value = by * x[j]
        scaled[j] = value
        total[j] += value
