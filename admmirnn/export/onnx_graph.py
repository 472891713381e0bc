"""The network as an ONNX graph; imported by whom onnx is installed for."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from onnx import TensorProto, checker, helper, load, numpy_helper, save

from admmirnn.export.network import stacked
from admmirnn.networks.blocks import INITIAL, name_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, DTypeLike
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

    from admmirnn._typing import Array
    from admmirnn.export.network import Network

_OPSET, _IR_VERSION = 18, 8  # of 2023: onnx 1.13, onnxruntime 1.14
_ACTIVATIONS = {  # names and, where they have any, alpha and beta
    "tanh": ("Tanh",),
    "sigmoid": ("Sigmoid",),
    "relu": ("Relu",),
    "leaky_relu": ("LeakyRelu", 0.01),
    "identity": ("Affine", 1.0, 0.0),
}


class _Operator(NamedTuple):
    """The name of an operator, and the blocks that its inputs are made of, one below the other, in its order of gates.

    B has two halves, of x and of the state.  None is a bias that the cell does not have.
    """

    name: str
    W: tuple[str, ...]
    R: tuple[str, ...]
    B_of_x: tuple[str, ...]
    B_of_s: tuple[str | None, ...]


_OPERATORS = {
    "elman": _Operator("RNN", ("U",), ("W",), ("b",), (None,)),
    "gru": _Operator("GRU", ("U_z", "U_r", "U_c"), ("W_z", "W_r", "W_c"), ("b_z", "b_r", "b_c"), (None, None, "b_s")),
    "lstm": _Operator(
        "LSTM", ("U_i", "U_o", "U_f", "U_g"), ("W_i", "W_o", "W_f", "W_g"), ("b_i", "b_o", "b_f", "b_g"), (None,) * 4
    ),
}
_OF_LOOPS = {  # for what there is no operator: U, W, and the biases of z and c
    "fastgrnn": (("U",), ("W",), ("b_z", "b_c")),
    "ugrnn": (("U_z", "U_c"), ("W_z", "W_c"), ("b_z", "b_c")),
}


class _Graph:
    """Nodes that are added one by one; a value is known by its name, which begins with ``prefix`` in a loop's body."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []

    def constant(self, values: ArrayLike, dtype: DTypeLike = np.int64) -> str:
        """A constant tensor, of the shape of ``values``."""
        name = f"{self.prefix}constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.array(values, dtype, order="C"), name))
        return name

    def add(self, operator: str, *inputs: str | None, name: str | None = None, **attributes: Any) -> str:
        """The output of an operator; ``None`` is an input that is left out."""
        (output,) = self.add_several(operator, inputs, [name] if name else None, **attributes)
        return output

    def add_several(
        self, operator: str, inputs: Sequence[str | None], names: list[str] | None = None, n: int = 1, **attributes: Any
    ) -> list[str]:
        """The ``n`` outputs of an operator."""
        outputs = names or [f"{self.prefix}{operator}_{len(self.nodes)}_{i}" for i in range(n)]
        given = ["" if name is None else name for name in inputs]
        self.nodes.append(helper.make_node(operator, given, outputs, **attributes))
        return outputs


def model_of(
    networks: Sequence[Network],
    *,
    lengths: bool,
    labels: Array | str | None,
    probabilities: bool,
    states: bool = False,
) -> ModelProto:
    """The model of a `Network`, or of several, whose answers are averaged.

    Parameters
    ----------
    networks : list of Network
        Networks in the units of X and y, with the same features, outputs, frames and read-out.
    lengths : bool
        Whether there is an input ``lengths``.
    labels : ndarray of shape (K,), "several" or None
        Labels, one for each output, of a type that ONNX has; "several" if each output is a label of its own, which is
        there or not; None if outputs are values.
    probabilities : bool
        Whether there is an output ``probabilities``.
    states : bool, default=False
        Whether states before the first step are inputs, and those after the last one outputs; for one direction and a
        single network only.

    Returns
    -------
    onnx.ModelProto
    """
    graph, network = _Graph(), networks[0]
    inputs = [_value("X", TensorProto.FLOAT, ["n_sequences", "n_steps", network.n_channels])]
    if lengths:
        inputs.append(_value("lengths", TensorProto.INT64, ["n_sequences"]))
    carried = _carried(network) if states else {}
    inputs += [_value(name, *of_value) for name, of_value in carried.items()]
    how = {} if isinstance(labels, str) else {"axis": -1}
    answer = ("Softmax" if how else "Sigmoid") if probabilities else None
    masked = lengths and network.read_out == "each"
    name = None if masked else "outputs"
    of_one: dict[str, Any] = {"lengths": "lengths" if lengths else None, "states": states}
    of_one["name"] = name if len(networks) == 1 else None
    each = [_add_network(graph, one, **of_one) for one in networks]
    o, is_there = each[0] if len(each) == 1 else (_add_mean(graph, [o for o, _ in each], answer, how, name), each[0][1])
    if masked:
        o = graph.add("Where", is_there, o, graph.constant(0, np.float32), name="outputs")
    shape = ["n_sequences"]
    if network.read_out == "each":
        shape.append("n_steps" if tuple(network.frame) == (1, 1) else "n_frames")
    outputs = []
    if labels is not None:
        outputs.append(_add_labels(graph, o, labels, shape))
    if answer is not None:
        graph.add(answer, o, name="probabilities", **how)
        outputs.append(_value("probabilities", TensorProto.FLOAT, [*shape, len(network.c)]))
    outputs.append(_value("outputs", TensorProto.FLOAT, [*shape, len(network.c)]))
    outputs += [_value(_after(name), *of_value) for name, of_value in carried.items()]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "recurrent_network", inputs, outputs, graph.initializers),
        producer_name="admmirnn",
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    checker.check_model(model, full_check=True)
    return model


def _add_mean(graph: _Graph, outputs: Sequence[str], answer: str | None, how: dict[str, int], name: str | None) -> str:
    """Outputs whose answers, by this operator or as they are, are the means of those of several networks."""
    if answer is None:
        return graph.add("Mean", *outputs, name=name)

    def logarithm(of: Sequence[str], **named: Any) -> str:
        attributes: dict[str, Any] = dict(how)
        mean = graph.add("Mean", *[graph.add(answer, o, **attributes) for o in of])
        least = graph.constant(np.finfo(np.float32).tiny, np.float32)
        return graph.add("Log", graph.add("Max", mean, least), **named)

    if answer == "Softmax":
        return logarithm(outputs, name=name)
    others = [graph.add("Neg", o) for o in outputs]
    return graph.add("Sub", logarithm(outputs), logarithm(others), name=name)


def _add_network(
    graph: _Graph, network: Network, *, lengths: str | None, states: bool, name: str | None
) -> tuple[str, str | None]:
    """The outputs of one network, and which steps there are, (n_sequences, n_steps, 1), where that has to be known."""
    X, own = "X", lengths
    if tuple(network.frame) != (1, 1):
        X, own = _add_frames(graph, network, own)
    if network.standard is not None:
        mean, factor = np.tile(network.standard, network.frame[0])
        X = graph.add("Sub", X, graph.constant(mean, np.float32))
        X = graph.add("Mul", X, graph.constant(factor, np.float32))
    S, last = _add_layers(graph, network, graph.add("Transpose", X, perm=[1, 0, 2]), own, states=states)
    is_there = None
    if own is not None and network.read_out != "last":
        is_there = graph.add("Transpose", _add_is_there(graph, S, own), perm=[1, 0, 2])
    if network.read_out == "last":
        last = graph.add("Transpose", last, perm=[1, 0, 2])  # from (n_directions, n_sequences, n)
        h = graph.add("Reshape", last, graph.constant([0, network.V.shape[1]]))
    else:
        S = graph.add("Transpose", S, perm=[1, 0, 2])
        h = S if network.read_out == "each" else _add_pool(graph, network.read_out, S, own, is_there, states=states)
    o = graph.add("MatMul", h, graph.constant(network.V.T, np.float32))
    return graph.add("Add", o, graph.constant(network.c, np.float32), name=name), is_there


def quantised(model: ModelProto) -> ModelProto:
    """The same model with weights of 8 bits, in loops too, by onnxruntime's dynamic quantisation."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    add_pre_process_metadata(model)  # or it says that there may be more to optimise
    with tempfile.TemporaryDirectory() as folder:
        path, target = os.path.join(folder, "model.onnx"), os.path.join(folder, "int8.onnx")
        save(model, path)
        options = {"EnableSubgraph": True}
        quantize_dynamic(path, target, weight_type=QuantType.QInt8, extra_options=options)
        found: ModelProto = load(target)
        return found


def _carried(network: Network) -> dict[str, tuple[int, list[str | int | None]]]:
    """Types and shapes of what is carried from one piece of a sequence to the next, by the name that it is given by."""
    found: dict[str, tuple[int, list[str | int | None]]] = {}
    for layer, n in enumerate(network.sizes):
        for part in _parts_carried(network):
            found[name_of(part, layer)] = TensorProto.FLOAT, ["n_sequences", n]
    if network.read_out in ("mean", "max"):
        found["pooled_0"] = TensorProto.FLOAT, ["n_sequences", network.sizes[-1]]
    if network.read_out == "mean":
        found["steps_0"] = TensorProto.INT64, ["n_sequences"]
    return found


def _parts_carried(network: Network) -> tuple[str, ...]:
    return INITIAL if network.cell == "lstm" else INITIAL[:1]


def _after(name: str) -> str:
    """What is carried, as it is after the last step."""
    return name.replace("_0", "_N", 1)


def _value(name: str, kind: int, shape: Sequence[str | int | None]) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _add_frames(graph: _Graph, network: Network, lengths: str | None) -> tuple[str, str | None]:
    """Frames (n_sequences, n_frames, length * n_features), and how many each sequence has, None if all of them."""
    length, stride = (graph.constant(value) for value in network.frame)
    N = graph.add("Squeeze", graph.add("Shape", "X", start=1, end=2))
    own = lengths or graph.add("Expand", N, graph.add("Shape", "X", start=0, end=1))

    def n_frames_of(n_observations: str) -> str:
        found: str = graph.add(
            "Add", graph.add("Div", graph.add("Sub", n_observations, length), stride), graph.constant(1)
        )
        return found

    first = graph.add("Mod", graph.add("Sub", own, length), stride)
    first = graph.add("Unsqueeze", first, graph.constant([1, 2]))
    at = graph.add("Range", graph.constant(0), n_frames_of(N), graph.constant(1))
    at = graph.add("Unsqueeze", graph.add("Mul", at, stride), graph.constant([1]))
    rows = graph.add("Add", first, graph.add("Add", at, graph.constant(np.arange(network.frame[0]))))
    rows = graph.add("Min", rows, graph.add("Sub", N, graph.constant(1)))  # after a sequence's end
    rows = graph.add("Unsqueeze", rows, graph.constant([3]))  # (n_sequences, n_frames, length, 1)
    frames = graph.add("GatherND", "X", rows, batch_dims=1)
    frames = graph.add("Reshape", frames, graph.constant([0, 0, network.n_features]))
    return frames, n_frames_of(own) if lengths else None


def _add_layers(graph: _Graph, network: Network, x: str, lengths: str | None, *, states: bool) -> tuple[str, str]:
    """All states of the last layer (n_steps, n_sequences, n_directions * n), and the last ones.

    These have the shape (n_directions, n_sequences, n).  ``x`` is (n_steps, n_sequences, n_features).
    """
    add = _add_operator if network.cell in _OPERATORS else _add_loops
    of_loops = network.cell in _OF_LOOPS
    if lengths is not None:  # as operators and loops take them
        lengths = _add_is_there(graph, x, lengths) if of_loops else graph.add("Cast", lengths, to=TensorProto.INT32)
    B, last = graph.add("Shape", x, start=1, end=2), ""
    for layer, directions in enumerate(network.layers):
        initial: list[str | None] = []
        for part in _parts_carried(network):
            name = name_of(part, layer)
            if states:
                initial.append(graph.add("Unsqueeze", name, graph.constant([0])))
            elif part in directions[0] or of_loops:
                given = directions[0].get(part, np.zeros(network.sizes[layer]))
                shape = graph.add("Concat", graph.constant([1]), B, graph.constant([len(given)]), axis=0)
                initial.append(graph.add("Expand", graph.constant(given, np.float32), shape))
            else:
                initial.append(None)
        x, lasts = add(graph, network, layer, x, lengths, initial)
        if states:
            for part, state in zip(_parts_carried(network), lasts, strict=True):
                graph.add("Squeeze", state, graph.constant([0]), name=_after(name_of(part, layer)))
        last = lasts[0]
    return x, last


def _add_operator(
    graph: _Graph, network: Network, layer: int, x: str, lengths: str | None, initial: list[str | None]
) -> tuple[str, list[str]]:
    """The states of a layer by the operator of its cell, side by side, and the last ones of each part of the state."""
    operator = _OPERATORS[network.cell]
    directions, n = network.layers[layer], network.sizes[layer]
    D = len(directions)
    attributes: dict[str, Any] = {"hidden_size": n, "direction": "forward" if D == 1 else "bidirectional"}
    if network.cell == "elman":
        name, *coefficients = _ACTIVATIONS[network.activation]
        attributes["activations"] = D * [name]
        for key, value in zip(("activation_alpha", "activation_beta"), coefficients, strict=False):
            attributes[key] = D * [value]
    elif network.cell == "gru":
        attributes["linear_before_reset"] = 1

    def of_directions(*parts: tuple[str | None, ...]) -> str:
        values = [np.concatenate([stacked(direction, several) for several in parts]) for direction in directions]
        return graph.constant(np.stack(values), np.float32)

    W, R, B = of_directions(operator.W), of_directions(operator.R), of_directions(operator.B_of_x, operator.B_of_s)
    inputs = [x, W, R, B, lengths, *initial]
    states, *lasts = graph.add_several(operator.name, inputs, n=1 + len(initial), **attributes)
    states = graph.add("Transpose", states, perm=[0, 2, 1, 3])  # from (n_steps, n_directions, n_sequences, n)
    return graph.add("Reshape", states, graph.constant([0, 0, D * n])), lasts


def _add_loops(
    graph: _Graph, network: Network, layer: int, x: str, is_there: str | None, initial: list[str | None]
) -> tuple[str, list[str]]:
    """As `_add_operator`, by a loop over the steps of each direction."""
    of_U, of_W, of_b = _OF_LOOPS[network.cell]
    first = graph.add("Squeeze", initial[0], graph.constant([0]))
    states, lasts = [], []
    for i, direction in enumerate(network.layers[layer]):
        driven = graph.add("MatMul", x, graph.constant(stacked(direction, of_U).T, np.float32))
        body = _body(
            f"loop_{len(graph.nodes)}_{layer}_{i}_",
            stacked(direction, of_W),
            stacked(direction, of_b),
            is_there is not None,
        )
        inputs = [first, driven] if is_there is None else [first, driven, is_there]
        n_read = len(inputs) - 1
        last, of_steps = graph.add_several(
            "Scan",
            inputs,
            n=2,
            body=body,
            num_scan_inputs=n_read,
            scan_input_directions=n_read * [i],
            scan_output_directions=[i],
        )
        states.append(of_steps)
        lasts.append(graph.add("Unsqueeze", last, graph.constant([0])))
    return graph.add("Concat", *states, axis=2), [graph.add("Concat", *lasts, axis=0)]


def _body(prefix: str, W: Array, biases: Array, with_ends: bool) -> GraphProto:
    """A step of a cell whose gate z mixes its candidate and its state, made of pre-activations of both, or of one row.

    With ends, a sequence that has ended, or not begun, stays where it is.
    """
    graph, n = _Graph(prefix), W.shape[1]
    s, driven, is_there = (f"{prefix}{name}" for name in ("s", "driven", "is_there"))
    a = graph.add("Add", driven, graph.add("MatMul", s, graph.constant(W.T, np.float32)))
    if len(W) == n:  # z and c have the same one
        a = graph.add("Concat", a, a, axis=1)
    a = graph.add("Add", a, graph.constant(biases, np.float32))
    a_z, a_c = graph.add_several("Split", [a], n=2, axis=1, num_outputs=2)
    z, c = graph.add("Sigmoid", a_z), graph.add("Tanh", a_c)
    following = graph.add("Add", c, graph.add("Mul", z, graph.add("Sub", s, c)))
    if with_ends:
        following = graph.add("Where", is_there, following, s)
    following, of_step = (graph.add("Identity", following) for _ in range(2))
    inputs = [_value(s, TensorProto.FLOAT, [None, n]), _value(driven, TensorProto.FLOAT, [None, len(W)])]
    if with_ends:
        inputs.append(_value(is_there, TensorProto.BOOL, [None, 1]))
    outputs = [_value(name, TensorProto.FLOAT, [None, n]) for name in (following, of_step)]
    return helper.make_graph(graph.nodes, f"{prefix}step", inputs, outputs, graph.initializers)


def _add_is_there(graph: _Graph, x: str, lengths: str) -> str:
    """Whether each sequence has each step, (n_steps, n_sequences, 1)."""
    n_steps = graph.add("Squeeze", graph.add("Shape", x, start=0, end=1))
    steps = graph.add("Range", graph.constant(0), n_steps, graph.constant(1))
    found = graph.add("Less", graph.add("Unsqueeze", steps, graph.constant([1])), lengths)
    return graph.add("Unsqueeze", found, graph.constant([2]))


def _add_pool(graph: _Graph, read_out: str, S: str, lengths: str | None, is_there: str | None, *, states: bool) -> str:
    """The mean or the largest of the states, with those of the pieces before where states are carried."""
    over_steps, of_pieces = graph.constant([1]), {"name": "pooled_N"} if states else {}
    if is_there is not None:
        S = graph.add("Where", is_there, S, graph.constant(0 if read_out == "mean" else -np.inf, np.float32))
    if read_out == "max":
        h = graph.add("ReduceMax", S, over_steps, keepdims=0)
        return graph.add("Max", h, "pooled_0", **of_pieces) if states else h
    total = graph.add("ReduceSum", S, over_steps, keepdims=0)
    n_steps = lengths or graph.add("Shape", S, start=1, end=2)
    if states:
        total = graph.add("Add", total, "pooled_0", **of_pieces)
        n_steps = graph.add("Add", n_steps, "steps_0", name="steps_N")
    n_steps = graph.add("Unsqueeze", graph.add("Cast", n_steps, to=TensorProto.FLOAT), over_steps)
    return graph.add("Div", total, n_steps)


def _add_labels(graph: _Graph, o: str, labels: Array | str, shape: Sequence[str | int | None]) -> ValueInfoProto:
    """The output ``label``."""
    if isinstance(labels, str):
        graph.add("Cast", graph.add("Greater", o, graph.constant(0, np.float32)), name="label", to=TensorProto.INT64)
        return _value("label", TensorProto.INT64, [*shape, None])
    largest = graph.add("ArgMax", o, axis=-1, keepdims=0)
    graph.initializers.append(numpy_helper.from_array(labels, "classes"))
    graph.add("Gather", "classes", largest, name="label")
    return _value("label", graph.initializers[-1].data_type, shape)
