"""The one module that knows threads: the sequences of a minibatch in parts.

A part is done by the first thread that claims it, usually the one whose part it is.  So a thread that has no
processor holds nobody up, but for what it is in the middle of: the others do its part.  What a part is depends on
their number alone, so results do too.  Threads live as long as one call; to start one takes some 20 us, and nobody
waits for it to end: what they share belongs to the last one that lets go of it.
"""

from libc.stdlib cimport calloc, free

cdef extern from *:
    """
    #if defined(_MSC_VER)
        #include <intrin.h>
        #include <windows.h>
        #define admm_add(count, by) (_InterlockedExchangeAdd(count, by) + (by))
        #define admm_read(count) (*(volatile long*)(count))
        #define admm_claim(flag) (_InterlockedExchange(flag, 1) == 0)
        #define admm_give_way() SwitchToThread()
    #else
        #include <sched.h>
        #define admm_add(count, by) __atomic_add_fetch(count, by, __ATOMIC_ACQ_REL)
        #define admm_read(count) __atomic_load_n(count, __ATOMIC_ACQUIRE)
        #define admm_claim(flag) (__atomic_exchange_n(flag, 1, __ATOMIC_ACQ_REL) == 0)
        #define admm_give_way() sched_yield()
    #endif
    """
    long add "admm_add"(long* count, long by) noexcept nogil
    long read "admm_read"(long* count) noexcept nogil
    bint claim "admm_claim"(long* flag) noexcept nogil
    void give_way "admm_give_way"() noexcept nogil

cdef extern from "pythread.h":
    unsigned long PyThread_start_new_thread(void (*function)(void*) noexcept nogil, void* argument) nogil
    unsigned long PYTHREAD_INVALID_THREAD_ID

cdef double LEAST_WORK = 4e6                      # arithmetic operations that are worth a thread
cdef int LOOKS = 2000                             # before a thread that waits gives way: some microseconds


cdef struct Member:
    Team* team
    int part                                      # where it starts to look for work


cdef struct Team:
    Work function
    void* job
    int n_parts
    long holders                                  # threads that may still look at this
    long done                                     # how many parts are
    Member[MOST_PARTS] members
    long[MOST_PARTS] claimed


cdef int n_parts_of(Py_ssize_t n_threads, Py_ssize_t B, double work) noexcept nogil:
    """In how many parts to cut B sequences that take so many arithmetic operations."""
    cdef double most = min(<double> min(n_threads, MOST_PARTS), work / LEAST_WORK)
    return <int> max(min(most, <double> B), 1.0)


cdef void divide(const Py_ssize_t* offsets, Py_ssize_t N, int n_parts, Py_ssize_t* first) noexcept nogil:
    """Where each part starts among the sequences, longest first, and the last one ends: all have about as many rows."""
    cdef Py_ssize_t B = offsets[N + 1] - offsets[N], low, high, middle, t, before
    cdef int part
    first[0], first[n_parts] = 0, B
    for part in range(1, n_parts):
        low, high = first[part - 1], B
        while low < high:                              # the first one with at least that share of rows before it
            middle = (low + high) // 2
            before = 0
            for t in range(N):
                before += min(middle, offsets[t + 1] - offsets[t])
            if before * n_parts < offsets[N] * part:
                low = middle + 1
            else:
                high = middle
        first[part] = low


cdef bint take_hold(long* flag) noexcept nogil:
    """Whether nobody else has taken hold of it, in which case it is the caller's until ``let_loose``."""
    return claim(flag)


cdef void let_loose(long* flag) noexcept nogil:
    add(flag, -1)


cdef void let_go(Team* team) noexcept nogil:
    if add(&team.holders, -1) == 0:
        free(team)


cdef void take_part(Team* team, int own) noexcept nogil:
    """Do whatever nobody else has claimed."""
    cdef int part, i
    for i in range(team.n_parts):
        part = (own + i) % team.n_parts
        if claim(&team.claimed[part]):
            team.function(team.job, part)
            add(&team.done, 1)


cdef void join_in(void* member) noexcept nogil:
    cdef Team* team = (<Member*> member).team
    take_part(team, (<Member*> member).part)
    let_go(team)


cdef void run(Work function, void* job, int n_parts) noexcept nogil:
    """function(job, part) for all parts, in several threads."""
    cdef Team* team = <Team*> calloc(1, sizeof(Team)) if n_parts > 1 else NULL
    cdef int part, looks = 0
    if team == NULL:                                   # there is one part, or no memory
        for part in range(n_parts):
            function(job, part)
        return
    team.function, team.job, team.n_parts, team.holders = function, job, n_parts, 1
    for part in range(1, n_parts):
        team.members[part].team, team.members[part].part = team, part
        add(&team.holders, 1)
        if PyThread_start_new_thread(join_in, &team.members[part]) == PYTHREAD_INVALID_THREAD_ID:
            add(&team.holders, -1)                     # no more threads to be had: this one does its parts
            break
    take_part(team, 0)
    while read(&team.done) < n_parts:
        looks += 1
        if looks > LOOKS:                              # the others have no processor: let them have this one
            give_way()
    let_go(team)
