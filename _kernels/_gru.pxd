from cython cimport floating

cdef void gru_step(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda, const floating* s_before,
                   const floating* biases, const floating* c_before, floating* states, floating* c) noexcept nogil
cdef void gru_pull_back(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda, const floating* s_before,
                        const floating* c_before, const floating* c, floating* multipliers,
                        floating* lambda_c) noexcept nogil
