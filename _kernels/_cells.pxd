"""Which cells there are.  The choice is made once for a block of rows; each cell has a module of its own.

A cell makes the state s_t of the pre-activations a_t, which the maps of a layer have made of x_t and s_{t-1}, and it
pulls multipliers of s_t back to those of a_t.  It has no weights.  What calls it need not know what it is.
"""

from cython cimport floating

from admmirnn._kernels._activations cimport TANH, Activation, named
from admmirnn._kernels._elman cimport elman_pull_back, elman_step
from admmirnn._kernels._fastgrnn cimport fastgrnn_pull_back, fastgrnn_step
from admmirnn._kernels._gru cimport gru_pull_back, gru_step
from admmirnn._kernels._lstm cimport lstm_pull_back, lstm_step
from admmirnn._kernels._ugrnn cimport ugrnn_pull_back, ugrnn_step


cdef enum Kind:
    ELMAN
    FASTGRNN
    UGRNN
    GRU
    LSTM


cdef struct Cell:
    Kind kind
    Activation f                                  # of elman


cdef inline Cell cell_of(described) except *:
    """The cell that an object describes: its ``name``, and what belongs to a cell of that name."""
    cdef Cell cell
    cell.f = TANH
    if described.name == "elman":
        cell.kind, cell.f = ELMAN, named(described.activation)
    elif described.name == "fastgrnn":
        cell.kind = FASTGRNN
    elif described.name == "ugrnn":
        cell.kind = UGRNN
    elif described.name == "gru":
        cell.kind = GRU
    elif described.name == "lstm":
        cell.kind = LSTM
    else:
        raise ValueError(f"cell {described.name!r} has no kernel")
    return cell


cdef inline void step(Cell cell, Py_ssize_t rows, Py_ssize_t n, floating* A) noexcept nogil:
    """s_t of these sequences, in the place of their a_t."""
    if cell.kind == ELMAN:
        elman_step(cell.f, rows, n, A)


cdef inline void pull_back(Cell cell, Py_ssize_t rows, Py_ssize_t n, const floating* kept, const floating* more,
                           floating* multipliers, double* squares, double* squares_of_more) noexcept nogil:
    """lambda1_t = (ds_t/da_t)^T (lambda2_t + more), in the place of lambda2_t, the multipliers of s_t.

    ``kept`` is what the cell has kept of the step.  ``more`` is NULL, or what the outputs inject.  ``squares`` are
    those of lambda1_t, summed up sequence by sequence, ``squares_of_more`` those of its part that comes from ``more``.
    """
    if cell.kind == ELMAN:
        elman_pull_back(cell.f, rows, n, kept, more, multipliers, squares, squares_of_more)


cdef inline void gated_step(Cell cell, Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda,
                            const floating* s_before, const floating* biases, const floating* c_before,
                            floating* states, floating* c) noexcept nogil:
    """s_t of these sequences, of a cell with gates; what it keeps of the step takes the place of A.

    Rows of A are lda numbers apart, room for what is kept, and pre-activations are the first of them.  ``biases`` are
    those that no map adds, of fastgrnn; ``c`` is c_t, of lstm.  Neither s_t nor c_t takes the place of the one before.
    """
    if cell.kind == FASTGRNN:
        fastgrnn_step(rows, n, A, lda, s_before, biases, c_before, states, c)
    elif cell.kind == UGRNN:
        ugrnn_step(rows, n, A, lda, s_before, biases, c_before, states, c)
    elif cell.kind == GRU:
        gru_step(rows, n, A, lda, s_before, biases, c_before, states, c)
    elif cell.kind == LSTM:
        lstm_step(rows, n, A, lda, s_before, biases, c_before, states, c)


cdef inline void gated_pull_back(Cell cell, Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda,
                                 const floating* s_before, const floating* c_before, const floating* c,
                                 floating* multipliers, floating* lambda_c) noexcept nogil:
    """Multipliers of the pre-activations of a cell with gates, in the place of what it has kept of the step.

    ``multipliers``, in those of s_t, are left as the part of those of s_{t-1} that skips the maps; lstm has none, and
    leaves them alone.  Of lstm, ``lambda_c`` are those of c_t that come from step t + 1, and then those of c_{t-1}.
    """
    if cell.kind == FASTGRNN:
        fastgrnn_pull_back(rows, n, A, lda, s_before, c_before, c, multipliers, lambda_c)
    elif cell.kind == UGRNN:
        ugrnn_pull_back(rows, n, A, lda, s_before, c_before, c, multipliers, lambda_c)
    elif cell.kind == GRU:
        gru_pull_back(rows, n, A, lda, s_before, c_before, c, multipliers, lambda_c)
    elif cell.kind == LSTM:
        lstm_pull_back(rows, n, A, lda, s_before, c_before, c, multipliers, lambda_c)
