from libc.stdint cimport int32_t

from cython cimport floating

from admmirnn._kernels._simd cimport dispatched_void

cdef dispatched_void add_all(Py_ssize_t count, const floating* x, floating* total) noexcept nogil
cdef dispatched_void multiply_all(Py_ssize_t count, const floating* by, floating* x) noexcept nogil
cdef dispatched_void keep_largest(Py_ssize_t count, int32_t step, const floating* x, floating* largest,
                                  int32_t* steps) noexcept nogil
cdef dispatched_void take_where(Py_ssize_t count, int32_t step, const int32_t* steps, const floating* x,
                                floating* taken) noexcept nogil
