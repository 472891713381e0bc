"""Leaf loops of pooled read-outs, compiled for several instruction sets like those in ``_simd``."""

from cython cimport floating


cdef dispatched_void add_all(Py_ssize_t count, const floating* x, floating* total) noexcept nogil:
    # total += x
    cdef Py_ssize_t j
    for j in range(count):
        total[j] += x[j]


cdef dispatched_void multiply_all(Py_ssize_t count, const floating* by, floating* x) noexcept nogil:
    # x *= by
    cdef Py_ssize_t j
    for j in range(count):
        x[j] *= by[j]


cdef dispatched_void keep_largest(Py_ssize_t count, int32_t step, const floating* x, floating* largest,
                                  int32_t* steps) noexcept nogil:
    # where x > largest, or is NaN:  largest = x, steps = step
    cdef Py_ssize_t j
    cdef bint stays
    for j in range(count):
        stays = x[j] <= largest[j]
        largest[j] = largest[j] if stays else x[j]
        steps[j] = steps[j] if stays else step


cdef dispatched_void take_where(Py_ssize_t count, int32_t step, const int32_t* steps, const floating* x,
                                floating* taken) noexcept nogil:
    # taken = np.where(steps == step, x, 0)
    cdef Py_ssize_t j
    for j in range(count):
        taken[j] = x[j] if steps[j] == step else 0
