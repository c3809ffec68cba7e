"""Whether the rows of an outside file are frames of the data, and what probably happened to them where they are not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.data.tracks import DataRoot, Track
from harness.errors import DataError, MismatchError
from harness.findings import printable
from harness.words import counted

MOST_NAMED = 8


def refuse_more(path: Path, name: str, rows: int, most_rows: int | None) -> None:
    """Raises DataError where an array has more rows than the data have frames."""
    if most_rows is not None and rows > most_rows:
        raise DataError(
            f"the array {printable(name)!r} has more rows than the data has frames",
            path=path,
            found=f"{rows:,}",
            expected=f"at most {most_rows:,}",
            remedy="name the right root with --data",
        )


def refuse_foreign_rows(path: Path, frame: NDArray[np.int64], groups: Mapping[str, NDArray[np.int64]], root: DataRoot) -> None:
    """Raises MismatchError naming tracks the data root does not have, and frames that stand twice or that a track does not have.

    `groups` gives the rows of each track in a file, in the order of their numbers in `frame`.
    """
    tracks = {track.name: track for track in root.tracks}
    _refuse_extensions(path, groups, tracks)
    _refuse_counted_from_zero(path, frame, groups, tracks)
    faults = {name: _fault_of(name, frame[rows], tracks.get(name), root) for name, rows in groups.items()}
    found = [fault for fault in faults.values() if fault]
    if found:
        raise MismatchError(
            f"the file does not belong to this data root ({counted(len(found), 'track')})",
            path=path,
            found="\n    ".join(["", *found[:MOST_NAMED]]),
            remedy=_remedy(faults, tracks),
        )


def _fault_of(name: str, numbers: NDArray[np.int64], track: Track | None, root: DataRoot) -> str:
    """What is wrong with the frames of one track; nothing where nothing is."""
    if track is None:
        return f"{name}: not a track of {root.path}"
    if len(np.unique(numbers)) != len(numbers):
        return f"{name}: frame {int(numbers[1:][np.diff(numbers) == 0][0])} occurs twice"
    if numbers.min() < 1 or numbers.max() > track.rows:
        worst = int(numbers.max() if numbers.max() > track.rows else numbers.min())
        return f"{name}: frame {worst} is outside 1..{track.rows}"
    return ""


def _remedy(faults: Mapping[str, str], tracks: Mapping[str, Track]) -> str:
    """What to do about the faults: another root only where the file speaks of tracks that this one does not have."""
    if any(fault and name not in tracks for name, fault in faults.items()):
        return "name the right root with --data"
    if any("occurs twice" in fault for fault in faults.values()):
        return "keep one row for each frame of a track"
    return (
        "leave out rows beyond a track's last frame, which the sample or the annotation names; or name the right root with --data"
    )


def _refuse_extensions(path: Path, groups: Mapping[str, NDArray[np.int64]], tracks: Mapping[str, Track]) -> None:
    """Raises MismatchError where names are tracks but for an extension, or for an image behind a slash."""
    unknown = [name for name in groups if name not in tracks]
    meant = {name: name.partition("/")[0] if "/" in name else name.rpartition(".")[0] for name in unknown}
    if unknown and all(name in tracks for name in meant.values()):
        raise MismatchError(
            f"the names of the tracks have an extension ({counted(len(unknown), 'track')})",
            path=path,
            found=repr(unknown[0]),
            expected=repr(meant[unknown[0]]),
            remedy="name the crop folder alone",
        )


def _refuse_counted_from_zero(
    path: Path, frame: NDArray[np.int64], groups: Mapping[str, NDArray[np.int64]], tracks: Mapping[str, Track]
) -> None:
    """Raises MismatchError where frames begin at 0.

    That shows by a frame 0 where each number after one of the file is a frame; where no track has a frame 0, by the images: each
    frame after one of the file has one, and not each of the file itself.
    """
    known = {name: frame[rows] for name, rows in groups.items() if name in tracks}
    if len(known) < len(groups) or not known:
        return
    inside = all(numbers.min() >= 0 and numbers.max() < tracks[name].rows for name, numbers in known.items())
    zeros = sum(int((numbers == 0).sum()) for numbers in known.values())
    seen = sum(int(np.isin(numbers, tracks[name].frames).sum()) for name, numbers in known.items())
    after = sum(int(np.isin(numbers + 1, tracks[name].frames).sum()) for name, numbers in known.items())
    if not (zeros and inside) and not (seen < after == len(frame)):
        return
    without = f"{len(frame) - seen:,} of {len(frame):,} frames have no image, and each frame after one of them has"
    raise MismatchError(
        "the frames of the file seem to be counted from 0",
        path=path,
        found=f"{zeros:,} times a frame 0" if zeros else without,
        expected="frames counted from 1, as images are",
        remedy="add 1 to the frames of the file",
    )
