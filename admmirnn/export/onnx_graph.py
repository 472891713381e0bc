"""The network as an ONNX graph; imported by whom onnx is installed for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, DTypeLike
    from onnx import ModelProto, NodeProto, ValueInfoProto

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


class _Graph:
    """Nodes that are added one by one; a value is known by its name."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []

    def constant(self, values: ArrayLike, dtype: DTypeLike = np.int64) -> str:
        """A constant tensor, of the shape of ``values``."""
        name = f"constant_{len(self.initializers)}"
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
        outputs = names or [f"{operator}_{len(self.nodes)}_{i}" for i in range(n)]
        given = ["" if name is None else name for name in inputs]
        self.nodes.append(helper.make_node(operator, given, outputs, **attributes))
        return outputs


def model_of(network: Network, *, lengths: bool, labels: Array | str | None, probabilities: bool) -> ModelProto:
    """The model of a `Network`.

    Parameters
    ----------
    network : Network
        In the units of X and y.
    lengths : bool
        Whether there is an input of that name.
    labels : ndarray of shape (K,), "several" or None
        One for each output, of a type that ONNX has; or that each output is a label of its own, there or not; or that
        outputs are values.
    probabilities : bool
        Whether there is an output of that name.

    Returns
    -------
    onnx.ModelProto
    """
    graph = _Graph()
    X, own = "X", "lengths" if lengths else None
    if tuple(network.frame) != (1, 1):
        X, own = _add_frames(graph, network, own)
    S, last = _add_states(graph, network, X, own)
    is_there = None
    if own is not None and network.read_out != "last":
        n_steps = graph.add("Squeeze", graph.add("Shape", S, start=1, end=2))
        steps = graph.add("Range", graph.constant(0), n_steps, graph.constant(1))
        is_there = graph.add("Less", steps, graph.add("Unsqueeze", own, graph.constant([1])))
        is_there = graph.add("Unsqueeze", is_there, graph.constant([2]))  # (n_sequences, n_steps, 1)
    h = _add_read_out(graph, network.read_out, S, last, own, is_there)
    o = graph.add("MatMul", h, graph.constant(network.V.T, np.float32))
    masked = network.read_out == "each" and is_there is not None
    o = graph.add("Add", o, graph.constant(network.c, np.float32), name=None if masked else "outputs")
    if masked:
        o = graph.add("Where", is_there, o, graph.constant(0, np.float32), name="outputs")
    shape = ["n_sequences"]
    if network.read_out == "each":
        shape.append("n_steps" if tuple(network.frame) == (1, 1) else "n_frames")
    outputs = []
    if labels is not None:
        outputs.append(_add_labels(graph, o, labels, shape))
    if probabilities:
        how = {} if isinstance(labels, str) else {"axis": -1}
        graph.add("Softmax" if how else "Sigmoid", o, name="probabilities", **how)
        outputs.append(_value("probabilities", TensorProto.FLOAT, [*shape, len(network.c)]))
    outputs.append(_value("outputs", TensorProto.FLOAT, [*shape, len(network.c)]))
    inputs = [_value("X", TensorProto.FLOAT, ["n_sequences", "n_steps", network.n_channels])]
    if lengths:
        inputs.append(_value("lengths", TensorProto.INT64, ["n_sequences"]))
    model = helper.make_model(
        helper.make_graph(graph.nodes, "elman_network", inputs, outputs, graph.initializers),
        producer_name="admmirnn",
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    checker.check_model(model, full_check=True)
    return model


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
    frames = graph.add("Reshape", frames, graph.constant([0, 0, network.U.shape[2]]))
    return frames, n_frames_of(own) if lengths else None


def _add_states(graph: _Graph, network: Network, X: str, lengths: str | None) -> tuple[str, str]:
    """All states (n_sequences, n_steps, n_directions * n), and the last ones (n_sequences, n_directions * n)."""
    D, n, _ = network.U.shape
    name, *coefficients = _ACTIVATIONS[network.activation]
    attributes: dict[str, Any] = {
        "hidden_size": n,
        "direction": "forward" if D == 1 else "bidirectional",
        "activations": D * [name],
    }
    for key, value in zip(("activation_alpha", "activation_beta"), coefficients, strict=False):
        attributes[key] = D * [value]
    initial = None
    if network.s_0 is not None:
        one, B = graph.constant([1]), graph.add("Shape", X, start=0, end=1)
        shape = graph.add("Concat", one, B, graph.constant([n]), axis=0)
        initial = graph.add("Expand", graph.constant(network.s_0, np.float32), shape)
    inputs = [
        graph.add("Transpose", X, perm=[1, 0, 2]),
        graph.constant(network.U, np.float32),
        graph.constant(network.W, np.float32),
        graph.constant(np.concatenate([network.b, 0 * network.b], axis=1), np.float32),
        None if lengths is None else graph.add("Cast", lengths, to=TensorProto.INT32),
        initial,
    ]
    states, last = graph.add_several("RNN", inputs, n=2, **attributes)
    states = graph.add("Transpose", states, perm=[2, 0, 1, 3])  # from (n_steps, n_directions, n_sequences, n)
    states = graph.add("Reshape", states, graph.constant([0, 0, D * n]))
    last = graph.add("Transpose", last, perm=[1, 0, 2])
    return states, graph.add("Reshape", last, graph.constant([0, D * n]))


def _add_read_out(graph: _Graph, read_out: str, S: str, last: str, lengths: str | None, is_there: str | None) -> str:
    """What the output layer reads."""
    if read_out == "last":
        return last
    if read_out == "each":
        return S
    over_steps = graph.constant([1])
    if is_there is None:
        return graph.add({"mean": "ReduceMean", "max": "ReduceMax"}[read_out], S, over_steps, keepdims=0)
    S = graph.add("Where", is_there, S, graph.constant(0 if read_out == "mean" else -np.inf, np.float32))
    if read_out == "max":
        return graph.add("ReduceMax", S, over_steps, keepdims=0)
    n_steps = graph.add("Unsqueeze", graph.add("Cast", lengths, to=TensorProto.FLOAT), graph.constant([1]))
    return graph.add("Div", graph.add("ReduceSum", S, over_steps, keepdims=0), n_steps)


def _add_labels(graph: _Graph, o: str, labels: Array | str, shape: Sequence[str | int | None]) -> ValueInfoProto:
    """The output ``label``."""
    if isinstance(labels, str):
        graph.add("Cast", graph.add("Greater", o, graph.constant(0, np.float32)), name="label", to=TensorProto.INT64)
        return _value("label", TensorProto.INT64, [*shape, None])
    largest = graph.add("ArgMax", o, axis=-1, keepdims=0)
    graph.initializers.append(numpy_helper.from_array(labels, "classes"))
    graph.add("Gather", "classes", largest, name="label")
    return _value("label", graph.initializers[-1].data_type, shape)
