"""BLAS threads: one while anything trains, the user's number afterwards."""

import gc
import threading
import weakref
from contextlib import ExitStack

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from admmirnn import RNNClassifier, backend
from admmirnn.penalties import SpectralBall


def blas_threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_one_blas_thread_is_shared_and_undone():
    backend.kernels()
    with threadpool_limits(2, user_api="blas"):
        first, second = backend.one_blas_thread(), backend.one_blas_thread()
        first.__enter__()
        assert blas_threads() == {1}
        second.__enter__()
        first.__exit__(None, None, None)
        assert blas_threads() == {1}  # the second still needs it
        second.__exit__(None, None, None)
        assert blas_threads() == {2}


def test_fits_in_threads_are_those_of_one_after_the_other(waves):
    X, y = waves

    def fit(seed):
        return RNNClassifier(16, max_epochs=5, random_state=seed).fit(X, y)

    expected = [fit(seed).W_ for seed in range(4)]
    with threadpool_limits(2, user_api="blas"):
        models = {}
        threads = [threading.Thread(target=lambda s=seed: models.update({s: fit(s)})) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert blas_threads() == {2}
    for seed, W in enumerate(expected):
        np.testing.assert_array_equal(models[seed].W_, W)


def test_initial_weights_are_drawn_and_projected_on_one_thread(waves, monkeypatch):
    """Those of 300 units and more would depend on how many BLAS has: another machine, a worker of joblib."""
    found = {}

    def watched(name, function):
        def call(*args, **kwargs):
            found.setdefault(name, blas_threads())
            return function(*args, **kwargs)

        return call

    for name in ("qr", "svd"):
        monkeypatch.setattr(np.linalg, name, watched(name, getattr(np.linalg, name)))
    with threadpool_limits(2, user_api="blas"):
        RNNClassifier(16, max_epochs=1, penalties={"W": SpectralBall(0.9)}, random_state=0).fit(*waves)
    assert found == {"qr": {1}, "svd": {1}}


def in_a_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def test_every_thread_can_limit_blas():
    """threadpoolctl 3.8 listened to the first thread that had ever set a limit, as long as that one lived."""
    before, found = blas_threads(), []

    def limit():
        with backend.one_blas_thread():
            found.append(blas_threads())

    limit()
    in_a_thread(limit)
    limit()
    assert found == [{1}] * 3
    assert blas_threads() == before


def test_the_limit_that_another_thread_has_set_is_lifted():
    before = blas_threads()
    with ExitStack() as first:
        first.enter_context(backend.one_blas_thread())
        last = ExitStack()
        in_a_thread(lambda: last.enter_context(backend.one_blas_thread()))
    assert blas_threads() == {1}
    in_a_thread(last.close)
    assert blas_threads() == before


def test_contexts_keep_nothing_of_their_callers():
    """Frames that refer to themselves would keep all variables of the calls until garbage is collected."""

    def call():
        local = threading.Event()
        with backend.one_blas_thread(), backend.one_blas_thread():
            pass
        return weakref.ref(local)

    gc.disable()
    try:
        assert call()() is None
    finally:
        gc.enable()
