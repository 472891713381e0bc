"""What observations may be, and how they become the network's own numbers."""

from cython cimport floating
from libc.stdint cimport int8_t, int16_t, int32_t, uint8_t, uint16_t
from libc.string cimport memcpy, memset


cdef enum:
    AT_A_TIME = 64                                # numbers of a sparse row that are converted together

ctypedef fused numeric:
    float
    double
    uint8_t
    int8_t
    uint16_t
    int16_t


cdef inline bint is_known(const char* format) noexcept nogil:
    """Whether this, as the struct module names it, is a type of observations."""
    return format[0] in b"fdBbHh" and format[1] == 0


cdef inline void convert(const numeric* x, Py_ssize_t count, floating scale, floating* out) noexcept nogil:
    """out = scale * x"""
    cdef Py_ssize_t j
    for j in range(count):
        out[j] = scale * <floating> x[j]


ctypedef fused real:                              # what observations are standardised in
    float
    double


cdef inline void standardise(const numeric* x, Py_ssize_t count, const real* standard, floating* out) noexcept nogil:
    """out = (x - mean) * factor"""
    cdef Py_ssize_t j
    for j in range(count):
        out[j] = <floating> ((<real> x[j] - standard[j]) * standard[count + j])


cdef inline void copy_scaled(const char* observations, char format, Py_ssize_t at, Py_ssize_t count, floating scale,
                             floating* x) noexcept nogil:
    """x = scale * observations[at:at + count], of any known type."""
    cdef char own_format = c"f" if floating is float else c"d"
    if format == own_format and scale == 1:
        memcpy(x, <const floating*> observations + at, count * sizeof(floating))
    elif format == c"f":
        convert[float, floating](<const float*> observations + at, count, scale, x)
    elif format == c"d":
        convert[double, floating](<const double*> observations + at, count, scale, x)
    elif format == c"B":
        convert[uint8_t, floating](<const uint8_t*> observations + at, count, scale, x)
    elif format == c"b":
        convert[int8_t, floating](<const int8_t*> observations + at, count, scale, x)
    elif format == c"H":
        convert[uint16_t, floating](<const uint16_t*> observations + at, count, scale, x)
    else:
        convert[int16_t, floating](<const int16_t*> observations + at, count, scale, x)


cdef inline void copy_standardised(const char* observations, char format, Py_ssize_t at, Py_ssize_t count,
                                   const real* standard, floating* x) noexcept nogil:
    """x = (observations[at:at + count] - mean) * factor, of any known type; standard (2, count) has these."""
    if format == c"f":
        standardise[float, real, floating](<const float*> observations + at, count, standard, x)
    elif format == c"d":
        standardise[double, real, floating](<const double*> observations + at, count, standard, x)
    elif format == c"B":
        standardise[uint8_t, real, floating](<const uint8_t*> observations + at, count, standard, x)
    elif format == c"b":
        standardise[int8_t, real, floating](<const int8_t*> observations + at, count, standard, x)
    elif format == c"H":
        standardise[uint16_t, real, floating](<const uint16_t*> observations + at, count, standard, x)
    else:
        standardise[int16_t, real, floating](<const int16_t*> observations + at, count, standard, x)


cdef inline void write_sparse(const char* values, char format, const int32_t* columns, Py_ssize_t first,
                              Py_ssize_t last, Py_ssize_t width, floating scale, floating* x) noexcept nogil:
    """x = scale * a sparse row, whose numbers from ``first`` to ``last`` stand in these columns."""
    cdef floating[AT_A_TIME] some
    cdef Py_ssize_t j, count
    memset(x, 0, width * sizeof(floating))
    while first < last:
        count = min(last - first, AT_A_TIME)
        copy_scaled(values, format, first, count, scale, &some[0])
        for j in range(count):
            x[columns[first + j]] = some[j]
        first += count


cdef inline void write_sparse_standardised(const char* values, char format, const int32_t* columns, Py_ssize_t first,
                                           Py_ssize_t last, Py_ssize_t width, const real* standard,
                                           floating* x) noexcept nogil:
    """x = (a sparse row - mean) * factor, as `write_sparse`; standard (2, width) has these."""
    cdef real[AT_A_TIME] some
    cdef Py_ssize_t j, k, count
    for j in range(width):
        x[j] = <floating> ((<real> 0 - standard[j]) * standard[width + j])
    while first < last:
        count = min(last - first, AT_A_TIME)
        copy_scaled(values, format, first, count, <real> 1, &some[0])
        for j in range(count):
            k = columns[first + j]
            x[k] = <floating> ((some[j] - standard[k]) * standard[width + k])
        first += count
