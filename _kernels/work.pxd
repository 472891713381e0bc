from libc.stdint cimport int32_t

from admmirnn._kernels._arrays cimport Holder
from admmirnn._kernels._cells cimport MOST_MAPS, Cell
from admmirnn._kernels._layout cimport ReadOut
from admmirnn._kernels.batch cimport _Batch


cdef class _Work(Holder):
    cdef Py_ssize_t d, n, K
    cdef Cell cell
    cdef ReadOut read_out
    cdef bint symbols
    cdef Py_ssize_t gram_block                    # columns of x in a block of G, or 0 where G is one
    cdef Py_ssize_t n_threads
    cdef const void* maps[MOST_MAPS]             # the matrices of weights
    cdef const void* Psi                          # (K, n + 1)
    cdef void* weights_T                          # scratch: all maps, transposed
    cdef void* X                                  # (rows_of_X, d + 1), or NULL
    cdef int32_t* codes                           # (rows_of_X,), or NULL
    cdef void* S                                  # (rows_of_S, n)
    cdef void* A                                  # (rows_of_A, kept n), or NULL
    cdef void* C                                  # (rows_of_S, n), or NULL
    cdef void* Q                                  # (rows_of_Q, K)
    cdef const void* mask                         # (rows_of_mask, n), or NULL
    cdef void* H                                  # (rows_of_H, n), or NULL
    cdef int32_t* steps                           # (rows_of_H, n), or NULL
    cdef void* O_plus                             # (rows_of_lambda3, K), or NULL
    cdef void* lambda3                            # (rows_of_lambda3, K), or NULL
    cdef void* lambda1                            # (rows_of_lambda1, n), or NULL
    cdef void* lambda_c                           # (rows_of_lambda_c, n), or NULL
    cdef void* initial_multipliers                # (rows_of_initial, n), or NULL
    cdef const void* lambda_s                     # (rows_of_lambda_s, n): of the states, from the layer above, or NULL
    cdef void* lambda_x                           # (rows_of_lambda_x, d): of the observations, or NULL
    cdef void* sums                               # (room_of_sums,), or NULL
    cdef double* counts                           # (COUNTS,), and R after them, or NULL
    cdef double* R                                # of each map (p, p), or NULL
    cdef Py_ssize_t rows_of_X, rows_of_S, rows_of_A, rows_of_Q, rows_of_H, rows_of_mask, rows_of_lambda3
    cdef Py_ssize_t rows_of_lambda1, rows_of_lambda_s, rows_of_lambda_x, rows_of_lambda_c, rows_of_initial, room_of_sums

cdef enum Count:                                  # what sums are of
    TARGETS                                       # that L is of
    GRAM_ROWS                                     # states in G
    OUTPUT_ROWS                                   # of the output layer's G
    R_ROWS                                        # multipliers in R
    COUNTS                                        # how many there are

cdef bint has_room(_Work work, _Batch batch) noexcept nogil
cdef list needs(_Work work, _Batch batch)
cdef Py_ssize_t sequences_at_once(Cell cell, Py_ssize_t n) noexcept nogil
