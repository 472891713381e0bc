"""Estimators made of layers of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from admmirnn.estimators.base import RecurrentEstimator
from admmirnn.export import layers_of_torch
from admmirnn.networks.blocks import n_directions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import torch

    from admmirnn._typing import FloatArray


_E = TypeVar("_E", bound="RecurrentEstimator")


def estimator_of_layers(
    cls: type[_E], rnn: torch.nn.Module, linear: torch.nn.Module, settings: dict[str, Any]
) -> tuple[_E, dict[str, FloatArray]]:
    """An estimator that has the settings that layers of torch stand for, and their weights by name."""
    layers, activation = layers_of_torch(rnn, linear)
    of_layers = {
        "hidden_size": len(layers["b"]),
        "activation": activation,
        "bidirectional": n_directions(layers) == (2,),
        "dtype": layers["b"].dtype.name,
    }
    check_settings_of_torch(settings, of_layers)
    return cls(**of_layers, **settings), layers


def check_settings_of_torch(settings: Mapping[str, Any], from_layers: Iterable[str]) -> None:
    """Raise if ``settings`` names what the layers say."""
    for name in from_layers:
        if name in settings:
            raise TypeError(f"from_torch has got {name}={settings[name]!r}, which the layers say; leave it out")
