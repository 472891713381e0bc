"""One file a task, which defines ``TASK``; see `bench.race.task`."""

import importlib
import pkgutil


def names():
    """The tasks there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load_task(name):
    """The task of that name."""
    return importlib.import_module(f"{__name__}.{name}").TASK
