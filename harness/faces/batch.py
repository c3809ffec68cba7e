"""Many recordings to one folder of crops: what is done is kept, several processes share the rest, frame rates are noted."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

from harness import files
from harness.data import rates
from harness.data.layout import CROPS as CROP_FOLDERS
from harness.data.layout import GROUP_FOLDER
from harness.data.tracks import recording_of
from harness.data.videos import find_videos, require_decoder
from harness.errors import DataError, HarnessError, MissingExtraError, UsageError, near_names
from harness.faces import detectors
from harness.faces.crop import crop_recording, track_names
from harness.faces.detectors import Detector, sides
from harness.faces.persons import PERSONS, suffix
from harness.faces.report import CROPS, SIZES, CropSettings, RecordingReport, read_report


@dataclass
class CropSummary:
    """What became of the videos, by recording: made now, kept from before, and why the others could not be made."""

    made: dict[str, RecordingReport] = field(default_factory=dict)
    kept: dict[str, RecordingReport] = field(default_factory=dict)
    failed: dict[str, HarnessError] = field(default_factory=dict)


@dataclass(frozen=True)
class CropProgress:
    """What is told while the work goes on: each frame decoded in this process, and each recording with its report or error."""

    frame: Callable[[], object] = lambda: None
    recording: Callable[[RecordingReport | HarnessError], object] = lambda report: None


def crop_videos(
    videos: Sequence[Path],
    out: Path,
    settings: CropSettings,
    back_end: str = detectors.DEFAULT,
    model: Path | None = None,
    *,
    workers: int = 1,
    fresh: bool = False,
    rename: bool = False,
    progress: CropProgress | None = None,
) -> CropSummary:
    """Makes the crops of videos, and of all videos in folders, below `out`.

    Recordings that are done are kept unless `fresh`. With `rename`, one whose name no answer can hold gets the nearest that can.
    A video that cannot be read does not keep the others from being made: its error is in the summary.

    Raises UsageError for settings or names that cannot be, MissingExtraError or DataError if the back end is not there or a file
    does not exist, MismatchError if crops of other settings are there, LockedError if another process writes there.
    """
    progress = progress or CropProgress()
    _check(settings)
    require_packages()
    recordings = _recordings(videos, settings, rename)
    detector = detectors.create(back_end, model)
    files.make_directory(out)
    summary = CropSummary()
    with files.lock(out / ".crop.lock", "this folder of crops"):
        files.remove_temporaries(out / CROPS)
        described = settings.as_dict(detector.description)
        for name, video in recordings.items():
            report = None if fresh else _report_of(video, name, out, described)
            if report is not None:
                summary.kept[name] = report
        todo = {name: video for name, video in recordings.items() if name not in summary.kept}
        for name, result in _results(todo, out, settings, detector, (back_end, model), workers, progress.frame):
            if isinstance(result, HarnessError):
                summary.failed[name] = result
            else:
                summary.made[name] = result
            progress.recording(result)
        _note_rates(out, {**summary.kept, **summary.made})
    return summary


def _report_of(video: Path, name: str, out: Path, described: Mapping[str, Any]) -> RecordingReport | None:
    """What was written of a recording that is done; None also for a video that cannot be read, which is told in its turn."""
    try:
        digest = files.sha256(video)
    except DataError:
        return None
    return read_report(out, name, described, digest)


def require_packages() -> None:
    """Raises MissingExtraError if PyAV or Pillow is not installed."""
    require_decoder()
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("Pillow", "faces", "writing pictures") from error


def _check(settings: CropSettings) -> None:
    if settings.size not in SIZES:
        raise UsageError(
            "crops of this size are not made", found=f"{settings.size} pixels", expected=" or ".join(map(str, SIZES))
        )
    for person in settings.persons:
        if person not in PERSONS:
            raise UsageError(f"unknown person {person!r}", expected=near_names(person, list(PERSONS)))
    names = [suffix(person) for person in settings.persons]
    if not names or len(set(names)) < len(names):
        raise UsageError(
            "these persons would share a track name",
            found=", ".join(settings.persons) or "no person",
            expected="each once, and only one of largest and kept",
        )
    sides(settings.smallest_face)


def _recordings(videos: Sequence[Path], settings: CropSettings, rename: bool) -> dict[str, Path]:
    """The video of each recording, by name. Raises UsageError if two would have tracks of one name, or a name cannot be used."""
    found: list[Path] = []
    for video in videos:
        if video.is_dir():
            found += [path for paths in find_videos(video).values() for path in paths]
        elif video.exists():
            found.append(video)
        else:
            raise DataError("no such video", path=video)
    recordings: dict[str, Path] = {}
    owners: dict[str, Path] = {}
    for video in found:
        name = files.track_name_of(video.stem) if rename else video.stem
        for track in track_names(name, settings).values():
            if not files.is_track_name(track):
                raise UsageError(
                    "a track of this name cannot be submitted",
                    found=str(video),
                    expected="a file name for any system, without commas and quotes",
                    remedy=f"rename it, or let its track be called {files.track_name_of(video.stem)!r} with --rename",
                )
            if GROUP_FOLDER.fullmatch(track.lower()) or track.lower().startswith(CROP_FOLDERS):
                raise UsageError(
                    "a track of this name would be taken for a folder of tracks", found=str(video), remedy="rename it"
                )
            owner = owners.setdefault(track.casefold(), video)
            if owner != video:
                raise UsageError(f"two videos would be the track {track!r}", found=f"{owner} and {video}", remedy="rename one")
        recordings[name] = video
    return recordings


def _results(
    videos: Mapping[str, Path],
    out: Path,
    settings: CropSettings,
    detector: Detector,
    source: tuple[str, Path | None],
    workers: int,
    each_frame: Callable[[], object],
) -> Iterator[tuple[str, RecordingReport | HarnessError]]:
    """Each recording with its report or its error: in this process one after the other, or as several end."""
    workers = min(workers, len(videos))
    if workers < 2:
        for name, video in videos.items():
            yield name, _crop(video, name, out, detector, settings, each_frame)
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, source)
    try:
        jobs: dict[Future[Any], str] = {pool.submit(_work, video, name, out, settings): name for name, video in videos.items()}
        for job in as_completed(jobs):
            yield jobs[job], job.result()
    except BrokenProcessPool as error:
        raise DataError("a process that makes crops was ended from outside", remedy="run again, with fewer --workers") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _crop(
    video: Path, name: str, out: Path, detector: Detector, settings: CropSettings, each_frame: Callable[[], object] = lambda: None
) -> RecordingReport | HarnessError:
    try:
        return crop_recording(video, name, out, detector, settings, each_frame)
    except DataError as error:
        return error


_detector: Detector | None = None


def _start_worker(back_end: str, model: Path | None) -> None:
    """Makes a worker's own detector; a worker ends with the process that started it, and at once when interrupted."""
    global _detector
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _detector = detectors.create(back_end, model)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(video: Path, name: str, out: Path, settings: CropSettings) -> RecordingReport | HarnessError:
    assert _detector is not None
    return _crop(video, name, out, _detector, settings)


def _note_rates(out: Path, reports: Mapping[str, RecordingReport]) -> None:
    """Adds the recordings to frame_rates.csv, whose other lines stay. Raises DataError if that file has faults."""
    path = out / rates.FILE_NAME
    known = rates.load_frame_rates(path)
    for name, report in reports.items():
        with contextlib.suppress(KeyError):
            del known[recording_of(name)]
        if report.fps is not None and report.fps <= rates.FASTEST:
            known[recording_of(name)] = (report.fps, report.frames)
    rates.write_frame_rates(path, [(name, *entry) for name, entry in known.items()])
