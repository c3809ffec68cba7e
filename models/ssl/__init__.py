"""Self-supervised pre-training methods by name: a file each, its networks and loss in one module."""

from __future__ import annotations

from typing import Any

from models.backbones.base import Backbone
from models.names import UnknownNameError
from models.ssl.base import PretrainingMethod
from models.ssl.byol import BYOL
from models.ssl.contrawarping import ContraWarping
from models.ssl.mae import MAE
from models.ssl.moco import MoCo
from models.ssl.simclr import SimCLR

METHODS: dict[str, type[PretrainingMethod]] = {
    "contrawarping": ContraWarping,
    "byol": BYOL,
    "simclr": SimCLR,
    "moco": MoCo,
    "mae": MAE,
}


class UnknownMethodError(UnknownNameError):
    """No pre-training method has this name."""

    def __init__(self, name: str) -> None:
        super().__init__("pre-training method", name, METHODS)


def names() -> tuple[str, ...]:
    """The names of the methods."""
    return tuple(METHODS)


def create(name: str, backbone: Backbone, **options: Any) -> PretrainingMethod:
    """A method that trains `backbone`, its other networks with random weights from torch's global generator.

    Raises UnknownMethodError, and ValueError if the method has no such option or does not suit the backbone.
    """
    if name not in METHODS:
        raise UnknownMethodError(name)
    method: Any = METHODS[name]
    try:
        made: PretrainingMethod = method(backbone, **options)
    except TypeError as error:
        raise ValueError(f"method {name!r} cannot be built with {options}: {error}") from error
    return made
