"""Kernels that take objects, called with plain arrays by name: the objects are made, and what is returned put together.

Sizes are those that the arguments state, so that an array of another shape does not belong to them.
"""

import math
from types import SimpleNamespace

import numpy as np

from admmirnn.networks.cells import Elman


def layer_of(p, m, M, weights, *, ridge_columns=(0, 0), n_symbols=0, R=None, P_factor=None, **arrays):
    """What `linear_map` looks at."""
    fixed = {"p": p, "m": m, "n_symbols": n_symbols, "n_ones": 1, "ridge_columns": ridge_columns}
    fixed |= {"gram_blocks": (0, 1), "R": R, "P_factor": P_factor}
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
            keep = max(0.0, 1 - shrinkage * norm * length) if i == 0 else 1.0
            if not kernels.move_weights(maps[i], length, keep):
                outcomes[i] = norm, math.inf, *others
    return tuple(outcomes) if len(outcomes) == 2 else (outcomes[0], (0.0, 0.0, 0.0, 0.0))


def room_of(Theta, Psi, activation, read_out, n_threads, S, **arrays):
    """What `work` looks at; arrays that are not given are None."""
    n, K = len(Theta), len(Psi)
    d = np.shape(Theta)[1] - n - 1
    names = ("X", "codes", "Q", "H", "steps", "O_plus", "lambda3", "lambda1", "initial_multipliers", "sums", "counts")
    names += ("lambda_s", "lambda_x", "lambda_c", "A", "C", "mask")
    arrays = dict.fromkeys(names) | {"weights_T": np.empty((d + 1 + n, n), np.asarray(S).dtype)} | arrays
    sizes = {"d": d, "n": n, "K": K, "n_threads": n_threads, "gram_block": 0}
    of_network = {"maps": (Theta,), "Psi": Psi, "cell": Elman(activation), "read_out": read_out}
    return SimpleNamespace(S=S, **sizes, **of_network, **arrays)


def forward(
    kernels, observations, scale, first_rows, lengths, offsets, Theta, Psi, activation, weights_T, X, S, Q,
    labels=None, values=None, weights=None, rho=1.0, O_plus=None, lambda3=None, loss=None, parameter=0.0, n_threads=1,
    read_out="last", stride=1, initial=None, H=None, steps=None, codes=None, plus=None,
):  # fmt: skip
    """The roll-out and, with a loss, the o-step."""
    room = room_of(
        Theta, Psi, activation, read_out, n_threads, S, weights_T=weights_T, X=X, Q=Q, H=H, steps=steps, codes=codes,
        O_plus=O_plus, lambda3=lambda3,
    )  # fmt: skip
    width = np.shape(observations)[1] if np.ndim(observations) == 2 else 1
    frame = 1 if codes is not None else max(room.d // width, 1)
    batch = kernels.batch(observations, scale, first_rows, lengths, offsets, frame, stride)
    targets = None
    if any(one is not None for one in (labels, values, loss, O_plus)):
        targets = SimpleNamespace(
            labels=labels, values=values, weights=weights, rho=rho, loss=loss, parameter=parameter
        )  # fmt: skip
    return kernels.forward(kernels.work(room), batch, initial, plus, targets)


class Unchanged:
    """Copies of arrays that nobody can write to, in the place of which kernels take such as they could write to."""

    def __init__(self):
        self.pairs = []

    def __call__(self, array):
        """The array, or its copy."""
        if not isinstance(array, np.ndarray) or array.flags.writeable:
            return array
        self.pairs.append((array, array.copy()))
        return self.pairs[-1][1]

    def check(self):
        """Nothing of them has been written to."""
        for before, after in self.pairs:
            np.testing.assert_array_equal(before, after)


def lengths_of(offsets):
    """Of the sequences that stand there, if any can."""
    counts = np.diff(np.ravel(offsets))
    return np.array([(counts[:-1] > i).sum() for i in range(max(counts[-1], 0) if len(counts) else 0)], np.intp)


def batch_of_steps(kernels, offsets, d):
    """A minibatch with these steps, whose observations nobody reads."""
    lengths = lengths_of(offsets)
    observations = np.zeros((max(lengths, default=1), d), np.uint8)
    return kernels.batch(observations, 1.0, np.zeros(len(lengths), np.intp), lengths, offsets)


def backward(
    kernels, Theta, Psi, X, S, offsets, lambda3, activation, cap, momentum, decay, gram_first, gram_every, lambda1, M,
    G, output_M, output_G, sums, n_threads=1, read_out="last", weights=None, lengths=None, H=None, steps=None,
    from_zero=True, initial_multipliers=None, codes=None, R=None, R_every=1, R_decay=0.0, roots=None,
):  # fmt: skip
    """The multipliers, and their sums folded into M, G and R, and into those of the outputs if they are given."""
    n, K, dtype = len(Theta), len(Psi), np.asarray(S).dtype
    d = np.shape(Theta)[1] - n - 1
    counts = np.full(kernels.counts_room(Elman(), n, R is not None), np.nan)
    unchanged = Unchanged()
    X, S, codes, steps = (unchanged(array) for array in (X, S, codes, steps))
    room = room_of(
        Theta, Psi, activation, read_out, n_threads, S, X=X, codes=codes, Q=np.empty((len(S), K), dtype), H=H,
        steps=steps, lambda1=lambda1, initial_multipliers=initial_multipliers, sums=sums, counts=counts,
    )  # fmt: skip
    work, batch = kernels.work(room), batch_of_steps(kernels, offsets, d)
    n_symbols = 0 if codes is None else d

    def map_of(M, G, R=None, n_symbols=0):
        """With everything else that moves the weights, which nobody looks at."""
        p, m = (n, d + n + 1) if M is not output_M else (K, n + 1)
        arrays = {"factor": np.empty((m, m - n_symbols), dtype), "D": np.empty((m, p), dtype)}
        arrays |= {"R": R, "P_factor": None if R is None else np.empty((p, p), dtype)}
        layer = layer_of(p, m, M, np.empty((p, m), dtype), G=G, n_symbols=n_symbols, **arrays)
        return kernels.linear_map(layer, np.empty(max(m * p, m * m), dtype))

    hidden = map_of(M, G, R, n_symbols)
    output = None if output_M is None else map_of(output_M, output_G)
    n_capped = kernels.backward(
        work, batch, lambda3, weights, cap, gram_first, gram_every, R_every, from_zero, output is not None, roots
    )
    kernels.fold(work, hidden, momentum, decay, R_decay)
    if output is not None:
        end, of_hidden = kernels.sums_room(Elman(), d, n, K, codes is not None)
        of_output = counts[: kernels.counts_room(Elman(), n, False)]
        kernels.fold_outputs(output, sums[of_hidden:end], of_output, momentum, decay)
    unchanged.check()
    return n_capped


def joint_statistics(
    kernels, H, H_reverse, lambda3, weights, offsets, momentum, decay, gram_first, gram_every, M, G, sums,
    read_out="last",
):  # fmt: skip
    """What an output layer says that reads two networks, folded into its M and G; H stands where the first has S."""
    batch = batch_of_steps(kernels, offsets, 1)
    K, n, n_reverse, dtype = len(M), H.shape[1], np.shape(H_reverse)[1], H.dtype
    h, rows, first = n + n_reverse + 1, offsets[-1], offsets[1 if read_out == "each" else -2]
    S = np.concatenate([np.full((first, n), np.nan, dtype), H])
    room = room_of(
        np.zeros((n, n + 2), dtype), np.zeros((K, n + 1), dtype), "tanh", read_out, 1, S,
        X=np.empty((rows, 2), dtype), Q=np.empty((rows, K), dtype),
    )  # fmt: skip
    counts = np.full(kernels.counts_room(Elman(), n, False), np.nan)
    arrays = {"factor": np.empty((h, h), dtype), "D": np.empty((h, K), dtype)}
    layer = layer_of(K, h, M, np.empty((K, h), dtype), G=G, **arrays)
    output = kernels.linear_map(layer, np.empty(h * K, dtype))
    kernels.joint_sums(
        kernels.work(room), batch, H_reverse, n_reverse, lambda3, weights, gram_first, gram_every, sums, counts
    )  # fmt: skip
    kernels.fold_outputs(output, sums[: (K + h) * h], counts, momentum, decay)


def mirror(kernels, A, lengths, offsets, A_out):
    """Outputs in the order of a network that reads from the other end."""
    observations = np.zeros((max(lengths, default=1), 1), np.uint8)
    batch = kernels.batch(observations, 1.0, np.zeros(len(lengths), np.intp), lengths, offsets)
    kernels.mirror(A, batch, A_out)


def roll_out(kernels, Theta, offsets, activation, Z):
    """The states of Algorithm 1."""
    n = len(Theta)
    kernels.roll_out(np.shape(Theta)[1] - n - 1, n, Theta, offsets, activation, Z)


def residuals(kernels, Theta, Psi, Z, H, A, O, activation, *out):
    """Those of the three equations."""
    n = len(Theta)
    sizes = {"d": np.shape(Theta)[1] - n - 1, "n": n, "K": len(Psi)}
    kernels.residuals(SimpleNamespace(Theta=Theta, Psi=Psi, Z=Z, H=H, A=A, O=O, **sizes), activation, *out)


def generate(kernels, Theta, Psi, activation, *others):
    """Symbols that follow others."""
    layer = SimpleNamespace(n_hidden=np.shape(Psi)[1] - 1, cell=Elman(activation), maps=(Theta,))
    return kernels.generate(len(Psi), [layer], Psi, *others)


def keep_multipliers(kernels, workspace):
    """Let a fit's workspace keep the multipliers of all steps of its minibatch, in ``workspace.room.lambda1``."""
    room = workspace.room
    room.lambda1 = np.full((workspace.batch.n_rows, room.n), np.nan, room.dtype)
    workspace.work = kernels.work(room)


# by their names, what calls several kernels, and which these are
LAUNCHED = {
    "forward": (forward, {"batch", "work", "forward"}),
    "backward": (backward, {"batch", "work", "backward", "linear_map", "fold", "fold_outputs"}),
    "joint_statistics": (joint_statistics, {"batch", "work", "joint_sums", "linear_map", "fold_outputs"}),
    "mirror": (mirror, {"batch", "mirror"}),
    "roll_out": (roll_out, {"roll_out"}),
    "residuals": (residuals, {"residuals"}),
    "generate": (generate, {"generate"}),
    "update_weights": (update_weights, {"linear_map", "weight_step", "move_weights"}),
}


def call(kernels, name, arguments):
    """Call a kernel, or several, with its arguments, a list or, by name, a dict."""
    if name not in LAUNCHED:
        return getattr(kernels, name)(*arguments)
    function = LAUNCHED[name][0]
    return function(kernels, **arguments) if isinstance(arguments, dict) else function(kernels, *arguments)


def kernels_of(name):
    """The names of the kernels that `call` calls."""
    return LAUNCHED[name][1] if name in LAUNCHED else {name}


def refusal_of(name):
    """What a message begins with when the kernel refuses an argument."""
    return "|".join(f"{kernel}: " for kernel in sorted(kernels_of(name)))
