"""What a network works on: its weights, and the arrays that sweeps write to, of the largest minibatch that there is."""

from libc.stdint cimport int32_t

from admmirnn._kernels._arrays cimport ANY, CODE, DOUBLE, FLOATING, VECTOR, Holder
from admmirnn._kernels._cells cimport cell_of
from admmirnn._kernels._layout cimport EACH, MAX, MEAN, NONE, read_out_named
from admmirnn._kernels.batch cimport _Batch, n_outputs_of


cdef class _Work(Holder):
    """The weights and the arrays of a network; see ``work``."""

    def __cinit__(self, room):
        cdef Py_ssize_t d = room.d, n = room.n, K = room.K
        self.owner = b"work"
        self.d, self.n, self.K, self.n_threads = d, n, K, room.n_threads
        self.cell, self.read_out = cell_of(room.cell), read_out_named(room.read_out)
        self.symbols = room.codes is not None
        if d < 1 or n < 1 or (K != 0 if self.read_out == NONE else K < 1) or self.n_threads < 1 \
                or self.symbols != (room.X is None) or (room.O_plus is None) != (room.lambda3 is None) \
                or (self.symbols and room.lambda_x is not None):
            raise ValueError("work: sizes and arrays do not belong together")
        self.Theta = self.hold(room.Theta, "Theta", FLOATING, False, n, d + n + 1)
        self.weights_T = self.hold(room.weights_T, "weights_T", FLOATING, True, d + 1 + n, n)
        if self.symbols:
            self.codes = <int32_t*> self.hold(room.codes, "codes", CODE, True, ANY, VECTOR)
        else:
            self.X = self.hold(room.X, "X", FLOATING, True, ANY, d + 1)
        self.rows_of_X = self.rows
        self.S = self.hold(room.S, "S", FLOATING, True, ANY, n)
        self.rows_of_S = self.rows
        if self.read_out != NONE:
            self.Psi = self.hold(room.Psi, "Psi", FLOATING, False, K, n + 1)
            self.Q = self.hold(room.Q, "Q", FLOATING, True, ANY, K)
            self.rows_of_Q = self.rows
        if self.read_out == MEAN or self.read_out == MAX:
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
            if self.rows != COUNTS and self.rows != COUNTS + n * n:
                raise ValueError("work: the shapes do not belong together, that of counts and the sizes")
            if self.rows > COUNTS:
                self.R = self.counts + COUNTS
        if room.initial_multipliers is not None:
            self.initial_multipliers = self.hold(room.initial_multipliers, "those of s_0", FLOATING, True, ANY, n)
            self.rows_of_initial = self.rows
        if room.lambda_s is not None:
            self.lambda_s = self.hold(room.lambda_s, "lambda_s", FLOATING, False, ANY, n)
            self.rows_of_lambda_s = self.rows
        if room.lambda_x is not None:
            self.lambda_x = self.hold(room.lambda_x, "lambda_x", FLOATING, True, ANY, d)
            self.rows_of_lambda_x = self.rows


def work(room):
    """What `forward` and `backward` work on: a network of one layer, and arrays of the largest minibatch there is.

    ``room`` has the sizes d, n and K; ``Theta`` = [U W b] (n, d + n + 1) and ``Psi`` = [V c] (K, n + 1), which are
    looked at anew in every call; ``cell``, an object with its name; ``read_out``, a name; ``n_threads``; and the arrays

    * ``X`` (rows, d + 1) or, of symbols, ``codes`` (rows,), the other one being None, and ``S`` (rows + B, n);
    * ``Q`` (outputs, K), and ``O_plus`` and ``lambda3`` of that shape, or None where there are no targets;
    * ``H`` (B, n), pooled states, and ``steps`` (B, n), int32, at which step the largest was, or None;
    * ``lambda1`` with a row for each step of each sequence, or 2 B rows when the multipliers are not wanted,
      ``initial_multipliers`` (B, n), those of s_0, or None, ``sums``, as many numbers as `backward_room` says, and
      ``counts`` in float64, as many as `counts_room` says; or None where nothing is passed back;
    * ``lambda_s`` (rows, n), multipliers of the states, which the layer above has found, and ``lambda_x`` (rows, d),
      those of the observations, for the layer below; or None where there is no such layer;
    * ``weights_T`` (d + 1 + n, n): scratch.

    With the read-out "none" another layer reads the states: K is 0, and there is no Psi and no Q.

    A smaller minibatch uses the first rows.  The memory of all of them is held as long as the object lives.
    """
    return _Work(room)


cdef bint has_room(_Work work, _Batch batch) noexcept nogil:
    """Whether all that a forward sweep writes of this minibatch has a place."""
    return work.rows_of_X >= batch.n_rows and work.rows_of_S >= batch.n_rows + batch.B \
        and (work.read_out == NONE or work.rows_of_Q >= n_outputs_of(batch, work.read_out == EACH)) \
        and (work.H == NULL or work.rows_of_H >= batch.B)
