"""What solvers may be able to do, beyond what all of them can."""

from __future__ import annotations

from enum import Enum


class Capability(Enum):
    """What a solver says it can do, in its set ``capabilities``; the value says it in words.

    An estimator looks into that set before anything runs: settings that need what is not in it are refused, and
    ``solve`` is passed the keywords of what is in it, and no others.
    """

    LABELS_PER_STEP = "a class number for each step"
    SYMBOLS = "sequences of symbols, as text is"
    READ_OUTS = "the read-outs 'mean' and 'max'"
    TWO_DIRECTIONS = "layers that read sequences from both ends"
    CELLS = "cells with gates, whose layers have several maps or more rows than units"
    LAYERS = "several layers, each of which reads the states of the one below it"
    DROPOUT = "units that are not seen in training, other ones of each sequence: the keyword ``dropout``"
    AUGMENTATION = "training sequences that are changed each time they are read: the keyword ``augmentation``"
    STATES = "s_0, and `Streams` whose state is carried from chunk to chunk"
    PENALTIES = "penalties and constraints on blocks of weights: the keyword ``penalties``"
    OWN_PENALTY = "``penalty=None``, for which it finds a ridge that suits"
    MEMORY = "to go on from an earlier call, as in `partial_fit`: the keywords ``online`` and ``memory``"
    WORKERS = "to share a fit with other processes, each of which has a part of the data: the keyword ``reducer``"
    CHECKPOINTS = "to go on from the state of another fit: the keywords ``checkpoint`` and ``resume``"
