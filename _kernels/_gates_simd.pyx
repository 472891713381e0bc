"""Leaf loops of cells with gates but lstm, compiled for several instruction sets like those in ``_simd``.

A row of A has n pre-activations of each gate, one gate behind the other; what is kept takes their places, and then
what is pulled back.  Where a row is gone through more than once, it is because the compiler gives up when it has to
make sure of more than ten pairs of pointers that they do not overlap.

Formulas hold for every input, as those of tanh and sigmoid do.  In them ``one`` has a type, as Cython computes in
double what it finds a literal in.
"""

from cython cimport floating

from admmirnn._kernels._simd cimport dispatched_void, hyperbolic_tangent, sigmoid


cdef dispatched_void fastgrnn_gates(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda,
                                    const floating* s_before, const floating* biases, floating* states) noexcept nogil:
    # of [a .]: A = [z c], z = sigmoid(a + b_z), c = tanh(a + b_c); states = (1 - z) c + z s_before
    cdef Py_ssize_t j, _
    cdef floating one = 1
    cdef floating* c
    cdef const floating* b_c = biases + n
    for _ in range(rows):
        c = A + n
        for j in range(n):
            c[j] = hyperbolic_tangent(A[j] + b_c[j])
        for j in range(n):
            A[j] = sigmoid(A[j] + biases[j])
            states[j] = (one - A[j]) * c[j] + A[j] * s_before[j]
        A, s_before, states = A + lda, s_before + n, states + n


cdef dispatched_void fastgrnn_gates_back(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda,
                                         const floating* s_before, floating* multipliers,
                                         floating* sums) noexcept nogil:
    # of [z c]: A = [lambda_z lambda_c], sums = lambda_z + lambda_c; multipliers *= z
    cdef Py_ssize_t j, _
    cdef floating one = 1
    cdef floating* c
    cdef floating of_z, of_c
    for _ in range(rows):
        c = A + n
        for j in range(n):
            of_z = multipliers[j] * (s_before[j] - c[j]) * (A[j] * (one - A[j]))
            of_c = multipliers[j] * (one - A[j]) * (one - c[j] * c[j])
            multipliers[j] *= A[j]
            sums[j], A[j], c[j] = of_z + of_c, of_z, of_c
        A, s_before, multipliers, sums = A + lda, s_before + n, multipliers + n, sums + n


cdef dispatched_void ugrnn_gates(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda,
                                 const floating* s_before, floating* states) noexcept nogil:
    # of [a_z a_c]: A = [z c], z = sigmoid(a_z), c = tanh(a_c); states = (1 - z) c + z s_before
    cdef Py_ssize_t j, _
    cdef floating one = 1
    cdef floating* c
    for _ in range(rows):
        c = A + n
        for j in range(n):
            A[j] = sigmoid(A[j])
            c[j] = hyperbolic_tangent(c[j])
            states[j] = (one - A[j]) * c[j] + A[j] * s_before[j]
        A, s_before, states = A + lda, s_before + n, states + n


cdef dispatched_void ugrnn_gates_back(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda,
                                      const floating* s_before, floating* multipliers) noexcept nogil:
    # of [z c]: A = [lambda_z lambda_c]; multipliers *= z
    cdef Py_ssize_t j, _
    cdef floating one = 1
    cdef floating* c
    cdef floating of_z, of_c
    for _ in range(rows):
        c = A + n
        for j in range(n):
            of_z = multipliers[j] * (s_before[j] - c[j]) * (A[j] * (one - A[j]))
            of_c = multipliers[j] * (one - A[j]) * (one - c[j] * c[j])
            multipliers[j] *= A[j]
            A[j], c[j] = of_z, of_c
        A, s_before, multipliers = A + lda, s_before + n, multipliers + n


cdef dispatched_void gru_gates(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda,
                               const floating* s_before, floating* states) noexcept nogil:
    # of [a_x a_z a_r a_s]: A = [c z r a_s], z, r = sigmoid, c = tanh(a_x + r a_s); states = (1 - z) c + z s_before
    cdef Py_ssize_t j, _
    cdef floating one = 1
    cdef floating* z
    cdef floating* r
    cdef floating* a_s
    for _ in range(rows):
        z, r, a_s = A + n, A + 2 * n, A + 3 * n
        for j in range(2 * n):                           # z and r
            z[j] = sigmoid(z[j])
        for j in range(n):
            A[j] = hyperbolic_tangent(A[j] + r[j] * a_s[j])
            states[j] = (one - z[j]) * A[j] + z[j] * s_before[j]
        A, s_before, states = A + lda, s_before + n, states + n


cdef dispatched_void gru_gates_back(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda,
                                    const floating* s_before, floating* multipliers) noexcept nogil:
    # of [c z r a_s]: A = the multipliers of [a_x a_z a_r a_s]; multipliers *= z
    cdef Py_ssize_t j, _
    cdef floating one = 1
    cdef floating* z
    cdef floating* r
    cdef floating* a_s
    cdef floating of_z, of_x, of_r
    for _ in range(rows):
        z, r, a_s = A + n, A + 2 * n, A + 3 * n
        for j in range(n):
            of_z = multipliers[j] * (s_before[j] - A[j]) * (z[j] * (one - z[j]))
            of_x = multipliers[j] * (one - z[j]) * (one - A[j] * A[j])
            multipliers[j] *= z[j]
            A[j], z[j] = of_x, of_z
        for j in range(n):
            of_r = A[j] * (r[j] * (one - r[j])) * a_s[j]
            a_s[j] = r[j] * A[j]
            r[j] = of_r
        A, s_before, multipliers = A + lda, s_before + n, multipliers + n
