"""A minibatch: which observations its sequences read, and where their steps stand in the rows of all arrays."""

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, Py_buffer, PyObject_CheckBuffer, PyObject_GetBuffer
)
from libc.stdint cimport int32_t

from admmirnn._kernels._arrays cimport ANY, CODE, FLOATING, INDEX, VECTOR, Holder
from admmirnn._kernels._layout cimport MOST, fits_of
from admmirnn._kernels._observations cimport is_known


cdef class _Batch(Holder):
    """A minibatch whose sequences are among the observations, and where the offsets have them; see ``batch``."""

    def __cinit__(self, observations, double scale, first_rows, lengths, offsets, Py_ssize_t frame, Py_ssize_t stride,
                  standard):
        cdef Py_ssize_t i, reach, rows = 0
        self.owner = b"batch"
        if PyObject_CheckBuffer(observations) or not hasattr(observations, "starts"):
            self.hold_rows(observations)
        else:
            self.hold_sparse_rows(observations)
        self.scale, self.frame, self.stride = scale, frame, stride
        if standard is not None:
            self.single = self.standard_is_single = memoryview(standard).format == "f"
            self.standard = self.hold(standard, "standard", FLOATING, False, 2, self.width)
            if scale != 1 or first_rows is None:
                raise ValueError(f"batch: standard is given, and scale is {scale:g} or first_rows is None; with it the "
                                 "scale must be 1, and the observations must not be the states of a layer")
        self.lengths = <const Py_ssize_t*> self.hold(lengths, "lengths", INDEX, False, ANY, VECTOR)
        self.B = self.rows
        if first_rows is not None:
            self.first_rows = <const Py_ssize_t*> self.hold(first_rows, "first_rows", INDEX, False, self.B, VECTOR)
        self.offsets = <const Py_ssize_t*> self.hold(offsets, "offsets", INDEX, False, ANY, VECTOR)
        self.N = self.rows - 2
        if not 1 <= frame <= MOST or stride == 0 or not -MOST <= stride <= MOST or not fits_of(self.offsets, self.N) \
                or self.offsets[self.N + 1] - self.offsets[self.N] != self.B:
            raise ValueError(
                f"batch: frame is {frame} and stride is {stride}, of which neither may be 0 or above "
                f"{<int> MOST}, and frame not negative; or "
                f"offsets are not the first rows of blocks that hold at least one row each, never fewer than the block "
                f"before, of which the last two have {self.B} rows, as lengths has")
        self.n_rows = self.offsets[self.N]
        if first_rows is None and (frame != 1 or stride != 1 or self.starts != NULL
                                   or self.n_observations < self.offsets[self.N + 1]):
            raise ValueError(
                f"batch: first_rows is None, so that observations are the states of a layer, but there are "
                f"{self.n_observations} rows, with frame {frame} and stride {stride}; "
                f"there must be at least {self.offsets[self.N + 1]}, not sparse, with a frame and a stride of 1")
        for i in range(self.B):
            reach = (self.lengths[i] - 1) * stride if 1 <= self.lengths[i] <= self.N else 0
            if self.lengths[i] < 1 or self.lengths[i] > self.N \
                    or self.offsets[self.N - self.lengths[i] + 1] - self.offsets[self.N - self.lengths[i]] <= i \
                    or (first_rows is not None and (
                        self.first_rows[i] < max(0, -reach)
                        or self.first_rows[i] > self.n_observations - max(0, reach) - frame)):
                raise ValueError(
                    f"batch: lengths[{i}] is {self.lengths[i]}, and the steps of that sequence are not all within the "
                    f"{self.n_observations} observations, or not in the blocks that offsets say")
            if self.starts != NULL:
                self.check_sparse_rows(self.first_rows[i] + min(0, reach), self.first_rows[i] + max(0, reach) + frame)
            rows += self.lengths[i]
        if rows != self.n_rows:
            raise ValueError(f"batch: lengths add up to {rows} steps, and offsets have room for {self.n_rows}")

    cdef int hold_rows(self, observations) except -1:
        """Hold the observations of a matrix."""
        cdef Py_buffer* view = &self.views[0]
        PyObject_GetBuffer(observations, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
        self.n_views = 1
        if view.ndim != 2 or view.shape[1] < 1 or not is_known(view.format):
            raise ValueError(f"batch: observations have {view.ndim} dimension(s) and numbers of the type "
                             f"{view.format.decode()!r} (as in struct); they must be a matrix of at least one column, "
                             "of integers of 8 or 16 bits, float32 or float64")
        self.observations, self.format = <const char*> view.buf, view.format[0]
        self.n_observations, self.width = view.shape[0], view.shape[1]
        return 0

    cdef int hold_sparse_rows(self, observations) except -1:
        """Hold observations of which only the numbers that are not zero are there."""
        cdef Py_buffer* view = &self.views[0]
        PyObject_GetBuffer(observations.values, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
        self.n_views = 1
        n_observations, width = observations.shape
        if view.ndim != 1 or not 1 <= width <= MOST or not is_known(view.format):
            raise ValueError(f"batch: the values of sparse observations have {view.ndim} dimension(s) and the type "
                             f"{view.format.decode()!r} (as in struct), and the width is {width}; they must be a "
                             "vector of integers of 8 or 16 bits, float32 or float64, of 1 to 2**31 - 1 columns")
        self.observations, self.format = <const char*> view.buf, view.format[0]
        self.n_observations, self.width = n_observations, width
        self.columns = <const int32_t*> self.hold(observations.columns, "columns", CODE, False, view.shape[0], VECTOR)
        self.starts = <const Py_ssize_t*> self.hold(observations.starts, "starts", INDEX, False, n_observations + 1,
                                                    VECTOR)
        return 0

    cdef int check_sparse_rows(self, Py_ssize_t first, Py_ssize_t last) except -1:
        """Raise unless the numbers of these rows are among the values, and their columns among the features."""
        cdef Py_ssize_t row, j, n_values = self.views[0].shape[0]
        cdef bint is_right = 0 <= self.starts[first] and self.starts[last] <= n_values
        for row in range(first, last):
            is_right = is_right and self.starts[row] <= self.starts[row + 1]
        if is_right:
            for j in range(self.starts[first], self.starts[last]):
                is_right = is_right and 0 <= self.columns[j] < self.width
        if not is_right:
            raise ValueError(
                f"batch: starts or columns of the rows {first} to {last - 1} of sparse observations are wrong; starts "
                f"must not decrease, from 0 to {n_values}, and columns must be below {self.width}")
        return 0


def batch(observations, double scale, first_rows, lengths, offsets, Py_ssize_t frame=1, Py_ssize_t stride=1,
          standard=None):
    """Which sequences, longest first, and where their steps stand (see ``_kernels``).

    Step ``t`` of sequence ``i`` reads ``scale`` times ``frame`` rows of ``observations`` from row ``first_rows[i] +
    stride t`` on.  With ``standard`` (2, width), means and factors, and a scale of 1 it reads
    ``(observations - mean) * factor``, column by column and in their precision.  A negative stride reads a sequence
    from its end.  With ``first_rows`` None the observations are the S of another layer, and a step reads the state that
    that layer's same step has reached.

    Observations that are no array are sparse: an object with the attributes ``shape``; ``values``, the numbers that are
    not zero, row by row; ``columns`` (int32), where each stands, at most once in a row; and ``starts``, where the
    values of each row begin, and, last, how many there are.
    """
    return _Batch(observations, scale, first_rows, lengths, offsets, frame, stride, standard)


cdef Py_ssize_t n_outputs_of(_Batch batch, bint each) noexcept nogil:
    """One a sequence, or one for ``each`` row of S but those of the first step."""
    return batch.offsets[batch.N + 1] - batch.offsets[1] if each else batch.B
