"""Networks of one's own: what `package.module:name`, `file.py:name` or an entry point stands for, and what it is wrapped in.

Importing runs the code that is named. Nothing here is called but to build what a recipe asks for.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.backbones.base import IMAGENET_MEAN, IMAGENET_STD, Backbone

ENTRY_POINTS = "abaw_harness.plugins"
"""The group of entry points under which an installed package may give short names to what it brings."""
ENTRY = "entry:"
"""What begins the name of an entry point."""


class PluginError(ValueError):
    """What a name stands for cannot be imported, or is not what it should be."""


def is_plugin(name: str) -> bool:
    """Whether a name is one of code of one's own: `file.py:name`, `package.module:name` or `entry:NAME`."""
    place, colon, function = name.rpartition(":")
    return bool(place and colon and function)


def load(name: str) -> Callable[..., Any]:
    """The function or class that a name stands for. Raises PluginError with the reason if there is none."""
    try:
        found: Callable[..., Any] = _loaded(name)
    except PluginError:
        raise
    except Exception as error:  # Whatever somebody's module raises as it is imported is told, not followed.
        raise PluginError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise PluginError(f"{name} cannot be called: it is a {type(found).__name__}")
    return found


def call(name: str, *arguments: Any, **options: Any) -> Any:
    """What the function of this name makes. Raises PluginError if it raises anything."""
    function = load(name)
    try:
        return function(*arguments, **options)
    except Exception as error:
        raise PluginError(f"{name} cannot be built: {type(error).__name__}: {error}") from error


def _loaded(name: str) -> Any:
    if name.startswith(ENTRY):
        wanted = name.removeprefix(ENTRY)
        found = [entry for entry in entry_points(group=ENTRY_POINTS) if entry.name == wanted]
        if not found:
            known = ", ".join(sorted(entry.name for entry in entry_points(group=ENTRY_POINTS))) or "none"
            raise PluginError(f"no installed package has the entry point {wanted!r} in the group {ENTRY_POINTS}; known: {known}")
        return found[0].load()
    place, _, attribute = name.rpartition(":")
    module = _module_of_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    if not hasattr(module, attribute):
        raise PluginError(f"{place} has no {attribute!r}")
    return getattr(module, attribute)


def _module_of_file(path: Path) -> Any:
    """The module in a file, run once for each place it lies in."""
    if not path.is_file():
        raise PluginError(f"there is no file {path}")
    name = f"harness_plugin_{path.stem}_{abs(hash(path.resolve()))}"
    if name not in sys.modules:
        specification = importlib.util.spec_from_file_location(name, path)
        assert specification is not None
        assert specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        sys.modules[name] = module
        try:
            specification.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


class PluginBackbone(Backbone):
    """Somebody's network as a backbone of one stage.

    Its output may be a map (B, C, h, w), tokens (B, N, C) or vectors (B, C), which are maps of one place. Its attributes `mean`
    and `std`, in units of pixel / 255, say how images are normalised (else as for ImageNet), `has_class_token` whether the first
    token stands for the image. Its tensors have its own names behind `network.`.
    """

    def __init__(self, network: nn.Module, image_size: int) -> None:
        super().__init__(
            {"network": ("network",)},
            image_size=image_size,
            mean=tuple(getattr(network, "mean", IMAGENET_MEAN)),
            std=tuple(getattr(network, "std", IMAGENET_STD)),
            has_class_token=bool(getattr(network, "has_class_token", False)),
        )
        self.key_prefix = "network."
        self.network = network

    def run_stage(self, stage: str, features: Tensor) -> Tensor:
        found: Tensor = self.network(features)
        return found[:, :, None, None] if found.dim() == 2 else found

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of one image's features, from a run of black images: not every network runs without data."""
        training = self.training
        with torch.no_grad():
            found = self.eval()(torch.zeros(2, 3, self.image_size, self.image_size))
        self.train(training)
        if not isinstance(found, Tensor) or found.dim() not in (3, 4) or len(found) != 2:
            raise PluginError("a backbone gives a map (B, C, h, w), tokens (B, N, C) or vectors (B, C)")
        return tuple(found.shape[1:])


def backbone(name: str, image_size: int, **options: Any) -> Backbone:
    """The backbone that `name(image_size=..., **options)` makes: a Backbone as it is, any other module wrapped."""
    made = call(name, image_size=image_size, **options)
    if not isinstance(made, nn.Module):
        raise PluginError(f"{name} made no torch.nn.Module but a {type(made).__name__}")
    return made if isinstance(made, Backbone) else PluginBackbone(made, image_size)


def head(name: str, feature_shape: tuple[int, ...], classes: int) -> nn.Module:
    """The head that `name(feature_shape, classes)` makes."""
    made = call(name, feature_shape, classes)
    if not isinstance(made, nn.Module):
        raise PluginError(f"{name} made no torch.nn.Module but a {type(made).__name__}")
    return made
