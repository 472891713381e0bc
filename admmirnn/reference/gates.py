"""The twin of ``_kernels/gates.pyx``: a step of a cell with gates for a block of rows, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from admmirnn._typing import FloatArray, GatedCell


def step_rows(
    cell: GatedCell,
    A: FloatArray,
    s_before: FloatArray,
    biases: FloatArray | None,
    c_before: FloatArray | None,
    states_out: FloatArray,
    c_out: FloatArray | None,
) -> None:
    """s_t, and c_t if the cell has it, of pre-activations, the first columns of ``A``, in which gates are kept."""
    kept, states_out[:], c = cell.step(A[:, : cell.n_columns * s_before.shape[1]], s_before, biases, c_before)
    A[:] = kept
    if c_out is not None:
        c_out[:] = c


def pull_back_rows(
    cell: GatedCell,
    A: FloatArray,
    s_before: FloatArray,
    c_before: FloatArray | None,
    c: FloatArray | None,
    multipliers: FloatArray,
    lambda_c: FloatArray | None,
    sums_out: FloatArray | None = None,
) -> None:
    """Multipliers of the cell's equations in the place of what `step_rows` has kept in ``A``.

    ``multipliers``, in those of s_t, are left as those that s_{t-1} has from s_t past all maps.  A cell that carries
    c_t has none, and leaves them alone; its ``lambda_c``, in those of c_t from step t + 1, become those of c_{t-1}.
    Where equations share the rows of a map, ``sums_out`` are the multipliers of what that makes, the sums of theirs.
    """
    A[:], direct, of_c_before = cell.pull_back(A, s_before, multipliers, c_before, c, lambda_c)
    if sums_out is not None:
        sums_out[:] = A.reshape(len(A), -1, s_before.shape[1]).sum(axis=1)
    if lambda_c is None:
        multipliers[:] = direct
    else:
        lambda_c[:] = of_c_before
