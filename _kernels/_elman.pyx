"""The cell `elman`: s_t = f(a_t), of one map, a_t = U x_t + W s_{t-1} + b.

It keeps nothing beside the state, from which f' follows.
"""

from cython cimport floating

from admmirnn._kernels._activations cimport Activation, activate, add_multiply_by_slope, multiply_by_slope


cdef void elman_step(Activation f, Py_ssize_t rows, Py_ssize_t n, floating* A) noexcept nogil:
    """s = f(a), in the place of a."""
    activate(f, A, rows, n, n)


cdef void elman_pull_back(Activation f, Py_ssize_t rows, Py_ssize_t n, const floating* kept, const floating* more,
                          floating* multipliers, double* squares, double* squares_of_more) noexcept nogil:
    """lambda1 = f'(a) * (lambda2 + more), in the place of lambda2; ``kept`` is s."""
    if more == NULL:
        multiply_by_slope(f, kept, rows, n, multipliers, squares)
    else:
        add_multiply_by_slope(f, kept, rows, n, more, multipliers, squares, squares_of_more)
