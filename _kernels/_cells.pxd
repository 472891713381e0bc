"""Which cells there are.  The choice is made once for a block of rows; each cell has a module of its own.

A cell makes the state s_t of the pre-activations a_t, which the maps of a layer have made of x_t and s_{t-1}, and it
pulls multipliers of s_t back to those of a_t.  It has no weights.  What calls it need not know what it is.
"""

from cython cimport floating

from admmirnn._kernels._activations cimport Activation, named
from admmirnn._kernels._elman cimport elman_pull_back, elman_step


cdef enum Kind:
    ELMAN


cdef struct Cell:
    Kind kind
    Activation f                                  # of elman


cdef inline Cell cell_of(described) except *:
    """The cell that an object describes: its ``name``, and what belongs to a cell of that name."""
    cdef Cell cell
    if described.name == "elman":
        cell.kind, cell.f = ELMAN, named(described.activation)
        return cell
    raise ValueError(f"cell {described.name!r} has no kernel")


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
