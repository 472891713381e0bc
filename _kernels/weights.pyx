"""The weight step: for each layer a damped Cholesky solve and the length of the step, then the move of both.

The solve is D = P^-1 M (G + shift I)^-1, where the penalty P is a matrix, that of the hidden layer, or 1.  With the
Cholesky factor L of P and C of G + shift I, and all of it transposed, as the code has it, A = C^-1 M^T L^-T has the
squares |A|^2 = tr(P D (G + shift I) D^T), and C^-T A = D^T L those |C^-T A|^2 = tr(P D D^T): the length of D in the
metric of P costs no product of its own.
"""

from cython cimport floating
from libc.math cimport INFINITY, NAN, isfinite, sqrt
from libc.string cimport memcpy

from admmirnn._kernels._blas cimport (
    add_gram, add_products, divide_rows, dot, multiply_rows, potrf, solve_triangular, symm
)
from admmirnn._kernels._layout cimport transpose


cdef struct Step:                                # of one layer
    double norm                                  # |D|
    double length
    double damping                               # in force
    double shift                                 # damping tr(G)/m, in the units of G


cdef bint eliminate(Py_ssize_t d, Py_ssize_t h, const floating* G_xs, floating shift, floating* G_ss,
                    floating* scaled) noexcept nogil:
    """G_ss -= G_xs^T (G_x + shift I)^-1 G_xs of symbols, lower triangle; whether G_x + shift I is positive definite."""
    cdef Py_ssize_t i, j
    cdef floating factor
    for i in range(d):
        factor = G_xs[i * h + h - 1] + shift
        if not factor > 0:
            return False
        factor = 1 / sqrt(factor)
        for j in range(h):
            scaled[i * h + j] = factor * G_xs[i * h + j]
    # G_ss -= scaled.T @ scaled
    add_gram[floating](d, h, -1, scaled, G_ss)
    return True


cdef void factorise(Py_ssize_t m, Py_ssize_t d, const floating* G, double damping, floating* factor, floating* scratch,
                    Step* step) noexcept nogil:
    """factor = cholesky(G + damping tr(G)/m I), raising the damping tenfold until that is positive definite.

    Of ``d`` symbols, whose block of G is diagonal, the factor holds G_xs, and the Cholesky factor of what is left of
    the other block when they are eliminated.
    """
    cdef Py_ssize_t i, h = m - d
    cdef double trace = 0
    cdef double least = 1e-6 if floating is float else 1e-14
    cdef floating shift
    for i in range(d):
        trace += G[i * h + h - 1]
    for i in range(h):
        trace += G[(d + i) * h + i]
    shift = <floating> (damping * trace / m)
    while isfinite(trace):
        memcpy(factor, G, m * h * sizeof(floating))
        for i in range(h):
            factor[(d + i) * h + i] += shift
        if not isfinite(shift):
            break
        if (d == 0 or eliminate(d, h, G, shift, factor + d * h, scratch)) and potrf[floating](h, factor + d * h) == 0:
            break
        damping = max(10 * damping, least)
        shift = <floating> (damping * trace / m)
    # trace - trace is zero, or NaN when the trace is not finite
    step.damping, step.shift = damping, shift + (trace - trace)


cdef double mean_of_diagonal(Py_ssize_t n, const double* R) noexcept nogil:
    """tr(R) / n"""
    cdef double trace = 0
    cdef Py_ssize_t i
    for i in range(n):
        trace += R[i * n + i]
    return trace / n


cdef void factorise_penalty(Py_ssize_t n, const double* R, double damping, floating* factor, Step* step) noexcept nogil:
    """factor = cholesky(R / (tr(R)/n) + damping I), raising the damping tenfold until that is positive definite.

    The damping in force is the larger one, of this and of ``step``; when R is not finite, the shift of ``step`` is NaN.
    """
    cdef Py_ssize_t i, j
    cdef double mean = mean_of_diagonal(n, R)
    cdef double by = 1 / mean if mean > 0 and isfinite(1 / mean) else 0
    cdef double least = 1e-6 if floating is float else 1e-14
    while isfinite(mean) and isfinite(<floating> damping):
        for i in range(n):
            for j in range(i + 1):
                factor[i * n + j] = <floating> (by * R[i * n + j])
            factor[i * n + i] += <floating> damping
        if potrf[floating](n, factor) == 0:
            break
        damping = max(10 * damping, least)
    step.damping = max(step.damping, damping)
    # mean - mean is zero, or NaN when the mean is not finite
    step.shift += mean - mean


cdef void add_scaled(Py_ssize_t n, floating by, const floating* x, floating* y) noexcept nogil:
    """y += by * x"""
    cdef Py_ssize_t j
    for j in range(n):
        y[j] += by * x[j]


cdef double divide_symbols(Py_ssize_t p, Py_ssize_t d, Py_ssize_t h, const floating* factor, floating shift,
                           floating* D) noexcept nogil:
    """D_x <- E^-1 D_x and then D_s -= G_xs^T D_x, with E = G_x + shift I; returns tr(D_x^T E D_x)."""
    cdef Py_ssize_t i, j
    cdef floating by
    cdef double whole = 0
    for i in range(d):
        by = 1 / (factor[i * h + h - 1] + shift)
        whole += by * <double> dot[floating](p, D + i * p, D + i * p)
        for j in range(p):
            D[i * p + j] *= by
    # D_s -= G_xs.T @ D_x
    add_products[floating](d, h, p, -1, factor, h, D, p, D + d * p, p)
    return whole


cdef double solve(Py_ssize_t p, Py_ssize_t m, Py_ssize_t d, const floating* M, const floating* G,
                  const floating* factor, const floating* P_factor, double shift, floating* D,
                  floating* GD) noexcept nogil:
    """D = P^-1 M (G + shift I)^-1, transposed, and |D| = sqrt(tr(P D G D^T) / p); NaN when anything is not finite.

    ``P_factor`` is the Cholesky factor of P, or NULL where P = I.
    """
    cdef Py_ssize_t h = m - d, i
    cdef floating* D_s = D + d * p
    cdef double square, whole = 0
    # D = M.T, then inv(factor), then inv(factor.T) from the left
    transpose(p, m, M, m, D)
    if P_factor != NULL:
        # D = D @ inv(L.T): from here on D^T L
        divide_rows[floating](True, m, p, P_factor, D)
    if d > 0:
        whole = divide_symbols(p, d, h, factor, <floating> shift, D)
    solve_triangular[floating](False, h, p, factor + d * h, D_s)
    # tr(D^T (G + shift) D) = |inv(factor) M^T|^2
    whole += dot[floating](h * p, D_s, D_s)
    solve_triangular[floating](True, h, p, factor + d * h, D_s)
    if d > 0:
        # D_x -= inv(E) @ G_xs @ D_s
        multiply_rows[floating](d, p, h, 1, factor, h, D_s, p, 0, GD, p)
        for i in range(d):
            add_scaled(p, -1 / (factor[i * h + h - 1] + <floating> shift), GD + i * p, D + i * p)
    # tr(D^T G D) = that - shift tr(D^T D), unless rounding would show
    square = whole - shift * <double> dot[floating](m * p, D, D)
    if square < 0.01 * whole:
        # GD = G @ D
        symm[floating](h, p, G + d * h, D_s, GD + d * p)
        if d > 0:
            multiply_rows[floating](d, p, h, 1, G, h, D_s, p, 0, GD, p)
            for i in range(d):
                add_scaled(p, G[i * h + h - 1], D + i * p, GD + i * p)
            add_products[floating](d, h, p, 1, G, h, D, p, GD + d * p, p)
        square = dot[floating](m * p, D, GD)
        if square < 0:                                 # by rounding
            square = 0
    if P_factor != NULL:
        # D = D @ inv(L)
        divide_rows[floating](False, m, p, P_factor, D)
    return sqrt(square / p) + (shift - shift)


cdef double length_of(double norm, double r, double radius) noexcept nogil:
    """min(1/r, radius / |D|), with 1/0 = inf; 0 when |D| is 0, for then there is nowhere to go."""
    if norm == 0:
        return 0
    return min(1 / r if r > 0 else INFINITY, radius / norm) if norm == norm else NAN


cdef void move(Py_ssize_t p, Py_ssize_t m, const floating* D, double length, floating* weights) noexcept nogil:
    """weights += length * D.T"""
    cdef Py_ssize_t i, j, first_i, first_j
    cdef floating by = <floating> length
    for first_i in range(0, p, 16):
        for first_j in range(0, m, 16):
            for i in range(first_i, min(first_i + 16, p)):
                for j in range(first_j, min(first_j + 16, m)):
                    weights[i * m + j] += by * D[j * p + i]


cdef bint is_finite(Py_ssize_t n, const floating* x) noexcept nogil:
    """Whether no number is NaN or infinite; the sum of squares tells in one product, unless it overflows itself."""
    cdef Py_ssize_t j
    # x @ x
    if isfinite(dot[floating](n, x, x)):
        return True
    for j in range(n):
        if not isfinite(x[j]):
            return False
    return True


def update_weights(const floating[:, ::1] M, const floating[:, ::1] G, floating[:, ::1] factor_out,
                   floating[:, ::1] D_out, floating[:, ::1] Theta_out, const floating[:, ::1] output_M,
                   const floating[:, ::1] output_G, floating[:, ::1] output_factor_out, floating[:, ::1] output_D_out,
                   floating[:, ::1] Psi_out, floating[::1] scratch_out, double damping, double r, double radius,
                   double output_radius, double schedule, double shrinkage, tuple factored=None,
                   const double[:, ::1] R=None, floating[:, ::1] P_factor_out=None):
    """Theta += length D with D = M (G + damping tr(G)/m I)^-1 length = schedule min(1/r, radius / |D|); Psi likewise.

    With ``R`` (n, n), the running Gram matrix of the multipliers, the hidden layer has a matrix for a penalty, P =
    R / (tr(R)/n) + damping I, in the place of I: D = P^-1 M (G + damping tr(G)/m I)^-1, |D| = sqrt(tr(P D G D^T) / n).
    ``P_factor_out`` (n, n) is its Cholesky factor, always a new one.  Where tr(R) = 0 the multipliers have said
    nothing, and nothing moves.

    ``M`` and the weights are (n, m), ``G`` and the factor (m, m), ``D`` (m, n) holds the transpose; with ``output_``
    the same for the read-out.  ``scratch_out`` holds as many numbers as the larger D.  |D| = sqrt(tr(D G D^T) / n).

    Without ``output_M`` and all that goes with it there is no read-out to move.  Of symbols, `backward` has the columns
    of [s 1] of G only: ``G`` and the factor are (m, n + 1), and ``scratch_out`` holds as many numbers as the factor or
    the larger D.  Of ``R`` the lower triangle is looked at.

    Before the move, W is multiplied by 1 - shrinkage times the radius in force (the distance moved when there is none);
    with ``R``, U and W by 1 - shrinkage times the distance moved, |D| times its length, and of symbols W alone.
    When a damped G is not positive definite to working precision, its damping is raised tenfold until it is.  When a
    step is not finite, nothing is moved.  When weights overflow, the length of their step is infinite.

    Returns (|D|, length, damping in force, shift) of both layers; given as ``factored``, the factors of G that they
    stand for are used again.
    """
    cdef Py_ssize_t n = M.shape[0], m = M.shape[1], d = m - n - 1, K = 0, h = 0, i, j
    cdef Py_ssize_t symbols = d if G.shape[1] == n + 1 else 0, columns = m - symbols
    cdef bint with_output = output_M is not None
    cdef Step hidden, output
    cdef double distance
    cdef floating keep
    cdef const double* R_in = NULL
    cdef floating* P_factor = NULL
    if d < 1 or G.shape[0] != m or G.shape[1] != columns or factor_out.shape[0] != m or factor_out.shape[1] != columns \
            or D_out.shape[0] != m or D_out.shape[1] != n or Theta_out.shape[0] != n or Theta_out.shape[1] != m \
            or scratch_out.shape[0] < m * n or scratch_out.shape[0] < symbols * (n + 1):
        raise ValueError("update_weights: the shapes do not belong together")
    if with_output:
        K, h = output_M.shape[0], output_M.shape[1]
        if output_G is None or output_factor_out is None or output_D_out is None or Psi_out is None \
                or output_G.shape[0] != h or output_G.shape[1] != h \
                or output_factor_out.shape[0] != h or output_factor_out.shape[1] != h \
                or output_D_out.shape[0] != h or output_D_out.shape[1] != K \
                or Psi_out.shape[0] != K or Psi_out.shape[1] != h or scratch_out.shape[0] < h * K:
            raise ValueError("update_weights: the shapes of the read-out do not belong together")
    if R is not None:
        if P_factor_out is None or R.shape[0] != n or R.shape[1] != n \
                or P_factor_out.shape[0] != n or P_factor_out.shape[1] != n:
            raise ValueError("update_weights: R and its factor do not belong to the other shapes")
        R_in, P_factor = &R[0, 0], &P_factor_out[0, 0]
    output.norm = output.length = output.damping = output.shift = 0
    if factored is not None:
        (_, _, hidden.damping, hidden.shift), (_, _, output.damping, output.shift) = factored
    with nogil:
        if factored is None:
            factorise[floating](m, symbols, &G[0, 0], damping, &factor_out[0, 0], &scratch_out[0], &hidden)
            if with_output:
                factorise[floating](h, 0, &output_G[0, 0], damping, &output_factor_out[0, 0], &scratch_out[0], &output)
        if R_in != NULL:
            factorise_penalty[floating](n, R_in, damping, P_factor, &hidden)
        hidden.norm = solve[floating](n, m, symbols, &M[0, 0], &G[0, 0], &factor_out[0, 0], P_factor, hidden.shift,
                                      &D_out[0, 0], &scratch_out[0])
        if R_in != NULL and mean_of_diagonal(n, R_in) == 0 and isfinite(hidden.norm):
            hidden.norm = 0
        if with_output:
            output.norm = solve[floating](K, h, 0, &output_M[0, 0], &output_G[0, 0], &output_factor_out[0, 0], NULL,
                                          output.shift, &output_D_out[0, 0], &scratch_out[0])
        hidden.length = schedule * length_of(hidden.norm, r, radius)
        output.length = schedule * length_of(output.norm, r, output_radius)
        if isfinite(hidden.length * hidden.norm) and isfinite(output.length * output.norm):
            if shrinkage > 0:
                distance = hidden.length * hidden.norm
                if R_in == NULL and isfinite(radius):
                    distance = schedule * radius
                keep = <floating> max(0.0, 1 - shrinkage * distance)
                for i in range(n):
                    for j in range(symbols if R_in != NULL else d, m - 1):
                        Theta_out[i, j] *= keep
            move[floating](n, m, &D_out[0, 0], hidden.length, &Theta_out[0, 0])
            if not is_finite[floating](n * m, &Theta_out[0, 0]):
                hidden.length = INFINITY
            if with_output:
                move[floating](K, h, &output_D_out[0, 0], output.length, &Psi_out[0, 0])
                if not is_finite[floating](K * h, &Psi_out[0, 0]):
                    output.length = INFINITY
    return ((hidden.norm, hidden.length, hidden.damping, hidden.shift),
            (output.norm, output.length, output.damping, output.shift))
