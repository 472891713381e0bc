from admmirnn._kernels._cells cimport Cell

cdef struct Sums:                                 # of a part, in numbers from their start; of_x and such in `Cell`
    Py_ssize_t L_x                                # (d + 1, of_x n): [x 1]^T lambda1
    Py_ssize_t L_s                                # (of_s n, n): lambda1^T s
    Py_ssize_t L_b                                # (n_biases n,): lambda1 of the other biases, summed up
    Py_ssize_t block                              # columns of x in a block of G, or 0 where G is one
    Py_ssize_t G_x                                # (d + 1, d + 1), lower triangle; none of symbols; or its blocks of x
    Py_ssize_t G_sx                               # (n, d + 1); of symbols G_xs (d, n + 1); with blocks G_1s (n + 1,)
    Py_ssize_t G_s                                # (n, n), lower triangle
    Py_ssize_t output_L                           # (K, n + 1): lambda3^T [h 1]
    Py_ssize_t output_G                           # (n + 1, n + 1), lower triangle but for the last number, a count
    Py_ssize_t end                                # of what is summed up over parts
    Py_ssize_t R                                  # of each map (p, p), lower triangle
    Py_ssize_t gathered                           # (rows_at_once, width_of n): multipliers that R is to take
    Py_ssize_t piece                              # (rows_at_once, n): scratch
    Py_ssize_t scaled                             # (rows_at_once, n), or more columns, of x: rows times roots
    Py_ssize_t total

cdef Sums sums_of_part(Cell cell, Py_ssize_t d, Py_ssize_t n, Py_ssize_t K, bint symbols,
                       Py_ssize_t block) noexcept nogil
cdef Py_ssize_t numbers_of_R(Cell cell, Py_ssize_t n) noexcept nogil
