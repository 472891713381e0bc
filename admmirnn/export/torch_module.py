"""The network as a module of torch; imported by whom torch is installed for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from admmirnn import validation
from admmirnn.networks.blocks import blocks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from admmirnn._typing import FloatArray, Frame
    from admmirnn.export.network import Network

_FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "leaky_relu": nn.functional.leaky_relu,  # 0.01 a below zero, as ours
    "identity": nn.Identity(),
}
_OF_TORCH = ("tanh", "relu")
_SUFFIXES = "", "_reverse"  # of parameters of each direction
_PARAMETERS = {  # which are a block, or add up to it, by its part
    "U": ("weight_ih",),
    "W": ("weight_hh",),
    "b": ("bias_ih", "bias_hh"),
    "V": ("weight",),
    "c": ("bias",),
}


class LoopRNN(nn.Module):
    """What `torch.nn.RNN` with one layer and ``batch_first=True`` is, but of any activation, one step after the other.

    Parameters, arguments and results are those of `torch.nn.RNN`.

    Parameters
    ----------
    input_size, hidden_size : int
        d and n.
    nonlinearity : {"tanh", "relu", "sigmoid", "leaky_relu", "identity"}
        f.
    bidirectional : bool, default=False
        Whether a second network reads from the end.
    """

    num_layers, bias, batch_first = 1, True, True

    def __init__(self, input_size: int, hidden_size: int, nonlinearity: str, bidirectional: bool = False) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.nonlinearity, self.bidirectional = nonlinearity, bidirectional
        bound = hidden_size**-0.5
        for suffix in self._suffixes:
            shapes = {
                "weight_ih": (hidden_size, input_size),
                "weight_hh": (hidden_size, hidden_size),
                "bias_ih": (hidden_size,),
                "bias_hh": (hidden_size,),
            }
            for name, shape in shapes.items():
                values = torch.empty(shape).uniform_(-bound, bound)
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
        U, W, b, b_hh = (
            getattr(self, f"{name}_l0{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        f = _FUNCTIONS[self.nonlinearity]
        driven = x @ U.T + (b + b_hh)
        states = [s] * x.shape[1]
        for t in reversed(range(len(states))) if suffix else range(len(states)):
            following = f(driven[:, t] + s @ W.T)
            # a sequence that has ended, or not begun, stays where it is
            s = following if lengths is None else torch.where((t < lengths)[:, None], following, s)
            states[t] = s
        return torch.stack(states, dim=1), s


class ElmanModule(nn.Module):
    """A recurrent layer, what is read from its states, and a linear layer; see ``to_torch`` of the estimators.

    Parameters
    ----------
    rnn : torch.nn.RNN or LoopRNN
        Of one layer, with ``batch_first=True``.
    linear : torch.nn.Linear
        Takes its states, or those of both directions.
    read_out : {"last", "mean", "max", "each"}
        "each" is an output for each step.
    frame : tuple of int
        (length, stride).
    s_0 : torch.Tensor or torch.nn.Parameter of shape (n,), optional
        The state before the first step.
    """

    def __init__(
        self,
        rnn: nn.RNN | LoopRNN,
        linear: nn.Linear,
        read_out: str = "last",
        frame: Frame = (1, 1),
        s_0: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        self.rnn, self.linear = rnn, linear
        self.read_out, self.frame = read_out, frame
        if isinstance(s_0, nn.Parameter):
            self.s_0 = s_0
        else:
            self.register_buffer("s_0", s_0)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | list[int] | None = None) -> torch.Tensor:
        """Return the outputs (n_sequences, K), or (n_sequences, n_steps, K) if there is one for each step.

        Parameters
        ----------
        x : torch.Tensor of shape (n_sequences, n_steps, n_features)
            Sequences, filled up at their ends.
        lengths : torch.Tensor of int of shape (n_sequences,), or list of int, optional
            How long each sequence is; by default all of ``n_steps``.
        """
        n_channels = self.rnn.input_size // self.frame[0]
        lengths = None if lengths is None else torch.as_tensor(lengths, device=x.device)
        check_padded_batch(x.shape, lengths, n_channels, self.frame[0])
        x = x.to(self.linear.weight.dtype)
        if tuple(self.frame) != (1, 1):
            x, lengths = _framed(x, lengths, *self.frame)
        B, N, _ = x.shape
        h_0 = None
        if self.s_0 is not None:
            h_0 = self.s_0.expand(1, B, -1).contiguous()
        if lengths is None:
            states, last = self.rnn(x, h_0)
            is_there = None
        else:
            packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
            states, last = self.rnn(packed, h_0)
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

    def extra_repr(self) -> str:
        """What the layers do not say."""
        return f"read_out={self.read_out!r}, frame={tuple(self.frame)}, s_0={'zero' if self.s_0 is None else 'given'}"


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


def module_of(network: Network, *, learns_s_0: bool = False) -> ElmanModule:
    """The module of a `Network`, with copies of its weights."""
    D, n, d = network.U.shape
    of_torch = network.activation in _OF_TORCH
    settings = {"nonlinearity": network.activation, "bidirectional": D == 2}
    rnn = nn.RNN(d, n, batch_first=True, **settings) if of_torch else LoopRNN(d, n, **settings)
    linear = nn.Linear(D * n, len(network.c))
    layers = {"weight_ih": network.U, "weight_hh": network.W, "bias_ih": network.b, "bias_hh": 0 * network.b}
    given = {
        f"{name}_l0{suffix}": torch.tensor(arrays[k])
        for name, arrays in layers.items()
        for k, suffix in enumerate(_SUFFIXES[:D])
    }
    dtype = given["weight_ih_l0"].dtype
    rnn.to(dtype).load_state_dict(given)
    linear.to(dtype).load_state_dict({"weight": torch.tensor(network.V), "bias": torch.tensor(network.c)})
    s_0 = None if network.s_0 is None else torch.tensor(network.s_0)
    if s_0 is not None and learns_s_0:
        s_0 = nn.Parameter(s_0)
    return ElmanModule(rnn, linear, network.read_out, network.frame, s_0)


def layers_of(rnn: nn.RNN | LoopRNN, linear: nn.Linear) -> tuple[dict[str, FloatArray], str]:
    """The weights of a recurrent and a linear layer by name, as copies, and the activation."""
    check_torch_layers(rnn, linear, torch, (nn.RNN, LoopRNN))
    n_hidden = ((rnn.hidden_size,) * (2 if rnn.bidirectional else 1),)
    weights: dict[str, FloatArray] = {}
    for name, block in blocks_of(rnn.input_size, n_hidden, linear.out_features).items():
        layer, suffix = (linear, "") if block.direction is None else (rnn, f"_l0{_SUFFIXES[block.direction]}")
        parameters = [getattr(layer, f"{of}{suffix}", None) for of in _PARAMETERS[block.part]]
        found = [_copy(parameter) for parameter in parameters if parameter is not None]
        weights[name] = sum(found[1:], found[0]) if found else np.zeros(block.rows.stop, weights["U"].dtype)
    return weights, rnn.nonlinearity


def _copy(parameter: torch.Tensor) -> FloatArray:
    found: FloatArray = parameter.detach().cpu().numpy().copy()
    return found


def check_torch_layers(rnn: Any, linear: Any, torch: Any, recurrent: tuple[Any, ...]) -> None:
    """Raise unless these layers are a network that there is an estimator for.

    Parameters
    ----------
    rnn, linear : object
        What a user passes.
    torch : module
        torch.
    recurrent : tuple of type
        What ``rnn`` may be.
    """
    if not isinstance(rnn, recurrent):
        raise TypeError(f"rnn is of type {type(rnn).__name__}; pass a torch.nn.RNN, as no gates are read")
    if not isinstance(linear, torch.nn.Linear):
        raise TypeError(f"linear is of type {type(linear).__name__}; pass the torch.nn.Linear that reads the states")
    if rnn.num_layers != 1:
        raise ValueError(f"rnn has {rnn.num_layers} layers; pass one with num_layers=1, as no more are read")
    if not linear.out_features:
        raise ValueError("linear has no outputs; pass one that has")
    n_read = rnn.hidden_size * (2 if rnn.bidirectional else 1)
    if linear.in_features != n_read:
        raise ValueError(f"linear reads {linear.in_features} features, and rnn has {n_read}; pass layers that fit")
    named = [("rnn." + name, value) for name, value in rnn.named_parameters()]
    named += [("linear." + name, value) for name, value in linear.named_parameters()]
    for name, value in named:
        dtype = str(value.dtype).removeprefix("torch.")
        if value.dtype != named[0][1].dtype or dtype not in validation.DTYPES:
            raise ValueError(
                f"{name} is {dtype}; convert both layers to float32 with float(), or to float64 with double()"
            )
        if not torch.isfinite(value).all():
            raise ValueError(f"{name} contains NaN or infinity; pass finite weights")


def check_padded_batch(shape: Sequence[int], lengths: Any, n_features: int, least: int) -> None:
    """Raise unless a padded batch of a torch module has the right shape, and ``lengths`` numbers of its steps.

    Parameters
    ----------
    shape : tuple of int
        Of the batch.
    lengths : torch.Tensor or None
        How long each sequence is.
    n_features : int
        Of an observation.
    least : int
        Steps of the shortest sequence there may be.
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
