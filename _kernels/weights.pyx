"""The weight step of one matrix: a damped Cholesky solve and the length of the step; and the move, a step of its own.

The solve is D = P^-1 M (G + shift I)^-1, where the penalty P is a matrix, that of a hidden layer, or 1.  With the
Cholesky factor L of P and C of G + shift I, and all of it transposed, as the code has it, A = C^-1 M^T L^-T has the
squares |A|^2 = tr(P D (G + shift I) D^T), and C^-T A = D^T L those |C^-T A|^2 = tr(P D D^T): the length of D in the
metric of P costs no product of its own.

Of many inputs G has blocks, see `end_of_block`: what is between them is taken for zero, and each is solved for by
itself.

Threads share its stages: one factorises G and another P; of the solves from the right each does some rows of D, and of
those from the left some columns.
"""

from cython cimport floating
from libc.math cimport INFINITY, NAN, isfinite, sqrt
from libc.string cimport memcpy

from admmirnn._kernels._arrays cimport ANY, DOUBLE, FLOATING, VECTOR, Holder, misfit
from admmirnn._kernels._blas cimport (
    add_gram, add_products, divide_rows, dot, multiply_rows, potrf, solve_triangular, symm
)
from admmirnn._kernels._layout cimport end_of_block, numbers_of_blocks, transpose
from admmirnn._kernels._threads cimport n_parts_of, run

cdef double LEAST_OF_A_PART = 1e6                 # arithmetic operations of a stage that are worth a thread


cdef struct Step:                                # of one layer
    double norm                                  # |D|
    double length
    double damping                               # in force
    double shift                                 # damping tr(G)/m, in the units of G


cdef enum Stage:
    FACTORISE                                    # G in the first part, P in the second
    DIVIDE_TRANSPOSED                            # D = D @ inv(L.T)
    SOLVE                                        # D = inv(C) @ D
    SOLVE_TRANSPOSED                             # D = inv(C.T) @ D
    DIVIDE                                       # D = D @ inv(L)


cdef struct Job:                                 # a stage of a weight step, of which threads do parts
    Stage stage
    int n_parts
    Py_ssize_t n_threads, p, m, d, cut, block    # of the map, with d symbols
    int n_ones
    void* G
    void* factor
    void* P_factor
    void* D
    void* scratch
    double* R
    double damping
    Step of_G
    Step of_P


cdef bint eliminate(Py_ssize_t d, Py_ssize_t h, int n_ones, const floating* G_xs, floating shift, floating* G_ss,
                    floating* scaled) noexcept nogil:
    """G_ss -= G_xs^T (G_x + shift I)^-1 G_xs of symbols, lower triangle; whether G_x + shift I is positive definite."""
    cdef Py_ssize_t i, j
    cdef floating factor
    for i in range(d):
        factor = n_ones * G_xs[i * h + h - 1] + shift
        if not factor > 0:
            return False
        factor = 1 / sqrt(factor)
        for j in range(h):
            scaled[i * h + j] = factor * G_xs[i * h + j]
    # G_ss -= scaled.T @ scaled
    add_gram[floating](d, h, -1, scaled, h, G_ss, h)
    return True


cdef void add_to_diagonals(Py_ssize_t m, Py_ssize_t cut, Py_ssize_t block, floating shift, floating* G) noexcept nogil:
    """G += shift I, of each block."""
    cdef Py_ssize_t first = 0, width, i
    while first < m:
        width = end_of_block(first, cut, block, m) - first
        for i in range(width):
            G[i * width + i] += shift
        G, first = G + width * width, first + width


cdef double trace_of(Py_ssize_t m, Py_ssize_t cut, Py_ssize_t block, const floating* G, double trace) noexcept nogil:
    """trace + tr(G), of all blocks."""
    cdef Py_ssize_t first = 0, width, i
    while first < m:
        width = end_of_block(first, cut, block, m) - first
        for i in range(width):
            trace += G[i * width + i]
        G, first = G + width * width, first + width
    return trace


cdef bint factorise_blocks(Py_ssize_t m, Py_ssize_t cut, Py_ssize_t block, floating* factor) noexcept nogil:
    """factor = cholesky(factor) of each block; whether all are positive definite."""
    cdef Py_ssize_t first = 0, width
    while first < m:
        width = end_of_block(first, cut, block, m) - first
        if potrf[floating](width, factor) != 0:
            return False
        factor, first = factor + width * width, first + width
    return True


cdef void solve_blocks(bint is_transposed, Py_ssize_t m, Py_ssize_t columns, Py_ssize_t cut, Py_ssize_t block,
                       const floating* factor, floating* D, Py_ssize_t p) noexcept nogil:
    """D = inv(factor) @ D, or inv(factor.T) @ D, of each block, in some columns of D, which has p of them."""
    cdef Py_ssize_t first = 0, width
    while first < m:
        width = end_of_block(first, cut, block, m) - first
        solve_triangular[floating](is_transposed, width, columns, factor, D + first * p, p)
        factor, first = factor + width * width, first + width


cdef void multiply_by_blocks(Py_ssize_t m, Py_ssize_t p, Py_ssize_t cut, Py_ssize_t block, const floating* G,
                             const floating* D, floating* GD) noexcept nogil:
    """GD = G @ D, with D (m, p), of each block."""
    cdef Py_ssize_t first = 0, width
    while first < m:
        width = end_of_block(first, cut, block, m) - first
        symm[floating](width, p, G, D + first * p, GD + first * p)
        G, first = G + width * width, first + width


cdef void factorise(Py_ssize_t m, Py_ssize_t d, Py_ssize_t cut, Py_ssize_t block, int n_ones, const floating* G,
                    double damping, floating* factor, floating* scratch, Step* step) noexcept nogil:
    """factor = cholesky(G + damping tr(G)/m I), raising the damping tenfold until that is positive definite.

    Of ``d`` symbols, whose block of G is diagonal, the factor holds G_xs, and the Cholesky factor of what is left of
    the other block when they are eliminated.
    """
    cdef Py_ssize_t i, h = m - d, numbers = d * h + numbers_of_blocks(cut, block, h)
    cdef double trace = 0
    cdef double least = 1e-6 if floating is float else 1e-14
    cdef floating shift
    for i in range(d):
        trace += n_ones * G[i * h + h - 1]
    trace = trace_of[floating](h, cut, block, G + d * h, trace)
    shift = <floating> (damping * trace / m)
    while isfinite(trace):
        memcpy(factor, G, numbers * sizeof(floating))
        add_to_diagonals[floating](h, cut, block, shift, factor + d * h)
        if not isfinite(shift):
            break
        if (d == 0 or eliminate(d, h, n_ones, G, shift, factor + d * h, scratch)) \
                and factorise_blocks[floating](h, cut, block, factor + d * h):
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

    ``step`` gets the damping in force and, when R is not finite, a shift of NaN, else 0.
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
    # mean - mean is zero, or NaN when the mean is not finite
    step.damping, step.shift = damping, mean - mean


cdef void add_scaled(Py_ssize_t n, floating by, const floating* x, floating* y) noexcept nogil:
    """y += by * x"""
    cdef Py_ssize_t j
    for j in range(n):
        y[j] += by * x[j]


cdef double divide_symbols(Py_ssize_t p, Py_ssize_t d, Py_ssize_t h, int n_ones, const floating* factor, floating shift,
                           floating* D) noexcept nogil:
    """D_x <- E^-1 D_x and then D_s -= G_xs^T D_x, with E = G_x + shift I; returns tr(D_x^T E D_x)."""
    cdef Py_ssize_t i, j
    cdef floating by
    cdef double whole = 0
    for i in range(d):
        by = 1 / (n_ones * factor[i * h + h - 1] + shift)
        whole += by * <double> dot[floating](p, D + i * p, D + i * p)
        for j in range(p):
            D[i * p + j] *= by
    # D_s -= G_xs.T @ D_x
    add_products[floating](d, h, p, -1, factor, h, D, p, D + d * p, p)
    return whole


cdef void do_part(Job* job, int part, floating* D) noexcept nogil:
    """One part of a stage."""
    cdef Py_ssize_t p = job.p, m = job.m, d = job.d, h = m - d, first, end
    cdef floating* factor = <floating*> job.factor
    cdef bint is_transposed = job.stage == DIVIDE_TRANSPOSED or job.stage == SOLVE_TRANSPOSED
    if job.stage == FACTORISE:
        if part == 0:
            factorise[floating](m, d, job.cut, job.block, job.n_ones, <floating*> job.G, job.damping, factor,
                                <floating*> job.scratch, &job.of_G)
        else:
            factorise_penalty[floating](p, job.R, job.damping, <floating*> job.P_factor, &job.of_P)
    elif job.stage == DIVIDE or job.stage == DIVIDE_TRANSPOSED:
        first, end = m * part // job.n_parts, m * (part + 1) // job.n_parts
        divide_rows[floating](is_transposed, end - first, p, <floating*> job.P_factor, D + first * p)
    else:
        first, end = p * part // job.n_parts, p * (part + 1) // job.n_parts
        solve_blocks[floating](is_transposed, h, end - first, job.cut, job.block, factor + d * h, D + d * p + first, p)


cdef void float_part(void* job, int part) noexcept nogil:
    do_part[float](<Job*> job, part, <float*> (<Job*> job).D)


cdef void double_part(void* job, int part) noexcept nogil:
    do_part[double](<Job*> job, part, <double*> (<Job*> job).D)


cdef void share(Job* job, Stage stage, Py_ssize_t most_parts, double work, floating* D) noexcept nogil:
    """Have threads do a stage of so many arithmetic operations."""
    job.stage = stage
    job.n_parts = n_parts_of(job.n_threads, most_parts, work, LEAST_OF_A_PART)
    run(float_part if floating is float else double_part, job, job.n_parts)


cdef double solve(Job* job, const floating* M, double shift, floating* D) noexcept nogil:
    """D = P^-1 M (G + shift I)^-1, transposed, and |D| = sqrt(tr(P D G D^T) / (p n_ones)), or NaN.

    Without a Cholesky factor of P it is I.
    """
    cdef Py_ssize_t p = job.p, m = job.m, d = job.d, cut = job.cut, block = job.block, h = m - d, i
    cdef int n_ones = job.n_ones
    cdef const floating* G = <floating*> job.G
    cdef const floating* factor = <floating*> job.factor
    cdef floating* GD = <floating*> job.scratch
    cdef floating* D_s = D + d * p
    cdef double from_left = 1.0 * numbers_of_blocks(cut, block, h) * p, from_right = 1.0 * m * p * p
    cdef double square, whole = 0
    # D = M.T, then inv(factor), then inv(factor.T) from the left
    transpose(p, m, M, m, D, p)
    if job.P_factor != NULL:
        # D = D @ inv(L.T): from here on D^T L
        share[floating](job, DIVIDE_TRANSPOSED, m, from_right, D)
    if d > 0:
        whole = divide_symbols(p, d, h, n_ones, factor, <floating> shift, D)
    share[floating](job, SOLVE, p, from_left, D)
    # tr(D^T (G + shift) D) = |inv(factor) M^T|^2
    whole += dot[floating](h * p, D_s, D_s)
    share[floating](job, SOLVE_TRANSPOSED, p, from_left, D)
    if d > 0:
        # D_x -= inv(E) @ G_xs @ D_s
        multiply_rows[floating](d, p, h, 1, factor, h, D_s, p, 0, GD, p)
        for i in range(d):
            add_scaled(p, -1 / (n_ones * factor[i * h + h - 1] + <floating> shift), GD + i * p, D + i * p)
    # tr(D^T G D) = that - shift tr(D^T D), unless rounding would show
    square = whole - shift * <double> dot[floating](m * p, D, D)
    if square < 0.01 * whole:
        # GD = G @ D
        multiply_by_blocks[floating](h, p, cut, block, G + d * h, D_s, GD + d * p)
        if d > 0:
            multiply_rows[floating](d, p, h, 1, G, h, D_s, p, 0, GD, p)
            for i in range(d):
                add_scaled(p, n_ones * G[i * h + h - 1], D + i * p, GD + i * p)
            add_products[floating](d, h, p, 1, G, h, D, p, GD + d * p, p)
        square = dot[floating](m * p, D, GD)
        if square < 0:                                 # by rounding
            square = 0
    if job.P_factor != NULL:
        # D = D @ inv(L)
        share[floating](job, DIVIDE, m, from_right, D)
    return sqrt(square / (p * n_ones)) + (shift - shift)


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


cdef class _Map(Holder):
    """A matrix of weights with its statistics and the scratch of its weight step; see ``linear_map``."""

    def __cinit__(self, layer, scratch, Py_ssize_t n_threads=1):
        cdef Py_ssize_t p = layer.p, m = layer.m, d = layer.n_symbols, h = m - d, numbers
        self.owner = b"linear_map"
        self.p, self.m, self.n_symbols, self.n_ones, self.n_threads = p, m, d, layer.n_ones, n_threads
        self.first_of_ridge, self.end_of_ridge = layer.ridge_columns
        self.cut, self.block = layer.gram_blocks
        if p < 1 or not 0 <= d < m or not 1 <= self.n_ones <= m - d \
                or not 0 <= self.first_of_ridge <= self.end_of_ridge <= m \
                or not 0 <= self.cut < m or self.block < 1 or (d > 0 and self.cut > 0):
            raise ValueError(
                f"linear_map: p is {p}, m is {m}, n_symbols is {d}, n_ones is {self.n_ones}, ridge_columns is "
                f"{layer.ridge_columns} and gram_blocks is {layer.gram_blocks}; p must be at least 1, n_symbols from "
                "0 to m - 1, n_ones from 1 to m - n_symbols, ridge_columns within 0 to m, and gram_blocks from 0 "
                "to m - 1, but 0 with symbols, and at least 1")
        self.weights = self.hold(layer.weights, "weights", FLOATING, True, p, m)
        self.M = self.hold(layer.M, "M", FLOATING, True, p, m)
        self.pull = self.hold(layer.pull, "pull", FLOATING, False, p, m)
        if self.cut > 0:
            numbers = numbers_of_blocks(self.cut, self.block, m)
            self.G = self.hold(layer.G, "G", FLOATING, True, numbers, VECTOR)
            self.factor = self.hold(layer.factor, "factor", FLOATING, True, numbers, VECTOR)
        else:
            self.G = self.hold(layer.G, "G", FLOATING, True, m, h)
            self.factor = self.hold(layer.factor, "factor", FLOATING, True, m, h)
        self.D = self.hold(layer.D, "D", FLOATING, True, m, p)
        self.scratch = self.hold(scratch, "scratch", FLOATING, True, ANY, VECTOR)
        if self.rows < max(m * p, d * h):
            raise misfit("linear_map", [("scratch", (self.rows,), ((max(m * p, d * h),),))], "")
        if (layer.R is None) != (layer.P_factor is None):
            raise ValueError("linear_map: one of R and P_factor is None; give both, or neither")
        if layer.R is not None:
            self.R = <double*> self.hold(layer.R, "R", DOUBLE, True, p, p)
            self.P_factor = self.hold(layer.P_factor, "P_factor", FLOATING, True, p, p)


def linear_map(layer, scratch, n_threads=1):
    """What `weight_step`, `move_weights` and `fold` take: the weights (p, m) of ``layer`` with all that moves them.

    ``layer`` has p, m, ``n_symbols``, how many of the first columns are symbols, ``n_ones``, how many of the last ones
    are 1, of which each equation has one, so that with two of them a row of weights has part in two equations, and
    ``ridge_columns``, the first and the end of those that the ridge shrinks; the arrays ``weights``, M and ``pull``
    (p, m), of which the weight step follows ``pull``: M itself, or M - lambda4 where something is penalised; G and its
    ``factor`` (m, m), D (m, p), which holds the transpose; R (p, p), the running Gram matrix of the multipliers, in
    float64, and ``P_factor`` (p, p), or None.  Of symbols, `backward` has the columns of [s 1] of G only: G and its
    factor are then (m, m - n_symbols).  ``gram_blocks`` says how G is cut into blocks: the first so many columns, or 0,
    into blocks of so many, or fewer for the last of them, and the others are one block.  Where it is cut, G and its
    factor are vectors, in which squares lie one after the other.  ``scratch`` holds as many numbers as D, or as the
    factor of symbols.  At most ``n_threads`` threads share the weight step.  The map holds on to the memory of these
    arrays as long as it lives.
    """
    return _Map(layer, scratch, n_threads)


cdef void step_of(_Map of, double damping, bint factorises, Step* step, floating* D) noexcept nogil:
    """D and |D|; ``step`` has damping and shift already unless this ``factorises`` G."""
    cdef Job job
    cdef double h = of.m - of.n_symbols, p = of.p, cubes = (h * h * h + p * p * p) / 3
    job.n_threads, job.p, job.m, job.d, job.cut, job.block = of.n_threads, of.p, of.m, of.n_symbols, of.cut, of.block
    job.n_ones, job.damping, job.of_G = of.n_ones, damping, step[0]
    job.G, job.factor, job.P_factor, job.R = of.G, of.factor, of.P_factor, of.R
    job.D, job.scratch = D, of.scratch
    job.of_P.damping, job.of_P.shift = 0, 0
    if factorises and of.R != NULL and n_parts_of(of.n_threads, 2, cubes, LEAST_OF_A_PART) == 2:
        share[floating](&job, FACTORISE, 2, cubes, D)
    else:
        job.stage = FACTORISE
        if factorises:
            do_part[floating](&job, 0, D)
        if of.R != NULL:
            do_part[floating](&job, 1, D)
    step.damping, step.shift = max(job.of_G.damping, job.of_P.damping), job.of_G.shift + job.of_P.shift
    step.norm = solve[floating](&job, <floating*> of.pull, step.shift, D)
    if of.R != NULL and mean_of_diagonal(of.p, of.R) == 0 and isfinite(step.norm):
        step.norm = 0


def weight_step(_Map map not None, double damping, double r, double radius, double schedule, tuple factored=None):
    """D = P^-1 M (G + damping tr(G)/m I)^-1 and length = schedule min(1/r, radius / |D|), without going there.

    |D| = sqrt(tr(P D G D^T) / (p n_ones)), where P = I; with R it is a matrix, P = R / (tr(R)/p) + damping I, whose
    factor is always a new one.  Where tr(R) = 0 the multipliers have said nothing, and the length is 0.  Of G and R the
    lower triangle is looked at.  When a damped G or R is not positive definite to working precision, its damping is
    raised tenfold until it is.  Where a statistic is not finite, |D| is NaN.

    Returns (|D|, length, damping in force, shift); given as ``factored``, the factor of G that they stand for is used
    again.
    """
    cdef Step step
    step.norm = step.length = step.damping = step.shift = 0
    if factored is not None:
        _, _, step.damping, step.shift = factored
    with nogil:
        if map.single:
            step_of[float](map, damping, factored is None, &step, <float*> map.D)
        else:
            step_of[double](map, damping, factored is None, &step, <double*> map.D)
    step.length = schedule * length_of(step.norm, r, radius)
    return step.norm, step.length, step.damping, step.shift


cdef bint move_of(_Map of, double length, double keep, floating* weights) noexcept nogil:
    """weights <- keep * weights in the columns of the ridge, then weights += length * D.T; whether all are finite."""
    cdef Py_ssize_t i, j
    cdef floating by = <floating> keep
    if keep != 1:
        for i in range(of.p):
            for j in range(of.first_of_ridge, of.end_of_ridge):
                weights[i * of.m + j] *= by
    move[floating](of.p, of.m, <floating*> of.D, length, weights)
    return is_finite[floating](of.p * of.m, weights)


def move_weights(_Map map not None, double length, double keep=1):
    """Move the weights by ``length`` D, as `weight_step` has found both, and return whether they are still finite.

    Before that, those in the columns of the ridge are multiplied by ``keep``.
    """
    cdef bint finite
    with nogil:
        if map.single:
            finite = move_of[float](map, length, keep, <float*> map.weights)
        else:
            finite = move_of[double](map, length, keep, <double*> map.weights)
    return finite
