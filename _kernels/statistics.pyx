"""The running statistics: what the sums over a minibatch, as `backward` leaves them, do to M, G and R of a layer.

The sums stand in the order of ``Sums``, and how many rows and targets they are of, and R, in ``counts``, float64, as
the squares of multipliers in float32 may have no place in float32.  Both can be added up over workers, each of which
has a part of the minibatch, before they are folded in.
"""

from cython cimport floating

from admmirnn._kernels._arrays cimport DOUBLE, FLOATING, VECTOR, Holder
from admmirnn._kernels._blas cimport rows_at_once
from admmirnn._kernels._cells cimport Cell, MapOf, cell_of, columns_of, width_of
from admmirnn._kernels._layout cimport end_of_block, numbers_of_blocks
from admmirnn._kernels.weights cimport _Map
from admmirnn._kernels.work cimport COUNTS, GRAM_ROWS, OUTPUT_ROWS, R_ROWS, TARGETS, _Work


cdef Sums sums_of_part(Cell cell, Py_ssize_t d, Py_ssize_t n, Py_ssize_t K, bint symbols,
                       Py_ssize_t block) noexcept nogil:
    cdef Sums at
    cdef Py_ssize_t of_G_x = (d + 1) * (d + 1), of_G_sx = n * (d + 1), widest = n + d + 1
    if symbols:
        of_G_x, of_G_sx, widest = 0, d * (n + 1), n
    elif block > 0:
        of_G_x, of_G_sx, widest = numbers_of_blocks(d, block, d), n + 1, max(n, min(block, d))
    at.block = block
    at.L_x = 0
    at.L_s = at.L_x + (d + 1) * cell.of_x * n
    at.L_b = at.L_s + cell.of_s * n * n
    at.G_x = at.L_b + cell.n_biases * n
    at.G_sx = at.G_x + of_G_x
    at.G_s = at.G_sx + of_G_sx
    at.output_L = at.G_s + n * n
    at.output_G = at.output_L + K * (n + 1)
    at.end = at.output_G + (n + 1) * (n + 1)
    at.R = at.end
    at.gathered = at.R + numbers_of_R(cell, n)
    at.piece = at.gathered + rows_at_once(n, n) * width_of(cell) * n
    at.scaled = at.piece + rows_at_once(n, n) * n
    at.total = at.scaled + rows_at_once(n, n) * widest
    return at


cdef Py_ssize_t numbers_of_R(Cell cell, Py_ssize_t n) noexcept nogil:
    """Those of R of all maps."""
    cdef Py_ssize_t found = 0
    cdef int i
    for i in range(cell.n_maps):
        found += cell.maps[i].rows * n * cell.maps[i].rows * n
    return found


def sums_room(cell, Py_ssize_t d, Py_ssize_t n, Py_ssize_t K, bint symbols=False, Py_ssize_t block=0):
    """How many numbers at the start of a work's ``sums`` are sums, and how many of these are of the hidden layer.

    ``block`` is its ``gram_block``, see `work`.
    """
    cdef Sums at = sums_of_part(cell_of(cell), d, n, K, symbols, block)
    return at.end, at.output_L


def counts_room(cell, Py_ssize_t n, bint with_R):
    """How many numbers a work's ``counts`` have, of which the last are R of each map, if it is wanted."""
    return COUNTS + (numbers_of_R(cell_of(cell), n) if with_R else 0)


def backward_room(cell, Py_ssize_t d, Py_ssize_t n, Py_ssize_t K, Py_ssize_t n_threads, bint symbols=False,
                  Py_ssize_t block=0):
    """How many numbers a work's ``sums`` have: those sums first, then scratch."""
    return sums_of_part(cell_of(cell), d, n, K, symbols, block).total * n_threads


cdef void fold_block(Py_ssize_t rows, Py_ssize_t columns, bint is_lower, const floating* sums, Py_ssize_t by_row,
                     Py_ssize_t by_column, floating keep, floating share, floating* G, Py_ssize_t ldg) noexcept nogil:
    """G <- keep G + share sums of a block, or of its lower triangle; ``sums`` lie as far apart as the two say."""
    cdef Py_ssize_t i, j
    for i in range(rows):
        for j in range(min(i + 1, columns) if is_lower else columns):
            G[i * ldg + j] = keep * G[i * ldg + j] + share * sums[i * by_row + j * by_column]


cdef void fold_symbols(MapOf of, const floating* sums, Sums at, Py_ssize_t d, Py_ssize_t n, floating keep,
                       floating share, floating of_ones, floating* G) noexcept nogil:
    """G <- keep G + share G_batch, of symbols: the columns [s 1] of the Gram matrix of [x s 1], or a part of it."""
    cdef Py_ssize_t n_s = n if of.has_s else 0, h = n_s + of.n_ones, i, j
    cdef const floating* G_xs = sums + at.G_sx
    cdef int one
    if of.has_x:
        fold_block[floating](d, n_s, False, G_xs, n + 1, 1, keep, of.n_ones * share, G, h)
        for one in range(of.n_ones):
            fold_block[floating](d, 1, False, G_xs + n, n + 1, 1, keep, share, G + n_s + one, h)
        G += d * h
    fold_block[floating](n_s, n_s, True, sums + at.G_s, n, 1, keep, of.n_ones * share, G, h)
    G += n_s * h
    for one in range(of.n_ones):                       # the row of ones: every row has one symbol
        for j in range(h):
            G[j] *= keep
        for i in range(d):
            for j in range(n_s):
                G[j] += share * G_xs[i * (n + 1) + j]
        G[n_s + one] += share * of_ones
        G += h


cdef void fold_rows(MapOf of, Py_ssize_t d, Py_ssize_t n, const floating* sums, Sums at, floating keep,
                    floating share, floating of_ones, floating* G) noexcept nogil:
    """G <- keep G + share G_batch, of observations that are no symbols.

    With several ones in place of one it is the sum over equations: what is before them is in all of these, and each of
    them in one.
    """
    cdef Py_ssize_t n_x = d if of.has_x else 0, n_s = n if of.has_s else 0, m = n_x + n_s + of.n_ones
    cdef int one
    fold_block[floating](n_x, n_x, True, sums + at.G_x, d + 1, 1, keep, of.n_ones * share, G, m)
    G += n_x * m
    fold_block[floating](n_s, n_x, False, sums + at.G_sx, d + 1, 1, keep, of.n_ones * share, G, m)
    fold_block[floating](n_s, n_s, True, sums + at.G_s, n, 1, keep, of.n_ones * share, G + n_x, m)
    G += n_s * m
    for one in range(of.n_ones):                       # the column of ones
        fold_block[floating](1, n_x, False, sums + at.G_x + d * (d + 1), 0, 1, keep, share, G, m)
        fold_block[floating](1, n_s, False, sums + at.G_sx + d, 0, d + 1, keep, share, G + n_x, m)
        G[n_x + n_s + one] = keep * G[n_x + n_s + one] + share * of_ones
        G += m


cdef void fold_blocks(MapOf of, Py_ssize_t d, Py_ssize_t n, const floating* sums, Sums at, floating keep,
                      floating share, floating of_ones, floating* G) noexcept nogil:
    """As `fold_rows`, of a G of blocks: some of the columns of x, and last [s 1]."""
    cdef Py_ssize_t n_s = n if of.has_s else 0, h = n_s + of.n_ones, first = 0, width
    cdef const floating* G_x = sums + at.G_x
    cdef int one
    while of.has_x and first < d:
        width = end_of_block(first, d, at.block, d) - first
        fold_block[floating](width, width, True, G_x, width, 1, keep, of.n_ones * share, G, width)
        G, G_x, first = G + width * width, G_x + width * width, first + width
    fold_block[floating](n_s, n_s, True, sums + at.G_s, n, 1, keep, of.n_ones * share, G, h)
    G += n_s * h
    for one in range(of.n_ones):
        fold_block[floating](1, n_s, False, sums + at.G_sx, 0, 1, keep, share, G, h)
        G[n_s + one] = keep * G[n_s + one] + share * of_ones
        G += h


cdef void fold_R(Py_ssize_t n, const double* sums, double keep, double share, double* R) noexcept nogil:
    """R <- keep R + share R_batch, lower triangle."""
    cdef Py_ssize_t i, j
    for i in range(n):
        for j in range(i + 1):
            R[i * n + j] = keep * R[i * n + j] + share * sums[i * n + j]


cdef void fold_M(Cell cell, int which, const floating* sums, Sums at, Py_ssize_t d, Py_ssize_t n, floating keep,
                 floating share, floating* M) noexcept nogil:
    """M <- keep M + share L"""
    cdef MapOf of = cell.maps[which]
    cdef Py_ssize_t m = columns_of(of, d, n), p_x = cell.of_x * n, p = of.rows * n, n_x = d if of.has_x else 0
    cdef const floating* L_x = sums + at.L_x + of.first * n
    cdef const floating* L_s = sums + at.L_s + (of.first - cell.of_a + cell.of_s) * n * n
    cdef int one
    fold_block[floating](p, n_x, False, L_x, 1, p_x, keep, share, M, m)
    M += n_x
    if of.has_s:
        fold_block[floating](p, n, False, L_s, n, 1, keep, share, M, m)
        M += n
    for one in range(of.n_ones):
        if cell.n_biases > 0 and not (of.has_x and of.n_ones == 1):
            fold_block[floating](p, 1, False, sums + at.L_b + one * n, 1, 1, keep, share, M + one, m)
        else:
            fold_block[floating](p, 1, False, L_x + d * p_x, 1, 1, keep, share, M + one, m)


cdef floating weight_of_gram(_Work work, const floating* sums, Sums at) noexcept nogil:
    """The weight of the rows that the sums of G are of: of symbols, each has one."""
    cdef Py_ssize_t d = work.d, n = work.n, i
    cdef floating found = 0
    if at.block > 0:
        return sums[at.G_sx + n]
    if not work.symbols:
        return sums[at.G_x + (d + 1) * (d + 1) - 1]
    for i in range(d):
        found += sums[at.G_sx + i * (n + 1) + n]
    return found


cdef void fold_gram(bint symbols, MapOf of, const floating* sums, Sums at, Py_ssize_t d, Py_ssize_t n, floating keep,
                    floating share, floating of_ones, floating* G) noexcept nogil:
    """G <- keep G + share G_batch"""
    if symbols:
        fold_symbols[floating](of, sums, at, d, n, keep, share, of_ones, G)
    elif at.block > 0:
        fold_blocks[floating](of, d, n, sums, at, keep, share, of_ones, G)
    else:
        fold_rows[floating](of, d, n, sums, at, keep, share, of_ones, G)


cdef void fold_of(_Work work, int which, _Map map, double momentum, double decay, double R_decay,
                  const floating* sums) noexcept nogil:
    cdef Py_ssize_t d = work.d, n = work.n, first_of_R = 0
    cdef MapOf of = work.cell.maps[which]
    cdef Sums at = sums_of_part(work.cell, d, n, work.K, work.symbols, work.gram_block)
    cdef const double* counts = work.counts
    cdef floating keep_G = <floating> decay, share_G, of_ones
    cdef int i
    fold_M[floating](work.cell, which, sums, at, d, n, <floating> momentum,
                     <floating> ((1 - momentum) / counts[<int> TARGETS]), <floating*> map.M)
    if counts[<int> GRAM_ROWS] > 0:                    # or all sequences have begun after these steps
        share_G, of_ones = <floating> ((1 - decay) / counts[<int> GRAM_ROWS]), weight_of_gram(work, sums, at)
        fold_gram[floating](work.symbols, of, sums, at, d, n, keep_G, share_G, of_ones, <floating*> map.G)
    if map.R != NULL and counts[<int> R_ROWS] > 0:
        for i in range(which):
            first_of_R += work.cell.maps[i].rows * n * work.cell.maps[i].rows * n
        fold_R(map.p, work.R + first_of_R, R_decay, (1 - R_decay) / counts[<int> R_ROWS], map.R)


def fold(_Work work not None, _Map map not None, double momentum, double decay, double R_decay=0, int which=0):
    """M <- momentum M + (1 - momentum) L / number of targets, G <- decay G + (1 - decay) G_batch / rows; R as G.

    Of the ``which``-th map of a hidden layer; L, G_batch, R_batch and what they are divided by are what `backward` has
    left in the work; where that is of no rows, G or R stays as it is.  Of G and R the lower triangle is kept up.  Where
    observations are symbols, G is (m, m - d): the columns of [s 1] of the Gram matrix, that is G_xs, whose last column
    is the diagonal of G_x but for the number of equations in which a row of weights has part, above G of [s 1].
    Where the work has a ``gram_block``, G is the blocks of the map, the only products that are summed up.
    """
    cdef MapOf of
    if not 0 <= which < work.cell.n_maps:
        raise ValueError(f"fold: which is {which}; the cell has {work.cell.n_maps} maps, counted from 0")
    of = work.cell.maps[which]
    if map.p != of.rows * work.n or map.m != columns_of(of, work.d, work.n) or map.n_ones != of.n_ones \
            or map.n_symbols != (work.d if work.symbols and of.has_x else 0) \
            or map.cut != (work.d if work.gram_block > 0 and of.has_x else 0) \
            or (map.cut > 0 and map.block != work.gram_block) \
            or work.counts == NULL or work.single != map.single or (map.R != NULL and work.R == NULL):
        raise ValueError(
            f"fold: the map has p={map.p}, m={map.m}, n_ones={map.n_ones} and n_symbols={map.n_symbols}; for map "
            f"{which} of that cell they must be {of.rows * work.n}, {columns_of(of, work.d, work.n)}, {of.n_ones} "
            f"and {work.d if work.symbols and of.has_x else 0}, with blocks of {work.gram_block} and numbers of the "
            "same type, and with counts in the work, and R there if the map has it")
    with nogil:
        if work.single:
            fold_of[float](work, which, map, momentum, decay, R_decay, <const float*> work.sums)
        else:
            fold_of[double](work, which, map, momentum, decay, R_decay, <const double*> work.sums)


cdef void fold_outputs_of(_Map map, const double* counts, double momentum, double decay,
                          const floating* L) noexcept nogil:
    """Those of G follow L."""
    cdef Py_ssize_t K = map.p, h = map.m, i, j
    cdef const floating* sums_of_G = L + K * h
    cdef floating* M = <floating*> map.M
    cdef floating* G = <floating*> map.G
    cdef floating keep = <floating> momentum, share = <floating> ((1 - momentum) / counts[<int> TARGETS]), share_G
    for i in range(K * h):
        M[i] = keep * M[i] + share * L[i]
    if counts[<int> OUTPUT_ROWS] == 0:                 # none of these steps has a target
        return
    keep, share_G = <floating> decay, <floating> ((1 - decay) / counts[<int> OUTPUT_ROWS])
    for i in range(h):
        for j in range(i + 1):
            G[i * h + j] = keep * G[i * h + j] + share_G * sums_of_G[i * h + j]


cdef class _OutputSums(Holder):
    pass


def fold_outputs(_Map map not None, sums, counts, double momentum, double decay):
    """M and G of an output layer, as `fold` has them, from ``sums`` = [L, G_batch] and ``counts``.

    They are what `backward` has left in the sums of a work after those of the hidden layer, or what `joint_sums` wrote.
    """
    cdef _OutputSums held = _OutputSums()
    cdef void* L
    cdef const double* of
    held.owner = b"fold_outputs"
    L = held.hold(sums, "sums", FLOATING, False, map.p * map.m + map.m * map.m, VECTOR)
    of = <const double*> held.hold(counts, "counts", DOUBLE, False, COUNTS, VECTOR)
    if map.n_symbols != 0 or map.cut != 0 or held.single != map.single:
        raise ValueError(f"fold_outputs: the map has n_symbols={map.n_symbols}, a cut of {map.cut} and numbers of "
                         f"{'float32' if map.single else 'float64'}; the first two must be 0, and the numbers of the "
                         f"type of sums, {'float32' if held.single else 'float64'}")
    with nogil:
        if map.single:
            fold_outputs_of[float](map, of, momentum, decay, <const float*> L)
        else:
            fold_outputs_of[double](map, of, momentum, decay, <const double*> L)
