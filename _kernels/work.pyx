"""What a network works on: its weights, and the arrays that sweeps write to, of the largest minibatch that there is."""

from libc.stdint cimport int32_t

from admmirnn._kernels._arrays cimport ANY, CODE, DOUBLE, FLOATING, VECTOR, Holder
from admmirnn._kernels._blas cimport rows_at_once
from admmirnn._kernels._cells cimport Cell, cell_of, columns_of
from admmirnn._kernels._layout cimport EACH, MAX, MEAN, MOST, NONE, read_out_named
from admmirnn._kernels.batch cimport _Batch, n_outputs_of
from admmirnn._kernels.statistics cimport numbers_of_R


cdef class _Work(Holder):
    """The weights and the arrays of a network; see ``work``."""

    def __cinit__(self, room):
        cdef Py_ssize_t d = room.d, n = room.n, K = room.K
        cdef Cell cell
        cdef int i
        self.owner = b"work"
        self.d, self.n, self.K, self.n_threads = d, n, K, room.n_threads
        self.cell, self.read_out = cell_of(room.cell), read_out_named(room.read_out)
        cell = self.cell
        self.symbols, self.gram_block = room.codes is not None, room.gram_block
        if d < 1 or n < 1 or (K != 0 if self.read_out == NONE else K < 1) or self.n_threads < 1 \
                or self.symbols != (room.X is None) or (room.O_plus is None) != (room.lambda3 is None) \
                or (self.symbols and room.lambda_x is not None) or self.gram_block < 0 \
                or (self.symbols and self.gram_block > 0) or max(d, n, K, self.gram_block, self.n_threads) > MOST:
            raise ValueError(
                f"work: d is {d}, n is {n}, K is {K} and n_threads is {self.n_threads}, which must be at least 1, and "
                f"K 0 with the read-out 'none'; gram_block is {self.gram_block}, which must be at least 0, and 0 with "
                f"symbols; none may be above {<int> MOST}; O_plus and lambda3 must both be given or both be None, and "
                "of codes and X exactly one, with lambda_x None where it is codes")
        if len(room.maps) != cell.n_maps:
            raise ValueError(f"work: maps has {len(room.maps)} matrices; the cell has {cell.n_maps} maps")
        for i in range(cell.n_maps):
            self.maps[i] = self.hold(room.maps[i], f"maps[{i}]", FLOATING, False, cell.maps[i].rows * n,
                                     columns_of(cell.maps[i], d, n))
        self.weights_T = self.hold(room.weights_T, "weights_T", FLOATING, True,
                                   (d + 1) * cell.of_x + cell.of_s * n + cell.n_biases, n)
        if self.symbols:
            self.codes = <int32_t*> self.hold(room.codes, "codes", CODE, True, ANY, VECTOR)
        else:
            self.X = self.hold(room.X, "X", FLOATING, True, ANY, d + 1)
        self.rows_of_X = self.rows
        self.S = self.hold(room.S, "S", FLOATING, True, ANY, n)
        self.rows_of_S = self.rows
        if cell.kept > 0:
            self.A = self.hold(room.A, "A", FLOATING, True, ANY, cell.kept * n)
            self.rows_of_A = self.rows
        if cell.has_c:
            self.C = self.hold(room.C, "C", FLOATING, True, self.rows_of_S, n)
        if self.read_out != NONE:
            self.Psi = self.hold(room.Psi, "Psi", FLOATING, False, K, n + 1)
            self.Q = self.hold(room.Q, "Q", FLOATING, True, ANY, K)
            self.rows_of_Q = self.rows
            if room.mask is not None:
                self.mask = self.hold(room.mask, "mask", FLOATING, False, ANY, n)
                self.rows_of_mask = self.rows
        if self.read_out == MEAN or self.read_out == MAX or self.mask != NULL:
            self.H = self.hold(room.H, "H", FLOATING, True, ANY, n)
            self.rows_of_H = self.rows
        if self.read_out == MAX:
            self.steps = <int32_t*> self.hold(room.steps, "steps", CODE, True, self.rows_of_H, n)
        if room.O_plus is not None:
            self.O_plus = self.hold(room.O_plus, "O_plus", FLOATING, True, ANY, K)
            self.rows_of_lambda3 = self.rows
            self.lambda3 = self.hold(room.lambda3, "lambda3", FLOATING, True, self.rows_of_lambda3, K)
        if room.lambda1 is not None:
            self.lambda1 = self.hold(room.lambda1, "lambda1", FLOATING, True, ANY, n)
            self.rows_of_lambda1 = self.rows
            self.sums = self.hold(room.sums, "sums", FLOATING, True, ANY, VECTOR)
            self.room_of_sums = self.rows
            self.counts = <double*> self.hold(room.counts, "counts", DOUBLE, True, ANY, VECTOR)
            if self.rows != COUNTS and self.rows != COUNTS + numbers_of_R(cell, n):
                raise ValueError(f"work: counts has {self.rows} numbers; it must have {<int> COUNTS}, or with room "
                                 f"for R {<int> COUNTS + numbers_of_R(cell, n)}")
            if self.rows > COUNTS:
                self.R = self.counts + COUNTS
            if cell.has_c:
                self.lambda_c = self.hold(room.lambda_c, "lambda_c", FLOATING, True, ANY, n)
                self.rows_of_lambda_c = self.rows
        if room.initial_multipliers is not None:
            self.initial_multipliers = self.hold(room.initial_multipliers, "initial_multipliers", FLOATING, True, ANY,
                                                 n)
            self.rows_of_initial = self.rows
        if room.lambda_s is not None:
            self.lambda_s = self.hold(room.lambda_s, "lambda_s", FLOATING, False, ANY, n)
            self.rows_of_lambda_s = self.rows
        if room.lambda_x is not None:
            self.lambda_x = self.hold(room.lambda_x, "lambda_x", FLOATING, True, ANY, d)
            self.rows_of_lambda_x = self.rows


def work(room):
    """What `forward` and `backward` work on: a network of one layer, and arrays of the largest minibatch there is.

    ``room`` has the sizes d, n and K; ``maps``, the matrices of the cell, of `elman` [U W b] (n, d + n + 1), and
    ``Psi`` = [V c] (K, n + 1), which are looked at anew in every call; ``cell``, an object with its name; ``read_out``,
    a name; ``n_threads``; ``gram_block``, how many columns of x a block of G has, or 0 where G has all products of
    [x s 1], or x are symbols; and the arrays, sizes such as ``kept`` being those of the cell (`_cells`):

    * ``X`` (rows, d + 1) or, of symbols, ``codes`` (rows,), the other one being None, and ``S`` (rows + B, n);
    * ``A`` (rows, kept n), what the cell keeps of each step, or, if nothing is passed back, of one step of as many
      sequences as threads work on at a time, see `scratch_rows`; ``C`` (rows + B, n), cell states, as S; or None;
    * ``Q`` (outputs, K), and ``O_plus`` and ``lambda3`` of that shape, or None where there are no targets;
    * ``H`` (B, n), pooled states, and ``steps`` (B, n), int32, at which step the largest was, or None;
    * ``mask`` (B, n), what the outputs' view of the states of each sequence is multiplied by, or None; where there is
      one, ``H`` holds what they see with every read-out, a row for each output;
    * ``lambda1`` with a row for each step of each sequence, or 2 B rows when the multipliers are not wanted,
      ``initial_multipliers`` (B, n), those of s_0, or None, ``sums``, as many numbers as `backward_room` says, and
      ``counts`` in float64, as many as `counts_room` says, and ``lambda_c`` (B, n), multipliers of cell states; or
      None where nothing is passed back.  A cell that keeps something has the multipliers of its equations in A, and in
      ``lambda1``, of 2 B rows, those of s_t, and of 3 B rows, where equations share rows, also those of a_t;
    * ``lambda_s`` (rows, n), multipliers of the states, which the layer above has found, and ``lambda_x`` (rows, d),
      those of the observations, for the layer below; or None where there is no such layer;
    * ``weights_T`` ((d + 1) of_x + of_s n + n_biases, n): scratch.

    With the read-out "none" another layer reads the states: K is 0, and there is no Psi and no Q.

    A smaller minibatch uses the first rows.  The memory of all of them is held as long as the object lives.
    """
    return _Work(room)


cdef Py_ssize_t sequences_at_once(Cell cell, Py_ssize_t n) noexcept nogil:
    """How many sequences are rolled out together, few enough for their states to stay in the cache."""
    return rows_at_once(cell.of_s * n, n)


def scratch_rows(cell, Py_ssize_t n, Py_ssize_t n_threads):
    """How many rows of A, at most, a forward sweep needs that no backward sweep follows; 0 if the cell has none."""
    cdef Cell of = cell_of(cell)
    return sequences_at_once(of, n) * n_threads if of.kept > 0 else 0


cdef bint has_room(_Work work, _Batch batch) noexcept nogil:
    """Whether all that a forward sweep writes of this minibatch has a place."""
    if work.cell.kept > 0 \
            and work.rows_of_A < min(batch.n_rows, sequences_at_once(work.cell, work.n) * work.n_threads):
        return False
    return work.rows_of_X >= batch.n_rows and work.rows_of_S >= batch.n_rows + batch.B \
        and (work.read_out == NONE or work.rows_of_Q >= n_outputs_of(batch, work.read_out == EACH)) \
        and (work.H == NULL or work.rows_of_H >= n_outputs_of(batch, work.read_out == EACH)) \
        and (work.mask == NULL or work.rows_of_mask >= batch.B)


cdef list needs(_Work work, _Batch batch):
    """What `has_room` asks for, as `misfit` names it: an array's name, its shape and the one that is needed."""
    cdef Py_ssize_t n = work.n, n_outputs = 0 if work.read_out == NONE else n_outputs_of(batch, work.read_out == EACH)
    found = [("S", (work.rows_of_S, n), ((batch.n_rows + batch.B,), n))]
    if work.symbols:
        found.append(("codes", (work.rows_of_X,), ((batch.n_rows,),)))
    else:
        found.append(("X", (work.rows_of_X, work.d + 1), ((batch.n_rows,), work.d + 1)))
    if work.cell.kept > 0:
        found.append(("A", (work.rows_of_A, work.cell.kept * n),
                      ((min(batch.n_rows, sequences_at_once(work.cell, n) * work.n_threads),), work.cell.kept * n)))
    if work.read_out != NONE:
        found.append(("Q", (work.rows_of_Q, work.K), ((n_outputs,), work.K)))
    if work.H != NULL:
        found.append(("H", (work.rows_of_H, n), ((n_outputs,), n)))
    if work.mask != NULL:
        found.append(("mask", (work.rows_of_mask, n), ((batch.B,), n)))
    return found
