from cython cimport floating

from admmirnn._kernels._activations cimport Activation

cdef void elman_step(Activation f, Py_ssize_t rows, Py_ssize_t n, floating* A) noexcept nogil
cdef void elman_pull_back(Activation f, Py_ssize_t rows, Py_ssize_t n, const floating* kept, const floating* more,
                          floating* multipliers, double* squares, double* squares_of_more) noexcept nogil
