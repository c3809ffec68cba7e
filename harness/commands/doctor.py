"""`harness doctor`: an audit of a data root; packs its crops for network disks."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from harness.challenge import ALIGNED_CROP_SIZE
from harness.commands.shared.options import challenge_option
from harness.commands.shared.sections import RareOption, Verb
from harness.streams import show, show_json

if TYPE_CHECKING:
    from harness.data.doctor import Examination

T = TypeVar("T")


@click.command("doctor", cls=Verb)
@click.argument("data", type=click.Path())
@challenge_option
@click.option("--crops", default="cropped_aligned", show_default=True, help="cropped_aligned, cropped, or the path of a folder.")
@click.option("--sample", type=click.Path(), default=None, help="Official sample file, where it is not below DATA.")
@click.option("--videos", type=click.Path(), default=None, help="Folder of raw videos: writes DATA/frame_rates.csv.")
@click.option("--images/--no-images", default=True, show_default=True, help="Read the images, not only their names.")
@click.option(
    "--decode/--no-decode",
    default=None,
    help="Decode each image too, which finds damaged pixels. [default: where it is installed]",
)
@click.option("--verify", is_flag=True, help="Read images and videos again instead of using stored results.")
@click.option(
    "--pack", cls=RareOption, is_flag=True, help="Pack the crops of each track into one file, for network disks; no audit."
)
@click.option("--remove", cls=RareOption, is_flag=True, help="With --pack: remove the packed files.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(
    data: str,
    challenge: str | None,
    crops: str,
    sample: str | None,
    videos: str | None,
    images: bool,
    decode: bool | None,
    verify: bool,
    pack: bool,
    remove: bool,
    as_json: bool,
) -> None:
    """Audit a data root: what it holds, and all its faults at once.

    Counts tracks, recordings, rows, frames seen and missing; compares labels with the totals of the official release and rows
    with frames; finds damaged, odd and repeated images, misnumbered frames, leaks between splits. Changes nothing but
    frame_rates.csv. The exit code is 1 if there is an error.

    With --pack nothing is audited: the crops of each track of all challenges are packed into one file, which every verb then
    reads, so that a network disk sees one file per track instead of one per image. A track whose folder changes is read from its
    images until it is packed again. The files lie in DATA/.harness-cache, or below the folder that the environment variable
    HARNESS_CACHE names; --verify compares them with the images, byte for byte.

    \b
    Example:
      harness doctor /data/aff-wild2
      harness doctor /data/aff-wild2 --challenge VA
      harness doctor /data/aff-wild2 --videos /data/aff-wild2/videos
      HARNESS_CACHE=/scratch harness doctor /data/aff-wild2 --pack
    """
    from harness import files
    from harness.commands.shared import packing
    from harness.commands.shared.options import challenge_of
    from harness.data import doctor
    from harness.errors import EXIT_FINDINGS, UsageError

    if remove and not pack:
        raise UsageError("--remove removes packed files", expected="--pack --remove")
    if pack:
        packing.pack(data, crops, verify, remove)
        return
    if videos is not None:
        files.refuse_unwritable(Path(data), folder=True)
    check = _decoder(decode) if images else None
    options = doctor.Options(
        crops=crops,
        sample=sample,
        challenge=challenge_of(Path(data), challenge),
        images=images,
        verify=verify,
        check=check,
        videos=None if videos is None else Path(videos),
        progress=_progress,
    )
    examination = doctor.examine(data, options)
    _show(examination, data, crops, as_json)
    if examination.findings.has_errors:
        raise SystemExit(EXIT_FINDINGS)


def _show(examination: Examination, data: str, crops: str, as_json: bool) -> None:
    import json

    from harness import findings
    from harness.data import page, tables

    if as_json:
        # Escaped, because names of files may hold bytes that are no text.
        show_json(json.dumps(tables.as_json(examination), indent=2, sort_keys=True) + "\n")
        return
    show(f"{data}, challenge: {examination.data.challenge.name}, crops: {crops}\n")
    show(page.page(examination))
    if len(examination.findings):
        show("\n" + findings.as_text(examination.findings), styled=True)
    show(f"\n{findings.summary(examination.findings)}; {_next_step(data, examination)}")


def _progress(items: Iterable[T], total: int, what: str) -> Iterable[T]:
    from harness.progress import tracked

    return tracked(items, what, total, "video" if what.endswith("videos") else "track")


def _decoder(wanted: bool | None) -> Callable[[bytes], object] | None:
    """Decodes an image as training does; None where that is not wanted, or not asked for and its packages are not installed."""
    from harness.errors import MissingExtraError

    if wanted is False:
        return None
    try:
        from harness.images.decode import decode
    except ImportError as error:
        if wanted is None:
            return None
        raise MissingExtraError(str(error.name), "train", "decoding images") from error
    return functools.partial(decode, size=ALIGNED_CROP_SIZE)


def _next_step(data: str, examination: Examination) -> str:
    from harness.commands.shared.next_steps import default_training

    root = examination.data
    if examination.findings.has_errors:
        several = f" --challenge {root.challenge.name}" * (len(examination.survey.held) > 1)
        return f"correct the errors, then look again: harness doctor {shlex.quote(data)}{several}"
    if root.challenge.training is not None and not root.members("train") and root.members("test"):
        return f"next: harness predict RUN --split test --data {shlex.quote(data)}"
    return f"next: {default_training(root, data)}"
