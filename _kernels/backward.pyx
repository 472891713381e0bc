"""The backward sweep: the multipliers of all equations from the last step to the first, and the sums they are part of.

L = sum lambda1_t z_t^T and G = sum z_t z_t^T, z_t = [x_t, s_{t-1}, 1], are summed up by blocks, of [x 1] and of s,
where observations and states lie; the parts that threads work on have sums of their own, added in one order.  So is
R = sum lambda1_t lambda1_t^T, of multipliers times a power of two where their squares would leave the range of float32.

A symbol x is a row of the unit matrix: its row of L_x = sum x lambda1^T takes lambda1, its row of G_xs = sum x [s 1]^T
takes [s 1], and of G_x = sum x x^T, a diagonal of counts, the last column of G_xs is what there is to know.  Of many
features G has blocks only: x x^T of so many columns of x each, and [s 1]^T [s 1].

Outputs are read from states h, all rows of which must be known before V^T lambda3 is passed on: with a pooled read-out
lambda_h = V^T lambda3 takes the place of H, once the sums over h have been taken, and its share is injected at each
step.

Where another layer reads the states, it hands multipliers of them down, lambda_s, a row for each step as its own
observations lie; and so does this one to what it reads from: lambda_x = lambda1 U.
"""

from cython cimport floating
from libc.math cimport fabs, isfinite, ldexp, logb, sqrt
from libc.stdint cimport int32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from admmirnn._kernels._arrays cimport misfit
from admmirnn._kernels._blas cimport add_gram, add_products, dot, multiply_rows, rows_at_once
from admmirnn._kernels._cells cimport MOST_MAPS, Cell, MapOf, columns_of, gated_pull_back, pull_back, width_of
from admmirnn._kernels._layout cimport EACH, LAST, MAX, MEAN, NONE, ReadOut, end_of_block
from admmirnn._kernels._pool_simd cimport add_all, multiply_all, take_where
from admmirnn._kernels._threads cimport LEAST_OF_A_SWEEP, MOST_PARTS, divide, n_parts_of, run
from admmirnn._kernels.batch cimport _Batch, n_outputs_of
from admmirnn._kernels.statistics cimport Sums, numbers_of_R, sums_of_part
from admmirnn._kernels.work cimport GRAM_ROWS, OUTPUT_ROWS, R_ROWS, TARGETS, _Work, has_room, needs


cdef double LEAST_SQUARE = 1e-20                  # of the multipliers of a step: below it, squares of small ones vanish
cdef double MOST_SQUARE = 1e30                    # above it, sums over steps may overflow
cdef int MOST_DOUBLINGS = 120                     # that a float32 of 1 stands


cdef struct Sweep:                               # what all parts of a backward sweep share
    const Py_ssize_t* offsets
    Cell cell
    ReadOut read_out
    bint from_zero                               # s_0 = 0
    Py_ssize_t N, d, n, K
    Sums at                                      # where sums stand
    const void* maps[MOST_MAPS]                 # the matrices of weights
    const void* Psi                              # (K, n + 1)
    const void* X                                # (rows, d + 1), or NULL
    const int32_t* codes                         # (rows,): of symbols, or NULL
    const void* S                                # (rows + B, n)
    void* A                                      # (rows, kept n): what the cell has kept, then its multipliers; or NULL
    const void* C                                # (rows + B, n): cell states, or NULL
    Py_ssize_t apart                             # how far apart the multipliers of two rows' pre-activations are
    void* lambda_c                               # (B, n): their multipliers, or NULL
    const void* lambda3                          # (B, K), or a row for each row of S from offsets[1] on
    const void* weights                          # as many, or NULL for all 1
    const void* roots                            # (B,): square roots of the sequences' weights, or NULL for all 1
    const void* mask                             # (B, n): what the states that outputs see are multiplied by, or NULL
    void* H                                      # (B, n): pooled states, then lambda_h; with a mask, what outputs see
    const int32_t* steps                         # (B, n): at which step a state was the largest
    const Py_ssize_t* lengths                    # of the sequences, for means
    void* initial_multipliers                    # (B, n), or NULL
    const void* lambda_s                         # (rows, n): what the layer above injects into the states, or NULL
    void* lambda_x                               # (rows, d): what is handed down, or NULL
    bint at_every_step                           # whether something is injected at other steps than the last
    void* lambda1                                # (rows, n), or (2 B, n): of a_t; of s_t if the cell keeps something
    bint keep                                    # all of lambda1
    bint with_outputs                            # whether the output layer's statistics are wanted
    bint with_R                                  # whether the multipliers' Gram matrix is wanted
    Py_ssize_t gram_first, gram_every, R_every
    const Py_ssize_t* R_positions                # (B,): of the sequences, as R counts them, or NULL: their order here
    double cap
    double* squares                              # (B,): |lambda1_t|^2 before it is scaled down
    double* injected                             # (B,): |f'(a_t) * V^T lambda3_t|^2
    double* largest                              # (B,): the largest of those from here to the end
    double* largest_in_R                         # (n_parts,): the largest sum of squares of a part's step in R
    double* unit                                 # (n_parts,): a part sums R up of multipliers times this power of two
    Py_ssize_t* output_rows                      # (n_parts,): in output_G
    Py_ssize_t* R_rows                           # (n_parts,): in R
    Py_ssize_t* n_gathered                       # (n_parts,): of these, not summed up yet
    Py_ssize_t most_gathered
    Py_ssize_t* n_capped                         # (n_parts,): steps of sequences that are scaled down
    void* sums                                   # (n_parts, the total of Sums)
    Py_ssize_t[MOST_PARTS + 1] first             # sequence of each part


cdef inline floating* multipliers_of(Sweep* sweep, Py_ssize_t t, floating* lambda1) noexcept nogil:
    """Where lambda1_t stands: with the step, or in one of two blocks in turn."""
    cdef Py_ssize_t B = sweep.offsets[sweep.N + 1] - sweep.offsets[sweep.N]
    return lambda1 + (sweep.offsets[t] if sweep.keep else t % 2 * B) * sweep.n


cdef const floating* injected_by_outputs(Sweep* sweep, Py_ssize_t t, Py_ssize_t first, Py_ssize_t rows,
                                         floating* room) noexcept nogil:
    """The multipliers that the outputs inject into the states of these sequences after step t, perhaps in ``room``."""
    cdef Py_ssize_t n = sweep.n, K = sweep.K, row = first
    cdef const floating* lambda_h = <const floating*> sweep.H + first * n
    if sweep.read_out == MEAN:
        return lambda_h
    if sweep.read_out == MAX:
        take_where(rows * n, <int32_t> t, sweep.steps + first * n, lambda_h, room)
        return room
    if sweep.read_out == EACH:
        row += sweep.offsets[t + 1] - sweep.offsets[1]
    # room = lambda3 @ V
    multiply_rows[floating](rows, n, K, 1, <const floating*> sweep.lambda3 + row * K, K,
                            <const floating*> sweep.Psi, n + 1, 0, room, n)
    if sweep.mask != NULL:
        multiply_all(rows * n, <const floating*> sweep.mask + first * n, room)
    return room


cdef const floating* injected_by(Sweep* sweep, Py_ssize_t t, Py_ssize_t first, Py_ssize_t rows,
                                 floating* room) noexcept nogil:
    """Those that the outputs and the layer above inject there, perhaps in ``room``."""
    cdef Py_ssize_t n = sweep.n
    cdef const floating* of_outputs
    cdef const floating* lambda_s
    if sweep.lambda_s == NULL:
        return injected_by_outputs(sweep, t, first, rows, room)
    lambda_s = <const floating*> sweep.lambda_s + (sweep.offsets[t] + first) * n
    if sweep.read_out == NONE or (sweep.read_out == LAST and t < sweep.N - 1):
        return lambda_s
    of_outputs = injected_by_outputs(sweep, t, first, rows, room)
    if of_outputs != room:
        memcpy(room, of_outputs, rows * n * sizeof(floating))
    add_all(rows * n, lambda_s, room)
    return room


cdef void scale_down(floating* lambda1, Py_ssize_t count, double scale) noexcept nogil:
    cdef floating by = <floating> scale
    cdef Py_ssize_t i
    for i in range(count):
        lambda1[i] *= by


cdef double bound(Sweep* sweep, Py_ssize_t t, int part, Py_ssize_t first, Py_ssize_t last,
                  floating* lambda1) noexcept nogil:
    """Scale lambda1_t of each of these sequences down to its cap, if it is beyond; the sum of squares of what is left.

    All sequences end together: what is injected after the last step is the first that is known of each of them.
    """
    cdef Py_ssize_t i
    cdef double square, most, total = 0
    for i in range(first, last):
        square = sweep.squares[i]
        if t == sweep.N - 1:
            sweep.largest[i] = square
        else:
            if sweep.at_every_step:
                sweep.largest[i] = max(sweep.injected[i], sweep.largest[i])
            most = sweep.cap * sweep.cap * sweep.largest[i]
            if square > most:
                scale_down(lambda1 + i * sweep.n, sweep.n, sqrt(most / square))
                sweep.n_capped[part] += 1
                square = most
        total += square
    return total


cdef double square_of(Py_ssize_t n, const floating* x) noexcept nogil:
    """x @ x"""
    return dot[floating](n, x, x)


cdef floating* equations_of(Sweep* sweep, Py_ssize_t row, floating* A) noexcept nogil:
    """The multipliers of all equations from that row on, of a cell that keeps something; `elman` has them elsewhere."""
    return A + row * sweep.cell.kept * sweep.n


cdef floating* summed(Sweep* sweep, Py_ssize_t i, Py_ssize_t row, floating* lambda1) noexcept nogil:
    """Those of pre-activations, from sequence ``i`` on: of its equations, or, where these share rows, sums of them.

    The sums are kept of one step, behind the multipliers of s_t.
    """
    if not sweep.cell.shares:
        return equations_of[floating](sweep, row, <floating*> sweep.A)
    return lambda1 + (2 * (sweep.offsets[sweep.N + 1] - sweep.offsets[sweep.N]) + i) * sweep.n


cdef void multiply_by_W(Sweep* sweep, Py_ssize_t rows, const floating* multipliers, floating* out) noexcept nogil:
    """out = sum of multipliers of a map @ its W, of all maps that take the state."""
    cdef Py_ssize_t n = sweep.n, ld = sweep.apart
    cdef floating beta = 0
    cdef MapOf of
    cdef int i
    for i in range(sweep.cell.n_maps):
        of = sweep.cell.maps[i]
        if of.has_s:
            multiply_rows[floating](rows, n, of.rows * n, 1, multipliers + of.first * n, ld,
                                    <const floating*> sweep.maps[i] + (sweep.d if of.has_x else 0),
                                    columns_of(of, sweep.d, n), beta, out, n)
            beta = 1


cdef void hand_down(Sweep* sweep, Py_ssize_t row, Py_ssize_t rows, const floating* multipliers) noexcept nogil:
    """lambda_x = sum of multipliers of a map @ its U, of all maps that take the observations; from ``row`` on."""
    cdef Py_ssize_t n = sweep.n, d = sweep.d, ld = sweep.apart
    cdef floating beta = 0
    cdef MapOf of
    cdef int i
    for i in range(sweep.cell.n_maps):
        of = sweep.cell.maps[i]
        if of.has_x:
            multiply_rows[floating](rows, d, of.rows * n, 1, multipliers + of.first * n, ld,
                                    <const floating*> sweep.maps[i], columns_of(of, d, n), beta,
                                    <floating*> sweep.lambda_x + row * d, d)
            beta = 1


cdef void find_gated_multipliers(Sweep* sweep, Py_ssize_t t, int part, Py_ssize_t first, Py_ssize_t last,
                                 floating* lambda1) noexcept nogil:
    """Of a cell that keeps something: those of s_t, bounded, and from them the equations', in place of what is kept.

    In lambda1 stays what s_{t-1} is given by s_t without a map.
    """
    cdef Py_ssize_t n = sweep.n, i = first, j, rows, at_once = rows_at_once(n, n)
    cdef floating* piece = <floating*> sweep.sums + part * sweep.at.total + sweep.at.piece
    cdef floating* of_a
    cdef floating* own
    cdef floating* all_multipliers = lambda1
    cdef const floating* S = <const floating*> sweep.S
    cdef const floating* C = <const floating*> sweep.C
    cdef const floating* following = multipliers_of(sweep, t + 1, lambda1)
    cdef const floating* more
    cdef Py_ssize_t before = sweep.offsets[t], after = sweep.offsets[t + 1]
    cdef bint is_bounded = isfinite(sweep.cap)
    lambda1 = multipliers_of(sweep, t, lambda1)
    while i < last:                                    # a piece that stays in the cache
        rows, own = min(at_once, last - i), lambda1 + i * n
        if t < sweep.N - 1:
            # lambda1[t] = direct[t + 1] + of_a[t + 1] @ W
            multiply_by_W[floating](sweep, rows, summed[floating](sweep, i, after + i, all_multipliers), own)
            if not sweep.cell.has_c:
                add_all(rows * n, following + i * n, own)
        if t == sweep.N - 1 or sweep.at_every_step:
            more = injected_by(sweep, t, i, rows, own if t == sweep.N - 1 else piece)
            for j in range(rows if is_bounded else 0):
                sweep.injected[i + j] = square_of(n, more + j * n)
            if t < sweep.N - 1:
                add_all(rows * n, more, own)
            elif more != own:
                memcpy(own, more, rows * n * sizeof(floating))
        for j in range(rows if is_bounded else 0):
            sweep.squares[i + j] = square_of(n, own + j * n)
        if is_bounded:
            bound(sweep, t, part, i, i + rows, lambda1)
        of_a = summed[floating](sweep, i, before + i, all_multipliers)
        gated_pull_back(sweep.cell, rows, n, equations_of[floating](sweep, before + i, <floating*> sweep.A),
                        sweep.cell.kept * n, S + (before + i) * n, NULL if C == NULL else C + (before + i) * n,
                        NULL if C == NULL else C + (after + i) * n, own,
                        NULL if C == NULL else <floating*> sweep.lambda_c + i * n, of_a)
        if sweep.lambda_x != NULL:
            hand_down[floating](sweep, before + i, rows, of_a)
        i += rows


cdef double find_multipliers(Sweep* sweep, Py_ssize_t t, int part, Py_ssize_t first, Py_ssize_t last,
                             floating* lambda1) noexcept nogil:
    """lambda1_t of these sequences from lambda1_{t+1} and from what the outputs inject, bounded; its sum of squares."""
    cdef Py_ssize_t n = sweep.n, i = first, rows, at_once = rows_at_once(n, n)
    cdef floating* piece = <floating*> sweep.sums + part * sweep.at.total + sweep.at.piece
    cdef const floating* kept = <const floating*> sweep.S + sweep.offsets[t + 1] * n      # all that `elman` keeps
    cdef const floating* following = multipliers_of(sweep, t + 1, lambda1)
    cdef const floating* more
    cdef floating* own
    cdef double total = 0
    lambda1 = multipliers_of(sweep, t, lambda1)
    while i < last:                                    # a piece that stays in the cache
        rows, own = min(at_once, last - i), lambda1 + i * n
        if t == sweep.N - 1:
            more = injected_by(sweep, t, i, rows, own)
            if more != own:
                memcpy(own, more, rows * n * sizeof(floating))
        else:
            # lambda1[t] = lambda1[t + 1] @ W
            multiply_by_W[floating](sweep, rows, following + i * n, own)
        if t < sweep.N - 1 and sweep.at_every_step:
            more = injected_by(sweep, t, i, rows, piece)
        else:
            more = NULL
        pull_back(sweep.cell, rows, n, kept + i * n, more, own, sweep.squares + i, sweep.injected + i)
        total += bound(sweep, t, part, i, i + rows, lambda1)
        if sweep.lambda_x != NULL:
            # lambda_x[t] = lambda1[t] @ U
            hand_down[floating](sweep, sweep.offsets[t] + i, rows, own)
        i += rows
    return total


cdef double largest_square(Py_ssize_t count, const floating* x) noexcept nogil:
    """np.max(np.abs(x)) ** 2 in float64, where the square of a float32 may have no place in float32."""
    cdef double largest = 0
    cdef Py_ssize_t i
    for i in range(count):
        if fabs(x[i]) > largest:
            largest = fabs(x[i])
    return largest * largest


cdef void add_gathered(Sweep* sweep, int part, floating* sums) noexcept nogil:
    """R += A^T A of the multipliers A that have been gathered, of each equation of each map."""
    cdef Py_ssize_t n = sweep.n, width = width_of(sweep.cell) * n, p
    cdef const floating* A = sums + sweep.at.gathered
    cdef floating* R = sums + sweep.at.R
    cdef MapOf of
    cdef int i, one
    for i in range(sweep.cell.n_maps):
        of = sweep.cell.maps[i]
        p = of.rows * n
        for one in range(of.n_ones):
            add_gram[floating](sweep.n_gathered[part], p, 1, A + (of.first + one) * n, width, R, p)
        R += p * p
    sweep.n_gathered[part] = 0


cdef void change_unit(Sweep* sweep, int part, double square, floating* sums) noexcept nogil:
    """Have the unit of R, of this part, suit multipliers of that sum of squares, the largest up to here."""
    cdef Py_ssize_t i
    cdef floating* R = sums + sweep.at.R
    cdef double unit = 1, ratio
    if not LEAST_SQUARE <= square <= MOST_SQUARE and isfinite(square):
        unit = ldexp(1, min(<int> (-logb(square) / 2), MOST_DOUBLINGS))
    if unit != sweep.unit[part] and sweep.largest_in_R[part] > 0:
        add_gathered[floating](sweep, part, sums)
        ratio = unit / sweep.unit[part]
        for i in range(numbers_of_R(sweep.cell, sweep.n)):
            R[i] *= <floating> (ratio * ratio)
    sweep.unit[part], sweep.largest_in_R[part] = unit, square


cdef Py_ssize_t first_in_R(Sweep* sweep, Py_ssize_t t, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """The first of these sequences whose multipliers of step t R takes; one that is not before ``last`` if none is."""
    cdef Py_ssize_t every = sweep.R_every, i
    if sweep.R_positions == NULL:
        return first + (every - (first + t + sweep.gram_first) % every) % every
    for i in range(first, last):
        if (sweep.R_positions[i] + t) % every == 0:
            return i
    return last


cdef void gather_multipliers(Sweep* sweep, Py_ssize_t t, int part, Py_ssize_t first, Py_ssize_t last, double square,
                             const floating* multipliers, floating* sums) noexcept nogil:
    """Gather those of step t that R takes, one of R_every; ``square`` is their sum of squares, as far as it fits in.

    Which sequences they are of changes from step to step: multipliers differ more between steps than within one.  Those
    of a sequence have its weight in them, so their squares are divided by it: R has each as often as the loss has.
    """
    cdef Py_ssize_t n = sweep.n, every = sweep.R_every, i, j
    cdef Py_ssize_t ld = max(sweep.cell.kept, 1) * n, width = width_of(sweep.cell) * n
    cdef const floating* of_sequence
    cdef floating* row
    cdef floating* gathered = sums + sweep.at.gathered
    cdef floating unit, by
    if not square <= MOST_SQUARE or max(square, sweep.largest_in_R[part]) < LEAST_SQUARE:
        square = largest_square((last - first) * ld, multipliers)
    if square > sweep.largest_in_R[part]:
        change_unit(sweep, part, square, sums)
    unit = <floating> sweep.unit[part]
    by = unit
    i = first_in_R(sweep, t, first, last)
    while i < last:
        row = gathered + sweep.n_gathered[part] * width
        of_sequence = multipliers + (i - first) * ld
        if sweep.roots != NULL:
            by = unit / (<const floating*> sweep.roots)[i]
        if by == 1:
            memcpy(row, of_sequence, width * sizeof(floating))
        else:
            for j in range(width):
                row[j] = by * of_sequence[j]
        sweep.n_gathered[part] += 1
        sweep.R_rows[part] += 1
        if sweep.n_gathered[part] == sweep.most_gathered:
            add_gathered[floating](sweep, part, sums)
        i = i + every if sweep.R_positions == NULL else first_in_R(sweep, t, i + 1, last)


cdef void scale_rows(const floating* roots, Py_ssize_t rows, Py_ssize_t columns, const floating* A, Py_ssize_t lda,
                     floating* out) noexcept nogil:
    """out = roots[:, None] * A, of which the rows are ``lda`` numbers apart."""
    cdef Py_ssize_t i, j
    for i in range(rows):
        for j in range(columns):
            out[i * columns + j] = roots[i] * A[i * lda + j]


cdef void add_gram_of_states(Sweep* sweep, Py_ssize_t first, Py_ssize_t rows, const floating* S,
                             floating* sums) noexcept nogil:
    """G_s += s.T @ s, with the weights of the sequences."""
    cdef Py_ssize_t n = sweep.n, row = 0, some, at_once = rows_at_once(n, n)
    cdef floating* scaled = sums + sweep.at.scaled
    if sweep.roots == NULL:
        add_gram[floating](rows, n, 1, S, n, sums + sweep.at.G_s, n)
        return
    while row < rows:
        some = min(at_once, rows - row)
        scale_rows[floating](<const floating*> sweep.roots + first + row, some, n, S + row * n, n, scaled)
        add_gram[floating](some, n, 1, scaled, n, sums + sweep.at.G_s, n)
        row += some


cdef void add_gram_of_inputs(Sweep* sweep, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t rows_of_s, const floating* X,
                             const floating* S, floating* sums) noexcept nogil:
    """G_x += [x 1].T @ [x 1], G_sx += s.T @ [x 1], G_s += s.T @ s, with the weights of the sequences."""
    cdef Py_ssize_t n = sweep.n, d_1 = sweep.d + 1, row = 0, some, of_s, at_once = rows_at_once(n, n)
    cdef const floating* roots = <const floating*> sweep.roots + first
    cdef floating* X_scaled = sums + sweep.at.scaled
    cdef floating* S_scaled = X_scaled + at_once * d_1
    if sweep.roots == NULL:
        add_gram[floating](rows, d_1, 1, X, d_1, sums + sweep.at.G_x, d_1)
        add_gram[floating](rows_of_s, n, 1, S, n, sums + sweep.at.G_s, n)
        add_products[floating](rows_of_s, n, d_1, 1, S, n, X, d_1, sums + sweep.at.G_sx, d_1)
        return
    while row < rows:
        some = min(at_once, rows - row)
        of_s = max(min(some, rows_of_s - row), 0)
        scale_rows[floating](roots + row, some, d_1, X + row * d_1, d_1, X_scaled)
        scale_rows[floating](roots + row, of_s, n, S + row * n, n, S_scaled)
        add_gram[floating](some, d_1, 1, X_scaled, d_1, sums + sweep.at.G_x, d_1)
        add_gram[floating](of_s, n, 1, S_scaled, n, sums + sweep.at.G_s, n)
        add_products[floating](of_s, n, d_1, 1, S_scaled, n, X_scaled, d_1, sums + sweep.at.G_sx, d_1)
        row += some


cdef void add_gram_of_blocks(Sweep* sweep, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t rows_of_s, const floating* X,
                             const floating* S, floating* sums) noexcept nogil:
    """Of each block of x G_x += x.T @ x, G_s += s.T @ s, G_1s += [s 1].sum(axis=0), with the sequences' weights."""
    cdef Py_ssize_t n = sweep.n, d = sweep.d, column = 0, width, row, some, at_once = rows_at_once(n, n), i, j
    cdef const floating* roots = <const floating*> sweep.roots
    cdef floating* scaled = sums + sweep.at.scaled
    cdef floating* G_x = sums + sweep.at.G_x
    cdef floating* of_ones = sums + sweep.at.G_sx
    cdef floating weight
    while column < d:
        width, row = end_of_block(column, d, sweep.at.block, d) - column, 0
        if roots == NULL:
            add_gram[floating](rows, width, 1, X + column, d + 1, G_x, width)
            row = rows
        while row < rows:
            some = min(at_once, rows - row)
            scale_rows[floating](roots + first + row, some, width, X + row * (d + 1) + column, d + 1, scaled)
            add_gram[floating](some, width, 1, scaled, width, G_x, width)
            row += some
        G_x, column = G_x + width * width, column + width
    add_gram_of_states[floating](sweep, first, rows_of_s, S, sums)
    for i in range(rows):
        weight = 1 if roots == NULL else roots[first + i] * roots[first + i]
        of_ones[n] += weight
        for j in range(n if i < rows_of_s else 0):
            of_ones[j] += weight * S[i * n + j]


cdef void add_symbols(Sweep* sweep, Py_ssize_t t, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t rows_of_s,
                      const floating* multipliers, floating* sums) noexcept nogil:
    """Add what step t of these sequences of symbols says to L and G; the states but for ``rows_of_s`` are zero."""
    cdef Py_ssize_t n = sweep.n, i, j, ld = sweep.apart
    cdef Py_ssize_t p_x = sweep.cell.of_x * n, p_s = sweep.cell.of_s * n
    cdef const floating* roots = <const floating*> sweep.roots
    cdef floating* of_symbol
    cdef floating weight
    cdef const int32_t* codes = sweep.codes + sweep.offsets[t] + first
    cdef const floating* S = <const floating*> sweep.S + (sweep.offsets[t] + first) * n
    cdef floating* G_xs = sums + sweep.at.G_sx
    for i in range(rows):
        add_all(p_x, multipliers + i * ld, sums + sweep.at.L_x + codes[i] * p_x)
    # L_s += lambda1.T @ s
    add_products[floating](rows_of_s, p_s, n, 1, multipliers + sweep.cell.of_a * n - p_s, ld, S, n,
                           sums + sweep.at.L_s, n)
    if not in_gram(sweep, t):
        return
    for i in range(rows):
        of_symbol = G_xs + codes[i] * (n + 1)
        weight = 1 if roots == NULL else roots[first + i] * roots[first + i]
        if i < rows_of_s and roots == NULL:
            add_all(n, S + i * n, of_symbol)
        elif i < rows_of_s:
            for j in range(n):
                of_symbol[j] += weight * S[i * n + j]
        of_symbol[n] += weight
    add_gram_of_states[floating](sweep, first, rows_of_s, S, sums)


cdef void add_step(Sweep* sweep, Py_ssize_t t, Py_ssize_t first, Py_ssize_t last, Py_ssize_t continuing,
                   const floating* multipliers, const floating* equations, const floating* direct,
                   floating* sums) noexcept nogil:
    """Add what step t of these sequences says to L and G; the states of those from ``continuing`` on are s_0.

    ``equations`` has the multipliers that those of pre-activations are sums of.  ``direct`` has what s_t gives the
    multipliers of s_{t-1} without a map, or is NULL.
    """
    cdef Py_ssize_t n = sweep.n, d_1 = sweep.d + 1, rows = last - first, rows_of_s = rows, i
    cdef Py_ssize_t ld = sweep.apart, p_x = sweep.cell.of_x * n, p_s = sweep.cell.of_s * n
    cdef Py_ssize_t n_b = sweep.cell.n_biases * n, kept = sweep.cell.kept * n
    cdef const floating* X
    cdef const floating* S = <const floating*> sweep.S + (sweep.offsets[t] + first) * n
    cdef floating* initial = <floating*> sweep.initial_multipliers
    if sweep.from_zero:
        rows_of_s = max(continuing - first, 0)
    if initial != NULL and continuing < last:
        multiply_by_W[floating](sweep, last - continuing, multipliers + (continuing - first) * ld,
                                initial + continuing * n)
        if direct != NULL:
            add_all((last - continuing) * n, direct + (continuing - first) * n, initial + continuing * n)
    for i in range(rows if n_b > 0 else 0):
        # they are those of the last columns
        add_all(n_b, equations + (i + 1) * kept - n_b, sums + sweep.at.L_b)
    if sweep.codes != NULL:
        add_symbols(sweep, t, first, rows, rows_of_s, multipliers, sums)
        return
    X = <const floating*> sweep.X + (sweep.offsets[t] + first) * d_1
    # L_x += [x 1].T @ lambda1, L_s += lambda1.T @ s
    add_products[floating](rows, d_1, p_x, 1, X, d_1, multipliers, ld, sums + sweep.at.L_x, p_x)
    add_products[floating](rows_of_s, p_s, n, 1, multipliers + sweep.cell.of_a * n - p_s, ld, S, n,
                           sums + sweep.at.L_s, n)
    if not in_gram(sweep, t):
        return
    if sweep.at.block > 0:
        add_gram_of_blocks[floating](sweep, first, rows, rows_of_s, X, S, sums)
    else:
        add_gram_of_inputs[floating](sweep, first, rows, rows_of_s, X, S, sums)


cdef void add_rows(const floating* A, Py_ssize_t rows, Py_ssize_t columns, floating* total,
                   Py_ssize_t apart) noexcept nogil:
    """total += A.sum(axis=0), of which the numbers are so far ``apart``."""
    cdef Py_ssize_t i, j
    for i in range(rows):
        for j in range(columns):
            total[j * apart] += A[i * columns + j]


cdef Py_ssize_t gather(const floating* weights, Py_ssize_t rows, Py_ssize_t n, const floating* H, floating* out,
                       floating* of_ones) noexcept nogil:
    """The rows of H that have a weight, times its root, one after the other; how many they are.

    The row of ones takes the weights times [h 1].
    """
    cdef Py_ssize_t i, j, found = 0
    cdef floating root
    for i in range(rows):
        if weights[i] != 0:
            root = <floating> sqrt(weights[i])
            for j in range(n):
                out[found * n + j] = root * H[i * n + j]
                of_ones[j] += weights[i] * H[i * n + j]
            of_ones[n] += weights[i]
            found += 1
    return found


cdef void add_outputs(Sweep* sweep, int part, Py_ssize_t row, Py_ssize_t rows, const floating* H, bint in_gram,
                      floating* sums, floating* room) noexcept nogil:
    """Add what these rows of outputs, read from H, say to L and G of the output layer; ``room`` holds as many as H."""
    cdef Py_ssize_t n = sweep.n, K = sweep.K, i
    cdef Sums at = sweep.at
    cdef floating* of_ones = sums + at.output_G + n * (n + 1)
    cdef const floating* lambda3 = <const floating*> sweep.lambda3 + row * K
    cdef const floating* weights = <const floating*> sweep.weights
    # L += lambda3.T @ [h 1]
    add_products[floating](rows, K, n, 1, lambda3, K, H, n, sums + at.output_L, n + 1)
    add_rows[floating](lambda3, rows, K, sums + at.output_L + n, n + 1)
    if not in_gram:
        return
    # G += [h 1].T @ [h 1], with the weights of the targets
    for i in range(rows if weights != NULL else 0):
        if weights[row + i] != 1:
            rows = gather(weights + row, rows, n, H, room, of_ones)
            H = room
            break
    else:
        add_rows[floating](H, rows, n, of_ones, 1)
        of_ones[n] += rows
    add_gram[floating](rows, n, 1, H, n, sums + at.output_G, n + 1)
    sweep.output_rows[part] += rows


cdef inline bint in_gram(Sweep* sweep, Py_ssize_t t) noexcept nogil:
    """Whether G takes step t."""
    return t >= sweep.gram_first and (t - sweep.gram_first) % sweep.gram_every == 0


cdef void replace_pooled(Sweep* sweep, Py_ssize_t first, Py_ssize_t last, floating* H) noexcept nogil:
    """H = lambda_h = V^T lambda3, masked as H was, and divided by the number of steps where H is a mean."""
    cdef Py_ssize_t n = sweep.n, K = sweep.K, i, j
    cdef floating share
    multiply_rows[floating](last - first, n, K, 1, <const floating*> sweep.lambda3 + first * K, K,
                            <const floating*> sweep.Psi, n + 1, 0, H + first * n, n)
    if sweep.mask != NULL:
        multiply_all((last - first) * n, <const floating*> sweep.mask + first * n, H + first * n)
    if sweep.read_out == MEAN:
        for i in range(first, last):
            share = <floating> (1.0 / sweep.lengths[i])
            for j in range(i * n, (i + 1) * n):
                H[j] *= share


cdef void sweep_part(Sweep* sweep, int part, floating* all_multipliers) noexcept nogil:
    """One part of the sequences, from the last step to the first."""
    cdef Py_ssize_t t = sweep.N - 1, n = sweep.n, first = sweep.first[part], last = sweep.first[part + 1]
    cdef Py_ssize_t running = last, before, row
    cdef Sums at = sweep.at
    cdef bint is_gated = sweep.cell.kept > 0
    cdef floating* sums = <floating*> sweep.sums + part * at.total
    cdef floating* lambda1
    cdef floating* multipliers
    cdef floating* equations
    cdef const floating* direct
    cdef const floating* H = <const floating*> sweep.H
    cdef double square
    memset(sums, 0, (at.gathered if sweep.with_R else at.end) * sizeof(floating))
    sweep.output_rows[part] = sweep.n_gathered[part] = sweep.R_rows[part] = sweep.n_capped[part] = 0
    sweep.largest_in_R[part], sweep.unit[part] = 0, 1
    if sweep.read_out != EACH and sweep.with_outputs:
        if sweep.read_out == LAST and sweep.mask == NULL:
            H = <const floating*> sweep.S + sweep.offsets[sweep.N] * n
        add_outputs(sweep, part, first, last - first, H + first * n, True, sums,
                    multipliers_of(sweep, t, all_multipliers) + first * n)
    if sweep.read_out == MEAN or sweep.read_out == MAX:
        replace_pooled(sweep, first, last, <floating*> sweep.H)
    if sweep.lambda_c != NULL:
        memset(<floating*> sweep.lambda_c + first * n, 0, (last - first) * n * sizeof(floating))
    while running > first:
        lambda1 = multipliers_of(sweep, t, all_multipliers)
        if sweep.read_out == EACH and sweep.with_outputs:
            row = sweep.offsets[t + 1] - sweep.offsets[1] + first
            if sweep.mask == NULL:
                H = <const floating*> sweep.S + sweep.offsets[1] * n
            add_outputs(sweep, part, row, running - first, H + row * n, in_gram(sweep, t), sums, lambda1 + first * n)
        direct = NULL
        if is_gated:
            find_gated_multipliers(sweep, t, part, first, running, all_multipliers)
            equations = equations_of[floating](sweep, sweep.offsets[t] + first, <floating*> sweep.A)
            multipliers = summed[floating](sweep, first, sweep.offsets[t] + first, all_multipliers)
            if not sweep.cell.has_c:
                direct = lambda1 + first * n
        else:
            square = find_multipliers(sweep, t, part, first, running, all_multipliers)
            multipliers = equations = lambda1 + first * n
        before = max(first, min(last, sweep.offsets[t] - sweep.offsets[t - 1])) if t > 0 else first
        add_step(sweep, t, first, running, before, multipliers, equations, direct, sums)
        if sweep.with_R:
            if is_gated:
                square = square_of((running - first) * sweep.cell.kept * n, equations)
            gather_multipliers(sweep, t, part, first, running, square, equations, sums)
        running = before
        t -= 1
    if sweep.with_R:
        add_gathered[floating](sweep, part, sums)


cdef void float_part(void* sweep, int part) noexcept nogil:
    sweep_part(<Sweep*> sweep, part, <float*> (<Sweep*> sweep).lambda1)


cdef void double_part(void* sweep, int part) noexcept nogil:
    sweep_part(<Sweep*> sweep, part, <double*> (<Sweep*> sweep).lambda1)


cdef void add_up(Sweep* sweep, _Work work, int n_parts, floating* sums) noexcept nogil:
    """The sums of all parts, in the place of those of the first one, and R and the numbers of rows in ``counts``."""
    cdef Py_ssize_t n = sweep.n, p_x = sweep.cell.of_x * n, p, i, j, first
    cdef Sums at = sweep.at
    cdef const floating* of_part
    cdef double per_square
    cdef int part, which
    work.counts[<int> OUTPUT_ROWS] = work.counts[<int> R_ROWS] = 0
    for part in range(n_parts):
        work.counts[<int> OUTPUT_ROWS] += sweep.output_rows[part]
        work.counts[<int> R_ROWS] += sweep.R_rows[part]
    for part in range(1, n_parts):
        of_part = sums + part * at.total
        for i in range(at.end):
            sums[i] += of_part[i]
    if sweep.codes != NULL:
        # L_1 = L_x.sum(axis=0)
        add_rows[floating](sums + at.L_x, sweep.d, p_x, sums + at.L_x + sweep.d * p_x, 1)
    for part in range(n_parts if sweep.with_R else 0):
        of_part = sums + part * at.total + at.R
        per_square = 1 / sweep.unit[part] / sweep.unit[part]
        first = 0
        for which in range(sweep.cell.n_maps):
            p = sweep.cell.maps[which].rows * n
            for i in range(p):
                for j in range(first + i * p, first + i * p + i + 1):
                    work.R[j] = (work.R[j] if part > 0 else 0) + per_square * of_part[j]
            first += p * p


cdef Py_ssize_t backward_of(_Work work, _Batch batch, of_lambda3, of_weights, of_roots, of_R, Sweep* sweep,
                            int n_parts, floating* sums) except -1:
    """`backward`, in the precision of the work, of a sweep that knows the rest."""
    cdef const floating[:, ::1] lambda3 = of_lambda3
    cdef const floating[::1] weights = of_weights, roots = of_roots
    cdef const Py_ssize_t[::1] R_positions = of_R
    cdef Py_ssize_t n_outputs = n_outputs_of(batch, work.read_out == EACH), n_targets = 0, n_capped = 0, i
    cdef int part
    if R_positions is not None and R_positions.shape[0] != batch.B:
        raise misfit("backward", [("R_positions", R_positions, (batch.B,))], "")
    for i in range(0 if R_positions is None else batch.B):
        if R_positions[i] < 0:
            raise ValueError(f"backward: R_positions[{i}] is {R_positions[i]}; it must be at least 0")
    sweep.R_positions = NULL if R_positions is None else &R_positions[0]
    if work.read_out == NONE:
        if lambda3 is not None:
            raise ValueError("backward: lambda3 is given, and the read-out 'none' has no outputs; it must be None")
        n_outputs = n_outputs if weights is None else weights.shape[0]
    elif lambda3 is None or lambda3.shape[0] != n_outputs or lambda3.shape[1] != work.K \
            or (weights is not None and weights.shape[0] != n_outputs):
        raise misfit("backward", [("lambda3", lambda3, (n_outputs, work.K)), ("weights", weights, (n_outputs,))], "")
    if roots is not None and roots.shape[0] != batch.B:
        raise misfit("backward", [("roots", roots, (batch.B,))], "")
    for i in range(n_outputs):
        n_targets += weights is None or weights[i] > 0
    if n_targets == 0:
        raise ValueError("backward: every weight is 0; at least one output must have a positive one")
    for i in range(0 if roots is None else batch.B):
        if not roots[i] > 0:
            raise ValueError(f"backward: roots[{i}] is {roots[i]}; the root of a sequence's weight must be positive")
    work.counts[<int> TARGETS] = n_targets
    sweep.roots = NULL if roots is None else &roots[0]
    sweep.weights = NULL if weights is None else &weights[0]
    sweep.lambda3 = NULL if lambda3 is None else &lambda3[0, 0]
    sweep.squares = <double*> malloc((3 * batch.B + 2 * n_parts) * sizeof(double) + 4 * n_parts * sizeof(Py_ssize_t))
    if sweep.squares == NULL:
        raise MemoryError
    sweep.injected = sweep.squares + batch.B
    sweep.largest = sweep.injected + batch.B
    sweep.largest_in_R = sweep.largest + batch.B
    sweep.unit = sweep.largest_in_R + n_parts
    sweep.output_rows = <Py_ssize_t*> (sweep.unit + n_parts)
    sweep.R_rows = sweep.output_rows + n_parts
    sweep.n_gathered = sweep.R_rows + n_parts
    sweep.n_capped = sweep.n_gathered + n_parts
    with nogil:
        divide(sweep.offsets, sweep.N, n_parts, sweep.first)
        run(float_part if floating is float else double_part, sweep, n_parts)
        add_up(sweep, work, n_parts, sums)
    for part in range(n_parts):
        n_capped += sweep.n_capped[part]
    free(sweep.squares)
    return n_capped


cdef object too_little_room(_Work work, _Batch batch, Py_ssize_t room, Py_ssize_t gram_first, Py_ssize_t gram_every,
                            Py_ssize_t R_every):
    """The error of `backward` for arrays of the work that are missing or too small, or for a step out of range."""
    cdef Py_ssize_t n = work.n, n_rows = batch.n_rows
    expected = needs(work, batch)
    expected.append(("lambda1", None if work.lambda1 == NULL else <object> (work.rows_of_lambda1, n),
                     ((n_rows if work.cell.kept == 0 and work.rows_of_lambda1 >= n_rows
                       else (3 if work.cell.shares else 2) * batch.B,), n)))
    expected.append(("sums", (work.room_of_sums,), ((room,),)))
    if work.initial_multipliers != NULL:
        expected.append(("initial_multipliers", (work.rows_of_initial, n), ((batch.B,), n)))
    if work.lambda_s != NULL or work.read_out == NONE:
        expected.append(("lambda_s", None if work.lambda_s == NULL else <object> (work.rows_of_lambda_s, n),
                         ((n_rows,), n)))
    if work.lambda_x != NULL:
        expected.append(("lambda_x", (work.rows_of_lambda_x, work.d), ((n_rows,), work.d)))
    if work.cell.kept > 0:
        expected.append(("A", (work.rows_of_A, work.cell.kept * n), ((n_rows,), work.cell.kept * n)))
    if work.cell.has_c:
        expected.append(("lambda_c", (work.rows_of_lambda_c, n), ((batch.B,), n)))
    return misfit("backward", expected, f"gram_first is {gram_first}, gram_every is {gram_every} and R_every is "
                  f"{R_every}; the first must be at least 0, the others at least 1")


def backward(_Work work not None, _Batch batch not None, lambda3, weights, double cap, Py_ssize_t gram_first,
             Py_ssize_t gram_every, Py_ssize_t R_every=1, bint from_zero=True, bint with_outputs=True, roots=None,
             R_positions=None):
    """Pass the multipliers back, and leave the sums of what they say in the work, for `fold` and `fold_outputs`.

    lambda1_t = f'(a_t) * (V^T lambda3_t + W^T lambda1_{t+1}), where with the read-out "last" there are outputs after
    the last step only, with "mean" every step of a sequence has the same share of V^T lambda3, and with "max" the steps
    that the work's ``steps`` (B, n) name have all of it.  H (B, n) holds the pooled states and is overwritten.  Where
    the work has a mask, H is what the outputs see, and V^T lambda3 is multiplied by the mask as well.
    ``lambda3`` and ``weights``, of the targets, all 1 if None, have a row for each output.  Where the work has
    lambda_s, a row for each step, it is added to V^T lambda3_t; with the read-out "none" it takes its place: then
    ``lambda3`` is None, and the weights are those of the targets of the layers above.  Where it has lambda_x,
    lambda1_t U is written to the rows of step t.

    ``cap``: whenever lambda1_t of a sequence is longer than ``cap`` times the longest one of the parts that its lambda3
    injects from t on, it is scaled down to that before it is passed on (bounded multipliers); infinity means never.
    Returns how many were scaled down, a step of a sequence each.

    Summed up are L = sum lambda1 z^T; G = sum z z^T over the rows of the steps gram_first, gram_first + gram_every,
    ...; and, unless ``with_outputs`` is False, likewise lambda3 and [h, 1] for the outputs, of which G takes those that
    have a weight, with "each" at the same steps.  If the work has room for it, so is R = sum lambda1 lambda1^T of the
    rows for which ``R_every`` divides t + i + gram_first, of sequence i at step t, or, where the minibatch is a part of
    a larger one, t + R_positions[i].  ``counts`` says of how many rows they are, which may be none, and targets L.  Of
    G and R the lower triangle is of use.  ``from_zero`` says that s_0 = 0.

    Weights are in lambda3 already.  ``roots`` (B,) are the square roots of the sequences' weights, all 1 if None: z z^T
    counts w times, and lambda1 lambda1^T, which has w^2, by 1/w, as if the sequence were there w times.
    """
    cdef Sweep sweep
    cdef Py_ssize_t N = batch.N, n = work.n, t, i, gram_rows = 0
    cdef Py_ssize_t p_x = work.cell.of_x * n, p_s = work.cell.of_s * n
    cdef Sums at = sums_of_part(work.cell, work.d, n, work.K, work.symbols, work.gram_block)
    cdef Py_ssize_t room = at.total
    cdef int n_parts
    if work.lambda1 == NULL or not has_room(work, batch) or work.room_of_sums < room \
            or (work.rows_of_lambda1 < (3 if work.cell.shares else 2) * batch.B
                and (work.rows_of_lambda1 < batch.n_rows or work.cell.kept > 0)) \
            or (work.initial_multipliers != NULL and work.rows_of_initial < batch.B) \
            or (work.lambda_s != NULL and work.rows_of_lambda_s < batch.n_rows) \
            or (work.lambda_x != NULL and work.rows_of_lambda_x < batch.n_rows) \
            or (work.read_out == NONE and work.lambda_s == NULL) \
            or (work.cell.kept > 0 and work.rows_of_A < batch.n_rows) \
            or (work.cell.has_c and work.rows_of_lambda_c < batch.B) \
            or gram_first < 0 or gram_every < 1 or R_every < 1:
        raise too_little_room(work, batch, room, gram_first, gram_every, R_every)
    for i in range(batch.n_rows if work.symbols else 0):
        if not 0 <= work.codes[i] < work.d:
            raise ValueError(f"backward: the code in row {i} is {work.codes[i]}; codes must be from 0 to {work.d - 1}, "
                             "as U has a column for each")
    for t in range(gram_first, N, min(gram_every, N)):  # so that t stays a number
        gram_rows += batch.offsets[t + 1] - batch.offsets[t]
    work.counts[<int> GRAM_ROWS] = gram_rows
    sweep.offsets, sweep.lengths = batch.offsets, batch.lengths
    sweep.cell, sweep.read_out, sweep.from_zero = work.cell, work.read_out, from_zero
    sweep.apart = n if work.cell.shares else max(work.cell.kept, 1) * n
    sweep.with_outputs = with_outputs and work.read_out != NONE
    sweep.lambda_s, sweep.lambda_x = work.lambda_s, work.lambda_x
    sweep.at_every_step = work.read_out != LAST or work.lambda_s != NULL
    sweep.N, sweep.d, sweep.n, sweep.K = N, work.d, n, work.K
    sweep.at, sweep.Psi = at, work.Psi
    for i in range(work.cell.n_maps):
        sweep.maps[i] = work.maps[i]
    sweep.X, sweep.codes, sweep.S, sweep.A, sweep.C = work.X, work.codes, work.S, work.A, work.C
    sweep.lambda_c = work.lambda_c
    sweep.mask, sweep.H, sweep.steps, sweep.initial_multipliers = (
        work.mask, work.H, work.steps, work.initial_multipliers)
    sweep.lambda1 = work.lambda1
    sweep.keep = work.rows_of_lambda1 >= batch.n_rows and work.cell.kept == 0
    sweep.gram_first, sweep.gram_every, sweep.R_every, sweep.cap = gram_first, gram_every, R_every, cap
    sweep.sums, sweep.with_R, sweep.most_gathered = work.sums, work.R != NULL, rows_at_once(n, n)
    n_parts = n_parts_of(min(work.n_threads, work.room_of_sums // room), batch.B,
                         6.0 * batch.n_rows * (p_s * n + (0 if work.symbols else p_x * (work.d + 1))), LEAST_OF_A_SWEEP)
    if work.single:
        return backward_of[float](work, batch, lambda3, weights, roots, R_positions, &sweep, n_parts,
                                  <float*> work.sums)
    return backward_of[double](work, batch, lambda3, weights, roots, R_positions, &sweep, n_parts,
                               <double*> work.sums)
