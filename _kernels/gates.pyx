"""A step of a cell with gates for a block of rows, and the way back: what `_cells` does, for arrays."""

from cython cimport floating

from admmirnn._kernels._arrays cimport misfit
from admmirnn._kernels._cells cimport ELMAN, FASTGRNN, Cell, cell_of, gated_pull_back, gated_step


cdef bint fits(const floating[:, ::1] array, bint expected, Py_ssize_t rows, Py_ssize_t columns):
    """Whether an array that may be None is one, and of that shape, if it is expected, and None otherwise."""
    if array is None or not expected:
        return array is None and not expected
    return array.shape[0] == rows and array.shape[1] == columns


cdef Cell cell_with_gates(described) except *:
    cdef Cell cell = cell_of(described)
    if cell.kind == ELMAN:
        raise ValueError(f"cell {described.name!r} has no gates; pass 'fastgrnn', 'ugrnn', 'gru' or 'lstm'")
    return cell


def step_rows(cell, floating[:, ::1] A, const floating[:, ::1] s_before, const floating[::1] biases,
              const floating[:, ::1] c_before, floating[:, ::1] states_out, floating[:, ::1] c_out):
    """s_t, and c_t if the cell has it, of pre-activations, the first columns of ``A``, in which gates are kept."""
    cdef Cell of_kernel = cell_with_gates(cell)
    cdef Py_ssize_t rows = s_before.shape[0], n = s_before.shape[1], kept = of_kernel.kept * n
    cdef Py_ssize_t n_biases = 2 * n if of_kernel.kind == FASTGRNN else 0
    cdef bint has_c = of_kernel.has_c
    if not fits[floating](A, True, rows, kept) or not fits[floating](states_out, True, rows, n) \
            or not fits[floating](c_before, has_c, rows, n) or not fits[floating](c_out, has_c, rows, n) \
            or (0 if biases is None else biases.shape[0]) != n_biases:
        states = <object> (rows, n) if has_c else None
        raise misfit("step_rows", [
            ("A", A, (rows, kept)), ("states_out", states_out, (rows, n)), ("c_before", c_before, states),
            ("c_out", c_out, states), ("biases", biases, <object> (n_biases,) if n_biases else None)], "")
    if rows and n:
        with nogil:
            gated_step(of_kernel, rows, n, &A[0, 0], A.shape[1], &s_before[0, 0], &biases[0] if n_biases else NULL,
                       &c_before[0, 0] if has_c else NULL, &states_out[0, 0], &c_out[0, 0] if has_c else NULL)


def pull_back_rows(cell, floating[:, ::1] A, const floating[:, ::1] s_before, const floating[:, ::1] c_before,
                   const floating[:, ::1] c, floating[:, ::1] multipliers, floating[:, ::1] lambda_c,
                   floating[:, ::1] sums_out=None):
    """Multipliers of the cell's equations in the place of what `step_rows` has kept in ``A``.

    ``multipliers``, in those of s_t, are left as those that s_{t-1} has from s_t past all maps.  A cell that carries
    c_t has none, and leaves them alone; its ``lambda_c``, in those of c_t from step t + 1, become those of c_{t-1}.
    Where equations share the rows of a map, ``sums_out`` are the multipliers of what that makes, the sums of theirs.
    """
    cdef Cell of_kernel = cell_with_gates(cell)
    cdef Py_ssize_t rows = s_before.shape[0], n = s_before.shape[1], kept = of_kernel.kept * n
    cdef bint has_c = of_kernel.has_c
    if not fits[floating](A, True, rows, kept) or not fits[floating](multipliers, True, rows, n) \
            or not fits[floating](c_before, has_c, rows, n) or not fits[floating](c, has_c, rows, n) \
            or not fits[floating](lambda_c, has_c, rows, n) \
            or not fits[floating](sums_out, of_kernel.shares, rows, n):
        states = <object> (rows, n) if has_c else None
        raise misfit("pull_back_rows", [
            ("A", A, (rows, kept)), ("multipliers", multipliers, (rows, n)), ("c_before", c_before, states),
            ("c", c, states), ("lambda_c", lambda_c, states),
            ("sums_out", sums_out, <object> (rows, n) if of_kernel.shares else None)], "")
    if rows and n:
        with nogil:
            gated_pull_back(of_kernel, rows, n, &A[0, 0], A.shape[1], &s_before[0, 0],
                            &c_before[0, 0] if has_c else NULL, &c[0, 0] if has_c else NULL, &multipliers[0, 0],
                            &lambda_c[0, 0] if has_c else NULL, &sums_out[0, 0] if of_kernel.shares else NULL)
