"""Streams: the next output from one more observation of each, as fast as a call from Python can be.

A *stream* is a sequence that has not ended.  Frames make its steps: a sequence of ``k`` observations is read in frames
of ``frame`` of them, each ``stride`` further on, of which the last one ends with the sequence.  So at observation ``k``
the state that goes on is the one of ``stride`` observations before, and a stream has as many states as that, in turn.
"""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cython cimport floating
from libc.math cimport NAN, exp, fabs
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from admmirnn._kernels._arrays cimport ANY, misfit
from admmirnn._kernels._layout cimport EACH, LAST, MEAN, MOST, NONE, ReadOut, read_out_named, transpose
from admmirnn._kernels._observations cimport copy_scaled, copy_standardised, is_known
from admmirnn._kernels._stepping cimport (
    Layer, _Layers, hand_up, layers_of, load, make_states, multiply, multiply_maps, read_again, unload
)
from admmirnn._kernels._threads cimport let_loose, take_hold


cdef enum Outcome:                                # as its numpy twin numbers them
    READ
    UNKNOWN_FORM
    OBSERVATION_NOT_FINITE
    OUTPUT_NOT_FINITE


cdef enum Answer:                                 # what becomes of the outputs
    SOFTMAX
    LOGISTIC
    VALUES


cdef struct Streams:
    Py_ssize_t B, d, K, frame, stride             # d features of an observation, of which a step reads ``frame``
    Py_ssize_t n                                  # units of the last layer, which the outputs read
    double scale
    const double* standard                        # (2, d): means, and factors; or NULL
    ReadOut read_out
    Layer* layers
    Py_ssize_t n_layers, n_carried
    const void* Psi                               # (K, n + 1): V, c
    void* Psi_T                                   # (n + 1, K), which is faster for several streams: unused for one
    void* carried                                 # (B, stride, n_carried): states of all layers, in turn
    double* pooled                                # (B, stride, n): their sum or the largest, or NULL
    void* recent                                  # (B, frame - 1, d): the last observations, scaled
    int64_t* n_read                               # (B,): how many observations there were
    Answer answer
    const double* mean                            # (K,): what is added to values, or NULL for those of the outputs
    const double* deviation                       # (K,): and what they are multiplied by before that
    void* H                                       # (B, n + 1): scratch, [h, 1]
    void* Q                                       # (B, K): scratch
    double* pooled_now                            # (B, n): scratch


cdef inline Py_ssize_t turn_of(const Streams* streams, Py_ssize_t i) noexcept nogil:
    """Which of the stream's states its next observation belongs to; -1 if no frame ends with that."""
    cdef int64_t after = streams.n_read[i] + 1 - streams.frame
    return after % streams.stride if after >= 0 else -1


cdef bint gather(Streams* streams, const char* observations, char format, Py_ssize_t at, Py_ssize_t between,
                 floating* Z) noexcept nogil:
    """Z = [x_t, s_{t-1}, 1] of the first layer, of every stream, the states of all; whether all x_t are finite."""
    cdef Py_ssize_t i, j, turn, d = streams.d, old = (streams.frame - 1) * d, m = streams.layers[0].m
    cdef floating* z
    cdef bint finite = True
    for i in range(streams.B):
        z = Z + i * m
        memcpy(z, <floating*> streams.recent + i * old, old * sizeof(floating))
        if streams.standard == NULL:
            copy_scaled(observations, format, at + i * between, d, <floating> streams.scale, z + old)
        else:
            copy_standardised(observations, format, at + i * between, d, streams.standard, z + old)
        for j in range(old, old + d):
            finite &= z[j] - z[j] == 0
        turn = max(turn_of(streams, i), 0)
        for j in range(streams.n_layers):
            load(&streams.layers[j], i, <const floating*> streams.carried
                 + (i * streams.stride + turn) * streams.n_carried)
    read_again(&streams.layers[0], streams.B, Z)
    return finite


cdef void pool(Streams* streams, const floating* S, floating* H) noexcept nogil:
    """H = [h, 1]: the state, or the mean or the largest up to now, which goes to ``pooled_now``."""
    cdef Py_ssize_t i, j, turn, n = streams.n
    cdef double* pooled
    cdef double* now
    cdef double share
    for i in range(streams.B):
        H[i * (n + 1) + n] = 1
        if streams.read_out == LAST:
            memcpy(H + i * (n + 1), S + i * n, n * sizeof(floating))
            continue
        turn = max(turn_of(streams, i), 0)
        pooled, now = streams.pooled + (i * streams.stride + turn) * n, streams.pooled_now + i * n
        if streams.read_out == MEAN:
            share = 1.0 / ((streams.n_read[i] + 1 - streams.frame) // streams.stride + 1)
            for j in range(n):
                now[j] = pooled[j] + S[i * n + j]
                H[i * (n + 1) + j] = <floating> (share * now[j])
        else:
            for j in range(n):
                now[j] = pooled[j] if S[i * n + j] <= pooled[j] else S[i * n + j]
                H[i * (n + 1) + j] = <floating> now[j]


cdef bint answer(Streams* streams, const floating* Q, char* outputs, Py_ssize_t at, Py_ssize_t between) noexcept nogil:
    """outputs = softmax(Q), expit(Q), Q, or mean + deviation * Q; NaN before the first frame has ended.

    Returns whether all Q are finite.
    """
    cdef Py_ssize_t i, k, K = streams.K
    cdef const floating* q
    cdef floating* p
    cdef double* values
    cdef floating largest, total
    cdef double e
    cdef bint started, finite = True
    for i in range(streams.B):
        q = Q + i * K
        started = turn_of(streams, i) >= 0
        for k in range(K):
            finite &= not started or q[k] - q[k] == 0
        if streams.mean != NULL:
            values = <double*> outputs + at + i * between
            for k in range(K):
                values[k] = streams.mean[k] + streams.deviation[k] * q[k] if started else NAN
            continue
        p = <floating*> outputs + at + i * between
        if not started:
            for k in range(K):
                p[k] = <floating> NAN
        elif streams.answer == VALUES:
            memcpy(p, q, K * sizeof(floating))
        elif streams.answer == LOGISTIC:
            for k in range(K):
                e = exp(-fabs(q[k]))
                p[k] = <floating> ((e if q[k] < 0 else 1) / (1 + e))
        else:
            largest, total = q[0], 0
            for k in range(1, K):
                largest = max(largest, q[k])
            for k in range(K):
                p[k] = <floating> exp(q[k] - largest)
                total += p[k]
            for k in range(K):
                p[k] /= total
    return finite


cdef void commit(Streams* streams, const floating* Z) noexcept nogil:
    """Make the new states the streams' own, and the observations their last ones."""
    cdef Py_ssize_t i, j, turn, d = streams.d, n = streams.n, old = (streams.frame - 1) * d, m = streams.layers[0].m
    for i in range(streams.B):
        turn = turn_of(streams, i)
        streams.n_read[i] += 1
        memcpy(<floating*> streams.recent + i * old, Z + i * m + d, old * sizeof(floating))
        if turn < 0:
            continue
        turn += i * streams.stride
        for j in range(streams.n_layers):
            unload(&streams.layers[j], i, <floating*> streams.carried + turn * streams.n_carried)
        if streams.read_out != LAST:
            memcpy(streams.pooled + turn * n, streams.pooled_now + i * n, n * sizeof(double))


cdef Outcome take(Streams* streams, const char* observations, char format, Py_ssize_t at, Py_ssize_t between,
                  char* outputs, Py_ssize_t at_output, Py_ssize_t between_outputs, floating* Z) noexcept nogil:
    """One observation of every stream; nothing has changed unless it is READ.  ``outputs`` may be NULL."""
    cdef Py_ssize_t i, B = streams.B, n = streams.n
    cdef Layer* layer = streams.layers
    cdef floating* H = <floating*> streams.H
    cdef floating* Q = <floating*> streams.Q
    if not gather(streams, observations, format, at, between, Z):
        return OBSERVATION_NOT_FINITE
    for i in range(streams.n_layers):
        layer = &streams.layers[i]
        if i > 0:
            hand_up(layer - 1, layer, B, <floating*> layer.Z)
        multiply_maps(layer, B, <const floating*> layer.Z)
        make_states(layer, B, <const floating*> layer.Z)
    if outputs != NULL or streams.read_out != LAST:
        pool(streams, <const floating*> layer.S, H)
    if outputs != NULL:
        # Q = H @ Psi.T
        multiply(B, streams.K, n + 1, H, n + 1, streams.Psi, n + 1, streams.Psi_T, Q, streams.K)
        if not answer(streams, Q, outputs, at_output, between_outputs):
            return OUTPUT_NOT_FINITE
    commit(streams, Z)
    return READ


cdef Outcome take_all(Streams* streams, Py_ssize_t N, const char* observations, char format, Py_ssize_t n_outputs,
                      char* outputs, floating* Z) noexcept nogil:
    """N observations of every stream, and an output after each of them, or after the last one only."""
    cdef Py_ssize_t t, M = n_outputs, K = streams.K, d = streams.d
    cdef Outcome outcome = READ
    for t in range(N):
        outcome = take(streams, observations, format, t * d, N * d,
                       outputs if t >= N - M else NULL, (t - (N - M)) * K, M * K, Z)
        if outcome != READ:
            break
    return outcome


cdef class _Stepper:
    """Streams that a network reads; see ``stepper``."""

    cdef Streams streams
    cdef bint single_precision
    cdef long busy                                # a flag that threads take hold of
    cdef void* scratch
    cdef _Layers layers
    cdef tuple owners

    def __dealloc__(self):
        free(self.scratch)

    cdef int reserve(self, Py_ssize_t itemsize) except -1:
        """Room for what is computed, and for the transposed weights of the outputs of several streams."""
        cdef Streams* s = &self.streams
        cdef Py_ssize_t of_weights = 0 if s.B == 1 else (s.n + 1) * s.K
        cdef char* room
        self.scratch = calloc(8 * s.B * s.n + (s.B * (s.n + 1 + s.K) + of_weights) * itemsize, 1)
        if self.scratch == NULL:
            raise MemoryError
        s.pooled_now = <double*> self.scratch
        room = <char*> (s.pooled_now + s.B * s.n)
        s.H, room = room, room + s.B * (s.n + 1) * itemsize
        s.Q, room = room, room + s.B * s.K * itemsize
        s.Psi_T = room
        return 0

    def read(self, observations, outputs):
        """Read more of every stream.

        ``observations`` has the shape (d,), of a single stream, (B, d), one of each, or (B, N, d).  ``outputs``,
        float64 or, without a mean, the network's own type, holds B rows of K, or B times as many as observations.

        Returns 0; or, having read nothing, 1 if observations are not C-contiguous, of that shape and of a known type;
        and, some of N having been read, 2 if one of them was not finite, 3 if an output was not.
        """
        cdef Py_buffer given, written
        cdef Py_ssize_t N, B = self.streams.B, K = self.streams.K, itemsize
        cdef Outcome outcome
        cdef char format
        try:
            PyObject_GetBuffer(observations, &given, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
        except (BufferError, TypeError, ValueError):
            return UNKNOWN_FORM
        try:
            N = given.shape[1] if given.ndim == 3 else 1
            if given.ndim < 1 or given.ndim > 3 or (B if given.ndim == 1 else given.shape[0]) != B \
                    or (given.ndim == 1 and B != 1) or N < 1 or given.shape[given.ndim - 1] != self.streams.d \
                    or not is_known(given.format):
                return UNKNOWN_FORM
            PyObject_GetBuffer(outputs, &written, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | PyBUF_WRITABLE)
            try:
                itemsize = 4 if self.single_precision and self.streams.mean == NULL else 8
                format = c"f" if itemsize == 4 else c"d"
                if written.format[0] != format or written.format[1] != 0 \
                        or (written.len != B * K * itemsize and written.len != B * N * K * itemsize):
                    raise ValueError(
                        f"read: outputs has {written.len} bytes of the type {written.format.decode()!r} (as in struct)"
                        f"; it must have {B * K} or {B * N * K} numbers of {itemsize} bytes, of the type "
                        f"{chr(format)!r}")
                if not take_hold(&self.busy):
                    raise RuntimeError("another thread is reading these streams; give every thread streams of its own")
                if B * N == 1:  # too short to let go of the interpreter
                    outcome = self.take(&given, N, &written, 1)
                else:
                    with nogil:
                        outcome = self.take(&given, N, &written, written.len // (B * K * itemsize))
                let_loose(&self.busy)
            finally:
                PyBuffer_Release(&written)
        finally:
            PyBuffer_Release(&given)
        return outcome

    cdef Outcome take(self, Py_buffer* given, Py_ssize_t N, Py_buffer* written, Py_ssize_t n_outputs) noexcept nogil:
        if self.single_precision:
            return take_all(&self.streams, N, <const char*> given.buf, given.format[0], n_outputs,
                            <char*> written.buf, <float*> self.streams.layers[0].Z)
        return take_all(&self.streams, N, <const char*> given.buf, given.format[0], n_outputs,
                        <char*> written.buf, <double*> self.streams.layers[0].Z)


def stepper(Py_ssize_t d, tuple frame, layers, const floating[:, ::1] Psi, str read_out, double scale, state,
            answer, const double[:, ::1] standard=None):
    """B streams that a network's layers read, one observation at a time: q = V h + c, Psi = [V c].

    An observation has d features, a step reads ``frame[0]`` of them and follows the step ``frame[1]``, the stride,
    before.  Returns an object whose ``read(observations, outputs)`` goes on with all streams; observations are
    multiplied by ``scale``, or, with ``standard`` (2, d), means and factors, and a scale of 1, read as
    ``(observation - mean) * factor``.  A layer has ``n_hidden`` units, a ``cell`` and matrices, ``maps``; it reads the
    states of the one below it, the first one frames.  Where the streams are is kept in the arrays of ``state``:

    * ``states`` (B, stride, n_carried): those after observation k, from 0 on, at (k + 1 - length) % stride; of all
      layers side by side, [s c] of a layer that has a cell state;
    * ``pooled`` (B, stride, n): with ``read_out`` "mean" the sum of the last layer's up to now, with "max" the largest,
      with "last" None;
    * ``recent`` (B, length - 1, d): the last observations, scaled;
    * ``n_read`` (B,): how many there were.

    ``answer`` has a ``name``, "softmax", "logistic" or "values", and ``mean`` and ``deviation``: with the first two
    names it answers with that function of q, with "values" with q, or mean + deviation * q; NaN before the first frame
    has ended.
    """
    cdef _Stepper self = _Stepper()
    cdef Streams* streams = &self.streams
    cdef floating[:, :, ::1] S = state.states, recent = state.recent
    cdef double[:, :, ::1] pooled = state.pooled
    cdef int64_t[::1] n_read = state.n_read
    cdef const double[::1] mean = answer.mean, deviation = answer.deviation
    cdef Py_ssize_t B = S.shape[0], K = Psi.shape[0], n = Psi.shape[1] - 1, length, stride, i
    length, stride = frame
    streams.read_out = read_out_named(read_out)
    if answer.name not in ("softmax", "logistic", "values"):
        raise ValueError(f"stepper: answer.name is {answer.name!r}; it must be 'softmax', 'logistic' or 'values'")
    streams.answer = SOFTMAX if answer.name == "softmax" else LOGISTIC if answer.name == "logistic" else VALUES
    if B < 1 or K < 1 or n < 1 or d < 1 or length < 1 or stride < 1 or max(d, length, stride) > MOST \
            or S.shape[1] != stride or recent.shape[0] != B or recent.shape[1] != length - 1 \
            or recent.shape[2] != d or n_read.shape[0] != B \
            or streams.read_out in (EACH, NONE) or (pooled is None) != (streams.read_out == LAST) \
            or (mean is None) != (deviation is None) or (mean is not None and streams.answer != VALUES):
        raise misfit("stepper", [
            ("states", S, ((1,), stride, ANY)), ("Psi", Psi, ((1,), (2,))), ("recent", recent, (B, length - 1, d)),
            ("n_read", n_read, (B,)), ("pooled", pooled, None if streams.read_out == LAST else <object> (B, stride, n)),
            ("mean", mean, <object> (K,) if mean is not None and streams.answer == VALUES else None),
            ("deviation", deviation, None if mean is None else <object> (K,))],
            f"d is {d}, the frame is {frame} and the read-out is {read_out!r}; d and the frame must be at least 1, and "
            f"at most {<int> MOST}, and the read-out 'last', 'mean' or 'max'")
    if standard is not None and (standard.shape[0] != 2 or standard.shape[1] != d or scale != 1):
        raise misfit("stepper", [("standard", standard, (2, d))],
                     f"standard is given, and scale is {scale}; with it the scale must be 1")
    if pooled is not None and (pooled.shape[0] != B or pooled.shape[1] != stride or pooled.shape[2] != n):
        raise misfit("stepper", [("pooled", pooled, (B, stride, n))], "")
    if mean is not None and (mean.shape[0] != K or deviation.shape[0] != K):
        raise misfit("stepper", [("mean", mean, (K,)), ("deviation", deviation, (K,))], "")
    for i in range(B):
        if n_read[i] < 0:
            raise ValueError(f"stepper: n_read[{i}] is {n_read[i]}; it must be at least 0")
    self.layers = layers_of("stepper", layers, length * d, B, False, &Psi[0, 0])
    streams.layers, streams.n_layers = self.layers.layers, self.layers.n_layers
    streams.n_carried = self.layers.n_carried
    if S.shape[2] != streams.n_carried or streams.layers[streams.n_layers - 1].n != n:
        raise misfit("stepper", [("states", S, (B, stride, streams.n_carried)),
                                 ("Psi", Psi, (K, streams.layers[streams.n_layers - 1].n + 1))], "")
    streams.B, streams.d, streams.n, streams.K = B, d, n, K
    streams.frame, streams.stride, streams.scale = length, stride, scale
    streams.standard = NULL if standard is None else &standard[0, 0]
    streams.Psi, streams.carried = &Psi[0, 0], &S[0, 0, 0]
    streams.pooled = NULL if pooled is None else &pooled[0, 0, 0]
    streams.recent = &recent[0, 0, 0]
    streams.n_read = &n_read[0]
    streams.mean = NULL if mean is None else &mean[0]
    streams.deviation = NULL if mean is None else &deviation[0]
    self.single_precision = floating is float
    self.owners = (Psi, S, pooled, recent, n_read, mean, deviation, standard)
    self.reserve(sizeof(floating))
    if B > 1:
        transpose(K, n + 1, &Psi[0, 0], n + 1, <floating*> streams.Psi_T, K)
    return self
