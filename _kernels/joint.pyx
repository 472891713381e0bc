"""The outputs of two networks that read a sequence from its start and from its end: their order, and their statistics.

A row for each step stands with the step that reaches the state (see ``_kernels``).  Of a sequence of length L that is
read from its end, step ``t`` is the one that reads what step ``L - 1 - t`` reads from the start.
"""

from cython cimport floating
from libc.string cimport memcpy, memset

from admmirnn._kernels._blas cimport add_gram, add_products, rows_at_once
from admmirnn._kernels._layout cimport EACH, fits, read_out_named


def mirror(const floating[:, ::1] A, const Py_ssize_t[::1] lengths, const Py_ssize_t[::1] offsets,
           floating[:, ::1] A_out):
    """Put the rows of outputs after each step, of sequences read from one end, in the order of the other.

    ``A`` has a row for each row of S from ``offsets[1]`` on; where that is an initial state, ``A_out`` is zero.
    """
    cdef Py_ssize_t B = lengths.shape[0], N = offsets.shape[0] - 2, width = A.shape[1], rows = 0, i, t, running, row
    if N < 1 or not fits(offsets, A.shape[0] + offsets[1]) or offsets[N + 1] - offsets[N] != B \
            or A_out.shape[0] != A.shape[0] or A_out.shape[1] != width:
        raise ValueError("mirror: the shapes do not belong together")
    for i in range(B):
        if lengths[i] < 1 or lengths[i] > N or offsets[N - lengths[i] + 1] - offsets[N - lengths[i]] <= i:
            raise ValueError(f"mirror: sequence {i} is not where offsets have it")
        rows += lengths[i]
    if rows != offsets[N]:
        raise ValueError("mirror: lengths and offsets do not belong together")
    with nogil:
        for t in range(N):
            running = offsets[t + 1] - offsets[t]
            row = offsets[t + 1] - offsets[1]
            for i in range(running):
                memcpy(&A_out[row + i, 0], &A[offsets[2 * N - lengths[i] - t] - offsets[1] + i, 0],
                       width * sizeof(floating))
            for i in range(running, offsets[t + 2] - offsets[t + 1]):
                memset(&A_out[row + i, 0], 0, width * sizeof(floating))


def joint_room(Py_ssize_t h, Py_ssize_t K):
    """How many numbers the scratch of ``joint_statistics`` needs, for ``h`` columns of the output layer."""
    return (K + h + rows_at_once(h, h)) * h


cdef Py_ssize_t add_rows(Py_ssize_t rows, Py_ssize_t n, Py_ssize_t n_reverse, Py_ssize_t K, const floating* H,
                         const floating* H_reverse, const floating* lambda3, const floating* weights, bint in_gram,
                         floating* piece, floating* L, floating* G) noexcept nogil:
    """Add what these rows, few enough for ``piece``, say to L and G; how many G has taken."""
    cdef Py_ssize_t h = n + n_reverse + 1, i, found = 0
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
            if found < i:
                memcpy(piece + found * h, piece + i * h, h * sizeof(floating))
            found += 1
    add_gram[floating](found, h, 1, piece, G)
    return found


def joint_statistics(const floating[:, ::1] H, const floating[:, ::1] H_reverse, const floating[:, ::1] lambda3,
                     const floating[::1] weights, const Py_ssize_t[::1] offsets, double momentum, double decay,
                     Py_ssize_t gram_first, Py_ssize_t gram_every, floating[:, ::1] M_out, floating[:, ::1] G_out,
                     floating[::1] scratch_out, str read_out="last"):
    """Fold what an output layer says that reads [h, h_reverse, 1] into its running statistics, as `backward` does.

    ``H`` and ``H_reverse`` have a row for each row of ``lambda3`` and ``weights``.  G takes the rows that have a
    weight; with the ``read_out`` "each" those after the steps gram_first, gram_first + gram_every, ... of the first
    network.
    """
    cdef Py_ssize_t rows = lambda3.shape[0], K = lambda3.shape[1], n = H.shape[1], n_reverse = H_reverse.shape[1]
    cdef Py_ssize_t h = n + n_reverse + 1, N = offsets.shape[0] - 2, gram_rows = 0, i, j, t, row, end
    cdef Py_ssize_t at_once = rows_at_once(h, h)
    cdef bint each = read_out_named(read_out) == EACH, in_gram
    cdef double total = 0
    cdef floating keep = <floating> momentum, share, keep_G = <floating> decay, share_G
    cdef floating *L
    cdef floating *G
    if N < 1 or not fits(offsets, offsets[N + 1]) or rows != offsets[N + 1] - offsets[1 if each else N] \
            or H.shape[0] != rows or H_reverse.shape[0] != rows or weights.shape[0] != rows \
            or M_out.shape[0] != K or M_out.shape[1] != h or G_out.shape[0] != h or G_out.shape[1] != h \
            or scratch_out.shape[0] < joint_room(h, K) or not 0 <= gram_first < N or gram_every < 1:
        raise ValueError("joint_statistics: the shapes do not belong together")
    for i in range(rows):
        total += weights[i]
    if not total > 0:
        raise ValueError("joint_statistics: no output has a weight")
    L, G = &scratch_out[0], &scratch_out[K * h]
    with nogil:
        memset(L, 0, (K + h) * h * sizeof(floating))
        for t in range(N if each else 1):
            in_gram = not each or (t >= gram_first and (t - gram_first) % gram_every == 0)
            row = offsets[t + 1] - offsets[1] if each else 0
            end = offsets[t + 2] - offsets[1] if each else rows
            while row < end:
                gram_rows += add_rows[floating](min(at_once, end - row), n, n_reverse, K, &H[row, 0],
                                                &H_reverse[row, 0], &lambda3[row, 0], &weights[row], in_gram,
                                                G + h * h, L, G)
                row += at_once
        share = <floating> ((1 - momentum) / total)
        for i in range(K):
            for j in range(h):
                M_out[i, j] = keep * M_out[i, j] + share * L[i * h + j]
        if gram_rows > 0:
            share_G = <floating> ((1 - decay) / gram_rows)
            for i in range(h):
                for j in range(i + 1):
                    G_out[i, j] = keep_G * G_out[i, j] + share_G * G[i * h + j]
