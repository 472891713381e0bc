from cython cimport floating

cdef void fastgrnn_step(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda, const floating* s_before,
                        const floating* biases, const floating* c_before, floating* states, floating* c) noexcept nogil
cdef void fastgrnn_pull_back(Py_ssize_t rows, Py_ssize_t n, floating* A, Py_ssize_t lda, const floating* s_before,
                             floating* multipliers, floating* sums) noexcept nogil
