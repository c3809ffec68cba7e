"""A backbone's weights as safetensors bytes, with where they came from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from models import registry
from models.backbones.base import Backbone
from models.weights.classes import agreed_order
from models.weights.inputs import input_metadata
from models.weights.inspecting import outputs_of
from models.weights.layouts import bare_names
from models.weights.loading import LoadReport, match_tensors, part_of, report, require
from models.weights.reading import METADATA_KEY, read


def backbone_bytes(backbone: Backbone, name: str, *, origin: Mapping[str, str], classes: Sequence[str] | None = None) -> bytes:
    """A safetensors file of a backbone's tensors under their published names, with its image size and normalisation.

    The same tensors give the same bytes.

    Parameters
    ----------
    name : the backbone's name in the registry.
    origin : what is known of where the weights came from, such as the original file's name and sha256.
    classes : class names of the data it was trained on, in order, if it was trained with labels.
    """
    state = backbone.state_dict()
    tensors = {bare: state[full] for bare, full in bare_names(backbone).items()}
    return _bytes(tensors, {"backbone": name, **input_metadata(backbone)}, origin, classes)


def convert(
    path: str | Path,
    name: str,
    *,
    part: str | None = None,
    classes: Sequence[str] | None = None,
    allow_partial: bool = False,
    accept_untouched_statistics: bool = False,
) -> tuple[bytes, LoadReport]:
    """The tensors that a foreign file has for the backbone `name` as a safetensors file, and what was taken.

    `part` takes the file for a part of the backbone alone, see load_backbone. The new file holds the original's name and sha256,
    its layout, and the class names if it or the caller gives them.
    Raises WeightsError as load_backbone does, or if the caller's classes are not the file's; UnknownBackboneError for an unknown
    name and ValueError for an unknown part.
    """
    file = read(path)
    order = agreed_order(file.classes, classes, outputs_of(file))
    match = match_tensors(part_of(registry.create_without_data(name), part), file)
    require(match, file, allow_partial, accept_untouched_statistics)
    taken = report(match, file)
    origin = {"file": file.name, "sha256": file.sha256, "layout": match.layout.description, "prefix": match.prefix}
    if taken.accepted_untouched_statistics:
        origin["untouched_statistics"] = "accepted"
    return _bytes(match.tensors, {"backbone": name} if part is None else {"part": f"{name}:{part}"}, origin, order), taken


def _bytes(
    tensors: Mapping[str, Tensor], described: Mapping[str, str], origin: Mapping[str, str], classes: Sequence[str] | None
) -> bytes:
    stored = {
        key: (tensor.float() if tensor.is_floating_point() else tensor).detach().cpu().contiguous().clone()
        for key, tensor in tensors.items()
    }
    metadata = {**described, "origin": dict(origin), **({"classes": list(classes)} if classes else {})}
    data: bytes = save(stored, {METADATA_KEY: json.dumps(metadata, sort_keys=True, ensure_ascii=False)})
    return data
