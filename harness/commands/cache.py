"""harness cache: one packed file of crops per track."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.streams import show

if TYPE_CHECKING:
    from harness.data.packed import Packing


@click.command()
@click.argument("data", type=click.Path())
@click.option("--crops", default="cropped_aligned", show_default=True, help="cropped_aligned, cropped, or the path of a folder.")
@click.option("--verify", is_flag=True, help="Compare what is packed with the images, byte for byte.")
@click.option("--remove", is_flag=True, help="Remove the packed files.")
def command(data: str, crops: str, verify: bool, remove: bool) -> None:
    """Pack the crops of each track into one file.

    From then on every verb reads the packed files: a network disk sees one file per track instead of one per image. A track
    whose folder has changed is read from its images again until it is packed anew; run this again after every change.
    The files lie in DATA/.harness-cache, or below the folder that the environment variable HARNESS_CACHE names.

    \b
    Example:
      harness cache /data/aff-wild2
      HARNESS_CACHE=/scratch harness cache /data/aff-wild2
    """
    from harness import files
    from harness.data.packed import folder_of_packed

    place = folder_of_packed(Path(data).absolute(), crops)
    if remove:
        files.remove(place)
        show(f"removed {place}; images are read one by one: harness train --data {data}")
        return
    packings = _pack(data, crops, verify)
    done = Counter(packing.done for packing in packings)
    size = sum(packing.size for packing in packings)
    show(", ".join(f"{count:,} tracks {what}" for what, count in sorted(done.items())))
    show(f"{len(packings):,} packed files of {size / 1e6:,.1f} MB in {place}; every verb uses them: harness train --data {data}")


def _pack(data: str, crops: str, verify: bool) -> list[Packing]:
    """Packs every track of the data root; raises DataError if no track has an image."""
    from tqdm import tqdm

    from harness.commands.shared.options import say
    from harness.data import catalogue
    from harness.data.packed import pack_root
    from harness.data.scan import survey
    from harness.errors import DataError
    from harness.findings import raise_first_error

    found = survey(data, crops)
    raise_first_error([finding for finding in found.findings if finding.kind is catalogue.NO_CROPS], f"harness doctor {data}")
    folders = found.folders
    if not any(len(listing.frames) for _, listing in folders.values()):
        raise DataError(
            "no track has an image to pack", path=data, remedy=f"look at what is there: harness doctor {data} --crops {crops}"
        )
    steps = pack_root(Path(data).absolute(), crops, folders, verify, say)
    return list(tqdm(steps, total=len(folders), desc="packing", disable=None))
