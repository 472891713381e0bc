from cython cimport floating
from libc.math cimport copysign, fabs, fabsf

cdef extern from *:
    """
    /* Three versions of a leaf loop, the widest that the processor knows being chosen when the module is
       loaded; one portable version for other compilers, processors and C libraries. */
    #if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12 && defined(__x86_64__) && defined(__GLIBC__)
    #define admm_dispatched_void \
        __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4"))) void
    #else
    #define admm_dispatched_void void
    #endif
    """
    ctypedef void dispatched_void "admm_dispatched_void"

cdef dispatched_void tanh_rows(floating* A, Py_ssize_t rows, Py_ssize_t columns,
                               Py_ssize_t lda) noexcept nogil
cdef dispatched_void tanh_slope(const floating* S, Py_ssize_t rows, Py_ssize_t n, floating* A,
                                double* squares) noexcept nogil
cdef dispatched_void relu_rows(floating* A, Py_ssize_t rows, Py_ssize_t columns,
                               Py_ssize_t lda) noexcept nogil
cdef dispatched_void relu_slope(const floating* S, Py_ssize_t rows, Py_ssize_t n, floating* A,
                                double* squares) noexcept nogil

cdef dispatched_void unimodal_tanh_step(const floating* alpha, const floating* target, Py_ssize_t count, floating ratio,
                                        floating* A, int* others) noexcept nogil
cdef dispatched_void add_scaled(Py_ssize_t count, double factor, const floating* x, floating* scaled,
                                floating* total) noexcept nogil

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    /* 2**k for the integer k that adding 1.5 * 2**52 has left in the low bits of t */
    static inline double admm_power_of_two(double t) {
        uint64_t bits;                            /* shifts of signed numbers may not overflow */
        memcpy(&bits, &t, sizeof bits);
        bits = (bits + 1023) << 52;
        memcpy(&t, &bits, sizeof bits);
        return t;
    }

    /* the same of float and 1.5 * 2**23 */
    static inline float admm_power_of_two_float(float t) {
        uint32_t bits;
        memcpy(&bits, &t, sizeof bits);
        bits = (bits + 127) << 23;
        memcpy(&t, &bits, sizeof bits);
        return t;
    }
    """
    double power_of_two "admm_power_of_two"(double t) noexcept nogil
    float power_of_two_float "admm_power_of_two_float"(float t) noexcept nogil


cdef inline floating sum_of_lanes(floating* sums) noexcept nogil:
    """The sum of sixteen numbers, which are overwritten."""
    cdef int lane
    for lane in range(8):
        sums[lane] += sums[lane + 8]
    for lane in range(4):
        sums[lane] += sums[lane + 4]
    return (sums[0] + sums[2]) + (sums[1] + sums[3])


cdef inline double exp_of_negative(double x) noexcept nogil:
    """exp(x) for x <= 0, within 2 ulp; below -700 that of -700, NaN stays NaN.  As in ``tanh_double``."""
    cdef double magic = 6755399441055744.0
    x = -700.0 if x < -700.0 else x
    cdef double t = x * 1.4426950408889634074 + magic
    cdef double k = t - magic
    cdef double f = x - k * 6.93145751953125e-1
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
    return e * power_of_two(t)


cdef inline float exp_of_negative_float(float x) noexcept nogil:
    """exp(x) for x <= 0, within 2 ulp; below -87 that of -87, NaN stays NaN."""
    cdef float magic = 12582912.0
    x = <float> -87.0 if x < <float> -87.0 else x
    cdef float t = x * <float> 1.44269504088896341 + magic
    cdef float k = t - magic
    cdef float f = x - k * <float> 6.93359375e-1
    f = f - k * <float> -2.12194440054690583e-4
    cdef float e = <float> (1.0 / 5040.0)
    e = e * f + <float> (1.0 / 720.0)
    e = e * f + <float> (1.0 / 120.0)
    e = e * f + <float> (1.0 / 24.0)
    e = e * f + <float> (1.0 / 6.0)
    e = e * f + <float> 0.5
    e = e * f + 1
    e = e * f + 1
    return e * power_of_two_float(t)


# both tanh hold for every input: NaN stays NaN, +-inf gives +-1 and -0.0 gives -0.0

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


cdef inline floating sigmoid(floating x) noexcept nogil:
    """1 / (1 + exp(-x)), with as many digits where that is near zero; NaN stays NaN."""
    cdef floating e, one = 1                           # beside a literal Cython computes in double
    if floating is float:
        e = exp_of_negative_float(-fabsf(x))
    else:
        e = exp_of_negative(-fabs(x))
    return (e if x < 0 else one) / (one + e)


cdef inline floating hyperbolic_tangent(floating x) noexcept nogil:
    """tanh(x), in the precision of x."""
    if floating is float:
        return tanh_float(x)
    else:
        return tanh_double(x)
