"""C sources in float32."""

from __future__ import annotations

from string import Template
from typing import TYPE_CHECKING

import numpy as np

from admmirnn.export.c.source import Entered, Source
from admmirnn.export.c.storage import Dense, Factors, Sparse, index_dtype, smallest
from admmirnn.export.c.text import comment, constants

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from admmirnn.export.c.layers import Layer, Product
    from admmirnn.export.c.source import Answers
    from admmirnn.export.c.storage import Storage
    from admmirnn.export.network import Network

_PRODUCT = """
/* sums += matrix @ vector */
static void add_product(const float *matrix, int n_rows, int n_columns, const float *vector, float *sums)
{
    int i, j;
    for (i = 0; i < n_rows; i++) {
        float sum = 0.0f;
        for (j = 0; j < n_columns; j++) {
            sum += matrix[j] * vector[j];
        }
        matrix += n_columns;
        sums[i] += sum;
    }
}
"""
_SPARSE_PRODUCT = Template("""
/* the same of a matrix of which each row has counts[i] values, in these columns */
static void add_sparse_product(const float *values, const $index *columns, const uint16_t *counts, int n_rows,
                               const float *vector, float *sums)
{
    int i, j;
    for (i = 0; i < n_rows; i++) {
        float sum = 0.0f;
        for (j = 0; j < counts[i]; j++) {
            sum += values[j] * vector[columns[j]];
        }
        values += counts[i];
        columns += counts[i];
        sums[i] += sum;
    }
}
""")
_TANH = """
/* tanh(x), a rational minimax function, within 3.1e-7; NaN stays NaN */
static float tanh_of(float x)
{
    float p, q, y;
    x = x > 7.9053111f ? 7.9053111f : x;
    x = x < -7.9053111f ? -7.9053111f : x;
    y = x * x;
    p = -2.76076848e-16f;
    p = p * y + 2.00018790e-13f;
    p = p * y - 8.60467152e-11f;
    p = p * y + 5.12229709e-08f;
    p = p * y + 1.48572236e-05f;
    p = p * y + 6.37261929e-04f;
    p = p * y + 4.89352456e-03f;
    q = 1.19825840e-06f;
    q = q * y + 1.18534706e-04f;
    q = q * y + 2.26843463e-03f;
    q = q * y + 4.89352519e-03f;
    return x * p / q;
}
"""
_SIGMOID = """
/* 1 / (1 + exp(-x)), within 2e-7 */
static float sigmoid_of(float x)
{
    return 0.5f + 0.5f * tanh_of(0.5f * x);
}
"""
_LAYER = Template("""
static void step_of_layer_$number(const float *x, $states)
{
    float a[$n_all];
    int i;
    for (i = 0; i < $n_all; i++) {
        a[i] = $b;
    }
$products
    for (i = 0; i < $n; i++) {
$cell
    }
}
""")
_ACTIVATIONS = {
    "tanh": "tanh_of(a[i])",
    "sigmoid": "sigmoid_of(a[i])",
    "relu": "a[i] > 0.0f ? a[i] : 0.0f",
    "leaky_relu": "a[i] < 0.0f ? 0.01f * a[i] : a[i]",
    "identity": "a[i]",
}
# of a unit; $n is how many there are, $l the number of the layer
_CELLS = {
    "elman": "        s[i] = $f;",
    "fastgrnn": """\
        float z = sigmoid_of(a[i] + b_gates_$l[i]);
        float c = tanh_of(a[i] + b_gates_$l[i + $n]);
        s[i] = c + z * (s[i] - c);""",
    "ugrnn": """\
        float z = sigmoid_of(a[i]);
        float c = tanh_of(a[i + $n]);
        s[i] = c + z * (s[i] - c);""",
    "gru": """\
        float z = sigmoid_of(a[i]);
        float r = sigmoid_of(a[i + $n]);
        float c = tanh_of(a[i + 2 * $n] + r * a[i + 3 * $n]);
        s[i] = c + z * (s[i] - c);""",
    "lstm": """\
        c[i] = sigmoid_of(a[i + $n]) * c[i] + sigmoid_of(a[i]) * tanh_of(a[i + 2 * $n]);
        s[i] = sigmoid_of(a[i + 3 * $n]) * tanh_of(c[i]);""",
}
_READ_FRAME = Template("""
static void read_frame(${name}_turn *turn, const float *x)
{
$layers
}
""")
_POOL = {
    "mean": """\
    turn->n_steps++;
    for (i = 0; i < $n; i++) { /* a compensated sum, as there may be millions of steps */
        float more = turn->s_$l[i] - turn->lost[i];
        float sum = turn->pooled[i] + more;
        turn->lost[i] = (sum - turn->pooled[i]) - more;
        turn->pooled[i] = sum;
    }""",
    "max": """\
    for (i = 0; i < $n; i++) {
        turn->pooled[i] = turn->s_$l[i] > turn->pooled[i] ? turn->s_$l[i] : turn->pooled[i];
    }""",
}
_OUTPUTS = Template("""
static void write_outputs(const ${name}_turn *turn, float *outputs)
{
    int i;
$mean    for (i = 0; i < $K; i++) {
        outputs[i] = c_out[i];
    }
$product
}
""")


_STANDARDISE = Template("""
static void standardise(const float *x, int n_observations, float *z)
{
    int i, j;
    for (i = 0; i < n_observations; i++) {
        for (j = 0; j < $n_channels; j++) {
            *z++ = (*x++ - means_of_x[j]) * factors_of_x[j];
        }
    }
}
""")


class FloatSource(Source):
    """C99 in float32; see `Source`."""

    number: str = "float"
    read: str = "float"

    def __init__(self, network: Network, answers: Answers, name: str) -> None:
        super().__init__(network, answers, name)
        self.index: DTypeLike = index_dtype([*(p.matrix for layer in self.layers for p in layer.products), network.V])
        self.storages: dict[str, Storage] = {}
        for layer in self.layers:
            for product in layer.products:
                self._store(product.name, product.matrix)
            if layer.b.any():
                self.constants[f"b_{layer.number}"] = layer.b
            if len(layer.b_of_gates):
                self.constants[f"b_gates_{layer.number}"] = layer.b_of_gates
            for part, initial in layer.initial.items():
                self.constants[f"{part[0]}_{layer.number}_0"] = initial
        self._store("V", network.V)
        self.constants["c_out"] = network.c
        if network.standard is not None:
            self.constants["means_of_x"], self.constants["factors_of_x"] = network.standard.astype(np.float32)

    def _store(self, name: str, matrix: np.ndarray) -> None:
        storage = self.storages[name] = smallest(matrix, self.index, with_factors=True)
        self.constants |= {f"{name}{suffix}": array for suffix, array in storage.arrays.items()}

    @property
    def text(self) -> str:
        """The text of the source file."""
        pieces = [comment(self.about()), f'#include "{self.name}.h"\n']
        pieces += [constants(name, array) for name, array in self.constants.items()]
        kinds = {type(storage) for storage in self.storages.values()}
        functions = [_PRODUCT] if kinds & {Dense, Factors} else []
        if Sparse in kinds:
            functions.append(_SPARSE_PRODUCT.substitute(index="uint8_t" if self.index is np.uint8 else "uint16_t"))
        if self.network.standard is not None:
            functions.append(_STANDARDISE.substitute(n_channels=self.network.n_channels))
        if self.network.cell != "elman" or self.network.activation in ("tanh", "sigmoid"):
            functions.append(_TANH)
        if self.network.cell != "elman" or self.network.activation == "sigmoid":
            functions.append(_SIGMOID)
        functions += [self._layer(layer) for layer in self.layers]
        return "\n".join(pieces) + "".join(functions) + "\n" + self.functions_of_sequences() + self.of_classes()

    def _layer(self, layer: Layer) -> str:
        products = [self._product(product) for product in layer.products]
        cell = Template(_CELLS[self.network.cell].replace("$f", _ACTIVATIONS[self.network.activation]))
        return _LAYER.substitute(
            number=layer.number,
            states=", ".join(f"float *{part}" for part in self.parts),
            n_all=len(layer.b),
            n=layer.n,
            b=f"b_{layer.number}[i]" if layer.b.any() else "0.0f",
            products="\n".join(products),
            cell=cell.substitute(n=layer.n, l=layer.number),
        )

    def _product(self, product: Product) -> str:
        sums = f"a + {product.first}" if product.first else "a"
        return self._call(product.name, product.matrix, "s" if product.of_state else "x", sums)

    def _call(self, name: str, matrix: np.ndarray, vector: str, sums: str) -> str:
        """The statements that add a matrix times a vector."""
        storage = self.storages[name]
        n_rows, n_columns = matrix.shape
        if isinstance(storage, Dense):
            return f"    add_product({name}, {n_rows}, {n_columns}, {vector}, {sums});"
        if isinstance(storage, Sparse):
            return f"    add_sparse_product({name}, {name}_columns, {name}_counts, {n_rows}, {vector}, {sums});"
        rank = len(storage.right)
        return (
            f"    {{\n        float inner[{rank}] = {{0}};\n"
            f"        add_product({name}_right, {rank}, {n_columns}, {vector}, inner);\n"
            f"        add_product({name}_left, {n_rows}, {rank}, inner, {sums});\n    }}"
        )

    def pooled_fields(self, n: int) -> list[tuple[str, str, int, str]]:
        """Those for a read-out of all states."""
        if self.network.read_out == "mean":
            return [
                ("float", "pooled", n, "the sum of the states"),
                ("float", "lost", n, "what has been rounded off it"),
                ("uint32_t", "n_steps", 0, "how many states there were"),
            ]
        return [("float", "pooled", n, "the largest states")] if self.network.read_out == "max" else []

    def start_of(self, field: str, kind: str) -> str:
        """What a field starts from."""
        return "-3.402823466e38f" if (field, self.network.read_out) == ("pooled", "max") else "0.0f"

    def observations_of_sequence(self, where: str) -> Entered:
        """A frame is read where it is, or a copy of it that is standardised."""
        if self.network.standard is None:
            return Entered("", "", where)
        length, n = self.network.frame[0], self.network.n_features
        return Entered(f"    float z[{n}];\n", f"        standardise({where}, {length}, z);\n", "z")

    def observations_of_step(self) -> Entered:
        """As is an observation."""
        if self.network.standard is None:
            return Entered("", "", "x")
        return Entered(f"    float z[{self.network.n_channels}];\n", "    standardise(x, 1, z);\n", "z")

    def enter_frame(self, where: str) -> str:
        """A copy."""
        if self.network.standard is not None:
            return f"standardise(x, 1, {where});"
        n = self.network.n_channels
        target = where.replace("state->recent + ", "")
        return f"for (i = 0; i < {n}; i++) {{\n        state->recent[i + {target}] = x[i];\n    }}"

    def read_out_functions(self) -> str:
        """``read_frame`` and ``write_outputs``."""
        network, last = self.network, self.layers[-1]
        lines, read = [], "x"
        for layer in self.layers:
            states = ", ".join(f"turn->{part}_{layer.number}" for part in self.parts)
            lines.append(f"    step_of_layer_{layer.number}({read}, {states});")
            read = f"turn->s_{layer.number}"
        pooled = network.read_out in _POOL
        if pooled:
            lines = ["    int i;", *lines, Template(_POOL[network.read_out]).substitute(n=last.n, l=last.number)]
        h, mean = "turn->pooled" if pooled else read, ""
        if network.read_out == "mean":
            h = "h"
            mean = f"    float h[{last.n}];\n    for (i = 0; i < {last.n}; i++) {{\n"
            mean += "        h[i] = turn->pooled[i] / (float)turn->n_steps;\n    }\n"
        product = self._call("V", network.V, h, "outputs")
        outputs = _OUTPUTS.substitute(name=self.name, mean=mean, K=len(network.c), product=product)
        return _READ_FRAME.substitute(name=self.name, layers="\n".join(lines)) + outputs

    @property
    def stack_bytes(self) -> int:
        """Bytes of the largest arrays that are on the stack at one time, those of `predict` included."""
        inner = [4 * len(s.right) for s in self.storages.values() if isinstance(s, Factors)]
        layers = max(4 * len(layer.b) for layer in self.layers)
        mean = 4 * self.layers[-1].n if self.network.read_out == "mean" else 0
        standardised = 0 if self.network.standard is None else 4 * self.network.n_features
        return self.turn_bytes + standardised + max(layers, mean) + max(inner, default=0)
