"""Leaf loops over raw pointers, compiled for several instruction sets (see ``dispatched_void``).

There is little room for more of them here: when Cython's table of what a module exports is longer than some 30 entries,
two for each function, gcc 12 emits the symbols of all of them twice, and the assembler refuses that.

Both tanh formulas hold for every input: NaN stays NaN, +-inf gives +-1 and -0.0 gives -0.0.
"""

from cython cimport floating

cdef extern from "<math.h>" nogil:
    double fabs(double x)
    double copysign(double x, double y)


cdef inline float tanh_float(float x) noexcept nogil:
    """Rational minimax approximation of degrees 13 and 6, the one Eigen and XLA use; within 5.5 ulp."""
    cdef float y, p, q
    # beyond this the rational function rounds to one; comparisons with NaN are false, so NaN passes
    y = 7.90531110763549805 if x > 7.90531110763549805 else x
    y = -7.90531110763549805 if y < -7.90531110763549805 else y
    cdef float y2 = y * y
    p = -2.76076847742355e-16
    p = p * y2 + <float> 2.00018790482477e-13
    p = p * y2 + <float> -8.60467152213735e-11
    p = p * y2 + <float> 5.12229709037114e-08
    p = p * y2 + <float> 1.48572235717979e-05
    p = p * y2 + <float> 6.37261928875436e-04
    p = p * y2 + <float> 4.89352455891786e-03
    q = 1.19825839466702e-06
    q = q * y2 + <float> 1.18534705686654e-04
    q = q * y2 + <float> 2.26843463243900e-03
    q = q * y2 + <float> 4.89352518554385e-03
    return y * p / q


cdef inline double tanh_double(double x) noexcept nogil:
    """Cephes' rational function up to 0.625, 1 - 2 / (exp(2 |x|) + 1) beyond; within 3 ulp."""
    cdef double a = fabs(x)
    a = 22.0 if a > 22.0 else a                        # tanh(19.1) is 1 in double precision
    cdef double a2 = a * a
    cdef double p = (-9.64399179425052238628e-1 * a2 - 9.92877231001918586564e1) * a2 - 1.61468768441708447952e3
    cdef double q = ((a2 + 1.12811678491632931402e2) * a2 + 2.23548839060100448583e3) * a2 + 4.84406305325125486048e3
    cdef double small = a + a * a2 * (p / q)
    # exp(2 a) = 2**k exp(f) with |f| <= log(2) / 2; Taylor's polynomial of degree 13 is exact to rounding there
    cdef double magic = 6755399441055744.0
    cdef double t = 2.0 * a * 1.4426950408889634074 + magic
    cdef double k = t - magic
    cdef double f = 2.0 * a - k * 6.93145751953125e-1
    f = f - k * 1.42860682030941723212e-6
    cdef double e = 1.0 / 6227020800.0
    e = e * f + 1.0 / 479001600.0
    e = e * f + 1.0 / 39916800.0
    e = e * f + 1.0 / 3628800.0
    e = e * f + 1.0 / 362880.0
    e = e * f + 1.0 / 40320.0
    e = e * f + 1.0 / 5040.0
    e = e * f + 1.0 / 720.0
    e = e * f + 1.0 / 120.0
    e = e * f + 1.0 / 24.0
    e = e * f + 1.0 / 6.0
    e = e * f + 0.5
    e = e * f + 1.0
    e = e * f + 1.0
    cdef double large = 1.0 - 2.0 / (e * power_of_two(t) + 1.0)
    return copysign(large if a > 0.625 else small, x)


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
    cdef floating a, rest
    cdef floating[16] sums
    for row in range(rows):
        rest = 0
        for lane in range(16):
            sums[lane] = 0
        for first in range(0, last, 16):
            for lane in range(16):                     # sums of their own: the compiler may not change their order
                a = A[first + lane] * (1 - S[first + lane] * S[first + lane])
                A[first + lane] = a
                sums[lane] += a * a
        for first in range(last, n):
            A[first] *= 1 - S[first] * S[first]
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
