"""The numpy twin of every kernel: the same signatures, written to be read.

It is the oracle of the kernels' tests and a back end of its own (``ADMMIRNN_BACKEND=numpy``), with a module for each
of ``_kernels``.  The layout of a minibatch is described in ``_kernels/__init__.py``.
"""

from admmirnn.reference.backward import backward, backward_room
from admmirnn.reference.forward import forward
from admmirnn.reference.generation import generate
from admmirnn.reference.hidden import a_step
from admmirnn.reference.joint import joint_room, joint_statistics, mirror
from admmirnn.reference.output import loss_value, o_step
from admmirnn.reference.residuals import residuals, roll_out
from admmirnn.reference.streaming import stepper
from admmirnn.reference.sweep import sweep, sweep_room
from admmirnn.reference.weights import linear_map, move_weights, weight_step

__all__ = [
    "a_step",
    "backward",
    "backward_room",
    "forward",
    "generate",
    "joint_room",
    "joint_statistics",
    "linear_map",
    "loss_value",
    "mirror",
    "move_weights",
    "o_step",
    "residuals",
    "roll_out",
    "stepper",
    "sweep",
    "sweep_room",
    "weight_step",
]
