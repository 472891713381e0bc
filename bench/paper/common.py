"""What the tables and the text have in common."""

import math
import textwrap

import numpy as np

from admmirnn import backend
from admmirnn.data.sequences import Sequences
from admmirnn.losses import SoftmaxCrossEntropy
from admmirnn.solvers.algorithm1.variables import Variables

LOSS = SoftmaxCrossEntropy()


def sequences_of(X):
    return Sequences.of_lengths(np.ascontiguousarray(X.reshape(-1, X.shape[2])), np.full(len(X), X.shape[1]))


def variables_of(kernels, network, sequences, labels):
    everything, weights = np.arange(len(sequences)), np.ones(len(sequences))
    return Variables.of_sequences(kernels, network, sequences, everything, labels, weights, LOSS)


def loss_and_accuracy(outputs, labels):
    """Mean cross-entropy and the share of largest outputs at the label; (nan, nan) unless all outputs are finite."""
    if not np.isfinite(outputs).all():
        return math.nan, math.nan
    labels = np.ascontiguousarray(labels, np.intp)
    weights = np.ones(len(labels), outputs.dtype)
    loss, n_correct = LOSS.value(backend.kernels(), np.ascontiguousarray(outputs), labels, weights)
    return loss, n_correct / len(labels)


def residuals_at_last_step(kernels, variables, room):
    """Write the residuals of the three equations into ``room``; return those of the last step of each sequence."""
    return [residual[-len(variables.lambda1) :] for residual in variables.residuals(kernels, "tanh", room)]


def mean_and_spread(values, digits=4):
    """Mean and standard deviation, or the word that says why there is none."""
    if not np.isfinite(values).all():
        return "not finite"
    spread = f" ({np.std(values, ddof=1):.1g})" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}g}{spread}"


def print_caption(title, text):
    """Print a title, and text in lines that can be read."""
    print(f"\n{title}")
    print(textwrap.fill(text, 140, initial_indent="  ", subsequent_indent="  "))


def print_columns(header, rows):
    """Print rows of text in columns as wide as need be."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        print("  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def new_figure(width, height):
    """A matplotlib figure, or None and a word about it."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        print("\nno picture: matplotlib is missing (pip install matplotlib)")
        return None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
