"""Kernels that take objects, called with plain arrays by name: the objects are made, and what is returned put together.

Sizes are those that the arguments state, so that an array of another shape does not belong to them.
"""

import math
from types import SimpleNamespace


def layer_of(p, m, M, weights, *, ridge_columns=(0, 0), n_symbols=0, R=None, P_factor=None, **arrays):
    """What `linear_map` looks at."""
    fixed = {"p": p, "m": m, "n_symbols": n_symbols, "ridge_columns": ridge_columns, "R": R, "P_factor": P_factor}
    return SimpleNamespace(M=M, pull=M, weights=weights, **fixed, **arrays)


def update_weights(
    kernels, *, n, d, K, M, G, factor, D, Theta, scratch, damping, r, radius, schedule, shrinkage,
    output_M=None, output_G=None, output_factor=None, output_D=None, Psi=None, output_radius=math.inf, factored=None,
    R=None, P_factor=None, n_symbols=0,
):  # fmt: skip
    """The weight step of a hidden layer and, if it is given, of an output layer: all solves, then all moves.

    Returns (|D|, length, damping, shift) of both, of which the length is infinite where weights have overflowed.
    """
    ridge_columns = (d if R is None else n_symbols, d + n)
    hidden = layer_of(
        n, d + n + 1, M, Theta, G=G, factor=factor, D=D, R=R, P_factor=P_factor, n_symbols=n_symbols,
        ridge_columns=ridge_columns,
    )  # fmt: skip
    layers, radii = [hidden], [radius]
    if output_M is not None:
        layers.append(layer_of(K, n + 1, output_M, Psi, G=output_G, factor=output_factor, D=output_D))
        radii.append(output_radius)
    maps = [kernels.linear_map(layer, scratch) for layer in layers]
    outcomes = [
        kernels.weight_step(of_layer, damping, r, radius, schedule, factored and factored[i])
        for i, (of_layer, radius) in enumerate(zip(maps, radii, strict=True))
    ]
    if all(math.isfinite(norm * length) for norm, length, _, _ in outcomes):
        for i, (norm, length, *others) in enumerate(outcomes):
            by_radius = R is None and math.isfinite(radius)
            distance = schedule * radius if by_radius else norm * length
            keep = max(0.0, 1 - shrinkage * distance) if i == 0 else 1.0
            if not kernels.move_weights(maps[i], length, keep):
                outcomes[i] = norm, math.inf, *others
    return tuple(outcomes) if len(outcomes) == 2 else (outcomes[0], (0.0, 0.0, 0.0, 0.0))


LAUNCHED = {"update_weights": (update_weights, {"linear_map", "weight_step", "move_weights"})}


def call(kernels, name, arguments):
    """Call a kernel, or several, with a list of arguments or, where there are objects to be made, with named ones."""
    if name in LAUNCHED:
        return LAUNCHED[name][0](kernels, **arguments)
    return getattr(kernels, name)(*arguments)


def kernels_of(name):
    """The names of the kernels that `call` calls."""
    return LAUNCHED[name][1] if name in LAUNCHED else {name}


def refusal_of(name):
    """What a message begins with when the kernel refuses an argument."""
    return "|".join(f"{kernel}: " for kernel in sorted(kernels_of(name)))
