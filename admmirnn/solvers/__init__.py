"""The solvers, and the names they go by."""

from admmirnn.solvers.algorithm1 import Algorithm1
from admmirnn.solvers.capability import Capability
from admmirnn.solvers.rollout import Rollout
from admmirnn.solvers.status import Status

SOLVERS: dict[str, type[Rollout | Algorithm1]] = {"rollout": Rollout, "algorithm1": Algorithm1}

__all__ = ["SOLVERS", "Algorithm1", "Capability", "Rollout", "Status"]
