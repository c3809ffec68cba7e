"""`harness weights`: what is inside a weights file, which backbone it fits, and the same as safetensors."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.streams import show, show_json

if TYPE_CHECKING:
    from models.weights import Inspection, LoadReport, PossibleBackbone

SHOWN = 8
"""Names of a kind that are listed before the rest is only counted."""


@click.command("weights")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--backbone", "name", default=None, help="Compare with this backbone alone. [default: all the paper's and more]")
@click.option("--convert", "out", type=click.Path(path_type=Path), default=None, help="Write what fits as a safetensors file.")
@click.option("--part", default=None, help="Compare with a part of the backbone alone: extractor or vit, of apvit.")
@click.option(
    "--classes",
    "order",
    default=None,
    help="Class order of its outputs, where it says none: abaw, affectnet, affectnet7, raf-db, ferplus, or names with commas.",
)
@click.option("--allow-partial", is_flag=True, help="Convert even if only some of the backbone is there.")
@click.option(
    "--accept-untouched-statistics", is_flag=True, help="Convert even if it looks like a random initialisation; recorded."
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON, with every tensor's shape.")
def command(
    file: Path,
    name: str | None,
    out: Path | None,
    part: str | None,
    order: str | None,
    allow_partial: bool,
    accept_untouched_statistics: bool,
    as_json: bool,
) -> None:
    """Show what is inside a weights FILE (.pth, .pt, .bin, .safetensors) and which backbone it fits.

    Reads torchvision, timm, mmcls, mmselfsup, MoCo, SimCLR, BYOL, MAE, face.evoLVe and APViT files. Nothing in a file is ever
    run: what is neither a tensor nor harmless metadata is refused by name.

    \b
    Examples:
      harness weights ContraWarping_R50.pth --convert weights/res50-contrawarping.safetensors
      harness weights vit_small_p16_224-15ec54c9.pth --backbone apvit --part vit --convert weights/apvit-vit.safetensors
    """
    from harness import files
    from models import weights

    if out is not None:
        files.refuse_unwritable(out)
    with _as_errors_of_the_harness(file):
        classes = None if order is None else weights.class_order(order)
        inspection = weights.inspect(file, None if name is None else [name], part)
        weights.agreed_order(inspection.file.classes, classes, inspection.outputs)
        _show(inspection, as_json)
        if out is None:
            _say_next(inspection, file, as_json)
            return
        best = _best_candidate(inspection, file)
        data, report = weights.convert(
            file,
            best.backbone,
            part=best.part,
            classes=classes,
            allow_partial=allow_partial,
            accept_untouched_statistics=accept_untouched_statistics,
        )
    files.write_bytes(out, data)
    _show_conversion(report, out, files.sha256_of_bytes(data), as_json)
    show(f"next: {_train_with(best, out)}", err=as_json)


@contextlib.contextmanager
def _as_errors_of_the_harness(path: Path) -> Iterator[None]:
    """Turns what `models` raises about the file at `path` into errors with an exit code."""
    from harness.errors import DataError, MissingExtraError, UsageError
    from models import weights
    from models.names import MissingPackageError, UnknownNameError

    try:
        yield
    except weights.WeightsError as error:
        raise DataError(error.problem, path=path, found=error.found, expected=error.expected, remedy=error.remedy) from error
    except (UnknownNameError, ValueError) as error:
        raise UsageError(str(error)) from error
    except MissingPackageError as error:
        raise MissingExtraError(error.package, error.extra, error.purpose) from error


def _best_candidate(inspection: Inspection, path: Path) -> PossibleBackbone:
    from harness.errors import DataError

    if not inspection.candidates:
        raise DataError("no known backbone has tensors in this file", path=path, remedy="name one with --backbone")
    return inspection.candidates[0]


def _show(inspection: Inspection, as_json: bool) -> None:
    from harness import files

    if as_json:
        show_json(files.json_text(inspection.as_dict()))
        return
    file = inspection.file
    show(f"{file.name}: {file.kind}, {len(file.tensors)} tensors, {inspection.numbers:,} numbers")
    show(f"sha256 {file.sha256}")
    place = f"in {file.wrapper!r}" if file.wrapper else "at the top"
    parts = ", ".join(f"{part} {count}" for part, count in inspection.parts.items())
    show(f"tensors {place}: {parts}")
    if file.other_wrappers:
        show(f"also there, not looked at: {', '.join(file.other_wrappers)}")
    if file.metadata:
        show("says of itself: " + ", ".join(f"{name} {value}" for name, value in list(file.metadata.items())[:SHOWN]))
    outputs = "none found" if inspection.outputs is None else str(inspection.outputs)
    show(f"classifier outputs: {outputs}; classes: {'not named' if file.classes is None else ', '.join(file.classes)}")
    if inspection.network is not None:
        show(f"names as of {inspection.network.name}: {inspection.network.advice}")
    for candidate in inspection.candidates[:5]:
        _show_candidate(candidate)
    if not inspection.candidates:
        show("no backbone here has tensors of these names; first names: " + ", ".join(list(file.tensors)[:SHOWN]))


def _show_candidate(candidate: PossibleBackbone) -> None:
    match = candidate.match
    state = "fits" if match.complete else "does not fit"
    wanted = len(match.tensors) + len(match.missing) + len(match.misshaped)
    show(f"{candidate.name}: {state}, {len(match.tensors)} of {wanted} tensors, prefix {match.prefix!r}")
    kinds = (
        ("missing", list(match.missing)),
        ("mis-shaped", [f"{name} ({what})" for name, what in match.misshaped.items()]),
        ("unexpected", list(match.unexpected)),
    )
    for kind, names in kinds:
        if names:
            rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            show(f"  {kind}: {', '.join(names[:SHOWN])}{rest}")
    if match.untouched_statistics():
        show(f"  its {match.untouched_statistics()} BatchNorm statistics were never updated: a random initialisation?")


def _say_next(inspection: Inspection, path: Path, as_json: bool) -> None:
    fits = [candidate for candidate in inspection.candidates if candidate.match.complete]
    if fits:
        show(f"next: {_train_with(fits[0], path)}", err=as_json)
    else:
        show(f"next: harness weights {shlex.quote(str(path))} --backbone NAME", err=as_json)


def _train_with(candidate: PossibleBackbone, path: Path) -> str:
    """The training that starts from the file at `path`."""
    from harness.commands.shared.next_steps import data_at_hand
    from harness.recipes.starting import train_options
    from models import registry

    size = registry.create_without_data(candidate.backbone).image_size
    return f"harness train {train_options(candidate.backbone, size, str(path), candidate.part)}{data_at_hand()}"


def _show_conversion(report: LoadReport, out: Path, digest: str, as_json: bool) -> None:
    if report.random:
        show(f"not in the file, random where it is loaded: {', '.join(report.random)}", err=as_json)
    if report.left_out:
        left_out = ", ".join(f"{part} {count}" for part, count in report.left_out.items())
        show(f"left out: {left_out}", err=as_json)
    show(f"{out}: {report.loaded} tensors, sha256 {digest}", err=as_json)
