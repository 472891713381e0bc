"""The forward sweep: packing observations, rolling the network out over them, reading the outputs, the o-step."""

from cython cimport floating
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, uint8_t, uint16_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from admmirnn._kernels._arrays cimport misfit
from admmirnn._kernels._blas cimport multiply_rows
from admmirnn._kernels._cells cimport FASTGRNN, Cell, MapOf, columns_of, gated_step, step
from admmirnn._kernels._layout cimport EACH, LAST, MAX, MEAN, ReadOut, transpose
from admmirnn._kernels._observations cimport (
    copy_scaled, copy_standardised, write_sparse, write_sparse_standardised
)
from admmirnn._kernels._pool_simd cimport add_all, keep_largest, multiply_all
from admmirnn._kernels._threads cimport LEAST_OF_A_SWEEP, MOST_PARTS, divide, n_parts_of, run
from admmirnn._kernels.batch cimport _Batch, n_outputs_of
from admmirnn._kernels.output cimport Targets, o_step_of_rows, room_of_o_step, set_targets
from admmirnn._kernels.work cimport _Work, has_room, needs, sequences_at_once


cdef struct Sweep:                               # what all parts of a forward sweep share
    const char* observations                     # (any number of rows, d / frame length)
    char format                                  # of its numbers, as the struct module names them
    double scale
    const void* standard                         # (2, width): means, and factors; or NULL
    bint standard_is_single                      # their precision
    Py_ssize_t stride                            # rows from one step's observations to the next
    Py_ssize_t width                             # columns of observations
    const int32_t* columns                       # of the numbers of sparse observations, or NULL
    const Py_ssize_t* starts                     # where those of each row begin, or NULL
    const int32_t* codes                         # (rows,): of symbols, or NULL
    const Py_ssize_t* first_rows                 # or NULL: observations lie as states do
    const Py_ssize_t* lengths
    const Py_ssize_t* offsets
    Cell cell
    ReadOut read_out
    Py_ssize_t N, d, n, K
    const void* initial                          # (B, n): s_0, or NULL for zero
    const void* initial_c                        # (B, n): c_0, or NULL for zero
    const void* U_b                              # (d + 1, of_x n): U.T, b of all maps
    const void* W                                # (n, of_s n): W.T
    const void* biases                           # (n_biases n,): those that are not in b
    Py_ssize_t at_once                           # sequences
    void* X                                      # (rows, d + 1)
    void* S                                      # (rows + B, n)
    void* A                                      # (rows, kept n), or of one step of at_once sequences for each part
    bint keeps                                   # all of A
    void* C                                      # (rows + B, n): cell states, or NULL
    const void* V_T                              # (n + 1, K): V.T, c
    const void* mask                             # (B, n): what the states that outputs see are multiplied by, or NULL
    void* H                                      # (B, n): pooled states; with a mask, what each output sees
    int32_t* steps                               # (B, n): at which step they were the largest
    void* Q                                      # (B, K), or a row for each row of S from offsets[1] on
    const void* plus                             # as Q: what is added to the outputs, or NULL
    Targets* targets                             # of the o-step, or NULL
    double* scratch                              # (n_parts, room_of_o_step(K))
    double[MOST_PARTS] loss
    Py_ssize_t[MOST_PARTS] n_correct
    Py_ssize_t[MOST_PARTS + 1] first             # sequence of each part


cdef inline void write_sparse_row(Sweep* sweep, Py_ssize_t row, floating scale, floating* x) noexcept nogil:
    """x = one of the sparse observations, as the network reads it."""
    cdef Py_ssize_t first = sweep.starts[row], last = sweep.starts[row + 1], width = sweep.width
    if sweep.standard == NULL:
        write_sparse(sweep.observations, sweep.format, sweep.columns, first, last, width, scale, x)
    elif sweep.standard_is_single:
        write_sparse_standardised(sweep.observations, sweep.format, sweep.columns, first, last, width,
                                  <const float*> sweep.standard, x)
    else:
        write_sparse_standardised(sweep.observations, sweep.format, sweep.columns, first, last, width,
                                  <const double*> sweep.standard, x)


cdef void pack(Sweep* sweep, Py_ssize_t first, Py_ssize_t last, floating* X) noexcept nogil:
    """Copy the observations of these sequences into X, a row [x, 1] for each step."""
    cdef Py_ssize_t i, t, k, d = sweep.d, width = sweep.width, start, row, at
    cdef floating* x
    cdef floating scale = <floating> sweep.scale
    for i in range(first, last):
        start = sweep.N - sweep.lengths[i]
        for t in range(start, sweep.N):
            x = X + (sweep.offsets[t] + i) * (d + 1)
            if sweep.first_rows == NULL:
                row = sweep.offsets[t + 1] + i
            else:
                row = sweep.first_rows[i] + (t - start) * sweep.stride
            at = row * width
            if sweep.starts != NULL:
                for k in range(d // width):
                    write_sparse_row(sweep, row + k, scale, x + k * width)
            elif sweep.standard == NULL:
                copy_scaled(sweep.observations, sweep.format, at, d, scale, x)
            else:
                for k in range(d // width):
                    if sweep.standard_is_single:
                        copy_standardised(sweep.observations, sweep.format, at + k * width, width,
                                          <const float*> sweep.standard, x + k * width)
                    else:
                        copy_standardised(sweep.observations, sweep.format, at + k * width, width,
                                          <const double*> sweep.standard, x + k * width)
            x[d] = 1


cdef Py_ssize_t pack_codes(Sweep* sweep, Py_ssize_t B, int32_t* codes) noexcept nogil:
    """Copy the codes of all sequences, in the order of the rows of X; which sequence has one too large, or -1."""
    cdef Py_ssize_t i, t, start, at
    cdef int32_t code
    for i in range(B):
        start = sweep.N - sweep.lengths[i]
        for t in range(start, sweep.N):
            at = sweep.first_rows[i] + (t - start) * sweep.stride
            if sweep.format == c"B":
                code = (<const uint8_t*> sweep.observations)[at]
            else:
                code = (<const uint16_t*> sweep.observations)[at]
            if code >= sweep.d:
                return i
            codes[sweep.offsets[t] + i] = code
    return -1


cdef void add_bias(Py_ssize_t d, Py_ssize_t p, floating* U_b) noexcept nogil:
    """U.T += b, with b below U.T."""
    cdef Py_ssize_t i
    for i in range(d):
        add_all(p, U_b + d * p, U_b + i * p)


cdef void start(Sweep* sweep, Py_ssize_t first, Py_ssize_t rows, Py_ssize_t row, const void* initial,
                floating* S) noexcept nogil:
    """The states before the first steps of so many sequences from ``first`` on, which are in S from ``row`` on."""
    cdef Py_ssize_t n = sweep.n
    if initial == NULL:
        memset(S + row * n, 0, rows * n * sizeof(floating))
    else:
        memcpy(S + row * n, <const floating*> initial + first * n, rows * n * sizeof(floating))


cdef floating* row_of_A(Sweep* sweep, int part, Py_ssize_t row, floating* states) noexcept nogil:
    """Where pre-activations are made, and what the cell keeps is left: with the step, or in the room of this part."""
    if sweep.cell.kept == 0:
        return states
    return <floating*> sweep.A + (row if sweep.keeps else part * sweep.at_once) * sweep.cell.kept * sweep.n


cdef void end_step(Sweep* sweep, Py_ssize_t row, Py_ssize_t following, Py_ssize_t rows, floating* A,
                   floating* S) noexcept nogil:
    """The states of a cell that keeps something: from ``following`` on, of those from ``row`` on."""
    cdef Py_ssize_t n = sweep.n
    cdef floating* C = <floating*> sweep.C
    gated_step(sweep.cell, rows, n, A, sweep.cell.kept * n, S + row * n,
               <const floating*> (sweep.biases if sweep.cell.kind == FASTGRNN else NULL),
               NULL if C == NULL else C + row * n, S + following * n, NULL if C == NULL else C + following * n)


cdef void advance(Sweep* sweep, int part, Py_ssize_t first, Py_ssize_t last, const floating* X, floating* S,
                  floating* H) noexcept nogil:
    """Roll out these sequences, few enough for their states to stay in the cache from step to step, and pool those."""
    cdef Py_ssize_t t, running = 0, starting, active, d = sweep.d, n = sweep.n, row, i, j
    cdef Py_ssize_t p_x = sweep.cell.of_x * n, p_s = sweep.cell.of_s * n, lda = max(sweep.cell.kept, 1) * n
    cdef Py_ssize_t first_of_s = (sweep.cell.of_a - sweep.cell.of_s) * n
    cdef const floating* U_b = <const floating*> sweep.U_b
    cdef floating* states
    cdef floating* A
    cdef floating share
    if sweep.read_out == MEAN or sweep.read_out == MAX:
        for i in range(first * n, last * n):
            H[i] = 0 if sweep.read_out == MEAN else <floating> -INFINITY
    for t in range(sweep.N):
        # of these sequences so many run at this step, and ``running`` did before it
        active = min(last, sweep.offsets[t + 1] - sweep.offsets[t]) - first
        if active <= 0:
            continue
        row = sweep.offsets[t] + first
        starting = active - running
        start(sweep, first + running, starting, row + running, sweep.initial, S)
        if sweep.C != NULL:
            start(sweep, first + running, starting, row + running, sweep.initial_c, <floating*> sweep.C)
        if sweep.initial != NULL:
            running = active
        states = S + (sweep.offsets[t + 1] + first) * n
        A = row_of_A[floating](sweep, part, row, states)
        # A = X[t] @ [U b].T, and + S[t] @ W.T for those that do not start from zero here
        if sweep.codes == NULL:
            multiply_rows[floating](active, p_x, d + 1, 1, X + row * (d + 1), d + 1, U_b, p_x, 0, A, lda)
        else:
            for i in range(active):
                memcpy(A + i * lda, U_b + sweep.codes[row + i] * p_x, p_x * sizeof(floating))
        for i in range(active if sweep.cell.of_a > sweep.cell.of_x else 0):
            memcpy(A + i * lda + p_x, sweep.biases, (sweep.cell.of_a * n - p_x) * sizeof(floating))
        multiply_rows[floating](running, p_s, n, 1, S + row * n, n, <const floating*> sweep.W, p_s, 1, A + first_of_s,
                                lda)
        if sweep.cell.kept == 0:
            step(sweep.cell, active, n, states)
        else:
            end_step[floating](sweep, row, sweep.offsets[t + 1] + first, active, A, S)
        if sweep.read_out == MEAN:
            add_all(active * n, states, H + first * n)
        elif sweep.read_out == MAX:
            keep_largest(active * n, <int32_t> t, states, H + first * n, sweep.steps + first * n)
        running = active
    if sweep.read_out == MEAN:
        for i in range(first, last):
            share = <floating> (1.0 / sweep.lengths[i])
            for j in range(i * n, (i + 1) * n):
                H[j] *= share


cdef const floating* masked(Sweep* sweep, Py_ssize_t first, Py_ssize_t rows, const floating* H,
                            Py_ssize_t row) noexcept nogil:
    """What the outputs from ``row`` on see of these rows of H, of the sequences from ``first`` on."""
    cdef Py_ssize_t n = sweep.n
    cdef floating* seen
    if sweep.mask == NULL:
        return H
    seen = <floating*> sweep.H + row * n
    if seen != H:
        memcpy(seen, H, rows * n * sizeof(floating))
    multiply_all(rows * n, <const floating*> sweep.mask + first * n, seen)
    return seen


cdef void answer(Sweep* sweep, Py_ssize_t rows, const floating* H, Py_ssize_t row, int part,
                 floating* Q) noexcept nogil:
    """Q[row:row + rows] = H @ V.T + c (+ plus) for these rows of H, and their o-step."""
    cdef Py_ssize_t i, j, n = sweep.n, K = sweep.K
    cdef const floating* V_T = <const floating*> sweep.V_T
    cdef const floating* plus = <const floating*> sweep.plus
    for i in range(row, row + rows):
        memcpy(Q + i * K, V_T + n * K, K * sizeof(floating))
        if plus != NULL:
            for j in range(i * K, (i + 1) * K):
                Q[j] += plus[j]
    multiply_rows[floating](rows, K, n, 1, H, n, V_T, K, 1, Q + row * K, K)
    if sweep.targets != NULL:
        sweep.loss[part] += o_step_of_rows(sweep.targets, row, row + rows, &sweep.n_correct[part],
                                           sweep.scratch + room_of_o_step(K) * part, Q)


cdef void answer_holes(Sweep* sweep, Py_ssize_t t, Py_ssize_t first, Py_ssize_t last, floating* Q) noexcept nogil:
    """Zeros where the rows of Q stand for initial states."""
    cdef Py_ssize_t row = sweep.offsets[t + 1] - sweep.offsets[1], n = sweep.n, K = sweep.K
    cdef Py_ssize_t hole = max(first, sweep.offsets[t + 1] - sweep.offsets[t])
    cdef Py_ssize_t end = min(last, sweep.offsets[t + 2] - sweep.offsets[t + 1])
    if end <= hole:
        return
    memset(Q + (row + hole) * K, 0, (end - hole) * K * sizeof(floating))
    if sweep.mask != NULL:
        memset(<floating*> sweep.H + (row + hole) * n, 0, (end - hole) * n * sizeof(floating))
    if sweep.targets != NULL:
        memset(<floating*> sweep.targets.O_plus + (row + hole) * K, 0, (end - hole) * K * sizeof(floating))
        memset(<floating*> sweep.targets.lambda3 + (row + hole) * K, 0, (end - hole) * K * sizeof(floating))


cdef void sweep_part(Sweep* sweep, int part, floating* X) noexcept nogil:
    """The forward sweep of one part of the sequences."""
    cdef Py_ssize_t first = sweep.first[part], last = sweep.first[part + 1]
    cdef Py_ssize_t n = sweep.n, i, end, t, active, row
    cdef floating* S = <floating*> sweep.S
    cdef floating* H = <floating*> sweep.H
    cdef floating* Q = <floating*> sweep.Q
    i = first
    while i < last:
        end = min(i + sweep.at_once, last)
        if sweep.codes == NULL:
            pack(sweep, i, end, X)
        advance(sweep, part, i, end, X, S, H)
        if sweep.read_out == EACH:
            for t in range(sweep.N):
                active = min(end, sweep.offsets[t + 1] - sweep.offsets[t]) - i
                if active > 0:
                    row = sweep.offsets[t + 1] + i
                    answer(sweep, active, masked(sweep, i, active, S + row * n, row - sweep.offsets[1]),
                           row - sweep.offsets[1], part, Q)
                answer_holes(sweep, t, i, end, Q)
        i = end
    if sweep.read_out == LAST:
        S += (sweep.offsets[sweep.N] + first) * n
        answer(sweep, last - first, masked(sweep, first, last - first, S, first), first, part, Q)
    elif sweep.read_out == MEAN or sweep.read_out == MAX:
        answer(sweep, last - first, masked(sweep, first, last - first, H + first * n, first), first, part, Q)


cdef void float_part(void* sweep, int part) noexcept nogil:
    sweep_part(<Sweep*> sweep, part, <float*> (<Sweep*> sweep).X)


cdef void double_part(void* sweep, int part) noexcept nogil:
    sweep_part(<Sweep*> sweep, part, <double*> (<Sweep*> sweep).X)


cdef void transpose_maps(_Work work, floating* U_b, floating* W, floating* biases) noexcept nogil:
    """The weights of all maps, by what they are multiplied with: [U b].T and W.T, and the biases that are not in b."""
    cdef Py_ssize_t d = work.d, n = work.n, p_x = work.cell.of_x * n, p_s = work.cell.of_s * n, p, m
    cdef MapOf of
    cdef const floating* Theta
    cdef int i
    for i in range(work.cell.n_maps):
        of, Theta = work.cell.maps[i], <const floating*> work.maps[i]
        p, m = of.rows * n, columns_of(of, d, n)
        if of.has_x:
            transpose(p, d, Theta, m, U_b + of.first * n, p_x)
        if of.has_s:
            transpose(p, n, Theta + (d if of.has_x else 0), m, W + (of.first - work.cell.of_a + work.cell.of_s) * n,
                      p_s)
        if work.cell.n_biases > 0 and not (of.has_x and of.n_ones == 1):
            transpose(p, of.n_ones, Theta + m - of.n_ones, m, biases, p)
        else:
            transpose(p, 1, Theta + m - 1, m, U_b + d * p_x + of.first * n, p_x)


cdef object forward_of(_Work work, _Batch batch, of_initial, of_plus, of_targets, of_initial_c, floating* Q):
    """`forward`, in the precision of the work."""
    cdef Sweep sweep
    cdef Targets targets
    cdef const floating[:, ::1] initial = of_initial, plus = of_plus, initial_c = of_initial_c
    cdef Py_ssize_t B = batch.B, N = batch.N, n = work.n, d = work.d, K = work.K
    cdef Py_ssize_t p_x = work.cell.of_x * n, p_s = work.cell.of_s * n
    cdef Py_ssize_t n_outputs = n_outputs_of(batch, work.read_out == EACH), n_correct = 0, i
    cdef double operations = 2.0 * batch.n_rows * (p_s * n + (0 if work.symbols else p_x * (d + 1)))
    cdef int part, n_parts = n_parts_of(work.n_threads, B, operations, LEAST_OF_A_SWEEP)
    cdef double weighted = 0, total = 0
    cdef floating* U_b = <floating*> work.weights_T
    cdef floating* W = U_b + (d + 1) * p_x
    cdef floating* V_T
    cdef const Py_ssize_t[::1] labels
    cdef const floating[:, ::1] values
    cdef const floating[::1] row_weights
    if not has_room(work, batch) or (initial is not None and (initial.shape[0] != B or initial.shape[1] != n)) \
            or (initial_c is not None and (initial_c.shape[0] != B or initial_c.shape[1] != n)) \
            or (plus is not None and (plus.shape[0] != n_outputs or plus.shape[1] != K)):
        expected = needs(work, batch)
        for name, array in (("initial", initial), ("initial_c", initial_c)):
            if array is not None:
                expected.append((name, array, (B, n)))
        if plus is not None:
            expected.append(("plus", plus, (n_outputs, K)))
        raise misfit("forward", expected, "")
    if initial_c is not None and not work.cell.has_c:
        raise ValueError("forward: initial_c is given, and the cell has no cell state; it must be None")
    if work.symbols and (batch.first_rows == NULL or batch.width != 1 or batch.frame != 1
                         or batch.format not in b"BH" or batch.scale != 1 or batch.standard != NULL
                         or batch.starts != NULL):
        raise ValueError(f"forward: the codes of symbols have {batch.width} column(s) of the type "
                         f"{chr(batch.format)!r} (as in struct), a frame of {batch.frame} and a scale of {batch.scale}"
                         "; they must be one column of uint8 or uint16 of an array, with a frame and a scale of 1 and "
                         "no standard")
    if not work.symbols and batch.frame * batch.width != d:
        raise ValueError(f"forward: a frame of {batch.frame} observations has {batch.frame * batch.width} numbers; "
                         f"the network reads {d} at each step")
    sweep.targets = NULL
    if of_targets is not None:
        if work.rows_of_lambda3 < n_outputs:
            raise misfit("forward", [("lambda3", (work.rows_of_lambda3, K), ((n_outputs,), K))], "")
        # held until the sweep has read them, whatever an attribute returns the next time
        labels, values, row_weights = of_targets.labels, of_targets.values, of_targets.weights
        total = set_targets[floating](&targets, "forward", n_outputs, K, labels, values, row_weights, of_targets.rho,
                                      None, None, of_targets.loss, of_targets.parameter)
        targets.O_plus, targets.lambda3 = work.O_plus, work.lambda3
        sweep.targets = &targets
    sweep.observations, sweep.format, sweep.scale = batch.observations, batch.format, batch.scale
    sweep.standard, sweep.standard_is_single = batch.standard, batch.standard_is_single
    sweep.width, sweep.stride = batch.width, batch.stride
    sweep.columns, sweep.starts = batch.columns, batch.starts
    sweep.first_rows, sweep.lengths, sweep.offsets = batch.first_rows, batch.lengths, batch.offsets
    sweep.cell, sweep.read_out = work.cell, work.read_out
    sweep.N, sweep.d, sweep.n, sweep.K = N, d, n, K
    sweep.initial = NULL if initial is None else &initial[0, 0]
    sweep.plus = NULL if plus is None else &plus[0, 0]
    sweep.initial_c = NULL if initial_c is None else &initial_c[0, 0]
    sweep.U_b, sweep.W, sweep.biases = U_b, W, W + n * p_s
    sweep.X, sweep.codes, sweep.S, sweep.A, sweep.C = work.X, work.codes, work.S, work.A, work.C
    sweep.at_once, sweep.keeps = sequences_at_once(work.cell, n), work.rows_of_A >= batch.n_rows
    sweep.mask, sweep.H, sweep.steps, sweep.Q = work.mask, work.H, work.steps, work.Q
    if work.symbols:
        i = pack_codes(&sweep, B, work.codes)
        if i >= 0:
            raise ValueError(f"forward: sequence {i} has a symbol whose code is not below {d}; U has a column for each")
    # one number more: with no outputs there would be none
    sweep.scratch = <double*> malloc((room_of_o_step(K) * n_parts + (n + 1) * K + 1) * sizeof(double))
    if sweep.scratch == NULL:
        raise MemoryError
    V_T = <floating*> (sweep.scratch + room_of_o_step(K) * n_parts)
    sweep.V_T = V_T
    for part in range(n_parts):
        sweep.loss[part] = 0
        sweep.n_correct[part] = 0
    with nogil:
        memset(U_b + d * p_x, 0, p_x * sizeof(floating))
        transpose_maps[floating](work, U_b, W, W + n * p_s)
        if work.symbols:
            add_bias(d, p_x, U_b)
        # V_T = [V c].T
        transpose(K, n + 1, <const floating*> work.Psi, n + 1, V_T, K)
        divide(sweep.offsets, N, n_parts, sweep.first)
        run(float_part if floating is float else double_part, &sweep, n_parts)
    free(sweep.scratch)
    if of_targets is None:
        return None
    for part in range(n_parts):
        weighted += sweep.loss[part]
        n_correct += sweep.n_correct[part]
    return weighted / total, n_correct if targets.labels != NULL else None


def forward(_Work work not None, _Batch batch not None, initial=None, plus=None, targets=None, initial_c=None):
    """Roll a minibatch out: a_t = U x_t + W s_{t-1} + b, s_t as the cell makes it of that, q = V h + c, Psi = [V c].

    Step ``t`` of a sequence reads the d numbers that ``batch`` says, those of several rows when there are fewer than d
    columns, and writes to the arrays of ``work``.  s_0 is ``initial`` (B, n), or zero, and so is the first cell state
    ``initial_c`` of cells that have one.  Where the work has codes, the
    observations are symbols: one column of codes below d, uint8 or uint16, each of which stands for a row of the unit
    matrix.

    The read-out says what h is: with "last" the state after the last step; with "mean" and "max" those over a
    sequence's own steps, written to H, and "max" writes to ``steps`` at which step each was; with "each" there is a row
    of Q, of targets and of multipliers for every row of S from ``offsets[1]`` on, zero where that is an initial state.
    Where the work has a mask, what the outputs see is h times the row of their sequence, written to H.
    ``plus``, of the shape of Q, is added to the outputs.  With "none" there are no outputs: another layer reads S.

    With ``targets`` the o-step follows, which writes O_plus and lambda3: they have ``labels`` or ``values``, the other
    being None, ``weights``, rho, ``loss``, its name, and its ``parameter``.  What `output.o_step` returns is returned;
    without, None.
    """
    if work.single:
        return forward_of[float](work, batch, initial, plus, targets, initial_c, <float*> work.Q)
    return forward_of[double](work, batch, initial, plus, targets, initial_c, <double*> work.Q)
