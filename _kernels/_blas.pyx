"""The one module that knows BLAS and LAPACK, and their column-major order and integer type.

Every matrix here is row-major; ``ld`` is the distance between the first elements of two rows.  A row-major
matrix is its own transpose in column-major order, so a product C = A B is asked for as C' = B' A', and the
lower triangle of a symmetric matrix is the upper one.
"""

from cython cimport floating
from scipy.linalg.cython_blas cimport sdot, ddot, sgemm, dgemm, sgemv, dgemv, sger, dger, ssymm, dsymm, ssyrk, dsyrk
from scipy.linalg.cython_blas cimport strsm, dtrsm
from scipy.linalg.cython_lapack cimport spotrf, dpotrf

cdef Py_ssize_t LONGEST_VECTOR = 1 << 30          # longer ones go to BLAS in pieces: its int has 32 bits
cdef Py_ssize_t FEWEST_ROWS = 256                 # of a large product: enough for BLAS to be fast,
cdef Py_ssize_t MOST_ROWS = 512                   # few enough for the cache
cdef Py_ssize_t WIDEST_OF_PANELS = 128            # a Gram matrix that products of panels make sooner than ?syrk
cdef Py_ssize_t small_product = 0                 # see multiplies_small_matrices


def multiplies_small_matrices(Py_ssize_t most):
    """Say that BLAS multiplies matrices with m n k <= ``most`` as they lie, without packing them first; 0: it does not.

    Such products A B and A^T B reach the speed of large ones from some 40 rows on, so larger ones are cut to that size.
    """
    global small_product
    small_product = most


cdef Py_ssize_t rows_at_once(Py_ssize_t n, Py_ssize_t k) noexcept nogil:
    """Into how many rows to cut a product with a (k, n) matrix from the left, A B, or from the right, A^T B."""
    cdef Py_ssize_t rows = small_product // (n * k) // 4 * 4
    if rows >= 12:
        return min(rows, FEWEST_ROWS)
    return max(FEWEST_ROWS, min(n, k, MOST_ROWS))      # BLAS packs that matrix anew for each piece


cdef void gemm(bint transpose_a, bint transpose_b, int m, int n, int k,
               floating alpha, const floating* A, int lda, const floating* B, int ldb,
               floating beta, floating* C, int ldc) noexcept nogil:
    """C = alpha * op(A) @ op(B) + beta * C, op(A) (m, k) and op(B) (k, n); a row or an outer product by ?gemv, ?ger."""
    cdef char ta = b"T" if transpose_a else b"N"
    cdef char tb = b"T" if transpose_b else b"N"
    cdef int one = 1
    if m == 0 or n == 0:
        return
    if m == 1 and k > 0:
        if floating is float:
            sgemv(&tb, &k if transpose_b else &n, &n if transpose_b else &k, &alpha, <float*> B, &ldb,
                  <float*> A, &lda if transpose_a else &one, &beta, C, &one)
        else:
            dgemv(&tb, &k if transpose_b else &n, &n if transpose_b else &k, &alpha, <double*> B, &ldb,
                  <double*> A, &lda if transpose_a else &one, &beta, C, &one)
    elif k == 1 and beta == 1:
        if floating is float:
            sger(&n, &m, &alpha, <float*> B, &ldb if transpose_b else &one,
                 <float*> A, &one if transpose_a else &lda, C, &ldc)
        else:
            dger(&n, &m, &alpha, <double*> B, &ldb if transpose_b else &one,
                 <double*> A, &one if transpose_a else &lda, C, &ldc)
    elif floating is float:
        sgemm(&tb, &ta, &n, &m, &k, &alpha, <float*> B, &ldb, <float*> A, &lda, &beta, C, &ldc)
    else:
        dgemm(&tb, &ta, &n, &m, &k, &alpha, <double*> B, &ldb, <double*> A, &lda, &beta, C, &ldc)


cdef void syrk(int n, int k, floating alpha, const floating* A, int lda,
               floating beta, floating* C, int ldc) noexcept nogil:
    """np.tril(C) = alpha * A.T @ A + beta * np.tril(C), with A (k, n)."""
    cdef char uplo = b"U", trans = b"N"
    if floating is float:
        ssyrk(&uplo, &trans, &n, &k, &alpha, <float*> A, &lda, &beta, C, &ldc)
    else:
        dsyrk(&uplo, &trans, &n, &k, &alpha, <double*> A, &lda, &beta, C, &ldc)


cdef void multiply_rows(Py_ssize_t rows, Py_ssize_t n, Py_ssize_t k, floating alpha, const floating* A, Py_ssize_t lda,
                        const floating* B, Py_ssize_t ldb, floating beta, floating* C, Py_ssize_t ldc) noexcept nogil:
    """C = alpha * A @ B + beta * C, with A (rows, k) and B (k, n), some rows at a time."""
    cdef Py_ssize_t row = 0, at_once = rows_at_once(n, k)
    while row < rows:
        gemm[floating](False, False, min(at_once, rows - row), n, k, alpha, A + row * lda, lda, B, ldb,
                       beta, C + row * ldc, ldc)
        row += at_once


cdef void add_products(Py_ssize_t rows, Py_ssize_t m, Py_ssize_t n, floating alpha, const floating* A, Py_ssize_t lda,
                       const floating* B, Py_ssize_t ldb, floating* C, Py_ssize_t ldc) noexcept nogil:
    """C += alpha * A.T @ B, with A (rows, m) and B (rows, n), some rows at a time."""
    cdef Py_ssize_t row = 0, at_once = rows_at_once(m, n)
    while row < rows:
        gemm[floating](True, False, m, n, min(at_once, rows - row), alpha, A + row * lda, lda, B + row * ldb, ldb,
                       1, C, ldc)
        row += at_once


cdef void add_gram(Py_ssize_t rows, Py_ssize_t n, floating alpha, const floating* A, Py_ssize_t lda, floating* G,
                   Py_ssize_t ldg) noexcept nogil:
    """np.tril(G) += alpha * np.tril(A.T @ A), with A (rows, n), G (n, n); what is above its diagonal is of no use."""
    cdef Py_ssize_t panel, column, height
    if small_product == 0 or n > WIDEST_OF_PANELS:
        syrk[floating](n, rows, alpha, A, lda, 1, G, ldg)
        return
    for panel in range(0, n, 64):
        height = min(64, n - panel)
        for column in range(0, panel + 1, 64):
            # G[panel:, column:] += alpha * A[:, panel:].T @ A[:, column:]
            add_products[floating](rows, height, min(64, n - column), alpha, A + panel, lda, A + column, lda,
                                   G + panel * ldg + column, ldg)


cdef void symm(int m, int n, const floating* S, const floating* A, floating* C) noexcept nogil:
    """C = S @ A, with A (m, n) and the symmetric S (m, m) given by its lower triangle."""
    cdef char side = b"R", uplo = b"U"
    cdef floating one = 1, zero = 0
    if floating is float:
        ssymm(&side, &uplo, &n, &m, &one, <float*> S, &m, <float*> A, &n, &zero, C, &n)
    else:
        dsymm(&side, &uplo, &n, &m, &one, <double*> S, &m, <double*> A, &n, &zero, C, &n)


cdef int potrf(int n, floating* A) noexcept nogil:
    """A = np.linalg.cholesky(A) in its lower triangle; 0, or the order of the first minor that is not positive."""
    cdef char uplo = b"U"
    cdef int info = 0
    if floating is float:
        spotrf(&uplo, &n, A, &n, &info)
    else:
        dpotrf(&uplo, &n, A, &n, &info)
    return info


cdef void solve_triangular(bint transpose, int m, int n, const floating* L, floating* B, int ldb) noexcept nogil:
    """B = np.linalg.inv(L) @ B, or np.linalg.inv(L.T) @ B, with B (m, n) and L (m, m) from ``potrf``.

    From the right, in BLAS's order: two of them are 1.5 times as fast as ?potrs on the transpose.
    """
    cdef char side = b"R", uplo = b"U", diagonal = b"N"
    cdef char trans = b"T" if transpose else b"N"
    cdef floating one = 1
    if floating is float:
        strsm(&side, &uplo, &trans, &diagonal, &n, &m, &one, <float*> L, &m, B, &ldb)
    else:
        dtrsm(&side, &uplo, &trans, &diagonal, &n, &m, &one, <double*> L, &m, B, &ldb)


cdef void divide_rows(bint transpose, int m, int n, const floating* L, floating* B) noexcept nogil:
    """B = B @ np.linalg.inv(L), or B @ np.linalg.inv(L.T), with B (m, n) and L (n, n) from ``potrf``."""
    cdef char side = b"L", uplo = b"U", diagonal = b"N"
    cdef char trans = b"T" if transpose else b"N"
    cdef floating one = 1
    if floating is float:
        strsm(&side, &uplo, &trans, &diagonal, &n, &m, &one, <float*> L, &n, B, &n)
    else:
        dtrsm(&side, &uplo, &trans, &diagonal, &n, &m, &one, <double*> L, &n, B, &n)


cdef floating dot(Py_ssize_t n, const floating* x, const floating* y) noexcept nogil:
    """np.dot(x, y)"""
    cdef int one = 1, length
    cdef Py_ssize_t first = 0
    cdef floating total = 0
    while first < n:
        length = <int> min(n - first, LONGEST_VECTOR)
        if floating is float:
            total += sdot(&length, <float*> x + first, &one, <float*> y + first, &one)
        else:
            total += ddot(&length, <double*> x + first, &one, <double*> y + first, &one)
        first += length
    return total
