"""What a back end has, for type checkers; imported by none of the others when they run."""

from __future__ import annotations

from typing import Final

from admmirnn import reference


class Kernels:
    """The functions of a back end; both have the signatures of the numpy twin."""

    batch: Final = staticmethod(reference.batch)
    work: Final = staticmethod(reference.work)
    scratch_rows: Final = staticmethod(reference.scratch_rows)
    forward: Final = staticmethod(reference.forward)
    o_step: Final = staticmethod(reference.o_step)
    loss_value: Final = staticmethod(reference.loss_value)
    backward_room: Final = staticmethod(reference.backward_room)
    sums_room: Final = staticmethod(reference.sums_room)
    counts_room: Final = staticmethod(reference.counts_room)
    backward: Final = staticmethod(reference.backward)
    fold: Final = staticmethod(reference.fold)
    fold_outputs: Final = staticmethod(reference.fold_outputs)
    mirror: Final = staticmethod(reference.mirror)
    joint_room: Final = staticmethod(reference.joint_room)
    joint_sums: Final = staticmethod(reference.joint_sums)
    linear_map: Final = staticmethod(reference.linear_map)
    weight_step: Final = staticmethod(reference.weight_step)
    move_weights: Final = staticmethod(reference.move_weights)
    step_rows: Final = staticmethod(reference.step_rows)
    pull_back_rows: Final = staticmethod(reference.pull_back_rows)
    stepper: Final = staticmethod(reference.stepper)
    generate: Final = staticmethod(reference.generate)
    a_step: Final = staticmethod(reference.a_step)
    roll_out: Final = staticmethod(reference.roll_out)
    residuals: Final = staticmethod(reference.residuals)
    sweep_room: Final = staticmethod(reference.sweep_room)
    sweep: Final = staticmethod(reference.sweep)
