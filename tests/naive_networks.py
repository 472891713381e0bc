"""Networks of any cell, layers and directions by a program that goes step by step, sequence by sequence."""

import numpy as np
from activation_functions import FUNCTIONS
from scipy.special import expit


def fastgrnn(w, x, s, c):
    a = w["U"] @ x + w["W"] @ s
    z = expit(a + w["b_z"])
    return (1 - z) * np.tanh(a + w["b_c"]) + z * s, c


def ugrnn(w, x, s, c):
    a = {gate: w[f"U_{gate}"] @ x + w[f"W_{gate}"] @ s + w[f"b_{gate}"] for gate in "zc"}
    z = expit(a["z"])
    return (1 - z) * np.tanh(a["c"]) + z * s, c


def gru(w, x, s, c):
    z, r = (expit(w[f"U_{gate}"] @ x + w[f"W_{gate}"] @ s + w[f"b_{gate}"]) for gate in "zr")
    return (1 - z) * np.tanh(w["U_c"] @ x + w["b_c"] + r * (w["W_c"] @ s + w["b_s"])) + z * s, c


def lstm(w, x, s, c):
    i, f, g, o = (w[f"U_{gate}"] @ x + w[f"W_{gate}"] @ s + w[f"b_{gate}"] for gate in "ifgo")
    c = expit(f) * c + expit(i) * np.tanh(g)
    return expit(o) * np.tanh(c), c


GATED = {"fastgrnn": fastgrnn, "ugrnn": ugrnn, "gru": gru, "lstm": lstm}


def following(cell):
    """(weights, x, s, c) -> what comes after s and c."""
    if cell.name in GATED:
        return GATED[cell.name]
    return lambda w, x, s, c: (FUNCTIONS[cell.activation](w["U"] @ x + w["W"] @ s + w["b"]), c)


def states_of(direction, x):
    """s_1 to s_N of one sequence, read from its start."""
    w, step = direction.weights, following(direction.cell)
    s, c = (np.zeros(direction.n_hidden) if w.get(name) is None else w[name] for name in ("s_0", "c_0"))
    states = []
    for x_t in x:
        s, c = step(w, x_t, s, c)
        states.append(s)
    return np.array(states)


def last_layer(network, x, n_layers=None):
    """The states of each direction, in the order of the steps of the sequence; of the last one of so many layers."""
    for directions in network.layers[:n_layers]:
        found = [states_of(one, x[::-1])[::-1] if i else states_of(one, x) for i, one in enumerate(directions)]
        x = np.hstack(found)
    return found


def outputs_of(network, x, *, every_step=False):
    """Of one sequence: a row, or one for each step."""
    found = last_layer(network, x)
    if every_step:
        h = np.hstack(found)
    else:  # the last state of a direction is that of the step it reads last
        pooled = {"last": None, "mean": np.mean, "max": np.max}[network.read_out]
        rows = [(S[0] if i else S[-1]) if pooled is None else pooled(S, axis=0) for i, S in enumerate(found)]
        h = np.hstack(rows)[None]
    return h @ network.weights["V"].T + network.weights["c"]
