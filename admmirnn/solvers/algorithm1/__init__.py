"""Solver "algorithm1": the paper's."""

from admmirnn.solvers.algorithm1.solver import Algorithm1

__all__ = ["Algorithm1"]
