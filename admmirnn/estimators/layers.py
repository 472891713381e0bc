"""Estimators made of layers of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from admmirnn.estimators.base import RecurrentEstimator
from admmirnn.export import layers_of_torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import torch

    from admmirnn._typing import FloatArray


_E = TypeVar("_E", bound="RecurrentEstimator")


def estimator_of_layers(
    cls: type[_E],
    rnn: torch.nn.Module | Sequence[torch.nn.Module],
    linear: torch.nn.Module,
    settings: dict[str, Any],
) -> tuple[_E, dict[str, FloatArray]]:
    """An estimator that has the settings that layers of torch stand for, and their weights by name."""
    layers, of_layers = layers_of_torch(rnn, linear)
    check_settings_of_torch(settings, of_layers)
    return cls(**of_layers, **settings), layers


def check_settings_of_torch(settings: Mapping[str, Any], from_layers: Iterable[str]) -> None:
    """Raise if ``settings`` names what the layers say."""
    for name in from_layers:
        if name in settings:
            raise TypeError(f"from_torch was given {name}={settings[name]!r}, which the layers determine; leave it out")
