"""Values that are wrong for almost every argument, and whether a call refuses them as it ought to."""

import numpy as np

WRONG = {
    "a string": "nonsense",
    "bytes": b"nonsense",
    "an object": object(),
    "minus one": -1,
    "a negative number": -0.5,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "a huge integer": 10**30,
    "a huge negative integer": -(10**30),
    "a complex number": 1j,
    "an empty list": [],
    "a list of None": [None],
    "an empty tuple": (),
    "a tuple of three": (1, 2, 3),
    "a set": {1, 2},
    "a dict": {"nonsense": 1},
    "a dict of None": {None: None},
    "an array": np.array([1.0, 2.0]),
    "an empty array": np.empty((0, 3)),
    "an array of objects": np.array([object()]),
    "a type": int,
    "a function": len,
    "a generator": (i for i in range(3)),
    "a null byte": "a\0b",
    "a range": range(3),
    "a slice": slice(3),
    "Ellipsis": ...,
    "NotImplemented": NotImplemented,
    "a datetime": np.datetime64("2020-01-01"),
    "a masked array": np.ma.array([1.0, 2.0], mask=[True, False]),
}
# what its checks of estimators ask for, word for word
OF_SCIKIT_LEARN = ("Found array with 0 sample(s)", "Complex data not supported")


def refuses(call, name):
    """Whether it raises, and if so names the argument."""
    try:
        call()
    except (ValueError, TypeError, OSError) as error:
        named = name in str(error) or str(error).startswith(OF_SCIKIT_LEARN)
        assert named, f"{type(error).__name__}: {error}"
        return True
    return False
