"""What was done with a recording: back end, settings, counts, gaps; it tells whether the crops are whole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import files
from harness.errors import DataError, MismatchError
from harness.faces.alignment import JPEG_QUALITY, TEMPLATE_NAME
from harness.faces.detectors import DEFAULT_SMALLEST
from harness.faces.persons import DEFAULT, PERSONS

FORMAT = 1
SIZES = (112, 224)
CROPS = "cropped_aligned"
REPORTS = "crop_reports"


def track_folder(out: Path, track: str) -> Path:
    """The images of a track, 00001.jpg and so on."""
    return out / CROPS / track


def report_path(out: Path, recording: str) -> Path:
    """What was done with a recording, and how."""
    return out / REPORTS / f"{recording}.json"


def contact_sheet_path(out: Path, track: str) -> Path:
    """A picture of the track to look at."""
    return out / REPORTS / f"{track}.jpg"


def boxes_path(out: Path, track: str) -> Path:
    """Where the face was in each frame of a track."""
    return out / REPORTS / f"{track}.csv"


@dataclass(frozen=True)
class CropSettings:
    """How crops are made.

    Attributes
    ----------
    size : pixels of a crop's side.
    persons : whom to follow, see PERSONS; one track for each.
    smallest_face : share of the picture's longest side below which faces need not be found.
    """

    size: int = SIZES[0]
    persons: tuple[str, ...] = (DEFAULT,)
    smallest_face: float = DEFAULT_SMALLEST

    def as_dict(self, detector: Mapping[str, Any]) -> dict[str, Any]:
        """These and the description of the detector, as a report keeps them."""
        return {
            "detector": dict(detector),
            "template": TEMPLATE_NAME,
            "size": self.size,
            "jpeg_quality": JPEG_QUALITY,
            "smallest_face": self.smallest_face,
            "persons": sorted(self.persons, key=list(PERSONS).index),
        }


@dataclass(frozen=True)
class CroppedTrack:
    """One track: its person, rows, frames with a face, gaps (first and last missing frame, 1-based), bytes of its images."""

    track: str
    person: str
    rows: int
    seen: int
    gaps: tuple[tuple[int, int], ...]
    bytes: int
    images_sha256: str


@dataclass(frozen=True)
class RecordingReport:
    """One recording.

    Attributes
    ----------
    recording : file name without suffix.
    video, video_sha256 : the file's name and bytes.
    frames, declared : frames that decode, and that the container says there are (0: it does not say).
    fps : mean frames per second, None if unknown.
    fault : what is wrong with the file; "" for nothing.
    width, height : pixels of the frame as it is shown.
    settings : see CropSettings.as_dict.
    tracks : the tracks that were made.
    notes : in what its frames are shown otherwise than stored, and what the file holds besides.
    """

    recording: str
    video: str
    video_sha256: str
    frames: int
    declared: int
    fps: float | None
    fault: str
    width: int
    height: int
    settings: Mapping[str, Any]
    tracks: tuple[CroppedTrack, ...]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        values = {**vars(self), "settings": dict(self.settings), "tracks": [vars(track) for track in self.tracks]}
        return {"format": FORMAT, "finished": True, **values}


def gaps(frames: NDArray[np.int32], rows: int) -> tuple[tuple[int, int], ...]:
    """The runs of 1-based frames up to `rows` that are not in `frames`, each with its first and last."""
    edges = np.concatenate([[0], frames, [rows + 1]])
    opens = np.flatnonzero(np.diff(edges) > 1)
    return tuple((int(edges[k]) + 1, int(edges[k + 1]) - 1) for k in opens)


def write_begun(out: Path, recording: str, settings: Mapping[str, Any], tracks: list[str]) -> None:
    """Notes that these tracks are being made here, so that a later call knows their folders for its own."""
    value = {"format": FORMAT, "finished": False, "settings": dict(settings), "tracks": [{"track": name} for name in tracks]}
    files.write_json(report_path(out, recording), value)


def write_report(out: Path, report: RecordingReport) -> None:
    """Writes the report: from now on the recording is done."""
    files.write_json(report_path(out, report.recording), report.as_dict())


def read_report(out: Path, recording: str, settings: Mapping[str, Any], video_sha256: str) -> RecordingReport | None:
    """The report of a recording whose crops are whole and of these settings and this video; None where they must be made.

    Raises MismatchError if they were made with other settings, DataError if the report is damaged.
    """
    path = report_path(out, recording)
    if not path.exists():
        return None
    value = files.read_json(path)
    try:
        there = value["settings"]
        if value["format"] != FORMAT:
            raise KeyError("format")
        if there != settings:
            raise _other_settings(path, there, settings)
        if not value["finished"] or value["video_sha256"] != video_sha256:
            return None
        tracks = tuple(CroppedTrack(**{**entry, "gaps": tuple(map(tuple, entry["gaps"]))}) for entry in value["tracks"])
        # Reports of earlier versions have a rotation and no notes.
        known = {key: item for key, item in value.items() if key not in ("format", "finished", "rotation")}
        report = RecordingReport(**{**known, "tracks": tracks, "notes": tuple(value.get("notes", ()))})
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError("not a report of `harness crop`", path=path, remedy="--fresh makes the crops anew") from error
    return report if all(_is_whole(out, track) for track in tracks) else None


def _other_settings(path: Path, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> MismatchError:
    lines = [
        f"{key}: {there.get(key, 'absent')!r} there, {wanted.get(key, 'absent')!r} now"
        for key in sorted(there.keys() | wanted.keys())
        if there.get(key) != wanted.get(key)
    ]
    return MismatchError(
        "the crops of this recording were made with other settings",
        path=path,
        found="\n    ".join(["", *lines]),
        remedy="choose another folder with --out, or make them anew with --fresh",
    )


def _is_whole(out: Path, track: CroppedTrack) -> bool:
    """Whether the images on disk are as many and as large as they were."""
    try:
        with os.scandir(track_folder(out, track.track)) as entries:
            sizes = [entry.stat().st_size for entry in entries if entry.name.endswith(".jpg")]
    except OSError:
        return False
    there = contact_sheet_path(out, track.track).is_file() and boxes_path(out, track.track).is_file()
    return there and len(sizes) == track.seen and sum(sizes) == track.bytes


def tracks_of(out: Path, recording: str) -> list[str]:
    """The tracks an earlier call made or began of this recording; none where there is no report that can be read."""
    try:
        value = files.read_json(report_path(out, recording))
        return [files.safe_name(str(entry["track"]), "a track's name") for entry in value["tracks"]]
    except (DataError, KeyError, TypeError):
        return []
