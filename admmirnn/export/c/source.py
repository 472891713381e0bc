"""What the C sources of both kinds of arithmetic share: the header, the states, and reading sequences step by step."""

from __future__ import annotations

from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING

import numpy as np

from admmirnn.export.c.layers import layers_of
from admmirnn.export.c.text import comment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admmirnn.export.c.layers import Layer
    from admmirnn.export.network import Network

_HEADER = Template("""\
$about
#ifndef ${macro}_H
#define ${macro}_H

#include <stddef.h>
#include <stdint.h>

#define ${macro}_N_FEATURES $n_channels
#define ${macro}_N_OUTPUTS $n_outputs

#ifdef __cplusplus
extern "C" {
#endif

/* What is carried from step to step of one stream; there may be any number of them. */
typedef struct {
$fields
} ${name}_turn;

typedef struct {
    ${name}_turn turns[$stride]; /* one after the other goes on, so that the last frame ends with the stream */
$fields_of_frames} ${name}_state;

/* Lets a stream start. */
void ${name}_init(${name}_state *state);

/* Reads the next observation of a stream and writes the outputs for all that it has read.
   Returns 1; 0 while it has read less than a frame, and -1 if x has NaN or infinity, which leaves the stream where it
   was; outputs are not written then. */
int ${name}_step(${name}_state *state, const float *x, float *outputs);

/* Reads a sequence of n_steps observations of ${macro}_N_FEATURES numbers each, one after the other.
   $predicts
   Returns how many rows of ${macro}_N_OUTPUTS outputs there are: 0 if the sequence is shorter than a frame, or has NaN
   or infinity. */
size_t ${name}_predict(const float *x, size_t n_steps, float *outputs);
$of_classes
#ifdef __cplusplus
}
#endif

#endif
""")

_LABEL = Template("""
/* The number of the class with the largest output. */
int ${name}_label(const float *outputs);
""")
_PROBABILITIES = Template("""
/* Probabilities of the classes from the outputs; both may be the same array. */
void ${name}_probabilities(const float *outputs, float *probabilities);
""")

_FUNCTIONS = Template("""\
static int all_finite(const float *x, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++) {
        if (!(x[i] - x[i] == 0.0f)) {
            return 0;
        }
    }
    return 1;
}
$read_out
static void start_again(${name}_turn *turn)
{
$start
}

void ${name}_init(${name}_state *state)
{
$init
    for (i = 0; i < $stride; i++) {
        start_again(&state->turns[i]);
    }
}

int ${name}_step(${name}_state *state, const float *x, float *outputs)
{
$step
}

size_t ${name}_predict(const float *x, size_t n_steps, float *outputs)
{
$predict
}
""")

_INIT_OF_FRAMES = Template("""\
    int i;
    for (i = 0; i < $n; i++) {
        state->recent[i] = 0;
    }
    state->n_missing = $length;
    state->next = 0;""")

_STEP = Template("""\
$declare    if (!all_finite(x, $n_channels)) {
        return -1;
    }
$enter    read_frame(&state->turns[0], $what);
    write_outputs(&state->turns[0], outputs);
    return 1;""")

_STEP_OF_FRAMES = Template("""\
    ${name}_turn *turn;
    int i;
    if (!all_finite(x, $n_channels)) {
        return -1;
    }
    for (i = 0; i < $n_kept; i++) {
        state->recent[i] = state->recent[i + $n_channels];
    }
    $enter
    if (state->n_missing > 1) {
        state->n_missing--;
        return 0;
    }
    state->n_missing = 1;
    turn = &state->turns[state->next];
    state->next = (state->next + 1) % $stride;
    read_frame(turn, state->recent);
    write_outputs(turn, outputs);
    return 1;""")

_PREDICT = Template("""\
    ${name}_turn turn;
    size_t t;
$declare    if (n_steps < $length || !all_finite(x, n_steps * $n_channels)) {
        return 0;
    }
    start_again(&turn);
    for (t = (n_steps - $length) % $stride; t + $length <= n_steps; t += $stride) {
$enter        read_frame(&turn, $what);
$each    }
$at_the_end""")


_EXP = """
/* exp(x) for x <= 0, within 2e-7; below -87 that of -87 */
static float exp_of(float x)
{
    float k, e = 1.0f / 5040.0f, power = 1.0f;
    int i;
    x = x > -87.0f ? x : -87.0f;
    i = (int)(x * 1.44269504f - 0.5f);
    k = (float)i;
    x = x - k * 0.693359375f;
    x = x + k * 2.12194440e-4f;
    e = e * x + 1.0f / 720.0f;
    e = e * x + 1.0f / 120.0f;
    e = e * x + 1.0f / 24.0f;
    e = e * x + 1.0f / 6.0f;
    e = e * x + 0.5f;
    e = e * x + 1.0f;
    e = e * x + 1.0f;
    for (; i < 0; i++) {
        power *= 0.5f;
    }
    return e * power;
}
"""
_LABEL_FUNCTION = Template("""
int ${name}_label(const float *outputs)
{
    int k, largest = 0;
    for (k = 1; k < $K; k++) {
        largest = outputs[k] > outputs[largest] ? k : largest;
    }
    return largest;
}
""")
_SOFTMAX = Template("""
void ${name}_probabilities(const float *outputs, float *probabilities)
{
    float largest = outputs[0], sum = 0.0f;
    int k;
    for (k = 1; k < $K; k++) {
        largest = outputs[k] > largest ? outputs[k] : largest;
    }
    for (k = 0; k < $K; k++) {
        probabilities[k] = exp_of(outputs[k] - largest);
        sum += probabilities[k];
    }
    for (k = 0; k < $K; k++) {
        probabilities[k] /= sum;
    }
}
""")
_LOGISTIC = Template("""
void ${name}_probabilities(const float *outputs, float *probabilities)
{
    int k;
    for (k = 0; k < $K; k++) {
        float e = exp_of(outputs[k] < 0.0f ? outputs[k] : -outputs[k]);
        probabilities[k] = (outputs[k] < 0.0f ? e : 1.0f) / (1.0f + e);
    }
}
""")


@dataclass(frozen=True)
class Answers:
    """What the outputs mean.

    Attributes
    ----------
    about : tuple of str
        Lines of the header that describe the outputs.
    label : bool
        Whether there is a function for the class of the largest output.
    probabilities : {"softmax", "logistic"} or None
        Function that makes probabilities of outputs.
    """

    about: tuple[str, ...]
    label: bool = False
    probabilities: str | None = None


class Source:
    """C99 of a network: ``text`` is the source and ``header`` what it offers; the subclasses know an arithmetic.

    Parameters
    ----------
    network : Network
        Network of one direction, in the units of X and y, in float32.
    answers : Answers
        Meaning of the outputs.
    name : str
        Beginning of all public names.
    """

    network: Network
    answers: Answers
    name: str

    number: str  # the type of states
    read: str  # and that of observations as layers read them

    def __init__(self, network: Network, answers: Answers, name: str) -> None:
        self.network, self.answers, self.name = network, answers, name
        self.layers: tuple[Layer, ...] = layers_of(network)
        self.parts: tuple[str, ...] = ("s", "c") if network.cell == "lstm" else ("s",)
        self.constants: dict[str, np.ndarray] = {}

    @property
    def is_framed(self) -> bool:
        """Whether a step reads several observations, or some are skipped."""
        return tuple(self.network.frame) != (1, 1)

    def fields_of_turn(self) -> list[tuple[str, str, int, str]]:
        """The type, name, length (0 is no array) and meaning of what is carried from step to step."""
        found = [
            (self.number, f"{part}_{layer.number}", layer.n, f"{words} of layer {layer.number}")
            for layer in self.layers
            for part, words in zip(self.parts, ("state", "cell state"), strict=False)
        ]
        return found + self.pooled_fields(self.layers[-1].n)

    def pooled_fields(self, n: int) -> list[tuple[str, str, int, str]]:
        """Those for a read-out of all states."""
        raise NotImplementedError

    def fields_of_frames(self) -> list[tuple[str, str, int, str]]:
        """What is kept for frames."""
        if not self.is_framed:
            return []
        length, _ = self.network.frame
        return [
            (self.read, "recent", length * self.network.n_channels, "the last observations"),
            ("uint32_t", "n_missing", 0, "observations up to the first frame"),
            ("uint32_t", "next", 0, "the turn that goes on"),
        ]

    @property
    def header(self) -> str:
        """The text of the header."""
        _, stride = self.network.frame
        every_step = self.network.read_out == "each"
        frames = self.fields_of_frames()
        of_classes = _LABEL.substitute(name=self.name) if self.answers.label else ""
        if self.answers.probabilities:
            of_classes += _PROBABILITIES.substitute(name=self.name)
        return _HEADER.substitute(
            about=comment(self.about()),
            macro=self.name.upper(),
            name=self.name,
            n_channels=self.network.n_channels,
            n_outputs=len(self.network.c),
            stride=stride,
            fields=_fields(self.fields_of_turn()),
            fields_of_frames=f"{_fields(frames)}\n" if frames else "",
            predicts="Writes the outputs after each step, or of each frame, one row after the other."
            if every_step
            else "Writes the outputs for the whole sequence.",
            of_classes=of_classes,
        )

    def about(self) -> list[str]:
        """What the files hold, in lines."""
        network = self.network
        sizes = ", ".join(map(str, network.sizes))
        lines = [f"A recurrent network, written by admmirnn: {len(self.layers)} layer(s) of the cell {network.cell}"]
        lines[0] += f" with {sizes} units."
        if self.is_framed:
            length, stride = network.frame
            lines.append(f"A step reads a frame of {length} observations, and the next one that {stride} further on.")
        return [*lines, *self.answers.about]

    @property
    def state_bytes(self) -> int:
        """The size of the state of one stream, with the padding of usual machines."""
        turn, stride = _struct(_sized(self.fields_of_turn())), self.network.frame[1]
        return _struct([(*turn, stride), *_sized(self.fields_of_frames())])[0]

    @property
    def turn_bytes(self) -> int:
        """The size of what is carried from step to step."""
        return _struct(_sized(self.fields_of_turn()))[0]

    @property
    def constant_bytes(self) -> int:
        """The size of all constants: weights, and what belongs to them."""
        return sum(array.nbytes for array in self.constants.values())

    @property
    def text(self) -> str:
        """The text of the source file."""
        raise NotImplementedError

    @property
    def stack_bytes(self) -> int:
        """Bytes of the largest arrays that are on the stack at one time, those of `predict` included."""
        raise NotImplementedError

    def functions_of_sequences(self) -> str:
        """What reads sequences and streams, whatever the arithmetic."""
        network, name = self.network, self.name
        length, stride = network.frame
        n_channels = network.n_channels
        of_sequence = self.observations_of_sequence("x + t * " + str(n_channels))
        of_step = self.observations_of_step()
        substitutes = {"name": name, "n_channels": n_channels, "length": length, "stride": stride}
        if self.is_framed:
            n_kept = (length - 1) * n_channels
            enter = self.enter_frame(f"state->recent + {n_kept}")
            step = _STEP_OF_FRAMES.substitute(substitutes, n_kept=n_kept, enter=enter)
        else:
            step = _STEP.substitute(substitutes, declare=of_step.declare, enter=of_step.enter, what=of_step.what)
        each = network.read_out == "each"
        predict = _PREDICT.substitute(
            substitutes,
            declare=of_sequence.declare,
            enter=of_sequence.enter,
            what=of_sequence.what,
            each=f"        write_outputs(&turn, outputs);\n        outputs += {len(network.c)};\n" if each else "",
            at_the_end=f"    return (n_steps - {length}) / {stride} + 1;"
            if each
            else "    write_outputs(&turn, outputs);\n    return 1;",
        )
        return _FUNCTIONS.substitute(
            substitutes,
            read_out=self.read_out_functions(),
            start=self.start_of_turn(),
            init=_INIT_OF_FRAMES.substitute(substitutes, n=length * n_channels) if self.is_framed else "    int i;",
            step=step,
            predict=predict,
        )

    def of_classes(self) -> str:
        """Functions that make labels and probabilities of outputs."""
        pieces, substitutes = [], {"name": self.name, "K": len(self.network.c)}
        if self.answers.probabilities:
            of_probabilities = _SOFTMAX if self.answers.probabilities == "softmax" else _LOGISTIC
            pieces += [_EXP, of_probabilities.substitute(substitutes)]
        if self.answers.label:
            pieces.append(_LABEL_FUNCTION.substitute(substitutes))
        return "".join(pieces)

    def start_of_turn(self) -> str:
        """Statements that set a turn to its start."""
        lines = ["    int i;"]
        for kind, field, n, _ in self.fields_of_turn():
            if not n:
                lines.append(f"    turn->{field} = 0;")
                continue
            given = f"{field}_0"
            value = f"{given}[i]" if given in self.constants else self.start_of(field, kind)
            lines.append(f"    for (i = 0; i < {n}; i++) {{\n        turn->{field}[i] = {value};\n    }}")
        return "\n".join(lines)

    def start_of(self, field: str, kind: str) -> str:
        """What a field starts from where nothing is given."""
        raise NotImplementedError

    def observations_of_sequence(self, where: str) -> Entered:
        """How a frame of a sequence becomes what the first layer reads."""
        raise NotImplementedError

    def observations_of_step(self) -> Entered:
        """How one observation becomes what the first layer reads."""
        raise NotImplementedError

    def enter_frame(self, where: str) -> str:
        """The statement that writes the observation behind those that are kept."""
        raise NotImplementedError

    def read_out_functions(self) -> str:
        """``read_frame`` and ``write_outputs``."""
        raise NotImplementedError


@dataclass(frozen=True)
class Entered:
    """Pieces of a function: declarations, statements before a frame is read, and the name of the frame."""

    declare: str
    enter: str
    what: str


def _fields(fields: Sequence[tuple[str, str, int, str]]) -> str:
    return "\n".join(f"    {kind} {name}{f'[{n}]' if n else ''}; /* {words} */" for kind, name, n, words in fields)


_SIZES = {"float": 4, "int32_t": 4, "uint32_t": 4, "int16_t": 2, "int64_t": 8}


def _sized(fields: Sequence[tuple[str, str, int, str]]) -> list[tuple[int, int, int]]:
    return [(_SIZES[kind], _SIZES[kind], n or 1) for kind, _, n, _ in fields]


def _struct(fields: Sequence[tuple[int, int, int]]) -> tuple[int, int]:
    """Return size and alignment, in bytes, of a C struct whose fields have these sizes, alignments and lengths."""
    size, largest = 0, max(aligned for _, aligned, _ in fields)
    for of_one, aligned, n in fields:
        size = -(-size // aligned) * aligned + n * of_one
    return -(-size // largest) * largest, largest
