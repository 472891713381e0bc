"""Arrays that an object looks at once, when it is made, and whose memory it then holds as long as it lives."""

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
)


cdef bint is_of(Kind kind, bint single, const Py_buffer* view) noexcept nogil:
    """Whether the numbers are of that kind."""
    cdef char format = view.format[0]
    if view.format[1] != 0:
        return False
    if kind == FLOATING:
        return format == (c"f" if single else c"d")
    if kind == DOUBLE:
        return format == c"d"
    if format not in b"ilqn":
        return False
    if kind == INDEX:
        return view.itemsize == sizeof(Py_ssize_t)
    return view.itemsize == 4


cdef str text_of(tuple shape):
    """A shape as messages write it: an axis may have any length, ANY, or, as a tuple ``(k,)``, at least k."""
    axes = ["any" if axis == ANY else f"at least {axis[0]}" if isinstance(axis, tuple) else str(axis) for axis in shape]
    return f"({', '.join(axes)}{',' if len(axes) == 1 else ''})"


cdef bint has_shape(tuple found, tuple wanted):
    """Whether every axis is as long as `text_of` says."""
    return len(found) == len(wanted) and all(
        axis == ANY or (length >= axis[0] if isinstance(axis, tuple) else length == axis)
        for length, axis in zip(found, wanted))


cdef object misfit(str kernel, list expected, str otherwise):
    """The error for a call whose checks have failed: it names the first array whose shape is another than expected.

    ``expected`` holds (name, array, shape), with the axes of `text_of`; in the place of an array there may be its
    shape, and a shape of None means that the array has to be None.  Where all are as expected, the error says
    ``otherwise``.
    """
    for name, array, wanted in expected:
        if wanted is None:
            if array is not None:
                return ValueError(f"{kernel}: {name} is given, and must be None")
            continue
        if array is None:
            return ValueError(f"{kernel}: {name} is None; it must be an array of the shape {text_of(wanted)}")
        found = array if isinstance(array, tuple) else tuple(array.shape)
        if not has_shape(found, wanted):
            return ValueError(f"{kernel}: {name} has the shape {text_of(found)}; it must be {text_of(wanted)}")
    return ValueError(f"{kernel}: {otherwise}")


cdef class Holder:
    """The base of objects that kernels take; what is held is C-contiguous and of one precision."""

    def __cinit__(self):
        self.n_views = 0
        self.owner = b"kernel"

    def __dealloc__(self):
        cdef int i
        for i in range(self.n_views):
            PyBuffer_Release(&self.views[i])

    cdef void* hold(self, object array, str name, Kind kind, bint is_written, Py_ssize_t rows,
                    Py_ssize_t columns) except? NULL:
        """Where the numbers of an array of that shape are, of ANY number of rows, and of columns unless it is a VECTOR.

        The first array of FLOATING says which precision all have.
        """
        cdef int n_axes = 1 if columns == VECTOR else 2, axis
        cdef Py_buffer* view = &self.views[self.n_views]
        if self.n_views == MOST_ARRAYS:
            raise RuntimeError(f"an object holds no more than {MOST_ARRAYS} arrays")
        if array is None:
            raise ValueError(f"{self.owner.decode()}: {name} is None; it must be an array")
        PyObject_GetBuffer(array, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if is_written else 0))
        self.n_views += 1
        if kind == FLOATING and self.n_views == 1:
            self.single = view.format[0] == c"f"
        if not is_of(kind, self.single, view):
            wanted = ("int32" if kind == CODE else "intp" if kind == INDEX else "float64"
                      if kind == DOUBLE or not self.single else "float32")
            raise ValueError(f"{self.owner.decode()}: {name} has numbers of the type {view.format.decode()!r} "
                             f"(as in struct); they must be {wanted}")
        if view.ndim != n_axes or (rows != ANY and view.shape[0] != rows) \
                or (n_axes == 2 and view.shape[1] != columns):
            raise misfit(self.owner.decode(), [(
                name, tuple([view.shape[axis] for axis in range(view.ndim)]),
                <object> (rows,) if columns == VECTOR else <object> (rows, columns))], "")
        self.rows = view.shape[0]
        return view.buf
