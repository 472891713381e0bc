"""The outputs of two networks that read a sequence from its start and from its end: their order, and their sums.

A row for each step stands with the step that reaches the state (see ``_kernels``).  Of a sequence of length L that is
read from its end, step ``t`` is the one that reads what step ``L - 1 - t`` reads from the start.
"""

from cython cimport floating
from libc.math cimport sqrt
from libc.string cimport memcpy, memset

from admmirnn._kernels._arrays cimport misfit
from admmirnn._kernels._blas cimport add_gram, add_products, rows_at_once
from admmirnn._kernels._layout cimport EACH, MOST
from admmirnn._kernels.batch cimport _Batch, n_outputs_of
from admmirnn._kernels.work cimport COUNTS, OUTPUT_ROWS, TARGETS, _Work, has_room, needs


def mirror(const floating[:, ::1] A, _Batch batch not None, floating[:, ::1] A_out):
    """Put the rows of outputs after each step, of sequences read from one end, in the order of the other.

    ``A`` has a row for each row of S from ``offsets[1]`` on; where that is an initial state, ``A_out`` is zero.
    """
    cdef const Py_ssize_t* offsets = batch.offsets
    cdef Py_ssize_t N = batch.N, width = A.shape[1], i, t, running, row
    if A.shape[0] != n_outputs_of(batch, True) or A_out.shape[0] != A.shape[0] or A_out.shape[1] != width:
        raise misfit("mirror", [("A", A, (n_outputs_of(batch, True), width)),
                                ("A_out", A_out, (A.shape[0], width))], "")
    with nogil:
        for t in range(N):
            running = offsets[t + 1] - offsets[t]
            row = offsets[t + 1] - offsets[1]
            for i in range(running):
                memcpy(&A_out[row + i, 0], &A[offsets[2 * N - batch.lengths[i] - t] - offsets[1] + i, 0],
                       width * sizeof(floating))
            for i in range(running, offsets[t + 2] - offsets[t + 1]):
                memset(&A_out[row + i, 0], 0, width * sizeof(floating))


def joint_room(Py_ssize_t h, Py_ssize_t K):
    """How many numbers the sums of `joint_sums` have, for ``h`` columns of the output layer: [L, G], then scratch."""
    return (K + h + rows_at_once(h, h)) * h


cdef Py_ssize_t add_rows(Py_ssize_t rows, Py_ssize_t n, Py_ssize_t n_reverse, Py_ssize_t K, const floating* H,
                         const floating* H_reverse, const floating* lambda3, const floating* weights, bint in_gram,
                         floating* piece, floating* L, floating* G) noexcept nogil:
    """Add what these rows, few enough for ``piece``, say to L and G; how many G has taken."""
    cdef Py_ssize_t h = n + n_reverse + 1, i, j, found = 0
    cdef floating root
    cdef floating* row = piece
    for i in range(rows):
        memcpy(row, H + i * n, n * sizeof(floating))
        memcpy(row + n, H_reverse + i * n_reverse, n_reverse * sizeof(floating))
        row[h - 1] = 1
        row += h
    # L += lambda3.T @ [h h_reverse 1]
    add_products[floating](rows, K, h, 1, lambda3, K, piece, h, L, h)
    if not in_gram:
        return 0
    for i in range(rows):
        if weights[i] != 0:
            root = <floating> sqrt(weights[i])
            for j in range(h if found < i or root != 1 else 0):
                piece[found * h + j] = root * piece[i * h + j]
            found += 1
    add_gram[floating](found, h, 1, piece, h, G, h)
    return found


cdef int joint_sums_of(_Work work, _Batch batch, of_H_reverse, Py_ssize_t n_reverse, of_lambda3, of_weights,
                       Py_ssize_t gram_first, Py_ssize_t gram_every, of_sums, double* counts,
                       const floating* H) except -1:
    """`joint_sums`, in the precision of the work, with ``H`` at the first row that outputs are read from."""
    cdef const floating[:, ::1] H_reverse = of_H_reverse, lambda3 = of_lambda3
    cdef const floating[::1] weights = of_weights
    cdef floating[::1] sums = of_sums
    cdef bint each = work.read_out == EACH, in_gram
    cdef const Py_ssize_t* offsets = batch.offsets
    cdef Py_ssize_t n = work.n, K = work.K, h = n + n_reverse + 1, rows = n_outputs_of(batch, each), gram_rows = 0
    cdef Py_ssize_t at_once = rows_at_once(h, h), i, t, row, end
    cdef Py_ssize_t n_targets = 0
    cdef floating *L
    cdef floating *G
    if H_reverse.shape[0] != rows or H_reverse.shape[1] != n_reverse or lambda3.shape[0] != rows \
            or lambda3.shape[1] != K or weights.shape[0] != rows or sums.shape[0] < joint_room(h, K) \
            or gram_first < 0 or gram_every < 1:
        raise misfit("joint_sums", [
            ("H_reverse", H_reverse, (rows, n_reverse)), ("lambda3", lambda3, (rows, K)), ("weights", weights, (rows,)),
            ("sums_out", sums, ((joint_room(h, K),),))],
            f"gram_first is {gram_first} and gram_every is {gram_every}; they must be at least 0 and 1")
    for i in range(rows):
        n_targets += weights[i] > 0
    if n_targets == 0:
        raise ValueError("joint_sums: every weight is 0; at least one output must have a positive one")
    L, G = &sums[0], &sums[K * h]
    with nogil:
        memset(L, 0, (K + h) * h * sizeof(floating))
        for t in range(batch.N if each else 1):
            in_gram = not each or (t >= gram_first and (t - gram_first) % gram_every == 0)
            row = offsets[t + 1] - offsets[1] if each else 0
            end = offsets[t + 2] - offsets[1] if each else rows
            while row < end:
                gram_rows += add_rows[floating](min(at_once, end - row), n, n_reverse, K, H + row * n,
                                                &H_reverse[row, 0], &lambda3[row, 0], &weights[row], in_gram,
                                                G + h * h, L, G)
                row += at_once
    counts[<int> TARGETS], counts[<int> OUTPUT_ROWS] = n_targets, gram_rows
    return 0


def joint_sums(_Work work not None, _Batch batch not None, H_reverse, Py_ssize_t n_reverse, lambda3, weights,
               Py_ssize_t gram_first, Py_ssize_t gram_every, sums_out, double[::1] counts_out):
    """What an output layer says that reads [h, h_reverse, 1], summed up as `backward` does, for `fold_outputs`.

    h (n,) is what the read-out of ``work``, the first network, reads; ``H_reverse`` (rows, n_reverse) has, like
    ``lambda3`` and ``weights``, a row for each output.  G takes the rows that have a weight, times that;
    with the read-out "each" those after the steps gram_first, gram_first + gram_every, ... of the first network.
    """
    cdef Py_ssize_t first = batch.offsets[1] if work.read_out == EACH else batch.offsets[batch.N]
    if not has_room(work, batch) or not 1 <= n_reverse <= MOST or counts_out.shape[0] != COUNTS:
        expected = needs(work, batch)
        expected.append(("counts_out", counts_out, (<int> COUNTS,)))
        raise misfit("joint_sums", expected, f"n_reverse is {n_reverse}; it must be from 1 to {<int> MOST}")
    counts_out[:] = 0
    if work.single:
        joint_sums_of[float](
            work, batch, H_reverse, n_reverse, lambda3, weights, gram_first, gram_every, sums_out, &counts_out[0],
            <const float*> work.H if work.H != NULL else <const float*> work.S + first * work.n)
    else:
        joint_sums_of[double](
            work, batch, H_reverse, n_reverse, lambda3, weights, gram_first, gram_every, sums_out, &counts_out[0],
            <const double*> work.H if work.H != NULL else <const double*> work.S + first * work.n)
