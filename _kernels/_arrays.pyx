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
        cdef int n_axes = 1 if columns == VECTOR else 2
        cdef Py_buffer* view = &self.views[self.n_views]
        if self.n_views == MOST_ARRAYS:
            raise RuntimeError(f"an object holds no more than {MOST_ARRAYS} arrays")
        if array is None:
            raise ValueError(f"{self.owner.decode()}: there is no {name}")
        PyObject_GetBuffer(array, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if is_written else 0))
        self.n_views += 1
        if kind == FLOATING and self.n_views == 1:
            self.single = view.format[0] == c"f"
        if not is_of(kind, self.single, view):
            raise ValueError(f"{self.owner.decode()}: the numbers of {name} are not of the type that they should be")
        if view.ndim != n_axes or (rows != ANY and view.shape[0] != rows) \
                or (n_axes == 2 and view.shape[1] != columns):
            raise ValueError(f"{self.owner.decode()}: the shapes do not belong together, that of {name} and the sizes")
        self.rows = view.shape[0]
        return view.buf
