"""Layers of one direction that go on step by step, of one sequence or of several: of streams, and of generated symbols.

The layers share out what is carried from step to step: a row for each sequence, [s c] of a layer that has a cell state
and s of others, one layer after the other.
"""

from cython cimport floating
from libc.stdint cimport int32_t
from libc.string cimport memcpy

from admmirnn._kernels._cells cimport MOST_MAPS, Cell


cdef struct Product:                              # what a map multiplies
    const void* U                                 # (p, d) with rows ``ldm`` apart, of a map that reads symbols, or NULL
    const void* M                                 # (p, k) with rows ``ldm`` apart: what it multiplies numbers with
    void* M_T                                     # (k, p), which is faster for several sequences: unused for one
    Py_ssize_t p, k, ldm
    Py_ssize_t at                                 # where these numbers begin in a row of Z
    Py_ssize_t first                              # its first pre-activation


cdef struct Layer:
    Cell cell
    Py_ssize_t n
    Py_ssize_t n_x                                # numbers of x_t, none of symbols
    Py_ssize_t m                                  # columns of Z
    Py_ssize_t again                              # where x_t begins in Z a second time, or 0
    Py_ssize_t first                              # its first number of what is carried
    Product[MOST_MAPS] products
    void* Z                                       # (B, m): [x_t, s_{t-1}, 1], and [x_t, 1] again for a map of these
    void* A                                       # (B, kept n): pre-activations; S, if the cell keeps nothing
    void* S                                       # (B, n): s_t
    void* C                                       # (B, n): c_{t-1}, then c_t, of a cell that has it
    void* biases                                  # (n_biases n,): of fastgrnn, which adds them itself


cdef class _Layers:
    cdef Layer* layers
    cdef Py_ssize_t n_layers, n_carried
    cdef list rooms                               # of their arrays
    cdef list owners                              # of their weights


cdef _Layers layers_of(str kernel, described, Py_ssize_t d, Py_ssize_t B, bint symbols, const floating* _)
cdef void multiply(Py_ssize_t rows, Py_ssize_t n, Py_ssize_t k, const floating* A, Py_ssize_t lda, const void* B,
                   Py_ssize_t ldb, const void* B_T, floating* C, Py_ssize_t ldc) noexcept nogil
cdef void multiply_maps(Layer* layer, Py_ssize_t B, const floating* Z) noexcept nogil
cdef void add_symbol(Layer* layer, int32_t code, floating* A) noexcept nogil
cdef void make_states(Layer* layer, Py_ssize_t B, const floating* Z) noexcept nogil


cdef inline void load(Layer* layer, Py_ssize_t i, const floating* carried) noexcept nogil:
    """Let sequence i go on from there."""
    cdef Py_ssize_t n = layer.n
    memcpy(<floating*> layer.Z + i * layer.m + layer.n_x, carried + layer.first, n * sizeof(floating))
    if layer.cell.has_c:
        memcpy(<floating*> layer.C + i * n, carried + layer.first + n, n * sizeof(floating))


cdef inline void unload(const Layer* layer, Py_ssize_t i, floating* carried) noexcept nogil:
    """Write to where the next step of sequence i will go on from."""
    cdef Py_ssize_t n = layer.n
    memcpy(carried + layer.first, <const floating*> layer.S + i * n, n * sizeof(floating))
    if layer.cell.has_c:
        memcpy(carried + layer.first + n, <const floating*> layer.C + i * n, n * sizeof(floating))


cdef inline void read_again(Layer* layer, Py_ssize_t B, floating* Z) noexcept nogil:
    """Write x_t to Z a second time, for a map that does not read s_{t-1}."""
    cdef Py_ssize_t i
    for i in range(B if layer.again else 0):
        memcpy(Z + i * layer.m + layer.again, Z + i * layer.m, layer.n_x * sizeof(floating))


cdef inline void hand_up(const Layer* below, Layer* layer, Py_ssize_t B, floating* Z) noexcept nogil:
    """x_t, in Z of this layer, are the states of the one below."""
    cdef Py_ssize_t i, n = below.n
    for i in range(B):
        memcpy(Z + i * layer.m, <const floating*> below.S + i * n, n * sizeof(floating))
    read_again(layer, B, Z)
