"""C sources in integers of 8 and 16 bits."""

from __future__ import annotations

from string import Template
from typing import TYPE_CHECKING

import numpy as np

from admmirnn.export.c import fixed
from admmirnn.export.c.source import Entered, Source
from admmirnn.export.c.storage import Dense, Sparse, index_dtype, smallest
from admmirnn.export.c.text import comment, constants

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from admmirnn.export.c.fixed import Fixed
    from admmirnn.export.c.source import Answers
    from admmirnn.export.c.storage import Storage

_FUNCTIONS = Template("""
/* value / 2**n, rounded; n >= 1 */
static int64_t shifted(int64_t value, int n)
{
    int64_t half = (int64_t)1 << (n - 1);
    return value < 0 ? -((half - value) >> n) : (value + half) >> n;
}

static int32_t saturated(int64_t value)
{
    if (value > 2147483647) {
        return 2147483647;
    }
    return value < -2147483647 ? -2147483647 : (int32_t)value;
}

/* observations as integers */
static void quantise(const float *x, int n_observations, int16_t *q)
{
    int i, j;
    for (i = 0; i < n_observations; i++) {
        for (j = 0; j < $n_channels; j++) {
            float value = $x * factors_of_x[j];
            value = value > 32767.0f ? 32767.0f : value;
            value = value < -32767.0f ? -32767.0f : value;
            value = value < 0.0f ? value - 0.5f : value + 0.5f;
            *q++ = (int16_t)value;
        }
    }
}

/* states as products read them; they are less than 2**23 */
static void narrowed(const int32_t *s, int n, int16_t *q)
{
    int i;
    for (i = 0; i < n; i++) {
        q[i] = (int16_t)(s[i] < 0 ? -((128 - s[i]) >> 8) : (s[i] + 128) >> 8);
    }
}
""")
_DOT = """
static int32_t dot(const int8_t *row, int n_columns, const int16_t *vector)
{
    int32_t sum = 0;
    int j;
    for (j = 0; j < n_columns; j++) {
        sum += (int32_t)row[j] * vector[j];
    }
    return sum;
}
"""
_SPARSE_DOT = Template("""
static int32_t sparse_dot(const int8_t *values, const $index *columns, int count, const int16_t *vector)
{
    int32_t sum = 0;
    int j;
    for (j = 0; j < count; j++) {
        sum += (int32_t)values[j] * vector[columns[j]];
    }
    return sum;
}
""")
_PRODUCT = """
/* sums += factors * 2**-shifts * (matrix @ vector) */
static void add_product(const int8_t *matrix, const int16_t *factors, const uint8_t *shifts, int n_rows, int n_columns,
                        const int16_t *vector, int32_t *sums)
{
    int i;
    for (i = 0; i < n_rows; i++) {
        int64_t more = (int64_t)dot(matrix, n_columns, vector) * factors[i];
        sums[i] = saturated(sums[i] + shifted(more, shifts[i]));
        matrix += n_columns;
    }
}
"""
_SPARSE_PRODUCT = Template("""
/* the same of a matrix of which each row has counts[i] values, in these columns */
static void add_sparse_product(const int8_t *values, const $index *columns, const uint16_t *counts,
                               const int16_t *factors, const uint8_t *shifts, int n_rows,
                               const int16_t *vector, int32_t *sums)
{
    int i;
    for (i = 0; i < n_rows; i++) {
        int64_t more = (int64_t)sparse_dot(values, columns, counts[i], vector) * factors[i];
        sums[i] = saturated(sums[i] + shifted(more, shifts[i]));
        values += counts[i];
        columns += counts[i];
    }
}
""")
_TANH = """
/* 2**15 tanh(a / 2**(bits + 5)): straight lines between the entries of a table, within 1.2e-4 */
static int32_t tanh_of(int32_t a, int bits)
{
    int32_t size = a < 0 ? -a : a, most = ((int32_t)256 << bits) - 1, i, found;
    size = size < most ? size : most;
    i = size >> bits;
    size &= ((int32_t)1 << bits) - 1;
    found = table_of_tanh[i] + (((table_of_tanh[i + 1] - table_of_tanh[i]) * size) >> bits);
    return a < 0 ? -found : found;
}
"""
_SIGMOID = """
/* 2**15 / (1 + exp(-a / 2**(bits + 5))) */
static int32_t sigmoid_of(int32_t a, int bits)
{
    return (32768 + tanh_of(a, bits + 1)) >> 1;
}
"""
_LAYER = Template("""
static void step_of_layer_$number(const int16_t *x, $states)
{
    int16_t q[$n];
    int32_t a[$n_all];
    int i;
    narrowed(s, $n, q);
    for (i = 0; i < $n_all; i++) {
        a[i] = $b;
    }
$products
    for (i = 0; i < $n; i++) {
$cell
    }
}
""")
_GATED = """\
        s[i] = c + (int32_t)shifted((int64_t)z * (s[i] - c), 15);"""
_CELLS = {
    "fastgrnn": """\
        int32_t z = sigmoid_of(saturated((int64_t)a[i] + b_gates_$l[i]), $bits);
        int32_t c = $one * tanh_of(saturated((int64_t)a[i] + b_gates_$l[i + $n]), $bits);
"""
    + _GATED,
    "ugrnn": """\
        int32_t z = sigmoid_of(a[i], $bits);
        int32_t c = $one * tanh_of(a[i + $n], $bits);
"""
    + _GATED,
    "gru": """\
        int32_t z = sigmoid_of(a[i], $bits);
        int32_t r = sigmoid_of(a[i + $n], $bits);
        int32_t c = $one * tanh_of(saturated(a[i + 2 * $n] + shifted((int64_t)r * a[i + 3 * $n], 15)), $bits);
"""
    + _GATED,
    "lstm": """\
        int32_t of_new = sigmoid_of(a[i], $bits) * tanh_of(a[i + 2 * $n], $bits);
        int64_t of_old = (int64_t)sigmoid_of(a[i + $n], $bits) * c[i];
        c[i] = saturated(shifted(of_old, 15) + shifted(of_new, 10));
        s[i] = (int32_t)shifted((int64_t)sigmoid_of(a[i + 3 * $n], $bits) * tanh_of(c[i], 15), $rest);""",
}
_ELMAN = {
    "tanh": "        s[i] = $one * tanh_of(a[i], $bits);",
    "sigmoid": "        s[i] = $one * sigmoid_of(a[i], $bits);",
    "relu": "        int64_t value = a[i] > 0 ? a[i] : 0;",
    "leaky_relu": "        int64_t value = a[i] < 0 ? shifted((int64_t)a[i] * 41943, 22) : a[i];",
    "identity": "        int64_t value = a[i];",
}
_UNBOUNDED = """
        value = $moved;
        value = value > 8388352 ? 8388352 : value;
        s[i] = (int32_t)(value < -8388352 ? -8388352 : value);"""
_POOL = {
    "mean": """\
    turn->n_steps++;
    for (i = 0; i < $n; i++) {
        turn->pooled[i] += turn->s_$l[i];
    }""",
    "max": """\
    for (i = 0; i < $n; i++) {
        turn->pooled[i] = turn->s_$l[i] > turn->pooled[i] ? turn->s_$l[i] : turn->pooled[i];
    }""",
}
_OUTPUTS = Template("""
static void write_outputs(const ${name}_turn *turn, float *outputs)
{
    int16_t h[$n];
$declare    int i;
$narrow
    for (i = 0; i < $K; i++) {
        float output = (float)$dot * factors_of_V[i];
        outputs[i] = output + c_out[i];
$next    }
}
""")


class FixedSource(Source):
    """C99 in integers; see `Source`.

    Parameters
    ----------
    of : Fixed
        Network in integers.
    answers, name
        As those of `Source`.
    """

    number: str = "int32_t"
    read: str = "int16_t"

    def __init__(self, of: Fixed, answers: Answers, name: str) -> None:
        super().__init__(of.network, answers, name)
        self.of = of
        products = [product for layer in of.layers for product in layer.products]
        self.index: DTypeLike = index_dtype([*(product.matrix for product in products), of.V])
        self.storages: dict[str, Storage] = {}
        self.constants["factors_of_x"] = of.factors_of_x
        if of.means_of_x is not None:
            self.constants["means_of_x"] = of.means_of_x
        self.has_tanh: bool = of.network.cell != "elman" or of.network.activation in ("tanh", "sigmoid")
        if self.has_tanh:
            self.constants["table_of_tanh"] = fixed.TANH
        for layer in of.layers:
            for product in layer.products:
                self._store(product.name, product.matrix)
                self.constants |= {f"{product.name}_factors": product.factors, f"{product.name}_shifts": product.shifts}
            if layer.b.any():
                self.constants[f"b_{layer.number}"] = layer.b
            if len(layer.b_of_gates):
                self.constants[f"b_gates_{layer.number}"] = layer.b_of_gates
            for part, initial in layer.initial.items():
                self.constants[f"{part[0]}_{layer.number}_0"] = initial
        self._store("V", of.V)
        self.constants |= {"factors_of_V": of.factors_of_V, "c_out": of.c}

    def _store(self, name: str, matrix: np.ndarray) -> None:
        storage = self.storages[name] = smallest(matrix, self.index, with_factors=False)
        self.constants |= {f"{name}{suffix}": array for suffix, array in storage.arrays.items()}

    def about(self) -> list[str]:
        """What the files hold, in lines."""
        return [*super().about(), "Weights have 8 bits, what they are multiplied by 16."]

    @property
    def text(self) -> str:
        """The text of the source file."""
        pieces = [comment(self.about()), f'#include "{self.name}.h"\n']
        pieces += [constants(name, array) for name, array in self.constants.items()]
        read = "(*x++ - means_of_x[j])" if "means_of_x" in self.constants else "*x++"
        functions = [_FUNCTIONS.substitute(n_channels=self.network.n_channels, x=read)]
        index = {"index": "uint8_t" if self.index is np.uint8 else "uint16_t"}
        of_layers = {type(storage) for name, storage in self.storages.items() if name != "V"}
        for kind, dot, product in (
            (Dense, _DOT, _PRODUCT),
            (Sparse, _SPARSE_DOT.substitute(index), _SPARSE_PRODUCT.substitute(index)),
        ):
            functions += [dot] if kind in {*of_layers, type(self.storages["V"])} else []
            functions += [product] if kind in of_layers else []
        if self.has_tanh:
            functions.append(_TANH)
        if self.network.cell != "elman" or self.network.activation == "sigmoid":
            functions.append(_SIGMOID)
        functions += [self._layer(layer) for layer in self.of.layers]
        return "\n".join(pieces) + "".join(functions) + "\n" + self.functions_of_sequences() + self.of_classes()

    def _layer(self, layer: fixed.Layer) -> str:
        network = self.network
        if network.cell != "elman":
            cell = _CELLS[network.cell]
        else:
            cell = _ELMAN[network.activation] + ("" if self.has_tanh else _UNBOUNDED)
        by = layer.fraction - layer.narrow - fixed.MORE
        moved = f"shifted(value, {by})" if by > 0 else f"value * {1 << -by}"
        return _LAYER.substitute(
            number=layer.number,
            states=", ".join(f"int32_t *{part}" for part in self.parts),
            n=layer.n,
            n_all=len(layer.b),
            b=f"b_{layer.number}[i]" if layer.b.any() else "0",
            products="\n".join(self._product(product) for product in layer.products),
            cell=Template(cell).substitute(
                n=layer.n,
                l=layer.number,
                bits=layer.fraction - fixed.PER_UNIT,
                moved=moved,
                one=1 << layer.widened,
                rest=15 - layer.widened,
            ),
        )

    def _product(self, product: fixed.Product) -> str:
        name, (n_rows, n_columns) = product.name, product.matrix.shape
        sums = f"a + {product.first}" if product.first else "a"
        vector = "q" if product.of_state else "x"
        if isinstance(self.storages[name], Sparse):
            matrix = f"add_sparse_product({name}, {name}_columns, {name}_counts"
            return f"    {matrix}, {name}_factors, {name}_shifts, {n_rows}, {vector}, {sums});"
        return f"    add_product({name}, {name}_factors, {name}_shifts, {n_rows}, {n_columns}, {vector}, {sums});"

    def pooled_fields(self, n: int) -> list[tuple[str, str, int, str]]:
        """Those for a read-out of all states."""
        if self.network.read_out == "mean":
            return [
                ("int64_t", "pooled", n, "the sum of the states"),
                ("uint32_t", "n_steps", 0, "how many states there were"),
            ]
        return [("int32_t", "pooled", n, "the largest states")] if self.network.read_out == "max" else []

    def start_of(self, field: str, kind: str) -> str:
        """What a field starts from."""
        return str(-fixed.LARGEST) if (field, self.network.read_out) == ("pooled", "max") else "0"

    def observations_of_sequence(self, where: str) -> Entered:
        """A frame is made of integers."""
        length, n = self.network.frame[0], self.network.n_features
        return Entered(f"    int16_t q[{n}];\n", f"        quantise({where}, {length}, q);\n", "q")

    def observations_of_step(self) -> Entered:
        """As is an observation."""
        return Entered(f"    int16_t q[{self.network.n_channels}];\n", "    quantise(x, 1, q);\n", "q")

    def enter_frame(self, where: str) -> str:
        """In integers."""
        return f"quantise(x, 1, {where});"

    def read_out_functions(self) -> str:
        """``read_frame`` and ``write_outputs``."""
        network, last = self.network, self.layers[-1]
        lines, read = [], "x"
        for below, layer in zip((None, *self.layers), self.layers, strict=False):
            if below is not None:
                lines.append(f"    narrowed(turn->s_{below.number}, {below.n}, q);")
                read = "q"
            states = ", ".join(f"turn->{part}_{layer.number}" for part in self.parts)
            lines.append(f"    step_of_layer_{layer.number}({read}, {states});")
        if len(self.layers) > 1:
            lines.insert(0, f"    int16_t q[{max(layer.n for layer in self.layers[:-1])}];")
        h = f"turn->s_{last.number}"
        if network.read_out in _POOL:
            lines = ["    int i;", *lines, Template(_POOL[network.read_out]).substitute(n=last.n, l=last.number)]
            h = "turn->pooled"
        read_frame = f"\nstatic void read_frame({self.name}_turn *turn, const int16_t *x)\n{{\n"
        return read_frame + "\n".join(lines) + "\n}\n" + self._outputs(h)

    def _outputs(self, h: str) -> str:
        n, K = self.layers[-1].n, len(self.network.c)
        narrow = f"    narrowed({h}, {n}, h);"
        if self.network.read_out == "mean":
            narrow = f"    for (i = 0; i < {n}; i++) {{\n"
            narrow += "        h[i] = (int16_t)shifted(turn->pooled[i] / (int64_t)turn->n_steps, 8);\n    }"
        declare, of_row, following = "", f"dot(V + i * {n}, {n}, h)", ""
        if isinstance(self.storages["V"], Sparse):
            index = "uint8_t" if self.index is np.uint8 else "uint16_t"
            declare = f"    const int8_t *values = V;\n    const {index} *columns = V_columns;\n"
            of_row = "sparse_dot(values, columns, V_counts[i], h)"
            following = "        values += V_counts[i];\n        columns += V_counts[i];\n"
        return _OUTPUTS.substitute(name=self.name, n=n, K=K, declare=declare, narrow=narrow, dot=of_row, next=following)

    @property
    def stack_bytes(self) -> int:
        """Bytes of the largest arrays that are on the stack at one time, those of `predict` included."""
        layers = max(4 * len(layer.b) + 2 * layer.n for layer in self.layers)
        between = max((2 * layer.n for layer in self.layers[:-1]), default=0)
        return self.turn_bytes + 2 * self.network.n_features + between + layers
