from cython cimport floating

cdef void gemm(bint transpose_a, bint transpose_b, int m, int n, int k,
               floating alpha, const floating* A, int lda, const floating* B, int ldb,
               floating beta, floating* C, int ldc) noexcept nogil
cdef void syrk(int n, int k, floating alpha, const floating* A, int lda,
               floating beta, floating* C, int ldc) noexcept nogil
cdef void symm(int m, int n, const floating* S, const floating* A, floating* C) noexcept nogil
cdef int potrf(int n, floating* A) noexcept nogil
cdef void solve_factored(int m, int n, const floating* L, floating* B) noexcept nogil
cdef floating dot(Py_ssize_t n, const floating* x, const floating* y) noexcept nogil
cdef void gemm_in_pieces(bint transpose_a, Py_ssize_t m, Py_ssize_t n, Py_ssize_t k,
                         floating alpha, const floating* A, Py_ssize_t lda, const floating* B, Py_ssize_t ldb,
                         floating beta, floating* C, Py_ssize_t ldc) noexcept nogil
