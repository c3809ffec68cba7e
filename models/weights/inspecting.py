"""What is inside a weights file, and which backbone it was made for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import registry
from models.names import MissingPackageError
from models.weights.encoders import likely_backbones
from models.weights.faces import FaceNetwork, face_network
from models.weights.loading import Match, match_tensors, part_of
from models.weights.reading import WeightsFile, read

LIKELY_NAMES = (
    *registry.names(),
    "torchvision:resnet34",
    "torchvision:resnet101",
)
"""Backbones that a file is compared with when none is named."""
PARTS = {"apvit": ("extractor", "vit")}
"""Backbone -> its parts that were published in files of their own."""
CLASSIFIERS = {"fc", "_fc", "head", "heads", "classifier"}


@dataclass(frozen=True, eq=False)
class PossibleBackbone:
    """A backbone that a file may be of, or a `part` of one, and what the file has for it."""

    backbone: str
    match: Match
    part: str | None = None

    @property
    def name(self) -> str:
        """BACKBONE, or BACKBONE:PART."""
        return self.backbone if self.part is None else f"{self.backbone}:{self.part}"

    @property
    def share(self) -> float:
        """Share of the backbone's tensors that the file has in the right shape, 0 to 1."""
        wanted = len(self.match.tensors) + len(self.match.missing) + len(self.match.misshaped)
        return len(self.match.tensors) / max(wanted, 1)


@dataclass(frozen=True, eq=False)
class Inspection:
    """What is inside a weights file.

    Attributes
    ----------
    file : the file's tensors and metadata.
    numbers : how many numbers its tensors hold.
    parts : first part of the tensors' names -> number of tensors.
    network : the network of faces that its names speak of, if they do of a known one.
    outputs : rows of the last layer of its classifier, if it has one.
    candidates : backbones it may be of, the best first.
    """

    file: WeightsFile
    numbers: int
    parts: dict[str, int]
    network: FaceNetwork | None
    outputs: int | None
    candidates: tuple[PossibleBackbone, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a program."""
        return {
            "file": self.file.name,
            "sha256": self.file.sha256,
            "kind": self.file.kind,
            "wrapper": self.file.wrapper,
            "other_wrappers": list(self.file.other_wrappers),
            "tensors": {
                name: [list(tensor.shape), str(tensor.dtype).removeprefix("torch.")] for name, tensor in self.file.tensors.items()
            },
            "numbers": self.numbers,
            "parts": self.parts,
            "network": None if self.network is None else {"name": self.network.name, "advice": self.network.advice},
            "outputs": self.outputs,
            "classes": None if self.file.classes is None else list(self.file.classes),
            "metadata": dict(self.file.metadata),
            "candidates": [
                {
                    "backbone": candidate.backbone,
                    "part": candidate.part,
                    "prefix": candidate.match.prefix,
                    "layout": candidate.match.layout.description,
                    "complete": candidate.match.complete,
                    "matched": len(candidate.match.tensors),
                    "missing": list(candidate.match.missing),
                    "mis_shaped": dict(candidate.match.misshaped),
                    "unexpected": list(candidate.match.unexpected),
                    "untouched_statistics": candidate.match.untouched_statistics(),
                }
                for candidate in self.candidates
            ],
        }


def inspect(path: str | Path, backbones: Sequence[str] | None = None, part: str | None = None) -> Inspection:
    """What is inside a file, compared with the named backbones and their PARTS, by default all of LIKELY_NAMES.

    With `part` the file is compared with that part of them alone.
    Raises WeightsError if the file cannot be read, UnknownBackboneError for an unknown name and ValueError for an unknown part.
    """
    file = read(path)
    candidates = [
        candidate
        for name in backbones or _likely_names(file)
        for candidate in _candidates(name, part, file, backbones is not None)
    ]
    if backbones is None:
        candidates = [candidate for candidate in candidates if candidate.match.tensors]
    candidates.sort(key=_rank)
    return Inspection(
        file,
        sum(tensor.numel() for tensor in file.tensors.values()),
        dict(Counter(name.removeprefix("module.").partition(".")[0] for name in file.tensors)),
        face_network(file.tensors),
        outputs_of(file),
        tuple(candidates),
    )


def _likely_names(file: WeightsFile) -> list[str]:
    """LIKELY_NAMES, and the encoders that the names and shapes speak of, if timm is installed."""
    found = likely_backbones(file.tensors)
    try:
        known = registry.names_of_library("timm") if found else ()
    except MissingPackageError:
        known = ()
    return [*LIKELY_NAMES, *(name for name in found if name in known)]


def _rank(candidate: PossibleBackbone) -> tuple[bool, float, int, bool]:
    """What fits first; of two that do, such as APViT and its convolutional half, the one that takes more of the file.

    A whole backbone comes before a part of another that takes as much.
    """
    return not candidate.match.complete, -candidate.share, -len(candidate.match.tensors), candidate.part is not None


def _candidates(name: str, part: str | None, file: WeightsFile, named: bool) -> Iterator[PossibleBackbone]:
    """A backbone and its parts as what a file may be of; without the parts in which nothing matches."""
    backbone = registry.create_without_data(name)
    if part is not None:
        if named or part in PARTS.get(name, ()):
            yield PossibleBackbone(name, match_tensors(part_of(backbone, part), file), part)
        return
    yield PossibleBackbone(name, match_tensors(backbone, file))
    for known in PARTS.get(name, ()):
        match = match_tensors(part_of(backbone, known), file)
        if match.tensors:
            yield PossibleBackbone(name, match, known)


def outputs_of(file: WeightsFile) -> int | None:
    """The number of outputs of the classifier, its last linear layer, if the file has one.

    It may stand in a sequence called `classifier`; one called `fc` is the head of a pre-training, MoCo's for one.
    """
    for name, tensor in reversed(list(file.tensors.items())):
        *_, outer, parent, last = ("", "", *name.split("."))
        if last == "weight" and tensor.dim() == 2 and (parent in CLASSIFIERS or (parent.isdecimal() and outer == "classifier")):
            return int(tensor.shape[0])
    return None
