"""The backward sweep: the multipliers of all equations from the last step to the first, and the statistics they feed.

L = sum lambda1_t z_t^T and G = sum z_t z_t^T, z_t = [x_t, s_{t-1}, 1], are summed up by blocks, of [x 1] and of s,
where observations and states lie; the parts that threads work on have sums of their own, added in one order.  So is
R = sum lambda1_t lambda1_t^T, of multipliers times a power of two where their squares would leave the range of float32.

A symbol x is a row of the unit matrix: its row of L_x = sum x lambda1^T takes lambda1, its row of G_xs = sum x [s 1]^T
takes [s 1], and of G_x = sum x x^T, a diagonal of counts, the last column of G_xs is what there is to know.

Outputs are read from states h, all rows of which must be known before V^T lambda3 is passed on: with a pooled read-out
lambda_h = V^T lambda3 takes the place of H, once the sums over h have been taken, and its share is injected at each
step.
"""

from cython cimport floating
from libc.math cimport fabs, isfinite, ldexp, logb, sqrt
from libc.stdint cimport int32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from admmirnn._kernels._activations cimport Activation, add_multiply_by_slope, multiply_by_slope, named
from admmirnn._kernels._blas cimport add_gram, add_products, multiply_rows, rows_at_once
from admmirnn._kernels._layout cimport EACH, LAST, MAX, MEAN, ReadOut, fits, read_out_named
from admmirnn._kernels._pool_simd cimport add_all, take_where
from admmirnn._kernels._threads cimport MOST_PARTS, divide, n_parts_of, run


cdef double LEAST_SQUARE = 1e-20                  # of the multipliers of a step: below it, squares of small ones vanish
cdef double MOST_SQUARE = 1e30                    # above it, sums over steps may overflow
cdef int MOST_DOUBLINGS = 120                     # that a float32 of 1 stands


cdef struct Sweep:                               # what all parts of a backward sweep share
    const Py_ssize_t* offsets
    Activation f
    ReadOut read_out
    bint from_zero                               # s_0 = 0
    Py_ssize_t N, d, n, K
    const void* Theta                            # (n, d + n + 1)
    const void* Psi                              # (K, n + 1)
    const void* X                                # (rows, d + 1), or NULL
    const int32_t* codes                         # (rows,): of symbols, or NULL
    const void* S                                # (rows + B, n)
    const void* lambda3                          # (B, K), or a row for each row of S from offsets[1] on
    const void* weights                          # as many, or NULL for all 1
    void* H                                      # (B, n): pooled states, then lambda_h
    const int32_t* steps                         # (B, n): at which step a state was the largest
    const Py_ssize_t* lengths                    # of the sequences, for means
    void* initial_multipliers                    # (B, n), or NULL
    void* lambda1                                # (rows, n), or (2 B, n)
    bint keep                                    # all of lambda1
    bint with_outputs                            # whether the output layer's statistics are wanted
    bint with_R                                  # whether the multipliers' Gram matrix is wanted
    Py_ssize_t gram_first, gram_every, R_every
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
    void* sums                                   # (n_parts, room_of_part)
    Py_ssize_t[MOST_PARTS + 1] first             # sequence of each part


cdef struct Room:                                # of the sums of a part, in numbers from their start
    Py_ssize_t L_x                               # (d + 1, n): [x 1]^T lambda1
    Py_ssize_t L_s                               # (n, n): lambda1^T s
    Py_ssize_t G_x                               # (d + 1, d + 1), lower triangle
    Py_ssize_t G_sx                              # (n, d + 1); of symbols G_xs (d, n + 1)
    Py_ssize_t G_s                               # (n, n), lower triangle
    Py_ssize_t output_L                          # (K, n): lambda3^T s_N
    Py_ssize_t output_L_1                        # (K,)
    Py_ssize_t output_G                          # (n, n), lower triangle
    Py_ssize_t output_G_1                        # (n,)
    Py_ssize_t R                                 # (n, n), lower triangle
    Py_ssize_t gathered                          # (rows_at_once, n): multipliers that R is to take
    Py_ssize_t piece                             # (rows_at_once, n): scratch
    Py_ssize_t total


cdef Room room_of_part(Py_ssize_t d, Py_ssize_t n, Py_ssize_t K, bint symbols) noexcept nogil:
    cdef Room at
    at.L_x = 0
    at.L_s = at.L_x + (d + 1) * n
    at.G_x = at.L_s + n * n
    at.G_sx = at.G_x + (0 if symbols else (d + 1) * (d + 1))
    at.G_s = at.G_sx + (d * (n + 1) if symbols else n * (d + 1))
    at.output_L = at.G_s + n * n
    at.output_L_1 = at.output_L + K * n
    at.output_G = at.output_L_1 + K
    at.output_G_1 = at.output_G + n * n
    at.R = at.output_G_1 + n
    at.gathered = at.R + n * n
    at.piece = at.gathered + rows_at_once(n, n) * n
    at.total = at.piece + rows_at_once(n, n) * n
    return at


def backward_room(Py_ssize_t d, Py_ssize_t n, Py_ssize_t K, Py_ssize_t n_threads, bint symbols=False):
    """How many numbers the scratch of ``backward`` needs."""
    return room_of_part(d, n, K, symbols).total * n_threads


cdef inline Room room_of(Sweep* sweep) noexcept nogil:
    return room_of_part(sweep.d, sweep.n, sweep.K, sweep.codes != NULL)


cdef inline floating* multipliers_of(Sweep* sweep, Py_ssize_t t, floating* lambda1) noexcept nogil:
    """Where lambda1_t stands: with the step, or in one of two blocks in turn."""
    cdef Py_ssize_t B = sweep.offsets[sweep.N + 1] - sweep.offsets[sweep.N]
    return lambda1 + (sweep.offsets[t] if sweep.keep else t % 2 * B) * sweep.n


cdef const floating* injected_by(Sweep* sweep, Py_ssize_t t, Py_ssize_t first, Py_ssize_t rows,
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
            if sweep.read_out != LAST:
                sweep.largest[i] = max(sweep.injected[i], sweep.largest[i])
            most = sweep.cap * sweep.cap * sweep.largest[i]
            if square > most:
                scale_down(lambda1 + i * sweep.n, sweep.n, sqrt(most / square))
                sweep.n_capped[part] += 1
                square = most
        total += square
    return total


cdef double find_multipliers(Sweep* sweep, Py_ssize_t t, int part, Py_ssize_t first, Py_ssize_t last,
                             floating* lambda1) noexcept nogil:
    """lambda1_t of these sequences from lambda1_{t+1} and from what the outputs inject, bounded; its sum of squares."""
    cdef Py_ssize_t n = sweep.n, m = sweep.d + n + 1, i = first, rows, at_once = rows_at_once(n, n)
    cdef Room at = room_of(sweep)
    cdef floating* piece = <floating*> sweep.sums + part * at.total + at.piece
    cdef const floating* W = <const floating*> sweep.Theta + sweep.d
    cdef const floating* states = <const floating*> sweep.S + sweep.offsets[t + 1] * n
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
            multiply_rows[floating](rows, n, n, 1, following + i * n, n, W, m, 0, own, n)
        if t < sweep.N - 1 and sweep.read_out != LAST:
            more = injected_by(sweep, t, i, rows, piece)
            add_multiply_by_slope(sweep.f, states + i * n, rows, n, more, own, sweep.squares + i, sweep.injected + i)
        else:
            multiply_by_slope(sweep.f, states + i * n, rows, n, own, sweep.squares + i)
        total += bound(sweep, t, part, i, i + rows, lambda1)
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
    """R += A^T A of the multipliers A that have been gathered."""
    cdef Room at = room_of(sweep)
    add_gram[floating](sweep.n_gathered[part], sweep.n, 1, sums + at.gathered, sums + at.R)
    sweep.n_gathered[part] = 0


cdef void change_unit(Sweep* sweep, int part, double square, floating* sums) noexcept nogil:
    """Have the unit of R, of this part, suit multipliers of that sum of squares, the largest up to here."""
    cdef Py_ssize_t n = sweep.n, i
    cdef floating* R = sums + room_of(sweep).R
    cdef double unit = 1, ratio
    if not LEAST_SQUARE <= square <= MOST_SQUARE and isfinite(square):
        unit = ldexp(1, min(<int> (-logb(square) / 2), MOST_DOUBLINGS))
    if unit != sweep.unit[part] and sweep.largest_in_R[part] > 0:
        add_gathered[floating](sweep, part, sums)
        ratio = unit / sweep.unit[part]
        for i in range(n * n):
            R[i] *= <floating> (ratio * ratio)
    sweep.unit[part], sweep.largest_in_R[part] = unit, square


cdef void gather_multipliers(Sweep* sweep, Py_ssize_t t, int part, Py_ssize_t first, Py_ssize_t last, double square,
                             const floating* lambda1, floating* sums) noexcept nogil:
    """Gather those of step t that R takes, one of R_every; ``square`` is their sum of squares, as far as it fits in.

    Which sequences they are of changes from step to step: multipliers differ more between steps than within one.
    """
    cdef Py_ssize_t n = sweep.n, every = sweep.R_every, i, j
    cdef floating* row
    cdef floating* gathered = sums + room_of(sweep).gathered
    cdef floating unit
    if not square <= MOST_SQUARE or max(square, sweep.largest_in_R[part]) < LEAST_SQUARE:
        square = largest_square((last - first) * n, lambda1 + first * n)
    if square > sweep.largest_in_R[part]:
        change_unit(sweep, part, square, sums)
    unit = <floating> sweep.unit[part]
    i = first + (every - (first + t + sweep.gram_first) % every) % every
    while i < last:
        row = gathered + sweep.n_gathered[part] * n
        if unit == 1:
            memcpy(row, lambda1 + i * n, n * sizeof(floating))
        else:
            for j in range(n):
                row[j] = unit * lambda1[i * n + j]
        sweep.n_gathered[part] += 1
        sweep.R_rows[part] += 1
        if sweep.n_gathered[part] == sweep.most_gathered:
            add_gathered[floating](sweep, part, sums)
        i += every


cdef void add_symbols(Sweep* sweep, Py_ssize_t t, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t rows_of_s,
                      const floating* lambda1, floating* sums) noexcept nogil:
    """Add what step t of these sequences of symbols says to L and G; the states but for ``rows_of_s`` are zero."""
    cdef Py_ssize_t n = sweep.n, i
    cdef Room at = room_of(sweep)
    cdef const int32_t* codes = sweep.codes + sweep.offsets[t] + first
    cdef const floating* S = <const floating*> sweep.S + (sweep.offsets[t] + first) * n
    cdef floating* G_xs = sums + at.G_sx
    for i in range(rows):
        add_all(n, lambda1 + i * n, sums + at.L_x + codes[i] * n)
    # L_s += lambda1.T @ s
    add_products[floating](rows_of_s, n, n, 1, lambda1, n, S, n, sums + at.L_s, n)
    if not in_gram(sweep, t):
        return
    for i in range(rows):
        if i < rows_of_s:
            add_all(n, S + i * n, G_xs + codes[i] * (n + 1))
        G_xs[codes[i] * (n + 1) + n] += 1
    add_gram[floating](rows_of_s, n, 1, S, sums + at.G_s)


cdef void add_step(Sweep* sweep, Py_ssize_t t, Py_ssize_t first, Py_ssize_t last, Py_ssize_t continuing,
                   const floating* lambda1, floating* sums) noexcept nogil:
    """Add what step t of these sequences says to L and G; the states of those from ``continuing`` on are s_0."""
    cdef Py_ssize_t n = sweep.n, d_1 = sweep.d + 1, rows = last - first, rows_of_s = rows
    cdef Room at = room_of(sweep)
    cdef const floating* X
    cdef const floating* S = <const floating*> sweep.S + (sweep.offsets[t] + first) * n
    lambda1 += first * n
    if sweep.from_zero:
        rows_of_s = max(continuing - first, 0)
    if sweep.initial_multipliers != NULL and continuing < last:
        # lambda1 @ W
        multiply_rows[floating](last - continuing, n, n, 1, lambda1 + (continuing - first) * n, n,
                                <const floating*> sweep.Theta + sweep.d, sweep.d + n + 1, 0,
                                <floating*> sweep.initial_multipliers + continuing * n, n)
    if sweep.codes != NULL:
        add_symbols(sweep, t, first, rows, rows_of_s, lambda1, sums)
        return
    X = <const floating*> sweep.X + (sweep.offsets[t] + first) * d_1
    # L_x += [x 1].T @ lambda1, L_s += lambda1.T @ s
    add_products[floating](rows, d_1, n, 1, X, d_1, lambda1, n, sums + at.L_x, n)
    add_products[floating](rows_of_s, n, n, 1, lambda1, n, S, n, sums + at.L_s, n)
    if not in_gram(sweep, t):
        return
    # G_sx += s.T @ [x 1]
    add_gram[floating](rows, d_1, 1, X, sums + at.G_x)
    add_gram[floating](rows_of_s, n, 1, S, sums + at.G_s)
    add_products[floating](rows_of_s, n, d_1, 1, S, n, X, d_1, sums + at.G_sx, d_1)


cdef void add_rows(const floating* A, Py_ssize_t rows, Py_ssize_t columns, floating* total) noexcept nogil:
    """total += A.sum(axis=0)"""
    cdef Py_ssize_t i, j
    for i in range(rows):
        for j in range(columns):
            total[j] += A[i * columns + j]


cdef Py_ssize_t gather(const floating* weights, Py_ssize_t rows, Py_ssize_t n, const floating* H,
                       floating* out) noexcept nogil:
    """The rows of H that have a weight, one after the other; how many they are."""
    cdef Py_ssize_t i, found = 0
    for i in range(rows):
        if weights[i] != 0:
            memcpy(out + found * n, H + i * n, n * sizeof(floating))
            found += 1
    return found


cdef void add_outputs(Sweep* sweep, int part, Py_ssize_t row, Py_ssize_t rows, const floating* H, bint in_gram,
                      floating* sums, floating* room) noexcept nogil:
    """Add what these rows of outputs, read from H, say to L and G of the output layer; ``room`` holds as many as H."""
    cdef Py_ssize_t n = sweep.n, K = sweep.K, i
    cdef Room at = room_of(sweep)
    cdef const floating* lambda3 = <const floating*> sweep.lambda3 + row * K
    cdef const floating* weights = <const floating*> sweep.weights
    # L += lambda3.T @ [h 1]
    add_products[floating](rows, K, n, 1, lambda3, K, H, n, sums + at.output_L, n)
    add_rows[floating](lambda3, rows, K, sums + at.output_L_1)
    if not in_gram:
        return
    if weights != NULL:
        for i in range(rows):
            if weights[row + i] == 0:                  # no target there
                rows = gather(weights + row, rows, n, H, room)
                H = room
                break
    add_gram[floating](rows, n, 1, H, sums + at.output_G)
    add_rows[floating](H, rows, n, sums + at.output_G_1)
    sweep.output_rows[part] += rows


cdef inline bint in_gram(Sweep* sweep, Py_ssize_t t) noexcept nogil:
    """Whether G takes step t."""
    return t >= sweep.gram_first and (t - sweep.gram_first) % sweep.gram_every == 0


cdef void replace_pooled(Sweep* sweep, Py_ssize_t first, Py_ssize_t last, floating* H) noexcept nogil:
    """H = lambda_h = V^T lambda3, divided by the number of steps where H is a mean."""
    cdef Py_ssize_t n = sweep.n, K = sweep.K, i, j
    cdef floating share
    multiply_rows[floating](last - first, n, K, 1, <const floating*> sweep.lambda3 + first * K, K,
                            <const floating*> sweep.Psi, n + 1, 0, H + first * n, n)
    if sweep.read_out == MEAN:
        for i in range(first, last):
            share = <floating> (1.0 / sweep.lengths[i])
            for j in range(i * n, (i + 1) * n):
                H[j] *= share


cdef void sweep_part(Sweep* sweep, int part, floating* all_multipliers) noexcept nogil:
    """One part of the sequences, from the last step to the first."""
    cdef Py_ssize_t t = sweep.N - 1, n = sweep.n, first = sweep.first[part], last = sweep.first[part + 1]
    cdef Py_ssize_t running = last, before
    cdef Room at = room_of(sweep)
    cdef floating* sums = <floating*> sweep.sums + part * at.total
    cdef floating* lambda1
    cdef floating* H
    cdef double square
    memset(sums, 0, (at.gathered if sweep.with_R else at.R) * sizeof(floating))
    sweep.output_rows[part] = sweep.n_gathered[part] = sweep.R_rows[part] = sweep.n_capped[part] = 0
    sweep.largest_in_R[part], sweep.unit[part] = 0, 1
    if sweep.read_out != EACH and sweep.with_outputs:
        H = <floating*> (sweep.S if sweep.read_out == LAST else sweep.H)
        H += (sweep.offsets[sweep.N] if sweep.read_out == LAST else 0) * n
        add_outputs(sweep, part, first, last - first, H + first * n, True, sums,
                    multipliers_of(sweep, t, all_multipliers) + first * n)
    if sweep.read_out == MEAN or sweep.read_out == MAX:
        replace_pooled(sweep, first, last, <floating*> sweep.H)
    while running > first:
        lambda1 = multipliers_of(sweep, t, all_multipliers)
        if sweep.read_out == EACH and sweep.with_outputs:
            H = <floating*> sweep.S + (sweep.offsets[t + 1] + first) * n
            add_outputs(sweep, part, sweep.offsets[t + 1] - sweep.offsets[1] + first, running - first, H,
                        in_gram(sweep, t), sums, lambda1 + first * n)
        square = find_multipliers(sweep, t, part, first, running, all_multipliers)
        before = max(first, min(last, sweep.offsets[t] - sweep.offsets[t - 1])) if t > 0 else first
        add_step(sweep, t, first, running, before, lambda1, sums)
        if sweep.with_R:
            gather_multipliers(sweep, t, part, first, running, square, lambda1, sums)
        running = before
        t -= 1
    if sweep.with_R:
        add_gathered[floating](sweep, part, sums)


cdef void float_part(void* sweep, int part) noexcept nogil:
    sweep_part(<Sweep*> sweep, part, <float*> (<Sweep*> sweep).lambda1)


cdef void double_part(void* sweep, int part) noexcept nogil:
    sweep_part(<Sweep*> sweep, part, <double*> (<Sweep*> sweep).lambda1)


cdef void fold_in_symbols(floating* sums, Room at, Py_ssize_t d, Py_ssize_t n, floating keep, floating share,
                          Py_ssize_t gram_rows, floating* G) noexcept nogil:
    """G <- keep G + share G_batch, of symbols: the columns [s 1] of the Gram matrix of [x s 1]."""
    cdef Py_ssize_t h = n + 1, i, j
    cdef floating* G_xs = sums + at.G_sx
    for i in range(d * h):
        G[i] = keep * G[i] + share * G_xs[i]
    G += d * h
    for i in range(n):
        for j in range(i + 1):
            G[i * h + j] = keep * G[i * h + j] + share * sums[at.G_s + i * n + j]
    G += n * h                                         # the row of ones: every row has one symbol
    for j in range(h):
        G[j] *= keep
    for i in range(d):
        for j in range(n):
            G[j] += share * G_xs[i * h + j]
    G[n] += share * gram_rows


cdef void fold_in(Sweep* sweep, int n_parts, Py_ssize_t gram_rows, double total, double momentum, double decay,
                  double R_decay, floating* L, floating* G, double* R, floating* output_L,
                  floating* output_G) noexcept nogil:
    """M <- momentum M + (1 - momentum) L,  G <- decay G + (1 - decay) G_batch, of both layers, from the parts' sums.

    R as G, of the hidden layer.
    """
    cdef Py_ssize_t n = sweep.n, d = sweep.d, K = sweep.K, m = d + n + 1, h = n + 1, i, j
    cdef Py_ssize_t output_rows = 0, R_rows = 0
    cdef Room at = room_of(sweep)
    cdef floating* sums = <floating*> sweep.sums
    cdef floating* of_part
    cdef floating keep = <floating> momentum, share = <floating> ((1 - momentum) / total)
    cdef floating keep_G = <floating> decay, share_G = <floating> ((1 - decay) / gram_rows)
    cdef floating keep_output_G = keep_G, output_share_G = 0
    cdef double share_R, keep_R = R_decay
    cdef int part
    for part in range(n_parts):
        output_rows += sweep.output_rows[part]
        R_rows += sweep.R_rows[part]
    if output_rows > 0:
        output_share_G = <floating> ((1 - decay) / output_rows)
    else:                                              # none of these steps has a target
        keep_output_G = 1
    for part in range(1, n_parts):
        of_part = sums + part * at.total
        for i in range(at.R):
            sums[i] += of_part[i]
    if sweep.codes != NULL:
        # L_1 = L_x.sum(axis=0)
        add_rows[floating](sums + at.L_x, d, n, sums + at.L_x + d * n)
    for i in range(n):
        for j in range(d):
            L[i * m + j] = keep * L[i * m + j] + share * sums[at.L_x + j * n + i]
        for j in range(n):
            L[i * m + d + j] = keep * L[i * m + d + j] + share * sums[at.L_s + i * n + j]
        L[i * m + m - 1] = keep * L[i * m + m - 1] + share * sums[at.L_x + d * n + i]
    if sweep.with_outputs:
        for i in range(K):
            for j in range(n):
                output_L[i * h + j] = keep * output_L[i * h + j] + share * sums[at.output_L + i * n + j]
            output_L[i * h + n] = keep * output_L[i * h + n] + share * sums[at.output_L_1 + i]
        for i in range(n):
            for j in range(i + 1):
                output_G[i * h + j] = (keep_output_G * output_G[i * h + j]
                                       + output_share_G * sums[at.output_G + i * n + j])
            output_G[n * h + i] = keep_output_G * output_G[n * h + i] + output_share_G * sums[at.output_G_1 + i]
        output_G[n * h + n] = keep_output_G * output_G[n * h + n] + output_share_G * output_rows
    for part in range(n_parts if sweep.with_R and R_rows > 0 else 0):
        of_part = sums + part * at.total + at.R
        share_R = (1 - R_decay) / R_rows / sweep.unit[part] / sweep.unit[part]
        for i in range(n):
            for j in range(i + 1):
                R[i * n + j] = keep_R * R[i * n + j] + share_R * of_part[i * n + j]
        keep_R = 1
    if sweep.codes != NULL:
        fold_in_symbols(sums, at, d, n, keep_G, share_G, gram_rows, G)
        return
    for i in range(d):
        for j in range(i + 1):
            G[i * m + j] = keep_G * G[i * m + j] + share_G * sums[at.G_x + i * (d + 1) + j]
    for i in range(n):
        for j in range(d):
            G[(d + i) * m + j] = keep_G * G[(d + i) * m + j] + share_G * sums[at.G_sx + i * (d + 1) + j]
        for j in range(i + 1):
            G[(d + i) * m + d + j] = keep_G * G[(d + i) * m + d + j] + share_G * sums[at.G_s + i * n + j]
    G += (m - 1) * m                                   # the column of ones
    for j in range(d):
        G[j] = keep_G * G[j] + share_G * sums[at.G_x + d * (d + 1) + j]
    for j in range(n):
        G[d + j] = keep_G * G[d + j] + share_G * sums[at.G_sx + j * (d + 1) + d]
    G[m - 1] = keep_G * G[m - 1] + share_G * gram_rows


def backward(const floating[:, ::1] Theta, const floating[:, ::1] Psi, const floating[:, ::1] X,
             const floating[:, ::1] S, const Py_ssize_t[::1] offsets, const floating[:, ::1] lambda3, str activation,
             double cap, double momentum, double decay, Py_ssize_t gram_first, Py_ssize_t gram_every,
             floating[:, ::1] lambda1_out, floating[:, ::1] M_out, floating[:, ::1] G_out,
             floating[:, ::1] output_M_out, floating[:, ::1] output_G_out, floating[::1] scratch_out,
             Py_ssize_t n_threads=1, str read_out="last", const floating[::1] weights=None,
             const Py_ssize_t[::1] lengths=None, floating[:, ::1] H_out=None, const int32_t[:, ::1] steps=None,
             bint from_zero=True, floating[:, ::1] initial_multipliers_out=None, const int32_t[::1] codes=None,
             double[:, ::1] R_out=None, Py_ssize_t R_every=1, double R_decay=0):
    """Pass the multipliers back and fold what they say into the running statistics of both layers.

    lambda1_t = f'(a_t) * (V^T lambda3_t + W^T lambda1_{t+1}), where with the ``read_out`` "last" there are outputs
    after the last step only, with "mean" every step of a sequence has the same share of V^T lambda3, and with "max" the
    steps that ``steps`` (B, n) names have all of it.  ``H_out`` (B, n) holds the pooled states and is overwritten.

    ``cap``: whenever lambda1_t of a sequence is longer than ``cap`` times the longest one of the parts that its lambda3
    injects from t on, it is scaled down to that before it is passed on (bounded multipliers); infinity means never.
    Returns how many were scaled down, a step of a sequence each.

    M <- momentum M + (1 - momentum) L with L = sum lambda1 z^T / sum weights (of the rows of lambda3, all 1 unless
    given), and G <- decay G + (1 - decay) sum z z^T / #rows over the rows of the steps gram_first, gram_first +
    gram_every, ...; likewise lambda3 and [h, 1] for the outputs, of which G takes those that have a weight, with "each"
    at the same steps, unless ``output_M_out`` and ``output_G_out`` are None.
    ``R_out`` (n, n), if it is wanted, is R <- R_decay R + (1 - R_decay) sum lambda1 lambda1^T / #rows, of the rows for
    which ``R_every`` divides t + i + gram_first, of sequence i at step t; in float64, as the squares of multipliers in
    float32 may have no place in float32.
    Of G and R the lower triangle is kept up.  ``lambda1_out`` has a row for each step of each sequence, or 2 B rows
    when the multipliers are not wanted.  ``from_zero`` says that s_0 = 0; ``initial_multipliers_out`` (B, n) are those
    of s_0.

    With ``codes`` (rows,), which `forward` writes of symbols, in the place of X, None then, ``G_out`` is (m, n + 1):
    the columns of [s 1] of the Gram matrix, that is G_xs, whose last column is the diagonal of G_x, above G of [s 1].
    """
    cdef Sweep sweep
    cdef Py_ssize_t n = Theta.shape[0], m = Theta.shape[1], N = offsets.shape[0] - 2, d = m - n - 1, K = Psi.shape[0]
    cdef Py_ssize_t B = 0, t, i, gram_rows = 0, n_outputs, n_capped = 0
    cdef bint symbols = codes is not None
    cdef double total = 0
    cdef int n_parts, part
    cdef floating* output_M = NULL if output_M_out is None else &output_M_out[0, 0]
    cdef floating* output_G = NULL if output_G_out is None else &output_G_out[0, 0]
    sweep.read_out = read_out_named(read_out)
    if d < 1 or Psi.shape[1] != n + 1 or not fits(offsets, S.shape[0]) or S.shape[1] != n or symbols != (X is None) \
            or (not symbols and (X.shape[0] != offsets[N] or X.shape[1] != d + 1)) \
            or (symbols and codes.shape[0] != offsets[N]):
        raise ValueError("backward: the shapes do not belong together")
    B = offsets[N + 1] - offsets[N]
    sweep.with_outputs = output_M_out is not None
    n_outputs = offsets[N + 1] - offsets[1] if sweep.read_out == EACH else B
    if lambda3.shape[0] != n_outputs or lambda3.shape[1] != K \
            or (lambda1_out.shape[0] != offsets[N] and lambda1_out.shape[0] < 2 * B) or lambda1_out.shape[1] != n \
            or M_out.shape[0] != n or M_out.shape[1] != m \
            or G_out.shape[0] != m or G_out.shape[1] != (n + 1 if symbols else m) \
            or (output_G_out is not None) != sweep.with_outputs \
            or (sweep.with_outputs and (output_M_out.shape[0] != K or output_M_out.shape[1] != n + 1
                                        or output_G_out.shape[0] != n + 1 or output_G_out.shape[1] != n + 1)) \
            or not 0 <= gram_first < N or gram_every < 1 or R_every < 1 or n_threads < 1 \
            or scratch_out.shape[0] < room_of_part(d, n, K, symbols).total \
            or (weights is not None and weights.shape[0] != n_outputs) \
            or (R_out is not None and (R_out.shape[0] != n or R_out.shape[1] != n)) \
            or (initial_multipliers_out is not None
                and (initial_multipliers_out.shape[0] != B or initial_multipliers_out.shape[1] != n)):
        raise ValueError("backward: the shapes do not belong together")
    sweep.H, sweep.steps, sweep.lengths = NULL, NULL, NULL
    if sweep.read_out == MEAN or sweep.read_out == MAX:
        if H_out is None or H_out.shape[0] != B or H_out.shape[1] != n:
            raise ValueError("backward: H does not belong to the other shapes")
        sweep.H = &H_out[0, 0]
    if sweep.read_out == MEAN:
        if lengths is None or lengths.shape[0] != B:
            raise ValueError("backward: lengths do not belong to the other shapes")
        sweep.lengths = &lengths[0]
    if sweep.read_out == MAX:
        if steps is None or steps.shape[0] != B or steps.shape[1] != n:
            raise ValueError("backward: steps does not belong to the other shapes")
        sweep.steps = &steps[0, 0]
    sweep.X, sweep.codes = NULL, NULL
    if symbols:
        for i in range(codes.shape[0]):
            if not 0 <= codes[i] < d:
                raise ValueError(f"backward: the code in row {i} is not below {d}, the columns of U, or is negative")
        sweep.codes = &codes[0]
    else:
        sweep.X = &X[0, 0]
    sweep.f = named(activation)
    sweep.from_zero = from_zero
    sweep.initial_multipliers = NULL if initial_multipliers_out is None else &initial_multipliers_out[0, 0]
    sweep.weights = NULL if weights is None else &weights[0]
    sweep.offsets, sweep.N, sweep.d, sweep.n, sweep.K = &offsets[0], N, d, n, K
    sweep.Theta, sweep.Psi, sweep.S = &Theta[0, 0], &Psi[0, 0], &S[0, 0]
    sweep.lambda3, sweep.lambda1, sweep.sums = &lambda3[0, 0], &lambda1_out[0, 0], &scratch_out[0]
    sweep.keep = lambda1_out.shape[0] == offsets[N]
    sweep.gram_first, sweep.gram_every, sweep.R_every, sweep.cap = gram_first, gram_every, R_every, cap
    n_threads = min(n_threads, scratch_out.shape[0] // room_of_part(d, n, K, symbols).total)
    n_parts = n_parts_of(n_threads, B, 6.0 * offsets[N] * n * (n if symbols else m))
    for t in range(gram_first, N):
        if (t - gram_first) % gram_every == 0:
            gram_rows += offsets[t + 1] - offsets[t]
    for i in range(n_outputs):
        total += 1 if weights is None else weights[i]
    if not total > 0:
        raise ValueError("backward: no output has a weight")
    sweep.with_R = R_out is not None
    sweep.squares = <double*> malloc((3 * B + 2 * n_parts) * sizeof(double) + 4 * n_parts * sizeof(Py_ssize_t))
    if sweep.squares == NULL:
        raise MemoryError
    sweep.injected = sweep.squares + B
    sweep.largest = sweep.injected + B
    sweep.largest_in_R = sweep.largest + B
    sweep.unit = sweep.largest_in_R + n_parts
    sweep.output_rows = <Py_ssize_t*> (sweep.unit + n_parts)
    sweep.most_gathered = rows_at_once(n, n)
    sweep.R_rows = sweep.output_rows + n_parts
    sweep.n_gathered = sweep.R_rows + n_parts
    sweep.n_capped = sweep.n_gathered + n_parts
    with nogil:
        divide(sweep.offsets, N, n_parts, sweep.first)
        run(float_part if floating is float else double_part, &sweep, n_parts)
        fold_in[floating](&sweep, n_parts, gram_rows, total, momentum, decay, R_decay, &M_out[0, 0], &G_out[0, 0],
                          NULL if R_out is None else &R_out[0, 0], output_M, output_G)
    for part in range(n_parts):
        n_capped += sweep.n_capped[part]
    free(sweep.squares)
    return n_capped
