"""Symbols that follow others: each is drawn from the network's own outputs, and read as the next one."""

from cython cimport floating
from libc.math cimport exp, isfinite
from libc.stdint cimport int32_t
from libc.stdlib cimport free, malloc

from admmirnn._kernels._blas cimport gemm
from admmirnn._kernels._cells cimport Cell, cell_of, step


cdef void read(Cell cell, Py_ssize_t n, Py_ssize_t d, const floating* Theta, int32_t code, floating* s,
               floating* a) noexcept nogil:
    """s = the state after this symbol, of a = U[:, code] + W s + b."""
    cdef Py_ssize_t i, m = d + n + 1
    for i in range(n):
        a[i] = Theta[i * m + code] + Theta[i * m + m - 1]
    # a += s @ W.T
    gemm[floating](False, True, 1, n, n, 1, s, n, Theta + d, m, 1, a, n)
    step(cell, 1, n, a)
    for i in range(n):
        s[i] = a[i]


cdef int32_t draw(Py_ssize_t n, Py_ssize_t d, const floating* Psi, const floating* s, double temperature,
                  double uniform, floating* q, double* p) noexcept nogil:
    """Which p = softmax((V s + c) / temperature) first sums up to ``uniform``; the largest at temperature 0.

    -1: outputs are not finite.
    """
    cdef Py_ssize_t i, largest = 0
    cdef double total = 0, sum_of_p = 0
    for i in range(d):
        q[i] = Psi[i * (n + 1) + n]
    # q += s @ V.T
    gemm[floating](False, True, 1, d, n, 1, s, n, Psi, n + 1, 1, q, d)
    for i in range(d):
        if not isfinite(q[i]):
            return -1
        if q[i] > q[largest]:
            largest = i
    if temperature == 0:
        return <int32_t> largest
    for i in range(d):
        p[i] = exp((<double> q[i] - <double> q[largest]) / temperature)
        total += p[i]
    for i in range(d):
        sum_of_p += p[i]
        if sum_of_p > uniform * total:
            return <int32_t> i
    return <int32_t> largest                           # uniform * total was rounded up


def generate(Py_ssize_t d, Py_ssize_t n, const floating[:, ::1] Theta, const floating[:, ::1] Psi, cell,
             const int32_t[::1] codes, double temperature, const double[::1] uniforms, floating[::1] state_out,
             int32_t[::1] codes_out):
    """Read symbols, and as many more as there are ``uniforms``, each drawn from the outputs after the one before.

    There are ``d`` symbols and ``n`` units: Theta = [U W b] (n, d + n + 1), Psi = [V c] (d, n + 1).
    ``state_out`` (n,) is where the network starts and,
    afterwards, the state after the last symbol but one.  ``temperature`` divides the outputs; with 0 the largest one is
    taken.

    Returns whether all outputs were finite.
    """
    cdef Py_ssize_t i
    cdef Cell of_network = cell_of(cell)
    cdef floating* scratch
    cdef double* p
    cdef int32_t code = 0
    if d < 1 or n < 1 or Theta.shape[0] != n or Theta.shape[1] != d + n + 1 \
            or Psi.shape[0] != d or Psi.shape[1] != n + 1 or state_out.shape[0] != n or codes.shape[0] < 1 \
            or codes_out.shape[0] != uniforms.shape[0] or not temperature >= 0:
        raise ValueError(
            "generate: the shapes do not belong together, there is no symbol, or the temperature is negative")
    for i in range(codes.shape[0]):
        if not 0 <= codes[i] < d:
            raise ValueError(f"generate: code {i} is not below {d}, the columns of U, or is negative")
    p = <double*> malloc(d * sizeof(double) + (n + d) * sizeof(floating))
    if p == NULL:
        raise MemoryError
    scratch = <floating*> (p + d)
    with nogil:
        for i in range(codes.shape[0]):
            code = codes[i]
            if i + 1 < codes.shape[0]:
                read[floating](of_network, n, d, &Theta[0, 0], code, &state_out[0], scratch)
        for i in range(uniforms.shape[0]):
            read[floating](of_network, n, d, &Theta[0, 0], code, &state_out[0], scratch)
            code = draw[floating](n, d, &Psi[0, 0], &state_out[0], temperature, uniforms[i], scratch + n, p)
            if code < 0:
                break
            codes_out[i] = code
    free(p)
    return code >= 0
