"""What a back end has, for type checkers; imported by none of the others when they run."""

from __future__ import annotations

from admmirnn import reference


class Kernels:
    """The functions of a back end; both have the signatures of the numpy twin."""

    batch = staticmethod(reference.batch)
    work = staticmethod(reference.work)
    scratch_rows = staticmethod(reference.scratch_rows)
    forward = staticmethod(reference.forward)
    o_step = staticmethod(reference.o_step)
    loss_value = staticmethod(reference.loss_value)
    backward_room = staticmethod(reference.backward_room)
    sums_room = staticmethod(reference.sums_room)
    counts_room = staticmethod(reference.counts_room)
    backward = staticmethod(reference.backward)
    fold = staticmethod(reference.fold)
    fold_outputs = staticmethod(reference.fold_outputs)
    mirror = staticmethod(reference.mirror)
    joint_room = staticmethod(reference.joint_room)
    joint_sums = staticmethod(reference.joint_sums)
    linear_map = staticmethod(reference.linear_map)
    weight_step = staticmethod(reference.weight_step)
    move_weights = staticmethod(reference.move_weights)
    step_rows = staticmethod(reference.step_rows)
    pull_back_rows = staticmethod(reference.pull_back_rows)
    stepper = staticmethod(reference.stepper)
    generate = staticmethod(reference.generate)
    a_step = staticmethod(reference.a_step)
    roll_out = staticmethod(reference.roll_out)
    residuals = staticmethod(reference.residuals)
    sweep_room = staticmethod(reference.sweep_room)
    sweep = staticmethod(reference.sweep)
