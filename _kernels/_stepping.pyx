"""Layers that go on step by step: their weights, and what a step of one of them is made in."""

from cython cimport floating
from libc.stdint cimport int32_t
from libc.stdlib cimport calloc, free

from admmirnn._kernels._arrays cimport misfit
from admmirnn._kernels._blas cimport multiply_rows
from admmirnn._kernels._cells cimport Cell, MapOf, cell_of, columns_of, gated_step, step
from admmirnn._kernels._layout cimport MOST, transpose
from admmirnn._kernels._matvec_simd cimport multiply_vector


cdef size_t CACHE_LINE = 64                       # bytes


cdef class _Room:
    """Memory that is zero, and begins where a line of the cache does, which vector loops are fastest with."""

    cdef void* memory
    cdef void* first

    def __cinit__(self, size_t size):
        self.memory = calloc(size + CACHE_LINE, 1)
        if self.memory == NULL:
            raise MemoryError
        self.first = <void*> ((<size_t> self.memory + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE)

    def __dealloc__(self):
        free(self.memory)


cdef class _Layers:
    """See ``layers_of``."""

    def __cinit__(self, Py_ssize_t n_layers):
        self.n_layers, self.n_carried, self.rooms, self.owners = n_layers, 0, [], []
        self.layers = <Layer*> calloc(n_layers, sizeof(Layer))
        if self.layers == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.layers)


cdef _Layers layers_of(str kernel, described, Py_ssize_t d, Py_ssize_t B, bint symbols, const floating* _):
    """The layers that objects with ``n_hidden``, ``cell`` and ``maps`` describe, and room for steps of B sequences.

    The first one reads d numbers, or one of d ``symbols``, each other one the states of the one below.
    """
    cdef _Layers found = _Layers(len(described))
    cdef Py_ssize_t i
    if found.n_layers < 1 or not 1 <= d <= MOST:
        raise ValueError(f"{kernel}: there are {found.n_layers} layers, of which the first reads {d} numbers; both "
                         f"must be at least 1, and the second at most {<int> MOST}")
    for i in range(found.n_layers):
        set_layer[floating](found, i, kernel, described[i], d, B, symbols and i == 0, NULL)
        d = found.layers[i].n
    return found


cdef int set_layer(_Layers layers, Py_ssize_t i, str kernel, described, Py_ssize_t d, Py_ssize_t B, bint symbols,
                   const floating* _) except -1:
    """One layer of these, for whose weights there is a contiguous matrix of the precision of ``_`` for each map."""
    cdef Layer* layer = &layers.layers[i]
    cdef Cell cell = cell_of(described.cell)
    cdef Py_ssize_t n = described.n_hidden, n_x = 0 if symbols else d, m, skipped, n_transposed = 0
    cdef const floating[:, ::1] matrix
    cdef Product* product
    cdef MapOf of
    cdef floating* room
    cdef Py_ssize_t j
    maps = described.maps
    if not 1 <= n <= MOST or len(maps) != cell.n_maps:
        raise ValueError(f"{kernel}: layer {i} has {n} units and {len(maps)} maps; it must have 1 to {<int> MOST} "
                         f"units, and {cell.n_maps} maps, as its cell has")
    m = n_x + n + 1
    for j in range(cell.n_maps):
        matrix, of, product = maps[j], cell.maps[j], &layer.products[j]
        if matrix.shape[0] != of.rows * n or matrix.shape[1] != columns_of(of, d, n):
            raise misfit(kernel, [(f"maps[{j}] of layer {i}", matrix, (of.rows * n, columns_of(of, d, n)))], "")
        skipped = d if symbols and of.has_x else 0     # columns of which one is added
        product.p, product.first = of.rows * n, of.first * n
        product.k, product.ldm = matrix.shape[1] - skipped, matrix.shape[1]
        if of.n_ones > 1:                              # which the cell adds
            product.k -= of.n_ones
        product.U = <const void*> &matrix[0, 0] if skipped else NULL
        product.M = &matrix[0, skipped]
        if not of.has_x:
            product.at = n_x
        elif not of.has_s:
            layer.again = product.at = n_x + n + 1
            m = layer.again + n_x + 1
        n_transposed += product.p * product.k
        layers.owners.append(matrix)
    if B == 1:
        n_transposed = 0
    layer.cell, layer.n, layer.n_x, layer.m, layer.first = cell, n, n_x, m, layers.n_carried
    layers.n_carried += n * (2 if cell.has_c else 1)
    layers.rooms.append(_Room((B * (m + (cell.kept + 1 + cell.has_c) * n) + 2 * n + n_transposed) * sizeof(floating)))
    room = <floating*> (<_Room> layers.rooms[i]).first
    layer.Z, room = room, room + B * m
    layer.S, room = room, room + B * n
    layer.A, room = room if cell.kept else layer.S, room + B * cell.kept * n
    layer.C, room = room, room + (B * n if cell.has_c else 0)
    layer.biases, room = room, room + 2 * n
    for j in range(cell.n_maps):
        matrix, of, product = maps[j], cell.maps[j], &layer.products[j]
        if of.n_ones > 1:
            transpose(product.p, of.n_ones, &matrix[0, matrix.shape[1] - of.n_ones], matrix.shape[1],
                      <floating*> layer.biases, product.p)
        if B > 1:
            transpose(product.p, product.k, <const floating*> product.M, product.ldm, room, product.p)
            product.M_T, room = room, room + product.p * product.k
    for j in range(B):
        (<floating*> layer.Z)[j * m + n_x + n] = 1
        (<floating*> layer.Z)[j * m + m - 1] = 1
    return 0


cdef void multiply(Py_ssize_t rows, Py_ssize_t n, Py_ssize_t k, const floating* A, Py_ssize_t lda, const void* B,
                   Py_ssize_t ldb, const void* B_T, floating* C, Py_ssize_t ldc) noexcept nogil:
    """C = A @ B.T, with A (rows, k) and B (n, k); of a single row, it reads B, of several B_T."""
    if rows == 1:
        multiply_vector(n, k, <const floating*> B, ldb, A, C)
    else:
        multiply_rows[floating](rows, n, k, 1, A, lda, <const floating*> B_T, n, 0, C, ldc)


cdef void multiply_maps(Layer* layer, Py_ssize_t B, const floating* Z) noexcept nogil:
    """A = what all maps make of Z."""
    cdef Product* product
    cdef Py_ssize_t lda = max(layer.cell.kept, 1) * layer.n
    cdef int j
    for j in range(layer.cell.n_maps):
        product = &layer.products[j]
        multiply(B, product.p, product.k, Z + product.at, layer.m, product.M, product.ldm, product.M_T,
                 <floating*> layer.A + product.first, lda)


cdef void add_symbol(Layer* layer, int32_t code, floating* A) noexcept nogil:
    """A += U[:, code] of all maps, of one sequence of symbols."""
    cdef Product* product
    cdef const floating* u
    cdef Py_ssize_t i
    cdef int j
    for j in range(layer.cell.n_maps):
        product = &layer.products[j]
        u = <const floating*> product.U
        for i in range(product.p if u != NULL else 0):
            A[product.first + i] += u[i * product.ldm + code]


cdef void make_states(Layer* layer, Py_ssize_t B, const floating* Z) noexcept nogil:
    """S, of A and what comes before, and C in its own place."""
    cdef Py_ssize_t i, n = layer.n, lda = layer.cell.kept * n
    cdef floating* A = <floating*> layer.A
    cdef floating* C = <floating*> layer.C
    if layer.cell.kept == 0:
        step(layer.cell, B, n, A)
        return
    for i in range(B):                                 # whose s_{t-1} are far apart
        gated_step(layer.cell, 1, n, A + i * lda, lda, Z + i * layer.m + layer.n_x,
                   <const floating*> layer.biases, C + i * n, <floating*> layer.S + i * n, C + i * n)
