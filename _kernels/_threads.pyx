"""The one module that knows threads: the sequences of a minibatch in parts, one part a thread.

Threads live as long as one call: nothing is left behind for a fork, and nothing spins between calls.  To start one
takes some 20 us.  Which sequences a part has depends on the number of parts alone, so results do too.
"""

cdef extern from *:
    """
    #if defined(_MSC_VER)
        #include <intrin.h>
        #include <windows.h>
        #define admm_arrive(count) _InterlockedIncrement(count)
        #define admm_arrived(count) (*(volatile long*)(count))
        #define admm_give_way() SwitchToThread()
    #else
        #include <sched.h>
        #define admm_arrive(count) __atomic_add_fetch(count, 1, __ATOMIC_ACQ_REL)
        #define admm_arrived(count) __atomic_load_n(count, __ATOMIC_ACQUIRE)
        #define admm_give_way() sched_yield()
    #endif
    """
    long arrive "admm_arrive"(long* count) noexcept nogil
    long arrived "admm_arrived"(long* count) noexcept nogil
    void give_way "admm_give_way"() noexcept nogil

cdef extern from "pythread.h":
    ctypedef void* PyThread_type_lock
    unsigned long PyThread_start_new_thread(void (*function)(void*) noexcept nogil, void* argument) nogil
    unsigned long PYTHREAD_INVALID_THREAD_ID
    PyThread_type_lock PyThread_allocate_lock() nogil
    void PyThread_free_lock(PyThread_type_lock lock) nogil
    int PyThread_acquire_lock(PyThread_type_lock lock, int wait) nogil
    void PyThread_release_lock(PyThread_type_lock lock) nogil

cdef double LEAST_WORK = 4e6                      # arithmetic operations that are worth a thread
cdef int LOOKS = 2000                             # before a thread that waits gives way: some microseconds


cdef struct Task:
    Part function
    void* job
    int part
    int n_parts
    PyThread_type_lock start
    PyThread_type_lock done


cdef int n_parts_of(Py_ssize_t n_threads, Py_ssize_t B, double work) noexcept nogil:
    """In how many parts to cut B sequences that take so many arithmetic operations."""
    cdef double most = min(<double> min(n_threads, MOST_PARTS), work / LEAST_WORK)
    return <int> max(min(most, <double> B), 1.0)


cdef Py_ssize_t first_sequence(const Py_ssize_t* offsets, Py_ssize_t N, int part, int n_parts) noexcept nogil:
    """Where a part starts among the sequences, longest first, so that all have about as many rows."""
    cdef Py_ssize_t B = offsets[N + 1] - offsets[N], rows = offsets[N]
    cdef Py_ssize_t low = 0, high = B, middle, t, before
    if part == 0 or part == n_parts:
        return B if part else 0
    while low < high:                                  # the first one with at least that share of rows before it
        middle = (low + high) // 2
        before = 0
        for t in range(N):
            before += min(middle, offsets[t + 1] - offsets[t])
        if before * n_parts < rows * part:
            low = middle + 1
        else:
            high = middle
    return low


cdef void work_on(void* argument) noexcept nogil:
    cdef Task* task = <Task*> argument
    PyThread_acquire_lock(task.start, 1)
    task.function(task.job, task.part, task.n_parts)
    PyThread_release_lock(task.done)


cdef bint prepare(Task* task) noexcept nogil:
    """A thread that waits for its start; False if there is none to be had."""
    task.start, task.done = PyThread_allocate_lock(), PyThread_allocate_lock()
    if task.start != NULL and task.done != NULL:
        PyThread_acquire_lock(task.start, 1)
        PyThread_acquire_lock(task.done, 1)
        if PyThread_start_new_thread(work_on, task) != PYTHREAD_INVALID_THREAD_ID:
            return True
    forget(task)
    return False


cdef void forget(Task* task) noexcept nogil:
    if task.start != NULL:
        PyThread_free_lock(task.start)
    if task.done != NULL:
        PyThread_free_lock(task.done)


cdef int run(Part function, void* job, int n_parts) noexcept nogil:
    """function(job, part, n_parts) for all parts at the same time; how many there were, fewer if threads run short."""
    cdef Task[MOST_PARTS] tasks
    cdef int part
    for part in range(1, n_parts):
        tasks[part].function, tasks[part].job, tasks[part].part = function, job, part
        if not prepare(&tasks[part]):
            n_parts = part
            break
    for part in range(1, n_parts):
        tasks[part].n_parts = n_parts
        PyThread_release_lock(tasks[part].start)
    function(job, 0, n_parts)
    for part in range(1, n_parts):
        PyThread_acquire_lock(tasks[part].done, 1)
        forget(&tasks[part])
    return n_parts


cdef void meet(long* arrivals, long expected) noexcept nogil:
    """Wait until so many parts have arrived, this one included."""
    cdef int looks = 0
    if arrive(arrivals) >= expected:
        return
    while arrived(arrivals) < expected:
        looks += 1
        if looks > LOOKS:                              # the others have no processor: let them have this one
            give_way()
