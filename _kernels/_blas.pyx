"""The one module that knows BLAS and LAPACK, and their column-major order and integer type.

Every matrix here is row-major; ``ld`` is the distance between the first elements of two rows.  A row-major
matrix is its own transpose in column-major order, so a product C = A B is asked for as C' = B' A', and the
lower triangle of a symmetric matrix is the upper one.
"""

from cython cimport floating
from scipy.linalg.cython_blas cimport sdot, ddot, sgemm, dgemm, sgemv, dgemv, sger, dger, ssymm, dsymm, ssyrk, dsyrk
from scipy.linalg.cython_blas cimport strsm, dtrsm
from scipy.linalg.cython_lapack cimport spotrf, dpotrf

cdef Py_ssize_t SMALL_PRODUCT = 1_000_000         # m n k of what OpenBLAS takes for small, where it does
cdef Py_ssize_t LONGEST_VECTOR = 1 << 30          # longer ones go to BLAS in pieces: its int has 32 bits


cdef void gemm(bint transpose_a, bint transpose_b, int m, int n, int k,
               floating alpha, const floating* A, int lda, const floating* B, int ldb,
               floating beta, floating* C, int ldc) noexcept nogil:
    """C = alpha * op(A) @ op(B) + beta * C, with op(A) (m, k), op(B) (k, n); a row or an outer product by ?gemv, ?ger."""
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


cdef void solve_factored(int m, int n, const floating* L, floating* B) noexcept nogil:
    """B = np.linalg.inv(L @ L.T) @ B, with B (m, n) and L (m, m) from ``potrf``.

    Two triangular solves from the right, in BLAS's order: 1.5 times as fast as ?potrs on the transpose.
    """
    cdef char side = b"R", uplo = b"U", plain = b"N", transposed = b"T", diagonal = b"N"
    cdef floating one = 1
    if floating is float:
        strsm(&side, &uplo, &plain, &diagonal, &n, &m, &one, <float*> L, &m, B, &n)
        strsm(&side, &uplo, &transposed, &diagonal, &n, &m, &one, <float*> L, &m, B, &n)
    else:
        dtrsm(&side, &uplo, &plain, &diagonal, &n, &m, &one, <double*> L, &m, B, &n)
        dtrsm(&side, &uplo, &transposed, &diagonal, &n, &m, &one, <double*> L, &m, B, &n)


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


cdef void gemm_in_pieces(bint transpose_a, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
                         floating alpha, const floating* A, Py_ssize_t lda, const floating* B, Py_ssize_t ldb,
                         floating beta, floating* C, Py_ssize_t ldc) noexcept nogil:
    """C = alpha * op(A) @ B + beta * C, cut into products that OpenBLAS multiplies without packing them first.

    These, up to SMALL_PRODUCT multiplications, are as fast as large ones from some 32 rows on, and faster than those in
    between; of A^T B with many rows the packing takes a third.
    """
    cdef Py_ssize_t height = m, depth = k, top, first = 0
    if m * n * k > SMALL_PRODUCT:
        height = min(m, 48)
        depth = min(k, SMALL_PRODUCT // (height * n))
        if depth < 32:                               # too wide to gain from it
            height, depth = m, k
    while True:
        top = 0
        while top < m:
            # C[top:top + height] += alpha * op(A)[top:top + height, first:first + depth] @ B[first:first + depth]
            gemm[floating](transpose_a, False, min(height, m - top), n, min(depth, k - first), alpha,
                           A + (first * lda + top if transpose_a else top * lda + first), lda, B + first * ldb, ldb,
                           beta if first == 0 else 1, C + top * ldc, ldc)
            top += height
        first += depth
        if first >= k:
            break
