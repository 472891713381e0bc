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
cdef dispatched_void tanh_slope(const floating* S, Py_ssize_t count, floating* A, double* square) noexcept nogil
cdef dispatched_void relu_rows(floating* A, Py_ssize_t rows, Py_ssize_t columns,
                               Py_ssize_t lda) noexcept nogil
cdef dispatched_void relu_slope(const floating* S, Py_ssize_t count, floating* A, double* square) noexcept nogil

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
        int64_t bits;
        memcpy(&bits, &t, sizeof bits);
        bits = (bits + 1023) << 52;
        memcpy(&t, &bits, sizeof bits);
        return t;
    }
    """
    double power_of_two "admm_power_of_two"(double t) noexcept nogil
