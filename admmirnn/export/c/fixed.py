"""A network in integers: weights of 8 bits, and what they are multiplied by of 16.

A row of a matrix is a factor times integers from -127 to 127, and what layers read is integers of 16 bits: observations
by a factor for each feature, from calibration data, states by a power of two.  Sums of products are exact in 32 bits.
Pre-activations are fixed-point numbers with ``Layer.fraction`` bits behind the point, gates have 15, states 8 more than
what products read, so that those that change little from step to step do move.  `Fixed.outputs` computes, bit by bit,
what the C source does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from admmirnn.export.c.layers import layers_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admmirnn._typing import Array, FloatArray
    from admmirnn.data.sequences import Sequences
    from admmirnn.export.c import layers
    from admmirnn.export.network import Network

Integers: TypeAlias = NDArray[np.int64]

LEVELS = 127  # of a weight
MOST = (1 << 15) - 1  # of what products read
LARGEST = (1 << 31) - 1
ROOM = 2.0  # observations and unbounded states may be so many times as large as those of the calibration data
MORE = 8  # bits of a state beside those that products read
OF_CELL_STATE = 20  # bits behind the point
PER_UNIT = 5  # the table of tanh has 2**5 intervals a unit
TANH = np.minimum(np.round(np.tanh(np.arange(257) / 2.0**PER_UNIT) * 2**15), MOST).astype(np.int16)
LEAK, LEAK_BITS = 41_943, 22  # 0.01


@dataclass(frozen=True)
class Product:
    """A matrix of 8 bits: sums of products times ``factors`` * 2**-shifts are pre-activations."""

    name: str
    matrix: np.ndarray
    factors: np.ndarray
    shifts: np.ndarray
    of_state: bool
    first: int


@dataclass(frozen=True)
class Layer:
    """As `admmirnn.export.c.layers.Layer`, in integers.

    Attributes
    ----------
    fraction : int
        Number of bits of pre-activations behind the point.
    narrow : int
        Number of bits behind the point of a state as products read it: 15, but fewer where states are larger than 1.
        Elsewhere it has `MORE` of them.
    """

    number: int
    n: int
    products: tuple[Product, ...]
    b: np.ndarray
    b_of_gates: np.ndarray
    initial: dict[str, np.ndarray]
    fraction: int
    narrow: int

    @property
    def widened(self) -> int:
        """By how many bits tanh and sigmoid are shifted to become a state."""
        return self.narrow + MORE - 15


@dataclass(frozen=True)
class Ranges:
    """How large numbers are in the calibration data.

    Attributes
    ----------
    observations : ndarray of shape (n_channels,)
        Largest size of each feature.
    states : sequence of float or None
        Largest size of the states of each layer; None where an activation bounds them by 1.
    """

    observations: np.ndarray
    states: Sequence[float | None]


class Fixed:
    """The network of an export in integers.

    Parameters
    ----------
    network : Network
        Network in float32, of one direction.
    ranges : Ranges
        Largest numbers to be ready for.

    Attributes
    ----------
    factors_of_x : ndarray of shape (n_channels,), float32
        Factors by which observations are multiplied before they are rounded.
    means_of_x : ndarray of shape (n_channels,), float32, or None
        Means that are subtracted from observations before that.
    layers : tuple of Layer
        Layers in integers.
    V : ndarray of shape (K, n), int8
        Weights of the outputs.
    factors_of_V, c : ndarray of shape (K,), float32
        Outputs are sums of products times these factors, plus c.
    """

    def __init__(self, network: Network, ranges: Ranges) -> None:
        self.network = network
        self.factors_of_x: NDArray[np.float32] = (MOST / (ROOM * ranges.observations)).astype(np.float32)
        units = np.tile(1 / self.factors_of_x.astype(np.float64), network.frame[0])  # of what the first layer reads
        self.means_of_x: NDArray[np.float32] | None = None
        if network.standard is not None:
            self.means_of_x = network.standard[0].astype(np.float32)
            self.factors_of_x = (self.factors_of_x * network.standard[1]).astype(np.float32)
        found = []
        for layer, largest in zip(layers_of(network), ranges.states, strict=True):
            found.append(_layer_of(layer, units, largest))
            units = np.full(layer.n, 2.0 ** -found[-1].narrow)
        self.layers: tuple[Layer, ...] = tuple(found)
        self.V, steps = _in_8_bits(network.V * units)
        self.factors_of_V: FloatArray = steps.astype(np.float32)
        self.c: FloatArray = network.c.astype(np.float32)

    def outputs(self, sequences: Sequences) -> FloatArray:
        """The outputs of all sequences, or after each of their steps, as the C source computes them.

        Returns
        -------
        ndarray of shape (n_sequences, K), or (n_steps, K) with a target for each step, float32
        """
        each = self.network.read_out == "each"
        found = np.empty((int(sequences.lengths.sum()) if each else len(sequences), len(self.c)), np.float32)
        for length in np.unique(sequences.lengths):
            which = np.flatnonzero(sequences.lengths == length)
            firsts = sequences.first_rows[which]
            carried = self._start(len(which))
            for t in range(int(length)):
                rows = firsts[:, None] + sequences.stride * t + np.arange(sequences.frame)
                carried.read(self._narrowed(sequences.observations[rows]))
                if each:
                    found[sequences.first_steps[which] + t] = carried.outputs()
            if not each:
                found[which] = carried.outputs()
        return found

    def _narrowed(self, observations: Array) -> Integers:
        x = observations.astype(np.float32)
        x = (x if self.means_of_x is None else x - self.means_of_x) * self.factors_of_x
        x = np.clip(x, np.float32(-MOST), np.float32(MOST))
        x = x + np.where(x < 0, np.float32(-0.5), np.float32(0.5))
        found: Integers = np.trunc(x).astype(np.int64).reshape(len(x), -1)
        return found

    def _start(self, n_sequences: int) -> _Carried:
        return _Carried(self, n_sequences)


class _Carried:
    """What is carried from step to step, of several sequences."""

    def __init__(self, of: Fixed, n_sequences: int) -> None:
        self.of, self.n_steps = of, 0
        self.states = [
            {
                part: np.tile(layer.initial.get(f"{part}_0", np.zeros(layer.n)).astype(np.int64), (n_sequences, 1))
                for part in "sc"
            }
            for layer in of.layers
        ]
        start = -LARGEST if of.network.read_out == "max" else 0
        self.pooled = np.full((n_sequences, of.layers[-1].n), start, np.int64)

    def read(self, x: Integers) -> None:
        """One more frame of every sequence."""
        network = self.of.network
        for layer, state in zip(self.of.layers, self.states, strict=True):
            a = np.tile(layer.b.astype(np.int64), (len(x), 1))
            before = shifted(state["s"], MORE)
            for product in layer.products:
                read = before if product.of_state else x
                sums = (read.astype(np.float64) @ product.matrix.T.astype(np.float64)).astype(np.int64)  # exact
                rows = slice(product.first, product.first + len(product.matrix))
                more = shifted(sums * product.factors.astype(np.int64), product.shifts.astype(np.int64))
                a[:, rows] = _saturated(a[:, rows] + more)
            step_of_cell(network.cell, network.activation, layer, a, state)
            x = shifted(state["s"], MORE)
        self.n_steps += 1
        if network.read_out == "mean":
            self.pooled += self.states[-1]["s"]
        elif network.read_out == "max":
            self.pooled = np.maximum(self.pooled, self.states[-1]["s"])

    def outputs(self) -> FloatArray:
        """Those for all that has been read."""
        of = self.of
        h = self.states[-1]["s"] if of.network.read_out in ("last", "each") else self.pooled
        if of.network.read_out == "mean":
            h = np.sign(h) * (np.abs(h) // self.n_steps)
        sums = shifted(h, MORE).astype(np.float64) @ of.V.T.astype(np.float64)
        found: FloatArray = sums.astype(np.float32) * of.factors_of_V + of.c
        return found


def step_of_cell(cell: str, activation: str, layer: Layer, a: Integers, state: dict[str, Integers]) -> None:
    """Write the states of a layer from its pre-activations; as the C source has it, unit by unit."""
    n, bits = layer.n, layer.fraction - PER_UNIT
    part = [a[:, k * n : (k + 1) * n] for k in range(a.shape[1] // n)]
    s = state["s"]
    if cell == "elman":
        state["s"] = _activated(activation, part[0], layer)
        return
    if cell == "lstm":
        i, f, o = (sigmoid(part[k], bits) for k in (0, 1, 3))
        of_new = shifted(i * tanh(part[2], bits), 30 - OF_CELL_STATE)
        state["c"] = _saturated(shifted(f * state["c"], 15) + of_new)
        state["s"] = shifted(o * tanh(state["c"], OF_CELL_STATE - PER_UNIT), 15 - layer.widened)
        return
    if cell == "fastgrnn":
        b = layer.b_of_gates.astype(np.int64)
        z, c = sigmoid(part[0] + b[:n], bits), tanh(part[0] + b[n:], bits)
    elif cell == "ugrnn":
        z, c = sigmoid(part[0], bits), tanh(part[1], bits)
    else:
        z, r = sigmoid(part[0], bits), sigmoid(part[1], bits)
        c = tanh(part[2] + shifted(r * part[3], 15), bits)
    c = c << layer.widened
    state["s"] = c + shifted(z * (s - c), 15)


def _activated(activation: str, a: Integers, layer: Layer) -> Integers:
    if activation == "tanh":
        return tanh(a, layer.fraction - PER_UNIT) << layer.widened
    if activation == "sigmoid":
        return sigmoid(a, layer.fraction - PER_UNIT) << layer.widened
    if activation == "relu":
        a = np.maximum(a, 0)
    elif activation == "leaky_relu":
        a = np.where(a < 0, shifted(a * LEAK, LEAK_BITS), a)
    by = layer.fraction - layer.narrow - MORE
    s = shifted(a, by) if by > 0 else a << -by
    most = MOST << MORE
    return np.clip(s, -most, most)


def tanh(a: Integers, bits: int) -> Integers:
    """tanh with 15 bits behind the point, of numbers with ``bits`` + `PER_UNIT`: straight lines between the table's."""
    size = np.minimum(np.abs(a), (256 << bits) - 1)
    i, rest = size >> bits, size & ((1 << bits) - 1)
    low = TANH[i].astype(np.int64)
    found: Integers = np.sign(a) * (low + (((TANH[i + 1] - low) * rest) >> bits))
    return found


def sigmoid(a: Integers, bits: int) -> Integers:
    """1 / (1 + exp(-a)), from tanh(a / 2)."""
    return ((1 << 15) + tanh(a, bits + 1)) >> 1


def shifted(values: Integers, n: int | Integers) -> Integers:
    """values / 2**n, rounded, halves away from zero."""
    half = np.left_shift(np.int64(1), np.asarray(n, np.int64) - 1)
    found: Integers = np.sign(values) * ((np.abs(values) + half) >> n)
    return found


def _saturated(values: Integers) -> Integers:
    return np.clip(values, -LARGEST, LARGEST)


def _layer_of(layer: layers.Layer, units: FloatArray, largest: float | None) -> Layer:
    """A layer in integers.

    Parameters
    ----------
    layer : Layer
        Layer in float32.
    units : ndarray of shape (n_read,)
        Value that 1 stands for in each of the integers that the layer reads.
    largest : float or None
        Largest size of its states, if they are as large as pre-activations.
    """
    of_start = np.abs(layer.initial.get("s_0", np.zeros(1))).max()
    narrow, fraction = 15 - max(0, min(8, math.ceil(math.log2(max(of_start, 1))))), 16
    if largest is not None:
        largest = max(largest, of_start)
        narrow = min(15, math.floor(math.log2(MOST / (ROOM * largest))))
        fraction = min(16, 30 - math.ceil(math.log2(4 * ROOM * largest)))
    products = []
    for product in layer.products:
        read = np.full(layer.n, 2.0**-narrow) if product.of_state else units
        matrix, steps = _in_8_bits(product.matrix * read)
        factors, shifts = _factors_of(steps * 2.0**fraction, product.name)
        products.append(Product(product.name, matrix, factors, shifts, product.of_state, product.first))
    initial = {
        part: _rounded(values, *((narrow + MORE, MOST << MORE) if part == "s_0" else (OF_CELL_STATE, LARGEST)))
        for part, values in layer.initial.items()
    }
    return Layer(
        number=layer.number,
        n=layer.n,
        products=tuple(products),
        b=_rounded(layer.b, fraction),
        b_of_gates=_rounded(layer.b_of_gates, fraction),
        initial=initial,
        fraction=fraction,
        narrow=narrow,
    )


def _in_8_bits(matrix: FloatArray) -> tuple[NDArray[np.int8], FloatArray]:
    """Rows of integers, and what each row of them is to be multiplied by; their sums of products fit in 32 bits."""
    matrix = matrix.astype(np.float64)
    largest = np.abs(matrix).max(axis=1)
    units = np.abs(matrix).sum(axis=1) / np.where(largest > 0, largest, 1)
    room = LARGEST / MOST - 0.5 * matrix.shape[1]  # for the sum of a row, when each entry has been rounded up
    steps = largest / np.clip(room / np.maximum(units, 1), 1, LEVELS)
    rows = np.round(matrix / np.where(steps > 0, steps, 1)[:, None])
    return rows.astype(np.int8), steps


def _factors_of(values: FloatArray, name: str) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Integers of 15 bits and numbers of shifts: factor * 2**-shift is the value."""
    mantissa, exponent = np.frexp(values)  # from 1/2 to 1
    shifts = np.where(values > 0, 15 - exponent, 15)
    if (shifts < 1).any():
        raise ValueError(f"{name} has weights too large for integers; fit to data in other units")
    factors = np.minimum(np.round(mantissa * 2**15), MOST)
    small = np.maximum(shifts - 46, 0)  # what adds nothing that is seen
    return np.where(small, 0, factors).astype(np.int16), np.minimum(shifts, 46).astype(np.uint8)


def _rounded(values: FloatArray, bits: int, most: int = LARGEST) -> NDArray[np.int32]:
    found = np.clip(np.round(values.astype(np.float64) * 2.0**bits), -most, most)
    return found.astype(np.int32)
