"""Packs the crops of each track into one file, for network disks: what `harness doctor --pack` does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from harness.streams import show
from harness.words import counted

if TYPE_CHECKING:
    from harness.data.packed import Packing


def pack(data: str, crops: str, verify: bool, remove: bool) -> None:
    """Packs every track of a data root, or removes what is packed, and says what was done.

    With `verify` packed files are compared with their images byte for byte. Raises DataError if no track has an image.
    """
    from harness.data.packed import folder_of_packed, remove_packed

    if remove:
        show(f"removed {remove_packed(Path(data).absolute(), crops)}; images are read one by one")
        return
    packings = _pack(data, crops, verify)
    done = Counter(packing.done for packing in packings)
    size, place = sum(packing.size for packing in packings), folder_of_packed(Path(data).absolute(), crops)
    show(", ".join(f"{counted(count, 'track')} {what}" for what, count in sorted(done.items())))
    show(f"{counted(len(packings), 'packed file')} of {size / 1e6:,.1f} MB in {place}; every verb uses them")
    show(f"next: harness doctor {data}")


def _pack(data: str, crops: str, verify: bool) -> list[Packing]:
    from harness.commands.shared.options import say
    from harness.data.packed import pack_root
    from harness.data.scan import crop_folders
    from harness.errors import DataError
    from harness.progress import tracked

    folders = crop_folders(data, crops)
    if not any(len(listing.frames) for _, listing in folders.values()):
        raise DataError(
            "no track has an image to pack", path=data, remedy=f"look at what is there: harness doctor {data} --crops {crops}"
        )
    steps = pack_root(Path(data).absolute(), crops, folders, verify, say)
    return list(tracked(steps, "packing", len(folders), "track"))
