from cython cimport floating
from admmirnn._kernels._activations cimport Activation

cdef void proximal_activation(Activation f, double r, double penalty, const floating* alpha, const floating* target,
                              Py_ssize_t count, floating* a) noexcept nogil
