"""The solvers, and the names they go by."""

from admmirnn.solvers.rollout import Rollout

SOLVERS = {"rollout": Rollout}

__all__ = ["SOLVERS", "Rollout"]
