"""Workers of Dask that fit one network in rounds: each has parts of the data, and the driver what they start from."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import pickle
import time
import warnings
from typing import TYPE_CHECKING, Any

from sklearn.base import BaseEstimator, clone

from admmirnn import validation
from admmirnn._typing import Self
from admmirnn.estimators.base import RecurrentEstimator
from admmirnn.estimators.rounds import check_suits_rounds, learn_in_rounds
from admmirnn.estimators.settings import check_estimator_settings
from admmirnn.optional import import_optional
from admmirnn.solvers import SOLVERS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

_LOOK = 0.2  # seconds after which the driver looks whether it is to end


class DaskTrainer(BaseEstimator):
    """Fits an estimator to partitions of the data on the workers of Dask, in rounds.

    In a round, every partition is trained on separately for some iterations, from the same weights and statistics; then
    the driver takes the means of the results, weighted by the partitions' targets.  There is no
    communication within a round, and none of the data leaves its worker.  A worker that dies costs its part of the
    round: Dask reads the partition again on another worker, and the fit goes on.  A worker that is added gets
    partitions from the next round on.

    Weights depend on the partitions, the estimator's parameters and ``iterations_per_round``, and not on which worker
    has which partition, or on how many workers there are.  They are not those of a fit in one process: with 4
    partitions and rounds of 10, networks for MNIST were about as good, and partitions that differ much cost accuracy;
    see the guide.

    Parameters
    ----------
    estimator : RNNClassifier or RNNRegressor
        Estimator to fit; a copy of it becomes ``estimator_``.  Its ``batch_size`` counts the sequences of one
        minibatch of one partition, by default up to 125; its ``n_threads`` should be that of the workers.  ``solver``
        has to be "rollout"; ``penalties``, ``stateful`` and ``checkpoint`` are refused.
    client : distributed.Client, optional
        Client of the cluster; None takes the one that was made last.
    iterations_per_round : int, default=10
        Largest number of iterations that a partition makes before the next average, at least 1.  Fewer are better for
        partitions that differ, and have more communication.
    consensus : bool, default=False
        Whether each partition has multipliers, which keep its weights near the means of all while it learns from its
        own sequences, as in consensus ADMM.  If partitions differ, such as those sorted by label, the network learns
        more with them; if they do not, it learns as much, or with few rounds a little less.  See the guide.
    timeout : float, default=300.0
        Number of seconds, > 0, without any worker or without an answer of the scheduler, after which the fit ends with
        an error.

    Attributes
    ----------
    estimator_ : estimator
        Fitted estimator, which can be used without Dask.  If an error ends the fit, it has the weights after the last
        complete epoch, if there was one.

    Raises
    ------
    ImportError
        In ``fit``, if dask.distributed is not installed: ``pip install "admmirnn[dask]"``.

    Examples
    --------
    ::

        import dask
        from dask.distributed import Client
        from admmirnn import RNNClassifier
        from admmirnn.distributed import DaskTrainer, read_shard

        if __name__ == "__main__":
            client = Client(n_workers=4, threads_per_worker=1)
            parts = [dask.delayed(read_shard)("shards", i) for i in range(4)]
            trainer = DaskTrainer(RNNClassifier(random_state=0, n_threads=1), client).fit(parts)
            trainer.estimator_.save("model.safetensors")
    """

    estimator_: Any

    def __init__(
        self,
        estimator: Any,
        client: Any = None,
        iterations_per_round: int = 10,
        consensus: bool = False,
        timeout: float = 300.0,
    ) -> None:
        self.estimator = estimator
        self.client = client
        self.iterations_per_round = iterations_per_round
        self.consensus = consensus
        self.timeout = timeout

    def fit(self, X: Any, y: Any = None, *, validation_data: Any = None) -> Self:
        """Fit ``estimator_`` to all partitions.

        Ctrl-C ends the fit at once, with the weights after the last round that was complete; ``max_time`` as well.

        Parameters
        ----------
        X : dask.bag.Bag, dask.array.Array, or list of dask.delayed.Delayed or distributed.Future
            Partitions of the training set.  A bag has pairs (x, y) of one sequence, of shape (n_steps, n_features), and
            its target, or its targets of all steps.  An array has the shape (n_sequences, n_steps, n_features), or
            (n_sequences, n_steps), and is cut along its first axis.  Each item of a list becomes a pair (X, y), or a
            triple (X, y, sample_weight), as ``fit`` of the estimator takes it, and X may be empty.
        y : dask.array.Array or list, optional
            Targets of an array, or of a list whose items become X alone.
        validation_data : tuple, optional
            Pair (X, y) in the memory of this process, as the estimator's ``fit`` takes it.

        Returns
        -------
        DaskTrainer
            The trainer itself.

        Raises
        ------
        ValueError, TypeError
            If a parameter or a partition cannot be used; the message has the number of the partition.
        RuntimeError
            If a partition is lost: it was in the memory of a worker only, or all workers it was sent to have died, or
            there have been no workers for ``timeout`` seconds, or the scheduler has gone.
        """
        distributed = import_optional("distributed", "dask", "DaskTrainer")
        estimator = check_estimator(self.estimator)
        per_round = validation.check_limit("iterations_per_round", self.iterations_per_round, 1)
        consensus = validation.check_boolean("consensus", self.consensus)
        timeout = validation.check_number("timeout", self.timeout, strict=True)
        settings = check_estimator_settings(estimator, SOLVERS)
        check_suits_rounds(settings, estimator)
        client = check_client(distributed, self.client)
        partitions = partitions_of(X, y)
        with contextlib.closing(_Work(distributed, client, len(partitions), timeout)) as work:
            raw = work.compute(partitions)
            del partitions
            try:
                learn_in_rounds(estimator, settings, raw, per_round, validation_data, consensus=consensus)
            finally:
                if hasattr(estimator, "n_iter_"):  # after some epochs, should an error have ended it
                    self.estimator_ = estimator
        return self


def check_estimator(estimator: Any) -> Any:
    """Return a copy of an estimator that has parts, or raise."""
    if not isinstance(estimator, RecurrentEstimator) or estimator._reads_text:
        raise TypeError(
            f"estimator is of type {type(estimator).__name__}; pass an RNNClassifier or an RNNRegressor. Others can be "
            "fitted in step, with admmirnn.distributed.MPIReducer"
        )
    return clone(estimator)


def check_client(distributed: Any, client: Any) -> Any:
    """Return the client, or the one that was made last."""
    if client is None:
        try:
            return distributed.get_client()
        except ValueError as error:
            raise ValueError("client is None, and there is none; make one: dask.distributed.Client()") from error
    if not isinstance(client, distributed.Client) or client.asynchronous:
        raise TypeError(f"client is {client!r}; pass a distributed.Client that is not asynchronous")
    return client


def partitions_of(X: Any, y: Any) -> list[Any]:
    """What X and y are made of: objects that `distributed.Client.compute` makes futures of, or futures."""
    from dask.delayed import Delayed, delayed
    from distributed import Future

    if hasattr(X, "to_delayed") and hasattr(X, "map_partitions") and not hasattr(X, "chunks"):
        if y is not None:
            raise ValueError("X is a bag, whose items are pairs (x, y), and y is given as well; leave it out")
        found = [delayed(pairs, pure=False)(items) for items in X.to_delayed()]
    elif hasattr(X, "to_delayed") and hasattr(X, "chunks"):
        if not hasattr(y, "chunks"):
            raise TypeError(f"X is a dask array and y is of type {type(y).__name__}; pass a dask array")
        X = X.rechunk(dict.fromkeys(range(1, X.ndim), -1))
        if y.shape[0] != X.shape[0] and not (X.shape[0] != X.shape[0] or y.shape[0] != y.shape[0]):
            raise ValueError(f"X has {X.shape[0]} sequences and y has {y.shape[0]} targets; pass one for each")
        if y.chunks[0] != X.chunks[0]:
            y = y.rechunk({0: X.chunks[0]})
        y = y.rechunk(dict.fromkeys(range(1, y.ndim), -1))
        blocks = zip(X.to_delayed().ravel(), y.to_delayed().ravel(), strict=True)
        found = [delayed(pair, pure=False)(*block) for block in blocks]
    elif isinstance(X, (list, tuple)) and all(isinstance(one, (Delayed, Future)) for one in X):
        found = list(X)
        if y is not None:
            if len(y) != len(X):
                raise ValueError(f"X has {len(X)} partitions and y has {len(y)}; pass one of y for each of X")
            found = [delayed(pair, pure=False)(*both) for both in zip(X, y, strict=True)]
    else:
        raise TypeError(
            f"X is of type {type(X).__name__}; pass a dask bag, a dask array, or a list of delayed objects or futures"
        )
    if not found:
        raise ValueError("X has no partitions; pass at least one")
    return found


def pair(X: Any, y: Any) -> tuple[Any, Any]:
    """A partition of these."""
    return X, y


def pairs(items: Any) -> tuple[list[Any], list[Any]]:
    """A partition of a bag, whose items are pairs (x, y)."""
    items = list(items)
    for i, item in enumerate(items):
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise TypeError(f"item {i} of the bag's partition is of type {type(item).__name__}; make it a pair (x, y)")
    return [x for x, _ in items], [y for _, y in items]


def _loaded(pickled: bytes) -> Any:
    return pickle.loads(pickled)  # which this program has made itself


def _called(part: Any, rank: int, call: tuple[Callable[..., Any], tuple[Any, ...]], own: bytes | None = None) -> Any:
    function, arguments = call
    more = {} if own is None else {"own": _loaded(own)}
    return function(part, rank, *arguments, **more)


class _Places:
    """Which worker has which partition: no worker has more for each of its threads than another one could have.

    Parameters
    ----------
    n_parts : int
        Number of partitions.
    """

    def __init__(self, n_parts: int) -> None:
        self.of_parts: list[str | None] = [None] * n_parts

    def update(self, n_threads: dict[str, int]) -> None:
        """Move as few partitions as can be to the workers with these addresses and numbers of threads."""
        n_parts = {address: self.of_parts.count(address) for address in sorted(n_threads)}

        def freest() -> str:
            return min(n_parts, key=lambda address: (n_parts[address] + 1) / n_threads[address])

        def move(i: int, address: str) -> None:
            self.of_parts[i] = address
            n_parts[address] += 1

        for i, address in enumerate(self.of_parts):
            if address not in n_parts:
                move(i, freest())
        while True:
            to, busiest = freest(), max(n_parts, key=lambda address: n_parts[address] / n_threads[address])
            if n_parts[busiest] / n_threads[busiest] <= (n_parts[to] + 1) / n_threads[to]:
                return
            n_parts[busiest] -= 1
            move(len(self.of_parts) - 1 - self.of_parts[::-1].index(busiest), to)


class _Work:
    """What the partitions of a fit have in common: the client, and where they are."""

    def __init__(self, distributed: Any, client: Any, n_parts: int, timeout: float) -> None:
        self.distributed, self.client, self.timeout = distributed, client, timeout
        self._places = _Places(n_parts)
        self._had_workers = time.monotonic()

    def compute(self, partitions: Sequence[Any]) -> DaskParts:
        """Have the partitions made where they are to stay."""
        with self._quiet():
            futures = [
                one
                if isinstance(one, self.distributed.Future)
                else self.client.compute(one, workers=place, allow_other_workers=place is not None)
                for one, place in zip(partitions, self.places(), strict=True)
            ]
        return DaskParts(self, futures)

    def places(self, stop: Callable[[], Any] | None = None) -> list[str | None]:
        """The workers that should have the partitions, of those that there are; after ``stop()`` as they were."""
        n_threads = self._n_threads(stop)
        if n_threads:
            self._had_workers = time.monotonic()
            self._places.update(n_threads)
        return self._places.of_parts

    def submit(
        self,
        futures: Sequence[Any],
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        each: Sequence[Any] | None = None,
        stop: Callable[[], Any] | None = None,
    ) -> list[Any]:
        """Have a function called with each partition, where it is."""
        cloudpickle = import_optional("cloudpickle", "dask", "DaskTrainer")
        with self._quiet():
            call = self.client.submit(_loaded, cloudpickle.dumps((function, arguments)), pure=False)
            owns = [None if each is None else pickle.dumps(own) for own in each or futures]
            return [
                self.client.submit(
                    _called, future, rank, call, own, workers=place, allow_other_workers=place is not None, pure=False
                )
                for rank, (future, place, own) in enumerate(zip(futures, self.places(stop), owns, strict=True))
            ]

    def results(self, futures: Sequence[Any], stop: Callable[[], Any] | None) -> list[Any] | None:
        """Wait for all, and return what they are; None if ``stop()`` is true before.

        Those that a worker has taken with it are lost at first, and then found again, unless there is nothing to find
        them from.
        """
        had_all = time.monotonic()
        while True:
            if stop is not None and stop():
                self.client.cancel(futures)
                return None
            try:
                self.distributed.wait(futures, timeout=_LOOK)
            except (TimeoutError, self.distributed.TimeoutError):
                self._check_there_are_workers(stop)
            except (asyncio.CancelledError, concurrent.futures.CancelledError):
                pass  # which `check_sound` says of which partition
            if self.client.status in ("connecting", "closing", "closed"):
                raise RuntimeError("the scheduler of Dask has gone, and with it what the workers had of the data")
            is_lost = time.monotonic() - had_all > self.timeout
            for rank, future in enumerate(futures):
                check_sound(rank, future, is_lost=is_lost)
            states = {future.status for future in futures}
            if "lost" not in states:
                had_all = time.monotonic()
            if states != {"finished"}:
                continue
            found = self._gathered(futures, stop)
            if found is not None and len(found) == len(futures):
                return found  # or a worker has died with what it had found, and it is found again

    def _gathered(self, futures: Sequence[Any], stop: Callable[[], Any] | None) -> list[Any] | None:
        """What there is of the results; None if ``stop()`` is true before, or a worker has died that had some."""

        async def gathered() -> Any:
            return await self.client.gather(futures, errors="skip")

        gathering = self._in_loop(gathered())
        while True:
            try:
                found: list[Any] = gathering.result(_LOOK)
                return found
            except concurrent.futures.CancelledError:
                return None
            except (TimeoutError, concurrent.futures.TimeoutError):
                # should a worker die now, gather would wait for another one without an end
                if (stop is not None and stop()) or {future.status for future in futures} != {"finished"}:
                    gathering.cancel()
                    return None

    def _n_threads(self, stop: Callable[[], Any] | None = None) -> dict[str, int] | None:
        """The number of threads of each worker, by address; None if ``stop()`` is true before."""

        async def asked() -> Any:
            return await self.client.nthreads()

        asking, started = self._in_loop(asked()), time.monotonic()
        while time.monotonic() - started < self.timeout:
            try:
                found: dict[str, int] = asking.result(_LOOK)
                return found
            except (TimeoutError, concurrent.futures.TimeoutError):
                if stop is not None and stop():
                    asking.cancel()
                    return None
            except OSError as error:
                raise RuntimeError(f"the scheduler of Dask cannot be reached: {error}") from error
        asking.cancel()
        raise RuntimeError(
            f"the scheduler of Dask has not answered for {self.timeout:g} seconds; pass a larger timeout if it may be "
            "as busy as that"
        )

    def _in_loop(self, call: Coroutine[Any, Any, Any]) -> concurrent.futures.Future[Any]:
        """What a call becomes that the thread of the client makes, where methods of the client can be awaited."""
        return asyncio.run_coroutine_threadsafe(call, self.client.loop.asyncio_loop)

    def _check_there_are_workers(self, stop: Callable[[], Any] | None) -> None:
        n_threads = self._n_threads(stop)
        if n_threads:
            self._had_workers = time.monotonic()
        elif n_threads is not None and time.monotonic() - self._had_workers > self.timeout:
            raise RuntimeError(
                f"there has been no worker for {self.timeout:g} seconds; start some, or pass a larger timeout"
            )

    @staticmethod
    @contextlib.contextmanager
    def _quiet() -> Iterator[None]:
        """Weights are as large as they are: Dask need not warn of a large graph."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph", category=UserWarning)
            yield

    def close(self) -> None:
        """Let go of the client."""
        del self.client


def check_sound(rank: int, future: Any, *, is_lost: bool) -> None:
    """Raise what has gone wrong with a partition, with its number; ``is_lost`` says that lost ones do not come back."""
    if future.status in ("finished", "pending") or (future.status == "lost" and not is_lost):
        return
    if future.status == "error":
        error = future.exception()
        name, text = type(error).__name__, f"{type(error).__name__}: {error}"
        if name == "KilledWorker":
            raise RuntimeError(f"partition {rank} of X has ended all workers that it was sent to: {text}") from error
        raise (TypeError if isinstance(error, TypeError) else ValueError)(f"partition {rank} of X: {text}") from error
    raise RuntimeError(
        f"partition {rank} of X is {future.status}: it was in the memory of a worker that has gone, or somebody has "
        "cancelled it; pass something that can be read again, such as a delayed object"
    )


class DaskParts:
    """The partitions of a fit, as futures; see `admmirnn.estimators.rounds.Parts`."""

    def __init__(self, work: _Work, futures: Sequence[Any]) -> None:
        self._work, self._futures = work, futures
        self._n_parts = len(futures)

    def __len__(self) -> int:
        return self._n_parts

    def map(self, function: Callable[..., Any], /, *arguments: Any) -> DaskParts:
        """Return the parts that the function makes of these."""
        return DaskParts(self._work, self._work.submit(self._futures, function, arguments))

    def collect(
        self,
        function: Callable[..., Any],
        /,
        *arguments: Any,
        each: Sequence[Any] | None = None,
        stop: Callable[[], Any] | None = None,
    ) -> list[Any] | None:
        """Return what the function finds of each; None if ``stop()`` is true before."""
        return self._work.results(self._work.submit(self._futures, function, arguments, each, stop), stop)

    def release(self) -> None:
        """Let go of the parts: workers forget what nothing else is made of."""
        self._futures = []
