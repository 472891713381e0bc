"""The one module that knows which activations there are: f and f' over a block of rows.

f' is a function of the state s = f(a), so that the cell `elman` need not keep pre-activations.  The choice is made once
for each block; the loops are in ``_simd`` and ``_activation_simd``.
"""

from cython cimport floating
from admmirnn._kernels._activation_simd cimport kinked_slope_of_sum, leaky_relu_rows, leaky_relu_slope
from admmirnn._kernels._activation_simd cimport sigmoid_rows, sigmoid_slope, smooth_slope_of_sum
from admmirnn._kernels._simd cimport relu_rows, relu_slope, tanh_rows, tanh_slope


cdef Activation named(str name) except *:
    if name == "tanh":
        return TANH
    if name == "sigmoid":
        return SIGMOID
    if name == "relu":
        return RELU
    if name == "leaky_relu":
        return LEAKY_RELU
    if name == "identity":
        return IDENTITY
    raise ValueError(f"activation {name!r} has no kernel; pass 'tanh', 'sigmoid', 'relu', 'leaky_relu' or 'identity'")


cdef void activate(Activation activation, floating* A, Py_ssize_t rows, Py_ssize_t columns,
                   Py_ssize_t lda) noexcept nogil:
    """A[:rows, :columns] = f(A[:rows, :columns])"""
    if activation == TANH:
        tanh_rows(A, rows, columns, lda)
    elif activation == SIGMOID:
        sigmoid_rows(A, rows, columns, lda)
    elif activation == RELU:
        relu_rows(A, rows, columns, lda)
    elif activation == LEAKY_RELU:
        leaky_relu_rows(A, rows, columns, lda, leak_of(activation))


cdef void multiply_by_slope(Activation activation, const floating* S, Py_ssize_t rows, Py_ssize_t n, floating* A,
                            double* squares) noexcept nogil:
    """A *= f'(a), of rows of n, given S = f(a); ``squares`` are those of the new rows, summed up."""
    if activation == TANH:
        tanh_slope(S, rows, n, A, squares)
    elif activation == SIGMOID:
        sigmoid_slope(S, rows, n, A, squares)
    elif activation == RELU:
        relu_slope(S, rows, n, A, squares)
    else:
        leaky_relu_slope(S, rows, n, leak_of(activation), A, squares)


cdef void add_multiply_by_slope(Activation activation, const floating* S, Py_ssize_t rows, Py_ssize_t n,
                                const floating* x, floating* A, double* squares,
                                double* squares_of_x) noexcept nogil:
    """A = (A + x) * f'(a), given S = f(a); sums of squares of the rows of the new A, and of x * f'(a)."""
    if activation == TANH:
        smooth_slope_of_sum(S, rows, n, 1, 0, x, A, squares, squares_of_x)
    elif activation == SIGMOID:
        smooth_slope_of_sum(S, rows, n, 0, 1, x, A, squares, squares_of_x)
    else:
        kinked_slope_of_sum(S, rows, n, leak_of(activation), x, A, squares, squares_of_x)
