"""The weight step: for each layer a damped Cholesky solve and the length of the step, then the move of both."""

from cython cimport floating
from libc.math cimport INFINITY, NAN, isfinite, sqrt
from libc.string cimport memcpy

from admmirnn._kernels._blas cimport dot, potrf, solve_triangular, symm
from admmirnn._kernels._layout cimport transpose


cdef struct Step:                                # of one layer
    double norm                                  # |D|
    double length
    double damping                               # in force
    double shift                                 # damping tr(G)/m, in the units of G


cdef void factorise(Py_ssize_t m, const floating* G, double damping, floating* factor, Step* step) noexcept nogil:
    """factor = cholesky(G + damping tr(G)/m I), raising the damping tenfold until that is positive definite."""
    cdef Py_ssize_t i
    cdef double trace = 0
    cdef double least = 1e-6 if floating is float else 1e-14
    cdef floating shift
    for i in range(m):
        trace += G[i * m + i]
    shift = <floating> (damping * trace / m)
    while isfinite(trace):
        memcpy(factor, G, m * m * sizeof(floating))
        for i in range(m):
            factor[i * m + i] += shift
        if potrf[floating](m, factor) == 0 or not isfinite(shift):
            break
        damping = max(10 * damping, least)
        shift = <floating> (damping * trace / m)
    # trace - trace is zero, or NaN when the trace is not finite
    step.damping, step.shift = damping, shift + (trace - trace)


cdef double solve(Py_ssize_t p, Py_ssize_t m, const floating* M, const floating* G, const floating* factor,
                  double shift, floating* D, floating* GD) noexcept nogil:
    """D = M (G + shift I)^-1, transposed, and |D| = sqrt(tr(D G D^T) / p); NaN when anything is not finite."""
    cdef double square, whole
    # D = M.T, then inv(factor), then inv(factor.T) from the left
    transpose(p, m, M, m, D)
    solve_triangular[floating](False, m, p, factor, D)
    # tr(D^T (G + shift) D) = |inv(factor) M^T|^2
    whole = dot[floating](m * p, D, D)
    solve_triangular[floating](True, m, p, factor, D)
    # tr(D^T G D) = that - shift tr(D^T D), unless rounding would show
    square = whole - shift * <double> dot[floating](m * p, D, D)
    if square < 0.01 * whole:
        # GD = G @ D
        symm[floating](m, p, G, D, GD)
        square = dot[floating](m * p, D, GD)
        if square < 0:                                 # by rounding
            square = 0
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


def update_weights(const floating[:, ::1] M, const floating[:, ::1] G, floating[:, ::1] factor_out,
                   floating[:, ::1] D_out, floating[:, ::1] Theta_out, const floating[:, ::1] output_M,
                   const floating[:, ::1] output_G, floating[:, ::1] output_factor_out, floating[:, ::1] output_D_out,
                   floating[:, ::1] Psi_out, floating[::1] scratch_out, double damping, double r, double radius,
                   double output_radius, double schedule, double shrinkage, tuple factored=None):
    """Theta += length D with D = M (G + damping tr(G)/m I)^-1 and length = schedule min(1/r, radius / |D|); Psi likewise.

    ``M`` and the weights are (n, m), ``G`` and the factor (m, m), ``D`` (m, n) holds the transpose; with ``output_`` the
    same for the read-out.  ``scratch_out`` holds as many numbers as the larger D.  |D| = sqrt(tr(D G D^T) / n).

    Without ``output_M`` and all that goes with it there is no read-out to move.

    W is multiplied by 1 - shrinkage times the radius in force (the distance moved when there is none) before the move.
    When a damped G is not positive definite to working precision, its damping is raised tenfold until it is.  When a
    step is not finite, nothing is moved.

    Returns (|D|, length, damping in force, shift) of both layers; given as ``factored``, the factors they stand for are
    used again.
    """
    cdef Py_ssize_t n = M.shape[0], m = M.shape[1], d = m - n - 1, K = 0, h = 0, i, j
    cdef bint with_output = output_M is not None
    cdef Step hidden, output
    cdef double distance
    cdef floating keep
    if d < 1 or G.shape[0] != m or G.shape[1] != m or factor_out.shape[0] != m or factor_out.shape[1] != m \
            or D_out.shape[0] != m or D_out.shape[1] != n or Theta_out.shape[0] != n or Theta_out.shape[1] != m \
            or scratch_out.shape[0] < m * n:
        raise ValueError("update_weights: the shapes do not belong together")
    if with_output:
        K, h = output_M.shape[0], output_M.shape[1]
        if output_G is None or output_factor_out is None or output_D_out is None or Psi_out is None \
                or output_G.shape[0] != h or output_G.shape[1] != h \
                or output_factor_out.shape[0] != h or output_factor_out.shape[1] != h \
                or output_D_out.shape[0] != h or output_D_out.shape[1] != K \
                or Psi_out.shape[0] != K or Psi_out.shape[1] != h or scratch_out.shape[0] < h * K:
            raise ValueError("update_weights: the shapes of the read-out do not belong together")
    output.norm = output.length = output.damping = output.shift = 0
    if factored is not None:
        (_, _, hidden.damping, hidden.shift), (_, _, output.damping, output.shift) = factored
    with nogil:
        if factored is None:
            factorise[floating](m, &G[0, 0], damping, &factor_out[0, 0], &hidden)
            if with_output:
                factorise[floating](h, &output_G[0, 0], damping, &output_factor_out[0, 0], &output)
        hidden.norm = solve[floating](n, m, &M[0, 0], &G[0, 0], &factor_out[0, 0], hidden.shift, &D_out[0, 0],
                                      &scratch_out[0])
        if with_output:
            output.norm = solve[floating](K, h, &output_M[0, 0], &output_G[0, 0], &output_factor_out[0, 0],
                                          output.shift, &output_D_out[0, 0], &scratch_out[0])
        hidden.length = schedule * length_of(hidden.norm, r, radius)
        output.length = schedule * length_of(output.norm, r, output_radius)
        if isfinite(hidden.length * hidden.norm) and isfinite(output.length * output.norm):
            if shrinkage > 0:
                distance = schedule * radius if isfinite(radius) else hidden.length * hidden.norm
                keep = <floating> max(0.0, 1 - shrinkage * distance)
                for i in range(n):
                    for j in range(d, m - 1):
                        Theta_out[i, j] *= keep
            move[floating](n, m, &D_out[0, 0], hidden.length, &Theta_out[0, 0])
            if with_output:
                move[floating](K, h, &output_D_out[0, 0], output.length, &Psi_out[0, 0])
    return ((hidden.norm, hidden.length, hidden.damping, hidden.shift),
            (output.norm, output.length, output.damping, output.shift))
