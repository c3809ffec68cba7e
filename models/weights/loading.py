"""Foreign and own weights into a backbone or a classifier: all of its tensors, or an error that names what does not fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from models.backbones.timm_named import TimmBackbone
from models.backbones.vit import VisionTransformer
from models.classifier import Classifier
from models.weights.classes import agreed_order, output_order
from models.weights.encoders import as_timm
from models.weights.errors import WeightsError
from models.weights.layouts import (
    AFTER_POOLING,
    PLAIN,
    POOLED,
    POSITIONS,
    PREFIXES,
    SLOW_COPIES,
    TensorLayout,
    bare_names,
    layouts_for,
    resize_positions,
)
from models.weights.reading import WeightsFile, read

SHOWN = 12
"""Names that an error lists before it only counts."""


@dataclass(frozen=True, eq=False)
class Match:
    """What a file has for a network.

    Attributes
    ----------
    layout, prefix : how the file names the network's tensors.
    tensors : our name -> the file's tensor, made fit.
    missing : our names that the file does not have.
    absent : our names that files of this layout never have.
    misshaped : our name -> what the file has and what is wanted.
    unexpected : names in the file, below the prefix, that have no place in the network.
    left_out : first part of a name -> number of tensors that were left out on purpose, such as a classifier's.
    adapted : what was done to tensors to make them fit.
    """

    layout: TensorLayout
    prefix: str
    tensors: Mapping[str, Tensor]
    missing: tuple[str, ...]
    absent: tuple[str, ...]
    misshaped: Mapping[str, str]
    unexpected: tuple[str, ...]
    left_out: Mapping[str, int]
    adapted: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every tensor of the network is there and nothing speaks of another network."""
        return bool(self.tensors) and not (self.missing or self.misshaped or self.unexpected)

    def untouched_statistics(self) -> int:
        """Number of running means if they are all exactly 0 and the variances all exactly 1, as before any training; else 0."""
        means = [tensor for name, tensor in self.tensors.items() if name.endswith("running_mean")]
        variances = [tensor for name, tensor in self.tensors.items() if name.endswith("running_var")]
        touched = any(bool(tensor.any()) for tensor in means) or any(bool((tensor != 1).any()) for tensor in variances)
        return 0 if touched else len(means)


@dataclass(frozen=True)
class LoadReport:
    """What was loaded from where; `as_dict` is what a run records.

    Attributes
    ----------
    file, sha256 : the file's name without its folder, and the sha256 of its bytes.
    layout, prefix : how the file names the tensors.
    loaded : number of tensors taken.
    random : our names that keep their random values.
    left_out : parts of the file that were not taken -> number of tensors.
    adapted : what was done to tensors to make them fit.
    accepted_untouched_statistics : the file looks like a random initialisation and was taken all the same.
    origin : what the file says of its own origin.
    """

    file: str
    sha256: str
    layout: str
    prefix: str
    loaded: int
    random: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    adapted: tuple[str, ...] = ()
    accepted_untouched_statistics: bool = False
    origin: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, a function of the file and the network alone."""
        return {
            "file": self.file,
            "sha256": self.sha256,
            "layout": self.layout,
            "prefix": self.prefix,
            "loaded": self.loaded,
            "random": list(self.random),
            "left_out": dict(sorted(self.left_out.items())),
            "adapted": list(self.adapted),
            "accepted_untouched_statistics": self.accepted_untouched_statistics,
            "origin": dict(sorted(self.origin.items())),
        }


def load_backbone(
    backbone: nn.Module,
    path: str | Path,
    *,
    part: str | None = None,
    allow_partial: bool = False,
    accept_untouched_statistics: bool = False,
) -> LoadReport:
    """Puts the weights of a file into a backbone. Classifiers, necks and running averages in the file are left out.

    Parameters
    ----------
    backbone : a backbone, or any network whose names the file has.
    part : name of a submodule to load alone, such as APViT's "extractor" (IR-50 weights) and "vit" (timm's first vit_small).
    allow_partial : take what fits; the report names what keeps its random values.
    accept_untouched_statistics : take a file whose BatchNorm statistics are those of a random initialisation.

    Raises WeightsError if the file cannot be read, names the missing, unexpected and mis-shaped tensors if any, or has untouched
    statistics; ValueError for an unknown part. The backbone is unchanged then.
    """
    network = part_of(backbone, part)
    file = read(path)
    match = match_tensors(network, file)
    require(match, file, allow_partial, accept_untouched_statistics)
    names = bare_names(network)
    network.load_state_dict({names[name]: tensor for name, tensor in match.tensors.items()}, strict=False)
    return report(match, file)


def part_of(backbone: nn.Module, part: str | None) -> nn.Module:
    """A submodule of a backbone by name, the backbone itself for None. Raises ValueError if there is none of this name."""
    try:
        return backbone if part is None else backbone.get_submodule(part)
    except AttributeError as error:
        raise ValueError(f"the backbone has no part {part!r}") from error


def load_classifier(
    classifier: Classifier,
    path: str | Path,
    class_names: Sequence[str],
    *,
    file_classes: Sequence[str] | None = None,
    accept_untouched_statistics: bool = False,
) -> LoadReport:
    """Puts a trained classifier, backbone and head, into one of the same kind.

    Parameters
    ----------
    class_names : the classes of `classifier` in the order of its outputs.
    file_classes : those of the file, where it says none. Outputs in another order are put in ours.

    Raises WeightsError as load_backbone does, and if the file's classes are unknown, or others than `class_names` or
    `file_classes`.
    """
    file = read(path)
    found = agreed_order(file.classes, file_classes, None)
    if found is None:
        raise WeightsError(
            f"{file.name} does not say which classes its outputs are",
            expected=", ".join(class_names),
            remedy="name its class order, or load its backbone alone",
        )
    order = output_order(found, class_names)
    match = match_tensors(classifier.backbone, file)
    require(match, file, False, accept_untouched_statistics)
    head = match_tensors(classifier.head, _head_of(file))
    require(head, file, False, accept_untouched_statistics=True)
    names = bare_names(classifier.backbone)
    classifier.backbone.load_state_dict({names[name]: tensor for name, tensor in match.tensors.items()}, strict=False)
    tensors = {name: tensor[order] if name in ("fc.weight", "fc.bias") else tensor for name, tensor in head.tensors.items()}
    classifier.head.load_state_dict(tensors, strict=False)
    return report(match, file)


def match_tensors(network: nn.Module, file: WeightsFile) -> Match:
    """What `file` has for `network`, under the layout and prefix that cover most of it."""
    wanted = network.state_dict()
    shapes = {name: wanted[full] for name, full in bare_names(network).items()}
    translated = as_timm(file.tensors) if isinstance(network, TimmBackbone) else None
    if translated is not None:
        layout, prefix, file = translated[0], "", replace(file, tensors=translated[1])
    else:
        layout, prefix = _best_layout(network, tuple(shapes), file)
    below = {name.removeprefix(prefix): tensor for name, tensor in file.tensors.items() if name.startswith(prefix)}
    tensors, misshaped, missing, absent, adapted, used = {}, {}, [], [], [], set()
    for name, wanted_tensor in shapes.items():
        source = layout.source(name)
        if source not in below:
            if name.startswith(layout.absent):
                absent.append(name)
            elif not name.endswith("num_batches_tracked"):
                missing.append(name)
            continue
        used.add(source)
        tensor = layout.convert.get(name, _same)(below[source])
        if name in POSITIONS and tensor.dim() == 3 and tensor.shape[1] != wanted_tensor.shape[1]:
            adapted.append(f"{name} resized from {tensor.shape[1]} to {wanted_tensor.shape[1]} tokens")
            leading = network.positions_before if isinstance(network, TimmBackbone) else POSITIONS[name]
            tensor = resize_positions(tensor, wanted_tensor.shape[1], leading)
        if tensor.shape != wanted_tensor.shape or tensor.is_floating_point() != wanted_tensor.is_floating_point():
            misshaped[name] = f"{_described(tensor)} instead of {_described(wanted_tensor)}"
        else:
            tensors[name] = tensor
    unexpected = [name for name in below if name not in used and not layout.ignored.match(name) and not _slow_copy(name)]
    taken = {prefix + name for name in [*used, *unexpected]}
    left_out = Counter(name.removeprefix("module.").partition(".")[0] for name in file.tensors if name not in taken)
    return Match(
        layout, prefix, tensors, tuple(missing), tuple(absent), misshaped, tuple(unexpected), dict(left_out), tuple(adapted)
    )


def _best_layout(network: nn.Module, names: Sequence[str], file: WeightsFile) -> tuple[TensorLayout, str]:
    """The layout and prefix under which most of the network's names stand in the file, or are known to be absent.

    Of equals the one first named.
    """
    best: tuple[int, int, TensorLayout, str] = (0, 0, PLAIN, "")
    pooled = any(name.endswith(AFTER_POOLING) for name in file.tensors) and isinstance(network, (TimmBackbone, VisionTransformer))
    for layout in (*layouts_for(network), *([POOLED] if pooled else [])):
        sources = {layout.source(name) for name in names}
        votes = Counter(prefix for name in file.tensors for prefix, rest in _splits(name) if rest in sources)
        for prefix, count in votes.items():
            absent = sum(n.startswith(layout.absent) and prefix + layout.source(n) not in file.tensors for n in names)
            candidate = (count + absent, -_preference(prefix), layout, prefix)
            if not _slow_copy(prefix) and candidate[:2] > best[:2]:
                best = candidate
    return best[2], best[3]


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """Every way to take a dotted name apart into a prefix and a rest."""
    yield "", name
    for position, character in enumerate(name):
        if character == ".":
            yield name[: position + 1], name[position + 1 :]


def _preference(prefix: str) -> int:
    plain = prefix.removeprefix("module.")
    return PREFIXES.index(plain) if plain in PREFIXES else len(PREFIXES)


def _slow_copy(name: str) -> bool:
    return any(part in SLOW_COPIES for part in name.split("."))


def _head_of(file: WeightsFile) -> WeightsFile:
    """The neck and head of mmcls (`neck.conv1.…`, `head.fc.…`) and our own head under one prefix."""
    tensors = {}
    for name, tensor in file.tensors.items():
        part, _, rest = name.removeprefix("module.").partition(".")
        if part in ("neck", "head"):
            tensors[f"head.{rest}"] = tensor
    return replace(file, tensors=tensors)


def _described(tensor: Tensor) -> str:
    shape = "x".join(map(str, tensor.shape)) or "a number"
    return shape if tensor.is_floating_point() else f"{shape} of {str(tensor.dtype).removeprefix('torch.')}"


def require(match: Match, file: WeightsFile, allow_partial: bool, accept_untouched_statistics: bool) -> None:
    """Raises WeightsError naming what does not fit, unless the match is complete (or the exceptions are allowed)."""
    if not match.tensors:
        slow = sorted({part for name in file.tensors for part in name.split(".") if part in SLOW_COPIES})
        raise WeightsError(
            f"nothing in {file.name} fits the backbone",
            found=_listed(list(file.tensors)) + (f"; {', '.join(slow)} is never taken in the backbone's place" if slow else ""),
            expected=_listed([match.layout.source(name) for name in match.missing]),
        )
    if not match.complete and not allow_partial:
        faults = [
            f"{len(names)} {kind}: {_listed(names)}"
            for kind, names in (
                ("missing", match.missing),
                ("mis-shaped", [f"{name} ({what})" for name, what in match.misshaped.items()]),
                ("unexpected", match.unexpected),
            )
            if names
        ]
        raise WeightsError(
            f"{file.name} does not have all of the backbone",
            found=f"{len(match.tensors)} tensors that fit (prefix {match.prefix!r}, {match.layout.description}); "
            + "; ".join(faults),
            expected="every tensor of the backbone and no other",
            remedy="choose the backbone the file was made for, or take only what fits (--allow-partial)",
        )
    untouched = match.untouched_statistics()
    if untouched and not accept_untouched_statistics:
        raise WeightsError(
            f"{file.name} looks like a random initialisation: its {untouched} BatchNorm statistics were never updated",
            found="running means all exactly 0 and variances all exactly 1",
            remedy="use another file, or take it all the same (--accept-untouched-statistics, which is recorded)",
        )


def _listed(names: Sequence[str]) -> str:
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + rest


def report(match: Match, file: WeightsFile) -> LoadReport:
    """What is taken from `file`, for a run to record."""
    return LoadReport(
        file.name,
        file.sha256,
        match.layout.description,
        match.prefix,
        len(match.tensors),
        random=(*match.missing, *match.misshaped, *match.absent),
        left_out=match.left_out,
        adapted=match.adapted,
        accepted_untouched_statistics=match.untouched_statistics() > 0,
        origin={name: value for name, value in file.metadata.items() if name.startswith("origin.")},
    )
