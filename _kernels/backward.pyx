"""The backward sweep: the multipliers of all equations from the last step to the first, and the statistics they feed.

L = sum lambda1_t z_t^T and G = sum z_t z_t^T, z_t = [x_t, s_{t-1}, 1], are summed up by blocks, of [x 1] and of s,
where observations and states lie; the parts that threads work on have sums of their own, added in one order.
"""

from cython cimport floating
from libc.math cimport isfinite, sqrt
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from admmirnn._kernels._activations cimport Activation, multiply_by_slope, named
from admmirnn._kernels._blas cimport add_gram, add_products, gemm, multiply_rows, rows_at_once
from admmirnn._kernels._layout cimport fits
from admmirnn._kernels._threads cimport MOST_PARTS, divide, n_parts_of, run


cdef struct Sweep:                               # what all parts of a backward sweep share
    const Py_ssize_t* offsets
    Activation f
    Py_ssize_t N, d, n, K
    const void* Theta                            # (n, d + n + 1)
    const void* Psi                              # (K, n + 1)
    const void* X                                # (rows, d + 1)
    const void* S                                # (rows + B, n)
    const void* lambda3                          # (B, K)
    void* lambda1                                # (rows, n), or (2 B, n)
    bint keep                                    # all of lambda1
    Py_ssize_t gram_first, gram_every
    double cap
    double* squares                              # (N, n_parts): |lambda1_t|^2 before it is scaled down
    Py_ssize_t n_capped                          # steps that are scaled down
    void* sums                                   # (n_parts, room_of_part)
    Py_ssize_t[MOST_PARTS + 1] first             # sequence of each part


cdef struct Room:                                # of the sums of a part, in numbers from their start
    Py_ssize_t L_x                               # (d + 1, n): [x 1]^T lambda1
    Py_ssize_t L_s                               # (n, n): lambda1^T s
    Py_ssize_t G_x                               # (d + 1, d + 1), lower triangle
    Py_ssize_t G_sx                              # (n, d + 1)
    Py_ssize_t G_s                               # (n, n), lower triangle
    Py_ssize_t output_L                          # (K, n): lambda3^T s_N
    Py_ssize_t output_L_1                        # (K,)
    Py_ssize_t output_G                          # (n, n), lower triangle
    Py_ssize_t output_G_1                        # (n,)
    Py_ssize_t total


cdef Room room_of_part(Py_ssize_t d, Py_ssize_t n, Py_ssize_t K) noexcept nogil:
    cdef Room at
    at.L_x = 0
    at.L_s = at.L_x + (d + 1) * n
    at.G_x = at.L_s + n * n
    at.G_sx = at.G_x + (d + 1) * (d + 1)
    at.G_s = at.G_sx + n * (d + 1)
    at.output_L = at.G_s + n * n
    at.output_L_1 = at.output_L + K * n
    at.output_G = at.output_L_1 + K
    at.output_G_1 = at.output_G + n * n
    at.total = at.output_G_1 + n
    return at


def backward_room(Py_ssize_t d, Py_ssize_t n, Py_ssize_t K, Py_ssize_t n_threads):
    """How many numbers the scratch of ``backward`` needs."""
    return room_of_part(d, n, K).total * n_threads


cdef inline floating* multipliers_of(Sweep* sweep, Py_ssize_t t, floating* lambda1) noexcept nogil:
    """Where lambda1_t stands: with the step, or in one of two blocks in turn."""
    cdef Py_ssize_t B = sweep.offsets[sweep.N + 1] - sweep.offsets[sweep.N]
    return lambda1 + (sweep.offsets[t] if sweep.keep else t % 2 * B) * sweep.n


cdef double find_multipliers(Sweep* sweep, Py_ssize_t t, Py_ssize_t first, Py_ssize_t last,
                             floating* lambda1) noexcept nogil:
    """lambda1_t of these sequences from lambda1_{t+1}; the sum of its squares."""
    cdef Py_ssize_t n = sweep.n, K = sweep.K, m = sweep.d + n + 1, i = first, rows, at_once = rows_at_once(n, n)
    cdef const floating* W = <const floating*> sweep.Theta + sweep.d
    cdef const floating* states = <const floating*> sweep.S + sweep.offsets[t + 1] * n
    cdef floating* following = multipliers_of(sweep, t + 1, lambda1)
    cdef double square = 0
    lambda1 = multipliers_of(sweep, t, lambda1)
    while i < last:                                    # a piece that stays in the cache
        rows = min(at_once, last - i)
        if t == sweep.N - 1:
            # lambda1[t] = lambda3 @ V
            multiply_rows[floating](rows, n, K, 1, <const floating*> sweep.lambda3 + i * K, K, <const floating*> sweep.Psi,
                                    n + 1, 0, lambda1 + i * n, n)
        else:
            # lambda1[t] = lambda1[t + 1] @ W
            multiply_rows[floating](rows, n, n, 1, following + i * n, n, W, m, 0, lambda1 + i * n, n)
        square += multiply_by_slope(sweep.f, states + i * n, rows * n, lambda1 + i * n)
        i += rows
    return square


cdef double scale_of(Sweep* sweep, Py_ssize_t t, int n_parts) noexcept nogil:
    """What the cap leaves of lambda1_t, once all parts have found its squares.

    Sums over the running sequences are compared; all minibatches have B of them, so the common 1/(B n) drops out.
    """
    cdef double square = 0, injected = 0, most
    cdef int part
    if t == sweep.N - 1 or not isfinite(sweep.cap):
        return 1
    for part in range(n_parts):
        square += sweep.squares[t * n_parts + part]
        injected += sweep.squares[(sweep.N - 1) * n_parts + part]
    most = sweep.cap * sweep.cap * injected
    return sqrt(most / square) if square > most else 1


cdef void add_step(Sweep* sweep, Py_ssize_t t, Py_ssize_t first, Py_ssize_t last, Py_ssize_t continuing,
                   const floating* lambda1, floating* sums) noexcept nogil:
    """Add what step t of these sequences says to L and G; the states of those from ``continuing`` on are zero."""
    cdef Py_ssize_t n = sweep.n, d_1 = sweep.d + 1, rows = last - first, rows_of_s = max(continuing - first, 0)
    cdef Room at = room_of_part(sweep.d, n, sweep.K)
    cdef const floating* X = <const floating*> sweep.X + (sweep.offsets[t] + first) * d_1
    cdef const floating* S = <const floating*> sweep.S + (sweep.offsets[t] + first) * n
    lambda1 += first * n
    # L_x += [x 1].T @ lambda1, L_s += lambda1.T @ s
    add_products[floating](rows, d_1, n, 1, X, d_1, lambda1, n, sums + at.L_x, n)
    add_products[floating](rows_of_s, n, n, 1, lambda1, n, S, n, sums + at.L_s, n)
    if t < sweep.gram_first or (t - sweep.gram_first) % sweep.gram_every:
        return
    # G_sx += s.T @ [x 1]
    add_gram[floating](rows, d_1, X, sums + at.G_x)
    add_gram[floating](rows_of_s, n, S, sums + at.G_s)
    add_products[floating](rows_of_s, n, d_1, 1, S, n, X, d_1, sums + at.G_sx, d_1)


cdef void add_rows(const floating* A, Py_ssize_t rows, Py_ssize_t columns, floating* total) noexcept nogil:
    """total += A.sum(axis=0)"""
    cdef Py_ssize_t i, j
    for i in range(rows):
        for j in range(columns):
            total[j] += A[i * columns + j]


cdef void add_outputs(Sweep* sweep, Py_ssize_t first, Py_ssize_t last, floating* sums) noexcept nogil:
    """Add what the read-out of these sequences says to L and G of the output layer."""
    cdef Py_ssize_t n = sweep.n, K = sweep.K, rows = last - first
    cdef Room at = room_of_part(sweep.d, n, K)
    cdef const floating* S = <const floating*> sweep.S + (sweep.offsets[sweep.N] + first) * n
    cdef const floating* lambda3 = <const floating*> sweep.lambda3 + first * K
    # L += lambda3.T @ [s 1]
    add_products[floating](rows, K, n, 1, lambda3, K, S, n, sums + at.output_L, n)
    add_rows[floating](lambda3, rows, K, sums + at.output_L_1)
    add_gram[floating](rows, n, S, sums + at.output_G)
    add_rows[floating](S, rows, n, sums + at.output_G_1)


cdef void scale_down(floating* lambda1, Py_ssize_t count, double scale) noexcept nogil:
    cdef floating by = <floating> scale
    cdef Py_ssize_t i
    for i in range(count):
        lambda1[i] *= by


cdef void sweep_step(Sweep* sweep, int stage, int part, int n_parts, floating* lambda1) noexcept nogil:
    """One part of the sequences: step t + 1, whose multipliers all parts have found by now, and the multipliers of t.

    ``stage`` counts from 0 at t = N - 1 to N at t = -1.
    """
    cdef Py_ssize_t t = sweep.N - 1 - stage, n = sweep.n, first = sweep.first[part], last = sweep.first[part + 1]
    cdef Py_ssize_t following, running, before
    cdef Room at = room_of_part(sweep.d, n, sweep.K)
    cdef floating* sums = <floating*> sweep.sums + part * at.total
    cdef double scale
    if stage == 0:
        memset(sums, 0, at.total * sizeof(floating))
        add_outputs(sweep, first, last, sums)
    before = max(first, min(last, sweep.offsets[t + 1] - sweep.offsets[t])) if t >= 0 else first
    if stage > 0:
        following = t + 1
        running = max(first, min(last, sweep.offsets[following + 1] - sweep.offsets[following]))
        scale = scale_of(sweep, following, n_parts)
        if scale != 1:
            scale_down(multipliers_of(sweep, following, lambda1) + first * n, (running - first) * n, scale)
            if part == 0:
                sweep.n_capped += 1
        add_step(sweep, following, first, running, before, multipliers_of(sweep, following, lambda1), sums)
    if t >= 0:
        sweep.squares[t * n_parts + part] = find_multipliers(sweep, t, first, before, lambda1)


cdef void float_step(void* sweep, int stage, int part, int n_parts) noexcept nogil:
    sweep_step(<Sweep*> sweep, stage, part, n_parts, <float*> (<Sweep*> sweep).lambda1)


cdef void double_step(void* sweep, int stage, int part, int n_parts) noexcept nogil:
    sweep_step(<Sweep*> sweep, stage, part, n_parts, <double*> (<Sweep*> sweep).lambda1)


cdef void fold_in(Sweep* sweep, int n_parts, Py_ssize_t gram_rows, double momentum, double decay,
                  floating* L, floating* G, floating* output_L, floating* output_G) noexcept nogil:
    """M <- momentum M + (1 - momentum) L,  G <- decay G + (1 - decay) G_batch, of both layers, from the parts' sums."""
    cdef Py_ssize_t n = sweep.n, d = sweep.d, K = sweep.K, m = d + n + 1, h = n + 1, i, j
    cdef Py_ssize_t B = sweep.offsets[sweep.N + 1] - sweep.offsets[sweep.N]
    cdef Room at = room_of_part(d, n, K)
    cdef floating* sums = <floating*> sweep.sums
    cdef floating* of_part
    cdef floating keep = <floating> momentum, share = <floating> ((1 - momentum) / B)
    cdef floating keep_G = <floating> decay, share_G = <floating> ((1 - decay) / gram_rows)
    cdef floating output_share_G = <floating> ((1 - decay) / B)
    cdef int part
    for part in range(1, n_parts):
        of_part = sums + part * at.total
        for i in range(at.total):
            sums[i] += of_part[i]
    for i in range(n):
        for j in range(d):
            L[i * m + j] = keep * L[i * m + j] + share * sums[at.L_x + j * n + i]
        for j in range(n):
            L[i * m + d + j] = keep * L[i * m + d + j] + share * sums[at.L_s + i * n + j]
        L[i * m + m - 1] = keep * L[i * m + m - 1] + share * sums[at.L_x + d * n + i]
    for i in range(K):
        for j in range(n):
            output_L[i * h + j] = keep * output_L[i * h + j] + share * sums[at.output_L + i * n + j]
        output_L[i * h + n] = keep * output_L[i * h + n] + share * sums[at.output_L_1 + i]
    for i in range(d):
        for j in range(i + 1):
            G[i * m + j] = keep_G * G[i * m + j] + share_G * sums[at.G_x + i * (d + 1) + j]
    for i in range(n):
        for j in range(d):
            G[(d + i) * m + j] = keep_G * G[(d + i) * m + j] + share_G * sums[at.G_sx + i * (d + 1) + j]
        for j in range(i + 1):
            G[(d + i) * m + d + j] = keep_G * G[(d + i) * m + d + j] + share_G * sums[at.G_s + i * n + j]
            output_G[i * h + j] = keep_G * output_G[i * h + j] + output_share_G * sums[at.output_G + i * n + j]
    G += (m - 1) * m                                   # the column of ones
    output_G += n * h
    for j in range(d):
        G[j] = keep_G * G[j] + share_G * sums[at.G_x + d * (d + 1) + j]
    for j in range(n):
        G[d + j] = keep_G * G[d + j] + share_G * sums[at.G_sx + j * (d + 1) + d]
        output_G[j] = keep_G * output_G[j] + output_share_G * sums[at.output_G_1 + j]
    G[m - 1] = keep_G * G[m - 1] + share_G * gram_rows
    output_G[n] = keep_G * output_G[n] + output_share_G * B


def backward(const floating[:, ::1] Theta, const floating[:, ::1] Psi, const floating[:, ::1] X,
             const floating[:, ::1] S, const Py_ssize_t[::1] offsets, const floating[:, ::1] lambda3, str activation,
             double cap, double momentum, double decay, Py_ssize_t gram_first, Py_ssize_t gram_every,
             floating[:, ::1] lambda1_out, floating[:, ::1] M_out, floating[:, ::1] G_out,
             floating[:, ::1] output_M_out, floating[:, ::1] output_G_out, floating[::1] scratch_out,
             Py_ssize_t n_threads=1):
    """Pass the multipliers back and fold what they say into the running statistics of both layers.

    lambda1_N = f'(a_N) * V^T lambda3,  lambda1_t = f'(a_t) * W^T lambda1_{t+1}.  ``cap``: whenever the root mean square
    of lambda1_t over the minibatch exceeds ``cap`` times that of the part injected by lambda3, lambda1_t is scaled down
    to it before it is passed on (bounded multipliers); infinity means never.  Returns how many steps were scaled down.

    M <- momentum M + (1 - momentum) L with L = sum lambda1 z^T / B, and G <- decay G + (1 - decay) sum z z^T / #rows
    over the rows of the steps gram_first, gram_first + gram_every, ...; likewise lambda3 and h = [s_N, 1] for the outputs.
    Of G the lower triangle is kept up.  ``lambda1_out`` has a row for each step of each sequence, or 2 B rows when
    the multipliers are not wanted.
    """
    cdef Sweep sweep
    cdef Py_ssize_t n = Theta.shape[0], m = Theta.shape[1], N = offsets.shape[0] - 2, d = m - n - 1, K = Psi.shape[0]
    cdef Py_ssize_t B = lambda3.shape[0], t, gram_rows = 0
    cdef int n_parts
    if d < 1 or Psi.shape[1] != n + 1 or not fits(offsets, S.shape[0]) or X.shape[0] != offsets[N] \
            or X.shape[1] != d + 1 or S.shape[1] != n or B != offsets[N + 1] - offsets[N] or lambda3.shape[1] != K \
            or (lambda1_out.shape[0] != offsets[N] and lambda1_out.shape[0] < 2 * B) or lambda1_out.shape[1] != n \
            or M_out.shape[0] != n or M_out.shape[1] != m or G_out.shape[0] != m or G_out.shape[1] != m \
            or output_M_out.shape[0] != K or output_M_out.shape[1] != n + 1 \
            or output_G_out.shape[0] != n + 1 or output_G_out.shape[1] != n + 1 \
            or not 0 <= gram_first < N or gram_every < 1 or n_threads < 1 \
            or scratch_out.shape[0] < room_of_part(d, n, K).total:
        raise ValueError("backward: the shapes do not belong together")
    sweep.f = named(activation)
    sweep.offsets, sweep.N, sweep.d, sweep.n, sweep.K = &offsets[0], N, d, n, K
    sweep.Theta, sweep.Psi, sweep.X, sweep.S = &Theta[0, 0], &Psi[0, 0], &X[0, 0], &S[0, 0]
    sweep.lambda3, sweep.lambda1, sweep.sums = &lambda3[0, 0], &lambda1_out[0, 0], &scratch_out[0]
    sweep.keep = lambda1_out.shape[0] == offsets[N]
    sweep.gram_first, sweep.gram_every, sweep.cap = gram_first, gram_every, cap
    sweep.n_capped = 0
    n_threads = min(n_threads, scratch_out.shape[0] // room_of_part(d, n, K).total)
    n_parts = n_parts_of(n_threads, B, 6.0 * offsets[N] * n * m)
    for t in range(gram_first, N):
        if (t - gram_first) % gram_every == 0:
            gram_rows += offsets[t + 1] - offsets[t]
    sweep.squares = <double*> malloc(N * n_parts * sizeof(double))
    if sweep.squares == NULL:
        raise MemoryError
    with nogil:
        divide(sweep.offsets, N, n_parts, sweep.first)
        run(float_step if floating is float else double_step, &sweep, N + 1, n_parts)
        fold_in[floating](&sweep, n_parts, gram_rows, momentum, decay, &M_out[0, 0], &G_out[0, 0],
                          &output_M_out[0, 0], &output_G_out[0, 0])
    free(sweep.squares)
    return sweep.n_capped
