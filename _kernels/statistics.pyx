"""The running statistics: what the sums over a minibatch, as `backward` leaves them, do to M, G and R of a layer.

The sums stand in the order of ``Sums``, and how many rows and targets they are of, and R, in ``counts``, float64, as
the squares of multipliers in float32 may have no place in float32.  Both can be added up over workers, each of which
has a part of the minibatch, before they are folded in.
"""

from cython cimport floating

from admmirnn._kernels._arrays cimport DOUBLE, FLOATING, VECTOR, Holder
from admmirnn._kernels._blas cimport rows_at_once
from admmirnn._kernels.weights cimport _Map
from admmirnn._kernels.work cimport COUNTS, GRAM_ROWS, OUTPUT_ROWS, R_ROWS, WEIGHT, _Work


cdef Sums sums_of_part(Py_ssize_t d, Py_ssize_t n, Py_ssize_t K, bint symbols) noexcept nogil:
    cdef Sums at
    at.L_x = 0
    at.L_s = at.L_x + (d + 1) * n
    at.G_x = at.L_s + n * n
    at.G_sx = at.G_x + (0 if symbols else (d + 1) * (d + 1))
    at.G_s = at.G_sx + (d * (n + 1) if symbols else n * (d + 1))
    at.output_L = at.G_s + n * n
    at.output_G = at.output_L + K * (n + 1)
    at.end = at.output_G + (n + 1) * (n + 1)
    at.R = at.end
    at.gathered = at.R + n * n
    at.piece = at.gathered + rows_at_once(n, n) * n
    at.total = at.piece + rows_at_once(n, n) * n
    return at


def sums_room(Py_ssize_t d, Py_ssize_t n, Py_ssize_t K, bint symbols=False):
    """How many numbers at the start of a work's ``sums`` are sums, and how many of these are of the hidden layer."""
    cdef Sums at = sums_of_part(d, n, K, symbols)
    return at.end, at.output_L


def counts_room(Py_ssize_t n, bint with_R):
    """How many numbers a work's ``counts`` have, of which the last n^2 are R, if it is wanted."""
    return COUNTS + (n * n if with_R else 0)


def backward_room(Py_ssize_t d, Py_ssize_t n, Py_ssize_t K, Py_ssize_t n_threads, bint symbols=False):
    """How many numbers a work's ``sums`` have: those sums first, then scratch."""
    return sums_of_part(d, n, K, symbols).total * n_threads


cdef void fold_symbols(const floating* sums, Sums at, Py_ssize_t d, Py_ssize_t n, floating keep, floating share,
                       floating gram_rows, floating* G) noexcept nogil:
    """G <- keep G + share G_batch, of symbols: the columns [s 1] of the Gram matrix of [x s 1]."""
    cdef Py_ssize_t h = n + 1, i, j
    cdef const floating* G_xs = sums + at.G_sx
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


cdef void fold_rows(Py_ssize_t d, Py_ssize_t n, const floating* sums, Sums at, floating keep, floating share,
                    floating gram_rows, floating* G) noexcept nogil:
    """G <- keep G + share G_batch, of observations that are no symbols."""
    cdef Py_ssize_t m = d + n + 1, i, j
    for i in range(d):
        for j in range(i + 1):
            G[i * m + j] = keep * G[i * m + j] + share * sums[at.G_x + i * (d + 1) + j]
    for i in range(n):
        for j in range(d):
            G[(d + i) * m + j] = keep * G[(d + i) * m + j] + share * sums[at.G_sx + i * (d + 1) + j]
        for j in range(i + 1):
            G[(d + i) * m + d + j] = keep * G[(d + i) * m + d + j] + share * sums[at.G_s + i * n + j]
    G += (m - 1) * m                                   # the column of ones
    for j in range(d):
        G[j] = keep * G[j] + share * sums[at.G_x + d * (d + 1) + j]
    for j in range(n):
        G[d + j] = keep * G[d + j] + share * sums[at.G_sx + j * (d + 1) + d]
    G[m - 1] = keep * G[m - 1] + share * gram_rows


cdef void fold_R(Py_ssize_t n, const double* sums, double keep, double share, double* R) noexcept nogil:
    """R <- keep R + share R_batch, lower triangle."""
    cdef Py_ssize_t i, j
    for i in range(n):
        for j in range(i + 1):
            R[i * n + j] = keep * R[i * n + j] + share * sums[i * n + j]


cdef void fold_of(_Work work, _Map map, double momentum, double decay, double R_decay, floating* sums) noexcept nogil:
    cdef Py_ssize_t d = work.d, n = work.n, m = d + n + 1, i, j
    cdef Sums at = sums_of_part(d, n, work.K, work.symbols)
    cdef const double* counts = work.counts
    cdef floating* M = <floating*> map.M
    cdef floating keep = <floating> momentum, share = <floating> ((1 - momentum) / counts[<int> WEIGHT])
    cdef floating keep_G = <floating> decay, share_G = <floating> ((1 - decay) / counts[<int> GRAM_ROWS])
    cdef floating gram_rows = <floating> counts[<int> GRAM_ROWS]
    for i in range(n):
        for j in range(d):
            M[i * m + j] = keep * M[i * m + j] + share * sums[at.L_x + j * n + i]
        for j in range(n):
            M[i * m + d + j] = keep * M[i * m + d + j] + share * sums[at.L_s + i * n + j]
        M[i * m + m - 1] = keep * M[i * m + m - 1] + share * sums[at.L_x + d * n + i]
    if work.symbols:
        fold_symbols[floating](sums, at, d, n, keep_G, share_G, gram_rows, <floating*> map.G)
    else:
        fold_rows[floating](d, n, sums, at, keep_G, share_G, gram_rows, <floating*> map.G)
    if map.R != NULL and counts[<int> R_ROWS] > 0:
        fold_R(n, work.R, R_decay, (1 - R_decay) / counts[<int> R_ROWS], map.R)


def fold(_Work work not None, _Map map not None, double momentum, double decay, double R_decay=0):
    """M <- momentum M + (1 - momentum) L / weight of the targets, G <- decay G + (1 - decay) G_batch / rows; R as G.

    Of a hidden layer; L, G_batch, R_batch and what they are divided by are what `backward` has left in the work.  Of G
    and R the lower triangle is kept up.  Where observations are symbols, G is (m, n + 1): the columns of [s 1] of the
    Gram matrix, that is G_xs, whose last column is the diagonal of G_x, above G of [s 1].
    """
    if map.p != work.n or map.m != work.d + work.n + 1 or map.n_symbols != (work.d if work.symbols else 0) \
            or work.counts == NULL or work.single != map.single or (map.R != NULL and work.R == NULL):
        raise ValueError("fold: the layer does not belong to the work")
    with nogil:
        if work.single:
            fold_of[float](work, map, momentum, decay, R_decay, <float*> work.sums)
        else:
            fold_of[double](work, map, momentum, decay, R_decay, <double*> work.sums)


cdef void fold_outputs_of(_Map map, const double* counts, double momentum, double decay,
                          const floating* L) noexcept nogil:
    """Those of G follow L."""
    cdef Py_ssize_t K = map.p, h = map.m, i, j
    cdef const floating* sums_of_G = L + K * h
    cdef floating* M = <floating*> map.M
    cdef floating* G = <floating*> map.G
    cdef floating keep = <floating> momentum, share = <floating> ((1 - momentum) / counts[<int> WEIGHT]), share_G
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
    if map.n_symbols != 0 or held.single != map.single:
        raise ValueError("fold_outputs: the layer does not belong to the sums")
    with nogil:
        if map.single:
            fold_outputs_of[float](map, of, momentum, decay, <const float*> L)
        else:
            fold_outputs_of[double](map, of, momentum, decay, <const double*> L)
