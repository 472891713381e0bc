"""Which cells there are.  The choice is made once for a block of rows; each cell has a module of its own.

A cell makes the state s_t of the pre-activations a_t, which the maps of a layer have made of x_t and s_{t-1}, and it
pulls multipliers of s_t back to those of a_t.  It has no weights.  What calls it need not know what it is, but for its
sizes: pre-activations are a row of ``of_a`` n columns for each step of each sequence, of which the first ``of_x`` n
take [x 1], and the last ``of_s`` n take s.  In the same row the cell leaves what it keeps of the step, and the backward
sweep the multipliers of the pre-activations.  With `elman` the row is that of the state itself, and nothing is kept.
"""

from cython cimport floating

from admmirnn._kernels._activations cimport Activation, named
from admmirnn._kernels._elman cimport elman_pull_back, elman_step
from admmirnn._kernels._fastgrnn cimport fastgrnn_pull_back, fastgrnn_step
from admmirnn._kernels._gru cimport gru_pull_back, gru_step
from admmirnn._kernels._lstm cimport lstm_pull_back, lstm_step
from admmirnn._kernels._ugrnn cimport ugrnn_pull_back, ugrnn_step


cdef enum:
    MOST_MAPS = 3


cdef enum Kind:
    ELMAN
    FASTGRNN
    UGRNN
    GRU
    LSTM


cdef struct MapOf:                                # where a map's rows are among the columns, all in units of n
    int first                                     # of its pre-activations, and of their multipliers
    int rows
    bint has_x                                    # whether it takes x_t
    bint has_s                                    # whether it takes s_{t-1}
    int n_ones                                    # its columns of biases; with two of them it makes two equations a row


cdef struct Cell:
    Kind kind
    Activation f                                  # of elman
    int of_a, of_x, of_s                          # columns of pre-activations, in units of n
    int kept                                      # columns of what is kept, or 0
    int n_biases                                  # biases that are not those of [x 1]
    bint shares                                   # the equations of its one map share the rows of that
    bint has_c                                    # a cell state is carried beside the state
    int n_maps
    MapOf[MOST_MAPS] maps


cdef inline MapOf map_of(int first, int rows, bint has_x, bint has_s, int n_ones) noexcept nogil:
    cdef MapOf map
    map.first, map.rows, map.has_x, map.has_s, map.n_ones = first, rows, has_x, has_s, n_ones
    return map


cdef inline Cell cell_of(described) except *:
    """The cell that an object describes: its ``name``, and what belongs to a cell of that name."""
    cdef Cell cell
    cell.f, cell.n_biases, cell.shares, cell.has_c, cell.n_maps = named("tanh"), 0, False, False, 1
    if described.name == "elman":
        cell.kind, cell.f = ELMAN, named(described.activation)
        cell.of_a, cell.of_x, cell.of_s, cell.kept = 1, 1, 1, 0
        cell.maps[0] = map_of(0, 1, True, True, 1)
    elif described.name == "fastgrnn":            # one product for two equations
        cell.kind, cell.shares = FASTGRNN, True
        cell.of_a, cell.of_x, cell.of_s, cell.kept, cell.n_biases = 1, 1, 1, 2, 2
        cell.maps[0] = map_of(0, 1, True, True, 2)
    elif described.name == "ugrnn":
        cell.kind = UGRNN
        cell.of_a, cell.of_x, cell.of_s, cell.kept = 2, 2, 2, 2
        cell.maps[0] = map_of(0, 2, True, True, 1)
    elif described.name == "gru":
        cell.kind = GRU
        cell.of_a, cell.of_x, cell.of_s, cell.kept, cell.n_biases, cell.n_maps = 4, 3, 3, 4, 1, 3
        cell.maps[0] = map_of(1, 2, True, True, 1)
        cell.maps[1] = map_of(0, 1, True, False, 1)
        cell.maps[2] = map_of(3, 1, False, True, 1)
    elif described.name == "lstm":
        cell.kind, cell.has_c = LSTM, True
        cell.of_a, cell.of_x, cell.of_s, cell.kept = 4, 4, 4, 4
        cell.maps[0] = map_of(0, 4, True, True, 1)
    else:
        raise ValueError(f"cell {described.name!r} has no kernel; pass 'elman', 'fastgrnn', 'ugrnn', 'gru' or 'lstm'")
    return cell


cdef inline Py_ssize_t columns_of(MapOf map, Py_ssize_t d, Py_ssize_t n) noexcept nogil:
    """How many columns the map's matrix has."""
    return (d if map.has_x else 0) + (n if map.has_s else 0) + map.n_ones


cdef inline Py_ssize_t width_of(Cell cell) noexcept nogil:
    """How many columns of multipliers there are, one for each equation, in units of n."""
    return max(cell.kept, 1)


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

    Rows of A are lda numbers apart, room for what is kept, and pre-activations are the first of them.  ``states`` is
    other memory than ``s_before``.  ``biases`` are those that no map adds, of fastgrnn; ``c`` is c_t of lstm, which
    may be in the place of c_{t-1}.
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
                                 floating* multipliers, floating* lambda_c, floating* sums) noexcept nogil:
    """Multipliers of the equations of a cell with gates, in the place of what it has kept of the step.

    ``multipliers``, in those of s_t, are left as the part of those of s_{t-1} that skips the maps; lstm has none, and
    leaves them alone.  Of lstm, ``lambda_c`` are those of c_t that come from step t + 1, and then those of c_{t-1}.
    Of a cell whose equations share the rows of a map, ``sums`` (rows, n) are the sums of their multipliers: those of
    the pre-activations.  Of others they are those of the equations.
    """
    if cell.kind == FASTGRNN:
        fastgrnn_pull_back(rows, n, A, lda, s_before, multipliers, sums)
    elif cell.kind == UGRNN:
        ugrnn_pull_back(rows, n, A, lda, s_before, c_before, c, multipliers, lambda_c)
    elif cell.kind == GRU:
        gru_pull_back(rows, n, A, lda, s_before, c_before, c, multipliers, lambda_c)
    elif cell.kind == LSTM:
        lstm_pull_back(rows, n, A, lda, s_before, c_before, c, multipliers, lambda_c)
