"""The network as a module of torch; imported by whom torch is installed for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from admmirnn import validation
from admmirnn.export.network import stacked
from admmirnn.networks.blocks import INITIAL, blocks_of, name_of
from admmirnn.networks.cells import CELLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from admmirnn._typing import FloatArray, Frame
    from admmirnn.export.network import Direction, Network

_FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "leaky_relu": nn.functional.leaky_relu,  # 0.01 a below zero, as ours
    "identity": nn.Identity(),
}
_OF_TORCH = ("tanh", "relu")
_SUFFIXES = "", "_reverse"  # of parameters of each direction


class _Parameters(NamedTuple):
    """The blocks that parameters of a layer are made of, one below the other, in torch's order of gates.

    None is where torch has two biases and the cell has one: zeros, and the other way the sum of both.
    """

    weight_ih: tuple[str, ...]
    weight_hh: tuple[str, ...]
    bias_ih: tuple[str, ...]
    bias_hh: tuple[str | None, ...]


_PARAMETERS = {
    "elman": _Parameters(("U",), ("W",), ("b",), (None,)),
    "fastgrnn": _Parameters(("U",), ("W",), ("b_z", "b_c"), (None, None)),
    "ugrnn": _Parameters(("U_z", "U_c"), ("W_z", "W_c"), ("b_z", "b_c"), (None, None)),
    "gru": _Parameters(("U_r", "U_z", "U_c"), ("W_r", "W_z", "W_c"), ("b_r", "b_z", "b_c"), (None, None, "b_s")),
    "lstm": _Parameters(
        ("U_i", "U_f", "U_g", "U_o"), ("W_i", "W_f", "W_g", "W_o"), ("b_i", "b_f", "b_g", "b_o"), (None,) * 4
    ),
}


class LoopRNN(nn.Module):
    """What `torch.nn.RNN` with one layer and ``batch_first=True`` is, but of any cell, one step after the other.

    Arguments and results are those of `torch.nn.RNN`, and so are the parameters: ``weight_ih_l0``, ``weight_hh_l0``,
    ``bias_ih_l0`` and ``bias_hh_l0``, with the rows of the gates z and c, or of their biases, one below the other.

    Parameters
    ----------
    input_size, hidden_size : int
        Number of features d and of hidden units n.
    nonlinearity : {"tanh", "relu", "sigmoid", "leaky_relu", "identity"}, default="tanh"
        Activation f of the cell "elman".
    bidirectional : bool, default=False
        Whether a second network reads from the end.
    cell : {"elman", "fastgrnn", "ugrnn"}, default="elman"
        Kind of cell.
    """

    num_layers: int
    bias: bool
    batch_first: bool
    input_size: int
    hidden_size: int
    nonlinearity: str
    bidirectional: bool
    cell: str

    num_layers, bias, batch_first = 1, True, True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        nonlinearity: str = "tanh",
        bidirectional: bool = False,
        cell: str = "elman",
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.nonlinearity, self.bidirectional, self.cell = nonlinearity, bidirectional, cell
        bound = hidden_size**-0.5
        parts = _PARAMETERS[cell]
        columns = {"weight_ih": (input_size,), "weight_hh": (hidden_size,)}
        for suffix in self._suffixes:
            for name, several in parts._asdict().items():
                values = torch.empty(len(several) * hidden_size, *columns.get(name, ())).uniform_(-bound, bound)
                self.register_parameter(f"{name}_l0{suffix}", nn.Parameter(values))

    @property
    def _suffixes(self) -> tuple[str, ...]:
        return _SUFFIXES if self.bidirectional else _SUFFIXES[:1]

    def forward(
        self, x: torch.Tensor | PackedSequence, h_0: torch.Tensor | None = None
    ) -> tuple[torch.Tensor | PackedSequence, torch.Tensor]:
        """Return the states (n_sequences, n_steps, n_directions * n) and the last ones (n_directions, n_sequences, n).

        Of packed sequences, the states are packed as well.
        """
        packed, lengths = None, None
        if isinstance(x, PackedSequence):
            packed = x
            x, lengths = pad_packed_sequence(packed, batch_first=True)
            lengths = lengths.to(x.device)
        if h_0 is None:
            h_0 = x.new_zeros(len(self._suffixes), len(x), self.hidden_size)
        found = [self._read(x, s, lengths, suffix) for s, suffix in zip(h_0, self._suffixes, strict=True)]
        states, last = torch.cat([states for states, _ in found], dim=2), torch.stack([last for _, last in found])
        if packed is not None and lengths is not None:
            sorted_lengths = lengths if packed.sorted_indices is None else lengths[packed.sorted_indices]
            ordered = states if packed.sorted_indices is None else states[packed.sorted_indices]
            data = pack_padded_sequence(ordered, sorted_lengths.cpu(), batch_first=True).data
            return PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices), last
        return states, last

    def _read(
        self, x: torch.Tensor, s: torch.Tensor, lengths: torch.Tensor | None, suffix: str
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The states of one direction, (n_sequences, n_steps, n), and the one after all steps of each sequence."""
        U, W, b, b_hh = (getattr(self, f"{name}_l0{suffix}") for name in _Parameters._fields)
        biases = b + b_hh
        # of the two gates of FastGRNN, which have the same pre-activations, but for these
        driven = x @ U.T if self.cell == "fastgrnn" else x @ U.T + biases
        states = [s] * x.shape[1]
        for t in reversed(range(len(states))) if suffix else range(len(states)):
            following = self._step(driven[:, t] + s @ W.T, s, biases)
            # a sequence that has ended, or not begun, stays where it is
            s = following if lengths is None else torch.where((t < lengths)[:, None], following, s)
            states[t] = s
        return torch.stack(states, dim=1), s

    def _step(self, a: torch.Tensor, s: torch.Tensor, biases: torch.Tensor) -> torch.Tensor:
        """The state after ``s``, with the pre-activations ``a``."""
        if self.cell == "elman":
            return _FUNCTIONS[self.nonlinearity](a)
        a_z, a_c = (a.repeat(1, 2) + biases if self.cell == "fastgrnn" else a).chunk(2, dim=1)
        return torch.lerp(torch.tanh(a_c), s, torch.sigmoid(a_z))

    def extra_repr(self) -> str:
        """What the parameters do not say."""
        of_cell = f"nonlinearity={self.nonlinearity!r}" if self.cell == "elman" else f"cell={self.cell!r}"
        return f"{self.input_size}, {self.hidden_size}, {of_cell}, bidirectional={self.bidirectional}"


_RECURRENT = {"elman": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}  # whatever has no place here is a `LoopRNN`


class RecurrentModule(nn.Module):
    """Recurrent layers, what is read from their states, and a linear layer; see ``to_torch`` of the estimators.

    Parameters
    ----------
    rnn : torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM, LoopRNN, or torch.nn.ModuleList of these
        Recurrent layers with ``batch_first=True``; each module of a list reads the states of the one before.
    linear : torch.nn.Linear
        Output layer, which reads the states of the last layer, or those of both its directions.
    read_out : {"last", "mean", "max", "each"}
        States that outputs are computed from; "each" is an output for each step.
    frame : tuple of int
        Pair (length, stride).
    initial : dict, optional
        Tensors or parameters of shape (n,): the states s_0, s_0_2 and so on of each layer before the first step, and
        the cell states c_0, c_0_2 and so on, where they are not zero.
    standard : torch.Tensor of shape (2, n_features), optional
        Means and factors: the first layer reads ``(x - mean) * factor``.
    """

    rnn: nn.RNNBase | LoopRNN | nn.ModuleList
    linear: nn.Linear
    read_out: str
    frame: Frame
    standard: torch.Tensor | None

    def __init__(
        self,
        rnn: nn.RNNBase | LoopRNN | nn.ModuleList,
        linear: nn.Linear,
        read_out: str = "last",
        frame: Frame = (1, 1),
        initial: dict[str, torch.Tensor] | None = None,
        standard: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("standard", standard)
        self.rnn, self.linear = rnn, linear
        self.read_out, self.frame = read_out, frame
        for name, state in (initial or {}).items():
            if isinstance(state, nn.Parameter):
                self.register_parameter(name, state)
            else:
                self.register_buffer(name, state)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | list[int] | None = None) -> torch.Tensor:
        """Return the outputs (n_sequences, K), or (n_sequences, n_steps, K) if there is one for each step.

        Parameters
        ----------
        x : torch.Tensor of shape (n_sequences, n_steps, n_features)
            Sequences, filled up at their ends.
        lengths : torch.Tensor of int of shape (n_sequences,), or list of int, optional
            Number of steps of each sequence; by default all of ``n_steps``.
        """
        n_channels = _in_a_list(self.rnn)[0].input_size // self.frame[0]
        lengths = None if lengths is None else torch.as_tensor(lengths, device=x.device)
        check_padded_batch(x.shape, lengths, n_channels, self.frame[0])
        if self.standard is not None:
            x = (x - self.standard[0]) * self.standard[1]
        x = x.to(self.linear.weight.dtype)
        if tuple(self.frame) != (1, 1):
            x, lengths = _framed(x, lengths, *self.frame)
        N = x.shape[1]
        if lengths is None:
            states, last = self._read(x, len(x))
            is_there = None
        else:
            packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
            states, last = self._read(packed, len(x))
            states, _ = pad_packed_sequence(states, batch_first=True, total_length=N)
            is_there = (torch.arange(N, device=x.device) < lengths[:, None])[:, :, None]
        if self.read_out == "each":
            outputs: torch.Tensor = self.linear(states)
            return outputs if is_there is None else outputs.masked_fill(~is_there, 0)
        if self.read_out == "last":
            h = last.transpose(0, 1).flatten(1)
        elif self.read_out == "mean":
            h = states.sum(dim=1) / (N if lengths is None else lengths[:, None].to(states.dtype))
        else:
            h = (states if is_there is None else states.masked_fill(~is_there, -torch.inf)).max(dim=1).values
        found: torch.Tensor = self.linear(h)
        return found

    def _read(self, x: Any, n_sequences: int) -> tuple[Any, torch.Tensor]:
        """The states of the last layer, packed if x is, and the last ones (n_directions, n_sequences, n)."""
        layer = 0
        for rnn in _in_a_list(self.rnn):
            x, last = rnn(x, self._initial(rnn, layer, n_sequences))
            layer += rnn.num_layers
        of_states: torch.Tensor = last[0] if isinstance(last, tuple) else last
        return x, of_states[-2 if rnn.bidirectional else -1 :]

    def _initial(self, rnn: Any, first: int, n_sequences: int) -> Any:
        """What ``rnn`` takes for the states before the first step of its layers, of which ``first`` is the first."""
        if not any(hasattr(self, name) for name in INITIAL):
            return None
        size = rnn.num_layers, n_sequences, rnn.hidden_size
        found = []
        for part in INITIAL[: 2 if isinstance(rnn, nn.LSTM) else 1]:
            names = [name_of(part, first + i) for i in range(rnn.num_layers)]
            if hasattr(self, names[0]):
                states = torch.stack([getattr(self, name) for name in names])
                found.append(states[:, None].expand(size).contiguous())
            else:
                found.append(self.linear.weight.new_zeros(size))
        return tuple(found) if len(found) > 1 else found[0]

    def extra_repr(self) -> str:
        """What the layers do not say."""
        given = any(hasattr(self, name) for name in INITIAL)
        return f"read_out={self.read_out!r}, frame={tuple(self.frame)}, s_0={'given' if given else 'zero'}"


class MeanModule(nn.Module):
    """Several modules that read the same sequences, and the outputs that have their mean answers.

    Parameters
    ----------
    networks : list of RecurrentModule
        Networks with the same outputs, whose answers are averaged.
    answer : {"softmax", "logistic", "values"}
        Function of the outputs: with "softmax" they are the logarithms of the mean probabilities, with "logistic" their
        logits, and else the means of the networks' outputs.
    """

    def __init__(self, networks: Sequence[RecurrentModule], answer: str) -> None:
        super().__init__()
        self.networks, self.answer = nn.ModuleList(networks), answer

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | list[int] | None = None) -> torch.Tensor:
        """Return the outputs; arguments and shapes are those of `RecurrentModule`."""
        outputs = torch.stack([network(x, lengths) for network in self.networks])
        if self.answer == "softmax":
            logarithms = torch.log_softmax(outputs, dim=-1)
            found = torch.logsumexp(logarithms, dim=0) - math.log(len(outputs))
        elif self.answer == "logistic":
            log_p, log_q = nn.functional.logsigmoid(outputs), nn.functional.logsigmoid(-outputs)
            found = torch.logsumexp(log_p, dim=0) - torch.logsumexp(log_q, dim=0)
        else:
            return outputs.mean(dim=0)
        if outputs.ndim == 4 and lengths is not None:  # zero after the end of a sequence, as those of each
            first: Any = self.networks[0]
            length, stride = first.frame
            n_steps = (torch.as_tensor(lengths, device=x.device) - length) // stride + 1
            is_there = torch.arange(found.shape[1], device=x.device) < n_steps[:, None]
            found = found.masked_fill(~is_there[:, :, None], 0)
        return found

    def extra_repr(self) -> str:
        """What the modules do not say."""
        return f"answer={self.answer!r}"


def _framed(
    x: torch.Tensor, lengths: torch.Tensor | None, length: int, stride: int
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Frames of ``length`` observations, the last of which ends with the sequence, and how many each sequence has."""
    B, N, d = x.shape
    own = torch.full((B,), N, device=x.device) if lengths is None else lengths
    n_frames = (N - length) // stride + 1
    first = (own - length) % stride
    rows = first[:, None] + stride * torch.arange(n_frames, device=x.device)
    rows = rows[:, :, None] + torch.arange(length, device=x.device)  # (B, n_frames, length)
    frames = x[torch.arange(B, device=x.device)[:, None, None], rows.clamp(max=N - 1)]
    return frames.reshape(B, n_frames, length * d), None if lengths is None else (lengths - length) // stride + 1


def _in_a_list(rnn: Any) -> list[Any]:
    """The recurrent modules of a network, each of which has one layer or several."""
    return list(rnn) if isinstance(rnn, (nn.ModuleList, list, tuple)) else [rnn]


def module_of(network: Network, *, learns_s_0: bool = False) -> RecurrentModule:
    """The module of a `Network`, with copies of its weights."""
    dtype = torch.tensor(network.c).dtype
    bidirectional = network.n_directions == 2
    of_torch = network.cell in _RECURRENT and (network.cell != "elman" or network.activation in _OF_TORCH)
    sizes = network.sizes
    together = of_torch and len(set(sizes)) == 1  # in one module
    rnns: list[nn.Module] = []
    d = network.n_features
    for layer in range(1 if together else len(sizes)):
        n = sizes[layer]
        if of_torch:
            settings = {"nonlinearity": network.activation} if network.cell == "elman" else {}
            n_layers = len(sizes) if together else 1
            make = _RECURRENT[network.cell]
            rnn = make(d, n, n_layers, batch_first=True, bidirectional=bidirectional, **settings)
        else:
            rnn = LoopRNN(d, n, network.activation, bidirectional, network.cell)
        of_layers = network.layers if together else network.layers[layer : layer + 1]
        rnns.append(rnn.to(dtype))
        rnn.load_state_dict(_state_of(of_layers, _PARAMETERS[network.cell]))
        d = n * network.n_directions
    linear = nn.Linear(d, len(network.c)).to(dtype)
    linear.load_state_dict({"weight": torch.tensor(network.V), "bias": torch.tensor(network.c)})
    initial: dict[str, torch.Tensor] = {
        name_of(part, layer): torch.tensor(direction[part])
        for layer, (direction, *_) in enumerate(network.layers)
        for part in INITIAL
        if part in direction
    }
    if learns_s_0:
        initial = {name: nn.Parameter(state) for name, state in initial.items()}
    modules: Any = rnns[0] if len(rnns) == 1 else nn.ModuleList(rnns)
    standard = None if network.standard is None else torch.tensor(network.standard)
    return RecurrentModule(modules, linear, network.read_out, network.frame, initial, standard)


def _state_of(layers: Iterable[Sequence[Direction]], parameters: _Parameters) -> dict[str, torch.Tensor]:
    """The parameters of a module with these layers."""
    return {
        f"{name}_l{layer}{suffix}": torch.tensor(stacked(direction, parts))
        for layer, directions in enumerate(layers)
        for direction, suffix in zip(directions, _SUFFIXES, strict=False)
        for name, parts in parameters._asdict().items()
    }


def layers_of(rnn: Any, linear: nn.Linear) -> tuple[dict[str, FloatArray], dict[str, Any]]:
    """The weights of recurrent layers and a linear one by name, as copies, and the settings that they stand for."""
    rnns = _in_a_list(rnn)
    check_torch_layers(rnns, linear)
    first = rnns[0]
    cell = _cell_of(first)
    parameters = _PARAMETERS[cell]
    by_place: dict[tuple[int | None, int | None, str], FloatArray] = {
        (None, None, "V"): _copy(linear.weight),
        (None, None, "c"): _copy(linear.bias) if linear.bias is not None else np.zeros(len(linear.weight)),
    }
    sizes = [one.hidden_size for one in rnns for _ in range(one.num_layers)]
    of_layers = [(one, i) for one in rnns for i in range(one.num_layers)]
    for layer, (one, i) in enumerate(of_layers):
        for direction, suffix in enumerate(_SUFFIXES[: 2 if one.bidirectional else 1]):
            for name, parts in parameters._asdict().items():
                tensor = getattr(one, f"{name}_l{i}{suffix}", None)
                values = np.zeros(len(parts) * one.hidden_size) if tensor is None else _copy(tensor)  # without biases
                for k, part in enumerate(parts):
                    rows = values[k * one.hidden_size : (k + 1) * one.hidden_size]
                    if part is None:
                        by_place[layer, direction, parameters.bias_ih[k]] += rows
                    else:
                        by_place[layer, direction, part] = rows
    n_hidden = tuple((size,) * (2 if first.bidirectional else 1) for size in sizes)
    blocks = blocks_of(first.input_size, n_hidden, linear.out_features, maps=CELLS[cell].maps)
    dtype = str(linear.weight.dtype).removeprefix("torch.")
    weights = {name: by_place[block.layer, block.direction, block.part].astype(dtype) for name, block in blocks.items()}
    settings = {
        "hidden_size": sizes[0] if len(sizes) == 1 else tuple(sizes),
        "cell": cell,
        "activation": getattr(first, "nonlinearity", "tanh"),
        "bidirectional": first.bidirectional,
        "dtype": dtype,
    }
    return weights, settings


def _cell_of(rnn: nn.Module) -> str:
    return rnn.cell if isinstance(rnn, LoopRNN) else next(c for c, kind in _RECURRENT.items() if isinstance(rnn, kind))


def _copy(parameter: torch.Tensor) -> FloatArray:
    found: FloatArray = parameter.detach().cpu().numpy().copy()
    return found


def check_torch_layers(rnns: list[Any], linear: Any) -> None:
    """Raise unless these layers are a network that there is an estimator for.

    Parameters
    ----------
    rnns, linear : list, object
        Layers that a user passes.
    """
    if not rnns:
        raise ValueError("rnn is an empty list; pass at least one layer")
    names = ["rnn"] if len(rnns) == 1 else [f"rnn[{i}]" for i in range(len(rnns))]
    for name, rnn in zip(names, rnns, strict=True):
        if not isinstance(rnn, (*_RECURRENT.values(), LoopRNN)):
            raise TypeError(
                f"{name} is of type {type(rnn).__name__}; pass a torch.nn.RNN, torch.nn.GRU or torch.nn.LSTM, or a "
                "list of them"
            )
    if not isinstance(linear, nn.Linear):
        raise TypeError(f"linear is of type {type(linear).__name__}; pass the torch.nn.Linear that reads the states")
    first = rnns[0]
    n_read = first.input_size
    for name, rnn in zip(names, rnns, strict=True):
        _check_like_the_first(name, rnn, first)
        if rnn.input_size != n_read:
            raise ValueError(
                f"{name} reads {rnn.input_size} features, and the layer below has {n_read}; pass layers that fit"
            )
        n_read = rnn.hidden_size * (2 if rnn.bidirectional else 1)
    if not linear.out_features:
        raise ValueError("linear has no outputs; pass a layer with at least one")
    if linear.in_features != n_read:
        raise ValueError(f"linear reads {linear.in_features} features, and rnn has {n_read}; pass layers that fit")
    named = [
        (f"{of}.{name}", value)
        for of, module in [*zip(names, rnns, strict=True), ("linear", linear)]
        for name, value in module.named_parameters()
    ]
    for name, value in named:
        dtype = str(value.dtype).removeprefix("torch.")
        if value.dtype != named[0][1].dtype or dtype not in validation.DTYPES:
            raise ValueError(
                f"{name} is {dtype}; convert all layers to float32 with float(), or to float64 with double()"
            )
        if not torch.isfinite(value).all():
            raise ValueError(f"{name} contains NaN or infinity; pass finite weights")


def _check_like_the_first(name: str, rnn: Any, first: Any) -> None:
    """Raise unless a module has layers of the kind that the first one has."""
    if getattr(rnn, "proj_size", 0):
        raise ValueError(
            f"{name} has proj_size={rnn.proj_size}, a matrix behind its states, which the cell 'lstm' does not have; "
            "pass one with proj_size=0"
        )
    found = [
        (_cell_of(one), getattr(one, "nonlinearity", "tanh"), 2 if one.bidirectional else 1) for one in (rnn, first)
    ]
    for what, own, expected in zip(("cell", "nonlinearity", "number of directions"), *found, strict=True):
        if own != expected:
            raise ValueError(f"{name} has the {what} {own!r}, and rnn[0] has {expected!r}; pass layers with the same")


def check_padded_batch(shape: Sequence[int], lengths: Any, n_features: int, least: int) -> None:
    """Raise unless a padded batch of a torch module has the right shape, and ``lengths`` numbers of its steps.

    Parameters
    ----------
    shape : tuple of int
        Shape of the batch.
    lengths : torch.Tensor or None
        Number of steps of each sequence.
    n_features : int
        Number of features of an observation.
    least : int
        Number of steps of the shortest sequence that is allowed.
    """
    if len(shape) != 3 or shape[2] != n_features:
        raise ValueError(f"x has the shape {tuple(shape)}; pass (n_sequences, n_steps, {n_features})")
    if 0 in shape or shape[1] < least:
        raise ValueError(f"x has the shape {tuple(shape)}; pass at least one sequence, of {least} step(s) or more")
    if lengths is None:
        return
    if lengths.is_floating_point() or lengths.ndim != 1 or len(lengths) != shape[0]:
        raise ValueError(
            f"lengths is {lengths.dtype} of shape {tuple(lengths.shape)}; pass integers, one for each of the "
            f"{shape[0]} sequences"
        )
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest < least or longest > shape[1]:
        raise ValueError(
            f"lengths are from {shortest} to {longest}; they must be from {least} to {shape[1]}, x's steps"
        )
