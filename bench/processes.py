"""Functions that run in processes forked from this one, which may be killed, or have limits of their own."""

import json
import os
import select
import signal
import time
from contextlib import suppress


class Child:
    """A process that runs ``function(tell, *arguments)``, where ``tell`` sends a value that JSON has.

    Parameters
    ----------
    function : callable
        What it does; an exception that it raises is sent as {"error": its type, "message": its text}.
    *arguments
        For the function.
    """

    def __init__(self, function, *arguments):
        self._reading, writing = os.pipe()
        self._left = b""
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._reading)
            self._run(function, arguments, writing)
        os.close(writing)

    @staticmethod
    def _run(function, arguments, writing):
        def tell(value):
            os.write(writing, json.dumps(value).encode() + b"\n")

        try:
            function(tell, *arguments)
        except BaseException as error:
            tell({"error": type(error).__name__, "message": str(error)[:300]})
        finally:
            os._exit(0)

    def told(self, seconds):
        """The next value that it sends; None when it has ended, and TimeoutError if nothing comes for so long."""
        end = time.monotonic() + seconds
        while b"\n" not in self._left:
            if not select.select([self._reading], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError
            data = os.read(self._reading, 1 << 16)
            if not data:
                return None
            self._left += data
        line, self._left = self._left.split(b"\n", 1)
        return json.loads(line)

    def send(self, number):
        """Send a signal."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def end(self, *, kill=False):
        """Wait for its end, which ``kill`` brings about; return the number of the signal that ended it, or 0."""
        if kill:
            self.send(signal.SIGKILL)
        status = os.waitpid(self.pid, 0)[1]
        os.close(self._reading)
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def outcome(function, *arguments, seconds=300):
    """What a function sends first in a process of its own, and the number of the signal that ended this one, or 0.

    It is "hangs" if it sends nothing for so many seconds, and None if it sends nothing at all.
    """
    child = Child(function, *arguments)
    try:
        found = child.told(seconds)
    except TimeoutError:
        child.end(kill=True)
        return "hangs", 0
    return found, child.end()
