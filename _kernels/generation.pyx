"""Symbols that follow others: each is drawn from the network's own outputs, and read as the next one."""

from cython cimport floating
from libc.math cimport exp, isfinite
from libc.stdint cimport int32_t
from libc.stdlib cimport free, malloc

from admmirnn._kernels._arrays cimport misfit
from admmirnn._kernels._blas cimport gemm
from admmirnn._kernels._stepping cimport (
    Layer, _Layers, add_symbol, hand_up, layers_of, load, make_states, multiply_maps, unload
)


cdef void read(Layer* layers, Py_ssize_t n_layers, int32_t code, floating* carried) noexcept nogil:
    """The states of all layers after this symbol."""
    cdef Py_ssize_t i
    cdef Layer* layer
    for i in range(n_layers):
        layer = &layers[i]
        load(layer, 0, <const floating*> carried)
        if i > 0:
            hand_up(layer - 1, layer, 1, <floating*> layer.Z)
        multiply_maps(layer, 1, <const floating*> layer.Z)
        if i == 0:
            add_symbol(layer, code, <floating*> layer.A)
        make_states(layer, 1, <const floating*> layer.Z)
        unload(layer, 0, carried)


cdef int32_t draw(Py_ssize_t n, Py_ssize_t d, const floating* Psi, const floating* s, double temperature,
                  double uniform, floating* q, double* p) noexcept nogil:
    """Which p = softmax((V s + c) / temperature) first sums up to ``uniform``; the largest at temperature 0.

    -1: outputs are not finite.
    """
    cdef Py_ssize_t i, largest = 0
    cdef double total = 0, sum_of_p = 0
    for i in range(d):
        q[i] = Psi[i * (n + 1) + n]
    # q += s @ V.T
    gemm[floating](False, True, 1, d, n, 1, s, n, Psi, n + 1, 1, q, d)
    for i in range(d):
        if not isfinite(q[i]):
            return -1
        if q[i] > q[largest]:
            largest = i
    if temperature == 0:
        return <int32_t> largest
    for i in range(d):
        p[i] = exp((<double> q[i] - <double> q[largest]) / temperature)
        total += p[i]
    for i in range(d):
        sum_of_p += p[i]
        if sum_of_p > uniform * total:
            return <int32_t> i
    return <int32_t> largest                           # uniform * total was rounded up


def generate(Py_ssize_t d, layers, const floating[:, ::1] Psi, const int32_t[::1] codes, double temperature,
             const double[::1] uniforms, floating[::1] state_out, int32_t[::1] codes_out):
    """Read symbols, and as many more as there are ``uniforms``, each drawn from the outputs after the one before.

    There are ``d`` symbols, and Psi = [V c] (d, n + 1).  A layer has ``n_hidden`` units, a ``cell`` and matrices,
    ``maps``; it reads the states of the one below it, the first one symbols.  ``state_out`` (n_carried,) is where the
    layers start and, afterwards, their states after the last symbol but one, side by side, [s c] of a layer that has
    a cell state.  ``temperature`` divides the outputs; with 0 the largest one is taken.

    Returns whether all outputs were finite.
    """
    cdef Py_ssize_t i, n = Psi.shape[1] - 1, n_layers
    cdef _Layers of_network
    cdef Layer* first
    cdef const floating* s
    cdef floating* q
    cdef double* p
    cdef int32_t code = 0
    if d < 1 or n < 1 or Psi.shape[0] != d or codes.shape[0] < 1 or codes_out.shape[0] != uniforms.shape[0] \
            or not temperature >= 0:
        raise misfit("generate", [("Psi", Psi, (d, (2,))), ("codes", codes, ((1,),)),
                                  ("codes_out", codes_out, (uniforms.shape[0],))],
                     f"there are {d} symbols and temperature is {temperature}; there must be at least one symbol, and "
                     "the temperature must be at least 0")
    for i in range(codes.shape[0]):
        if not 0 <= codes[i] < d:
            raise ValueError(f"generate: codes[{i}] is {codes[i]}; codes must be from 0 to {d - 1}")
    of_network = layers_of("generate", layers, d, 1, True, &Psi[0, 0])
    first, n_layers = of_network.layers, of_network.n_layers
    if first[n_layers - 1].n != n or state_out.shape[0] != of_network.n_carried:
        raise misfit("generate", [("Psi", Psi, (d, first[n_layers - 1].n + 1)),
                                  ("state_out", state_out, (of_network.n_carried,))], "")
    p = <double*> malloc(d * sizeof(double) + d * sizeof(floating))
    if p == NULL:
        raise MemoryError
    q, s = <floating*> (p + d), <const floating*> first[n_layers - 1].S
    with nogil:
        for i in range(codes.shape[0]):
            code = codes[i]
            if i + 1 < codes.shape[0]:
                read(first, n_layers, code, &state_out[0])
        for i in range(uniforms.shape[0]):
            read(first, n_layers, code, &state_out[0])
            code = draw[floating](n, d, &Psi[0, 0], s, temperature, uniforms[i], q, p)
            if code < 0:
                break
            codes_out[i] = code
    free(p)
    return code >= 0
