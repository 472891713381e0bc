"""The one module that knows which activations there are: f and f' over a block of rows.

f' is a function of the state s = f(a), so that the pre-activations need not be kept.  The choice is made once
for each block; the loops are in ``_simd``.
"""

from cython cimport floating
from admmirnn._kernels._simd cimport relu_rows, relu_slope_rows, tanh_rows, tanh_slope_rows


cdef Activation named(str name) except *:
    if name == "tanh":
        return TANH
    if name == "relu":
        return RELU
    raise ValueError(f"activation {name!r} has no kernel")


cdef void activate(Activation activation, floating* A, Py_ssize_t rows, Py_ssize_t columns,
                   Py_ssize_t lda) noexcept nogil:
    """A[:rows, :columns] = f(A[:rows, :columns])"""
    if activation == TANH:
        tanh_rows(A, rows, columns, lda)
    elif activation == RELU:
        relu_rows(A, rows, columns, lda)


cdef void multiply_by_slope(Activation activation, const floating* S, Py_ssize_t lds, floating* A,
                            Py_ssize_t rows, Py_ssize_t columns) noexcept nogil:
    """A *= f'(a), with A (rows, columns) contiguous and S = f(a)."""
    if activation == TANH:
        tanh_slope_rows(S, lds, A, rows, columns)
    elif activation == RELU:
        relu_slope_rows(S, lds, A, rows, columns)
