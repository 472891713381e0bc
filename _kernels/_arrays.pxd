from cpython.buffer cimport Py_buffer

cdef enum Kind:                                   # of the numbers of an array
    FLOATING                                      # float32 or float64, as the first such array of an object has it
    DOUBLE                                        # float64
    INDEX                                         # intp
    CODE                                          # int32

cdef enum:
    MOST_ARRAYS = 32
    ANY = -1                                      # of a number of rows
    VECTOR = -2                                   # in the place of a number of columns

cdef object misfit(str kernel, list expected, str otherwise)

cdef class Holder:
    cdef Py_buffer[MOST_ARRAYS] views
    cdef int n_views
    cdef bint single                              # float32
    cdef const char* owner                        # who speaks in error messages
    cdef Py_ssize_t rows                          # of the array that was held last
    cdef void* hold(self, object array, str name, Kind kind, bint is_written, Py_ssize_t rows,
                    Py_ssize_t columns) except? NULL
