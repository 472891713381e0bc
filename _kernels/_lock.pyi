from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

def call_holding(lock: AbstractContextManager[Any], function: Callable[[], object]) -> None: ...
