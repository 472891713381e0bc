from cython cimport floating

cdef void gemm(bint transpose_a, bint transpose_b, int m, int n, int k,
               floating alpha, const floating* A, int lda, const floating* B, int ldb,
               floating beta, floating* C, int ldc) noexcept nogil
cdef void syrk(int n, int k, floating alpha, const floating* A, int lda,
               floating beta, floating* C, int ldc) noexcept nogil
cdef void symm(int m, int n, const floating* S, const floating* A, floating* C) noexcept nogil
cdef int potrf(int n, floating* A) noexcept nogil
cdef void solve_triangular(bint transpose, int m, int n, const floating* L, floating* B, int ldb) noexcept nogil
cdef void divide_rows(bint transpose, int m, int n, const floating* L, floating* B) noexcept nogil
cdef Py_ssize_t rows_at_once(Py_ssize_t n, Py_ssize_t k) noexcept nogil
cdef void multiply_rows(Py_ssize_t rows, Py_ssize_t n, Py_ssize_t k, floating alpha, const floating* A, Py_ssize_t lda,
                        const floating* B, Py_ssize_t ldb, floating beta, floating* C, Py_ssize_t ldc) noexcept nogil
cdef void add_products(Py_ssize_t rows, Py_ssize_t m, Py_ssize_t n, floating alpha, const floating* A, Py_ssize_t lda,
                       const floating* B, Py_ssize_t ldb, floating* C, Py_ssize_t ldc) noexcept nogil
cdef void add_gram(Py_ssize_t rows, Py_ssize_t n, floating alpha, const floating* A, Py_ssize_t lda, floating* G,
                   Py_ssize_t ldg) noexcept nogil
cdef floating dot(Py_ssize_t n, const floating* x, const floating* y) noexcept nogil
