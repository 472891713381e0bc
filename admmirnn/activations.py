"""The activations f that there are, and what the solvers need to know of them besides the kernels."""

ACTIVATIONS = ("tanh", "sigmoid", "relu", "leaky_relu", "identity")
BOUNDED = frozenset({"tanh", "sigmoid"})
