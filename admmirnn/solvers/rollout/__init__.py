"""Solver "rollout": every iteration of ADMM starts from a feasible point, the network's own roll-out."""

from admmirnn.solvers.rollout.solver import Rollout

__all__ = ["Rollout"]
