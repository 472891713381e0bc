"""A lock around a call, which no exception leaves locked."""


def call_holding(lock, function):
    """``with lock: function()``.

    What a handler of a signal or a tracing function raises comes between two instructions of Python, and so between the
    end of a ``with`` and the release of its lock too, which nobody would release then.  Here there is no such place.
    """
    with lock:
        function()
