"""Keeps what decoding a video showed, for as long as its size and modification time stay the same.

frame_rates.csv has the two figures that other verbs need; that a container lies or a file is damaged is kept here, so that a
later look at the data root says it again without decoding.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import files
from harness.data.cache import SETTLED_NS
from harness.data.disk import stat_of
from harness.data.places import folder_for
from harness.data.videos import Recording, decode_recording
from harness.errors import HarnessError

FORMAT = 1


class KeptRecordings:
    """The recordings that were decoded for one data root, by the path of the video."""

    def __init__(self, root: Path) -> None:
        self._path = folder_for(root) / "videos.json"
        self._entries = _load(self._path)

    def get(self, video: Path) -> Recording | None:
        """What a video showed when it was decoded; None if it never was or has changed since."""
        entry = self._entries.get(str(video.absolute()))
        if entry is None or entry["stamp"] != _stamp(video):
            return None
        return Recording(video, **entry["recording"])

    def decode(self, video: Path) -> Recording:
        """Decodes a video and keeps what it shows, unless it is so young that it may change again without a trace."""
        stamp, started = _stamp(video), time.time_ns()
        recording = decode_recording(video)
        if started - stamp[1] >= SETTLED_NS:
            figures = {name: value for name, value in asdict(recording).items() if name != "path"}
            self._entries[str(video.absolute())] = {"stamp": stamp, "recording": figures}
            # Written after each, because decoding all may take hours. A place that cannot be written to is no fault.
            with contextlib.suppress(HarnessError):
                files.write_json(self._path, {"format": FORMAT, "videos": self._entries})
        return recording


def _stamp(video: Path) -> list[int]:
    status = stat_of(video)
    return [status.st_size, status.st_mtime_ns]


def _load(path: Path) -> dict[str, Any]:
    try:
        stored = files.read_json(path)
        return dict(stored["videos"]) if stored["format"] == FORMAT else {}
    except (HarnessError, KeyError, TypeError, ValueError):
        return {}
