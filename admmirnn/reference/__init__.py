"""The numpy twin of every kernel: the same signatures, written to be read.

It is the oracle of the kernels' tests and a back end of its own (``ADMMIRNN_BACKEND=numpy``), with a module for each
of ``_kernels``.  The layout of a minibatch is described in ``_kernels/__init__.py``.
"""

from admmirnn.reference.backward import backward
from admmirnn.reference.batch import batch
from admmirnn.reference.forward import forward
from admmirnn.reference.gates import pull_back_rows, step_rows
from admmirnn.reference.generation import generate
from admmirnn.reference.hidden import a_step
from admmirnn.reference.joint import joint_room, joint_sums, mirror
from admmirnn.reference.output import loss_value, o_step
from admmirnn.reference.residuals import residuals, roll_out
from admmirnn.reference.statistics import backward_room, counts_room, fold, fold_outputs, sums_room
from admmirnn.reference.streaming import stepper
from admmirnn.reference.sweep import sweep, sweep_room
from admmirnn.reference.weights import linear_map, move_weights, weight_step
from admmirnn.reference.work import scratch_rows, work

__all__ = [
    "a_step",
    "backward",
    "backward_room",
    "batch",
    "counts_room",
    "fold",
    "fold_outputs",
    "forward",
    "generate",
    "joint_room",
    "joint_sums",
    "linear_map",
    "loss_value",
    "mirror",
    "move_weights",
    "o_step",
    "pull_back_rows",
    "residuals",
    "roll_out",
    "scratch_rows",
    "step_rows",
    "stepper",
    "sums_room",
    "sweep",
    "sweep_room",
    "weight_step",
    "work",
]
