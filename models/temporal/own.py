"""Somebody's model on features between the harness's normalisation and its losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from models import plugins
from models.temporal.dropout import Uniforms
from models.temporal.network import FeatureNetwork

TIMES = 3
"""Length of the window on which a model is tried as it is built."""


class OwnModel(FeatureNetwork):
    """Calls `network(features, present)`, or `network(features, present, uniforms)` if it has an attribute `uniforms`.

    Parameters
    ----------
    network : from normalised features float32 (B, T, D), zero where a set is missing, and bool (B, T, K), what sets there are,
        to logits (B, T, C). Its attribute `uniforms` is how many uniform numbers it wants of a window in training, as
        (B, uniforms); it gets None in prediction.
    """

    def __init__(self, network: nn.Module, widths: Sequence[int], set_dropout: float, unit_length: bool) -> None:
        super().__init__(widths, set_dropout, unit_length)
        self.network = network
        self.own_uniforms = int(getattr(network, "uniforms", 0))
        self.uniforms += self.own_uniforms

    def classify(self, seen: Tensor, present: Tensor, given: Uniforms) -> Tensor:
        """Logits (B, T, C)."""
        numbers = (given.take(self.own_uniforms),) if self.own_uniforms else ()
        logits: Tensor = self.network(seen, present, *numbers)
        return logits


def build(
    name: str, widths: Sequence[int], classes: int, settings: Mapping[str, Any], set_dropout: float, unit_length: bool
) -> OwnModel:
    """What `name(widths, classes)` makes; those of the `settings` that it has parameters for are given by name.

    It is tried on a small window. Raises plugins.PluginError if it is no network, raises, or gives other than logits (B, T, C).
    """
    function = plugins.load(name)
    asked = {key: value for key, value in settings.items() if key in _parameters(function)}
    made = plugins.call(name, list(widths), classes, **asked)
    if not isinstance(made, nn.Module):
        raise plugins.PluginError(f"{name} made no torch.nn.Module but a {type(made).__name__}")
    model = OwnModel(made, widths, set_dropout, unit_length)
    _try(model, name, classes)
    return model


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    try:
        return tuple(signature(function).parameters)
    except (TypeError, ValueError):  # Some functions written in C have none that can be read.
        return ()


def _try(model: OwnModel, name: str, classes: int) -> None:
    """A pass over two windows without numbers, one of which ends early."""
    present = torch.ones(2, TIMES, len(model.widths), dtype=torch.bool)
    present[1, 1:] = False
    training = model.training
    try:
        with torch.no_grad():
            found = model.eval()(torch.zeros(2, TIMES, sum(model.widths)), present)
    except Exception as error:  # Whatever somebody's network raises is told, not followed.
        raise plugins.PluginError(f"{name} cannot be run on features: {type(error).__name__}: {error}") from error
    finally:
        model.train(training)
    if not isinstance(found, Tensor) or found.shape != (2, TIMES, classes):
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise plugins.PluginError(f"{name} gives {shape} of windows of {TIMES} times, not logits (B, T, {classes})")
