"""The activations f that there are, in numpy, and what the solvers need to know of them besides the kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

if TYPE_CHECKING:
    from collections.abc import Callable

    from admmirnn._typing import FloatArray

LEAK = 0.01
# f, and f' as a function of s = f(a)
FUNCTIONS: dict[str, tuple[Callable[[FloatArray], FloatArray], Callable[[FloatArray], FloatArray]]] = {
    "tanh": (np.tanh, lambda s: 1 - s * s),
    "sigmoid": (expit, lambda s: s * (1 - s)),
    "relu": (lambda a: np.maximum(a, 0), lambda s: (s > 0).astype(s.dtype)),
    "leaky_relu": (lambda a: np.where(a < 0, LEAK * a, a), lambda s: np.where(s > 0, 1, LEAK).astype(s.dtype)),
    "identity": (lambda a: a, np.ones_like),
}
ACTIVATIONS = tuple(FUNCTIONS)
BOUNDED = frozenset({"tanh", "sigmoid"})
