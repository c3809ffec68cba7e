"""Where crops and what is said about them lie below the folder `harness crop` writes."""

from __future__ import annotations

from pathlib import Path

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
