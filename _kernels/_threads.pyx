"""The one module that knows threads: work in parts, such as the sequences of a minibatch or the columns of a solve.

A part is done by the first thread that claims it, usually the one whose part it is.  So a thread that has no
processor holds nobody up, but for what it is in the middle of: the others do its part.  What a part is depends on
their number alone, so results do too.

A thread that has done its part waits for the next call, awake at first and then asleep, and ends when none has come for
a while, so that an iteration finds the threads of the one before.  (New ones for each call would often wait for the
processor of the thread that starts them, and not get it before that has done all parts: Linux 6.18 was seen to put
them there in every third call, with another core idle.)  Nobody waits for a thread to end: what threads share belongs
to the last one that lets go of it.  Before a fork those that sleep are sent away, and the new process has none.
"""

import os

from libc.stdlib cimport calloc, free

cdef extern from *:
    """
    #if defined(_MSC_VER)
        #include <intrin.h>
        #include <windows.h>
        #define admm_add(count, by) (_InterlockedExchangeAdd(count, by) + (by))
        #define admm_read(count) (*(volatile long*)(count))
        #define admm_exchange(place, value) _InterlockedExchange(place, value)
        #define admm_replace(place, old, value) (_InterlockedCompareExchange(place, value, old) == (old))
        #define admm_give_way() SwitchToThread()
    #else
        #include <sched.h>
        #define admm_add(count, by) __atomic_add_fetch(count, by, __ATOMIC_ACQ_REL)
        #define admm_read(count) __atomic_load_n(count, __ATOMIC_ACQUIRE)
        #define admm_exchange(place, value) __atomic_exchange_n(place, value, __ATOMIC_ACQ_REL)
        static inline int admm_replace(long* place, long old, long value) {
            return __atomic_compare_exchange_n(place, &old, value, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
        }
        #define admm_give_way() sched_yield()
    #endif
    """
    long add "admm_add"(long* count, long by) noexcept nogil
    long read "admm_read"(long* count) noexcept nogil
    long exchange "admm_exchange"(long* place, long value) noexcept nogil
    bint replace "admm_replace"(long* place, long old, long value) noexcept nogil  # old by value, if it is there
    void give_way "admm_give_way"() noexcept nogil

cdef extern from "pythread.h":
    unsigned long PyThread_start_new_thread(void (*function)(void*) noexcept nogil, void* argument) nogil
    unsigned long PYTHREAD_INVALID_THREAD_ID
    ctypedef void* PyThread_type_lock
    PyThread_type_lock PyThread_allocate_lock() nogil
    int PyThread_acquire_lock_timed(PyThread_type_lock lock, long long microseconds, int interruptible) nogil
    void PyThread_release_lock(PyThread_type_lock lock) nogil

cdef int LOOKS = 2000                             # before a thread that waits gives way: some microseconds
cdef int LOOKS_FOR_CALLS = 200_000                # before one sleeps that has done a part: some 0.2 ms
cdef int TIMES_TO_GIVE_WAY = 3000                 # before one sleeps that has come too late: a millisecond
cdef int TIMES_TO_WAIT = 100                      # for one that is to end, before a fork
cdef long long PATIENCE = 20_000                  # microseconds that it sleeps before it ends


cdef enum State:                                  # of a helper
    ABSENT                                        # there is no such thread
    AWAKE                                         # it looks whether it is called
    ASLEEP
    CALLED                                        # it has work, and nobody else may call it
    DISMISSED                                     # it is to end


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


cdef struct Helper:                               # a thread that does parts for others
    long taken                                    # by the thread that calls it, until it has done its part
    long state
    PyThread_type_lock sleep                      # which it waits for; to release it wakes it
    Member* member                                # what it is called for


cdef Helper[MOST_PARTS] helpers


cdef int n_parts_of(Py_ssize_t n_threads, Py_ssize_t most, double work, double least) noexcept nogil:
    """In how many parts, at most so many, to cut the work, in arithmetic operations; each has at least so many."""
    return <int> max(min(<double> min(min(n_threads, most), MOST_PARTS), work / least), 1.0)


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
    return exchange(flag, 1) == 0


cdef void let_loose(long* flag) noexcept nogil:
    add(flag, -1)


cdef void let_go(Team* team) noexcept nogil:
    if add(&team.holders, -1) == 0:
        free(team)


cdef int take_part(Team* team, int own) noexcept nogil:
    """Do whatever nobody else has claimed; how many parts these were."""
    cdef int part, i, found = 0
    for i in range(team.n_parts):
        part = (own + i) % team.n_parts
        if take_hold(&team.claimed[part]):
            team.function(team.job, part)
            add(&team.done, 1)
            found += 1
    return found


cdef bint join_in(Member* member) noexcept nogil:
    """Whether there was still something to do."""
    cdef Team* team = member.team
    cdef bint found = take_part(team, member.part) > 0
    let_go(team)
    return found


cdef void help(void* of) noexcept nogil:
    """What a helper does: a part for each call, until none comes.

    One that has come too late has had no processor.  It stays awake for longer, or the system would leave it where it
    is, behind the thread that calls it, instead of moving it to an idle processor.
    """
    cdef Helper* helper = <Helper*> of
    cdef int looks, most
    cdef bint has_helped
    while True:
        has_helped = join_in(helper.member)
        exchange(&helper.state, AWAKE)
        let_loose(&helper.taken)
        looks, most = 0, LOOKS_FOR_CALLS if has_helped else TIMES_TO_GIVE_WAY
        while read(&helper.state) == AWAKE and looks < most:
            looks += 1
            if not has_helped:
                give_way()
        if replace(&helper.state, AWAKE, ASLEEP) and PyThread_acquire_lock_timed(helper.sleep, PATIENCE, 0) == 0:
            if replace(&helper.state, ASLEEP, ABSENT):
                return
            PyThread_acquire_lock_timed(helper.sleep, -1, 0)  # called, or dismissed, just now
        if replace(&helper.state, DISMISSED, ABSENT):
            let_loose(&helper.taken)
            return


cdef bint call_helper(Member* member) noexcept nogil:
    """Have a helper that waits, or else a new one, do a part; whether there is one."""
    cdef Helper* helper
    cdef long before
    cdef int i
    for i in range(MOST_PARTS):
        helper = &helpers[i]
        if read(&helper.taken) or not take_hold(&helper.taken):
            continue
        if helper.sleep == NULL:
            helper.sleep = PyThread_allocate_lock()
            if helper.sleep == NULL:
                let_loose(&helper.taken)
                return False
            PyThread_acquire_lock_timed(helper.sleep, -1, 0)
        helper.member = member
        before = exchange(&helper.state, CALLED)
        if before == ASLEEP:
            PyThread_release_lock(helper.sleep)
        elif before == ABSENT and PyThread_start_new_thread(help, helper) == PYTHREAD_INVALID_THREAD_ID:
            exchange(&helper.state, ABSENT)
            let_loose(&helper.taken)
            return False
        return True
    return False


def _dismiss_helpers():
    """End the helpers that wait, so that a process that is forked now is one of as few threads as can be."""
    cdef long before
    cdef int i, looks
    with nogil:
        for i in range(MOST_PARTS):
            if helpers[i].sleep == NULL:
                break                                  # no more have ever been called
            looks = 0
            while looks < TIMES_TO_WAIT and not take_hold(&helpers[i].taken):
                looks += 1                             # it works, or has just done so
                give_way()
            if looks == TIMES_TO_WAIT:
                continue
            before = exchange(&helpers[i].state, DISMISSED)
            if before == ABSENT:
                exchange(&helpers[i].state, ABSENT)
                let_loose(&helpers[i].taken)
                continue
            if before == ASLEEP:
                PyThread_release_lock(helpers[i].sleep)
            while read(&helpers[i].state) == DISMISSED:  # afterwards, others may have called for it anew
                give_way()


def _forget_helpers():
    """Begin without helpers: a process that has been forked has the thread that forked it alone."""
    cdef int i
    for i in range(MOST_PARTS):
        helpers[i].sleep, helpers[i].state, helpers[i].taken = NULL, ABSENT, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_dismiss_helpers, after_in_child=_forget_helpers)


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
        if not call_helper(&team.members[part]):
            add(&team.holders, -1)                     # no more threads to be had: this one does its parts
            break
    take_part(team, 0)
    while read(&team.done) < n_parts:
        looks += 1
        if looks > LOOKS:                              # the others have no processor: let them have this one
            give_way()
    let_go(team)
