"""Leaf loops of Algorithm 1's sweep, compiled for several instruction sets like those in ``_simd``.

They are a module of their own because gcc 12 cannot assemble one that exports more than about sixteen such functions:
it then defines their dispatchers twice.
"""

from cython cimport floating
from libc.math cimport fabs

from admmirnn._kernels._simd cimport dispatched_void, exp_of_negative

cdef int MOST_PLAIN_NEWTON_STEPS = 10           # 2 to 4 are usual


cdef dispatched_void add_symmetric(Py_ssize_t d, Py_ssize_t n, double weight, const floating* P,
                                   floating* G) noexcept nogil:
    # G[:, d:-1] += weight * P, G[d:-1] += weight * P.T, with P (d + n + 1, n), G (d + n + 1, d + n + 1) symmetric
    cdef Py_ssize_t m = d + n + 1, top, left, height, width, i, j
    cdef floating by = <floating> weight
    cdef floating[256] tile                            # of P.T, 16 x 16
    cdef floating* to
    for i in range(m):
        to = G + i * m + d
        for j in range(n):
            to[j] += by * P[i * n + j]
    for top in range(0, m, 16):
        height = min(16, m - top)
        for left in range(0, n, 16):
            width = min(16, n - left)
            for i in range(height):
                for j in range(width):
                    tile[j * 16 + i] = by * P[(top + i) * n + left + j]
            for j in range(width):
                to = G + (d + left + j) * m + top
                for i in range(height):
                    to[i] += tile[j * 16 + i]


cdef dispatched_void softmax_prox(Py_ssize_t K, const double* q, const double* y, const double* rho, double tolerance,
                                  double* u, double* p, double* error) noexcept nogil:
    # u = o+ - q of LANES rows next to each other, q, y, u, p (K, LANES), by Newton's method as in ``prox_row`` but
    # without a line search; p = softmax(q + u), error = the largest entries of the gradient, which tell where it failed
    cdef double[LANES] largest, total, gradient_h, p_h
    cdef double gradient, h
    cdef Py_ssize_t j, lane
    cdef int iteration, moving
    for iteration in range(MOST_PLAIN_NEWTON_STEPS + 1):
        for lane in range(LANES):
            largest[lane] = q[lane] + u[lane]
            total[lane] = error[lane] = gradient_h[lane] = p_h[lane] = 0
        for j in range(1, K):
            for lane in range(LANES):
                h = q[j * LANES + lane] + u[j * LANES + lane]
                largest[lane] = h if h > largest[lane] else largest[lane]
        for j in range(K):
            for lane in range(LANES):
                h = exp_of_negative(q[j * LANES + lane] + u[j * LANES + lane] - largest[lane])
                p[j * LANES + lane] = h
                total[lane] += h
        for lane in range(LANES):
            total[lane] = 1 / total[lane]
        for j in range(K):
            for lane in range(LANES):
                # g = p - y + rho u;  sums of p g / (rho + p) and of p / (rho + p)
                h = p[j * LANES + lane] * total[lane]
                p[j * LANES + lane] = h
                gradient = h + rho[lane] * u[j * LANES + lane] - y[j * LANES + lane]
                h /= rho[lane] + h
                gradient_h[lane] += h * gradient
                p_h[lane] += h
                gradient = fabs(gradient)
                error[lane] = error[lane] if gradient <= error[lane] else gradient
        moving = 0
        for lane in range(LANES):
            moving += not error[lane] <= tolerance
        if moving == 0 or iteration == MOST_PLAIN_NEWTON_STEPS:
            break
        for lane in range(LANES):
            gradient_h[lane] /= rho[lane] * p_h[lane]
        for j in range(K):
            for lane in range(LANES):
                # u -= (g + p sum(p g / (rho + p)) / (rho sum(p / (rho + p)))) / (rho + p)
                h = p[j * LANES + lane]
                gradient = h + rho[lane] * u[j * LANES + lane] - y[j * LANES + lane]
                u[j * LANES + lane] -= (gradient + h * gradient_h[lane]) / (rho[lane] + h)


cdef dispatched_void add_to_rows(Py_ssize_t rows, Py_ssize_t columns, double factor, const floating* x,
                                 floating* A, Py_ssize_t lda) noexcept nogil:
    # A[:rows, :columns] += factor * x, with x (rows, columns)
    cdef Py_ssize_t i, j
    cdef floating by = <floating> factor
    cdef floating* row
    for i in range(rows):
        row = A + i * lda
        for j in range(columns):
            row[j] += by * x[i * columns + j]


cdef dispatched_void state_change(Py_ssize_t rows, Py_ssize_t columns, double omega, double share,
                                  const floating* activated, const floating* S, Py_ssize_t lds,
                                  floating* change) noexcept nogil:
    # change = share * (change + omega * (activated - S)), all of them (rows, columns)
    cdef Py_ssize_t i, j, at
    cdef floating by = <floating> omega, whole = <floating> share
    for i in range(rows):
        for j in range(columns):
            at = i * columns + j
            change[at] = whole * (change[at] + by * (activated[at] - S[i * lds + j]))
