"""Backbones by name: those of the paper, and any of torchvision or timm as `torchvision:NAME` and `timm:NAME`."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

from models import plugins
from models.backbones.base import IMAGENET_MEAN, IMAGENET_STD, Backbone
from models.names import UnknownNameError

BUILDERS = {
    "res18": ("resnet", "build_res18"),
    "res50": ("resnet", "build_res50"),
    "ir50": ("ir50", "build_ir50"),
    "hierarchical-ir50": ("ir50", "build_hierarchical_ir50"),
    "apvit": ("apvit", "build"),
    "vit-b16": ("vit", "build_b16"),
    "lite0": ("efficientnet_lite0", "build"),
}
"""Name -> module of models.backbones and the function in it that builds the backbone."""

LIBRARIES = {
    "torchvision": ("torchvision_named", "build", "names"),
    "timm": ("timm_named", "build", "names"),
}
"""Prefix -> module of models.backbones, its building function and the function that lists what the library has."""


OWN_IMAGE_SIZE = 224
"""Pixels a side that code of one's own is asked for where nobody says."""

NORMALISATIONS = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""Name -> mean and standard deviation of RGB in units of pixel / 255. Face recognition uses "half"."""


class UnknownBackboneError(UnknownNameError):
    """No backbone has this name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__("backbone", name, known)


def names() -> tuple[str, ...]:
    """The names of our own backbones; those of torchvision and timm come on top, see `names_of_library`."""
    return tuple(BUILDERS)


def names_of_library(library: str) -> tuple[str, ...]:
    """All the names `LIBRARY:NAME` of "torchvision" or "timm"."""
    module, _, names_function = LIBRARIES[library]
    return tuple(f"{library}:{name}" for name in getattr(_module(module), names_function)())


def create(name: str, *, image_size: int | None = None, normalisation: str | None = None, **options: Any) -> Backbone:
    """A backbone with random weights drawn from torch's global generator.

    Parameters
    ----------
    name : one of `names()`, `torchvision:NAME` or `timm:NAME`, or code of one's own, see plugins.
    image_size : side of the image in pixels; by default what the backbone was designed for.
    normalisation : one of NORMALISATIONS; by default what the backbone's published weights were trained with.
    options : passed to the backbone's builder.

    Raises plugins.PluginError for code that cannot be used, UnknownBackboneError naming the nearest known name,
    MissingPackageError if timm is wanted and not installed, and ValueError if the backbone has no such option.
    """
    if normalisation is not None and normalisation not in NORMALISATIONS:
        raise ValueError(f"unknown normalisation {normalisation!r}; known: {', '.join(NORMALISATIONS)}")
    if image_size is not None:
        options["image_size"] = image_size
    library, separator, library_name = name.partition(":")
    arguments: tuple[str, ...] = ()
    if library in LIBRARIES and separator:
        known = names_of_library(library)
        if name not in known:
            raise UnknownBackboneError(name, known)
        module, function, _ = LIBRARIES[library]
        arguments = (library_name,)
    elif name in BUILDERS:
        module, function = BUILDERS[name]
    elif plugins.is_plugin(name) and not _is_misspelt(library):
        return _normalised(plugins.backbone(name, options.pop("image_size", OWN_IMAGE_SIZE), **options), normalisation)
    else:
        raise UnknownBackboneError(name, [*BUILDERS, *(f"{prefix}:NAME" for prefix in LIBRARIES)])
    try:
        backbone = getattr(_module(module), function)(*arguments, **options)
    except TypeError as error:
        raise ValueError(f"backbone {name!r} cannot be built with {options}: {error}") from error
    assert isinstance(backbone, Backbone)
    return _normalised(backbone, normalisation)


def _is_misspelt(library: str) -> bool:
    """Whether what stands before the colon is nearly the name of a library, and no package of one's own."""
    return library.isidentifier() and bool(get_close_matches(library, LIBRARIES)) and find_spec(library) is None


def _normalised(backbone: Backbone, normalisation: str | None) -> Backbone:
    if normalisation is not None:
        backbone.mean, backbone.std = NORMALISATIONS[normalisation]
    return backbone


def create_without_data(name: str) -> Backbone:
    """A backbone whose tensors have shapes and no numbers, to compare files with. Raises as `create` does."""
    with torch.device("meta"):
        return create(name)


def _module(name: str) -> Any:
    return import_module(f"models.backbones.{name}")
