from cython cimport floating

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
