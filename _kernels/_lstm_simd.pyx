"""Leaf loops of lstm, like those of other cells with gates in ``_gates_simd``, which has no room for them."""

from cython cimport floating

from admmirnn._kernels._simd cimport dispatched_void, hyperbolic_tangent, sigmoid


cdef dispatched_void lstm_gates(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda,
                                const floating* c_before, floating* states, floating* c) noexcept nogil:
    # of [a_i a_f a_g a_o]: A = [i f g o], i, f, o = sigmoid, g = tanh; c = f c_before + i g, states = o tanh(c)
    cdef Py_ssize_t j, _
    cdef floating* f
    cdef floating* g
    cdef floating* o
    for _ in range(rows):
        f, g, o = A + n, A + 2 * n, A + 3 * n
        for j in range(2 * n):                           # i and f
            A[j] = sigmoid(A[j])
        for j in range(n):
            g[j] = hyperbolic_tangent(g[j])
            c[j] = f[j] * c_before[j] + A[j] * g[j]
        for j in range(n):
            o[j] = sigmoid(o[j])
            states[j] = o[j] * hyperbolic_tangent(c[j])
        A, c_before, states, c = A + lda, c_before + n, states + n, c + n


cdef dispatched_void lstm_gates_back(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda,
                                     const floating* c_before, const floating* c,
                                     const floating* multipliers, floating* lambda_c) noexcept nogil:
    # of [i f g o]: A = the multipliers of [a_i a_f a_g a_o]; lambda_c, of c from step t + 1, becomes that of c_before
    cdef Py_ssize_t j, _
    cdef floating one = 1
    cdef floating* f
    cdef floating* g
    cdef floating* o
    cdef floating T, of_c, of_i
    for _ in range(rows):
        f, g, o = A + n, A + 2 * n, A + 3 * n
        for j in range(n):
            T = hyperbolic_tangent(c[j])
            lambda_c[j] += multipliers[j] * o[j] * (one - T * T)
            o[j] = multipliers[j] * T * (o[j] * (one - o[j]))
        for j in range(n):
            of_c = lambda_c[j]
            of_i = of_c * g[j] * (A[j] * (one - A[j]))
            lambda_c[j] = of_c * f[j]
            f[j] = of_c * c_before[j] * (f[j] * (one - f[j]))
            g[j] = of_c * A[j] * (one - g[j] * g[j])
            A[j] = of_i
        A, c_before, c, multipliers, lambda_c = A + lda, c_before + n, c + n, multipliers + n, lambda_c + n
