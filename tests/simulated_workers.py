"""Workers in threads of one process, which join as those of an MPI program do: for tests of what does not need one."""

import pickle
import threading

import numpy as np

HARD_LIMIT = 120  # seconds; then somebody waits for somebody who will not come


class Threads:
    """What the workers share."""

    def __init__(self, size):
        self.size = size
        self.barrier = threading.Barrier(size, timeout=HARD_LIMIT)
        self.places = [None] * size
        self.n_sums = 0

    def meet(self, rank, value):
        self.places[rank] = value
        self.barrier.wait()
        found = list(self.places)
        self.barrier.wait()
        return found


class ThreadReducer:
    """The reducer of one of them."""

    def __init__(self, threads, rank):
        self._threads, self.rank, self.size = threads, rank, threads.size

    def sum(self, sums):
        if self.rank == 0:
            self._threads.n_sums += 1
        found = self._threads.meet(self.rank, (sums.doubles.copy(), sums.numbers.copy()))
        with np.errstate(invalid="ignore", over="ignore"):
            sums.doubles[:] = sum(doubles for doubles, _ in found)
            sums.numbers[:] = sum(numbers for _, numbers in found)

    def gather(self, value):
        return [pickle.loads(other) for other in self._threads.meet(self.rank, pickle.dumps(value))]


def together(size, work):
    """What ``work(reducer)`` returns on each of so many workers, or the exception that it has raised."""
    threads, found = Threads(size), [None] * size

    def run(rank):
        try:
            found[rank] = work(ThreadReducer(threads, rank))
        except BaseException as error:
            found[rank] = error

    workers = [threading.Thread(target=run, args=(rank,), name=f"worker {rank}", daemon=True) for rank in range(size)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(HARD_LIMIT)
        assert not worker.is_alive(), "a worker hangs"
    return found


def succeed_together(size, work):
    """As `together`, and raise what one of them has raised."""
    found = together(size, work)
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return found


def waves_of_three_frequencies(n_sequences):
    """Sequences of unequal lengths, their classes, their sums, and running sums."""
    rng = np.random.default_rng(0)
    lengths, y = rng.integers(5, 14, n_sequences), rng.integers(0, 3, n_sequences)
    X = [
        np.sin((0.3 + 0.3 * c) * np.arange(n))[:, None] + 0.2 * rng.normal(size=(n, 2))
        for c, n in zip(y, lengths, strict=True)
    ]
    return X, y, np.array([x.sum() for x in X]), [x.cumsum(axis=0)[:, 0] for x in X]
